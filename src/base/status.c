/* status.c - the context and its one sentence. */
#include "base/status.h"

#include "base/number_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fb_context *fb_context_create(void)
{
    return calloc(1, sizeof(fb_context));
}

void fb_context_free(fb_context *ctx)
{
    free(ctx);
}

const char *fb_context_message(const fb_context *ctx)
{
    return ctx ? ctx->message : "";
}

void fb_context_clear(fb_context *ctx)
{
    if (!ctx)
        return;
    ctx->status = FB_OK;
    ctx->message[0] = 0;
}

const char *fb_status_name(fb_status status)
{
    switch (status) {
#define STATUS_NAME(name, text)                                                        \
    case name:                                                                         \
        return #name;
        FB_STATUS_MAP(STATUS_NAME)
#undef STATUS_NAME
    }
    return "FB_E_UNKNOWN";
}

const char *fb_status_text(fb_status status)
{
    switch (status) {
#define STATUS_TEXT(name, text)                                                        \
    case name:                                                                         \
        return text;
        FB_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "an unknown status";
}

/* The cut may fall inside a UTF-8 character; the sentence must stay UTF-8. */
static void drop_cut_character(char *text)
{
    size_t end = strlen(text), start = end;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0 || (unsigned char)text[start - 1] < 0xc0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (end - (start - 1) < want)
        text[start - 1] = 0;
}

/* In parentheses because status.h may have made a macro of the name. */
fb_status(fb_fail)(fb_context *ctx, fb_status code, const char *format, ...)
{
    if (!ctx)
        return code;
    /* An argument may be the old sentence itself, so it is written aside first. */
    char message[sizeof ctx->message];
    va_list arguments;
    va_start(arguments, format);
    int length = fb_text_print_list(message, sizeof message, format, arguments);
    va_end(arguments);
    if (length < 0)
        snprintf(message, sizeof message, "%s", fb_status_text(code));
    if (length >= (int)sizeof message)
        drop_cut_character(message);
    memcpy(ctx->message, message, sizeof message);
    ctx->status = code;
    return code;
}

fb_status fb_fail_in(fb_context *ctx, const char *where)
{
    if (!ctx)
        return FB_E_STATE;
    return fb_fail(ctx, ctx->status, "%s: %s", where, ctx->message);
}

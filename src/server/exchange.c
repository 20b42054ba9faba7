/* exchange.c - see exchange.h. */
#include "server/exchange.h"

#include "base/memory_stream.h"
#include "base/number_text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    int32_t status;
    const char *code;
} errors[] = {
#define ROW(status, code, help) {status, code},
    FB_HTTP_ERROR_MAP(ROW)
#undef ROW
};

const char *fb_http_error_code(int32_t status)
{
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (errors[i].status == status)
            return errors[i].code;
    return "error";
}

fb_exchange *fb_exchange_create(const char *target)
{
    fb_exchange *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    x->socket = x->reply_file = -1;
    x->target = strdup(target);
    if (!x->target) {
        free(x);
        return NULL;
    }
    return x;
}

void fb_exchange_drop_body(fb_exchange *x)
{
    free(x->body);
    x->body = NULL;
    x->body_bytes = x->body_capacity = 0;
}

static void drop_reply(fb_exchange *x)
{
    if (!x->reply_is_static)
        free(x->reply);
    x->reply = NULL;
    x->reply_is_static = false;
    x->reply_bytes = 0;
    if (x->reply_file >= 0)
        close(x->reply_file);
    x->reply_file = -1;
}

void fb_exchange_free(fb_exchange *x)
{
    if (!x)
        return;
    fb_exchange_drop_body(x);
    drop_reply(x);
    free(x->target);
    free(x->parameter);
    free(x);
}

bool fb_reply_begin(fb_exchange *x, fb_reply *reply)
{
    *reply = (fb_reply){0};
    reply->stream = fb_memory_open(&reply->text, &reply->bytes);
    if (reply->stream)
        fb_json_begin(&reply->json, reply->stream, 0);
    else
        fb_exchange_fail(x, 503, "no memory for an answer");
    return reply->stream != NULL;
}

static void set_reply(fb_exchange *x, int32_t status, fb_reply *reply)
{
    drop_reply(x);
    x->status = status;
    x->type = "application/json";
    x->reply = reply->text;
    x->reply_bytes = reply->bytes;
}

void fb_reply_end(fb_exchange *x, fb_reply *reply)
{
    fputc('\n', reply->stream);
    if (!fb_memory_close(reply->stream, &reply->text)) {
        fb_exchange_fail(x, 503, "no memory for an answer");
        return;
    }
    set_reply(x, 200, reply);
}

void fb_exchange_fail(fb_exchange *x, int32_t status, const char *format, ...)
{
    static char none[] =
        "{\"error\": {\"code\": \"unavailable\", \"message\": \"out of "
        "memory\", \"request_id\": \"\"}}\n";
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    fb_text_print_list(message, sizeof message, format, arguments);
    va_end(arguments);
    fb_reply reply = {0};
    reply.stream = fb_memory_open(&reply.text, &reply.bytes);
    if (reply.stream) {
        fb_json_begin(&reply.json, reply.stream, 0);
        fb_json_open_object(&reply.json);
        fb_json_key(&reply.json, "error");
        fb_json_open_object(&reply.json);
        fb_json_key_string(&reply.json, "code", fb_http_error_code(status));
        fb_json_key_string(&reply.json, "message", message);
        fb_json_key_string(&reply.json, "request_id", x->id);
        fb_json_close_object(&reply.json);
        fb_json_close_object(&reply.json);
        fputc('\n', reply.stream);
        if (fb_memory_close(reply.stream, &reply.text)) {
            set_reply(x, status, &reply);
            return;
        }
    }
    drop_reply(x);
    x->status = 503;
    x->type = "application/json";
    x->reply = none;
    x->reply_bytes = sizeof none - 1;
    x->reply_is_static = true;
}

void fb_exchange_fail_from(fb_exchange *x, fb_status status, const fb_context *ctx)
{
    int32_t code = 500;
    switch (status) {
    case FB_E_USAGE:
    case FB_E_FORMAT:
    case FB_E_LIMIT:
        code = 422;
        break;
    case FB_E_MISSING:
        code = 404;
        break;
    case FB_E_STATE:
        code = 409;
        break;
    case FB_E_MEMORY: /* not the request's fault */
    case FB_E_IO:     /* a database that went away, it may come back */
        code = 503;
        x->retry_after_s = 1;
        break;
    default:
        break;
    }
    fb_exchange_fail(x, code, "%s", fb_context_message(ctx));
}

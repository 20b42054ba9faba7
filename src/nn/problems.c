/* problems.c - see problems.h. */
#include "nn/problems.h"

#include "base/number_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void fb_problems_add(fb_problems *problems, const char *format, ...)
{
    size_t used = strlen(problems->text), room = sizeof problems->text;
    if (problems->count++ >= FB_PROBLEMS_NAMED)
        return;
    if (used > 0 && used + 2 < room) {
        memcpy(problems->text + used, ", ", 3);
        used += 2;
    }
    va_list arguments;
    va_start(arguments, format);
    fb_text_print_list(problems->text + used, room - used, format, arguments);
    va_end(arguments);
}

fb_status fb_problems_result(fb_context *ctx, const fb_problems *problems,
                             const char *path)
{
    if (!problems->count)
        return FB_OK;
    return fb_fail(ctx, FB_E_FORMAT, "%s: %d of its tensors do not fit: %s", path,
                   (int)problems->count, problems->text);
}

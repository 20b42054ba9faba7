/* status.h - how failures travel: a code is returned, its sentence lies in the context.
 *
 *     return fb_fail(ctx, FB_E_FORMAT, "%s:%ld: not a JSON object", path, line);
 *     FB_TRY(fb_file_read(ctx, path, limit, &bytes));
 *
 * A sentence names what failed, where in the input, and what would be right. No full
 * stop, no newline. The codes and their meanings stand in fashionbert_status.h.
 */
#ifndef FB_BASE_STATUS_H
#define FB_BASE_STATUS_H

#include "fashionbert_status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fb_context {
    fb_status status;
    char message[1024];
};

/* Format the sentence into ctx (cut at its end, never past it) and return code.
 * ctx may be NULL: then only the code travels. */
fb_status fb_fail(fb_context *ctx, fb_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* lets the compiler check the arguments */

#ifdef __clang_analyzer__
/* The analyzer sees one file at a time and would follow paths on which failing gave
 * FB_OK. */
#define fb_fail(ctx, code, ...) ((void)(fb_fail)(ctx, code, __VA_ARGS__), (code))
#endif

/* Put "where: " in front of the sentence that is there and return its code. */
fb_status fb_fail_in(fb_context *ctx, const char *where);

void fb_context_clear(fb_context *ctx);

#define FB_TRY(call)                                                                   \
    do {                                                                               \
        fb_status fb_try_status_ = (call);                                             \
        if (fb_try_status_ != FB_OK)                                                   \
            return fb_try_status_;                                                     \
    } while (0)

#endif

/* fashionbert_status.h - how functions of fashionbert.h fail, and the context that says
 * why. A part of that header, which includes it: apart, so that what computes need not
 * know what the verbs look like.
 */
#ifndef FASHIONBERT_STATUS_H
#define FASHIONBERT_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default) /* the shared library exports what stands here */

/* Every status: name and what it means. The one list of them. */
#define FB_STATUS_MAP(X)                                                               \
    X(FB_OK, "done")                                                                   \
    X(FB_E_USAGE, "misused: an option or argument is wrong")                           \
    X(FB_E_MEMORY, "out of memory")                                                    \
    X(FB_E_IO, "a file could not be read or written")                                  \
    X(FB_E_MISSING, "a file or entry is missing")                                      \
    X(FB_E_FORMAT, "the bytes are not what their format promises")                     \
    X(FB_E_LIMIT, "larger than the limit allows")                                      \
    X(FB_E_SHAPE, "shapes do not fit")                                                 \
    X(FB_E_DTYPE, "element types do not fit")                                          \
    X(FB_E_ALIAS, "an output shares memory with an input")                             \
    X(FB_E_BACKEND, "the compute backend failed")                                      \
    X(FB_E_NUMBER, "a number is NaN or infinite")                                      \
    X(FB_E_STATE, "called in the wrong state")

typedef enum fb_status {
#define FB_STATUS_ENUM(name, text) name,
    FB_STATUS_MAP(FB_STATUS_ENUM)
#undef FB_STATUS_ENUM
} fb_status;

/* "FB_E_IO" and its meaning; never NULL, whatever the number. */
const char *fb_status_name(fb_status status);
const char *fb_status_text(fb_status status);

/* A context carries the sentence of the last failure. NULL when memory is out. */
typedef struct fb_context fb_context;
fb_context *fb_context_create(void);
void fb_context_free(fb_context *ctx);
const char *fb_context_message(const fb_context *ctx); /* "" after success */

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif

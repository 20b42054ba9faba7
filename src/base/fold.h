/* fold.h - names and values as people compare them: é is é however it is composed, and
 * the case of a letter says nothing (Unicode's full case folding, then NFC).
 */
#ifndef FB_BASE_FOLD_H
#define FB_BASE_FOLD_H

#include "base/status.h"

/* The folded text, malloc'ed; what is not UTF-8 only in ASCII. NULL: no memory. */
char *fb_fold(const char *text);

/* Folded texts to look others up in. */
typedef struct fb_fold_set {
    char **texts; /* [count], sorted */
    int32_t count;
} fb_fold_set;

/* FB_E_MEMORY. `set` was all zero. */
fb_status fb_fold_set_make(fb_context *ctx, fb_fold_set *set, const char *const *texts,
                           int32_t count);
/* FB_E_MEMORY. */
fb_status fb_fold_set_has(fb_context *ctx, const fb_fold_set *set, const char *text,
                          bool *has);
void fb_fold_set_clear(fb_fold_set *set);

#endif

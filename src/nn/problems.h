/* problems.h - what is wrong with a file, all of it: counted, and the first ten in
 * words.
 */
#ifndef FB_NN_PROBLEMS_H
#define FB_NN_PROBLEMS_H

#include "base/status.h"

enum { FB_PROBLEMS_NAMED = 10 };

/* All zero is none. */
typedef struct fb_problems {
    int32_t count;
    char text[880]; /* "a, b, c", cut at its end */
} fb_problems;

void fb_problems_add(fb_problems *problems, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* lets the compiler check the arguments */

/* FB_OK when there is none, else FB_E_FORMAT: "PATH: N of its tensors do not fit: ..."
 */
fb_status fb_problems_result(fb_context *ctx, const fb_problems *problems,
                             const char *path);

#endif

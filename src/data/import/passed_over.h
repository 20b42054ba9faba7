/* passed_over.h - files of a source that are no part of any record: how many of which
 * ending, so that none is left aside without a word.
 */
#ifndef FB_DATA_IMPORT_PASSED_OVER_H
#define FB_DATA_IMPORT_PASSED_OVER_H

#include <stddef.h>
#include <stdint.h>

enum { FB_PASSED_ENDINGS = 8 };

typedef struct fb_passed_over {
    int64_t count;
    struct {
        char end[24]; /* ".cls", in lower case */
        int64_t count;
    } endings[FB_PASSED_ENDINGS]; /* the first that came; others are only in `count` */
    char first[200];
} fb_passed_over;

void fb_passed_over_add(fb_passed_over *p, const char *name);
/* "passed over 3 files, 2 of .cls, 1 of .gif (first 001.cls)"; "" where there are none.
 */
void fb_passed_over_say(const fb_passed_over *p, char *out, size_t room);

#endif

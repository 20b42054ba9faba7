/* progress.h - one line on stderr for long work: bar, count, rate, time left, and a
 * text of the caller's ("loss 1.23"). On a terminal it is redrawn in place at most ten
 * times a second, cut to the terminal's width; elsewhere nothing is drawn. Always safe
 * to call.
 */
#ifndef FB_BASE_PROGRESS_H
#define FB_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct fb_progress {
    const char *label, *unit;
    int64_t total,
        first; /* first: where a resumed run started; the rate counts from it */
    double started_s, drawn_s;
    bool on; /* stderr is a terminal and quiet was not asked for */
} fb_progress;

void fb_progress_begin(fb_progress *p, const char *label, const char *unit,
                       int64_t first, int64_t total, bool quiet);
void fb_progress_update(fb_progress *p, int64_t done, double units_per_count,
                        const char *text);
void fb_progress_end(fb_progress *p); /* clears the line */

/* "1:02:03" or "2:03" into out[16] */
void fb_progress_format_time(double seconds, char out[16]);

#endif

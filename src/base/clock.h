/* clock.h - seconds for measuring: monotonic for spans, wall for event files,
 * the processor's for costs. */
#ifndef FB_BASE_CLOCK_H
#define FB_BASE_CLOCK_H

double fb_clock_s(void);           /* monotonic */
double fb_clock_wall_s(void);      /* since 1970 */
double fb_clock_processor_s(void); /* that all threads of this process have computed */

#endif

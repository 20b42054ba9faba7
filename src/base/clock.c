/* clock.c - seconds since some start, and since 1970. */
#include "base/clock.h"

#include <time.h>

static double read_clock(clockid_t id)
{
    struct timespec t;
    if (clock_gettime(id, &t) != 0)
        return 0;
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double fb_clock_s(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

double fb_clock_wall_s(void)
{
    return read_clock(CLOCK_REALTIME);
}

double fb_clock_processor_s(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

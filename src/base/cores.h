/* cores.h - how many threads this process can keep busy: the processors that its
 * affinity leaves it, or the processor time that its control groups grant, whichever is
 * less.
 *
 *     v1   cpu.cfs_quota_us / cpu.cfs_period_us    of the group of controller cpu
 *     v2   cpu.max: "QUOTA PERIOD" or "max PERIOD"
 *
 * A quota binds all groups below, so the least along the path from the process's group
 * to the root counts, rounded down: a thread more would have all of them stopped for a
 * part of each period.
 */
#ifndef FB_BASE_CORES_H
#define FB_BASE_CORES_H

#include <stdint.h>

/* At least 1; asked of the system once a process. */
int32_t fb_cores(void);

/* `threads` of the caller, or fb_cores() where that is 0. */
int32_t fb_cores_or(int32_t threads);

/* Threads of a parallel region that nobody chose a number for: OpenMP's own setting
 * (OMP_NUM_THREADS), at most fb_cores(). */
int fb_cores_team(void);

/* Processors that the quotas come to, not rounded, read below `root` ("" is this
 * system): root/proc/self/cgroup, root/proc/self/mountinfo and the files of the groups.
 * 0: none is set, or none can be read. */
double fb_cores_quota(const char *root);

#endif

/* cores.c - see cores.h.
 *
 *     /proc/self/cgroup      ID:CONTROLLERS:PATH     0::PATH is v2
 *     /proc/self/mountinfo   36 35 98:0 ROOT POINT OPTIONS ... - TYPE SOURCE SUPER
 *
 * A group's folder is POINT and what PATH has behind ROOT. Seen from within a container
 * PATH may lie outside of ROOT; then POINT itself is the group.
 */
#include "base/cores.h"

#include "base/number_text.h"

#include <omp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 8192, PATH = 4096 };

/* One hierarchy: where it is mounted, and the process's place in it. */
typedef struct hierarchy {
    bool unified; /* v2 */
    char root[PATH], point[PATH], path[PATH];
} hierarchy;

/* Whether `word` is one of a list with commas. */
static bool lists(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == 0))
            return true;
    }
    return false;
}

/* \040 and the like, in place. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        unsigned code;
        if (from[0] == '\\' && sscanf(from + 1, "%3o", &code) == 1) {
            *to = (char)code;
            from += 4;
        } else
            *to = *from++;
    }
    *to = 0;
}

/* The process's path in the hierarchy, "" where it is in none. */
static void find_path(const char *root, hierarchy *h)
{
    char name[PATH], line[LINE];
    snprintf(name, sizeof name, "%s/proc/self/cgroup", root);
    FILE *file = fopen(name, "r");
    h->path[0] = 0;
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *controllers++ = *path++ = 0;
        bool found = h->unified ? controllers[0] == 0 && strcmp(line, "0") == 0
                                : lists(controllers, "cpu");
        if (found && strlen(path) < sizeof h->path)
            memcpy(h->path, path, strlen(path) + 1);
    }
    if (file)
        fclose(file);
}

/* Whether a line of mountinfo mounts it. */
static bool read_mount(char *line, hierarchy *h)
{
    char *rest = strstr(line, " - "), type[64], super[LINE];
    if (!rest || sscanf(rest, " - %63s %*s %8191s", type, super) != 2 ||
        sscanf(line, "%*s %*s %*s %4095s %4095s", h->root, h->point) != 2)
        return false;
    unescape(h->root);
    unescape(h->point);
    return h->unified ? strcmp(type, "cgroup2") == 0
                      : strcmp(type, "cgroup") == 0 && lists(super, "cpu");
}

static bool find_mount(const char *root, hierarchy *h)
{
    char name[PATH], line[LINE];
    bool found = false;
    snprintf(name, sizeof name, "%s/proc/self/mountinfo", root);
    FILE *file = fopen(name, "r");
    while (file && !found && fgets(line, sizeof line, file))
        found = read_mount(line, h);
    if (file)
        fclose(file);
    return found;
}

/* The first line of a group's file; false: none. */
static bool read_text(const char *folder, const char *name, char text[64])
{
    char path[PATH];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return false;
    FILE *file = fopen(path, "r");
    bool read = file && fgets(text, 64, file);
    if (file)
        fclose(file);
    return read;
}

/* One number, or two with a blank between; "max" is none. */
static bool read_numbers(const char *text, double *first, double *second)
{
    char *end, *more;
    *first = fb_number_read(text, &end);
    if (end == text || !second)
        return end != text;
    *second = fb_number_read(end, &more);
    return more != end;
}

/* Of one group; 0: it sets none. */
static double group_quota(const char *folder, bool unified)
{
    char text[64], other[64];
    double quota = 0, period = 0;
    if (unified) {
        if (!read_text(folder, "cpu.max", text) || !read_numbers(text, &quota, &period))
            return 0;
    } else if (!read_text(folder, "cpu.cfs_quota_us", text) ||
               !read_text(folder, "cpu.cfs_period_us", other) ||
               !read_numbers(text, &quota, NULL) || !read_numbers(other, &period, NULL))
        return 0;
    return quota > 0 && period > 0 ? quota / period : 0;
}

/* The least along the path, the mount's own group included. */
static double least_quota(const char *root, const hierarchy *h)
{
    char folder[3 * PATH];
    size_t length = strlen(h->root);
    const char *below = h->path;
    double least = 0;
    if (strcmp(h->root, "/") != 0)
        below = strncmp(below, h->root, length) == 0 &&
                        (below[length] == '/' || below[length] == 0)
                    ? below + length
                    : "";
    if (strstr(below, ".."))
        below = "";
    int base = snprintf(folder, sizeof folder, "%s%s", root, h->point);
    snprintf(folder + base, sizeof folder - (size_t)base, "%s", below);
    for (;;) {
        double quota = group_quota(folder, h->unified);
        if (quota > 0 && (least <= 0 || quota < least))
            least = quota;
        char *end = strrchr(folder + base, '/');
        if (!end)
            return least;
        *end = 0;
    }
}

double fb_cores_quota(const char *root)
{
    double least = 0;
    for (int version = 1; version <= 2; version++) {
        hierarchy h = {.unified = version == 2};
        find_path(root, &h);
        if (!h.path[0] || !find_mount(root, &h))
            continue;
        double quota = least_quota(root, &h);
        if (quota > 0 && (least <= 0 || quota < least))
            least = quota;
    }
    return least;
}

int32_t fb_cores(void)
{
    static _Atomic int32_t known; /* 0: not asked yet; the machine's, whoever asks */
    int32_t cores = atomic_load(&known);
    if (cores > 0)
        return cores;
    double quota = fb_cores_quota("");
    cores = omp_get_num_procs();
    if (quota > 0 && quota < cores)
        cores = (int32_t)quota;
    cores = cores > 1 ? cores : 1;
    atomic_store(&known, cores);
    return cores;
}

int32_t fb_cores_or(int32_t threads)
{
    return threads > 0 ? threads : fb_cores();
}

int fb_cores_team(void)
{
    int team = omp_get_max_threads();
    return team < fb_cores() ? team : fb_cores();
}

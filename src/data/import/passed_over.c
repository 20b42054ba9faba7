/* passed_over.c - see passed_over.h. */
#include "data/import/passed_over.h"

#include "base/ascii.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void fb_passed_over_add(fb_passed_over *p, const char *name)
{
    const char *slash = strrchr(name, '/'), *dot = strrchr(slash ? slash : name, '.');
    char end[sizeof p->endings[0].end];
    if (p->count++ == 0)
        snprintf(p->first, sizeof p->first, "%s", name);
    snprintf(end, sizeof end, "%s", dot ? dot : "no ending");
    for (char *c = end; *c; c++)
        *c = fb_ascii_lower(*c);
    for (int i = 0; i < FB_PASSED_ENDINGS; i++) {
        if (p->endings[i].count == 0)
            memcpy(p->endings[i].end, end, sizeof end);
        else if (strcmp(p->endings[i].end, end) != 0)
            continue;
        p->endings[i].count++;
        return;
    }
}

void fb_passed_over_say(const fb_passed_over *p, char *out, size_t room)
{
    size_t used = 0;
    out[0] = 0;
    if (p->count == 0)
        return;
    used = (size_t)snprintf(out, room, "passed over %" PRId64 " file%s", p->count,
                            p->count == 1 ? "" : "s");
    for (int i = 0; i < FB_PASSED_ENDINGS && p->endings[i].count > 0 && used < room;
         i++)
        used += (size_t)snprintf(out + used, room - used, ", %" PRId64 " of %s",
                                 p->endings[i].count, p->endings[i].end);
    if (used < room)
        (void)snprintf(out + used, room - used, " (first %s)", p->first);
}

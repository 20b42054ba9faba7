/* systems.c - the systems. One more is a folder of models/ and a line here. */
#include "models/cca/cca_model.h"
#include "models/dcca/dcca_model.h"
#include "models/fashionbert/fashionbert_model.h"
#include "models/pfan/pfan_system.h"
#include "models/qti/qti_model.h"
#include "models/scan/scan_system.h"
#include "models/selfie/selfie.h"
#include "models/vilbert/vilbert_model.h"
#include "models/vlbert/vlbert_model.h"
#include "models/vse/vse.h"

#include <stdio.h>
#include <string.h>

static const fb_system *const systems[] = {
    &fb_fashionbert_system, /* titles and images */
    &fb_selfie_system,      /* pre-trains the image encoder, matches nothing */
    &fb_qti_system,         /* queries with titles and images */
    &fb_cca_system,         /* canonical correlations, in closed form */
    &fb_dcca_system,        /* the same of two networks' outputs */
    &fb_vlbert_system,      /* one stream with geometry and visual clues */
    &fb_vse_system,         /* vectors of both, a sum of hinges */
    &fb_vsepp_system,       /* the same, the hardest hinge */
    &fb_vilbert_system,     /* two streams that ask each other */
    &fb_scan_system,        /* stacked cross attention of words and rows */
    &fb_pfan_system,        /* the same of rows that know where they lie */
};
enum { SYSTEMS = sizeof systems / sizeof systems[0] };

int32_t fb_systems_count(void)
{
    int32_t more = 0;
    while (fb_systems_more[more])
        more++;
    return SYSTEMS + more;
}

const fb_system *fb_systems_get(int32_t place)
{
    return place < SYSTEMS ? systems[place] : fb_systems_more[place - SYSTEMS];
}

const fb_system *fb_systems_find(const char *name)
{
    for (int32_t i = 0; i < fb_systems_count(); i++)
        if (strcmp(fb_systems_get(i)->name, name) == 0)
            return fb_systems_get(i);
    return NULL;
}

/* The next of `count` words of a sentence. */
static void say(char *out, size_t size, int32_t place, int32_t count, const char *last,
                const char *word)
{
    size_t used = strlen(out);
    const char *between = place == 0 ? "" : place == count - 1 ? last : ", ";
    snprintf(out + used, size - used, "%s%s", between, word);
}

const char *fb_systems_names(char *out, size_t size)
{
    int32_t count = fb_systems_count();
    out[0] = 0;
    for (int32_t i = 0; i < count; i++)
        say(out, size, i, count, " or ", fb_systems_get(i)->name);
    return out;
}

/* ---- objectives ----------------------------------------------------------------- */

const fb_system *fb_systems_find_objective(const char *name,
                                           const fb_objective **objective)
{
    for (int32_t i = 0; i < fb_systems_count(); i++) {
        const fb_system *s = fb_systems_get(i);
        for (int32_t k = 0; k < s->objective_count; k++) {
            if (strcmp(s->objectives[k].name, name) != 0)
                continue;
            if (objective)
                *objective = &s->objectives[k];
            return s;
        }
    }
    return NULL;
}

const char *fb_systems_objective_reading(uint32_t what)
{
    for (int32_t i = 0; i < fb_systems_count(); i++) {
        const fb_system *s = fb_systems_get(i);
        if ((s->reads & what) == what && s->objective_count > 0)
            return s->objectives[0].name;
    }
    return NULL;
}

const char *fb_system_name(int32_t place)
{
    return place >= 0 && place < fb_systems_count() ? fb_systems_get(place)->name
                                                    : NULL;
}

const char *fb_objective_name(int32_t place)
{
    for (int32_t i = 0; place >= 0 && i < fb_systems_count(); i++) {
        const fb_system *s = fb_systems_get(i);
        if (place < s->objective_count)
            return s->objectives[place].name;
        place -= s->objective_count;
    }
    return NULL;
}

/* ---- losses --------------------------------------------------------------------- */

static int32_t find_loss(const fb_system *s, const char *word)
{
    for (int32_t i = 0; s->choices && s->choices[i]; i++)
        if (strcmp(s->choices[i], word) == 0)
            return i;
    return -1;
}

/* A word of several systems counts where it comes first. */
const char *fb_loss_choice(int32_t place)
{
    for (int32_t i = 0; i < fb_systems_count(); i++) {
        const fb_system *s = fb_systems_get(i);
        for (int32_t k = 0; s->choices && s->choices[k]; k++) {
            bool came = false;
            for (int32_t before = 0; before < i && !came; before++)
                came = find_loss(fb_systems_get(before), s->choices[k]) >= 0;
            if (!came && place-- == 0)
                return s->choices[k];
        }
    }
    return NULL;
}

/* "a, b and c" of s's losses but those that `not_of` has too; returns how many. */
static int32_t list_losses(const fb_system *s, const fb_system *not_of, char *out,
                           size_t size)
{
    int32_t count = 0, place = 0;
    out[0] = 0;
    for (int32_t i = 0; s->choices && s->choices[i]; i++)
        count += !not_of || find_loss(not_of, s->choices[i]) < 0;
    for (int32_t i = 0; place < count; i++)
        if (!not_of || find_loss(not_of, s->choices[i]) < 0)
            say(out, size, place++, count, " and ", s->choices[i]);
    return count;
}

/* The sentence names the system that the word is of. */
static fb_status refuse_loss(fb_context *ctx, const fb_system *system, const char *word)
{
    char known[128], others[128], where[256] = "";
    list_losses(system, NULL, known, sizeof known);
    for (int32_t i = 0; i < fb_systems_count() && !where[0]; i++) {
        const fb_system *other = fb_systems_get(i);
        if (find_loss(other, word) < 0 || other->objective_count == 0)
            continue;
        int32_t count = list_losses(other, system, others, sizeof others);
        snprintf(where, sizeof where, " (%s go%s with --objective %s)", others,
                 count == 1 ? "es" : "", other->objectives[0].name);
    }
    return fb_fail(ctx, FB_E_USAGE, "--losses %s is not known; use %s%s", word, known,
                   where);
}

fb_status fb_systems_parse_losses(fb_context *ctx, const fb_system *system,
                                  const char *list, bool *enabled)
{
    char copy[128], *rest = copy;
    if (!list[0])
        return FB_OK;
    if (!system->choices)
        return fb_fail(ctx, FB_E_USAGE,
                       "--losses %s: %s has one loss, which has no "
                       "name here",
                       list, system->name);
    snprintf(copy, sizeof copy, "%s", list);
    for (char *word; (word = strsep(&rest, ",")) != NULL;) {
        int32_t found = find_loss(system, word);
        if (found < 0)
            return refuse_loss(ctx, system, word);
        enabled[found] = true;
    }
    return FB_OK;
}

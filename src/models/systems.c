/* systems.c - the systems. One more is a folder of models/ and a line here. */
#include "models/fashionbert/fashionbert_model.h"
#include "models/qti/qti_model.h"
#include "models/selfie/selfie.h"

#include <stdio.h>
#include <string.h>

static const fb_system *const systems[] = {
    &fb_fashionbert_system, /* titles and images */
    &fb_selfie_system,      /* pre-trains the image encoder, matches nothing */
    &fb_qti_system,         /* queries with titles and images */
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

const char *fb_systems_names(char *out, size_t size)
{
    int32_t count = fb_systems_count();
    size_t used = 0;
    for (int32_t i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s",
                                 i == 0           ? ""
                                 : i == count - 1 ? " or "
                                                  : ", ",
                                 fb_systems_get(i)->name);
    return out;
}

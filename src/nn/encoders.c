/* encoders.c - see encoder.h: the list of image encoders, the only one. */
#include "nn/encoder.h"

#include "fashionbert.h"

#include <stdio.h>
#include <string.h>

#define FB_ENCODERS(ROW)                                                               \
    ROW(pixels)                                                                        \
    ROW(thin)                                                                          \
    ROW(resnet18)                                                                      \
    ROW(resnet34)                                                                      \
    ROW(resnet50)                                                                      \
    ROW(resnet101)                                                                     \
    ROW(resnet152)                                                                     \
    ROW(resnext101)

#define DECLARE(name) extern const fb_encoder fb_encoder_##name;
FB_ENCODERS(DECLARE)

#define ADDRESS(name) &fb_encoder_##name,
static const fb_encoder *const rows[] = {FB_ENCODERS(ADDRESS) NULL};

enum { ROWS = sizeof rows / sizeof rows[0] - 1 };

const fb_encoder *fb_encoder_at(int32_t i)
{
    return i >= 0 && i < ROWS ? rows[i] : NULL;
}

const fb_encoder *fb_encoder_find(const char *name)
{
    for (int32_t i = 0; i < ROWS; i++)
        if (strcmp(rows[i]->name, name) == 0)
            return rows[i];
    return NULL;
}

bool fb_encoder_learns(const char *name)
{
    const fb_encoder *row = fb_encoder_find(name);
    return row && row->learns;
}

bool fb_encoder_sees_around(const char *name, bool each)
{
    const fb_encoder *row = fb_encoder_find(name);
    return row && !row->alone && !each;
}

const char *fb_encoder_name(int32_t place)
{
    const fb_encoder *row = fb_encoder_at(place);
    return row ? row->name : NULL;
}

fb_status fb_encoder_get(fb_context *ctx, const fb_encoder **row, const char *name)
{
    *row = fb_encoder_find(name);
    if (*row)
        return FB_OK;
    char names[256] = "";
    for (int32_t i = 0, used = 0; i < ROWS && used < (int)sizeof names; i++)
        used += snprintf(names + used, sizeof names - (size_t)used, "%s%s",
                         i ? ", " : "", rows[i]->name);
    return fb_fail(ctx, FB_E_USAGE, "encoder %s is not known; use %s", name, names);
}

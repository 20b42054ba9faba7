/* measures.c - see measures.h. */
#include "models/measures.h"

#include <string.h>

static fb_measure *put(fb_measures *list, int32_t at, const fb_measure *item)
{
    if (list->count == FB_MEASURES_MAX)
        at = FB_MEASURES_MAX;
    else
        memmove(list->items + at + 1, list->items + at,
                (size_t)(list->count++ - at) * sizeof *item);
    list->items[at] = *item;
    return &list->items[at];
}

void fb_measures_put_loss(fb_measures *list, const char *name, uint32_t flags,
                          double value, double weight, int64_t rows)
{
    (void)put(list, list->count,
              &(fb_measure){.name = name,
                            .flags = flags | FB_MEASURE_LOSS,
                            .value = value,
                            .weight = weight,
                            .rows = rows});
}

void fb_measures_put_share(fb_measures *list, const char *name, uint32_t flags,
                           double right, int64_t rows, double chance)
{
    (void)put(list, list->count,
              &(fb_measure){.name = name,
                            .flags = flags | FB_MEASURE_SHARE,
                            .value = rows ? right / (double)rows : 0,
                            .rows = rows,
                            .right = right,
                            .chance = chance});
}

void fb_measures_put_figure(fb_measures *list, const char *name, double value)
{
    (void)put(list, list->count,
              &(fb_measure){.name = name, .value = value, .rows = 1});
}

static int32_t index_of(const fb_measures *list, const char *name)
{
    int32_t i = 0;
    while (i < list->count && strcmp(list->items[i].name, name) != 0)
        i++;
    return i;
}

void fb_measures_add(fb_measures *sum, const fb_measures *one)
{
    int32_t next = 0; /* place of an item that sum lacks */
    sum->total += one->total;
    for (int32_t i = 0; i < one->count; i++) {
        const fb_measure *from = &one->items[i];
        const fb_measure fresh = {.name = from->name, .flags = from->flags};
        int32_t at = index_of(sum, from->name);
        fb_measure *to =
            at < sum->count ? &sum->items[at] : put(sum, at = next, &fresh);
        /* by rows, so that a batch without a loss does not dilute it */
        to->value += from->flags & FB_MEASURE_BATCHES
                         ? from->value
                         : from->value * (double)from->rows;
        to->weight += from->weight;
        to->rows += from->rows;
        to->right += from->right;
        to->chance += from->chance;
        next = at + 1;
    }
}

void fb_measures_mean(fb_measures *sum, int64_t batches)
{
    double n = batches ? (double)batches : 1.0;
    sum->total /= n;
    for (int32_t i = 0; i < sum->count; i++) {
        fb_measure *m = &sum->items[i];
        double rows = m->rows ? (double)m->rows : 1.0;
        m->value = m->flags & FB_MEASURE_SHARE     ? m->right / rows
                   : m->flags & FB_MEASURE_BATCHES ? m->value / n
                                                   : m->value / rows;
        m->weight /= n;
    }
}

const fb_measure *fb_measures_find(const fb_measures *list, const char *name)
{
    int32_t i = index_of(list, name);
    return i < list->count ? &list->items[i] : NULL;
}

double fb_measures_value(const fb_measures *list, uint32_t flag)
{
    for (int32_t i = 0; i < list->count; i++)
        if (list->items[i].flags & flag && list->items[i].rows)
            return list->items[i].value;
    return 0;
}

double fb_measure_chance(const fb_measure *measure)
{
    return measure->rows ? measure->chance / (double)measure->rows : 0;
}

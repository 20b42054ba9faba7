/* train_report.c - see train_report.h. */
#include "training/train_report.h"

#include "models/system.h"

#include <math.h>
#include <string.h>

/* NULL: there are too many. */
static struct fb_train_mean *find(fb_train_means *means, const fb_measure *m)
{
    int32_t i = 0;
    while (i < means->count && strcmp(means->losses[i].name, m->name) != 0)
        i++;
    if (i == FB_MEASURES_MAX)
        return NULL;
    if (i == means->count) {
        means->losses[i] = (struct fb_train_mean){.name = m->name, .flags = m->flags};
        means->count++;
    }
    return &means->losses[i];
}

void fb_train_means_add(fb_train_means *means, const fb_measures *step)
{
    int64_t at = means->steps++ % FB_TRAIN_MEANS;
    means->total[at] = step->total;
    for (int32_t i = 0; i < means->count; i++)
        means->losses[i].value[at] = 0;
    for (int32_t i = 0; i < step->count; i++) {
        const fb_measure *m = &step->items[i];
        if (m->flags & FB_MEASURE_HEADLINE && !means->accuracy)
            means->accuracy = m->name;
        if (m->flags & FB_MEASURE_HEADLINE && m->chance > 0)
            means->chance = fb_measure_chance(m);
        if (!(m->flags & FB_MEASURE_LOSS))
            continue;
        struct fb_train_mean *loss = find(means, m);
        if (!loss)
            continue;
        loss->value[at] = m->value;
        loss->present = loss->present || m->rows > 0;
    }
}

static double mean_of(const fb_train_means *means, const double *value)
{
    int64_t n = means->steps < FB_TRAIN_MEANS ? means->steps : FB_TRAIN_MEANS;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += value[i];
    return n ? sum / (double)n : (double)NAN;
}

/* The report's entry of that name, a new one if it has none; NULL: it is full. */
static fb_train_measure *entry(fb_train_report *report, const char *name)
{
    int32_t i = 0;
    while (i < report->measure_count && strcmp(report->measures[i].name, name) != 0)
        i++;
    if (i == FB_TRAIN_MEASURES_MAX)
        return NULL;
    if (i == report->measure_count)
        report->measures[report->measure_count++] =
            (fb_train_measure){.name = name, .mean = (double)NAN};
    return &report->measures[i];
}

void fb_train_means_report(const fb_train_means *means, const char *const *own,
                           fb_train_report *report)
{
    fb_train_measure *e;
    report->loss = mean_of(means, means->total);
    report->measure_count = 0;
    for (int32_t i = 0; i < fb_systems_count(); i++)
        for (const char *const *n = fb_systems_get(i)->loss_names; n && *n; n++)
            (void)entry(report, *n);
    for (; own && *own; own++)
        if ((e = entry(report, *own)) != NULL)
            e->shown = true;
    for (int32_t i = 0; i < means->count; i++) {
        const struct fb_train_mean *loss = &means->losses[i];
        if ((e = entry(report, loss->name)) == NULL)
            continue;
        e->mean = loss->present ? mean_of(means, loss->value) : (double)NAN;
        e->shown = (e->shown || loss->present) && !(loss->flags & FB_MEASURE_IS_TOTAL);
    }
    report->accuracy = means->accuracy ? means->accuracy : "accuracy";
    report->chance = means->chance;
}

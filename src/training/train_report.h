/* train_report.h - what a run's report says of its steps: means over the last 100. */
#ifndef FB_TRAINING_TRAIN_REPORT_H
#define FB_TRAINING_TRAIN_REPORT_H

#include "fashionbert.h"
#include "models/measures.h"

#include <stdbool.h>

enum { FB_TRAIN_MEANS = 100 };

/* The last steps' losses: a ring each. Begins as {0}. A step that lacks one counts as 0.
 */
typedef struct fb_train_means {
    struct fb_train_mean {
        const char *name;
        uint32_t flags;
        bool present; /* in some step */
        double value[FB_TRAIN_MEANS];
    } losses[FB_MEASURES_MAX];
    int32_t count;
    double total[FB_TRAIN_MEANS];
    int64_t steps;
    const char *accuracy; /* NULL: no step yet */
    double chance;
} fb_train_means;

void fb_train_means_add(fb_train_means *means, const fb_measures *step);

/* Fill in loss, measures, accuracy and chance. Measures are the losses of every system,
 * so that reports of all have the same, 0 where the run has none of that name; then
 * those that are the run's alone. Shown are `own` (NULL behind the last: the system's)
 * and what the run had, but for a loss that is the total. */
void fb_train_means_report(const fb_train_means *means, const char *const *own,
                           fb_train_report *report);

#endif

/* step_numbers.h - what a step measured (measures.h), by loss: for tests that compare
 * arrays of losses and weights. */
#ifndef FB_TESTS_STEP_NUMBERS_H
#define FB_TESTS_STEP_NUMBERS_H

#include "models/fashionbert/fashionbert_options.h"
#include "models/measures.h"

typedef struct step_numbers {
    bool present[FB_LOSSES_ALL];
    double loss[FB_LOSSES_ALL], weight[FB_LOSSES_ALL];
    int64_t rows[FB_LOSSES_ALL];
    double itc, total;
    int64_t pairs, pairs_right;
} step_numbers;

static inline fb_measure measure_named(const fb_measures *list, const char *name)
{
    const fb_measure *m = fb_measures_find(list, name);
    return m ? *m : (fb_measure){.name = name};
}

static inline step_numbers step_numbers_of(const fb_measures *list)
{
    fb_measure accuracy = measure_named(list, "accuracy");
    step_numbers n = {.total = list->total,
                      .itc = measure_named(list, "itc").value,
                      .pairs = accuracy.rows,
                      .pairs_right = (int64_t)accuracy.right};
    for (int32_t i = 0; i < FB_LOSSES_ALL; i++) {
        fb_measure m = measure_named(list, fb_loss_name(i));
        n.present[i] = m.rows > 0;
        n.loss[i] = m.value;
        n.weight[i] = m.weight;
        n.rows[i] = m.rows;
    }
    return n;
}

#endif

/* measures.h - what a batch, a step or a validation gave: a list of named numbers. A
 * system fills it (its losses, their weights, shares of right answers); the log, the
 * report, TensorBoard and the terminal show it as given and know no name.
 *
 *     item        flags                     value           over several batches
 *     loss        FB_MEASURE_LOSS           mean of `rows`  mean by rows
 *     loss        ... | FB_MEASURE_BATCHES  of the batch    mean by batch, 0 where absent
 *     share       FB_MEASURE_SHARE          right / rows    sum right / sum rows
 *     figure      0                         as given        mean by rows
 *
 * An item without rows is absent: it keeps its place (null in a log line) and has no
 * value. What a system leaves out of its list has no place either. Weights are means by
 * batch. The order of a list is the order in which it is shown.
 */
#ifndef FB_MODELS_MEASURES_H
#define FB_MODELS_MEASURES_H

#include <stdint.h>

enum { FB_MEASURES_MAX = 32 };

enum {
    FB_MEASURE_LOSS = 1,
    FB_MEASURE_SHARE = 2,
    FB_MEASURE_BATCHES = 4,
    FB_MEASURE_WEIGHED = 8,   /* its weight is shown beside it */
    FB_MEASURE_IS_TOTAL = 16, /* equals the total: not shown again beside that */
    /* The best checkpoint has the highest of the first present HEADLINE, then the lowest
     * of the first present DECIDES. */
    FB_MEASURE_HEADLINE = 32,
    FB_MEASURE_DECIDES = 64,
};

typedef struct fb_measure {
    const char *name; /* of static lifetime; the key of a log line */
    uint32_t flags;   /* FB_MEASURE_... */
    double value;     /* absent: 0 */
    double weight;    /* of a loss in the total */
    int64_t rows;     /* 0: absent */
    double right;     /* share: of rows; k equally good answers may count 1/k each */
    double chance;    /* share: how many of rows guessing gets right; 0: not known */
} fb_measure;

typedef struct fb_measures {
    double total; /* what is minimised: sum of weight * loss */
    int32_t count;
    /* [count], and one behind that takes what does not fit */
    fb_measure items[FB_MEASURES_MAX + 1];
} fb_measures;

/* Append. `list` begins as {0}; the 33rd and later items are left out. rows may be 0. */
void fb_measures_put_loss(fb_measures *list, const char *name, uint32_t flags,
                          double value, double weight, int64_t rows);
void fb_measures_put_share(fb_measures *list, const char *name, uint32_t flags,
                           double right, int64_t rows, double chance);
void fb_measures_put_figure(fb_measures *list, const char *name, double value);

/* Sum over batches, then the means over `batches` of them. Items go by name; one that
 * `sum` lacks joins behind its neighbour in `one`. Between the two calls values are
 * sums. */
void fb_measures_add(fb_measures *sum, const fb_measures *one);
void fb_measures_mean(fb_measures *sum, int64_t batches);

/* NULL: none of that name. */
const fb_measure *fb_measures_find(const fb_measures *list, const char *name);
/* The value of the first present item with that flag; 0: none. */
double fb_measures_value(const fb_measures *list, uint32_t flag);
/* The share that guessing gets right; 0: not known. */
double fb_measure_chance(const fb_measure *measure);

#endif

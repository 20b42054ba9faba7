/* item_order.h - the order in which training goes through the items, epoch after epoch,
 * as a function of the seed and the epoch. Batches grouped by category mine hard
 * negatives by their composition: the others of a batch are similar products.
 *
 * Epochs lie end to end: place p of the stream is place p % N of epoch p / N, and step
 * s takes the B places from s*B on. Every epoch has each item exactly once.
 *
 *     plain      all items shuffled by (seed, ORDER, epoch)
 *     grouped    the same shuffle, dealt to the categories; each category is cut into
 *                runs of G items; what is left of the categories (fewer than G of each,
 *                and all items without a category) is sorted by category, the coarsest
 *                level first, and cut into runs of G too; the runs are shuffled by
 *                (seed, RUNS, epoch) and laid end to end
 *
 * Groups are of the level named "category", or of the most specific one where no level
 * has that name.
 *
 * Of both: step s is a grouped one with probability `grouped`, by (seed, GROUPED, s).
 * An epoch then gives its grouped steps the first of its shuffled runs, and its other
 * steps the items of the runs that remain, shuffled.
 *
 * Distinct: a step that has the end of one epoch and the start of the next would show
 * an item twice. The next epoch's items that the step has already are put off until
 * right behind it.
 */
#ifndef FB_DATA_BATCH_ITEM_ORDER_H
#define FB_DATA_BATCH_ITEM_ORDER_H

#include "data/catalogue/catalogue.h"

typedef struct fb_item_order_options {
    uint64_t seed;
    int32_t per_step; /* B */
    bool distinct;    /* no step has an item twice; needs B <= N */
    int32_t group;    /* G; 0: plain */
    double grouped;   /* with G: above 0, up to 1 */
} fb_item_order_options;

typedef struct fb_item_order fb_item_order;

/* Of `items` (count >= 1), which are borrowed. Any number of threads may ask, each with
 * its own epoch. FB_E_USAGE (an option), FB_E_MEMORY */
fb_status fb_item_order_create(fb_context *ctx, fb_item_order **order,
                               const fb_catalogue *catalogue, const int32_t *items,
                               int32_t count, const fb_item_order_options *options);
void fb_item_order_free(fb_item_order *order);

/* A thread's memory: the epoch last asked for. NULL when memory is out. */
typedef struct fb_item_epoch fb_item_epoch;
fb_item_epoch *fb_item_epoch_create(const fb_item_order *order);
void fb_item_epoch_free(fb_item_epoch *epoch);

/* The item at a place of the stream. */
int32_t fb_item_order_at(const fb_item_order *order, fb_item_epoch *epoch,
                         uint64_t place);

/* Whether the step is a grouped one. */
bool fb_item_order_grouped(const fb_item_order *order, uint64_t step);

#endif

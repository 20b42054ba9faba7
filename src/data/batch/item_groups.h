/* item_groups.h - which items' texts are the same text, and which items' images show
 * the same product: what may not stand as a negative of each other.
 *
 *     text_group [item]     equal exactly when two titles are equal (the catalogue's
 *                           text key) or become the same tokens
 *     image_group [item]    equal exactly when two items are of one product or have one
 *                           file
 *
 * "Or" is carried on: when a and b share a product, and b and c a file, all three are
 * one group. Numbers are 0, 1, 2, ... in the order in which groups come up; -1 for
 * items that are not among those asked about.
 */
#ifndef FB_DATA_BATCH_ITEM_GROUPS_H
#define FB_DATA_BATCH_ITEM_GROUPS_H

#include "data/batch/token_lists.h"

typedef struct fb_item_groups {
    int32_t *text_group, *image_group; /* by catalogue item */
    int32_t texts, images;             /* how many groups of each */
} fb_item_groups;

/* Of `items` (count); tokens by catalogue item. FB_E_MEMORY. */
fb_status fb_item_groups_create(fb_context *ctx, fb_item_groups **groups,
                                const fb_catalogue *catalogue,
                                const fb_token_lists *tokens, const int32_t *items,
                                int32_t count);
void fb_item_groups_free(fb_item_groups *groups);

#endif

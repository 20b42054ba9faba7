/* split_items.h - one split of a catalogue as ranking sees it: items with interned
 * keys, their names, and texts and images for the scorer. */
#ifndef FB_ENGINE_SPLIT_ITEMS_H
#define FB_ENGINE_SPLIT_ITEMS_H

#include "data/catalogue/catalogue.h"
#include "engine/model_folder.h"
#include "retrieval/ranking/candidate_file.h"

typedef struct fb_split_items {
    fb_catalogue *catalogue;
    fb_arena *arena;
    fb_split split;
    int32_t count;
    fb_candidate_item *items;        /* [count] */
    const char **ids, **titles;      /* [count] file names; titles */
    const char **paths;              /* [count] image files */
    int32_t *same_text, *same_image; /* [count] the first item with that text, image */
    int32_t category_count;
    fb_candidate_catalog names; /* for candidate files */
} fb_split_items;

/* Reads every image file of the split once, to find duplicate images.
 * FB_E_MISSING: the split has no item. */
fb_status fb_split_items_open(fb_context *ctx, fb_split_items **items,
                              const char *folder, const char *split);
/* The same of a catalogue opened with options. */
fb_status fb_split_items_open_as(fb_context *ctx, fb_split_items **items,
                                 const char *folder, const char *split,
                                 const fb_catalogue_options *options);
void fb_split_items_close(fb_split_items *items);
const char *fb_split_items_category(const fb_split_items *items, int32_t category);

#endif

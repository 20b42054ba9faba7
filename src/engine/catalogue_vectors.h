/* catalogue_vectors.h - a catalogue's items run through a model's two towers, block by
 * block, images decoded on threads ahead of it: what encode and index are made of.
 *
 *     open  ->  next (a block of items)  ...  until count is 0  ->  close
 */
#ifndef FB_ENGINE_CATALOGUE_VECTORS_H
#define FB_ENGINE_CATALOGUE_VECTORS_H

#include "data/catalogue/catalogue.h"
#include "engine/model_folder.h"

typedef struct fb_catalogue_vectors fb_catalogue_vectors;

/* One block: items [count] of the list, from `first` on. Arrays are valid until next.
 */
typedef struct fb_vector_block {
    int64_t first;
    int32_t count;
    const float *text, *image; /* [count, D]; NULL: not asked for */
    const uint8_t *pixels;     /* [count, size, size, 3]; NULL without photos */
    const fb_bf16 *features;   /* [count, P, F]; NULL: not asked for */
} fb_vector_block;

enum { FB_VECTOR_BLOCK = 64 };

/* What is made of items. `features` are of images, by a model with a network. */
typedef struct fb_vector_wants {
    bool text, image, features;
} fb_vector_wants;

/* items [count] are numbers of the catalogue's items. All is borrowed. */
fb_status fb_catalogue_vectors_open(fb_context *ctx, fb_catalogue_vectors **vectors,
                                    fb_model *model, const fb_catalogue *catalogue,
                                    const int32_t *items, int64_t count,
                                    fb_vector_wants wants);
void fb_catalogue_vectors_close(fb_catalogue_vectors *vectors);
/* block->count 0: all are done. */
fb_status fb_catalogue_vectors_next(fb_context *ctx, fb_catalogue_vectors *vectors,
                                    fb_vector_block *block);

/* The items of a split, or of all with "all", in file order; malloc'ed.
 * FB_E_USAGE: no such split; FB_E_MISSING: it has no item. */
fb_status fb_catalogue_choose(fb_context *ctx, const fb_catalogue *catalogue,
                              const char *split, int32_t **items, int64_t *count);

#endif

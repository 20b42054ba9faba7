/* neighbours.h - CSLS hubness correction of a text's and an image's similarity.
 *
 * Some vectors are near to nearly all of the other kind ("hubs") and win lists that
 * they do not belong to. Cross-domain similarity local scaling (Conneau et al. 2018,
 * Eq. 3) subtracts how near each lies to the other kind in general:
 *
 *     s(t, i) = cos(t, i) - weight (r(t) + r(i))
 *     r(t)      mean of the K largest cosines of t with images of the training split
 *     r(i)      the same of i with its texts
 *
 * weight is 1/2 in the paper (2 cos - r - r); here it is chosen on the validation split
 * (calibrate.c).
 *
 * In a model folder: neighbours.image.npy and neighbours.text.npy, [N, D] f32 each.
 */
#ifndef FB_ENGINE_NEIGHBOURS_H
#define FB_ENGINE_NEIGHBOURS_H

#include "backend/backend.h"
#include "data/catalogue/catalogue.h"

enum { FB_NEIGHBOURS = 10, FB_NEIGHBOUR_ROWS = 4096 };

typedef struct fb_model fb_model;
typedef struct fb_neighbours fb_neighbours;

/* Vectors of FB_NEIGHBOUR_ROWS products of the training split, by `seed`; of all where
 * it has fewer. */
fb_status fb_neighbours_make(fb_context *ctx, fb_neighbours **neighbours,
                             fb_model *model, const fb_catalogue *catalogue,
                             uint64_t seed);
fb_status fb_neighbours_save(fb_context *ctx, const fb_neighbours *neighbours,
                             const char *folder);
/* FB_E_FORMAT: of another width, or damaged; FB_E_IO or FB_E_MISSING: not there. */
fb_status fb_neighbours_open(fb_context *ctx, fb_neighbours **neighbours,
                             const char *folder, int32_t width);
void fb_neighbours_free(fb_neighbours *neighbours);

/* nearness [count]: r of unit vectors [count, D], of texts or of images. */
fb_status fb_neighbours_of(fb_context *ctx, const fb_neighbours *neighbours,
                           const fb_backend *be, bool texts, const float *vectors,
                           int64_t count, float *nearness);

#endif

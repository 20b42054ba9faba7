/* patch_pool.h - patch merging (as in Liu et al., Swin Transformer, 2021) in front of the
 * single stream: each block of s x s neighbouring patches becomes one row.
 *
 *     y[b] = LN(W [x of cell 0, x of cell 1, ..])      [images N, C], W [C, s s C]
 *
 * W begins as the mean of the block's rows. A grid of G x G patches leaves N =
 * (G / s)^2. Embeddings are merged, not features: what vectors are made of, and what an
 * index keeps of an image, is all patches.
 */
#ifndef FB_MODELS_FASHIONBERT_PATCH_POOL_H
#define FB_MODELS_FASHIONBERT_PATCH_POOL_H

#include "models/model_config.h"
#include "ops/ops.h"
#include "tensor/batch.h"

enum { FB_POOL_STEP = 4 }; /* the most patches a side of a block */

typedef struct fb_patch_pool {
    int32_t grid, step, side; /* G, s, G / s; side 0: nothing is merged */
    fb_leaf *weight, *gamma, *beta;
} fb_patch_pool;

/* FashionBERT's own key in config.json, "pooled_patches". */
typedef struct fb_fashionbert_own {
    int32_t pooled; /* N; 0: none are merged */
} fb_fashionbert_own;

/* N of a configuration; 0 too of other systems. */
int32_t fb_patch_pool_count(const fb_model_config *config);
/* FB_E_FORMAT: N patches are not blocks of the configuration's grid. */
fb_status fb_patch_pool_check(fb_context *ctx, const fb_model_config *config,
                              const char *where);

/* Nothing, where the configuration merges none. */
fb_status fb_patch_pool_declare(fb_params *params, fb_patch_pool *pool,
                                const fb_model_config *config);
/* Means, over freshly initialised weights. */
void fb_patch_pool_begin(const fb_patch_pool *pool, const fb_params *params);

/* The same batch with N rows an image, its sequences packed anew; `batch` itself where
 * none are merged. Texts and pairs are shared. FB_E_STATE: it has masked patches. */
fb_status fb_patch_pool_batch(fb_tape *tape, const fb_patch_pool *pool,
                              const fb_batch *batch, const fb_batch **pooled);
/* x [images G G, C]; y is x where none are merged. */
fb_status fb_patch_pool_forward(fb_tape *tape, const fb_patch_pool *pool, fb_var **y,
                                fb_var *x, float eps);
/* Of so many images. */
double fb_patch_pool_flops(const fb_patch_pool *pool, int64_t images, int64_t width);

#endif

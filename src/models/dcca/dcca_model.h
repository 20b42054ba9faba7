/* dcca_model.h - deep canonical correlation analysis (Andrew et al., ICML 2013; for image
 * and text Yan and Mikolajczyk, CVPR 2015): two networks whose outputs correlate.
 *
 *     x   the mean of an image's rows [R,F] (image_rows.h), whose network learns too
 *         unless it is frozen
 *     y   the mean of a text's word embeddings [V,E]
 *     h   W_out act(W ... act(W_1 LN(x)))      a network each, `depth` hidden layers
 *     L   -sum of the o correlations of a batch's H1 [m,o] and H2 [m,o], with ridges r
 *         (ops/op_trace_norm.c)
 *
 * On top of the trained networks lies linear CCA over the whole training split, solved
 * anew from the weights of every checkpoint (fb_system.finish), so that a checkpoint's
 * projection is of its own weights. Vectors and score are then CCA's (cca/projection.h).
 *
 * The covariances are a batch's, so a batch needs many more products than o, 800 by
 * default, and at least o + 1.
 *
 * Defaults: o a twelfth of the batch and at most 128, one hidden layer of 512, r 1e-3.
 * Departures: GELU in place of sigmoids, LayerNorm before the first layer in place of
 * BatchNorm, AdamW in place of RMSprop or L-BFGS, words' embeddings learnt.
 */
#ifndef FB_MODELS_DCCA_DCCA_MODEL_H
#define FB_MODELS_DCCA_DCCA_MODEL_H

#include "models/cca/projection.h"
#include "models/image_rows.h"

extern const fb_system fb_dcca_system;

enum { FB_DCCA_DEPTH = 8 };

typedef struct fb_dcca_config { /* its own keys of config.json */
    int32_t hidden, depth;      /* width and number of hidden layers */
    int32_t embedding;          /* E */
    double ridge[2];            /* r of images, of texts */
    double top_ridge;           /* eta of the linear CCA on top (base/canonical.h) */
    double power;               /* of the correlations in a vector */
} fb_dcca_config;

typedef struct fb_dcca_network {
    fb_leaf *gamma, *beta; /* [d] */
    fb_leaf *weight[FB_DCCA_DEPTH], *bias[FB_DCCA_DEPTH];
    fb_leaf *out_weight, *out_bias; /* [o,hidden] */
} fb_dcca_network;

typedef struct fb_dcca {
    fb_matcher matcher;
    fb_image_rows rows;
    fb_leaf *words; /* [V,E] */
    fb_dcca_network network[2];
    fb_projection projection;
} fb_dcca;

static inline const fb_dcca_config *fb_dcca_config_of(const fb_model_config *c)
{
    return (const fb_dcca_config *)(const void *)&c->own;
}

fb_status fb_dcca_declare(fb_params *params, fb_dcca *m, const fb_model_config *config,
                          fb_model_use use);
/* h [images,o], or of the texts, f32. */
fb_status fb_dcca_forward(fb_dcca *m, fb_tape *tape, const fb_batch *batch, int view,
                          fb_var **h);

/* Of the row (system.h). */
fb_status fb_dcca_train_batch(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                              const void *step, fb_measures *measures);
fb_status fb_dcca_finish(fb_context *ctx, fb_matcher *matcher,
                         const fb_batch_stream *batches);
fb_status fb_dcca_vectors(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                          float *texts, float *images);

#endif

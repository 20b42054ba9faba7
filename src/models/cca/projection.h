/* projection.h - linear CCA as the last layer of a model: what base/canonical.h solved, as
 * parameters that no gradient reaches, and the vectors that it makes.
 *
 *     z = (x - mean) A rho^p    u = z / |z|      of an image; of a text with B
 *
 * Each coordinate counts as its pair correlates (Gong et al. 2014; Klein et al. 2015);
 * cosines of u are then the score. All of it is f64 on the host: whitening blows small
 * directions up, which bf16 would round away.
 */
#ifndef FB_MODELS_CCA_PROJECTION_H
#define FB_MODELS_CCA_PROJECTION_H

#include "base/canonical.h"
#include "models/matcher.h"

typedef struct fb_projection {
    fb_leaf *mean[2], *weight[2]; /* [d], [k,d]: of images, of texts */
    fb_leaf *rho;                 /* [k] */
} fb_projection;

enum { FB_VIEW_IMAGE, FB_VIEW_TEXT };
extern const char *const fb_view_names[2]; /* "the images' vectors", ... */

/* Declare PREFIX.image.mean, PREFIX.image.weight, those of text, and PREFIX.correlation,
 * frozen, for widths d[2]. */
fb_status fb_projection_declare(fb_params *params, fb_projection *p, const char *prefix,
                                const int32_t d[2], int32_t k);
/* Into the backend's memory. FB_E_NUMBER: a number is beyond f32. */
fb_status fb_projection_set(fb_context *ctx, fb_params *params, fb_backend *be,
                            const fb_projection *p, const fb_canonical *solution);
/* Write the host's numbers of a leaf to where kernels read them. */
fb_status fb_projection_write(fb_context *ctx, fb_params *params, fb_backend *be,
                              fb_leaf *leaf, const double *numbers);

/* u [rows,k] of x [rows,d], which is centred in place. */
fb_status fb_projection_vectors(fb_tape *tape, const fb_projection *p, int view,
                                fb_matrix x, double power, float *u);

/* What a batch of items gives where text i belongs to image i, both [n,k] of unit length:
 *
 *     loss     mean of 1 - cos(text i, image i), which decides
 *     recall@1 of the batch (batch_recall.h)
 */
fb_status fb_projection_measure(fb_context *ctx, const fb_batch *batch,
                                const float *texts, const float *images, int32_t k,
                                const char *loss, fb_measures *out);

#endif

/* cca_model.h - canonical correlation analysis (Hotelling 1936) of products' images and
 * texts, as image-text retrieval has used it (Gong et al. 2014; Klein et al. 2015): the
 * system that learns in closed form.
 *
 *     x   an image's rows [R,F] (image_rows.h), averaged in cells x cells of the image's
 *         area by their boxes' centres, side by side: dx = cells^2 F. One cell is the
 *         pooled mean. Rows are frozen: pixels by default, which with 8 x 8 cells is a
 *         thumbnail, or what a trained network makes.
 *     y   TF-IDF of a text's word pieces: count * (log((1 + n) / (1 + df)) + 1) of the
 *         `text_width` pieces that most texts have and at least two, the vector scaled to
 *         length 1
 *     u   (x - mean) A rho^p, v = (y - mean) B rho^p, of unit length; A, B and rho from
 *         one decomposition (base/canonical.h); the score is their cosine
 *
 * Kernel CCA by random Fourier features (Rahimi and Recht 2007): in x's place, or y's,
 *
 *     sqrt(2 / D) cos(W x + b)     W ~ N(0, 1 / s^2), b ~ U(0, 2 pi)
 *
 * which stand for the Gaussian kernel exp(-|x - x'|^2 / 2 s^2); s is the median distance
 * of pairs (the median heuristic).
 *
 * All comes from one pass. The first products of the shuffled split, as many as
 * fb_cca_sample says, are kept: df, s and the ridges are theirs. A ridge is eta *
 * (largest eigenvalue) + 1e-8; of a few eta of images, then of texts, the one is taken
 * that ranks best on a part of the sample which the covariances do not have yet.
 *
 * Defaults: 2048 pieces, correlations to the power 1, pixels of 16 x 16 through a kernel
 * of at most 2048 frequencies, no more than there are products, and no kernel of texts.
 * Departures: df of a sample where the split is larger; ridges are chosen, not given;
 * TF-IDF of word pieces in place of the papers' Fisher vectors of words.
 */
#ifndef FB_MODELS_CCA_CCA_MODEL_H
#define FB_MODELS_CCA_CCA_MODEL_H

#include "models/cca/projection.h"
#include "models/image_rows.h"

extern const fb_system fb_cca_system;

typedef struct fb_cca_config { /* its own keys of config.json */
    int32_t text_width;        /* at most, pieces of a text's vector */
    int32_t cells;             /* a side; 0 until configured: as many as fit */
    int32_t kernel[2];         /* D of images, of texts; 0: linear, -1: by products */
    double ridge[2];           /* eta of images, of texts; 0: chosen */
    double power;              /* p */
} fb_cca_config;

typedef struct fb_cca {
    fb_matcher matcher;
    fb_image_rows rows;
    fb_leaf *pieces;                  /* [V] idf; 0: no column */
    fb_leaf *frequency[2], *phase[2]; /* [D,d], [D]; NULL: linear */
    fb_projection projection;
} fb_cca;

/* Of x and y before a kernel, and behind it. */
typedef struct fb_cca_widths {
    int32_t raw[2], d[2];
} fb_cca_widths;

static inline const fb_cca_config *fb_cca_config_of(const fb_model_config *c)
{
    return (const fb_cca_config *)(const void *)&c->own;
}

/* cells^2 F, and the columns of texts. */
fb_cca_widths fb_cca_widths_of(const fb_model_config *config);

/* What is added up before a kernel: x [images, raw] of the batch. */
fb_status fb_cca_images(fb_cca *m, fb_tape *tape, const fb_batch *batch, fb_matrix x);
/* y [texts, raw] of token lists, ids[offsets[i] .. offsets[i+1]) with a special at either
 * end; column [V] -1: none. */
void fb_cca_texts(const int32_t *column, const float *idf, const int32_t *ids,
                  const int32_t *offsets, fb_matrix y);
/* Columns in the order of ids whose idf is not 0. */
void fb_cca_columns(int32_t *column, const float *idf, int32_t vocab);
/* phi [n,D] of x [n,raw] by a view's frequencies [D,raw] and phases [D]. */
fb_status fb_cca_kernel(fb_context *ctx, fb_matrix phi, fb_matrix x,
                        const float *frequency, const float *phase);

/* How many products of a split are kept at most: their x take 256 MiB. */
int32_t fb_cca_sample(const fb_cca *m);

/* Of the row. */
fb_status fb_cca_fit(fb_context *ctx, fb_matcher *matcher,
                     const fb_batch_stream *batches);
fb_status fb_cca_vectors(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                         float *texts, float *images);

#endif

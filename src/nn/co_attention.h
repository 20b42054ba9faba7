/* co_attention.h - a co-attention layer: two streams, each of whose sequences asks the
 * other's (Lu et al. 2019, ViLBERT). Side s, o the other one:
 *
 *     c_s = attention(Wq_s x_s over Wk_o x_o, Wv_o x_o)           all X wide, H heads
 *     a_s = LN(dropout(Wo_s c_s) + x_s)
 *     y_s = LN(dropout(W2_s act(W1_s a_s)) + a_s)
 *
 *     x_s, y_s [T_s, C_s]: packed sequences; sequence b of one side sees b of the other
 *
 * Names: PREFIX.layer.N.SIDE.query.weight, .key., .value., .output.dense.,
 * .output.LayerNorm., .intermediate.dense., .feed.dense., .feed.LayerNorm.
 */
#ifndef FB_NN_CO_ATTENTION_H
#define FB_NN_CO_ATTENTION_H

#include "nn/param.h"
#include "ops/ops.h"

enum { FB_CO_SIDES = 2 };

typedef struct fb_co_options {
    const char *side[FB_CO_SIDES]; /* names of the streams, of static lifetime */
    int32_t width[FB_CO_SIDES];    /* C_s */
    int32_t inner[FB_CO_SIDES];    /* of their feed-forward layers */
    int32_t shared, heads;         /* X, H */
    float eps, init_std;
    fb_activation act;
} fb_co_options;

typedef struct fb_co_side {
    fb_leaf *query_weight, *query_bias; /* [X, C] */
    fb_leaf *kv_weight, *kv_bias;       /* [2X, C] */
    fb_leaf *out_weight, *out_bias, *norm1_gamma, *norm1_beta;
    fb_leaf *inner_weight, *inner_bias, *outer_weight, *outer_bias;
    fb_leaf *norm2_gamma, *norm2_beta;
} fb_co_side;

typedef struct fb_co_layer {
    fb_co_options options;
    fb_co_side side[FB_CO_SIDES];
} fb_co_layer;

/* The sequences of one side. Where a row of x serves several sequences, `index` names
 * the row of x for each of `rows` packed rows, and projections are made once a row of x;
 * NULL: x is packed as it is. */
typedef struct fb_co_rows {
    const int32_t *index;
    int64_t rows;
    const int32_t *offsets; /* [sequences + 1] of the packed rows */
} fb_co_rows;

/* Layer `number` under PREFIX. */
fb_status fb_co_layer_declare(fb_params *params, fb_co_layer *layer, const char *prefix,
                              int32_t number, const fb_co_options *options);

/* y[s] of x[s] by side; y may be x. */
fb_status fb_co_layer_forward(fb_tape *tape, fb_var *y[FB_CO_SIDES],
                              fb_var *const x[FB_CO_SIDES], const fb_co_layer *layer,
                              const fb_co_rows rows[FB_CO_SIDES], int32_t sequences);

/* Forward multiply-adds times two of one pair of sequences, so many rows a side. */
double fb_co_layer_flops(const fb_co_options *options, double rows0, double rows1);

#endif

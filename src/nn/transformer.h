/* transformer.h - transformer encoders over packed sequences (Vaswani et al. 2017), L
 * layers of
 *
 *     post-norm   a = LN(dropout(W_o attention(W_qkv x)) + x)       BERT
 *                 y = LN(dropout(W_2 act(W_1 a)) + a)
 *     pre-norm    a = x + dropout(W_o attention(W_qkv LN(x)))       GPT-2, ViT, CLIP
 *                 y = a + dropout(W_2 act(W_1 LN(a)))
 *
 * The norm that follows the last layer of a pre-norm encoder is the caller's.
 *
 * Names on disk are Hugging Face's of BERT whatever the norm's place:
 * PREFIX.layer.N.attention.self.query.weight, ... The first norm of a layer is
 * attention.output.LayerNorm, the second output.LayerNorm.
 */
#ifndef FB_NN_TRANSFORMER_H
#define FB_NN_TRANSFORMER_H

#include "nn/param.h"
#include "ops/ops.h"

enum { FB_LAYERS_MAX = 48 };

typedef struct fb_transformer_options {
    int32_t layers, width, heads, inner; /* L, C, H, feed-forward width */
    float eps, init_std;
    bool pre_norm, causal;
    fb_activation act;
} fb_transformer_options;

typedef struct fb_transformer_layer {
    fb_leaf *qkv_weight, *qkv_bias, *out_weight, *out_bias, *norm1_gamma, *norm1_beta;
    fb_leaf *inner_weight, *inner_bias, *outer_weight, *outer_bias;
    fb_leaf *norm2_gamma, *norm2_beta;
} fb_transformer_layer;

typedef struct fb_transformer {
    fb_transformer_options options;
    fb_transformer_layer layer[FB_LAYERS_MAX];
} fb_transformer;

/* Declare its parameters under PREFIX ("bert.encoder"). */
fb_status fb_transformer_declare(fb_params *params, fb_transformer *t,
                                 const char *prefix,
                                 const fb_transformer_options *options);

/* y[T,C] of x[T,C], B sequences, offsets[B+1]. When the tape does not record, memory of
 * a layer is given back before the next. */
fb_status fb_transformer_forward(fb_tape *tape, fb_var **y, fb_var *x,
                                 const fb_transformer *t, const int32_t *offsets,
                                 int32_t sequences);
/* The same through the layers first .. first + count - 1 alone. */
fb_status fb_transformer_forward_layers(fb_tape *tape, fb_var **y, fb_var *x,
                                        const fb_transformer *t, int32_t first,
                                        int32_t count, const int32_t *offsets,
                                        int32_t sequences);

/* Some rows of packed sequences: those that will be read of a layer's output. */
typedef struct fb_picked_rows {
    const int32_t *rows;    /* [count] of the sequences' rows, ascending */
    const int32_t *offsets; /* [sequences + 1] of the picked ones */
    int64_t count;
} fb_picked_rows;

/* One layer's output at the picked rows alone, [count, C]: they see all rows of their
 * sequence, and only theirs are carried further. FB_E_SHAPE: a causal encoder. */
fb_status fb_transformer_forward_picked(fb_tape *tape, fb_var **y, fb_var *x,
                                        const fb_transformer *t, int32_t layer,
                                        const fb_picked_rows *picked,
                                        const int32_t *offsets, int32_t sequences);

/* Forward multiply-adds times two of the layers' products and attention, one sequence
 * of `tokens`. */
double fb_transformer_flops(const fb_transformer_options *options, double tokens);
/* The same of one layer's output at `picked` rows. */
double fb_transformer_picked_flops(const fb_transformer_options *options, double tokens,
                                   double picked);

/* Declare helpers that other modules share: a Linear (weight [out,in] and bias) and a
 * LayerNorm, under PREFIX.weight, PREFIX.bias. */
fb_status fb_linear_declare(fb_params *params, fb_leaf **weight, fb_leaf **bias,
                            const char *prefix, int64_t out, int64_t in, float init_std,
                            bool shared);
fb_status fb_norm_declare(fb_params *params, fb_leaf **gamma, fb_leaf **beta,
                          const char *prefix, int64_t width, bool shared);
fb_status fb_table_declare(fb_params *params, fb_leaf **table, const char *name,
                           int64_t rows, int64_t width, float init_std, bool shared);

#endif

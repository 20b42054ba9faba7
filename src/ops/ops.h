/* ops.h - every differentiable operation, one a file op_NAME.c.
 *
 * Each checks its shapes (FB_E_SHAPE names the op and both shapes), calls the backend
 * and records its backward. Outputs are new variables of the tape. Letters as in
 * kernels.def. Arrays of indices, pixels and masks are the host's, borrowed until the tape
 * is done with; indices must be in range.
 */
#ifndef FB_OPS_OPS_H
#define FB_OPS_OPS_H

#include "ops/tape.h"

/* y[T,N] = x[T,K] w^T + bias; bias may be NULL. as_f32: y is f32 (logits). */
fb_status fb_op_linear(fb_tape *tape, fb_var **y, fb_var *x, fb_leaf *w, fb_leaf *bias,
                       bool as_f32);
/* act(x w^T + bias); keeps the pre-activation only when recording. */
fb_status fb_op_linear_act(fb_tape *tape, fb_var **y, fb_var *x, fb_leaf *w,
                           fb_leaf *bias, fb_activation act);
fb_status fb_op_tanh(fb_tape *tape, fb_var **y, fb_var *x);
/* y = act(x), where no product is before it; act is not NONE. */
fb_status fb_op_act(fb_tape *tape, fb_var **y, fb_var *x, fb_activation act);
/* y = a b, element by element, of one shape and dtype. */
fb_status fb_op_multiply(fb_tape *tape, fb_var **y, fb_var *a, fb_var *b);

/* y = LayerNorm(dropout(x) + residual); residual may be NULL (then drop is ignored).
 * With one, x's value is overwritten by the sum: nothing else may read it, and it may
 * not come from tanh, attention or unit_rows, whose backward does. */
fb_status fb_op_norm(fb_tape *tape, fb_var **y, fb_var *x, fb_var *residual,
                     fb_leaf *gamma, fb_leaf *beta, float eps);
fb_status fb_op_dropout(fb_tape *tape, fb_var **y, fb_var *x);

/* y = dropout(x) + residual, of one shape: a block's own sum, where no norm follows. */
fb_status fb_op_add(fb_tape *tape, fb_var **y, fb_var *x, fb_var *residual);

/* out[T,C] of qkv[T,3C] over B packed sequences, offsets[B+1]; causal: a token sees
 * itself and those before it in its sequence. */
fb_status fb_op_attention(fb_tape *tape, fb_var **out, fb_var *qkv,
                          const int32_t *offsets, int32_t sequences, int32_t heads,
                          bool causal);
/* out[Tq,C] of q[Tq,C] over kv[Tk,2C], k and v side by side: queries of sequence b see
 * keys of sequence b alone, q_offsets and kv_offsets [B+1]. q and kv get gradients both
 * or neither; no key: 0. Where both have 3C columns, q, k and v side by side, the first
 * C of q and the last 2C of kv are taken: self-attention of some rows alone. */
fb_status fb_op_cross_attention(fb_tape *tape, fb_var **out, fb_var *q, fb_var *kv,
                                const int32_t *q_offsets, const int32_t *kv_offsets,
                                int32_t sequences, int32_t heads);

/* The states y[T,H] of a gated recurrent unit over B packed sequences (backend.h,
 * fb_recurrence); x [T,3H] f32 = W_i x + b_i for r, z, n; w [3H,H], bias [3H].
 * `backwards`: from each sequence's last row to its first. */
fb_status fb_op_gru(fb_tape *tape, fb_var **y, fb_var *x, fb_leaf *w, fb_leaf *bias,
                    const int32_t *offsets, int32_t sequences, bool backwards);

/* y[n] = x[n] + sum of rows ids[k][n] of tables[k] [rows, C]; x may be NULL. */
fb_status fb_op_embed(fb_tape *tape, fb_var **y, fb_var *x, fb_leaf *const *tables,
                      const int32_t *const *ids, int32_t table_count, int64_t rows);

/* y[n] = row index[n] of a, or of b past a's rows; b may be NULL. */
fb_status fb_op_gather(fb_tape *tape, fb_var **y, fb_var *a, fb_var *b,
                       const int32_t *index, int64_t rows);

/* Each `count` rows of x [R,C] end to end, [R/count, count C]: the same memory, so what
 * overwrites the one overwrites the other. */
fb_status fb_op_join(fb_tape *tape, fb_var **y, fb_var *x, int32_t count);

/* Convolution of rows (backend.h, fb_conv); no bias: a norm follows. */
fb_status fb_op_conv(fb_tape *tape, fb_var **y, fb_var *x, fb_leaf *w,
                     const fb_conv *conv);
/* A convolution with its frozen norm folded into w and bias. */
typedef struct fb_folded_conv {
    fb_weight *w;
    const float *bias;       /* [out]; NULL: none */
    const float *int8_scale; /* [out] of w's rows: products are of int8 numbers where
                                values are f32 (backend/int8.h); NULL: they are not */
} fb_folded_conv;
/* act(conv + bias + residual) without a backward. The tape must not record. residual
 * may be NULL. FB_E_SHAPE also: int8 products of more than one group. */
fb_status fb_op_conv_folded(fb_tape *tape, fb_var **y, fb_var *x,
                            const fb_folded_conv *folded, fb_var *residual, bool relu,
                            const fb_conv *conv);

/* The four parameters of a batch norm; the running pair are buffers: changed by
 * training steps, not by gradients. */
typedef struct fb_batch_norm_leaves {
    fb_leaf *gamma, *beta;
    float *running_mean, *running_var; /* [C], var unbiased, as in torch */
} fb_batch_norm_leaves;
typedef struct fb_batch_norm_options {
    float eps;
    bool relu, training;
    float momentum;
} fb_batch_norm_options;
/* y = act(BN(x) + residual); residual may be NULL. `training`: statistics of these
 * rows, and the running ones, exponential moving averages, move by momentum (torch's,
 * .1: new = .9 old + .1 batch) when the tape records; else the running statistics are
 * used, with gradients through them as constants. */
fb_status fb_op_batch_norm(fb_tape *tape, fb_var **y, fb_var *x, fb_var *residual,
                           const fb_batch_norm_leaves *leaves,
                           fb_batch_norm_options options);
fb_status fb_op_max_pool(fb_tape *tape, fb_var **y, fb_var *x, const fb_max_pool *pool);

/* y[s] = mean of x's rows offsets[s] .. offsets[s+1]-1; offsets [sequences + 1]. */
fb_status fb_op_mean_rows(fb_tape *tape, fb_var **y, fb_var *x, const int32_t *offsets,
                          int32_t sequences);
/* RoI-align (He et al. 2017): what of a map lies in each of R boxes, [R, C] of the map
 * [images * side * side, C] row by row. A box is sampled at samples x samples places,
 * evenly spread, each by bilinear interpolation among the centres of the map's places
 * (torchvision's aligned=True), and y is their mean. A box of no size is its place. */
typedef struct fb_roi_align {
    int32_t images, side, samples;
    int32_t count;        /* R */
    const float *boxes;   /* [R, 4] x1, y1, x2, y2 as shares of width and height */
    const int32_t *image; /* [R] */
} fb_roi_align;
fb_status fb_op_roi_align(fb_tape *tape, fb_var **y, fb_var *map,
                          const fb_roi_align *roi);
/* The rows of every process of the tape's communicator, in order of rank; x itself when
 * alone. Every process must have as many. */
fb_status fb_op_gather_ranks(fb_tape *tape, fb_var **y, fb_var *x);
/* Each row divided by its length. */
fb_status fb_op_unit_rows(fb_tape *tape, fb_var **y, fb_var *x);
/* y[R,size] f32 = each row of a [R,C] times the rows of b [R,C] of its own group, the
 * groups being `size` rows each, end to end. */
fb_status fb_op_group_products(fb_tape *tape, fb_var **y, fb_var *a, fb_var *b,
                               int64_t size);

/* Pixels to patch features [images*P, F]: a constant, no gradient. */
fb_status fb_op_patchify(fb_tape *tape, fb_var **y, const uint8_t *pixels,
                         const fb_patchify *p);

/* mean over M of -log softmax(logits[M,V])[target]; logits f32 */
fb_status fb_op_cross_entropy(fb_tape *tape, fb_loss **loss, fb_var *logits,
                              const int32_t *targets);
/* mean over M of KLD(softmax(features[rows]) | softmax(logits)); logits [M,F] f32. The
 * features are a target: they get no gradient. */
fb_status fb_op_kld(fb_tape *tape, fb_loss **loss, fb_var *logits,
                    const fb_tensor *features, const int32_t *rows);

/* InfoNCE both ways over the rows of a and b [B,C] of unit length, scale =
 * exp(log_scale[0]) learnt (leaf [1]), at most contrast->scale where that is not 0.
 * *similarity (may be NULL) [B,B] f32 stays on the tape: a_i . b_j, what hard negatives
 * are drawn by. */
fb_status fb_op_contrast(fb_tape *tape, fb_loss **loss, fb_tensor *similarity,
                         fb_var *a, fb_var *b, fb_leaf *log_scale,
                         const fb_contrast *contrast);
/* y[R,F+E] of v[R,F]: itself, and beside it the position that q[R,E] makes of its blocks,
 * rows of table [blocks,E] (backend.h, fb_positions). ids, overlap [R,K]. */
fb_status fb_op_position(fb_tape *tape, fb_var **y, fb_var *v, fb_var *q,
                         fb_leaf *table, const int32_t *ids, const float *overlap);
/* The two sides of stacked cross attention, and whose form their scores have: a sum over
 * one or two. Arrays of the host, as the tape's others. */
enum { FB_STACKED_FORMS = 2 };
typedef struct fb_stacked_sides {
    int32_t texts, images;
    const int32_t *text_offsets, *image_offsets; /* [texts + 1], [images + 1] */
    int32_t forms;
    fb_stacked_form form[FB_STACKED_FORMS];
} fb_stacked_sides;
/* scores [images, texts] f32 of words [T,D] and rows [R,D], of unit length (backend.h,
 * fb_stacked). Its gradient is f32 or of the compute dtype. */
fb_status fb_op_stacked(fb_tape *tape, fb_var **scores, fb_var *words, fb_var *rows,
                        const fb_stacked_sides *sides);
/* The same of listed pairs: scores[count], words and rows are the host's; no gradient,
 * and what the tape holds stays. Memory is bounded by an image's pairs, or some megabytes.
 */
typedef struct fb_stacked_pairs {
    int32_t width;             /* D */
    const float *words, *rows; /* [.., D] */
    const int32_t *text_offsets, *image_offsets;
    int64_t count;
    const int32_t *text, *image; /* [count]; images ascend */
    int32_t forms;
    fb_stacked_form form[FB_STACKED_FORMS];
} fb_stacked_pairs;
fb_status fb_stacked_score(fb_tape *tape, float *scores, const fb_stacked_pairs *pairs);
/* Hinge loss both ways over scores [B,B] f32 (backend.h, fb_hinge): its value is the sum
 * over the 2B rows and columns, as it is in VSE, not their mean. */
fb_status fb_op_hinge(fb_tape *tape, fb_loss **loss, fb_var *scores,
                      const fb_hinge *hinge);
/* Listwise loss: the mean over lists (kernels.def, list_forward). All but logits must
 * live as long as the tape. */
fb_status fb_op_list(fb_tape *tape, fb_loss **loss, fb_var *logits,
                     const fb_lists *lists);

/* DCCA's loss of two views of the same rows, h1 [m,d1] and h2 [m,d2]: minus the sum of the
 * first k canonical correlations with ridges r (base/canonical.h), computed on the host in
 * f64. FB_E_SHAPE: rows differ or are fewer than 2, or k is more than d1 or d2;
 * FB_E_NUMBER: a number is not finite, or a covariance without ridge is singular. */
fb_status fb_op_trace_norm(fb_tape *tape, fb_loss **loss, fb_var *h1, fb_var *h2,
                           int32_t k, const double r[2]);

#endif

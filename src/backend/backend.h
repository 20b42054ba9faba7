/* backend.h - the one seam between the model and the machine: a table of kernels.
 *
 * A backend computes in one dtype, fb_backend_dtype(be): "compute dtype" below.
 * Activations and their gradients have it; parameters, parameter gradients, statistics
 * and losses are f32 always. Sums, softmax and norm statistics are f32 (or wider)
 * whatever the dtype. ref/ computes in f32 with plain loops and is the oracle; cpu/ in
 * f32 or bf16.
 *
 * Letters: T rows (packed tokens), K inputs, N outputs, C width, H heads, D = C / H,
 * B sequences, V classes, P patches an image, F patch feature width. A picture's
 * activations are rows too: [images * height * width, C], channels last.
 *
 * Contract of every kernel: shapes are checked by ops/ before the call; outputs do not
 * share memory with inputs unless stated; activation gradients overwrite, parameter
 * gradients (named d..., f32, "+=") accumulate; a size of 0 is allowed and does
 * nothing; results do not depend on timing (same thread count, same bits). A kernel
 * that fails returns FB_E_BACKEND or FB_E_MEMORY with a sentence in be->ctx.
 */
#ifndef FB_BACKEND_BACKEND_H
#define FB_BACKEND_BACKEND_H

#include "tensor/tensor.h"

typedef struct fb_backend fb_backend;

/* A matrix of parameters [out, in] (torch's Linear layout; bias-free), f32, borrowed.
 * Whoever changes the numbers adds one to `version`; the backend keeps repacked or
 * rounded copies in `cache` and renews them only when the version moved.
 * fb_weight_release frees the cache; a fresh fb_weight has cache NULL and version 1. */
typedef struct fb_weight {
    const float *data;
    int64_t out, in;
    uint64_t version;
    void *cache;
} fb_weight;

/* Dropout: element i is kept where fb_random_hash32(key, i) >= p * 2^32 and then
 * divided by 1 - p; i is the flat row-major index modulo 2^32. p == 0: off. */
typedef struct fb_dropout {
    float p;
    uint64_t key;
} fb_dropout;

typedef enum fb_activation { FB_ACT_NONE, FB_ACT_GELU } fb_activation;

/* Rows of up to three tables summed: y[n] = (x ? x[n] : 0) + sum_k table[k][ids[k][n]].
 */
enum { FB_EMBED_TABLES = 3 };
typedef struct fb_embed {
    int32_t count;
    const float *table[FB_EMBED_TABLES]; /* [rows, C] f32 */
    const int32_t *ids[FB_EMBED_TABLES]; /* [N], in range (checked by ops/) */
} fb_embed;

typedef struct fb_attention {
    int32_t sequences, heads, width; /* B, H, C */
    const int32_t *offsets;          /* [B + 1], ascending, offsets[B] == T */
    fb_dropout dropout; /* on probabilities: bits of (row t, head h, key j) are
                           hash32(fb_random_mix(key ^ (t*H + h)), j), j from the
                           sequence's start */
} fb_attention;

typedef struct fb_patchify {
    int32_t images, size, grid; /* pixels a side; patches a side; size % grid == 0 */
    float mean[3], std[3];      /* y = (u8/255 - mean) / std */
    const uint8_t *masked;      /* [images*grid*grid] or NULL; masked rows become 0 */
} fb_patchify;

typedef struct fb_adamw {
    float lr, beta1, beta2, eps, weight_decay;
    float correction1, correction2; /* 1 - beta^t */
    float gradient_scale; /* gradients are multiplied by it first (clipping) */
} fb_adamw;

/* A square convolution (torch's Conv2d; cross-correlation). Input rows
 * [images*height*width, in], output rows [images*height'*width', out] with
 * height' = fb_window_out(height, kernel, stride, padding). The weight is an fb_weight
 * [out, in/groups * kernel * kernel], within a row input channel, kernel row, kernel
 * column (torch's order). */
typedef struct fb_conv {
    int32_t images, height, width; /* of the input */
    int32_t in, out, kernel, stride, padding, groups;
} fb_conv;

static inline int32_t fb_window_out(int32_t size, int32_t kernel, int32_t stride,
                                    int32_t padding)
{
    return (size + 2 * padding - kernel) / stride + 1;
}

/* Max pooling; geometry as in fb_conv, padding never wins. */
typedef struct fb_max_pool {
    int32_t images, height, width; /* of the input */
    int32_t kernel, stride, padding;
} fb_max_pool;

/* Batch norm over rows (Ioffe & Szegedy 2015), an optional sum and ReLU behind it:
 *     n = gamma (x - mean) inv + beta,  y = act(n + residual)
 * With `given` the statistics come in (running ones, inference or frozen), else the
 * kernel computes mean and inv = 1/sqrt(biased variance + eps) of these rows. */
typedef struct fb_batch_norm {
    float eps;
    bool relu;
    bool given;
} fb_batch_norm;

/* Pairs of a contrastive loss (InfoNCE; Radford et al. 2021): row i of A and row i of B
 * belong together. Pair (i, j), i != j, is left out of the softmax sums where
 * a_group[i] == a_group[j] or b_group[i] == b_group[j]: the same product or the same
 * text is never a negative. */
typedef struct fb_contrast {
    int32_t count;                    /* B */
    const int32_t *a_group, *b_group; /* [B] */
    float scale;                      /* 1 / temperature */
    float margin; /* taken off the similarity of i and i (AM-Softmax; Wang et al. 2018);
                     the operation does, kernels do not read it */
} fb_contrast;

typedef struct fb_kernels {
    void (*free)(fb_backend *be);
    void (*weight_release)(fb_backend *be, fb_weight *w);

    /* y[T,N] = act(x[T,K] w^T + bias[N]); bias may be NULL; y compute dtype or f32 */
    fb_status (*linear_forward)(fb_backend *be, const fb_tensor *y, const fb_tensor *x,
                                fb_weight *w, const float *bias, fb_activation act);
    /* dx[T,K] = dy[T,N] w, or += when accumulate; all compute dtype */
    fb_status (*linear_backward_input)(fb_backend *be, const fb_tensor *dx,
                                       const fb_tensor *dy, fb_weight *w,
                                       bool accumulate);
    /* dw[N,K] += dy^T x; dbias[N] += column sums of dy; either may be NULL */
    fb_status (*linear_backward_weight)(fb_backend *be, float *dw, float *dbias,
                                        const fb_tensor *x, const fb_tensor *dy);

    /* y = x/2 (1 + erf(x/sqrt 2)); any shape */
    fb_status (*gelu_forward)(fb_backend *be, const fb_tensor *y, const fb_tensor *x);
    /* dx = dy gelu'(x); dx may be dy */
    fb_status (*gelu_backward)(fb_backend *be, const fb_tensor *dx, const fb_tensor *dy,
                               const fb_tensor *x);
    fb_status (*tanh_forward)(fb_backend *be, const fb_tensor *y, const fb_tensor *x);
    /* dx = dy (1 - y^2); dx may be dy */
    fb_status (*tanh_backward)(fb_backend *be, const fb_tensor *dx, const fb_tensor *dy,
                               const fb_tensor *y);
    /* y = a b, element by element; any of the three may be the same */
    fb_status (*multiply)(fb_backend *be, const fb_tensor *y, const fb_tensor *a,
                          const fb_tensor *b);

    /* z = dropout(x) + residual; y = gamma (z - mean)/sqrt(var + eps) + beta, per row.
     * residual NULL: 0. z NULL: not kept; z may be x. stats [T,2] = mean,
     * 1/sqrt(var+eps), NULL: not kept. x, residual, z, y [T,C]; gamma, beta [C]. */
    fb_status (*norm_forward)(fb_backend *be, const fb_tensor *y, const fb_tensor *z,
                              float *stats, const fb_tensor *x,
                              const fb_tensor *residual, const float *gamma,
                              const float *beta, float eps, fb_dropout dropout);
    /* dz by the norm; dresidual = dz (NULL: not wanted), dx = dz through dropout;
     * dgamma, dbeta += (NULL: not wanted). With p == 0, dx and dresidual may be one. */
    fb_status (*norm_backward)(fb_backend *be, const fb_tensor *dx,
                               const fb_tensor *dresidual, float *dgamma, float *dbeta,
                               const fb_tensor *dy, const fb_tensor *z,
                               const float *stats, const float *gamma,
                               fb_dropout dropout);
    /* y = dropout(x), y may be x; its own backward on gradients */
    fb_status (*dropout)(fb_backend *be, const fb_tensor *y, const fb_tensor *x,
                         fb_dropout dropout);

    /* Scaled dot-product attention within each sequence, scale 1/sqrt(D).
     * qkv [T,3C]: q, k, v side by side, heads side by side in each. out [T,C].
     * lse [T,H] f32 = log sum exp of the scaled scores; NULL: not kept. */
    fb_status (*attention_forward)(fb_backend *be, const fb_tensor *out, float *lse,
                                   const fb_tensor *qkv, const fb_attention *a);
    fb_status (*attention_backward)(fb_backend *be, const fb_tensor *dqkv,
                                    const fb_tensor *dout, const fb_tensor *out,
                                    const float *lse, const fb_tensor *qkv,
                                    const fb_attention *a);

    fb_status (*embed_forward)(fb_backend *be, const fb_tensor *y, const fb_tensor *x,
                               const fb_embed *e);
    /* dtable[k][ids[k][n]] += dy[n]; a NULL dtable is skipped */
    fb_status (*embed_backward)(fb_backend *be, float *const dtable[FB_EMBED_TABLES],
                                const fb_tensor *dy, const fb_embed *e);

    /* y[n] = index[n] < A ? a[index[n]] : b[index[n] - A]; a [A,C]; b may be NULL */
    fb_status (*gather_rows)(fb_backend *be, const fb_tensor *y, const fb_tensor *a,
                             const fb_tensor *b, const int32_t *index);
    /* its backward: da and db (NULL: not wanted) are overwritten with sums of dy's
     * rows, rows that nothing names become 0; with accumulate they are added to.
     * Without da, whose rows are counted first, there is no db: FB_E_SHAPE */
    fb_status (*scatter_rows)(fb_backend *be, const fb_tensor *da, const fb_tensor *db,
                              const fb_tensor *dy, const int32_t *index,
                              bool accumulate);

    /* y [images*P, F = (size/grid)^2*3], patches row-major, within a patch rows,
     * columns, channels; from pixels [images, size, size, 3] */
    fb_status (*patchify)(fb_backend *be, const fb_tensor *y, const uint8_t *pixels,
                          const fb_patchify *p);

    /* loss[M] = lse[M] - logits[m][target[m]]; logits [M,V] f32 */
    fb_status (*cross_entropy_forward)(fb_backend *be, float *loss, float *lse,
                                       const fb_tensor *logits, const int32_t *targets);
    /* dlogits [M,V] compute dtype = scale (softmax - onehot) */
    fb_status (*cross_entropy_backward)(fb_backend *be, const fb_tensor *dlogits,
                                        const fb_tensor *logits, const float *lse,
                                        const int32_t *targets, float scale);
    /* p = softmax(features[rows[m]]), q = softmax(logits[m]) over F;
     * loss[m] = sum p log(p/q); features [R,F] compute dtype, logits [M,F] f32 */
    fb_status (*kld_forward)(fb_backend *be, float *loss, const fb_tensor *logits,
                             const fb_tensor *features, const int32_t *rows);
    /* dlogits [M,F] compute dtype = scale (q - p) */
    fb_status (*kld_backward)(fb_backend *be, const fb_tensor *dlogits,
                              const fb_tensor *logits, const fb_tensor *features,
                              const int32_t *rows, float scale);

    /* y = act(conv(x, w) + bias + residual), act ReLU or none; bias [out] f32 and
     * residual (y's shape; may be y) may be NULL */
    fb_status (*conv_forward)(fb_backend *be, const fb_tensor *y, const fb_tensor *x,
                              fb_weight *w, const float *bias,
                              const fb_tensor *residual, bool relu, const fb_conv *c);
    /* dx = or += (accumulate) the gradient of the input */
    fb_status (*conv_backward_input)(fb_backend *be, const fb_tensor *dx,
                                     const fb_tensor *dy, fb_weight *w,
                                     const fb_conv *c, bool accumulate);
    /* dw += in the weight's own layout, f32 */
    fb_status (*conv_backward_weight)(fb_backend *be, float *dw, const fb_tensor *x,
                                      const fb_tensor *dy, const fb_conv *c);

    /* stats [2, C] f32: mean, inv; read when given, else written. residual may be
     * NULL; y may be x when nothing will run backward. */
    fb_status (*batch_norm_forward)(fb_backend *be, const fb_tensor *y, float *stats,
                                    const fb_tensor *x, const fb_tensor *residual,
                                    const float *gamma, const float *beta,
                                    const fb_batch_norm *n);
    /* g = dy where y > 0 (relu; y is the forward's output) else dy. dresidual = g
     * (NULL: not wanted; may be dy), dgamma += sum g xhat, dbeta += sum g (NULL: not
     * wanted); dx = gamma inv (g - mean g - xhat mean(g xhat)), without the means when
     * given; dx may be dy where dresidual is not. */
    fb_status (*batch_norm_backward)(fb_backend *be, const fb_tensor *dx,
                                     const fb_tensor *dresidual, float *dgamma,
                                     float *dbeta, const fb_tensor *dy,
                                     const fb_tensor *y, const fb_tensor *x,
                                     const float *stats, const float *gamma,
                                     const fb_batch_norm *n);
    /* which (NULL: not kept): for each output number the place in its window, row by
     * row, of the first largest input */
    fb_status (*max_pool_forward)(fb_backend *be, const fb_tensor *y, uint8_t *which,
                                  const fb_tensor *x, const fb_max_pool *p);
    fb_status (*max_pool_backward)(fb_backend *be, const fb_tensor *dx,
                                   const fb_tensor *dy, const uint8_t *which,
                                   const fb_max_pool *p);
    /* y[s] = mean of rows offsets[s] .. offsets[s+1]-1 of x [T,C]; no rows: 0 */
    fb_status (*mean_rows_forward)(fb_backend *be, const fb_tensor *y,
                                   const fb_tensor *x, const int32_t *offsets);
    fb_status (*mean_rows_backward)(fb_backend *be, const fb_tensor *dx,
                                    const fb_tensor *dy, const int32_t *offsets);

    /* y = x / max(|x|, 1e-12) per row; lengths [rows] f32 (NULL: not kept) */
    fb_status (*unit_rows_forward)(fb_backend *be, const fb_tensor *y, float *lengths,
                                   const fb_tensor *x);
    /* dx = (dy - y (y . dy)) / length */
    fb_status (*unit_rows_backward)(fb_backend *be, const fb_tensor *dx,
                                    const fb_tensor *dy, const fb_tensor *y,
                                    const float *lengths);
    /* y[M,N] = a b, or a b^T (b [N,K]), or a^T b (a [K,M]); a, b compute dtype, y
     * compute dtype or f32 */
    fb_status (*matmul)(fb_backend *be, const fb_tensor *y, const fb_tensor *a,
                        bool transpose_a, const fb_tensor *b, bool transpose_b);
    /* y[n] = rows[n] . query: f32 [N,D] and [D], whatever the compute dtype. Serial,
     * and may be called on several threads at once. */
    void (*row_products)(const fb_backend *be, float *y, const float *rows,
                         int64_t count, int64_t width, const float *query);
    /* similarity [B,B] f32 = A B^T; z = scale * similarity. loss[i] and loss[B + i] are
     * the cross entropies of row i and of column i against the diagonal; lse [2B] their
     * log sums. */
    fb_status (*contrast_forward)(fb_backend *be, float *loss, float *lse,
                                  const fb_tensor *similarity, const fb_contrast *c);
    /* dsimilarity (compute dtype) = seed d (mean of the 2B losses) / d similarity;
     * *dscale += seed d mean / d scale (NULL: not wanted) */
    fb_status (*contrast_backward)(fb_backend *be, const fb_tensor *dsimilarity,
                                   float *dscale, const fb_tensor *similarity,
                                   const float *lse, const fb_contrast *c, float seed);
    /* Listwise softmax: margin d[r] = logits[r][1] - logits[r][0], logits [R,2] f32;
     * list l names rows members[l*K .. l*K+K-1], right in the shares targets[l*K ..]
     * of sum 1 (NULL: its first alone):
     * loss[l] = log sum exp d[members] - sum targets d[members] */
    fb_status (*list_forward)(fb_backend *be, float *loss, float *lse,
                              const fb_tensor *logits, const int32_t *members,
                              const float *targets, int32_t lists, int32_t length);
    /* dlogits [R,2] compute dtype, overwritten: scale (softmax - targets), both columns
     */
    fb_status (*list_backward)(fb_backend *be, const fb_tensor *dlogits,
                               const fb_tensor *logits, const float *lse,
                               const int32_t *members, const float *targets,
                               int32_t lists, int32_t length, float scale);

    /* y += x, one dtype and shape */
    fb_status (*add)(fb_backend *be, const fb_tensor *y, const fb_tensor *x);
    /* *sum = sum of squares in f64, the order fixed */
    fb_status (*sum_squares)(fb_backend *be, double *sum, const fb_tensor *x);
    /* *index = the first element that is NaN or infinite, -1: none */
    fb_status (*find_nonfinite)(fb_backend *be, int64_t *index, const fb_tensor *x);

    /* One step on n numbers, decoupled decay (Loshchilov & Hutter 2019):
     * g = scale grad; m,v moments; x -= lr (m/c1 / (sqrt(v/c2) + eps) + wd x) */
    fb_status (*adamw_step)(fb_backend *be, float *x, float *m, float *v,
                            const float *grad, int64_t n, const fb_adamw *options);

    /* *seconds of one x[rows,in] w^T product by the backend's best path, for bench */
    fb_status (*gemm_rate)(fb_backend *be, double *flop_per_s, int64_t rows, int64_t in,
                           int64_t out, int32_t repeats);
} fb_kernels;

struct fb_backend {
    const fb_kernels *k;
    const char *name; /* "ref", "cpu" */
    fb_dtype dtype;   /* compute dtype */
    int32_t threads;
    fb_context *ctx; /* where sentences go; borrowed; set by fb_backend_create */
};

/* name "ref" or "cpu"; dtype "auto", "f32" or "bf16" (ref: f32 only; cpu auto: bf16
 * where the processor has AMX or AVX-512 BF16); threads 0: those this process may use.
 * FB_E_USAGE names a wrong word and the right ones. */
fb_status fb_backend_create(fb_context *ctx, fb_backend **be, const char *name,
                            const char *dtype, int32_t threads);
void fb_backend_free(fb_backend *be);

/* Each folder's maker, called by fb_backend_create. */
fb_status fb_backend_create_ref(fb_context *ctx, fb_backend **be, int32_t threads);
fb_status fb_backend_create_cpu(fb_context *ctx, fb_backend **be, fb_dtype dtype,
                                int32_t threads);
bool fb_backend_cpu_has_bf16(void);

#endif

/* backend.h - the one seam between the model and the machine: a table of kernels.
 * kernels.def lists them, each with its contract; here are the types that they take.
 *
 * A backend computes in one dtype, fb_backend_dtype(be): "compute dtype" below.
 * Activations and their gradients have it; parameters, parameter gradients, statistics
 * and losses are f32 always. Sums, softmax and norm statistics are f32 (or wider)
 * whatever the dtype. ref/ computes in f32 with plain loops and is the oracle; cpu/ in
 * f32 or bf16.
 *
 * What kernels are given lies in the backend's own memory (memory.h), but for the
 * structs that hold the pointers and for single results (sums, places, rates), which
 * are the host's.
 *
 * A backend keeps no context: whoever calls a kernel lends one, and a kernel that fails
 * leaves its sentence there.
 */
#ifndef FB_BACKEND_BACKEND_H
#define FB_BACKEND_BACKEND_H

#include "backend/format_choice.h"
#include "tensor/tensor.h"

typedef struct fb_backend fb_backend;
typedef struct fb_memory fb_memory; /* memory.h */

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

/*  GELU        x/2 (1 + erf(x/sqrt 2))                      Hendrycks & Gimpel 2016
 *  GELU_TANH   x/2 (1 + tanh(sqrt(2/pi) (x + .044715 x^3))) its approximation; GPT-2
 *  QUICK_GELU  x sigmoid(1.702 x)                           another; CLIP
 *  RELU        max(x, 0)                                                            */
typedef enum fb_activation {
    FB_ACT_NONE,
    FB_ACT_GELU,
    FB_ACT_GELU_TANH,
    FB_ACT_QUICK_GELU,
    FB_ACT_RELU
} fb_activation;

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
    bool causal;        /* a row sees its own and earlier rows of its sequence alone */
} fb_attention;

/* Cross-attention: the queries of sequence b, of one packed set, see the keys of
 * sequence b of another. */
typedef struct fb_cross_attention {
    int32_t sequences, heads, width;       /* B, H, C */
    const int32_t *q_offsets, *kv_offsets; /* [B + 1], ascending; the last Tq and Tk */
    fb_dropout dropout;                    /* as in fb_attention */
} fb_cross_attention;

/* Its two inputs, or their gradients; k and v side by side, heads side by side in each.
 * Rows may be wider, as those of q, k and v side by side are: columns behind the first C
 * of q, and before the last 2C of kv, are not read, and their gradient is 0. */
typedef struct fb_cross_rows {
    const fb_tensor *q, *kv; /* [Tq, C], [Tk, 2C] */
} fb_cross_rows;

/* LayerNorm of dropout(x) + residual. */
typedef struct fb_norm {
    const float *gamma, *beta; /* [C] */
    float eps;
    fb_dropout dropout;
} fb_norm;

/* What the backward of a norm writes; NULL but for dx: not wanted. */
typedef struct fb_norm_grads {
    const fb_tensor *dx, *dresidual; /* overwritten */
    float *dgamma, *dbeta;           /* added to */
} fb_norm_grads;

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

/* What follows the sum of a convolution: y = act(sum + bias + residual). */
typedef struct fb_conv_epilogue {
    const float *bias;         /* [out] f32; NULL: none */
    const fb_tensor *residual; /* y's shape, may be y; NULL: none */
    bool relu;
} fb_conv_epilogue;

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

/* A sparse matrix [R, T] by rows (CSR): the entries of row r are offsets[r] up to
 * offsets[r + 1]. */
typedef struct fb_csr {
    const int32_t *offsets; /* [R + 1] */
    const int32_t *columns; /* [entries] */
    const float *weights;   /* [entries] */
} fb_csr;

/* Batch norm over rows (Ioffe & Szegedy 2015), an optional sum and ReLU behind it:
 *     n = gamma (x - mean) inv + beta,  y = act(n + residual)
 * With `given` the statistics come in (running ones, inference or frozen), else the
 * kernel computes mean and inv = 1/sqrt(biased variance + eps) of these rows. */
typedef struct fb_batch_norm {
    const float *gamma, *beta; /* [C]; beta is not read by backward */
    float eps;
    bool relu;
    bool given;
} fb_batch_norm;

/* Running statistics of a batch norm. */
typedef struct fb_running {
    float *mean, *var; /* [C] */
    int64_t width;     /* C */
    float eps;
} fb_running;

/* Pairs of a contrastive loss (InfoNCE; Radford et al. 2021): row i of A and row i of B
 * belong together. Pair (i, j), i != j, is left out of the softmax sums where
 * a_group[i] == a_group[j] or b_group[i] == b_group[j]: the same product or the same
 * text is never a negative. */
typedef struct fb_contrast {
    int32_t count;                    /* B */
    const int32_t *a_group, *b_group; /* [B] */
    float scale;                      /* 1 / temperature */
    float margin;   /* additive margin: subtracted from the similarity of i and i
                     (AM-Softmax; Wang et al. 2018) by the operation; kernels do not
                     read it */
    float slope;    /* d scale / d what dscale is the gradient of; 1: of the scale */
    bool only_down; /* add to dscale only what moves the scale down */
} fb_contrast;

/* Pairs of a hinge loss over scores S [B,B], S_ij of row i of A and row j of B (rows:
 * images, columns: texts), those of the diagonal right (Kiros et al. 2014):
 *
 *     row i:     max(0, margin + S_ij - S_ii) of j, summed, or the largest of them
 *     column i:  max(0, margin + S_ji - S_ii) of j, summed, or the largest of them
 *
 * "hardest" is that largest (VSE++; Faghri et al. 2018); of equal ones the first has the
 * gradient. Pair (i, j) is left out as in fb_contrast. */
typedef struct fb_hinge {
    int32_t count;                    /* B */
    const int32_t *a_group, *b_group; /* [B] */
    float margin;
    bool hardest;
} fb_hinge;

/* Lists of rows of logits, for the listwise loss. */
typedef struct fb_lists {
    const int32_t *members; /* [count * length] */
    const float *targets;   /* [count * length] soft labels, sum 1 a list; NULL: its
                               first alone */
    int32_t count, length;
    const float *log_q; /* [R] log-probability with which each row was drawn,
                           subtracted from its margin by the operation (list_correct);
                           NULL: nothing */
} fb_lists;

/* Stacked cross attention (SCAN; Lee et al. 2018) of pairs of a text and an image, read
 * off the products s of all words with all rows. One side asks, a word q say, and the
 * other is its context c:
 *
 *     x = LeakyReLU(s, slope .1)            y_qc = x_qc / (sqrt(sum_q x_qc^2) + 1e-8)
 *     a_q = softmax over c of lambda1 y_q   R_q = cos(q, sum_c a_qc c)
 *                                               = a_q . s_q / sqrt(a_q^T G a_q)
 *     score = scale (pool_q R + focus pool_q max_c a_qc)
 *     pool_q v = mean of v, or log(sum exp(lambda2 v)) / lambda2
 *
 * as words and rows have unit length; G are the products of a context with itself, and
 * a^T G a is at least 1e-16. A pair without words or rows has score 0. */
enum { FB_STACKED_SHARPEST = 80 }; /* exp of it, summed, must be finite */
typedef struct fb_stacked_form {
    bool rows_ask;          /* image to text: rows ask words; else words ask rows */
    bool lse;               /* pool by log-sum-exp, not by the mean */
    float lambda1, lambda2; /* lambda1 at most FB_STACKED_SHARPEST */
    float focus;            /* PFAN's .5 (Wang et al. 2019); 0: no such part */
    float scale;            /* 1 */
} fb_stacked_form;
typedef struct fb_stacked {
    fb_stacked_form form;
    int32_t pairs, texts, images;
    const int32_t *text, *image; /* [pairs] */
    const int32_t *word, *row; /* [pairs] line and column of s where the pair begins */
    const int32_t *text_offsets, *image_offsets; /* [texts + 1], [images + 1] */
    const int32_t *gram; /* [images, rows_ask: texts] where a context's G begins */
} fb_stacked;
/* The recurrence of a gated recurrent unit (Cho et al. 2014, in torch's form, where r
 * gates the product and not the state) over packed sequences: h of a row is made of x
 * of the row and of the state before it, zeros for a sequence's first row.
 *
 *     g = h_before w^T + bias          parts of [3H]: r, z, n
 *     r = sigmoid(x_r + g_r)           n = tanh(x_n + r g_n)
 *     z = sigmoid(x_z + g_z)           h = (1 - z) n + z h_before                     */
typedef struct fb_recurrence {
    int32_t sequences, longest; /* B; the most rows of a sequence */
    const int32_t *offsets;     /* [B + 1], ascending, offsets[B] == T */
    const int32_t *order;       /* [B] the sequences, longest first */
    bool backwards;             /* from each sequence's last row to its first */
} fb_recurrence;

/* What gru_backward writes. */
typedef struct fb_gru_grads {
    const fb_tensor *dx; /* [T,3H] compute dtype, overwritten */
    float *dw, *dbias;   /* [3H,H], [3H], added to; NULL: not wanted */
} fb_gru_grads;

/* Where rows lie, as PFAN has it (Wang et al. 2019): of each the blocks of a grid that it
 * overlaps most, with an embedding p_k each, weighed by the row's own query q:
 *
 *     a = softmax over k of tanh(p_k . q)    w = softmax over k of overlap_k a_k
 *     p = sum_k w_k p_k
 *
 * Blocks of overlap 0 are pads and take part in neither softmax; a row of pads has p 0. */
enum { FB_POSITION_BLOCKS = 15 }; /* K */
typedef struct fb_positions {
    const float *table;    /* [blocks, E] embeddings, f32 */
    const int32_t *ids;    /* [R, K] rows of it */
    const float *overlap;  /* [R, K], sum 1 a row, or pads */
    int64_t blocks, width; /* E */
} fb_positions;

/* The table of kernels: kernels.def is the list. */
#define FB_KERNEL(result, name, parameters, ...) result(*name) parameters;
typedef struct fb_kernels {
#include "backend/kernels.def"
} fb_kernels;

struct fb_backend {
    const fb_kernels *k;
    const fb_memory *m;
    const char *name; /* "ref", "cpu" */
    fb_dtype dtype;   /* compute dtype */
    int32_t threads;
    fb_format_rates rates; /* by which "auto" chose dtype; 0: by nothing */
};

/* A backend that can be chosen by name. Its folder defines `const fb_backend_kind
 * fb_backend_NAME`; the list in backend.c names it. */
typedef struct fb_backend_kind {
    const char *name;
    bool bf16; /* can compute in it */
    /* Rates by which "auto" chooses, 0 where this machine has f32 alone; NULL: it always
     * has. threads as below, not 0. */
    fb_status (*compare)(fb_context *ctx, int32_t threads, fb_format_rates *rates);
    /* threads 0: those this process may use */
    fb_status (*create)(fb_context *ctx, fb_backend **be, fb_dtype dtype,
                        int32_t threads);
} fb_backend_kind;

/* name: one of fb_backend_name() (fashionbert.h); dtype "auto", "f32" or "bf16"; threads
 * 0: those this process may use. FB_E_USAGE names a wrong word and the right ones. */
fb_status fb_backend_create(fb_context *ctx, fb_backend **be, const char *name,
                            const char *dtype, int32_t threads);
void fb_backend_free(fb_backend *be);

enum { FB_BACKEND_TEXT = 128 };
/* What it computes in, for a line that a long run begins with: "bf16 on 2 threads (0.97
 * TFLOP/s of products; f32 0.41)". */
void fb_backend_describe(const fb_backend *be, char text[FB_BACKEND_TEXT]);

/* AMX or AVX-512 BF16. */
bool fb_backend_cpu_has_bf16(void);

#endif

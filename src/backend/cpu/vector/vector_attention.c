/* vector_attention.c - attention of one head: the queries of a sequence over n keys,
 * which are its own or another sequence's.
 *
 *     S = scale Q K^T    P = exp(S - lse)    O = dropout(P) V
 *     dV = dropout(P)^T dO    dP = dropout'(dO V^T)    dS = scale P (dP - rowsum(dO O))
 *     dQ = dS K               dK = dS^T Q
 *
 * q [.., D] and k, v [n, D] are columns of tensors with rows q_row and kv_row numbers
 * apart: 3C of qkv, or C and 2C where keys are another's. Queries go in blocks of 96, so scratch
 * grows with n, not with its square; dK and dV add up over the blocks in f32. A causal
 * block of queries sees the keys up to its own end; those behind a query are masked. In
 * bf16 on a processor with pair products P and dS are rounded to bf16 (vector_tile.h),
 * elsewhere the products are f32.
 */
#include "backend/cpu/vector/vector_table.h"
#include "backend/cpu/vector/vector_tile.h"

enum { QUERIES = 96 };

typedef struct head_view {
    int64_t n, d;             /* keys, head width */
    int64_t d_words, n_words; /* words along a sum over the head, over the keys */
    int64_t d_up, n_up;       /* padded */
    int64_t n_lanes;          /* keys up to whole vectors: loops need no tails */
    float scale;
} head_view;

static int64_t round_up(int64_t n, int64_t step)
{
    return (n + step - 1) / step * step;
}

static void see_tokens(head_view *h, int64_t n, bool pairs)
{
    h->n = n;
    h->n_words = pairs ? (n + 1) / 2 : n;
    h->n_lanes = round_up(n, LANES);
}

static head_view view_of(const vector_attention *a, bool pairs)
{
    head_view h;
    see_tokens(&h, a->keys, pairs);
    h.d = a->width / a->heads;
    h.d_words = pairs ? (h.d + 1) / 2 : h.d;
    h.d_up = round_up(h.d, 32);
    h.n_up = round_up(h.n + TILE_ROWS, 32);
    h.scale = 1.0f / sqrtf((float)h.d);
    return h;
}

/* What the block of queries from `first` on sees. */
static head_view view_of_block(const vector_attention *a, const head_view *whole,
                               int64_t first, bool pairs)
{
    head_view h = *whole;
    if (a->causal && first + QUERIES < h.n)
        see_tokens(&h, first + QUERIES, pairs);
    return h;
}

/* The first key that query `row` does not see. */
static int64_t end_of(const vector_attention *a, const head_view *h, int64_t row)
{
    return a->causal ? row + 1 : h->n;
}

/* The most that either direction takes, in floats; see the two functions below. */
size_t FB_VECTOR_NAME(attention_scratch)(int64_t n, int64_t head_width)
{
    int64_t d_up = round_up(head_width, 32), n_up = round_up(n + TILE_ROWS, 32);
    int64_t block = QUERIES + TILE_ROWS;
    int64_t floats = 5 * n_up * d_up     /* K and V turned, K interleaved, dK, dV */
                     + 5 * block * d_up  /* Q and dO twice, output */
                     + 5 * block * n_up; /* S, dP, dS, and P, dS interleaved */
    return (size_t)floats * sizeof(float);
}

/* ---- words ---------------------------------------------------------------------- */

FB_INLINE float pair_word(uint32_t low, uint32_t high)
{
    return from_bits(low | high << 16);
}

/* Rows of a tensor: x [rows, d], a stride apart. */
typedef struct tensor_rows {
    const void *x;
    int64_t stride, rows, d;
} tensor_rows;

/* to[r][t], rows of x; behind d and behind the rows zeros up to rows_up. */
FB_INLINE void word_rows(bool bf16, bool pairs, word *to, int64_t to_row, tensor_rows x,
                         int64_t rows_up)
{
    int64_t rows = x.rows, d = x.d, words = pairs ? d / 2 : d;
    for (int64_t r = 0; r < rows; r++) {
        const void *from = at_const(bf16, x.x, r * x.stride);
        word *out = to + r * to_row;
        if (pairs) {
            const fb_bf16 *h = from;
            memcpy(out, h, (size_t)words * sizeof(float));
            if (d % 2)
                out[words] = pair_word(h[d - 1], 0);
        } else {
#pragma omp simd
            for (int64_t i = 0; i < d; i++)
                out[i] = load(bf16, from, i);
        }
    }
    for (int64_t r = rows; r < rows_up; r++)
        memset(to + r * to_row, 0, (size_t)to_row * sizeof(float));
}

FB_INLINE float word_at(bool bf16, bool pairs, const void *row, int64_t t, int64_t d)
{
    if (!pairs)
        return load(bf16, row, t);
    const fb_bf16 *h = row;
    return pair_word(h[2 * t], 2 * t + 1 < d ? h[2 * t + 1] : 0);
}

/* to[t][r] = word t of row r, rows `stride` bytes apart, in squares of 4 by 4; the rows
 * behind the last whole square are left, the count of the others is returned. Compilers
 * make single stores of a plain loop, which took a fifth of attention's time. */
FB_INLINE int64_t turn_words(word *to, int64_t to_depth, const void *x, int64_t stride,
                             int64_t rows, int64_t words)
{
    if (words % 4)
        return 0;
    int64_t whole = rows / 4 * 4;
    for (int64_t r = 0; r < whole; r += 4)
        for (int64_t t = 0; t < words; t += 4) {
            quad in[4];
            for (int64_t i = 0; i < 4; i++)
                memcpy(&in[i], (const char *)x + (r + i) * stride + 4 * t,
                       sizeof in[i]);
            quad a = __builtin_shufflevector(in[0], in[1], 0, 4, 1, 5);
            quad b = __builtin_shufflevector(in[2], in[3], 0, 4, 1, 5);
            quad c = __builtin_shufflevector(in[0], in[1], 2, 6, 3, 7);
            quad e = __builtin_shufflevector(in[2], in[3], 2, 6, 3, 7);
            quad out[4] = {__builtin_shufflevector(a, b, 0, 1, 4, 5),
                           __builtin_shufflevector(a, b, 2, 3, 6, 7),
                           __builtin_shufflevector(c, e, 0, 1, 4, 5),
                           __builtin_shufflevector(c, e, 2, 3, 6, 7)};
            for (int64_t i = 0; i < 4; i++)
                memcpy(to + (t + i) * to_depth + r, &out[i], sizeof out[i]);
        }
    return whole;
}

/* to[t][r] = word t of row r; 0 behind the rows, up to rows_up */
FB_INLINE void word_columns(bool bf16, bool pairs, word *to, int64_t to_depth,
                            tensor_rows x, int64_t rows_up)
{
    int64_t rows = x.rows, d = x.d, words = pairs ? (d + 1) / 2 : d;
    for (int64_t t = 0; t < words; t++)
        memset(to + t * to_depth + rows, 0, (size_t)(rows_up - rows) * sizeof(float));
    int64_t done = 0;
    if (bf16 == pairs && (pairs ? d % 2 : 0) == 0)
        done = turn_words(to, to_depth, x.x, x.stride * (bf16 ? 2 : 4), rows, words);
    for (int64_t r = done; r < rows; r++) {
        const void *from = at_const(bf16, x.x, r * x.stride);
        for (int64_t t = 0; t < words; t++)
            to[t * to_depth + r] = word_at(bf16, pairs, from, t, d);
    }
}

/* to[t][i] = number i of row t, or of rows 2t and 2t + 1 as a pair */
FB_INLINE void word_interleave(bool bf16, bool pairs, word *to, int64_t to_depth,
                               tensor_rows x)
{
    int64_t rows = x.rows, d = x.d;
    if (!pairs) {
        word_rows(bf16, false, to, to_depth, x, rows);
        return;
    }
    for (int64_t r = 0; r < rows; r += 2) {
        const fb_bf16 *low = at_const(true, x.x, r * x.stride);
        const fb_bf16 *high = r + 1 < rows ? low + x.stride : NULL;
        word *out = to + r / 2 * to_depth;
        if (high) { /* x is never NULL where there are rows */
#pragma omp simd
            for (int64_t i = 0; i < d; i++)
                out[i] = pair_word(low[i], high[i]); // NOLINT(*-core.NullDereference)
        } else {
#pragma omp simd
            for (int64_t i = 0; i < d; i++)
                out[i] = pair_word(low[i], 0); // NOLINT(*-core.NullDereference)
        }
    }
}

/* f32 row -> row words, n_words of them */
FB_INLINE void round_row(bool pairs, word *to, const float *from, int64_t n,
                         int64_t n_lanes)
{
    if (!pairs) {
        memcpy(to, from, (size_t)n * sizeof(float));
        return;
    }
    fb_bf16 *half = (fb_bf16 *)(void *)to;
#pragma omp simd
    for (int64_t i = 0; i < n_lanes; i++)
        half[i] = fb_bf16_from_f32(from[i]);
    if (n % 2)
        half[n] = 0;
}

/* f32 rows -> pairs of rows, number by number; high NULL: 0 */
FB_INLINE void round_interleave(word *to, const float *low, const float *high,
                                int64_t n)
{
    if (high) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            to[i] = pair_word(fb_bf16_from_f32(low[i]), fb_bf16_from_f32(high[i]));
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            to[i] = pair_word(fb_bf16_from_f32(low[i]), 0);
    }
}

/* Rows of a block -> a tensor's rows, times factor[r] (NULL: 1) */
FB_INLINE void store_rows(bool bf16, void *to, int64_t stride, const float *from,
                          int64_t from_row, const float *factor, int64_t rows,
                          int64_t d)
{
    for (int64_t r = 0; r < rows; r++) {
        float by = factor ? factor[r] : 1.0f;
        void *out = at(bf16, to, r * stride);
        const float *in = from + r * from_row;
#pragma omp simd
        for (int64_t i = 0; i < d; i++)
            store(bf16, out, i, in[i] * by);
    }
}

static uint64_t row_key(const vector_attention *a, int64_t row)
{
    uint64_t index = (uint64_t)(a->first_row + row) * (uint64_t)a->heads;
    return fb_random_mix(a->dropout.key ^ (index + (uint64_t)a->head));
}

/* ---- forward -------------------------------------------------------------------- */

/* Ask for the row of the next head, which is the next to be worked on: rows lie too far
 * apart for the processor to guess. `parts` are a width apart (q, k, v). */
FB_INLINE void prefetch_next(bool bf16, const vector_attention *a, const head_view *h,
                             const void *row, int64_t parts)
{
    if (a->head + 1 >= a->heads)
        return;
    int64_t bytes = h->d * (bf16 ? 2 : 4);
    for (int64_t p = 0; p < parts; p++)
        for (int64_t i = 0; i < bytes; i += 64)
            __builtin_prefetch((const char *)at_const(bf16, row, p * a->width + h->d) +
                               i);
}

/* s[] = scores -> weights, dropped but not divided; returns what to multiply by. */
FB_INLINE float softmax_row(const vector_attention *a, int64_t row, float *s, int64_t n,
                            float scale, float *lse)
{
    float most = -INFINITY;
#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < n; i++)
        most = s[i] > most ? s[i] : most;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        s[i] = vector_exp((s[i] - most) * scale);
    if (n == 0) {
        *lse = 0.0f;
        return 0.0f;
    }
    float sum = tile_sum(s, n);
    *lse = most * scale + logf(sum);
    if (a->dropout.p <= 0.0f)
        return 1.0f / sum;
    uint32_t threshold = dropout_threshold(a->dropout.p);
    uint64_t key = row_key(a, row);
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        s[i] = dropped(s[i], key, (uint32_t)i, threshold, 1.0f);
    return dropout_scale(a->dropout.p) / sum;
}

typedef struct forward_room {
    float *keys, *values; /* K, V turned */
    float *block;         /* a block's Q, S, P and output */
} forward_room;

/* Queries `first` and on of the head's q and out. */
FB_INLINE void forward_block(bool bf16, bool pairs, const vector_attention *a,
                             const head_view *h, const forward_room *m, int64_t first,
                             const void *q, void *out)
{
    int64_t rows = a->length - first < QUERIES ? a->length - first : QUERIES;
    int64_t rows_up = round_up(rows, TILE_ROWS);
    float factor[QUERIES];
    float *qw = m->block, *s = qw + rows_up * h->d_up, *p = s + rows_up * h->n_up;
    float *o = p + rows_up * h->n_up;
    word_rows(bf16, pairs, qw, h->d_up,
              (tensor_rows){at_const(bf16, q, first * a->q_row), a->q_row, rows, h->d},
              rows_up);
    tile_product(pairs, false, s, h->n_up, (tile_matrix){qw, h->d_up, 1},
                 (tile_matrix){m->keys, 1, h->n_up},
                 (tile_shape){rows, h->n, h->d_words});
    for (int64_t r = 0; r < rows; r++) {
        float lse, *line = s + r * h->n_up;
        prefetch_next(bf16, a, h, at_const(bf16, q, (first + r) * a->q_row),
                      a->q_row / a->width);
        int64_t end = end_of(a, h, first + r);
        for (int64_t i = end; i < h->n_lanes; i++)
            line[i] = -INFINITY;
        factor[r] = softmax_row(a, first + r, line, h->n_lanes, h->scale, &lse);
        for (int64_t i = end; i < h->n; i++) /* the exponential ends above 0 */
            line[i] = 0.0f;
        round_row(pairs, p + r * h->n_up, line, h->n, h->n_lanes);
        if (a->lse)
            a->lse[(a->first_row + first + r) * a->heads + a->head] = lse;
    }
    for (int64_t r = rows; r < rows_up; r++)
        memset(p + r * h->n_up, 0, (size_t)h->n_words * sizeof(float));
    tile_product(pairs, false, o, h->d_up, (tile_matrix){p, h->n_up, 1},
                 (tile_matrix){m->values, 1, h->d_up},
                 (tile_shape){rows, h->d, h->n_words});
    store_rows(bf16, at(bf16, out, first * a->width), a->width, o, h->d_up, factor,
               rows, h->d);
}

FB_INLINE void forward(bool bf16, const vector_attention *a, float *scratch)
{
    const bool pairs = bf16 && FB_PAIRS;
    head_view h = view_of(a, pairs);
    int64_t head = a->head * h.d;
    const void *q = at_const(bf16, a->q, a->first_row * a->q_row + head);
    const void *k = at_const(bf16, a->k, a->first_key * a->kv_row + head);
    const void *v = at_const(bf16, a->v, a->first_key * a->kv_row + head);
    void *out = at(bf16, a->out, a->first_row * a->width + head);
    int64_t whole = h.d_up * h.n_up;
    const forward_room m = {scratch, scratch + whole, scratch + 2 * whole};
    word_columns(bf16, pairs, m.keys, h.n_up, (tensor_rows){k, a->kv_row, h.n, h.d},
                 h.n_lanes);
    word_interleave(bf16, pairs, m.values, h.d_up,
                    (tensor_rows){v, a->kv_row, h.n, h.d});
    for (int64_t first = 0; first < a->length; first += QUERIES) {
        head_view block = view_of_block(a, &h, first, pairs);
        forward_block(bf16, pairs, a, &block, &m, first, q, out);
    }
}

void FB_VECTOR_NAME(attention_forward)(const vector_attention *a, void *scratch)
{
    FB_EACH_DTYPE(a->dtype, forward, a, scratch);
}

/* ---- backward ------------------------------------------------------------------- */

typedef struct backward_room {
    float *keys, *values, *keys_by_token; /* K, V turned; K interleaved */
    float *dk, *dv;                       /* f32 [n_up, d_up] */
    float *q, *dout;                      /* row words of a block */
    float *q_by_token, *dout_by_token;    /* interleaved */
    float *s, *dp, *ds;                   /* [block, n_up]; ds: row words */
    float *p_by_token, *ds_by_token;      /* interleaved */
    float *out;
} backward_room;

static backward_room divide(float *scratch, const head_view *h)
{
    int64_t whole = h->n_up * h->d_up, block = (QUERIES + TILE_ROWS) * h->d_up;
    int64_t square = (QUERIES + TILE_ROWS) * h->n_up;
    backward_room r;
    r.keys = scratch;
    r.values = r.keys + whole;
    r.keys_by_token = r.values + whole;
    r.dk = r.keys_by_token + whole;
    r.dv = r.dk + whole;
    r.q = r.dv + whole;
    r.dout = r.q + block;
    r.q_by_token = r.dout + block;
    r.dout_by_token = r.q_by_token + block;
    r.out = r.dout_by_token + block;
    r.s = r.out + block;
    r.dp = r.s + square;
    r.ds = r.dp + square;
    r.p_by_token = r.ds + square;
    r.ds_by_token = r.p_by_token + square;
    return r;
}

/* s[] = dropped P, dp[] = dS, from scores and dO V^T */
FB_INLINE void score_gradient(const vector_attention *a, int64_t row, float *s,
                              float *dp, int64_t n, float scale, float delta)
{
    float lse = a->lse_in[(a->first_row + row) * a->heads + a->head];
    if (a->dropout.p <= 0.0f) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            float p = vector_exp(s[i] * scale - lse);
            s[i] = p;
            dp[i] = p * (dp[i] - delta) * scale;
        }
        return;
    }
    uint32_t threshold = dropout_threshold(a->dropout.p);
    float up = dropout_scale(a->dropout.p);
    uint64_t key = row_key(a, row);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float p = vector_exp(s[i] * scale - lse);
        float kept = dropped(up, key, (uint32_t)i, threshold, 1.0f);
        s[i] = p * kept;
        dp[i] = p * (dp[i] * kept - delta) * scale;
    }
}

FB_INLINE float row_dot(bool bf16, const void *a, const void *b, int64_t n)
{
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += load(bf16, a, i) * load(bf16, b, i);
    return sum;
}

/* Products that sum over the block's queries need pairs of rows side by side. */
FB_INLINE void turn_gradients(bool pairs, backward_room *m, const head_view *h,
                              int64_t rows)
{
    for (int64_t r = 0; r < rows; r++)
        round_row(pairs, m->ds + r * h->n_up, m->dp + r * h->n_up, h->n, h->n_lanes);
    if (!pairs) {
        m->p_by_token = m->s;
        m->ds_by_token = m->dp;
        return;
    }
    for (int64_t r = 0; r < rows; r += 2) {
        bool two = r + 1 < rows;
        float *s = m->s + r * h->n_up, *dp = m->dp + r * h->n_up;
        round_interleave(m->p_by_token + r / 2 * h->n_up, s, two ? s + h->n_up : NULL,
                         h->n_lanes);
        round_interleave(m->ds_by_token + r / 2 * h->n_up, dp,
                         two ? dp + h->n_up : NULL, h->n_lanes);
    }
}

/* Where the head's first row lies in each tensor. */
typedef struct head_rows {
    const void *q, *dout, *out;
    void *dq;
} head_rows;

FB_INLINE void backward_block(bool bf16, bool pairs, const vector_attention *a,
                              const head_view *h, backward_room m, int64_t first,
                              head_rows t)
{
    int64_t rows = a->length - first < QUERIES ? a->length - first : QUERIES;
    int64_t rows_up = round_up(rows, TILE_ROWS);
    int64_t row_words = pairs ? (rows + 1) / 2 : rows;
    const void *q = at_const(bf16, t.q, first * a->q_row);
    const void *dout = at_const(bf16, t.dout, first * a->width);
    const void *out = at_const(bf16, t.out, first * a->width);
    const tensor_rows queries = {q, a->q_row, rows, h->d};
    const tensor_rows gradients = {dout, a->width, rows, h->d};
    const tile_shape scores = {rows, h->n, h->d_words}, sums = {h->n, h->d, row_words};
    word_rows(bf16, pairs, m.q, h->d_up, queries, rows_up);
    word_rows(bf16, pairs, m.dout, h->d_up, gradients, rows_up);
    word_interleave(bf16, pairs, m.q_by_token, h->d_up, queries);
    word_interleave(bf16, pairs, m.dout_by_token, h->d_up, gradients);
    tile_product(pairs, false, m.s, h->n_up, (tile_matrix){m.q, h->d_up, 1},
                 (tile_matrix){m.keys, 1, h->n_up}, scores);
    tile_product(pairs, false, m.dp, h->n_up, (tile_matrix){m.dout, h->d_up, 1},
                 (tile_matrix){m.values, 1, h->n_up}, scores);
    for (int64_t r = 0; r < rows; r++) {
        prefetch_next(bf16, a, h, at_const(bf16, q, r * a->q_row), a->q_row / a->width);
        prefetch_next(bf16, a, h, at_const(bf16, dout, r * a->width), 1);
        prefetch_next(bf16, a, h, at_const(bf16, out, r * a->width), 1);
        float delta = row_dot(bf16, at_const(bf16, dout, r * a->width),
                              at_const(bf16, out, r * a->width), h->d);
        float *s = m.s + r * h->n_up, *dp = m.dp + r * h->n_up;
        int64_t end = end_of(a, h, first + r);
        score_gradient(a, first + r, s, dp, h->n_lanes, h->scale, delta);
        for (int64_t i = end; i < h->n; i++)
            s[i] = dp[i] = 0.0f;
    }
    turn_gradients(pairs, &m, h, rows);
    for (int64_t r = rows; r < rows_up; r++)
        memset(m.ds + r * h->n_up, 0, (size_t)h->n_words * sizeof(float));
    tile_product(pairs, false, m.out, h->d_up, (tile_matrix){m.ds, h->n_up, 1},
                 (tile_matrix){m.keys_by_token, 1, h->d_up},
                 (tile_shape){rows, h->d, h->n_words});
    store_rows(bf16, at(bf16, t.dq, first * a->q_row), a->q_row, m.out, h->d_up, NULL,
               rows, h->d);
    tile_product(pairs, true, m.dv, h->d_up, (tile_matrix){m.p_by_token, 1, h->n_up},
                 (tile_matrix){m.dout_by_token, 1, h->d_up}, sums);
    tile_product(pairs, true, m.dk, h->d_up, (tile_matrix){m.ds_by_token, 1, h->n_up},
                 (tile_matrix){m.q_by_token, 1, h->d_up}, sums);
}

FB_INLINE void backward(bool bf16, const vector_attention *a, float *scratch)
{
    const bool pairs = bf16 && FB_PAIRS;
    head_view h = view_of(a, pairs);
    int64_t head = a->head * h.d, start = a->first_row * a->q_row + head;
    int64_t key_start = a->first_key * a->kv_row + head;
    const void *q = at_const(bf16, a->q, start);
    const void *k = at_const(bf16, a->k, key_start);
    const void *v = at_const(bf16, a->v, key_start);
    int64_t out_start = a->first_row * a->width + head;
    void *dq = at(bf16, a->dq, start);
    void *dk = at(bf16, a->dk, key_start), *dv = at(bf16, a->dv, key_start);
    backward_room m = divide(scratch, &h);
    const tensor_rows keys = {k, a->kv_row, h.n, h.d};
    const tensor_rows values = {v, a->kv_row, h.n, h.d};
    const head_rows t = {q, at_const(bf16, a->dout, out_start),
                         at_const(bf16, a->out_in, out_start), dq};
    word_columns(bf16, pairs, m.keys, h.n_up, keys, h.n_lanes);
    word_columns(bf16, pairs, m.values, h.n_up, values, h.n_lanes);
    word_interleave(bf16, pairs, m.keys_by_token, h.d_up, keys);
    memset(m.dk, 0, 2 * (size_t)(h.n_up * h.d_up) * sizeof(float));
    for (int64_t first = 0; first < a->length; first += QUERIES) {
        head_view block = view_of_block(a, &h, first, pairs);
        backward_block(bf16, pairs, a, &block, m, first, t);
    }
    store_rows(bf16, dk, a->kv_row, m.dk, h.d_up, NULL, h.n, h.d);
    store_rows(bf16, dv, a->kv_row, m.dv, h.d_up, NULL, h.n, h.d);
}

void FB_VECTOR_NAME(attention_backward)(const vector_attention *a, void *scratch)
{
    FB_EACH_DTYPE(a->dtype, backward, a, scratch);
}

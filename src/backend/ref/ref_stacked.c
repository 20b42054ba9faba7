/* ref_stacked.c - stacked cross attention of pairs, and its gradient.
 *
 *     x = LeakyReLU(s)    n_c = sqrt(sum_q x_qc^2)    y_qc = x_qc / (n_c + 1e-8)
 *     a = softmax over c of lambda1 y    u_q = a^T G a    R_q = a . s / sqrt(u_q)
 *     score = scale (pool R + focus pool max_c a)
 *
 *     da = dR (s / sqrt u - R G a / u) + [c is the first of the greatest] dmax
 *     dy = lambda1 a (da - a . da)
 *     dx = dy / (n + 1e-8) - x sum_q(dy x) / ((n + 1e-8)^2 n)
 *     ds = dR a / sqrt u + dx LeakyReLU'(s)     dG = - dR R / 2u a a^T
 *
 * where u is below 1e-16 it is that, and has no gradient.
 */
#include "backend/ref/ref.h"

#include <stdlib.h>

#define LEAK     0.1
#define LITTLE   1e-8
#define LEAST_UU 1e-16

/* The block of a pair in s: number (q, c) is at q * by_query + c * by_context. */
typedef struct block {
    int64_t first, queries, contexts, by_query, by_context;
    const float *gram;
} block;

static block block_of(const fb_stacked *p, int32_t pair, int64_t columns,
                      const float *gram)
{
    int32_t t = p->text[pair], i = p->image[pair];
    int64_t words = p->text_offsets[t + 1] - p->text_offsets[t];
    int64_t rows = p->image_offsets[i + 1] - p->image_offsets[i];
    int64_t first = (int64_t)p->word[pair] * columns + p->row[pair];
    if (p->form.rows_ask)
        return (block){first, rows, words, 1, columns, gram + p->gram[t]};
    return (block){first, words, rows, columns, 1, gram + p->gram[i]};
}

static double number(const block *b, const float *s, int64_t q, int64_t c)
{
    return (double)s[b->first + q * b->by_query + c * b->by_context];
}

static double leaky(double x)
{
    return x > 0 ? x : LEAK * x;
}

/* What is computed of a block on the way to its score. */
typedef struct attended {
    double *length;     /* [contexts] n */
    double *a;          /* [queries, contexts] */
    double *ga;         /* [queries, contexts] G a */
    double *u, *r;      /* [queries] */
    double *most;       /* [queries] max_c a */
    double *da, *along; /* [contexts], for the gradient */
} attended;

static fb_status make(fb_context *ctx, attended *at, const block *b)
{
    size_t square = (size_t)(b->queries * b->contexts);
    size_t count = 2 * square + 3 * (size_t)b->contexts + 3 * (size_t)b->queries;
    at->length = calloc(count + 1, sizeof(double));
    if (!at->length)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a pair's attention");
    at->a = at->length + b->contexts;
    at->ga = at->a + square;
    at->u = at->ga + square;
    at->r = at->u + b->queries;
    at->most = at->r + b->queries;
    at->da = at->most + b->queries;
    at->along = at->da + b->contexts;
    return FB_OK;
}

static void attend(const attended *at, const block *b, const float *s,
                   const fb_stacked *p)
{
    int64_t queries = b->queries, contexts = b->contexts;
    for (int64_t c = 0; c < contexts; c++) {
        double sum = 0;
        for (int64_t q = 0; q < queries; q++)
            sum += leaky(number(b, s, q, c)) * leaky(number(b, s, q, c));
        at->length[c] = sqrt(sum);
    }
    for (int64_t q = 0; q < queries; q++) {
        double *a = at->a + q * contexts, *ga = at->ga + q * contexts;
        double total = 0, product = 0, u = 0;
        for (int64_t c = 0; c < contexts; c++) {
            double y = leaky(number(b, s, q, c)) / (at->length[c] + LITTLE);
            a[c] = exp((double)p->form.lambda1 * y);
            total += a[c];
        }
        for (int64_t c = 0; c < contexts; c++) {
            a[c] /= total;
            product += a[c] * number(b, s, q, c);
            at->most[q] = a[c] > at->most[q] ? a[c] : at->most[q];
        }
        for (int64_t c = 0; c < contexts; c++) {
            for (int64_t d = 0; d < contexts; d++)
                ga[c] += (double)b->gram[c * contexts + d] * a[d];
            u += a[c] * ga[c];
        }
        at->u[q] = u > LEAST_UU ? u : LEAST_UU;
        at->r[q] = product / sqrt(at->u[q]);
    }
}

/* share[q] = d pool / d v[q], or NULL. */
static double pool(const fb_stacked *p, const double *v, int64_t count, double *share)
{
    double most = -INFINITY, sum = 0;
    for (int64_t q = 0; q < count; q++)
        most = v[q] > most ? v[q] : most;
    for (int64_t q = 0; q < count; q++)
        sum += p->form.lse ? exp((double)p->form.lambda2 * (v[q] - most)) : v[q];
    for (int64_t q = 0; q < count && share; q++)
        share[q] = p->form.lse ? exp((double)p->form.lambda2 * (v[q] - most)) / sum
                               : 1.0 / (double)count;
    return p->form.lse ? most + log(sum) / (double)p->form.lambda2
                       : sum / (double)count;
}

fb_status ref_stacked_forward(fb_context *ctx, fb_backend *be, float *scores,
                              const fb_tensor *s, const float *gram,
                              const fb_stacked *p)
{
    for (int32_t i = 0; i < p->pairs; i++) {
        block b = block_of(p, i, s->dims[1], gram);
        attended at = {0};
        scores[i] = 0.0f;
        if (b.queries == 0 || b.contexts == 0)
            continue;
        FB_TRY(make(ctx, &at, &b));
        attend(&at, &b, s->data, p);
        double score = pool(p, at.r, b.queries, NULL);
        if (p->form.focus != 0.0f)
            score += (double)p->form.focus * pool(p, at.most, b.queries, NULL);
        scores[i] = (float)((double)p->form.scale * score);
        free(at.length);
    }
    return FB_OK;
}

/* ---- gradient --------------------------------------------------------------------- */

/* d of the score by R_q, and by max_c a. */
typedef struct slopes {
    double r, most;
} slopes;

/* Of one query: the part of ds that is the product's, dy in the place of G a, and dgram.
 */
static void query_backward(const attended *at, const block *b, const float *s,
                           const fb_stacked *p, int64_t q, slopes d, float *ds,
                           float *dgram)
{
    int64_t n = b->contexts, first = -1;
    const double *a = at->a + q * n;
    double *ga = at->ga + q * n, root = sqrt(at->u[q]), along = 0;
    double du = at->u[q] > LEAST_UU ? -d.r * at->r[q] / (2 * at->u[q]) : 0;
    for (int64_t c = 0; c < n; c++) {
        at->da[c] = d.r * number(b, s, q, c) / root + 2 * du * ga[c];
        if (first < 0 && a[c] == at->most[q])
            first = c;
        ds[b->first + q * b->by_query + c * b->by_context] = (float)(d.r * a[c] / root);
        for (int64_t e = 0; e < n; e++)
            dgram[c * n + e] += (float)(2 * du * a[c] * a[e]);
    }
    if (first >= 0) /* none is where numbers are not finite */
        at->da[first] += d.most;
    for (int64_t c = 0; c < n; c++)
        along += a[c] * at->da[c];
    for (int64_t c = 0; c < n; c++)
        ga[c] = (double)p->form.lambda1 * a[c] * (at->da[c] - along);
}

/* dy, in the place of G a, through the norm over queries and LeakyReLU. */
static void add_through_norm(const attended *at, const block *b, const float *s,
                             float *ds)
{
    for (int64_t c = 0; c < b->contexts; c++) {
        double sum = 0, n = at->length[c], whole = n + LITTLE;
        for (int64_t q = 0; q < b->queries; q++)
            sum += at->ga[q * b->contexts + c] * leaky(number(b, s, q, c));
        for (int64_t q = 0; q < b->queries; q++) {
            double x = number(b, s, q, c), dx = at->ga[q * b->contexts + c] / whole;
            dx -= n > 0 ? leaky(x) * sum / (whole * whole * n) : 0;
            ds[b->first + q * b->by_query + c * b->by_context] +=
                (float)(dx * (x > 0 ? 1 : LEAK));
        }
    }
}

fb_status ref_stacked_backward(fb_context *ctx, fb_backend *be, const fb_tensor *ds,
                               const fb_tensor *dgram, const fb_tensor *dscores,
                               const fb_tensor *s, const float *gram,
                               const fb_stacked *p)
{
    float *dg = dgram->data;
    const float *d = dscores->data;
    for (int64_t i = 0; i < fb_tensor_count(dgram); i++)
        dg[i] = 0.0f;
    for (int32_t i = 0; i < p->pairs; i++) {
        block b = block_of(p, i, s->dims[1], gram);
        attended at = {0};
        if (b.queries == 0 || b.contexts == 0)
            continue;
        FB_TRY(make(ctx, &at, &b));
        double by = (double)d[i] * (double)p->form.scale;
        double *share = calloc((size_t)b.queries * 2, sizeof *share);
        if (share) {
            attend(&at, &b, s->data, p);
            pool(p, at.r, b.queries, share);
            pool(p, at.most, b.queries, share + b.queries);
        }
        for (int64_t q = 0; q < b.queries && share; q++)
            query_backward(&at, &b, s->data, p, q,
                           (slopes){by * share[q],
                                    by * (double)p->form.focus * share[b.queries + q]},
                           ds->data, dg + (b.gram - gram));
        if (share)
            add_through_norm(&at, &b, s->data, ds->data);
        free(at.length);
        if (!share)
            return fb_fail(ctx, FB_E_MEMORY, "no memory for a pair's attention");
        free(share);
    }
    return FB_OK;
}

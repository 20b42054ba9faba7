/* canonical.c - see canonical.h. */
#include "base/canonical.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 3 };

/* ---- covariances ------------------------------------------------------------------ */

fb_status fb_covariance_create(fb_context *ctx, fb_covariance *c, int32_t dx,
                               int32_t dy)
{
    *c = (fb_covariance){.dx = dx, .dy = dy};
    c->shift_x = calloc((size_t)dx + 1, sizeof(double));
    c->shift_y = calloc((size_t)dy + 1, sizeof(double));
    c->sum_x = calloc((size_t)dx + 1, sizeof(double));
    c->sum_y = calloc((size_t)dy + 1, sizeof(double));
    if (!c->shift_x || !c->shift_y || !c->sum_x || !c->sum_y)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for covariances");
    FB_TRY(fb_matrix_create(ctx, &c->xx, dx, dx));
    FB_TRY(fb_matrix_create(ctx, &c->yy, dy, dy));
    return fb_matrix_create(ctx, &c->yx, dy, dx);
}

void fb_covariance_clear(fb_covariance *c)
{
    free(c->shift_x);
    free(c->shift_y);
    free(c->sum_x);
    free(c->sum_y);
    free(c->xx.at);
    free(c->yy.at);
    free(c->yx.at);
    *c = (fb_covariance){0};
}

/* *bad: the first row with a number that is not finite, or -1; *zeros: how many. */
static void look(fb_matrix m, int32_t *bad, int64_t *zeros)
{
    *bad = -1;
    *zeros = 0;
    for (int32_t i = 0; i < m.rows && *bad < 0; i++)
        for (int32_t j = 0; j < m.columns; j++) {
            double value = m.at[(ptrdiff_t)i * m.columns + j];
            if (!isfinite(value))
                *bad = i;
            *zeros += !(value > 0) && !(value < 0);
        }
}

/* Rows become rows less the shift, which the first block gives. */
static void take_shift(fb_matrix m, double *shift, double *sum, bool first, bool sparse)
{
    for (int32_t j = 0; first && !sparse && j < m.columns; j++) {
        double all = 0;
        for (int32_t i = 0; i < m.rows; i++)
            all += m.at[(ptrdiff_t)i * m.columns + j];
        shift[j] = all / m.rows;
    }
    for (int32_t i = 0; i < m.rows; i++) {
        double *row = m.at + (ptrdiff_t)i * m.columns;
        for (int32_t j = 0; j < m.columns; j++) {
            row[j] -= shift[j];
            sum[j] += row[j];
        }
    }
}

/* Places of a row that are not zero; returns how many. */
static int32_t places_of(const double *row, int32_t columns, int32_t *places)
{
    int32_t count = 0;
    for (int32_t j = 0; j < columns; j++)
        if (row[j] > 0 || row[j] < 0)
            places[count++] = j;
    return count;
}

/* The lower half of square += row row^T, by what is not zero. */
static void add_square(fb_matrix square, const double *row, const int32_t *places,
                       int32_t count)
{
    for (int32_t a = 0; a < count; a++) {
        double *to = square.at + (ptrdiff_t)places[a] * square.columns;
        for (int32_t b = 0; b <= a; b++)
            to[places[b]] += row[places[a]] * row[places[b]];
    }
}

/* yx += y x^T by what is not zero of y. */
static void add_cross(fb_matrix yx, const double *x, const double *y,
                      const int32_t *places, int32_t count)
{
    for (int32_t p = 0; p < count; p++) {
        double *to = yx.at + (ptrdiff_t)places[p] * yx.columns, share = y[places[p]];
        for (int32_t i = 0; i < yx.columns; i++)
            to[i] += share * x[i];
    }
}

static fb_status add_sparse(fb_context *ctx, fb_covariance *c, fb_matrix x, fb_matrix y)
{
    int32_t widest = c->dx > c->dy ? c->dx : c->dy;
    int32_t *places = malloc(((size_t)widest + 1) * sizeof *places);
    if (!places)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for covariances");
    for (int32_t i = 0; i < x.rows; i++) {
        const double *row_x = x.at + (ptrdiff_t)i * x.columns;
        const double *row_y = y.at + (ptrdiff_t)i * y.columns;
        if (c->sparse_x)
            add_square(c->xx, row_x, places, places_of(row_x, x.columns, places));
        if (!c->sparse_y)
            continue;
        int32_t count = places_of(row_y, y.columns, places);
        add_square(c->yy, row_y, places, count);
        add_cross(c->yx, row_x, row_y, places, count);
    }
    free(places);
    return FB_OK;
}

fb_status fb_covariance_add(fb_context *ctx, fb_covariance *c, fb_matrix x, fb_matrix y)
{
    int32_t bad_x, bad_y;
    int64_t zeros_x, zeros_y;
    bool first = c->count == 0;
    if (x.rows == 0)
        return FB_OK;
    look(x, &bad_x, &zeros_x);
    look(y, &bad_y, &zeros_y);
    if (bad_x >= 0 || bad_y >= 0)
        return fb_fail(ctx, FB_E_NUMBER, "a number of row %lld is not finite",
                       (long long)(c->count + (bad_x >= 0 ? bad_x : bad_y)));
    if (first) {
        c->sparse_x = zeros_x * 8 > (int64_t)x.rows * x.columns * 7;
        c->sparse_y = zeros_y * 8 > (int64_t)y.rows * y.columns * 7;
    }
    take_shift(x, c->shift_x, c->sum_x, first, c->sparse_x);
    take_shift(y, c->shift_y, c->sum_y, first, c->sparse_y);
    if (c->sparse_x || c->sparse_y)
        FB_TRY(add_sparse(ctx, c, x, y));
    if (!c->sparse_x)
        fb_dense_add_square(c->xx, x);
    if (!c->sparse_y) {
        fb_dense_add_square(c->yy, y);
        fb_dense_multiply(c->yx, true, 1, FB_DENSE_TN, y, x);
    }
    c->count += x.rows;
    return FB_OK;
}

/* ---- one decomposition ------------------------------------------------------------ */

/* A square covariance with its ridge, from the lower half of sums, and its factor. */
static fb_status factor_of(fb_context *ctx, fb_matrix l, fb_ridge ridge,
                           const char *name)
{
    double largest = 0, trace = 0;
    int32_t n = l.rows, row;
    for (int32_t i = 0; i < n; i++)
        trace += l.at[(ptrdiff_t)i * n + i];
    if (!isfinite(trace))
        return fb_fail(ctx, FB_E_NUMBER, "a number of %s is not finite", name);
    if (!(trace > 0))
        return fb_fail(ctx, FB_E_NUMBER,
                       "%s are the same in every product, so nothing correlates with "
                       "them",
                       name);
    if (ridge.relative > 0)
        FB_TRY(fb_dense_largest_eigenvalue(ctx, &largest, l));
    for (int32_t i = 0; i < n; i++)
        l.at[(ptrdiff_t)i * n + i] += ridge.relative * largest + ridge.absolute;
    fb_status status = fb_dense_cholesky(ctx, l, &row);
    if (status == FB_E_NUMBER)
        return fb_fail(ctx, FB_E_NUMBER,
                       "number %d of %d of %s is constant or follows from those before "
                       "it; a larger ridge is needed",
                       (int)row, (int)n, name);
    return status;
}

/* l of lower sums / (N-1), the mean taken out. */
static void centre(fb_matrix l, fb_matrix sums, const double *sum, int64_t count)
{
    int32_t n = sums.rows;
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j <= i; j++) {
            double all = sums.at[(ptrdiff_t)i * n + j];
            l.at[(ptrdiff_t)i * n + j] =
                (all - sum[i] * sum[j] / (double)count) / (double)(count - 1);
        }
}

typedef struct factors {
    fb_matrix l1, l2, t; /* T, overwritten by its decomposition */
    fb_matrix u, vt;     /* [dx,r], [r,dy] */
    double *s;           /* [r] */
    bool about;
} factors;

static void factors_clear(factors *f)
{
    free(f->l1.at);
    free(f->l2.at);
    free(f->t.at);
    free(f->u.at);
    free(f->vt.at);
    free(f->s);
}

/* about: r of so many; 0: all, exactly. */
static fb_status factors_create(fb_context *ctx, factors *f, int32_t dx, int32_t dy,
                                int32_t about)
{
    int32_t rank = about ? about : dx < dy ? dx : dy;
    *f = (factors){.s = calloc((size_t)rank + 1, sizeof(double)), .about = about > 0};
    if (!f->s)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for singular values");
    FB_TRY(fb_matrix_create(ctx, &f->l1, dx, dx));
    FB_TRY(fb_matrix_create(ctx, &f->l2, dy, dy));
    FB_TRY(fb_matrix_create(ctx, &f->t, dx, dy));
    FB_TRY(fb_matrix_create(ctx, &f->u, dx, rank));
    return fb_matrix_create(ctx, &f->vt, rank, dy);
}

/* From covariances without ridges in l1, l2 (lower halves) and C12 in t. */
static fb_status decompose(fb_context *ctx, factors *f, const fb_ridge ridge[2],
                           const char *const names[2])
{
    FB_TRY(factor_of(ctx, f->l1, ridge[0], names[0]));
    FB_TRY(factor_of(ctx, f->l2, ridge[1], names[1]));
    fb_dense_solve_lower(f->l1, false, f->t);
    fb_dense_solve_right(f->l2, f->t);
    return f->about ? fb_dense_svd_about(ctx, f->u, f->s, f->vt, f->t, ROUNDS)
                    : fb_dense_svd(ctx, f->u, f->s, f->vt, f->t);
}

/* a [dx,k] = L1^-T U, b [dy,k] = L2^-T V */
static void take_columns(const factors *f, fb_matrix a, fb_matrix b)
{
    int32_t k = a.columns;
    for (int32_t i = 0; i < a.rows; i++)
        for (int32_t j = 0; j < k; j++)
            a.at[(ptrdiff_t)i * k + j] = f->u.at[(ptrdiff_t)i * f->u.columns + j];
    for (int32_t i = 0; i < b.rows; i++)
        for (int32_t j = 0; j < k; j++)
            b.at[(ptrdiff_t)i * k + j] = f->vt.at[(ptrdiff_t)j * f->vt.columns + i];
    fb_dense_solve_lower(f->l1, true, a);
    fb_dense_solve_lower(f->l2, true, b);
}

static fb_status solve(fb_context *ctx, factors *f, const fb_covariance *c,
                       const fb_ridge ridge[2], const char *const names[2])
{
    centre(f->l1, c->xx, c->sum_x, c->count);
    centre(f->l2, c->yy, c->sum_y, c->count);
    for (int32_t i = 0; i < c->dx; i++)
        for (int32_t j = 0; j < c->dy; j++) {
            double all = c->yx.at[(int64_t)j * c->dx + i];
            f->t.at[(int64_t)i * c->dy + j] =
                (all - c->sum_x[i] * c->sum_y[j] / (double)c->count) /
                (double)(c->count - 1);
        }
    return decompose(ctx, f, ridge, names);
}

static fb_status canonical_create(fb_context *ctx, fb_canonical *out,
                                  const fb_covariance *c, int32_t k)
{
    *out = (fb_canonical){.k = k};
    out->rho = calloc((size_t)k + 1, sizeof(double));
    out->mean_x = calloc((size_t)c->dx + 1, sizeof(double));
    out->mean_y = calloc((size_t)c->dy + 1, sizeof(double));
    if (!out->rho || !out->mean_x || !out->mean_y)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for projections");
    FB_TRY(fb_matrix_create(ctx, &out->a, c->dx, k));
    return fb_matrix_create(ctx, &out->b, c->dy, k);
}

static fb_status solve_as(fb_context *ctx, fb_canonical *out, const fb_covariance *c,
                          const fb_ridge ridge[2], const char *const names[2],
                          int32_t about)
{
    int32_t k = out->k;
    factors f = {0};
    if (c->count < 2)
        return fb_fail(ctx, FB_E_USAGE, "correlations need 2 products, there %s %lld",
                       c->count == 1 ? "is" : "are", (long long)c->count);
    FB_TRY(canonical_create(ctx, out, c, k));
    fb_status status = factors_create(ctx, &f, c->dx, c->dy, about);
    if (status == FB_OK)
        status = solve(ctx, &f, c, ridge, names);
    if (status == FB_OK) {
        take_columns(&f, out->a, out->b);
        memcpy(out->rho, f.s, (size_t)k * sizeof(double));
        for (int32_t i = 0; i < c->dx; i++)
            out->mean_x[i] = c->shift_x[i] + c->sum_x[i] / (double)c->count;
        for (int32_t i = 0; i < c->dy; i++)
            out->mean_y[i] = c->shift_y[i] + c->sum_y[i] / (double)c->count;
    }
    factors_clear(&f);
    return status;
}

fb_status fb_canonical_solve(fb_context *ctx, fb_canonical *out, const fb_covariance *c,
                             int32_t k, const fb_ridge ridge[2],
                             const char *const names[2])
{
    *out = (fb_canonical){.k = k};
    return solve_as(ctx, out, c, ridge, names, 0);
}

fb_status fb_canonical_solve_about(fb_context *ctx, fb_canonical *out,
                                   const fb_covariance *c, int32_t k,
                                   const fb_ridge ridge[2], const char *const names[2])
{
    *out = (fb_canonical){.k = k};
    return solve_as(ctx, out, c, ridge, names, k);
}

void fb_canonical_clear(fb_canonical *c)
{
    free(c->a.at);
    free(c->b.at);
    free(c->rho);
    free(c->mean_x);
    free(c->mean_y);
    *c = (fb_canonical){0};
}

/* ---- the trace norm and its gradient ---------------------------------------------- */

static void take_mean_out(fb_matrix h)
{
    for (int32_t j = 0; j < h.columns; j++) {
        double mean = 0;
        for (int32_t i = 0; i < h.rows; i++)
            mean += h.at[(ptrdiff_t)i * h.columns + j];
        mean /= h.rows;
        for (int32_t i = 0; i < h.rows; i++)
            h.at[(ptrdiff_t)i * h.columns + j] -= mean;
    }
}

/* g = (other B - own A D) A^T / (m-1) */
static fb_status gradient(fb_context *ctx, fb_matrix g, fb_matrix own, fb_matrix other,
                          fb_matrix a, fb_matrix b, const double *rho)
{
    fb_matrix work = {0};
    double share = 1.0 / (own.rows - 1);
    if (!g.at)
        return FB_OK;
    FB_TRY(fb_matrix_create(ctx, &work, own.rows, a.columns));
    fb_dense_multiply(work, false, 1, FB_DENSE_NN, own, a);
    for (int32_t i = 0; i < work.rows; i++)
        for (int32_t j = 0; j < work.columns; j++)
            work.at[(ptrdiff_t)i * work.columns + j] *= -rho[j];
    fb_dense_multiply(work, true, 1, FB_DENSE_NN, other, b);
    fb_dense_multiply(g, false, share, FB_DENSE_NT, work, a);
    free(work.at);
    return FB_OK;
}

/* With h1 and h2 centred. */
static fb_status trace_norm(fb_context *ctx, factors *f, double *norm, fb_matrix g[2],
                            const fb_matrix h[2], int32_t k, const double r[2])
{
    static const char *const names[2] = {"the first view", "the second view"};
    const fb_ridge ridge[2] = {{0, r[0]}, {0, r[1]}};
    double share = 1.0 / (h[0].rows - 1);
    fb_dense_multiply(f->l1, false, share, FB_DENSE_TN, h[0], h[0]);
    fb_dense_multiply(f->l2, false, share, FB_DENSE_TN, h[1], h[1]);
    fb_dense_multiply(f->t, false, share, FB_DENSE_TN, h[0], h[1]);
    FB_TRY(decompose(ctx, f, ridge, names));
    *norm = 0;
    for (int32_t i = 0; i < k; i++)
        *norm += f->s[i];
    fb_matrix a = {0}, b = {0};
    if (!g[0].at && !g[1].at)
        return FB_OK;
    fb_status status = fb_matrix_create(ctx, &a, h[0].columns, k);
    if (status == FB_OK)
        status = fb_matrix_create(ctx, &b, h[1].columns, k);
    if (status == FB_OK) {
        take_columns(f, a, b);
        status = gradient(ctx, g[0], h[0], h[1], a, b, f->s);
    }
    if (status == FB_OK)
        status = gradient(ctx, g[1], h[1], h[0], b, a, f->s);
    free(a.at);
    free(b.at);
    return status;
}

fb_status fb_trace_norm(fb_context *ctx, double *norm, fb_matrix g1, fb_matrix g2,
                        fb_matrix h1, fb_matrix h2, int32_t k, const double r[2])
{
    factors f = {0};
    fb_matrix g[2] = {g1, g2};
    const fb_matrix h[2] = {h1, h2};
    take_mean_out(h1);
    take_mean_out(h2);
    fb_status status = factors_create(ctx, &f, h1.columns, h2.columns, 0);
    if (status == FB_OK)
        status = trace_norm(ctx, &f, norm, g, h, k, r);
    factors_clear(&f);
    return status;
}

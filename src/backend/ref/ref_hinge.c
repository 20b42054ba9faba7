/* ref_hinge.c - the hinge loss of every row and column of a matrix of scores.
 *
 *     c_ij = margin + (S_ij - S_ii)            row i, of j != i that are not left out
 *     loss_i = sum_j max(0, c_ij)              dS_ij = 1, dS_ii -= 1 where c_ij > 0
 *     hardest: max_j max(0, c_ij)              the same for the first largest j alone
 *
 * and of columns with S_ji. NaN stays NaN.
 */
#include "backend/ref/ref.h"

typedef struct line {
    const float *s;
    const fb_hinge *h;
    int64_t i;
    bool column;
} line;

/* Where S_ij of a row, or S_ji of a column, lies. */
static int64_t place(const line *l, int64_t j)
{
    return l->column ? j * l->h->count + l->i : l->i * l->h->count + j;
}

static bool left_out(const fb_hinge *h, int64_t i, int64_t j)
{
    return i == j || h->a_group[i] == h->a_group[j] || h->b_group[i] == h->b_group[j];
}

/* 0 where it is no violation. */
static float cost(const line *l, int64_t j)
{
    if (left_out(l->h, l->i, j))
        return 0.0f;
    float c = l->h->margin + (l->s[place(l, j)] - l->s[place(l, l->i)]);
    return c <= 0.0f ? 0.0f : c;
}

/* The first of the largest costs; -1: none is above 0. */
static int64_t hardest(const line *l)
{
    int64_t found = -1;
    float most = 0.0f;
    for (int64_t j = 0; j < l->h->count && !isnan(most); j++)
        if (!(cost(l, j) <= most)) {
            most = cost(l, j);
            found = j;
        }
    return found;
}

static float loss_of(const line *l)
{
    double sum = 0.0;
    int64_t one = l->h->hardest ? hardest(l) : -1;
    if (l->h->hardest)
        return one < 0 ? 0.0f : cost(l, one);
    for (int64_t j = 0; j < l->h->count; j++)
        sum += (double)cost(l, j);
    return (float)sum;
}

fb_status ref_hinge_forward(fb_context *ctx, fb_backend *be, float *loss,
                            const fb_tensor *scores, const fb_hinge *h)
{
    for (int64_t i = 0; i < 2 * (int64_t)h->count; i++) {
        const line l = {scores->data, h, i % h->count, i >= h->count};
        loss[i] = loss_of(&l);
    }
    return FB_OK;
}

fb_status ref_hinge_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dscores,
                             const fb_tensor *scores, const fb_hinge *h, float scale)
{
    float *ds = dscores->data;
    for (int64_t i = 0; i < fb_tensor_count(dscores); i++)
        ds[i] = 0.0f;
    for (int64_t i = 0; i < 2 * (int64_t)h->count; i++) {
        const line l = {scores->data, h, i % h->count, i >= h->count};
        int64_t one = h->hardest ? hardest(&l) : -1;
        for (int64_t j = 0; j < h->count; j++)
            if (h->hardest ? j == one : !(cost(&l, j) <= 0.0f)) {
                ds[place(&l, j)] += scale;
                ds[place(&l, l.i)] -= scale;
            }
    }
    return FB_OK;
}

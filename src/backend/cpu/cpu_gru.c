/* cpu_gru.c - a gated recurrent unit's recurrence, a step of all sequences at a time.
 *
 * Sequences go longest first, so those that have a row at step t are the first n_t, and
 * their states lie side by side: g = H w^T is one product of n_t rows, and one of dg w on
 * the way back. What the steps give to dw is one product over all of them, from dg and
 * the states before, both in the order of steps:
 *
 *     step 0: n_0 rows | step 1: n_1 rows | ...          n_0 >= n_1 >= ...
 *
 * Products of a step are cut at multiples of 8 rows, so that few sizes are made; the
 * rows past n_t are numbers of other steps, which nobody reads the results of.
 */
#include "backend/cpu/cpu_backend.h"

enum { STEP_ROWS = 8 };

typedef struct gru_scratch {
    float *products; /* [B_up, 3H] forward; backward: keep [B_up, H] */
    void *states;    /* [B_up, H]; backward: what dg gives back */
    void *dg;        /* [T + STEP_ROWS, 3H], by steps */
    void *before;    /* [T, H], by steps */
} gru_scratch;

static int64_t rows_up(int64_t rows)
{
    return (rows + STEP_ROWS - 1) / STEP_ROWS * STEP_ROWS;
}

static size_t lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static fb_status take_scratch(fb_context *ctx, cpu_backend *c, gru_scratch *m,
                              const fb_recurrence *r, int64_t width, bool backward)
{
    size_t number = fb_dtype_size(c->base.dtype), b = (size_t)rows_up(r->sequences);
    size_t w = (size_t)width, rows = (size_t)r->offsets[r->sequences];
    size_t products = lines(b * w * (backward ? 1 : 3) * sizeof(float));
    size_t states = lines(b * w * number);
    size_t dg = backward ? lines((rows + STEP_ROWS) * 3 * w * number) : 0;
    size_t before = backward ? lines(rows * w * number) : 0;
    void *scratch;
    FB_TRY(cpu_scratch(ctx, c, products + states + dg + before, &scratch));
    char *at = scratch;
    m->products = scratch;
    m->states = at + products;
    m->dg = at + products + states;
    m->before = at + products + states + dg;
    if (backward) /* behind the last step's, a product reads on */
        memset((char *)m->dg + rows * 3 * w * number, 0, STEP_ROWS * 3 * w * number);
    else if (states > 0)
        memset(m->states, 0, states);
    return FB_OK;
}

/* How many of the first `from` sequences have a row at `step`. */
static int64_t active(const fb_recurrence *r, int64_t from, int64_t step)
{
    while (from > 0) {
        int32_t s = r->order[from - 1];
        if (r->offsets[s + 1] - r->offsets[s] > step)
            break;
        from--;
    }
    return from;
}

static int64_t row_of(const fb_recurrence *r, int64_t place, int64_t step)
{
    int32_t s = r->order[place];
    return r->backwards ? r->offsets[s + 1] - 1 - step : r->offsets[s] + step;
}

/* ---- forward -------------------------------------------------------------------- */

typedef struct forward_call {
    const fb_tensor *y, *gates, *x;
    const float *bias;
    const fb_recurrence *r;
    const gru_scratch *m;
} forward_call;

static void forward_rows(const cpu_backend *c, const forward_call *f, int64_t step,
                         cpu_range places)
{
    int64_t width = f->y->dims[1];
    size_t number = fb_dtype_size(f->y->dtype), bytes = (size_t)width * number;
    vector_gru a = {.dtype = f->y->dtype, .width = width};
    for (int64_t k = places.from; k < places.to; k++) {
        int64_t row = row_of(f->r, k, step);
        char *state = (char *)f->m->states + (size_t)k * bytes;
        a.before = step > 0 ? state : NULL;
        a.x = (const float *)f->x->data + row * 3 * width;
        a.g = step > 0 ? f->m->products + k * 3 * width : f->bias;
        a.state = cpu_at(f->y, row * width);
        a.gates = f->gates ? cpu_at(f->gates, row * 4 * width) : NULL;
        c->v->gru_forward(&a);
        memcpy(state, a.state, bytes);
    }
}

fb_status cpu_gru_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                          const fb_tensor *gates, const fb_tensor *x, fb_weight *w,
                          const float *bias, const fb_recurrence *r)
{
    cpu_backend *c = cpu_of(be);
    int64_t width = w->in, count = r->sequences;
    gru_scratch m;
    if (width == 0)
        return FB_OK;
    FB_TRY(take_scratch(ctx, c, &m, r, width, false));
    const forward_call f = {y, gates, x, bias, r, &m};
    for (int64_t step = 0; step < r->longest; step++) {
        count = active(r, count, step);
        fb_tensor g = fb_tensor_2d(m.products, FB_F32, rows_up(count), 3 * width);
        fb_tensor h = fb_tensor_2d(m.states, be->dtype, rows_up(count), width);
        if (step > 0)
            FB_TRY(cpu_gemm_forward(ctx, c->gemm, &g, &h, w, bias, FB_ACT_NONE));
        bool large = cpu_is_large(count * width * (int64_t)sizeof(float));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
        for (int32_t t = 0; t < be->threads; t++)
            forward_rows(c, &f, step, cpu_part(count, 1, t, be->threads));
    }
    return FB_OK;
}

/* ---- backward ------------------------------------------------------------------- */

typedef struct backward_call {
    const fb_tensor *dx, *dy, *y, *gates;
    const fb_recurrence *r;
    const gru_scratch *m;
    int64_t step, first; /* first: of the step's rows of dg and before */
    int64_t later;       /* places that have a row at the next step */
} backward_call;

static void backward_rows(const cpu_backend *c, const backward_call *b,
                          cpu_range places)
{
    int64_t width = b->y->dims[1];
    size_t bytes = (size_t)width * fb_dtype_size(b->y->dtype);
    vector_gru a = {.dtype = b->y->dtype, .width = width};
    for (int64_t k = places.from; k < places.to; k++) {
        int64_t row = row_of(b->r, k, b->step);
        size_t at = (size_t)(b->first + k);
        a.before = NULL;
        if (b->step > 0) {
            a.before = cpu_at(b->y, row_of(b->r, k, b->step - 1) * width);
            memcpy((char *)b->m->before + at * bytes, a.before, bytes);
        }
        a.gates_in = cpu_at(b->gates, row * 4 * width);
        a.dy = cpu_at(b->dy, row * width);
        a.back = k < b->later ? (char *)b->m->states + (size_t)k * bytes : NULL;
        a.keep = b->m->products + k * width;
        a.dx = cpu_at(b->dx, row * 3 * width);
        a.dg = (char *)b->m->dg + at * 3 * bytes;
        c->v->gru_backward(&a);
    }
}

/* dw of the rows that have a state before them, dbias of all. */
static fb_status add_products(fb_context *ctx, fb_backend *be, const fb_gru_grads *d,
                              const gru_scratch *m, int64_t width,
                              const fb_recurrence *r)
{
    int64_t rows = r->offsets[r->sequences], first = active(r, r->sequences, 0);
    size_t number = fb_dtype_size(be->dtype), skip = (size_t)(first * width) * number;
    fb_tensor dg = fb_tensor_2d(m->dg, be->dtype, rows, 3 * width);
    fb_tensor before = fb_tensor_2d(m->before, be->dtype, rows, width);
    if (d->dbias)
        FB_TRY(cpu_linear_backward_weight(ctx, be, NULL, d->dbias, &before, &dg));
    if (!d->dw)
        return FB_OK;
    dg = fb_tensor_2d((char *)m->dg + 3 * skip, be->dtype, rows - first, 3 * width);
    before = fb_tensor_2d((char *)m->before + skip, be->dtype, rows - first, width);
    return cpu_linear_backward_weight(ctx, be, d->dw, NULL, &before, &dg);
}

fb_status cpu_gru_backward(fb_context *ctx, fb_backend *be, const fb_gru_grads *d,
                           const fb_tensor *dy, const fb_tensor *y,
                           const fb_tensor *gates, fb_weight *w, const fb_recurrence *r)
{
    cpu_backend *c = cpu_of(be);
    int64_t width = w->in;
    gru_scratch m;
    if (width == 0)
        return FB_OK;
    FB_TRY(take_scratch(ctx, c, &m, r, width, true));
    backward_call b = {.dx = d->dx, .dy = dy, .y = y, .gates = gates, .r = r, .m = &m};
    b.first = r->offsets[r->sequences];
    for (b.step = (int64_t)r->longest - 1; b.step >= 0; b.step--) {
        int64_t count = active(r, r->sequences, b.step);
        b.first -= count;
        bool large = cpu_is_large(count * width * (int64_t)sizeof(float));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
        for (int32_t t = 0; t < be->threads; t++)
            backward_rows(c, &b, cpu_part(count, 1, t, be->threads));
        b.later = count;
        void *at =
            (char *)m.dg + (size_t)(b.first * 3 * width) * fb_dtype_size(be->dtype);
        fb_tensor dg = fb_tensor_2d(at, be->dtype, rows_up(count), 3 * width);
        fb_tensor back = fb_tensor_2d(m.states, be->dtype, rows_up(count), width);
        if (b.step > 0)
            FB_TRY(cpu_gemm_backward_input(ctx, c->gemm, &back, &dg, w, false));
    }
    return add_products(ctx, be, d, &m, width, r);
}

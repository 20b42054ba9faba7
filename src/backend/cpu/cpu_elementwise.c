/* cpu_elementwise.c - activations, tanh, products, dropout and addition, cut between threads
 * at multiples of 64 elements. */
#include "backend/cpu/cpu_backend.h"

enum { STEP = 64 };

typedef void unary_function(fb_dtype dtype, void *y, const void *x, int64_t n);
typedef void binary_function(fb_dtype dtype, void *z, const void *x, const void *y,
                             int64_t n);

static fb_status unary(fb_backend *be, unary_function *run, const fb_tensor *y,
                       const fb_tensor *x)
{
    int64_t n = fb_tensor_count(y);
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(y));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(n, STEP, t, be->threads);
        run(y->dtype, cpu_at(y, part.from), cpu_at(x, part.from), part.to - part.from);
    }
    return FB_OK;
}

static fb_status binary(fb_backend *be, binary_function *run, const fb_tensor *z,
                        const fb_tensor *x, const fb_tensor *y)
{
    int64_t n = fb_tensor_count(z);
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(z));
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(n, STEP, t, be->threads);
        run(z->dtype, cpu_at(z, part.from), cpu_at(x, part.from), cpu_at(y, part.from),
            part.to - part.from);
    }
    return FB_OK;
}

fb_status cpu_act_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                          const fb_tensor *x, fb_activation act)
{
    return unary(be, cpu_of(be)->v->act_forward[act], y, x);
}

fb_status cpu_act_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dx,
                           const fb_tensor *dy, const fb_tensor *x, fb_activation act)
{
    return binary(be, cpu_of(be)->v->act_backward[act], dx, dy, x);
}

fb_status cpu_tanh_forward(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                           const fb_tensor *x)
{
    return unary(be, cpu_of(be)->v->tanh_forward, y, x);
}

fb_status cpu_tanh_backward(fb_context *ctx, fb_backend *be, const fb_tensor *dx,
                            const fb_tensor *dy, const fb_tensor *y)
{
    return binary(be, cpu_of(be)->v->tanh_backward, dx, dy, y);
}

fb_status cpu_multiply(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                       const fb_tensor *a, const fb_tensor *b)
{
    return binary(be, cpu_of(be)->v->multiply, y, a, b);
}

fb_status cpu_add(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                  const fb_tensor *x)
{
    return unary(be, cpu_of(be)->v->add, y, x);
}

fb_status cpu_dropout(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                      const fb_tensor *x, fb_dropout dropout)
{
    cpu_backend *c = cpu_of(be);
    int64_t n = fb_tensor_count(y);
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(y));
    if (dropout.p <= 0.0f) {
        if (y->data != x->data && n > 0)
            memcpy(y->data, x->data, fb_tensor_bytes(y));
        return FB_OK;
    }
#pragma omp parallel for schedule(static) num_threads(be->threads) if (large)
    for (int32_t t = 0; t < be->threads; t++) {
        cpu_range part = cpu_part(n, STEP, t, be->threads);
        c->v->dropout(y->dtype, cpu_at(y, part.from), cpu_at(x, part.from), part.from,
                      part.to - part.from, dropout);
    }
    return FB_OK;
}

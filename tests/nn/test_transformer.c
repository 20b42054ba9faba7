/* test_transformer.c - transformer encoders in all variants (norm before or behind,
 * causal or not, each activation): against loops in double written from the formulas,
 * gradients against differences along random directions, the cpu backend against the
 * reference.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "nn/transformer.h"

enum { L = 2, C = 8, H = 2, D = C / H, INNER = 12, T = 9, SEQUENCES = 4 };

static const int32_t offsets[SEQUENCES + 1] = {0, 4, 4, 5, T};

typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_arena *arena;
    fb_params *params;
    fb_transformer net;
    fb_tape tape;
    float x[T * C];
} world;

static float draw(uint64_t stream, int64_t i)
{
    fb_random r = fb_random_start(4, FB_STREAM_TEST, stream * 100000 + (uint64_t)i);
    return (float)(fb_random_uniform(&r) * 2 - 1);
}

static void must(const world *w, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(w->ctx));
}

static void world_open(world *w, const char *backend, const fb_transformer_options *o)
{
    *w = (world){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 20)};
    must(w, fb_backend_create(w->ctx, &w->be, backend, "f32", 2));
    must(w, fb_params_create(w->ctx, &w->params));
    must(w, fb_transformer_declare(w->params, &w->net, "t", o));
    must(w, fb_params_allocate(w->params, true));
    uint64_t stream = 1;
    for (fb_param *p = w->params->first; p; p = p->next, stream++)
        for (int64_t i = 0; i < p->rows * p->columns; i++)
            fb_params_value(w->params, &p->leaf)[i] =
                0.6f * draw(stream, i) + (float)(p->init == FB_INIT_ONE);
    fb_params_touch(w->params);
    for (int i = 0; i < T * C; i++)
        w->x[i] = draw(0, i);
}

static void world_close(world *w)
{
    fb_params_free(w->params, w->be);
    fb_backend_free(w->be);
    fb_arena_free(w->arena);
    fb_context_free(w->ctx);
}

#define EACH_VARIANT(o)                                                                \
    for (int variant_ = 0; variant_ < 16; variant_++)                                  \
        if (((o) = variant(variant_)).layers)

static fb_transformer_options variant(int number)
{
    return (fb_transformer_options){.layers = L,
                                    .width = C,
                                    .heads = H,
                                    .inner = INNER,
                                    .eps = 1e-5f,
                                    .init_std = 0.1f,
                                    .pre_norm = number & 1,
                                    .causal = number & 2,
                                    .act = (fb_activation)(FB_ACT_GELU + number / 4)};
}

static void name_of(const fb_transformer_options *o, char out[64])
{
    snprintf(out, 64, "%s, %s, activation %d", o->pre_norm ? "pre-norm" : "post-norm",
             o->causal ? "causal" : "not causal", (int)o->act);
}

/* y over w->x, and the input's variable. */
static fb_var *forward(world *w, bool recording, fb_var **x)
{
    fb_var *in, *y;
    fb_arena_reset(w->arena);
    fb_tape_begin(&w->tape, w->ctx, w->be, w->arena, recording);
    must(w, fb_tape_new_var(&w->tape, &in, FB_F32, T, C));
    memcpy(in->value.data, w->x, sizeof w->x);
    must(w, fb_transformer_forward(&w->tape, &y, in, &w->net, offsets, SEQUENCES));
    if (x)
        *x = in;
    return y;
}

static double score(const fb_var *y) /* what backward starts from: sum of r y */
{
    double sum = 0;
    for (int64_t i = 0; i < T * C; i++)
        sum += (double)draw(99, i) * (double)((const float *)y->value.data)[i];
    return sum;
}

/* ---- the formulas --------------------------------------------------------------- */

static const float *value(const world *w, const char *name)
{
    for (fb_param *p = w->params->first; p; p = p->next)
        for (int32_t i = 0; i < p->parts; i++)
            if (strcmp(p->name[i], name) == 0)
                return fb_params_value(w->params, &p->leaf) +
                       i * (p->rows / p->parts) * p->columns;
    fail_msg("no parameter %s", name);
    return NULL;
}

static const float *of_layer(const world *w, int layer, const char *rest)
{
    char name[128];
    snprintf(name, sizeof name, "t.layer.%d.%s", layer, rest);
    return value(w, name);
}

static void linear(const world *w, int layer, const char *name, double *y, int out,
                   const double *x, int in)
{
    char weight[96], bias[96];
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    const float *m = of_layer(w, layer, weight), *b = of_layer(w, layer, bias);
    for (int t = 0; t < T; t++)
        for (int o = 0; o < out; o++) {
            double sum = (double)b[o];
            for (int i = 0; i < in; i++)
                sum += (double)m[o * in + i] * x[t * in + i];
            y[t * out + o] = sum;
        }
}

static void norm(const world *w, int layer, const char *name, double *y,
                 const double *x)
{
    char weight[96], bias[96];
    snprintf(weight, sizeof weight, "%s.LayerNorm.weight", name);
    snprintf(bias, sizeof bias, "%s.LayerNorm.bias", name);
    const float *g = of_layer(w, layer, weight), *b = of_layer(w, layer, bias);
    for (int t = 0; t < T; t++) {
        double mean = 0, variance = 0;
        for (int c = 0; c < C; c++)
            mean += x[t * C + c] / C;
        for (int c = 0; c < C; c++)
            variance += (x[t * C + c] - mean) * (x[t * C + c] - mean) / C;
        for (int c = 0; c < C; c++)
            y[t * C + c] = (double)g[c] * (x[t * C + c] - mean) /
                               sqrt(variance + (double)w->net.options.eps) +
                           (double)b[c];
    }
}

static void attention(const world *w, int layer, double *y, const double *x)
{
    double q[T * C], k[T * C], v[T * C], out[T * C];
    linear(w, layer, "attention.self.query", q, C, x, C);
    linear(w, layer, "attention.self.key", k, C, x, C);
    linear(w, layer, "attention.self.value", v, C, x, C);
    for (int s = 0; s < SEQUENCES; s++)
        for (int t = offsets[s]; t < offsets[s + 1]; t++)
            for (int h = 0; h < H; h++) {
                int end = w->net.options.causal ? t + 1 : offsets[s + 1];
                double share[T] = {0}, total = 0;
                for (int j = offsets[s]; j < end; j++) {
                    double dot = 0;
                    for (int d = h * D; d < h * D + D; d++)
                        dot += q[t * C + d] * k[j * C + d];
                    total += share[j] = exp(dot / sqrt(D));
                }
                for (int d = h * D; d < h * D + D; d++) {
                    out[t * C + d] = 0;
                    for (int j = offsets[s]; j < end; j++)
                        out[t * C + d] += share[j] / total * v[j * C + d];
                }
            }
    linear(w, layer, "attention.output.dense", y, C, out, C);
}

static double activate(fb_activation act, double x)
{
    switch (act) {
    case FB_ACT_GELU:
        return x * erfc(-x / sqrt(2)) / 2;
    case FB_ACT_GELU_TANH:
        return x / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * pow(x, 3))));
    case FB_ACT_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    default:
        return fmax(x, 0);
    }
}

static void feed_forward(const world *w, int layer, double *y, const double *x)
{
    double inner[T * INNER];
    linear(w, layer, "intermediate.dense", inner, INNER, x, C);
    for (int i = 0; i < T * INNER; i++)
        inner[i] = activate(w->net.options.act, inner[i]);
    linear(w, layer, "output.dense", y, C, inner, INNER);
}

static void by_formula(const world *w, double *x)
{
    double y[T * C], n[T * C];
    for (int layer = 0; layer < L; layer++)
        for (int half = 0; half < 2; half++) {
            const char *name = half ? "output" : "attention.output";
            void (*block)(const world *, int, double *, const double *) =
                half ? feed_forward : attention;
            if (w->net.options.pre_norm)
                norm(w, layer, name, n, x);
            block(w, layer, y, w->net.options.pre_norm ? n : x);
            for (int i = 0; i < T * C; i++)
                x[i] += y[i];
            if (w->net.options.pre_norm)
                continue;
            norm(w, layer, name, n, x);
            memcpy(x, n, sizeof n);
        }
}

static void every_variant_is_its_formula(void **state)
{
    (void)state;
    fb_transformer_options o;
    EACH_VARIANT(o)
    for (int side = 0; side < 2; side++) {
        world w;
        char name[64];
        double want[T * C];
        name_of(&o, name);
        world_open(&w, side ? "cpu" : "ref", &o);
        for (int i = 0; i < T * C; i++)
            want[i] = (double)w.x[i];
        by_formula(&w, want);
        for (int recording = 0; recording < 2; recording++) {
            const float *got = forward(&w, recording, NULL)->value.data;
            for (int i = 0; i < T * C; i++)
                if (!(fabs((double)got[i] - want[i]) <= 2e-5 * (1 + fabs(want[i]))))
                    fail_msg("%s, %s, recording %d: y[%d] is %.9g, not %.9g", name,
                             w.be->name, recording, i, (double)got[i], want[i]);
        }
        world_close(&w);
    }
}

/* ---- gradients ------------------------------------------------------------------ */

static fb_var *backward(world *w)
{
    fb_var *x, *y = forward(w, true, &x);
    memset(w->params->grad, 0, (size_t)w->params->total * sizeof(float));
    y->grad = y->value;
    y->grad.data = fb_arena_alloc(w->arena, fb_tensor_bytes(&y->value));
    for (int64_t i = 0; i < T * C; i++)
        ((float *)y->grad.data)[i] = draw(99, i);
    must(w, fb_tape_backward(&w->tape, NULL, NULL, true));
    return x;
}

/* Score at `values` moved by `by` along random direction `stream`. */
static double moved(world *w, float *values, int64_t count, uint64_t stream, float by)
{
    float *before = malloc((size_t)count * sizeof *before);
    assert_non_null(before);
    memcpy(before, values, (size_t)count * sizeof *before);
    for (int64_t i = 0; i < count; i++)
        values[i] += by * draw(stream, i);
    fb_params_touch(w->params);
    double got = score(forward(w, true, NULL));
    memcpy(values, before, (size_t)count * sizeof *before);
    fb_params_touch(w->params);
    free(before);
    return got;
}

static void check_slope(world *w, const char *what, float *values, const float *grad,
                        int64_t count)
{
    const float step = 2e-3f;
    const uint64_t stream = 77;
    char name[64];
    name_of(&w->net.options, name);
    double slope = 0;
    for (int64_t i = 0; i < count; i++)
        slope += (double)grad[i] * (double)draw(stream, i);
    double want = (moved(w, values, count, stream, step) -
                   moved(w, values, count, stream, -step)) /
                  (2 * (double)step);
    /* A step may cross where a ReLU bends. */
    double tolerance = w->net.options.act == FB_ACT_RELU ? 5e-2 : 1e-2;
    if (!(fabs(slope - want) <= tolerance * (1 + fabs(want))))
        fail_msg("%s, %s: the slope is %.6g, differences say %.6g", name, what, slope,
                 want);
}

static void gradients_of_every_variant_agree_with_differences(void **state)
{
    (void)state;
    fb_transformer_options o;
    EACH_VARIANT(o)
    {
        world w;
        world_open(&w, "ref", &o);
        float dx[T * C];
        memcpy(dx, backward(&w)->grad.data, sizeof dx);
        float *grad = malloc((size_t)w.params->total * sizeof *grad);
        assert_non_null(grad);
        memcpy(grad, w.params->grad, (size_t)w.params->total * sizeof *grad);
        check_slope(&w, "x", w.x, dx, T * C);
        for (fb_param *p = w.params->first; p; p = p->next)
            check_slope(&w, p->name[0], fb_params_value(w.params, &p->leaf),
                        grad + p->offset, p->rows * p->columns);
        free(grad);
        world_close(&w);
    }
}

static void gradients_of_the_cpu_are_those_of_the_reference(void **state)
{
    (void)state;
    fb_transformer_options o;
    EACH_VARIANT(o)
    {
        world w[2];
        float *dx[2];
        for (int side = 0; side < 2; side++) {
            world_open(&w[side], side ? "cpu" : "ref", &o);
            dx[side] = backward(&w[side])->grad.data;
        }
        for (int i = 0; i < T * C; i++)
            assert_true(fabs((double)dx[0][i] - (double)dx[1][i]) <= 1e-4);
        for (int64_t i = 0; i < w[0].params->total; i++)
            assert_true(fabs((double)w[0].params->grad[i] -
                             (double)w[1].params->grad[i]) <= 1e-4);
        for (int side = 0; side < 2; side++)
            world_close(&w[side]);
    }
}

static void a_causal_token_does_not_see_what_follows(void **state)
{
    (void)state;
    for (int number = 0; number < 4; number++)
        for (int side = 0; side < 2; side++) {
            fb_transformer_options o = variant(number);
            world w;
            float before[T * C];
            world_open(&w, side ? "cpu" : "ref", &o);
            memcpy(before, forward(&w, false, NULL)->value.data, sizeof before);
            int changed = offsets[4] - 2; /* of the last sequence, not its first */
            for (int c = 0; c < C; c++)
                w.x[changed * C + c] += (float)c; /* no norm takes that off */
            const float *after = forward(&w, false, NULL)->value.data;
            bool same = memcmp(before, after, (size_t)changed * C * sizeof(float)) == 0;
            assert_int_equal(same, o.causal);
            assert_true(before[changed * C] != after[changed * C]);
            assert_true(before[(T - 1) * C] != after[(T - 1) * C]);
            world_close(&w);
        }
}

static void causal_attention_works_half(void **state)
{
    (void)state;
    fb_transformer_options o = variant(0);
    double whole = fb_transformer_flops(&o, 9);
    o.causal = true;
    double half = fb_transformer_flops(&o, 9);
    /* of scores and of values, two operations each, four keys fewer on average */
    assert_true(fabs(whole - half - 4.0 * L * 9 * 4 * C) <= 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_is_its_formula),
        cmocka_unit_test(gradients_of_every_variant_agree_with_differences),
        cmocka_unit_test(gradients_of_the_cpu_are_those_of_the_reference),
        cmocka_unit_test(a_causal_token_does_not_see_what_follows),
        cmocka_unit_test(causal_attention_works_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

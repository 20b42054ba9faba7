/* test_ref_gradients.c - every backward kernel of the reference backend against central
 * differences of its forward kernel.
 *
 *     L(x) = sum over dy[i] y[i](x)        dL/dx[j] ~ (L(x + h) - L(x - h)) / 2h
 *
 * with random dy and h = 1e-2. L is summed in f64 from outputs in f32: their rounding
 * gives an error of about 6e-8 sqrt(n) / h, the curvature one of h^2 / 6 times the
 * third derivative; TOLERANCE covers both, relative to the largest gradient. Gradients
 * that overwrite begin as NaN, those that add begin at other numbers.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "base/random.h"

static const double STEP = 1e-2, TOLERANCE = 5e-4;

typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_arena *arena;
    fb_random random;
} world;

static int world_open(void **state)
{
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->ctx = fb_context_create();
    w->arena = fb_arena_create(1 << 16);
    w->random = fb_random_start(7, FB_STREAM_TEST, 0);
    assert_int_equal(fb_backend_create(w->ctx, &w->be, "ref", "f32", 1), FB_OK);
    *state = w;
    return 0;
}

static int world_close(void **state)
{
    world *w = *state;
    fb_backend_free(w->be);
    fb_arena_free(w->arena);
    fb_context_free(w->ctx);
    free(w);
    return 0;
}

static fb_tensor numbers(world *w, int64_t rows, int64_t columns)
{
    fb_tensor t = fb_tensor_new(w->arena, FB_F32, rows, columns);
    assert_non_null(t.data);
    for (int64_t i = 0; i < rows * columns; i++)
        ((float *)t.data)[i] = (float)fb_random_normal(&w->random);
    return t;
}

static fb_tensor unset(world *w, int64_t rows, int64_t columns)
{
    fb_tensor t = fb_tensor_new(w->arena, FB_F32, rows, columns);
    assert_non_null(t.data);
    for (int64_t i = 0; i < rows * columns; i++)
        ((float *)t.data)[i] = NAN;
    return t;
}

static fb_tensor copy(world *w, const fb_tensor *from)
{
    fb_tensor t = fb_tensor_new(w->arena, FB_F32, from->dims[0], from->dims[1]);
    assert_non_null(t.data);
    memcpy(t.data, from->data, fb_tensor_bytes(from));
    return t;
}

static double dot(const fb_tensor *a, const fb_tensor *b)
{
    double sum = 0.0;
    for (int64_t i = 0; i < fb_tensor_count(a); i++)
        sum +=
            (double)((const float *)a->data)[i] * (double)((const float *)b->data)[i];
    return sum;
}

/* Runs a forward kernel on a case and returns L. */
typedef double (*loss_function)(world *w, void *arguments);

/* dx, less what was in it before (NULL: nothing), is dL/dx. */
static void check(world *w, const char *name, const fb_tensor *x, const fb_tensor *dx,
                  const fb_tensor *before, loss_function loss, void *arguments)
{
    int64_t count = fb_tensor_count(x);
    float *xs = x->data;
    double *want = calloc((size_t)count, sizeof *want), largest = 0.0;
    assert_non_null(want);
    for (int64_t i = 0; i < count; i++) {
        float kept = xs[i], up = kept + (float)STEP, down = kept - (float)STEP;
        xs[i] = up;
        double above = loss(w, arguments);
        xs[i] = down;
        want[i] = (above - loss(w, arguments)) / ((double)up - (double)down);
        xs[i] = kept;
        largest = fmax(largest, fabs(want[i]));
    }
    if (!(largest > 1e-2))
        fail_msg("%s: the differences show no gradient", name);
    for (int64_t i = 0; i < count; i++) {
        double got = (double)((const float *)dx->data)[i];
        got -= before ? (double)((const float *)before->data)[i] : 0.0;
        if (!(fabs(got - want[i]) <= TOLERANCE * largest))
            fail_msg("%s[%lld] is %.9g, differences give %.9g (largest %.3g)", name,
                     (long long)i, got, want[i], largest);
    }
    free(want);
}

typedef struct linear_case {
    fb_tensor x, y, dy, bias, w;
} linear_case;

static double linear_loss(world *w, void *arguments)
{
    linear_case *c = arguments;
    fb_weight weight = {c->w.data, c->w.dims[0], c->w.dims[1], 1, NULL};
    assert_int_equal(w->be->k->linear_forward(w->ctx, w->be, &c->y, &c->x, &weight,
                                              c->bias.data, FB_ACT_NONE),
                     FB_OK);
    return dot(&c->y, &c->dy);
}

static void linear_gradients(void **state)
{
    static const int64_t shapes[][3] = {{1, 1, 1}, {5, 7, 3}, {13, 2, 11}};
    world *w = *state;
    for (int i = 0; i < 3; i++) {
        int64_t rows = shapes[i][0], in = shapes[i][1], out = shapes[i][2];
        linear_case c = {numbers(w, rows, in), unset(w, rows, out),
                         numbers(w, rows, out), numbers(w, 1, out),
                         numbers(w, out, in)};
        fb_weight weight = {c.w.data, out, in, 1, NULL};
        fb_tensor dx = unset(w, rows, in), added = numbers(w, rows, in);
        fb_tensor dw = numbers(w, out, in), dbias = numbers(w, 1, out);
        fb_tensor added_0 = copy(w, &added), dw_0 = copy(w, &dw),
                  dbias_0 = copy(w, &dbias);
        const fb_kernels *k = w->be->k;
        assert_int_equal(
            k->linear_backward_input(w->ctx, w->be, &dx, &c.dy, &weight, false), FB_OK);
        assert_int_equal(
            k->linear_backward_input(w->ctx, w->be, &added, &c.dy, &weight, true),
            FB_OK);
        assert_int_equal(
            k->linear_backward_weight(w->ctx, w->be, dw.data, dbias.data, &c.x, &c.dy),
            FB_OK);
        check(w, "linear dx", &c.x, &dx, NULL, linear_loss, &c);
        check(w, "linear dx, added", &c.x, &added, &added_0, linear_loss, &c);
        check(w, "linear dw", &c.w, &dw, &dw_0, linear_loss, &c);
        check(w, "linear dbias", &c.bias, &dbias, &dbias_0, linear_loss, &c);
    }
}

typedef struct conv_case {
    fb_tensor x, y, dy, bias, residual, w;
    fb_conv conv;
} conv_case;

static double conv_loss(world *w, void *arguments)
{
    conv_case *c = arguments;
    fb_weight weight = {c->w.data, c->w.dims[0], c->w.dims[1], 1, NULL};
    assert_int_equal(
        w->be->k->conv_forward(w->ctx, w->be, &c->y, &c->x, &weight, &c->conv,
                               &(fb_conv_epilogue){c->bias.data, &c->residual, false}),
        FB_OK);
    return dot(&c->y, &c->dy);
}

static void conv_gradients(void **state)
{
    static const fb_conv convs[] = {{1, 1, 1, 1, 1, 1, 1, 0, 1},
                                    {2, 5, 4, 3, 4, 3, 1, 1, 1},
                                    {1, 7, 6, 4, 6, 3, 2, 1, 2},
                                    {1, 9, 8, 2, 3, 5, 3, 2, 1}};
    world *w = *state;
    for (int i = 0; i < 4; i++) {
        fb_conv v = convs[i];
        int64_t rows = (int64_t)v.images * v.height * v.width;
        int64_t rows_out = (int64_t)v.images *
                           fb_window_out(v.height, v.kernel, v.stride, v.padding) *
                           fb_window_out(v.width, v.kernel, v.stride, v.padding);
        int64_t inner = (int64_t)v.in / v.groups * v.kernel * v.kernel;
        conv_case c = {numbers(w, rows, v.in),
                       unset(w, rows_out, v.out),
                       numbers(w, rows_out, v.out),
                       numbers(w, 1, v.out),
                       numbers(w, rows_out, v.out),
                       numbers(w, v.out, inner),
                       v};
        fb_weight weight = {c.w.data, v.out, inner, 1, NULL};
        fb_tensor dx = unset(w, rows, v.in), added = numbers(w, rows, v.in);
        fb_tensor dw = numbers(w, v.out, inner);
        fb_tensor added_0 = copy(w, &added), dw_0 = copy(w, &dw);
        const fb_kernels *k = w->be->k;
        assert_int_equal(
            k->conv_backward_input(w->ctx, w->be, &dx, &c.dy, &weight, &v, false),
            FB_OK);
        assert_int_equal(
            k->conv_backward_input(w->ctx, w->be, &added, &c.dy, &weight, &v, true),
            FB_OK);
        assert_int_equal(
            k->conv_backward_weight(w->ctx, w->be, dw.data, &c.x, &c.dy, &v), FB_OK);
        check(w, "conv dx", &c.x, &dx, NULL, conv_loss, &c);
        check(w, "conv dx, added", &c.x, &added, &added_0, conv_loss, &c);
        check(w, "conv dw", &c.w, &dw, &dw_0, conv_loss, &c);
        check(w, "conv residual", &c.residual, &c.dy, NULL, conv_loss, &c);
    }
}

/* One channel on a 3 x 3 picture counted by hand. */
static void conv_of_a_small_picture(void **state)
{
    static const float picture[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    static const float window[9] = {1, 0, 0, 0, 10, 0, 0, 0, 100};
    static const float want[9] = {510, 620, 30, 840, 951, 62, 70, 84, 95};
    world *w = *state;
    fb_tensor x = numbers(w, 9, 1), y = unset(w, 9, 1);
    memcpy(x.data, picture, sizeof picture);
    fb_weight weight = {window, 1, 9, 1, NULL};
    fb_conv c = {1, 3, 3, 1, 1, 3, 1, 1, 1};
    float bias = -90.0f;
    for (int relu = 0; relu < 2; relu++) {
        assert_int_equal(w->be->k->conv_forward(w->ctx, w->be, &y, &x, &weight, &c,
                                                &(fb_conv_epilogue){&bias, NULL, relu}),
                         FB_OK);
        for (int i = 0; i < 9; i++)
            assert_true(((float *)y.data)[i] ==
                        (relu ? fmaxf(want[i] + bias, 0) : want[i] + bias));
    }
}

typedef struct unary_case {
    fb_tensor x, y, dy;
    fb_activation act; /* NONE: tanh */
} unary_case;

static double unary_loss(world *w, void *arguments)
{
    unary_case *c = arguments;
    const fb_kernels *k = w->be->k;
    assert_int_equal(c->act ? k->act_forward(w->ctx, w->be, &c->y, &c->x, c->act)
                            : k->tanh_forward(w->ctx, w->be, &c->y, &c->x),
                     FB_OK);
    return dot(&c->y, &c->dy);
}

static void activation_and_tanh_gradients(void **state)
{
    static const char *const names[] = {"tanh dx", "gelu dx", "gelu by tanh dx",
                                        "quick gelu dx", "relu dx"};
    world *w = *state;
    const fb_kernels *k = w->be->k;
    for (int act = FB_ACT_GELU; act <= FB_ACT_RELU; act++) {
        unary_case c = {numbers(w, 7, 11), unset(w, 7, 11), numbers(w, 7, 11),
                        (fb_activation)act};
        fb_tensor dx = unset(w, 7, 11);
        assert_int_equal(k->act_backward(w->ctx, w->be, &dx, &c.dy, &c.x, c.act),
                         FB_OK);
        check(w, names[act], &c.x, &dx, NULL, unary_loss, &c);
    }
    unary_case c = {numbers(w, 7, 11), unset(w, 7, 11), numbers(w, 7, 11), FB_ACT_NONE};
    unary_loss(w, &c);
    fb_tensor dx = copy(w, &c.dy); /* in place */
    assert_int_equal(k->tanh_backward(w->ctx, w->be, &dx, &dx, &c.y), FB_OK);
    check(w, names[0], &c.x, &dx, NULL, unary_loss, &c);
}

static void activations_are_those_of_their_formulas(void **state)
{
    static const float at[4] = {-2.5f, -0.5f, 0.75f, 3.0f};
    world *w = *state;
    fb_tensor x = unset(w, 1, 4), y = unset(w, 1, 4);
    memcpy(x.data, at, sizeof at);
    for (int act = FB_ACT_GELU; act <= FB_ACT_RELU; act++) {
        assert_int_equal(
            w->be->k->act_forward(w->ctx, w->be, &y, &x, (fb_activation)act), FB_OK);
        for (int i = 0; i < 4; i++) {
            double v = (double)at[i],
                   u = 0.797884560802865 * (v + 0.044715 * v * v * v);
            double want = act == FB_ACT_GELU         ? v * erfc(-v / sqrt(2.0)) / 2
                          : act == FB_ACT_GELU_TANH  ? v * (1 + tanh(u)) / 2
                          : act == FB_ACT_QUICK_GELU ? v / (1 + exp(-1.702 * v))
                                                     : fmax(v, 0);
            assert_true(fabs((double)((float *)y.data)[i] - want) <= 1e-6);
        }
    }
}

typedef struct norm_case {
    fb_tensor x, residual, z, y, stats, gamma, beta, dy;
    fb_dropout dropout;
} norm_case;

static double norm_loss(world *w, void *arguments)
{
    norm_case *c = arguments;
    assert_int_equal(w->be->k->norm_forward(
                         w->ctx, w->be, &c->y, &c->z, c->stats.data, &c->x,
                         &c->residual,
                         &(fb_norm){c->gamma.data, c->beta.data, 1e-5f, c->dropout}),
                     FB_OK);
    return dot(&c->y, &c->dy);
}

static void norm_gradients(void **state)
{
    static const int64_t shapes[][2] = {{1, 7}, {5, 9}, {3, 33}};
    world *w = *state;
    for (int i = 0; i < 6; i++) {
        int64_t rows = shapes[i / 2][0], width = shapes[i / 2][1];
        fb_tensor t[8];
        for (int j = 0; j < 8; j++)
            t[j] = numbers(w, j == 5 || j == 6 ? 1 : rows, j == 4 ? 2 : width);
        norm_case c = {
            t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], {i % 2 ? 0.3f : 0.0f, 99}};
        fb_tensor dx = unset(w, rows, width), dresidual = unset(w, rows, width);
        fb_tensor dgamma = numbers(w, 1, width), dbeta = numbers(w, 1, width);
        fb_tensor dgamma_0 = copy(w, &dgamma), dbeta_0 = copy(w, &dbeta);
        norm_loss(w, &c);
        assert_int_equal(w->be->k->norm_backward(
                             w->ctx, w->be,
                             &(fb_norm_grads){&dx, &dresidual, dgamma.data, dbeta.data},
                             &c.dy, &c.z, c.stats.data,
                             &(fb_norm){.gamma = c.gamma.data, .dropout = c.dropout}),
                         FB_OK);
        check(w, "norm dx", &c.x, &dx, NULL, norm_loss, &c);
        check(w, "norm dresidual", &c.residual, &dresidual, NULL, norm_loss, &c);
        check(w, "norm dgamma", &c.gamma, &dgamma, &dgamma_0, norm_loss, &c);
        check(w, "norm dbeta", &c.beta, &dbeta, &dbeta_0, norm_loss, &c);
    }
}

static const fb_dropout some_dropout = {0.4f, 0xabcdef0123456789};

static double dropout_loss(world *w, void *arguments)
{
    unary_case *c = arguments;
    assert_int_equal(w->be->k->dropout(w->ctx, w->be, &c->y, &c->x, some_dropout),
                     FB_OK);
    return dot(&c->y, &c->dy);
}

static void dropout_gradient(void **state)
{
    world *w = *state;
    unary_case c = {numbers(w, 5, 13), unset(w, 5, 13), numbers(w, 5, 13), FB_ACT_NONE};
    fb_tensor dx = unset(w, 5, 13);
    assert_int_equal(w->be->k->dropout(w->ctx, w->be, &dx, &c.dy, some_dropout), FB_OK);
    check(w, "dropout dx", &c.x, &dx, NULL, dropout_loss, &c);
}

typedef struct attention_case {
    fb_tensor qkv, out, lse, dout;
    fb_attention a;
} attention_case;

static double attention_loss(world *w, void *arguments)
{
    attention_case *c = arguments;
    assert_int_equal(w->be->k->attention_forward(w->ctx, w->be, &c->out, c->lse.data,
                                                 &c->qkv, &c->a),
                     FB_OK);
    return dot(&c->out, &c->dout);
}

static void attention_gradient(void **state)
{
    static const int32_t offsets[] = {0, 3, 3, 4, 9};
    static const int32_t heads[][2] = {{2, 3}, {1, 4}, {3, 1}};
    world *w = *state;
    for (int i = 0; i < 12; i++) {
        bool causal = i >= 6;
        int32_t count = heads[i / 2 % 3][0], width = count * heads[i / 2 % 3][1];
        attention_case c = {
            numbers(w, 9, 3 * width),
            unset(w, 9, width),
            unset(w, 9, count),
            numbers(w, 9, width),
            {4, count, width, offsets, {i % 2 ? 0.3f : 0.0f, 5}, causal}};
        fb_tensor dqkv = unset(w, 9, 3 * width);
        attention_loss(w, &c);
        assert_int_equal(w->be->k->attention_backward(w->ctx, w->be, &dqkv, &c.dout,
                                                      &c.out, c.lse.data, &c.qkv, &c.a),
                         FB_OK);
        check(w, "attention dqkv", &c.qkv, &dqkv, NULL, attention_loss, &c);
    }
}

typedef struct embed_case {
    fb_tensor x, y, dy;
    fb_embed e;
} embed_case;

static double embed_loss(world *w, void *arguments)
{
    embed_case *c = arguments;
    assert_int_equal(w->be->k->embed_forward(w->ctx, w->be, &c->y, &c->x, &c->e),
                     FB_OK);
    return dot(&c->y, &c->dy);
}

static void embed_gradients(void **state)
{
    static const int32_t ids[3][6] = {
        {4, 0, 4, 2, 4, 1}, {0, 1, 2, 3, 4, 5}, {0, 0, 0, 0, 0, 0}};
    world *w = *state;
    fb_tensor table[3] = {numbers(w, 5, 7), numbers(w, 6, 7), numbers(w, 2, 7)};
    fb_tensor dtable[3], before[3];
    embed_case c = {numbers(w, 6, 7), unset(w, 6, 7), numbers(w, 6, 7), {.count = 3}};
    for (int k = 0; k < 3; k++) {
        c.e.table[k] = table[k].data;
        c.e.ids[k] = ids[k];
        dtable[k] = numbers(w, table[k].dims[0], 7);
        before[k] = copy(w, &dtable[k]);
    }
    float *const all[] = {dtable[0].data, dtable[1].data, dtable[2].data};
    assert_int_equal(w->be->k->embed_backward(w->ctx, w->be, all, &c.dy, &c.e), FB_OK);
    for (int k = 0; k < 3; k++)
        check(w, "embed dtable", &table[k], &dtable[k], &before[k], embed_loss, &c);
    check(w, "embed dx", &c.x, &c.dy, NULL, embed_loss, &c);
}

typedef struct gather_case {
    fb_tensor a, b, y, dy;
    const int32_t *index;
} gather_case;

static double gather_loss(world *w, void *arguments)
{
    gather_case *c = arguments;
    assert_int_equal(
        w->be->k->gather_rows(w->ctx, w->be, &c->y, &c->a, &c->b, c->index), FB_OK);
    return dot(&c->y, &c->dy);
}

static void gather_gradients(void **state)
{
    static const int32_t index[] = {6, 0, 2, 3, 6, 0, 5};
    world *w = *state;
    gather_case c = {numbers(w, 4, 3), numbers(w, 3, 3), unset(w, 7, 3),
                     numbers(w, 7, 3), index};
    fb_tensor da = unset(w, 4, 3), db = unset(w, 3, 3);
    assert_int_equal(
        w->be->k->scatter_rows(w->ctx, w->be, &da, &db, &c.dy, index, false), FB_OK);
    check(w, "gather da", &c.a, &da, NULL, gather_loss, &c);
    check(w, "gather db", &c.b, &db, NULL, gather_loss, &c);
    fb_tensor da_0 = numbers(w, 4, 3);
    da = copy(w, &da_0);
    assert_int_equal(
        w->be->k->scatter_rows(w->ctx, w->be, &da, NULL, &c.dy, index, true), FB_OK);
    check(w, "gather da, added", &c.a, &da, &da_0, gather_loss, &c);
}

typedef struct loss_case {
    fb_tensor logits, features, loss, lse;
    const int32_t *targets;
} loss_case;

static const float loss_scale = 0.7f;

static double scaled_sum(const fb_tensor *loss)
{
    double sum = 0.0;
    for (int64_t m = 0; m < fb_tensor_count(loss); m++)
        sum += (double)loss_scale * (double)((const float *)loss->data)[m];
    return sum;
}

static double cross_entropy_loss(world *w, void *arguments)
{
    loss_case *c = arguments;
    assert_int_equal(w->be->k->cross_entropy_forward(w->ctx, w->be, c->loss.data,
                                                     c->lse.data, &c->logits,
                                                     c->targets),
                     FB_OK);
    return scaled_sum(&c->loss);
}

static double kld_loss(world *w, void *arguments)
{
    loss_case *c = arguments;
    assert_int_equal(w->be->k->kld_forward(w->ctx, w->be, c->loss.data, &c->logits,
                                           &c->features, c->targets),
                     FB_OK);
    return scaled_sum(&c->loss);
}

static void loss_gradients(void **state)
{
    static const int32_t targets[] = {2, 0, 4, 4, 1};
    world *w = *state;
    for (int64_t width = 5; width < 40; width += 14) {
        loss_case c = {numbers(w, 5, width), numbers(w, 5, width), unset(w, 1, 5),
                       unset(w, 1, 5), targets};
        fb_tensor dlogits = unset(w, 5, width);
        cross_entropy_loss(w, &c);
        assert_int_equal(w->be->k->cross_entropy_backward(w->ctx, w->be, &dlogits,
                                                          &c.logits, c.lse.data,
                                                          targets, loss_scale),
                         FB_OK);
        check(w, "cross entropy dlogits", &c.logits, &dlogits, NULL, cross_entropy_loss,
              &c);
        dlogits = unset(w, 5, width);
        assert_int_equal(w->be->k->kld_backward(w->ctx, w->be, &dlogits, &c.logits,
                                                &c.features, targets, loss_scale),
                         FB_OK);
        check(w, "kld dlogits", &c.logits, &dlogits, NULL, kld_loss, &c);
    }
}

static void kld_of_equal_distributions_is_zero(void **state)
{
    static const int32_t rows[] = {2, 0, 1};
    world *w = *state;
    fb_tensor features = numbers(w, 3, 17), logits = unset(w, 3, 17);
    assert_int_equal(
        w->be->k->gather_rows(w->ctx, w->be, &logits, &features, NULL, rows), FB_OK);
    for (int i = 0; i < 3 * 17; i++) /* softmax does not see a shift */
        ((float *)logits.data)[i] += 3.0f;
    float loss[3] = {NAN, NAN, NAN};
    assert_int_equal(
        w->be->k->kld_forward(w->ctx, w->be, loss, &logits, &features, rows), FB_OK);
    for (int m = 0; m < 3; m++)
        assert_true(fabsf(loss[m]) <= 1e-6f);
}

/* From zero moments the corrected means are g and g^2: x loses lr (g/(|g| + eps) + wd
 * x). */
static void adamw_first_step_is_its_closed_form(void **state)
{
    world *w = *state;
    fb_tensor x = numbers(w, 1, 23), grad = numbers(w, 1, 23), before = copy(w, &x);
    float m[23] = {0}, v[23] = {0};
    fb_adamw o = {1e-2f, 0.9f, 0.98f, 1e-3f, 0.1f, 0.1f, 0.02f, 0.5f};
    assert_int_equal(
        w->be->k->adamw_step(w->ctx, w->be, x.data, m, v, grad.data, 23, &o), FB_OK);
    for (int i = 0; i < 23; i++) {
        double g = 0.5 * (double)((float *)grad.data)[i];
        double old = (double)((float *)before.data)[i];
        double want = old - 1e-2 * (g / (fabs(g) + 1e-3) + 0.1 * old);
        assert_true(fabs((double)((float *)x.data)[i] - want) <= 1e-6);
        assert_true(fabs((double)m[i] - 0.1 * g) <= 1e-7);
        assert_true(fabs((double)v[i] - 0.02 * g * g) <= 1e-7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_gradients),
        cmocka_unit_test(conv_gradients),
        cmocka_unit_test(conv_of_a_small_picture),
        cmocka_unit_test(activation_and_tanh_gradients),
        cmocka_unit_test(activations_are_those_of_their_formulas),
        cmocka_unit_test(norm_gradients),
        cmocka_unit_test(dropout_gradient),
        cmocka_unit_test(attention_gradient),
        cmocka_unit_test(embed_gradients),
        cmocka_unit_test(gather_gradients),
        cmocka_unit_test(loss_gradients),
        cmocka_unit_test(kld_of_equal_distributions_is_zero),
        cmocka_unit_test(adamw_first_step_is_its_closed_form),
    };
    return cmocka_run_group_tests(tests, world_open, world_close);
}

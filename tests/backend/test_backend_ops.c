/* test_backend_ops.c - norm, element-wise kernels, AdamW and the searches of the cpu
 * backend against the reference; accuracy of its exp, tanh and activations; NaN that must
 * show.
 */
#include "support/op_harness.h"

static const int64_t row_shapes[][2] = {{0, 8},  {1, 1},    {1, 7},    {5, 33},
                                        {64, 4}, {13, 256}, {97, 127}, {2688, 768}};
enum { ROW_SHAPES = sizeof row_shapes / sizeof *row_shapes };

typedef struct norm_options {
    bool with_residual, keep_z, in_place, keep_stats;
    float p;
} norm_options;

static void check_norm_forward(op_world *w, int64_t rows, int64_t width, norm_options o)
{
    op_begin(w, "norm_forward [%d,%d] residual %d z %d in place %d stats %d dropout %g",
             (int)rows, (int)width, o.with_residual, o.keep_z, o.in_place, o.keep_stats,
             (double)o.p);
    fb_dropout dropout = {o.p, 0xfeedbeefcafe1234};
    op_numbers x = op_activation(w, rows, width),
               residual = op_activation(w, rows, width);
    op_numbers gamma = op_parameter(w, 1, width), beta = op_parameter(w, 1, width);
    op_numbers y = op_output(w, w->dtype, rows, width);
    op_numbers z = o.in_place ? x : op_output(w, w->dtype, rows, width);
    op_numbers stats = op_output(w, FB_F32, rows, 2);
    for (int s = 0; s < OP_SIDES; s++)
        op_call(w, op_backend(w, s)->k->norm_forward(
                       w->ctx, op_backend(w, s), &y.t[s], o.keep_z ? &z.t[s] : NULL,
                       o.keep_stats ? stats.t[s].data : NULL, &x.t[s],
                       o.with_residual ? &residual.t[s] : NULL,
                       &(fb_norm){gamma.t[s].data, beta.t[s].data, 1e-5f, dropout}));
    op_compare(w, "y", &y, 1.0);
    if (o.keep_z)
        op_compare(w, "z", &z, 1.0);
    if (o.keep_stats)
        op_compare(w, "stats", &stats, 1.0);
}

typedef struct norm_wanted {
    bool dresidual, one, dgamma, dbeta;
    float p;
} norm_wanted;

static void check_norm_backward(op_world *w, int64_t rows, int64_t width, norm_wanted o)
{
    op_begin(w,
             "norm_backward [%d,%d] dresidual %d one %d dgamma %d dbeta %d dropout %g",
             (int)rows, (int)width, o.dresidual, o.one, o.dgamma, o.dbeta, (double)o.p);
    fb_dropout dropout = {o.p, 0x123456789};
    op_numbers z = op_activation(w, rows, width), dy = op_activation(w, rows, width);
    op_numbers gamma = op_parameter(w, 1, width), y = op_output(w, FB_F32, rows, width);
    op_numbers found = op_output(w, FB_F32, rows, 2);
    op_call(w, w->be[0]->k->norm_forward(
                   w->ctx, w->be[0], &y.t[0], NULL, found.t[0].data, &z.t[0], NULL,
                   &(fb_norm){gamma.t[0].data, gamma.t[0].data, 1e-5f, {0.0f, 0}}));
    op_numbers stats = op_from_reference(w, FB_F32, &found.t[0]);
    op_numbers dx = op_output(w, w->dtype, rows, width);
    op_numbers dresidual = o.one ? dx : op_output(w, w->dtype, rows, width);
    op_numbers dgamma = op_parameter(w, 1, width), dbeta = op_parameter(w, 1, width);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_norm_grads d = {&dx.t[s], o.dresidual ? &dresidual.t[s] : NULL,
                           o.dgamma ? dgamma.t[s].data : NULL,
                           o.dbeta ? dbeta.t[s].data : NULL};
        fb_norm n = {.gamma = gamma.t[s].data, .dropout = dropout};
        op_call(w, op_backend(w, s)->k->norm_backward(w->ctx, op_backend(w, s), &d,
                                                      &dy.t[s], &z.t[s],
                                                      stats.t[s].data, &n));
    }
    op_compare(w, "dx", &dx, 1.0);
    if (o.dresidual)
        op_compare(w, "dresidual", &dresidual, 1.0);
    op_compare(w, "dgamma", &dgamma, 1.0);
    op_compare(w, "dbeta", &dbeta, 1.0);
}

static void check_norm(op_world *w)
{
    static const norm_options forward[] = {
        {true, true, false, true, 0.0f},   {true, true, false, true, 0.3f},
        {true, true, true, true, 0.3f},    {false, true, true, true, 0.0f},
        {false, false, false, true, 0.0f}, {true, false, false, false, 0.0f},
    };
    static const norm_wanted backward[] = {
        {true, false, true, true, 0.0f},   {true, false, true, true, 0.3f},
        {true, true, true, true, 0.0f},    {false, false, true, false, 0.3f},
        {false, false, false, true, 0.0f}, {true, false, false, false, 0.1f},
    };
    for (int i = 0; i < ROW_SHAPES; i++)
        for (size_t o = 0; o < sizeof forward / sizeof *forward; o++) {
            if (row_shapes[i][0] > 1000 && (o > 1 || w->brief))
                continue;
            check_norm_forward(w, row_shapes[i][0], row_shapes[i][1], forward[o]);
            check_norm_backward(w, row_shapes[i][0], row_shapes[i][1], backward[o]);
        }
}

static void norm_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_norm);
}

/* The functions of one number: tanh in FB_ACT_NONE's place. */
static const char *const functions[] = {"tanh", "gelu", "gelu by tanh", "quick gelu",
                                        "relu"};
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

static void call_function(op_world *w, int s, const fb_tensor *y, const fb_tensor *x,
                          int function)
{
    fb_backend *be = op_backend(w, s);
    op_call(w, function ? be->k->act_forward(w->ctx, be, y, x, (fb_activation)function)
                        : be->k->tanh_forward(w->ctx, be, y, x));
}

static void call_slope(op_world *w, int s, const fb_tensor *dx, const fb_tensor *dy,
                       const fb_tensor *saved, int function)
{
    fb_backend *be = op_backend(w, s);
    op_call(w, function ? be->k->act_backward(w->ctx, be, dx, dy, saved,
                                              (fb_activation)function)
                        : be->k->tanh_backward(w->ctx, be, dx, dy, saved));
}

static void check_elementwise_case(op_world *w, int64_t rows, int64_t width,
                                   int function)
{
    op_begin(w, "%s [%d,%d]", functions[function], (int)rows, (int)width);
    op_numbers x = op_input(w, w->dtype, rows, width, 2.0);
    op_numbers y = op_output(w, w->dtype, rows, width);
    for (int s = 0; s < OP_SIDES; s++)
        call_function(w, s, &y.t[s], &x.t[s], function);
    op_compare(w, "y", &y, 1.0);
    op_numbers saved = function ? x : op_from_reference(w, w->dtype, &y.t[0]);
    w->least_scale = 1.0; /* slopes like 1 - y^2 cancel: their errors are those of 1 */
    for (int in_place = 0; in_place < 2; in_place++) {
        op_numbers dy = op_activation(w, rows, width);
        op_numbers dx = in_place ? dy : op_output(w, w->dtype, rows, width);
        for (int s = 0; s < OP_SIDES; s++)
            call_slope(w, s, &dx.t[s], &dy.t[s], &saved.t[s], function);
        op_compare(w, in_place ? "dx in dy's place" : "dx", &dx, 1.0);
    }
}

static void check_multiply(op_world *w, int64_t rows, int64_t width)
{
    op_begin(w, "multiply [%d,%d]", (int)rows, (int)width);
    op_numbers a = op_activation(w, rows, width), b = op_activation(w, rows, width);
    for (int in_place = 0; in_place < 2; in_place++) {
        op_numbers y = in_place ? a : op_output(w, w->dtype, rows, width);
        for (int s = 0; s < OP_SIDES; s++) {
            fb_backend *be = op_backend(w, s);
            op_call(w, be->k->multiply(w->ctx, be, &y.t[s], &a.t[s], &b.t[s]));
        }
        op_compare(w, in_place ? "y in a's place" : "y", &y, 1.0);
    }
}

static void check_add_and_squares(op_world *w, int64_t rows, int64_t width)
{
    op_begin(w, "add and sum_squares [%d,%d]", (int)rows, (int)width);
    op_numbers y = op_activation(w, rows, width), x = op_activation(w, rows, width);
    double sum[OP_SIDES] = {NAN, NAN, NAN};
    for (int s = 0; s < OP_SIDES; s++) {
        op_call(w,
                op_backend(w, s)->k->add(w->ctx, op_backend(w, s), &y.t[s], &x.t[s]));
        op_call(w, op_backend(w, s)->k->sum_squares(w->ctx, op_backend(w, s), &sum[s],
                                                    &x.t[s]));
    }
    op_compare(w, "y", &y, 1.0);
    if (!(fabs(sum[1] - sum[0]) <= 1e-12 * sum[0]) || sum[1] != sum[2])
        fail_msg("%s: sum of squares %.17g, again %.17g, the reference has %.17g",
                 w->what, sum[1], sum[2], sum[0]);
}

static void check_elementwise(op_world *w)
{
    for (int i = 0; i < ROW_SHAPES; i++) {
        for (int f = 0; f < FUNCTIONS; f++)
            check_elementwise_case(w, row_shapes[i][0], row_shapes[i][1], f);
        check_add_and_squares(w, row_shapes[i][0], row_shapes[i][1]);
        check_multiply(w, row_shapes[i][0], row_shapes[i][1]);
    }
}

static void elementwise_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_elementwise);
}

static void check_dropout_case(op_world *w, int64_t rows, int64_t width, float p,
                               bool in_place)
{
    op_begin(w, "dropout %g of [%d,%d], in place %d", (double)p, (int)rows, (int)width,
             in_place);
    fb_dropout dropout = {p, fb_random_next(&w->random)};
    op_numbers x = op_activation(w, rows, width);
    op_numbers kept = op_from_reference(w, w->dtype, &x.t[0]);
    op_numbers y = in_place ? x : op_output(w, w->dtype, rows, width);
    for (int s = 0; s < OP_SIDES; s++)
        op_call(w, op_backend(w, s)->k->dropout(w->ctx, op_backend(w, s), &y.t[s],
                                                &x.t[s], dropout));
    op_compare(w, "y", &y, 1.0);
    int64_t count = fb_tensor_count(&y.t[0]), zeros = 0;
    for (int64_t i = 0; i < count; i++) {
        bool dropped = op_get(w, &y, 0, i) == 0.0f && op_get(w, &kept, 0, i) != 0.0f;
        bool dropped_too =
            op_get(w, &y, 1, i) == 0.0f && op_get(w, &kept, 1, i) != 0.0f;
        assert_int_equal(dropped, dropped_too);
        zeros += dropped;
        if (p == 0.0f)
            assert_true(op_get(w, &y, 1, i) == op_get(w, &kept, 1, i));
    }
    double spread = sqrt((double)count * (double)p * (1.0 - (double)p));
    assert_true(fabs((double)zeros - (double)p * (double)count) <= 6.0 * spread + 1e-9);
}

static void check_dropout(op_world *w)
{
    static const float rates[] = {0.0f, 0.1f, 0.5f, 0.97f};
    for (int i = 0; i < ROW_SHAPES; i++)
        for (int r = 0; r < 4; r++)
            for (int in_place = 0; in_place < 2; in_place++)
                check_dropout_case(w, row_shapes[i][0], row_shapes[i][1], rates[r],
                                   in_place);
}

static void dropout_masks_are_those_of_the_reference(void **state)
{
    (void)state;
    op_for_each_world(check_dropout);
}

static void check_adamw(op_world *w)
{
    static const int64_t counts[] = {0, 1, 7, 16, 1009, 40000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int64_t n = counts[i];
        op_begin(w, "adamw_step of %d", (int)n);
        op_numbers x = op_parameter(w, 1, n), m = op_input(w, FB_F32, 1, n, 0.0);
        op_numbers v = op_input(w, FB_F32, 1, n, 0.0);
        for (int step = 1; step <= 3; step++) {
            fb_adamw o = {1e-2f, 0.9f, 0.98f, 1e-8f, 0.1f, 0.0f, 0.0f, 0.7f};
            o.correction1 = 1.0f - powf(o.beta1, (float)step);
            o.correction2 = 1.0f - powf(o.beta2, (float)step);
            op_numbers grad = op_parameter(w, 1, n);
            for (int s = 0; s < OP_SIDES; s++)
                op_call(w, op_backend(w, s)->k->adamw_step(
                               w->ctx, op_backend(w, s), x.t[s].data, m.t[s].data,
                               v.t[s].data, grad.t[s].data, n, &o));
        }
        double factor = 1e-6 / w->tolerance; /* f32 whatever the compute dtype */
        op_compare(w, "x", &x, factor);
        op_compare(w, "m", &m, factor);
        op_compare(w, "v", &v, factor);
    }
}

static void adamw_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_adamw);
}

static void check_nonfinite(op_world *w)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const int64_t counts[] = {0, 1, 2, 31, 64, 1009, 100003};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int64_t n = counts[i], places[] = {0, n / 2, n - 1, 7 * n / 8};
        op_begin(w, "find_nonfinite in %d", (int)n);
        op_numbers clean = op_activation(w, 1, n);
        if (n > 0) { /* the largest finite number is finite */
            *(float *)clean.t[0].data = 3.3895314e38f;
            clean = op_from_reference(w, w->dtype, &clean.t[0]);
        }
        for (int s = 0; s < OP_SIDES; s++) {
            int64_t index = 99;
            op_call(w, op_backend(w, s)->k->find_nonfinite(w->ctx, op_backend(w, s),
                                                           &index, &clean.t[s]));
            assert_int_equal(index, -1);
        }
        for (int b = 0; b < 3 && n > 0; b++)
            for (int place = 0; place < 4; place++) {
                fb_tensor dirty = clean.t[0];
                float kept = ((float *)dirty.data)[places[place]];
                ((float *)dirty.data)[n - 1] = INFINITY; /* the first counts */
                ((float *)dirty.data)[places[place]] = bad[b];
                op_numbers x = op_from_reference(w, w->dtype, &dirty);
                for (int s = 0; s < OP_SIDES; s++) {
                    int64_t index = -1;
                    op_call(w, op_backend(w, s)->k->find_nonfinite(
                                   w->ctx, op_backend(w, s), &index, &x.t[s]));
                    assert_int_equal(index, places[place]);
                }
                ((float *)dirty.data)[n - 1] = 1.0f;
                if (places[place] != n - 1)
                    ((float *)dirty.data)[places[place]] = kept;
            }
    }
}

static void find_nonfinite_names_the_first(void **state)
{
    (void)state;
    op_for_each_world(check_nonfinite);
}

/* All of them from -20 to 20 and far out, element by element. Beside a relative error
 * the normal distribution function in gelu may have one of 3e-7 (5 * 2^-24), which is
 * multiplied with x; past -6 gelu must be as good as 0. The sigmoids of its
 * approximations have the exponential's error of a large argument. */
static void check_functions(op_world *w)
{
    enum { DENSE = 160001, FAR = 12 };
    static const float far[FAR] = {0.0f, -0.0f, 1e-30f, -1e-30f, 89.0f, -89.0f,
                                   1e4f, -1e4f, 1e30f,  -1e30f,  1e-4f, -1e-4f};
    double allowed = w->dtype == FB_BF16 ? 0x1.02p-8 : 4e-6;
    for (int function = 0; function < FUNCTIONS; function++) {
        op_begin(w, "%s, dense", functions[function]);
        op_numbers x = op_activation(w, 1, DENSE + FAR);
        for (int64_t i = 0; i < DENSE + FAR; i++)
            ((float *)x.t[0].data)[i] =
                i < DENSE ? (float)(i - DENSE / 2) / 4000.0f : far[i - DENSE];
        x = op_from_reference(w, w->dtype, &x.t[0]);
        op_numbers y = op_output(w, w->dtype, 1, DENSE + FAR);
        op_numbers dy = op_activation(w, 1, DENSE + FAR);
        op_numbers dx = op_output(w, w->dtype, 1, DENSE + FAR);
        for (int s = 0; s < OP_SIDES; s++) {
            call_function(w, s, &y.t[s], &x.t[s], function);
            if (function)
                call_slope(w, s, &dx.t[s], &dy.t[s], &x.t[s], function);
        }
        for (int64_t i = 0; i < DENSE + FAR; i++) {
            double want = (double)op_get(w, &y, 0, i),
                   got = (double)op_get(w, &y, 1, i);
            double x_i = fabs((double)op_get(w, &x, 0, i));
            double absolute = function ? 3e-7 * fmin(x_i, 6.0) : 0.0;
            if (!(fabs(got - want) <= allowed * fabs(want) + absolute))
                fail_msg("%s of %.9g in %s is %.9g, not %.9g", functions[function],
                         (double)op_get(w, &x, 0, i), fb_dtype_name(w->dtype), got,
                         want);
            if (!function)
                continue;
            want = (double)op_get(w, &dx, 0, i);
            got = (double)op_get(w, &dx, 1, i);
            absolute = 3e-6 * fabs((double)op_get(w, &dy, 0, i));
            if (!(fabs(got - want) <= 2 * allowed * fabs(want) + absolute))
                fail_msg("the slope of %s at %.9g in %s is %.9g, not %.9g",
                         functions[function], (double)op_get(w, &x, 0, i),
                         fb_dtype_name(w->dtype), got, want);
        }
    }
}

static void activations_and_tanh_are_accurate_everywhere(void **state)
{
    (void)state;
    op_for_each_world(check_functions);
}

/* exp shows in the gradient of cross entropy of two classes: q = exp(x - lse). The
 * argument's own rounding, up to 100 * 2^-24, is a relative error of q. */
static void check_exp(op_world *w)
{
    enum { ROWS = 100001 };
    op_begin(w, "exp, dense");
    op_numbers logits = op_input(w, FB_F32, ROWS, 2, 0.0);
    for (int64_t i = 0; i < ROWS; i++)
        for (int s = 0; s < OP_SIDES; s++)
            op_put(w, &logits, s, 2 * i, (float)i / 1000.0f - 100.0f);
    int32_t *targets = fb_arena_alloc(w->arena, ROWS * sizeof *targets);
    op_numbers loss = op_output(w, FB_F32, 1, ROWS),
               lse = op_output(w, FB_F32, 1, ROWS);
    op_numbers dx = op_output(w, w->dtype, ROWS, 2);
    for (int i = 0; i < ROWS; i++)
        targets[i] = 1;
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        const int32_t *on = op_upload_ints(w, s, targets, ROWS);
        op_call(w, be->k->cross_entropy_forward(w->ctx, be, loss.t[s].data,
                                                lse.t[s].data, &logits.t[s], on));
        const float *lse0 = op_upload(w, s, lse.t[0].data, fb_tensor_bytes(&lse.t[0]));
        op_call(w, be->k->cross_entropy_backward(w->ctx, be, &dx.t[s], &logits.t[s],
                                                 lse0, on, 1.0f));
    }
    double allowed = w->dtype == FB_BF16 ? 0x1.04p-8 : 1e-5;
    for (int64_t i = 0; i < ROWS; i++) {
        double want = (double)op_get(w, &dx, 0, 2 * i);
        double got = (double)op_get(w, &dx, 1, 2 * i);
        if (!(fabs(got - want) <=
              allowed * want + 1.25e-38)) /* subnormals: any so small */
            fail_msg("exp(%.9g) in %s is %.9g, not %.9g",
                     (double)op_get(w, &logits, 0, 2 * i), fb_dtype_name(w->dtype), got,
                     want);
    }
}

static void exp_is_accurate_everywhere(void **state)
{
    (void)state;
    op_for_each_world(check_exp);
}

/* A NaN that goes in must come out: else the run that it ruins would not stop. */
static void check_nan(op_world *w)
{
    enum { ROWS = 5, WIDTH = 24 };
    static const int32_t offsets[] = {0, ROWS};
    op_begin(w, "NaN through the kernels");
    op_numbers x = op_activation(w, ROWS, WIDTH);
    ((float *)x.t[0].data)[2 * WIDTH + 13] = NAN;
    x = op_from_reference(w, w->dtype, &x.t[0]);
    op_numbers gamma = op_parameter(w, 1, WIDTH), beta = op_parameter(w, 1, WIDTH);
    op_weight weight = op_weight_make(w, 3, WIDTH);
    const int32_t zeros[ROWS] = {0};
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        const int32_t *targets = op_upload_ints(w, s, zeros, ROWS);
        fb_attention a = {1,         2,    WIDTH / 3, op_upload_ints(w, s, offsets, 2),
                          {0.0f, 0}, false};
        op_numbers y[6];
        for (int i = 0; i < 5; i++)
            y[i] = op_input(w, w->dtype, ROWS,
                            i == 3   ? 3
                            : i == 4 ? WIDTH / 3
                                     : WIDTH,
                            0);
        y[5] = op_input(w, FB_F32, 1, ROWS, 0.0);
        op_numbers lse = op_input(w, FB_F32, 1, ROWS, 0.0);
        op_numbers logits = op_from_reference(w, FB_F32, &x.t[0]);
        op_call(w, be->k->act_forward(w->ctx, be, &y[0].t[s], &x.t[s], FB_ACT_GELU));
        op_call(w, be->k->tanh_forward(w->ctx, be, &y[1].t[s], &x.t[s]));
        op_call(w, be->k->norm_forward(
                       w->ctx, be, &y[2].t[s], NULL, NULL, &x.t[s], NULL,
                       &(fb_norm){gamma.t[s].data, beta.t[s].data, 1e-5f, {0.0f, 0}}));
        op_call(w, be->k->linear_forward(w->ctx, be, &y[3].t[s], &x.t[s], &weight.w[s],
                                         NULL, FB_ACT_NONE));
        op_call(w, be->k->attention_forward(w->ctx, be, &y[4].t[s], NULL, &x.t[s], &a));
        op_call(w, be->k->cross_entropy_forward(w->ctx, be, y[5].t[s].data,
                                                lse.t[s].data, &logits.t[s], targets));
        static const char *const names[] = {"gelu",   "tanh",      "norm",
                                            "linear", "attention", "cross entropy"};
        for (int i = 0; i < 6; i++) {
            int64_t index = -1;
            op_call(w, be->k->find_nonfinite(w->ctx, be, &index, &y[i].t[s]));
            if (index < 0)
                fail_msg("%s of the %s backend swallows a NaN", names[i], be->name);
        }
    }
    op_weight_free(w, &weight);
}

static void nan_comes_out_where_nan_goes_in(void **state)
{
    (void)state;
    op_for_each_world(check_nan);
}

static void unknown_words_are_named(void **state)
{
    (void)state;
    static const char *const wrong[][3] = {{"cuda", "auto", "cpu or ref"},
                                           {"cpu", "f16", "auto, f32 or bf16"},
                                           {"ref", "bf16", "auto or f32"}};
    fb_context *ctx = fb_context_create();
    for (int i = 0; i < 3; i++) {
        fb_backend *be = NULL;
        assert_int_equal(fb_backend_create(ctx, &be, wrong[i][0], wrong[i][1], 1),
                         FB_E_USAGE);
        assert_null(be);
        assert_non_null(strstr(fb_context_message(ctx), wrong[i][2]));
    }
    fb_backend *be = NULL;
    assert_int_equal(fb_backend_create(ctx, &be, "ref", "auto", -1), FB_E_USAGE);
    fb_backend_free(NULL);
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norm_equals_reference),
        cmocka_unit_test(elementwise_equals_reference),
        cmocka_unit_test(dropout_masks_are_those_of_the_reference),
        cmocka_unit_test(adamw_equals_reference),
        cmocka_unit_test(find_nonfinite_names_the_first),
        cmocka_unit_test(activations_and_tanh_are_accurate_everywhere),
        cmocka_unit_test(exp_is_accurate_everywhere),
        cmocka_unit_test(nan_comes_out_where_nan_goes_in),
        cmocka_unit_test(unknown_words_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

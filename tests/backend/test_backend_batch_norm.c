/* test_backend_batch_norm.c - batch norm, max pooling and the mean of rows of the cpu
 * backend against the reference.
 */
#include "support/op_harness.h"

typedef struct norm_case {
    int64_t rows, width;
    bool relu, residual, given;
    double mean; /* of x, in spreads */
} norm_case;

/* x = a normal number + mean, rounded to the compute dtype on all sides. */
static op_numbers shifted(op_world *w, int64_t rows, int64_t width, double mean)
{
    fb_tensor t = fb_tensor_new(w->arena, FB_F32, rows, width);
    assert_non_null(t.data);
    for (int64_t i = 0; i < rows * width; i++)
        ((float *)t.data)[i] = (float)(mean * (1 + (double)(i % width % 3)) +
                                       fb_random_normal(&w->random));
    return op_from_reference(w, w->dtype, &t);
}

static op_numbers statistics(op_world *w, int64_t width, bool given)
{
    op_numbers stats =
        given ? op_parameter(w, 2, width) : op_output(w, FB_F32, 2, width);
    for (int s = 0; given && s < OP_SIDES; s++)
        for (int64_t c = width; c < 2 * width; c++) /* inv > 0 */
            op_put(w, &stats, s, c, fabsf(op_get(w, &stats, s, c)) + 0.1f);
    return stats;
}

static void check_norm_case(op_world *w, norm_case o)
{
    op_begin(w, "batch norm [%d,%d], relu %d, residual %d, given %d, mean %g",
             (int)o.rows, (int)o.width, o.relu, o.residual, o.given, o.mean);
    /* An f32 mean is off by 2^-24 of itself, as often in each output. */
    double factor = 1.0 + o.mean * 0x1p-22 / w->tolerance, exact = 4e-6 / w->tolerance;
    fb_batch_norm n = {.eps = 1e-5f, .relu = o.relu, .given = o.given};
    op_numbers x = shifted(w, o.rows, o.width, o.mean);
    op_numbers residual = op_activation(w, o.rows, o.width);
    op_numbers dy = op_activation(w, o.rows, o.width);
    op_numbers gamma = op_parameter(w, 1, o.width), beta = op_parameter(w, 1, o.width);
    op_numbers stats = statistics(w, o.width, o.given);
    op_numbers y = op_output(w, w->dtype, o.rows, o.width);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        n.gamma = gamma.t[s].data;
        n.beta = beta.t[s].data;
        op_call(w,
                be->k->batch_norm_forward(w->ctx, be, &y.t[s], stats.t[s].data, &x.t[s],
                                          o.residual ? &residual.t[s] : NULL, &n));
    }
    op_compare(w, "y", &y, factor);
    if (o.rows > 0)
        op_compare(w, "stats", &stats, 2 * exact);
    op_numbers kept = op_from_reference(w, w->dtype, &y.t[0]);
    op_numbers saved = op_from_reference(w, FB_F32, &stats.t[0]);
    op_numbers dgamma = op_parameter(w, 1, o.width),
               dbeta = op_parameter(w, 1, o.width);
    op_numbers dx = op_output(w, w->dtype, o.rows, o.width);
    op_numbers dresidual = op_output(w, w->dtype, o.rows, o.width);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        fb_norm_grads d = {&dx.t[s], o.residual ? &dresidual.t[s] : NULL,
                           dgamma.t[s].data, dbeta.t[s].data};
        n.gamma = gamma.t[s].data;
        op_call(w, be->k->batch_norm_backward(w->ctx, be, &d, &dy.t[s], &kept.t[s],
                                              &x.t[s], saved.t[s].data, &n));
    }
    op_compare(w, "dx", &dx, 2.0);
    if (o.residual)
        op_compare(w, "dresidual", &dresidual, 0.0);
    op_compare(w, "dgamma", &dgamma, 4 * exact);
    op_compare(w, "dbeta", &dbeta, 4 * exact);
}

static void check_norm(op_world *w)
{
    static const int64_t shapes[][2] = {{0, 8},   {1, 1},    {5, 16},    {13, 7},
                                        {64, 33}, {261, 48}, {1037, 64}, {530, 130}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int bits = 0; bits < 8; bits++) {
            bool given = bits & 4;
            if (!given && shapes[i][0] == 1)
                continue; /* no variance: dx is 0 but for rounding */
            norm_case o = {shapes[i][0], shapes[i][1], bits & 1, bits & 2, given, 0.0};
            check_norm_case(w, o);
        }
}

static void batch_norm_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_norm);
}

static void check_far_mean(op_world *w)
{
    double mean = w->dtype == FB_BF16 ? 30 : 3000;
    check_norm_case(w, (norm_case){1500, 40, false, false, false, mean});
    check_norm_case(w, (norm_case){1500, 40, true, true, false, mean});
}

static void a_mean_far_from_zero_costs_no_digits(void **state)
{
    (void)state;
    op_for_each_world(check_far_mean);
}

/* Equal numbers have variance 0, not less, however large; inv = 1/sqrt(eps). */
static void check_constant(op_world *w)
{
    enum { ROWS = 700, WIDTH = 20 };
    op_begin(w, "batch norm of equal numbers");
    op_numbers x = op_input(w, w->dtype, ROWS, WIDTH, 0.0);
    op_numbers gamma = op_parameter(w, 1, WIDTH),
               stats = op_output(w, FB_F32, 2, WIDTH);
    op_numbers y = op_output(w, w->dtype, ROWS, WIDTH);
    fb_batch_norm n = {.eps = 1e-5f};
    for (int s = 0; s < OP_SIDES; s++) {
        for (int64_t i = 0; i < ROWS * WIDTH; i++)
            op_put(w, &x, s, i, -10048.0f);
        fb_backend *be = op_backend(w, s);
        n.gamma = n.beta = gamma.t[s].data;
        op_call(w, be->k->batch_norm_forward(w->ctx, be, &y.t[s], stats.t[s].data,
                                             &x.t[s], NULL, &n));
    }
    op_compare(w, "y", &y, 1.0);
    for (int64_t c = 0; c < WIDTH; c++) {
        assert_true(op_get(w, &stats, 1, c) == -10048.0f);
        assert_true(fabsf(op_get(w, &stats, 1, WIDTH + c) - 316.2278f) <= 1e-3f);
    }
}

static void equal_numbers_have_no_variance(void **state)
{
    (void)state;
    op_for_each_world(check_constant);
}

/* Each way that outputs may share memory, against the same without. */
static void check_in_place(op_world *w)
{
    enum { ROWS = 300, WIDTH = 24 };
    op_begin(w, "batch norm in place");
    fb_batch_norm n = {.eps = 1e-5f, .relu = true};
    op_numbers x = op_activation(w, ROWS, WIDTH), y = op_activation(w, ROWS, WIDTH);
    op_numbers dy = op_activation(w, ROWS, WIDTH), both = dy, x_copy = x;
    op_numbers gamma = op_parameter(w, 1, WIDTH), stats = statistics(w, WIDTH, true);
    op_numbers dx = op_output(w, w->dtype, ROWS, WIDTH), dr = dx;
    dr = op_output(w, w->dtype, ROWS, WIDTH);
    both = op_from_reference(w, w->dtype, &dy.t[0]);
    x_copy = op_from_reference(w, w->dtype, &x.t[0]);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        const fb_kernels *k = be->k;
        float *st = stats.t[s].data;
        n.gamma = n.beta = gamma.t[s].data;
        size_t bytes = fb_tensor_bytes(&dx.t[s]);
        op_call(w, k->batch_norm_backward(
                       w->ctx, be, &(fb_norm_grads){&dx.t[s], &dr.t[s], NULL, NULL},
                       &dy.t[s], &y.t[s], &x.t[s], st, &n));
        op_call(w, k->batch_norm_backward(
                       w->ctx, be, &(fb_norm_grads){&both.t[s], NULL, NULL, NULL},
                       &both.t[s], &y.t[s], &x.t[s], st, &n));
        assert_true(op_equal(w, s, &both, &dx));
        op_copy(w, s, both.t[s].data, dy.t[s].data, bytes);
        op_call(w, k->batch_norm_backward(
                       w->ctx, be, &(fb_norm_grads){&dx.t[s], &both.t[s], NULL, NULL},
                       &both.t[s], &y.t[s], &x.t[s], st, &n));
        assert_true(op_equal(w, s, &both, &dr));
        n.given = true;
        op_call(w, k->batch_norm_forward(w->ctx, be, &dx.t[s], st, &x.t[s], NULL, &n));
        op_call(w, k->batch_norm_forward(w->ctx, be, &x_copy.t[s], st, &x_copy.t[s],
                                         NULL, &n));
        assert_true(op_equal(w, s, &x_copy, &dx));
        n.given = false;
    }
}

static void batch_norm_works_in_place(void **state)
{
    (void)state;
    op_for_each_world(check_in_place);
}

static void check_not_a_number(op_world *w)
{
    op_begin(w, "batch norm and max pool of NaN");
    fb_batch_norm n = {.eps = 1e-5f, .relu = true, .given = true};
    fb_max_pool p = {1, 4, 4, 2, 2, 0};
    op_numbers x = op_output(w, w->dtype, 16, 20), gamma = op_parameter(w, 1, 20);
    op_numbers y = op_activation(w, 16, 20), stats = statistics(w, 20, true);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        n.gamma = n.beta = gamma.t[s].data;
        op_call(w, be->k->batch_norm_forward(w->ctx, be, &y.t[s], stats.t[s].data,
                                             &x.t[s], NULL, &n));
        for (int64_t i = 0; i < 16 * 20; i++)
            assert_true(isnan(op_get(w, &y, s, i)));
        y.t[s].dims[0] = 4;
        op_call(w, be->k->max_pool_forward(w->ctx, be, &y.t[s], NULL, &x.t[s], &p));
        for (int64_t i = 0; i < 4 * 20; i++)
            assert_true(isnan(op_get(w, &y, s, i)));
    }
}

static void relu_and_pooling_let_nan_through(void **state)
{
    (void)state;
    op_for_each_world(check_not_a_number);
}

static void check_pool_case(op_world *w, fb_max_pool p, int64_t channels)
{
    op_begin(w, "max pool of %d images %d x %d x %d, window %d, stride %d, padding %d",
             (int)p.images, (int)p.height, (int)p.width, (int)channels, (int)p.kernel,
             (int)p.stride, (int)p.padding);
    int64_t rows = (int64_t)p.images * p.height * p.width;
    int64_t outs = (int64_t)p.images *
                   fb_window_out(p.height, p.kernel, p.stride, p.padding) *
                   fb_window_out(p.width, p.kernel, p.stride, p.padding);
    op_numbers x = op_activation(w, rows, channels);
    for (int s = 0; s < OP_SIDES; s++) /* many equal numbers: the first one counts */
        for (int64_t i = 0; i < rows * channels; i += 2)
            op_put(w, &x, s, i, 0.0f);
    op_numbers y = op_output(w, w->dtype, outs, channels);
    op_numbers dy = op_activation(w, outs, channels);
    op_numbers dx = op_output(w, w->dtype, rows, channels);
    uint8_t *which[OP_SIDES];
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        uint8_t *on = op_bytes(w, s, (size_t)(outs * channels));
        which[s] = op_bytes(w, 0, (size_t)(outs * channels));
        op_call(w, be->k->max_pool_forward(w->ctx, be, &y.t[s], on, &x.t[s], &p));
        op_call(w, be->k->max_pool_backward(w->ctx, be, &dx.t[s], &dy.t[s], on, &p));
        op_read(w, s, which[s], on, (size_t)(outs * channels));
        assert_memory_equal(which[s], which[0], (size_t)(outs * channels));
    }
    op_compare(w, "y", &y, 0.0);
    op_compare(w, "dx", &dx, 1.0);
}

static void check_pool(op_world *w)
{
    static const fb_max_pool pools[] = {{0, 5, 5, 3, 2, 1},  {1, 1, 1, 1, 1, 0},
                                        {2, 9, 7, 3, 2, 1},  {1, 6, 8, 2, 2, 0},
                                        {3, 5, 4, 3, 1, 1},  {1, 11, 9, 2, 3, 1},
                                        {1, 7, 20, 5, 2, 2}, {1, 20, 18, 16, 3, 8}};
    static const int64_t channels[] = {1, 16, 67};
    for (size_t i = 0; i < sizeof pools / sizeof *pools; i++)
        for (size_t j = 0; j < sizeof channels / sizeof *channels; j++)
            check_pool_case(w, pools[i], channels[j]);
}

static void max_pool_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_pool);
}

static void check_mean_case(op_world *w, const int32_t *offsets, int32_t sequences,
                            int64_t width)
{
    op_begin(w, "mean of %d rows in %d sequences [%d]", (int)offsets[sequences],
             (int)sequences, (int)width);
    op_numbers x = op_activation(w, offsets[sequences], width);
    op_numbers y = op_output(w, w->dtype, sequences, width);
    op_numbers dy = op_activation(w, sequences, width);
    op_numbers dx = op_output(w, w->dtype, offsets[sequences], width);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        const int32_t *on = op_upload_ints(w, s, offsets, sequences + 1);
        op_call(w, be->k->mean_rows_forward(w->ctx, be, &y.t[s], &x.t[s], on));
        op_call(w, be->k->mean_rows_backward(w->ctx, be, &dx.t[s], &dy.t[s], on));
    }
    op_compare(w, "y", &y, 1.0);
    op_compare(w, "dx", &dx, 1.0);
}

static void check_mean(op_world *w)
{
    static const int32_t some[] = {0, 0, 1, 8, 25, 25, 90, 1090}, none[] = {0, 0, 0};
    static const int64_t widths[] = {1, 16, 67, 512};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        check_mean_case(w, some, 7, widths[i]);
        check_mean_case(w, none, 2, widths[i]);
        check_mean_case(w, none, 0, widths[i]);
    }
}

static void mean_of_rows_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_mean);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_norm_equals_reference),
        cmocka_unit_test(a_mean_far_from_zero_costs_no_digits),
        cmocka_unit_test(equal_numbers_have_no_variance),
        cmocka_unit_test(batch_norm_works_in_place),
        cmocka_unit_test(relu_and_pooling_let_nan_through),
        cmocka_unit_test(max_pool_equals_reference),
        cmocka_unit_test(mean_of_rows_equals_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

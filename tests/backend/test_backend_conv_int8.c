/* test_backend_conv_int8.c - convolutions by int8 products of the cpu backend against the
 * reference: the integer part to the bit, the f32 numbers made of it within their
 * rounding.
 */
#include "backend/cpu/cpu_backend.h"
#include "backend/int8.h"
#include "support/op_harness.h"

typedef struct conv_case {
    fb_conv c;
    int64_t rows_in, rows, in; /* in: numbers of a window */
    op_numbers x, w, scale, bias, residual, y;
    fb_weight weight[OP_SIDES];
} conv_case;

/* images, height, width, in, out, kernel, stride, padding, groups */
static const fb_conv cases[] = {
    {0, 5, 5, 3, 4, 3, 1, 1, 1},    {1, 1, 1, 1, 1, 1, 1, 0, 1},
    {1, 1, 1, 2, 3, 3, 1, 1, 1},    {2, 5, 7, 3, 8, 3, 1, 1, 1},
    {3, 6, 6, 16, 32, 1, 1, 0, 1},  {2, 7, 7, 16, 24, 1, 2, 0, 1},
    {3, 7, 7, 5, 9, 3, 2, 1, 1},    {2, 13, 11, 3, 32, 5, 3, 2, 1},
    {2, 15, 14, 3, 16, 7, 2, 3, 1}, {2, 9, 9, 17, 33, 3, 1, 0, 1},
    {1, 3, 3, 7, 18, 5, 1, 4, 1},   {2, 8, 8, 64, 64, 3, 1, 1, 1},
    {1, 9, 8, 32, 64, 3, 2, 1, 1},  {1, 31, 2, 19, 7, 1, 1, 0, 1},
    {1, 6, 10, 23, 40, 3, 5, 2, 1},
};
enum { CASES = sizeof cases / sizeof *cases };

static void case_make(op_world *w, conv_case *k, const char *what, const fb_conv *c,
                      int option)
{
    op_begin(w, "%s %d x %dx%dx%d to %d, kernel %d, stride %d, pad %d, %d", what,
             c->images, c->height, c->width, c->in, c->out, c->kernel, c->stride,
             c->padding, option);
    *k =
        (conv_case){.c = *c,
                    .rows_in = (int64_t)c->images * c->height * c->width,
                    .rows = (int64_t)c->images *
                            fb_window_out(c->height, c->kernel, c->stride, c->padding) *
                            fb_window_out(c->width, c->kernel, c->stride, c->padding),
                    .in = (int64_t)c->in * c->kernel * c->kernel};
    k->x = op_input(w, FB_F32, k->rows_in, c->in, 1.3);
    k->w = op_input(w, FB_F32, c->out, k->in, 0.05);
    k->scale = op_parameter(w, 1, c->out);
    k->bias = op_input(w, FB_F32, 1, c->out, 0.5);
    k->residual = op_input(w, FB_F32, k->rows, c->out, 1.0);
    k->y = option & 8 ? op_input(w, FB_F32, k->rows, c->out, 1.0)
                      : op_output(w, FB_F32, k->rows, c->out);
    for (int s = 0; s < OP_SIDES; s++)
        k->weight[s] = (fb_weight){k->w.t[s].data, c->out, k->in, 1, NULL};
}

static void put(op_world *w, op_numbers *n, int64_t index, float value)
{
    for (int s = 0; s < OP_SIDES; s++)
        op_put(w, n, s, index, value);
}

/* The largest magnitude of each row of w over `most`. */
static void fit_scales(op_world *w, conv_case *k, float most)
{
    for (int64_t n = 0; n < k->c.out; n++) {
        float largest = 0;
        for (int64_t i = 0; i < k->in; i++)
            largest = fmaxf(largest, fabsf(op_get(w, &k->w, 0, n * k->in + i)));
        put(w, &k->scale, n, largest / most);
    }
}

static void new_weights(op_world *w, conv_case *k)
{
    for (int64_t i = 0; i < k->c.out * k->in; i++)
        put(w, &k->w, i, -0.7f * op_get(w, &k->w, 0, i) + 0.01f);
    for (int s = 0; s < OP_SIDES; s++)
        k->weight[s].version++;
}

/* Bits of option: bias, residual, ReLU, the residual lies in y. */
static void case_run(op_world *w, conv_case *k, int option)
{
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        const fb_tensor *r = option & 8 ? &k->y.t[s] : &k->residual.t[s];
        const fb_conv_epilogue after = {option & 1 ? k->bias.t[s].data : NULL,
                                        option & 2 ? r : NULL, option & 4};
        op_call(w, be->k->conv_int8_forward(w->ctx, be, &k->y.t[s], &k->x.t[s],
                                            &k->weight[s], k->scale.t[s].data, &k->c,
                                            &after));
    }
}

static void case_free(op_world *w, conv_case *k)
{
    for (int s = 0; s < OP_SIDES; s++)
        op_backend(w, s)->k->weight_release(op_backend(w, s), &k->weight[s]);
}

static void check_numbers(op_world *w)
{
    for (int i = 0; i < CASES; i++)
        for (int option = 0; option < 16; option++) {
            conv_case k;
            if ((option & 10) == 8 || (i > 5 && option % 5 && option <= 10))
                continue;
            case_make(w, &k, "conv_int8_forward", &cases[i], option);
            fit_scales(w, &k, 127);
            case_run(w, &k, option);
            op_compare(w, "y", &k.y, 1.0);
            if (!(option & 8)) {
                new_weights(w, &k);
                fit_scales(w, &k, 127);
                case_run(w, &k, option);
                op_compare(w, "y after a change of weights", &k.y, 1.0);
            }
            case_free(w, &k);
        }
}

static void convolutions_equal_reference(void **state)
{
    (void)state;
    op_for_each_world(check_numbers);
}

/* Whole numbers with scales of 1, 127 or -127 in every pixel: y is the sum itself.
 * `extreme`: nothing but these two. */
static int64_t draw(op_world *w, bool extreme)
{
    int64_t drawn = (int64_t)(fb_random_uniform(&w->random) * 255) - 127;
    return !extreme ? drawn : drawn % 3 ? 127 : -127;
}

/* What a window sums, by the definition. */
static int64_t sum_of(const conv_case *k, const int64_t *x, const int64_t *wq,
                      int64_t row, int64_t n)
{
    const fb_conv *c = &k->c;
    int64_t height = fb_window_out(c->height, c->kernel, c->stride, c->padding);
    int64_t width = fb_window_out(c->width, c->kernel, c->stride, c->padding), sum = 0;
    for (int64_t j = 0; j < k->in; j++) {
        int64_t channel = j / (c->kernel * c->kernel), at = j % (c->kernel * c->kernel);
        int64_t y = row / width % height * c->stride + at / c->kernel - c->padding;
        int64_t u = row % width * c->stride + at % c->kernel - c->padding;
        int64_t image = row / (width * height);
        if (y >= 0 && y < c->height && u >= 0 && u < c->width)
            sum += wq[n * k->in + j] *
                   x[((image * c->height + y) * c->width + u) * c->in + channel];
    }
    return sum;
}

static void check_sums(op_world *w, const fb_conv *c, bool extreme)
{
    conv_case k;
    case_make(w, &k, "sums of conv_int8_forward", c, 0);
    int64_t inputs = k.rows_in * c->in, weights = c->out * k.in;
    int64_t *q = calloc((size_t)(inputs + weights + 1), sizeof *q);
    assert_non_null(q);
    for (int64_t i = 0; i < inputs + weights; i++) {
        bool first = i < inputs && i % c->in == 0;
        q[i] = draw(w, extreme || first);
        put(w, i < inputs ? &k.x : &k.w, i < inputs ? i : i - inputs, (float)q[i]);
    }
    for (int64_t n = 0; n < c->out; n++)
        put(w, &k.scale, n, 1.0f);
    case_run(w, &k, 0);
    for (int64_t i = 0; i < k.rows * c->out; i++) {
        int64_t sum = sum_of(&k, q, q + inputs, i / c->out, i % c->out);
        for (int s = 0; s < 2; s++)
            if (!((double)op_get(w, &k.y, s, i) == (double)sum))
                fail_msg("%s: side %d, sum %lld is %.1f, not %lld", w->what, s,
                         (long long)i, (double)op_get(w, &k.y, s, i), (long long)sum);
    }
    free(q);
    case_free(w, &k);
}

static void check_all_sums(op_world *w)
{
    for (int i = 0; i < CASES; i++)
        for (int extreme = 0; extreme < 2; extreme++)
            check_sums(w, &cases[i], extreme);
}

static void sums_are_exact(void **state)
{
    (void)state;
    op_for_each_world(check_all_sums);
}

/* A pixel that is not finite spoils the windows that cover it, and no other. */
static void check_odd_pixels(op_world *w)
{
    static const fb_conv c = {2, 7, 6, 5, 18, 3, 1, 1, 1};
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    for (int kind = 0; kind < 3; kind++)
        for (int option = 0; option < 8; option += 7) {
            conv_case k;
            case_make(w, &k, "odd pixels of conv_int8_forward", &c, option);
            fit_scales(w, &k, 127);
            put(w, &k.x, (3 * 6 + 2) * 5 + 4, odd[kind]); /* image 0, row 3, column 2 */
            case_run(w, &k, option);
            for (int64_t i = 0; i < k.rows * c.out; i++) {
                int64_t row = i / c.out, y = row / 6, x = row % 6;
                bool covers = y >= 2 && y <= 4 && x >= 1 && x <= 3;
                for (int s = 0; s < 2; s++)
                    assert_int_equal(isnan(op_get(w, &k.y, s, i)), covers);
            }
            case_free(w, &k);
        }
}

static void odd_pixels_are_as_stated(void **state)
{
    (void)state;
    op_for_each_world(check_odd_pixels);
}

/* oneDNN's way, whether or not it is the one that is taken here: of weights so small that
 * no processor's sums of pairs saturate, its sums are exact. */
static void check_library(op_world *w)
{
    cpu_backend *c = (cpu_backend *)w->be[1];
    if (w->exact || w->vector_set > 0)
        return;
    for (int i = 0; i < CASES; i++) {
        conv_case k;
        int option = i % 8;
        case_make(w, &k, "conv_int8_forward by oneDNN", &cases[i], option);
        for (int round = 0; round < 2; round++) {
            fit_scales(w, &k, 63);
            c->int8 = CPU_INT8_LIBRARY;
            case_run(w, &k, option);
            op_compare(w, "y", &k.y, 1.0);
            new_weights(w, &k);
        }
        case_free(w, &k);
    }
}

static void library_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_library);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_equal_reference),
        cmocka_unit_test(sums_are_exact),
        cmocka_unit_test(odd_pixels_are_as_stated),
        cmocka_unit_test(library_equals_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

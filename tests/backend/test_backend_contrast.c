/* test_backend_contrast.c - products of activations, unit rows, and the contrastive and
 * listwise losses of the cpu backend against the reference.
 */
#include "support/op_harness.h"

/* ---- products ------------------------------------------------------------------- */

static void check_matmul_case(op_world *w, int64_t rows, int64_t depth, int64_t columns)
{
    for (int option = 0; option < 6; option++) {
        bool ta = option % 3 == 1, tb = option % 3 == 2, as_f32 = option > 2;
        op_begin(w, "matmul [%d,%d] [%d], a^T %d, b^T %d, f32 %d", (int)rows,
                 (int)depth, (int)columns, ta, tb, as_f32);
        op_numbers a =
            ta ? op_activation(w, depth, rows) : op_activation(w, rows, depth);
        op_numbers b =
            tb ? op_activation(w, columns, depth) : op_activation(w, depth, columns);
        op_numbers y = op_output(w, as_f32 ? FB_F32 : w->dtype, rows, columns);
        for (int s = 0; s < OP_SIDES; s++)
            op_call(w, op_backend(w, s)->k->matmul(w->ctx, op_backend(w, s), &y.t[s],
                                                   &a.t[s], ta, &b.t[s], tb));
        op_compare(w, "y", &y, as_f32 ? 4e-6 / w->tolerance : 1.0);
    }
}

static void check_matmul(op_world *w)
{
    static const int64_t shapes[][3] = {{0, 3, 4},    {3, 0, 4},     {3, 4, 0},
                                        {1, 1, 1},    {5, 7, 3},     {2, 65, 1},
                                        {33, 17, 65}, {130, 256, 97}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_matmul_case(w, shapes[i][0], shapes[i][1], shapes[i][2]);
}

static void matmul_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_matmul);
}

/* ---- unit rows ------------------------------------------------------------------ */

static void check_unit_case(op_world *w, int64_t rows, int64_t width, double spread)
{
    op_begin(w, "unit_rows [%d,%d] of spread %g", (int)rows, (int)width, spread);
    op_numbers x = op_input(w, w->dtype, rows, width, spread);
    op_numbers y = op_output(w, w->dtype, rows, width);
    op_numbers lengths = op_output(w, FB_F32, 1, rows);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        op_call(w, be->k->unit_rows_forward(w->ctx, be, &y.t[s], lengths.t[s].data,
                                            &x.t[s]));
    }
    op_compare(w, "y", &y, 1.0);
    op_compare(w, "lengths", &lengths, 4e-6 / w->tolerance);
    op_numbers unit = op_from_reference(w, w->dtype, &y.t[0]);
    op_numbers kept = op_from_reference(w, FB_F32, &lengths.t[0]);
    op_numbers dy = op_activation(w, rows, width);
    op_numbers dx = op_output(w, w->dtype, rows, width);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        op_call(w, be->k->unit_rows_forward(w->ctx, be, &y.t[s], NULL, &x.t[s]));
        op_call(w, be->k->unit_rows_backward(w->ctx, be, &dx.t[s], &dy.t[s], &unit.t[s],
                                             kept.t[s].data));
    }
    op_compare(w, "y, lengths not kept", &y, 1.0);
    op_compare(w, "dx", &dx, 1.0);
}

static void check_unit(op_world *w)
{
    static const int64_t shapes[][2] = {{0, 8}, {3, 0}, {1, 2}, {13, 7}, {200, 257}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check_unit_case(w, shapes[i][0], shapes[i][1], 1.0);
        check_unit_case(w, shapes[i][0], shapes[i][1], 1e-3);
    }
    check_unit_case(w, 3, 5, 0.0); /* rows of zeros stay that */
}

static void check_row_products_case(op_world *w, int64_t rows, int64_t width)
{
    op_begin(w, "row_products [%d,%d]", (int)rows, (int)width);
    op_numbers x = op_parameter(w, rows, width), q = op_parameter(w, 1, width);
    op_numbers y = op_output(w, FB_F32, rows, 1);
    for (int s = 0; s < OP_SIDES; s++) {
        float *numbers = x.t[s].data;
        if (rows > 1) /* equal rows, far apart: equal products, to the bit */
            op_copy(w, s, numbers + (rows - 1) * width, numbers,
                    (size_t)width * sizeof *numbers);
        op_backend(w, s)->k->row_products(op_backend(w, s), y.t[s].data, numbers, rows,
                                          width, q.t[s].data);
        if (rows > 1)
            assert_true(op_get(w, &y, s, 0) == op_get(w, &y, s, rows - 1));
    }
    op_compare(w, "y", &y, 1e-5 / w->tolerance); /* f32 in both dtypes */
}

/* Codes of all bytes there are, -128 too, and the largest query: no sum is rounded or
 * runs over, so that every set gives the same. */
static void check_row_codes_case(op_world *w, int64_t rows, int64_t width)
{
    op_begin(w, "row_products_int8 [%d,%d]", (int)rows, (int)width);
    size_t bytes = (size_t)(rows * width);
    int8_t *codes = malloc(bytes + 1);
    int16_t *query = malloc((size_t)width * sizeof *query);
    int32_t sums[OP_SIDES][64];
    assert_non_null(codes);
    assert_non_null(query);
    const int32_t *random = op_indices(w, rows * width + width, 256);
    for (int64_t i = 0; i < rows * width; i++)
        codes[i] = (int8_t)(rows == 1 ? -128 : random[i] - 128);
    for (int64_t i = 0; i < width; i++)
        query[i] = (int16_t)(rows == 1 ? -2047 : random[rows * width + i] * 16 - 2033);
    for (int s = 0; s < OP_SIDES; s++) {
        int32_t *y = op_bytes(w, s, sizeof sums[s]);
        op_backend(w, s)->k->row_products_int8(
            op_backend(w, s), y, op_upload(w, s, codes, bytes), rows, width,
            op_upload(w, s, query, (size_t)width * sizeof *query));
        op_read(w, s, sums[s], y, (size_t)rows * sizeof *y);
    }
    for (int64_t n = 0; n < rows; n++) {
        int64_t wanted = 0;
        for (int64_t i = 0; i < width; i++)
            wanted += (int64_t)codes[n * width + i] * query[i];
        for (int s = 0; s < OP_SIDES; s++)
            assert_int_equal(sums[s][n], wanted);
    }
    free(codes);
    free(query);
}

static void check_row_codes(op_world *w)
{
    static const int64_t widths[] = {1, 7, 16, 31, 32, 48, 100, 256, 261, 8192};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
        for (int64_t rows = 1; rows < 64; rows += 20)
            check_row_codes_case(w, rows, widths[i]);
}

static void row_products_of_codes_are_exact_in_every_set(void **state)
{
    (void)state;
    op_for_each_world(check_row_codes);
}

static void check_bf16_rows_case(op_world *w, int64_t rows, int64_t width)
{
    op_begin(w, "row_products_bf16 [%d,%d]", (int)rows, (int)width);
    op_numbers q = op_parameter(w, 1, width), y = op_output(w, FB_F32, rows, 1);
    size_t bytes = (size_t)(rows * width) * sizeof(fb_bf16);
    fb_bf16 *x = malloc(bytes + 1);
    assert_non_null(x);
    const int32_t *random = op_indices(w, rows * width + 1, 2001);
    for (int64_t i = 0; i < rows * width; i++)
        x[i] = fb_bf16_from_f32((float)(random[i] - 1000) / 1000.0f);
    for (int s = 0; s < OP_SIDES; s++)
        op_backend(w, s)->k->row_products_bf16(op_backend(w, s), y.t[s].data,
                                               op_upload(w, s, x, bytes), rows, width,
                                               q.t[s].data);
    op_compare(w, "y", &y, 1e-5 / w->tolerance); /* f32 in both dtypes */
    free(x);
}

static void check_bf16_rows(op_world *w)
{
    static const int64_t widths[] = {1, 3, 16, 40, 256, 257};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
        for (int64_t rows = 0; rows < 70; rows += 23)
            check_bf16_rows_case(w, rows, widths[i]);
}

static void row_products_of_bf16_equal_reference(void **state)
{
    (void)state;
    op_for_each_world(check_bf16_rows);
}

static void check_row_products(op_world *w)
{
    static const int64_t widths[] = {1, 3, 16, 40, 256, 257};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
        for (int64_t rows = 0; rows < 70; rows += 23)
            check_row_products_case(w, rows, widths[i]);
}

static void row_products_equal_reference(void **state)
{
    (void)state;
    op_for_each_world(check_row_products);
}

static void unit_rows_equal_reference(void **state)
{
    (void)state;
    op_for_each_world(check_unit);
}

/* ---- pairs ---------------------------------------------------------------------- */

static fb_contrast on_side(op_world *w, int s, fb_contrast c, const int32_t *a_group,
                           const int32_t *b_group)
{
    c.a_group = op_upload_ints(w, s, a_group, c.count);
    c.b_group = op_upload_ints(w, s, b_group, c.count);
    return c;
}

/* groups: how many products and texts there are; 0: all differ. */
static void check_contrast_case(op_world *w, int32_t count, float scale, int32_t groups)
{
    op_begin(w, "contrast of %d pairs, scale %g, %d groups", (int)count, (double)scale,
             (int)groups);
    const fb_contrast both = {.count = count, .scale = scale, .slope = 1.0f};
    int32_t *a_group = op_indices(w, count, groups ? groups : 1);
    int32_t *b_group = op_indices(w, count, groups ? groups : 1);
    for (int32_t i = 0; i < count && !groups; i++)
        a_group[i] = b_group[i] = i;
    op_numbers similarity = op_input(w, FB_F32, count, count, 0.3);
    op_numbers loss = op_output(w, FB_F32, 2, count);
    op_numbers lse = op_output(w, FB_F32, 2, count);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        fb_contrast c = on_side(w, s, both, a_group, b_group);
        op_call(w, be->k->contrast_forward(w->ctx, be, loss.t[s].data, lse.t[s].data,
                                           &similarity.t[s], &c));
    }
    double exact = 4e-6 / w->tolerance; /* f32 in both dtypes */
    op_compare(w, "loss", &loss, exact);
    op_compare(w, "lse", &lse, exact);
    op_numbers saved = op_from_reference(w, FB_F32, &lse.t[0]);
    op_numbers ds = op_output(w, w->dtype, count, count);
    op_numbers dscale = op_parameter(w, 1, 1);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        fb_contrast c = on_side(w, s, both, a_group, b_group);
        op_call(w,
                be->k->contrast_backward(w->ctx, be, &ds.t[s], dscale.t[s].data,
                                         &similarity.t[s], saved.t[s].data, &c, 0.7f));
    }
    /* exp of a difference of numbers near `scale` has the rounding of its argument */
    w->least_scale = 0.7 * (double)scale / (2.0 * fmax(1.0, (double)count));
    double rounding = fmax(1.0, (double)scale / 10);
    op_compare(w, "ds", &ds, w->dtype == FB_F32 ? rounding : 1.0);
    w->least_scale = 1.0;
    op_compare(w, "dscale", &dscale, exact * rounding);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        fb_contrast c = on_side(w, s, both, a_group, b_group);
        op_call(w,
                be->k->contrast_backward(w->ctx, be, &ds.t[s], NULL, &similarity.t[s],
                                         saved.t[s].data, &c, 0.7f));
    }
}

static void check_contrast(op_world *w)
{
    static const int32_t counts[] = {0, 1, 2, 17, 64, 161};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        check_contrast_case(w, counts[i], 1.0f, 0);
        check_contrast_case(w, counts[i], 14.3f, counts[i] + 1);
        check_contrast_case(w, counts[i], 100.0f, counts[i] / 4 + 1);
        check_contrast_case(w, counts[i], 5.0f, 1); /* nothing but the diagonal */
    }
}

static void contrast_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_contrast);
}

/* ---- lists ---------------------------------------------------------------------- */

/* Shares of sum 1 in each list, some of them 0. */
static op_numbers make_targets(op_world *w, int32_t lists, int32_t length)
{
    op_numbers t = op_input(w, FB_F32, lists, length, 1.0);
    float *x = t.t[0].data;
    for (int32_t l = 0; l < lists; l++, x += length) {
        float sum = 1.0f;
        x[0] = 1.0f;
        for (int32_t k = 1; k < length; k++)
            sum += x[k] = x[k] > 0 ? x[k] : 0;
        for (int32_t k = 0; k < length; k++)
            x[k] /= sum;
    }
    return op_from_reference(w, FB_F32, &t.t[0]);
}

static void check_list_case(op_world *w, int32_t lists, int32_t length, int32_t rows,
                            bool shared)
{
    op_begin(w, "%d lists of %d out of %d rows%s", (int)lists, (int)length, (int)rows,
             shared ? ", each right in its share" : "");
    op_numbers logits = op_input(w, FB_F32, rows, 2, 3.0);
    op_numbers targets = make_targets(w, lists, length);
    const int32_t *members = op_indices(w, (int64_t)lists * length, rows);
    op_numbers loss = op_output(w, FB_F32, 1, lists);
    op_numbers lse = op_output(w, FB_F32, 1, lists);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        fb_lists l = {op_upload_ints(w, s, members, (int64_t)lists * length),
                      shared ? targets.t[s].data : NULL, lists, length, NULL};
        op_call(w, be->k->list_forward(w->ctx, be, loss.t[s].data, lse.t[s].data,
                                       &logits.t[s], &l));
    }
    double exact = 4e-6 / w->tolerance;
    op_compare(w, "loss", &loss, exact);
    op_compare(w, "lse", &lse, exact);
    op_numbers saved = op_from_reference(w, FB_F32, &lse.t[0]);
    op_numbers dlogits = op_output(w, w->dtype, rows, 2);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        fb_lists l = {op_upload_ints(w, s, members, (int64_t)lists * length),
                      shared ? targets.t[s].data : NULL, lists, length, NULL};
        op_call(w, be->k->list_backward(w->ctx, be, &dlogits.t[s], &logits.t[s],
                                        saved.t[s].data, &l, 0.37f));
    }
    w->least_scale = 0.37; /* a share is at most the factor */
    op_compare(w, "dlogits", &dlogits, 1.0);
}

static void check_list(op_world *w)
{
    static const int32_t cases[][3] = {{0, 3, 4},   {1, 1, 1},    {4, 1, 9},
                                       {5, 3, 4},   {7, 17, 200}, {900, 64, 4000},
                                       {300, 5, 3}, {33, 100, 50}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int shared = 0; shared < 2; shared++)
            check_list_case(w, cases[i][0], cases[i][1], cases[i][2], shared);
}

static void lists_equal_reference(void **state)
{
    (void)state;
    op_for_each_world(check_list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matmul_equals_reference),
        cmocka_unit_test(row_products_equal_reference),
        cmocka_unit_test(row_products_of_codes_are_exact_in_every_set),
        cmocka_unit_test(row_products_of_bf16_equal_reference),
        cmocka_unit_test(unit_rows_equal_reference),
        cmocka_unit_test(contrast_equals_reference),
        cmocka_unit_test(lists_equal_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

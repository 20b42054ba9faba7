/* test_backend_sparse.c - the product of a sparse matrix and rows, on every backend. */
#include "support/op_harness.h"

/* Rows of 0 to `most` entries at random places. */
static void check_case(op_world *w, int64_t rows, int64_t columns, int64_t width,
                       int32_t most)
{
    op_begin(w, "sparse [%d, %d] of at most %d a row times rows of %d", (int)rows,
             (int)columns, (int)most, (int)width);
    int32_t *offsets = op_indices(w, rows + 1, columns > 0 ? most + 1 : 1);
    int32_t entries = 0;
    for (int64_t r = 0; r <= rows; r++) {
        int32_t count = offsets[r];
        offsets[r] = entries;
        entries += r < rows ? count : 0;
    }
    int32_t *places = op_indices(w, entries + 1, columns > 0 ? (int32_t)columns : 1);
    float *weights = op_bytes(w, 0, ((size_t)entries + 1) * sizeof *weights);
    for (int32_t k = 0; k < entries; k++)
        weights[k] = (float)fb_random_normal(&w->random);
    op_numbers x = op_activation(w, columns, width);
    op_numbers y = op_output(w, w->dtype, rows, width);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        fb_csr m = {op_upload_ints(w, s, offsets, rows + 1),
                    op_upload_ints(w, s, places, entries + 1),
                    op_upload(w, s, weights, ((size_t)entries + 1) * sizeof *weights)};
        op_call(w, be->k->sparse_product(w->ctx, be, &y.t[s], &m, &x.t[s]));
    }
    op_compare(w, "y", &y, 1.0);
}

static void check_product(op_world *w)
{
    static const int64_t widths[] = {1, 16, 67, 256};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        check_case(w, 0, 5, widths[i], 3);
        check_case(w, 3, 0, widths[i], 3);
        check_case(w, 1, 1, widths[i], 1);
        check_case(w, 37, 64, widths[i], 20);
        check_case(w, 9, 130, widths[i], 130);
    }
}

static void equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_product);
}

static void check_by_hand(op_world *w)
{
    static const int32_t offsets[] = {0, 2, 2, 3}, places[] = {2, 0, 1};
    static const float weights[] = {0.5f, 2.0f, -1.0f};
    op_begin(w, "by hand");
    op_numbers x = op_activation(w, 3, 1), y = op_output(w, w->dtype, 3, 1);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        fb_csr m = {op_upload_ints(w, s, offsets, 4), op_upload_ints(w, s, places, 3),
                    op_upload(w, s, weights, sizeof weights)};
        for (int32_t i = 0; i < 3; i++)
            op_put(w, &x, s, i, (float)(1 << i));
        op_call(w, be->k->sparse_product(w->ctx, be, &y.t[s], &m, &x.t[s]));
        assert_true(op_get(w, &y, s, 0) == 4.0f);
        assert_true(op_get(w, &y, s, 1) == 0.0f);
        assert_true(op_get(w, &y, s, 2) == -2.0f);
    }
}

static void equals_numbers_by_hand(void **state)
{
    (void)state;
    op_for_each_world(check_by_hand);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_reference),
        cmocka_unit_test(equals_numbers_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

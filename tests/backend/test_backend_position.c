/* test_backend_position.c - where rows lie: the cpu backend against the reference. */
#include "support/op_harness.h"

enum { K = FB_POSITION_BLOCKS };

static void check_case(op_world *w, int64_t rows, int64_t features, int64_t width,
                       int32_t blocks, int wanted)
{
    op_begin(w, "position of %d rows of %d and %d numbers, %d blocks, wanted %d",
             (int)rows, (int)features, (int)width, (int)blocks, wanted);
    int32_t *ids = op_indices(w, rows * K, blocks);
    float *overlap = (float *)op_indices(w, rows * K, 1);
    for (int64_t i = 0; i < rows * K; i++) /* pads among them */
        overlap[i] = (i * 7) % 5 == 0 ? 0.0f : (float)(1 + i % 3) / 30.0f;
    op_numbers table = op_parameter(w, blocks, width);
    op_numbers v = op_activation(w, rows, features), q = op_activation(w, rows, width);
    op_numbers y = op_output(w, w->dtype, rows, features + width);
    op_numbers dy = op_activation(w, rows, features + width);
    op_numbers dv = op_output(w, w->dtype, rows, features);
    op_numbers dq = op_output(w, w->dtype, rows, width);
    op_numbers dtable = op_parameter(w, blocks, width);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        fb_positions p = {
            .table = table.t[s].data,
            .ids = op_upload_ints(w, s, ids, rows * K),
            .overlap = op_upload(w, s, overlap, (size_t)(rows * K) * sizeof *overlap),
            .blocks = blocks,
            .width = width};
        op_call(w, be->k->position_forward(w->ctx, be, &y.t[s], &v.t[s], &q.t[s], &p));
        op_call(w, be->k->position_backward(
                       w->ctx, be, wanted & 1 ? &dv.t[s] : NULL, &dq.t[s],
                       wanted & 2 ? dtable.t[s].data : NULL, &dy.t[s], &q.t[s], &p));
    }
    op_compare(w, "y", &y, 1.0);
    if (wanted & 1)
        op_compare(w, "dv", &dv, 1.0);
    op_compare(w, "dq", &dq, 2.0);
    op_compare(w, "dtable", &dtable, 2.0);
}

static void check_all(op_world *w)
{
    static const int64_t shapes[][3] = {
        {0, 4, 3}, {1, 1, 1}, {13, 7, 5}, {70, 33, 200}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int wanted = 0; wanted < 4; wanted++)
            check_case(w, shapes[i][0], shapes[i][1], shapes[i][2], i == 3 ? 257 : 18,
                       wanted);
}

static void positions_equal_reference(void **state)
{
    (void)state;
    op_for_each_world(check_all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions_equal_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

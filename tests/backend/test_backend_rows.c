/* test_backend_rows.c - embeddings, picked rows, patches and losses of the cpu backend
 * against the reference.
 */
#include "support/op_harness.h"

static void check_embed_case(op_world *w, int64_t rows, int64_t width, int32_t tables,
                             bool with_x)
{
    static const int32_t entries[FB_EMBED_TABLES] = {37, 5, 1};
    op_begin(w, "embed of %d rows [%d], %d tables, x %d", (int)rows, (int)width,
             (int)tables, with_x);
    op_numbers x = op_activation(w, rows, width), dy = op_activation(w, rows, width);
    op_numbers y = op_output(w, w->dtype, rows, width);
    op_numbers table[FB_EMBED_TABLES], dtable[FB_EMBED_TABLES];
    fb_embed e[OP_SIDES];
    for (int k = 0; k < FB_EMBED_TABLES; k++) {
        table[k] = op_parameter(w, entries[k], width);
        dtable[k] = op_parameter(w, entries[k], width);
        const int32_t *ids = op_indices(w, rows, entries[k]);
        for (int s = 0; s < OP_SIDES; s++) {
            e[s].count = tables;
            e[s].table[k] = table[k].t[s].data;
            e[s].ids[k] = op_upload_ints(w, s, ids, rows);
        }
    }
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        float *const both[] = {dtable[0].t[s].data, dtable[1].t[s].data, NULL};
        op_call(w, be->k->embed_forward(w->ctx, be, &y.t[s], with_x ? &x.t[s] : NULL,
                                        &e[s]));
        op_call(w, be->k->embed_backward(w->ctx, be, both, &dy.t[s], &e[s]));
    }
    op_compare(w, "y", &y, 1.0);
    for (int k = 0; k < FB_EMBED_TABLES; k++)
        op_compare(w, "dtable", &dtable[k], 4e-6 / w->tolerance); /* f32 sums in both */
}

static void check_embed(op_world *w)
{
    static const int64_t shapes[][2] = {{0, 8}, {1, 1}, {13, 7}, {200, 33}, {97, 768}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int32_t tables = 1; tables <= FB_EMBED_TABLES; tables++)
            for (int with_x = 0; with_x < 2; with_x++)
                check_embed_case(w, shapes[i][0], shapes[i][1], tables, with_x);
}

static void embed_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_embed);
}

typedef struct rows_case {
    int32_t a, b; /* rows of each; b 0: none */
    int64_t rows, width;
} rows_case;

static void check_gather_case(op_world *w, rows_case o)
{
    op_begin(w, "gather and scatter %d of %d + %d rows [%d]", (int)o.rows, (int)o.a,
             (int)o.b, (int)o.width);
    op_numbers a = op_activation(w, o.a, o.width), b = op_activation(w, o.b, o.width);
    op_numbers y = op_output(w, w->dtype, o.rows, o.width);
    op_numbers dy = op_activation(w, o.rows, o.width);
    const int32_t *index = op_indices(w, o.rows, o.a + o.b);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        op_call(w,
                be->k->gather_rows(w->ctx, be, &y.t[s], &a.t[s], o.b ? &b.t[s] : NULL,
                                   op_upload_ints(w, s, index, o.rows)));
    }
    op_compare(w, "y", &y, 0.0);
    for (int accumulate = 0; accumulate < 2; accumulate++)
        for (int without_db = 0; without_db < 2; without_db++) {
            op_numbers da = accumulate ? op_activation(w, o.a, o.width)
                                       : op_output(w, w->dtype, o.a, o.width);
            op_numbers db = accumulate ? op_activation(w, o.b, o.width)
                                       : op_output(w, w->dtype, o.b, o.width);
            bool has_db = o.b && !without_db;
            for (int s = 0; s < OP_SIDES; s++) {
                fb_backend *be = op_backend(w, s);
                op_call(w, be->k->scatter_rows(
                               w->ctx, be, &da.t[s], has_db ? &db.t[s] : NULL, &dy.t[s],
                               op_upload_ints(w, s, index, o.rows), accumulate));
            }
            op_compare(w, accumulate ? "da, added to" : "da", &da, 1.0);
            if (has_db)
                op_compare(w, accumulate ? "db, added to" : "db", &db, 1.0);
        }
}

static void check_gather(op_world *w)
{
    static const rows_case cases[] = {
        {1, 0, 0, 8},  {1, 0, 1, 1},      {5, 3, 17, 7},        {40, 64, 104, 33},
        {40, 0, 3, 5}, {3, 900, 257, 31}, {700, 512, 2688, 96},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_gather_case(w, cases[i]);
}

static void gather_and_scatter_equal_reference(void **state)
{
    (void)state;
    op_for_each_world(check_gather);
}

static void check_scatter_alone(op_world *w)
{
    op_begin(w, "scatter_rows without da");
    op_numbers dy = op_activation(w, 2, 4), db = op_activation(w, 2, 4);
    const int32_t both[] = {0, 1};
    for (int s = 0; s < 2; s++) {
        fb_backend *be = op_backend(w, s);
        const int32_t *index = op_upload_ints(w, s, both, 2);
        assert_int_equal(
            be->k->scatter_rows(w->ctx, be, NULL, &db.t[s], &dy.t[s], index, false),
            FB_E_SHAPE);
        op_call(w, be->k->scatter_rows(w->ctx, be, NULL, NULL, &dy.t[s], index, false));
    }
}

static void scatter_refuses_the_second_gradient_alone(void **state)
{
    (void)state;
    op_for_each_world(check_scatter_alone);
}

static void check_patchify_case(op_world *w, fb_patchify p, bool with_mask)
{
    op_begin(w, "patchify of %d images, %d pixels, grid %d, mask %d", (int)p.images,
             (int)p.size, (int)p.grid, with_mask);
    int64_t pixels = (int64_t)p.images * p.size * p.size * 3, side = p.size / p.grid;
    int64_t rows = (int64_t)p.images * p.grid * p.grid;
    uint8_t *bytes = fb_arena_alloc(w->arena, (size_t)pixels);
    uint8_t *masked = fb_arena_alloc(w->arena, (size_t)rows);
    assert_true(bytes && masked);
    for (int64_t i = 0; i < pixels; i++)
        bytes[i] = (uint8_t)fb_random_below(&w->random, 256);
    for (int64_t i = 0; i < rows; i++)
        masked[i] = fb_random_below(&w->random, 3) == 0;
    op_numbers y = op_output(w, w->dtype, rows, side * side * 3);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        const uint8_t *on = op_upload(w, s, bytes, (size_t)pixels);
        p.masked = op_upload(w, s, with_mask ? masked : NULL, (size_t)rows);
        op_call(w, be->k->patchify(w->ctx, be, &y.t[s], on, &p));
    }
    op_compare(w, "y", &y, 1.0);
}

static void check_patchify(op_world *w)
{
    static const int32_t shapes[][3] = {{0, 16, 4}, {1, 1, 1}, {3, 16, 2},
                                        {2, 21, 3}, {5, 9, 9}, {2, 256, 8}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int with_mask = 0; with_mask < 2; with_mask++) {
            fb_patchify p = {.images = shapes[i][0],
                             .size = shapes[i][1],
                             .grid = shapes[i][2],
                             .mean = {0.485f, 0.456f, 0.406f},
                             .std = {0.229f, 0.224f, 0.225f}};
            check_patchify_case(w, p, with_mask);
        }
}

static void patchify_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_patchify);
}

static void check_cross_entropy_case(op_world *w, int64_t rows, int32_t classes,
                                     double spread)
{
    op_begin(w, "cross_entropy [%d,%d] of spread %g", (int)rows, (int)classes, spread);
    double factor = 4e-6 / w->tolerance; /* logits and losses are f32 in both dtypes */
    op_numbers logits = op_input(w, FB_F32, rows, classes, spread);
    const int32_t *classes_of = op_indices(w, rows, classes);
    op_numbers loss = op_output(w, FB_F32, 1, rows),
               lse = op_output(w, FB_F32, 1, rows);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        const int32_t *targets = op_upload_ints(w, s, classes_of, rows);
        op_call(w, be->k->cross_entropy_forward(w->ctx, be, loss.t[s].data,
                                                lse.t[s].data, &logits.t[s], targets));
    }
    op_compare(w, "loss", &loss, factor);
    op_compare(w, "lse", &lse, factor);
    op_numbers saved = op_from_reference(w, FB_F32, &lse.t[0]);
    op_numbers dlogits = op_output(w, w->dtype, rows, classes);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        const int32_t *targets = op_upload_ints(w, s, classes_of, rows);
        op_call(w,
                be->k->cross_entropy_backward(w->ctx, be, &dlogits.t[s], &logits.t[s],
                                              saved.t[s].data, targets, 0.37f));
    }
    /* exp of a difference of hundreds has the rounding of its argument */
    op_compare(w, "dlogits", &dlogits, w->dtype == FB_F32 && spread > 10 ? 10.0 : 1.0);
}

static void check_kld_case(op_world *w, int64_t rows, int64_t width)
{
    enum { FEATURE_ROWS = 9 };
    op_begin(w, "kld [%d,%d]", (int)rows, (int)width);
    op_numbers logits = op_input(w, FB_F32, rows, width, 1.5);
    op_numbers features = op_input(w, w->dtype, FEATURE_ROWS, width, 1.5);
    const int32_t *patches = op_indices(w, rows, FEATURE_ROWS);
    op_numbers loss = op_output(w, FB_F32, 1, rows);
    op_numbers dlogits = op_output(w, w->dtype, rows, width);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        const int32_t *index = op_upload_ints(w, s, patches, rows);
        op_call(w, be->k->kld_forward(w->ctx, be, loss.t[s].data, &logits.t[s],
                                      &features.t[s], index));
        op_call(w, be->k->kld_backward(w->ctx, be, &dlogits.t[s], &logits.t[s],
                                       &features.t[s], index, 0.37f));
    }
    /* Sums of F f32 terms, in one lane where the compiler does not vectorise: rounding
     * walks at random, with a spread of 2^-25 sqrt(F); six times that is allowed. */
    double allowed = fmax(4e-6, 6 * 0x1p-25 * sqrt((double)width));
    op_compare(w, "loss", &loss, allowed / w->tolerance);
    op_compare(w, "dlogits", &dlogits, fmax(1.0, allowed / w->tolerance));
}

static void check_losses(op_world *w)
{
    static const int32_t shapes[][2] = {{0, 5},      {1, 1},     {3, 7},     {5, 2},
                                        {17, 30522}, {64, 1000}, {33, 3072}, {2, 65}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check_cross_entropy_case(w, shapes[i][0], shapes[i][1], 2.0);
        check_cross_entropy_case(w, shapes[i][0], shapes[i][1], 60.0);
        check_kld_case(w, shapes[i][0], shapes[i][1]);
    }
}

static void losses_equal_reference(void **state)
{
    (void)state;
    op_for_each_world(check_losses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embed_equals_reference),
        cmocka_unit_test(gather_and_scatter_equal_reference),
        cmocka_unit_test(scatter_refuses_the_second_gradient_alone),
        cmocka_unit_test(patchify_equals_reference),
        cmocka_unit_test(losses_equal_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

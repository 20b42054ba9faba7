/* test_op_contracts.c - what operations keep apart (parameters, frozen leaves, keys of
 * dropout), and the shapes that they must refuse.
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

#include "support/op_rig.h"

#define NO_B                                                                           \
    {                                                                                  \
        3, -1                                                                          \
    }

static fb_status build_linear(rig *r)
{
    return fb_op_linear(&r->tape, &r->y, r->x[0], r->leaves[0], r->leaves[1], false);
}

static fb_status build_linear_gelu(rig *r)
{
    return fb_op_linear_act(&r->tape, &r->y, r->x[0], r->leaves[0], r->leaves[1],
                            FB_ACT_GELU);
}

static fb_status build_tanh(rig *r)
{
    return fb_op_tanh(&r->tape, &r->y, r->x[0]);
}

static fb_status build_norm(rig *r)
{
    return fb_op_norm(&r->tape, &r->y, r->x[0], r->x[1], r->leaves[0], r->leaves[1],
                      0.01f);
}

static fb_status build_dropout(rig *r)
{
    return fb_op_dropout(&r->tape, &r->y, r->x[0]);
}

static const int32_t ids0[] = {3, 0, 3, 3, 1}, ids1[] = {0, 1, 1, 0, 1},
                     ids2[] = {0, 0, 0, 0, 0};
static const int32_t *const ids[3] = {ids0, ids1, ids2};

static fb_status build_embed(rig *r)
{
    return fb_op_embed(&r->tape, &r->y, r->x[0], r->leaves, ids, 3, 5);
}

static const int32_t targets[] = {4, 0, 0, 2, 1};

static fb_status build_two_losses(rig *r)
{
    fb_var *shared, *a, *b;
    FB_TRY(fb_op_tanh(&r->tape, &shared, r->x[0]));
    FB_TRY(fb_op_linear(&r->tape, &a, shared, r->leaves[0], NULL, true));
    FB_TRY(fb_op_cross_entropy(&r->tape, &r->loss[0], a, targets));
    FB_TRY(fb_op_linear(&r->tape, &b, shared, r->leaves[1], r->leaves[2], true));
    return fb_op_cross_entropy(&r->tape, &r->loss[1], b, targets);
}

static const int32_t groups[] = {0, 1, 2, 3, 4};

static fb_status build_contrast(rig *r)
{
    fb_contrast pairs = {
        .count = (int32_t)r->g->rows[0], .a_group = groups, .b_group = groups};
    return fb_op_contrast(&r->tape, &r->loss[0], NULL, r->x[0], r->x[1], r->leaves[0],
                          &pairs);
}

/* ---- what is kept apart --------------------------------------------------------- */

static void without_parameters_only_activations_get_gradients(void **state)
{
    const graph graphs[] = {
        {"linear", NO_B, {3}, {4, 4}, {3, 1}, .build = build_linear},
        {"gelu", NO_B, {3}, {4, 4}, {3, 1}, .build = build_linear_gelu},
        {"norm", {3, 3}, {4, 4}, {4, 4}, {1, 1}, .build = build_norm},
        {"embed", {5, -1}, {3}, {5, 2, 1}, {3, 3, 3}, .build = build_embed},
        {"two losses", NO_B, {3}, {5, 6, 6}, {3, 3, 1}, .build = build_two_losses},
        {"contrast", {5, 5}, {4, 4}, {1}, {1}, .build = build_contrast},
    };
    for (size_t i = 0; i < sizeof graphs / sizeof graphs[0]; i++) {
        rig with, without;
        rig_open(&with, &graphs[i], *state);
        rig_open(&without, &graphs[i], *state);
        for (int k = 0; k < LEAVES; k++)
            for (int64_t n = 0; n < MOST; n++)
                without.leaf_grad[k][n] = 0.5f;
        rig_backward(&with, true);
        rig_backward(&without, false);
        for (int k = 0; k < LEAVES; k++)
            for (int64_t n = 0; n < MOST; n++)
                assert_true(without.leaf_grad[k][n] == 0.5f);
        assert_memory_equal(rig_read(&with, &with.x[0]->grad),
                            rig_read(&without, &without.x[0]->grad),
                            fb_tensor_bytes(&with.x[0]->grad));
        rig_close(&without);
        rig_close(&with);
    }
}

static void parameter_gradients_accumulate_over_backward_passes(void **state)
{
    const graph graphs[] = {
        {"linear", NO_B, {3}, {4, 4}, {3, 1}, .build = build_linear},
        {"norm", {3, 3}, {4, 4}, {4, 4}, {1, 1}, .build = build_norm},
        {"embed", {5, -1}, {3}, {5, 2, 1}, {3, 3, 3}, .build = build_embed},
        {"contrast", {5, 5}, {4, 4}, {1}, {1}, .build = build_contrast},
    };
    for (size_t i = 0; i < sizeof graphs / sizeof graphs[0]; i++) {
        rig once, twice;
        rig_open(&once, &graphs[i], *state);
        rig_open(&twice, &graphs[i], *state);
        rig_backward(&once, true);
        rig_backward(&twice, true);
        rig_backward(&twice, true);
        for (int k = 0; k < LEAVES; k++)
            for (int64_t n = 0; n < graphs[i].out[k] * graphs[i].in[k]; n++) {
                double want = 2 * (double)once.leaf_grad[k][n];
                assert_true(fabs((double)twice.leaf_grad[k][n] - want) <=
                            1e-6 * (1 + fabs(want)));
                assert_true(want != 0.0 || i == 2);
            }
        rig_close(&twice);
        rig_close(&once);
    }
}

static void frozen_leaf_is_passed_through(void **state)
{
    const graph g = {"linear", NO_B, {3}, {4, 4}, {3, 1}, .build = build_linear};
    rig free_one, frozen;
    rig_open(&free_one, &g, *state);
    rig_open(&frozen, &g, *state);
    frozen.leaf[0].grad = NULL;
    rig_backward(&free_one, true);
    rig_backward(&frozen, true);
    assert_memory_equal(rig_read(&free_one, &free_one.x[0]->grad),
                        rig_read(&frozen, &frozen.x[0]->grad), 9 * sizeof(float));
    assert_memory_equal(free_one.leaf_grad[1], frozen.leaf_grad[1], 4 * sizeof(float));
    for (int64_t n = 0; n < MOST; n++)
        assert_true(frozen.leaf_grad[0][n] == 0.0f);
    rig_close(&frozen);
    rig_close(&free_one);
}

static void frozen_scale_changes_no_other_gradient(void **state)
{
    const graph g = {"contrast", {5, 5}, {4, 4}, {1}, {1}, .build = build_contrast};
    rig free_one, frozen;
    rig_open(&free_one, &g, *state);
    rig_open(&frozen, &g, *state);
    frozen.leaf[0].grad = NULL;
    rig_backward(&free_one, true);
    rig_backward(&frozen, true);
    for (int k = 0; k < 2; k++)
        assert_memory_equal(rig_read(&free_one, &free_one.x[k]->grad),
                            rig_read(&frozen, &frozen.x[k]->grad), 20 * sizeof(float));
    assert_true(free_one.leaf_grad[0][0] != 0.0f);
    assert_true(frozen.leaf_grad[0][0] == 0.0f);
    rig_close(&frozen);
    rig_close(&free_one);
}

static void embed_hands_its_gradient_on(void **state)
{
    const graph g = {"embed", {5, -1}, {3}, {5, 2, 1}, {3, 3, 3}, .build = build_embed};
    rig r;
    rig_open(&r, &g, *state);
    rig_backward(&r, true);
    assert_null(r.y->grad.data);
    assert_int_equal(r.tape.pool_count, 0); /* given to x, not to the pool */
    const float *grad = rig_read(&r, &r.x[0]->grad);
    for (int64_t i = 0; i < 15; i++)
        assert_true(grad[i] == draw(20, i));
    rig_close(&r);
}

static void dropout_depends_on_its_key_and_nothing_else(void **state)
{
    const graph g = {"dropout",       {8, -1}, {16}, {0}, {0}, .build = build_dropout,
                     .dropout = 0.25f};
    rig r;
    float kept[2][MOST];
    rig_open(&r, &g, *state);
    for (int k = 0; k < 2; k++) {
        (void)rig_value(&r, k == 0);
        memcpy(kept[k], rig_read(&r, &r.y->value), sizeof kept[k]);
    }
    assert_memory_equal(kept[0], kept[1], sizeof kept[0]);
    int dropped = 0;
    for (int i = 0; i < MOST; i++) {
        dropped += kept[0][i] == 0.0f;
        if (kept[0][i] != 0.0f)
            assert_true(fabsf(kept[0][i] - r.input[0][i] / 0.75f) <= 1e-6f);
    }
    assert_in_range(dropped, 16, 50); /* 32 expected */
    fb_var *second, *other;
    assert_int_equal(fb_op_dropout(&r.tape, &second, r.x[0]), FB_OK);
    assert_memory_not_equal(rig_read(&r, &second->value), kept[0], sizeof kept[0]);
    fb_tape_set_dropout(&r.tape, 0.25f, 78);
    assert_int_equal(fb_op_dropout(&r.tape, &other, r.x[0]), FB_OK);
    assert_memory_not_equal(rig_read(&r, &other->value), kept[0], sizeof kept[0]);
    rig_close(&r);
}

static void no_dropout_costs_nothing(void **state)
{
    const graph g = {"dropout", {2, -1}, {3}, {0}, {0}, .build = build_dropout};
    rig r;
    rig_open(&r, &g, *state);
    (void)rig_value(&r, true);
    assert_ptr_equal(r.y, r.x[0]);
    assert_null(r.tape.last);
    rig_close(&r);
}

static void patchify_is_normalised_and_gets_no_gradient(void **state)
{
    const graph g = {"patchify", {-1, -1}, {0}, {2}, {3}, .build = build_linear};
    rig r;
    rig_open(&r, &g, *state);
    rig_start(&r, true);
    const uint8_t pixels[2 * 2 * 3] = {0, 51, 255, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    const fb_patchify p = {1, 2, 2, {0.5f, 0, 1}, {0.5f, 1, 2}, NULL};
    fb_var *y, *out;
    assert_int_equal(fb_op_patchify(&r.tape, &y, pixels, &p), FB_OK);
    assert_int_equal(y->value.dims[0], 4);
    assert_int_equal(y->value.dims[1], 3);
    const float want[3] = {-1, 0.2f, 0};
    const float *got = rig_read(&r, &y->value);
    for (int i = 0; i < 3; i++)
        assert_true(fabsf(got[i] - want[i]) <= 1e-6f);
    assert_int_equal(fb_op_linear(&r.tape, &out, y, r.leaves[0], NULL, false), FB_OK);
    rig_set_gradient(&r, out, 20);
    assert_int_equal(fb_tape_backward(&r.tape, NULL, NULL, true), FB_OK);
    assert_null(y->grad.data);
    rig_close(&r);
}

/* ---- what does not fit ---------------------------------------------------------- */

typedef struct wrong {
    rig r;
    fb_var *x, *y; /* x [3,4] */
    fb_leaf w34, w24, v3, v4;
} wrong;

static fb_leaf leaf_of(rig *r, const char *name, int64_t out, int64_t in)
{
    return (fb_leaf){.name = name,
                     .weight = {r->value_on[0], out, in, 1, NULL},
                     .grad = r->grad_on[0]};
}

static void wrong_open(wrong *w, const char *backend)
{
    static const graph g = {"wrong", {3, -1}, {4}, {0}, {0}, .build = build_tanh};
    rig_open(&w->r, &g, backend);
    rig_start(&w->r, true);
    w->x = w->r.x[0];
    w->w34 = leaf_of(&w->r, "w34", 3, 4);
    w->w24 = leaf_of(&w->r, "w24", 2, 3);
    w->v3 = leaf_of(&w->r, "v3", 3, 1);
    w->v4 = leaf_of(&w->r, "v4", 4, 1);
}

/* FB_E_SHAPE with a sentence that has both words; nothing recorded. */
static void expect_shape(wrong *w, fb_status status, const char *word, const char *more)
{
    assert_int_equal(status, FB_E_SHAPE);
    if (!strstr(fb_context_message(w->r.ctx), word) ||
        !strstr(fb_context_message(w->r.ctx), more))
        fail_msg("\"%s\" lacks %s or %s", fb_context_message(w->r.ctx), word, more);
    assert_null(w->r.tape.last);
    fb_context_clear(w->r.ctx);
}

static void products_and_norms_refuse_shapes_that_do_not_fit(void **state)
{
    wrong w;
    wrong_open(&w, *state);
    fb_tape *t = &w.r.tape;
    expect_shape(&w, fb_op_linear(t, &w.y, w.x, &w.w24, NULL, false), "w24",
                 "4 columns");
    expect_shape(&w, fb_op_linear(t, &w.y, w.x, &w.w34, &w.v4, false), "w34", "4");
    expect_shape(&w, fb_op_linear_act(t, &w.y, w.x, &w.w24, NULL, FB_ACT_GELU), "w24",
                 "4");
    expect_shape(&w, fb_op_norm(t, &w.y, w.x, NULL, &w.v3, &w.v4, 1), "norm", "v3");
    expect_shape(&w, fb_op_norm(t, &w.y, w.x, NULL, &w.v4, &w.v3, 1), "norm", "v3");
    fb_var *other;
    assert_int_equal(fb_tape_new_var(t, &other, FB_F32, 2, 4), FB_OK);
    expect_shape(&w, fb_op_norm(t, &w.y, w.x, other, &w.v4, &w.v4, 1), "norm",
                 "residual");
    rig_close(&w.r);
}

static void attention_refuses_widths_and_offsets_that_do_not_fit(void **state)
{
    static const int32_t good[] = {0, 1, 3}, late[] = {1, 2, 3}, far[] = {0, 1, 4},
                         back[] = {0, 2, 1, 3};
    wrong w;
    wrong_open(&w, *state);
    fb_tape *t = &w.r.tape;
    fb_var *qkv;
    expect_shape(&w, fb_op_attention(t, &w.y, w.x, good, 2, 1, false), "attention",
                 "4");
    assert_int_equal(fb_tape_new_var(t, &qkv, FB_F32, 3, 12), FB_OK);
    expect_shape(&w, fb_op_attention(t, &w.y, qkv, good, 2, 3, false), "attention",
                 "3 heads");
    expect_shape(&w, fb_op_attention(t, &w.y, qkv, good, 2, 0, false), "attention",
                 "0 heads");
    expect_shape(&w, fb_op_attention(t, &w.y, qkv, late, 2, 1, false), "attention",
                 "offset");
    expect_shape(&w, fb_op_attention(t, &w.y, qkv, far, 2, 1, false), "attention",
                 "3 rows");
    expect_shape(&w, fb_op_attention(t, &w.y, qkv, back, 3, 1, false), "attention",
                 "ascend");
    rig_close(&w.r);
}

static void lookups_refuse_rows_that_are_not_there(void **state)
{
    static const int32_t low[] = {0, -1, 0}, high[] = {0, 0, 3}, fine[] = {0, 1, 2};
    wrong w;
    wrong_open(&w, *state);
    fb_tape *t = &w.r.tape;
    fb_leaf *tables[2] = {&w.w34, &w.w24};
    const int32_t *const id[][2] = {{fine, fine}, {low, fine}, {high, fine}};
    expect_shape(&w, fb_op_embed(t, &w.y, NULL, tables, id[0], 2, 2), "w34", "w24");
    expect_shape(&w, fb_op_embed(t, &w.y, NULL, tables, id[1], 1, 3), "w34", "-1");
    expect_shape(&w, fb_op_embed(t, &w.y, NULL, tables, id[2], 1, 3), "w34", "row 3");
    expect_shape(&w, fb_op_embed(t, &w.y, w.x, tables, id[0], 1, 2), "embed", "[3, 4]");
    expect_shape(&w, fb_op_gather(t, &w.y, w.x, NULL, low, 3), "gather", "-1");
    expect_shape(&w, fb_op_gather(t, &w.y, w.x, NULL, high, 3), "gather", "row 3");
    expect_shape(&w, fb_op_join(t, &w.y, w.x, 2), "join", "3 rows by 2");
    expect_shape(&w, fb_op_join(t, &w.y, w.x, 0), "join", "by 0");
    fb_var *narrow;
    assert_int_equal(fb_tape_new_var(t, &narrow, FB_F32, 2, 3), FB_OK);
    expect_shape(&w, fb_op_gather(t, &w.y, w.x, narrow, fine, 3), "gather", "width");
    rig_close(&w.r);
}

static void losses_and_patches_refuse_what_does_not_fit(void **state)
{
    static const int32_t low[] = {0, -1, 0}, high[] = {0, 4, 3}, fine[] = {0, 1, 1};
    wrong w;
    wrong_open(&w, *state);
    fb_tape *t = &w.r.tape;
    fb_loss *loss;
    fb_tensor two = fb_tensor_new(w.r.arena, FB_F32, 2, 4);
    fb_tensor narrow = fb_tensor_new(w.r.arena, FB_F32, 2, 3);
    expect_shape(&w, fb_op_cross_entropy(t, &loss, w.x, low), "cross entropy", "-1");
    expect_shape(&w, fb_op_cross_entropy(t, &loss, w.x, high), "cross entropy",
                 "class 4 of 4");
    expect_shape(&w, fb_op_kld(t, &loss, w.x, &two, low), "kld", "-1");
    expect_shape(&w, fb_op_kld(t, &loss, w.x, &two, high), "kld", "patch 4 of 2");
    expect_shape(&w, fb_op_kld(t, &loss, w.x, &narrow, fine), "kld", "3 features");
    const uint8_t pixels[27] = {0};
    fb_patchify p = {1, 3, 2, {0}, {1, 1, 1}, NULL};
    expect_shape(&w, fb_op_patchify(t, &w.y, pixels, &p), "patchify", "3 pixels");
    p.grid = 0;
    expect_shape(&w, fb_op_patchify(t, &w.y, pixels, &p), "patchify", "0 patches");
    rig_close(&w.r);
}

static void contrast_and_lists_refuse_what_does_not_fit(void **state)
{
    static const int32_t low[] = {0, -1, 0}, high[] = {0, 1, 3}, fine[] = {0, 1, 1};
    wrong w;
    wrong_open(&w, *state);
    fb_tape *t = &w.r.tape;
    fb_leaf one = leaf_of(&w.r, "temperature", 1, 1);
    fb_contrast pairs = {.count = 3, .a_group = fine, .b_group = fine}, fewer = pairs;
    fewer.count = 2;
    fb_loss *loss;
    fb_var *narrow, *logits;
    assert_int_equal(fb_tape_new_var(t, &narrow, FB_F32, 3, 3), FB_OK);
    assert_int_equal(fb_tape_new_var(t, &logits, FB_F32, 3, 2), FB_OK);
    expect_shape(&w, fb_op_contrast(t, &loss, NULL, w.x, narrow, &one, &pairs),
                 "contrast", "[3, 4] against [3, 3]");
    expect_shape(&w, fb_op_contrast(t, &loss, NULL, w.x, w.x, &one, &fewer), "contrast",
                 "2 pairs for 3");
    expect_shape(&w, fb_op_contrast(t, &loss, NULL, w.x, w.x, &w.v3, &pairs), "v3",
                 "[3, 1]");
    expect_shape(&w, fb_op_list(t, &loss, w.x, &(fb_lists){fine, NULL, 1, 3, NULL}),
                 "list", "4 logits");
    expect_shape(&w, fb_op_list(t, &loss, logits, &(fb_lists){fine, NULL, 1, 0, NULL}),
                 "list", "0 rows");
    expect_shape(&w, fb_op_list(t, &loss, logits, &(fb_lists){fine, NULL, -1, 3, NULL}),
                 "list", "-1 lists");
    expect_shape(&w, fb_op_list(t, &loss, logits, &(fb_lists){low, NULL, 1, 3, NULL}),
                 "list 0", "row -1 of 3");
    expect_shape(&w, fb_op_list(t, &loss, logits, &(fb_lists){high, NULL, 3, 1, NULL}),
                 "list 2", "row 3 of 3");
    rig_close(&w.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_parameters_only_activations_get_gradients),
        cmocka_unit_test(parameter_gradients_accumulate_over_backward_passes),
        cmocka_unit_test(frozen_leaf_is_passed_through),
        cmocka_unit_test(frozen_scale_changes_no_other_gradient),
        cmocka_unit_test(embed_hands_its_gradient_on),
        cmocka_unit_test(dropout_depends_on_its_key_and_nothing_else),
        cmocka_unit_test(no_dropout_costs_nothing),
        cmocka_unit_test(patchify_is_normalised_and_gets_no_gradient),
        cmocka_unit_test(products_and_norms_refuse_shapes_that_do_not_fit),
        cmocka_unit_test(attention_refuses_widths_and_offsets_that_do_not_fit),
        cmocka_unit_test(lookups_refuse_rows_that_are_not_there),
        cmocka_unit_test(losses_and_patches_refuse_what_does_not_fit),
        cmocka_unit_test(contrast_and_lists_refuse_what_does_not_fit),
    };
    return RUN_ON_BOTH(tests);
}

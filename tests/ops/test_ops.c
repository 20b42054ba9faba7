/* test_ops.c - every operation on the reference backend: its backward through the tape
 * against finite differences, and on poison the same bits (op_differences.h). The contrastive and listwise losses
 * have test_ops_contrast.c.
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

#include "support/op_differences.h"

/* ---- the operations ------------------------------------------------------------- */

static fb_status build_linear(rig *r)
{
    return fb_op_linear(&r->tape, &r->y, r->x[0], r->leaves[0], r->leaves[1], false);
}

static fb_status build_linear_no_bias(rig *r)
{
    return fb_op_linear(&r->tape, &r->y, r->x[0], r->leaves[0], NULL, true);
}

static fb_status build_linear_act(rig *r)
{
    fb_activation act = strstr(r->g->name, "quick")  ? FB_ACT_QUICK_GELU
                        : strstr(r->g->name, "tanh") ? FB_ACT_GELU_TANH
                                                     : FB_ACT_GELU;
    return fb_op_linear_act(&r->tape, &r->y, r->x[0], r->leaves[0], r->leaves[1], act);
}

static void linear_agrees_with_differences(void **state)
{
    (void)state;
    check_rows((graph){"linear", NO_B, {3}, {4, 4}, {3, 1}, .build = build_linear},
               awkward, 3);
    check_rows(
        (graph){"linear of one", NO_B, {1}, {1, 1}, {1, 1}, .build = build_linear},
        awkward, 3);
    check_rows(
        (graph){
            "linear without bias", NO_B, {7}, {5}, {7}, .build = build_linear_no_bias},
        awkward, 3);
    /* ReLU bends where differences may step: test_ref_gradients has it */
    static const char *const names[] = {"linear and gelu", "linear and quick gelu",
                                        "linear and gelu by tanh"};
    for (int i = 0; i < 3; i++)
        check_rows(
            (graph){names[i], NO_B, {3}, {5, 5}, {3, 1}, .build = build_linear_act},
            awkward, 3);
}

static fb_status build_tanh(rig *r)
{
    return fb_op_tanh(&r->tape, &r->y, r->x[0]);
}

static void tanh_agrees_with_differences(void **state)
{
    (void)state;
    check_rows((graph){"tanh", NO_B, {3}, {0}, {0}, .build = build_tanh}, awkward, 3);
}

static fb_status build_act(rig *r)
{
    fb_activation act = strstr(r->g->name, "quick") ? FB_ACT_QUICK_GELU : FB_ACT_GELU;
    return fb_op_act(&r->tape, &r->y, r->x[0], act);
}

static void activations_agree_with_differences(void **state)
{
    (void)state;
    check_rows((graph){"gelu", NO_B, {3}, {0}, {0}, .build = build_act}, awkward, 3);
    check_rows((graph){"quick gelu", NO_B, {4}, {0}, {0}, .build = build_act}, awkward,
               3);
}

/* Differences step over the bend, so this is by hand: the slope is 0 or 1. */
static fb_status build_relu(rig *r)
{
    return fb_op_act(&r->tape, &r->y, r->x[0], FB_ACT_RELU);
}

static void relu_passes_what_is_positive(void **state)
{
    (void)state;
    const graph g = {"relu", {5, -1}, {9}, {0}, {0}, .build = build_relu};
    rig r;
    int positive = 0;
    rig_open(&r, &g, "ref");
    rig_backward(&r, true);
    const float *y = rig_read(&r, &r.y->value);
    for (int i = 0; i < 45; i++) {
        float x = r.input[0][i];
        assert_true(y[i] == (x > 0 ? x : 0));
        positive += x > 0;
    }
    assert_true(positive > 5 && positive < 40);
    const float *dx = rig_read(&r, &r.x[0]->grad);
    for (int i = 0; i < 45; i++)
        assert_true(dx[i] == (r.input[0][i] > 0 ? draw(20, i) : 0));
    rig_close(&r);
}

static fb_status build_multiply(rig *r)
{
    return fb_op_multiply(&r->tape, &r->y, r->x[0], r->x[1]);
}

/* Of a variable with itself: both of its gradients add up. */
static fb_status build_square(rig *r)
{
    return fb_op_multiply(&r->tape, &r->y, r->x[0], r->x[0]);
}

static void multiply_agrees_with_differences(void **state)
{
    (void)state;
    check_rows((graph){"multiply", {3, 3}, {3, 3}, {0}, {0}, .build = build_multiply},
               awkward, 3);
    check_rows((graph){"square", NO_B, {3}, {0}, {0}, .build = build_square}, awkward,
               3);
}

static fb_status build_norm(rig *r)
{
    return fb_op_norm(&r->tape, &r->y, r->x[0], r->x[1], r->leaves[0], r->leaves[1],
                      0.01f);
}

static void norm_agrees_with_differences(void **state)
{
    (void)state;
    graph g = {"norm", NO_B, {7}, {7, 7}, {1, 1}, .build = build_norm};
    check_rows(g, awkward, 3);
    g = (graph){"norm of one", NO_B, {1}, {1, 1}, {1, 1}, .build = build_norm};
    check_rows(g, awkward, 3);
    g = (graph){"norm with residual", {3, 3}, {7, 7}, {7, 7}, {1, 1},
                .build = build_norm};
    check_rows(g, awkward, 3);
    g.name = "norm with residual and dropout";
    g.dropout = 0.4f;
    check_rows(g, awkward, 3);
}

static fb_status build_dropout(rig *r)
{
    return fb_op_dropout(&r->tape, &r->y, r->x[0]);
}

static void dropout_agrees_with_differences(void **state)
{
    (void)state;
    graph g = {"dropout", NO_B, {9}, {0}, {0}, .build = build_dropout, .dropout = 0.4f};
    check_rows(g, awkward, 3);
}

static fb_status build_add(rig *r)
{
    bool own = r->g->rows[1] < 0; /* to itself */
    return fb_op_add(&r->tape, &r->y, r->x[0], r->x[own ? 0 : 1]);
}

static void add_agrees_with_differences(void **state)
{
    (void)state;
    graph g = {"add", {5, 5}, {7, 7}, {0}, {0}, .build = build_add};
    check(&g);
    g.dropout = 0.4f;
    check(&g);
    g = (graph){"add to itself",    {5, -1},        {7}, {0}, {0},
                .build = build_add, .dropout = 0.4f};
    check(&g);
}

static fb_status build_attention(rig *r)
{
    static const int32_t packed[] = {0, 3, 3, 4, 8}, none[] = {0, 0, 0};
    bool empty = r->g->rows[0] == 0;
    bool causal = strstr(r->g->name, "causal") != NULL;
    return fb_op_attention(&r->tape, &r->y, r->x[0], empty ? none : packed,
                           empty ? 2 : 4, r->g->columns[0] == 3 ? 1 : 2, causal);
}

static void attention_agrees_with_differences(void **state)
{
    (void)state;
    graph g = {"attention", {8, -1}, {12}, {0}, {0}, .build = build_attention};
    check(&g);
    g.name = "causal attention";
    check(&g);
    g.dropout = 0.3f;
    check(&g);
    g.name = "attention with dropout";
    check(&g);
    g = (graph){"attention, one head of one", {8, -1}, {3}, {0}, {0},
                .build = build_attention};
    check(&g);
    g = (graph){"attention of nothing",  {0, -1}, {12}, {0}, {0},
                .build = build_attention};
    check(&g);
}

static const int32_t ids0[] = {3, 0, 3, 3, 1}, ids1[] = {0, 1, 1, 0, 1},
                     ids2[] = {0, 0, 0, 0, 0};
static const int32_t *const ids[3] = {ids0, ids1, ids2};

static fb_status build_embed(rig *r)
{
    return fb_op_embed(&r->tape, &r->y, r->x[0], r->leaves, ids, 3, 5);
}

static fb_status build_embed_one_row(rig *r)
{
    return fb_op_embed(&r->tape, &r->y, r->x[0], r->leaves, ids, 1, r->g->rows[0]);
}

static void embed_agrees_with_differences(void **state)
{
    (void)state;
    graph g = {"embed", {-1, -1}, {0}, {5, 2, 1}, {3, 3, 3}, .build = build_embed};
    check(&g); /* rows 2 and 4 of the first table are never asked for */
    g = (graph){"embed on x", {5, -1}, {3}, {5, 2, 1}, {3, 3, 3}, .build = build_embed};
    check(&g);
    g = (graph){"embed one row", {1, -1}, {1}, {4}, {1}, .build = build_embed_one_row};
    check(&g);
    g.rows[0] = 0;
    check(&g);
}

static fb_status build_gather(rig *r)
{
    static const int32_t index[] = {2, 0, 2, 2};
    return fb_op_gather(&r->tape, &r->y, r->x[0], r->x[1], index, 4);
}

static fb_status build_gather_two(rig *r)
{
    static const int32_t index[] = {3, 0, 4, 3, 2, 0};
    return fb_op_gather(&r->tape, &r->y, r->x[0], r->x[1], index, 6);
}

static fb_status build_gather_none(rig *r)
{
    static const int32_t index[1] = {0};
    return fb_op_gather(&r->tape, &r->y, r->x[0], r->x[1], index, 0);
}

static void gather_agrees_with_differences(void **state)
{
    (void)state;
    check(&(graph){"gather", NO_B, {4}, {0}, {0}, .build = build_gather});
    graph two = {"gather from two",        {3, 2}, {3, 3}, {0}, {0},
                 .build = build_gather_two};
    check(&two);
    two.constant[1] = true;
    check(&two);
    two.constant[0] = true;
    two.constant[1] = false;
    check(&two);
    check(&(graph){
        "gather nothing", {3, 2}, {3, 3}, {0}, {0}, .build = build_gather_none});
    check(&(graph){
        "gather from an empty b", {3, 0}, {4, 4}, {0}, {0}, .build = build_gather});
}

static fb_status build_join(rig *r)
{
    return fb_op_join(&r->tape, &r->y, r->x[0], 2);
}

static fb_status build_join_and_add(rig *r)
{
    fb_var *joined;
    FB_TRY(fb_op_join(&r->tape, &joined, r->x[0], 2));
    FB_TRY(fb_op_multiply(&r->tape, &joined, joined, r->x[1]));
    return fb_op_multiply(&r->tape, &r->y, joined, r->x[1]);
}

static void join_agrees_with_differences(void **state)
{
    (void)state;
    check(&(graph){"join", {4, -1}, {3}, {0}, {0}, .build = build_join});
    check(&(graph){
        "join, multiplied", {4, 2}, {3, 6}, {0}, {0}, .build = build_join_and_add});
}

static const int32_t targets[] = {4, 0, 0, 2, 1};

static fb_status build_cross_entropy(rig *r)
{
    fb_var *logits;
    FB_TRY(fb_op_linear(&r->tape, &logits, r->x[0], r->leaves[0], NULL, true));
    return fb_op_cross_entropy(&r->tape, &r->loss[0], logits, targets);
}

static fb_status build_kld(rig *r)
{
    static const int32_t rows[] = {1, 0, 1, 2, 2};
    fb_var *logits;
    float features[15];
    fb_tensor *kept = fb_arena_alloc(r->arena, sizeof *kept);
    for (int64_t i = 0; i < 15; i++)
        features[i] = 2 * draw(30, i);
    *kept = fb_tensor_2d(rig_floats(r, features, 15), FB_F32, 3, 5);
    FB_TRY(fb_op_linear(&r->tape, &logits, r->x[0], r->leaves[0], NULL, true));
    return fb_op_kld(&r->tape, &r->loss[0], logits, kept, rows);
}

static fb_status build_two_losses(rig *r)
{
    fb_var *shared, *a, *b;
    FB_TRY(fb_op_tanh(&r->tape, &shared, r->x[0]));
    FB_TRY(fb_op_linear(&r->tape, &a, shared, r->leaves[0], NULL, true));
    FB_TRY(fb_op_cross_entropy(&r->tape, &r->loss[0], a, targets));
    FB_TRY(fb_op_linear(&r->tape, &b, shared, r->leaves[1], r->leaves[2], true));
    return fb_op_cross_entropy(&r->tape, &r->loss[1], b, targets);
}

static void losses_agree_with_differences(void **state)
{
    (void)state;
    check_rows(
        (graph){"cross entropy", NO_B, {3}, {5}, {3}, .build = build_cross_entropy},
        awkward, 3);
    check_rows((graph){"kld", NO_B, {3}, {5}, {3}, .build = build_kld}, awkward, 3);
    check_rows(
        (graph){
            "two losses", NO_B, {3}, {5, 6, 6}, {3, 3, 1}, .build = build_two_losses},
        awkward, 3);
}

/* x plus whole steps of `apart`, which of `levels` ones differs from number to number:
 * differences then never cross the edge of a ReLU or of a maximum. */
static fb_status keep_apart(rig *r, fb_var *x, float apart, int64_t levels, fb_var **y)
{
    int64_t rows = x->value.dims[0], columns = x->value.dims[1];
    int32_t *own = fb_arena_alloc(r->arena, (size_t)(rows + 1) * sizeof *own);
    float *steps =
        fb_arena_alloc(r->arena, (size_t)(rows * columns + 1) * sizeof *steps);
    fb_leaf *leaf = fb_arena_alloc(r->arena, sizeof *leaf);
    assert_true(own && steps && leaf);
    for (int64_t i = 0; i < rows * columns; i++) {
        int64_t level = (i / columns * 5 + i % columns * 7) % levels;
        steps[i] = apart * ((float)level - 0.5f * (float)(levels - 1));
        own[i / columns] = (int32_t)(i / columns);
    }
    steps = rig_floats(r, steps, rows * columns);
    *leaf = (fb_leaf){.name = "steps", .weight = {steps, rows, columns, 1, NULL}};
    const int32_t *const all[] = {own};
    return fb_op_embed(&r->tape, y, x, &leaf, all, 1, rows);
}

/* Running statistics that stay as they are: the tape's copies move. */
static fb_status batch_norm(rig *r, bool residual, bool relu, bool training)
{
    float host[14];
    for (int c = 0; c < 7; c++) {
        host[c] = 0.3f * draw(31, c);
        host[7 + c] = 0.5f + 0.3f * draw(32, c);
    }
    float *running = rig_floats(r, host, 14);
    const fb_batch_norm_leaves leaves = {r->leaves[0], r->leaves[1], running,
                                         running + 7};
    fb_var *add = residual ? r->x[1] : NULL;
    if (relu)
        FB_TRY(keep_apart(r, add, 12.0f, 2, &add));
    return fb_op_batch_norm(&r->tape, &r->y, r->x[0], add, &leaves,
                            (fb_batch_norm_options){0.01f, relu, training, 0.1f});
}

static fb_status build_batch_norm(rig *r)
{
    return batch_norm(r, false, false, true);
}

static fb_status build_batch_norm_residual(rig *r)
{
    return batch_norm(r, true, false, true);
}

static fb_status build_batch_norm_relu(rig *r)
{
    return batch_norm(r, true, true, true);
}

static fb_status build_batch_norm_running(rig *r)
{
    return batch_norm(r, true, true, false);
}

static fb_status build_batch_norm_of_itself(rig *r)
{
    r->x[1] = r->x[0];
    FB_TRY(batch_norm(r, true, false, true));
    r->x[1] = NULL;
    return FB_OK;
}

static void batch_norm_agrees_with_differences(void **state)
{
    (void)state;
    static const int64_t rows[] = {0, 5, 9}, running[] = {0, 1, 5};
    graph g = {"batch norm", NO_B, {7}, {7, 7}, {1, 1}, .build = build_batch_norm};
    check_rows(g, rows, 3);
    g.name = "batch norm plus its input";
    g.build = build_batch_norm_of_itself;
    check_rows(g, rows, 3);
    g = (graph){"batch norm with residual",        {5, 5}, {7, 7}, {7, 7}, {1, 1},
                .build = build_batch_norm_residual};
    check_rows(g, rows, 3);
    g.constant[1] = true;
    check_rows(g, rows, 3);
    g.constant[1] = false;
    g.constant[0] = true;
    check_rows(g, rows, 3);
    g.constant[0] = false;
    g.name = "batch norm with residual and ReLU";
    g.build = build_batch_norm_relu;
    check_rows(g, rows, 3);
    g.name = "batch norm by running statistics";
    g.build = build_batch_norm_running;
    check_rows(g, running, 3);
}

static fb_status build_max_pool(rig *r)
{
    const fb_max_pool p = {2, 4, 3, 3, 2, 1};
    fb_var *apart;
    FB_TRY(keep_apart(r, r->x[0], 2.2f, 12, &apart));
    return fb_op_max_pool(&r->tape, &r->y, apart, &p);
}

static fb_status build_mean_rows(rig *r)
{
    static const int32_t offsets[] = {0, 3, 3, 8};
    return fb_op_mean_rows(&r->tape, &r->y, r->x[0], offsets, 3);
}

static void pooling_agrees_with_differences(void **state)
{
    (void)state;
    graph g = {"max pool", {24, -1}, {5}, {0}, {0}, .build = build_max_pool};
    check(&g);
    check(&(graph){"mean of rows", {8, -1}, {5}, {0}, {0}, .build = build_mean_rows});
}

/* ---- variables and leaves that are used twice ----------------------------------- */

/* Any two of these on one x; a norm joins them. The later one's gradient comes first.
 */
static fb_status branch(rig *r, int kind, fb_var **y)
{
    static const int32_t reversed[] = {2, 1, 0};
    fb_var *inner;
    switch (kind) {
    case 0:
        return fb_op_linear(&r->tape, y, r->x[0], r->leaves[0], NULL, false);
    case 1:
        return fb_op_tanh(&r->tape, y, r->x[0]);
    case 2:
        return fb_op_gather(&r->tape, y, r->x[0], NULL, reversed, 3);
    case 3:
        return fb_op_embed(&r->tape, y, r->x[0], &r->leaves[0], ids, 1, 3);
    case 4:
        return fb_op_dropout(&r->tape, y, r->x[0]);
    default:
        FB_TRY(fb_op_linear_act(&r->tape, &inner, r->x[0], r->leaves[0], NULL,
                                FB_ACT_GELU));
        return fb_op_norm(&r->tape, y, inner, r->x[0], r->leaves[1], r->leaves[2],
                          0.01f);
    }
}

/* norm(a, b), on a copy of a: tanh and attention need their outputs in backward. */
static fb_status join(rig *r, fb_var *a, fb_var *b, fb_leaf *gamma, fb_leaf *beta)
{
    static const int32_t every[] = {0, 1, 2, 3, 4};
    fb_var *copy;
    FB_TRY(fb_op_gather(&r->tape, &copy, a, NULL, every, a->value.dims[0]));
    return fb_op_norm(&r->tape, &r->y, copy, b, gamma, beta, 0.01f);
}

static fb_status build_twice(rig *r)
{
    fb_var *a, *b;
    FB_TRY(branch(r, r->g->name[0] - '0', &a));
    FB_TRY(branch(r, r->g->name[1] - '0', &b));
    return join(r, a, b, r->leaves[1], r->leaves[2]);
}

static void variable_used_twice_sums_its_gradients(void **state)
{
    (void)state;
    for (int first = 0; first <= 5; first++)
        for (int second = 0; second <= 5; second++) {
            const char name[3] = {(char)('0' + first), (char)('0' + second), 0};
            graph g = {name,           {3, -1},   {4},
                       {4, 4, 4},      {4, 1, 1}, .build = build_twice,
                       .dropout = 0.3f};
            check(&g);
        }
}

static fb_status build_attention_twice(rig *r)
{
    static const int32_t offsets[] = {0, 1, 3};
    fb_var *a, *b;
    FB_TRY(fb_op_attention(&r->tape, &a, r->x[0], offsets, 2, 2, false));
    FB_TRY(fb_op_attention(&r->tape, &b, r->x[0], offsets, 2, 1, false));
    return join(r, a, b, r->leaves[0], r->leaves[1]);
}

static fb_status build_gather_one_has_a_gradient(rig *r)
{
    static const int32_t index[] = {3, 0, 4, 3, 2};
    fb_var *bounded, *both;
    FB_TRY(fb_op_gather(&r->tape, &both, r->x[0], r->x[1], index, 5));
    FB_TRY(fb_op_embed(&r->tape, &bounded, r->x[1], r->leaves, ids, 1, 5));
    return fb_op_norm(&r->tape, &r->y, both, bounded, r->leaves[1], r->leaves[2],
                      0.01f);
}

static void gradients_meet_in_every_combination(void **state)
{
    (void)state;
    check(&(graph){"attention twice",
                   {3, -1},
                   {12},
                   {4, 4},
                   {1, 1},
                   .build = build_attention_twice});
    graph g = {
        "gather where b has a gradient already", {3, 5}, {3, 3}, {4, 3, 3}, {3, 1, 1},
        .build = build_gather_one_has_a_gradient};
    check(&g);
}

static fb_status build_tied(rig *r)
{
    fb_var *a, *b;
    FB_TRY(fb_op_embed(&r->tape, &a, r->x[0], r->leaves, ids, 1, 5));
    FB_TRY(fb_op_linear(&r->tape, &b, a, r->leaves[0], NULL, false));
    return fb_op_linear(&r->tape, &r->y, b, r->leaves[1], NULL, false);
}

static void tied_parameter_sums_its_gradients(void **state)
{
    (void)state;
    check(&(graph){"tied", {5, -1}, {4}, {4, 3}, {4, 4}, .build = build_tied});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_agrees_with_differences),
        cmocka_unit_test(tanh_agrees_with_differences),
        cmocka_unit_test(activations_agree_with_differences),
        cmocka_unit_test(relu_passes_what_is_positive),
        cmocka_unit_test(multiply_agrees_with_differences),
        cmocka_unit_test(norm_agrees_with_differences),
        cmocka_unit_test(dropout_agrees_with_differences),
        cmocka_unit_test(add_agrees_with_differences),
        cmocka_unit_test(attention_agrees_with_differences),
        cmocka_unit_test(embed_agrees_with_differences),
        cmocka_unit_test(gather_agrees_with_differences),
        cmocka_unit_test(join_agrees_with_differences),
        cmocka_unit_test(losses_agree_with_differences),
        cmocka_unit_test(batch_norm_agrees_with_differences),
        cmocka_unit_test(pooling_agrees_with_differences),
        cmocka_unit_test(variable_used_twice_sums_its_gradients),
        cmocka_unit_test(gradients_meet_in_every_combination),
        cmocka_unit_test(tied_parameter_sums_its_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

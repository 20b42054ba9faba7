/* test_patch_pool.c - patches merged in front of the stream: the rows that come of them,
 * the batch that has fewer, and a model that is scored and trained with it.
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

#include "support/model_world.h"

enum { POOLED = 1, WIDTH = 32 }; /* 2 x 2 patches become one */

static bool pooled_open(world *w, const kind *k)
{
    fb_model_config c = config();
    ((fb_fashionbert_own *)(void *)&c.own)->pooled = POOLED;
    if (!world_open_as(w, k, c, FB_MODEL_TRAIN))
        return false;
    w->batch->mpm_count = 0;
    memset(w->batch->patch_masked, 0, IMAGES * P);
    return true;
}

#define EACH_POOLED(w)                                                                 \
    for (size_t kind_ = 0; kind_ < 3; kind_++)                                         \
        if (pooled_open(&(w), &kinds[kind_]))

static void put_rows(const world *w, fb_var *x, const float *numbers)
{
    for (int64_t i = 0; i < fb_tensor_count(&x->value); i++)
        if (x->value.dtype == FB_F32)
            ((float *)x->value.data)[i] = numbers[i];
        else
            ((fb_bf16 *)x->value.data)[i] = fb_bf16_from_f32(numbers[i]);
    (void)w;
}

static float number_of(const fb_var *x, int64_t at)
{
    return x->value.dtype == FB_F32
               ? ((const float *)x->value.data)[at]
               : fb_bf16_to_f32(((const fb_bf16 *)x->value.data)[at]);
}

/* LN(W of the four rows of an image end to end), gamma 1 and beta 0. */
static void merge_plainly(const float *w, const float *rows, double *y)
{
    double mean = 0, square = 0;
    for (int64_t o = 0; o < WIDTH; o++) {
        y[o] = 0;
        for (int64_t i = 0; i < 4 * WIDTH; i++)
            y[o] += (double)w[o * 4 * WIDTH + i] * (double)rows[i];
        mean += y[o] / WIDTH;
    }
    for (int64_t o = 0; o < WIDTH; o++)
        square += (y[o] - mean) * (y[o] - mean) / WIDTH;
    for (int64_t o = 0; o < WIDTH; o++)
        y[o] = (y[o] - mean) / sqrt(square);
}

static void a_row_is_a_linear_of_its_patches_end_to_end(void **state)
{
    (void)state;
    world w;
    EACH_POOLED(w)
    {
        float rows[IMAGES * P * WIDTH];
        fb_random r = fb_random_start(3, FB_STREAM_TEST, 1);
        fb_fashionbert *m = (fb_fashionbert *)w.m;
        fb_var *x, *y;
        begin(&w, false);
        must(&w, fb_tape_new_var(&w.tape, &x, w.be->dtype, IMAGES * P, WIDTH));
        for (int i = 0; i < IMAGES * P * WIDTH; i++)
            rows[i] = (float)fb_random_normal(&r);
        put_rows(&w, x, rows);
        must(&w, fb_patch_pool_forward(&w.tape, &m->pool, &y, x, 1e-12f));
        assert_int_equal(y->value.dims[0], IMAGES);
        for (int image = 0; image < IMAGES; image++) {
            double want[WIDTH];
            merge_plainly(fb_params_value(w.m->params, m->pool.weight),
                          rows + image * P * WIDTH, want);
            for (int i = 0; i < WIDTH; i++) {
                double apart = fabs((double)number_of(y, image * WIDTH + i) - want[i]);
                assert_true(apart <= 5 * kinds[kind_].tolerance * (1 + fabs(want[i])));
            }
        }
        world_close(&w);
    }
}

/* Of a 4 x 4 grid in blocks of 2 x 2: which patches meet, read off their numbers. */
static void neighbours_meet_and_begin_as_their_mean(void **state)
{
    (void)state;
    world w;
    assert_true(pooled_open(&w, &kinds[0]));
    fb_patch_pool pool = ((fb_fashionbert *)w.m)->pool;
    float *weight = fb_params_value(w.m->params, pool.weight);
    memset(weight, 0, WIDTH * 4 * WIDTH * sizeof *weight);
    fb_patch_pool_begin(&pool, w.m->params);
    pool.grid = 4;
    pool.side = pool.step = 2;
    fb_var *x, *y;
    begin(&w, false);
    must(&w, fb_tape_new_var(&w.tape, &x, FB_F32, 2 * 16, WIDTH));
    memset(x->value.data, 0, fb_tensor_bytes(&x->value));
    static const int blocks[4][4] = {
        {0, 1, 4, 5}, {2, 3, 6, 7}, {8, 9, 12, 13}, {10, 11, 14, 15}};
    for (int image = 0; image < 2; image++) /* number b is of block b's patches alone */
        for (int b = 0; b < 4; b++)
            for (int k = 0; k < 4; k++)
                ((float *)x->value.data)[(image * 16 + blocks[b][k]) * WIDTH + b] =
                    (float)(1 + k);
    must(&w, fb_patch_pool_forward(&w.tape, &pool, &y, x, 1e-12f));
    assert_int_equal(y->value.dims[0], 2 * 4);
    for (int row = 0; row < 8; row++)
        for (int i = 0; i < WIDTH; i++)
            assert_true((number_of(y, row * WIDTH + i) > 1) == (i == row % 4));
    world_close(&w);
}

static void sequences_shrink_and_words_keep_their_places(void **state)
{
    (void)state;
    world w;
    assert_true(pooled_open(&w, &kinds[0]));
    const fb_batch *before = w.batch, *b;
    begin(&w, false);
    must(&w, fb_patch_pool_batch(&w.tape, &((fb_fashionbert *)w.m)->pool, before, &b));
    assert_int_equal(fb_batch_rows(b), IMAGES * POOLED);
    for (int i = 0; i < PAIRS; i++) {
        int32_t text = b->pair_text[i], row = b->seq_offsets[i];
        int32_t words = text_offsets[text + 1] - text_offsets[text];
        assert_int_equal(b->seq_offsets[i + 1] - row, words + POOLED);
        assert_int_equal(b->cls_rows[i], row);
        for (int32_t k = 0; k < words; k++)
            assert_int_equal(b->row_source[row + k], text_offsets[text] + k);
        assert_int_equal(b->row_source[row + words], TOKENS + b->pair_image[i]);
    }
    assert_int_equal(b->mlm_count, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(b->row_source[b->mlm_rows[i]],
                         before->row_source[before->mlm_rows[i]]);
    w.batch->mpm_count = 1;
    assert_int_equal(
        fb_patch_pool_batch(&w.tape, &((fb_fashionbert *)w.m)->pool, before, &b),
        FB_E_STATE);
    world_close(&w);
}

static double total(world *w, const fb_loss_options *o)
{
    clear_gradients(w);
    return train(w, o).total;
}

static void gradients_reach_what_merges(void **state)
{
    (void)state;
    world w;
    const fb_loss_options o = {.enabled = {[FB_LOSS_MLM] = true, [FB_LOSS_TIA] = true},
                               .mode = FB_ADAPTIVE_FIXED};
    assert_true(pooled_open(&w, &kinds[0]));
    fb_leaf *leaf = ((fb_fashionbert *)w.m)->pool.weight;
    float *weight = fb_params_value(w.m->params, leaf);
    total(&w, &o);
    for (int64_t at = 5; at < WIDTH * 4 * WIDTH; at += 999) {
        const float h = 2e-2f, kept = weight[at];
        total(&w, &o);
        double got = (double)leaf->grad[at], side[2];
        for (int k = 0; k < 2; k++) {
            weight[at] = kept + (k ? h : -h);
            leaf->weight.version++;
            side[k] = total(&w, &o);
        }
        weight[at] = kept;
        leaf->weight.version++;
        double want = (side[1] - side[0]) / (2 * (double)h);
        assert_true(fabs(got - want) <= 2e-3 * (0.05 + fabs(want)));
        assert_true(fabs(got) > 0);
    }
    world_close(&w);
}

static void backends_score_alike(void **state)
{
    (void)state;
    world w;
    float scores[3][PAIRS];
    EACH_POOLED(w)
    {
        score(&w, w.batch, scores[kind_]);
        for (int i = 0; i < PAIRS; i++)
            assert_true(fabs((double)scores[kind_][i] - (double)scores[0][i]) <=
                        2 * kinds[kind_].tolerance);
        world_close(&w);
    }
}

static void a_configuration_is_read_back_and_checked(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        fb_status status;
        int32_t count;
    } cases[] = {{"{\"fashionbert\": {\"pooled_patches\": 16}}", FB_OK, 16},
                 {"{\"fashionbert\": {}}", FB_OK, 0},
                 {"{\"fashionbert\": {\"pooled_patches\": 64}}", FB_E_FORMAT, 0},
                 {"{\"fashionbert\": {\"pooled_patches\": 15}}", FB_E_FORMAT, 0},
                 {"{\"fashionbert\": {\"pooled_patches\": 1}}", FB_E_FORMAT, 0},
                 {"{\"fashionbert\": {\"pooled_patches\": -4}}", FB_E_FORMAT, 0},
                 {"{\"fashionbert\": {\"pooled_patches\": 16, \"regions\": \"yes\", "
                  "\"region_width\": 4, \"region_most\": 9}}",
                  FB_E_FORMAT, 0}};
    fb_context *ctx = fb_context_create();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fb_model_config c;
        assert_int_equal(fb_model_config_preset(ctx, &c, "mini"), FB_OK);
        fb_context_clear(ctx);
        assert_int_equal(fb_model_config_parse(ctx, &c, "test", cases[i].text,
                                               strlen(cases[i].text)),
                         cases[i].status);
        assert_int_equal(fb_patch_pool_count(&c), cases[i].count);
    }
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_a_linear_of_its_patches_end_to_end),
        cmocka_unit_test(neighbours_meet_and_begin_as_their_mean),
        cmocka_unit_test(sequences_shrink_and_words_keep_their_places),
        cmocka_unit_test(gradients_reach_what_merges),
        cmocka_unit_test(backends_score_alike),
        cmocka_unit_test(a_configuration_is_read_back_and_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

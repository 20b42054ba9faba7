/* test_batch.c - packing of pairs into sequences, and the bounds of a batch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tensor/batch.h"

static void pairs_are_packed_end_to_end(void **state)
{
    (void)state;
    const fb_batch_limits limits = {.pairs = 3,
                                    .texts = 2,
                                    .images = 2,
                                    .text_tokens = 5,
                                    .patches = 2,
                                    .image_size = 4};
    fb_batch *b = NULL;
    assert_int_equal(fb_batch_create(NULL, &b, &limits, 3), FB_OK);
    b->pairs = 3;
    b->texts = 2;
    b->images = 2;
    memcpy(b->text_offsets, (int32_t[]){0, 3, 5}, 3 * sizeof(int32_t));
    memcpy(b->pair_text, (int32_t[]){1, 0, 0}, 3 * sizeof(int32_t));
    memcpy(b->pair_image, (int32_t[]){0, 1, 0}, 3 * sizeof(int32_t));
    fb_batch_pack(b);
    const int32_t offsets[] = {0, 4, 9, 14}, cls[] = {0, 4, 9};
    const int32_t source[] = {3, 4, 5, 6, 0, 1, 2, 7, 8, 0, 1, 2, 5, 6};
    assert_memory_equal(b->seq_offsets, offsets, sizeof offsets);
    assert_memory_equal(b->cls_rows, cls, sizeof cls);
    assert_memory_equal(b->row_source, source, sizeof source);
    assert_int_equal(fb_batch_tokens(b), 14);
    assert_int_equal(fb_batch_text_tokens(b), 5);
    fb_batch_free(b);
}

static void batch_without_pairs_has_no_tokens(void **state)
{
    (void)state;
    const fb_batch_limits limits = {1, 1, 1, 1, 1, 1};
    fb_batch *b = NULL;
    assert_int_equal(fb_batch_create(NULL, &b, &limits, 1), FB_OK);
    fb_batch_pack(b);
    assert_int_equal(fb_batch_tokens(b), 0);
    fb_batch_free(b);
    fb_batch_free(NULL);
}

static void every_pair_may_use_the_longest_text(void **state)
{
    (void)state;
    const fb_batch_limits limits = {.pairs = 8,
                                    .texts = 1,
                                    .images = 1,
                                    .text_tokens = 7,
                                    .patches = 4,
                                    .image_size = 2};
    fb_batch *b = NULL;
    assert_int_equal(fb_batch_create(NULL, &b, &limits, 7), FB_OK);
    b->pairs = 8;
    b->texts = b->images = 1;
    b->text_offsets[1] = 7;
    fb_batch_pack(b);
    assert_int_equal(fb_batch_tokens(b), 8 * 11);
    for (int i = 0; i < 8 * 7; i++) /* room for a mask on every row */
        b->mlm_rows[i] = b->mlm_targets[i] = i;
    for (int i = 0; i < 8 * 4; i++)
        b->mpm_rows[i] = b->mpm_patches[i] = i;
    b->pixels[2 * 2 * 3 - 1] = 1;
    b->patch_masked[3] = 1;
    fb_batch_free(b);
}

/* Images of 2, 1 and 3 regions; the batch is filled twice, the second time backwards. */
static void regions_lie_row_behind_row(void **state)
{
    (void)state;
    enum { F = 2 };
    const fb_batch_limits limits = {3, 1, 3, 3, 3, 1};
    const fb_region_kind kind = {F, true, true};
    const fb_bf16 features[3 * F] = {1, 2, 3, 4, 5, 6};
    const float boxes[12] = {0, 0, .1f, .2f, 0, 0, .3f, .4f, 0, 0, .5f, .6f};
    const float scores[3] = {.9f, .8f, .7f};
    const int32_t classes[3] = {7, 8, 9}, counts[3] = {2, 1, 3};
    fb_batch *b = NULL;
    assert_int_equal(fb_batch_create_regions(NULL, &b, &limits, 3, &kind), FB_OK);
    assert_true(b->regions);
    for (int turn = 0; turn < 2; turn++) {
        fb_batch_clear(b);
        int32_t text = fb_batch_add_text(b, (int32_t[]){2, 5, 3}, 3), rows = 0;
        for (int i = 0; i < 3; i++) {
            int32_t n = counts[turn ? 2 - i : i];
            const fb_regions r = {n, features, boxes, classes, scores};
            assert_int_equal(fb_batch_add_regions(b, &r), i);
            assert_int_equal(b->image_offsets[i], rows);
            assert_int_equal(fb_batch_image_rows(b, i), n);
            assert_memory_equal(b->features + rows * F, features,
                                (size_t)n * F * sizeof *features);
            assert_memory_equal(b->boxes + rows * 4, boxes,
                                (size_t)n * 4 * sizeof *boxes);
            assert_int_equal(b->region_classes[rows + n - 1], classes[n - 1]);
            assert_true(b->region_scores[rows + n - 1] == scores[n - 1]);
            rows += n;
        }
        assert_int_equal(fb_batch_rows(b), 6);
        fb_batch_add_pair(b, -1, text, 2, 1);
        fb_batch_add_pair(b, -1, text, 0, 0);
        fb_batch_pack(b);
        const int32_t there[] = {0, 1, 2, 6, 7, 8, 0, 1, 2, 3, 4};
        const int32_t back[] = {0, 1, 2, 7, 8, 0, 1, 2, 3, 4, 5};
        assert_memory_equal(b->row_source, turn ? back : there, sizeof there);
        assert_int_equal(b->seq_offsets[1], turn ? 5 : 6);
        assert_int_equal(fb_batch_tokens(b), 11);
    }
    fb_batch_free(b);
}

static void impossible_limits_are_refused(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_batch *b = NULL;
    fb_batch_limits limits = {0, 1, 1, 1, 1, 1};
    assert_int_equal(fb_batch_create(ctx, &b, &limits, 1), FB_E_USAGE);
    limits = (fb_batch_limits){INT32_MAX, 1, 1, 1, 64, 256};
    assert_int_equal(fb_batch_create(ctx, &b, &limits, 64), FB_E_LIMIT);
    limits = (fb_batch_limits){1, 1, INT32_MAX, 1, 64, 256};
    assert_int_equal(fb_batch_create(ctx, &b, &limits, 64), FB_E_LIMIT);
    assert_null(b);
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_packed_end_to_end),
        cmocka_unit_test(batch_without_pairs_has_no_tokens),
        cmocka_unit_test(every_pair_may_use_the_longest_text),
        cmocka_unit_test(regions_lie_row_behind_row),
        cmocka_unit_test(impossible_limits_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

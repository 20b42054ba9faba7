/* test_soft_targets.c - what lists should say where the vectors have a share in it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "models/fashionbert/soft_targets.h"

/* Two lists of three items' pairs: of image 0 over texts 0, 2 and 2 again, as an item
 * with too few others has it, and of text 1 over images 1, 0, 2. */
enum { ITEMS = 3, PAIRS = 5, LISTS = 2, LENGTH = 3 };

static int32_t pair_text[PAIRS] = {0, 1, 2, 1, 1};
static int32_t pair_image[PAIRS] = {0, 1, 0, 0, 2};
static int32_t members[LISTS * LENGTH] = {0, 2, 2, 1, 3, 4};
/* rows images, columns texts */
static float similarity[ITEMS * ITEMS] = {0.5f, -0.25f, 0.75f, 9, 0.125f,
                                          9,    9,      0.25f, 9};

static void make(double scale, double share, double *out)
{
    fb_context *ctx = fb_context_create();
    fb_backend *be;
    fb_arena *arena = fb_arena_create(1 << 12);
    fb_tape tape = {0};
    assert_int_equal(fb_backend_create(ctx, &be, "ref", "f32", 1), FB_OK);
    fb_tape_begin(&tape, ctx, be, arena, true);
    fb_hard_pairs pairs = {
        .batch = {.pairs = PAIRS, .pair_text = pair_text, .pair_image = pair_image},
        .lists = LISTS,
        .length = LENGTH,
        .members = members};
    fb_tensor s = fb_tensor_2d(similarity, FB_F32, ITEMS, ITEMS);
    float *targets;
    assert_int_equal(fb_soft_targets(&tape, &targets, &pairs, &s, scale, share), FB_OK);
    for (int i = 0; i < LISTS * LENGTH; i++)
        out[i] = (double)targets[i];
    fb_arena_free(arena);
    fb_backend_free(be);
    fb_context_free(ctx);
}

static void near(double got, double want)
{
    if (!(fabs(got - want) < 1e-6))
        fail_msg("%.9g is not %.9g", got, want);
}

static void no_share_is_the_right_one_alone(void **state)
{
    (void)state;
    double got[LISTS * LENGTH];
    make(4, 0, got);
    for (int i = 0; i < LISTS * LENGTH; i++)
        near(got[i], i % LENGTH == 0);
}

static void the_share_follows_the_similarities(void **state)
{
    (void)state;
    double got[LISTS * LENGTH], share = 0.25;
    make(4, share, got);
    /* 4 times similarity: of image 0 over texts 2, 3, 3; of text 1 over images .5, -1,
     * 1 */
    double first = exp(2) + 2 * exp(3), second = exp(0.5) + exp(-1) + exp(1);
    near(got[0], 1 - share + share * exp(2) / first);
    near(got[1], share * exp(3) / first);
    near(got[2], share * exp(3) / first);
    near(got[3], 1 - share + share * exp(0.5) / second);
    near(got[4], share * exp(-1) / second);
    near(got[5], share * exp(1) / second);
}

static void large_scales_stay_finite(void **state)
{
    (void)state;
    double got[LISTS * LENGTH];
    make(1e6, 1, got);
    near(got[0], 0);
    near(got[1], 0.5);
    near(got[2], 0.5);
    near(got[5], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_share_is_the_right_one_alone),
        cmocka_unit_test(the_share_follows_the_similarities),
        cmocka_unit_test(large_scales_stay_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

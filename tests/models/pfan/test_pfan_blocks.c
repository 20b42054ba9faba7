/* test_pfan_blocks.c - the blocks of a grid that a box overlaps most, worked out by hand.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "models/pfan/pfan_system.h"

enum { K = FB_POSITION_BLOCKS, GRID = FB_PFAN_GRID };

static void near(float got, double want)
{
    if (!(fabs((double)got - want) <= 1e-6))
        fail_msg("%.8g, not %.8g", (double)got, want);
}

/* A cell of an 8 x 8 grid is four blocks; the rest are pads. */
static void a_patch_is_its_four_blocks(void **state)
{
    const float box[4] = {3 / 8.0f, 5 / 8.0f, 4 / 8.0f, 6 / 8.0f};
    static const int32_t want[] = {6 * GRID + 10, 6 * GRID + 11, 7 * GRID + 10,
                                   7 * GRID + 11};
    int32_t ids[K];
    float overlap[K];
    (void)state;
    fb_pfan_blocks(box, ids, overlap);
    for (int k = 0; k < 4; k++) {
        assert_int_equal(ids[k], want[k]);
        near(overlap[k], 0.25);
    }
    for (int k = 4; k < K; k++) {
        assert_int_equal(ids[k], FB_PFAN_PAD);
        assert_true(overlap[k] == 0.0f);
    }
}

/* Half a block more to the right: weights by area, largest first. */
static void weights_are_overlaps(void **state)
{
    const float box[4] = {0, 0, 1.5f / GRID, 1.0f / GRID};
    int32_t ids[K];
    float overlap[K];
    (void)state;
    fb_pfan_blocks(box, ids, overlap);
    assert_int_equal(ids[0], 0);
    assert_int_equal(ids[1], GRID);
    near(overlap[0], 2 / 3.0);
    near(overlap[1], 1 / 3.0);
    assert_int_equal(ids[2], FB_PFAN_PAD);
}

/* All blocks are covered alike: those around the middle, none twice. */
static void a_whole_image_is_its_middle(void **state)
{
    const float box[4] = {0, 0, 1, 1};
    int32_t ids[K];
    float overlap[K];
    (void)state;
    fb_pfan_blocks(box, ids, overlap);
    assert_int_equal(ids[0], 7 * GRID + 7);
    assert_int_equal(ids[3], 8 * GRID + 8);
    for (int k = 0; k < K; k++) {
        near(overlap[k], 1.0 / K);
        assert_in_range(ids[k] / GRID, 5, 10);
        assert_in_range(ids[k] % GRID, 5, 10);
        for (int other = 0; other < k; other++)
            assert_int_not_equal(ids[k], ids[other]);
    }
}

static void a_box_of_no_area_is_pads(void **state)
{
    const float box[4] = {0.5f, 0.5f, 0.5f, 0.7f};
    int32_t ids[K];
    float overlap[K];
    (void)state;
    fb_pfan_blocks(box, ids, overlap);
    for (int k = 0; k < K; k++)
        assert_true(ids[k] == FB_PFAN_PAD && overlap[k] == 0.0f);
}

/* A box that reaches over the image's edge counts what lies in it. */
static void what_lies_outside_does_not_count(void **state)
{
    const float box[4] = {-0.5f, -1, 1.0f / GRID, 1.0f / GRID};
    int32_t ids[K];
    float overlap[K];
    (void)state;
    fb_pfan_blocks(box, ids, overlap);
    assert_int_equal(ids[0], 0);
    near(overlap[0], 1);
    assert_int_equal(ids[1], FB_PFAN_PAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_patch_is_its_four_blocks),
        cmocka_unit_test(weights_are_overlaps),
        cmocka_unit_test(a_whole_image_is_its_middle),
        cmocka_unit_test(a_box_of_no_area_is_pads),
        cmocka_unit_test(what_lies_outside_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

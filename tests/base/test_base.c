/* test_base.c - statuses, arenas, random numbers, clocks and times of base/, and views.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/progress.h"
#include "base/random.h"
#include "base/status.h"
#include "tensor/tensor.h"

#include <math.h>
#include <stdlib.h>

static void failure_leaves_its_code_and_sentence(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    assert_string_equal(fb_context_message(ctx), "");
    assert_int_equal(fb_fail(ctx, FB_E_SHAPE, "row %d of %s", 3, "x.csv"), FB_E_SHAPE);
    assert_string_equal(fb_context_message(ctx), "row 3 of x.csv");
    assert_int_equal(fb_fail_in(ctx, "import"), FB_E_SHAPE);
    assert_string_equal(fb_context_message(ctx), "import: row 3 of x.csv");
    fb_context_clear(ctx);
    assert_string_equal(fb_context_message(ctx), "");
    assert_int_equal(ctx->status, FB_OK);
    fb_context_free(ctx);
}

static void failure_without_a_context_returns_the_code(void **state)
{
    (void)state;
    assert_int_equal(fb_fail(NULL, FB_E_IO, "nobody reads %s", "this"), FB_E_IO);
    assert_int_not_equal(fb_fail_in(NULL, "here"), FB_OK);
    assert_string_equal(fb_context_message(NULL), "");
    fb_context_clear(NULL);
    fb_context_free(NULL);
}

static void long_sentence_is_cut_between_characters(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    char text[3000] = "a";
    for (size_t i = 1; i + 3 < sizeof text; i += 3)
        memcpy(text + i, "\xe7\xb4\x85", 3);
    (void)fb_fail(ctx, FB_E_IO, "%s", text);
    size_t length = strlen(ctx->message);
    assert_true(length < sizeof ctx->message);
    assert_true(length > sizeof ctx->message - 4);
    assert_int_equal((length - 1) % 3, 0);
    fb_context_free(ctx);
}

static void every_status_has_a_name_and_a_meaning(void **state)
{
    (void)state;
    assert_string_equal(fb_status_name(FB_OK), "FB_OK");
    assert_string_equal(fb_status_name(FB_E_STATE), "FB_E_STATE");
    assert_string_equal(fb_status_text(FB_E_MEMORY), "out of memory");
    int outside = 4711;
    fb_status unknown;
    memcpy(&unknown, &outside, sizeof unknown);
    assert_non_null(fb_status_name(unknown));
    assert_non_null(fb_status_text(unknown));
}

static void arena_memory_is_aligned_and_apart(void **state)
{
    (void)state;
    fb_arena *arena = fb_arena_create(256);
    unsigned char *blocks[40];
    for (size_t i = 0; i < 40; i++) {
        blocks[i] = fb_arena_alloc(arena, 1 + i * 7);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 64, 0);
        memset(blocks[i], (int)i, 1 + i * 7);
    }
    for (size_t i = 0; i < 40; i++)
        for (size_t k = 0; k < 1 + i * 7; k++)
            assert_int_equal(blocks[i][k], i);
    fb_arena_free(arena);
}

static void use_a_step(fb_arena *arena)
{
    for (size_t i = 1; i <= 50; i++)
        assert_non_null(fb_arena_alloc(arena, i * 100));
}

static void repeated_step_asks_the_system_for_nothing(void **state)
{
    (void)state;
    fb_arena *arena = fb_arena_create(1000);
    use_a_step(arena);
    assert_true(fb_arena_system_allocations(arena) > 2);
    fb_arena_reset(arena);
    int64_t before = fb_arena_system_allocations(arena);
    size_t peak = fb_arena_peak_bytes(arena);
    for (int step = 0; step < 5; step++) {
        use_a_step(arena);
        fb_arena_reset(arena);
    }
    assert_int_equal(fb_arena_system_allocations(arena), before);
    assert_int_equal(fb_arena_peak_bytes(arena), peak);
    fb_arena_free(arena);
}

static void restored_arena_hands_the_same_memory_out_again(void **state)
{
    (void)state;
    fb_arena *arena = fb_arena_create(512);
    char *kept = fb_arena_strdup(arena, "kept");
    fb_arena_mark mark = fb_arena_save(arena);
    void *first = fb_arena_alloc(arena, 100);
    for (int i = 0; i < 20; i++)
        assert_non_null(fb_arena_alloc(arena, 300));
    int64_t before = fb_arena_system_allocations(arena);
    size_t peak = fb_arena_peak_bytes(arena);
    fb_arena_restore(arena, mark);
    assert_ptr_equal(fb_arena_alloc(arena, 100), first);
    for (int i = 0; i < 20; i++)
        assert_non_null(fb_arena_alloc(arena, 300));
    assert_int_equal(fb_arena_system_allocations(arena), before);
    assert_int_equal(fb_arena_peak_bytes(arena), peak);
    assert_string_equal(kept, "kept");
    fb_arena_free(arena);
}

static void arena_mark_taken_when_empty_can_be_restored(void **state)
{
    (void)state;
    fb_arena *arena = fb_arena_create(512);
    fb_arena_mark mark = fb_arena_save(arena);
    fb_arena_restore(arena, mark);
    void *first = fb_arena_alloc(arena, 8);
    fb_arena_restore(arena, mark);
    assert_ptr_equal(fb_arena_alloc(arena, 8), first);
    fb_arena_free(arena);
}

static void impossible_sizes_give_null_and_leave_the_arena_usable(void **state)
{
    (void)state;
    fb_arena *arena = fb_arena_create(512);
    assert_null(fb_arena_alloc(arena, SIZE_MAX));
    assert_null(fb_arena_alloc(arena, SIZE_MAX - 64));
    assert_non_null(fb_arena_alloc(arena, 0));
    unsigned char *zeros = fb_arena_alloc_zero(arena, 600);
    for (int i = 0; i < 600; i++)
        assert_int_equal(zeros[i], 0);
    fb_tensor t = fb_tensor_new(arena, FB_F32, INT64_MAX / 4, 16);
    assert_null(t.data);
    fb_arena_free(arena);
}

static void same_key_gives_the_same_bits(void **state)
{
    (void)state;
    fb_random a = fb_random_start(7, FB_STREAM_TEST, 3);
    fb_random b = fb_random_start(7, FB_STREAM_TEST, 3);
    fb_random other_step = fb_random_start(7, FB_STREAM_TEST, 4);
    fb_random other_stream = fb_random_start(7, FB_STREAM_INIT, 3);
    int same_step = 0, same_stream = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t bits = fb_random_next(&a);
        assert_true(bits == fb_random_next(&b));
        same_step += bits == fb_random_next(&other_step);
        same_stream += bits == fb_random_next(&other_stream);
    }
    assert_int_equal(same_step, 0);
    assert_int_equal(same_stream, 0);
}

static void bits_never_change_between_releases(void **state)
{
    (void)state;
    /* splitmix64 of seed 0 and of seed 1, as published. */
    assert_true(fb_random_mix(0) == 0xe220a8397b1dcdafu);
    assert_true(fb_random_mix(1) == 0x910a2dec89025cc1u);
}

static void draws_below_a_bound_are_uniform(void **state)
{
    (void)state;
    enum { BINS = 10, DRAWS = 100000 };
    fb_random r = fb_random_start(1, FB_STREAM_TEST, 0);
    uint64_t key = fb_random_key(1, FB_STREAM_TEST, 1);
    double drawn[BINS] = {0}, hashed[BINS] = {0};
    for (uint32_t i = 0; i < DRAWS; i++) {
        drawn[fb_random_below(&r, BINS)]++;
        hashed[((uint64_t)fb_random_hash32(key, i) * BINS) >> 32]++;
    }
    double chi_drawn = 0, chi_hashed = 0, want = (double)DRAWS / BINS;
    for (int i = 0; i < BINS; i++) {
        chi_drawn += (drawn[i] - want) * (drawn[i] - want) / want;
        chi_hashed += (hashed[i] - want) * (hashed[i] - want) / want;
    }
    assert_true(chi_drawn <=
                27.88); /* 9 degrees of freedom: one seed in 1000 is above */
    assert_true(chi_hashed <= 27.88);
}

static void normal_draws_have_mean_0_and_variance_1(void **state)
{
    (void)state;
    enum { DRAWS = 100000 };
    fb_random r = fb_random_start(2, FB_STREAM_TEST, 0);
    double sum = 0, squares = 0;
    for (int i = 0; i < DRAWS; i++) {
        double x = fb_random_normal(&r);
        sum += x;
        squares += x * x;
    }
    assert_true(fabs(sum / DRAWS) <= 0.0127); /* four standard errors */
    assert_true(fabs(squares / DRAWS - 1) <= 0.0179);
}

static void shuffle_is_a_permutation_and_moves(void **state)
{
    (void)state;
    int32_t items[1000], seen[1000] = {0}, fixed = 0;
    for (int32_t i = 0; i < 1000; i++)
        items[i] = i;
    fb_random r = fb_random_start(3, FB_STREAM_TEST, 0);
    fb_random_shuffle(&r, items, 1000);
    for (int32_t i = 0; i < 1000; i++) {
        assert_in_range(items[i], 0, 999);
        seen[items[i]]++;
        fixed += items[i] == i;
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(seen[i], 1);
    assert_true(fixed <= 10);
    fb_random_shuffle(&r, items, 0);
    fb_random_shuffle(&r, items, 1);
}

static void monotonic_clock_never_goes_back(void **state)
{
    (void)state;
    double last = fb_clock_s();
    for (int i = 0; i < 1000; i++) {
        double now = fb_clock_s();
        assert_true(now >= last);
        last = now;
    }
    assert_true(fb_clock_wall_s() > 1.6e9);
}

static void times_are_written_as_people_read_them(void **state)
{
    (void)state;
    const struct {
        double seconds;
        const char *text;
    } cases[] = {{0, "0:00"},   {59.4, "0:59"},        {59.6, "1:00"},
                 {123, "2:03"}, {3599.7, "1:00:00"},   {3723, "1:02:03"},
                 {-5, "0:00"},  {(double)NAN, "0:00"}, {1e300, "999:59:59"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[16];
        fb_progress_format_time(cases[i].seconds, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void tensor_describes_its_shape(void **state)
{
    (void)state;
    char text[96];
    fb_tensor t = fb_tensor_2d(NULL, FB_BF16, 3, 256);
    assert_string_equal(fb_tensor_describe(&t, text), "[3, 256] bf16");
    assert_int_equal(fb_tensor_count(&t), 768);
    assert_int_equal(fb_tensor_bytes(&t), 1536);
    fb_tensor scalar = {.dtype = FB_F32};
    assert_int_equal(fb_tensor_count(&scalar), 1);
    fb_tensor huge = {NULL, FB_U8, 4, {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}};
    assert_true(strlen(fb_tensor_describe(&huge, text)) < sizeof text);
}

static void tensors_overlap_only_where_they_share_a_byte(void **state)
{
    (void)state;
    float data[8];
    fb_tensor low = fb_tensor_1d(data, FB_F32, 4);
    fb_tensor high = fb_tensor_1d(data + 4, FB_F32, 4);
    fb_tensor middle = fb_tensor_1d(data + 3, FB_F32, 2);
    fb_tensor empty = fb_tensor_1d(data + 1, FB_F32, 0);
    assert_false(fb_tensor_overlaps(&low, &high));
    assert_true(fb_tensor_overlaps(&low, &middle));
    assert_true(fb_tensor_overlaps(&middle, &high));
    assert_false(fb_tensor_overlaps(&low, &empty));
    assert_true(fb_tensor_same_shape(&low, &high));
    assert_false(fb_tensor_same_shape(&low, &middle));
}

static void bf16_rounds_to_nearest_even_and_keeps_nan(void **state)
{
    (void)state;
    assert_int_equal(fb_bf16_from_f32(1.0f), 0x3f80);
    assert_int_equal(fb_bf16_from_f32(0x1.01p0f), 0x3f80);   /* half way: to even */
    assert_int_equal(fb_bf16_from_f32(0x1.03p0f), 0x3f82);   /* half way: to even */
    assert_int_equal(fb_bf16_from_f32(0x1.0102p0f), 0x3f81); /* above half */
    assert_int_equal(fb_bf16_from_f32(3.4e38f), 0x7f80);     /* to infinity */
    assert_true(isnan(fb_bf16_to_f32(fb_bf16_from_f32(NAN))));
    for (uint32_t h = 0; h < 0x7f80; h++)
        assert_int_equal(fb_bf16_from_f32(fb_bf16_to_f32((fb_bf16)h)), h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failure_leaves_its_code_and_sentence),
        cmocka_unit_test(failure_without_a_context_returns_the_code),
        cmocka_unit_test(long_sentence_is_cut_between_characters),
        cmocka_unit_test(every_status_has_a_name_and_a_meaning),
        cmocka_unit_test(arena_memory_is_aligned_and_apart),
        cmocka_unit_test(repeated_step_asks_the_system_for_nothing),
        cmocka_unit_test(restored_arena_hands_the_same_memory_out_again),
        cmocka_unit_test(arena_mark_taken_when_empty_can_be_restored),
        cmocka_unit_test(impossible_sizes_give_null_and_leave_the_arena_usable),
        cmocka_unit_test(same_key_gives_the_same_bits),
        cmocka_unit_test(bits_never_change_between_releases),
        cmocka_unit_test(draws_below_a_bound_are_uniform),
        cmocka_unit_test(normal_draws_have_mean_0_and_variance_1),
        cmocka_unit_test(shuffle_is_a_permutation_and_moves),
        cmocka_unit_test(monotonic_clock_never_goes_back),
        cmocka_unit_test(times_are_written_as_people_read_them),
        cmocka_unit_test(tensor_describes_its_shape),
        cmocka_unit_test(tensors_overlap_only_where_they_share_a_byte),
        cmocka_unit_test(bf16_rounds_to_nearest_even_and_keeps_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

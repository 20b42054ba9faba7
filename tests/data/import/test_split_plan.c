/* test_split_plan.c - that splits follow keys alone, that added rows move no other, and
 * that what repeats never straddles.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "data/import/split_plan.h"

static const fb_split_shares shares_90_5_5 = {{90, 5, 5}};

static uint64_t key_of(const char *prefix, int32_t i)
{
    char key[32];
    int length = snprintf(key, sizeof key, "%s%d", prefix, (int)i);
    return fb_split_key_hash(key, (size_t)length);
}

/* A look that no other number's is near to. */
static fb_look look_of(uint64_t number)
{
    fb_look look;
    fb_random r = fb_random_start(number, FB_STREAM_TEST, 1);
    for (int w = 0; w < 4; w++)
        look.signs[w] = fb_random_next(&r);
    look.signs[3] &= UINT64_MAX >> 1;
    for (int c = 0; c < FB_LOOK_COLOURS; c++)
        look.colour[c] = (uint8_t)fb_random_below(&r, 256);
    return look;
}

static fb_look turned(fb_look look, int32_t first, int32_t count)
{
    for (int32_t bit = first; bit < first + count; bit++)
        look.signs[bit / 64] ^= UINT64_C(1) << (bit % 64);
    return look;
}

static fb_split_item item_of(int32_t i)
{
    return (fb_split_item){.key = key_of("p", i),
                           .bytes = (uint64_t)i + 1,
                           .look = look_of((uint64_t)i + 1),
                           .stated = FB_SPLIT_NOT_STATED};
}

typedef struct planned {
    fb_split splits[6000];
    int32_t groups[6000];
    fb_split_report report;
} planned;

static planned *plan(const fb_split_item *items, int32_t count,
                     const fb_split_shares *shares)
{
    planned *p = calloc(1, sizeof *p);
    assert_non_null(p);
    assert_in_range(count, 0, 6000);
    assert_int_equal(fb_split_plan_make(NULL, items, count, shares, p->splits,
                                        p->groups, &p->report),
                     FB_OK);
    return p;
}

static void parses_percentages(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_split_shares s = {{1, 2, 3}};
    assert_int_equal(fb_split_shares_parse(ctx, "90/5/5", &s), FB_OK);
    assert_int_equal(s.percent[0], 90);
    assert_int_equal(s.percent[2], 5);
    assert_int_equal(fb_split_shares_parse(ctx, "0/0/100", &s), FB_OK);
    const char *const wrong[] = {"",         "90",      "90/5",       "90/5/6",
                                 "90/5/5/0", "a/b/c",   "-10/60/50",  "101/0/-1",
                                 "90/5/5 ",  " 90/5/5", "90/5.5/4.5", "1e2/0/0"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(fb_split_shares_parse(ctx, wrong[i], &s), FB_E_USAGE);
        assert_non_null(strstr(fb_context_message(ctx), "80/10/10"));
        assert_int_equal(s.percent[2], 100); /* untouched */
    }
    fb_context_free(ctx);
}

static void shares_are_met(void **state)
{
    (void)state;
    enum { N = 6000 };
    fb_split_item *items = calloc(N, sizeof *items);
    assert_non_null(items);
    for (int32_t i = 0; i < N; i++)
        items[i] = item_of(i);
    planned *p = plan(items, N, &(fb_split_shares){{60, 15, 25}});
    /* five standard deviations */
    assert_in_range(p->report.items[FB_SPLIT_TRAIN], 3600 - 190, 3600 + 190);
    assert_in_range(p->report.items[FB_SPLIT_VAL], 900 - 139, 900 + 139);
    assert_in_range(p->report.items[FB_SPLIT_TEST], 1500 - 168, 1500 + 168);
    assert_int_equal(p->report.moved, 0);
    assert_int_equal(p->report.duplicates, 0);
    assert_int_equal(p->report.near_duplicates, 0);
    assert_int_equal(p->report.largest_group, 1);
    free(p);
    p = plan(items, N, &(fb_split_shares){{0, 0, 100}});
    assert_int_equal(p->report.items[FB_SPLIT_TEST], N);
    free(p);
    free(items);
}

/* Known answers, so that a catalogue made today is split the same tomorrow. */
static void a_keys_split_is_fixed(void **state)
{
    (void)state;
    assert_int_equal(fb_split_key_hash("1163", 4), UINT64_C(0x171c35f0b69ff991));
    assert_int_equal(fb_split_of_hash(&shares_90_5_5, 89), FB_SPLIT_TRAIN);
    assert_int_equal(fb_split_of_hash(&shares_90_5_5, 90), FB_SPLIT_VAL);
    assert_int_equal(fb_split_of_hash(&shares_90_5_5, 94), FB_SPLIT_VAL);
    assert_int_equal(fb_split_of_hash(&shares_90_5_5, 95), FB_SPLIT_TEST);
    assert_int_equal(fb_split_of_hash(&shares_90_5_5, 200), FB_SPLIT_TRAIN);
}

/* Half of the new rows repeat old ones by bytes, by looks or by key. */
static void rows_added_behind_move_no_other(void **state)
{
    (void)state;
    enum { OLD = 2000, ALL = 3500 };
    fb_split_item *items = calloc(ALL, sizeof *items);
    assert_non_null(items);
    for (int32_t i = 0; i < ALL; i++) {
        items[i] = item_of(i);
        int32_t old = i % OLD;
        if (i < OLD || i % 2)
            continue;
        if (i % 3 == 0)
            items[i].bytes = items[old].bytes;
        else if (i % 3 == 1)
            items[i].look = turned(items[old].look, i % 200, 9);
        else
            items[i].key = items[old].key;
    }
    planned *before = plan(items, OLD, &shares_90_5_5);
    planned *after = plan(items, ALL, &shares_90_5_5);
    for (int32_t i = 0; i < OLD; i++)
        assert_int_equal(before->splits[i], after->splits[i]);
    for (int32_t i = OLD; i < ALL; i++)
        if (i % 2 == 0)
            assert_int_equal(after->splits[i], before->splits[i % OLD]);
    assert_int_equal(before->report.moved, 0);
    assert_true(after->report.moved_duplicate > 20);
    assert_true(after->report.moved_near > 20);
    free(before);
    free(after);
    free(items);
}

static void rows_of_other_keys_may_stand_anywhere(void **state)
{
    (void)state;
    enum { N = 3000 };
    fb_split_item *items = calloc(N, sizeof *items),
                  *turned_round = calloc(N, sizeof *items);
    assert_non_null(items);
    assert_non_null(turned_round);
    for (int32_t i = 0; i < N; i++)
        turned_round[N - 1 - i] = items[i] = item_of(i);
    planned *a = plan(items, N / 2, &shares_90_5_5);
    planned *b = plan(turned_round, N, &shares_90_5_5);
    for (int32_t i = 0; i < N / 2; i++)
        assert_int_equal(a->splits[i], b->splits[N - 1 - i]);
    free(a);
    free(b);
    free(items);
    free(turned_round);
}

/* Chains of keys, bytes and looks of all lengths: whatever is directly alike lies in
 * one split, the groups are the chains and no more, and moves are counted right. */
static void what_is_alike_never_straddles(void **state)
{
    (void)state;
    enum { N = 1500 };
    fb_split_item *items = calloc(N, sizeof *items);
    assert_non_null(items);
    fb_random r = fb_random_start(3, FB_STREAM_TEST, 0);
    for (int32_t i = 0; i < N; i++) {
        items[i] = item_of(i);
        if (i == 0 || fb_random_below(&r, 3) == 0)
            continue;
        int32_t other = (int32_t)fb_random_below(&r, (uint32_t)i);
        uint32_t kind = fb_random_below(&r, 3);
        if (kind == 0) {
            items[i].bytes = items[other].bytes;
            items[i].look = items[other].look;
        } else if (kind == 1)
            items[i].look = turned(items[other].look, (int32_t)fb_random_below(&r, 240),
                                   (int32_t)fb_random_below(&r, 13));
        else
            items[i].key = items[other].key;
    }
    planned *p = plan(items, N, &(fb_split_shares){{50, 25, 25}});
    int64_t moved = 0, near = 0;
    for (int32_t b = 0; b < N; b++) {
        bool is_near = false, is_repeat = false;
        for (int32_t a = 0; a < N; a++) {
            bool bytes = items[a].bytes == items[b].bytes;
            bool looks = fb_look_is_near(&items[a].look, &items[b].look);
            if (bytes || looks || items[a].key == items[b].key) {
                assert_int_equal(p->splits[a], p->splits[b]);
                assert_int_equal(p->groups[a], p->groups[b]);
            }
            is_near |= looks && !bytes;
            is_repeat |= bytes && a < b;
        }
        near += is_near && !is_repeat;
        assert_true(p->groups[b] <= b);
        assert_int_equal(p->splits[b],
                         fb_split_of_hash(&(fb_split_shares){{50, 25, 25}},
                                          items[p->groups[b]].key));
        moved += p->splits[b] !=
                 fb_split_of_hash(&(fb_split_shares){{50, 25, 25}}, items[b].key);
    }
    assert_int_equal(p->report.moved, moved);
    assert_int_equal(p->report.moved_duplicate + p->report.moved_near, moved);
    assert_int_equal(p->report.near_duplicates, near);
    assert_true(moved > 50 && p->report.moved_near > 0 && p->report.largest_group > 3);
    free(p);
    free(items);
}

static void flat_images_are_alike_by_bytes_alone(void **state)
{
    (void)state;
    enum { N = 400 };
    fb_split_item *items = calloc(N, sizeof *items);
    assert_non_null(items);
    for (int32_t i = 0; i < N; i++) {
        items[i] = item_of(i);
        memset(&items[i].look, 0, sizeof items[i].look);
        memset(items[i].look.colour, 255, sizeof items[i].look.colour);
        items[i].bytes = i == 300 ? 8 : i >= 350 ? 0 : (uint64_t)i + 1;
    }
    planned *p = plan(items, N, &shares_90_5_5);
    assert_int_equal(p->report.near_duplicates, 0);
    assert_int_equal(p->report.duplicates, 1);
    assert_int_equal(p->report.largest_group, 2);
    assert_int_equal(p->groups[300], 7);
    free(p);
    free(items);
}

static void a_stated_split_goes_before_the_hash(void **state)
{
    (void)state;
    fb_split_item items[6];
    for (int32_t i = 0; i < 6; i++)
        items[i] = item_of(i);
    items[1].stated = FB_SPLIT_TEST;
    items[3].bytes = items[0].bytes; /* 0, 3, 4 are one; 4's statement leads */
    items[4].bytes = items[0].bytes;
    items[4].stated = FB_SPLIT_VAL;
    items[5].bytes = items[0].bytes; /* and a later one is overruled */
    items[5].stated = FB_SPLIT_TEST;
    planned *p = plan(items, 6, &(fb_split_shares){{100, 0, 0}});
    const fb_split expected[6] = {FB_SPLIT_VAL, FB_SPLIT_TEST, FB_SPLIT_TRAIN,
                                  FB_SPLIT_VAL, FB_SPLIT_VAL,  FB_SPLIT_VAL};
    for (int32_t i = 0; i < 6; i++)
        assert_int_equal(p->splits[i], expected[i]);
    assert_int_equal(p->report.moved, 3); /* 0, 3 and 5; not 4, whose own it is */
    assert_int_equal(p->report.moved_duplicate, 3);
    free(p);
}

static void no_items_make_an_empty_plan(void **state)
{
    (void)state;
    planned *p = plan(NULL, 0, &shares_90_5_5);
    assert_int_equal(p->report.largest_group, 0);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_percentages),
        cmocka_unit_test(shares_are_met),
        cmocka_unit_test(a_keys_split_is_fixed),
        cmocka_unit_test(rows_added_behind_move_no_other),
        cmocka_unit_test(rows_of_other_keys_may_stand_anywhere),
        cmocka_unit_test(what_is_alike_never_straddles),
        cmocka_unit_test(flat_images_are_alike_by_bytes_alone),
        cmocka_unit_test(a_stated_split_goes_before_the_hash),
        cmocka_unit_test(no_items_make_an_empty_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

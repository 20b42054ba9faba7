/* test_candidates.c - who is ranked against whom: the sampled draw, the full pool, and
 * the candidate file with everything that may be wrong in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "retrieval/ranking/candidates.h"
#include "retrieval/ranking/ranking_metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fb_candidate_options DEFAULTS = {.negatives = FB_NEGATIVES_CATEGORY,
                                              .negative_count = 100,
                                              .min_candidates = 9,
                                              .draws = 2,
                                              .seed = 1};

/* ---- a random catalogue -----------------------------------------------------------
 */

enum { N = 1000 };

/* Products of one to four items, texts and images shared across products, categories
 * from tiny to larger than 100. */
static void fill(fb_candidate_item items[N], uint64_t seed)
{
    fb_random r = fb_random_start(seed, FB_STREAM_TEST, 7);
    for (int i = 0; i < N; i++) {
        uint32_t c = fb_random_below(&r, 16);
        items[i].product = (int32_t)fb_random_below(&r, 500);
        items[i].text = (int32_t)fb_random_below(&r, 700);
        items[i].image = (int32_t)fb_random_below(&r, 900);
        items[i].subcategory = (int32_t)c;
        items[i].category = c < 8 ? 0 : c < 11 ? 1 : i < 40 ? 2 : (int32_t)c;
    }
}

static int32_t count_others(const fb_candidate_item *items, int32_t query,
                            fb_negative_rule negatives)
{
    int32_t others = 0;
    for (int32_t i = 0; i < N; i++)
        others += fb_candidate_same_group(&items[i], &items[query], negatives) &&
                  items[i].product != items[query].product &&
                  items[i].text != items[query].text &&
                  items[i].image != items[query].image;
    return others;
}

static fb_candidate_set *draw(const fb_candidate_item *items, int32_t count,
                              fb_candidate_options options)
{
    fb_candidate_set *set = NULL;
    assert_int_equal(fb_candidate_set_draw(NULL, &set, items, count, &options), FB_OK);
    return set;
}

static bool same_sets(const fb_candidate_set *a, const fb_candidate_set *b)
{
    if (a->list_count != b->list_count || a->item_count != b->item_count ||
        a->left_out != b->left_out)
        return false;
    for (int64_t i = 0; i < a->list_count; i++)
        if (a->lists[i].query != b->lists[i].query ||
            a->lists[i].positive != b->lists[i].positive ||
            a->lists[i].offset != b->lists[i].offset ||
            a->lists[i].count != b->lists[i].count)
            return false;
    return a->item_count == 0 ||
           memcmp(a->items, b->items, (size_t)a->item_count * sizeof *a->items) == 0;
}

/* ---- drawing ----------------------------------------------------------------------
 */

static void check_list(const fb_candidate_set *set, const fb_candidate_list *list,
                       const fb_candidate_item *items)
{
    const fb_candidate_options *o = &set->options;
    const fb_candidate_item *q = &items[list->query];
    bool seen[N] = {false};
    int32_t others = count_others(items, list->query, o->negatives);
    assert_int_equal(list->positive, list->query);
    assert_true(others >= o->min_candidates);
    assert_int_equal(list->count,
                     others < o->negative_count ? others : o->negative_count);
    for (int32_t i = 0; i < list->count; i++) {
        int32_t item = set->items[list->offset + i];
        assert_in_range(item, 0, N - 1);
        assert_false(seen[item]);
        seen[item] = true;
        assert_int_not_equal(items[item].product, q->product);
        assert_int_not_equal(items[item].text, q->text);
        assert_int_not_equal(items[item].image, q->image);
        if (o->negatives == FB_NEGATIVES_CATEGORY)
            assert_int_equal(items[item].category, q->category);
        if (o->negatives == FB_NEGATIVES_SUBCATEGORY)
            assert_int_equal(items[item].subcategory, q->subcategory);
    }
}

static void every_list_keeps_the_rules(void **state)
{
    (void)state;
    static fb_candidate_item items[N];
    for (uint64_t seed = 0; seed < 6; seed++) {
        fill(items, seed);
        fb_candidate_options o = DEFAULTS;
        o.negatives = (fb_negative_rule)(seed % 3);
        o.seed = seed;
        o.queries = seed < 3 ? 0 : 150;
        fb_candidate_set *set = draw(items, N, o);
        int64_t eligible = 0;
        for (int32_t i = 0; i < N; i++)
            eligible += count_others(items, i, o.negatives) >= o.min_candidates;
        assert_int_equal(set->left_out, N - eligible);
        int64_t wanted = o.queries && o.queries < eligible ? o.queries : eligible;
        for (int32_t d = 0; d < o.draws; d++)
            for (int way = 0; way < 2; way++) {
                int64_t count;
                const fb_candidate_list *lists =
                    fb_candidate_set_group(set, d, (fb_direction)way, &count);
                assert_int_equal(count, wanted);
                for (int64_t i = 0; i < count; i++) {
                    assert_true(i == 0 || lists[i - 1].query < lists[i].query);
                    check_list(set, &lists[i], items);
                }
            }
        fb_candidate_set_free(set);
    }
}

static void one_seed_draws_the_same_lists_and_another_seed_others(void **state)
{
    (void)state;
    static fb_candidate_item items[N];
    fill(items, 3);
    fb_candidate_options o = DEFAULTS, other = DEFAULTS;
    other.seed = 2;
    fb_candidate_set *a = draw(items, N, o), *b = draw(items, N, o);
    fb_candidate_set *c = draw(items, N, other);
    assert_true(same_sets(a, b));
    assert_false(same_sets(a, c));
    fb_candidate_set_free(a);
    fb_candidate_set_free(b);
    fb_candidate_set_free(c);
}

static void draws_and_directions_differ(void **state)
{
    (void)state;
    static fb_candidate_item items[N];
    fill(items, 4);
    fb_candidate_set *set = draw(items, N, DEFAULTS);
    int64_t count;
    const fb_candidate_list *first =
        fb_candidate_set_group(set, 0, FB_IMAGE_TO_TEXT, &count);
    for (int group = 1; group < 4; group++) {
        const fb_candidate_list *lists =
            fb_candidate_set_group(set, group / 2, (fb_direction)(group % 2), &count);
        assert_int_equal(lists[0].query, first[0].query);
        assert_memory_not_equal(set->items + lists[0].offset,
                                set->items + first[0].offset,
                                (size_t)first[0].count * sizeof *set->items);
    }
    fb_candidate_set_free(set);
}

static void a_query_draws_the_same_whichever_others_are_asked(void **state)
{
    (void)state;
    static fb_candidate_item items[N];
    fill(items, 5);
    fb_candidate_options few = DEFAULTS;
    few.queries = 20;
    fb_candidate_set *all = draw(items, N, DEFAULTS), *some = draw(items, N, few);
    int64_t all_count, count;
    const fb_candidate_list *a =
        fb_candidate_set_group(all, 1, FB_TEXT_TO_IMAGE, &all_count);
    const fb_candidate_list *s =
        fb_candidate_set_group(some, 1, FB_TEXT_TO_IMAGE, &count);
    assert_int_equal(count, 20);
    for (int64_t i = 0; i < count; i++) {
        while (a->query != s[i].query)
            a++;
        assert_int_equal(a->count, s[i].count);
        assert_memory_equal(all->items + a->offset, some->items + s[i].offset,
                            (size_t)a->count * sizeof *all->items);
    }
    fb_candidate_set_free(all);
    fb_candidate_set_free(some);
}

static void every_possible_negative_is_drawn_about_equally_often(void **state)
{
    (void)state;
    enum { ITEMS = 21, DRAWS = 1000 };
    fb_candidate_item items[ITEMS];
    int32_t times[ITEMS] = {0}, firsts[ITEMS] = {0};
    for (int32_t i = 0; i < ITEMS; i++)
        items[i] = (fb_candidate_item){i, i, i, 0, 0};
    fb_candidate_options o = DEFAULTS;
    o.negative_count = 5;
    o.draws = DRAWS;
    fb_candidate_set *set = draw(items, ITEMS, o);
    for (int32_t d = 0; d < DRAWS; d++) {
        int64_t count;
        const fb_candidate_list *l =
            fb_candidate_set_group(set, d, FB_IMAGE_TO_TEXT, &count);
        assert_int_equal(l->query, 0);
        firsts[set->items[l->offset]]++;
        for (int32_t i = 0; i < l->count; i++)
            times[set->items[l->offset + i]]++;
    }
    for (int32_t i = 1; i < ITEMS; i++) { /* 250 +- 5 sd of 13.7; 50 +- 5 sd of 6.9 */
        assert_in_range(times[i], 182, 318);
        assert_in_range(firsts[i], 15, 85);
    }
    fb_candidate_set_free(set);
}

static void too_few_others_leave_a_query_out(void **state)
{
    (void)state;
    fb_candidate_item items[10];
    for (int32_t i = 0; i < 10; i++)
        items[i] = (fb_candidate_item){i, i, i, 0, 0};
    fb_candidate_set *set =
        draw(items, 10, DEFAULTS); /* nine others each: just enough */
    assert_int_equal(set->left_out, 0);
    assert_int_equal(set->list_count, 40);
    fb_candidate_set_free(set);
    items[9].text = 0; /* the same text: items 0 and 9 have eight others now */
    set = draw(items, 10, DEFAULTS);
    assert_int_equal(set->left_out, 2);
    assert_int_equal(set->list_count, 32);
    fb_candidate_set_free(set);
}

static void an_empty_catalogue_gives_an_empty_set(void **state)
{
    (void)state;
    fb_candidate_set *set = draw(NULL, 0, DEFAULTS);
    int64_t count = -1;
    fb_candidate_set_group(set, 1, FB_TEXT_TO_IMAGE, &count);
    assert_int_equal(count, 0);
    assert_int_equal(set->left_out, 0);
    fb_candidate_set_free(set);
}

static void options_out_of_range_are_misuse(void **state)
{
    (void)state;
    fb_candidate_options bad[6];
    for (int i = 0; i < 6; i++)
        bad[i] = DEFAULTS;
    bad[0].queries = -1;
    bad[1].negative_count = 0;
    bad[2].min_candidates = 0;
    bad[3].draws = 0;
    bad[4].draws = FB_CANDIDATE_DRAWS_MAX + 1;
    bad[5].negative_count = FB_CANDIDATE_NEGATIVES_MAX + 1;
    for (int i = 0; i < 6; i++) {
        fb_candidate_set *set = NULL;
        assert_int_equal(fb_candidate_set_draw(NULL, &set, NULL, 0, &bad[i]),
                         FB_E_USAGE);
        assert_null(set);
    }
    fb_negative_rule n;
    assert_int_equal(fb_negative_rule_parse(NULL, &n, "any"), FB_OK);
    assert_int_equal(n, FB_NEGATIVES_ANY);
    assert_int_equal(fb_negative_rule_parse(NULL, &n, "some"), FB_E_USAGE);
}

/* ---- the full pool ----------------------------------------------------------------
 */

/*                                             product text image */
static const fb_candidate_item FULL[] = {
    {.product = 1, .text = 1, .image = 1}, {.product = 1, .text = 2, .image = 2},
    {.product = 2, .text = 1, .image = 3}, {.product = 3, .text = 3, .image = 1},
    {.product = 4, .text = 4, .image = 4}, {.product = 4, .text = 4, .image = 4}};

static void full_image_to_text_ranks_every_distinct_text_once(void **state)
{
    (void)state;
    fb_full_pool *pool = NULL;
    assert_int_equal(fb_full_pool_create(NULL, &pool, FULL, 6, FB_IMAGE_TO_TEXT),
                     FB_OK);
    assert_int_equal(pool->document_count, 4);
    const int32_t documents[] = {0, 1, 3, 4}, queries[] = {0, 1, 2, 4};
    assert_memory_equal(pool->documents, documents, sizeof documents);
    assert_int_equal(pool->query_count, 4);
    assert_memory_equal(pool->queries, queries, sizeof queries);
    uint8_t marks[4];
    fb_full_pool_mark(pool, 0, marks); /* text 3 belongs to the same image bytes */
    const uint8_t of_0[] = {FB_MARK_HIT, FB_MARK_HIT, FB_MARK_EXCLUDED,
                            FB_MARK_NEGATIVE};
    assert_memory_equal(marks, of_0, 4);
    fb_full_pool_mark(pool, 4, marks);
    const uint8_t of_4[] = {FB_MARK_NEGATIVE, FB_MARK_NEGATIVE, FB_MARK_NEGATIVE,
                            FB_MARK_HIT};
    assert_memory_equal(marks, of_4, 4);
    fb_full_pool_free(pool);
}

static void full_text_to_image_counts_every_view_and_same_text_as_hit(void **state)
{
    (void)state;
    fb_full_pool *pool = NULL;
    assert_int_equal(fb_full_pool_create(NULL, &pool, FULL, 6, FB_TEXT_TO_IMAGE),
                     FB_OK);
    const int32_t documents[] = {0, 1, 2, 4}, queries[] = {0, 1, 3, 4};
    assert_int_equal(pool->document_count, 4);
    assert_memory_equal(pool->documents, documents, sizeof documents);
    assert_memory_equal(pool->queries, queries, sizeof queries);
    uint8_t marks[4];
    fb_full_pool_mark(pool, 0, marks);
    const uint8_t of_0[] = {FB_MARK_HIT, FB_MARK_HIT, FB_MARK_HIT, FB_MARK_NEGATIVE};
    assert_memory_equal(marks, of_0, 4);
    fb_full_pool_mark(pool, 3,
                      marks); /* its image is item 0's: the hit, not a negative */
    const uint8_t of_3[] = {FB_MARK_HIT, FB_MARK_NEGATIVE, FB_MARK_NEGATIVE,
                            FB_MARK_NEGATIVE};
    assert_memory_equal(marks, of_3, 4);
    fb_full_pool_free(pool);
}

static void every_full_query_has_a_hit(void **state)
{
    (void)state;
    static fb_candidate_item items[N];
    static uint8_t marks[N];
    fill(items, 9);
    for (int way = 0; way < 2; way++) {
        fb_full_pool *pool = NULL;
        assert_int_equal(fb_full_pool_create(NULL, &pool, items, N, (fb_direction)way),
                         FB_OK);
        for (int32_t q = 0; q < pool->query_count; q++) {
            fb_full_pool_mark(pool, pool->queries[q], marks);
            assert_int_equal(marks[pool->document_of[pool->queries[q]]], FB_MARK_HIT);
        }
        fb_full_pool_free(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_list_keeps_the_rules),
        cmocka_unit_test(one_seed_draws_the_same_lists_and_another_seed_others),
        cmocka_unit_test(draws_and_directions_differ),
        cmocka_unit_test(a_query_draws_the_same_whichever_others_are_asked),
        cmocka_unit_test(every_possible_negative_is_drawn_about_equally_often),
        cmocka_unit_test(too_few_others_leave_a_query_out),
        cmocka_unit_test(an_empty_catalogue_gives_an_empty_set),
        cmocka_unit_test(options_out_of_range_are_misuse),
        cmocka_unit_test(full_image_to_text_ranks_every_distinct_text_once),
        cmocka_unit_test(full_text_to_image_counts_every_view_and_same_text_as_hit),
        cmocka_unit_test(every_full_query_has_a_hit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_chance.c - what guessing reaches, against every order of small pools and against
 * a guess that goes through the whole of both protocols. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "retrieval/ranking/ranking_metrics.h"
#include "tasks/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void near(const char *what, double got, double want, double by)
{
    if (!(fabs(got - want) <= by))
        fail_msg("%s: %.15g, not %.15g", what, got, want);
}

/* The n-th of count! orders: place[i] of element i. */
static void order_of(int n, int count, int *place)
{
    int left[10];
    for (int i = 0; i < count; i++)
        left[i] = i;
    for (int i = 0; i < count; i++) {
        int at = n % (count - i);
        n /= count - i;
        place[i] = left[at];
        left[at] = left[count - i - 1];
    }
}

static int factorial(int n)
{
    return n < 2 ? 1 : n * factorial(n - 1);
}

static void several_hits_are_found_as_in_all_orders(void **state)
{
    (void)state;
    for (int hits = 1; hits <= 3; hits++)
        for (int negatives = 0; hits + negatives <= 8; negatives++) {
            int n = hits + negatives, orders = factorial(n), place[10];
            double r1 = 0, r5 = 0;
            for (int o = 0; o < orders; o++) {
                order_of(o, n, place);
                int best = place[0];
                for (int i = 1; i < hits; i++)
                    best = place[i] < best ? place[i] : best;
                r1 += best < 1;
                r5 += best < 5;
            }
            fb_chance c = fb_chance_of_hits(hits, negatives);
            near("R@1", c.r1, r1 / orders, 1e-12);
            near("R@5", c.r5, r5 / orders, 1e-12);
        }
    near("of 101", fb_chance_of_hits(1, 100).r10, 10.0 / 101, 1e-12);
    near("hits / all", fb_chance_of_hits(4, 96).r1, 0.04, 1e-12);
}

/* The different negatives of a pool take all orders; each stands as often as it is
 * there. */
static void alike_negatives_stand_together_as_in_all_orders(void **state)
{
    (void)state;
    const int32_t pools[][12] = {{1, 2, 3, 4, 5, 6},
                                 {7, 7, 7, 7, 7, 7, 7},
                                 {3, 1, 3, 2, 3, 1},
                                 {1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4},
                                 {5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 6, 9}};
    const int counts[] = {6, 7, 6, 12, 12};
    for (size_t p = 0; p < sizeof counts / sizeof counts[0]; p++) {
        int32_t keys[12];
        int many[10] = {0}, different = 0, times[10], place[10];
        memcpy(keys, pools[p], sizeof keys);
        for (int i = 0; i < counts[p]; i++)
            many[keys[i]]++;
        for (int k = 0; k < 10; k++)
            if (many[k])
                times[different++] = many[k];
        double r1 = 0, r5 = 0, r10 = 0;
        int orders = factorial(different + 1);
        for (int o = 0; o < orders; o++) {
            int rank = 1;
            order_of(o, different + 1, place); /* the last is the hit */
            for (int i = 0; i < different; i++)
                rank += place[i] < place[different] ? times[i] : 0;
            r1 += rank <= 1;
            r5 += rank <= 5;
            r10 += rank <= 10;
        }
        fb_chance c = fb_chance_of_alike(keys, counts[p]);
        near("R@1", c.r1, r1 / orders, 1e-12);
        near("R@5", c.r5, r5 / orders, 1e-12);
        near("R@10", c.r10, r10 / orders, 1e-12);
    }
}

static void without_repeats_both_say_the_same(void **state)
{
    (void)state;
    int32_t keys[100];
    for (int32_t count = 0; count <= 100; count += 20) {
        for (int32_t i = 0; i < count; i++)
            keys[i] = 1000 - i;
        fb_chance a = fb_chance_of_alike(keys, count), b = fb_chance_of_hits(1, count);
        near("R@1", a.r1, b.r1, 1e-12);
        near("R@5", a.r5, b.r5, 1e-12);
        near("R@10", a.r10, b.r10, 1e-12);
    }
}

/* ---- through the protocols --------------------------------------------------------- */

enum { PRODUCTS = 30, VIEWS = 4, ITEMS = PRODUCTS * VIEWS, TRIALS = 400 };

/* A product's views have one title; views 2 and 3 of products 3n and 3n + 1 are the
 * same photo, so that photos repeat too. */
static void make_items(fb_split_items *s, fb_candidate_item *items, int32_t *text,
                       int32_t *image)
{
    *s = (fb_split_items){
        .count = ITEMS, .items = items, .same_text = text, .same_image = image};
    s->category_count = 1;
    for (int32_t i = 0; i < ITEMS; i++) {
        int32_t product = i / VIEWS, view = i % VIEWS;
        text[i] = product * VIEWS;
        image[i] = view == 3 && product % 3 == 0 ? i - 1 : i;
        if (view == 2 && product % 3 == 1)
            image[i] = i - VIEWS;
        items[i] = (fb_candidate_item){product, text[i], image[i], 0, 0};
    }
}

/* A number of the text and the image alone. */
static fb_status guess(void *self, fb_context *ctx, const fb_split_items *items,
                       const fb_score_triple *pairs, int64_t count, float *scores)
{
    uint64_t trial = *(uint64_t *)self;
    (void)ctx;
    for (int64_t i = 0; i < count; i++) {
        uint64_t key = fb_random_key(trial, FB_STREAM_TEST,
                                     (uint64_t)items->same_text[pairs[i].text]);
        scores[i] = (float)(fb_random_hash32(
                                key, (uint32_t)items->same_image[pairs[i].image]) >>
                            8);
    }
    return FB_OK;
}

static void guess_many(const fb_evaluate_options *options, fb_ranking said[2],
                       fb_ranking got[2])
{
    fb_split_items items;
    fb_candidate_item keys[ITEMS];
    int32_t text[ITEMS], image[ITEMS];
    make_items(&items, keys, text, image);
    memset(got, 0, 2 * sizeof *got);
    for (uint64_t trial = 0; trial < TRIALS; trial++) {
        fb_evaluation e = {0};
        const fb_pair_scorer scorer = {&trial, guess};
        assert_int_equal(fb_evaluate_items(NULL, options, &items, &scorer, &e), FB_OK);
        said[0] = e.image_to_text;
        said[1] = e.text_to_image;
        for (int d = 0; d < 2; d++) {
            got[d].r1 += said[d].r1 / TRIALS;
            got[d].r5 += said[d].r5 / TRIALS;
            got[d].r10 += said[d].r10 / TRIALS;
        }
        free(e.categories);
        free(e.ranks);
    }
}

/* Of TRIALS * ITEMS independent queries the error's deviation is below .0023. */
static void hold(const fb_ranking said[2], const fb_ranking got[2])
{
    for (int d = 0; d < 2; d++) {
        near("R@1", got[d].r1, said[d].chance_r1, 0.007);
        near("R@5", got[d].r5, said[d].chance_r5, 0.007);
        near("R@10", got[d].r10, said[d].chance_r10, 0.007);
    }
}

static void guessing_reaches_it_in_the_sampled_protocol(void **state)
{
    (void)state;
    fb_evaluate_options o;
    fb_ranking said[2], got[2];
    fb_evaluate_options_defaults(&o);
    o.seed = 3;
    guess_many(&o, said, got);
    hold(said, got);
    /* 29 other titles, however many photos have them; 100 photos, few of them alike */
    near("image to text", said[0].chance_r1, 1.0 / PRODUCTS, 1e-3);
    assert_true(said[1].chance_r1 < 0.012 && said[1].chance_r1 > 1.0 / 101);
}

static void guessing_reaches_it_in_the_full_protocol(void **state)
{
    (void)state;
    fb_evaluate_options o;
    fb_ranking said[2], got[2];
    fb_evaluate_options_defaults(&o);
    o.protocol = "full";
    guess_many(&o, said, got);
    hold(said, got);
    assert_true(said[1].chance_r1 > 2.5 / ITEMS); /* several photos of each title */
}

/* ---- draws ------------------------------------------------------------------------- */

static int32_t draws_of(int32_t negatives, int32_t queries)
{
    fb_split_items items;
    fb_candidate_item keys[ITEMS];
    int32_t text[ITEMS], image[ITEMS];
    fb_evaluate_options o;
    fb_evaluation e = {0};
    uint64_t trial = 1;
    const fb_pair_scorer scorer = {&trial, guess};
    make_items(&items, keys, text, image);
    fb_evaluate_options_defaults(&o);
    o.draws = 3;
    o.negative_count = negatives;
    o.queries = queries;
    assert_int_equal(fb_evaluate_items(NULL, &o, &items, &scorer, &e), FB_OK);
    assert_int_equal(e.categories[0].draws, e.draws);
    free(e.categories);
    free(e.ranks);
    return e.draws;
}

static void draws_that_take_all_there_is_are_one(void **state)
{
    (void)state;
    assert_int_equal(draws_of(100, 0), 3);
    assert_int_equal(draws_of(ITEMS, 0), 1);
    assert_int_equal(draws_of(ITEMS, 20), 3); /* other queries */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_hits_are_found_as_in_all_orders),
        cmocka_unit_test(alike_negatives_stand_together_as_in_all_orders),
        cmocka_unit_test(without_repeats_both_say_the_same),
        cmocka_unit_test(guessing_reaches_it_in_the_sampled_protocol),
        cmocka_unit_test(guessing_reaches_it_in_the_full_protocol),
        cmocka_unit_test(draws_that_take_all_there_is_are_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

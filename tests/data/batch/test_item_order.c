/* test_item_order.c - each item once an epoch, in runs of a category, and no item twice
 * in a step. */
#include "support/catalogue_fixture.h"

#include "data/batch/item_order.h"

#include <unistd.h>

enum { COUNT = 403, GROUP = 8, KEYS = 9 };

/* Categories of many sizes, one of a single item, and 13 rows without one. */
static int32_t category_of(int32_t i)
{
    if (i % 31 == 5)
        return -1;
    return i == 100 ? KEYS - 1 : i * i % 57 % (KEYS - 1);
}

typedef struct world {
    fixture *f;
    fb_catalogue *catalogue;
    const int32_t *items;
    int32_t count;
} world;

static world world_create(fixture *f)
{
    world w = {.f = f};
    char *rows = calloc(COUNT, 160), *at = rows;
    assert_non_null(rows);
    for (int32_t i = 0; i < COUNT; i++) {
        at += sprintf(at, "{\"file_name\":\"%d\",\"title\":\"%d\"", i, i);
        if (category_of(i) >= 0)
            at +=
                sprintf(at,
                        ",\"category\":\"c%d\",\"subcategory\":\"s%d\""
                        ",\"master_category\":\"m%d\"",
                        category_of(i), i % 3 + 3 * category_of(i), category_of(i) / 3);
        at += sprintf(at, "}\n");
    }
    fixture_text(f, "metadata.jsonl", rows);
    free(rows);
    const fb_catalogue_options options = {.skip_file_check = true};
    if (fb_catalogue_open(f->ctx, &w.catalogue, f->folder, &options) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    w.items = fb_catalogue_split_items(w.catalogue, FB_SPLIT_TRAIN, &w.count);
    assert_int_equal(w.count, COUNT);
    return w;
}

typedef struct walk {
    fb_item_order *order;
    fb_item_epoch *epoch;
} walk;

static walk walk_create(const world *w, int32_t count,
                        const fb_item_order_options *options)
{
    walk k = {0};
    if (fb_item_order_create(w->f->ctx, &k.order, w->catalogue, w->items, count,
                             options) != FB_OK)
        fail_msg("%s", fb_context_message(w->f->ctx));
    k.epoch = fb_item_epoch_create(k.order);
    assert_non_null(k.epoch);
    return k;
}

static void walk_free(walk *k)
{
    fb_item_epoch_free(k->epoch);
    fb_item_order_free(k->order);
}

static int32_t at(walk *k, uint64_t place)
{
    return fb_item_order_at(k->order, k->epoch, place);
}

/* Each of the first `count` items once in each epoch, none twice in a step. */
static void check_stream(walk *k, int32_t count, int32_t per_step, int32_t epochs)
{
    for (int32_t e = 0; e < epochs; e++) {
        int32_t seen[COUNT] = {0};
        for (int32_t i = 0; i < count; i++)
            seen[at(k, (uint64_t)(e * count + i))]++;
        for (int32_t i = 0; i < count; i++)
            assert_int_equal(seen[i], 1);
    }
    for (int32_t step = 0; step < epochs * count / per_step; step++) {
        int32_t seen[COUNT] = {0};
        for (int32_t i = 0; i < per_step; i++)
            assert_int_equal(seen[at(k, (uint64_t)(step * per_step + i))]++, 0);
    }
}

static void every_epoch_has_every_item_once_and_no_step_one_twice(void **state)
{
    world w = world_create(*state);
    /* The last four splits are smaller than two steps. */
    static const int32_t counts[] = {COUNT, 400, 97, 64, 63, 40, 33, 32},
                         groups[] = {0, 1, GROUP, 500};
    static const double shares[] = {1.0, 0.5};
    for (int32_t c = 0; c < 8; c++)
        for (int32_t g = 0; g < 4; g++)
            for (int32_t s = 0; s < 2; s++) {
                const fb_item_order_options options = {.seed = 3,
                                                       .per_step = 32,
                                                       .distinct = true,
                                                       .group = groups[g],
                                                       .grouped = shares[s]};
                walk k = walk_create(&w, counts[c], &options);
                check_stream(&k, counts[c], 32, 6);
                walk_free(&k);
            }
    fb_catalogue_close(w.catalogue);
}

/* counts: the runs of GROUP from `first` on whose items are all of a category. */
static void count_pure_runs(walk *k, uint64_t first, int32_t counts[KEYS])
{
    for (int32_t run = 0; run < COUNT / GROUP; run++) {
        uint64_t start = first + (uint64_t)(run * GROUP);
        int32_t category = category_of(at(k, start)), same = 0;
        for (uint64_t i = 0; i < GROUP; i++)
            same += category_of(at(k, start + i)) == category;
        if (category >= 0)
            counts[category] += same == GROUP;
    }
}

static void groups_are_of_one_category(void **state)
{
    world w = world_create(*state);
    int32_t sizes[KEYS] = {0}, wanted = 0;
    for (int32_t i = 0; i < COUNT; i++)
        if (category_of(i) >= 0)
            sizes[category_of(i)]++;
    for (int32_t k = 0; k < KEYS; k++)
        wanted += sizes[k] / GROUP;
    assert_true(wanted > 40);
    /* A step an epoch: nothing is put off. */
    const fb_item_order_options options = {
        .seed = 3, .per_step = 1, .distinct = true, .group = GROUP, .grouped = 1.0};
    walk k = walk_create(&w, COUNT, &options);
    for (uint64_t e = 0; e < 40; e++) {
        /* The one short run (403 = 50 * 8 + 3) moves what is behind it by 3 places. */
        int32_t counts[KEYS] = {0};
        count_pure_runs(&k, e * COUNT, counts);
        count_pure_runs(&k, e * COUNT + COUNT % GROUP, counts);
        for (int32_t c = 0; c < KEYS; c++)
            assert_true(counts[c] >= sizes[c] / GROUP);
    }
    walk_free(&k);
    fb_catalogue_close(w.catalogue);
}

/* Adjacent places whose items share category, of all with a category. */
static double kinship(walk *k, uint64_t first, int32_t count)
{
    int32_t same = 0;
    for (int32_t i = 1; i < count; i++)
        same += category_of(at(k, first + (uint64_t)i)) ==
                category_of(at(k, first + (uint64_t)i - 1));
    return (double)same / (count - 1);
}

static void what_is_left_of_the_categories_stays_with_its_kin(void **state)
{
    world w = world_create(*state);
    /* No category has 400 items: all are left, in one run sorted by kin. */
    const fb_item_order_options options = {
        .seed = 3, .per_step = 1, .group = 400, .grouped = 1.0};
    walk k = walk_create(&w, 400, &options);
    int32_t turns[3] = {0};
    const fb_catalogue_item *before = NULL;
    for (uint64_t i = 0; i < 400; i++) {
        const fb_catalogue_item *item = fb_catalogue_get(w.catalogue, at(&k, i));
        for (int32_t level = 0; level < 3; level++)
            turns[level] += before && before->category[level] != item->category[level];
        before = item;
    }
    for (int32_t level = 0; level < 3; level++) /* each key in one piece, and none */
        assert_int_equal(turns[level], fb_catalogue_category_count(w.catalogue, level));
    walk_free(&k);
    fb_catalogue_close(w.catalogue);
}

static void the_share_of_grouped_steps_is_kept(void **state)
{
    world w = world_create(*state);
    const fb_item_order_options options = {
        .seed = 3, .per_step = 16, .distinct = true, .group = GROUP, .grouped = 0.3};
    walk k = walk_create(&w, COUNT, &options);
    int32_t grouped = 0;
    double with = 0, without = 0;
    for (uint64_t step = 0; step < 1000; step++) {
        double kin = kinship(&k, step * 16, 16);
        grouped += fb_item_order_grouped(k.order, step);
        *(fb_item_order_grouped(k.order, step) ? &with : &without) += kin;
    }
    assert_true(grouped > 240 && grouped < 360); /* of 300, sigma 14.5 */
    with /= grouped;
    without /= 1000 - grouped;
    assert_true(with > 0.7 && without < 0.3);
    walk_free(&k);
    fb_catalogue_close(w.catalogue);
}

static void any_place_alone_equals_the_place_in_a_walk(void **state)
{
    world w = world_create(*state);
    static const int32_t counts[] = {COUNT, 50}; /* the second below two steps */
    for (int32_t c = 0; c < 2; c++) {
        const fb_item_order_options options = {.seed = 5,
                                               .per_step = 32,
                                               .distinct = true,
                                               .group = GROUP,
                                               .grouped = 0.6};
        walk all = walk_create(&w, counts[c], &options);
        for (int32_t e = 9; e >= 0; e--) {
            walk alone = walk_create(&w, counts[c], &options);
            for (int32_t i = 0; i < counts[c]; i++) {
                uint64_t place = (uint64_t)(e * counts[c] + i);
                assert_int_equal(at(&alone, place), at(&all, place));
            }
            walk_free(&alone);
        }
        walk_free(&all);
    }
    fb_catalogue_close(w.catalogue);
}

static void seed_and_epoch_change_the_order(void **state)
{
    world w = world_create(*state);
    fb_item_order_options options = {
        .seed = 5, .per_step = 1, .group = GROUP, .grouped = 1.0};
    walk a = walk_create(&w, COUNT, &options);
    options.seed = 6;
    walk b = walk_create(&w, COUNT, &options);
    int32_t seeds = 0, epochs = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        seeds += at(&a, i) == at(&b, i);
        epochs += at(&b, i) == at(&b, COUNT + i);
    }
    assert_true(seeds < 20 && epochs < 20);
    walk_free(&a);
    walk_free(&b);
    fb_catalogue_close(w.catalogue);
}

static void impossible_options_are_refused(void **state)
{
    world w = world_create(*state);
    static const fb_item_order_options wrong[] = {
        {.per_step = 0},
        {.per_step = COUNT + 1, .distinct = true},
        {.per_step = 1, .group = -1},
        {.per_step = 1, .group = 8},
        {.per_step = 1, .group = 8, .grouped = 1.5},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fb_item_order *order = NULL;
        assert_int_equal(fb_item_order_create(w.f->ctx, &order, w.catalogue, w.items,
                                              COUNT, &wrong[i]),
                         FB_E_USAGE);
        assert_null(order);
    }
    fb_item_order_free(NULL);
    fb_item_epoch_free(NULL);
    fb_catalogue_close(w.catalogue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(every_epoch_has_every_item_once_and_no_step_one_twice),
        FIXTURE_TEST(groups_are_of_one_category),
        FIXTURE_TEST(what_is_left_of_the_categories_stays_with_its_kin),
        FIXTURE_TEST(the_share_of_grouped_steps_is_kept),
        FIXTURE_TEST(any_place_alone_equals_the_place_in_a_walk),
        FIXTURE_TEST(seed_and_epoch_change_the_order),
        FIXTURE_TEST(impossible_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

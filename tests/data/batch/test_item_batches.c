/* test_item_batches.c - batches of items: rows, groups, and the same from any step. */
#include "base/intern.h"
#include "support/sampler_fixture.h"

#include "data/batch/item_groups.h"
#include "data/image/image_load.h"

#include <unistd.h>

enum { BATCH = 20, IMAGE_SIZE = 96, PATCHES = 64 };

typedef struct drawing {
    fixture *f;
    sampling s;
    fb_batch *b;
    fb_sampler_cursor *cursor;
} drawing;

static fb_sampler_options item_options(void)
{
    return (fb_sampler_options){.batch = BATCH,
                                .seed = 5,
                                .patches = PATCHES,
                                .image_size = IMAGE_SIZE,
                                .whole_texts = true,
                                .whole_images = true,
                                .items = true};
}

static drawing drawing_create(fixture *f, const fb_sampler_options *options)
{
    drawing d = {f, sampling_create(f, 4, 5, false), NULL, NULL};
    fb_sampler_free(d.s.sampler);
    d.s.sampler = NULL;
    if (fb_sampler_create(f->ctx, &d.s.sampler, d.s.catalogue, d.s.tokens, d.s.vocab,
                          options) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    assert_int_equal(fb_sampler_batch_create(f->ctx, &d.b, d.s.sampler), FB_OK);
    assert_int_equal(fb_sampler_cursor_create(f->ctx, &d.cursor, d.s.sampler), FB_OK);
    return d;
}

static void draw(drawing *d, uint64_t step)
{
    if (fb_sampler_fill(d->f->ctx, d->s.sampler, d->cursor, step, NULL, d->b) != FB_OK)
        fail_msg("%s", fb_context_message(d->f->ctx));
}

static void drawing_free(drawing *d)
{
    fb_sampler_cursor_free(d->cursor);
    fb_batch_free(d->b);
    sampling_free(&d->s);
}

static void row_i_of_texts_and_images_is_item_i(void **state)
{
    const fb_sampler_options options = item_options();
    drawing d = drawing_create(*state, &options);
    assert_int_equal(fb_sampler_items_per_step(d.s.sampler), BATCH);
    int32_t seen[ITEMS] = {0};
    for (uint64_t step = 0; step < 3; step++) {
        draw(&d, step);
        const fb_batch *b = d.b;
        assert_int_equal(b->pairs, BATCH);
        assert_int_equal(b->texts, BATCH);
        assert_int_equal(b->images, BATCH);
        assert_int_equal(b->mlm_count, 0);
        assert_int_equal(b->mpm_count, 0);
        for (int32_t i = 0; i < BATCH; i++) {
            int32_t item = b->text_item[i], count;
            assert_int_equal(b->image_item[i], item);
            seen[item]++;
            assert_int_equal(b->pair_text[i], i);
            assert_int_equal(b->pair_image[i], i);
            assert_int_equal(b->pair_label[i], 1);
            const int32_t *ids = fb_token_list(d.s.tokens, item, &count);
            assert_int_equal(b->text_offsets[i + 1] - b->text_offsets[i], count);
            assert_memory_equal(b->token_ids + b->text_offsets[i], ids,
                                (size_t)count * sizeof *ids);
            assert_int_equal(b->seq_offsets[i + 1] - b->seq_offsets[i],
                             count + PATCHES);
        }
    }
    for (int32_t i = 0; i < ITEMS; i++)
        assert_int_equal(seen[i], 1);
    drawing_free(&d);
}

static void pixels_are_those_of_the_file_at_any_size(void **state)
{
    fixture *f = *state;
    const fb_sampler_options options = item_options();
    drawing d = drawing_create(f, &options);
    static uint8_t wanted[IMAGE_SIZE * IMAGE_SIZE * 3];
    fb_resizer *resizer = fb_resizer_create();
    draw(&d, 1);
    assert_int_equal(d.b->image_size, IMAGE_SIZE);
    for (int32_t i = 0; i < BATCH; i++) {
        char path[4096];
        assert_int_equal(
            fb_catalogue_image_path(f->ctx, d.s.catalogue, d.b->image_item[i], path),
            FB_OK);
        assert_int_equal(fb_image_load(f->ctx, path, resizer, IMAGE_SIZE, FB_FIT_PAD,
                                       FB_FILTER_BILINEAR, wanted),
                         FB_OK);
        assert_memory_equal(fb_batch_pixels(d.b, i), wanted, sizeof wanted);
    }
    fb_resizer_free(resizer);
    drawing_free(&d);
}

/* Also in batches of pairs, whose texts and images lie there once. */
static void groups_are_equal_exactly_for_what_is_the_same(void **state)
{
    for (int pairs = 0; pairs < 2; pairs++) {
        fb_sampler_options options = item_options();
        options.batch = pairs ? 2 * ITEMS : ITEMS;
        options.items = !pairs;
        drawing d = drawing_create(*state, &options);
        draw(&d, 0);
        const fb_batch *b = d.b;
        int32_t same_texts = 0, same_images = 0;
        for (int32_t i = 0; i < b->texts; i++)
            for (int32_t k = 0; k < i; k++) { /* the titles of 3, 28 and 53 are one */
                bool same = b->text_item[i] % 25 == 3 && b->text_item[k] % 25 == 3;
                assert_int_equal(b->text_group[i] == b->text_group[k], same);
                same_texts += same;
            }
        for (int32_t i = 0; i < b->images; i++)
            for (int32_t k = 0; k < i; k++) { /* five products have four views each */
                bool same = b->image_item[i] >= 40 && b->image_item[k] >= 40 &&
                            b->image_item[i] % 5 == b->image_item[k] % 5;
                assert_int_equal(b->image_group[i] == b->image_group[k], same);
                same_images += same;
            }
        assert_int_equal(same_texts, pairs ? 0 : 3);
        assert_int_equal(same_images, 30);
        drawing_free(&d);
    }
}

static void sameness_is_carried_on(void **state)
{
    fixture *f = *state;
    fixture_text(f, "a", "1");
    fixture_text(f, "b", "2");
    fixture_text(f, "metadata.jsonl",
                 "{\"file_name\":\"a\",\"title\":\"x\",\"product_id\":\"p\"}\n"
                 "{\"file_name\":\"b\",\"title\":\"y\",\"product_id\":\"q\"}\n"
                 "{\"file_name\":\"b\",\"title\":\"X \",\"product_id\":\"p\"}\n"
                 "{\"file_name\":\"c\",\"title\":\"z\",\"split\":\"val\"}\n"
                 "{\"file_name\":\"c\",\"title\":\"z\"}\n");
    const fb_catalogue_options skip = {.skip_file_check = true};
    fb_catalogue *cat = NULL;
    assert_int_equal(fb_catalogue_open(f->ctx, &cat, f->folder, &skip), FB_OK);
    /* 0 and 2 have one title, 2 and 1 the same tokens. */
    int64_t offsets[] = {0, 2, 3, 4, 5, 7};
    int32_t ids[] = {7, 8, 9, 9, 9, 8, 7};
    const fb_token_lists tokens = {5, 2, offsets, ids};
    int32_t count = 0;
    const int32_t *items = fb_catalogue_split_items(cat, FB_SPLIT_TRAIN, &count);
    fb_item_groups *groups = NULL;
    assert_int_equal(fb_item_groups_create(f->ctx, &groups, cat, &tokens, items, count),
                     FB_OK);
    const int32_t wanted[] = {0, 0, 0, -1, 1};
    assert_memory_equal(groups->text_group, wanted, sizeof wanted);
    assert_memory_equal(groups->image_group, wanted, sizeof wanted);
    assert_int_equal(groups->texts, 2);
    assert_int_equal(groups->images, 2);
    fb_item_groups_free(groups);
    fb_catalogue_close(cat);
}

static void batches_take_groups_of_a_category(void **state)
{
    fb_sampler_options options = item_options();
    options.group = 5;
    options.grouped = 1.0;
    drawing d = drawing_create(*state, &options);
    int32_t pure = 0;
    for (uint64_t step = 0; step < 3; step++) {
        draw(&d, step);
        for (int32_t run = 0; run < BATCH / 5; run++) {
            int32_t same = 0, first = d.b->text_item[run * 5];
            int32_t key = fb_catalogue_get(d.s.catalogue, first)->category[0];
            for (int32_t i = 0; i < 5; i++)
                same += fb_catalogue_get(d.s.catalogue, d.b->text_item[run * 5 + i])
                            ->category[0] == key;
            pure += same == 5;
        }
    }
    /* Four categories of 10, two of 9; 4 + 4 items and the two others are left. */
    assert_int_equal(pure, 10);
    drawing_free(&d);
}

static void any_item_step_alone_equals_the_step_in_a_run(void **state)
{
    fb_sampler_options options = item_options();
    options.batch = 7; /* steps lie across the seams of epochs */
    options.group = 4;
    options.grouped = 0.5;
    options.whole_texts = false;
    drawing run = drawing_create(*state, &options);
    uint64_t hashes[20];
    for (uint64_t step = 0; step < 20; step++) {
        draw(&run, step);
        hashes[step] = batch_hash(run.b);
        for (int32_t i = 0; i < 7; i++)
            for (int32_t k = 0; k < i; k++)
                assert_true(run.b->text_item[i] != run.b->text_item[k]);
    }
    for (uint64_t step = 20; step-- > 0;) {
        fb_sampler_cursor *alone = NULL;
        assert_int_equal(fb_sampler_cursor_create(run.f->ctx, &alone, run.s.sampler),
                         FB_OK);
        assert_int_equal(
            fb_sampler_fill(run.f->ctx, run.s.sampler, alone, step, NULL, run.b),
            FB_OK);
        assert_true(batch_hash(run.b) == hashes[step]);
        fb_sampler_cursor_free(alone);
    }
    drawing_free(&run);
}

/* Selfie's: a quarter of the patches, whatever FashionBERT masks. */
static void a_share_of_patches_is_masked_of_each_image_its_own(void **state)
{
    fb_sampler_options options = item_options();
    options.whole_images = false;
    options.patch_share = 0.25;
    drawing d = drawing_create(*state, &options);
    uint8_t before[BATCH][PATCHES];
    int32_t seen[PATCHES] = {0};
    for (uint64_t step = 0; step < 8; step++) {
        draw(&d, step);
        for (int32_t i = 0; i < BATCH; i++) {
            const uint8_t *masked = d.b->patch_masked + i * PATCHES;
            int32_t count = 0;
            for (int32_t p = 0; p < PATCHES; p++) {
                count += masked[p];
                seen[p] += masked[p];
            }
            assert_int_equal(count, PATCHES / 4);
            for (int32_t j = 0; j < i; j++) /* not one mask for the whole batch */
                assert_memory_not_equal(masked, d.b->patch_masked + j * PATCHES,
                                        PATCHES);
            if (step > 0)
                assert_memory_not_equal(masked, before[i], PATCHES);
            memcpy(before[i], masked, PATCHES);
        }
        assert_int_equal(d.b->mpm_count, BATCH * PATCHES / 4);
    }
    for (int32_t p = 0; p < PATCHES; p++) /* 160 draws at 1/4 */
        assert_in_range(seen[p], 15, 70);
    draw(&d, 7);
    assert_memory_equal(before, d.b->patch_masked, sizeof before);
    drawing_free(&d);
}

static fb_sampler_options changing_options(void)
{
    fb_sampler_options options = item_options();
    options.batch = 7;
    options.augment = (fb_augment){.flip = 0.5, .shift = 0.1, .zoom = 0.2};
    options.text_mask = 0.3;
    options.rare_mask = 1;
    return options;
}

static void augmented_steps_are_the_same_alone_and_from_the_cache(void **state)
{
    fb_sampler_options options = changing_options();
    drawing plain = drawing_create(*state, &options);
    options.cache_bytes = 40 * IMAGE_SIZE * IMAGE_SIZE * 3; /* not all of them */
    drawing kept = drawing_create(*state, &options);
    uint64_t hashes[30];
    for (uint64_t step = 0; step < 30; step++) {
        draw(&kept, step);
        hashes[step] = batch_hash(kept.b);
    }
    for (uint64_t step = 30; step-- > 0;) {
        draw(&plain, step);
        assert_true(batch_hash(plain.b) == hashes[step]);
    }
    drawing_free(&plain);
    drawing_free(&kept);
}

static void a_cached_image_is_not_read_again(void **state)
{
    fixture *f = *state;
    fb_sampler_options options = item_options();
    options.cache_bytes = INT64_C(1) << 40; /* an image an item is the most it takes */
    drawing d = drawing_create(f, &options);
    for (uint64_t step = 0; step < 3; step++)
        draw(&d, step);
    uint64_t hash = batch_hash(d.b);
    for (int32_t i = 0; i < ITEMS; i++) {
        char name[64];
        snprintf(name, sizeof name, "%d.png", i);
        fixture_text(f, name, "no image at all");
    }
    draw(&d, 2);
    assert_true(batch_hash(d.b) == hash);
    drawing_free(&d);
}

static void augmentation_changes_with_the_epoch_and_texts_have_no_targets(void **state)
{
    const fb_sampler_options options = changing_options();
    drawing d = drawing_create(*state, &options);
    enum { STEPS = 2 * ITEMS / 7 };
    uint64_t first[ITEMS] = {0};
    int32_t changed = 0, again = 0, masks = 0;
    for (uint64_t step = 0; step < STEPS; step++) {
        draw(&d, step);
        assert_int_equal(d.b->mlm_count, 0);
        for (int32_t i = 0; i < fb_batch_text_tokens(d.b); i++)
            masks += d.b->token_ids[i] == FIXTURE_MASK;
        for (int32_t i = 0; i < d.b->images; i++) {
            uint64_t *known = &first[d.b->image_item[i]];
            uint64_t hash = fb_hash_bytes(1, fb_batch_pixels(d.b, i),
                                          (size_t)IMAGE_SIZE * IMAGE_SIZE * 3);
            again += *known != 0;
            changed += *known != 0 && *known != hash;
            *known = hash;
        }
    }
    assert_true(again >= 50 && changed >= again - 2);
    assert_true(masks > 50);
    drawing_free(&d);
}

static void options_out_of_range_are_refused(void **state)
{
    enum { WRONG = 8 };
    fixture *f = *state;
    sampling s = sampling_create(f, 4, 5, false);
    fb_sampler_options wrong[WRONG];
    for (int i = 0; i < WRONG; i++)
        wrong[i] = item_options();
    wrong[0].batch = ITEMS + 1;
    wrong[1].group = 8; /* and no share */
    wrong[2].text_mask = 1.5;
    wrong[3].text_mask = 0.5; /* of texts with tokens to guess */
    wrong[3].whole_texts = false;
    wrong[4].augment.zoom = -1;
    wrong[5].patch_share = 1.5;
    wrong[6].rare_mask = -1;
    wrong[7].rare_mask = 2;
    wrong[7].whole_texts = false;
    for (int i = 0; i < WRONG; i++) {
        fb_sampler *sampler = NULL;
        assert_int_equal(fb_sampler_create(f->ctx, &sampler, s.catalogue, s.tokens,
                                           s.vocab, &wrong[i]),
                         FB_E_USAGE);
        assert_null(sampler);
    }
    sampling_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(row_i_of_texts_and_images_is_item_i),
        FIXTURE_TEST(pixels_are_those_of_the_file_at_any_size),
        FIXTURE_TEST(groups_are_equal_exactly_for_what_is_the_same),
        FIXTURE_TEST(sameness_is_carried_on),
        FIXTURE_TEST(batches_take_groups_of_a_category),
        FIXTURE_TEST(any_item_step_alone_equals_the_step_in_a_run),
        FIXTURE_TEST(augmented_steps_are_the_same_alone_and_from_the_cache),
        FIXTURE_TEST(a_cached_image_is_not_read_again),
        FIXTURE_TEST(augmentation_changes_with_the_epoch_and_texts_have_no_targets),
        FIXTURE_TEST(a_share_of_patches_is_masked_of_each_image_its_own),
        FIXTURE_TEST(options_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

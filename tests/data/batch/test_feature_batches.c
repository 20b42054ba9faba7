/* test_feature_batches.c - batches whose images come as features: those of the right
 * items, all else as with pixels; and images decoded a block at a time.
 */
#include "base/intern.h"
#include "data/batch/feature_writer.h"
#include "data/image/image_block.h"
#include "data/image/image_load.h"
#include "support/sampler_fixture.h"

enum { BATCH = 8, PATCHES = 16, WIDTH = 3, NUMBERS = PATCHES * WIDTH, SIDE = 32 };

/* A cache in which every number of a row tells its item. */
static fb_feature_cache *make_cache(const fixture *f, const fb_feature_rows *rows,
                                    int32_t patches)
{
    const fb_feature_key key = {
        .encoder = "thin", .rows = rows->count, .patches = patches, .features = WIDTH};
    char path[4096];
    fb_feature_writer *w = NULL;
    fb_feature_cache *cache = NULL;
    fb_bf16 row[NUMBERS];
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "cache"), FB_OK);
    assert_int_equal(fb_feature_writer_open(f->ctx, &w, path, &key, 1, false), FB_OK);
    for (int32_t r = 0; r < rows->count; r++) {
        for (int32_t i = 0; i < NUMBERS; i++)
            row[i] = (fb_bf16)(100 * rows->item[r] + i);
        assert_int_equal(fb_feature_writer_add(f->ctx, w, row), FB_OK);
    }
    assert_int_equal(fb_feature_writer_finish(f->ctx, w), FB_OK);
    fb_feature_writer_close(w);
    assert_int_equal(fb_feature_cache_open(f->ctx, &cache, path, &key), FB_OK);
    return cache;
}

static fb_sampler_options options_of(bool items)
{
    return (fb_sampler_options){.split = FB_SPLIT_TRAIN,
                                .batch = BATCH,
                                .seed = 3,
                                .patches = PATCHES,
                                .image_size = SIDE,
                                .fit = FB_FIT_PAD,
                                .items = items};
}

static void fill(const fixture *f, const sampling *s, const fb_sampler_options *o,
                 uint64_t step, fb_batch **batch)
{
    fb_sampler *sampler = NULL;
    fb_sampler_cursor *cursor = NULL;
    if (fb_sampler_create(f->ctx, &sampler, s->catalogue, s->tokens, s->vocab, o) !=
        FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    assert_int_equal(fb_sampler_batch_create(f->ctx, batch, sampler), FB_OK);
    assert_int_equal(fb_sampler_cursor_create(f->ctx, &cursor, sampler), FB_OK);
    assert_int_equal(fb_sampler_fill(f->ctx, sampler, cursor, step, NULL, *batch),
                     FB_OK);
    fb_sampler_cursor_free(cursor);
    fb_sampler_free(sampler);
}

static void compare(const fb_batch *features, fb_batch *pixels)
{
    assert_int_equal(features->feature_width, WIDTH);
    assert_int_equal(pixels->feature_width, 0);
    for (int32_t i = 0; i < features->images; i++)
        for (int32_t n = 0; n < NUMBERS; n++)
            assert_int_equal(features->features[i * NUMBERS + n],
                             100 * features->image_item[i] + n);
    fb_batch bare = *features; /* all else is the same, masks too */
    bare.pixels = pixels->pixels;
    assert_true(batch_hash(&bare) == batch_hash(pixels));
}

static void features_stand_in_for_pixels(void **state)
{
    fixture *f = *state;
    sampling s = sampling_create(f, BATCH, 1, false);
    fb_feature_rows rows;
    assert_int_equal(fb_feature_rows_create(f->ctx, &rows, s.catalogue), FB_OK);
    fb_feature_cache *cache = make_cache(f, &rows, PATCHES);
    for (int items = 0; items < 2; items++)
        for (uint64_t step = 0; step < 6; step++) {
            fb_batch *pixels = NULL, *features = NULL;
            fb_sampler_options o = options_of(items);
            fill(f, &s, &o, step, &pixels);
            o.features = (fb_feature_table){cache, &rows, WIDTH};
            fill(f, &s, &o, step, &features);
            compare(features, pixels);
            fb_batch_free(pixels);
            fb_batch_free(features);
        }
    fb_feature_cache_close(cache);
    fb_feature_rows_clear(&rows);
    sampling_free(&s);
}

static void what_does_not_go_with_features_is_refused(void **state)
{
    fixture *f = *state;
    sampling s = sampling_create(f, BATCH, 1, false);
    fb_feature_rows rows;
    fb_sampler *sampler = NULL;
    assert_int_equal(fb_feature_rows_create(f->ctx, &rows, s.catalogue), FB_OK);
    fb_feature_cache *cache = make_cache(f, &rows, PATCHES);
    fb_sampler_options o = options_of(true);
    o.features = (fb_feature_table){cache, &rows, WIDTH};
    o.augment.flip = 0.5;
    assert_int_equal(
        fb_sampler_create(f->ctx, &sampler, s.catalogue, s.tokens, s.vocab, &o),
        FB_E_USAGE);
    o.augment.flip = 0;
    o.features.features = WIDTH + 1;
    assert_int_equal(
        fb_sampler_create(f->ctx, &sampler, s.catalogue, s.tokens, s.vocab, &o),
        FB_E_SHAPE);
    o.features.features = WIDTH;
    int32_t item = rows.item[ITEMS - 1];
    rows.row_of[item] = -1;
    assert_int_equal(
        fb_sampler_create(f->ctx, &sampler, s.catalogue, s.tokens, s.vocab, &o),
        FB_E_MISSING);
    rows.row_of[item] = rows.count;
    assert_int_equal(
        fb_sampler_create(f->ctx, &sampler, s.catalogue, s.tokens, s.vocab, &o),
        FB_E_MISSING);
    assert_null(sampler);
    fb_feature_cache_close(cache);
    fb_feature_rows_clear(&rows);
    sampling_free(&s);
}

static void blocks_of_images_are_decoded_as_one_by_one(void **state)
{
    fixture *f = *state;
    enum { BYTES = SIDE * SIDE * 3, MOST = 16 };
    fb_catalogue *cat = fixture_catalogue(f);
    fb_resizer *resizer = fb_resizer_create();
    int32_t items[MOST];
    uint8_t want[BYTES];
    for (int32_t threads = 1; threads <= 3; threads++) {
        fb_image_block *block = NULL;
        assert_int_equal(
            fb_image_block_create(f->ctx, &block, cat, MOST, SIDE, FB_FIT_PAD, threads),
            FB_OK);
        for (int32_t count = 0; count <= MOST; count += 8) {
            const uint8_t *pixels = NULL;
            for (int32_t i = 0; i < count; i++)
                items[i] = (i * 7 + count) % ITEMS;
            assert_int_equal(fb_image_block_start(f->ctx, block, items, count), FB_OK);
            assert_int_equal(fb_image_block_start(f->ctx, block, items, count),
                             FB_E_STATE);
            assert_int_equal(fb_image_block_wait(f->ctx, block, &pixels), FB_OK);
            for (int32_t i = 0; i < count; i++) {
                char path[4096];
                assert_int_equal(fb_catalogue_image_path(f->ctx, cat, items[i], path),
                                 FB_OK);
                assert_int_equal(fb_image_load(f->ctx, path, resizer, SIDE, FB_FIT_PAD,
                                               FB_FILTER_BILINEAR, want),
                                 FB_OK);
                assert_memory_equal(pixels + (size_t)i * BYTES, want, BYTES);
            }
        }
        assert_int_equal(fb_image_block_start(f->ctx, block, items, MOST + 1),
                         FB_E_STATE);
        assert_int_equal(fb_image_block_start(f->ctx, block, items, MOST), FB_OK);
        fb_image_block_free(block); /* with threads at work */
    }
    fb_resizer_free(resizer);
    fb_catalogue_close(cat);
}

static void the_first_bad_image_of_a_block_is_named(void **state)
{
    fixture *f = *state;
    fb_catalogue *cat = fixture_catalogue(f);
    const int32_t items[6] = {9, 4, 8, 3, 2, 1};
    fixture_text(f, "8.png", "no picture");
    fixture_text(f, "2.png", "no picture either");
    fb_image_block *block = NULL;
    const uint8_t *pixels = NULL;
    assert_int_equal(fb_image_block_create(f->ctx, &block, cat, 6, SIDE, FB_FIT_PAD, 2),
                     FB_OK);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(fb_image_block_start(f->ctx, block, items, 6), FB_OK);
        assert_int_equal(fb_image_block_wait(f->ctx, block, &pixels), FB_E_FORMAT);
        assert_non_null(strstr(fb_context_message(f->ctx), "/8.png"));
    }
    assert_int_equal(fb_image_block_start(f->ctx, block, items, 2), FB_OK);
    assert_int_equal(fb_image_block_wait(f->ctx, block, &pixels), FB_OK);
    assert_non_null(pixels);
    fb_image_block_free(block);
    fb_catalogue_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(features_stand_in_for_pixels),
        FIXTURE_TEST(what_does_not_go_with_features_is_refused),
        FIXTURE_TEST(blocks_of_images_are_decoded_as_one_by_one),
        FIXTURE_TEST(the_first_bad_image_of_a_block_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

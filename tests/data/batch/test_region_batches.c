/* test_region_batches.c - batches whose images come as regions: those of the right items,
 * as many as each has, masked each by itself; all else as with pixels.
 */
#include "support/region_fixture.h"
#include "support/sampler_fixture.h"

enum { BATCH = 8, WIDTH = REGION_FIXTURE_WIDTH, MOST = REGION_FIXTURE_MOST };

static fb_sampler_options options_of(const fb_region_table *regions, bool items)
{
    return (fb_sampler_options){.split = FB_SPLIT_TRAIN,
                                .batch = BATCH,
                                .seed = 3,
                                .patches = regions ? regions->most : 16,
                                .image_size = 32,
                                .fit = FB_FIT_PAD,
                                .regions = regions,
                                .items = items};
}

static fb_region_table *open_table(const fixture *f, const sampling *s,
                                   const char *path, int32_t limit)
{
    fb_region_table *t = NULL;
    if (fb_region_table_open(f->ctx, &t, path, s->catalogue, limit) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    return t;
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

static void check_rows(const fb_batch *b, int32_t most)
{
    for (int32_t i = 0; i < b->images; i++) {
        int32_t item = b->image_item[i], n = region_fixture_count(item), masked = 0;
        assert_int_equal(fb_batch_image_rows(b, i), n < most ? n : most);
        for (int32_t r = 0; r < fb_batch_image_rows(b, i); r++) {
            int32_t row = b->image_offsets[i] + r;
            for (int32_t k = 0; k < WIDTH; k++)
                assert_true(fb_bf16_to_f32(b->features[row * WIDTH + k]) ==
                            region_fixture_number(item, r, k));
            assert_true(b->boxes[row * 4 + 1] == (float)r / 8);
            masked += b->patch_masked[row];
        }
        assert_int_equal(masked, 1);
    }
}

/* Every row of a sequence is of the pair's image, and those to guess are masked. */
static void check_sequences(const fb_batch *b)
{
    int32_t tokens = fb_batch_text_tokens(b);
    for (int32_t p = 0; p < b->pairs; p++) {
        int32_t image = b->pair_image[p], rows = fb_batch_image_rows(b, image);
        for (int32_t r = 0; r < rows; r++)
            assert_int_equal(b->row_source[b->seq_offsets[p + 1] - rows + r],
                             tokens + b->image_offsets[image] + r);
    }
    assert_true(b->mpm_count > 0);
    for (int32_t m = 0; m < b->mpm_count; m++) {
        assert_int_equal(b->row_source[b->mpm_rows[m]], tokens + b->mpm_patches[m]);
        assert_true(b->patch_masked[b->mpm_patches[m]]);
    }
}

static void regions_stand_in_for_pixels(void **state)
{
    fixture *f = *state;
    sampling s = sampling_create(f, BATCH, 1, false);
    char path[4096];
    region_fixture_write(f, path, ".png", ITEMS, -1, true);
    for (int32_t limit = 0; limit < 4; limit += 3)
        for (int items = 0; items < 2; items++)
            for (uint64_t step = 0; step < 6; step++) {
                fb_region_table *t = open_table(f, &s, path, limit);
                fb_batch *pixels = NULL, *regions = NULL;
                fb_sampler_options o = options_of(NULL, items);
                fill(f, &s, &o, step, &pixels);
                o = options_of(t, items);
                fill(f, &s, &o, step, &regions);
                assert_int_equal(regions->feature_width, WIDTH);
                check_rows(regions, limit ? limit : MOST);
                check_sequences(regions);
                size_t pairs = (size_t)pixels->pairs * sizeof(int32_t);
                assert_int_equal(regions->pairs, pixels->pairs);
                assert_memory_equal(regions->pair_text, pixels->pair_text, pairs);
                assert_memory_equal(regions->pair_image, pixels->pair_image, pairs);
                assert_memory_equal(regions->image_item, pixels->image_item,
                                    (size_t)pixels->images * sizeof(int32_t));
                assert_int_equal(regions->mlm_count, pixels->mlm_count);
                fb_batch_free(pixels);
                fb_batch_free(regions);
                fb_region_table_close(t);
            }
    sampling_free(&s);
}

static void files_without_boxes_are_batches_without(void **state)
{
    fixture *f = *state;
    sampling s = sampling_create(f, BATCH, 1, false);
    char path[4096];
    region_fixture_write(f, path, ".png", ITEMS, -1, false);
    fb_region_table *t = open_table(f, &s, path, 0);
    fb_sampler_options o = options_of(t, true);
    fb_batch *b = NULL;
    fill(f, &s, &o, 0, &b);
    assert_null(b->boxes);
    assert_null(b->region_classes);
    fb_batch_free(b);
    fb_region_table_close(t);
    sampling_free(&s);
}

static void what_does_not_go_with_regions_is_refused(void **state)
{
    fixture *f = *state;
    sampling s = sampling_create(f, BATCH, 1, false);
    fb_sampler *sampler = NULL;
    char path[4096];
    region_fixture_write(f, path, ".png", ITEMS, 17, true);
    fb_region_table *t = open_table(f, &s, path, 0);
    fb_sampler_options o = options_of(t, true);
    assert_int_equal(
        fb_sampler_create(f->ctx, &sampler, s.catalogue, s.tokens, s.vocab, &o),
        FB_E_MISSING);
    assert_non_null(strstr(fb_context_message(f->ctx), "17.png"));
    fb_region_table_close(t);
    region_fixture_write(f, path, ".png", ITEMS, -1, true);
    t = open_table(f, &s, path, 0);
    o = options_of(t, true);
    o.augment.flip = 0.5;
    assert_int_equal(
        fb_sampler_create(f->ctx, &sampler, s.catalogue, s.tokens, s.vocab, &o),
        FB_E_USAGE);
    o.augment.flip = 0;
    o.patches = MOST - 1;
    assert_int_equal(
        fb_sampler_create(f->ctx, &sampler, s.catalogue, s.tokens, s.vocab, &o),
        FB_E_SHAPE);
    assert_null(sampler);
    fb_region_table_close(t);
    sampling_free(&s);
}

/* Stems of files are names too; a product of several images is not. */
static void names_mean_images_as_an_import_says(void **state)
{
    fixture *f = *state;
    sampling s = sampling_create(f, BATCH, 1, false);
    fb_region_table *t = NULL;
    fb_region_writer *w = NULL;
    char path[4096];
    region_fixture_write(f, path, "", ITEMS + 3, -1, true); /* three of others */
    t = open_table(f, &s, path, 0);
    assert_int_equal(fb_region_table_get(t, 12).count, region_fixture_count(12));
    fb_region_table_close(t);
    t = NULL;
    for (int turn = 0; turn < 2; turn++) {
        assert_int_equal(fb_region_writer_open(f->ctx, &w, path), FB_OK);
        region_fixture_add(f, w, turn ? "12" : "p41", 12, true);
        region_fixture_add(f, w, "12.png", 12, true);
        assert_int_equal(fb_region_writer_finish(f->ctx, w), FB_OK);
        fb_region_writer_close(w);
        assert_int_equal(fb_region_table_open(f->ctx, &t, path, s.catalogue, 0),
                         FB_E_FORMAT);
        assert_non_null(strstr(fb_context_message(f->ctx),
                               turn ? "are one image" : "may be several images"));
    }
    assert_null(t);
    sampling_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(regions_stand_in_for_pixels),
        FIXTURE_TEST(files_without_boxes_are_batches_without),
        FIXTURE_TEST(what_does_not_go_with_regions_is_refused),
        FIXTURE_TEST(names_mean_images_as_an_import_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* sampler_fixture.h - a synthetic catalogue with every trap for negatives, its images
 * and token lists: products with several views, equal titles, byte-equal images,
 * categories of one item and rows without any.
 */
#ifndef FB_TESTS_SAMPLER_FIXTURE_H
#define FB_TESTS_SAMPLER_FIXTURE_H

#include "base/hash.h"
#include "data/batch/sampler.h"
#include "data/image/image_decode.h"
#include "support/catalogue_fixture.h"

enum { ITEMS = 60, TOKENS_MAX = 9, FIXTURE_VOCAB = 300, FIXTURE_MASK = 4 };

/* Item i's picture: items 7 apart in the first 21 share one byte for byte. */
static inline int32_t fixture_picture(int32_t i)
{
    return i < 21 ? i % 7 : i;
}

static inline void fixture_image(const fixture *f, int32_t i)
{
    enum { WIDTH = 12, HEIGHT = 16 };
    uint8_t rgb[WIDTH * HEIGHT * 3];
    char name[64], path[4096];
    fb_random random = fb_random_start(5, FB_STREAM_TEST, (uint64_t)fixture_picture(i));
    for (size_t b = 0; b < sizeof rgb; b++)
        rgb[b] = (uint8_t)fb_random_below(&random, 256);
    fb_image image = {WIDTH, HEIGHT, rgb};
    snprintf(name, sizeof name, "%d.png", i);
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, name), FB_OK);
    assert_int_equal(fb_image_write_png(f->ctx, path, &image), FB_OK);
}

static inline fb_catalogue *fixture_catalogue(const fixture *f)
{
    char *rows = calloc(ITEMS, 256), *at = rows;
    assert_non_null(rows);
    for (int32_t i = 0; i < ITEMS; i++) {
        fixture_image(f, i);
        at += sprintf(at, "{\"file_name\":\"%d.png\",\"title\":\"Title %d\"", i,
                      i % 25 == 3 ? 3 : i);
        at += sprintf(at, ",\"product_id\":\"p%d\"", i >= 40 ? 40 + i % 5 : i);
        if (i == 30)
            at += sprintf(at, ",\"category\":\"alone\",\"subcategory\":\"sub0\"");
        else if (i != 31) /* 31 has no category at all */
            at += sprintf(at, ",\"category\":\"c%d\",\"subcategory\":\"sub%d\"", i % 6,
                          i % 2);
        at += sprintf(at, "}\n");
    }
    fixture_text(f, "metadata.jsonl", rows);
    free(rows);
    fb_catalogue *cat = NULL;
    if (fb_catalogue_open(f->ctx, &cat, f->folder, NULL) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    return cat;
}

static inline fb_token_lists *fixture_tokens(const fb_catalogue *cat)
{
    fb_token_lists *lists = calloc(1, sizeof *lists);
    assert_non_null(lists);
    lists->count = ITEMS;
    lists->longest = TOKENS_MAX;
    lists->offsets = calloc(ITEMS + 1, sizeof *lists->offsets);
    lists->ids = calloc((size_t)ITEMS * TOKENS_MAX, sizeof *lists->ids);
    for (int32_t i = 0; i < ITEMS; i++) {
        int32_t text = fb_catalogue_get(cat, i)->text, length = 4 + text % 6;
        int32_t *ids = lists->ids + lists->offsets[i];
        for (int32_t t = 0; t < length; t++)
            ids[t] = t == 0 ? 2 : t == length - 1 ? 3 : 5 + text * 4 + t % 3;
        lists->offsets[i + 1] = lists->offsets[i] + length;
    }
    return lists;
}

static inline fb_mask_vocab *fixture_vocab(void)
{
    uint8_t kinds[FIXTURE_VOCAB];
    for (int32_t i = 0; i < FIXTURE_VOCAB; i++)
        kinds[i] = i <= FIXTURE_MASK ? FB_TOKEN_SPECIAL : FB_TOKEN_WORD;
    fb_mask_vocab *vocab = NULL;
    assert_int_equal(
        fb_mask_vocab_create(NULL, &vocab, kinds, FIXTURE_VOCAB, FIXTURE_MASK), FB_OK);
    return vocab;
}

/* All that a sampler stands on. */
typedef struct sampling {
    fb_catalogue *catalogue;
    fb_token_lists *tokens;
    fb_mask_vocab *vocab;
    fb_sampler *sampler;
} sampling;

static inline sampling sampling_create(const fixture *f, int32_t batch, uint64_t seed,
                                       bool masked_on_mismatched)
{
    sampling s = {fixture_catalogue(f), NULL, fixture_vocab(), NULL};
    s.tokens = fixture_tokens(s.catalogue);
    fb_sampler_options options = {.split = FB_SPLIT_TRAIN,
                                  .batch = batch,
                                  .seed = seed,
                                  .patches = 16,
                                  .image_size = 32,
                                  .fit = FB_FIT_PAD,
                                  .masked_on_mismatched = masked_on_mismatched};
    if (fb_sampler_create(f->ctx, &s.sampler, s.catalogue, s.tokens, s.vocab,
                          &options) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    return s;
}

static inline void sampling_free(sampling *s)
{
    fb_sampler_free(s->sampler);
    fb_token_lists_free(s->tokens);
    fb_mask_vocab_free(s->vocab);
    fb_catalogue_close(s->catalogue);
}

/* A number over everything that a batch holds. */
static inline uint64_t batch_hash(const fb_batch *b)
{
    const int32_t counts[] = {b->pairs,
                              b->texts,
                              b->images,
                              b->image_size,
                              b->mlm_count,
                              b->mpm_count,
                              (int32_t)b->fallbacks};
    uint64_t h = fb_hash_bytes(1, counts, sizeof counts);
#define HASH(field, count)                                                             \
    h = fb_hash_bytes(h, b->field, (size_t)(count) * sizeof *b->field)
    HASH(text_offsets, b->texts + 1);
    HASH(text_item, b->texts);
    HASH(text_group, b->texts);
    HASH(image_item, b->images);
    HASH(image_group, b->images);
    HASH(token_ids, fb_batch_text_tokens(b));
    HASH(token_positions, fb_batch_text_tokens(b));
    HASH(token_segments, fb_batch_text_tokens(b));
    HASH(pixels, (int64_t)b->images * b->image_size * b->image_size * 3);
    HASH(patch_masked, (int64_t)b->images * b->patches);
    HASH(pair_text, b->pairs);
    HASH(pair_image, b->pairs);
    HASH(pair_label, b->pairs);
    HASH(seq_offsets, b->pairs + 1);
    HASH(row_source, fb_batch_tokens(b));
    HASH(cls_rows, b->pairs);
    HASH(mlm_rows, b->mlm_count);
    HASH(mlm_targets, b->mlm_count);
    HASH(mpm_rows, b->mpm_count);
    HASH(mpm_patches, b->mpm_count);
#undef HASH
    return h;
}

#endif

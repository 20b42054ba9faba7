/* sampler.c - choose the pairs or items of a step, then fill its batch: texts masked,
 * images decoded and augmented, patches masked, packed, rows to guess listed.
 */
#include "data/batch/sampler_parts.h"

#include "data/image/image_load.h"

#include <stdlib.h>
#include <string.h>

enum { REDRAWS = 16 };

static fb_status check_features(fb_context *ctx, const fb_sampler *s)
{
    const fb_sampler_options *o = &s->options;
    const fb_feature_table *t = &o->features;
    if (!t->cache)
        return FB_OK;
    if (fb_augment_any(&o->augment))
        return fb_fail(ctx, FB_E_USAGE,
                       "features that were computed before are of images as they are; "
                       "these cannot be flipped, shifted or zoomed");
    size_t row_bytes = (size_t)o->patches * (size_t)t->features * sizeof(fb_bf16);
    if (fb_feature_cache_row_bytes(t->cache) != row_bytes)
        return fb_fail(ctx, FB_E_SHAPE, "features of %zu bytes an image, not %zu",
                       fb_feature_cache_row_bytes(t->cache), row_bytes);
    for (int32_t i = 0; i < s->item_count; i++) {
        int32_t row = t->rows->row_of[s->items[i]];
        if (row < 0 || row >= fb_feature_cache_rows(t->cache))
            return fb_fail(ctx, FB_E_MISSING, "no features of split %s",
                           fb_split_name(o->split));
    }
    return FB_OK;
}

static fb_status check_regions(fb_context *ctx, const fb_sampler *s)
{
    const fb_sampler_options *o = &s->options;
    const fb_region_table *t = o->regions;
    if (!t)
        return FB_OK;
    if (fb_augment_any(&o->augment))
        return fb_fail(ctx, FB_E_USAGE,
                       "regions are of images as they are; these cannot be flipped, "
                       "shifted or zoomed");
    if (o->features.cache || t->most > o->patches)
        return fb_fail(ctx, FB_E_SHAPE, "up to %d regions an image, not %d",
                       (int)t->most, (int)o->patches);
    return fb_region_table_check(ctx, t, s->items, s->item_count);
}

static fb_status check(fb_context *ctx, const fb_sampler *s)
{
    if (s->options.batch < 1)
        return fb_fail(ctx, FB_E_USAGE, "a batch of %d pairs, at least 1 is needed",
                       s->options.batch);
    if (!(s->options.text_mask >= 0.0 && s->options.text_mask <= 1.0))
        return fb_fail(ctx, FB_E_USAGE,
                       "a share of %g of the words as [MASK]; 0 to 1 is expected",
                       s->options.text_mask);
    if (!(s->options.patch_share >= 0.0 && s->options.patch_share <= 1.0))
        return fb_fail(ctx, FB_E_USAGE,
                       "a share of %g of the patches masked; 0 to 1 is expected",
                       s->options.patch_share);
    if (!(s->options.rare_mask >= 0.0 && s->options.rare_mask <= 1e6))
        return fb_fail(ctx, FB_E_USAGE, "rare words masked by %g; 0 to 1e6 is expected",
                       s->options.rare_mask);
    if ((s->options.text_mask > 0.0 || s->options.rare_mask > 0.0) &&
        !s->options.whole_texts)
        return fb_fail(ctx, FB_E_USAGE,
                       "texts whose masked tokens are to be guessed cannot have other "
                       "words masked as well; leave one of the two out");
    FB_TRY(fb_augment_check(ctx, &s->options.augment));
    FB_TRY(check_features(ctx, s));
    FB_TRY(check_regions(ctx, s));
    if (s->options.queries && s->options.items)
        return fb_fail(ctx, FB_E_USAGE,
                       "batches of items have no queries; leave one of the two out");
    if (s->item_count < 1)
        return fb_fail(ctx, FB_E_USAGE, "%s: the split %s is empty",
                       fb_catalogue_folder(s->catalogue),
                       fb_split_name(s->options.split));
    for (int32_t i = 0; i < s->item_count; i++) {
        int32_t count;
        fb_token_list(s->tokens, s->items[i], &count);
        if (count < 1)
            return fb_fail(ctx, FB_E_USAGE, "%s/metadata.jsonl:%d: title without token",
                           fb_catalogue_folder(s->catalogue),
                           fb_catalogue_get(s->catalogue, s->items[i])->line);
    }
    return FB_OK;
}

static bool holds(const int32_t *ids, int32_t count, int32_t id)
{
    for (int32_t i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return false;
}

static fb_status count_titles(fb_context *ctx, fb_sampler *s)
{
    s->titles = calloc((size_t)s->vocab->size, sizeof *s->titles);
    if (!s->titles)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to count tokens");
    for (int32_t i = 0; i < s->item_count; i++) {
        int32_t count;
        const int32_t *ids = fb_token_list(s->tokens, s->items[i], &count);
        for (int32_t t = 0; t < count; t++)
            s->titles[ids[t]] += !holds(ids, t, ids[t]); /* once an item */
    }
    return FB_OK;
}

static fb_status prepare(fb_context *ctx, fb_sampler *s)
{
    const fb_sampler_options *o = &s->options;
    fb_item_order_options order = {.seed = o->seed,
                                   .per_step = fb_sampler_items_per_step(s),
                                   .distinct = o->items,
                                   .group = o->group,
                                   .grouped = o->grouped};
    const int32_t *rows = o->queries ? fb_query_split_numbers(o->queries) : s->items;
    FB_TRY(fb_item_order_create(ctx, &s->order, s->catalogue, rows, fb_sampler_items(s),
                                &order));
    FB_TRY(fb_item_groups_create(ctx, &s->groups, s->catalogue, s->tokens, s->items,
                                 s->item_count));
    int64_t image_bytes = 3 * (int64_t)o->image_size * o->image_size;
    if (o->cache_bytes > 0 && image_bytes > 0)
        FB_TRY(fb_pixel_cache_create(ctx, &s->cache, fb_catalogue_count(s->catalogue),
                                     image_bytes, o->cache_bytes));
    if (o->rare_mask > 0)
        FB_TRY(count_titles(ctx, s));
    if (o->items || o->queries)
        return FB_OK;
    return fb_negatives_create(ctx, &s->negatives, s->catalogue, s->items,
                               s->item_count);
}

fb_status fb_sampler_create(fb_context *ctx, fb_sampler **sampler,
                            const fb_catalogue *catalogue, const fb_token_lists *tokens,
                            const fb_mask_vocab *vocab,
                            const fb_sampler_options *options)
{
    fb_sampler *s = calloc(1, sizeof *s);
    if (!s)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a sampler");
    s->catalogue = catalogue;
    s->tokens = tokens;
    s->vocab = vocab;
    s->options = *options;
    s->items = fb_catalogue_split_items(catalogue, options->split, &s->item_count);
    s->longest_text = tokens->longest;
    fb_status status = check(ctx, s);
    if (status == FB_OK)
        status = prepare(ctx, s);
    if (status == FB_OK)
        *sampler = s;
    else
        fb_sampler_free(s);
    return status;
}

void fb_sampler_free(fb_sampler *sampler)
{
    if (!sampler)
        return;
    fb_negatives_free(sampler->negatives);
    fb_item_order_free(sampler->order);
    fb_item_groups_free(sampler->groups);
    fb_pixel_cache_free(sampler->cache);
    free(sampler->titles);
    free(sampler);
}

int32_t fb_sampler_items(const fb_sampler *s)
{
    return s->options.queries ? fb_query_split_rows(s->options.queries) : s->item_count;
}

int32_t fb_sampler_items_per_step(const fb_sampler *s)
{
    return s->options.items ? s->options.batch
                            : s->options.batch - s->options.batch / 2;
}

fb_status fb_sampler_make_batch(fb_context *ctx, fb_batch **batch, const fb_sampler *s,
                                const fb_batch_limits *limits, int32_t longest_text)
{
    const fb_feature_table *features = &s->options.features;
    if (!s->options.regions)
        return fb_batch_create_features(ctx, batch, limits, longest_text,
                                        features->cache ? features->features : 0);
    fb_region_kind kind = fb_region_table_kind(s->options.regions);
    return fb_batch_create_regions(ctx, batch, limits, longest_text, &kind);
}

fb_status fb_sampler_batch_create(fb_context *ctx, fb_batch **batch,
                                  const fb_sampler *s)
{
    const fb_sampler_options *o = &s->options;
    if (o->queries)
        return fb_sampler_batch_of_queries(ctx, batch, s);
    if (o->batch > INT32_MAX / s->longest_text)
        return fb_fail(ctx, FB_E_LIMIT, "a batch of %d pairs is too large", o->batch);
    fb_batch_limits limits = {o->batch,   o->batch,
                              o->batch,   o->batch * s->longest_text,
                              o->patches, o->image_size};
    return fb_sampler_make_batch(ctx, batch, s, &limits, s->longest_text);
}

fb_status fb_sampler_cursor_create(fb_context *ctx, fb_sampler_cursor **cursor,
                                   const fb_sampler *s)
{
    size_t batch = (size_t)s->options.batch, longest = (size_t)s->longest_text;
    size_t side = s->options.image_size > 0 ? (size_t)s->options.image_size : 0;
    fb_sampler_cursor *c = calloc(1, sizeof *c);
    if (c) {
        c->epoch = fb_item_epoch_create(s->order);
        c->scratch = malloc(2 * longest * sizeof *c->scratch);
        c->targets = malloc(2 * batch * longest * sizeof *c->targets);
        c->resizer = fb_resizer_create();
        c->zoomer = fb_resizer_create();
        c->pixels = malloc(side * side * 3 + 1);
    }
    if (!c || !c->epoch || !c->scratch || !c->targets || !c->resizer || !c->zoomer ||
        !c->pixels) {
        fb_sampler_cursor_free(c);
        return fb_fail(ctx, FB_E_MEMORY, "no memory to sample batches");
    }
    *cursor = c;
    return FB_OK;
}

void fb_sampler_cursor_free(fb_sampler_cursor *c)
{
    if (!c)
        return;
    fb_item_epoch_free(c->epoch);
    free(c->scratch);
    free(c->targets);
    fb_resizer_free(c->resizer);
    fb_resizer_free(c->zoomer);
    free(c->pixels);
    free(c);
}

/* ---- the pairs of a step --------------------------------------------------------- */

int32_t fb_sampler_stream(const fb_sampler *s, fb_sampler_cursor *c, uint64_t place)
{
    return fb_item_order_at(s->order, c->epoch, place);
}

bool fb_sampler_same_text(const fb_sampler *s, int32_t a, int32_t b)
{
    int32_t a_count, b_count;
    const int32_t *a_ids = fb_token_list(s->tokens, a, &a_count);
    const int32_t *b_ids = fb_token_list(s->tokens, b, &b_count);
    return a_count == b_count &&
           memcmp(a_ids, b_ids, (size_t)a_count * sizeof *a_ids) == 0;
}

static int32_t add_text(const fb_sampler *s, fb_batch *b, int32_t item)
{
    int32_t count;
    const int32_t *ids = fb_token_list(s->tokens, item, &count);
    int32_t text = fb_batch_add_text(b, ids, count);
    b->text_item[text] = item;
    b->text_group[text] = s->groups->text_group[item];
    return text;
}

static int32_t add_image(const fb_sampler *s, fb_batch *b, int32_t item)
{
    int32_t image;
    if (s->options.regions) {
        fb_regions regions = fb_region_table_get(s->options.regions, item);
        image = fb_batch_add_regions(b, &regions);
    } else {
        image = fb_batch_add_image(b);
    }
    b->image_item[image] = item;
    b->image_group[image] = s->groups->image_group[item];
    return image;
}

/* The item's text in the batch, added when it is not there. */
static int32_t place_text(const fb_sampler *s, fb_batch *b, int32_t item)
{
    for (int32_t i = 0; i < b->texts; i++)
        if (b->text_item[i] == item || fb_sampler_same_text(s, b->text_item[i], item))
            return i;
    return add_text(s, b, item);
}

int32_t fb_sampler_place_image(const fb_sampler *s, fb_batch *b, int32_t item)
{
    const char *file = fb_catalogue_get(s->catalogue, item)->file_name;
    for (int32_t i = 0; i < b->images; i++)
        if (b->image_item[i] == item ||
            strcmp(fb_catalogue_get(s->catalogue, b->image_item[i])->file_name, file) ==
                0)
            return i;
    return add_image(s, b, item);
}

/* Bits for one slot of one step. */
fb_random fb_sampler_random(const fb_sampler *s, enum fb_stream stream, uint64_t step,
                            int32_t slot)
{
    fb_random random = fb_random_start(s->options.seed, stream, step);
    random.key = fb_random_mix(random.key ^ (uint64_t)slot);
    return random;
}

/* Titles may differ and still be the same tokens, once cut or without their accents;
 * such a pair is drawn again while that helps. */
static fb_status draw_other(fb_context *ctx, const fb_sampler *s, fb_random *random,
                            int32_t item, bool other_image, int32_t *other,
                            bool *fell_back)
{
    for (int i = 0; i < REDRAWS; i++) {
        FB_TRY(fb_negatives_draw(ctx, s->negatives, random, item, other_image,
                                 s->options.negatives_anywhere, other, fell_back));
        if (!fb_sampler_same_text(s, item, *other))
            break;
    }
    return FB_OK;
}

static fb_status place_pairs(fb_context *ctx, const fb_sampler *s, fb_sampler_cursor *c,
                             uint64_t step, fb_batch *b)
{
    int32_t matched = fb_sampler_items_per_step(s);
    uint64_t first = step * (uint64_t)matched;
    for (int32_t i = 0; i < matched; i++) {
        int32_t item = fb_sampler_stream(s, c, first + (uint64_t)i);
        int32_t text = place_text(s, b, item);
        fb_batch_add_pair(b, -1, text, fb_sampler_place_image(s, b, item), 1);
    }
    for (int32_t i = 0; i < s->options.batch - matched; i++) {
        int32_t item = fb_sampler_stream(s, c, first + (uint64_t)i), other;
        fb_random random = fb_sampler_random(s, FB_STREAM_NEGATIVE, step, i);
        bool other_image = fb_random_below(&random, 2) == 0, fell_back;
        FB_TRY(draw_other(ctx, s, &random, item, other_image, &other, &fell_back));
        b->fallbacks += fell_back;
        int32_t text = place_text(s, b, other_image ? item : other);
        int32_t image = fb_sampler_place_image(s, b, other_image ? other : item);
        fb_batch_add_pair(b, -1, text, image, 0);
    }
    return FB_OK;
}

/* Row i of texts, images and pairs is item i of the step. */
static void place_items(const fb_sampler *s, fb_sampler_cursor *c, uint64_t step,
                        fb_batch *b)
{
    uint64_t first = step * (uint64_t)s->options.batch;
    for (int32_t i = 0; i < s->options.batch; i++) {
        int32_t item = fb_sampler_stream(s, c, first + (uint64_t)i);
        int32_t text = add_text(s, b, item);
        fb_batch_add_pair(b, -1, text, add_image(s, b, item), 1);
    }
}

/* ---- masks and pixels ------------------------------------------------------------ */

static void mask(const fb_sampler *s, fb_sampler_cursor *c, uint64_t step, fb_batch *b)
{
    const fb_word_mask words = {s->options.text_mask, s->options.rare_mask, s->titles};
    for (int32_t t = 0; t < b->texts; t++) {
        fb_random random = fb_sampler_random(s, FB_STREAM_MASK_TEXT, step, t);
        int32_t count, at = b->text_offsets[t];
        const int32_t *ids = fb_token_list(s->tokens, b->text_item[t], &count);
        for (int32_t i = 0; i < count; i++)
            c->targets[at + i] = -1;
        if (fb_sampler_leaves_whole(s, b->text_item[t], count, &random))
            continue;
        if (!s->options.whole_texts)
            fb_mask_text(s->vocab, &random, ids, count, count, c->scratch,
                         b->token_ids + at, c->targets + at);
        else if (words.share > 0.0 || words.rare > 0.0)
            fb_mask_words(s->vocab, &random, &words, ids, count, c->scratch,
                          b->token_ids + at);
    }
    double share =
        s->options.patch_share > 0 ? s->options.patch_share : FB_MASK_PATCHES;
    for (int32_t i = 0; i < b->images && !s->options.whole_images; i++) {
        fb_random random = fb_sampler_random(s, FB_STREAM_MASK_PATCH, step, i);
        fb_mask_patches(&random, share, fb_batch_image_rows(b, i),
                        b->patch_masked + b->image_offsets[i]);
    }
}

static void list_masked_rows(const fb_sampler *s, const fb_sampler_cursor *c,
                             fb_batch *b)
{
    for (int32_t pair = 0; pair < b->pairs; pair++) {
        if (b->pair_label[pair] == 0 && !s->options.masked_on_mismatched)
            continue;
        int32_t row = b->seq_offsets[pair], text = b->pair_text[pair];
        for (int32_t t = b->text_offsets[text]; t < b->text_offsets[text + 1];
             t++, row++) {
            if (c->targets[t] < 0)
                continue;
            b->mlm_rows[b->mlm_count] = row;
            b->mlm_targets[b->mlm_count++] = c->targets[t];
        }
        int32_t image = b->pair_image[pair], end = b->image_offsets[image + 1];
        for (int32_t patch = b->image_offsets[image]; patch < end; patch++, row++) {
            if (!b->patch_masked[patch])
                continue;
            b->mpm_rows[b->mpm_count] = row;
            b->mpm_patches[b->mpm_count++] = patch;
        }
    }
}

/* The item's image, fitted, from the cache or its file. */
static fb_status load_image(fb_context *ctx, const fb_sampler *s, fb_sampler_cursor *c,
                            int32_t item, uint8_t *pixels)
{
    const uint8_t *kept = s->cache ? fb_pixel_cache_find(s->cache, item) : NULL;
    size_t side = (size_t)s->options.image_size;
    if (kept) {
        memcpy(pixels, kept, side * side * 3);
        return FB_OK;
    }
    char path[4096];
    FB_TRY(fb_catalogue_image_path(ctx, s->catalogue, item, path));
    FB_TRY(fb_image_load(ctx, path, c->resizer, s->options.image_size, s->options.fit,
                         s->options.filter, pixels));
    if (s->cache)
        fb_pixel_cache_keep(s->cache, item, pixels);
    return FB_OK;
}

static void copy_features(const fb_sampler *s, fb_batch *b)
{
    const fb_feature_table *t = &s->options.features;
    size_t bytes = fb_feature_cache_row_bytes(t->cache);
    for (int32_t i = 0; i < b->images; i++)
        memcpy((uint8_t *)b->features + (size_t)i * bytes,
               fb_feature_cache_row(t->cache, t->rows->row_of[b->image_item[i]]),
               bytes);
}

static fb_status load_images(fb_context *ctx, const fb_sampler *s, fb_sampler_cursor *c,
                             uint64_t step, const atomic_bool *cancel, fb_batch *b)
{
    const fb_sampler_options *o = &s->options;
    for (int32_t i = 0; i < b->images; i++) {
        if (cancel && atomic_load_explicit(cancel, memory_order_relaxed))
            return fb_fail(ctx, FB_E_STATE, "loading was stopped");
        uint8_t *pixels = fb_batch_pixels(b, i);
        FB_TRY(load_image(ctx, s, c, b->image_item[i], pixels));
        if (!fb_augment_any(&o->augment))
            continue;
        fb_random random = fb_sampler_random(s, FB_STREAM_AUGMENT, step, i);
        const fb_fitted_image image = {b->image_size, o->fit, o->filter, pixels,
                                       c->pixels};
        FB_TRY(fb_augment_image(ctx, &o->augment, &random, c->zoomer, &image));
    }
    return FB_OK;
}

fb_status fb_sampler_fill(fb_context *ctx, const fb_sampler *s,
                          fb_sampler_cursor *cursor, uint64_t step,
                          const atomic_bool *cancel, fb_batch *batch)
{
    fb_batch_clear(batch);
    if (s->options.queries)
        FB_TRY(fb_sampler_place_queries(ctx, s, cursor, step, batch));
    else if (s->options.items)
        place_items(s, cursor, step, batch);
    else
        FB_TRY(place_pairs(ctx, s, cursor, step, batch));
    if (s->options.features.cache)
        copy_features(s, batch);
    else if (!s->options.regions)
        FB_TRY(load_images(ctx, s, cursor, step, cancel, batch));
    mask(s, cursor, step, batch);
    fb_batch_pack(batch);
    if (s->options.queries)
        fb_sampler_list_masked_queries(s, cursor, batch);
    else
        list_masked_rows(s, cursor, batch);
    return FB_OK;
}

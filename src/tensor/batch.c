/* batch.c - room for a batch, and the packing of its sequences.
 *
 * Every array is a block of its own, so that a sanitizer sees a write past any of them.
 */
#include "tensor/batch.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BLOCKS = 26 };

struct fb_batch_store {
    void *blocks[MAX_BLOCKS];
    int32_t count;
    bool failed;
};

/* A cleared block; after the first failure all others are NULL. */
static void *take(struct fb_batch_store *store, int64_t count, size_t size)
{
    if (store->failed)
        return NULL;
    void *block = calloc(count > 0 ? (size_t)count : 1, size);
    if (block)
        store->blocks[store->count++] = block;
    else
        store->failed = true;
    return block;
}

/* The same on a cache line: products read it as it lies. */
static void *take_aligned(struct fb_batch_store *store, int64_t count, size_t size)
{
    void *block = NULL;
    size_t bytes = count > 0 ? (size_t)count * size : size;
    if (store->failed || posix_memalign(&block, 64, bytes) != 0) {
        store->failed = true;
        return NULL;
    }
    memset(block, 0, bytes);
    store->blocks[store->count++] = block;
    return block;
}

static void take_arrays(fb_batch *b, const fb_batch_limits *limits,
                        int64_t longest_text, const fb_region_kind *kind)
{
    struct fb_batch_store *s = b->store;
    int64_t pairs = limits->pairs, texts = limits->texts, images = limits->images;
    int64_t tokens = limits->text_tokens, patches = limits->patches;
    int64_t rows = pairs * (longest_text + patches);
    b->token_ids = take(s, tokens, sizeof(int32_t));
    b->token_positions = take(s, tokens, sizeof(int32_t));
    b->token_segments = take(s, tokens, sizeof(int32_t));
    b->text_offsets = take(s, texts + 1, sizeof(int32_t));
    b->text_item = take(s, texts, sizeof(int32_t));
    b->text_group = take(s, texts, sizeof(int32_t));
    b->image_item = take(s, images, sizeof(int32_t));
    b->image_group = take(s, images, sizeof(int32_t));
    int64_t side = b->feature_width ? 0 : limits->image_size;
    b->pixels = take(s, images * side * side * 3, 1);
    b->features = take_aligned(s, images * patches * b->feature_width, sizeof(fb_bf16));
    b->patch_masked = take(s, images * patches, 1);
    b->image_offsets = take(s, images + 1, sizeof(int32_t));
    if (!kind || kind->boxes)
        b->boxes = take(s, images * patches * 4, sizeof(float));
    if (kind && kind->classes) {
        b->region_classes = take(s, images * patches, sizeof(int32_t));
        b->region_scores = take(s, images * patches, sizeof(float));
    }
    b->pair_text = take(s, pairs, sizeof(int32_t));
    b->pair_image = take(s, pairs, sizeof(int32_t));
    b->pair_label = take(s, pairs, sizeof(int32_t));
    b->seq_offsets = take(s, pairs + 1, sizeof(int32_t));
    b->row_source = take(s, rows, sizeof(int32_t));
    b->cls_rows = take(s, pairs, sizeof(int32_t));
    b->mlm_rows = take(s, pairs * longest_text, sizeof(int32_t));
    b->mlm_targets = take(s, pairs * longest_text, sizeof(int32_t));
    b->mpm_rows = take(s, pairs * patches, sizeof(int32_t));
    b->mpm_patches = take(s, pairs * patches, sizeof(int32_t));
}

/* Every image has the P cells of a grid, row by row. */
static void place_grid(fb_batch *b, int32_t images)
{
    int32_t side = 1;
    while (side * side < b->patches)
        side++;
    for (int32_t i = 0; i <= images; i++)
        b->image_offsets[i] = i * b->patches;
    for (int32_t row = 0; row < images * b->patches; row++) {
        int32_t cell = row % b->patches, x = cell % side, y = cell / side;
        const float box[4] = {(float)x / (float)side, (float)y / (float)side,
                              (float)(x + 1) / (float)side,
                              (float)(y + 1) / (float)side};
        memcpy(b->boxes + (ptrdiff_t)row * 4, box, sizeof box);
    }
}

static fb_status check_limits(fb_context *ctx, const fb_batch_limits *l,
                              int32_t longest_text)
{
    if (l->pairs < 1 || l->texts < 1 || l->images < 1 || l->text_tokens < 1 ||
        l->patches < 1 || l->image_size < 1 || longest_text < 1)
        return fb_fail(ctx, FB_E_USAGE,
                       "a batch needs at least one pair, text, image, token and patch");
    int64_t rows = (int64_t)l->pairs * ((int64_t)longest_text + l->patches);
    int64_t sources = (int64_t)l->text_tokens + (int64_t)l->images * l->patches;
    if (rows > INT32_MAX || sources > INT32_MAX || l->image_size > 16384)
        return fb_fail(
            ctx, FB_E_LIMIT,
            "a batch of %d pairs, %d images of %d patches and %d pixels a side "
            "is too large, use a smaller batch",
            l->pairs, l->images, l->patches, l->image_size);
    return FB_OK;
}

/* kind: of regions; NULL: patches. */
static fb_status create(fb_context *ctx, fb_batch **batch,
                        const fb_batch_limits *limits, int32_t longest_text,
                        int32_t feature_width, const fb_region_kind *kind)
{
    FB_TRY(check_limits(ctx, limits, longest_text));
    fb_batch *b = calloc(1, sizeof *b);
    struct fb_batch_store *store = calloc(1, sizeof *store);
    if (!b || !store) {
        free(b);
        free(store);
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a batch");
    }
    b->store = store;
    b->patches = limits->patches;
    b->image_size = limits->image_size;
    b->feature_width = feature_width;
    b->regions = kind != NULL;
    take_arrays(b, limits, longest_text, kind);
    if (store->failed) {
        fb_batch_free(b);
        return fb_fail(ctx, FB_E_MEMORY,
                       "no memory for a batch of %d pairs, use a smaller batch",
                       limits->pairs);
    }
    if (!b->regions)
        place_grid(b, limits->images);
    *batch = b;
    return FB_OK;
}

fb_status fb_batch_create(fb_context *ctx, fb_batch **batch,
                          const fb_batch_limits *limits, int32_t longest_text)
{
    return create(ctx, batch, limits, longest_text, 0, NULL);
}

fb_status fb_batch_create_features(fb_context *ctx, fb_batch **batch,
                                   const fb_batch_limits *limits, int32_t longest_text,
                                   int32_t feature_width)
{
    return create(ctx, batch, limits, longest_text, feature_width, NULL);
}

fb_status fb_batch_create_regions(fb_context *ctx, fb_batch **batch,
                                  const fb_batch_limits *limits, int32_t longest_text,
                                  const fb_region_kind *kind)
{
    return create(ctx, batch, limits, longest_text, kind->width, kind);
}

fb_status fb_batch_add_queries(fb_context *ctx, fb_batch *batch,
                               const fb_batch_limits *limits)
{
    batch->pair_query = take(batch->store, limits->pairs, sizeof(int32_t));
    if (!batch->pair_query)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the queries of a batch");
    return FB_OK;
}

void fb_batch_free(fb_batch *batch)
{
    if (!batch)
        return;
    for (int32_t i = 0; i < batch->store->count; i++)
        free(batch->store->blocks[i]);
    free(batch->store);
    free(batch);
}

/* The text's tokens from number `first` on; returns the next row. */
static int32_t pack_text(fb_batch *b, int32_t text, int32_t first, int32_t row)
{
    for (int32_t i = b->text_offsets[text] + first; i < b->text_offsets[text + 1]; i++)
        b->row_source[row++] = i;
    return row;
}

static int32_t pack_image(fb_batch *b, int32_t image, int32_t row)
{
    int32_t tokens = fb_batch_text_tokens(b);
    for (int32_t p = b->image_offsets[image]; p < b->image_offsets[image + 1]; p++)
        if (!b->patch_left_out || !b->patch_left_out[p])
            b->row_source[row++] = tokens + p;
    return row;
}

void fb_batch_pack(fb_batch *batch)
{
    int32_t row = 0;
    for (int32_t b = 0; b < batch->pairs; b++) {
        int32_t query = batch->pair_query ? batch->pair_query[b] : -1;
        int32_t text = batch->pair_text[b], image = batch->pair_image[b];
        batch->seq_offsets[b] = row;
        batch->cls_rows[b] = row;
        if (query >= 0)
            row = pack_text(batch, query, 0, row);
        if (text >= 0)
            row = pack_text(batch, text, query >= 0, row);
        if (image >= 0)
            row = pack_image(batch, image, row);
    }
    batch->seq_offsets[batch->pairs] = row;
}

int32_t fb_batch_pair_of(const fb_batch *batch, int32_t row)
{
    int32_t low = 0, high = batch->pairs - 1;
    while (low < high) {
        int32_t middle = (low + high + 1) / 2;
        if (batch->seq_offsets[middle] <= row)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

void fb_pixels_mirror(uint8_t *pixels, int64_t lines, int32_t size)
{
    for (int64_t y = 0; y < lines; y++) {
        uint8_t *left = pixels + y * size * 3, *right = left + ((int64_t)size - 1) * 3;
        for (; left < right; left += 3, right -= 3) {
            uint8_t kept[3];
            memcpy(kept, left, 3);
            memcpy(left, right, 3);
            memcpy(right, kept, 3);
        }
    }
}

/* ---- batches of given pairs, unmasked ------------------------------------------------------ */

void fb_batch_clear(fb_batch *b)
{
    b->pairs = b->texts = b->images = b->mlm_count = b->mpm_count = 0;
    b->fallbacks = 0;
    b->text_offsets[0] = 0;
}

static int32_t add_tokens(fb_batch *b, const int32_t *ids, int32_t count,
                          int32_t segment)
{
    int32_t at = b->text_offsets[b->texts];
    for (int32_t i = 0; i < count; i++) {
        b->token_ids[at + i] = ids[i];
        b->token_positions[at + i] = i;
        b->token_segments[at + i] = segment;
    }
    if (b->pair_query)
        b->token_positions[at + count - 1] = 0; /* [SEP] */
    b->text_offsets[b->texts + 1] = at + count;
    b->text_item[b->texts] = -1;
    b->text_group[b->texts] = b->texts;
    return b->texts++;
}

int32_t fb_batch_add_text(fb_batch *b, const int32_t *ids, int32_t count)
{
    return add_tokens(b, ids, count, b->pair_query != NULL);
}

int32_t fb_batch_add_query(fb_batch *b, const int32_t *ids, int32_t count)
{
    return add_tokens(b, ids, count, 0);
}

int32_t fb_batch_add_image(fb_batch *b)
{
    memset(b->patch_masked + b->image_offsets[b->images], 0,
           (size_t)fb_batch_image_rows(b, b->images));
    b->image_item[b->images] = -1;
    b->image_group[b->images] = b->images;
    return b->images++;
}

int32_t fb_batch_add_regions(fb_batch *b, const fb_regions *regions)
{
    ptrdiff_t at = b->image_offsets[b->images];
    size_t n = (size_t)regions->count;
    b->image_offsets[b->images + 1] = (int32_t)at + regions->count;
    memcpy(b->features + at * b->feature_width, regions->features,
           n * (size_t)b->feature_width * sizeof *b->features);
    if (b->boxes)
        memcpy(b->boxes + at * 4, regions->boxes, n * 4 * sizeof *b->boxes);
    if (b->region_classes) {
        memcpy(b->region_classes + at, regions->classes, n * sizeof(int32_t));
        memcpy(b->region_scores + at, regions->scores, n * sizeof(float));
    }
    return fb_batch_add_image(b);
}

void fb_batch_add_pair(fb_batch *b, int32_t query, int32_t text, int32_t image,
                       int32_t label)
{
    if (b->pair_query)
        b->pair_query[b->pairs] = query;
    b->pair_text[b->pairs] = text;
    b->pair_image[b->pairs] = image;
    b->pair_label[b->pairs++] = label;
}

uint8_t *fb_batch_pixels(fb_batch *b, int32_t image)
{
    return b->pixels +
           (size_t)image * (size_t)b->image_size * (size_t)b->image_size * 3;
}

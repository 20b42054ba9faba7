/* feature_cache.c - see feature_cache.h. Everything is checked before anything is used;
 * the rows themselves are trusted, since a file under its own name was whole when it
 * got it. */
#include "data/batch/feature_cache.h"

#include "base/intern.h"
#include "base/number_text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof(fb_feature_header) == 144, "the header is as in the file");

static const char magic[8] = {'F', 'B', 'F', 'E', 'A', 'T', '0', '1'};

enum { PATCHES_MOST = 4096, FEATURES_MOST = 65536, BLOCK_MOST = 4096, PAGE = 4096 };

struct fb_feature_cache {
    fb_map map; /* empty when parsed from bytes */
    const uint8_t *data;
    size_t row_bytes;
    int32_t rows;
};

/* ---- frame ---------------------------------------------------------------------- */

static uint64_t header_sum(const fb_feature_header *h)
{
    return fb_hash_bytes(1, h, offsetof(fb_feature_header, checksum));
}

void fb_feature_header_make(fb_feature_header *h, const fb_feature_key *key,
                            int32_t block)
{
    *h = (fb_feature_header){.rows = key->rows,
                             .patches = key->patches,
                             .features = key->features,
                             .block = block,
                             .image_size = key->image_size,
                             .grid = key->grid,
                             .each = key->each,
                             .squash = key->squash,
                             .bf16 = key->bf16,
                             .weights = key->weights,
                             .images = key->images};
    memcpy(h->magic, magic, sizeof h->magic);
    snprintf(h->encoder, sizeof h->encoder, "%.23s", key->encoder);
    memcpy(h->mean, key->mean, sizeof h->mean);
    memcpy(h->std, key->std, sizeof h->std);
    h->checksum = header_sum(h);
}

static bool in_range(int32_t value, int32_t low, int32_t high)
{
    return value >= low && value <= high;
}

fb_status fb_feature_header_read(fb_context *ctx, fb_feature_header *h,
                                 const char *name, const uint8_t *bytes,
                                 size_t size_bytes)
{
    if (size_bytes < sizeof *h || memcmp(bytes, magic, sizeof magic) != 0)
        return fb_fail(ctx, FB_E_FORMAT, "%s: not a feature cache of this program",
                       name);
    memcpy(h, bytes, sizeof *h);
    if (h->checksum != header_sum(h))
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: its header is damaged; remove it, it is made anew", name);
    if (!in_range(h->rows, 1, INT32_MAX) || !in_range(h->patches, 1, PATCHES_MOST) ||
        !in_range(h->features, 1, FEATURES_MOST) ||
        !in_range(h->block, 1, BLOCK_MOST) || h->encoder[sizeof h->encoder - 1] != 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: %d rows of %d patches of %d features in blocks of %d are "
                       "none that this program writes",
                       name, (int)h->rows, (int)h->patches, (int)h->features,
                       (int)h->block);
    return FB_OK;
}

fb_feature_layout fb_feature_header_layout(const fb_feature_header *h)
{
    fb_feature_layout l = {.blocks = (h->rows - 1) / h->block + 1};
    l.row_bytes = (size_t)h->patches * (size_t)h->features * sizeof(fb_bf16);
    size_t sums = (size_t)l.blocks * sizeof(uint64_t);
    l.data_at = FB_FEATURE_SUMS_AT + (sums + PAGE - 1) / PAGE * PAGE;
    l.size_bytes = l.data_at + (size_t)h->rows * l.row_bytes;
    return l;
}

uint64_t fb_feature_block_sum(int32_t block, const void *bytes, size_t size_bytes)
{
    uint64_t sum = fb_hash_bytes((uint64_t)block + 1, bytes, size_bytes);
    return sum ? sum : 1;
}

/* ---- what differs --------------------------------------------------------------- */

typedef struct list {
    char text[400];
    size_t used;
} list;

static void add(list *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(list *l, const char *format, ...)
{
    va_list arguments;
    if (l->used > 0 && l->used + 2 < sizeof l->text) {
        memcpy(l->text + l->used, ", ", 3);
        l->used += 2;
    }
    va_start(arguments, format);
    int n = fb_text_print_list(l->text + l->used, sizeof l->text - l->used, format,
                               arguments);
    va_end(arguments);
    l->used += n > 0 ? (size_t)n : 0;
    if (l->used >= sizeof l->text)
        l->used = sizeof l->text - 1;
}

static void list_differences(list *l, const fb_feature_header *have,
                             const fb_feature_key *want)
{
    bool other = strncmp(have->encoder, want->encoder, sizeof have->encoder) != 0;
    if (other)
        add(l, "encoder %.23s, not %.23s", have->encoder, want->encoder);
    if (have->each != want->each)
        add(l, "patches %s, not %s", have->each ? "each" : "grid",
            want->each ? "each" : "grid");
    if (have->image_size != want->image_size)
        add(l, "image size %d, not %d", (int)have->image_size, (int)want->image_size);
    if (have->grid != want->grid)
        add(l, "grid %d, not %d", (int)have->grid, (int)want->grid);
    if (have->squash != want->squash)
        add(l, "fit %s, not %s", have->squash ? "squash" : "pad",
            want->squash ? "squash" : "pad");
    bool same = true;
    for (int i = 0; i < 3; i++)
        same = same && have->mean[i] == want->mean[i] && have->std[i] == want->std[i];
    if (!same)
        add(l, "other mean and std of pixels");
    if (have->bf16 != want->bf16)
        add(l, "computed in %s, not %s", have->bf16 ? "bf16" : "f32",
            want->bf16 ? "bf16" : "f32");
    if (!other && have->weights != want->weights)
        add(l, "other weights of %.23s", have->encoder);
    if (have->rows != want->rows || have->images != want->images)
        add(l, "another catalogue, or other images in it");
    if (!l->used &&
        (have->patches != want->patches || have->features != want->features))
        add(l, "[%d, %d] an image, not [%d, %d]", (int)have->patches,
            (int)have->features, (int)want->patches, (int)want->features);
}

fb_status fb_feature_header_match(fb_context *ctx, const char *name,
                                  const fb_feature_header *header,
                                  const fb_feature_key *key)
{
    list l = {.used = 0};
    list_differences(&l, header, key);
    if (!l.used)
        return FB_OK;
    return fb_fail(ctx, FB_E_STATE, "%s: features of something else: %s", name, l.text);
}

/* ---- reading -------------------------------------------------------------------- */

static fb_status check(fb_context *ctx, fb_feature_cache *cache, const char *name,
                       const uint8_t *bytes, size_t size_bytes,
                       const fb_feature_key *key)
{
    fb_feature_header h;
    FB_TRY(fb_feature_header_read(ctx, &h, name, bytes, size_bytes));
    if (key)
        FB_TRY(fb_feature_header_match(ctx, name, &h, key));
    fb_feature_layout l = fb_feature_header_layout(&h);
    if (size_bytes != l.size_bytes)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: %zu bytes, its header says %zu; remove it, it is made anew",
                       name, size_bytes, l.size_bytes);
    for (int32_t b = 0; b < l.blocks; b++) {
        uint64_t sum;
        memcpy(&sum, bytes + FB_FEATURE_SUMS_AT + (size_t)b * sizeof sum, sizeof sum);
        if (sum == 0)
            return fb_fail(ctx, FB_E_FORMAT,
                           "%s: block %d of %d is missing; remove it, it is made anew",
                           name, (int)b + 1, (int)l.blocks);
    }
    cache->data = bytes + l.data_at;
    cache->row_bytes = l.row_bytes;
    cache->rows = h.rows;
    return FB_OK;
}

fb_status fb_feature_cache_parse(fb_context *ctx, fb_feature_cache **cache,
                                 const char *name, const uint8_t *bytes,
                                 size_t size_bytes, const fb_feature_key *key)
{
    fb_feature_cache *c = calloc(1, sizeof *c);
    if (!c)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", name);
    fb_status status = check(ctx, c, name, bytes, size_bytes, key);
    if (status == FB_OK)
        *cache = c;
    else
        free(c);
    return status;
}

fb_status fb_feature_cache_open(fb_context *ctx, fb_feature_cache **cache,
                                const char *path, const fb_feature_key *key)
{
    fb_map map;
    fb_feature_cache *c = NULL;
    FB_TRY(fb_map_open(ctx, path, &map));
    fb_status status =
        fb_feature_cache_parse(ctx, &c, path, map.bytes, map.size_bytes, key);
    if (status != FB_OK) {
        fb_map_close(&map);
        return status;
    }
    c->map = map;
    *cache = c;
    return FB_OK;
}

void fb_feature_cache_close(fb_feature_cache *cache)
{
    if (!cache)
        return;
    fb_map_close(&cache->map);
    free(cache);
}

int32_t fb_feature_cache_rows(const fb_feature_cache *cache)
{
    return cache->rows;
}

size_t fb_feature_cache_row_bytes(const fb_feature_cache *cache)
{
    return cache->row_bytes;
}

const fb_bf16 *fb_feature_cache_row(const fb_feature_cache *cache, int32_t row)
{
    return (const fb_bf16 *)(const void *)(cache->data +
                                           (size_t)row * cache->row_bytes);
}

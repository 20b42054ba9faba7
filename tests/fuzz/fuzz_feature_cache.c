/* fuzz_feature_cache.c - any bytes as a feature cache. What is accepted can be read to
 * its last row and lies inside the input. Half of the inputs (first byte odd) get a
 * header whose sizes come from the input and whose checksum is right, so that what lies
 * behind it is reached; half of these the length that it promises. */
#include "data/batch/feature_cache.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const fb_feature_cache *cache, const uint8_t *bytes, size_t size)
{
    size_t row_bytes = fb_feature_cache_row_bytes(cache);
    int32_t rows = fb_feature_cache_rows(cache);
    const uint8_t *last = (const uint8_t *)fb_feature_cache_row(cache, rows - 1);
    const uint8_t *first = (const uint8_t *)fb_feature_cache_row(cache, 0);
    if (rows < 1 || row_bytes < 1 || first < bytes + sizeof(fb_feature_header) ||
        last < first || last + row_bytes != bytes + size)
        abort();
    volatile uint8_t sum = 0;
    for (const uint8_t *at = first; at < last + row_bytes; at++)
        sum = (uint8_t)(sum + *at);
}

/* The input's first bytes as sizes: small ones, so that a file of them is small. */
static void take_header(fb_feature_header *header, const uint8_t *data, size_t size)
{
    uint8_t n[8] = {0};
    memcpy(n, data, size < sizeof n ? size : sizeof n);
    fb_feature_key key = {.encoder = "thin",
                          .image_size = n[0],
                          .grid = n[1],
                          .rows = n[2] - 1,
                          .patches = n[3] % 20,
                          .features = n[4] % 20,
                          .weights = n[5]};
    fb_feature_header_make(header, &key, n[6] % 80);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    bool framed = data[0] & 1, whole = data[0] & 2;
    fb_feature_header header;
    take_header(&header, data + 1, size - 1);
    size_t front = framed ? sizeof header : 0, total = front + size - 1;
    bool sizes = header.rows > 0 && header.block > 0;
    if (framed && whole && sizes)
        total = fb_feature_header_layout(&header).size_bytes;
    uint8_t *bytes = malloc(total ? total : 1); /* overreads are seen */
    if (!bytes)
        return 0;
    memset(bytes, data[0] & 4 ? 1 : 0, total);
    memcpy(bytes, &header, front < total ? front : total);
    if (total > front)
        memcpy(bytes + front, data + 1,
               size - 1 < total - front ? size - 1 : total - front);
    fb_context ctx = {0};
    fb_feature_cache *cache = NULL;
    fb_status status = fb_feature_cache_parse(&ctx, &cache, "fuzz", bytes, total, NULL);
    if ((status == FB_OK) != (cache != NULL) || (status != FB_OK && !ctx.message[0]))
        abort();
    if (cache)
        use(cache, bytes, total);
    fb_feature_cache_close(cache);
    cache = NULL;
    const fb_feature_key other = {.encoder = "resnet18", .rows = 1};
    if (fb_feature_cache_parse(&ctx, &cache, "fuzz", bytes, total, &other) == FB_OK)
        abort();
    free(bytes);
    return 0;
}

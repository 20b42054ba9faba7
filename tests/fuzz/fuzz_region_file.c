/* fuzz_region_file.c - any bytes as a region file. What is accepted can be read to its
 * last number and lies inside the input. If the first byte is odd, the checksums of
 * header and index are made right, so that what lies behind them is reached. */
#include "data/regions/region_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The file that the input describes in small: sizes first, then entries and names. */
static size_t build(const uint8_t *data, size_t size, uint8_t *bytes)
{
    fb_region_header h = {.images = data[1] % 9,
                          .width = data[2] % 9,
                          .most = data[3],
                          .boxes = data[4] % 3,
                          .classes = data[4] / 3 % 4,
                          .regions = data[5]};
    size_t tail = size - 6;
    h.index_at = FB_REGIONS_AT + 64 * (uint64_t)(data[0] >> 4);
    h.names_at = h.index_at + (uint64_t)h.images * sizeof(fb_region_entry);
    h.size_bytes = h.index_at + tail;
    memset(bytes, 0, h.index_at);
    memcpy(bytes + h.index_at, data + 6, tail);
    h.index_sum = fb_region_sum(1, bytes + h.index_at, tail);
    fb_region_header_seal(&h);
    memcpy(bytes, &h, sizeof h);
    return h.size_bytes;
}

static void use(const fb_region_file *file, const uint8_t *bytes, size_t size)
{
    volatile float sum = 0;
    struct fb_context ctx = {0};
    for (int32_t i = 0; i < fb_region_file_images(file); i++) {
        fb_region_image r = fb_region_file_get(file, i);
        size_t count = (size_t)r.regions * (size_t)fb_region_file_width(file);
        if (r.regions < 1 || r.regions > fb_region_file_most(file) ||
            (const uint8_t *)r.features < bytes ||
            (const uint8_t *)(r.features + count) > bytes + size ||
            fb_region_file_find(file, r.name) != i || !r.classes != !r.scores ||
            !r.classes != !fb_region_file_classes(file))
            abort();
        for (size_t k = 0; k < count; k++)
            sum = sum + fb_bf16_to_f32(r.features[k]);
        for (int32_t k = 0; r.boxes && k < 4 * r.regions; k++)
            sum = sum + r.boxes[k];
        for (int32_t k = 0; r.classes && k < r.regions; k++)
            sum = sum + (float)r.classes[k] + r.scores[k];
        (void)fb_region_file_verify(&ctx, file, i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fb_context ctx = {0};
    fb_region_file *file = NULL;
    uint8_t *bytes = NULL;
    if (size < 6 || size > 4096)
        return 0;
    if (posix_memalign((void **)&bytes, 64, size + 2 * FB_REGIONS_AT) != 0)
        return 0;
    size_t total = size;
    if (data[0] & 1)
        total = build(data, size, bytes);
    else
        memcpy(bytes, data, size);
    fb_status status = fb_region_file_parse(&ctx, &file, "fuzz", bytes, total);
    if ((status == FB_OK) != (file != NULL) || (status != FB_OK && !ctx.message[0]))
        abort();
    if (file)
        use(file, bytes, total);
    fb_region_file_close(file);
    free(bytes);
    return 0;
}

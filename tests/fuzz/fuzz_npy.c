/* fuzz_npy.c - any bytes as an array of numpy, and any text as its header. What the
 * header promises is read to its last number or refused. */
#include "data/import/npy_stream.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_header(const fb_npy_shape *h)
{
    int64_t count = 1;
    for (int32_t i = 0; i < h->rank; i++)
        count *= h->dim[i];
    if (count != h->count || h->rank > FB_NPY_DIMS || h->number_bytes < 1 ||
        h->number_bytes > 8)
        abort();
}

static void check_array(const uint8_t *data, size_t size)
{
    struct fb_context ctx = {0};
    fb_npy_stream *npy = NULL;
    float numbers[100];
    uint8_t *bytes = malloc(size ? size : 1); /* overreads are seen */
    if (!bytes)
        return;
    memcpy(bytes, data, size);
    fb_status status = fb_npy_stream_open_bytes(&ctx, &npy, "a.npy", bytes, size);
    if (status == FB_OK) {
        check_header(fb_npy_stream_shape(npy));
        for (int64_t left = fb_npy_stream_shape(npy)->count; status == FB_OK && left;) {
            int64_t now = left < 100 ? left : 100;
            status = fb_npy_stream_read(&ctx, npy, numbers, now);
            left -= now;
        }
        if (status == FB_OK)
            status = fb_npy_stream_finish(&ctx, npy);
    }
    if (status != FB_OK && !ctx.message[0])
        abort();
    fb_npy_stream_close(npy);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fb_context ctx = {0};
    fb_npy_shape header = {.rank = 0};
    if (fb_npy_shape_parse(&ctx, "a.npy", (const char *)data, size, &header) == FB_OK)
        check_header(&header);
    else if (!ctx.message[0])
        abort();
    check_array(data, size);
    return 0;
}

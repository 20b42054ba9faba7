/* vector_file.c - see vector_file.h. */
#include "retrieval/index/vector_file.h"

#include "retrieval/index/npy.h"

#include <math.h>
#include <string.h>

enum { WIDTH_MOST = 65536 };

static int32_t length_at(const uint8_t *bytes)
{
    uint32_t n = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 |
                 (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    return n <= WIDTH_MOST ? (int32_t)n : -1;
}

static fb_status parse_fvecs(fb_context *ctx, fb_vector_file *f, const char *name,
                             size_t size_bytes)
{
    int32_t width = size_bytes >= 4 ? length_at(f->bytes) : -1;
    if (width < 1)
        return fb_fail(ctx, FB_E_FORMAT, "%s: neither a .npy nor a .fvecs file", name);
    f->width = width;
    f->skip = 4;
    f->row_bytes = 4 + 4 * (size_t)width;
    if (size_bytes % f->row_bytes != 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: %zu bytes are no whole number of vectors of %d numbers",
                       name, size_bytes, (int)width);
    f->rows = (int64_t)(size_bytes / f->row_bytes);
    for (int64_t r = 0; r < f->rows; r++)
        if (length_at(f->bytes + (size_t)r * f->row_bytes) != width)
            return fb_fail(ctx, FB_E_FORMAT,
                           "%s: vector %lld has another length than the first", name,
                           (long long)r);
    return FB_OK;
}

static fb_status parse_npy(fb_context *ctx, fb_vector_file *f, const char *name,
                           size_t size_bytes)
{
    fb_npy npy;
    FB_TRY(fb_npy_parse(ctx, &npy, name, f->bytes, size_bytes));
    if (strcmp(npy.descr, "<f4") != 0 || npy.rank != 2 || npy.dims[1] < 1 ||
        npy.dims[1] > WIDTH_MOST)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: an array of %s in %d dimensions; vectors are <f4 [rows, "
                       "numbers]",
                       name, npy.descr, (int)npy.rank);
    f->data_at = npy.data_at;
    f->rows = npy.dims[0];
    f->width = (int32_t)npy.dims[1];
    f->row_bytes = 4 * (size_t)f->width;
    return FB_OK;
}

fb_status fb_vector_file_parse(fb_context *ctx, fb_vector_file *file, const char *name,
                               const uint8_t *bytes, size_t size_bytes)
{
    fb_vector_file f = {.bytes = bytes};
    bool npy = size_bytes >= 6 && memcmp(bytes, "\x93NUMPY", 6) == 0;
    FB_TRY(npy ? parse_npy(ctx, &f, name, size_bytes)
               : parse_fvecs(ctx, &f, name, size_bytes));
    *file = f;
    return FB_OK;
}

fb_status fb_vector_file_open(fb_context *ctx, fb_vector_file *file, const char *path)
{
    fb_map map;
    FB_TRY(fb_map_open(ctx, path, &map));
    fb_status status = fb_vector_file_parse(ctx, file, path, map.bytes, map.size_bytes);
    if (status == FB_OK)
        file->map = map;
    else
        fb_map_close(&map);
    return status;
}

void fb_vector_file_close(fb_vector_file *file)
{
    fb_map_close(&file->map);
}

fb_status fb_vector_file_row(fb_context *ctx, const fb_vector_file *file, int64_t row,
                             float *out)
{
    double squares = 0;
    memcpy(out,
           file->bytes + file->data_at + (size_t)row * file->row_bytes + file->skip,
           4 * (size_t)file->width);
    for (int32_t i = 0; i < file->width; i++)
        squares += (double)out[i] * (double)out[i];
    if (!(squares > 0) || !isfinite(squares))
        return fb_fail(ctx, FB_E_NUMBER, "vector %lld is 0 or not finite",
                       (long long)row);
    for (int32_t i = 0; i < file->width; i++)
        out[i] = (float)((double)out[i] / sqrt(squares));
    return FB_OK;
}

/* fuzz_index.c - any bytes as an index.json, as a product table and as vectors in s8
 * with scales. What is accepted can be read to its last string, cell and number. A table is tried as it comes and, with an
 * odd first byte, with sizes taken from the input and a right checksum, so that what
 * lies behind the header is reached. */
#include "retrieval/index/index_manifest.h"
#include "retrieval/index/product_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const char *text)
{
    volatile size_t length = strlen(text);
    (void)length;
}

static void use(const fb_product_table *t)
{
    int64_t rows = fb_product_table_rows(t);
    for (int64_t r = 0; r < rows; r++) {
        walk(fb_product_table_id(t, r));
        walk(fb_product_table_title(t, r));
        walk(fb_product_table_image(t, r));
        int64_t first = fb_product_table_first(t, r);
        int64_t found = fb_product_table_find(t, fb_product_table_id(t, r));
        if (first < 0 || first > r || found < -1 || found >= rows)
            abort();
    }
    for (int32_t c = 0; c < fb_product_table_columns(t); c++) {
        int32_t values = fb_product_table_values(t, c);
        const int32_t *cells = fb_product_table_cells(t, c);
        walk(fb_product_table_column(t, c));
        for (int32_t v = 0; v < values; v++)
            walk(fb_product_table_value(t, c, v));
        for (int64_t r = 0; r < rows; r++)
            if (cells[r] < -1 || cells[r] >= values)
                abort();
    }
    (void)fb_product_table_find_column(t, "colour");
}

static void try_table(const uint8_t *bytes, size_t size)
{
    fb_context ctx = {0};
    fb_product_table *t = NULL;
    fb_status status = fb_product_table_parse(&ctx, &t, "fuzz", bytes, size);
    if ((status == FB_OK) != (t != NULL) || (status != FB_OK && !ctx.message[0]))
        abort();
    if (t)
        use(t);
    fb_product_table_close(t);
}

/* A header of small sizes from the input, the rest of it behind. */
static void try_framed(const uint8_t *data, size_t size)
{
    if (size < 4)
        return;
    size_t rows = data[0] % 6, columns = data[1] % 4, values = data[2] % 8;
    size_t front = 8 * (3 * rows + columns + values) +
                   4 * (2 * rows + columns + 1 + columns * rows);
    size_t strings = data[3] % 32, total = sizeof(fb_product_header) + front + strings;
    uint8_t *bytes = calloc(total, 1);
    if (!bytes)
        return;
    fb_product_header h = {.magic = {'F', 'B', 'P', 'R', 'O', 'D', '0', '1'},
                           .rows = (int64_t)rows,
                           .columns = (int32_t)columns,
                           .values = (int64_t)values,
                           .string_bytes = (int64_t)strings};
    uint8_t *behind = bytes + sizeof h;
    size_t room = total - sizeof h, left = size - 4;
    memcpy(behind, data + 4, left < room ? left : room);
    if (strings > 0 && data[0] & 0x40)
        bytes[total - 1] = 0;
    h.checksum = fb_product_header_sum(&h, behind, room);
    memcpy(bytes, &h, sizeof h);
    try_table(bytes, total);
    free(bytes);
}

static void try_manifest(const uint8_t *data, size_t size)
{
    fb_context ctx = {0};
    fb_index_manifest *m = fb_index_manifest_create();
    if (!m)
        return;
    fb_status status =
        fb_index_manifest_parse(&ctx, m, "fuzz", (const char *)data, size);
    if (status == FB_OK) {
        if (m->segment_count < 0 || m->segment_count > FB_INDEX_SEGMENTS ||
            m->width < 1 || m->width > FB_INDEX_WIDTH || !fb_storage_name(m->storage))
            abort();
        for (int32_t i = 0; i < m->segment_count; i++) {
            const fb_index_part *f = m->segment[i].file;
            if (f[FB_INDEX_TEXT_SCALES].present !=
                (f[FB_INDEX_TEXT].present && m->storage == FB_STORED_INT8))
                abort();
        }
        for (int32_t i = 0; i < m->segment_count; i++)
            if (m->segment[i].rows < 0 || m->segment[i].deleted > m->segment[i].rows ||
                !memchr(m->segment[i].catalog, 0, sizeof m->segment[i].catalog))
                abort();
    } else if (!ctx.message[0] || m->width != 0) {
        abort();
    }
    free(m);
}

/* Scales, codes and rests that lie behind a width. Where the scales are accepted, each
 * number is finite and no larger than the codes allow. */
static void try_codes(const uint8_t *data, size_t size)
{
    if (size < 2)
        return;
    int64_t width = 1 + data[0] % 40;
    int64_t count = (int64_t)(size - 1) / (4 + 2 * width);
    size_t numbers = (size_t)(count * width);
    float *scales = malloc((size_t)count * sizeof *scales + 1);
    int8_t *codes = malloc(numbers + 1), *rests = malloc(numbers + 1);
    float *row = malloc((size_t)width * sizeof *row);
    if (scales && codes && rests && row) {
        memcpy(scales, data + 1, (size_t)count * sizeof *scales);
        memcpy(codes, data + 1 + 4 * count, numbers);
        memcpy(rests, data + 1 + 4 * (size_t)count + numbers, numbers);
        const fb_stored v = {.storage = FB_STORED_INT8,
                             .count = count,
                             .width = width,
                             .codes = codes,
                             .rests = rests,
                             .scales = scales};
        bool right = fb_scales_problem(scales, count) == NULL;
        for (int64_t n = 0; n < count && right; n++) {
            fb_stored_decode(&v, n, 1, row);
            for (int64_t i = 0; i < width; i++)
                if (!(fabsf(row[i]) <= 129 * scales[n]))
                    abort();
        }
    }
    free(scales);
    free(codes);
    free(rests);
    free(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t *copy = malloc(size); /* overreads are seen; aligned */
    if (!copy)
        return 0;
    memcpy(copy, data + 1, size - 1);
    if (data[0] & 1)
        try_framed(copy, size - 1);
    else if (data[0] & 2)
        try_table(copy, size - 1);
    else if (data[0] & 4)
        try_codes(copy, size - 1);
    else
        try_manifest(copy, size - 1);
    free(copy);
    return 0;
}

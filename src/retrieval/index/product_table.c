/* product_table.c - reading; see product_table.h. Everything is checked once, when the
 * file is opened: afterwards no look-up can leave it. */
#include "retrieval/index/product_table.h"

#include "base/ascii.h"
#include "base/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof(fb_product_header) == 64, "the header is as in the file");

struct fb_product_table {
    fb_map map; /* empty when parsed from bytes */
    int64_t rows;
    int32_t columns;
    bool repeats;
    const uint64_t *id, *title, *image, *name, *value;
    const int32_t *first, *by_id, *begin, *cell;
    const char *strings;
};

uint64_t fb_product_header_sum(const fb_product_header *header, const uint8_t *behind,
                               size_t size_bytes)
{
    uint64_t sum = fb_checksum(1, header, offsetof(fb_product_header, checksum));
    return fb_checksum(sum, behind, size_bytes);
}

static fb_status damaged(fb_context *ctx, const char *name, const char *what)
{
    return fb_fail(ctx, FB_E_FORMAT, "%s: damaged: %s; make the index again", name,
                   what);
}

/* The sizes fit the file, and its checksum is right. */
static fb_status check_frame(fb_context *ctx, fb_product_header *h, const char *name,
                             const uint8_t *bytes, size_t size_bytes)
{
    if (size_bytes < sizeof *h || memcmp(bytes, "FBPROD01", 8) != 0)
        return fb_fail(ctx, FB_E_FORMAT, "%s: not an index's products", name);
    memcpy(h, bytes, sizeof *h);
    uint64_t left = size_bytes - sizeof *h;
    bool bounded = h->rows >= 0 && h->rows <= FB_PRODUCT_ROWS && h->columns >= 0 &&
                   h->columns <= FB_PRODUCT_COLUMNS && h->values >= 0 &&
                   h->values <= INT32_MAX && h->string_bytes >= 0 &&
                   (uint64_t)h->string_bytes <= left;
    if (!bounded)
        return damaged(ctx, name, "its sizes are out of range");
    uint64_t rows = (uint64_t)h->rows, columns = (uint64_t)h->columns;
    uint64_t wanted = 8 * (3 * rows + columns + (uint64_t)h->values) +
                      4 * (2 * rows + columns + 1 + columns * rows) +
                      (uint64_t)h->string_bytes;
    if (wanted != left)
        return damaged(ctx, name, "its length is not what its header says");
    if (h->checksum != fb_product_header_sum(h, bytes + sizeof *h, (size_t)left))
        return damaged(ctx, name, "its checksum is wrong");
    return FB_OK;
}

static void set_sections(fb_product_table *t, const fb_product_header *h,
                         const uint8_t *bytes)
{
    size_t rows = (size_t)h->rows, columns = (size_t)h->columns;
    const void *at = bytes + sizeof *h;
    t->rows = h->rows;
    t->columns = h->columns;
    t->id = at;
    t->title = t->id + rows;
    t->image = t->title + rows;
    t->name = t->image + rows;
    t->value = t->name + columns;
    at = t->value + h->values;
    t->first = at;
    t->by_id = t->first + rows;
    t->begin = t->by_id + rows;
    t->cell = t->begin + columns + 1;
    at = t->cell + columns * rows;
    t->strings = at;
}

static bool places_are_inside(const uint64_t *at, int64_t count, int64_t string_bytes)
{
    uint64_t most = 0;
    for (int64_t i = 0; i < count; i++)
        most = at[i] > most ? at[i] : most;
    return count == 0 || most < (uint64_t)string_bytes;
}

static bool numbers_are_inside(const int32_t *numbers, int64_t count, int32_t low,
                               int64_t high)
{
    int32_t least = low, most = low;
    for (int64_t i = 0; i < count; i++) {
        least = numbers[i] < least ? numbers[i] : least;
        most = numbers[i] > most ? numbers[i] : most;
    }
    return count == 0 || (least >= low && most < high);
}

static bool columns_are_right(const fb_product_table *t, int64_t values)
{
    if (t->begin[0] != 0 || t->begin[t->columns] != values)
        return false;
    for (int32_t c = 0; c < t->columns; c++) {
        int64_t count = (int64_t)t->begin[c + 1] - t->begin[c];
        const int32_t *cells = t->cell + (size_t)c * (size_t)t->rows;
        if (count < 0 || t->begin[c + 1] > values ||
            !numbers_are_inside(cells, t->rows, -1, count))
            return false;
    }
    return true;
}

static bool rows_are_right(fb_product_table *t)
{
    for (int64_t i = 0; i < t->rows; i++) {
        if (t->first[i] < 0 || t->first[i] > i || t->first[t->first[i]] != t->first[i])
            return false;
        t->repeats = t->repeats || t->first[i] != i;
    }
    return numbers_are_inside(t->by_id, t->rows, 0, t->rows);
}

/* What is shown of a product is a file of its catalogue. */
static bool images_stay_inside(const fb_product_table *t)
{
    for (int64_t i = 0; i < t->rows; i++)
        if (fb_path_leaves(fb_product_table_image(t, i)))
            return false;
    return true;
}

static fb_status check(fb_context *ctx, fb_product_table *t, const char *name,
                       const uint8_t *bytes, size_t size_bytes)
{
    fb_product_header h;
    FB_TRY(check_frame(ctx, &h, name, bytes, size_bytes));
    set_sections(t, &h, bytes);
    int64_t strings = h.string_bytes, places = 3 * t->rows + t->columns + h.values;
    if (strings > 0 && t->strings[strings - 1] != 0)
        return damaged(ctx, name, "its strings do not end");
    if (!places_are_inside(t->id, places, strings))
        return damaged(ctx, name, "a string lies outside");
    if (!rows_are_right(t) || !columns_are_right(t, h.values))
        return damaged(ctx, name, "a row or value lies outside");
    if (!images_stay_inside(t))
        return damaged(ctx, name, "an image lies outside of its catalogue");
    return FB_OK;
}

fb_status fb_product_table_parse(fb_context *ctx, fb_product_table **table,
                                 const char *name, const uint8_t *bytes,
                                 size_t size_bytes)
{
    fb_product_table *t = calloc(1, sizeof *t);
    if (!t)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", name);
    fb_status status = check(ctx, t, name, bytes, size_bytes);
    if (status != FB_OK) {
        free(t);
        return status;
    }
    *table = t;
    return FB_OK;
}

fb_status fb_product_table_open(fb_context *ctx, fb_product_table **table,
                                const char *path)
{
    fb_map map;
    FB_TRY(fb_map_open(ctx, path, &map));
    fb_status status =
        fb_product_table_parse(ctx, table, path, map.bytes, map.size_bytes);
    if (status == FB_OK)
        (*table)->map = map;
    else
        fb_map_close(&map);
    return status;
}

fb_status fb_product_table_check(fb_context *ctx, const fb_product_table *table)
{
    return fb_map_check(ctx, &table->map, "the index's products");
}

void fb_product_table_close(fb_product_table *table)
{
    if (!table)
        return;
    fb_map_close(&table->map);
    free(table);
}

int64_t fb_product_table_rows(const fb_product_table *table)
{
    return table->rows;
}

int32_t fb_product_table_columns(const fb_product_table *table)
{
    return table->columns;
}

bool fb_product_table_repeats(const fb_product_table *table)
{
    return table->repeats;
}

const char *fb_product_table_id(const fb_product_table *table, int64_t row)
{
    return table->strings + table->id[row];
}

const char *fb_product_table_title(const fb_product_table *table, int64_t row)
{
    return table->strings + table->title[row];
}

const char *fb_product_table_image(const fb_product_table *table, int64_t row)
{
    return table->strings + table->image[row];
}

int64_t fb_product_table_first(const fb_product_table *table, int64_t row)
{
    return table->first[row];
}

int64_t fb_product_table_find(const fb_product_table *table, const char *id)
{
    int64_t low = 0, high = table->rows;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(fb_product_table_id(table, table->by_id[middle]), id);
        if (order == 0)
            return table->first[table->by_id[middle]];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

const char *fb_product_table_column(const fb_product_table *table, int32_t column)
{
    return table->strings + table->name[column];
}

int32_t fb_product_table_find_column(const fb_product_table *table, const char *name)
{
    for (int32_t c = 0; c < table->columns; c++)
        if (fb_ascii_compare(fb_product_table_column(table, c), name) == 0)
            return c;
    return -1;
}

int32_t fb_product_table_values(const fb_product_table *table, int32_t column)
{
    return table->begin[column + 1] - table->begin[column];
}

const char *fb_product_table_value(const fb_product_table *table, int32_t column,
                                   int32_t value)
{
    return table->strings + table->value[table->begin[column] + value];
}

const int32_t *fb_product_table_cells(const fb_product_table *table, int32_t column)
{
    return table->cell + (size_t)column * (size_t)table->rows;
}

/* product_table.h - what an index shows of its products and filters them by: ids,
 * titles, image files, attributes; one file, mapped.
 *
 *     header   64 bytes: magic, rows, columns, values, bytes of strings, checksum
 *     u64      id[rows]  title[rows]  image[rows]  name[columns]  value[values]
 *     i32      first[rows]  by_id[rows]  begin[columns + 1]  cell[columns][rows]
 *     bytes    strings, each with a 0 behind it
 *
 * The u64 are places among the strings. first: the first row of the same product id.
 * by_id: rows in the order of their ids. Column c's distinct values, sorted, are
 * value[begin[c]] up to value[begin[c + 1]]; a cell is a number among them, -1: the
 * product lacks the attribute. Numbers are little-endian.
 */
#ifndef FB_RETRIEVAL_INDEX_PRODUCT_TABLE_H
#define FB_RETRIEVAL_INDEX_PRODUCT_TABLE_H

#include "base/file.h"

enum { FB_PRODUCT_COLUMNS = 1024 };
#define FB_PRODUCT_ROWS (1 << 30)

/* A product to be written; all is borrowed. */
typedef struct fb_product_row {
    const char *id, *title, *image;
    const char *const *attributes; /* [attribute_count, 2] name, value */
    int32_t attribute_count;
} fb_product_row;

/* The file's bytes, malloc'ed. FB_E_LIMIT: more rows or names of attributes than the
 * bounds above. FB_E_MEMORY. */
fb_status fb_product_table_make(fb_context *ctx, const fb_product_row *products,
                                int64_t count, uint8_t **bytes, size_t *size_bytes);

typedef struct fb_product_table fb_product_table;

/* FB_E_FORMAT: not such a file, damaged or cut short. */
fb_status fb_product_table_open(fb_context *ctx, fb_product_table **table,
                                const char *path);
/* The same over bytes that outlive it, at a multiple of 8; `name` is for messages. */
fb_status fb_product_table_parse(fb_context *ctx, fb_product_table **table,
                                 const char *name, const uint8_t *bytes,
                                 size_t size_bytes);
void fb_product_table_close(fb_product_table *table);
/* FB_E_IO: its file was written over, see fb_map_check. */
fb_status fb_product_table_check(fb_context *ctx, const fb_product_table *table);

int64_t fb_product_table_rows(const fb_product_table *table);
int32_t fb_product_table_columns(const fb_product_table *table);
bool fb_product_table_repeats(const fb_product_table *table); /* an id twice */
/* Strings are borrowed from the table. */
const char *fb_product_table_id(const fb_product_table *table, int64_t row);
const char *fb_product_table_title(const fb_product_table *table, int64_t row);
const char *fb_product_table_image(const fb_product_table *table, int64_t row);
int64_t fb_product_table_first(const fb_product_table *table, int64_t row);
/* The first row of that id, -1: none. */
int64_t fb_product_table_find(const fb_product_table *table, const char *id);

const char *fb_product_table_column(const fb_product_table *table, int32_t column);
/* By name, ASCII letters without case; -1: none. */
int32_t fb_product_table_find_column(const fb_product_table *table, const char *name);
int32_t fb_product_table_values(const fb_product_table *table, int32_t column);
const char *fb_product_table_value(const fb_product_table *table, int32_t column,
                                   int32_t value);
/* Of a product: a number among the column's values, -1: none. */
const int32_t *fb_product_table_cells(const fb_product_table *table, int32_t column);

/* ---- the file's frame, for the writer and the fuzz target ------------------------ */

typedef struct fb_product_header {
    char magic[8];
    int64_t rows;
    int32_t columns, zero;
    int64_t values, string_bytes;
    uint64_t spare[2];
    uint64_t checksum; /* of the bytes before it and of those behind the header */
} fb_product_header;

uint64_t fb_product_header_sum(const fb_product_header *header, const uint8_t *behind,
                               size_t size_bytes);

#endif

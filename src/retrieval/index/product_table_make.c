/* product_table_make.c - the bytes of a product table from its rows. Names and values
 * are numbered by sorting them: no table of them is kept beside. */
#include "retrieval/index/product_table.h"

#include <stdlib.h>
#include <string.h>

/* One attribute of one row. */
typedef struct entry {
    const char *name, *value;
    int64_t row;
    int32_t column;
} entry;

typedef struct maker {
    fb_context *ctx;
    const fb_product_row *products;
    int64_t rows;
    entry *entries;
    int64_t entry_count;
    const char **names, **values; /* [columns], [value_count] */
    int32_t columns;
    int64_t value_count;
    int32_t *begin;        /* [columns + 1] */
    int64_t *order;        /* [rows] by id, then row */
    int32_t *first, *cell; /* [rows], [columns, rows] */
    uint8_t *bytes;
    size_t size_bytes, string_bytes;
} maker;

static fb_status no_memory(const maker *m)
{
    return fb_fail(m->ctx, FB_E_MEMORY, "no memory for %lld products",
                   (long long)m->rows);
}

static int by_text(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    if (order == 0)
        order = strcmp(x->value, y->value);
    return order ? order : (x->row > y->row) - (x->row < y->row);
}

static fb_status list_entries(maker *m)
{
    for (int64_t r = 0; r < m->rows; r++)
        m->entry_count += m->products[r].attribute_count;
    if (m->entry_count > INT32_MAX)
        return fb_fail(m->ctx, FB_E_LIMIT,
                       "%lld attributes of products; an index takes up to %d",
                       (long long)m->entry_count, INT32_MAX);
    m->entries = calloc((size_t)m->entry_count + 1, sizeof *m->entries);
    if (!m->entries)
        return no_memory(m);
    int64_t n = 0;
    for (int64_t r = 0; r < m->rows; r++) {
        const fb_product_row *p = &m->products[r];
        for (int32_t i = 0; i < p->attribute_count; i++)
            m->entries[n++] = (entry){.name = p->attributes[2 * i],
                                      .value = p->attributes[2 * i + 1],
                                      .row = r};
    }
    qsort(m->entries, (size_t)n, sizeof *m->entries, by_text);
    return FB_OK;
}

/* Names and values in their order; each entry's column. */
static fb_status number_entries(maker *m)
{
    size_t count = (size_t)m->entry_count + 1;
    m->names = calloc(count < FB_PRODUCT_COLUMNS ? count : FB_PRODUCT_COLUMNS,
                      sizeof *m->names);
    m->values = calloc(count, sizeof *m->values);
    m->begin = calloc(FB_PRODUCT_COLUMNS + 1, sizeof *m->begin);
    if (!m->names || !m->values || !m->begin)
        return no_memory(m);
    for (int64_t i = 0; i < m->entry_count; i++) {
        entry *e = &m->entries[i];
        const entry *last = i ? e - 1 : NULL;
        bool new_name = !last || strcmp(e->name, last->name) != 0;
        if (new_name) {
            if (m->columns == FB_PRODUCT_COLUMNS)
                return fb_fail(m->ctx, FB_E_LIMIT,
                               "more than %d attributes of different names",
                               (int)FB_PRODUCT_COLUMNS);
            m->begin[m->columns] = (int32_t)m->value_count;
            m->names[m->columns++] = e->name;
        }
        if (new_name || strcmp(e->value, last->value) != 0)
            m->values[m->value_count++] = e->value;
        e->column = m->columns - 1;
    }
    m->begin[m->columns] = (int32_t)m->value_count;
    return FB_OK;
}

static fb_status fill_cells(maker *m)
{
    size_t count = (size_t)m->columns * (size_t)m->rows;
    m->cell = malloc((count + 1) * sizeof *m->cell);
    if (!m->cell)
        return no_memory(m);
    memset(m->cell, 0xff, count * sizeof *m->cell); /* -1 */
    int64_t value = -1;
    for (int64_t i = 0; i < m->entry_count; i++) {
        const entry *e = &m->entries[i], *last = i ? e - 1 : NULL;
        if (!last || e->column != last->column || strcmp(e->value, last->value) != 0)
            value++;
        m->cell[(size_t)e->column * (size_t)m->rows + (size_t)e->row] =
            (int32_t)(value - m->begin[e->column]);
    }
    return FB_OK;
}

/* ---- ids ------------------------------------------------------------------------ */

typedef struct named_row {
    const char *id;
    int64_t row;
} named_row;

static int by_id(const void *a, const void *b)
{
    const named_row *x = a, *y = b;
    int order = strcmp(x->id, y->id);
    return order ? order : (x->row > y->row) - (x->row < y->row);
}

static fb_status order_ids(maker *m)
{
    named_row *named = calloc((size_t)m->rows + 1, sizeof *named);
    m->order = calloc((size_t)m->rows + 1, sizeof *m->order);
    m->first = calloc((size_t)m->rows + 1, sizeof *m->first);
    if (!named || !m->order || !m->first) {
        free(named);
        return no_memory(m);
    }
    for (int64_t r = 0; r < m->rows; r++)
        named[r] = (named_row){m->products[r].id, r};
    qsort(named, (size_t)m->rows, sizeof *named, by_id);
    for (int64_t i = 0, start = 0; i < m->rows; i++) {
        if (strcmp(named[i].id, named[start].id) != 0)
            start = i;
        m->order[i] = named[i].row;
        m->first[named[i].row] = (int32_t)named[start].row;
    }
    free(named);
    return FB_OK;
}

/* ---- bytes ---------------------------------------------------------------------- */

static size_t text_bytes(const char *text)
{
    return strlen(text) + 1;
}

static void count_bytes(maker *m)
{
    size_t rows = (size_t)m->rows, columns = (size_t)m->columns;
    for (int64_t r = 0; r < m->rows; r++)
        m->string_bytes += text_bytes(m->products[r].id) +
                           text_bytes(m->products[r].title) +
                           text_bytes(m->products[r].image);
    for (int32_t c = 0; c < m->columns; c++)
        m->string_bytes += text_bytes(m->names[c]);
    for (int64_t v = 0; v < m->value_count; v++)
        m->string_bytes += text_bytes(m->values[v]);
    m->size_bytes = sizeof(fb_product_header) +
                    8 * (3 * rows + columns + (size_t)m->value_count) +
                    4 * (2 * rows + columns + 1 + columns * rows) + m->string_bytes;
}

typedef struct strings {
    char *start;
    size_t used;
} strings;

static uint64_t add_string(strings *s, const char *text)
{
    uint64_t at = s->used;
    size_t size = text_bytes(text);
    memcpy(s->start + s->used, text, size);
    s->used += size;
    return at;
}

static void write_bytes(maker *m)
{
    size_t rows = (size_t)m->rows, columns = (size_t)m->columns;
    fb_product_header h = {.magic = {'F', 'B', 'P', 'R', 'O', 'D', '0', '1'},
                           .rows = m->rows,
                           .columns = m->columns,
                           .values = m->value_count,
                           .string_bytes = (int64_t)m->string_bytes};
    strings s = {(char *)m->bytes + m->size_bytes - m->string_bytes, 0};
    void *front = m->bytes + sizeof h;
    uint64_t *place = front;
    for (size_t r = 0; r < rows; r++) {
        place[r] = add_string(&s, m->products[r].id);
        place[rows + r] = add_string(&s, m->products[r].title);
        place[2 * rows + r] = add_string(&s, m->products[r].image);
    }
    place += 3 * rows;
    for (size_t c = 0; c < columns; c++)
        *place++ = add_string(&s, m->names[c]);
    for (int64_t v = 0; v < m->value_count; v++)
        *place++ = add_string(&s, m->values[v]);
    void *behind = place;
    int32_t *number = behind;
    memcpy(number, m->first, rows * sizeof *number);
    number += rows;
    for (size_t r = 0; r < rows; r++)
        *number++ = (int32_t)m->order[r];
    memcpy(number, m->begin, (columns + 1) * sizeof *number);
    number += columns + 1;
    memcpy(number, m->cell, columns * rows * sizeof *number);
    h.checksum =
        fb_product_header_sum(&h, m->bytes + sizeof h, m->size_bytes - sizeof h);
    memcpy(m->bytes, &h, sizeof h);
}

static fb_status make(maker *m)
{
    if (m->rows > FB_PRODUCT_ROWS)
        return fb_fail(m->ctx, FB_E_LIMIT, "%lld products; an index takes up to %d",
                       (long long)m->rows, FB_PRODUCT_ROWS);
    FB_TRY(list_entries(m));
    FB_TRY(number_entries(m));
    FB_TRY(fill_cells(m));
    FB_TRY(order_ids(m));
    count_bytes(m);
    m->bytes = malloc(m->size_bytes);
    if (!m->bytes)
        return no_memory(m);
    write_bytes(m);
    return FB_OK;
}

fb_status fb_product_table_make(fb_context *ctx, const fb_product_row *products,
                                int64_t count, uint8_t **bytes, size_t *size_bytes)
{
    maker m = {.ctx = ctx, .products = products, .rows = count};
    fb_status status = make(&m);
    free(m.entries);
    free(m.names);
    free(m.values);
    free(m.begin);
    free(m.order);
    free(m.first);
    free(m.cell);
    if (status != FB_OK)
        return status;
    *bytes = m.bytes;
    *size_bytes = m.size_bytes;
    return FB_OK;
}

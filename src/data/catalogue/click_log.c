/* click_log.c - see click_log.h.
 *
 *     intern    query, lower-cased and trimmed -> number;  product id -> number
 *     pairs     8 bytes (query number, product number) -> place in entries
 */
#include "data/catalogue/click_log.h"
#include "base/file.h"
#include "base/string_table.h"
#include "data/catalogue/catalogue_row.h"
#include "data/text/basic_tokenizer.h"

#include <stdlib.h>
#include <string.h>

enum { FIELDS = 4, POOL_BYTES = 1 << 16, FIRST_ENTRIES = 1024 };

struct fb_click_log {
    fb_arena *arena;
    fb_string_pool pool;
    fb_intern *queries, *products; /* queries by their normal form */
    const char **query_texts;      /* [query_capacity] as they came first */
    int32_t query_capacity;
    fb_string_table pairs;
    fb_click *entries;
    int32_t count, capacity;
    int64_t rows;
};

/* ---- a line ---------------------------------------------------------------------- */

typedef struct field {
    const char *text;
    size_t size_bytes;
} field;

static bool is_space(char c)
{
    return c == ' ' || c == '\r' || c == '\t';
}

static field trim(const char *text, size_t size_bytes)
{
    while (size_bytes > 0 && is_space(text[0])) {
        text++;
        size_bytes--;
    }
    while (size_bytes > 0 && is_space(text[size_bytes - 1]))
        size_bytes--;
    return (field){text, size_bytes};
}

/* Fields between tabs, trimmed; FIELDS + 1 when there are more. */
static int32_t split_fields(const char *text, size_t size_bytes, field fields[FIELDS])
{
    int32_t count = 0;
    for (;;) {
        const char *tab = size_bytes ? memchr(text, '\t', size_bytes) : NULL;
        size_t length = tab ? (size_t)(tab - text) : size_bytes;
        if (count == FIELDS)
            return FIELDS + 1;
        fields[count++] = trim(text, length);
        if (!tab)
            return count;
        text += length + 1;
        size_bytes -= length + 1;
    }
}

static bool equals(field f, const char *word)
{
    return f.size_bytes == strlen(word) && memcmp(f.text, word, f.size_bytes) == 0;
}

static fb_status check_text(fb_context *ctx, const char *name, field f,
                            const char *what, size_t most_bytes)
{
    if (f.size_bytes == 0)
        return fb_fail(ctx, FB_E_FORMAT, "%s: the %s is blank", name, what);
    if (f.size_bytes > most_bytes)
        return fb_fail(ctx, FB_E_LIMIT,
                       "%s: a %s of %zu bytes, at most %zu are allowed", name, what,
                       f.size_bytes, most_bytes);
    if (memchr(f.text, 0, f.size_bytes) || !fb_utf8_is_valid(f.text, f.size_bytes))
        return fb_fail(ctx, FB_E_FORMAT, "%s: the %s is not UTF-8 text", name, what);
    return FB_OK;
}

static fb_status read_count(fb_context *ctx, const char *name, field f, int64_t *count)
{
    int64_t value = 0;
    bool digits = f.size_bytes > 0 && f.size_bytes <= 10;
    for (size_t i = 0; i < f.size_bytes && digits; i++) {
        digits = f.text[i] >= '0' && f.text[i] <= '9';
        value = 10 * value + (f.text[i] - '0');
    }
    if (!digits || value < 1 || value > FB_CLICK_COUNT_MAX)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: the count must be a whole number from 1 to %d", name,
                       FB_CLICK_COUNT_MAX);
    *count = value;
    return FB_OK;
}

fb_status fb_click_row_read(fb_context *ctx, const char *name, const char *text,
                            size_t size_bytes, fb_click_row *row)
{
    field f[FIELDS] = {{"", 0}, {"", 0}, {"", 0}, {"", 0}};
    int32_t count = split_fields(text, size_bytes, f);
    if (count < 3 || count > FIELDS)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: %s fields; a row is query, product id, clicked (0 or 1) "
                       "and perhaps a count, with tabs between them",
                       name, count > FIELDS ? "more than four" : "too few");
    FB_TRY(check_text(ctx, name, f[0], "query", FB_CLICK_QUERY_BYTES));
    FB_TRY(check_text(ctx, name, f[1], "product id", FB_CLICK_PRODUCT_BYTES));
    if (!equals(f[2], "0") && !equals(f[2], "1"))
        return fb_fail(ctx, FB_E_FORMAT, "%s: clicked must be 0 or 1", name);
    int64_t times = 1;
    if (count == FIELDS && f[3].size_bytes > 0)
        FB_TRY(read_count(ctx, name, f[3], &times));
    *row = (fb_click_row){.query = f[0].text,
                          .query_bytes = f[0].size_bytes,
                          .product = f[1].text,
                          .product_bytes = f[1].size_bytes,
                          .clicked = f[2].text[0] == '1',
                          .count = times};
    return FB_OK;
}

/* ---- the log --------------------------------------------------------------------- */

static fb_status fail_memory(fb_context *ctx, const fb_click_log *log)
{
    return fb_fail(ctx, FB_E_MEMORY, "no memory for a click log of %d pairs",
                   log ? (int)log->count : 0);
}

fb_status fb_click_log_create(fb_context *ctx, fb_click_log **log)
{
    fb_click_log *l = calloc(1, sizeof *l);
    if (l) {
        l->arena = fb_arena_create(POOL_BYTES);
        l->pool.arena = l->arena;
        l->queries = fb_intern_create();
        l->products = fb_intern_create();
    }
    if (!l || !l->arena || !l->queries || !l->products) {
        fb_click_log_free(l);
        return fail_memory(ctx, NULL);
    }
    *log = l;
    return FB_OK;
}

void fb_click_log_free(fb_click_log *log)
{
    if (!log)
        return;
    fb_intern_free(log->queries);
    fb_intern_free(log->products);
    fb_arena_free(log->arena);
    fb_string_table_clear(&log->pairs);
    free(log->query_texts);
    free(log->entries);
    free(log);
}

static bool grow_queries(fb_click_log *log)
{
    if (fb_intern_count(log->queries) < log->query_capacity)
        return true;
    int32_t capacity = log->query_capacity ? 2 * log->query_capacity : FIRST_ENTRIES;
    const char **texts = realloc(log->query_texts, (size_t)capacity * sizeof *texts);
    if (!texts)
        return false;
    log->query_texts = texts;
    log->query_capacity = capacity;
    return true;
}

/* The query's number; -1: no memory. */
static int32_t number_query(fb_click_log *log, const fb_click_row *row)
{
    char text[FB_CLICK_QUERY_BYTES + 1];
    memcpy(text, row->query, row->query_bytes);
    text[row->query_bytes] = 0;
    char *normal = fb_title_normalise(text);
    if (!normal || !grow_queries(log)) {
        free(normal);
        return -1;
    }
    int32_t number = fb_intern_find(log->queries, normal);
    if (number < 0) {
        const char *kept =
            fb_string_pool_copy(&log->pool, row->query, row->query_bytes);
        number = kept ? fb_intern_add(log->queries, normal) : -1;
        if (number >= 0)
            log->query_texts[number] = kept;
    }
    free(normal);
    return number;
}

static int32_t number_product(fb_click_log *log, const fb_click_row *row)
{
    char text[FB_CLICK_PRODUCT_BYTES + 1];
    memcpy(text, row->product, row->product_bytes);
    text[row->product_bytes] = 0;
    return fb_intern_add(log->products, text);
}

static bool grow_entries(fb_click_log *log)
{
    if (log->count < log->capacity)
        return true;
    int32_t capacity = log->capacity ? 2 * log->capacity : FIRST_ENTRIES;
    fb_click *entries = realloc(log->entries, (size_t)capacity * sizeof *entries);
    if (!entries)
        return false;
    log->entries = entries;
    log->capacity = capacity;
    return true;
}

fb_status fb_click_log_add(fb_context *ctx, fb_click_log *log, const fb_click_row *row,
                           int32_t line)
{
    int32_t key[2] = {number_query(log, row), number_product(log, row)}, place;
    if (key[0] < 0 || key[1] < 0 || !grow_entries(log))
        return fail_memory(ctx, log);
    FB_TRY(
        fb_string_table_add(ctx, &log->pairs, (const char *)key, sizeof key, &place));
    if (place == log->count)
        log->entries[log->count++] =
            (fb_click){.query = key[0], .product = key[1], .line = line};
    fb_click *entry = &log->entries[place];
    int64_t *times = row->clicked ? &entry->clicks : &entry->skips;
    *times += row->count;
    log->rows++;
    return FB_OK;
}

/* ---- files ----------------------------------------------------------------------- */

static bool is_blank(const char *text, size_t size_bytes)
{
    return trim(text, size_bytes).size_bytes == 0;
}

static bool is_header(const char *text, size_t size_bytes)
{
    field f[FIELDS];
    int32_t count = split_fields(text, size_bytes, f);
    return (count == 3 || (count == 4 && equals(f[3], "count"))) &&
           equals(f[0], "query") &&
           (equals(f[1], "product") || equals(f[1], "product_id")) &&
           equals(f[2], "clicked");
}

/* Who has a say in which rows are kept; keep NULL: nobody. */
typedef struct judge {
    fb_click_keep keep;
    void *self;
} judge;

static fb_status take_line(fb_context *ctx, fb_click_log *log, const char *name,
                           int32_t line, const char *text, size_t size_bytes, judge j)
{
    fb_click_row row;
    struct fb_context fault = {0};
    fb_status status = fb_click_row_read(&fault, name, text, size_bytes, &row);
    if (status != FB_OK && !j.keep)
        return fb_fail(ctx, status, "%s", fault.message);
    if (j.keep && !j.keep(j.self, name, status == FB_OK ? &row : NULL,
                          status == FB_OK ? NULL : fault.message))
        return FB_OK;
    return status == FB_OK ? fb_click_log_add(ctx, log, &row, line) : FB_OK;
}

static fb_status read_lines(fb_context *ctx, fb_click_log *log, const char *file,
                            const char *at, size_t size_bytes, judge j)
{
    if (size_bytes >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0) {
        at += 3;
        size_bytes -= 3;
    }
    for (int32_t line = 1; size_bytes > 0; line++) {
        const char *stop = memchr(at, '\n', size_bytes);
        size_t length = stop ? (size_t)(stop - at) : size_bytes;
        char name[4096 + 16];
        snprintf(name, sizeof name, "%s:%d", file, (int)line);
        if (line > FB_CLICK_LINES_MAX)
            return fb_fail(ctx, FB_E_LIMIT, "%s: at most %d lines are allowed", name,
                           FB_CLICK_LINES_MAX);
        if (!is_blank(at, length) && !(line == 1 && is_header(at, length)))
            FB_TRY(take_line(ctx, log, name, line, at, length, j));
        at += length + (stop != NULL);
        size_bytes -= length + (stop != NULL);
    }
    if (log->count == 0 && !j.keep)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: no rows; every line is query, product id, clicked (0 or 1) "
                       "with tabs between them",
                       file);
    return FB_OK;
}

static fb_status parse(fb_context *ctx, fb_click_log **log, const char *name,
                       const char *text, size_t size_bytes, judge j)
{
    fb_click_log *fresh;
    FB_TRY(fb_click_log_create(ctx, &fresh));
    fb_status status = read_lines(ctx, fresh, name, text, size_bytes, j);
    if (status == FB_OK)
        *log = fresh;
    else
        fb_click_log_free(fresh);
    return status;
}

fb_status fb_click_log_parse(fb_context *ctx, fb_click_log **log, const char *name,
                             const char *text, size_t size_bytes)
{
    return parse(ctx, log, name, text, size_bytes, (judge){NULL, NULL});
}

fb_status fb_click_log_open_with(fb_context *ctx, fb_click_log **log, const char *path,
                                 fb_click_keep keep, void *self)
{
    fb_map map = {0};
    FB_TRY(fb_map_open(ctx, path, &map));
    fb_status status = parse(ctx, log, path, (const char *)map.bytes, map.size_bytes,
                             (judge){keep, self});
    fb_map_close(&map);
    return status;
}

fb_status fb_click_log_open(fb_context *ctx, fb_click_log **log, const char *path)
{
    return fb_click_log_open_with(ctx, log, path, NULL, NULL);
}

static void write_rows(const fb_click_log *log, const fb_click *entry, bool clicked,
                       FILE *stream)
{
    int64_t left = clicked ? entry->clicks : entry->skips;
    for (; left > 0; left -= FB_CLICK_COUNT_MAX) {
        long long count = left < FB_CLICK_COUNT_MAX ? left : FB_CLICK_COUNT_MAX;
        fprintf(stream, "%s\t%s\t%d\t%lld\n", fb_click_log_query(log, entry->query),
                fb_click_log_product(log, entry->product), clicked, count);
    }
}

fb_status fb_click_log_write(fb_context *ctx, const fb_click_log *log, const char *path)
{
    fb_replace r;
    FB_TRY(fb_replace_open(ctx, path, &r));
    fprintf(r.stream, "query\tproduct_id\tclicked\tcount\n");
    for (int32_t i = 0; i < log->count; i++) {
        write_rows(log, &log->entries[i], true, r.stream);
        write_rows(log, &log->entries[i], false, r.stream);
    }
    return fb_replace_commit(ctx, &r);
}

/* ---- reading it ------------------------------------------------------------------ */

int64_t fb_click_log_rows(const fb_click_log *log)
{
    return log->rows;
}

int32_t fb_click_log_count(const fb_click_log *log)
{
    return log->count;
}

const fb_click *fb_click_log_get(const fb_click_log *log, int32_t pair)
{
    return &log->entries[pair];
}

int32_t fb_click_log_queries(const fb_click_log *log)
{
    return fb_intern_count(log->queries);
}

int32_t fb_click_log_products(const fb_click_log *log)
{
    return fb_intern_count(log->products);
}

const char *fb_click_log_query(const fb_click_log *log, int32_t query)
{
    return log->query_texts[query];
}

const char *fb_click_log_product(const fb_click_log *log, int32_t product)
{
    return fb_intern_text(log->products, product);
}

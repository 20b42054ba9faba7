/* table.c - aligned columns: cells are kept as one list, widths are taken when printed.
 */
#include "cli/table.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { COLUMNS = 16, CELL_BYTES = 512 };

struct fb_table {
    char **cells; /* heads first, row by row */
    size_t count, capacity;
    size_t columns;
    bool right[COLUMNS];
    bool broken; /* memory ran out */
};

/* Copy text into out, control characters as "?", bytes that are not UTF-8 as U+FFFD. */
static void copy_plain(const char *text, char *out, size_t size)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
    size_t left = strlen(text), n = 0;
    while (left > 0 && n + 5 < size) {
        utf8proc_int32_t code;
        utf8proc_ssize_t used = utf8proc_iterate(at, (utf8proc_ssize_t)left, &code);
        if (used <= 0) {
            used = 1;
            code = 0xfffd;
        }
        utf8proc_category_t category = utf8proc_category(code);
        if (category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
            category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP)
            code = '?';
        n += (size_t)utf8proc_encode_char(code, (utf8proc_uint8_t *)out + n);
        at += used;
        left -= (size_t)used;
    }
    out[n] = 0;
}

/* Columns that a terminal gives a text that copy_plain has cleaned. */
static size_t width_of(const char *text)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
    utf8proc_ssize_t left = (utf8proc_ssize_t)strlen(text);
    size_t width = 0;
    while (left > 0) {
        utf8proc_int32_t code;
        utf8proc_ssize_t used = utf8proc_iterate(at, left, &code);
        if (used <= 0)
            break;
        width += (size_t)utf8proc_charwidth(code);
        at += used;
        left -= used;
    }
    return width;
}

static void add(fb_table *table, const char *text)
{
    char plain[CELL_BYTES];
    copy_plain(text, plain, sizeof plain);
    if (table->count == table->capacity) {
        size_t capacity = table->capacity ? table->capacity * 2 : 64;
        char **cells = realloc(table->cells, capacity * sizeof *cells);
        if (!cells) {
            table->broken = true;
            return;
        }
        table->cells = cells;
        table->capacity = capacity;
    }
    table->cells[table->count] = strdup(plain);
    if (!table->cells[table->count])
        table->broken = true;
    else
        table->count++;
}

fb_table *fb_table_create(const char *heads)
{
    char head[CELL_BYTES];
    fb_table *table = calloc(1, sizeof *table);
    while (table && *heads && table->columns < COLUMNS) {
        size_t n = strcspn(heads, "|");
        table->right[table->columns++] = *heads == '>';
        snprintf(head, sizeof head, "%.*s", (int)n - 1, heads + 1);
        add(table, head);
        heads += n + (heads[n] == '|');
    }
    return table;
}

void fb_table_free(fb_table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
}

void fb_table_text(fb_table *table, const char *text)
{
    if (table)
        add(table, text);
}

void fb_table_int(fb_table *table, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    fb_table_text(table, text);
}

void fb_table_number(fb_table *table, double value, int decimals)
{
    char text[64];
    if (isfinite(value))
        snprintf(text, sizeof text, "%.*f", decimals, value);
    else
        snprintf(text, sizeof text, "-");
    fb_table_text(table, text);
}

fb_status fb_table_print(fb_context *ctx, const fb_table *table, FILE *out)
{
    size_t widths[COLUMNS] = {0};
    if (!table || table->broken)
        return fb_fail(ctx, FB_E_MEMORY, "out of memory for a table");
    for (size_t i = 0; i < table->count; i++) {
        size_t width = width_of(table->cells[i]), column = i % table->columns;
        if (width > widths[column])
            widths[column] = width;
    }
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % table->columns;
        bool last = column + 1 == table->columns;
        int pad = (int)(widths[column] - width_of(table->cells[i]));
        if (table->right[column])
            fprintf(out, "%*s%s", pad, "", table->cells[i]);
        else
            fprintf(out, "%s%*s", table->cells[i], last ? 0 : pad, "");
        fputs(last ? "\n" : "  ", out);
    }
    return FB_OK;
}

/* click_log.h - a click log: which product was shown for which query, and clicked or
 * not. Tab-separated, a row a line, UTF-8:
 *
 *     query <TAB> product id <TAB> clicked, 1 or 0 [<TAB> count]
 *
 *     red dress    10042   1
 *     red dress    10043   0   12        shown twelve times, never clicked
 *
 * The first line may name the columns (query, product or product_id, clicked, count).
 * White space around a field, empty lines, a byte order mark and CR LF are allowed. The
 * rows of one query and one product are added up; queries that differ only in case and
 * white space are one query, written as it came first.
 *
 * A log does not change once it is filled: any number of threads may read it.
 */
#ifndef FB_DATA_CATALOGUE_CLICK_LOG_H
#define FB_DATA_CATALOGUE_CLICK_LOG_H

#include "base/status.h"

enum {
    FB_CLICK_QUERY_BYTES = 4096,
    FB_CLICK_PRODUCT_BYTES = 1024,
    FB_CLICK_COUNT_MAX = 1000000000, /* of a row */
    FB_CLICK_LINES_MAX = 1000000000
};

/* A line as it stands there; query and product point into it, without a 0 byte behind
 * them. */
typedef struct fb_click_row {
    const char *query, *product;
    size_t query_bytes, product_bytes;
    bool clicked;
    int64_t count; /* 1 when absent */
} fb_click_row;

/* Read a line (without its LF). `name` begins every sentence ("clicks.tsv:17").
 * FB_E_FORMAT  fewer than three fields or more than four, a blank query or product,
 *              bytes that are not UTF-8, clicked other than 0 and 1, a count that is
 *              no whole number from 1 to FB_CLICK_COUNT_MAX
 * FB_E_LIMIT   a query or product longer than above */
fb_status fb_click_row_read(fb_context *ctx, const char *name, const char *text,
                            size_t size_bytes, fb_click_row *row);

/* All rows of one query and one product. */
typedef struct fb_click {
    int32_t query, product; /* numbers, in the order in which they came first */
    int32_t line;           /* of the first row, from 1 */
    int64_t clicks, skips;  /* times clicked, and shown without a click */
} fb_click;

typedef struct fb_click_log fb_click_log;

/* An empty log, to be filled row by row. FB_E_MEMORY */
fb_status fb_click_log_create(fb_context *ctx, fb_click_log **log);
/* The row's texts are as short as fb_click_row_read lets them be. FB_E_MEMORY,
 * FB_E_LIMIT: the log has the same pairs as before. */
fb_status fb_click_log_add(fb_context *ctx, fb_click_log *log, const fb_click_row *row,
                           int32_t line);

/* Read a file, or the same from memory; `name` is what failures call it. Sentences
 * begin "NAME:LINE:". FB_E_IO, FB_E_MISSING; FB_E_FORMAT (a row, or no row at all);
 * FB_E_LIMIT; FB_E_MEMORY */
fb_status fb_click_log_open(fb_context *ctx, fb_click_log **log, const char *path);
fb_status fb_click_log_parse(fb_context *ctx, fb_click_log **log, const char *name,
                             const char *text, size_t size_bytes);
/* The same with a say in each row. `keep` is asked about each line: row NULL, it cannot
 * be read, and `fault` is the sentence why; else fault is NULL. Rows that it does not
 * keep are left out, also those that cannot be read: they are no failure then. */
typedef bool (*fb_click_keep)(void *self, const char *where, const fb_click_row *row,
                              const char *fault);
fb_status fb_click_log_open_with(fb_context *ctx, fb_click_log **log, const char *path,
                                 fb_click_keep keep, void *self);
/* Write it with a first line of names, replacing what was there in one step; it reads
 * back as the same log but for line numbers. */
fb_status fb_click_log_write(fb_context *ctx, const fb_click_log *log,
                             const char *path);
void fb_click_log_free(fb_click_log *log);

int64_t fb_click_log_rows(const fb_click_log *log);  /* lines that were read */
int32_t fb_click_log_count(const fb_click_log *log); /* distinct pairs */
const fb_click *fb_click_log_get(const fb_click_log *log, int32_t pair);
int32_t fb_click_log_queries(const fb_click_log *log);
int32_t fb_click_log_products(const fb_click_log *log);
const char *fb_click_log_query(const fb_click_log *log, int32_t query);
const char *fb_click_log_product(const fb_click_log *log, int32_t product);

#endif

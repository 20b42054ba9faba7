/* import_clicks.c - see import_clicks.h. Products are known by 64 bits of their id. */
#include "data/import/import_clicks.h"
#include "base/file.h"
#include "base/id_set.h"
#include "data/catalogue/catalogue_row.h"
#include "data/catalogue/click_log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct clicks {
    const fb_import_options *options;
    fb_id_set products;
    int64_t rows, skipped;
    char first_bad[800];
    bool no_memory;
} clicks;

static uint64_t key_of(const char *product, size_t size)
{
    uint64_t key = fb_hash_bytes(4, product, size);
    return key ? key : 1;
}

/* ---- products ----------------------------------------------------------------------
 */

static fb_status add_product(fb_context *ctx, clicks *c, const char *path, char *line,
                             size_t size, fb_arena *arena)
{
    fb_string_pool pool = {.arena = arena};
    fb_catalogue_row row;
    int64_t first;
    fb_arena_reset(arena);
    while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r'))
        size--;
    FB_TRY(fb_catalogue_row_read(ctx, path, line, size, &pool, &row));
    const char *product = row.item.product_id;
    if (!fb_id_set_add(&c->products, key_of(product, strlen(product)), 0, &first))
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for its products", path);
    return FB_OK;
}

static fb_status read_products(fb_context *ctx, clicks *c, const char *folder)
{
    char path[4096];
    FB_TRY(fb_path_join(ctx, path, folder, "metadata.jsonl"));
    FILE *stream = NULL;
    fb_status status = fb_stream_open(ctx, path, &stream, NULL);
    fb_arena *arena = fb_arena_create(1 << 16);
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    if (status == FB_OK && !arena)
        status = fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", path);
    while (status == FB_OK && (size = getline(&line, &room, stream)) > 0)
        status = add_product(ctx, c, path, line, (size_t)size, arena);
    if (stream)
        (void)fclose(stream);
    fb_arena_free(arena);
    free(line);
    return status;
}

/* ---- rows --------------------------------------------------------------------------
 */

static void tell(clicks *c, const char *sentence)
{
    if (c->skipped++ == 0)
        snprintf(c->first_bad, sizeof c->first_bad, "%s", sentence);
    if (c->skipped <= FB_IMPORT_NAMED && c->options->notice)
        c->options->notice(c->options->notice_self, sentence);
}

static bool keep(void *self, const char *where, const fb_click_row *row,
                 const char *fault)
{
    clicks *c = self;
    char sentence[800];
    int64_t first = 0;
    if (!row) {
        tell(c, fault);
        return false;
    }
    /* a known product came with number 0 */
    if (!fb_id_set_add(&c->products, key_of(row->product, row->product_bytes), 1,
                       &first))
        c->no_memory = true;
    if (first == 0) {
        c->rows++;
        return true;
    }
    snprintf(sentence, sizeof sentence,
             "%.390s: product \"%.*s\" is not in the catalogue", where,
             (int)(row->product_bytes > 200 ? 200 : row->product_bytes), row->product);
    tell(c, sentence);
    return false;
}

static fb_status judge(fb_context *ctx, const clicks *c)
{
    if (c->no_memory)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for its products",
                       c->options->clicks);
    if (c->skipped > 0 && !c->options->skip_bad)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s (%lld bad rows in all); nothing was written, --skip-bad "
                       "leaves them out",
                       c->first_bad, (long long)c->skipped);
    if (c->rows == 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: not a single row of the catalogue's products; every line "
                       "is query, product id, clicked (0 or 1) with tabs between them",
                       c->options->clicks);
    return FB_OK;
}

static fb_status import(fb_context *ctx, clicks *c, const char *folder)
{
    char path[4096];
    fb_click_log *log = NULL;
    FB_TRY(read_products(ctx, c, folder));
    FB_TRY(fb_path_join(ctx, path, folder, "clicks.tsv"));
    FB_TRY(fb_click_log_open_with(ctx, &log, c->options->clicks, keep, c));
    fb_status status = judge(ctx, c);
    if (status == FB_OK)
        status = fb_click_log_write(ctx, log, path);
    fb_click_log_free(log);
    return status;
}

/* A run before, with a log, may have been killed. */
static fb_status remove_old(fb_context *ctx, const char *folder)
{
    char path[4096];
    FB_TRY(fb_path_join(ctx, path, folder, "clicks.tsv"));
    if (unlink(path) != 0 && errno != ENOENT)
        return fb_fail(ctx, FB_E_IO, "%s: cannot be removed: %s", path,
                       strerror(errno));
    return FB_OK;
}

fb_status fb_import_clicks(fb_context *ctx, const char *folder,
                           const fb_import_options *options, fb_import_report *report)
{
    clicks c = {.options = options};
    if (!options->clicks[0])
        return remove_old(ctx, folder);
    fb_status status = import(ctx, &c, folder);
    fb_id_set_clear(&c.products);
    if (status == FB_OK) {
        report->clicks = c.rows;
        report->clicks_skipped = c.skipped;
    }
    return status;
}

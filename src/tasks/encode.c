/* encode.c - the encode verb: vectors of a catalogue's products or queries into files.
 *
 *     OUT/WHAT.json       what they are of, and how many rows are on the disk
 *     OUT/WHAT.npy.part   f32 [rows, D], its whole length from the start; once all are
 *     OUT/WHAT.npy        there renamed
 *     OUT/WHAT.ids.txt    a product id a line, one a row
 *
 * Rows are synced before WHAT.json counts them, so a killed run goes on behind the last
 * that it counts.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/number_text.h"
#include "base/option.h"
#include "base/progress.h"
#include "engine/catalogue_vectors.h"
#include "engine/model_regions.h"
#include "engine/model_vectors.h"
#include "retrieval/index/index_manifest.h"
#include "retrieval/index/npy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { BLOCKS_A_SYNC = 16, STATE_BYTES = 1 << 20 };

typedef struct encoder {
    fb_context *ctx;
    const fb_encode_options *options;
    fb_model *model;
    fb_catalogue *catalogue;
    int32_t *items; /* [rows] item of each row */
    int32_t *query; /* [rows] which of its queries; NULL: none are encoded */
    int64_t rows, done, counted;
    fb_index_what what;
    double text_weight;
    int32_t width;
    int fd; /* of the part; -1: not open */
    float *vectors;
    char state[4096], part[4096], npy[4096], ids[4096];
} encoder;

#define FB_OPTION            FB_OPTION_ROW
#define FB_OPTION_AT(member) offsetof(fb_encode_options, member)
static const fb_option option_rows[] = {
#include "fashionbert/encode.def"
};
static const fb_option_table option_table = FB_OPTION_TABLE(option_rows);

void fb_encode_options_defaults(fb_encode_options *options)
{
    *options = (fb_encode_options){0};
    fb_options_defaults(&option_table, options);
}

fb_status fb_encode_options_set(fb_context *ctx, fb_encode_options *options,
                                const char *name, const char *text)
{
    return fb_option_set(ctx, &option_table, options, name, text);
}

static fb_status fail_errno(const encoder *e, const char *path)
{
    return fb_fail(e->ctx, FB_E_IO, "%s: %s", path, strerror(errno));
}

/* ---- state ---------------------------------------------------------------------- */

/* What vectors are of, as it stands in WHAT.json: key and value. */
enum { FACTS = 6 };
typedef struct fact {
    const char *key;
    char value[64];
} fact;

static void list_facts(const encoder *e, fact facts[FACTS])
{
    const char *keys[FACTS] = {"what",        "split",       "text_weight",
                               "vector_size", "fingerprint", "catalog_fingerprint"};
    for (int i = 0; i < FACTS; i++)
        facts[i].key = keys[i];
    snprintf(facts[0].value, sizeof facts->value, "%s", e->options->what);
    snprintf(facts[1].value, sizeof facts->value, "%s", e->options->split);
    fb_text_print(facts[2].value, sizeof facts->value, "%.9g",
                  strcmp(e->options->what, "product") == 0 ? e->text_weight : 0.0);
    snprintf(facts[3].value, sizeof facts->value, "%d", (int)e->width);
    snprintf(facts[4].value, sizeof facts->value, "%016" PRIx64,
             fb_model_fingerprint(e->model));
    snprintf(facts[5].value, sizeof facts->value, "%016" PRIx64,
             fb_catalogue_fingerprint(e->catalogue));
}

static fb_status write_state(encoder *e)
{
    fact facts[FACTS];
    fb_replace r;
    fb_json_writer w;
    list_facts(e, facts);
    FB_TRY(fb_replace_open(e->ctx, e->state, &r));
    fb_json_begin(&w, r.stream, 2);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "format", "fashionbert-vectors");
    fb_json_key_int(&w, "version", 1);
    for (int i = 0; i < FACTS; i++)
        fb_json_key_string(&w, facts[i].key, facts[i].value);
    fb_json_key_string(&w, "model", e->options->model);
    fb_json_key_string(&w, "catalog", e->options->catalog);
    fb_json_key_int(&w, "rows", e->rows);
    fb_json_key_int(&w, "done", e->done);
    fb_json_close_object(&w);
    fputc('\n', r.stream);
    FB_TRY(fb_replace_commit(e->ctx, &r));
    e->counted = e->done;
    return FB_OK;
}

static fb_status check_state(encoder *e, const json_t *root)
{
    fact facts[FACTS];
    const char *format = "";
    int64_t rows = -1;
    list_facts(e, facts);
    FB_TRY(fb_json_get_string(e->ctx, e->state, root, "format", &format));
    if (strcmp(format, "fashionbert-vectors") != 0)
        return fb_fail(e->ctx, FB_E_FORMAT, "%s: not of this program", e->state);
    for (int i = 0; i < FACTS; i++) {
        const char *value = "";
        FB_TRY(fb_json_get_string(e->ctx, e->state, root, facts[i].key, &value));
        if (strcmp(value, facts[i].value) != 0)
            return fb_fail(e->ctx, FB_E_STATE,
                           "%s: vectors of something else: %s %.60s, not %s; give "
                           "another --out, or remove them",
                           e->state, facts[i].key, value, facts[i].value);
    }
    FB_TRY(fb_json_get_int(e->ctx, e->state, root, "rows", 0, INT32_MAX, &rows));
    FB_TRY(fb_json_get_int(e->ctx, e->state, root, "done", 0, rows, &e->done));
    if (rows != e->rows)
        return fb_fail(e->ctx, FB_E_STATE, "%s: %lld rows, not %lld", e->state,
                       (long long)rows, (long long)e->rows);
    e->counted = e->done;
    return FB_OK;
}

static fb_status read_state(encoder *e)
{
    json_t *root;
    if (!fb_path_exists(e->state))
        return FB_OK;
    FB_TRY(fb_json_read(e->ctx, e->state, STATE_BYTES, &root));
    fb_status status = check_state(e, root);
    json_decref(root);
    return status;
}

/* ---- files ---------------------------------------------------------------------- */

static size_t row_bytes(const encoder *e)
{
    return (size_t)e->width * sizeof(float);
}

static fb_status write_at(encoder *e, const void *bytes, size_t size, int64_t at)
{
    const char *from = bytes;
    while (size > 0) {
        ssize_t n = pwrite(e->fd, from, size, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail_errno(e, e->part);
        from += n;
        at += n;
        size -= (size_t)n;
    }
    return FB_OK;
}

static fb_status open_part(encoder *e)
{
    char header[FB_NPY_HEADER];
    int64_t dims[2] = {e->rows, e->width};
    e->fd = open(e->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (e->fd < 0)
        return fail_errno(e, e->part);
    if (flock(e->fd, LOCK_EX | LOCK_NB) != 0)
        return fb_fail(e->ctx, FB_E_STATE, "%s: another process is writing it",
                       e->part);
    off_t size = (off_t)(FB_NPY_HEADER + (size_t)e->rows * row_bytes(e));
    if (e->done > 0 && lseek(e->fd, 0, SEEK_END) != size)
        return fb_fail(e->ctx, FB_E_FORMAT,
                       "%s: not as long as %s says; remove both to begin anew", e->part,
                       e->state);
    if (ftruncate(e->fd, size) != 0)
        return fail_errno(e, e->part);
    fb_npy_header(header, "<f4", 2, dims);
    return write_at(e, header, sizeof header, 0);
}

static fb_status write_ids(encoder *e)
{
    fb_replace r;
    FB_TRY(fb_replace_open(e->ctx, e->ids, &r));
    for (int64_t i = 0; i < e->rows; i++) {
        const fb_catalogue_item *item = fb_catalogue_get(e->catalogue, e->items[i]);
        if (strpbrk(item->product_id, "\r\n")) {
            fb_replace_abandon(&r);
            return fb_fail(e->ctx, FB_E_FORMAT,
                           "%s/metadata.jsonl:%d: the product_id holds a line break, "
                           "which %s cannot",
                           e->options->catalog, (int)item->line, e->ids);
        }
        fprintf(r.stream, "%s\n", item->product_id);
    }
    return fb_replace_commit(e->ctx, &r);
}

static fb_status sync_rows(encoder *e)
{
    if (fsync(e->fd) != 0)
        return fail_errno(e, e->part);
    return write_state(e);
}

static fb_status finish(encoder *e)
{
    FB_TRY(sync_rows(e));
    if (rename(e->part, e->npy) != 0)
        return fail_errno(e, e->npy);
    return fb_parent_sync(e->ctx, e->npy);
}

/* ---- rows ----------------------------------------------------------------------- */

static fb_status add_rows(encoder *e, int32_t count)
{
    for (int64_t i = 0; i < (int64_t)count * e->width; i++)
        if (!isfinite(e->vectors[i]))
            return fb_fail(e->ctx, FB_E_NUMBER, "vector %lld is not finite",
                           (long long)(e->done + i / e->width));
    FB_TRY(write_at(e, e->vectors, (size_t)count * row_bytes(e),
                    (int64_t)(FB_NPY_HEADER + (size_t)e->done * row_bytes(e))));
    e->done += count;
    if (e->done - e->counted >= BLOCKS_A_SYNC * FB_VECTOR_BLOCK)
        return sync_rows(e);
    return FB_OK;
}

static fb_status encode_queries(encoder *e, fb_progress *progress)
{
    fb_input inputs[FB_VECTOR_BLOCK];
    while (e->done < e->rows) {
        int32_t n = 0;
        for (int64_t r = e->done; r < e->rows && n < FB_VECTOR_BLOCK; r++, n++)
            inputs[n] = (fb_input){
                .text =
                    fb_catalogue_get(e->catalogue, e->items[r])->queries[e->query[r]]};
        FB_TRY(fb_model_encode(e->ctx, e->model, inputs, n, 1, e->vectors));
        FB_TRY(add_rows(e, n));
        fb_progress_update(progress, e->done, 1.0, "");
    }
    return FB_OK;
}

static fb_status encode_blocks(encoder *e, fb_catalogue_vectors *vectors,
                               fb_progress *progress)
{
    fb_vector_block block;
    for (;;) {
        FB_TRY(fb_catalogue_vectors_next(e->ctx, vectors, &block));
        if (block.count == 0)
            return FB_OK;
        for (int32_t i = 0; i < block.count; i++) {
            int64_t at = (int64_t)i * e->width;
            fb_vectors_combine(e->vectors + at, block.text ? block.text + at : NULL,
                               block.image ? block.image + at : NULL, e->text_weight,
                               e->width);
        }
        FB_TRY(add_rows(e, block.count));
        fb_progress_update(progress, e->done, 1.0, "");
    }
}

static fb_status encode_products(encoder *e, fb_progress *progress)
{
    fb_catalogue_vectors *vectors = NULL;
    const fb_vector_wants wants = {e->what != FB_OF_IMAGE, e->what != FB_OF_TEXT,
                                   false};
    FB_TRY(fb_catalogue_vectors_open(e->ctx, &vectors, e->model, e->catalogue,
                                     e->items + e->done, e->rows - e->done, wants));
    fb_status status = encode_blocks(e, vectors, progress);
    fb_catalogue_vectors_close(vectors);
    return status;
}

/* ---- the run -------------------------------------------------------------------- */

/* A row for each query of the chosen items. */
static fb_status list_queries(encoder *e)
{
    int64_t count = 0, n = 0;
    int32_t *items = e->items;
    for (int64_t i = 0; i < e->rows; i++)
        count += fb_catalogue_get(e->catalogue, items[i])->query_count;
    if (count == 0)
        return fb_fail(e->ctx, FB_E_MISSING, "%s: no product of split %s has `queries`",
                       e->options->catalog, e->options->split);
    e->items = malloc((size_t)count * sizeof *e->items);
    e->query = malloc((size_t)count * sizeof *e->query);
    bool room = e->items && e->query;
    for (int64_t i = 0; i < e->rows && room; i++)
        for (int32_t q = 0; q < fb_catalogue_get(e->catalogue, items[i])->query_count;
             q++, n++) {
            e->items[n] = items[i];
            e->query[n] = q;
        }
    free(items);
    e->rows = n;
    return room ? FB_OK
                : fb_fail(e->ctx, FB_E_MEMORY, "no memory for %lld queries",
                          (long long)count);
}

static fb_status name_files(encoder *e)
{
    static const char *const suffix[] = {"json", "npy.part", "npy", "ids.txt"};
    char *out[] = {e->state, e->part, e->npy, e->ids}, name[40];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s.%s", e->options->what, suffix[i]);
        FB_TRY(fb_path_join(e->ctx, out[i], e->options->out, name));
    }
    return FB_OK;
}

static fb_status open_sources(encoder *e)
{
    const fb_encode_options *o = e->options;
    fb_model_options compute = {o->backend, o->dtype, o->threads};
    bool queries = strcmp(o->what, "query") == 0;
    if (!o->model[0] || !o->catalog[0] || !o->out[0])
        return fb_fail(e->ctx, FB_E_USAGE, "encode needs --model, --catalog and --out");
    if (!queries)
        FB_TRY(fb_index_what_parse(e->ctx, "--what", o->what, &e->what));
    e->text_weight = o->text_weight;
    FB_TRY(fb_text_weight_check(e->ctx, &e->text_weight));
    FB_TRY(fb_model_open(e->ctx, &e->model, o->model, &compute));
    FB_TRY(fb_model_check_vectors(e->ctx, e->model));
    e->width = fb_model_vector_size(e->model);
    const fb_catalogue_options how = {.files_may_lack = o->regions[0] != 0};
    FB_TRY(fb_catalogue_open(e->ctx, &e->catalogue, o->catalog, &how));
    FB_TRY(fb_catalogue_choose(e->ctx, e->catalogue, o->split, &e->items, &e->rows));
    if (o->regions[0] || (!queries && e->what != FB_OF_TEXT))
        FB_TRY(fb_model_open_regions(e->ctx, e->model, o->regions, e->catalogue));
    if (e->model->regions)
        FB_TRY(fb_region_table_check(e->ctx, e->model->regions, e->items, e->rows));
    if (queries)
        FB_TRY(list_queries(e));
    return name_files(e);
}

static fb_status run(encoder *e, int64_t *resumed)
{
    FB_TRY(open_sources(e));
    if (!fb_path_is_folder(e->options->out))
        FB_TRY(fb_folder_make(e->ctx, e->options->out));
    FB_TRY(read_state(e));
    *resumed = e->done;
    if (e->done == e->rows && fb_path_exists(e->npy))
        return FB_OK;
    e->vectors = malloc(FB_VECTOR_BLOCK * row_bytes(e));
    if (!e->vectors)
        return fb_fail(e->ctx, FB_E_MEMORY, "no memory for vectors");
    FB_TRY(open_part(e));
    FB_TRY(write_ids(e));
    fb_model_say(e->model, e->options->quiet);
    fb_progress progress;
    fb_progress_begin(&progress, "encoding", e->query ? "queries" : "products", e->done,
                      e->rows, e->options->quiet);
    fb_status status =
        e->query ? encode_queries(e, &progress) : encode_products(e, &progress);
    fb_progress_end(&progress);
    return status == FB_OK ? finish(e) : status;
}

fb_status fb_encode(fb_context *ctx, const fb_encode_options *options,
                    fb_encode_report *report)
{
    FB_TRY(fb_options_check(ctx, &option_table, options));
    double started_s = fb_clock_s();
    int64_t resumed = 0;
    encoder *e = calloc(1, sizeof *e);
    if (!e)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to encode");
    e->ctx = ctx;
    e->options = options;
    e->fd = -1;
    fb_status status = run(e, &resumed);
    if (status == FB_OK)
        *report = (fb_encode_report){.vectors = e->rows,
                                     .resumed = resumed,
                                     .vector_size = e->width,
                                     .seconds = fb_clock_s() - started_s};
    if (e->fd >= 0)
        close(e->fd);
    fb_catalogue_close(e->catalogue);
    fb_model_close(e->model);
    free(e->items);
    free(e->query);
    free(e->vectors);
    free(e);
    return status;
}

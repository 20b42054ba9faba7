/* index_build.c - the index verb: make an index of a catalogue, add, replace, delete.
 *
 *     choose   the items; which of them the index has already
 *     write    a new segment: each block of items through the model, or vectors that
 *              are given
 *     delete   what is replaced or named
 *     merge    small segments
 *     commit   the new list of segments takes the old one's place
 */
#include "tasks/index_build.h"

#include "base/clock.h"
#include "base/option.h"
#include "base/progress.h"
#include "engine/catalogue_vectors.h"
#include "engine/model_regions.h"
#include "engine/model_vectors.h"
#include "retrieval/index/index_tune.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXACT_BELOW = 200000 };
static const int64_t keep_bytes_most = INT64_C(2) << 30;

#define FB_OPTION            FB_OPTION_ROW
#define FB_LIST              FB_LIST_ROW
#define FB_OPTION_AT(member) offsetof(fb_index_build_options, member)
static const fb_option option_rows[] = {
#include "fashionbert/index.def"
};
static const fb_option_table option_table = FB_OPTION_TABLE(option_rows);

void fb_index_build_options_defaults(fb_index_build_options *options)
{
    *options = (fb_index_build_options){0};
    fb_options_defaults(&option_table, options);
    options->mode = "make";
}

fb_status fb_index_build_options_set(fb_context *ctx, fb_index_build_options *options,
                                     const char *name, const char *text)
{
    return fb_option_set(ctx, &option_table, options, name, text);
}

/* ---- options -------------------------------------------------------------------- */

static fb_status choose_keep(build *b, int64_t rows)
{
    const fb_model_config *c = b->model ? &b->model->matcher->config : NULL;
    fb_index_manifest *m = b->change.manifest;
    bool automatic = strcmp(b->options->keep, "auto") == 0;
    m->keep = FB_KEEP_NONE;
    if (!automatic)
        FB_TRY(fb_index_keep_parse(b->ctx, "--keep", b->options->keep, &m->keep));
    if (!c || b->given.bytes)
        return m->keep == FB_KEEP_NONE
                   ? FB_OK
                   : fb_fail(b->ctx, FB_E_USAGE,
                             "--keep %s: images are not read where --vectors are given",
                             b->options->keep);
    bool learns = fb_encoder_learns(c->encoder);
    int64_t pixels = 3 * (int64_t)c->image_size * c->image_size;
    int64_t features =
        2 * (int64_t)fb_model_config_patches(c) * fb_model_config_features(c);
    if (c->regions)
        return m->keep == FB_KEEP_NONE
                   ? FB_OK
                   : fb_fail(b->ctx, FB_E_USAGE,
                             "--keep %s: a model of regions reads no images",
                             b->options->keep);
    if (automatic && c->score != FB_SCORE_ITC) { /* itc re-ranks by vectors alone */
        if (learns && rows * features <= keep_bytes_most)
            m->keep = FB_KEEP_FEATURES;
        else if (rows * pixels <= keep_bytes_most)
            m->keep = FB_KEEP_PIXELS;
    }
    if (m->keep == FB_KEEP_FEATURES && !learns)
        return fb_fail(b->ctx, FB_E_USAGE,
                       "--keep features: the model has no image network; use pixels");
    if (m->keep == FB_KEEP_PIXELS) {
        m->kept_dims[0] = m->kept_dims[1] = c->image_size;
        m->kept_dims[2] = 3;
    } else if (m->keep == FB_KEEP_FEATURES) {
        m->kept_dims[0] = fb_model_config_patches(c);
        m->kept_dims[1] = fb_model_config_features(c);
        m->kept_dims[2] = 0;
    }
    return FB_OK;
}

static fb_status choose_kind(build *b, int64_t rows)
{
    fb_index_manifest *m = b->change.manifest;
    bool automatic = strcmp(b->options->kind, "auto") == 0;
    m->effort = 0;
    m->recall10 = NAN;
    if (!automatic) {
        FB_TRY(fb_index_kind_parse(b->ctx, "--kind", b->options->kind, &m->kind));
    } else {
        m->kind = rows < EXACT_BELOW ? FB_INDEX_EXACT : FB_INDEX_HNSW;
        if (m->kind == FB_INDEX_HNSW && !fb_ann_available()) {
            fprintf(stderr,
                    "index: this program was built without FAISS, so that all "
                    "%lld vectors are compared in each search\n",
                    (long long)rows);
            m->kind = FB_INDEX_EXACT;
        }
    }
    if (m->kind != FB_INDEX_EXACT && !fb_ann_available())
        return fb_ann_build(b->ctx, NULL, FB_ANN_HNSW, NULL, NULL, 1); /* says why */
    return FB_OK;
}

static fb_status set_path(fb_context *ctx, char out[4096], const char *path)
{
    char *real = realpath(path, NULL);
    if (!real)
        return fb_fail(ctx, FB_E_IO, "%s: %s", path, strerror(errno));
    fb_status status = strlen(real) < 4096
                           ? FB_OK
                           : fb_fail(ctx, FB_E_LIMIT, "%.64s...: path too long", path);
    if (status == FB_OK)
        memcpy(out, real, strlen(real) + 1);
    free(real);
    return status;
}

/* What a new index is of. */
static fb_status describe(build *b)
{
    fb_index_manifest *m = b->change.manifest;
    m->text_weight = b->options->text_weight;
    FB_TRY(fb_text_weight_check(b->ctx, &m->text_weight));
    FB_TRY(fb_index_what_parse(b->ctx, "--what", b->options->what, &m->what));
    FB_TRY(fb_storage_parse(b->ctx, "--storage", b->options->storage, &m->storage));
    m->width = b->given.bytes ? b->given.width : fb_model_vector_size(b->model);
    if (m->width > FB_INDEX_WIDTH)
        return fb_fail(b->ctx, FB_E_LIMIT, "vectors of %d numbers; an index takes %d",
                       (int)m->width, FB_INDEX_WIDTH);
    m->fingerprint = b->model ? fb_model_fingerprint(b->model) : 0;
    m->model[0] = 0;
    if (b->model)
        FB_TRY(set_path(b->ctx, m->model, b->model->folder));
    FB_TRY(choose_kind(b, b->item_count));
    return choose_keep(b, b->item_count);
}

/* What is added must be as the index was made. */
static fb_status check_same(build *b)
{
    const fb_index_manifest *m = b->change.manifest;
    if (b->model)
        FB_TRY(fb_index_check_model(b->ctx, b->change.folder, m, b->model));
    else if (m->fingerprint)
        return fb_fail(b->ctx, FB_E_STATE,
                       "%s: its vectors are of the model %s; give it with --model",
                       b->change.folder, m->model);
    if (b->given.bytes && b->given.width != m->width)
        return fb_fail(b->ctx, FB_E_STATE,
                       "%s: vectors of %d numbers; those of the index have %d",
                       b->options->vectors, (int)b->given.width, (int)m->width);
    if (b->given.bytes && m->keep != FB_KEEP_NONE)
        return fb_fail(b->ctx, FB_E_STATE,
                       "%s keeps %s of images, which --vectors do not bring",
                       b->change.folder, fb_index_keep_name(m->keep));
    return FB_OK;
}

/* ---- products ------------------------------------------------------------------- */

static fb_status fill_product(build *b, const fb_catalogue_item *item,
                              fb_product_row *p)
{
    int32_t levels = fb_catalogue_levels(b->catalogue), n = 0;
    size_t most = 2 * ((size_t)item->attribute_count + (size_t)levels) + 1;
    const char **pairs = fb_arena_alloc(b->arena, most * sizeof *pairs);
    if (!pairs)
        return fb_fail(b->ctx, FB_E_MEMORY, "no memory for products");
    for (int32_t l = 0; l < levels; l++)
        if (item->category[l] >= 0) {
            pairs[2 * n] = fb_catalogue_level_name(b->catalogue, l);
            pairs[2 * n++ + 1] =
                fb_catalogue_category_name(b->catalogue, l, item->category[l]);
        }
    for (int32_t i = 0; i < item->attribute_count; i++, n++) {
        pairs[2 * n] = item->attributes[2 * i];
        pairs[2 * n + 1] = item->attributes[2 * i + 1];
    }
    *p = (fb_product_row){item->product_id, item->title, item->file_name, pairs, n};
    return FB_OK;
}

static fb_status list_products(build *b)
{
    b->products = calloc((size_t)b->item_count + 1, sizeof *b->products);
    if (!b->products)
        return fb_fail(b->ctx, FB_E_MEMORY, "no memory for products");
    for (int64_t i = 0; i < b->item_count; i++)
        FB_TRY(fill_product(b, fb_catalogue_get(b->catalogue, b->items[i]),
                            &b->products[i]));
    return FB_OK;
}

/* ---- vectors -------------------------------------------------------------------- */

static fb_status add_block(build *b, const fb_vector_block *block)
{
    const fb_index_manifest *m = b->change.manifest;
    const float *text = m->what == FB_OF_IMAGE ? NULL : block->text;
    const float *image = m->what == FB_OF_TEXT ? NULL : block->image;
    const void *kept = m->keep == FB_KEEP_FEATURES ? (const void *)block->features
                       : m->keep == FB_KEEP_PIXELS ? (const void *)block->pixels
                                                   : NULL;
    for (int32_t i = 0; i < block->count; i++)
        fb_vectors_combine(b->vectors + (int64_t)i * m->width,
                           text ? text + (int64_t)i * m->width : NULL,
                           image ? image + (int64_t)i * m->width : NULL, m->text_weight,
                           m->width);
    return fb_segment_writer_add(b->ctx, b->writer, block->count, b->vectors, image,
                                 text, kept);
}

static fb_status add_encoded(build *b)
{
    const fb_index_manifest *m = b->change.manifest;
    fb_catalogue_vectors *vectors = NULL;
    fb_vector_block block;
    const fb_vector_wants wants = {m->what != FB_OF_IMAGE,
                                   m->what != FB_OF_TEXT || m->keep == FB_KEEP_PIXELS,
                                   m->keep == FB_KEEP_FEATURES};
    FB_TRY(fb_catalogue_vectors_open(b->ctx, &vectors, b->model, b->catalogue, b->items,
                                     b->item_count, wants));
    fb_progress progress;
    fb_progress_begin(&progress, "encoding", "products", 0, b->item_count,
                      b->options->quiet);
    fb_status status;
    do {
        status = fb_catalogue_vectors_next(b->ctx, vectors, &block);
        if (status == FB_OK && block.count > 0)
            status = add_block(b, &block);
        fb_progress_update(&progress, block.first + block.count, 1.0, "");
    } while (status == FB_OK && block.count > 0);
    fb_progress_end(&progress);
    fb_catalogue_vectors_close(vectors);
    return status;
}

static fb_status add_given(build *b)
{
    for (int64_t i = 0; i < b->item_count; i++) {
        fb_status status = fb_vector_file_row(b->ctx, &b->given, i, b->vectors);
        if (status != FB_OK)
            return fb_fail_in(b->ctx, b->options->vectors);
        FB_TRY(
            fb_segment_writer_add(b->ctx, b->writer, 1, b->vectors, NULL, NULL, NULL));
    }
    return FB_OK;
}

/* Vectors of titles to measure an approximate index of images by: what is asked of it
 * are texts, which lie elsewhere than images do. */
static fb_status encode_queries(build *b)
{
    const fb_index_manifest *m = b->change.manifest;
    int64_t n = b->item_count < FB_RECALL_QUERIES ? b->item_count : FB_RECALL_QUERIES;
    if (m->kind == FB_INDEX_EXACT || m->what != FB_OF_IMAGE || !b->model)
        return FB_OK;
    fb_input *inputs = calloc((size_t)n, sizeof *inputs);
    b->queries = malloc((size_t)n * (size_t)m->width * sizeof *b->queries);
    fb_status status = inputs && b->queries
                           ? FB_OK
                           : fb_fail(b->ctx, FB_E_MEMORY, "no memory for queries");
    for (int64_t i = 0; i < n && status == FB_OK; i++)
        inputs[i].text = b->products[i * b->item_count / n].title;
    if (status == FB_OK)
        status = fb_model_encode(b->ctx, b->model, inputs, n, 1, b->queries);
    free(inputs);
    b->change.queries = b->queries;
    b->change.query_count = n;
    return status;
}

static fb_status write_segment(build *b, bool graph)
{
    const fb_index_manifest *m = b->change.manifest;
    char folder[4096];
    bool parts = m->what == FB_OF_PRODUCT && !b->given.bytes;
    double started_s = fb_clock_s();
    b->vectors = malloc(FB_VECTOR_BLOCK * (size_t)m->width * sizeof *b->vectors);
    if (!b->vectors)
        return fb_fail(b->ctx, FB_E_MEMORY, "no memory for vectors");
    FB_TRY(list_products(b));
    FB_TRY(set_path(b->ctx, folder, b->options->catalog));
    FB_TRY(fb_segment_writer_open(b->ctx, &b->change, &b->writer, b->item_count, parts,
                                  folder));
    if (b->model)
        fb_model_say(b->model, b->options->quiet);
    FB_TRY(b->given.bytes ? add_given(b) : add_encoded(b));
    FB_TRY(encode_queries(b));
    b->report.encode_seconds = fb_clock_s() - started_s;
    FB_TRY(fb_segment_writer_finish(b->ctx, b->writer, b->products, graph));
    b->report.added = b->item_count;
    return FB_OK;
}

/* ---- verbs ---------------------------------------------------------------------- */

/* Of all products, where the model reads them and images count. */
static fb_status open_regions(build *b)
{
    const fb_index_build_options *o = b->options;
    if (o->regions[0] || strcmp(o->what, "text") != 0)
        FB_TRY(fb_model_open_regions(b->ctx, b->model, o->regions, b->catalogue));
    return b->model->regions ? fb_region_table_check(b->ctx, b->model->regions,
                                                     b->items, b->item_count)
                             : FB_OK;
}

static fb_status open_sources(build *b)
{
    const fb_index_build_options *o = b->options;
    fb_model_options compute = {o->backend, o->dtype, o->threads};
    if (!o->catalog[0] || (!o->model[0] && !o->vectors[0]))
        return fb_fail(b->ctx, FB_E_USAGE,
                       "index needs --catalog, and --model or --vectors");
    if (o->model[0]) {
        FB_TRY(fb_model_open(b->ctx, &b->model, o->model, &compute));
        FB_TRY(fb_model_check_vectors(b->ctx, b->model));
        b->change.threads = b->model->be->threads;
    }
    const fb_catalogue_options how = {.files_may_lack = o->regions[0] != 0};
    FB_TRY(fb_catalogue_open(b->ctx, &b->catalogue, o->catalog, &how));
    FB_TRY(
        fb_catalogue_choose(b->ctx, b->catalogue, o->split, &b->items, &b->item_count));
    if (!o->vectors[0])
        return open_regions(b);
    FB_TRY(fb_vector_file_open(b->ctx, &b->given, o->vectors));
    if (b->given.rows != b->item_count)
        return fb_fail(b->ctx, FB_E_USAGE,
                       "%s has %lld vectors, split %s of %s has %lld products",
                       o->vectors, (long long)b->given.rows, o->split, o->catalog,
                       (long long)b->item_count);
    if (b->model && b->given.width != fb_model_vector_size(b->model))
        return fb_fail(b->ctx, FB_E_STATE,
                       "%s: vectors of %d numbers, the model gives %d", o->vectors,
                       (int)b->given.width, (int)fb_model_vector_size(b->model));
    return FB_OK;
}

static fb_status make_index(build *b)
{
    fb_index_change change = {0};
    FB_TRY(open_sources(b));
    int32_t threads = b->change.threads;
    FB_TRY(fb_index_change_begin(b->ctx, &change, b->options->out, true));
    b->change = change;
    b->change.threads = threads;
    FB_TRY(describe(b));
    return write_segment(b, true);
}

static fb_status extend_index(build *b, bool replace)
{
    fb_index_change change = {0};
    FB_TRY(open_sources(b));
    int32_t threads = b->change.threads;
    FB_TRY(fb_index_change_begin(b->ctx, &change, b->options->out, false));
    b->change = change;
    b->change.threads = threads;
    FB_TRY(check_same(b));
    FB_TRY(fb_index_load(b->ctx, &b->there, b->options->out, threads));
    FB_TRY(fb_index_mark_products(b, replace));
    FB_TRY(write_segment(b, b->item_count >= FB_GRAPH_ROWS_LEAST));
    FB_TRY(fb_index_delete_marked(b));
    return fb_index_change_merge(b->ctx, &b->change);
}

static fb_status shrink_index(build *b)
{
    fb_index_change change = {0};
    if (b->options->id_count < 1)
        return fb_fail(b->ctx, FB_E_USAGE, "no product id to delete");
    FB_TRY(fb_index_change_begin(b->ctx, &change, b->options->out, false));
    b->change = change;
    b->change.threads = b->options->threads;
    FB_TRY(fb_index_load(b->ctx, &b->there, b->options->out, b->options->threads));
    FB_TRY(fb_index_mark_ids(b));
    FB_TRY(fb_index_delete_marked(b));
    return fb_index_change_merge(b->ctx, &b->change);
}

static fb_status run(build *b)
{
    const char *mode = b->options->mode;
    if (!b->options->out[0])
        return fb_fail(b->ctx, FB_E_USAGE, "index needs --out, the index folder");
    if (strcmp(mode, "make") == 0)
        FB_TRY(make_index(b));
    else if (strcmp(mode, "add") == 0 || strcmp(mode, "replace") == 0)
        FB_TRY(extend_index(b, mode[0] == 'r'));
    else if (strcmp(mode, "delete") == 0)
        FB_TRY(shrink_index(b));
    else
        return fb_fail(b->ctx, FB_E_USAGE,
                       "index mode %.20s is not make, add, replace or delete", mode);
    return fb_index_change_commit(b->ctx, &b->change);
}

/* What the folder holds now. */
static fb_status count_all(build *b)
{
    const fb_index_manifest *m = b->change.manifest;
    fb_index *index = NULL;
    FB_TRY(fb_index_load(b->ctx, &index, b->options->out, 1));
    b->report.products = index->products;
    fb_index_unload(index);
    for (int32_t i = 0; i < m->segment_count; i++)
        for (int f = 0; f < FB_INDEX_FILES; f++)
            if (m->segment[i].file[f].present)
                b->report.size_bytes += m->segment[i].file[f].size_bytes;
    b->report.recall10 = m->kind == FB_INDEX_EXACT ? NAN : m->recall10;
    b->report.effort = m->kind == FB_INDEX_EXACT ? 0 : m->effort;
    snprintf(b->report.kind, sizeof b->report.kind, "%s", fb_index_kind_name(m->kind));
    snprintf(b->report.storage, sizeof b->report.storage, "%s",
             fb_storage_name(m->storage));
    return FB_OK;
}

fb_status fb_index_build(fb_context *ctx, const fb_index_build_options *options,
                         fb_index_report *report)
{
    FB_TRY(fb_options_check(ctx, &option_table, options));
    double started_s = fb_clock_s();
    build b = {.ctx = ctx, .options = options, .change = {.lock = -1}};
    b.arena = fb_arena_create(1 << 18);
    fb_status status = b.arena ? run(&b) : fb_fail(ctx, FB_E_MEMORY, "no memory");
    if (status == FB_OK)
        status = count_all(&b);
    fb_segment_writer_close(b.writer);
    fb_index_change_end(&b.change);
    fb_index_unload(b.there);
    for (int32_t i = 0; i < FB_INDEX_SEGMENTS; i++)
        free(b.deleted[i]);
    fb_vector_file_close(&b.given);
    fb_catalogue_close(b.catalogue);
    fb_model_close(b.model);
    fb_arena_free(b.arena);
    free(b.items);
    free(b.products);
    free(b.vectors);
    free(b.queries);
    if (status != FB_OK)
        return status;
    b.report.build_seconds = fb_clock_s() - started_s;
    *report = b.report;
    return FB_OK;
}

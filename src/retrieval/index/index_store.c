/* index_store.c - see index_store.h. */
#include "retrieval/index/index_store.h"

#include "base/hash.h"
#include "retrieval/index/npy.h"

#include <stdlib.h>
#include <string.h>

enum { TRIES = 5 };

/* ---- a segment ------------------------------------------------------------------ */

static fb_status fail_damaged(fb_context *ctx, const char *path, const char *what)
{
    return fb_fail(ctx, FB_E_FORMAT, "%s: damaged: %s; make the index again", path,
                   what);
}

/* Map a file that the entry names; its length, and with `checked` its sum, are right.
 */
static fb_status map_file(fb_context *ctx, fb_segment *s, const char *folder,
                          fb_index_file file, bool checked)
{
    char path[4096];
    const fb_index_part *part = &s->entry->file[file];
    fb_map *map = &s->map[file];
    FB_TRY(fb_index_file_path(ctx, path, folder, s->entry, file));
    if (!fb_path_exists(path))
        return fb_fail(ctx, FB_E_MISSING, "%s: a file of the index is gone", path);
    FB_TRY(fb_map_open(ctx, path, map));
    if ((int64_t)map->size_bytes != part->size_bytes)
        return fail_damaged(ctx, path, "its length is not what index.json says");
    if (checked && fb_checksum(0, map->bytes, map->size_bytes) != part->checksum)
        return fail_damaged(ctx, path, "its checksum is not what index.json says");
    if (checked)
        fb_map_release(map); /* a search reads some of it, and rests hardly */
    return FB_OK;
}

/* A .npy of that type and shape; *data NULL where the entry has no such file. */
static fb_status map_array(fb_context *ctx, fb_segment *s, const char *folder,
                           fb_index_file file, const char *descr, int32_t rank,
                           const int64_t *dims, const void **data)
{
    char path[4096];
    fb_npy npy;
    *data = NULL;
    if (!s->entry->file[file].present)
        return FB_OK;
    FB_TRY(map_file(ctx, s, folder, file, file != FB_INDEX_KEPT));
    FB_TRY(fb_index_file_path(ctx, path, folder, s->entry, file));
    const fb_map *map = &s->map[file];
    FB_TRY(fb_npy_parse(ctx, &npy, path, map->bytes, map->size_bytes));
    bool same = strcmp(npy.descr, descr) == 0 && npy.rank == rank &&
                npy.data_at % 8 == 0 &&
                memcmp(npy.dims, dims, (size_t)rank * sizeof *dims) == 0;
    if (!same)
        return fail_damaged(ctx, path, "an array of another kind or shape");
    *data = map->bytes + npy.data_at;
    return FB_OK;
}

static fb_status open_alive(fb_context *ctx, fb_segment *s, const char *folder,
                            fb_arena *arena)
{
    const void *deleted;
    int64_t bytes = (s->rows + 7) / 8, count = 0;
    FB_TRY(map_array(ctx, s, folder, FB_INDEX_DELETED, "|u1", 1, &bytes, &deleted));
    if (!deleted)
        return FB_OK;
    uint8_t *alive = fb_arena_alloc(arena, (size_t)bytes + 8);
    if (!alive)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the index's deleted rows");
    for (int64_t i = 0; i < bytes; i++)
        alive[i] = (uint8_t) ~((const uint8_t *)deleted)[i];
    for (int64_t i = 0; i < s->rows; i++)
        count += !(alive[i >> 3] >> (i & 7) & 1);
    if (count != s->entry->deleted)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: %lld rows are deleted, index.json says %lld", folder,
                       (long long)count, (long long)s->entry->deleted);
    s->alive = alive;
    return FB_OK;
}

static fb_status open_coded(fb_context *ctx, fb_segment *s, const char *folder,
                            fb_index_file file, fb_stored *v)
{
    char path[4096];
    const void *codes, *rests, *scales;
    const int64_t dims[2] = {v->count, v->width};
    FB_TRY(map_array(ctx, s, folder, file, "|i1", 2, dims, &codes));
    FB_TRY(map_array(ctx, s, folder, file + 1, "|i1", 2, dims, &rests));
    FB_TRY(map_array(ctx, s, folder, file + 2, "<f4", 1, dims, &scales));
    v->codes = codes;
    v->rests = rests;
    v->scales = scales;
    const char *problem = fb_scales_problem(scales, v->count);
    FB_TRY(fb_index_file_path(ctx, path, folder, s->entry, file + 2));
    return problem ? fail_damaged(ctx, path, problem) : FB_OK;
}

/* The vectors whose first file is `file`; none where the entry has none. */
static fb_status open_vectors(fb_context *ctx, fb_segment *s, const char *folder,
                              const fb_index_manifest *m, fb_index_file file,
                              fb_stored *vectors)
{
    const void *data;
    const int64_t dims[2] = {s->rows, m->width};
    *vectors = (fb_stored){.storage = m->storage, .count = s->rows, .width = m->width};
    if (!s->entry->file[file].present)
        return FB_OK;
    if (m->storage == FB_STORED_INT8)
        return open_coded(ctx, s, folder, file, vectors);
    bool f32 = m->storage == FB_STORED_F32;
    FB_TRY(map_array(ctx, s, folder, file, f32 ? "<f4" : "<u2", 2, dims, &data));
    if (f32)
        vectors->f32 = data;
    else
        vectors->bf16 = data;
    return FB_OK;
}

static fb_status open_arrays(fb_context *ctx, fb_segment *s, const char *folder,
                             const fb_index_manifest *m)
{
    const void *data;
    FB_TRY(open_vectors(ctx, s, folder, m, FB_INDEX_VECTORS, &s->vectors));
    FB_TRY(open_vectors(ctx, s, folder, m, FB_INDEX_IMAGE, &s->image));
    FB_TRY(open_vectors(ctx, s, folder, m, FB_INDEX_TEXT, &s->text));
    bool pixels = m->keep == FB_KEEP_PIXELS;
    int64_t kept[4] = {s->rows, m->kept_dims[0], m->kept_dims[1], m->kept_dims[2]};
    FB_TRY(map_array(ctx, s, folder, FB_INDEX_KEPT, pixels ? "|u1" : "<u2",
                     pixels ? 4 : 3, kept, &data));
    s->kept = data;
    FB_TRY(map_array(ctx, s, folder, FB_INDEX_SUMS, "<u8", 1, &s->rows, &data));
    s->sums = data;
    return FB_OK;
}

static fb_status open_graph(fb_context *ctx, fb_segment *s, const char *folder,
                            const fb_index_manifest *m, const fb_backend *be)
{
    char path[4096];
    if (!be || !s->entry->file[FB_INDEX_GRAPH].present)
        return FB_OK;
    FB_TRY(map_file(ctx, s, folder, FB_INDEX_GRAPH, true));
    fb_map_close(&s->map[FB_INDEX_GRAPH]);
    FB_TRY(fb_index_file_path(ctx, path, folder, s->entry, FB_INDEX_GRAPH));
    fb_ann_kind kind = m->kind == FB_INDEX_HNSW ? FB_ANN_HNSW : FB_ANN_IVFPQ;
    return fb_ann_open(ctx, &s->ann, path, kind, be, &s->vectors);
}

fb_status fb_segment_open(fb_context *ctx, fb_segment *segment, const char *folder,
                          const fb_index_manifest *manifest,
                          const fb_segment_entry *entry, const fb_backend *be,
                          fb_arena *arena)
{
    char path[4096];
    *segment = (fb_segment){.entry = entry, .rows = entry->rows};
    FB_TRY(map_file(ctx, segment, folder, FB_INDEX_PRODUCTS, false));
    const fb_map *map = &segment->map[FB_INDEX_PRODUCTS];
    FB_TRY(fb_index_file_path(ctx, path, folder, entry, FB_INDEX_PRODUCTS));
    FB_TRY(fb_product_table_parse(ctx, &segment->products, path, map->bytes,
                                  map->size_bytes));
    if (fb_product_table_rows(segment->products) != segment->rows)
        return fail_damaged(ctx, path, "index.json says another number of rows");
    FB_TRY(open_arrays(ctx, segment, folder, manifest));
    FB_TRY(open_alive(ctx, segment, folder, arena));
    return open_graph(ctx, segment, folder, manifest, be);
}

void fb_segment_close(fb_segment *segment)
{
    fb_ann_close(segment->ann);
    fb_product_table_close(segment->products);
    for (int f = 0; f < FB_INDEX_FILES; f++)
        fb_map_close(&segment->map[f]);
    *segment = (fb_segment){0};
}

/* ---- the index ------------------------------------------------------------------ */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Every segment's columns, each once, sorted. */
static fb_status list_attributes(fb_context *ctx, fb_index *x)
{
    size_t most = 0;
    for (int32_t i = 0; i < x->segment_count; i++)
        most += (size_t)fb_product_table_columns(x->segment[i].products);
    const char **names = fb_arena_alloc(x->arena, (most + 1) * sizeof *names);
    if (!names)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for an index");
    size_t count = 0;
    for (int32_t i = 0; i < x->segment_count; i++)
        for (int32_t c = 0; c < fb_product_table_columns(x->segment[i].products); c++)
            names[count++] = fb_product_table_column(x->segment[i].products, c);
    qsort(names, count, sizeof *names, by_name);
    int32_t distinct = 0;
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
            names[distinct++] = names[i];
    x->info.attributes = names;
    x->info.attribute_count = distinct;
    return FB_OK;
}

static int64_t count_products(const fb_segment *s)
{
    int64_t count = 0;
    for (int64_t r = 0; r < s->rows; r++)
        count +=
            fb_product_table_first(s->products, r) == r && fb_segment_is_alive(s, r);
    return count;
}

static fb_status fill_info(fb_context *ctx, fb_index *x)
{
    const fb_index_manifest *m = &x->manifest;
    for (int32_t i = 0; i < x->segment_count; i++)
        x->products += count_products(&x->segment[i]);
    x->info = (fb_index_info){.products = x->products,
                              .vector_size = m->width,
                              .fingerprint = m->fingerprint,
                              .kind = fb_index_kind_name(m->kind),
                              .what = fb_index_what_name(m->what),
                              .storage = fb_storage_name(m->storage),
                              .catalog = m->segment_count ? m->segment[0].catalog : "",
                              .text_weight = m->text_weight};
    return list_attributes(ctx, x);
}

static fb_status load(fb_context *ctx, fb_index *x, int32_t threads)
{
    FB_TRY(fb_index_manifest_read(ctx, &x->manifest, x->folder));
    FB_TRY(fb_backend_create(ctx, &x->be, "cpu", "f32", threads));
    for (int32_t i = 0; i < x->manifest.segment_count; i++) {
        fb_segment *s = &x->segment[x->segment_count++];
        FB_TRY(fb_segment_open(ctx, s, x->folder, &x->manifest, &x->manifest.segment[i],
                               x->be, x->arena));
        s->first = x->rows;
        x->rows += s->rows;
    }
    return fill_info(ctx, x);
}

static fb_status load_once(fb_context *ctx, fb_index **index, const char *folder,
                           int32_t threads)
{
    fb_index *x = calloc(1, sizeof *x);
    if (x)
        x->arena = fb_arena_create(1 << 16);
    if (!x || !x->arena) {
        free(x);
        return fb_fail(ctx, FB_E_MEMORY, "no memory for an index");
    }
    fb_status status =
        strlen(folder) < sizeof x->folder
            ? FB_OK
            : fb_fail(ctx, FB_E_LIMIT, "the index folder's path is too long");
    if (status == FB_OK) {
        memcpy(x->folder, folder, strlen(folder) + 1);
        status = load(ctx, x, threads);
    }
    if (status != FB_OK) {
        fb_index_unload(x);
        return status;
    }
    *index = x;
    return FB_OK;
}

/* Somebody may put the next index.json in place, and take away what only the old one
 * names, between reading it and opening its files: then the next is read. */
fb_status fb_index_load(fb_context *ctx, fb_index **index, const char *folder,
                        int32_t threads)
{
    char path[4096];
    FB_TRY(fb_path_join(ctx, path, folder, "index.json"));
    fb_status status = FB_E_MISSING;
    for (int i = 0; i < TRIES && status == FB_E_MISSING; i++) {
        fb_context_clear(ctx);
        status = load_once(ctx, index, folder, threads);
        if (!fb_path_exists(path))
            break;
    }
    return status;
}

void fb_index_unload(fb_index *index)
{
    if (!index)
        return;
    for (int32_t i = 0; i < index->segment_count; i++)
        fb_segment_close(&index->segment[i]);
    if (index->store)
        index->store->close(index->store);
    fb_backend_free(index->be);
    fb_arena_free(index->arena);
    free(index);
}

const fb_segment *fb_index_segment_of(const fb_index *index, int64_t *row)
{
    int32_t i = 0;
    while (*row >= index->segment[i].first + index->segment[i].rows)
        i++;
    *row -= index->segment[i].first;
    return &index->segment[i];
}

int64_t fb_index_find_row(const fb_index *index, const char *product_id)
{
    for (int32_t i = 0; i < index->segment_count; i++) {
        const fb_segment *s = &index->segment[i];
        int64_t row = fb_product_table_find(s->products, product_id);
        if (row >= 0 && fb_segment_is_alive(s, row))
            return s->first + row;
    }
    return -1;
}

fb_status fb_index_kept_row(fb_context *ctx, const fb_index *index, int64_t row,
                            const uint8_t **kept)
{
    const fb_segment *s = fb_index_segment_of(index, &row);
    size_t bytes = fb_index_kept_bytes(&index->manifest);
    const uint8_t *at = s->kept + (size_t)row * bytes;
    if (fb_checksum((uint64_t)row, at, bytes) != s->sums[row])
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: what is kept of the image of %s is damaged; make the index "
                       "again",
                       index->folder, fb_product_table_id(s->products, row));
    *kept = at;
    return FB_OK;
}

const fb_index_info *fb_index_get_info(const fb_index *index)
{
    return &index->info;
}

fb_status fb_index_check_files(fb_context *ctx, const fb_index *index)
{
    for (int32_t i = 0; i < index->segment_count; i++) {
        const fb_segment *s = &index->segment[i];
        FB_TRY(fb_product_table_check(ctx, s->products));
        for (int f = 0; f < FB_INDEX_FILES; f++)
            FB_TRY(fb_map_check(ctx, &s->map[f], "a file of the index"));
    }
    return FB_OK;
}

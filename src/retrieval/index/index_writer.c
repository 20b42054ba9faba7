/* index_writer.c - the files of one segment; see index_writer.h. They are written under
 * their own names: until an index.json names them they are nothing. */
#include "retrieval/index/index_writer.h"

#include "base/hash.h"
#include "retrieval/index/index_tune.h"
#include "retrieval/index/npy.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fb_segment_writer {
    fb_index_change *change;
    fb_segment_entry entry;
    fb_replace out[FB_INDEX_FILES];
    int64_t done;
    bool encodes;                     /* vectors, into code, rest and scale */
    void *code;                       /* [D] s8 or bf16 */
    int8_t *rest;                     /* [D] */
    size_t row_bytes[FB_INDEX_FILES]; /* of the arrays that are written row by row */
};

static fb_status open_array(fb_context *ctx, fb_segment_writer *w, fb_index_file file,
                            const char *descr, int32_t rank, const int64_t *dims,
                            size_t row_bytes)
{
    char path[4096], header[FB_NPY_HEADER];
    FB_TRY(fb_index_file_path(ctx, path, w->change->folder, &w->entry, file));
    FB_TRY(fb_replace_open(ctx, path, &w->out[file]));
    fb_npy_header(header, descr, rank, dims);
    (void)fwrite(header, 1, sizeof header, w->out[file].stream); /* shows at commit */
    w->row_bytes[file] = row_bytes;
    w->entry.file[file].present = true;
    return FB_OK;
}

static fb_status open_vectors(fb_context *ctx, fb_segment_writer *w, fb_index_file file)
{
    const fb_index_manifest *m = w->change->manifest;
    const int64_t dims[2] = {w->entry.rows, m->width};
    size_t width = (size_t)m->width;
    if (m->storage == FB_STORED_F32)
        return open_array(ctx, w, file, "<f4", 2, dims, width * sizeof(float));
    if (m->storage == FB_STORED_BF16)
        return open_array(ctx, w, file, "<u2", 2, dims, width * sizeof(uint16_t));
    FB_TRY(open_array(ctx, w, file, "|i1", 2, dims, width));
    FB_TRY(open_array(ctx, w, file + 1, "|i1", 2, dims, width));
    return open_array(ctx, w, file + 2, "<f4", 1, dims, sizeof(float));
}

static fb_status open_arrays(fb_context *ctx, fb_segment_writer *w, bool parts)
{
    const fb_index_manifest *m = w->change->manifest;
    int64_t rows = w->entry.rows;
    FB_TRY(open_vectors(ctx, w, FB_INDEX_VECTORS));
    if (parts) {
        FB_TRY(open_vectors(ctx, w, FB_INDEX_IMAGE));
        FB_TRY(open_vectors(ctx, w, FB_INDEX_TEXT));
    }
    w->encodes = m->storage != FB_STORED_F32;
    w->code = malloc((size_t)m->width * sizeof(uint16_t));
    w->rest = malloc((size_t)m->width);
    if (!w->code || !w->rest)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to write vectors");
    if (m->keep == FB_KEEP_NONE)
        return FB_OK;
    bool pixels = m->keep == FB_KEEP_PIXELS;
    int64_t kept[4] = {rows, m->kept_dims[0], m->kept_dims[1], m->kept_dims[2]};
    FB_TRY(open_array(ctx, w, FB_INDEX_KEPT, pixels ? "|u1" : "<u2", pixels ? 4 : 3,
                      kept, fb_index_kept_bytes(m)));
    return open_array(ctx, w, FB_INDEX_SUMS, "<u8", 1, &rows, sizeof(uint64_t));
}

fb_status fb_segment_writer_open(fb_context *ctx, fb_index_change *change,
                                 fb_segment_writer **writer, int64_t rows, bool parts,
                                 const char *catalog)
{
    fb_segment_writer *w = calloc(1, sizeof *w);
    if (!w)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to write an index");
    w->change = change;
    w->entry.rows = rows;
    w->entry.number = change->manifest->next;
    fb_status status = FB_OK;
    if (strlen(catalog) >= sizeof w->entry.catalog)
        status = fb_fail(ctx, FB_E_LIMIT, "the catalogue's path is too long");
    else if (change->manifest->segment_count == FB_INDEX_SEGMENTS)
        status = fb_fail(ctx, FB_E_LIMIT, "more than %d segments", FB_INDEX_SEGMENTS);
    else
        memcpy(w->entry.catalog, catalog, strlen(catalog) + 1);
    if (status == FB_OK)
        status = open_arrays(ctx, w, parts);
    if (status != FB_OK) {
        fb_segment_writer_close(w);
        return status;
    }
    change->manifest->next++;
    *writer = w;
    return FB_OK;
}

void fb_segment_writer_close(fb_segment_writer *writer)
{
    if (!writer)
        return;
    for (int f = 0; f < FB_INDEX_FILES; f++)
        fb_replace_abandon(&writer->out[f]);
    free(writer->code);
    free(writer->rest);
    free(writer);
}

static void write_rows(fb_segment_writer *w, fb_index_file file, const void *rows,
                       int64_t count)
{
    if (w->entry.file[file].present && rows)
        (void)fwrite(rows, w->row_bytes[file], (size_t)count, w->out[file].stream);
}

static void write_vectors(fb_segment_writer *w, fb_index_file file, const float *rows,
                          int64_t count)
{
    const fb_index_manifest *m = w->change->manifest;
    if (!w->encodes) {
        write_rows(w, file, rows, count);
        return;
    }
    for (int64_t n = 0; n < count && rows; n++) {
        const float *row = rows + n * m->width;
        float scale;
        if (m->storage == FB_STORED_BF16) {
            fb_encode_bf16(w->code, row, m->width);
        } else {
            fb_encode_int8(w->code, w->rest, &scale, row, m->width);
            write_rows(w, file + 1, w->rest, 1);
            write_rows(w, file + 2, &scale, 1);
        }
        write_rows(w, file, w->code, 1);
    }
}

static void write_kept(fb_segment_writer *w, const uint8_t *kept, int64_t count)
{
    size_t bytes = w->row_bytes[FB_INDEX_KEPT];
    write_rows(w, FB_INDEX_KEPT, kept, count);
    for (int64_t i = 0; i < count && bytes > 0; i++) {
        uint64_t sum =
            fb_checksum((uint64_t)(w->done + i), kept + (size_t)i * bytes, bytes);
        write_rows(w, FB_INDEX_SUMS, &sum, 1);
    }
    w->done += count;
}

static fb_status check_room(fb_context *ctx, const fb_segment_writer *w, int64_t count)
{
    return count <= w->entry.rows - w->done
               ? FB_OK
               : fb_fail(ctx, FB_E_STATE, "more rows than the segment was begun for");
}

fb_status fb_segment_writer_add(fb_context *ctx, fb_segment_writer *writer,
                                int64_t count, const float *vectors, const float *image,
                                const float *text, const void *kept)
{
    FB_TRY(check_room(ctx, writer, count));
    for (int64_t i = 0; i < count * writer->change->manifest->width; i++)
        if (!isfinite(vectors[i]))
            return fb_fail(
                ctx, FB_E_NUMBER, "vector %lld is not finite",
                (long long)(writer->done + i / writer->change->manifest->width));
    write_vectors(writer, FB_INDEX_VECTORS, vectors, count);
    write_vectors(writer, FB_INDEX_IMAGE, image, count);
    write_vectors(writer, FB_INDEX_TEXT, text, count);
    write_kept(writer, kept, count);
    return FB_OK;
}

/* Row `from` of a file of numbers alone, behind its header. */
static const uint8_t *stored_row(const fb_segment *s, const fb_segment_writer *w,
                                 fb_index_file file, int64_t from)
{
    size_t bytes = w->row_bytes[file];
    const fb_map *map = &s->map[file];
    return map->bytes + map->size_bytes - (size_t)(s->rows - from) * bytes;
}

fb_status fb_segment_writer_copy(fb_context *ctx, fb_segment_writer *writer,
                                 const fb_segment *segment, int64_t from, int64_t count)
{
    FB_TRY(check_room(ctx, writer, count));
    for (int f = FB_INDEX_VECTORS; f <= FB_INDEX_TEXT_SCALES; f++)
        if (writer->entry.file[f].present)
            write_rows(writer, (fb_index_file)f,
                       stored_row(segment, writer, (fb_index_file)f, from), count);
    write_kept(writer,
               segment->kept
                   ? segment->kept + (size_t)from * writer->row_bytes[FB_INDEX_KEPT]
                   : NULL,
               count);
    return FB_OK;
}

/* ---- finish --------------------------------------------------------------------- */

/* Length and sum of a file that is there; kept rows have sums of their own. */
static fb_status seal(fb_context *ctx, fb_segment_writer *w, fb_index_file file)
{
    char path[4096];
    fb_map map;
    fb_index_part *part = &w->entry.file[file];
    FB_TRY(fb_index_file_path(ctx, path, w->change->folder, &w->entry, file));
    FB_TRY(fb_map_open(ctx, path, &map));
    part->present = true;
    part->size_bytes = (int64_t)map.size_bytes;
    part->checksum =
        file == FB_INDEX_KEPT ? 0 : fb_checksum(0, map.bytes, map.size_bytes);
    fb_map_close(&map);
    return FB_OK;
}

static fb_status write_products(fb_context *ctx, fb_segment_writer *w,
                                const fb_product_row *products)
{
    char path[4096];
    uint8_t *bytes;
    size_t size;
    FB_TRY(
        fb_index_file_path(ctx, path, w->change->folder, &w->entry, FB_INDEX_PRODUCTS));
    FB_TRY(fb_product_table_make(ctx, products, w->entry.rows, &bytes, &size));
    fb_status status = fb_file_write(ctx, path, bytes, size);
    free(bytes);
    return status == FB_OK ? seal(ctx, w, FB_INDEX_PRODUCTS) : status;
}

/* Evenly chosen rows, at most FB_RECALL_QUERIES, malloc'ed; of [*chosen] they are. */
static float *choose_rows(const fb_stored *rows, int64_t **of, int64_t *chosen)
{
    int64_t n = rows->count < FB_RECALL_QUERIES ? rows->count : FB_RECALL_QUERIES;
    float *out = malloc(((size_t)(n * rows->width) + 1) * sizeof *out);
    *of = malloc(((size_t)n + 1) * sizeof **of);
    for (int64_t i = 0; i < n && out && *of; i++) {
        (*of)[i] = i * rows->count / n;
        fb_stored_decode(rows, (*of)[i], 1, out + i * rows->width);
    }
    *chosen = n;
    return out;
}

static fb_status tune_graph(fb_context *ctx, fb_segment_writer *w, const fb_segment *s,
                            fb_ann_kind kind, const fb_backend *be)
{
    fb_index_change *c = w->change;
    fb_index_manifest *m = c->manifest;
    int64_t count = c->query_count, *own = NULL;
    float *chosen = NULL;
    fb_status status = FB_OK;
    bool titles = c->queries || fb_stored_any(&s->text);
    if (!c->queries) {
        chosen = choose_rows(titles ? &s->text : &s->vectors, &own, &count);
        if (!chosen || !own)
            status = fb_fail(ctx, FB_E_MEMORY, "no memory to measure recall");
    }
    double recall = NAN;
    const fb_index_probe probe = {
        .ann = s->ann,
        .kind = kind,
        .vectors = &s->vectors,
        .queries = {chosen ? chosen : c->queries, count, m->width},
        .own = titles ? NULL : own}; /* a title is what is asked, a row is not */
    if (status == FB_OK)
        status = fb_index_tune(ctx, be, &probe, &m->effort, &recall);
    if (status == FB_OK)
        m->recall10 = recall;
    free(chosen);
    free(own);
    return status;
}

/* FAISS does not see to it that what it wrote is on the disk. */
static fb_status sync_file(fb_context *ctx, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool synced = fd >= 0 && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0)
        close(fd);
    return synced ? FB_OK : fb_fail(ctx, FB_E_IO, "%s: %s", path, strerror(error));
}

static fb_status make_graph(fb_context *ctx, fb_segment_writer *w, fb_segment *s,
                            const fb_backend *be)
{
    char path[4096];
    fb_index_change *c = w->change;
    bool hnsw = c->manifest->kind == FB_INDEX_HNSW;
    fb_ann_kind kind = hnsw ? FB_ANN_HNSW : FB_ANN_IVFPQ;
    FB_TRY(fb_ann_build(ctx, &s->ann, kind, be, &s->vectors, be->threads));
    FB_TRY(fb_index_file_path(ctx, path, c->folder, &w->entry, FB_INDEX_GRAPH));
    FB_TRY(fb_ann_write(ctx, s->ann, path));
    FB_TRY(sync_file(ctx, path));
    FB_TRY(tune_graph(ctx, w, s, kind, be));
    return seal(ctx, w, FB_INDEX_GRAPH);
}

/* The segment as it lies in the folder now, and a graph over it. */
static fb_status add_graph(fb_context *ctx, fb_segment_writer *w)
{
    fb_index_change *c = w->change;
    fb_segment s = {0};
    fb_backend *be = NULL;
    fb_arena *arena = fb_arena_create(1 << 12);
    fb_status status =
        arena ? FB_OK : fb_fail(ctx, FB_E_MEMORY, "no memory for a graph");
    if (status == FB_OK)
        status = fb_backend_create(ctx, &be, "cpu", "f32", c->threads);
    if (status == FB_OK)
        status = fb_segment_open(ctx, &s, c->folder, c->manifest, &w->entry, be, arena);
    if (status == FB_OK)
        status = make_graph(ctx, w, &s, be);
    fb_segment_close(&s);
    fb_backend_free(be);
    fb_arena_free(arena);
    return status;
}

fb_status fb_segment_writer_finish(fb_context *ctx, fb_segment_writer *w,
                                   const fb_product_row *products, bool graph)
{
    fb_index_manifest *m = w->change->manifest;
    if (w->done != w->entry.rows)
        return fb_fail(ctx, FB_E_STATE,
                       "%lld rows of a segment that was begun for %lld",
                       (long long)w->done, (long long)w->entry.rows);
    for (int f = 0; f < FB_INDEX_FILES; f++)
        if (w->entry.file[f].present) {
            FB_TRY(fb_replace_commit(ctx, &w->out[f]));
            FB_TRY(seal(ctx, w, (fb_index_file)f));
        }
    FB_TRY(write_products(ctx, w, products));
    if (graph && m->kind != FB_INDEX_EXACT && w->entry.rows > 0)
        FB_TRY(add_graph(ctx, w));
    m->segment[m->segment_count++] = w->entry;
    return FB_OK;
}

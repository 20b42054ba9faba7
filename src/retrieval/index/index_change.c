/* index_change.c - changing an index folder; see index_writer.h. */
#include "retrieval/index/index_writer.h"

#include "base/hash.h"
#include "retrieval/index/npy.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { MERGE_BLOCK = 256 };

/* ---- the folder ----------------------------------------------------------------- */

/* "000001.vectors.npy", "000001.deleted-000002.npy.new", "index.json.new" */
static bool is_ours(const char *name)
{
    if (strcmp(name, "index.json.new") == 0)
        return true;
    for (int i = 0; i < 6; i++)
        if (!isdigit((unsigned char)name[i]))
            return false;
    return name[6] == '.';
}

static bool is_named(const fb_index_change *c, const char *name)
{
    for (int32_t i = 0; i < c->manifest->segment_count; i++)
        for (int f = 0; f < FB_INDEX_FILES; f++) {
            char path[4096];
            const fb_segment_entry *entry = &c->manifest->segment[i];
            if (!entry->file[f].present)
                continue;
            if (fb_index_file_path(NULL, path, ".", entry, (fb_index_file)f) == FB_OK &&
                strcmp(path + 2, name) == 0)
                return true;
        }
    return false;
}

/* Take away what a killed change left and what this one has replaced. With `look` only
 * see whether there is something that is not an index's. */
static fb_status sweep(fb_context *ctx, fb_index_change *c, bool look)
{
    DIR *folder = opendir(c->folder);
    if (!folder)
        return fb_fail(ctx, FB_E_IO, "%s: cannot be read: %s", c->folder,
                       strerror(errno));
    fb_status status = FB_OK;
    for (const struct dirent *e; status == FB_OK && (e = readdir(folder)) != NULL;) {
        const char *name = e->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
            strcmp(name, "lock") == 0 || strcmp(name, "index.json") == 0)
            continue;
        if (look && !is_ours(name))
            status = fb_fail(ctx, FB_E_STATE,
                             "%s is not an index and holds other things (%.80s); give "
                             "another folder",
                             c->folder, name);
        else if (!look && is_ours(name) && !is_named(c, name))
            (void)unlinkat(dirfd(folder), name, 0); /* tried again next time */
    }
    closedir(folder);
    return status;
}

static fb_status lock_folder(fb_context *ctx, fb_index_change *c)
{
    char path[4096];
    FB_TRY(fb_path_join(ctx, path, c->folder, "lock"));
    c->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (c->lock < 0)
        return fb_fail(ctx, FB_E_IO, "%s: cannot be written: %s", path,
                       strerror(errno));
    if (flock(c->lock, LOCK_EX | LOCK_NB) != 0)
        return fb_fail(ctx, FB_E_STATE, "%s: another process is changing this index",
                       c->folder);
    return FB_OK;
}

static fb_status begin(fb_context *ctx, fb_index_change *c, bool fresh)
{
    char path[4096];
    FB_TRY(fb_path_join(ctx, path, c->folder, "index.json"));
    c->existed = fb_path_exists(path);
    if (!c->existed && !fresh)
        return fb_fail(ctx, FB_E_MISSING, "%s: no index there (no index.json)",
                       c->folder);
    if (!c->existed) {
        if (!fb_path_is_folder(c->folder))
            FB_TRY(fb_folder_make(ctx, c->folder));
        FB_TRY(sweep(ctx, c, true));
    }
    FB_TRY(lock_folder(ctx, c));
    c->manifest = fb_index_manifest_create();
    if (!c->manifest)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for an index");
    c->manifest->next = 1;
    if (!c->existed)
        return sweep(ctx, c, false);
    fb_status status = fb_index_manifest_read(ctx, c->manifest, c->folder);
    if (status == FB_E_FORMAT && fresh) { /* a damaged one may be made anew */
        fb_context_clear(ctx);
        return FB_OK;
    }
    FB_TRY(status);
    FB_TRY(sweep(ctx, c, false));
    if (fresh)
        c->manifest->segment_count = 0;
    return FB_OK;
}

fb_status fb_index_change_begin(fb_context *ctx, fb_index_change *change,
                                const char *folder, bool fresh)
{
    *change = (fb_index_change){.lock = -1};
    if (strlen(folder) >= sizeof change->folder)
        return fb_fail(ctx, FB_E_LIMIT, "the index folder's path is too long");
    memcpy(change->folder, folder, strlen(folder) + 1);
    fb_status status = begin(ctx, change, fresh);
    if (status != FB_OK)
        fb_index_change_end(change);
    return status;
}

fb_status fb_index_change_commit(fb_context *ctx, fb_index_change *change)
{
    change->manifest->generation++;
    FB_TRY(fb_index_manifest_write(ctx, change->manifest, change->folder));
    return sweep(ctx, change, false);
}

void fb_index_change_end(fb_index_change *change)
{
    if (change->lock >= 0)
        close(change->lock);
    free(change->manifest);
    change->lock = -1;
    change->manifest = NULL;
}

/* ---- deleting ------------------------------------------------------------------- */

static fb_status write_bits(fb_context *ctx, fb_index_change *c,
                            fb_segment_entry *entry, const uint8_t *bits, size_t size)
{
    char path[4096], header[FB_NPY_HEADER];
    fb_replace r;
    int64_t count = (int64_t)size;
    FB_TRY(fb_index_file_path(ctx, path, c->folder, entry, FB_INDEX_DELETED));
    FB_TRY(fb_replace_open(ctx, path, &r));
    fb_npy_header(header, "|u1", 1, &count);
    (void)fwrite(header, 1, sizeof header, r.stream);
    (void)fwrite(bits, 1, size, r.stream);
    FB_TRY(fb_replace_commit(ctx, &r));
    fb_map map;
    FB_TRY(fb_map_open(ctx, path, &map));
    entry->file[FB_INDEX_DELETED] = (fb_index_part){
        true, (int64_t)map.size_bytes, fb_checksum(0, map.bytes, map.size_bytes)};
    fb_map_close(&map);
    return FB_OK;
}

static fb_status delete_rows(fb_context *ctx, fb_index_change *c,
                             fb_segment_entry *entry, const fb_segment *s,
                             const uint8_t *deleted)
{
    size_t size = (size_t)(s->rows + 7) / 8;
    uint8_t *bits = calloc(size + 1, 1);
    if (!bits)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to delete rows");
    int64_t count = 0;
    for (int64_t r = 0; r < s->rows; r++)
        if (deleted[r] || !fb_segment_is_alive(s, r)) {
            bits[r >> 3] |= (uint8_t)(1 << (r & 7));
            count++;
        }
    fb_status status = FB_OK;
    if (count > entry->deleted) {
        entry->deleted_generation = c->manifest->generation + 1;
        entry->deleted = count;
        status = write_bits(ctx, c, entry, bits, size);
    }
    free(bits);
    return status;
}

fb_status fb_index_change_delete(fb_context *ctx, fb_index_change *change,
                                 int32_t segment, const uint8_t *deleted)
{
    fb_segment_entry *entry = &change->manifest->segment[segment];
    fb_segment s = {0};
    fb_arena *arena = fb_arena_create(1 << 12);
    fb_status status = arena ? FB_OK : fb_fail(ctx, FB_E_MEMORY, "no memory");
    if (status == FB_OK)
        status = fb_segment_open(ctx, &s, change->folder, change->manifest, entry, NULL,
                                 arena);
    if (status == FB_OK)
        status = delete_rows(ctx, change, entry, &s, deleted);
    fb_segment_close(&s);
    fb_arena_free(arena);
    return status;
}

/* ---- merging -------------------------------------------------------------------- */

typedef struct merge {
    fb_index_change *change;
    int32_t first, count; /* segments */
    fb_segment segment[FB_INDEX_SEGMENTS];
    fb_arena *arena;
    fb_product_row *products; /* [rows] */
    int64_t rows;
} merge;

static fb_status row_attributes(fb_context *ctx, merge *m, const fb_segment *s,
                                int64_t row, fb_product_row *p)
{
    int32_t columns = fb_product_table_columns(s->products);
    const char **pairs =
        fb_arena_alloc(m->arena, 2 * ((size_t)columns + 1) * sizeof *pairs);
    if (!pairs)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to merge segments");
    int32_t n = 0;
    for (int32_t c = 0; c < columns; c++) {
        int32_t cell = fb_product_table_cells(s->products, c)[row];
        if (cell < 0)
            continue;
        pairs[2 * n] = fb_product_table_column(s->products, c);
        pairs[2 * n++ + 1] = fb_product_table_value(s->products, c, cell);
    }
    p->attributes = pairs;
    p->attribute_count = n;
    return FB_OK;
}

static fb_status list_rows(fb_context *ctx, merge *m, const fb_segment *s)
{
    for (int64_t r = 0; r < s->rows; r++) {
        if (!fb_segment_is_alive(s, r))
            continue;
        fb_product_row *p = &m->products[m->rows++];
        p->id = fb_product_table_id(s->products, r);
        p->title = fb_product_table_title(s->products, r);
        p->image = fb_product_table_image(s->products, r);
        FB_TRY(row_attributes(ctx, m, s, r, p));
    }
    return FB_OK;
}

/* Rows [from, to), which are alive, as they lie. */
static fb_status copy_run(fb_context *ctx, fb_segment_writer *w,
                          const fb_index_manifest *m, const fb_segment *s, int64_t from,
                          int64_t to)
{
    size_t kept = fb_index_kept_bytes(m);
    for (int64_t r = from; r < to && s->kept; r++)
        if (fb_checksum((uint64_t)r, s->kept + (size_t)r * kept, kept) != s->sums[r])
            return fb_fail(ctx, FB_E_FORMAT,
                           "what is kept of the image of %s is damaged; make the index "
                           "again",
                           fb_product_table_id(s->products, r));
    return fb_segment_writer_copy(ctx, w, s, from, to - from);
}

static fb_status copy_rows(fb_context *ctx, fb_segment_writer *w,
                           const fb_index_manifest *m, const fb_segment *s)
{
    for (int64_t r = 0; r < s->rows;) {
        if (!fb_segment_is_alive(s, r)) {
            r++;
            continue;
        }
        int64_t end = r + 1;
        while (end < s->rows && end < r + MERGE_BLOCK && fb_segment_is_alive(s, end))
            end++;
        FB_TRY(copy_run(ctx, w, m, s, r, end));
        r = end;
    }
    return FB_OK;
}

static fb_status write_merged(fb_context *ctx, merge *m, fb_segment_writer **writer)
{
    fb_index_manifest *manifest = m->change->manifest;
    const fb_segment *s = m->segment;
    bool graph = m->rows >= FB_GRAPH_ROWS_LEAST;
    FB_TRY(fb_segment_writer_open(ctx, m->change, writer, m->rows,
                                  fb_stored_any(&s->image), s->entry->catalog));
    for (int32_t i = 0; i < m->count; i++) {
        graph = graph || s[i].entry->file[FB_INDEX_GRAPH].present;
        FB_TRY(copy_rows(ctx, *writer, manifest, &s[i]));
    }
    FB_TRY(fb_segment_writer_finish(ctx, *writer, m->products, graph));
    fb_segment_entry fresh = manifest->segment[--manifest->segment_count];
    for (int32_t i = m->first; i + m->count < manifest->segment_count; i++)
        manifest->segment[i] = manifest->segment[i + m->count];
    manifest->segment_count -= m->count;
    manifest->segment[manifest->segment_count++] = fresh;
    return FB_OK;
}

static fb_status open_merge(fb_context *ctx, merge *m)
{
    fb_index_change *c = m->change;
    int64_t most = 0;
    m->arena = fb_arena_create(1 << 20);
    if (!m->arena)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to merge segments");
    for (int32_t i = 0; i < m->count; i++) {
        FB_TRY(fb_segment_open(ctx, &m->segment[i], c->folder, c->manifest,
                               &c->manifest->segment[m->first + i], NULL, m->arena));
        most += m->segment[i].rows;
    }
    m->products = calloc((size_t)most + 1, sizeof *m->products);
    if (!m->products)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to merge %lld rows",
                       (long long)most);
    for (int32_t i = 0; i < m->count; i++)
        FB_TRY(list_rows(ctx, m, &m->segment[i]));
    return FB_OK;
}

/* Segments [first, first + count) as one, behind the others. Those whose images lie in
 * different catalogues stay apart. */
static fb_status merge_segments(fb_context *ctx, fb_index_change *c, int32_t first,
                                int32_t count)
{
    merge *m = calloc(1, sizeof *m);
    fb_segment_writer *writer = NULL;
    if (!m)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to merge segments");
    m->change = c;
    m->first = first;
    m->count = count;
    fb_status status = open_merge(ctx, m);
    if (status == FB_OK)
        status = write_merged(ctx, m, &writer);
    fb_segment_writer_close(writer);
    for (int32_t i = 0; i < count; i++)
        fb_segment_close(&m->segment[i]);
    free(m->products);
    fb_arena_free(m->arena);
    free(m);
    return status;
}

static int64_t alive_rows(const fb_segment_entry *entry)
{
    return entry->rows - entry->deleted;
}

/* How many of the last segments to write as one: while the next older is no more than
 * twice what has been gathered. */
static int32_t gather(const fb_index_manifest *m)
{
    int32_t n = m->segment_count - 1;
    int64_t rows = alive_rows(&m->segment[n]);
    while (n > 0 && alive_rows(&m->segment[n - 1]) <= 2 * rows &&
           strcmp(m->segment[n - 1].catalog, m->segment[n].catalog) == 0)
        rows += alive_rows(&m->segment[--n]);
    return m->segment_count - n;
}

fb_status fb_index_change_merge(fb_context *ctx, fb_index_change *change)
{
    fb_index_manifest *m = change->manifest;
    for (int32_t i = m->segment_count - 1; i >= 0; i--)
        if (alive_rows(&m->segment[i]) == 0) {
            memmove(&m->segment[i], &m->segment[i + 1],
                    (size_t)(m->segment_count - i - 1) * sizeof *m->segment);
            m->segment_count--;
        }
    if (m->segment_count == 0)
        return FB_OK;
    int32_t count = gather(m);
    if (count > 1)
        FB_TRY(merge_segments(ctx, change, m->segment_count - count, count));
    for (int32_t i = m->segment_count - 1; i >= 0; i--)
        if (m->segment[i].deleted * 2 > m->segment[i].rows)
            return merge_segments(ctx, change, i, 1); /* the others next time */
    return FB_OK;
}

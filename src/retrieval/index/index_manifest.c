/* index_manifest.c - see index_manifest.h. */
#include "retrieval/index/index_manifest.h"

#include "base/file.h"
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "fashionbert-index"
/* Of the second are vectors that are not f32, and graphs without vectors in them. */
enum { VERSION = 2, MANIFEST_BYTES = 16 << 20, NUMBER_MOST = 999999 };
#define BYTES_MOST (INT64_C(1) << 50)
#define ROWS_MOST  (INT64_C(1) << 30)

static const char *const kind_names[] = {"exact", "hnsw", "ivfpq"};
static const char *const what_names[] = {"product", "image", "text"};
static const char *const keep_names[] = {"none", "pixels", "features"};
static const char *const storage_names[] = {"f32", "bf16", "int8"};

static const struct {
    const char *key, *suffix;
} files[] = {
#define FILE_ROW(name, key, suffix) {key, suffix},
    FB_INDEX_FILE_MAP(FILE_ROW)
#undef FILE_ROW
};

const char *fb_index_kind_name(fb_index_kind kind)
{
    return kind_names[kind];
}
const char *fb_index_what_name(fb_index_what what)
{
    return what_names[what];
}
const char *fb_index_keep_name(fb_index_keep keep)
{
    return keep_names[keep];
}
const char *fb_storage_name(fb_storage storage)
{
    return storage_names[storage];
}

static fb_status parse_word(fb_context *ctx, const char *where, const char *word,
                            const char *const names[3], fb_status code, int *number)
{
    for (int i = 0; i < 3; i++)
        if (strcmp(word, names[i]) == 0) {
            *number = i;
            return FB_OK;
        }
    return fb_fail(ctx, code, "%s: \"%.40s\" is not one of %s, %s, %s", where, word,
                   names[0], names[1], names[2]);
}

fb_status fb_index_kind_parse(fb_context *ctx, const char *option, const char *word,
                              fb_index_kind *kind)
{
    int number = 0;
    FB_TRY(parse_word(ctx, option, word, kind_names, FB_E_USAGE, &number));
    *kind = (fb_index_kind)number;
    return FB_OK;
}

fb_status fb_index_what_parse(fb_context *ctx, const char *option, const char *word,
                              fb_index_what *what)
{
    int number = 0;
    FB_TRY(parse_word(ctx, option, word, what_names, FB_E_USAGE, &number));
    *what = (fb_index_what)number;
    return FB_OK;
}

fb_status fb_index_keep_parse(fb_context *ctx, const char *option, const char *word,
                              fb_index_keep *keep)
{
    int number = 0;
    FB_TRY(parse_word(ctx, option, word, keep_names, FB_E_USAGE, &number));
    *keep = (fb_index_keep)number;
    return FB_OK;
}

fb_status fb_storage_parse(fb_context *ctx, const char *option, const char *word,
                           fb_storage *storage)
{
    int number = 0;
    FB_TRY(parse_word(ctx, option, word, storage_names, FB_E_USAGE, &number));
    *storage = (fb_storage)number;
    return FB_OK;
}

fb_index_manifest *fb_index_manifest_create(void)
{
    fb_index_manifest *m = calloc(1, sizeof *m);
    if (m)
        m->recall10 = NAN;
    return m;
}

size_t fb_index_kept_bytes(const fb_index_manifest *m)
{
    size_t a = (size_t)m->kept_dims[0], b = (size_t)m->kept_dims[1],
           c = (size_t)m->kept_dims[2];
    switch (m->keep) {
    case FB_KEEP_PIXELS:
        return a * b * c;
    case FB_KEEP_FEATURES:
        return a * b * sizeof(uint16_t);
    case FB_KEEP_NONE:
        break;
    }
    return 0;
}

fb_status fb_index_file_path(fb_context *ctx, char out[4096], const char *folder,
                             const fb_segment_entry *entry, fb_index_file file)
{
    char name[64];
    if (file == FB_INDEX_DELETED)
        snprintf(name, sizeof name, "%06d.%s-%06d.npy", (int)entry->number,
                 files[file].suffix, (int)entry->deleted_generation);
    else
        snprintf(name, sizeof name, "%06d.%s", (int)entry->number, files[file].suffix);
    return fb_path_join(ctx, out, folder, name);
}

/* ---- reading -------------------------------------------------------------------- */

typedef struct reader {
    fb_context *ctx;
    const char *name;
} reader;

static fb_status wrong(const reader *r, const char *key, const char *what)
{
    return fb_fail(r->ctx, FB_E_FORMAT, "%s: \"%s\" %s", r->name, key, what);
}

static fb_status get_int32(const reader *r, const json_t *object, const char *key,
                           int64_t low, int64_t high, int32_t *out)
{
    int64_t value = low - 1;
    FB_TRY(fb_json_get_int(r->ctx, r->name, object, key, low, high, &value));
    if (value < low)
        return wrong(r, key, "is missing");
    *out = (int32_t)value;
    return FB_OK;
}

static fb_status get_count(const reader *r, const json_t *object, const char *key,
                           int64_t high, int64_t *out)
{
    int64_t value = -1;
    FB_TRY(fb_json_get_int(r->ctx, r->name, object, key, 0, high, &value));
    if (value < 0)
        return wrong(r, key, "is missing");
    *out = value;
    return FB_OK;
}

static fb_status get_hash(const reader *r, const json_t *object, const char *key,
                          uint64_t *out)
{
    const char *text = "";
    FB_TRY(fb_json_get_string(r->ctx, r->name, object, key, &text));
    char *end;
    if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        return wrong(r, key, "must be 16 hexadecimal digits");
    *out = strtoull(text, &end, 16);
    return FB_OK;
}

static fb_status get_path(const reader *r, const json_t *object, const char *key,
                          char out[4096])
{
    const char *text = "";
    FB_TRY(fb_json_get_string(r->ctx, r->name, object, key, &text));
    if (strlen(text) >= 4096)
        return wrong(r, key, "is too long");
    memcpy(out, text, strlen(text) + 1);
    return FB_OK;
}

static fb_status get_word(const reader *r, const json_t *object, const char *key,
                          const char *const names[3], int *number)
{
    char where[600];
    const char *text = "";
    FB_TRY(fb_json_get_string(r->ctx, r->name, object, key, &text));
    snprintf(where, sizeof where, "%.500s: %s", r->name, key);
    return parse_word(r->ctx, where, text, names, FB_E_FORMAT, number);
}

static fb_status read_files(const reader *r, const json_t *object,
                            fb_segment_entry *entry)
{
    const json_t *all = json_object_get(object, "files");
    if (!json_is_object(all))
        return wrong(r, "files", "must be an object");
    for (int f = 0; f < FB_INDEX_FILES; f++) {
        const json_t *one = json_object_get(all, files[f].key);
        if (!one)
            continue;
        if (!json_is_object(one))
            return wrong(r, files[f].key, "must be an object");
        fb_index_part *part = &entry->file[f];
        part->present = true;
        FB_TRY(get_count(r, one, "bytes", BYTES_MOST, &part->size_bytes));
        FB_TRY(get_hash(r, one, "checksum", &part->checksum));
    }
    return FB_OK;
}

/* Rests and scales are there where their vectors are s8. */
static bool are_vectors(const fb_index_manifest *m, const fb_index_part *f,
                        fb_index_file file)
{
    bool wanted = f[file].present && m->storage == FB_STORED_INT8;
    return f[file + 1].present == wanted && f[file + 2].present == wanted;
}

static fb_status read_segment(const reader *r, const json_t *object,
                              const fb_index_manifest *m, fb_segment_entry *entry)
{
    if (!json_is_object(object))
        return wrong(r, "segments", "must hold objects");
    FB_TRY(get_int32(r, object, "number", 1, NUMBER_MOST, &entry->number));
    FB_TRY(get_int32(r, object, "deleted_generation", 0, NUMBER_MOST,
                     &entry->deleted_generation));
    FB_TRY(get_count(r, object, "rows", ROWS_MOST, &entry->rows));
    FB_TRY(get_count(r, object, "deleted", entry->rows, &entry->deleted));
    FB_TRY(get_path(r, object, "catalog", entry->catalog));
    FB_TRY(read_files(r, object, entry));
    const fb_index_part *f = entry->file;
    bool parts = m->what == FB_OF_PRODUCT || !f[FB_INDEX_IMAGE].present;
    if (!f[FB_INDEX_PRODUCTS].present || !f[FB_INDEX_VECTORS].present ||
        f[FB_INDEX_IMAGE].present != f[FB_INDEX_TEXT].present || !parts ||
        !are_vectors(m, f, FB_INDEX_VECTORS) || !are_vectors(m, f, FB_INDEX_IMAGE) ||
        !are_vectors(m, f, FB_INDEX_TEXT) ||
        f[FB_INDEX_KEPT].present != (m->keep != FB_KEEP_NONE) ||
        f[FB_INDEX_SUMS].present != f[FB_INDEX_KEPT].present ||
        f[FB_INDEX_DELETED].present != (entry->deleted > 0) ||
        (f[FB_INDEX_GRAPH].present && m->kind == FB_INDEX_EXACT))
        return wrong(r, "files", "are not those of such an index");
    return FB_OK;
}

static fb_status read_segments(const reader *r, const json_t *root,
                               fb_index_manifest *m)
{
    const json_t *list = json_object_get(root, "segments");
    if (!json_is_array(list) || json_array_size(list) > FB_INDEX_SEGMENTS)
        return wrong(r, "segments", "must be a list of at most 64");
    int64_t rows = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        fb_segment_entry *entry = &m->segment[m->segment_count];
        FB_TRY(read_segment(r, json_array_get(list, i), m, entry));
        for (int32_t k = 0; k < m->segment_count; k++)
            if (m->segment[k].number == entry->number)
                return wrong(r, "number", "stands for two segments");
        rows += entry->rows;
        if (rows > ROWS_MOST || entry->number >= m->next)
            return wrong(r, "segments", "hold a number out of range");
        m->segment_count++;
    }
    return FB_OK;
}

static fb_status read_kept(const reader *r, const json_t *root, fb_index_manifest *m)
{
    const json_t *list = json_object_get(root, "kept_shape");
    size_t wanted = m->keep == FB_KEEP_NONE ? 0 : m->keep == FB_KEEP_PIXELS ? 3 : 2;
    if (!json_is_array(list) || json_array_size(list) != wanted)
        return wrong(r, "kept_shape", "is not that of what is kept");
    for (size_t i = 0; i < wanted; i++) {
        const json_t *n = json_array_get(list, i);
        if (!json_is_integer(n) || json_integer_value(n) < 1 ||
            json_integer_value(n) > 65536)
            return wrong(r, "kept_shape", "holds a number out of range");
        m->kept_dims[i] = (int32_t)json_integer_value(n);
    }
    return FB_OK;
}

static fb_status read_root(const reader *r, const json_t *root, fb_index_manifest *m)
{
    const char *format = "";
    int32_t version = 0;
    int number = 0;
    if (!json_is_object(root))
        return fb_fail(r->ctx, FB_E_FORMAT, "%s: not a JSON object", r->name);
    FB_TRY(fb_json_get_string(r->ctx, r->name, root, "format", &format));
    if (strcmp(format, FORMAT) != 0)
        return wrong(r, "format", "must be " FORMAT);
    FB_TRY(get_int32(r, root, "version", 1, VERSION, &version));
    FB_TRY(get_int32(r, root, "generation", 1, NUMBER_MOST, &m->generation));
    FB_TRY(get_int32(r, root, "next", 1, NUMBER_MOST + 1, &m->next));
    FB_TRY(get_word(r, root, "kind", kind_names, &number));
    m->kind = (fb_index_kind)number;
    FB_TRY(get_word(r, root, "what", what_names, &number));
    m->what = (fb_index_what)number;
    FB_TRY(get_word(r, root, "keep", keep_names, &number));
    m->keep = (fb_index_keep)number;
    if (version > 1) {
        FB_TRY(get_word(r, root, "storage", storage_names, &number));
        m->storage = (fb_storage)number;
    }
    FB_TRY(fb_json_get_double(r->ctx, r->name, root, "text_weight", 0, 1,
                              &m->text_weight));
    FB_TRY(get_int32(r, root, "vector_size", 1, FB_INDEX_WIDTH, &m->width));
    FB_TRY(get_hash(r, root, "fingerprint", &m->fingerprint));
    FB_TRY(get_path(r, root, "model", m->model));
    FB_TRY(get_int32(r, root, "effort", 0, 1 << 20, &m->effort));
    if (json_is_number(json_object_get(root, "recall10")))
        FB_TRY(
            fb_json_get_double(r->ctx, r->name, root, "recall10", 0, 1, &m->recall10));
    FB_TRY(read_kept(r, root, m));
    return read_segments(r, root, m);
}

static fb_status read_json(fb_context *ctx, fb_index_manifest *manifest,
                           const char *name, const json_t *root)
{
    reader r = {ctx, name};
    fb_index_manifest *fresh = fb_index_manifest_create();
    if (!fresh)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", name);
    fb_status status = read_root(&r, root, fresh);
    if (status == FB_OK)
        *manifest = *fresh;
    free(fresh);
    return status;
}

fb_status fb_index_manifest_parse(fb_context *ctx, fb_index_manifest *manifest,
                                  const char *name, const char *text, size_t size_bytes)
{
    json_t *root;
    FB_TRY(fb_json_parse(ctx, name, text, size_bytes, &root));
    fb_status status = read_json(ctx, manifest, name, root);
    json_decref(root);
    return status;
}

fb_status fb_index_manifest_read(fb_context *ctx, fb_index_manifest *manifest,
                                 const char *folder)
{
    char path[4096];
    json_t *root;
    FB_TRY(fb_path_join(ctx, path, folder, "index.json"));
    if (!fb_path_exists(path))
        return fb_fail(ctx, FB_E_MISSING, "%s: no index there (no index.json)", folder);
    FB_TRY(fb_json_read(ctx, path, MANIFEST_BYTES, &root));
    fb_status status = read_json(ctx, manifest, path, root);
    json_decref(root);
    return status;
}

/* ---- writing -------------------------------------------------------------------- */

static void write_hash(fb_json_writer *w, const char *key, uint64_t hash)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    fb_json_key_string(w, key, text);
}

static void write_segment(fb_json_writer *w, const fb_segment_entry *entry)
{
    fb_json_open_object(w);
    fb_json_key_int(w, "number", entry->number);
    fb_json_key_int(w, "rows", entry->rows);
    fb_json_key_int(w, "deleted", entry->deleted);
    fb_json_key_int(w, "deleted_generation", entry->deleted_generation);
    fb_json_key_string(w, "catalog", entry->catalog);
    fb_json_key(w, "files");
    fb_json_open_object(w);
    for (int f = 0; f < FB_INDEX_FILES; f++) {
        if (!entry->file[f].present)
            continue;
        fb_json_key(w, files[f].key);
        fb_json_open_object(w);
        fb_json_key_int(w, "bytes", entry->file[f].size_bytes);
        write_hash(w, "checksum", entry->file[f].checksum);
        fb_json_close_object(w);
    }
    fb_json_close_object(w);
    fb_json_close_object(w);
}

static void write_root(fb_json_writer *w, const fb_index_manifest *m)
{
    bool second = m->storage != FB_STORED_F32 || m->kind == FB_INDEX_HNSW;
    fb_json_open_object(w);
    fb_json_key_string(w, "format", FORMAT);
    fb_json_key_int(w, "version", second ? VERSION : 1);
    fb_json_key_int(w, "generation", m->generation);
    fb_json_key_int(w, "next", m->next);
    fb_json_key_string(w, "kind", kind_names[m->kind]);
    fb_json_key_string(w, "what", what_names[m->what]);
    if (second)
        fb_json_key_string(w, "storage", storage_names[m->storage]);
    fb_json_key_double(w, "text_weight", m->text_weight);
    fb_json_key_int(w, "vector_size", m->width);
    write_hash(w, "fingerprint", m->fingerprint);
    fb_json_key_string(w, "model", m->model);
    fb_json_key_int(w, "effort", m->effort);
    fb_json_key_double(w, "recall10", m->recall10);
    fb_json_key_string(w, "keep", keep_names[m->keep]);
    fb_json_key(w, "kept_shape");
    fb_json_open_array(w);
    for (int i = 0; i < 3 && m->keep != FB_KEEP_NONE && m->kept_dims[i]; i++)
        fb_json_int(w, m->kept_dims[i]);
    fb_json_close_array(w);
    fb_json_key(w, "segments");
    fb_json_open_array(w);
    for (int32_t i = 0; i < m->segment_count; i++)
        write_segment(w, &m->segment[i]);
    fb_json_close_array(w);
    fb_json_close_object(w);
}

fb_status fb_index_manifest_write(fb_context *ctx, const fb_index_manifest *manifest,
                                  const char *folder)
{
    char path[4096];
    fb_replace r;
    fb_json_writer w;
    FB_TRY(fb_path_join(ctx, path, folder, "index.json"));
    FB_TRY(fb_replace_open(ctx, path, &r));
    fb_json_begin(&w, r.stream, 2);
    write_root(&w, manifest);
    fputc('\n', r.stream);
    return fb_replace_commit(ctx, &r);
}

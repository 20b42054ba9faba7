/* import_check.c - see import_check.h. */
#include "data/import/import_check.h"

#include "base/ascii.h"
#include "base/file.h"
#include "base/id_set.h"
#include "base/json.h"
#include "base/memory_stream.h"
#include "base/number_text.h"
#include "base/random.h"
#include "data/catalogue/catalogue_row.h"
#include "data/import/query_compose.h"
#include "data/text/basic_tokenizer.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Of a row, so that file name and split still fit into a line. */
enum { ROW_BYTES_MAX = FB_METADATA_LINE_BYTES_MAX - 256 };

struct fb_import_check {
    const fb_import_options *options;
    fb_import_map *map;
    fb_query_compose *compose;
    fb_id_set ids, images; /* ids; product ids with their image and title */
    bool own_split, decided;
};

fb_status fb_import_check_create(fb_context *ctx, fb_import_check **check,
                                 const fb_import_options *options)
{
    fb_import_check *c = calloc(1, sizeof *c);
    if (!c)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to import");
    c->options = options;
    c->decided = options->split[0] != 0;
    c->own_split = strcmp(options->split, FB_IMPORT_SPLIT_SOURCE) == 0;
    fb_status status =
        fb_import_map_parse(ctx, &c->map, options->map, options->only_mapped);
    if (status == FB_OK)
        status = fb_query_compose_create(ctx, &c->compose, options->compose_queries);
    if (status == FB_OK)
        *check = c;
    else
        fb_import_check_free(c);
    return status;
}

void fb_import_check_free(fb_import_check *c)
{
    if (!c)
        return;
    fb_import_map_free(c->map);
    fb_query_compose_free(c->compose);
    fb_id_set_clear(&c->ids);
    fb_id_set_clear(&c->images);
    free(c);
}

fb_status fb_import_check_columns(fb_context *ctx, const fb_import_check *c,
                                  const char *name, const fb_record_source *source)
{
    static const char *const needed[] = {"title", "image"};
    char names[400] = "";
    size_t used = 0;
    if (!source->columns)
        return FB_OK;
    for (int32_t i = 0; i < source->column_count && used < 360; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%.30s",
                                 i ? ", " : "", source->columns[i]);
    for (int i = 0; i < (source->has_images ? 1 : 2); i++)
        if (!fb_import_map_gives(c->map, needed[i], source->columns,
                                 source->column_count))
            return fb_fail(ctx, FB_E_USAGE,
                           "%s: nothing is called \"%s\"; say with --map %s=... which "
                           "of its columns it is: %s",
                           name, needed[i], needed[i], names);
    const char *by = c->options->split_by;
    if (strcmp(by, "product") != 0 && strcmp(by, "title") != 0 &&
        !fb_import_map_gives(c->map, by, source->columns, source->column_count))
        return fb_fail(ctx, FB_E_USAGE,
                       "--split-by: nothing is called \"%.64s\" in %s: %s", by, name,
                       names);
    for (int32_t i = 0; i < fb_query_compose_fields(c->compose); i++) {
        const char *field = fb_query_compose_field(c->compose, i);
        if (!fb_import_map_gives(c->map, field, source->columns, source->column_count))
            return fb_fail(ctx, FB_E_USAGE,
                           "--compose-queries: %s: nothing is called \"%.64s\" in %s",
                           name, field, names);
    }
    return FB_OK;
}

/* ---- faults ------------------------------------------------------------------------
 */

static fb_status set_fault(fb_import_job *job, fb_record_fault fault,
                           const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static fb_status set_fault(fb_import_job *job, fb_record_fault fault,
                           const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    job->fault = fault;
    fb_text_print_list(job->why, sizeof job->why, format, arguments);
    va_end(arguments);
    return FB_OK;
}

static fb_status fail_memory(fb_context *ctx, const fb_import_job *job)
{
    return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for the record", job->where);
}

static uint64_t hash_text(uint64_t seed, const char *text)
{
    return fb_hash_bytes(seed, text ? text : "", text ? strlen(text) : 0);
}

/* Whether what `key` stands for came before; *first is the record that had it. */
static fb_status look_up(fb_context *ctx, fb_id_set *set, uint64_t key,
                         const fb_import_job *job, int64_t *first)
{
    return fb_id_set_add(set, key, job->number, first) ? FB_OK : fail_memory(ctx, job);
}

static fb_status check_repeated(fb_context *ctx, fb_import_check *c,
                                const fb_import_item *item, fb_import_job *job)
{
    int64_t first = job->number;
    if (item->id) {
        FB_TRY(look_up(ctx, &c->ids, hash_text(2, item->id), job, &first));
        if (first != job->number)
            return set_fault(job, FB_RECORD_BAD_REPEATED,
                             "id \"%.64s\" is also that of record %lld", item->id,
                             (long long)first);
    }
    if (!item->product_id || job->image.kind == FB_RECORD_IMAGE_PIXELS)
        return FB_OK;
    uint64_t key = hash_text(hash_text(3, item->product_id), item->title);
    if (job->image.kind == FB_RECORD_IMAGE_PATH)
        key = hash_text(key, job->image.path);
    else
        key = fb_hash_bytes(key, job->image.bytes, job->image.size_bytes);
    FB_TRY(look_up(ctx, &c->images, key, job, &first));
    if (first != job->number)
        return set_fault(
            job, FB_RECORD_BAD_REPEATED,
            "product \"%.64s\" has this image and title in record %lld too",
            item->product_id, (long long)first);
    return FB_OK;
}

/* ---- image -------------------------------------------------------------------------
 */

static fb_status copy_image(fb_context *ctx, const fb_record_image *image,
                            fb_arena *arena, fb_import_job *job)
{
    job->image = *image;
    if (image->kind == FB_RECORD_IMAGE_PATH) {
        job->image.path = fb_arena_strdup(arena, image->path);
        return job->image.path ? FB_OK : fail_memory(ctx, job);
    }
    uint8_t *bytes = fb_arena_alloc(arena, image->size_bytes + 1);
    if (!bytes)
        return fail_memory(ctx, job);
    memcpy(bytes, image->bytes, image->size_bytes);
    job->image.bytes = bytes;
    return FB_OK;
}

static fb_status find_image(fb_context *ctx, const fb_record *record,
                            const fb_import_item *item, const char *folder,
                            fb_arena *arena, fb_import_job *job)
{
    char path[4096];
    if (record->image.kind != FB_RECORD_IMAGE_NONE)
        return copy_image(ctx, &record->image, arena, job);
    if (!item->image)
        return set_fault(job, FB_RECORD_BAD_NO_IMAGE, "no image");
    if (strstr(item->image, "://"))
        return set_fault(job, FB_RECORD_BAD_NO_IMAGE,
                         "image \"%.200s\" is an address and not a file", item->image);
    if (!folder)
        return set_fault(job, FB_RECORD_BAD_NO_IMAGE,
                         "image \"%.200s\" is a file where there is no folder",
                         item->image);
    if (!fb_path_is_inside(item->image))
        return set_fault(job, FB_RECORD_BAD_PATH, "image \"%.200s\" leaves %.200s",
                         item->image, folder);
    if (fb_path_join(NULL, path, folder, item->image) != FB_OK)
        return set_fault(job, FB_RECORD_BAD_NO_IMAGE, "image \"%.64s...\": too long",
                         item->image);
    job->image = (fb_record_image){.kind = FB_RECORD_IMAGE_PATH,
                                   .path = fb_arena_strdup(arena, path)};
    return job->image.path ? FB_OK : fail_memory(ctx, job);
}

/* ---- row ---------------------------------------------------------------------------
 */

static void put(fb_json_writer *w, const char *key, const char *text)
{
    if (text)
        fb_json_key_string(w, key, text);
}

static void put_attribute(fb_json_writer *w, const char *name, const char *value)
{
    if (strcmp(name, FB_QUERIES_COMPOSED) == 0 && strcmp(value, "true") == 0)
        fb_json_key_bool(w, name, true);
    else
        put(w, name, value);
}

static void write_fields(fb_json_writer *w, const fb_import_item *item)
{
    fb_json_open_object(w);
    put(w, "product_id", item->product_id ? item->product_id : item->id);
    put(w, "title", item->title);
    for (int32_t i = FB_CATEGORY_LEVELS - 1; i >= 0; i--)
        put(w, fb_category_fields[i], item->category[i]);
    put(w, "description", item->description);
    if (item->product_id)
        put(w, "id", item->id);
    if (item->query_count > 0) {
        fb_json_key(w, "queries");
        fb_json_open_array(w);
        for (int32_t i = 0; i < item->query_count; i++)
            fb_json_string(w, item->queries[i]);
        fb_json_close_array(w);
    }
    for (int32_t i = 0; i < item->attribute_count; i++)
        put_attribute(w, item->attributes[2 * i], item->attributes[2 * i + 1]);
    fb_json_close_object(w);
}

static fb_status write_row(fb_context *ctx, const fb_import_item *item, fb_arena *arena,
                           fb_import_job *job)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = fb_memory_open(&text, &size);
    if (!stream)
        return fail_memory(ctx, job);
    fb_json_writer w;
    fb_json_begin(&w, stream, 0);
    write_fields(&w, item);
    bool written = fb_memory_close(stream, &text);
    fb_status status = FB_OK;
    if (written && size > ROW_BYTES_MAX)
        status = set_fault(job, FB_RECORD_BAD_FIELD, "a row of %zu bytes; %d are read",
                           size, ROW_BYTES_MAX);
    else if (!written || !(job->row = fb_arena_strdup(arena, text)))
        status = fail_memory(ctx, job);
    free(text);
    return status;
}

/* ---- split -------------------------------------------------------------------------
 */

/* "train", "Test", "valid", ... */
static bool parse_split(const char *text, fb_split *split)
{
    static const struct {
        const char *name;
        fb_split split;
    } names[] = {{"train", FB_SPLIT_TRAIN}, {"training", FB_SPLIT_TRAIN},
                 {"val", FB_SPLIT_VAL},     {"valid", FB_SPLIT_VAL},
                 {"dev", FB_SPLIT_VAL},     {"validation", FB_SPLIT_VAL},
                 {"test", FB_SPLIT_TEST},   {"testing", FB_SPLIT_TEST}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (fb_ascii_compare(text, names[i].name) == 0) {
            *split = names[i].split;
            return true;
        }
    return false;
}

/* The first good record decides whether the source has splits. */
static fb_status take_split(fb_import_check *c, const fb_import_item *item,
                            fb_import_job *job)
{
    fb_split split;
    job->stated = -1;
    if (!c->decided) {
        c->decided = true;
        c->own_split = item->split != NULL;
    }
    if (!c->own_split)
        return FB_OK;
    if (!item->split)
        return set_fault(job, FB_RECORD_BAD_FIELD,
                         "no split; --split 80/10/10 draws one");
    if (!parse_split(item->split, &split))
        return set_fault(job, FB_RECORD_BAD_FIELD,
                         "split \"%.64s\" is none of train, val, test; --split draws "
                         "one instead",
                         item->split);
    job->stated = (int32_t)split;
    return FB_OK;
}

/* What the item has by that name, the source's or the catalogue's. */
static const char *value_of(const fb_record *record, const fb_import_item *item,
                            const char *name)
{
    for (int32_t i = 0; i < record->field_count; i++)
        if (strcmp(record->fields[2 * i], name) == 0)
            return record->fields[2 * i + 1];
    for (int32_t i = 0; i < item->attribute_count; i++)
        if (strcmp(item->attributes[2 * i], name) == 0)
            return item->attributes[2 * i + 1];
    for (int32_t i = 0; i < FB_CATEGORY_LEVELS; i++)
        if (strcmp(fb_category_fields[i], name) == 0)
            return item->category[i];
    return NULL;
}

static fb_status take_key(fb_context *ctx, const fb_import_check *c,
                          const fb_record *record, const fb_import_item *item,
                          fb_import_job *job)
{
    const char *by = c->options->split_by, *key;
    char *title = NULL;
    if (strcmp(by, "title") == 0) {
        key = title = fb_title_normalise(item->title);
        if (!title)
            return fail_memory(ctx, job);
    } else if (strcmp(by, "product") == 0) {
        key = item->product_id ? item->product_id : item->id;
        if (!key) /* nothing names the product: what it says does */
            key = item->image ? item->image : job->row;
    } else {
        key = value_of(record, item, by);
        if (!key || !key[strspn(key, " \t\r\n")])
            return set_fault(job, FB_RECORD_BAD_FIELD,
                             "no value of \"%.64s\", which --split-by names", by);
    }
    job->key = fb_hash_bytes(FB_STREAM_SPLIT, key, strlen(key));
    free(title);
    return FB_OK;
}

/* ---- record ------------------------------------------------------------------------
 */

static fb_status check_item(fb_context *ctx, fb_import_check *c,
                            const fb_record *record, const fb_import_item *item,
                            const char *folder, fb_arena *arena, fb_import_job *job)
{
    bool has_word = false;
    if (item->title)
        FB_TRY(fb_text_has_word(ctx, item->title, &has_word));
    if (!has_word)
        return set_fault(job, FB_RECORD_BAD_TITLE, "%s",
                         item->title ? "a title without a word" : "no title");
    FB_TRY(find_image(ctx, record, item, folder, arena, job));
    if (job->fault == FB_RECORD_GOOD)
        FB_TRY(check_repeated(ctx, c, item, job));
    if (job->fault == FB_RECORD_GOOD)
        FB_TRY(take_split(c, item, job));
    if (job->fault == FB_RECORD_GOOD)
        FB_TRY(write_row(ctx, item, arena, job));
    if (job->fault == FB_RECORD_GOOD)
        FB_TRY(take_key(ctx, c, record, item, job));
    return FB_OK;
}

fb_status fb_import_check_record(fb_context *ctx, fb_import_check *c,
                                 const fb_record *record, const char *folder,
                                 fb_arena *arena, fb_import_job *job)
{
    fb_import_item item;
    job->where = fb_arena_strdup(arena, record->where);
    if (!job->where)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for the record", record->where);
    if (record->fault != FB_RECORD_GOOD)
        return set_fault(job, record->fault, "%s", record->why);
    FB_TRY(fb_import_map_apply(ctx, c->map, record, arena, &item));
    job->mended = record->mended;
    if (item.spare && !job->mended) {
        char sentence[200];
        snprintf(sentence, sizeof sentence, "a second %.100s, which is passed over",
                 item.spare);
        job->mended = fb_arena_strdup(arena, sentence);
        if (!job->mended)
            return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for the record",
                           record->where);
    }
    FB_TRY(fb_query_compose_apply(ctx, c->compose, arena, &item));
    return check_item(ctx, c, record, &item, folder, arena, job);
}

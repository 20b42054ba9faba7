/* csv_source.c - a header's names beside each row's values. */
#include "data/import/csv_source.h"

#include "base/file.h"
#include "data/import/csv_reader.h"
#include "data/import/import_map.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILES = 64, NAME_BYTES = 256 };

typedef struct csv_source {
    fb_csv_reader *reader;
    char path[4096], folder[4096], where[4096 + 32], why[160];
    const char *split;
    int64_t size_bytes;
    char **columns;     /* [count], the last one is "split" with `split` */
    int32_t count;      /* of columns in the file */
    const char **pairs; /* [count + 1, 2] name and value */
    bool last_is_prose;
    char *joined;
} csv_source;

/* ---- which file --------------------------------------------------------------------
 */

static bool is_csv_name(const char *name)
{
    return fb_path_ends_in(name, ".csv") || fb_path_ends_in(name, ".tsv");
}

typedef struct file_list {
    char names[MAX_FILES][NAME_BYTES];
    int32_t count;
} file_list;

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The .csv and .tsv files of a folder, sorted. */
static fb_status list_files(fb_context *ctx, const char *folder, file_list *list)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return fb_fail(ctx, FB_E_IO, "%s: cannot open the folder: %s", folder,
                       strerror(errno));
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL && list->count < MAX_FILES)
        if (is_csv_name(entry->d_name) && strlen(entry->d_name) < NAME_BYTES)
            snprintf(list->names[list->count++], NAME_BYTES, "%s", entry->d_name);
    closedir(dir);
    qsort(list->names, (size_t)list->count, NAME_BYTES, by_text);
    return FB_OK;
}

bool fb_csv_source_recognise(fb_context *ctx, const char *path)
{
    if (!fb_path_is_folder(path))
        return is_csv_name(path);
    file_list list = {.count = 0};
    return list_files(ctx, path, &list) == FB_OK && list.count > 0;
}

/* ---- header ------------------------------------------------------------------------
 */

static char *copy_trimmed(const char *text)
{
    text += strspn(text, " \t");
    size_t size = strlen(text);
    while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t'))
        size--;
    return strndup(text, size);
}

static fb_status take_columns(fb_context *ctx, csv_source *s, const fb_csv_row *row)
{
    s->columns = calloc((size_t)row->count + 1, sizeof *s->columns);
    s->pairs = calloc(2 * ((size_t)row->count + 1), sizeof *s->pairs);
    if (!s->columns || !s->pairs)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for its header", s->path);
    for (; s->count < row->count; s->count++) {
        char *name = copy_trimmed(row->fields[s->count]);
        if (!name)
            return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for its header", s->path);
        s->columns[s->count] = name;
        for (int32_t i = 0; name[0] && i < s->count; i++)
            if (strcmp(s->columns[i], name) == 0) {
                s->count++;
                return fb_fail(ctx, FB_E_FORMAT,
                               "%s:%lld: the header has the column \"%.64s\" twice",
                               s->path, (long long)row->line, name);
            }
        s->pairs[2 * s->count] = name;
    }
    s->pairs[2 * s->count] = "split";
    s->pairs[2 * s->count + 1] = s->split;
    return FB_OK;
}

static void list_columns(const csv_source *s, char out[400])
{
    size_t used = 0;
    out[0] = 0;
    for (int32_t i = 0; i < s->count && used < 360; i++)
        used += (size_t)snprintf(out + used, 400 - used, "%s%.30s", i ? ", " : "",
                                 s->columns[i]);
}

static fb_status check_map(fb_context *ctx, csv_source *s, const char *text)
{
    fb_import_map *map = NULL;
    const char *missing = NULL;
    FB_TRY(fb_import_map_parse(ctx, &map, text, false));
    fb_status status = FB_OK;
    if (!fb_import_map_fits(map, (const char *const *)s->columns, s->count, &missing)) {
        char names[400];
        list_columns(s, names);
        status =
            fb_fail(ctx, FB_E_USAGE, "--map: %s has no column \"%.64s\"; it has %s",
                    s->path, missing, names);
    }
    s->last_is_prose = fb_import_map_is_prose(map, s->columns[s->count - 1]);
    fb_import_map_free(map);
    return status;
}

static fb_status read_header(fb_context *ctx, csv_source *s, const char *map)
{
    fb_csv_row row;
    FB_TRY(fb_csv_next(ctx, s->reader, &row));
    if (row.end)
        return fb_fail(ctx, FB_E_FORMAT, "%s: empty; the first line names the columns",
                       s->path);
    if (row.fault != FB_RECORD_GOOD)
        return fb_fail(ctx, FB_E_FORMAT, "%s:%lld: the header cannot be read: %s",
                       s->path, (long long)row.line, row.why);
    FB_TRY(take_columns(ctx, s, &row));
    return check_map(ctx, s, map);
}

/* ---- rows --------------------------------------------------------------------------
 */

/* The fields from the last column on, with the delimiters that were between them. */
static fb_status join_rest(fb_context *ctx, csv_source *s, const fb_csv_row *row)
{
    size_t size = 0;
    for (int32_t i = s->count - 1; i < row->count; i++)
        size += strlen(row->fields[i]) + 1;
    free(s->joined);
    s->joined = malloc(size);
    if (!s->joined)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for the row", s->where);
    char *to = s->joined;
    for (int32_t i = s->count - 1; i < row->count; i++) {
        size_t length = strlen(row->fields[i]);
        memcpy(to, row->fields[i], length);
        to += length;
        *to++ = fb_csv_delimiter(s->reader);
    }
    to[-1] = 0;
    s->pairs[2 * s->count - 1] = s->joined;
    return FB_OK;
}

static fb_status next(fb_context *ctx, void *self, fb_record *record)
{
    csv_source *s = self;
    fb_csv_row row;
    FB_TRY(fb_csv_next(ctx, s->reader, &row));
    *record = (fb_record){.end = row.end, .where = s->where};
    if (row.end)
        return FB_OK;
    snprintf(s->where, sizeof s->where, "%s:%lld", s->path, (long long)row.line);
    if (s->size_bytes > 0)
        record->progress = (double)fb_csv_bytes_read(s->reader) / (double)s->size_bytes;
    record->fault = row.fault;
    record->why = row.why;
    if (row.fault != FB_RECORD_GOOD)
        return FB_OK;
    for (int32_t i = 0; i < s->count && i < row.count; i++)
        s->pairs[2 * i + 1] = row.fields[i];
    if (row.count > s->count && s->last_is_prose && !row.quoted) {
        FB_TRY(join_rest(ctx, s, &row));
        record->mended = "delimiters in the last column that are not quoted";
    } else if (row.count != s->count) {
        record->fault = FB_RECORD_BAD_ROW;
        snprintf(s->why, sizeof s->why, "%d fields where the header has %d",
                 (int)row.count, (int)s->count);
        record->why = s->why;
        return FB_OK;
    }
    record->fields = s->pairs;
    record->field_count = s->count + (s->split != NULL);
    return FB_OK;
}

static void close_source(void *self)
{
    csv_source *s = self;
    fb_csv_close(s->reader);
    for (int32_t i = 0; i < s->count; i++)
        free(s->columns[i]);
    free(s->columns);
    free((void *)s->pairs);
    free(s->joined);
    free(s);
}

/* ---- open --------------------------------------------------------------------------
 */

static fb_status open_reader(fb_context *ctx, csv_source *s,
                             const fb_import_options *options)
{
    fb_csv_encoding encoding = FB_CSV_UTF8;
    FB_TRY(fb_csv_encoding_parse(ctx, options->encoding, &encoding));
    FILE *stream;
    FB_TRY(fb_stream_open(ctx, s->path, &stream, &s->size_bytes));
    char delimiter = fb_path_ends_in(s->path, ".tsv") ? '\t' : 0;
    return fb_csv_open(ctx, &s->reader, s->path, stream, delimiter, encoding);
}

fb_status fb_csv_source_open_file(fb_context *ctx, fb_record_source *source,
                                  const char *file, const char *folder,
                                  const char *split, const fb_import_options *options)
{
    csv_source *s = calloc(1, sizeof *s);
    if (!s)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", file);
    s->split = split;
    snprintf(s->path, sizeof s->path, "%s", file);
    snprintf(s->folder, sizeof s->folder, "%s", folder);
    fb_status status = open_reader(ctx, s, options);
    if (status == FB_OK)
        status = read_header(ctx, s, options->map);
    if (status != FB_OK) {
        close_source(s);
        return status;
    }
    *source = (fb_record_source){.self = s,
                                 .next = next,
                                 .close = close_source,
                                 .folder = s->folder,
                                 .columns = (const char *const *)s->columns,
                                 .column_count = s->count};
    return FB_OK;
}

static fb_status fail_none(fb_context *ctx, const char *folder, const file_list *list,
                           int32_t fitting)
{
    char names[400] = "";
    size_t used = 0;
    for (int32_t i = 0; i < list->count && used < 300; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%.60s",
                                 i ? ", " : "", list->names[i]);
    if (list->count == 0)
        return fb_fail(ctx, FB_E_MISSING, "%s: no .csv or .tsv file in it", folder);
    return fb_fail(ctx, FB_E_USAGE,
                   "%s: %s of its files (%s) %s every field of --map; name the file",
                   folder, fitting ? "more than one" : "none", names,
                   fitting ? "have" : "has");
}

/* Of several files, the one that --map fits. */
static fb_status open_in_folder(fb_context *ctx, fb_record_source *source,
                                const char *folder, const fb_import_options *options)
{
    file_list list = {.count = 0};
    fb_record_source found = {0}, tried = {0};
    int32_t fitting = 0;
    FB_TRY(list_files(ctx, folder, &list));
    for (int32_t i = 0; i < list.count; i++) {
        char file[4096];
        FB_TRY(fb_path_join(ctx, file, folder, list.names[i]));
        if (list.count == 1)
            return fb_csv_source_open_file(ctx, source, file, folder, NULL, options);
        if (fb_csv_source_open_file(NULL, &tried, file, folder, NULL, options) != FB_OK)
            continue;
        if (fitting++ > 0)
            tried.close(tried.self);
        else
            found = tried;
    }
    if (fitting == 1) {
        *source = found;
        return FB_OK;
    }
    if (fitting > 0)
        found.close(found.self);
    return fail_none(ctx, folder, &list, fitting);
}

fb_status fb_csv_source_open(fb_context *ctx, fb_record_source *source,
                             const char *path, const fb_import_options *options)
{
    if (fb_path_is_folder(path))
        return open_in_folder(ctx, source, path, options);
    char folder[4096];
    FB_TRY(fb_path_folder(ctx, folder, path));
    return fb_csv_source_open_file(ctx, source, path, folder, NULL, options);
}

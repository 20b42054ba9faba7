/* jsonl_source.c - see jsonl_source.h. */
#include "data/import/jsonl_source.h"

#include "base/file.h"
#include "base/json.h"
#include "data/import/field_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct jsonl_source {
    FILE *stream;
    char path[4096], folder[4096], where[4096 + 32];
    const char *split;
    int64_t size_bytes, read_bytes, line;
    char *text; /* [FB_JSONL_LINE_BYTES_MAX + 1] */
    fb_field_list fields;
    struct fb_context fault;
} jsonl_source;

/* ---- lines -------------------------------------------------------------------------
 */

/* The next line without its end; the rest of one that is too long is passed over. False
 * at the end of the file. */
static bool read_line(jsonl_source *s, size_t *size, bool *too_long)
{
    size_t used = 0;
    int c;
    *too_long = false;
    while ((c = getc_unlocked(s->stream)) != EOF && c != '\n') {
        s->read_bytes++;
        if (used < FB_JSONL_LINE_BYTES_MAX)
            s->text[used++] = (char)c;
        else
            *too_long = true;
    }
    s->read_bytes += c == '\n';
    s->line++;
    *size = used;
    return c != EOF || used > 0;
}

static bool is_blank(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!memchr(" \t\r", text[i], 3))
            return false;
    return true;
}

/* FB_E_FORMAT is this line's alone. */
static fb_status parse(fb_context *ctx, jsonl_source *s, const char *text, size_t size)
{
    json_t *object = NULL;
    FB_TRY(fb_json_parse(&s->fault, "line", text, size, &object));
    fb_status status = FB_OK;
    if (!json_is_object(object))
        status = fb_fail(&s->fault, FB_E_FORMAT, "not a JSON object");
    else
        status = fb_field_list_add_json(ctx, &s->fields, object);
    json_decref(object);
    return status;
}

static fb_status fill(fb_context *ctx, jsonl_source *s, size_t size, bool too_long,
                      fb_record *record)
{
    bool mark = s->line == 1 && size >= 3 && memcmp(s->text, "\xef\xbb\xbf", 3) == 0;
    fb_field_list_clear(&s->fields);
    fb_context_clear(&s->fault);
    fb_status status =
        too_long ? fb_fail(&s->fault, FB_E_FORMAT, "a line longer than %d bytes",
                           FB_JSONL_LINE_BYTES_MAX)
                 : parse(ctx, s, s->text + 3 * mark, size - 3 * mark);
    if (status == FB_E_FORMAT || status == FB_E_LIMIT) {
        record->fault = FB_RECORD_BAD_ROW;
        record->why = s->fault.message;
        return FB_OK;
    }
    if (status != FB_OK && s->fault.status == status) /* not the row's fault */
        return fb_fail(ctx, status, "%s: %s", s->where, s->fault.message);
    FB_TRY(status);
    if (s->split)
        FB_TRY(fb_field_list_add(ctx, &s->fields, "split", s->split, strlen(s->split)));
    record->fields = s->fields.pairs;
    record->field_count = s->fields.count;
    return FB_OK;
}

static fb_status next(fb_context *ctx, void *self, fb_record *record)
{
    jsonl_source *s = self;
    size_t size;
    bool too_long;
    *record = (fb_record){.where = s->where};
    do
        if (!read_line(s, &size, &too_long)) {
            record->end = true;
            if (ferror(s->stream))
                return fb_fail(ctx, FB_E_IO, "%s: cannot be read: %s", s->path,
                               strerror(errno));
            return FB_OK;
        }
    while (is_blank(s->text, size) && !too_long);
    snprintf(s->where, sizeof s->where, "%s:%lld", s->path, (long long)s->line);
    if (s->size_bytes > 0)
        record->progress = (double)s->read_bytes / (double)s->size_bytes;
    return fill(ctx, s, size, too_long, record);
}

/* ---- open --------------------------------------------------------------------------
 */

static void close_source(void *self)
{
    jsonl_source *s = self;
    if (s->stream)
        (void)fclose(s->stream);
    fb_field_list_free(&s->fields);
    free(s->text);
    free(s);
}

static fb_status begin(fb_context *ctx, jsonl_source *s)
{
    FB_TRY(fb_field_list_create(ctx, &s->fields));
    s->text = malloc(FB_JSONL_LINE_BYTES_MAX + 1);
    if (!s->text)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", s->path);
    return fb_stream_open(ctx, s->path, &s->stream, &s->size_bytes);
}

fb_status fb_jsonl_source_open_file(fb_context *ctx, fb_record_source *source,
                                    const char *file, const char *folder,
                                    const char *split)
{
    jsonl_source *s = calloc(1, sizeof *s);
    if (!s)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", file);
    s->split = split;
    snprintf(s->path, sizeof s->path, "%s", file);
    snprintf(s->folder, sizeof s->folder, "%s", folder);
    fb_status status = begin(ctx, s);
    if (status != FB_OK) {
        close_source(s);
        return status;
    }
    *source = (fb_record_source){
        .self = s, .next = next, .close = close_source, .folder = s->folder};
    return FB_OK;
}

bool fb_jsonl_source_recognise(fb_context *ctx, const char *path)
{
    (void)ctx;
    return (fb_path_ends_in(path, ".jsonl") || fb_path_ends_in(path, ".ndjson")) &&
           !fb_path_is_folder(path);
}

fb_status fb_jsonl_source_open(fb_context *ctx, fb_record_source *source,
                               const char *path, const fb_import_options *options)
{
    char folder[4096];
    (void)options;
    FB_TRY(fb_path_folder(ctx, folder, path));
    return fb_jsonl_source_open_file(ctx, source, path, folder, NULL);
}

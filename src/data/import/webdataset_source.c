/* webdataset_source.c - see webdataset_source.h. */
#include "data/import/webdataset_source.h"
#include "base/ascii.h"
#include "base/json.h"
#include "data/import/field_list.h"
#include "data/import/file_list.h"
#include "data/import/tar_shard.h"
#include "data/text/basic_tokenizer.h"

#include <stdlib.h>
#include <string.h>

typedef struct source {
    fb_file_list shards;
    int32_t at; /* the shard that is read, or comes next when none is open */
    fb_tar_shard *shard;
    fb_tar_sample sample;
    fb_field_list fields;
    fb_passed_over passed;
    struct fb_context why;
    char where[4096 + FB_MEMBER_NAME_BYTES + 16];
} source;

bool fb_webdataset_source_recognise(fb_context *ctx, const char *path)
{
    (void)ctx;
    static const char *const endings[] = {"", ".gz", ".zst", "*", ".*"};
    size_t length = strlen(path);
    const char *tar = fb_ascii_find(path, ".tar");
    if (length > 4 && fb_ascii_compare(path + length - 4, ".tgz") == 0)
        return true;
    for (const char *more = tar; more; more = fb_ascii_find(more + 1, ".tar"))
        tar = more;
    if (!tar || tar == path)
        return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (fb_ascii_compare(tar + 4, endings[i]) == 0)
            return true;
    return tar[4] == '{';
}

static void close_source(void *self)
{
    source *s = self;
    fb_tar_shard_close(s->shard);
    fb_tar_sample_clear(&s->sample);
    fb_field_list_free(&s->fields);
    fb_file_list_clear(&s->shards);
    free(s);
}

/* The record is one that cannot be used. */
static fb_status tell_fault(source *s, fb_record *record, fb_record_fault fault,
                            const char *why)
{
    size_t length = strlen(s->where);
    if (strncmp(why, s->where, length) == 0 && strncmp(why + length, ": ", 2) == 0)
        why += length + 2; /* the place is put before it again */
    record->where = s->where;
    record->fault = fault;
    record->why = why;
    return FB_OK;
}

static fb_status add_text(fb_context *ctx, source *s)
{
    size_t size = s->sample.text_bytes;
    const char *text = (const char *)s->sample.text;
    while (size > 0 && strchr(" \t\r\n", text[size - 1]))
        size--;
    const char *name = fb_field_list_get(&s->fields, "title") ? "txt" : "title";
    return fb_field_list_add(ctx, &s->fields, name, text, size);
}

static fb_status add_fields(fb_context *ctx, source *s, json_t *object)
{
    const char *caption;
    if (s->sample.product[0] && object) { /* the json's id is not of one photo */
        json_t *id = json_object_get(object, "id");
        if (id && !json_object_get(object, "product_id") &&
            json_object_set(object, "product_id", id) != 0)
            return fb_fail(ctx, FB_E_MEMORY, "no memory for the fields of %s",
                           s->sample.key);
        (void)json_object_del(object, "id");
    }
    if (object)
        FB_TRY(fb_field_list_add_json(ctx, &s->fields, object));
    if (s->sample.product[0] && !fb_field_list_get(&s->fields, "product_id"))
        FB_TRY(fb_field_list_add(ctx, &s->fields, "product_id", s->sample.product,
                                 strlen(s->sample.product)));
    if (!fb_field_list_get(&s->fields, "id"))
        FB_TRY(fb_field_list_add(ctx, &s->fields, "id", s->sample.key,
                                 strlen(s->sample.key)));
    if (s->sample.text)
        FB_TRY(add_text(ctx, s));
    caption = fb_field_list_get(&s->fields, "caption");
    if (caption && !fb_field_list_get(&s->fields, "title"))
        FB_TRY(fb_field_list_add(ctx, &s->fields, "title", caption, strlen(caption)));
    return FB_OK;
}

static fb_status make_record(fb_context *ctx, source *s, fb_record *record)
{
    fb_tar_sample *p = &s->sample;
    json_t *object = NULL;
    snprintf(s->where, sizeof s->where, "%s: member %s", s->shards.paths[s->at],
             p->image_name[0] ? p->image_name : p->key);
    if (!fb_utf8_is_valid(p->key, strlen(p->key)) ||
        (p->text && (memchr(p->text, 0, p->text_bytes) ||
                     !fb_utf8_is_valid((const char *)p->text, p->text_bytes))))
        return tell_fault(s, record, FB_RECORD_BAD_TEXT,
                          "its name or txt is not UTF-8");
    fb_context_clear(&s->why);
    if (p->json && fb_json_parse(&s->why, "its json", (const char *)p->json,
                                 p->json_bytes, &object) != FB_OK)
        return tell_fault(s, record, FB_RECORD_BAD_ROW, s->why.message);
    if (object && !json_is_object(object)) {
        json_decref(object);
        return tell_fault(s, record, FB_RECORD_BAD_ROW, "its json is not an object");
    }
    fb_field_list_clear(&s->fields);
    fb_status status = add_fields(ctx, s, object);
    json_decref(object);
    record->where = s->where;
    record->fields = s->fields.pairs;
    record->field_count = s->fields.count;
    if (p->image)
        record->image = (fb_record_image){.kind = FB_RECORD_IMAGE_BYTES,
                                          .bytes = p->image,
                                          .size_bytes = p->image_bytes};
    return status;
}

/* The next sample of the shards; *more false: there is none. A failure lies in s->why,
 * its place in s->where, and the source goes on. */
static fb_status next_sample(source *s, bool *more)
{
    fb_tar_sample_clear(&s->sample);
    fb_context_clear(&s->why);
    *more = false;
    while (s->at < s->shards.count) {
        const char *path = s->shards.paths[s->at];
        snprintf(s->where, sizeof s->where, "%s", path);
        fb_status status = FB_OK;
        if (!s->shard)
            status = fb_tar_shard_open(&s->why, &s->shard, path, &s->passed);
        if (!s->shard) {
            s->at++;
            return status;
        }
        status = fb_tar_shard_next(&s->why, s->shard, &s->sample, more);
        if (status != FB_OK || *more)
            return status;
        fb_tar_shard_close(s->shard);
        s->shard = NULL;
        s->at++;
    }
    return FB_OK;
}

static fb_status next(fb_context *ctx, void *self, fb_record *record)
{
    source *s = self;
    bool more;
    *record = (fb_record){0};
    fb_status status = next_sample(s, &more);
    record->progress = (double)s->at / s->shards.count;
    if (status == FB_E_MEMORY || status == FB_E_IO) /* not the data's */
        return fb_fail(ctx, status, "%s", s->why.message);
    if (status != FB_OK)
        return tell_fault(s, record,
                          s->shard && fb_tar_shard_refused(s->shard)
                              ? FB_RECORD_BAD_PATH
                              : FB_RECORD_BAD_ROW,
                          s->why.message);
    record->end = !more;
    return more ? make_record(ctx, s, record) : FB_OK;
}

fb_status fb_webdataset_source_open(fb_context *ctx, fb_record_source *out,
                                    const char *path, const fb_import_options *options)
{
    (void)options;
    source *s = calloc(1, sizeof *s);
    if (!s)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", path);
    fb_status status = fb_field_list_create(ctx, &s->fields);
    if (status == FB_OK)
        status = fb_file_list_add(ctx, &s->shards, path);
    if (status != FB_OK) {
        close_source(s);
        return status;
    }
    *out = (fb_record_source){
        .self = s, .next = next, .close = close_source, .passed = &s->passed};
    return FB_OK;
}

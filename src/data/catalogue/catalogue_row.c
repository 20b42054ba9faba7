/* catalogue_row.c - JSON object to catalogue row: required fields, types, a file name
 * that stays inside the folder. What is not a known field becomes an attribute.
 */
#include "data/catalogue/catalogue_row.h"
#include "base/file.h"
#include "base/json.h"
#include "data/text/basic_tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* In the order that breaks ties between levels. */
const char *const fb_category_fields[FB_CATEGORY_LEVELS] = {"subcategory", "category",
                                                            "master_category"};

static const char *const known_fields[] = {
    "file_name", "title",       "product_id", "split",          "description",
    "category",  "subcategory", "queries",    "master_category"};

static bool is_known(const char *key)
{
    for (size_t i = 0; i < sizeof known_fields / sizeof *known_fields; i++)
        if (strcmp(key, known_fields[i]) == 0)
            return true;
    return false;
}

static fb_status fail_memory(fb_context *ctx, const char *name)
{
    return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for the row", name);
}

/* A string member into the pool; absent or null: *out keeps what it had. */
static fb_status read_string(fb_context *ctx, const char *name, const json_t *object,
                             const char *key, fb_string_pool *pool, const char **out)
{
    const json_t *member = json_object_get(object, key);
    if (!member || json_is_null(member))
        return FB_OK;
    if (!json_is_string(member))
        return fb_fail(ctx, FB_E_FORMAT, "%s: \"%s\" must be a string", name, key);
    *out = fb_string_pool_copy(pool, json_string_value(member),
                               json_string_length(member));
    return *out ? FB_OK : fail_memory(ctx, name);
}

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n\f\v")] == 0;
}

static fb_status read_required(fb_context *ctx, const char *name, const json_t *object,
                               const char *key, fb_string_pool *pool, const char **out)
{
    const char *text = NULL;
    FB_TRY(read_string(ctx, name, object, key, pool, &text));
    if (!text)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: \"%s\" is missing; every row needs file_name and title",
                       name, key);
    bool has_word = !is_blank(text);
    if (has_word && strcmp(key, "title") == 0)
        FB_TRY(fb_text_has_word(ctx, text, &has_word));
    if (!has_word)
        return fb_fail(ctx, FB_E_FORMAT, "%s: \"%s\" is blank", name, key);
    *out = text;
    return FB_OK;
}

static fb_status read_product_id(fb_context *ctx, const char *name,
                                 const json_t *object, fb_string_pool *pool,
                                 fb_catalogue_item *item)
{
    const json_t *member = json_object_get(object, "product_id");
    item->product_id = item->file_name;
    if (json_is_integer(member)) {
        char digits[32];
        int length = snprintf(digits, sizeof digits, "%" JSON_INTEGER_FORMAT,
                              json_integer_value(member));
        item->product_id = fb_string_pool_copy(pool, digits, (size_t)length);
        return item->product_id ? FB_OK : fail_memory(ctx, name);
    }
    if (member && !json_is_string(member) && !json_is_null(member))
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: \"product_id\" must be a string or a whole number", name);
    return read_string(ctx, name, object, "product_id", pool, &item->product_id);
}

static fb_status read_split(fb_context *ctx, const char *name, const json_t *object,
                            fb_split *split)
{
    const json_t *member = json_object_get(object, "split");
    *split = FB_SPLIT_TRAIN;
    if (!member || json_is_null(member))
        return FB_OK;
    if (!json_is_string(member))
        return fb_fail(ctx, FB_E_FORMAT, "%s: \"split\" must be a string", name);
    if (fb_split_parse(NULL, json_string_value(member), split) != FB_OK)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: split \"%.64s\" is none of train, val, test", name,
                       json_string_value(member));
    return FB_OK;
}

static fb_status read_queries(fb_context *ctx, const char *name, const json_t *object,
                              fb_string_pool *pool, fb_catalogue_item *item)
{
    json_t *member = json_object_get(object, "queries");
    if (!member || json_is_null(member))
        return FB_OK;
    size_t count = json_is_array(member) ? json_array_size(member) : 1;
    const char **queries = fb_arena_alloc(pool->arena, count * sizeof *queries);
    if (!queries)
        return fail_memory(ctx, name);
    for (size_t i = 0; i < count; i++) {
        json_t *query = json_is_array(member) ? json_array_get(member, i) : member;
        if (!json_is_string(query))
            return fb_fail(ctx, FB_E_FORMAT,
                           "%s: \"queries\" must be a string or an array of strings",
                           name);
        queries[i] = fb_string_pool_copy(pool, json_string_value(query),
                                         json_string_length(query));
        if (!queries[i])
            return fail_memory(ctx, name);
    }
    item->queries = queries;
    item->query_count = (int32_t)count;
    return FB_OK;
}

/* A string as it is, anything else as compact JSON. */
static const char *attribute_text(fb_string_pool *pool, const json_t *value)
{
    if (json_is_string(value))
        return fb_string_pool_copy(pool, json_string_value(value),
                                   json_string_length(value));
    char *dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    const char *text =
        dumped ? fb_string_pool_copy(pool, dumped, strlen(dumped)) : NULL;
    free(dumped);
    return text;
}

static fb_status read_attributes(fb_context *ctx, const char *name, json_t *object,
                                 fb_string_pool *pool, fb_catalogue_item *item)
{
    size_t room = 2 * json_object_size(object), used = 0;
    const char **attributes = fb_arena_alloc(pool->arena, room * sizeof *attributes);
    if (!attributes)
        return fail_memory(ctx, name);
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (is_known(key) || json_is_null(value))
            continue;
        attributes[used] = fb_string_pool_copy(pool, key, strlen(key));
        attributes[used + 1] = attribute_text(pool, value);
        if (!attributes[used] || !attributes[used + 1])
            return fail_memory(ctx, name);
        used += 2;
    }
    item->attributes = attributes;
    item->attribute_count = (int32_t)(used / 2);
    return FB_OK;
}

static fb_status read_object(fb_context *ctx, const char *name, json_t *object,
                             fb_string_pool *pool, fb_catalogue_row *row)
{
    fb_catalogue_item *item = &row->item;
    if (!json_is_object(object))
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: not a JSON object; every line is one, "
                       "{\"file_name\": ..., \"title\": ...}",
                       name);
    FB_TRY(read_required(ctx, name, object, "file_name", pool, &item->file_name));
    if (!fb_path_is_inside(item->file_name))
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: file_name \"%s\" %s; it must be a path below the "
                       "catalogue's folder without \"..\", each part with a name",
                       name, item->file_name,
                       fb_path_leaves(item->file_name) ? "leaves the folder"
                                                       : "has a part without a name");
    FB_TRY(read_required(ctx, name, object, "title", pool, &item->title));
    FB_TRY(read_product_id(ctx, name, object, pool, item));
    FB_TRY(read_split(ctx, name, object, &item->split));
    item->description = "";
    FB_TRY(read_string(ctx, name, object, "description", pool, &item->description));
    for (int32_t i = 0; i < FB_CATEGORY_LEVELS; i++) {
        FB_TRY(read_string(ctx, name, object, fb_category_fields[i], pool,
                           &row->category[i]));
        if (row->category[i] && is_blank(row->category[i]))
            row->category[i] = NULL;
    }
    FB_TRY(read_queries(ctx, name, object, pool, item));
    return read_attributes(ctx, name, object, pool, item);
}

fb_status fb_catalogue_row_read(fb_context *ctx, const char *name, const char *text,
                                size_t size_bytes, fb_string_pool *pool,
                                fb_catalogue_row *row)
{
    if (size_bytes > FB_METADATA_LINE_BYTES_MAX)
        return fb_fail(ctx, FB_E_LIMIT,
                       "%s: a line of %zu bytes, at most %d are allowed", name,
                       size_bytes, FB_METADATA_LINE_BYTES_MAX);
    json_t *object = NULL;
    FB_TRY(fb_json_parse(ctx, name, text, size_bytes, &object));
    fb_catalogue_row fresh = {0};
    fb_status status = read_object(ctx, name, object, pool, &fresh);
    json_decref(object);
    if (status == FB_OK)
        *row = fresh;
    return status;
}

char *fb_title_normalise(const char *title)
{
    size_t size = strlen(title);
    /* A letter may be longer in lower case: at most 4 bytes for each byte. */
    char *out = malloc(4 * size + 1);
    if (!out)
        return NULL;
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)title, *end = at + size;
    char *to = out;
    bool gap = false;
    while (at < end) {
        utf8proc_int32_t point;
        utf8proc_ssize_t length = utf8proc_iterate(at, end - at, &point);
        if (length <= 0) { /* not UTF-8: the byte as it is */
            *to++ = (char)*at++;
            continue;
        }
        at += length;
        utf8proc_category_t kind = utf8proc_category(point);
        if ((point >= '\t' && point <= '\r') || kind == UTF8PROC_CATEGORY_ZS ||
            kind == UTF8PROC_CATEGORY_ZL || kind == UTF8PROC_CATEGORY_ZP) {
            gap = to != out;
            continue;
        }
        if (gap)
            *to++ = ' ';
        gap = false;
        to += utf8proc_encode_char(utf8proc_tolower(point), (utf8proc_uint8_t *)to);
    }
    *to = 0;
    return out;
}

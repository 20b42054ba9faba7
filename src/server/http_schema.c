/* http_schema.c - checking a body against its schema; see http_schema.h. */
#include "server/http_schema.h"

#include "base/base64.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the form -------------------------------------------------------------------- */

void fb_form_free(fb_form *form)
{
    json_decref(form->fields);
    for (int32_t i = 0; i < form->blob_count; i++)
        if (form->blobs[i].owned)
            free(form->blobs[i].bytes);
    free(form->blobs);
    *form = (fb_form){0};
}

fb_status fb_form_add_blob(fb_context *ctx, fb_form *form, fb_blob blob,
                           int64_t *number)
{
    if (form->blob_count == form->blob_capacity) {
        int32_t capacity = form->blob_capacity ? 2 * form->blob_capacity : 4;
        fb_blob *more = realloc(form->blobs, (size_t)capacity * sizeof *more);
        if (!more) {
            if (blob.owned)
                free(blob.bytes);
            return fb_fail(ctx, FB_E_MEMORY, "no memory for an image");
        }
        form->blobs = more;
        form->blob_capacity = capacity;
    }
    *number = form->blob_count;
    form->blobs[form->blob_count++] = blob;
    return FB_OK;
}

void fb_form_string(const fb_form *form, const char *name, const char **value)
{
    const json_t *member = json_object_get(form->fields, name);
    if (json_is_string(member))
        *value = json_string_value(member);
}

void fb_form_int(const fb_form *form, const char *name, int32_t *value)
{
    const json_t *member = json_object_get(form->fields, name);
    if (json_is_integer(member))
        *value = (int32_t)json_integer_value(member);
}

void fb_form_double(const fb_form *form, const char *name, double *value)
{
    const json_t *member = json_object_get(form->fields, name);
    if (json_is_number(member))
        *value = json_number_value(member);
}

void fb_form_bool(const fb_form *form, const char *name, bool *value)
{
    const json_t *member = json_object_get(form->fields, name);
    if (json_is_boolean(member))
        *value = json_is_true(member);
}

const fb_blob *fb_form_blob(const fb_form *form, const json_t *value)
{
    if (!json_is_integer(value))
        return NULL;
    json_int_t number = json_integer_value(value);
    return number >= 0 && number < form->blob_count ? &form->blobs[number] : NULL;
}

/* ---- checking -------------------------------------------------------------------- */

typedef struct checker {
    fb_context *ctx;
    fb_form *form;
    bool from_parts;
    char path[192];
} checker;

static fb_status check_value(checker *c, const fb_schema *schema, json_t *value,
                             json_t **instead);

/* Go down to `name`, shown shortened; returns where to come back to. */
static size_t go_down(checker *c, const char *name)
{
    size_t length = strlen(c->path);
    snprintf(c->path + length, sizeof c->path - length, "%s%.40s", length ? "." : "",
             name);
    return length;
}

static size_t go_to_item(checker *c, size_t number)
{
    size_t length = strlen(c->path);
    snprintf(c->path + length, sizeof c->path - length, "[%zu]", number);
    return length;
}

static const char *type_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        return "null";
    default:
        return json_is_true(value) ? "true" : "false";
    }
}

static fb_status wrong_type(checker *c, const char *right, const json_t *value)
{
    return fb_fail(c->ctx, FB_E_USAGE, "%s must be %s, not %s",
                   c->path[0] ? c->path : "the body", right, type_of(value));
}

static const char *place(const checker *c)
{
    return c->path[0] ? c->path : "the body";
}

static int64_t count_characters(const char *text)
{
    int64_t count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

static bool is_chosen(const char *choices, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = choices; *at;) {
        size_t n = strcspn(at, ",");
        if (n == length && strncmp(at, word, n) == 0)
            return true;
        at += n + (at[n] == ',');
    }
    return false;
}

static fb_status check_string(checker *c, const fb_schema *schema, const json_t *value)
{
    if (!json_is_string(value))
        return wrong_type(c, "a string", value);
    int64_t length = count_characters(json_string_value(value));
    if ((double)length < schema->low ||
        (schema->high > 0 && (double)length > schema->high))
        return fb_fail(c->ctx, FB_E_USAGE,
                       "%s must have %.0f to %.0f characters, it has %lld", place(c),
                       schema->low, schema->high, (long long)length);
    if (schema->choices && !is_chosen(schema->choices, json_string_value(value)))
        return fb_fail(c->ctx, FB_E_USAGE, "%s must be one of %s", place(c),
                       schema->choices);
    return FB_OK;
}

static fb_status check_number(checker *c, const fb_schema *schema, const json_t *value,
                              json_t **instead)
{
    bool whole = schema->type == FB_SCHEMA_INTEGER;
    double number = json_number_value(value);
    if (!json_is_number(value))
        return wrong_type(c, whole ? "a whole number" : "a number", value);
    if (!(number >= schema->low && number <= schema->high) ||
        (whole && number != floor(number)))
        return fb_fail(c->ctx, FB_E_USAGE, "%s must be a %snumber from %g to %g",
                       place(c), whole ? "whole " : "", schema->low, schema->high);
    if (whole && json_is_real(value))
        *instead = json_integer((json_int_t)number);
    return FB_OK;
}

static fb_status check_image(checker *c, const json_t *value, json_t **instead)
{
    if (c->from_parts && json_is_integer(value))
        return FB_OK;
    if (!json_is_string(value))
        return wrong_type(c, "the base64 of a JPEG, PNG or WebP image", value);
    size_t length = json_string_length(value);
    fb_blob blob = {.bytes = malloc(fb_base64_room(length) + 1), .owned = true};
    int64_t number = 0;
    if (!blob.bytes)
        return fb_fail(c->ctx, FB_E_MEMORY, "no memory for an image");
    if (!fb_base64_decode(json_string_value(value), length, blob.bytes,
                          &blob.size_bytes)) {
        free(blob.bytes);
        return fb_fail(c->ctx, FB_E_FORMAT,
                       "%s is no base64 (RFC 4648, with its padding, without spaces)",
                       place(c));
    }
    FB_TRY(fb_form_add_blob(c->ctx, c->form, blob, &number));
    *instead = json_integer((json_int_t)number);
    return *instead ? FB_OK : fb_fail(c->ctx, FB_E_MEMORY, "no memory for an image");
}

static fb_status check_count(checker *c, const fb_schema *schema, size_t count,
                             const char *what)
{
    if ((double)count >= schema->low &&
        (schema->high <= 0 || (double)count <= schema->high))
        return FB_OK;
    return fb_fail(c->ctx, FB_E_USAGE, "%s must have %.0f to %.0f %s, it has %zu",
                   place(c), schema->low, schema->high, what, count);
}

static fb_status check_array(checker *c, const fb_schema *schema, json_t *value)
{
    if (!json_is_array(value))
        return wrong_type(c, "an array", value);
    FB_TRY(check_count(c, schema, json_array_size(value), "entries"));
    for (size_t i = 0; i < json_array_size(value); i++) {
        size_t back = go_to_item(c, i);
        json_t *instead = NULL;
        FB_TRY(check_value(c, schema->items, json_array_get(value, i), &instead));
        if (instead)
            json_array_set_new(value, i, instead);
        c->path[back] = 0;
    }
    return FB_OK;
}

static fb_status check_strings(checker *c, const fb_schema *schema, json_t *value)
{
    if (json_is_string(value))
        return check_string(c, schema, value);
    if (!json_is_array(value))
        return wrong_type(c, "a string or an array of strings", value);
    if (json_array_size(value) == 0)
        return fb_fail(c->ctx, FB_E_USAGE, "%s is an empty array", place(c));
    for (size_t i = 0; i < json_array_size(value); i++) {
        size_t back = go_to_item(c, i);
        FB_TRY(check_string(c, schema, json_array_get(value, i)));
        c->path[back] = 0;
    }
    return FB_OK;
}

const fb_schema_field *fb_schema_find(const fb_schema *object, const char *name)
{
    for (int32_t i = 0; i < object->field_count; i++)
        if (strcmp(object->fields[i].name, name) == 0)
            return &object->fields[i];
    return NULL;
}

static fb_status unknown_field(checker *c, const fb_schema *schema, const char *name)
{
    char known[400] = "";
    size_t length = 0;
    for (int32_t i = 0; i < schema->field_count && length < sizeof known; i++)
        length += (size_t)snprintf(known + length, sizeof known - length, "%s%s",
                                   i ? ", " : "", schema->fields[i].name);
    return fb_fail(c->ctx, FB_E_USAGE, "%s has an unknown field \"%.60s\"; known: %s",
                   place(c), name, known);
}

/* "text,image": one of them must be there. */
static fb_status check_any_of(checker *c, const fb_schema *schema, const json_t *value)
{
    int32_t there = 0;
    if (!schema->any_of)
        return FB_OK;
    for (int32_t i = 0; i < schema->field_count; i++)
        there += json_object_get(value, schema->fields[i].name) &&
                 is_chosen(schema->any_of, schema->fields[i].name);
    if (there == 0)
        return fb_fail(c->ctx, FB_E_USAGE, "%s lacks one of the fields %s", place(c),
                       schema->any_of);
    if (there > 1 && schema->only_one)
        return fb_fail(c->ctx, FB_E_USAGE, "%s may have one of the fields %s, not more",
                       place(c), schema->any_of);
    return FB_OK;
}

static fb_status check_object(checker *c, const fb_schema *schema, json_t *value)
{
    if (!json_is_object(value))
        return wrong_type(c, "an object", value);
    const char *name;
    json_t *member;
    void *next; /* the object changes while it is walked, in place only */
    json_object_foreach_safe(value, next, name, member)
    {
        const fb_schema_field *field = fb_schema_find(schema, name);
        if (!field)
            return unknown_field(c, schema, name);
        size_t back = go_down(c, name);
        json_t *instead = NULL;
        FB_TRY(check_value(c, field->schema, member, &instead));
        if (instead)
            json_object_set_new(value, name, instead);
        c->path[back] = 0;
    }
    for (int32_t i = 0; i < schema->field_count; i++)
        if (schema->fields[i].required &&
            !json_object_get(value, schema->fields[i].name))
            return fb_fail(c->ctx, FB_E_USAGE, "%s lacks the field \"%s\"", place(c),
                           schema->fields[i].name);
    return check_any_of(c, schema, value);
}

static fb_status check_map(checker *c, const fb_schema *schema, json_t *value)
{
    if (!json_is_object(value))
        return wrong_type(c, "an object", value);
    FB_TRY(check_count(c, schema, json_object_size(value), "entries"));
    const char *name;
    json_t *member;
    json_object_foreach(value, name, member)
    {
        size_t back = go_down(c, name);
        json_t *instead = NULL;
        FB_TRY(check_value(c, schema->items, member, &instead));
        json_decref(instead); /* maps hold strings, which stay as they are */
        c->path[back] = 0;
    }
    return FB_OK;
}

/* *instead: a new value to put in its place; NULL: it stays. */
static fb_status check_value(checker *c, const fb_schema *schema, json_t *value,
                             json_t **instead)
{
    if (schema->nullable && json_is_null(value))
        return FB_OK;
    switch (schema->type) {
    case FB_SCHEMA_OBJECT:
        return check_object(c, schema, value);
    case FB_SCHEMA_MAP:
        return check_map(c, schema, value);
    case FB_SCHEMA_ARRAY:
        return check_array(c, schema, value);
    case FB_SCHEMA_STRING:
        return check_string(c, schema, value);
    case FB_SCHEMA_STRINGS:
        return check_strings(c, schema, value);
    case FB_SCHEMA_INTEGER:
    case FB_SCHEMA_NUMBER:
        return check_number(c, schema, value, instead);
    case FB_SCHEMA_BOOLEAN:
        return json_is_boolean(value) ? FB_OK : wrong_type(c, "true or false", value);
    case FB_SCHEMA_IMAGE:
        return check_image(c, value, instead);
    }
    return fb_fail(c->ctx, FB_E_STATE, "a schema of an unknown type");
}

fb_status fb_schema_check(fb_context *ctx, const fb_schema *schema, fb_form *form,
                          bool from_parts)
{
    checker c = {.ctx = ctx, .form = form, .from_parts = from_parts};
    json_t *instead = NULL;
    fb_status status = check_value(&c, schema, form->fields, &instead);
    json_decref(instead); /* a body is an object, which stays */
    return status;
}

/* openapi.c - see openapi.h. A schema with a name is written once, under components,
 * and referred to; in multipart it is written in place, because an image is another
 * thing there.
 *
 * The description is built as a jansson tree. Functions that make one return NULL when
 * memory is out, and jansson's setters fail on NULL and pass it on, so one look at the
 * whole at the end is enough.
 */
#include "server/openapi.h"

#include "server/http_bodies.h"
#include "server/routes.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifndef FB_VERSION
#define FB_VERSION "0"
#endif

typedef enum where { IN_JSON, IN_PARTS, IN_FULL } where; /* full: no reference to it */

typedef struct writer {
    json_t *schemas; /* under components */
    bool failed;
} writer;

static json_t *schema_of(writer *w, const fb_schema *schema, where place);

static void put(writer *w, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        w->failed = true;
}

static void put_text(writer *w, json_t *object, const char *key, const char *text)
{
    put(w, object, key, json_string(text));
}

static void append(writer *w, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        w->failed = true;
}

/* "a,b" -> ["a", "b"] */
static json_t *words(writer *w, const char *list)
{
    json_t *array = json_array();
    for (const char *at = list; *at;) {
        size_t n = strcspn(at, ",");
        append(w, array, json_stringn(at, n));
        at += n + (at[n] == ',');
    }
    return array;
}

static json_t *number(double value)
{
    return value == floor(value) ? json_integer((json_int_t)value) : json_real(value);
}

/* ---- schemas --------------------------------------------------------------------- */

static void put_type(writer *w, json_t *out, const fb_schema *schema, const char *type)
{
    char both[32];
    snprintf(both, sizeof both, "%s,null", type);
    put(w, out, "type", schema->nullable ? words(w, both) : json_string(type));
}

static void put_limits(writer *w, json_t *out, const fb_schema *schema, const char *low,
                       const char *high)
{
    if (schema->low > 0)
        put(w, out, low, number(schema->low));
    if (schema->high > 0)
        put(w, out, high, number(schema->high));
}

static void put_string(writer *w, json_t *out, const fb_schema *schema)
{
    put_type(w, out, schema, "string");
    if (schema->choices) {
        put(w, out, "enum", words(w, schema->choices));
        return;
    }
    put_limits(w, out, schema, "minLength", "maxLength");
    if (schema->high > 0) /* of what comes in: the program's strings end at a 0 */
        put_text(w, out, "pattern", "^[^\\u0000]*$");
}

static void put_number(writer *w, json_t *out, const fb_schema *schema)
{
    put_type(w, out, schema, schema->type == FB_SCHEMA_INTEGER ? "integer" : "number");
    if (schema->high >= 1e300)
        return;
    put(w, out, "minimum", number(schema->low));
    put(w, out, "maximum", number(schema->high));
}

static void put_image(writer *w, json_t *out, where place)
{
    put_text(w, out, "type", "string");
    put_text(w, out, "format", place == IN_PARTS ? "binary" : "image-base64");
    if (place == IN_PARTS)
        return;
    put_text(w, out, "contentEncoding", "base64");
    put_text(w, out, "contentMediaType", "image/*");
}

static void put_strings(writer *w, json_t *out, const fb_schema *schema)
{
    fb_schema one = *schema;
    one.type = FB_SCHEMA_STRING;
    fb_schema many = {.type = FB_SCHEMA_ARRAY, .low = 1, .items = &one};
    json_t *either = json_array();
    append(w, either, schema_of(w, &one, IN_JSON));
    append(w, either, schema_of(w, &many, IN_JSON));
    put(w, out, "anyOf", either);
}

static json_t *field_of(writer *w, const fb_schema_field *field, where place)
{
    json_t *out = schema_of(w, field->schema, place);
    if (field->help[0])
        put_text(w, out, "description", field->help);
    if (field->otherwise)
        put(w, out, "default", json_loads(field->otherwise, JSON_DECODE_ANY, NULL));
    if (field->example) {
        json_t *examples = json_array();
        append(w, examples, json_loads(field->example, JSON_DECODE_ANY, NULL));
        put(w, out, "examples", examples);
    }
    return out;
}

static void put_object(writer *w, json_t *out, const fb_schema *schema, where place)
{
    json_t *properties = json_object(), *required = json_array(),
           *either = json_array();
    put_type(w, out, schema, "object");
    for (int32_t i = 0; i < schema->field_count; i++) {
        const fb_schema_field *field = &schema->fields[i];
        put(w, properties, field->name, field_of(w, field, place));
        if (field->required)
            append(w, required, json_string(field->name));
    }
    json_t *one_of = schema->any_of ? words(w, schema->any_of) : NULL;
    for (size_t i = 0; i < json_array_size(one_of); i++) {
        json_t *choice = json_object();
        put(w, choice, "required",
            words(w, json_string_value(json_array_get(one_of, i))));
        append(w, either, choice);
    }
    json_decref(one_of);
    put(w, out, "properties", properties);
    put(w, out, "additionalProperties", json_false());
    if (json_array_size(required))
        put(w, out, "required", json_incref(required));
    if (json_array_size(either))
        put(w, out, schema->only_one ? "oneOf" : "anyOf", json_incref(either));
    json_decref(required);
    json_decref(either);
}

static void put_array(writer *w, json_t *out, const fb_schema *schema, where place)
{
    put_type(w, out, schema, "array");
    put(w, out, "items", schema_of(w, schema->items, place));
    put_limits(w, out, schema, "minItems", "maxItems");
}

static void put_map(writer *w, json_t *out, const fb_schema *schema)
{
    put_type(w, out, schema, "object");
    put(w, out, "additionalProperties", schema_of(w, schema->items, IN_JSON));
    put_limits(w, out, schema, "minProperties", "maxProperties");
}

/* {"$ref": ...} to a schema of components, which it puts there the first time. */
static json_t *reference(writer *w, const fb_schema *schema)
{
    char path[128];
    json_t *out = json_object();
    snprintf(path, sizeof path, "#/components/schemas/%s", schema->name);
    put_text(w, out, "$ref", path);
    if (!json_object_get(w->schemas, schema->name)) {
        put(w, w->schemas, schema->name, json_object()); /* its place in the order */
        put(w, w->schemas, schema->name, schema_of(w, schema, IN_FULL));
    }
    return out;
}

static json_t *schema_of(writer *w, const fb_schema *schema, where place)
{
    if (schema->name && place == IN_JSON)
        return reference(w, schema);
    json_t *out = json_object();
    place = place == IN_FULL ? IN_JSON : place;
    switch (schema->type) {
    case FB_SCHEMA_OBJECT:
        put_object(w, out, schema, place);
        break;
    case FB_SCHEMA_MAP:
        put_map(w, out, schema);
        break;
    case FB_SCHEMA_ARRAY:
        put_array(w, out, schema, place);
        break;
    case FB_SCHEMA_STRING:
        put_string(w, out, schema);
        break;
    case FB_SCHEMA_STRINGS:
        put_strings(w, out, schema);
        break;
    case FB_SCHEMA_INTEGER:
    case FB_SCHEMA_NUMBER:
        put_number(w, out, schema);
        break;
    case FB_SCHEMA_BOOLEAN:
        put_type(w, out, schema, "boolean");
        break;
    case FB_SCHEMA_IMAGE:
        put_image(w, out, place);
        break;
    }
    return out;
}

/* ---- routes ---------------------------------------------------------------------- */

static void put_media(writer *w, json_t *content, const char *type, json_t *schema)
{
    json_t *media = json_object();
    put(w, media, "schema", schema);
    put(w, content, type, media);
}

static json_t *body_of(writer *w, const fb_schema *schema)
{
    json_t *out = json_object(), *content = json_object();
    put_media(w, content, "application/json", schema_of(w, schema, IN_JSON));
    put_media(w, content, "multipart/form-data", schema_of(w, schema, IN_PARTS));
    put(w, out, "required", json_true());
    put(w, out, "content", content);
    return out;
}

static json_t *header_of(writer *w, const char *help, const char *type)
{
    json_t *out = json_object(), *schema = json_object();
    put_text(w, out, "description", help);
    put_text(w, schema, "type", type);
    put(w, out, "schema", schema);
    return out;
}

static json_t *response(writer *w, const char *help, const char *type, json_t *schema,
                        bool retry)
{
    json_t *out = json_object(), *content = json_object(), *headers = json_object();
    put_text(w, out, "description", help);
    put(w, headers, "X-Request-Id",
        header_of(w, "The request's own, where it had a harmless one", "string"));
    if (retry)
        put(w, headers, "Retry-After", header_of(w, "Seconds", "integer"));
    put(w, out, "headers", headers);
    put_media(w, content, type, schema);
    put(w, out, "content", content);
    return out;
}

static json_t *any_of_type(writer *w, const char *type)
{
    json_t *out = json_object();
    put_text(w, out, "type", type);
    return out;
}

static json_t *responses_of(writer *w, const fb_route *route)
{
    static const struct {
        int32_t status;
        const char *help;
    } errors[] = {
#define ROW(status, code, help) {status, help},
        FB_HTTP_ERROR_MAP(ROW)
#undef ROW
    };
    json_t *out = json_object(), *wanted = words(w, route->errors ? route->errors : "");
    bool text = route->answer_type && route->answer_type[0] == 't';
    json_t *schema = route->answer ? schema_of(w, route->answer, IN_JSON)
                     : text        ? any_of_type(w, "string")
                                   : json_object();
    put(w, out, "200",
        response(w, "Done", route->answer ? "application/json" : route->answer_type,
                 schema, false));
    for (size_t i = 0; i < json_array_size(wanted); i++)
        for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++) {
            const char *status = json_string_value(json_array_get(wanted, i));
            if (strtol(status, NULL, 10) == errors[e].status)
                put(w, out, status,
                    response(w, errors[e].help, "application/json",
                             schema_of(w, &fb_error_answer, IN_JSON),
                             errors[e].status == 429));
        }
    json_decref(wanted);
    return out;
}

static json_t *parameters_of(writer *w)
{
    json_t *list = json_array(), *id = json_object(), *schema = json_object();
    put_text(w, schema, "type", "string");
    put(w, schema, "minLength", json_integer(1));
    put_text(w, schema, "pattern", "^[^\\u0000]+$");
    put_text(w, id, "name", "id");
    put_text(w, id, "in", "path");
    put_text(w, id, "description", "product_id; a / in it is written %2F");
    put(w, id, "required", json_true());
    put(w, id, "schema", schema);
    append(w, list, id);
    return list;
}

static json_t *operation_of(writer *w, const fb_route *route)
{
    json_t *out = json_object();
    put_text(w, out, "operationId", route->name);
    put_text(w, out, "summary", route->summary);
    if (strstr(route->path, "{id}"))
        put(w, out, "parameters", parameters_of(w));
    if (route->request)
        put(w, out, "requestBody", body_of(w, route->request));
    put(w, out, "responses", responses_of(w, route));
    if (route->open)
        put(w, out, "security", json_array());
    return out;
}

static json_t *paths_of(writer *w)
{
    json_t *paths = json_object();
    for (int32_t i = 0; i < fb_route_count; i++) {
        const fb_route *route = &fb_routes[i];
        if (route->hidden)
            continue;
        json_t *path = json_object();
        put(w, path, route->method[0] == 'G' ? "get" : "post", operation_of(w, route));
        put(w, paths, route->path, path);
    }
    return paths;
}

/* ---- the whole ------------------------------------------------------------------- */

static json_t *info_of(writer *w)
{
    json_t *out = json_object(), *license = json_object();
    put_text(w, out, "title", "fashionbert");
    put_text(w, out, "version", FB_VERSION);
    put_text(w, out, "summary", "Text and image search over a product catalogue");
    put_text(w, license, "name", "Apache-2.0");
    put_text(w, license, "identifier", "Apache-2.0");
    put(w, out, "license", license);
    return out;
}

/* Either the key, or nothing where the server asks for none. */
static void put_security(writer *w, json_t *out, json_t *components)
{
    json_t *schemes = json_object(), *key = json_object();
    json_t *security = json_array(), *with = json_object();
    put_text(w, key, "type", "http");
    put_text(w, key, "scheme", "bearer");
    put_text(w, key, "description", "Only where the server was given an API key");
    put(w, schemes, "key", key);
    put(w, components, "securitySchemes", schemes);
    put(w, with, "key", json_array());
    append(w, security, json_object());
    append(w, security, with);
    put(w, out, "security", security);
}

fb_status fb_openapi_write(fb_context *ctx, char **text, size_t *bytes)
{
    writer w = {.schemas = json_object()};
    json_t *out = json_object(), *components = json_object();
    put_text(&w, out, "openapi", "3.1.0");
    put(&w, out, "info", info_of(&w));
    put(&w, out, "paths", paths_of(&w));
    put(&w, components, "schemas", w.schemas);
    put_security(&w, out, components);
    put(&w, out, "components", components);
    char *written = w.failed ? NULL : json_dumps(out, JSON_COMPACT);
    json_decref(out);
    if (!written)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for openapi.json");
    *text = written;
    *bytes = strlen(written);
    return FB_OK;
}

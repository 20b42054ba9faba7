/* http_form.c - see http_form.h. The multipart grammar (RFC 7578, RFC 2046):
 *
 *     preamble --BOUNDARY CRLF
 *     Content-Disposition: form-data; name="text" CRLF ... CRLF CRLF
 *     bytes CRLF --BOUNDARY CRLF ... CRLF --BOUNDARY--
 */
#include "server/http_form.h"

#include "base/ascii.h"
#include "server/http_bodies.h"

#include <string.h>

/* ---- Content-Type ---------------------------------------------------------------- */

static const char *skip_spaces(const char *text)
{
    return text + strspn(text, " \t");
}

/* The value of a parameter, quoted or not, into out (NULL: passed over); returns what
 * is behind it, NULL when it is broken or does not fit. */
static const char *read_parameter(const char *text, char *out, size_t out_bytes)
{
    size_t n = 0;
    bool quoted = *text == '"';
    text += quoted;
    while (*text && (quoted ? *text != '"' : !strchr("; \t", *text))) {
        if (quoted && *text == '\\' && text[1])
            text++;
        if (out && n + 1 >= out_bytes)
            return NULL;
        if (out)
            out[n++] = *text;
        text++;
    }
    if (out)
        out[n] = 0;
    if (quoted && *text++ != '"')
        return NULL;
    return skip_spaces(text);
}

/* The parameter `name` of "type; a=b; c=d" into out; false: not there, or broken. */
static bool find_parameter(const char *header, const char *name, char *out,
                           size_t out_bytes)
{
    size_t length = strlen(name);
    const char *at = header + strcspn(header, ";");
    while (at && *at == ';') {
        at = skip_spaces(at + 1);
        bool wanted =
            fb_ascii_compare_start(at, name, length) == 0 && at[length] == '=';
        at += strcspn(at, "=;");
        if (*at != '=')
            continue;
        at = read_parameter(at + 1, wanted ? out : NULL, out_bytes);
        if (wanted)
            return at != NULL;
    }
    return false;
}

static bool is_type(const char *header, const char *type)
{
    size_t length = strlen(type);
    return fb_ascii_compare_start(header, type, length) == 0 &&
           strchr("; \t", header[length]);
}

fb_media fb_media_parse(const char *content_type, char boundary[FB_BOUNDARY_BYTES])
{
    char charset[16];
    if (!content_type)
        return FB_MEDIA_OTHER;
    if (is_type(content_type, "application/json"))
        return find_parameter(content_type, "charset", charset, sizeof charset) &&
                       fb_ascii_compare(charset, "utf-8") != 0
                   ? FB_MEDIA_OTHER
                   : FB_MEDIA_JSON;
    if (is_type(content_type, "multipart/form-data") &&
        find_parameter(content_type, "boundary", boundary, FB_BOUNDARY_BYTES) &&
        boundary[0])
        return FB_MEDIA_MULTIPART;
    return FB_MEDIA_OTHER;
}

/* ---- parts ----------------------------------------------------------------------- */

typedef struct reader {
    fb_context *ctx;
    fb_form *form;
    const fb_schema *schema;
    uint8_t *at, *end;
    char delimiter[FB_BOUNDARY_BYTES + 4]; /* CRLF--BOUNDARY */
    size_t delimiter_bytes;
} reader;

static fb_status broken(const reader *r, const char *why)
{
    return fb_fail(r->ctx, FB_E_FORMAT, "the body is not multipart/form-data: %s", why);
}

/* A part's name, out of its header lines [bytes, size). */
static fb_status read_name(const reader *r, const uint8_t *bytes, size_t size,
                           char name[64])
{
    static const char wanted[] = "content-disposition:";
    char lines[FB_PART_HEADER_BYTES + 1];
    if (size > FB_PART_HEADER_BYTES || memchr(bytes, 0, size))
        return broken(r, "the headers of a part are too long or hold a 0 byte");
    memcpy(lines, bytes, size);
    lines[size] = 0;
    for (char *line = lines, *next; line; line = next) {
        next = strstr(line, "\r\n");
        if (next) {
            *next = 0;
            next += 2;
        }
        if (fb_ascii_compare_start(line, wanted, sizeof wanted - 1) != 0)
            continue;
        const char *value = skip_spaces(line + sizeof wanted - 1);
        if (!is_type(value, "form-data") || !find_parameter(value, "name", name, 64))
            return broken(r, "a part has no name, or one of more than 63 bytes");
        return FB_OK;
    }
    return broken(r, "a part has no Content-Disposition");
}

/* The JSON value that a part of this schema stands for; an image becomes a blob. */
static fb_status convert(const reader *r, const fb_schema *schema, const char *name,
                         uint8_t *bytes, size_t size, json_t **value)
{
    int64_t number = 0;
    switch (schema->type) {
    case FB_SCHEMA_IMAGE:
        FB_TRY(
            fb_form_add_blob(r->ctx, r->form, (fb_blob){bytes, size, false}, &number));
        *value = json_integer((json_int_t)number);
        break;
    case FB_SCHEMA_STRING:
    case FB_SCHEMA_STRINGS:
        if (memchr(bytes, 0, size))
            return fb_fail(r->ctx, FB_E_USAGE, "%s holds a 0 byte", name);
        *value = json_stringn((const char *)bytes, size);
        if (!*value)
            return fb_fail(r->ctx, FB_E_USAGE, "%s is not UTF-8", name);
        break;
    default:
        return fb_json_parse_few(r->ctx, name, (const char *)bytes, size,
                                 FB_MOST_VALUES, value);
    }
    return *value ? FB_OK : fb_fail(r->ctx, FB_E_MEMORY, "no memory for a part");
}

static fb_status append(const reader *r, const char *name, json_t *value)
{
    json_t *list = json_object_get(r->form->fields, name);
    if (!list) {
        list = json_array();
        if (json_object_set_new(r->form->fields, name, list) != 0)
            list = NULL; /* it is freed */
    }
    if (!list)
        json_decref(value);
    if (!list || json_array_append_new(list, value) != 0)
        return fb_fail(r->ctx, FB_E_MEMORY, "no memory for a part");
    return FB_OK;
}

static fb_status add_part(const reader *r, const char *name, uint8_t *bytes,
                          size_t size)
{
    const fb_schema_field *field = fb_schema_find(r->schema, name);
    if (!field)
        return fb_fail(r->ctx, FB_E_USAGE, "the body has an unknown field \"%s\"",
                       name);
    bool many = field->schema->type == FB_SCHEMA_ARRAY ||
                field->schema->type == FB_SCHEMA_STRINGS;
    json_t *value = NULL;
    const fb_schema *one =
        field->schema->type == FB_SCHEMA_ARRAY ? field->schema->items : field->schema;
    FB_TRY(convert(r, one, name, bytes, size, &value));
    if (many)
        return append(r, name, value);
    if (json_object_get(r->form->fields, name)) {
        json_decref(value);
        return fb_fail(r->ctx, FB_E_USAGE, "%s is there more than once", name);
    }
    if (json_object_set_new(r->form->fields, name, value) != 0)
        return fb_fail(r->ctx, FB_E_MEMORY, "no memory for a part");
    return FB_OK;
}

static uint8_t *find(const reader *r, const uint8_t *from, const char *what,
                     size_t size)
{
    return memmem(from, (size_t)(r->end - from), what, size);
}

/* Behind a delimiter: the end, or a part to come. */
static fb_status end_delimiter(reader *r, bool *last)
{
    *last = r->end - r->at >= 2 && memcmp(r->at, "--", 2) == 0;
    if (*last)
        return FB_OK;
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t'))
        r->at++;
    if (r->end - r->at < 2 || memcmp(r->at, "\r\n", 2) != 0)
        return broken(r, "no line end behind a boundary");
    r->at += 2;
    return FB_OK;
}

static fb_status read_part(reader *r)
{
    char name[64];
    uint8_t *blank = find(r, r->at, "\r\n\r\n", 4);
    if (!blank)
        return broken(r, "the headers of a part do not end");
    FB_TRY(read_name(r, r->at, (size_t)(blank - r->at), name));
    uint8_t *bytes = blank + 4;
    /* Of an empty part, the delimiter's line end may be the blank line's own. */
    uint8_t *stop = find(r, bytes - 2, r->delimiter, r->delimiter_bytes);
    if (!stop)
        return broken(r, "a part does not end with the boundary");
    size_t size = stop < bytes ? 0 : (size_t)(stop - bytes);
    r->at = stop + r->delimiter_bytes;
    return add_part(r, name, bytes, size);
}

static fb_status read_multipart(reader *r, const char *boundary)
{
    r->delimiter_bytes =
        (size_t)snprintf(r->delimiter, sizeof r->delimiter, "\r\n--%s", boundary);
    size_t opening = r->delimiter_bytes - 2; /* the first needs no line end before it */
    uint8_t *first = r->at;
    if ((size_t)(r->end - r->at) < opening ||
        memcmp(r->at, r->delimiter + 2, opening) != 0) {
        first = find(r, r->at, r->delimiter, r->delimiter_bytes);
        if (!first)
            return broken(r, "the boundary is not in it");
        first += 2;
    }
    r->at = first + opening;
    for (int32_t parts = 0;; parts++) {
        bool last = false;
        FB_TRY(end_delimiter(r, &last));
        if (last)
            return FB_OK;
        if (parts == FB_FORM_PARTS)
            return fb_fail(r->ctx, FB_E_USAGE, "the body has more than %d parts",
                           FB_FORM_PARTS);
        FB_TRY(read_part(r));
    }
}

fb_status fb_form_read(fb_context *ctx, fb_form *form, const fb_schema *schema,
                       fb_media media, const char *boundary, uint8_t *body,
                       size_t size_bytes)
{
    reader r = {.ctx = ctx,
                .form = form,
                .schema = schema,
                .at = body,
                .end = body + size_bytes};
    if (media == FB_MEDIA_MULTIPART) {
        form->fields = json_object();
        if (!form->fields)
            return fb_fail(ctx, FB_E_MEMORY, "no memory for the body");
        FB_TRY(read_multipart(&r, boundary));
    } else {
        FB_TRY(fb_json_parse_few(ctx, "body", (const char *)body, size_bytes,
                                 FB_MOST_VALUES, &form->fields));
    }
    return fb_schema_check(ctx, schema, form, media == FB_MEDIA_MULTIPART);
}

/* http_schema.h - what a JSON value may be, as a const tree: requests are checked
 * against it, and /openapi.json is written from it.
 *
 *     {"text": "red dress", "k": 10}      object { text: string 1..8192 characters,
 *                                                  k: integer 1..1000 }
 *
 * Checking is strict: a field that the tree does not name, another type, a number or a
 * length out of range are refused, with the field's path and what would be right.
 *
 * An image is base64 in JSON and a file part in multipart/form-data. Either way its
 * bytes end up in the form's `blobs`, and the value in the checked tree is the number
 * of its blob.
 */
#ifndef FB_SERVER_HTTP_SCHEMA_H
#define FB_SERVER_HTTP_SCHEMA_H

#include "base/json.h"

typedef enum fb_schema_type {
    FB_SCHEMA_OBJECT,
    FB_SCHEMA_MAP, /* an object of any names; values are of `items` */
    FB_SCHEMA_ARRAY,
    FB_SCHEMA_STRING,
    FB_SCHEMA_STRINGS, /* a string or an array of them */
    FB_SCHEMA_INTEGER,
    FB_SCHEMA_NUMBER,
    FB_SCHEMA_BOOLEAN,
    FB_SCHEMA_IMAGE
} fb_schema_type;

typedef struct fb_schema fb_schema;

typedef struct fb_schema_field {
    const char *name, *help;
    const fb_schema *schema;
    bool required;
    const char *otherwise; /* JSON of what an absent one means; NULL: none */
    const char *example;   /* JSON; NULL: none */
} fb_schema_field;

struct fb_schema {
    fb_schema_type type;
    const char *name; /* of an object that answers share; NULL: written in place */
    double low, high; /* number: the value; string, strings: characters of each;
                         array, map: entries. Both included; high 0: no limit */
    const fb_schema *items;        /* array, map */
    const fb_schema_field *fields; /* object */
    int32_t field_count;
    const char *any_of;  /* object: at least one of these fields, "text,image" */
    bool only_one;       /* object: not more than one of them either */
    const char *choices; /* string: one of these, "cpu,ref" */
    bool nullable;
};

typedef struct fb_blob {
    uint8_t *bytes;
    size_t size_bytes;
    bool owned; /* free it; else it lies in the request's body */
} fb_blob;

/* A checked request body. */
typedef struct fb_form {
    json_t *fields;
    fb_blob *blobs;
    int32_t blob_count, blob_capacity;
} fb_form;

void fb_form_free(fb_form *form); /* takes a form of zeros; leaves one */

/* Add a blob; its number is in *number. FB_E_MEMORY: an owned one has been freed. */
fb_status fb_form_add_blob(fb_context *ctx, fb_form *form, fb_blob blob,
                           int64_t *number);

/* Check form->fields in place. from_parts: it was made of multipart parts, its images
 * are numbers of blobs already. FB_E_USAGE says which field is wrong and what would be
 * right. */
fb_status fb_schema_check(fb_context *ctx, const fb_schema *schema, fb_form *form,
                          bool from_parts);

/* The field of that name; NULL. */
const fb_schema_field *fb_schema_find(const fb_schema *object, const char *name);

/* Checked fields, by name; what an absent one leaves as it was. */
void fb_form_string(const fb_form *form, const char *name, const char **value);
void fb_form_int(const fb_form *form, const char *name, int32_t *value);
void fb_form_double(const fb_form *form, const char *name, double *value);
void fb_form_bool(const fb_form *form, const char *name, bool *value);
/* NULL when absent. */
const fb_blob *fb_form_blob(const fb_form *form, const json_t *value);

#endif

/* field_list.h - the fields of one record, names and values, for a record_source.h. */
#ifndef FB_DATA_IMPORT_FIELD_LIST_H
#define FB_DATA_IMPORT_FIELD_LIST_H

#include "base/intern.h"
#include <jansson.h>

/* Begins as zeros with an arena. */
typedef struct fb_field_list {
    fb_arena *arena;
    fb_string_pool pool;
    const char **pairs; /* [count, 2] name and value; valid until cleared */
    int32_t count, capacity;
} fb_field_list;

fb_status fb_field_list_create(fb_context *ctx, fb_field_list *list);
void fb_field_list_free(fb_field_list *list); /* takes one of zeros */
void fb_field_list_clear(fb_field_list *list);

/* Copies of both; `value` must be UTF-8. FB_E_MEMORY. */
fb_status fb_field_list_add(fb_context *ctx, fb_field_list *list, const char *name,
                            const char *value, size_t value_bytes);
/* The members of a JSON object: strings as they are, null left out, an array of strings
 * as several values of one name, anything else as compact JSON. FB_E_MEMORY. */
fb_status fb_field_list_add_json(fb_context *ctx, fb_field_list *list, json_t *object);
/* The first value of a name, NULL when there is none. */
const char *fb_field_list_get(const fb_field_list *list, const char *name);

#endif

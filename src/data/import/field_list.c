/* field_list.c - see field_list.h. */
#include "data/import/field_list.h"

#include <stdlib.h>
#include <string.h>

static fb_status fail_memory(fb_context *ctx)
{
    return fb_fail(ctx, FB_E_MEMORY, "no memory for a record's fields");
}

fb_status fb_field_list_create(fb_context *ctx, fb_field_list *list)
{
    *list = (fb_field_list){.arena = fb_arena_create(1 << 16)};
    if (!list->arena)
        return fail_memory(ctx);
    list->pool.arena = list->arena;
    return FB_OK;
}

void fb_field_list_free(fb_field_list *list)
{
    fb_arena_free(list->arena);
    free(list->pairs);
    *list = (fb_field_list){0};
}

void fb_field_list_clear(fb_field_list *list)
{
    fb_arena_reset(list->arena);
    list->pool = (fb_string_pool){.arena = list->arena};
    list->count = 0;
}

fb_status fb_field_list_add(fb_context *ctx, fb_field_list *list, const char *name,
                            const char *value, size_t value_bytes)
{
    if (list->count == list->capacity) {
        int32_t capacity = list->capacity ? 2 * list->capacity : 32;
        const char **more =
            realloc(list->pairs, 2 * (size_t)capacity * sizeof *list->pairs);
        if (!more)
            return fail_memory(ctx);
        list->pairs = more;
        list->capacity = capacity;
    }
    const char *name_copy = fb_string_pool_copy(&list->pool, name, strlen(name));
    const char *value_copy = fb_string_pool_copy(&list->pool, value, value_bytes);
    if (!name_copy || !value_copy)
        return fail_memory(ctx);
    list->pairs[2 * list->count] = name_copy;
    list->pairs[2 * list->count + 1] = value_copy;
    list->count++;
    return FB_OK;
}

static bool is_all_strings(const json_t *array)
{
    size_t count = json_array_size(array);
    for (size_t i = 0; i < count; i++)
        if (!json_is_string(json_array_get(array, i)))
            return false;
    return count > 0;
}

static fb_status add_json_value(fb_context *ctx, fb_field_list *list, const char *name,
                                const json_t *value)
{
    if (json_is_null(value))
        return FB_OK;
    if (json_is_string(value))
        return fb_field_list_add(ctx, list, name, json_string_value(value),
                                 json_string_length(value));
    if (json_is_array(value) && is_all_strings(value)) {
        for (size_t i = 0; i < json_array_size(value); i++)
            FB_TRY(add_json_value(ctx, list, name, json_array_get(value, i)));
        return FB_OK;
    }
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!text)
        return fail_memory(ctx);
    fb_status status = fb_field_list_add(ctx, list, name, text, strlen(text));
    free(text);
    return status;
}

fb_status fb_field_list_add_json(fb_context *ctx, fb_field_list *list, json_t *object)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
        FB_TRY(add_json_value(ctx, list, name, value));
    return FB_OK;
}

const char *fb_field_list_get(const fb_field_list *list, const char *name)
{
    for (int32_t i = 0; i < list->count; i++)
        if (strcmp(list->pairs[2 * i], name) == 0)
            return list->pairs[2 * i + 1];
    return NULL;
}

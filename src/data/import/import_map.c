/* import_map.c - targets as lists of parts, text and fields in turn. */
#include "data/import/import_map.h"

#include "data/catalogue/catalogue_row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TARGETS = 256, MAX_PARTS = 1024 };

typedef struct part {
    const char *text;
    bool is_field;
} part;

typedef struct target {
    const char *name;
    int32_t first, count; /* of parts */
} target;

struct fb_import_map {
    char *text; /* what names and parts point into */
    target targets[MAX_TARGETS];
    part parts[MAX_PARTS];
    int32_t target_count, part_count;
    bool only_mapped;
};

/* ---- parse -------------------------------------------------------------------------
 */

static fb_status fail_map(fb_context *ctx, const char *text, const char *reason)
{
    return fb_fail(ctx, FB_E_USAGE,
                   "--map: \"%.64s\" %s; a part is TARGET=FIELD or "
                   "TARGET=text{FIELD}text, such as title=name,image=images/{id}.jpg",
                   text, reason);
}

static char *trim(char *text)
{
    text += strspn(text, " \t\r\n\f\v");
    size_t size = strlen(text);
    while (size > 0 && strchr(" \t\r\n\f\v", text[size - 1]))
        text[--size] = 0;
    return text;
}

static fb_status add_part(fb_context *ctx, fb_import_map *map, const char *text,
                          bool is_field)
{
    if (map->part_count == MAX_PARTS)
        return fb_fail(ctx, FB_E_USAGE, "--map: longer than %d parts", MAX_PARTS);
    map->parts[map->part_count++] = (part){text, is_field};
    map->targets[map->target_count - 1].count++;
    return FB_OK;
}

/* Text up to a lone brace, {{ and }} made one in place; *end: the brace or the 0. */
static char *take_text(char *from, char **end)
{
    char *to = from, *at = from;
    while (*at && !((*at == '{' || *at == '}') && at[1] != *at)) {
        at += *at == '{' || *at == '}';
        *to++ = *at++;
    }
    *end = at;
    return to;
}

static fb_status parse_template(fb_context *ctx, fb_import_map *map, char *text)
{
    char whole[65];
    snprintf(whole, sizeof whole, "%s", text);
    for (char *at = text; *at;) {
        char *brace, *stop = take_text(at, &brace);
        char mark = *brace;
        *stop = 0;
        if (stop > at)
            FB_TRY(add_part(ctx, map, at, false));
        if (mark == 0)
            return FB_OK;
        char *close = mark == '{' ? strchr(brace + 1, '}') : NULL;
        if (!close)
            return fail_map(ctx, whole, "has a brace without its partner");
        *close = 0;
        char *name = trim(brace + 1);
        if (!*name)
            return fail_map(ctx, whole, "has braces without a field's name");
        FB_TRY(add_part(ctx, map, name, true));
        at = close + 1;
    }
    return FB_OK;
}

static fb_status parse_target(fb_context *ctx, fb_import_map *map, char *text)
{
    char whole[65];
    snprintf(whole, sizeof whole, "%s", text);
    char *equals = strchr(text, '=');
    if (!equals)
        return fail_map(ctx, whole, "has no \"=\"");
    *equals = 0;
    char *name = trim(text), *value = trim(equals + 1);
    if (strcmp(name, "file_name") == 0)
        name = "image";
    if (!*name || !*value)
        return fail_map(ctx, whole, "names nothing on one side");
    for (int32_t i = 0; i < map->target_count; i++)
        if (strcmp(map->targets[i].name, name) == 0)
            return fail_map(ctx, whole, "gives a target a second time");
    if (map->target_count == MAX_TARGETS)
        return fb_fail(ctx, FB_E_USAGE, "--map: more than %d targets", MAX_TARGETS);
    map->targets[map->target_count++] = (target){name, map->part_count, 0};
    if (strpbrk(value, "{}"))
        return parse_template(ctx, map, value);
    return add_part(ctx, map, value, true);
}

/* The comma that ends a part, or the 0. */
static char *part_end(char *at)
{
    for (bool inside = false; *at; at++) {
        if (*at == ',' && !inside)
            break;
        if (*at == '{' || *at == '}')
            inside = *at == '{';
    }
    return at;
}

fb_status fb_import_map_parse(fb_context *ctx, fb_import_map **out, const char *text,
                              bool only_mapped)
{
    fb_import_map *map = calloc(1, sizeof *map);
    char *copy = map ? strdup(text) : NULL;
    if (!copy) {
        free(map);
        return fb_fail(ctx, FB_E_MEMORY, "--map: no memory");
    }
    map->text = copy;
    map->only_mapped = only_mapped;
    fb_status status = FB_OK;
    bool more = text[strspn(text, " ")] != 0;
    for (char *at = copy; more && status == FB_OK;) {
        char *end = part_end(at);
        more = *end == ',';
        *end = 0;
        status = parse_target(ctx, map, at);
        at = end + 1;
    }
    if (status == FB_OK)
        *out = map;
    else
        fb_import_map_free(map);
    return status;
}

void fb_import_map_free(fb_import_map *map)
{
    if (!map)
        return;
    free(map->text);
    free(map);
}

/* ---- ask ---------------------------------------------------------------------------
 */

static bool is_among(const char *name, const char *const *names, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

bool fb_import_map_fits(const fb_import_map *map, const char *const *columns,
                        int32_t count, const char **missing)
{
    for (int32_t i = 0; i < map->part_count; i++)
        if (map->parts[i].is_field && !is_among(map->parts[i].text, columns, count)) {
            *missing = map->parts[i].text;
            return false;
        }
    return true;
}

static const target *find_target(const fb_import_map *map, const char *name)
{
    for (int32_t i = 0; i < map->target_count; i++)
        if (strcmp(map->targets[i].name, name) == 0)
            return &map->targets[i];
    return NULL;
}

static bool uses(const fb_import_map *map, const target *t, const char *field)
{
    for (int32_t i = t->first; i < t->first + t->count; i++)
        if (map->parts[i].is_field && strcmp(map->parts[i].text, field) == 0)
            return true;
    return false;
}

bool fb_import_map_gives(const fb_import_map *map, const char *name,
                         const char *const *columns, int32_t count)
{
    return find_target(map, name) || is_among(name, columns, count) ||
           (strcmp(name, "image") == 0 && is_among("file_name", columns, count));
}

bool fb_import_map_is_prose(const fb_import_map *map, const char *field)
{
    static const char *const prose[] = {"title", "description"};
    for (int i = 0; i < 2; i++) {
        const target *t = find_target(map, prose[i]);
        if (t ? uses(map, t, field) : strcmp(field, prose[i]) == 0)
            return true;
    }
    return false;
}

static bool is_used(const fb_import_map *map, const char *field)
{
    for (int32_t i = 0; i < map->part_count; i++)
        if (map->parts[i].is_field && strcmp(map->parts[i].text, field) == 0)
            return true;
    return false;
}

/* ---- apply -------------------------------------------------------------------------
 */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Trimmed, and with `tidy` each run of white space one space; NULL when nothing is
 * left. In place. */
static char *clean(char *text, bool tidy)
{
    char *to = text;
    bool gap = false;
    for (const char *at = text; *at; at++) {
        if (is_space(*at) && (tidy || to == text)) {
            gap = to != text;
            continue;
        }
        if (gap)
            *to++ = ' ';
        gap = false;
        *to++ = *at;
    }
    while (to > text && is_space(to[-1]))
        to--;
    *to = 0;
    return to > text ? text : NULL;
}

static const char *field_value(const fb_record *record, const char *name)
{
    for (int32_t i = 0; i < record->field_count; i++)
        if (strcmp(record->fields[2 * i], name) == 0) {
            const char *value = record->fields[2 * i + 1];
            return value[strspn(value, " \t\r\n\f\v")] ? value : "";
        }
    return "";
}

static const char *part_value(const fb_record *record, const part *p)
{
    return p->is_field ? field_value(record, p->text) : p->text;
}

static bool is_tidy(const char *name)
{
    return strcmp(name, "title") == 0 || strcmp(name, "category") == 0 ||
           strcmp(name, "subcategory") == 0 || strcmp(name, "master_category") == 0;
}

static fb_status fail_memory(fb_context *ctx, const fb_record *record)
{
    return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for the record", record->where);
}

/* *out NULL when the target has no value in this record. */
static fb_status fill_target(fb_context *ctx, const fb_import_map *map, const target *t,
                             const fb_record *record, fb_arena *arena, const char **out)
{
    const part *parts = map->parts + t->first;
    bool has_field = false, filled = false, all = true;
    size_t size = 1;
    for (int32_t i = 0; i < t->count; i++) {
        const char *value = part_value(record, &parts[i]);
        has_field |= parts[i].is_field;
        filled |= parts[i].is_field && value[0];
        all &= value[0] != 0;
        size += strlen(value);
    }
    *out = NULL;
    if ((has_field && !filled) || (!all && strcmp(t->name, "image") == 0))
        return FB_OK;
    char *text = fb_arena_alloc(arena, size), *to = text;
    if (!text)
        return fail_memory(ctx, record);
    for (int32_t i = 0; i < t->count; i++) {
        const char *value = part_value(record, &parts[i]);
        size_t length = strlen(value);
        memcpy(to, value, length);
        to += length;
    }
    *to = 0;
    *out = clean(text, is_tidy(t->name));
    return FB_OK;
}

/* The place of a name that has a meaning; NULL: an attribute, or queries. */
static const char **place(fb_import_item *item, const char *name)
{
    const struct {
        const char *name;
        const char **to;
    } known[] = {{"title", &item->title},           {"id", &item->id},
                 {"product_id", &item->product_id}, {"description", &item->description},
                 {"split", &item->split},           {"image", &item->image},
                 {"file_name", &item->image}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].to;
    for (int32_t i = 0; i < FB_CATEGORY_LEVELS; i++)
        if (strcmp(fb_category_fields[i], name) == 0)
            return &item->category[i];
    return NULL;
}

/* "red, blue" in the arena; NULL: no memory. */
static const char *join(fb_arena *arena, const char *before, const char *value)
{
    size_t size = strlen(before) + strlen(value) + 3;
    char *both = fb_arena_alloc(arena, size);
    if (both)
        snprintf(both, size, "%s, %s", before, value);
    return both;
}

/* The first value stands, but queries keep all and an attribute joins them. */
static bool give(fb_import_item *item, fb_arena *arena, const char *name,
                 const char *value)
{
    const char **to = place(item, name);
    if (to) {
        if (*to && strcmp(*to, value) != 0 && !item->spare)
            item->spare = name;
        *to = *to ? *to : value;
        return true;
    }
    if (strcmp(name, "queries") == 0) {
        item->queries[item->query_count++] = value;
        return true;
    }
    for (int32_t i = 0; i < item->attribute_count; i++)
        if (strcmp(item->attributes[2 * i], name) == 0) {
            const char *both = join(arena, item->attributes[2 * i + 1], value);
            item->attributes[2 * i + 1] = both;
            return both != NULL;
        }
    item->attributes[2 * item->attribute_count] = name;
    item->attributes[2 * item->attribute_count++ + 1] = value;
    return true;
}

/* Whether a field says nothing under its own name: the map gives what it would be, or
 * has used it. An id stays one although the image is named by it, but not when it is
 * told to be the product's, which may come again. */
static bool is_spent(const fb_import_map *map, const char *name)
{
    fb_import_item unused;
    const char *meaning = strcmp(name, "file_name") == 0 ? "image" : name;
    const target *product = find_target(map, "product_id");
    if (find_target(map, meaning))
        return true;
    if (strcmp(name, "id") == 0)
        return product && uses(map, product, name);
    return !place(&unused, name) && strcmp(name, "queries") != 0 &&
           (map->only_mapped || is_used(map, name));
}

/* A field under its own name. */
static fb_status give_field(fb_context *ctx, const fb_import_map *map,
                            const fb_record *record, int32_t field, fb_arena *arena,
                            fb_import_item *item)
{
    const char *name = record->fields[2 * field];
    if (!name[0] || is_spent(map, name))
        return FB_OK;
    char *own_name = fb_arena_strdup(arena, name);
    char *value = fb_arena_strdup(arena, record->fields[2 * field + 1]);
    if (!own_name || !value)
        return fail_memory(ctx, record);
    value = clean(value, is_tidy(name));
    if (value && !give(item, arena, own_name, value))
        return fail_memory(ctx, record);
    return FB_OK;
}

fb_status fb_import_map_apply(fb_context *ctx, const fb_import_map *map,
                              const fb_record *record, fb_arena *arena,
                              fb_import_item *item)
{
    size_t most = (size_t)record->field_count + (size_t)map->target_count;
    *item = (fb_import_item){
        .queries = fb_arena_alloc(arena, most * sizeof(char *)),
        .attributes = fb_arena_alloc(arena, 2 * most * sizeof(char *)),
    };
    if (!item->queries || !item->attributes)
        return fail_memory(ctx, record);
    for (int32_t i = 0; i < map->target_count; i++) {
        const char *value = NULL;
        FB_TRY(fill_target(ctx, map, &map->targets[i], record, arena, &value));
        if (value && !give(item, arena, map->targets[i].name, value))
            return fail_memory(ctx, record);
    }
    for (int32_t i = 0; i < record->field_count; i++)
        FB_TRY(give_field(ctx, map, record, i, arena, item));
    return FB_OK;
}

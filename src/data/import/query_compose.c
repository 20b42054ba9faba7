/* query_compose.c - templates as lists of parts, text and fields in turn. */
#include "data/import/query_compose.h"
#include "data/catalogue/catalogue_row.h"

#include <stdlib.h>
#include <string.h>

enum { PARTS_MOST = 256, TEMPLATES_MOST = 32 };

typedef struct part {
    const char *text;
    bool is_field;
} part;

struct fb_query_compose {
    part parts[PARTS_MOST];
    int32_t part_count;
    int32_t first[TEMPLATES_MOST + 1]; /* part of each template */
    int32_t templates;
    const char *fields[PARTS_MOST];
    int32_t field_count;
    size_t used;
    char text[]; /* what parts point into, a 0 behind each */
};

static fb_status fail_template(fb_context *ctx, const char *reason)
{
    return fb_fail(
        ctx, FB_E_USAGE,
        "--compose-queries: %s; right is text with fields in braces, such as "
        "\"{colour} {category}\"",
        reason);
}

static fb_status add_part(fb_context *ctx, fb_query_compose *c, const char *text,
                          size_t length, bool is_field)
{
    char *copy = c->text + c->used;
    if (c->part_count == PARTS_MOST)
        return fail_template(ctx, "too long");
    memcpy(copy, text, length);
    c->used += length + 1;
    c->parts[c->part_count++] = (part){copy, is_field};
    if (is_field)
        c->fields[c->field_count++] = copy;
    return FB_OK;
}

/* *at goes to the "|" or the 0 behind the template. */
static fb_status parse_template(fb_context *ctx, fb_query_compose *c, const char **at)
{
    int32_t before = c->field_count;
    while (**at && **at != '|') {
        bool is_field = **at == '{';
        const char *text = *at + is_field;
        size_t length = strcspn(text, "{}|");
        if ((text[length] == '}') != is_field)
            return fail_template(ctx, "a brace without its partner");
        if (length == 0)
            return fail_template(ctx, "braces without a field's name");
        FB_TRY(add_part(ctx, c, text, length, is_field));
        *at = text + length + is_field;
    }
    return c->field_count > before ? FB_OK
                                   : fail_template(ctx, "a template without a field");
}

static fb_status parse(fb_context *ctx, fb_query_compose *c, const char *at)
{
    if (!at[0])
        return FB_OK;
    for (;; at++) {
        if (c->templates == TEMPLATES_MOST)
            return fail_template(ctx, "too many templates");
        FB_TRY(parse_template(ctx, c, &at));
        c->first[++c->templates] = c->part_count;
        if (!*at)
            return FB_OK;
    }
}

fb_status fb_query_compose_create(fb_context *ctx, fb_query_compose **compose,
                                  const char *templates)
{
    /* a part is a byte long at least, and gets a 0 */
    fb_query_compose *c = calloc(1, sizeof *c + 2 * strlen(templates) + 1);
    if (!c)
        return fb_fail(ctx, FB_E_MEMORY, "--compose-queries: no memory");
    fb_status status = parse(ctx, c, templates);
    if (status == FB_OK)
        *compose = c;
    else
        free(c);
    return status;
}

void fb_query_compose_free(fb_query_compose *compose)
{
    free(compose);
}

int32_t fb_query_compose_fields(const fb_query_compose *compose)
{
    return compose->field_count;
}

const char *fb_query_compose_field(const fb_query_compose *compose, int32_t field)
{
    return compose->fields[field];
}

/* ---- apply -------------------------------------------------------------------------
 */

/* NULL: the item has no such value. */
static const char *value_of(const fb_import_item *item, const char *name)
{
    const struct {
        const char *name, *value;
    } known[] = {{"title", item->title},
                 {"id", item->id},
                 {"product_id", item->product_id},
                 {"description", item->description}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].value;
    for (int32_t i = 0; i < FB_CATEGORY_LEVELS; i++)
        if (strcmp(fb_category_fields[i], name) == 0)
            return item->category[i];
    for (int32_t i = 0; i < item->attribute_count; i++)
        if (strcmp(item->attributes[2 * i], name) == 0)
            return item->attributes[2 * i + 1];
    return NULL;
}

/* *query NULL: a field is absent. */
static fb_status fill(fb_context *ctx, const fb_query_compose *c, int32_t template,
                      fb_arena *arena, const fb_import_item *item, const char **query)
{
    size_t size = 1;
    *query = NULL;
    for (int32_t i = c->first[template]; i < c->first[template + 1]; i++) {
        const part *p = &c->parts[i];
        const char *value = p->is_field ? value_of(item, p->text) : p->text;
        if (!value)
            return FB_OK;
        size += strlen(value);
    }
    char *text = fb_arena_alloc(arena, size), *to = text;
    if (!text)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a query");
    for (int32_t i = c->first[template]; i < c->first[template + 1]; i++) {
        const part *p = &c->parts[i];
        const char *value = p->is_field ? value_of(item, p->text) : p->text;
        size_t length = strlen(value);
        memcpy(to, value, length);
        to += length;
    }
    *to = 0;
    *query = text;
    return FB_OK;
}

static void add_query(fb_import_item *item, const char *query)
{
    for (int32_t i = 0; i < item->query_count; i++)
        if (strcmp(item->queries[i], query) == 0)
            return;
    item->queries[item->query_count++] = query;
}

/* One attribute more. */
static fb_status mark(fb_context *ctx, fb_arena *arena, fb_import_item *item)
{
    size_t count = 2 * (size_t)item->attribute_count;
    const char **attributes = fb_arena_alloc(arena, (count + 2) * sizeof *attributes);
    if (!attributes)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for an attribute");
    if (count > 0)
        memcpy(attributes, item->attributes, count * sizeof *attributes);
    attributes[count] = FB_QUERIES_COMPOSED;
    attributes[count + 1] = "true";
    item->attributes = attributes;
    item->attribute_count++;
    return FB_OK;
}

fb_status fb_query_compose_apply(fb_context *ctx, const fb_query_compose *c,
                                 fb_arena *arena, fb_import_item *item)
{
    if (c->templates == 0 || item->query_count > 0 ||
        value_of(item, FB_QUERIES_COMPOSED))
        return FB_OK;
    item->queries = fb_arena_alloc(arena, (size_t)c->templates * sizeof *item->queries);
    if (!item->queries)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for queries");
    for (int32_t i = 0; i < c->templates; i++) {
        const char *query = NULL;
        FB_TRY(fill(ctx, c, i, arena, item, &query));
        if (query)
            add_query(item, query);
    }
    return item->query_count > 0 ? mark(ctx, arena, item) : FB_OK;
}

/* inspect_texts.c - what a catalogue's rows say: titles and their words, categories,
 * optional fields, queries.
 */
#include "tasks/inspect.h"

#include "base/intern.h"
#include "data/import/query_compose.h"
#include "data/text/title_words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

fb_spread fb_spread_of(double *values, int64_t count)
{
    if (count == 0)
        return (fb_spread){NAN, NAN, NAN, NAN, NAN};
    double sum = 0;
    qsort(values, (size_t)count, sizeof *values, by_value);
    for (int64_t i = 0; i < count; i++)
        sum += values[i];
    return (fb_spread){values[0], (values[(count - 1) / 2] + values[count / 2]) / 2,
                       sum / (double)count, values[(count - 1) * 95 / 100],
                       values[count - 1]};
}

void fb_text_copy(char *out, size_t size, const char *text)
{
    size_t length = strlen(text);
    if (length >= size) {
        length = size - 1;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
            length--;
    }
    memcpy(out, text, length);
    out[length] = 0;
}

/* ---- categories -------------------------------------------------------------------
 */

static int by_items(const void *a, const void *b)
{
    const fb_inspect_category *x = a, *y = b;
    if (x->items != y->items)
        return x->items > y->items ? -1 : 1;
    return strcmp(x->name, y->name);
}

static fb_status count_categories(fb_context *ctx, const fb_catalogue *catalogue,
                                  fb_inspection *in)
{
    bool levels = fb_catalogue_levels(catalogue) > 0;
    int32_t named = levels ? fb_catalogue_category_count(catalogue, 0) : 0;
    int32_t items = fb_catalogue_count(catalogue);
    in->categories = calloc((size_t)named + 1, sizeof *in->categories);
    if (!in->categories)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %d categories", named);
    if (levels)
        fb_text_copy(in->category_level, sizeof in->category_level,
                     fb_catalogue_level_name(catalogue, 0));
    for (int32_t c = 0; c <= named; c++)
        fb_text_copy(in->categories[c].name, sizeof in->categories[c].name,
                     c < named ? fb_catalogue_category_name(catalogue, 0, c)
                               : "(none)");
    for (int32_t i = 0; i < items; i++) {
        const fb_catalogue_item *item = fb_catalogue_get(catalogue, i);
        int32_t c = item->category[0] >= 0 && levels ? item->category[0] : named;
        in->categories[c].items++;
        in->categories[c].split[item->split]++;
        in->split[item->split]++;
    }
    in->category_count = named + (in->categories[named].items > 0);
    qsort(in->categories, (size_t)in->category_count, sizeof *in->categories, by_items);
    return FB_OK;
}

/* ---- optional fields ----------------------------------------------------------------
 */

typedef struct value {
    int32_t field;
    uint64_t hash;
} value;

typedef struct values {
    value *list;
    int64_t count, capacity;
    fb_intern *names;
} values;

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n\f\v")] == 0;
}

static fb_status add_value(fb_context *ctx, values *v, const char *name,
                           const char *text)
{
    int32_t field = fb_intern_add(v->names, name);
    if (field >= 0 && (!text || is_blank(text)))
        return FB_OK;
    if (field >= 0 && v->count == v->capacity) {
        int64_t capacity = v->capacity ? v->capacity * 2 : 4096;
        value *list = realloc(v->list, (size_t)capacity * sizeof *list);
        if (list) {
            v->list = list;
            v->capacity = capacity;
        }
    }
    if (field < 0 || v->count == v->capacity)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the catalogue's fields");
    v->list[v->count++] = (value){field, fb_hash_bytes(0, text, strlen(text))};
    return FB_OK;
}

static fb_status add_item(fb_context *ctx, values *v, const fb_catalogue *catalogue,
                          const fb_catalogue_item *item)
{
    bool named = item->product_id != item->file_name;
    FB_TRY(add_value(ctx, v, "product_id", named ? item->product_id : NULL));
    for (int32_t level = 0; level < fb_catalogue_levels(catalogue); level++) {
        int32_t key = item->category[level];
        FB_TRY(add_value(ctx, v, fb_catalogue_level_name(catalogue, level),
                         key < 0 ? NULL
                                 : fb_catalogue_category_name(catalogue, level, key)));
    }
    if (!is_blank(item->description))
        FB_TRY(add_value(ctx, v, "description", item->description));
    if (item->query_count > 0)
        FB_TRY(add_value(ctx, v, "queries", item->queries[0]));
    for (int32_t i = 0; i < item->attribute_count; i++)
        FB_TRY(add_value(ctx, v, item->attributes[2 * (ptrdiff_t)i],
                         item->attributes[2 * (ptrdiff_t)i + 1]));
    return FB_OK;
}

static int by_field(const void *a, const void *b)
{
    const value *x = a, *y = b;
    if (x->field != y->field)
        return x->field < y->field ? -1 : 1;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

static fb_status list_fields(fb_context *ctx, values *v, fb_inspection *in)
{
    int32_t names = fb_intern_count(v->names);
    in->fields = calloc((size_t)names + 1, sizeof *in->fields);
    if (!in->fields)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the catalogue's fields");
    for (int32_t f = 0; f < names; f++)
        fb_text_copy(in->fields[f].name, sizeof in->fields[f].name,
                     fb_intern_text(v->names, f));
    in->field_count = names;
    if (v->count > 0)
        qsort(v->list, (size_t)v->count, sizeof *v->list, by_field);
    for (int64_t i = 0; i < v->count; i++) {
        fb_inspect_field *field = &in->fields[v->list[i].field];
        field->present++;
        field->distinct += i == 0 || by_field(&v->list[i - 1], &v->list[i]) != 0;
    }
    return FB_OK;
}

static fb_status count_fields(fb_context *ctx, const fb_catalogue *catalogue,
                              fb_inspection *in)
{
    values v = {.names = fb_intern_create()};
    fb_status status = v.names ? FB_OK : fb_fail(ctx, FB_E_MEMORY, "out of memory");
    for (int32_t i = 0; i < fb_catalogue_count(catalogue) && status == FB_OK; i++)
        status = add_item(ctx, &v, catalogue, fb_catalogue_get(catalogue, i));
    if (status == FB_OK)
        status = list_fields(ctx, &v, in);
    fb_intern_free(v.names);
    free(v.list);
    return status;
}

/* ---- titles
 * -------------------------------------------------------------------------- */

static double characters(const char *text)
{
    int64_t count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return (double)count;
}

/* Words of the titles of `split`; in_train [words]; seen_before [words] is scratch. */
static fb_inspect_words words_of(const fb_catalogue *catalogue,
                                 const fb_title_words *titles, fb_split split,
                                 const bool *in_train, bool *seen_before)
{
    fb_inspect_words w = {0};
    int32_t count;
    const int32_t *items = fb_catalogue_split_items(catalogue, split, &count);
    memset(seen_before, 0, (size_t)titles->words.count * sizeof *seen_before);
    w.titles = count;
    for (int32_t i = 0; i < count; i++) {
        bool all = true;
        for (int64_t k = titles->offsets[items[i]]; k < titles->offsets[items[i] + 1];
             k++) {
            int32_t id = titles->ids[k];
            bool fresh = !seen_before[id];
            w.words++;
            w.seen += in_train[id];
            w.distinct += fresh;
            w.distinct_seen += fresh && in_train[id];
            seen_before[id] = true;
            all &= in_train[id];
        }
        w.titles_seen += all;
    }
    return w;
}

static fb_status count_words(fb_context *ctx, const fb_catalogue *catalogue,
                             const fb_title_words *titles, fb_inspection *in)
{
    size_t words = (size_t)titles->words.count + 1;
    bool *in_train = calloc(words, sizeof *in_train);
    bool *scratch = calloc(words, sizeof *scratch);
    fb_status status = FB_OK;
    if (!in_train || !scratch)
        status = fb_fail(ctx, FB_E_MEMORY, "no memory for %zu words", words);
    else {
        int32_t count;
        const int32_t *items =
            fb_catalogue_split_items(catalogue, FB_SPLIT_TRAIN, &count);
        for (int32_t i = 0; i < count; i++)
            for (int64_t k = titles->offsets[items[i]];
                 k < titles->offsets[items[i] + 1]; k++) {
                in->train_words += !in_train[titles->ids[k]];
                in_train[titles->ids[k]] = true;
            }
        in->val_words = words_of(catalogue, titles, FB_SPLIT_VAL, in_train, scratch);
        in->test_words = words_of(catalogue, titles, FB_SPLIT_TEST, in_train, scratch);
    }
    free(scratch);
    free(in_train);
    return status;
}

static fb_status measure_titles(fb_context *ctx, const fb_catalogue *catalogue,
                                fb_inspection *in)
{
    int32_t count = fb_catalogue_count(catalogue);
    fb_title_words titles = {0};
    double *lengths = malloc(((size_t)count + 1) * sizeof *lengths);
    fb_status status = lengths ? fb_title_words_open(ctx, &titles, count)
                               : fb_fail(ctx, FB_E_MEMORY, "no memory for the titles");
    for (int32_t i = 0; i < count && status == FB_OK; i++)
        status =
            fb_title_words_add(ctx, &titles, fb_catalogue_get(catalogue, i)->title);
    if (status == FB_OK) {
        for (int32_t i = 0; i < count; i++)
            lengths[i] = (double)(titles.offsets[i + 1] - titles.offsets[i]);
        in->title_words = fb_spread_of(lengths, count);
        for (int32_t i = 0; i < count; i++)
            lengths[i] = characters(fb_catalogue_get(catalogue, i)->title);
        in->title_characters = fb_spread_of(lengths, count);
        status = count_words(ctx, catalogue, &titles, in);
    }
    free(lengths);
    fb_title_words_close(&titles);
    return status;
}

/* ---- products and titles that repeat
 * --------------------------------------------------
 */

typedef int32_t key_of(const fb_catalogue_item *item);

static int32_t product_of(const fb_catalogue_item *item)
{
    return item->product;
}

static int32_t text_of(const fb_catalogue_item *item)
{
    return item->text;
}

/* Items of val and test whose key an item of an earlier split has. */
static fb_status count_across(fb_context *ctx, const fb_catalogue *catalogue,
                              key_of *key, int32_t keys, int64_t *across)
{
    int32_t count = fb_catalogue_count(catalogue);
    uint8_t *first = malloc((size_t)keys + 1);
    if (!first)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %d keys", keys);
    memset(first, FB_SPLITS, (size_t)keys);
    for (int32_t i = 0; i < count; i++) {
        const fb_catalogue_item *item = fb_catalogue_get(catalogue, i);
        if (item->split < first[key(item)])
            first[key(item)] = (uint8_t)item->split;
    }
    for (int32_t i = 0; i < count; i++) {
        const fb_catalogue_item *item = fb_catalogue_get(catalogue, i);
        *across += first[key(item)] < item->split;
    }
    free(first);
    return FB_OK;
}

static void count_queries(const fb_catalogue *catalogue, fb_inspection *in)
{
    for (int32_t i = 0; i < fb_catalogue_count(catalogue); i++) {
        const fb_catalogue_item *item = fb_catalogue_get(catalogue, i);
        const char *composed = fb_catalogue_attribute(item, FB_QUERIES_COMPOSED);
        in->query_items += item->query_count > 0;
        in->queries += item->query_count;
        in->composed_items +=
            item->query_count > 0 && composed && strcmp(composed, "true") == 0;
    }
}

fb_status fb_inspect_texts(fb_context *ctx, const fb_catalogue *catalogue,
                           fb_inspection *in)
{
    in->items = fb_catalogue_count(catalogue);
    in->products = fb_catalogue_products(catalogue);
    in->titles = fb_catalogue_texts(catalogue);
    in->duplicate_titles = in->items - in->titles;
    FB_TRY(count_categories(ctx, catalogue, in));
    FB_TRY(count_fields(ctx, catalogue, in));
    FB_TRY(measure_titles(ctx, catalogue, in));
    FB_TRY(count_across(ctx, catalogue, product_of, fb_catalogue_products(catalogue),
                        &in->products_across_splits));
    FB_TRY(count_across(ctx, catalogue, text_of, fb_catalogue_texts(catalogue),
                        &in->titles_across_splits));
    count_queries(catalogue, in);
    return FB_OK;
}

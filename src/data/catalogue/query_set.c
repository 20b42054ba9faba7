/* query_set.c - see query_set.h. Labels are gathered one by one, then sorted by query
 * and product, and lie end to end:
 *
 *     wanted [starts[q] .. starts[q + 1])     products of query q, ascending
 *
 * and `skipped` likewise.
 */
#include "data/catalogue/query_set.h"

#include "base/file.h"
#include "data/catalogue/catalogue_row.h"
#include "data/catalogue/click_log.h"

#include <stdlib.h>
#include <string.h>

typedef struct label {
    int32_t query, product;
    bool wanted;
} label;

typedef struct product_lists {
    int64_t *starts; /* [queries + 1] */
    int32_t *products;
} product_lists;

struct fb_query_set {
    char source[4096];
    int64_t left_out, composed; /* composed: labels of such rows */
    int32_t count;
    fb_click_log *log;  /* whose texts these are, or: */
    fb_intern *normal;  /* queries in their normal form, */
    const char **texts; /* and as they came first, [count], borrowed */
    int32_t text_capacity;
    product_lists wanted, skipped;
    label *labels; /* while it is filled */
    int64_t label_count, label_capacity;
};

static fb_status fail_memory(fb_context *ctx)
{
    return fb_fail(ctx, FB_E_MEMORY, "no memory for the queries of a catalogue");
}

static fb_status add_label(fb_context *ctx, fb_query_set *s, label one)
{
    if (s->label_count == s->label_capacity) {
        int64_t capacity = s->label_capacity ? 2 * s->label_capacity : 1024;
        label *labels = realloc(s->labels, (size_t)capacity * sizeof *labels);
        if (!labels)
            return fail_memory(ctx);
        s->labels = labels;
        s->label_capacity = capacity;
    }
    s->labels[s->label_count++] = one;
    return FB_OK;
}

/* ---- from a click log ------------------------------------------------------------ */

/* The catalogue's key of each product of the log, -1 where it has none. */
static fb_status find_products(fb_context *ctx, const fb_click_log *log,
                               const fb_catalogue *cat, int32_t **keys)
{
    fb_intern *ids = fb_intern_create();
    int32_t count = fb_click_log_products(log);
    *keys = malloc(((size_t)count + 1) * sizeof **keys);
    bool room = ids && *keys;
    for (int32_t i = 0; i < count && room; i++) {
        (*keys)[i] = -1;
        room = fb_intern_add(ids, fb_click_log_product(log, i)) == i;
    }
    for (int32_t i = 0; i < fb_catalogue_count(cat) && room; i++) {
        const fb_catalogue_item *item = fb_catalogue_get(cat, i);
        int32_t number = fb_intern_find(ids, item->product_id);
        if (number >= 0)
            (*keys)[number] = item->product;
    }
    fb_intern_free(ids);
    return room ? FB_OK : fail_memory(ctx);
}

static fb_status read_log(fb_context *ctx, fb_query_set *s, const fb_catalogue *cat)
{
    int32_t *keys = NULL;
    FB_TRY(fb_click_log_open(ctx, &s->log, s->source));
    fb_status status = find_products(ctx, s->log, cat, &keys);
    for (int32_t i = 0; i < fb_click_log_count(s->log) && status == FB_OK; i++) {
        const fb_click *c = fb_click_log_get(s->log, i);
        if (keys[c->product] < 0)
            s->left_out++;
        else
            status =
                add_label(ctx, s, (label){c->query, keys[c->product], c->clicks > 0});
    }
    free(keys);
    if (status == FB_OK && s->label_count == 0)
        status = fb_fail(ctx, FB_E_MISSING,
                         "%s: none of its products is in the catalogue %s; product ids "
                         "must be the catalogue's",
                         s->source, fb_catalogue_folder(cat));
    s->count = fb_click_log_queries(s->log);
    return status;
}

/* ---- from the catalogue ---------------------------------------------------------- */

static bool grow_texts(fb_query_set *s)
{
    if (s->count < s->text_capacity)
        return true;
    int32_t capacity = s->text_capacity ? 2 * s->text_capacity : 1024;
    const char **texts = realloc(s->texts, (size_t)capacity * sizeof *texts);
    if (!texts)
        return false;
    s->texts = texts;
    s->text_capacity = capacity;
    return true;
}

static fb_status add_query(fb_context *ctx, fb_query_set *s, const char *text,
                           int32_t product)
{
    char *normal = fb_title_normalise(text);
    bool blank = normal && !normal[0];
    int32_t number = normal && grow_texts(s) ? fb_intern_add(s->normal, normal) : -1;
    free(normal);
    if (number < 0)
        return fail_memory(ctx);
    if (number == s->count)
        s->texts[s->count++] = text;
    return blank ? FB_OK : add_label(ctx, s, (label){number, product, true});
}

static fb_status read_catalogue(fb_context *ctx, fb_query_set *s,
                                const fb_catalogue *cat)
{
    s->normal = fb_intern_create();
    if (!s->normal)
        return fail_memory(ctx);
    FB_TRY(fb_path_join(ctx, s->source, fb_catalogue_folder(cat), "metadata.jsonl"));
    for (int32_t i = 0; i < fb_catalogue_count(cat); i++) {
        const fb_catalogue_item *item = fb_catalogue_get(cat, i);
        const char *mark = fb_catalogue_attribute(item, "queries_composed");
        if (mark && strcmp(mark, "true") == 0)
            s->composed += item->query_count;
        for (int32_t k = 0; k < item->query_count; k++)
            FB_TRY(add_query(ctx, s, item->queries[k], item->product));
    }
    if (s->label_count == 0)
        return fb_fail(ctx, FB_E_MISSING,
                       "%s has no queries and its folder no clicks.tsv; give a click "
                       "log with --clicks",
                       s->source);
    return FB_OK;
}

/* ---- lists ----------------------------------------------------------------------- */

static int by_query(const void *a, const void *b)
{
    const label *x = a, *y = b;
    if (x->query != y->query)
        return x->query < y->query ? -1 : 1;
    if (x->product != y->product)
        return x->product < y->product ? -1 : 1;
    return (int)y->wanted - (int)x->wanted;
}

static fb_status make_lists(fb_context *ctx, fb_query_set *s)
{
    product_lists *lists[2] = {&s->skipped, &s->wanted};
    qsort(s->labels, (size_t)s->label_count, sizeof *s->labels, by_query);
    for (int i = 0; i < 2; i++) {
        lists[i]->starts = calloc((size_t)s->count + 1, sizeof(int64_t));
        lists[i]->products = malloc(((size_t)s->label_count + 1) * sizeof(int32_t));
        if (!lists[i]->starts || !lists[i]->products)
            return fail_memory(ctx);
    }
    int64_t used[2] = {0, 0}, at = 0;
    for (int32_t q = 0; q < s->count; q++) {
        for (; at < s->label_count && s->labels[at].query == q; at++) {
            const label *l = &s->labels[at];
            bool again = at > 0 && l[-1].query == q && l[-1].product == l->product;
            if (!again)
                lists[l->wanted]->products[used[l->wanted]++] = l->product;
        }
        for (int i = 0; i < 2; i++)
            lists[i]->starts[q + 1] = used[i];
    }
    free(s->labels);
    s->labels = NULL;
    return FB_OK;
}

static fb_status fill(fb_context *ctx, fb_query_set *s, const fb_catalogue *cat,
                      const char *clicks)
{
    char beside[4096];
    FB_TRY(fb_path_join(ctx, beside, fb_catalogue_folder(cat), "clicks.tsv"));
    const char *log = clicks[0] ? clicks : fb_path_exists(beside) ? beside : "catalog";
    if (strcmp(log, "catalog") == 0) {
        FB_TRY(read_catalogue(ctx, s, cat));
    } else {
        if (strlen(log) >= sizeof s->source)
            return fb_fail(ctx, FB_E_LIMIT, "the click log's path is too long");
        snprintf(s->source, sizeof s->source, "%s", log);
        FB_TRY(read_log(ctx, s, cat));
    }
    return make_lists(ctx, s);
}

fb_status fb_query_set_open(fb_context *ctx, fb_query_set **set,
                            const fb_catalogue *catalogue, const char *clicks)
{
    fb_query_set *s = calloc(1, sizeof *s);
    if (!s)
        return fail_memory(ctx);
    fb_status status = fill(ctx, s, catalogue, clicks);
    if (status == FB_OK)
        *set = s;
    else
        fb_query_set_close(s);
    return status;
}

void fb_query_set_close(fb_query_set *set)
{
    if (!set)
        return;
    fb_click_log_free(set->log);
    fb_intern_free(set->normal);
    free(set->texts);
    free(set->wanted.starts);
    free(set->wanted.products);
    free(set->skipped.starts);
    free(set->skipped.products);
    free(set->labels);
    free(set);
}

/* ---- reading it ------------------------------------------------------------------ */

const char *fb_query_set_source(const fb_query_set *set)
{
    return set->source;
}

const char *fb_query_set_kind(const fb_query_set *set)
{
    return set->log ? "clicks" : set->composed > 0 ? "composed" : "queries";
}

int64_t fb_query_set_left_out(const fb_query_set *set)
{
    return set->left_out;
}

static uint64_t hash_lists(uint64_t hash, const product_lists *l, int32_t queries)
{
    hash = fb_hash_bytes(hash, l->starts, ((size_t)queries + 1) * sizeof *l->starts);
    return fb_hash_bytes(hash, l->products,
                         (size_t)l->starts[queries] * sizeof *l->products);
}

uint64_t fb_query_set_fingerprint(const fb_query_set *set)
{
    uint64_t hash = (uint64_t)set->count;
    for (int32_t q = 0; q < set->count; q++)
        hash = fb_hash_bytes(hash, fb_query_set_text(set, q),
                             strlen(fb_query_set_text(set, q)));
    return hash_lists(hash_lists(hash, &set->wanted, set->count), &set->skipped,
                      set->count);
}

int32_t fb_query_set_count(const fb_query_set *set)
{
    return set->count;
}

const char *fb_query_set_text(const fb_query_set *set, int32_t query)
{
    return set->log ? fb_click_log_query(set->log, query) : set->texts[query];
}

static const int32_t *list_of(const product_lists *l, int32_t query, int32_t *count)
{
    *count = (int32_t)(l->starts[query + 1] - l->starts[query]);
    return l->products + l->starts[query];
}

const int32_t *fb_query_set_wanted(const fb_query_set *set, int32_t query,
                                   int32_t *count)
{
    return list_of(&set->wanted, query, count);
}

const int32_t *fb_query_set_skipped(const fb_query_set *set, int32_t query,
                                    int32_t *count)
{
    return list_of(&set->skipped, query, count);
}

static bool contains(const int32_t *list, int32_t count, int32_t product)
{
    int32_t low = 0;
    while (count > low) {
        int32_t middle = low + (count - low) / 2;
        if (list[middle] == product)
            return true;
        if (list[middle] < product)
            low = middle + 1;
        else
            count = middle;
    }
    return false;
}

bool fb_query_set_wants(const fb_query_set *set, int32_t query, int32_t product)
{
    int32_t count;
    const int32_t *list = fb_query_set_wanted(set, query, &count);
    return contains(list, count, product);
}

bool fb_query_set_skips(const fb_query_set *set, int32_t query, int32_t product)
{
    int32_t count;
    const int32_t *list = fb_query_set_skipped(set, query, &count);
    return contains(list, count, product);
}

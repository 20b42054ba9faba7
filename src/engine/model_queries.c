/* model_queries.c - scores of queries with products, given one by one: the verb of
 * models that read both.
 *
 * Triples are grouped by the addresses of their queries, titles and images, so that
 * what comes again is read once: numbers of each kind [count], values [distinct].
 */
#include "engine/model_inputs.h"

#include <stdlib.h>
#include <string.h>

bool fb_model_takes_query(const fb_model *model)
{
    return model->query_scorer != NULL;
}

typedef struct addressed {
    const void *address;
    int64_t place;
} addressed;

static int by_address(const void *a, const void *b)
{
    const addressed *x = a, *y = b;
    uintptr_t p = (uintptr_t)x->address, q = (uintptr_t)y->address;
    if (p != q)
        return p < q ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* The distinct ones of `count` addresses: the place of the first of each. */
typedef struct distinct {
    int64_t *first; /* [count] */
    int32_t *of;    /* [count] number of place i's */
} distinct;

typedef struct triples {
    fb_model *model;
    const char *const *queries;
    const fb_input *products;
    int64_t count;
    distinct query, title, image;
    addressed *order; /* scratch */
    fb_score_triple *list;
    int32_t *ids; /* [max_text] scratch */
} triples;

static const void *address_of(const triples *t, const distinct *d, int64_t i)
{
    if (d == &t->query)
        return t->queries[i];
    return d == &t->title ? (const void *)t->products[i].text
                          : (const void *)t->products[i].image;
}

static bool group(triples *t, distinct *d)
{
    size_t n = (size_t)t->count;
    int32_t found = -1;
    d->first = malloc(n * sizeof *d->first);
    d->of = malloc(n * sizeof *d->of);
    if (!d->first || !d->of)
        return false;
    for (int64_t i = 0; i < t->count; i++)
        t->order[i] = (addressed){address_of(t, d, i), i};
    qsort(t->order, n, sizeof *t->order, by_address);
    for (int64_t i = 0; i < t->count; i++) {
        if (i == 0 || t->order[i].address != t->order[i - 1].address)
            d->first[++found] = t->order[i].place;
        d->of[t->order[i].place] = found;
    }
    return true;
}

static void clear(distinct *d)
{
    free(d->first);
    free(d->of);
}

static fb_status encode(triples *t, fb_context *ctx, const char *text,
                        const int32_t **ids, int32_t *count)
{
    *ids = t->ids;
    return fb_wordpiece_encode_wrapped(ctx, t->model->vocab, text, strlen(text),
                                       t->model->matcher->config.max_text, t->ids,
                                       count);
}

static fb_status source_query(void *self, fb_context *ctx, int32_t query,
                              const int32_t **ids, int32_t *count)
{
    triples *t = self;
    return encode(t, ctx, t->queries[t->query.first[query]], ids, count);
}

static fb_status source_title(void *self, fb_context *ctx, int32_t title,
                              const int32_t **ids, int32_t *count)
{
    triples *t = self;
    return encode(t, ctx, t->products[t->title.first[title]].text, ids, count);
}

static fb_status source_image(void *self, fb_context *ctx, int32_t image,
                              uint8_t *pixels)
{
    triples *t = self;
    int64_t place = t->image.first[image];
    return fb_model_load_input(ctx, t->model, t->products[place].image, place, pixels);
}

static fb_status run(fb_context *ctx, triples *t, float *margins)
{
    size_t n = (size_t)t->count;
    t->order = malloc(n * sizeof *t->order);
    t->list = malloc(n * sizeof *t->list);
    t->ids = malloc((size_t)t->model->matcher->config.max_text * sizeof *t->ids);
    if (!t->order || !t->list || !t->ids || !group(t, &t->query) ||
        !group(t, &t->title) || !group(t, &t->image))
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %zu triples", n);
    for (size_t i = 0; i < n; i++)
        t->list[i] = (fb_score_triple){t->query.of[i], t->title.of[i], t->image.of[i]};
    const fb_triple_source source = {t, source_query, source_title, source_image};
    return fb_query_scorer_run(ctx, t->model->query_scorer, &source, t->list, t->count,
                               margins, NULL, true);
}

static fb_status check(fb_context *ctx, const fb_model *model,
                       const char *const *queries, const fb_input *products,
                       int64_t count)
{
    if (!fb_model_takes_query(model))
        return fb_fail(ctx, FB_E_STATE,
                       "%s: a model of titles and images, which takes no query; one "
                       "that does is trained by train --objective qti",
                       model->folder);
    if (count < 0)
        return fb_fail(ctx, FB_E_USAGE, "a count must not be negative");
    for (int64_t i = 0; i < count; i++)
        if (!queries[i] || !products[i].text || !products[i].image)
            return fb_fail(ctx, FB_E_USAGE, "triple %lld lacks its %s", (long long)i,
                           !queries[i]         ? "query"
                           : !products[i].text ? "title"
                                               : "image");
    return FB_OK;
}

fb_status fb_model_query_margins(fb_context *ctx, fb_model *model,
                                 const char *const *queries, const fb_input *products,
                                 int64_t count, float *margins)
{
    FB_TRY(check(ctx, model, queries, products, count));
    if (count == 0)
        return FB_OK;
    triples t = {
        .model = model, .queries = queries, .products = products, .count = count};
    fb_status status = run(ctx, &t, margins);
    clear(&t.query);
    clear(&t.title);
    clear(&t.image);
    free(t.order);
    free(t.list);
    free(t.ids);
    return status;
}

fb_status fb_model_score_query(fb_context *ctx, fb_model *model,
                               const char *const *queries, const fb_input *products,
                               int64_t count, float *scores)
{
    size_t n = count > 0 ? (size_t)count : 0;
    float *margins = malloc((n + 1) * sizeof *margins);
    if (!margins)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %zu triples", n);
    fb_status status =
        fb_model_query_margins(ctx, model, queries, products, count, margins);
    for (size_t i = 0; i < n && status == FB_OK; i++)
        scores[i] = fb_score_probability(margins[i]);
    free(margins);
    return status;
}

/* model_match.c - scores of texts and images that a caller hands over: every text with
 * every image, or pairs and triples one by one.
 *
 * Those given one by one are grouped by the addresses of their queries, texts and
 * images, so that what comes again is read once: numbers of each kind [count], places
 * of the distinct ones [distinct].
 */
#include "engine/model_match.h"

#include "engine/model_inputs.h"
#include "engine/model_regions.h"

#include <stdlib.h>
#include <string.h>

bool fb_model_takes_query(const fb_model *model)
{
    return fb_scorer_reads_query(model->scorer);
}

/* ---- every text with every image ---------------------------------------------------- */

/* Texts and image files as a score source. */
typedef struct files {
    fb_model *model;
    const char *const *texts;
    const char *const *image_files;
    int32_t *ids; /* [max_text] scratch */
} files;

static fb_status files_text(void *self, fb_context *ctx, int32_t text,
                            const int32_t **ids, int32_t *count)
{
    files *f = self;
    *ids = f->ids;
    return fb_model_tokens(ctx, f->model, f->texts[text], f->ids, count);
}

static fb_status files_image(void *self, fb_context *ctx, int32_t image,
                             uint8_t *pixels)
{
    files *f = self;
    const fb_model_config *c = &f->model->matcher->config;
    return fb_image_load(ctx, f->image_files[image], f->model->resizer, c->image_size,
                         c->squash ? FB_FIT_SQUASH : FB_FIT_PAD, FB_FILTER_BILINEAR,
                         pixels);
}

static fb_status files_regions(void *self, fb_context *ctx, int32_t image,
                               fb_regions *regions)
{
    files *f = self;
    return fb_model_find_regions(ctx, f->model, f->image_files[image], regions);
}

fb_status fb_model_score_pairs(fb_context *ctx, fb_model *model,
                               const char *const *texts, const char *const *image_files,
                               const fb_score_request *request, fb_score_kind kind,
                               float *margins)
{
    size_t ids_bytes = (size_t)model->matcher->config.max_text * sizeof(int32_t);
    files f = {model, texts, image_files, malloc(ids_bytes)};
    if (!f.ids)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a text");
    const fb_score_source source = {
        .self = &f, .text = files_text, .image = files_image, .regions = files_regions};
    fb_status status =
        fb_scorer_run(ctx, model->scorer, &source, request, kind, margins);
    free(f.ids);
    return status;
}

fb_status fb_model_score(fb_context *ctx, fb_model *model, const char *const *texts,
                         int32_t text_count, const char *const *image_files,
                         int32_t image_count, float *scores)
{
    if (text_count < 0 || image_count < 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "counts of texts and images must not be negative");
    int64_t count = (int64_t)text_count * image_count;
    fb_score_triple *pairs = malloc(((size_t)count + 1) * sizeof *pairs);
    float *fresh = malloc(((size_t)count + 1) * sizeof *fresh);
    fb_status status = FB_OK;
    if (!pairs || !fresh)
        status =
            fb_fail(ctx, FB_E_MEMORY, "no memory for %lld pairs", (long long)count);
    for (int64_t i = 0; i < count && status == FB_OK; i++)
        pairs[i] = (fb_score_triple){-1, (int32_t)(i / image_count),
                                     (int32_t)(i % image_count)};
    const fb_score_request request = {pairs, count, NULL, true};
    if (status == FB_OK)
        status = fb_model_score_pairs(ctx, model, texts, image_files, &request,
                                      model->matcher->config.score, fresh);
    for (int64_t i = 0; i < count && status == FB_OK; i++)
        scores[i] = fb_score_probability(fresh[i]);
    free(fresh);
    free(pairs);
    return status;
}

fb_status fb_model_score_images(fb_context *ctx, fb_model *model,
                                const char *const *texts, int32_t text_count,
                                const fb_image_input *images, int32_t image_count,
                                float *scores)
{
    if (text_count < 0 || image_count < 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "counts of texts and images must not be negative");
    int64_t count = (int64_t)text_count * image_count;
    fb_input *pairs = calloc((size_t)count + 1, sizeof *pairs);
    if (!pairs)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %lld pairs", (long long)count);
    for (int64_t i = 0; i < count; i++)
        pairs[i] = (fb_input){texts[i / image_count], &images[i % image_count]};
    fb_status status = fb_model_match(ctx, model, pairs, count, scores);
    free(pairs);
    return status;
}

/* ---- one by one ----------------------------------------------------------------------- */

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
    int64_t *first; /* [distinct] */
    int32_t *of;    /* [count] number of place i's */
} distinct;

typedef struct inputs {
    fb_model *model;
    const char *const *queries; /* NULL: there are none */
    const fb_input *products;
    int64_t count;
    distinct query, text, image;
    addressed *order; /* scratch */
    fb_score_triple *triples;
    int32_t *ids; /* [max_text] scratch */
} inputs;

static const void *address_of(const inputs *s, const distinct *d, int64_t i)
{
    if (d == &s->query)
        return s->queries[i];
    return d == &s->text ? (const void *)s->products[i].text
                         : (const void *)s->products[i].image;
}

static bool group(inputs *s, distinct *d)
{
    size_t n = (size_t)s->count;
    int32_t found = -1;
    d->first = malloc(n * sizeof *d->first);
    d->of = malloc(n * sizeof *d->of);
    if (!d->first || !d->of)
        return false;
    for (int64_t i = 0; i < s->count; i++)
        s->order[i] = (addressed){address_of(s, d, i), i};
    qsort(s->order, n, sizeof *s->order, by_address);
    for (int64_t i = 0; i < s->count; i++) {
        if (i == 0 || s->order[i].address != s->order[i - 1].address)
            d->first[++found] = s->order[i].place;
        d->of[s->order[i].place] = found;
    }
    return true;
}

static fb_status inputs_make(fb_context *ctx, inputs *s)
{
    size_t n = (size_t)s->count;
    s->order = malloc(n * sizeof *s->order);
    s->triples = malloc(n * sizeof *s->triples);
    s->ids = malloc((size_t)s->model->matcher->config.max_text * sizeof *s->ids);
    if (!s->order || !s->triples || !s->ids || (s->queries && !group(s, &s->query)) ||
        !group(s, &s->text) || !group(s, &s->image))
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %zu %s", n,
                       s->queries ? "triples" : "pairs");
    for (size_t i = 0; i < n; i++)
        s->triples[i] = (fb_score_triple){s->queries ? s->query.of[i] : -1,
                                          s->text.of[i], s->image.of[i]};
    return FB_OK;
}

static void inputs_clear(inputs *s)
{
    distinct *const all[] = {&s->query, &s->text, &s->image};
    for (int i = 0; i < 3; i++) {
        free(all[i]->first);
        free(all[i]->of);
    }
    free(s->order);
    free(s->triples);
    free(s->ids);
}

static fb_status input_query(void *self, fb_context *ctx, int32_t query,
                             const int32_t **ids, int32_t *count)
{
    inputs *s = self;
    *ids = s->ids;
    return fb_model_tokens(ctx, s->model, s->queries[s->query.first[query]], s->ids,
                           count);
}

static fb_status input_text(void *self, fb_context *ctx, int32_t text,
                            const int32_t **ids, int32_t *count)
{
    inputs *s = self;
    *ids = s->ids;
    return fb_model_tokens(ctx, s->model, s->products[s->text.first[text]].text, s->ids,
                           count);
}

static fb_status input_image(void *self, fb_context *ctx, int32_t image,
                             uint8_t *pixels)
{
    inputs *s = self;
    int64_t place = s->image.first[image];
    return fb_model_load_input(ctx, s->model, s->products[place].image, place, pixels);
}

static fb_status input_regions(void *self, fb_context *ctx, int32_t image,
                               fb_regions *regions)
{
    inputs *s = self;
    int64_t place = s->image.first[image];
    return fb_model_input_regions(ctx, s->model, s->products[place].image, place,
                                  regions);
}

static fb_status run(fb_context *ctx, inputs *s, fb_score_kind kind, float *margins)
{
    FB_TRY(inputs_make(ctx, s));
    const fb_score_source source = {.self = s,
                                    .text = input_text,
                                    .image = input_image,
                                    .regions = input_regions,
                                    .query = s->queries ? input_query : NULL};
    const fb_score_request request = {s->triples, s->count, NULL, true};
    return fb_scorer_run(ctx, s->model->scorer, &source, &request, kind, margins);
}

static fb_status check_pairs(fb_context *ctx, const fb_input *products, int64_t count)
{
    if (count < 0)
        return fb_fail(ctx, FB_E_USAGE, "a count must not be negative");
    for (int64_t i = 0; i < count; i++)
        if (!products[i].text || !products[i].image)
            return fb_fail(ctx, FB_E_USAGE, "input %lld lacks its %s", (long long)i,
                           products[i].text ? "image" : "text");
    return FB_OK;
}

fb_status fb_model_match(fb_context *ctx, fb_model *model, const fb_input *products,
                         int64_t count, float *scores)
{
    FB_TRY(check_pairs(ctx, products, count));
    if (count == 0)
        return FB_OK;
    float *margins = malloc((size_t)count * sizeof *margins);
    if (!margins)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %lld pairs", (long long)count);
    inputs s = {.model = model, .products = products, .count = count};
    fb_status status = run(ctx, &s, model->matcher->config.score, margins);
    for (int64_t i = 0; i < count && status == FB_OK; i++)
        scores[i] = fb_score_probability(margins[i]);
    inputs_clear(&s);
    free(margins);
    return status;
}

/* The first system that reads queries, for sentences. */
static const char *a_system_of_queries(void)
{
    for (int32_t i = 0; i < fb_systems_count(); i++)
        if (fb_systems_get(i)->reads & FB_READS_QUERY)
            return fb_systems_get(i)->name;
    return "";
}

static fb_status check_triples(fb_context *ctx, const fb_model *model,
                               const char *const *queries, const fb_input *products,
                               int64_t count)
{
    if (!fb_model_takes_query(model))
        return fb_fail(ctx, FB_E_STATE,
                       "%s: a model of titles and images, which takes no query; one "
                       "that does is trained by train --objective %s",
                       model->folder, a_system_of_queries());
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
    FB_TRY(check_triples(ctx, model, queries, products, count));
    if (count == 0)
        return FB_OK;
    inputs s = {
        .model = model, .queries = queries, .products = products, .count = count};
    fb_status status = run(ctx, &s, FB_SCORE_TIA, margins);
    inputs_clear(&s);
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

/* query_scorer.c - see query_scorer.h. */
#include "engine/query_scorer.h"

#include "base/progress.h"
#include "data/batch/sampler.h"
#include "ops/tape.h"
#include "tensor/batch.h"

#include <stdlib.h>

enum { TRIPLES = 64, IMAGES = 64 };

/* What of a source lies in the batch, and where: texts[n] is the batch's number. */
typedef struct placed {
    int32_t count, source[TRIPLES], texts[TRIPLES];
} placed;

struct fb_query_scorer {
    fb_backend *be;
    fb_matcher *matcher;
    fb_arena *arena;
    fb_batch *batch;
    int64_t place[TRIPLES]; /* which triple of the run each of the batch is */
    placed queries, titles;
    int32_t image_of[IMAGES];
    float scores[TRIPLES];
};

fb_status fb_query_scorer_create(fb_context *ctx, fb_query_scorer **scorer,
                                 fb_backend *be, fb_matcher *matcher)
{
    const fb_model_config *c = &matcher->config;
    fb_query_scorer *s = calloc(1, sizeof *s);
    if (!s)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to score");
    s->be = be;
    s->matcher = matcher;
    s->arena = fb_arena_create(64 << 20);
    fb_batch_limits limits = {
        TRIPLES,           2 * TRIPLES,  IMAGES, 2 * TRIPLES * c->max_text,
        c->grid * c->grid, c->image_size};
    fb_status status = s->arena
                           ? fb_batch_create(ctx, &s->batch, &limits, 2 * c->max_text)
                           : fb_fail(ctx, FB_E_MEMORY, "no memory to score");
    if (status == FB_OK)
        status = fb_batch_add_queries(ctx, s->batch, &limits);
    if (status != FB_OK) {
        fb_query_scorer_free(s);
        return status;
    }
    *scorer = s;
    return FB_OK;
}

void fb_query_scorer_free(fb_query_scorer *scorer)
{
    if (!scorer)
        return;
    fb_batch_free(scorer->batch);
    fb_arena_free(scorer->arena);
    free(scorer);
}

typedef struct indexed_triple {
    fb_score_triple triple;
    int64_t place;
} indexed_triple;

static int compare(int32_t a, int32_t b)
{
    return a < b ? -1 : a > b;
}

static int by_image(const void *a, const void *b)
{
    const indexed_triple *x = a, *y = b;
    if (x->triple.image != y->triple.image)
        return compare(x->triple.image, y->triple.image);
    if (x->triple.title != y->triple.title)
        return compare(x->triple.title, y->triple.title);
    if (x->triple.query != y->triple.query)
        return compare(x->triple.query, y->triple.query);
    return x->place < y->place ? -1 : x->place > y->place;
}

/* The number of a query or title in the batch, added when it is not there. */
static fb_status place_text(fb_context *ctx, fb_query_scorer *s,
                            const fb_triple_source *source, bool query, int32_t number,
                            int32_t *text)
{
    placed *p = query ? &s->queries : &s->titles;
    for (int32_t i = 0; i < p->count; i++)
        if (p->source[i] == number) {
            *text = p->texts[i];
            return FB_OK;
        }
    const int32_t *ids;
    int32_t count, most = s->matcher->config.max_text;
    FB_TRY((query ? source->query : source->title)(source->self, ctx, number, &ids,
                                                   &count));
    if (count > most)
        return fb_fail(ctx, FB_E_LIMIT, "a text of %d tokens, the model takes %d",
                       (int)count, (int)most);
    *text = query ? fb_batch_add_query(s->batch, ids, count)
                  : fb_batch_add_title(s->batch, ids, count);
    p->source[p->count] = number;
    p->texts[p->count++] = *text;
    return FB_OK;
}

/* -1: there is no room for another. */
static fb_status place_image(fb_context *ctx, fb_query_scorer *s,
                             const fb_triple_source *source, int32_t number,
                             int32_t *image)
{
    fb_batch *b = s->batch;
    for (*image = b->images - 1; *image >= 0; (*image)--)
        if (s->image_of[*image] == number)
            return FB_OK;
    if (b->images == IMAGES)
        return FB_OK;
    FB_TRY(source->image(source->self, ctx, number, fb_batch_pixels(b, b->images)));
    *image = fb_batch_add_image(b);
    s->image_of[*image] = number;
    return FB_OK;
}

/* Take triples from `next` on until the batch is full. */
static fb_status fill(fb_context *ctx, fb_query_scorer *s,
                      const fb_triple_source *source, const indexed_triple *triples,
                      int64_t count, int64_t *next)
{
    fb_batch *b = s->batch;
    fb_batch_clear(b);
    s->queries.count = s->titles.count = 0;
    for (; *next < count && b->pairs < TRIPLES; (*next)++) {
        const fb_score_triple *t = &triples[*next].triple;
        int32_t image, query = -1, title = -1;
        FB_TRY(place_image(ctx, s, source, t->image, &image));
        if (image < 0)
            break;
        FB_TRY(place_text(ctx, s, source, true, t->query, &query));
        FB_TRY(place_text(ctx, s, source, false, t->title, &title));
        s->place[b->pairs] = triples[*next].place;
        fb_batch_add_sequence(b, query, title, image, 0);
    }
    fb_batch_pack(b);
    return FB_OK;
}

static fb_status run(fb_context *ctx, fb_query_scorer *s,
                     const fb_triple_source *source, const indexed_triple *triples,
                     int64_t count, float *margins, fb_progress *progress)
{
    for (int64_t next = 0; next < count;) {
        fb_tape tape = {0};
        FB_TRY(fill(ctx, s, source, triples, count, &next));
        fb_arena_reset(s->arena);
        fb_tape_begin(&tape, ctx, s->be, s->arena, false);
        FB_TRY(s->matcher->kind->score(s->matcher, &tape, s->batch, s->scores));
        for (int32_t i = 0; i < s->batch->pairs; i++)
            margins[s->place[i]] = s->scores[i];
        fb_progress_update(progress, next, 1.0, "");
    }
    return FB_OK;
}

fb_status fb_query_scorer_run(fb_context *ctx, fb_query_scorer *scorer,
                              const fb_triple_source *source,
                              const fb_score_triple *triples, int64_t count,
                              float *margins, const char *label, bool quiet)
{
    indexed_triple *sorted = malloc(((size_t)count + 1) * sizeof *sorted);
    if (!sorted)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %lld triples",
                       (long long)count);
    for (int64_t i = 0; i < count; i++)
        sorted[i] = (indexed_triple){triples[i], i};
    qsort(sorted, (size_t)count, sizeof *sorted, by_image);
    fb_progress progress;
    fb_progress_begin(&progress, label ? label : "", "triples", 0, count,
                      quiet || !label);
    fb_status status = run(ctx, scorer, source, sorted, count, margins, &progress);
    fb_progress_end(&progress);
    free(sorted);
    return status;
}

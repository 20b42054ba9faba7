/* scorer.c - see scorer.h. */
#include "tasks/scorer.h"

#include "base/progress.h"
#include "data/sampler.h"
#include "ops/tape.h"

#include <stdlib.h>

enum { PAIRS = 64, IMAGES = 16 };

struct fb_scorer {
    fb_backend *be;
    fb_matcher *matcher;
    fb_arena *arena;
    fb_batch *batch;
    int64_t order_pair[PAIRS]; /* which pair of the run each of the batch is */
    int32_t text_of[PAIRS], image_of[IMAGES];
    float scores[PAIRS];
};

fb_status fb_scorer_create(fb_context *ctx, fb_scorer **scorer, fb_backend *be,
                           fb_matcher *matcher)
{
    const fb_model_config *c = &matcher->config;
    fb_scorer *s = calloc(1, sizeof *s);
    if (!s)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to score");
    s->be = be;
    s->matcher = matcher;
    s->arena = fb_arena_create(64 << 20);
    fb_batch_limits limits = {
        PAIRS, PAIRS, IMAGES, PAIRS * c->max_text, c->grid * c->grid, c->image_size};
    fb_status status = s->arena ? fb_batch_create(ctx, &s->batch, &limits, c->max_text)
                                : fb_fail(ctx, FB_E_MEMORY, "no memory to score");
    if (status != FB_OK) {
        fb_scorer_free(s);
        return status;
    }
    *scorer = s;
    return FB_OK;
}

void fb_scorer_free(fb_scorer *scorer)
{
    if (!scorer)
        return;
    fb_batch_free(scorer->batch);
    fb_arena_free(scorer->arena);
    free(scorer);
}

typedef struct indexed_pair {
    fb_score_pair pair;
    int64_t place;
} indexed_pair;

static int by_image(const void *a, const void *b)
{
    const indexed_pair *x = a, *y = b;
    if (x->pair.image != y->pair.image)
        return x->pair.image < y->pair.image ? -1 : 1;
    if (x->pair.text != y->pair.text)
        return x->pair.text < y->pair.text ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static int32_t find(const int32_t *list, int32_t count, int32_t wanted)
{
    for (int32_t i = 0; i < count; i++)
        if (list[i] == wanted)
            return i;
    return -1;
}

static fb_status add_text(fb_context *ctx, fb_scorer *s, const fb_score_source *source,
                          int32_t text)
{
    fb_batch *b = s->batch;
    const int32_t *ids;
    int32_t count;
    FB_TRY(source->text(source->self, ctx, text, &ids, &count));
    if (count > s->matcher->config.max_text)
        return fb_fail(ctx, FB_E_LIMIT, "a text of %d tokens, the model takes %d",
                       (int)count, (int)s->matcher->config.max_text);
    s->text_of[b->texts] = text;
    fb_batch_add_text(b, ids, count);
    return FB_OK;
}

static fb_status add_image(fb_context *ctx, fb_scorer *s, const fb_score_source *source,
                           int32_t image)
{
    fb_batch *b = s->batch;
    FB_TRY(source->image(source->self, ctx, image, fb_batch_pixels(b, b->images)));
    s->image_of[fb_batch_add_image(b)] = image;
    return FB_OK;
}

/* Take pairs from `next` on until the batch is full. */
static fb_status fill(fb_context *ctx, fb_scorer *s, const fb_score_source *source,
                      const indexed_pair *pairs, int64_t count, int64_t *next)
{
    fb_batch *b = s->batch;
    fb_batch_clear(b);
    for (; *next < count && b->pairs < PAIRS; (*next)++) {
        const indexed_pair *p = &pairs[*next];
        int32_t image = find(s->image_of, b->images, p->pair.image);
        int32_t text = find(s->text_of, b->texts, p->pair.text);
        if (image < 0 && b->images == IMAGES)
            break;
        if (image < 0) {
            image = b->images;
            FB_TRY(add_image(ctx, s, source, p->pair.image));
        }
        if (text < 0) {
            text = b->texts;
            FB_TRY(add_text(ctx, s, source, p->pair.text));
        }
        s->order_pair[b->pairs] = p->place;
        fb_batch_add_pair(b, text, image, 0);
    }
    fb_batch_pack(b);
    return FB_OK;
}

static fb_status run(fb_context *ctx, fb_scorer *s, const fb_score_source *source,
                     const indexed_pair *pairs, int64_t count, float *scores,
                     fb_progress *progress)
{
    int64_t next = 0;
    while (next < count) {
        FB_TRY(fill(ctx, s, source, pairs, count, &next));
        fb_tape tape = {0};
        fb_arena_reset(s->arena);
        fb_tape_begin(&tape, ctx, s->be, s->arena, false);
        FB_TRY(s->matcher->kind->score(s->matcher, &tape, s->batch, s->scores));
        for (int32_t i = 0; i < s->batch->pairs; i++)
            scores[s->order_pair[i]] = s->scores[i];
        fb_progress_update(progress, next, 1.0, "");
    }
    return FB_OK;
}

fb_status fb_scorer_run(fb_context *ctx, fb_scorer *scorer,
                        const fb_score_source *source, const fb_score_pair *pairs,
                        int64_t count, float *scores, const char *label, bool quiet)
{
    indexed_pair *sorted = malloc(((size_t)count + 1) * sizeof *sorted);
    if (!sorted)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %lld pairs", (long long)count);
    for (int64_t i = 0; i < count; i++)
        sorted[i] = (indexed_pair){pairs[i], i};
    qsort(sorted, (size_t)count, sizeof *sorted, by_image);
    fb_progress progress;
    fb_progress_begin(&progress, label ? label : "", "pairs", 0, count,
                      quiet || !label);
    fb_status status = run(ctx, scorer, source, sorted, count, scores, &progress);
    fb_progress_end(&progress);
    free(sorted);
    return status;
}

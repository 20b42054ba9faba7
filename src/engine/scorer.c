/* scorer.c - scores of a request, by kind: the margin of the single stream, the
 * similarity of vectors, or both.
 *
 *     tia     m(triple)
 *     itc     scale cos(text, image) + bias
 *     both    share m(pair) + scale (cos(text, image) - weight (r + r)) + bias
 */
#include "engine/scorer_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_BYTES = 64 << 20 };

fb_status fb_scorer_create(fb_context *ctx, fb_scorer **scorer, fb_backend *be,
                           fb_matcher *matcher)
{
    fb_scorer *s = calloc(1, sizeof *s);
    if (!s)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to score");
    s->be = be;
    s->matcher = matcher;
    s->arena = fb_arena_create(ARENA_BYTES);
    fb_status status = s->arena ? fb_scorer_make_batch(ctx, s)
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
    fb_batch_free(scorer->pixels);
    fb_batch_free(scorer->made);
    fb_arena_free(scorer->arena);
    free(scorer);
}

void fb_scorer_use_neighbours(fb_scorer *scorer, const fb_neighbours *neighbours)
{
    scorer->neighbours = neighbours;
}

double fb_scorer_neighbour_weight(const fb_scorer *scorer)
{
    return scorer->neighbours ? scorer->matcher->config.neighbour_weight : 0;
}

/* ---- the single stream ------------------------------------------------------------- */

static int compare(int32_t a, int32_t b)
{
    return a < b ? -1 : a > b;
}

static int by_image(const void *a, const void *b)
{
    const fb_placed_triple *x = a, *y = b;
    if (x->triple.image != y->triple.image)
        return compare(x->triple.image, y->triple.image);
    if (x->triple.text != y->triple.text)
        return compare(x->triple.text, y->triple.text);
    if (x->triple.query != y->triple.query)
        return compare(x->triple.query, y->triple.query);
    return x->place < y->place ? -1 : x->place > y->place;
}

static fb_status run_sorted(fb_context *ctx, fb_scorer *s,
                            const fb_score_source *source,
                            const fb_placed_triple *triples, int64_t count,
                            float *margins, fb_progress *progress)
{
    FB_TRY(fb_scorer_begin(ctx, s, source));
    for (int64_t next = 0; next < count;) {
        FB_TRY(fb_scorer_fill(ctx, s, source, triples, count, &next));
        fb_tape tape = fb_scorer_tape(ctx, s);
        FB_TRY(s->matcher->system->score(s->matcher, &tape, s->batch, s->scores));
        for (int32_t i = 0; i < s->batch->pairs; i++)
            margins[s->order[i]] = s->scores[i];
        fb_progress_update(progress, next, 1.0, "");
    }
    return FB_OK;
}

static fb_status run_stream(fb_context *ctx, fb_scorer *s,
                            const fb_score_source *source,
                            const fb_score_request *request, float *margins)
{
    size_t count = (size_t)request->count;
    const char *unit = source->query ? "triples" : "pairs";
    fb_placed_triple *sorted = malloc((count + 1) * sizeof *sorted);
    if (!sorted)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %zu %s", count, unit);
    for (size_t i = 0; i < count; i++)
        sorted[i] = (fb_placed_triple){request->triples[i], (int64_t)i};
    qsort(sorted, count, sizeof *sorted, by_image);
    fb_progress progress;
    fb_progress_begin(&progress, request->label ? request->label : "", unit, 0,
                      request->count, request->quiet || !request->label);
    fb_status status =
        fb_matcher_gives(s->matcher, FB_GIVES_TOKENS)
            ? fb_scorer_run_tokens(ctx, s, source, request, sorted, margins, &progress)
            : run_sorted(ctx, s, source, sorted, request->count, margins, &progress);
    fb_progress_end(&progress);
    free(sorted);
    return status;
}

/* ---- both -------------------------------------------------------------------------- */

/* margins: alignment's, where it has a share; similarity */
static fb_status run_both(fb_context *ctx, fb_scorer *s, const fb_score_source *given,
                          const fb_score_request *request, float *margins,
                          float *similarity)
{
    fb_score_source source = *given;
    fb_score_features made = {.given = given};
    bool stream = s->matcher->config.alignment_weight > 0;
    fb_status status = FB_OK;
    if (stream)
        status = fb_score_features_make(ctx, s, &made, &source, request);
    if (status == FB_OK)
        status = fb_scorer_similarities(ctx, s, &source, request,
                                        fb_scorer_neighbour_weight(s), similarity);
    if (status == FB_OK && stream)
        status = run_stream(ctx, s, &source, request, margins);
    fb_score_features_clear(&made);
    return status;
}

static fb_status run_vectors(fb_context *ctx, fb_scorer *s,
                             const fb_score_source *source,
                             const fb_score_request *request, bool both, float *margins)
{
    const fb_matcher *m = s->matcher;
    float *similarity = malloc(((size_t)request->count + 1) * sizeof *similarity);
    if (!similarity)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %lld pairs",
                       (long long)request->count);
    double scale = m->system->similarity_scale(m), bias = m->config.score_bias;
    double share = both ? m->config.alignment_weight : 0.0;
    fb_status status =
        both ? run_both(ctx, s, source, request, margins, similarity)
             : fb_scorer_similarities(ctx, s, source, request, 0, similarity);
    for (int64_t i = 0; i < request->count && status == FB_OK; i++)
        margins[i] = (float)((share > 0 ? share * (double)margins[i] : 0.0) +
                             scale * (double)similarity[i] + bias);
    free(similarity);
    return status;
}

fb_status fb_score_kind_check(fb_context *ctx, fb_score_kind kind,
                              const fb_matcher *matcher)
{
    if (kind != FB_SCORE_ITC && !fb_matcher_gives(matcher, FB_GIVES_SCORE))
        return fb_fail(
            ctx, FB_E_STATE,
            "score %s: %s has vectors alone, and scores by their similarity: "
            "score itc",
            fb_score_kind_name(kind), matcher->system->name);
    if (kind == FB_SCORE_TIA || fb_matcher_gives(matcher, FB_GIVES_VECTORS))
        return FB_OK;
    return fb_fail(ctx, FB_E_STATE,
                   "score %s: this model gives no vectors; it was trained without the "
                   "contrastive loss",
                   fb_score_kind_name(kind));
}

static fb_status keep(fb_context *ctx, fb_score_record *record, const float *margins,
                      int64_t count)
{
    size_t all = (size_t)(record->count + count);
    float *grown = realloc(record->margins, (all + 1) * sizeof *grown);
    if (!grown)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to keep %zu scores", all);
    memcpy(grown + record->count, margins, (size_t)count * sizeof *grown);
    record->margins = grown;
    record->count = (int64_t)all;
    return FB_OK;
}

fb_status fb_scorer_run(fb_context *ctx, fb_scorer *scorer,
                        const fb_score_source *source, const fb_score_request *request,
                        fb_score_kind kind, float *margins)
{
    if (fb_scorer_reads_query(scorer) && !source->query)
        return fb_fail(ctx, FB_E_STATE,
                       "this model scores a title and an image for a query, not by "
                       "themselves; give it a query too");
    if (!fb_scorer_reads_query(scorer) && source->query)
        return fb_fail(ctx, FB_E_STATE,
                       "this model scores titles and images; it takes no query");
    FB_TRY(fb_score_kind_check(ctx, kind, scorer->matcher));
    if (kind == FB_SCORE_TIA)
        FB_TRY(run_stream(ctx, scorer, source, request, margins));
    else
        FB_TRY(
            run_vectors(ctx, scorer, source, request, kind == FB_SCORE_BOTH, margins));
    return scorer->record ? keep(ctx, scorer->record, margins, request->count) : FB_OK;
}

void fb_scorer_record(fb_scorer *scorer, fb_score_record *record)
{
    scorer->record = record;
}

float fb_score_probability(float margin)
{
    return 1.0f / (1.0f + expf(-margin));
}

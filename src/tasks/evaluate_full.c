/* evaluate_full.c - every distinct text of the split against every distinct image.
 *
 * One matrix of scores serves both directions: image to text ranks its columns, text to
 * image its rows. Items of the same product or text are hits, the best one's rank
 * counts.
 */
#include "tasks/evaluate.h"

#include "retrieval/ranking/trec.h"

#include <stdlib.h>

enum { PAIRS_MAX = 1 << 30 };

typedef struct full {
    fb_context *ctx;
    const fb_evaluate_options *options;
    fb_split_items *items;
    fb_full_pool *pool[2]; /* by direction: documents are texts, images */
    float *scores;         /* [texts, images] */
    float *line;           /* one query's scores */
    uint8_t *marks;
    fb_trec_candidate *ranked;
} full;

static fb_status score_all(full *f, const fb_pair_scorer *scorer)
{
    const fb_full_pool *texts = f->pool[FB_IMAGE_TO_TEXT];
    const fb_full_pool *images = f->pool[FB_TEXT_TO_IMAGE];
    int64_t count = (int64_t)texts->document_count * images->document_count;
    if (count > PAIRS_MAX)
        return fb_fail(
            f->ctx, FB_E_LIMIT,
            "%d texts and %d images are %lld pairs; --protocol full takes up to "
            "%d",
            (int)texts->document_count, (int)images->document_count, (long long)count,
            (int)PAIRS_MAX);
    f->scores = malloc(((size_t)count + 1) * sizeof *f->scores);
    fb_score_triple *pairs = malloc(((size_t)count + 1) * sizeof *pairs);
    fb_status status = FB_OK;
    if (!f->scores || !pairs)
        status =
            fb_fail(f->ctx, FB_E_MEMORY, "no memory for %lld pairs", (long long)count);
    for (int64_t i = 0; i < count && status == FB_OK; i++)
        pairs[i] = (fb_score_triple){-1, texts->documents[i / images->document_count],
                                     images->documents[i % images->document_count]};
    if (status == FB_OK)
        status = scorer->score(scorer->self, f->ctx, f->items, pairs, count, f->scores);
    free(pairs);
    return status;
}

/* The scores of one query item against all documents of its direction. */
static void take_line(full *f, fb_direction direction, int32_t query)
{
    const fb_full_pool *texts = f->pool[FB_IMAGE_TO_TEXT];
    const fb_full_pool *images = f->pool[FB_TEXT_TO_IMAGE];
    int64_t columns = images->document_count;
    if (direction == FB_IMAGE_TO_TEXT) {
        int64_t column = images->document_of[query];
        for (int64_t t = 0; t < texts->document_count; t++)
            f->line[t] = f->scores[t * columns + column];
    } else {
        int64_t row = texts->document_of[query];
        for (int64_t i = 0; i < columns; i++)
            f->line[i] = f->scores[row * columns + i];
    }
}

static fb_status write_query(full *f, fb_trec *trec, fb_direction direction,
                             int32_t query)
{
    const fb_full_pool *p = f->pool[direction];
    int64_t n = 0;
    for (int32_t i = 0; i < p->document_count; i++)
        if (f->marks[i] != FB_MARK_EXCLUDED)
            f->ranked[n++] = (fb_trec_candidate){
                f->items->ids[p->documents[i]], f->line[i], f->marks[i] == FB_MARK_HIT};
    return fb_trec_add(f->ctx, trec, f->items->ids[query], f->ranked, n);
}

static fb_status rank_queries(full *f, fb_direction direction, fb_ranks *ranks,
                              fb_trec *trec)
{
    const fb_full_pool *p = f->pool[direction];
    for (int32_t i = 0; i < p->query_count; i++) {
        fb_rank rank;
        int32_t query = p->queries[i];
        take_line(f, direction, query);
        fb_full_pool_mark(p, query, f->marks);
        FB_TRY(fb_rank_marked(f->ctx, &rank, f->line, f->marks, p->document_count));
        FB_TRY(fb_ranks_add(f->ctx, ranks,
                            (fb_ranks_entry){0, (int32_t)direction, query,
                                             f->items->items[query].category, rank}));
        if (trec)
            FB_TRY(write_query(f, trec, direction, query));
    }
    return FB_OK;
}

static fb_status rank_direction(full *f, fb_direction direction, fb_ranks *ranks)
{
    if (!f->options->trec[0])
        return rank_queries(f, direction, ranks, NULL);
    fb_trec trec;
    FB_TRY(fb_trec_open(f->ctx, &trec, f->options->trec, fb_direction_name(direction),
                        0, "fashionbert"));
    fb_status status = rank_queries(f, direction, ranks, &trec);
    if (status == FB_OK)
        return fb_trec_commit(f->ctx, &trec);
    fb_trec_abandon(&trec);
    return status;
}

/* Accuracy and AUC over all pairs of the matrix, hits against negatives. */
static fb_status match_all(full *f, fb_evaluation *e)
{
    const fb_full_pool *p = f->pool[FB_TEXT_TO_IMAGE];
    int64_t count = (int64_t)p->query_count * p->document_count, n = 0;
    float *scores = malloc(((size_t)count + 1) * sizeof *scores);
    uint8_t *labels = malloc((size_t)count + 1);
    fb_status status = FB_OK;
    if (!scores || !labels)
        status =
            fb_fail(f->ctx, FB_E_MEMORY, "no memory for %lld pairs", (long long)count);
    for (int32_t q = 0; q < p->query_count && status == FB_OK; q++) {
        take_line(f, FB_TEXT_TO_IMAGE, p->queries[q]);
        fb_full_pool_mark(p, p->queries[q], f->marks);
        for (int32_t i = 0; i < p->document_count; i++)
            if (f->marks[i] != FB_MARK_EXCLUDED) {
                scores[n] = f->line[i];
                labels[n++] = f->marks[i] == FB_MARK_HIT;
            }
    }
    if (status == FB_OK)
        status = fb_evaluate_matching(f->ctx, scores, labels, n, e);
    free(labels);
    free(scores);
    return status;
}

static fb_status run(full *f, const fb_pair_scorer *scorer, fb_ranks *ranks,
                     fb_evaluation *e)
{
    for (int d = 0; d < 2; d++)
        FB_TRY(fb_full_pool_create(f->ctx, &f->pool[d], f->items->items,
                                   f->items->count, (fb_direction)d));
    size_t n = (size_t)f->items->count + 1;
    f->line = malloc(n * sizeof *f->line);
    f->marks = malloc(n);
    f->ranked = malloc(n * sizeof *f->ranked);
    if (!f->line || !f->marks || !f->ranked)
        return fb_fail(f->ctx, FB_E_MEMORY, "no memory for a pool");
    FB_TRY(score_all(f, scorer));
    ranks->draws = 1;
    for (int d = 0; d < 2; d++)
        FB_TRY(rank_direction(f, (fb_direction)d, ranks));
    e->pairs_scored = (int64_t)f->pool[0]->document_count * f->pool[1]->document_count;
    return match_all(f, e);
}

fb_status fb_evaluate_full(fb_context *ctx, const fb_pair_scorer *scorer,
                           fb_split_items *items, const fb_evaluate_options *options,
                           fb_ranks *ranks, fb_evaluation *evaluation)
{
    full f = {.ctx = ctx, .options = options, .items = items};
    fb_status status = run(&f, scorer, ranks, evaluation);
    fb_full_pool_free(f.pool[0]);
    fb_full_pool_free(f.pool[1]);
    free(f.ranked);
    free(f.marks);
    free(f.line);
    free(f.scores);
    return status;
}

/* evaluate_sampled.c - each query against its own product and up to 100 others.
 *
 * The same pair often stands in several draws and in both directions, so pairs are made
 * unique first and scored once; a pair is text * items + image, sorted, found by
 * bisection.
 */
#include "tasks/evaluate.h"

#include "base/file.h"
#include "retrieval/ranking/trec.h"

#include <stdlib.h>
#include <string.h>

typedef struct sampled {
    fb_context *ctx;
    const fb_evaluate_options *options;
    fb_split_items *items;
    fb_candidate_set *set;
    uint64_t *keys; /* [pair_count] sorted, unique */
    float *scores;  /* [pair_count] */
    int64_t pair_count;
} sampled;

static uint64_t pair_key(const sampled *s, fb_direction direction, int32_t query,
                         int32_t candidate)
{
    int32_t text = direction == FB_IMAGE_TO_TEXT ? candidate : query;
    int32_t image = direction == FB_IMAGE_TO_TEXT ? query : candidate;
    return (uint64_t)s->items->same_text[text] * (uint64_t)s->items->count +
           (uint64_t)s->items->same_image[image];
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static float score_of(const sampled *s, fb_direction direction, int32_t query,
                      int32_t candidate)
{
    uint64_t key = pair_key(s, direction, query, candidate);
    const uint64_t *at =
        bsearch(&key, s->keys, (size_t)s->pair_count, sizeof key, by_number);
    return s->scores[at - s->keys];
}

/* Every pair of every list into keys (NULL: only counted). */
static int64_t list_pairs(const sampled *s, uint64_t *keys)
{
    int64_t n = 0;
    for (int32_t draw = 0; draw < s->set->options.draws; draw++)
        for (int d = 0; d < 2; d++) {
            int64_t lists;
            fb_direction direction = (fb_direction)d;
            const fb_candidate_list *l =
                fb_candidate_set_group(s->set, draw, direction, &lists);
            for (int64_t i = 0; i < lists; i++) {
                if (keys)
                    keys[n] = pair_key(s, direction, l[i].query, l[i].positive);
                n++;
                for (int32_t k = 0; k < l[i].count; k++, n++)
                    if (keys)
                        keys[n] = pair_key(s, direction, l[i].query,
                                           s->set->items[l[i].offset + k]);
            }
        }
    return n;
}

static fb_status collect(sampled *s)
{
    int64_t all = list_pairs(s, NULL), unique = 0;
    s->keys = malloc(((size_t)all + 1) * sizeof *s->keys);
    s->scores = malloc(((size_t)all + 1) * sizeof *s->scores);
    if (!s->keys || !s->scores)
        return fb_fail(s->ctx, FB_E_MEMORY, "no memory for %lld pairs", (long long)all);
    list_pairs(s, s->keys);
    qsort(s->keys, (size_t)all, sizeof *s->keys, by_number);
    for (int64_t i = 0; i < all; i++)
        if (i == 0 || s->keys[i] != s->keys[i - 1])
            s->keys[unique++] = s->keys[i];
    s->pair_count = unique;
    return FB_OK;
}

static fb_status score_all(sampled *s, const fb_pair_scorer *scorer)
{
    uint64_t items = (uint64_t)s->items->count;
    fb_score_triple *pairs = malloc(((size_t)s->pair_count + 1) * sizeof *pairs);
    fb_status status = FB_OK;
    if (!pairs)
        status = fb_fail(s->ctx, FB_E_MEMORY, "no memory for the pairs");
    for (int64_t i = 0; i < s->pair_count && status == FB_OK; i++)
        pairs[i] = (fb_score_triple){-1, (int32_t)(s->keys[i] / items),
                                     (int32_t)(s->keys[i] % items)};
    if (status == FB_OK)
        status = scorer->score(scorer->self, s->ctx, s->items, pairs, s->pair_count,
                               s->scores);
    free(pairs);
    return status;
}

/* Scratch of a list, [negative_count] each. */
typedef struct sheet {
    float *negatives;
    int32_t *alike; /* equal numbers: the same text for an image, photo for a text */
} sheet;

static fb_status rank_list(sampled *s, int32_t draw, fb_direction direction,
                           const fb_candidate_list *l, const sheet *page,
                           fb_ranks *ranks)
{
    fb_rank rank;
    float *negatives = page->negatives;
    const int32_t *same =
        direction == FB_IMAGE_TO_TEXT ? s->items->same_text : s->items->same_image;
    for (int32_t k = 0; k < l->count; k++)
        negatives[k] = score_of(s, direction, l->query, s->set->items[l->offset + k]);
    FB_TRY(fb_rank_positive(s->ctx, &rank,
                            score_of(s, direction, l->query, l->positive), negatives,
                            l->count));
    for (int32_t k = 0; k < l->count; k++)
        page->alike[k] = same[s->set->items[l->offset + k]];
    rank.chance = fb_chance_of_alike(page->alike, l->count);
    return fb_ranks_add(s->ctx, ranks,
                        (fb_ranks_entry){draw, (int32_t)direction, l->query,
                                         s->items->items[l->query].category, rank});
}

static fb_status rank_all(sampled *s, fb_ranks *ranks)
{
    size_t most = (size_t)s->set->options.negative_count + 1;
    sheet page = {malloc(most * sizeof *page.negatives),
                  malloc(most * sizeof *page.alike)};
    ranks->draws = s->set->options.draws;
    ranks->left_out = s->set->left_out;
    ranks->differ = calloc((size_t)s->items->category_count + 1, sizeof *ranks->differ);
    fb_status status = FB_OK;
    if (!page.negatives || !page.alike || !ranks->differ)
        status = fb_fail(s->ctx, FB_E_MEMORY, "no memory for a pool");
    if (status == FB_OK)
        status =
            fb_candidate_draws_differ(s->ctx, s->set, s->items->items, ranks->differ);
    for (int32_t draw = 0; draw < ranks->draws && status == FB_OK; draw++)
        for (int d = 0; d < 2; d++) {
            int64_t lists;
            const fb_candidate_list *l =
                fb_candidate_set_group(s->set, draw, (fb_direction)d, &lists);
            for (int64_t i = 0; i < lists && status == FB_OK; i++)
                status = rank_list(s, draw, (fb_direction)d, &l[i], &page, ranks);
        }
    free(page.negatives);
    free(page.alike);
    return status;
}

/* Each list gives its matched pair and, as a fair mismatch, its first negative. */
static fb_status match_all(sampled *s, fb_evaluation *e)
{
    int64_t count = s->set->list_count * 2, n = 0;
    float *scores = malloc(((size_t)count + 1) * sizeof *scores);
    uint8_t *labels = malloc((size_t)count + 1);
    fb_status status = FB_OK;
    if (!scores || !labels)
        status =
            fb_fail(s->ctx, FB_E_MEMORY, "no memory for %lld pairs", (long long)count);
    for (int32_t draw = 0; draw < s->set->options.draws && status == FB_OK; draw++)
        for (int d = 0; d < 2; d++) {
            int64_t lists;
            const fb_candidate_list *l =
                fb_candidate_set_group(s->set, draw, (fb_direction)d, &lists);
            for (int64_t i = 0; i < lists; i++) {
                scores[n] = score_of(s, (fb_direction)d, l[i].query, l[i].positive);
                labels[n++] = 1;
                scores[n] = score_of(s, (fb_direction)d, l[i].query,
                                     s->set->items[l[i].offset]);
                labels[n++] = 0;
            }
        }
    if (status == FB_OK)
        status = fb_evaluate_matching(s->ctx, scores, labels, n, e);
    free(labels);
    free(scores);
    return status;
}

static fb_status write_group(sampled *s, int32_t draw, fb_direction direction,
                             fb_trec_candidate *pool)
{
    fb_trec trec;
    FB_TRY(fb_trec_open(s->ctx, &trec, s->options->trec, fb_direction_name(direction),
                        draw, "fashionbert"));
    int64_t lists;
    fb_status status = FB_OK;
    const char **ids = s->items->ids;
    const fb_candidate_list *l =
        fb_candidate_set_group(s->set, draw, direction, &lists);
    for (int64_t i = 0; i < lists && status == FB_OK; i++) {
        pool[0] = (fb_trec_candidate){ids[l[i].positive],
                                      score_of(s, direction, l[i].query, l[i].positive),
                                      true};
        for (int32_t k = 0; k < l[i].count; k++) {
            int32_t other = s->set->items[l[i].offset + k];
            pool[k + 1] = (fb_trec_candidate){
                ids[other], score_of(s, direction, l[i].query, other), false};
        }
        status = fb_trec_add(s->ctx, &trec, ids[l[i].query], pool, l[i].count + 1);
    }
    if (status == FB_OK)
        return fb_trec_commit(s->ctx, &trec);
    fb_trec_abandon(&trec);
    return status;
}

static fb_status write_trec(sampled *s)
{
    fb_trec_candidate *pool =
        malloc(((size_t)s->set->options.negative_count + 1) * sizeof *pool);
    if (!pool)
        return fb_fail(s->ctx, FB_E_MEMORY, "no memory for a pool");
    fb_status status = FB_OK;
    for (int32_t draw = 0; draw < s->set->options.draws && status == FB_OK; draw++)
        for (int d = 0; d < 2 && status == FB_OK; d++)
            status = write_group(s, draw, (fb_direction)d, pool);
    free(pool);
    return status;
}

fb_status fb_evaluate_candidates(fb_context *ctx, const fb_evaluate_options *o,
                                 fb_split_items *items, fb_candidate_set **set)
{
    fb_candidate_options c = {.queries = o->queries,
                              .negative_count = o->negative_count,
                              .min_candidates = o->min_candidates,
                              .draws = o->draws,
                              .seed = o->seed};
    FB_TRY(fb_negative_rule_parse(ctx, &c.negatives, o->negatives));
    if (o->candidates[0] && fb_path_exists(o->candidates))
        return fb_candidate_set_read(ctx, set, o->candidates, &items->names, &c);
    FB_TRY(fb_candidate_set_draw(ctx, set, items->items, items->count, &c));
    if ((*set)->list_count == 0)
        return fb_fail(ctx, FB_E_MISSING,
                       "no item of split %s has %d others to be ranked against%s",
                       o->split, (int)o->min_candidates,
                       o->min_candidates > 1
                           ? "; try a smaller --min-candidates or --negatives any"
                       : strcmp(o->negatives, "any") == 0 ? ""
                                                          : "; try --negatives any");
    if (!o->candidates[0])
        return FB_OK;
    return fb_candidate_set_write(ctx, *set, o->candidates, &items->names);
}

static fb_status run(sampled *s, const fb_pair_scorer *scorer, fb_ranks *ranks,
                     fb_evaluation *e)
{
    FB_TRY(fb_evaluate_candidates(s->ctx, s->options, s->items, &s->set));
    FB_TRY(collect(s));
    FB_TRY(score_all(s, scorer));
    FB_TRY(rank_all(s, ranks));
    FB_TRY(match_all(s, e));
    e->pairs_scored = s->pair_count;
    return s->options->trec[0] ? write_trec(s) : FB_OK;
}

fb_status fb_evaluate_sampled(fb_context *ctx, const fb_pair_scorer *scorer,
                              fb_split_items *items, const fb_evaluate_options *options,
                              fb_ranks *ranks, fb_evaluation *evaluation)
{
    sampled s = {.ctx = ctx, .options = options, .items = items};
    fb_status status = run(&s, scorer, ranks, evaluation);
    fb_candidate_set_free(s.set);
    free(s.keys);
    free(s.scores);
    return status;
}

/* query_ranking.c - see query_ranking.h. Each triple of the lists is scored once (a
 * query and an item may stand in many lists), then lists are ranked.
 *
 *     keys    query * items + item, ascending, each once; scores [keys]
 */
#include "engine/query_ranking.h"

#include "retrieval/ranking/candidates.h"
#include "retrieval/ranking/ndcg.h"
#include "retrieval/ranking/ranking_metrics.h"
#include "retrieval/ranking/trec.h"

#include <stdlib.h>
#include <string.h>

enum { NDCG_K = 10 };

typedef struct ranking {
    fb_context *ctx;
    const fb_query_ranker *with;
    const fb_query_ranking_options *options;
    const fb_query_set *set;
    fb_query_lists all;
    uint64_t *keys;
    float *scores;
    int64_t key_count;
    int32_t *ids; /* [max_text] scratch */
} ranking;

static fb_status fail_memory(ranking *r)
{
    return fb_fail(r->ctx, FB_E_MEMORY, "no memory to rank %lld lists",
                   (long long)r->all.count);
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* ---- scores ---------------------------------------------------------------------- */

static uint64_t key_of(const ranking *r, int32_t query, int32_t item)
{
    return (uint64_t)query * (uint64_t)fb_catalogue_count(r->with->catalogue) +
           (uint64_t)item;
}

static fb_status encode(ranking *r, const char *text, const int32_t **ids,
                        int32_t *count)
{
    *ids = r->ids;
    return fb_wordpiece_encode_wrapped(r->ctx, r->with->vocab, text, strlen(text),
                                       r->with->config->max_text, r->ids, count);
}

static fb_status source_query(void *self, fb_context *ctx, int32_t query,
                              const int32_t **ids, int32_t *count)
{
    ranking *r = self;
    (void)ctx;
    return encode(r, fb_query_set_text(r->set, query), ids, count);
}

static fb_status source_title(void *self, fb_context *ctx, int32_t item,
                              const int32_t **ids, int32_t *count)
{
    ranking *r = self;
    (void)ctx;
    return encode(r, fb_catalogue_get(r->with->catalogue, item)->title, ids, count);
}

static fb_status source_image(void *self, fb_context *ctx, int32_t item,
                              uint8_t *pixels)
{
    const fb_query_ranker *with = ((ranking *)self)->with;
    char path[4096];
    FB_TRY(fb_catalogue_image_path(ctx, with->catalogue, item, path));
    return fb_image_load(ctx, path, with->resizer, with->config->image_size,
                         with->config->squash ? FB_FIT_SQUASH : FB_FIT_PAD,
                         FB_FILTER_BILINEAR, pixels);
}

/* Every query and item of lists and of what is judged, once; not what is excluded. */
static fb_status collect(ranking *r)
{
    const fb_query_lists *a = &r->all;
    int64_t n = 0;
    r->keys = malloc((size_t)(a->entry_count + a->judged_count + 1) * sizeof *r->keys);
    if (!r->keys)
        return fail_memory(r);
    for (int64_t i = 0; i < a->count; i++) {
        const fb_query_list *l = &a->lists[i];
        for (int64_t k = l->first; k < l->first + l->count; k++)
            if (a->entries[k].mark != FB_MARK_EXCLUDED)
                r->keys[n++] = key_of(r, l->query, a->entries[k].item);
    }
    for (int64_t i = 0; i < a->judged_count; i++)
        r->keys[n++] = key_of(r, a->judged[i].query, a->judged[i].item);
    qsort(r->keys, (size_t)n, sizeof *r->keys, by_key);
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || r->keys[i] != r->keys[i - 1])
            r->keys[r->key_count++] = r->keys[i];
    return FB_OK;
}

static fb_status score_all(ranking *r)
{
    uint64_t items = (uint64_t)fb_catalogue_count(r->with->catalogue);
    fb_score_triple *triples = malloc((size_t)(r->key_count + 1) * sizeof *triples);
    r->scores = malloc((size_t)(r->key_count + 1) * sizeof *r->scores);
    r->ids = malloc((size_t)r->with->config->max_text * sizeof *r->ids);
    fb_status status = triples && r->scores && r->ids ? FB_OK : fail_memory(r);
    for (int64_t i = 0; i < r->key_count && status == FB_OK; i++) {
        int32_t item = (int32_t)(r->keys[i] % items);
        triples[i] = (fb_score_triple){(int32_t)(r->keys[i] / items), item, item};
    }
    const fb_score_source source = {
        .self = r, .query = source_query, .text = source_title, .image = source_image};
    const fb_score_request request = {triples, r->key_count, r->options->label,
                                      r->options->quiet};
    if (status == FB_OK)
        status = fb_scorer_run(r->ctx, r->with->scorer, &source, &request, FB_SCORE_TIA,
                               r->scores);
    free(triples);
    return status;
}

static float score_of(const ranking *r, int32_t query, int32_t item)
{
    uint64_t key = key_of(r, query, item);
    const uint64_t *at =
        bsearch(&key, r->keys, (size_t)r->key_count, sizeof *r->keys, by_key);
    return at ? r->scores[at - r->keys] : 0; /* 0: excluded */
}

/* ---- ranks ----------------------------------------------------------------------- */

/* A list's scores and marks, and what a TREC file says of it. */
typedef struct sheet {
    float *scores;
    uint8_t *marks;
    fb_trec_candidate *candidates;
} sheet;

static fb_status sheet_make(ranking *r, sheet *s)
{
    size_t most = 1;
    for (int64_t i = 0; i < r->all.count; i++)
        if ((size_t)r->all.lists[i].count > most)
            most = (size_t)r->all.lists[i].count;
    s->scores = malloc(most * sizeof *s->scores);
    s->marks = malloc(most);
    s->candidates = malloc(most * sizeof *s->candidates);
    return s->scores && s->marks && s->candidates ? FB_OK : fail_memory(r);
}

static void sheet_free(sheet *s)
{
    free(s->scores);
    free(s->marks);
    free(s->candidates);
}

static void sheet_fill(const ranking *r, sheet *s, const fb_query_list *l)
{
    for (int32_t i = 0; i < l->count; i++) {
        const fb_query_entry *e = &r->all.entries[l->first + i];
        s->scores[i] = score_of(r, l->query, e->item);
        s->marks[i] = e->mark;
    }
}

/* A query's id is its text, under sampled with the product that is looked for. */
static fb_status write_list(ranking *r, fb_trec *trec, const fb_query_list *l, sheet *s)
{
    char id[6000];
    int64_t n = 0;
    const char *text = fb_query_set_text(r->set, l->query), *product = "";
    for (int32_t i = 0; i < l->count; i++) {
        const fb_catalogue_item *item =
            fb_catalogue_get(r->with->catalogue, r->all.entries[l->first + i].item);
        bool hit = s->marks[i] == FB_MARK_HIT;
        if (hit && l->product >= 0)
            product = item->product_id;
        if (s->marks[i] != FB_MARK_EXCLUDED)
            s->candidates[n++] =
                (fb_trec_candidate){item->file_name, s->scores[i], hit};
    }
    snprintf(id, sizeof id, "%.4500s%s%.1400s", text, product[0] ? " / " : "", product);
    return fb_trec_add(r->ctx, trec, id, s->candidates, n);
}

/* Lists from `first` on, of one draw: their means, and sums for the report. */
static fb_status rank_lists(ranking *r, const fb_query_list *lists, int64_t count,
                            fb_trec *trec, sheet *s, fb_ranking *mean,
                            fb_query_report *sums)
{
    fb_rank *ranks = malloc(((size_t)count + 1) * sizeof *ranks);
    fb_status status = ranks ? FB_OK : fail_memory(r);
    for (int64_t i = 0; i < count && status == FB_OK; i++) {
        const fb_query_list *l = &lists[i];
        fb_ndcg_result n = {0};
        sheet_fill(r, s, l);
        status = fb_rank_marked(r->ctx, &ranks[i], s->scores, s->marks, l->count);
        if (status == FB_OK)
            status = fb_ndcg(r->ctx, &n, s->scores, s->marks, l->count, NDCG_K);
        if (status == FB_OK && trec)
            status = write_list(r, trec, l, s);
        sums->ndcg10 += n.ndcg;
        sums->chance_ndcg10 += n.chance;
    }
    if (status == FB_OK)
        status = fb_ranking_from_ranks(r->ctx, mean, ranks, count);
    free(ranks);
    return status;
}

static fb_status rank_draw(ranking *r, const fb_query_list *lists, int64_t count,
                           sheet *s, fb_ranking *mean, fb_query_report *sums)
{
    fb_trec trec;
    if (!r->options->trec[0])
        return rank_lists(r, lists, count, NULL, s, mean, sums);
    FB_TRY(fb_trec_open(r->ctx, &trec, r->options->trec, "query_to_product",
                        lists[0].draw, "fashionbert"));
    fb_status status = rank_lists(r, lists, count, &trec, s, mean, sums);
    if (status == FB_OK)
        return fb_trec_commit(r->ctx, &trec);
    fb_trec_abandon(&trec);
    return status;
}

/* Whether a list of a later draw differs from the first draw's of the same row: else
 * every draw takes all that there is. */
static fb_status compare_draws(ranking *r, int32_t draws, bool *differ)
{
    const fb_query_lists *all = &r->all;
    int64_t each = all->count / draws;
    int32_t *a = malloc(((size_t)all->entry_count + 1) * sizeof *a), *b;
    if (!a)
        return fail_memory(r);
    *differ = all->count % draws != 0;
    for (int64_t i = each; i < all->count && !*differ; i++) {
        const fb_query_list *x = &all->lists[i % each], *y = &all->lists[i];
        *differ = x->query != y->query || x->product != y->product ||
                  x->count != y->count || y->draw != i / each;
        b = a + x->count;
        for (int32_t k = 0; k < x->count && !*differ; k++) {
            a[k] = all->entries[x->first + k].item;
            b[k] = all->entries[y->first + k].item;
        }
        *differ = *differ || !fb_candidate_same_members(a, b, x->count);
    }
    free(a);
    return FB_OK;
}

static fb_status rank_all(ranking *r, fb_query_report *report)
{
    const fb_query_lists *all = &r->all;
    int32_t draws = all->lists[all->count - 1].draw + 1;
    sheet s = {0};
    fb_ranking *means = calloc((size_t)draws, sizeof *means);
    fb_query_report sums = {0};
    bool differ = false;
    fb_status status = sheet_make(r, &s);
    if (status == FB_OK)
        status = compare_draws(r, draws, &differ);
    if (status == FB_OK && !means)
        status = fail_memory(r);
    for (int64_t first = 0, end; first < all->count && status == FB_OK; first = end) {
        int32_t draw = all->lists[first].draw;
        for (end = first; end < all->count && all->lists[end].draw == draw; end++)
            ;
        status = rank_draw(r, all->lists + first, end - first, &s, &means[draw], &sums);
    }
    if (status == FB_OK) {
        double lists = (double)all->count;
        fb_ranking_mean(&report->ranking, means, draws);
        report->ranking.left_out = all->left_out / draws;
        report->draws = differ ? draws : 1;
        report->ndcg10 = sums.ndcg10 / lists;
        report->chance_ndcg10 = sums.chance_ndcg10 / lists;
    }
    free(means);
    sheet_free(&s);
    return status;
}

static fb_status judge_all(ranking *r, fb_query_report *report)
{
    int64_t n = r->all.judged_count;
    float *scores = malloc(((size_t)n + 1) * sizeof *scores);
    uint8_t *labels = malloc((size_t)n + 1);
    fb_status status = scores && labels ? FB_OK : fail_memory(r);
    for (int64_t i = 0; i < n && status == FB_OK; i++) {
        const fb_query_judged *j = &r->all.judged[i];
        scores[i] = score_of(r, j->query, j->item);
        labels[i] = j->matched;
    }
    if (status == FB_OK)
        status = fb_accuracy(r->ctx, &report->accuracy, scores, labels, n, 0.0f);
    if (status == FB_OK)
        status = fb_auc(r->ctx, &report->auc, scores, labels, n);
    free(scores);
    free(labels);
    return status;
}

fb_status fb_query_rank(fb_context *ctx, const fb_query_ranker *ranker,
                        const fb_query_ranking_options *options,
                        fb_query_report *report)
{
    ranking r = {.ctx = ctx,
                 .with = ranker,
                 .options = options,
                 .set = fb_query_split_set(ranker->split)};
    fb_query_report fresh = {0};
    FB_TRY(fb_query_lists_make(ctx, &r.all, ranker->split, ranker->catalogue, options));
    fb_status status = collect(&r);
    if (status == FB_OK)
        status = score_all(&r);
    if (status == FB_OK)
        status = rank_all(&r, &fresh);
    if (status == FB_OK)
        status = judge_all(&r, &fresh);
    fresh.triples_scored = r.key_count;
    if (status == FB_OK)
        *report = fresh;
    fb_query_lists_clear(&r.all);
    free(r.keys);
    free(r.scores);
    free(r.ids);
    return status;
}

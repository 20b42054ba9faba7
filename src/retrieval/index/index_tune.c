/* index_tune.c - see index_tune.h. */
#include "retrieval/index/index_tune.h"

#include <stdlib.h>

enum { K = 10, CODES_WIDENED = 20, NEAR_MORE = 16 };

int32_t fb_ann_wanted(fb_ann_kind kind, fb_storage storage, int32_t k)
{
    int32_t most = INT32_MAX / (CODES_WIDENED + NEAR_MORE);
    if (k >= most)
        return k;
    if (kind == FB_ANN_IVFPQ)
        return k * CODES_WIDENED;
    return storage == FB_STORED_INT8 ? k + k / 2 + NEAR_MORE : k;
}

typedef struct tuning {
    fb_context *ctx;
    const fb_backend *be;
    const fb_index_probe *probe;
    fb_scored *exact; /* [queries, K + 1] */
    int64_t *found;   /* [wanted] */
    int32_t k;        /* of the answers that are compared: at most K */
} tuning;

static int64_t own_row(const fb_index_probe *p, int64_t q)
{
    return p->own ? p->own[q] : -1;
}

/* The last of a query's exact answers, of which there are k without its own row. */
static float least_score(const tuning *t, int64_t q)
{
    const fb_scored *exact = t->exact + q * (K + 1);
    int32_t last = t->k - 1;
    for (int32_t i = 0; i < t->k; i++)
        if (exact[i].row == own_row(t->probe, q))
            last = t->k;
    return exact[last].score;
}

/* How many of the exact answers of query q the index finds. A row as good as the last
 * of them counts: which of equal rows stands there is chance. */
static fb_status count_found(const tuning *t, int64_t q, int32_t effort, int64_t *hits)
{
    const fb_index_probe *p = t->probe;
    int32_t wanted = fb_ann_wanted(p->kind, p->vectors->storage, t->k + 1);
    fb_scored heap[K];
    fb_row_query query;
    fb_top_k top = fb_top_k_begin(heap, t->k);
    const float *numbers = p->queries.rows + q * p->queries.width;
    fb_row_query_set(&query, t->be, p->vectors, numbers);
    FB_TRY(fb_ann_search(t->ctx, p->ann, numbers, wanted, effort, NULL, t->found));
    for (int32_t i = 0; i < wanted && t->found[i] >= 0; i++)
        if (t->found[i] != own_row(p, q))
            fb_top_k_add(&top, t->found[i], fb_row_query_score(&query, t->found[i]));
    float least = least_score(t, q);
    *hits = 0;
    for (int64_t i = 0; i < top.count; i++)
        *hits += heap[i].score >= least;
    return FB_OK;
}

static fb_status measure(const tuning *t, int32_t effort, double *recall)
{
    int64_t queries = t->probe->queries.count, hits = 0, one;
    for (int64_t q = 0; q < queries; q++) {
        FB_TRY(count_found(t, q, effort, &one));
        hits += one;
    }
    *recall = queries > 0 ? (double)hits / (double)(queries * t->k) : 1.0;
    return FB_OK;
}

static fb_status tune(tuning *t, int32_t *effort, double *recall10)
{
    const fb_index_probe *p = t->probe;
    int64_t others = p->vectors->count - (p->own ? 1 : 0);
    size_t wanted = (size_t)fb_ann_wanted(p->kind, p->vectors->storage, K + 1);
    t->k = others < K ? (int32_t)others : K;
    if (t->k < 1) { /* there is nothing to find */
        *recall10 = 1.0;
        return FB_OK;
    }
    t->exact = calloc((size_t)p->queries.count * (K + 1) + 1, sizeof *t->exact);
    t->found = calloc(wanted, sizeof *t->found);
    if (!t->exact || !t->found)
        return fb_fail(t->ctx, FB_E_MEMORY, "no memory to measure recall");
    FB_TRY(
        fb_exact_search_many(t->ctx, t->be, p->vectors, &p->queries, K + 1, t->exact));
    int32_t e = *effort > FB_EFFORT_LEAST ? *effort : FB_EFFORT_LEAST;
    FB_TRY(measure(t, e, recall10));
    while (!(*recall10 >= FB_RECALL_WANTED) && e < FB_EFFORT_MOST) {
        e *= 2;
        FB_TRY(measure(t, e, recall10));
    }
    *effort = e;
    return FB_OK;
}

fb_status fb_index_tune(fb_context *ctx, const fb_backend *be,
                        const fb_index_probe *probe, int32_t *effort, double *recall10)
{
    tuning t = {.ctx = ctx, .be = be, .probe = probe};
    fb_status status = tune(&t, effort, recall10);
    free(t.exact);
    free(t.found);
    return status;
}

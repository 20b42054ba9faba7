/* index_tune.c - see index_tune.h. */
#include "retrieval/index/index_tune.h"

#include <stdlib.h>

enum { K = 10, CODES_WIDENED = 20 };

int32_t fb_ann_wanted(fb_ann_kind kind, int32_t k)
{
    if (kind == FB_ANN_HNSW)
        return k;
    return k < INT32_MAX / CODES_WIDENED ? k * CODES_WIDENED : k;
}

typedef struct tuning {
    fb_context *ctx;
    const fb_backend *be;
    const fb_index_probe *probe;
    fb_scored *exact; /* [queries, K] */
    int64_t *found;   /* [wanted] */
} tuning;

/* How many of the exact answers of query q the index finds. A row as good as the last
 * of them counts: which of equal rows stands there is chance. */
static fb_status count_found(const tuning *t, int64_t q, int32_t effort, int64_t *hits)
{
    const fb_index_probe *p = t->probe;
    int32_t wanted = fb_ann_wanted(p->kind, K);
    int64_t width = p->vectors.width;
    const float *query = p->queries.rows + q * width;
    fb_scored heap[K];
    fb_top_k top = fb_top_k_begin(heap, K);
    FB_TRY(fb_ann_search(t->ctx, p->ann, query, wanted, effort, NULL, t->found));
    for (int32_t i = 0; i < wanted && t->found[i] >= 0; i++) {
        float score;
        t->be->k->row_products(t->be, &score, p->vectors.rows + t->found[i] * width, 1,
                               width, query);
        fb_top_k_add(&top, t->found[i], score);
    }
    const fb_scored *exact = t->exact + q * K;
    int64_t last = K - 1;
    while (last > 0 && exact[last].row < 0)
        last--;
    *hits = 0;
    for (int64_t i = 0; i < top.count; i++)
        *hits += heap[i].score >= exact[last].score;
    return FB_OK;
}

static fb_status measure(const tuning *t, int32_t effort, double *recall)
{
    int64_t queries = t->probe->queries.count, rows = t->probe->vectors.count;
    int64_t hits = 0, one, k = rows < K ? rows : K;
    for (int64_t q = 0; q < queries; q++) {
        FB_TRY(count_found(t, q, effort, &one));
        hits += one;
    }
    *recall = queries > 0 && k > 0 ? (double)hits / (double)(queries * k) : 1.0;
    return FB_OK;
}

static fb_status tune(tuning *t, int32_t *effort, double *recall10)
{
    const fb_index_probe *p = t->probe;
    size_t wanted = (size_t)fb_ann_wanted(p->kind, K);
    t->exact = calloc((size_t)p->queries.count * K + 1, sizeof *t->exact);
    t->found = calloc(wanted, sizeof *t->found);
    if (!t->exact || !t->found)
        return fb_fail(t->ctx, FB_E_MEMORY, "no memory to measure recall");
    FB_TRY(fb_exact_search_many(t->ctx, t->be, &p->vectors, &p->queries, K, t->exact));
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

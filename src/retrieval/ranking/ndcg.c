/* ndcg.c - see ndcg.h. */
#include "retrieval/ranking/ndcg.h"
#include "retrieval/ranking/ranking_metrics.h"

#include <math.h>
#include <stdlib.h>

typedef struct ranked {
    float score;
    bool hit;
} ranked;

/* Best first; of equals, hits last. */
static int by_score(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (int)x->hit - (int)y->hit;
}

static double gain(int64_t rank)
{
    return 1 / log2((double)rank + 1);
}

fb_status fb_ndcg(fb_context *ctx, fb_ndcg_result *result, const float *scores,
                  const uint8_t *marks, int64_t count, int64_t k)
{
    ranked *list = malloc(((size_t)count + 1) * sizeof *list);
    int64_t n = 0, hits = 0;
    if (!list)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to rank %lld documents",
                       (long long)count);
    for (int64_t i = 0; i < count; i++) {
        if (marks[i] == FB_MARK_EXCLUDED)
            continue;
        if (!isfinite(scores[i])) {
            free(list);
            return fb_fail(ctx, FB_E_NUMBER,
                           "score %lld is %f: scores must be finite to be ranked",
                           (long long)i, (double)scores[i]);
        }
        hits += marks[i] == FB_MARK_HIT;
        list[n++] = (ranked){scores[i], marks[i] == FB_MARK_HIT};
    }
    qsort(list, (size_t)n, sizeof *list, by_score);
    double got = 0, best = 0, all = 0;
    for (int64_t i = 0; i < n && i < k; i++) {
        got += list[i].hit ? gain(i + 1) : 0;
        best += i < hits ? gain(i + 1) : 0;
        all += gain(i + 1);
    }
    free(list);
    if (hits == 0)
        return fb_fail(ctx, FB_E_MISSING, "none of %lld documents is a right answer",
                       (long long)count);
    double share = (double)hits / (double)n;
    *result = (fb_ndcg_result){got / best, share * all / best};
    return FB_OK;
}

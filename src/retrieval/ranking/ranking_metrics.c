/* ranking_metrics.c - ranks with ties against the positive, their means, AUC by ranks.
 *
 * AUC (Mann-Whitney): sort all n scores ascending, give tied scores the mean of their
 * places 1..n, then
 *
 *     AUC = (sum of the places of the matched - m (m + 1) / 2) / (m (n - m))
 *
 * for m matched of n pairs. Tied places are kept doubled, so all sums are whole
 * numbers.
 */
#include "retrieval/ranking/ranking_metrics.h"

#include <math.h>
#include <stdlib.h>

static fb_status not_finite(fb_context *ctx, int64_t index, float score)
{
    return fb_fail(ctx, FB_E_NUMBER,
                   "score %lld is %f: scores must be finite to be ranked",
                   (long long)index, (double)score);
}

fb_status fb_rank_positive(fb_context *ctx, fb_rank *rank, float positive,
                           const float *negatives, int64_t count)
{
    if (!isfinite(positive))
        return fb_fail(ctx, FB_E_NUMBER,
                       "the positive's score is %f: scores must be finite to be ranked",
                       (double)positive);
    int64_t before = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(negatives[i]))
            return not_finite(ctx, i, negatives[i]);
        before += negatives[i] >= positive;
    }
    *rank = (fb_rank){1 + before, 1 + count, fb_chance_of_hits(1, count)};
    return FB_OK;
}

fb_status fb_rank_marked(fb_context *ctx, fb_rank *rank, const float *scores,
                         const uint8_t *marks, int64_t count)
{
    int64_t hits = 0;
    float best = 0;
    for (int64_t i = 0; i < count; i++) {
        if (marks[i] == FB_MARK_EXCLUDED)
            continue;
        if (!isfinite(scores[i]))
            return not_finite(ctx, i, scores[i]);
        if (marks[i] == FB_MARK_HIT && hits++ == 0)
            best = scores[i];
        else if (marks[i] == FB_MARK_HIT && scores[i] > best)
            best = scores[i];
    }
    if (hits == 0)
        return fb_fail(ctx, FB_E_MISSING, "none of %lld documents is a right answer",
                       (long long)count);
    int64_t negatives = 0, before = 0;
    for (int64_t i = 0; i < count; i++) {
        if (marks[i] != FB_MARK_NEGATIVE)
            continue;
        negatives++;
        before += scores[i] >= best;
    }
    *rank = (fb_rank){1 + before, 1 + negatives, fb_chance_of_hits(hits, negatives)};
    return FB_OK;
}

static int compare_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static fb_status median_rank(fb_context *ctx, double *median, const fb_rank *ranks,
                             int64_t count)
{
    int64_t *sorted = malloc((size_t)count * sizeof *sorted);
    if (!sorted)
        return fb_fail(ctx, FB_E_MEMORY, "out of memory for the median of %lld ranks",
                       (long long)count);
    for (int64_t i = 0; i < count; i++)
        sorted[i] = ranks[i].rank;
    qsort(sorted, (size_t)count, sizeof *sorted, compare_i64);
    int64_t lower = (count - 1) / 2, upper = count / 2;
    *median = ((double)sorted[lower] + (double)sorted[upper]) / 2;
    free(sorted);
    return FB_OK;
}

fb_status fb_ranking_from_ranks(fb_context *ctx, fb_ranking *ranking,
                                const fb_rank *ranks, int64_t count)
{
    fb_ranking r = {.queries = count};
    if (count > 0) {
        FB_TRY(median_rank(ctx, &r.median_rank, ranks, count));
        for (int64_t i = 0; i < count; i++) {
            r.r1 += ranks[i].rank <= 1;
            r.r5 += ranks[i].rank <= 5;
            r.r10 += ranks[i].rank <= 10;
            r.r_all += ranks[i].rank <= ranks[i].pool;
            r.mrr += 1 / (double)ranks[i].rank;
            r.chance_r1 += ranks[i].chance.r1;
            r.chance_r5 += ranks[i].chance.r5;
            r.chance_r10 += ranks[i].chance.r10;
            r.candidates_mean += (double)ranks[i].pool;
        }
        double n = (double)count;
        r.r1 /= n;
        r.r5 /= n;
        r.r10 /= n;
        r.r_all /= n;
        r.mrr /= n;
        r.chance_r1 /= n;
        r.chance_r5 /= n;
        r.chance_r10 /= n;
        r.candidates_mean /= n;
    }
    *ranking = r;
    return FB_OK;
}

void fb_ranking_mean(fb_ranking *mean, const fb_ranking *draws, int64_t count)
{
    fb_ranking m = {0};
    double queries = 0, left_out = 0;
    for (int64_t i = 0; i < count; i++) {
        queries += (double)draws[i].queries;
        left_out += (double)draws[i].left_out;
    }
    for (int64_t i = 0; i < count && queries > 0; i++) {
        const fb_ranking *d = &draws[i];
        double w = (double)d->queries / queries;
        m.candidates_mean += w * d->candidates_mean;
        m.r1 += w * d->r1;
        m.r5 += w * d->r5;
        m.r10 += w * d->r10;
        m.r_all += w * d->r_all;
        m.mrr += w * d->mrr;
        m.median_rank += w * d->median_rank;
        m.chance_r1 += w * d->chance_r1;
        m.chance_r5 += w * d->chance_r5;
        m.chance_r10 += w * d->chance_r10;
    }
    if (count > 0) {
        m.queries = llround(queries / (double)count);
        m.left_out = llround(left_out / (double)count);
    }
    *mean = m;
}

typedef struct labelled {
    float score;
    uint8_t label;
} labelled;

static int compare_score(const void *a, const void *b)
{
    float x = ((const labelled *)a)->score, y = ((const labelled *)b)->score;
    return (x > y) - (x < y);
}

/* Twice the sum of the places of the matched pairs; tied pairs share the mean place. */
static double doubled_places(const labelled *sorted, int64_t count)
{
    double sum = 0;
    for (int64_t begin = 0, end; begin < count; begin = end) {
        int64_t matched = 0;
        for (end = begin; end < count && sorted[end].score == sorted[begin].score;
             end++)
            matched += sorted[end].label;
        /* places begin+1 .. end: twice their mean is begin + 1 + end */
        sum += (double)matched * (double)(begin + 1 + end);
    }
    return sum;
}

fb_status fb_auc(fb_context *ctx, double *auc, const float *scores,
                 const uint8_t *labels, int64_t count)
{
    int64_t matched = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(scores[i]))
            return not_finite(ctx, i, scores[i]);
        matched += labels[i] != 0;
    }
    if (matched == 0 || matched == count)
        return fb_fail(
            ctx, FB_E_MISSING,
            "AUC needs matched and mismatched pairs: there are %lld and %lld",
            (long long)matched, (long long)(count - matched));
    labelled *sorted = malloc((size_t)count * sizeof *sorted);
    if (!sorted)
        return fb_fail(ctx, FB_E_MEMORY, "out of memory for the AUC of %lld pairs",
                       (long long)count);
    for (int64_t i = 0; i < count; i++)
        sorted[i] = (labelled){scores[i], labels[i] != 0};
    qsort(sorted, (size_t)count, sizeof *sorted, compare_score);
    double places = doubled_places(sorted, count);
    free(sorted);
    double m = (double)matched, n = (double)(count - matched);
    *auc = (places - m * (m + 1)) / (2 * m * n);
    return FB_OK;
}

fb_status fb_accuracy(fb_context *ctx, double *accuracy, const float *scores,
                      const uint8_t *labels, int64_t count, float threshold)
{
    int64_t right = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(scores[i]))
            return not_finite(ctx, i, scores[i]);
        right += (scores[i] >= threshold) == (labels[i] != 0);
    }
    if (count <= 0)
        return fb_fail(ctx, FB_E_MISSING, "accuracy needs at least one pair");
    *accuracy = (double)right / (double)count;
    return FB_OK;
}

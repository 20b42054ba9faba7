/* batch_recall.c - see batch_recall.h. */
#include "models/batch_recall.h"

int64_t fb_batch_recall(const float *scores, const int32_t *a_group,
                        const int32_t *b_group, int32_t count)
{
    int64_t n = count, right = 0;
    for (int64_t i = 0; i < n; i++) {
        bool row = true, column = true;
        float own = scores[i * n + i];
        for (int64_t j = 0; j < n; j++) {
            if (i == j || a_group[i] == a_group[j] || b_group[i] == b_group[j])
                continue;
            row = row && scores[i * n + j] < own;
            column = column && scores[j * n + i] < own;
        }
        right += row + column;
    }
    return right;
}

void fb_batch_recall_put(fb_measures *measures, int64_t right, int32_t count)
{
    double chance = count > 0 ? 2.0 : 0; /* one query in B, of 2B */
    fb_measures_put_share(measures, "recall@1", FB_MEASURE_HEADLINE, (double)right,
                          2 * (int64_t)count, chance);
}

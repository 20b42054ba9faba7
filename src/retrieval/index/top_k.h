/* top_k.h - the k best of many scored rows.
 *
 * Better is the higher score, and of equal scores the lower row: what comes out does
 * not depend on the order in which rows came in. A score that is NaN never enters.
 *
 *     heap [capacity]    the worst of those kept at its root, so that most rows cost
 *                        one comparison
 */
#ifndef FB_RETRIEVAL_INDEX_TOP_K_H
#define FB_RETRIEVAL_INDEX_TOP_K_H

#include "base/status.h"

typedef struct fb_scored {
    int64_t row;
    float score;
} fb_scored;

typedef struct fb_top_k {
    fb_scored *heap;
    int64_t count, capacity;
} fb_top_k;

static inline bool fb_scored_better(fb_scored a, fb_scored b)
{
    return a.score > b.score || (a.score == b.score && a.row < b.row);
}

/* heap [capacity] is the caller's. */
static inline fb_top_k fb_top_k_begin(fb_scored *heap, int64_t capacity)
{
    return (fb_top_k){heap, 0, capacity};
}

void fb_top_k_insert(fb_top_k *top, fb_scored row); /* one that is to be kept */

static inline void fb_top_k_add(fb_top_k *top, int64_t row, float score)
{
    fb_scored s = {row, score};
    if (top->count < top->capacity
            ? score == score
            : top->count > 0 && fb_scored_better(s, top->heap[0]))
        fb_top_k_insert(top, s);
}

/* Best first; nothing is to be added afterwards. */
void fb_top_k_sort(fb_top_k *top);

#endif

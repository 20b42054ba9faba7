/* top_k.c - see top_k.h. */
#include "retrieval/index/top_k.h"

#include <stdlib.h>

static void sift_up(fb_scored *heap, int64_t at)
{
    while (at > 0) {
        int64_t parent = (at - 1) / 2;
        if (!fb_scored_better(heap[parent], heap[at]))
            return;
        fb_scored swap = heap[parent];
        heap[parent] = heap[at];
        heap[at] = swap;
        at = parent;
    }
}

static void sift_down(fb_scored *heap, int64_t count)
{
    for (int64_t at = 0, child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && fb_scored_better(heap[child], heap[child + 1]))
            child++;
        if (!fb_scored_better(heap[at], heap[child]))
            return;
        fb_scored swap = heap[child];
        heap[child] = heap[at];
        heap[at] = swap;
    }
}

void fb_top_k_insert(fb_top_k *top, fb_scored row)
{
    if (top->count < top->capacity) {
        top->heap[top->count] = row;
        sift_up(top->heap, top->count++);
    } else {
        top->heap[0] = row;
        sift_down(top->heap, top->count);
    }
}

static int by_rank(const void *a, const void *b)
{
    const fb_scored *x = a, *y = b;
    return fb_scored_better(*x, *y) ? -1 : fb_scored_better(*y, *x);
}

void fb_top_k_sort(fb_top_k *top)
{
    if (top->count > 1)
        qsort(top->heap, (size_t)top->count, sizeof *top->heap, by_rank);
}

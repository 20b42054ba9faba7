/* exact_search.c - see exact_search.h. */
#include "retrieval/index/exact_search.h"

#include <stdlib.h>

enum {
    BLOCK = 512,
    SERIAL_NUMBERS = 1 << 18 /* fewer are walked sooner than threads are woken */
};

typedef struct scan {
    const fb_backend *be;
    const float *rows, *query;
    const uint8_t *allowed;
    int64_t width, first_row;
} scan;

static int32_t count_allowed(const uint8_t *allowed, int64_t from, int64_t to)
{
    int32_t n = 0;
    for (int64_t i = from; i < to; i++)
        n += fb_row_passes(allowed, i);
    return n;
}

/* Where few rows of a block pass, only these are computed. */
static void scan_block(const scan *s, int64_t from, int64_t to, fb_top_k *top)
{
    float scores[BLOCK];
    int64_t count = to - from, width = s->width;
    int32_t pass = s->allowed ? count_allowed(s->allowed, from, to) : (int32_t)count;
    if (pass == 0)
        return;
    bool sparse = pass < count / 2;
    if (!sparse)
        s->be->k->row_products(s->be, scores, s->rows + from * width, count, width,
                               s->query);
    for (int64_t i = 0; i < count; i++) {
        if (pass < count && !fb_row_passes(s->allowed, from + i))
            continue;
        if (sparse)
            s->be->k->row_products(s->be, &scores[i], s->rows + (from + i) * width, 1,
                                   width, s->query);
        fb_top_k_add(top, s->first_row + from + i, scores[i]);
    }
}

static void scan_range(const scan *s, int64_t from, int64_t to, fb_top_k *top)
{
    for (int64_t at = from; at < to; at += BLOCK)
        scan_block(s, at, at + BLOCK < to ? at + BLOCK : to, top);
}

fb_status fb_exact_search(fb_context *ctx, const fb_backend *be,
                          const fb_vectors *vectors, const float *query,
                          const uint8_t *allowed, int64_t first_row, fb_top_k *top)
{
    int64_t count = vectors->count, width = vectors->width;
    scan s = {be, vectors->rows, query, allowed, width, first_row};
    int32_t threads = count * width < SERIAL_NUMBERS ? 1 : be->threads;
    if (threads <= 1) {
        scan_range(&s, 0, count, top);
        return FB_OK;
    }
    fb_scored *heaps = malloc((size_t)threads * (size_t)top->capacity * sizeof *heaps);
    fb_top_k *part = malloc((size_t)threads * sizeof *part);
    if (!heaps || !part) {
        free(heaps);
        free(part);
        return fb_fail(ctx, FB_E_MEMORY, "no memory to search on %d threads",
                       (int)threads);
    }
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int32_t t = 0; t < threads; t++) {
        part[t] = fb_top_k_begin(heaps + t * top->capacity, top->capacity);
        scan_range(&s, count * t / threads, count * (t + 1) / threads, &part[t]);
    }
    for (int32_t t = 0; t < threads; t++)
        for (int64_t i = 0; i < part[t].count; i++)
            fb_top_k_add(top, part[t].heap[i].row, part[t].heap[i].score);
    free(heaps);
    free(part);
    return FB_OK;
}

/* Queries [from, to) of found's heaps. */
static void scan_for_all(const scan *s, int64_t count, const float *queries,
                         fb_top_k *tops, int64_t from, int64_t to)
{
    scan one = *s;
    for (int64_t at = 0; at < count; at += BLOCK)
        for (int64_t q = from; q < to; q++) {
            one.query = queries + q * s->width;
            scan_block(&one, at, at + BLOCK < count ? at + BLOCK : count, &tops[q]);
        }
}

fb_status fb_exact_search_many(fb_context *ctx, const fb_backend *be,
                               const fb_vectors *vectors, const fb_vectors *queries,
                               int32_t k, fb_scored *found)
{
    scan s = {.be = be, .rows = vectors->rows, .width = vectors->width};
    int64_t query_count = queries->count;
    fb_top_k *tops = malloc(((size_t)query_count + 1) * sizeof *tops);
    if (!tops)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %lld queries",
                       (long long)query_count);
    for (int64_t q = 0; q < query_count; q++)
        tops[q] = fb_top_k_begin(found + q * k, k);
#pragma omp parallel for schedule(static) num_threads(be->threads)
    for (int32_t t = 0; t < be->threads; t++)
        scan_for_all(&s, vectors->count, queries->rows, tops,
                     query_count * t / be->threads,
                     query_count * (t + 1) / be->threads);
    for (int64_t q = 0; q < query_count; q++) {
        fb_top_k_sort(&tops[q]);
        for (int64_t i = tops[q].count; i < k; i++)
            found[q * k + i] = (fb_scored){-1, 0.0f};
    }
    free(tops);
    return FB_OK;
}

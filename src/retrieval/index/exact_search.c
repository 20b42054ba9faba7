/* exact_search.c - see exact_search.h. */
#include "retrieval/index/exact_search.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>

enum {
    BLOCK = FB_ROWS_AT_ONCE,
    GROUP = 32,                /* rows looked at together */
    STRETCH = 16 * BLOCK,      /* that a thread takes at a time */
    SERIAL_NUMBERS = 1 << 18,  /* fewer are walked sooner than threads are woken */
    CANDIDATES_AT_FIRST = 4096 /* room for; it grows */
};

typedef struct scan {
    const fb_row_query *query;
    const uint8_t *allowed;
    int64_t first_row;
} scan;

/* One thread's best. Of int8 `top` holds lower bounds, and the candidates upper ones. */
typedef struct part {
    fb_top_k top;
    fb_scored *heap, *candidate;
    int64_t count, room;
    bool failed;
} part;

static bool is_coded(const scan *s)
{
    return s->query->rows->storage == FB_STORED_INT8;
}

/* ---- candidates ----------------------------------------------------------------- */

/* Those whose upper bound still reaches what the k best have at least. */
static void drop_candidates(part *p, const fb_top_k *top)
{
    if (top->count < top->capacity || top->capacity == 0)
        return;
    float least = top->heap[0].score;
    int64_t n = 0;
    for (int64_t i = 0; i < p->count; i++)
        if (p->candidate[i].score >= least)
            p->candidate[n++] = p->candidate[i];
    p->count = n;
}

static void grow_candidates(part *p)
{
    int64_t room = p->room ? 2 * p->room : CANDIDATES_AT_FIRST;
    fb_scored *grown = realloc(p->candidate, (size_t)room * sizeof *grown);
    p->failed = p->failed || !grown;
    if (grown) {
        p->candidate = grown;
        p->room = room;
    }
}

/* Dropping costs as much as there are, so that it is not done for the sake of few. */
static void add_candidate(part *p, int64_t row, float score, float slack)
{
    bool full = p->top.count == p->top.capacity;
    if (full && (p->top.capacity == 0 || !(score + slack >= p->top.heap[0].score)))
        return;
    fb_top_k_add(&p->top, row, score - slack);
    if (p->count == p->room) {
        drop_candidates(p, &p->top);
        if (2 * p->count >= p->room)
            grow_candidates(p);
    }
    if (p->count < p->room)
        p->candidate[p->count++] = (fb_scored){row, score + slack};
}

/* ---- one thread ----------------------------------------------------------------- */

static int32_t count_allowed(const uint8_t *allowed, int64_t from, int64_t to)
{
    int32_t n = 0;
    for (int64_t i = from; i < to; i++)
        n += fb_row_passes(allowed, i);
    return n;
}

static void add_row(const scan *s, part *p, int64_t row, float score, float slack)
{
    if (is_coded(s))
        add_candidate(p, row, score, slack);
    else
        fb_top_k_add(&p->top, s->first_row + row, score);
}

/* What a row must reach so that it is looked at. */
static float least_wanted(const part *p)
{
    bool full = p->top.count == p->top.capacity && p->top.count > 0;
    return full ? p->top.heap[0].score : -INFINITY;
}

/* The largest score or upper bound of a group. */
static float largest_of(const float *scores, const float *scales, float slack,
                        int64_t count)
{
    float most = -INFINITY;
#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < count; i++) {
        float score = scales ? scores[i] + slack * scales[i] : scores[i];
        most = score > most ? score : most;
    }
    return most;
}

static void add_rows(const scan *s, int64_t from, int64_t count, const float *scores,
                     part *p)
{
    const float *scales = is_coded(s) ? s->query->rows->scales + from : NULL;
    float least = least_wanted(p);
    for (int64_t i = 0; i < count; i++) {
        float slack = scales ? s->query->slack * scales[i] : 0.0f;
        if (scores[i] + slack < least || !fb_row_passes(s->allowed, from + i))
            continue;
        add_row(s, p, from + i, scores[i], slack);
        least = least_wanted(p);
    }
}

/* Of most groups no row is wanted, which is found out without a branch a row. */
static void scan_dense(const scan *s, int64_t from, int64_t count, part *p)
{
    float scores[BLOCK];
    const float *scales = is_coded(s) ? s->query->rows->scales + from : NULL;
    fb_row_query_near(s->query, from, count, scores);
    for (int64_t at = 0; at < count; at += GROUP) {
        int64_t n = count - at < GROUP ? count - at : GROUP;
        if (largest_of(scores + at, scales ? scales + at : NULL, s->query->slack, n) >=
            least_wanted(p))
            add_rows(s, from + at, n, scores + at, p);
    }
}

static void scan_sparse(const scan *s, int64_t from, int64_t count, part *p)
{
    float score;
    for (int64_t i = from; i < from + count; i++)
        if (fb_row_passes(s->allowed, i)) {
            fb_row_query_near(s->query, i, 1, &score);
            add_rows(s, i, 1, &score, p);
        }
}

/* Where few rows of a block pass, only these are computed. */
static void scan_block(const scan *s, int64_t from, int64_t to, part *p)
{
    int64_t count = to - from;
    int64_t pass = s->allowed ? count_allowed(s->allowed, from, to) : count;
    if (pass >= count / 2 && pass > 0)
        scan_dense(s, from, count, p);
    else if (pass > 0)
        scan_sparse(s, from, count, p);
}

static void scan_range(const scan *s, int64_t from, int64_t to, part *p)
{
    for (int64_t at = from; at < to; at += BLOCK)
        scan_block(s, at, at + BLOCK < to ? at + BLOCK : to, p);
}

/* ---- all threads ---------------------------------------------------------------- */

/* The candidates that all parts' bounds leave, compared by all that is stored. */
static void compare_candidates(const scan *s, part *parts, int32_t threads,
                               fb_top_k *top)
{
    for (int32_t t = 1; t < threads; t++)
        for (int64_t i = 0; i < parts[t].top.count; i++)
            fb_top_k_add(&parts[0].top, parts[t].top.heap[i].row,
                         parts[t].top.heap[i].score);
    for (int32_t t = 0; t < threads; t++) {
        drop_candidates(&parts[t], &parts[0].top);
        for (int64_t i = 0; i < parts[t].count; i++) {
            int64_t row = parts[t].candidate[i].row;
            fb_top_k_add(top, s->first_row + row, fb_row_query_score(s->query, row));
        }
    }
}

static void gather(const scan *s, part *parts, int32_t threads, fb_top_k *top)
{
    if (is_coded(s)) {
        compare_candidates(s, parts, threads, top);
        return;
    }
    for (int32_t t = 0; t < threads; t++)
        for (int64_t i = 0; i < parts[t].top.count; i++)
            fb_top_k_add(top, parts[t].top.heap[i].row, parts[t].top.heap[i].score);
}

static fb_status search_parts(fb_context *ctx, const scan *s, int32_t threads,
                              part *parts, fb_top_k *top)
{
    int64_t count = s->query->rows->count;
    bool failed = false;
    for (int32_t t = 0; t < threads; t++) {
        parts[t].heap = malloc(((size_t)top->capacity + 1) * sizeof *parts[t].heap);
        failed = failed || !parts[t].heap;
        parts[t].top = fb_top_k_begin(parts[t].heap, top->capacity);
    }
    if (!failed) {
#pragma omp parallel for schedule(dynamic) num_threads(threads)
        for (int64_t at = 0; at < count; at += STRETCH)
            scan_range(s, at, at + STRETCH < count ? at + STRETCH : count,
                       &parts[omp_get_thread_num()]);
    }
    for (int32_t t = 0; t < threads; t++)
        failed = failed || parts[t].failed;
    if (failed)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to search on %d threads",
                       (int)threads);
    gather(s, parts, threads, top);
    return FB_OK;
}

fb_status fb_exact_search(fb_context *ctx, const fb_backend *be,
                          const fb_stored *vectors, const float *query,
                          const uint8_t *allowed, int64_t first_row, fb_top_k *top)
{
    fb_row_query q;
    const scan s = {&q, allowed, first_row};
    bool serial = vectors->count * vectors->width < SERIAL_NUMBERS || be->threads < 1;
    int32_t threads = serial ? 1 : be->threads;
    fb_row_query_set(&q, be, vectors, query);
    part *parts = calloc((size_t)threads, sizeof *parts);
    if (!parts)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to search");
    fb_status status = search_parts(ctx, &s, threads, parts, top);
    for (int32_t t = 0; t < threads; t++) {
        free(parts[t].heap);
        free(parts[t].candidate);
    }
    free(parts);
    return status;
}

/* ---- many queries --------------------------------------------------------------- */

/* Queries [from, to) of found's heaps; block [BLOCK, D] holds rows as f32. */
static void scan_for_all(const fb_backend *be, const fb_stored *vectors,
                         const fb_vectors *queries, fb_top_k *tops, int64_t from,
                         int64_t to, float *block)
{
    float scores[BLOCK];
    int64_t width = vectors->width;
    for (int64_t at = 0; at < vectors->count && from < to; at += BLOCK) {
        int64_t left = vectors->count - at, count = left < BLOCK ? left : BLOCK;
        const float *rows = vectors->f32 ? vectors->f32 + at * width : block;
        if (!vectors->f32)
            fb_stored_decode(vectors, at, count, block);
        for (int64_t q = from; q < to; q++) {
            be->k->row_products(be, scores, rows, count, width,
                                queries->rows + q * width);
            for (int64_t i = 0; i < count; i++)
                fb_top_k_add(&tops[q], at + i, scores[i]);
        }
    }
}

static void end_heaps(fb_top_k *tops, int64_t count, int32_t k, fb_scored *found)
{
    for (int64_t q = 0; q < count; q++) {
        fb_top_k_sort(&tops[q]);
        for (int64_t i = tops[q].count; i < k; i++)
            found[q * k + i] = (fb_scored){-1, 0.0f};
    }
}

fb_status fb_exact_search_many(fb_context *ctx, const fb_backend *be,
                               const fb_stored *vectors, const fb_vectors *queries,
                               int32_t k, fb_scored *found)
{
    int64_t count = queries->count, numbers = BLOCK * vectors->width;
    fb_top_k *tops = malloc(((size_t)count + 1) * sizeof *tops);
    float *blocks = malloc(((size_t)(numbers * be->threads) + 1) * sizeof *blocks);
    if (!tops || !blocks) {
        free(tops);
        free(blocks);
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %lld queries",
                       (long long)count);
    }
    for (int64_t q = 0; q < count; q++)
        tops[q] = fb_top_k_begin(found + q * k, k);
#pragma omp parallel for schedule(static) num_threads(be->threads)
    for (int32_t t = 0; t < be->threads; t++)
        scan_for_all(be, vectors, queries, tops, count * t / be->threads,
                     count * (t + 1) / be->threads, blocks + numbers * t);
    end_heaps(tops, count, k, found);
    free(tops);
    free(blocks);
    return FB_OK;
}

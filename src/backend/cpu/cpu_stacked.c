/* cpu_stacked.c - stacked cross attention. Forward, threads take pairs; backward they
 * take contexts, so that what the pairs of a context add up to has one writer and one
 * order.
 */
#include "backend/cpu/cpu_backend.h"
#include <omp.h>

/* The most words of a text and rows of an image. */
static void longest(const fb_stacked *p, int64_t *words, int64_t *rows)
{
    *words = *rows = 0;
    for (int32_t t = 0; t < p->texts; t++) {
        int64_t n = p->text_offsets[t + 1] - p->text_offsets[t];
        *words = n > *words ? n : *words;
    }
    for (int32_t i = 0; i < p->images; i++) {
        int64_t n = p->image_offsets[i + 1] - p->image_offsets[i];
        *rows = n > *rows ? n : *rows;
    }
}

/* Bytes of scratch of one thread: of a block, and of a context's sums. */
static void sizes(const cpu_backend *c, const fb_stacked *p, size_t *block,
                  size_t *sums)
{
    int64_t words, rows;
    longest(p, &words, &rows);
    int64_t queries = p->form.rows_ask ? rows : words,
            contexts = p->form.rows_ask ? words : rows;
    *block = (c->v->stacked_scratch(queries, contexts) + 127) / 64 * 64;
    *sums = (c->v->stacked_sums(contexts) + 127) / 64 * 64;
}

static vector_stacked pair_of(const fb_stacked *p, int32_t pair, const fb_tensor *s,
                              const float *gram)
{
    int32_t t = p->text[pair], i = p->image[pair];
    int64_t words = p->text_offsets[t + 1] - p->text_offsets[t];
    int64_t rows = p->image_offsets[i + 1] - p->image_offsets[i], line = s->dims[1];
    vector_stacked v = {.p = p, .dtype = FB_F32};
    v.queries = p->form.rows_ask ? rows : words;
    v.contexts = p->form.rows_ask ? words : rows;
    v.by_query = p->form.rows_ask ? 1 : line;
    v.by_context = p->form.rows_ask ? line : 1;
    v.s = cpu_at(s, p->word[pair] * line + p->row[pair]);
    v.gram = gram + p->gram[p->form.rows_ask ? t : i];
    return v;
}

fb_status cpu_stacked_forward(fb_context *ctx, fb_backend *be, float *scores,
                              const fb_tensor *s, const float *gram,
                              const fb_stacked *p)
{
    cpu_backend *c = cpu_of(be);
    size_t block, sums;
    void *scratch;
    sizes(c, p, &block, &sums);
    FB_TRY(cpu_scratch(ctx, c, block * (size_t)be->threads, &scratch));
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(s));
#pragma omp parallel for schedule(dynamic, 16) num_threads(be->threads) if (large)
    for (int32_t i = 0; i < p->pairs; i++) {
        vector_stacked v = pair_of(p, i, s, gram);
        void *own = (char *)scratch + (size_t)omp_get_thread_num() * block;
        bool empty = v.queries == 0 || v.contexts == 0;
        scores[i] = empty ? 0.0f : c->v->stacked_forward(&v, own);
    }
    return FB_OK;
}

/* Pairs by their context: those of context k are pairs[first[k]] .. first[k + 1]. */
static void sort_pairs(const fb_stacked *p, int32_t *first, int32_t *pairs)
{
    int32_t contexts = p->form.rows_ask ? p->texts : p->images;
    const int32_t *of = p->form.rows_ask ? p->text : p->image;
    memset(first, 0, ((size_t)contexts + 2) * sizeof *first);
    for (int32_t i = 0; i < p->pairs; i++)
        first[of[i] + 2]++;
    for (int32_t k = 2; k < contexts + 2; k++)
        first[k] += first[k - 1];
    for (int32_t i = 0; i < p->pairs; i++)
        pairs[first[of[i] + 1]++] = i;
}

/* What backward reads and writes. */
typedef struct backward_call {
    const fb_tensor *ds, *dgram, *dscores, *s;
    const float *gram;
    const fb_stacked *p;
    const int32_t *first, *pairs; /* by context */
} backward_call;

static float number_of(const fb_tensor *t, int32_t place)
{
    const void *at = cpu_at(t, place);
    return t->dtype == FB_BF16 ? fb_bf16_to_f32(*(const fb_bf16 *)at)
                               : *(const float *)at;
}

/* All pairs of one context, then what they sum up to; own: scratch of a block. */
static void context_backward(const cpu_backend *c, const backward_call *b,
                             int32_t context, float *sums, void *own)
{
    const fb_stacked *p = b->p;
    const int32_t *offsets = p->form.rows_ask ? p->text_offsets : p->image_offsets;
    int64_t n = offsets[context + 1] - offsets[context];
    memset(sums, 0, c->v->stacked_sums(n));
    for (int32_t k = b->first[context]; k < b->first[context + 1]; k++) {
        int32_t pair = b->pairs[k];
        vector_stacked v = pair_of(p, pair, b->s, b->gram);
        if (v.queries == 0 || v.contexts == 0)
            continue;
        v.dtype = b->ds->dtype;
        v.ds = cpu_at(b->ds, v.s - (const float *)b->s->data);
        v.dscore = p->form.scale * number_of(b->dscores, pair);
        v.dgram = sums;
        c->v->stacked_backward(&v, own);
    }
    c->v->stacked_put(b->dgram->dtype, cpu_at(b->dgram, p->gram[context]), sums, n);
}

fb_status cpu_stacked_backward(fb_context *ctx, fb_backend *be, const fb_tensor *ds,
                               const fb_tensor *dgram, const fb_tensor *dscores,
                               const fb_tensor *s, const float *gram,
                               const fb_stacked *p)
{
    cpu_backend *c = cpu_of(be);
    int32_t contexts = p->form.rows_ask ? p->texts : p->images;
    size_t block, sums, lists = ((size_t)contexts + (size_t)p->pairs + 2) * 4;
    void *scratch;
    sizes(c, p, &block, &sums);
    lists = (lists + 63) / 64 * 64;
    FB_TRY(cpu_scratch(ctx, c, lists + (block + sums) * (size_t)be->threads, &scratch));
    int32_t *first = scratch, *pairs = first + contexts + 2;
    sort_pairs(p, first, pairs);
    const backward_call call = {ds, dgram, dscores, s, gram, p, first, pairs};
    bool large = cpu_is_large((int64_t)fb_tensor_bytes(s));
#pragma omp parallel for schedule(dynamic, 1) num_threads(be->threads) if (large)
    for (int32_t k = 0; k < contexts; k++) {
        char *own =
            (char *)scratch + lists + (size_t)omp_get_thread_num() * (block + sums);
        context_backward(c, &call, k, (float *)(void *)own, own + sums);
    }
    return FB_OK;
}

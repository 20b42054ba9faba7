/* bench_search.c - how long a search takes in a large index, made of a small one by
 * repeating and perturbing its products.
 *
 *     bench_search MODEL INDEX COUNT KIND FOLDER [QUERIES [THREADS]]
 *
 * Product i of COUNT is product i mod n of INDEX; from the second time round its vector
 * is unit(v + e), e normal with an expected length of 0.3. FOLDER becomes an index of
 * KIND (exact, hnsw, ivfpq) of them, with the vectors alone. Queries are titles of
 * INDEX, evenly chosen, each searched once after a few to warm up; times are of the
 * whole way from text to ten products, in ms; cpu is the processor's time for it.
 * Recall is of the ten nearest against the exact search of the same index.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/random.h"
#include "retrieval/index/index_writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { K = 10, WARM = 5 };

typedef struct bench {
    fb_context *ctx;
    fb_model *model;
    fb_index *small, *large;
    int64_t count;
    int32_t width, queries;
    double *encode, *search, *total, *cpu; /* [queries] ms */
    double recall;
} bench;

static void perturb(const bench *b, int64_t row, float *out)
{
    float v[FB_STORED_WIDTH];
    int64_t at = row % b->small->rows;
    const fb_segment *s = fb_index_segment_of(b->small, &at);
    fb_stored_decode(&s->vectors, at, 1, v);
    fb_random r = fb_random_start(1, FB_STREAM_TEST, (uint64_t)row);
    double squares = 0, share = row < b->small->rows ? 0 : 0.3 / sqrt(b->width);
    for (int32_t i = 0; i < b->width; i++) {
        out[i] = v[i] + (float)(share * fb_random_normal(&r));
        squares += (double)out[i] * (double)out[i];
    }
    for (int32_t i = 0; i < b->width; i++)
        out[i] = (float)((double)out[i] / sqrt(squares));
}

static fb_status write_rows(bench *b, fb_segment_writer *w)
{
    fb_arena *arena = fb_arena_create(1 << 20);
    fb_product_row *rows = calloc((size_t)b->count, sizeof *rows);
    float *vector = malloc((size_t)b->width * sizeof *vector);
    if (!arena || !rows || !vector)
        return fb_fail(b->ctx, FB_E_MEMORY, "no memory");
    for (int64_t i = 0; i < b->count; i++) {
        int64_t at = i % b->small->rows;
        const fb_segment *s = fb_index_segment_of(b->small, &at);
        char id[64];
        snprintf(id, sizeof id, "%.40s-%lld", fb_product_table_id(s->products, at),
                 (long long)(i / b->small->rows));
        rows[i] = (fb_product_row){fb_arena_strdup(arena, id),
                                   fb_product_table_title(s->products, at),
                                   fb_product_table_image(s->products, at), NULL, 0};
        perturb(b, i, vector);
        FB_TRY(fb_segment_writer_add(b->ctx, w, 1, vector, NULL, NULL, NULL));
    }
    fb_status status = fb_segment_writer_finish(b->ctx, w, rows, true);
    free(vector);
    free(rows);
    fb_arena_free(arena);
    return status;
}

/* The titles' vectors, to tune by as `index` does. */
static fb_status encode_titles(bench *b, int64_t count, float **vectors)
{
    fb_input *inputs = calloc((size_t)count, sizeof *inputs);
    *vectors = malloc((size_t)count * (size_t)b->width * sizeof **vectors);
    if (!inputs || !*vectors)
        return fb_fail(b->ctx, FB_E_MEMORY, "no memory");
    for (int64_t i = 0; i < count; i++) {
        int64_t row = i * b->small->rows / count;
        const fb_segment *s = fb_index_segment_of(b->small, &row);
        inputs[i].text = fb_product_table_title(s->products, row);
    }
    fb_status status = fb_model_encode(b->ctx, b->model, inputs, count, 1, *vectors);
    free(inputs);
    return status;
}

static fb_status make_large(bench *b, const char *folder, const char *kind)
{
    fb_index_change c;
    fb_segment_writer *w = NULL;
    float *queries = NULL;
    FB_TRY(fb_index_change_begin(b->ctx, &c, folder, true));
    fb_index_manifest *m = c.manifest;
    fb_status status = fb_index_kind_parse(b->ctx, "KIND", kind, &m->kind);
    m->what = b->small->manifest.what;
    m->text_weight = b->small->manifest.text_weight;
    m->width = b->width;
    m->fingerprint = b->small->manifest.fingerprint;
    c.threads = b->small->be->threads;
    c.query_count = 500;
    if (status == FB_OK)
        status = encode_titles(b, c.query_count, &queries);
    c.queries = queries;
    if (status == FB_OK)
        status = fb_segment_writer_open(b->ctx, &c, &w, b->count, false,
                                        b->small->manifest.segment[0].catalog);
    double started_s = fb_clock_s();
    if (status == FB_OK)
        status = write_rows(b, w);
    if (status == FB_OK)
        status = fb_index_change_commit(b->ctx, &c);
    if (status == FB_OK)
        printf("%s: %lld vectors of %d, built in %.1f s, effort %d, recall@10 %.4f\n",
               kind, (long long)b->count, (int)b->width, fb_clock_s() - started_s,
               (int)m->effort, m->recall10);
    fb_segment_writer_close(w);
    fb_index_change_end(&c);
    free(queries);
    return status;
}

/* Of all threads: what a search takes on a machine that does nothing else. */
static double cpu_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static fb_status ask(bench *b, int64_t number, int32_t slot, int64_t *hits)
{
    int64_t row = number * b->small->rows / b->queries;
    const fb_segment *s = fb_index_segment_of(b->small, &row);
    fb_input query = {.text = fb_product_table_title(s->products, row)};
    fb_search_options how;
    fb_search_result *found, *exact;
    fb_search_options_defaults(&how);
    how.k = K;
    double started_ms = cpu_ms();
    FB_TRY(fb_search(b->ctx, b->model, b->large, &query, &how, &found));
    if (slot >= 0) {
        b->cpu[slot] = cpu_ms() - started_ms;
        b->encode[slot] = found->encode_ms;
        b->search[slot] = found->search_ms;
        b->total[slot] = found->total_ms;
    }
    how.exact = true;
    FB_TRY(fb_search(b->ctx, b->model, b->large, &query, &how, &exact));
    for (int32_t i = 0; i < found->hit_count; i++)
        *hits += found->hits[i].score >= exact->hits[exact->hit_count - 1].score;
    fb_search_result_free(found);
    fb_search_result_free(exact);
    return FB_OK;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_times(const char *what, double *times, int32_t count)
{
    qsort(times, (size_t)count, sizeof *times, by_size);
    printf("%-8s least %8.3f  p50 %8.3f  p90 %8.3f  p99 %8.3f\n", what, times[0],
           times[count / 2], times[(int64_t)count * 9 / 10],
           times[(int64_t)count * 99 / 100]);
}

static fb_status measure(bench *b)
{
    int64_t hits = 0, warm = 0;
    b->encode = calloc((size_t)b->queries, sizeof *b->encode);
    b->search = calloc((size_t)b->queries, sizeof *b->search);
    b->total = calloc((size_t)b->queries, sizeof *b->total);
    b->cpu = calloc((size_t)b->queries, sizeof *b->cpu);
    if (!b->cpu || !b->encode || !b->search || !b->total)
        return fb_fail(b->ctx, FB_E_MEMORY, "no memory");
    for (int64_t i = 0; i < WARM; i++)
        FB_TRY(ask(b, i, -1, &warm));
    for (int32_t i = 0; i < b->queries; i++)
        FB_TRY(ask(b, i, i, &hits));
    printf("%d queries on %d thread(s), recall@10 %.4f\n", (int)b->queries,
           (int)b->large->be->threads, (double)hits / (double)(b->queries * K));
    print_times("encode", b->encode, b->queries);
    print_times("search", b->search, b->queries);
    print_times("total", b->total, b->queries);
    print_times("cpu", b->cpu, b->queries);
    return FB_OK;
}

static fb_status run(bench *b, char **words, int32_t threads)
{
    fb_model_options compute = {"cpu", "auto", threads};
    FB_TRY(fb_model_open(b->ctx, &b->model, words[1], &compute));
    FB_TRY(fb_index_open(b->ctx, &b->small, words[2], b->model));
    b->count = strtol(words[3], NULL, 10);
    b->width = fb_model_vector_size(b->model);
    if (b->count < 1 || b->small->rows < 1)
        return fb_fail(b->ctx, FB_E_USAGE, "COUNT and INDEX must not be empty");
    FB_TRY(make_large(b, words[5], words[4]));
    FB_TRY(fb_index_open(b->ctx, &b->large, words[5], b->model));
    return measure(b);
}

int main(int argc, char **argv)
{
    bench b = {.ctx = fb_context_create(), .queries = 200};
    if (argc < 6 || !b.ctx) {
        fprintf(stderr, "usage: bench_search MODEL INDEX COUNT KIND FOLDER [QUERIES "
                        "[THREADS]]\n");
        return 2;
    }
    if (argc > 6)
        b.queries = (int32_t)strtol(argv[6], NULL, 10);
    fb_status status = run(&b, argv, argc > 7 ? (int32_t)strtol(argv[7], NULL, 10) : 0);
    if (status != FB_OK)
        fprintf(stderr, "bench_search: %s\n", fb_context_message(b.ctx));
    fb_index_close(b.large);
    fb_index_close(b.small);
    fb_model_close(b.model);
    free(b.encode);
    free(b.search);
    free(b.total);
    free(b.cpu);
    fb_context_free(b.ctx);
    return status != FB_OK;
}

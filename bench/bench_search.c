/* bench_search.c - how long a search takes in a large index, made of a small one by
 * repeating and perturbing its products.
 *
 *     bench_search MODEL INDEX COUNT KIND FOLDER [QUERIES [THREADS [STORAGE]]]
 *
 * Product i of COUNT is product i mod n of INDEX; from the second time round its vector
 * is unit(v + e), e normal with an expected length of 0.3. FOLDER becomes an index of
 * KIND (exact, hnsw, ivfpq) and STORAGE (f32, bf16, int8) of them, with the vectors
 * alone; FOLDER-f32 one that is exact and of f32, where that is not what FOLDER is. One
 * that is there already, of as many products, stays and is searched.
 *
 * Queries are titles of INDEX, evenly chosen, each searched once after a few to warm
 * up, in the one index and then in the other, so that what else the machine does meets
 * both. Times are of the whole way from text to ten products, in ms; cpu is the
 * processor's time for it. Recall is of the ten nearest against those of FOLDER-f32: a
 * product counts that is as near, by 1e-5, as the last of these.
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

/* What one index's searches took, [queries] ms. */
typedef struct times {
    double *encode, *search, *total, *cpu;
} times;

typedef struct bench {
    fb_context *ctx;
    fb_model *model;
    fb_index *small, *large, *exact; /* exact: of f32; may be large */
    int64_t count;
    int32_t width, queries;
    times asked, by_exact;
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

static fb_status make_large(bench *b, const char *folder, const char *kind,
                            const char *storage)
{
    fb_index_change c;
    fb_segment_writer *w = NULL;
    float *queries = NULL;
    FB_TRY(fb_index_change_begin(b->ctx, &c, folder, true));
    fb_index_manifest *m = c.manifest;
    fb_status status = fb_index_kind_parse(b->ctx, "KIND", kind, &m->kind);
    if (status == FB_OK)
        status = fb_storage_parse(b->ctx, "STORAGE", storage, &m->storage);
    m->what = b->small->manifest.what;
    m->text_weight = b->small->manifest.text_weight;
    m->width = b->width;
    m->fingerprint = b->small->manifest.fingerprint;
    c.threads = b->small->be->threads;
    c.query_count = 500;
    if (status == FB_OK && m->kind != FB_INDEX_EXACT)
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
        printf("%s %s: %lld vectors of %d, built in %.1f s, effort %d, recall@10 "
               "%.4f\n",
               kind, storage, (long long)b->count, (int)b->width,
               fb_clock_s() - started_s, (int)m->effort, m->recall10);
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

static fb_status ask(bench *b, const fb_index *index, const fb_input *query, times *t,
                     int32_t slot, fb_search_result **found)
{
    fb_search_options how;
    fb_search_options_defaults(&how);
    how.k = K;
    double started_ms = cpu_ms();
    FB_TRY(fb_search(b->ctx, b->model, index, query, &how, found));
    if (slot < 0)
        return FB_OK;
    t->cpu[slot] = cpu_ms() - started_ms;
    t->encode[slot] = (*found)->encode_ms;
    t->search[slot] = (*found)->search_ms;
    t->total[slot] = (*found)->total_ms;
    return FB_OK;
}

static fb_status ask_both(bench *b, int64_t number, int32_t slot, int64_t *hits)
{
    int64_t row = number * b->small->rows / b->queries;
    const fb_segment *s = fb_index_segment_of(b->small, &row);
    fb_input query = {.text = fb_product_table_title(s->products, row)};
    fb_search_result *found = NULL, *exact = NULL;
    fb_status status = ask(b, b->large, &query, &b->asked, slot, &found);
    if (status == FB_OK)
        status = ask(b, b->exact, &query, &b->by_exact, slot, &exact);
    for (int32_t i = 0; status == FB_OK && i < found->hit_count; i++)
        *hits +=
            found->hits[i].score >= exact->hits[exact->hit_count - 1].score - 1e-5f;
    fb_search_result_free(found);
    fb_search_result_free(exact);
    return status;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_row(const char *what, double *ms, int32_t count)
{
    qsort(ms, (size_t)count, sizeof *ms, by_size);
    printf("%-8s least %8.3f  p50 %8.3f  p90 %8.3f  p99 %8.3f\n", what, ms[0],
           ms[count / 2], ms[(int64_t)count * 9 / 10], ms[(int64_t)count * 99 / 100]);
}

static void print_times(times *t, int32_t count)
{
    print_row("encode", t->encode, count);
    print_row("search", t->search, count);
    print_row("total", t->total, count);
    print_row("cpu", t->cpu, count);
}

static bool make_times(times *t, int32_t count)
{
    double **rows[] = {&t->encode, &t->search, &t->total, &t->cpu};
    bool made = true;
    for (int i = 0; i < 4; i++) {
        *rows[i] = calloc((size_t)count, sizeof **rows[i]);
        made = made && *rows[i];
    }
    return made;
}

static void free_times(times *t)
{
    free(t->encode);
    free(t->search);
    free(t->total);
    free(t->cpu);
}

/* Of its files, what a product takes. */
static void print_bytes(const bench *b, const char *name)
{
    const fb_segment_entry *entry = &b->large->manifest.segment[0];
    int64_t vectors = 0;
    for (int f = FB_INDEX_VECTORS; f <= FB_INDEX_VECTORS_SCALES; f++)
        vectors += entry->file[f].size_bytes;
    printf("%s: bytes a product: vectors %lld (walked by exact searches: %lld), graph "
           "%lld\n",
           name, (long long)(vectors / b->count),
           (long long)((entry->file[FB_INDEX_VECTORS].size_bytes +
                        entry->file[FB_INDEX_VECTORS_SCALES].size_bytes) /
                       b->count),
           (long long)(entry->file[FB_INDEX_GRAPH].size_bytes / b->count));
}

static fb_status measure(bench *b, const char *name)
{
    int64_t hits = 0, warm = 0;
    if (!make_times(&b->asked, b->queries) || !make_times(&b->by_exact, b->queries))
        return fb_fail(b->ctx, FB_E_MEMORY, "no memory");
    for (int64_t i = 0; i < WARM; i++)
        FB_TRY(ask_both(b, i, -1, &warm));
    for (int32_t i = 0; i < b->queries; i++)
        FB_TRY(ask_both(b, i, i, &hits));
    print_bytes(b, name);
    printf("%d queries on %d thread(s), recall@10 %.4f\n", (int)b->queries,
           (int)b->large->be->threads, (double)hits / (double)(b->queries * K));
    print_times(&b->asked, b->queries);
    printf("exact f32, asked in turn:\n");
    print_times(&b->by_exact, b->queries);
    printf("search: p50 %.2f of exact f32's, least %.2f\n",
           b->asked.search[b->queries / 2] / b->by_exact.search[b->queries / 2],
           b->asked.search[0] / b->by_exact.search[0]);
    return FB_OK;
}

/* Made unless it is there, and opened. */
static fb_status get_large(bench *b, const char *folder, const char *kind,
                           const char *storage, fb_index **index)
{
    if (fb_index_open(b->ctx, index, folder, b->model) == FB_OK) {
        const fb_index_info *info = fb_index_get_info(*index);
        if ((*index)->rows == b->count && strcmp(info->kind, kind) == 0 &&
            strcmp(info->storage, storage) == 0)
            return FB_OK;
        fb_index_close(*index);
        *index = NULL;
    }
    fb_context_clear(b->ctx);
    FB_TRY(make_large(b, folder, kind, storage));
    return fb_index_open(b->ctx, index, folder, b->model);
}

static fb_status run(bench *b, char **words, int32_t threads, const char *storage)
{
    char beside[4096], name[32];
    fb_model_options compute = {"cpu", "auto", threads};
    FB_TRY(fb_model_open(b->ctx, &b->model, words[1], &compute));
    FB_TRY(fb_index_open(b->ctx, &b->small, words[2], b->model));
    b->count = strtol(words[3], NULL, 10);
    b->width = fb_model_vector_size(b->model);
    if (b->count < 1 || b->small->rows < 1 || b->queries < 1)
        return fb_fail(b->ctx, FB_E_USAGE,
                       "COUNT, QUERIES and INDEX must not be empty");
    FB_TRY(get_large(b, words[5], words[4], storage, &b->large));
    b->exact = b->large;
    snprintf(beside, sizeof beside, "%.4000s-f32", words[5]);
    snprintf(name, sizeof name, "%.8s %.8s", words[4], storage);
    if (strcmp(name, "exact f32") != 0)
        FB_TRY(get_large(b, beside, "exact", "f32", &b->exact));
    return measure(b, name);
}

int main(int argc, char **argv)
{
    bench b = {.ctx = fb_context_create(), .queries = 200};
    if (argc < 6 || !b.ctx) {
        fprintf(stderr, "usage: bench_search MODEL INDEX COUNT KIND FOLDER [QUERIES "
                        "[THREADS [STORAGE]]]\n");
        return 2;
    }
    if (argc > 6)
        b.queries = (int32_t)strtol(argv[6], NULL, 10);
    fb_status status = run(&b, argv, argc > 7 ? (int32_t)strtol(argv[7], NULL, 10) : 0,
                           argc > 8 ? argv[8] : "f32");
    if (status != FB_OK)
        fprintf(stderr, "bench_search: %s\n", fb_context_message(b.ctx));
    if (b.exact != b.large)
        fb_index_close(b.exact);
    fb_index_close(b.large);
    fb_index_close(b.small);
    fb_model_close(b.model);
    free_times(&b.asked);
    free_times(&b.by_exact);
    fb_context_free(b.ctx);
    return status != FB_OK;
}

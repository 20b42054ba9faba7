/* store_session.c - an index folder and the same products in PostgreSQL, open side by
 * side, for cli_store.sh:
 *
 *     store_session INDEX STORE
 *
 * Commands come on standard input, one a line, fields between tabs; each is answered by
 * one line, "same" where the store gives what the folder gives:
 *
 *     search SEED K HOW NAME VALUE NAME VALUE ...   HOW: exact, or an effort
 *     values NAME
 *     find ID
 *     threads N            N at once, twenty exact searches each
 *     reopen
 *
 * What fails is told as "failed" with its status and sentence.
 */
#include "fashionbert.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS = 40, LINE = 1 << 16, WIDTH = 8192 };

typedef struct session {
    fb_context *ctx;
    fb_index *folder, *store;
    const char *place;
} session;

static void failed(const char *where, const fb_context *ctx, fb_status status)
{
    printf("failed %s %s %s\n", where, fb_status_name(status), fb_context_message(ctx));
}

static void fill_vector(const fb_index *index, uint64_t seed, float *vector)
{
    int32_t width = fb_index_get_info(index)->vector_size;
    uint64_t x = seed * 2654435761u + 88172645463325252u;
    for (int32_t i = 0; i < width; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        vector[i] = (float)((double)(x >> 11) / 9007199254740992.0 - 0.5);
    }
}

static const char *value_of(const fb_hit *hit, const char *name)
{
    for (int32_t i = 0; i < hit->attribute_count; i++)
        if (strcmp(hit->attributes[2 * i], name) == 0)
            return hit->attributes[2 * i + 1];
    return "";
}

static const char *hit_differs(const fb_hit *a, const fb_hit *b)
{
    if (strcmp(a->product_id, b->product_id) != 0)
        return "product";
    if (strcmp(a->title, b->title) != 0)
        return "title";
    if (strcmp(a->image, b->image) != 0)
        return "image";
    if (a->attribute_count != b->attribute_count)
        return "attribute count";
    for (int32_t i = 0; i < a->attribute_count; i++)
        if (strcmp(a->attributes[2 * i + 1], value_of(b, a->attributes[2 * i])) != 0)
            return "attribute";
    return NULL;
}

/* NULL: the same hits, but that equal scores may stand in another order. */
static const char *differs(const fb_search_result *a, const fb_search_result *b)
{
    if (a->hit_count != b->hit_count || a->retrieved_count != b->retrieved_count)
        return "count";
    for (int32_t i = 0; i < a->hit_count; i++) {
        float gap = a->hits[i].score - b->hits[i].score;
        const char *what = hit_differs(&a->hits[i], &b->hits[i]);
        if (!(isnan(gap) || fabsf(gap) <= 1e-5f))
            return "score";
        for (int32_t k = 0; what && k < a->hit_count; k++)
            if (fabsf(a->hits[k].score - b->hits[i].score) <= 1e-5f)
                what = hit_differs(&a->hits[k], &b->hits[i]) ? what : NULL;
        if (what)
            return what;
    }
    return NULL;
}

static const char *search(fb_context *ctx, const session *s, uint64_t seed,
                          fb_search_options *o, fb_status *status)
{
    float *vector = malloc(WIDTH * sizeof *vector);
    fb_search_result *want = NULL, *got = NULL;
    bool exact = o->exact;
    fill_vector(s->folder, seed, vector);
    *status = fb_index_search(ctx, s->store, vector, o, &got);
    o->exact = true;
    const char *what = NULL;
    if (*status == FB_OK && fb_index_search(ctx, s->folder, vector, o, &want) == FB_OK)
        what = differs(want, got);
    o->exact = exact;
    fb_search_result_free(want);
    fb_search_result_free(got);
    free(vector);
    return what;
}

static void answer(fb_context *ctx, const char *where, fb_status status,
                   const char *what)
{
    if (status != FB_OK)
        failed(where, ctx, status);
    else if (what)
        printf("other %s\n", what);
    else
        puts("same");
}

static void do_search(session *s, char **field, int count)
{
    fb_search_options o;
    fb_search_filter filters[FIELDS];
    fb_status status;
    fb_search_options_defaults(&o);
    o.k = atoi(field[2]);
    o.exact = strcmp(field[3], "exact") == 0;
    o.effort = o.exact ? 0 : atoi(field[3]);
    o.filters = filters;
    for (int i = 4; i + 1 < count; i += 2)
        filters[o.filter_count++] = (fb_search_filter){field[i], field[i + 1]};
    const char *what =
        search(s->ctx, s, (uint64_t)strtoull(field[1], NULL, 10), &o, &status);
    answer(s->ctx, "search", status, what);
}

static void do_values(const session *s, const char *name)
{
    const char *const *a = NULL, *const *b = NULL;
    const int64_t *m = NULL, *n = NULL;
    int32_t count = 0, stored = 0;
    const char *what = NULL;
    fb_status status = fb_index_values(s->ctx, s->store, name, 50, &b, &n, &stored);
    if (status == FB_OK)
        status = fb_index_values(s->ctx, s->folder, name, 50, &a, &m, &count);
    if (status == FB_OK && count != stored)
        what = "count";
    for (int32_t i = 0; status == FB_OK && !what && i < count; i++)
        if (strcmp(a[i], b[i]) != 0 || m[i] != n[i])
            what = "value";
    answer(s->ctx, "values", status, what);
    free((void *)(uintptr_t)a);
    free((void *)(uintptr_t)b);
}

static void do_find(const session *s, const char *id)
{
    fb_search_result *a = NULL, *b = NULL;
    fb_status status = fb_index_find(s->ctx, s->store, id, &b);
    fb_status want = fb_index_find(NULL, s->folder, id, &a);
    const char *what = status == FB_OK && want == FB_OK ? differs(a, b) : NULL;
    if (status != want && status != FB_E_IO)
        what = "status";
    answer(s->ctx, "find", what || status == want ? FB_OK : status, what);
    fb_search_result_free(a);
    fb_search_result_free(b);
}

typedef struct worker {
    const session *s;
    int number, same;
} worker;

static void *work(void *argument)
{
    worker *w = argument;
    fb_context *ctx = fb_context_create();
    for (int i = 0; i < 20; i++) {
        fb_search_options o;
        fb_status status;
        fb_search_options_defaults(&o);
        o.exact = i % 2 == 0;
        o.effort = 400;
        const char *what =
            search(ctx, w->s, (uint64_t)(w->number * 100 + i), &o, &status);
        w->same += status == FB_OK && !what;
    }
    fb_context_free(ctx);
    return NULL;
}

static void do_threads(const session *s, int count)
{
    pthread_t threads[FIELDS];
    worker workers[FIELDS];
    int same = 0;
    count = count < FIELDS ? count : FIELDS;
    for (int i = 0; i < count; i++) {
        workers[i] = (worker){s, i, 0};
        pthread_create(&threads[i], NULL, work, &workers[i]);
    }
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        same += workers[i].same;
    }
    if (same == count * 20)
        puts("same");
    else
        printf("other %d of %d\n", same, count * 20);
}

static void do_line(session *s, char *line)
{
    char *field[FIELDS];
    int count = 0;
    line[strcspn(line, "\n")] = 0;
    for (char *at = line; at && count < FIELDS; count++) {
        field[count] = strsep(&at, "\t");
    }
    if (strcmp(field[0], "search") == 0 && count > 3)
        do_search(s, field, count);
    else if (strcmp(field[0], "values") == 0 && count == 2)
        do_values(s, field[1]);
    else if (strcmp(field[0], "find") == 0 && count == 2)
        do_find(s, field[1]);
    else if (strcmp(field[0], "threads") == 0 && count == 2)
        do_threads(s, atoi(field[1]));
    else if (strcmp(field[0], "reopen") == 0) {
        fb_index *again = NULL;
        fb_status status = fb_index_open(s->ctx, &again, s->place, NULL);
        if (status == FB_OK) {
            fb_index_close(s->store);
            s->store = again;
        }
        answer(s->ctx, "reopen", status, NULL);
    } else
        puts("what?");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    session s = {.ctx = fb_context_create()};
    char *line = malloc(LINE);
    if (argc != 3 || !line)
        return 2;
    s.place = argv[2];
    fb_status status = fb_index_open(s.ctx, &s.folder, argv[1], NULL);
    if (status == FB_OK)
        status = fb_index_open(s.ctx, &s.store, argv[2], NULL);
    if (status != FB_OK)
        failed("open", s.ctx, status);
    while (status == FB_OK && fgets(line, LINE, stdin))
        do_line(&s, line);
    fb_index_close(s.store);
    fb_index_close(s.folder);
    fb_context_free(s.ctx);
    free(line);
    return status == FB_OK ? 0 : 1;
}

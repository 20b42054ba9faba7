/* test_server_threads.c - the server's threads on requests made by hand, one thread after
 * the other, so that the order of answers is the server's and not the clock's: what is
 * quick overtakes what takes long, slices and whole requests say the same, what nobody
 * waits for is dropped before it is worked at, a failing kernel's sentence reaches its
 * request, memory is counted to the last byte.
 */
#include "support/catalogue_fixture.h"

#include "base/base64.h"
#include "base/clock.h"
#include "data/image/image_decode.h"
#include "engine/model_folder.h"
#include "server/http_server.h"
#include "server/job.h"
#include "server/server.h"
#include <math.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ITEMS = 24, SIDE = 40, ANSWERS = 32 };

typedef struct world {
    fixture *f;
    char model[4096], index[4096], photo[4096];
    char *image; /* base64 of a photo */
    fb_server server;
    fb_exchange *answered[ANSWERS]; /* in their order */
    int32_t count;
    /* Called for each answer, as a client would that asks again. */
    void (*then)(struct world *w, fb_exchange *x);
    const char *route;
} world;

static world *current;

static void must(const world *w, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(w->f->ctx));
}

/* The transport of these tests: all of http_server.h, of which one function is called.
 */
fb_status fb_http_start(fb_context *ctx, fb_server *server)
{
    (void)server;
    return fb_fail(ctx, FB_E_STATE, "a test has no transport");
}

int32_t fb_http_port(const fb_http *http)
{
    (void)http;
    return 0;
}

int64_t fb_http_busy(const fb_http *http)
{
    (void)http;
    return 0;
}

#define NOTHING(name)                                                                  \
    void name(fb_http *http)                                                           \
    {                                                                                  \
        (void)http;                                                                    \
    }
NOTHING(fb_http_close_slow)
NOTHING(fb_http_give_up)
NOTHING(fb_http_quiesce)
NOTHING(fb_http_stop)

void fb_http_resume(fb_http *http, fb_exchange *x)
{
    (void)http;
    assert_true(current->count < ANSWERS);
    current->answered[current->count++] = x;
    if (current->then)
        current->then(current, x);
}

/* ---- a model, an index, a server without its transport -------------------------------- */

static void make_catalogue(world *w)
{
    const fixture *f = w->f;
    char *text = NULL, name[64], path[4096];
    size_t bytes = 0;
    FILE *lines = open_memstream(&text, &bytes);
    uint8_t pixels[SIDE * SIDE * 3];
    must(w, fb_path_join(f->ctx, path, f->folder, "images"));
    must(w, fb_folder_make(f->ctx, path));
    for (int i = 0; i < ITEMS; i++) {
        for (int p = 0; p < SIDE * SIDE * 3; p++)
            pixels[p] = (uint8_t)((p % 3 == i % 3 ? 200 : 20) + (p * 7 + i * 13) % 50);
        fb_image image = {SIDE, SIDE, pixels};
        snprintf(name, sizeof name, "images/%d.png", i);
        must(w, fb_path_join(f->ctx, w->photo, f->folder, name));
        must(w, fb_image_write_png(f->ctx, w->photo, &image));
        fprintf(
            lines,
            "{\"file_name\": \"%s\", \"product_id\": \"p%d\", \"title\": \"%s thing "
            "%d\", \"category\": \"c\", \"split\": \"%s\"}\n",
            name, i, i % 3 ? "blue" : "red", i, i % 4 ? "train" : "val");
    }
    assert_int_equal(fclose(lines), 0);
    fixture_write(f, "metadata.jsonl", text, bytes);
    free(text);
    fixture_text(f, "tiny.json",
                 "{\"hidden_size\": 16, \"num_hidden_layers\": 1, "
                 "\"num_attention_heads\": 2, \"intermediate_size\": 32, "
                 "\"fashionbert\": {\"image_size\": 32, \"grid\": 2}}");
}

static void train(world *w)
{
    char config[4096];
    fb_train_options o;
    fb_train_report report;
    fb_train_options_defaults(&o);
    must(w, fb_path_join(w->f->ctx, w->model, w->f->folder, "model"));
    must(w, fb_path_join(w->f->ctx, config, w->f->folder, "tiny.json"));
    o.objective = "itc";
    o.catalog = w->f->folder;
    o.out = w->model;
    o.config = config;
    o.encoder = "pixels";
    o.vector_size = 8;
    o.itc = 1;
    o.batch = 8;
    o.steps = 4;
    o.max_text = 8;
    o.dtype = "f32";
    o.vocab_size = 60;
    o.threads = 1;
    o.quiet = true;
    must(w, fb_train(w->f->ctx, &o, &report));
}

static void make_index(world *w)
{
    fb_index_build_options o;
    fb_index_report report;
    fb_index_build_options_defaults(&o);
    must(w, fb_path_join(w->f->ctx, w->index, w->f->folder, "index"));
    o.model = w->model;
    o.catalog = w->f->folder;
    o.out = w->index;
    o.dtype = "f32";
    o.threads = 1;
    o.quiet = true;
    must(w, fb_index_build(w->f->ctx, &o, &report));
}

static void read_photo(world *w)
{
    uint8_t *bytes = NULL;
    size_t size = 0, length = 0;
    must(w, fb_file_read(w->f->ctx, w->photo, 1 << 20, &bytes, &size));
    FILE *out = open_memstream(&w->image, &length);
    fb_base64_write(out, bytes, size);
    assert_int_equal(fclose(out), 0);
    free(bytes);
}

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    void *f;
    fixture_setup(&f);
    w->f = f;
    make_catalogue(w);
    train(w);
    make_index(w);
    read_photo(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    void *f = w->f;
    must(w, fb_folder_remove(w->f->ctx, w->model));
    must(w, fb_folder_remove(w->f->ctx, w->index));
    free(w->image);
    free(w);
    return fixture_teardown(&f);
}

/* As SIGHUP does: by a context that is gone behind it. */
static void open_served(world *w)
{
    fb_context ctx = {0};
    fb_served *served = NULL;
    if (fb_served_open(&ctx, &served, &w->server.options) != FB_OK)
        fail_msg("%s", fb_context_message(&ctx));
    fb_served_slot_set(&w->server.slot, served);
    atomic_store(&w->server.token_s, served->token_s);
    atomic_store(&w->server.quick_s, served->quick_s);
}

static const char *const labels[] = {"a", "b", "c", "d", "e", "f", "g", "h",
                                     "i", "j", "k", "l", "m", "n", "o", "p"};

static int begin(void **state)
{
    world *w = *state;
    fb_server *s = &w->server;
    current = w;
    w->count = 0;
    w->then = NULL;
    memset(s, 0, sizeof *s);
    fb_serve_options_defaults(&s->options);
    s->options.model = w->model;
    s->options.index = w->index;
    s->options.dtype = "f32";
    s->options.threads = 1;
    s->metrics = fb_metrics_create(labels, fb_route_count + 1);
    must(w, fb_served_slot_open(w->f->ctx, &s->slot));
    open_served(w);
    s->to_prepare = fb_work_queue_create();
    s->to_decode = fb_work_queue_create();
    s->to_compute = fb_work_queue_create();
    return 0;
}

/* All that a test asked has its answer, and nothing is left taken. */
static int end(void **state)
{
    world *w = *state;
    fb_server *s = &w->server;
    for (int32_t i = 0; i < w->count; i++) {
        fb_server_give_body_bytes(s, w->answered[i]->body_capacity +
                                         w->answered[i]->reply_held);
        fb_exchange_free(w->answered[i]);
    }
    assert_int_equal(atomic_load(&s->body_bytes), 0);
    assert_int_equal(atomic_load(&s->waiting), 0);
    assert_int_equal(atomic_load(&s->waiting_tokens), 0);
    assert_int_equal(atomic_load(&s->quick_tokens), 0);
    fb_work_queue_free(s->to_prepare);
    fb_work_queue_free(s->to_decode);
    fb_work_queue_free(s->to_compute);
    fb_served_slot_close(&s->slot);
    fb_metrics_free(s->metrics);
    return 0;
}

/* ---- requests ------------------------------------------------------------------------- */

static fb_exchange *make(world *w, const char *path, char *body)
{
    fb_exchange *x = fb_exchange_create(path);
    assert_non_null(x);
    strcpy(x->method, "POST");
    assert_true(fb_route_find(x));
    x->media = FB_MEDIA_JSON;
    x->body = (uint8_t *)body;
    x->body_bytes = x->body_capacity = strlen(body);
    assert_true(fb_server_take_body_bytes(&w->server, x->body_capacity, true));
    x->times.began = x->times.received = fb_clock_s();
    assert_true(fb_server_admit(&w->server, x));
    return x;
}

static fb_exchange *ask(world *w, const char *path, char *body)
{
    fb_exchange *x = make(w, path, body);
    assert_true(fb_work_queue_push(w->server.to_prepare, x, FB_LANE_DEAR));
    return x;
}

/* `texts` texts with `images` photos. */
static char *match_body(const world *w, int texts, int images)
{
    char *body = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&body, &bytes);
    fputs("{\"texts\": [", out);
    for (int i = 0; i < texts; i++)
        fprintf(out, "%s\"red thing %d\"", i ? ", " : "", i);
    fputs("], \"images\": [", out);
    for (int i = 0; i < images; i++)
        fprintf(out, "%s\"%s\"", i ? ", " : "", w->image);
    fputs("]}", out);
    assert_int_equal(fclose(out), 0);
    return body;
}

static char *encode_body(void)
{
    return strdup("{\"texts\": [\"red thing\"]}");
}

static char *rerank_body(int products)
{
    char *body = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&body, &bytes);
    fputs("{\"text\": \"red thing\", \"product_ids\": [", out);
    for (int i = 0; i < products; i++)
        fprintf(out, "%s\"p%d\"", i ? ", " : "", i);
    fputs("]}", out);
    assert_int_equal(fclose(out), 0);
    return body;
}

/* Each thread in turn, on what its queue holds. */
static void prepare(world *w)
{
    fb_work_queue_close(w->server.to_prepare);
    fb_prepare_run(&w->server);
    fb_work_queue_close(w->server.to_decode);
    fb_decode_run(&w->server);
}

static void compute(world *w)
{
    fb_worker worker = {&w->server, 0};
    fb_work_queue_close(w->server.to_compute);
    fb_worker_run(&worker);
}

static void answers_are(const world *w, const fb_exchange *const *wanted, int32_t count)
{
    assert_int_equal(w->count, count);
    for (int32_t i = 0; i < count; i++)
        if (w->answered[i] != wanted[i])
            fail_msg("answer %d is of %s", (int)i, w->answered[i]->target);
}

static void is_ok(const fb_exchange *x)
{
    if (x->status != 200)
        fail_msg("%s: %d: %.*s", x->target, (int)x->status, (int)x->reply_bytes,
                 x->reply);
}

/* ---- in slices ------------------------------------------------------------------------ */

static fb_exchange *later;

/* A client whose first answer makes it ask once more; then enough. */
static void ask_once_more(world *w, fb_exchange *x)
{
    fb_exchange *next = later;
    (void)x;
    later = NULL;
    if (next)
        fb_work_queue_put_back(w->server.to_compute, next, FB_LANE_QUICK);
}

/* A request that is ready to be computed, and not queued. */
static fb_exchange *prepared(world *w, const char *path, char *body)
{
    fb_lane lane = FB_LANE_QUICK;
    fb_exchange *x = make(w, path, body);
    assert_true(fb_work_queue_push(w->server.to_prepare, x, FB_LANE_DEAR));
    fb_work_queue_close(w->server.to_prepare);
    fb_prepare_run(&w->server);
    fb_work_queue_free(w->server.to_prepare);
    w->server.to_prepare = fb_work_queue_create();
    assert_ptr_equal(fb_work_queue_pop(w->server.to_compute, &lane), x);
    return x;
}

static char *dear_body(const world *w, int kind)
{
    if (kind == 0)
        return match_body(w, 16, 4);
    return kind == 1 ? rerank_body(ITEMS)
                     : strdup("{\"text\": \"red thing\", \"product_id\": \"p1\"}");
}

static void what_is_quick_overtakes_what_takes_long(void **state)
{
    world *w = *state;
    const char *const dear[] = {"/v1/match", "/v1/rerank", "/v1/explain"};
    for (int kind = 0; kind < 3; kind++) {
        if (kind > 0) {
            end(state);
            begin(state);
        }
        w->server.options.batch_tokens = 40; /* of a few pairs */
        later = prepared(w, "/v1/search", strdup("{\"text\": \"blue thing\"}"));
        fb_exchange *second = later;
        fb_exchange *slow = ask(w, dear[kind], dear_body(w, kind));
        fb_exchange *first = ask(w, "/v1/encode", encode_body());
        w->then = ask_once_more;
        prepare(w);
        compute(w);
        answers_are(w, (const fb_exchange *[]){first, second, slow}, 3);
        is_ok(first);
        is_ok(second);
        is_ok(slow);
    }
}

/* [texts, images] out of an answer. */
static void read_scores(const fb_exchange *x, float *scores, int count)
{
    fb_context ctx = {0};
    json_t *answer = NULL, *row;
    size_t r;
    int n = 0;
    is_ok(x);
    assert_int_equal(fb_json_parse(&ctx, "answer", x->reply, x->reply_bytes, &answer),
                     FB_OK);
    json_array_foreach(json_object_get(answer, "scores"), r, row)
    {
        for (size_t i = 0; i < json_array_size(row) && n < count; i++)
            scores[n++] = (float)json_number_value(json_array_get(row, i));
    }
    assert_int_equal(n, count);
    json_decref(answer);
}

static void slices_say_what_one_pass_says(void **state)
{
    world *w = *state;
    float scores[2][15], all[15];
    for (int i = 0; i < 2; i++) {
        w->server.options.batch_tokens = i ? 1000000 : 20;
        ask(w, "/v1/match", match_body(w, 5, 3));
        prepare(w);
        compute(w);
        read_scores(w->answered[0], scores[i], 15);
        if (i == 0) {
            end(state);
            begin(state);
        }
    }
    fb_image_input image = {.file = w->photo};
    fb_input inputs[15];
    char texts[5][32];
    for (int i = 0; i < 15; i++) {
        snprintf(texts[i / 3], sizeof texts[i / 3], "red thing %d", i / 3);
        inputs[i] = (fb_input){texts[i / 3], &image};
    }
    must(w,
         fb_model_match(w->f->ctx, w->server.slot.served->models[0], inputs, 15, all));
    for (int i = 0; i < 15; i++) {
        assert_true(fabsf(scores[0][i] - all[i]) < 1e-5f);
        assert_true(fabsf(scores[1][i] - all[i]) < 1e-5f);
    }
}

static void re_ranking_in_parts_is_re_ranking(void **state)
{
    world *w = *state;
    const char *ids[ITEMS];
    char names[ITEMS][8];
    fb_search_result *whole = NULL, *parts = NULL;
    fb_reranking *r = NULL;
    fb_search_options how;
    fb_served *served = w->server.slot.served;
    const fb_input query = {.text = "red thing"};
    fb_search_options_defaults(&how);
    how.k = 7;
    for (int i = 0; i < ITEMS; i++) {
        snprintf(names[i], sizeof names[i], "p%d", i);
        ids[i] = names[i];
    }
    fb_context *ctx = w->f->ctx;
    must(w, fb_index_find_all(ctx, served->index, ids, ITEMS, &whole));
    must(w, fb_index_find_all(ctx, served->index, ids, ITEMS, &parts));
    must(w,
         fb_index_rerank(ctx, served->models[0], served->index, &query, &how, whole));
    must(w, fb_rerank_begin(ctx, &r, served->models[0], served->index, &query, &how,
                            parts));
    assert_int_equal(fb_rerank_end(ctx, r), FB_E_STATE);
    while (fb_rerank_left(r) > 0)
        must(w, fb_rerank_run(ctx, r, served->models[0], 5));
    must(w, fb_rerank_end(ctx, r));
    fb_rerank_free(r);
    assert_int_equal(parts->hit_count, 7);
    assert_int_equal(whole->hit_count, 7);
    for (int i = 0; i < 7; i++) {
        assert_string_equal(parts->hits[i].product_id, whole->hits[i].product_id);
        assert_true(fabsf(parts->hits[i].rerank_score - whole->hits[i].rerank_score) <
                    1e-5f);
    }
    fb_search_result_free(whole);
    fb_search_result_free(parts);
}

static void images_of_one_request_let_others_pass(void **state)
{
    world *w = *state;
    fb_exchange *many = ask(w, "/v1/match", match_body(w, 1, 5));
    fb_exchange *one = ask(w, "/v1/match", match_body(w, 1, 1));
    prepare(w);
    assert_true(one->times.prepared < many->times.prepared);
    compute(w);
    is_ok(many);
    is_ok(one);
}

/* ---- what is dropped ------------------------------------------------------------------ */

static void whoever_has_gone_is_not_worked_for(void **state)
{
    world *w = *state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    fb_exchange *gone = ask(w, "/v1/match", match_body(w, 1, 1));
    gone->socket = pair[0];
    close(pair[1]);
    prepare(w);
    assert_int_equal(w->count, 1);
    assert_int_equal(gone->status, 499);
    assert_true(gone->times.prepare_begun <= 0); /* not even read */
    close(pair[0]);
    gone->socket = -1;
}

static void whoever_goes_between_two_slices_is_dropped(void **state)
{
    world *w = *state;
    int pair[2];
    w->server.options.batch_tokens = 20;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    fb_exchange *slow = ask(w, "/v1/match", match_body(w, 16, 4));
    slow->socket = pair[0];
    prepare(w);
    fb_job *job = slow->job;
    job->begun = true;
    job->done = 3; /* its first slice */
    close(pair[1]);
    compute(w);
    assert_int_equal(slow->status, 499);
    close(pair[0]);
    slow->socket = -1;
}

static void whoever_waited_too_long_is_told_before_anything_is_decoded(void **state)
{
    world *w = *state;
    fb_exchange *x = ask(w, "/v1/match", match_body(w, 1, 1));
    w->server.options.max_wait_s = 1;
    x->times.received -= 2;
    prepare(w);
    assert_int_equal(x->status, 429);
    assert_true(x->retry_after_s >= 1);
    assert_true(x->times.prepare_begun <= 0);
}

static void end_the_server(world *w, fb_exchange *x)
{
    (void)x;
    atomic_store(&w->server.ended, true);
}

static void an_ended_server_breaks_off_between_two_slices(void **state)
{
    world *w = *state;
    w->server.options.batch_tokens = 20;
    fb_exchange *slow = ask(w, "/v1/match", match_body(w, 16, 4));
    fb_exchange *quick = ask(w, "/v1/encode", encode_body());
    w->then = end_the_server;
    prepare(w);
    compute(w);
    answers_are(w, (const fb_exchange *[]){quick, slow}, 2);
    is_ok(quick);
    assert_int_equal(slow->status, 503);
}

/* ---- limits --------------------------------------------------------------------------- */

static void says(const fb_exchange *x, int32_t status, const char *words)
{
    if (x->status != status || !memmem(x->reply, x->reply_bytes, words, strlen(words)))
        fail_msg("not %d with '%s': %d %.*s", (int)status, words, (int)x->status,
                 (int)x->reply_bytes, x->reply);
}

static void a_request_is_limited_in_tokens(void **state)
{
    world *w = *state;
    fb_exchange *x = ask(w, "/v1/match", match_body(w, 16, 4));
    w->server.options.request_tokens = 100;
    prepare(w);
    says(x, 422, "at most 100 are computed for one");
}

static void a_request_is_limited_in_megapixels(void **state)
{
    world *w = *state;
    fb_exchange *x = ask(w, "/v1/match", match_body(w, 1, 3));
    w->server.options.request_megapixels = 0; /* below what the option allows */
    prepare(w);
    says(x, 422, "million are read for one request");
}

static void memory_is_taken_before_it_is_used(void **state)
{
    world *w = *state;
    fb_exchange *x = ask(w, "/v1/match", match_body(w, 1, 1));
    /* Room for the bodies, and for nothing that is made of them. */
    int64_t taken = atomic_load(&w->server.body_bytes);
    size_t rest = (size_t)(((int64_t)w->server.options.memory_mb << 20) - taken) - 4096;
    assert_true(fb_server_take_body_bytes(&w->server, rest, true));
    prepare(w);
    assert_int_equal(x->status, 429);
    fb_server_give_body_bytes(&w->server, rest);
}

static void an_answer_counts_until_it_is_sent(void **state)
{
    world *w = *state;
    fb_exchange *x = ask(w, "/v1/encode", encode_body());
    prepare(w);
    compute(w);
    is_ok(x);
    assert_int_equal(x->reply_held, x->reply_bytes);
    assert_int_equal(atomic_load(&w->server.body_bytes), x->reply_bytes);
}

static void an_answer_without_room_says_so(void **state)
{
    world *w = *state;
    fb_exchange *x = make(w, "/v1/encode", encode_body());
    int64_t all = (int64_t)w->server.options.memory_mb << 20;
    size_t rest = (size_t)(all - atomic_load(&w->server.body_bytes));
    x->status = 200;
    x->reply = strdup("an answer");
    x->reply_bytes = strlen(x->reply);
    assert_true(fb_server_take_body_bytes(&w->server, rest, true));
    fb_server_answer(&w->server, x);
    says(x, 429, "too many requests wait");
    fb_server_give_body_bytes(&w->server, rest);
}

static void small_requests_have_room_beside_large_ones(void **state)
{
    world *w = *state;
    fb_server *s = &w->server;
    size_t all = (size_t)s->options.memory_mb << 20;
    assert_true(fb_server_take_body_bytes(s, all - all / 8, false));
    assert_false(fb_server_take_body_bytes(s, 1, false));
    assert_true(fb_server_take_body_bytes(s, 1, true));
    fb_server_give_body_bytes(s, all - all / 8 + 1);
}

/* ---- a kernel that fails -------------------------------------------------------------- */

static fb_status broken_embed(fb_context *ctx, fb_backend *be, const fb_tensor *y,
                              const fb_tensor *x, const fb_embed *embed)
{
    (void)be, (void)y, (void)x, (void)embed;
    return fb_fail(ctx, FB_E_BACKEND, "the kernel says why");
}

static void a_failing_kernel_says_why_also_behind_a_reload(void **state)
{
    world *w = *state;
    for (int reload = 0; reload < 2; reload++) {
        open_served(w);
        fb_backend *be = w->server.slot.served->models[0]->be;
        const fb_kernels *whole = be->k;
        fb_kernels broken = *whole;
        broken.embed_forward = broken_embed;
        be->k = &broken;
        fb_exchange *x = ask(w, "/v1/encode", encode_body());
        prepare(w);
        compute(w);
        be->k = whole;
        says(x, 500, "the kernel says why");
        if (reload == 0) {
            end(state);
            begin(state);
        }
    }
}

#define SERVER_TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(what_is_quick_overtakes_what_takes_long),
        SERVER_TEST(slices_say_what_one_pass_says),
        SERVER_TEST(re_ranking_in_parts_is_re_ranking),
        SERVER_TEST(images_of_one_request_let_others_pass),
        SERVER_TEST(whoever_has_gone_is_not_worked_for),
        SERVER_TEST(whoever_goes_between_two_slices_is_dropped),
        SERVER_TEST(whoever_waited_too_long_is_told_before_anything_is_decoded),
        SERVER_TEST(an_ended_server_breaks_off_between_two_slices),
        SERVER_TEST(a_request_is_limited_in_tokens),
        SERVER_TEST(a_request_is_limited_in_megapixels),
        SERVER_TEST(memory_is_taken_before_it_is_used),
        SERVER_TEST(an_answer_counts_until_it_is_sent),
        SERVER_TEST(an_answer_without_room_says_so),
        SERVER_TEST(small_requests_have_room_beside_large_ones),
        SERVER_TEST(a_failing_kernel_says_why_also_behind_a_reload),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

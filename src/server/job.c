/* job.c - see job.h. Memory is counted ahead: what parsing may take, then what it took;
 * what decoding an image may take, then its pixels.
 */
#include "server/job.h"

#include "base/clock.h"
#include "server/http_bodies.h"
#include "server/server.h"
#include <string.h>

enum {
    ARENA_BYTES = 1 << 12,
    TITLE_TOKENS = 12,
    VALUE_BYTES = 160,
    QUICK_TOKENS = 256
};

void fb_job_free(fb_server *server, fb_job *job)
{
    if (!job)
        return;
    atomic_fetch_sub(&server->waiting_tokens, job->dear_waiting);
    atomic_fetch_sub(&server->quick_tokens, job->quick_waiting);
    fb_rerank_free(job->ranking);
    fb_search_result_free(job->found);
    fb_explanation_free(job->why);
    fb_form_free(&job->form);
    fb_server_give_body_bytes(server, job->held_bytes);
    fb_served_let_go(&server->slot, job->served);
    fb_arena_free(job->arena); /* the job lies in it */
}

static void *take(fb_context *ctx, fb_job *job, size_t bytes, fb_status *status)
{
    void *memory = fb_arena_alloc_zero(job->arena, bytes);
    if (!memory)
        *status = fb_fail(ctx, FB_E_MEMORY, "no memory for a request");
    return memory;
}

/* ---- memory ---------------------------------------------------------------------- */

/* The job takes so many bytes in all from now on. */
static fb_status hold(fb_context *ctx, fb_server *server, fb_job *job, size_t bytes)
{
    if (bytes < job->held_bytes) {
        fb_server_give_body_bytes(server, job->held_bytes - bytes);
    } else if (!fb_server_take_body_bytes(server, bytes - job->held_bytes,
                                          job->small)) {
        return fb_fail(ctx, FB_E_MEMORY, "busy");
    }
    job->held_bytes = bytes;
    return FB_OK;
}

/* A body of n bytes has at most n / 2 values, each of which takes memory of its own;
 * strings are copied, and images among them become bytes before they go. */
static size_t parse_bytes(const fb_exchange *x)
{
    size_t values = x->body_bytes / 2;
    if (values > FB_MOST_VALUES)
        values = FB_MOST_VALUES;
    return values * VALUE_BYTES +
           (x->media == FB_MEDIA_JSON ? 2 * x->body_bytes : x->body_bytes);
}

static size_t tree_bytes(const json_t *value)
{
    size_t bytes = VALUE_BYTES, i;
    const char *name;
    const json_t *member;
    if (json_is_string(value))
        return bytes + json_string_length(value);
    json_array_foreach(value, i, member) bytes += tree_bytes(member);
    json_object_foreach((json_t *)(uintptr_t)value, name, member) bytes +=
        strlen(name) + tree_bytes(member);
    return bytes;
}

static size_t taken_bytes(const fb_job *job)
{
    size_t bytes = tree_bytes(job->form.fields) + fb_arena_peak_bytes(job->arena);
    for (int32_t i = 0; i < job->form.blob_count; i++)
        bytes += job->form.blobs[i].owned ? job->form.blobs[i].size_bytes : 0;
    return bytes;
}

/* ---- images and texts ------------------------------------------------------------ */

static void name_image(const fb_job *job, int32_t number, char name[32])
{
    snprintf(name, 32, job->image_count > 1 ? "images[%d]" : "image", (int)number);
}

static fb_status measure(fb_context *ctx, const fb_server *server, const fb_job *job,
                         int32_t number, int64_t *all)
{
    const fb_blob *blob = job->blobs[number];
    int64_t pixels, bytes, most = (int64_t)server->options.request_megapixels * 1000000;
    char name[32];
    name_image(job, number, name);
    FB_TRY(fb_image_measure(ctx, name, blob->bytes, blob->size_bytes, &pixels, &bytes));
    *all += pixels;
    if (*all > most)
        return fb_fail(ctx, FB_E_LIMIT,
                       "the images up to %s have %lld pixels together; at most %d "
                       "million are read for one request",
                       name, (long long)*all, (int)server->options.request_megapixels);
    return FB_OK;
}

static fb_status decode(fb_context *ctx, fb_server *server, fb_job *job, int32_t number)
{
    const fb_model *model = job->served->models[0];
    const fb_blob *blob = job->blobs[number];
    const fb_image_input input = {.bytes = blob->bytes, .size_bytes = blob->size_bytes};
    size_t side = (size_t)fb_model_image_size(model), bytes = side * side * 3;
    size_t before = job->held_bytes;
    int64_t count, scratch;
    fb_status status = FB_OK;
    char name[32];
    name_image(job, number, name);
    FB_TRY(
        fb_image_measure(ctx, name, blob->bytes, blob->size_bytes, &count, &scratch));
    FB_TRY(hold(ctx, server, job, before + bytes + (size_t)scratch));
    uint8_t *pixels = take(ctx, job, bytes, &status);
    if (status == FB_OK)
        status = fb_model_read_image(ctx, model, &input, name,
                                     (int64_t)server->options.max_megapixels * 1000000,
                                     pixels);
    (void)hold(ctx, server, job, before + bytes); /* less */
    job->images[number].pixels = pixels;
    return status;
}

/* The field `one` (an image) or `many` (an array of them) into job->images. */
static fb_status read_images(fb_context *ctx, fb_server *server, fb_job *job,
                             const char *one, const char *many)
{
    const json_t *single = one ? json_object_get(job->form.fields, one) : NULL;
    const json_t *list = many ? json_object_get(job->form.fields, many) : NULL;
    fb_status status = FB_OK;
    int64_t pixels = 0;
    job->image_count = single ? 1 : (int32_t)json_array_size(list);
    size_t n = (size_t)(job->image_count + 1);
    job->images = take(ctx, job, n * sizeof *job->images, &status);
    job->blobs = take(ctx, job, n * sizeof(const fb_blob *), &status);
    FB_TRY(status);
    for (int32_t i = 0; i < job->image_count; i++) {
        job->blobs[i] =
            fb_form_blob(&job->form, single ? single : json_array_get(list, (size_t)i));
        if (!job->blobs[i])
            return fb_fail(ctx, FB_E_STATE, "an image without its bytes");
        FB_TRY(measure(ctx, server, job, i, &pixels));
    }
    return FB_OK;
}

static fb_status count_tokens(fb_context *ctx, fb_job *job, const char *text,
                              int32_t *tokens)
{
    double began = fb_clock_s();
    FB_TRY(fb_model_count_tokens(ctx, job->served->models[0], text, tokens));
    job->tokenise_s += fb_clock_s() - began;
    return FB_OK;
}

static int32_t patches(const fb_job *job)
{
    return fb_model_patches(job->served->models[0]);
}

/* ---- one kind of work each ------------------------------------------------------- */

/* The query of search, rerank and explain, and the patches and tokens it has. */
static fb_status read_query(fb_context *ctx, fb_server *server, fb_job *job)
{
    fb_status status = FB_OK;
    int32_t tokens = 0;
    FB_TRY(read_images(ctx, server, job, "image", NULL));
    int32_t width = fb_model_vector_size(job->served->models[0]);
    job->inputs = take(ctx, job, sizeof *job->inputs, &status);
    job->numbers = take(ctx, job, (size_t)(width + 1) * sizeof *job->numbers, &status);
    FB_TRY(status);
    job->input_count = 1;
    fb_form_string(&job->form, "text", &job->inputs[0].text);
    if (job->inputs[0].text)
        FB_TRY(count_tokens(ctx, job, job->inputs[0].text, &tokens));
    if (job->image_count)
        job->inputs[0].image = job->images;
    job->text_weight = -1;
    fb_form_double(&job->form, "text_weight", &job->text_weight);
    job->quick_tokens = tokens + (job->image_count ? patches(job) : 0);
    return FB_OK;
}

/* What scoring the query with `products` costs. */
static int64_t rerank_tokens(const fb_job *job, int64_t products)
{
    int64_t text = job->inputs[0].text ? job->quick_tokens : 0;
    int64_t image = job->inputs[0].image ? TITLE_TOKENS + patches(job) : 0;
    if (text && image)
        text -= patches(job);
    return products * ((text ? text + patches(job) : 0) + image);
}

static fb_status read_filters(fb_context *ctx, fb_job *job)
{
    json_t *map = json_object_get(job->form.fields, "filter"), *value;
    const char *name;
    size_t most = 0;
    fb_status status = FB_OK;
    json_object_foreach(map, name, value) most +=
        json_is_array(value) ? json_array_size(value) : 1;
    if (most > FB_FILTERS_MOST)
        return fb_fail(ctx, FB_E_LIMIT, "a filter of %zu values; at most %d are read",
                       most, FB_FILTERS_MOST);
    fb_search_filter *filters = take(ctx, job, (most + 1) * sizeof *filters, &status);
    FB_TRY(status);
    int32_t n = 0;
    json_object_foreach(map, name, value)
    {
        if (json_is_string(value))
            filters[n++] = (fb_search_filter){name, json_string_value(value)};
        for (size_t i = 0; i < json_array_size(value); i++)
            filters[n++] =
                (fb_search_filter){name, json_string_value(json_array_get(value, i))};
    }
    job->how.filters = filters;
    job->how.filter_count = n;
    return FB_OK;
}

static fb_status read_search(fb_context *ctx, fb_server *server, fb_job *job)
{
    FB_TRY(read_query(ctx, server, job));
    fb_search_options_defaults(&job->how);
    job->how.k = 10;
    fb_form_int(&job->form, "k", &job->how.k);
    fb_form_int(&job->form, "rerank", &job->how.rerank);
    fb_form_double(&job->form, "rerank_margin", &job->how.rerank_margin);
    fb_form_bool(&job->form, "exact", &job->how.exact);
    fb_form_string(&job->form, "by", &job->how.by);
    job->how.text_weight = job->text_weight;
    int32_t reranked = job->how.rerank > 0 && job->how.rerank < job->how.k
                           ? job->how.k
                           : job->how.rerank;
    job->dear_tokens = rerank_tokens(job, reranked);
    return read_filters(ctx, job);
}

static fb_status read_rerank(fb_context *ctx, fb_server *server, fb_job *job)
{
    const json_t *ids = json_object_get(job->form.fields, "product_ids");
    fb_status status = FB_OK;
    FB_TRY(read_query(ctx, server, job));
    int32_t count = (int32_t)json_array_size(ids);
    const char **list = take(ctx, job, (size_t)count * sizeof *list, &status);
    FB_TRY(status);
    for (int32_t i = 0; i < count; i++)
        list[i] = json_string_value(json_array_get(ids, (size_t)i));
    FB_TRY(fb_index_find_all(ctx, job->served->index, list, count, &job->found));
    fb_search_options_defaults(&job->how);
    job->how.k = count;
    fb_form_int(&job->form, "k", &job->how.k);
    job->dear_tokens = rerank_tokens(job, count);
    job->quick_tokens = 0;
    return FB_OK;
}

/* The bytes of the only image, kept beyond the body; its pixels are a trial. */
static fb_status keep_bytes(fb_context *ctx, fb_server *server, fb_job *job)
{
    const fb_blob *blob = job->blobs[0];
    fb_status status = FB_OK;
    FB_TRY(hold(ctx, server, job, job->held_bytes + blob->size_bytes));
    job->kept = take(ctx, job, blob->size_bytes + 1, &status);
    FB_TRY(status);
    memcpy(job->kept, blob->bytes, blob->size_bytes);
    job->kept_bytes = blob->size_bytes;
    return FB_OK;
}

static fb_status read_explain(fb_context *ctx, fb_server *server, fb_job *job)
{
    const char *id = NULL;
    fb_explain_options how;
    fb_status status = FB_OK;
    fb_explain_options_defaults(&how);
    fb_form_string(&job->form, "product_id", &id);
    if (id && !job->served->index)
        return fb_fail(ctx, FB_E_STATE, "this server was started without an index");
    FB_TRY(read_query(ctx, server, job));
    if (id) {
        FB_TRY(fb_index_find(ctx, job->served->index, id, &job->found));
        job->images = take(ctx, job, sizeof *job->images, &status);
        FB_TRY(status);
        job->images[0].file = job->found->hits[0].image;
        job->inputs[0].image = job->images;
    } else {
        FB_TRY(keep_bytes(ctx, server, job));
    }
    /* Each step is a pass forward and one back, about twice that, for words and image.
     */
    job->dear_tokens = 6 * how.steps * (job->quick_tokens + patches(job));
    job->quick_tokens = 0;
    return FB_OK;
}

static fb_status check_pairs(fb_context *ctx, size_t rows, size_t columns,
                             const char *what)
{
    if (rows * columns <= FB_MOST_PAIRS)
        return FB_OK;
    return fb_fail(ctx, FB_E_USAGE, "%s must be at most %d, they are %zu", what,
                   FB_MOST_PAIRS, rows * columns);
}

static fb_status read_pairs(fb_context *ctx, fb_server *server, fb_job *job)
{
    const json_t *texts = json_object_get(job->form.fields, "texts");
    const json_t *images = json_object_get(job->form.fields, "images");
    fb_status status = FB_OK;
    job->row_count = job->text_count = (int32_t)json_array_size(texts);
    FB_TRY(check_pairs(ctx, json_array_size(texts), json_array_size(images),
                       "texts times images"));
    FB_TRY(read_images(ctx, server, job, NULL, "images"));
    size_t pairs = (size_t)job->text_count * (size_t)job->image_count;
    job->inputs = take(ctx, job, pairs * sizeof *job->inputs, &status);
    job->numbers = take(ctx, job, pairs * sizeof *job->numbers, &status);
    FB_TRY(status);
    for (int32_t t = 0; t < job->text_count; t++) {
        const char *text = json_string_value(json_array_get(texts, (size_t)t));
        int32_t tokens = 0;
        FB_TRY(count_tokens(ctx, job, text, &tokens));
        for (int32_t i = 0; i < job->image_count; i++)
            job->inputs[i * job->text_count + t] =
                (fb_input){.text = text, .image = &job->images[i]};
        job->dear_tokens += (int64_t)job->image_count * (tokens + patches(job));
    }
    job->input_count = (int64_t)pairs;
    return FB_OK;
}

static fb_status read_triples(fb_context *ctx, fb_server *server, fb_job *job,
                              const json_t *queries)
{
    const json_t *texts = json_object_get(job->form.fields, "texts");
    size_t products = json_array_size(texts), rows = json_array_size(queries);
    fb_status status = FB_OK;
    if (json_array_size(json_object_get(job->form.fields, "images")) != products)
        return fb_fail(ctx, FB_E_USAGE,
                       "with queries, texts and images make products, there must be "
                       "as many of each");
    FB_TRY(check_pairs(ctx, rows, products, "queries times products"));
    FB_TRY(read_images(ctx, server, job, NULL, "images"));
    size_t n = rows * products;
    job->row_count = (int32_t)rows;
    job->inputs = take(ctx, job, n * sizeof *job->inputs, &status);
    job->queries = take(ctx, job, n * sizeof *job->queries, &status);
    job->numbers = take(ctx, job, n * sizeof *job->numbers, &status);
    FB_TRY(status);
    for (size_t r = 0; r < rows; r++) {
        const char *query = json_string_value(json_array_get(queries, r));
        int32_t query_tokens = 0, tokens = 0;
        FB_TRY(count_tokens(ctx, job, query, &query_tokens));
        for (size_t i = 0; i < products; i++) {
            fb_input *input = &job->inputs[i * rows + r];
            job->queries[i * rows + r] = query;
            input->text = json_string_value(json_array_get(texts, i));
            input->image = &job->images[i];
            FB_TRY(count_tokens(ctx, job, input->text, &tokens));
            job->dear_tokens += query_tokens + tokens + patches(job);
        }
    }
    job->input_count = (int64_t)n;
    return FB_OK;
}

static fb_status read_match(fb_context *ctx, fb_server *server, fb_job *job)
{
    const json_t *queries = json_object_get(job->form.fields, "queries");
    bool wanted = fb_model_takes_query(job->served->models[0]);
    if (wanted && !queries)
        return fb_fail(ctx, FB_E_STATE,
                       "this server's model reads a query, a title and an image; give "
                       "queries too");
    if (queries && !wanted)
        return fb_fail(ctx, FB_E_STATE, "this server's model takes no queries");
    return queries ? read_triples(ctx, server, job, queries)
                   : read_pairs(ctx, server, job);
}

static fb_status read_encode(fb_context *ctx, fb_server *server, fb_job *job)
{
    const json_t *texts = json_object_get(job->form.fields, "texts");
    fb_status status = FB_OK;
    job->text_count = (int32_t)json_array_size(texts);
    FB_TRY(read_images(ctx, server, job, NULL, "images"));
    if (job->text_count && job->image_count && job->text_count != job->image_count)
        return fb_fail(ctx, FB_E_USAGE,
                       "texts and images make pairs, but there are %d and %d",
                       (int)job->text_count, (int)job->image_count);
    job->input_count = job->text_count ? job->text_count : job->image_count;
    size_t n = (size_t)job->input_count,
           width = (size_t)fb_model_vector_size(job->served->models[0]);
    job->inputs = take(ctx, job, n * sizeof *job->inputs, &status);
    job->numbers = take(ctx, job, n * width * sizeof *job->numbers, &status);
    FB_TRY(status);
    for (int32_t i = 0; i < job->input_count; i++) {
        int32_t tokens = 0;
        if (job->image_count)
            job->inputs[i].image = &job->images[i];
        if (job->text_count) {
            job->inputs[i].text = json_string_value(json_array_get(texts, (size_t)i));
            FB_TRY(count_tokens(ctx, job, job->inputs[i].text, &tokens));
        }
        job->quick_tokens += tokens + (job->image_count ? patches(job) : 0);
    }
    if (job->quick_tokens > QUICK_TOKENS) {
        job->dear_tokens = job->quick_tokens;
        job->quick_tokens = 0;
    }
    job->text_weight = FB_TEXT_WEIGHT;
    fb_form_double(&job->form, "text_weight", &job->text_weight);
    return FB_OK;
}

/* ---- any of them ----------------------------------------------------------------- */

static fb_status read_work(fb_context *ctx, fb_server *server, fb_job *job)
{
    if (!job->served->index &&
        (job->work == FB_WORK_SEARCH || job->work == FB_WORK_RERANK))
        return fb_fail(ctx, FB_E_STATE, "this server was started without an index");
    switch (job->work) {
    case FB_WORK_SEARCH:
        return read_search(ctx, server, job);
    case FB_WORK_RERANK:
        return read_rerank(ctx, server, job);
    case FB_WORK_MATCH:
        return read_match(ctx, server, job);
    case FB_WORK_ENCODE:
        return read_encode(ctx, server, job);
    case FB_WORK_EXPLAIN:
        return read_explain(ctx, server, job);
    case FB_WORK_NONE:
        break;
    }
    return fb_fail(ctx, FB_E_STATE, "a route without work");
}

/* The images' bytes are pixels now. */
static void drop_images(fb_job *job)
{
    json_t *fields = job->form.fields;
    job->form.fields = NULL;
    fb_form_free(&job->form);
    job->form.fields = fields;
    if (job->kept)
        job->images[0] =
            (fb_image_input){.bytes = job->kept, .size_bytes = job->kept_bytes};
}

static fb_status read_form(fb_context *ctx, fb_server *server, fb_exchange *x,
                           fb_job *job)
{
    FB_TRY(hold(ctx, server, job, parse_bytes(x)));
    fb_status status = fb_form_read(ctx, &job->form, x->route->request, x->media,
                                    x->boundary, x->body, x->body_bytes);
    if (status == FB_E_FORMAT)
        fb_exchange_fail(x, 400, "%s", fb_context_message(ctx));
    return status;
}

/* Behind all that was read, the most that a request may cost. */
static fb_status finish(fb_context *ctx, fb_server *server, fb_job *job)
{
    int64_t tokens = job->quick_tokens + job->dear_tokens;
    if (tokens > server->options.request_tokens)
        return fb_fail(
            ctx, FB_E_LIMIT,
            "the request costs about %lld tokens and patches; at most %d are "
            "computed for one",
            (long long)tokens, (int)server->options.request_tokens);
    fb_metrics_observe(server->metrics, FB_HISTOGRAM_TOKENISE, job->tokenise_s);
    job->small = job->small && job->image_count == 0;
    return hold(ctx, server, job, taken_bytes(job));
}

static void fail(fb_server *server, fb_exchange *x, fb_status status,
                 const fb_context *ctx)
{
    if (x->status != 0)
        return;
    if (status == FB_E_MEMORY)
        fb_server_reject(server, x);
    else
        fb_exchange_fail_from(x, status, ctx);
}

fb_job *fb_job_read(fb_server *server, fb_exchange *x)
{
    fb_context ctx = {0};
    fb_arena *arena = fb_arena_create(ARENA_BYTES);
    fb_job *job = arena ? fb_arena_alloc_zero(arena, sizeof *job) : NULL;
    if (!job) {
        fb_arena_free(arena);
        fb_exchange_fail(x, 503, "no memory for a request");
        return NULL;
    }
    job->arena = arena;
    job->work = x->route->work;
    job->small = x->body_bytes <= FB_SMALL;
    job->served = fb_served_hold(&server->slot);
    fb_status status = read_form(&ctx, server, x, job);
    if (status == FB_OK)
        status = read_work(&ctx, server, job);
    if (status == FB_OK)
        status = finish(&ctx, server, job);
    if (status == FB_OK)
        return job;
    fail(server, x, status, &ctx);
    fb_job_free(server, job);
    return NULL;
}

bool fb_job_decode_one(fb_server *server, fb_exchange *x, fb_job *job)
{
    fb_context ctx = {0};
    double began = fb_clock_s();
    fb_status status = decode(&ctx, server, job, job->decoded);
    job->decode_s += fb_clock_s() - began;
    job->decoded++;
    if (status == FB_OK && fb_job_is_decoded(job)) {
        fb_metrics_observe(server->metrics, FB_HISTOGRAM_DECODE, job->decode_s);
        drop_images(job);
        status = hold(&ctx, server, job, taken_bytes(job));
    }
    if (status != FB_OK)
        fail(server, x, status, &ctx);
    return status == FB_OK;
}

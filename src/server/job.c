/* job.c - see job.h. */
#include "server/job.h"

#include "base/clock.h"
#include "server/http_bodies.h"
#include "server/server.h"
#include <string.h>

enum { ARENA_BYTES = 1 << 14, TITLE_TOKENS = 12 };

void fb_job_free(fb_server *server, fb_job *job)
{
    if (!job)
        return;
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

/* ---- images and texts ------------------------------------------------------------ */

/* Image `number` of the job, out of the blob that `value` names. */
static fb_status read_image(fb_context *ctx, fb_server *server, fb_job *job,
                            const json_t *value, int32_t number)
{
    const fb_model *model = job->served->models[0];
    const fb_blob *blob = fb_form_blob(&job->form, value);
    size_t side = (size_t)fb_model_image_size(model), bytes = side * side * 3;
    fb_status status = FB_OK;
    char name[32];
    if (!blob)
        return fb_fail(ctx, FB_E_STATE, "an image without its bytes");
    if (!fb_server_take_body_bytes(server, bytes))
        return fb_fail(ctx, FB_E_MEMORY, "busy");
    job->held_bytes += bytes;
    uint8_t *pixels = take(ctx, job, bytes, &status);
    FB_TRY(status);
    snprintf(name, sizeof name, job->image_count > 1 ? "images[%d]" : "image",
             (int)number);
    fb_image_input input = {.bytes = blob->bytes, .size_bytes = blob->size_bytes};
    double began = fb_clock_s();
    FB_TRY(fb_model_read_image(ctx, model, &input, name,
                               (int64_t)server->options.max_megapixels * 1000000,
                               pixels));
    job->decode_s += fb_clock_s() - began;
    job->images[number].pixels = pixels;
    return FB_OK;
}

/* The field `one` (an image) or `many` (an array of them) into job->images. */
static fb_status read_images(fb_context *ctx, fb_server *server, fb_job *job,
                             const char *one, const char *many)
{
    const json_t *single = one ? json_object_get(job->form.fields, one) : NULL;
    const json_t *list = many ? json_object_get(job->form.fields, many) : NULL;
    fb_status status = FB_OK;
    job->image_count = single ? 1 : (int32_t)json_array_size(list);
    job->images =
        take(ctx, job, (size_t)(job->image_count + 1) * sizeof *job->images, &status);
    FB_TRY(status);
    for (int32_t i = 0; i < job->image_count; i++)
        FB_TRY(read_image(ctx, server, job,
                          single ? single : json_array_get(list, (size_t)i), i));
    if (job->image_count > 0)
        fb_metrics_observe(server->metrics, FB_HISTOGRAM_DECODE, job->decode_s);
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
    job->inputs = take(ctx, job, sizeof *job->inputs, &status);
    FB_TRY(status);
    job->input_count = 1;
    fb_form_string(&job->form, "text", &job->inputs[0].text);
    if (job->inputs[0].text)
        FB_TRY(count_tokens(ctx, job, job->inputs[0].text, &tokens));
    if (job->image_count)
        job->inputs[0].image = job->images;
    job->text_weight = -1;
    fb_form_double(&job->form, "text_weight", &job->text_weight);
    job->tokens = tokens + (job->image_count ? patches(job) : 0);
    return FB_OK;
}

/* What scoring the query with `products` costs. */
static int64_t rerank_tokens(const fb_job *job, int64_t products)
{
    int64_t text = job->inputs[0].text ? job->tokens : 0;
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
    job->tokens += rerank_tokens(job, reranked);
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
    job->tokens += rerank_tokens(job, count);
    return FB_OK;
}

/* The bytes of the only image, kept beyond the body; its pixels were a trial. */
static fb_status keep_bytes(fb_context *ctx, fb_server *server, fb_job *job)
{
    const fb_blob *blob =
        fb_form_blob(&job->form, json_object_get(job->form.fields, "image"));
    fb_status status = FB_OK;
    if (!blob || !fb_server_take_body_bytes(server, blob->size_bytes))
        return fb_fail(ctx, FB_E_MEMORY, "busy");
    job->held_bytes += blob->size_bytes;
    uint8_t *bytes = take(ctx, job, blob->size_bytes, &status);
    FB_TRY(status);
    memcpy(bytes, blob->bytes, blob->size_bytes);
    job->images[0] = (fb_image_input){.bytes = bytes, .size_bytes = blob->size_bytes};
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
    job->tokens = 6 * how.steps * (job->tokens + patches(job));
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
    FB_TRY(status);
    for (int32_t t = 0; t < job->text_count; t++) {
        const char *text = json_string_value(json_array_get(texts, (size_t)t));
        int32_t tokens = 0;
        FB_TRY(count_tokens(ctx, job, text, &tokens));
        for (int32_t i = 0; i < job->image_count; i++)
            job->inputs[job->input_count++] =
                (fb_input){.text = text, .image = &job->images[i]};
        job->tokens += (int64_t)job->image_count * (tokens + patches(job));
    }
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
    job->row_count = (int32_t)rows;
    job->inputs = take(ctx, job, rows * products * sizeof *job->inputs, &status);
    job->queries = take(ctx, job, rows * products * sizeof *job->queries, &status);
    FB_TRY(status);
    for (size_t r = 0; r < rows; r++) {
        const char *query = json_string_value(json_array_get(queries, r));
        int32_t query_tokens = 0, tokens = 0;
        FB_TRY(count_tokens(ctx, job, query, &query_tokens));
        for (size_t i = 0; i < products; i++) {
            fb_input *input = &job->inputs[job->input_count];
            job->queries[job->input_count++] = query;
            input->text = json_string_value(json_array_get(texts, i));
            input->image = &job->images[i];
            FB_TRY(count_tokens(ctx, job, input->text, &tokens));
            job->tokens += query_tokens + tokens + patches(job);
        }
    }
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
    job->inputs =
        take(ctx, job, (size_t)job->input_count * sizeof *job->inputs, &status);
    FB_TRY(status);
    for (int32_t i = 0; i < job->input_count; i++) {
        int32_t tokens = 0;
        if (job->image_count)
            job->inputs[i].image = &job->images[i];
        if (job->text_count) {
            job->inputs[i].text = json_string_value(json_array_get(texts, (size_t)i));
            FB_TRY(count_tokens(ctx, job, job->inputs[i].text, &tokens));
        }
        job->tokens += tokens + (job->image_count ? patches(job) : 0);
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
static void drop_images(fb_form *form)
{
    json_t *fields = form->fields;
    form->fields = NULL;
    fb_form_free(form);
    form->fields = fields;
}

static bool read_form(fb_context *ctx, fb_exchange *x, fb_job *job)
{
    fb_status status = fb_form_read(ctx, &job->form, x->route->request, x->media,
                                    x->boundary, x->body, x->body_bytes);
    if (status == FB_E_FORMAT)
        fb_exchange_fail(x, 400, "%s", fb_context_message(ctx));
    else if (status != FB_OK)
        fb_exchange_fail_from(x, status, ctx);
    return status == FB_OK;
}

fb_job *fb_job_read(fb_server *server, fb_exchange *x)
{
    fb_context ctx = {0};
    fb_arena *arena = fb_arena_create(ARENA_BYTES);
    fb_job *job = arena ? fb_arena_alloc_zero(arena, sizeof *job) : NULL;
    if (!job) {
        fb_arena_free(arena);
        fb_exchange_fail(x, 500, "no memory for a request");
        return NULL;
    }
    job->arena = arena;
    job->work = x->route->work;
    job->served = fb_served_hold(&server->slot);
    if (!read_form(&ctx, x, job)) {
        fb_job_free(server, job);
        return NULL;
    }
    fb_status status = read_work(&ctx, server, job);
    if (status == FB_OK) {
        fb_metrics_observe(server->metrics, FB_HISTOGRAM_TOKENISE, job->tokenise_s);
        drop_images(&job->form);
        return job;
    }
    if (status == FB_E_MEMORY)
        fb_server_reject(server, x);
    else
        fb_exchange_fail_from(x, status, &ctx);
    fb_job_free(server, job);
    return NULL;
}

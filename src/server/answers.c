/* answers.c - see answers.h. A photo is read by its product's id, through the index;
 * no part of a request is ever a path.
 */
#include "server/answers.h"

#include "base/file.h"
#include "base/memory_stream.h"
#include "server/page_files.h"
#include "server/server.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES = 100, PHOTO_BYTES = 64 << 20 };

/* What is served, held, when it has an index; else NULL, and x is answered. */
static fb_served *hold_index(fb_server *server, fb_exchange *x)
{
    fb_served *served = fb_served_hold(&server->slot);
    if (served->index)
        return served;
    fb_served_let_go(&server->slot, served);
    fb_exchange_fail(x, 409, "this server was started without an index");
    return NULL;
}

static fb_status find_product(fb_context *ctx, const fb_served *served, fb_exchange *x,
                              fb_search_result **found)
{
    fb_status status = fb_index_find(ctx, served->index, x->parameter, found);
    if (status != FB_OK)
        fb_exchange_fail_from(x, status, ctx);
    return status;
}

void fb_write_attributes(fb_json_writer *w, const fb_hit *hit)
{
    fb_json_key(w, "attributes");
    fb_json_open_object(w);
    for (int32_t i = 0; i < hit->attribute_count; i++)
        fb_json_key_string(w, hit->attributes[2 * i], hit->attributes[2 * i + 1]);
    fb_json_close_object(w);
}

void fb_answer_product(fb_server *server, fb_exchange *x)
{
    fb_context ctx = {0};
    fb_search_result *found = NULL;
    fb_reply reply;
    fb_served *served = hold_index(server, x);
    if (!served)
        return;
    if (find_product(&ctx, served, x, &found) == FB_OK && fb_reply_begin(x, &reply)) {
        const fb_hit *hit = &found->hits[0];
        fb_json_open_object(&reply.json);
        fb_json_key_string(&reply.json, "product_id", hit->product_id);
        fb_json_key_string(&reply.json, "title", hit->title);
        fb_json_key_string(&reply.json, "image", hit->image);
        fb_write_attributes(&reply.json, hit);
        fb_json_close_object(&reply.json);
        fb_reply_end(x, &reply);
    }
    fb_search_result_free(found);
    fb_served_let_go(&server->slot, served);
}

static const char *image_type(const uint8_t *bytes, size_t size)
{
    if (size >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0)
        return "image/jpeg";
    if (size >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0)
        return "image/png";
    if (size >= 12 && memcmp(bytes, "RIFF", 4) == 0 &&
        memcmp(bytes + 8, "WEBP", 4) == 0)
        return "image/webp";
    return NULL;
}

/* Sent from its file: however large it is and however slowly it is taken, it takes no
 * memory here. */
static void send_photo(fb_context *ctx, fb_exchange *x, const char *path)
{
    uint8_t start[16];
    int64_t size = 0;
    FILE *stream = NULL;
    if (fb_stream_open(ctx, path, &stream, &size) != FB_OK || size > PHOTO_BYTES) {
        if (stream)
            fclose(stream);
        fb_exchange_fail(x, 404, "the photo of product %.200s cannot be read",
                         x->parameter);
        return;
    }
    size_t n = fread(start, 1, sizeof start, stream);
    const char *type = image_type(start, n);
    int file = type ? fcntl(fileno(stream), F_DUPFD_CLOEXEC, 0) : -1;
    fclose(stream);
    if (file < 0) { /* whatever it is, it is not handed out as a photo */
        fb_exchange_fail(x, 404, "the photo of product %.200s is no JPEG, PNG or WebP",
                         x->parameter);
        return;
    }
    x->status = 200;
    x->type = type;
    x->reply_file = file;
    x->reply_bytes = (size_t)size;
    x->cache = true;
}

void fb_answer_product_image(fb_server *server, fb_exchange *x)
{
    fb_context ctx = {0};
    fb_search_result *found = NULL;
    fb_served *served = hold_index(server, x);
    if (!served)
        return;
    if (find_product(&ctx, served, x, &found) == FB_OK)
        send_photo(&ctx, x, found->hits[0].image);
    fb_search_result_free(found);
    fb_served_let_go(&server->slot, served);
}

/* ---- the index ------------------------------------------------------------------- */

static fb_status write_values(fb_context *ctx, fb_json_writer *w, const fb_index *index,
                              const char *name)
{
    const char *const *values = NULL;
    const int64_t *counts = NULL;
    int32_t count = 0;
    FB_TRY(fb_index_values(ctx, index, name, VALUES, &values, &counts, &count));
    fb_json_open_object(w);
    fb_json_key_string(w, "name", name);
    fb_json_key(w, "values");
    fb_json_open_array(w);
    for (int32_t i = 0; i < count; i++) {
        fb_json_open_object(w);
        fb_json_key_string(w, "value", values[i]);
        fb_json_key_int(w, "products", counts[i]);
        fb_json_close_object(w);
    }
    fb_json_close_array(w);
    fb_json_close_object(w);
    free((void *)(uintptr_t)values);
    return FB_OK;
}

/* "models/a/" -> "a" */
static void write_name(fb_json_writer *w, const char *key, const char *path)
{
    char name[256];
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    snprintf(name, sizeof name, "%.*s", (int)(end - start), path + start);
    fb_json_key_string(w, key, name);
}

fb_status fb_index_about(fb_context *ctx, const fb_index *index, const char *model,
                         char **text, size_t *bytes)
{
    const fb_index_info *info = fb_index_get_info(index);
    fb_status status = FB_OK;
    fb_json_writer w;
    FILE *stream = fb_memory_open(text, bytes);
    if (!stream)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to describe the index");
    fb_json_begin(&w, stream, 0);
    fb_json_open_object(&w);
    write_name(&w, "model", model);
    fb_json_key_int(&w, "products", info->products);
    fb_json_key_int(&w, "vector_size", info->vector_size);
    fb_json_key_string(&w, "kind", info->kind);
    fb_json_key_string(&w, "what", info->what);
    fb_json_key_string(&w, "storage", info->storage);
    fb_json_key(&w, "attributes");
    fb_json_open_array(&w);
    for (int32_t i = 0; i < info->attribute_count && status == FB_OK; i++)
        status = write_values(ctx, &w, index, info->attributes[i]);
    fb_json_close_array(&w);
    fb_json_close_object(&w);
    fputc('\n', stream);
    if (!fb_memory_close(stream, text) && status == FB_OK)
        status = fb_fail(ctx, FB_E_MEMORY, "no memory to describe the index");
    if (status != FB_OK) {
        free(*text);
        *text = NULL;
    }
    return status;
}

static void send_copy(fb_exchange *x, const char *type, const char *text, size_t bytes)
{
    x->reply = malloc(bytes + 1);
    if (!x->reply) {
        fb_exchange_fail(x, 503, "no memory for an answer");
        return;
    }
    memcpy(x->reply, text, bytes);
    x->reply_bytes = bytes;
    x->status = 200;
    x->type = type;
}

void fb_answer_index(fb_server *server, fb_exchange *x)
{
    fb_served *served = hold_index(server, x);
    if (!served)
        return;
    send_copy(x, "application/json", served->about, served->about_bytes);
    fb_served_let_go(&server->slot, served);
}

/* ---- the server ------------------------------------------------------------------ */

static void send_state(fb_exchange *x, const char *word)
{
    fb_reply reply;
    if (!fb_reply_begin(x, &reply))
        return;
    fb_json_open_object(&reply.json);
    fb_json_key_string(&reply.json, "status", word);
    fb_json_close_object(&reply.json);
    fb_reply_end(x, &reply);
}

void fb_answer_health(fb_server *server, fb_exchange *x)
{
    (void)server;
    send_state(x, "ok");
}

void fb_answer_ready(fb_server *server, fb_exchange *x)
{
    if (atomic_load(&server->draining))
        fb_exchange_fail(x, 503, "the server is ending");
    else
        send_state(x, "ready");
}

void fb_answer_metrics(fb_server *server, fb_exchange *x)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *stream = fb_memory_open(&text, &bytes);
    fb_metrics_set(server->metrics, FB_COUNTER_LOG_LOST,
                   fb_access_log_lost(server->log));
    if (stream)
        fb_metrics_write(server->metrics, stream);
    if (!fb_memory_close(stream, &text)) {
        fb_exchange_fail(x, 503, "no memory for an answer");
        return;
    }
    x->status = 200;
    x->type = "text/plain; version=0.0.4; charset=utf-8";
    x->reply = text;
    x->reply_bytes = bytes;
}

static void send_static(fb_exchange *x, const char *type, const void *bytes,
                        size_t size)
{
    x->status = 200;
    x->type = type;
    x->reply = (char *)(uintptr_t)bytes; /* never written to */
    x->reply_bytes = size;
    x->reply_is_static = true;
}

void fb_answer_openapi(fb_server *server, fb_exchange *x)
{
    send_static(x, "application/json", server->openapi, server->openapi_bytes);
}

/* Only its own files, only its own server; photos that are dropped are shown from
 * memory (blob:), those of products fetched with the key likewise. */
static const char page_policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

void fb_answer_page(fb_server *server, fb_exchange *x)
{
    (void)server;
    const char *name = x->parameter ? x->parameter : "index.html";
    for (int32_t i = 0; i < fb_page_file_count; i++)
        if (strcmp(fb_page_files[i].name, name) == 0) {
            send_static(x, fb_page_files[i].type, fb_page_files[i].bytes,
                        fb_page_files[i].size_bytes);
            x->policy = page_policy;
            return;
        }
    fb_exchange_fail(x, 404, "the page has no file \"%.100s\"", name);
}

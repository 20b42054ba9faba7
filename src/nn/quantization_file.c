/* quantization_file.c - quantization.json, read and written (quantization.h). */
#include "nn/quantization.h"

#include "base/base64.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory_stream.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, MOST_LAYERS = 65536, MOST_OUTPUTS = 1 << 24 };
enum { FILE_LIMIT = 256 << 20, MOST_TOTAL = 1 << 25 };
static const char format[] = "fashionbert-quantization";

typedef struct reader {
    fb_context *ctx;
    const char *name; /* of the file */
    fb_quantization *q;
} reader;

/* ---- reading --------------------------------------------------------------------- */

static fb_status read_fingerprint(const reader *r, const json_t *root)
{
    const char *text = NULL;
    FB_TRY(fb_json_get_string(r->ctx, r->name, root, "fingerprint", &text));
    if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        return fb_fail(r->ctx, FB_E_FORMAT,
                       "%s: \"fingerprint\" must be 16 hexadecimal digits", r->name);
    r->q->fingerprint = strtoull(text, NULL, 16);
    return FB_OK;
}

/* What one layer says of itself; its scales are read once all layers are known. */
static fb_status read_head(const reader *r, const char *key, const json_t *object,
                           fb_quantized_layer *layer)
{
    int64_t outputs = 0;
    if (!json_is_object(object))
        return fb_fail(r->ctx, FB_E_FORMAT, "%s: layer %.100s is no object", r->name,
                       key);
    FB_TRY(
        fb_json_get_int(r->ctx, r->name, object, "outputs", 1, MOST_OUTPUTS, &outputs));
    if (outputs == 0 || !json_is_string(json_object_get(object, "scales")))
        return fb_fail(r->ctx, FB_E_FORMAT,
                       "%s: layer %.100s lacks \"outputs\" or \"scales\"", r->name,
                       key);
    *layer =
        (fb_quantized_layer){fb_arena_strdup(r->q->arena, key), outputs, r->q->total};
    if (!layer->name)
        return fb_fail(r->ctx, FB_E_MEMORY, "no memory for %s", r->name);
    r->q->total += outputs;
    if (r->q->total > MOST_TOTAL)
        return fb_fail(r->ctx, FB_E_LIMIT, "%s: more than %d scales", r->name,
                       (int)MOST_TOTAL);
    return FB_OK;
}

static fb_status read_scales(const reader *r, const json_t *object,
                             const fb_quantized_layer *layer)
{
    const json_t *text = json_object_get(object, "scales");
    size_t size = json_string_length(text), wanted = (size_t)layer->outputs * 4,
           got = 0;
    float *scales = r->q->scales + layer->offset;
    uint8_t *bytes = malloc(fb_base64_room(size) + 1);
    if (!bytes)
        return fb_fail(r->ctx, FB_E_MEMORY, "no memory for %s", r->name);
    bool right = fb_base64_decode(json_string_value(text), size, bytes, &got);
    if (right && got == wanted)
        memcpy(scales, bytes, wanted);
    free(bytes);
    if (!right || got != wanted)
        return fb_fail(r->ctx, FB_E_FORMAT,
                       "%s: the scales of layer %.100s are not base64 of %lld numbers",
                       r->name, layer->name, (long long)layer->outputs);
    for (int64_t n = 0; n < layer->outputs; n++)
        if (!isfinite(scales[n]) || scales[n] < 0.0f)
            return fb_fail(
                r->ctx, FB_E_FORMAT,
                "%s: scale %lld of layer %.100s is %g; it must be finite and "
                "not negative",
                r->name, (long long)n, layer->name, (double)scales[n]);
    return FB_OK;
}

static fb_status read_layers(const reader *r, const json_t *layers)
{
    size_t count = json_object_size(layers);
    const char *key;
    json_t *object;
    if (!json_is_object(layers) || count > MOST_LAYERS)
        return fb_fail(r->ctx, FB_E_FORMAT,
                       "%s: \"layers\" must be an object of at most %d layers", r->name,
                       (int)MOST_LAYERS);
    r->q->layers = fb_arena_alloc(r->q->arena, count * sizeof *r->q->layers);
    if (!r->q->layers)
        return fb_fail(r->ctx, FB_E_MEMORY, "no memory for %s", r->name);
    json_object_foreach((json_t *)(uintptr_t)layers, key, object)
        FB_TRY(read_head(r, key, object, &r->q->layers[r->q->count++]));
    r->q->scales =
        fb_arena_alloc(r->q->arena, (size_t)r->q->total * sizeof *r->q->scales);
    if (!r->q->scales)
        return fb_fail(r->ctx, FB_E_MEMORY, "no memory for %s", r->name);
    for (int32_t i = 0; i < r->q->count; i++)
        FB_TRY(read_scales(r, json_object_get(layers, r->q->layers[i].name),
                           &r->q->layers[i]));
    return FB_OK;
}

static fb_status read_root(const reader *r, const json_t *root)
{
    const char *kind = NULL;
    int64_t version = 0;
    if (!json_is_object(root))
        return fb_fail(r->ctx, FB_E_FORMAT, "%s: not quantisation data", r->name);
    FB_TRY(fb_json_get_string(r->ctx, r->name, root, "format", &kind));
    if (!kind || strcmp(kind, format) != 0)
        return fb_fail(r->ctx, FB_E_FORMAT, "%s: not quantisation data", r->name);
    FB_TRY(fb_json_get_int(r->ctx, r->name, root, "version", 1, INT32_MAX, &version));
    if (version != VERSION)
        return fb_fail(r->ctx, FB_E_FORMAT, "%s: version %lld, this program reads %d",
                       r->name, (long long)version, (int)VERSION);
    FB_TRY(read_fingerprint(r, root));
    return read_layers(r, json_object_get(root, "layers"));
}

static fb_status parse_root(fb_context *ctx, fb_quantization **q, const char *name,
                            const json_t *root)
{
    fb_quantization *made = calloc(1, sizeof *made);
    fb_status status = FB_OK;
    if (made)
        made->arena = fb_arena_create(1 << 16);
    if (!made || !made->arena)
        status = fb_fail(ctx, FB_E_MEMORY, "no memory for %s", name);
    if (status == FB_OK)
        status = read_root(&(reader){ctx, name, made}, root);
    if (status != FB_OK) {
        fb_quantization_free(made);
        return status;
    }
    *q = made;
    return FB_OK;
}

fb_status fb_quantization_parse(fb_context *ctx, fb_quantization **q, const char *name,
                                const char *text, size_t size_bytes)
{
    json_t *root = NULL;
    FB_TRY(fb_json_parse(ctx, name, text, size_bytes, &root));
    fb_status status = parse_root(ctx, q, name, root);
    json_decref(root);
    return status;
}

fb_status fb_quantization_read(fb_context *ctx, fb_quantization **q, const char *path)
{
    json_t *root = NULL;
    FB_TRY(fb_json_read(ctx, path, FILE_LIMIT, &root));
    fb_status status = parse_root(ctx, q, path, root);
    json_decref(root);
    return status;
}

/* ---- writing --------------------------------------------------------------------- */

static void write_figures(fb_json_writer *w, const fb_quantization_figure *figures,
                          int32_t count)
{
    fb_json_key(w, "measured");
    fb_json_open_object(w);
    for (int32_t i = 0; i < count; i++) {
        fb_json_key(w, figures[i].name);
        fb_json_open_object(w);
        fb_json_key_double(w, "float", figures[i].in_float);
        fb_json_key_double(w, "int8", figures[i].in_int8);
        fb_json_close_object(w);
    }
    fb_json_close_object(w);
}

/* Base64 by way of a stream in memory. */
static fb_status write_scales(fb_context *ctx, fb_json_writer *w, const float *scales,
                              int64_t outputs)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = fb_memory_open(&text, &size);
    if (!stream)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the scales of a layer");
    fb_base64_write(stream, (const uint8_t *)scales, (size_t)outputs * sizeof *scales);
    if (!fb_memory_close(stream, &text))
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the scales of a layer");
    fb_json_key_string(w, "scales", text);
    free(text);
    return FB_OK;
}

static fb_status write_all(fb_context *ctx, const fb_quantization *q, FILE *stream,
                           const fb_quantization_figure *figures, int32_t count)
{
    char fingerprint[20];
    fb_json_writer w;
    snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, q->fingerprint);
    fb_json_begin(&w, stream, 2);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "format", format);
    fb_json_key_int(&w, "version", VERSION);
    fb_json_key_string(&w, "fingerprint", fingerprint);
    write_figures(&w, figures, count);
    fb_json_key(&w, "layers");
    fb_json_open_object(&w);
    for (int32_t i = 0; i < q->count; i++) {
        const fb_quantized_layer *layer = &q->layers[i];
        fb_json_key(&w, layer->name);
        fb_json_open_object(&w);
        fb_json_key_int(&w, "outputs", layer->outputs);
        FB_TRY(write_scales(ctx, &w, q->scales + layer->offset, layer->outputs));
        fb_json_close_object(&w);
    }
    fb_json_close_object(&w);
    fb_json_close_object(&w);
    fputc('\n', stream);
    return FB_OK;
}

fb_status fb_quantization_write(fb_context *ctx, const fb_quantization *q,
                                const char *path, const fb_quantization_figure *figures,
                                int32_t count)
{
    fb_replace r;
    FB_TRY(fb_replace_open(ctx, path, &r));
    fb_status status = write_all(ctx, q, r.stream, figures, count);
    if (status == FB_OK)
        return fb_replace_commit(ctx, &r);
    fb_replace_abandon(&r);
    return status;
}

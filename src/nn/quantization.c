/* quantization.c - scales out of weights, and leaves that use them. */
#include "nn/quantization.h"

#include "backend/int8.h"
#include "backend/memory.h"

#include <stdlib.h>
#include <string.h>

static bool is_layer(const fb_param *p, bool multiplied)
{
    int64_t window = (int64_t)p->kernel * p->kernel;
    bool fits =
        p->kernel == 0 ||
        (p->groups == 1 && p->columns / window >= FB_QUANTIZATION_LEAST_CHANNELS);
    return fits && p->columns > 1 && p->columns <= FB_INT8_INPUTS &&
           p->rows >= FB_QUANTIZATION_LEAST_OUTPUTS &&
           (p->leaf.multiplied || !multiplied);
}

static void make_scales(float *scale, const float *value, int64_t rows, int64_t columns)
{
    for (int64_t n = 0; n < rows; n++) {
        float inverse;
        scale[n] =
            fb_int8_scale(fb_int8_magnitude(value + n * columns, columns), &inverse);
    }
}

static fb_status fill(fb_context *ctx, fb_quantization *q, const fb_params *params,
                      bool multiplied)
{
    for (const fb_param *p = params->first; p; p = p->next)
        if (is_layer(p, multiplied)) {
            q->count++;
            q->total += p->rows;
        }
    q->layers = fb_arena_alloc(q->arena, (size_t)q->count * sizeof *q->layers);
    q->scales = fb_arena_alloc(q->arena, (size_t)q->total * sizeof *q->scales);
    if (!q->layers || !q->scales)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the scales of a model");
    fb_quantized_layer *layer = q->layers;
    int64_t offset = 0;
    for (const fb_param *p = params->first; p; p = p->next) {
        if (!is_layer(p, multiplied))
            continue;
        *layer = (fb_quantized_layer){fb_arena_strdup(q->arena, p->leaf.name), p->rows,
                                      offset};
        if (!layer->name)
            return fb_fail(ctx, FB_E_MEMORY, "no memory for the scales of a model");
        make_scales(q->scales + offset, params->value + p->offset, p->rows, p->columns);
        offset += p->rows;
        layer++;
    }
    return FB_OK;
}

fb_status fb_quantization_make(fb_context *ctx, fb_quantization **q,
                               const fb_params *params, bool multiplied)
{
    fb_quantization *made = calloc(1, sizeof *made);
    fb_status status = FB_OK;
    if (made)
        made->arena = fb_arena_create(1 << 20);
    if (!made || !made->arena)
        status = fb_fail(ctx, FB_E_MEMORY, "no memory for the scales of a model");
    if (status == FB_OK)
        status = fill(ctx, made, params, multiplied);
    if (status != FB_OK) {
        fb_quantization_free(made);
        return status;
    }
    *q = made;
    return FB_OK;
}

void fb_quantization_free(fb_quantization *q)
{
    if (!q)
        return;
    fb_quantization_stop(q);
    fb_arena_free(q->arena);
    free(q);
}

static fb_param *find(const fb_params *params, const char *name)
{
    for (fb_param *p = params->first; p; p = p->next)
        if (strcmp(p->leaf.name, name) == 0)
            return p;
    return NULL;
}

static fb_status check_layers(fb_context *ctx, const fb_quantization *q,
                              const fb_params *params)
{
    for (int32_t i = 0; i < q->count; i++) {
        const fb_quantized_layer *layer = &q->layers[i];
        const fb_param *p = find(params, layer->name);
        if (!p || !is_layer(p, false) || p->rows != layer->outputs)
            return fb_fail(ctx, FB_E_FORMAT,
                           "%s: %lld scales for layer %s, which the model %s",
                           FB_QUANTIZATION_FILE, (long long)layer->outputs, layer->name,
                           p ? "has with other outputs" : "does not have");
    }
    return FB_OK;
}

/* Whether the table has convolutions that might be quantised, and none is. */
static bool lacks_network(const fb_params *params)
{
    bool some = false;
    for (const fb_param *p = params->first; p; p = p->next) {
        if (p->kernel == 0 || !is_layer(p, false))
            continue;
        if (p->leaf.int8_scale)
            return false;
        some = true;
    }
    return some;
}

fb_status fb_quantization_use(fb_context *ctx, fb_quantization *q, fb_params *params,
                              fb_backend *be)
{
    size_t bytes = (size_t)q->total * sizeof *q->scales;
    void *memory = NULL;
    FB_TRY(check_layers(ctx, q, params));
    FB_TRY(be->k->int8_begin(ctx, be, &q->by));
    fb_quantization_stop(q);
    FB_TRY(be->m->alloc(ctx, be, &memory, bytes + 1));
    fb_status status = be->m->upload(ctx, be, memory, q->scales, bytes);
    if (status != FB_OK) {
        be->m->free(be, memory);
        return status;
    }
    q->on = memory;
    q->be = be;
    q->params = params;
    for (int32_t i = 0; i < q->count; i++) {
        fb_param *p = find(params, q->layers[i].name);
        p->leaf.int8_scale = q->on + q->layers[i].offset;
        p->leaf.weight.version++;
    }
    q->no_network = lacks_network(params);
    return FB_OK;
}

void fb_quantization_stop(fb_quantization *q)
{
    if (!q || !q->be)
        return;
    for (int32_t i = 0; i < q->count; i++) {
        fb_leaf *leaf = &find(q->params, q->layers[i].name)->leaf;
        leaf->int8_scale = NULL;
        leaf->weight.version++;
    }
    q->be->m->free(q->be, q->on);
    q->be = NULL;
    q->on = NULL;
    q->params = NULL;
}

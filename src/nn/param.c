/* param.c - see param.h. */
#include "nn/param.h"

#include "base/number_text.h"
#include "base/random.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fb_status fb_params_create(fb_context *ctx, fb_params **params)
{
    fb_params *p = calloc(1, sizeof *p);
    fb_arena *arena = fb_arena_create(64 << 10);
    if (!p || !arena) {
        free(p);
        fb_arena_free(arena);
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the parameter table");
    }
    p->ctx = ctx;
    p->arena = arena;
    *params = p;
    return FB_OK;
}

enum { BLOCKS = 5 };

static float **block_of(fb_param_blocks *blocks, int i)
{
    float **const all[BLOCKS] = {&blocks->value, &blocks->grad, &blocks->moment1,
                                 &blocks->moment2, &blocks->buffer};
    return all[i];
}

static bool is_moved(const fb_params *params)
{
    return params->on.value != params->value;
}

void fb_params_free(fb_params *params, fb_backend *be)
{
    if (!params)
        return;
    for (fb_param *p = params->first; be && p; p = p->next)
        be->k->weight_release(be, &p->leaf.weight);
    for (int i = 0; be && i < BLOCKS; i++)
        if (is_moved(params))
            be->m->free(be, *block_of(&params->on, i));
    free(params->value);
    free(params->grad);
    free(params->moment1);
    free(params->moment2);
    free(params->buffer);
    fb_arena_free(params->arena);
    free(params);
}

/* Rounded up so that every parameter starts on a cache line. */
static int64_t in_lines(int64_t numbers)
{
    return (numbers + 15) / 16 * 16;
}

fb_status fb_params_add(fb_params *params, fb_leaf **leaf, const char *const *names,
                        fb_param_shape shape, fb_init init, float init_std, bool shared)
{
    int32_t parts = shape.parts;
    int64_t rows = shape.rows, columns = shape.columns;
    fb_param *p = fb_arena_alloc_zero(params->arena, sizeof *p);
    if (!p)
        return fb_fail(params->ctx, FB_E_MEMORY, "no memory for parameter %s",
                       names[0]);
    for (int32_t i = 0; i < parts; i++)
        fb_param_name(p->name[i], "%s", names[i]);
    p->parts = parts;
    p->rows = rows * parts;
    p->columns = columns;
    p->init = init;
    p->init_std = init_std;
    p->decay = columns > 1;
    p->shared = shared;
    p->lr_scale = 1.0f;
    p->leaf =
        (fb_leaf){.name = p->name[0], .weight = {NULL, p->rows, columns, 1, NULL}};
    params->total += in_lines(p->rows * columns);
    params->count++;
    if (params->last)
        params->last->next = p;
    else
        params->first = p;
    params->last = p;
    *leaf = &p->leaf;
    return FB_OK;
}

fb_status fb_params_add_buffer(fb_params *params, float **value, const char *name,
                               int64_t count, float initial)
{
    fb_buffer *b = fb_arena_alloc_zero(params->arena, sizeof *b);
    if (!b)
        return fb_fail(params->ctx, FB_E_MEMORY, "no memory for buffer %s", name);
    fb_param_name(b->name, "%s", name);
    b->count = count;
    b->offset = params->buffer_total;
    b->initial = initial;
    b->value = value;
    params->buffer_total += in_lines(count);
    params->buffer_count++;
    if (params->last_buffer)
        params->last_buffer->next = b;
    else
        params->first_buffer = b;
    params->last_buffer = b;
    return FB_OK;
}

void fb_params_scale_lr(fb_leaf *leaf, float scale)
{
    ((fb_param *)leaf)->lr_scale = scale; /* the leaf is the parameter's first member */
}

void fb_params_freeze(fb_params *params, const char *prefix)
{
    for (fb_param *p = params->first; p; p = p->next)
        p->frozen = p->frozen || strncmp(p->name[0], prefix, strlen(prefix)) == 0;
}

void fb_params_set_kernel(fb_leaf *leaf, int32_t k, int32_t groups)
{
    ((fb_param *)leaf)->groups = groups;
    ((fb_param *)leaf)->kernel = k;
}

void fb_param_name(char out[FB_PARAM_NAME], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fb_text_print_list(out, FB_PARAM_NAME, format, arguments);
    va_end(arguments);
}

static float *block(int64_t numbers)
{
    size_t bytes = ((size_t)numbers * sizeof(float) + 63) / 64 * 64;
    float *memory = aligned_alloc(64, bytes ? bytes : 64);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

/* Give the parameters that are frozen, or those that are not, their places from `at`
 * on; returns the end. */
static int64_t place(fb_params *params, bool frozen, int64_t at)
{
    for (fb_param *p = params->first; p; p = p->next) {
        if (p->frozen != frozen)
            continue;
        p->offset = at;
        at += in_lines(p->rows * p->columns);
    }
    return at;
}

/* Leaves and buffers at their places of params->on. */
static void point(fb_params *params)
{
    for (fb_param *p = params->first; p; p = p->next) {
        p->leaf.weight.data = params->on.value + p->offset;
        p->leaf.grad =
            params->on.grad && !p->frozen ? params->on.grad + p->offset : NULL;
    }
    for (const fb_buffer *b = params->first_buffer; b; b = b->next)
        *b->value = params->on.buffer + b->offset;
}

fb_status fb_params_allocate(fb_params *params, bool training)
{
    params->trained = place(params, false, 0);
    (void)place(params, true, params->trained);
    params->value = block(params->total);
    params->buffer = block(params->buffer_total);
    if (training) {
        params->grad = block(params->trained);
        params->moment1 = block(params->trained);
        params->moment2 = block(params->trained);
    }
    if (!params->value || !params->buffer ||
        (training && (!params->grad || !params->moment1 || !params->moment2)))
        return fb_fail(params->ctx, FB_E_MEMORY, "no memory for %lld parameters",
                       (long long)params->total);
    params->on = (fb_param_blocks){params->value, params->grad, params->moment1,
                                   params->moment2, params->buffer};
    point(params);
    params->ctx = NULL; /* lent for the declarations, which are done */
    return FB_OK;
}

void fb_params_initialise(fb_params *params, uint64_t seed)
{
    uint64_t place = 0;
    for (fb_param *p = params->first; p; p = p->next, place++) {
        float *value = params->value + p->offset;
        fb_random r = fb_random_start(seed, FB_STREAM_INIT, place);
        for (int64_t i = 0; i < p->rows * p->columns; i++) {
            if (p->init == FB_INIT_NORMAL)
                value[i] = p->init_std * (float)fb_random_normal(&r);
            else if (p->init == FB_INIT_UNIFORM)
                value[i] = p->init_std * (float)(2.0 * fb_random_uniform(&r) - 1.0);
            else if (p->init == FB_INIT_VALUE)
                value[i] = p->init_std;
            else
                value[i] = p->init == FB_INIT_ONE ? 1.0f : 0.0f;
        }
    }
    for (const fb_buffer *b = params->first_buffer; b; b = b->next)
        for (int64_t i = 0; i < b->count; i++)
            params->buffer[b->offset + i] = b->initial;
    fb_params_touch(params);
}

void fb_params_redirect(fb_params *params, float *gradients)
{
    for (fb_param *p = params->first; p; p = p->next)
        p->leaf.grad = p->frozen ? NULL : gradients + p->offset;
}

fb_status fb_params_move(fb_context *ctx, fb_params *params, fb_backend *be)
{
    fb_param_blocks host = params->on, on = {NULL, NULL, NULL, NULL, NULL};
    const int64_t counts[BLOCKS] = {params->total, params->trained, params->trained,
                                    params->trained, params->buffer_total};
    if (be->m->host || is_moved(params))
        return FB_OK;
    fb_status status = FB_OK;
    for (int i = 0; i < BLOCKS && status == FB_OK; i++) {
        const float *from = *block_of(&host, i);
        size_t bytes = (size_t)counts[i] * sizeof(float);
        void *memory = NULL;
        if (!from)
            continue;
        status = be->m->alloc(ctx, be, &memory, bytes);
        if (status == FB_OK)
            status = be->m->upload(ctx, be, memory, from, bytes);
        *block_of(&on, i) = memory;
    }
    if (status != FB_OK) {
        for (int i = 0; i < BLOCKS; i++)
            be->m->free(be, *block_of(&on, i));
        return status;
    }
    free(params->grad);
    params->grad = NULL;
    params->on = on;
    point(params);
    fb_params_touch(params);
    return FB_OK;
}

fb_status fb_params_fetch(fb_context *ctx, fb_params *params, fb_backend *be)
{
    const struct {
        float *to, *from;
        int64_t count;
    } blocks[] = {{params->value, params->on.value, params->total},
                  {params->moment1, params->on.moment1, params->trained},
                  {params->moment2, params->on.moment2, params->trained},
                  {params->buffer, params->on.buffer, params->buffer_total}};
    if (!is_moved(params))
        return FB_OK;
    for (int i = 0; i < 4; i++)
        if (blocks[i].from)
            FB_TRY(be->m->download(ctx, be, blocks[i].to, blocks[i].from,
                                   (size_t)blocks[i].count * sizeof(float)));
    return be->m->finish(ctx, be);
}

fb_status fb_params_exchange(fb_context *ctx, fb_params *params, fb_backend *be,
                             const fb_comm *comm)
{
    FB_TRY(fb_exchange_sum(ctx, be, comm, params->on.grad, params->trained));
    return fb_exchange_mean(ctx, be, comm, params->on.buffer, params->buffer_total);
}

void fb_params_touch(fb_params *params)
{
    for (fb_param *p = params->first; p; p = p->next)
        p->leaf.weight.version++;
}

const char *fb_params_find_nonfinite(const fb_params *params, bool gradients)
{
    const float *block_start = gradients ? params->grad : params->value;
    for (const fb_param *p = params->first; block_start && p; p = p->next)
        for (int64_t i = 0; i < p->rows * p->columns && !(gradients && p->frozen); i++)
            if (!isfinite(block_start[p->offset + i]))
                return p->name[i / (p->rows / p->parts * p->columns)];
    for (const fb_buffer *b = params->first_buffer; !gradients && b; b = b->next)
        for (int64_t i = 0; params->buffer && i < b->count; i++)
            if (!isfinite(params->buffer[b->offset + i]))
                return b->name;
    return NULL;
}

float *fb_params_value(const fb_params *params, const fb_leaf *leaf)
{
    return params->value + (leaf->weight.data - params->on.value);
}

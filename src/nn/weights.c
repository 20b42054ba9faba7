/* weights.c - see weights.h. */
#include "nn/weights.h"

#include "nn/problems.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef char moment_name[FB_PARAM_NAME + 16];

/* A block of the table's layout that goes to files, and what its names end in. */
typedef struct saved_block {
    float *values;
    const char *suffix;
} saved_block;

/* The blocks that are one file, and the buffers with them or not. */
typedef struct saved_set {
    int32_t blocks;
    saved_block block[2];
    bool buffers;
    bool shared;        /* only what file and table both have */
    bool trained;       /* blocks without frozen parameters */
    const char *prefix; /* only names that begin so; NULL: all */
} saved_set;

/* The first parameter of the set from p on. */
static const fb_param *from(const fb_param *p, const saved_set *set)
{
    while (p && set->trained && p->frozen)
        p = p->next;
    return p;
}

static int64_t block_numbers(const fb_params *params, const saved_set *set)
{
    return set->trained ? params->trained : params->total;
}

static int32_t tensor_total(const fb_params *params, const saved_set *set)
{
    int32_t n = 0;
    for (const fb_param *p = from(params->first, set); p; p = from(p->next, set))
        n += p->parts * set->blocks;
    return n + (set->buffers ? params->buffer_count : 0);
}

fb_saved_tensor fb_weights_describe(const fb_param *p, int32_t part, const char *name,
                                    const float *block)
{
    int64_t rows = p->rows / p->parts, k = p->kernel;
    fb_saved_tensor t = {.name = name,
                         .rank = p->columns > 1 ? 2 : 1,
                         .dims = {rows, p->columns},
                         .data = block + p->offset + part * rows * p->columns};
    if (k > 0) {
        t.rank = 4;
        t.dims[1] = p->columns / (k * k);
        t.dims[2] = t.dims[3] = k;
    }
    return t;
}

fb_saved_tensor fb_weights_describe_buffer(const fb_buffer *b, const float *block)
{
    return (fb_saved_tensor){
        .name = b->name, .rank = 1, .dims = {b->count}, .data = block + b->offset};
}

static fb_status save(fb_context *ctx, const fb_params *params, const char *path,
                      const saved_set *set)
{
    int32_t total = tensor_total(params, set), n = 0;
    fb_saved_tensor *tensors = calloc((size_t)total + 1, sizeof *tensors);
    moment_name *names = calloc((size_t)total + 1, sizeof *names);
    fb_status status = FB_OK;
    if (!tensors || !names)
        status = fb_fail(ctx, FB_E_MEMORY, "%s: no memory to list the tensors", path);
    for (int32_t b = 0; status == FB_OK && b < set->blocks; b++)
        for (const fb_param *p = from(params->first, set); p; p = from(p->next, set))
            for (int32_t i = 0; i < p->parts; i++, n++) {
                snprintf(names[n], sizeof names[n], "%s%s", p->name[i],
                         set->block[b].suffix);
                tensors[n] = fb_weights_describe(p, i, names[n], set->block[b].values);
            }
    const fb_buffer *b = set->buffers ? params->first_buffer : NULL;
    for (; status == FB_OK && b; b = b->next, n++)
        tensors[n] = fb_weights_describe_buffer(b, params->buffer);
    if (status == FB_OK)
        status = fb_safetensors_write(ctx, path, tensors, total);
    free(names);
    free(tensors);
    return status;
}

static void check_one(fb_problems *found, const fb_safetensors *file,
                      const fb_saved_tensor *t, float *into, const saved_set *set,
                      fb_context *ctx)
{
    if (set->prefix && strncmp(t->name, set->prefix, strlen(set->prefix)) != 0)
        return;
    const fb_stored_tensor *s = fb_safetensors_find(file, t->name);
    if (!s) {
        if (!set->shared)
            fb_problems_add(found, "missing %s", t->name);
        return;
    }
    bool fits = s->rank == t->rank;
    for (int32_t d = 0; fits && d < s->rank; d++)
        fits = s->dims[d] == t->dims[d];
    if (!fits) {
        fb_problems_add(found, "another shape: %s", t->name);
        return;
    }
    if (fb_safetensors_to_f32(ctx, s, into) != FB_OK) {
        fb_problems_add(found, "not floating point: %s", t->name);
        return;
    }
    for (int64_t i = 0; i < s->count; i++)
        if (!isfinite(into[i])) {
            fb_problems_add(found, "NaN or infinity in %s", t->name);
            return;
        }
}

static bool wanted(const fb_params *params, const char *name, const saved_set *set)
{
    moment_name full;
    for (int32_t b = 0; b < set->blocks; b++)
        for (const fb_param *p = from(params->first, set); p; p = from(p->next, set))
            for (int32_t i = 0; i < p->parts; i++) {
                snprintf(full, sizeof full, "%s%s", p->name[i], set->block[b].suffix);
                if (strcmp(full, name) == 0)
                    return true;
            }
    const fb_buffer *buffer = set->buffers ? params->first_buffer : NULL;
    for (; buffer; buffer = buffer->next)
        if (strcmp(buffer->name, name) == 0)
            return true;
    return false;
}

/* Everything of the set from the file into `fresh`: its blocks, then the buffers. */
static void read_set(fb_context *ctx, const fb_params *params, const saved_set *set,
                     const fb_safetensors *file, float *fresh, fb_problems *found)
{
    for (int32_t b = 0; b < set->blocks; b++)
        for (const fb_param *p = from(params->first, set); p; p = from(p->next, set))
            for (int32_t i = 0; i < p->parts; i++) {
                moment_name name;
                snprintf(name, sizeof name, "%s%s", p->name[i], set->block[b].suffix);
                fb_saved_tensor t = fb_weights_describe(
                    p, i, name, fresh + b * block_numbers(params, set));
                check_one(found, file, &t, (float *)(uintptr_t)t.data, set, ctx);
            }
    const fb_buffer *buffer = set->buffers ? params->first_buffer : NULL;
    for (; buffer; buffer = buffer->next) {
        fb_saved_tensor t = fb_weights_describe_buffer(
            buffer, fresh + set->blocks * block_numbers(params, set));
        check_one(found, file, &t, (float *)(uintptr_t)t.data, set, ctx);
    }
    for (int32_t i = 0; !set->shared && !set->prefix && i < file->count; i++)
        if (!wanted(params, file->tensors[i].name, set))
            fb_problems_add(found, "not of this model: %s", file->tensors[i].name);
}

static fb_status load(fb_context *ctx, fb_params *params, const char *path,
                      const saved_set *set)
{
    fb_safetensors *file;
    FB_TRY(fb_safetensors_open(ctx, &file, path));
    fb_problems found = {0};
    int64_t numbers = block_numbers(params, set);
    size_t bytes = (size_t)numbers * sizeof(float);
    size_t buffer_bytes =
        set->buffers ? (size_t)params->buffer_total * sizeof(float) : 0;
    float *fresh = calloc((size_t)set->blocks * bytes + buffer_bytes + 1, 1);
    if (!fresh) {
        fb_safetensors_close(file);
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", path);
    }
    if (set->shared || set->prefix) { /* what is not read keeps its values */
        memcpy(fresh, set->block[0].values, bytes);
        if (buffer_bytes)
            memcpy(fresh + numbers, params->buffer, buffer_bytes);
    }
    read_set(ctx, params, set, file, fresh, &found);
    fb_safetensors_close(file);
    for (int32_t b = 0; !found.count && b < set->blocks; b++)
        memcpy(set->block[b].values, fresh + b * numbers, bytes);
    if (!found.count && buffer_bytes)
        memcpy(params->buffer, fresh + set->blocks * numbers, buffer_bytes);
    free(fresh);
    return fb_problems_result(ctx, &found, path);
}

static saved_set values_of(const fb_params *params)
{
    return (saved_set){1, {{params->value, ""}}, true, false, false, NULL};
}

static saved_set moments_of(const fb_params *params)
{
    return (saved_set){
        2,     {{params->moment1, ".moment1"}, {params->moment2, ".moment2"}},
        false, false,
        true,  NULL};
}

fb_status fb_weights_save(fb_context *ctx, const fb_params *params, const char *path)
{
    saved_set set = values_of(params);
    return save(ctx, params, path, &set);
}

fb_status fb_weights_load(fb_context *ctx, fb_params *params, const char *path)
{
    saved_set set = values_of(params);
    FB_TRY(load(ctx, params, path, &set));
    fb_params_touch(params);
    return FB_OK;
}

fb_status fb_weights_load_shared(fb_context *ctx, fb_params *params, const char *path)
{
    saved_set set = values_of(params);
    set.shared = true;
    FB_TRY(load(ctx, params, path, &set));
    fb_params_touch(params);
    return FB_OK;
}

fb_status fb_weights_load_part(fb_context *ctx, fb_params *params, const char *path,
                               const char *prefix)
{
    saved_set set = values_of(params);
    set.prefix = prefix;
    FB_TRY(load(ctx, params, path, &set));
    fb_params_touch(params);
    return FB_OK;
}

fb_status fb_moments_save(fb_context *ctx, const fb_params *params, const char *path)
{
    saved_set set = moments_of(params);
    return save(ctx, params, path, &set);
}

fb_status fb_moments_load(fb_context *ctx, fb_params *params, const char *path)
{
    saved_set set = moments_of(params);
    return load(ctx, params, path, &set);
}

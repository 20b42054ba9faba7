/* weights.c - see weights.h. */
#include "nn/weights.h"

#include "nn/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef char moment_name[FB_PARAM_NAME + 16];

static int32_t part_total(const fb_params *params)
{
    int32_t n = 0;
    for (const fb_param *p = params->first; p; p = p->next)
        n += p->parts;
    return n;
}

static fb_saved_tensor describe(const fb_param *p, int32_t part, const char *name,
                                const float *block)
{
    int64_t rows = p->rows / p->parts;
    return (fb_saved_tensor){.name = name,
                             .rank = p->columns > 1 ? 2 : 1,
                             .dims = {rows, p->columns},
                             .data = block + p->offset + part * rows * p->columns};
}

static fb_status save(fb_context *ctx, const fb_params *params, const char *path,
                      int32_t blocks, const float *const *block,
                      const char *const *suffix)
{
    int32_t total = part_total(params) * blocks, n = 0;
    fb_saved_tensor *tensors = calloc((size_t)total + 1, sizeof *tensors);
    moment_name *names = calloc((size_t)total + 1, sizeof *names);
    fb_status status = FB_OK;
    if (!tensors || !names)
        status = fb_fail(ctx, FB_E_MEMORY, "%s: no memory to list the tensors", path);
    for (int32_t b = 0; status == FB_OK && b < blocks; b++)
        for (const fb_param *p = params->first; p; p = p->next)
            for (int32_t i = 0; i < p->parts; i++, n++) {
                snprintf(names[n], sizeof names[n], "%s%s", p->name[i], suffix[b]);
                tensors[n] = describe(p, i, names[n], block[b]);
            }
    if (status == FB_OK)
        status = fb_safetensors_write(ctx, path, tensors, total);
    free(names);
    free(tensors);
    return status;
}

/* Problems of a file: how many, and the first ten in words. */
typedef struct problems {
    int32_t count;
    char text[880];
} problems;

static void problem(problems *p, const char *what, const char *name)
{
    size_t used = strlen(p->text);
    if (p->count++ < 10)
        snprintf(p->text + used, sizeof p->text - used, "%s%s %s", used ? ", " : "",
                 what, name);
}

static void check_one(problems *found, const fb_safetensors *file,
                      const fb_saved_tensor *t, float *into, fb_context *ctx)
{
    const fb_stored_tensor *s = fb_safetensors_find(file, t->name);
    if (!s) {
        problem(found, "missing", t->name);
        return;
    }
    bool fits = s->rank == t->rank;
    for (int32_t d = 0; fits && d < s->rank; d++)
        fits = s->dims[d] == t->dims[d];
    if (!fits) {
        problem(found, "another shape:", t->name);
        return;
    }
    if (fb_safetensors_to_f32(ctx, s, into) != FB_OK) {
        problem(found, "not floating point:", t->name);
        return;
    }
    for (int64_t i = 0; i < s->count; i++)
        if (!isfinite(into[i])) {
            problem(found, "NaN or infinity in", t->name);
            return;
        }
}

static bool wanted(const fb_params *params, const char *name, int32_t blocks,
                   const char *const *suffix)
{
    moment_name full;
    for (int32_t b = 0; b < blocks; b++)
        for (const fb_param *p = params->first; p; p = p->next)
            for (int32_t i = 0; i < p->parts; i++) {
                snprintf(full, sizeof full, "%s%s", p->name[i], suffix[b]);
                if (strcmp(full, name) == 0)
                    return true;
            }
    return false;
}

static fb_status load(fb_context *ctx, fb_params *params, const char *path,
                      int32_t blocks, float *const *block, const char *const *suffix)
{
    fb_safetensors *file;
    FB_TRY(fb_safetensors_open(ctx, &file, path));
    problems found = {0};
    size_t bytes = (size_t)params->total * sizeof(float);
    float *fresh = calloc((size_t)blocks, bytes ? bytes : 1);
    if (!fresh) {
        fb_safetensors_close(file);
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", path);
    }
    for (int32_t b = 0; b < blocks; b++)
        for (const fb_param *p = params->first; p; p = p->next)
            for (int32_t i = 0; i < p->parts; i++) {
                moment_name name;
                snprintf(name, sizeof name, "%s%s", p->name[i], suffix[b]);
                fb_saved_tensor t = describe(p, i, name, fresh + b * params->total);
                check_one(&found, file, &t, (float *)(uintptr_t)t.data, ctx);
            }
    for (int32_t i = 0; i < file->count; i++)
        if (!wanted(params, file->tensors[i].name, blocks, suffix))
            problem(&found, "not of this model:", file->tensors[i].name);
    fb_safetensors_close(file);
    for (int32_t b = 0; !found.count && b < blocks; b++)
        memcpy(block[b], fresh + b * params->total, bytes);
    free(fresh);
    if (found.count)
        return fb_fail(ctx, FB_E_FORMAT, "%s: %d of its tensors do not fit: %s", path,
                       (int)found.count, found.text);
    return FB_OK;
}

static const char *const no_suffix[1] = {""};
static const char *const moment_suffix[2] = {".moment1", ".moment2"};

fb_status fb_weights_save(fb_context *ctx, const fb_params *params, const char *path)
{
    const float *block[1] = {params->value};
    return save(ctx, params, path, 1, block, no_suffix);
}

fb_status fb_weights_load(fb_context *ctx, fb_params *params, const char *path)
{
    float *block[1] = {params->value};
    FB_TRY(load(ctx, params, path, 1, block, no_suffix));
    fb_params_touch(params);
    return FB_OK;
}

fb_status fb_moments_save(fb_context *ctx, const fb_params *params, const char *path)
{
    const float *block[2] = {params->moment1, params->moment2};
    return save(ctx, params, path, 2, block, moment_suffix);
}

fb_status fb_moments_load(fb_context *ctx, fb_params *params, const char *path)
{
    float *block[2] = {params->moment1, params->moment2};
    return load(ctx, params, path, 2, block, moment_suffix);
}

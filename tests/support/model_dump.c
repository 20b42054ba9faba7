/* model_dump.c - see model_dump.h. */
#include "support/model_dump.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const fb_stored_tensor *model_dump_entry(const model_dump *d, const char *name)
{
    const fb_stored_tensor *t = fb_safetensors_find(d->file, name);
    if (!t)
        fail_msg("the dump has no %s", name);
    return t;
}

void model_dump_ints(const model_dump *d, const char *name, int32_t *out)
{
    const fb_stored_tensor *t = model_dump_entry(d, name);
    assert_string_equal(t->dtype, "I32");
    memcpy(out, t->bytes, (size_t)t->count * 4);
}

void model_dump_numbers(const model_dump *d, const char *prefix, const char *name,
                        float *out, int64_t count)
{
    char full[160];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const fb_stored_tensor *t = model_dump_entry(d, full);
    assert_int_equal(t->count, count);
    assert_int_equal(fb_safetensors_to_f32(d->ctx, t, out), FB_OK);
}

static void load_weights(model_dump *d)
{
    for (fb_param *p = d->matcher->params->first; p; p = p->next)
        for (int32_t i = 0; i < p->parts; i++) {
            int64_t count = p->rows / p->parts * p->columns;
            model_dump_numbers(d, "weight/", p->name[i],
                               d->matcher->params->value + p->offset + i * count,
                               count);
        }
    fb_params_touch(d->matcher->params);
}

void model_dump_open(model_dump *d, const char *path, const fb_model_config *config,
                     const char *backend, const char *dtype)
{
    *d = (model_dump){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 20)};
    assert_int_equal(fb_backend_create(d->ctx, &d->be, backend, dtype, 2), FB_OK);
    assert_int_equal(fb_safetensors_open(d->ctx, &d->file, path), FB_OK);
    assert_int_equal(fb_matcher_create(d->ctx, &d->matcher, config, FB_MODEL_TRAIN),
                     FB_OK);
    load_weights(d);
}

void model_dump_close(model_dump *d)
{
    d->matcher->system->free(d->matcher, d->be);
    fb_batch_free(d->batch);
    fb_safetensors_close(d->file);
    fb_arena_free(d->arena);
    fb_backend_free(d->be);
    fb_context_free(d->ctx);
}

void model_dump_fill(const model_dump *d)
{
    fb_batch *b = d->batch;
    int64_t pixels = (int64_t)b->images * b->image_size * b->image_size * 3;
    model_dump_ints(d, "batch/text_offsets", b->text_offsets);
    model_dump_ints(d, "batch/token_ids", b->token_ids);
    for (int32_t t = 0; t < b->texts; t++)
        for (int32_t i = b->text_offsets[t]; i < b->text_offsets[t + 1]; i++) {
            b->token_positions[i] = i - b->text_offsets[t];
            b->token_segments[i] = 0;
        }
    assert_int_equal(model_dump_entry(d, "batch/pixels")->count, pixels);
    memcpy(b->pixels, model_dump_entry(d, "batch/pixels")->bytes, (size_t)pixels);
    memcpy(b->patch_masked, model_dump_entry(d, "batch/patch_masked")->bytes,
           (size_t)b->images * (size_t)b->patches);
    b->mlm_count = (int32_t)model_dump_entry(d, "batch/mlm_rows")->count;
    b->mpm_count = (int32_t)model_dump_entry(d, "batch/mpm_rows")->count;
    model_dump_ints(d, "batch/mlm_rows", b->mlm_rows);
    model_dump_ints(d, "batch/mlm_targets", b->mlm_targets);
    model_dump_ints(d, "batch/mpm_rows", b->mpm_rows);
    model_dump_ints(d, "batch/mpm_patches", b->mpm_patches);
}

static void compare_above(const char *what, const float *got, const float *want,
                          int64_t count, double tolerance, double least)
{
    double largest = 0;
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)want[i]));
    for (int64_t i = 0; i < count; i++) {
        double error = fabs((double)got[i] - (double)want[i]);
        if (!(error <= tolerance * (largest + least)))
            fail_msg("%s[%lld] is %.9g, PyTorch has %.9g (largest %.3g)", what,
                     (long long)i, (double)got[i], (double)want[i], largest);
    }
}

void model_dump_compare(const char *what, const float *got, const float *want,
                        int64_t count, double tolerance)
{
    compare_above(what, got, want, count, tolerance, 1e-3);
}

void model_dump_compare_tensor(const model_dump *d, const char *name,
                               const fb_tensor *tensor, double tolerance)
{
    int64_t count = fb_tensor_count(tensor);
    float *want = malloc((size_t)count * 4), *got = malloc((size_t)count * 4);
    model_dump_numbers(d, "", name, want, count);
    for (int64_t i = 0; i < count; i++)
        got[i] = tensor->dtype == FB_F32
                     ? ((const float *)tensor->data)[i]
                     : fb_bf16_to_f32(((const fb_bf16 *)tensor->data)[i]);
    model_dump_compare(name, got, want, count, tolerance);
    free(got);
    free(want);
}

void model_dump_compare_rows(const model_dump *d, const char *name,
                             const fb_tensor *tensor, const int32_t *rows,
                             double tolerance)
{
    int64_t width = tensor->dims[1], all = model_dump_entry(d, name)->count;
    float *want = malloc((size_t)all * 4), *got = malloc((size_t)width * 4);
    model_dump_numbers(d, "", name, want, all);
    assert_true(tensor->dims[0] > 0 && tensor->dims[0] < all / width);
    for (int64_t r = 0; r < tensor->dims[0]; r++) {
        for (int64_t i = 0; i < width; i++)
            got[i] =
                tensor->dtype == FB_F32
                    ? ((const float *)tensor->data)[r * width + i]
                    : fb_bf16_to_f32(((const fb_bf16 *)tensor->data)[r * width + i]);
        assert_in_range(rows[r], 0, all / width - 1);
        model_dump_compare(name, got, want + rows[r] * width, width, tolerance);
    }
    free(got);
    free(want);
}

/* A key's bias moves all scores of a query alike, so its gradient is 0 but for
 * rounding: gradients get a floor. */
void model_dump_compare_block(const model_dump *d, const char *prefix,
                              const float *block, double tolerance, const char *without)
{
    for (const fb_param *p = d->matcher->params->first; p; p = p->next)
        for (int32_t i = 0; i < p->parts; i++) {
            if (without && strstr(p->name[i], without))
                continue;
            int64_t count = p->rows / p->parts * p->columns;
            float *want = malloc((size_t)count * 4);
            model_dump_numbers(d, prefix, p->name[i], want, count);
            compare_above(p->name[i], block + p->offset + i * count, want, count,
                          tolerance, 0.02);
            free(want);
        }
}

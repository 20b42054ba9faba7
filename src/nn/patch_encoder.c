/* patch_encoder.c - see patch_encoder.h. */
#include "nn/patch_encoder.h"

#include "ops/ops.h"
#include "tensor/batch.h"

#include <stdlib.h>
#include <string.h>

/* Pixels a side of what the encoder looks at. */
static int32_t picture_size(const fb_patch_encoder *e)
{
    return e->each ? e->image_size / e->grid : e->image_size;
}

static int32_t picture_count(const fb_patch_encoder *e, int32_t images)
{
    return e->each ? images * e->grid * e->grid : images;
}

/* The encoder without its network. */
static fb_status lay_out(fb_context *ctx, fb_patch_encoder *e, int32_t *features,
                         const fb_patch_encoder_options *o)
{
    *e = (fb_patch_encoder){.image_size = o->image_size, .grid = o->grid};
    FB_TRY(fb_encoder_get(ctx, &e->kind, o->name));
    e->each = o->each || e->kind->alone;
    for (int i = 0; i < 3; i++) {
        e->mean[i] = (float)o->mean[i];
        e->std[i] = (float)o->std[i];
    }
    fb_encoder_shape shape = e->kind->shape(e->kind, picture_size(e));
    if (e->each ? shape.side < 1 : shape.side != e->grid)
        return fb_fail(ctx, FB_E_USAGE,
                       "%s makes a map of %d a side of %d pixels, %s %d wanted",
                       o->name, (int)shape.side, (int)picture_size(e),
                       e->each ? "at least" : "not the", (int)(e->each ? 1 : e->grid));
    *features = shape.features;
    return FB_OK;
}

fb_status fb_patch_encoder_features(fb_context *ctx, int32_t *features,
                                    const fb_patch_encoder_options *options)
{
    fb_patch_encoder e;
    return lay_out(ctx, &e, features, options);
}

fb_status fb_patch_encoder_declare(fb_params *params, fb_patch_encoder *encoder,
                                   const fb_patch_encoder_options *options)
{
    int32_t features;
    FB_TRY(lay_out(params->ctx, encoder, &features, options));
    encoder->network = calloc(1, encoder->kind->network_bytes + 1);
    if (!encoder->network)
        return fb_fail(params->ctx, FB_E_MEMORY, "no memory for encoder %s",
                       options->name);
    return encoder->kind->declare(params, encoder->network, FB_PATCH_ENCODER_PREFIX,
                                  encoder->kind);
}

void fb_patch_encoder_freeze(fb_params *params, fb_patch_encoder *encoder)
{
    encoder->frozen = encoder->kind->learns;
    fb_params_freeze(params, FB_PATCH_ENCODER_PREFIX ".");
}

void fb_patch_encoder_scale_lr(fb_params *params, float share)
{
    const char *prefix = FB_PATCH_ENCODER_PREFIX ".";
    for (fb_param *p = params->first; p; p = p->next)
        if (strncmp(p->name[0], prefix, strlen(prefix)) == 0)
            fb_params_scale_lr(&p->leaf, share);
}

void fb_patch_encoder_free(fb_patch_encoder *encoder, fb_backend *be)
{
    if (encoder->network && encoder->kind->release)
        encoder->kind->release(encoder->network, be);
    free(encoder->network);
    encoder->network = NULL;
}

/* The images' pixels, normalised: patch by patch where each is seen alone, else a
 * pixel a row. */
static fb_status cut(fb_tape *tape, fb_var **x, const fb_patch_encoder *e,
                     const uint8_t *pixels, int32_t images)
{
    fb_patchify p = {.images = images,
                     .size = e->image_size,
                     .grid = e->each ? e->grid : e->image_size};
    memcpy(p.mean, e->mean, sizeof p.mean);
    memcpy(p.std, e->std, sizeof p.std);
    return fb_op_patchify(tape, x, pixels, &p);
}

static fb_status encode(fb_tape *tape, fb_var **features, fb_patch_encoder *e,
                        fb_var *x, int32_t images, fb_encoder_mode mode)
{
    int32_t size = picture_size(e);
    fb_pictures in = {x, picture_count(e, images), size, size};
    return e->kind->forward(tape, features, e->network, &in, mode, e->each);
}

fb_status fb_patch_encoder_forward(fb_tape *tape, fb_var **features,
                                   fb_patch_encoder *encoder, const uint8_t *pixels,
                                   int32_t images)
{
    bool training = tape->recording && !encoder->frozen;
    fb_var *x;
    FB_TRY(cut(tape, &x, encoder, pixels, images));
    return encode(tape, features, encoder, x, images,
                  training ? FB_ENCODER_TRAIN : FB_ENCODER_FROZEN);
}

/* The images, and behind them each with left and right changed. */
static fb_status add_mirrored(fb_tape *tape, const uint8_t **both,
                              const fb_patch_encoder *encoder, const uint8_t *pixels,
                              int32_t images)
{
    int64_t lines = (int64_t)images * encoder->image_size;
    size_t bytes = (size_t)lines * (size_t)encoder->image_size * 3;
    void *memory;
    FB_TRY(fb_tape_alloc(tape, &memory, 2 * bytes));
    uint8_t *out = memory;
    memcpy(out, pixels, bytes);
    memcpy(out + bytes, pixels, bytes);
    fb_pixels_mirror(out + bytes, lines, encoder->image_size);
    *both = out;
    return FB_OK;
}

fb_status fb_patch_encoder_merge_views(fb_tape *tape, fb_var **features,
                                       const fb_patch_encoder *encoder, fb_var *both,
                                       int32_t images)
{
    int32_t grid = encoder->grid, rows = images * grid * grid;
    int32_t *source, *offsets;
    fb_var *pairs;
    FB_TRY(fb_tape_ints(tape, &source, 2 * (int64_t)rows));
    FB_TRY(fb_tape_ints(tape, &offsets, (int64_t)rows + 1));
    for (int32_t i = 0; i <= rows; i++)
        offsets[i] = 2 * i;
    for (int32_t i = 0; i < rows; i++) {
        source[2 * i] = i;
        source[2 * i + 1] = rows + i + grid - 1 - 2 * (i % grid);
    }
    FB_TRY(fb_op_gather(tape, &pairs, both, NULL, source, 2 * (int64_t)rows));
    return fb_op_mean_rows(tape, features, pairs, offsets, rows);
}

fb_status fb_patch_encoder_look(fb_tape *tape, fb_var **features,
                                fb_patch_encoder *encoder, const uint8_t *pixels,
                                int32_t images, int32_t views)
{
    const uint8_t *both;
    fb_var *x;
    if (views < 2)
        return fb_patch_encoder_forward(tape, features, encoder, pixels, images);
    FB_TRY(add_mirrored(tape, &both, encoder, pixels, images));
    FB_TRY(fb_patch_encoder_forward(tape, &x, encoder, both, 2 * images));
    return fb_patch_encoder_merge_views(tape, features, encoder, x, images);
}

fb_status fb_patch_encoder_input(fb_tape *tape, fb_var **x,
                                 const fb_patch_encoder *encoder, const uint8_t *pixels,
                                 int32_t images, int32_t views)
{
    int64_t size = encoder->image_size;
    if (views > 1) {
        FB_TRY(add_mirrored(tape, &pixels, encoder, pixels, images));
        images *= 2;
    }
    FB_TRY(cut(tape, x, encoder, pixels, images));
    fb_tensor *t = &(*x)->value;
    *t = fb_tensor_2d(t->data, t->dtype, images * size * size, 3);
    return FB_OK;
}

fb_status fb_patch_encoder_tune(fb_tape *tape, fb_var **features,
                                fb_patch_encoder *encoder, fb_var *x, int32_t images)
{
    return encode(tape, features, encoder, x, images, FB_ENCODER_TUNE);
}

fb_status fb_patch_features_upload(fb_tape *tape, fb_var **x, const fb_bf16 *numbers,
                                   int64_t rows, int32_t width)
{
    FB_TRY(fb_tape_new_var(tape, x, tape->be->dtype, 0, width));
    (*x)->needs_grad = false;
    fb_tensor host =
        fb_tensor_2d((void *)(uintptr_t)numbers, tape->be->dtype, rows, width);
    if (host.dtype != FB_BF16) {
        FB_TRY(fb_tape_alloc(tape, &host.data, fb_tensor_bytes(&host)));
        float *value = host.data;
        for (int64_t i = 0; i < rows * width; i++)
            value[i] = fb_bf16_to_f32(numbers[i]);
    }
    return fb_tape_upload(tape, &(*x)->value, &host);
}

fb_status fb_patch_encoder_given(fb_tape *tape, fb_var **features,
                                 const fb_patch_encoder *encoder, const fb_bf16 *given,
                                 int32_t width, int32_t images)
{
    int64_t rows = (int64_t)images * encoder->grid * encoder->grid;
    const fb_encoder *kind = encoder->kind;
    if (!kind->learns || width != kind->shape(kind, picture_size(encoder)).features)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "the batch has features of width %d, which this encoder does "
                       "not make",
                       (int)width);
    return fb_patch_features_upload(tape, features, given, rows, width);
}

double fb_patch_encoder_flops(const fb_patch_encoder *encoder)
{
    return picture_count(encoder, 1) *
           encoder->kind->flops(encoder->kind, picture_size(encoder));
}

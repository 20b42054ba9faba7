/* patch_encoder.c - see patch_encoder.h. */
#include "nn/patch_encoder.h"

#include "tensor/batch.h"

#include <string.h>

fb_status fb_patch_encoder_features(fb_context *ctx, int32_t *features,
                                    const fb_patch_encoder_options *o)
{
    int32_t side = o->image_size / o->grid;
    if (strcmp(o->name, "pixels") == 0) {
        *features = side * side * 3;
        return FB_OK;
    }
    const fb_resnet_spec *spec = fb_resnet_find(o->name);
    if (!spec)
        return fb_fail(ctx, FB_E_USAGE, "encoder %s is not known; use pixels, %s",
                       o->name, fb_resnet_names());
    int32_t out = fb_resnet_out(spec, o->each ? side : o->image_size);
    if (o->each ? out < 1 : out != o->grid)
        return fb_fail(ctx, FB_E_USAGE,
                       "%s makes a map of %d a side of %d pixels, %s %d wanted",
                       o->name, (int)out, (int)(o->each ? side : o->image_size),
                       o->each ? "at least" : "not the", (int)(o->each ? 1 : o->grid));
    *features = fb_resnet_features(spec);
    return FB_OK;
}

fb_status fb_patch_encoder_declare(fb_params *params, fb_patch_encoder *encoder,
                                   const fb_patch_encoder_options *options)
{
    int32_t features;
    FB_TRY(fb_patch_encoder_features(params->ctx, &features, options));
    encoder->image_size = options->image_size;
    encoder->grid = options->grid;
    encoder->each = options->each;
    encoder->frozen = false;
    encoder->has_network = strcmp(options->name, "pixels") != 0;
    for (int i = 0; i < 3; i++) {
        encoder->mean[i] = (float)options->mean[i];
        encoder->std[i] = (float)options->std[i];
    }
    if (!encoder->has_network)
        return FB_OK;
    return fb_resnet_declare(params, &encoder->network, FB_PATCH_ENCODER_PREFIX,
                             fb_resnet_find(options->name));
}

void fb_patch_encoder_freeze(fb_params *params, fb_patch_encoder *encoder)
{
    encoder->frozen = encoder->has_network;
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
    if (encoder->has_network)
        fb_resnet_free(&encoder->network, be);
}

fb_status fb_patch_encoder_forward(fb_tape *tape, fb_var **features,
                                   fb_patch_encoder *encoder, const uint8_t *pixels,
                                   int32_t images)
{
    int32_t size = encoder->image_size, grid = encoder->grid;
    bool whole = encoder->has_network && !encoder->each;
    fb_patchify p = {.images = images, .size = size, .grid = whole ? size : grid};
    memcpy(p.mean, encoder->mean, sizeof p.mean);
    memcpy(p.std, encoder->std, sizeof p.std);
    if (!encoder->has_network)
        return fb_op_patchify(tape, features, pixels, &p);
    fb_resnet_mode mode =
        tape->recording && !encoder->frozen ? FB_RESNET_TRAIN : FB_RESNET_FROZEN;
    fb_var *x;
    FB_TRY(fb_op_patchify(tape, &x, pixels, &p));
    if (whole)
        return fb_resnet_forward(tape, features, x, &encoder->network, images, size,
                                 size, mode, NULL);
    return fb_resnet_vectors(tape, features, x, &encoder->network, images * grid * grid,
                             size / grid, size / grid, mode);
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
    int32_t size = encoder->image_size;
    if (views > 1) {
        FB_TRY(add_mirrored(tape, &pixels, encoder, pixels, images));
        images *= 2;
    }
    bool whole = encoder->has_network && !encoder->each;
    fb_patchify p = {
        .images = images, .size = size, .grid = whole ? size : encoder->grid};
    memcpy(p.mean, encoder->mean, sizeof p.mean);
    memcpy(p.std, encoder->std, sizeof p.std);
    FB_TRY(fb_op_patchify(tape, x, pixels, &p));
    fb_tensor *t = &(*x)->value;
    if (encoder->has_network)
        *t = fb_tensor_2d(t->data, t->dtype, (int64_t)images * size * size, 3);
    return FB_OK;
}

fb_status fb_patch_encoder_tune(fb_tape *tape, fb_var **features,
                                fb_patch_encoder *encoder, fb_var *x, int32_t images)
{
    int32_t size = encoder->image_size, grid = encoder->grid;
    if (!encoder->has_network) {
        *features = x;
        return FB_OK;
    }
    if (encoder->each)
        return fb_resnet_vectors(tape, features, x, &encoder->network,
                                 images * grid * grid, size / grid, size / grid,
                                 FB_RESNET_TUNE);
    return fb_resnet_forward(tape, features, x, &encoder->network, images, size, size,
                             FB_RESNET_TUNE, NULL);
}

fb_status fb_patch_encoder_given(fb_tape *tape, fb_var **features,
                                 const fb_patch_encoder *encoder, const fb_bf16 *given,
                                 int32_t width, int32_t images)
{
    int64_t rows = (int64_t)images * encoder->grid * encoder->grid;
    fb_var *x;
    if (!encoder->has_network || width != fb_resnet_features(&encoder->network.spec))
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "the batch has features of width %d, which this encoder does "
                       "not make",
                       (int)width);
    FB_TRY(fb_tape_new_var(tape, &x, tape->be->dtype, 0, width));
    x->needs_grad = false;
    fb_tensor host =
        fb_tensor_2d((void *)(uintptr_t)given, tape->be->dtype, rows, width);
    if (host.dtype != FB_BF16) {
        FB_TRY(fb_tape_alloc(tape, &host.data, fb_tensor_bytes(&host)));
        float *value = host.data;
        for (int64_t i = 0; i < rows * width; i++)
            value[i] = fb_bf16_to_f32(given[i]);
    }
    *features = x;
    return fb_tape_upload(tape, &x->value, &host);
}

double fb_patch_encoder_flops(const fb_patch_encoder *encoder)
{
    if (!encoder->has_network)
        return 0;
    int32_t side = encoder->image_size / encoder->grid;
    const fb_resnet_spec *spec = &encoder->network.spec;
    if (encoder->each)
        return encoder->grid * encoder->grid * fb_resnet_flops(spec, side, side);
    return fb_resnet_flops(spec, encoder->image_size, encoder->image_size);
}

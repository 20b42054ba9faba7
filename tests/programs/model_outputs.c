/* model_outputs.c - what a model folder makes of one text and of one image, for other
 * programs to compare with:
 *
 *     model_outputs MODEL-FOLDER BACKEND TEXT IMAGE OUT.safetensors
 *
 *     ids       [T]          [CLS] text [SEP]
 *     hidden    [T, C]       the text alone through the trunk
 *     pixels    [S, S, 3]    the image decoded and fitted, 0 to 255
 *     features  [P, F]       of its patches
 *
 * All are written as f32, computed in f32.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/model_folder.h"
#include "nn/safetensors.h"
#include "support/sentence.h"

typedef struct outputs {
    fb_context *ctx;
    fb_model *model;
    fb_arena *arena;
    int32_t *ids;
    uint8_t *pixels;
    float *numbers; /* of ids, then of pixels */
} outputs;

static fb_status outputs_open(outputs *o, const char *folder, const char *backend)
{
    fb_model_options options = {.backend = backend, .dtype = "f32", .threads = 2};
    FB_TRY(fb_model_open(o->ctx, &o->model, folder, &options));
    const fb_model_config *c = &o->model->matcher->config;
    size_t image = (size_t)c->image_size * (size_t)c->image_size * 3;
    o->arena = fb_arena_create(1 << 20);
    o->ids = malloc((size_t)c->max_text * sizeof *o->ids);
    o->pixels = malloc(image);
    o->numbers = malloc(((size_t)c->max_text + image) * sizeof *o->numbers);
    if (!o->arena || !o->ids || !o->pixels || !o->numbers)
        return fb_fail(o->ctx, FB_E_MEMORY, "no memory");
    return FB_OK;
}

static void outputs_close(outputs *o)
{
    fb_model_close(o->model);
    fb_arena_free(o->arena);
    fb_context_free(o->ctx);
    free(o->ids);
    free(o->pixels);
    free(o->numbers);
}

static fb_saved_tensor matrix(const char *name, const fb_var *var)
{
    return (fb_saved_tensor){
        name, 2, {var->value.dims[0], var->value.dims[1]}, var->value.data};
}

static fb_status compute(outputs *o, const char *text, const char *image,
                         const char *path)
{
    fb_fashionbert *m = (fb_fashionbert *)o->model->matcher;
    const fb_model_config *c = &m->matcher.config;
    int32_t offsets[2] = {0, 0}, size = c->image_size;
    fb_tape tape = {0};
    fb_var *hidden, *features;
    FB_TRY(fb_wordpiece_encode_wrapped(o->ctx, o->model->vocab, text, strlen(text),
                                       c->max_text, o->ids, &offsets[1]));
    FB_TRY(fb_image_load(o->ctx, image, o->model->resizer, size,
                         c->squash ? FB_FIT_SQUASH : FB_FIT_PAD, FB_FILTER_BILINEAR,
                         o->pixels));
    fb_tape_begin(&tape, o->ctx, o->model->be, o->arena, false);
    FB_TRY(sentence_hidden(m, &tape, o->ids, offsets, 1, &hidden));
    FB_TRY(fb_patch_encoder_forward(&tape, &features, &m->patch_encoder, o->pixels, 1));
    float *pixels = o->numbers + c->max_text;
    for (int32_t i = 0; i < offsets[1]; i++)
        o->numbers[i] = (float)o->ids[i];
    for (int32_t i = 0; i < size * size * 3; i++)
        pixels[i] = (float)o->pixels[i];
    const fb_saved_tensor tensors[] = {{"ids", 1, {offsets[1]}, o->numbers},
                                       matrix("hidden", hidden),
                                       {"pixels", 3, {size, size, 3}, pixels},
                                       matrix("features", features)};
    return fb_safetensors_write(o->ctx, path, tensors, 4);
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fputs("usage: model_outputs MODEL-FOLDER BACKEND TEXT IMAGE OUT\n", stderr);
        return 2;
    }
    outputs o = {.ctx = fb_context_create()};
    fb_status status = outputs_open(&o, argv[1], argv[2]);
    if (status == FB_OK)
        status = compute(&o, argv[3], argv[4], argv[5]);
    if (status != FB_OK)
        fprintf(stderr, "model_outputs: %s\n", fb_context_message(o.ctx));
    outputs_close(&o);
    return status == FB_OK ? 0 : 1;
}

/* image_rows.c - see image_rows.h. */
#include "models/image_rows.h"

#include <string.h>

fb_status fb_image_rows_declare(fb_params *params, fb_image_rows *rows,
                                const fb_model_config *config, fb_model_use use)
{
    fb_patch_encoder_options e = {.name = config->encoder,
                                  .each = config->each,
                                  .image_size = config->image_size,
                                  .grid = config->grid};
    memcpy(e.mean, config->mean, sizeof e.mean);
    memcpy(e.std, config->std, sizeof e.std);
    *rows = (fb_image_rows){.regions = config->regions,
                            .width = fb_model_config_features(config),
                            .views = config->views};
    if (rows->regions)
        return FB_OK;
    FB_TRY(fb_patch_encoder_declare(params, &rows->encoder, &e));
    if (use == FB_MODEL_TRAIN_FROZEN)
        fb_patch_encoder_freeze(params, &rows->encoder);
    return FB_OK;
}

void fb_image_rows_free(fb_image_rows *rows, fb_backend *be)
{
    fb_patch_encoder_free(&rows->encoder, be);
}

fb_status fb_image_rows_forward(fb_tape *tape, fb_var **x, fb_image_rows *rows,
                                const fb_batch *batch)
{
    if (rows->regions)
        return fb_image_rows_regions(tape, x, batch, rows->width);
    if (batch->regions)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "the batch has regions, but the model reads patches");
    if (batch->feature_width)
        return fb_patch_encoder_given(tape, x, &rows->encoder, batch->features,
                                      batch->feature_width, batch->images);
    if (tape->recording)
        return fb_patch_encoder_forward(tape, x, &rows->encoder, batch->pixels,
                                        batch->images);
    return fb_patch_encoder_look(tape, x, &rows->encoder, batch->pixels, batch->images,
                                 rows->views);
}

fb_status fb_image_rows_regions(fb_tape *tape, fb_var **x, const fb_batch *batch,
                                int32_t width)
{
    if (!batch->regions)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "the model reads regions, of which the batch has none");
    if (batch->feature_width != width)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "the batch has regions of width %d, the model reads %d",
                       (int)batch->feature_width, (int)width);
    return fb_patch_features_upload(tape, x, batch->features, fb_batch_rows(batch),
                                    width);
}

int32_t fb_image_rows_count(const fb_batch *batch)
{
    return fb_batch_rows(batch);
}

double fb_image_rows_flops(const fb_image_rows *rows, const fb_batch *batch)
{
    return batch->feature_width
               ? 0
               : batch->images * fb_patch_encoder_flops(&rows->encoder);
}

fb_status fb_image_rows_features(fb_tape *tape, fb_bf16 *features,
                                 fb_patch_encoder *encoder, const uint8_t *pixels,
                                 int32_t images, int32_t views)
{
    fb_var *x;
    const void *numbers;
    int64_t bad = -1;
    FB_TRY(fb_patch_encoder_look(tape, &x, encoder, pixels, images, views));
    FB_TRY(tape->be->k->find_nonfinite(tape->ctx, tape->be, &bad, &x->value));
    int64_t count = fb_tensor_count(&x->value);
    if (bad >= 0)
        return fb_fail(tape->ctx, FB_E_NUMBER,
                       "a feature of image %lld of these is not finite",
                       (long long)(bad / (count / images)));
    FB_TRY(fb_tape_read(tape, &numbers, &x->value));
    FB_TRY(fb_tape_fetch(tape));
    const float *f32 = numbers;
    if (x->value.dtype == FB_BF16)
        memcpy(features, numbers, fb_tensor_bytes(&x->value));
    else
        for (int64_t i = 0; i < count; i++)
            features[i] = fb_bf16_from_f32(f32[i]);
    return FB_OK;
}

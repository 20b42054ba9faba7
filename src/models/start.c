/* start.c - the weights that a training run starts with (system.h). */
#include "base/file.h"
#include "models/system.h"
#include "nn/patch_encoder.h"
#include "nn/weights.h"
#include "nn/weights_import.h"

fb_status fb_start_weights(fb_context *ctx, const fb_train_options *options,
                           const fb_start *start, fb_params *params)
{
    char path[4096];
    if (start->kind == FB_START_BERT)
        FB_TRY(fb_weights_read_bert(ctx, params, options->init, NULL, NULL));
    if (start->kind == FB_START_MODEL) {
        FB_TRY(fb_path_join(ctx, path, options->init, "model.safetensors"));
        FB_TRY(fb_weights_load_shared(ctx, params, path));
    }
    if (!options->encoder_weights[0])
        return FB_OK;
    const fb_encoder *encoder;
    FB_TRY(fb_encoder_get(ctx, &encoder, options->encoder));
    if (encoder->learns && fb_path_is_folder(options->encoder_weights)) {
        FB_TRY(fb_path_join(ctx, path, options->encoder_weights, "model.safetensors"));
        return fb_weights_load_part(ctx, params, path, FB_PATCH_ENCODER_PREFIX ".");
    }
    if (!encoder->import)
        return fb_fail(ctx, FB_E_USAGE,
                       "--encoder-weights %s: --encoder %s has no weights; name a "
                       "network, such as resnet18",
                       options->encoder_weights, encoder->name);
    return encoder->import(ctx, params, options->encoder_weights,
                           FB_PATCH_ENCODER_PREFIX ".", NULL);
}

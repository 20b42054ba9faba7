/* matcher.c - see matcher.h. */
#include "models/matcher.h"

#include <math.h>

fb_status fb_matcher_create(fb_context *ctx, fb_matcher **matcher,
                            const fb_model_config *config, fb_model_use use)
{
    switch (config->system) {
    case FB_SYSTEM_FASHIONBERT:
        return fb_fashionbert_create(ctx, matcher, config, use);
    case FB_SYSTEM_QTI:
        return fb_qti_create(ctx, matcher, config, use);
    case FB_SYSTEM_SELFIE:
        return fb_selfie_create(ctx, matcher, config, use);
    }
    return fb_fail(ctx, FB_E_USAGE, "there is no system %d", (int)config->system);
}

fb_status fb_matcher_check_loss(fb_tape *tape, double loss)
{
    if (isfinite(loss))
        return FB_OK;
    char where[160] = "";
    FB_TRY(fb_tape_find_nonfinite(tape, where, sizeof where));
    return fb_fail(tape->ctx, FB_E_NUMBER, "a loss is not finite; first in %s",
                   where[0] ? where : "the loss itself");
}

/* matcher.c - see matcher.h. */
#include "models/matcher.h"

#include <math.h>

fb_status fb_matcher_create(fb_context *ctx, fb_matcher **matcher,
                            const fb_model_config *config, fb_model_use use)
{
    return fb_model_config_system(config)->create(ctx, matcher, config, use);
}

bool fb_matcher_gives(const fb_matcher *matcher, uint32_t what)
{
    if ((what & FB_GIVES_VECTORS) && matcher->config.vector == 0)
        return false;
    return (matcher->system->gives & what) == what;
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

/* fuzz_config.c - any bytes as config.json over a preset. What is accepted passes the
 * check; what is refused leaves the preset as it was, to the byte. */
#include "models/model_config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fb_context ctx = {0};
    fb_model_config config, before;
    memset(&config, 0, sizeof config);
    if (fb_model_config_preset(&ctx, &config, "mini") != FB_OK)
        abort();
    memcpy(&before, &config, sizeof config);
    fb_status status =
        fb_model_config_parse(&ctx, &config, "fuzz", (const char *)data, size);
    if (status == FB_OK) {
        if (fb_model_config_check(&ctx, &config, "again") != FB_OK ||
            fb_model_config_features(&config) < 1 ||
            fb_model_config_patches(&config) < 1)
            abort();
    } else if (!ctx.message[0] || memcmp(&before, &config, sizeof config) != 0) {
        abort();
    }
    return 0;
}

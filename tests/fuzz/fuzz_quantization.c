/* fuzz_quantization.c - any bytes as quantization.json. What is accepted names its layers,
 * whose scales lie end to end and are finite and not negative. */
#include "nn/quantization.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fb_context ctx = {0};
    fb_quantization *q = NULL;
    fb_status status =
        fb_quantization_parse(&ctx, &q, "fuzz", (const char *)data, size);
    if ((status == FB_OK) != (q != NULL) || (status != FB_OK && !ctx.message[0]))
        abort();
    int64_t next = 0;
    for (int32_t i = 0; q && i < q->count; i++) {
        const fb_quantized_layer *layer = &q->layers[i];
        if (layer->offset != next || layer->outputs < 1 || strlen(layer->name) > size)
            abort();
        next += layer->outputs;
    }
    for (int64_t i = 0; q && i < q->total; i++)
        if (!isfinite(q->scales[i]) || q->scales[i] < 0)
            abort();
    if (q && next != q->total)
        abort();
    fb_quantization_free(q);
    return 0;
}

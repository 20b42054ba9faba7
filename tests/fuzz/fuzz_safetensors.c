/* fuzz_safetensors.c - any bytes as a safetensors file. What is accepted lies inside
 * the input and can be read to its last byte. Half of the inputs (first byte odd) are
 * taken as header and 16 bytes of data, so that the length need not be guessed. */
#include "nn/safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(fb_context *ctx, const fb_safetensors *file, const uint8_t *bytes,
                size_t size)
{
    for (int32_t i = 0; i < file->count; i++) {
        const fb_stored_tensor *t = &file->tensors[i];
        if (t->count < 0 || (size_t)t->count > size || t->bytes < bytes ||
            t->bytes > bytes + size)
            abort();
        float *out = malloc((size_t)t->count * sizeof(float) + 1);
        fb_status status = fb_safetensors_to_f32(ctx, t, out);
        if (status != FB_OK && status != FB_E_DTYPE)
            abort();
        if (!fb_safetensors_find(file, t->name))
            abort();
        free(out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    bool framed = data[0] & 1;
    uint64_t length = size - 1;
    size_t total = framed ? 8 + (size - 1) + 16 : size - 1;
    uint8_t *bytes = calloc(1, total + 1);
    if (!bytes)
        return 0;
    if (framed)
        memcpy(bytes, &length, 8);
    memcpy(bytes + (framed ? 8 : 0), data + 1, size - 1);
    uint8_t *exact = realloc(bytes, total ? total : 1); /* overreads are seen */
    fb_context ctx = {0};
    fb_safetensors *file = NULL;
    fb_status status = fb_safetensors_parse(&ctx, &file, "fuzz", exact, total);
    if ((status == FB_OK) != (file != NULL) || (status != FB_OK && !ctx.message[0]))
        abort();
    if (file)
        use(&ctx, file, exact, total);
    fb_safetensors_close(file);
    free(exact);
    return 0;
}

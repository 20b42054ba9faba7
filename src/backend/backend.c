/* backend.c - from a backend's and a dtype's name to a backend. */
#include "backend/backend.h"

#include <string.h>

fb_status fb_backend_create(fb_context *ctx, fb_backend **be, const char *name,
                            const char *dtype, int32_t threads)
{
    bool is_auto = strcmp(dtype, "auto") == 0, is_bf16 = strcmp(dtype, "bf16") == 0;
    if (!is_auto && !is_bf16 && strcmp(dtype, "f32") != 0)
        return fb_fail(ctx, FB_E_USAGE, "dtype \"%s\": want auto, f32 or bf16", dtype);
    if (threads < 0)
        return fb_fail(
            ctx, FB_E_USAGE,
            "threads %d: want a count, or 0 for all that this process may use",
            (int)threads);
    if (strcmp(name, "ref") == 0) {
        if (is_bf16)
            return fb_fail(ctx, FB_E_USAGE,
                           "dtype \"bf16\": the ref backend computes in f32 only; want "
                           "auto or f32");
        return fb_backend_create_ref(ctx, be, threads);
    }
    if (strcmp(name, "cpu") == 0) {
        bool in_bf16 = is_bf16 || (is_auto && fb_backend_cpu_has_bf16());
        return fb_backend_create_cpu(ctx, be, in_bf16 ? FB_BF16 : FB_F32, threads);
    }
    return fb_fail(ctx, FB_E_USAGE, "backend \"%s\": want cpu or ref", name);
}

void fb_backend_free(fb_backend *be)
{
    if (be)
        be->k->free(be);
}

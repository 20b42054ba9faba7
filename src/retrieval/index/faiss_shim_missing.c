/* faiss_shim_missing.c - in the place of faiss_shim.cpp where FAISS is not there. */
#include "retrieval/index/faiss_shim.h"

static fb_status unavailable(fb_context *ctx)
{
    return fb_fail(ctx, FB_E_STATE,
                   "this program was built without FAISS, which approximate indexes "
                   "need; use --kind exact, or install it (Debian: libfaiss-dev, "
                   "libopenblas-dev) and build again");
}

bool fb_ann_available(void)
{
    return false;
}

fb_status fb_ann_build(fb_context *ctx, fb_ann **ann, fb_ann_kind kind,
                       const struct fb_backend *be, const fb_stored *rows,
                       int32_t threads)
{
    (void)ann, (void)kind, (void)be, (void)rows, (void)threads;
    return unavailable(ctx);
}

fb_status fb_ann_write(fb_context *ctx, const fb_ann *ann, const char *path)
{
    (void)ann, (void)path;
    return unavailable(ctx);
}

fb_status fb_ann_open(fb_context *ctx, fb_ann **ann, const char *path, fb_ann_kind kind,
                      const struct fb_backend *be, const fb_stored *rows)
{
    (void)ann, (void)path, (void)kind, (void)be, (void)rows;
    return unavailable(ctx);
}

void fb_ann_close(fb_ann *ann)
{
    (void)ann;
}

fb_status fb_ann_search(fb_context *ctx, const fb_ann *ann, const float *query,
                        int32_t k, int32_t effort, const uint8_t *allowed,
                        int64_t *found)
{
    (void)ann, (void)query, (void)k, (void)effort, (void)allowed, (void)found;
    return unavailable(ctx);
}

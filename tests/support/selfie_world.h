/* selfie_world.h - for tests of Selfie: a small model with three images of 4 x 4
 * patches of which four are masked, weights and pixels from hashes of (name, place), as
 * in tools/hashed.py.
 */
#ifndef FB_TESTS_SELFIE_WORLD_H
#define FB_TESTS_SELFIE_WORLD_H

#include "models/selfie/selfie.h"
#include "support/hashed_weights.h"
#include "support/poison_backend.h"

enum { IMAGES = 3, GRID = 4, SIDE = 12, P = GRID * GRID, M = 4, SIZE = GRID * SIDE };
enum { WIDTH = 32, FEATURES = 256 };

static const int32_t masked_patches[IMAGES][M] = {
    {1, 6, 7, 12}, {0, 3, 9, 15}, {2, 6, 8, 13}};

typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_matcher *m;
    fb_batch *batch;
    fb_arena *arena;
    fb_tape tape;
} world;

static inline fb_model_config config(void)
{
    return (fb_model_config){.system = fb_systems_find("selfie"),
                             .layers = 2,
                             .width = WIDTH,
                             .heads = 4,
                             .inner = 48,
                             .vocab = 5,
                             .positions = 12,
                             .segments = 2,
                             .eps = 1e-12,
                             .init_std = 0.02,
                             .encoder = "thin",
                             .each = true,
                             .image_size = SIZE,
                             .grid = GRID,
                             .mean = {0.5, 0.5, 0.5},
                             .std = {0.25, 0.25, 0.25},
                             .max_text = 12,
                             .views = 1};
}

static inline void fill_batch(fb_batch *b)
{
    b->images = IMAGES;
    b->texts = b->pairs = 0;
    b->text_offsets[0] = b->seq_offsets[0] = 0;
    fill_pixels(b->pixels, "pixels1", (int64_t)IMAGES * SIZE * SIZE * 3);
    memset(b->patch_masked, 0, IMAGES * P);
    for (int32_t i = 0; i < IMAGES; i++)
        for (int32_t j = 0; j < M; j++)
            b->patch_masked[i * P + masked_patches[i][j]] = 1;
}

static inline void must(const world *w, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s: %s", fb_status_name(status), fb_context_message(w->ctx));
}

/* False: this machine lacks the dtype. */
static inline bool world_open(world *w, const char *backend, const char *dtype)
{
    if (strcmp(dtype, "bf16") == 0 && !fb_backend_cpu_has_bf16())
        return false;
    *w = (world){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 20)};
    const fb_batch_limits limits = {1, 1, IMAGES, 1, P, SIZE};
    fb_model_config c = config();
    must(w, fb_model_config_check(w->ctx, &c, "test"));
    must(w, test_backend_create(w->ctx, &w->be, backend, dtype, 2));
    must(w, fb_matcher_create(w->ctx, &w->m, &c, FB_MODEL_TRAIN));
    must(w, fb_batch_create(w->ctx, &w->batch, &limits, 1));
    fill_parameters(w->m->params, 0);
    must(w, fb_params_move(w->ctx, w->m->params, w->be));
    fill_batch(w->batch);
    return true;
}

static inline void world_close(world *w)
{
    w->m->system->free(w->m, w->be);
    fb_batch_free(w->batch);
    fb_arena_free(w->arena);
    fb_backend_free(w->be);
    fb_context_free(w->ctx);
}

static inline void begin(world *w, bool recording)
{
    fb_arena_reset(w->arena);
    fb_tape_begin(&w->tape, w->ctx, w->be, w->arena, recording);
}

static inline fb_selfie_pass forward(world *w, bool recording)
{
    fb_selfie_pass pass;
    begin(w, recording);
    must(w, fb_selfie_forward((fb_selfie *)w->m, &w->tape, w->batch, &pass));
    return pass;
}

static inline double number(const fb_tensor *t, int64_t i)
{
    return t->dtype == FB_F32 ? (double)((const float *)t->data)[i]
                              : (double)fb_bf16_to_f32(((const fb_bf16 *)t->data)[i]);
}

#endif

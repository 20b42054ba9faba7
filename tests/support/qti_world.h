/* qti_world.h - for tests of Query-Title-Image matching: a small model, two queries,
 * three titles, three images and eleven sequences of them; weights and pixels from
 * hashes of (name, place), as in tools/hashed.py.
 */
#ifndef FB_TESTS_QTI_WORLD_H
#define FB_TESTS_QTI_WORLD_H

#include "data/batch/sampler.h"
#include "models/qti/qti_model.h"
#include "support/hashed_weights.h"
#include "support/poison_backend.h"
#include "tensor/batch.h"

enum {
    QUERIES = 2,
    TITLES = 3,
    TEXTS = QUERIES + TITLES,
    IMAGES = 3,
    P = 4,
    SIZE = 16
};
enum { WIDTH = 32, VOCAB = 40, SEQUENCES = 11, TRIPLES = 4 };

/* Queries, then titles; [CLS] is 2, [SEP] 3. */
static const int32_t texts[TEXTS][7] = {{4, 2, 11, 4, 3},
                                        {5, 2, 12, 5, 30, 3},
                                        {6, 2, 4, 13, 21, 7, 3},
                                        {4, 2, 30, 9, 3},
                                        {2, 2, 3}}; /* length first */

/* query, title (number of the text), image, label */
static const int32_t sequences[SEQUENCES][4] = {
    {0, 2, 0, 1},  {1, 3, 1, 1},  {0, 3, 1, 0},  {1, 4, 2, 0},
    {0, 2, -1, 1}, {0, 3, -1, 0}, {1, -1, 1, 1}, {1, -1, 2, 0},
    {0, -1, 0, 1}, {-1, 2, 0, 1}, {-1, 2, 1, 0}};

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
    return (fb_model_config){.system = fb_systems_find("qti"),
                             .layers = 2,
                             .width = WIDTH,
                             .heads = 4,
                             .inner = 48,
                             .vocab = VOCAB,
                             .positions = 12,
                             .segments = FB_SEGMENTS_QTI,
                             .eps = 1e-12,
                             .init_std = 0.2,
                             .encoder = "pixels",
                             .image_size = SIZE,
                             .grid = 2,
                             .mean = {0.5, 0.5, 0.5},
                             .std = {0.25, 0.25, 0.25},
                             .max_text = 12,
                             .views = 1};
}

/* Row `row` of a sequence. */
static inline int32_t row_of(const fb_batch *b, int32_t sequence, int32_t row)
{
    return b->seq_offsets[sequence] + row;
}

static inline int32_t patch_row(const fb_batch *b, int32_t sequence, int32_t patch)
{
    return b->seq_offsets[sequence + 1] - P + patch;
}

/* Masks: patch 1 of image 0 and patch 3 of image 1; three words of the two matched
 * triples are to be guessed. */
static inline void fill_batch(fb_batch *b)
{
    fb_batch_clear(b);
    for (int32_t t = 0; t < TEXTS; t++)
        t < QUERIES ? fb_batch_add_query(b, texts[t] + 1, texts[t][0])
                    : fb_batch_add_text(b, texts[t] + 1, texts[t][0]);
    for (int32_t i = 0; i < IMAGES; i++)
        fb_batch_add_image(b);
    fill_pixels(b->pixels, "pixels", (int64_t)IMAGES * SIZE * SIZE * 3);
    b->patch_masked[0 * P + 1] = b->patch_masked[1 * P + 3] = 1;
    for (int32_t i = 0; i < SEQUENCES; i++)
        fb_batch_add_pair(b, sequences[i][0], sequences[i][1], sequences[i][2],
                          sequences[i][3]);
    fb_batch_pack(b);
    b->mlm_count = 3;
    const int32_t rows[3] = {row_of(b, 0, 1), row_of(b, 0, 5), row_of(b, 1, 3)};
    memcpy(b->mlm_rows, rows, sizeof rows);
    memcpy(b->mlm_targets, (int32_t[]){26, 13, 5}, 3 * sizeof(int32_t));
    b->mpm_count = 2;
    b->mpm_rows[0] = patch_row(b, 0, 1);
    b->mpm_rows[1] = patch_row(b, 1, 3);
    b->mpm_patches[0] = 0 * P + 1;
    b->mpm_patches[1] = 1 * P + 3;
}

static inline void must(const world *w, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s: %s", fb_status_name(status), fb_context_message(w->ctx));
}

/* False: this machine lacks the dtype. */
static inline bool world_open(world *w, int32_t patches_from, const char *backend,
                              const char *dtype)
{
    if (strcmp(dtype, "bf16") == 0 && !fb_backend_cpu_has_bf16())
        return false;
    *w = (world){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 20)};
    const fb_batch_limits limits = {SEQUENCES, TEXTS, IMAGES, 64, P, SIZE};
    fb_model_config c = config();
    c.patches_from = patches_from;
    must(w, fb_model_config_check(w->ctx, &c, "test"));
    must(w, test_backend_create(w->ctx, &w->be, backend, dtype, 2));
    must(w, fb_matcher_create(w->ctx, &w->m, &c, FB_MODEL_TRAIN));
    must(w, fb_batch_create(w->ctx, &w->batch, &limits, 12));
    must(w, fb_batch_add_queries(w->ctx, w->batch, &limits));
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

static const bool every_loss[FB_LOSSES_ALL] = {true, true, true, true, true, true};

static inline fb_fashionbert_pass forward(world *w, bool recording)
{
    fb_fashionbert_pass pass;
    begin(w, recording);
    must(w,
         fb_qti_forward((fb_qti *)w->m, &w->tape, w->batch, every_loss, true, &pass));
    return pass;
}

static inline double number(const fb_tensor *t, int64_t i)
{
    return t->dtype == FB_F32 ? (double)((const float *)t->data)[i]
                              : (double)fb_bf16_to_f32(((const fb_bf16 *)t->data)[i]);
}

#endif

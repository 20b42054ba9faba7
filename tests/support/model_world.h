/* model_world.h - for tests of the whole model: a small one with a batch of five pairs,
 * three texts and three images, on any backend and dtype.
 */
#ifndef FB_TESTS_MODEL_WORLD_H
#define FB_TESTS_MODEL_WORLD_H

#include "base/random.h"
#include "models/fashionbert/fashionbert_parts.h"
#include "support/poison_backend.h"
#include "support/step_numbers.h"

enum { TEXTS = 3, IMAGES = 3, PAIRS = 5, P = 4, SIZE = 16, VOCAB = 40, TOKENS = 15 };

static const int32_t text_offsets[TEXTS + 1] = {0, 6, 8, TOKENS};
static const int32_t pairs[PAIRS][3] = {
    {0, 0, 1}, {1, 1, 1}, {2, 2, 1}, {0, 2, 0}, {1, 0, 0}};

typedef struct kind {
    const char *backend, *dtype;
    double tolerance; /* of scores and losses */
} kind;

static const kind kinds[] = {
    {"ref", "f32", 2e-6}, {"cpu", "f32", 1e-5}, {"cpu", "bf16", 2e-2}};

typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_matcher *m;
    fb_batch *batch;
    fb_arena *arena;
    fb_tape tape;
    float dropout;
    uint64_t key;
} world;

static inline fb_model_config config(void)
{
    return (fb_model_config){.layers = 2,
                             .width = 32,
                             .heads = 4,
                             .inner = 48,
                             .vocab = VOCAB,
                             .positions = 12,
                             .segments = 2,
                             .eps = 1e-12,
                             .init_std = 0.2,
                             .dropout = 0.3,
                             .encoder = "pixels",
                             .image_size = SIZE,
                             .grid = 2,
                             .mean = {0.5, 0.5, 0.5},
                             .std = {0.25, 0.25, 0.25},
                             .max_text = 12,
                             .views = 1};
}

/* Masks: patch 1 of image 0 and patch 3 of image 2; the matched pairs carry the losses.
 */
static inline void fill_batch(fb_batch *b)
{
    fb_random r = fb_random_start(8, FB_STREAM_TEST, 0);
    b->pairs = PAIRS;
    b->texts = TEXTS;
    b->images = IMAGES;
    memcpy(b->text_offsets, text_offsets, sizeof text_offsets);
    for (int32_t t = 0; t < TEXTS; t++)
        for (int32_t i = text_offsets[t]; i < text_offsets[t + 1]; i++) {
            b->token_ids[i] = (int32_t)fb_random_below(&r, VOCAB);
            b->token_positions[i] = i - text_offsets[t];
            b->token_segments[i] = 0;
        }
    for (int i = 0; i < IMAGES * SIZE * SIZE * 3; i++)
        b->pixels[i] = (uint8_t)fb_random_below(&r, 256);
    memset(b->patch_masked, 0, IMAGES * P);
    b->patch_masked[0 * P + 1] = b->patch_masked[2 * P + 3] = 1;
    for (int i = 0; i < PAIRS; i++) {
        b->pair_text[i] = pairs[i][0];
        b->pair_image[i] = pairs[i][1];
        b->pair_label[i] = pairs[i][2];
    }
    fb_batch_pack(b);
    b->mlm_count = 3;
    const int32_t rows[3] = {2, b->seq_offsets[1] + 1, b->seq_offsets[2] + 4};
    memcpy(b->mlm_rows, rows, sizeof rows);
    memcpy(b->mlm_targets, (int32_t[]){7, 0, VOCAB - 1}, 3 * sizeof(int32_t));
    b->mpm_count = 2; /* text lengths 6 and 7 */
    b->mpm_rows[0] = b->seq_offsets[0] + 6 + 1;
    b->mpm_rows[1] = b->seq_offsets[2] + 7 + 3;
    b->mpm_patches[0] = 0 * P + 1;
    b->mpm_patches[1] = 2 * P + 3;
}

/* False: this machine lacks the dtype. */
static inline bool world_open_as(world *w, const kind *k, fb_model_config c,
                                 fb_model_use use)
{
    if (strcmp(k->dtype, "bf16") == 0 && !fb_backend_cpu_has_bf16())
        return false;
    *w = (world){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 16)};
    const fb_batch_limits limits = {PAIRS, TEXTS, IMAGES, TOKENS, P, SIZE};
    assert_int_equal(fb_model_config_check(w->ctx, &c, "test"), FB_OK);
    assert_int_equal(test_backend_create(w->ctx, &w->be, k->backend, k->dtype, 2),
                     FB_OK);
    assert_int_equal(fb_matcher_create(w->ctx, &w->m, &c, use), FB_OK);
    assert_int_equal(fb_batch_create(w->ctx, &w->batch, &limits, 7), FB_OK);
    fb_params_initialise(w->m->params, 12);
    assert_int_equal(fb_params_move(w->ctx, w->m->params, w->be), FB_OK);
    fill_batch(w->batch);
    return true;
}

static inline bool world_open(world *w, const kind *k)
{
    return world_open_as(w, k, config(), FB_MODEL_TRAIN);
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
    if (w->dropout > 0)
        fb_tape_set_dropout(&w->tape, w->dropout, w->key);
}

static inline void must(const world *w, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s: %s", fb_status_name(status), fb_context_message(w->ctx));
}

static inline step_numbers train(world *w, const fb_loss_options *options)
{
    fb_measures measures;
    begin(w, true);
    must(w, w->m->system->train_batch(w->m, &w->tape, w->batch, options, &measures));
    return step_numbers_of(&measures);
}

/* As train(), but for the gradients; with the norms that the weights were made of. */
static inline fb_pass_losses weigh(world *w, const fb_loss_options *options)
{
    fb_fashionbert *m = (fb_fashionbert *)w->m;
    fb_fashionbert_pass pass;
    fb_pass_losses losses;
    begin(w, true);
    must(w, fb_fashionbert_forward_training(m, &w->tape, w->batch, options, &pass));
    must(w, fb_fashionbert_record(&w->tape, &pass, &losses));
    must(w, fb_fashionbert_weigh(m, &w->tape, &pass, options, &losses));
    return losses;
}

static inline size_t block_bytes(const world *w)
{
    return (size_t)w->m->params->trained * sizeof(float);
}

static inline void clear_gradients(world *w)
{
    memset(w->m->params->grad, 0, block_bytes(w));
}

static inline float *copy_gradients(const world *w)
{
    float *copy = malloc(block_bytes(w));
    memcpy(copy, w->m->params->grad, block_bytes(w));
    return copy;
}

static inline void score(world *w, const fb_batch *batch, float *scores)
{
    begin(w, false);
    must(w, w->m->system->score(w->m, &w->tape, batch, scores)); /* margins */
    for (int32_t i = 0; i < batch->pairs; i++)
        scores[i] = 1.0f / (1.0f + expf(-scores[i]));
}

#define EACH_KIND(w)                                                                   \
    for (size_t kind_ = 0; kind_ < 3; kind_++)                                         \
        if (world_open(&(w), &kinds[kind_]))

#endif

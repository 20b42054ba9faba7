/* test_cca.c - CCA from a stream of batches to vectors, against NumPy's solution of the
 * same products (tools/make_cca_dump.py), on every backend and one with a memory of its
 * own; kernels; what it refuses.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/cca/cca_model.h"
#include "nn/safetensors.h"
#include "support/poison_backend.h"

enum { ITEMS = 40, BATCH = 16, V = 24, SIZE = 8, GRID = 4, K = 6, TOKENS = 7 };

typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_matcher *m;
    fb_batch *batch;
    fb_arena *arena;
    fb_safetensors *dump;
    int32_t number, batches; /* of the stream */
} world;

static void must(const world *w, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(w->ctx));
}

static const fb_stored_tensor *dumped(const world *w, const char *name)
{
    const fb_stored_tensor *t = fb_safetensors_find(w->dump, name);
    if (!t)
        fail_msg("the dump has no %s", name);
    return t;
}

/* Items number * BATCH up, beginning anew behind the last. */
static void fill(world *w, int32_t number)
{
    fb_batch *b = w->batch;
    const int32_t *ids = (const void *)dumped(w, "model/token_ids")->bytes;
    const int32_t *offsets = (const void *)dumped(w, "model/text_offsets")->bytes;
    const uint8_t *pixels = dumped(w, "model/pixels")->bytes;
    const int64_t image = SIZE * SIZE * 3;
    fb_batch_clear(b);
    for (int32_t i = 0; i < BATCH; i++) {
        int32_t item = (number * BATCH + i) % ITEMS;
        assert_int_equal(fb_batch_add_text(b, ids + offsets[item],
                                           offsets[item + 1] - offsets[item]),
                         i);
        assert_int_equal(fb_batch_add_image(b), i);
        memcpy(fb_batch_pixels(b, i), pixels + item * image, (size_t)image);
        fb_batch_add_pair(b, -1, i, i, 1);
    }
    fb_batch_pack(b);
}

static fb_status next(void *self, fb_context *ctx, const fb_batch **batch)
{
    world *w = self;
    (void)ctx;
    *batch = NULL;
    if (w->number == w->batches)
        return FB_OK;
    fill(w, w->number++);
    *batch = w->batch;
    return FB_OK;
}

static fb_model_config config_of(const fb_cca_config *own)
{
    fb_model_config c = {.layers = 1,
                         .width = 8,
                         .heads = 1,
                         .inner = 8,
                         .vocab = V,
                         .positions = 8,
                         .segments = 2,
                         .eps = 1e-12,
                         .init_std = 0.02,
                         .encoder = "pixels",
                         .image_size = SIZE,
                         .grid = GRID,
                         .mean = {0.485, 0.456, 0.406},
                         .std = {0.229, 0.224, 0.225},
                         .max_text = 8,
                         .vector = K,
                         .views = 1,
                         .score = FB_SCORE_ITC,
                         .similarity_weight = 1};
    fb_model_config_set_system(&c, &fb_cca_system);
    memcpy(&c.own, own, sizeof *own);
    return c;
}

static const fb_cca_config linear = {
    .text_width = 12, .cells = 2, .ridge = {1e-2, 1e-2}, .power = 2};

static void world_open(world *w, const char *backend, const char *dtype,
                       const fb_cca_config *own)
{
    const fb_batch_limits limits = {BATCH,          BATCH,       BATCH,
                                    BATCH * TOKENS, GRID * GRID, SIZE};
    fb_model_config c = config_of(own);
    fb_train_options o;
    fb_train_options_defaults(&o);
    *w = (world){
        .ctx = fb_context_create(), .arena = fb_arena_create(1 << 16), .batches = 3};
    must(w, fb_safetensors_open(w->ctx, &w->dump,
                                FB_TEST_DATA "/golden/cca/reference.safetensors"));
    must(w, fb_model_config_check(w->ctx, &c, "test"));
    must(w, test_backend_create(w->ctx, &w->be, backend, dtype, 2));
    must(w, fb_matcher_create(w->ctx, &w->m, &c, FB_MODEL_TRAIN));
    must(w, fb_batch_create(w->ctx, &w->batch, &limits, TOKENS));
    fb_params_initialise(w->m->params, 1);
    must(w,
         fb_cca_system.begin(w->ctx, w->m, &o, &(fb_start){.kind = FB_START_RANDOM}));
    must(w, fb_params_move(w->ctx, w->m->params, w->be));
}

static void world_close(world *w)
{
    w->m->system->free(w->m, w->be);
    fb_arena_free(w->arena);
    fb_batch_free(w->batch);
    fb_safetensors_close(w->dump);
    if (!w->be->m->host)
        assert_int_equal(poison_backend_live(w->be), 0);
    fb_backend_free(w->be);
    fb_context_free(w->ctx);
}

static fb_status fit(world *w)
{
    const fb_batch_stream stream = {ITEMS, w, next, w->be, w->arena};
    w->number = 0;
    return fb_cca_fit(w->ctx, w->m, &stream);
}

/* Vectors of all items, texts and images. */
static void vectors_of(world *w, float *texts, float *images)
{
    for (int32_t n = 0; n * BATCH < ITEMS; n++) {
        float out[2][BATCH * K];
        fb_tape tape = {0};
        fill(w, n);
        fb_arena_reset(w->arena);
        fb_tape_begin(&tape, w->ctx, w->be, w->arena, false);
        must(w, fb_cca_vectors(w->m, &tape, w->batch, out[0], out[1]));
        int32_t left = ITEMS - n * BATCH;
        size_t rows = (size_t)(left < BATCH ? left : BATCH);
        memcpy(texts + n * BATCH * K, out[0], rows * K * sizeof(float));
        memcpy(images + n * BATCH * K, out[1], rows * K * sizeof(float));
    }
}

static double dot(const float *a, const float *b)
{
    double sum = 0;
    for (int32_t i = 0; i < K; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static void check(const char *backend, const char *dtype, double tolerance)
{
    world w;
    float texts[ITEMS * K], images[ITEMS * K];
    world_open(&w, backend, dtype, &linear);
    must(&w, fit(&w));
    vectors_of(&w, texts, images);
    const double *scores = (const void *)dumped(&w, "model/scores")->bytes;
    const double *u = (const void *)dumped(&w, "model/images")->bytes;
    for (int32_t i = 0; i < ITEMS; i++) {
        for (int32_t j = 0; j < ITEMS; j++) {
            double got = dot(images + i * K, texts + j * K);
            if (!(fabs(got - scores[i * ITEMS + j]) <= tolerance))
                fail_msg("%s: score %d, %d is %.9g, NumPy has %.9g", backend, (int)i,
                         (int)j, got, scores[i * ITEMS + j]);
        }
        for (int32_t k = 0; k < K; k++)
            assert_true(fabs(fabs((double)images[i * K + k]) - fabs(u[i * K + k])) <=
                        tolerance);
    }
    world_close(&w);
}

static void vectors_equal_numpy_s_on_every_backend(void **state)
{
    (void)state;
    check("ref", "f32", 1e-5);
    check("cpu", "f32", 1e-5);
    check("poison", "f32", 1e-5);
    if (fb_backend_cpu_has_bf16())
        check("cpu", "bf16", 0.05);
}

/* The epoch's last batch goes on into the next: its last 8 items do not count twice. */
static void products_of_the_next_epoch_do_not_count(void **state)
{
    (void)state;
    world w;
    float with[2][ITEMS * K], without[2][ITEMS * K];
    world_open(&w, "ref", "f32", &linear);
    must(&w, fit(&w));
    vectors_of(&w, with[0], with[1]);
    w.batches = 5;
    must(&w, fit(&w));
    vectors_of(&w, without[0], without[1]);
    assert_memory_equal(with, without, sizeof with);
    world_close(&w);
}

/* Right among all of the split, both ways. */
static int32_t right_of(const float *texts, const float *images)
{
    int32_t right = 0;
    for (int32_t i = 0; i < ITEMS; i++) {
        bool text = true, image = true;
        double own = dot(texts + i * K, images + i * K);
        for (int32_t j = 0; j < ITEMS; j++) {
            text = text && (j == i || dot(texts + i * K, images + j * K) < own);
            image = image && (j == i || dot(texts + j * K, images + i * K) < own);
        }
        right += text + image;
    }
    return right;
}

/* With as many frequencies as products every one can be told from the others, where the
 * linear map can't. */
static void kernels_of_either_side_learn_what_lines_cannot(void **state)
{
    (void)state;
    static const int32_t kernels[][2] = {{128, 0}, {128, 128}};
    float texts[ITEMS * K], images[ITEMS * K];
    world w;
    world_open(&w, "ref", "f32", &linear);
    must(&w, fit(&w));
    vectors_of(&w, texts, images);
    int32_t before = right_of(texts, images);
    world_close(&w);
    for (int i = 0; i < 2; i++) {
        fb_cca_config own = linear;
        own.kernel[0] = kernels[i][0];
        own.kernel[1] = kernels[i][1];
        own.ridge[0] = own.ridge[1] = 1e-5;
        world_open(&w, i ? "poison" : "ref", "f32", &own);
        must(&w, fit(&w));
        vectors_of(&w, texts, images);
        int32_t right = right_of(texts, images);
        if (!(right > before && right > ITEMS))
            fail_msg("%d of %d are right with a kernel, %d without", (int)right,
                     2 * ITEMS, (int)before);
        world_close(&w);
    }
}

static void ridges_are_chosen_where_none_is_given(void **state)
{
    (void)state;
    world w;
    fb_cca_config own = linear;
    own.ridge[0] = own.ridge[1] = 0;
    world_open(&w, "ref", "f32", &own);
    must(&w, fit(&w)); /* of 40 products none can be held out */
    world_close(&w);
}

static void images_that_are_all_the_same_are_refused(void **state)
{
    (void)state;
    world w;
    world_open(&w, "ref", "f32", &linear);
    fb_stored_tensor *t = (fb_stored_tensor *)(uintptr_t)dumped(&w, "model/pixels");
    uint8_t *grey = calloc(1, (size_t)t->count);
    assert_non_null(grey);
    t->bytes = grey;
    assert_int_equal(fit(&w), FB_E_NUMBER);
    assert_non_null(
        strstr(fb_context_message(w.ctx), "the images' vectors are the same"));
    world_close(&w);
    free(grey);
}

static void configure_takes_what_fits_and_refuses_what_does_not(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_model_config c =
        config_of(&(fb_cca_config){.text_width = 2048, .kernel = {-1, 0}});
    fb_train_options o;
    fb_start start = {.rows = 30};
    fb_train_options_defaults(&o);
    o.vector_size = 0;
    assert_int_equal(fb_cca_system.configure(ctx, &c, &o, &start), FB_OK);
    assert_int_equal(fb_cca_config_of(&c)->cells, GRID);
    assert_int_equal(fb_cca_config_of(&c)->kernel[0], 64);
    assert_int_equal(c.vector, V);
    start.rows = 10;
    assert_int_equal(fb_cca_system.configure(ctx, &c, &o, &start), FB_OK);
    assert_int_equal(c.vector, 9);
    o.vector_size = 20;
    assert_int_equal(fb_cca_system.configure(ctx, &c, &o, &start), FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(ctx), "needs 21 products"));
    o.vector_size = 100;
    assert_int_equal(fb_cca_system.configure(ctx, &c, &o, &start), FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(ctx), "has 24 coordinates at most"));
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_equal_numpy_s_on_every_backend),
        cmocka_unit_test(products_of_the_next_epoch_do_not_count),
        cmocka_unit_test(kernels_of_either_side_learn_what_lines_cannot),
        cmocka_unit_test(ridges_are_chosen_where_none_is_given),
        cmocka_unit_test(images_that_are_all_the_same_are_refused),
        cmocka_unit_test(configure_takes_what_fits_and_refuses_what_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

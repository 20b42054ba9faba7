/* test_dcca.c - DCCA against PyTorch (tools/make_cca_dump.py): outputs, the loss and every
 * gradient; training on a backend with a memory of its own has ref's bits; the projection
 * on top is of the weights as they stand; what it refuses.
 */
#include <math.h>
#include <string.h>

#include "models/dcca/dcca_model.h"
#include "nn/optimizer.h"
#include "support/model_dump.h"
#include "support/poison_backend.h"

enum { ITEMS = 12, PATCHES = 4, SIZE = 4, O = 3, TOKENS = 6 };

static const char *const path = FB_TEST_DATA "/golden/dcca/reference.safetensors";

static fb_model_config config_of(void)
{
    fb_model_config c = {.layers = 1,
                         .width = 8,
                         .heads = 1,
                         .inner = 8,
                         .vocab = 24,
                         .positions = 8,
                         .segments = 2,
                         .eps = 1e-12,
                         .init_std = 0.02,
                         .encoder = "pixels",
                         .image_size = SIZE,
                         .grid = 2,
                         .mean = {0.485, 0.456, 0.406},
                         .std = {0.229, 0.224, 0.225},
                         .max_text = 8,
                         .vector = O,
                         .views = 1,
                         .score = FB_SCORE_ITC,
                         .similarity_weight = 1};
    fb_model_config_set_system(&c, &fb_dcca_system);
    fb_dcca_config *own = (fb_dcca_config *)(void *)&c.own;
    own->hidden = 7;
    own->depth = 2;
    own->embedding = 5;
    own->ridge[0] = 1e-3;
    own->ridge[1] = 0.05;
    return c;
}

static void fill(model_dump *d)
{
    const fb_batch_limits limits = {ITEMS, ITEMS, ITEMS, ITEMS * TOKENS, PATCHES, SIZE};
    assert_int_equal(fb_batch_create(d->ctx, &d->batch, &limits, TOKENS), FB_OK);
    fb_batch *b = d->batch;
    b->texts = b->images = b->pairs = ITEMS;
    model_dump_fill(d);
    for (int32_t i = 0; i < ITEMS; i++) {
        b->pair_text[i] = b->pair_image[i] = b->text_group[i] = b->image_group[i] = i;
        b->pair_label[i] = 1;
    }
    fb_batch_pack(b);
}

static void must(const model_dump *d, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(d->ctx));
}

static void check(const char *backend, const char *dtype, double tolerance)
{
    model_dump d;
    fb_tape tape = {0};
    fb_measures measures;
    fb_var *h[2];
    const fb_model_config c = config_of();
    model_dump_open(&d, path, &c, backend, dtype);
    fill(&d);
    fb_tape_begin(&tape, d.ctx, d.be, d.arena, false);
    for (int v = 0; v < 2; v++)
        must(&d, fb_dcca_forward((fb_dcca *)d.matcher, &tape, d.batch, v, &h[v]));
    model_dump_compare_tensor(&d, "image_outputs", &h[0]->value, tolerance);
    model_dump_compare_tensor(&d, "text_outputs", &h[1]->value, tolerance);
    fb_arena_reset(d.arena);
    fb_tape_begin(&tape, d.ctx, d.be, d.arena, true);
    must(&d, fb_dcca_train_batch(d.matcher, &tape, d.batch, NULL, &measures));
    float want, got = (float)measures.total;
    model_dump_numbers(&d, "", "loss", &want, 1);
    model_dump_compare("loss", &got, &want, 1, tolerance);
    model_dump_compare_block(&d, "grad/", d.matcher->params->grad, tolerance * 5,
                             "projection");
    model_dump_close(&d);
}

static void ref_equals_pytorch(void **state)
{
    (void)state;
    check("ref", "f32", 2e-5);
}

static void cpu_equals_pytorch(void **state)
{
    (void)state;
    check("cpu", "f32", 2e-5);
}

/* ---- on two backends --------------------------------------------------------------- */

typedef struct stream {
    const fb_batch *batch;
    int32_t left;
} stream;

static fb_status next(void *self, fb_context *ctx, const fb_batch **batch)
{
    stream *s = self;
    (void)ctx;
    *batch = s->left-- > 0 ? s->batch : NULL;
    return FB_OK;
}

static fb_status finish(model_dump *d)
{
    stream s = {d->batch, 1};
    const fb_batch_stream batches = {ITEMS, &s, next, d->be, d->arena};
    return fb_dcca_finish(d->ctx, d->matcher, &batches);
}

static void step(model_dump *d, int64_t number)
{
    const fb_optimizer_options o = {
        .lr = 1e-2, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-8};
    fb_optimizer_figures figures;
    fb_measures measures;
    fb_tape tape = {0};
    fb_arena_reset(d->arena);
    fb_tape_begin(&tape, d->ctx, d->be, d->arena, true);
    must(d, fb_dcca_train_batch(d->matcher, &tape, d->batch, NULL, &measures));
    must(d, fb_optimizer_step(d->ctx, d->matcher->params, d->be, &o, number, 40, 1,
                              &figures));
    assert_true(figures.norm > 0);
}

static void open_on(model_dump *d, const char *backend)
{
    const fb_model_config c = config_of();
    model_dump_open(d, path, &c, "ref", "f32");
    fill(d);
    fb_backend_free(d->be);
    must(d, test_backend_create(d->ctx, &d->be, backend, "f32", 1));
    must(d, fb_params_move(d->ctx, d->matcher->params, d->be));
}

static void training_and_projection_have_refs_bits_on_poison(void **state)
{
    (void)state;
    model_dump d[2];
    float vectors[2][2][ITEMS * O];
    for (int i = 0; i < 2; i++) {
        fb_tape tape = {0};
        open_on(&d[i], i ? "poison" : "ref");
        for (int64_t n = 0; n < 3; n++)
            step(&d[i], n);
        must(&d[i], finish(&d[i]));
        fb_arena_reset(d[i].arena);
        fb_tape_begin(&tape, d[i].ctx, d[i].be, d[i].arena, false);
        must(&d[i], fb_dcca_vectors(d[i].matcher, &tape, d[i].batch, vectors[i][0],
                                    vectors[i][1]));
        must(&d[i], fb_params_fetch(d[i].ctx, d[i].matcher->params, d[i].be));
    }
    assert_memory_equal(vectors[0], vectors[1], sizeof vectors[0]);
    assert_memory_equal(d[0].matcher->params->value, d[1].matcher->params->value,
                        (size_t)d[0].matcher->params->total * sizeof(float));
    for (int i = 0; i < 2; i++)
        model_dump_close(&d[i]);
}

static double distance(model_dump *d)
{
    fb_measures measures;
    fb_tape tape = {0};
    fb_arena_reset(d->arena);
    fb_tape_begin(&tape, d->ctx, d->be, d->arena, false);
    must(d, fb_dcca_system.losses(d->matcher, &tape, d->batch, NULL, &measures));
    return fb_measures_find(&measures, "distance")->value;
}

/* What was solved from older weights does not fit: the distance of what belongs together
 * is larger than after another finish. */
static void the_projection_belongs_to_its_weights(void **state)
{
    (void)state;
    model_dump d;
    open_on(&d, "ref");
    must(&d, finish(&d));
    double at_first = distance(&d);
    for (int64_t n = 0; n < 20; n++)
        step(&d, n);
    double stale = distance(&d);
    must(&d, finish(&d));
    double fresh = distance(&d);
    assert_true(fresh < stale && fresh < at_first);
    must(&d, finish(&d));
    assert_true(distance(&d) == fresh);
    model_dump_close(&d);
}

static void batches_that_are_too_small_are_refused_with_the_number_needed(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_model_config c = config_of();
    fb_train_options o;
    fb_start start = {.rows = 1000};
    fb_train_options_defaults(&o);
    o.batch = 100;
    o.vector_size = 100;
    assert_int_equal(fb_dcca_system.configure(ctx, &c, &o, &start), FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(ctx), "--batch 100 is too small"));
    assert_non_null(strstr(fb_context_message(ctx), "at least 101 products"));
    start.rows = 50;
    assert_int_equal(fb_dcca_system.configure(ctx, &c, &o, &start), FB_E_USAGE);
    assert_non_null(
        strstr(fb_context_message(ctx), "needs 101 products of split train"));
    o.vector_size = 0;
    assert_int_equal(fb_dcca_system.configure(ctx, &c, &o, &start), FB_OK);
    assert_int_equal(c.vector, 8);
    o.batch = 800;
    start.rows = 100000;
    assert_int_equal(fb_dcca_system.configure(ctx, &c, &o, &start), FB_OK);
    assert_int_equal(c.vector, 66);
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ref_equals_pytorch),
        cmocka_unit_test(cpu_equals_pytorch),
        cmocka_unit_test(training_and_projection_have_refs_bits_on_poison),
        cmocka_unit_test(the_projection_belongs_to_its_weights),
        cmocka_unit_test(batches_that_are_too_small_are_refused_with_the_number_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

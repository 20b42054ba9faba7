/* test_selfie.c - what Selfie promises, on every backend and dtype: hidden patches stay
 * hidden, places matter, guessing has chance, masks that do not fit are refused.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "nn/weights.h"
#include "nn/weights_import.h"
#include "support/selfie_world.h"
#include "support/step_numbers.h"

static const struct {
    const char *backend, *dtype;
    double tolerance;
} kinds[] = {{"ref", "f32", 1e-5}, {"cpu", "f32", 1e-5}, {"cpu", "bf16", 5e-2}};

#define EACH_KIND(w)                                                                   \
    for (size_t kind_ = 0; kind_ < 3; kind_++)                                         \
        if (world_open(&(w), kinds[kind_].backend, kinds[kind_].dtype))

/* With running statistics, so that patches meet in the pooling alone. */
static void pooled(world *w, float out[IMAGES * WIDTH])
{
    fb_selfie_pass pass = forward(w, false);
    for (int32_t i = 0; i < IMAGES * WIDTH; i++)
        out[i] = (float)number(&pass.pooled->value, i);
}

static double distance(const float *a, const float *b)
{
    double most = 0;
    for (int32_t i = 0; i < WIDTH; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

static uint8_t *patch_row(world *w, int32_t patch, int32_t y)
{
    int32_t row = patch / GRID * SIDE + y, column = patch % GRID * SIDE;
    return w->batch->pixels + (row * SIZE + column) * 3;
}

static void masked_patches_are_hidden_and_others_seen(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        float before[IMAGES * WIDTH], after[IMAGES * WIDTH];
        pooled(&w, before);
        for (int32_t j = 0; j < M; j++)
            for (int32_t y = 0; y < SIDE; y++)
                memset(patch_row(&w, masked_patches[0][j], y), 40 * j, SIDE * 3);
        pooled(&w, after);
        assert_memory_equal(before, after, sizeof before);
        for (int32_t y = 0; y < SIDE; y++) /* patch 2 is context */
            memset(patch_row(&w, 2, y), 200, SIDE * 3);
        pooled(&w, after);
        assert_true(distance(before, after) > 1e-3);
        assert_memory_equal(before + WIDTH, after + WIDTH, 2 * WIDTH * sizeof(float));
        world_close(&w);
    }
}

static void swap_patches(world *w, int32_t a, int32_t b)
{
    for (int32_t y = 0; y < SIDE; y++)
        for (int32_t i = 0; i < SIDE * 3; i++) {
            uint8_t *x = patch_row(w, a, y) + i, *z = patch_row(w, b, y) + i, kept = *x;
            *x = *z;
            *z = kept;
        }
}

/* Positions are added to the context too: without them pooling could not tell where it
 * saw what. */
static void where_a_context_patch_lies_matters(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        fb_selfie *m = (fb_selfie *)w.m;
        float before[IMAGES * WIDTH], after[IMAGES * WIDTH];
        for (int without = 0; without < 2; without++) {
            if (without) {
                memset((float *)(uintptr_t)m->row->weight.data, 0, GRID * WIDTH * 4);
                memset((float *)(uintptr_t)m->column->weight.data, 0, GRID * WIDTH * 4);
                fb_params_touch(w.m->params);
            }
            pooled(&w, before);
            swap_patches(&w, 2, 9);
            pooled(&w, after);
            if (without)
                assert_true(distance(before, after) <= kinds[kind_].tolerance);
            else
                assert_true(distance(before, after) > 1e-2);
        }
        world_close(&w);
    }
}

/* The query bends: were it linear in u + place, the context would add the same to
 * every query's logit of a patch, and the differences between two queries would be
 * the same under any context. */
static void the_context_speaks_about_places(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        double before[M - 1], most = 0;
        for (int again = 0; again < 2; again++) {
            fb_selfie_pass pass = forward(&w, false);
            for (int32_t j = 0; j + 1 < M; j++) {
                double difference =
                    number(&pass.logits->value, j) - number(&pass.logits->value, M + j);
                if (again)
                    most = fmax(most, fabs(difference - before[j]));
                else
                    before[j] = difference;
            }
            for (int32_t p = 2; p < 6; p++) /* of the context */
                for (int32_t y = 0; y < SIDE; y++)
                    memset(patch_row(&w, p, y), 60 * p - 80, SIDE * 3);
        }
        if (!(most > 1e-2))
            fail_msg("the context moved them by %g at most", most);
        world_close(&w);
    }
}

static void a_model_that_sees_no_difference_has_chance(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        fb_selfie *m = (fb_selfie *)w.m;
        fb_measures losses;
        memset((float *)(uintptr_t)m->output_weight->weight.data, 0,
               FEATURES * WIDTH * sizeof(float));
        fb_params_touch(w.m->params);
        begin(&w, false);
        must(&w, w.m->system->losses(w.m, &w.tape, w.batch, NULL, &losses));
        fb_measure points = measure_named(&losses, "pointing_accuracy");
        assert_true(fabs(measure_named(&losses, "selfie").value - log(M)) <= 1e-6);
        assert_int_equal(points.rows, IMAGES * M);
        assert_true(fabs(points.right - points.chance) <= 1e-9);
        world_close(&w);
    }
}

/* Patches 1 and 6 of image 0 are one picture: whoever is right about them is half
 * right. */
static void equal_patches_share_a_right_answer(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        for (int32_t y = 0; y < SIDE; y++)
            memcpy(patch_row(&w, 6, y), patch_row(&w, 1, y), SIDE * 3);
        w.batch->images = 1;
        fb_measures losses;
        fb_selfie_pass pass = forward(&w, false);
        double want = 0;
        for (int32_t i = 0; i < M; i++) {
            double best = -INFINITY;
            for (int32_t j = 0; j < M; j++)
                best = fmax(best, number(&pass.logits->value, i * M + j));
            bool right = !(number(&pass.logits->value, i * M + i) < best);
            want += right ? (i < 2 ? 0.5 : 1) : 0;
            assert_true(number(&pass.logits->value, i * M) ==
                        number(&pass.logits->value, i * M + 1));
        }
        begin(&w, false);
        must(&w, w.m->system->losses(w.m, &w.tape, w.batch, NULL, &losses));
        assert_true(fabs(measure_named(&losses, "pointing_accuracy").right - want) <=
                    1e-9);
        world_close(&w);
    }
}

static void refuse(world *w, const char *words)
{
    fb_selfie_pass pass;
    begin(w, false);
    assert_int_equal(fb_selfie_forward((fb_selfie *)w->m, &w->tape, w->batch, &pass),
                     FB_E_SHAPE);
    if (!strstr(fb_context_message(w->ctx), words))
        fail_msg("%s", fb_context_message(w->ctx));
}

static void masks_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    world w;
    assert_true(world_open(&w, "ref", "f32"));
    w.batch->patch_masked[P + 1] = 1;
    refuse(&w, "image 0 has 4 masked patches, image 1 has 5");
    memset(w.batch->patch_masked, 1, IMAGES * P);
    refuse(&w, "16 of 16 patches are masked");
    memset(w.batch->patch_masked, 0, IMAGES * P);
    refuse(&w, "0 of 16 patches are masked");
    assert_false(fb_matcher_gives(w.m, FB_GIVES_SCORE));
    assert_false(fb_matcher_gives(w.m, FB_GIVES_VECTORS));
    world_close(&w);
}

/* ---- what another run starts from -------------------------------------------------
 */

static fb_matcher *make_fashionbert(const world *w, bool each)
{
    fb_model_config c = config();
    fb_matcher *m;
    c.system = fb_systems_find("fashionbert");
    c.each = each;
    if (!each) {
        c.image_size = 96;
        c.grid = 8;
    }
    must(w, fb_matcher_create(w->ctx, &m, &c, FB_MODEL_TRAIN));
    fb_params_initialise(m->params, 3);
    return m;
}

/* Encoders are equal, all else is as it was first. */
static void expect_encoder(const fb_params *got, const fb_params *from)
{
    const fb_param *q = from->first;
    int32_t seen = 0;
    while (q && strncmp(q->name[0], "image.encoder.", 14) != 0)
        q = q->next;
    for (const fb_param *p = got->first; p; p = p->next) {
        if (strncmp(p->name[0], "image.encoder.", 14) != 0)
            continue;
        assert_non_null(q);
        assert_string_equal(p->name[0], q->name[0]);
        assert_memory_equal(got->value + p->offset, from->value + q->offset,
                            (size_t)(p->rows * p->columns) * sizeof(float));
        q = q->next;
        seen++;
    }
    assert_true(seen > 20);
    assert_int_equal(got->buffer_total, from->buffer_total);
    assert_memory_equal(got->buffer, from->buffer,
                        (size_t)got->buffer_total * sizeof(float));
}

static void fashionbert_starts_from_its_encoder(void **state)
{
    (void)state;
    world w;
    char path[] = "/tmp/fb_selfie_XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(close(file), 0);
    assert_true(world_open(&w, "ref", "f32"));
    must(&w, fb_weights_save(w.ctx, w.m->params, path));
    for (int each = 0; each < 2; each++)
        for (int by_init = 0; by_init < 2; by_init++) {
            fb_matcher *m = make_fashionbert(&w, each);
            fb_pretrained_report report = {0};
            if (by_init)
                must(&w, fb_weights_load_shared(w.ctx, m->params, path));
            else
                must(&w, fb_weights_read_resnet(w.ctx, m->params, path,
                                                FB_PATCH_ENCODER_PREFIX ".", &report));
            expect_encoder(m->params, w.m->params);
            assert_true(by_init || (report.read > 40 && report.ignored > 20));
            m->system->free(m, NULL);
        }
    assert_int_equal(unlink(path), 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masked_patches_are_hidden_and_others_seen),
        cmocka_unit_test(where_a_context_patch_lies_matters),
        cmocka_unit_test(the_context_speaks_about_places),
        cmocka_unit_test(a_model_that_sees_no_difference_has_chance),
        cmocka_unit_test(equal_patches_share_a_right_answer),
        cmocka_unit_test(masks_that_do_not_fit_are_refused),
        cmocka_unit_test(fashionbert_starts_from_its_encoder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

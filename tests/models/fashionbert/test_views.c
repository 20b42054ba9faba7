/* test_views.c - test-time augmentation (flip): patches of an image and its mirror
 * image made one, and what scores, vectors and training steps see of them.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/model_world.h"

enum { BYTES = SIZE * SIZE * 3, GRID = 2, VECTOR = 8, MOST = 8192 };

/* Over 16 x 16 pixels "thin" makes 2 x 2 patches, and "pixels" has what they show. */
static bool views_open(world *w, const kind *k, const char *encoder, int32_t views)
{
    fb_model_config c = config();
    strcpy(c.encoder, encoder);
    c.vector = VECTOR;
    c.text_layers = 1;
    c.views = views;
    return world_open_as(w, k, c, FB_MODEL_TRAIN);
}

static void mirror_batch(world *w)
{
    static uint8_t from[IMAGES * BYTES];
    memcpy(from, w->batch->pixels, sizeof from);
    for (int line = 0; line < IMAGES * SIZE; line++)
        for (int x = 0; x < SIZE; x++)
            memcpy(w->batch->pixels + (line * SIZE + x) * 3,
                   from + (line * SIZE + SIZE - 1 - x) * 3, 3);
}

/* numbers [IMAGES*P, F] of the batch's images in so many views; returns F. */
static int64_t look(world *w, int32_t views, float *numbers)
{
    fb_fashionbert *m = (fb_fashionbert *)w->m;
    fb_var *x;
    begin(w, false);
    must(w, fb_patch_encoder_look(&w->tape, &x, &m->patch_encoder, w->batch->pixels,
                                  IMAGES, views));
    assert_int_equal(x->value.dims[0], IMAGES * P);
    int64_t count = fb_tensor_count(&x->value);
    assert_true(count <= MOST);
    for (int64_t i = 0; i < count; i++)
        numbers[i] = x->value.dtype == FB_F32
                         ? ((const float *)x->value.data)[i]
                         : fb_bf16_to_f32(((const fb_bf16 *)x->value.data)[i]);
    return x->value.dims[1];
}

static double largest(const float *x, int64_t count)
{
    double most = 0;
    for (int64_t i = 0; i < count; i++)
        most = fmax(most, fabs((double)x[i]));
    return most;
}

static double distance(const float *a, const float *b, int64_t count)
{
    double most = 0;
    for (int64_t i = 0; i < count; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

static const char *const encoders[] = {"thin", "pixels"};

#define EACH_VIEWED(w, views)                                                          \
    for (size_t kind_ = 0; kind_ < 3; kind_++)                                         \
        for (size_t encoder_ = 0; encoder_ < 2; encoder_++)                            \
            if (views_open(&(w), &kinds[kind_], encoders[encoder_], views))

static void a_patch_is_the_mean_of_what_both_show_there(void **state)
{
    (void)state;
    static float photo[MOST], mirrored[MOST], both[MOST], want[MOST];
    world w;
    EACH_VIEWED(w, 2)
    {
        int64_t width = look(&w, 1, photo);
        look(&w, 2, both);
        mirror_batch(&w);
        look(&w, 1, mirrored);
        for (int64_t row = 0; row < IMAGES * P; row++) {
            int64_t turned = row / GRID * GRID + GRID - 1 - row % GRID;
            for (int64_t i = 0; i < width; i++)
                want[row * width + i] =
                    (photo[row * width + i] + mirrored[turned * width + i]) / 2;
        }
        int64_t count = IMAGES * P * width;
        double size = largest(want, count);
        assert_true(size > 0.1);
        if (!(distance(both, want, count) <= kinds[kind_].tolerance * size))
            fail_msg("%s %s %s: %g of %g", kinds[kind_].backend, kinds[kind_].dtype,
                     encoders[encoder_], distance(both, want, count), size);
        assert_true(distance(photo, want, count) > 0.05 * size);
        world_close(&w);
    }
}

static void vectors(world *w, float *images)
{
    begin(w, false);
    must(w, w->m->system->vectors(w->m, &w->tape, w->batch, NULL, images));
}

static void left_and_right_do_not_change_a_vector_of_two_views(void **state)
{
    (void)state;
    world w;
    for (int32_t views = 1; views <= 2; views++)
        EACH_VIEWED(w, views)
        {
            float before[IMAGES * VECTOR], after[IMAGES * VECTOR];
            vectors(&w, before);
            mirror_batch(&w);
            vectors(&w, after);
            double apart = distance(before, after, IMAGES * VECTOR);
            if ((apart <= kinds[kind_].tolerance) != (views == 2))
                fail_msg("%s %s %s, %d views: %g apart", kinds[kind_].backend,
                         kinds[kind_].dtype, encoders[encoder_], (int)views, apart);
            world_close(&w);
        }
}

static void scores_see_what_features_were_made_of(void **state)
{
    (void)state;
    world w;
    for (size_t k = 0; k < 3; k++) {
        if (!views_open(&w, &kinds[k], "thin", 2))
            continue;
        float pixels[PAIRS], given[PAIRS];
        memset(w.batch->patch_masked, 0, IMAGES * P);
        begin(&w, false);
        must(&w, w.m->system->score(w.m, &w.tape, w.batch, pixels));
        size_t width = (size_t)fb_model_config_features(&w.m->config);
        fb_bf16 *made = malloc(IMAGES * P * width * sizeof *made);
        begin(&w, false);
        must(&w, w.m->system->features(w.m, &w.tape, w.batch->pixels, IMAGES, made));
        w.batch->features = made;
        w.batch->feature_width = (int32_t)width;
        begin(&w, false);
        must(&w, w.m->system->score(w.m, &w.tape, w.batch, given));
        /* elsewhere than in bf16 the features have been rounded */
        double bound = w.be->dtype == FB_BF16 ? 1e-6 : 2e-2;
        assert_true(largest(pixels, PAIRS) > 0.05);
        assert_true(distance(pixels, given, PAIRS) <= bound * largest(pixels, PAIRS));
        w.batch->features = NULL;
        free(made);
        world_close(&w);
    }
}

static void a_step_of_training_looks_once(void **state)
{
    (void)state;
    static const fb_loss_options o = {
        .enabled = {true, true, true}, .mode = FB_ADAPTIVE_FIXED, .itc = 0};
    for (size_t k = 0; k < 3; k++) {
        step_numbers losses[2];
        world w;
        for (int32_t views = 1; views <= 2; views++) {
            if (!views_open(&w, &kinds[k], "thin", views))
                break;
            losses[views - 1] = train(&w, &o);
            world_close(&w);
            for (int i = 0; i < FB_LOSSES && views == 2; i++)
                assert_true(losses[0].loss[i] > 0 &&
                            losses[0].loss[i] == losses[1].loss[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_patch_is_the_mean_of_what_both_show_there),
        cmocka_unit_test(left_and_right_do_not_change_a_vector_of_two_views),
        cmocka_unit_test(scores_see_what_features_were_made_of),
        cmocka_unit_test(a_step_of_training_looks_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

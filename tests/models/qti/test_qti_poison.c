/* test_qti_poison.c - QTI trained and in use on a backend with a memory of its
 * own (poison_backend.h): ref's bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/fashionbert/fashionbert_options.h"
#include "models/matcher.h"
#include "models/measures.h"
#include "nn/optimizer.h"
#include "support/qti_world.h"
#include "support/twin_training.h"

static void training_has_refs_bits(void **state)
{
    (void)state;
    world w[2];
    const fb_loss_options options = {.enabled = {true, true, true, true, true, true},
                                     .mode = FB_ADAPTIVE_GRADIENT};
    assert_true(world_open(&w[0], 0, "ref", "f32"));
    assert_true(world_open(&w[1], 0, "poison", "f32"));
    for (int64_t step = 0; step < 3; step++) {
        fb_measures losses[2];
        for (int i = 0; i < 2; i++) {
            begin(&w[i], true);
            must(&w[i], w[i].m->system->train_batch(w[i].m, &w[i].tape, w[i].batch,
                                                    &options, &losses[i]));
            optimize(&w[i], step);
        }
        assert_true(isfinite(losses[0].total));
        assert_true(losses[0].total == losses[1].total);
    }
    same_models(&w[0], &w[1]);
    world_close(&w[0]);
    close_poison(&w[1]);
}

static void losses_scores_and_features_have_refs_bits(void **state)
{
    (void)state;
    world w[2];
    static const fb_loss_options options = {
        .enabled = {true, true, true, true, true, true}};
    float margins[2][TRIPLES];
    fb_bf16 features[2][IMAGES * P * 256]; /* at most 256 numbers a patch are used */
    memset(features, 0, sizeof features);
    assert_true(world_open(&w[0], 0, "ref", "f32"));
    assert_true(world_open(&w[1], 0, "poison", "f32"));
    assert_true(fb_model_config_features(&w[0].m->config) <= 256);
    same_losses(&w[0], &w[1], &options);
    for (int i = 0; i < 2; i++) {
        const fb_system *s = w[i].m->system;
        w[i].batch->pairs = TRIPLES; /* which come first; pairs have no score */
        fb_batch_pack(w[i].batch);
        begin(&w[i], false);
        must(&w[i], s->score(w[i].m, &w[i].tape, w[i].batch, margins[i]));
        begin(&w[i], false);
        must(&w[i],
             s->features(w[i].m, &w[i].tape, w[i].batch->pixels, IMAGES, features[i]));
    }
    assert_memory_equal(margins[0], margins[1], sizeof margins[0]);
    assert_memory_equal(features[0], features[1], sizeof features[0]);
    world_close(&w[0]);
    close_poison(&w[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_has_refs_bits),
        cmocka_unit_test(losses_scores_and_features_have_refs_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

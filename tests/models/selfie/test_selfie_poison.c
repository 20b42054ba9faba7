/* test_selfie_poison.c - Selfie trained on a backend with a memory of its own
 * (poison_backend.h): ref's bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/matcher.h"
#include "models/measures.h"
#include "nn/optimizer.h"
#include "support/selfie_world.h"
#include "support/twin_training.h"

static void training_has_refs_bits(void **state)
{
    (void)state;
    world w[2];
    assert_true(world_open(&w[0], "ref", "f32"));
    assert_true(world_open(&w[1], "poison", "f32"));
    for (int64_t step = 0; step < 3; step++) {
        fb_measures losses[2];
        for (int i = 0; i < 2; i++) {
            begin(&w[i], true);
            must(&w[i], w[i].m->system->train_batch(w[i].m, &w[i].tape, w[i].batch,
                                                    NULL, &losses[i]));
            optimize(&w[i], step);
        }
        assert_true(isfinite(losses[0].total));
        assert_true(losses[0].total == losses[1].total);
    }
    same_losses(&w[0], &w[1], NULL);
    same_models(&w[0], &w[1]);
    world_close(&w[0]);
    close_poison(&w[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(training_has_refs_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

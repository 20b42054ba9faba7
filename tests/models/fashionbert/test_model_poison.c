/* test_model_poison.c - FashionBERT on a backend with a memory of its own
 * (poison_backend.h): training in every way of weighing and of drawing pairs, scores,
 * vectors and features, also through a network of convolutions, trained and then frozen
 * and folded: each with ref's bits.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nn/optimizer.h"
#include "support/model_world.h"
#include "support/twin_training.h"

static const kind twins[2] = {{"ref", "f32", 0}, {"poison", "f32", 0}};

/* As a batch of items: text i belongs to image i, nothing is masked. */
static void make_items(fb_batch *b)
{
    for (int32_t i = 0; i < IMAGES; i++)
        b->image_group[i] = b->text_group[i] = i;
    b->pairs = b->mlm_count = b->mpm_count = 0;
    memset(b->patch_masked, 0, IMAGES * P);
}

static void check_training(const fb_loss_options *options, bool items)
{
    world w[2];
    fb_model_config c = config();
    c.vector = items ? 8 : 0;
    for (int i = 0; i < 2; i++) {
        assert_true(world_open_as(&w[i], &twins[i], c, FB_MODEL_TRAIN));
        w[i].dropout = 0.1f;
        if (items)
            make_items(w[i].batch);
    }
    for (int64_t step = 0; step < 3; step++) {
        fb_loss_options o = *options;
        step_numbers losses[2];
        o.key = (uint64_t)step;
        for (int i = 0; i < 2; i++) {
            w[i].key = 5 + (uint64_t)step;
            losses[i] = train(&w[i], &o);
            optimize(&w[i], step);
        }
        assert_true(isfinite(losses[0].total));
        assert_true(losses[0].total == losses[1].total);
        assert_int_equal(losses[0].pairs_right, losses[1].pairs_right);
    }
    for (int i = 0; i < 2; i++)
        w[i].dropout = 0;
    same_losses(&w[0], &w[1], options);
    same_models(&w[0], &w[1]);
    world_close(&w[0]);
    close_poison(&w[1]);
}

static void training_has_refs_bits(void **state)
{
    (void)state;
    const fb_loss_options modes[] = {
        {.enabled = {true, true, true}, .mode = FB_ADAPTIVE_SOFTMAX},
        {.enabled = {true, true, true}, .mode = FB_ADAPTIVE_GRADIENT},
        {.enabled = {true, true, true},
         .mode = FB_ADAPTIVE_GRADIENT,
         .shared_norms = true}};
    for (int i = 0; i < 3; i++)
        check_training(&modes[i], false);
}

static void contrastive_training_has_refs_bits(void **state)
{
    (void)state;
    fb_loss_options o = {.enabled = {[FB_LOSS_TIA] = true},
                         .mode = FB_ADAPTIVE_SOFTMAX,
                         .itc = 1,
                         .margin = 0.1,
                         .negatives = 2,
                         .hardness = 1,
                         .patch_keep = 1};
    check_training(&o, true);
    o.listwise = true;
    o.soft_targets = 0.3;
    check_training(&o, true);
    o.blocks = true;
    o.patch_keep = 0.5;
    check_training(&o, true);
}

/* What a model in use gives, folded where its encoder is a network. */
typedef struct outputs {
    float scores[PAIRS], texts[TEXTS * 8], images[IMAGES * 8];
    fb_bf16 features[IMAGES * P * 256]; /* at most 256 numbers a patch are used */
} outputs;

static void use(world *w, outputs *o)
{
    memset(o, 0, sizeof *o);
    assert_true(fb_model_config_features(&w->m->config) <= 256);
    w->dropout = 0;
    begin(w, false);
    must(w, w->m->system->score(w->m, &w->tape, w->batch, o->scores));
    begin(w, false);
    must(w, w->m->system->vectors(w->m, &w->tape, w->batch, o->texts, o->images));
    begin(w, false);
    must(w,
         w->m->system->features(w->m, &w->tape, w->batch->pixels, IMAGES, o->features));
}

static void same_outputs(const outputs *o)
{
    assert_memory_equal(o[0].scores, o[1].scores, sizeof o[0].scores);
    assert_memory_equal(o[0].texts, o[1].texts, sizeof o[0].texts);
    assert_memory_equal(o[0].images, o[1].images, sizeof o[0].images);
    assert_memory_equal(o[0].features, o[1].features, sizeof o[0].features);
}

static fb_model_config config_of(const char *encoder, bool each)
{
    fb_model_config c = config();
    c.vector = 8;
    c.views = 2;
    c.each = each;
    snprintf(c.encoder, sizeof c.encoder, "%s", encoder);
    return c;
}

static void scores_and_vectors_have_refs_bits(void **state)
{
    (void)state;
    outputs o[2];
    static const char *const encoders[] = {"pixels", "thin", "thin"};
    for (int e = 0; e < 3; e++) {
        fb_model_config c = config_of(encoders[e], e == 2);
        for (int i = 0; i < 2; i++) {
            world w;
            assert_true(world_open_as(&w, &twins[i], c, FB_MODEL_SCORE));
            use(&w, &o[i]);
            i ? close_poison(&w) : world_close(&w);
        }
        same_outputs(o);
    }
}

/* Running statistics move and the folded weights follow, between uses. */
static void network_trained_between_uses_has_refs_bits(void **state)
{
    (void)state;
    const fb_loss_options options = {.enabled = {true, true, true},
                                     .mode = FB_ADAPTIVE_SOFTMAX};
    world w[2];
    outputs o[2], before;
    for (int i = 0; i < 2; i++)
        assert_true(
            world_open_as(&w[i], &twins[i], config_of("thin", false), FB_MODEL_TRAIN));
    for (int64_t step = 0; step < 3; step++) {
        for (int i = 0; i < 2; i++) {
            w[i].dropout = 0.1f;
            w[i].key = 5 + (uint64_t)step;
            (void)train(&w[i], &options);
            optimize(&w[i], step);
            use(&w[i], &o[i]);
        }
        same_outputs(o);
        assert_true(step == 0 ||
                    memcmp(o[0].features, before.features, sizeof before.features));
        before = o[0];
    }
    for (int i = 0; i < 2; i++)
        w[i].dropout = 0;
    same_losses(&w[0], &w[1], &options);
    same_models(&w[0], &w[1]);
    world_close(&w[0]);
    close_poison(&w[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_has_refs_bits),
        cmocka_unit_test(contrastive_training_has_refs_bits),
        cmocka_unit_test(scores_and_vectors_have_refs_bits),
        cmocka_unit_test(network_trained_between_uses_has_refs_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

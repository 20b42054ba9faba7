/* test_model.c - what the whole model promises, on every backend and dtype: pairs of a
 * batch do not see each other, losses and their weights, accumulation, dropout, bad
 * numbers.
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

#include "support/model_world.h"

static const fb_loss_options fixed_all = {.enabled = {true, true, true},
                                          .mode = FB_ADAPTIVE_FIXED,
                                          .detach = false,
                                          .shared_norms = false};

/* ---- a batch -------------------------------------------------------------------- */

/* Pair `pair` of `from` alone, with only its own text and image. */
static fb_batch *single(const world *w, int32_t pair)
{
    const fb_batch *from = w->batch;
    const fb_batch_limits limits = {1, 1, 1, 7, P, SIZE};
    fb_batch *b = NULL;
    must(w, fb_batch_create(w->ctx, &b, &limits, 7));
    int32_t text = pairs[pair][0], image = pairs[pair][1];
    int32_t first = text_offsets[text], count = text_offsets[text + 1] - first;
    b->pairs = b->texts = b->images = 1;
    b->text_offsets[0] = 0;
    b->text_offsets[1] = count;
    memcpy(b->token_ids, from->token_ids + first, (size_t)count * 4);
    memcpy(b->token_positions, from->token_positions + first, (size_t)count * 4);
    memcpy(b->token_segments, from->token_segments + first, (size_t)count * 4);
    memcpy(b->pixels, from->pixels + image * SIZE * SIZE * 3, SIZE * SIZE * 3);
    memcpy(b->patch_masked, from->patch_masked + image * P, P);
    b->pair_text[0] = b->pair_image[0] = 0;
    b->pair_label[0] = pairs[pair][2];
    fb_batch_pack(b);
    b->mlm_count = b->mpm_count = 0;
    return b;
}

static void batch_scored_together_equals_its_pairs_alone(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        float together[PAIRS], alone;
        score(&w, w.batch, together);
        for (int32_t i = 0; i < PAIRS; i++) {
            fb_batch *one = single(&w, i);
            score(&w, one, &alone);
            if (!(fabs((double)(alone - together[i])) <= kinds[kind_].tolerance))
                fail_msg("%s %s: pair %d has %.7g alone, %.7g in the batch",
                         kinds[kind_].backend, kinds[kind_].dtype, (int)i,
                         (double)alone, (double)together[i]);
            fb_batch_free(one);
        }
        assert_true(fabsf(together[0] - together[3]) > 1e-3f); /* they do differ */
        world_close(&w);
    }
}

static void score_is_the_softmax_that_the_loss_sees(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        float scores[PAIRS];
        double want = 0;
        int64_t right = 0;
        fb_measures measures;
        score(&w, w.batch, scores);
        for (int i = 0; i < PAIRS; i++) {
            double p = (double)scores[i];
            want -= log(pairs[i][2] ? p : 1 - p) / PAIRS;
            right += (p > 0.5) == (pairs[i][2] == 1);
        }
        begin(&w, false);
        must(&w, w.m->system->losses(w.m, &w.tape, w.batch, &fixed_all, &measures));
        step_numbers losses = step_numbers_of(&measures);
        assert_true(fabs(losses.loss[FB_LOSS_TIA] - want) <=
                    10 * kinds[kind_].tolerance);
        assert_int_equal(losses.pairs, PAIRS);
        assert_int_equal(losses.pairs_right, right);
        world_close(&w);
    }
}

static void masked_patch_counts_only_as_zero(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        float before[PAIRS], after[PAIRS];
        fb_measures measures;
        score(&w, w.batch, before);
        begin(&w, false);
        must(&w, w.m->system->losses(w.m, &w.tape, w.batch, &fixed_all, &measures));
        step_numbers first = step_numbers_of(&measures);
        for (int y = 0; y < SIZE / 2; y++) /* patch 1: the upper right quarter */
            memset(w.batch->pixels + (y * SIZE + SIZE / 2) * 3, 255 - y, SIZE / 2 * 3);
        score(&w, w.batch, after);
        assert_memory_equal(before, after, sizeof before);
        begin(&w, false);
        must(&w, w.m->system->losses(w.m, &w.tape, w.batch, &fixed_all, &measures));
        step_numbers second = step_numbers_of(&measures);
        assert_true(first.loss[FB_LOSS_MLM] == second.loss[FB_LOSS_MLM]);
        assert_true(first.loss[FB_LOSS_MPM] != second.loss[FB_LOSS_MPM]); /* target */
        w.batch->patch_masked[1] = 0;
        score(&w, w.batch, after);
        assert_true(before[0] != after[0] && before[4] != after[4]);
        assert_true(before[1] == after[1]); /* another image */
        world_close(&w);
    }
}

/* ---- losses and their weights --------------------------------------------------- */

static void losses_are_present_only_where_rows_are(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        step_numbers all = train(&w, &fixed_all);
        assert_int_equal(all.rows[FB_LOSS_MLM], 3);
        assert_int_equal(all.rows[FB_LOSS_MPM], 2);
        assert_int_equal(all.rows[FB_LOSS_TIA], PAIRS);
        for (int i = 0; i < FB_LOSSES; i++)
            assert_true(all.present[i] && all.loss[i] > 0 &&
                        fabs(all.weight[i] - 1.0 / 3) < 1e-12);
        w.batch->mlm_count = 0;
        step_numbers two = train(&w, &fixed_all);
        assert_false(two.present[FB_LOSS_MLM]);
        assert_true(two.loss[FB_LOSS_MLM] == 0 && two.weight[FB_LOSS_MLM] == 0);
        assert_true(fabs(two.weight[FB_LOSS_TIA] - 0.5) < 1e-12);
        assert_true(two.loss[FB_LOSS_MPM] == all.loss[FB_LOSS_MPM]);
        assert_true(fabs(two.total -
                         (two.loss[FB_LOSS_TIA] + two.loss[FB_LOSS_MPM]) / 2) < 1e-12);
        w.batch->mpm_count = 0;
        const fb_adaptive_mode modes[] = {FB_ADAPTIVE_FIXED, FB_ADAPTIVE_SOFTMAX,
                                          FB_ADAPTIVE_GRADIENT};
        for (int i = 0; i < 3; i++) {
            fb_loss_options o = {.enabled = {true, true, true},
                                 .mode = modes[i],
                                 .detach = false,
                                 .shared_norms = false};
            step_numbers one = train(&w, &o);
            assert_false(one.present[FB_LOSS_MPM]);
            assert_true(fabs(one.weight[FB_LOSS_TIA] - 1) < 1e-12);
        }
        world_close(&w);
    }
}

/* Gradients under `options` equal sum c_i g_i of the losses alone. */
static void check_combination(world *w, const fb_loss_options *options, double bound)
{
    float *alone[FB_LOSSES];
    for (int i = 0; i < FB_LOSSES; i++) {
        fb_loss_options one = {.enabled = {false, false, false},
                               .mode = FB_ADAPTIVE_FIXED};
        one.enabled[i] = true;
        clear_gradients(w);
        step_numbers l = train(w, &one);
        assert_true(l.present[i] && fabs(l.weight[i] - 1) < 1e-12);
        alone[i] = copy_gradients(w);
    }
    clear_gradients(w);
    step_numbers l = train(w, options);
    double c[FB_LOSSES], weight[FB_LOSSES], largest = 0, total = 0;
    memcpy(c, l.weight, sizeof c);
    if (options->mode == FB_ADAPTIVE_SOFTMAX)
        fb_adaptive_softmax(weight, c, l.loss, l.present, FB_LOSSES, options->detach);
    for (int i = 0; i < FB_LOSSES; i++)
        total += l.weight[i] * l.loss[i];
    assert_true(fabs(l.total - total) <= 1e-12 * (1 + total));
    for (int64_t n = 0; n < w->m->params->total; n++)
        largest = fmax(largest, fabs((double)w->m->params->grad[n]));
    assert_true(largest > 0);
    for (int64_t n = 0; n < w->m->params->total; n++) {
        double want = 0;
        for (int i = 0; i < FB_LOSSES; i++)
            want += c[i] * (double)alone[i][n];
        if (!(fabs((double)w->m->params->grad[n] - want) <= bound * largest))
            fail_msg("mode %d: gradient %lld is %.7g, the sum says %.7g",
                     (int)options->mode, (long long)n, (double)w->m->params->grad[n],
                     want);
    }
    for (int i = 0; i < FB_LOSSES; i++)
        free(alone[i]);
}

static void gradients_are_the_weighted_sum_in_every_mode(void **state)
{
    (void)state;
    const fb_loss_options modes[] = {
        {.enabled = {true, true, true}, .mode = FB_ADAPTIVE_FIXED},
        {.enabled = {true, true, true}, .mode = FB_ADAPTIVE_SOFTMAX},
        {.enabled = {true, true, true},
         .mode = FB_ADAPTIVE_SOFTMAX,
         .detach = true,
         .shared_norms = false},
        {.enabled = {true, true, true}, .mode = FB_ADAPTIVE_GRADIENT},
        {.enabled = {true, true, true},
         .mode = FB_ADAPTIVE_GRADIENT,
         .detach = false,
         .shared_norms = true},
    };
    world w;
    EACH_KIND(w)
    {
        double bound = strcmp(kinds[kind_].dtype, "bf16") == 0 ? 0.02 : 2e-5;
        for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
            check_combination(&w, &modes[i], bound);
        world_close(&w);
    }
}

static void gradient_norms_make_the_weights_of_equation_6(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        for (int shared = 0; shared < 2; shared++) {
            fb_loss_options o = {.enabled = {true, true, true},
                                 .mode = FB_ADAPTIVE_GRADIENT,
                                 .detach = false,
                                 .shared_norms = shared == 1};
            fb_pass_losses l = weigh(&w, &o);
            step_numbers trained = train(&w, &o);
            double g[FB_LOSSES], weight[FB_LOSSES];
            fb_adaptive_normalise(g, l.squared_norm, l.present, FB_LOSSES);
            fb_adaptive_solve(weight, g, l.present, FB_LOSSES);
            for (int i = 0; i < FB_LOSSES; i++) {
                assert_true(l.squared_norm[i] > 0);
                assert_true(fabs(trained.weight[i] - weight[i]) < 1e-12);
            }
        }
        world_close(&w);
    }
}

static void second_batch_adds_the_same_gradients_again(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        for (int shared = 0; shared < 2; shared++) {
            fb_loss_options o = {.enabled = {true, true, true},
                                 .mode = FB_ADAPTIVE_GRADIENT,
                                 .detach = false,
                                 .shared_norms = shared == 1};
            clear_gradients(&w);
            (void)train(&w, &o);
            float *once = copy_gradients(&w);
            double largest = 0;
            (void)train(&w, &o);
            for (int64_t n = 0; n < w.m->params->total; n++)
                largest = fmax(largest, fabs((double)once[n]));
            for (int64_t n = 0; n < w.m->params->total; n++)
                assert_true(fabs((double)w.m->params->grad[n] - 2 * (double)once[n]) <=
                            2e-6 * largest);
            for (fb_param *p = w.m->params->first; p; p = p->next)
                assert_ptr_equal(p->leaf.grad, w.m->params->grad + p->offset);
            free(once);
        }
        world_close(&w);
    }
}

/* Softmax does not see what every key shares, so the key bias has no gradient but
 * noise. */
static void every_parameter_learns_when_all_losses_are_on(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        (void)train(&w, &fixed_all);
        for (const fb_param *p = w.m->params->first; p; p = p->next)
            for (int32_t part = 0; part < p->parts; part++) {
                int64_t count = p->rows / p->parts * p->columns;
                const float *g = p->leaf.grad + part * count;
                double largest = 0;
                for (int64_t i = 0; i < count; i++)
                    largest = fmax(largest, fabs((double)g[i]));
                bool key_bias = strstr(p->name[part], "self.key.bias") != NULL;
                if (!(key_bias ? largest < 1e-2 : largest > 1e-7))
                    fail_msg("%s: largest gradient %g", p->name[part], largest);
            }
        world_close(&w);
    }
}

static void alignment_alone_leaves_the_other_heads_alone(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        const fb_loss_options o = {.enabled = {[FB_LOSS_TIA] = true},
                                   .mode = FB_ADAPTIVE_GRADIENT};
        (void)train(&w, &o);
        for (const fb_param *p = w.m->params->first; p; p = p->next) {
            bool other = strncmp(p->name[0], "cls.", 4) == 0 ||
                         strncmp(p->name[0], "image.predictions", 17) == 0;
            bool zero = true;
            for (int64_t i = 0; i < p->rows * p->columns; i++)
                zero = zero && p->leaf.grad[i] == 0.0f;
            if (zero != other)
                fail_msg("%s", p->name[0]);
        }
        world_close(&w);
    }
}

/* ---- dropout, repetition, bad numbers ------------------------------------------- */

static void nothing_is_dropped_outside_training(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        float first[PAIRS], second[PAIRS];
        step_numbers plain, dropped;
        score(&w, w.batch, first); /* the config's dropout is 0.3 */
        score(&w, w.batch, second);
        assert_memory_equal(first, second, sizeof first);
        plain = train(&w, &fixed_all);
        w.dropout = 0.3f;
        w.key = 5;
        dropped = train(&w, &fixed_all);
        assert_true(plain.total != dropped.total);
        w.dropout = 0;
        score(&w, w.batch, second);
        assert_memory_equal(first, second, sizeof first);
        world_close(&w);
    }
}

static void dropout_is_the_same_to_the_bit_under_one_key(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        fb_loss_options o = {.enabled = {true, true, true},
                             .mode = FB_ADAPTIVE_GRADIENT};
        w.dropout = 0.3f;
        w.key = fb_random_key(1, FB_STREAM_DROPOUT, 40);
        clear_gradients(&w);
        step_numbers first = train(&w, &o);
        float *grads = copy_gradients(&w);
        clear_gradients(&w);
        step_numbers again = train(&w, &o);
        assert_memory_equal(grads, w.m->params->grad, block_bytes(&w));
        assert_memory_equal(first.loss, again.loss, sizeof first.loss);
        w.key = fb_random_key(1, FB_STREAM_DROPOUT, 41);
        step_numbers other = train(&w, &o);
        assert_true(other.total != first.total);
        free(grads);
        world_close(&w);
    }
}

static void two_models_of_one_seed_are_the_same_to_the_bit(void **state)
{
    (void)state;
    world a, b;
    EACH_KIND(a)
    {
        assert_true(world_open(&b, &kinds[kind_]));
        step_numbers la = train(&a, &fixed_all), lb = train(&b, &fixed_all);
        assert_memory_equal(la.loss, lb.loss, sizeof la.loss);
        assert_memory_equal(a.m->params->value, b.m->params->value, block_bytes(&a));
        assert_memory_equal(a.m->params->grad, b.m->params->grad, block_bytes(&a));
        fb_params_initialise(b.m->params, 13);
        assert_memory_not_equal(a.m->params->value, b.m->params->value,
                                block_bytes(&a));
        world_close(&b);
        world_close(&a);
    }
}

static void repeated_step_asks_the_system_for_no_memory(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        fb_loss_options o = {.enabled = {true, true, true},
                             .mode = FB_ADAPTIVE_GRADIENT,
                             .detach = false,
                             .shared_norms = true};
        (void)train(&w, &o);
        fb_arena_reset(w.arena);
        int64_t allocations = fb_arena_system_allocations(w.arena);
        (void)train(&w, &o);
        (void)train(&w, &o);
        assert_int_equal(fb_arena_system_allocations(w.arena), allocations);
        world_close(&w);
    }
}

static float *weight_named(const world *w, const char *name)
{
    for (fb_param *p = w->m->params->first; p; p = p->next)
        for (int32_t i = 0; i < p->parts; i++)
            if (strcmp(p->name[i], name) == 0)
                return w->m->params->value + p->offset +
                       i * (p->rows / p->parts * p->columns);
    fail_msg("no parameter %s", name);
    return NULL;
}

static void nan_in_a_weight_stops_the_step_naming_where(void **state)
{
    (void)state;
    const char *const names[][2] = {
        {"bert.encoder.layer.1.attention.self.value.weight", "layer.1.attention"},
        {"bert.embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm"},
        {"image.projector.weight", "image.projector"},
        {"match.bias", "match"},
    };
    world w;
    EACH_KIND(w)
    {
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            float *value = weight_named(&w, names[i][0]), before = *value;
            fb_measures losses;
            float scores[PAIRS];
            *value = NAN;
            fb_params_touch(w.m->params);
            clear_gradients(&w);
            begin(&w, true);
            assert_int_equal(
                w.m->system->train_batch(w.m, &w.tape, w.batch, &fixed_all, &losses),
                FB_E_NUMBER);
            if (!strstr(fb_context_message(w.ctx), names[i][1]))
                fail_msg("\"%s\" lacks %s", fb_context_message(w.ctx), names[i][1]);
            for (int64_t n = 0; n < w.m->params->total; n++)
                assert_true(w.m->params->grad[n] == 0.0f);
            begin(&w, false);
            assert_int_equal(w.m->system->score(w.m, &w.tape, w.batch, scores),
                             FB_E_NUMBER);
            assert_non_null(strstr(fb_context_message(w.ctx), "pair 0"));
            *value = before;
            fb_params_touch(w.m->params);
        }
        (void)train(&w, &fixed_all);
        world_close(&w);
    }
}

static void model_without_training_scores_but_does_not_train(void **state)
{
    (void)state;
    world w;
    assert_true(world_open(&w, &kinds[0]));
    float want[PAIRS], got[PAIRS];
    score(&w, w.batch, want);
    fb_matcher *plain = NULL, *trained = w.m;
    fb_model_config c = config();
    fb_measures losses;
    must(&w, fb_matcher_create(w.ctx, &plain, &c, FB_MODEL_SCORE));
    memcpy(plain->params->value, w.m->params->value, block_bytes(&w));
    fb_params_touch(plain->params);
    w.m = plain;
    score(&w, w.batch, got);
    assert_memory_equal(want, got, sizeof want);
    begin(&w, true);
    assert_int_equal(
        plain->system->train_batch(plain, &w.tape, w.batch, &fixed_all, &losses),
        FB_E_STATE);
    plain->system->free(plain, w.be);
    w.m = trained;
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_scored_together_equals_its_pairs_alone),
        cmocka_unit_test(score_is_the_softmax_that_the_loss_sees),
        cmocka_unit_test(masked_patch_counts_only_as_zero),
        cmocka_unit_test(losses_are_present_only_where_rows_are),
        cmocka_unit_test(gradients_are_the_weighted_sum_in_every_mode),
        cmocka_unit_test(gradient_norms_make_the_weights_of_equation_6),
        cmocka_unit_test(second_batch_adds_the_same_gradients_again),
        cmocka_unit_test(every_parameter_learns_when_all_losses_are_on),
        cmocka_unit_test(alignment_alone_leaves_the_other_heads_alone),
        cmocka_unit_test(nothing_is_dropped_outside_training),
        cmocka_unit_test(dropout_is_the_same_to_the_bit_under_one_key),
        cmocka_unit_test(two_models_of_one_seed_are_the_same_to_the_bit),
        cmocka_unit_test(repeated_step_asks_the_system_for_no_memory),
        cmocka_unit_test(nan_in_a_weight_stops_the_step_naming_where),
        cmocka_unit_test(model_without_training_scores_but_does_not_train),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

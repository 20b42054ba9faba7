/* test_scorer.c - a model's own score is what alignment and vectors say one by one, and
 * is made without looking at an image more often than need be.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/scorer.h"
#include "support/model_world.h"

enum { BYTES = SIZE * SIZE * 3, RUN = 7, SPREAD = 100 };

typedef struct shop {
    const fb_batch *batch; /* the world's texts and images */
    int32_t looks;
} shop;

static fb_status shop_text(void *self, fb_context *ctx, int32_t text,
                           const int32_t **ids, int32_t *count)
{
    (void)ctx;
    const fb_batch *b = ((const shop *)self)->batch;
    *ids = b->token_ids + b->text_offsets[text];
    *count = b->text_offsets[text + 1] - b->text_offsets[text];
    return FB_OK;
}

/* Images are numbered 0, 100, 200. */
static fb_status shop_image(void *self, fb_context *ctx, int32_t image, uint8_t *pixels)
{
    (void)ctx;
    shop *s = self;
    s->looks++;
    memcpy(pixels, s->batch->pixels + image / SPREAD * BYTES, BYTES);
    return FB_OK;
}

static const fb_score_triple asked[RUN] = {{-1, 2, 200}, {-1, 0, 0},   {-1, 1, 200},
                                           {-1, 1, 100}, {-1, 0, 200}, {-1, 2, 100},
                                           {-1, 2, 0}};

static bool shop_open(world *w, const kind *k, const char *encoder, double alignment)
{
    fb_model_config c = config();
    strcpy(c.encoder, encoder);
    c.vector = 8;
    c.text_layers = 1;
    c.views = 2;
    c.score = FB_SCORE_BOTH;
    c.alignment_weight = alignment;
    c.similarity_weight = 0.6;
    c.score_bias = 0.25;
    return world_open_as(w, k, c, FB_MODEL_SCORE);
}

/* Returns how many images were asked for. */
static int32_t run(world *w, fb_scorer *scorer, fb_score_kind by, float *margins)
{
    shop s = {w->batch, 0};
    const fb_score_source source = {.self = &s, .text = shop_text, .image = shop_image};
    const fb_score_request request = {asked, RUN, NULL, true};
    must(w, fb_scorer_run(w->ctx, scorer, &source, &request, by, margins));
    return s.looks;
}

static void its_own_score_is_the_sum_of_the_two(void **state)
{
    (void)state;
    static const char *const encoders[] = {"thin", "pixels"};
    for (size_t k = 0; k < 3; k++)
        for (size_t e = 0; e < 2; e++) {
            world w;
            fb_scorer *scorer;
            float tia[RUN], itc[RUN], both[RUN];
            if (!shop_open(&w, &kinds[k], encoders[e], 0.5))
                continue;
            must(&w, fb_scorer_create(w.ctx, &scorer, w.be, w.m));
            assert_int_equal(run(&w, scorer, FB_SCORE_TIA, tia), IMAGES);
            assert_int_equal(run(&w, scorer, FB_SCORE_ITC, itc), IMAGES);
            bool once = strcmp(kinds[k].dtype, "bf16") == 0 && e == 0;
            assert_int_equal(run(&w, scorer, FB_SCORE_BOTH, both),
                             once ? IMAGES : 2 * IMAGES);
            for (int i = 0; i < RUN; i++) {
                double want = 0.5 * (double)tia[i] + (double)itc[i];
                if (!(fabs((double)both[i] - want) <= 1e-5 * (1 + fabs(want))))
                    fail_msg("%s %s %s, pair %d: %g is not %g", kinds[k].backend,
                             kinds[k].dtype, encoders[e], i, (double)both[i], want);
                assert_true(i == 0 || tia[i] != tia[i - 1]);
            }
            fb_scorer_free(scorer);
            world_close(&w);
        }
}

static void without_a_share_alignment_is_not_asked(void **state)
{
    (void)state;
    for (size_t k = 0; k < 3; k++) {
        world w;
        fb_scorer *scorer;
        float itc[RUN], both[RUN];
        if (!shop_open(&w, &kinds[k], "thin", 0))
            continue;
        must(&w, fb_scorer_create(w.ctx, &scorer, w.be, w.m));
        run(&w, scorer, FB_SCORE_ITC, itc);
        assert_int_equal(run(&w, scorer, FB_SCORE_BOTH, both), IMAGES);
        for (int i = 0; i < RUN; i++)
            assert_true(fabs((double)both[i] - (double)itc[i]) <= 1e-6);
        fb_scorer_free(scorer);
        world_close(&w);
    }
}

/* One sentence, before anything is read. */
static void a_model_of_pairs_refuses_queries(void **state)
{
    (void)state;
    world w;
    fb_scorer *scorer;
    float margins[RUN] = {7};
    assert_true(shop_open(&w, &kinds[0], "pixels", 0.5));
    must(&w, fb_scorer_create(w.ctx, &scorer, w.be, w.m));
    assert_false(fb_scorer_reads_query(scorer));
    shop s = {w.batch, 0};
    const fb_score_source source = {
        .self = &s, .text = shop_text, .image = shop_image, .query = shop_text};
    const fb_score_request request = {asked, RUN, NULL, true};
    assert_int_equal(
        fb_scorer_run(w.ctx, scorer, &source, &request, FB_SCORE_TIA, margins),
        FB_E_STATE);
    assert_non_null(strstr(fb_context_message(w.ctx), "takes no query"));
    assert_true(margins[0] == 7 && s.looks == 0);
    fb_scorer_free(scorer);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_own_score_is_the_sum_of_the_two),
        cmocka_unit_test(without_a_share_alignment_is_not_asked),
        cmocka_unit_test(a_model_of_pairs_refuses_queries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_qti.c - what Query-Title-Image matching promises, on every backend and dtype:
 * each part of a triple counts, sequences do not see each other, segments tell query
 * and title apart, and it begins where FashionBERT ended.
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

#include "support/qti_world.h"
#include "support/step_numbers.h"

static const struct {
    const char *backend, *dtype;
    double tolerance;
} kinds[] = {{"ref", "f32", 2e-6}, {"cpu", "f32", 1e-5}, {"cpu", "bf16", 4e-2}};

#define EACH_KIND(w)                                                                   \
    for (size_t kind_ = 0; kind_ < 3; kind_++)                                         \
        if (world_open(&(w), 0, kinds[kind_].backend, kinds[kind_].dtype))

/* Margins of the four triples alone. */
static void score(world *w, float margins[TRIPLES])
{
    w->batch->pairs = TRIPLES;
    fb_batch_pack(w->batch);
    begin(w, false);
    must(w, w->m->system->score(w->m, &w->tape, w->batch, margins));
}

static double moved(const float *a, const float *b, int32_t i)
{
    return fabs((double)a[i] - (double)b[i]);
}

static void every_part_of_a_triple_counts(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        float before[TRIPLES], after[TRIPLES];
        memset(w.batch->patch_masked, 0, IMAGES * P);
        score(&w, before);
        w.batch->token_ids[1] = 33; /* query 0, of triples 0 and 2 */
        score(&w, after);
        assert_true(moved(before, after, 0) > 1e-3 && moved(before, after, 2) > 1e-3);
        assert_true(before[1] == after[1] && before[3] == after[3]);
        memcpy(before, after, sizeof before);
        w.batch->token_ids[w.batch->text_offsets[3] + 1] = 8; /* title of 1 and 2 */
        score(&w, after);
        assert_true(moved(before, after, 1) > 1e-3 && moved(before, after, 2) > 1e-3);
        assert_true(before[0] == after[0] && before[3] == after[3]);
        memcpy(before, after, sizeof before);
        memset(fb_batch_pixels(w.batch, 2), 77, SIZE * SIZE * 3); /* image of 3 */
        score(&w, after);
        assert_true(moved(before, after, 3) > 1e-3);
        assert_true(before[0] == after[0] && before[1] == after[1]);
        world_close(&w);
    }
}

static void triples_scored_together_equal_each_alone(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        float together[TRIPLES], alone;
        score(&w, together);
        for (int32_t i = 0; i < TRIPLES; i++) {
            w.batch->pairs = 0;
            fb_batch_add_pair(w.batch, sequences[i][0], sequences[i][1],
                              sequences[i][2], 0);
            fb_batch_pack(w.batch);
            begin(&w, false);
            must(&w, w.m->system->score(w.m, &w.tape, w.batch, &alone));
            if (!(fabs((double)(alone - together[i])) <= kinds[kind_].tolerance))
                fail_msg("triple %d has %.7g alone, %.7g in the batch", (int)i,
                         (double)alone, (double)together[i]);
        }
        world_close(&w);
    }
}

/* Each row of the table says something; triple 3 has a title without words. */
static void every_segment_counts(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        fb_qti *m = (fb_qti *)w.m;
        float before[TRIPLES], after[TRIPLES];
        score(&w, before);
        float *rows = fb_params_value(w.m->params, m->base.segment);
        for (int32_t s = 0; s < FB_SEGMENTS_QTI; s++) {
            for (int32_t c = 0; c < WIDTH; c++)
                rows[s * WIDTH + c] += c % 2 ? 0.5f : -0.5f;
            fb_params_touch(w.m->params);
            score(&w, after);
            double most = 0;
            for (int32_t i = 0; i < 3; i++) {
                assert_true(moved(before, after, i) > 0);
                most = fmax(most, moved(before, after, i));
            }
            assert_true(most > 2e-3);
            memcpy(before, after, sizeof before);
        }
        world_close(&w);
    }
}

/* Which of the two is the query matters: with their rows of the table exchanged the
 * scores are others. */
static void query_and_title_are_told_apart(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        float *rows = fb_params_value(w.m->params, ((fb_qti *)w.m)->base.segment);
        float before[TRIPLES], after[TRIPLES];
        score(&w, before);
        for (int32_t c = 0; c < WIDTH; c++) {
            float kept = rows[c];
            rows[c] = rows[WIDTH + c];
            rows[WIDTH + c] = kept;
        }
        fb_params_touch(w.m->params);
        score(&w, after);
        for (int32_t i = 0; i < 3; i++)
            assert_true(moved(before, after, i) > 1e-3);
        world_close(&w);
    }
}

static void losses_are_present_only_where_sequences_are(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        fb_loss_options o = {.mode = FB_ADAPTIVE_GRADIENT};
        fb_measures measures;
        memcpy(o.enabled, every_loss, sizeof every_loss);
        begin(&w, true);
        must(&w, w.m->system->train_batch(w.m, &w.tape, w.batch, &o, &measures));
        step_numbers l = step_numbers_of(&measures);
        const int64_t rows[FB_LOSSES_ALL] = {3, 2, 2, TRIPLES, 2, 3};
        double weights = 0, total = 0;
        for (int32_t i = 0; i < FB_LOSSES_ALL; i++) {
            assert_true(l.present[i]);
            assert_int_equal(l.rows[i], rows[i]);
            weights += l.weight[i];
            total += l.weight[i] * l.loss[i];
        }
        assert_true(fabs(weights - 1) < 1e-12 && fabs(total - l.total) < 1e-12);
        assert_int_equal(l.pairs, TRIPLES);
        w.batch->pairs = TRIPLES;
        w.batch->mlm_count = 0;
        fb_batch_pack(w.batch);
        begin(&w, true);
        must(&w, w.m->system->train_batch(w.m, &w.tape, w.batch, &o, &measures));
        l = step_numbers_of(&measures);
        for (int32_t i = 0; i < FB_LOSSES_ALL; i++)
            assert_int_equal(l.present[i], i == FB_LOSS_CLICK || i == FB_LOSS_MPM);
        world_close(&w);
    }
}

static void right_answers_are_the_larger_logits_of_triples(void **state)
{
    (void)state;
    world w;
    EACH_KIND(w)
    {
        fb_loss_options o = {.enabled = {[FB_LOSS_CLICK] = true}};
        fb_measures measures;
        float margins[TRIPLES];
        begin(&w, false);
        must(&w, w.m->system->losses(w.m, &w.tape, w.batch, &o, &measures));
        step_numbers l = step_numbers_of(&measures);
        score(&w, margins);
        double want = 0;
        int64_t right = 0;
        for (int32_t i = 0; i < TRIPLES; i++) {
            double m = (double)margins[i], x = sequences[i][3] ? m : -m;
            want += log1p(exp(-x)) / TRIPLES;
            right += (m > 0) == (sequences[i][3] == 1);
        }
        assert_int_equal(l.pairs_right, right);
        assert_true(fabs(l.loss[FB_LOSS_CLICK] - want) <= 10 * kinds[kind_].tolerance);
        world_close(&w);
    }
}

/* ---- where it begins --------------------------------------------------------------
 */

static fb_matcher *make_fashionbert(const world *w, int32_t width)
{
    fb_model_config c = config();
    fb_matcher *m;
    c.system = fb_systems_find("fashionbert");
    c.segments = 2;
    c.width = width;
    must(w, fb_matcher_create(w->ctx, &m, &c, FB_MODEL_SCORE));
    fill_parameters(m->params, 0);
    return m;
}

static const float *numbers_of(const fb_params *params, const char *name)
{
    for (const fb_param *p = params->first; p; p = p->next)
        for (int32_t i = 0; i < p->parts; i++)
            if (strcmp(p->name[i], name) == 0)
                return params->value + p->offset +
                       i * (p->rows / p->parts) * p->columns;
    fail_msg("there is no %s", name);
    return NULL;
}

static void expect_equal(const float *got, const float *want, int64_t count)
{
    assert_memory_equal(got, want, (size_t)count * sizeof *got);
}

static void it_begins_where_fashionbert_ended(void **state)
{
    (void)state;
    world w;
    assert_true(world_open(&w, 0, "ref", "f32"));
    fb_params_initialise(w.m->params, 5);
    fb_matcher *m = make_fashionbert(&w, WIDTH);
    const fb_params *from = m->params, *to = w.m->params;
    must(&w, fb_qti_begin(w.ctx, w.m, m));
    const float *text =
        numbers_of(from, "bert.embeddings.token_type_embeddings.weight");
    const float *image = numbers_of(from, "image.type_embeddings.weight");
    const float *rows = numbers_of(to, "bert.embeddings.token_type_embeddings.weight");
    expect_equal(rows, text, WIDTH);
    expect_equal(rows + WIDTH, text, WIDTH);
    expect_equal(rows + 2 * WIDTH, image + WIDTH, WIDTH);
    static const char *const heads[] = {"click", "match_qt", "match_qi", "match"};
    for (int i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s.weight", heads[i]);
        expect_equal(numbers_of(to, name), numbers_of(from, "match.weight"), 2 * WIDTH);
        snprintf(name, sizeof name, "%s.bias", heads[i]);
        expect_equal(numbers_of(to, name), numbers_of(from, "match.bias"), 2);
    }
    int32_t same = 0;
    for (const fb_param *p = from->first; p; p = p->next) {
        if (strstr(p->name[0], "type_embeddings"))
            continue;
        expect_equal(numbers_of(to, p->name[0]), from->value + p->offset,
                     p->rows * p->columns);
        same++;
    }
    assert_true(same > 30);
    m->system->free(m, NULL);
    world_close(&w);
}

/* A title and an image alone are read as FashionBERT reads them, but for [SEP]'s
 * position: without any position both say the same. */
static void titles_and_images_are_read_as_before(void **state)
{
    (void)state;
    world w;
    assert_true(world_open(&w, 0, "ref", "f32"));
    fb_matcher *m = make_fashionbert(&w, WIDTH);
    must(&w, fb_qti_begin(w.ctx, w.m, m));
    fb_fashionbert_pass pass = forward(&w, false);
    const float *l = pass.logits[FB_LOSS_TIA]->value.data;
    double want[2] = {(double)(l[1] - l[0]), (double)(l[3] - l[2])};
    fb_batch *b = w.batch; /* the two sequences of a title and an image, as pairs */
    b->pairs = 0;
    for (int32_t i = 0; i < 2; i++)
        fb_batch_add_pair(b, -1, sequences[9 + i][1], sequences[9 + i][2], 0);
    memset(b->token_segments, 0, (size_t)fb_batch_text_tokens(b) * sizeof(int32_t));
    fb_batch_pack(b);
    float margins[2];
    begin(&w, false);
    must(&w, m->system->score(m, &w.tape, b, margins));
    for (int32_t i = 0; i < 2; i++)
        assert_true(fabs((double)margins[i] - want[i]) <= 2e-5);
    m->system->free(m, NULL);
    world_close(&w);
}

static void a_model_that_does_not_fit_changes_nothing(void **state)
{
    (void)state;
    world w;
    assert_true(world_open(&w, 0, "ref", "f32"));
    size_t bytes = (size_t)w.m->params->total * sizeof(float);
    float *before = malloc(bytes);
    memcpy(before, w.m->params->value, bytes);
    fb_matcher *m = make_fashionbert(&w, 16);
    assert_int_equal(fb_qti_begin(w.ctx, w.m, m), FB_E_SHAPE);
    assert_non_null(strstr(fb_context_message(w.ctx), "another shape of"));
    assert_memory_equal(before, w.m->params->value, bytes);
    m->system->free(m, NULL);
    assert_int_equal(fb_qti_begin(w.ctx, w.m, w.m), FB_E_SHAPE); /* no FashionBERT */
    assert_memory_equal(before, w.m->params->value, bytes);
    free(before);
    world_close(&w);
}

static void what_is_no_triple_is_refused(void **state)
{
    (void)state;
    world w;
    float margins[SEQUENCES];
    assert_true(world_open(&w, 0, "ref", "f32"));
    begin(&w, false);
    assert_int_equal(w.m->system->score(w.m, &w.tape, w.batch, margins), FB_E_SHAPE);
    assert_false(fb_matcher_gives(w.m, FB_GIVES_VECTORS));
    int32_t *kept = w.batch->pair_query;
    w.batch->pair_query = NULL;
    assert_int_equal(w.m->system->score(w.m, &w.tape, w.batch, margins), FB_E_SHAPE);
    assert_non_null(strstr(fb_context_message(w.ctx), "no queries"));
    w.batch->pair_query = kept;
    fb_model_config c = config();
    c.segments = 2;
    assert_int_equal(fb_model_config_check(w.ctx, &c, "x.json"), FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(w.ctx), "x.json: qti needs"));
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_of_a_triple_counts),
        cmocka_unit_test(triples_scored_together_equal_each_alone),
        cmocka_unit_test(every_segment_counts),
        cmocka_unit_test(query_and_title_are_told_apart),
        cmocka_unit_test(losses_are_present_only_where_sequences_are),
        cmocka_unit_test(right_answers_are_the_larger_logits_of_triples),
        cmocka_unit_test(it_begins_where_fashionbert_ended),
        cmocka_unit_test(titles_and_images_are_read_as_before),
        cmocka_unit_test(a_model_that_does_not_fit_changes_nothing),
        cmocka_unit_test(what_is_no_triple_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

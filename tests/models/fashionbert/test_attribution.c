/* test_attribution.c - weights of tokens and patches: what they sum to, that each is
 * the derivative that it says it is, and that the score is the one that scoring gives.
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

#include "models/fashionbert/attribution.h"

#include "nn/optimizer.h"
#include "support/model_world.h"
#include "support/twin_training.h"

enum { MASK = 4, COUNT = 6, BYTES = SIZE * SIZE * 3 };

/* Word ids differ from each other and from MASK. */
static const int32_t ids[COUNT] = {2, 9, 17, 11, 30, 3};

typedef struct shape {
    const char *encoder;
    bool each;
    int32_t vector, views;
    double alignment, similarity;
    bool late; /* patches join behind the last layer, where the text's vector has left
                  before; they are multiplied with the words */
} shape;

static const shape shapes[] = {
    {"pixels", false, 0, 1, 1, 0, false},   {"pixels", false, 8, 2, 0.7, 9, false},
    {"thin", false, 8, 2, 0, 1200, false},  {"thin", false, 8, 2, 50, 600, false},
    {"thin", false, 8, 1, 50, -600, false}, {"thin", true, 8, 2, 100, 500, false},
    {"thin", false, 8, 2, 50, -600, true},
};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static void set_photo(world *w, const uint8_t *photo)
{
    memcpy(w->batch->pixels, photo, BYTES);
}

/* Pixels of 255 less multiples of 80: half way to white, and a 40th of the way beside
 * that, are whole numbers too. */
static void draw_photo(uint8_t *photo)
{
    fb_random r = fb_random_start(3, FB_STREAM_TEST, 0);
    for (int i = 0; i < BYTES; i++)
        photo[i] = (uint8_t)(255 - 80 * (int)fb_random_below(&r, 4));
}

static void set_text(fb_batch *b)
{
    b->texts = 1;
    b->text_offsets[1] = COUNT;
    for (int i = 0; i < COUNT; i++) {
        b->token_ids[i] = ids[i];
        b->token_positions[i] = i;
        b->token_segments[i] = 0;
    }
}

/* Far from where its ReLUs bend, a network is smooth: differences then say what the
 * derivative is, and few steps are enough. */
static void straighten(world *w)
{
    const char *prefix = "image.encoder.";
    for (fb_param *p = w->m->params->first; p; p = p->next)
        if (strncmp(p->name[0], prefix, strlen(prefix)) == 0 &&
            strstr(p->name[0], ".bias"))
            for (int64_t i = 0; i < p->rows; i++)
                fb_params_value(w->m->params, &p->leaf)[i] = 16;
    const fb_params *p = w->m->params; /* which have been moved already */
    if (!w->be->m->host)
        must(w, w->be->m->upload(w->ctx, w->be, p->on.value, p->value,
                                 (size_t)p->total * sizeof(float)));
}

static bool open_shape(world *w, const kind *k, const shape *s)
{
    uint8_t photo[BYTES];
    fb_model_config c = config();
    snprintf(c.encoder, sizeof c.encoder, "%s", s->encoder);
    c.each = s->each;
    c.vector = s->vector;
    c.text_layers = s->vector ? 1 : 0;
    c.views = s->views;
    c.patches_from = s->late ? c.layers : 0;
    c.head = s->late ? FB_HEAD_PRODUCT : FB_HEAD_CLS;
    if (!world_open_as(w, k, c, FB_MODEL_SCORE))
        return false;
    straighten(w);
    draw_photo(photo);
    set_text(w->batch);
    set_photo(w, photo);
    memset(w->batch->pixels + BYTES, 0xff, BYTES);
    w->batch->images = 2;
    return true;
}

static fb_status attribute(world *w, const fb_attribution_options *o,
                           fb_attribution *out)
{
    begin(w, false);
    return w->m->system->attribute(w->m, &w->tape, w->batch, o, out);
}

static fb_attribution explain(world *w, const shape *s, int32_t steps)
{
    fb_attribution found;
    /* So large a similarity is for what straight networks tell apart; bf16 does not. */
    double share = w->be->dtype == FB_F32 ? 1 : 0.01;
    const fb_attribution_options o = {.alignment = s->alignment * share,
                                      .similarity = s->similarity * share,
                                      .mask_id = MASK,
                                      .steps = steps};
    must(w, attribute(w, &o, &found));
    return found;
}

static double sum_of(const double *x, int32_t count)
{
    double sum = 0;
    for (int32_t i = 0; i < count; i++)
        sum += x[i];
    return sum;
}

#define EACH_SHAPE(w, s)                                                               \
    for (size_t kind_ = 0; kind_ < 3; kind_++)                                         \
        for (const shape *s = shapes; s < shapes + SHAPES; s++)                        \
            if ((kind_ > 0 || s - shapes < 2 || s - shapes == 3) &&                    \
                open_shape(&(w), &kinds[kind_], s)) /* ref is slow: one network */

static void near(const char *what, const shape *s, size_t k, double got, double want,
                 double tolerance)
{
    if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
        fail_msg("%s, %s %s, %s of %d, views %d, %g and %g: %.7g is not %.7g", what,
                 kinds[k].backend, kinds[k].dtype, s->encoder, (int)s->vector,
                 (int)s->views, s->alignment, s->similarity, got, want);
}

/* ---- */

static void points_integrate_polynomials_exactly(void **state)
{
    (void)state;
    for (int32_t n = 1; n <= 40; n++) {
        double at[40], weight[40];
        fb_gauss_legendre(n, at, weight);
        for (int32_t power = 0; power < 2 * n; power++) {
            double sum = 0;
            for (int32_t i = 0; i < n; i++)
                sum += weight[i] * pow(at[i], power);
            assert_true(fabs(sum - 1.0 / (power + 1)) <= 1e-13);
        }
    }
}

static void weights_sum_to_what_they_share_out(void **state)
{
    (void)state;
    static const double tolerance[3] = {2e-4, 2e-4, 6e-2};
    static const double behind_network[3] = {1e-2, 1e-2, 6e-2};
    world w;
    EACH_SHAPE(w, s)
    {
        fb_attribution a = explain(&w, s, 16);
        near("tokens", s, kind_, sum_of(a.tokens, COUNT), a.score - a.without_text,
             tolerance[kind_]);
        bool network = strcmp(s->encoder, "pixels") != 0;
        near("patches", s, kind_, sum_of(a.patches, P), a.score - a.without_image,
             network ? behind_network[kind_] : tolerance[kind_]);
        assert_true(kind_ == 2 || fabs(a.score - a.without_text) > 1e-2);
        assert_true(kind_ == 2 || fabs(a.score - a.without_image) > 0.2);
        assert_true(a.tokens[0] == 0 && a.tokens[COUNT - 1] == 0);
        world_close(&w);
    }
}

static void bends_only_ask_for_more_steps(void **state)
{
    (void)state;
    world w;
    const shape *s = &shapes[3];
    assert_true(open_shape(&w, &kinds[1], s));
    fb_params_initialise(w.m->params, 12); /* straight no more */
    fb_attribution a = explain(&w, s, 256);
    near("patches", s, 1, sum_of(a.patches, P), a.score - a.without_image, 1e-1);
    world_close(&w);
}

static double similarity_of(world *w)
{
    float u[8], v[2 * 8];
    double dot = 0;
    begin(w, false);
    must(w, w->m->system->vectors(w->m, &w->tape, w->batch, u, v));
    for (int i = 0; i < 8; i++)
        dot += (double)u[i] * (double)v[i];
    return dot;
}

static void score_is_the_one_that_scoring_gives(void **state)
{
    (void)state;
    world w;
    EACH_SHAPE(w, s)
    {
        float margin = 0;
        fb_attribution a = explain(&w, s, 2);
        double score = a.score, want = 0;
        fb_batch *b = w.batch;
        b->pairs = 1;
        b->pair_text[0] = b->pair_image[0] = 0;
        memset(b->patch_masked, 0, IMAGES * P);
        fb_batch_pack(b);
        begin(&w, false);
        if (s->alignment != 0)
            must(&w, w.m->system->score(w.m, &w.tape, b, &margin));
        want = s->alignment * (double)margin;
        if (s->similarity != 0)
            want += s->similarity * similarity_of(&w);
        want *= w.be->dtype == FB_F32 ? 1 : 0.01;
        near("score", s, kind_, score, want, 5 * kinds[kind_].tolerance);
        world_close(&w);
    }
}

/* ---- one step is the derivative half way ---------------------------------------- */

static float *row_of(world *w, int32_t id)
{
    fb_fashionbert *m = (fb_fashionbert *)w->m;
    m->word->weight.version++;
    return fb_params_value(w->m->params, m->word) + (int64_t)id * m->word->weight.in;
}

static double score_now(world *w, const shape *s)
{
    return explain(w, s, 1).score;
}

static void token_weight_is_a_derivative(void **state)
{
    (void)state;
    enum { WIDTH = 32 };
    const float h = 0.02f;
    world w;
    for (const shape *s = shapes; s < shapes + SHAPES; s++) {
        assert_true(open_shape(&w, &kinds[1], s));
        double weights[COUNT];
        float change[COUNT][WIDTH];
        memcpy(weights, explain(&w, s, 1).tokens, sizeof weights);
        for (int i = 1; i < COUNT - 1; i++)
            for (int c = 0; c < WIDTH; c++) {
                float *x = row_of(&w, ids[i]) + c;
                change[i][c] = *x - row_of(&w, MASK)[c];
                *x -= change[i][c] / 2; /* all words stand half way */
            }
        for (int i = 1; i < COUNT - 1; i++) {
            double score[2];
            for (int side = 0; side < 2; side++) {
                for (int c = 0; c < WIDTH; c++)
                    row_of(&w, ids[i])[c] += (side ? 2 * h : -h) * change[i][c];
                score[side] = score_now(&w, s);
            }
            for (int c = 0; c < WIDTH; c++)
                row_of(&w, ids[i])[c] -= h * change[i][c];
            near("token", s, 1, weights[i], (score[1] - score[0]) / (2 * (double)h),
                 1e-2);
        }
        world_close(&w);
    }
}

/* Pixels of one patch, a 40th of their way to white further from it or nearer. */
static void move_patch(uint8_t *to, const uint8_t *halfway, const uint8_t *photo,
                       int32_t patch, int32_t side)
{
    enum { EDGE = SIZE / 2 };
    memcpy(to, halfway, BYTES);
    for (int y = 0; y < EDGE; y++)
        for (int x = 0; x < EDGE * 3; x++) {
            int at = ((patch / 2 * EDGE + y) * SIZE + patch % 2 * EDGE) * 3 + x;
            to[at] = (uint8_t)(halfway[at] + side * (photo[at] - 255) / 40);
        }
}

static void patch_weight_is_a_derivative(void **state)
{
    (void)state;
    uint8_t photo[BYTES], halfway[BYTES], moved[BYTES];
    world w;
    draw_photo(photo);
    for (int i = 0; i < BYTES; i++)
        halfway[i] = (uint8_t)((photo[i] + 255) / 2);
    for (const shape *s = shapes; s < shapes + SHAPES; s++) {
        assert_true(open_shape(&w, &kinds[1], s));
        double weights[P];
        memcpy(weights, explain(&w, s, 1).patches, sizeof weights);
        for (int32_t p = 0; p < P; p++) {
            move_patch(moved, halfway, photo, p, 1);
            set_photo(&w, moved);
            double up = score_now(&w, s);
            move_patch(moved, halfway, photo, p, -1);
            set_photo(&w, moved);
            near("patch", s, 1, weights[p], (up - score_now(&w, s)) * 20, 2e-2);
        }
        world_close(&w);
    }
}

/* ---- */

/* On a memory of its own (poison_backend.h), whole and in turns of one image. */
static void another_memory_gives_refs_bits(void **state)
{
    (void)state;
    static const kind twins[2] = {{"ref", "f32", 0}, {"poison", "f32", 0}};
    static const int tried[][2] = {{0, 0}, {1, 1}, {3, 1}, {6, 0}}; /* shape, turns */
    for (int i = 0; i < 4; i++) {
        const shape *s = &shapes[tried[i][0]];
        fb_attribution_options o = {.alignment = s->alignment,
                                    .similarity = s->similarity,
                                    .mask_id = MASK,
                                    .steps = 2,
                                    .pixels = tried[i][1]};
        fb_attribution a[2];
        world w[2];
        for (int k = 0; k < 2; k++) {
            assert_true(open_shape(&w[k], &twins[k], s));
            must(&w[k], attribute(&w[k], &o, &a[k]));
        }
        assert_true(isfinite(a[0].score) && a[0].score == a[1].score);
        assert_true(a[0].without_text == a[1].without_text);
        assert_true(a[0].without_image == a[1].without_image);
        assert_memory_equal(a[0].tokens, a[1].tokens, COUNT * sizeof(double));
        assert_memory_equal(a[0].patches, a[1].patches, P * sizeof(double));
        assert_true(a[0].tokens[1] != 0 && a[0].patches[0] != 0);
        world_close(&w[0]);
        close_poison(&w[1]);
    }
}

static bool count_down(void *self)
{
    return --*(int *)self > 0;
}

static void turns_of_the_network_give_the_same(void **state)
{
    (void)state;
    world w;
    const shape *s = &shapes[3];
    assert_true(open_shape(&w, &kinds[1], s));
    fb_attribution_options o = {.alignment = s->alignment,
                                .similarity = s->similarity,
                                .mask_id = MASK,
                                .steps = 7};
    fb_attribution a;
    double whole[P];
    must(&w, attribute(&w, &o, &a));
    memcpy(whole, a.patches, sizeof whole);
    const int64_t pixels[] = {1, 3 * 2 * SIZE * SIZE}; /* by 1, and 3 + 3 + 1 */
    for (int i = 0; i < 2; i++) {
        o.pixels = pixels[i];
        must(&w, attribute(&w, &o, &a));
        for (int p = 0; p < P; p++)
            near("patch in turns", s, 1, a.patches[p], whole[p], 1e-5);
    }
    int left = 1000; /* pauses: words and patches in parts of two steps */
    o.pause = count_down;
    o.pause_self = &left;
    must(&w, attribute(&w, &o, &a));
    assert_true(left <= 1000 - 8);
    for (int p = 0; p < P; p++)
        near("patch between pauses", s, 1, a.patches[p], whole[p], 1e-5);
    left = 2; /* broken off */
    assert_int_equal(attribute(&w, &o, &a), FB_E_STATE);
    assert_int_equal(left, 0);
    world_close(&w);
}

static void nothing_to_tell_apart_weighs_nothing(void **state)
{
    (void)state;
    world w;
    const shape *s = &shapes[3];
    assert_true(open_shape(&w, &kinds[1], s));
    w.batch->token_ids[2] = MASK;
    memset(w.batch->pixels, 0xff, 3 * BYTES);
    fb_attribution a = explain(&w, s, 8);
    assert_true(a.tokens[2] == 0 && a.tokens[1] != 0);
    /* The same pair twice in one batch; a processor may round its rows differently, and
     * the shape weighs a cosine by 600. */
    near("score of a blank photo", s, 1, a.score, a.without_image, 1e-5);
    for (int p = 0; p < P; p++)
        assert_true(a.patches[p] == 0);
    w.batch->text_offsets[1] = 2; /* [CLS] [SEP] */
    a = explain(&w, s, 8);
    assert_true(a.tokens[0] == 0 && a.tokens[1] == 0);
    near("no words", s, 1, a.score, a.without_text, 1e-5);
    world_close(&w);
}

static void refused(world *w, const fb_attribution_options *o, fb_status want)
{
    fb_attribution untouched = {.score = 7};
    assert_int_equal(attribute(w, o, &untouched), want);
    assert_true(untouched.score == 7 && untouched.tokens == NULL);
}

static void wrong_arguments_are_refused(void **state)
{
    (void)state;
    world w;
    assert_true(open_shape(&w, &kinds[0], &shapes[0]));
    fb_attribution_options o = {.alignment = 1, .mask_id = MASK};
    refused(&w, &o, FB_E_USAGE);
    o.steps = FB_ATTRIBUTION_STEPS + 1;
    refused(&w, &o, FB_E_USAGE);
    o.steps = 2;
    o.similarity = 1;
    refused(&w, &o, FB_E_STATE);
    o.similarity = 0;
    w.batch->images = 1;
    refused(&w, &o, FB_E_SHAPE);
    w.batch->images = 2;
    fb_params_value(w.m->params, ((fb_fashionbert *)w.m)->match_weight)[0] = NAN;
    ((fb_fashionbert *)w.m)->match_weight->weight.version++;
    refused(&w, &o, FB_E_NUMBER);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_integrate_polynomials_exactly),
        cmocka_unit_test(weights_sum_to_what_they_share_out),
        cmocka_unit_test(bends_only_ask_for_more_steps),
        cmocka_unit_test(score_is_the_one_that_scoring_gives),
        cmocka_unit_test(token_weight_is_a_derivative),
        cmocka_unit_test(patch_weight_is_a_derivative),
        cmocka_unit_test(another_memory_gives_refs_bits),
        cmocka_unit_test(turns_of_the_network_give_the_same),
        cmocka_unit_test(nothing_to_tell_apart_weighs_nothing),
        cmocka_unit_test(wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

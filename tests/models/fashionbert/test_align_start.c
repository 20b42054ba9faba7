/* test_align_start.c - how alignment begins where vectors were learnt before: the patch
 * projection and the two layers behind the product of words and patches.
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

#include "models/fashionbert/fashionbert_parts.h"
#include "support/model_world.h"
#include "support/op_harness.h"

enum { VECTOR = 8 };

static fb_fashionbert *open_vectors(world *w, const kind *k, fb_alignment_head head)
{
    fb_model_config c = config();
    c.vector = VECTOR;
    c.text_layers = 1;
    c.patches_from = c.layers; /* words and patches never look at each other */
    c.head = head;
    if (!world_open_as(w, k, c, FB_MODEL_TRAIN))
        return NULL;
    return (fb_fashionbert *)w->m;
}

static float *values(const fb_fashionbert *m, const fb_leaf *leaf)
{
    return fb_params_value(m->matcher.params, leaf);
}

/* A projector of the size it had, in the direction of text.weight^T image.weight. */
static void check_projector(const fb_fashionbert *m, double size)
{
    int64_t width = m->matcher.config.width,
            features = fb_model_config_features(&m->matcher.config);
    const float *text = values(m, m->contrast.text_weight),
                *image = values(m, m->contrast.image_weight),
                *got = values(m, m->projector);
    double dot = 0, wanted = 0, made = 0;
    for (int64_t c = 0; c < width; c++)
        for (int64_t f = 0; f < features; f++) {
            double sum = 0, g = (double)got[c * features + f];
            for (int64_t d = 0; d < VECTOR; d++)
                sum += (double)text[d * width + c] * (double)image[d * features + f];
            dot += sum * g;
            wanted += sum * sum;
            made += g * g;
        }
    assert_true(fabs(sqrt(made) - size) < 1e-4 * size);
    assert_true(dot > 0.99999 * sqrt(wanted * made));
}

static double size_of(const fb_fashionbert *m, const fb_leaf *leaf)
{
    double sum = 0;
    const float *x = values(m, leaf);
    for (int64_t i = 0; i < leaf->weight.out * leaf->weight.in; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static void patches_enter_as_the_vectors_see_them(void **state)
{
    (void)state;
    world w;
    fb_fashionbert *m = open_vectors(&w, &kinds[0], FB_HEAD_CLS);
    double size = size_of(m, m->projector), pooler = size_of(m, m->pooler_weight);
    fb_fashionbert_align_patches(w.m);
    check_projector(m, size);
    assert_true(fabs(size_of(m, m->pooler_weight) - pooler) <= 0);
    world_close(&w);
}

static void clear(const fb_fashionbert *m, const fb_leaf *leaf)
{
    memset(values(m, leaf), 0,
           (size_t)(leaf->weight.out * leaf->weight.in) * sizeof(float));
}

static double mean_of(const fb_tensor *t, int64_t first, int64_t count, int64_t column)
{
    double sum = 0;
    for (int64_t i = first; i < first + count; i++)
        sum += (double)op_number(t, i * t->dims[1] + column);
    return sum / (double)count;
}

/* Mean over rows, then of mean 0 and variance 1 over columns. */
static void normed_mean(double *mean, const fb_tensor *t, int64_t first, int64_t count)
{
    int64_t width = t->dims[1];
    double sum = 0, squares = 0;
    for (int64_t c = 0; c < width; c++)
        sum += mean[c] = mean_of(t, first, count, c);
    for (int64_t c = 0; c < width; c++) {
        mean[c] -= sum / (double)width;
        squares += mean[c] * mean[c];
    }
    for (int64_t c = 0; c < width; c++)
        mean[c] /= sqrt(squares / (double)width);
}

/* sum over columns of tanh(mean of the words * mean of the patches), times .14 */
static double expected_margin(const fb_fashionbert_pass *pass, int32_t pair)
{
    int32_t text = pairs[pair][0], image = pairs[pair][1];
    double words[256], patches[256], sum = 0;
    normed_mean(words, &pass->alone->value, text_offsets[text],
                text_offsets[text + 1] - text_offsets[text]);
    normed_mean(patches, &pass->patches->value, (int64_t)image * P, P);
    for (int64_t c = 0; c < pass->alone->value.dims[1]; c++)
        sum += tanh(words[c] * patches[c]);
    return 0.14 * sum;
}

static void the_product_begins_as_its_sum(void **state)
{
    (void)state;
    static const bool tia[FB_LOSSES_ALL] = {[FB_LOSS_TIA] = true};
    for (size_t k = 0; k < 3; k++) {
        world w;
        fb_fashionbert_pass pass;
        fb_fashionbert *m = open_vectors(&w, &kinds[k], FB_HEAD_PRODUCT);
        if (!m)
            continue;
        clear(m, m->pooler_weight);
        clear(m, m->match_weight);
        fb_fashionbert_align_patches(w.m);
        begin(&w, false);
        must(&w, fb_fashionbert_forward(m, &w.tape, w.batch, tia, false, &pass));
        const float *logits = pass.logits[FB_LOSS_TIA]->value.data;
        for (int32_t i = 0; i < PAIRS; i++) {
            double got = (double)logits[2 * i + 1] - (double)logits[2 * i],
                   want = expected_margin(&pass, i);
            if (!(fabs(got - want) <= kinds[k].tolerance * 20))
                fail_msg("%s %s: the margin of pair %d is %.7g, not %.7g",
                         kinds[k].backend, kinds[k].dtype, i, got, want);
        }
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patches_enter_as_the_vectors_see_them),
        cmocka_unit_test(the_product_begins_as_its_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_frozen_encoder.c - an image network that is not trained: it takes no gradients
 * and no moments, is saved and stays as it is, and its features computed before give
 * what its pixels give. And one that is trained: masked patches do not pull at it as
 * targets.
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

#include "nn/optimizer.h"
#include "nn/weights.h"
#include "support/model_world.h"

static const fb_loss_options all_losses = {.enabled = {true, true, true},
                                           .mode = FB_ADAPTIVE_FIXED};

/* Over 16 x 16 pixels "thin" makes 2 x 2 patches. */
static bool thin_open(world *w, const kind *k, fb_model_use use)
{
    fb_model_config c = config();
    strcpy(c.encoder, "thin");
    return world_open_as(w, k, c, use);
}

static bool is_network(const fb_param *p)
{
    return strncmp(p->name[0], "image.encoder.", 14) == 0;
}

static float *copy_values(const world *w)
{
    size_t bytes = (size_t)w->m->params->total * sizeof(float);
    float *copy = malloc(bytes);
    assert_non_null(copy);
    memcpy(copy, w->m->params->value, bytes);
    return copy;
}

static void expect_moved(const world *w, const float *before)
{
    int32_t frozen = 0;
    for (const fb_param *p = w->m->params->first; p; p = p->next) {
        size_t bytes = (size_t)(p->rows * p->columns) * sizeof(float);
        bool same =
            memcmp(before + p->offset, w->m->params->value + p->offset, bytes) == 0;
        if (same != is_network(p))
            fail_msg("%s %s", p->name[0], same ? "did not move" : "moved");
        frozen += is_network(p);
    }
    assert_true(frozen > 20);
}

static void step(world *w)
{
    static const fb_optimizer_options o = {
        .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-8, .weight_decay = 0.1};
    fb_optimizer_figures f;
    train(w, &all_losses);
    must(w, fb_optimizer_step(w->ctx, w->m->params, w->be, &o, 0, 10, 1.0f, &f));
    assert_true(f.norm > 0);
}

static void a_frozen_network_has_no_gradients_and_stays(void **state)
{
    (void)state;
    world w;
    for (size_t k = 0; k < 3; k++) {
        if (!thin_open(&w, &kinds[k], FB_MODEL_TRAIN_FROZEN))
            continue;
        const fb_params *params = w.m->params;
        int64_t network = 0;
        for (const fb_param *p = params->first; p; p = p->next) {
            assert_true(p->frozen == is_network(p));
            assert_true((p->leaf.grad == NULL) == is_network(p));
            assert_ptr_equal(p->leaf.weight.data, params->value + p->offset);
            if (is_network(p))
                network += p->rows * p->columns;
            else
                assert_true(p->offset + p->rows * p->columns <= params->trained);
        }
        assert_true(network > 900000);
        assert_true(params->total - params->trained >= network);
        float *before = copy_values(&w);
        step(&w);
        expect_moved(&w, before);
        free(before);
        world_close(&w);
    }
}

static void norms_over_shared_parameters_leave_it_out(void **state)
{
    (void)state;
    world w;
    fb_loss_options o = all_losses;
    o.mode = FB_ADAPTIVE_GRADIENT;
    o.shared_norms = true;
    assert_true(thin_open(&w, &kinds[1], FB_MODEL_TRAIN_FROZEN));
    fb_pass_losses losses = weigh(&w, &o);
    for (int i = 0; i < FB_LOSSES; i++)
        assert_true(losses.squared_norm[i] > 0);
    for (const fb_param *p = w.m->params->first; p; p = p->next)
        assert_true((p->leaf.grad == NULL) == is_network(p));
    world_close(&w);
}

static void it_is_saved_without_moments_and_loaded(void **state)
{
    (void)state;
    char folder[] = "/tmp/fb_frozen_XXXXXX", values[64], moments[64];
    assert_non_null(mkdtemp(folder));
    snprintf(values, sizeof values, "%s/values", folder);
    snprintf(moments, sizeof moments, "%s/moments", folder);
    world a, b;
    assert_true(thin_open(&a, &kinds[1], FB_MODEL_TRAIN_FROZEN));
    assert_true(thin_open(&b, &kinds[1], FB_MODEL_TRAIN_FROZEN));
    step(&a);
    fb_params *from = a.m->params, *to = b.m->params;
    fb_params_initialise(to, 99);
    must(&a, fb_weights_save(a.ctx, from, values));
    must(&a, fb_moments_save(a.ctx, from, moments));
    must(&b, fb_weights_load(b.ctx, to, values));
    must(&b, fb_moments_load(b.ctx, to, moments));
    assert_memory_equal(from->value, to->value, (size_t)from->total * sizeof(float));
    size_t bytes = (size_t)from->trained * sizeof(float);
    assert_memory_equal(from->moment1, to->moment1, bytes);
    assert_memory_equal(from->moment2, to->moment2, bytes);

    fb_safetensors *file;
    must(&a, fb_safetensors_open(a.ctx, &file, moments));
    assert_int_equal(file->count > 0, 1);
    for (int32_t i = 0; i < file->count; i++)
        assert_null(strstr(file->tensors[i].name, "image.encoder."));
    assert_non_null(fb_safetensors_find(file, "image.projector.weight.moment2"));
    fb_safetensors_close(file);
    must(&a, fb_safetensors_open(a.ctx, &file, values));
    assert_non_null(fb_safetensors_find(file, "image.encoder.conv1.weight"));
    assert_non_null(fb_safetensors_find(file, "image.encoder.bn1.running_var"));
    fb_safetensors_close(file);

    world trained; /* the same network with moments is something else */
    assert_true(thin_open(&trained, &kinds[1], FB_MODEL_TRAIN));
    assert_int_equal(fb_moments_load(trained.ctx, trained.m->params, moments),
                     FB_E_FORMAT);
    world_close(&trained);
    world_close(&a);
    world_close(&b);
    unlink(values);
    unlink(moments);
    rmdir(folder);
}

/* The world's batch with the features of its pixels in their place. */
static void give_features(world *w, fb_bf16 *features)
{
    begin(w, false);
    must(w, w->m->system->features(w->m, &w->tape, w->batch->pixels, IMAGES, features));
    memset(w->batch->pixels, 0, IMAGES * SIZE * SIZE * 3);
    w->batch->feature_width = fb_model_config_features(&w->m->config);
    w->batch->features = features;
}

static void features_given_train_like_pixels(void **state)
{
    (void)state;
    world w;
    for (size_t k = 0; k < 3; k++) {
        if (!thin_open(&w, &kinds[k], FB_MODEL_TRAIN_FROZEN))
            continue;
        w.dropout = 0.2f;
        w.key = 5;
        /* bf16 is what the network computes there, elsewhere it rounds */
        double bound = w.be->dtype == FB_BF16 ? 0 : 2e-3;
        step_numbers pixels = train(&w, &all_losses);
        float *gradients = copy_gradients(&w);
        clear_gradients(&w);
        size_t numbers = (size_t)(IMAGES * P * fb_model_config_features(&w.m->config));
        fb_bf16 *features = malloc(numbers * sizeof *features);
        give_features(&w, features);
        step_numbers given = train(&w, &all_losses);
        for (int i = 0; i < FB_LOSSES; i++)
            if (!(fabs(given.loss[i] - pixels.loss[i]) <= bound * pixels.loss[i]))
                fail_msg("%s %s loss %d: %g, with pixels %g", kinds[k].backend,
                         kinds[k].dtype, i, given.loss[i], pixels.loss[i]);
        double largest = 0, worst = 0;
        for (int64_t n = 0; n < w.m->params->trained; n++) {
            largest = fmax(largest, fabs((double)gradients[n]));
            worst =
                fmax(worst, fabs((double)gradients[n] - (double)w.m->params->grad[n]));
        }
        if (!(worst <= 4 * bound * largest))
            fail_msg("%s %s: gradients differ by %g of %g", kinds[k].backend,
                     kinds[k].dtype, worst, largest);
        w.batch->features = NULL;
        free(features);
        free(gradients);
        world_close(&w);
    }
}

static void features_of_another_width_are_refused(void **state)
{
    (void)state;
    world w;
    fb_measures losses;
    fb_bf16 features[IMAGES * P * 16] = {0};
    assert_true(thin_open(&w, &kinds[0], FB_MODEL_TRAIN_FROZEN));
    fb_bf16 *own = w.batch->features;
    w.batch->features = features;
    w.batch->feature_width = 16;
    begin(&w, true);
    assert_int_equal(
        w.m->system->train_batch(w.m, &w.tape, w.batch, &all_losses, &losses),
        FB_E_SHAPE);
    w.batch->features = own;
    world_close(&w);
    EACH_KIND(w) /* raw patches have none */
    {
        own = w.batch->features;
        w.batch->features = features;
        w.batch->feature_width = 16;
        begin(&w, true);
        assert_int_equal(
            w.m->system->train_batch(w.m, &w.tape, w.batch, &all_losses, &losses),
            FB_E_SHAPE);
        w.batch->features = own;
        world_close(&w);
    }
}

static double network_gradient(const world *w)
{
    double largest = 0;
    for (const fb_param *p = w->m->params->first; p; p = p->next)
        for (int64_t i = 0; is_network(p) && i < p->rows * p->columns; i++)
            largest = fmax(largest, fabs((double)p->leaf.grad[i]));
    return largest;
}

static const fb_param *param_named(const world *w, const char *name)
{
    const fb_param *p = w->m->params->first;
    while (p && strcmp(p->name[0], name) != 0)
        p = p->next;
    assert_non_null(p);
    return p;
}

/* With a projection of zero the features reach the losses as MPM's target alone. */
static void no_gradient_flows_into_the_target_of_masked_patches(void **state)
{
    (void)state;
    world w;
    for (size_t k = 0; k < 3; k++) {
        if (!thin_open(&w, &kinds[k], FB_MODEL_TRAIN))
            continue;
        step_numbers losses = train(&w, &all_losses);
        assert_true(network_gradient(&w) > 0);
        const fb_param *projector = param_named(&w, "image.projector.weight");
        memset(w.m->params->value + projector->offset, 0,
               (size_t)(projector->rows * projector->columns) * sizeof(float));
        fb_params_touch(w.m->params);
        clear_gradients(&w);
        losses = train(&w, &all_losses);
        assert_true(losses.present[FB_LOSS_MPM] && losses.loss[FB_LOSS_MPM] > 0);
        const fb_param *head = param_named(&w, "image.predictions.weight");
        double pull = 0;
        for (int64_t i = 0; i < head->rows * head->columns; i++)
            pull = fmax(pull, fabs((double)head->leaf.grad[i]));
        assert_true(pull > 0);
        assert_true(network_gradient(&w) == 0);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frozen_network_has_no_gradients_and_stays),
        cmocka_unit_test(norms_over_shared_parameters_leave_it_out),
        cmocka_unit_test(it_is_saved_without_moments_and_loaded),
        cmocka_unit_test(features_given_train_like_pixels),
        cmocka_unit_test(features_of_another_width_are_refused),
        cmocka_unit_test(no_gradient_flows_into_the_target_of_masked_patches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

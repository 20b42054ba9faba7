/* test_resnet.c - residual networks as tables: shapes, work, names and initialisation.
 * What they compute is checked against torchvision in test_resnet_reference.c.
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

#include "nn/encoders/resnet.h"

/* What torchvision publishes of its networks: parameters and 10^9 multiply-adds of a
 * 224 x 224 picture, the classifier's of 1000 classes included. */
static const struct {
    const char *name;
    int64_t parameters;
    double multiply_adds;
    int32_t features;
} published[] = {
    {"resnet18", 11689512, 1.814, 512},    {"resnet34", 21797672, 3.664, 512},
    {"resnet50", 25557032, 4.089, 2048},   {"resnet101", 44549160, 7.801, 2048},
    {"resnet152", 60192808, 11.514, 2048}, {"resnext101", 88791336, 16.414, 2048},
};

enum { PUBLISHED = sizeof published / sizeof published[0] };

typedef struct world {
    fb_context *ctx;
    fb_params *params;
    fb_resnet *net;
} world;

static const fb_resnet_spec *spec_of(const char *name)
{
    const fb_encoder *row = fb_encoder_find(name);
    assert_non_null(row);
    return row->spec;
}

static void world_open(world *w, const fb_resnet_spec *spec)
{
    *w = (world){.ctx = fb_context_create(), .net = malloc(sizeof(fb_resnet))};
    assert_non_null(w->net);
    assert_int_equal(fb_params_create(w->ctx, &w->params), FB_OK);
    assert_int_equal(fb_resnet_declare(w->params, w->net, "image.resnet", spec), FB_OK);
}

static void world_close(world *w)
{
    fb_params_free(w->params, NULL);
    free(w->net);
    fb_context_free(w->ctx);
}

static const fb_param *param(const world *w, const char *name)
{
    for (const fb_param *p = w->params->first; p; p = p->next)
        if (strcmp(p->name[0], name) == 0)
            return p;
    fail_msg("no parameter %s", name);
    return NULL;
}

static const fb_buffer *buffer(const world *w, const char *name)
{
    for (const fb_buffer *b = w->params->first_buffer; b; b = b->next)
        if (strcmp(b->name, name) == 0)
            return b;
    fail_msg("no buffer %s", name);
    return NULL;
}

static void networks_are_as_large_as_published(void **state)
{
    (void)state;
    for (int i = 0; i < PUBLISHED; i++) {
        const fb_resnet_spec *spec = spec_of(published[i].name);
        assert_non_null(spec);
        assert_int_equal(fb_resnet_features(spec), published[i].features);
        double head = 1000.0 * published[i].features;
        double work = fb_resnet_flops(spec, 224, 224) / 2 + head;
        assert_true(fabs(work / 1e9 - published[i].multiply_adds) <= 0.0006);
        world w;
        int64_t numbers = 0;
        world_open(&w, spec);
        for (const fb_param *p = w.params->first; p; p = p->next)
            numbers += p->rows * p->columns;
        assert_int_equal(numbers + (int64_t)head + 1000, published[i].parameters);
        world_close(&w);
    }
}

static void last_maps_have_the_sides_of_their_strides(void **state)
{
    (void)state;
    for (int i = 0; i < PUBLISHED; i++) {
        const fb_resnet_spec *spec = spec_of(published[i].name);
        assert_int_equal(fb_resnet_out(spec, 256), 8);
        assert_int_equal(fb_resnet_out(spec, 224), 7);
        assert_int_equal(fb_resnet_out(spec, 225), 8);
        assert_int_equal(fb_resnet_out(spec, 32), 1);
        assert_int_equal(fb_resnet_out(spec, 1), 1);
    }
    const fb_resnet_spec *thin = spec_of("thin");
    assert_int_equal(fb_resnet_out(thin, 96), 8);
    assert_int_equal(fb_resnet_features(thin), 256);
}

static void names_and_shapes_are_torchvisions(void **state)
{
    (void)state;
    world w;
    world_open(&w, spec_of("resnext101"));
    const fb_param *p = param(&w, "image.resnet.conv1.weight");
    assert_int_equal(p->rows, 64);
    assert_int_equal(p->columns, 3 * 49);
    assert_int_equal(p->kernel, 7);
    p = param(&w, "image.resnet.layer2.0.conv2.weight");
    assert_int_equal(p->rows, 512);
    assert_int_equal(p->columns, 512 / 32 * 9);
    assert_int_equal(p->kernel, 3);
    p = param(&w, "image.resnet.layer4.0.downsample.0.weight");
    assert_int_equal(p->rows, 2048);
    assert_int_equal(p->columns, 1024);
    assert_int_equal(p->kernel, 1);
    assert_int_equal(param(&w, "image.resnet.layer3.22.bn3.bias")->rows, 1024);
    assert_int_equal(param(&w, "image.resnet.layer4.0.downsample.1.weight")->rows,
                     2048);
    assert_int_equal(buffer(&w, "image.resnet.bn1.running_mean")->count, 64);
    assert_int_equal(
        buffer(&w, "image.resnet.layer1.0.downsample.1.running_var")->count, 256);
    for (p = w.params->first; p; p = p->next) /* only first blocks change shape */
        assert_true(!strstr(p->name[0], "downsample") || strstr(p->name[0], ".0.down"));
    world_close(&w);
}

static void initialisation_is_kaimings_by_fan_out(void **state)
{
    (void)state;
    world w;
    fb_resnet_spec spec = *spec_of("thin");
    for (int zero_last = 0; zero_last < 2; zero_last++) {
        spec.zero_last = zero_last;
        world_open(&w, &spec);
        assert_int_equal(fb_params_allocate(w.params, false), FB_OK);
        fb_params_initialise(w.params, 5);
        const fb_param *p = param(&w, "image.resnet.layer3.1.conv2.weight");
        double sum = 0, count = (double)(p->rows * p->columns);
        for (int64_t i = 0; i < p->rows * p->columns; i++)
            sum += pow((double)w.params->value[p->offset + i], 2);
        assert_true(fabs(sqrt(sum / count) / sqrt(2.0 / (9 * 256)) - 1) <= 0.005);
        assert_true(p->decay);
        p = param(&w, "image.resnet.layer3.1.bn2.weight");
        assert_true(w.params->value[p->offset] == (zero_last ? 0.0f : 1.0f));
        assert_true(!p->decay);
        p = param(&w, "image.resnet.layer3.0.downsample.1.weight");
        assert_true(w.params->value[p->offset] == 1.0f);
        const fb_resnet_unit *u = &w.net->block[3].unit[1];
        assert_true(u->norm.running_mean[255] == 0.0f);
        assert_true(u->norm.running_var[255] == 1.0f);
        world_close(&w);
    }
}

static void refuse(const fb_resnet_spec *spec, const char *sentence)
{
    fb_resnet *net = malloc(sizeof *net);
    fb_context *ctx = fb_context_create();
    fb_params *params;
    assert_int_equal(fb_params_create(ctx, &params), FB_OK);
    assert_int_equal(fb_resnet_declare(params, net, "r", spec), FB_E_USAGE);
    if (!strstr(fb_context_message(ctx), sentence))
        fail_msg("\"%s\" does not say \"%s\"", fb_context_message(ctx), sentence);
    assert_int_equal(params->count, 0);
    fb_params_free(params, NULL);
    fb_context_free(ctx);
    free(net);
}

static void impossible_networks_are_refused(void **state)
{
    (void)state;
    const fb_resnet_spec good = *spec_of("resnet50");
    fb_resnet_spec bad = good;
    bad.stages = 5;
    refuse(&bad, "5 stages, not 1 to 4");
    bad = good;
    bad.stem_kernel = 4;
    refuse(&bad, "kernel must be odd");
    bad = good;
    bad.stage[2].stride = 0;
    refuse(&bad, "stage 3 has 6 blocks of 256 channels and stride 0");
    bad = good;
    bad.stage[1].blocks = 60;
    refuse(&bad, "72 blocks, at most 64");
    bad = good;
    bad.stage[1].blocks = INT32_MAX;
    refuse(&bad, "stage 2");
    bad = good;
    bad.groups = 32;
    bad.group_width = 0;
    refuse(&bad, "groups");
    bad.group_width = 1;
    bad.stage[0].channels = 32;
    refuse(&bad, "stage 1 has no channel for each of 32 groups");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_are_as_large_as_published),
        cmocka_unit_test(last_maps_have_the_sides_of_their_strides),
        cmocka_unit_test(names_and_shapes_are_torchvisions),
        cmocka_unit_test(initialisation_is_kaimings_by_fan_out),
        cmocka_unit_test(impossible_networks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

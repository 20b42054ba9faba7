/* test_resnet_import.c - a ResNet's file (tools/make_pretrained_golden.py) into a table
 * that has its names behind a prefix: convolutions, norms and their running
 * statistics. */
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

#include "nn/safetensors.h"
#include "nn/weights_import.h"

#define GOLDEN FB_TEST_DATA "/golden/pretrained/resnet"
#define PREFIX "image.encoder."

enum { NORMS_MOST = 8 };

typedef struct world {
    fb_context *ctx;
    fb_params *params;
    int32_t norms;
    float *running[NORMS_MOST][2];
    fb_leaf *stem, *other;
} world;

static fb_leaf *add(world *w, const char *name, int64_t rows, int64_t columns,
                    int32_t kernel)
{
    fb_leaf *leaf;
    char full[FB_PARAM_NAME];
    const char *names = full;
    fb_param_name(full, "%s", name);
    assert_int_equal(fb_params_add(w->params, &leaf, &names,
                                   (fb_param_shape){1, rows, columns}, FB_INIT_ONE, 0,
                                   true),
                     FB_OK);
    fb_params_set_kernel(leaf, kernel, 1);
    return leaf;
}

static void add_norm(world *w, const char *name, int64_t width)
{
    char full[FB_PARAM_NAME];
    fb_param_name(full, PREFIX "%s.weight", name);
    add(w, full, width, 1, 0);
    fb_param_name(full, PREFIX "%s.bias", name);
    add(w, full, width, 1, 0);
    float **running = w->running[w->norms++];
    fb_param_name(full, PREFIX "%s.running_mean", name);
    assert_int_equal(fb_params_add_buffer(w->params, &running[0], full, width, 0),
                     FB_OK);
    fb_param_name(full, PREFIX "%s.running_var", name);
    assert_int_equal(fb_params_add_buffer(w->params, &running[1], full, width, 1),
                     FB_OK);
}

/* Stages of the golden network, and what a test wants otherwise. */
static void world_open(world *w, int stages, int32_t stem_kernel, bool downsample)
{
    *w = (world){.ctx = fb_context_create()};
    assert_int_equal(fb_params_create(w->ctx, &w->params), FB_OK);
    w->other = add(w, "image.projector.weight", 4, 8, 0);
    w->stem = add(w, PREFIX "conv1.weight", 4, (int64_t)3 * stem_kernel * stem_kernel,
                  stem_kernel);
    add_norm(w, "bn1", 4);
    add(w, PREFIX "layer1.0.conv1.weight", 4, 36, 3);
    add_norm(w, "layer1.0.bn1", 4);
    add(w, PREFIX "layer1.0.conv2.weight", 4, 36, 3);
    add_norm(w, "layer1.0.bn2", 4);
    if (stages > 1) {
        add(w, PREFIX "layer2.0.conv1.weight", 8, 36, 3);
        add_norm(w, "layer2.0.bn1", 8);
        add(w, PREFIX "layer2.0.conv2.weight", 8, 72, 3);
        add_norm(w, "layer2.0.bn2", 8);
        if (downsample) {
            add(w, PREFIX "layer2.0.downsample.0.weight", 8, 4, 1);
            add_norm(w, "layer2.0.downsample.1", 8);
        }
    }
    assert_int_equal(fb_params_allocate(w->params, true), FB_OK);
    fb_params_initialise(w->params, 1);
}

static void world_close(world *w)
{
    fb_params_free(w->params, NULL);
    fb_context_free(w->ctx);
}

static void expect_equal(const fb_safetensors *file, const char *name, const float *got)
{
    const fb_stored_tensor *t = fb_safetensors_find(file, name + strlen(PREFIX));
    assert_non_null(t);
    assert_memory_equal(t->bytes, got, (size_t)t->count * sizeof(float));
}

static void every_parameter_and_buffer_is_the_files(void **state)
{
    (void)state;
    world w;
    fb_pretrained_report report;
    fb_safetensors *file = NULL;
    world_open(&w, 2, 7, true);
    uint64_t version = w.stem->weight.version;
    assert_int_equal(fb_weights_read_resnet(w.ctx, w.params, GOLDEN, PREFIX, &report),
                     FB_OK);
    assert_int_equal(report.files, 1);
    assert_int_equal(report.tensors, 38);
    assert_int_equal(report.read, 30);
    assert_int_equal(report.ignored, 8); /* fc and num_batches_tracked */
    assert_true(w.stem->weight.version > version);
    assert_true(w.other->weight.data[0] == 1.0f);
    assert_int_equal(fb_safetensors_open(w.ctx, &file, GOLDEN "/model.safetensors"),
                     FB_OK);
    for (const fb_param *p = w.params->first->next; p; p = p->next)
        expect_equal(file, p->name[0], p->leaf.weight.data);
    for (const fb_buffer *b = w.params->first_buffer; b; b = b->next)
        expect_equal(file, b->name, *b->value);
    fb_safetensors_close(file);
    world_close(&w);
}

static void stages_that_the_table_has_not_are_left_aside(void **state)
{
    (void)state;
    world w;
    fb_pretrained_report report;
    world_open(&w, 1, 7, true);
    assert_int_equal(fb_weights_read_resnet(w.ctx, w.params, GOLDEN, PREFIX, &report),
                     FB_OK);
    assert_int_equal(report.read, 15);
    world_close(&w);
}

static void expect_refusal(world *w, const char *path, const char *const *words)
{
    float first = w->stem->weight.data[0], mean = w->running[0][0][0];
    assert_int_equal(fb_weights_read_resnet(w->ctx, w->params, path, PREFIX, NULL),
                     FB_E_FORMAT);
    for (; *words; words++)
        if (!strstr(fb_context_message(w->ctx), *words))
            fail_msg("\"%s\" lacks \"%s\"", fb_context_message(w->ctx), *words);
    assert_true(w->stem->weight.data[0] == first);
    assert_true(w->running[0][0][0] == mean);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void other_networks_are_refused_by_name(void **state)
{
    (void)state;
    world w;
    world_open(&w, 2, 5, true);
    expect_refusal(&w, GOLDEN,
                   WORDS("1 of its", "conv1.weight has shape [4,3,7,7], the model "
                                     "[4,3,5,5]"));
    world_close(&w);
    world_open(&w, 2, 7, false); /* the file computes something else */
    expect_refusal(
        &w, GOLDEN,
        WORDS("5 of its", "not of this model: layer2.0.downsample.0.weight"));
    expect_refusal(&w, FB_TEST_DATA "/golden/pretrained/bare",
                   WORDS("no tensor of a ResNet", "embeddings."));
    world_close(&w);
}

static void missing_buffers_are_named(void **state)
{
    (void)state;
    world w;
    world_open(&w, 2, 7, true);
    snprintf(w.params->last_buffer->name, FB_PARAM_NAME,
             PREFIX "layer2.0.downsample.1.running_what");
    expect_refusal(&w, GOLDEN,
                   WORDS("2 of its", "missing layer2.0.downsample.1.running_what",
                         "not of this model: layer2.0.downsample.1.running_var"));
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_parameter_and_buffer_is_the_files),
        cmocka_unit_test(stages_that_the_table_has_not_are_left_aside),
        cmocka_unit_test(other_networks_are_refused_by_name),
        cmocka_unit_test(missing_buffers_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

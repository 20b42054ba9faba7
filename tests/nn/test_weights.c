/* test_weights.c - the parameter table to and from files: what must come back, and
 * every way in which a file may not fit. */
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
#include "nn/weights.h"

enum { WIDE = 12 }; /* vectors beside the two named ones, for long lists of problems */

typedef struct world {
    fb_context *ctx;
    fb_params *params;
    fb_leaf *qkv, *bias;
    char folder[64], path[96];
} world;

/* query, key, value [2,3] as one [6,3]; bias [5]; w0 ... w11 [1] */
static void world_open(world *w)
{
    static const char *const names[3] = {"self.query", "self.key", "self.value"};
    const char *bias = "bias";
    *w = (world){.ctx = fb_context_create(), .folder = "/tmp/fb_weights_XXXXXX"};
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->path, sizeof w->path, "%s/model.safetensors", w->folder);
    assert_int_equal(fb_params_create(w->ctx, &w->params), FB_OK);
    assert_int_equal(fb_params_add(w->params, &w->qkv, names, (fb_param_shape){3, 2, 3},
                                   FB_INIT_NORMAL, 1, true),
                     FB_OK);
    assert_int_equal(fb_params_add(w->params, &w->bias, &bias,
                                   (fb_param_shape){1, 5, 1}, FB_INIT_ONE, 0, true),
                     FB_OK);
    for (int i = 0; i < WIDE; i++) {
        char name[8];
        const char *n = name;
        fb_leaf *leaf;
        snprintf(name, sizeof name, "w%d", i);
        assert_int_equal(fb_params_add(w->params, &leaf, &n, (fb_param_shape){1, 1, 1},
                                       FB_INIT_ZERO, 0, false),
                         FB_OK);
    }
    assert_int_equal(fb_params_allocate(w->params, true), FB_OK);
    fb_params_initialise(w->params, 3);
}

static void world_close(world *w)
{
    fb_params_free(w->params, NULL);
    (void)unlink(w->path);
    assert_int_equal(rmdir(w->folder), 0);
    fb_context_free(w->ctx);
}

/* What a file of this table holds, for a test to spoil. */
typedef struct contents {
    fb_saved_tensor tensors[WIDE + 8];
    int32_t count;
    float qkv[18], bias[5], zero[8];
    char names[WIDE][8];
} contents;

static void contents_fill(contents *c)
{
    static const char *const parts[3] = {"self.query", "self.key", "self.value"};
    *c = (contents){0};
    for (int i = 0; i < 18; i++)
        c->qkv[i] = (float)i;
    for (int i = 0; i < 5; i++)
        c->bias[i] = (float)i * 0.5f;
    for (int i = 0; i < 3; i++)
        c->tensors[c->count++] = (fb_saved_tensor){parts[i], 2, {2, 3}, c->qkv + i * 6};
    c->tensors[c->count++] = (fb_saved_tensor){"bias", 1, {5, 0}, c->bias};
    for (int i = 0; i < WIDE; i++) {
        snprintf(c->names[i], 8, "w%d", i);
        c->tensors[c->count++] = (fb_saved_tensor){c->names[i], 1, {1, 0}, c->zero};
    }
}

static fb_status write_and_load(world *w, const contents *c)
{
    assert_int_equal(fb_safetensors_write(w->ctx, w->path, c->tensors, c->count),
                     FB_OK);
    fb_context_clear(w->ctx);
    return fb_weights_load(w->ctx, w->params, w->path);
}

static void expect_words(const world *w, const char *const *words)
{
    for (; *words; words++)
        if (!strstr(fb_context_message(w->ctx), *words))
            fail_msg("\"%s\" lacks \"%s\"", fb_context_message(w->ctx), *words);
}

/* Loading `c` fails with these words and leaves values and versions alone. */
static void expect_refusal(world *w, const contents *c, const char *const *words)
{
    size_t bytes = (size_t)w->params->total * sizeof(float);
    float *before = malloc(bytes);
    memcpy(before, w->params->value, bytes);
    uint64_t version = w->bias->weight.version;
    assert_int_equal(write_and_load(w, c), FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(w->ctx), w->path));
    expect_words(w, words);
    assert_memory_equal(w->params->value, before, bytes);
    assert_int_equal(w->bias->weight.version, version);
    free(before);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void saved_values_come_back_and_caches_are_out_of_date(void **state)
{
    (void)state;
    world a, b;
    world_open(&a);
    world_open(&b);
    fb_params_initialise(b.params, 4);
    assert_int_equal(fb_weights_save(a.ctx, a.params, a.path), FB_OK);
    assert_memory_not_equal(a.params->value, b.params->value, 18 * sizeof(float));
    uint64_t version = b.bias->weight.version;
    assert_int_equal(fb_weights_load(b.ctx, b.params, a.path), FB_OK);
    assert_memory_equal(a.params->value, b.params->value,
                        (size_t)a.params->total * sizeof(float));
    assert_true(b.bias->weight.version > version);
    world_close(&b);
    world_close(&a);
}

static void parts_of_one_matrix_have_their_own_names_in_the_file(void **state)
{
    (void)state;
    world w;
    world_open(&w);
    assert_int_equal(fb_weights_save(w.ctx, w.params, w.path), FB_OK);
    fb_safetensors *file = NULL;
    assert_int_equal(fb_safetensors_open(w.ctx, &file, w.path), FB_OK);
    assert_int_equal(file->count, 3 + 1 + WIDE);
    static const char *const parts[3] = {"self.query", "self.key", "self.value"};
    for (int i = 0; i < 3; i++) {
        const fb_stored_tensor *t = fb_safetensors_find(file, parts[i]);
        assert_non_null(t);
        assert_int_equal(t->rank, 2);
        assert_int_equal(t->dims[0], 2);
        assert_int_equal(t->dims[1], 3);
        assert_memory_equal(t->bytes, w.qkv->weight.data + i * 6, 6 * sizeof(float));
    }
    const fb_stored_tensor *bias = fb_safetensors_find(file, "bias");
    assert_int_equal(bias->rank, 1);
    assert_int_equal(bias->dims[0], 5);
    fb_safetensors_close(file);
    world_close(&w);
}

static void parts_land_below_each_other_whatever_the_order_of_the_file(void **state)
{
    (void)state;
    world w;
    contents c;
    world_open(&w);
    contents_fill(&c);
    fb_saved_tensor first = c.tensors[0];
    c.tensors[0] = c.tensors[2];
    c.tensors[2] = c.tensors[3];
    c.tensors[3] = first;
    assert_int_equal(write_and_load(&w, &c), FB_OK);
    assert_memory_equal(w.qkv->weight.data, c.qkv, sizeof c.qkv);
    assert_memory_equal(w.bias->weight.data, c.bias, sizeof c.bias);
    world_close(&w);
}

static void missing_tensors_are_counted_and_named(void **state)
{
    (void)state;
    world w;
    contents c;
    world_open(&w);
    contents_fill(&c);
    c.tensors[1] = c.tensors[--c.count]; /* w11 in the place of self.key */
    expect_refusal(&w, &c, WORDS("1 of", "missing self.key"));
    c.count--;
    expect_refusal(&w, &c, WORDS("2 of", "missing self.key", "missing w10"));
    world_close(&w);
}

static void tensors_of_another_model_are_named(void **state)
{
    (void)state;
    world w;
    contents c;
    world_open(&w);
    contents_fill(&c);
    c.tensors[c.count++] = (fb_saved_tensor){"bert.extra", 1, {1, 0}, c.zero};
    expect_refusal(&w, &c, WORDS("1 of", "bert.extra"));
    world_close(&w);
}

static void wrong_shapes_are_named(void **state)
{
    (void)state;
    world w;
    contents c;
    world_open(&w);
    contents_fill(&c);
    c.tensors[0].dims[0] = 3; /* transposed: as many numbers */
    c.tensors[0].dims[1] = 2;
    expect_refusal(&w, &c, WORDS("1 of", "shape: self.query"));
    c.tensors[3].rank = 2; /* [5,1] for a vector */
    c.tensors[3].dims[1] = 1;
    expect_refusal(&w, &c, WORDS("2 of", "shape: self.query", "shape: bias"));
    c.tensors[0].dims[0] = 0;
    expect_refusal(&w, &c, WORDS("2 of", "shape: self.query"));
    world_close(&w);
}

static void numbers_that_are_not_finite_are_named(void **state)
{
    (void)state;
    world w;
    contents c;
    world_open(&w);
    contents_fill(&c);
    c.qkv[17] = NAN;
    expect_refusal(&w, &c, WORDS("1 of", "NaN or infinity in self.value"));
    c.bias[0] = -INFINITY;
    expect_refusal(&w, &c, WORDS("2 of", "in self.value", "in bias"));
    world_close(&w);
}

static void all_problems_are_counted_and_ten_are_named(void **state)
{
    (void)state;
    world w;
    contents c;
    world_open(&w);
    contents_fill(&c);
    c.count = 4; /* 12 missing */
    c.tensors[c.count++] = (fb_saved_tensor){"more", 1, {1, 0}, c.zero};
    expect_refusal(&w, &c, WORDS("13 of", "missing w0,", "missing w9"));
    assert_null(strstr(fb_context_message(w.ctx), "w10"));
    world_close(&w);
}

static void integers_in_the_place_of_numbers_are_named(void **state)
{
    (void)state;
    world w;
    contents c;
    world_open(&w);
    contents_fill(&c);
    assert_int_equal(fb_safetensors_write(w.ctx, w.path, c.tensors, c.count), FB_OK);
    uint8_t *bytes = NULL;
    size_t size = 0;
    assert_int_equal(fb_file_read(w.ctx, w.path, 1 << 20, &bytes, &size), FB_OK);
    char *dtype = strstr((char *)bytes + 8, "\"F32\"");
    dtype[1] = 'I';
    assert_int_equal(fb_file_write(w.ctx, w.path, bytes, size), FB_OK);
    free(bytes);
    assert_int_equal(fb_weights_load(w.ctx, w.params, w.path), FB_E_FORMAT);
    expect_words(&w, WORDS("1 of", "not floating point: self.query"));
    world_close(&w);
}

static void missing_and_cut_files_change_nothing(void **state)
{
    (void)state;
    world w;
    contents c;
    world_open(&w);
    contents_fill(&c);
    assert_int_equal(fb_weights_load(w.ctx, w.params, w.path), FB_E_MISSING);
    expect_words(&w, WORDS(w.path));
    assert_int_equal(fb_safetensors_write(w.ctx, w.path, c.tensors, c.count), FB_OK);
    uint8_t *bytes = NULL;
    size_t size = 0;
    assert_int_equal(fb_file_read(w.ctx, w.path, 1 << 20, &bytes, &size), FB_OK);
    float before = w.qkv->weight.data[0];
    assert_int_equal(fb_file_write(w.ctx, w.path, bytes, size - 1), FB_OK);
    assert_int_equal(fb_weights_load(w.ctx, w.params, w.path), FB_E_FORMAT);
    expect_words(&w, WORDS(w.path, "cut short"));
    assert_true(w.qkv->weight.data[0] == before);
    free(bytes);
    world_close(&w);
}

static void moments_come_back_under_their_own_names(void **state)
{
    (void)state;
    world w;
    world_open(&w);
    for (int64_t i = 0; i < 18; i++) {
        w.params->moment1[i] = (float)i;
        w.params->moment2[i] = 100 + (float)i;
    }
    assert_int_equal(fb_moments_save(w.ctx, w.params, w.path), FB_OK);
    fb_safetensors *file = NULL;
    assert_int_equal(fb_safetensors_open(w.ctx, &file, w.path), FB_OK);
    assert_int_equal(file->count, 2 * (3 + 1 + WIDE));
    const fb_stored_tensor *t = fb_safetensors_find(file, "self.key.moment2");
    assert_non_null(t);
    assert_memory_equal(t->bytes, w.params->moment2 + 6, 6 * sizeof(float));
    fb_safetensors_close(file);
    size_t bytes = (size_t)w.params->total * sizeof(float);
    memset(w.params->moment1, 0, bytes);
    memset(w.params->moment2, 0, bytes);
    assert_int_equal(fb_moments_load(w.ctx, w.params, w.path), FB_OK);
    for (int64_t i = 0; i < 18; i++) {
        assert_true(w.params->moment1[i] == (float)i);
        assert_true(w.params->moment2[i] == 100 + (float)i);
    }
    /* and they are no weights, nor weights moments */
    assert_int_equal(fb_weights_load(w.ctx, w.params, w.path), FB_E_FORMAT);
    assert_int_equal(fb_weights_save(w.ctx, w.params, w.path), FB_OK);
    assert_int_equal(fb_moments_load(w.ctx, w.params, w.path), FB_E_FORMAT);
    expect_words(&w, WORDS("missing self.query.moment1"));
    assert_true(w.params->moment1[17] == 17);
    world_close(&w);
}

static void moments_that_are_nan_leave_both_blocks_alone(void **state)
{
    (void)state;
    world w;
    world_open(&w);
    w.params->moment2[3] = NAN;
    assert_int_equal(fb_moments_save(w.ctx, w.params, w.path), FB_OK);
    w.params->moment2[3] = 1;
    w.params->moment1[0] = 9;
    assert_int_equal(fb_moments_load(w.ctx, w.params, w.path), FB_E_FORMAT);
    expect_words(&w, WORDS("1 of", "self.query.moment2"));
    assert_true(w.params->moment1[0] == 9 && w.params->moment2[3] == 1);
    world_close(&w);
}

/* A convolution [2 out, 3 in, 2 x 2] and a buffer [3], each in a table of its own. */
typedef struct conv_world {
    fb_context *ctx;
    fb_params *params;
    fb_leaf *conv;
    float *mean;
    char folder[64], path[96];
} conv_world;

static void conv_open(conv_world *w)
{
    const char *name = "conv1.weight";
    *w = (conv_world){.ctx = fb_context_create(), .folder = "/tmp/fb_weights_XXXXXX"};
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->path, sizeof w->path, "%s/model.safetensors", w->folder);
    assert_int_equal(fb_params_create(w->ctx, &w->params), FB_OK);
    assert_int_equal(fb_params_add(w->params, &w->conv, &name,
                                   (fb_param_shape){1, 2, 12}, FB_INIT_NORMAL, 1, true),
                     FB_OK);
    fb_params_set_kernel(w->conv, 2, 1);
    assert_int_equal(
        fb_params_add_buffer(w->params, &w->mean, "bn1.running_mean", 3, 0.25f), FB_OK);
    assert_int_equal(fb_params_allocate(w->params, true), FB_OK);
    fb_params_initialise(w->params, 3);
}

static void conv_close(conv_world *w)
{
    fb_params_free(w->params, NULL);
    (void)unlink(w->path);
    assert_int_equal(rmdir(w->folder), 0);
    fb_context_free(w->ctx);
}

static void buffers_start_at_their_value_and_are_no_parameters(void **state)
{
    (void)state;
    conv_world w;
    conv_open(&w);
    for (int i = 0; i < 3; i++)
        assert_true(w.mean[i] == 0.25f);
    assert_int_equal(w.params->count, 1);
    assert_int_equal(w.params->total, 32);
    assert_true(w.mean < w.params->value || w.mean >= w.params->value + 32);
    w.mean[2] = NAN;
    assert_string_equal(fb_params_find_nonfinite(w.params, false), "bn1.running_mean");
    assert_null(fb_params_find_nonfinite(w.params, true));
    conv_close(&w);
}

static void buffers_and_convolutions_come_back_with_their_shapes(void **state)
{
    (void)state;
    conv_world w;
    conv_open(&w);
    for (int i = 0; i < 3; i++)
        w.mean[i] = 5.0f + (float)i;
    assert_int_equal(fb_weights_save(w.ctx, w.params, w.path), FB_OK);
    fb_safetensors *file = NULL;
    assert_int_equal(fb_safetensors_open(w.ctx, &file, w.path), FB_OK);
    assert_int_equal(file->count, 2);
    const fb_stored_tensor *conv = fb_safetensors_find(file, "conv1.weight");
    const fb_stored_tensor *mean = fb_safetensors_find(file, "bn1.running_mean");
    assert_non_null(conv);
    assert_non_null(mean);
    const int64_t shape[4] = {2, 3, 2, 2};
    assert_int_equal(conv->rank, 4);
    assert_memory_equal(conv->dims, shape, sizeof shape);
    assert_int_equal(mean->rank, 1);
    assert_int_equal(mean->dims[0], 3);
    fb_safetensors_close(file);
    fb_params_initialise(w.params, 4);
    assert_true(w.mean[1] == 0.25f);
    assert_int_equal(fb_weights_load(w.ctx, w.params, w.path), FB_OK);
    for (int i = 0; i < 3; i++)
        assert_true(w.mean[i] == 5.0f + (float)i);
    assert_int_equal(fb_moments_save(w.ctx, w.params, w.path), FB_OK);
    assert_int_equal(fb_moments_load(w.ctx, w.params, w.path), FB_OK);
    assert_true(w.mean[1] == 6.0f);
    conv_close(&w);
}

static void other_kernels_and_missing_buffers_are_named(void **state)
{
    (void)state;
    conv_world w;
    conv_open(&w);
    const float numbers[24] = {0};
    fb_saved_tensor t[2] = {{"conv1.weight", 4, {2, 3, 4, 1}, numbers},
                            {"bn1.running_var", 1, {3}, numbers}};
    assert_int_equal(fb_safetensors_write(w.ctx, w.path, t, 2), FB_OK);
    assert_int_equal(fb_weights_load(w.ctx, w.params, w.path), FB_E_FORMAT);
    const char *message = fb_context_message(w.ctx);
    assert_non_null(strstr(message, "3 of its"));
    assert_non_null(strstr(message, "another shape: conv1.weight"));
    assert_non_null(strstr(message, "missing bn1.running_mean"));
    assert_non_null(strstr(message, "not of this model: bn1.running_var"));
    assert_true(w.mean[0] == 0.25f);
    conv_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saved_values_come_back_and_caches_are_out_of_date),
        cmocka_unit_test(parts_of_one_matrix_have_their_own_names_in_the_file),
        cmocka_unit_test(parts_land_below_each_other_whatever_the_order_of_the_file),
        cmocka_unit_test(missing_tensors_are_counted_and_named),
        cmocka_unit_test(tensors_of_another_model_are_named),
        cmocka_unit_test(wrong_shapes_are_named),
        cmocka_unit_test(numbers_that_are_not_finite_are_named),
        cmocka_unit_test(all_problems_are_counted_and_ten_are_named),
        cmocka_unit_test(integers_in_the_place_of_numbers_are_named),
        cmocka_unit_test(missing_and_cut_files_change_nothing),
        cmocka_unit_test(moments_come_back_under_their_own_names),
        cmocka_unit_test(moments_that_are_nan_leave_both_blocks_alone),
        cmocka_unit_test(buffers_start_at_their_value_and_are_no_parameters),
        cmocka_unit_test(buffers_and_convolutions_come_back_with_their_shapes),
        cmocka_unit_test(other_kernels_and_missing_buffers_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

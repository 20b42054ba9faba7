/* test_quantize.c - a model made ready for int8: what is written, which type a model then
 * opens in, data that do not belong to it, and a model that int8 ruins, which is left as
 * it was.
 */
#include <math.h>

#include "support/catalogue_fixture.h"

#include "base/json.h"
#include "base/random.h"
#include "data/image/image_decode.h"
#include "engine/model_folder.h"
#include "fashionbert.h"
#include "nn/safetensors.h"

enum { ITEMS = 40, SIDE = 40, TENSORS = 64 };

typedef struct world {
    fixture *f;
    const char *encoder; /* NULL: the pixels themselves */
    char model[4096], weights[4096], data[4096];
} world;

static void must(const world *w, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(w->f->ctx));
}

static void make_catalogue(const world *w)
{
    const fixture *f = w->f;
    char *text = NULL, name[64], path[4096];
    size_t bytes = 0;
    FILE *lines = open_memstream(&text, &bytes);
    uint8_t pixels[SIDE * SIDE * 3];
    fb_random r = fb_random_start(5, FB_STREAM_TEST, 0);
    must(w, fb_path_join(f->ctx, path, f->folder, "images"));
    must(w, fb_folder_make(f->ctx, path));
    for (int i = 0; i < ITEMS; i++) {
        for (int p = 0; p < SIDE * SIDE * 3; p++)
            pixels[p] = (uint8_t)((p % 3 == 2 * (i % 2) ? 200 : 20) +
                                  (int)fb_random_below(&r, 50));
        fb_image image = {SIDE, SIDE, pixels};
        snprintf(name, sizeof name, "images/%d.png", i);
        must(w, fb_path_join(f->ctx, path, f->folder, name));
        must(w, fb_image_write_png(f->ctx, path, &image));
        fprintf(lines,
                "{\"file_name\": \"%s\", \"title\": \"%s thing %d\", \"category\": "
                "\"c\", \"split\": \"%s\"}\n",
                name, i % 2 ? "blue" : "red", i, i % 3 ? "train" : "val");
    }
    assert_int_equal(fclose(lines), 0);
    fixture_write(f, "metadata.jsonl", text, bytes);
    free(text);
    fixture_text(f, "tiny.json",
                 "{\"hidden_size\": 16, \"num_hidden_layers\": 1, "
                 "\"num_attention_heads\": 2, \"intermediate_size\": 32, "
                 "\"fashionbert\": {\"image_size\": 32, \"grid\": 2}}");
    fixture_text(f, "network.json",
                 "{\"hidden_size\": 16, \"num_hidden_layers\": 1, "
                 "\"num_attention_heads\": 2, \"intermediate_size\": 32, "
                 "\"fashionbert\": {\"image_size\": 33, \"grid\": 3}}");
}

static void train(const world *w, const char *out, uint64_t seed)
{
    char config[4096];
    fb_train_options o;
    fb_train_report report;
    fb_train_options_defaults(&o);
    must(w, fb_path_join(w->f->ctx, config, w->f->folder,
                         w->encoder ? "network.json" : "tiny.json"));
    if (w->encoder)
        o.encoder = w->encoder;
    o.objective = w->encoder ? "itc" : "match"; /* a score that shows the features */
    o.vector_size = w->encoder ? 16 : o.vector_size;
    o.catalog = w->f->folder;
    o.out = out;
    o.config = config;
    o.batch = 8;
    o.steps = w->encoder ? 4 : 20;
    o.lr = 1e-2;
    o.max_text = 8;
    o.vocab_size = 60;
    o.seed = seed;
    o.threads = 1;
    o.quiet = true;
    must(w, fb_train(w->f->ctx, &o, &report));
}

static int setup_with(void **state, const char *encoder)
{
    world *w = calloc(1, sizeof *w);
    void *f;
    assert_non_null(w);
    fixture_setup(&f);
    w->f = f;
    w->encoder = encoder;
    make_catalogue(w);
    must(w, fb_path_join(w->f->ctx, w->model, w->f->folder, "model"));
    must(w, fb_path_join(w->f->ctx, w->weights, w->model, "model.safetensors"));
    must(w, fb_path_join(w->f->ctx, w->data, w->model, FB_QUANTIZATION_FILE));
    train(w, w->model, 1);
    *state = w;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, NULL);
}

static int setup_network(void **state)
{
    return setup_with(state, "thin");
}

static int teardown(void **state)
{
    world *w = *state;
    void *f = w->f;
    free(w);
    return fixture_teardown(&f);
}

static fb_status quantize(const world *w, double tolerance, fb_quantize_report *report)
{
    fb_quantize_options o;
    fb_quantize_options_defaults(&o);
    o.model = w->model;
    o.catalog = w->f->folder;
    o.tolerance = tolerance;
    o.threads = 1;
    o.quiet = true;
    return fb_quantize(w->f->ctx, &o, report);
}

static fb_status open_as(const world *w, fb_model **model, const char *dtype)
{
    const fb_model_options options = {"cpu", dtype, 1};
    *model = NULL;
    return fb_model_open(w->f->ctx, model, w->model, &options);
}

static void expect_refusal(const world *w, const char *dtype, fb_status want,
                           const char *words)
{
    fb_model *model;
    assert_int_equal(open_as(w, &model, dtype), want);
    if (!strstr(fb_context_message(w->f->ctx), words))
        fail_msg("\"%s\" does not say \"%s\"", fb_context_message(w->f->ctx), words);
}

static float score_as(const world *w, const char *dtype, bool int8)
{
    fb_model *model;
    char image[4096];
    float score = NAN;
    must(w, open_as(w, &model, dtype));
    assert_int_equal(model->int8 != NULL, int8);
    must(w, fb_path_join(w->f->ctx, image, w->f->folder, "images/1.png"));
    must(w, fb_model_score(w->f->ctx, model, (const char *const[]){"blue thing 1"}, 1,
                           (const char *const[]){image}, 1, &score));
    fb_model_close(model);
    return score;
}

static void a_quantised_model_opens_in_int8(void **state)
{
    const world *w = *state;
    fb_quantize_report r;
    expect_refusal(w, "int8", FB_E_MISSING, "fashionbert quantize --model");
    float before = score_as(w, "auto", false);
    must(w, quantize(w, 1, &r));
    assert_true(r.measured && r.written && !r.of_queries);
    /* q k v, output, intermediate, output, pooler; not the two logits */
    assert_true(r.layers == 6);
    assert_int_equal(r.in_float.image_to_text.queries, r.in_int8.image_to_text.queries);
    assert_true(r.in_float.image_to_text.queries > 5 && r.pairs > 50);
    assert_true(r.score_difference > 0 && r.score_difference < 0.2);
    assert_true(fabs(r.r1_lost - (r.in_float.r1 - r.in_int8.r1)) < 1e-12);
    float int8 = score_as(w, "int8", true), f32 = score_as(w, "f32", false);
    assert_true(score_as(w, "auto", true) == int8);
    assert_true(score_as(w, FB_DTYPE_FLOAT, false) == before);
    assert_true(fabsf(f32 - before) < 1e-5f || fb_backend_cpu_has_bf16());
    assert_true(fabsf(f32 - int8) <= (float)r.score_difference + 0.05f);
    assert_true(f32 != int8);
}

/* ---- a model with an image network ------------------------------------------------ */

static void expect_line(const world *w, const char *words, bool there)
{
    fb_model *model;
    char text[FB_COMPUTE_TEXT];
    must(w, open_as(w, &model, "auto"));
    fb_model_describe(model, text);
    if ((strstr(text, words) != NULL) != there)
        fail_msg("\"%s\": \"%s\"", text, words);
    fb_model_close(model);
}

/* As an older program wrote them, before convolutions were quantised. */
static void leave_out_convolutions(const world *w, int32_t *count)
{
    json_t *root = NULL;
    const char *name;
    json_t *layer;
    void *next;
    must(w, fb_json_read(w->f->ctx, w->data, 64 << 20, &root));
    json_t *layers = json_object_get(root, "layers");
    json_object_foreach_safe(layers, next, name,
                             layer) if (strstr(name, "image.encoder."))
    {
        json_object_del(layers, name);
        ++*count;
    }
    assert_int_equal(json_dump_file(root, w->data, 0), 0);
    json_decref(root);
}

static void an_image_network_is_quantised_too(void **state)
{
    const world *w = *state;
    fb_quantize_report r;
    int32_t convolutions = 0;
    must(w, quantize(w, 1, &r));
    assert_true(r.measured && r.written);
    assert_true(r.score_difference > 0 && r.score_difference < 0.2);
    float whole = score_as(w, "int8", true), f32 = score_as(w, "f32", false);
    assert_true(whole != f32 && fabsf(whole - f32) < 0.2f);
    expect_line(w, ", the rest in f32", true);
    leave_out_convolutions(w, &convolutions);
    assert_int_equal(convolutions, 11); /* all but the one that reads pixels */
    float part = score_as(w, "int8", true);
    if (!(part != whole && fabsf(part - f32) < 0.2f))
        fail_msg("%g in part, %g whole, %g in float", (double)part, (double)whole,
                 (double)f32);
    expect_line(w, ", the image network and the rest in f32", true);
    must(w, quantize(w, 1, &r));
    assert_true(score_as(w, "auto", true) == whole);
    expect_line(w, "network", false);
}

static void copy(const world *w, const char *from, const char *to)
{
    uint8_t *bytes;
    size_t size;
    must(w, fb_file_read(w->f->ctx, from, 64 << 20, &bytes, &size));
    must(w, fb_file_write(w->f->ctx, to, bytes, size));
    free(bytes);
}

static void data_of_another_model_are_refused(void **state)
{
    const world *w = *state;
    fb_quantize_report r;
    char other[4096], weights[4096];
    must(w, quantize(w, 1, &r));
    must(w, fb_path_join(w->f->ctx, other, w->f->folder, "other"));
    must(w, fb_path_join(w->f->ctx, weights, other, "model.safetensors"));
    train(w, other, 2);
    copy(w, weights, w->weights); /* not by training, which takes the data away */
    expect_refusal(w, "int8", FB_E_STATE, "made for another model");
    expect_refusal(w, "auto", FB_E_STATE, "quantize it again");
    (void)score_as(w, "f32", false);
    must(w, quantize(w, 1, &r)); /* reads no older data */
    (void)score_as(w, "auto", true);
}

static void cut_data_are_refused(void **state)
{
    const world *w = *state;
    fb_quantize_report r;
    uint8_t *bytes;
    size_t size;
    must(w, quantize(w, 1, &r));
    must(w, fb_file_read(w->f->ctx, w->data, 64 << 20, &bytes, &size));
    must(w, fb_file_write(w->f->ctx, w->data, bytes, size / 2));
    free(bytes);
    expect_refusal(w, "auto", FB_E_FORMAT, FB_QUANTIZATION_FILE);
    (void)score_as(w, "f32", false);
}

/* ---- a model that int8 ruins ------------------------------------------------------- */

static void set_channel(const fb_saved_tensor *tensors, int32_t count, const char *name,
                        int64_t channel, float value)
{
    for (int32_t i = 0; i < count; i++) {
        if (strcmp(tensors[i].name, name) != 0)
            continue;
        float *numbers = (float *)(uintptr_t)tensors[i].data;
        int64_t width = tensors[i].rank == 2 ? tensors[i].dims[1] : 1;
        int64_t rows = tensors[i].rank == 2 ? tensors[i].dims[0] : 1;
        for (int64_t n = 0; n < rows; n++)
            numbers[n * width + channel] = value;
        return;
    }
    fail_msg("no tensor %s", name);
}

/* One channel is always 0 behind the norms of both embeddings, and the values' weights
 * of it are huge: the float model does not see them, but nothing else is left of the
 * values in int8. [CLS] then learns nothing of text and image, and all scores tie. */
static void ruin(const world *w)
{
    static const char *const norms[] = {
        "bert.embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.bias",
        "image.LayerNorm.weight", "image.LayerNorm.bias"};
    fb_safetensors *file = NULL;
    fb_saved_tensor saved[TENSORS];
    must(w, fb_safetensors_open(w->f->ctx, &file, w->weights));
    assert_true(file->count <= TENSORS);
    for (int32_t i = 0; i < file->count; i++) {
        const fb_stored_tensor *t = &file->tensors[i];
        float *numbers = malloc((size_t)(t->count + 1) * sizeof *numbers);
        saved[i] = (fb_saved_tensor){t->name, t->rank, {0}, numbers};
        memcpy(saved[i].dims, t->dims, sizeof saved[i].dims);
        must(w, fb_safetensors_to_f32(w->f->ctx, t, numbers));
    }
    for (int i = 0; i < 4; i++)
        set_channel(saved, file->count, norms[i], 0, 0.0f);
    set_channel(saved, file->count, "bert.encoder.layer.0.attention.self.value.weight",
                0, 1e4f);
    must(w, fb_safetensors_write(w->f->ctx, w->weights, saved, file->count));
    for (int32_t i = 0; i < file->count; i++)
        free((void *)(uintptr_t)saved[i].data);
    fb_safetensors_close(file);
}

static void a_model_that_int8_ruins_is_left_alone(void **state)
{
    const world *w = *state;
    fb_quantize_report r;
    ruin(w);
    assert_int_equal(quantize(w, 0, &r), FB_E_STATE);
    if (!strstr(fb_context_message(w->f->ctx), "more than the tolerance of 0"))
        fail_msg("%s", fb_context_message(w->f->ctx));
    assert_true(r.measured && !r.written);
    assert_true(r.in_float.r1 > 0.01); /* some are found by chance at least */
    assert_true(r.in_int8.r1 < 1e-9);  /* ties count against the model */
    assert_false(fb_path_exists(w->data));
    (void)score_as(w, "auto", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_quantised_model_opens_in_int8, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_image_network_is_quantised_too,
                                        setup_network, teardown),
        cmocka_unit_test_setup_teardown(data_of_another_model_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(cut_data_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_model_that_int8_ruins_is_left_alone, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

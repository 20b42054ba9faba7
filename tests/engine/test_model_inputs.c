/* test_model_inputs.c - images in files, in memory and read ahead give the same scores;
 * pairs given one by one have the scores of all with all; what is wrong is refused and
 * leaves the outputs alone.
 */
#include <math.h>

#include "support/catalogue_fixture.h"

#include "base/random.h"
#include "data/image/image_decode.h"
#include "fashionbert.h"

enum { ITEMS = 24, SIDE = 40, SIZE = 32, TEXTS = 3, IMAGES = 3 };

typedef struct world {
    fixture *f;
    fb_model *model;
    char path[IMAGES][4096];
    uint8_t *bytes[IMAGES];
    size_t size[IMAGES];
} world;

static const char *const texts[TEXTS] = {"red thing", "a blue thing, long", ""};

static void make_catalogue(const fixture *f)
{
    char *text = NULL, name[64], path[4096];
    size_t bytes = 0;
    FILE *lines = open_memstream(&text, &bytes);
    uint8_t pixels[SIDE * SIDE * 3];
    fb_random r = fb_random_start(5, FB_STREAM_TEST, 0);
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "images"), FB_OK);
    assert_int_equal(fb_folder_make(f->ctx, path), FB_OK);
    for (int i = 0; i < ITEMS; i++) {
        int colour = i % 2;
        for (int p = 0; p < SIDE * SIDE * 3; p++)
            pixels[p] = (uint8_t)((p % 3 == 2 * colour ? 200 : 20) +
                                  (int)fb_random_below(&r, 50));
        fb_image image = {SIDE, SIDE, pixels};
        snprintf(name, sizeof name, "images/%d.png", i);
        assert_int_equal(fb_path_join(f->ctx, path, f->folder, name), FB_OK);
        assert_int_equal(fb_image_write_png(f->ctx, path, &image), FB_OK);
        fprintf(lines,
                "{\"file_name\": \"%s\", \"title\": \"%s thing %d\", "
                "\"category\": \"c\", \"split\": \"%s\"}\n",
                name, colour ? "blue" : "red", i, i % 3 ? "train" : "val");
    }
    assert_int_equal(fclose(lines), 0);
    fixture_write(f, "metadata.jsonl", text, bytes);
    free(text);
    fixture_text(f, "tiny.json",
                 "{\"hidden_size\": 16, \"num_hidden_layers\": 1, "
                 "\"num_attention_heads\": 2, \"intermediate_size\": 32, "
                 "\"fashionbert\": {\"image_size\": 32, \"grid\": 2}}");
}

static void train(world *w)
{
    char out[4096], config[4096];
    fb_train_options o;
    fb_train_report report;
    fb_train_options_defaults(&o);
    assert_int_equal(fb_path_join(w->f->ctx, out, w->f->folder, "model"), FB_OK);
    assert_int_equal(fb_path_join(w->f->ctx, config, w->f->folder, "tiny.json"), FB_OK);
    o.catalog = w->f->folder;
    o.out = out;
    o.config = config;
    o.encoder = "pixels";
    o.batch = 8;
    o.steps = 4;
    o.lr = 3e-3;
    o.max_text = 8;
    o.dtype = "f32";
    o.vocab_size = 60;
    o.threads = 1;
    o.quiet = true;
    if (fb_train(w->f->ctx, &o, &report) != FB_OK)
        fail_msg("%s", fb_context_message(w->f->ctx));
    fb_model_options compute = {"cpu", "f32", 1};
    assert_int_equal(fb_model_open(w->f->ctx, &w->model, out, &compute), FB_OK);
}

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    void *f;
    fixture_setup(&f);
    w->f = f;
    make_catalogue(w->f);
    train(w);
    for (int i = 0; i < IMAGES; i++) {
        char name[32];
        snprintf(name, sizeof name, "images/%d.png", i);
        assert_int_equal(fb_path_join(w->f->ctx, w->path[i], w->f->folder, name),
                         FB_OK);
        assert_int_equal(
            fb_file_read(w->f->ctx, w->path[i], 1 << 20, &w->bytes[i], &w->size[i]),
            FB_OK);
    }
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    char out[4096];
    void *f = w->f;
    fb_model_close(w->model);
    assert_int_equal(fb_path_join(w->f->ctx, out, w->f->folder, "model"), FB_OK);
    assert_int_equal(fb_folder_remove(w->f->ctx, out), FB_OK);
    for (int i = 0; i < IMAGES; i++)
        free(w->bytes[i]);
    free(w);
    return fixture_teardown(&f);
}

static void pairs_have_the_scores_of_all_with_all(void **state)
{
    world *w = *state;
    const char *files[IMAGES] = {w->path[0], w->path[1], w->path[2]};
    float all[TEXTS * IMAGES], each[TEXTS * IMAGES];
    fb_image_input images[IMAGES] = {0};
    fb_input inputs[TEXTS * IMAGES];
    images[0].file = w->path[0];
    images[1].bytes = w->bytes[1];
    images[1].size_bytes = w->size[1];
    uint8_t pixels[SIZE * SIZE * 3];
    fb_image_input third = {.bytes = w->bytes[2], .size_bytes = w->size[2]};
    assert_int_equal(fb_model_image_size(w->model), SIZE);
    assert_int_equal(
        fb_model_read_image(w->f->ctx, w->model, &third, "third", 0, pixels), FB_OK);
    images[2].pixels = pixels;
    assert_int_equal(
        fb_model_score(w->f->ctx, w->model, texts, TEXTS, files, IMAGES, all), FB_OK);
    for (int i = 0; i < TEXTS * IMAGES; i++) /* in another order */
        inputs[i] = (fb_input){.text = texts[(i * 2) % 9 / 3],
                               .image = &images[(i * 2) % 9 % 3]};
    assert_int_equal(fb_model_match(w->f->ctx, w->model, inputs, TEXTS * IMAGES, each),
                     FB_OK);
    for (int i = 0; i < TEXTS * IMAGES; i++) {
        int at = (i * 2) % 9 / 3 * IMAGES + (i * 2) % 9 % 3;
        assert_true(each[i] > 0 && each[i] < 1);
        if (!(each[i] == all[at]))
            fail_msg("pair %d: %.9g, not %.9g", i, (double)each[i], (double)all[at]);
    }
}

static void equal_pairs_and_more_than_a_batch(void **state)
{
    world *w = *state;
    enum { MANY = 150 };
    fb_image_input images[MANY];
    fb_input inputs[MANY];
    float scores[MANY], one[3];
    for (int i = 0; i < MANY; i++) {
        images[i] =
            (fb_image_input){.bytes = w->bytes[i % 3], .size_bytes = w->size[i % 3]};
        inputs[i] = (fb_input){.text = texts[0], .image = &images[i]};
    }
    assert_int_equal(fb_model_match(w->f->ctx, w->model, inputs, 3, one), FB_OK);
    assert_int_equal(fb_model_match(w->f->ctx, w->model, inputs, MANY, scores), FB_OK);
    for (int i = 0; i < MANY; i++)
        assert_true(fabsf(scores[i] - one[i % 3]) < 1e-5f);
    assert_int_equal(fb_model_match(w->f->ctx, w->model, NULL, 0, NULL), FB_OK);
}

static void what_is_wrong_is_refused(void **state)
{
    world *w = *state;
    fb_context *ctx = w->f->ctx;
    fb_image_input good = {.file = w->path[0]};
    fb_image_input cut = {.bytes = w->bytes[0], .size_bytes = w->size[0] / 2};
    fb_image_input none = {.file = "/nowhere/x.png"};
    float scores[2] = {7, 7};
    fb_input inputs[2] = {{.text = "a", .image = &good}, {.text = "a"}};
    assert_int_equal(fb_model_match(ctx, w->model, inputs, 2, scores), FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(ctx), "input 1 lacks its image"));
    inputs[1] = (fb_input){.image = &good};
    assert_int_equal(fb_model_match(ctx, w->model, inputs, 2, scores), FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(ctx), "input 1 lacks its text"));
    inputs[1] = (fb_input){.text = "a", .image = &cut};
    assert_int_equal(fb_model_match(ctx, w->model, inputs, 2, scores), FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(ctx), "image 1"));
    inputs[1].image = &none;
    assert_int_equal(fb_model_match(ctx, w->model, inputs, 2, scores), FB_E_MISSING);
    assert_non_null(strstr(fb_context_message(ctx), "/nowhere/x.png"));
    assert_true(scores[0] == 7 && scores[1] == 7);
    assert_int_equal(fb_model_match(ctx, w->model, inputs, -1, scores), FB_E_USAGE);
}

static void large_images_are_refused_before_they_are_decoded(void **state)
{
    world *w = *state;
    uint8_t pixels[SIZE * SIZE * 3];
    memset(pixels, 9, sizeof pixels);
    fb_image_input image = {.bytes = w->bytes[0], .size_bytes = w->size[0]};
    assert_int_equal(fb_model_read_image(w->f->ctx, w->model, &image, "photo",
                                         SIDE * SIDE - 1, pixels),
                     FB_E_LIMIT);
    assert_non_null(strstr(fb_context_message(w->f->ctx), "photo: 40 x 40 pixels"));
    assert_int_equal(pixels[0], 9);
    assert_int_equal(
        fb_model_read_image(w->f->ctx, w->model, &image, "photo", SIDE * SIDE, pixels),
        FB_OK);
    assert_int_not_equal(pixels[0], 9);
}

static void tokens_count_the_ends_and_stop_at_the_most(void **state)
{
    world *w = *state;
    int32_t tokens = 0;
    assert_int_equal(fb_model_count_tokens(w->f->ctx, w->model, "", &tokens), FB_OK);
    assert_int_equal(tokens, 2);
    assert_int_equal(fb_model_count_tokens(w->f->ctx, w->model, "thing", &tokens),
                     FB_OK);
    assert_int_equal(tokens, 3);
    assert_int_equal(fb_model_count_tokens(w->f->ctx, w->model,
                                           "thing thing thing thing thing thing thing",
                                           &tokens),
                     FB_OK);
    assert_int_equal(tokens, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_have_the_scores_of_all_with_all),
        cmocka_unit_test(equal_pairs_and_more_than_a_batch),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(large_images_are_refused_before_they_are_decoded),
        cmocka_unit_test(tokens_count_the_ends_and_stop_at_the_most),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

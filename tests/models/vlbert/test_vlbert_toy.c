/* test_vlbert_toy.c - VL-BERT trained from nothing by fb_train on things of six colours:
 * it learns to tell them, pair by pair and in blocks; the saved model, opened, is as
 * good; what it can't take is refused in a sentence. */
#include <math.h>

#include "support/catalogue_fixture.h"

#include "base/random.h"
#include "data/image/image_decode.h"
#include "engine/model_folder.h"
#include "models/vlbert/vlbert_model.h"

enum { ITEMS = 90, SIDE = 32, COLOURS = 6 };

static const char *const words[COLOURS] = {"red",    "green", "blue",
                                           "yellow", "white", "black"};
static const uint8_t colours[COLOURS][3] = {{200, 20, 20},   {20, 200, 20},
                                            {20, 20, 200},   {200, 200, 20},
                                            {200, 200, 200}, {10, 10, 10}};

static void must(const fixture *f, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
}

static void make_catalogue(const fixture *f)
{
    char *text = NULL, name[64], path[4096];
    size_t bytes = 0;
    FILE *lines = open_memstream(&text, &bytes);
    uint8_t pixels[SIDE * SIDE * 3];
    fb_random r = fb_random_start(5, FB_STREAM_TEST, 0);
    must(f, fb_path_join(f->ctx, path, f->folder, "images"));
    must(f, fb_folder_make(f->ctx, path));
    for (int i = 0; i < ITEMS; i++) {
        for (int p = 0; p < SIDE * SIDE * 3; p++)
            pixels[p] =
                (uint8_t)(colours[i % COLOURS][p % 3] + fb_random_below(&r, 50));
        fb_image image = {SIDE, SIDE, pixels};
        snprintf(name, sizeof name, "images/%d.png", i);
        must(f, fb_path_join(f->ctx, path, f->folder, name));
        must(f, fb_image_write_png(f->ctx, path, &image));
        fprintf(lines,
                "{\"file_name\": \"%s\", \"title\": \"%s thing\", "
                "\"category\": \"c\", \"split\": \"%s\"}\n",
                name, words[i % COLOURS], i / COLOURS % 3 ? "train" : "val");
    }
    assert_int_equal(fclose(lines), 0);
    fixture_write(f, "metadata.jsonl", text, bytes);
    free(text);
    fixture_text(f, "tiny.json",
                 "{\"hidden_size\": 32, \"num_hidden_layers\": 2, "
                 "\"num_attention_heads\": 2, \"intermediate_size\": 64, "
                 "\"fashionbert\": {\"image_size\": 32, \"grid\": 2, \"system\": "
                 "\"vlbert\", \"geometry_frequencies\": 4}}");
}

static int setup(void **state)
{
    void *f;
    fixture_setup(&f);
    make_catalogue(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    void *f = *state;
    char path[4096];
    static const char *const made[] = {"pairs", "block"};
    for (int i = 0; i < 2; i++) {
        must(f, fb_path_join(NULL, path, ((fixture *)f)->folder, made[i]));
        must(f, fb_folder_remove(NULL, path));
    }
    return fixture_teardown(&f);
}

static fb_train_options options(const fixture *f, char out[4096], char config[4096],
                                const char *name)
{
    fb_train_options o;
    fb_train_options_defaults(&o);
    must(f, fb_path_join(f->ctx, out, f->folder, name));
    must(f, fb_path_join(f->ctx, config, f->folder, "tiny.json"));
    o.objective = "vlbert";
    o.encoder = "pixels";
    o.catalog = f->folder;
    o.out = out;
    o.config = config;
    o.max_text = 8;
    o.vocab_size = 80;
    o.batch = 24;
    o.lr = 3e-3;
    o.steps = 600;
    o.dropout = 0;
    o.checkpoint_every = 50;
    o.dtype = "f32";
    o.threads = 1;
    o.quiet = true;
    return o;
}

/* Each word beside each colour: matched pairs above one half, others below. */
static void check_scores(const fixture *f, const char *folder)
{
    fb_model *model;
    const fb_model_options compute = {"cpu", "f32", 1};
    char title[COLOURS][32], path[COLOURS][4096], name[32];
    const char *titles[COLOURS], *paths[COLOURS];
    float p[COLOURS * COLOURS];
    int32_t right = 0;
    must(f, fb_model_open(f->ctx, &model, folder, &compute));
    assert_ptr_equal(model->matcher->system, &fb_vlbert_system);
    assert_int_equal(
        ((const fb_vlbert_config *)(const void *)&model->matcher->config.own)
            ->frequencies,
        4);
    for (int32_t i = 0; i < COLOURS; i++) {
        snprintf(title[i], sizeof title[i], "%s thing", words[i]);
        snprintf(name, sizeof name, "images/%d.png", i);
        must(f, fb_path_join(f->ctx, path[i], f->folder, name));
        titles[i] = title[i];
        paths[i] = path[i];
    }
    must(f, fb_model_score(f->ctx, model, titles, COLOURS, paths, COLOURS, p));
    for (int32_t i = 0; i < COLOURS; i++)
        for (int32_t j = 0; j < COLOURS; j++)
            right += (p[i * COLOURS + j] > 0.5f) == (i == j);
    assert_true(right >= COLOURS * COLOURS - 1);
    fb_model_close(model);
}

static void learns(const fixture *f, bool block)
{
    char out[4096], config[4096];
    fb_train_options o = options(f, out, config, block ? "block" : "pairs");
    fb_train_report report;
    o.losses = "mvrc,tia"; /* mlm would hide the colour, one of two words */
    if (block) {
        o.alignment = "block";
        o.hard_negatives = 3;
    }
    must(f, fb_train(f->ctx, &o, &report));
    if (!(report.best_val_accuracy > 0.97))
        fail_msg("accuracy %g", report.best_val_accuracy);
    if (!block)
        check_scores(f, out);
}

static void it_learns_pair_by_pair_and_is_saved(void **state)
{
    learns(*state, false);
}

static void it_learns_in_blocks(void **state)
{
    learns(*state, true);
}

static void refuse(const fixture *f, fb_train_options o, const char *why)
{
    fb_train_report report;
    assert_int_equal(fb_train(f->ctx, &o, &report), FB_E_USAGE);
    if (!strstr(fb_context_message(f->ctx), why))
        fail_msg("%s", fb_context_message(f->ctx));
}

static void what_it_cannot_take_is_refused(void **state)
{
    char out[4096], config[4096];
    const fb_train_options o = options(*state, out, config, "none");
    fb_train_options with = o;
    with.itc = 1;
    refuse(*state, with, "vlbert has no vectors");
    with = o;
    with.negatives = "hard";
    refuse(*state, with, "vlbert has no vectors");
    with = o;
    with.losses = "mlm";
    refuse(*state, with, "--losses needs tia");
    with = o;
    with.losses = "mpm,tia";
    refuse(*state, with, "mpm");
    with = o;
    with.alignment_head = "product";
    refuse(*state, with, "off [CLS]");
    with = o;
    with.text_mask = 0.1;
    refuse(*state, with, "they need --alignment block");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_learns_pair_by_pair_and_is_saved),
        cmocka_unit_test(it_learns_in_blocks),
        cmocka_unit_test(what_it_cannot_take_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

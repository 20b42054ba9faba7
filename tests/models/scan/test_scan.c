/* test_scan.c - SCAN and PFAN learn a small world, are saved, opened, evaluated and
 * calibrated through the functions that all systems go through; PFAN tells left from
 * right, SCAN cannot; scores of stored words and rows are those of batches; what neither
 * gives is refused.
 */
#include <math.h>

#include "support/catalogue_fixture.h"

#include "base/random.h"
#include "data/image/image_decode.h"
#include "engine/model_folder.h"
#include "engine/scorer.h"
#include "engine/split_items.h"
#include "models/pfan/pfan_system.h"
#include "models/scan/scan_system.h"

enum { SIDE = 32, COLOURS = 4, COMBINATIONS = 12, COPIES = 4 };

static const char *const words[COLOURS] = {"red", "green", "blue", "grey"};
static const uint8_t colours[COLOURS][3] = {
    {200, 20, 20}, {20, 200, 20}, {20, 20, 200}, {120, 120, 120}};

static void must(const fixture *f, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
}

/* ---- pictures of two colours, left and right --------------------------------------- */

/* left == right: one colour below another whose name comes second, wherever it lies. */
static void draw_picture(uint8_t *pixels, int left, int right, fb_random *r)
{
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            for (int c = 0; c < 3; c++)
                pixels[(y * SIDE + x) * 3 + c] =
                    (uint8_t)(colours[x < SIDE / 2 ? left : right][c] +
                              (int)fb_random_below(r, 40));
}

static void write_item(const fixture *f, FILE *lines, int i, int left, int right,
                       fb_random *r)
{
    uint8_t pixels[SIDE * SIDE * 3];
    fb_image image = {SIDE, SIDE, pixels};
    char name[64], path[4096];
    draw_picture(pixels, left, right, r);
    snprintf(name, sizeof name, "images/%d.png", i);
    must(f, fb_path_join(f->ctx, path, f->folder, name));
    must(f, fb_image_write_png(f->ctx, path, &image));
    fprintf(lines,
            "{\"file_name\": \"%s\", \"title\": \"%s %s\", \"category\": \"c\", "
            "\"split\": \"%s\"}\n",
            name, words[left], words[right], i % COPIES ? "train" : "val");
}

static int setup(void **state)
{
    void *made;
    fixture_setup(&made);
    const fixture *f = made;
    char *text = NULL, path[4096];
    size_t bytes = 0;
    int i = 0;
    FILE *lines = open_memstream(&text, &bytes);
    fb_random r = fb_random_start(5, FB_STREAM_TEST, 0);
    must(f, fb_path_join(f->ctx, path, f->folder, "images"));
    must(f, fb_folder_make(f->ctx, path));
    for (int left = 0; left < COLOURS; left++)
        for (int right = 0; right < COLOURS; right++)
            for (int copy = 0; copy < COPIES && left != right; copy++)
                write_item(f, lines, i++, left, right, &r);
    assert_int_equal(i, COMBINATIONS * COPIES);
    assert_int_equal(fclose(lines), 0);
    fixture_write(f, "metadata.jsonl", text, bytes);
    free(text);
    fixture_text(f, "tiny.json",
                 "{\"hidden_size\": 24, \"num_hidden_layers\": 1, "
                 "\"num_attention_heads\": 2, \"intermediate_size\": 32, "
                 "\"fashionbert\": {\"image_size\": 32, \"grid\": 4}}");
    *state = made;
    return 0;
}

static int teardown(void **state)
{
    void *f = *state;
    static const char *const made[] = {"scan", "pfan", "both"};
    for (int i = 0; i < 3; i++) {
        char path[4096];
        must(f, fb_path_join(NULL, path, ((fixture *)f)->folder, made[i]));
        must(f, fb_folder_remove(NULL, path));
    }
    return fixture_teardown(&f);
}

static fb_train_options options(const fixture *f, const char *system, char out[4096],
                                char config[4096], const char *name)
{
    fb_train_options o;
    fb_train_options_defaults(&o);
    must(f, fb_path_join(f->ctx, out, f->folder, name));
    must(f, fb_path_join(f->ctx, config, f->folder, "tiny.json"));
    o.system = system;
    o.catalog = f->folder;
    o.out = out;
    o.config = config;
    o.encoder = "pixels";
    o.max_text = 8;
    o.vocab_size = 60;
    o.batch = 12;
    o.steps = 300;
    o.validate_every = 50;
    o.lr = 1e-2;
    o.dtype = "f32";
    o.threads = 1;
    o.quiet = true;
    return o;
}

static fb_model *open_model(const fixture *f, const char *folder)
{
    fb_model *model;
    fb_model_options compute = {"cpu", "f32", 1};
    must(f, fb_model_open(f->ctx, &model, folder, &compute));
    return model;
}

static fb_evaluation *evaluate(const fixture *f, const char *folder)
{
    fb_evaluate_options e;
    fb_evaluation *evaluation;
    fb_evaluate_options_defaults(&e);
    e.model = folder;
    e.catalog = f->folder;
    e.split = "val";
    e.min_candidates = 1;
    e.dtype = "f32";
    e.quiet = true;
    must(f, fb_evaluate(f->ctx, &e, &evaluation));
    return evaluation;
}

/* ---- tests -------------------------------------------------------------------------- */

/* Which colours, not where: of a title and the other way round one is ahead by chance. */
static void scan_learns_colours_but_not_their_places(void **state)
{
    const fixture *f = *state;
    char out[4096], config[4096];
    fb_train_options o = options(f, "scan", out, config, "scan");
    fb_train_report report;
    must(f, fb_train(f->ctx, &o, &report));
    assert_string_equal(report.accuracy, "recall@1");
    fb_evaluation *e = evaluate(f, out);
    assert_true(e->sum_r > 3.0 && e->image_to_text.r5 == 1.0);
    assert_true(e->image_to_text.r1 < 0.8);
    fb_evaluation_free(e);
}

static void pfan_learns_their_places_too(void **state)
{
    const fixture *f = *state;
    char out[4096], config[4096];
    fb_train_options o = options(f, "pfan", out, config, "pfan");
    fb_train_report report;
    must(f, fb_train(f->ctx, &o, &report));
    assert_true(report.best_val_accuracy > 0.95);
    fb_evaluation *e = evaluate(f, out);
    assert_true(e->image_to_text.r1 > 0.9 && e->text_to_image.r1 > 0.9);
    assert_true(e->accuracy > 0.9); /* probabilities are calibrated */
    fb_evaluation_free(e);
    fb_model *model = open_model(f, out);
    const fb_model_config *c = &model->matcher->config;
    assert_ptr_equal(model->matcher->system, &fb_pfan_system);
    assert_true(c->alignment_weight > 1.5 && c->score_bias < 0);
    assert_int_equal(fb_model_vector_size(model), 0);
    fb_model_close(model);
}

/* Settings lie in config.json. */
static void options_are_kept(void **state)
{
    const fixture *f = *state;
    char out[4096], config[4096];
    fb_train_options o = options(f, "scan", out, config, "both");
    fb_train_report report;
    o.cross_attention = "both";
    o.pool = "lse";
    o.steps = 3;
    must(f, fb_train(f->ctx, &o, &report));
    fb_model *model = open_model(f, out);
    const fb_local_config *own =
        (const fb_local_config *)(const void *)&model->matcher->config.own;
    assert_int_equal(own->direction, FB_LOCAL_BOTH);
    assert_int_equal(own->lse, 1);
    assert_int_equal(own->word_width, 300);
    assert_true(own->t2i_lambda1 == 9 && own->i2t_lambda1 == 4);
    fb_model_close(model);
}

/* ---- stored words and rows ---------------------------------------------------------- */

typedef struct items {
    const fb_split_items *of;
    fb_model *model;
    int32_t asked; /* images that were asked for */
} items;

static fb_status give_text(void *self, fb_context *ctx, int32_t text,
                           const int32_t **ids, int32_t *count)
{
    static const int32_t made[3][5] = {{2, 5, 6, 3}, {2, 6, 3}, {2, 7, 5, 6, 3}};
    (void)self, (void)ctx;
    *ids = made[text % 3];
    *count = text % 3 == 0 ? 4 : text % 3 == 1 ? 3 : 5;
    return FB_OK;
}

static fb_status give_image(void *self, fb_context *ctx, int32_t image, uint8_t *pixels)
{
    (void)ctx;
    for (int i = 0; i < SIDE * SIDE * 3; i++)
        pixels[i] = (uint8_t)((i * 7 + image * 31) % (90 + image));
    ((items *)self)->asked++;
    return FB_OK;
}

/* 30 images, so more than a batch holds, with 1 to 5 texts each, in no order. */
static void many_pairs_score_as_each_alone_and_encode_an_image_once(void **state)
{
    enum { PAIRS = 90, IMAGES = 30 };
    const fixture *f = *state;
    char folder[4096];
    fb_score_triple pairs[PAIRS];
    float margins[PAIRS], one[1];
    must(f, fb_path_join(f->ctx, folder, f->folder, "pfan"));
    fb_model *model = open_model(f, folder);
    items of = {.model = model};
    const fb_score_source source = {
        .self = &of, .text = give_text, .image = give_image};
    for (int i = 0; i < PAIRS; i++)
        pairs[i] = (fb_score_triple){-1, (i * i) % 7, (i * 17) % IMAGES};
    fb_score_request request = {.triples = pairs, .count = PAIRS, .quiet = true};
    must(f, fb_scorer_run(f->ctx, model->scorer, &source, &request, FB_SCORE_TIA,
                          margins));
    assert_int_equal(of.asked, IMAGES);
    for (int i = 0; i < PAIRS; i++) {
        request = (fb_score_request){.triples = pairs + i, .count = 1, .quiet = true};
        must(f, fb_scorer_run(f->ctx, model->scorer, &source, &request, FB_SCORE_TIA,
                              one));
        if (!(fabs((double)(one[0] - margins[i])) <= 2e-5 * (1 + fabs((double)one[0]))))
            fail_msg("pair %d scores %.8g, alone %.8g", i, (double)margins[i],
                     (double)one[0]);
    }
    fb_model_close(model);
}

/* ---- refusals ----------------------------------------------------------------------- */

static void refused(const fixture *f, fb_train_options *o, const char *sentence)
{
    fb_train_report report;
    assert_int_equal(fb_train(f->ctx, o, &report), FB_E_USAGE);
    if (!strstr(fb_context_message(f->ctx), sentence))
        fail_msg("%s", fb_context_message(f->ctx));
}

static void what_it_cannot_do_is_refused(void **state)
{
    const fixture *f = *state;
    char out[4096], config[4096];
    fb_train_options o = options(f, "scan", out, config, "none");
    o.vector_size = 16;
    refused(f, &o, "takes no --vector-size");
    o = options(f, "pfan", out, config, "none");
    o.itc = 1;
    refused(f, &o, "--system pfan takes no --losses, --itc");
    o = options(f, "scan", out, config, "none");
    o.alignment = "list";
    refused(f, &o, "takes no --alignment");
    fb_index_build_options i;
    fb_index_report report;
    fb_index_build_options_defaults(&i);
    must(f, fb_path_join(f->ctx, out, f->folder, "scan"));
    i.model = out;
    i.catalog = f->folder;
    i.out = config;
    assert_int_equal(fb_index_build(f->ctx, &i, &report), FB_E_STATE);
    assert_non_null(strstr(fb_context_message(f->ctx), "vectors"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scan_learns_colours_but_not_their_places),
        cmocka_unit_test(pfan_learns_their_places_too),
        cmocka_unit_test(options_are_kept),
        cmocka_unit_test(many_pairs_score_as_each_alone_and_encode_an_image_once),
        cmocka_unit_test(what_it_cannot_do_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

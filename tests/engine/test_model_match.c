/* test_model_match.c - scores of what callers hand over, by a model of titles and
 * images and by one of queries: pairs and triples given one by one, many at once, from
 * files, from memory or read ahead score the same; what is wrong, and a model of the
 * other kind, is refused and leaves the outputs alone.
 */
#include <math.h>

#include "support/catalogue_fixture.h"

#include "base/random.h"
#include "data/image/image_decode.h"
#include "fashionbert.h"

enum { ITEMS = 24, SIDE = 40, SIZE = 32, TEXTS = 3, IMAGES = 3, QUERIES = 3 };

typedef struct world {
    fixture *f;
    fb_model *pairs, *queries; /* of titles and images; of queries too */
    char path[ITEMS][4096], title[ITEMS][32];
    uint8_t *bytes[IMAGES];
    size_t size[IMAGES];
} world;

static const char *const texts[TEXTS] = {"red thing", "a blue thing, long", "x"};
static const char *const queries[QUERIES] = {"red", "something blue and long", "x"};

static void must(const world *w, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(w->f->ctx));
}

static void make_catalogue(world *w)
{
    const fixture *f = w->f;
    char *text = NULL, name[64];
    size_t bytes = 0;
    FILE *lines = open_memstream(&text, &bytes);
    uint8_t pixels[SIDE * SIDE * 3];
    fb_random r = fb_random_start(5, FB_STREAM_TEST, 0);
    must(w, fb_path_join(f->ctx, w->path[0], f->folder, "images"));
    must(w, fb_folder_make(f->ctx, w->path[0]));
    for (int i = 0; i < ITEMS; i++) {
        int colour = i % 2;
        for (int p = 0; p < SIDE * SIDE * 3; p++)
            pixels[p] = (uint8_t)((p % 3 == 2 * colour ? 200 : 20) +
                                  (int)fb_random_below(&r, 50));
        fb_image image = {SIDE, SIDE, pixels};
        snprintf(name, sizeof name, "images/%d.png", i);
        must(w, fb_path_join(f->ctx, w->path[i], f->folder, name));
        must(w, fb_image_write_png(f->ctx, w->path[i], &image));
        snprintf(w->title[i], sizeof w->title[i], "%s thing %d",
                 colour ? "blue" : "red", i);
        fprintf(lines,
                "{\"file_name\": \"%s\", \"title\": \"%s\", \"queries\": \"%s\", "
                "\"category\": \"c\", \"split\": \"%s\"}\n",
                name, w->title[i], colour ? "blue" : "red", i % 3 ? "train" : "val");
    }
    assert_int_equal(fclose(lines), 0);
    fixture_write(f, "metadata.jsonl", text, bytes);
    free(text);
    fixture_text(f, "tiny.json",
                 "{\"hidden_size\": 16, \"num_hidden_layers\": 1, "
                 "\"num_attention_heads\": 2, \"intermediate_size\": 32, "
                 "\"fashionbert\": {\"image_size\": 32, \"grid\": 2}}");
}

static void train(world *w, const char *objective, const char *init, const char *name,
                  fb_model **model)
{
    char out[4096], config[4096], from[4096];
    fb_train_options o;
    fb_train_report report;
    fb_train_options_defaults(&o);
    must(w, fb_path_join(w->f->ctx, out, w->f->folder, name));
    must(w, fb_path_join(w->f->ctx, from, w->f->folder, init));
    must(w, fb_path_join(w->f->ctx, config, w->f->folder, "tiny.json"));
    o.objective = objective;
    o.catalog = w->f->folder;
    o.out = out;
    if (init[0])
        o.init = from;
    else
        o.config = config;
    o.batch = 8;
    o.steps = 20;
    o.lr = 3e-2;
    o.max_text = 8;
    o.dtype = "f32";
    o.vocab_size = 60;
    o.threads = 1;
    o.quiet = true;
    must(w, fb_train(w->f->ctx, &o, &report));
    fb_model_options compute = {"cpu", "f32", 1};
    must(w, fb_model_open(w->f->ctx, model, out, &compute));
}

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    void *f;
    fixture_setup(&f);
    w->f = f;
    make_catalogue(w);
    train(w, "match", "", "base", &w->pairs);
    train(w, "qti", "base", "model", &w->queries);
    for (int i = 0; i < IMAGES; i++)
        must(w,
             fb_file_read(w->f->ctx, w->path[i], 1 << 20, &w->bytes[i], &w->size[i]));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    void *f = w->f;
    char path[4096];
    fb_model_close(w->pairs);
    fb_model_close(w->queries);
    for (int i = 0; i < 2; i++) {
        must(w, fb_path_join(w->f->ctx, path, w->f->folder, i ? "base" : "model"));
        must(w, fb_folder_remove(w->f->ctx, path));
    }
    for (int i = 0; i < IMAGES; i++)
        free(w->bytes[i]);
    free(w);
    return fixture_teardown(&f);
}

/* ---- pairs ------------------------------------------------------------------------- */

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
    assert_int_equal(fb_model_image_size(w->pairs), SIZE);
    assert_int_equal(
        fb_model_read_image(w->f->ctx, w->pairs, &third, "third", 0, pixels), FB_OK);
    images[2].pixels = pixels;
    assert_int_equal(
        fb_model_score(w->f->ctx, w->pairs, texts, TEXTS, files, IMAGES, all), FB_OK);
    for (int i = 0; i < TEXTS * IMAGES; i++) /* in another order */
        inputs[i] = (fb_input){.text = texts[(i * 2) % 9 / 3],
                               .image = &images[(i * 2) % 9 % 3]};
    assert_int_equal(fb_model_match(w->f->ctx, w->pairs, inputs, TEXTS * IMAGES, each),
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
    assert_int_equal(fb_model_match(w->f->ctx, w->pairs, inputs, 3, one), FB_OK);
    assert_int_equal(fb_model_match(w->f->ctx, w->pairs, inputs, MANY, scores), FB_OK);
    for (int i = 0; i < MANY; i++)
        assert_true(fabsf(scores[i] - one[i % 3]) < 1e-5f);
    assert_int_equal(fb_model_match(w->f->ctx, w->pairs, NULL, 0, NULL), FB_OK);
}

static void what_is_wrong_with_a_pair_is_refused(void **state)
{
    world *w = *state;
    fb_context *ctx = w->f->ctx;
    fb_image_input good = {.file = w->path[0]};
    fb_image_input cut = {.bytes = w->bytes[0], .size_bytes = w->size[0] / 2};
    fb_image_input none = {.file = "/nowhere/x.png"};
    float scores[2] = {7, 7};
    fb_input inputs[2] = {{.text = "a", .image = &good}, {.text = "a"}};
    assert_int_equal(fb_model_match(ctx, w->pairs, inputs, 2, scores), FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(ctx), "input 1 lacks its image"));
    inputs[1] = (fb_input){.image = &good};
    assert_int_equal(fb_model_match(ctx, w->pairs, inputs, 2, scores), FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(ctx), "input 1 lacks its text"));
    inputs[1] = (fb_input){.text = "a", .image = &cut};
    assert_int_equal(fb_model_match(ctx, w->pairs, inputs, 2, scores), FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(ctx), "image 1"));
    inputs[1].image = &none;
    assert_int_equal(fb_model_match(ctx, w->pairs, inputs, 2, scores), FB_E_MISSING);
    assert_non_null(strstr(fb_context_message(ctx), "/nowhere/x.png"));
    assert_true(scores[0] == 7 && scores[1] == 7);
    assert_int_equal(fb_model_match(ctx, w->pairs, inputs, -1, scores), FB_E_USAGE);
}

static void large_images_are_refused_before_they_are_decoded(void **state)
{
    world *w = *state;
    uint8_t pixels[SIZE * SIZE * 3];
    memset(pixels, 9, sizeof pixels);
    fb_image_input image = {.bytes = w->bytes[0], .size_bytes = w->size[0]};
    assert_int_equal(fb_model_read_image(w->f->ctx, w->pairs, &image, "photo",
                                         SIDE * SIDE - 1, pixels),
                     FB_E_LIMIT);
    assert_non_null(strstr(fb_context_message(w->f->ctx), "photo: 40 x 40 pixels"));
    assert_int_equal(pixels[0], 9);
    assert_int_equal(
        fb_model_read_image(w->f->ctx, w->pairs, &image, "photo", SIDE * SIDE, pixels),
        FB_OK);
    assert_int_not_equal(pixels[0], 9);
}

static void tokens_count_the_ends_and_stop_at_the_most(void **state)
{
    world *w = *state;
    int32_t tokens = 0;
    static const char *const none[] = {"", " ", "\xc2\xa0", "\xe2\x80\x8b", "?!"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_int_equal(fb_model_count_tokens(w->f->ctx, w->pairs, none[i], &tokens),
                         FB_E_USAGE);
    assert_int_equal(fb_model_count_tokens(w->f->ctx, w->pairs, "caf\xe9", &tokens),
                     FB_E_USAGE);
    assert_int_equal(fb_model_count_tokens(w->f->ctx, w->pairs, "thing", &tokens),
                     FB_OK);
    assert_int_equal(tokens, 3);
    assert_int_equal(fb_model_count_tokens(w->f->ctx, w->pairs,
                                           "thing thing thing thing thing thing thing",
                                           &tokens),
                     FB_OK);
    assert_int_equal(tokens, 8);
}

/* ---- triples ----------------------------------------------------------------------- */

static float score_one(world *w, const char *query, const char *title,
                       const fb_image_input *image)
{
    const fb_input product = {title, image};
    float score = -1;
    must(w, fb_model_score_query(w->f->ctx, w->queries, &query, &product, 1, &score));
    assert_true(score > 0 && score < 1);
    return score;
}

/* More than a batch, in an order that the scorer does not keep. */
static void many_triples_score_as_each_alone(void **state)
{
    world *w = *state;
    enum { COUNT = QUERIES * ITEMS * 2 };
    const char *asked[COUNT];
    fb_input products[COUNT];
    fb_image_input images[ITEMS] = {{0}};
    float scores[COUNT];
    double most = 0;
    assert_true(fb_model_takes_query(w->queries));
    for (int i = 0; i < ITEMS; i++)
        images[i].file = w->path[i];
    for (int i = 0; i < COUNT; i++) {
        asked[i] = queries[i % QUERIES];
        products[i].text = w->title[i * 7 % ITEMS];
        products[i].image = &images[i * 5 % ITEMS];
    }
    must(w,
         fb_model_score_query(w->f->ctx, w->queries, asked, products, COUNT, scores));
    for (int i = 0; i < COUNT; i++) {
        double alone =
            (double)score_one(w, asked[i], products[i].text, products[i].image);
        if (!(fabs(alone - (double)scores[i]) <= 1e-5))
            fail_msg("triple %d has %.7g, alone %.7g", i, (double)scores[i], alone);
        most = fmax(most, fabs((double)(scores[i] - scores[0])));
    }
    assert_true(most > 1e-4); /* they do differ */
    /* texts and images that are equal, but lie elsewhere */
    char query[64], title[64];
    snprintf(query, sizeof query, "%s", asked[1]);
    snprintf(title, sizeof title, "%s", products[1].text);
    const fb_image_input image = *products[1].image;
    assert_true(fabs((double)(score_one(w, query, title, &image) - scores[1])) <= 1e-5);
    must(w, fb_model_score_query(w->f->ctx, w->queries, NULL, NULL, 0, scores));
}

static void images_in_memory_score_as_files(void **state)
{
    world *w = *state;
    uint8_t *bytes, pixels[32 * 32 * 3];
    size_t size;
    const fb_image_input file = {.file = w->path[1]};
    must(w, fb_file_read(w->f->ctx, w->path[1], 1 << 20, &bytes, &size));
    const fb_image_input memory = {.bytes = bytes, .size_bytes = size};
    must(w, fb_model_read_image(w->f->ctx, w->queries, &memory, "x", 0, pixels));
    const fb_image_input ready = {.pixels = pixels};
    float want = score_one(w, "red", "a", &file);
    assert_true(score_one(w, "red", "a", &memory) == want);
    assert_true(score_one(w, "red", "a", &ready) == want);
    free(bytes);
}

static void refuse(world *w, fb_model *model, const char *query, const char *title,
                   const fb_image_input *image, fb_status code, const char *words)
{
    const fb_image_input good = {.file = w->path[0]};
    const char *const asked[2] = {"red", query};
    const fb_input products[2] = {{"a", &good}, {title, image}};
    float scores[2] = {7, 7};
    assert_int_equal(fb_model_score_query(w->f->ctx, model, asked, products, 2, scores),
                     code);
    if (!strstr(fb_context_message(w->f->ctx), words))
        fail_msg("%s", fb_context_message(w->f->ctx));
    assert_true(scores[0] == 7 && scores[1] == 7);
}

static void what_is_wrong_with_a_triple_is_named(void **state)
{
    world *w = *state;
    const fb_image_input good = {.file = w->path[1]}, gone = {.file = "/nowhere.png"};
    const fb_image_input cut = {.bytes = "\x89PNG", .size_bytes = 4};
    refuse(w, w->queries, NULL, "a", &good, FB_E_USAGE, "triple 1 lacks its query");
    refuse(w, w->queries, "q", NULL, &good, FB_E_USAGE, "triple 1 lacks its title");
    refuse(w, w->queries, "q", "a", NULL, FB_E_USAGE, "triple 1 lacks its image");
    refuse(w, w->queries, "q", "a", &gone, FB_E_MISSING, "/nowhere.png");
    refuse(w, w->queries, "q", "a", &cut, FB_E_FORMAT, "image 1");
    refuse(w, w->pairs, "q", "a", &good, FB_E_STATE, "takes no query");
}

static void models_of_the_other_kind_are_refused(void **state)
{
    world *w = *state;
    const char *const text = "a", *const file = w->path[0];
    const fb_image_input image = {.file = w->path[0]};
    const fb_input input = {"a", &image};
    float score = 7;
    assert_false(fb_model_takes_query(w->pairs));
    assert_int_equal(fb_model_score(w->f->ctx, w->queries, &text, 1, &file, 1, &score),
                     FB_E_STATE);
    assert_non_null(strstr(fb_context_message(w->f->ctx), "give it a query too"));
    assert_int_equal(fb_model_match(w->f->ctx, w->queries, &input, 1, &score),
                     FB_E_STATE);
    assert_true(score == 7);
}

/* ---- contexts ------------------------------------------------------------------------ */

/* A model outlives the context that it was opened with: each call has its own. */
static void a_model_keeps_no_context(void **state)
{
    world *w = *state;
    char folder[4096];
    const char *const text = "a", *const gone = "/nowhere.png",
                      *const there = w->path[0];
    fb_model *model = NULL;
    fb_model_options compute = {"cpu", "f32", 1};
    fb_context *first = fb_context_create(), *second = fb_context_create();
    float score = 7;
    must(w, fb_path_join(w->f->ctx, folder, w->f->folder, "base"));
    assert_int_equal(fb_model_open(first, &model, folder, &compute), FB_OK);
    fb_context_free(first);
    assert_int_equal(fb_model_score(second, model, &text, 1, &gone, 1, &score),
                     FB_E_MISSING);
    assert_non_null(strstr(fb_context_message(second), "/nowhere.png"));
    assert_true(score == 7);
    assert_int_equal(fb_model_score(w->f->ctx, model, &text, 1, &there, 1, &score),
                     FB_OK);
    assert_true(score > 0 && score < 1);
    fb_model_close(model);
    fb_context_free(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_have_the_scores_of_all_with_all),
        cmocka_unit_test(equal_pairs_and_more_than_a_batch),
        cmocka_unit_test(what_is_wrong_with_a_pair_is_refused),
        cmocka_unit_test(large_images_are_refused_before_they_are_decoded),
        cmocka_unit_test(tokens_count_the_ends_and_stop_at_the_most),
        cmocka_unit_test(many_triples_score_as_each_alone),
        cmocka_unit_test(images_in_memory_score_as_files),
        cmocka_unit_test(what_is_wrong_with_a_triple_is_named),
        cmocka_unit_test(models_of_the_other_kind_are_refused),
        cmocka_unit_test(a_model_keeps_no_context),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* test_model_queries.c - the public functions over a model of queries: triples given
 * one by one or many at once, from files or memory, score the same; what is wrong, and
 * a model of the other kind, is refused and leaves the outputs alone.
 */
#include <math.h>

#include "support/catalogue_fixture.h"

#include "base/random.h"
#include "data/image/image_decode.h"
#include "fashionbert.h"

enum { ITEMS = 24, SIDE = 40, QUERIES = 3 };

typedef struct world {
    fixture *f;
    fb_model *model, *pairs; /* of queries; of titles and images */
    char path[ITEMS][4096], title[ITEMS][32];
} world;

static const char *const queries[QUERIES] = {"red", "something blue and long", ""};

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
    train(w, "qti", "base", "model", &w->model);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    void *f = w->f;
    char path[4096];
    fb_model_close(w->model);
    fb_model_close(w->pairs);
    for (int i = 0; i < 2; i++) {
        must(w, fb_path_join(w->f->ctx, path, w->f->folder, i ? "base" : "model"));
        must(w, fb_folder_remove(w->f->ctx, path));
    }
    free(w);
    return fixture_teardown(&f);
}

static float score_one(world *w, const char *query, const char *title,
                       const fb_image_input *image)
{
    const fb_input product = {title, image};
    float score = -1;
    must(w, fb_model_score_query(w->f->ctx, w->model, &query, &product, 1, &score));
    assert_true(score > 0 && score < 1);
    return score;
}

/* More than a batch, in an order that the scorer does not keep. */
static void many_at_once_score_as_each_alone(void **state)
{
    world *w = *state;
    enum { COUNT = QUERIES * ITEMS * 2 };
    const char *asked[COUNT];
    fb_input products[COUNT];
    fb_image_input images[ITEMS] = {{0}};
    float scores[COUNT];
    double most = 0;
    assert_true(fb_model_takes_query(w->model));
    for (int i = 0; i < ITEMS; i++)
        images[i].file = w->path[i];
    for (int i = 0; i < COUNT; i++) {
        asked[i] = queries[i % QUERIES];
        products[i].text = w->title[i * 7 % ITEMS];
        products[i].image = &images[i * 5 % ITEMS];
    }
    must(w, fb_model_score_query(w->f->ctx, w->model, asked, products, COUNT, scores));
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
    must(w, fb_model_score_query(w->f->ctx, w->model, NULL, NULL, 0, scores));
}

static void images_in_memory_score_as_files(void **state)
{
    world *w = *state;
    uint8_t *bytes, pixels[32 * 32 * 3];
    size_t size;
    const fb_image_input file = {.file = w->path[1]};
    must(w, fb_file_read(w->f->ctx, w->path[1], 1 << 20, &bytes, &size));
    const fb_image_input memory = {.bytes = bytes, .size_bytes = size};
    must(w, fb_model_read_image(w->f->ctx, w->model, &memory, "x", 0, pixels));
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

static void what_is_wrong_is_named(void **state)
{
    world *w = *state;
    const fb_image_input good = {.file = w->path[1]}, gone = {.file = "/nowhere.png"};
    const fb_image_input cut = {.bytes = "\x89PNG", .size_bytes = 4};
    refuse(w, w->model, NULL, "a", &good, FB_E_USAGE, "triple 1 lacks its query");
    refuse(w, w->model, "q", NULL, &good, FB_E_USAGE, "triple 1 lacks its title");
    refuse(w, w->model, "q", "a", NULL, FB_E_USAGE, "triple 1 lacks its image");
    refuse(w, w->model, "q", "a", &gone, FB_E_MISSING, "/nowhere.png");
    refuse(w, w->model, "q", "a", &cut, FB_E_FORMAT, "image 1");
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
    assert_int_equal(fb_model_score(w->f->ctx, w->model, &text, 1, &file, 1, &score),
                     FB_E_STATE);
    assert_non_null(strstr(fb_context_message(w->f->ctx), "give it a query too"));
    assert_int_equal(fb_model_match(w->f->ctx, w->model, &input, 1, &score),
                     FB_E_STATE);
    assert_true(score == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_at_once_score_as_each_alone),
        cmocka_unit_test(images_in_memory_score_as_files),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(models_of_the_other_kind_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

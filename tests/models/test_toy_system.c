/* test_toy_system.c - a system that the product does not have, added by one file and one
 * row: it is trained by gradients, or fitted in closed form, validated, saved, opened,
 * evaluated and scored through the functions that all systems go through.
 *
 *     u = W mean(word[id] of the text's tokens)      v = V mean(pixels of the patches)
 *     logits = M (u * v)                              P(match) by softmax
 */
#include <math.h>

#include "support/catalogue_fixture.h"

#include "base/random.h"
#include "data/image/image_decode.h"
#include "engine/model_folder.h"
#include "models/matcher.h"
#include "nn/patch_encoder.h"
#include "nn/transformer.h"

/* ---- the system ------------------------------------------------------------------- */

typedef struct toy {
    fb_matcher matcher;
    fb_patch_encoder encoder;
    fb_leaf *word, *text, *image, *match, *bias;
} toy;

typedef struct toy_config { /* its own keys */
    int32_t width;
    double scale;
} toy_config;

static const fb_config_key keys[] = {
    {"toy_width", FB_CONFIG_INT32, FB_CONFIG_OWN(toy_config, width), 1, 64, NULL, 12},
    {"toy_scale", FB_CONFIG_DOUBLE, FB_CONFIG_OWN(toy_config, scale), 0, 10, NULL, 1}};

static const toy_config *config_of(const fb_matcher *m)
{
    return (const toy_config *)(const void *)&m->config.own;
}

static void toy_free(fb_matcher *m, fb_backend *be)
{
    fb_patch_encoder_free(&((toy *)m)->encoder, be);
    fb_params_free(m->params, be);
    free(m);
}

static fb_status declare(toy *m)
{
    const fb_model_config *c = &m->matcher.config;
    fb_params *p = m->matcher.params;
    int64_t width = config_of(&m->matcher)->width;
    fb_patch_encoder_options o = {
        .name = c->encoder, .image_size = c->image_size, .grid = c->grid};
    memcpy(o.mean, c->mean, sizeof o.mean);
    memcpy(o.std, c->std, sizeof o.std);
    FB_TRY(fb_patch_encoder_declare(p, &m->encoder, &o));
    FB_TRY(fb_table_declare(p, &m->word, "toy.word", c->vocab, width, 0.5f, true));
    FB_TRY(fb_linear_declare(p, &m->text, NULL, "toy.text", width, width, 0.5f, true));
    FB_TRY(fb_linear_declare(p, &m->image, NULL, "toy.image", width,
                             fb_model_config_features(c), 0.5f, true));
    return fb_linear_declare(p, &m->match, &m->bias, "toy.match", 2, width, 0.5f, true);
}

extern const fb_system toy_row, closed_row;

static fb_status create_as(fb_context *ctx, fb_matcher **matcher,
                           const fb_model_config *config, fb_model_use use,
                           const fb_system *system)
{
    toy *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->matcher.system = system;
    m->matcher.config = *config;
    fb_status status = fb_params_create(ctx, &m->matcher.params);
    if (status == FB_OK)
        status = declare(m);
    if (status == FB_OK)
        status = fb_params_allocate(m->matcher.params, use != FB_MODEL_SCORE);
    *matcher = &m->matcher;
    return status;
}

static fb_status toy_create(fb_context *ctx, fb_matcher **matcher,
                            const fb_model_config *config, fb_model_use use)
{
    return create_as(ctx, matcher, config, use, &toy_row);
}

static fb_status forward(toy *m, fb_tape *tape, const fb_batch *b, fb_var **logits)
{
    int32_t *ends;
    fb_var *words, *text, *patches, *image, *u, *v, *mean, *both;
    fb_leaf *const tables[1] = {m->word};
    const int32_t *const ids[1] = {b->token_ids};
    FB_TRY(fb_tape_ints(tape, &ends, b->images + 1));
    for (int32_t i = 0; i <= b->images; i++)
        ends[i] = i * b->patches;
    FB_TRY(fb_op_embed(tape, &words, NULL, tables, ids, 1, fb_batch_text_tokens(b)));
    FB_TRY(fb_op_mean_rows(tape, &mean, words, b->text_offsets, b->texts));
    FB_TRY(fb_op_linear(tape, &text, mean, m->text, NULL, false));
    FB_TRY(fb_patch_encoder_forward(tape, &patches, &m->encoder, b->pixels, b->images));
    FB_TRY(fb_op_mean_rows(tape, &mean, patches, ends, b->images));
    FB_TRY(fb_op_linear(tape, &image, mean, m->image, NULL, false));
    FB_TRY(fb_op_gather(tape, &u, text, NULL, b->pair_text, b->pairs));
    FB_TRY(fb_op_gather(tape, &v, image, NULL, b->pair_image, b->pairs));
    FB_TRY(fb_op_multiply(tape, &both, u, v));
    return fb_op_linear(tape, logits, both, m->match, m->bias, true);
}

static fb_status run(fb_matcher *matcher, fb_tape *tape, const fb_batch *b,
                     fb_measures *out, fb_loss **loss)
{
    fb_var *logits;
    int64_t right = 0;
    FB_TRY(forward((toy *)matcher, tape, b, &logits));
    FB_TRY(fb_op_cross_entropy(tape, loss, logits, b->pair_label));
    const float *l = logits->value.data;
    for (int32_t i = 0; i < b->pairs; i++)
        right += (l[i * 2 + 1] > l[i * 2]) == (b->pair_label[i] == 1);
    *out = (fb_measures){.total = (*loss)->value};
    fb_measures_put_loss(out, "toy", FB_MEASURE_DECIDES, (*loss)->value, 1, b->pairs);
    fb_measures_put_share(out, "accuracy", FB_MEASURE_HEADLINE, (double)right, b->pairs,
                          b->pairs / 2.0);
    return fb_matcher_check_loss(tape, (*loss)->value);
}

static fb_status toy_train(fb_matcher *m, fb_tape *tape, const fb_batch *b,
                           const void *step, fb_measures *out)
{
    fb_loss *loss;
    FB_TRY(run(m, tape, b, out, &loss));
    loss->seed = *(const float *)step;
    return fb_tape_backward(tape, NULL, NULL, true);
}

static fb_status toy_losses(fb_matcher *m, fb_tape *tape, const fb_batch *b,
                            const void *step, fb_measures *out)
{
    fb_loss *loss;
    (void)step;
    return run(m, tape, b, out, &loss);
}

static fb_status toy_score(fb_matcher *m, fb_tape *tape, const fb_batch *b,
                           float *margins)
{
    fb_var *logits;
    FB_TRY(forward((toy *)m, tape, b, &logits));
    const float *l = logits->value.data;
    for (int32_t i = 0; i < b->pairs; i++)
        margins[i] = l[i * 2 + 1] - l[i * 2];
    return FB_OK;
}

static fb_status toy_plan(fb_context *ctx, const fb_train_options *o,
                          fb_train_plan *plan, void *step)
{
    (void)ctx, (void)o;
    plan->whole_texts = plan->whole_images = true;
    *(float *)step = 1;
    return FB_OK;
}

static const fb_option_value defaults[] = {
    {"encoder", "pixels"}, {"patches", "grid"},   {"fit", "squash"},
    {"lr", "3e-2"},        {"weight-decay", "0"}, {"epochs", "40"},
    {"batch", "16"},       {"warmup", "0.1"},     {NULL, NULL}};
static const fb_objective objectives[] = {{"toy", defaults}};
static const char *const loss_names[] = {"toy", NULL};

const fb_system toy_row = {.name = "toy",
                           .number = 1000,
                           .reads = FB_READS_TITLE | FB_READS_PIXELS,
                           .gives = FB_GIVES_SCORE,
                           .keys = {keys, 2},
                           .loss_names = loss_names,
                           .objectives = objectives,
                           .objective_count = 1,
                           .step_bytes = sizeof(float),
                           .plan = toy_plan,
                           .create = toy_create,
                           .train_batch = toy_train,
                           .losses = toy_losses,
                           .score = toy_score,
                           .free = toy_free};

/* ---- the same, learnt from nothing but a count of the batches --------------------- */

static fb_status closed_create(fb_context *ctx, fb_matcher **matcher,
                               const fb_model_config *config, fb_model_use use)
{
    return create_as(ctx, matcher, config, use, &closed_row);
}

/* The bias tells how many pairs went by, matched and mismatched. */
static fb_status closed_fit(fb_context *ctx, fb_matcher *m,
                            const fb_batch_stream *batches)
{
    const fb_batch *b;
    float *bias = fb_params_value(m->params, ((toy *)m)->bias);
    bias[0] = bias[1] = 0;
    for (;;) {
        FB_TRY(batches->next(batches->self, ctx, &b));
        if (!b)
            break;
        for (int32_t i = 0; i < b->pairs; i++)
            bias[b->pair_label[i]] += 1;
    }
    fb_params_touch(m->params);
    return FB_OK;
}

static const fb_objective closed_objectives[] = {{"toy-closed", defaults}};

const fb_system closed_row = {.name = "toy-closed",
                              .number = 1001,
                              .reads = FB_READS_TITLE | FB_READS_PIXELS,
                              .gives = FB_GIVES_SCORE,
                              .keys = {keys, 2},
                              .objectives = closed_objectives,
                              .objective_count = 1,
                              .step_bytes = sizeof(float),
                              .plan = toy_plan,
                              .create = closed_create,
                              .fit = closed_fit,
                              .losses = toy_losses,
                              .score = toy_score,
                              .free = toy_free};

const fb_system *const fb_systems_more[] = {&toy_row, &closed_row, NULL};

/* ---- a world of red and blue things ------------------------------------------------ */

enum { ITEMS = 36, SIDE = 40 };

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
        int colour = i % 2;
        for (int p = 0; p < SIDE * SIDE * 3; p++)
            pixels[p] = (uint8_t)((p % 3 == 2 * colour ? 200 : 20) +
                                  (int)fb_random_below(&r, 50));
        fb_image image = {SIDE, SIDE, pixels};
        snprintf(name, sizeof name, "images/%d.png", i);
        must(f, fb_path_join(f->ctx, path, f->folder, name));
        must(f, fb_image_write_png(f->ctx, path, &image));
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
                 "\"fashionbert\": {\"image_size\": 32, \"grid\": 2, \"system\": "
                 "\"toy\", \"toy_width\": 7}}");
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
    static const char *const made[] = {"toy", "closed"};
    for (int i = 0; i < 2; i++) {
        must(f, fb_path_join(NULL, path, ((fixture *)f)->folder, made[i]));
        must(f, fb_folder_remove(NULL, path));
    }
    return fixture_teardown(&f);
}

static fb_train_options options(const fixture *f, const char *objective, char out[4096],
                                char config[4096], const char *name)
{
    fb_train_options o;
    fb_train_options_defaults(&o);
    must(f, fb_path_join(f->ctx, out, f->folder, name));
    must(f, fb_path_join(f->ctx, config, f->folder, "tiny.json"));
    o.objective = objective;
    o.catalog = f->folder;
    o.out = out;
    o.config = config;
    o.max_text = 8;
    o.vocab_size = 60;
    o.backend = "ref";
    o.dtype = "f32";
    o.quiet = true;
    return o;
}

/* ---- tests ------------------------------------------------------------------------- */

static void it_learns_and_is_opened_and_evaluated(void **state)
{
    const fixture *f = *state;
    char out[4096], config[4096];
    fb_train_options o = options(f, "toy", out, config, "toy");
    fb_train_report report;
    must(f, fb_train(f->ctx, &o, &report));
    assert_true(report.steps > 50 && report.best_val_accuracy > 0.6);
    fb_model *model;
    fb_model_options compute = {"ref", "f32", 1};
    must(f, fb_model_open(f->ctx, &model, out, &compute));
    assert_ptr_equal(model->matcher->system, &toy_row);
    assert_int_equal(config_of(model->matcher)->width, 7);
    assert_true(config_of(model->matcher)->scale == 1);
    assert_false(fb_matcher_gives(model->matcher, FB_GIVES_VECTORS));
    assert_int_equal(fb_model_vector_size(model), 0);
    fb_model_close(model);
    fb_evaluate_options e;
    fb_evaluation *evaluation;
    fb_evaluate_options_defaults(&e);
    e.model = out;
    e.catalog = f->folder;
    e.split = "val";
    e.min_candidates = 1;
    e.quiet = true;
    must(f, fb_evaluate(f->ctx, &e, &evaluation));
    fb_evaluation_free(evaluation);
}

static void closed_form_sees_every_batch_of_an_epoch_once(void **state)
{
    const fixture *f = *state;
    char out[4096], config[4096];
    fb_train_options o = options(f, "toy-closed", out, config, "closed");
    fb_train_report report;
    o.epochs = 5; /* one pass is all there is */
    must(f, fb_train(f->ctx, &o, &report));
    fb_model *model;
    fb_model_options compute = {"ref", "f32", 1};
    must(f, fb_model_open(f->ctx, &model, out, &compute));
    const toy *m = (const toy *)(const void *)model->matcher;
    const float *bias = fb_params_value(m->matcher.params, m->bias);
    assert_true(bias[0] == 24 && bias[1] == 24); /* of 24 items, 8 matched a batch */
    fb_model_close(model);
}

static void what_it_cannot_do_is_refused(void **state)
{
    const fixture *f = *state;
    char out[4096], config[4096];
    fb_train_options o = options(f, "toys", out, config, "none");
    fb_train_report report;
    assert_int_equal(fb_train(f->ctx, &o, &report), FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(f->ctx), "toy, toy-closed"));
    o.objective = "toy";
    o.losses = "tia";
    assert_int_equal(fb_train(f->ctx, &o, &report), FB_E_USAGE);
    o.losses = "auto";
    o.clicks = "clicks.tsv";
    assert_int_equal(fb_train(f->ctx, &o, &report), FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(f->ctx), "by --objective qti"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_learns_and_is_opened_and_evaluated),
        cmocka_unit_test(closed_form_sees_every_batch_of_an_epoch_once),
        cmocka_unit_test(what_it_cannot_do_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* test_calibrate.c - what a trained model's calibration found is what it claims: the
 * similarity's weight and the neighbours' have the best mean reciprocal rank on the
 * validation split, and slope and bias have the least logistic loss. The lists are
 * drawn and scored anew here and the measures computed by other means: neighbours found
 * by sorting all cosines, a search over other weights, and differences of the loss.
 */
#include <math.h>
#include <unistd.h>

#include "support/catalogue_fixture.h"

#include "base/random.h"
#include "data/image/image_decode.h"
#include "engine/model_match.h"
#include "engine/split_items.h"
#include "training/calibrate.h"

enum { ITEMS = 120, SIDE = 32, LISTS_MOST = 512, OTHERS = 100 };
#define RIDGE 1e-3 /* of the loss: RIDGE / 2 ((slope - 1)^2 + bias^2) */

static const char *const words[] = {"red", "green", "blue", "black"};
static const uint8_t colours[4][3] = {
    {200, 20, 20}, {20, 200, 20}, {20, 20, 200}, {30, 30, 30}};

/* Pictures of one colour and noise, two of five of split val, two categories. */
static void make_catalogue(const fixture *f)
{
    char *text = NULL, name[64], path[4096];
    size_t bytes = 0;
    FILE *lines = open_memstream(&text, &bytes);
    uint8_t pixels[SIDE * SIDE * 3];
    fb_random r = fb_random_start(3, FB_STREAM_TEST, 0);
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "images"), FB_OK);
    assert_int_equal(fb_folder_make(f->ctx, path), FB_OK);
    for (int i = 0; i < ITEMS; i++) {
        uint32_t colour = fb_random_below(&r, 4);
        for (int p = 0; p < SIDE * SIDE * 3; p++)
            pixels[p] = (uint8_t)(colours[colour][p % 3] + fb_random_below(&r, 50));
        fb_image image = {SIDE, SIDE, pixels};
        snprintf(name, sizeof name, "images/%d.png", i);
        assert_int_equal(fb_path_join(f->ctx, path, f->folder, name), FB_OK);
        assert_int_equal(fb_image_write_png(f->ctx, path, &image), FB_OK);
        fprintf(lines,
                "{\"file_name\": \"%s\", \"title\": \"%s thing %d\", "
                "\"category\": \"c%d\", \"split\": \"%s\"}\n",
                name, words[colour], i, i % 2, i % 5 < 2 ? "val" : "train");
    }
    assert_int_equal(fclose(lines), 0);
    fixture_write(f, "metadata.jsonl", text, bytes);
    free(text);
    fixture_text(f, "tiny.json",
                 "{\"hidden_size\": 16, \"num_hidden_layers\": 1, "
                 "\"num_attention_heads\": 2, \"intermediate_size\": 32, "
                 "\"fashionbert\": {\"image_size\": 32, \"grid\": 2}}");
}

static fb_train_options small_run(const fixture *f, char out[4096], char config[4096])
{
    fb_train_options o;
    fb_train_options_defaults(&o);
    assert_int_equal(fb_path_join(f->ctx, out, f->folder, "model"), FB_OK);
    assert_int_equal(fb_path_join(f->ctx, config, f->folder, "tiny.json"), FB_OK);
    o.catalog = f->folder;
    o.out = out;
    o.config = config;
    o.encoder = "pixels";
    o.vector_size = 8;
    o.batch = 16;
    o.steps = 30;
    o.lr = 3e-3;
    o.max_text = 8;
    o.dtype = "f32";
    o.vocab_size = 200;
    o.threads = 1;
    o.quiet = true;
    return o;
}

/* Lists as calibration draws them; margins and similarities of their pairs. */
typedef struct ranking {
    int32_t lists, first[LISTS_MOST + 1];
    fb_score_triple pairs[LISTS_MOST * (OTHERS + 1)];
    float margin[LISTS_MOST * (OTHERS + 1)], similarity[LISTS_MOST * (OTHERS + 1)],
        nearness[LISTS_MOST * (OTHERS + 1)], own[LISTS_MOST * (OTHERS + 1)];
} ranking;

static void draw_lists(ranking *r, const fixture *f, const fb_split_items *items,
                       uint64_t seed)
{
    fb_candidate_set *set;
    fb_candidate_options o = {.queries = 1000,
                              .negative_count = OTHERS,
                              .min_candidates = 9,
                              .draws = 1,
                              .seed = seed};
    assert_int_equal(fb_negative_rule_parse(f->ctx, &o.negatives, "category"), FB_OK);
    assert_int_equal(
        fb_candidate_set_draw(f->ctx, &set, items->items, items->count, &o), FB_OK);
    int32_t n = 0;
    r->lists = 0;
    assert_in_range(set->list_count, 40, LISTS_MOST);
    for (int direction = 0; direction < 2; direction++) {
        int64_t count;
        const fb_candidate_list *list =
            fb_candidate_set_group(set, 0, (fb_direction)direction, &count);
        for (int64_t i = 0; i < count; i++) {
            r->first[r->lists++] = n;
            for (int32_t k = -1; k < list[i].count; k++) {
                int32_t other =
                    k < 0 ? list[i].positive : set->items[list[i].offset + k];
                bool by_image = direction == FB_IMAGE_TO_TEXT;
                r->pairs[n].query = -1;
                r->pairs[n].text = by_image ? other : list[i].query;
                r->pairs[n++].image = by_image ? list[i].query : other;
            }
        }
    }
    r->first[r->lists] = n;
    fb_candidate_set_free(set);
}

/* Vectors of a split's texts (from 0) and images (from SIDES on). */
enum { SIDES = 100, NEAREST = 10, VECTOR = 8 };

static void encode(const fixture *f, fb_model *model, const fb_split_items *items,
                   float vectors[2 * SIDES][VECTOR])
{
    assert_in_range(items->count, 20, SIDES);
    for (int32_t i = 0; i < items->count; i++)
        for (int32_t side = 0; side < 2; side++) {
            const fb_image_input image = {.file = items->paths[i]};
            const fb_input input = {side ? NULL : items->titles[i],
                                    side ? &image : NULL};
            assert_int_equal(fb_model_encode(f->ctx, model, &input, 1, 0.5,
                                             vectors[side * SIDES + i]),
                             FB_OK);
        }
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

static double mean_nearest(const float *v, float (*others)[VECTOR], int32_t count)
{
    float cosines[SIDES];
    double sum = 0;
    for (int32_t j = 0; j < count; j++) {
        cosines[j] = 0;
        for (int32_t k = 0; k < VECTOR; k++)
            cosines[j] += v[k] * others[j][k];
    }
    qsort(cosines, (size_t)count, sizeof *cosines, by_size);
    for (int32_t j = 0; j < NEAREST; j++)
        sum += (double)cosines[j];
    return sum / NEAREST;
}

/* nearness[pairs]: in the units of the similarity, whose scale is that of one pair. */
static void find_nearness(ranking *r, const fixture *f, fb_model *model,
                          const fb_split_items *items)
{
    static float train[2 * SIDES][VECTOR], val[2 * SIDES][VECTOR];
    fb_split_items *bank;
    assert_int_equal(fb_split_items_open(f->ctx, &bank, f->folder, "train"), FB_OK);
    encode(f, model, bank, train);
    encode(f, model, items, val);
    double scale = model->matcher->system->similarity_scale(model->matcher);
    for (int32_t p = 0; p < r->first[r->lists]; p++)
        r->nearness[p] =
            (float)(scale *
                    (mean_nearest(val[r->pairs[p].text], train + SIDES, bank->count) +
                     mean_nearest(val[SIDES + r->pairs[p].image], train, bank->count)));
    fb_split_items_close(bank);
}

/* The folder's own score of a pair, and an explanation's. */
static void expect_one_score(const fixture *f, fb_model *model,
                             const fb_split_items *items, const ranking *r)
{
    for (int32_t p = 0; p < 3; p++) {
        const fb_image_input image = {.file = items->paths[r->pairs[p].image]};
        const char *title = items->titles[r->pairs[p].text];
        fb_explanation *why;
        assert_int_equal(fb_explain(f->ctx, model, title, &image, NULL, &why), FB_OK);
        assert_true(fabs(why->score - (double)r->own[p]) < 1e-4);
        fb_explanation_free(why);
    }
}

static ranking *rank_anew(const fixture *f, const fb_train_options *o)
{
    ranking *r = calloc(1, sizeof *r);
    fb_split_items *items;
    fb_model *model;
    fb_model_options compute = {o->backend, o->dtype, o->threads};
    assert_non_null(r);
    assert_int_equal(fb_split_items_open(f->ctx, &items, f->folder, "val"), FB_OK);
    draw_lists(r, f, items, o->seed);
    assert_int_equal(fb_model_open(f->ctx, &model, o->out, &compute), FB_OK);
    const fb_score_request request = {r->pairs, r->first[r->lists], NULL, true};
    if (model->matcher->config.score == FB_SCORE_BOTH) {
        assert_int_equal(fb_model_score_pairs(f->ctx, model, items->titles,
                                              items->paths, &request, FB_SCORE_BOTH,
                                              r->own),
                         FB_OK);
        expect_one_score(f, model, items, r);
    }
    model->matcher->config.similarity_weight = 1;
    model->matcher->config.score_bias = 0;
    find_nearness(r, f, model, items);
    for (int kind = 0; kind < 2; kind++)
        assert_int_equal(fb_model_score_pairs(f->ctx, model, items->titles,
                                              items->paths, &request,
                                              kind ? FB_SCORE_ITC : FB_SCORE_TIA,
                                              kind ? r->similarity : r->margin),
                         FB_OK);
    fb_model_close(model);
    fb_split_items_close(items);
    return r;
}

typedef struct weights {
    double similarity, neighbours;
} weights;

/* slope (margin + w (similarity - c nearness)); of vectors alone slope similarity */
static double score(const ranking *r, bool both, double slope, weights w, int32_t pair)
{
    double margin = r->margin[pair], similarity = r->similarity[pair];
    double near = w.neighbours * (double)r->nearness[pair];
    return slope * (both ? margin + w.similarity * (similarity - near) : similarity);
}

static double reciprocal_rank(const ranking *r, weights w)
{
    double sum = 0;
    for (int32_t l = 0; l < r->lists; l++) {
        int32_t ahead = 0, own = r->first[l];
        for (int32_t i = own + 1; i < r->first[l + 1]; i++)
            ahead += score(r, true, 1, w, i) >= score(r, true, 1, w, own);
        sum += 1.0 / (1 + ahead);
    }
    return sum / r->lists;
}

/* Of each list's own pair and the first behind it. */
static double logistic_loss(const ranking *r, bool both, double slope, weights w,
                            double bias)
{
    double loss = RIDGE / 2 * ((slope - 1) * (slope - 1) + bias * bias);
    for (int32_t l = 0; l < r->lists; l++) {
        loss += log1p(exp(-score(r, both, slope, w, r->first[l]) - bias));
        loss += log1p(exp(score(r, both, slope, w, r->first[l] + 1) + bias));
    }
    return loss;
}

static void train(const fixture *f, const fb_train_options *o, fb_model_config *config)
{
    char path[4096];
    fb_train_report report;
    if (fb_train(f->ctx, o, &report) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    assert_int_equal(fb_model_config_preset(f->ctx, config, "mini"), FB_OK);
    assert_int_equal(fb_path_join(f->ctx, path, o->out, "config.json"), FB_OK);
    assert_int_equal(fb_model_config_read(f->ctx, config, path), FB_OK);
}

/* model/last lies deeper than the fixture clears. */
static void remove_model(const fixture *f, const fb_train_options *o)
{
    assert_int_equal(fb_folder_remove(f->ctx, o->out), FB_OK);
}

/* No step away from the bias or the slope lowers the loss. */
static void expect_least(const ranking *r, bool both, double slope, weights w,
                         double bias)
{
    double here = logistic_loss(r, both, slope, w, bias);
    for (double step = 1e-3; step < 2; step *= 5)
        for (int sign = -1; sign <= 1; sign += 2) {
            double away = sign * step;
            if (!(logistic_loss(r, both, slope, w, bias + away) > here))
                fail_msg("bias %g has loss %.12g, %g has less", bias, here,
                         bias + away);
            if (!(logistic_loss(r, both, slope + away, w, bias) > here))
                fail_msg("slope %g has loss %.12g, %g has less", slope, here,
                         slope + away);
        }
}

static void vectors_alone_get_the_best_slope_and_bias(void **state)
{
    const fixture *f = *state;
    char out[4096], file[4096];
    fb_model_config config;
    make_catalogue(f);
    fb_train_options o = small_run(f, out, file);
    o.objective = "itc";
    train(f, &o, &config);
    assert_int_equal(config.score, FB_SCORE_ITC);
    ranking *r = rank_anew(f, &o);
    expect_least(r, false, config.similarity_weight, (weights){0}, config.score_bias);
    assert_true(config.neighbour_weight == 0);
    assert_true(config.similarity_weight > 0 && config.score_bias != 0);
    free(r);
    remove_model(f, &o);
}

/* A folder whose neighbours are of another width, cut short or gone; mended behind. */
static void expect_refused_neighbours(const fixture *f, const fb_train_options *o)
{
    char path[4096];
    uint8_t *bytes;
    size_t size;
    fb_model *model;
    assert_int_equal(fb_path_join(f->ctx, path, o->out, "neighbours.text.npy"), FB_OK);
    assert_int_equal(fb_file_read(f->ctx, path, 1 << 20, &bytes, &size), FB_OK);
    char *width = strstr((char *)bytes + 10, ", 8)");
    assert_non_null(width);
    width[2] = '4'; /* half as many numbers as there are */
    assert_int_equal(fb_file_write(f->ctx, path, bytes, size), FB_OK);
    assert_int_equal(fb_model_open(f->ctx, &model, o->out, NULL), FB_E_FORMAT);
    width[2] = '8';
    assert_int_equal(fb_file_write(f->ctx, path, bytes, size - 4), FB_OK);
    assert_int_equal(fb_model_open(f->ctx, &model, o->out, NULL), FB_E_FORMAT);
    assert_int_equal(unlink(path), 0);
    assert_int_not_equal(fb_model_open(f->ctx, &model, o->out, NULL), FB_OK);
    assert_non_null(strstr(fb_context_message(f->ctx), "neighbours.text.npy"));
    assert_int_equal(fb_file_write(f->ctx, path, bytes, size), FB_OK);
    assert_int_equal(fb_model_open(f->ctx, &model, o->out, NULL), FB_OK);
    fb_model_close(model);
    assert_int_equal(fb_path_join(f->ctx, path, o->out, "last"), FB_OK);
    assert_int_equal(fb_model_open(f->ctx, &model, path, NULL), FB_OK);
    fb_model_close(model);
    free(bytes);
}

static void alignment_and_vectors_get_the_best_weight(void **state)
{
    const fixture *f = *state;
    char out[4096], file[4096];
    fb_model_config config;
    make_catalogue(f);
    fb_train_options o = small_run(f, out, file);
    o.objective = "match";
    o.negatives = "hard";
    o.itc = 1;
    train(f, &o, &config);
    assert_int_equal(config.score, FB_SCORE_BOTH);
    ranking *r = rank_anew(f, &o);
    assert_true(config.alignment_weight > 0);
    weights w = {config.similarity_weight / config.alignment_weight,
                 config.neighbour_weight};
    double chosen = reciprocal_rank(r, w);
    static const double tried[] = {0, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10};
    for (size_t i = 0; i < sizeof tried / sizeof tried[0]; i++)
        for (double near = 0; near <= 2;
             near += 0.25) /* one rank of all for rounding */
            assert_true(chosen >= reciprocal_rank(r, (weights){tried[i], near}) - 0.01);
    expect_least(r, true, config.alignment_weight, w, config.score_bias);
    assert_true(w.neighbours > 0); /* or this would say nothing about them */
    for (int32_t p = 0; p < r->first[r->lists]; p++)
        assert_true(fabs((double)r->own[p] - config.score_bias -
                         score(r, true, config.alignment_weight, w, p)) < 1e-3);
    free(r);
    expect_refused_neighbours(f, &o);
    o.resume = true; /* calibrates again, from a folder that has neighbours */
    train(f, &o, &config);
    assert_true(config.neighbour_weight == w.neighbours);
    remove_model(f, &o);
}

static void nothing_changes_without_need_or_without_lists(void **state)
{
    const fixture *f = *state;
    char out[4096], file[4096];
    make_catalogue(f);
    fb_train_options o = small_run(f, out, file);
    fb_model_config config = {
        .score = FB_SCORE_TIA, .similarity_weight = 3, .score_bias = 4};
    assert_int_equal(fb_calibrate(f->ctx, "no such folder", &o, &config), FB_OK);
    config.score = FB_SCORE_BOTH; /* and a validation split of two */
    fixture_text(f, "metadata.jsonl",
                 "{\"file_name\": \"images/0.png\", \"title\": \"a\", \"split\": "
                 "\"val\"}\n"
                 "{\"file_name\": \"images/1.png\", \"title\": \"b\", \"split\": "
                 "\"val\"}\n");
    assert_int_equal(fb_calibrate(f->ctx, "no such folder", &o, &config), FB_OK);
    assert_true(config.similarity_weight == 3 && config.score_bias == 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(vectors_alone_get_the_best_slope_and_bias),
        FIXTURE_TEST(alignment_and_vectors_get_the_best_weight),
        FIXTURE_TEST(nothing_changes_without_need_or_without_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_linear_floor.c - the floor's scores against the dual form of ridge regression,
 * and its rank on catalogues where titles can be read off the images, and where they
 * cannot.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "data/image/floor_features.h"
#include "data/image/image_load.h"
#include "support/small_catalogue.h"
#include "tasks/linear_floor.h"

enum { PLACES = 9, COLOURS = 4, D = FB_FLOOR_FEATURES };

static const uint8_t palette[COLOURS][3] = {
    {220, 40, 40}, {40, 160, 60}, {50, 70, 210}, {240, 220, 60}};
static const char *const colour_names[COLOURS] = {"red", "green", "blue", "yellow"};

/* Nine squares, each of one colour; the title names place and colour of each. */
static fb_image draw(const uint32_t colours[PLACES], char title[256])
{
    enum { SIDE = 42 };
    fb_image image = {SIDE, SIDE, malloc((size_t)SIDE * SIDE * 3)};
    assert_non_null(image.rgb);
    for (int i = 0; i < SIDE * SIDE; i++) {
        int place = i / SIDE / 14 * 3 + i % SIDE / 14;
        memcpy(image.rgb + (ptrdiff_t)i * 3, palette[colours[place]], 3);
    }
    title[0] = 0;
    for (int p = 0; p < PLACES; p++) {
        size_t used = strlen(title);
        snprintf(title + used, 256 - used, "%s%s%d", p ? " " : "",
                 colour_names[colours[p]], p);
    }
    return image;
}

/* `count` items, every fifth of split test. With `mixed` the titles are of another
 * item's colours. */
static void make(small_catalogue *c, int32_t count, bool mixed)
{
    fb_random r = fb_random_start(21, FB_STREAM_TEST, mixed);
    small_catalogue_make(c);
    for (int32_t i = 0; i < count; i++) {
        uint32_t colours[PLACES], others[PLACES];
        char title[256], fields[400];
        for (int p = 0; p < PLACES; p++) {
            colours[p] = fb_random_below(&r, COLOURS);
            others[p] = fb_random_below(&r, COLOURS);
        }
        fb_image image = draw(others, title);
        fb_image_free(&image);
        char other_title[256];
        memcpy(other_title, title, sizeof title);
        image = draw(colours, title);
        snprintf(fields, sizeof fields, "\"title\": \"%s\", \"split\": \"%s\"",
                 mixed ? other_title : title, i % 5 == 4 ? "test" : "train");
        small_catalogue_add(c, image, 0, fields);
    }
    small_catalogue_flush(c);
}

static fb_evaluation *inspect_floor(const small_catalogue *c, bool cosine)
{
    fb_context *ctx = fb_context_create();
    fb_inspect_options options;
    fb_inspection *in = NULL;
    fb_inspect_options_defaults(&options);
    options.catalog = c->folder;
    options.floor = true;
    options.quiet = true;
    options.threads = 2;
    if (fb_inspect(ctx, &options, &in) != FB_OK)
        fail_msg("%s", fb_context_message(ctx));
    fb_evaluation **taken = cosine ? &in->floor_cosine : &in->floor, *e = *taken;
    *taken = NULL;
    fb_inspection_free(in);
    fb_context_free(ctx);
    return e;
}

static void reads_titles_that_images_tell(void **state)
{
    (void)state;
    small_catalogue c;
    make(&c, 400, false);
    for (int cosine = 0; cosine < 2; cosine++) {
        fb_evaluation *e = inspect_floor(&c, cosine);
        assert_int_equal(e->image_to_text.queries, 80);
        if (!(e->image_to_text.r1 >= 0.95 && e->text_to_image.r1 >= 0.9))
            fail_msg("%s: R@1 %.3f and %.3f", e->score, e->image_to_text.r1,
                     e->text_to_image.r1);
        assert_true(isnan(e->accuracy));
        assert_true(e->auc > 0.99);
        fb_evaluation_free(e);
    }
    small_catalogue_remove(&c);
}

static void finds_nothing_where_there_is_nothing(void **state)
{
    (void)state;
    small_catalogue c;
    make(&c, 400, true);
    for (int cosine = 0; cosine < 2; cosine++) {
        fb_evaluation *e = inspect_floor(&c, cosine);
        /* chance is 1/80; 80 queries each way */
        assert_true(e->image_to_text.r1 < 0.1 && e->text_to_image.r1 < 0.1);
        assert_true(fabs(e->auc - 0.5) < 0.15);
        fb_evaluation_free(e);
    }
    small_catalogue_remove(&c);
}

/* ---- the dual form ------------------------------------------------------------------
 */

enum { TRAIN = 40, TEST = 10, WORDS = PLACES * COLOURS };

/* Weights [PLACES * COLOURS] of a title's words by hand: idf, length 1. */
static void make_y(const char *title, const double idf[WORDS], double y[WORDS])
{
    double squares = 0;
    for (int w = 0; w < WORDS; w++) {
        char word[16];
        snprintf(word, sizeof word, "%s%d", colour_names[w % COLOURS], w / COLOURS);
        y[w] = strstr(title, word) ? idf[w] : 0;
        squares += y[w] * y[w];
    }
    for (int w = 0; w < WORDS; w++)
        y[w] /= squares > 0 ? sqrt(squares) : 1;
}

/* x [n] of a [n, n] x = b, by elimination with pivots; a and b are used up. */
static void solve(double *a, double *b, int n)
{
    for (int i = 0; i < n; i++) {
        int pivot = i;
        for (int j = i + 1; j < n; j++)
            if (fabs(a[j * n + i]) > fabs(a[pivot * n + i]))
                pivot = j;
        for (int k = 0; k < n; k++) {
            double swap = a[i * n + k];
            a[i * n + k] = a[pivot * n + k];
            a[pivot * n + k] = swap;
        }
        double swap = b[i];
        b[i] = b[pivot];
        b[pivot] = swap;
        for (int j = i + 1; j < n; j++) {
            double times = a[j * n + i] / a[i * n + i];
            for (int k = i; k < n; k++)
                a[j * n + k] -= times * a[i * n + k];
            b[j] -= times * b[i];
        }
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++)
            b[i] -= a[i * n + k] * b[k];
        b[i] /= a[i * n + i];
    }
}

typedef struct dual {
    float x[TRAIN + TEST][D];
    double y[TRAIN + TEST][WORDS];
    double mean_x[D], mean_y[WORDS];
    double ridge;
} dual;

static double kernel(const dual *d, int i, int j)
{
    double sum = 0;
    for (int k = 0; k < D; k++)
        sum +=
            ((double)d->x[i][k] - d->mean_x[k]) * ((double)d->x[j][k] - d->mean_x[k]);
    return sum;
}

/* W x = sum_i alpha_i (y_i - mean y), (K + ridge I) alpha = k(x) */
static void predict(const dual *d, int item, double wx[WORDS])
{
    double *a = malloc(sizeof *a * TRAIN * TRAIN), alpha[TRAIN];
    assert_non_null(a);
    for (int i = 0; i < TRAIN; i++) {
        alpha[i] = kernel(d, i, item);
        for (int j = 0; j < TRAIN; j++)
            a[i * TRAIN + j] = kernel(d, i, j) + (i == j ? d->ridge : 0);
    }
    solve(a, alpha, TRAIN);
    free(a);
    for (int w = 0; w < WORDS; w++) {
        wx[w] = 0;
        for (int i = 0; i < TRAIN; i++)
            wx[w] += alpha[i] * (d->y[i][w] - d->mean_y[w]);
    }
}

/* The catalogue's items, those of train first, read without the floor's own code. */
static dual *make_dual(const small_catalogue *c)
{
    dual *d = calloc(1, sizeof *d);
    fb_resizer *resizer = fb_resizer_create();
    fb_catalogue *catalogue = NULL;
    assert_non_null(d);
    assert_non_null(resizer);
    assert_int_equal(fb_catalogue_open(NULL, &catalogue, c->folder, NULL), FB_OK);
    const char *titles[TRAIN + TEST];
    for (int i = 0; i < TRAIN + TEST; i++) {
        int32_t count;
        const int32_t *items = fb_catalogue_split_items(
            catalogue, i < TRAIN ? FB_SPLIT_TRAIN : FB_SPLIT_TEST, &count);
        assert_int_equal(count, i < TRAIN ? TRAIN : TEST);
        int32_t item = items[i < TRAIN ? i : i - TRAIN];
        char path[4096];
        fb_image image;
        assert_int_equal(fb_catalogue_image_path(NULL, catalogue, item, path), FB_OK);
        assert_int_equal(fb_image_open(NULL, path, &image), FB_OK);
        assert_int_equal(fb_floor_features_take(NULL, resizer, &image, d->x[i]), FB_OK);
        fb_image_free(&image);
        titles[i] = fb_catalogue_get(catalogue, item)->title;
    }
    double idf[WORDS];
    for (int w = 0; w < WORDS; w++) {
        char word[16];
        int rows = 0;
        snprintf(word, sizeof word, "%s%d", colour_names[w % COLOURS], w / COLOURS);
        for (int i = 0; i < TRAIN; i++)
            rows += strstr(titles[i], word) != NULL;
        idf[w] = rows >= 2 ? log((1.0 + TRAIN) / (1.0 + rows)) + 1 : 0;
    }
    for (int i = 0; i < TRAIN + TEST; i++)
        make_y(titles[i], idf, d->y[i]);
    for (int i = 0; i < TRAIN; i++) {
        for (int k = 0; k < D; k++)
            d->mean_x[k] += (double)d->x[i][k] / TRAIN;
        for (int w = 0; w < WORDS; w++)
            d->mean_y[w] += d->y[i][w] / TRAIN;
    }
    d->ridge = 2e-5 * TRAIN;
    fb_catalogue_close(catalogue);
    fb_resizer_free(resizer);
    return d;
}

static void scores_are_ridge_regressions(void **state)
{
    (void)state;
    small_catalogue c;
    make(&c, TRAIN + TEST, true);
    dual *d = make_dual(&c);
    fb_context *ctx = fb_context_create();
    fb_split_items *items = NULL;
    fb_linear_floor *floor = NULL;
    assert_int_equal(fb_split_items_open(ctx, &items, c.folder, "test"), FB_OK);
    if (fb_linear_floor_create(ctx, &floor, items, 2, true) != FB_OK)
        fail_msg("%s", fb_context_message(ctx));
    assert_int_equal(fb_linear_floor_train_items(floor), TRAIN);
    assert_in_range(fb_linear_floor_words(floor), 30, WORDS);
    fb_pair_scorer product = fb_linear_floor_product(floor);
    fb_pair_scorer cosine = fb_linear_floor_cosine(floor);
    for (int image = 0; image < TEST; image++) {
        double wx[WORDS], length = 0;
        predict(d, TRAIN + image, wx);
        for (int w = 0; w < WORDS; w++)
            length += wx[w] * wx[w];
        length = sqrt(length);
        for (int text = 0; text < TEST; text++) {
            double plain = 0, mean = 0;
            float by_product, by_cosine;
            fb_score_triple pair = {-1, text, image};
            for (int w = 0; w < WORDS; w++) {
                plain += d->y[TRAIN + text][w] * wx[w];
                mean += d->y[TRAIN + text][w] * d->mean_y[w];
            }
            assert_int_equal(
                product.score(product.self, ctx, items, &pair, 1, &by_product), FB_OK);
            assert_int_equal(
                cosine.score(cosine.self, ctx, items, &pair, 1, &by_cosine), FB_OK);
            if (!(fabs((double)by_product - plain - mean) <= 1e-3))
                fail_msg("image %d, text %d: product %g, not %g", image, text,
                         (double)by_product, plain + mean);
            if (!(fabs((double)by_cosine - plain / length) <= 3e-3))
                fail_msg("image %d, text %d: cosine %g, not %g", image, text,
                         (double)by_cosine, plain / length);
        }
    }
    fb_linear_floor_free(floor);
    fb_split_items_close(items);
    fb_context_free(ctx);
    free(d);
    small_catalogue_remove(&c);
}

static void features_say_what_they_should(void **state)
{
    (void)state;
    enum { SIDE = 56, COLOUR = 14 * 14 * 3, EDGE = COLOUR + 512 };
    float f[D];
    uint8_t *rgb = malloc((size_t)SIDE * SIDE * 3);
    fb_resizer *resizer = fb_resizer_create();
    assert_non_null(rgb);
    assert_non_null(resizer);
    /* Left half black, right half red: one upright edge. */
    for (int i = 0; i < SIDE * SIDE; i++)
        memcpy(rgb + (ptrdiff_t)i * 3,
               i % SIDE < SIDE / 2 ? (uint8_t[]){0, 0, 0} : (uint8_t[]){255, 0, 0}, 3);
    fb_image image = {SIDE, SIDE, rgb};
    assert_int_equal(fb_floor_features_take(NULL, resizer, &image, f), FB_OK);
    assert_true(f[0] == 0.0f && f[13 * 3] == 1.0f && f[13 * 3 + 1] == 0.0f);
    for (int k = 0; k < 512; k++)
        assert_true(f[COLOUR + k] == (k == 0 || k == 7 << 6 ? 0.5f : 0.0f));
    for (int cell = 0; cell < 16; cell++)
        for (int bin = 0; bin < 8; bin++) {
            /* On each side of the edge one column of differences of red's grey. */
            bool beside = cell % 4 == 1 || cell % 4 == 2;
            double expected = bin == 0 && beside ? 14 * 0.299 : 0;
            assert_true(fabs((double)f[EDGE + cell * 8 + bin] - expected) < 1e-4);
        }
    fb_resizer_free(resizer);
    free(rgb);
}

static void expect_failure(const small_catalogue *c, fb_status status,
                           const char *words)
{
    fb_context *ctx = fb_context_create();
    fb_inspect_options options;
    fb_inspection *in = NULL;
    fb_inspect_options_defaults(&options);
    options.catalog = c->folder;
    options.floor = true;
    options.quiet = true;
    assert_int_equal(fb_inspect(ctx, &options, &in), status);
    if (!strstr(fb_context_message(ctx), words))
        fail_msg("\"%s\" does not say \"%s\"", fb_context_message(ctx), words);
    assert_null(in);
    fb_context_free(ctx);
}

static void what_cannot_be_learnt_from_is_told(void **state)
{
    (void)state;
    small_catalogue c;
    char title[256];
    uint32_t colours[PLACES] = {0};
    small_catalogue_make(&c);
    small_catalogue_add(&c, draw(colours, title), 0,
                        "\"title\": \"alone\", \"split\": \"test\"");
    small_catalogue_flush(&c);
    expect_failure(&c, FB_E_MISSING, "no item of split train");
    small_catalogue_add(&c, draw(colours, title), 0, "\"title\": \"one\"");
    small_catalogue_flush(&c);
    expect_failure(&c, FB_E_MISSING, "no word is in two training titles");
    small_catalogue_add(&c, draw(colours, title), 0, "\"title\": \"one\"");
    small_catalogue_add_bytes(&c, "no image", 8, "\"title\": \"broken\"");
    small_catalogue_flush(&c);
    expect_failure(&c, FB_E_FORMAT, "images/3.png");
    small_catalogue_remove(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_say_what_they_should),
        cmocka_unit_test(scores_are_ridge_regressions),
        cmocka_unit_test(reads_titles_that_images_tell),
        cmocka_unit_test(finds_nothing_where_there_is_nothing),
        cmocka_unit_test(what_cannot_be_learnt_from_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

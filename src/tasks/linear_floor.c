/* linear_floor.c - see linear_floor.h. Inside, D is FB_FLOOR_FEATURES, n the training
 * items, W the words (columns of y):
 *
 *     c [D, D] f64    sum of x x^T, then C, then L; the lower half
 *     a [W, D] f32    sum of y x, then L^-1 of it, row by row
 *
 * Sums are taken of x - shift, where shift is the first block's mean: then little is
 * lost when the mean is taken out of them at the end.
 */
#include "tasks/linear_floor.h"

#include "backend/backend.h"
#include "base/cores.h"
#include "base/progress.h"
#include "base/triangle.h"
#include "data/image/floor_features.h"
#include "data/image/image_load.h"
#include "data/text/title_words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { D = FB_FLOOR_FEATURES, BLOCK = 512, WORDS_MAX = 20000, TEXT_WORDS_MAX = 256 };
static const double RIDGE = 2e-5;

struct fb_linear_floor {
    int32_t count; /* items to rank */
    float *images; /* [count, D] */
    float *texts;  /* [count, D] */
    float *bias;   /* [count] y . mean y of a text */
    float *length; /* [count] |W x| of an image */
    int64_t train_items, words;
    double ridge;
};

/* One word of a text: its column and its share of y. */
typedef struct term {
    int32_t column;
    float value;
} term;

typedef struct fit {
    fb_context *ctx;
    fb_backend *be;
    const fb_split_items *items;
    const int32_t *train; /* [rows] catalogue items */
    int32_t rows;
    int32_t threads;
    fb_title_words titles; /* the training titles, then those to rank */
    int32_t *column;       /* [words] -1: not used */
    int32_t columns;
    float *idf;     /* [columns] */
    double *mean_y; /* [columns] */
    double *c;      /* [D, D] */
    float *a;       /* [columns, D] */
    float *block;   /* [BLOCK, D] */
    float shift[D];
    double mean_x[D]; /* of x - shift */
    fb_progress progress;
} fit;

static fb_status fail_memory(fb_context *ctx)
{
    return fb_fail(ctx, FB_E_MEMORY, "no memory for the linear floor");
}

/* ---- texts
 * --------------------------------------------------------------------------- */

typedef struct counted {
    int32_t rows, word;
} counted;

static int by_rows(const void *x, const void *y)
{
    const counted *a = x, *b = y;
    if (a->rows != b->rows)
        return a->rows > b->rows ? -1 : 1;
    return (a->word > b->word) - (a->word < b->word);
}

/* In how many training titles each word is. */
static fb_status count_rows(fit *f, counted *counts)
{
    int32_t words = f->titles.words.count;
    int32_t *last = malloc(((size_t)words + 1) * sizeof *last);
    if (!last)
        return fail_memory(f->ctx);
    for (int32_t w = 0; w < words; w++) {
        counts[w] = (counted){0, w};
        last[w] = -1;
    }
    for (int32_t i = 0; i < f->rows; i++)
        for (int64_t k = f->titles.offsets[i]; k < f->titles.offsets[i + 1]; k++) {
            int32_t word = f->titles.ids[k];
            counts[word].rows += last[word] != i;
            last[word] = i;
        }
    free(last);
    return FB_OK;
}

/* Columns for the words that two training titles have, the most common first. */
static fb_status choose_words(fit *f)
{
    int32_t words = f->titles.words.count;
    counted *counts = calloc((size_t)words + 1, sizeof *counts);
    f->column = malloc(((size_t)words + 1) * sizeof *f->column);
    f->idf = malloc(WORDS_MAX * sizeof *f->idf);
    f->mean_y = calloc(WORDS_MAX, sizeof *f->mean_y);
    fb_status status = counts && f->column && f->idf && f->mean_y
                           ? count_rows(f, counts)
                           : fail_memory(f->ctx);
    if (status == FB_OK) {
        qsort(counts, (size_t)words, sizeof *counts, by_rows);
        for (int32_t w = 0; w < words; w++) {
            bool used = w < WORDS_MAX && counts[w].rows >= 2;
            f->column[counts[w].word] = used ? f->columns : -1;
            if (used)
                f->idf[f->columns++] =
                    (float)(log((1.0 + f->rows) / (1.0 + counts[w].rows)) + 1);
        }
    }
    free(counts);
    return status;
}

static fb_status read_titles(fit *f)
{
    FB_TRY(fb_title_words_open(f->ctx, &f->titles, f->rows + f->items->count));
    for (int32_t i = 0; i < f->rows; i++) {
        const char *title = fb_catalogue_get(f->items->catalogue, f->train[i])->title;
        FB_TRY(fb_title_words_add(f->ctx, &f->titles, title));
    }
    for (int32_t i = 0; i < f->items->count; i++)
        FB_TRY(fb_title_words_add(f->ctx, &f->titles, f->items->titles[i]));
    return choose_words(f);
}

/* y of a text, its first TEXT_WORDS_MAX different words; returns how many. */
static int32_t terms_of(const fit *f, int32_t text, term *terms)
{
    int32_t count = 0;
    double squares = 0;
    for (int64_t k = f->titles.offsets[text]; k < f->titles.offsets[text + 1]; k++) {
        int32_t column = f->column[f->titles.ids[k]], at = 0;
        if (column < 0)
            continue;
        while (at < count && terms[at].column != column)
            at++;
        if (at == TEXT_WORDS_MAX)
            continue;
        if (at == count)
            terms[count++] = (term){column, 0.0f};
        terms[at].value += f->idf[column];
    }
    for (int32_t i = 0; i < count; i++)
        squares += (double)terms[i].value * (double)terms[i].value;
    for (int32_t i = 0; i < count; i++)
        terms[i].value = (float)((double)terms[i].value / sqrt(squares));
    return count;
}

/* ---- images
 * -------------------------------------------------------------------------- */

static fb_status take_one(fb_context *ctx, const fit *f, fb_resizer *resizer,
                          int32_t item, float *features)
{
    char path[4096];
    fb_image image;
    FB_TRY(fb_catalogue_image_path(ctx, f->items->catalogue, item, path));
    FB_TRY(fb_image_open(ctx, path, &image));
    fb_status status = fb_floor_features_take(ctx, resizer, &image, features);
    fb_image_free(&image);
    return status;
}

/* Features of catalogue items[count] into rows; the first that fails, by place, is
 * told. */
static fb_status take_features(fit *f, const int32_t *items, int32_t count, float *rows)
{
    int32_t failed = count;
#pragma omp parallel num_threads(f->threads)
    {
        fb_resizer *resizer = fb_resizer_create();
#pragma omp for schedule(dynamic, 16)
        for (int32_t i = 0; i < count; i++)
            if (!resizer || take_one(NULL, f, resizer, items[i],
                                     rows + (ptrdiff_t)i * D) != FB_OK) {
#pragma omp critical
                failed = i < failed ? i : failed;
            }
        fb_resizer_free(resizer);
    }
    if (failed == count)
        return FB_OK;
    fb_resizer *resizer = fb_resizer_create();
    fb_status status = resizer ? take_one(f->ctx, f, resizer, items[failed], rows)
                               : fail_memory(f->ctx);
    fb_resizer_free(resizer);
    return status != FB_OK ? status : fail_memory(f->ctx);
}

/* ---- sums over the training items
 * ------------------------------------------------------
 */

static void add_texts(fit *f, int32_t first, int32_t count)
{
    term terms[TEXT_WORDS_MAX];
    for (int32_t i = 0; i < count; i++) {
        int32_t used = terms_of(f, first + i, terms);
        const float *x = f->block + (ptrdiff_t)i * D;
        for (int32_t t = 0; t < used; t++) {
            float *a = f->a + (ptrdiff_t)terms[t].column * D;
            f->mean_y[terms[t].column] += (double)terms[t].value;
            for (int32_t k = 0; k < D; k++)
                a[k] += terms[t].value * x[k];
        }
    }
}

static fb_status add_block(fit *f, int32_t first, int32_t count)
{
    FB_TRY(take_features(f, f->train + first, count, f->block));
    if (first == 0)
        for (int32_t k = 0; k < D; k++) {
            double sum = 0;
            for (int32_t i = 0; i < count; i++)
                sum += (double)f->block[(ptrdiff_t)i * D + k];
            f->shift[k] = (float)(sum / count);
        }
    for (int32_t i = 0; i < count; i++)
        for (int32_t k = 0; k < D; k++) {
            float *x_ik = &f->block[(ptrdiff_t)i * D + k];
            *x_ik -= f->shift[k];
            f->mean_x[k] += (double)*x_ik;
        }
    fb_triangle_add(f->c, D, f->block, count, f->threads);
    add_texts(f, first, count);
    return FB_OK;
}

static fb_status sum_all(fit *f, double ridge)
{
    for (int32_t first = 0; first < f->rows; first += BLOCK) {
        int32_t left = f->rows - first;
        FB_TRY(add_block(f, first, left < BLOCK ? left : BLOCK));
        fb_progress_update(&f->progress, first, 1, "");
    }
    for (int32_t w = 0; w < f->columns; w++) {
        float *a = f->a + (ptrdiff_t)w * D;
        for (int32_t k = 0; k < D; k++)
            a[k] = (float)((double)a[k] - f->mean_x[k] / f->rows * f->mean_y[w]);
        f->mean_y[w] /= f->rows;
    }
    for (int32_t i = 0; i < D; i++) {
        for (int32_t k = 0; k <= i; k++)
            f->c[(ptrdiff_t)i * D + k] -= f->mean_x[i] * f->mean_x[k] / f->rows;
        f->c[(ptrdiff_t)i * D + i] += ridge;
    }
    for (int32_t k = 0; k < D; k++)
        f->mean_x[k] /= f->rows;
    return FB_OK;
}

/* ---- vectors of what is ranked
 * --------------------------------------------------------
 */

static fb_status make_images(fit *f, fb_linear_floor *floor)
{
    int32_t count;
    const int32_t *items =
        fb_catalogue_split_items(f->items->catalogue, f->items->split, &count);
    FB_TRY(take_features(f, items, count, floor->images));
    for (int32_t i = 0; i < count; i++)
        for (int32_t k = 0; k < D; k++)
            floor->images[(ptrdiff_t)i * D + k] -= f->shift[k] + (float)f->mean_x[k];
    return fb_triangle_solve(f->ctx, f->c, D, floor->images, count, f->threads);
}

static void make_texts(const fit *f, fb_linear_floor *floor)
{
    term terms[TEXT_WORDS_MAX];
    for (int32_t i = 0; i < floor->count; i++) {
        int32_t used = terms_of(f, f->rows + i, terms);
        float *text = floor->texts + (ptrdiff_t)i * D;
        double bias = 0;
        for (int32_t t = 0; t < used; t++) {
            const float *a = f->a + (ptrdiff_t)terms[t].column * D;
            bias += (double)terms[t].value * f->mean_y[terms[t].column];
            for (int32_t k = 0; k < D; k++)
                text[k] += terms[t].value * a[k];
        }
        floor->bias[i] = (float)bias;
    }
}

/* |W x| of each image, from its prediction of every word. */
static fb_status measure_images(fit *f, fb_linear_floor *floor)
{
    float *predicted = malloc(((size_t)BLOCK * (size_t)f->columns + 1) * sizeof(float));
    fb_status status = predicted ? FB_OK : fail_memory(f->ctx);
    for (int32_t first = 0; first < floor->count && status == FB_OK; first += BLOCK) {
        int32_t left = floor->count - first, rows = left < BLOCK ? left : BLOCK;
        fb_tensor y = fb_tensor_2d(predicted, FB_F32, rows, f->columns);
        fb_tensor x =
            fb_tensor_2d(floor->images + (ptrdiff_t)first * D, FB_F32, rows, D);
        fb_tensor w = fb_tensor_2d(f->a, FB_F32, f->columns, D);
        status = f->be->k->matmul(f->ctx, f->be, &y, &x, false, &w, true);
        for (int32_t i = 0; i < rows && status == FB_OK; i++) {
            double squares = 0;
            for (int32_t k = 0; k < f->columns; k++) {
                double p = (double)predicted[(ptrdiff_t)i * f->columns + k];
                squares += p * p;
            }
            floor->length[first + i] = (float)sqrt(squares);
        }
    }
    free(predicted);
    return status;
}

/* ---- all of it
 * ------------------------------------------------------------------------- */

static fb_status allocate(fit *f, fb_linear_floor *floor)
{
    size_t n = (size_t)f->items->count;
    floor->count = f->items->count;
    floor->images = malloc(n * D * sizeof *floor->images);
    floor->texts = calloc(n, D * sizeof *floor->texts);
    floor->bias = malloc(n * sizeof *floor->bias);
    floor->length = malloc(n * sizeof *floor->length);
    f->c = calloc((size_t)D * D, sizeof *f->c);
    f->a = calloc((size_t)f->columns + 1, D * sizeof *f->a);
    f->block = malloc((size_t)BLOCK * D * sizeof *f->block);
    bool enough = floor->images && floor->texts && floor->bias && floor->length &&
                  f->c && f->a && f->block;
    return enough ? FB_OK : fail_memory(f->ctx);
}

static fb_status run(fit *f, fb_linear_floor *floor)
{
    f->train = fb_catalogue_split_items(f->items->catalogue, FB_SPLIT_TRAIN, &f->rows);
    if (f->rows == 0)
        return fb_fail(f->ctx, FB_E_MISSING,
                       "%s has no item of split train to learn from",
                       fb_catalogue_folder(f->items->catalogue));
    FB_TRY(fb_backend_create(f->ctx, &f->be, "cpu", "f32", f->threads));
    FB_TRY(read_titles(f));
    if (f->columns == 0)
        return fb_fail(
            f->ctx, FB_E_MISSING,
            "%s: no word is in two training titles, there is nothing to learn",
            fb_catalogue_folder(f->items->catalogue));
    FB_TRY(allocate(f, floor));
    floor->train_items = f->rows;
    floor->words = f->columns;
    floor->ridge = RIDGE * f->rows;
    FB_TRY(sum_all(f, floor->ridge));
    FB_TRY(fb_triangle_factor(f->ctx, f->c, D));
    FB_TRY(fb_triangle_solve(f->ctx, f->c, D, f->a, f->columns, f->threads));
    FB_TRY(make_images(f, floor));
    make_texts(f, floor);
    return measure_images(f, floor);
}

fb_status fb_linear_floor_create(fb_context *ctx, fb_linear_floor **floor,
                                 const fb_split_items *items, int32_t threads,
                                 bool quiet)
{
    fb_linear_floor *made = calloc(1, sizeof *made);
    fit *f = calloc(1, sizeof *f);
    fb_status status = made && f ? FB_OK : fail_memory(ctx);
    if (status == FB_OK) {
        f->ctx = ctx;
        f->items = items;
        f->threads = fb_cores_or(threads);
        int32_t rows;
        fb_catalogue_split_items(items->catalogue, FB_SPLIT_TRAIN, &rows);
        fb_progress_begin(&f->progress, "linear floor", "images", 0, rows, quiet);
        status = run(f, made);
        fb_progress_end(&f->progress);
        fb_title_words_close(&f->titles);
        fb_backend_free(f->be);
        free(f->column);
        free(f->idf);
        free(f->mean_y);
        free(f->c);
        free(f->a);
        free(f->block);
    }
    free(f);
    if (status == FB_OK)
        *floor = made;
    else
        fb_linear_floor_free(made);
    return status;
}

void fb_linear_floor_free(fb_linear_floor *floor)
{
    if (!floor)
        return;
    free(floor->images);
    free(floor->texts);
    free(floor->bias);
    free(floor->length);
    free(floor);
}

/* ---- scores
 * --------------------------------------------------------------------------- */

static float product(const float *x, const float *y)
{
    float sums[8] = {0};
    int32_t k = 0;
    for (; k + 8 <= D; k += 8)
        for (int32_t j = 0; j < 8; j++)
            sums[j] += x[k + j] * y[k + j];
    for (; k < D; k++)
        sums[0] += x[k] * y[k];
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
           ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

static fb_status score_product(void *self, fb_context *ctx, const fb_split_items *items,
                               const fb_score_triple *pairs, int64_t count,
                               float *scores)
{
    (void)ctx;
    (void)items;
    const fb_linear_floor *floor = self;
    for (int64_t i = 0; i < count; i++)
        scores[i] = product(floor->images + (ptrdiff_t)pairs[i].image * D,
                            floor->texts + (ptrdiff_t)pairs[i].text * D) +
                    floor->bias[pairs[i].text];
    return FB_OK;
}

static fb_status score_cosine(void *self, fb_context *ctx, const fb_split_items *items,
                              const fb_score_triple *pairs, int64_t count,
                              float *scores)
{
    (void)ctx;
    (void)items;
    const fb_linear_floor *floor = self;
    for (int64_t i = 0; i < count; i++) {
        float length = floor->length[pairs[i].image];
        scores[i] = length > 0 ? product(floor->images + (ptrdiff_t)pairs[i].image * D,
                                         floor->texts + (ptrdiff_t)pairs[i].text * D) /
                                     length
                               : 0.0f;
    }
    return FB_OK;
}

fb_pair_scorer fb_linear_floor_product(fb_linear_floor *floor)
{
    return (fb_pair_scorer){floor, score_product};
}

fb_pair_scorer fb_linear_floor_cosine(fb_linear_floor *floor)
{
    return (fb_pair_scorer){floor, score_cosine};
}

int64_t fb_linear_floor_train_items(const fb_linear_floor *floor)
{
    return floor->train_items;
}

int64_t fb_linear_floor_words(const fb_linear_floor *floor)
{
    return floor->words;
}

double fb_linear_floor_ridge(const fb_linear_floor *floor)
{
    return floor->ridge;
}

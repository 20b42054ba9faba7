/* bench_explain.c - how faithful explanations are: what happens to the score when the
 * words, or the patches of the photo, that they call most important are taken away.
 *
 *     bench_explain MODEL CATALOG [PAIRS]
 *
 * Products of the test split with their own titles. Words are taken out of the text,
 * patches painted white, best first; the mean fall of the score over the steps is the
 * larger the better the order is. Beside the explanation: orders by chance, and leave-
 * one-out, which removes each word and patch alone and looks (a pass for each). Last,
 * the score of the photo when only the best patches are left of it.
 */
#include "base/random.h"
#include "data/catalogue/catalogue.h"
#include "fashionbert.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 64, GRID_MOST = 16, PATCHES = GRID_MOST * GRID_MOST, CHANCES = 3 };
enum { ROUNDS = 9 };
static const double shares[ROUNDS] = {1 / 64.0,  2 / 64.0,  4 / 64.0,
                                      8 / 64.0,  12 / 64.0, 16 / 64.0,
                                      24 / 64.0, 32 / 64.0, 48 / 64.0};

typedef struct pair {
    const fb_explanation *e;
    const uint8_t *pixels;
    const char *title;
    double full;
} pair;

typedef struct bench {
    fb_context *ctx;
    fb_model *model;
    int32_t size;
    double words, first_word, patches, eighth, kept; /* sums of a method */
    double word_gap, patch_gap; /* what the weights' sums miss of what they share out */
    int64_t count;
} bench;

static void must(const bench *b, fb_status status)
{
    if (status == FB_OK)
        return;
    fprintf(stderr, "bench_explain: %s\n", fb_context_message(b->ctx));
    exit(1);
}

/* Scores of texts with images [count] as margins. */
static void score(bench *b, const char *const *texts, uint8_t *const *images,
                  int32_t count, double *margins)
{
    fb_input *inputs = calloc((size_t)count, sizeof *inputs);
    fb_image_input *pixels = calloc((size_t)count, sizeof *pixels);
    float *p = calloc((size_t)count, sizeof *p);
    for (int32_t i = 0; i < count; i++) {
        pixels[i].pixels = images[i];
        inputs[i] = (fb_input){texts[i], &pixels[i]};
    }
    must(b, fb_model_match(b->ctx, b->model, inputs, count, p));
    for (int32_t i = 0; i < count; i++) {
        double q = fmin(fmax((double)p[i], 1e-7), 1 - 1e-7);
        margins[i] = log(q / (1 - q));
    }
    free(inputs);
    free(pixels);
    free(p);
}

static char *without(const fb_explanation *e, const bool *gone)
{
    size_t size = 1;
    for (int32_t i = 0; i < e->word_count; i++)
        size += strlen(e->words[i].text) + 1;
    char *text = calloc(size, 1), *at = text;
    for (int32_t i = 0; i < e->word_count; i++)
        if (!gone[i])
            at += sprintf(at, "%s ", e->words[i].text);
    return text;
}

static void paint(const bench *b, const fb_explanation *e, int32_t patch, uint8_t *to,
                  const uint8_t *from) /* NULL: white */
{
    int32_t side = b->size / e->grid;
    for (int32_t y = 0; y < side; y++) {
        int32_t row = patch / e->grid * side + y, column = patch % e->grid * side;
        size_t at = 3 * ((size_t)row * (size_t)b->size + (size_t)column);
        if (from)
            memcpy(to + at, from + at, 3 * (size_t)side);
        else
            memset(to + at, 0xff, 3 * (size_t)side);
    }
}

static const double *sort_by;

static int larger(const void *x, const void *y)
{
    int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;
    if (sort_by[a] != sort_by[b])
        return sort_by[a] > sort_by[b] ? -1 : 1;
    return a < b ? -1 : 1;
}

static void order_by(const double *weights, int32_t count, int32_t *order)
{
    for (int32_t i = 0; i < count; i++)
        order[i] = i;
    sort_by = weights;
    qsort(order, (size_t)count, sizeof *order, larger);
}

static void measure_words(bench *b, const pair *p, const double *weights)
{
    int32_t n = p->e->word_count, order[WORDS];
    bool gone[WORDS] = {false};
    const char *texts[WORDS] = {NULL};
    uint8_t *images[WORDS] = {NULL};
    double margins[WORDS], fall = 0;
    order_by(weights, n, order);
    for (int32_t k = 0; k < n; k++) {
        gone[order[k]] = true;
        texts[k] = without(p->e, gone);
        images[k] = (uint8_t *)(uintptr_t)p->pixels;
    }
    score(b, texts, images, n, margins);
    for (int32_t k = 0; k < n; k++) {
        fall += (p->full - margins[k]) / n;
        free((void *)(uintptr_t)texts[k]);
    }
    b->words += fall;
    b->first_word += p->full - margins[0];
}

static void measure_patches(bench *b, const pair *p, const double *weights)
{
    int32_t all = p->e->grid * p->e->grid, order[PATCHES], done = 0;
    size_t bytes = (size_t)b->size * (size_t)b->size * 3;
    const char *texts[2 * ROUNDS];
    uint8_t *images[2 * ROUNDS], *less = malloc(bytes), *more = malloc(bytes);
    double margins[2 * ROUNDS];
    order_by(weights, all, order);
    memcpy(less, p->pixels, bytes);
    memset(more, 0xff, bytes);
    for (int32_t k = 0; k < ROUNDS; k++) {
        for (; done < shares[k] * all; done++) {
            paint(b, p->e, order[done], less, NULL);
            paint(b, p->e, order[done], more, p->pixels);
        }
        images[k] = memcpy(malloc(bytes), less, bytes);
        images[ROUNDS + k] = memcpy(malloc(bytes), more, bytes);
        texts[k] = texts[ROUNDS + k] = p->title;
    }
    score(b, texts, images, 2 * ROUNDS, margins);
    for (int32_t k = 0; k < ROUNDS; k++) {
        b->patches += (p->full - margins[k]) / ROUNDS;
        b->kept += margins[ROUNDS + k] / ROUNDS;
        free(images[k]);
        free(images[ROUNDS + k]);
    }
    b->eighth += p->full - margins[3];
    free(less);
    free(more);
}

static void measure(bench *b, const pair *p, const double *words, const double *patches)
{
    measure_words(b, p, words);
    measure_patches(b, p, patches);
    b->count++;
}

/* What each word and patch alone takes off the score. */
static void leave_out(bench *b, const pair *p, double *words, double *patches)
{
    int32_t n = p->e->word_count, all = p->e->grid * p->e->grid;
    size_t bytes = (size_t)b->size * (size_t)b->size * 3;
    const char **texts = calloc((size_t)(n + all), sizeof *texts);
    uint8_t **images = calloc((size_t)(n + all), sizeof *images);
    double *margins = calloc((size_t)(n + all), sizeof *margins);
    for (int32_t i = 0; i < n + all; i++) {
        bool gone[WORDS] = {false};
        if (i < n)
            gone[i] = true;
        texts[i] = i < n ? without(p->e, gone) : p->title;
        images[i] = memcpy(malloc(bytes), p->pixels, bytes);
        if (i >= n)
            paint(b, p->e, i - n, images[i], NULL);
    }
    score(b, texts, images, n + all, margins);
    for (int32_t i = 0; i < n + all; i++) {
        *(i < n ? &words[i] : &patches[i - n]) = p->full - margins[i];
        if (i < n)
            free((void *)(uintptr_t)texts[i]);
        free(images[i]);
    }
    free(texts);
    free(images);
    free(margins);
}

static void print(const char *name, const bench *b)
{
    double n = (double)b->count;
    printf("%-22s %8.2f %8.2f %9.2f %9.2f %8.2f %8.3f %10.3f\n", name,
           b->first_word / n, b->words / n, b->eighth / n, b->patches / n, b->kept / n,
           b->word_gap / n, b->patch_gap / n);
}

enum { CHANCE, STEP1, STEP4, STEP16, STEP64, LEAVE, METHODS };
static const struct {
    const char *name;
    int32_t steps;
} methods[METHODS] = {{"by chance", 0},           {"explain --steps 1", 1},
                      {"explain --steps 4", 4},   {"explain --steps 16", 16},
                      {"explain --steps 64", 64}, {"leave-one-out", 0}};

static void run_method(bench *sums, int method, const pair *p, fb_random *random)
{
    double words[WORDS], patches[PATCHES];
    bench *b = &sums[method];
    fb_image_input image = {.pixels = p->pixels};
    if (method == CHANCE) {
        for (int32_t c = 0; c < CHANCES; c++) {
            for (int32_t i = 0; i < WORDS; i++)
                words[i] = fb_random_below(random, 1u << 30);
            for (int32_t i = 0; i < PATCHES; i++)
                patches[i] = fb_random_below(random, 1u << 30);
            measure(b, p, words, patches);
        }
        return;
    }
    if (method == LEAVE) {
        leave_out(b, p, words, patches);
    } else {
        fb_explanation *e;
        const fb_explain_options o = {.score = "own", .steps = methods[method].steps};
        must(b, fb_explain(b->ctx, b->model, p->title, &image, &o, &e));
        double word_gap = e->without_words - e->score,
               patch_gap = e->without_image - e->score;
        for (int32_t i = 0; i < e->word_count; i++)
            word_gap += words[i] = e->words[i].weight;
        for (int32_t i = 0; i < e->grid * e->grid; i++)
            patch_gap += patches[i] = e->patches[i];
        b->word_gap += fabs(word_gap);
        b->patch_gap += fabs(patch_gap);
        fb_explanation_free(e);
    }
    measure(b, p, words, patches);
}

int main(int argc, char **argv)
{
    bench b = {.ctx = fb_context_create()};
    bench sums[METHODS];
    fb_catalogue *catalogue = NULL;
    fb_random random = fb_random_start(1, FB_STREAM_TEST, 0);
    int32_t wanted = argc > 3 ? atoi(argv[3]) : 100, done = 0;
    if (argc < 3)
        return 2;
    must(&b, fb_model_open(b.ctx, &b.model, argv[1], NULL));
    must(&b, fb_catalogue_open(b.ctx, &catalogue, argv[2], NULL));
    b.size = fb_model_image_size(b.model);
    for (int m = 0; m < METHODS; m++)
        sums[m] = b;
    uint8_t *pixels = malloc((size_t)b.size * (size_t)b.size * 3);
    int32_t items = fb_catalogue_count(catalogue);
    while (done < wanted) {
        const fb_catalogue_item *item = fb_catalogue_get(
            catalogue, (int32_t)fb_random_below(&random, (uint32_t)items));
        char path[8192];
        if (item->split != FB_SPLIT_TEST)
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[2], item->file_name);
        fb_image_input image = {.file = path};
        must(&b, fb_model_read_image(b.ctx, b.model, &image, path, 0, pixels));
        fb_explanation *e;
        const fb_explain_options once = {.score = "own", .steps = 1};
        must(&b, fb_explain(b.ctx, b.model, item->title, &image, &once, &e));
        if (e->word_count > 0 && e->word_count <= WORDS && e->grid <= GRID_MOST) {
            pair p = {e, pixels, item->title, e->score};
            for (int m = 0; m < METHODS; m++)
                run_method(sums, m, &p, &random);
            done++;
        }
        fb_explanation_free(e);
    }
    printf("%d pairs: the score falls by, and (kept) is\n", (int)done);
    printf("%-22s %8s %8s %9s %9s %8s %8s %10s\n", "", "1 word", "words", "patches/8",
           "patches", "kept", "word gap", "patch gap");
    for (int m = 0; m < METHODS; m++)
        print(methods[m].name, &sums[m]);
    free(pixels);
    fb_catalogue_close(catalogue);
    fb_model_close(b.model);
    fb_context_free(b.ctx);
    return 0;
}

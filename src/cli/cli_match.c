/* cli_match.c - `fashionbert match`: the score of each given text with each given
 * image, or of each text with its best images; printed, and shown on a contact sheet.
 * With a model of queries, of each query with each text, a product's title, and image.
 */
#include "base/arena.h"
#include "base/json.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct match_arguments {
#define FB_COMMAND      FB_OPTION_MEMBER
#define FB_COMMAND_LIST FB_LIST_MEMBER
#include "fashionbert/match.def"
} match_arguments;

#define FB_COMMAND            FB_COMMAND_ROW
#define FB_COMMAND_LIST       FB_COMMAND_LIST_ROW
#define FB_COMMAND_AT(member) offsetof(match_arguments, member)
static const fb_option options[] = {
#include "fashionbert/match.def"
};

/* Texts from standard input, one a line; empty lines are passed over. */
typedef struct text_list {
    fb_arena *arena;
    const char **items;
    int32_t count, capacity;
} text_list;

enum { TEXT_LIMIT = 1000000 };

static fb_status add_text(fb_context *ctx, text_list *list, const char *text)
{
    if (list->count == TEXT_LIMIT)
        return fb_fail(ctx, FB_E_LIMIT, "--text: more than %d texts", TEXT_LIMIT);
    if (list->count == list->capacity) {
        int32_t capacity = list->capacity ? list->capacity * 2 : 64;
        const char **items = realloc(list->items, (size_t)capacity * sizeof *items);
        if (!items)
            return fb_fail(ctx, FB_E_MEMORY, "out of memory for the texts");
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = text;
    return FB_OK;
}

static fb_status add_line(fb_context *ctx, text_list *list, char *line, size_t length,
                          int64_t number)
{
    if (strlen(line) != length)
        return fb_fail(ctx, FB_E_FORMAT, "standard input:%lld: the line holds a 0 byte",
                       (long long)number);
    while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
        line[--length] = 0;
    if (length == 0)
        return FB_OK;
    const char *copy = fb_arena_strdup(list->arena, line);
    if (!copy)
        return fb_fail(ctx, FB_E_MEMORY, "out of memory for the texts");
    return add_text(ctx, list, copy);
}

static fb_status read_lines(fb_context *ctx, text_list *list)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    fb_status status = FB_OK;
    errno = 0;
    for (int64_t number = 1;
         status == FB_OK && (length = getline(&line, &capacity, stdin)) >= 0; number++)
        status = add_line(ctx, list, line, (size_t)length, number);
    if (status == FB_OK && ferror(stdin))
        status = fb_fail(ctx, FB_E_IO, "standard input could not be read: %s",
                         strerror(errno));
    free(line);
    return status;
}

static fb_status gather_texts(fb_context *ctx, const match_arguments *a,
                              text_list *list)
{
    bool has_stdin = false;
    for (int32_t i = 0; i < a->text_count; i++) {
        if (strcmp(a->texts[i], "-") != 0) {
            FB_TRY(add_text(ctx, list, a->texts[i]));
        } else if (has_stdin) {
            return fb_fail(ctx, FB_E_USAGE, "--text: - may be given once");
        } else {
            has_stdin = true;
            FB_TRY(read_lines(ctx, list));
        }
    }
    if (list->count == 0)
        return fb_fail(ctx, FB_E_USAGE, "--text -: standard input holds no text");
    return FB_OK;
}

/* What is shown: `shown` images of each row, a text or a query with a text. */
typedef struct listing {
    const match_arguments *arguments;
    const text_list *texts;
    const float *scores; /* [rows, image_count] */
    int32_t rows, shown;
    int32_t *order; /* [rows, shown] numbers of images */
} listing;

static const char *row_text(const listing *l, int32_t row)
{
    return l->texts->items[row % l->texts->count];
}

/* NULL: none was given. */
static const char *row_query(const listing *l, int32_t row)
{
    const match_arguments *a = l->arguments;
    return a->query_count ? a->queries[row / l->texts->count] : NULL;
}

static int32_t count_rows(const match_arguments *a, const text_list *texts)
{
    return (a->query_count ? a->query_count : 1) * texts->count;
}

static const char *shown_image(const listing *l, int32_t which, int32_t place,
                               float *score)
{
    int32_t image = l->order[(size_t)which * (size_t)l->shown + (size_t)place];
    size_t row = (size_t)which * (size_t)l->arguments->image_count;
    *score = l->scores[row + (size_t)image];
    return l->arguments->images[image];
}

typedef struct candidate {
    float score;
    int32_t image;
} candidate;

/* Best first; equal scores in the order given. */
static int by_score(const void *x, const void *y)
{
    const candidate *a = x, *b = y;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return (a->image > b->image) - (a->image < b->image);
}

static fb_status make_order(fb_context *ctx, listing *l)
{
    const match_arguments *a = l->arguments;
    size_t images = (size_t)a->image_count;
    l->shown = a->top > 0 && a->top < a->image_count ? a->top : a->image_count;
    l->order = calloc((size_t)l->rows, (size_t)l->shown * sizeof *l->order);
    candidate *all = calloc(images, sizeof *all);
    if (!l->order || !all) {
        free(all);
        return fb_fail(ctx, FB_E_MEMORY, "out of memory for the list of images");
    }
    for (size_t t = 0; t < (size_t)l->rows; t++) {
        for (size_t i = 0; i < images; i++)
            all[i] = (candidate){l->scores[t * images + i], (int32_t)i};
        if (a->top > 0)
            qsort(all, images, sizeof *all, by_score);
        for (size_t i = 0; i < (size_t)l->shown; i++)
            l->order[t * (size_t)l->shown + i] = all[i].image;
    }
    free(all);
    return FB_OK;
}

static void print_json(const listing *l)
{
    fb_json_writer w;
    fb_json_begin(&w, stdout, 2);
    fb_json_open_array(&w);
    for (int32_t t = 0; t < l->rows; t++)
        for (int32_t i = 0; i < l->shown; i++) {
            float score = 0;
            const char *image = shown_image(l, t, i, &score);
            fb_json_open_object(&w);
            if (row_query(l, t))
                fb_json_key_string(&w, "query", row_query(l, t));
            fb_json_key_string(&w, "text", row_text(l, t));
            fb_json_key_string(&w, "image", image);
            fb_json_key_float(&w, "score", score);
            fb_json_close_object(&w);
        }
    fb_json_close_array(&w);
    fputc('\n', stdout);
}

static fb_status print_table(fb_context *ctx, const listing *l)
{
    bool queries = l->arguments->query_count > 0;
    fb_table *table =
        fb_table_create(queries ? ">score|<query|<text|<image" : ">score|<text|<image");
    for (int32_t t = 0; t < l->rows; t++)
        for (int32_t i = 0; i < l->shown; i++) {
            float score = 0;
            const char *image = shown_image(l, t, i, &score);
            fb_table_number(table, (double)score, 4);
            if (queries)
                fb_table_text(table, row_query(l, t));
            fb_table_text(table, row_text(l, t));
            fb_table_text(table, image);
        }
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    return status;
}

/* A caption is the score and the image's name without its folders. */
enum { CAPTION_BYTES = 64 };

static fb_status draw_sheet(fb_context *ctx, const listing *l)
{
    size_t count = (size_t)l->rows * (size_t)l->shown;
    const char **labels = calloc((size_t)l->rows, sizeof *labels);
    const char **files = calloc(count, sizeof *files);
    const char **captions = calloc(count, sizeof *captions);
    char(*names)[CAPTION_BYTES] = calloc(count, sizeof *names);
    fb_status status = files && captions && names && labels
                           ? FB_OK
                           : fb_fail(ctx, FB_E_MEMORY, "out of memory for --sheet");
    for (size_t k = 0; status == FB_OK && k < count; k++) {
        float score = 0;
        files[k] = shown_image(l, (int32_t)(k / (size_t)l->shown),
                               (int32_t)(k % (size_t)l->shown), &score);
        const char *slash = strrchr(files[k], '/');
        snprintf(names[k], sizeof names[k], "%.3f %.50s", (double)score,
                 slash ? slash + 1 : files[k]);
        captions[k] = names[k];
    }
    for (int32_t t = 0; status == FB_OK && t < l->rows; t++)
        labels[t] = row_query(l, t) ? row_query(l, t) : row_text(l, t);
    if (status == FB_OK)
        status = fb_contact_sheet(ctx, l->arguments->sheet, labels, l->rows, files,
                                  l->shown, captions);
    free(labels);
    free(names);
    free(captions);
    free(files);
    return status;
}

/* The sheet first: where it fails, nothing is on standard output. */
static fb_status show(fb_context *ctx, const match_arguments *a, const text_list *texts,
                      const float *scores)
{
    listing l = {
        .arguments = a, .texts = texts, .scores = scores, .rows = count_rows(a, texts)};
    fb_status status = make_order(ctx, &l);
    if (status == FB_OK && a->sheet[0])
        status = draw_sheet(ctx, &l);
    if (status == FB_OK && a->json)
        print_json(&l);
    else if (status == FB_OK)
        status = print_table(ctx, &l);
    free(l.order);
    return status;
}

/* Every query with every text and image, row by row. */
static fb_status score_queries(fb_context *ctx, fb_model *model,
                               const match_arguments *a, const text_list *texts,
                               float *scores)
{
    size_t images = (size_t)a->image_count;
    size_t count = (size_t)count_rows(a, texts) * images;
    fb_image_input *files = calloc(images, sizeof *files);
    const char **queries = calloc(count, sizeof *queries);
    fb_input *products = calloc(count, sizeof *products);
    fb_status status =
        files && queries && products
            ? FB_OK
            : fb_fail(ctx, FB_E_MEMORY, "out of memory for %zu scores", count);
    for (size_t i = 0; i < images && status == FB_OK; i++)
        files[i].file = a->images[i];
    for (size_t i = 0; i < count && status == FB_OK; i++) {
        size_t row = i / images;
        queries[i] = a->queries[row / (size_t)texts->count];
        products[i].text = texts->items[row % (size_t)texts->count];
        products[i].image = &files[i % images];
    }
    if (status == FB_OK)
        status =
            fb_model_score_query(ctx, model, queries, products, (int64_t)count, scores);
    free(files);
    free(queries);
    free(products);
    return status;
}

static fb_status score_rows(fb_context *ctx, fb_model *model, const match_arguments *a,
                            const text_list *texts, float *scores)
{
    FB_TRY(fb_model_use_regions(ctx, model, a->regions));
    if (a->query_count)
        return score_queries(ctx, model, a, texts, scores);
    if (fb_model_takes_query(model))
        return fb_fail(ctx, FB_E_USAGE,
                       "%s reads a query, a title and an image; give --query too",
                       a->model);
    return fb_model_score(ctx, model, texts->items, texts->count, a->images,
                          a->image_count, scores);
}

static fb_status score(fb_context *ctx, const match_arguments *a,
                       const text_list *texts)
{
    fb_model *model = NULL;
    if ((int64_t)(a->query_count ? a->query_count : 1) * texts->count > INT32_MAX)
        return fb_fail(ctx, FB_E_LIMIT, "too many queries with too many texts");
    const fb_model_options compute = {a->backend, a->dtype, a->threads};
    FB_TRY(fb_model_open(ctx, &model, a->model, &compute));
    float *scores =
        calloc((size_t)count_rows(a, texts), (size_t)a->image_count * sizeof *scores);
    fb_status status =
        scores ? score_rows(ctx, model, a, texts, scores)
               : fb_fail(ctx, FB_E_MEMORY, "out of memory for %d x %d scores",
                         (int)count_rows(a, texts), (int)a->image_count);
    fb_model_close(model);
    if (status == FB_OK)
        status = show(ctx, a, texts, scores);
    free(scores);
    return status;
}

static fb_status run(fb_context *ctx, void *arguments)
{
    const match_arguments *a = arguments;
    text_list texts = {.arena = fb_arena_create(1 << 16)};
    fb_status status = texts.arena ? gather_texts(ctx, a, &texts)
                                   : fb_fail(ctx, FB_E_MEMORY, "out of memory");
    if (status == FB_OK)
        status = score(ctx, a, &texts);
    free(texts.items);
    fb_arena_free(texts.arena);
    return status;
}

const fb_verb fb_verb_match = {
    .name = "match",
    .summary = "score texts with images",
    .about =
        "Prints the probability that a text and an image show the same product, for "
        "each given text with each given image, or with the best of them (--top). A "
        "model of queries (train --objective qti) takes --query too, and says how "
        "likely "
        "the product of that title and image is clicked for it.",
    .example =
        "fashionbert match --model model --text \"red summer dress\" --image *.jpg",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .arguments_bytes = sizeof(match_arguments),
    .run = run,
};

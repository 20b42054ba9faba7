/* cli_explain.c - `fashionbert explain`: what of a text and an image made their score,
 * as a table, as JSON, and as a picture.
 */
#include "base/json.h"
#include "cli/table.h"
#include "cli/verbs.h"
#include "fashionbert.h"

typedef struct explain_arguments {
    fb_explain_options task;
#define FB_COMMAND FB_OPTION_MEMBER
#include "fashionbert/explain.def"
} explain_arguments;

#define FB_OPTION             FB_OPTION_ROW
#define FB_COMMAND            FB_COMMAND_ROW
#define FB_OPTION_AT(member)  offsetof(explain_arguments, task.member)
#define FB_COMMAND_AT(member) offsetof(explain_arguments, member)
static const fb_option options[] = {
#include "fashionbert/explain.def"
};

static void print_words(fb_json_writer *w, const fb_explanation *e)
{
    fb_json_key(w, "words");
    fb_json_open_array(w);
    for (int32_t i = 0; i < e->word_count; i++) {
        fb_json_open_object(w);
        fb_json_key_string(w, "word", e->words[i].text);
        fb_json_key_int(w, "tokens", e->words[i].tokens);
        fb_json_key_double(w, "weight", e->words[i].weight);
        fb_json_close_object(w);
    }
    fb_json_close_array(w);
    fb_json_key_int(w, "words_left_out", e->words_left_out);
}

static void print_patches(fb_json_writer *w, const fb_explanation *e)
{
    fb_json_key(w, "patches");
    fb_json_open_array(w);
    for (int32_t row = 0; row < e->grid; row++) {
        fb_json_open_array(w);
        for (int32_t column = 0; column < e->grid; column++)
            fb_json_double(w, e->patches[row * e->grid + column]);
        fb_json_close_array(w);
    }
    fb_json_close_array(w);
    fb_json_key(w, "photo");
    fb_json_open_array(w);
    for (int32_t i = 0; i < 4; i++)
        fb_json_double(w, e->photo[i]);
    fb_json_close_array(w);
}

static void print_json(const explain_arguments *a, const fb_explanation *e)
{
    fb_json_writer w;
    fb_json_begin(&w, stdout, 2);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "text", a->text);
    fb_json_key_string(&w, "image", a->image);
    fb_json_key_string(&w, "method", e->method);
    fb_json_key_string(&w, "score_kind", e->score_kind);
    fb_json_key_double(&w, "probability", e->probability);
    fb_json_key_double(&w, "score", e->score);
    fb_json_key_double(&w, "without_words", e->without_words);
    fb_json_key_double(&w, "without_image", e->without_image);
    print_words(&w, e);
    print_patches(&w, e);
    fb_json_close_object(&w);
    putchar('\n');
}

static fb_status print_score(fb_context *ctx, const fb_explanation *e)
{
    fb_table *table =
        fb_table_create(">P(match)|<score|>value|>without words|>without image");
    fb_table_number(table, e->probability, 4);
    fb_table_text(table, e->score_kind);
    fb_table_number(table, e->score, 3);
    fb_table_number(table, e->without_words, 3);
    fb_table_number(table, e->without_image, 3);
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    return status;
}

static fb_status print_tables(fb_context *ctx, const fb_explanation *e)
{
    FB_TRY(print_score(ctx, e));
    fb_table *table = fb_table_create("<word|>weight");
    for (int32_t i = 0; i < e->word_count; i++) {
        fb_table_text(table, e->words[i].text);
        fb_table_number(table, e->words[i].weight, 3);
    }
    putchar('\n');
    fb_status status = fb_table_print(ctx, table, stdout);
    fb_table_free(table);
    if (e->words_left_out > 0)
        printf("%d words behind these are more than the model takes\n",
               (int)e->words_left_out);
    printf("\nweights: %s\n", e->method);
    return status;
}

/* The picture first: where it fails, nothing is on standard output. */
static fb_status show(fb_context *ctx, const explain_arguments *a,
                      const fb_image_input *image, const fb_explanation *e)
{
    if (a->out[0])
        FB_TRY(fb_explanation_draw(ctx, e, image, a->out));
    if (!a->json)
        return print_tables(ctx, e);
    print_json(a, e);
    return FB_OK;
}

static fb_status run(fb_context *ctx, void *arguments)
{
    const explain_arguments *a = arguments;
    const fb_image_input image = {.file = a->image};
    fb_model *model = NULL;
    fb_explanation *e = NULL;
    const fb_model_options compute = {a->backend, a->dtype, a->threads};
    FB_TRY(fb_model_open(ctx, &model, a->model, &compute));
    fb_status status = fb_explain(ctx, model, a->text, &image, &a->task, &e);
    if (status == FB_OK)
        status = show(ctx, a, &image, e);
    fb_explanation_free(e);
    fb_model_close(model);
    return status;
}

const fb_verb fb_verb_explain = {
    .name = "explain",
    .summary = "say what of a text and an image made their score",
    .about =
        "Prints how much each word adds to the score of a text with an image, and "
        "draws "
        "how much each part of the image does: above 0 speaks for a match, below "
        "against. The words' weights share out how far the score falls when every word "
        "is masked, the patches' how far it falls when the image is blank "
        "(integrated gradients).",
    .example = "fashionbert explain --model model --text \"red summer dress\" "
               "--image 1.jpg --out heat.png",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .arguments_bytes = sizeof(explain_arguments),
    .run = run,
};

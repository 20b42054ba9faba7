/* fashionbert.h - match product texts and product images.
 *
 * The whole public interface, simple first:
 *
 *     fb_context *ctx = fb_context_create();
 *     fb_model *model = NULL;
 *     if (fb_model_open(ctx, &model, "my-model", NULL) != FB_OK)
 *         die(fb_context_message(ctx));
 *     const char *texts[] = {"red summer dress"}, *images[] = {"1.jpg", "2.jpg"};
 *     float scores[2];
 *     fb_model_score(ctx, model, texts, 1, images, 2, scores);
 *     fb_model_close(model);
 *     fb_context_free(ctx);
 *
 * Rules that hold for every function here:
 *   - A function that can fail returns fb_status. Anything but FB_OK left a sentence in
 *     the context: what, where in the input, what would be right. Nothing else changed:
 *     outputs are untouched, files on disk are as they were before the call.
 *   - Pairs create/free and open/close; free and close take NULL.
 *   - Strings are UTF-8 and borrowed for the call. One context serves one thread.
 *   - The locale that the program has set changes nothing: numbers have a point.
 *   - Every options struct starts as what its fb_..._defaults() filled in. Its members,
 *     defaults and ranges stand in the list that it is made of, fashionbert/VERB.def,
 *     as `fashionbert VERB --help` shows them. fb_..._options_set(ctx, &options, "lr",
 *     "5e-4") sets one by its name there, from a text that is borrowed as long as the
 *     options are used; FB_E_USAGE: no such option, or not a value that it takes.
 */
#ifndef FASHIONBERT_H
#define FASHIONBERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fashionbert/option_lists.h"
#include "fashionbert_status.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default) /* the shared library exports what stands here */

/* ---- 1. Open a model, score texts and images ------------------------------------- */

typedef struct fb_model fb_model;

/* The backends' names one by one, NULL behind the last. */
const char *fb_backend_name(int32_t place);

typedef struct fb_model_options {
    FB_SCORING_OPTIONS(FB_OPTION_MEMBER) /* option_lists.h */
} fb_model_options;

void fb_model_options_defaults(fb_model_options *options);

/* Open a model folder (config.json, vocab.txt, model.safetensors). options may be NULL.
 */
fb_status fb_model_open(fb_context *ctx, fb_model **model, const char *folder,
                        const fb_model_options *options);
void fb_model_close(fb_model *model);

/* A model that was trained with --regions reads, in the place of an image, the regions
 * that `file` (of fb_import_regions) has of it: of the image that the file calls by its
 * path, an end of that, or its name without ending. To be called before it scores or
 * encodes images, which then are files.
 * FB_E_USAGE    the model reads photos, or regions of another width or with boxes
 * FB_E_MISSING, FB_E_FORMAT  no such file; not a region file of this program */
bool fb_model_takes_regions(const fb_model *model);
fb_status fb_model_use_regions(fb_context *ctx, fb_model *model, const char *file);

/* Match probability P(match) in [0,1] of every text with every image file.
 * scores [texts, images] row-major. */
fb_status fb_model_score(fb_context *ctx, fb_model *model, const char *const *texts,
                         int32_t text_count, const char *const *image_files,
                         int32_t image_count, float *scores);

/* ---- 2. Texts and images as files or in memory ----------------------------------- */

/* One image: a JPEG, PNG or WebP by content, as a file or as its bytes in memory; or
 * what fb_model_read_image made of one. */
typedef struct fb_image_input {
    const char *file; /* NULL: it is in memory */
    const void *bytes;
    size_t size_bytes;
    const uint8_t *pixels; /* not NULL: read already; the rest is not looked at */
} fb_image_input;

/* A query or a product: a text, an image, or both. An input with neither is
 * FB_E_USAGE. */
typedef struct fb_input {
    const char *text;            /* NULL: none; "" is a text */
    const fb_image_input *image; /* NULL: none */
} fb_input;

/* fb_model_score with images as files or in memory. */
fb_status fb_model_score_images(fb_context *ctx, fb_model *model,
                                const char *const *texts, int32_t text_count,
                                const fb_image_input *images, int32_t image_count,
                                float *scores);

/* Match probability of each input's text with its own image. scores [count]. Inputs
 * that point to the same image share the work on it.
 * FB_E_USAGE   an input lacks its text or its image; else as fb_model_encode */
fb_status fb_model_match(fb_context *ctx, fb_model *model, const fb_input *inputs,
                         int64_t count, float *scores);

/* A model that was trained with queries and clicks reads a query, a product's title and
 * its image at once: it says how likely the product is clicked for the query. It scores
 * no pairs (fb_model_score is FB_E_STATE) and gives no vectors; other models score no
 * triples. */
bool fb_model_takes_query(const fb_model *model);

/* Probability of queries[i] with products[i], both their title and their image.
 * scores [count]. Equal addresses of queries, titles and images share the work on them:
 * to re-rank products for one query, give it each time.
 * FB_E_STATE   the model takes no query
 * FB_E_USAGE   a query is NULL, or a product lacks its title or its image
 * FB_E_MISSING, FB_E_IO, FB_E_FORMAT, FB_E_LIMIT   an image; the sentence names the
 * file, or "image N" (from 0) for one in memory */
fb_status fb_model_score_query(fb_context *ctx, fb_model *model,
                               const char *const *queries, const fb_input *products,
                               int64_t count, float *scores);

/* What can be done ahead, on any number of threads at once and while the model is in
 * use: reading an image, and counting what a text costs. */

/* Pixels a side of the square that the model reads; the patches that it becomes. */
int32_t fb_model_image_size(const fb_model *model);
int32_t fb_model_patches(const fb_model *model);

/* Of an image in memory, by its first bytes: its pixels, and the bytes of memory that
 * decoding it takes at most. Fails as fb_model_read_image does. */
fb_status fb_image_measure(fb_context *ctx, const char *name, const void *bytes,
                           size_t size_bytes, int64_t *pixels, int64_t *decode_bytes);

/* Decode, turn upright and fit: pixels [size, size, 3]. Images of more than most_pixels
 * (0: 40 million) are FB_E_LIMIT, told before anything is decoded. `name` is what
 * sentences call an image in memory. On failure pixels are untouched. */
fb_status fb_model_read_image(fb_context *ctx, const fb_model *model,
                              const fb_image_input *image, const char *name,
                              int64_t most_pixels, uint8_t *pixels);

/* Tokens of a text with [CLS] and [SEP], as the model reads it: cut to its longest. */
fb_status fb_model_count_tokens(fb_context *ctx, const fb_model *model,
                                const char *text, int32_t *tokens);

/* ---- 3. Vectors --------------------------------------------------------------------
 *
 * A model that was trained with the contrastive loss turns a text, an image or both
 * into one unit vector of fb_model_vector_size() numbers; the inner product of two is
 * their similarity.
 *
 *     text alone      u               image alone     v
 *     both            unit(w u + (1 - w) v),   w: text_weight
 */

#define FB_TEXT_WEIGHT 0.6 /* of a text beside an image, unless told */

enum { FB_COMPUTE_TEXT = 192 };
/* What the model computes in and on how many threads, for people: "bf16 on 2 threads (0.97
 * TFLOP/s of products; f32 0.41)", "int8 products by AVX2, the rest in f32 on 2 threads". */
void fb_model_describe(const fb_model *model, char text[FB_COMPUTE_TEXT]);

/* Width D of the model's vectors; 0: it gives none. */
int32_t fb_model_vector_size(const fb_model *model);

/* 64 bits over all that the model's vectors depend on: weights, vocabulary and how
 * texts and images are read. */
uint64_t fb_model_fingerprint(const fb_model *model);

/* Unit vectors [count, D] of the inputs. A model serves one thread at a time, any one.
 * FB_E_STATE   the model gives no vectors
 * FB_E_USAGE   an input holds neither text nor image; text_weight is not in [0, 1]
 * FB_E_MISSING, FB_E_IO, FB_E_FORMAT, FB_E_LIMIT   an image; the sentence names the
 * file, or "image N" (from 0) for one in memory */
fb_status fb_model_encode(fb_context *ctx, fb_model *model, const fb_input *inputs,
                          int64_t count, double text_weight, float *vectors);

/* ---- 4. Search an index ------------------------------------------------------------
 *
 *     fb_index *index = NULL;
 *     fb_index_open(ctx, &index, "my-index", NULL);
 *     fb_input query = {.text = "red summer dress"};
 *     fb_search_options how;
 *     fb_search_options_defaults(&how);
 *     fb_search_result *found = NULL;
 *     fb_search(ctx, model, index, &query, &how, &found);
 *     for (int32_t i = 0; i < found->hit_count; i++)
 *         puts(found->hits[i].title);
 *     fb_search_result_free(found);
 *     fb_index_close(index);
 *
 * An index is a folder: the vectors of a catalogue's products and what a result shows
 * of them (section 7 makes one). Once open it does not change, and any number of
 * threads may search it at once, each with its own context. The folder may be changed
 * meanwhile (fb_index_build with another `mode`): an open index goes on showing what it
 * was opened with, open it again to see the change.
 */

typedef struct fb_index fb_index;

/* folder: an index folder, or a store (below): postgresql://host/database, and others
 * behind blanks.
 * FB_E_MISSING  no index there
 * FB_E_FORMAT   damaged, cut short, or not an index
 * FB_E_IO       a database does not answer
 * FB_E_STATE    `model` (may be NULL: not looked at) is not the one that made it */
fb_status fb_index_open(fb_context *ctx, fb_index **index, const char *folder,
                        const fb_model *model);
void fb_index_close(fb_index *index);

typedef struct fb_index_info {
    int64_t products;
    int32_t vector_size;
    uint64_t fingerprint; /* the model's; 0: vectors from elsewhere */
    const char *kind, *what, *catalog;
    const char *storage; /* "f32", "bf16", "int8"; in a database "vector", "halfvec" */
    double text_weight;
    int32_t attribute_count;
    const char *const *attributes; /* [attribute_count] names one can filter by */
} fb_index_info;

/* Borrowed from the index. */
const fb_index_info *fb_index_get_info(const fb_index *index);

/* One attribute's distinct values and how many products have each, most first; at most
 * `limit` of them. *values and *counts [*count] are in one block: free(*values).
 * FB_E_USAGE: no such attribute, the sentence lists those there are. */
fb_status fb_index_values(fb_context *ctx, const fb_index *index, const char *attribute,
                          int32_t limit, const char *const **values,
                          const int64_t **counts, int32_t *count);

/* A product as a result shows it. Strings are borrowed: they stay as long as both the
 * result and the index. */
typedef struct fb_hit {
    const char *product_id, *title;
    const char *image; /* the image's path: catalogue folder and file_name */
    const char *const *attributes; /* [attribute_count, 2] name, value; category and the
                                      other levels among them */
    int32_t attribute_count;
    float score;         /* inner product of the vectors */
    float rerank_score;  /* 0 to 1, see fb_index_rerank; NaN: not re-ranked */
    int32_t rank;        /* by the vectors alone, from 1 */
    int32_t rerank_rank; /* after re-ranking, from 1; 0: not re-ranked */
    int64_t row;         /* in the index, the same as long as it is open */
} fb_hit;

/* Products pass when, for every name there, one of its values is theirs. Values compare
 * without case and however accents are composed (Unicode's full case folding, NFC),
 * names without the case of ASCII letters. */
typedef struct fb_search_filter {
    const char *name, *value;
} fb_search_filter;
#define FB_FILTERS_MOST 1024 /* of one search; FB_E_LIMIT past it */

typedef struct fb_search_options {
#define FB_OPTION FB_OPTION_MEMBER
#include "fashionbert/search.def"
    fb_model *ranker; /* that re-ranks, such as a model of queries; NULL: the one that
                         encodes; fb_search alone reads this */
    const fb_search_filter *filters; /* [filter_count] */
    int32_t filter_count;
} fb_search_options;

void fb_search_options_defaults(fb_search_options *options);
fb_status fb_search_options_set(fb_context *ctx, fb_search_options *options,
                                const char *name, const char *text);

typedef struct fb_search_result {
    fb_hit *hits; /* [hit_count] best first: re-ranked, or by vector */
    int32_t hit_count;
    fb_hit *retrieved; /* [retrieved_count] the best by vector alone, all that were
                          re-ranked or the hits; the same products' numbers */
    int32_t retrieved_count;
    int32_t rerank_dropped; /* the last so many of `retrieved`, which were not re-ranked
                               because options->rerank_margin left them out */
    int64_t compared;       /* products that passed the filters; -1: not counted */
    double encode_ms, search_ms, rerank_ms, total_ms;
} fb_search_result;

void fb_search_result_free(fb_search_result *result);

/* The products nearest to a vector [vector_size] (need not be of unit length), without
 * a model; each product once, equal scores in the order of rows. options->rerank only
 * widens `retrieved` to as many, so that fb_index_rerank can follow.
 * FB_E_USAGE   k, an unknown filter name, `by` a part that is not kept
 * FB_E_NUMBER  the vector is not finite, or 0 */
fb_status fb_index_search(fb_context *ctx, const fb_index *index, const float *vector,
                          const fb_search_options *options, fb_search_result **result);

/* Re-rank `retrieved`, or those of it that are within options->rerank_margin of the
 * first, with the model's own score of the pair: the query's text with the
 * product's image, the product's title with the query's image, or the mean of both
 * margins; hits become the best k of them, and behind them the others as the vectors
 * have them. Where that score counts the similarity of two vectors, a hit's `score`
 * stands for it (NaN, of products that no search found: the pair's own; they are never
 * left out). So in an index of images rerank_score is P(match); in one of products it
 * orders, by the title too. A model of queries (section 2) reads the
 * query's text, the title and the image file at once, of any model's index. Uses the
 * model (one thread at a time).
 * FB_E_STATE: another model's index. On failure result is as it was. */
fb_status fb_index_rerank(fb_context *ctx, fb_model *model, const fb_index *index,
                          const fb_input *query, const fb_search_options *options,
                          fb_search_result *result);

/* The same in parts, for who has other work between them: begin, run until none is left,
 * end, which orders the hits. query, options and result must outlive it; each part may be
 * computed by another copy of the model. What fails leaves the result as it was. */
typedef struct fb_reranking fb_reranking;
fb_status fb_rerank_begin(fb_context *ctx, fb_reranking **reranking,
                          const fb_model *model, const fb_index *index,
                          const fb_input *query, const fb_search_options *options,
                          fb_search_result *result);
int32_t fb_rerank_left(const fb_reranking *reranking); /* hits not scored yet */
/* Score `count` more hits, or as many as are left. */
fb_status fb_rerank_run(fb_context *ctx, fb_reranking *reranking, fb_model *model,
                        int32_t count);
/* FB_E_STATE: some are left. */
fb_status fb_rerank_end(fb_context *ctx, fb_reranking *reranking);
void fb_rerank_free(fb_reranking *reranking); /* takes NULL */

/* All of it: encode the query, search, re-rank where options->rerank > 0. */
fb_status fb_search(fb_context *ctx, fb_model *model, const fb_index *index,
                    const fb_input *query, const fb_search_options *options,
                    fb_search_result **result);

/* The product of that id (its first row) as a result of one hit, scores NaN.
 * FB_E_MISSING: not there. */
fb_status fb_index_find(fb_context *ctx, const fb_index *index, const char *product_id,
                        fb_search_result **result);

/* The products of those ids, in that order, as hits and as `retrieved`, so that
 * fb_index_rerank can follow; scores NaN. FB_E_MISSING: the sentence names the first
 * that is not there. */
fb_status fb_index_find_all(fb_context *ctx, const fb_index *index,
                            const char *const *product_ids, int32_t count,
                            fb_search_result **result);

/* ---- 5. Explain a score ------------------------------------------------------------
 *
 *     fb_image_input image = {.file = "1.jpg"};
 *     fb_explanation *why = NULL;
 *     fb_explain(ctx, model, "red summer dress", &image, NULL, &why);
 *     for (int32_t i = 0; i < why->word_count; i++)
 *         printf("%s %+.3f\n", why->words[i].text, why->words[i].weight);
 *     fb_explanation_draw(ctx, why, &image, "heat.png");
 *     fb_explanation_free(why);
 *
 * How much each word of a text and each patch of an image adds to their score, by
 * integrated gradients: the score's change from a text of [MASK] tokens, and from a
 * blank white image, shared out among words and patches. A weight above 0 speaks for a
 * match, one below against. docs/explain.md
 */

typedef struct fb_explain_options {
#define FB_OPTION FB_OPTION_MEMBER
#include "fashionbert/explain.def"
    /* NULL, or called between parts, on the same thread, for other work with the same
     * model; false: break off, FB_E_STATE. */
    bool (*pause)(void *self);
    void *pause_self;
} fb_explain_options;

void fb_explain_options_defaults(fb_explain_options *options);
fb_status fb_explain_options_set(fb_context *ctx, fb_explain_options *options,
                                 const char *name, const char *text);

typedef struct fb_word_weight {
    const char *text; /* as the model reads it: lower case, accents dropped */
    int32_t tokens;   /* pieces that it is cut into */
    double weight;
} fb_word_weight;

typedef struct fb_explanation {
    const char *method; /* how the weights were found, a line to show */
    char score_kind[8]; /* "tia", "itc" or "both" */
    double probability; /* P(match) = 1 / (1 + exp(-score)) */
    double score;
    double without_words; /* the score with every word masked; the words' weights sum to
                             score - without_words, but for what `steps` points miss */
    double without_image; /* with a blank white image; the patches' weights likewise */
    fb_word_weight *words; /* [word_count], in the text's order */
    int32_t word_count;
    int32_t words_left_out; /* behind the last token that the model takes */
    int32_t grid;           /* patches a side, such as 8 */
    double *patches;        /* [grid, grid], row by row from the upper left */
    double photo[4]; /* the image's left, top, right and bottom edge in the square that
                        the patches cover, 0 to 1: less than all of it where the model
                        pads images with white */
} fb_explanation;

/* options may be NULL. FB_E_STATE: a score that the model does not have; and what
 * reading the image gives. Of an image given as pixels, `photo` is all of the square.
 */
fb_status fb_explain(fb_context *ctx, fb_model *model, const char *text,
                     const fb_image_input *image, const fb_explain_options *options,
                     fb_explanation **explanation);
void fb_explanation_free(fb_explanation *explanation);

/* A PNG to look at: the image, beside it the same under its patches' weights (red for a
 * match, blue against), and a bar for each word. Into a file, or into memory: free()
 * *png. The image as file or bytes. */
fb_status fb_explanation_draw(fb_context *ctx, const fb_explanation *explanation,
                              const fb_image_input *image, const char *path);
fb_status fb_explanation_png(fb_context *ctx, const fb_explanation *explanation,
                             const fb_image_input *image, uint8_t **png,
                             size_t *size_bytes);

/* Write a PNG to look at: a row a caption, images_per_row thumbnails a row, under each
 * its own caption. image_files and image_captions [row_count, images_per_row];
 * image_captions may be NULL. */
fb_status fb_contact_sheet(fb_context *ctx, const char *path,
                           const char *const *captions, int32_t row_count,
                           const char *const *image_files, int32_t images_per_row,
                           const char *const *image_captions);

/* ---- 6. Evaluate ----------------------------------------------------------------- */

typedef struct fb_evaluate_options {
#define FB_OPTION FB_OPTION_MEMBER
#include "fashionbert/evaluate.def"
} fb_evaluate_options;

/* One direction of ranking; rates as fractions, means over draws. */
typedef struct fb_ranking {
    int64_t queries, left_out;
    double candidates_mean;
    double r1, r5, r10, r_all; /* r_all must be 1: the sanity check */
    double mrr, median_rank;
    double chance_r1, chance_r5, chance_r10; /* of guessing: exact expectations */
} fb_ranking;

/* How one query of one draw fared. */
typedef struct fb_ranked_query {
    int32_t draw, query; /* query: of the split's items, in the catalogue's order */
    bool text_to_image;  /* else the query is the item's image */
    int64_t rank, candidates; /* 1: the best of so many */
} fb_ranked_query;

typedef struct fb_category_result {
    char name[96];
    fb_ranking image_to_text, text_to_image;
    int32_t draws; /* as fb_evaluation's, of this category's queries */
} fb_category_result;

/* Retrieval in two stages: by the vectors of an index, then its best re-ranked. A right
 * answer that is not among the first `depth` by vectors counts as the last of all. */
typedef struct fb_two_stages {
    bool used;
    char kind[8];    /* of the index */
    int32_t depth;   /* looked at by vectors, and re-ranked */
    bool reranked;   /* the evaluation's rankings are re-ranked, else by vectors */
    int64_t dropped; /* pairs that rerank_margin left out */
    fb_ranking image_to_text, text_to_image; /* by the vectors alone */
    double sum_r;
    double image_to_text_ceiling,
        text_to_image_ceiling; /* share of queries with a right
answer among the depth nearest: what re-ranking can reach */
} fb_two_stages;

typedef struct fb_evaluation {
    int64_t items;
    fb_ranking image_to_text, text_to_image;
    double sum_r;    /* R@1 + R@5 + R@10, both ways */
    char score[8];   /* what was ranked by: "tia", "itc" or "both" */
    double accuracy; /* of matched against mismatched pairs, at probability 1/2; NaN
                        for another score than the model's own */
    double auc;
    int64_t pairs_scored;
    double seconds;
    fb_category_result *categories; /* largest first; owned */
    int64_t category_count;
    /* What the means are of: another model ranked on the same candidates has the same
     * queries in the same order. Owned; none of a model of queries. */
    fb_ranked_query *ranks;
    int64_t rank_count;
    fb_two_stages stages;
    /* A model of queries: products ranked for each query; both directions above, sum_r
     * and categories are empty. */
    bool of_queries;
    fb_ranking query_to_product; /* of the best product that was wanted */
    double ndcg10, chance_ndcg10;
    char wanted[12]; /* what says what was wanted: "clicks", "queries" of the catalogue,
                        "composed" where some of these are */
    int32_t draws;   /* that the means are of: 1 where no query has other candidates to
                      draw, however many were asked for */
} fb_evaluation;

void fb_evaluate_options_defaults(fb_evaluate_options *options);
fb_status fb_evaluate_options_set(fb_context *ctx, fb_evaluate_options *options,
                                  const char *name, const char *text);
fb_status fb_evaluate(fb_context *ctx, const fb_evaluate_options *options,
                      fb_evaluation **evaluation);
void fb_evaluation_free(fb_evaluation *evaluation);

/* ---- 6b. Quantise: int8 scoring -----------------------------------------------------
 *
 * Scales for the linear layers of a model, so that its products can be of int8 numbers,
 * and what that costs on products of a catalogue. From then on fb_model_open takes int8
 * where dtype is "auto". docs/quantization.md
 */

typedef struct fb_quantize_options {
#define FB_OPTION FB_OPTION_MEMBER
#include "fashionbert/quantize.def"
} fb_quantize_options;

/* Of one of the two, as fb_evaluation has them; rankings that its kind of model does not
 * have are empty. */
typedef struct fb_quantize_figures {
    fb_ranking image_to_text, text_to_image, query_to_product;
    double r1, auc; /* r1: the mean of both directions, or of queries */
    double seconds;
} fb_quantize_figures;

typedef struct fb_quantize_report {
    bool measured;   /* the rest holds */
    bool written;    /* else int8 lost more than the tolerance */
    bool of_queries; /* a model of queries: query_to_product counts */
    int64_t items, pairs;
    int32_t layers; /* that are quantised */
    fb_quantize_figures in_float, in_int8;
    double r1_lost;          /* of r1; below 0: gained */
    double score_difference; /* the largest of a pair's probabilities */
} fb_quantize_report;

void fb_quantize_options_defaults(fb_quantize_options *options);
fb_status fb_quantize_options_set(fb_context *ctx, fb_quantize_options *options,
                                  const char *name, const char *text);
/* FB_E_STATE   int8 loses more than the tolerance: the report says what, and the folder
 *              is as it was; or the model has no linear layer to quantise */
fb_status fb_quantize(fb_context *ctx, const fb_quantize_options *options,
                      fb_quantize_report *report);

/* ---- 7. Make an index ------------------------------------------------------------ */

typedef struct fb_index_build_options {
#define FB_OPTION FB_OPTION_MEMBER
#define FB_LIST   FB_LIST_MEMBER
#include "fashionbert/index.def"
    const char *mode; /* "make": a new index, in the place of an older one;
                         "add": products that are not there yet, one that is there is
                                FB_E_USAGE;
                         "replace": the same, taking the place of those of equal
                                product_id;
                         "delete": take out the products `ids` (no model or catalogue
                                is read) */
} fb_index_build_options;

typedef struct fb_index_report {
    int64_t products; /* in the index now */
    int64_t added, deleted;
    int64_t size_bytes;
    double recall10; /* of an approximate index: the share of the exact 10 nearest that
                        it finds, for up to 1,000 titles of its products (its own
                        vectors where it has none of titles); NaN: exact */
    int32_t effort;  /* with which it does; a search's, unless told */
    double encode_seconds, build_seconds;
    char kind[8], storage[8];
} fb_index_report;

void fb_index_build_options_defaults(fb_index_build_options *options);
fb_status fb_index_build_options_set(fb_context *ctx, fb_index_build_options *options,
                                     const char *name, const char *text);

/* Make or change an index folder. Killed at any instant, the folder holds the index as
 * it was or as it is to be.
 * FB_E_STATE   add, replace: the folder was made by another model; the model gives no
 *              vectors; an approximate kind and the program was built without FAISS
 * FB_E_MISSING delete: an id that is not there (then none is deleted) */
fb_status fb_index_build(fb_context *ctx, const fb_index_build_options *options,
                         fb_index_report *report);

/* The same in PostgreSQL with pgvector, for more products than one machine holds: an
 * index folder's products are loaded into one database, or into several that hold a
 * part each, and fb_index_open with their URIs opens them. What differs there: images
 * are read from their files to re-rank, `by` is not available, `compared` is not
 * counted under filters, and a search may fail as databases do (FB_E_IO), after which
 * the next one connects anew. docs/scale.md */
typedef struct fb_store_options {
    const char *index;                 /* index folder to load */
    FB_STORE_OPTIONS(FB_OPTION_MEMBER) /* option_lists.h */
    bool quiet;
} fb_store_options;

typedef struct fb_store_report {
    int64_t products, rows;
    int32_t shards;
    double copy_seconds, build_seconds;
    double recall10; /* the share of the exact 10 nearest that a search finds, for up to
                        200 titles of products (their own vectors where the index has
                        none of titles) */
} fb_store_report;

void fb_store_options_defaults(fb_store_options *options);

/* In the place of what the databases held, which is searched until the new products
 * are there; killed or failing, they hold what they held, but where only some of
 * several had come to the last step: then opening them says so, and loading again
 * mends it.
 * FB_E_IO     a database does not answer, or refuses
 * FB_E_STATE  it has no pgvector of 0.8 or later; somebody else is loading there; the
 *             program was built without libpq */
fb_status fb_store_load(fb_context *ctx, const fb_store_options *options,
                        fb_store_report *report);

/* ---- 8. Serve ----------------------------------------------------------------------
 *
 * HTTP: search, match, re-rank, encode, explain, and a page to try them on.
 * docs/serving.md
 */

typedef struct fb_serve_options {
#define FB_OPTION FB_OPTION_MEMBER
#include "fashionbert/serve.def"
    bool *left_behind; /* NULL, or set: threads were still at work when the time was up
                          and go on behind fb_serve; the process is to end by _exit() */
} fb_serve_options;

void fb_serve_options_defaults(fb_serve_options *options);
fb_status fb_serve_options_set(fb_context *ctx, fb_serve_options *options,
                               const char *name, const char *text);

/* Serve until SIGTERM or SIGINT; then take no more, answer what has come, and return.
 * On SIGHUP the model and the index are opened anew and take the place of the old ones
 * without a lost request; where that fails, the old ones stay. While it runs it takes
 * these three signals for the whole process. It returns within options->drain_s and a
 * second of SIGTERM, and at once when told twice.
 * FB_E_STATE   built without libmicrohttpd; the index is another model's */
fb_status fb_serve(fb_context *ctx, const fb_serve_options *options);

/* ---- 9. Vectors of a catalogue in files ------------------------------------------ */

typedef struct fb_encode_options {
#define FB_OPTION FB_OPTION_MEMBER
#include "fashionbert/encode.def"
} fb_encode_options;

typedef struct fb_encode_report {
    int64_t vectors, resumed; /* resumed: of them there before */
    int32_t vector_size;
    double seconds;
} fb_encode_report;

void fb_encode_options_defaults(fb_encode_options *options);
fb_status fb_encode_options_set(fb_context *ctx, fb_encode_options *options,
                                const char *name, const char *text);

/* FB_E_STATE: what was begun in `out` is of another model, catalogue or option. */
fb_status fb_encode(fb_context *ctx, const fb_encode_options *options,
                    fb_encode_report *report);

/* ---- 10. Inspect a catalogue ----------------------------------------------------- */

typedef struct fb_inspect_options {
    const char *catalog;
#define FB_OPTION FB_OPTION_MEMBER
#include "fashionbert/inspect.def"
} fb_inspect_options;

typedef struct fb_spread {
    double min, median, mean, p95, max; /* NaN of nothing */
} fb_spread;

typedef struct fb_inspect_category {
    char name[96];
    int64_t items, split[3]; /* train, val, test */
} fb_inspect_category;

typedef struct fb_inspect_field {
    char name[64];
    int64_t present, distinct; /* items with a value that is not blank; values */
} fb_inspect_field;

typedef struct fb_inspect_size {
    int32_t width, height;
    int64_t items;
} fb_inspect_size;

/* An image that could not be read. */
typedef struct fb_inspect_broken {
    int32_t line; /* of metadata.jsonl */
    char message[400];
} fb_inspect_broken;

/* An item of val or test, and one of an earlier split whose image is the same or
 * nearly. */
typedef struct fb_inspect_pair {
    int32_t line, earlier_line;
    char split[8], earlier_split[8];
    char file_name[200], earlier_file_name[200];
    char title[200], earlier_title[200];
    bool same_bytes;
} fb_inspect_pair;

/* Words of one split's titles, and those of them that training titles have. */
typedef struct fb_inspect_words {
    int64_t words, seen, distinct, distinct_seen;
    int64_t titles, titles_seen; /* titles_seen: every word of theirs */
} fb_inspect_words;

/* Regions of a sample of the images: found by a detector, or proposed. Means are over
 * images; NaN where nothing can be said, as of a file of regions without boxes. */
typedef struct fb_inspect_regions {
    char from[200];         /* the region file; or how they were proposed */
    int64_t images, unread; /* images with regions; that could not be read */
    int64_t without;        /* images that the file does not have */
    int64_t regions, whole; /* whole: of them, boxes of 95 % of the image or more */
    fb_spread per_image;    /* regions */
    double per_image_sd;
    double overlap;         /* IoU, of all pairs of an image's regions */
    double near_duplicates; /* share of regions that have another of IoU > .7 */
    double area;            /* share of the image that a region is */
    double body; /* share of regions on head, hair or hands, by their classes */
    /* Of images before a plain background, and without the boxes that are whole: the
     * share of the product that lies in some region, the share of regions that is
     * product, the product's share of the image, and patches with some of the product. */
    int64_t plain;
    double covered, product, product_of_image;
    int32_t patches; /* FashionBERT's of an image: no two overlap, all is covered */
    double patches_with_product; /* share */
    uint8_t *sheet; /* PNG of photos with boxes beside the patch grid; NULL: not asked
                       for; owned */
    size_t sheet_bytes;
} fb_inspect_regions;

/* Regions of an image that the FashionBERT article's detector found, in MS-COCO and in
 * e-commerce photos (Gao et al. 2020, section 1). */
#define FB_ARTICLE_REGIONS_COCO 19.8
#define FB_ARTICLE_REGIONS_SHOP 6.4

enum { FB_INSPECT_SIZES = 8, FB_INSPECT_BROKEN = 20, FB_INSPECT_PAIRS = 24 };

/* "Earlier" is in the order train, val, test for splits, that of the file for items. */
typedef struct fb_inspection {
    int64_t items, split[3];
    int64_t products, titles;        /* distinct */
    char category_level[24];         /* the field that is most specific; "": none */
    fb_inspect_category *categories; /* largest first, "(none)" among them; owned */
    int64_t category_count;
    fb_inspect_field *fields; /* optional ones, as they come up; owned */
    int64_t field_count;
    fb_spread title_words, title_characters;
    int64_t images_read, images_broken, image_bytes;
    int64_t jpeg, png, webp;
    fb_spread width, height;
    fb_inspect_size sizes[FB_INSPECT_SIZES]; /* the most common, first the most */
    int32_t size_count;
    int64_t distinct_sizes;
    fb_inspect_broken broken[FB_INSPECT_BROKEN]; /* the first */
    /* Items whose image has the bytes of an earlier item's; others whose image nearly
     * equals one of other bytes; images too plain to be compared but by bytes. */
    int64_t duplicates, near_duplicates, flat_images;
    /* Items of val and test that repeat one of an earlier split: its product, title,
     * image to the byte, image nearly or to the byte. */
    int64_t products_across_splits, titles_across_splits;
    int64_t duplicates_across_splits, near_duplicates_across_splits;
    int64_t duplicate_titles;                /* items whose title an earlier item has */
    fb_inspect_pair pairs[FB_INSPECT_PAIRS]; /* the first of near_..._across_splits */
    int32_t pair_count;
    int64_t train_words; /* distinct */
    fb_inspect_words val_words, test_words;
    int64_t query_items, queries, composed_items; /* composed: marked so */
    fb_evaluation *floor;        /* NULL unless asked for; owned. By inner product, */
    fb_evaluation *floor_cosine; /* and by cosine, a little harder to beat */
    int64_t floor_train_items, floor_features, floor_words;
    double floor_ridge;
    fb_inspect_regions *regions; /* NULL unless asked for; owned */
    double seconds;
} fb_inspection;

void fb_inspect_options_defaults(fb_inspect_options *options);
fb_status fb_inspect_options_set(fb_context *ctx, fb_inspect_options *options,
                                 const char *name, const char *text);
/* An image that cannot be read is counted and named in the inspection; with floor it is
 * a failure. A row that breaks the rules of metadata.jsonl is a failure. */
fb_status fb_inspect(fb_context *ctx, const fb_inspect_options *options,
                     fb_inspection **inspection);
void fb_inspection_free(fb_inspection *inspection);

/* ---- 11. Bring a catalogue in ---------------------------------------------------- */

/* The formats that import reads: name and what it is. The one list of them; where more
 * than one recognises a source, the first does. */
#define FB_IMPORT_SOURCE_MAP(X)                                                        \
    X(imagefolder, "folder of images, with metadata or by category")                   \
    X(csv, "CSV or TSV file with a header, or a folder with one")                      \
    X(jsonl, "JSON lines, one product each")                                           \
    X(webdataset, "WebDataset tar shards, one or a pattern of them")                   \
    X(fashiongen, "Fashion-Gen's HDF5 files")                                          \
    X(sweethome3d, "Sweet Home 3D furniture, .sh3f or .jar")

/* What can be wrong with a record: name, and what so many records of it are. The one
 * list of them. */
#define FB_RECORD_FAULT_MAP(X)                                                         \
    X(ROW, "row", "that cannot be read")                                               \
    X(TEXT, "text", "with bytes that are not text")                                    \
    X(TITLE, "title", "without a title")                                               \
    X(NO_IMAGE, "no_image", "without an image")                                        \
    X(IMAGE, "image", "whose image cannot be read")                                    \
    X(PATH, "path", "with a path that leaves the folder")                              \
    X(REPEATED, "repeated", "that came before")                                        \
    X(FIELD, "field", "with a field that is not what it must be")

typedef enum fb_record_fault {
    FB_RECORD_GOOD,
#define FB_RECORD_FAULT_ENUM(name, json, text) FB_RECORD_BAD_##name,
    FB_RECORD_FAULT_MAP(FB_RECORD_FAULT_ENUM)
#undef FB_RECORD_FAULT_ENUM
        FB_RECORD_FAULTS
} fb_record_fault;

/* Names of the first so many bad records are told, the others counted. */
enum { FB_IMPORT_NAMED = 20 };

#define FB_IMPORT_SPLIT_SOURCE "source"

typedef struct fb_import_options {
#define FB_OPTION FB_OPTION_MEMBER
#define FB_LIST   FB_LIST_MEMBER
#include "fashionbert/import.def"
    /* Told of each of the first FB_IMPORT_NAMED bad records; NULL: nobody is. */
    void (*notice)(void *notice_self, const char *sentence);
    void *notice_self;
} fb_import_options;

typedef struct fb_import_report {
    int64_t items, skipped, train, val, test;
    int64_t faults[FB_RECORD_FAULTS]; /* of those skipped, by fault */
    int64_t mended;                   /* not quite right, but read */
    int64_t composed;                 /* items whose queries were composed */
    int64_t clicks, clicks_skipped;   /* rows of the click log, kept and bad */
    int64_t duplicates;      /* with the image of an earlier item, to the byte */
    int64_t near_duplicates; /* of the others: that look like another item */
    /* Items in another split than their own key draws, because of a copy there; of
     * those, because of near-duplicates alone. With FB_IMPORT_SPLIT_SOURCE none is
     * moved, and straddling are those that would be. */
    int64_t moved, moved_near, straddling;
    int64_t resized, image_bytes; /* images made smaller; bytes of all kept */
    int64_t resumed;              /* items that a run before had done */
    double seconds, images_per_s; /* of this run and what it did */
    double cpu_seconds;           /* of all threads */
    double decode_seconds;        /* of those: decoding alone */
    double decode_images_per_s;   /* if that were all that the cores had to do */
} fb_import_report;

void fb_import_options_defaults(fb_import_options *options);
fb_status fb_import_options_set(fb_context *ctx, fb_import_options *options,
                                const char *name, const char *text);
/* Read products into a new catalogue folder. Killed, the same call goes on from what
 * was done (OUT.part); failed, nothing is left. Bad records without skip_bad are
 * FB_E_FORMAT once all have been looked at. */
fb_status fb_import(fb_context *ctx, const fb_import_options *options,
                    fb_import_report *report);

/* Features of regions of images, computed elsewhere: bottom-up attention's TSV, numpy's
 * .npy and .npz (docs/formats.md). They become one file, which systems of regions read.
 */
typedef struct fb_import_regions_options {
    const char *const *sources; /* files or patterns of files, in order */
    int32_t source_count;
    FB_REGION_OPTIONS(FB_OPTION_MEMBER) /* option_lists.h: catalog, ids */
    const char *out;                    /* file to make or replace */
    bool skip_bad; /* leave bad images out; else there must be none */
    bool quiet;    /* no progress on stderr */
    /* Told of each of the first FB_IMPORT_NAMED bad images; NULL: nobody is. */
    void (*notice)(void *notice_self, const char *sentence);
    void *notice_self;
} fb_import_regions_options;

typedef struct fb_import_regions_report {
    int64_t images, regions;
    int64_t skipped;  /* bad, and images of the catalogue without regions */
    int64_t missing;  /* of those, the latter */
    int64_t left_out; /* images that are not the catalogue's */
    int32_t most;     /* regions of an image */
    int32_t width;    /* numbers of a region's feature */
    bool boxes;       /* regions have boxes */
    int32_t classes;  /* of the detector, as far as seen; 0: regions have none */
    double seconds;
} fb_import_regions_report;

void fb_import_regions_options_defaults(fb_import_regions_options *options);
/* FB_E_FORMAT: there were bad images without skip_bad, once all have been looked at, or
 * not a single good one. The file appears when it is complete. */
fb_status fb_import_regions(fb_context *ctx, const fb_import_regions_options *options,
                            fb_import_regions_report *report);

/* Such a file without a detector: boxes by selective search in the catalogue's images,
 * features by a model's own image network (docs/systems.md). */
typedef struct fb_import_proposals_options {
    const char *catalog;
    FB_PROPOSAL_OPTIONS(FB_OPTION_MEMBER) /* option_lists.h: proposals, regions_most */
    FB_NETWORK_OPTIONS(FB_OPTION_MEMBER)  /* model, backend, dtype */
    int32_t threads;                      /* 0: every core this process may use */
    const char *out;                      /* file to make or replace */
    bool skip_bad; /* leave images out that cannot be read; else there must be none */
    bool quiet;    /* no progress on stderr */
    /* Told of each of the first FB_IMPORT_NAMED bad images; NULL: nobody is. */
    void (*notice)(void *notice_self, const char *sentence);
    void *notice_self;
} fb_import_proposals_options;

void fb_import_proposals_options_defaults(fb_import_proposals_options *options);
/* FB_E_FORMAT: there were bad images without skip_bad. FB_E_STATE: the model has no
 * image network. The file appears when it is complete. */
fb_status fb_import_proposals(fb_context *ctx,
                              const fb_import_proposals_options *options,
                              fb_import_regions_report *report);

/* ---- 12. Train ------------------------------------------------------------------- */

/* The members, their defaults and what is right for each: fashionbert/train.def, as
 * `fashionbert train --help` shows it. With every option about what or how to learn
 * left at its default, the recipe for the catalogue's size is trained, stage by stage;
 * with all but objective "itc", the stages that make its vectors. */
typedef struct fb_train_options {
#define FB_OPTION FB_OPTION_MEMBER
#include "fashionbert/train.def"
} fb_train_options;

/* The words that `system`, `objective` and `losses` take, place by place; NULL behind the last. */
const char *fb_system_name(int32_t place);
const char *fb_objective_name(int32_t place);
const char *fb_loss_choice(int32_t place);

void fb_train_options_defaults(fb_train_options *options);
fb_status fb_train_options_set(fb_context *ctx, fb_train_options *options,
                               const char *name, const char *text);
/* The image encoders' names one by one, NULL behind the last. */
const char *fb_encoder_name(int32_t place);

enum { FB_TRAIN_MEASURES_MAX = 64 };

/* One of the losses that make up the total. */
typedef struct fb_train_measure {
    const char *name; /* of static lifetime */
    double mean;      /* over the last 100 steps; 0: not trained */
    bool shown;       /* belongs to what was trained, and is not the total itself */
} fb_train_measure;

typedef struct fb_train_report {
    int64_t steps;
    int64_t products;   /* that went by, each time counted */
    int64_t parameters; /* numbers of the model, the image network's among them */
    /* Of the whole run, what was done before a resume too; the processor's are of all
     * threads, with what validation, planning and calibration took. */
    double seconds, processor_seconds;
    double wait_seconds; /* training stood still for data */
    double loss;         /* the total, mean over the last 100 steps */
    /* [measure_count] all losses that a system may have */
    fb_train_measure measures[FB_TRAIN_MEASURES_MAX];
    int32_t measure_count;
    /* What best_val_accuracy is of: "accuracy" of matching, or such as
     * "pointing_accuracy". Of static lifetime. */
    const char *accuracy;
    double best_val_accuracy;
    double chance; /* what guessing reaches of that accuracy; 0: not known */
    int64_t best_step;
} fb_train_report;

/* Train and write a model folder: best weights at its top, the last complete checkpoint
 * in `last/`. Killed at any instant, `resume` goes on to the bit. */
fb_status fb_train(fb_context *ctx, const fb_train_options *options,
                   fb_train_report *report);

/* ---- 13. Compare systems -----------------------------------------------------------
 *
 *     fb_compare_options how;
 *     fb_compare_options_defaults(&how);
 *     how.catalog = "shop";
 *     how.out = "comparison";
 *     fb_comparison *found = NULL;
 *     fb_compare(ctx, &how, &found);
 *     for (int32_t i = 0; i < found->row_count; i++)
 *         printf("%s %.3f\n", found->rows[i].name, found->rows[i].sum_r.mean);
 *     fb_comparison_free(found);
 *
 * Every system learns from one frozen image network's features within one budget, with
 * several seeds, and ranks the same candidates. docs/compare.md
 */

typedef struct fb_compare_options {
#define FB_OPTION FB_OPTION_MEMBER
#include "fashionbert/compare.def"
} fb_compare_options;

/* Over a system's seeds: the mean, and the standard deviation (of a sample, n - 1; NaN
 * of one). Both NaN of none. */
typedef struct fb_mean_sd {
    double mean, sd;
} fb_mean_sd;

typedef struct fb_mean_recall {
    fb_mean_sd r1, r5, r10;
} fb_mean_recall;

/* A statistic's difference from the first row's, and the interval of its paired
 * bootstrap; NaN where there is none. */
typedef struct fb_interval {
    double difference, low, high;
} fb_interval;

/* A system, the linear floor, or a model trained elsewhere. */
typedef struct fb_compare_row {
    char name[128];
    bool trained;       /* here; else a folder was named */
    int32_t seeds;      /* that were trained and ranked */
    int32_t failed;     /* seeds that were not */
    char message[1024]; /* why the first of them was not; "" */
    fb_mean_recall image_to_text, text_to_image;
    fb_mean_sd sum_r, accuracy;
    fb_interval sum_r_against_first;
    /* NaN of a model that does not say. Processor seconds are of all threads. */
    fb_mean_sd train_seconds, processor_seconds, products;
    fb_mean_sd pairs_per_s; /* that evaluation scored, reading images included */
    int64_t parameters;     /* the image network's among them; 0: not known */
} fb_compare_row;

typedef struct fb_comparison {
    fb_compare_row *rows; /* in the order asked for; owned */
    int32_t row_count;
    int32_t failed;            /* trainings and models, of all rows */
    int32_t done, done_before; /* ranked in this call, and before it */
    char features[4096]; /* folder of the shared image network; "": none was needed */
    double features_seconds, features_processor_seconds; /* NaN: trained elsewhere */
    int64_t peak_memory_bytes;                           /* of this process, so far */
} fb_comparison;

void fb_compare_options_defaults(fb_compare_options *options);
fb_status fb_compare_options_set(fb_context *ctx, fb_compare_options *options,
                                 const char *name, const char *text);
/* Train, rank, and write compare.json, compare.csv, compare.tex and report.html into
 * `out`. A system that fails is a row that says why; the others go on. Killed at any
 * instant, the same call goes on; what is done is not done again.
 * FB_E_USAGE   neither a system nor a model folder; a model that scores no pairs
 * FB_E_STATE   `out` was begun with another catalogue or other options */
fb_status fb_compare(fb_context *ctx, const fb_compare_options *options,
                     fb_comparison **comparison);
void fb_comparison_free(fb_comparison *comparison);

/* ---- 14. Measure speed ----------------------------------------------------------- */

typedef struct fb_bench_options {
#define FB_OPTION FB_OPTION_MEMBER
#include "fashionbert/bench.def"
} fb_bench_options;

enum {
    FB_BENCH_OPS = 40,
    FB_BENCH_RUNS = 64,
    FB_BENCH_IMAGES = 2,
    FB_BENCH_REPEATS = 200
};

typedef struct fb_bench_run {
    char encoder[16];
    bool network; /* whether the encoder is one; else raw pixels are projected */
    char system
        [16]; /* of a run on features made before; "": FashionBERT, or no system */
    char preset[16]; /* "": the network alone, mode "features" */
    char mode[12], dtype[8];
    int32_t image_size;
    double pairs_per_s;        /* median of repeats; NaN of features */
    double images_per_s;       /* of features; else NaN */
    double tflops;             /* model FLOPs of the real tokens and images */
    double fraction;           /* of gemm_tflops; of dtype "int8": of gemm_tops */
    int64_t peak_memory_bytes; /* parameters, optimiser and step arena */
    int32_t op_count;
    char op_name[FB_BENCH_OPS][24];
    double op_seconds[FB_BENCH_OPS]; /* a step */
} fb_bench_run;

/* A JPEG [height, width] to pixels [size, size], on one thread. */
typedef struct fb_bench_image {
    int32_t width, height, size;
    int64_t jpeg_bytes;
    double images_per_s; /* decoded and padded; median of repeats */
} fb_bench_image;

typedef struct fb_bench_report {
    char machine[128];
    int32_t threads;
    double gemm_tflops; /* 2048x768x3072, same dtype and threads, median */
    double gemm_tops;   /* the same by int8 products; NaN: dtype is f32 or bf16 */
    int32_t run_count, image_count;
    fb_bench_run runs[FB_BENCH_RUNS];
    fb_bench_image images[FB_BENCH_IMAGES];
} fb_bench_report;

void fb_bench_options_defaults(fb_bench_options *options);
fb_status fb_bench_options_set(fb_context *ctx, fb_bench_options *options,
                               const char *name, const char *text);
fb_status fb_bench(fb_context *ctx, const fb_bench_options *options,
                   fb_bench_report *report);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif

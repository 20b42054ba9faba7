/* http_bodies.c - see http_bodies.h. One table an object; the order of fields is the
 * order in which /openapi.json shows them.
 */
#include "server/http_bodies.h"

#define COUNT(table) (int32_t)(sizeof(table) / sizeof((table)[0]))
#define OBJECT(fields_)                                                                \
    .type = FB_SCHEMA_OBJECT, .fields = fields_, .field_count = COUNT(fields_)

/* ---- leaves ---------------------------------------------------------------------- */

static const fb_schema text = {
    .type = FB_SCHEMA_STRING, .low = 1, .high = FB_MOST_CHARACTERS};
static const fb_schema word = {.type = FB_SCHEMA_STRING, .low = 1, .high = 256};
static const fb_schema any_text = {.type = FB_SCHEMA_STRING};
static const fb_schema image = {.type = FB_SCHEMA_IMAGE};
static const fb_schema flag = {.type = FB_SCHEMA_BOOLEAN};
static const fb_schema hits = {
    .type = FB_SCHEMA_INTEGER, .low = 1, .high = FB_MOST_HITS};
static const fb_schema hits_or_none = {
    .type = FB_SCHEMA_INTEGER, .low = 0, .high = FB_MOST_HITS};
static const fb_schema cosine_span = {.type = FB_SCHEMA_NUMBER, .low = 0, .high = 2};
static const fb_schema share = {.type = FB_SCHEMA_NUMBER, .low = 0, .high = 1};
static const fb_schema part = {
    .type = FB_SCHEMA_STRING, .low = 1, .high = 16, .choices = "image,text"};
static const fb_schema words = {.type = FB_SCHEMA_STRINGS, .low = 1, .high = 256};
static const fb_schema filter = {
    .type = FB_SCHEMA_MAP, .low = 0, .high = 32, .items = &words};
static const fb_schema texts = {
    .type = FB_SCHEMA_ARRAY, .low = 1, .high = FB_MOST_ENTRIES, .items = &text};
static const fb_schema images = {
    .type = FB_SCHEMA_ARRAY, .low = 1, .high = FB_MOST_ENTRIES, .items = &image};
static const fb_schema ids = {
    .type = FB_SCHEMA_ARRAY, .low = 1, .high = FB_MOST_HITS, .items = &word};
static const fb_schema number = {
    .type = FB_SCHEMA_NUMBER, .low = -1e300, .high = 1e300};
static const fb_schema number_or_null = {
    .type = FB_SCHEMA_NUMBER, .low = -1e300, .high = 1e300, .nullable = true};
static const fb_schema share_or_null = {
    .type = FB_SCHEMA_NUMBER, .low = 0, .high = 1, .nullable = true};
static const fb_schema count = {
    .type = FB_SCHEMA_INTEGER, .low = 0, .high = 9007199254740991.0};
static const fb_schema count_or_less = {
    .type = FB_SCHEMA_INTEGER, .low = -1, .high = 9007199254740991.0};
static const fb_schema times = {.type = FB_SCHEMA_MAP, .items = &number};
static const fb_schema text_map = {.type = FB_SCHEMA_MAP, .items = &any_text};
static const fb_schema numbers = {.type = FB_SCHEMA_ARRAY, .items = &number};
static const fb_schema number_rows = {.type = FB_SCHEMA_ARRAY, .items = &numbers};
static const fb_schema shares = {.type = FB_SCHEMA_ARRAY, .items = &share};
static const fb_schema share_rows = {.type = FB_SCHEMA_ARRAY, .items = &shares};

/* ---- requests -------------------------------------------------------------------- */

#define IMAGE_HELP "A JPEG, PNG or WebP image: base64 in JSON, the file in multipart"

static const fb_schema_field search_fields[] = {
    {.name = "text",
     .help = "What is looked for, in words",
     .schema = &text,
     .example = "\"red summer dress\""},
    {.name = "image", .help = IMAGE_HELP, .schema = &image},
    {.name = "k", .help = "Results wanted", .schema = &hits, .otherwise = "10"},
    {.name = "rerank",
     .help = "Re-rank so many of the best by vector with the model itself; 0: none",
     .schema = &hits_or_none,
     .otherwise = "0"},
    {.name = "rerank_margin",
     .help = "Of these, those alone whose similarity is at most so much below the "
             "nearest one's; 2: all",
     .schema = &cosine_span,
     .otherwise = "2"},
    {.name = "filter",
     .help = "Attributes and the value, or one of the values, that a result must have",
     .schema = &filter,
     .example = "{\"colour\": \"Red\"}"},
    {.name = "text_weight",
     .help = "Of the text beside the image, where both are given",
     .schema = &share},
    {.name = "exact",
     .help = "Compare all vectors, whatever the kind of index",
     .schema = &flag,
     .otherwise = "false"},
    {.name = "by",
     .help = "Compare with this part of a product's vector alone",
     .schema = &part},
};
const fb_schema fb_search_request = {OBJECT(search_fields), .name = "SearchRequest",
                                     .any_of = "text,image"};

static const fb_schema_field match_fields[] = {
    {.name = "texts",
     .help = "Each is scored with each image; with queries, the products' titles",
     .schema = &texts,
     .required = true,
     .example = "[\"red summer dress\"]"},
    {.name = "images", .help = IMAGE_HELP, .schema = &images, .required = true},
    {.name = "queries",
     .help = "Only of a model of queries: what was asked. Each is scored with each "
             "product, title 1 with image 1 and so on",
     .schema = &texts},
};
const fb_schema fb_match_request = {OBJECT(match_fields), .name = "MatchRequest"};

static const fb_schema_field rerank_fields[] = {
    {.name = "text",
     .help = "What is looked for, in words",
     .schema = &text,
     .example = "\"red summer dress\""},
    {.name = "image", .help = IMAGE_HELP, .schema = &image},
    {.name = "product_ids",
     .help = "Products of the index to put in order",
     .schema = &ids,
     .required = true,
     .example = "[\"1163\", \"1164\"]"},
    {.name = "k", .help = "Results wanted; absent: all", .schema = &hits},
};
const fb_schema fb_rerank_request = {OBJECT(rerank_fields), .name = "RerankRequest",
                                     .any_of = "text,image"};

static const fb_schema_field encode_fields[] = {
    {.name = "texts",
     .help = "Texts alone give vectors of texts",
     .schema = &texts,
     .example = "[\"red summer dress\"]"},
    {.name = "images",
     .help = IMAGE_HELP ". Images alone give vectors of images; with as many texts, "
                        "vectors of products: title 1 with image 1, and so on",
     .schema = &images},
    {.name = "text_weight", .help = "Of a title beside its image", .schema = &share},
};
const fb_schema fb_encode_request = {OBJECT(encode_fields), .name = "EncodeRequest",
                                     .any_of = "texts,images"};

static const fb_schema_field explain_fields[] = {
    {.name = "text",
     .help = "The words whose match with the image is explained",
     .schema = &text,
     .required = true,
     .example = "\"red summer dress\""},
    {.name = "image", .help = IMAGE_HELP, .schema = &image},
    {.name = "product_id",
     .help = "A product of the index, in place of an image",
     .schema = &word},
};
const fb_schema fb_explain_request = {OBJECT(explain_fields), .name = "ExplainRequest",
                                      .any_of = "image,product_id", .only_one = true};

/* ---- answers --------------------------------------------------------------------- */

static const fb_schema_field hit_fields[] = {
    {.name = "product_id", .help = "", .schema = &any_text, .required = true},
    {.name = "title", .help = "", .schema = &any_text, .required = true},
    {.name = "image",
     .help = "Path of the image in the catalogue",
     .schema = &any_text,
     .required = true},
    {.name = "score",
     .help = "Inner product of the two vectors",
     .schema = &number_or_null,
     .required = true},
    {.name = "rerank_score",
     .help = "Probability of a match; null: not re-ranked",
     .schema = &share_or_null,
     .required = true},
    {.name = "rank",
     .help = "By the vectors alone, from 1",
     .schema = &count,
     .required = true},
    {.name = "attributes",
     .help = "Name and value",
     .schema = &text_map,
     .required = true},
};
static const fb_schema hit = {OBJECT(hit_fields), .name = "Hit"};
static const fb_schema hit_list = {.type = FB_SCHEMA_ARRAY, .items = &hit};

static const fb_schema_field search_answer_fields[] = {
    {.name = "query",
     .help = "The text that was asked; empty where there was none",
     .schema = &any_text,
     .required = true},
    {.name = "query_image",
     .help = "\"upload\", where an image was asked",
     .schema = &any_text},
    {.name = "took_ms",
     .help = "Milliseconds of each stage",
     .schema = &times,
     .required = true},
    {.name = "compared",
     .help = "Products that passed the filter; -1: not counted",
     .schema = &count_or_less,
     .required = true},
    {.name = "rerank_dropped",
     .help = "Products that rerank_margin left out of re-ranking",
     .schema = &count,
     .required = true},
    {.name = "results", .help = "Best first", .schema = &hit_list, .required = true},
};
const fb_schema fb_search_answer = {OBJECT(search_answer_fields),
                                    .name = "SearchAnswer"};

static const fb_schema_field match_answer_fields[] = {
    {.name = "took_ms",
     .help = "Milliseconds of each stage",
     .schema = &times,
     .required = true},
    {.name = "scores",
     .help = "Of each text with each image, a row a text: probabilities of a match; "
             "with queries, of each query with each product, a row a query",
     .schema = &share_rows,
     .required = true},
};
const fb_schema fb_match_answer = {OBJECT(match_answer_fields), .name = "MatchAnswer"};

static const fb_schema_field encode_answer_fields[] = {
    {.name = "took_ms",
     .help = "Milliseconds of each stage",
     .schema = &times,
     .required = true},
    {.name = "vector_size",
     .help = "Numbers of a vector",
     .schema = &count,
     .required = true},
    {.name = "vectors",
     .help = "Of length 1; a row an input",
     .schema = &number_rows,
     .required = true},
};
const fb_schema fb_encode_answer = {OBJECT(encode_answer_fields),
                                    .name = "EncodeAnswer"};

static const fb_schema_field word_fields[] = {
    {.name = "word",
     .help = "As the model reads it: lower case, accents dropped",
     .schema = &any_text,
     .required = true},
    {.name = "tokens",
     .help = "Pieces that it is cut into",
     .schema = &count,
     .required = true},
    {.name = "weight", .help = "", .schema = &number, .required = true},
};
static const fb_schema weighed_word = {OBJECT(word_fields), .name = "Word"};
static const fb_schema word_list = {.type = FB_SCHEMA_ARRAY, .items = &weighed_word};

/* Those of `fashionbert explain --json`. */
static const fb_schema_field explain_answer_fields[] = {
    {.name = "took_ms",
     .help = "Milliseconds of each stage",
     .schema = &times,
     .required = true},
    {.name = "text", .help = "", .schema = &any_text, .required = true},
    {.name = "image",
     .help = "Path of the product's image, or \"upload\"",
     .schema = &any_text,
     .required = true},
    {.name = "method",
     .help = "How the weights were found",
     .schema = &any_text,
     .required = true},
    {.name = "score_kind",
     .help = "tia, itc or both",
     .schema = &any_text,
     .required = true},
    {.name = "probability",
     .help = "Of a match: 1 / (1 + exp(-score))",
     .schema = &share,
     .required = true},
    {.name = "score",
     .help = "What the weights share out",
     .schema = &number,
     .required = true},
    {.name = "without_words",
     .help = "The score with every word masked; the words' weights sum to the "
             "difference, but for the method's error",
     .schema = &number,
     .required = true},
    {.name = "without_image",
     .help = "The score with a blank image; the patches' weights likewise",
     .schema = &number,
     .required = true},
    {.name = "words",
     .help = "In the text's order; a weight above 0 speaks for a match",
     .schema = &word_list,
     .required = true},
    {.name = "words_left_out",
     .help = "Behind the last token that the model takes",
     .schema = &count,
     .required = true},
    {.name = "patches",
     .help = "Weights of the image's patches, row by row from the top",
     .schema = &number_rows,
     .required = true},
    {.name = "photo",
     .help = "The image's left, top, right and bottom edge in the square that the "
             "patches cover, 0 to 1",
     .schema = &shares,
     .required = true},
};
const fb_schema fb_explain_answer = {OBJECT(explain_answer_fields),
                                     .name = "ExplainAnswer"};

static const fb_schema_field product_fields[] = {
    {.name = "product_id", .help = "", .schema = &any_text, .required = true},
    {.name = "title", .help = "", .schema = &any_text, .required = true},
    {.name = "image",
     .help = "Path of the image in the catalogue",
     .schema = &any_text,
     .required = true},
    {.name = "attributes",
     .help = "Name and value",
     .schema = &text_map,
     .required = true},
};
const fb_schema fb_product_answer = {OBJECT(product_fields), .name = "Product"};

static const fb_schema_field value_fields[] = {
    {.name = "value", .help = "", .schema = &any_text, .required = true},
    {.name = "products",
     .help = "How many have it",
     .schema = &count,
     .required = true},
};
static const fb_schema value = {OBJECT(value_fields), .name = "Value"};
static const fb_schema value_list = {.type = FB_SCHEMA_ARRAY, .items = &value};
static const fb_schema_field attribute_fields[] = {
    {.name = "name", .help = "", .schema = &any_text, .required = true},
    {.name = "values",
     .help = "Most frequent first, at most 100",
     .schema = &value_list,
     .required = true},
};
static const fb_schema attribute = {OBJECT(attribute_fields), .name = "Attribute"};
static const fb_schema attribute_list = {.type = FB_SCHEMA_ARRAY, .items = &attribute};
static const fb_schema_field index_fields[] = {
    {.name = "model",
     .help = "Name of the model folder",
     .schema = &any_text,
     .required = true},
    {.name = "products", .help = "", .schema = &count, .required = true},
    {.name = "vector_size", .help = "", .schema = &count, .required = true},
    {.name = "kind",
     .help = "exact, hnsw or ivfpq",
     .schema = &any_text,
     .required = true},
    {.name = "what",
     .help = "What a product's vector is of",
     .schema = &any_text,
     .required = true},
    {.name = "storage",
     .help = "Of vectors: f32, bf16 or int8; vector or halfvec in a database",
     .schema = &any_text,
     .required = true},
    {.name = "attributes",
     .help = "What one can filter by",
     .schema = &attribute_list,
     .required = true},
};
const fb_schema fb_index_answer = {OBJECT(index_fields), .name = "Index"};

static const fb_schema_field health_fields[] = {
    {.name = "status",
     .help = "ok, ready or draining",
     .schema = &any_text,
     .required = true},
};
const fb_schema fb_health_answer = {OBJECT(health_fields), .name = "Health"};

static const fb_schema_field fault_fields[] = {
    {.name = "code",
     .help = "A word for programs",
     .schema = &any_text,
     .required = true},
    {.name = "message",
     .help = "What is wrong, where, and what would be right",
     .schema = &any_text,
     .required = true},
    {.name = "request_id",
     .help = "As in the header X-Request-Id and in the log",
     .schema = &any_text,
     .required = true},
};
static const fb_schema fault = {OBJECT(fault_fields), .name = "Fault"};
static const fb_schema_field error_fields[] = {
    {.name = "error", .help = "", .schema = &fault, .required = true}};
const fb_schema fb_error_answer = {OBJECT(error_fields), .name = "Error"};

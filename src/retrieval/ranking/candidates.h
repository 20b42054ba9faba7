/* candidates.h - which candidates each query is ranked against, in both protocols.
 *
 * A catalogue item is one image and one text that describe the same product. Direction
 * image-to-text: the query is an item's image, candidates are texts of items;
 * text-to-image the other way round. Either way query and candidates are named by their
 * items.
 *
 * sampled   One positive (the query's own item) and up to negative_count negatives of
 *           the same category, subcategory, or of anywhere. Never a negative: an item
 *           of the query's product, with its text, or with its image's bytes. Negatives
 *           may repeat each other's text. A query with fewer than min_candidates such
 *           others is left out and counted. The negatives stand in random order, so the
 *           first of a list is a fair single mismatch (accuracy, AUC).
 * full      Every distinct text (or image) of the split is a document, named by the
 *           first item that has it. See fb_full_pool below.
 *
 * Each list's bits come from (seed, FB_STREAM_EVALUATE, draw, direction, query item),
 * so a query's draw does not depend on the other queries.
 *
 * Layout: lists lie by draw, then direction, then query; a list's negatives are
 * items[offset .. offset + count).
 */
#ifndef FB_RETRIEVAL_RANKING_CANDIDATES_H
#define FB_RETRIEVAL_RANKING_CANDIDATES_H

#include "base/status.h"

typedef enum fb_direction { FB_IMAGE_TO_TEXT, FB_TEXT_TO_IMAGE } fb_direction;
const char *fb_direction_name(fb_direction direction); /* "image_to_text", ... */

typedef enum fb_negative_rule {
    FB_NEGATIVES_CATEGORY,
    FB_NEGATIVES_SUBCATEGORY,
    FB_NEGATIVES_ANY
} fb_negative_rule;
const char *fb_negative_rule_name(fb_negative_rule negatives); /* "category", ... */
/* FB_E_USAGE: another word. */
fb_status fb_negative_rule_parse(fb_context *ctx, fb_negative_rule *negatives,
                                 const char *word);

/* Keys are interned: equal numbers mean the same product, text, image bytes, category.
 * What a catalogue does not name, the caller decides: an item without product_id gets a
 * key of its own; items without a category may share one key. */
typedef struct fb_candidate_item {
    int32_t product, text, image, category, subcategory;
} fb_candidate_item;

typedef struct fb_candidate_options {
    fb_negative_rule negatives;
    int32_t queries;        /* each direction and draw, at most; 0: all */
    int32_t negative_count; /* >= 1 */
    int32_t min_candidates; /* others a query must have, >= 1 */
    int32_t draws;          /* 1 .. FB_CANDIDATE_DRAWS_MAX */
    uint64_t seed;
} fb_candidate_options;

enum { FB_CANDIDATE_DRAWS_MAX = 1000, FB_CANDIDATE_NEGATIVES_MAX = 100000 };

/* ---- sampled ----------------------------------------------------------------------
 */

typedef struct fb_candidate_list {
    int32_t query, positive; /* items; here the same one */
    int64_t offset;
    int32_t count; /* negatives */
} fb_candidate_list;

typedef struct fb_candidate_set {
    fb_candidate_options options;
    int64_t
        left_out; /* items with too few others: the same in each draw and direction */
    fb_candidate_list *lists;
    int64_t list_count, list_capacity;
    int32_t *items;
    int64_t item_count, item_capacity;
    int64_t *group_counts; /* [draws * 2] lists of a draw and direction */
} fb_candidate_set;

/* May a be a negative of b: of another product, with another text and another image. */
bool fb_candidate_may_oppose(const fb_candidate_item *a, const fb_candidate_item *b);
/* Whether the two lie in the same place that negatives come from. */
bool fb_candidate_same_group(const fb_candidate_item *a, const fb_candidate_item *b,
                             fb_negative_rule negatives);

/* Draw all lists. No query with enough others is no error: the set is then empty.
 * FB_E_USAGE: an option is out of range. FB_E_MEMORY. free takes NULL. */
fb_status fb_candidate_set_draw(fb_context *ctx, fb_candidate_set **set,
                                const fb_candidate_item *items, int32_t count,
                                const fb_candidate_options *options);
void fb_candidate_set_free(fb_candidate_set *set);

/* The lists of one draw and direction; borrowed. */
const fb_candidate_list *fb_candidate_set_group(const fb_candidate_set *set,
                                                int32_t draw, fb_direction direction,
                                                int64_t *count);

/* differ[c] is set where a query of category c has, in some draw, other candidates than
 * in the first, or is asked in one of them alone; else it is left. The order of a
 * list's negatives is no difference. FB_E_MEMORY */
fb_status fb_candidate_draws_differ(fb_context *ctx, const fb_candidate_set *set,
                                    const fb_candidate_item *items, bool *differ);
/* Whether the two name the same items; both are sorted in place. */
bool fb_candidate_same_members(int32_t *a, int32_t *b, int32_t count);

/* Build a set by hand, as the reader does: an empty one, then lists in group order. */
fb_status fb_candidate_set_create(fb_context *ctx, fb_candidate_set **set,
                                  const fb_candidate_options *options);
fb_status fb_candidate_set_add(fb_context *ctx, fb_candidate_set *set, int32_t draw,
                               fb_direction direction, int32_t query, int32_t positive,
                               const int32_t *negatives, int32_t count);

/* ---- full -------------------------------------------------------------------------
 */

/* Documents and queries of one direction.
 * image-to-text: documents are the distinct texts, queries the distinct images;
 * text-to-image: documents are the distinct images, queries the distinct texts. */
typedef struct fb_full_pool {
    int32_t *documents; /* the first item that has each document */
    int32_t document_count;
    int32_t *queries; /* the first item that has each query */
    int32_t query_count;
    int32_t *document_of;           /* [items] index into documents */
    const fb_candidate_item *items; /* borrowed */
    int32_t item_count;
} fb_full_pool;

fb_status fb_full_pool_create(fb_context *ctx, fb_full_pool **pool,
                              const fb_candidate_item *items, int32_t count,
                              fb_direction direction);
void fb_full_pool_free(fb_full_pool *pool);

/* What each document is to the query item (enum fb_mark of ranking_metrics.h).
 * hit: an item with the document has the query's product or text. excluded: not a hit,
 * but an item with the document has the query's image bytes. negative: any other. marks
 * [document_count]. */
void fb_full_pool_mark(const fb_full_pool *pool, int32_t query, uint8_t *marks);

#endif

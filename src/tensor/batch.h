/* batch.h - what data/ fills and models/ read: B pairs of texts and images, packed.
 *
 * An image is rows: the P cells of a grid over it, or the regions that a detector found
 * in it, of which each image has its own number. Patch stands for either below, and
 * row for its place among those of all images: image_offsets[image] + p.
 *
 * Each text and each image of the batch lies here once; a pair names its two. The
 * packed sequence of pair b is  [CLS] text [SEP] patches : the rows seq_offsets[b] up
 * to seq_offsets[b+1] of T tokens, end to end, never padded. A batch of items has its
 * texts and images in one order: pair i is text i and image i, and equal ones repeat.
 *
 * In a batch with queries these are texts too, and a pair is any of query, title and
 * image, in this order, each -1 where it has none:
 *
 *     [CLS] query [SEP] title [SEP] patches     a title behind a query leaves its own
 *     [CLS] query [SEP] title [SEP]             [CLS] out
 *     [CLS] query [SEP] patches
 *     [CLS] title [SEP] patches
 *
 *     token_ids, token_positions, token_segments  [text_offsets[texts]]   after masking
 *     text_offsets                 [texts + 1]
 *     text_item, image_item        [texts], [images]  the catalogue item, -1: none
 *     text_group                   [texts]       equal: the same text
 *     image_group                  [images]      equal: the same product or file
 *     pixels                       [images, size, size, 3] u8, as decoded and resized
 *     features                     [rows, F] in place of pixels, where a network that is
 *                                  not trained made them before, or a detector
 *     image_offsets                [images + 1]  rows of image i in features, boxes and
 *                                  patch_masked: image_offsets[i] up to [i + 1]
 *     boxes                        [rows, 4] x1, y1, x2, y2 as shares of the image's
 *                                  width and height; of patches, the cells of the grid;
 *                                  NULL: of regions whose places are not known
 *     region_classes               [rows] of regions, the detector's; NULL: not known
 *     region_scores                [rows] of regions, how sure it was of that, 0 to 1
 *     patch_masked                 [rows]            1: the patch's feature is zeroed
 *     patch_left_out               [rows]            1: no sequence has the patch
 *     pair_text, pair_image, pair_label  [B]         label 1: they match
 *     pair_query                   [B]   NULL: no pair has one
 *     seq_offsets                  [B + 1]
 *     row_source                   [T]   < text tokens: that token; else, less the text
 *                                        tokens, the row of a patch
 *     mlm_rows, mlm_targets        [mlm_count]  packed row; original token id
 *     mpm_rows, mpm_patches        [mpm_count]  packed row; row of a patch
 *     cls_rows                     [B]          packed row of each pair's [CLS]
 *
 * Token segments are 0 for titles; with queries 0 for these and 1 for titles. Memory
 * belongs to the batch; capacity only grows.
 */
#ifndef FB_TENSOR_BATCH_H
#define FB_TENSOR_BATCH_H

#include "base/status.h"
#include "tensor/bf16.h"

typedef struct fb_batch {
    int32_t pairs, texts, images;
    int32_t patches;       /* P an image, such as 64; of regions, the most of one */
    int32_t image_size;    /* pixels a side, such as 256 */
    int32_t feature_width; /* F of features; 0: the batch has pixels */
    bool regions;          /* features are of regions */
    int32_t *token_ids, *token_positions, *token_segments, *text_offsets;
    int32_t *text_item, *text_group, *image_item, *image_group;
    uint8_t *pixels, *patch_masked;
    const uint8_t *patch_left_out; /* NULL: no patch is */
    fb_bf16 *features;
    int32_t *image_offsets;
    float *boxes;
    int32_t *region_classes;
    float *region_scores;
    int32_t *pair_text, *pair_image, *pair_label, *pair_query;
    int32_t *seq_offsets, *row_source, *cls_rows;
    int32_t mlm_count, mpm_count;
    int32_t *mlm_rows, *mlm_targets, *mpm_rows, *mpm_patches;
    int64_t fallbacks; /* negatives that came from a level above their category */
    struct fb_batch_store *store;
} fb_batch;

typedef struct fb_batch_limits {
    int32_t pairs, texts, images, text_tokens, patches, image_size;
} fb_batch_limits;

/* Room for at most `limits`; sequence rows and masks are sized from them: every pair
 * may use the longest text (text_tokens is the total over texts; longest_text the most
 * of one, with queries the most of a query and a title together).
 */
fb_status fb_batch_create(fb_context *ctx, fb_batch **batch,
                          const fb_batch_limits *limits, int32_t longest_text);
/* The same with features of `feature_width` numbers a patch in place of pixels. */
fb_status fb_batch_create_features(fb_context *ctx, fb_batch **batch,
                                   const fb_batch_limits *limits, int32_t longest_text,
                                   int32_t feature_width);
/* The same with regions, at most limits->patches an image: F, and what is known of them
 * beside their features. */
typedef struct fb_region_kind {
    int32_t width; /* F */
    bool boxes, classes;
} fb_region_kind;
fb_status fb_batch_create_regions(fb_context *ctx, fb_batch **batch,
                                  const fb_batch_limits *limits, int32_t longest_text,
                                  const fb_region_kind *kind);
/* Give an empty batch pair_query. */
fb_status fb_batch_add_queries(fb_context *ctx, fb_batch *batch,
                               const fb_batch_limits *limits);
void fb_batch_free(fb_batch *batch);

/* From texts, images and pairs (all set), fill seq_offsets, row_source and cls_rows. */
void fb_batch_pack(fb_batch *batch);
/* The pair in whose sequence the packed row is. */
int32_t fb_batch_pair_of(const fb_batch *batch, int32_t row);

/* Horizontal flip, in place, of each of the lines [size, 3] of pixels. */
void fb_pixels_mirror(uint8_t *pixels, int64_t lines, int32_t size);

static inline int32_t fb_batch_text_tokens(const fb_batch *b)
{
    return b->text_offsets[b->texts];
}
static inline int32_t fb_batch_tokens(const fb_batch *b) /* T */
{
    return b->seq_offsets[b->pairs];
}
/* Rows of all images, and of one. */
static inline int32_t fb_batch_rows(const fb_batch *b)
{
    return b->image_offsets[b->images];
}
static inline int32_t fb_batch_image_rows(const fb_batch *b, int32_t image)
{
    return b->image_offsets[image + 1] - b->image_offsets[image];
}

/* ---- batches of given pairs, unmasked -----------------------------------------------
 */

/* Forget texts, images and pairs; then add; then fb_batch_pack. The batch must have
 * room. */
void fb_batch_clear(fb_batch *batch);
/* Returns the text's number in the batch. Ids with [CLS] and [SEP]. In a batch with
 * queries the text is a title or a query, and is laid out as
 *
 *     [CLS] w1 w2 .. [SEP]     positions 0 1 2 .. 0     segments 0 (query) or 1 (title)
 */
int32_t fb_batch_add_text(fb_batch *batch, const int32_t *ids, int32_t count);
/* Only of a batch with queries. */
int32_t fb_batch_add_query(fb_batch *batch, const int32_t *ids, int32_t count);
/* Returns the image's number; the caller writes its pixels, or its features from row
 * image_offsets[number] on. Not of a batch of regions. */
int32_t fb_batch_add_image(fb_batch *batch);
/* The regions of one image; what the batch does not keep of them is not looked at. */
typedef struct fb_regions {
    int32_t count;           /* n, 1 up to batch->patches */
    const fb_bf16 *features; /* [n, F] */
    const float *boxes;      /* [n, 4] */
    const int32_t *classes;  /* [n] */
    const float *scores;     /* [n] */
} fb_regions;
int32_t fb_batch_add_regions(fb_batch *batch, const fb_regions *regions);
/* Each of the three is -1 where the pair has none; a query always in a batch without
 * queries. */
void fb_batch_add_pair(fb_batch *batch, int32_t query, int32_t text, int32_t image,
                       int32_t label);
/* Pixels [size, size, 3] of an image of the batch. */
uint8_t *fb_batch_pixels(fb_batch *batch, int32_t image);

#endif

/* catalogue.h - an imagefolder catalogue: a folder with metadata.jsonl and images.
 *
 * metadata.jsonl has one JSON object a line:
 *
 *     file_name    required; an image below the folder ("images/17.jpg")
 *     title        required; not blank
 *     product_id   string or whole number; absent: the file_name
 *     split        "train" (also when absent), "val" (also "validation") or "test"
 *     category, subcategory, master_category, description   strings
 *     queries      a string or an array of strings
 *     anything else is kept as an attribute, as a string; null counts as absent
 *
 * Category levels. Shops do not agree on which of the three names is the finest, so the
 * levels are ordered by what is in them: the one with the most distinct values first,
 * level 0 being the most specific; equal numbers keep the order subcategory, category,
 * master_category. A level that no row has does not exist.
 *
 * Keys are small numbers that are equal exactly when the things are:
 *     product   product_id
 *     text      the title, lower-cased, each run of white space as one space, trimmed
 *     image     64 bits over the file's bytes, read when first asked for (or over its
 *               name: files_may_lack)
 *
 * Once open, a catalogue does not change (but for its memory of image keys, which any
 * number of threads may ask for at once).
 */
#ifndef FB_DATA_CATALOGUE_CATALOGUE_H
#define FB_DATA_CATALOGUE_CATALOGUE_H

#include "base/status.h"

typedef enum fb_split { FB_SPLIT_TRAIN, FB_SPLIT_VAL, FB_SPLIT_TEST } fb_split;
enum { FB_SPLITS = 3, FB_CATEGORY_LEVELS = 3 };

#define FB_METADATA_LINE_BYTES_MAX (1 << 20)
#define FB_METADATA_LINES_MAX      50000000

typedef struct fb_catalogue_item {
    const char *file_name, *product_id, *title;
    const char *description; /* "" when absent */
    const char *const *queries;
    const char *const *attributes; /* [attribute_count, 2] name, value */
    int32_t query_count, attribute_count;
    int32_t line; /* in metadata.jsonl, from 1 */
    fb_split split;
    int32_t product, text;                /* keys */
    int32_t category[FB_CATEGORY_LEVELS]; /* key at each level; -1: the row has none */
} fb_catalogue_item;

typedef struct fb_catalogue fb_catalogue;

typedef struct fb_catalogue_options {
    bool skip_file_check; /* do not look whether every image file is there */
    bool files_may_lack;  /* likewise; the key of an image without one is of its name */
} fb_catalogue_options;

/* options may be NULL.
 * FB_E_MISSING  no metadata.jsonl, or a row's image file is not there
 * FB_E_FORMAT   a row breaks a rule above, or there is no row at all
 * FB_E_LIMIT    a line past FB_METADATA_LINE_BYTES_MAX, or too many lines
 * FB_E_IO, FB_E_MEMORY.  Sentences begin "FOLDER/metadata.jsonl:LINE:". */
fb_status fb_catalogue_open(fb_context *ctx, fb_catalogue **catalogue,
                            const char *folder, const fb_catalogue_options *options);
void fb_catalogue_close(fb_catalogue *catalogue);

const char *fb_catalogue_folder(const fb_catalogue *catalogue);
int32_t fb_catalogue_count(const fb_catalogue *catalogue);
const fb_catalogue_item *fb_catalogue_get(const fb_catalogue *catalogue, int32_t item);

/* The items of a split, in file order. */
const int32_t *fb_catalogue_split_items(const fb_catalogue *catalogue, fb_split split,
                                        int32_t *count);
const char *fb_split_name(fb_split split);
fb_status fb_split_parse(fb_context *ctx, const char *text, fb_split *split);

int32_t fb_catalogue_levels(const fb_catalogue *catalogue);
/* "category" and so on */
const char *fb_catalogue_level_name(const fb_catalogue *catalogue, int32_t level);
int32_t fb_catalogue_category_count(const fb_catalogue *catalogue, int32_t level);
const char *fb_catalogue_category_name(const fb_catalogue *catalogue, int32_t level,
                                       int32_t key);

int32_t fb_catalogue_products(const fb_catalogue *catalogue); /* distinct keys */
int32_t fb_catalogue_texts(const fb_catalogue *catalogue);

/* The value of an attribute, NULL when the item lacks it. */
const char *fb_catalogue_attribute(const fb_catalogue_item *item, const char *name);

/* 64 bits over every item's file name, product id, title and split. */
uint64_t fb_catalogue_fingerprint(const fb_catalogue *catalogue);

fb_status fb_catalogue_image_path(fb_context *ctx, const fb_catalogue *catalogue,
                                  int32_t item, char out[4096]);
/* Two items have the same image when their keys are equal. Reads the file the first
 * time (FB_E_MISSING, FB_E_IO, FB_E_LIMIT). */
fb_status fb_catalogue_image_key(fb_context *ctx, const fb_catalogue *catalogue,
                                 int32_t item, uint64_t *key);

#endif

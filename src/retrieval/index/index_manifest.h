/* index_manifest.h - index.json: which files make an index, and of what they are.
 *
 *     index/
 *       index.json               this; replaced in one step, it makes the index
 *       NNNNNN.products          product_table.h
 *       NNNNNN.vectors.npy       [rows, D], unit rows: what a search compares
 *       NNNNNN.image.npy         [rows, D], the image's part of a product's vector
 *       NNNNNN.text.npy          [rows, D], the title's
 *       NNNNNN.vectors-rests.npy, .vectors-scales.npy, and of image and text
 *       NNNNNN.graph             FAISS's own file of an approximate index
 *       NNNNNN.kept.npy          u8 [rows, S, S, 3] pixels or u16 [rows, P, F] features
 *       NNNNNN.sums.npy          u64 [rows] checksum of each row of kept
 *       NNNNNN.deleted-GGGGGG.npy   u8 [(rows + 7) / 8], bit n: row n is deleted
 *
 * Vectors are f32, bf16 (as u16), or s8 with rests (s8 [rows, D]) and scales (f32
 * [rows]) beside them: stored_vectors.h.
 *
 * A segment is the files of one number. They never change: what is added comes as a new
 * segment, what is deleted as a new file of bits, and the next index.json names it.
 */
#ifndef FB_RETRIEVAL_INDEX_INDEX_MANIFEST_H
#define FB_RETRIEVAL_INDEX_INDEX_MANIFEST_H

#include "retrieval/index/stored_vectors.h"

/* The files of a segment: name and suffix. Rests and scales follow their vectors. */
#define FB_INDEX_FILE_MAP(X)                                                           \
    X(PRODUCTS, "products", "products")                                                \
    X(VECTORS, "vectors", "vectors.npy")                                               \
    X(VECTORS_RESTS, "vectors_rests", "vectors-rests.npy")                             \
    X(VECTORS_SCALES, "vectors_scales", "vectors-scales.npy")                          \
    X(IMAGE, "image", "image.npy")                                                     \
    X(IMAGE_RESTS, "image_rests", "image-rests.npy")                                   \
    X(IMAGE_SCALES, "image_scales", "image-scales.npy")                                \
    X(TEXT, "text", "text.npy")                                                        \
    X(TEXT_RESTS, "text_rests", "text-rests.npy")                                      \
    X(TEXT_SCALES, "text_scales", "text-scales.npy")                                   \
    X(GRAPH, "graph", "graph")                                                         \
    X(KEPT, "kept", "kept.npy")                                                        \
    X(SUMS, "sums", "sums.npy")                                                        \
    X(DELETED, "deleted", "deleted")

typedef enum fb_index_file {
#define FB_INDEX_FILE_ENUM(name, key, suffix) FB_INDEX_##name,
    FB_INDEX_FILE_MAP(FB_INDEX_FILE_ENUM)
#undef FB_INDEX_FILE_ENUM
        FB_INDEX_FILES
} fb_index_file;

enum { FB_INDEX_SEGMENTS = 64, FB_INDEX_WIDTH = FB_STORED_WIDTH };

typedef struct fb_index_part {
    bool present;
    int64_t size_bytes;
    uint64_t checksum;
} fb_index_part;

typedef struct fb_segment_entry {
    int32_t number;
    int32_t deleted_generation; /* in the name of its deleted bits */
    int64_t rows, deleted;
    char catalog[4096]; /* folder of its images, absolute */
    fb_index_part file[FB_INDEX_FILES];
} fb_segment_entry;

typedef enum fb_index_kind {
    FB_INDEX_EXACT,
    FB_INDEX_HNSW,
    FB_INDEX_IVFPQ
} fb_index_kind;
typedef enum fb_index_what { FB_OF_PRODUCT, FB_OF_IMAGE, FB_OF_TEXT } fb_index_what;
typedef enum fb_index_keep {
    FB_KEEP_NONE,
    FB_KEEP_PIXELS,
    FB_KEEP_FEATURES
} fb_index_keep;

typedef struct fb_index_manifest {
    int32_t generation; /* of this index.json, from 1 */
    int32_t next;       /* number of the next segment */
    fb_index_kind kind;
    fb_index_what what;
    fb_index_keep keep;
    fb_storage storage; /* of all vectors */
    double text_weight;
    int32_t width;        /* D */
    uint64_t fingerprint; /* of the model; 0: none */
    char model[4096];     /* its folder when the index was made; for people */
    int32_t kept_dims[3]; /* S, S, 3 or P, F, 0; with keep */
    int32_t effort;       /* of approximate searches, unless told; 0: exact */
    double recall10;      /* at that effort, when built; NaN: exact */
    int32_t segment_count;
    fb_segment_entry segment[FB_INDEX_SEGMENTS];
} fb_index_manifest;

const char *fb_index_kind_name(fb_index_kind kind); /* "exact", "hnsw", "ivfpq" */
const char *fb_index_what_name(fb_index_what what); /* "product", "image", "text" */
const char *fb_index_keep_name(fb_index_keep keep); /* "none", "pixels", "features" */
const char *fb_storage_name(fb_storage storage);    /* "f32", "bf16", "int8" */
/* Each takes one of these words; FB_E_USAGE names `option` and the right ones. */
fb_status fb_index_kind_parse(fb_context *ctx, const char *option, const char *word,
                              fb_index_kind *kind);
fb_status fb_index_what_parse(fb_context *ctx, const char *option, const char *word,
                              fb_index_what *what);
fb_status fb_index_keep_parse(fb_context *ctx, const char *option, const char *word,
                              fb_index_keep *keep);
fb_status fb_storage_parse(fb_context *ctx, const char *option, const char *word,
                           fb_storage *storage);

/* All zero but the names; malloc'ed, it is large. NULL: memory is out. */
fb_index_manifest *fb_index_manifest_create(void);

/* index.json of a folder. FB_E_MISSING: none there; FB_E_FORMAT: not one, or a value
 * out of range. The manifest is as it was after a failure. */
fb_status fb_index_manifest_read(fb_context *ctx, fb_index_manifest *manifest,
                                 const char *folder);
/* The same over bytes; `name` is for messages. */
fb_status fb_index_manifest_parse(fb_context *ctx, fb_index_manifest *manifest,
                                  const char *name, const char *text,
                                  size_t size_bytes);
/* Replaces index.json in one step. */
fb_status fb_index_manifest_write(fb_context *ctx, const fb_index_manifest *manifest,
                                  const char *folder);

/* "000001.vectors.npy" of an entry, with its folder. */
fb_status fb_index_file_path(fb_context *ctx, char out[4096], const char *folder,
                             const fb_segment_entry *entry, fb_index_file file);

/* Bytes of a row of what is kept. */
size_t fb_index_kept_bytes(const fb_index_manifest *manifest);

#endif

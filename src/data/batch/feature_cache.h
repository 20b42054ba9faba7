/* feature_cache.h - patch features of a catalogue's images, computed once by a network
 * that is not trained, in a file that is mapped.
 *
 *     0       144 bytes            header: what the features are of, rows of a block,
 *                                  checksum of all that
 *     4096    u64 [blocks]         checksum of each block of rows
 *     ...     bf16 [rows, P, F]    from the next multiple of 4096 on
 *
 * A row is an image of the train or val split, in the catalogue's order
 * (feature_rows.h). Numbers are little-endian, as are the machines we build for. Such a
 * file is written by feature_writer.h.
 */
#ifndef FB_DATA_BATCH_FEATURE_CACHE_H
#define FB_DATA_BATCH_FEATURE_CACHE_H

#include "base/file.h"
#include "tensor/bf16.h"

/* All that features depend on. */
typedef struct fb_feature_key {
    char encoder[24];         /* its name, 0 behind it */
    int32_t each;             /* 1: every patch run alone */
    int32_t image_size, grid; /* pixels a side, patches a side */
    int32_t squash;           /* 1: fitted by squashing; 0: padded */
    int32_t bf16;             /* 1: computed in bf16; 0: in f32 */
    int32_t rows, patches, features;
    double mean[3], std[3];
    uint64_t weights; /* over the network's tensors */
    uint64_t images;  /* over the catalogue, feature_rows.h */
} fb_feature_key;

typedef struct fb_feature_cache fb_feature_cache;

/* key NULL: whatever it is of.
 * FB_E_MISSING  no such file
 * FB_E_FORMAT   not a feature cache, damaged, or cut short
 * FB_E_STATE    of another encoder, pre-processing or catalogue; says what differs */
fb_status fb_feature_cache_open(fb_context *ctx, fb_feature_cache **cache,
                                const char *path, const fb_feature_key *key);
/* The same over bytes that outlive it; `name` is for messages. */
fb_status fb_feature_cache_parse(fb_context *ctx, fb_feature_cache **cache,
                                 const char *name, const uint8_t *bytes,
                                 size_t size_bytes, const fb_feature_key *key);
void fb_feature_cache_close(fb_feature_cache *cache);

int32_t fb_feature_cache_rows(const fb_feature_cache *cache);
size_t fb_feature_cache_row_bytes(const fb_feature_cache *cache);
/* [P, F] of a row. */
const fb_bf16 *fb_feature_cache_row(const fb_feature_cache *cache, int32_t row);

/* ---- the file's frame, for the writer ------------------------------------------- */

typedef struct fb_feature_header {
    char magic[8];
    int32_t rows, patches, features,
        block; /* block: rows of one, the last may be less */
    int32_t image_size, grid, each, squash, bf16, zero;
    char encoder[24];
    double mean[3], std[3];
    uint64_t weights, images;
    uint64_t checksum; /* of the bytes before it */
} fb_feature_header;

enum { FB_FEATURE_SUMS_AT = 4096 };

typedef struct fb_feature_layout {
    int32_t blocks;
    size_t row_bytes, data_at, size_bytes;
} fb_feature_layout;

void fb_feature_header_make(fb_feature_header *header, const fb_feature_key *key,
                            int32_t block);
/* FB_E_FORMAT: no header, damaged, or out of range. bytes [size_bytes], the file's
 * first. */
fb_status fb_feature_header_read(fb_context *ctx, fb_feature_header *header,
                                 const char *name, const uint8_t *bytes,
                                 size_t size_bytes);
/* FB_E_STATE names what differs from what is wanted. */
fb_status fb_feature_header_match(fb_context *ctx, const char *name,
                                  const fb_feature_header *header,
                                  const fb_feature_key *key);
fb_feature_layout fb_feature_header_layout(const fb_feature_header *header);
/* Checksum of block number `block`; never 0. */
uint64_t fb_feature_block_sum(int32_t block, const void *bytes, size_t size_bytes);

#endif

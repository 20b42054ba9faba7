/* index_store.h - an index folder opened: its segments mapped and checked. What
 * fashionbert.h calls fb_index.
 *
 *     row of the index = segment.first + row of the segment
 *
 * Nothing here changes once it is open, so any number of threads may read it.
 */
#ifndef FB_RETRIEVAL_INDEX_INDEX_STORE_H
#define FB_RETRIEVAL_INDEX_INDEX_STORE_H

#include "backend/backend.h"
#include "base/file.h"
#include "fashionbert.h"
#include "retrieval/index/faiss_shim.h"
#include "retrieval/index/index_manifest.h"
#include "retrieval/index/product_table.h"

typedef struct fb_segment {
    const fb_segment_entry *entry;
    fb_product_table *products;
    fb_map map[FB_INDEX_FILES]; /* of the others that are there */
    fb_stored vectors;          /* [rows, D] */
    fb_stored image, text;      /* [rows, D]; none: not kept apart */
    const uint8_t *kept;        /* [rows, bytes of a row]; NULL: nothing is */
    const uint64_t *sums;       /* [rows] */
    const uint8_t *alive;       /* bits of rows that are not deleted; NULL: all */
    fb_ann *ann;                /* NULL: searched exactly */
    int64_t first, rows;
} fb_segment;

typedef struct fb_product_store fb_product_store;

/* Products that lie elsewhere than in segments, such as in a database (postgres/): how
 * fb_index_search, fb_index_find and fb_index_values do what they promise. Filters and
 * k have been checked; `wanted` is how many are retrieved. */
struct fb_product_store {
    void (*close)(fb_product_store *store);
    fb_status (*search)(fb_context *ctx, const fb_index *index, const float *vector,
                        const fb_search_options *options, int64_t wanted,
                        fb_search_result **result);
    fb_status (*find)(fb_context *ctx, const fb_index *index, const char *product_id,
                      fb_search_result **result);
    fb_status (*values)(fb_context *ctx, const fb_index *index, const char *attribute,
                        int32_t limit, const char *const **values,
                        const int64_t **counts, int32_t *count);
};

struct fb_index {
    char folder[4096];
    fb_index_manifest manifest;
    fb_backend *be; /* f32, lends products of rows */
    fb_segment segment[FB_INDEX_SEGMENTS];
    int32_t segment_count;
    int64_t rows, products; /* with deleted ones; distinct and alive */
    fb_arena *arena;        /* of what info points at, and alive bits */
    fb_index_info info;
    fb_product_store *store; /* not NULL: the products lie there, and there is no
                                segment; owned */
};

/* Open and check every file but what is kept of images, whose rows are checked as they
 * are read. threads of a search; 0: all. Failures as fb_index_open. */
fb_status fb_index_load(fb_context *ctx, fb_index **index, const char *folder,
                        int32_t threads);
void fb_index_unload(fb_index *index);

/* One segment of an index that is not open as a whole, and its end. `segment` must be
 * closed after a failure too. be computes in its graph's searches and outlives it;
 * NULL: its graph stays closed. */
fb_status fb_segment_open(fb_context *ctx, fb_segment *segment, const char *folder,
                          const fb_index_manifest *manifest,
                          const fb_segment_entry *entry, const fb_backend *be,
                          fb_arena *arena);
void fb_segment_close(fb_segment *segment);

static inline bool fb_segment_is_alive(const fb_segment *s, int64_t row)
{
    return !s->alive || (s->alive[row >> 3] >> (row & 7) & 1);
}

/* Whether its files are still those that were opened. FB_E_IO: one was cut or written over. */
fb_status fb_index_check_files(fb_context *ctx, const fb_index *index);

/* The segment of a row of the index, and *row made its own. */
const fb_segment *fb_index_segment_of(const fb_index *index, int64_t *row);

/* The first alive row of a product id, -1: none. */
int64_t fb_index_find_row(const fb_index *index, const char *product_id);

/* What is kept of a row's image. FB_E_FORMAT: its checksum is wrong. */
fb_status fb_index_kept_row(fb_context *ctx, const fb_index *index, int64_t row,
                            const uint8_t **kept);

#endif

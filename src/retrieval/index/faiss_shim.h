/* faiss_shim.h - approximate nearest neighbours by inner product: FAISS's HNSW graph
 * (Malkov & Yashunin 2016) and IVF-PQ, inverted lists with product quantisation (Jegou
 * et al. 2011), behind functions of C.
 *
 *     faiss_shim.cpp         where the library is there when the program is built
 *     faiss_shim_missing.c   elsewhere: nothing is available, and says so
 *
 * Rows are numbered from 0 as they came. One that is open is searched by any number of
 * threads at once. The file is FAISS's own (faiss::write_index); it must come from
 * where we wrote it: its checksum is looked at before it is read. A graph's file holds
 * links alone, and the vectors are read where the index stores them; files that hold
 * f32 vectors too, as they did first, are searched as they are.
 */
#ifndef FB_RETRIEVAL_INDEX_FAISS_SHIM_H
#define FB_RETRIEVAL_INDEX_FAISS_SHIM_H

#include "retrieval/index/stored_vectors.h"

typedef struct fb_ann fb_ann;

typedef enum fb_ann_kind { FB_ANN_HNSW, FB_ANN_IVFPQ } fb_ann_kind;

bool fb_ann_available(void);

/* Of unit rows, on so many threads, at least 1. rows' arrays and be are borrowed by a graph
 * for as long as it is open.
 * FB_E_STATE: not available. FB_E_BACKEND: FAISS says what. FB_E_LIMIT: too few rows to
 * learn inverted lists. */
fb_status fb_ann_build(fb_context *ctx, fb_ann **ann, fb_ann_kind kind,
                       const struct fb_backend *be, const fb_stored *rows,
                       int32_t threads);
/* Nobody searches it meanwhile. */
fb_status fb_ann_write(fb_context *ctx, const fb_ann *ann, const char *path);
/* FB_E_FORMAT: not such an index of so many rows of that width. */
fb_status fb_ann_open(fb_context *ctx, fb_ann **ann, const char *path, fb_ann_kind kind,
                      const struct fb_backend *be, const fb_stored *rows);
void fb_ann_close(fb_ann *ann);

/* The k nearest, best first, into found [k]; behind the last one -1. allowed: bits of
 * rows as in exact_search.h; NULL: all. effort: efSearch or nprobe. On this thread. */
fb_status fb_ann_search(fb_context *ctx, const fb_ann *ann, const float *query,
                        int32_t k, int32_t effort, const uint8_t *allowed,
                        int64_t *found);

#endif

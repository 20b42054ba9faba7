/* index_tune.h - how much of the exact answer an approximate index finds, and with how
 * much effort.
 *
 *     recall@10 = mean over queries of |found 10 and exact 10| / 10
 *
 * The effort (efSearch, nprobe) is doubled from its least until recall@10 reaches
 * FB_RECALL_WANTED or the most is reached.
 */
#ifndef FB_RETRIEVAL_INDEX_INDEX_TUNE_H
#define FB_RETRIEVAL_INDEX_INDEX_TUNE_H

#include "backend/backend.h"
#include "retrieval/index/exact_search.h"
#include "retrieval/index/faiss_shim.h"

#define FB_RECALL_WANTED 0.99
enum { FB_RECALL_QUERIES = 1000, FB_EFFORT_LEAST = 16, FB_EFFORT_MOST = 2048 };

/* What the graph's answer is widened by before rows are compared exactly: product codes
 * are coarse. */
int32_t fb_ann_wanted(fb_ann_kind kind, int32_t k);

/* An approximate index, the vectors that it holds, and those to search it for. */
typedef struct fb_index_probe {
    const fb_ann *ann;
    fb_ann_kind kind;
    fb_vectors vectors, queries;
} fb_index_probe;

/* *effort is raised, never lowered; *recall10 is what it gives. */
fb_status fb_index_tune(fb_context *ctx, const fb_backend *be,
                        const fb_index_probe *probe, int32_t *effort, double *recall10);

#endif

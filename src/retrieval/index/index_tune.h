/* index_tune.h - how much of the exact answer an approximate index finds, and with how
 * much effort.
 *
 *     recall@10 = mean over queries of |found 10 and exact 10| / 10
 *
 * A query that was made of a row of the index would find that row at once: its own row
 * is left out of both tens.
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

/* What the graph's answer is widened by before rows are compared by all that is stored:
 * a graph over int8 is followed by the codes alone, and product codes are coarse. */
int32_t fb_ann_wanted(fb_ann_kind kind, fb_storage storage, int32_t k);

/* An approximate index, the vectors that it holds, and those to search it for. */
typedef struct fb_index_probe {
    const fb_ann *ann;
    fb_ann_kind kind;
    const fb_stored *vectors;
    fb_vectors queries;
    const int64_t *own; /* [queries] the row that each was made of; NULL: none was */
} fb_index_probe;

/* *effort is raised, never lowered; *recall10 is what it gives. */
fb_status fb_index_tune(fb_context *ctx, const fb_backend *be,
                        const fb_index_probe *probe, int32_t *effort, double *recall10);

#endif

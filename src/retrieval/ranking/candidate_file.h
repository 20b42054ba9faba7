/* candidate_file.h - candidate lists on disk, so that two systems rank the same pools.
 *
 * JSON lines. The first is the header, then one line a query, by draw, then direction:
 *
 *   {"format":"fashionbert-candidates","version":1,"protocol":"sampled",
 *    "negatives":"category","queries":0,"negative_count":100,"min_candidates":9,
 *    "draws":5,"seed":1,"split":"test","items":1413,"catalog":"89abcdef01234567",
 *    "left_out":136,"lists":12770}
 *   {"draw":0,"direction":"image_to_text","query":"images/1.jpg",
 *    "positive":"images/1.jpg","negatives":["images/7.jpg","images/9.jpg"]}
 *
 * (each on one line). Items are named by their file_name. `seed` above 2^63 - 1 is
 * written as the negative number of the same 64 bits. `catalog` is
 * fb_candidate_fingerprint.
 *
 * A file is read back only for the catalogue and split that it was written for, and
 * every list is checked again: known items, no repeats, the positive is of the query's
 * product or text, no negative shares the query's product, text or image, all from the
 * group that the header names, between min_candidates and negative_count of them.
 */
#ifndef FB_RETRIEVAL_RANKING_CANDIDATE_FILE_H
#define FB_RETRIEVAL_RANKING_CANDIDATE_FILE_H

#include "retrieval/ranking/candidates.h"

/* The items of one split, as the file names them; all borrowed. */
typedef struct fb_candidate_catalog {
    const fb_candidate_item *items; /* [count] */
    const char *const *ids;         /* [count] file names, each once */
    int32_t count;
    const char *split;
    uint64_t fingerprint;
} fb_candidate_catalog;

/* A hash of every item's id, product id and text, and of their order. */
uint64_t fb_candidate_fingerprint(const char *const *ids,
                                  const char *const *product_ids,
                                  const char *const *texts, int32_t count);

/* Write `path` in one step: killed at any instant, the old file or the new one is
 * there. FB_E_IO: it could not be written, the old one is untouched. */
fb_status fb_candidate_set_write(fb_context *ctx, const fb_candidate_set *set,
                                 const char *path, const fb_candidate_catalog *catalog);

/* Read `path`. `expected`, unless NULL, must equal the header's options: a run asked
 * for seed 1 must not quietly use a file of seed 2. Every failure names path and line.
 * FB_E_IO, FB_E_MISSING  the file cannot be read
 * FB_E_STATE             of another catalogue, split, or other options than expected
 * FB_E_FORMAT            not a candidate file, cut short, or a list breaks a rule above
 * FB_E_LIMIT             a line is longer than 16 MiB
 * FB_E_MEMORY */
fb_status fb_candidate_set_read(fb_context *ctx, fb_candidate_set **set,
                                const char *path, const fb_candidate_catalog *catalog,
                                const fb_candidate_options *expected);

/* The same from memory; `name` is what failures call it. */
fb_status fb_candidate_set_parse(fb_context *ctx, fb_candidate_set **set,
                                 const char *name, const char *text, size_t size_bytes,
                                 const fb_candidate_catalog *catalog,
                                 const fb_candidate_options *expected);

#endif

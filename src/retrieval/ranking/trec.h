/* trec.h - rankings for trec_eval, pytrec_eval and ranx: a run and its qrels.
 *
 *     run     qid Q0 docid rank score tag        every candidate, best first
 *     qrels   qid 0 docid 1                      the right answers only
 *
 * Such tools sort by score and break ties their own way, whatever the rank column says.
 * So that they find the rank that ranking_metrics.h finds, candidates are sorted by
 * score with the positives last among equals, and a score that would not lie below the
 * one before is written as the next smaller float (its last digits change, only where
 * scores tie). Scores are written with 9 digits: they read back as the same float.
 *
 * Ids: a byte that is not printable ASCII without space, or is '%', is written as %XX
 * (two upper-case hexadecimal digits); bytes above 0x7f (UTF-8) stay. "" is written as
 * "%".
 */
#ifndef FB_RETRIEVAL_RANKING_TREC_H
#define FB_RETRIEVAL_RANKING_TREC_H

#include "base/file.h"

typedef struct fb_trec_candidate {
    const char *id; /* borrowed */
    float score;
    bool positive;
} fb_trec_candidate;

/* The lines of one query. Sorts `candidates` in place, best first. FB_E_NUMBER: a score
 * is not finite; nothing was written. Write errors stay in the stream (ferror). */
fb_status fb_trec_write_run(fb_context *ctx, FILE *stream, const char *query_id,
                            fb_trec_candidate *candidates, int64_t count,
                            const char *tag);
void fb_trec_write_qrels(FILE *stream, const char *query_id,
                         const fb_trec_candidate *candidates, int64_t count);

/* Both files of one direction and draw: PREFIX.image_to_text.0.run and ….qrels (a query
 * id stands in one pool only). Both appear, whole, at commit. */
typedef struct fb_trec {
    fb_replace run, qrels;
    char tag[64];
} fb_trec;

fb_status fb_trec_open(fb_context *ctx, fb_trec *trec, const char *prefix,
                       const char *direction, int32_t draw, const char *tag);
fb_status fb_trec_add(fb_context *ctx, fb_trec *trec, const char *query_id,
                      fb_trec_candidate *candidates, int64_t count);
fb_status fb_trec_commit(fb_context *ctx, fb_trec *trec);
void fb_trec_abandon(fb_trec *trec);

#endif

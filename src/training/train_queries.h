/* train_queries.h - what training a system that reads queries has beside the rest: a
 * click log or the catalogue's queries, and ranks of the validation split. Nothing here
 * happens with another system. */
#ifndef FB_TRAINING_TRAIN_QUERIES_H
#define FB_TRAINING_TRAIN_QUERIES_H

#include "training/train_run.h"

/* Open the queries of run->catalogue, which has just been opened, and what they want of
 * its splits. Says on stderr what is used and what is left out. FB_E_MISSING: there are
 * none; else as fb_query_set_open. */
fb_status fb_train_queries_open(fb_train_run *run);
void fb_train_queries_close(fb_train_run *run);

/* Matched pairs that an epoch goes through: items of the split, or rows of queries. */
int32_t fb_train_run_rows(const fb_train_run *run, fb_split split);
/* Of the catalogue, and of its queries where they are trained on. */
uint64_t fb_train_run_fingerprint(const fb_train_run *run);

/* Ranks of the validation split, put behind what `measures` has: of up to 300 rows, each
 * among up to 15 others. The same lists every time. */
fb_status fb_train_queries_rank(fb_train_run *run, fb_measures *measures);

#endif

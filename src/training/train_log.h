/* train_log.h - the record of a run: one JSON object a step in OUT/log.jsonl, scalars
 * for TensorBoard beside it.
 *
 *     {"step":7,"epoch":0.01,"loss":..,"mlm":..,"mpm":..,"tia":..,"weight_mlm":..,
 *      "weight_mpm":..,"weight_tia":..,"accuracy":..,"lr":..,"gradient_norm":..,
 *      "fallback_negatives":0,"wait_ms":0.1,"pairs_per_s":410}
 * with "selfie", "pointing_accuracy" and "chance" where masked patches are pointed at,
 * "click", "qt" and "qi" with their weights where these are trained; and, in steps that
 * were validated, "val_mlm", "val_mpm", "val_tia", "val_accuracy", with queries
 * "val_auc", "val_ndcg10", "val_r1", "val_r10" and what chance gives of the last three.
 * A loss that had no row in the step is null. All but the last two keys repeat to the
 * bit.
 */
#ifndef FB_TRAINING_TRAIN_LOG_H
#define FB_TRAINING_TRAIN_LOG_H

#include "engine/query_ranking.h"
#include "models/matcher.h"

typedef struct fb_train_log fb_train_log;

typedef struct fb_train_line {
    int64_t step; /* 1-based */
    double epoch, lr, gradient_norm, wait_s, pairs_per_s;
    int64_t fallbacks;
    fb_step_losses losses;
    bool validated;
    fb_step_losses validation;
    bool ranked; /* with queries, where validated */
    fb_query_report ranking;
} fb_train_line;

/* keep_bytes of an older log are kept (0: a new one). */
fb_status fb_train_log_open(fb_context *ctx, fb_train_log **log, const char *out,
                            int64_t keep_bytes);
fb_status fb_train_log_write(fb_context *ctx, fb_train_log *log,
                             const fb_train_line *line);
/* All lines on disk; *bytes is the log's length. */
fb_status fb_train_log_sync(fb_context *ctx, fb_train_log *log, int64_t *bytes);
void fb_train_log_close(fb_train_log *log);

#endif

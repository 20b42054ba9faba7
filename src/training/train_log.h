/* train_log.h - the record of a run: one JSON object a step in OUT/log.jsonl, scalars
 * for TensorBoard beside it.
 *
 *     {"step":7,"epoch":0.01,"loss":..,MEASURES,WEIGHTS,"lr":..,"gradient_norm":..,
 *      "fallback_negatives":0,VALIDATION,"wait_ms":0.1,"pairs_per_s":410}
 *
 *     MEASURES     "NAME":value of each item of the list (measures.h) in its order, null
 *                  where it is absent; behind a share "chance", what guessing gets right
 *                  where that is known ("chance_NAME" where it is not the headline)
 *     WEIGHTS      "weight_NAME" of each weighed loss
 *     VALIDATION   "val_NAME" likewise, in steps that were validated
 *     "shortened_to":N  stands before the last two keys of a step behind which the
 *                  schedule was shortened to N steps
 *
 * All but the last two keys repeat to the bit. docs/formats.md says what today's systems
 * give.
 */
#ifndef FB_TRAINING_TRAIN_LOG_H
#define FB_TRAINING_TRAIN_LOG_H

#include "base/status.h"
#include "models/measures.h"

typedef struct fb_train_log fb_train_log;

typedef struct fb_train_line {
    int64_t step; /* 1-based */
    double epoch, lr, gradient_norm, wait_s, pairs_per_s;
    int64_t fallbacks;
    fb_measures measures;
    bool validated;
    fb_measures validation;
    int64_t shortened_to; /* steps in all from here on; 0: as before */
} fb_train_line;

/* keep_bytes of an older log are kept (0: a new one). */
fb_status fb_train_log_open(fb_context *ctx, fb_train_log **log, const char *out,
                            int64_t keep_bytes);
fb_status fb_train_log_write(fb_context *ctx, fb_train_log *log,
                             const fb_train_line *line);
/* A line for the terminal: total, losses with their weights, chance, accuracy. */
void fb_train_line_describe(const fb_train_line *line, char *text, size_t size_bytes);
/* All lines on disk; *bytes is the log's length. */
fb_status fb_train_log_sync(fb_context *ctx, fb_train_log *log, int64_t *bytes);
void fb_train_log_close(fb_train_log *log);

#endif

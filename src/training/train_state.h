/* train_state.h - what a training run must remember to go on to the bit, and its
 * folder.
 *
 *     OUT/config.json, vocab.txt       sizes and vocabulary
 *     OUT/model.safetensors            the best weights so far
 *     OUT/neighbours.*.npy             for its CSLS correction (neighbours.h)
 *     OUT/log.jsonl, events.out...     a line, and scalars, a step
 *     OUT/last/                        the last complete checkpoint: config.json,
 *                                      vocab.txt, model.safetensors,
 *                                      optimizer.safetensors, training_state.json
 *
 * A checkpoint is written as OUT/last.new and then takes last's place in one step.
 * Random bits come from (seed, purpose, step), so no generator's state is kept.
 */
#ifndef FB_TRAINING_TRAIN_STATE_H
#define FB_TRAINING_TRAIN_STATE_H

#include "fashionbert.h"
#include "models/matcher.h"

typedef struct fb_train_state {
    int64_t step;          /* steps done */
    int64_t total_steps;   /* what planned_steps have been shortened to, or these */
    int64_t planned_steps; /* that the schedule was made of; 0: total_steps */
    uint64_t fingerprint;  /* of the catalogue */
    int64_t log_bytes;     /* log.jsonl up to and with `step` */
    int64_t best_step;     /* 0: none yet */
    double best_accuracy, best_loss;
    double seconds, processor_s; /* that the run has taken; the latter of all threads */
    double elapsed_s;  /* wall clock, from opening the first stage of a recipe on */
    double deadline_s; /* of the same, when this run is to end; 0: any time */
    double end_s;      /* what follows its last step takes, about */
    int32_t stage,
        stages; /* of a recipe, this one of how many; 0: a run of one's own */
} fb_train_state;

/* Whether OUT holds a complete checkpoint. */
bool fb_train_state_exists(const char *out);

/* Write state, options, weights and moments as OUT/last; with `best` the weights become
 * OUT/model.safetensors too. vocab_path: the file to take over (OUT/vocab.txt). */
fb_status fb_train_state_save(fb_context *ctx, const char *out,
                              const fb_train_state *state,
                              const fb_train_options *options,
                              const fb_matcher *matcher, bool best);

/* training_state.json alone, which the others read again. */
fb_status fb_train_state_write(fb_context *ctx, const char *path,
                               const fb_train_state *state,
                               const fb_train_options *options);

/* Read state and the options that the run was started with. Strings among the options
 * go into arena. Options of one start (FB_START in train.def) keep what the caller set;
 * files that may move (FB_PATH) too, unless they are "". */
fb_status fb_train_state_read(fb_context *ctx, const char *out, fb_train_state *state,
                              fb_train_options *options, fb_arena *arena);
/* Weights and moments of OUT/last. */
fb_status fb_train_state_load(fb_context *ctx, const char *out, fb_matcher *matcher);

#endif

/* system.h - what a matching system is to the rest of the program: one row of functions
 * and facts. Nothing outside models/<system>/ and systems.c names a system; what one can
 * do is asked of its row.
 *
 *     reads    what a sequence is made of     gives    what may be asked of a model
 *
 * A function of the row is there where `gives` has its flag, and is not called without.
 *
 * A training run asks a row in this order:
 *
 *     defaults, settle    options that were left to the program, and what they refuse
 *     plan                batches to draw, and the options of a step
 *     configure, check    the configuration
 *     create, begin       parameters: initialised, then where the run starts from
 *     step, train_batch   of each batch; or fit, once, of a pass over all of them
 *     finish              of a pass over all, before a validation or a checkpoint
 *     losses              of each validation batch
 */
#ifndef FB_MODELS_SYSTEM_H
#define FB_MODELS_SYSTEM_H

#include "base/option.h"
#include "fashionbert.h"
#include "models/config_key.h"
#include "models/measures.h"
#include "models/model_config.h"
#include "nn/param.h"
#include "tensor/batch.h"

typedef struct fb_matcher fb_matcher;
typedef struct fb_attribution_options fb_attribution_options;
typedef struct fb_attribution fb_attribution;
typedef struct fb_token_pairs fb_token_pairs; /* token_pairs.h */

enum {
    FB_READS_TITLE = 1 << 0,
    FB_READS_PIXELS = 1 << 1,
    FB_READS_FEATURES = 1 << 2, /* of patches, made before by the model's own network */
    FB_READS_REGIONS = 1 << 3,  /* features of detected regions */
    FB_READS_QUERY = 1 << 4,    /* a query too: batches of triples, not of pairs */
    FB_READS_BOXES = 1 << 5     /* of regions, where they lie: not without */
};

enum {
    FB_GIVES_SCORE = 1 << 0,       /* of a pair, or of a triple */
    FB_GIVES_VECTORS = 1 << 1,     /* where config.vector > 0 */
    FB_GIVES_TOKENS = 1 << 2,      /* vectors of words and rows (late interaction) */
    FB_GIVES_FEATURES = 1 << 3,    /* of patches, from pixels */
    FB_GIVES_ATTRIBUTION = 1 << 4, /* of a score to words and patches */
};

/* What a model is made for, and so what is allocated: values alone; gradients and
 * moments too; or those of all but the image network, which stays as it is. */
typedef enum fb_model_use {
    FB_MODEL_SCORE,
    FB_MODEL_TRAIN,
    FB_MODEL_TRAIN_FROZEN
} fb_model_use;

/* What `train --objective NAME` learns. */
typedef struct fb_objective {
    const char *name;
    const fb_option_value
        *defaults; /* of options left to the program; {NULL} ends it */
} fb_objective;

/* A stage of the recipe that is trained where nothing is said. */
typedef struct fb_stage {
    const char *objective;
    double products;             /* that about go by, in its epochs */
    const fb_option_value *said; /* options as one would type them; {NULL} ends it */
} fb_stage;

/* The batches that a system learns from, beside what the options say of them. */
typedef struct fb_train_plan {
    bool items;         /* of items, each text beside each image; else of pairs */
    bool whole_texts;   /* no word is masked */
    bool whole_images;  /* no patch is masked */
    double patch_share; /* of an image's patches that are masked; 0: the usual */
    bool query_title, query_image, title_image; /* of triples: sequences of two, too */
} fb_train_plan;

/* Which batch of a run is asked for. */
typedef struct fb_step_clock {
    int64_t number, total; /* number < total where it is one of training */
    bool validation;       /* measured as every other time, whatever was learnt */
} fb_step_clock;

/* What a training run starts from. */
typedef enum fb_start_kind {
    FB_START_RANDOM,
    FB_START_MODEL, /* a model folder of this program */
    FB_START_BERT   /* a BERT from Hugging Face */
} fb_start_kind;

typedef struct fb_start {
    fb_start_kind kind;
    fb_model_config config; /* the folder's, with the run's number of layers */
    int64_t rows;           /* of the training split: an epoch */
} fb_start;

/* Batches one after the other, for what is solved in closed form: an epoch of the
 * training split. Its last batch goes on into the next epoch. */
typedef struct fb_batch_stream {
    int64_t rows; /* an epoch's; of a batch of items, one each */
    void *self;
    /* The batch lies there until the next call; NULL behind the last. */
    fb_status (*next)(void *self, fb_context *ctx, const fb_batch **batch);
    fb_backend *be;
    fb_arena *arena; /* for tapes; whoever uses it resets it */
} fb_batch_stream;

struct fb_system {
    const char *name;       /* in config.json */
    const char *score_name; /* in an evaluation; NULL: config.score's */
    int32_t number; /* its own for ever: fingerprints of models are made of it */
    uint32_t reads, gives;
    fb_config_keys keys; /* its own in config.json, over config.own */
    /* What it calls its losses in measures.h, in the order of a report; NULL behind the
     * last. */
    const char *const *loss_names;
    /* Those of them that --losses chooses among, in the order of their numbers; NULL
     * behind the last. NULL: there is no choice. */
    const char *const *choices;
    const fb_objective *objectives;
    int32_t objective_count;
    const fb_stage *stages; /* of its recipe; a system may have none */
    int32_t stage_count;
    /* Its margins are config.alignment_weight x + config.score_bias of a score x that is
     * no logit, and behind training the two are fitted. */
    bool calibrated;
    size_t step_bytes; /* of the options of a step, a struct of its own */

    /* Options that its objectives' defaults did not settle, as they depend on others.
     * FB_E_USAGE: some do not go together. NULL: nothing. */
    fb_status (*settle)(fb_context *ctx, fb_train_options *options);
    /* plan and step come cleared, step [step_bytes]. FB_E_USAGE: a word is not known. */
    fb_status (*plan)(fb_context *ctx, const fb_train_options *options,
                      fb_train_plan *plan, void *step);
    /* What changes in the options of a step from batch to batch. NULL: nothing. */
    void (*step)(void *step, const fb_train_options *options,
                 const fb_step_clock *clock);
    /* Over what the options say to all systems. FB_E_USAGE: there is no going on from
     * `start`. NULL: nothing. */
    fb_status (*configure)(fb_context *ctx, fb_model_config *config,
                           const fb_train_options *options, const fb_start *start);
    /* Whether a configuration suits the system, beyond what holds for all
     * (fb_model_config_check). NULL: nothing more. FB_E_FORMAT names `where`. */
    fb_status (*check)(fb_context *ctx, const fb_model_config *config,
                       const char *where);
    /* Declare and allocate; values are zero until initialised or loaded. */
    fb_status (*create)(fb_context *ctx, fb_matcher **matcher,
                        const fb_model_config *config, fb_model_use use);
    void (*free)(fb_matcher *m, fb_backend *be);
    /* Weights of options->init and options->encoder_weights over the initialised ones.
     * NULL: fb_start_weights. */
    fb_status (*begin)(fb_context *ctx, fb_matcher *m, const fb_train_options *options,
                       const fb_start *start);

    /* Forward, weigh, backward: parameter gradients of the total are added. The tape
     * must record. `step` is the system's own struct, as plan and step left it. */
    fb_status (*train_batch)(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                             const void *step, fb_measures *measures);
    /* In the place of train_batch, in closed form: all parameters from one pass. */
    fb_status (*fit)(fb_context *ctx, fb_matcher *m, const fb_batch_stream *batches);
    /* Behind train_batch, what is solved over the whole training split from parameters as
     * they stand, such as a projection on top of a network: called before every
     * validation and every checkpoint, with unmasked batches whose images are as they
     * are, so that what is saved belongs together. It may change nothing that the next
     * training step reads. NULL: nothing. */
    fb_status (*finish)(fb_context *ctx, fb_matcher *m, const fb_batch_stream *batches);
    /* Losses alone, unweighted; the tape need not record. */
    fb_status (*losses)(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                        const void *step, fb_measures *measures);

    /* SCORE. margins[B]: the alignment logits' difference, match minus mismatch;
     * P(match) is its sigmoid. */
    fb_status (*score)(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                       float *margins);
    /* VECTORS. Unit vectors of the batch's texts [texts, D] and images [images, D], D =
     * config.vector; either may be NULL. */
    fb_status (*vectors)(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                         float *texts, float *images);
    /* VECTORS. What a similarity counts in a score: config.similarity_weight /
     * temperature. */
    double (*similarity_scale)(const fb_matcher *m);
    /* TOKENS. Numbers D of one vector. */
    int32_t (*token_width)(const fb_matcher *m);
    /* TOKENS. Vectors of the words of the batch's texts [text tokens, D], and of the rows
     * of its images [rows, D]; either may be NULL. */
    fb_status (*tokens)(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                        float *words, float *rows);
    /* TOKENS. margins[pairs->count], as `score` has them, of pairs of such vectors. */
    fb_status (*score_tokens)(fb_matcher *m, fb_tape *tape, const fb_token_pairs *pairs,
                              float *margins);
    /* FEATURES. Of pixels [images, size, size, 3] as bf16 [images*P, F]; the tape need
     * not record. FB_E_NUMBER: one is not finite. */
    fb_status (*features)(fb_matcher *m, fb_tape *tape, const uint8_t *pixels,
                          int32_t images, fb_bf16 *features);
    /* ATTRIBUTION. What each token and patch of a pair adds to its score. */
    fb_status (*attribute)(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                           const fb_attribution_options *options, fb_attribution *out);
    /* Model FLOPs of one forward pass over the batch's real tokens. */
    double (*forward_flops)(const fb_matcher *m, const fb_batch *batch);
    /* The same of train_batch's forward pass, where it judges other pairs than the
     * batch has. NULL: forward_flops. */
    double (*train_flops)(const fb_matcher *m, const fb_batch *batch, const void *step);
};

/* ---- the list ------------------------------------------------------------------- */

int32_t fb_systems_count(void);
/* place 0 .. count - 1; 0 is that of a configuration that names none. */
const fb_system *fb_systems_get(int32_t place);
/* NULL: no such name. */
const fb_system *fb_systems_find(const char *name);
/* "a, b or c" of all their names, in out, which is returned. */
const char *fb_systems_names(char *out, size_t size);

/* The system that has the objective; NULL: none. `objective` may be left out. */
const fb_system *fb_systems_find_objective(const char *name,
                                           const fb_objective **objective);
/* An objective whose system reads what FB_READS_... says; NULL: there is none. */
const char *fb_systems_objective_reading(uint32_t what);

/* Which of the system's losses a list such as "mlm,tia" names: enabled[number of
 * losses], by number. "": none. FB_E_USAGE: one is not known. */
fb_status fb_systems_parse_losses(fb_context *ctx, const fb_system *system,
                                  const char *list, bool *enabled);

/* Over freshly initialised parameters: the weights of --init, then of
 * --encoder-weights. From a model folder every tensor that both have is taken; what only
 * one has is left alone, a shape that differs is an error. */
fb_status fb_start_weights(fb_context *ctx, const fb_train_options *options,
                           const fb_start *start, fb_params *params);

/* Rows beside those of the product, NULL behind the last: none. It has an object file to
 * itself, which a test program that defines its own is linked without. */
extern const fb_system *const fb_systems_more[];

#endif

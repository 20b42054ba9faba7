/* system.h - what a matching system is to the rest of the program: one row of functions
 * and facts. Nothing outside models/<system>/ and systems.c names a system; what one can
 * do is asked of its row.
 *
 *     reads    what a sequence is made of     gives    what may be asked of a model
 *
 * A function of the row is there where `gives` has its flag, and is not called without.
 */
#ifndef FB_MODELS_SYSTEM_H
#define FB_MODELS_SYSTEM_H

#include "models/measures.h"
#include "models/model_config.h"
#include "nn/param.h"
#include "tensor/batch.h"

typedef struct fb_matcher fb_matcher;
typedef struct fb_loss_options fb_loss_options;
typedef struct fb_attribution_options fb_attribution_options;
typedef struct fb_attribution fb_attribution;

enum {
    FB_READS_TITLE = 1 << 0,
    FB_READS_PIXELS = 1 << 1,
    FB_READS_FEATURES = 1 << 2, /* of patches, made before by the model's own network */
    FB_READS_REGIONS = 1 << 3,  /* features of detected regions */
    FB_READS_QUERY = 1 << 4     /* a query too: batches of triples, not of pairs */
};

enum {
    FB_GIVES_SCORE = 1 << 0,       /* of a pair, or of a triple */
    FB_GIVES_VECTORS = 1 << 1,     /* where config.vector > 0 */
    FB_GIVES_TOKENS = 1 << 2,      /* vectors of words and patches (late interaction) */
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

struct fb_system {
    const char *name; /* in config.json */
    int32_t number;   /* its own for ever: fingerprints of models are made of it */
    uint32_t reads, gives;
    /* What it calls its losses in measures.h, in the order of a report; NULL behind the
     * last. */
    const char *const *loss_names;
    /* Whether a configuration suits the system, beyond what holds for all
     * (fb_model_config_check). NULL: nothing more. FB_E_FORMAT names `where`. */
    fb_status (*check)(fb_context *ctx, const fb_model_config *config,
                       const char *where);
    /* Declare and allocate; values are zero until initialised or loaded. */
    fb_status (*create)(fb_context *ctx, fb_matcher **matcher,
                        const fb_model_config *config, fb_model_use use);
    void (*free)(fb_matcher *m, fb_backend *be);

    /* Forward, weigh, backward: parameter gradients of the total are added. The tape
     * must record. */
    fb_status (*train_batch)(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                             const fb_loss_options *options, fb_measures *measures);
    /* Losses alone, unweighted; the tape need not record. */
    fb_status (*losses)(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                        const fb_loss_options *options, fb_measures *measures);
    /* Learn the image network at a share of the learning rate. */
    void (*scale_encoder_lr)(fb_matcher *m, float share);
    /* After contrastive training alone, before alignment is learnt: let patches enter
     * the stream as the vectors see them (contrast_head.h). */
    void (*align_patches)(fb_matcher *m);

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
    /* FEATURES. Of pixels [images, size, size, 3] as bf16 [images*P, F]; the tape need
     * not record. FB_E_NUMBER: one is not finite. */
    fb_status (*features)(fb_matcher *m, fb_tape *tape, const uint8_t *pixels,
                          int32_t images, fb_bf16 *features);
    /* ATTRIBUTION. What each token and patch of a pair adds to its score. */
    fb_status (*attribute)(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                           const fb_attribution_options *options, fb_attribution *out);
    /* Model FLOPs of one forward pass over the batch's real tokens. */
    double (*forward_flops)(const fb_matcher *m, const fb_batch *batch);
};

/* ---- the list ------------------------------------------------------------------- */

int32_t fb_systems_count(void);
/* place 0 .. count - 1; 0 is that of a configuration that names none. */
const fb_system *fb_systems_get(int32_t place);
/* NULL: no such name. */
const fb_system *fb_systems_find(const char *name);
/* "a, b or c" of all their names, in out, which is returned. */
const char *fb_systems_names(char *out, size_t size);

/* Rows beside those of the product, NULL behind the last: none. It has an object file to
 * itself, which a test program that defines its own is linked without. */
extern const fb_system *const fb_systems_more[];

#endif

/* local_match.h - texts and images matched word by row (stacked cross attention, SCAN;
 * Lee et al. 2018): what systems of this kind share.
 *
 *     rows     v = unit(W x + b)                  x [R,F'] of the images' rows, as the
 *                                                 system makes them
 *     words    w = unit(mean of both ways of a GRU over word embeddings)    [T,C]
 *     score    S(text, image) by stacked cross attention (backend.h, fb_stacked), of
 *              words that ask rows (t2i), of rows that ask words (i2t), or the mean of
 *              the two scores
 *     loss     hinge both ways over the S of all texts with all images of a batch, of the
 *              hardest negative (VSE++), of all negatives in the first steps; pairs of
 *              one product or one text are no negatives (backend.h, fb_hinge). Summed
 *              over the batch as in the papers; what is shown is the mean
 *
 * [CLS] and [SEP] of WordPiece play SCAN's <start> and <end>, and take part. S lies
 * around -1 to 1, so a score is alignment_weight S + score_bias, whose two numbers
 * training's calibration fits; without it they are 1 and 0.
 */
#ifndef FB_MODELS_LOCAL_MATCH_H
#define FB_MODELS_LOCAL_MATCH_H

#include "models/image_rows.h"
#include "models/token_pairs.h"
#include "nn/gru.h"

typedef enum fb_local_direction {
    FB_LOCAL_T2I,
    FB_LOCAL_I2T,
    FB_LOCAL_BOTH
} fb_local_direction;

/* The first of a system's own keys (config.own). */
typedef struct fb_local_config {
    int32_t direction,
        lse;            /* fb_local_direction; 0: pool by the mean, 1: log-sum-exp */
    int32_t word_width; /* of the word embeddings */
    double t2i_lambda1, t2i_lambda2, i2t_lambda1, i2t_lambda2;
} fb_local_config;

extern const char *const fb_local_directions[], *const fb_local_pools[];

/* Rows of a system's table of keys. */
#define FB_LOCAL_WORD(name, member, words, standard)                                   \
    {                                                                                  \
        name, FB_CONFIG_WORD, FB_CONFIG_OWN(fb_local_config, member), 0, 0, words,     \
            standard                                                                   \
    }
#define FB_LOCAL_NUMBER(type, member, low, high, standard)                             \
    {                                                                                  \
#member, type, FB_CONFIG_OWN(fb_local_config, member), low, high, NULL,        \
            standard                                                                   \
    }
#define FB_LOCAL_KEYS                                                                  \
    FB_LOCAL_WORD("cross_attention", direction, fb_local_directions, FB_LOCAL_T2I),    \
        FB_LOCAL_WORD("pool", lse, fb_local_pools, 0),                                 \
        FB_LOCAL_NUMBER(FB_CONFIG_INT32, word_width, 1, 4096, 300),                    \
        FB_LOCAL_NUMBER(FB_CONFIG_DOUBLE, t2i_lambda1, 0, FB_STACKED_SHARPEST, 9),     \
        FB_LOCAL_NUMBER(FB_CONFIG_DOUBLE, t2i_lambda2, 0.01, 100, 6),                  \
        FB_LOCAL_NUMBER(FB_CONFIG_DOUBLE, i2t_lambda1, 0, FB_STACKED_SHARPEST, 4),     \
        FB_LOCAL_NUMBER(FB_CONFIG_DOUBLE, i2t_lambda2, 0.01, 100, 5)

typedef struct fb_local_match fb_local_match;

/* What a system of this kind adds. */
typedef struct fb_local_kind {
    size_t bytes; /* of its struct, which begins with fb_local_match */
    /* Numbers of x beside the F of image rows; NULL: none. */
    int32_t (*extra)(const fb_model_config *config);
    double focus; /* weight of attention's own part in t2i scores; 0: none */
    /* Parameters beside those declared here; NULL: none. */
    fb_status (*declare)(fb_params *params, fb_local_match *m);
    /* x [R, F + extra] of the batch; NULL: image rows as they are. */
    fb_status (*look)(fb_tape *tape, fb_var **x, fb_local_match *m,
                      const fb_batch *batch);
    double (*look_flops)(const fb_local_match *m, const fb_batch *batch); /* or NULL */
} fb_local_kind;

struct fb_local_match {
    fb_matcher matcher;
    const fb_local_kind *kind;
    fb_image_rows image;
    fb_leaf *word; /* [V, word_width] */
    fb_gru gru;
    int32_t seen;                   /* F + extra */
    fb_leaf *row_weight, *row_bias; /* [C, seen], [C] */
};

/* Options of a step. */
typedef struct fb_local_step {
    float margin;
    bool hardest; /* else the sum over all negatives */
} fb_local_step;

/* ---- for a system's row ------------------------------------------------------------- */

fb_status fb_local_create(fb_context *ctx, fb_matcher **matcher,
                          const fb_model_config *config, fb_model_use use,
                          const fb_system *system, const fb_local_kind *kind);
void fb_local_free(fb_matcher *m, fb_backend *be);
fb_status fb_local_settle(fb_context *ctx, fb_train_options *options);
fb_status fb_local_plan(fb_context *ctx, const fb_train_options *options,
                        fb_train_plan *plan, void *step);
void fb_local_next_step(void *step, const fb_train_options *options,
                        const fb_step_clock *clock);
fb_status fb_local_configure(fb_context *ctx, fb_model_config *config,
                             const fb_train_options *options, const fb_start *start);
fb_status fb_local_check(fb_context *ctx, const fb_model_config *config,
                         const char *where);
fb_status fb_local_train_batch(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                               const void *step, fb_measures *measures);
fb_status fb_local_losses(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                          const void *step, fb_measures *measures);
fb_status fb_local_score(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                         float *margins);
int32_t fb_local_token_width(const fb_matcher *m);
fb_status fb_local_tokens(fb_matcher *m, fb_tape *tape, const fb_batch *batch,
                          float *words, float *rows);
fb_status fb_local_score_tokens(fb_matcher *m, fb_tape *tape,
                                const fb_token_pairs *pairs, float *margins);
fb_status fb_local_features(fb_matcher *m, fb_tape *tape, const uint8_t *pixels,
                            int32_t images, fb_bf16 *features);
double fb_local_flops(const fb_matcher *m, const fb_batch *batch);

/* ---- parts, for tests --------------------------------------------------------------- */

typedef struct fb_local_pass {
    fb_var *words, *rows; /* [T,C], [R,C], of unit length */
    fb_var *scores;       /* [images, texts] f32 */
    fb_loss *loss;
} fb_local_pass;

/* Up to the scores. */
fb_status fb_local_forward(fb_local_match *m, fb_tape *tape, const fb_batch *batch,
                           fb_local_pass *pass);

#endif

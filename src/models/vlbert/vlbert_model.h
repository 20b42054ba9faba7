/* vlbert_model.h - the forward pass of VL-BERT, for who wants its insides: the matcher
 * itself, tests against other implementations. */
#ifndef FB_MODELS_VLBERT_VLBERT_MODEL_H
#define FB_MODELS_VLBERT_VLBERT_MODEL_H

#include "models/image_rows.h"
#include "models/matcher.h"
#include "models/pair_alignment.h"
#include "models/read_rows.h"
#include "models/vlbert/vlbert_rows.h"
#include "nn/transformer.h"

extern const fb_system fb_vlbert_system;

enum { FB_VLBERT_MLM, FB_VLBERT_MVRC, FB_VLBERT_TIA, FB_VLBERT_LOSSES };

typedef enum fb_vlbert_target {
    FB_VLBERT_FEATURES,
    FB_VLBERT_CLASSES
} fb_vlbert_target;

/* Its own in config.json. */
typedef struct fb_vlbert_config {
    int32_t frequencies; /* n of vlbert_geometry.h; 0: hidden_size / 3 */
    int32_t target;      /* fb_vlbert_target: of masked objects */
    int32_t classes;     /* of the detector */
} fb_vlbert_config;

static inline const fb_vlbert_config *fb_vlbert_own(const fb_model_config *c)
{
    return (const fb_vlbert_config *)(const void *)&c->own;
}

/* Of a step, whose total is the sum of the losses. */
typedef struct fb_vlbert_step {
    bool enabled[FB_VLBERT_LOSSES];
    int32_t others;     /* K of pair_alignment.h; 0: the batch's own pairs */
    double patch_keep;  /* share of an image's objects that sequences show; 1: all */
    double visual_mask; /* of the masked objects, those whose feature is hidden */
    uint64_t key;       /* random bits */
} fb_vlbert_step;

typedef struct fb_vlbert {
    fb_matcher matcher;
    fb_image_rows images;
    int32_t frequencies; /* n */
    fb_leaf *word, *position, *segment, *gamma, *beta;
    fb_leaf *other, *object_type;              /* [3, C], [1, C] */
    fb_leaf *mask;                             /* [1, F] */
    fb_leaf *feature, *geometry, *visual_bias; /* [C, F], [C, 8 n], [C] */
    fb_leaf *object_gamma, *object_beta, *text_gamma, *text_beta;
    fb_transformer encoder;
    fb_leaf *pooler_weight, *pooler_bias, *relation_weight, *relation_bias;
    fb_leaf *mlm_weight, *mlm_bias, *mlm_gamma, *mlm_beta, *decoder_bias;
    fb_leaf *mvrc_weight, *mvrc_bias, *region_weight, *region_bias;
} fb_vlbert;

/* Variables of one forward pass. */
typedef struct fb_vlbert_pass {
    fb_pair_alignment alignment; /* whose pairs the sequences are */
    uint8_t *hidden;             /* [R] objects that show the mask; NULL: none */
    fb_vlbert_rows rows;
    fb_var *features; /* [R, F] unmasked */
    fb_var *objects;  /* [R + I, C] before their norms */
    fb_read_rows read;
    fb_var *hidden_states; /* [picked, C] at the rows of `read` */
    fb_tensor targets;     /* of MVRC: features, or logarithms of shares of classes */
    fb_var *logits[FB_VLBERT_LOSSES];
    fb_loss *loss[FB_VLBERT_LOSSES]; /* NULL: not asked for, or no rows */
} fb_vlbert_pass;

/* Every parameter that config asks for. */
fb_status fb_vlbert_declare(fb_params *params, fb_vlbert *m, const fb_model_config *c,
                            fb_model_use use);

/* The losses that the step names, or without any the alignment logits alone. *pass must
 * stay where it is. FB_E_SHAPE: classes are the target, and the batch has none. */
fb_status fb_vlbert_forward(fb_vlbert *m, fb_tape *tape, const fb_batch *batch,
                            const fb_vlbert_step *step, bool with_losses,
                            fb_vlbert_pass *pass);

#endif

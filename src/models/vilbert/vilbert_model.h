/* vilbert_model.h - the forward pass of ViLBERT, for who wants its insides: the matcher
 * itself, tests against other implementations. */
#ifndef FB_MODELS_VILBERT_VILBERT_MODEL_H
#define FB_MODELS_VILBERT_VILBERT_MODEL_H

#include "models/image_rows.h"
#include "models/matcher.h"
#include "models/pair_alignment.h"
#include "models/vilbert/vilbert_rows.h"
#include "nn/co_attention.h"
#include "nn/transformer.h"

extern const fb_system fb_vilbert_system;

enum { FB_VILBERT_MLM, FB_VILBERT_MRM, FB_VILBERT_TIA, FB_VILBERT_LOSSES };

/* What a masked region's prediction is held against. */
typedef enum fb_vilbert_target {
    FB_VILBERT_NCE,    /* the masked regions of the batch: its own is the most alike */
    FB_VILBERT_KLD,    /* its feature as a distribution, as FashionBERT's patches */
    FB_VILBERT_CLASSES /* the detector's class */
} fb_vilbert_target;

/* Its own in config.json. Sizes of 0 follow the text stream's, fb_vilbert_fill_sizes. */
typedef struct fb_vilbert_config {
    int32_t visual_layers, visual_width, visual_heads, visual_inner;
    int32_t connections, connection_width, connection_heads; /* co-attention layers */
    int32_t text_connect, visual_connect; /* the first stands before these layers */
    int32_t target;                       /* fb_vilbert_target */
    int32_t classes;                      /* of the detector */
    double trunk_lr; /* of what came from a pre-trained BERT, as a share of --lr */
} fb_vilbert_config;

static inline const fb_vilbert_config *fb_vilbert_own(const fb_model_config *config)
{
    return (const void *)&config->own;
}
/* Sizes that are 0, from the text stream's. */
void fb_vilbert_fill_sizes(fb_model_config *config);

/* Of a step, whose total is the sum of the losses. */
typedef struct fb_vilbert_step {
    bool enabled[FB_VILBERT_LOSSES];
    int32_t others;    /* K of pair_alignment.h; 0: the batch's own pairs */
    double patch_keep; /* share of an image's regions that sequences show; 1: all */
    double zeroed;     /* of the masked regions, those whose feature is 0 */
    uint64_t key;      /* random bits */
} fb_vilbert_step;

typedef struct fb_vilbert {
    fb_matcher matcher;
    fb_image_rows images;
    fb_leaf *word, *position, *segment, *text_gamma, *text_beta;
    fb_leaf *feature_weight, *feature_bias, *location_weight, *location_bias;
    fb_leaf *visual_gamma, *visual_beta;
    fb_transformer text, visual;
    fb_co_layer connection[FB_LAYERS_MAX];
    fb_leaf *text_pooler_weight, *text_pooler_bias;
    fb_leaf *visual_pooler_weight, *visual_pooler_bias;
    fb_leaf *match_weight, *match_bias;
    fb_leaf *mlm_weight, *mlm_bias, *mlm_gamma, *mlm_beta, *decoder_bias;
    fb_leaf *mrm_weight, *mrm_bias, *mrm_gamma, *mrm_beta;
    fb_leaf *region_weight, *region_bias;
} fb_vilbert;

/* The two streams. */
enum { FB_VILBERT_TEXT, FB_VILBERT_VISUAL };

/* Variables of one forward pass. */
typedef struct fb_vilbert_pass {
    fb_pair_alignment alignment; /* whose pairs the sequences are */
    const uint8_t *zeroed;       /* [R] regions whose feature is 0; NULL: none */
    fb_vilbert_rows rows;
    fb_var *features;            /* [R, F] as they were */
    fb_var *hidden[FB_CO_SIDES]; /* [picked, C], [picked, W] of the pairs */
    fb_var *logits[FB_VILBERT_LOSSES];
    fb_loss *loss[FB_VILBERT_LOSSES]; /* NULL: not asked for, or no rows */
} fb_vilbert_pass;

/* Every parameter that config asks for. */
fb_status fb_vilbert_declare(fb_params *params, fb_vilbert *m, const fb_model_config *c,
                             fb_model_use use);

/* The losses that the step names, or without any the alignment logits alone. *pass must
 * stay where it is. FB_E_SHAPE: classes are the target, and the batch has none. */
fb_status fb_vilbert_forward(fb_vilbert *m, fb_tape *tape, const fb_batch *batch,
                             const fb_vilbert_step *step, bool with_losses,
                             fb_vilbert_pass *pass);

/* Forward multiply-adds times two of the pairs of a batch. */
double fb_vilbert_flops(const fb_matcher *matcher, const fb_batch *batch);

#endif

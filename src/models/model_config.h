/* model_config.h - the sizes of a model: presets, and config.json in and out.
 *
 * BERT's keys have Hugging Face's names (hidden_size, num_hidden_layers, ...); ours lie
 * in the object "fashionbert". The config.json of a Hugging Face BERT is read as it is;
 * one of another model_type, activation or kind of position is refused.
 */
#ifndef FB_MODELS_MODEL_CONFIG_H
#define FB_MODELS_MODEL_CONFIG_H

#include "base/status.h"
#include "nn/encoder.h"

/* What a pair's score is made of: the single stream's alignment, the similarity of the
 * two vectors, or both. */
typedef enum fb_score_kind { FB_SCORE_TIA, FB_SCORE_ITC, FB_SCORE_BOTH } fb_score_kind;

/* What alignment reads of the single stream's last layer: the row of [CLS], as the
 * paper has it, or the product, element by element, of the mean over the text's tokens
 * and the mean over the patches (as ViLBERT multiplies its two summaries; Lu et al.
 * 2019). */
typedef enum fb_alignment_head { FB_HEAD_CLS, FB_HEAD_PRODUCT } fb_alignment_head;

typedef struct fb_system fb_system;

enum { FB_CONFIG_OWN_BYTES = 128 };

typedef struct fb_model_config {
    const fb_system *system;             /* NULL: the first of the list */
    int32_t layers, width, heads, inner; /* L, C, H, feed-forward width */
    int32_t vocab, positions, segments;  /* V, longest text, segment kinds */
    double eps, init_std, dropout;
    char encoder[24];   /* name of a row of nn/encoder.h */
    bool each;          /* each patch run through the network alone */
    int32_t image_size; /* pixels a side, 256 */
    int32_t grid;       /* patches a side, 8 */
    bool squash;        /* fit: squash instead of pad */
    /* In place of patches: features of regions that a detector found, so wide, of at
     * most so many regions an image, of so many classes (0: not known). There is no
     * image network; grid and the like mean nothing. */
    bool regions;
    int32_t region_width, region_most, region_classes;
    double mean[3], std[3];
    int32_t max_text; /* tokens of a text with its specials */
    /* The contrastive head: texts and images encoded alone, as vectors of this width;
     * 0: none. The text passes this many of the trunk's layers first. */
    int32_t vector, text_layers;
    /* The single stream's patches join in this layer of the trunk: a text passes those
     * before it alone. 0, the paper's: text and patches are together from the first. */
    int32_t patches_from;
    fb_alignment_head head; /* what alignment is read off */
    /* Test-time augmentation (flip) of a score or a vector: 1 the image alone, 2 its
     * mirror image too, of which patches are the mean, place by place
     * (fb_patch_encoder_look). A training step runs over the image alone. */
    int32_t views;
    /* The score of a pair is the sigmoid of
     *
     *     tia   margin, the alignment logits' difference; of systems whose score is no
     *           logit (fb_system.calibrated) alignment_weight * score + score_bias
     *     itc   similarity_weight * similarity + score_bias
     *     both  alignment_weight * margin + similarity_weight * similarity + score_bias
     *
     * similarity is the cosine of the two vectors over the learnt temperature; in both,
     * with the CSLS hubness correction of weight neighbour_weight
     * (engine/neighbours.h). */
    fb_score_kind score;
    double alignment_weight, similarity_weight, score_bias, neighbour_weight;
    union {
        double align;
        unsigned char bytes[FB_CONFIG_OWN_BYTES];
    } own; /* a struct of the system's, by the table of its keys (config_key.h) */
} fb_model_config;

/* F: numbers of one patch's feature, or of one region's. */
int32_t fb_model_config_features(const fb_model_config *config);
/* P: patches of an image; the most regions of one. */
int32_t fb_model_config_patches(const fb_model_config *config);
const fb_system *fb_model_config_system(const fb_model_config *config);
/* Another system, whose own keys get their standards. */
void fb_model_config_set_system(fb_model_config *config, const fb_system *system);

/* "tia", "itc", "both"; FB_E_USAGE with `option` named. */
fb_status fb_score_kind_parse(fb_context *ctx, const char *option, const char *word,
                              fb_score_kind *kind);
const char *fb_score_kind_name(fb_score_kind kind);
/* "cls", "product"; FB_E_USAGE with `option` named. */
fb_status fb_alignment_head_parse(fb_context *ctx, const char *option, const char *word,
                                  fb_alignment_head *head);
const char *fb_alignment_head_name(fb_alignment_head head);

/* "mini" 4x256, "small" 4x512, "base" 12x768; vocab stays 0. FB_E_USAGE. */
fb_status fb_model_config_preset(fb_context *ctx, fb_model_config *config,
                                 const char *name);
/* Another encoder, and its mean and std where the one before had its own. */
void fb_model_config_set_encoder(fb_model_config *config, const fb_encoder *encoder);
/* Every value within sane bounds and fitting the others, or FB_E_FORMAT naming `where`,
 * key and range. Whatever passes can be declared; only memory may still fail. */
fb_status fb_model_config_check(fb_context *ctx, const fb_model_config *config,
                                const char *where);
/* Keys that are absent keep what config had. The result is checked; on failure config
 * keeps all it had. */
fb_status fb_model_config_read(fb_context *ctx, fb_model_config *config,
                               const char *path);
/* The same over bytes; `name` is for messages. */
fb_status fb_model_config_parse(fb_context *ctx, fb_model_config *config,
                                const char *name, const char *text, size_t size_bytes);
fb_status fb_model_config_write(fb_context *ctx, const fb_model_config *config,
                                const char *path);

#endif

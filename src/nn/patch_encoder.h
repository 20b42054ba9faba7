/* patch_encoder.h - from pixels to patch features [images*P, F], P = grid * grid: the
 * first half of FashionBERT's patch embedding, by any row of encoder.h.
 *
 *     grid    the encoder over the whole image; each place of its map, grid x grid, is
 *             a patch
 *     each    the encoder over every patch alone, size/grid pixels a side, and one
 *             vector of each (the paper's way, some fifty times as dear)
 */
#ifndef FB_NN_PATCH_ENCODER_H
#define FB_NN_PATCH_ENCODER_H

#include "nn/encoder.h"

typedef struct fb_patch_encoder_options {
    const char *name; /* of a row of encoder.h */
    bool each;        /* every patch alone; encoders that see nothing else do anyway */
    int32_t image_size, grid; /* pixels a side, patches a side */
    double mean[3], std[3];   /* (u8/255 - mean) / std */
} fb_patch_encoder_options;

typedef struct fb_patch_encoder {
    const fb_encoder *kind;
    void *network; /* kind->network_bytes, owned */
    bool each;
    bool frozen; /* the network stays as it is: running statistics, no gradients */
    int32_t image_size, grid;
    float mean[3], std[3];
} fb_patch_encoder;

/* F. FB_E_USAGE: no such encoder, or its map over an image of this size is not grid x
 * grid (each: of a patch, is empty). */
fb_status fb_patch_encoder_features(fb_context *ctx, int32_t *features,
                                    const fb_patch_encoder_options *options);

/* Names image.encoder.conv1.weight and so on, the row's behind the prefix. *encoder is
 * overwritten, and released by fb_patch_encoder_free after a failure too. */
fb_status fb_patch_encoder_declare(fb_params *params, fb_patch_encoder *encoder,
                                   const fb_patch_encoder_options *options);
/* Keep the network as it is; before the table is allocated. */
void fb_patch_encoder_freeze(fb_params *params, fb_patch_encoder *encoder);
/* Learn the network at a share of the learning rate. */
void fb_patch_encoder_scale_lr(fb_params *params, float share);
/* What the network keeps beside the parameter table; of an encoder that is all zero,
 * nothing. be may be NULL when nothing was computed. */
void fb_patch_encoder_free(fb_patch_encoder *encoder, fb_backend *be);

/* features [images*P, F] of pixels [images, size, size, 3]. A tape that records trains
 * the network (batch statistics) unless it is frozen. */
fb_status fb_patch_encoder_forward(fb_tape *tape, fb_var **features,
                                   fb_patch_encoder *encoder, const uint8_t *pixels,
                                   int32_t images);

/* Test-time augmentation: the same of an image in so many views: 1 the image; 2 the
 * image and its mirror image, where a patch's feature is the mean of the features of
 * its place in both. */
fb_status fb_patch_encoder_look(fb_tape *tape, fb_var **features,
                                fb_patch_encoder *encoder, const uint8_t *pixels,
                                int32_t images, int32_t views);
/* features [images*P, F] from those of the images and, behind them, of their mirror
 * images, both [2*images*P, F]. */
fb_status fb_patch_encoder_merge_views(fb_tape *tape, fb_var **features,
                                       const fb_patch_encoder *encoder, fb_var *both,
                                       int32_t images);

/* The same from features computed before, bf16 [images*P, F], which must stay until the
 * tape is done with. No gradient goes there. FB_E_SHAPE: `width` is not F. */
fb_status fb_patch_encoder_given(fb_tape *tape, fb_var **features,
                                 const fb_patch_encoder *encoder, const fb_bf16 *given,
                                 int32_t width, int32_t images);

/* x [rows, width] of numbers [rows, width], which must stay until the tape is done with.
 * No gradient goes there. */
fb_status fb_patch_features_upload(fb_tape *tape, fb_var **x, const fb_bf16 *numbers,
                                   int64_t rows, int32_t width);

/* In two steps, for gradients of the pixels: what the encoder reads, normalised,
 * [images*size*size, 3], image by image, by rows of the image, or patch by patch where
 * each is encoded alone, and with views 2 behind them the same of the mirror images;
 * and features of so many images, through the running statistics, where the tape
 * records and x needs_grad. */
fb_status fb_patch_encoder_input(fb_tape *tape, fb_var **x,
                                 const fb_patch_encoder *encoder, const uint8_t *pixels,
                                 int32_t images, int32_t views);
fb_status fb_patch_encoder_tune(fb_tape *tape, fb_var **features,
                                fb_patch_encoder *encoder, fb_var *x, int32_t images);

/* Forward multiply-adds times two, one image. */
double fb_patch_encoder_flops(const fb_patch_encoder *encoder);

#define FB_PATCH_ENCODER_PREFIX "image.encoder"

#endif

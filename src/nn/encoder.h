/* encoder.h - image encoders: what turns pictures into maps of features. One row each,
 * all of them in encoders.c; nothing else knows one by its name.
 *
 *     pictures [n * height * width, 3]  ->  maps [n * side * side, F]
 *                                           or, pooled, vectors [n, F]
 *
 * patch_encoder.h runs a row over whole images, the places of whose maps are then the
 * patches, or over every patch alone, pooled. To add one: a file in encoders/ with
 * `const fb_encoder fb_encoder_NAME`, and NAME in the list of encoders.c.
 */
#ifndef FB_NN_ENCODER_H
#define FB_NN_ENCODER_H

#include "nn/param.h"
#include "nn/weights_import.h"

typedef enum fb_encoder_mode {
    FB_ENCODER_TRAIN, /* statistics of the batch; the running ones move */
    FB_ENCODER_TUNE,  /* gradients through the running statistics, which stay */
    FB_ENCODER_FROZEN /* running statistics, no gradients */
} fb_encoder_mode;

/* x: normalised pixels [count * height * width, 3], row by row, channels last; or of
 * another shape of as many numbers (fb_op_patchify's rows of patches are pictures of
 * their own), where an encoder may change it into the shape that it reads. */
typedef struct fb_pictures {
    fb_var *x;
    int32_t count, height, width;
} fb_pictures;

/* What a picture becomes: a map of side x side places, each of `features` numbers. */
typedef struct fb_encoder_shape {
    int32_t side; /* 0: pictures of this size are too small */
    int32_t features;
} fb_encoder_shape;

typedef struct fb_encoder fb_encoder;
struct fb_encoder {
    const char *name;
    int32_t image_size;     /* pixels a side of an image seen whole, unless told */
    int32_t patch_size;     /* pixels a side of a patch seen alone, unless told */
    double mean[3], std[3]; /* (u8/255 - mean) / std, unless told */
    bool learns;   /* has parameters; else features are the pixels themselves */
    bool alone;    /* sees patches alone, never whole images */
    int32_t views; /* 2: a model that trained with flips looks at the mirror image too
                      (test-time augmentation); 1: at the image alone */
    const void *spec;     /* the row's own, for its functions */
    size_t network_bytes; /* of what one encoder keeps beside the parameter table */

    /* Of a picture of `size` pixels a side; flops: forward multiply-adds times two. */
    fb_encoder_shape (*shape)(const fb_encoder *row, int32_t size);
    double (*flops)(const fb_encoder *row, int32_t size);
    /* Declare parameters and buffers under PREFIX. network [network_bytes] is all zero
     * and stays where it is. */
    fb_status (*declare)(fb_params *params, void *network, const char *prefix,
                         const fb_encoder *row);
    /* y: maps or vectors, as above. A tape that does not record, or FROZEN: y needs no
     * gradient. FB_E_SHAPE: x is of another size. */
    fb_status (*forward)(fb_tape *tape, fb_var **y, void *network,
                         const fb_pictures *in, fb_encoder_mode mode, bool pooled);
    /* Others' weights for the parameters whose names begin with `prefix`; failures as
     * in weights_import.h. Of a row that learns, like the next. */
    fb_status (*import)(fb_context *ctx, fb_params *params, const char *path,
                        const char *prefix, fb_pretrained_report *report);
    /* Give back what the network holds and what be keeps of it; be NULL: nothing was
     * computed. Its own bytes are the caller's. */
    void (*release)(void *network, fb_backend *be);
};

/* ---- the list (encoders.c) ------------------------------------------------------ */

/* The rows in order, NULL behind the last (their names: fb_encoder_name() of
 * fashionbert.h). The first is what a model has unless told. */
const fb_encoder *fb_encoder_at(int32_t i);
/* NULL: no such name. */
const fb_encoder *fb_encoder_find(const char *name);
/* The same; FB_E_USAGE: no such name, with all that there are. */
fb_status fb_encoder_get(fb_context *ctx, const fb_encoder **row, const char *name);
/* Whether `name` is of a row that learns. */
bool fb_encoder_learns(const char *name);
/* Whether a patch's feature depends on the pixels of other patches, so that one which is
 * masked behind the network has been seen through its neighbours. false: no such row. */
bool fb_encoder_sees_around(const char *name, bool each);

#endif

/* quantization.h - the int8 scales of a model's linear layers and of its image network's
 * convolutions (backend/int8.h), and the
 * file quantization.json that keeps them with what they cost.
 *
 *     sw[n] = max over k of |w[n,k]| / 127
 *
 * A layer is a matrix of the parameter table that some linear layer multiplies by, of 16
 * outputs or more: smaller ones (a head of two logits) take no time and stay in f32. Of
 * convolutions, those of one group and 16 input channels or more: neither the one that
 * reads pixels nor those of small groups have sums long enough to pay for quantising.
 * Scales are of the weights before a norm is folded into them.
 *
 *     { "format": "fashionbert-quantization", "version": 1,
 *       "fingerprint": "16 hexadecimal digits",   of the model they were made for
 *       "measured": {NAME: {"float": x, "int8": y}, ...},
 *       "layers": {PARAMETER: {"outputs": N, "scales": base64 of N f32}, ...} }
 *
 * Reading checks everything before anything is used: sizes, names told once, scales that
 * are finite and not negative.
 */
#ifndef FB_NN_QUANTIZATION_H
#define FB_NN_QUANTIZATION_H

#include "nn/param.h"

#define FB_QUANTIZATION_FILE "quantization.json"
enum { FB_QUANTIZATION_LEAST_OUTPUTS = 16, FB_QUANTIZATION_LEAST_CHANNELS = 16 };

typedef struct fb_quantized_layer {
    const char *name; /* of the parameter: its first part's */
    int64_t outputs;
    int64_t offset; /* of its scales, in numbers */
} fb_quantized_layer;

typedef struct fb_quantization {
    uint64_t fingerprint; /* of the model; 0: not said yet */
    int32_t count;
    fb_quantized_layer *layers;
    int64_t total;
    float *scales;     /* [total] */
    fb_arena *arena;   /* all of it */
    fb_backend *be;    /* whose memory `on` is; borrowed; NULL: none is used */
    float *on;         /* [total] */
    fb_params *params; /* whose leaves point there */
    const char *by;    /* what multiplies, for people: "AVX2"; NULL: none is used */
    bool no_network;   /* the image network is left out, as in data of older programs */
} fb_quantization;

/* A figure of the float model and of the quantised one. */
typedef struct fb_quantization_figure {
    const char *name;
    double in_float, in_int8;
} fb_quantization_figure;

/* Scales of the matrices of the table, by its values on the host; `multiplied`: only
 * those that a linear layer has read since the table was made. FB_E_MEMORY */
fb_status fb_quantization_make(fb_context *ctx, fb_quantization **q,
                               const fb_params *params, bool multiplied);
void fb_quantization_free(fb_quantization *q); /* stops first */

/* From now on linear layers of the table, where nothing is recorded, are products of
 * int8 numbers. q must outlive that; be and params are borrowed.
 * FB_E_FORMAT   a layer that the table lacks, or that has other outputs there */
fb_status fb_quantization_use(fb_context *ctx, fb_quantization *q, fb_params *params,
                              fb_backend *be);
/* No longer; before be and params are freed. */
void fb_quantization_stop(fb_quantization *q);

/* FB_E_FORMAT, FB_E_LIMIT: the sentence names what is wrong. */
fb_status fb_quantization_parse(fb_context *ctx, fb_quantization **q, const char *name,
                                const char *text, size_t size_bytes);
fb_status fb_quantization_read(fb_context *ctx, fb_quantization **q, const char *path);
fb_status fb_quantization_write(fb_context *ctx, const fb_quantization *q,
                                const char *path, const fb_quantization_figure *figures,
                                int32_t count);

#endif

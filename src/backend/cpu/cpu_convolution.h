/* cpu_convolution.h - convolutions by oneDNN's own primitives, on rows as they lie
 * (channels last).
 *
 *     forward          y   = act(conv(x, w) + bias + residual)
 *     backward_input   dx  = conv'(dy, w)
 *     backward_weight  dw += conv'(x, dy)                      f32
 *
 * A primitive is made for the exact picture and count of images and kept in a bounded
 * cache (least recently used goes first). The weight is repacked into the layout that
 * it asks for when the weight's version moved; dw is computed in such a layout too, a
 * share of the images a thread, and added to the plain one. A residual is read where it
 * lies: copying it into y first takes up to twice the time.
 */
#ifndef FB_BACKEND_CPU_CPU_CONVOLUTION_H
#define FB_BACKEND_CPU_CPU_CONVOLUTION_H

#include "backend/backend.h"

typedef struct cpu_onednn cpu_onednn; /* cpu_onednn.h */
typedef struct cpu_convolution cpu_convolution;

/* lib is borrowed. */
fb_status cpu_convolution_create(fb_context *ctx, cpu_onednn *lib,
                                 cpu_convolution **convolution);
void cpu_convolution_free(cpu_convolution *convolution);

fb_status cpu_convolution_forward(fb_context *ctx, cpu_convolution *v,
                                  const fb_tensor *y, const fb_tensor *x, fb_weight *w,
                                  const fb_conv *c, const fb_conv_epilogue *after);
fb_status cpu_convolution_backward_input(fb_context *ctx, cpu_convolution *v,
                                         const fb_tensor *dx, const fb_tensor *dy,
                                         fb_weight *w, const fb_conv *c);
fb_status cpu_convolution_backward_weight(fb_context *ctx, cpu_convolution *v,
                                          float *dw, const fb_tensor *x,
                                          const fb_tensor *dy, const fb_conv *c);

#endif

/* gru.h - a layer of gated recurrent units over packed sequences (Cho et al. 2014), one
 * way or both ways, with torch's parameters and their order of gates r, z, n.
 *
 *     r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
 *     z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
 *     n = tanh(W_in x + b_in + r (W_hn h + b_hn))        h' = (1 - z) n + z h
 *
 * Both ways, the state of a token is the mean of that of the sequence read forwards and
 * of that of the sequence read backwards (SCAN; torch would put them side by side).
 *
 * Names on disk are torch's: PREFIX.weight_ih_l0 [3H,I], PREFIX.weight_hh_l0 [3H,H],
 * PREFIX.bias_ih_l0 and PREFIX.bias_hh_l0 [3H], and the same with _reverse. All begin
 * uniform in +-1/sqrt(H), as torch's do.
 */
#ifndef FB_NN_GRU_H
#define FB_NN_GRU_H

#include "nn/param.h"
#include "ops/ops.h"

/* A direction. */
typedef struct fb_gru_leaves {
    fb_leaf *input_weight, *input_bias, *state_weight, *state_bias;
} fb_gru_leaves;

typedef struct fb_gru {
    int32_t input, width; /* I, H */
    bool both_ways;
    fb_gru_leaves way[2]; /* forwards, backwards */
} fb_gru;

/* Declare its parameters under PREFIX ("text.gru"). */
fb_status fb_gru_declare(fb_params *params, fb_gru *gru, const char *prefix,
                         int32_t input, int32_t width, bool both_ways);

/* y[T,H], the state of every token, of x[T,I], B sequences, offsets[B+1]. */
fb_status fb_gru_forward(fb_tape *tape, fb_var **y, fb_var *x, const fb_gru *gru,
                         const int32_t *offsets, int32_t sequences);
/* y[B,H], the state at each sequence's last token; none may be empty. One way only. */
fb_status fb_gru_last(fb_tape *tape, fb_var **y, fb_var *x, const fb_gru *gru,
                      const int32_t *offsets, int32_t sequences);

/* Forward multiply-adds times two, over all its sequences' tokens. */
double fb_gru_flops(const fb_gru *gru, double tokens);

#endif

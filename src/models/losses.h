/* losses.h - how losses are weighed against each other, step by step:
 * FashionBERT's three, or however many there are.
 *
 * FashionBERT, Eq. 6: with g_i a squared gradient norm of loss i in [0,1) and L losses,
 *
 *     w_i = (L - g_i)^-1 / sum_j (L - g_j)^-1
 *
 * Modes:
 *   gradient   g_i = n_i / sum_j n_j, n_i the squared norm of d l_i / d h at the
 *              encoder's output h (which all losses share), or over all shared
 *              parameters. The paper does not say how it normalises; this choice is
 *              ours. Weights are constants. Only losses that are present count; with
 *              one, its g is 0 and its weight 1.
 *   softmax    the official code: g = softmax(l)^2. Without `detach` gradients flow
 *              through the weights; c_k = d total / d l_k is then
 *              w_k + 2 sum_j u_j w_j n_j (l_j - lbar)(delta_jk - s_k),
 *              s = softmax(l), n = s^2, u = 1/(L - n), lbar = sum w l.
 *   fixed      w_i = 1/L.
 */
#ifndef FB_MODELS_LOSSES_H
#define FB_MODELS_LOSSES_H

#include "base/status.h"

typedef enum fb_adaptive_mode {
    FB_ADAPTIVE_GRADIENT,
    FB_ADAPTIVE_SOFTMAX,
    FB_ADAPTIVE_FIXED
} fb_adaptive_mode;

/* Eq. 6 over those of `count` losses that are present; weights of the others are 0. All
 * arrays [count]; g in [0, L). */
void fb_adaptive_solve(double *weight, const double *g, const bool *present,
                       int32_t count);

/* n -> g = n / sum n; all zero stays zero. */
void fb_adaptive_normalise(double *g, const double *squared_norm, const bool *present,
                           int32_t count);

/* The official code's weights and the coefficients c that backward uses. */
void fb_adaptive_softmax(double *weight, double *coefficient, const double *loss,
                         const bool *present, int32_t count, bool detach);

fb_status fb_adaptive_mode_parse(fb_context *ctx, const char *word,
                                 fb_adaptive_mode *mode);

#endif

/* adaptive_loss.h - how the three losses are weighed against each other, step by step.
 *
 * FashionBERT, Eq. 6: with g_i a squared gradient norm of loss i in [0,1) and L losses,
 *
 *     w_i = (L - g_i)^-1 / sum_j (L - g_j)^-1
 *
 * Modes:
 *   gradient   g_i = n_i / sum_j n_j, n_i the squared norm of d l_i / d h at the
 * encoder's output h (which all losses share), or over all shared parameters. The paper
 *              does not say how it normalises; this choice is ours. Weights are
 * constants. Only losses that are present count; with one, its g is 0 and its weight 1.
 *   softmax    the official code: g = softmax(l)^2. Without `detach` gradients flow
 *              through the weights; c_k = d total / d l_k is then
 *              w_k + 2 sum_j u_j w_j n_j (l_j - lbar)(delta_jk - s_k),
 *              s = softmax(l), n = s^2, u = 1/(L - n), lbar = sum w l.
 *   fixed      w_i = 1/L.
 */
#ifndef FB_MODELS_ADAPTIVE_LOSS_H
#define FB_MODELS_ADAPTIVE_LOSS_H

#include "base/status.h"

enum { FB_LOSSES = 3 };
/* Order of losses everywhere. */
enum { FB_LOSS_MLM, FB_LOSS_TIA, FB_LOSS_MPM };

typedef enum fb_adaptive_mode {
    FB_ADAPTIVE_GRADIENT,
    FB_ADAPTIVE_SOFTMAX,
    FB_ADAPTIVE_FIXED
} fb_adaptive_mode;

/* Eq. 6 over the losses that are present; weights of the others are 0. g in [0, L). */
void fb_adaptive_solve(double weight[FB_LOSSES], const double g[FB_LOSSES],
                       const bool present[FB_LOSSES]);

/* n -> g = n / sum n; all zero stays zero. */
void fb_adaptive_normalise(double g[FB_LOSSES], const double squared_norm[FB_LOSSES],
                           const bool present[FB_LOSSES]);

/* The official code's weights and the coefficients c that backward uses. */
void fb_adaptive_softmax(double weight[FB_LOSSES], double coefficient[FB_LOSSES],
                         const double loss[FB_LOSSES], const bool present[FB_LOSSES],
                         bool detach);

fb_status fb_adaptive_mode_parse(fb_context *ctx, const char *word,
                                 fb_adaptive_mode *mode);

#endif

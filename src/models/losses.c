/* losses.c - see losses.h. */
#include "models/losses.h"

#include <math.h>
#include <string.h>

static double count_present(const bool *present, int32_t count)
{
    double n = 0;
    for (int32_t i = 0; i < count; i++)
        n += present[i];
    return n;
}

void fb_adaptive_solve(double *weight, const double *g, const bool *present,
                       int32_t count)
{
    double losses = count_present(present, count), sum = 0;
    for (int32_t i = 0; i < count; i++) {
        weight[i] = present[i] ? 1.0 / (losses - g[i]) : 0.0;
        sum += weight[i];
    }
    for (int32_t i = 0; i < count && sum > 0; i++)
        weight[i] /= sum;
}

void fb_adaptive_normalise(double *g, const double *squared_norm, const bool *present,
                           int32_t count)
{
    double sum = 0;
    for (int32_t i = 0; i < count; i++)
        sum += present[i] ? squared_norm[i] : 0;
    bool share = sum > 0 && count_present(present, count) > 1;
    for (int32_t i = 0; i < count; i++)
        g[i] = present[i] && share ? squared_norm[i] / sum : 0.0;
}

/* s = softmax(loss) over those that are present, 0 elsewhere. */
static void softmax(double *s, const double *loss, const bool *present, int32_t count)
{
    double top = -INFINITY, sum = 0;
    for (int32_t i = 0; i < count; i++)
        top = present[i] ? fmax(top, loss[i]) : top;
    for (int32_t i = 0; i < count; i++) {
        s[i] = present[i] ? exp(loss[i] - top) : 0;
        sum += s[i];
    }
    for (int32_t i = 0; i < count && sum > 0; i++)
        s[i] /= sum;
}

/* `weight` holds s, then n, while they are needed; one loss alone has weight 1. */
void fb_adaptive_softmax(double *weight, double *coefficient, const double *loss,
                         const bool *present, int32_t count, bool detach)
{
    double losses = count_present(present, count), mean = 0, pull = 0;
    softmax(coefficient, loss, present, count);
    for (int32_t i = 0; i < count; i++)
        weight[i] = losses > 1 ? coefficient[i] * coefficient[i] : 0;
    fb_adaptive_solve(weight, weight, present, count);
    for (int32_t i = 0; i < count; i++)
        mean += weight[i] * loss[i];
    /* 2 u_j w_j n_j (l_j - mean) of each j, and their sum */
    for (int32_t pass = 0; pass < 2; pass++)
        for (int32_t i = 0; i < count; i++) {
            double s = coefficient[i], n = losses > 1 ? s * s : 0;
            double own = present[i] && !detach
                             ? 2 * weight[i] * n * (loss[i] - mean) / (losses - n)
                             : 0;
            if (pass == 0)
                pull += own;
            else
                coefficient[i] = weight[i] + own - s * pull;
        }
}

fb_status fb_adaptive_mode_parse(fb_context *ctx, const char *word,
                                 fb_adaptive_mode *mode)
{
    static const char *const words[] = {"gradient", "softmax", "fixed"};
    for (int i = 0; i < 3; i++)
        if (strcmp(word, words[i]) == 0) {
            *mode = (fb_adaptive_mode)i;
            return FB_OK;
        }
    return fb_fail(ctx, FB_E_USAGE,
                   "--adaptive %s is not known; use gradient, softmax or fixed", word);
}

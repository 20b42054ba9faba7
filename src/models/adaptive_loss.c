/* adaptive_loss.c - see adaptive_loss.h. */
#include "models/adaptive_loss.h"

#include <math.h>
#include <string.h>

static int32_t count_present(const bool present[FB_LOSSES])
{
    int32_t n = 0;
    for (int i = 0; i < FB_LOSSES; i++)
        n += present[i];
    return n;
}

void fb_adaptive_solve(double weight[FB_LOSSES], const double g[FB_LOSSES],
                       const bool present[FB_LOSSES])
{
    double count = count_present(present), sum = 0;
    for (int i = 0; i < FB_LOSSES; i++) {
        weight[i] = present[i] ? 1.0 / (count - g[i]) : 0.0;
        sum += weight[i];
    }
    for (int i = 0; i < FB_LOSSES && sum > 0; i++)
        weight[i] /= sum;
}

void fb_adaptive_normalise(double g[FB_LOSSES], const double squared_norm[FB_LOSSES],
                           const bool present[FB_LOSSES])
{
    double sum = 0;
    for (int i = 0; i < FB_LOSSES; i++)
        sum += present[i] ? squared_norm[i] : 0;
    bool share = sum > 0 && count_present(present) > 1;
    for (int i = 0; i < FB_LOSSES; i++)
        g[i] = present[i] && share ? squared_norm[i] / sum : 0.0;
}

void fb_adaptive_softmax(double weight[FB_LOSSES], double coefficient[FB_LOSSES],
                         const double loss[FB_LOSSES], const bool present[FB_LOSSES],
                         bool detach)
{
    double count = count_present(present), top = -INFINITY, sum = 0;
    double s[FB_LOSSES] = {0}, n[FB_LOSSES] = {0}, u[FB_LOSSES] = {0}, mean = 0;
    for (int i = 0; i < FB_LOSSES; i++)
        top = present[i] ? fmax(top, loss[i]) : top;
    for (int i = 0; i < FB_LOSSES; i++) {
        s[i] = present[i] ? exp(loss[i] - top) : 0;
        sum += s[i];
    }
    for (int i = 0; i < FB_LOSSES && sum > 0; i++) {
        s[i] /= sum;
        n[i] = count > 1 ? s[i] * s[i] : 0; /* one loss alone has weight 1 */
        u[i] = 1.0 / (count - n[i]);
    }
    fb_adaptive_solve(weight, n, present);
    for (int i = 0; i < FB_LOSSES; i++)
        mean += weight[i] * loss[i];
    for (int k = 0; k < FB_LOSSES; k++) {
        coefficient[k] = weight[k];
        for (int j = 0; j < FB_LOSSES && !detach && present[k]; j++)
            coefficient[k] += 2 * u[j] * weight[j] * n[j] * (loss[j] - mean) *
                              ((j == k ? 1.0 : 0.0) - s[k]);
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

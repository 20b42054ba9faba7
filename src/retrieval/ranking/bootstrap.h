/* bootstrap.h - means and spreads over trainings, and paired bootstrap intervals of what
 * two systems find (Efron and Tibshirani 1993; paired, as both rank the same queries).
 *
 * The unit that is drawn is an item of the split, with all that was asked about it: its
 * image's and its text's query, in every draw of candidates, as mean over trainings. So
 * the interval is about other products; how trainings differ is the standard deviation's
 * business.
 *
 *     SumR(units) = sum over both ways and K in 1, 5, 10 of  hits at K / queries
 *     difference  = SumR of b - SumR of a over all units
 *     low, high   = 2.5th and 97.5th percentile of the difference over resamples, each
 *                   of as many units, drawn with replacement, the same of a and b
 */
#ifndef FB_RETRIEVAL_RANKING_BOOTSTRAP_H
#define FB_RETRIEVAL_RANKING_BOOTSTRAP_H

#include "base/status.h"
#include "fashionbert.h"

enum { FB_CUTS = 3 }; /* K = 1, 5, 10 */

/* What a system found of one item; sums over draws and trainings. */
typedef struct fb_unit {
    double hits[2][FB_CUTS]; /* by way: image to text, text to image */
    double queries[2];
} fb_unit;

/* Add every rank to units [items], by its query. FB_E_FORMAT: a query is not in
 * [0, items). */
fb_status fb_units_add(fb_context *ctx, fb_unit *units, int32_t items,
                       const fb_ranked_query *ranks, int64_t count);

/* NaN without queries of both ways. */
double fb_units_sum_r(const fb_unit *units, int64_t count);

/* b against a, units [count] each. FB_E_MEMORY. A resample without queries of both ways
 * is left out; interval.low and high are NaN where all are. */
fb_status fb_bootstrap_sum_r(fb_context *ctx, fb_interval *interval, const fb_unit *a,
                             const fb_unit *b, int64_t count, int32_t resamples,
                             uint64_t seed);

/* NaN among values are left out. */
fb_mean_sd fb_mean_sd_of(const double *values, int64_t count);

#endif

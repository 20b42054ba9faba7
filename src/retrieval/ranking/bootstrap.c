/* bootstrap.c - see bootstrap.h. */
#include "retrieval/ranking/bootstrap.h"

#include "base/random.h"

#include <math.h>
#include <stdlib.h>

static const int64_t cuts[FB_CUTS] = {1, 5, 10};

fb_status fb_units_add(fb_context *ctx, fb_unit *units, int32_t items,
                       const fb_ranked_query *ranks, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const fb_ranked_query *r = &ranks[i];
        if (r->query < 0 || r->query >= items)
            return fb_fail(ctx, FB_E_FORMAT, "rank %lld is of item %d, of %d there are",
                           (long long)i, (int)r->query, (int)items);
        fb_unit *u = &units[r->query];
        u->queries[r->text_to_image]++;
        for (int k = 0; k < FB_CUTS; k++)
            u->hits[r->text_to_image][k] += r->rank <= cuts[k];
    }
    return FB_OK;
}

static void add(fb_unit *sum, const fb_unit *unit)
{
    for (int way = 0; way < 2; way++) {
        sum->queries[way] += unit->queries[way];
        for (int k = 0; k < FB_CUTS; k++)
            sum->hits[way][k] += unit->hits[way][k];
    }
}

static double sum_r(const fb_unit *sum)
{
    double total = 0;
    for (int way = 0; way < 2; way++)
        for (int k = 0; k < FB_CUTS; k++)
            total += sum->hits[way][k] / sum->queries[way];
    return total; /* 0 / 0 makes it NaN */
}

double fb_units_sum_r(const fb_unit *units, int64_t count)
{
    fb_unit sum = {0};
    for (int64_t i = 0; i < count; i++)
        add(&sum, &units[i]);
    return sum_r(&sum);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Between the two nearest of sorted values, as numpy's percentile. */
static double percentile(const double *sorted, int64_t count, double share)
{
    double at = share * (double)(count - 1);
    int64_t below = (int64_t)at;
    double rest = at - (double)below;
    return rest > 0 ? sorted[below] + rest * (sorted[below + 1] - sorted[below])
                    : sorted[below];
}

fb_status fb_bootstrap_sum_r(fb_context *ctx, fb_interval *interval, const fb_unit *a,
                             const fb_unit *b, int64_t count, int32_t resamples,
                             uint64_t seed)
{
    double *differences = malloc(((size_t)resamples + 1) * sizeof *differences);
    int64_t kept = 0;
    if (!differences)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %d resamples", (int)resamples);
    for (int32_t r = 0; r < resamples && count > 0; r++) {
        fb_random random = fb_random_start(seed, FB_STREAM_BOOTSTRAP, (uint64_t)r);
        fb_unit of_a = {0}, of_b = {0};
        for (int64_t i = 0; i < count; i++) {
            uint32_t drawn = fb_random_below(&random, (uint32_t)count);
            add(&of_a, &a[drawn]);
            add(&of_b, &b[drawn]);
        }
        double difference = sum_r(&of_b) - sum_r(&of_a);
        if (isfinite(difference))
            differences[kept++] = difference;
    }
    qsort(differences, (size_t)kept, sizeof *differences, by_value);
    *interval = (fb_interval){
        .difference = fb_units_sum_r(b, count) - fb_units_sum_r(a, count),
        .low = kept ? percentile(differences, kept, 0.025) : (double)NAN,
        .high = kept ? percentile(differences, kept, 0.975) : (double)NAN};
    free(differences);
    return FB_OK;
}

fb_mean_sd fb_mean_sd_of(const double *values, int64_t count)
{
    double sum = 0, squares = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++) {
        if (isnan(values[i]))
            continue;
        sum += values[i];
        n++;
    }
    if (n == 0)
        return (fb_mean_sd){NAN, NAN};
    double mean = sum / (double)n;
    for (int64_t i = 0; i < count; i++)
        if (!isnan(values[i]))
            squares += (values[i] - mean) * (values[i] - mean);
    return (fb_mean_sd){mean, n > 1 ? sqrt(squares / (double)(n - 1)) : (double)NAN};
}

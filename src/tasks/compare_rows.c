/* compare_rows.c - from results to rows: means and spreads over seeds, and each row's
 * paired bootstrap against the first (retrieval/ranking/bootstrap.h). */
#include "retrieval/ranking/bootstrap.h"
#include "tasks/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { BOOTSTRAP_SEED = 1 };

/* ---- means and spreads ------------------------------------------------------------ */

/* A number of a result. */
typedef double number(const fb_compare_result *r);

static double sum_r(const fb_compare_result *r)
{
    return r->evaluation->sum_r;
}
static double accuracy(const fb_compare_result *r)
{
    return r->evaluation->accuracy;
}
static double seconds(const fb_compare_result *r)
{
    return r->train_seconds;
}
static double processor(const fb_compare_result *r)
{
    return r->processor_seconds;
}
static double speed(const fb_compare_result *r)
{
    return r->pairs_per_s;
}
static double products(const fb_compare_result *r)
{
    return r->products ? (double)r->products : (double)NAN;
}
static double i2t_1(const fb_compare_result *r)
{
    return r->evaluation->image_to_text.r1;
}
static double i2t_5(const fb_compare_result *r)
{
    return r->evaluation->image_to_text.r5;
}
static double i2t_10(const fb_compare_result *r)
{
    return r->evaluation->image_to_text.r10;
}
static double t2i_1(const fb_compare_result *r)
{
    return r->evaluation->text_to_image.r1;
}
static double t2i_5(const fb_compare_result *r)
{
    return r->evaluation->text_to_image.r5;
}
static double t2i_10(const fb_compare_result *r)
{
    return r->evaluation->text_to_image.r10;
}

static fb_mean_sd over_seeds(const fb_compare_run *c, int32_t entry, number *of)
{
    double values[128];
    int32_t n = 0;
    for (int32_t s = 0; s < fb_compare_seeds(c, entry); s++) {
        const fb_compare_result *r = fb_compare_result_of(c, entry, s);
        if (r->there)
            values[n++] = of(r);
    }
    return fb_mean_sd_of(values, n);
}

static void fill_row(const fb_compare_run *c, int32_t entry, fb_compare_row *row)
{
    const fb_compare_entry *e = &c->entries[entry];
    snprintf(row->name, sizeof row->name, "%s", e->name);
    row->trained = !e->folder[0];
    for (int32_t s = 0; s < fb_compare_seeds(c, entry); s++) {
        const fb_compare_result *r = fb_compare_result_of(c, entry, s);
        row->seeds += r->there;
        if (r->there && !row->parameters)
            row->parameters = r->parameters;
        if (r->there || !r->message[0])
            continue;
        if (!row->failed++)
            snprintf(row->message, sizeof row->message, "%s", r->message);
    }
    row->image_to_text =
        (fb_mean_recall){over_seeds(c, entry, i2t_1), over_seeds(c, entry, i2t_5),
                         over_seeds(c, entry, i2t_10)};
    row->text_to_image =
        (fb_mean_recall){over_seeds(c, entry, t2i_1), over_seeds(c, entry, t2i_5),
                         over_seeds(c, entry, t2i_10)};
    row->sum_r = over_seeds(c, entry, sum_r);
    row->accuracy = over_seeds(c, entry, accuracy);
    row->train_seconds = over_seeds(c, entry, seconds);
    row->processor_seconds = over_seeds(c, entry, processor);
    row->products = over_seeds(c, entry, products);
    row->pairs_per_s = over_seeds(c, entry, speed);
}

/* ---- intervals -------------------------------------------------------------------- */

/* What all seeds of an entry found, item by item. */
static fb_status gather(const fb_compare_run *c, int32_t entry, fb_unit *units)
{
    memset(units, 0, (size_t)c->items->count * sizeof *units);
    for (int32_t s = 0; s < fb_compare_seeds(c, entry); s++) {
        const fb_compare_result *r = fb_compare_result_of(c, entry, s);
        if (r->there)
            FB_TRY(fb_units_add(c->ctx, units, c->items->count, r->evaluation->ranks,
                                r->evaluation->rank_count));
    }
    return FB_OK;
}

static fb_status fill_intervals(const fb_compare_run *c, fb_comparison *out)
{
    int32_t items = c->items->count;
    fb_unit *first = calloc((size_t)items + 1, sizeof *first);
    fb_unit *other = calloc((size_t)items + 1, sizeof *other);
    fb_status status = FB_OK;
    if (!first || !other)
        status = fb_fail(c->ctx, FB_E_MEMORY, "no memory for the bootstrap");
    if (status == FB_OK)
        status = gather(c, 0, first);
    for (int32_t i = 0; i < out->row_count && status == FB_OK; i++) {
        fb_compare_row *row = &out->rows[i];
        row->sum_r_against_first = (fb_interval){NAN, NAN, NAN};
        if (i == 0 || row->seeds == 0 || out->rows[0].seeds == 0)
            continue;
        status = gather(c, i, other);
        if (status == FB_OK)
            status = fb_bootstrap_sum_r(c->ctx, &row->sum_r_against_first, first, other,
                                        items, c->options->resamples, BOOTSTRAP_SEED);
    }
    free(other);
    free(first);
    return status;
}

static int64_t peak_memory(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (int64_t)usage.ru_maxrss * 1024 : 0;
}

fb_status fb_compare_rows(fb_compare_run *c, fb_comparison **comparison)
{
    fb_comparison *out = calloc(1, sizeof *out);
    if (!out || !(out->rows = calloc((size_t)c->entry_count + 1, sizeof *out->rows))) {
        fb_comparison_free(out);
        return fb_fail(c->ctx, FB_E_MEMORY, "no memory for the rows");
    }
    out->row_count = c->entry_count;
    for (int32_t i = 0; i < c->entry_count; i++) {
        fill_row(c, i, &out->rows[i]);
        out->failed += out->rows[i].failed;
    }
    snprintf(out->features, sizeof out->features, "%s", c->features);
    out->features_seconds = c->features_seconds;
    out->features_processor_seconds = c->features_processor_s;
    out->done = c->done;
    out->done_before = c->done_before;
    out->peak_memory_bytes = peak_memory();
    fb_status status = fill_intervals(c, out);
    if (status != FB_OK) {
        fb_comparison_free(out);
        return status;
    }
    *comparison = out;
    return FB_OK;
}

void fb_comparison_free(fb_comparison *comparison)
{
    if (!comparison)
        return;
    free(comparison->rows);
    free(comparison);
}

/* compare_report.c - report.html: tables, plots (base/svg_plot.h), R@1 by category, and
 * what each system finds for the same titles. No script, no other file; photos are
 * JPEGs of THUMB pixels a side within the page.
 */
#include "base/file.h"
#include "base/html.h"
#include "base/memory_stream.h"
#include "base/number_text.h"
#include "base/svg_plot.h"
#include "data/image/image_load.h"
#include "tasks/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { THUMB = 96, THUMB_QUALITY = 82, CATEGORIES = 20, COLOURS = 10 };

typedef struct report {
    FILE *out;
    const fb_compare_run *c;
    const fb_comparison *found;
    fb_resizer *resizer;
} report;

static const char style[] =
    ":root{color-scheme:light dark;--line:#8884;--soft:#8881;--good:#4a9a4a}"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1200px;margin:2em auto;"
    "padding:0 1em}"
    "h1{font-size:1.6em;margin-bottom:.2em}h2{font-size:1.2em;margin:2em 0 .5em}"
    ".wide{overflow-x:auto}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "th,td{padding:.2em .7em;text-align:right;border-bottom:1px solid var(--line);"
    "white-space:nowrap}th{font-weight:600}th[colspan]{text-align:center}"
    "th:first-child,td:first-child,td.text{text-align:left}"
    "td i{font-style:normal;font-weight:400;color:#888;font-size:.82em;display:block}"
    "td.best{font-weight:700}"
    "td.why{white-space:normal;text-align:left;color:#b85858}"
    ".none{color:#888}.key{display:inline-block;width:.7em;height:.7em;"
    "border-radius:50%;background:var(--c);margin-right:.4em}"
    ".example{display:grid;grid-template-columns:max-content auto;gap:.4em 1em;"
    "align-items:center;margin:.5em 0 1.5em}"
    ".row{display:flex;gap:.4em;flex-wrap:wrap}"
    ".photo{width:96px;height:96px;border:3px solid transparent;border-radius:6px;"
    "background:#fff;display:block}.photo.own{border-color:var(--good)}"
    "code{overflow-wrap:anywhere}";

/* ---- small pieces ----------------------------------------------------------------- */

static void put_text(const report *p, const char *before, const char *text,
                     const char *behind)
{
    fputs(before, p->out);
    fb_html_text(p->out, text);
    fputs(behind, p->out);
}

/* The system's name with its colour in the plots. */
static void put_name(const report *p, const char *before, int32_t row,
                     const char *behind)
{
    fprintf(p->out, "%s<span class=\"key s%d\"></span>", before, (int)(row % COLOURS));
    put_text(p, "", p->found->rows[row].name, behind);
}

static void put_number(const report *p, double value, int decimals)
{
    if (isfinite(value))
        fb_stream_print(p->out, "<td>%.*f", decimals, value);
    else
        fputs("<td class=none>-", p->out);
}

static void put_spread(const report *p, fb_mean_sd s, int decimals, bool best)
{
    if (!isfinite(s.mean)) {
        put_number(p, s.mean, 0);
        return;
    }
    fb_stream_print(p->out, "<td%s>%.*f", best ? " class=best" : "", decimals, s.mean);
    if (isfinite(s.sd))
        fb_stream_print(p->out, " <i>&plusmn;%.*f</i>", decimals, s.sd);
}

/* ---- tables ----------------------------------------------------------------------- */

static double best_of(const report *p, size_t offset)
{
    double best = -INFINITY;
    for (int32_t i = 0; i < p->found->row_count; i++) {
        fb_mean_sd s;
        memcpy(&s, (const char *)&p->found->rows[i] + offset, sizeof s);
        if (s.mean > best)
            best = s.mean;
    }
    return best;
}

static void put_best(const report *p, const fb_compare_row *row, size_t offset)
{
    fb_mean_sd s;
    memcpy(&s, (const char *)row + offset, sizeof s);
    put_spread(p, s, 3, !(s.mean < best_of(p, offset)));
}

#define AT(member) offsetof(fb_compare_row, member)

static void put_recall(const report *p)
{
    static const size_t columns[] = {AT(image_to_text.r1),
                                     AT(image_to_text.r5),
                                     AT(image_to_text.r10),
                                     AT(text_to_image.r1),
                                     AT(text_to_image.r5),
                                     AT(text_to_image.r10),
                                     AT(sum_r)};
    fputs("<h2>What they find</h2>\n<div class=wide><table><tr><th rowspan=2>system<th "
          "colspan=3>image to text<th colspan=3>text to image<th rowspan=2>SumR<th "
          "rowspan=2>SumR against the first<th rowspan=2>accuracy<th rowspan=2>seeds"
          "</tr>\n<tr><th>R@1<th>R@5<th>R@10<th>R@1<th>R@5<th>R@10</tr>\n",
          p->out);
    for (int32_t i = 0; i < p->found->row_count; i++) {
        const fb_compare_row *r = &p->found->rows[i];
        put_name(p, "<tr><td>", i, "");
        if (r->seeds == 0) {
            put_text(p, "<td class=why colspan=10>", r->message, "</tr>\n");
            continue;
        }
        for (size_t k = 0; k < sizeof columns / sizeof columns[0]; k++)
            put_best(p, r, columns[k]);
        const fb_interval *v = &r->sum_r_against_first;
        if (isfinite(v->low))
            fb_stream_print(p->out, "<td>%+.3f <i>[%+.3f, %+.3f]</i>", v->difference,
                            v->low, v->high);
        else
            fputs("<td class=none>-", p->out);
        put_spread(p, r->accuracy, 3, false);
        fprintf(p->out, "<td>%d</tr>\n", (int)r->seeds);
    }
    fputs("</table></div>\n", p->out);
}

static void put_costs(const report *p)
{
    fputs(
        "<h2>What they cost</h2>\n<div class=wide><table><tr><th>system<th>training, s"
        "<th>processor, s<th>products seen<th>pairs scored/s<th>parameters</tr>\n",
        p->out);
    for (int32_t i = 0; i < p->found->row_count; i++) {
        const fb_compare_row *r = &p->found->rows[i];
        put_name(p, "<tr><td>", i, "");
        put_spread(p, r->train_seconds, 0, false);
        put_spread(p, r->processor_seconds, 0, false);
        put_spread(p, r->products, 0, false);
        put_spread(p, r->pairs_per_s, 0, false);
        put_number(p, r->parameters ? (double)r->parameters : (double)NAN, 0);
        fputs("</tr>\n", p->out);
    }
    fputs("</table></div>\n", p->out);
}

static void put_failures(const report *p)
{
    if (!p->found->failed)
        return;
    fputs("<h2>What failed</h2>\n<table><tr><th>system<th>times<th>why, the first time"
          "</tr>\n",
          p->out);
    for (int32_t i = 0; i < p->found->row_count; i++) {
        const fb_compare_row *r = &p->found->rows[i];
        if (!r->failed)
            continue;
        put_name(p, "<tr><td>", i, "");
        fprintf(p->out, "<td>%d", (int)r->failed);
        put_text(p, "<td class=why>", r->message, "</tr>\n");
    }
    fputs("</table>\n", p->out);
}

/* ---- plots ------------------------------------------------------------------------ */

/* SumR of every row against a number of it. */
static void put_cost_plot(const report *p, size_t cost, const char *title,
                          const char *x_label)
{
    int32_t count = p->found->row_count;
    fb_svg_series *series = calloc((size_t)count + 1, sizeof *series);
    double *numbers = calloc((size_t)count * 4 + 1, sizeof *numbers);
    for (int32_t i = 0; series && numbers && i < count; i++) {
        const fb_compare_row *r = &p->found->rows[i];
        double *v = numbers + (int64_t)4 * i;
        fb_mean_sd x;
        memcpy(&x, (const char *)r + cost, sizeof x);
        v[0] = x.mean;
        v[1] = r->sum_r.mean;
        v[2] = r->sum_r.mean - r->sum_r.sd;
        v[3] = r->sum_r.mean + r->sum_r.sd;
        series[i] = (fb_svg_series){.name = r->name,
                                    .x = v,
                                    .y = v + 1,
                                    .low = v + 2,
                                    .high = v + 3,
                                    .count = 1,
                                    .colour = i,
                                    .named = true};
    }
    const fb_svg_plot plot = {.title = title,
                              .x_label = x_label,
                              .y_label = "SumR, its spread over seeds as a bar",
                              .log_x = true,
                              .series = series,
                              .series_count = series && numbers ? count : 0};
    fb_svg_plot_write(p->out, &plot);
    free(numbers);
    free(series);
}

/* Points of one result as a series over xy [2, FB_COMPARE_CURVE]. */
static fb_svg_series curve_of(const report *p, int32_t entry, int32_t seed,
                              const char *name, double *xy)
{
    const fb_compare_result *r = fb_compare_result_of(p->c, entry, seed);
    for (int32_t i = 0; i < r->curve_count; i++) {
        xy[i] = r->curve[i].products;
        xy[FB_COMPARE_CURVE + i] = r->curve[i].value;
    }
    return (fb_svg_series){.name = name,
                           .x = xy,
                           .y = xy + FB_COMPARE_CURVE,
                           .count = r->curve_count,
                           .colour = entry};
}

/* Whether an earlier entry has the same measure: each is plotted once. */
static const char *measure_of(const report *p, int32_t entry)
{
    for (int32_t s = 0; s < fb_compare_seeds(p->c, entry); s++) {
        const fb_compare_result *r = fb_compare_result_of(p->c, entry, s);
        if (r->there && r->curve_count > 0)
            return r->measure;
    }
    return "";
}

static void put_curves_of(const report *p, const char *measure)
{
    int32_t most = p->c->entry_count * p->c->options->seeds, n = 0;
    fb_svg_series *series = calloc((size_t)most + 1, sizeof *series);
    double *xy = calloc((size_t)most * 2 * FB_COMPARE_CURVE + 1, sizeof *xy);
    char title[160];
    for (int32_t i = 0; series && xy && i < p->c->entry_count; i++) {
        bool named = false;
        for (int32_t s = 0; s < fb_compare_seeds(p->c, i); s++) {
            const fb_compare_result *r = fb_compare_result_of(p->c, i, s);
            if (!r->there || strcmp(r->measure, measure) != 0 || r->curve_count == 0)
                continue;
            series[n] = curve_of(p, i, s, p->found->rows[i].name,
                                 xy + (int64_t)n * 2 * FB_COMPARE_CURVE);
            series[n++].named = !named;
            named = true;
        }
    }
    snprintf(title, sizeof title, "%s on the validation split", measure);
    const fb_svg_plot plot = {.title = title,
                              .x_label = "training products seen",
                              .y_label = "a line a seed",
                              .lines = true,
                              .series = series,
                              .series_count = n};
    fb_svg_plot_write(p->out, &plot);
    free(xy);
    free(series);
}

static void put_plots(const report *p)
{
    fputs("<h2>Recall against cost</h2>\n", p->out);
    put_cost_plot(p, AT(processor_seconds), "What training costs",
                  "processor seconds of training, all threads together");
    put_cost_plot(p, AT(pairs_per_s), "What scoring costs",
                  "pairs scored a second (to the right: cheaper)");
    fputs("<h2>Learning curves</h2>\n<p>Each system's best weights are chosen by a "
          "measure of its own on the validation split. Measures of one name share a "
          "plot, though each is of its own system's batches: read a curve against "
          "itself. What is solved in closed form is one point.</p>\n",
          p->out);
    for (int32_t i = 0; i < p->c->entry_count; i++) {
        bool came = !measure_of(p, i)[0];
        for (int32_t k = 0; k < i && !came; k++)
            came = strcmp(measure_of(p, k), measure_of(p, i)) == 0;
        if (!came)
            put_curves_of(p, measure_of(p, i));
    }
}

/* ---- categories ------------------------------------------------------------------- */

/* Mean of R@1 both ways over seeds; NaN: there is none. */
static double category_r1(const report *p, int32_t entry, const char *name)
{
    double sum = 0;
    int32_t n = 0;
    for (int32_t s = 0; s < fb_compare_seeds(p->c, entry); s++) {
        const fb_compare_result *r = fb_compare_result_of(p->c, entry, s);
        for (int64_t k = 0; r->there && k < r->evaluation->category_count; k++) {
            const fb_category_result *one = &r->evaluation->categories[k];
            if (strcmp(one->name, name) != 0)
                continue;
            sum += (one->image_to_text.r1 + one->text_to_image.r1) / 2;
            n++;
        }
    }
    return n ? sum / n : (double)NAN;
}

static const fb_evaluation *any_evaluation(const report *p)
{
    for (int32_t i = 0; i < p->c->entry_count; i++)
        for (int32_t s = 0; s < fb_compare_seeds(p->c, i); s++)
            if (fb_compare_result_of(p->c, i, s)->there)
                return fb_compare_result_of(p->c, i, s)->evaluation;
    return NULL;
}

static void put_category(const report *p, const fb_category_result *category)
{
    double best = -INFINITY;
    for (int32_t i = 0; i < p->c->entry_count; i++)
        best = fmax(best, category_r1(p, i, category->name));
    put_text(p, "<tr><td>", category->name, "");
    fprintf(
        p->out, "<td>%lld",
        (long long)(category->image_to_text.queries + category->text_to_image.queries));
    for (int32_t i = 0; i < p->c->entry_count; i++) {
        double r1 = category_r1(p, i, category->name);
        put_spread(p, (fb_mean_sd){r1, NAN}, 3, !(r1 < best));
    }
    put_number(p, category->image_to_text.chance_r1, 3);
    fputs("</tr>\n", p->out);
}

static void put_categories(const report *p)
{
    const fb_evaluation *e = any_evaluation(p);
    if (!e || e->category_count == 0)
        return;
    fputs("<h2>R@1 by category</h2>\n<p>The mean of both ways, over seeds.", p->out);
    if (e->category_count > CATEGORIES)
        fprintf(p->out, " The %d largest of %lld.", CATEGORIES,
                (long long)e->category_count);
    fputs("</p>\n<div class=wide><table><tr><th>category<th>queries", p->out);
    for (int32_t i = 0; i < p->found->row_count; i++)
        put_name(p, "<th>", i, "");
    fputs("<th>chance</tr>\n", p->out);
    for (int64_t k = 0; k < e->category_count && k < CATEGORIES; k++)
        put_category(p, &e->categories[k]);
    fputs("</table></div>\n", p->out);
}

/* ---- examples --------------------------------------------------------------------- */

static void put_photo(const report *p, int32_t item, bool own)
{
    uint8_t pixels[THUMB * THUMB * 3];
    fb_image thumb = {THUMB, THUMB, pixels};
    const char *path = p->c->items->paths[item];
    char *bytes = NULL;
    size_t size = 0;
    if (fb_image_load(NULL, path, p->resizer, THUMB, FB_FIT_PAD, FB_FILTER_BICUBIC,
                      pixels) != FB_OK) {
        fputs("<span class=none>not read</span>", p->out);
        return;
    }
    FILE *stream = fb_memory_open(&bytes, &size);
    bool made = stream && fb_image_encode_jpeg(NULL, stream, path, &thumb,
                                               THUMB_QUALITY, false) == FB_OK;
    made = fb_memory_close(stream, &bytes) && made;
    if (made) {
        put_text(p, "<img title=\"", p->c->items->titles[item], "\" alt=\"");
        put_text(p, "", p->c->items->titles[item], "\" class=\"photo");
        fprintf(p->out, "%s\" src=\"", own ? " own" : "");
        fb_html_data_uri(p->out, "image/jpeg", (const uint8_t *)bytes, size);
        fputs("\">", p->out);
    }
    free(bytes);
}

/* The first seed that is there. */
static const fb_compare_result *first_of(const report *p, int32_t entry)
{
    for (int32_t s = 0; s < fb_compare_seeds(p->c, entry); s++)
        if (fb_compare_result_of(p->c, entry, s)->there)
            return fb_compare_result_of(p->c, entry, s);
    return NULL;
}

static void put_ranking(const report *p, int32_t entry, const fb_compare_example *e)
{
    const int32_t *same = p->c->items->same_image;
    put_name(p, "<div>", entry, "");
    fprintf(p->out, "<br><span class=none>its own: %lld of %lld</span></div>",
            (long long)e->rank, (long long)e->candidates);
    fputs("<div class=row>", p->out);
    for (int k = 0; k < FB_COMPARE_TOP && e->best[k] >= 0; k++)
        put_photo(p, e->best[k], same[e->best[k]] == same[e->query]);
    fputs("</div>\n", p->out);
}

static void put_examples(const report *p)
{
    int32_t shown = 0;
    for (int32_t i = 0; i < p->c->entry_count; i++) {
        const fb_compare_result *r = first_of(p, i);
        if (r && r->example_count > shown)
            shown = r->example_count;
    }
    if (shown == 0)
        return;
    fprintf(
        p->out,
        "<h2>What they find for the same titles</h2>\n<p>Titles spread evenly over "
        "the split, not chosen; the %d best of the same candidates by each system's "
        "first seed, the best to the left, the title's own photo in a frame.</p>\n",
        FB_COMPARE_TOP);
    for (int32_t k = 0; k < shown; k++) {
        bool said = false;
        for (int32_t i = 0; i < p->c->entry_count; i++) {
            const fb_compare_result *r = first_of(p, i);
            if (!r || k >= r->example_count)
                continue;
            const fb_compare_example *e = &r->examples[k];
            if (!said) {
                put_text(p, "<h3>", p->c->items->titles[e->query],
                         "</h3>\n<div class=example>\n<div>the title's own</div><div "
                         "class=row>");
                put_photo(p, e->query, true);
                fputs("</div>\n", p->out);
            }
            said = true;
            put_ranking(p, i, e);
        }
        fputs(said ? "</div>\n" : "", p->out);
    }
}

/* ---- the page --------------------------------------------------------------------- */

static void put_head(const report *p)
{
    const fb_compare_options *o = p->c->options;
    fputs("<!doctype html>\n<html lang=en><head><meta charset=utf-8>\n<meta "
          "name=viewport content=\"width=device-width\">\n<title>Systems "
          "compared</title>\n<style>",
          p->out);
    fputs(style, p->out);
    fputs(fb_svg_plot_style, p->out);
    put_text(p, "</style></head><body>\n<h1>Systems compared on ", o->catalog,
             "</h1>\n<p>");
    if (o->budget > 0)
        fb_stream_print(p->out, "At most %g processor minutes a system and seed. ",
                        o->budget);
    if (o->products)
        fprintf(p->out, "At most %lld training products. ", (long long)o->products);
    put_text(p, "Split ", o->split, ", ");
    put_text(p, "protocol ", o->protocol, "");
    if (strcmp(o->protocol, "sampled") == 0)
        fprintf(p->out, ", up to %d others from %s, %d draw%s", (int)o->negative_count,
                o->negatives, (int)o->draws, o->draws == 1 ? "" : "s");
    fprintf(p->out, ", %lld products.", (long long)p->c->items->count);
    if (p->found->features[0])
        put_text(p, " Image features of <code>", p->found->features, "</code>, frozen");
    if (o->regions[0])
        put_text(p, " Features of regions of <code>", o->regions, "</code>");
    if (isfinite(p->found->features_processor_seconds))
        fb_stream_print(p->out, " (%.0f processor seconds of training, shared)",
                        p->found->features_processor_seconds);
    fprintf(
        p->out,
        "%s &plusmn; is the standard deviation over seeds; intervals are 95&#8239;%% "
        "of a paired bootstrap over products (%d resamples).</p>\n",
        p->found->features[0] || o->regions[0] ? "." : "", (int)o->resamples);
}

fb_status fb_compare_write_report(const fb_compare_run *c, const fb_comparison *found)
{
    char path[4096];
    fb_replace file;
    FB_TRY(fb_compare_path(c, path, "report.html"));
    report p = {.c = c, .found = found, .resizer = fb_resizer_create()};
    if (!p.resizer)
        return fb_fail(c->ctx, FB_E_MEMORY, "no memory to resize images");
    fb_status status = fb_replace_open(c->ctx, path, &file);
    if (status == FB_OK) {
        p.out = file.stream;
        put_head(&p);
        put_recall(&p);
        put_costs(&p);
        put_failures(&p);
        put_plots(&p);
        put_categories(&p);
        put_examples(&p);
        fputs("</body></html>\n", p.out);
        status = fb_replace_commit(c->ctx, &file);
    }
    fb_resizer_free(p.resizer);
    return status;
}

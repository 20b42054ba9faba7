/* svg_plot.c - see svg_plot.h. */
#include "base/svg_plot.h"

#include "base/html.h"
#include "base/number_text.h"

#include <math.h>
#include <string.h>

enum {
    WIDTH = 720,
    HEIGHT = 340,
    LEFT = 64,
    RIGHT = 150, /* the legend */
    TOP = 34,
    BOTTOM = 48,
    TICKS = 6,
    LEGEND_LINE = 17,
    LABEL_LINE = 13,
    LETTER = 7, /* about the width of one */
    LABELS = 64,
    FEW = 12, /* points of a line that are marked */
    COLOURS = 10
};

const char fb_svg_plot_style[] =
    "svg.plot{max-width:100%;height:auto;font:12px system-ui,sans-serif}"
    "svg.plot text{fill:currentColor}svg.plot .grid{stroke:#8884}"
    "svg.plot .axis{stroke:#888}svg.plot polyline{fill:none;stroke-width:1.8}"
    ".s0{--c:#4878a8}.s1{--c:#d8873a}.s2{--c:#5a9e5a}.s3{--c:#c0504d}.s4{--c:#8a6bb1}"
    ".s5{--c:#8c6d4f}.s6{--c:#d67fb4}.s7{--c:#7f7f7f}.s8{--c:#b3b13c}.s9{--c:#3fa7b8}"
    "svg.plot .line{stroke:var(--c)}svg.plot .dot{fill:var(--c);stroke:none}"
    "svg.plot .bar{stroke:var(--c);stroke-width:1.4}";

typedef struct range {
    double low, high;
} range;

typedef struct frame {
    FILE *out;
    const fb_svg_plot *plot;
    range x, y; /* of x on a logarithmic axis: of log10 x */
    struct label {
        double left, right, y;
    } label[LABELS]; /* of points, so far */
    int32_t label_count;
} frame;

double fb_svg_step(double span, int32_t most)
{
    double step = pow(10, floor(log10(span / most)));
    static const double rounds[] = {1, 2, 5, 10};
    for (size_t i = 0; i < sizeof rounds / sizeof rounds[0]; i++)
        if (span / (step * rounds[i]) <= most)
            return step * rounds[i];
    return step * 10;
}

/* ---- where things are ------------------------------------------------------------- */

static bool x_of(const fb_svg_plot *p, double value, double *x)
{
    *x = p->log_x ? log10(value > 0 ? value : (double)NAN) : value;
    return isfinite(*x);
}

static void widen(range *r, double value)
{
    if (value < r->low)
        r->low = value;
    if (value > r->high)
        r->high = value;
}

/* A margin around the numbers; of a single one, something to be in the middle of. */
static void pad(range *r, double share)
{
    double span = r->high - r->low;
    double room = span > 0 ? span * share : fabs(r->high) > 0 ? fabs(r->high) * 0.1 : 1;
    r->low -= room;
    r->high += room;
}

static bool find_ranges(frame *f)
{
    f->x = f->y = (range){INFINITY, -INFINITY};
    for (int32_t s = 0; s < f->plot->series_count; s++) {
        const fb_svg_series *series = &f->plot->series[s];
        for (int32_t i = 0; i < series->count; i++) {
            double x;
            if (!x_of(f->plot, series->x[i], &x) || !isfinite(series->y[i]))
                continue;
            widen(&f->x, x);
            widen(&f->y, series->y[i]);
            if (series->low && isfinite(series->low[i]))
                widen(&f->y, series->low[i]);
            if (series->high && isfinite(series->high[i]))
                widen(&f->y, series->high[i]);
        }
    }
    if (!(f->x.low <= f->x.high))
        return false;
    pad(&f->x, f->plot->lines ? 0.01 : 0.08);
    pad(&f->y, 0.06);
    return true;
}

static double across(const frame *f, double x)
{
    return LEFT + (x - f->x.low) / (f->x.high - f->x.low) * (WIDTH - LEFT - RIGHT);
}

static double down(const frame *f, double y)
{
    double share = (y - f->y.low) / (f->y.high - f->y.low);
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
}

/* ---- parts ------------------------------------------------------------------------ */

static void put_words(const frame *f, double x, double y, const char *more,
                      const char *words)
{
    fb_stream_print(f->out, "<text x=\"%.1f\" y=\"%.1f\"%s>", x, y, more);
    fb_html_text(f->out, words);
    fputs("</text>\n", f->out);
}

static void put_line(const frame *f, const char *class_name, double x1, double y1,
                     double x2, double y2)
{
    fb_stream_print(
        f->out,
        "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
        class_name, x1, y1, x2, y2);
}

/* Short: 20000 as 20k. */
static void format_tick(char out[32], double value)
{
    double size = fabs(value);
    if (size >= 1e6)
        fb_text_print(out, 32, "%.3gM", value / 1e6);
    else if (size >= 1e4)
        fb_text_print(out, 32, "%.3gk", value / 1e3);
    else
        fb_text_print(out, 32, "%.4g", size < 1e-12 ? 0.0 : value);
}

static void put_y_ticks(const frame *f)
{
    double step = fb_svg_step(f->y.high - f->y.low, TICKS);
    for (double k = ceil(f->y.low / step); k * step <= f->y.high; k++) {
        char text[32];
        double y = down(f, k * step);
        format_tick(text, k * step);
        put_line(f, "grid", LEFT, y, WIDTH - RIGHT, y);
        put_words(f, LEFT - 8, y + 4, " text-anchor=\"end\"", text);
    }
}

static void put_x_tick(const frame *f, double x, double value)
{
    char text[32];
    format_tick(text, value);
    put_line(f, "grid", across(f, x), TOP, across(f, x), HEIGHT - BOTTOM);
    put_words(f, across(f, x), HEIGHT - BOTTOM + 18, " text-anchor=\"middle\"", text);
}

/* On a logarithmic axis 1, 2 and 5 of each power of ten. */
static void put_x_ticks(const frame *f)
{
    static const double rounds[] = {1, 2, 5};
    if (f->plot->log_x) {
        bool wide = f->x.high - f->x.low > 3;
        for (double p = floor(f->x.low); p <= f->x.high; p++)
            for (int i = 0; i < (wide ? 1 : 3); i++) {
                double x = p + log10(rounds[i]);
                if (x >= f->x.low && x <= f->x.high)
                    put_x_tick(f, x, pow(10, x));
            }
        return;
    }
    double step = fb_svg_step(f->x.high - f->x.low, TICKS);
    for (double k = ceil(f->x.low / step); k * step <= f->x.high; k++)
        put_x_tick(f, k * step, k * step);
}

static void put_axes(const frame *f)
{
    put_y_ticks(f);
    put_x_ticks(f);
    put_line(f, "axis", LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM);
    put_line(f, "axis", LEFT, TOP, LEFT, HEIGHT - BOTTOM);
    put_words(f, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 10, " text-anchor=\"middle\"",
              f->plot->x_label);
    put_words(f, LEFT, 16, " font-weight=\"600\"", f->plot->title);
    put_words(f, LEFT, 30, " font-size=\"11\"", f->plot->y_label);
}

static void put_dot(const frame *f, int32_t colour, double x, double y, double radius)
{
    fb_stream_print(f->out,
                    "<circle class=\"dot s%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"%g\"/>\n",
                    (int)(colour % COLOURS), x, y, radius);
}

static void put_series_line(const frame *f, const fb_svg_series *s)
{
    double x;
    fprintf(f->out, "<polyline class=\"line s%d\" points=\"",
            (int)(s->colour % COLOURS));
    for (int32_t i = 0; i < s->count; i++)
        if (x_of(f->plot, s->x[i], &x) && isfinite(s->y[i]))
            fb_stream_print(f->out, "%.1f,%.1f ", across(f, x), down(f, s->y[i]));
    fputs("\"/>\n", f->out);
    for (int32_t i = 0; s->count <= FEW && i < s->count; i++)
        if (x_of(f->plot, s->x[i], &x) && isfinite(s->y[i]))
            put_dot(f, s->colour, across(f, x), down(f, s->y[i]), 2.5);
}

/* Beside the point, or as far below as no other name is. */
static void put_label(frame *f, double x, double y, const char *name)
{
    struct label own = {x + 8, x + 8 + LETTER * (double)strlen(name), y - 6};
    for (int32_t i = 0; i < f->label_count; i++) {
        const struct label *other = &f->label[i];
        if (own.left < other->right && other->left < own.right &&
            fabs(own.y - other->y) < LABEL_LINE) {
            own.y = other->y + LABEL_LINE;
            i = -1; /* against all of them again, further down */
        }
    }
    if (f->label_count < LABELS)
        f->label[f->label_count++] = own;
    put_words(f, own.left, own.y, "", name);
}

static void put_series_points(frame *f, const fb_svg_series *s)
{
    char class_name[16];
    snprintf(class_name, sizeof class_name, "bar s%d", (int)(s->colour % COLOURS));
    for (int32_t i = 0; i < s->count; i++) {
        double x;
        if (!x_of(f->plot, s->x[i], &x) || !isfinite(s->y[i]))
            continue;
        if (s->low && s->high && isfinite(s->low[i]) && isfinite(s->high[i]))
            put_line(f, class_name, across(f, x), down(f, s->low[i]), across(f, x),
                     down(f, s->high[i]));
        put_dot(f, s->colour, across(f, x), down(f, s->y[i]), 4.5);
        if (s->named && i == s->count - 1)
            put_label(f, across(f, x), down(f, s->y[i]), s->name);
    }
}

static void put_legend(const frame *f)
{
    double y = TOP + 8;
    for (int32_t s = 0; s < f->plot->series_count; s++) {
        const fb_svg_series *series = &f->plot->series[s];
        if (!series->named)
            continue;
        put_dot(f, series->colour, WIDTH - RIGHT + 16, y - 4, 4.5);
        put_words(f, WIDTH - RIGHT + 26, y, "", series->name);
        y += LEGEND_LINE;
    }
}

void fb_svg_plot_write(FILE *out, const fb_svg_plot *plot)
{
    frame f = {.out = out, .plot = plot};
    if (!find_ranges(&f)) {
        fputs("<p class=\"none\">", out);
        fb_html_text(out, plot->title);
        fputs(": nothing to show.</p>\n", out);
        return;
    }
    fprintf(out,
            "<svg class=\"plot\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d "
            "%d\" width=\"%d\" height=\"%d\" role=\"img\">\n<title>",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    fb_html_text(out, plot->title);
    fputs("</title>\n", out);
    put_axes(&f);
    for (int32_t s = 0; s < plot->series_count; s++)
        if (plot->lines)
            put_series_line(&f, &plot->series[s]);
        else
            put_series_points(&f, &plot->series[s]);
    if (plot->lines)
        put_legend(&f);
    fputs("</svg>\n", out);
}

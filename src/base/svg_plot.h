/* svg_plot.h - a plot as an SVG element within an HTML page: axes with round ticks,
 * lines or points, a legend. No script, no other file; colours are classes s0 to s9 of
 * fb_svg_plot_style, so that a page in the dark can have others.
 */
#ifndef FB_BASE_SVG_PLOT_H
#define FB_BASE_SVG_PLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Points that are not finite, or not above 0 on a logarithmic axis, are left out. */
typedef struct fb_svg_series {
    const char *name;
    const double *x, *y;      /* [count] */
    const double *low, *high; /* [count] of error bars along y; NULL: none */
    int32_t count;
    int32_t colour; /* taken modulo 10 */
    bool named;     /* in the legend of lines, beside its last point of points */
} fb_svg_series;

typedef struct fb_svg_plot {
    const char *title, *x_label, *y_label;
    bool log_x; /* powers of ten */
    bool lines; /* else points */
    const fb_svg_series *series;
    int32_t series_count;
} fb_svg_plot;

/* Rules for the page's style element. */
extern const char fb_svg_plot_style[];

/* An svg element; of no point at all, a paragraph that says so. Any text is safe. */
void fb_svg_plot_write(FILE *out, const fb_svg_plot *plot);

/* A round step, 1, 2 or 5 times a power of ten, at which `span` has at most `most`
 * ticks. span > 0, most > 0. */
double fb_svg_step(double span, int32_t most);

#endif

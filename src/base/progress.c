/* progress.c - "train [#####.....] 120/500  24%  31.2 pairs/s  1:02 left  loss 1.23" */
#include "base/progress.h"
#include "base/clock.h"
#include "base/number_text.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_WIDTH = 20, LINE_BYTES = 512 };

void fb_progress_format_time(double seconds, char out[16])
{
    if (!(seconds >= 0))
        seconds = 0;
    if (seconds > 3599999.0) /* 999:59:59 */
        seconds = 3599999.0;
    int s = (int)(seconds + 0.5);
    if (s >= 3600)
        snprintf(out, 16, "%d:%02d:%02d", s / 3600 % 1000, s / 60 % 60, s % 60);
    else
        snprintf(out, 16, "%d:%02d", s / 60, s % 60);
}

void fb_progress_begin(fb_progress *p, const char *label, const char *unit,
                       int64_t first, int64_t total, bool quiet)
{
    *p = (fb_progress){.label = label, .unit = unit, .total = total, .first = first};
    p->started_s = fb_clock_s();
    p->drawn_s = p->started_s - 1;
    p->on = !quiet && isatty(STDERR_FILENO) != 0;
}

/* Cut after `columns` characters; a character of many bytes counts once. */
static void cut_to_width(char *line, int columns)
{
    int seen = 0;
    for (char *c = line; *c; c++) {
        if (((unsigned char)*c & 0xc0) == 0x80)
            continue;
        if (++seen > columns) {
            *c = 0;
            return;
        }
    }
}

static int terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

void fb_progress_update(fb_progress *p, int64_t done, double units_per_count,
                        const char *text)
{
    if (!p->on)
        return;
    double now = fb_clock_s();
    if (now - p->drawn_s < 0.1 && done < p->total)
        return;
    p->drawn_s = now;
    double fraction = p->total > 0 ? (double)done / (double)p->total : 0;
    fraction = fraction < 0 ? 0 : fraction > 1 ? 1 : fraction;
    char bar[BAR_WIDTH + 1];
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < (int)(fraction * BAR_WIDTH) ? '#' : '.';
    bar[BAR_WIDTH] = 0;
    double elapsed = now - p->started_s, counts = (double)(done - p->first);
    double rate = elapsed > 0 ? counts / elapsed : 0;
    char left[16] = "-:--", line[LINE_BYTES];
    if (rate > 0)
        fb_progress_format_time((double)(p->total - done) / rate, left);
    fb_text_print(line, sizeof line,
                  "%s [%s] %lld/%lld %3.0f%%  %.4g %s/s  %s left  %s", p->label, bar,
                  (long long)done, (long long)p->total, 100 * fraction,
                  rate * units_per_count, p->unit, left, text ? text : "");
    cut_to_width(line, terminal_width() - 1);
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
}

void fb_progress_end(fb_progress *p)
{
    if (p->on) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    p->on = false;
}

/* format_choice.h - f32 or bf16, by trying both. A processor may have bf16 instructions
 * and multiply f32 faster (AVX-512 BF16 without AMX on some Intel processors: half the
 * rate).
 *
 *     measure    both in turn, for a limited time     -> rates
 *     choose     rates                                -> f32 or bf16
 *     recall, remember    rates of a machine in a file of the cache folder
 *
 * What is measured comes from the caller; here are only the turns, the clock and the file:
 *
 *     FOLDER/format-HASH.json    {"machine": "...", "bf16": 1.5e11, "f32": 2.8e11}
 */
#ifndef FB_BACKEND_FORMAT_CHOICE_H
#define FB_BACKEND_FORMAT_CHOICE_H

#include "base/status.h"
#include "tensor/tensor.h"

#include <stdbool.h>

/* FLOP/s of matrix products; both 0: not compared. */
typedef struct fb_format_rates {
    double f32, bf16;
} fb_format_rates;

/* The faster; f32 where they are equal or not known. */
fb_dtype fb_format_choose(const fb_format_rates *rates);

/* One of the two: *flop_per_s of one trial, which may be a short one. */
typedef struct fb_format_trial {
    void *self;
    fb_status (*run)(void *self, fb_context *ctx, double *flop_per_s);
} fb_format_trial;

/* The best of each, tried in turn; at least once each, and no round begins that would not
 * end within most_s if it took as long as the one before. Failures are those of a trial. */
fb_status fb_format_measure(fb_context *ctx, const fb_format_trial *f32,
                            const fb_format_trial *bf16, double (*clock)(void),
                            double most_s, fb_format_rates *rates);

/* What was remembered of a machine (any text). False: there is none, or the file is
 * broken or of another machine. */
bool fb_format_recall(const char *folder, const char *machine, fb_format_rates *rates);
/* Makes the folder; where that or the file cannot be written nothing is remembered. */
void fb_format_remember(const char *folder, const char *machine,
                        const fb_format_rates *rates);

#endif

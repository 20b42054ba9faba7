/* train_schedule.h - how far along its schedule a step is, where the number of steps was
 * lowered under way.
 *
 *     planned N steps, from step s on T in all:
 *
 *     place(i) = i                                    i <= s
 *                place(s) + (i - s) (N - place(s)) / (T - s)      behind it
 *
 * The learning rate, and whatever else goes by the schedule, is that of place(i) of N:
 * it goes on from where it is, faster, and comes down to its end at T. Shortened again,
 * the same holds from there.
 *
 *     text     "120:900,300:800", STEP:TOTAL each: what --shorten takes and a log says
 */
#ifndef FB_TRAINING_TRAIN_SCHEDULE_H
#define FB_TRAINING_TRAIN_SCHEDULE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FB_TRAIN_TURNS = 64, FB_TRAIN_TURNS_BYTES = FB_TRAIN_TURNS * 42 };

typedef struct fb_train_turn {
    int64_t step;  /* behind which it holds */
    int64_t total; /* steps in all */
} fb_train_turn;

typedef struct fb_train_schedule {
    int64_t planned;
    int32_t count;
    fb_train_turn turns[FB_TRAIN_TURNS]; /* steps ascend, totals descend */
} fb_train_schedule;

/* Of `planned` steps, shortened as the text says; "" is not at all. FB_E_USAGE: the text
 * is no such list, or not one of this many steps. */
fb_status fb_train_schedule_read(fb_context *ctx, fb_train_schedule *schedule,
                                 int64_t planned, const char *text);
/* The list as text, for --shorten. */
void fb_train_schedule_write(const fb_train_schedule *schedule,
                             char text[FB_TRAIN_TURNS_BYTES]);

/* Steps in all. */
int64_t fb_train_schedule_total(const fb_train_schedule *schedule);

/* Of step i (0-based), 0 to planned. */
double fb_train_schedule_place(const fb_train_schedule *schedule, int64_t step);

/* From `step` on, `total` steps in all. False, and nothing changed: that is not fewer,
 * not behind the last time, or there have been FB_TRAIN_TURNS. */
bool fb_train_schedule_shorten(fb_train_schedule *schedule, int64_t step,
                               int64_t total);

#endif

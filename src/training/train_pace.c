/* train_pace.c - see train_pace.h. */
#include "training/train_pace.h"

enum { LOOKS = 50 };

static const double keep_share = 0.5, margin_share = 0.02;

void fb_train_pace_begin(fb_train_pace *pace, double deadline_s, int64_t planned,
                         int64_t every)
{
    int64_t part = planned / LOOKS > 1 ? planned / LOOKS : 1;
    *pace = (fb_train_pace){.deadline_s = deadline_s,
                            .every = every > 1 ? every : 1,
                            .look_every = part,
                            .least = part};
}

/* The mean that forgets; the first number is all that is known. */
static double mix(double before, double now)
{
    return before > 0 ? keep_share * before + (1 - keep_share) * now : now;
}

void fb_train_pace_add(fb_train_pace *pace, double step_s, double beside_s)
{
    pace->window_s += step_s;
    pace->window_steps++;
    if (beside_s > 0)
        pace->beside_s = mix(pace->beside_s, beside_s);
    if (pace->window_steps < pace->look_every)
        return;
    pace->step_s = mix(pace->step_s, pace->window_s / (double)pace->window_steps);
    pace->window_s = 0;
    pace->window_steps = 0;
}

static double each_s(const fb_train_pace *pace)
{
    return pace->step_s + pace->beside_s / (double)pace->every;
}

double fb_train_pace_left(const fb_train_pace *pace, int64_t step, int64_t total)
{
    if (!(pace->step_s > 0))
        return -1;
    return (double)(total - step) * each_s(pace) + pace->end_s;
}

int64_t fb_train_pace_total(fb_train_pace *pace, int64_t step, int64_t total,
                            double elapsed_s)
{
    double left_s = pace->deadline_s - elapsed_s - pace->end_s, each = each_s(pace);
    /* A look follows a whole window. */
    if (!(pace->deadline_s > 0) || !(pace->step_s > 0) || pace->window_steps > 0 ||
        step >= total || (double)(total - step) * each <= left_s)
        return total;
    double fit = left_s > 0 ? (1 - margin_share) * left_s / each : 0;
    int64_t remain = fit > (double)pace->least ? (int64_t)fit : pace->least;
    return step + remain < total ? step + remain : total;
}

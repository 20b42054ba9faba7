/* train_schedule.c - see train_schedule.h. */
#include "training/train_schedule.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static bool read_number(const char **text, int64_t *number)
{
    char *end;
    errno = 0;
    if (**text < '0' || **text > '9')
        return false;
    *number = strtoll(*text, &end, 10);
    *text = end;
    return errno == 0;
}

fb_status fb_train_schedule_read(fb_context *ctx, fb_train_schedule *schedule,
                                 int64_t planned, const char *text)
{
    fb_train_schedule s = {.planned = planned};
    const char *at = text;
    while (*at) {
        fb_train_turn turn;
        bool read = (at == text || *at++ == ',') && read_number(&at, &turn.step) &&
                    *at++ == ':' && read_number(&at, &turn.total);
        if (!read)
            return fb_fail(ctx, FB_E_USAGE,
                           "--shorten \"%.128s\": want STEP:STEPS, with commas between",
                           text);
        if (!fb_train_schedule_shorten(&s, turn.step, turn.total))
            return fb_fail(ctx, FB_E_USAGE,
                           "--shorten %lld:%lld does not shorten a run of %lld steps "
                           "behind step %lld",
                           (long long)turn.step, (long long)turn.total,
                           (long long)fb_train_schedule_total(&s),
                           (long long)(s.count ? s.turns[s.count - 1].step : 0));
    }
    *schedule = s;
    return FB_OK;
}

void fb_train_schedule_write(const fb_train_schedule *schedule,
                             char text[FB_TRAIN_TURNS_BYTES])
{
    int used = 0;
    text[0] = 0;
    for (int32_t i = 0; i < schedule->count; i++)
        used +=
            snprintf(text + used, FB_TRAIN_TURNS_BYTES - (size_t)used, "%s%lld:%lld",
                     i ? "," : "", (long long)schedule->turns[i].step,
                     (long long)schedule->turns[i].total);
}

int64_t fb_train_schedule_total(const fb_train_schedule *schedule)
{
    return schedule->count ? schedule->turns[schedule->count - 1].total
                           : schedule->planned;
}

double fb_train_schedule_place(const fb_train_schedule *schedule, int64_t step)
{
    double place = (double)step, planned = (double)schedule->planned, from = 0, at = 0,
           rate = 1;
    for (int32_t i = 0; i < schedule->count; i++) {
        const fb_train_turn *turn = &schedule->turns[i];
        if (step <= turn->step)
            break;
        from += ((double)turn->step - at) * rate;
        at = (double)turn->step;
        rate = (planned - from) / (double)(turn->total - turn->step);
        place = from + ((double)step - at) * rate;
    }
    return place;
}

bool fb_train_schedule_shorten(fb_train_schedule *schedule, int64_t step, int64_t total)
{
    const fb_train_turn *last =
        schedule->count ? &schedule->turns[schedule->count - 1] : NULL;
    if (schedule->count == FB_TRAIN_TURNS || step < 0 || total <= step ||
        total >= fb_train_schedule_total(schedule) || (last && step <= last->step))
        return false;
    schedule->turns[schedule->count++] = (fb_train_turn){step, total};
    return true;
}

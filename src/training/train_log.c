/* train_log.c - see train_log.h. */
#include "training/train_log.h"

#include "base/event_file.h"
#include "base/file.h"
#include "base/json.h"
#include "base/number_text.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fb_train_log {
    FILE *stream;
    char path[4096];
    fb_event_file *events;
};

static fb_status open_stream(fb_context *ctx, fb_train_log *log, const char *out,
                             int64_t keep_bytes)
{
    FB_TRY(fb_path_join(ctx, log->path, out, "log.jsonl"));
    log->stream = fopen(log->path, keep_bytes ? "r+" : "w");
    if (!log->stream)
        return fb_fail(ctx, FB_E_IO, "%s: %s", log->path, strerror(errno));
    if (keep_bytes && (fseeko(log->stream, 0, SEEK_END) != 0 ||
                       ftello(log->stream) < (off_t)keep_bytes))
        return fb_fail(ctx, FB_E_FORMAT, "%s: shorter than the checkpoint says",
                       log->path);
    if (ftruncate(fileno(log->stream), (off_t)keep_bytes) != 0 ||
        fseeko(log->stream, (off_t)keep_bytes, SEEK_SET) != 0)
        return fb_fail(ctx, FB_E_IO, "%s: %s", log->path, strerror(errno));
    return fb_event_file_open(ctx, &log->events, out);
}

fb_status fb_train_log_open(fb_context *ctx, fb_train_log **log, const char *out,
                            int64_t keep_bytes)
{
    fb_train_log *l = calloc(1, sizeof *l);
    if (!l)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the training log");
    fb_status status = open_stream(ctx, l, out, keep_bytes);
    if (status != FB_OK) {
        fb_train_log_close(l);
        return status;
    }
    *log = l;
    return FB_OK;
}

enum { KEY = 96 };

static void write_value(fb_json_writer *w, const char *prefix, const char *name,
                        double value)
{
    char key[KEY];
    snprintf(key, sizeof key, "%s%s", prefix, name);
    fb_json_key_double(w, key, value);
}

static void write_measures(fb_json_writer *w, const char *prefix,
                           const fb_measures *list)
{
    for (int32_t i = 0; i < list->count; i++) {
        const fb_measure *m = &list->items[i];
        char name[KEY] = "chance";
        write_value(w, prefix, m->name, m->rows ? m->value : (double)NAN);
        if (!(m->chance > 0))
            continue;
        if (!(m->flags & FB_MEASURE_HEADLINE))
            snprintf(name, sizeof name, "chance_%s", m->name);
        write_value(w, prefix, name, fb_measure_chance(m));
    }
}

static void write_json(FILE *stream, const fb_train_line *line)
{
    const fb_measures *list = &line->measures;
    fb_json_writer w;
    fb_json_begin(&w, stream, 0);
    fb_json_open_object(&w);
    fb_json_key_int(&w, "step", line->step);
    fb_json_key_double(&w, "epoch", line->epoch);
    fb_json_key_double(&w, "loss", list->total);
    write_measures(&w, "", list);
    for (int32_t i = 0; i < list->count; i++)
        if (list->items[i].flags & FB_MEASURE_WEIGHED)
            write_value(&w, "weight_", list->items[i].name, list->items[i].weight);
    fb_json_key_double(&w, "lr", line->lr);
    fb_json_key_double(&w, "gradient_norm", line->gradient_norm);
    fb_json_key_int(&w, "fallback_negatives", line->fallbacks);
    if (line->validated)
        write_measures(&w, "val_", &line->validation);
    if (line->shortened_to)
        fb_json_key_int(&w, "shortened_to", line->shortened_to);
    fb_json_key_float(&w, "wait_ms", (float)(line->wait_s * 1e3));
    fb_json_key_float(&w, "pairs_per_s", (float)line->pairs_per_s);
    fb_json_close_object(&w);
    fputc('\n', stream);
}

static fb_status write_scalars(fb_context *ctx, fb_event_file *events,
                               const char *group, int64_t step, const fb_measures *list,
                               bool weights)
{
    char tag[KEY];
    for (int32_t i = 0; i < list->count; i++) {
        const fb_measure *m = &list->items[i];
        if (!m->rows)
            continue;
        snprintf(tag, sizeof tag, "%s/%s", group, m->name);
        FB_TRY(fb_event_file_scalar(ctx, events, tag, step, (float)m->value));
        snprintf(tag, sizeof tag, "weight/%s", m->name);
        if (weights && m->flags & FB_MEASURE_WEIGHED)
            FB_TRY(fb_event_file_scalar(ctx, events, tag, step, (float)m->weight));
    }
    return FB_OK;
}

fb_status fb_train_log_write(fb_context *ctx, fb_train_log *log,
                             const fb_train_line *line)
{
    write_json(log->stream, line);
    if (fflush(log->stream) != 0)
        return fb_fail(ctx, FB_E_IO, "%s: %s", log->path, strerror(errno));
    fb_event_file *e = log->events;
    FB_TRY(write_scalars(ctx, e, "train", line->step, &line->measures, true));
    FB_TRY(fb_event_file_scalar(ctx, e, "train/loss", line->step,
                                (float)line->measures.total));
    FB_TRY(fb_event_file_scalar(ctx, e, "train/lr", line->step, (float)line->lr));
    FB_TRY(fb_event_file_scalar(ctx, e, "train/gradient_norm", line->step,
                                (float)line->gradient_norm));
    if (line->validated)
        FB_TRY(write_scalars(ctx, e, "val", line->step, &line->validation, false));
    return FB_OK;
}

fb_status fb_train_log_sync(fb_context *ctx, fb_train_log *log, int64_t *bytes)
{
    off_t at = ftello(log->stream);
    if (fflush(log->stream) != 0 || fsync(fileno(log->stream)) != 0 || at < 0)
        return fb_fail(ctx, FB_E_IO, "%s: %s", log->path, strerror(errno));
    *bytes = (int64_t)at;
    return fb_event_file_flush(ctx, log->events);
}

void fb_train_log_close(fb_train_log *log)
{
    if (!log)
        return;
    if (log->stream)
        fclose(log->stream);
    fb_event_file_close(log->events);
    free(log);
}

/* Text that does not fit is cut. */
static void append(char *text, size_t size_bytes, const char *format, ...)
{
    size_t at = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    fb_text_print_list(text + at, size_bytes - at, format, arguments);
    va_end(arguments);
}

void fb_train_line_describe(const fb_train_line *line, char *text, size_t size_bytes)
{
    const fb_measures *list = &line->measures;
    fb_text_print(text, size_bytes, "loss %.3f", list->total);
    for (int32_t i = 0; i < list->count; i++) {
        const fb_measure *m = &list->items[i];
        if (!m->rows)
            continue;
        if (m->flags & FB_MEASURE_LOSS && !(m->flags & FB_MEASURE_IS_TOTAL))
            append(text, size_bytes, "  %s %.3f", m->name, m->value);
        if (m->flags & FB_MEASURE_WEIGHED)
            append(text, size_bytes, " x %.2f", m->weight);
        if (m->chance > 0)
            append(text, size_bytes, "  chance %.3f", fb_measure_chance(m));
    }
    append(text, size_bytes, "  accuracy %.2f",
           fb_measures_value(list, FB_MEASURE_HEADLINE));
}

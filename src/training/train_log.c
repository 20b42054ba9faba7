/* train_log.c - see train_log.h. */
#include "training/train_log.h"

#include "base/event_file.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fb_train_log {
    FILE *stream;
    char path[4096];
    fb_event_file *events;
};

/* FashionBERT's losses stand in every line, null where absent; others where they are.
 */
static bool has_key(const fb_step_losses *l, int32_t loss)
{
    return loss < FB_LOSSES || l->present[loss];
}

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

static void write_pointing(fb_json_writer *w, const char *prefix,
                           const fb_step_losses *l)
{
    char key[32];
    snprintf(key, sizeof key, "%sselfie", prefix);
    fb_json_key_double(w, key, l->selfie);
    snprintf(key, sizeof key, "%spointing_accuracy", prefix);
    fb_json_key_double(w, key, l->points_right / (double)l->points);
    snprintf(key, sizeof key, "%schance", prefix);
    fb_json_key_double(w, key, l->points_chance / (double)l->points);
}

static void write_losses(fb_json_writer *w, const char *prefix, const fb_step_losses *l)
{
    char key[32];
    for (int i = 0; i < FB_LOSSES_ALL; i++) {
        if (!has_key(l, i))
            continue;
        snprintf(key, sizeof key, "%s%s", prefix, fb_loss_name(i));
        fb_json_key_double(w, key, l->present[i] ? l->loss[i] : (double)NAN);
    }
    snprintf(key, sizeof key, "%saccuracy", prefix);
    fb_json_key_double(w, key,
                       l->pairs ? (double)l->pairs_right / (double)l->pairs
                                : (l->has_itc || l->points ? (double)NAN : 0.0));
    if (l->points)
        write_pointing(w, prefix, l);
    if (!l->has_itc)
        return;
    snprintf(key, sizeof key, "%sitc", prefix);
    fb_json_key_double(w, key, l->itc);
    snprintf(key, sizeof key, "%sitc_accuracy", prefix);
    fb_json_key_double(
        w, key, l->queries ? (double)l->queries_right / (double)l->queries : 0.0);
}

/* Of the validation split's queries: name and number. */
typedef struct measure {
    const char *name;
    double value;
} measure;
enum { MEASURES = 7 };

static void list_measures(const fb_query_report *r, measure out[MEASURES])
{
    const fb_ranking *k = &r->ranking;
    out[0] = (measure){"auc", r->auc};
    out[1] = (measure){"ndcg10", r->ndcg10};
    out[2] = (measure){"r1", k->r1};
    out[3] = (measure){"r10", k->r10};
    out[4] = (measure){"chance_ndcg10", r->chance_ndcg10};
    out[5] = (measure){"chance_r1", k->chance_r1};
    out[6] = (measure){"candidates", k->candidates_mean};
}

static void write_measures(fb_json_writer *w, const fb_query_report *r)
{
    measure all[MEASURES];
    list_measures(r, all);
    for (int i = 0; i < MEASURES; i++) {
        char key[32];
        snprintf(key, sizeof key, "val_%s", all[i].name);
        fb_json_key_double(w, key, all[i].value);
    }
}

static void write_json(FILE *stream, const fb_train_line *line)
{
    fb_json_writer w;
    fb_json_begin(&w, stream, 0);
    fb_json_open_object(&w);
    fb_json_key_int(&w, "step", line->step);
    fb_json_key_double(&w, "epoch", line->epoch);
    fb_json_key_double(&w, "loss", line->losses.total);
    write_losses(&w, "", &line->losses);
    for (int i = 0; i < FB_LOSSES_ALL; i++) {
        char key[32];
        if (!has_key(&line->losses, i))
            continue;
        snprintf(key, sizeof key, "weight_%s", fb_loss_name(i));
        fb_json_key_double(&w, key, line->losses.weight[i]);
    }
    fb_json_key_double(&w, "lr", line->lr);
    fb_json_key_double(&w, "gradient_norm", line->gradient_norm);
    fb_json_key_int(&w, "fallback_negatives", line->fallbacks);
    if (line->validated)
        write_losses(&w, "val_", &line->validation);
    if (line->ranked)
        write_measures(&w, &line->ranking);
    fb_json_key_float(&w, "wait_ms", (float)(line->wait_s * 1e3));
    fb_json_key_float(&w, "pairs_per_s", (float)line->pairs_per_s);
    fb_json_close_object(&w);
    fputc('\n', stream);
}

static fb_status write_scalars(fb_context *ctx, fb_event_file *events,
                               const char *group, int64_t step, const fb_step_losses *l,
                               bool weights)
{
    char tag[48];
    for (int i = 0; i < FB_LOSSES_ALL; i++) {
        if (!l->present[i])
            continue;
        snprintf(tag, sizeof tag, "%s/%s", group, fb_loss_name(i));
        FB_TRY(fb_event_file_scalar(ctx, events, tag, step, (float)l->loss[i]));
        snprintf(tag, sizeof tag, "weight/%s", fb_loss_name(i));
        if (weights)
            FB_TRY(fb_event_file_scalar(ctx, events, tag, step, (float)l->weight[i]));
    }
    if (l->has_itc) {
        snprintf(tag, sizeof tag, "%s/itc", group);
        FB_TRY(fb_event_file_scalar(ctx, events, tag, step, (float)l->itc));
        snprintf(tag, sizeof tag, "%s/itc_accuracy", group);
        FB_TRY(fb_event_file_scalar(ctx, events, tag, step,
                                    (float)l->queries_right /
                                        (float)(l->queries ? l->queries : 1)));
    }
    if (l->points) {
        snprintf(tag, sizeof tag, "%s/selfie", group);
        FB_TRY(fb_event_file_scalar(ctx, events, tag, step, (float)l->selfie));
        snprintf(tag, sizeof tag, "%s/pointing_accuracy", group);
        FB_TRY(fb_event_file_scalar(ctx, events, tag, step,
                                    (float)(l->points_right / (double)l->points)));
    }
    if (!l->pairs)
        return FB_OK;
    snprintf(tag, sizeof tag, "%s/accuracy", group);
    return fb_event_file_scalar(ctx, events, tag, step,
                                (float)l->pairs_right /
                                    (float)(l->pairs ? l->pairs : 1));
}

fb_status fb_train_log_write(fb_context *ctx, fb_train_log *log,
                             const fb_train_line *line)
{
    write_json(log->stream, line);
    if (fflush(log->stream) != 0)
        return fb_fail(ctx, FB_E_IO, "%s: %s", log->path, strerror(errno));
    fb_event_file *e = log->events;
    FB_TRY(write_scalars(ctx, e, "train", line->step, &line->losses, true));
    FB_TRY(fb_event_file_scalar(ctx, e, "train/loss", line->step,
                                (float)line->losses.total));
    FB_TRY(fb_event_file_scalar(ctx, e, "train/lr", line->step, (float)line->lr));
    FB_TRY(fb_event_file_scalar(ctx, e, "train/gradient_norm", line->step,
                                (float)line->gradient_norm));
    if (line->validated)
        FB_TRY(write_scalars(ctx, e, "val", line->step, &line->validation, false));
    measure all[MEASURES];
    list_measures(&line->ranking, all);
    for (int i = 0; i < MEASURES && line->ranked; i++) {
        char tag[48];
        snprintf(tag, sizeof tag, "val/%s", all[i].name);
        FB_TRY(fb_event_file_scalar(ctx, e, tag, line->step, (float)all[i].value));
    }
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

/* access_log.c - see access_log.h. */
#include "server/access_log.h"

#include "base/clock.h"
#include "base/memory_stream.h"
#include "server/line_queue.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct fb_access_log {
    int fd;               /* -1: none */
    fb_line_queue *lines; /* NULL: none */
    char path[4096];
};

static fb_status open_file(fb_context *ctx, const char *path, int *fd)
{
    *fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (*fd < 0)
        return fb_fail(ctx, FB_E_IO, "%s: cannot be written: %s", path,
                       strerror(errno));
    return FB_OK;
}

fb_status fb_access_log_open(fb_context *ctx, fb_access_log **log, const char *path)
{
    fb_access_log *l = calloc(1, sizeof *l);
    if (!l)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the access log");
    l->fd = strcmp(path, "-") == 0 ? STDOUT_FILENO : -1;
    fb_status status = FB_OK;
    if (l->fd < 0 && path[0]) {
        if (strlen(path) >= sizeof l->path)
            status = fb_fail(ctx, FB_E_LIMIT, "the access log's path is too long");
        else
            status = open_file(ctx, path, &l->fd);
        snprintf(l->path, sizeof l->path, "%s", path);
    }
    if (status == FB_OK && l->fd >= 0)
        status = fb_line_queue_open(ctx, &l->lines, l->fd);
    if (status != FB_OK) {
        if (l->path[0] && l->fd >= 0)
            close(l->fd);
        free(l);
        return status;
    }
    *log = l;
    return FB_OK;
}

void fb_access_log_flush(fb_access_log *log, double seconds)
{
    if (log->lines)
        fb_line_queue_flush(log->lines, seconds);
}

void fb_access_log_close(fb_access_log *log, double seconds)
{
    if (!log)
        return;
    fb_line_queue_close(log->lines, seconds);
    if (log->path[0])
        close(log->fd);
    free(log);
}

fb_status fb_access_log_reopen(fb_context *ctx, fb_access_log *log)
{
    int fd;
    if (!log->path[0])
        return FB_OK;
    FB_TRY(open_file(ctx, log->path, &fd));
    int done = dup2(fd, log->fd); /* in place: lines may be on their way */
    close(fd);
    if (done < 0)
        return fb_fail(ctx, FB_E_IO, "%s: cannot be opened anew: %s", log->path,
                       strerror(errno));
    return FB_OK;
}

static void write_span(fb_json_writer *w, const char *name, double from, double to)
{
    if (from > 0 && to >= from)
        fb_json_key_double(w, name, round(1e6 * (to - from)) / 1e3);
}

static void write_line(FILE *stream, const fb_exchange *x, bool whole)
{
    char stamp[40];
    double now = fb_clock_wall_s(), end = fb_clock_s();
    time_t seconds = (time_t)now;
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t n = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(stamp + n, sizeof stamp - n, ".%03dZ",
             (int)(1e3 * (now - (double)seconds)) % 1000);
    fb_json_writer w;
    fb_json_begin(&w, stream, 0);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "time", stamp);
    fb_json_key_string(&w, "id", x->id);
    fb_json_key_string(&w, "remote", x->remote);
    fb_json_key_string(&w, "method", x->method);
    fb_json_key_string(&w, "path", x->target);
    fb_json_key_int(&w, "status", x->status);
    fb_json_key_int(&w, "bytes_in", (int64_t)x->received_bytes);
    fb_json_key_int(&w, "bytes_out", whole ? (int64_t)x->reply_bytes : 0);
    if (!whole)
        fb_json_key_bool(&w, "aborted", true);
    const fb_times *t = &x->times;
    write_span(&w, "ms", t->began, end);
    write_span(&w, "receive_ms", t->began, t->received);
    write_span(&w, "wait_ms", t->received, t->prepare_begun);
    write_span(&w, "prepare_ms", t->prepare_begun, t->prepared);
    write_span(&w, "queue_ms", t->prepared, t->compute_begun);
    write_span(&w, "compute_ms", t->compute_begun, t->answered);
    fb_json_close_object(&w);
    fputc('\n', stream);
}

void fb_access_log_write(fb_access_log *log, const fb_exchange *x, bool whole)
{
    char *line = NULL;
    size_t bytes = 0;
    if (!log->lines)
        return;
    FILE *stream = fb_memory_open(&line, &bytes);
    if (!stream)
        return;
    write_line(stream, x, whole);
    if (fb_memory_close(stream, &line))
        fb_line_queue_put(log->lines, line, bytes);
    free(line);
}

int64_t fb_access_log_lost(const fb_access_log *log)
{
    return log->lines ? fb_line_queue_lost(log->lines) : 0;
}

/* import_log.c - one file, read and written at two places:
 *
 *     [ header | lines that stay | lines read ahead | old lines ]
 *                                ^ kept             ^ reader
 */
#include "data/import/import_log.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { LOOK_BYTES = sizeof(fb_look), NUMBERS_BYTES = 160 + 2 * LOOK_BYTES };

struct fb_import_log {
    char path[4096];
    FILE *reader, *writer; /* writer NULL while the lines are the old ones */
    int fd;                /* holds the lock */
    int64_t kept;          /* bytes of the lines that stay */
    char *line;
    size_t line_bytes;
};

/* ---- lines -------------------------------------------------------------------------
 */

/* A byte as two digits, whatever the machine's order of bytes: the log is read by the
 * machine that wrote it. */
static void write_look(const fb_look *look, char out[2 * LOOK_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = (const uint8_t *)look;
    for (size_t i = 0; i < LOOK_BYTES; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * LOOK_BYTES] = 0;
}

static int digit_of(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static bool read_look(const char *text, fb_look *look)
{
    uint8_t *bytes = (uint8_t *)look;
    if (!text || strspn(text, "0123456789abcdef") != 2 * LOOK_BYTES ||
        text[2 * LOOK_BYTES])
        return false;
    for (size_t i = 0; i < LOOK_BYTES; i++)
        bytes[i] = (uint8_t)(16 * digit_of(text[2 * i]) + digit_of(text[2 * i + 1]));
    return true;
}

char *fb_import_entry_write(const fb_import_entry *e, fb_arena *arena)
{
    size_t size = NUMBERS_BYTES;
    if (e->kept)
        size += strlen(e->file_name) + strlen(e->row);
    char *line = fb_arena_alloc(arena, size);
    if (!line)
        return NULL;
    int used = snprintf(line, size, "%016" PRIx64 " %c", e->stamp, e->kept ? '+' : '-');
    if (!e->kept)
        return line;
    char look[2 * LOOK_BYTES + 1];
    write_look(&e->image.look, look);
    snprintf(line + used, size - (size_t)used,
             " %016" PRIx64 " %" PRIx64 " %c %s %s %s", e->image.hash,
             (uint64_t)e->image.size_bytes, e->image.resized ? 'r' : 'k', look,
             e->file_name, e->row);
    return line;
}

/* The next word of a line, which ends there; NULL: there is none. */
static char *take_word(char **at)
{
    char *word = *at, *end = word ? strchr(word, ' ') : NULL;
    if (!end || end == word)
        return NULL;
    *end = 0;
    *at = end + 1;
    return word;
}

static bool take_number(char **at, uint64_t *number)
{
    const char *word = take_word(at);
    char *end;
    if (!word || word[strspn(word, "0123456789abcdef")] || strlen(word) > 16)
        return false;
    *number = strtoull(word, &end, 16);
    return true;
}

bool fb_import_entry_read(char *line, fb_import_entry *e)
{
    char *at = line;
    uint64_t size = 0;
    *e = (fb_import_entry){.kept = false};
    if (!take_number(&at, &e->stamp))
        return false;
    if (strcmp(at, "-") == 0)
        return true;
    char *plus = take_word(&at);
    if (!plus || strcmp(plus, "+") != 0 || !take_number(&at, &e->image.hash) ||
        !take_number(&at, &size))
        return false;
    const char *kind = take_word(&at);
    if (!read_look(take_word(&at), &e->image.look))
        return false;
    e->file_name = take_word(&at);
    e->row = at;
    e->kept = true;
    e->image.size_bytes = (int64_t)size;
    e->image.resized = kind && strcmp(kind, "r") == 0;
    return kind && e->file_name && at[0] == '{' && fb_path_is_inside(e->file_name);
}

/* ---- the file ----------------------------------------------------------------------
 */

static fb_status fail_log(fb_context *ctx, const fb_import_log *log, const char *doing)
{
    return fb_fail(ctx, FB_E_IO, "%s: cannot be %s: %s", log->path, doing,
                   strerror(errno ? errno : EIO));
}

static char *read_line(fb_import_log *log, size_t *size)
{
    ssize_t got = log->reader ? getline(&log->line, &log->line_bytes, log->reader) : -1;
    if (got < 1 || log->line[got - 1] != '\n') /* a torn line counts as none */
        return NULL;
    log->line[got - 1] = 0;
    *size = (size_t)got;
    return log->line;
}

/* From here on lines are new. */
static fb_status begin_writing(fb_context *ctx, fb_import_log *log)
{
    if (log->reader)
        (void)fclose(log->reader);
    log->reader = NULL;
    int fd = ftruncate(log->fd, log->kept) == 0 ? dup(log->fd) : -1;
    if (fd >= 0 && lseek(fd, log->kept, SEEK_SET) == log->kept)
        log->writer = fdopen(fd, "wb");
    if (log->writer)
        return FB_OK;
    if (fd >= 0)
        close(fd);
    return fail_log(ctx, log, "written");
}

static fb_status lock(fb_context *ctx, fb_import_log *log)
{
    log->fd = open(log->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (log->fd < 0)
        return fail_log(ctx, log, "opened");
    if (flock(log->fd, LOCK_EX | LOCK_NB) != 0)
        return fb_fail(ctx, FB_E_STATE,
                       "%s: another process is importing into this folder", log->path);
    log->reader = fopen(log->path, "rbe");
    return log->reader ? FB_OK : fail_log(ctx, log, "read");
}

static fb_status begin(fb_context *ctx, fb_import_log *log, const char *header,
                       bool *other)
{
    size_t size = 0;
    FB_TRY(lock(ctx, log));
    const char *line = read_line(log, &size);
    *other = line && strcmp(line, header) != 0;
    if (line) {
        log->kept = (int64_t)size;
        return FB_OK;
    }
    FB_TRY(begin_writing(ctx, log));
    return fb_import_log_put(ctx, log, header);
}

fb_status fb_import_log_open(fb_context *ctx, fb_import_log **out, const char *path,
                             const char *header, bool *other)
{
    fb_import_log *log = calloc(1, sizeof *log);
    if (!log)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory", path);
    log->fd = -1;
    *other = false;
    snprintf(log->path, sizeof log->path, "%s", path);
    fb_status status = begin(ctx, log, header, other);
    if (status == FB_OK && !*other)
        *out = log;
    else
        fb_import_log_close(log);
    return status;
}

bool fb_import_log_is_old(const fb_import_log *log)
{
    return log->reader != NULL;
}

void fb_import_log_close(fb_import_log *log)
{
    if (!log)
        return;
    if (log->reader)
        (void)fclose(log->reader);
    if (log->writer)
        (void)fclose(log->writer);
    if (log->fd >= 0)
        close(log->fd);
    free(log->line);
    free(log);
}

char *fb_import_log_next(fb_import_log *log, fb_arena *arena)
{
    size_t size = 0;
    char *line = read_line(log, &size);
    return line ? fb_arena_strdup(arena, line) : NULL;
}

/* Whether the old log has this line behind those that stay. */
static bool is_old_line(fb_import_log *log, const char *line, size_t size)
{
    char have[4096];
    for (size_t at = 0; at <= size; at += sizeof have) {
        size_t count = size + 1 - at < sizeof have ? size + 1 - at : sizeof have;
        ssize_t got = pread(log->fd, have, count, log->kept + (off_t)at);
        if (got != (ssize_t)count)
            return false;
        bool last = at + count == size + 1;
        if (memcmp(have, line + at, count - last) != 0 ||
            (last && have[count - 1] != '\n'))
            return false;
    }
    return true;
}

fb_status fb_import_log_put(fb_context *ctx, fb_import_log *log, const char *line)
{
    size_t size = strlen(line);
    if (!log->writer && is_old_line(log, line, size)) {
        log->kept += (int64_t)size + 1;
        return FB_OK;
    }
    if (!log->writer)
        FB_TRY(begin_writing(ctx, log));
    if (fwrite(line, 1, size, log->writer) != size || fputc('\n', log->writer) == EOF)
        return fail_log(ctx, log, "written");
    return FB_OK;
}

fb_status fb_import_log_flush(fb_context *ctx, fb_import_log *log)
{
    errno = 0;
    if (log->writer && fflush(log->writer) != 0)
        return fail_log(ctx, log, "written");
    return FB_OK;
}

fb_status fb_import_log_rewind(fb_context *ctx, fb_import_log *log)
{
    size_t size = 0;
    FB_TRY(fb_import_log_flush(ctx, log));
    if (!log->writer && ftruncate(log->fd, log->kept) != 0)
        return fail_log(ctx, log, "written");
    if (log->reader)
        (void)fclose(log->reader);
    log->reader = fopen(log->path, "rbe");
    if (!log->reader || !read_line(log, &size))
        return fail_log(ctx, log, "read");
    return FB_OK;
}

/* feature_writer.c - see feature_writer.h. */
#include "data/batch/feature_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct fb_feature_writer {
    int fd; /* of the part; -1: closed */
    char path[4096], part[4096];
    fb_feature_header header;
    fb_feature_layout layout;
    int32_t done; /* blocks */
};

static fb_status fail_errno(fb_context *ctx, const char *doing, const char *path)
{
    return fb_fail(ctx, FB_E_IO, "%s: cannot %s: %s", path, doing, strerror(errno));
}

/* How many bytes were there to read, -1: an error. */
static ssize_t read_at(int fd, void *bytes, size_t size_bytes, size_t at)
{
    size_t got = 0;
    while (got < size_bytes) {
        ssize_t n =
            pread(fd, (uint8_t *)bytes + got, size_bytes - got, (off_t)(at + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

static bool write_at(int fd, const void *bytes, size_t size_bytes, size_t at)
{
    for (size_t put = 0; put < size_bytes;) {
        ssize_t n = pwrite(fd, (const uint8_t *)bytes + put, size_bytes - put,
                           (off_t)(at + put));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        put += (size_t)n;
    }
    return true;
}

static int32_t block_rows(const fb_feature_writer *w, int32_t block)
{
    int64_t left = (int64_t)w->header.rows - (int64_t)block * w->header.block;
    return left < w->header.block ? (int32_t)left : w->header.block;
}

static size_t block_at(const fb_feature_writer *w, int32_t block)
{
    return w->layout.data_at +
           (size_t)block * (size_t)w->header.block * w->layout.row_bytes;
}

/* ---- opening -------------------------------------------------------------------- */

static fb_status lock(fb_context *ctx, fb_feature_writer *w)
{
    struct stat ours, named;
    w->fd = open(w->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (w->fd < 0)
        return fail_errno(ctx, "open for writing", w->part);
    if (flock(w->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return fb_fail(ctx, FB_E_STATE,
                       "%s: another process is filling it; wait for it, or give "
                       "another --feature-cache",
                       w->part);
    /* somebody may have renamed it between the two calls */
    if (fstat(w->fd, &ours) != 0 || stat(w->part, &named) != 0 ||
        ours.st_ino != named.st_ino)
        return fb_fail(ctx, FB_E_STATE,
                       "%s: another process has just finished it; start again",
                       w->part);
    return FB_OK;
}

/* An empty part of its whole length. */
static fb_status begin(fb_context *ctx, fb_feature_writer *w)
{
    off_t size = (off_t)w->layout.size_bytes;
    bool room = ftruncate(w->fd, 0) == 0;
    if (room && fallocate(w->fd, 0, 0, size) != 0)
        room = (errno == EOPNOTSUPP || errno == ENOSYS) && ftruncate(w->fd, size) == 0;
    if (!room) {
        fb_status status = fb_fail(ctx, FB_E_IO, "%s: no room for %zu MB: %s", w->part,
                                   w->layout.size_bytes >> 20, strerror(errno));
        (void)unlink(w->part);
        return status;
    }
    w->done = 0;
    if (!write_at(w->fd, &w->header, sizeof w->header, 0) || fsync(w->fd) != 0)
        return fail_errno(ctx, "write", w->part);
    return FB_OK;
}

/* The blocks, from the first on, that fit their checksums. */
static fb_status count_done(fb_context *ctx, fb_feature_writer *w)
{
    size_t most = (size_t)w->header.block * w->layout.row_bytes;
    uint8_t *bytes = malloc(most);
    if (!bytes)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a block of features");
    for (bool whole = true; whole && w->done < w->layout.blocks;) {
        size_t size = (size_t)block_rows(w, w->done) * w->layout.row_bytes;
        uint64_t sum = 0;
        size_t sum_at = FB_FEATURE_SUMS_AT + (size_t)w->done * sizeof sum;
        whole = read_at(w->fd, &sum, sizeof sum, sum_at) == (ssize_t)sizeof sum &&
                sum != 0 &&
                read_at(w->fd, bytes, size, block_at(w, w->done)) == (ssize_t)size &&
                fb_feature_block_sum(w->done, bytes, size) == sum;
        w->done += whole;
    }
    free(bytes);
    if (ftruncate(w->fd, (off_t)w->layout.size_bytes) != 0)
        return fail_errno(ctx, "write", w->part);
    return FB_OK;
}

/* Whether a part that was killed before its header was written lies here. */
static bool is_blank(const uint8_t *bytes, ssize_t size)
{
    for (ssize_t i = 0; i < size; i++)
        if (bytes[i])
            return false;
    return true;
}

static fb_status begin_or_go_on(fb_context *ctx, fb_feature_writer *w,
                                const fb_feature_key *key, bool keep)
{
    uint8_t bytes[sizeof(fb_feature_header)];
    ssize_t got = read_at(w->fd, bytes, sizeof bytes, 0);
    if (got < 0)
        return fail_errno(ctx, "read", w->part);
    if (is_blank(bytes, got))
        return begin(ctx, w);
    fb_feature_header there;
    fb_status status = fb_feature_header_read(ctx, &there, w->part, bytes, (size_t)got);
    if (status == FB_OK)
        status = fb_feature_header_match(ctx, w->part, &there, key);
    if (status != FB_OK && keep)
        return status;
    if (status != FB_OK || there.block != w->header.block)
        return begin(ctx, w);
    return count_done(ctx, w);
}

fb_status fb_feature_writer_open(fb_context *ctx, fb_feature_writer **writer,
                                 const char *path, const fb_feature_key *key,
                                 int32_t block, bool keep)
{
    fb_feature_writer *w = calloc(1, sizeof *w);
    if (!w)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to write features");
    w->fd = -1;
    fb_feature_header_make(&w->header, key, block);
    w->layout = fb_feature_header_layout(&w->header);
    int length = snprintf(w->path, sizeof w->path, "%s", path);
    int with_part = snprintf(w->part, sizeof w->part, "%s.part", path);
    fb_status status = FB_OK;
    if (length < 0 || with_part < 0 || (size_t)with_part >= sizeof w->part)
        status = fb_fail(ctx, FB_E_LIMIT, "%.64s...: path longer than %zu bytes", path,
                         sizeof w->part - sizeof ".part");
    if (status == FB_OK)
        status = lock(ctx, w);
    if (status == FB_OK)
        status = begin_or_go_on(ctx, w, key, keep);
    if (status == FB_OK)
        *writer = w;
    else
        fb_feature_writer_close(w);
    return status;
}

void fb_feature_writer_close(fb_feature_writer *writer)
{
    if (!writer)
        return;
    if (writer->fd >= 0)
        (void)close(writer->fd);
    free(writer);
}

/* ---- filling -------------------------------------------------------------------- */

int32_t fb_feature_writer_done(const fb_feature_writer *w)
{
    return w->done < w->layout.blocks ? w->done * w->header.block : w->header.rows;
}

int32_t fb_feature_writer_next(const fb_feature_writer *w)
{
    return w->done < w->layout.blocks ? block_rows(w, w->done) : 0;
}

fb_status fb_feature_writer_add(fb_context *ctx, fb_feature_writer *w,
                                const fb_bf16 *rows)
{
    size_t size = (size_t)fb_feature_writer_next(w) * w->layout.row_bytes;
    if (size == 0)
        return fb_fail(ctx, FB_E_STATE, "%s: all its blocks are there", w->part);
    uint64_t sum = fb_feature_block_sum(w->done, rows, size);
    if (!write_at(w->fd, rows, size, block_at(w, w->done)) ||
        !write_at(w->fd, &sum, sizeof sum,
                  FB_FEATURE_SUMS_AT + (size_t)w->done * sizeof sum) ||
        fdatasync(w->fd) != 0)
        return fail_errno(ctx, "write", w->part);
    w->done++;
    return FB_OK;
}

fb_status fb_feature_writer_finish(fb_context *ctx, fb_feature_writer *w)
{
    if (w->done < w->layout.blocks)
        return fb_fail(ctx, FB_E_STATE, "%s: block %d of %d is missing", w->part,
                       (int)w->done + 1, (int)w->layout.blocks);
    if (fsync(w->fd) != 0 || rename(w->part, w->path) != 0)
        return fail_errno(ctx, "write", w->path);
    return fb_parent_sync(ctx, w->path);
}

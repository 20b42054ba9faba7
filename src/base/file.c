/* file.c - reading whole, mapping, and replacing files.
 *
 * Replacing writes path.new, syncs it, renames it over path and syncs the folder: at
 * every instant `path` is the old file or the new one.
 */
#include "base/file.h"
#include "base/ascii.h"
#include "base/file_kind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static fb_status fail_errno(fb_context *ctx, const char *doing, const char *path)
{
    int error = errno;
    fb_status code = error == ENOENT || error == ENOTDIR ? FB_E_MISSING
                     : error == ENOMEM                   ? FB_E_MEMORY
                                                         : FB_E_IO;
    return fb_fail(ctx, code, "%s: cannot %s: %s", path, doing, strerror(error));
}

/* Read to the end of fd; *size at most limit + 1, which says that there was more. */
static bool read_all(int fd, size_t guess, size_t limit, uint8_t **bytes, size_t *size)
{
    size_t capacity = (guess < limit ? guess : limit) + 2, used = 0;
    uint8_t *buffer = malloc(capacity);
    while (buffer && used <= limit) {
        if (used + 1 >= capacity) {
            capacity = capacity * 2 < limit + 2 ? capacity * 2 : limit + 2;
            uint8_t *larger = realloc(buffer, capacity);
            if (!larger)
                break;
            buffer = larger;
        }
        ssize_t got = read(fd, buffer + used, capacity - 1 - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            break;
        if (got == 0) {
            buffer[used] = 0;
            *bytes = buffer;
            *size = used;
            return true;
        }
        used += (size_t)got;
    }
    if (buffer && used > limit) {
        free(buffer);
        *bytes = NULL;
        *size = used;
        return true;
    }
    free(buffer);
    return false;
}

/* A regular file, opened without waiting for whoever may write into a pipe. */
static fb_status open_regular(fb_context *ctx, const char *path, int *fd,
                              struct stat *st)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return fail_errno(ctx, "open for reading", path);
    if (fstat(*fd, st) == 0 && S_ISREG(st->st_mode))
        return FB_OK;
    close(*fd);
    return fb_fail(ctx, FB_E_FORMAT, "%s: not a regular file%s", path,
                   S_ISDIR(st->st_mode)    ? ", but a folder"
                   : S_ISFIFO(st->st_mode) ? ", but a pipe"
                                           : "");
}

static fb_status refuse_pointer(fb_context *ctx, const char *path, const void *bytes,
                                size_t size_bytes)
{
    if (!fb_file_is_lfs_pointer(bytes, size_bytes))
        return FB_OK;
    return fb_fail(ctx, FB_E_FORMAT,
                   "%s: a pointer of Git LFS stands in the place of the file; `git lfs "
                   "pull` fetches it",
                   path);
}

fb_status fb_file_read(fb_context *ctx, const char *path, size_t limit_bytes,
                       uint8_t **bytes, size_t *size_bytes)
{
    if (limit_bytes > SIZE_MAX / 2 - 2)
        limit_bytes = SIZE_MAX / 2 - 2;
    int fd;
    struct stat st;
    FB_TRY(open_regular(ctx, path, &fd, &st));
    size_t guess = st.st_size > 0 ? (size_t)st.st_size : 4096;
    uint8_t *buffer = NULL;
    size_t size = 0;
    bool read_ok = read_all(fd, guess, limit_bytes, &buffer, &size);
    int error = errno;
    close(fd);
    errno = error;
    if (!read_ok)
        return fail_errno(ctx, "read", path);
    if (!buffer)
        return fb_fail(ctx, FB_E_LIMIT, "%s: larger than the limit of %zu bytes", path,
                       limit_bytes);
    fb_status status = refuse_pointer(ctx, path, buffer, size);
    if (status != FB_OK) {
        free(buffer);
        return status;
    }
    *bytes = buffer;
    *size_bytes = size;
    return FB_OK;
}

fb_status fb_stream_open(fb_context *ctx, const char *path, FILE **stream,
                         int64_t *size_bytes)
{
    int fd;
    struct stat st;
    char start[64];
    FB_TRY(open_regular(ctx, path, &fd, &st));
    ssize_t got = pread(fd, start, sizeof start, 0);
    fb_status status = got < 0 ? fail_errno(ctx, "read", path)
                               : refuse_pointer(ctx, path, start, (size_t)got);
    if (status == FB_OK && !(*stream = fdopen(fd, "rb")))
        status = fail_errno(ctx, "open for reading", path);
    if (status != FB_OK)
        close(fd);
    else if (size_bytes)
        *size_bytes = st.st_size;
    return status;
}

static int64_t written_ns(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

fb_status fb_map_check(fb_context *ctx, const fb_map *map, const char *name)
{
    struct stat st;
    if (map->held == 0)
        return FB_OK;
    if (fstat(map->held - 1, &st) != 0)
        return fail_errno(ctx, "look at", name);
    if ((size_t)st.st_size == map->size_bytes && written_ns(&st) == map->written_ns)
        return FB_OK;
    return fb_fail(ctx, FB_E_IO,
                   "%s: written over while it is open; put another in its place by "
                   "renaming, and open that",
                   name);
}

fb_status fb_map_open(fb_context *ctx, const char *path, fb_map *map)
{
    int fd;
    struct stat st;
    FB_TRY(open_regular(ctx, path, &fd, &st));
    if (st.st_size == 0) {
        close(fd);
        *map = (fb_map){.bytes = NULL};
        return FB_OK;
    }
    void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        int error = errno;
        close(fd);
        errno = error;
        return fail_errno(ctx, "map", path);
    }
    *map = (fb_map){bytes, (size_t)st.st_size, fd + 1, written_ns(&st)};
    fb_status status = refuse_pointer(ctx, path, bytes, map->size_bytes);
    if (status != FB_OK)
        fb_map_close(map);
    return status;
}

void fb_map_release(const fb_map *map)
{
    if (map->bytes)
        (void)madvise((void *)(uintptr_t)map->bytes, map->size_bytes, MADV_DONTNEED);
}

void fb_map_close(fb_map *map)
{
    if (map->bytes)
        (void)munmap((void *)(uintptr_t)map->bytes, map->size_bytes);
    if (map->held > 0)
        close(map->held - 1);
    *map = (fb_map){.bytes = NULL};
}

enum { PATH_BYTES = sizeof((fb_replace *)0)->path };

static void name_new(const fb_replace *r, char out[PATH_BYTES + 8])
{
    snprintf(out, PATH_BYTES + 8, "%s.new", r->path);
}

fb_status fb_replace_open(fb_context *ctx, const char *path, fb_replace *r)
{
    *r = (fb_replace){.stream = NULL};
    int length = snprintf(r->path, sizeof r->path, "%s", path);
    if (length < 0 || (size_t)length >= sizeof r->path)
        return fb_fail(ctx, FB_E_LIMIT, "%.64s...: path longer than %d bytes", path,
                       PATH_BYTES - 1);
    char fresh[PATH_BYTES + 8];
    name_new(r, fresh);
    r->stream = fopen(fresh, "wbe");
    if (!r->stream)
        return fail_errno(ctx, "open for writing", fresh);
    return FB_OK;
}

void fb_replace_abandon(fb_replace *r)
{
    if (!r->stream)
        return;
    char fresh[PATH_BYTES + 8];
    name_new(r, fresh);
    (void)fclose(r->stream);
    (void)unlink(fresh);
    r->stream = NULL;
}

fb_status fb_parent_sync(fb_context *ctx, const char *path)
{
    char parent[PATH_BYTES];
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (!slash)
        return fb_folder_sync(ctx, ".");
    slash[slash == parent] = 0;
    return fb_folder_sync(ctx, parent);
}

fb_status fb_replace_commit(fb_context *ctx, fb_replace *r)
{
    char fresh[PATH_BYTES + 8];
    name_new(r, fresh);
    bool failed_before = ferror(r->stream) != 0;
    errno = 0;
    if (fflush(r->stream) != 0 || failed_before || fsync(fileno(r->stream)) != 0) {
        if (errno == 0) /* an earlier write failed; what it met is most often this */
            errno = ENOSPC;
        fb_status code = fail_errno(ctx, "write", r->path);
        fb_replace_abandon(r);
        return code;
    }
    int closed = fclose(r->stream);
    r->stream = NULL;
    if (closed != 0 || rename(fresh, r->path) != 0) {
        fb_status code = fail_errno(ctx, "write", r->path);
        (void)unlink(fresh);
        return code;
    }
    return fb_parent_sync(ctx, r->path);
}

fb_status fb_file_write(fb_context *ctx, const char *path, const void *bytes,
                        size_t size_bytes)
{
    fb_replace r;
    FB_TRY(fb_replace_open(ctx, path, &r));
    if (size_bytes > 0)
        (void)fwrite(bytes, 1, size_bytes, r.stream); /* commit reports its failure */
    return fb_replace_commit(ctx, &r);
}

fb_status fb_path_join(fb_context *ctx, char out[4096], const char *folder,
                       const char *name)
{
    size_t folder_size = strlen(folder), name_size = strlen(name);
    bool slash = folder_size > 0 && folder[folder_size - 1] != '/';
    if (folder_size + name_size + 1 >= 4096)
        return fb_fail(ctx, FB_E_LIMIT, "%.64s.../%.64s: path longer than 4095 bytes",
                       folder, name);
    memcpy(out, folder, folder_size);
    out[folder_size] = '/';
    memcpy(out + folder_size + slash, name, name_size + 1);
    return FB_OK;
}

bool fb_path_is_inside(const char *name)
{
    const char *part = name;
    for (;;) {
        size_t length = strcspn(part, "/");
        if (length == 0 || (length == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        if (part[length] == 0)
            return !(length == 1 && part[0] == '.');
        part += length + 1;
    }
}

bool fb_path_leaves(const char *name)
{
    bool leaves = name[0] == '/';
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/';
        leaves |= strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == 0);
    }
    return leaves;
}

bool fb_path_ends_in(const char *name, const char *end)
{
    size_t size = strlen(name), length = strlen(end);
    return size > length && fb_ascii_compare(name + size - length, end) == 0;
}

fb_status fb_path_folder(fb_context *ctx, char out[4096], const char *path)
{
    if (strlen(path) >= 4096)
        return fb_fail(ctx, FB_E_LIMIT, "%.64s...: path longer than 4095 bytes", path);
    const char *slash = strrchr(path, '/');
    size_t size = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
    memcpy(out, size ? path : ".", size ? size : 1);
    out[size ? size : 1] = 0;
    return FB_OK;
}

bool fb_path_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool fb_path_is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* folder.c - the part of file.h about whole folders: make, sync, replace, remove.
 *
 * Replacing exchanges two names in one step. A file system that cannot (some network
 * and stacked ones) gets two renames, path -> path.old, fresh -> path; a kill between
 * the two leaves path.old, which fb_folder_recover moves back.
 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_LEVELS = 3 };

static fb_status fail_errno(fb_context *ctx, const char *doing, const char *path)
{
    int error = errno;
    fb_status code = error == ENOENT || error == ENOTDIR ? FB_E_MISSING : FB_E_IO;
    return fb_fail(ctx, code, "%s: cannot %s: %s", path, doing, strerror(error));
}

fb_status fb_folder_make(fb_context *ctx, const char *path)
{
    char part[4096];
    FB_TRY(fb_path_join(ctx, part, "", path));
    for (char *c = part;; c++) {
        if (*c != '/' && *c != 0)
            continue;
        char end = *c;
        *c = 0;
        if (c != part && mkdir(part, 0777) == 0) {
            /* A parent that may be entered and not read cannot be synced. */
            (void)fb_parent_sync(NULL, part);
        } else if (c != part) {
            int error = errno;
            if (!fb_path_is_folder(part)) {
                errno = error;
                return fail_errno(ctx, "make the folder", part);
            }
        }
        *c = end;
        if (end == 0)
            return FB_OK;
    }
}

fb_status fb_folder_sync(fb_context *ctx, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(ctx, "open the folder", path);
    /* EINVAL: a file system that keeps no folder to sync. */
    fb_status status = FB_OK;
    if (fsync(fd) != 0 && errno != EINVAL)
        status = fail_errno(ctx, "sync", path);
    close(fd);
    return status;
}

fb_status fb_folder_lock(fb_context *ctx, const char *path, const char *doing, int *fd)
{
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return fail_errno(ctx, "open the folder", path);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return FB_OK;
    close(*fd);
    *fd = -1;
    return fb_fail(ctx, FB_E_STATE, "%s: another process is %s", path, doing);
}

typedef fb_status (*visit_fn)(fb_context *ctx, const char *path, bool is_folder);

/* Call visit on everything in `path`, folders after what they hold. */
static fb_status walk(fb_context *ctx, const char *path, int levels, visit_fn visit)
{
    if (levels == 0)
        return fb_fail(ctx, FB_E_LIMIT, "%s: deeper than %d folders, not touched", path,
                       MAX_LEVELS);
    DIR *folder = opendir(path);
    if (!folder)
        return fail_errno(ctx, "open the folder", path);
    fb_status status = FB_OK;
    struct dirent *entry;
    while (status == FB_OK && (entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char inner[4096];
        struct stat st;
        status = fb_path_join(ctx, inner, path, entry->d_name);
        if (status != FB_OK || lstat(inner, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode))
            status = walk(ctx, inner, levels - 1, visit);
        else
            status = visit(ctx, inner, false);
    }
    closedir(folder);
    return status == FB_OK ? visit(ctx, path, true) : status;
}

static fb_status visit_nothing(fb_context *ctx, const char *path, bool is_folder)
{
    (void)ctx, (void)path, (void)is_folder;
    return FB_OK;
}

static fb_status visit_remove(fb_context *ctx, const char *path, bool is_folder)
{
    if ((is_folder ? rmdir(path) : unlink(path)) != 0 && errno != ENOENT)
        return fail_errno(ctx, "remove", path);
    return FB_OK;
}

static fb_status visit_sync(fb_context *ctx, const char *path, bool is_folder)
{
    if (is_folder)
        return fb_folder_sync(ctx, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(ctx, "open to sync", path);
    fb_status status = FB_OK;
    if (fsync(fd) != 0)
        status = fail_errno(ctx, "sync", path);
    close(fd);
    return status;
}

fb_status fb_folder_remove(fb_context *ctx, const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? FB_OK : fail_errno(ctx, "remove", path);
    FB_TRY(
        walk(ctx, path, MAX_LEVELS, visit_nothing)); /* too deep: nothing is removed */
    return walk(ctx, path, MAX_LEVELS, visit_remove);
}

static fb_status name_old(fb_context *ctx, char out[4096], const char *path)
{
    if (strlen(path) + 5 > 4096)
        return fb_fail(ctx, FB_E_LIMIT, "%.64s...: path longer than 4091 bytes", path);
    snprintf(out, 4096, "%s.old", path);
    return FB_OK;
}

static fb_status replace_in_two_steps(fb_context *ctx, const char *fresh,
                                      const char *path)
{
    char old[4096];
    FB_TRY(name_old(ctx, old, path));
    FB_TRY(fb_folder_remove(ctx, old));
    if (rename(path, old) != 0)
        return fail_errno(ctx, "rename", path);
    if (rename(fresh, path) != 0) {
        fb_status status = fail_errno(ctx, "rename", fresh);
        (void)rename(old, path);
        return status;
    }
    FB_TRY(fb_parent_sync(ctx, path));
    return fb_folder_remove(ctx, old);
}

fb_status fb_folder_replace(fb_context *ctx, const char *fresh, const char *path)
{
    FB_TRY(walk(ctx, fresh, MAX_LEVELS, visit_sync));
    if (!fb_path_exists(path)) {
        if (rename(fresh, path) != 0)
            return fail_errno(ctx, "rename", fresh);
        return fb_parent_sync(ctx, path);
    }
    if (!fb_path_is_folder(path))
        return fb_fail(ctx, FB_E_IO, "%s: is there and is not a folder", path);
    if (renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RENAME_EXCHANGE) != 0) {
        if (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)
            return replace_in_two_steps(ctx, fresh, path);
        return fail_errno(ctx, "exchange", path);
    }
    FB_TRY(fb_parent_sync(ctx, path));
    return fb_folder_remove(ctx, fresh); /* this name now holds the old folder */
}

fb_status fb_folder_appear(fb_context *ctx, const char *fresh, const char *path)
{
    int fd = open(fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(ctx, "open the folder", fresh);
    fb_status status = FB_OK;
    if (syncfs(fd) != 0)
        status = fail_errno(ctx, "sync", fresh);
    close(fd);
    FB_TRY(status);
    if (renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RENAME_NOREPLACE) != 0) {
        bool unknown = errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP;
        if (unknown && fb_path_exists(path))
            errno = EEXIST;
        if (errno == EEXIST)
            return fb_fail(ctx, FB_E_STATE, "%s: is there already", path);
        if (!unknown || rename(fresh, path) != 0)
            return fail_errno(ctx, "rename", fresh);
    }
    return fb_parent_sync(ctx, path);
}

fb_status fb_folder_recover(fb_context *ctx, const char *path)
{
    char old[4096];
    FB_TRY(name_old(ctx, old, path));
    if (!fb_path_exists(old))
        return FB_OK;
    if (fb_path_exists(path))
        return fb_folder_remove(ctx, old);
    if (rename(old, path) != 0)
        return fail_errno(ctx, "rename", old);
    return fb_parent_sync(ctx, path);
}

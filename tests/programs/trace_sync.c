/* trace_sync.c - loaded before the command (LD_PRELOAD): what it makes, moves and syncs, one
 * line each in the file TRACE_SYNC, files and folders by inode, since names change:
 *
 *     mkdir  INODE OF-PARENT PATH
 *     sync   INODE
 *     sync   all                  the whole file system
 *     hold   INODE PATH           one that the next move takes along: the thing itself, and
 *                                 what lies in it where it is a folder
 *     move   OF-PARENT PATH       rename, to PATH
 */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
    const char *path = getenv("TRACE_SYNC");
    char line[8400];
    va_list list;
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    va_start(list, format);
    int length = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    ssize_t written = write(fd, line, (size_t)length);
    (void)written;
    close(fd);
}

static unsigned long inode(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 ? (unsigned long)st.st_ino : 0;
}

static unsigned long parent_inode(const char *path)
{
    char parent[4096];
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (!slash)
        return inode(".");
    slash[slash == parent] = '\0';
    return inode(parent);
}

static void hold(const char *path, int levels)
{
    say("hold %lu %s\n", inode(path), path);
    DIR *folder = levels > 0 ? opendir(path) : NULL;
    if (!folder)
        return;
    for (struct dirent *e; (e = readdir(folder)) != NULL;) {
        char inner[4400];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int length = snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
        if (length > 0 && (size_t)length < sizeof inner)
            hold(inner, levels - 1);
    }
    closedir(folder);
}

int mkdir(const char *path, mode_t mode)
{
    int result = mkdirat(AT_FDCWD, path, mode);
    if (result == 0)
        say("mkdir %lu %lu %s\n", inode(path), parent_inode(path), path);
    return result;
}

int fsync(int fd)
{
    int (*real)(int);
    struct stat st;
    *(void **)&real = dlsym(RTLD_NEXT, "fsync");
    if (fstat(fd, &st) == 0)
        say("sync %lu\n", (unsigned long)st.st_ino);
    return real(fd);
}

int syncfs(int fd)
{
    int (*real)(int);
    *(void **)&real = dlsym(RTLD_NEXT, "syncfs");
    say("sync all\n");
    return real(fd);
}

int rename(const char *from, const char *to)
{
    hold(from, 4);
    int result = renameat(AT_FDCWD, from, AT_FDCWD, to);
    if (result == 0)
        say("move %lu %s\n", parent_inode(to), to);
    else
        say("kept %s\n", from);
    return result;
}

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
    int (*real)(int, const char *, int, const char *, unsigned);
    *(void **)&real = dlsym(RTLD_NEXT, "renameat2");
    hold(from, 4);
    int result = real(from_at, from, to_at, to, flags);
    if (result == 0)
        say("move %lu %s\n", parent_inode(to), to);
    else
        say("kept %s\n", from);
    return result;
}

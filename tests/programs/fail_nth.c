/* fail_nth.c - loaded before the command (LD_PRELOAD): the n-th call of one kind fails
 * once, as a machine that has no memory left, a full or a dying disk would.
 *
 *     FAIL_KIND    malloc, open, read, write, fsync or rename
 *     FAIL_AT      n, from 1; 0: none
 *     FAIL_COUNT   file that is told how many calls there were, when the process ends
 *
 * Allocations count where the program itself asks, or a library that reads data for it;
 * those of BLAS, oneDNN, OpenMP and FAISS, which end the process or worse, do not.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

typedef struct range {
    uintptr_t from, to;
} range;

static range counted[16];
static int ranges;
static atomic_long calls;
static long fail_at;
static const char *kind = "";
static char kind_of_malloc;

static int add_object(struct dl_phdr_info *info, size_t size, void *first)
{
    static const char *const libraries[] = {"libjansson", "libjpeg",    "libpng",
                                            "libwebp",    "libarchive", "libz."};
    const char *name = info->dlpi_name;
    int wanted = *(int *)first;
    (void)size;
    *(int *)first = 0;
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++)
        wanted |= strstr(name, libraries[i]) != NULL;
    for (int i = 0; i < info->dlpi_phnum && wanted; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_LOAD && p->p_flags & PF_X && ranges < 16)
            counted[ranges++] = (range){info->dlpi_addr + p->p_vaddr,
                                        info->dlpi_addr + p->p_vaddr + p->p_memsz};
    }
    return 0;
}

static void tell(void)
{
    const char *path = getenv("FAIL_COUNT");
    char text[32];
    int fd = path ? openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
    if (fd < 0)
        return;
    kind = "";
    int length = snprintf(text, sizeof text, "%ld\n", atomic_load(&calls));
    ssize_t written = write(fd, text, (size_t)length);
    (void)written;
    close(fd);
}

__attribute__((constructor)) static void begin(void)
{
    const char *at = getenv("FAIL_AT");
    int first = 1; /* the program itself */
    dl_iterate_phdr(add_object, &first);
    fail_at = at ? strtol(at, NULL, 10) : 0;
    kind = getenv("FAIL_KIND") ? getenv("FAIL_KIND") : "";
    kind_of_malloc = strcmp(kind, "malloc") == 0;
    atexit(tell);
}

static int fails(void)
{
    return atomic_fetch_add(&calls, 1) + 1 == fail_at;
}

static int is(const char *name)
{
    return strcmp(kind, name) == 0;
}

static int allocation_fails(const void *caller)
{
    if (!kind_of_malloc)
        return 0;
    for (int i = 0; i < ranges; i++)
        if ((uintptr_t)caller >= counted[i].from && (uintptr_t)caller < counted[i].to)
            return fails();
    return 0;
}

static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

void *malloc(size_t size)
{
    return allocation_fails(__builtin_return_address(0)) ? no_memory()
                                                         : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return allocation_fails(__builtin_return_address(0)) ? no_memory()
                                                         : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return allocation_fails(__builtin_return_address(0)) ? no_memory()
                                                         : __libc_realloc(old, size);
}

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

static int disk(const char *name, int error)
{
    if (!is(name) || !fails())
        return 0;
    errno = error;
    return 1;
}

int open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    return disk("open", EIO) ? -1 : openat(AT_FDCWD, path, flags, mode);
}

FILE *fopen(const char *path, const char *mode)
{
    FILE *(*real)(const char *, const char *);
    *(void **)&real = next("fopen");
    return disk("open", EIO) ? NULL : real(path, mode);
}

ssize_t read(int fd, void *bytes, size_t size)
{
    ssize_t (*real)(int, void *, size_t);
    *(void **)&real = next("read");
    return disk("read", EIO) ? -1 : real(fd, bytes, size);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    ssize_t (*real)(int, const void *, size_t);
    *(void **)&real = next("write");
    return disk("write", ENOSPC) ? -1 : real(fd, bytes, size);
}

int fflush(FILE *stream)
{
    int (*real)(FILE *);
    *(void **)&real = next("fflush");
    bool is_file = stream && fileno(stream) >= 0; /* not one in memory */
    return is_file && disk("write", ENOSPC) ? EOF : real(stream);
}

int fclose(FILE *stream)
{
    int (*real)(FILE *);
    *(void **)&real = next("fclose");
    bool is_file = fileno(stream) >= 0;
    int failed = is_file && disk("write", ENOSPC), result = real(stream);
    if (failed)
        errno = ENOSPC;
    return failed ? EOF : result;
}

int fsync(int fd)
{
    int (*real)(int);
    *(void **)&real = next("fsync");
    return disk("fsync", EIO) ? -1 : real(fd);
}

int rename(const char *from, const char *to)
{
    int (*real)(const char *, const char *);
    *(void **)&real = next("rename");
    return disk("rename", EIO) ? -1 : real(from, to);
}

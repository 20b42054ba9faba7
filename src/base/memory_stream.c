/* memory_stream.c - see memory_stream.h. The stream's own error flag, which stdio sets
 * where a write falls short, is what keeps a failure. */
#include "base/memory_stream.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_BYTES = 256 };

typedef struct memory {
    char **bytes;
    size_t *size, capacity;
} memory;

static ssize_t write_memory(void *cookie, const char *from, size_t count)
{
    memory *m = cookie;
    if (count >= m->capacity - *m->size) {
        size_t capacity = m->capacity * 2 + count;
        char *grown = realloc(*m->bytes, capacity);
        if (!grown)
            return 0;
        *m->bytes = grown;
        m->capacity = capacity;
    }
    memcpy(*m->bytes + *m->size, from, count);
    *m->size += count;
    (*m->bytes)[*m->size] = 0;
    return (ssize_t)count;
}

static int close_memory(void *cookie)
{
    free(cookie);
    return 0;
}

FILE *fb_memory_open(char **bytes, size_t *size)
{
    memory *m = malloc(sizeof *m);
    *bytes = calloc(1, FIRST_BYTES);
    *size = 0;
    if (m && *bytes) {
        *m = (memory){bytes, size, FIRST_BYTES};
        FILE *stream = fopencookie(
            m, "w",
            (cookie_io_functions_t){.write = write_memory, .close = close_memory});
        if (stream)
            return stream;
    }
    free(m);
    free(*bytes);
    *bytes = NULL;
    return NULL;
}

bool fb_memory_close(FILE *stream, char **bytes)
{
    if (!stream)
        return false;
    bool whole = fflush(stream) == 0 && !ferror(stream);
    whole = fclose(stream) == 0 && whole;
    if (whole)
        return true;
    free(*bytes);
    *bytes = NULL;
    return false;
}

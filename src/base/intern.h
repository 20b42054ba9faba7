/* intern.h - strings kept once and numbered 0, 1, 2, ... in the order in which they
 * came.
 */
#ifndef FB_BASE_INTERN_H
#define FB_BASE_INTERN_H

#include "base/arena.h"
#include "base/hash.h"

typedef struct fb_intern fb_intern;

fb_intern *fb_intern_create(void); /* NULL when memory is out */
void fb_intern_free(fb_intern *intern);

/* The number of `text`, new or known; -1 when memory is out. */
int32_t fb_intern_add(fb_intern *intern, const char *text);
/* Its number, -1 when it is not there. */
int32_t fb_intern_find(const fb_intern *intern, const char *text);
int32_t fb_intern_count(const fb_intern *intern);
const char *fb_intern_text(const fb_intern *intern, int32_t number);

/* Short strings end to end in an arena that would round each of them up to 64 bytes. */
typedef struct fb_string_pool {
    fb_arena *arena;
    char *at;
    size_t left;
} fb_string_pool;
/* A copy with a 0 byte behind it; NULL when memory is out. */
char *fb_string_pool_copy(fb_string_pool *pool, const char *text, size_t size_bytes);

#endif

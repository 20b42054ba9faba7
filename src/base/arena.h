/* arena.h - one arena per lifetime; memory is handed out in order and given back at
 * once.
 *
 *     chunk 0: [used ........|free ..]   chunk 1: [used ..|free ......]
 *
 * fb_arena_reset merges all chunks into one as large as their sum, so that a step that
 * repeats allocates nothing from the second time on (fb_arena_system_allocations
 * counts).
 */
#ifndef FB_BASE_ARENA_H
#define FB_BASE_ARENA_H

#include "base/status.h"

typedef struct fb_arena fb_arena;

/* An arena that grows by chunks of at least chunk_bytes. NULL when memory is out. */
fb_arena *fb_arena_create(size_t chunk_bytes);
void fb_arena_free(fb_arena *arena);

/* Where chunks come from when it is not malloc: memory that may not be read here (a
 * device's). */
typedef struct fb_arena_source {
    void *self;
    void *(*alloc)(void *self,
                   size_t bytes); /* aligned to 64; NULL when there is none */
    void (*free)(void *self, void *bytes);
} fb_arena_source;
/* As fb_arena_create; what source->self points at must outlive the arena. */
fb_arena *fb_arena_create_in(const fb_arena_source *source, size_t chunk_bytes);

/* Another arena that is reset and freed with this one; NULL when there is none. */
void fb_arena_set_companion(fb_arena *arena, fb_arena *companion);
fb_arena *fb_arena_companion(const fb_arena *arena);

/* size_bytes aligned to 64, not cleared; NULL when memory is out. size 0 gives a
 * pointer that may not be read. */
void *fb_arena_alloc(fb_arena *arena, size_t size_bytes);
void *fb_arena_alloc_zero(fb_arena *arena, size_t size_bytes);
char *fb_arena_strdup(fb_arena *arena, const char *text);

/* Forget everything handed out. */
void fb_arena_reset(fb_arena *arena);

/* A place to come back to: all that was handed out after `mark` is forgotten. */
typedef struct fb_arena_mark {
    size_t chunk, used;
} fb_arena_mark;
fb_arena_mark fb_arena_save(const fb_arena *arena);
void fb_arena_restore(fb_arena *arena, fb_arena_mark mark);

size_t fb_arena_peak_bytes(const fb_arena *arena);          /* most ever in use */
int64_t fb_arena_system_allocations(const fb_arena *arena); /* chunks ever malloc'ed */

#endif

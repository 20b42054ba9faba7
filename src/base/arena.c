/* arena.c - chunks in the order in which they were needed.
 *
 * `current` is where handing out goes on; chunks behind it are empty, those before it
 * keep what they hold. Every size is rounded up to 64 bytes, so chunks never need
 * padding and one chunk of their summed size holds whatever they held together.
 */
#include "base/arena.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, HUGE_PAGE_BYTES = 2 << 20 };

struct chunk {
    uint8_t *bytes;
    size_t size, used;
};

struct fb_arena {
    struct chunk *chunks;
    size_t count, capacity, current;
    size_t chunk_bytes, in_use, peak;
    int64_t system_allocations;
    fb_arena_source source; /* alloc NULL: the C library */
    fb_arena *companion;
};

static size_t round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

/* Add an empty chunk of at least `size` bytes behind the others and make it current. */
static bool add_chunk(fb_arena *arena, size_t size)
{
    if (arena->count == arena->capacity) {
        size_t capacity = arena->capacity ? arena->capacity * 2 : 8;
        struct chunk *chunks = realloc(arena->chunks, capacity * sizeof *chunks);
        if (!chunks)
            return false;
        arena->chunks = chunks;
        arena->capacity = capacity;
    }
    bool huge = !arena->source.alloc && size >= 2 * (size_t)HUGE_PAGE_BYTES;
    size_t unit = huge ? HUGE_PAGE_BYTES : ALIGNMENT;
    if (size > SIZE_MAX - unit)
        return false;
    size = round_up(size, unit);
    uint8_t *bytes = arena->source.alloc ? arena->source.alloc(arena->source.self, size)
                                         : aligned_alloc(unit, size);
    if (!bytes)
        return false;
    if (huge) /* fewer TLB misses in matrix products; only a wish, so no check */
        (void)madvise(bytes, size, MADV_HUGEPAGE);
    arena->chunks[arena->count] = (struct chunk){bytes, size, 0};
    arena->current = arena->count++;
    arena->system_allocations++;
    return true;
}

fb_arena *fb_arena_create(size_t chunk_bytes)
{
    fb_arena *arena = calloc(1, sizeof *arena);
    if (!arena)
        return NULL;
    arena->chunk_bytes = chunk_bytes;
    return arena;
}

fb_arena *fb_arena_create_in(const fb_arena_source *source, size_t chunk_bytes)
{
    fb_arena *arena = fb_arena_create(chunk_bytes);
    if (arena)
        arena->source = *source;
    return arena;
}

void fb_arena_set_companion(fb_arena *arena, fb_arena *companion)
{
    arena->companion = companion;
}

fb_arena *fb_arena_companion(const fb_arena *arena)
{
    return arena->companion;
}

static void free_chunks(fb_arena *arena)
{
    for (size_t i = 0; i < arena->count; i++)
        if (arena->source.alloc)
            arena->source.free(arena->source.self, arena->chunks[i].bytes);
        else
            free(arena->chunks[i].bytes);
    arena->count = 0;
}

void fb_arena_free(fb_arena *arena)
{
    if (!arena)
        return;
    fb_arena_free(arena->companion);
    free_chunks(arena);
    free(arena->chunks);
    free(arena);
}

void *fb_arena_alloc(fb_arena *arena, size_t size_bytes)
{
    if (size_bytes > SIZE_MAX - ALIGNMENT)
        return NULL;
    size_t size = size_bytes ? round_up(size_bytes, ALIGNMENT) : ALIGNMENT;
    size_t at = arena->current;
    while (at < arena->count && arena->chunks[at].size - arena->chunks[at].used < size)
        at++;
    if (at < arena->count)
        arena->current = at;
    else if (!add_chunk(arena, size > arena->chunk_bytes ? size : arena->chunk_bytes))
        return NULL;
    struct chunk *chunk = &arena->chunks[arena->current];
    void *bytes = chunk->bytes + chunk->used;
    chunk->used += size;
    arena->in_use += size;
    if (arena->in_use > arena->peak)
        arena->peak = arena->in_use;
    return bytes;
}

void *fb_arena_alloc_zero(fb_arena *arena, size_t size_bytes)
{
    void *bytes = fb_arena_alloc(arena, size_bytes);
    if (bytes)
        memset(bytes, 0, size_bytes);
    return bytes;
}

char *fb_arena_strdup(fb_arena *arena, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = fb_arena_alloc(arena, size);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

void fb_arena_reset(fb_arena *arena)
{
    size_t sum = 0;
    if (arena->companion)
        fb_arena_reset(arena->companion);
    for (size_t i = 0; i < arena->count; i++) {
        sum += arena->chunks[i].size;
        arena->chunks[i].used = 0;
    }
    arena->current = 0;
    arena->in_use = 0;
    if (arena->count < 2)
        return;
    /* Given back before the large one is asked for, so that never both are there. */
    free_chunks(arena);
    (void)add_chunk(arena, sum); /* without memory now, the next alloc says so */
}

fb_arena_mark fb_arena_save(const fb_arena *arena)
{
    if (arena->count == 0)
        return (fb_arena_mark){0, 0};
    return (fb_arena_mark){arena->current, arena->chunks[arena->current].used};
}

void fb_arena_restore(fb_arena *arena, fb_arena_mark mark)
{
    for (size_t i = mark.chunk; i < arena->count; i++) {
        size_t keep = i == mark.chunk ? mark.used : 0;
        if (arena->chunks[i].used > keep) {
            arena->in_use -= arena->chunks[i].used - keep;
            arena->chunks[i].used = keep;
        }
    }
    arena->current = mark.chunk;
}

size_t fb_arena_peak_bytes(const fb_arena *arena)
{
    return arena->peak;
}

int64_t fb_arena_system_allocations(const fb_arena *arena)
{
    return arena->system_allocations;
}

/* hashed_weights.h - for tests against a dump that holds no weights: both sides make
 * them, and pixels, from hashes of (name, place), as tools/hashed.py does.
 */
#ifndef FB_TESTS_HASHED_WEIGHTS_H
#define FB_TESTS_HASHED_WEIGHTS_H

#include "base/random.h"
#include "nn/param.h"

#include <math.h>
#include <string.h>

/* FNV-1a */
static inline uint64_t key_of(const char *name)
{
    uint64_t key = 0xcbf29ce484222325u;
    for (; *name; name++)
        key = (key ^ (uint8_t)*name) * 0x100000001b3u;
    return key;
}

/* in [-1, 1) */
static inline double hashed(uint64_t key, int64_t i)
{
    return (double)fb_random_hash32(key, (uint32_t)i) * 0x1p-31 - 1.0;
}

/* [count] of 0 to 255 */
static inline void fill_pixels(uint8_t *pixels, const char *name, int64_t count)
{
    uint64_t key = key_of(name);
    for (int64_t i = 0; i < count; i++)
        pixels[i] = (uint8_t)((hashed(key, i) + 1) * 128);
}

/* numbers = a + b hash */
static inline void fill(float *numbers, const char *name, int64_t count, double a,
                        double b)
{
    uint64_t key = key_of(name);
    for (int64_t i = 0; i < count; i++)
        numbers[i] = (float)(a + b * hashed(key, i));
}

static inline bool ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), e = strlen(end);
    return n >= e && strcmp(name + n - e, end) == 0;
}

/* Parameters and running statistics; of each name what follows its first `skip` bytes.
 */
static inline void fill_parameters(fb_params *params, size_t skip)
{
    for (const fb_param *p = params->first; p; p = p->next)
        for (int32_t i = 0; i < p->parts; i++) {
            int64_t count = p->rows / p->parts * p->columns;
            float *numbers = params->value + p->offset + i * count;
            const char *name = p->name[i] + skip;
            if (p->kernel)
                fill(numbers, name, count, 0, sqrt(6.0 / (double)p->columns));
            else if (p->columns > 1)
                fill(numbers, name, count, 0, 0.3);
            else if (ends_in(name, "weight"))
                fill(numbers, name, count, 0.7, 0.2);
            else
                fill(numbers, name, count, 0, 0.2);
        }
    for (const fb_buffer *b = params->first_buffer; b; b = b->next) {
        bool variance = ends_in(b->name, "running_var");
        fill(*b->value, b->name + skip, b->count, variance ? 1 : 0,
             variance ? 0.5 : 0.2);
    }
    fb_params_touch(params);
}

#endif

/* random.h - counter-based random numbers: bits are a function of (seed, stream, step,
 * index) and of nothing else, so a resumed run draws what the uninterrupted one would
 * (Salmon et al. 2011).
 *
 *     key   = mix(seed, stream, step)        once a step and purpose
 *     bits  = hash(key, index)               any index, any order, any thread
 *
 * The mixing is splitmix64's finaliser (Steele et al. 2014); the 32-bit hash is the
 * two-round "lowbias32" finaliser (Wellons), which vectorises.
 */
#ifndef FB_BASE_RANDOM_H
#define FB_BASE_RANDOM_H

#include <stdint.h>

/* What the bits are for; part of the key. */
enum fb_stream {
    FB_STREAM_INIT = 1,
    FB_STREAM_ORDER,
    FB_STREAM_MASK_TEXT,
    FB_STREAM_MASK_PATCH,
    FB_STREAM_NEGATIVE,
    FB_STREAM_DROPOUT,
    FB_STREAM_EVALUATE,
    FB_STREAM_SPLIT,
    FB_STREAM_TEST,
    FB_STREAM_RUNS,
    FB_STREAM_GROUPED,
    FB_STREAM_AUGMENT,
    FB_STREAM_HARD,
    FB_STREAM_QUERY,
    FB_STREAM_NEIGHBOURS,
    FB_STREAM_BOOTSTRAP
};

static inline uint64_t fb_random_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t fb_random_key(uint64_t seed, uint64_t stream, uint64_t step)
{
    return fb_random_mix(fb_random_mix(fb_random_mix(seed) ^ stream) ^ step);
}

/* 32 bits for element `index`. */
static inline uint32_t fb_random_hash32(uint64_t key, uint32_t index)
{
    uint32_t x = index ^ (uint32_t)key;
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x += (uint32_t)(key >> 32);
    x *= 0x846ca68bu;
    x ^= x >> 16;
    return x;
}

/* A sequence of draws under one key. */
typedef struct fb_random {
    uint64_t key, counter;
} fb_random;

static inline fb_random fb_random_start(uint64_t seed, uint64_t stream, uint64_t step)
{
    return (fb_random){fb_random_key(seed, stream, step), 0};
}

static inline uint64_t fb_random_next(fb_random *r)
{
    return fb_random_mix(r->key ^ fb_random_mix(r->counter++));
}

/* Uniform in [0, bound), bound > 0 (Lemire's multiply; bias below 2^-32). */
static inline uint32_t fb_random_below(fb_random *r, uint32_t bound)
{
    return (uint32_t)(((fb_random_next(r) >> 32) * (uint64_t)bound) >> 32);
}

static inline double fb_random_uniform(fb_random *r) /* [0,1) */
{
    return (double)(fb_random_next(r) >> 11) * 0x1p-53;
}

/* Standard normal (Box-Muller, one of the pair). */
double fb_random_normal(fb_random *r);

/* Fisher-Yates, in place. */
void fb_random_shuffle(fb_random *r, int32_t *items, int64_t count);

#endif

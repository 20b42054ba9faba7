/* hash.c - see hash.h. Every step is a bijection of what came before, so one changed
 * word always changes the result. */
#include "base/hash.h"

#include "base/random.h"

#include <string.h>

enum { LANES = 8, STRIPE = LANES * 8 };

static uint64_t word_at(const uint8_t *at)
{
    uint64_t word = 0;
    for (int i = 0; i < 8; i++)
        word |= (uint64_t)at[i] << (8 * i);
    return word;
}

uint64_t fb_hash_bytes(uint64_t seed, const void *bytes, size_t size_bytes)
{
    const uint8_t *at = bytes;
    uint64_t hash = fb_random_mix(seed ^ size_bytes);
    for (; size_bytes >= 8; size_bytes -= 8, at += 8)
        hash = fb_random_mix(hash ^ word_at(at));
    uint64_t tail = 0;
    for (size_t i = 0; i < size_bytes; i++)
        tail |= (uint64_t)at[i] << (8 * i);
    return fb_random_mix(hash ^ tail);
}

uint64_t fb_checksum(uint64_t seed, const void *bytes, size_t size_bytes)
{
    uint64_t lane[LANES];
    const uint8_t *at = bytes;
    for (uint64_t i = 0; i < LANES; i++)
        lane[i] = fb_random_mix(seed + i);
    size_t left = size_bytes;
    for (; left >= STRIPE; left -= STRIPE, at += STRIPE)
        for (int i = 0; i < LANES; i++) {
            uint64_t x = (lane[i] ^ word_at(at + 8 * i)) * 0x9e3779b97f4a7c15u;
            lane[i] = (x << 29) | (x >> 35);
        }
    uint64_t hash = fb_random_mix(seed ^ size_bytes);
    for (int i = 0; i < LANES; i++)
        hash = fb_random_mix(hash ^ lane[i]);
    return fb_hash_bytes(hash, at, left);
}

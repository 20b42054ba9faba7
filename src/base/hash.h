/* hash.h - 64 bits of any bytes: the same on every machine. Not for adversaries.
 *
 *     fb_hash_bytes     short things: names, rows
 *     fb_checksum       files: eight sums side by side, as fast as memory is read
 */
#ifndef FB_BASE_HASH_H
#define FB_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t fb_hash_bytes(uint64_t seed, const void *bytes, size_t size_bytes);

uint64_t fb_checksum(uint64_t seed, const void *bytes, size_t size_bytes);

#endif

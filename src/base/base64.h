/* base64.h - RFC 4648 base64 with "=" at the end, strictly. */
#ifndef FB_BASE_BASE64_H
#define FB_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* bytes [size_bytes] as characters, without line ends. */
void fb_base64_write(FILE *out, const uint8_t *bytes, size_t size_bytes);

/* Bytes that `size` characters of text can give at most. */
static inline size_t fb_base64_room(size_t size)
{
    return size / 4 * 3;
}

/* text [size] into bytes [fb_base64_room(size)]. False when it is no base64: a length
 * that is no multiple of 4, another character, "=" elsewhere than at the end, or bits
 * behind the last byte that are not 0. `bytes` may be written to then. */
bool fb_base64_decode(const char *text, size_t size, uint8_t *bytes,
                      size_t *size_bytes);

#endif

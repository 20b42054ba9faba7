/* region_formats.c - see region_formats.h. */
#include "region_formats.h"

#include <string.h>

void put_base64(char *out, const void *data, size_t size)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i += 3) {
        uint32_t word = (uint32_t)bytes[i] << 16;
        word |= i + 1 < size ? (uint32_t)bytes[i + 1] << 8 : 0;
        word |= i + 2 < size ? bytes[i + 2] : 0;
        *out++ = digits[word >> 18];
        *out++ = digits[word >> 12 & 63];
        *out++ = i + 1 < size ? digits[word >> 6 & 63] : '=';
        *out++ = i + 2 < size ? digits[word & 63] : '=';
    }
    *out = 0;
}

size_t put_npy(uint8_t *out, const char *header, const void *numbers, size_t size)
{
    size_t length = (strlen(header) + 1 + 10 + 63) / 64 * 64 - 10;
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (uint8_t)length;
    out[9] = (uint8_t)(length >> 8);
    memset(out + 10, ' ', length);
    memcpy(out + 10, header, strlen(header));
    out[10 + length - 1] = '\n';
    memcpy(out + 10 + length, numbers, size);
    return 10 + length + size;
}

/* base64.c - see base64.h. */
#include "base/base64.h"

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void fb_base64_write(FILE *out, const uint8_t *bytes, size_t size_bytes)
{
    for (size_t i = 0; i < size_bytes; i += 3) {
        size_t left = size_bytes - i;
        uint32_t bits = (uint32_t)bytes[i] << 16;
        bits |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        bits |= left > 2 ? bytes[i + 2] : 0;
        fputc(digits[bits >> 18], out);
        fputc(digits[bits >> 12 & 63], out);
        fputc(left > 1 ? digits[bits >> 6 & 63] : '=', out);
        fputc(left > 2 ? digits[bits & 63] : '=', out);
    }
}

/* 0 to 63; 64: no character of base64. */
static const uint8_t *values(uint8_t table[256])
{
    for (int i = 0; i < 256; i++)
        table[i] = 64;
    for (int i = 0; i < 64; i++)
        table[(uint8_t)digits[i]] = (uint8_t)i;
    return table;
}

bool fb_base64_decode(const char *text, size_t size, uint8_t *bytes, size_t *size_bytes)
{
    uint8_t table[256];
    const uint8_t *value = values(table), *at = (const uint8_t *)text;
    size_t used = 0, pads = 0;
    if (size % 4 != 0)
        return false;
    while (pads < 2 && pads < size && at[size - 1 - pads] == '=')
        pads++;
    for (size_t i = 0; i + 4 <= size - (pads ? 4 : 0); i += 4) {
        uint8_t a = value[at[i]], b = value[at[i + 1]], c = value[at[i + 2]],
                d = value[at[i + 3]];
        if ((a | b | c | d) & 64)
            return false;
        bytes[used++] = (uint8_t)(a << 2 | b >> 4);
        bytes[used++] = (uint8_t)(b << 4 | c >> 2);
        bytes[used++] = (uint8_t)(c << 6 | d);
    }
    if (pads) {
        at += size - 4;
        uint8_t a = value[at[0]], b = value[at[1]], c = pads == 1 ? value[at[2]] : 0;
        uint8_t rest = pads == 1 ? c & 3 : b & 15;
        if ((a | b | c) & 64 || rest)
            return false;
        bytes[used++] = (uint8_t)(a << 2 | b >> 4);
        if (pads == 1)
            bytes[used++] = (uint8_t)(b << 4 | c >> 2);
    }
    *size_bytes = used;
    return true;
}

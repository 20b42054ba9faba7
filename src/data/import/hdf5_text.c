/* hdf5_text.c - see hdf5_text.h. */
#include "data/import/hdf5_text.h"
#include "data/text/basic_tokenizer.h"

#include <string.h>

static bool is_control(uint32_t c)
{
    return c < ' ' || (c >= 0x7f && c <= 0x9f);
}

static bool is_blank(uint8_t c)
{
    return is_control(c) || c == ' ' || c == 0xa0;
}

/* Whether a byte is trimmed; a byte of 128 or more is a part of a character in UTF-8.
 */
static bool is_edge(uint8_t c, bool is_utf8)
{
    return is_blank(c) && !(is_utf8 && c >= 0x80);
}

static size_t from_latin1(const uint8_t *bytes, size_t size, char *out)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++)
        used += (size_t)fb_utf8_put(is_control(bytes[i]) ? ' ' : bytes[i], out + used);
    return used;
}

static size_t from_utf8(const uint8_t *bytes, size_t size, char *out)
{
    for (size_t i = 0; i < size; i++)
        out[i] = bytes[i] < ' ' || bytes[i] == 0x7f ? ' ' : (char)bytes[i];
    return size;
}

size_t fb_hdf5_field(const uint8_t *bytes, size_t size, bool utf8, char *out)
{
    const uint8_t *zero = size ? memchr(bytes, 0, size) : NULL;
    size_t end = zero ? (size_t)(zero - bytes) : size, begin = 0;
    bool is_utf8 = utf8 && fb_utf8_is_valid((const char *)bytes, end);
    while (begin < end && is_edge(bytes[begin], is_utf8))
        begin++;
    while (end > begin && is_edge(bytes[end - 1], is_utf8))
        end--;
    size_t used = (is_utf8 ? from_utf8 : from_latin1)(bytes + begin, end - begin, out);
    out[used] = 0;
    return used;
}

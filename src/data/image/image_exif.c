/* image_exif.c - the orientation out of EXIF (a TIFF structure) or XMP (text).
 *
 *     "II" or "MM" | u16 42 | u32 offset of the first directory
 *     directory: u16 count | count x { u16 tag | u16 type | u32 count | 4 bytes value }
 *
 * Tag 0x0112 holds 1 to 8 as a byte (type 1), u16 (3) or u32 (4). Nothing here fails:
 * what cannot be read is no orientation.
 */
#include "data/image/image_codec.h"
#include <string.h>

static uint32_t exif_number(const uint8_t *p, size_t size_bytes, bool big)
{
    uint32_t value = 0;
    for (size_t i = 0; i < size_bytes; i++)
        value = value << 8 | p[big ? i : size_bytes - 1 - i];
    return value;
}

static int orientation_or_zero(uint32_t value)
{
    return value >= 1 && value <= 8 ? (int)value : 0;
}

int fb_exif_orientation(const uint8_t *exif, size_t size_bytes)
{
    static const uint8_t type_bytes[5] = {0, 1, 0, 2, 4};
    while (size_bytes >= 6 && memcmp(exif, "Exif\0\0", 6) == 0) {
        exif += 6;
        size_bytes -= 6;
    }
    if (size_bytes < 8 || exif[0] != exif[1] || (exif[0] != 'I' && exif[0] != 'M'))
        return 0;
    bool big = exif[0] == 'M';
    size_t at = exif_number(exif + 4, 4, big);
    if (exif_number(exif + 2, 2, big) != 42 || at > size_bytes - 2)
        return 0;
    uint32_t count = exif_number(exif + at, 2, big);
    at += 2;
    for (uint32_t i = 0; i < count && size_bytes - at >= 12; i++, at += 12) {
        uint32_t type = exif_number(exif + at + 2, 2, big);
        if (exif_number(exif + at, 2, big) != 0x0112)
            continue;
        if (type > 4 || type_bytes[type] == 0 ||
            exif_number(exif + at + 4, 4, big) != 1)
            return 0;
        return orientation_or_zero(exif_number(exif + at + 8, type_bytes[type], big));
    }
    return 0;
}

int fb_xmp_orientation(const uint8_t *xmp, size_t size_bytes)
{
    static const char key[] = "tiff:Orientation";
    const size_t length = sizeof key - 1;
    while (size_bytes > length) {
        const uint8_t *found = memmem(xmp, size_bytes, key, length);
        if (found == NULL)
            return 0;
        size_bytes -= (size_t)(found - xmp) + length;
        xmp = found + length;
        size_t skip = size_bytes >= 2 && memcmp(xmp, "=\"", 2) == 0 ? 2
                      : size_bytes >= 1 && xmp[0] == '>'            ? 1
                                                                    : 0;
        if (skip > 0 && size_bytes > skip && xmp[skip] >= '0' && xmp[skip] <= '9')
            return orientation_or_zero((uint32_t)(xmp[skip] - '0'));
    }
    return 0;
}

/* region_formats.h - others' formats of regions, written for tests. */
#ifndef FB_TESTS_SUPPORT_REGION_FORMATS_H
#define FB_TESTS_SUPPORT_REGION_FORMATS_H

#include <stddef.h>
#include <stdint.h>

/* base64 of data [size] into out [4 * size / 3 + 8], a 0 behind it. */
void put_base64(char *out, const void *data, size_t size);

/* A .npy of version 1 with the header that numpy writes, padded to 64, and the numbers
 * behind it; out has room for strlen(header) + size + 128. Returns its size. */
size_t put_npy(uint8_t *out, const char *header, const void *numbers, size_t size);

#endif

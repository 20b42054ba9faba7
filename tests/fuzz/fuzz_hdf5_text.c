/* fuzz_hdf5_text.c - any bytes as a string of an HDF5 file: out comes UTF-8 without
 * controls, no longer than promised, and the same when it is read again as UTF-8. */
#include "data/import/hdf5_text.h"
#include "data/text/basic_tokenizer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t bytes = size - 1;
    uint8_t *field = malloc(bytes ? bytes : 1); /* overreads are seen */
    char *out = malloc(2 * bytes + 1), *again = malloc(4 * bytes + 1);
    if (!field || !out || !again)
        abort();
    memcpy(field, data + 1, bytes);
    size_t used = fb_hdf5_field(field, bytes, data[0] & 1, out);
    if (used > 2 * bytes || strlen(out) != used || !fb_utf8_is_valid(out, used))
        abort();
    for (size_t i = 0; i < used; i++)
        if ((uint8_t)out[i] < ' ' || out[i] == 0x7f)
            abort();
    if (fb_hdf5_field((const uint8_t *)out, used, true, again) != used ||
        memcmp(out, again, used) != 0)
        abort();
    free(field);
    free(out);
    free(again);
    return 0;
}

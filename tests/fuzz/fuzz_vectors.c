/* fuzz_vectors.c - any bytes as vectors of others, .npy or .fvecs. Each row that is
 * accepted can be read and is a unit vector. */
#include "retrieval/index/npy.h"
#include "retrieval/index/vector_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const fb_vector_file *file)
{
    fb_context ctx = {0};
    float *row = malloc((size_t)file->width * sizeof *row);
    for (int64_t r = 0; r < file->rows && row; r++) {
        if (fb_vector_file_row(&ctx, file, r, row) != FB_OK)
            continue;
        double squares = 0;
        for (int32_t i = 0; i < file->width; i++)
            squares += (double)row[i] * (double)row[i];
        if (!(fabs(squares - 1) < 1e-3))
            abort();
    }
    free(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1); /* overreads are seen */
    if (!copy)
        return 0;
    if (size)
        memcpy(copy, data, size);
    fb_context ctx = {0};
    fb_vector_file file = {.rows = -1};
    fb_npy npy;
    fb_status status = fb_vector_file_parse(&ctx, &file, "fuzz", copy, size);
    if ((status == FB_OK) != (file.rows >= 0) || (status != FB_OK && !ctx.message[0]))
        abort();
    if (status == FB_OK)
        use(&file);
    if (fb_npy_parse(&ctx, &npy, "fuzz", copy, size) == FB_OK &&
        npy.data_at + npy.data_bytes != size)
        abort();
    free(copy);
    return 0;
}

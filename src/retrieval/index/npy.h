/* npy.h - arrays in NumPy's .npy format: the frame around the numbers.
 *
 *     \x93NUMPY  major minor  length  header  spaces  newline  | numbers, row-major
 *     header: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 256), }
 *
 * Written with the numbers at a multiple of 64 bytes, version 1.0; versions 1 to 3 are
 * read, row-major arrays of rank 1 to 4 alone.
 */
#ifndef FB_RETRIEVAL_INDEX_NPY_H
#define FB_RETRIEVAL_INDEX_NPY_H

#include "base/status.h"
#include <stdio.h>

enum { FB_NPY_RANK = 4, FB_NPY_HEADER = 128 };

typedef struct fb_npy {
    char descr[8]; /* "<f4", "|u1", "<u2", "<i4", "<f8", ... */
    int32_t rank;
    int64_t dims[FB_NPY_RANK];
    size_t item_bytes; /* of one number */
    size_t data_at, data_bytes;
} fb_npy;

/* bytes [size_bytes] are the file's. FB_E_FORMAT: not such a file, another kind of
 * array, or its size is not what its shape says. `name` is for messages. */
fb_status fb_npy_parse(fb_context *ctx, fb_npy *npy, const char *name,
                       const uint8_t *bytes, size_t size_bytes);

/* The FB_NPY_HEADER bytes in front of such an array; rank 1 to 4. */
void fb_npy_header(char out[FB_NPY_HEADER], const char *descr, int32_t rank,
                   const int64_t *dims);

#endif

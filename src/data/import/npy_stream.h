/* npy_stream.h - numpy's arrays: a .npy file, or a member of a .npz (a zip of them),
 * read from the first number to the last.
 *
 *     "\x93NUMPY" major minor   u16 (major 1) or u32 (2, 3) length   header   numbers
 *     header: {'descr': '<f4', 'fortran_order': False, 'shape': (100, 36, 2048), }
 *
 * Read are little-endian f4 and f8 and the integers i1, u1, i2, u2, i4, u4, i8, in C
 * order; all come out as f32.
 */
#ifndef FB_DATA_IMPORT_NPY_STREAM_H
#define FB_DATA_IMPORT_NPY_STREAM_H

#include "base/status.h"

enum { FB_NPY_DIMS = 4, FB_NPY_SHAPE_BYTES_MAX = 65536 };

typedef struct fb_npy_shape {
    char type[8];         /* "<f4" */
    int32_t number_bytes; /* of one */
    int32_t rank;         /* 0: a single number */
    int64_t dim[FB_NPY_DIMS];
    int64_t count; /* numbers in all */
} fb_npy_shape;

/* The header's text, behind the length. `name` begins sentences.
 * FB_E_FORMAT  not as numpy writes it
 * FB_E_DTYPE   other numbers than above, or Fortran's order; says what would be right
 * FB_E_LIMIT   more than FB_NPY_DIMS dimensions, or 2^48 numbers */
fb_status fb_npy_shape_parse(fb_context *ctx, const char *name, const char *text,
                             size_t size, fb_npy_shape *header);

typedef struct fb_npy_stream fb_npy_stream;

/* member: of a .npz without ".npy" behind it, or NULL for a .npy. FB_E_MISSING: no such
 * file, or no such member; the failures above; FB_E_MEMORY. */
fb_status fb_npy_stream_open(fb_context *ctx, fb_npy_stream **npy, const char *path,
                             const char *member);
/* The same over the bytes of a .npy that outlive it. */
fb_status fb_npy_stream_open_bytes(fb_context *ctx, fb_npy_stream **npy,
                                   const char *name, const uint8_t *bytes,
                                   size_t size_bytes);
void fb_npy_stream_close(fb_npy_stream *npy);

const fb_npy_shape *fb_npy_stream_shape(const fb_npy_stream *npy);
/* The next `count` numbers. FB_E_FORMAT: the file ends before. */
fb_status fb_npy_stream_read(fb_context *ctx, fb_npy_stream *npy, float *numbers,
                             int64_t count);
/* FB_E_FORMAT: there is more behind the last number. */
fb_status fb_npy_stream_finish(fb_context *ctx, fb_npy_stream *npy);

/* The first of names [count] that a .npz has as a member, *found -1: none.
 * FB_E_MISSING, FB_E_FORMAT */
fb_status fb_npz_find(fb_context *ctx, const char *path, const char *const *names,
                      int32_t count, int32_t *found);

#endif

/* tensor.h - a view: where the numbers lie, their type and dims. Owns nothing; dense,
 * row-major. A dim may be 0: then data may not be read. */
#ifndef FB_TENSOR_TENSOR_H
#define FB_TENSOR_TENSOR_H

#include "base/arena.h"
#include "tensor/bf16.h"

typedef enum fb_dtype { FB_F32, FB_BF16, FB_I32, FB_U8 } fb_dtype;

enum { FB_MAX_RANK = 4 };

typedef struct fb_tensor {
    void *data;
    fb_dtype dtype;
    int32_t rank;
    int64_t dims[FB_MAX_RANK];
} fb_tensor;

size_t fb_dtype_size(fb_dtype dtype);      /* bytes of an element */
const char *fb_dtype_name(fb_dtype dtype); /* "f32", "bf16", "i32", "u8" */

fb_tensor fb_tensor_1d(void *data, fb_dtype dtype, int64_t n);
fb_tensor fb_tensor_2d(void *data, fb_dtype dtype, int64_t rows, int64_t columns);
fb_tensor fb_tensor_3d(void *data, fb_dtype dtype, int64_t a, int64_t b, int64_t c);

int64_t fb_tensor_count(const fb_tensor *t); /* elements; 1 for rank 0 */
size_t fb_tensor_bytes(const fb_tensor *t);
bool fb_tensor_same_shape(const fb_tensor *a, const fb_tensor *b);
bool fb_tensor_overlaps(const fb_tensor *a, const fb_tensor *b); /* share a byte */
/* "[3, 256] bf16" into out[96]; returns out */
const char *fb_tensor_describe(const fb_tensor *t, char out[96]);

/* A new [rows, columns] tensor from the arena, not cleared; data NULL: memory is out.
 */
fb_tensor fb_tensor_new(fb_arena *arena, fb_dtype dtype, int64_t rows, int64_t columns);

#endif

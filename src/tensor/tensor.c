/* tensor.c - shapes of views. */
#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

size_t fb_dtype_size(fb_dtype dtype)
{
    static const size_t sizes[] = {
        [FB_F32] = 4, [FB_BF16] = 2, [FB_I32] = 4, [FB_U8] = 1};
    return sizes[dtype];
}

const char *fb_dtype_name(fb_dtype dtype)
{
    static const char *const names[] = {
        [FB_F32] = "f32", [FB_BF16] = "bf16", [FB_I32] = "i32", [FB_U8] = "u8"};
    return names[dtype];
}

fb_tensor fb_tensor_1d(void *data, fb_dtype dtype, int64_t n)
{
    return (fb_tensor){data, dtype, 1, {n}};
}

fb_tensor fb_tensor_2d(void *data, fb_dtype dtype, int64_t rows, int64_t columns)
{
    return (fb_tensor){data, dtype, 2, {rows, columns}};
}

fb_tensor fb_tensor_3d(void *data, fb_dtype dtype, int64_t a, int64_t b, int64_t c)
{
    return (fb_tensor){data, dtype, 3, {a, b, c}};
}

int64_t fb_tensor_count(const fb_tensor *t)
{
    int64_t count = 1;
    for (int32_t i = 0; i < t->rank; i++)
        count *= t->dims[i];
    return count;
}

size_t fb_tensor_bytes(const fb_tensor *t)
{
    return (size_t)fb_tensor_count(t) * fb_dtype_size(t->dtype);
}

bool fb_tensor_same_shape(const fb_tensor *a, const fb_tensor *b)
{
    if (a->rank != b->rank)
        return false;
    for (int32_t i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i])
            return false;
    return true;
}

bool fb_tensor_overlaps(const fb_tensor *a, const fb_tensor *b)
{
    uintptr_t a_start = (uintptr_t)a->data, b_start = (uintptr_t)b->data;
    size_t a_bytes = fb_tensor_bytes(a), b_bytes = fb_tensor_bytes(b);
    if (a_bytes == 0 || b_bytes == 0)
        return false;
    return a_start < b_start + b_bytes && b_start < a_start + a_bytes;
}

const char *fb_tensor_describe(const fb_tensor *t, char out[96])
{
    char dims[80] =
        ""; /* four dims of at most 19 digits would need 82; none is so large */
    size_t at = 0;
    for (int32_t i = 0; i < t->rank && at < sizeof dims; i++)
        at += (size_t)snprintf(dims + at, sizeof dims - at, "%s%lld", i ? ", " : "",
                               (long long)t->dims[i]);
    snprintf(out, 96, "[%s] %s", dims, fb_dtype_name(t->dtype));
    return out;
}

fb_tensor fb_tensor_new(fb_arena *arena, fb_dtype dtype, int64_t rows, int64_t columns)
{
    fb_tensor t = fb_tensor_2d(NULL, dtype, rows, columns);
    const int64_t most = INT64_MAX / 8;
    if (rows < 0 || columns < 0 || (columns > 0 && rows > most / columns))
        return t;
    t.data = fb_arena_alloc(arena, fb_tensor_bytes(&t));
    return t;
}

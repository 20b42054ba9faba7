/* safetensors.h - named tensors in one file, Hugging Face's safetensors format.
 *
 *     u64 n, little-endian | n bytes of JSON | data
 *     JSON: {"name": {"dtype": "F32", "shape": [2,3], "data_offsets": [begin, end]},
 *            ..., "__metadata__": {"key": "text"}}
 *     offsets count from the data's start
 *
 * Reading maps the file and checks everything before anything is used: the header's
 * length (at most 64 MiB), names used once, known dtypes, shapes whose bytes equal
 * their offsets, offsets inside the file. Numbers are little-endian, as are the
 * machines we build for.
 */
#ifndef FB_NN_SAFETENSORS_H
#define FB_NN_SAFETENSORS_H

#include "base/file.h"

enum { FB_SAFETENSORS_RANK = 8 };

typedef struct fb_stored_tensor {
    const char *name;
    char dtype[8]; /* "F32", "F16", "BF16", "F64", "I64", ... as in the file */
    int32_t rank;
    int64_t dims[FB_SAFETENSORS_RANK];
    int64_t count;
    const uint8_t *bytes;
} fb_stored_tensor;

typedef struct fb_safetensors {
    int32_t count;
    fb_stored_tensor *tensors; /* in the file's order of names */
    struct fb_safetensors_store *store;
} fb_safetensors;

fb_status fb_safetensors_open(fb_context *ctx, fb_safetensors **file, const char *path);
/* The same over bytes that outlive it; `name` is for messages. */
fb_status fb_safetensors_parse(fb_context *ctx, fb_safetensors **file, const char *name,
                               const uint8_t *bytes, size_t size_bytes);
void fb_safetensors_close(fb_safetensors *file);

const fb_stored_tensor *fb_safetensors_find(const fb_safetensors *file,
                                            const char *name);
/* F32, F16, BF16 and F64 as f32 into out[count]; FB_E_DTYPE names other types. */
fb_status fb_safetensors_to_f32(fb_context *ctx, const fb_stored_tensor *t, float *out);

/* Written in the order given, F32 only, by way of fb_replace; the metadata say that
 * shapes are as PyTorch has them ("format": "pt"). */
typedef struct fb_saved_tensor {
    const char *name;
    int32_t rank; /* 0 to 4 */
    int64_t dims[4];
    const float *data;
} fb_saved_tensor;

fb_status fb_safetensors_write(fb_context *ctx, const char *path,
                               const fb_saved_tensor *tensors, int32_t count);

#endif

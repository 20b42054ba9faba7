/* vector_file.h - vectors that others made: .npy (f32, two dimensions) or .fvecs (each
 * row an i32 length and that many f32), told apart by content. */
#ifndef FB_RETRIEVAL_INDEX_VECTOR_FILE_H
#define FB_RETRIEVAL_INDEX_VECTOR_FILE_H

#include "base/file.h"

typedef struct fb_vector_file {
    fb_map map; /* empty when parsed from bytes */
    const uint8_t *bytes;
    size_t data_at, row_bytes, skip; /* skip: in front of each row's numbers */
    int64_t rows;
    int32_t width;
} fb_vector_file;

/* FB_E_FORMAT: neither, damaged or cut short. Rows of different lengths too. */
fb_status fb_vector_file_open(fb_context *ctx, fb_vector_file *file, const char *path);
/* The same over bytes that outlive it; `name` is for messages. */
fb_status fb_vector_file_parse(fb_context *ctx, fb_vector_file *file, const char *name,
                               const uint8_t *bytes, size_t size_bytes);
void fb_vector_file_close(fb_vector_file *file);

/* Row `row` made a unit vector, out [width]. FB_E_NUMBER: it is 0 or not finite. */
fb_status fb_vector_file_row(fb_context *ctx, const fb_vector_file *file, int64_t row,
                             float *out);

#endif

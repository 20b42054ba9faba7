/* stored_vectors.h - vectors [N, D] as an index stores them, and their products with a
 * query.
 *
 *     f32    4 D bytes a row     rows [N, D]
 *     bf16   2 D                 rows [N, D], rounded to nearest
 *     int8   2 D + 4             scales [N], codes [N, D], rests [N, D]:
 *                                v = scale (code + rest / 254),  scale = max |v| / 127
 *
 * Scalar quantisation in two steps. A search of int8 walks the codes alone, D bytes a
 * row, with the query in 12 bits and sums in s32; the rows that may be among the best
 * are then compared by codes and rests together, 16 bits a number. What a code leaves
 * out is uniform within half a step, so a row's error has the standard deviation
 * |query| scale / sqrt 12; FB_CODE_SLACK of these on either side are allowed for.
 *
 * The backend lends its products of rows. A C++ file includes this too.
 */
#ifndef FB_RETRIEVAL_INDEX_STORED_VECTORS_H
#define FB_RETRIEVAL_INDEX_STORED_VECTORS_H

#include "base/status.h"

#define FB_CODE_SLACK 4.0
enum {
    FB_STORED_WIDTH = 8192, /* the most numbers of a vector; sums stay in s32 */
    FB_QUERY_MOST = 2047    /* of a query's codes */
};

typedef enum fb_storage { FB_STORED_F32, FB_STORED_BF16, FB_STORED_INT8 } fb_storage;

/* Borrowed. Each but `rests` is NULL where the storage has none. */
typedef struct fb_stored {
    fb_storage storage;
    int64_t count, width;
    const float *f32;
    const uint16_t *bf16;
    const int8_t *codes, *rests;
    const float *scales;
} fb_stored;

struct fb_backend;

/* What is known of a query before rows are compared with it. */
typedef struct fb_row_query {
    const struct fb_backend *be;
    const fb_stored *rows;
    const float *query; /* [D], borrowed */
    float scale;        /* of a query's code, times which a sum of codes is a score */
    float slack;        /* of a row of scale 1 */
    int16_t codes[FB_STORED_WIDTH];
} fb_row_query;

static inline bool fb_stored_any(const fb_stored *v)
{
    return v->f32 || v->bf16 || v->codes;
}

/* One row encoded into what the storage has: bf16 [D], or codes and rests [D] and the
 * scale. */
void fb_encode_bf16(uint16_t *out, const float *row, int64_t width);
void fb_encode_int8(int8_t *codes, int8_t *rests, float *scale, const float *row,
                    int64_t width);

/* Rows [from, from + count) as f32, out [count, D]. */
void fb_stored_decode(const fb_stored *v, int64_t from, int64_t count, float *out);

/* NULL, or what is wrong with scales that came from outside; unit rows have none that
 * is larger than 1 / 127. */
const char *fb_scales_problem(const float *scales, int64_t count);

/* query [D], finite. */
void fb_row_query_set(fb_row_query *q, const struct fb_backend *be,
                      const fb_stored *rows, const float *query);
/* Scores of rows [from, from + count), count at most FB_ROWS_AT_ONCE: exact but for
 * int8, where they are those of the codes alone. */
enum { FB_ROWS_AT_ONCE = 512 };
void fb_row_query_near(const fb_row_query *q, int64_t from, int64_t count,
                       float *scores);
/* A row's score by all that is stored. */
float fb_row_query_score(const fb_row_query *q, int64_t row);
/* Product of two rows, of the codes alone. */
float fb_stored_product(const struct fb_backend *be, const fb_stored *v, int64_t a,
                        int64_t b);

#endif

/* stored_vectors.c - see stored_vectors.h. */
#include "retrieval/index/stored_vectors.h"

#include "backend/backend.h"
#include "tensor/bf16.h"

#include <math.h>
#include <string.h>

enum { CODE_MOST = 127 };
static const float rest_steps = 254.0f; /* in one step of codes */

/* ---- encode and decode ---------------------------------------------------------- */

void fb_encode_bf16(uint16_t *out, const float *row, int64_t width)
{
    for (int64_t i = 0; i < width; i++)
        out[i] = fb_bf16_from_f32(row[i]);
}

static float largest(const float *row, int64_t width)
{
    float most = 0.0f;
    for (int64_t i = 0; i < width; i++)
        most = fabsf(row[i]) > most ? fabsf(row[i]) : most;
    return most;
}

static int8_t nearest(double value)
{
    long n = lround(value);
    return (int8_t)(n > CODE_MOST ? CODE_MOST : n < -CODE_MOST ? -CODE_MOST : n);
}

void fb_encode_int8(int8_t *codes, int8_t *rests, float *scale, const float *row,
                    int64_t width)
{
    float most = largest(row, width);
    *scale = most > 0.0f ? most / CODE_MOST : 1.0f;
    for (int64_t i = 0; i < width; i++) {
        double steps = (double)row[i] / (double)*scale;
        codes[i] = nearest(steps);
        rests[i] = nearest((steps - codes[i]) * (double)rest_steps);
    }
}

static void decode_row(const fb_stored *v, int64_t row, float *out)
{
    int64_t at = row * v->width;
    switch (v->storage) {
    case FB_STORED_F32:
        memcpy(out, v->f32 + at, (size_t)v->width * sizeof *out);
        break;
    case FB_STORED_BF16:
        for (int64_t i = 0; i < v->width; i++)
            out[i] = fb_bf16_to_f32(v->bf16[at + i]);
        break;
    case FB_STORED_INT8:
        for (int64_t i = 0; i < v->width; i++)
            out[i] = v->scales[row] *
                     ((float)v->codes[at + i] + (float)v->rests[at + i] / rest_steps);
        break;
    }
}

void fb_stored_decode(const fb_stored *v, int64_t from, int64_t count, float *out)
{
    for (int64_t n = 0; n < count; n++)
        decode_row(v, from + n, out + n * v->width);
}

const char *fb_scales_problem(const float *scales, int64_t count)
{
    for (int64_t n = 0; n < count; n++)
        if (!(scales[n] > 0.0f && scales[n] <= 1.0f))
            return "the scale of a vector is not between 0 and 1";
    return NULL;
}

/* ---- products ------------------------------------------------------------------- */

static void encode_query(fb_row_query *q)
{
    int64_t width = q->rows->width;
    float most = largest(q->query, width);
    double squares = 0.0;
    q->scale = most > 0.0f ? most / FB_QUERY_MOST : 1.0f;
    for (int64_t i = 0; i < width; i++) {
        squares += (double)q->query[i] * (double)q->query[i];
        q->codes[i] = (int16_t)lround((double)q->query[i] / (double)q->scale);
    }
    q->slack = (float)(FB_CODE_SLACK * sqrt(squares / 12.0));
}

void fb_row_query_set(fb_row_query *q, const struct fb_backend *be,
                      const fb_stored *rows, const float *query)
{
    q->be = be;
    q->rows = rows;
    q->query = query;
    q->scale = q->slack = 0.0f;
    if (rows->storage == FB_STORED_INT8)
        encode_query(q);
}

static void near_codes(const fb_row_query *q, int64_t from, int64_t count,
                       float *scores)
{
    const fb_stored *v = q->rows;
    int32_t sums[FB_ROWS_AT_ONCE];
    q->be->k->row_products_int8(q->be, sums, v->codes + from * v->width, count,
                                v->width, q->codes);
    for (int64_t n = 0; n < count; n++)
        scores[n] = (float)sums[n] * (q->scale * v->scales[from + n]);
}

void fb_row_query_near(const fb_row_query *q, int64_t from, int64_t count,
                       float *scores)
{
    const fb_stored *v = q->rows;
    int64_t at = from * v->width;
    switch (v->storage) {
    case FB_STORED_F32:
        q->be->k->row_products(q->be, scores, v->f32 + at, count, v->width, q->query);
        break;
    case FB_STORED_BF16:
        q->be->k->row_products_bf16(q->be, scores, v->bf16 + at, count, v->width,
                                    q->query);
        break;
    case FB_STORED_INT8:
        near_codes(q, from, count, scores);
        break;
    }
}

float fb_row_query_score(const fb_row_query *q, int64_t row)
{
    float score, whole[FB_STORED_WIDTH];
    if (q->rows->storage == FB_STORED_INT8) {
        decode_row(q->rows, row, whole);
        q->be->k->row_products(q->be, &score, whole, 1, q->rows->width, q->query);
    } else {
        fb_row_query_near(q, row, 1, &score);
    }
    return score;
}

static float code_product(const struct fb_backend *be, const fb_stored *v, int64_t a,
                          int64_t b)
{
    int16_t codes[FB_STORED_WIDTH];
    int32_t sum;
    for (int64_t i = 0; i < v->width; i++)
        codes[i] = v->codes[a * v->width + i];
    be->k->row_products_int8(be, &sum, v->codes + b * v->width, 1, v->width, codes);
    return (float)sum * (v->scales[a] * v->scales[b]);
}

float fb_stored_product(const struct fb_backend *be, const fb_stored *v, int64_t a,
                        int64_t b)
{
    float score, row[FB_STORED_WIDTH];
    switch (v->storage) {
    case FB_STORED_INT8:
        return code_product(be, v, a, b);
    case FB_STORED_BF16:
        decode_row(v, a, row);
        be->k->row_products_bf16(be, &score, v->bf16 + b * v->width, 1, v->width, row);
        return score;
    case FB_STORED_F32:
        break;
    }
    be->k->row_products(be, &score, v->f32 + b * v->width, 1, v->width,
                        v->f32 + a * v->width);
    return score;
}

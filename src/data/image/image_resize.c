/* image_resize.c - Pillow's separable filter in 8-bit fixed point; see image_resize.h.
 *
 * A table for one direction, in -> out positions:
 *
 *     first, count  [out]             the input positions that an output one covers
 *     weights       [out, taps]       i32, 22 fractional bits; zeros past count
 *     taps = 2 ceil(support * max(1, in/out)) + 1
 *
 * image [h, w, 3] -across-> middle [h, out_w, 3] -down-> out [out_h, out_w, 3]
 * image [h, w, 3] -down-> middle [out_h, w, 3] -across-> out    when down_first()
 *
 * The pass down sums whole rows, so its inner loop runs over contiguous bytes. The
 * doubles must be evaluated as written (no fused multiply-add, no reassociation), or
 * weights differ from Pillow's in the last bit.
 */
#include "data/image/image_resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PRECISION_BITS = 32 - 8 - 2, HALF = 1 << (PRECISION_BITS - 1), BLOCK = 512 };

struct table {
    int32_t in, out, taps; /* in 0: nothing in it yet */
    fb_filter filter;
    int32_t *first, *count, *weights; /* one block, weights last */
    size_t capacity;                  /* of the block, in i32 */
};

struct fb_resizer {
    struct table across, down;
    uint8_t *middle;
    size_t middle_bytes;
};

fb_status fb_fit_parse(fb_context *ctx, const char *text, fb_fit *fit)
{
    if (strcmp(text, "pad") == 0)
        *fit = FB_FIT_PAD;
    else if (strcmp(text, "squash") == 0)
        *fit = FB_FIT_SQUASH;
    else
        return fb_fail(ctx, FB_E_USAGE,
                       "fit is \"%s\"; \"pad\" or \"squash\" is expected", text);
    return FB_OK;
}

fb_status fb_filter_parse(fb_context *ctx, const char *text, fb_filter *filter)
{
    if (strcmp(text, "bilinear") == 0)
        *filter = FB_FILTER_BILINEAR;
    else if (strcmp(text, "bicubic") == 0)
        *filter = FB_FILTER_BICUBIC;
    else
        return fb_fail(ctx, FB_E_USAGE,
                       "filter is \"%s\"; \"bilinear\" or \"bicubic\" is expected",
                       text);
    return FB_OK;
}

fb_resizer *fb_resizer_create(void)
{
    return calloc(1, sizeof(fb_resizer));
}

void fb_resizer_free(fb_resizer *resizer)
{
    if (resizer == NULL)
        return;
    free(resizer->across.first);
    free(resizer->down.first);
    free(resizer->middle);
    free(resizer);
}

static double filter_weight(fb_filter filter, double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (filter == FB_FILTER_BILINEAR)
        return x < 1.0 ? 1.0 - x : 0.0;
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

/* Weights of one output position around `centre`, in input pixels. */
static void table_position(struct table *t, int32_t at, double centre, double scale,
                           double support, double *exact)
{
    int32_t low = (int32_t)(centre - support + 0.5);
    int32_t high = (int32_t)(centre + support + 0.5);
    low = low < 0 ? 0 : low;
    high = high > t->in ? t->in : high;
    int32_t count = high - low, *weights = t->weights + (size_t)at * (size_t)t->taps;
    double sum = 0.0;
    for (int32_t i = 0; i < count; i++) {
        exact[i] = filter_weight(t->filter, (i + low - centre + 0.5) * (1.0 / scale));
        sum += exact[i];
    }
    for (int32_t i = 0; i < count; i++) {
        double w = (sum != 0.0 ? exact[i] / sum : exact[i]) * (1 << PRECISION_BITS);
        weights[i] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
    }
    memset(weights + count, 0, (size_t)(t->taps - count) * sizeof *weights);
    while (count > 1 && weights[count - 1] == 0)
        count--;
    t->first[at] = low;
    t->count[at] = count;
}

static fb_status table_prepare(fb_context *ctx, struct table *t, int32_t in,
                               int32_t out, fb_filter filter)
{
    if (t->in == in && t->out == out && t->filter == filter)
        return FB_OK;
    double scale = (double)in / out, stretch = scale < 1.0 ? 1.0 : scale;
    double support = (filter == FB_FILTER_BILINEAR ? 1.0 : 2.0) * stretch;
    int32_t taps = (int32_t)ceil(support) * 2 + 1;
    size_t needed = (size_t)out * ((size_t)taps + 2);
    t->in = 0; /* until it is whole again */
    if (needed > t->capacity) {
        int32_t *block = realloc(t->first, needed * sizeof *block);
        if (block == NULL)
            return fb_fail(ctx, FB_E_MEMORY, "no memory for resizing %d to %d pixels",
                           in, out);
        t->first = block;
        t->capacity = needed;
    }
    double *exact = malloc((size_t)taps * sizeof *exact);
    if (exact == NULL)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for resizing %d to %d pixels", in,
                       out);
    t->count = t->first + out;
    t->weights = t->count + out;
    t->in = in;
    t->out = out;
    t->taps = taps;
    t->filter = filter;
    for (int32_t i = 0; i < out; i++)
        table_position(t, i, (i + 0.5) * scale, stretch, support, exact);
    free(exact);
    return FB_OK;
}

static inline uint8_t level(int32_t sum)
{
    sum >>= PRECISION_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static void pass_across(uint8_t *restrict out, size_t stride_bytes,
                        const uint8_t *restrict in, int32_t rows, const struct table *t)
{
    for (int32_t y = 0; y < rows; y++) {
        const uint8_t *row = in + (size_t)y * (size_t)t->in * 3;
        uint8_t *to = out + (size_t)y * stride_bytes;
        const int32_t *weights = t->weights;
        for (int32_t x = 0; x < t->out; x++, weights += t->taps, to += 3) {
            const uint8_t *from = row + (size_t)t->first[x] * 3;
            int32_t red = HALF, green = HALF, blue = HALF;
            for (int32_t i = 0; i < t->count[x]; i++, from += 3) {
                red += from[0] * weights[i];
                green += from[1] * weights[i];
                blue += from[2] * weights[i];
            }
            to[0] = level(red);
            to[1] = level(green);
            to[2] = level(blue);
        }
    }
}

/* sums [count] += two rows of bytes by their weights */
static inline void add_rows(int32_t *restrict sums, const uint8_t *restrict a,
                            const uint8_t *restrict b, int32_t wa, int32_t wb,
                            size_t count)
{
    for (size_t i = 0; i < count; i++)
        sums[i] += a[i] * wa + b[i] * wb;
}

static void pass_down(uint8_t *restrict out, size_t stride_bytes,
                      const uint8_t *restrict in, size_t row_bytes,
                      const struct table *t)
{
    int32_t sums[BLOCK];
    for (int32_t y = 0; y < t->out; y++) {
        const int32_t *weights = t->weights + (size_t)y * (size_t)t->taps;
        for (size_t x = 0; x < row_bytes; x += BLOCK) {
            size_t count = row_bytes - x < BLOCK ? row_bytes - x : BLOCK;
            const uint8_t *from = in + (size_t)t->first[y] * row_bytes + x;
            for (size_t i = 0; i < count; i++)
                sums[i] = HALF;
            int32_t k = 0;
            for (; k + 1 < t->count[y]; k += 2, from += 2 * row_bytes)
                add_rows(sums, from, from + row_bytes, weights[k], weights[k + 1],
                         count);
            if (k < t->count[y])
                add_rows(sums, from, from, weights[k], 0, count);
            uint8_t *to = out + (size_t)y * stride_bytes + x;
            for (size_t i = 0; i < count; i++)
                to[i] = level(sums[i]);
        }
    }
}

static fb_status middle_reserve(fb_context *ctx, fb_resizer *resizer, size_t size_bytes)
{
    if (size_bytes <= resizer->middle_bytes)
        return FB_OK;
    uint8_t *middle = malloc(size_bytes);
    if (middle == NULL)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %zu bytes of a resized image",
                       size_bytes);
    free(resizer->middle);
    resizer->middle = middle;
    resizer->middle_bytes = size_bytes;
    return FB_OK;
}

/* Pillow's rule, which saves work on tall images; it decides the rounding in between.
 */
static bool down_first(const fb_image *image, int32_t width, int32_t height)
{
    int64_t lost_rows = (int64_t)image->height - height;
    return lost_rows > 0 && lost_rows > ((int64_t)image->width - width) * 2;
}

fb_status fb_image_resize(fb_context *ctx, fb_resizer *resizer, uint8_t *out,
                          size_t stride_bytes, int32_t width, int32_t height,
                          const fb_image *image, fb_filter filter)
{
    if (width < 1 || height < 1 || width > FB_RESIZE_SIDE_MAX ||
        height > FB_RESIZE_SIDE_MAX)
        return fb_fail(ctx, FB_E_USAGE,
                       "resizing to %d x %d pixels; sides of 1 to %d are expected",
                       width, height, FB_RESIZE_SIDE_MAX);
    bool across = width != image->width, down = height != image->height;
    bool down_is_first = down_first(image, width, height);
    size_t row_bytes = (size_t)width * 3, in_row_bytes = (size_t)image->width * 3;
    if (across)
        FB_TRY(table_prepare(ctx, &resizer->across, image->width, width, filter));
    if (down)
        FB_TRY(table_prepare(ctx, &resizer->down, image->height, height, filter));
    if (across && down)
        FB_TRY(middle_reserve(ctx, resizer,
                              down_is_first ? (size_t)height * in_row_bytes
                                            : (size_t)image->height * row_bytes));
    uint8_t *middle = resizer->middle;
    if (across && down && down_is_first) {
        pass_down(middle, in_row_bytes, image->rgb, in_row_bytes, &resizer->down);
        pass_across(out, stride_bytes, middle, height, &resizer->across);
    } else if (across && down) {
        pass_across(middle, row_bytes, image->rgb, image->height, &resizer->across);
        pass_down(out, stride_bytes, middle, row_bytes, &resizer->down);
    } else if (down) {
        pass_down(out, stride_bytes, image->rgb, row_bytes, &resizer->down);
    } else if (across) {
        pass_across(out, stride_bytes, image->rgb, height, &resizer->across);
    }
    for (int32_t y = 0; !across && !down && y < height; y++)
        memcpy(out + (size_t)y * stride_bytes, image->rgb + (size_t)y * row_bytes,
               row_bytes);
    return FB_OK;
}

/* rint(side / longer * size), at least 1, evaluated in Pillow's order */
static int32_t fitted_side(int32_t side, int32_t longer, int32_t size)
{
    double fitted = rint((double)side / longer * size);
    return fitted < 1.0 ? 1 : (int32_t)fitted;
}

fb_fit_place fb_image_fit_place(int32_t width, int32_t height, int32_t size, fb_fit fit)
{
    fb_fit_place place = {0, 0, size, size};
    if (fit == FB_FIT_PAD && width > height)
        place.height = fitted_side(height, width, size);
    if (fit == FB_FIT_PAD && height > width)
        place.width = fitted_side(width, height, size);
    place.left = (int32_t)rint((size - place.width) * 0.5);
    place.top = (int32_t)rint((size - place.height) * 0.5);
    return place;
}

fb_status fb_image_fit(fb_context *ctx, fb_resizer *resizer, uint8_t *out,
                       const fb_image *image, int32_t size, fb_fit fit,
                       fb_filter filter)
{
    if (size < 1 || size > FB_RESIZE_SIDE_MAX)
        return fb_fail(ctx, FB_E_USAGE, "image size is %d; 1 to %d is expected", size,
                       FB_RESIZE_SIDE_MAX);
    fb_fit_place place = fb_image_fit_place(image->width, image->height, size, fit);
    int32_t width = place.width, height = place.height;
    size_t stride = (size_t)size * 3;
    size_t left = (size_t)place.left, top = (size_t)place.top;
    size_t right = (size_t)size - left - (size_t)width;
    FB_TRY(fb_image_resize(ctx, resizer, out + top * stride + left * 3, stride, width,
                           height, image, filter));
    memset(out, 255, top * stride);
    for (size_t y = top; y < top + (size_t)height && left + right > 0; y++) {
        memset(out + y * stride, 255, left * 3);
        memset(out + (y + 1) * stride - right * 3, 255, right * 3);
    }
    memset(out + (top + (size_t)height) * stride, 255,
           ((size_t)size - top - (size_t)height) * stride);
    return FB_OK;
}

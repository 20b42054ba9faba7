/* region_features.c - see region_features.h. */
#include "engine/region_features.h"
#include "engine/scorer_parts.h"
#include "nn/patch_encoder.h"
#include "ops/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

fb_status fb_region_network_of(fb_context *ctx, fb_region_network *network,
                               const fb_matcher *matcher, const char *where)
{
    const fb_model_config *c = &matcher->config;
    if (c->regions || !fb_matcher_gives(matcher, FB_GIVES_FEATURES))
        return fb_fail(ctx, FB_E_STATE,
                       "%s: a model of system %s without an image network of its own; "
                       "regions need one",
                       where, matcher->system->name);
    *network =
        (fb_region_network){.image_size = c->image_size,
                            .grid = c->grid,
                            .fit = c->squash ? FB_FIT_SQUASH : FB_FIT_PAD,
                            .each = c->each || fb_encoder_find(c->encoder)->alone,
                            .width = fb_model_config_features(c)};
    return FB_OK;
}

static int32_t patches_of(const fb_region_network *n)
{
    return n->grid * n->grid;
}

static size_t square_bytes(const fb_region_network *n)
{
    return (size_t)n->image_size * (size_t)n->image_size * 3;
}

int32_t fb_region_squares(const fb_region_network *network, int32_t count)
{
    int32_t p = patches_of(network);
    return network->each ? (count + p - 1) / p : 1;
}

/* ---- drawing -----------------------------------------------------------------------
 */

/* Pixels from .. to - 1 that a share of `size` pixels touches, one at least. */
static void touched(float low, float high, int32_t size, int32_t *from, int32_t *to)
{
    *from = (int32_t)floorf(low * (float)size + 1e-3f);
    *to = (int32_t)ceilf(high * (float)size - 1e-3f);
    *from = *from >= size ? size - 1 : *from;
    *to = *to > size ? size : *to <= *from ? *from + 1 : *to;
}

static fb_status crop(fb_context *ctx, fb_image *out, const fb_image *image,
                      const float *box)
{
    int32_t x1, y1, x2, y2;
    touched(box[0], box[2], image->width, &x1, &x2);
    touched(box[1], box[3], image->height, &y1, &y2);
    size_t line = (size_t)(x2 - x1) * 3;
    *out = (fb_image){x2 - x1, y2 - y1, malloc(line * (size_t)(y2 - y1))};
    if (!out->rgb)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a part of an image");
    for (int32_t y = y1; y < y2; y++)
        memcpy(out->rgb + (size_t)(y - y1) * line,
               image->rgb + ((size_t)y * (size_t)image->width + (size_t)x1) * 3, line);
    return FB_OK;
}

static fb_status draw_crops(fb_context *ctx, const fb_region_network *n,
                            fb_resizer *resizer, uint8_t *squares,
                            const fb_image *image, const float *boxes, int32_t count)
{
    int32_t cell = n->image_size / n->grid, p = patches_of(n);
    size_t stride = (size_t)n->image_size * 3;
    memset(squares, 255, (size_t)fb_region_squares(n, count) * square_bytes(n));
    for (int32_t i = 0; i < count; i++) {
        int32_t row = i % p / n->grid, column = i % p % n->grid;
        uint8_t *at = squares + (size_t)(i / p) * square_bytes(n) +
                      (size_t)(row * cell) * stride + (size_t)(column * cell) * 3;
        fb_image part;
        FB_TRY(crop(ctx, &part, image, boxes + 4 * (size_t)i));
        fb_status status = fb_image_resize(ctx, resizer, at, stride, cell, cell, &part,
                                           FB_FILTER_BILINEAR);
        fb_image_free(&part);
        FB_TRY(status);
    }
    return FB_OK;
}

fb_status fb_region_squares_draw(fb_context *ctx, const fb_region_network *network,
                                 fb_resizer *resizer, uint8_t *squares,
                                 const fb_image *image, const float *boxes,
                                 int32_t count)
{
    if (network->each)
        return draw_crops(ctx, network, resizer, squares, image, boxes, count);
    return fb_image_fit(ctx, resizer, squares, image, network->image_size, network->fit,
                        FB_FILTER_BILINEAR);
}

/* ---- computing ---------------------------------------------------------------------
 */

static float cut(float share)
{
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

/* Boxes of the images as shares of their squares, and the image that each is of. */
static void place_boxes(const fb_region_network *n, float *boxes, int32_t *image,
                        const fb_boxed_image *images, int32_t image_count)
{
    float size = (float)n->image_size;
    for (int32_t i = 0; i < image_count; i++) {
        const fb_boxed_image *of = &images[i];
        fb_fit_place at =
            fb_image_fit_place(of->width, of->height, n->image_size, n->fit);
        for (int32_t k = 0; k < of->count; k++, boxes += 4, image++) {
            const float *b = of->boxes + 4 * (size_t)k;
            for (int s = 0; s < 4; s += 2) {
                boxes[s] = cut(((float)at.left + b[s] * (float)at.width) / size);
                boxes[s + 1] =
                    cut(((float)at.top + b[s + 1] * (float)at.height) / size);
            }
            *image = i;
        }
    }
}

static int32_t boxes_of(const fb_boxed_image *images, int32_t image_count)
{
    int32_t count = 0;
    for (int32_t i = 0; i < image_count; i++)
        count += images[i].count;
    return count;
}

static fb_status align(fb_context *ctx, const fb_region_network *n, fb_scorer *scorer,
                       float *features, const fb_bf16 *maps,
                       const fb_boxed_image *images, int32_t image_count)
{
    int32_t count = boxes_of(images, image_count);
    fb_tape tape = fb_scorer_tape(ctx, scorer);
    fb_roi_align roi = {image_count, n->grid, n->grid, count, NULL, NULL};
    fb_var *map, *y;
    void *boxes, *image;
    const void *numbers;
    FB_TRY(fb_tape_alloc(&tape, &boxes, ((size_t)count + 1) * 4 * sizeof(float)));
    FB_TRY(fb_tape_alloc(&tape, &image, ((size_t)count + 1) * sizeof(int32_t)));
    place_boxes(n, boxes, image, images, image_count);
    roi.boxes = boxes;
    roi.image = image;
    FB_TRY(fb_patch_features_upload(&tape, &map, maps,
                                    (int64_t)image_count * patches_of(n), n->width));
    FB_TRY(fb_op_roi_align(&tape, &y, map, &roi));
    FB_TRY(fb_tape_read(&tape, &numbers, &y->value));
    FB_TRY(fb_tape_fetch(&tape));
    size_t total = (size_t)count * (size_t)n->width;
    if (y->value.dtype == FB_BF16)
        for (size_t i = 0; i < total; i++)
            features[i] = fb_bf16_to_f32(((const fb_bf16 *)numbers)[i]);
    else
        memcpy(features, numbers, total * sizeof *features);
    return FB_OK;
}

/* Of each image's squares the places that have a box. */
static void take_cells(const fb_region_network *n, float *features,
                       const fb_bf16 *cells, const fb_boxed_image *images,
                       int32_t image_count)
{
    for (int32_t i = 0; i < image_count; i++) {
        size_t numbers = (size_t)images[i].count * (size_t)n->width;
        for (size_t k = 0; k < numbers; k++)
            features[k] = fb_bf16_to_f32(cells[k]);
        features += numbers;
        cells += (size_t)fb_region_squares(n, images[i].count) * (size_t)patches_of(n) *
                 (size_t)n->width;
    }
}

fb_status fb_region_features(fb_context *ctx, const fb_region_network *network,
                             fb_scorer *scorer, float *features, const uint8_t *squares,
                             const fb_boxed_image *images, int32_t image_count)
{
    int32_t square_count = 0;
    for (int32_t i = 0; i < image_count; i++)
        square_count += fb_region_squares(network, images[i].count);
    fb_bf16 *maps = malloc(
        ((size_t)square_count * (size_t)patches_of(network) * (size_t)network->width +
         1) *
        sizeof *maps);
    if (!maps)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for features of %d images",
                       (int)image_count);
    fb_status status = fb_scorer_features(ctx, scorer, squares, square_count, maps);
    if (status == FB_OK && network->each)
        take_cells(network, features, maps, images, image_count);
    else if (status == FB_OK)
        status = align(ctx, network, scorer, features, maps, images, image_count);
    free(maps);
    return status;
}

/* augment.c - see augment.h. */
#include "data/image/augment.h"

#include "tensor/batch.h"

#include <math.h>
#include <string.h>

static fb_status check_one(fb_context *ctx, const char *name, double value, double most)
{
    if (!(value >= 0.0 && value <= most))
        return fb_fail(ctx, FB_E_USAGE, "%s is %g; 0 to %g is expected", name, value,
                       most);
    return FB_OK;
}

fb_status fb_augment_check(fb_context *ctx, const fb_augment *augment)
{
    FB_TRY(check_one(ctx, "flip", augment->flip, 1.0));
    FB_TRY(check_one(ctx, "shift", augment->shift, 1.0));
    return check_one(ctx, "zoom", augment->zoom, 0.99);
}

static fb_status crop(fb_context *ctx, fb_resizer *resizer, const fb_fitted_image *f,
                      int32_t side, int32_t left, int32_t top)
{
    size_t row_bytes = (size_t)side * 3, stride = (size_t)f->size * 3;
    const uint8_t *from = f->pixels + (size_t)top * stride + (size_t)left * 3;
    for (int32_t y = 0; y < side; y++)
        memcpy(f->scratch + (size_t)y * row_bytes, from + (size_t)y * stride,
               row_bytes);
    const fb_image square = {side, side, f->scratch};
    return fb_image_resize(ctx, resizer, f->pixels, stride, f->size, f->size, &square,
                           f->filter);
}

static int32_t within(int32_t at, int32_t size)
{
    return at < 0 ? 0 : at >= size ? size - 1 : at;
}

/* Content moves right by `across` and down by `down`. */
static void move(const fb_fitted_image *f, int32_t across, int32_t down)
{
    int32_t size = f->size;
    size_t stride = (size_t)size * 3;
    memcpy(f->scratch, f->pixels, (size_t)size * stride);
    for (int32_t y = 0; y < size; y++)
        for (int32_t x = 0; x < size; x++) {
            uint8_t *to = f->pixels + (size_t)y * stride + (size_t)x * 3;
            int32_t from_y = within(y - down, size), from_x = within(x - across, size);
            if (f->fit == FB_FIT_PAD && (from_y != y - down || from_x != x - across))
                memset(to, 255, 3);
            else
                memcpy(to, f->scratch + (size_t)from_y * stride + (size_t)from_x * 3,
                       3);
        }
}

fb_status fb_augment_image(fb_context *ctx, const fb_augment *augment,
                           fb_random *random, fb_resizer *resizer,
                           const fb_fitted_image *image)
{
    int32_t size = image->size;
    double zoomed = 1.0 - augment->zoom * fb_random_uniform(random);
    int32_t side = (int32_t)rint(size * zoomed),
            most = (int32_t)(augment->shift * size);
    side = side < 1 ? 1 : side;
    int32_t left = (int32_t)fb_random_below(random, (uint32_t)(size - side + 1));
    int32_t top = (int32_t)fb_random_below(random, (uint32_t)(size - side + 1));
    int32_t across = (int32_t)fb_random_below(random, (uint32_t)(2 * most + 1)) - most;
    int32_t down = (int32_t)fb_random_below(random, (uint32_t)(2 * most + 1)) - most;
    bool mirrored = fb_random_uniform(random) < augment->flip;
    if (side < size)
        FB_TRY(crop(ctx, resizer, image, side, left, top));
    if (across != 0 || down != 0)
        move(image, across, down);
    if (mirrored)
        fb_pixels_mirror(image->pixels, size, size);
    return FB_OK;
}

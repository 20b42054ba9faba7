/* make_catalogue.c - a small catalogue of drawn products for the tests of the command:
 *
 *     make_catalogue OUT COUNT
 *
 * Each product is a shape of one colour on a background of another; its title says both
 * ("red circle on blue, model 17"), its category is the shape. Every sixth product is
 * of split val, every seventh of split test.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/random.h"
#include "data/image/image_decode.h"

enum { SIDE = 48 };

static const struct {
    const char *name;
    uint8_t rgb[3];
} colours[] = {{"red", {220, 30, 30}},     {"green", {30, 160, 60}},
               {"blue", {40, 60, 220}},    {"yellow", {240, 220, 40}},
               {"black", {20, 20, 20}},    {"white", {250, 250, 250}},
               {"purple", {130, 40, 160}}, {"orange", {250, 140, 20}}};
static const char *const shapes[] = {"circle", "square", "stripe"};

static bool inside(int shape, int x, int y)
{
    int dx = x - SIDE / 2, dy = y - SIDE / 2;
    if (shape == 0)
        return dx * dx + dy * dy < 18 * 18;
    if (shape == 1)
        return dx > -16 && dx < 16 && dy > -16 && dy < 16;
    return x / 8 % 2 == 0;
}

static fb_status write_product(fb_context *ctx, const char *out, FILE *metadata,
                               int32_t i, fb_random *r)
{
    uint8_t pixels[SIDE * SIDE * 3];
    char name[64], path[4096];
    int shape = (int)fb_random_below(r, 3);
    uint32_t front = fb_random_below(r, 8),
             back = (front + 1 + fb_random_below(r, 7)) % 8;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            memcpy(&pixels[(y * SIDE + x) * 3],
                   colours[inside(shape, x, y) ? front : back].rgb, 3);
    pixels[0] = (uint8_t)i; /* no two images are the same file */
    pixels[1] = (uint8_t)(i >> 8);
    snprintf(name, sizeof name, "images/%d.png", (int)i);
    FB_TRY(fb_path_join(ctx, path, out, name));
    fb_image image = {SIDE, SIDE, pixels};
    FB_TRY(fb_image_write_png(ctx, path, &image));
    const char *split = i % 6 == 5 ? "val" : i % 7 == 6 ? "test" : "train";
    fprintf(
        metadata,
        "{\"file_name\": \"%s\", \"product_id\": \"p%d\", \"title\": \"%s %s on %s, "
        "model %d\", \"category\": \"%s\", \"split\": \"%s\"}\n",
        name, (int)i, colours[front].name, shapes[shape], colours[back].name, (int)i,
        shapes[shape], split);
    return FB_OK;
}

static fb_status make(fb_context *ctx, const char *out, int32_t count)
{
    char path[4096];
    FB_TRY(fb_path_join(ctx, path, out, "images"));
    FB_TRY(fb_folder_make(ctx, path));
    FB_TRY(fb_path_join(ctx, path, out, "metadata.jsonl"));
    FILE *metadata = fopen(path, "w");
    if (!metadata)
        return fb_fail(ctx, FB_E_IO, "%s: cannot be written", path);
    fb_random r = fb_random_start(5, FB_STREAM_TEST, 0);
    fb_status status = FB_OK;
    for (int32_t i = 0; i < count && status == FB_OK; i++)
        status = write_product(ctx, out, metadata, i, &r);
    if (fclose(metadata) != 0 && status == FB_OK)
        status = fb_fail(ctx, FB_E_IO, "%s: cannot be written", path);
    return status;
}

int main(int argc, char **argv)
{
    fb_context *ctx = fb_context_create();
    int32_t count = argc == 3 ? (int32_t)strtol(argv[2], NULL, 10) : 0;
    if (!ctx || count < 1) {
        fprintf(stderr, "usage: make_catalogue OUT COUNT\n");
        fb_context_free(ctx);
        return 2;
    }
    fb_status status = make(ctx, argv[1], count);
    if (status != FB_OK)
        fprintf(stderr, "make_catalogue: %s\n", fb_context_message(ctx));
    fb_context_free(ctx);
    return status != FB_OK;
}

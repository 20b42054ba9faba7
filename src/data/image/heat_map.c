/* heat_map.c - see heat_map.h. */
#include "data/image/heat_map.h"

#include "base/number_text.h"
#include "data/image/draw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MARGIN = 12,
    PHOTO = 384, /* pixels of the photo's longer side */
    SCALE = 2,
    LINE = (FB_GLYPH_HEIGHT + 4) * SCALE,
    WORD_WIDTH = 14 * (FB_GLYPH_WIDTH + 1) * SCALE,
    NUMBER_WIDTH = 8 * (FB_GLYPH_WIDTH + 1) * SCALE,
    WORDS_SHOWN = 100,
};

static const uint8_t for_match[3] = {0xd0, 0x24, 0x1c};
static const uint8_t against[3] = {0x1f, 0x5f, 0xbf};
static const uint8_t axis_grey[3] = {0xa0, 0xa0, 0xa0};

static double largest(double most, double x)
{
    return fabs(x) > most ? fabs(x) : most;
}

/* The photo at its own shape, longer side PHOTO, at least 1 pixel the other. */
typedef struct panel {
    int32_t width, height;
    uint8_t *rgb; /* [height, width, 3] */
} panel;

static fb_status make_panel(fb_context *ctx, const fb_image *photo, panel *p)
{
    double longer = photo->width > photo->height ? photo->width : photo->height;
    p->width = (int32_t)fmax(1, rint(photo->width / longer * PHOTO));
    p->height = (int32_t)fmax(1, rint(photo->height / longer * PHOTO));
    p->rgb = malloc((size_t)p->width * (size_t)p->height * 3);
    fb_resizer *resizer = fb_resizer_create();
    fb_status status =
        p->rgb && resizer
            ? fb_image_resize(ctx, resizer, p->rgb, (size_t)p->width * 3, p->width,
                              p->height, photo, FB_FILTER_BICUBIC)
            : fb_fail(ctx, FB_E_MEMORY, "no memory for a heat map");
    fb_resizer_free(resizer);
    return status;
}

/* The patch that covers a place of the photo, 0 to 1 across or down. */
static int32_t patch_at(const fb_explanation *e, int32_t axis, double place)
{
    double from = e->photo[axis], to = e->photo[2 + axis];
    int32_t patch = (int32_t)floor((from + place * (to - from)) * e->grid);
    return patch < 0 ? 0 : patch >= e->grid ? e->grid - 1 : patch;
}

/* In place: grey and pale, then tinted. */
static void tint(const fb_explanation *e, panel *p)
{
    double most = 0;
    for (int32_t i = 0; i < e->grid * e->grid; i++)
        most = largest(most, e->patches[i]);
    for (int32_t y = 0; y < p->height; y++) {
        int32_t row = patch_at(e, 1, (y + 0.5) / p->height);
        for (int32_t x = 0; x < p->width; x++) {
            uint8_t *rgb = p->rgb + 3 * ((size_t)y * (size_t)p->width + (size_t)x);
            double grey = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
            double weight =
                e->patches[row * e->grid + patch_at(e, 0, (x + 0.5) / p->width)];
            double share = most > 0 ? 0.8 * fabs(weight) / most : 0;
            const uint8_t *colour = weight > 0 ? for_match : against;
            for (int32_t c = 0; c < 3; c++)
                rgb[c] = (uint8_t)((1 - share) * (70 + 0.7 * grey) + share * colour[c]);
        }
    }
}

static void draw_word(fb_image *picture, int32_t y, const fb_word_weight *word,
                      double most)
{
    char number[32];
    int32_t left = MARGIN + WORD_WIDTH + NUMBER_WIDTH;
    int32_t half = (picture->width - MARGIN - left) / 2, axis = left + half;
    double length = most > 0 ? rint(fabs(word->weight) / most * (half - 2)) : 0;
    int32_t bar = (int32_t)length, height = FB_GLYPH_HEIGHT * SCALE;
    fb_text_print(number, sizeof number, "%+.2f", word->weight);
    fb_draw_text(picture, MARGIN, y, WORD_WIDTH - MARGIN, SCALE, word->text);
    fb_draw_text(picture,
                 MARGIN + WORD_WIDTH + NUMBER_WIDTH - MARGIN -
                     fb_draw_text_width(number, SCALE),
                 y, NUMBER_WIDTH, SCALE, number);
    fb_draw_box(picture, axis, y - 2 * SCALE, 1, LINE, axis_grey);
    if (word->weight > 0)
        fb_draw_box(picture, axis + 1, y, bar, height, for_match);
    else
        fb_draw_box(picture, axis - bar, y, bar, height, against);
}

static void draw_words(fb_image *picture, int32_t y, const fb_explanation *e,
                       int32_t shown)
{
    double most = 0;
    for (int32_t i = 0; i < e->word_count; i++)
        most = largest(most, e->words[i].weight);
    for (int32_t i = 0; i < shown; i++, y += LINE)
        draw_word(picture, y, &e->words[i], most);
    if (shown < e->word_count)
        fb_draw_text(picture, MARGIN, y, picture->width, SCALE, "...");
}

fb_status fb_heat_map_draw(fb_context *ctx, const fb_explanation *e,
                           const fb_image *photo, fb_image *picture)
{
    panel p = {0};
    char head[96];
    fb_image made = {0};
    int32_t shown = e->word_count < WORDS_SHOWN ? e->word_count : WORDS_SHOWN;
    int32_t lines = shown + (shown < e->word_count);
    fb_status status = make_panel(ctx, photo, &p);
    if (status == FB_OK)
        status =
            fb_draw_begin(ctx, &made, 3 * MARGIN + 2 * PHOTO,
                          3 * MARGIN + LINE + p.height + lines * LINE, "a heat map");
    if (status == FB_OK) {
        int32_t y = MARGIN, left = MARGIN + (PHOTO - p.width) / 2;
        fb_text_print(head, sizeof head, "P(match) %.3f   score %+.2f (%s)",
                      e->probability, e->score, e->score_kind);
        fb_draw_text(&made, MARGIN, y, made.width - 2 * MARGIN, SCALE, head);
        y += LINE;
        fb_draw_image(&made, left, y, p.width, p.height, p.rgb);
        tint(e, &p);
        fb_draw_image(&made, left + PHOTO + MARGIN, y, p.width, p.height, p.rgb);
        draw_words(&made, y + p.height + MARGIN, e, shown);
        *picture = made;
    }
    free(p.rgb);
    return status;
}

/* make_regions.c - made-up regions of a catalogue's images in others' formats, for the
 * tests of the command:
 *
 *     make_regions butd|lxmert|objects CATALOG OUT.tsv
 *                                                  by product id, or the image's stem;
 *                                                  objects: as lxmert, with classes
 *     make_regions npy CATALOG OUT.npy             in the catalogue's order
 *     make_regions ids CATALOG OUT.txt             its file names, one a line
 *     make_regions toy|wide CATALOG OUT.tsv        a region a word of the title
 *     make_regions scan CATALOG OUT-FOLDER         pairs, five captions an image
 *
 * Image i has REGIONS regions (of TSV, 2 + i % 3) of WIDTH numbers; number k of region
 * r is (i + r + k) / 8. Of toys the numbers are the word's own, the first four words'
 * (make_catalogue: colour, shape, "on", background), and a fifth of every other image.
 */
#include "base/hash.h"
#include "data/catalogue/catalogue.h"
#include "support/region_formats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REGIONS = 3, WIDTH = 8, MOST = 4, SIDE = 48 };

static void fill(int32_t i, int32_t regions, float *boxes, float *features)
{
    for (int32_t r = 0; r < regions; r++) {
        const float box[] = {(float)r, 2, (float)(20 + r), SIDE};
        memcpy(boxes + 4 * r, box, sizeof box);
        for (int32_t k = 0; k < WIDTH; k++)
            features[r * WIDTH + k] = (float)(i + r + k) / 8;
    }
}

static void write_line(FILE *out, int32_t i, const fb_catalogue_item *item,
                       const char *kind)
{
    bool lxmert = strcmp(kind, "butd") != 0;
    const int64_t classes[MOST] = {i % 7, 1, 30, 2};
    const float scores[MOST] = {1, 0.5f, 0.25f, 0};
    char ids[64] = "", sure[64] = "";
    float boxes[4 * MOST], features[WIDTH * MOST];
    char box_text[128], feature_text[256], stem[256];
    int32_t n = 2 + i % 3;
    fill(i, n, boxes, features);
    put_base64(box_text, boxes, (size_t)n * 4 * sizeof *boxes);
    put_base64(feature_text, features, (size_t)(n * WIDTH) * sizeof *features);
    const char *slash = strrchr(item->file_name, '/');
    snprintf(stem, sizeof stem, "%s", slash ? slash + 1 : item->file_name);
    stem[strcspn(stem, ".")] = 0;
    if (strcmp(kind, "objects") == 0) {
        put_base64(ids, classes, (size_t)n * sizeof *classes);
        put_base64(sure, scores, (size_t)n * sizeof *scores);
    }
    if (lxmert)
        fprintf(out, "%s\t%d\t%d\t%s\t%s\tAA==\tAA==\t%d\t%s\t%s\n", stem, SIDE,
                SIDE + 1, ids, sure, (int)n, box_text, feature_text);
    else
        fprintf(out, "%s\t%d\t%d\t%d\t%s\t%s\r\n", item->product_id, SIDE + 1, SIDE,
                (int)n, box_text, feature_text);
}

/* width: of a feature, at most 2 * WIDTH. */
static void write_toy(FILE *out, int32_t i, const fb_catalogue_item *item,
                      int32_t width)
{
    enum { WORDS = 5 };
    float boxes[4 * WORDS], features[2 * WIDTH * WORDS];
    char box_text[160], feature_text[512], title[128], *rest = title;
    int32_t n = 4 + i % 2;
    snprintf(title, sizeof title, "%s", item->title);
    for (int32_t r = 0; r < n; r++) {
        const char *word = strsep(&rest, " ,");
        const float box[] = {(float)r, 2, (float)(20 + r), SIDE};
        memcpy(boxes + 4 * r, box, sizeof box);
        uint64_t key = fb_hash_bytes(7, word, word ? strlen(word) : 0);
        for (int32_t k = 0; k < width; k++)
            features[r * width + k] = (float)(key >> (8 * (k % 8)) & 255) / 64 - 2;
    }
    put_base64(box_text, boxes, (size_t)n * 4 * sizeof *boxes);
    put_base64(feature_text, features, (size_t)(n * width) * sizeof *features);
    fprintf(out, "%s\t%d\t%d\t%d\t%s\t%s\n", item->product_id, SIDE + 1, SIDE, (int)n,
            box_text, feature_text);
}

static bool write_npy(const char *path, int32_t images)
{
    size_t numbers = (size_t)images * REGIONS * WIDTH;
    float *features = calloc(numbers, sizeof *features), boxes[4 * MOST];
    uint8_t *bytes = malloc(numbers * sizeof *features + 512);
    char header[128];
    FILE *out = fopen(path, "w");
    bool written = features && bytes && out;
    if (written) {
        for (int32_t i = 0; i < images; i++)
            fill(i, REGIONS, boxes, features + (size_t)i * REGIONS * WIDTH);
        snprintf(header, sizeof header,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d, %d), }",
                 (int)images, REGIONS, WIDTH);
        size_t size = put_npy(bytes, header, features, numbers * sizeof *features);
        written = fwrite(bytes, 1, size, out) == size;
    }
    if (out && fclose(out) != 0)
        written = false;
    free(features);
    free(bytes);
    return written;
}

static bool write_scan(const fb_catalogue *catalogue, const char *folder)
{
    static const char *const prefixes[] = {"train", "dev", "test"};
    for (int split = 0; split < 3; split++) {
        char path[4096];
        int32_t count = 0;
        const int32_t *items =
            fb_catalogue_split_items(catalogue, (fb_split)split, &count);
        snprintf(path, sizeof path, "%s/%s_ims.npy", folder, prefixes[split]);
        if (!write_npy(path, count))
            return false;
        snprintf(path, sizeof path, "%s/%s_caps.txt", folder, prefixes[split]);
        FILE *out = fopen(path, "w");
        if (!out)
            return false;
        for (int32_t i = 0; i < count; i++)
            for (int32_t k = 0; k < 5; k++)
                fprintf(out, "%s , said %d times\n",
                        fb_catalogue_get(catalogue, items[i])->title, (int)k);
        if (fclose(out) != 0)
            return false;
    }
    return true;
}

static bool write_lines(const fb_catalogue *catalogue, const char *kind,
                        const char *path)
{
    FILE *out = fopen(path, "w");
    if (!out)
        return false;
    for (int32_t i = 0; i < fb_catalogue_count(catalogue); i++) {
        const fb_catalogue_item *item = fb_catalogue_get(catalogue, i);
        if (strcmp(kind, "ids") == 0)
            fprintf(out, "%s\n", item->file_name);
        else if (strcmp(kind, "toy") == 0)
            write_toy(out, i, item, WIDTH);
        else if (strcmp(kind, "wide") == 0)
            write_toy(out, i, item, 2 * WIDTH);
        else
            write_line(out, i, item, kind);
    }
    return fclose(out) == 0;
}

int main(int argc, char **argv)
{
    struct fb_context ctx = {0};
    fb_catalogue *catalogue = NULL;
    if (argc != 4 || fb_catalogue_open(&ctx, &catalogue, argv[2], NULL) != FB_OK) {
        fprintf(stderr, "make_regions: KIND CATALOG OUT: %s\n", ctx.message);
        return 2;
    }
    bool written =
        strcmp(argv[1], "npy") == 0 ? write_npy(argv[3], fb_catalogue_count(catalogue))
        : strcmp(argv[1], "scan") == 0 ? write_scan(catalogue, argv[3])
                                       : write_lines(catalogue, argv[1], argv[3]);
    fb_catalogue_close(catalogue);
    return !written;
}

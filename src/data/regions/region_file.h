/* region_file.h - features of regions of images, computed elsewhere, in one file that
 * is mapped. Systems that read regions (SCAN, PFAN, ViLBERT, VL-BERT) read this and
 * nothing else, whatever format the features came in.
 *
 *     0         128 bytes             header
 *     4096      an image after the other, each from a multiple of 64 on:
 *                   f32  [n, 4]       boxes, where there are any
 *                   i32  [n]          classes, where there are any
 *                   f32  [n]          how sure the detector was of these, likewise
 *                   bf16 [n, F]       features, row by row
 *     index     40 bytes an image     where it is, n, its width and height, checksum
 *     names     0-terminated          of the images, each once
 *
 * n is the number of regions of an image, F the width of a feature, the same for all.
 * A box is x1, y1, x2, y2 as shares of the image's width and height, 0 to 1, x1 <= x2
 * and y1 <= y2. A class is a number of the detector's, from 0 on; the header says one more
 * than the largest (0: there are none), and a file that has some is of version 02. Features are rounded to bf16, as those of feature_cache.h. Numbers are
 * little-endian. Such a file is written by region_writer.h.
 */
#ifndef FB_DATA_REGIONS_REGION_FILE_H
#define FB_DATA_REGIONS_REGION_FILE_H

#include "base/file.h"
#include "tensor/bf16.h"

enum { FB_REGIONS_MOST = 4096, FB_REGION_WIDTH_MOST = 65536, FB_REGIONS_AT = 4096 };
enum { FB_REGION_CLASSES_MOST = 1000000 };

typedef struct fb_region_image {
    const char *name;
    int32_t regions;         /* n, at least 1 */
    int32_t width, height;   /* pixels of the image; 0: not known */
    const float *boxes;      /* [n, 4]; NULL: the file has none */
    const int32_t *classes;  /* [n]; NULL: the file has none */
    const float *scores;     /* [n] likewise, 0 to 1 */
    const fb_bf16 *features; /* [n, F] */
} fb_region_image;

typedef struct fb_region_file fb_region_file;

/* Everything but the numbers themselves is checked: fb_region_file_verify.
 * FB_E_MISSING  no such file
 * FB_E_FORMAT   not a region file, damaged, or cut short
 * FB_E_MEMORY */
fb_status fb_region_file_open(fb_context *ctx, fb_region_file **file, const char *path);
/* The same over bytes that outlive it and lie at a multiple of 64. */
fb_status fb_region_file_parse(fb_context *ctx, fb_region_file **file, const char *name,
                               const uint8_t *bytes, size_t size_bytes);
void fb_region_file_close(fb_region_file *file);

int32_t fb_region_file_images(const fb_region_file *file);
int32_t fb_region_file_width(const fb_region_file *file);        /* F */
int32_t fb_region_file_most(const fb_region_file *file);         /* largest n */
int64_t fb_region_file_regions(const fb_region_file *file);      /* of all images */
int32_t fb_region_file_classes(const fb_region_file *file);      /* 0: it has none */
uint64_t fb_region_file_fingerprint(const fb_region_file *file); /* of all it holds */
bool fb_region_file_has_boxes(const fb_region_file *file);
fb_region_image fb_region_file_get(const fb_region_file *file, int32_t image);
/* By name; -1: not there. */
int32_t fb_region_file_find(const fb_region_file *file, const char *name);
/* FB_E_FORMAT: the numbers of an image are not those that were written, or a class is
 * none of the header's. */
fb_status fb_region_file_verify(fb_context *ctx, const fb_region_file *file,
                                int32_t image);

/* ---- the file's frame, for the writer ------------------------------------------- */

typedef struct fb_region_header {
    char magic[8];
    int32_t images, width, most, boxes; /* boxes: 1 or 0 */
    int64_t regions;
    uint64_t index_at, names_at, size_bytes;
    uint64_t index_sum;        /* of index and names, everything behind index_at */
    int32_t classes, zero_too; /* one more than the largest; 0: there are none */
    uint64_t zero[6];
    uint64_t checksum; /* of the bytes before it */
} fb_region_header;

typedef struct fb_region_entry {
    uint64_t at, checksum; /* of all its numbers */
    uint64_t name_at;      /* behind names_at */
    int32_t regions, width, height, zero;
} fb_region_entry;

void fb_region_header_seal(fb_region_header *header); /* magic and checksum */
/* Of an image of `regions`, by the header's width, boxes and classes. */
size_t fb_region_image_bytes(const fb_region_header *header, int32_t regions);
uint64_t fb_region_sum(uint64_t seed, const void *bytes, size_t size_bytes);

#endif

/* file_kind.c - see file_kind.h. */
#include "base/file_kind.h"

#include "base/ascii.h"

#include <stdint.h>
#include <string.h>

static const char lfs_start[] = "version https://git-lfs.github.com/spec/";

bool fb_file_is_lfs_pointer(const void *bytes, size_t size_bytes)
{
    return size_bytes >= sizeof lfs_start - 1 &&
           memcmp(bytes, lfs_start, sizeof lfs_start - 1) == 0;
}

/* Formats with a fixed start. */
static const struct {
    size_t at, size;
    const char *start, *kind;
} starts[] = {{0, 3, "\xff\xd8\xff", "a JPEG image"},
              {0, 8, "\x89PNG\r\n\x1a\n", "a PNG image"},
              {8, 4, "WEBP", "a WebP image"},
              {0, 4, "GIF8", "a GIF image"},
              {0, 4, "II*\0", "a TIFF image"},
              {0, 4, "MM\0*", "a TIFF image"},
              {0, 4, "8BPS", "a Photoshop file"},
              {0, 4, "\0\0\1\0", "an icon file"},
              {0, 12, "\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"},
              {0, 2, "\xff\x0a", "a JPEG XL image"},
              {0, 12, "\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"},
              {0, 4, "%PDF", "a PDF file"},
              {0, 4, "PK\3\4", "a zip archive"},
              {0, 2, "\x1f\x8b", "a gzip file"},
              {0, 4, "\x28\xb5\x2f\xfd", "a zstd file"},
              {0, 8, "\x89HDF\r\n\x1a\n", "an HDF5 file"},
              {257, 5, "ustar", "a tar archive"}};

/* Brands of ISO media files, behind "ftyp". */
static const struct {
    const char *brand, *kind;
} brands[] = {{"avif", "an AVIF image"}, {"avis", "an AVIF image"},
              {"heic", "a HEIC image"},  {"heix", "a HEIC image"},
              {"hevc", "a HEIC image"},  {"mif1", "a HEIF image"},
              {"msf1", "a HEIF image"},  {"", "a video"}};

static const struct {
    const char *tag, *kind;
} tags[] = {{"<!doctype html", "an HTML page"},
            {"<html", "an HTML page"},
            {"<head", "an HTML page"},
            {"<svg", "an SVG image"}};

/* Markup: its first tag, or an SVG behind an XML declaration. */
static const char *markup_kind(const char *text, size_t size)
{
    while (size > 0 && strchr(" \t\r\n\xef\xbb\xbf", *text) && *text)
        text++, size--;
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        size_t length = strlen(tags[i].tag);
        if (size >= length && fb_ascii_compare_start(text, tags[i].tag, length) == 0)
            return tags[i].kind;
    }
    if (size < 5 || memcmp(text, "<?xml", 5) != 0)
        return NULL;
    return memmem(text, size < 1024 ? size : 1024, "<svg", 4) ? "an SVG image"
                                                              : "an XML file";
}

/* BM, and reserved bytes that are 0: two letters alone may begin any text. */
static bool is_bmp(const uint8_t *b, size_t size)
{
    return size >= 10 && b[0] == 'B' && b[1] == 'M' && b[6] == 0 && b[7] == 0 &&
           b[8] == 0 && b[9] == 0;
}

const char *fb_file_kind(const void *bytes, size_t size_bytes)
{
    const uint8_t *b = bytes;
    if (fb_file_is_lfs_pointer(b, size_bytes))
        return "a pointer of Git LFS";
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (size_bytes >= starts[i].at + starts[i].size &&
            memcmp(b + starts[i].at, starts[i].start, starts[i].size) == 0)
            return starts[i].kind;
    if (is_bmp(b, size_bytes))
        return "a BMP image";
    for (size_t i = 0; size_bytes >= 12 && memcmp(b + 4, "ftyp", 4) == 0; i++)
        if (strncmp((const char *)b + 8, brands[i].brand, strlen(brands[i].brand)) == 0)
            return brands[i].kind;
    return markup_kind((const char *)b, size_bytes);
}

/* region_writer.c - see region_writer.h. The index is kept in memory, 40 bytes and a
 * name an image, and written behind the images; the header comes last. */
#include "data/regions/region_writer.h"
#include "base/intern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct fb_region_writer {
    fb_replace file;
    fb_region_header header;
    fb_region_entry *entries;
    int32_t capacity;
    uint64_t at; /* where the next image begins */
    uint64_t name_bytes;
    fb_intern *names;
    uint8_t *image; /* its numbers as in the file */
    size_t image_bytes;
    float *boxes;
};

static fb_status fail_write(fb_context *ctx, const fb_region_writer *w)
{
    return fb_fail(ctx, FB_E_IO, "%s: cannot be written: %s", w->file.path,
                   strerror(errno));
}

static fb_status fail_memory(fb_context *ctx)
{
    return fb_fail(ctx, FB_E_MEMORY, "no memory to write regions");
}

/* Zeros up to w->at + size, a multiple of `align`. */
static fb_status pad(fb_context *ctx, fb_region_writer *w, uint64_t align)
{
    static const uint8_t zeros[FB_REGIONS_AT];
    size_t size = (size_t)((align - w->at % align) % align);
    w->at += size;
    if (fwrite(zeros, 1, size, w->file.stream) != size)
        return fail_write(ctx, w);
    return FB_OK;
}

fb_status fb_region_writer_open(fb_context *ctx, fb_region_writer **writer,
                                const char *path)
{
    fb_region_writer *w = calloc(1, sizeof *w);
    if (w)
        w->names = fb_intern_create();
    if (w)
        w->boxes = malloc(FB_REGIONS_MOST * 4 * sizeof *w->boxes);
    fb_status status = w && w->names && w->boxes ? FB_OK : fail_memory(ctx);
    if (status == FB_OK)
        status = fb_replace_open(ctx, path, &w->file);
    if (status == FB_OK) {
        w->at = 1;
        if (fputc(0, w->file.stream) == EOF)
            status = fail_write(ctx, w);
    }
    if (status == FB_OK)
        status = pad(ctx, w, FB_REGIONS_AT);
    if (status == FB_OK)
        *writer = w;
    else
        fb_region_writer_close(w);
    return status;
}

void fb_region_writer_close(fb_region_writer *writer)
{
    if (!writer)
        return;
    fb_replace_abandon(&writer->file);
    fb_intern_free(writer->names);
    free(writer->entries);
    free(writer->image);
    free(writer->boxes);
    free(writer);
}

/* ---- images ------------------------------------------------------------------------
 */

static fb_status check(fb_context *ctx, const fb_region_writer *w, const char *name,
                       const fb_region_record *r)
{
    const fb_region_header *h = &w->header;
    FB_TRY(fb_region_record_check(ctx, r, w->boxes));
    if (fb_intern_find(w->names, name) >= 0)
        return fb_fail(ctx, FB_E_FORMAT, "image %.200s was there before", name);
    if (h->images == 0)
        return FB_OK;
    if (r->feature_width != h->width)
        return fb_fail(ctx, FB_E_FORMAT,
                       "features of %d numbers, those of the first image have %d",
                       (int)r->feature_width, (int)h->width);
    if ((r->boxes != NULL) != (h->boxes != 0))
        return fb_fail(ctx, FB_E_FORMAT, "%s boxes, the first image %s",
                       r->boxes ? "has" : "has no", h->boxes ? "has" : "has none");
    if ((r->classes != NULL) != (h->classes != 0))
        return fb_fail(ctx, FB_E_FORMAT, "%s classes, the first image %s",
                       r->classes ? "has" : "has no", h->classes ? "has" : "has none");
    return FB_OK;
}

/* What the header says of the images, with one more. */
static void count(fb_region_header *h, const fb_region_record *r)
{
    h->images++;
    h->regions += r->regions;
    h->width = r->feature_width;
    h->boxes = r->boxes != NULL;
    if (r->regions > h->most)
        h->most = r->regions;
    for (int32_t i = 0; r->classes && i < r->regions; i++)
        if (r->classes[i] >= h->classes)
            h->classes = r->classes[i] + 1;
}

static fb_status make_room(fb_context *ctx, fb_region_writer *w, size_t size)
{
    if (size > w->image_bytes) {
        uint8_t *image = realloc(w->image, size);
        if (!image)
            return fail_memory(ctx);
        w->image = image;
        w->image_bytes = size;
    }
    if (w->header.images == w->capacity) {
        int32_t capacity = w->capacity ? 2 * w->capacity : 1024;
        fb_region_entry *entries =
            realloc(w->entries, (size_t)capacity * sizeof *entries);
        if (!entries)
            return fail_memory(ctx);
        w->entries = entries;
        w->capacity = capacity;
    }
    return FB_OK;
}

static uint8_t *put(uint8_t *at, const void *numbers, size_t bytes)
{
    memcpy(at, numbers, bytes);
    return at + bytes;
}

/* All numbers of w->image. */
static void fill_image(fb_region_writer *w, const fb_region_record *r)
{
    uint8_t *at = w->image;
    size_t n = (size_t)r->regions;
    if (r->boxes)
        at = put(at, w->boxes, n * 4 * sizeof *w->boxes);
    if (r->classes) {
        at = put(at, r->classes, n * sizeof *r->classes);
        at = put(at, r->scores, n * sizeof *r->scores);
    }
    fb_bf16 *features = (fb_bf16 *)(void *)at;
    size_t count = (size_t)r->regions * (size_t)r->feature_width;
    for (size_t i = 0; i < count; i++)
        features[i] = fb_bf16_from_f32(r->features[i]);
}

fb_status fb_region_writer_add(fb_context *ctx, fb_region_writer *w, const char *name,
                               const fb_region_record *r)
{
    FB_TRY(check(ctx, w, name, r));
    fb_region_header with = w->header;
    count(&with, r);
    size_t size = fb_region_image_bytes(&with, r->regions);
    FB_TRY(make_room(ctx, w, size));
    fill_image(w, r);
    if (fb_intern_add(w->names, name) < 0)
        return fail_memory(ctx);
    w->entries[w->header.images] = (fb_region_entry){
        .at = w->at,
        .checksum = fb_region_sum(2, w->image, size),
        .name_at = w->name_bytes,
        .regions = r->regions,
        .width = r->width,
        .height = r->height,
    };
    if (fwrite(w->image, 1, size, w->file.stream) != size)
        return fail_write(ctx, w);
    w->at += size;
    w->name_bytes += strlen(name) + 1;
    w->header = with;
    return pad(ctx, w, 64);
}

int32_t fb_region_writer_images(const fb_region_writer *writer)
{
    return writer->header.images;
}

/* ---- index and header --------------------------------------------------------------
 */

/* Index and names in one piece, which the checksum is of. */
static uint8_t *make_index(const fb_region_writer *w, size_t *size)
{
    size_t entries = (size_t)w->header.images * sizeof *w->entries;
    *size = entries + w->name_bytes;
    uint8_t *index = malloc(*size);
    if (!index)
        return NULL;
    memcpy(index, w->entries, entries);
    for (int32_t i = 0; i < w->header.images; i++) {
        const char *name = fb_intern_text(w->names, i);
        memcpy(index + entries + w->entries[i].name_at, name, strlen(name) + 1);
    }
    return index;
}

fb_status fb_region_writer_finish(fb_context *ctx, fb_region_writer *w)
{
    fb_region_header *h = &w->header;
    size_t size = 0;
    if (h->images == 0)
        return fb_fail(ctx, FB_E_FORMAT, "%s: there is not a single image to write",
                       w->file.path);
    uint8_t *index = make_index(w, &size);
    if (!index)
        return fail_memory(ctx);
    h->index_at = w->at;
    h->names_at = w->at + (uint64_t)h->images * sizeof *w->entries;
    h->size_bytes = w->at + size;
    h->index_sum = fb_region_sum(1, index, size);
    fb_region_header_seal(h);
    bool written = fwrite(index, 1, size, w->file.stream) == size &&
                   fseek(w->file.stream, 0, SEEK_SET) == 0 &&
                   fwrite(h, 1, sizeof *h, w->file.stream) == sizeof *h;
    free(index);
    if (!written)
        return fail_write(ctx, w);
    return fb_replace_commit(ctx, &w->file);
}

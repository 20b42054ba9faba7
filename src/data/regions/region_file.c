/* region_file.c - see region_file.h. */
#include "data/regions/region_file.h"
#include "base/intern.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof(fb_region_header) == 128, "the header is as in the file");
static_assert(sizeof(fb_region_entry) == 40, "an entry is as in the file");

static const char magic[7] = {'F', 'B', 'R', 'E', 'G', 'N', '0'};

struct fb_region_file {
    fb_map map; /* empty when parsed from bytes */
    fb_region_header header;
    const uint8_t *bytes;
    const fb_region_entry *entries;
    const char *names;
    fb_intern *by_name; /* number = image */
    const char *path;
};

uint64_t fb_region_sum(uint64_t seed, const void *bytes, size_t size_bytes)
{
    return fb_hash_bytes(seed + 1, bytes, size_bytes);
}

void fb_region_header_seal(fb_region_header *header)
{
    memcpy(header->magic, magic, sizeof magic);
    header->magic[7] = header->classes ? '2' : '1';
    header->checksum = fb_region_sum(0, header, offsetof(fb_region_header, checksum));
}

size_t fb_region_image_bytes(const fb_region_header *h, int32_t regions)
{
    size_t classes = h->classes ? sizeof(int32_t) + sizeof(float) : 0;
    return (size_t)regions * ((h->boxes ? 4 * sizeof(float) : 0) + classes +
                              (size_t)h->width * sizeof(fb_bf16));
}

/* ---- checks ------------------------------------------------------------------------
 */

static fb_status fail_damaged(fb_context *ctx, const char *name, const char *what)
{
    return fb_fail(ctx, FB_E_FORMAT, "%s: a damaged region file: %s", name, what);
}

static fb_status check_header(fb_context *ctx, fb_region_header *h, const char *name,
                              const uint8_t *bytes, size_t size_bytes)
{
    if (size_bytes < sizeof *h || memcmp(bytes, magic, sizeof magic) != 0)
        return fb_fail(ctx, FB_E_FORMAT, "%s: not a region file of this program", name);
    memcpy(h, bytes, sizeof *h);
    if (h->checksum != fb_region_sum(0, h, offsetof(fb_region_header, checksum)))
        return fail_damaged(ctx, name, "its header");
    if (h->size_bytes != size_bytes)
        return fb_fail(ctx, FB_E_FORMAT, "%s: %zu bytes, its header says %llu", name,
                       size_bytes, (unsigned long long)h->size_bytes);
    if (h->images < 1 || h->width < 1 || h->width > FB_REGION_WIDTH_MOST ||
        h->most < 1 || h->most > FB_REGIONS_MOST || (h->boxes & ~1) || h->classes < 0 ||
        h->classes > FB_REGION_CLASSES_MOST ||
        h->magic[7] != (h->classes ? '2' : '1') || h->index_at < FB_REGIONS_AT ||
        h->index_at % 64 || h->index_at > size_bytes ||
        (size_bytes - h->index_at) / sizeof(fb_region_entry) < (uint64_t)h->images ||
        h->names_at != h->index_at + (uint64_t)h->images * sizeof(fb_region_entry))
        return fail_damaged(ctx, name, "its header");
    if (h->index_sum != fb_region_sum(1, bytes + h->index_at, size_bytes - h->index_at))
        return fail_damaged(ctx, name, "its index");
    return FB_OK;
}

static bool is_entry_good(const fb_region_header *h, const fb_region_entry *e)
{
    if (e->regions < 1 || e->regions > h->most || e->width < 0 || e->height < 0)
        return false;
    size_t size = fb_region_image_bytes(h, e->regions);
    return e->at >= FB_REGIONS_AT && e->at % 64 == 0 && e->at <= h->index_at &&
           size <= h->index_at - e->at;
}

static fb_status check_index(fb_context *ctx, fb_region_file *f, const char *name)
{
    const fb_region_header *h = &f->header;
    uint64_t name_bytes = h->size_bytes - h->names_at;
    if (name_bytes == 0 || f->bytes[h->size_bytes - 1] != 0)
        return fail_damaged(ctx, name, "its names");
    int64_t regions = 0;
    for (int32_t i = 0; i < h->images; i++) {
        const fb_region_entry *e = &f->entries[i];
        if (!is_entry_good(h, e) || e->name_at >= name_bytes)
            return fail_damaged(ctx, name, "its index");
        regions += e->regions;
        int32_t number = fb_intern_add(f->by_name, f->names + e->name_at);
        if (number < 0)
            return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for its names", name);
        if (number != i)
            return fail_damaged(ctx, name, "one name twice");
    }
    return regions == h->regions ? FB_OK : fail_damaged(ctx, name, "its header");
}

fb_status fb_region_file_parse(fb_context *ctx, fb_region_file **file, const char *name,
                               const uint8_t *bytes, size_t size_bytes)
{
    fb_region_file *f = calloc(1, sizeof *f + strlen(name) + 1);
    if (f)
        f->by_name = fb_intern_create();
    if (!f || !f->by_name) {
        free(f);
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", name);
    }
    char *path = (char *)(f + 1);
    memcpy(path, name, strlen(name) + 1);
    f->path = path;
    f->bytes = bytes;
    fb_status status = check_header(ctx, &f->header, name, bytes, size_bytes);
    if (status == FB_OK) {
        f->entries =
            (const fb_region_entry *)(const void *)(bytes + f->header.index_at);
        f->names = (const char *)bytes + f->header.names_at;
        status = check_index(ctx, f, name);
    }
    if (status == FB_OK)
        *file = f;
    else
        fb_region_file_close(f);
    return status;
}

fb_status fb_region_file_open(fb_context *ctx, fb_region_file **file, const char *path)
{
    fb_map map;
    fb_region_file *f = NULL;
    FB_TRY(fb_map_open(ctx, path, &map));
    fb_status status = fb_region_file_parse(ctx, &f, path, map.bytes, map.size_bytes);
    if (status != FB_OK) {
        fb_map_close(&map);
        return status;
    }
    f->map = map;
    *file = f;
    return FB_OK;
}

void fb_region_file_close(fb_region_file *file)
{
    if (!file)
        return;
    fb_map_close(&file->map);
    fb_intern_free(file->by_name);
    free(file);
}

/* ---- reading -----------------------------------------------------------------------
 */

int32_t fb_region_file_images(const fb_region_file *file)
{
    return file->header.images;
}

int32_t fb_region_file_width(const fb_region_file *file)
{
    return file->header.width;
}

int32_t fb_region_file_most(const fb_region_file *file)
{
    return file->header.most;
}

int64_t fb_region_file_regions(const fb_region_file *file)
{
    return file->header.regions;
}

int32_t fb_region_file_classes(const fb_region_file *file)
{
    return file->header.classes;
}

/* The index, of which the header has a sum, has sums of all numbers. */
uint64_t fb_region_file_fingerprint(const fb_region_file *file)
{
    return file->header.checksum;
}

bool fb_region_file_has_boxes(const fb_region_file *file)
{
    return file->header.boxes;
}

fb_region_image fb_region_file_get(const fb_region_file *f, int32_t image)
{
    const fb_region_entry *e = &f->entries[image];
    const uint8_t *at = f->bytes + e->at;
    fb_region_image r = {.name = f->names + e->name_at,
                         .regions = e->regions,
                         .width = e->width,
                         .height = e->height};
    if (f->header.boxes) {
        r.boxes = (const float *)(const void *)at;
        at += (size_t)e->regions * 4 * sizeof(float);
    }
    if (f->header.classes) {
        r.classes = (const int32_t *)(const void *)at;
        r.scores = (const float *)(const void *)(r.classes + e->regions);
        at += (size_t)e->regions * (sizeof *r.classes + sizeof *r.scores);
    }
    r.features = (const fb_bf16 *)(const void *)at;
    return r;
}

int32_t fb_region_file_find(const fb_region_file *file, const char *name)
{
    return fb_intern_find(file->by_name, name);
}

fb_status fb_region_file_verify(fb_context *ctx, const fb_region_file *f, int32_t image)
{
    const fb_region_entry *e = &f->entries[image];
    size_t size = fb_region_image_bytes(&f->header, e->regions);
    const int32_t *classes = fb_region_file_get(f, image).classes;
    bool good = fb_region_sum(2, f->bytes + e->at, size) == e->checksum;
    for (int32_t i = 0; classes && i < e->regions; i++)
        good = good && classes[i] >= 0 && classes[i] < f->header.classes;
    if (good)
        return FB_OK;
    return fb_fail(ctx, FB_E_FORMAT, "%s: the regions of %s are damaged", f->path,
                   f->names + e->name_at);
}

/* inspect_regions.c - regions of a sample of the catalogue's images, from a region file
 * or proposed on the spot: how many there are, how they overlap, and how much of the
 * product they show, beside the patches that FashionBERT reads in their place.
 *
 * What a region shows is counted on the image (product_mask.h). Boxes of nearly the whole
 * image are left out of that: they show everything and tell nothing apart.
 */
#include "tasks/inspect.h"

#include "base/cores.h"
#include "base/file.h"
#include "base/memory_stream.h"
#include "base/progress.h"
#include "data/image/image_load.h"
#include "data/regions/product_mask.h"
#include "data/regions/proposals.h"
#include "data/regions/region_file.h"
#include "data/regions/region_sheet.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { MASK_SIDE = 128, SHEET_PHOTOS = 24, GRID = 8 };
#define WHOLE .95 /* of the image's area */

/* Of one image. NaN: not to be said. */
typedef struct image_regions {
    int32_t item, count, whole, body;
    bool read, plain;
    double overlap;              /* mean IoU of all pairs */
    double duplicates;           /* regions that have another of IoU > .7 */
    double area;                 /* mean share of the image */
    double covered, product;     /* of the product; of the regions' pixels */
    double patches_with_product; /* of GRID x GRID */
    double product_of_image;
    bool no_memory;
} image_regions;

typedef struct survey {
    fb_context *ctx;
    const fb_catalogue *catalogue;
    const fb_inspect_options *options;
    fb_inspection *in;
    fb_region_file *file; /* NULL: proposals */
    bool *is_body;        /* [classes of the file]; NULL: not known */
    image_regions *image; /* [count] */
    int32_t count;
} survey;

/* What a thread needs. */
typedef struct surveyor {
    fb_resizer *resizer;
    fb_proposer *proposer;
    float *boxes; /* [FB_PROPOSALS_MOST, 4] */
    uint8_t *mask, *seen, *pixels;
    struct fb_context ctx; /* of what could not be read */
} surveyor;

/* ---- one image ---------------------------------------------------------------------
 */

/* The boxes of an image, which need not be read for a region file; NULL: it has none. */
static fb_status boxes_of(fb_context *ctx, const survey *s, surveyor *by, int32_t item,
                          const fb_image *image, const float **boxes, int32_t *count)
{
    *count = 0;
    *boxes = NULL;
    if (s->file) {
        int32_t at = fb_region_file_find(
            s->file, fb_catalogue_get(s->catalogue, item)->file_name);
        if (at < 0)
            return FB_OK;
        fb_region_image found = fb_region_file_get(s->file, at);
        *boxes = found.boxes;
        *count = found.regions;
        return FB_OK;
    }
    *boxes = by->boxes;
    return fb_proposer_run(ctx, by->proposer, by->boxes, count, image,
                           s->options->regions_most);
}

static double area_of(const float *box)
{
    return (double)(box[2] - box[0]) * (double)(box[3] - box[1]);
}

static void measure_overlap(image_regions *r, const float *boxes)
{
    double sum = 0, area = 0;
    int32_t doubled = 0;
    for (int32_t i = 0; i < r->count; i++) {
        bool has_double = false;
        area += area_of(boxes + 4 * i);
        r->whole += area_of(boxes + 4 * i) >= WHOLE;
        for (int32_t k = 0; k < r->count; k++) {
            double overlap = k == i ? 0 : fb_box_overlap(boxes + 4 * i, boxes + 4 * k);
            sum += overlap;
            has_double |= overlap > FB_PROPOSALS_OVERLAP;
        }
        doubled += has_double;
    }
    double pairs = (double)r->count * (r->count - 1);
    r->overlap = r->count > 1 ? sum / pairs : NAN;
    r->duplicates = doubled;
    r->area = area / r->count;
}

/* Marks the box's pixels in seen; pixels and those of the product are added up. */
static void look_at(const surveyor *by, const fb_image *image, const float *box,
                    int64_t *pixels, int64_t *product)
{
    int32_t x1 = (int32_t)floorf(box[0] * (float)image->width + 0.5f);
    int32_t x2 = (int32_t)floorf(box[2] * (float)image->width + 0.5f);
    int32_t y1 = (int32_t)floorf(box[1] * (float)image->height + 0.5f);
    int32_t y2 = (int32_t)floorf(box[3] * (float)image->height + 0.5f);
    for (int32_t y = y1; y < y2; y++)
        for (int32_t x = x1; x < x2; x++) {
            size_t at = (size_t)y * (size_t)image->width + (size_t)x;
            by->seen[at] = 1;
            ++*pixels;
            *product += by->mask[at];
        }
}

static double patches_with_product(const surveyor *by, const fb_image *image)
{
    uint8_t has[GRID * GRID] = {0};
    int32_t count = 0;
    for (int32_t y = 0; y < image->height; y++)
        for (int32_t x = 0; x < image->width; x++)
            if (by->mask[(size_t)y * (size_t)image->width + (size_t)x])
                has[y * GRID / image->height * GRID + x * GRID / image->width] = 1;
    for (int32_t i = 0; i < GRID * GRID; i++)
        count += has[i];
    return (double)count / (GRID * GRID);
}

static void measure_product(image_regions *r, surveyor *by, const fb_image *small,
                            const float *boxes)
{
    int64_t product, pixels = 0, within = 0, covered = 0;
    int64_t all = (int64_t)small->width * small->height;
    fb_product_mask_take(by->mask, &product, &r->plain, small);
    r->plain = r->plain && product > 0;
    if (!r->plain)
        return;
    memset(by->seen, 0, (size_t)all);
    for (int32_t i = 0; i < r->count; i++)
        if (area_of(boxes + 4 * i) < WHOLE)
            look_at(by, small, boxes + 4 * i, &pixels, &within);
    for (int64_t i = 0; i < all; i++)
        covered += by->seen[i] && by->mask[i];
    r->covered = (double)covered / (double)product;
    r->product = pixels > 0 ? (double)within / (double)pixels : NAN;
    r->patches_with_product = patches_with_product(by, small);
    r->product_of_image = (double)product / (double)all;
}

static void count_body(const survey *s, image_regions *r)
{
    int32_t at = fb_region_file_find(
        s->file, fb_catalogue_get(s->catalogue, r->item)->file_name);
    fb_region_image found = fb_region_file_get(s->file, at);
    for (int32_t i = 0; i < r->count; i++)
        r->body += s->is_body[found.classes[i]];
}

/* On the image with its longer side at most MASK_SIDE. */
static fb_status measure_shown(image_regions *r, surveyor *by, const fb_image *image,
                               const float *boxes)
{
    fb_image small = *image;
    if (image->width > MASK_SIDE || image->height > MASK_SIDE) {
        fb_fit_place at =
            fb_image_fit_place(image->width, image->height, MASK_SIDE, FB_FIT_PAD);
        small = (fb_image){at.width, at.height, by->pixels};
        FB_TRY(fb_image_resize(&by->ctx, by->resizer, by->pixels,
                               (size_t)small.width * 3, small.width, small.height,
                               image, FB_FILTER_BILINEAR));
    }
    measure_product(r, by, &small, boxes);
    return FB_OK;
}

/* Regions of a file are counted without the image, too. */
static fb_status survey_image(const survey *s, surveyor *by, image_regions *r)
{
    char path[4096];
    const float *boxes;
    fb_image image = {0};
    fb_status status = fb_catalogue_image_path(&by->ctx, s->catalogue, r->item, path);
    if (status == FB_OK)
        status = fb_image_open(&by->ctx, path, &image);
    r->read = status == FB_OK;
    if (!r->read && (!s->file || status == FB_E_MEMORY))
        return status;
    status = boxes_of(&by->ctx, s, by, r->item, &image, &boxes, &r->count);
    if (status == FB_OK && r->count > 0 && s->is_body)
        count_body(s, r);
    if (status == FB_OK && r->count > 0 && boxes)
        measure_overlap(r, boxes);
    if (status == FB_OK && r->count > 0 && boxes && r->read)
        status = measure_shown(r, by, &image, boxes);
    fb_image_free(&image);
    return status;
}

/* ---- the sample --------------------------------------------------------------------
 */

static bool surveyor_open(surveyor *by, const survey *s)
{
    *by = (surveyor){.resizer = fb_resizer_create(),
                     .boxes = malloc(FB_PROPOSALS_MOST * 4 * sizeof *by->boxes),
                     .mask = malloc(MASK_SIDE * MASK_SIDE),
                     .seen = malloc(MASK_SIDE * MASK_SIDE),
                     .pixels = malloc(MASK_SIDE * MASK_SIDE * 3)};
    return by->resizer && by->boxes && by->mask && by->seen && by->pixels &&
           (s->file ||
            fb_proposer_create(NULL, &by->proposer, s->options->proposals) == FB_OK);
}

static void surveyor_close(surveyor *by)
{
    fb_resizer_free(by->resizer);
    fb_proposer_free(by->proposer);
    free(by->boxes);
    free(by->mask);
    free(by->seen);
    free(by->pixels);
}

static void survey_share(const survey *s, fb_progress *progress, int32_t *done)
{
    surveyor by;
    bool works = surveyor_open(&by, s);
#pragma omp for schedule(dynamic, 4)
    for (int32_t i = 0; i < s->count; i++) {
        image_regions *r = &s->image[i];
        r->no_memory = !works || survey_image(s, &by, r) == FB_E_MEMORY;
        int32_t so_far;
#pragma omp atomic capture
        so_far = ++*done;
        if (omp_get_thread_num() == 0)
            fb_progress_update(progress, so_far, 1, "");
    }
    surveyor_close(&by);
}

static fb_status survey_all(survey *s)
{
    fb_progress progress;
    int32_t done = 0;
    int threads = fb_cores_or(s->options->threads);
    fb_progress_begin(&progress, "regions", "images", 0, s->count, s->options->quiet);
#pragma omp parallel num_threads(threads)
    survey_share(s, &progress, &done);
    fb_progress_end(&progress);
    for (int32_t i = 0; i < s->count; i++)
        if (s->image[i].no_memory)
            return fb_fail(s->ctx, FB_E_MEMORY, "no memory for regions");
    return FB_OK;
}

/* Items evenly spread over the catalogue. */
static fb_status draw_sample(survey *s)
{
    int32_t items = fb_catalogue_count(s->catalogue);
    s->count = s->options->region_images;
    if (s->count == 0 || s->count > items)
        s->count = items;
    s->image = calloc((size_t)s->count + 1, sizeof *s->image);
    if (!s->image)
        return fb_fail(s->ctx, FB_E_MEMORY, "no memory for regions");
    for (int32_t i = 0; i < s->count; i++) {
        image_regions *r = &s->image[i];
        r->item = (int32_t)((int64_t)i * items / s->count);
        r->overlap = r->duplicates = r->area = NAN;
        r->covered = r->product = r->patches_with_product = r->product_of_image = NAN;
    }
    return FB_OK;
}

/* ---- numbers -----------------------------------------------------------------------
 */

/* The mean of a member over the images where it is a number; NaN: over none. */
static double mean_of(const survey *s, size_t offset)
{
    double sum = 0;
    int64_t count = 0;
    for (int32_t i = 0; i < s->count; i++) {
        double value;
        memcpy(&value, (const char *)&s->image[i] + offset, sizeof value);
        if (isfinite(value)) {
            sum += value;
            count++;
        }
    }
    return count ? sum / (double)count : NAN;
}
#define MEAN_OF(s, member) mean_of(s, offsetof(image_regions, member))

static fb_status sum_up(const survey *s, fb_inspect_regions *out)
{
    double *counts = malloc(((size_t)s->count + 1) * sizeof *counts);
    double doubled = 0, squares = 0, body = 0;
    bool boxes = !s->file || fb_region_file_has_boxes(s->file);
    if (!counts)
        return fb_fail(s->ctx, FB_E_MEMORY, "no memory for regions");
    for (int32_t i = 0; i < s->count; i++) {
        const image_regions *r = &s->image[i];
        out->unread += !r->read;
        out->without += s->file && r->count == 0;
        if (r->count > 0) {
            counts[out->images++] = r->count;
            out->regions += r->count;
            out->whole += r->whole;
            out->plain += r->plain;
            doubled += boxes ? r->duplicates : 0;
            body += r->body;
        }
    }
    out->per_image = fb_spread_of(counts, out->images);
    for (int64_t i = 0; i < out->images; i++)
        squares +=
            (counts[i] - out->per_image.mean) * (counts[i] - out->per_image.mean);
    free(counts);
    out->per_image_sd =
        out->images > 1 ? sqrt(squares / (double)(out->images - 1)) : NAN;
    out->overlap = MEAN_OF(s, overlap);
    out->near_duplicates =
        boxes && out->regions > 0 ? doubled / (double)out->regions : NAN;
    out->body = s->is_body && out->regions > 0 ? body / (double)out->regions : NAN;
    out->area = MEAN_OF(s, area);
    out->covered = MEAN_OF(s, covered);
    out->product = MEAN_OF(s, product);
    out->patches = GRID * GRID;
    out->patches_with_product = MEAN_OF(s, patches_with_product);
    out->product_of_image = MEAN_OF(s, product_of_image);
    return FB_OK;
}

/* ---- the sheet ---------------------------------------------------------------------
 */

typedef struct shown {
    char path[4096];
    float boxes[FB_PROPOSALS_MOST * 4];
} shown;

static fb_status show_image(const survey *s, surveyor *by, const image_regions *r,
                            shown *to, fb_region_photo *photo)
{
    fb_image image = {0};
    const float *boxes;
    int32_t count;
    FB_TRY(fb_catalogue_image_path(s->ctx, s->catalogue, r->item, to->path));
    FB_TRY(fb_image_open(s->ctx, to->path, &image));
    fb_status status = boxes_of(s->ctx, s, by, r->item, &image, &boxes, &count);
    fb_image_free(&image);
    FB_TRY(status);
    count = boxes ? count : 0;
    count = count > FB_PROPOSALS_MOST ? FB_PROPOSALS_MOST : count;
    if (count > 0)
        memcpy(to->boxes, boxes, (size_t)count * 4 * sizeof *boxes);
    *photo = (fb_region_photo){to->path, fb_catalogue_get(s->catalogue, r->item)->title,
                               to->boxes, count};
    return FB_OK;
}

static fb_status encode_sheet(const survey *s, const fb_image *sheet,
                              fb_inspect_regions *out)
{
    char *bytes;
    FILE *stream = fb_memory_open(&bytes, &out->sheet_bytes);
    if (!stream)
        return fb_fail(s->ctx, FB_E_MEMORY, "no memory for a sheet of regions");
    fb_status status = fb_image_encode_png(s->ctx, stream, "a sheet of regions", sheet);
    if (!fb_memory_close(stream, &bytes) && status == FB_OK)
        status = fb_fail(s->ctx, FB_E_MEMORY, "no memory for a sheet of regions");
    out->sheet = (uint8_t *)bytes;
    return status;
}

/* SHEET_PHOTOS of the images that were read, evenly spread. */
static fb_status draw_sheet(const survey *s, surveyor *by, shown *room,
                            fb_inspect_regions *out)
{
    fb_region_photo photos[SHEET_PHOTOS];
    fb_image sheet;
    int64_t readable = s->count - out->unread, seen = 0;
    int64_t most = readable < SHEET_PHOTOS ? readable : SHEET_PHOTOS;
    int32_t count = 0;
    for (int32_t i = 0; i < s->count && count < most; i++) {
        if (!s->image[i].read || seen++ * most < count * readable)
            continue;
        FB_TRY(show_image(s, by, &s->image[i], &room[count], &photos[count]));
        count++;
    }
    if (count == 0)
        return FB_OK;
    FB_TRY(fb_region_sheet_draw(s->ctx, &sheet, photos, count, GRID));
    fb_status status = encode_sheet(s, &sheet, out);
    fb_image_free(&sheet);
    return status;
}

static fb_status make_sheet(const survey *s, fb_inspect_regions *out)
{
    surveyor by;
    shown *room = malloc(SHEET_PHOTOS * sizeof *room);
    fb_status status = FB_OK;
    if (!surveyor_open(&by, s) || !room)
        status = fb_fail(s->ctx, FB_E_MEMORY, "no memory for a sheet of regions");
    if (status == FB_OK)
        status = draw_sheet(s, &by, room, out);
    surveyor_close(&by);
    free(room);
    return status;
}

static fb_status write_sheet(fb_context *ctx, const char *path,
                             const fb_inspect_regions *r)
{
    fb_replace file;
    if (!r->sheet)
        return fb_fail(ctx, FB_E_FORMAT, "%s: no image could be read for it", path);
    FB_TRY(fb_replace_open(ctx, path, &file));
    if (fwrite(r->sheet, 1, r->sheet_bytes, file.stream) != r->sheet_bytes) {
        fb_replace_abandon(&file);
        return fb_fail(ctx, FB_E_IO, "%s: cannot be written", path);
    }
    return fb_replace_commit(ctx, &file);
}

/* ---- classes -----------------------------------------------------------------------
 */

/* Whether one of the words of a class's name is of what the article sees regions lie on
 * that is no product. */
static bool names_body(char *name)
{
    static const char *const words[] = {"head",  "heads", "hair",  "hairs",  "hand",
                                        "hands", "face",  "faces", "finger", "fingers"};
    char *rest = NULL;
    for (char *word = strtok_r(name, " ,;\t\r", &rest); word;
         word = strtok_r(NULL, " ,;\t\r", &rest))
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (strcmp(word, words[i]) == 0)
                return true;
    return false;
}

/* *is_body [classes of the file] of --class-names, a name a line; NULL: none given. */
static fb_status read_classes(fb_context *ctx, const fb_inspect_options *options,
                              const fb_region_file *file, bool **is_body)
{
    int32_t classes = fb_region_file_classes(file), named = 0;
    const char *path = options->class_names;
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (!path[0])
        return FB_OK;
    if (classes == 0)
        return fb_fail(ctx, FB_E_USAGE, "%s has no classes for --class-names to name",
                       options->regions_file);
    FB_TRY(fb_file_read(ctx, path, (size_t)1 << 28, &bytes, &size));
    bool *found = calloc((size_t)classes, sizeof *found);
    char *rest = NULL, *line = strtok_r((char *)bytes, "\n", &rest);
    for (; found && line && named < classes; line = strtok_r(NULL, "\n", &rest))
        found[named++] = names_body(line);
    free(bytes);
    *is_body = found;
    if (!found)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %d classes", (int)classes);
    if (named == classes)
        return FB_OK;
    return fb_fail(ctx, FB_E_FORMAT, "%s: names %d classes; %s has numbers up to %d",
                   path, (int)named, options->regions_file, (int)classes - 1);
}

/* ---- the part of the verb ----------------------------------------------------------
 */

fb_status fb_inspect_regions_check(fb_context *ctx, const fb_inspect_options *options)
{
    fb_region_file *file = NULL;
    bool *is_body = NULL;
    if (!options->regions_file[0] && options->class_names[0])
        return fb_fail(ctx, FB_E_USAGE,
                       "--class-names are of a region file; proposals have no classes");
    if (!options->regions_file[0])
        return FB_OK;
    FB_TRY(fb_region_file_open(ctx, &file, options->regions_file));
    fb_status status = read_classes(ctx, options, file, &is_body);
    free(is_body);
    fb_region_file_close(file);
    return status;
}

fb_status fb_inspect_regions_of(fb_context *ctx, const fb_catalogue *catalogue,
                                const fb_inspect_options *options, fb_inspection *in)
{
    survey s = {.ctx = ctx, .catalogue = catalogue, .options = options, .in = in};
    fb_status status = FB_OK;
    in->regions = calloc(1, sizeof *in->regions);
    if (!in->regions)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for regions");
    if (options->regions_file[0])
        status = fb_region_file_open(ctx, &s.file, options->regions_file);
    if (status == FB_OK && s.file)
        status = read_classes(ctx, options, s.file, &s.is_body);
    if (status == FB_OK)
        status = draw_sample(&s);
    if (status == FB_OK)
        status = survey_all(&s);
    if (status == FB_OK)
        status = sum_up(&s, in->regions);
    if (status == FB_OK && (options->sheet[0] || options->html[0]))
        status = make_sheet(&s, in->regions);
    if (status == FB_OK && options->sheet[0])
        status = write_sheet(ctx, options->sheet, in->regions);
    fb_text_copy(in->regions->from, sizeof in->regions->from,
                 options->regions_file[0] ? options->regions_file : options->proposals);
    fb_region_file_close(s.file);
    free(s.image);
    free(s.is_body);
    return status;
}

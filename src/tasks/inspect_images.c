/* inspect_images.c - every image file of a catalogue, read and decoded once on all
 * threads: sizes and kinds, those that cannot be read, duplicates and near-duplicates.
 *
 * What repeats is found on one image for each different file: a class is the files of
 * one look (near_pairs.h), near pairs stand between classes, and for a class all that
 * matters is an item of its earliest split.
 */
#include "tasks/inspect.h"

#include "base/cores.h"
#include "base/equal_keys.h"
#include "base/file.h"
#include "base/intern.h"
#include "base/progress.h"
#include "data/image/image_load.h"
#include "data/image/near_pairs.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct image_facts {
    uint64_t bytes; /* hash; 0: the image could not be read */
    int64_t size_bytes;
    int32_t width, height;
    fb_image_format format;
} image_facts;

typedef struct census {
    fb_context *ctx;
    const fb_catalogue *catalogue;
    const fb_inspect_options *options;
    fb_inspection *in;
    int32_t count;
    image_facts *facts; /* [count] */
    fb_look *looks;     /* [count] */
    int32_t *file;      /* [count] the first item with the same bytes */
    int32_t *first;     /* [count] place among different files -> item */
    int32_t
        *class; /* [count] of an item that is first of its file: first of its look */
    int32_t *lowest;    /* [count] of a class: an item of its earliest split */
    int32_t *beside;    /* [count] of a class: the same over the classes near it; -1 */
    bool *near;         /* [count] of an item that is first of its file */
    bool classes_known; /* lowest is filled */
    bool no_memory;
} census;

static const fb_catalogue_item *item_of(const census *c, int32_t item)
{
    return fb_catalogue_get(c->catalogue, item);
}

/* ---- reading ------------------------------------------------------------------------
 */

static fb_status read_image(fb_context *ctx, const census *c, fb_resizer *resizer,
                            int32_t item, image_facts *facts, fb_look *look)
{
    char path[4096];
    uint8_t *bytes = NULL;
    size_t size = 0;
    fb_image_info info;
    fb_image image = {0};
    FB_TRY(fb_catalogue_image_path(ctx, c->catalogue, item, path));
    FB_TRY(fb_file_read(ctx, path, FB_IMAGE_BYTES_MAX, &bytes, &size));
    fb_status status = fb_image_probe(ctx, path, bytes, size, &info);
    if (status == FB_OK)
        status = fb_image_decode(ctx, path, bytes, size, &image);
    if (status == FB_OK)
        status = fb_look_take(ctx, resizer, &image, look);
    if (status == FB_OK) {
        uint64_t hash = fb_hash_bytes(0, bytes, size);
        facts->bytes = hash + (hash == 0);
        facts->size_bytes = (int64_t)size;
        facts->width = image.width;
        facts->height = image.height;
        facts->format = info.format;
    }
    fb_image_free(&image);
    free(bytes);
    return status;
}

/* An image that cannot be read leaves zeros; memory that runs out stops it all. */
static void read_share(census *c, fb_progress *progress, int32_t *done)
{
    fb_context *ctx = fb_context_create();
    fb_resizer *resizer = fb_resizer_create();
    bool works = ctx && resizer;
#pragma omp for schedule(dynamic, 32)
    for (int32_t i = 0; i < c->count; i++) {
        if (!works ||
            read_image(ctx, c, resizer, i, &c->facts[i], &c->looks[i]) == FB_E_MEMORY) {
#pragma omp atomic write
            c->no_memory = true;
        }
        int32_t so_far;
#pragma omp atomic capture
        so_far = ++*done;
        if (omp_get_thread_num() == 0)
            fb_progress_update(progress, so_far, 1, "");
    }
    fb_resizer_free(resizer);
    fb_context_free(ctx);
}

static int threads_of(const fb_inspect_options *options)
{
    return fb_cores_or(options->threads);
}

static fb_status read_all(census *c)
{
    fb_progress progress;
    int32_t done = 0;
    fb_progress_begin(&progress, "reading images", "images", 0, c->count,
                      c->options->quiet);
#pragma omp parallel num_threads(threads_of(c->options))
    read_share(c, &progress, &done);
    fb_progress_end(&progress);
    return c->no_memory ? fb_fail(c->ctx, FB_E_MEMORY, "no memory for the images")
                        : FB_OK;
}

/* Read the first that failed again, for their sentences. */
static fb_status name_broken(census *c)
{
    fb_context *ctx = fb_context_create();
    fb_resizer *resizer = fb_resizer_create();
    int32_t named = 0;
    for (int32_t i = 0; ctx && resizer && i < c->count; i++) {
        if (c->facts[i].bytes != 0)
            continue;
        if (named == FB_INSPECT_BROKEN)
            break;
        fb_inspect_broken *broken = &c->in->broken[named++];
        image_facts ignored = {0};
        fb_look look;
        fb_context_clear(ctx);
        (void)read_image(ctx, c, resizer, i, &ignored, &look);
        broken->line = item_of(c, i)->line;
        fb_text_copy(broken->message, sizeof broken->message, fb_context_message(ctx));
    }
    bool works = ctx && resizer;
    fb_resizer_free(resizer);
    fb_context_free(ctx);
    return works ? FB_OK : fb_fail(c->ctx, FB_E_MEMORY, "out of memory");
}

/* ---- sizes and kinds ----------------------------------------------------------------
 */

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The most common sizes by insertion into the short list. */
static void add_size(fb_inspection *in, uint64_t size, int64_t items)
{
    fb_inspect_size s = {(int32_t)(size >> 32), (int32_t)(size & 0xffffffff), items};
    int32_t at = in->size_count;
    while (at > 0 && in->sizes[at - 1].items < items)
        at--;
    if (at == FB_INSPECT_SIZES)
        return;
    if (in->size_count < FB_INSPECT_SIZES)
        in->size_count++;
    for (int32_t i = in->size_count - 1; i > at; i--)
        in->sizes[i] = in->sizes[i - 1];
    in->sizes[at] = s;
}

static fb_status measure_sizes(census *c)
{
    size_t n = (size_t)c->count + 1;
    double *values = malloc(n * sizeof *values);
    uint64_t *sizes = malloc(n * sizeof *sizes);
    fb_status status = FB_OK;
    int64_t read = 0;
    if (!values || !sizes)
        status = fb_fail(c->ctx, FB_E_MEMORY, "no memory for the images' sizes");
    for (int32_t i = 0; i < c->count && status == FB_OK; i++) {
        const image_facts *f = &c->facts[i];
        if (f->bytes == 0)
            continue;
        c->in->image_bytes += f->size_bytes;
        c->in->jpeg += f->format == FB_IMAGE_JPEG;
        c->in->png += f->format == FB_IMAGE_PNG;
        c->in->webp += f->format == FB_IMAGE_WEBP;
        sizes[read++] = (uint64_t)f->width << 32 | (uint64_t)f->height;
    }
    if (status == FB_OK) {
        qsort(sizes, (size_t)read, sizeof *sizes, by_number);
        for (int64_t i = 0, start = 0; i < read; i++)
            if (i + 1 == read || sizes[i + 1] != sizes[i]) {
                add_size(c->in, sizes[i], i + 1 - start);
                c->in->distinct_sizes++;
                start = i + 1;
            }
        for (int64_t i = 0; i < read; i++)
            values[i] = (double)(sizes[i] >> 32);
        c->in->width = fb_spread_of(values, read);
        for (int64_t i = 0; i < read; i++)
            values[i] = (double)(sizes[i] & 0xffffffff);
        c->in->height = fb_spread_of(values, read);
    }
    c->in->images_read = read;
    c->in->images_broken = c->count - read;
    free(sizes);
    free(values);
    return status;
}

/* ---- what repeats -------------------------------------------------------------------
 */

static fb_status group_files(census *c)
{
    fb_keyed_item *keys = malloc(((size_t)c->count + 1) * sizeof *keys);
    if (!keys)
        return fb_fail(c->ctx, FB_E_MEMORY, "no memory to compare images");
    int32_t known = 0;
    for (int32_t i = 0; i < c->count; i++) {
        c->file[i] = i;
        if (c->facts[i].bytes != 0)
            keys[known++] = (fb_keyed_item){c->facts[i].bytes, i};
    }
    fb_equal_keys_group(keys, known, c->file);
    free(keys);
    return FB_OK;
}

/* Whichever of two items (-1: none) is of the earlier split; of one split the first. */
static int32_t earlier_of(const census *c, int32_t a, int32_t b)
{
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    fb_split x = item_of(c, a)->split, y = item_of(c, b)->split;
    if (x != y)
        return x < y ? a : b;
    return a < b ? a : b;
}

static int32_t class_of(const census *c, int32_t item)
{
    return c->class[c->file[item]];
}

static void know_classes(census *c)
{
    for (int32_t i = 0; i < c->count && !c->classes_known; i++) {
        int32_t class = class_of(c, i);
        c->lowest[class] = earlier_of(c, c->lowest[class], i);
    }
    c->classes_known = true;
}

/* Equal looks come first and make the classes, near ones then look across them. */
static void visit(void *self, int32_t x, int32_t y)
{
    census *c = self;
    int32_t a = c->first[x], b = c->first[y];
    c->near[a] = c->near[b] = true;
    if (memcmp(&c->looks[a], &c->looks[b], sizeof *c->looks) == 0) {
        c->class[b] = a;
        return;
    }
    know_classes(c);
    c->beside[a] = earlier_of(c, c->beside[a], c->lowest[b]);
    c->beside[b] = earlier_of(c, c->beside[b], c->lowest[a]);
}

static fb_status find_near(census *c)
{
    int32_t files = 0;
    fb_look *looks = malloc(((size_t)c->count + 1) * sizeof *looks);
    if (!looks)
        return fb_fail(c->ctx, FB_E_MEMORY, "no memory to compare images");
    for (int32_t i = 0; i < c->count; i++) {
        c->class[i] = i;
        c->lowest[i] = c->beside[i] = -1;
        if (c->file[i] != i || c->facts[i].bytes == 0)
            continue;
        c->in->flat_images += fb_look_is_flat(&c->looks[i]);
        looks[files] = c->looks[i];
        c->first[files++] = i;
    }
    fb_status status = fb_near_pairs_find(c->ctx, looks, files, visit, c);
    free(looks);
    know_classes(c);
    return status;
}

static void add_pair(census *c, int32_t item, int32_t earlier)
{
    if (c->in->pair_count == FB_INSPECT_PAIRS)
        return;
    fb_inspect_pair *p = &c->in->pairs[c->in->pair_count++];
    const fb_catalogue_item *a = item_of(c, item), *b = item_of(c, earlier);
    p->line = a->line;
    p->earlier_line = b->line;
    fb_text_copy(p->split, sizeof p->split, fb_split_name(a->split));
    fb_text_copy(p->earlier_split, sizeof p->earlier_split, fb_split_name(b->split));
    fb_text_copy(p->file_name, sizeof p->file_name, a->file_name);
    fb_text_copy(p->earlier_file_name, sizeof p->earlier_file_name, b->file_name);
    fb_text_copy(p->title, sizeof p->title, a->title);
    fb_text_copy(p->earlier_title, sizeof p->earlier_title, b->title);
    p->same_bytes = c->facts[item].bytes == c->facts[earlier].bytes;
}

/* same [count] of a file's first item: an item of its earliest split. */
static void count_repeats(census *c, const int32_t *same)
{
    for (int32_t i = 0; i < c->count; i++) {
        if (c->facts[i].bytes == 0)
            continue;
        int32_t file = c->file[i], class = class_of(c, i);
        int32_t earliest = earlier_of(c, c->lowest[class], c->beside[class]);
        fb_split split = item_of(c, i)->split;
        bool exact = item_of(c, same[file])->split < split;
        c->in->duplicates += file != i;
        c->in->near_duplicates += file == i && c->near[i];
        c->in->duplicates_across_splits += exact;
        if (item_of(c, earliest)->split < split) {
            c->in->near_duplicates_across_splits++;
            add_pair(c, i, exact ? same[file] : earliest);
        }
    }
}

static fb_status find_repeats(census *c)
{
    FB_TRY(group_files(c));
    FB_TRY(find_near(c));
    int32_t *same = malloc(((size_t)c->count + 1) * sizeof *same);
    if (!same)
        return fb_fail(c->ctx, FB_E_MEMORY, "no memory to compare images");
    for (int32_t i = 0; i < c->count; i++)
        same[i] = -1;
    for (int32_t i = 0; i < c->count; i++)
        same[c->file[i]] = earlier_of(c, same[c->file[i]], i);
    count_repeats(c, same);
    free(same);
    return FB_OK;
}

static fb_status allocate(census *c)
{
    size_t n = (size_t)c->count + 1;
    c->facts = calloc(n, sizeof *c->facts);
    c->looks = calloc(n, sizeof *c->looks);
    c->file = malloc(n * sizeof *c->file);
    c->first = malloc(n * sizeof *c->first);
    c->class = malloc(n * sizeof *c->class);
    c->lowest = malloc(n * sizeof *c->lowest);
    c->beside = malloc(n * sizeof *c->beside);
    c->near = calloc(n, sizeof *c->near);
    if (c->facts && c->looks && c->file && c->first && c->class && c->lowest &&
        c->beside && c->near)
        return FB_OK;
    return fb_fail(c->ctx, FB_E_MEMORY, "no memory for %d images", c->count);
}

fb_status fb_inspect_images(fb_context *ctx, const fb_catalogue *catalogue,
                            const fb_inspect_options *options, fb_inspection *in)
{
    census c = {.ctx = ctx,
                .catalogue = catalogue,
                .options = options,
                .in = in,
                .count = fb_catalogue_count(catalogue)};
    fb_status status = allocate(&c);
    if (status == FB_OK)
        status = read_all(&c);
    if (status == FB_OK)
        status = name_broken(&c);
    if (status == FB_OK)
        status = measure_sizes(&c);
    if (status == FB_OK)
        status = find_repeats(&c);
    free(c.facts);
    free(c.looks);
    free(c.file);
    free(c.first);
    free(c.class);
    free(c.lowest);
    free(c.beside);
    free(c.near);
    return status;
}

/* import_proposals.c - a region file without a detector: boxes by selective search
 * (proposals.h), features by a model's own image network (region_features.h).
 *
 * Images are taken in the catalogue's order, a block at a time: read, searched and drawn
 * on all threads, then through the network, then written. An image that several items
 * share is taken once.
 */
#include "fashionbert.h"

#include "base/clock.h"
#include "base/cores.h"
#include "base/file.h"
#include "base/option.h"
#include "base/progress.h"
#include "data/image/image_load.h"
#include "data/regions/proposals.h"
#include "data/regions/region_names.h"
#include "data/regions/region_writer.h"
#include "engine/model_folder.h"
#include "engine/region_features.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 32 };

/* An image of the block. */
typedef struct proposed {
    int32_t item;
    fb_boxed_image boxed;  /* boxes: its part of proposals.boxes */
    struct fb_context ctx; /* why it is bad, or FB_OK */
} proposed;

typedef struct proposals {
    const fb_import_proposals_options *options;
    fb_import_regions_report report;
    fb_model *model;
    fb_region_network network;
    fb_catalogue *catalogue;
    fb_region_names *names;
    fb_region_writer *writer;
    int32_t threads;
    fb_proposer **proposer; /* [threads] */
    fb_resizer **resizer;   /* [threads] */
    proposed block[BLOCK];
    float *boxes;     /* [BLOCK, most, 4] */
    uint8_t *squares; /* [BLOCK, fb_region_squares(most), size, size, 3] */
    float *features;  /* [BLOCK, most, F] */
    float *pixels;    /* [most, 4] boxes of one image in its pixels */
    char first_bad[800];
    fb_progress progress;
} proposals;

#define FB_OPTION_AT(member) offsetof(fb_import_proposals_options, member)
static const fb_option option_rows[] = {FB_PROPOSAL_OPTIONS(FB_OPTION_ROW)
                                            FB_NETWORK_OPTIONS(FB_OPTION_ROW)};
#undef FB_OPTION_AT
static const fb_option_table option_table = FB_OPTION_TABLE(option_rows);

void fb_import_proposals_options_defaults(fb_import_proposals_options *options)
{
    *options = (fb_import_proposals_options){0};
    fb_options_defaults(&option_table, options);
    options->catalog = "";
    options->out = "";
}

/* ---- bad images --------------------------------------------------------------------
 */

static void tell(proposals *p, const char *sentence)
{
    if (p->report.skipped++ == 0)
        snprintf(p->first_bad, sizeof p->first_bad, "%s", sentence);
    if (p->report.skipped <= FB_IMPORT_NAMED && p->options->notice)
        p->options->notice(p->options->notice_self, sentence);
}

static fb_status judge(fb_context *ctx, const proposals *p)
{
    if (p->report.skipped == 0 || p->options->skip_bad)
        return FB_OK;
    return fb_fail(ctx, FB_E_FORMAT,
                   "%s (%lld bad in all); nothing was written, --skip-bad leaves them "
                   "out",
                   p->first_bad, (long long)p->report.skipped);
}

/* ---- a block -----------------------------------------------------------------------
 */

static size_t square_numbers(const proposals *p)
{
    return (size_t)p->network.image_size * (size_t)p->network.image_size * 3;
}

static size_t most_squares(const proposals *p)
{
    return (size_t)fb_region_squares(&p->network, p->options->regions_most);
}

static fb_status propose(proposals *p, int32_t place, int32_t thread)
{
    proposed *at = &p->block[place];
    fb_image image = {0};
    char path[4096];
    float *boxes = p->boxes + (size_t)place * (size_t)p->options->regions_most * 4;
    uint8_t *squares = p->squares + (size_t)place * most_squares(p) * square_numbers(p);
    at->boxed = (fb_boxed_image){.boxes = boxes};
    FB_TRY(fb_catalogue_image_path(&at->ctx, p->catalogue, at->item, path));
    FB_TRY(fb_image_open(&at->ctx, path, &image));
    at->boxed.width = image.width;
    at->boxed.height = image.height;
    fb_status status =
        fb_proposer_run(&at->ctx, p->proposer[thread], boxes, &at->boxed.count, &image,
                        p->options->regions_most);
    if (status == FB_OK)
        status = fb_region_squares_draw(&at->ctx, &p->network, p->resizer[thread],
                                        squares, &image, boxes, at->boxed.count);
    fb_image_free(&image);
    return status;
}

/* Bad images leave the block; squares move up to lie end to end. */
static fb_status sift(fb_context *ctx, proposals *p, int32_t *count)
{
    int32_t kept = 0;
    uint8_t *to = p->squares;
    for (int32_t i = 0; i < *count; i++) {
        proposed *at = &p->block[i];
        if (at->ctx.status == FB_E_MEMORY || at->ctx.status == FB_E_IO)
            return fb_fail(ctx, at->ctx.status, "%s", at->ctx.message);
        if (at->ctx.status != FB_OK) {
            tell(p, at->ctx.message);
            continue;
        }
        size_t bytes =
            (size_t)fb_region_squares(&p->network, at->boxed.count) * square_numbers(p);
        memmove(to, p->squares + (size_t)i * most_squares(p) * square_numbers(p),
                bytes);
        to += bytes;
        p->block[kept++] = *at;
    }
    *count = kept;
    return FB_OK;
}

static fb_status write_image(fb_context *ctx, proposals *p, const proposed *at,
                             const float *features)
{
    const fb_boxed_image *b = &at->boxed;
    for (int32_t i = 0; i < 4 * b->count; i++)
        p->pixels[i] = b->boxes[i] * (float)(i % 2 == 0 ? b->width : b->height);
    const fb_region_record record = {.regions = b->count,
                                     .feature_width = p->network.width,
                                     .width = b->width,
                                     .height = b->height,
                                     .boxes = p->pixels,
                                     .features = features};
    return fb_region_writer_add(
        ctx, p->writer, fb_catalogue_get(p->catalogue, at->item)->file_name, &record);
}

static fb_status run_block(fb_context *ctx, proposals *p, int32_t count)
{
    fb_boxed_image boxed[BLOCK];
#pragma omp parallel for schedule(dynamic, 1) num_threads(p->threads)
    for (int32_t i = 0; i < count; i++) {
        fb_context_clear(&p->block[i].ctx);
        (void)propose(p, i, omp_get_thread_num());
    }
    FB_TRY(sift(ctx, p, &count));
    for (int32_t i = 0; i < count; i++)
        boxed[i] = p->block[i].boxed;
    if (count > 0)
        FB_TRY(fb_region_features(ctx, &p->network, p->model->scorer, p->features,
                                  p->squares, boxed, count));
    const float *features = p->features;
    for (int32_t i = 0; i < count; i++) {
        FB_TRY(write_image(ctx, p, &p->block[i], features));
        features += (size_t)boxed[i].count * (size_t)p->network.width;
    }
    return FB_OK;
}

static fb_status run_all(fb_context *ctx, proposals *p)
{
    int32_t items = fb_catalogue_count(p->catalogue), filled = 0;
    fb_progress_begin(&p->progress, "proposals", "images", 0, items, p->options->quiet);
    for (int32_t i = 0; i < items; i++) {
        if (fb_region_names_mark(p->names, i))
            p->block[filled++].item = i;
        if (filled == BLOCK || (i + 1 == items && filled > 0)) {
            FB_TRY(run_block(ctx, p, filled));
            fb_progress_update(&p->progress, i + 1, 1, "");
            filled = 0;
        }
    }
    fb_progress_end(&p->progress);
    return FB_OK;
}

/* ---- the task ----------------------------------------------------------------------
 */

static fb_status allocate(fb_context *ctx, proposals *p)
{
    size_t most = (size_t)p->options->regions_most, threads;
    p->threads = fb_cores_or(p->options->threads);
    threads = (size_t)p->threads;
    p->proposer = calloc(threads, sizeof(fb_proposer *));
    p->resizer = calloc(threads, sizeof(fb_resizer *));
    p->boxes = malloc(BLOCK * most * 4 * sizeof *p->boxes);
    p->pixels = malloc(most * 4 * sizeof *p->pixels);
    p->squares = malloc(BLOCK * most_squares(p) * square_numbers(p));
    p->features = malloc(BLOCK * most * (size_t)p->network.width * sizeof *p->features);
    bool room =
        p->proposer && p->resizer && p->boxes && p->pixels && p->squares && p->features;
    for (int32_t i = 0; room && i < p->threads; i++) {
        FB_TRY(fb_proposer_create(ctx, &p->proposer[i], p->options->proposals));
        p->resizer[i] = fb_resizer_create();
        room = p->resizer[i] != NULL;
    }
    return room ? FB_OK : fb_fail(ctx, FB_E_MEMORY, "no memory for proposals");
}

static fb_status open_all(fb_context *ctx, proposals *p)
{
    const fb_import_proposals_options *o = p->options;
    const fb_catalogue_options any = {.skip_file_check = true};
    fb_model_options compute;
    fb_model_options_defaults(&compute);
    compute.backend = o->backend;
    compute.dtype = o->dtype;
    compute.threads = o->threads;
    if (fb_path_is_folder(o->out))
        return fb_fail(ctx, FB_E_USAGE, "%s: a folder; --out names the file to make",
                       o->out);
    FB_TRY(fb_catalogue_open(ctx, &p->catalogue, o->catalog, &any));
    FB_TRY(fb_region_names_create(ctx, &p->names, p->catalogue));
    FB_TRY(fb_model_open(ctx, &p->model, o->model, &compute));
    FB_TRY(fb_region_network_of(ctx, &p->network, p->model->matcher, o->model));
    FB_TRY(allocate(ctx, p));
    return fb_region_writer_open(ctx, &p->writer, o->out);
}

/* What was written, as whoever reads it will see it. */
static fb_status look_again(fb_context *ctx, proposals *p)
{
    fb_region_file *file = NULL;
    FB_TRY(fb_region_file_open(ctx, &file, p->options->out));
    p->report.images = fb_region_file_images(file);
    p->report.regions = fb_region_file_regions(file);
    p->report.most = fb_region_file_most(file);
    p->report.width = fb_region_file_width(file);
    p->report.boxes = fb_region_file_has_boxes(file);
    fb_region_file_close(file);
    return FB_OK;
}

static void close_all(proposals *p)
{
    fb_region_writer_close(p->writer);
    fb_region_names_free(p->names);
    fb_catalogue_close(p->catalogue);
    fb_model_close(p->model);
    for (int32_t i = 0; i < p->threads; i++) {
        if (p->proposer)
            fb_proposer_free(p->proposer[i]);
        if (p->resizer)
            fb_resizer_free(p->resizer[i]);
    }
    free(p->proposer);
    free(p->resizer);
    free(p->boxes);
    free(p->pixels);
    free(p->squares);
    free(p->features);
}

fb_status fb_import_proposals(fb_context *ctx,
                              const fb_import_proposals_options *options,
                              fb_import_regions_report *report)
{
    proposals p = {.options = options};
    double started_s = fb_clock_s();
    fb_context_clear(ctx);
    if (!options->catalog[0] || !options->model[0] || !options->out[0])
        return fb_fail(
            ctx, FB_E_USAGE,
            "proposals need --catalog DIR, whose images they are of, --model "
            "DIR, whose network makes their features, and --out FILE");
    FB_TRY(fb_options_check(ctx, &option_table, options));
    fb_status status = open_all(ctx, &p);
    if (status == FB_OK)
        status = run_all(ctx, &p);
    fb_progress_end(&p.progress);
    if (status == FB_OK)
        status = judge(ctx, &p);
    if (status == FB_OK)
        status = fb_region_writer_finish(ctx, p.writer);
    if (status == FB_OK)
        status = look_again(ctx, &p);
    close_all(&p);
    if (status == FB_OK) {
        p.report.seconds = fb_clock_s() - started_s;
        *report = p.report;
    }
    return status;
}

/* import_regions.c - features of regions, in others' formats, become one region file
 * (region_file.h), checked and named as the catalogue names its images.
 */
#include "fashionbert.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/option.h"
#include "base/progress.h"
#include "data/import/file_list.h"
#include "data/regions/region_names.h"
#include "data/regions/region_npy.h"
#include "data/regions/region_tsv.h"
#include "data/regions/region_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct regions {
    const fb_import_regions_options *options;
    fb_import_regions_report report;
    fb_file_list files;
    fb_catalogue *catalogue; /* NULL: names as they are */
    fb_region_names *names;
    char **ids; /* NULL: images have names, or their place is one */
    char *id_text;
    int64_t id_count;
    int64_t before; /* images of the sources before this one */
    fb_region_writer *writer;
    char first_bad[800];
    fb_progress progress;
} regions;

#define FB_OPTION_AT(member) offsetof(fb_import_regions_options, member)
static const fb_option option_rows[] = {FB_REGION_OPTIONS(FB_OPTION_ROW)};
#undef FB_OPTION_AT
static const fb_option_table option_table = FB_OPTION_TABLE(option_rows);

void fb_import_regions_options_defaults(fb_import_regions_options *options)
{
    *options = (fb_import_regions_options){0};
    fb_options_defaults(&option_table, options);
    options->out = "";
}

/* ---- bad images --------------------------------------------------------------------
 */

static void tell(regions *r, const char *where, const char *why)
{
    char sentence[800];
    snprintf(sentence, sizeof sentence, "%.390s: %.390s", where, why);
    if (r->report.skipped++ == 0)
        memcpy(r->first_bad, sentence, sizeof sentence);
    if (r->report.skipped <= FB_IMPORT_NAMED && r->options->notice)
        r->options->notice(r->options->notice_self, sentence);
}

static fb_status judge(fb_context *ctx, const regions *r)
{
    if (r->report.skipped == 0 || r->options->skip_bad)
        return FB_OK;
    return fb_fail(ctx, FB_E_FORMAT,
                   "%s (%lld bad in all); nothing was written, --skip-bad leaves them "
                   "out",
                   r->first_bad, (long long)r->report.skipped);
}

/* ---- names -------------------------------------------------------------------------
 */

/* Lines of options->ids, cut up in place. */
static fb_status read_ids(fb_context *ctx, regions *r)
{
    size_t size = 0, lines = 1;
    uint8_t *bytes = NULL;
    FB_TRY(fb_file_read(ctx, r->options->ids, (size_t)1 << 32, &bytes, &size));
    r->id_text = (char *)bytes;
    for (size_t i = 0; i < size; i++)
        lines += bytes[i] == '\n';
    r->ids = malloc(lines * sizeof *r->ids);
    if (!r->ids)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for it", r->options->ids);
    for (char *at = r->id_text; *at;) {
        size_t length = strcspn(at, "\n");
        char *next = at[length] ? at + length + 1 : at + length;
        at[length] = 0;
        if (length > 0 && at[length - 1] == '\r')
            at[length - 1] = 0;
        r->ids[r->id_count++] = at;
        at = next;
    }
    return FB_OK;
}

/* What the source calls the image; *item, where its place in the catalogue says it. */
static const char *source_name(const regions *r, const fb_region_record *record,
                               char place[24], int32_t *item)
{
    int64_t number = r->before + record->place;
    *item = FB_REGION_NAME_UNKNOWN;
    if (record->name)
        return record->name;
    if (r->ids)
        return number < r->id_count ? r->ids[number] : NULL;
    if (r->catalogue && number < fb_catalogue_count(r->catalogue))
        *item = (int32_t)number;
    snprintf(place, 24, "%lld", (long long)number);
    return place;
}

/* *name NULL: it was told, or the catalogue has no such image. */
static void find_name(regions *r, const fb_region_record *record, char place[24],
                      const char **name)
{
    int32_t item;
    *name = NULL;
    const char *own = source_name(r, record, place, &item);
    if (!own || (!record->name && !r->ids && r->catalogue && item < 0)) {
        tell(r, record->where,
             own ? "the catalogue has no more images" : "--ids has no more lines");
        return;
    }
    if (!r->names) {
        *name = own;
        return;
    }
    if (item < 0)
        item = fb_region_names_find(r->names, own);
    if (item == FB_REGION_NAME_AMBIGUOUS) {
        char why[300];
        snprintf(why, sizeof why, "\"%.200s\" may be several images of the catalogue",
                 own);
        tell(r, record->where, why);
    } else if (item < 0) {
        r->report.left_out++;
    } else {
        *name = fb_catalogue_get(r->catalogue, item)->file_name;
    }
}

/* ---- images ------------------------------------------------------------------------
 */

static fb_status add(fb_context *ctx, regions *r, const fb_region_record *record)
{
    char place[24];
    const char *name = NULL;
    struct fb_context why = {0};
    if (record->bad) {
        tell(r, record->where, record->why);
        return FB_OK;
    }
    find_name(r, record, place, &name);
    if (!name)
        return FB_OK;
    fb_status status = fb_region_writer_add(&why, r->writer, name, record);
    if (status == FB_E_IO || status == FB_E_MEMORY)
        return fb_fail(ctx, status, "%s", why.message);
    if (status != FB_OK)
        tell(r, record->where, why.message);
    else if (r->names)
        (void)fb_region_names_mark(r->names, fb_region_names_find(r->names, name));
    return FB_OK;
}

/* How many there will be is only guessed, from the share that was read. */
static void show_progress(regions *r, int64_t count, double read)
{
    int64_t done = r->before + count;
    r->progress.total = read > 0 ? (int64_t)((double)done / read) : 0;
    fb_progress_update(&r->progress, done, 1, "");
}

static fb_status read_source(fb_context *ctx, regions *r, int32_t file)
{
    const char *path = r->files.paths[file];
    fb_region_source source;
    bool is_array = fb_path_ends_in(path, ".npy") || fb_path_ends_in(path, ".npz");
    FB_TRY((is_array ? fb_region_npy_open : fb_region_tsv_open)(ctx, &source, path));
    fb_status status;
    int64_t count = 0;
    for (;;) {
        fb_region_record record;
        status = source.next(ctx, source.self, &record);
        if (status != FB_OK || record.end)
            break;
        count++;
        status = add(ctx, r, &record);
        if (status != FB_OK)
            break;
        show_progress(r, count, (file + record.progress) / r->files.count);
    }
    r->before += count;
    source.close(source.self);
    return status;
}

/* Images of the catalogue without regions. */
static void tell_missing(regions *r)
{
    if (!r->names)
        return;
    int32_t item = fb_region_names_next_missing(r->names, 0);
    for (; item >= 0; item = fb_region_names_next_missing(r->names, item + 1)) {
        r->report.missing++;
        tell(r, fb_catalogue_get(r->catalogue, item)->file_name,
             "an image of the catalogue without regions");
    }
}

static fb_status open_all(fb_context *ctx, regions *r)
{
    const fb_import_regions_options *o = r->options;
    for (int32_t i = 0; i < o->source_count; i++)
        FB_TRY(fb_file_list_add(ctx, &r->files, o->sources[i]));
    if (o->ids[0])
        FB_TRY(read_ids(ctx, r));
    if (o->catalog[0]) {
        const fb_catalogue_options any = {.skip_file_check = true};
        FB_TRY(fb_catalogue_open(ctx, &r->catalogue, o->catalog, &any));
        FB_TRY(fb_region_names_create(ctx, &r->names, r->catalogue));
    }
    if (fb_path_is_folder(o->out))
        return fb_fail(ctx, FB_E_USAGE, "%s: a folder; --out names the file to make",
                       o->out);
    return fb_region_writer_open(ctx, &r->writer, o->out);
}

/* What was written, as whoever reads it will see it. */
static fb_status look_again(fb_context *ctx, regions *r)
{
    fb_region_file *file = NULL;
    FB_TRY(fb_region_file_open(ctx, &file, r->options->out));
    r->report.images = fb_region_file_images(file);
    r->report.regions = fb_region_file_regions(file);
    r->report.most = fb_region_file_most(file);
    r->report.width = fb_region_file_width(file);
    r->report.classes = fb_region_file_classes(file);
    r->report.boxes = fb_region_file_has_boxes(file);
    fb_region_file_close(file);
    return FB_OK;
}

static fb_status import(fb_context *ctx, regions *r)
{
    FB_TRY(open_all(ctx, r));
    fb_progress_begin(&r->progress, "import", "images", 0, 0, r->options->quiet);
    for (int32_t i = 0; i < r->files.count; i++)
        FB_TRY(read_source(ctx, r, i));
    fb_progress_end(&r->progress);
    tell_missing(r);
    FB_TRY(judge(ctx, r));
    FB_TRY(fb_region_writer_finish(ctx, r->writer));
    return look_again(ctx, r);
}

fb_status fb_import_regions(fb_context *ctx, const fb_import_regions_options *options,
                            fb_import_regions_report *report)
{
    regions r = {.options = options};
    double started_s = fb_clock_s();
    fb_context_clear(ctx);
    if (options->source_count < 1 || !options->out[0])
        return fb_fail(ctx, FB_E_USAGE, "no file of features, or no file to make");
    fb_status status = import(ctx, &r);
    fb_progress_end(&r.progress);
    fb_region_writer_close(r.writer);
    fb_region_names_free(r.names);
    fb_catalogue_close(r.catalogue);
    fb_file_list_clear(&r.files);
    free(r.ids);
    free(r.id_text);
    if (status == FB_OK) {
        r.report.seconds = fb_clock_s() - started_s;
        *report = r.report;
    }
    return status;
}

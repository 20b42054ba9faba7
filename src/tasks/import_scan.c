/* import_scan.c - see import_scan.h. Of each split the regions are read first, since
 * only they say how many lines an image has. */
#include "tasks/import_scan.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "data/catalogue/catalogue.h"
#include "data/regions/region_npy.h"
#include "data/regions/region_writer.h"
#include "data/text/basic_tokenizer.h"

#include <stdlib.h>
#include <string.h>

typedef struct scan {
    const fb_import_options *options;
    fb_import_report report;
    fb_region_writer *regions;
    FILE *metadata;
    bool *good; /* [images] of the split: they have regions */
    int64_t images, capacity;
    char part[4096 + 8];
    char first_bad[800];
} scan;

static const struct {
    const char *prefix;
    fb_split split;
} splits[] = {
    {"train", FB_SPLIT_TRAIN}, {"dev", FB_SPLIT_VAL}, {"test", FB_SPLIT_TEST}};

static void tell(scan *s, fb_record_fault fault, const char *where, const char *why)
{
    char sentence[800];
    snprintf(sentence, sizeof sentence, "%.390s: %.390s", where, why);
    if (s->report.skipped++ == 0)
        memcpy(s->first_bad, sentence, sizeof sentence);
    if (s->report.skipped <= FB_IMPORT_NAMED && s->options->notice)
        s->options->notice(s->options->notice_self, sentence);
    s->report.faults[fault]++;
}

/* ---- regions -----------------------------------------------------------------------
 */

static fb_status keep(fb_context *ctx, scan *s, bool good)
{
    if (s->images == s->capacity) {
        int64_t capacity = s->capacity ? 2 * s->capacity : 4096;
        bool *more = realloc(s->good, (size_t)capacity * sizeof *more);
        if (!more)
            return fb_fail(ctx, FB_E_MEMORY, "no memory for a list of images");
        s->good = more;
        s->capacity = capacity;
    }
    s->good[s->images++] = good;
    return FB_OK;
}

static fb_status read_images(fb_context *ctx, scan *s, const char *path,
                             const char *prefix)
{
    fb_region_source source;
    FB_TRY(fb_region_npy_open(ctx, &source, path));
    fb_status status = FB_OK;
    s->images = 0;
    while (status == FB_OK) {
        fb_region_record record;
        struct fb_context why = {0};
        char name[64];
        status = source.next(ctx, source.self, &record);
        if (status != FB_OK || record.end)
            break;
        snprintf(name, sizeof name, "%s/%lld", prefix, (long long)record.place);
        fb_status added = fb_region_writer_add(&why, s->regions, name, &record);
        if (added == FB_E_IO || added == FB_E_MEMORY)
            status = fb_fail(ctx, added, "%s", why.message);
        else if (added != FB_OK)
            tell(s, FB_RECORD_BAD_IMAGE, record.where, why.message);
        if (status == FB_OK)
            status = keep(ctx, s, added == FB_OK);
    }
    source.close(source.self);
    return status;
}

/* ---- captions ----------------------------------------------------------------------
 */

static int64_t count_lines(const char *text, size_t size)
{
    int64_t lines = 0;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    return lines + (size > 0 && text[size - 1] != '\n');
}

static void write_row(scan *s, int32_t split, int64_t image, const char *title)
{
    char name[64];
    fb_json_writer w;
    snprintf(name, sizeof name, "%s/%lld", splits[split].prefix, (long long)image);
    fb_json_begin(&w, s->metadata, 0);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "file_name", name);
    fb_json_key_string(&w, "product_id", name);
    fb_json_key_string(&w, "title", title);
    fb_json_key_string(&w, "split", fb_split_name(splits[split].split));
    fb_json_close_object(&w);
    fputc('\n', s->metadata);
    s->report.items++;
    int64_t *counts[] = {[FB_SPLIT_TRAIN] = &s->report.train,
                         [FB_SPLIT_VAL] = &s->report.val,
                         [FB_SPLIT_TEST] = &s->report.test};
    ++*counts[splits[split].split];
}

static void take_line(scan *s, int32_t split, const char *path, int64_t line,
                      int64_t image, char *text, size_t size)
{
    char where[4096 + 24];
    snprintf(where, sizeof where, "%s:%lld", path, (long long)line);
    while (size > 0 && strchr(" \t\r", text[size - 1]))
        size--;
    text[size] = 0;
    text += strspn(text, " \t");
    if (!s->good[image])
        tell(s, FB_RECORD_BAD_NO_IMAGE, where, "its image was left out");
    else if (strlen(text) < 1)
        tell(s, FB_RECORD_BAD_TITLE, where, "an empty caption");
    else if (!fb_utf8_is_valid(text, strlen(text)))
        tell(s, FB_RECORD_BAD_TEXT, where, "a caption that is not UTF-8");
    else
        write_row(s, split, image, text);
}

static fb_status read_captions(fb_context *ctx, scan *s, const char *path,
                               int32_t split)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    FB_TRY(fb_file_read(ctx, path, (size_t)1 << 32, &bytes, &size));
    char *text = (char *)bytes, *end = text + size;
    int64_t lines = count_lines(text, size), line = 0;
    if (lines == 0 || s->images == 0 || lines % s->images != 0) {
        free(bytes);
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: %lld lines, %s_ims.npy has %lld images; as many are right, "
                       "or a multiple of that",
                       path, (long long)lines, splits[split].prefix,
                       (long long)s->images);
    }
    int64_t each = lines / s->images;
    for (char *at = text; at < end; line++) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        take_line(s, split, path, line + 1, line / each, at, (size_t)(stop - at));
        at = stop + 1;
    }
    free(bytes);
    return FB_OK;
}

/* ---- the folder --------------------------------------------------------------------
 */

static fb_status read_splits(fb_context *ctx, scan *s)
{
    bool any = false;
    for (int32_t i = 0; i < (int32_t)(sizeof splits / sizeof *splits); i++) {
        char images[4096], captions[4096], name[32];
        snprintf(name, sizeof name, "%s_ims.npy", splits[i].prefix);
        FB_TRY(fb_path_join(ctx, images, s->options->sources[0], name));
        snprintf(name, sizeof name, "%s_caps.txt", splits[i].prefix);
        FB_TRY(fb_path_join(ctx, captions, s->options->sources[0], name));
        if (!fb_path_exists(images))
            continue;
        any = true;
        FB_TRY(read_images(ctx, s, images, splits[i].prefix));
        FB_TRY(read_captions(ctx, s, captions, i));
    }
    return any ? FB_OK
               : fb_fail(ctx, FB_E_MISSING,
                         "%s: has none of train_ims.npy, dev_ims.npy, test_ims.npy",
                         s->options->sources[0]);
}

static fb_status finish(fb_context *ctx, scan *s)
{
    if (s->report.skipped > 0 && !s->options->skip_bad)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s (%lld bad in all); nothing was written, --skip-bad leaves "
                       "them out",
                       s->first_bad, (long long)s->report.skipped);
    FB_TRY(fb_region_writer_finish(ctx, s->regions));
    bool written = !ferror(s->metadata);
    written = fclose(s->metadata) == 0 && written;
    s->metadata = NULL;
    if (!written)
        return fb_fail(ctx, FB_E_IO, "%s: its metadata.jsonl cannot be written",
                       s->part);
    return fb_folder_appear(ctx, s->part, s->options->out);
}

static fb_status import(fb_context *ctx, scan *s)
{
    char path[4096];
    FB_TRY(fb_folder_make(ctx, s->part));
    FB_TRY(fb_path_join(ctx, path, s->part, "regions.features"));
    FB_TRY(fb_region_writer_open(ctx, &s->regions, path));
    FB_TRY(fb_path_join(ctx, path, s->part, "metadata.jsonl"));
    s->metadata = fopen(path, "wbe");
    if (!s->metadata)
        return fb_fail(ctx, FB_E_IO, "%s: cannot be written", path);
    FB_TRY(read_splits(ctx, s));
    return finish(ctx, s);
}

fb_status fb_scan_import(fb_context *ctx, const fb_import_options *options,
                         fb_import_report *report)
{
    scan s = {.options = options};
    double started_s = fb_clock_s();
    if (options->source_count != 1 || !fb_path_is_folder(options->sources[0]))
        return fb_fail(ctx, FB_E_USAGE, "%s: SCAN's pairs are one folder",
                       options->sources[0]);
    snprintf(s.part, sizeof s.part, "%s.part", options->out);
    if (!options->out[0] || fb_path_exists(options->out) || fb_path_exists(s.part))
        return fb_fail(ctx, FB_E_USAGE,
                       "%s: is there already; out must name a folder to make",
                       fb_path_exists(options->out) ? options->out : s.part);
    fb_status status = import(ctx, &s);
    fb_region_writer_close(s.regions);
    if (s.metadata)
        (void)fclose(s.metadata);
    free(s.good);
    if (status != FB_OK) {
        (void)fb_folder_remove(NULL, s.part);
        return status;
    }
    s.report.seconds = fb_clock_s() - started_s;
    *report = s.report;
    return FB_OK;
}

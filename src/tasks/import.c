/* import.c - the verb import: product data in another format becomes a catalogue
 * folder. Sources are opened one after the other and their records handed to one
 * writer.
 */
#include "base/file.h"
#include "base/option.h"
#include "data/import/csv_source.h"
#include "data/import/fashiongen_source.h"
#include "data/import/imagefolder_source.h"
#include "data/import/import_writer.h"
#include "data/import/jsonl_source.h"
#include "data/import/sweethome3d_source.h"
#include "data/import/webdataset_source.h"
#include "tasks/import_scan.h"

#include <string.h>

typedef struct format {
    const char *name;
    bool (*recognise)(fb_context *ctx, const char *path);
    fb_status (*open)(fb_context *ctx, fb_record_source *source, const char *path,
                      const fb_import_options *options);
} format;

#define FORMAT_ROW(name, text)                                                         \
    {#name, fb_##name##_source_recognise, fb_##name##_source_open},
static const format formats[] = {FB_IMPORT_SOURCE_MAP(FORMAT_ROW)};
#undef FORMAT_ROW
enum { FORMATS = sizeof formats / sizeof formats[0] };
#define FORMAT_NAME(name, text) #name " "
static const char format_names[] = FB_IMPORT_SOURCE_MAP(FORMAT_NAME);
#undef FORMAT_NAME

#define FB_OPTION            FB_OPTION_ROW
#define FB_LIST              FB_LIST_ROW
#define FB_OPTION_AT(member) offsetof(fb_import_options, member)
static const fb_option option_rows[] = {
#include "fashionbert/import.def"
};
static const fb_option_table option_table = FB_OPTION_TABLE(option_rows);

void fb_import_options_defaults(fb_import_options *options)
{
    *options = (fb_import_options){0};
    fb_options_defaults(&option_table, options);
}

fb_status fb_import_options_set(fb_context *ctx, fb_import_options *options,
                                const char *name, const char *text)
{
    return fb_option_set(ctx, &option_table, options, name, text);
}

static fb_status choose(fb_context *ctx, const format **chosen, const char *path,
                        const char *from)
{
    bool automatic = strcmp(from, "auto") == 0;
    for (int i = 0; i < FORMATS; i++) {
        struct fb_context why = {0};
        if (automatic ? formats[i].recognise(&why, path)
                      : strcmp(formats[i].name, from) == 0) {
            *chosen = &formats[i];
            return FB_OK;
        }
        if (why.status == FB_E_MEMORY || why.status == FB_E_IO) /* not the source's */
            return fb_fail(ctx, why.status, "%s", why.message);
    }
    if (!automatic)
        return fb_fail(ctx, FB_E_USAGE, "--from: \"%.64s\" is none of auto %s", from,
                       format_names);
    if (!fb_path_exists(path))
        return fb_fail(ctx, FB_E_MISSING, "%s: no such file or folder", path);
    return fb_fail(ctx, FB_E_USAGE,
                   "%s: not recognised; say with --from what it is: %s", path,
                   format_names);
}

static fb_status read_all(fb_context *ctx, fb_import_writer *writer,
                          const fb_record_source *source, double before, double share)
{
    for (;;) {
        fb_record record;
        FB_TRY(source->next(ctx, source->self, &record));
        if (record.end)
            return FB_OK;
        FB_TRY(fb_import_writer_add(ctx, writer, &record, source->folder,
                                    before + share * record.progress));
    }
}

static void say_passed(const fb_import_options *options, const char *path,
                       const fb_passed_over *passed)
{
    char files[600], sentence[1024];
    if (passed->count == 0 || !options->notice)
        return;
    fb_passed_over_say(passed, files, sizeof files);
    snprintf(sentence, sizeof sentence, "%.300s: %s", path, files);
    options->notice(options->notice_self, sentence);
}

static fb_status read_sources(fb_context *ctx, const fb_import_options *options,
                              fb_import_writer *writer)
{
    double share = 1.0 / options->source_count;
    for (int32_t i = 0; i < options->source_count; i++) {
        const char *path = options->sources[i];
        const format *f = NULL;
        fb_record_source source = {0};
        FB_TRY(choose(ctx, &f, path, options->from));
        FB_TRY(f->open(ctx, &source, path, options));
        fb_status status = fb_import_writer_check(ctx, writer, path, &source);
        if (status == FB_OK)
            status = read_all(ctx, writer, &source, i * share, share);
        if (status == FB_OK && source.passed)
            say_passed(options, path, source.passed);
        source.close(source.self);
        FB_TRY(status);
    }
    return FB_OK;
}

fb_status fb_import(fb_context *ctx, const fb_import_options *options,
                    fb_import_report *report)
{
    FB_TRY(fb_options_check(ctx, &option_table, options));
    fb_import_writer *writer = NULL;
    fb_context_clear(ctx);
    if (options->source_count < 1)
        return fb_fail(ctx, FB_E_USAGE, "no file or folder to import");
    if (strcmp(options->from, "scan") == 0)
        return fb_scan_import(ctx, options, report);
    FB_TRY(fb_import_writer_open(ctx, &writer, options));
    fb_status status = read_sources(ctx, options, writer);
    if (status == FB_OK)
        status = fb_import_writer_commit(ctx, writer, report);
    fb_import_writer_close(writer);
    return status;
}

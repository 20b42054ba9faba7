/* import_writer.c - two blocks in turn: one is filled while the other's images are
 * read.
 */
#include "data/import/import_writer.h"

#include "base/clock.h"
#include "base/cores.h"
#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "data/import/import_check.h"
#include "data/import/import_clicks.h"
#include "data/import/import_sweep.h"
#include "data/import/query_compose.h"
#include "data/import/split_plan.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_ITEMS = 4096, MAX_ITEMS = FB_METADATA_LINES_MAX };

struct fb_import_writer {
    const fb_import_options *options;
    char out[4096], part[4096 + 8], log_path[4096 + 32];
    fb_split_shares shares;
    fb_import_check *check;
    fb_import_log *log;
    fb_import_block *blocks[2];
    int32_t filling; /* which block */
    bool running;    /* the other one's images are being read */
    int64_t records; /* added */
    int64_t made_folder;
    fb_split_item *items; /* [count] of kept ones */
    int32_t count, capacity, threads;
    char first_bad[800], first_mended[800];
    fb_import_report report;
    double started_s, started_cpu_s;
    double read; /* share of all sources */
    fb_progress progress;
    bool committed, resuming;
    bool keep_splits; /* as the source says, whatever copies straddle them */
};

/* ---- open --------------------------------------------------------------------------
 */

static fb_status check_options(fb_context *ctx, fb_import_writer *w)
{
    const fb_import_options *o = w->options;
    w->keep_splits = strcmp(o->split, FB_IMPORT_SPLIT_SOURCE) == 0;
    bool shares = o->split[0] && !w->keep_splits;
    FB_TRY(fb_split_shares_parse(ctx, shares ? o->split : "80/10/10", &w->shares));
    if (strcmp(o->store, "original") != 0 && strcmp(o->store, "resized") != 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "store \"%.32s\" is neither original nor resized", o->store);
    if (o->image_size < 16 || o->image_size > FB_RESIZE_SIDE_MAX)
        return fb_fail(ctx, FB_E_USAGE, "an image size of %d; 16 to %d are right",
                       (int)o->image_size, FB_RESIZE_SIDE_MAX);
    if (o->clicks[0] && !fb_path_exists(o->clicks))
        return fb_fail(ctx, FB_E_MISSING, "%s: no such click log", o->clicks);
    FB_TRY(fb_path_join(ctx, w->out, "", o->out));
    for (size_t n = strlen(w->out); n > 1 && w->out[n - 1] == '/'; n--)
        w->out[n - 1] = 0;
    if (!w->out[0] || fb_path_exists(w->out))
        return fb_fail(ctx, FB_E_USAGE,
                       "%s: is there already; out must name a folder to make", w->out);
    snprintf(w->part, sizeof w->part, "%s.part", w->out);
    snprintf(w->log_path, sizeof w->log_path, "%s/import.log", w->part);
    return FB_OK;
}

/* The log of a run that stored images in the same way, else a new one. */
static fb_status open_log(fb_context *ctx, fb_import_writer *w, int32_t resize)
{
    char header[64];
    bool other = false;
    snprintf(header, sizeof header, "fashionbert-import 1 %s %d",
             resize ? "resized" : "original", (int)resize);
    /* An empty one is of an import that was killed before it had a log. */
    if (fb_path_exists(w->part) && !fb_path_exists(w->log_path) && rmdir(w->part) != 0)
        return fb_fail(ctx, FB_E_USAGE, "%s: is there already, and not of an import",
                       w->part);
    FB_TRY(fb_folder_make(ctx, w->part));
    FB_TRY(fb_import_log_open(ctx, &w->log, w->log_path, header, &other));
    w->resuming = w->log && fb_import_log_is_old(w->log);
    if (!other)
        return FB_OK;
    FB_TRY(fb_folder_remove(ctx, w->part));
    FB_TRY(fb_folder_make(ctx, w->part));
    return fb_import_log_open(ctx, &w->log, w->log_path, header, &other);
}

static fb_status fill_in(fb_context *ctx, fb_import_writer *w)
{
    const fb_import_options *o = w->options;
    int32_t resize = strcmp(o->store, "resized") == 0 ? o->image_size : 0;
    FB_TRY(check_options(ctx, w));
    FB_TRY(fb_import_check_create(ctx, &w->check, o));
    w->threads = fb_cores_or(o->threads);
    for (int i = 0; i < 2; i++)
        FB_TRY(fb_import_block_create(ctx, &w->blocks[i], w->part, resize, w->threads));
    return open_log(ctx, w, resize);
}

static double cpu_seconds(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0
               ? (double)t.tv_sec + 1e-9 * (double)t.tv_nsec
               : 0;
}

fb_status fb_import_writer_open(fb_context *ctx, fb_import_writer **writer,
                                const fb_import_options *options)
{
    fb_import_writer *w = calloc(1, sizeof *w);
    if (!w)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to import");
    w->options = options;
    w->made_folder = -1;
    w->started_s = fb_clock_s();
    w->started_cpu_s = cpu_seconds();
    fb_status status = fill_in(ctx, w);
    if (status != FB_OK) {
        fb_import_writer_close(w);
        return status;
    }
    fb_progress_begin(&w->progress, "import", "images", 0, 0, options->quiet);
    *writer = w;
    return FB_OK;
}

void fb_import_writer_close(fb_import_writer *w)
{
    if (!w)
        return;
    fb_progress_end(&w->progress);
    for (int i = 0; i < 2; i++)
        fb_import_block_free(w->blocks[i]);
    /* A mistaken word must not cost what an earlier run has done. */
    bool untouched = w->resuming && w->records == 0;
    if (w->log && !w->committed && !untouched)
        (void)fb_folder_remove(NULL, w->part);
    fb_import_log_close(w->log);
    fb_import_check_free(w->check);
    free(w->items);
    free(w);
}

fb_status fb_import_writer_check(fb_context *ctx, fb_import_writer *w, const char *name,
                                 const fb_record_source *source)
{
    return fb_import_check_columns(ctx, w->check, name, source);
}

/* ---- what came of a block ----------------------------------------------------------
 */

static void tell(const fb_import_writer *w, const char *sentence)
{
    if (w->options->notice)
        w->options->notice(w->options->notice_self, sentence);
}

static void count_bad(fb_import_writer *w, const fb_import_job *job)
{
    char sentence[800];
    snprintf(sentence, sizeof sentence, "%.150s: %s", job->where, job->why);
    w->report.faults[job->fault]++;
    if (w->report.skipped++ == 0)
        snprintf(w->first_bad, sizeof w->first_bad, "%s", sentence);
    if (w->report.skipped <= FB_IMPORT_NAMED)
        tell(w, sentence);
}

static fb_status keep(fb_context *ctx, fb_import_writer *w, const fb_import_job *job)
{
    if (w->count == w->capacity) {
        int32_t capacity = w->capacity ? w->capacity * 2 : FIRST_ITEMS;
        fb_split_item *items = capacity <= MAX_ITEMS * 2
                                   ? realloc(w->items, (size_t)capacity * sizeof *items)
                                   : NULL;
        if (!items)
            return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for %d products", w->out,
                           (int)w->count);
        w->items = items;
        w->capacity = capacity;
    }
    w->items[w->count++] = (fb_split_item){.key = job->key,
                                           .bytes = job->entry.image.hash,
                                           .look = job->entry.image.look,
                                           .stated = job->stated};
    w->report.resized += job->entry.image.resized;
    w->report.image_bytes += job->entry.image.size_bytes;
    w->report.resumed += job->resumed;
    w->report.decode_seconds += job->entry.image.decode_s;
    return FB_OK;
}

static void show_progress(fb_import_writer *w)
{
    char text[64] = "";
    if (w->report.skipped > 0)
        snprintf(text, sizeof text, "%lld bad", (long long)w->report.skipped);
    /* How many there will be is only guessed, from the share that was read. */
    if (w->read > 0)
        w->progress.total = (int64_t)((double)w->records / w->read);
    if (w->progress.first == 0)
        w->progress.first = w->report.resumed;
    fb_progress_update(&w->progress, w->count, 1, text);
}

static fb_status collect(fb_context *ctx, fb_import_writer *w, fb_import_block *block)
{
    int32_t count;
    fb_import_job *jobs = fb_import_block_jobs(block, &count);
    FB_TRY(fb_import_block_wait(ctx, block));
    for (int32_t i = 0; i < count; i++) {
        char *line =
            fb_import_entry_write(&jobs[i].entry, fb_import_block_arena(block));
        if (!line)
            return fb_fail(ctx, FB_E_MEMORY, "%s: no memory", jobs[i].where);
        FB_TRY(fb_import_log_put(ctx, w->log, line));
        if (jobs[i].fault == FB_RECORD_GOOD)
            FB_TRY(keep(ctx, w, &jobs[i]));
        else
            count_bad(w, &jobs[i]);
    }
    FB_TRY(fb_import_log_flush(ctx, w->log));
    show_progress(w);
    fb_import_block_clear(block);
    return FB_OK;
}

/* Collect the block that is being read, let the full one be read. */
static fb_status turn(fb_context *ctx, fb_import_writer *w)
{
    int32_t other = 1 - w->filling;
    if (w->running)
        FB_TRY(collect(ctx, w, w->blocks[other]));
    FB_TRY(fb_import_block_start(ctx, w->blocks[w->filling]));
    w->running = true;
    w->filling = other;
    return FB_OK;
}

/* ---- records -----------------------------------------------------------------------
 */

static fb_status make_folder(fb_context *ctx, fb_import_writer *w)
{
    char name[32], path[4096];
    if (w->records / FB_IMPORT_FOLDER_FILES == w->made_folder)
        return FB_OK;
    w->made_folder = w->records / FB_IMPORT_FOLDER_FILES;
    fb_import_file_folder(w->records, name);
    FB_TRY(fb_path_join(ctx, path, w->part, name));
    return fb_folder_make(ctx, path);
}

static fb_status find_old(fb_context *ctx, fb_import_writer *w, fb_arena *arena,
                          fb_import_job *job)
{
    char *line = fb_import_log_next(w->log, arena);
    if (!line)
        return FB_OK;
    fb_import_entry *old = fb_arena_alloc(arena, sizeof *old);
    if (!old)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to read %s", w->log_path);
    if (fb_import_entry_read(line, old))
        job->old = old;
    return FB_OK;
}

fb_status fb_import_writer_add(fb_context *ctx, fb_import_writer *w,
                               const fb_record *record, const char *folder,
                               double progress)
{
    fb_import_job *job = fb_import_block_take(w->blocks[w->filling]);
    if (!job) {
        FB_TRY(turn(ctx, w));
        job = fb_import_block_take(w->blocks[w->filling]);
    }
    fb_import_block *block = w->blocks[w->filling];
    fb_arena *arena = fb_import_block_arena(block);
    job->number = ++w->records;
    w->read = progress;
    FB_TRY(make_folder(ctx, w));
    FB_TRY(find_old(ctx, w, arena, job));
    FB_TRY(fb_import_check_record(ctx, w->check, record, folder, arena, job));
    fb_import_block_count(block, job->image.size_bytes);
    if (job->mended && w->report.mended++ == 0)
        snprintf(w->first_mended, sizeof w->first_mended, "%.150s: %s", record->where,
                 job->mended);
    return FB_OK;
}

/* ---- commit ------------------------------------------------------------------------
 */

static const char *const fault_texts[FB_RECORD_FAULTS] = {
    "",
#define FB_RECORD_FAULT_TEXT(name, json, text) text,
    FB_RECORD_FAULT_MAP(FB_RECORD_FAULT_TEXT)
#undef FB_RECORD_FAULT_TEXT
};

/* "2 without a title, 1 whose image cannot be read" */
static void describe_bad(const fb_import_writer *w, char out[600])
{
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < FB_RECORD_FAULTS; i++)
        if (w->report.faults[i] > 0)
            used +=
                (size_t)snprintf(out + used, 600 - used, "%s%lld %s", used ? ", " : "",
                                 (long long)w->report.faults[i], fault_texts[i]);
}

static fb_status judge(fb_context *ctx, const fb_import_writer *w)
{
    char kinds[600];
    describe_bad(w, kinds);
    if (w->report.skipped > 0 && !w->options->skip_bad)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s (%lld bad of %lld records: %s); nothing was written, "
                       "--skip-bad leaves them out",
                       w->first_bad, (long long)w->report.skipped,
                       (long long)w->records, kinds);
    if (w->count == 0 && w->records > 0)
        return fb_fail(ctx, FB_E_FORMAT, "%s (all %lld records are bad: %s)",
                       w->first_bad, (long long)w->records, kinds);
    if (w->count == 0)
        return fb_fail(ctx, FB_E_FORMAT, "%s: no record in it", w->options->sources[0]);
    return FB_OK;
}

static void tell_summary(const fb_import_writer *w)
{
    char sentence[1500], kinds[600];
    describe_bad(w, kinds);
    if (w->report.skipped > 0) {
        snprintf(sentence, sizeof sentence, "left out %lld of %lld records: %s",
                 (long long)w->report.skipped, (long long)w->records, kinds);
        tell(w, sentence);
    }
    if (w->report.mended > 0) {
        snprintf(sentence, sizeof sentence,
                 "%lld records were not quite right and are read all the same; the "
                 "first is %s",
                 (long long)w->report.mended, w->first_mended);
        tell(w, sentence);
    }
}

static void tell_straddling(const fb_import_writer *w)
{
    char sentence[200];
    if (w->report.straddling == 0)
        return;
    snprintf(sentence, sizeof sentence,
             "%lld items have a copy in another split; without --split source copies "
             "stay together",
             (long long)w->report.straddling);
    tell(w, sentence);
}

/* Of few products, or of many that are kept together, a split may get none. */
static void tell_empty(const fb_import_writer *w, const fb_split_report *plan)
{
    int32_t stated = 0;
    for (int32_t i = 0; i < w->count; i++)
        stated += w->items[i].stated >= 0;
    for (int i = 0; i < FB_SPLITS && !w->keep_splits; i++) {
        char why[120] = "the source names it for none of them";
        char sentence[200];
        if (plan->items[i] > 0 || w->shares.percent[i] == 0)
            continue;
        if (stated < w->count && plan->largest_group > 1)
            snprintf(why, sizeof why, "none fell there; up to %lld were kept together",
                     (long long)plan->largest_group);
        else if (stated < w->count)
            snprintf(why, sizeof why, "none fell there");
        snprintf(sentence, sizeof sentence, "no item is in split %s: of %d items %s",
                 fb_split_name((fb_split)i), (int)w->count, why);
        tell(w, sentence);
    }
}

static void write_line(FILE *stream, const fb_import_entry *e, fb_split split)
{
    fb_json_writer w;
    fputs("{\"file_name\": ", stream);
    fb_json_begin(&w, stream, 0);
    fb_json_string(&w, e->file_name);
    /* {row} without its braces */
    fprintf(stream, ", %.*s, \"split\": \"%s\"}\n", (int)strlen(e->row) - 2, e->row + 1,
            fb_split_name(split));
}

static fb_status write_metadata(fb_context *ctx, fb_import_writer *w,
                                const fb_split *splits, fb_arena *arena)
{
    char path[4096 + 32], *line;
    fb_replace metadata;
    fb_import_entry entry;
    int32_t written = 0;
    snprintf(path, sizeof path, "%s/metadata.jsonl", w->part);
    FB_TRY(fb_import_log_rewind(ctx, w->log));
    FB_TRY(fb_replace_open(ctx, path, &metadata));
    while (written < w->count && (line = fb_import_log_next(w->log, arena)) != NULL) {
        if (fb_import_entry_read(line, &entry) && entry.kept) {
            /* within a string the quotes would have a backslash before them */
            w->report.composed +=
                strstr(entry.row, "\"" FB_QUERIES_COMPOSED "\": true") != NULL;
            write_line(metadata.stream, &entry, splits[written++]);
        }
        fb_arena_reset(arena);
    }
    if (written < w->count) {
        fb_replace_abandon(&metadata);
        return fb_fail(ctx, FB_E_IO, "%s: has %d of %d products", w->log_path,
                       (int)written, (int)w->count);
    }
    return fb_replace_commit(ctx, &metadata);
}

/* Each item to the split that its source says. */
static void state_splits(const fb_import_writer *w, fb_split *splits,
                         fb_split_report *plan)
{
    memset(plan->items, 0, sizeof plan->items);
    for (int32_t i = 0; i < w->count; i++) {
        splits[i] = (fb_split)w->items[i].stated;
        plan->items[splits[i]]++;
    }
}

static fb_status plan_and_write(fb_context *ctx, fb_import_writer *w)
{
    fb_split_report plan;
    fb_split *splits = malloc((size_t)w->count * sizeof *splits);
    fb_arena *arena = fb_arena_create(1 << 16);
    fb_status status = FB_OK;
    if (!splits || !arena)
        status = fb_fail(ctx, FB_E_MEMORY, "%s: no memory for its splits", w->out);
    if (status == FB_OK)
        status = fb_split_plan_make(ctx, w->items, w->count, &w->shares, splits, NULL,
                                    &plan);
    if (status == FB_OK && w->keep_splits)
        state_splits(w, splits, &plan);
    if (status == FB_OK)
        status = write_metadata(ctx, w, splits, arena);
    if (status == FB_OK) {
        fb_import_report *r = &w->report;
        bool own = w->keep_splits;
        r->items = w->count;
        r->train = plan.items[FB_SPLIT_TRAIN];
        r->val = plan.items[FB_SPLIT_VAL];
        r->test = plan.items[FB_SPLIT_TEST];
        r->duplicates = plan.duplicates;
        r->near_duplicates = plan.near_duplicates;
        r->moved = own ? 0 : plan.moved;
        r->moved_near = own ? 0 : plan.moved_near;
        r->straddling = own ? plan.moved : 0;
        tell_empty(w, &plan);
    }
    free(splits);
    fb_arena_free(arena);
    return status;
}

static void fill_rates(fb_import_writer *w)
{
    fb_import_report *r = &w->report;
    double images = (double)(r->items - r->resumed);
    int32_t cores = fb_cores();
    r->seconds = fb_clock_s() - w->started_s;
    r->images_per_s = r->seconds > 0 ? images / r->seconds : 0;
    r->cpu_seconds = cpu_seconds() - w->started_cpu_s;
    if (r->decode_seconds > 0)
        r->decode_images_per_s = images * cores / r->decode_seconds;
}

fb_status fb_import_writer_commit(fb_context *ctx, fb_import_writer *w,
                                  fb_import_report *report)
{
    char done[4096 + 32];
    if (w->records > 0)
        FB_TRY(turn(ctx, w));
    if (w->running)
        FB_TRY(collect(ctx, w, w->blocks[1 - w->filling]));
    w->running = false;
    fb_progress_end(&w->progress);
    FB_TRY(judge(ctx, w));
    tell_summary(w);
    FB_TRY(plan_and_write(ctx, w));
    if (w->resuming)
        FB_TRY(fb_import_sweep(ctx, w->log, w->part, w->records));
    FB_TRY(fb_import_clicks(ctx, w->part, w->options, &w->report));
    tell_straddling(w);
    FB_TRY(fb_folder_appear(ctx, w->part, w->out));
    w->committed = true;
    snprintf(done, sizeof done, "%s/import.log", w->out);
    (void)unlink(done);
    fill_rates(w);
    *report = w->report;
    return FB_OK;
}

/* imagefolder_source.c - one or more parts (the folder, or train/, val/, test/), each
 * read by what its metadata needs, or walked:
 *
 *     levels[0]  the part     Dresses/ Shoes/ ...        sorted names, and where we are
 *     levels[1]  Shoes        boots/ red-sneaker.jpg ...
 *     levels[2]  boots        ...
 */
#include "data/import/imagefolder_source.h"

#include "base/file.h"
#include "data/import/csv_source.h"
#include "data/import/jsonl_source.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { MAX_PARTS = 8, MAX_FIELDS = 6 };

typedef struct level {
    char path[4096];
    char **names; /* [count], sorted */
    int32_t count, at;
} level;

typedef struct part {
    char path[4096];
    const char *split; /* NULL: none */
} part;

typedef struct imagefolder {
    const fb_import_options *options;
    part parts[MAX_PARTS];
    int32_t part_count, part_at;
    bool open; /* the part at part_at is being read, by `inner` or the levels */
    fb_record_source inner;
    level levels[FB_IMAGEFOLDER_LEVELS + 1];
    int32_t depth;     /* levels in use; 0 with `inner` */
    char folder[4096]; /* of the part */
    char path[4096], title[512];
    fb_passed_over passed;
    const char *pairs[2 * MAX_FIELDS];
} imagefolder;

static const struct {
    const char *name, *split;
} split_folders[] = {{"train", "train"},    {"val", "val"}, {"valid", "val"},
                     {"validation", "val"}, {"dev", "val"}, {"test", "test"}};

static const char *const image_ends[] = {".jpg",  ".jpeg", ".jpe", ".jfif", ".pjpeg",
                                         ".png",  ".webp", ".gif", ".bmp",  ".tif",
                                         ".tiff", ".avif", ".heic"};

static bool is_image_name(const char *name)
{
    for (size_t i = 0; i < sizeof image_ends / sizeof *image_ends; i++)
        if (fb_path_ends_in(name, image_ends[i]))
            return true;
    return false;
}

static const char *split_of(const char *name)
{
    for (size_t i = 0; i < sizeof split_folders / sizeof *split_folders; i++)
        if (strcmp(name, split_folders[i].name) == 0)
            return split_folders[i].split;
    return NULL;
}

/* ---- a folder's names --------------------------------------------------------------
 */

static void close_level(level *l)
{
    for (int32_t i = 0; i < l->count; i++)
        free(l->names[i]);
    free(l->names);
    *l = (level){.names = NULL};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool add_name(level *l, const char *name)
{
    if ((l->count & (l->count - 1)) == 0) { /* full at powers of two */
        char **names =
            realloc(l->names, (l->count ? 2 * (size_t)l->count : 1) * sizeof *names);
        if (!names)
            return false;
        l->names = names;
    }
    l->names[l->count] = strdup(name);
    return l->names[l->count] && ++l->count;
}

/* The names in a folder, but for hidden ones. On failure the level is closed. */
static fb_status open_level(fb_context *ctx, level *l, const char *path)
{
    *l = (level){.names = NULL};
    snprintf(l->path, sizeof l->path, "%s", path);
    DIR *dir = opendir(path);
    if (!dir)
        return fb_fail(ctx, errno == ENOENT ? FB_E_MISSING : FB_E_IO,
                       "%s: cannot open the folder: %s", path, strerror(errno));
    struct dirent *entry;
    bool room = true;
    while (room && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            room = add_name(l, entry->d_name);
    closedir(dir);
    if (!room) {
        close_level(l);
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for its names", path);
    }
    if (l->count > 0)
        qsort(l->names, (size_t)l->count, sizeof *l->names, by_name);
    return FB_OK;
}

static bool has_file(const char *folder, const char *name)
{
    char path[4096];
    return fb_path_join(NULL, path, folder, name) == FB_OK && fb_path_exists(path);
}

static bool has_metadata(const char *folder)
{
    return has_file(folder, "metadata.jsonl") || has_file(folder, "metadata.csv");
}

static bool is_folder_in(const char *folder, const char *name)
{
    char path[4096];
    return fb_path_join(NULL, path, folder, name) == FB_OK && fb_path_is_folder(path);
}

/* Whether all that is in it are folders named as splits, and files that are no images.
 */
static bool has_splits(const level *l)
{
    int32_t splits = 0;
    for (int32_t i = 0; i < l->count; i++) {
        bool folder = is_folder_in(l->path, l->names[i]);
        if (folder && !split_of(l->names[i]))
            return false;
        if (!folder && is_image_name(l->names[i]))
            return false;
        splits += folder;
    }
    return splits > 0;
}

bool fb_imagefolder_source_recognise(fb_context *ctx, const char *path)
{
    static const char *const others[] = {".csv", ".tsv", ".tar", ".h5", ".hdf5"};
    level l;
    bool images = false, other = false;
    if (!fb_path_is_folder(path) || open_level(ctx, &l, path) != FB_OK)
        return false;
    for (int32_t i = 0; i < l.count; i++) {
        images |= is_image_name(l.names[i]) || is_folder_in(path, l.names[i]);
        for (size_t k = 0; k < sizeof others / sizeof *others; k++)
            other |= fb_path_ends_in(l.names[i], others[k]);
    }
    close_level(&l);
    return has_metadata(path) || (images && !other);
}

/* ---- records of images without metadata --------------------------------------------
 */

/* "red-summer_dress.jpg" as "red summer dress"; false when no letter is in it. */
static bool words_of(const char *name, char *out, size_t room)
{
    const char *dot = strrchr(name, '.');
    size_t size = dot ? (size_t)(dot - name) : strlen(name);
    bool letters = false;
    if (size >= room)
        size = room - 1;
    while (size > 0 && ((unsigned char)name[size] & 0xc0) == 0x80)
        size--; /* not within a character */
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        letters |= (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                   (unsigned char)c >= 0x80;
        out[i] = strchr("-_+.", c) ? ' ' : c;
    }
    out[size] = 0;
    return letters;
}

static bool is_utf8(const char *text)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
    while (*at) {
        utf8proc_int32_t point;
        utf8proc_ssize_t length = utf8proc_iterate(at, -1, &point);
        if (length <= 0)
            return false;
        at += length;
    }
    return true;
}

/* The name of the folder at a level, 1 the outermost below the part. */
static const char *folder_name(const imagefolder *s, int32_t at)
{
    return s->levels[at - 1].names[s->levels[at - 1].at - 1];
}

static void fill_fields(imagefolder *s, const char *name, fb_record *record)
{
    static const char *const fields[4][3] = {
        {NULL},
        {"category"},
        {"category", "subcategory"},
        {"master_category", "category", "subcategory"}};
    const part *p = &s->parts[s->part_at];
    int32_t used = 0, folders = s->depth - 1;
    const char *pairs[MAX_FIELDS][2] = {{"file_name", s->path + strlen(p->path) + 1}};
    used = 1;
    for (int32_t i = 0; i < folders; i++, used++) {
        pairs[used][0] = fields[folders][i];
        pairs[used][1] = folder_name(s, i + 1);
    }
    if (words_of(name, s->title, sizeof s->title)) {
        pairs[used][0] = "title";
        pairs[used++][1] = s->title;
    }
    if (p->split) {
        pairs[used][0] = "split";
        pairs[used++][1] = p->split;
    }
    memcpy(s->pairs, pairs, sizeof s->pairs);
    record->fields = s->pairs;
    record->field_count = used;
    record->image = (fb_record_image){.kind = FB_RECORD_IMAGE_PATH, .path = s->path};
}

/* How far the walk is: in levels[0], and within its folder in levels[1]. */
static double progress(const imagefolder *s)
{
    const level *top = &s->levels[0], *below = &s->levels[1];
    double at = top->at;
    if (s->depth > 1)
        at += (double)below->at / (double)below->count - 1;
    return at / (double)top->count;
}

/* Go down into a folder: one more level, or a bad record where there is no more. */
static fb_status enter(fb_context *ctx, imagefolder *s, fb_record *record)
{
    if (s->depth > FB_IMAGEFOLDER_LEVELS) {
        record->fault = FB_RECORD_BAD_ROW;
        record->why = "a folder in a folder in a folder in a folder; three are read";
        return FB_OK;
    }
    FB_TRY(open_level(ctx, &s->levels[s->depth], s->path));
    s->depth++;
    return FB_OK;
}

/* The next image below levels[0]; *found false at the end. */
static fb_status walk(fb_context *ctx, imagefolder *s, fb_record *record, bool *found)
{
    *found = false;
    while (s->depth > 0 && !*found) {
        level *l = &s->levels[s->depth - 1];
        if (l->at == l->count) {
            close_level(l);
            s->depth--;
            continue;
        }
        const char *name = l->names[l->at++];
        FB_TRY(fb_path_join(ctx, s->path, l->path, name));
        *record = (fb_record){.where = s->path};
        if (fb_path_is_folder(s->path)) {
            FB_TRY(enter(ctx, s, record));
            *found = record->fault != FB_RECORD_GOOD;
        } else if (!is_image_name(name)) {
            fb_passed_over_add(&s->passed, name);
        } else {
            *found = true;
            record->progress = progress(s);
            fill_fields(s, name, record);
            if (!is_utf8(s->path)) {
                record->fault = FB_RECORD_BAD_TEXT;
                record->why = "the file's name is not UTF-8";
            }
        }
    }
    return FB_OK;
}

/* ---- parts -------------------------------------------------------------------------
 */

static fb_status open_part(fb_context *ctx, imagefolder *s)
{
    const part *p = &s->parts[s->part_at];
    char jsonl[4096], csv[4096];
    FB_TRY(fb_path_join(ctx, jsonl, p->path, "metadata.jsonl"));
    FB_TRY(fb_path_join(ctx, csv, p->path, "metadata.csv"));
    bool has_jsonl = fb_path_exists(jsonl), has_csv = fb_path_exists(csv);
    if (has_jsonl && has_csv)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: has metadata.jsonl and metadata.csv; name the one to read",
                       p->path);
    if (has_jsonl)
        FB_TRY(fb_jsonl_source_open_file(ctx, &s->inner, jsonl, p->path, p->split));
    else if (has_csv)
        FB_TRY(fb_csv_source_open_file(ctx, &s->inner, csv, p->path, p->split,
                                       s->options));
    else {
        FB_TRY(open_level(ctx, &s->levels[0], p->path));
        s->depth = 1;
    }
    snprintf(s->folder, sizeof s->folder, "%s", p->path);
    s->open = true;
    return FB_OK;
}

static void close_part(imagefolder *s)
{
    if (s->inner.close)
        s->inner.close(s->inner.self);
    s->inner = (fb_record_source){.self = NULL};
    while (s->depth > 0)
        close_level(&s->levels[--s->depth]);
    s->open = false;
}

static fb_status next(fb_context *ctx, void *self, fb_record *record)
{
    imagefolder *s = self;
    while (s->part_at < s->part_count) {
        bool found = false;
        if (!s->open)
            FB_TRY(open_part(ctx, s));
        if (s->inner.self) {
            FB_TRY(s->inner.next(ctx, s->inner.self, record));
            found = !record->end;
        } else {
            FB_TRY(walk(ctx, s, record, &found));
        }
        if (found) {
            record->progress = (s->part_at + record->progress) / s->part_count;
            return FB_OK;
        }
        close_part(s);
        s->part_at++;
    }
    *record = (fb_record){.end = true};
    return FB_OK;
}

static void close_source(void *self)
{
    close_part(self);
    free(self);
}

static fb_status find_parts(fb_context *ctx, imagefolder *s, const char *given)
{
    level l;
    char path[4096];
    FB_TRY(fb_path_join(ctx, path, "", given));
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
        path[n - 1] = 0;
    FB_TRY(open_level(ctx, &l, path));
    bool splits = !has_metadata(path) && has_splits(&l);
    fb_status status = FB_OK;
    for (int32_t i = 0; splits && i < l.count && status == FB_OK; i++) {
        part *p = &s->parts[s->part_count];
        if (!is_folder_in(path, l.names[i]))
            continue;
        status = fb_path_join(ctx, p->path, path, l.names[i]);
        p->split = split_of(l.names[i]);
        s->part_count++;
    }
    close_level(&l);
    if (!splits) {
        snprintf(s->parts[0].path, sizeof s->parts[0].path, "%s", path);
        s->part_count = 1;
    }
    return status;
}

fb_status fb_imagefolder_source_open(fb_context *ctx, fb_record_source *source,
                                     const char *path, const fb_import_options *options)
{
    imagefolder *s = calloc(1, sizeof *s);
    if (!s)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", path);
    s->options = options;
    fb_status status = find_parts(ctx, s, path);
    if (status == FB_OK)
        status = open_part(ctx, s); /* so that what cannot be read is told at once */
    if (status != FB_OK) {
        close_source(s);
        return status;
    }
    *source = (fb_record_source){.self = s,
                                 .next = next,
                                 .close = close_source,
                                 .passed = &s->passed,
                                 .folder = s->folder};
    if (s->part_count == 1) {
        source->columns = s->inner.columns;
        source->column_count = s->inner.column_count;
    }
    return FB_OK;
}

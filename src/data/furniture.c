/* furniture.c - read each archive twice: first its properties, then the icons that they
 * name; write the images as they come and metadata.jsonl at the end.
 */
#include "data/furniture.h"

#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "data/catalogue_row.h"
#include "data/furniture_archive.h"
#include "data/image_decode.h"
#include "data/properties.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_PIECES = 1000000, ICON_BYTES_MAX = 16 << 20, TITLE_BYTES = 1024 };

/* Tags that say who supplies a piece, not what it is. */
static const char *const supplier_tags[] = {
    "Blend Swap", "SCPTS", "Default", "eTeks", "Kator Legaz", "Reallusion", "Scopia"};

typedef struct piece {
    const char *number; /* "17" of name#17 */
    const char *icon;   /* entry of the archive */
    int32_t file;       /* number of its image file */
    const char *suffix; /* ".png" once the icon was written, else NULL */
} piece;

/* One source while it is read. */
typedef struct source {
    const fb_import_options *options;
    const char *path;
    const char *folder; /* that is written */
    fb_properties *base, *local;
    piece *pieces;
    int32_t count;
    int32_t split_percent[FB_SPLITS];
    int32_t *next_file;
    FILE *metadata;
    fb_import_report *report;
} source;

/* ---- which entries, and their properties -------------------------------------------
 */

static const char *base_name(const char *entry)
{
    const char *slash = strrchr(entry, '/');
    return slash ? slash + 1 : entry;
}

/* Whether the entry is the catalogue in `language` ("": its own). */
static bool is_catalogue(const char *entry, const char *language)
{
    static const char *const stems[] = {"PluginFurnitureCatalog",
                                        "DefaultFurnitureCatalog"};
    const char *name = base_name(entry);
    for (int i = 0; i < 2; i++) {
        char wanted[128];
        int length = snprintf(wanted, sizeof wanted, "%s%s%s.properties", stems[i],
                              language[0] ? "_" : "", language);
        if (length < (int)sizeof wanted && strcmp(name, wanted) == 0)
            return true;
    }
    return false;
}

static bool wants_properties(void *self, const char *entry)
{
    const source *s = self;
    return is_catalogue(entry, "") ||
           (s->options->language[0] && is_catalogue(entry, s->options->language));
}

static fb_status visit_properties(void *self, fb_context *ctx, const char *entry,
                                  uint8_t *bytes, size_t size_bytes)
{
    source *s = self;
    fb_properties **to = is_catalogue(entry, "") ? &s->base : &s->local;
    char name[8300];
    snprintf(name, sizeof name, "%s: %s", s->path, entry);
    fb_status status = FB_OK;
    if (*to)
        status = fb_fail(ctx, FB_E_FORMAT, "%s: a second catalogue in one file", name);
    else
        status = fb_properties_parse(ctx, to, name, bytes, size_bytes);
    free(bytes);
    return status;
}

static const char *get(const fb_properties *p, const char *key, const char *number)
{
    char full[128];
    snprintf(full, sizeof full, "%s#%s", key, number);
    const char *value = p ? fb_properties_get(p, full) : NULL;
    return value && value[0] ? value : NULL;
}

/* In the language asked for, where it has a value. */
static const char *get_local(const source *s, const char *key, const char *number)
{
    const char *value = get(s->local, key, number);
    return value ? value : get(s->base, key, number);
}

static int by_number(const void *a, const void *b)
{
    const char *x = ((const piece *)a)->number, *y = ((const piece *)b)->number;
    size_t x_length = strlen(x), y_length = strlen(y);
    return x_length != y_length ? (x_length < y_length ? -1 : 1) : strcmp(x, y);
}

static int by_icon(const void *a, const void *b)
{
    const piece *x = a, *y = b;
    int order = strcmp(x->icon, y->icon);
    return order != 0 ? order : by_number(a, b);
}

static fb_status list_pieces(fb_context *ctx, source *s)
{
    int32_t keys = fb_properties_count(s->base);
    s->pieces = calloc((size_t)keys + 1, sizeof *s->pieces);
    if (!s->pieces)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for its pieces", s->path);
    for (int32_t i = 0; i < keys; i++) {
        const char *key = fb_properties_key(s->base, i);
        const char *number = key + 3;
        if (strncmp(key, "id#", 3) != 0 || strlen(number) > 9 || !number[0] ||
            number[strspn(number, "0123456789")] != 0)
            continue;
        const char *icon = get(s->base, "icon", number);
        if (!icon || !get_local(s, "name", number) || !get(s->base, "id", number)) {
            s->report->skipped++;
            continue;
        }
        s->pieces[s->count++] = (piece){number, icon + strspn(icon, "/"), 0, NULL};
    }
    qsort(s->pieces, (size_t)s->count, sizeof *s->pieces, by_number);
    if (*s->next_file > MAX_PIECES - s->count)
        return fb_fail(ctx, FB_E_LIMIT, "%s: more than %d pieces", s->path, MAX_PIECES);
    for (int32_t i = 0; i < s->count; i++)
        s->pieces[i].file = ++*s->next_file;
    qsort(s->pieces, (size_t)s->count, sizeof *s->pieces, by_icon);
    return FB_OK;
}

/* ---- icons -------------------------------------------------------------------------
 */

static int icon_against(const void *entry, const void *element)
{
    return strcmp(entry, ((const piece *)element)->icon);
}

static piece *find_icon(const source *s, const char *entry)
{
    return bsearch(entry, s->pieces, (size_t)s->count, sizeof *s->pieces, icon_against);
}

static bool wants_icon(void *self, const char *entry)
{
    return find_icon(self, entry) != NULL;
}

static void image_name(const piece *p, char out[64])
{
    snprintf(out, 64, "images/%04d%s", p->file, p->suffix);
}

/* Not synced here: fb_folder_replace does that for the whole folder. */
static fb_status write_file(fb_context *ctx, const char *path, const uint8_t *bytes,
                            size_t size)
{
    FILE *file = fopen(path, "wbe");
    bool written = file && fwrite(bytes, 1, size, file) == size;
    if (file && fclose(file) != 0)
        written = false;
    if (!written)
        return fb_fail(ctx, FB_E_IO, "%s: cannot be written: %s", path,
                       strerror(errno));
    return FB_OK;
}

static fb_status write_icon(fb_context *ctx, const source *s, piece *p,
                            const char *suffix, const uint8_t *bytes, size_t size)
{
    char name[64], path[4096];
    p->suffix = suffix;
    image_name(p, name);
    FB_TRY(fb_path_join(ctx, path, s->folder, name));
    return write_file(ctx, path, bytes, size);
}

/* A piece whose icon cannot be used keeps suffix NULL. */
static fb_status visit_icon(void *self, fb_context *ctx, const char *entry,
                            uint8_t *bytes, size_t size_bytes)
{
    static const char *const suffixes[] = {
        [FB_IMAGE_JPEG] = ".jpg", [FB_IMAGE_PNG] = ".png", [FB_IMAGE_WEBP] = ".webp"};
    source *s = self;
    fb_image_info info;
    fb_status status = FB_OK;
    if (fb_image_probe(NULL, entry, bytes, size_bytes, &info) == FB_OK) {
        piece *first = find_icon(s, entry), *end = s->pieces + s->count;
        while (first > s->pieces && strcmp(first[-1].icon, entry) == 0)
            first--;
        for (; first < end && strcmp(first->icon, entry) == 0 && status == FB_OK;
             first++)
            status =
                write_icon(ctx, s, first, suffixes[info.format], bytes, size_bytes);
    }
    free(bytes);
    return status;
}

/* ---- rows --------------------------------------------------------------------------
 */

static bool is_supplier(const char *tag, size_t length)
{
    for (size_t i = 0; i < sizeof supplier_tags / sizeof *supplier_tags; i++)
        if (strlen(supplier_tags[i]) == length &&
            strncasecmp(tag, supplier_tags[i], length) == 0)
            return true;
    return false;
}

static void append(char *out, size_t room, const char *text, size_t length)
{
    size_t used = strlen(out), gap = used > 0 ? 2 : 0;
    if (used + gap + length + 1 > room)
        return;
    memcpy(out + used, ", ", gap);
    memcpy(out + used + gap, text, length);
    out[used + gap + length] = 0;
}

/* The tags that say what it is, ", " between. */
static void useful_tags(const char *tags, char out[TITLE_BYTES])
{
    out[0] = 0;
    while (*tags) {
        tags += strspn(tags, " ,\t");
        size_t length = strcspn(tags, ",");
        size_t end = length;
        while (end > 0 && (tags[end - 1] == ' ' || tags[end - 1] == '\t'))
            end--;
        if (end > 0 && !is_supplier(tags, end))
            append(out, TITLE_BYTES, tags, end);
        tags += length;
    }
}

/* All of it, or what fits of a monstrous one, cut between characters. */
static size_t name_bytes(const char *name)
{
    size_t length = strlen(name);
    if (length < TITLE_BYTES)
        return length;
    length = TITLE_BYTES - 1;
    while (length > 0 && ((unsigned char)name[length] & 0xc0) == 0x80)
        length--;
    return length;
}

static fb_status choose_split(fb_context *ctx, const source *s, const char *title,
                              fb_split *split)
{
    char *text = fb_title_normalise(title);
    if (!text)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a title");
    uint64_t hash = fb_hash_bytes(FB_STREAM_SPLIT, text, strlen(text));
    int32_t percent = (int32_t)(hash % 100);
    free(text);
    *split = percent < s->split_percent[0]                         ? FB_SPLIT_TRAIN
             : percent < s->split_percent[0] + s->split_percent[1] ? FB_SPLIT_VAL
                                                                   : FB_SPLIT_TEST;
    return FB_OK;
}

static void key_string(fb_json_writer *w, const char *key, const char *text)
{
    if (text && text[0])
        fb_json_key_string(w, key, text);
}

static fb_status write_row(fb_context *ctx, source *s, const piece *p)
{
    const char *n = p->number, *name = get_local(s, "name", n);
    const char *tags = s->local ? get(s->local, "tags", n) : get(s->base, "tags", n);
    const char *license = get(s->base, "license", n);
    char useful[TITLE_BYTES], title[2 * TITLE_BYTES] = "", file[64];
    fb_split split = FB_SPLIT_TRAIN;
    useful_tags(tags ? tags : "", useful);
    append(title, TITLE_BYTES, name, name_bytes(name));
    if (useful[0])
        append(title, sizeof title, useful, strlen(useful));
    image_name(p, file);
    FB_TRY(choose_split(ctx, s, title, &split));
    fb_json_writer w;
    fb_json_begin(&w, s->metadata, 0);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "file_name", file);
    fb_json_key_string(&w, "product_id", get(s->base, "id", n));
    fb_json_key_string(&w, "title", title);
    key_string(&w, "category", get_local(s, "category", n));
    fb_json_key_string(&w, "split", fb_split_name(split));
    fb_json_key_string(&w, "name", name);
    key_string(&w, "tags", useful);
    key_string(&w, "creator", get(s->base, "creator", n));
    key_string(&w, "license",
               license ? license : fb_properties_get(s->base, "license"));
    key_string(&w, "width_cm", get(s->base, "width", n));
    key_string(&w, "depth_cm", get(s->base, "depth", n));
    key_string(&w, "height_cm", get(s->base, "height", n));
    fb_json_key_string(&w, "source", base_name(s->path));
    fb_json_close_object(&w);
    fputc('\n', s->metadata);
    int64_t *counts[FB_SPLITS] = {&s->report->train, &s->report->val, &s->report->test};
    s->report->items++;
    (*counts[split])++;
    return FB_OK;
}

static fb_status write_rows(fb_context *ctx, source *s)
{
    qsort(s->pieces, (size_t)s->count, sizeof *s->pieces, by_number);
    for (int32_t i = 0; i < s->count; i++) {
        if (!s->pieces[i].suffix)
            s->report->skipped++;
        else
            FB_TRY(write_row(ctx, s, &s->pieces[i]));
    }
    return FB_OK;
}

/* ---- all sources --------------------------------------------------------------------
 */

static fb_status read_source(fb_context *ctx, source *s)
{
    FB_TRY(fb_archive_read(ctx, s->path, FB_PROPERTIES_BYTES_MAX, wants_properties,
                           visit_properties, s));
    if (!s->base)
        return fb_fail(ctx, FB_E_MISSING,
                       "%s: no PluginFurnitureCatalog.properties or "
                       "DefaultFurnitureCatalog.properties in it",
                       s->path);
    if (s->options->language[0] && !s->local)
        return fb_fail(ctx, FB_E_MISSING, "%s: no names in the language %.32s", s->path,
                       s->options->language);
    FB_TRY(list_pieces(ctx, s));
    FB_TRY(fb_archive_read(ctx, s->path, ICON_BYTES_MAX, wants_icon, visit_icon, s));
    return write_rows(ctx, s);
}

static void free_source(source *s)
{
    fb_properties_free(s->base);
    fb_properties_free(s->local);
    free(s->pieces);
}

static fb_status parse_split(fb_context *ctx, const char *text, int32_t out[FB_SPLITS])
{
    const char *at = text;
    int64_t sum = 0;
    bool fits = true;
    for (int i = 0; i < FB_SPLITS && fits; i++) {
        char *end;
        long percent = strtol(at, &end, 10);
        fits = *at >= '0' && *at <= '9' && percent <= 100 &&
               *end == (i + 1 < FB_SPLITS ? '/' : 0);
        out[i] = (int32_t)percent;
        sum += percent;
        at = end + 1;
    }
    if (!fits || sum != 100)
        return fb_fail(
            ctx, FB_E_USAGE,
            "split \"%.64s\" is not three percentages of train, val and test "
            "that sum to 100, such as 80/10/10",
            text);
    return FB_OK;
}

static fb_status write_catalogue(fb_context *ctx, const fb_import_options *options,
                                 const int32_t percent[FB_SPLITS], const char *folder,
                                 fb_import_report *report)
{
    char path[4096];
    fb_replace metadata;
    int32_t next_file = 0;
    FB_TRY(fb_path_join(ctx, path, folder, "images"));
    FB_TRY(fb_folder_make(ctx, path));
    FB_TRY(fb_path_join(ctx, path, folder, "metadata.jsonl"));
    FB_TRY(fb_replace_open(ctx, path, &metadata));
    fb_status status = FB_OK;
    for (int32_t i = 0; i < options->source_count && status == FB_OK; i++) {
        source s = {.options = options,
                    .path = options->sources[i],
                    .folder = folder,
                    .split_percent = {percent[0], percent[1], percent[2]},
                    .next_file = &next_file,
                    .metadata = metadata.stream,
                    .report = report};
        status = read_source(ctx, &s);
        free_source(&s);
    }
    if (status == FB_OK && report->items == 0)
        status = fb_fail(ctx, FB_E_FORMAT, "%s: no piece with a name and an icon",
                         options->sources[0]);
    if (status != FB_OK) {
        fb_replace_abandon(&metadata);
        return status;
    }
    return fb_replace_commit(ctx, &metadata);
}

fb_status fb_furniture_import(fb_context *ctx, const fb_import_options *options,
                              fb_import_report *report)
{
    char out[4096], fresh[4096 + 8];
    int32_t percent[FB_SPLITS];
    fb_import_report counts = {0};
    FB_TRY(parse_split(ctx, options->split, percent));
    if (options->source_count < 1)
        return fb_fail(ctx, FB_E_USAGE, "no .sh3f or .jar file to import");
    FB_TRY(fb_path_join(ctx, out, "", options->out));
    for (size_t n = strlen(out); n > 1 && out[n - 1] == '/'; n--)
        out[n - 1] = 0;
    if (!out[0] || fb_path_exists(out))
        return fb_fail(ctx, FB_E_USAGE,
                       "%s: is there already; out must name a folder to make", out);
    snprintf(fresh, sizeof fresh, "%s.new", out);
    FB_TRY(fb_folder_remove(ctx, fresh)); /* of an import that was killed */
    fb_status status = write_catalogue(ctx, options, percent, fresh, &counts);
    if (status == FB_OK)
        status = fb_folder_replace(ctx, fresh, out);
    if (status != FB_OK) {
        (void)fb_folder_remove(NULL, fresh);
        return status;
    }
    *report = counts;
    return FB_OK;
}

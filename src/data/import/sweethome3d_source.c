/* sweethome3d_source.c - the archive is read twice: first its properties, then the
 * icons that they name.
 */
#include "data/import/sweethome3d_source.h"

#include "base/ascii.h"
#include "base/file.h"
#include "data/import/furniture_archive.h"
#include "data/import/properties.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_PIECES = 1000000,
    ICON_BYTES_MAX = 16 << 20,
    TITLE_BYTES = 1024,
    MAX_FIELDS = 16
};
#define ALL_ICONS_BYTES_MAX (1u << 30)

/* Tags that say who supplies a piece, not what it is. */
static const char *const supplier_tags[] = {
    "Blend Swap", "SCPTS", "Default", "eTeks", "Kator Legaz", "Reallusion", "Scopia"};

typedef struct piece {
    const char *number;   /* "17" of name#17 */
    const char *icon;     /* entry of the archive, NULL: the piece has none */
    const uint8_t *bytes; /* of the icon, NULL: the entry is not there */
    size_t size_bytes;
} piece;

typedef struct furniture {
    char path[4096], language[33];
    fb_properties *base, *local;
    piece *pieces; /* [count] */
    int32_t count, at;
    uint8_t **icons; /* [icon_count] whatever pieces' bytes are */
    int32_t icon_count;
    size_t icon_bytes;
    char where[4096 + 64], title[2 * TITLE_BYTES], tags[TITLE_BYTES];
    const char *pairs[2 * MAX_FIELDS];
    int32_t field_count;
} furniture;

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
    const furniture *s = self;
    return is_catalogue(entry, "") ||
           (s->language[0] && is_catalogue(entry, s->language));
}

static fb_status visit_properties(void *self, fb_context *ctx, const char *entry,
                                  uint8_t *bytes, size_t size_bytes)
{
    furniture *s = self;
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
static const char *get_local(const furniture *s, const char *key, const char *number)
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

/* Pieces without an icon come first. */
static int by_icon(const void *a, const void *b)
{
    const piece *x = a, *y = b;
    int order = strcmp(x->icon ? x->icon : "", y->icon ? y->icon : "");
    return order != 0 ? order : by_number(a, b);
}

static fb_status list_pieces(fb_context *ctx, furniture *s)
{
    int32_t keys = fb_properties_count(s->base);
    s->pieces = calloc((size_t)keys + 1, sizeof *s->pieces);
    s->icons = calloc((size_t)keys + 1, sizeof *s->icons);
    if (!s->pieces || !s->icons)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for its pieces", s->path);
    for (int32_t i = 0; i < keys; i++) {
        const char *key = fb_properties_key(s->base, i);
        const char *number = key + 3;
        if (strncmp(key, "id#", 3) != 0 || strlen(number) > 9 || !number[0] ||
            number[strspn(number, "0123456789")] != 0)
            continue;
        const char *icon = get(s->base, "icon", number);
        s->pieces[s->count++] =
            (piece){.number = number, .icon = icon ? icon + strspn(icon, "/") : NULL};
    }
    if (s->count > MAX_PIECES)
        return fb_fail(ctx, FB_E_LIMIT, "%s: more than %d pieces", s->path, MAX_PIECES);
    qsort(s->pieces, (size_t)s->count, sizeof *s->pieces, by_icon);
    return FB_OK;
}

/* ---- icons -------------------------------------------------------------------------
 */

static int icon_against(const void *entry, const void *element)
{
    const piece *p = element;
    return strcmp(entry, p->icon ? p->icon : "");
}

static piece *find_icon(const furniture *s, const char *entry)
{
    return bsearch(entry, s->pieces, (size_t)s->count, sizeof *s->pieces, icon_against);
}

static bool wants_icon(void *self, const char *entry)
{
    const piece *p = entry[0] ? find_icon(self, entry) : NULL;
    return p && !p->bytes;
}

static fb_status visit_icon(void *self, fb_context *ctx, const char *entry,
                            uint8_t *bytes, size_t size_bytes)
{
    furniture *s = self;
    piece *first = find_icon(s, entry), *end = s->pieces + s->count;
    s->icons[s->icon_count++] = bytes;
    s->icon_bytes += size_bytes;
    if (s->icon_bytes > ALL_ICONS_BYTES_MAX)
        return fb_fail(ctx, FB_E_LIMIT, "%s: more than %u bytes of icons", s->path,
                       ALL_ICONS_BYTES_MAX);
    while (first > s->pieces && icon_against(entry, first - 1) == 0)
        first--;
    for (; first < end && icon_against(entry, first) == 0; first++) {
        first->bytes = bytes;
        first->size_bytes = size_bytes;
    }
    return FB_OK;
}

/* ---- records -----------------------------------------------------------------------
 */

static bool is_supplier(const char *tag, size_t length)
{
    for (size_t i = 0; i < sizeof supplier_tags / sizeof *supplier_tags; i++)
        if (strlen(supplier_tags[i]) == length &&
            fb_ascii_compare_start(tag, supplier_tags[i], length) == 0)
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

static void put(furniture *s, const char *name, const char *value)
{
    if (!value || !value[0])
        return;
    s->pairs[2 * s->field_count] = name;
    s->pairs[2 * s->field_count++ + 1] = value;
}

static void fill_fields(furniture *s, const piece *p)
{
    const char *n = p->number, *name = get_local(s, "name", n);
    const char *tags = s->local ? get(s->local, "tags", n) : get(s->base, "tags", n);
    const char *license = get(s->base, "license", n);
    s->field_count = 0;
    s->title[0] = 0;
    useful_tags(tags ? tags : "", s->tags);
    if (name)
        append(s->title, TITLE_BYTES, name, name_bytes(name));
    if (name && s->tags[0])
        append(s->title, sizeof s->title, s->tags, strlen(s->tags));
    put(s, "product_id", get(s->base, "id", n));
    put(s, "title", s->title);
    put(s, "category", get_local(s, "category", n));
    put(s, "name", name);
    put(s, "tags", s->tags);
    put(s, "creator", get(s->base, "creator", n));
    put(s, "license", license ? license : fb_properties_get(s->base, "license"));
    put(s, "width_cm", get(s->base, "width", n));
    put(s, "depth_cm", get(s->base, "depth", n));
    put(s, "height_cm", get(s->base, "height", n));
    put(s, "source", base_name(s->path));
}

static fb_status next(fb_context *ctx, void *self, fb_record *record)
{
    furniture *s = self;
    (void)ctx;
    *record = (fb_record){.end = s->at == s->count, .where = s->where};
    if (record->end)
        return FB_OK;
    const piece *p = &s->pieces[s->at++];
    snprintf(s->where, sizeof s->where, "%s: piece %s", s->path, p->number);
    fill_fields(s, p);
    record->progress = (double)s->at / (double)s->count;
    record->fields = s->pairs;
    record->field_count = s->field_count;
    if (p->bytes)
        record->image = (fb_record_image){.kind = FB_RECORD_IMAGE_BYTES,
                                          .bytes = p->bytes,
                                          .size_bytes = p->size_bytes};
    return FB_OK;
}

static void close_source(void *self)
{
    furniture *s = self;
    fb_properties_free(s->base);
    fb_properties_free(s->local);
    for (int32_t i = 0; i < s->icon_count; i++)
        free(s->icons[i]);
    free(s->icons);
    free(s->pieces);
    free(s);
}

/* ---- open --------------------------------------------------------------------------
 */

static fb_status read_archive(fb_context *ctx, furniture *s)
{
    FB_TRY(fb_archive_read(ctx, s->path, FB_PROPERTIES_BYTES_MAX, wants_properties,
                           visit_properties, s));
    if (!s->base)
        return fb_fail(ctx, FB_E_MISSING,
                       "%s: no PluginFurnitureCatalog.properties or "
                       "DefaultFurnitureCatalog.properties in it",
                       s->path);
    if (s->language[0] && !s->local)
        return fb_fail(ctx, FB_E_MISSING, "%s: no names in the language %s", s->path,
                       s->language);
    FB_TRY(list_pieces(ctx, s));
    FB_TRY(fb_archive_read(ctx, s->path, ICON_BYTES_MAX, wants_icon, visit_icon, s));
    qsort(s->pieces, (size_t)s->count, sizeof *s->pieces, by_number);
    return FB_OK;
}

bool fb_sweethome3d_source_recognise(fb_context *ctx, const char *path)
{
    (void)ctx;
    return fb_path_ends_in(path, ".sh3f") || fb_path_ends_in(path, ".jar");
}

fb_status fb_sweethome3d_source_open(fb_context *ctx, fb_record_source *source,
                                     const char *path, const fb_import_options *options)
{
    furniture *s = calloc(1, sizeof *s);
    if (!s)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", path);
    snprintf(s->path, sizeof s->path, "%s", path);
    snprintf(s->language, sizeof s->language, "%s", options->language);
    fb_status status = read_archive(ctx, s);
    if (status == FB_OK)
        *source = (fb_record_source){.self = s, .next = next, .close = close_source};
    else
        close_source(s);
    return status;
}

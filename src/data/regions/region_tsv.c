/* region_tsv.c - see region_tsv.h. */
#include "data/regions/region_tsv.h"
#include "base/base64.h"
#include "data/regions/region_file.h"
#include "data/text/basic_tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MOST = 10, SIDE_MOST = 1 << 20 };

typedef struct cell {
    const char *text;
    size_t size;
} cell;

/* Which column is what. */
typedef struct layout {
    int32_t columns, width, height, regions, boxes, features;
    int32_t classes, scores; /* 0: none */
} layout;

static const layout layouts[] = {
    {.columns = 6, .width = 1, .height = 2, .regions = 3, .boxes = 4, .features = 5},
    {.columns = 10,
     .height = 1,
     .width = 2,
     .classes = 3,
     .scores = 4,
     .regions = 7,
     .boxes = 8,
     .features = 9},
};

/* ---- one line ----------------------------------------------------------------------
 */

static const layout *split(const char *line, size_t size, cell cells[COLUMNS_MOST],
                           int32_t *count)
{
    const char *end = line + size;
    for (*count = 0;; line++) {
        const char *tab = memchr(line, '\t', (size_t)(end - line));
        const char *stop = tab ? tab : end;
        if (*count < COLUMNS_MOST)
            cells[*count] = (cell){line, (size_t)(stop - line)};
        ++*count;
        line = stop;
        if (!tab)
            break;
    }
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (layouts[i].columns == *count)
            return &layouts[i];
    return NULL;
}

static fb_status read_number(fb_context *ctx, const cell *c, const char *column,
                             int32_t most, int32_t *number)
{
    char digits[16] = "";
    if (c->size > 0 && c->size < sizeof digits)
        memcpy(digits, c->text, c->size);
    char *end = digits;
    long value = strtol(digits, &end, 10);
    /* written as a float by some: 36.0 */
    if (end > digits && end[0] == '.' && end[1 + strspn(end + 1, "0")] == 0)
        end = digits + strlen(digits);
    if (end == digits || *end || value < 0 || value > most)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s is \"%.*s\"; a whole number up to %d is right", column,
                       (int)(c->size > 32 ? 32 : c->size), c->text, (int)most);
    *number = (int32_t)value;
    return FB_OK;
}

/* base64 into *out, which has room for *room bytes. */
static fb_status decode(fb_context *ctx, const cell *c, const char *column, void **out,
                        size_t *room, size_t *bytes)
{
    size_t need = fb_base64_room(c->size) + 1;
    if (need > *room) {
        void *more = realloc(*out, need);
        if (!more)
            return fb_fail(ctx, FB_E_MEMORY, "no memory for %s", column);
        *out = more;
        *room = need;
    }
    if (!fb_base64_decode(c->text, c->size, *out, bytes))
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: %zu characters that are no base64; is the line whole?",
                       column, c->size);
    return FB_OK;
}

static fb_status read_arrays(fb_context *ctx, const cell *cells, const layout *l,
                             fb_region_tsv_room *room, fb_region_record *r)
{
    size_t n = (size_t)r->regions, box_bytes = 0, feature_bytes = 0;
    FB_TRY(decode(ctx, &cells[l->boxes], "boxes", &room->boxes, &room->box_bytes,
                  &box_bytes));
    if (box_bytes != n * 4 * sizeof(float))
        return fb_fail(ctx, FB_E_FORMAT,
                       "boxes: base64 of %zu bytes, %d boxes of 4 numbers are %zu",
                       box_bytes, (int)r->regions, n * 4 * sizeof(float));
    FB_TRY(decode(ctx, &cells[l->features], "features", &room->features,
                  &room->feature_bytes, &feature_bytes));
    if (feature_bytes == 0 || feature_bytes % (n * sizeof(float)) != 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "features: base64 of %zu bytes, %d regions need a multiple of "
                       "%zu",
                       feature_bytes, (int)r->regions, n * sizeof(float));
    size_t width = feature_bytes / (n * sizeof(float));
    if (width > FB_REGION_WIDTH_MOST)
        return fb_fail(ctx, FB_E_FORMAT,
                       "features: base64 of %zu bytes, too many for %d regions",
                       feature_bytes, (int)r->regions);
    r->feature_width = (int32_t)width;
    r->boxes = room->boxes;
    r->features = room->features;
    return FB_OK;
}

/* i64 as i32, in place; what does not fit becomes one that no check lets through. */
static void narrow(int32_t *classes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t wide;
        memcpy(&wide, (const char *)classes + i * sizeof wide, sizeof wide);
        classes[i] = wide < 0 || wide > FB_REGION_CLASSES_MOST ? -1 : (int32_t)wide;
    }
}

static fb_status read_classes(fb_context *ctx, const cell *cells, const layout *l,
                              fb_region_tsv_room *room, fb_region_record *r)
{
    size_t n = (size_t)r->regions, class_bytes = 0, score_bytes = 0;
    if (!l->classes || cells[l->classes].size == 0)
        return FB_OK;
    FB_TRY(decode(ctx, &cells[l->classes], "objects_id", &room->classes,
                  &room->class_bytes, &class_bytes));
    FB_TRY(decode(ctx, &cells[l->scores], "objects_conf", &room->scores,
                  &room->score_bytes, &score_bytes));
    if (class_bytes != n * sizeof(int64_t) || score_bytes != n * sizeof(float))
        return fb_fail(ctx, FB_E_FORMAT,
                       "objects_id and objects_conf: base64 of %zu and %zu bytes, %d "
                       "of i64 and of f32 are %zu and %zu",
                       class_bytes, score_bytes, (int)r->regions, n * sizeof(int64_t),
                       n * sizeof(float));
    narrow(room->classes, n);
    r->classes = room->classes;
    r->scores = room->scores;
    return FB_OK;
}

fb_status fb_region_tsv_read(fb_context *ctx, const char *line, size_t size,
                             fb_region_tsv_room *room, fb_region_record *record)
{
    cell cells[COLUMNS_MOST];
    int32_t count = 0;
    while (size > 0 && line[size - 1] == '\r')
        size--;
    const layout *l = split(line, size, cells, &count);
    if (!l)
        return fb_fail(ctx, FB_E_FORMAT, "%d columns; 6 or 10 are right", (int)count);
    if (cells[0].size == 0 || cells[0].size >= sizeof room->name ||
        memchr(cells[0].text, 0, cells[0].size) ||
        !fb_utf8_is_valid(cells[0].text, cells[0].size))
        return fb_fail(ctx, FB_E_FORMAT,
                       "its image_id is empty, too long, or no UTF-8");
    memcpy(room->name, cells[0].text, cells[0].size);
    room->name[cells[0].size] = 0;
    fb_region_record r = {.name = room->name};
    FB_TRY(
        read_number(ctx, &cells[l->width], "the image's width", SIDE_MOST, &r.width));
    FB_TRY(read_number(ctx, &cells[l->height], "the image's height", SIDE_MOST,
                       &r.height));
    FB_TRY(
        read_number(ctx, &cells[l->regions], "num_boxes", FB_REGIONS_MOST, &r.regions));
    if (r.regions < 1 || r.width < 1 || r.height < 1)
        return fb_fail(ctx, FB_E_FORMAT, "%d boxes in an image of %d x %d",
                       (int)r.regions, (int)r.width, (int)r.height);
    FB_TRY(read_arrays(ctx, cells, l, room, &r));
    FB_TRY(read_classes(ctx, cells, l, room, &r));
    *record = r;
    return FB_OK;
}

void fb_region_tsv_room_clear(fb_region_tsv_room *room)
{
    free(room->boxes);
    free(room->features);
    free(room->classes);
    free(room->scores);
    *room = (fb_region_tsv_room){.boxes = NULL};
}

/* ---- a file ------------------------------------------------------------------------
 */

typedef struct source {
    FILE *stream;
    double file_bytes, read_bytes;
    int64_t line, images;
    char *text;
    size_t text_bytes, size;
    fb_region_tsv_room room;
    struct fb_context why;
    char path[4096];
    char where[4096 + 32];
} source;

static void close_source(void *self)
{
    source *s = self;
    if (s->stream)
        (void)fclose(s->stream);
    fb_region_tsv_room_clear(&s->room);
    free(s->text);
    free(s);
}

/* A line into s->text without its LF; *more false: there is none. A line that is too
 * long keeps its first bytes, s->size tells all of it. */
static fb_status read_line(fb_context *ctx, source *s, bool *more)
{
    int c = EOF;
    s->size = 0;
    while ((c = getc_unlocked(s->stream)) != EOF && c != '\n') {
        if (s->size < FB_REGION_LINE_BYTES_MAX && s->size == s->text_bytes) {
            size_t bytes = s->text_bytes ? 2 * s->text_bytes : 1 << 20;
            char *text = realloc(s->text, bytes);
            if (!text)
                return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for a line", s->path);
            s->text = text;
            s->text_bytes = bytes;
        }
        if (s->size < s->text_bytes)
            s->text[s->size] = (char)c;
        s->size++;
    }
    if (ferror(s->stream))
        return fb_fail(ctx, FB_E_IO, "%s: cannot be read: %s", s->path,
                       strerror(errno));
    *more = c != EOF || s->size > 0;
    s->line += *more;
    s->read_bytes += (double)s->size + 1;
    return FB_OK;
}

static fb_status next(fb_context *ctx, void *self, fb_region_record *record)
{
    source *s = self;
    bool more = true;
    do
        FB_TRY(read_line(ctx, s, &more));
    while (more && (s->size == 0 || (s->size == 1 && s->text[0] == '\r')));
    *record = (fb_region_record){.end = !more};
    fb_status status = FB_OK;
    fb_context_clear(&s->why);
    if (more && s->size > FB_REGION_LINE_BYTES_MAX)
        status = fb_fail(&s->why, FB_E_LIMIT, "a line of %zu bytes, %d are read",
                         s->size, FB_REGION_LINE_BYTES_MAX);
    else if (more)
        status = fb_region_tsv_read(&s->why, s->text, s->size, &s->room, record);
    if (status == FB_E_MEMORY)
        return fb_fail(ctx, status, "%s", s->why.message);
    snprintf(s->where, sizeof s->where, "%s:%lld", s->path, (long long)s->line);
    record->where = s->where;
    record->bad = status != FB_OK;
    record->why = s->why.message;
    record->place = s->images;
    s->images += more;
    record->progress = s->file_bytes > 0 ? s->read_bytes / s->file_bytes : 0;
    return FB_OK;
}

fb_status fb_region_tsv_open(fb_context *ctx, fb_region_source *out, const char *path)
{
    source *s = calloc(1, sizeof *s);
    if (!s)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", path);
    snprintf(s->path, sizeof s->path, "%s", path);
    s->stream = fopen(path, "rbe");
    if (!s->stream) {
        fb_status code = errno == ENOENT ? FB_E_MISSING : FB_E_IO;
        code = fb_fail(ctx, code, "%s: cannot be opened: %s", path, strerror(errno));
        close_source(s);
        return code;
    }
    if (fseek(s->stream, 0, SEEK_END) == 0) { /* not of a pipe */
        s->file_bytes = (double)ftell(s->stream);
        rewind(s->stream);
    }
    *out = (fb_region_source){.self = s, .next = next, .close = close_source};
    return FB_OK;
}

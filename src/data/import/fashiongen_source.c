/* fashiongen_source.c - see fashiongen_source.h. */
#include "data/import/fashiongen_source.h"
#include "base/ascii.h"
#include "base/random.h"
#include "data/import/field_list.h"
#include "data/import/hdf5_columns.h"

#include <stdlib.h>
#include <string.h>

enum { VAL_ONE_IN = 100 };

typedef struct field {
    const char *dataset, *name;
    bool required;
} field;

/* The first ones are looked up by their place. */
enum { NAME, DESCRIPTION, PRODUCT, FIRST_OTHER };

static const field fields[] = {
    [NAME] = {"input_name", "name", true},
    [DESCRIPTION] = {"input_description", "description", true},
    [PRODUCT] = {"input_productID", "product_id", true},
    {"input_category", "category", true},
    {"input_subcategory", "subcategory", false},
    {"input_brand", "brand", false},
    {"input_composition", "composition", false},
    {"input_concat_description", "concat_description", false},
    {"input_department", "department", false},
    {"input_gender", "gender", false},
    {"input_msrpUSD", "msrpUSD", false},
    {"input_pose", "pose", false},
    {"input_season", "season", false},
};
enum { FIELDS = sizeof fields / sizeof *fields };
static const char image_dataset[] = "input_image";
static const char *const made_fields[] = {"title", "id", "split"};
enum { MADE = sizeof made_fields / sizeof *made_fields };

typedef struct source {
    fb_hdf5_file *file;
    fb_hdf5_column *column[FIELDS]; /* NULL: not in the file */
    fb_hdf5_column *images;
    int64_t row, rows;
    int32_t width, height;
    bool is_test;
    char *title;
    size_t title_bytes;
    const char *names[FIELDS + MADE]; /* that every record has */
    int32_t name_count;
    fb_field_list list;
    char stem[256];
    char where[4096 + 32];
    char path[4096];
} source;

bool fb_fashiongen_source_recognise(fb_context *ctx, const char *path)
{
    (void)ctx;
    const char *dot = strrchr(path, '.');
    return dot &&
           (fb_ascii_compare(dot, ".h5") == 0 || fb_ascii_compare(dot, ".hdf5") == 0);
}

static void close_source(void *self)
{
    source *s = self;
    for (int32_t i = 0; i < FIELDS; i++)
        fb_hdf5_column_close(s->column[i]);
    fb_hdf5_column_close(s->images);
    fb_hdf5_close(s->file);
    fb_field_list_free(&s->list);
    free(s->title);
    free(s);
}

/* ---- records -----------------------------------------------------------------------
 */

static fb_status add(fb_context *ctx, source *s, const char *name, const char *value)
{
    return fb_field_list_add(ctx, &s->list, name, value, strlen(value));
}

static fb_status add_title(fb_context *ctx, source *s)
{
    const char *name = fb_field_list_get(&s->list, "name");
    const char *description = fb_field_list_get(&s->list, "description");
    size_t size = strlen(name) + strlen(description) + 3;
    if (size > s->title_bytes) {
        char *more = realloc(s->title, size);
        if (!more)
            return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for a title", s->path);
        s->title = more;
        s->title_bytes = size;
    }
    snprintf(s->title, size, "%s%s%s", name, name[0] && description[0] ? ". " : "",
             description);
    return add(ctx, s, "title", s->title);
}

static const char *choose_split(const source *s)
{
    const char *product = fb_field_list_get(&s->list, "product_id");
    if (s->is_test)
        return "test";
    uint64_t hash = fb_hash_bytes(FB_STREAM_SPLIT, product, strlen(product));
    return hash % VAL_ONE_IN == 0 ? "val" : "train";
}

static fb_status add_fields(fb_context *ctx, source *s)
{
    char id[sizeof s->stem + 24];
    fb_field_list_clear(&s->list);
    for (int32_t i = 0; i < FIELDS; i++) {
        const char *text = NULL;
        if (!s->column[i])
            continue;
        FB_TRY(fb_hdf5_text_row(ctx, s->column[i], s->row, &text));
        FB_TRY(add(ctx, s, fields[i].name, text));
    }
    FB_TRY(add_title(ctx, s));
    snprintf(id, sizeof id, "%s:%lld", s->stem, (long long)s->row);
    FB_TRY(add(ctx, s, "id", id));
    return add(ctx, s, "split", choose_split(s));
}

static fb_status next(fb_context *ctx, void *self, fb_record *record)
{
    source *s = self;
    const uint8_t *pixels = NULL;
    *record = (fb_record){.end = s->row == s->rows, .progress = 1};
    if (record->end)
        return FB_OK;
    snprintf(s->where, sizeof s->where, "%s: row %lld", s->path, (long long)s->row);
    FB_TRY(add_fields(ctx, s));
    FB_TRY(fb_hdf5_image_row(ctx, s->images, s->row, &pixels));
    record->progress = (double)s->row / (double)s->rows;
    record->where = s->where;
    record->fields = s->list.pairs;
    record->field_count = s->list.count;
    record->image = (fb_record_image){
        .kind = FB_RECORD_IMAGE_PIXELS,
        .bytes = pixels,
        .size_bytes = (size_t)s->width * (size_t)s->height * 3,
        .width = s->width,
        .height = s->height,
    };
    s->row++;
    return FB_OK;
}

/* ---- opening -----------------------------------------------------------------------
 */

/* All that is missing in one sentence. */
static fb_status check_fields(fb_context *ctx, const source *s)
{
    char missing[512] = "";
    size_t used = 0;
    for (int32_t i = 0; i <= FIELDS; i++) {
        const char *name = i < FIELDS ? fields[i].dataset : image_dataset;
        bool required = i == FIELDS || fields[i].required;
        if (required && !fb_hdf5_has(s->file, name))
            used += (size_t)snprintf(missing + used, sizeof missing - used, "%s%s",
                                     used ? ", " : "", name);
    }
    if (!used)
        return FB_OK;
    return fb_fail(ctx, FB_E_MISSING,
                   "%s: not a Fashion-Gen file: without the datasets %s", s->path,
                   missing);
}

static fb_status check_rows(fb_context *ctx, const source *s, const char *dataset,
                            const fb_hdf5_column *column)
{
    if (fb_hdf5_rows(column) == s->rows)
        return FB_OK;
    return fb_fail(ctx, FB_E_SHAPE, "%s: %s has %lld rows, %s %lld", s->path, dataset,
                   (long long)fb_hdf5_rows(column), image_dataset, (long long)s->rows);
}

static fb_status open_columns(fb_context *ctx, source *s)
{
    FB_TRY(fb_hdf5_open(ctx, &s->file, s->path));
    FB_TRY(check_fields(ctx, s));
    FB_TRY(fb_hdf5_images_open(ctx, &s->images, s->file, image_dataset));
    fb_hdf5_image_size(s->images, &s->width, &s->height);
    s->rows = fb_hdf5_rows(s->images);
    for (int32_t i = 0; i < FIELDS; i++) {
        if (!fb_hdf5_has(s->file, fields[i].dataset))
            continue;
        FB_TRY(fb_hdf5_text_open(ctx, &s->column[i], s->file, fields[i].dataset));
        FB_TRY(check_rows(ctx, s, fields[i].dataset, s->column[i]));
        s->names[s->name_count++] = fields[i].name;
    }
    for (int32_t i = 0; i < MADE; i++)
        s->names[s->name_count++] = made_fields[i];
    return fb_field_list_create(ctx, &s->list);
}

/* The file's name without folder and ending. */
static void take_names(source *s, const char *path)
{
    const char *slash = strrchr(path, '/');
    snprintf(s->path, sizeof s->path, "%s", path);
    snprintf(s->stem, sizeof s->stem, "%.255s", slash ? slash + 1 : path);
    char *dot = strrchr(s->stem, '.');
    if (dot)
        *dot = 0;
    s->is_test = fb_ascii_find(s->stem, "valid") || fb_ascii_find(s->stem, "test");
}

fb_status fb_fashiongen_source_open(fb_context *ctx, fb_record_source *out,
                                    const char *path, const fb_import_options *options)
{
    (void)options;
    source *s = calloc(1, sizeof *s);
    if (!s)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", path);
    take_names(s, path);
    fb_status status = open_columns(ctx, s);
    if (status != FB_OK) {
        close_source(s);
        return status;
    }
    *out = (fb_record_source){.self = s,
                              .next = next,
                              .close = close_source,
                              .columns = s->names,
                              .column_count = s->name_count,
                              .has_images = true};
    return FB_OK;
}

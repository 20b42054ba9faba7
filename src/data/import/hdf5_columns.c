/* hdf5_columns.c - see hdf5_columns.h. HDF5 keeps the reason of a failure in a stack of
 * its own; the innermost one goes into the sentence, and nothing is printed. */
#include "data/import/hdf5_columns.h"
#include "base/file.h"
#include "base/number_text.h"
#include "data/import/hdf5_text.h"

#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIELD_BYTES_MAX = 1 << 20, /* of a fixed string */
    IMAGE_SIDE_MAX = 8192,
    BLOCK_BYTES = 4 << 20,       /* that a block is about as large as */
    CHUNK_BYTES_MAX = 256 << 20, /* that a chunk of images may have */
    VARIABLE_ROWS = 1024,        /* of a block of pointers */
    NAME_BYTES = 64
};

struct fb_hdf5_file {
    hid_t id;
    char path[];
};

/* A string of fixed size, a pointer to a string, i64, f64, or an image. */
typedef enum column_kind { FIXED, VARIABLE, INTEGER, REAL, IMAGE } column_kind;

struct fb_hdf5_column {
    const fb_hdf5_file *file;
    char name[NAME_BYTES];
    hid_t dataset, type; /* type: of the rows in memory */
    column_kind kind;
    bool utf8;
    int32_t rank;
    hsize_t dims[4];
    size_t row_bytes;
    int64_t block_rows;        /* that are read at once */
    int64_t first, block_size; /* the rows that are there */
    uint8_t *block;
    char *text;
    size_t text_bytes;
};

bool fb_hdf5_is_built_in(void)
{
    return true;
}

/* ---- failures ----------------------------------------------------------------------
 */

static herr_t keep_reason(unsigned n, const H5E_error2_t *error, void *self)
{
    char *reason = self;
    if (n == 0 && error->desc)
        snprintf(reason, 256, "%s", error->desc);
    return 0;
}

static fb_status fail_hdf5(fb_context *ctx, const char *path, const char *name)
{
    char reason[256] = "unknown error";
    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_reason, reason);
    return fb_fail(ctx, FB_E_FORMAT, "%s%s%s: cannot be read as HDF5: %s", path,
                   name[0] ? ": " : "", name, reason);
}

/* ---- files -------------------------------------------------------------------------
 */

fb_status fb_hdf5_open(fb_context *ctx, fb_hdf5_file **file, const char *path)
{
    if (!fb_path_exists(path))
        return fb_fail(ctx, FB_E_MISSING, "%s: no such file", path);
    size_t length = strlen(path);
    fb_hdf5_file *f = malloc(sizeof *f + length + 1);
    if (!f)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", path);
    memcpy(f->path, path, length + 1);
    if (H5open() < 0 || H5Eset_auto2(H5E_DEFAULT, NULL, NULL) < 0)
        f->id = H5I_INVALID_HID;
    else
        f->id = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (f->id < 0) {
        fb_status status = fail_hdf5(ctx, path, "");
        free(f);
        return status;
    }
    *file = f;
    return FB_OK;
}

void fb_hdf5_close(fb_hdf5_file *file)
{
    if (!file)
        return;
    (void)H5Fclose(file->id);
    free(file);
}

bool fb_hdf5_has(const fb_hdf5_file *file, const char *name)
{
    return H5Lexists(file->id, name, H5P_DEFAULT) > 0;
}

/* ---- columns -----------------------------------------------------------------------
 */

static fb_status fail_shape(fb_context *ctx, const fb_hdf5_column *c, const char *right)
{
    char shape[128] = "";
    for (int32_t i = 0; i < c->rank && i < 4; i++) {
        size_t used = strlen(shape);
        snprintf(shape + used, sizeof shape - used, "%s%llu", i ? ", " : "",
                 (unsigned long long)c->dims[i]);
    }
    return fb_fail(ctx, FB_E_SHAPE, "%s: %s has %d dimensions (%s), %s is right",
                   c->file->path, c->name, (int)c->rank, shape, right);
}

/* The dataset's shape, and what a row of it is. */
static fb_status look_at(fb_context *ctx, fb_hdf5_column *c)
{
    hid_t space = H5Dget_space(c->dataset);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    fb_status status = FB_OK;
    c->rank = rank;
    if (rank < 0 || (rank <= 4 && H5Sget_simple_extent_dims(space, c->dims, NULL) < 0))
        status = fail_hdf5(ctx, c->file->path, c->name);
    else if (rank < 1 || rank > 4)
        status = fail_shape(ctx, c, "1, 2 or 4");
    else if (c->dims[0] > INT32_MAX)
        status = fb_fail(ctx, FB_E_LIMIT, "%s: %s: more than %d rows", c->file->path,
                         c->name, INT32_MAX);
    if (space >= 0)
        (void)H5Sclose(space);
    return status;
}

static fb_status fail_type(fb_context *ctx, const fb_hdf5_column *c, const char *right)
{
    return fb_fail(ctx, FB_E_DTYPE, "%s: %s is of another type, %s is right",
                   c->file->path, c->name, right);
}

static fb_status choose_text_type(fb_context *ctx, fb_hdf5_column *c, hid_t stored)
{
    static const char right[] = "text or a number";
    H5T_class_t class = H5Tget_class(stored);
    if (class == H5T_INTEGER) {
        c->kind = INTEGER;
        c->row_bytes = sizeof(int64_t);
        c->type = H5Tcopy(H5T_NATIVE_INT64);
    } else if (class == H5T_FLOAT) {
        c->kind = REAL;
        c->row_bytes = sizeof(double);
        c->type = H5Tcopy(H5T_NATIVE_DOUBLE);
    } else if (class != H5T_STRING) {
        return fail_type(ctx, c, right);
    } else {
        htri_t variable = H5Tis_variable_str(stored);
        c->kind = variable > 0 ? VARIABLE : FIXED;
        c->row_bytes = variable > 0 ? sizeof(char *) : H5Tget_size(stored);
        c->type = H5Tcopy(stored);
        c->utf8 = H5Tget_cset(stored) == H5T_CSET_UTF8;
        if (variable < 0 || c->row_bytes == 0)
            return fail_hdf5(ctx, c->file->path, c->name);
    }
    if (c->row_bytes > FIELD_BYTES_MAX)
        return fb_fail(ctx, FB_E_LIMIT, "%s: %s: strings of %zu bytes, %d at most",
                       c->file->path, c->name, c->row_bytes, FIELD_BYTES_MAX);
    return c->type < 0 ? fail_hdf5(ctx, c->file->path, c->name) : FB_OK;
}

static fb_status check_text(fb_context *ctx, fb_hdf5_column *c, hid_t stored)
{
    if (c->rank > 2 || (c->rank == 2 && c->dims[1] != 1))
        return fail_shape(ctx, c, "(N, 1)");
    FB_TRY(choose_text_type(ctx, c, stored));
    c->block_rows = (int64_t)(BLOCK_BYTES / c->row_bytes);
    if (c->kind == VARIABLE)
        c->block_rows = VARIABLE_ROWS;
    return FB_OK;
}

static fb_status check_images(fb_context *ctx, fb_hdf5_column *c, hid_t stored)
{
    if (c->rank != 4 || c->dims[3] != 3 || c->dims[1] < 1 || c->dims[2] < 1 ||
        c->dims[1] > IMAGE_SIDE_MAX || c->dims[2] > IMAGE_SIDE_MAX)
        return fail_shape(ctx, c, "(N, height, width, 3)");
    if (H5Tget_class(stored) != H5T_INTEGER || H5Tget_size(stored) != 1)
        return fail_type(ctx, c, "unsigned bytes");
    c->kind = IMAGE;
    c->row_bytes = (size_t)(c->dims[1] * c->dims[2] * 3);
    c->type = H5Tcopy(H5T_NATIVE_UINT8);
    c->block_rows = 1 + (int64_t)(BLOCK_BYTES / c->row_bytes);
    return c->type < 0 ? fail_hdf5(ctx, c->file->path, c->name) : FB_OK;
}

/* Blocks of whole chunks, so that each is unpacked once. */
static fb_status fit_chunks(fb_context *ctx, fb_hdf5_column *c)
{
    hsize_t chunk[4] = {1};
    hid_t list = H5Dget_create_plist(c->dataset);
    if (list < 0)
        return fail_hdf5(ctx, c->file->path, c->name);
    if (H5Pget_layout(list) == H5D_CHUNKED && H5Pget_chunk(list, 4, chunk) > 0) {
        int64_t rows = (int64_t)chunk[0];
        if (rows > 0 && (uint64_t)rows * c->row_bytes <= CHUNK_BYTES_MAX)
            c->block_rows = (c->block_rows + rows - 1) / rows * rows;
    }
    (void)H5Pclose(list);
    if (c->block_rows < 1)
        c->block_rows = 1;
    if (c->block_rows > (int64_t)c->dims[0])
        c->block_rows = c->dims[0] ? (int64_t)c->dims[0] : 1;
    c->block = calloc((size_t)c->block_rows, c->row_bytes);
    return c->block ? FB_OK
                    : fb_fail(ctx, FB_E_MEMORY, "%s: %s: no memory for %lld rows",
                              c->file->path, c->name, (long long)c->block_rows);
}

typedef fb_status (*check_column)(fb_context *ctx, fb_hdf5_column *c, hid_t stored);

static fb_status open_column(fb_context *ctx, fb_hdf5_column **column,
                             fb_hdf5_file *file, const char *name, check_column check)
{
    if (!fb_hdf5_has(file, name))
        return fb_fail(ctx, FB_E_MISSING, "%s: has no dataset %s", file->path, name);
    fb_hdf5_column *c = calloc(1, sizeof *c);
    if (!c)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", file->path);
    snprintf(c->name, sizeof c->name, "%s", name);
    c->file = file;
    c->type = H5I_INVALID_HID;
    c->dataset = H5Dopen2(file->id, name, H5P_DEFAULT);
    hid_t stored = c->dataset < 0 ? H5I_INVALID_HID : H5Dget_type(c->dataset);
    fb_status status = FB_OK;
    if (stored < 0)
        status = fail_hdf5(ctx, file->path, name);
    if (status == FB_OK)
        status = look_at(ctx, c);
    if (status == FB_OK)
        status = check(ctx, c, stored);
    if (status == FB_OK)
        status = fit_chunks(ctx, c);
    if (stored >= 0)
        (void)H5Tclose(stored);
    if (status == FB_OK)
        *column = c;
    else
        fb_hdf5_column_close(c);
    return status;
}

fb_status fb_hdf5_text_open(fb_context *ctx, fb_hdf5_column **column,
                            fb_hdf5_file *file, const char *name)
{
    return open_column(ctx, column, file, name, check_text);
}

fb_status fb_hdf5_images_open(fb_context *ctx, fb_hdf5_column **column,
                              fb_hdf5_file *file, const char *name)
{
    return open_column(ctx, column, file, name, check_images);
}

/* The strings of a block of pointers. */
static void release_block(fb_hdf5_column *c)
{
    for (int64_t i = 0; c->kind == VARIABLE && i < c->block_size; i++)
        H5free_memory(((char **)(void *)c->block)[i]);
    c->block_size = 0;
}

void fb_hdf5_column_close(fb_hdf5_column *column)
{
    if (!column)
        return;
    release_block(column);
    if (column->type >= 0)
        (void)H5Tclose(column->type);
    if (column->dataset >= 0)
        (void)H5Dclose(column->dataset);
    free(column->block);
    free(column->text);
    free(column);
}

int64_t fb_hdf5_rows(const fb_hdf5_column *column)
{
    return (int64_t)column->dims[0];
}

void fb_hdf5_image_size(const fb_hdf5_column *column, int32_t *width, int32_t *height)
{
    *height = (int32_t)column->dims[1];
    *width = (int32_t)column->dims[2];
}

/* ---- rows --------------------------------------------------------------------------
 */

static fb_status read_block(fb_context *ctx, fb_hdf5_column *c, int64_t row)
{
    int64_t first = row / c->block_rows * c->block_rows;
    int64_t count = (int64_t)c->dims[0] - first;
    if (count > c->block_rows)
        count = c->block_rows;
    hsize_t start[4] = {(hsize_t)first},
            size[4] = {(hsize_t)count, c->dims[1], c->dims[2], c->dims[3]};
    release_block(c);
    hid_t space = H5Dget_space(c->dataset);
    hid_t memory = H5Screate_simple(c->rank, size, NULL);
    bool read =
        space >= 0 && memory >= 0 &&
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, size, NULL) >= 0 &&
        H5Dread(c->dataset, c->type, memory, space, H5P_DEFAULT, c->block) >= 0;
    fb_status status = read ? FB_OK : fail_hdf5(ctx, c->file->path, c->name);
    if (memory >= 0)
        (void)H5Sclose(memory);
    if (space >= 0)
        (void)H5Sclose(space);
    if (read) {
        c->first = first;
        c->block_size = count;
    }
    return status;
}

static fb_status find_row(fb_context *ctx, fb_hdf5_column *c, int64_t row,
                          const uint8_t **bytes)
{
    if (row < c->first || row >= c->first + c->block_size)
        FB_TRY(read_block(ctx, c, row));
    *bytes = c->block + (size_t)(row - c->first) * c->row_bytes;
    return FB_OK;
}

static fb_status make_room(fb_context *ctx, fb_hdf5_column *c, size_t bytes)
{
    if (bytes <= c->text_bytes)
        return FB_OK;
    char *more = realloc(c->text, bytes);
    if (!more)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for a string", c->file->path);
    c->text = more;
    c->text_bytes = bytes;
    return FB_OK;
}

fb_status fb_hdf5_text_row(fb_context *ctx, fb_hdf5_column *c, int64_t row,
                           const char **text)
{
    const uint8_t *bytes = NULL;
    size_t size = c->row_bytes;
    FB_TRY(find_row(ctx, c, row, &bytes));
    if (c->kind == VARIABLE) {
        const char *string;
        memcpy(&string, bytes, sizeof string);
        bytes = (const uint8_t *)(string ? string : "");
        size = strlen((const char *)bytes);
    }
    FB_TRY(make_room(ctx, c, 2 * size + 64));
    if (c->kind == INTEGER) {
        int64_t number;
        memcpy(&number, bytes, sizeof number);
        snprintf(c->text, c->text_bytes, "%lld", (long long)number);
    } else if (c->kind == REAL) {
        double number;
        memcpy(&number, bytes, sizeof number);
        fb_text_print(c->text, c->text_bytes, "%.9g", number);
    } else {
        (void)fb_hdf5_field(bytes, size, c->utf8, c->text);
    }
    *text = c->text;
    return FB_OK;
}

fb_status fb_hdf5_image_row(fb_context *ctx, fb_hdf5_column *c, int64_t row,
                            const uint8_t **pixels)
{
    return find_row(ctx, c, row, pixels);
}

/* hdf5_columns.h - an HDF5 file as a table: each dataset is a column, its first
 * dimension the rows.
 *
 *     text or number    (N,) or (N, 1): fixed or variable strings, integers, floats
 *     images            (N, height, width, 3) u8
 *
 * Rows are read in blocks, so that memory stays bounded and compressed chunks are
 * unpacked once. Strings are Latin-1 bytes, padded with 0 bytes or blanks.
 *
 * All of HDF5 is in hdf5_columns.c. Where the program was built without it,
 * hdf5_columns_missing.c says so in its place.
 */
#ifndef FB_DATA_IMPORT_HDF5_COLUMNS_H
#define FB_DATA_IMPORT_HDF5_COLUMNS_H

#include "base/status.h"

typedef struct fb_hdf5_file fb_hdf5_file;

bool fb_hdf5_is_built_in(void);

/* FB_E_MISSING  no such file, or built without HDF5
 * FB_E_FORMAT   no HDF5 file, or damaged */
fb_status fb_hdf5_open(fb_context *ctx, fb_hdf5_file **file, const char *path);
/* Columns that were opened must be closed before. */
void fb_hdf5_close(fb_hdf5_file *file);
bool fb_hdf5_has(const fb_hdf5_file *file, const char *name);

typedef struct fb_hdf5_column fb_hdf5_column;

/* FB_E_MISSING no such dataset; FB_E_SHAPE, FB_E_DTYPE, FB_E_LIMIT say what it is and
 * what would be right. */
fb_status fb_hdf5_text_open(fb_context *ctx, fb_hdf5_column **column,
                            fb_hdf5_file *file, const char *name);
fb_status fb_hdf5_images_open(fb_context *ctx, fb_hdf5_column **column,
                              fb_hdf5_file *file, const char *name);
void fb_hdf5_column_close(fb_hdf5_column *column);

int64_t fb_hdf5_rows(const fb_hdf5_column *column);
void fb_hdf5_image_size(const fb_hdf5_column *column, int32_t *width, int32_t *height);

/* A row as UTF-8 or pixels [height, width, 3], until the column's next call. Rows are
 * asked for in any order, best ascending. FB_E_FORMAT: cannot be read. */
fb_status fb_hdf5_text_row(fb_context *ctx, fb_hdf5_column *column, int64_t row,
                           const char **text);
fb_status fb_hdf5_image_row(fb_context *ctx, fb_hdf5_column *column, int64_t row,
                            const uint8_t **pixels);

#endif

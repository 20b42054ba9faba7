/* hdf5_columns_missing.c - in place of hdf5_columns.c where there is no HDF5. */
#include "data/import/hdf5_columns.h"

bool fb_hdf5_is_built_in(void)
{
    return false;
}

fb_status fb_hdf5_open(fb_context *ctx, fb_hdf5_file **file, const char *path)
{
    (void)file;
    return fb_fail(ctx, FB_E_MISSING,
                   "%s: this program was built without HDF5; install it (Debian: "
                   "libhdf5-dev) and build again",
                   path);
}

void fb_hdf5_close(fb_hdf5_file *file)
{
    (void)file;
}

bool fb_hdf5_has(const fb_hdf5_file *file, const char *name)
{
    (void)file;
    (void)name;
    return false;
}

static fb_status fail_missing(fb_context *ctx)
{
    return fb_fail(ctx, FB_E_MISSING, "this program was built without HDF5");
}

fb_status fb_hdf5_text_open(fb_context *ctx, fb_hdf5_column **column,
                            fb_hdf5_file *file, const char *name)
{
    (void)column;
    (void)file;
    (void)name;
    return fail_missing(ctx);
}

fb_status fb_hdf5_images_open(fb_context *ctx, fb_hdf5_column **column,
                              fb_hdf5_file *file, const char *name)
{
    return fb_hdf5_text_open(ctx, column, file, name);
}

void fb_hdf5_column_close(fb_hdf5_column *column)
{
    (void)column;
}

int64_t fb_hdf5_rows(const fb_hdf5_column *column)
{
    (void)column;
    return 0;
}

void fb_hdf5_image_size(const fb_hdf5_column *column, int32_t *width, int32_t *height)
{
    (void)column;
    *width = *height = 0;
}

fb_status fb_hdf5_text_row(fb_context *ctx, fb_hdf5_column *column, int64_t row,
                           const char **text)
{
    (void)column;
    (void)row;
    (void)text;
    return fail_missing(ctx);
}

fb_status fb_hdf5_image_row(fb_context *ctx, fb_hdf5_column *column, int64_t row,
                            const uint8_t **pixels)
{
    (void)column;
    (void)row;
    (void)pixels;
    return fail_missing(ctx);
}

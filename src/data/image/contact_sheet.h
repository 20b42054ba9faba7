/* contact_sheet.h - rows of captioned pictures in one PNG, for a person to look at.
 *
 *     caption of row 0
 *     [thumb] [thumb] [thumb]        letterboxed on white, thumb_size pixels a side
 *      label   label   label         a line under each, when any has one
 *     caption of row 1
 *     ...
 *
 * Captions are in a built-in 5x7 font of ASCII; any other character is a hollow box. A
 * caption that is too long ends in "...".
 */
#ifndef FB_DATA_IMAGE_CONTACT_SHEET_H
#define FB_DATA_IMAGE_CONTACT_SHEET_H

#include "base/status.h"

typedef struct fb_sheet_row {
    const char *caption;            /* UTF-8; NULL or "": none */
    const char *const *image_files; /* [count] */
    const char *const *labels;      /* [count], each may be NULL; NULL: none */
    int32_t count;
} fb_sheet_row;

/* thumb_size 0: 128.
 * FB_E_USAGE   no row or no image, thumb_size not 16 to 1024
 * FB_E_LIMIT   the sheet would have more than FB_IMAGE_PIXELS_MAX pixels
 * and what reading an image or writing the file gives; an older file at `path` stays.
 */
fb_status fb_contact_sheet_write(fb_context *ctx, const char *path,
                                 const fb_sheet_row *rows, int32_t row_count,
                                 int32_t thumb_size);

#endif

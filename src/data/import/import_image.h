/* import_image.h - one image of a source, checked by decoding and stored in a
 * catalogue.
 *
 *     original   the bytes as they are; pixels become a PNG
 *     resized    longer side shrunk to `size` and written as JPEG, where that has fewer
 *                bytes than the original, else the original; pixels become a JPEG
 *
 * The longer side, so that training which pads images to `size` then resizes nothing.
 * The suffix is that of the content: .jpg, .png or .webp.
 */
#ifndef FB_DATA_IMPORT_IMPORT_IMAGE_H
#define FB_DATA_IMPORT_IMPORT_IMAGE_H

#include "data/image/perceptual_hash.h"
#include "data/import/record_source.h"
#include "fashionbert.h"

enum { FB_IMPORT_JPEG_QUALITY = 92 };

typedef struct fb_stored_image {
    const char *suffix;
    uint64_t hash; /* of the stored bytes */
    int64_t size_bytes;
    fb_look look; /* of the image before it is resized */
    bool resized;
    double decode_s; /* of processor time */
} fb_stored_image;

/* Write stem + suffix (not synced). resize 0: original, else pixels of the longer side.
 * What is wrong with the image is *fault with a sentence in the context, and the status
 * FB_OK; other failures are of writing and of memory. FB_E_IO, FB_E_LIMIT (the path),
 * FB_E_MEMORY */
fb_status fb_import_image_store(fb_context *ctx, fb_resizer *resizer,
                                const fb_record_image *image, const char *stem,
                                int32_t resize, fb_stored_image *stored,
                                fb_record_fault *fault);

/* Of what the image is now, to see that a source did not change: size and time of a
 * file, else its bytes. 0: there is none. */
uint64_t fb_import_image_stamp(const fb_record_image *image);

/* Whether the file at path has these bytes. */
bool fb_import_image_is_there(const char *path, int64_t size_bytes, uint64_t hash);

#endif

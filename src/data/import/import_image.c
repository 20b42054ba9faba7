/* import_image.c - see import_image.h. */
#include "data/import/import_image.h"

#include "base/file.h"
#include "base/intern.h"
#include "base/memory_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Of a file that was decoded. */
static const char *suffix_of(const uint8_t *bytes)
{
    return bytes[0] == 0xff ? ".jpg" : bytes[0] == 0x89 ? ".png" : ".webp";
}

static double thread_seconds(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0
               ? (double)t.tv_sec + 1e-9 * (double)t.tv_nsec
               : 0;
}

/* ---- bytes in ----------------------------------------------------------------------
 */

/* The encoded file; *own is to be freed. */
static fb_status read_bytes(fb_context *ctx, const fb_record_image *image,
                            const uint8_t **bytes, size_t *size, uint8_t **own,
                            fb_record_fault *fault)
{
    *bytes = image->bytes;
    *size = image->size_bytes;
    if (image->kind == FB_RECORD_IMAGE_BYTES)
        return FB_OK;
    fb_status status = fb_file_read(ctx, image->path, FB_IMAGE_BYTES_MAX, own, size);
    *bytes = *own;
    if (status == FB_E_MEMORY || status == FB_E_IO || status == FB_OK)
        return status; /* not the data's */
    *fault = status == FB_E_MISSING ? FB_RECORD_BAD_NO_IMAGE : FB_RECORD_BAD_IMAGE;
    return FB_OK;
}

/* ---- bytes out ---------------------------------------------------------------------
 */

static fb_status write_file(fb_context *ctx, const char *stem, const uint8_t *bytes,
                            size_t size, fb_stored_image *stored)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s%s", stem, stored->suffix);
    if (length < 0 || (size_t)length >= sizeof path)
        return fb_fail(ctx, FB_E_LIMIT, "%.64s...: path longer than 4095 bytes", stem);
    FILE *file = fopen(path, "wbe");
    bool written = file && fwrite(bytes, 1, size, file) == size;
    if (file && fclose(file) != 0)
        written = false;
    if (!written)
        return fb_fail(ctx, FB_E_IO, "%s: cannot be written: %s", path,
                       strerror(errno));
    stored->size_bytes = (int64_t)size;
    stored->hash = fb_hash_bytes(0, bytes, size);
    return FB_OK;
}

/* Encoded in memory; a PNG with jpeg false. */
static fb_status encode(fb_context *ctx, const fb_image *image, const char *name,
                        bool jpeg, char **bytes, size_t *size)
{
    FILE *stream = fb_memory_open(bytes, size);
    if (!stream)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to write it", name);
    fb_status status = jpeg ? fb_image_encode_jpeg(ctx, stream, name, image,
                                                   FB_IMPORT_JPEG_QUALITY, false)
                            : fb_image_encode_png(ctx, stream, name, image);
    if (!fb_memory_close(stream, bytes) && status == FB_OK)
        status = fb_fail(ctx, FB_E_MEMORY, "%s: no memory to write it", name);
    return status;
}

/* The image with a longer side of at most `side`, its own pixels where it has no more.
 */
static fb_status shrink(fb_context *ctx, fb_resizer *resizer, const fb_image *image,
                        int32_t side, fb_image *small)
{
    int32_t longer = image->width > image->height ? image->width : image->height;
    double scale = (double)side / (double)longer;
    int32_t width = (int32_t)((double)image->width * scale + 0.5);
    int32_t height = (int32_t)((double)image->height * scale + 0.5);
    *small = (fb_image){width < 1 ? 1 : width, height < 1 ? 1 : height, NULL};
    size_t row_bytes = (size_t)small->width * 3;
    small->rgb = malloc(row_bytes * (size_t)small->height);
    if (!small->rgb)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to resize an image");
    return fb_image_resize(ctx, resizer, small->rgb, row_bytes, small->width,
                           small->height, image, FB_FILTER_BICUBIC);
}

/* How one image is kept, and what of it is told. */
typedef struct keeping {
    fb_resizer *resizer;
    const char *stem; /* of the path, without suffix */
    int32_t side;     /* pixels of the longer side, at most; 0: as many as it has */
    fb_stored_image *stored;
    fb_record_fault *fault;
} keeping;

/* Encode what is kept of `image` as JPEG or PNG, and write it where it has less than
 * most_bytes; *written says whether. */
static fb_status write_encoded(fb_context *ctx, const keeping *k, const fb_image *image,
                               bool jpeg, size_t most_bytes, bool *written)
{
    fb_image small = {0};
    char *bytes = NULL;
    size_t size = 0;
    bool shrunk = k->side > 0 && (image->width > k->side || image->height > k->side);
    fb_status status = FB_OK;
    if (shrunk)
        status = shrink(ctx, k->resizer, image, k->side, &small);
    if (status == FB_OK)
        status = encode(ctx, shrunk ? &small : image, k->stem, jpeg, &bytes, &size);
    *written = status == FB_OK && size < most_bytes;
    if (*written) {
        k->stored->suffix = jpeg ? ".jpg" : ".png";
        k->stored->resized = shrunk;
        status = write_file(ctx, k->stem, (const uint8_t *)bytes, size, k->stored);
    }
    free(bytes);
    fb_image_free(&small);
    return status;
}

/* ---- one image ---------------------------------------------------------------------
 */

static fb_status store_pixels(fb_context *ctx, const keeping *k,
                              const fb_record_image *image)
{
    /* Read only: fb_image has no const twin. */
    fb_image pixels = {image->width, image->height, (uint8_t *)(uintptr_t)image->bytes};
    bool written;
    if (image->width < 1 || image->height < 1 || image->width > FB_IMAGE_SIDE_MAX ||
        image->height > FB_IMAGE_SIDE_MAX ||
        (int64_t)image->width * image->height > FB_IMAGE_PIXELS_MAX) {
        *k->fault = FB_RECORD_BAD_IMAGE;
        (void)fb_fail(ctx, FB_E_FORMAT, "an image of %d x %d pixels", image->width,
                      image->height);
        return FB_OK;
    }
    FB_TRY(fb_look_take(ctx, k->resizer, &pixels, &k->stored->look));
    return write_encoded(ctx, k, &pixels, k->side > 0, SIZE_MAX, &written);
}

static fb_status store_decoded(fb_context *ctx, const keeping *k, const fb_image *image,
                               const uint8_t *bytes, size_t size)
{
    bool written = false;
    if (k->side > 0 && (image->width > k->side || image->height > k->side))
        FB_TRY(write_encoded(ctx, k, image, true, size, &written));
    if (written)
        return FB_OK;
    k->stored->suffix = suffix_of(bytes);
    k->stored->resized = false;
    return write_file(ctx, k->stem, bytes, size, k->stored);
}

static fb_status store_bytes(fb_context *ctx, const keeping *k, const char *name,
                             const uint8_t *bytes, size_t size)
{
    fb_image image = {0};
    double started = thread_seconds();
    fb_status status = fb_image_decode(ctx, name, bytes, size, &image);
    k->stored->decode_s = thread_seconds() - started;
    if (status != FB_OK && status != FB_E_MEMORY) {
        *k->fault = FB_RECORD_BAD_IMAGE;
        return FB_OK;
    }
    FB_TRY(status);
    status = fb_look_take(ctx, k->resizer, &image, &k->stored->look);
    if (status == FB_OK)
        status = store_decoded(ctx, k, &image, bytes, size);
    fb_image_free(&image);
    return status;
}

fb_status fb_import_image_store(fb_context *ctx, fb_resizer *resizer,
                                const fb_record_image *image, const char *stem,
                                int32_t resize, fb_stored_image *stored,
                                fb_record_fault *fault)
{
    const uint8_t *bytes;
    size_t size;
    uint8_t *own = NULL;
    *stored = (fb_stored_image){.suffix = ""};
    *fault = FB_RECORD_GOOD;
    const keeping k = {resizer, stem, resize, stored, fault};
    if (image->kind == FB_RECORD_IMAGE_PIXELS)
        return store_pixels(ctx, &k, image);
    FB_TRY(read_bytes(ctx, image, &bytes, &size, &own, fault));
    fb_status status = FB_OK;
    const char *name = image->kind == FB_RECORD_IMAGE_PATH ? image->path : "its image";
    if (*fault == FB_RECORD_GOOD)
        status = store_bytes(ctx, &k, name, bytes, size);
    free(own);
    return status;
}

uint64_t fb_import_image_stamp(const fb_record_image *image)
{
    struct stat st;
    if (image->kind != FB_RECORD_IMAGE_PATH)
        return fb_hash_bytes(1, image->bytes, image->size_bytes);
    if (stat(image->path, &st) != 0)
        return 0;
    int64_t look[3] = {st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
    return fb_hash_bytes(1, look, sizeof look);
}

bool fb_import_image_is_there(const char *path, int64_t size_bytes, uint64_t hash)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (fb_file_read(NULL, path, FB_IMAGE_BYTES_MAX, &bytes, &size) != FB_OK)
        return false;
    bool same = (int64_t)size == size_bytes && fb_hash_bytes(0, bytes, size) == hash;
    free(bytes);
    return same;
}

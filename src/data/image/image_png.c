/* image_png.c - PNG through libpng, out of memory and into a file.
 *
 * libpng turns every colour type into one of two row layouts,
 *
 *     [width, 3] u8 rgb            [width, 4] u8 rgba, then composited on white
 *
 * with 16-bit samples divided by 257 and rounded.
 * Interlaced files need all rows at once; the others go through one row. An error
 * leaves libpng by longjmp; what must be freed lies in struct png_reader.
 */
#include "base/file.h"
#include "data/image/image_codec.h"
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

/* Of iTXt, which may carry XMP and be compressed: together a bound on memory. */
enum { TEXT_BYTES_MAX = 2 << 20, CHUNKS_MAX = 32 };

struct png_reader {
    const fb_image_source *source;
    size_t at;
    png_structp png;
    png_infop info;
    uint8_t *work; /* rows before they become rgb, or NULL */
    bool no_memory;
    char message[160];
};

/* libpng's sentences do not tell: some call it a bad chunk. */
static void *reader_allocate(png_structp png, size_t size)
{
    struct png_reader *r = png_get_mem_ptr(png);
    void *memory = malloc(size);
    r->no_memory |= memory == NULL;
    return memory;
}

static void reader_release(png_structp png, void *memory)
{
    (void)png;
    free(memory);
}

static void reader_error(png_structp png, png_const_charp message)
{
    struct png_reader *r = png_get_error_ptr(png);
    strncpy(r->message, message, sizeof r->message - 1);
    png_longjmp(png, 1);
}

static void reader_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void reader_bytes(png_structp png, png_bytep to, size_t size_bytes)
{
    struct png_reader *r = png_get_io_ptr(png);
    if (size_bytes > r->source->size_bytes - r->at)
        png_error(png, "the file ends early");
    memcpy(to, r->source->bytes + r->at, size_bytes);
    r->at += size_bytes;
}

static int reader_orientation(const struct png_reader *r)
{
    png_bytep exif = NULL;
    png_uint_32 exif_bytes = 0;
    if (png_get_eXIf_1(r->png, r->info, &exif_bytes, &exif) != 0) {
        int orientation = fb_exif_orientation(exif, exif_bytes);
        if (orientation > 0)
            return orientation;
    }
    png_textp texts = NULL;
    int count = 0;
    png_get_text(r->png, r->info, &texts, &count);
    for (int i = 0; i < count; i++)
        if (strcmp(texts[i].key, "XML:com.adobe.xmp") == 0 && texts[i].text != NULL)
            return fb_xmp_orientation((const uint8_t *)texts[i].text,
                                      strlen(texts[i].text));
    return 0;
}

static void row_to_rgb(uint8_t *rgb, const uint8_t *row, size_t width, int channels)
{
    if (channels == 4)
        fb_image_on_white(rgb, row, width);
    else
        memcpy(rgb, row, width * 3);
}

static fb_status reader_rows(fb_context *ctx, struct png_reader *r, fb_image *image)
{
    int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    size_t row_bytes = png_get_rowbytes(r->png, r->info);
    size_t width = (size_t)image->width, height = (size_t)image->height;
    size_t stride = passes > 1 ? row_bytes : 0;
    int channels = png_get_channels(r->png, r->info);
    r->work = calloc(passes > 1 ? height : 1, row_bytes);
    if (r->work == NULL)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for %d x %d pixels",
                       r->source->name, image->width, image->height);
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < height; y++) {
            uint8_t *row = r->work + y * stride;
            png_read_row(r->png, row, NULL);
            if (pass == passes - 1)
                row_to_rgb(image->rgb + y * width * 3, row, width, channels);
        }
    png_read_end(r->png, r->info);
    return FB_OK;
}

/* The part that longjmp may leave. */
static fb_status reader_run(fb_context *ctx, struct png_reader *r,
                            const fb_image_info *info, fb_image *image,
                            int *orientation)
{
    static const png_byte skipped[] = "iCCP\0tEXt\0zTXt\0sPLT"; /* 5 bytes each */
    if (setjmp(png_jmpbuf(r->png)) != 0)
        return r->no_memory
                   ? fb_fail(ctx, FB_E_MEMORY, "%s: no memory to decode it",
                             r->source->name)
                   : fb_fail(ctx, FB_E_FORMAT, "%s: a corrupt or truncated PNG: %s",
                             r->source->name, r->message);
    png_set_user_limits(r->png, (png_uint_32)info->width, (png_uint_32)info->height);
    png_set_chunk_malloc_max(r->png, TEXT_BYTES_MAX);
    png_set_chunk_cache_max(r->png, CHUNKS_MAX);
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, skipped, 4);
    png_set_read_fn(r->png, r, reader_bytes);
    png_read_info(r->png, r->info);
    png_set_expand(r->png); /* palette, low depths and tRNS to 8-bit channels */
    png_set_scale_16(r->png);
    png_set_gray_to_rgb(r->png);
    FB_TRY(fb_image_alloc(ctx, r->source->name, info, image));
    FB_TRY(reader_rows(ctx, r, image));
    *orientation = reader_orientation(r);
    return FB_OK;
}

static uint32_t big_endian_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

fb_status fb_png_read(fb_context *ctx, const fb_image_source *source,
                      fb_image_info *info, fb_image *image, int *orientation)
{
    const uint8_t *b = source->bytes;
    if (source->size_bytes < 24 || memcmp(b + 12, "IHDR", 4) != 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: a corrupt or truncated PNG: it has no header (IHDR)",
                       source->name);
    FB_TRY(fb_image_accept_size(ctx, source->name, big_endian_u32(b + 16),
                                big_endian_u32(b + 20), info));
    if (source->header_only)
        return FB_OK;
    struct png_reader r = {.source = source};
    r.png =
        png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &r, reader_error,
                                 reader_warning, &r, reader_allocate, reader_release);
    r.info = r.png != NULL ? png_create_info_struct(r.png) : NULL;
    bool made = r.info != NULL && !r.no_memory;
    fb_status status = made ? reader_run(ctx, &r, info, image, orientation)
                            : fb_fail(ctx, FB_E_MEMORY, "%s: no memory", source->name);
    if (status == FB_OK && r.no_memory) /* a chunk was left out */
        status = fb_fail(ctx, FB_E_MEMORY, "%s: no memory to decode it", source->name);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    free(r.work);
    if (status != FB_OK)
        fb_image_free(image);
    return status;
}

struct png_writer {
    char message[160];
};

static void writer_error(png_structp png, png_const_charp message)
{
    struct png_writer *w = png_get_error_ptr(png);
    strncpy(w->message, message, sizeof w->message - 1);
    png_longjmp(png, 1);
}

static fb_status writer_run(fb_context *ctx, struct png_writer *w, png_structp png,
                            png_infop info, FILE *stream, const char *path,
                            const fb_image *image)
{
    if (setjmp(png_jmpbuf(png)) != 0)
        return fb_fail(ctx, FB_E_IO, "%s: the PNG could not be written: %s", path,
                       w->message);
    png_init_io(png, stream);
    png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, 8,
                 PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int32_t y = 0; y < image->height; y++)
        png_write_row(png, image->rgb + (size_t)y * (size_t)image->width * 3);
    png_write_end(png, info);
    return FB_OK;
}

fb_status fb_image_encode_png(fb_context *ctx, FILE *stream, const char *name,
                              const fb_image *image)
{
    FB_TRY(fb_image_check_not_empty(ctx, name, image));
    struct png_writer w = {""};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &w, writer_error,
                                              reader_warning);
    png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
    fb_status status = info != NULL
                           ? writer_run(ctx, &w, png, info, stream, name, image)
                           : fb_fail(ctx, FB_E_MEMORY, "%s: no memory", name);
    png_destroy_write_struct(&png, &info);
    return status;
}

fb_status fb_image_write_png(fb_context *ctx, const char *path, const fb_image *image)
{
    FB_TRY(fb_image_check_not_empty(ctx, path, image));
    fb_replace replace;
    FB_TRY(fb_replace_open(ctx, path, &replace));
    fb_status status = fb_image_encode_png(ctx, replace.stream, path, image);
    if (status == FB_OK)
        return fb_replace_commit(ctx, &replace);
    fb_replace_abandon(&replace);
    return status;
}

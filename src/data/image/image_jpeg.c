/* image_jpeg.c - JPEG through libjpeg-turbo, out of memory and into a file.
 *
 * libjpeg reports by callbacks and leaves an error by longjmp; everything that must be
 * freed then lies in struct jpeg_reader, outside the frame that longjmp leaves.
 * A warning that means lost or corrupt data is an error here.
 */
#include "base/file.h"
#include "data/image/image_codec.h"
#include <jpeglib.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>

enum { SCANS_MAX = 100 }; /* a progressive file of ten million tiny scans costs hours */

struct jpeg_reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf back;
    char message[JMSG_LENGTH_MAX];
    bool no_memory;
    uint8_t *cmyk; /* one row, or NULL */
};

static void reader_error(j_common_ptr common)
{
    struct jpeg_reader *r = common->client_data;
    common->err->format_message(common, r->message);
    r->no_memory = common->err->msg_code == JERR_OUT_OF_MEMORY;
    longjmp(r->back, 1);
}

/* level -1: a warning */
static void reader_emit(j_common_ptr common, int level)
{
    if (level >= 0)
        return;
    switch (common->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA: /* harmless, and common in the wild */
    case JWRN_JFIF_MAJOR:
    case JWRN_ADOBE_XFORM:
    case JWRN_BOGUS_PROGRESSION:
        return;
    default:
        reader_error(common);
    }
}

static void reader_progress(j_common_ptr common)
{
    struct jpeg_reader *r = common->client_data;
    if (r->jpeg.input_scan_number <= SCANS_MAX)
        return;
    memcpy(r->message, "too many scans", sizeof "too many scans");
    longjmp(r->back, 1);
}

static int reader_orientation(const struct jpeg_decompress_struct *jpeg)
{
    static const char xmp[] = "http://ns.adobe.com/xap/1.0/";
    int from_xmp = 0;
    for (jpeg_saved_marker_ptr m = jpeg->marker_list; m != NULL; m = m->next) {
        if (m->data_length >= 6 && memcmp(m->data, "Exif\0\0", 6) == 0) {
            int orientation = fb_exif_orientation(m->data, m->data_length);
            if (orientation > 0)
                return orientation;
        } else if (m->data_length >= sizeof xmp &&
                   memcmp(m->data, xmp, sizeof xmp) == 0) {
            from_xmp = fb_xmp_orientation(m->data + sizeof xmp,
                                          m->data_length - (unsigned)sizeof xmp);
        }
    }
    return from_xmp;
}

static void row_from_cmyk(uint8_t *rgb, const uint8_t *cmyk, int32_t width)
{
    for (int32_t x = 0; x < width; x++, rgb += 3, cmyk += 4) {
        uint32_t black = cmyk[3];
        for (int c = 0; c < 3; c++) {
            uint32_t t = (255u - cmyk[c]) * black + 128;
            rgb[c] = (uint8_t)(black - (((t >> 8) + t) >> 8));
        }
    }
}

static fb_status reader_rows(fb_context *ctx, struct jpeg_reader *r, const char *name,
                             fb_image *image)
{
    struct jpeg_decompress_struct *jpeg = &r->jpeg;
    bool cmyk =
        jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
    jpeg->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    if (cmyk) {
        r->cmyk = malloc((size_t)image->width * 4);
        if (r->cmyk == NULL)
            return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for a row", name);
    }
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *row =
            image->rgb + (size_t)jpeg->output_scanline * (size_t)image->width * 3;
        uint8_t *target = cmyk ? r->cmyk : row;
        jpeg_read_scanlines(jpeg, &target, 1);
        if (cmyk)
            row_from_cmyk(row, r->cmyk, image->width);
    }
    jpeg_finish_decompress(jpeg);
    return FB_OK;
}

/* The part that longjmp may leave: returns by way of r->status. */
static fb_status reader_run(fb_context *ctx, struct jpeg_reader *r,
                            const fb_image_source *source, fb_image_info *info,
                            fb_image *image, int *orientation)
{
    if (setjmp(r->back) != 0)
        return r->no_memory
                   ? fb_fail(ctx, FB_E_MEMORY, "%s: no memory to decode it",
                             source->name)
                   : fb_fail(ctx, FB_E_FORMAT, "%s: a corrupt or truncated JPEG: %s",
                             source->name, r->message);
    jpeg_create_decompress(&r->jpeg);
    r->jpeg.client_data = r;
    r->progress.progress_monitor = reader_progress;
    r->jpeg.progress = &r->progress;
    jpeg_save_markers(&r->jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_mem_src(&r->jpeg, source->bytes, (unsigned long)source->size_bytes);
    jpeg_read_header(&r->jpeg, TRUE);
    FB_TRY(fb_image_accept_size(ctx, source->name, r->jpeg.image_width,
                                r->jpeg.image_height, info));
    if (source->header_only)
        return FB_OK;
    *orientation = reader_orientation(&r->jpeg);
    FB_TRY(fb_image_alloc(ctx, source->name, info, image));
    return reader_rows(ctx, r, source->name, image);
}

fb_status fb_jpeg_read(fb_context *ctx, const fb_image_source *source,
                       fb_image_info *info, fb_image *image, int *orientation)
{
    struct jpeg_reader r = {.cmyk = NULL};
    r.jpeg.err = jpeg_std_error(&r.errors);
    r.jpeg.client_data = &r; /* creation may fail before it is set again */
    r.errors.error_exit = reader_error;
    r.errors.emit_message = reader_emit;
    fb_status status = reader_run(ctx, &r, source, info, image, orientation);
    jpeg_destroy_decompress(&r.jpeg);
    free(r.cmyk);
    if (status != FB_OK)
        fb_image_free(image);
    return status;
}

struct jpeg_writer {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf back;
    char message[JMSG_LENGTH_MAX];
};

static void writer_error(j_common_ptr common)
{
    struct jpeg_writer *w = common->client_data;
    common->err->format_message(common, w->message);
    longjmp(w->back, 1);
}

static fb_status writer_run(fb_context *ctx, struct jpeg_writer *w, FILE *stream,
                            const char *name, const fb_image *image, int32_t quality,
                            bool halved)
{
    if (setjmp(w->back) != 0)
        return fb_fail(ctx, FB_E_IO, "%s: the JPEG could not be written: %s", name,
                       w->message);
    jpeg_create_compress(&w->jpeg);
    w->jpeg.client_data = w;
    jpeg_stdio_dest(&w->jpeg, stream);
    w->jpeg.image_width = (JDIMENSION)image->width;
    w->jpeg.image_height = (JDIMENSION)image->height;
    w->jpeg.input_components = 3;
    w->jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&w->jpeg);
    jpeg_set_quality(&w->jpeg, quality, TRUE);
    w->jpeg.comp_info[0].h_samp_factor = halved ? 2 : 1;
    w->jpeg.comp_info[0].v_samp_factor = halved ? 2 : 1;
    jpeg_start_compress(&w->jpeg, TRUE);
    while (w->jpeg.next_scanline < w->jpeg.image_height) {
        uint8_t *row =
            image->rgb + (size_t)w->jpeg.next_scanline * (size_t)image->width * 3;
        jpeg_write_scanlines(&w->jpeg, &row, 1);
    }
    jpeg_finish_compress(&w->jpeg);
    return FB_OK;
}

fb_status fb_image_encode_jpeg(fb_context *ctx, FILE *stream, const char *name,
                               const fb_image *image, int32_t quality, bool halved)
{
    FB_TRY(fb_image_check_not_empty(ctx, name, image));
    struct jpeg_writer w = {.message = ""};
    w.jpeg.err = jpeg_std_error(&w.errors);
    w.jpeg.client_data = &w;
    w.errors.error_exit = writer_error;
    fb_status status = writer_run(ctx, &w, stream, name, image, quality, halved);
    jpeg_destroy_compress(&w.jpeg);
    return status;
}

fb_status fb_image_write_jpeg(fb_context *ctx, const char *path, const fb_image *image,
                              int32_t quality)
{
    FB_TRY(fb_image_check_not_empty(ctx, path, image));
    fb_replace replace;
    FB_TRY(fb_replace_open(ctx, path, &replace));
    fb_status status =
        fb_image_encode_jpeg(ctx, replace.stream, path, image, quality, false);
    if (status == FB_OK)
        return fb_replace_commit(ctx, &replace);
    fb_replace_abandon(&replace);
    return status;
}

/* region_tsv.h - regions from bottom-up attention's TSV files: a line an image, no
 * header, tabs between. Told apart by their number of columns:
 *
 *     6   image_id  image_w  image_h  num_boxes  boxes  features
 *     10  img_id  img_h  img_w  objects_id  objects_conf  attrs_id  attrs_conf
 *         num_boxes  boxes  features                      height before width
 *
 * boxes [n, 4] and features [n, F] are base64 of little-endian f32, boxes in pixels x1,
 * y1, x2, y2; objects_id [n] of i64, the classes, and objects_conf [n] of f32, how sure
 * the detector was; where objects_id is empty there are none. Lines end with LF or CR LF and are some hundred kilobytes long. The two
 * columns about attributes are not kept.
 */
#ifndef FB_DATA_REGIONS_REGION_TSV_H
#define FB_DATA_REGIONS_REGION_TSV_H

#include "data/regions/region_source.h"

enum { FB_REGION_LINE_BYTES_MAX = 64 << 20 };

/* One line without its end. Numbers lie in `room`, which grows and is free()d at last
 * with fb_region_tsv_room_clear. FB_E_FORMAT names the column, without place. */
typedef struct fb_region_tsv_room {
    void *boxes, *features, *classes, *scores;
    size_t box_bytes, feature_bytes, score_bytes, class_bytes;
    char name[1024];
} fb_region_tsv_room;
fb_status fb_region_tsv_read(fb_context *ctx, const char *line, size_t size,
                             fb_region_tsv_room *room, fb_region_record *record);
void fb_region_tsv_room_clear(fb_region_tsv_room *room);

/* FB_E_MISSING, FB_E_IO, FB_E_MEMORY */
fb_status fb_region_tsv_open(fb_context *ctx, fb_region_source *source,
                             const char *path);

#endif

/* tar_shard.h - WebDataset shards: tar archives whose neighbouring members of one name
 * make a sample. The name is all before the last dot: "22.05.jpg" and "22.05.txt" are
 * one sample, "shoe.v1.jpg" and "shoe.v2.jpg" two.
 *
 *     shop-0001.tar      plain, gzip or zstd
 *       dresses/17.jpg   key "dresses/17", extension "jpg"
 *       dresses/17.json  the same sample
 *       dresses/18.jpg   the next one
 *
 * Of a sample only what is wanted here is kept: one image (jpg, jpeg, jpe, jfif, png,
 * webp), json and txt; the case of the ending does not matter. Other members (cls, npy,
 * ...) are passed over and counted.
 *
 * An image without json and txt takes those of its group, "12.left.jpg" of "12.json",
 * where no image has that very name: they are photos of one product, "12". Beside
 * "12.jpg", "12.left.jpg" is passed over: it may as well be a mask or a thumbnail. Names
 * of one group are held for that, at most 64 and not many more bytes of images than one
 * may have.
 */
#ifndef FB_DATA_IMPORT_TAR_SHARD_H
#define FB_DATA_IMPORT_TAR_SHARD_H

#include "data/import/archive_stream.h"
#include "data/import/passed_over.h"

#define FB_TAR_TEXT_BYTES_MAX (1 << 20) /* of a json or txt member */

typedef struct fb_tar_sample {
    char key[FB_MEMBER_NAME_BYTES];
    char image_name[FB_MEMBER_NAME_BYTES]; /* the member; "" without image */
    char product[FB_MEMBER_NAME_BYTES]; /* whose json and txt these are; "": its own */
    uint8_t *image, *json, *text;       /* malloc'ed or NULL, 0 behind each */
    size_t image_bytes, json_bytes, text_bytes;
    bool gave_text; /* the shard's own */
} fb_tar_sample;

void fb_tar_sample_clear(fb_tar_sample *sample); /* takes one of zeros; leaves one */

typedef struct fb_tar_shard fb_tar_shard;

/* `passed` outlives the shard and is added to. */
fb_status fb_tar_shard_open(fb_context *ctx, fb_tar_shard **shard, const char *path,
                            fb_passed_over *passed);
fb_status fb_tar_shard_open_bytes(fb_context *ctx, fb_tar_shard **shard,
                                  const char *name, const uint8_t *bytes,
                                  size_t size_bytes, fb_passed_over *passed);
void fb_tar_shard_close(fb_tar_shard *shard);

/* The next sample, of which *sample was cleared before; *more false: there is none.
 * FB_E_FORMAT  a member that archive_stream.h refuses; two images, json or txt members
 *              of one name; the archive is broken
 * FB_E_LIMIT   a member that is too large
 * Sentences name shard and member. The sample that the member belongs to is left out;
 * the next call goes on behind it, and tells the end once the archive is broken. */
fb_status fb_tar_shard_next(fb_context *ctx, fb_tar_shard *shard, fb_tar_sample *sample,
                            bool *more);
/* Whether the last failure was a member refused for its name or kind. */
bool fb_tar_shard_refused(const fb_tar_shard *shard);

#endif

/* tar_shard.h - WebDataset shards: tar archives whose neighbouring members of one name
 * make a sample.
 *
 *     shop-0001.tar      plain, gzip or zstd
 *       dresses/17.jpg   key "dresses/17", extension "jpg"
 *       dresses/17.json  the same sample
 *       dresses/18.jpg   the next one
 *
 * The extension begins at the first dot behind the last "/", and is told in lower case.
 * Of a sample only what is wanted here is kept: one image (jpg, jpeg, png, webp), json
 * and txt; other members (cls, npy, ...) are passed over.
 */
#ifndef FB_DATA_IMPORT_TAR_SHARD_H
#define FB_DATA_IMPORT_TAR_SHARD_H

#include "data/import/archive_stream.h"

#define FB_TAR_TEXT_BYTES_MAX (1 << 20) /* of a json or txt member */

typedef struct fb_tar_sample {
    char key[FB_MEMBER_NAME_BYTES];
    char image_name[FB_MEMBER_NAME_BYTES]; /* the member; "" without image */
    uint8_t *image, *json, *text;          /* malloc'ed or NULL, 0 behind each */
    size_t image_bytes, json_bytes, text_bytes;
} fb_tar_sample;

void fb_tar_sample_clear(fb_tar_sample *sample); /* takes one of zeros; leaves one */

typedef struct fb_tar_shard fb_tar_shard;

fb_status fb_tar_shard_open(fb_context *ctx, fb_tar_shard **shard, const char *path);
fb_status fb_tar_shard_open_bytes(fb_context *ctx, fb_tar_shard **shard,
                                  const char *name, const uint8_t *bytes,
                                  size_t size_bytes);
void fb_tar_shard_close(fb_tar_shard *shard);

/* The next sample, of which *sample was cleared before; *more false: there is none.
 * FB_E_FORMAT  a member that archive_stream.h refuses; two images, json or txt members
 *              of one sample; the archive is broken
 * FB_E_LIMIT   a member that is too large
 * Sentences name shard and member. The sample that the member belongs to is left out;
 * the next call goes on behind it, and tells the end once the archive is broken. */
fb_status fb_tar_shard_next(fb_context *ctx, fb_tar_shard *shard, fb_tar_sample *sample,
                            bool *more);
/* Whether the last failure was a member refused for its name or kind. */
bool fb_tar_shard_refused(const fb_tar_shard *shard);

#endif

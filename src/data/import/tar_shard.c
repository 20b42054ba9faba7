/* tar_shard.c - see tar_shard.h. The stream is read one member ahead, since only the
 * next one's name says that a sample is whole. */
#include "data/import/tar_shard.h"
#include "data/image/image_decode.h"

#include <stdlib.h>
#include <string.h>

struct fb_tar_shard {
    fb_archive_stream *stream;
    const char *ahead; /* the member that comes next, NULL at the end */
    bool has_ahead, refused;
    struct fb_context held;            /* what failed behind a sample that is whole */
    char spoilt[FB_MEMBER_NAME_BYTES]; /* key of a sample that is left out */
    bool has_spoilt;
    char path[4096];
};

void fb_tar_sample_clear(fb_tar_sample *sample)
{
    free(sample->image);
    free(sample->json);
    free(sample->text);
    *sample = (fb_tar_sample){0};
}

static fb_status opened(fb_context *ctx, fb_tar_shard **shard, const char *path,
                        fb_status status, fb_archive_stream *stream)
{
    if (status != FB_OK)
        return status;
    fb_tar_shard *s = calloc(1, sizeof *s);
    if (!s) {
        fb_archive_stream_close(stream);
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", path);
    }
    s->stream = stream;
    snprintf(s->path, sizeof s->path, "%s", path);
    *shard = s;
    return FB_OK;
}

fb_status fb_tar_shard_open(fb_context *ctx, fb_tar_shard **shard, const char *path)
{
    fb_archive_stream *stream = NULL;
    fb_status status = fb_archive_stream_open(ctx, &stream, path, FB_ARCHIVE_TAR);
    return opened(ctx, shard, path, status, stream);
}

fb_status fb_tar_shard_open_bytes(fb_context *ctx, fb_tar_shard **shard,
                                  const char *name, const uint8_t *bytes,
                                  size_t size_bytes)
{
    fb_archive_stream *stream = NULL;
    fb_status status = fb_archive_stream_open_bytes(ctx, &stream, name, bytes,
                                                    size_bytes, FB_ARCHIVE_TAR);
    return opened(ctx, shard, name, status, stream);
}

void fb_tar_shard_close(fb_tar_shard *shard)
{
    if (!shard)
        return;
    fb_archive_stream_close(shard->stream);
    free(shard);
}

/* ---- names -------------------------------------------------------------------------
 */

typedef enum member_kind { OTHER, IMAGE, JSON, TEXT } member_kind;

/* The key's length; 0 for a member that belongs to no sample. */
static size_t key_bytes(const char *member)
{
    const char *slash = strrchr(member, '/');
    const char *name = slash ? slash + 1 : member;
    const char *dot = strchr(name, '.');
    return dot && dot != name ? (size_t)(dot - member) : 0;
}

static bool has_key(const char *member, size_t length, const char *key)
{
    return strncmp(member, key, length) == 0 && key[length] == 0;
}

static member_kind kind_of(const char *member)
{
    static const struct {
        const char *extension;
        member_kind kind;
    } kinds[] = {{"jpg", IMAGE},  {"jpeg", IMAGE}, {"png", IMAGE},
                 {"webp", IMAGE}, {"json", JSON},  {"txt", TEXT}};
    const char *extension = member + key_bytes(member) + 1;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcasecmp(extension, kinds[i].extension) == 0)
            return kinds[i].kind;
    return OTHER;
}

/* ---- samples -----------------------------------------------------------------------
 */

static void spoil(fb_tar_shard *s, fb_tar_sample *sample)
{
    const char *member = fb_archive_stream_member(s->stream);
    size_t length = key_bytes(member);
    memcpy(s->spoilt, member, length);
    s->spoilt[length] = 0;
    s->has_spoilt = length > 0;
    fb_tar_sample_clear(sample);
}

static fb_status take_member(fb_context *ctx, fb_tar_shard *s, fb_tar_sample *sample)
{
    member_kind kind = kind_of(s->ahead);
    uint8_t **bytes = kind == IMAGE  ? &sample->image
                      : kind == JSON ? &sample->json
                                     : &sample->text;
    size_t *size = kind == IMAGE  ? &sample->image_bytes
                   : kind == JSON ? &sample->json_bytes
                                  : &sample->text_bytes;
    if (kind == OTHER)
        return FB_OK;
    if (*bytes)
        return fb_fail(ctx, FB_E_FORMAT, "%s: member %s: a second %s of its sample",
                       s->path, s->ahead,
                       kind == IMAGE  ? "image"
                       : kind == JSON ? "json"
                                      : "txt");
    if (kind == IMAGE)
        snprintf(sample->image_name, sizeof sample->image_name, "%s", s->ahead);
    return fb_archive_stream_read_all(
        ctx, s->stream, kind == IMAGE ? FB_IMAGE_BYTES_MAX : FB_TAR_TEXT_BYTES_MAX,
        bytes, size);
}

/* One member ahead. What fails now fails later if a sample is whole before it. */
static fb_status look_ahead(fb_context *ctx, fb_tar_shard *s, fb_tar_sample *sample)
{
    fb_status status = fb_archive_stream_next(&s->held, s->stream, &s->ahead);
    s->has_ahead = status == FB_OK;
    s->refused = fb_archive_stream_refused(s->stream);
    if (status == FB_OK)
        return FB_OK;
    const char *member = fb_archive_stream_member(s->stream);
    size_t length = key_bytes(member);
    if (sample->key[0] && !has_key(member, length, sample->key) &&
        !fb_archive_stream_is_broken(s->stream))
        return FB_OK;
    spoil(s, sample);
    status = fb_fail(ctx, status, "%s", s->held.message);
    fb_context_clear(&s->held);
    return status;
}

static fb_status fail_held(fb_context *ctx, fb_tar_shard *s, fb_tar_sample *sample)
{
    spoil(s, sample);
    fb_status status = fb_fail(ctx, s->held.status, "%s", s->held.message);
    fb_context_clear(&s->held);
    return status;
}

fb_status fb_tar_shard_next(fb_context *ctx, fb_tar_shard *s, fb_tar_sample *sample,
                            bool *more)
{
    *more = false;
    if (s->held.status != FB_OK)
        return fail_held(ctx, s, sample);
    for (;; s->has_ahead = false) {
        if (!s->has_ahead)
            FB_TRY(look_ahead(ctx, s, sample));
        if (s->held.status != FB_OK || !s->ahead) {
            *more = sample->key[0] != 0;
            return FB_OK;
        }
        size_t length = key_bytes(s->ahead);
        if (length == 0 || (s->has_spoilt && has_key(s->ahead, length, s->spoilt)))
            continue;
        if (sample->key[0] && !has_key(s->ahead, length, sample->key)) {
            *more = true;
            return FB_OK;
        }
        s->has_spoilt = false;
        memcpy(sample->key, s->ahead, length);
        fb_status status = take_member(ctx, s, sample);
        if (status != FB_OK) {
            s->has_ahead = false;
            spoil(s, sample);
            return status;
        }
    }
}

bool fb_tar_shard_refused(const fb_tar_shard *shard)
{
    return shard->refused;
}

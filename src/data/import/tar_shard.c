/* tar_shard.c - see tar_shard.h. The stream is read one member ahead, since only the
 * next one's name says that a sample is whole. Names with a common beginning wait for
 * each other: "12.left.jpg" may be a photo of the "12.json" that comes behind it.
 */
#include "data/import/tar_shard.h"

#include "base/ascii.h"
#include "data/image/image_decode.h"

#include <stdlib.h>
#include <string.h>

enum { GROUP_MOST = 64 };

struct fb_tar_shard {
    fb_archive_stream *stream;
    fb_passed_over *passed;
    const char *ahead; /* the member that comes next, NULL at the end */
    bool has_ahead, refused;
    struct fb_context held;            /* what failed behind a sample that is whole */
    char spoilt[FB_MEMBER_NAME_BYTES]; /* key of a sample that is left out */
    bool has_spoilt;
    char path[4096];

    /* Names of one group, which say together what each is. */
    fb_tar_sample group[GROUP_MOST];
    int32_t count, given;
    size_t bytes;
    bool giving;        /* they are being handed out */
    fb_tar_sample next; /* read, and belongs behind them */
    bool has_next;
    struct fb_context late; /* what failed behind them */
};

void fb_tar_sample_clear(fb_tar_sample *sample)
{
    free(sample->image);
    free(sample->json);
    free(sample->text);
    *sample = (fb_tar_sample){0};
}

static fb_status opened(fb_context *ctx, fb_tar_shard **shard, const char *path,
                        fb_status status, fb_archive_stream *stream,
                        fb_passed_over *passed)
{
    if (status != FB_OK)
        return status;
    fb_tar_shard *s = calloc(1, sizeof *s);
    if (!s) {
        fb_archive_stream_close(stream);
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", path);
    }
    s->stream = stream;
    s->passed = passed;
    snprintf(s->path, sizeof s->path, "%s", path);
    *shard = s;
    return FB_OK;
}

fb_status fb_tar_shard_open(fb_context *ctx, fb_tar_shard **shard, const char *path,
                            fb_passed_over *passed)
{
    fb_archive_stream *stream = NULL;
    fb_status status = fb_archive_stream_open(ctx, &stream, path, FB_ARCHIVE_TAR);
    return opened(ctx, shard, path, status, stream, passed);
}

fb_status fb_tar_shard_open_bytes(fb_context *ctx, fb_tar_shard **shard,
                                  const char *name, const uint8_t *bytes,
                                  size_t size_bytes, fb_passed_over *passed)
{
    fb_archive_stream *stream = NULL;
    fb_status status = fb_archive_stream_open_bytes(ctx, &stream, name, bytes,
                                                    size_bytes, FB_ARCHIVE_TAR);
    return opened(ctx, shard, name, status, stream, passed);
}

void fb_tar_shard_close(fb_tar_shard *shard)
{
    if (!shard)
        return;
    fb_archive_stream_close(shard->stream);
    fb_tar_sample_clear(&shard->next);
    for (int32_t i = 0; i < GROUP_MOST; i++)
        fb_tar_sample_clear(&shard->group[i]);
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
    const char *dot = name[0] == '.' ? NULL : strrchr(name, '.');
    return dot ? (size_t)(dot - member) : 0;
}

/* The length of the first part of a key, which its group has in common. */
static size_t group_bytes(const char *key)
{
    const char *slash = strrchr(key, '/');
    const char *name = slash ? slash + 1 : key;
    return (size_t)(name - key) + strcspn(name, ".");
}

static bool are_of_one_group(const char *a, const char *b)
{
    size_t size = group_bytes(a);
    return size == group_bytes(b) && memcmp(a, b, size) == 0;
}

/* Whether `key` is "12.left" where `of` is "12". */
static bool is_below(const char *key, const char *of)
{
    size_t size = strlen(of);
    return size > 0 && strncmp(key, of, size) == 0 && key[size] == '.';
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
    } kinds[] = {{"jpg", IMAGE}, {"jpeg", IMAGE}, {"jpe", IMAGE}, {"jfif", IMAGE},
                 {"png", IMAGE}, {"webp", IMAGE}, {"json", JSON}, {"txt", TEXT}};
    if (key_bytes(member) == 0)
        return OTHER;
    const char *extension = member + key_bytes(member) + 1;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (fb_ascii_compare(extension, kinds[i].extension) == 0)
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

/* The members of the next name. */
static fb_status read_sample(fb_context *ctx, fb_tar_shard *s, fb_tar_sample *sample,
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
        if (kind_of(s->ahead) == OTHER) {
            fb_passed_over_add(s->passed, s->ahead);
            continue;
        }
        if (s->has_spoilt && has_key(s->ahead, length, s->spoilt))
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

/* ---- groups ------------------------------------------------------------------------
 */

static bool has_text(const fb_tar_sample *s)
{
    return s->json || s->text || s->gave_text;
}

static bool has_image(const fb_tar_sample *s)
{
    return s->image_name[0] != 0;
}

/* Parts of `from` that `to` lacks; false: it has one of them already. */
static bool merge(fb_tar_sample *to, fb_tar_sample *from)
{
    if ((to->image && from->image) || (to->json && from->json) ||
        (to->text && from->text))
        return false;
    if (from->image) {
        memcpy(to->image_name, from->image_name, sizeof to->image_name);
        to->image = from->image;
        to->image_bytes = from->image_bytes;
    }
    if (from->json) {
        to->json = from->json;
        to->json_bytes = from->json_bytes;
    }
    if (from->text) {
        to->text = from->text;
        to->text_bytes = from->text_bytes;
    }
    *from = (fb_tar_sample){0};
    return true;
}

/* Whether the group must be handed out before `next`, which says nothing of it. */
static bool ends_group(const fb_tar_shard *s)
{
    bool related = false, whole = true;
    if (s->count == 0)
        return false;
    if (s->count == GROUP_MOST || s->bytes > FB_IMAGE_BYTES_MAX ||
        !are_of_one_group(s->group[0].key, s->next.key))
        return true;
    for (int32_t i = 0; i < s->count; i++) {
        const fb_tar_sample *g = &s->group[i];
        related |= strcmp(g->key, s->next.key) == 0 || is_below(g->key, s->next.key) ||
                   is_below(s->next.key, g->key);
        whole &= has_image(g) && has_text(g);
    }
    return !related && whole;
}

static fb_status join_group(fb_context *ctx, fb_tar_shard *s)
{
    s->has_next = false;
    for (int32_t i = 0; i < s->count; i++)
        if (strcmp(s->group[i].key, s->next.key) == 0) {
            if (merge(&s->group[i], &s->next))
                return FB_OK;
            fb_status status =
                fb_fail(ctx, FB_E_FORMAT, "%s: member %s: a second part of its name",
                        s->path, s->next.key);
            fb_tar_sample_clear(&s->next);
            return status;
        }
    s->bytes += s->next.image_bytes;
    s->group[s->count++] = s->next;
    s->next = (fb_tar_sample){0};
    return FB_OK;
}

static bool copy_bytes(uint8_t **to, size_t *size, const uint8_t *from, size_t bytes)
{
    *size = bytes;
    if (!from)
        return true;
    *to = malloc(bytes + 1);
    if (*to)
        memcpy(*to, from, bytes + 1);
    return *to != NULL;
}

/* The json and txt of `owner` for a photo that has none. */
static fb_status lend_text(fb_context *ctx, const fb_tar_shard *s, fb_tar_sample *photo,
                           const fb_tar_sample *owner)
{
    memcpy(photo->product, owner->key, sizeof photo->product);
    if (copy_bytes(&photo->json, &photo->json_bytes, owner->json, owner->json_bytes) &&
        copy_bytes(&photo->text, &photo->text_bytes, owner->text, owner->text_bytes))
        return FB_OK;
    return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", s->path);
}

/* Whether a name of the group has a text that an image below it lacks. */
static const fb_tar_sample *owner_of(const fb_tar_shard *s, const fb_tar_sample *photo)
{
    for (int32_t i = 0; i < s->count && !has_text(photo); i++)
        if (has_text(&s->group[i]) && is_below(photo->key, s->group[i].key))
            return &s->group[i];
    return NULL;
}

static bool is_lent(const fb_tar_shard *s, const fb_tar_sample *text)
{
    bool lent = false;
    for (int32_t i = 0; i < s->count; i++)
        lent |= strcmp(s->group[i].product, text->key) == 0 ||
                (has_image(&s->group[i]) && owner_of(s, &s->group[i]) == text);
    return lent;
}

/* Out to the caller; its key stays in the group. */
static void hand_out(fb_tar_sample *out, fb_tar_sample *from)
{
    fb_tar_sample_clear(out);
    *out = *from;
    from->gave_text = has_text(from);
    from->image = from->json = from->text = NULL;
}

/* The group's next record; *more false: it is all handed out. */
static fb_status give(fb_context *ctx, fb_tar_shard *s, fb_tar_sample *sample,
                      bool *more)
{
    while (s->given < s->count) {
        fb_tar_sample *g = &s->group[s->given++];
        const fb_tar_sample *owner = owner_of(s, g);
        if (owner && has_image(owner)) {
            fb_passed_over_add(s->passed, g->image_name);
            continue;
        }
        if (owner)
            FB_TRY(lend_text(ctx, s, g, owner));
        if (!has_image(g) && is_lent(s, g))
            continue;
        hand_out(sample, g);
        *more = true;
        return FB_OK;
    }
    for (int32_t i = 0; i < s->count; i++)
        fb_tar_sample_clear(&s->group[i]);
    s->count = s->given = 0;
    s->bytes = 0;
    s->giving = false;
    return FB_OK;
}

fb_status fb_tar_shard_next(fb_context *ctx, fb_tar_shard *s, fb_tar_sample *sample,
                            bool *more)
{
    *more = false;
    for (;;) {
        if (s->giving)
            FB_TRY(give(ctx, s, sample, more));
        if (*more)
            return FB_OK;
        if (s->late.status != FB_OK) {
            fb_status late = fb_fail(ctx, s->late.status, "%s", s->late.message);
            fb_context_clear(&s->late);
            return late;
        }
        fb_status status = FB_OK;
        if (!s->has_next)
            status = read_sample(ctx, s, &s->next, &s->has_next);
        if (s->has_next && !ends_group(s))
            status = join_group(ctx, s);
        else if (s->count > 0)
            s->giving = true;
        else if (status != FB_OK || !s->has_next)
            return status;
        if (status != FB_OK) {
            (void)fb_fail(&s->late, status, "%s", fb_context_message(ctx));
            fb_context_clear(ctx);
            s->giving = true;
        }
    }
}

bool fb_tar_shard_refused(const fb_tar_shard *shard)
{
    return shard->refused;
}

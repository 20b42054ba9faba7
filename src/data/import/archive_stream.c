/* archive_stream.c - see archive_stream.h; libarchive with only what is asked for on.
 */
#include "data/import/archive_stream.h"
#include "base/file.h"
#include "base/number_text.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK_BYTES = 1 << 18, FIRST_BYTES = 1 << 16 };

struct fb_archive_stream {
    struct archive *archive;
    fb_archive_kind kind;
    bool broken, refused;
    char member[FB_MEMBER_NAME_BYTES];
    char path[];
};

static fb_status fail_archive(fb_context *ctx, fb_archive_stream *s)
{
    static const char *const kinds[] = {[FB_ARCHIVE_TAR] = "not a readable tar archive",
                                        [FB_ARCHIVE_ZIP] = "not a readable zip archive",
                                        [FB_ARCHIVE_FILE] = "cannot be read"};
    const char *reason = archive_error_string(s->archive);
    int error = archive_errno(s->archive); /* of the machine or of the file */
    s->broken = true;
    return fb_fail(ctx,
                   error == ENOMEM ? FB_E_MEMORY
                   : error == EIO  ? FB_E_IO
                                   : FB_E_FORMAT,
                   "%s%s%s: %s: %s", s->path, s->member[0] ? ": member " : "",
                   s->member, kinds[s->kind], reason ? reason : "it ends too early");
}

static fb_status create(fb_context *ctx, fb_archive_stream **stream, const char *path,
                        fb_archive_kind kind)
{
    size_t length = strlen(path);
    fb_archive_stream *s = calloc(1, sizeof *s + length + 1);
    if (s)
        s->archive = archive_read_new();
    if (!s || !s->archive) {
        free(s);
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", path);
    }
    memcpy(s->path, path, length + 1);
    s->kind = kind;
    if (kind == FB_ARCHIVE_TAR) {
        archive_read_support_format_tar(s->archive);
        archive_read_support_filter_gzip(s->archive);
        archive_read_support_filter_zstd(s->archive);
        /* Names are bytes, whatever the locale says. */
        archive_read_set_format_option(s->archive, "tar", "hdrcharset", "BINARY");
    } else if (kind == FB_ARCHIVE_ZIP) {
        archive_read_support_format_zip(s->archive);
    } else {
        archive_read_support_format_raw(s->archive);
        archive_read_support_format_empty(s->archive);
    }
    *stream = s;
    return FB_OK;
}

static fb_status opened(fb_context *ctx, fb_archive_stream **stream,
                        fb_archive_stream *s, int result)
{
    if (result == ARCHIVE_OK) {
        *stream = s;
        return FB_OK;
    }
    fb_status status = fail_archive(ctx, s);
    fb_archive_stream_close(s);
    return status;
}

fb_status fb_archive_stream_open(fb_context *ctx, fb_archive_stream **stream,
                                 const char *path, fb_archive_kind kind)
{
    fb_archive_stream *s = NULL;
    if (!fb_path_exists(path))
        return fb_fail(ctx, FB_E_MISSING, "%s: no such file", path);
    if (fb_path_is_folder(path))
        return fb_fail(ctx, FB_E_FORMAT, "%s: a folder, not a file", path);
    FB_TRY(create(ctx, &s, path, kind));
    return opened(ctx, stream, s,
                  archive_read_open_filename(s->archive, path, BLOCK_BYTES));
}

fb_status fb_archive_stream_open_bytes(fb_context *ctx, fb_archive_stream **stream,
                                       const char *name, const uint8_t *bytes,
                                       size_t size_bytes, fb_archive_kind kind)
{
    fb_archive_stream *s = NULL;
    FB_TRY(create(ctx, &s, name, kind));
    return opened(ctx, stream, s,
                  archive_read_open_memory(s->archive, bytes, size_bytes));
}

void fb_archive_stream_close(fb_archive_stream *stream)
{
    if (!stream)
        return;
    archive_read_free(stream->archive);
    free(stream);
}

/* NULL, or what is wrong with an entry of this name and type. */
static const char *find_fault(struct archive_entry *entry, const char *name)
{
    if (archive_entry_hardlink(entry) || archive_entry_symlink(entry))
        return "a link; members must be files";
    mode_t type = archive_entry_filetype(entry);
    if (type != AE_IFREG && type != AE_IFDIR)
        return "neither a file nor a folder";
    if (name[0] == '/')
        return "an absolute name; names stay inside the archive";
    if (!fb_path_is_inside(name))
        return "a name that leaves the archive";
    return NULL;
}

/* A header, and the entry's name as the archive has it: libarchive asks the locale how
 * to turn names, and a host's would turn them into its own. */
static int next_header(fb_archive_stream *s, struct archive_entry **entry,
                       const char **name)
{
    locale_t before = fb_locale_begin();
    int result = archive_read_next_header(s->archive, entry);
    bool read = result == ARCHIVE_OK || result == ARCHIVE_WARN;
    *name = read ? archive_entry_pathname(*entry) : NULL;
    if (read && !*name)
        *name = archive_entry_pathname_utf8(*entry);
    fb_locale_end(before);
    return result;
}

/* The entry's name into s->member, "./" in front and "/" behind it cut off. */
static fb_status take_name(fb_context *ctx, fb_archive_stream *s,
                           struct archive_entry *entry, const char *raw)
{
    if (!raw)
        return fb_fail(ctx, FB_E_FORMAT, "%s: a member without a name", s->path);
    while (raw[0] == '.' && raw[1] == '/')
        raw += 2;
    size_t length = strlen(raw);
    bool folder = archive_entry_filetype(entry) == AE_IFDIR;
    while (folder && length > 1 && raw[length - 1] == '/')
        length--;
    if (length >= sizeof s->member)
        return fb_fail(ctx, FB_E_LIMIT,
                       "%s: member %.64s...: a name of %zu bytes, %d "
                       "at most are read",
                       s->path, raw, length, FB_MEMBER_NAME_BYTES - 1);
    memcpy(s->member, raw, length);
    s->member[length] = 0;
    return FB_OK;
}

fb_status fb_archive_stream_next(fb_context *ctx, fb_archive_stream *s,
                                 const char **member)
{
    for (;;) {
        struct archive_entry *entry;
        s->member[0] = 0;
        s->refused = false;
        const char *name = NULL;
        int result = s->broken ? ARCHIVE_EOF : next_header(s, &entry, &name);
        if (result == ARCHIVE_EOF) {
            *member = NULL;
            return FB_OK;
        }
        if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
            return fail_archive(ctx, s);
        if (s->kind == FB_ARCHIVE_FILE) {
            *member = s->member;
            return FB_OK;
        }
        FB_TRY(take_name(ctx, s, entry, name));
        bool folder = archive_entry_filetype(entry) == AE_IFDIR;
        if (folder && (!s->member[0] || strcmp(s->member, ".") == 0))
            continue;
        const char *fault = find_fault(entry, s->member);
        s->refused = fault != NULL;
        if (fault)
            return fb_fail(ctx, FB_E_FORMAT, "%s: member %s: %s", s->path, s->member,
                           fault);
        if (folder)
            continue;
        *member = s->member;
        return FB_OK;
    }
}

fb_status fb_archive_stream_read(fb_context *ctx, fb_archive_stream *s, uint8_t *bytes,
                                 size_t room, size_t *got)
{
    la_ssize_t count = archive_read_data(s->archive, bytes, room);
    if (count < 0)
        return fail_archive(ctx, s);
    *got = (size_t)count;
    return FB_OK;
}

/* The size that an archive declares is only a hint; what counts is what comes. */
fb_status fb_archive_stream_read_all(fb_context *ctx, fb_archive_stream *s,
                                     size_t limit_bytes, uint8_t **bytes,
                                     size_t *size_bytes)
{
    size_t capacity = FIRST_BYTES, used = 0;
    uint8_t *data = malloc(capacity);
    fb_status status = FB_OK;
    while (data) {
        size_t got = 0;
        status = fb_archive_stream_read(ctx, s, data + used, capacity - used - 1, &got);
        used += got;
        if (status == FB_OK && used > limit_bytes)
            status = fb_fail(ctx, FB_E_LIMIT, "%s%s%s: larger than %zu bytes", s->path,
                             s->member[0] ? ": member " : "", s->member, limit_bytes);
        if (status != FB_OK)
            break;
        if (got == 0) {
            data[used] = 0;
            *bytes = data;
            *size_bytes = used;
            return FB_OK;
        }
        if (used + 1 < capacity)
            continue;
        capacity *= 2;
        uint8_t *more = realloc(data, capacity);
        if (!more)
            free(data);
        data = more;
    }
    if (!data)
        status = fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", s->path);
    free(data);
    return status;
}

const char *fb_archive_stream_member(const fb_archive_stream *stream)
{
    return stream->member;
}

bool fb_archive_stream_refused(const fb_archive_stream *stream)
{
    return stream->refused;
}

bool fb_archive_stream_is_broken(const fb_archive_stream *stream)
{
    return stream->broken;
}

/* furniture_archive.c - see furniture_archive.h; libarchive with nothing but zip on. */
#include "data/import/furniture_archive.h"
#include "base/file.h"
#include "base/number_text.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ENTRIES = 200000, BLOCK_BYTES = 1 << 16 };

static fb_status fail_archive(fb_context *ctx, struct archive *a, const char *path,
                              const char *entry)
{
    const char *reason = archive_error_string(a);
    return fb_fail(ctx, FB_E_FORMAT, "%s%s%s: not a readable zip archive: %s", path,
                   entry[0] ? ": " : "", entry, reason ? reason : "unknown error");
}

/* The declared size is only a hint; what counts is what comes. */
static fb_status read_entry(fb_context *ctx, struct archive *a, const char *path,
                            const char *entry, size_t limit, uint8_t **bytes,
                            size_t *size)
{
    size_t capacity = BLOCK_BYTES, used = 0;
    uint8_t *data = malloc(capacity);
    while (data) {
        la_ssize_t got = archive_read_data(a, data + used, capacity - used);
        if (got < 0) {
            free(data);
            return fail_archive(ctx, a, path, entry);
        }
        used += (size_t)got;
        if (got == 0) {
            *bytes = data;
            *size = used;
            return FB_OK;
        }
        if (used > limit) {
            free(data);
            return fb_fail(ctx, FB_E_LIMIT, "%s: %s: larger than %zu bytes", path,
                           entry, limit);
        }
        if (used < capacity)
            continue;
        capacity *= 2;
        uint8_t *more = realloc(data, capacity);
        if (!more)
            free(data);
        data = more;
    }
    return fb_fail(ctx, FB_E_MEMORY, "%s: %s: no memory to read it", path, entry);
}

static fb_status read_entries(fb_context *ctx, struct archive *a, const char *path,
                              size_t limit_bytes, fb_archive_wants wants,
                              fb_archive_visit visit, void *self)
{
    for (int32_t count = 0;; count++) {
        struct archive_entry *entry;
        locale_t before = fb_locale_begin(); /* else names are turned into the host's */
        int result = archive_read_next_header(a, &entry);
        bool read = result == ARCHIVE_OK || result == ARCHIVE_WARN;
        const char *raw = read ? archive_entry_pathname(entry) : NULL;
        fb_locale_end(before);
        if (result == ARCHIVE_EOF)
            return FB_OK;
        if (!read)
            return fail_archive(ctx, a, path, "");
        if (count == MAX_ENTRIES)
            return fb_fail(ctx, FB_E_LIMIT, "%s: more than %d entries", path,
                           MAX_ENTRIES);
        char name[4096];
        if (!raw || strlen(raw) >= sizeof name)
            continue;
        memcpy(name, raw, strlen(raw) + 1);
        if (!wants(self, name))
            continue;
        uint8_t *bytes = NULL;
        size_t size = 0;
        FB_TRY(read_entry(ctx, a, path, name, limit_bytes, &bytes, &size));
        FB_TRY(visit(self, ctx, name, bytes, size));
    }
}

fb_status fb_archive_read(fb_context *ctx, const char *path, size_t limit_bytes,
                          fb_archive_wants wants, fb_archive_visit visit, void *self)
{
    if (!fb_path_exists(path))
        return fb_fail(ctx, FB_E_MISSING, "%s: no such file", path);
    if (fb_path_is_folder(path))
        return fb_fail(ctx, FB_E_FORMAT, "%s: a folder, not a .sh3f or .jar file",
                       path);
    struct archive *a = archive_read_new();
    if (!a)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", path);
    archive_read_support_format_zip(a);
    fb_status status = FB_OK;
    if (archive_read_open_filename(a, path, BLOCK_BYTES) != ARCHIVE_OK)
        status = fail_archive(ctx, a, path, "");
    else
        status = read_entries(ctx, a, path, limit_bytes, wants, visit, self);
    archive_read_free(a);
    return status;
}

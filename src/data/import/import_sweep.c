/* import_sweep.c - the names that the log has, sorted, against the names that lie
 * there. Folders are walked in turn, and the log, whose lines come in the order of
 * folders, beside them: what is held are the names of one folder.
 */
#include "data/import/import_sweep.h"

#include "base/file.h"
#include "data/import/import_block.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct sweep {
    fb_import_log *log;
    const char *folder;
    fb_arena *arena;   /* of the line that was read last */
    char next[64];     /* the name that comes next in the log; "": none */
    char (*names)[64]; /* [count] of one folder, as the log has them: sorted */
    int32_t count;
} sweep;

static fb_status fail_errno(fb_context *ctx, const char *path)
{
    return fb_fail(ctx, FB_E_IO, "%s: cannot be tidied up: %s", path, strerror(errno));
}

static void read_next(sweep *s)
{
    char *line;
    s->next[0] = 0;
    while (!s->next[0] && (line = fb_import_log_next(s->log, s->arena)) != NULL) {
        fb_import_entry entry;
        if (fb_import_entry_read(line, &entry) && entry.kept)
            snprintf(s->next, sizeof s->next, "%s", entry.file_name);
        fb_arena_reset(s->arena);
    }
}

/* The log's names below `folder_name` ("images/012"). */
static void take_names(sweep *s, const char *folder_name)
{
    size_t length = strlen(folder_name);
    s->count = 0;
    while (s->next[0] && s->count < FB_IMPORT_FOLDER_FILES &&
           strncmp(s->next, folder_name, length) == 0 && s->next[length] == '/') {
        memcpy(s->names[s->count++], s->next, sizeof s->next);
        read_next(s);
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static fb_status sweep_folder(fb_context *ctx, sweep *s, const char *name, bool past)
{
    char path[4096], file_name[64 + 256], file[4096];
    FB_TRY(fb_path_join(ctx, path, s->folder, name));
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? FB_OK : fail_errno(ctx, path);
    struct dirent *entry;
    fb_status status = FB_OK;
    while (status == FB_OK && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(file_name, sizeof file_name, "%s/%s", name, entry->d_name);
        if (strlen(file_name) < 64 &&
            bsearch(file_name, s->names, (size_t)s->count, 64, by_text))
            continue;
        status = fb_path_join(ctx, file, s->folder, file_name);
        if (status == FB_OK && unlink(file) != 0)
            status = fail_errno(ctx, file);
    }
    closedir(dir);
    if (status == FB_OK && past && rmdir(path) != 0)
        status = fail_errno(ctx, path);
    return status;
}

static fb_status sweep_all(fb_context *ctx, sweep *s, int64_t records)
{
    char name[32], path[4096];
    read_next(s);
    for (int64_t number = 0;; number += FB_IMPORT_FOLDER_FILES) {
        fb_import_file_folder(number, name);
        FB_TRY(fb_path_join(ctx, path, s->folder, name));
        if (number > records && !fb_path_exists(path))
            return FB_OK;
        take_names(s, name);
        FB_TRY(sweep_folder(ctx, s, name, number > records));
    }
}

fb_status fb_import_sweep(fb_context *ctx, fb_import_log *log, const char *folder,
                          int64_t records)
{
    sweep s = {.log = log, .folder = folder, .arena = fb_arena_create(1 << 16)};
    s.names = malloc(FB_IMPORT_FOLDER_FILES * sizeof *s.names);
    fb_status status = FB_OK;
    if (!s.arena || !s.names)
        status = fb_fail(ctx, FB_E_MEMORY, "%s: no memory to tidy it up", folder);
    if (status == FB_OK)
        status = fb_import_log_rewind(ctx, log);
    if (status == FB_OK)
        status = sweep_all(ctx, &s, records);
    fb_arena_free(s.arena);
    free(s.names);
    return status;
}

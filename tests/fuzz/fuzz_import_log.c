/* fuzz_import_log.c - any line as an entry of an import's log: refused, or one that
 * stays in the folder and is read back the same once written. */
#include "base/file.h"
#include "data/import/import_log.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static bool is_same(const fb_import_entry *a, const fb_import_entry *b)
{
    if (a->kept != b->kept || a->stamp != b->stamp)
        return false;
    return !a->kept ||
           (a->image.hash == b->image.hash &&
            a->image.size_bytes == b->image.size_bytes &&
            a->image.resized == b->image.resized &&
            memcmp(&a->image.look, &b->image.look, sizeof a->image.look) == 0 &&
            strcmp(a->file_name, b->file_name) == 0 && strcmp(a->row, b->row) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fb_arena *arena = fb_arena_create(1 << 12);
    char *line = fb_arena_alloc(arena, size + 1);
    memcpy(line, bytes, size);
    line[size] = 0;
    fb_import_entry entry, again;
    if (fb_import_entry_read(line, &entry)) {
        if (entry.kept && !fb_path_is_inside(entry.file_name))
            abort();
        char *written = fb_import_entry_write(&entry, arena);
        if (!written || !fb_import_entry_read(written, &again) ||
            !is_same(&entry, &again))
            abort();
    }
    fb_arena_free(arena);
    return 0;
}

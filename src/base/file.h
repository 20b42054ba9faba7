/* file.h - files: read whole, map, and replace so that a kill at any instant leaves the
 * old or the new one, never a part. Errors name the path and errno's text. Only regular
 * files are read: whatever opens a pipe may wait for ever. A pointer of Git LFS is
 * refused as such (FB_E_FORMAT).
 */
#ifndef FB_BASE_FILE_H
#define FB_BASE_FILE_H

#include "base/status.h"
#include <stdio.h>

/* Whole file, malloc'ed, with a 0 byte behind it; FB_E_LIMIT past limit_bytes. free()
 * it. */
fb_status fb_file_read(fb_context *ctx, const char *path, size_t limit_bytes,
                       uint8_t **bytes, size_t *size_bytes);

/* A stream over a file, to fclose; *size_bytes its length, NULL: not wanted. */
fb_status fb_stream_open(fb_context *ctx, const char *path, FILE **stream,
                         int64_t *size_bytes);

typedef struct fb_map {
    const uint8_t *bytes;
    size_t size_bytes;
    int held;           /* its descriptor + 1; 0: none */
    int64_t written_ns; /* when the file was last written, as it was mapped */
} fb_map;
/* Map read-only. An empty file gives size 0 and bytes NULL. */
fb_status fb_map_open(fb_context *ctx, const char *path, fb_map *map);
void fb_map_close(fb_map *map);
/* Whether the file is still what was mapped; reading what is gone of it would end the
 * process (SIGBUS). FB_E_IO, `name` in front: it was cut or written over. A file that
 * another took the place of, or that was removed, is still whole for who has it open. */
fb_status fb_map_check(fb_context *ctx, const fb_map *map, const char *name);
/* What was read of it need not stay in this process's memory; it can be read again. */
void fb_map_release(const fb_map *map);

/* Write `path` by way of `path.new`: open, write to ->stream, then commit (flush,
 * fsync, rename, fsync the folder) or abandon (unlink). Every write error, a full disk
 * too, shows at commit at the latest, and leaves the old file. */
typedef struct fb_replace {
    FILE *stream;
    char path[4096];
} fb_replace;
fb_status fb_replace_open(fb_context *ctx, const char *path, fb_replace *r);
fb_status fb_replace_commit(fb_context *ctx, fb_replace *r);
void fb_replace_abandon(fb_replace *r);
/* The same in one call. */
fb_status fb_file_write(fb_context *ctx, const char *path, const void *bytes,
                        size_t size_bytes);

/* "a/b" into out[4096]; FB_E_LIMIT when it does not fit. */
fb_status fb_path_join(fb_context *ctx, char out[4096], const char *folder,
                       const char *name);
/* Whether `name` is relative, without "..", empty or absolute parts: stays in its
 * folder. */
bool fb_path_is_inside(const char *name);
/* Of one that is not: whether it may lead out of its folder ("/a", "a/../b"), or only
 * has a part without a name ("a//b", "a/"). */
bool fb_path_leaves(const char *name);
/* Whether the name ends in `end`, such as ".csv", in upper or lower case, and is
 * longer.
 */
bool fb_path_ends_in(const char *name, const char *end);
/* The folder that a file lies in, "." for a bare name, into out[4096]. */
fb_status fb_path_folder(fb_context *ctx, char out[4096], const char *path);
bool fb_path_exists(const char *path);
bool fb_path_is_folder(const char *path);
fb_status fb_folder_make(fb_context *ctx,
                         const char *path); /* parents too; there: ok */
/* Make folder `fresh` appear as `path`, taking the place of an older one in one step
 * (renameat2 with RENAME_EXCHANGE; the old one is then removed). Both synced. Where the
 * file system cannot exchange, path.old stands in for an instant: see
 * fb_folder_recover. */
fb_status fb_folder_replace(fb_context *ctx, const char *fresh, const char *path);
/* Before reading a folder that fb_folder_replace may have been killed over: when `path`
 * is gone and path.old is there, move it back; a leftover path.old is removed. */
fb_status fb_folder_recover(fb_context *ctx, const char *path);
/* The same for a path that is not there yet, and a folder of any number of files: what
 * lies on its file system is synced at once (syncfs). FB_E_STATE: path is there. */
fb_status fb_folder_appear(fb_context *ctx, const char *fresh, const char *path);
/* Remove a folder and the files in it, three levels deep at most; missing: ok. */
fb_status fb_folder_remove(fb_context *ctx, const char *path);
fb_status fb_folder_sync(fb_context *ctx, const char *path);
/* Hold a folder against other processes until *fd is closed, or the process ends;
 * nothing is left in it. FB_E_STATE: another process holds it; `doing` says what it
 * does there. Where the file system has no locks, *fd holds nothing. */
fb_status fb_folder_lock(fb_context *ctx, const char *path, const char *doing, int *fd);
/* The folder that holds `path`, so that a rename to it is on the disk. */
fb_status fb_parent_sync(fb_context *ctx, const char *path);

#endif

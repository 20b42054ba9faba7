/* file_kind.h - what a file really is, by its first bytes: for sentences about a file
 * that is not what its name says.
 */
#ifndef FB_BASE_FILE_KIND_H
#define FB_BASE_FILE_KIND_H

#include <stdbool.h>
#include <stddef.h>

/* "a GIF image", "an HTML page", ... or NULL where nothing is recognised. */
const char *fb_file_kind(const void *bytes, size_t size_bytes);

/* A text file of Git LFS that stands in the place of the real one until it is fetched.
 */
bool fb_file_is_lfs_pointer(const void *bytes, size_t size_bytes);

#endif

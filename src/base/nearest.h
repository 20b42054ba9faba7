/* nearest.h - the name that a mistyped word may mean.
 *
 * By edit distance (Levenshtein's, with two swapped neighbours as one step); a word cut
 * short, or one with more behind it, is one step from the name.
 */
#ifndef FB_BASE_NEAREST_H
#define FB_BASE_NEAREST_H

#include <stddef.h>
#include <stdint.h>

/* The name of `names` (count of them, `stride` bytes apart, each a const char *)
 * nearest to word, or NULL when none is near enough to be meant. */
const char *fb_nearest_name(const char *word, const void *names, int32_t count,
                            size_t stride);

#endif

/* nearest.c - see nearest.h. */
#include "base/nearest.h"

#include <string.h>

/* Words are cut at 64. */
static size_t edit_distance(const char *a, const char *b)
{
    enum { LIMIT = 64 };
    size_t rows[3][LIMIT + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    size_t m = strnlen(a, LIMIT), n = strnlen(b, LIMIT);
    for (size_t j = 0; j <= n; j++)
        before[j] = above[j] = j;
    for (size_t i = 1; i <= m; i++) {
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        size_t *spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[n];
}

const char *fb_nearest_name(const char *word, const void *names, int32_t count,
                            size_t stride)
{
    const char *nearest = NULL;
    size_t least = SIZE_MAX, length = strlen(word);
    for (int32_t i = 0; i < count; i++) {
        const char *name = *(const char *const *)(const void *)((const char *)names +
                                                                (size_t)i * stride);
        size_t distance = edit_distance(word, name);
        /* A word cut short, or one with more behind it, means the name. */
        size_t shorter = length < strlen(name) ? length : strlen(name);
        if (shorter >= 3 && strncmp(word, name, shorter) == 0)
            distance = 1;
        if (distance < least) {
            least = distance;
            nearest = name;
        }
    }
    return nearest && least <= 1 + length / 4 ? nearest : NULL;
}

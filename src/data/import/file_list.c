/* file_list.c - see file_list.h. */
#include "data/import/file_list.h"
#include "base/file.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

enum { PATTERN_BYTES = 4096, BRACES_MOST = 8 };

static fb_status add_path(fb_context *ctx, fb_file_list *list, const char *path)
{
    if (list->count == FB_FILE_LIST_MOST)
        return fb_fail(ctx, FB_E_LIMIT, "%.200s: more than %d files", path,
                       FB_FILE_LIST_MOST);
    if (list->count == list->capacity) {
        int32_t capacity = list->capacity ? 2 * list->capacity : 16;
        char **more = realloc(list->paths, (size_t)capacity * sizeof *more);
        if (!more)
            return fb_fail(ctx, FB_E_MEMORY, "no memory to list the sources");
        list->paths = more;
        list->capacity = capacity;
    }
    char *copy = strdup(path);
    if (!copy)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to list the sources");
    list->paths[list->count++] = copy;
    return FB_OK;
}

static fb_status add_glob(fb_context *ctx, fb_file_list *list, const char *pattern)
{
    glob_t found = {0};
    int result = glob(pattern, 0, NULL, &found);
    fb_status status = FB_OK;
    if (result == GLOB_NOMATCH)
        status =
            fb_fail(ctx, FB_E_MISSING, "%.512s: no file fits this pattern", pattern);
    else if (result != 0)
        status = fb_fail(ctx, result == GLOB_NOSPACE ? FB_E_MEMORY : FB_E_IO,
                         "%.512s: its folder cannot be searched", pattern);
    for (size_t i = 0; status == FB_OK && i < found.gl_pathc; i++)
        status = add_path(ctx, list, found.gl_pathv[i]);
    globfree(&found);
    return status;
}

static fb_status expand(fb_context *ctx, fb_file_list *list, const char *pattern,
                        int32_t depth);

/* before, middle and after as one pattern, expanded further. */
static fb_status expand_joined(fb_context *ctx, fb_file_list *list, const char *before,
                               size_t before_bytes, const char *middle,
                               size_t middle_bytes, const char *after, int32_t depth)
{
    size_t after_bytes = strlen(after);
    char *joined = malloc(before_bytes + middle_bytes + after_bytes + 1);
    if (!joined)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to list the sources");
    memcpy(joined, before, before_bytes);
    memcpy(joined + before_bytes, middle, middle_bytes);
    memcpy(joined + before_bytes + middle_bytes, after, after_bytes + 1);
    fb_status status = expand(ctx, list, joined, depth + 1);
    free(joined);
    return status;
}

/* Whether `body` is "007..012"; *digits is the first number's length. */
static bool is_count(const char *body, size_t size, int64_t *first, int64_t *last,
                     int32_t *digits)
{
    size_t left = strspn(body, "0123456789");
    if (left == 0 || left > 9 || left + 2 >= size || body[left] != '.' ||
        body[left + 1] != '.')
        return false;
    size_t right = strspn(body + left + 2, "0123456789");
    if (right == 0 || right > 9 || left + 2 + right != size)
        return false;
    *first = strtoll(body, NULL, 10);
    *last = strtoll(body + left + 2, NULL, 10);
    *digits = (int32_t)left;
    return true;
}

static fb_status expand_brace(fb_context *ctx, fb_file_list *list, const char *pattern,
                              const char *open, int32_t depth)
{
    const char *close = strchr(open, '}');
    size_t before = (size_t)(open - pattern);
    int64_t first, last;
    int32_t digits;
    if (!close || depth >= BRACES_MOST)
        return fb_fail(ctx, FB_E_FORMAT, "%.512s: %s", pattern,
                       close ? "too many braces" : "a brace that is not closed");
    const char *body = open + 1;
    if (is_count(body, (size_t)(close - body), &first, &last, &digits)) {
        if (last < first)
            return fb_fail(ctx, FB_E_FORMAT, "%.512s: counts downwards", pattern);
        for (int64_t i = first; i <= last; i++) {
            char number[24];
            int length =
                snprintf(number, sizeof number, "%0*lld", (int)digits, (long long)i);
            FB_TRY(expand_joined(ctx, list, pattern, before, number, (size_t)length,
                                 close + 1, depth));
        }
        return FB_OK;
    }
    for (const char *word = body;; word++) {
        size_t length = strcspn(word, ",}");
        FB_TRY(
            expand_joined(ctx, list, pattern, before, word, length, close + 1, depth));
        word += length;
        if (word == close)
            return FB_OK;
    }
}

static fb_status expand(fb_context *ctx, fb_file_list *list, const char *pattern,
                        int32_t depth)
{
    const char *open = strchr(pattern, '{');
    if (fb_path_exists(pattern))
        return add_path(ctx, list, pattern);
    if (open)
        return expand_brace(ctx, list, pattern, open, depth);
    if (strpbrk(pattern, "*?["))
        return add_glob(ctx, list, pattern);
    return fb_fail(ctx, FB_E_MISSING, "%.512s: no such file", pattern);
}

fb_status fb_file_list_add(fb_context *ctx, fb_file_list *list, const char *pattern)
{
    int32_t count = list->count;
    if (strlen(pattern) >= PATTERN_BYTES)
        return fb_fail(ctx, FB_E_LIMIT, "%.64s...: longer than %d bytes", pattern,
                       PATTERN_BYTES - 1);
    fb_status status = expand(ctx, list, pattern, 0);
    while (status != FB_OK && list->count > count)
        free(list->paths[--list->count]);
    return status;
}

void fb_file_list_clear(fb_file_list *list)
{
    for (int32_t i = 0; i < list->count; i++)
        free(list->paths[i]);
    free(list->paths);
    *list = (fb_file_list){0};
}

/* fold.c - see fold.h. Most names are ASCII, where folding is lower case. */
#include "base/fold.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { SHORT = 256 };

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* The lower case of ASCII; false: there is more in it, or no room. */
static bool fold_ascii(const char *text, char *out, size_t room)
{
    size_t i = 0;
    for (; i < room && text[i]; i++) {
        if ((unsigned char)text[i] >= 0x80)
            return false;
        out[i] = lower(text[i]);
    }
    if (i == room)
        return false;
    out[i] = 0;
    return true;
}

char *fb_fold(const char *text)
{
    utf8proc_uint8_t *folded = NULL;
    size_t size = strlen(text);
    char *out = malloc(size + 1);
    if (!out || fold_ascii(text, out, size + 1))
        return out;
    utf8proc_ssize_t got =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size, &folded,
                     UTF8PROC_STABLE | UTF8PROC_CASEFOLD | UTF8PROC_COMPOSE);
    if (got == UTF8PROC_ERROR_INVALIDUTF8) {
        for (size_t i = 0; i <= size; i++)
            out[i] = lower(text[i]);
        return out;
    }
    free(out);
    return got < 0 ? NULL : (char *)folded;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

fb_status fb_fold_set_make(fb_context *ctx, fb_fold_set *set, const char *const *texts,
                           int32_t count)
{
    // NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers is meant
    set->texts = calloc((size_t)count + 1, sizeof *set->texts);
    for (; set->texts && set->count < count; set->count++)
        if (!(set->texts[set->count] = fb_fold(texts[set->count])))
            break;
    if (!set->texts || set->count < count)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a filter");
    // NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers is meant
    qsort(set->texts, (size_t)count, sizeof *set->texts, by_text);
    return FB_OK;
}

static bool is_there(const fb_fold_set *set, const char *folded)
{
    // NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers is meant
    size_t size = sizeof *set->texts;
    return bsearch(&folded, set->texts, (size_t)set->count, size, by_text) != NULL;
}

fb_status fb_fold_set_has(fb_context *ctx, const fb_fold_set *set, const char *text,
                          bool *has)
{
    char room[SHORT];
    if (fold_ascii(text, room, sizeof room)) {
        *has = is_there(set, room);
        return FB_OK;
    }
    char *folded = fb_fold(text);
    if (!folded)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a filter");
    *has = is_there(set, folded);
    free(folded);
    return FB_OK;
}

void fb_fold_set_clear(fb_fold_set *set)
{
    for (int32_t i = 0; i < set->count; i++)
        free(set->texts[i]);
    free(set->texts);
    *set = (fb_fold_set){0};
}

/* value_counts.c - see value_counts.h. */
#include "retrieval/index/value_counts.h"

#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b)
{
    return strcmp(((const fb_value_count *)a)->value,
                  ((const fb_value_count *)b)->value);
}

static int by_count(const void *a, const void *b)
{
    const fb_value_count *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return strcmp(x->value, y->value);
}

/* Equal values become one; how many are left. */
static int64_t join_equal(fb_value_count *all, int64_t n)
{
    int64_t distinct = 0;
    qsort(all, (size_t)n, sizeof *all, by_value);
    for (int64_t i = 0; i < n; i++)
        if (distinct > 0 && strcmp(all[i].value, all[distinct - 1].value) == 0)
            all[distinct - 1].count += all[i].count;
        else
            all[distinct++] = all[i];
    return distinct;
}

fb_status fb_value_counts_join(fb_context *ctx, fb_value_count *all, int64_t n,
                               int32_t limit, const char *const **values,
                               const int64_t **counts, int32_t *count)
{
    n = join_equal(all, n);
    qsort(all, (size_t)n, sizeof *all, by_count);
    while (n > 0 && (n > limit || all[n - 1].count == 0))
        n--;
    size_t kept = (size_t)n, bytes = 0;
    for (size_t i = 0; i < kept; i++)
        bytes += strlen(all[i].value) + 1;
    /* names, numbers, and what the names point at */
    void *block = malloc((kept + 1) * (sizeof(int64_t) + sizeof(char *)) + bytes);
    if (!block)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to count values");
    const char **names = block;
    int64_t *numbers = (int64_t *)(names + kept + 1);
    char *at = (char *)(numbers + kept + 1);
    for (size_t i = 0; i < kept; i++) {
        size_t size = strlen(all[i].value) + 1;
        memcpy(at, all[i].value, size);
        names[i] = at;
        numbers[i] = all[i].count;
        at += size;
    }
    *values = names;
    *counts = numbers;
    *count = (int32_t)n;
    return FB_OK;
}

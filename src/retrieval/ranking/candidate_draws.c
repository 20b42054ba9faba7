/* candidate_draws.c - whether the draws of a set could differ at all.
 *
 * Where a query has no more others than are drawn for it, every draw takes them all,
 * and the mean over draws is the mean of one.
 */
#include "retrieval/ranking/candidates.h"

#include <stdlib.h>
#include <string.h>

static int by_number(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

bool fb_candidate_same_members(int32_t *a, int32_t *b, int32_t count)
{
    qsort(a, (size_t)count, sizeof *a, by_number);
    qsort(b, (size_t)count, sizeof *b, by_number);
    return count == 0 || memcmp(a, b, (size_t)count * sizeof *a) == 0;
}

static bool same_list(const fb_candidate_set *set, const fb_candidate_list *a,
                      const fb_candidate_list *b, int32_t *scratch)
{
    int32_t n = set->options.negative_count;
    if (a->positive != b->positive || a->count != b->count)
        return false;
    if (a->count == 0)
        return true;
    memcpy(scratch, set->items + a->offset, (size_t)a->count * sizeof *scratch);
    memcpy(scratch + n, set->items + b->offset, (size_t)b->count * sizeof *scratch);
    return fb_candidate_same_members(scratch, scratch + n, a->count);
}

/* Lists of a group lie by query: a query that one draw lacks is a difference too. */
static void compare_group(const fb_candidate_set *set, int32_t draw,
                          fb_direction direction, const fb_candidate_item *items,
                          int32_t *scratch, bool *differ)
{
    int64_t count_a, count_b, i = 0, k = 0;
    const fb_candidate_list *a = fb_candidate_set_group(set, 0, direction, &count_a);
    const fb_candidate_list *b = fb_candidate_set_group(set, draw, direction, &count_b);
    while (i < count_a || k < count_b) {
        int32_t in_a = i < count_a ? a[i].query : INT32_MAX;
        int32_t in_b = k < count_b ? b[k].query : INT32_MAX;
        int32_t query = in_a < in_b ? in_a : in_b;
        if (in_a != in_b || !same_list(set, &a[i], &b[k], scratch))
            differ[items[query].category] = true;
        i += in_a == query;
        k += in_b == query;
    }
}

fb_status fb_candidate_draws_differ(fb_context *ctx, const fb_candidate_set *set,
                                    const fb_candidate_item *items, bool *differ)
{
    size_t room = (size_t)set->options.negative_count * 2;
    int32_t *scratch = malloc(room * sizeof *scratch);
    if (!scratch)
        return fb_fail(ctx, FB_E_MEMORY, "out of memory for candidate lists");
    for (int32_t draw = 1; draw < set->options.draws; draw++)
        for (int d = 0; d < 2; d++)
            compare_group(set, draw, (fb_direction)d, items, scratch, differ);
    free(scratch);
    return FB_OK;
}

/* full_pool.c - every distinct text or image of the split, and what each is to a query.
 *
 * Duplicates are one document: two items with the same image bytes score the same, and
 * without this the second would tie with the positive and push it down. */
#include "retrieval/ranking/candidates.h"
#include "retrieval/ranking/ranking_metrics.h"

#include <stdlib.h>
#include <string.h>

typedef struct keyed {
    int32_t key, item;
} keyed;

static int compare_keyed(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

/* distinct: the first item of each key, ascending; of_item (may be NULL): its index
 * there. first [count] and order [count] are scratch. */
static int32_t find_distinct(const fb_candidate_item *items, int32_t count,
                             bool by_text, keyed *order, int32_t *first,
                             int32_t *distinct, int32_t *of_item)
{
    for (int32_t i = 0; i < count; i++)
        order[i] = (keyed){by_text ? items[i].text : items[i].image, i};
    qsort(order, (size_t)count, sizeof *order, compare_keyed);
    for (int32_t i = 0; i < count; i++) {
        bool same = i > 0 && order[i].key == order[i - 1].key;
        first[order[i].item] = same ? first[order[i - 1].item] : order[i].item;
    }
    int32_t found = 0;
    for (int32_t i = 0; i < count; i++)
        if (first[i] == i) {
            if (of_item)
                of_item[i] = found;
            distinct[found++] = i;
        }
    for (int32_t i = 0; of_item && i < count; i++)
        of_item[i] = of_item[first[i]]; /* first[i] <= i: already its own index */
    return found;
}

fb_status fb_full_pool_create(fb_context *ctx, fb_full_pool **pool,
                              const fb_candidate_item *items, int32_t count,
                              fb_direction direction)
{
    size_t n = count > 0 ? (size_t)count : 1;
    fb_full_pool *p = calloc(1, sizeof *p);
    keyed *order = malloc(n * sizeof *order);
    int32_t *first = malloc(n * sizeof *first);
    bool ok = p && order && first;
    if (ok) {
        *p = (fb_full_pool){.documents = malloc(n * sizeof *p->documents),
                            .queries = malloc(n * sizeof *p->queries),
                            .document_of = malloc(n * sizeof *p->document_of),
                            .items = items,
                            .item_count = count};
        ok = p->documents && p->queries && p->document_of;
    }
    if (ok) {
        bool texts = direction == FB_IMAGE_TO_TEXT;
        p->document_count = find_distinct(items, count, texts, order, first,
                                          p->documents, p->document_of);
        p->query_count =
            find_distinct(items, count, !texts, order, first, p->queries, NULL);
        *pool = p;
    } else {
        fb_full_pool_free(p);
    }
    free(order);
    free(first);
    return ok ? FB_OK
              : fb_fail(ctx, FB_E_MEMORY, "out of memory for a pool of %d items",
                        count);
}

void fb_full_pool_free(fb_full_pool *pool)
{
    if (!pool)
        return;
    free(pool->documents);
    free(pool->queries);
    free(pool->document_of);
    free(pool);
}

void fb_full_pool_mark(const fb_full_pool *pool, int32_t query, uint8_t *marks)
{
    const fb_candidate_item *q = &pool->items[query];
    memset(marks, FB_MARK_NEGATIVE, (size_t)pool->document_count);
    for (int32_t i = 0; i < pool->item_count; i++) {
        const fb_candidate_item *item = &pool->items[i];
        uint8_t *mark = &marks[pool->document_of[i]];
        if (item->product == q->product || item->text == q->text)
            *mark = FB_MARK_HIT;
        else if (item->image == q->image && *mark == FB_MARK_NEGATIVE)
            *mark = FB_MARK_EXCLUDED;
    }
}

/* fuzz_candidates.c - the candidate file reader on any bytes. What it accepts must keep
 * the rules: known items, no negative that shares the query's product, text or image.
 * Half of the inputs (first byte odd) get a good header in front, so that lists are
 * reached. */
#include "retrieval/ranking/candidate_file.h"

#include <stdlib.h>
#include <string.h>

static const char HEADER[] =
    "{\"format\":\"fashionbert-candidates\",\"version\":1,\"protocol\":\"sampled\","
    "\"negatives\":\"category\",\"queries\":0,\"negative_count\":2,\"min_candidates\":"
    "1,"
    "\"draws\":2,\"seed\":1,\"split\":\"t\",\"items\":4,\"catalog\":"
    "\"00000000000000ff\","
    "\"left_out\":0,\"lists\":1}\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const fb_candidate_item items[] = {
        {0, 0, 0, 0, 0}, {1, 1, 1, 0, 0}, {2, 0, 2, 0, 0}, {3, 3, 3, 1, 0}};
    static const char *const ids[] = {"a", "b", "c", "d"};
    const fb_candidate_catalog catalog = {items, ids, 4, "t", 0xff};
    if (size == 0)
        return 0;
    size_t front = data[0] & 1 ? sizeof HEADER - 1 : 0;
    char *text = malloc(front + size);
    if (!text)
        return 0;
    memcpy(text, HEADER, front);
    memcpy(text + front, data + 1, size - 1);
    fb_context ctx = {0};
    fb_candidate_set *set = NULL;
    fb_status status = fb_candidate_set_parse(&ctx, &set, "fuzz", text,
                                              front + size - 1, &catalog, NULL);
    if ((status == FB_OK) != (set != NULL) || (status != FB_OK && !ctx.message[0]))
        abort();
    for (int64_t i = 0; set && i < set->list_count; i++) {
        const fb_candidate_list *list = &set->lists[i];
        for (int32_t j = 0; j < list->count; j++) {
            int32_t item = set->items[list->offset + j];
            if (item < 0 || item > 3 ||
                !fb_candidate_may_oppose(&items[item], &items[list->query]))
                abort();
        }
    }
    fb_candidate_set_free(set);
    free(text);
    return 0;
}

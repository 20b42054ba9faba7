/* fuzz_shard_index.c - any bytes as model.safetensors.index.json. What is accepted
 * names only plain files, and each tensor lies in one of them. */
#include "nn/tensor_source.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fb_context ctx = {0};
    fb_shard_index index;
    if (fb_shard_index_parse(&ctx, &index, "fuzz", (const char *)data, size) != FB_OK) {
        if (!ctx.message[0] || index.arena)
            abort();
        return 0;
    }
    if (index.shards < 1 || index.shards > FB_SHARDS_MAX || index.tensors < 1)
        abort();
    for (int32_t i = 0; i < index.shards; i++)
        if (!index.shard[i][0] || index.shard[i][0] == '.' ||
            strchr(index.shard[i], '/'))
            abort();
    for (int32_t i = 0; i < index.tensors; i++)
        if (index.tensor[i].shard < 0 || index.tensor[i].shard >= index.shards)
            abort();
    fb_shard_index_clear(&index);
    return 0;
}

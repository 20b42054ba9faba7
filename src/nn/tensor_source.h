/* tensor_source.h - the tensors of a model that somebody else saved: one safetensors
 * file, or several ("shards") under an index.
 *
 *     folder/model.safetensors
 *     folder/model.safetensors.index.json   {"weight_map": {"tensor name": "shard"}}
 *
 * A shard is a plain file name beside the index; it is opened once, and must hold each
 * tensor that the index promises of it.
 */
#ifndef FB_NN_TENSOR_SOURCE_H
#define FB_NN_TENSOR_SOURCE_H

#include "nn/safetensors.h"

enum { FB_SHARDS_MAX = 256 };

/* An index in memory: tensor i lies in file shard[tensor[i].shard]. */
typedef struct fb_shard_index {
    int32_t shards, tensors;
    const char **shard;
    struct fb_shard_entry {
        const char *name;
        int32_t shard;
    } * tensor;
    struct fb_arena *arena;
} fb_shard_index;

/* FB_E_FORMAT: no index, or a shard name that leaves its folder; FB_E_LIMIT. `name` is
 * for messages. */
fb_status fb_shard_index_parse(fb_context *ctx, fb_shard_index *index, const char *name,
                               const char *text, size_t size_bytes);
void fb_shard_index_clear(fb_shard_index *index);

typedef struct fb_tensor_source {
    char path[4096]; /* of the file or the index, for messages */
    int32_t count, files;
    const fb_stored_tensor **tensors;
    fb_safetensors *file[FB_SHARDS_MAX];
} fb_tensor_source;

/* `path` is a folder (model.safetensors wins over an index), a safetensors file or an
 * index. FB_E_MISSING names what was looked for, FB_E_FORMAT a file of another kind. */
fb_status fb_tensor_source_open(fb_context *ctx, fb_tensor_source **source,
                                const char *path);
void fb_tensor_source_close(fb_tensor_source *source);

const fb_stored_tensor *fb_tensor_source_find(const fb_tensor_source *source,
                                              const char *name);

#endif

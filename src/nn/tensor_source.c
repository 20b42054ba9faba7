/* tensor_source.c - see tensor_source.h. */
#include "nn/tensor_source.h"

#include "base/arena.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

enum { INDEX_LIMIT = 16 << 20 };

static bool is_plain_name(const char *name)
{
    return name && name[0] && name[0] != '.' && !strpbrk(name, "/\\");
}

static fb_status find_shard(fb_context *ctx, fb_shard_index *index, const char *name,
                            const char *shard, int32_t *place)
{
    for (*place = 0; *place < index->shards; (*place)++)
        if (strcmp(index->shard[*place], shard) == 0)
            return FB_OK;
    if (index->shards == FB_SHARDS_MAX)
        return fb_fail(ctx, FB_E_LIMIT, "%s: more than %d files", name, FB_SHARDS_MAX);
    index->shard[index->shards] = fb_arena_strdup(index->arena, shard);
    if (!index->shard[index->shards])
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for a name", name);
    index->shards++;
    return FB_OK;
}

static fb_status read_index(fb_context *ctx, fb_shard_index *index, const char *name,
                            const json_t *root)
{
    const json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map) || json_object_size(map) == 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: no \"weight_map\" of tensor names to files", name);
    index->tensor = fb_arena_alloc_zero(index->arena,
                                        json_object_size(map) * sizeof *index->tensor);
    index->shard =
        fb_arena_alloc_zero(index->arena, FB_SHARDS_MAX * sizeof *index->shard);
    if (!index->tensor || !index->shard)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for its names", name);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        struct fb_shard_entry *t = &index->tensor[index->tensors];
        const char *shard = json_string_value(value);
        if (!is_plain_name(shard))
            return fb_fail(
                ctx, FB_E_FORMAT,
                "%s: tensor %.100s lies in \"%.100s\"; only files beside the "
                "index are read",
                name, key, shard ? shard : "(no text)");
        FB_TRY(find_shard(ctx, index, name, shard, &t->shard));
        t->name = fb_arena_strdup(index->arena, key);
        if (!t->name)
            return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for a name", name);
        index->tensors++;
    }
    return FB_OK;
}

fb_status fb_shard_index_parse(fb_context *ctx, fb_shard_index *index, const char *name,
                               const char *text, size_t size_bytes)
{
    json_t *root = NULL;
    *index = (fb_shard_index){0};
    FB_TRY(fb_json_parse(ctx, name, text, size_bytes, &root));
    fb_status status;
    index->arena = fb_arena_create(16 << 10);
    if (index->arena)
        status = read_index(ctx, index, name, root);
    else
        status = fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", name);
    json_decref(root);
    if (status != FB_OK)
        fb_shard_index_clear(index);
    return status;
}

void fb_shard_index_clear(fb_shard_index *index)
{
    fb_arena_free(index->arena);
    *index = (fb_shard_index){0};
}

static fb_status list_tensors(fb_context *ctx, fb_tensor_source *s, int32_t count)
{
    s->tensors = calloc((size_t)count + 1, sizeof(const fb_stored_tensor *));
    if (!s->tensors)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to list its tensors", s->path);
    return FB_OK;
}

static fb_status open_single(fb_context *ctx, fb_tensor_source *s)
{
    FB_TRY(fb_safetensors_open(ctx, &s->file[0], s->path));
    s->files = 1;
    FB_TRY(list_tensors(ctx, s, s->file[0]->count));
    for (; s->count < s->file[0]->count; s->count++)
        s->tensors[s->count] = &s->file[0]->tensors[s->count];
    return FB_OK;
}

static fb_status open_shards(fb_context *ctx, fb_tensor_source *s,
                             const fb_shard_index *index)
{
    char folder[4096], path[4096];
    const char *slash = strrchr(s->path, '/');
    size_t length = slash ? (size_t)(slash - s->path) + 1 : 0; /* "/" of the root too */
    memcpy(folder, length ? s->path : ".", length ? length : 1);
    folder[length ? length : 1] = '\0';
    for (; s->files < index->shards; s->files++) {
        FB_TRY(fb_path_join(ctx, path, folder, index->shard[s->files]));
        FB_TRY(fb_safetensors_open(ctx, &s->file[s->files], path));
    }
    FB_TRY(list_tensors(ctx, s, index->tensors));
    for (; s->count < index->tensors; s->count++) {
        const struct fb_shard_entry *t = &index->tensor[s->count];
        s->tensors[s->count] = fb_safetensors_find(s->file[t->shard], t->name);
        if (!s->tensors[s->count])
            return fb_fail(ctx, FB_E_FORMAT,
                           "%s: tensor %.100s should lie in %.100s, which has it not",
                           s->path, t->name, index->shard[t->shard]);
    }
    return FB_OK;
}

static fb_status open_index(fb_context *ctx, fb_tensor_source *s)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    fb_shard_index index;
    FB_TRY(fb_file_read(ctx, s->path, INDEX_LIMIT, &bytes, &size));
    fb_status status =
        fb_shard_index_parse(ctx, &index, s->path, (const char *)bytes, size);
    free(bytes);
    if (status != FB_OK)
        return status;
    status = open_shards(ctx, s, &index);
    fb_shard_index_clear(&index);
    return status;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static fb_status find_file(fb_context *ctx, fb_tensor_source *s, const char *path)
{
    static const char *const pickled[] = {".bin", ".pt", ".pth", ".onnx"};
    if (!fb_path_is_folder(path)) {
        for (size_t i = 0; i < sizeof pickled / sizeof pickled[0]; i++)
            if (ends_with(path, pickled[i]))
                return fb_fail(ctx, FB_E_FORMAT,
                               "%s: not a safetensors file; convert it: python "
                               "tools/convert_weights.py FILE model.safetensors",
                               path);
        size_t length = strlen(path);
        if (length >= sizeof s->path)
            return fb_fail(ctx, FB_E_LIMIT, "the path %.100s... is too long", path);
        memcpy(s->path, path, length + 1);
        return FB_OK;
    }
    FB_TRY(fb_path_join(ctx, s->path, path, "model.safetensors"));
    if (fb_path_exists(s->path))
        return FB_OK;
    FB_TRY(fb_path_join(ctx, s->path, path, "model.safetensors.index.json"));
    if (fb_path_exists(s->path))
        return FB_OK;
    return fb_fail(ctx, FB_E_MISSING,
                   "%s: neither model.safetensors nor model.safetensors.index.json is "
                   "there; tools/convert_weights.py makes one of pytorch_model.bin",
                   path);
}

fb_status fb_tensor_source_open(fb_context *ctx, fb_tensor_source **source,
                                const char *path)
{
    fb_tensor_source *s = calloc(1, sizeof *s);
    if (!s)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", path);
    fb_status status = find_file(ctx, s, path);
    if (status == FB_OK)
        status = ends_with(s->path, ".index.json") ? open_index(ctx, s)
                                                   : open_single(ctx, s);
    if (status != FB_OK) {
        fb_tensor_source_close(s);
        return status;
    }
    *source = s;
    return FB_OK;
}

void fb_tensor_source_close(fb_tensor_source *source)
{
    if (!source)
        return;
    for (int32_t i = 0; i < source->files; i++)
        fb_safetensors_close(source->file[i]);
    free(source->tensors);
    free(source);
}

const fb_stored_tensor *fb_tensor_source_find(const fb_tensor_source *source,
                                              const char *name)
{
    for (int32_t i = 0; i < source->count; i++)
        if (strcmp(source->tensors[i]->name, name) == 0)
            return source->tensors[i];
    return NULL;
}

/* safetensors.c - see safetensors.h. */
#include "nn/safetensors.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/memory_stream.h"
#include "tensor/bf16.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER_LIMIT = 64 << 20 };

struct fb_safetensors_store {
    fb_map map; /* bytes NULL when parsed from memory */
    fb_arena *arena;
    const char *name;
};

static int64_t dtype_bytes(const char *dtype)
{
    static const struct {
        const char *name;
        int64_t bytes;
    } known[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
                 {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U8", 1},   {"BOOL", 1},
                 {"U16", 2}, {"U32", 4}, {"U64", 8}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].name, dtype) == 0)
            return known[i].bytes;
    return 0;
}

static fb_status read_shape(fb_context *ctx, const char *file, fb_stored_tensor *t,
                            const json_t *shape)
{
    if (!json_is_array(shape) || json_array_size(shape) > FB_SAFETENSORS_RANK)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: tensor %s: shape is not a list of at most %d", file,
                       t->name, (int)FB_SAFETENSORS_RANK);
    t->rank = (int32_t)json_array_size(shape);
    t->count = 1;
    for (int32_t i = 0; i < t->rank; i++) {
        const json_t *dim = json_array_get(shape, (size_t)i);
        int64_t n = json_is_integer(dim) ? (int64_t)json_integer_value(dim) : -1;
        if (n < 0 || n > INT32_MAX || (n > 0 && t->count > (INT64_MAX / 16) / n))
            return fb_fail(ctx, FB_E_FORMAT,
                           "%s: tensor %s: dimension %d is out of range", file, t->name,
                           (int)i);
        t->dims[i] = n;
        t->count *= n;
    }
    return FB_OK;
}

static fb_status read_entry(fb_context *ctx, const char *file, fb_stored_tensor *t,
                            const json_t *entry, const uint8_t *data,
                            uint64_t data_bytes)
{
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    int64_t element_bytes = dtype ? dtype_bytes(dtype) : 0;
    if (!element_bytes)
        return fb_fail(ctx, FB_E_FORMAT, "%s: tensor %s: dtype %.16s is not known",
                       file, t->name, dtype ? dtype : "(none)");
    memcpy(t->dtype, dtype, strlen(dtype) + 1);
    FB_TRY(read_shape(ctx, file, t, json_object_get(entry, "shape")));
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(offsets, 0),
                 *second = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) ||
        !json_is_integer(second))
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: tensor %s: data_offsets are not two numbers", file,
                       t->name);
    int64_t begin = (int64_t)json_integer_value(first);
    int64_t end = (int64_t)json_integer_value(second);
    if (begin < 0 || end < begin || (uint64_t)end > data_bytes)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: tensor %s: data %lld to %lld lies outside the file's %llu "
                       "bytes; the file is cut short or damaged",
                       file, t->name, (long long)begin, (long long)end,
                       (unsigned long long)data_bytes);
    if (end - begin != t->count * element_bytes)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: tensor %s: %lld bytes do not fit its shape", file, t->name,
                       (long long)(end - begin));
    t->bytes = data + begin;
    return FB_OK;
}

static fb_status read_header(fb_context *ctx, fb_safetensors *file, const char *name,
                             const json_t *header, const uint8_t *data,
                             uint64_t data_bytes)
{
    fb_arena *arena = file->store->arena;
    size_t entries = json_object_size(header);
    file->tensors = fb_arena_alloc_zero(arena, (entries + 1) * sizeof *file->tensors);
    if (!file->tensors)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for %zu tensors", name,
                       entries);
    const char *key;
    json_t *entry;
    json_object_foreach((json_t *)(uintptr_t)header, key, entry)
    {
        if (strcmp(key, "__metadata__") == 0)
            continue;
        fb_stored_tensor *t = &file->tensors[file->count];
        t->name = fb_arena_strdup(arena, key);
        if (!t->name)
            return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for a name", name);
        FB_TRY(read_entry(ctx, name, t, entry, data, data_bytes));
        file->count++;
    }
    return FB_OK;
}

static fb_status parse(fb_context *ctx, fb_safetensors *file, const char *name,
                       const uint8_t *bytes, size_t size_bytes)
{
    uint64_t header_bytes = 0;
    if (size_bytes < 8)
        return fb_fail(ctx, FB_E_FORMAT, "%s: %zu bytes are no safetensors file", name,
                       size_bytes);
    memcpy(&header_bytes, bytes, 8);
    if (header_bytes > HEADER_LIMIT || header_bytes > size_bytes - 8)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: its header of %llu bytes does not fit the file; it is cut "
                       "short, damaged or no safetensors file",
                       name, (unsigned long long)header_bytes);
    json_t *header = NULL;
    FB_TRY(fb_json_parse(ctx, name, (const char *)bytes + 8, (size_t)header_bytes,
                         &header));
    fb_status status;
    if (json_is_object(header))
        status = read_header(ctx, file, name, header, bytes + 8 + header_bytes,
                             size_bytes - 8 - header_bytes);
    else
        status = fb_fail(ctx, FB_E_FORMAT, "%s: the header is not a JSON object", name);
    json_decref(header);
    return status;
}

static fb_safetensors *create(fb_context *ctx)
{
    fb_arena *arena = fb_arena_create(64 << 10);
    fb_safetensors *file = arena ? fb_arena_alloc_zero(arena, sizeof *file) : NULL;
    if (file)
        file->store = fb_arena_alloc_zero(arena, sizeof *file->store);
    if (!file || !file->store) {
        fb_arena_free(arena);
        fb_fail(ctx, FB_E_MEMORY, "no memory to read a safetensors file");
        return NULL;
    }
    file->store->arena = arena;
    return file;
}

fb_status fb_safetensors_parse(fb_context *ctx, fb_safetensors **file, const char *name,
                               const uint8_t *bytes, size_t size_bytes)
{
    fb_safetensors *f = create(ctx);
    if (!f)
        return FB_E_MEMORY;
    fb_status status = parse(ctx, f, name, bytes, size_bytes);
    if (status != FB_OK) {
        fb_safetensors_close(f);
        return status;
    }
    *file = f;
    return FB_OK;
}

fb_status fb_safetensors_open(fb_context *ctx, fb_safetensors **file, const char *path)
{
    fb_map map;
    FB_TRY(fb_map_open(ctx, path, &map));
    fb_status status = fb_safetensors_parse(ctx, file, path, map.bytes, map.size_bytes);
    if (status == FB_OK)
        (*file)->store->map = map;
    else
        fb_map_close(&map);
    return status;
}

void fb_safetensors_close(fb_safetensors *file)
{
    if (!file)
        return;
    fb_map_close(&file->store->map);
    fb_arena_free(file->store->arena);
}

const fb_stored_tensor *fb_safetensors_find(const fb_safetensors *file,
                                            const char *name)
{
    for (int32_t i = 0; i < file->count; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}

static float half_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 31u;
    uint32_t mantissa = h & 0x3ffu, bits;
    if (exponent == 0) { /* zero and subnormals: mantissa * 2^-24 */
        float f = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &f, 4);
        bits |= sign;
    } else if (exponent == 31) {
        bits = sign | 0x7f800000u | mantissa << 13;
    } else {
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    }
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

fb_status fb_safetensors_to_f32(fb_context *ctx, const fb_stored_tensor *t, float *out)
{
    const uint8_t *from = t->bytes;
    if (strcmp(t->dtype, "F32") == 0) {
        if (t->count)
            memcpy(out, from, (size_t)t->count * 4);
        return FB_OK;
    }
    bool half = strcmp(t->dtype, "F16") == 0, bf16 = strcmp(t->dtype, "BF16") == 0;
    if (!half && !bf16 && strcmp(t->dtype, "F64") != 0)
        return fb_fail(ctx, FB_E_DTYPE,
                       "tensor %s holds %s, not floating-point numbers", t->name,
                       t->dtype);
    for (int64_t i = 0; i < t->count; i++) {
        if (half || bf16) {
            uint16_t h;
            memcpy(&h, from + i * 2, 2);
            out[i] = half ? half_to_f32(h) : fb_bf16_to_f32(h);
        } else {
            double d;
            memcpy(&d, from + i * 8, 8);
            out[i] = (float)d;
        }
    }
    return FB_OK;
}

static int64_t saved_count(const fb_saved_tensor *t)
{
    int64_t count = 1;
    for (int32_t d = 0; d < t->rank; d++)
        count *= t->dims[d];
    return count;
}

static fb_status build_header(fb_context *ctx, char **header, size_t *header_bytes,
                              const fb_saved_tensor *tensors, int32_t count)
{
    FILE *stream = fb_memory_open(header, header_bytes);
    if (!stream)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a safetensors header");
    fb_json_writer w;
    fb_json_begin(&w, stream, 0);
    fb_json_open_object(&w);
    fb_json_key(&w, "__metadata__"); /* transformers 4 opens no file without it */
    fb_json_open_object(&w);
    fb_json_key_string(&w, "format", "pt");
    fb_json_close_object(&w);
    int64_t at = 0;
    for (int32_t i = 0; i < count; i++) {
        fb_json_key(&w, tensors[i].name);
        fb_json_open_object(&w);
        fb_json_key_string(&w, "dtype", "F32");
        fb_json_key(&w, "shape");
        fb_json_open_array(&w);
        for (int32_t d = 0; d < tensors[i].rank; d++)
            fb_json_int(&w, tensors[i].dims[d]);
        fb_json_close_array(&w);
        fb_json_key(&w, "data_offsets");
        fb_json_open_array(&w);
        fb_json_int(&w, at);
        at += saved_count(&tensors[i]) * 4;
        fb_json_int(&w, at);
        fb_json_close_array(&w);
        fb_json_close_object(&w);
    }
    fb_json_close_object(&w);
    fflush(stream);
    for (size_t i = *header_bytes; i % 8; i++) /* the format pads it with spaces */
        fputc(' ', stream);
    return fb_memory_close(stream, header)
               ? FB_OK
               : fb_fail(ctx, FB_E_MEMORY, "no memory for a safetensors header");
}

fb_status fb_safetensors_write(fb_context *ctx, const char *path,
                               const fb_saved_tensor *tensors, int32_t count)
{
    char *header = NULL;
    size_t header_bytes = 0;
    FB_TRY(build_header(ctx, &header, &header_bytes, tensors, count));
    fb_replace r;
    fb_status status = fb_replace_open(ctx, path, &r);
    if (status == FB_OK) {
        uint64_t length = header_bytes;
        fwrite(&length, 8, 1, r.stream);
        fwrite(header, 1, header_bytes, r.stream);
        for (int32_t i = 0; i < count; i++)
            if (saved_count(&tensors[i]) > 0) /* an empty tensor may have no data */
                fwrite(tensors[i].data, 4, (size_t)saved_count(&tensors[i]), r.stream);
        status = fb_replace_commit(ctx, &r); /* shows every write error */
    }
    free(header);
    return status;
}

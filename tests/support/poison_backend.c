/* poison_backend.c - see poison_backend.h. The kernels are made from kernels.def: each
 * argument goes through a function chosen by its type, which makes the host's of it.
 *
 * A struct of arguments is copied, its pointers shifted back, into one of a ring of
 * copies: a kernel has fewer than the ring's places.
 */
#include "support/poison_backend.h"

#include "backend/ref/ref.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not canonical on x86-64 and beyond the top of user space on arm64. */
#define POISON ((uintptr_t)0x5a5a000000000000)
#define MASK   ((uintptr_t)0xffff000000000000)

enum { PLACES = 32, PLACE_BYTES = 256 };

typedef struct poison_backend {
    fb_backend base; /* first: the tables get this pointer */
    fb_backend *ref;
    int64_t live;
    int32_t place;
    _Alignas(64) unsigned char ring[PLACES][PLACE_BYTES];
} poison_backend;

static poison_backend *poison_of(const fb_backend *be)
{
    return (poison_backend *)(uintptr_t)be;
}

static void *shifted(void *host)
{
    return (void *)((uintptr_t)host ^ POISON);
}

/* The host's address of a pointer into the backend's memory. */
static void *clean(const void *p)
{
    if (!p)
        return NULL;
    if (((uintptr_t)p & MASK) != POISON) {
        fprintf(stderr, "poison: a kernel was given the host's pointer %p\n", p);
        abort();
    }
    return (void *)((uintptr_t)p ^ POISON);
}

static void *copy_of(poison_backend *b, const void *p, size_t bytes)
{
    unsigned char *place = b->ring[b->place++ % PLACES];
    memcpy(place, p, bytes);
    return place;
}

/* ---- arguments ------------------------------------------------------------------ */

#define KEEP(type, name)                                                               \
    static type name(const poison_backend *b, type x)                                  \
    {                                                                                  \
        (void)b;                                                                       \
        return x;                                                                      \
    }
KEEP(fb_context *, keep_context)
KEEP(double *, keep_double) /* results on the host */
KEEP(int64_t *, keep_place)
KEEP(const char **, keep_words) /* likewise */
KEEP(bool, keep_bool)
KEEP(float, keep_float)
KEEP(int32_t, keep_i32)
KEEP(int64_t, keep_i64)
KEEP(fb_dropout, keep_dropout)
KEEP(const fb_conv *, keep_conv) /* geometry and numbers, no pointers */
KEEP(const fb_max_pool *, keep_pool)
KEEP(const fb_adamw *, keep_adamw)

#define SHIFT(type, name)                                                              \
    static type name(const poison_backend *b, type x)                                  \
    {                                                                                  \
        (void)b;                                                                       \
        return clean(x);                                                               \
    }
SHIFT(float *, floats)
SHIFT(const float *, const_floats)
SHIFT(const int32_t *, indices)
SHIFT(uint8_t *, bytes)
SHIFT(const uint8_t *, const_bytes)

#define COPY(type, name, fields)                                                       \
    static type *name(poison_backend *b, type *given)                                  \
    {                                                                                  \
        _Static_assert(sizeof(type) <= PLACE_BYTES, "a copy fits its place");          \
        if (!given)                                                                    \
            return NULL;                                                               \
        type *x = copy_of(b, given, sizeof *given);                                    \
        fields;                                                                        \
        return x;                                                                      \
    }
#define COPY_CONST(type, name, fields)                                                 \
    static const type *name(poison_backend *b, const type *given)                      \
    {                                                                                  \
        _Static_assert(sizeof(type) <= PLACE_BYTES, "a copy fits its place");          \
        if (!given)                                                                    \
            return NULL;                                                               \
        type *x = copy_of(b, given, sizeof *given);                                    \
        fields;                                                                        \
        return x;                                                                      \
    }
COPY_CONST(fb_tensor, tensor, x->data = clean(x->data))
COPY(fb_weight, weight, x->data = clean(x->data))
COPY_CONST(fb_attention, attention, x->offsets = clean(x->offsets))
COPY_CONST(fb_cross_attention, cross_attention,
           (x->q_offsets = clean(x->q_offsets), x->kv_offsets = clean(x->kv_offsets)))
COPY_CONST(fb_cross_rows, cross_rows,
           (x->q = tensor(b, x->q), x->kv = tensor(b, x->kv)))
COPY_CONST(fb_patchify, patches, x->masked = clean(x->masked))
COPY_CONST(fb_norm, norm, (x->gamma = clean(x->gamma), x->beta = clean(x->beta)))
COPY_CONST(fb_norm_grads, grads,
           (x->dx = tensor(b, x->dx), x->dresidual = tensor(b, x->dresidual),
            x->dgamma = clean(x->dgamma), x->dbeta = clean(x->dbeta)))
COPY_CONST(fb_batch_norm, batch_norm,
           (x->gamma = clean(x->gamma), x->beta = clean(x->beta)))
COPY_CONST(fb_csr, csr,
           (x->offsets = clean(x->offsets), x->columns = clean(x->columns),
            x->weights = clean(x->weights)))
COPY_CONST(fb_running, running, (x->mean = clean(x->mean), x->var = clean(x->var)))
COPY_CONST(fb_conv_epilogue, epilogue,
           (x->bias = clean(x->bias), x->residual = tensor(b, x->residual)))
COPY_CONST(fb_contrast, contrast,
           (x->a_group = clean(x->a_group), x->b_group = clean(x->b_group)))
COPY_CONST(fb_hinge, hinge,
           (x->a_group = clean(x->a_group), x->b_group = clean(x->b_group)))
COPY_CONST(fb_recurrence, recurrence,
           (x->offsets = clean(x->offsets), x->order = clean(x->order)))
COPY_CONST(fb_gru_grads, gru_grads,
           (x->dx = tensor(b, x->dx), x->dw = clean(x->dw), x->dbias = clean(x->dbias)))
COPY_CONST(fb_lists, lists,
           (x->members = clean(x->members), x->targets = clean(x->targets),
            x->log_q = clean(x->log_q)))
COPY_CONST(fb_stacked, stacked,
           (x->text = clean(x->text), x->image = clean(x->image),
            x->word = clean(x->word), x->row = clean(x->row),
            x->text_offsets = clean(x->text_offsets),
            x->image_offsets = clean(x->image_offsets), x->gram = clean(x->gram)))
COPY_CONST(fb_positions, positions,
           (x->table = clean(x->table), x->ids = clean(x->ids),
            x->overlap = clean(x->overlap)))

static const fb_embed *embed(poison_backend *b, const fb_embed *given)
{
    fb_embed *x = copy_of(b, given, sizeof *given);
    for (int32_t k = 0; k < x->count; k++) {
        x->table[k] = clean(x->table[k]);
        x->ids[k] = clean(x->ids[k]);
    }
    return x;
}

static float *const *tables(poison_backend *b, float *const *given)
{
    float *clear[FB_EMBED_TABLES];
    for (int k = 0; k < FB_EMBED_TABLES; k++)
        clear[k] = clean(given[k]);
    return copy_of(b, clear, sizeof clear);
}

static fb_backend *keep_backend(const poison_backend *b, fb_backend *be)
{
    (void)be;
    return b->ref;
}

static const fb_backend *keep_const_backend(const poison_backend *b,
                                            const fb_backend *be)
{
    (void)be;
    return b->ref;
}

static fb_activation keep_activation(const poison_backend *b, fb_activation x)
{
    (void)b;
    return x;
}

/* A new type in kernels.def wants a row here. */
#define HOST(x)                                                                        \
    _Generic((x), fb_context *                                                         \
             : keep_context, fb_backend *                                              \
             : keep_backend, const fb_backend *                                        \
             : keep_const_backend, double *                                            \
             : keep_double, int64_t *                                                  \
             : keep_place, const char **                                               \
             : keep_words, bool                                                        \
             : keep_bool, float                                                        \
             : keep_float, int32_t                                                     \
             : keep_i32, int64_t                                                       \
             : keep_i64, fb_activation                                                 \
             : keep_activation, fb_dropout                                             \
             : keep_dropout, const fb_conv *                                           \
             : keep_conv, const fb_max_pool *                                          \
             : keep_pool, const fb_adamw *                                             \
             : keep_adamw, float *                                                     \
             : floats, const float *                                                   \
             : const_floats, const int32_t *                                           \
             : indices, uint8_t *                                                      \
             : bytes, const uint8_t *                                                  \
             : const_bytes, const fb_tensor *                                          \
             : tensor, fb_weight *                                                     \
             : weight, const fb_attention *                                            \
             : attention, const fb_cross_attention *                                   \
             : cross_attention, const fb_cross_rows *                                  \
             : cross_rows, const fb_patchify *                                         \
             : patches, const fb_norm *                                                \
             : norm, const fb_norm_grads *                                             \
             : grads, const fb_batch_norm *                                            \
             : batch_norm, const fb_csr *                                              \
             : csr, const fb_running *                                                 \
             : running, const fb_conv_epilogue *                                       \
             : epilogue, const fb_contrast *                                           \
             : contrast, const fb_lists *                                              \
             : lists, const fb_stacked *                                               \
             : stacked, const fb_hinge *                                               \
             : hinge, const fb_recurrence *                                            \
             : recurrence, const fb_gru_grads *                                        \
             : gru_grads, const fb_positions *                                         \
             : positions, const fb_embed *                                             \
             : embed, float *const *                                                   \
             : tables)(poison_of(be), x)

/* ---- kernels -------------------------------------------------------------------- */

/* HOST of each of up to eight names. */
#define H1(a)                                   HOST(a)
#define H2(a, ...)                              HOST(a), H1(__VA_ARGS__)
#define H3(a, ...)                              HOST(a), H2(__VA_ARGS__)
#define H4(a, ...)                              HOST(a), H3(__VA_ARGS__)
#define H5(a, ...)                              HOST(a), H4(__VA_ARGS__)
#define H6(a, ...)                              HOST(a), H5(__VA_ARGS__)
#define H7(a, ...)                              HOST(a), H6(__VA_ARGS__)
#define H8(a, ...)                              HOST(a), H7(__VA_ARGS__)
#define PICK(a, b, c, d, e, f, g, h, name, ...) name
#define EACH(...)                               PICK(__VA_ARGS__, H8, H7, H6, H5, H4, H3, H2, H1, 0)(__VA_ARGS__)

#define MAKE_fb_status(name, parameters, names)                                        \
    static fb_status poison_##name parameters                                          \
    {                                                                                  \
        return ref_##name(EACH names);                                                 \
    }
#define MAKE_void(name, parameters, names) /* by hand, below */
#define FB_KERNEL(result, name, parameters, names)                                     \
    MAKE_##result(name, parameters, names)
#include "backend/kernels.def"

static void poison_free(fb_backend *be)
{
    fb_backend_free(poison_of(be)->ref);
    free(be);
}

/* Ref keeps no copies of weights. */
static void poison_weight_release(fb_backend *be, fb_weight *w)
{
    (void)be;
    (void)w;
}

static void poison_row_products(const fb_backend *be, float *y, const float *rows,
                                int64_t count, int64_t width, const float *query)
{
    ref_row_products(poison_of(be)->ref, clean(y), clean(rows), count, width,
                     clean(query));
}

static void poison_row_products_bf16(const fb_backend *be, float *y,
                                     const fb_bf16 *rows, int64_t count, int64_t width,
                                     const float *query)
{
    ref_row_products_bf16(poison_of(be)->ref, clean(y), clean(rows), count, width,
                          clean(query));
}

static void poison_row_products_int8(const fb_backend *be, int32_t *y,
                                     const int8_t *rows, int64_t count, int64_t width,
                                     const int16_t *query)
{
    ref_row_products_int8(poison_of(be)->ref, clean(y), clean(rows), count, width,
                          clean(query));
}

static const fb_kernels kernels = {
#define FB_KERNEL(result, name, ...) .name = poison_##name,
#include "backend/kernels.def"
};

/* ---- memory --------------------------------------------------------------------- */

static fb_status poison_alloc(fb_context *ctx, fb_backend *be, void **memory,
                              size_t bytes)
{
    FB_TRY(fb_memory_host.alloc(ctx, poison_of(be)->ref, memory, bytes));
    memset(*memory, 0xff, bytes); /* NaN to who reads before he writes */
    *memory = shifted(*memory);
    poison_of(be)->live++;
    return FB_OK;
}

static void poison_memory_free(fb_backend *be, void *memory)
{
    poison_of(be)->live -= memory != NULL;
    fb_memory_host.free(poison_of(be)->ref, clean(memory));
}

static fb_status poison_upload(fb_context *ctx, fb_backend *be, void *to,
                               const void *from, size_t bytes)
{
    return fb_memory_host.upload(ctx, be, clean(to), from, bytes);
}

static fb_status poison_download(fb_context *ctx, fb_backend *be, void *to,
                                 const void *from, size_t bytes)
{
    return fb_memory_host.download(ctx, be, to, clean(from), bytes);
}

static fb_status poison_copy(fb_context *ctx, fb_backend *be, void *to,
                             const void *from, size_t bytes)
{
    return fb_memory_host.copy(ctx, be, clean(to), clean(from), bytes);
}

static fb_status poison_fill(fb_context *ctx, fb_backend *be, void *to, uint8_t byte,
                             size_t bytes)
{
    return fb_memory_host.fill(ctx, be, clean(to), byte, bytes);
}

static fb_status poison_finish(fb_context *ctx, fb_backend *be)
{
    return fb_memory_host.finish(ctx, be);
}

static const fb_memory memory = {
    .host = false,
    .alloc = poison_alloc,
    .free = poison_memory_free,
    .upload = poison_upload,
    .download = poison_download,
    .copy = poison_copy,
    .fill = poison_fill,
    .finish = poison_finish,
};

fb_status poison_backend_create(fb_context *ctx, fb_backend **be)
{
    poison_backend *b = aligned_alloc(64, (sizeof *b + 63) / 64 * 64);
    if (!b)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the poison backend");
    memset(b, 0, sizeof *b);
    fb_status status = fb_backend_create(ctx, &b->ref, "ref", "f32", 1);
    if (status != FB_OK) {
        free(b);
        return status;
    }
    b->base = (fb_backend){&kernels, &memory, "poison", FB_F32, 1, {0, 0}};
    *be = &b->base;
    return FB_OK;
}

fb_status test_backend_create(fb_context *ctx, fb_backend **be, const char *name,
                              const char *dtype, int32_t threads)
{
    return strcmp(name, "poison") == 0
               ? poison_backend_create(ctx, be)
               : fb_backend_create(ctx, be, name, dtype, threads);
}

int64_t poison_backend_live(const fb_backend *be)
{
    return poison_of(be)->live;
}

/* cpu_backend.h - what the files of the cpu backend share: the backend, its scratch,
 * how work is cut between threads, and the kernels that fill its table.
 *
 * Threads take contiguous stretches, the same ones whenever sizes and thread count are
 * the same; nothing is added up in an order that depends on timing.
 */
#ifndef FB_BACKEND_CPU_CPU_BACKEND_H
#define FB_BACKEND_CPU_CPU_BACKEND_H

#include "backend/cpu/cpu_convolution.h"
#include "backend/cpu/cpu_gemm.h"
#include "backend/cpu/cpu_int8.h"
#include "backend/cpu/vector.h"

typedef struct cpu_backend {
    fb_backend base; /* first: the table gets this pointer */
    cpu_onednn *lib;
    cpu_gemm *gemm;
    cpu_convolution *convolution;
    const fb_vector *v;
    cpu_int8_way int8; /* undecided until the first int8 product */
    void *scratch;
    size_t scratch_bytes;
} cpu_backend;

static inline cpu_backend *cpu_of(fb_backend *be)
{
    return (cpu_backend *)be;
}

/* threads 0: those this process may use. */
fb_status cpu_backend_create(fb_context *ctx, fb_backend **be, fb_dtype dtype,
                             int32_t threads);

/* Of both formats; 0 where the processor has no bf16 (cpu_choice.c). */
fb_status cpu_format_rates(fb_context *ctx, int32_t threads, fb_format_rates *rates);

/* At least `bytes`, aligned to 64, kept until asked for more. */
fb_status cpu_scratch(fb_context *ctx, cpu_backend *c, size_t bytes, void **scratch);

/* Whether work on `bytes` of memory pays for waking the other threads. */
static inline bool cpu_is_large(int64_t bytes)
{
    return bytes > 32768;
}

typedef struct cpu_range {
    int64_t from, to;
} cpu_range;

/* Part `index` of `parts` of [0, n), cut at multiples of `step`. */
static inline cpu_range cpu_part(int64_t n, int64_t step, int32_t index, int32_t parts)
{
    int64_t steps = (n + step - 1) / step;
    int64_t from = steps * index / parts * step,
            to = steps * (index + 1) / parts * step;
    return (cpu_range){from < n ? from : n, to < n ? to : n};
}

/* Work of `sums` multiply-adds on a matrix, cut in two directions: its n rows into
 * `parts` of at least `least`, and beside that its columns, where there are fewer parts
 * than threads. Cell i is part i / beside of the rows, and i % beside of the columns. */
typedef struct cpu_grid {
    int32_t threads, parts, beside, cells; /* cells: parts * beside, at most threads */
} cpu_grid;

static inline cpu_grid cpu_grid_of(const cpu_backend *c, int64_t sums, int64_t n,
                                   int64_t least)
{
    int32_t threads = sums < 32768 ? 1 : c->base.threads;
    int64_t most = (n + least - 1) / least;
    int32_t parts = most < threads ? (int32_t)most : threads;
    int32_t beside = threads / parts;
    return (cpu_grid){threads, parts, beside, parts * beside};
}

static inline void *cpu_at(const fb_tensor *t, int64_t element)
{
    return (char *)t->data + (size_t)element * fb_dtype_size(t->dtype);
}

#define FB_KERNEL(result, name, parameters, ...) result cpu_##name parameters;
#include "backend/kernels.def"

#endif

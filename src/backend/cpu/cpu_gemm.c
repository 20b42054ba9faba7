/* cpu_gemm.c - cpu_gemm.h by oneDNN.
 *
 * All are matmul primitives  C[m,n] = A[m,k] B[k,n]:
 *
 *     forward          A = x  [T,K]         B = w^T [K,N] packed    C = y
 *     backward_input   A = dy [T,N]         B = w   [N,K] packed    C = dx (sum)
 *     backward_weight  A = dy^T [N,T]       B = x   [T,K] plain     C = dw (sum, f32)
 *     product          A = a or a^T         B = b or b^T    plain     C = y
 *     int8             A = x  [T,K] s8      B = w^T [K,N] packed s8    C = sums s32
 *
 * The packed layout is asked of the library once a weight and direction
 * (format_tag_any at 1024 rows); primitives of all row counts then take that layout.
 */
#include "backend/cpu/cpu_gemm.h"
#include "backend/cpu/cpu_onednn.h"
#include <stdlib.h>
#include <string.h>

enum { PRIMITIVES = 768, ROW_BUCKET = 64, EXACT_ROWS = 512, LAYOUT_ROWS = 1024 };

typedef struct gemm_key {
    int64_t m, k, n;
    int32_t direction; /* DIRECTION_... */
    int32_t options;   /* OPTION_... */
} gemm_key;

enum { DIRECTION_FORWARD, DIRECTION_INPUT, DIRECTION_WEIGHT, DIRECTION_PRODUCT };
/* A or B stored transposed; s32 sums of s8 numbers */
enum { OPTION_A_SIDEWAYS = 64, OPTION_B_SIDEWAYS = 128, OPTION_INT8 = 1024 };

typedef struct gemm_entry {
    gemm_key key;
    dnnl_primitive_t primitive; /* NULL: free or failed */
    dnnl_memory_t a, b, c, bias, scratch;
    size_t scratch_bytes;
    uint64_t used; /* clock of the last use */
} gemm_entry;

struct cpu_gemm {
    cpu_onednn *lib; /* borrowed */
    uint64_t clock;
    int32_t count;
    gemm_entry entry[PRIMITIVES];
};

/* ---- descriptors, in both majors ------------------------------------------------ */

static dnnl_status_t desc_strided(dnnl_memory_desc_t *desc, int64_t rows,
                                  int64_t columns, dnnl_data_type_t type,
                                  int64_t row_stride, int64_t column_stride)
{
    int64_t dims[] = {rows, columns}, strides[] = {row_stride, column_stride};
    return cpu_onednn_desc(desc, 2, dims, type, strides);
}

static dnnl_status_t desc_any(dnnl_memory_desc_t *desc, int64_t rows, int64_t columns,
                              dnnl_data_type_t type)
{
    return cpu_onednn_desc(desc, 2, (int64_t[]){rows, columns}, type, NULL);
}

static dnnl_status_t matmul_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                 desc_ref a, desc_ref b, desc_ref bias, desc_ref c,
                                 const_dnnl_primitive_attr_t attr)
{
#if DNNL_VERSION_MAJOR < 3
    dnnl_matmul_desc_t op;
    dnnl_status_t status = dnnl_matmul_desc_init(&op, a, b, bias, c);
    if (status != dnnl_success)
        return status;
    return dnnl_primitive_desc_create(pd, &op, attr, engine, NULL);
#else
    return dnnl_matmul_primitive_desc_create(pd, engine, a, b, bias, c, attr);
#endif
}

/* ---- creation ------------------------------------------------------------------- */

fb_status cpu_gemm_create(fb_context *ctx, cpu_onednn *lib, cpu_gemm **gemm)
{
    cpu_gemm *g = calloc(1, sizeof *g);
    if (!g)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the cpu backend");
    g->lib = lib;
    *gemm = g;
    return FB_OK;
}

static void entry_clear(gemm_entry *e)
{
    dnnl_memory_t memories[] = {e->a, e->b, e->c, e->bias, e->scratch};
    for (size_t i = 0; i < sizeof memories / sizeof memories[0]; i++)
        if (memories[i])
            dnnl_memory_destroy(memories[i]);
    if (e->primitive)
        dnnl_primitive_destroy(e->primitive);
    *e = (gemm_entry){0};
}

void cpu_gemm_free(cpu_gemm *gemm)
{
    if (!gemm)
        return;
    for (int32_t i = 0; i < gemm->count; i++)
        entry_clear(&gemm->entry[i]);
    free(gemm);
}

/* ---- the cache of primitives ---------------------------------------------------- */

static bool same_key(const gemm_key *a, const gemm_key *b)
{
    return a->m == b->m && a->k == b->k && a->n == b->n &&
           a->direction == b->direction && a->options == b->options;
}

/* A free place: a new one, or that of the entry that lay unused longest. */
static int32_t take_place(cpu_gemm *g)
{
    if (g->count < PRIMITIVES)
        return g->count++;
    int32_t oldest = 0;
    for (int32_t i = 1; i < PRIMITIVES; i++)
        if (g->entry[i].used < g->entry[oldest].used)
            oldest = i;
    entry_clear(&g->entry[oldest]);
    return oldest;
}

typedef struct gemm_descs {
    dnnl_memory_desc_t a, b, c, bias;
} gemm_descs;

static void descs_free(gemm_descs *d)
{
    cpu_onednn_desc_free(&d->a);
    cpu_onednn_desc_free(&d->b);
    cpu_onednn_desc_free(&d->c);
    cpu_onednn_desc_free(&d->bias);
}

static bool is_packed(const gemm_key *key)
{
    return key->direction == DIRECTION_FORWARD || key->direction == DIRECTION_INPUT;
}

/* Dense row-major but for what is seen sideways. B is left to the library where it is a
 * weight. */
static dnnl_status_t descs_make(cpu_gemm *g, gemm_descs *d, const gemm_key *key)
{
    bool a_sideways = key->options & OPTION_A_SIDEWAYS;
    bool b_sideways = key->options & OPTION_B_SIDEWAYS;
    bool int8 = key->options & OPTION_INT8;
    dnnl_data_type_t type = int8 ? dnnl_s8 : g->lib->type;
    dnnl_data_type_t out = int8                              ? dnnl_s32
                           : (key->options & OPTION_F32_OUT) ? dnnl_f32
                                                             : type;
    dnnl_status_t status = desc_strided(
        &d->a, key->m, key->k, type, a_sideways ? 1 : key->k, a_sideways ? key->m : 1);
    if (status == dnnl_success)
        status = is_packed(key)
                     ? desc_any(&d->b, key->k, key->n, type)
                     : desc_strided(&d->b, key->k, key->n, type,
                                    b_sideways ? 1 : key->n, b_sideways ? key->k : 1);
    if (status == dnnl_success)
        status = desc_strided(&d->c, key->m, key->n, out, key->n, 1);
    if (status == dnnl_success && (key->options & OPTION_BIAS))
        status = desc_strided(&d->bias, 1, key->n, dnnl_f32, key->n, 1);
    return status;
}

/* Fill e from a primitive descriptor. B's memory only where it is no packed weight. */
static dnnl_status_t entry_fill(cpu_gemm *g, gemm_entry *e, dnnl_primitive_desc_t pd,
                                const gemm_descs *d)
{
    dnnl_status_t status = dnnl_primitive_create(&e->primitive, pd);
    desc_ref scratch = cpu_onednn_query(pd, dnnl_query_scratchpad_md);
    e->scratch_bytes = scratch ? dnnl_memory_desc_get_size(scratch) : 0;
    if (status == dnnl_success)
        status = cpu_onednn_memory(g->lib, &e->a, DESC_REF(d->a));
    if (status == dnnl_success && !is_packed(&e->key))
        status = cpu_onednn_memory(g->lib, &e->b, DESC_REF(d->b));
    if (status == dnnl_success)
        status = cpu_onednn_memory(g->lib, &e->c, DESC_REF(d->c));
    if (status == dnnl_success && (e->key.options & OPTION_BIAS))
        status = cpu_onednn_memory(g->lib, &e->bias, DESC_REF(d->bias));
    if (status == dnnl_success && e->scratch_bytes)
        status = cpu_onednn_memory(g->lib, &e->scratch, scratch);
    return status;
}

/* packed: the layout of B, NULL: as descs_make says. */
static dnnl_status_t entry_make(cpu_gemm *g, gemm_entry *e, desc_ref packed)
{
    gemm_descs d = {0};
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = descs_make(g, &d, &e->key);
    if (status == dnnl_success)
        status = cpu_onednn_attr(&attr, e->key.options, NULL);
    if (status == dnnl_success)
        status = matmul_desc(&pd, g->lib->engine, DESC_REF(d.a),
                             packed ? packed : DESC_REF(d.b),
                             (e->key.options & OPTION_BIAS) ? DESC_REF(d.bias) : NULL,
                             DESC_REF(d.c), attr);
    if (status == dnnl_success)
        status = entry_fill(g, e, pd, &d);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    descs_free(&d);
    return status;
}

/* A look through all keys: some microseconds at most, against products of tens. */
static fb_status find_entry(fb_context *ctx, cpu_gemm *g, gemm_entry **out,
                            const gemm_key *key, dnnl_memory_t packed)
{
    for (int32_t i = 0; i < g->count; i++)
        if (g->entry[i].primitive && same_key(&g->entry[i].key, key)) {
            g->entry[i].used = ++g->clock;
            *out = &g->entry[i];
            return FB_OK;
        }
    desc_ref packed_desc = NULL;
    if (packed)
        TRY_DNNL(ctx, dnnl_memory_get_memory_desc(packed, &packed_desc),
                 "name a layout");
    gemm_entry *e = &g->entry[take_place(g)];
    e->key = *key;
    dnnl_status_t status = entry_make(g, e, packed_desc);
    if (status != dnnl_success)
        entry_clear(e); /* used 0: the next one to be taken */
    else
        e->used = ++g->clock;
    *out = e;
    return cpu_onednn_check(ctx, status, "make a matrix product");
}

/* ---- running -------------------------------------------------------------------- */

typedef struct gemm_call {
    const void *a, *b; /* b NULL: packed */
    void *c;
    const float *bias;
    dnnl_memory_t packed;
} gemm_call;

static fb_status run_entry(fb_context *ctx, cpu_gemm *g, gemm_entry *e,
                           const gemm_call *call)
{
    /* The casts drop const for the library's handles; it reads a, b and bias only. */
    FB_TRY(cpu_onednn_reserve(ctx, g->lib, e->scratch_bytes));
    dnnl_status_t status = dnnl_memory_set_data_handle(e->a, (void *)call->a);
    if (status == dnnl_success && e->b)
        status = dnnl_memory_set_data_handle(e->b, (void *)call->b);
    if (status == dnnl_success)
        status = dnnl_memory_set_data_handle(e->c, call->c);
    if (status == dnnl_success && e->bias)
        status = dnnl_memory_set_data_handle(e->bias, (void *)call->bias);
    if (status == dnnl_success && e->scratch)
        status = dnnl_memory_set_data_handle(e->scratch, g->lib->scratch);
    dnnl_exec_arg_t args[5] = {{DNNL_ARG_SRC, e->a},
                               {DNNL_ARG_WEIGHTS, e->b ? e->b : call->packed},
                               {DNNL_ARG_DST, e->c}};
    int count = 3;
    if (e->bias)
        args[count++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, e->bias};
    if (e->scratch)
        args[count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, e->scratch};
    if (status == dnnl_success)
        status = dnnl_primitive_execute(e->primitive, g->lib->stream, count, args);
    if (status == dnnl_success)
        status = dnnl_stream_wait(g->lib->stream);
    return cpu_onednn_check(ctx, status, "run a matrix product");
}

static fb_status run(fb_context *ctx, cpu_gemm *g, const gemm_key *key,
                     const gemm_call *call)
{
    gemm_entry *e = NULL;
    int before = cpu_onednn_enter(g->lib->threads);
    fb_status status = find_entry(ctx, g, &e, key, call->packed);
    if (status == FB_OK)
        status = run_entry(ctx, g, e, call);
    cpu_onednn_leave(before);
    return status;
}

/* ---- packed weights ------------------------------------------------------------- */

/* The layout that the library likes for [k,n] weights, as a primitive descriptor whose
 * weights_md it is. */
static dnnl_status_t preferred(cpu_gemm *g, dnnl_primitive_desc_t *pd, int64_t k,
                               int64_t n, int32_t options)
{
    gemm_key key = {LAYOUT_ROWS, k, n, DIRECTION_FORWARD, options};
    gemm_descs d = {0};
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status = descs_make(g, &d, &key);
    if (status == dnnl_success)
        status = cpu_onednn_attr(&attr, 0, NULL);
    if (status == dnnl_success)
        status = matmul_desc(pd, g->lib->engine, DESC_REF(d.a), DESC_REF(d.b), NULL,
                             DESC_REF(d.c), attr);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    descs_free(&d);
    return status;
}

static fb_status copy_make(fb_context *ctx, cpu_gemm *g, packed_copy *copy,
                           const fb_weight *w, int32_t direction)
{
    bool forward = direction == DIRECTION_FORWARD;
    int64_t k = forward ? w->in : w->out, n = forward ? w->out : w->in;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_memory_desc_t plain = {0};
    dnnl_status_t status = preferred(g, &pd, k, n, 0);
    if (status == dnnl_success)
        status = desc_strided(&plain, k, n, dnnl_f32, forward ? 1 : w->in,
                              forward ? w->in : 1);
    if (status == dnnl_success)
        status = cpu_onednn_copy_make(
            g->lib, copy, cpu_onednn_query(pd, dnnl_query_weights_md), DESC_REF(plain));
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    cpu_onednn_desc_free(&plain);
    return cpu_onednn_check(ctx, status, "lay out a weight");
}

static fb_status packed_memory(fb_context *ctx, cpu_gemm *g, dnnl_memory_t *memory,
                               fb_weight *w, int32_t direction)
{
    packed_weight *packed;
    FB_TRY(cpu_onednn_packed(ctx, &packed, w));
    packed_copy *copy = &packed->linear[direction];
    fb_status status = FB_OK;
    int before = cpu_onednn_enter(g->lib->threads);
    if (!copy->memory)
        status = copy_make(ctx, g, copy, w, direction);
    if (status == FB_OK)
        status = cpu_onednn_copy_renew(ctx, g->lib, copy, w);
    cpu_onednn_leave(before);
    *memory = copy->memory;
    return status;
}

fb_status cpu_gemm_int8_pack(fb_context *ctx, cpu_gemm *g, packed_copy *copy,
                             const int8_t *w, int64_t in, int64_t out)
{
    dnnl_primitive_desc_t pd = NULL;
    dnnl_memory_desc_t plain = {0};
    int before = cpu_onednn_enter(g->lib->threads);
    cpu_onednn_copy_free(copy);
    dnnl_status_t status = preferred(g, &pd, in, out, OPTION_INT8);
    if (status == dnnl_success)
        status = desc_strided(&plain, in, out, dnnl_s8, 1, in);
    if (status == dnnl_success)
        status = cpu_onednn_copy_make(
            g->lib, copy, cpu_onednn_query(pd, dnnl_query_weights_md), DESC_REF(plain));
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    cpu_onednn_desc_free(&plain);
    fb_status result = cpu_onednn_check(ctx, status, "lay out an int8 weight");
    if (result == FB_OK)
        result = cpu_onednn_copy_fill(ctx, g->lib, copy, w);
    cpu_onednn_leave(before);
    return result;
}

/* ---- the products --------------------------------------------------------------- */

/* y = x w', rows cut as the header says. */
static fb_status run_rows(fb_context *ctx, cpu_gemm *g, gemm_key key, gemm_call call,
                          int64_t rows, const fb_tensor *x, const fb_tensor *y)
{
    int64_t whole = rows - rows % ROW_BUCKET;
    int64_t part[2] = {whole, rows - whole};
    const char *from = x->data;
    char *to = y->data;
    for (int i = 0; i < 2; i++) {
        if (part[i] == 0)
            continue;
        key.m = part[i];
        call.a = from;
        call.c = to;
        FB_TRY(run(ctx, g, &key, &call));
        from += (size_t)(part[i] * key.k) * fb_dtype_size(x->dtype);
        to += (size_t)(part[i] * key.n) * fb_dtype_size(y->dtype);
    }
    return FB_OK;
}

/* by fb_activation */
static const int32_t act_options[] = {0, OPTION_GELU, OPTION_GELU_TANH,
                                      OPTION_QUICK_GELU, OPTION_RELU};

fb_status cpu_gemm_forward(fb_context *ctx, cpu_gemm *g, const fb_tensor *y,
                           const fb_tensor *x, fb_weight *w, const float *bias,
                           fb_activation act)
{
    int64_t rows = x->dims[0];
    if (rows == 0 || w->out == 0)
        return FB_OK;
    gemm_key key = {0, w->in, w->out, DIRECTION_FORWARD, 0};
    key.options = (bias ? OPTION_BIAS : 0) | act_options[act] |
                  (y->dtype == FB_F32 ? OPTION_F32_OUT : 0);
    gemm_call call = {.bias = bias};
    FB_TRY(packed_memory(ctx, g, &call.packed, w, DIRECTION_FORWARD));
    return run_rows(ctx, g, key, call, rows, x, y);
}

fb_status cpu_gemm_int8(fb_context *ctx, cpu_gemm *g, int32_t *sums, const int8_t *x,
                        int64_t rows, const packed_copy *w, int64_t in, int64_t out)
{
    const gemm_key key = {rows, in, out, DIRECTION_FORWARD, OPTION_INT8};
    const gemm_call call = {.a = x, .c = sums, .packed = w->memory};
    return run(ctx, g, &key, &call);
}

fb_status cpu_gemm_backward_input(fb_context *ctx, cpu_gemm *g, const fb_tensor *dx,
                                  const fb_tensor *dy, fb_weight *w, bool accumulate)
{
    int64_t rows = dy->dims[0];
    if (rows == 0 || w->in == 0)
        return FB_OK;
    gemm_key key = {0, w->out, w->in, DIRECTION_INPUT, accumulate ? OPTION_SUM : 0};
    gemm_call call = {0};
    FB_TRY(packed_memory(ctx, g, &call.packed, w, DIRECTION_INPUT));
    return run_rows(ctx, g, key, call, rows, dy, dx);
}

fb_status cpu_gemm_backward_weight(fb_context *ctx, cpu_gemm *g, float *dw,
                                   const fb_tensor *x, const fb_tensor *dy)
{
    int64_t rows = x->dims[0], in = x->dims[1], out = dy->dims[1];
    if (rows == 0 || in == 0 || out == 0)
        return FB_OK;
    /* Each part reads and writes all of dw: for few rows that is most of the time. */
    int64_t whole = rows < EXACT_ROWS ? rows : rows - rows % ROW_BUCKET;
    int64_t part[2] = {whole, rows - whole};
    size_t size = fb_dtype_size(x->dtype);
    const char *a = dy->data, *b = x->data;
    for (int i = 0; i < 2; i++) {
        if (part[i] == 0)
            continue;
        gemm_key key = {out, part[i], in, DIRECTION_WEIGHT,
                        OPTION_SUM | OPTION_F32_OUT | OPTION_A_SIDEWAYS};
        gemm_call call = {.a = a, .b = b, .c = dw};
        FB_TRY(run(ctx, g, &key, &call));
        a += (size_t)(part[i] * out) * size;
        b += (size_t)(part[i] * in) * size;
    }
    return FB_OK;
}

fb_status cpu_gemm_product(fb_context *ctx, cpu_gemm *g, const fb_tensor *y,
                           const fb_tensor *a, bool transpose_a, const fb_tensor *b,
                           bool transpose_b)
{
    gemm_key key = {y->dims[0], a->dims[transpose_a ? 0 : 1], y->dims[1],
                    DIRECTION_PRODUCT, 0};
    key.options = (transpose_a ? OPTION_A_SIDEWAYS : 0) |
                  (transpose_b ? OPTION_B_SIDEWAYS : 0) |
                  (y->dtype == FB_F32 ? OPTION_F32_OUT : 0);
    if (key.m == 0 || key.n == 0)
        return FB_OK;
    if (key.k == 0) { /* a sum of nothing */
        memset(y->data, 0, fb_tensor_bytes(y));
        return FB_OK;
    }
    gemm_call call = {.a = a->data, .b = b->data, .c = y->data};
    return run(ctx, g, &key, &call);
}

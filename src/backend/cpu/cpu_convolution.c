/* cpu_convolution.c - see cpu_convolution.h.
 *
 * The library's gradient of the weight spins at barriers while its threads add up what
 * they found; a thread that has lost its core then holds up all others for a slice of
 * the scheduler's time, again and again. So each thread runs a primitive made for one
 * thread over its own share of the images, and the shares' sums are added in order.
 */
#include "backend/cpu/cpu_conv_cache.h"

enum { JOIN = 4096 }; /* numbers that a thread adds up at a time */

/* ---- packed weights ------------------------------------------------------------- */

/* The weight's copy in layout `want`, made in place of the one made longest ago when
 * there is none. */
static dnnl_status_t copy_of(cpu_onednn *lib, packed_copy **out, packed_weight *packed,
                             const fb_conv *c, desc_ref want)
{
    for (int i = 0; i < CONV_COPIES && packed->conv[i].memory; i++) {
        desc_ref has = NULL;
        *out = &packed->conv[i];
        dnnl_status_t status = dnnl_memory_get_memory_desc((*out)->memory, &has);
        if (status != dnnl_success || dnnl_memory_desc_equal(has, want))
            return status;
    }
    *out = &packed->conv[packed->next_conv];
    packed->next_conv = (packed->next_conv + 1) % CONV_COPIES;
    cpu_onednn_copy_free(*out);
    dnnl_memory_desc_t plain = {0};
    dnnl_status_t status = cpu_conv_desc_weights(&plain, c, dnnl_f32, true);
    if (status == dnnl_success)
        status = cpu_onednn_copy_make(lib, *out, want, DESC_REF(plain));
    cpu_onednn_desc_free(&plain);
    return status;
}

static fb_status packed_memory(fb_context *ctx, cpu_onednn *lib, dnnl_memory_t *memory,
                               fb_weight *w, const conv_entry *e)
{
    packed_weight *packed;
    FB_TRY(cpu_onednn_packed(ctx, &packed, w));
    packed_copy *copy = packed->conv;
    desc_ref want = cpu_onednn_query(e->pd, dnnl_query_weights_md);
    TRY_DNNL(ctx, copy_of(lib, &copy, packed, &e->key.conv, want), "lay out a weight");
    FB_TRY(cpu_onednn_copy_renew(ctx, lib, copy, w));
    *memory = copy->memory;
    return FB_OK;
}

/* ---- running -------------------------------------------------------------------- */

typedef struct conv_call {
    const void *src, *dst; /* one of them is written */
    const void *residual;
    const float *bias;
    fb_weight *w;
} conv_call;

typedef struct conv_args {
    dnnl_exec_arg_t list[6];
    int count;
    dnnl_status_t status;
} conv_args;

/* The cast drops const for the library's handles; which are written, the primitive
 * knows. */
static void add_arg(conv_args *a, int which, dnnl_memory_t memory, const void *data)
{
    if (!memory)
        return;
    if (a->status == dnnl_success)
        a->status = dnnl_memory_set_data_handle(memory, (void *)data);
    a->list[a->count++] = (dnnl_exec_arg_t){which, memory};
}

static fb_status run_entry(fb_context *ctx, cpu_onednn *lib, conv_entry *e,
                           const conv_call *call)
{
    bool forward = e->key.direction == CONV_FORWARD;
    FB_TRY(cpu_onednn_reserve(ctx, lib, e->scratch_bytes));
    conv_args a = {.status = dnnl_success};
    add_arg(&a, forward ? DNNL_ARG_SRC : DNNL_ARG_DIFF_SRC, e->src, call->src);
    add_arg(&a, forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, e->dst, call->dst);
    add_arg(&a, DNNL_ARG_BIAS, e->bias, call->bias);
    add_arg(&a, DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, e->residual,
            call->residual);
    add_arg(&a, DNNL_ARG_SCRATCHPAD, e->scratch, lib->scratch);
    dnnl_memory_t packed;
    FB_TRY(packed_memory(ctx, lib, &packed, call->w, e));
    a.list[a.count++] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, packed};
    if (a.status == dnnl_success)
        a.status = dnnl_primitive_execute(e->primitive, lib->stream, a.count, a.list);
    if (a.status == dnnl_success)
        a.status = dnnl_stream_wait(lib->stream);
    return cpu_onednn_check(ctx, a.status, "run a convolution");
}

static fb_status run(fb_context *ctx, cpu_convolution *v, const conv_key *key,
                     const conv_call *call)
{
    conv_entry *e = NULL;
    int before = cpu_onednn_enter(v->lib->threads);
    fb_status status = cpu_conv_find(ctx, v, &e, key);
    if (status == FB_OK)
        status = run_entry(ctx, v->lib, e, call);
    cpu_onednn_leave(before);
    return status;
}

/* ---- the gradient of the weight ------------------------------------------------- */

/* N images as parts of n or n + 1; what part i writes stands in its own bytes of
 * scratch: dw in the library's layout, then what the primitive needs. */
typedef struct conv_parts {
    cpu_onednn *lib;
    conv_entry *entry[2]; /* for n images and for n + 1 */
    const conv_key *key;
    const char *x, *dy;
    size_t x_bytes, dy_bytes; /* of an image */
    int32_t parts;
    size_t part_bytes, dw_bytes;
} conv_parts;

static int32_t first_image(const conv_parts *p, int32_t part)
{
    return (int32_t)((int64_t)p->key->conv.images * part / p->parts);
}

static conv_entry *entry_of(const conv_parts *p, int32_t part)
{
    int32_t images = first_image(p, part + 1) - first_image(p, part);
    return p->entry[images - p->key->conv.images / p->parts];
}

static char *part_memory(const conv_parts *p, int32_t part)
{
    return (char *)p->lib->scratch + (size_t)part * p->part_bytes;
}

static fb_status prepare_parts(fb_context *ctx, cpu_convolution *v, conv_parts *p)
{
    conv_key key = *p->key;
    bool even = key.conv.images % p->parts == 0;
    key.conv.images /= p->parts;
    FB_TRY(cpu_conv_find(ctx, v, &p->entry[0], &key));
    p->entry[1] = p->entry[0];
    key.conv.images++;
    if (!even)
        FB_TRY(cpu_conv_find(ctx, v, &p->entry[1], &key));
    size_t rest_bytes = 0;
    for (int i = 0; i < 2; i++) {
        const conv_entry *e = p->entry[i];
        p->dw_bytes = e->packed_bytes > p->dw_bytes ? e->packed_bytes : p->dw_bytes;
        rest_bytes = e->scratch_bytes > rest_bytes ? e->scratch_bytes : rest_bytes;
    }
    p->part_bytes = p->dw_bytes + rest_bytes;
    return cpu_onednn_reserve(ctx, v->lib, (size_t)p->parts * p->part_bytes);
}

/* Memory objects and stream are the part's own: its entry may serve others now. */
static dnnl_status_t run_part(const conv_parts *p, int32_t part)
{
    const conv_entry *e = entry_of(p, part);
    size_t image = (size_t)first_image(p, part);
    char *dw = part_memory(p, part);
    const struct {
        dnnl_query_t desc;
        int argument;
        const void *data;
    } rows[] = {
        {dnnl_query_src_md, DNNL_ARG_SRC, p->x + image * p->x_bytes},
        {dnnl_query_diff_dst_md, DNNL_ARG_DIFF_DST, p->dy + image * p->dy_bytes},
        {dnnl_query_diff_weights_md, DNNL_ARG_DIFF_WEIGHTS, dw},
        {dnnl_query_scratchpad_md, DNNL_ARG_SCRATCHPAD, dw + p->dw_bytes}};
    enum { ROWS = sizeof rows / sizeof rows[0] };
    dnnl_exec_arg_t args[ROWS] = {0};
    dnnl_stream_t stream = NULL;
    dnnl_status_t status =
        dnnl_stream_create(&stream, p->lib->engine, dnnl_stream_default_flags);
    for (int i = 0; i < ROWS && status == dnnl_success; i++) {
        args[i].arg = rows[i].argument;
        status =
            dnnl_memory_create(&args[i].memory, cpu_onednn_query(e->pd, rows[i].desc),
                               p->lib->engine, (void *)rows[i].data);
    }
    if (status == dnnl_success)
        status = dnnl_primitive_execute(e->primitive, stream, ROWS, args);
    if (status == dnnl_success)
        status = dnnl_stream_wait(stream);
    for (int i = 0; i < ROWS; i++)
        if (args[i].memory)
            dnnl_memory_destroy(args[i].memory);
    if (stream)
        dnnl_stream_destroy(stream);
    return status;
}

static desc_ref dw_desc(const conv_entry *e)
{
    return cpu_onednn_query(e->pd, dnnl_query_diff_weights_md);
}

/* Adds the parts' dw, all in one layout, to the first one's. */
static void join_parts(const conv_parts *p)
{
    int64_t numbers = (int64_t)(p->dw_bytes / sizeof(float));
    float *first = p->lib->scratch;
    int64_t stride = (int64_t)(p->part_bytes / sizeof(float));
#pragma omp parallel for schedule(static) num_threads(p->parts)
    for (int64_t from = 0; from < numbers; from += JOIN) {
        int64_t to = from + JOIN < numbers ? from + JOIN : numbers;
        for (int32_t part = 1; part < p->parts; part++)
            for (int64_t i = from; i < to; i++)
                first[i] += first[part * stride + i];
    }
}

static dnnl_status_t add_part(const conv_parts *p, int32_t part, float *dw)
{
    const conv_entry *e = entry_of(p, part);
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, e->packed}, {DNNL_ARG_TO, e->plain}};
    dnnl_status_t status = dnnl_memory_set_data_handle(e->packed, part_memory(p, part));
    if (status == dnnl_success)
        status = dnnl_memory_set_data_handle(e->plain, dw);
    if (status == dnnl_success)
        status = dnnl_primitive_execute(e->reorder, p->lib->stream, 2, args);
    return status == dnnl_success ? dnnl_stream_wait(p->lib->stream) : status;
}

static fb_status run_parts(fb_context *ctx, cpu_convolution *v, conv_parts *p,
                           float *dw)
{
    cpu_onednn_enter(1); /* what is made now is made for one thread */
    FB_TRY(prepare_parts(ctx, v, p));
    int failed = dnnl_success;
#pragma omp parallel for schedule(static) num_threads(p->parts) reduction(max : failed)
    for (int32_t i = 0; i < p->parts; i++) {
        int status = (int)run_part(p, i);
        failed = status > failed ? status : failed;
    }
    cpu_onednn_enter(v->lib->threads);
    bool alike = dnnl_memory_desc_equal(dw_desc(p->entry[0]), dw_desc(p->entry[1]));
    if (alike)
        join_parts(p);
    for (int32_t i = 0; i < (alike ? 1 : p->parts) && failed == dnnl_success; i++)
        failed = (int)add_part(p, i, dw);
    return cpu_onednn_check(ctx, (dnnl_status_t)failed, "run a convolution's gradient");
}

/* ---- the three directions ------------------------------------------------------- */

fb_status cpu_convolution_forward(fb_context *ctx, cpu_convolution *v,
                                  const fb_tensor *y, const fb_tensor *x, fb_weight *w,
                                  const fb_conv *c, const fb_conv_epilogue *after)
{
    conv_key key = {*c, CONV_FORWARD, after->relu ? OPTION_RELU : 0};
    conv_call call = {.src = x->data, .dst = y->data, .bias = after->bias, .w = w};
    const fb_tensor *residual = after->residual;
    if (after->bias)
        key.options |= OPTION_BIAS;
    if (residual && residual->data == y->data) {
        key.options |= OPTION_SUM;
    } else if (residual) {
        key.options |= OPTION_RESIDUAL;
        call.residual = residual->data;
    }
    return run(ctx, v, &key, &call);
}

fb_status cpu_convolution_backward_input(fb_context *ctx, cpu_convolution *v,
                                         const fb_tensor *dx, const fb_tensor *dy,
                                         fb_weight *w, const fb_conv *c)
{
    conv_key key = {*c, CONV_INPUT, 0};
    conv_call call = {.src = dx->data, .dst = dy->data, .w = w};
    return run(ctx, v, &key, &call);
}

fb_status cpu_convolution_backward_weight(fb_context *ctx, cpu_convolution *v,
                                          float *dw, const fb_tensor *x,
                                          const fb_tensor *dy, const fb_conv *c)
{
    conv_key key = {*c, CONV_WEIGHT, 0};
    conv_parts parts = {.lib = v->lib, .key = &key, .x = x->data, .dy = dy->data};
    parts.parts = c->images < v->lib->threads ? c->images : v->lib->threads;
    parts.x_bytes = fb_tensor_bytes(x) / (size_t)c->images;
    parts.dy_bytes = fb_tensor_bytes(dy) / (size_t)c->images;
    int before = cpu_onednn_enter(v->lib->threads);
    fb_status status = run_parts(ctx, v, &parts, dw);
    cpu_onednn_leave(before);
    return status;
}

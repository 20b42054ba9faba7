/* cpu_convolution.c - cpu_convolution.h: one primitive a direction and exact shape.
 *
 * What a primitive reads and writes, N images, G groups:
 *
 *     src, dst    [N, C, H, W]              strides of rows, channels last
 *     weights     [(G,) out/G, in/G, k, k]  the library's choice; plain: as fb_conv
 * says bias        [out]                     f32
 */
#include "backend/cpu/cpu_convolution.h"
#include "backend/cpu/cpu_onednn.h"
#include <stdlib.h>

enum { PRIMITIVES = 512 };
enum { DIRECTION_FORWARD, DIRECTION_INPUT, DIRECTION_WEIGHT };

typedef struct conv_key {
    fb_conv conv; /* all int32_t, so that keys compare as bytes */
    int32_t direction, options;
} conv_key;

typedef struct conv_entry {
    conv_key key;
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive; /* NULL: free or failed */
    dnnl_memory_t src, dst, bias, residual, scratch;
    dnnl_memory_t packed, plain; /* of dw; the reorder adds one to the other */
    dnnl_primitive_t reorder;
    size_t scratch_bytes, packed_bytes; /* multiples of 64 */
    uint64_t used;                      /* clock of the last use */
} conv_entry;

struct cpu_convolution {
    cpu_onednn *lib;
    uint64_t clock;
    int32_t count;
    conv_entry entry[PRIMITIVES];
};

/* ---- descriptors ---------------------------------------------------------------- */

typedef struct conv_descs {
    dnnl_memory_desc_t src, dst, weights, plain, bias;
} conv_descs;

static void descs_free(conv_descs *d)
{
    cpu_onednn_desc_free(&d->src);
    cpu_onednn_desc_free(&d->dst);
    cpu_onednn_desc_free(&d->weights);
    cpu_onednn_desc_free(&d->plain);
    cpu_onednn_desc_free(&d->bias);
}

static dnnl_status_t desc_rows(dnnl_memory_desc_t *desc, int64_t images,
                               int64_t channels, int64_t height, int64_t width,
                               dnnl_data_type_t type)
{
    int64_t dims[] = {images, channels, height, width};
    int64_t strides[] = {height * width * channels, 1, width * channels, channels};
    return cpu_onednn_desc(desc, 4, dims, type, strides);
}

static dnnl_status_t desc_weights(dnnl_memory_desc_t *desc, const fb_conv *c,
                                  dnnl_data_type_t type, bool plain)
{
    int64_t k = c->kernel, in = c->in / c->groups, out = c->out / c->groups;
    int64_t dims[] = {c->groups, out, in, k, k};
    int64_t strides[] = {out * in * k * k, in * k * k, k * k, k, 1};
    int skip = c->groups == 1;
    return cpu_onednn_desc(desc, 5 - skip, dims + skip, type,
                           plain ? strides + skip : NULL);
}

static dnnl_status_t descs_make(const cpu_onednn *lib, conv_descs *d,
                                const conv_key *key)
{
    const fb_conv *c = &key->conv;
    int64_t out_height = fb_window_out(c->height, c->kernel, c->stride, c->padding);
    int64_t out_width = fb_window_out(c->width, c->kernel, c->stride, c->padding);
    dnnl_data_type_t weights =
        key->direction == DIRECTION_WEIGHT ? dnnl_f32 : lib->type;
    dnnl_status_t status =
        desc_rows(&d->src, c->images, c->in, c->height, c->width, lib->type);
    if (status == dnnl_success)
        status =
            desc_rows(&d->dst, c->images, c->out, out_height, out_width, lib->type);
    if (status == dnnl_success)
        status = desc_weights(&d->weights, c, weights, false);
    if (status == dnnl_success)
        status = desc_weights(&d->plain, c, dnnl_f32, true);
    if (status == dnnl_success && (key->options & OPTION_BIAS))
        status =
            cpu_onednn_desc(&d->bias, 1, (int64_t[]){c->out}, dnnl_f32, (int64_t[]){1});
    return status;
}

/* A primitive descriptor of `direction`; hint: the forward one, for the backwards. */
static dnnl_status_t conv_desc(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                               const conv_key *key, int32_t direction,
                               const conv_descs *d, dnnl_primitive_desc_t hint,
                               const_dnnl_primitive_attr_t attr)
{
    const fb_conv *c = &key->conv;
    desc_ref src = DESC_REF(d->src), dst = DESC_REF(d->dst),
             weights = DESC_REF(d->weights),
             bias = (key->options & OPTION_BIAS) ? DESC_REF(d->bias) : NULL;
    dnnl_dims_t step = {c->stride, c->stride}, pad = {c->padding, c->padding};
    dnnl_alg_kind_t way = dnnl_convolution_direct;
#if DNNL_VERSION_MAJOR < 3
    dnnl_convolution_desc_t op;
    dnnl_status_t status;
    if (direction == DIRECTION_FORWARD)
        status = dnnl_convolution_forward_desc_init(
            &op, dnnl_forward_training, way, src, weights, bias, dst, step, pad, pad);
    else if (direction == DIRECTION_INPUT)
        status = dnnl_convolution_backward_data_desc_init(&op, way, src, weights, dst,
                                                          step, pad, pad);
    else
        status = dnnl_convolution_backward_weights_desc_init(&op, way, src, weights,
                                                             NULL, dst, step, pad, pad);
    if (status != dnnl_success)
        return status;
    return dnnl_primitive_desc_create(pd, &op, attr, engine, hint);
#else
    dnnl_dims_t none = {0};
    if (direction == DIRECTION_FORWARD)
        return dnnl_convolution_forward_primitive_desc_create(
            pd, engine, dnnl_forward_training, way, src, weights, bias, dst, step, none,
            pad, pad, attr);
    if (direction == DIRECTION_INPUT)
        return dnnl_convolution_backward_data_primitive_desc_create(
            pd, engine, way, src, weights, dst, step, none, pad, pad, hint, attr);
    return dnnl_convolution_backward_weights_primitive_desc_create(
        pd, engine, way, src, weights, NULL, dst, step, none, pad, pad, hint, attr);
#endif
}

/* ---- the cache of primitives ---------------------------------------------------- */

static void entry_clear(conv_entry *e)
{
    dnnl_memory_t memories[] = {e->src,     e->dst,    e->bias, e->residual,
                                e->scratch, e->packed, e->plain};
    for (size_t i = 0; i < sizeof memories / sizeof memories[0]; i++)
        if (memories[i])
            dnnl_memory_destroy(memories[i]);
    if (e->reorder)
        dnnl_primitive_destroy(e->reorder);
    if (e->primitive)
        dnnl_primitive_destroy(e->primitive);
    if (e->pd)
        dnnl_primitive_desc_destroy(e->pd);
    *e = (conv_entry){0};
}

fb_status cpu_convolution_create(cpu_onednn *lib, cpu_convolution **convolution)
{
    cpu_convolution *v = calloc(1, sizeof *v);
    if (!v)
        return fb_fail(lib->ctx, FB_E_MEMORY, "no memory for the cpu backend");
    v->lib = lib;
    *convolution = v;
    return FB_OK;
}

void cpu_convolution_free(cpu_convolution *convolution)
{
    if (!convolution)
        return;
    for (int32_t i = 0; i < convolution->count; i++)
        entry_clear(&convolution->entry[i]);
    free(convolution);
}

/* A free place: a new one, or that of the entry that lay unused longest. */
static conv_entry *take_place(cpu_convolution *v)
{
    if (v->count < PRIMITIVES)
        return &v->entry[v->count++];
    conv_entry *oldest = &v->entry[0];
    for (int32_t i = 1; i < PRIMITIVES; i++)
        if (v->entry[i].used < oldest->used)
            oldest = &v->entry[i];
    entry_clear(oldest);
    return oldest;
}

static size_t size_of(desc_ref desc)
{
    return desc ? (dnnl_memory_desc_get_size(desc) + 63) / 64 * 64 : 0;
}

/* dw in the library's layout, in our scratch, and the reorder that adds it up. */
static dnnl_status_t fill_sum(const cpu_onednn *lib, conv_entry *e, desc_ref plain)
{
    desc_ref packed = cpu_onednn_query(e->pd, dnnl_query_diff_weights_md);
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    e->packed_bytes = size_of(packed);
    dnnl_status_t status = cpu_onednn_memory(lib, &e->packed, packed);
    if (status == dnnl_success)
        status = cpu_onednn_memory(lib, &e->plain, plain);
    if (status == dnnl_success)
        status = cpu_onednn_attr(&attr, OPTION_SUM, NULL);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&pd, packed, lib->engine, plain,
                                                    lib->engine, attr);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&e->reorder, pd);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return status;
}

static dnnl_status_t fill(const cpu_onednn *lib, conv_entry *e, const conv_descs *d)
{
    dnnl_status_t status = dnnl_primitive_create(&e->primitive, e->pd);
    desc_ref scratch = cpu_onednn_query(e->pd, dnnl_query_scratchpad_md);
    e->scratch_bytes = size_of(scratch);
    if (status == dnnl_success)
        status = cpu_onednn_memory(lib, &e->src, DESC_REF(d->src));
    if (status == dnnl_success)
        status = cpu_onednn_memory(lib, &e->dst, DESC_REF(d->dst));
    if (status == dnnl_success && (e->key.options & OPTION_BIAS))
        status = cpu_onednn_memory(lib, &e->bias, DESC_REF(d->bias));
    if (status == dnnl_success && (e->key.options & OPTION_RESIDUAL))
        status = cpu_onednn_memory(lib, &e->residual, DESC_REF(d->dst));
    if (status == dnnl_success && e->scratch_bytes)
        status = cpu_onednn_memory(lib, &e->scratch, scratch);
    if (status == dnnl_success && e->key.direction == DIRECTION_WEIGHT)
        status = fill_sum(lib, e, DESC_REF(d->plain));
    return status;
}

/* The entry's primitive descriptor; for a backward that of its forward comes first. */
static dnnl_status_t describe(const cpu_onednn *lib, conv_entry *e, const conv_descs *d,
                              const_dnnl_primitive_attr_t attr)
{
    conv_descs forward = {0};
    conv_key key = e->key;
    dnnl_primitive_desc_t hint = NULL;
    if (key.direction == DIRECTION_FORWARD)
        return conv_desc(&e->pd, lib->engine, &key, DIRECTION_FORWARD, d, NULL, attr);
    key.direction = DIRECTION_FORWARD;
    dnnl_status_t status = descs_make(lib, &forward, &key);
    if (status == dnnl_success)
        status = conv_desc(&hint, lib->engine, &key, DIRECTION_FORWARD, &forward, NULL,
                           NULL);
    if (status == dnnl_success)
        status = conv_desc(&e->pd, lib->engine, &key, e->key.direction, d, hint, attr);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    descs_free(&forward);
    return status;
}

static dnnl_status_t entry_make(const cpu_onednn *lib, conv_entry *e)
{
    conv_descs d = {0};
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status = descs_make(lib, &d, &e->key);
    if (status == dnnl_success)
        status = cpu_onednn_attr(&attr, e->key.options, DESC_REF(d.dst));
    if (status == dnnl_success)
        status = describe(lib, e, &d, attr);
    if (status == dnnl_success)
        status = fill(lib, e, &d);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    descs_free(&d);
    return status;
}

static fb_status find_entry(cpu_convolution *v, conv_entry **out, const conv_key *key)
{
    for (int32_t i = 0; i < v->count; i++)
        if (v->entry[i].primitive && memcmp(&v->entry[i].key, key, sizeof *key) == 0) {
            v->entry[i].used = ++v->clock;
            *out = &v->entry[i];
            return FB_OK;
        }
    conv_entry *e = take_place(v);
    e->key = *key;
    dnnl_status_t status = entry_make(v->lib, e);
    if (status != dnnl_success)
        entry_clear(e); /* used 0: the next one to be taken */
    else
        e->used = ++v->clock;
    *out = e;
    return cpu_onednn_check(v->lib, status, "make a convolution");
}

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
    dnnl_status_t status = desc_weights(&plain, c, dnnl_f32, true);
    if (status == dnnl_success)
        status = cpu_onednn_copy_make(lib, *out, want, DESC_REF(plain));
    cpu_onednn_desc_free(&plain);
    return status;
}

static fb_status packed_memory(cpu_onednn *lib, dnnl_memory_t *memory, fb_weight *w,
                               const conv_entry *e)
{
    packed_weight *packed;
    FB_TRY(cpu_onednn_packed(lib, &packed, w));
    packed_copy *copy = packed->conv;
    desc_ref want = cpu_onednn_query(e->pd, dnnl_query_weights_md);
    TRY_DNNL(lib, copy_of(lib, &copy, packed, &e->key.conv, want), "lay out a weight");
    FB_TRY(cpu_onednn_copy_renew(lib, copy, w));
    *memory = copy->memory;
    return FB_OK;
}

/* ---- running -------------------------------------------------------------------- */

typedef struct conv_call {
    const void *src, *dst; /* one of them, or dw, is written */
    const void *residual;
    const float *bias;
    fb_weight *w; /* NULL: backward_weight */
    float *dw;
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

static fb_status run_entry(cpu_onednn *lib, conv_entry *e, const conv_call *call)
{
    bool to_input = e->key.direction == DIRECTION_INPUT;
    bool forward = e->key.direction == DIRECTION_FORWARD;
    FB_TRY(cpu_onednn_reserve(lib, e->packed_bytes + e->scratch_bytes));
    conv_args a = {.status = dnnl_success};
    add_arg(&a, to_input ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, e->src, call->src);
    add_arg(&a, forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, e->dst, call->dst);
    add_arg(&a, DNNL_ARG_BIAS, e->bias, call->bias);
    add_arg(&a, DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, e->residual,
            call->residual);
    add_arg(&a, DNNL_ARG_SCRATCHPAD, e->scratch,
            (char *)lib->scratch + e->packed_bytes);
    add_arg(&a, DNNL_ARG_DIFF_WEIGHTS, e->packed, lib->scratch);
    if (call->w) {
        dnnl_memory_t packed;
        FB_TRY(packed_memory(lib, &packed, call->w, e));
        a.list[a.count++] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, packed};
    }
    if (a.status == dnnl_success)
        a.status = dnnl_primitive_execute(e->primitive, lib->stream, a.count, a.list);
    if (a.status == dnnl_success && call->dw) {
        dnnl_exec_arg_t sum[] = {{DNNL_ARG_FROM, e->packed}, {DNNL_ARG_TO, e->plain}};
        a.status = dnnl_memory_set_data_handle(e->plain, call->dw);
        if (a.status == dnnl_success)
            a.status = dnnl_primitive_execute(e->reorder, lib->stream, 2, sum);
    }
    if (a.status == dnnl_success)
        a.status = dnnl_stream_wait(lib->stream);
    return cpu_onednn_check(lib, a.status, "run a convolution");
}

static fb_status run(cpu_convolution *v, const conv_key *key, const conv_call *call)
{
    conv_entry *e = NULL;
    int before = cpu_onednn_enter(v->lib);
    fb_status status = find_entry(v, &e, key);
    if (status == FB_OK)
        status = run_entry(v->lib, e, call);
    cpu_onednn_leave(before);
    return status;
}

/* ---- the three directions ------------------------------------------------------- */

fb_status cpu_convolution_forward(cpu_convolution *v, const fb_tensor *y,
                                  const fb_tensor *x, fb_weight *w, const float *bias,
                                  const fb_tensor *residual, bool relu,
                                  const fb_conv *c)
{
    conv_key key = {*c, DIRECTION_FORWARD, relu ? OPTION_RELU : 0};
    conv_call call = {.src = x->data, .dst = y->data, .bias = bias, .w = w};
    if (bias)
        key.options |= OPTION_BIAS;
    if (residual && residual->data == y->data) {
        key.options |= OPTION_SUM;
    } else if (residual) {
        key.options |= OPTION_RESIDUAL;
        call.residual = residual->data;
    }
    return run(v, &key, &call);
}

fb_status cpu_convolution_backward_input(cpu_convolution *v, const fb_tensor *dx,
                                         const fb_tensor *dy, fb_weight *w,
                                         const fb_conv *c)
{
    conv_key key = {*c, DIRECTION_INPUT, 0};
    conv_call call = {.src = dx->data, .dst = dy->data, .w = w};
    return run(v, &key, &call);
}

fb_status cpu_convolution_backward_weight(cpu_convolution *v, float *dw,
                                          const fb_tensor *x, const fb_tensor *dy,
                                          const fb_conv *c)
{
    conv_key key = {*c, DIRECTION_WEIGHT, 0};
    conv_call call = {.src = x->data, .dst = dy->data, .dw = dw};
    return run(v, &key, &call);
}

/* cpu_conv_cache.c - see cpu_conv_cache.h. */
#include "backend/cpu/cpu_conv_cache.h"
#include <stdlib.h>

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

dnnl_status_t cpu_conv_desc_weights(dnnl_memory_desc_t *desc, const fb_conv *c,
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
    dnnl_data_type_t weights = key->direction == CONV_WEIGHT ? dnnl_f32 : lib->type;
    dnnl_status_t status =
        desc_rows(&d->src, c->images, c->in, c->height, c->width, lib->type);
    if (status == dnnl_success)
        status =
            desc_rows(&d->dst, c->images, c->out, out_height, out_width, lib->type);
    if (status == dnnl_success)
        status = cpu_conv_desc_weights(&d->weights, c, weights, false);
    if (status == dnnl_success)
        status = cpu_conv_desc_weights(&d->plain, c, dnnl_f32, true);
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
    if (direction == CONV_FORWARD)
        status = dnnl_convolution_forward_desc_init(
            &op, dnnl_forward_training, way, src, weights, bias, dst, step, pad, pad);
    else if (direction == CONV_INPUT)
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
    if (direction == CONV_FORWARD)
        return dnnl_convolution_forward_primitive_desc_create(
            pd, engine, dnnl_forward_training, way, src, weights, bias, dst, step, none,
            pad, pad, attr);
    if (direction == CONV_INPUT)
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

fb_status cpu_convolution_create(fb_context *ctx, cpu_onednn *lib,
                                 cpu_convolution **convolution)
{
    cpu_convolution *v = calloc(1, sizeof *v);
    if (!v)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the cpu backend");
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
    if (v->count < CONV_PRIMITIVES)
        return &v->entry[v->count++];
    conv_entry *oldest = &v->entry[0];
    for (int32_t i = 1; i < CONV_PRIMITIVES; i++)
        if (v->entry[i].used < oldest->used)
            oldest = &v->entry[i];
    entry_clear(oldest);
    return oldest;
}

static size_t size_of(desc_ref desc)
{
    return desc ? (dnnl_memory_desc_get_size(desc) + 63) / 64 * 64 : 0;
}

/* For dw: the reorder that adds one in the library's layout to one in ours. */
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
    if (status == dnnl_success && e->key.direction == CONV_WEIGHT)
        return fill_sum(lib, e, DESC_REF(d->plain));
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
    return status;
}

/* The entry's primitive descriptor; for a backward that of its forward comes first. */
static dnnl_status_t describe(const cpu_onednn *lib, conv_entry *e, const conv_descs *d,
                              const_dnnl_primitive_attr_t attr)
{
    conv_descs forward = {0};
    conv_key key = e->key;
    dnnl_primitive_desc_t hint = NULL;
    if (key.direction == CONV_FORWARD)
        return conv_desc(&e->pd, lib->engine, &key, CONV_FORWARD, d, NULL, attr);
    key.direction = CONV_FORWARD;
    dnnl_status_t status = descs_make(lib, &forward, &key);
    if (status == dnnl_success)
        status =
            conv_desc(&hint, lib->engine, &key, CONV_FORWARD, &forward, NULL, NULL);
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

fb_status cpu_conv_find(fb_context *ctx, cpu_convolution *v, conv_entry **out,
                        const conv_key *key)
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
    return cpu_onednn_check(ctx, status, "make a convolution");
}

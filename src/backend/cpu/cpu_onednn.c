/* cpu_onednn.c - cpu_onednn.h: the engine, descriptors in both majors, packed weights.
 */
#include "backend/cpu/cpu_onednn.h"
#include "backend/cpu/vector.h"
#include <omp.h>
#include <stdlib.h>

fb_status cpu_onednn_check(fb_context *ctx, dnnl_status_t status, const char *what)
{
    if (status == dnnl_success)
        return FB_OK;
    fb_status code = status == dnnl_out_of_memory ? FB_E_MEMORY : FB_E_BACKEND;
    return fb_fail(ctx, code, "oneDNN could not %s (status %d)", what, (int)status);
}

/* ---- descriptors, in both majors ------------------------------------------------ */

dnnl_status_t cpu_onednn_desc(dnnl_memory_desc_t *desc, int rank, const int64_t *dims,
                              dnnl_data_type_t type, const int64_t *strides)
{
#if DNNL_VERSION_MAJOR < 3
    if (strides)
        return dnnl_memory_desc_init_by_strides(desc, rank, dims, type, strides);
    return dnnl_memory_desc_init_by_tag(desc, rank, dims, type, dnnl_format_tag_any);
#else
    if (strides)
        return dnnl_memory_desc_create_with_strides(desc, rank, dims, type, strides);
    return dnnl_memory_desc_create_with_tag(desc, rank, dims, type,
                                            dnnl_format_tag_any);
#endif
}

void cpu_onednn_desc_free(dnnl_memory_desc_t *desc)
{
#if DNNL_VERSION_MAJOR < 3
    (void)desc;
#else
    if (*desc)
        dnnl_memory_desc_destroy(*desc);
    *desc = NULL;
#endif
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
#if DNNL_VERSION_MAJOR < 3
    return dnnl_post_ops_append_sum(ops, 1.0f);
#else
    return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
#endif
}

static dnnl_status_t append_function(dnnl_post_ops_t ops, dnnl_alg_kind_t function,
                                     float alpha)
{
#if DNNL_VERSION_MAJOR < 3
    return dnnl_post_ops_append_eltwise(ops, 1.0f, function, alpha, 0.0f);
#else
    return dnnl_post_ops_append_eltwise(ops, function, alpha, 0.0f);
#endif
}

static dnnl_status_t append_post_ops(dnnl_post_ops_t ops, int32_t options,
                                     desc_ref residual)
{
    dnnl_status_t status = dnnl_success;
    if (options & OPTION_SUM)
        status = append_sum(ops);
    if (status == dnnl_success && (options & OPTION_RESIDUAL))
        status = dnnl_post_ops_append_binary(ops, dnnl_binary_add, residual);
    if (status == dnnl_success && (options & OPTION_GELU))
        status = append_function(ops, dnnl_eltwise_gelu_erf, 0.0f);
    if (status == dnnl_success && (options & OPTION_GELU_TANH))
        status = append_function(ops, dnnl_eltwise_gelu_tanh, 0.0f);
    if (status == dnnl_success && (options & OPTION_QUICK_GELU))
        status = append_function(ops, dnnl_eltwise_swish, 1.702f);
    if (status == dnnl_success && (options & OPTION_RELU))
        status = append_function(ops, dnnl_eltwise_relu, 0.0f);
    return status;
}

dnnl_status_t cpu_onednn_attr(dnnl_primitive_attr_t *attr, int32_t options,
                              desc_ref residual)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(attr);
    if (status != dnnl_success)
        return status;
    status = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success)
        status = append_post_ops(ops, options, residual);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(*attr, ops);
    if (ops)
        dnnl_post_ops_destroy(ops);
    if (status != dnnl_success) {
        dnnl_primitive_attr_destroy(*attr);
        *attr = NULL;
    }
    return status;
}

/* ---- the engine and its scratch ------------------------------------------------- */

static size_t round_to_64(size_t bytes)
{
    return (bytes + 63) / 64 * 64; /* aligned_alloc wants multiples */
}

fb_status cpu_onednn_reserve(fb_context *ctx, cpu_onednn *lib, size_t bytes)
{
    if (bytes <= lib->scratch_bytes)
        return FB_OK;
    void *grown = aligned_alloc(64, round_to_64(bytes));
    if (!grown)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %zu bytes of oneDNN scratch",
                       bytes);
    free(lib->scratch);
    lib->scratch = grown;
    lib->scratch_bytes = bytes;
    return FB_OK;
}

fb_status cpu_onednn_create(fb_context *ctx, cpu_onednn **lib, fb_dtype dtype,
                            int32_t threads)
{
    if (dtype == FB_BF16 && !cpu_can_bf16())
        return fb_fail(ctx, FB_E_USAGE,
                       "dtype bf16 needs a processor with AVX-512; use f32 or auto");
    cpu_onednn *made = calloc(1, sizeof *made);
    if (!made)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for the cpu backend");
    made->type = dtype == FB_BF16 ? dnnl_bf16 : dnnl_f32;
    made->threads = threads;
    fb_status status = cpu_onednn_check(
        ctx, dnnl_engine_create(&made->engine, dnnl_cpu, 0), "make a CPU engine");
    if (status == FB_OK)
        status = cpu_onednn_check(
            ctx,
            dnnl_stream_create(&made->stream, made->engine, dnnl_stream_default_flags),
            "make a stream");
    if (status != FB_OK) {
        cpu_onednn_free(made);
        return status;
    }
    *lib = made;
    return FB_OK;
}

void cpu_onednn_free(cpu_onednn *lib)
{
    if (!lib)
        return;
    if (lib->stream)
        dnnl_stream_destroy(lib->stream);
    if (lib->engine)
        dnnl_engine_destroy(lib->engine);
    free(lib->scratch);
    free(lib);
}

int cpu_onednn_enter(int32_t threads)
{
    int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    return before;
}

void cpu_onednn_leave(int before)
{
    omp_set_num_threads(before);
}

/* ---- packed weights ------------------------------------------------------------- */

fb_status cpu_onednn_packed(fb_context *ctx, packed_weight **packed, fb_weight *w)
{
    if (!w->cache)
        w->cache = calloc(1, sizeof(packed_weight));
    *packed = w->cache;
    return *packed ? FB_OK : fb_fail(ctx, FB_E_MEMORY, "no memory for a packed weight");
}

void cpu_onednn_copy_free(packed_copy *copy)
{
    if (copy->memory)
        dnnl_memory_destroy(copy->memory);
    if (copy->source)
        dnnl_memory_destroy(copy->source);
    if (copy->reorder)
        dnnl_primitive_destroy(copy->reorder);
    free(copy->bytes);
    *copy = (packed_copy){0};
}

void cpu_onednn_weight_release(fb_weight *w)
{
    packed_weight *p = w->cache;
    if (!p)
        return;
    cpu_onednn_copy_free(&p->linear[0]);
    cpu_onednn_copy_free(&p->linear[1]);
    for (int i = 0; i < CONV_COPIES; i++)
        cpu_onednn_copy_free(&p->conv[i]);
    cpu_int8_copy_free(&p->int8);
    cpu_panels_free(&p->panels[0]);
    cpu_panels_free(&p->panels[1]);
    cpu_onednn_copy_free(&p->int8_library);
    free(p);
    w->cache = NULL;
}

/* The reorder keeps the library's own scratch mode: it needs none worth speaking of. */
static dnnl_status_t copy_fill(cpu_onednn *lib, packed_copy *copy, desc_ref want,
                               desc_ref plain)
{
    dnnl_primitive_desc_t pd = NULL;
    copy->bytes = aligned_alloc(64, round_to_64(dnnl_memory_desc_get_size(want) + 64));
    if (!copy->bytes)
        return dnnl_out_of_memory;
    dnnl_status_t status =
        dnnl_memory_create(&copy->memory, want, lib->engine, copy->bytes);
    if (status == dnnl_success)
        status = cpu_onednn_memory(lib, &copy->source, plain);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&pd, plain, lib->engine, want,
                                                    lib->engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&copy->reorder, pd);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    return status;
}

dnnl_status_t cpu_onednn_copy_make(cpu_onednn *lib, packed_copy *copy, desc_ref want,
                                   desc_ref plain)
{
    dnnl_status_t status = copy_fill(lib, copy, want, plain);
    if (status != dnnl_success)
        cpu_onednn_copy_free(copy);
    return status;
}

fb_status cpu_onednn_copy_fill(fb_context *ctx, cpu_onednn *lib, packed_copy *copy,
                               const void *numbers)
{
    /* The cast drops const for the library's handle; it reads only. */
    dnnl_status_t status = dnnl_memory_set_data_handle(copy->source, (void *)numbers);
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, copy->source},
                              {DNNL_ARG_TO, copy->memory}};
    if (status == dnnl_success)
        status = dnnl_primitive_execute(copy->reorder, lib->stream, 2, args);
    if (status == dnnl_success)
        status = dnnl_stream_wait(lib->stream);
    return cpu_onednn_check(ctx, status, "repack a weight");
}

fb_status cpu_onednn_copy_renew(fb_context *ctx, cpu_onednn *lib, packed_copy *copy,
                                const fb_weight *w)
{
    if (copy->version == w->version) /* versions begin at 1 */
        return FB_OK;
    FB_TRY(cpu_onednn_copy_fill(ctx, lib, copy, w->data));
    copy->version = w->version;
    return FB_OK;
}

/* op_harness.c - the numbers of a case on three sides, and their comparison. */
#include "support/op_harness.h"
#include "backend/cpu/cpu_backend.h"

enum { GUARD_BYTES = 128, GUARD = 0xa5 };

float op_get(const fb_tensor *t, int64_t index)
{
    if (t->dtype == FB_BF16)
        return fb_bf16_to_f32(((const fb_bf16 *)t->data)[index]);
    return ((const float *)t->data)[index];
}

static void set(const fb_tensor *t, int64_t index, float value)
{
    if (t->dtype == FB_BF16)
        ((fb_bf16 *)t->data)[index] = fb_bf16_from_f32(value);
    else
        ((float *)t->data)[index] = value;
}

static float rounded(fb_dtype dtype, float value)
{
    return dtype == FB_BF16 ? fb_bf16_to_f32(fb_bf16_from_f32(value)) : value;
}

static op_numbers make(op_world *w, fb_dtype dtype, int64_t rows, int64_t columns)
{
    op_numbers n;
    for (int side = 0; side < OP_SIDES; side++) {
        n.t[side] = fb_tensor_2d(NULL, side == 0 ? FB_F32 : dtype, rows, columns);
        size_t bytes = fb_tensor_bytes(&n.t[side]);
        n.t[side].data = fb_arena_alloc(w->arena, bytes + GUARD_BYTES);
        assert_non_null(n.t[side].data);
        memset((char *)n.t[side].data + bytes, GUARD, GUARD_BYTES);
    }
    return n;
}

static void set_all(op_numbers *n, int64_t index, float value)
{
    for (int side = 0; side < OP_SIDES; side++)
        set(&n->t[side], index, rounded(n->t[1].dtype, value));
}

op_numbers op_input(op_world *w, fb_dtype dtype, int64_t rows, int64_t columns,
                    double scale)
{
    op_numbers n = make(w, dtype, rows, columns);
    for (int64_t i = 0; i < rows * columns; i++)
        set_all(&n, i, (float)(scale * fb_random_normal(&w->random)));
    return n;
}

op_numbers op_activation(op_world *w, int64_t rows, int64_t columns)
{
    return op_input(w, w->dtype, rows, columns, 1.0);
}

op_numbers op_parameter(op_world *w, int64_t rows, int64_t columns)
{
    return op_input(w, FB_F32, rows, columns, 1.0);
}

op_numbers op_from_reference(op_world *w, fb_dtype dtype, const fb_tensor *numbers)
{
    op_numbers n = make(w, dtype, numbers->dims[0], numbers->dims[1]);
    int64_t count = fb_tensor_count(numbers);
    for (int64_t i = 0; i < count; i++)
        set_all(&n, i, op_get(numbers, i));
    return n;
}

op_numbers op_output(op_world *w, fb_dtype dtype, int64_t rows, int64_t columns)
{
    op_numbers n = make(w, dtype, rows, columns);
    for (int64_t i = 0; i < rows * columns; i++)
        set_all(&n, i, NAN);
    return n;
}

static void weight_fill(op_world *w, op_weight *weight)
{
    double scale = 1.0 / sqrt((double)(weight->w[0].in + 1));
    int64_t count = weight->w[0].in * weight->w[0].out;
    for (int64_t i = 0; i < count; i++) {
        float value = rounded(w->dtype, (float)(scale * fb_random_normal(&w->random)));
        for (int side = 0; side < OP_SIDES;
             side++) /* made below, so it may be written */
            ((float *)(uintptr_t)weight->w[side].data)[i] = value;
    }
}

op_weight op_weight_make(op_world *w, int64_t out, int64_t in)
{
    op_weight weight;
    for (int side = 0; side < OP_SIDES; side++) {
        float *data = fb_arena_alloc(w->arena, (size_t)(out * in) * sizeof(float));
        assert_non_null(data);
        weight.w[side] = (fb_weight){data, out, in, 1, NULL};
    }
    weight_fill(w, &weight);
    return weight;
}

void op_weight_change(op_world *w, op_weight *weight)
{
    weight_fill(w, weight);
    for (int side = 0; side < OP_SIDES; side++)
        weight->w[side].version++;
}

void op_weight_free(op_world *w, op_weight *weight)
{
    for (int side = 0; side < OP_SIDES; side++)
        op_backend(w, side)->k->weight_release(op_backend(w, side), &weight->w[side]);
}

int32_t *op_indices(op_world *w, int64_t count, int32_t below)
{
    int32_t *index = fb_arena_alloc(w->arena, (size_t)count * sizeof *index);
    assert_non_null(index);
    for (int64_t i = 0; i < count; i++)
        index[i] = (int32_t)fb_random_below(&w->random, (uint32_t)below);
    return index;
}

void op_begin(op_world *w, const char *format, ...)
{
    fb_arena_reset(w->arena);
    w->least_scale = FB_OP_FLOOR;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(w->what, sizeof w->what, format, arguments);
    va_end(arguments);
}

static void explain(const op_world *w, const char *trouble)
{
    fail_msg("%s, cpu %s, vector set %d on %d threads, seed %llu: %s", w->what,
             fb_dtype_name(w->dtype), (int)w->vector_set, (int)w->be[1]->threads,
             (unsigned long long)w->seed, trouble);
}

void op_check_status(const op_world *w, fb_status status, const char *call)
{
    if (status == FB_OK)
        return;
    char trouble[1536];
    snprintf(trouble, sizeof trouble, "%s: %s: %s", call, fb_status_name(status),
             fb_context_message(w->ctx));
    explain(w, trouble);
}

static void check_guard(const op_world *w, const char *name, const fb_tensor *t)
{
    const unsigned char *end = (const unsigned char *)t->data + fb_tensor_bytes(t);
    char trouble[160];
    for (int i = 0; i < GUARD_BYTES; i++)
        if (end[i] != GUARD) {
            snprintf(trouble, sizeof trouble, "%s: written %d bytes past its end", name,
                     i);
            explain(w, trouble);
        }
}

void op_compare(const op_world *w, const char *name, const op_numbers *n, double factor)
{
    char trouble[256];
    for (int side = 0; side < OP_SIDES; side++)
        check_guard(w, name, &n->t[side]);
    int64_t count = fb_tensor_count(&n->t[0]);
    double largest = w->least_scale;
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)op_get(&n->t[0], i)));
    for (int64_t i = 0; i < count; i++) {
        double a = (double)op_get(&n->t[0], i), b = (double)op_get(&n->t[1], i);
        double error = fabs(a - b) / largest;
        if (!(error <= w->tolerance * factor)) {
            snprintf(trouble, sizeof trouble,
                     "%s[%lld] is %.9g, the reference has %.9g (error %.3g of %.3g, "
                     "allowed %.3g)",
                     name, (long long)i, b, a, error, largest, w->tolerance * factor);
            explain(w, trouble);
        }
    }
    if (count > 0 &&
        memcmp(n->t[1].data, n->t[2].data, fb_tensor_bytes(&n->t[1])) != 0) {
        snprintf(trouble, sizeof trouble, "%s: the same call gave other bits", name);
        explain(w, trouble);
    }
}

typedef struct op_setting {
    const char *dtype;
    int32_t threads;
    double tolerance;
    int32_t set; /* of vector kernels; 0: the one that is used */
    uint64_t seed;
} op_setting;

static void run_world(void (*check)(op_world *w), const op_setting *o)
{
    op_world w = {.ctx = fb_context_create(), .arena = fb_arena_create(1 << 20)};
    assert_true(w.ctx && w.arena);
    w.seed = o->seed;
    w.random = fb_random_start(w.seed, FB_STREAM_TEST, 0);
    w.tolerance = o->tolerance;
    w.vector_set = o->set;
    op_check_status(&w, fb_backend_create(w.ctx, &w.be[0], "ref", "f32", 1), "ref");
    op_check_status(&w, fb_backend_create(w.ctx, &w.be[1], "cpu", o->dtype, o->threads),
                    "cpu");
    if (o->set > 0) {
        const fb_vector *sets[FB_VECTOR_SETS];
        assert_true(o->set < cpu_vector_list(sets));
        ((cpu_backend *)w.be[1])->v = sets[o->set];
    }
    w.dtype = w.be[1]->dtype;
    check(&w);
    fb_backend_free(w.be[1]);
    fb_backend_free(w.be[0]);
    fb_arena_free(w.arena);
    fb_context_free(w.ctx);
}

static void run_dtype(void (*check)(op_world *w), op_setting o, const char *dtype)
{
    o.dtype = dtype;
    /* f32: rounding of sums of a few thousand terms. bf16: half a unit in the last
     * place is 2^-9 of a number; one rounding of the output and one of an intermediate
     * value. */
    bool bf16 = strcmp(dtype, "bf16") == 0;
    o.tolerance = bf16 ? 6e-3 : 4e-6;
    o.seed = 20240610u + (uint64_t)o.threads + (bf16 ? 2 : 0);
    run_world(check, &o);
}

void op_for_threads(int32_t threads, void (*check)(op_world *w))
{
    op_setting o = {.threads = threads};
    run_dtype(check, o, "f32");
    if (cpu_can_bf16())
        run_dtype(check, o, "bf16");
}

void op_for_each_world(void (*check)(op_world *w))
{
    const fb_vector *sets[FB_VECTOR_SETS];
    int32_t count = cpu_vector_list(sets);
    for (int32_t threads = 1; threads <= 2; threads++)
        op_for_threads(threads, check);
    /* Only processors with AVX-512 compute in bf16, so the lesser sets never do. */
    for (int32_t i = 1; i < count; i++) {
        op_setting o = {.threads = 2, .set = i};
        run_dtype(check, o, strncmp(sets[i]->name, "avx512", 6) == 0 ? "bf16" : "f32");
    }
}

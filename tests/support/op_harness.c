/* op_harness.c - the numbers of a case on three sides, and their comparison. */
#include "support/op_harness.h"
#include "backend/cpu/cpu_backend.h"

enum { GUARD_BYTES = 128, GUARD = 0xa5 };

/* ---- numbers on each side ------------------------------------------------------- */

static void *take(op_world *w, int side, size_t bytes)
{
    void *memory = fb_arena_alloc(side > 0 ? w->values : w->arena, bytes);
    assert_non_null(memory);
    return memory;
}

static void upload(const op_world *w, int side, void *to, const void *from,
                   size_t bytes)
{
    fb_backend *be = op_backend(w, side);
    op_check_status(w, be->m->upload(w->ctx, be, to, from, bytes), "upload");
}

static void download(const op_world *w, int side, void *to, const void *from,
                     size_t bytes)
{
    fb_backend *be = op_backend(w, side);
    op_check_status(w, be->m->download(w->ctx, be, to, from, bytes), "download");
    op_check_status(w, be->m->finish(w->ctx, be), "finish");
}

static unsigned char *place(const fb_tensor *t, int64_t index)
{
    return (unsigned char *)t->data + (size_t)index * fb_dtype_size(t->dtype);
}

float op_get(const op_world *w, const op_numbers *n, int side, int64_t index)
{
    const fb_tensor *t = &n->t[side];
    fb_bf16 half;
    float value;
    if (t->dtype == FB_F32) {
        download(w, side, &value, place(t, index), sizeof value);
        return value;
    }
    download(w, side, &half, place(t, index), sizeof half);
    return fb_bf16_to_f32(half);
}

void op_put(op_world *w, op_numbers *n, int side, int64_t index, float value)
{
    const fb_tensor *t = &n->t[side];
    fb_bf16 half = fb_bf16_from_f32(value);
    if (t->dtype == FB_F32)
        upload(w, side, place(t, index), &value, sizeof value);
    else
        upload(w, side, place(t, index), &half, sizeof half);
}

void op_copy(op_world *w, int side, void *to, const void *from, size_t bytes)
{
    fb_backend *be = op_backend(w, side);
    op_call(w, be->m->copy(w->ctx, be, to, from, bytes));
}

void op_read(const op_world *w, int side, void *host, const void *on, size_t bytes)
{
    download(w, side, host, on, bytes);
}

void *op_bytes(op_world *w, int side, size_t bytes)
{
    return take(w, side, bytes);
}

const void *op_upload(op_world *w, int side, const void *host, size_t bytes)
{
    if (op_backend(w, side)->m->host || !host)
        return host;
    void *memory = take(w, side, bytes);
    upload(w, side, memory, host, bytes);
    return memory;
}

bool op_equal(op_world *w, int side, const op_numbers *a, const op_numbers *b)
{
    size_t bytes = fb_tensor_bytes(&a->t[side]);
    void *x = take(w, 0, bytes), *y = take(w, 0, bytes);
    download(w, side, x, a->t[side].data, bytes);
    download(w, side, y, b->t[side].data, bytes);
    return bytes == 0 || memcmp(x, y, bytes) == 0;
}

static float rounded(fb_dtype dtype, float value)
{
    return dtype == FB_BF16 ? fb_bf16_to_f32(fb_bf16_from_f32(value)) : value;
}

static op_numbers make(op_world *w, fb_dtype dtype, int64_t rows, int64_t columns)
{
    unsigned char guard[GUARD_BYTES];
    op_numbers n;
    memset(guard, GUARD, sizeof guard);
    for (int side = 0; side < OP_SIDES; side++) {
        n.t[side] = fb_tensor_2d(NULL, side == 0 ? FB_F32 : dtype, rows, columns);
        size_t bytes = fb_tensor_bytes(&n.t[side]);
        n.t[side].data = take(w, side, bytes + GUARD_BYTES);
        upload(w, side, (unsigned char *)n.t[side].data + bytes, guard, sizeof guard);
    }
    return n;
}

/* The same numbers to all sides, rounded to the dtype of the sides under test. */
static void put_all(op_world *w, op_numbers *n, float *values)
{
    int64_t count = fb_tensor_count(&n->t[0]);
    fb_dtype dtype = n->t[1].dtype;
    fb_bf16 *half = take(w, 0, (size_t)count * sizeof *half);
    for (int64_t i = 0; i < count; i++) {
        half[i] = fb_bf16_from_f32(values[i]);
        values[i] = rounded(dtype, values[i]);
    }
    for (int side = 0; side < OP_SIDES; side++)
        upload(w, side, n->t[side].data,
               n->t[side].dtype == FB_F32 ? (void *)values : (void *)half,
               fb_tensor_bytes(&n->t[side]));
}

static float *room(op_world *w, int64_t count)
{
    return take(w, 0, (size_t)count * sizeof(float));
}

op_numbers op_input(op_world *w, fb_dtype dtype, int64_t rows, int64_t columns,
                    double scale)
{
    op_numbers n = make(w, dtype, rows, columns);
    float *values = room(w, rows * columns);
    for (int64_t i = 0; i < rows * columns; i++)
        values[i] = (float)(scale * fb_random_normal(&w->random));
    put_all(w, &n, values);
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
    float *values = room(w, fb_tensor_count(numbers));
    if (fb_tensor_count(numbers) > 0)
        memcpy(values, numbers->data, fb_tensor_bytes(numbers));
    put_all(w, &n, values);
    return n;
}

op_numbers op_output(op_world *w, fb_dtype dtype, int64_t rows, int64_t columns)
{
    op_numbers n = make(w, dtype, rows, columns);
    float *values = room(w, rows * columns);
    for (int64_t i = 0; i < rows * columns; i++)
        values[i] = NAN;
    put_all(w, &n, values);
    return n;
}

static void weight_fill(op_world *w, op_weight *weight)
{
    double scale = 1.0 / sqrt((double)(weight->w[0].in + 1));
    int64_t count = weight->w[0].in * weight->w[0].out;
    float *values = room(w, count);
    for (int64_t i = 0; i < count; i++)
        values[i] = rounded(w->dtype, (float)(scale * fb_random_normal(&w->random)));
    for (int side = 0; side < OP_SIDES; side++) /* made below, so it may be written */
        upload(w, side, (void *)(uintptr_t)weight->w[side].data, values,
               (size_t)count * sizeof *values);
}

op_weight op_weight_make(op_world *w, int64_t out, int64_t in)
{
    op_weight weight;
    for (int side = 0; side < OP_SIDES; side++) {
        float *data = take(w, side, (size_t)(out * in) * sizeof *data);
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
    if (w->values != w->arena)
        fb_arena_reset(w->values);
    w->least_scale = FB_OP_FLOOR;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(w->what, sizeof w->what, format, arguments);
    va_end(arguments);
}

static void explain(const op_world *w, const char *trouble)
{
    fail_msg("%s, %s %s, vector set %d on %d threads, seed %llu: %s", w->what,
             w->be[1]->name, fb_dtype_name(w->dtype), (int)w->vector_set,
             (int)w->be[1]->threads, (unsigned long long)w->seed, trouble);
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

/* The bytes of a side and its guard, on the host. */
static fb_tensor fetch(const op_world *w, const op_numbers *n, int side)
{
    fb_tensor t = n->t[side];
    size_t bytes = fb_tensor_bytes(&t) + GUARD_BYTES;
    if (op_backend(w, side)->m->host)
        return t;
    t.data = fb_arena_alloc(w->arena, bytes);
    assert_non_null(t.data);
    download(w, side, t.data, n->t[side].data, bytes);
    return t;
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

static void check_bits(const op_world *w, const char *name, const fb_tensor *a,
                       const fb_tensor *b, const char *words)
{
    char trouble[256];
    size_t bytes = fb_tensor_bytes(a);
    if (bytes > 0 && memcmp(a->data, b->data, bytes) != 0) {
        snprintf(trouble, sizeof trouble, "%s: %s", name, words);
        explain(w, trouble);
    }
}

float op_number(const fb_tensor *host, int64_t index)
{
    return host->dtype == FB_BF16 ? fb_bf16_to_f32(((const fb_bf16 *)host->data)[index])
                                  : ((const float *)host->data)[index];
}

void op_compare(const op_world *w, const char *name, const op_numbers *n, double factor)
{
    char trouble[256];
    fb_tensor t[OP_SIDES];
    for (int side = 0; side < OP_SIDES; side++) {
        t[side] = fetch(w, n, side);
        check_guard(w, name, &t[side]);
    }
    int64_t count = fb_tensor_count(&t[0]);
    double largest = w->least_scale;
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)op_number(&t[0], i)));
    for (int64_t i = 0; i < count; i++) {
        double a = (double)op_number(&t[0], i), b = (double)op_number(&t[1], i);
        double error = fabs(a - b) / largest;
        if (!(error <= w->tolerance * factor)) {
            snprintf(trouble, sizeof trouble,
                     "%s[%lld] is %.9g, the reference has %.9g (error %.3g of %.3g, "
                     "allowed %.3g)",
                     name, (long long)i, b, a, error, largest, w->tolerance * factor);
            explain(w, trouble);
        }
    }
    check_bits(w, name, &t[1], &t[2], "the same call gave other bits");
    if (w->exact)
        check_bits(w, name, &t[0], &t[1], "not the reference's bits");
}

typedef struct op_setting {
    const char *backend, *dtype;
    int32_t threads;
    double tolerance;
    int32_t set; /* of vector kernels; 0: the one that is used */
    uint64_t seed;
} op_setting;

static void *values_alloc(void *self, size_t bytes)
{
    fb_backend *be = self;
    void *memory = NULL;
    return be->m->alloc(NULL, be, &memory, bytes) == FB_OK ? memory : NULL;
}

static void values_free(void *self, void *bytes)
{
    fb_backend *be = self;
    be->m->free(be, bytes);
}

/* An arena of the tested backend's memory. */
static fb_arena *op_values(const op_world *w)
{
    const fb_arena_source source = {w->be[1], values_alloc, values_free};
    fb_arena *values = fb_arena_create_in(&source, 1 << 20);
    assert_non_null(values);
    return values;
}

static void run_world(void (*check)(op_world *w), const op_setting *o)
{
    op_world w = {.ctx = fb_context_create(), .arena = fb_arena_create(1 << 20)};
    assert_true(w.ctx && w.arena);
    w.seed = o->seed;
    w.random = fb_random_start(w.seed, FB_STREAM_TEST, 0);
    w.tolerance = o->tolerance;
    w.vector_set = o->set;
    op_check_status(&w, fb_backend_create(w.ctx, &w.be[0], "ref", "f32", 1), "ref");
    op_check_status(
        &w, test_backend_create(w.ctx, &w.be[1], o->backend, o->dtype, o->threads),
        o->backend);
    w.exact = strcmp(o->backend, "poison") == 0;
    w.brief = w.exact || o->set > 0;
    w.values = w.be[1]->m->host ? w.arena : op_values(&w);
    if (o->set > 0) {
        const fb_vector *sets[FB_VECTOR_SETS];
        assert_true(o->set < cpu_vector_list(sets));
        ((cpu_backend *)w.be[1])->v = sets[o->set];
    }
    w.dtype = w.be[1]->dtype;
    check(&w);
    if (w.values != w.arena)
        fb_arena_free(w.values);
    if (w.exact)
        assert_int_equal(poison_backend_live(w.be[1]), 0);
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
    op_setting o = {.backend = "cpu", .threads = threads};
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
        op_setting o = {.backend = "cpu", .threads = 2, .set = i};
        run_dtype(check, o, strncmp(sets[i]->name, "avx512", 6) == 0 ? "bf16" : "f32");
    }
    run_dtype(check, (op_setting){.backend = "poison", .threads = 1}, "f32");
}

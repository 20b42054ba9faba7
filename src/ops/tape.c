/* tape.c - see tape.h. */
#include "ops/tape.h"

#include "base/clock.h"
#include "base/random.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void *backend_alloc(void *self, size_t bytes)
{
    fb_backend *be = self;
    void *memory = NULL; /* who asked for it says that there is none */
    return be->m->alloc(NULL, be, &memory, bytes) == FB_OK ? memory : NULL;
}

static void backend_free(void *self, void *bytes)
{
    fb_backend *be = self;
    be->m->free(be, bytes);
}

void fb_tape_begin(fb_tape *tape, fb_context *ctx, fb_backend *be, fb_arena *arena,
                   bool recording)
{
    fb_profile *profile = tape->profile;
    *tape = (fb_tape){.ctx = ctx,
                      .be = be,
                      .comm = fb_comm_alone(),
                      .arena = arena,
                      .recording = recording};
    tape->profile = profile;
    tape->values = be->m->host ? arena : fb_arena_companion(arena);
    if (!tape->values) {
        const fb_arena_source source = {be, backend_alloc, backend_free};
        tape->values = fb_arena_create_in(&source, 1 << 20);
        fb_arena_set_companion(arena, tape->values);
    }
}

void fb_tape_set_comm(fb_tape *tape, const fb_comm *comm)
{
    tape->comm = comm;
}

void fb_tape_set_dropout(fb_tape *tape, float p, uint64_t key)
{
    tape->dropout = p;
    tape->dropout_key = key;
    tape->dropout_count = 0;
}

fb_dropout fb_tape_next_dropout(fb_tape *tape)
{
    if (!(tape->dropout > 0.0f))
        return (fb_dropout){0.0f, 0};
    tape->dropout_count++;
    return (fb_dropout){tape->dropout,
                        fb_random_mix(tape->dropout_key ^ tape->dropout_count)};
}

static void profile_add(fb_tape *tape, const char *op, double seconds)
{
    fb_profile *p = tape->profile;
    int32_t i = 0;
    while (i < p->count && strcmp(p->op[i].name, op) != 0)
        i++;
    if (i == FB_PROFILE_OPS)
        return;
    if (i == p->count) {
        p->op[i].name = op;
        p->op[i].seconds = 0;
        p->count++;
    }
    p->op[i].seconds += seconds;
}

double fb_tape_clock(const fb_tape *tape)
{
    return tape->profile ? fb_clock_s() : 0.0;
}

void fb_tape_charge(fb_tape *tape, const char *op, double started_s)
{
    if (tape->profile)
        profile_add(tape, op, fb_clock_s() - started_s);
}

fb_status fb_tape_alloc(fb_tape *tape, void **memory, size_t bytes)
{
    *memory = fb_arena_alloc(tape->arena, bytes);
    if (!*memory)
        return fb_fail(tape->ctx, FB_E_MEMORY, "no memory for %zu bytes of a step",
                       bytes);
    return FB_OK;
}

fb_status fb_tape_values(fb_tape *tape, void **memory, size_t bytes)
{
    *memory = tape->values ? fb_arena_alloc(tape->values, bytes) : NULL;
    if (!*memory)
        return fb_fail(tape->ctx, FB_E_MEMORY, "no memory for %zu bytes of a step",
                       bytes);
    return FB_OK;
}

fb_status fb_tape_floats(fb_tape *tape, float **floats, int64_t count)
{
    void *memory;
    FB_TRY(fb_tape_values(tape, &memory, (size_t)count * sizeof(float)));
    *floats = memory;
    return FB_OK;
}

fb_status fb_tape_ints(fb_tape *tape, int32_t **ints, int64_t count)
{
    void *memory;
    FB_TRY(fb_tape_alloc(tape, &memory, ((size_t)count + 1) * sizeof(int32_t)));
    *ints = memory;
    return FB_OK;
}

fb_status fb_tape_new_var(fb_tape *tape, fb_var **var, fb_dtype dtype, int64_t rows,
                          int64_t columns)
{
    void *memory;
    FB_TRY(fb_tape_alloc(tape, &memory, sizeof(fb_var)));
    fb_var *v = memory;
    *v = (fb_var){.needs_grad = tape->recording};
    FB_TRY(
        fb_tape_values(tape, &memory, (size_t)(rows * columns) * fb_dtype_size(dtype)));
    v->value = fb_tensor_2d(memory, dtype, rows, columns);
    *var = v;
    return FB_OK;
}

/* ---- numbers from and to the host ----------------------------------------------- */

/* `keep`: later calls with the same array find it. */
static fb_status upload(fb_tape *tape, void **on, const void *host, size_t bytes,
                        bool keep)
{
    *on = (void *)(uintptr_t)host; /* kernels read it only */
    if (tape->be->m->host || !host)
        return FB_OK;
    for (int32_t i = 0; keep && i < tape->upload_count; i++)
        if (tape->upload[i].host == host && tape->upload[i].bytes == bytes) {
            *on = tape->upload[i].on;
            return FB_OK;
        }
    FB_TRY(fb_tape_values(tape, on, bytes));
    FB_TRY(tape->be->m->upload(tape->ctx, tape->be, *on, host, bytes));
    if (keep && tape->upload_count < FB_TAPE_UPLOADS)
        tape->upload[tape->upload_count++] = (fb_uploaded){host, *on, bytes};
    return FB_OK;
}

fb_status fb_tape_upload_i32(fb_tape *tape, const int32_t **on, const int32_t *host,
                             int64_t count)
{
    void *memory;
    FB_TRY(upload(tape, &memory, host, (size_t)count * sizeof *host, true));
    *on = memory;
    return FB_OK;
}

fb_status fb_tape_upload_f32(fb_tape *tape, const float **on, const float *host,
                             int64_t count)
{
    void *memory;
    FB_TRY(upload(tape, &memory, host, (size_t)count * sizeof *host, true));
    *on = memory;
    return FB_OK;
}

fb_status fb_tape_upload_u8(fb_tape *tape, const uint8_t **on, const uint8_t *host,
                            int64_t count)
{
    void *memory;
    FB_TRY(upload(tape, &memory, host, (size_t)count, false));
    *on = memory;
    return FB_OK;
}

fb_status fb_tape_upload(fb_tape *tape, fb_tensor *on, const fb_tensor *host)
{
    *on = *host;
    return upload(tape, &on->data, host->data, fb_tensor_bytes(host), false);
}

static fb_status read_bytes(fb_tape *tape, const void **host, const void *on,
                            size_t bytes)
{
    *host = on;
    if (tape->be->m->host)
        return FB_OK;
    void *memory;
    FB_TRY(fb_tape_alloc(tape, &memory, bytes));
    *host = memory;
    return tape->be->m->download(tape->ctx, tape->be, memory, on, bytes);
}

fb_status fb_tape_read(fb_tape *tape, const void **host, const fb_tensor *t)
{
    return read_bytes(tape, host, t->data, fb_tensor_bytes(t));
}

fb_status fb_tape_read_f32(fb_tape *tape, const float **host, const float *on,
                           int64_t count)
{
    const void *memory;
    FB_TRY(read_bytes(tape, &memory, on, (size_t)count * sizeof *on));
    *host = memory;
    return FB_OK;
}

fb_status fb_tape_fetch(fb_tape *tape)
{
    FB_TRY(tape->be->m->finish(tape->ctx, tape->be));
    for (fb_loss *l = tape->unsettled; l; l = l->next)
        l->settle(l);
    tape->unsettled = NULL;
    return FB_OK;
}

fb_status fb_tape_new_loss(fb_tape *tape, fb_loss **loss, const float *each,
                           int64_t count, void (*settle)(fb_loss *loss))
{
    void *memory;
    FB_TRY(fb_tape_alloc(tape, &memory, sizeof(fb_loss)));
    fb_loss *l = memory;
    *l = (fb_loss){.value = (double)NAN, .count = count, .settle = settle};
    FB_TRY(fb_tape_read_f32(tape, &l->each, each, count));
    if (tape->be->m->host) {
        settle(l);
    } else {
        l->next = tape->unsettled;
        tape->unsettled = l;
    }
    *loss = l;
    return FB_OK;
}

fb_tape_mark fb_tape_save(const fb_tape *tape)
{
    fb_tape_mark mark = {fb_arena_save(tape->arena), {0, 0}};
    if (tape->values && tape->values != tape->arena)
        mark.values = fb_arena_save(tape->values);
    return mark;
}

void fb_tape_restore(fb_tape *tape, fb_tape_mark mark)
{
    fb_arena_restore(tape->arena, mark.host);
    if (tape->values && tape->values != tape->arena)
        fb_arena_restore(tape->values, mark.values);
    tape->upload_count = 0;
}

fb_status fb_tape_append(fb_tape *tape, fb_node **node, size_t bytes, const char *op,
                         const char *label, fb_var *out,
                         fb_status (*backward)(fb_tape *, fb_node *))
{
    *node = NULL;
    if (!tape->recording)
        return FB_OK;
    void *memory = fb_arena_alloc_zero(tape->arena, bytes);
    if (!memory)
        return fb_fail(tape->ctx, FB_E_MEMORY, "no memory for the record of %s", op);
    fb_node *n = memory;
    *n = (fb_node){tape->last, op, label, out, backward};
    tape->last = n;
    *node = n;
    return FB_OK;
}

static fb_status pool_take(fb_tape *tape, void **memory, size_t bytes)
{
    for (int32_t i = 0; i < tape->pool_count; i++) {
        if (tape->pool[i].bytes == bytes) {
            *memory = tape->pool[i].data;
            tape->pool[i] = tape->pool[--tape->pool_count];
            return FB_OK;
        }
    }
    return fb_tape_values(tape, memory, bytes);
}

static void pool_give(fb_tape *tape, void *memory, size_t bytes)
{
    if (tape->pool_count < FB_TAPE_POOL)
        tape->pool[tape->pool_count++] = (fb_free_buffer){memory, bytes};
}

fb_status fb_tape_grad_begin_as(fb_tape *tape, fb_var *x, fb_dtype dtype,
                                fb_tensor *target, bool *fresh)
{
    *target = x->value;
    target->dtype = dtype;
    FB_TRY(pool_take(tape, &target->data, fb_tensor_bytes(target)));
    *fresh = !x->grad.data;
    if (*fresh)
        x->grad = *target;
    return FB_OK;
}

fb_status fb_tape_grad_begin(fb_tape *tape, fb_var *x, fb_tensor *target, bool *fresh)
{
    return fb_tape_grad_begin_as(tape, x, x->value.dtype, target, fresh);
}

fb_status fb_tape_grad_done(fb_tape *tape, fb_var *x, const fb_tensor *target)
{
    if (target->data == x->grad.data)
        return FB_OK;
    FB_TRY(tape->be->k->add(tape->ctx, tape->be, &x->grad, target));
    pool_give(tape, target->data, fb_tensor_bytes(target));
    return FB_OK;
}

void fb_tape_grad_release(fb_tape *tape, fb_var *x)
{
    if (!x->grad.data)
        return;
    pool_give(tape, x->grad.data, fb_tensor_bytes(&x->grad));
    x->grad.data = NULL;
}

fb_status fb_tape_backward(fb_tape *tape, fb_node *from, fb_node *mark, bool parameters)
{
    if (!tape->recording)
        return fb_fail(tape->ctx, FB_E_STATE, "backward on a tape that did not record");
    tape->parameters = parameters;
    for (fb_node *n = from ? from : tape->last; n && n != mark; n = n->before) {
        if (n->out && !n->out->grad.data)
            continue;
        double started_s = fb_tape_clock(tape);
        FB_TRY(n->backward(tape, n));
        fb_tape_charge(tape, n->op, started_s);
        if (n->out)
            fb_tape_grad_release(tape, n->out);
    }
    return FB_OK;
}

fb_status fb_tape_find_nonfinite(fb_tape *tape, char *out, size_t out_bytes)
{
    out[0] = 0;
    for (fb_node *n = tape->last; n; n = n->before) {
        if (!n->out)
            continue;
        int64_t at = -1;
        FB_TRY(tape->be->k->find_nonfinite(tape->ctx, tape->be, &at, &n->out->value));
        if (at >= 0) /* the list runs backwards: the last one written is the first */
            snprintf(out, out_bytes, "the output of %s%s%s at element %lld", n->op,
                     n->label[0] ? " " : "", n->label, (long long)at);
    }
    return FB_OK;
}

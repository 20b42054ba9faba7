/* tape.c - see tape.h. */
#include "ops/tape.h"

#include "base/clock.h"
#include "base/random.h"

#include <stdio.h>
#include <string.h>

void fb_tape_begin(fb_tape *tape, fb_context *ctx, fb_backend *be, fb_arena *arena,
                   bool recording)
{
    fb_profile *profile = tape->profile;
    *tape = (fb_tape){.ctx = ctx, .be = be, .arena = arena, .recording = recording};
    tape->profile = profile;
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
        fb_tape_alloc(tape, &memory, (size_t)(rows * columns) * fb_dtype_size(dtype)));
    v->value = fb_tensor_2d(memory, dtype, rows, columns);
    *var = v;
    return FB_OK;
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
    return fb_tape_alloc(tape, memory, bytes);
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

/* twin_training.h - for tests that train a world on ref and on the poison backend: the
 * optimizer's step, and both's losses and models to the bit. The world's header comes before. */
#ifndef FB_TESTS_TWIN_TRAINING_H
#define FB_TESTS_TWIN_TRAINING_H

#include "models/measures.h"

static inline void optimize(world *w, int64_t step)
{
    const fb_optimizer_options o = {
        .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-8, .weight_decay = 0.1};
    fb_optimizer_figures figures;
    must(w, fb_optimizer_step(w->ctx, w->m->params, w->be, &o, step, 10, 1, &figures));
    assert_true(figures.norm > 0);
}

static inline void same_bits(const char *what, const float *a, const float *b,
                             int64_t count)
{
    if (count > 0 && memcmp(a, b, (size_t)count * sizeof *a) != 0)
        fail_msg("%s differ between ref and the poison backend", what);
}

static inline void same_models(world *ref, world *poison)
{
    fb_params *a = ref->m->params, *b = poison->m->params;
    assert_true(a->on.value == a->value && b->on.value != b->value);
    must(poison, fb_params_fetch(poison->ctx, b, poison->be));
    assert_int_equal(a->total, b->total);
    same_bits("values", a->value, b->value, a->total);
    same_bits("first moments", a->moment1, b->moment1, a->trained);
    same_bits("second moments", a->moment2, b->moment2, a->trained);
    same_bits("buffers", a->buffer, b->buffer, a->buffer_total);
}

/* Losses of the world's batch without gradients, as validation asks for them; `step` as
 * train_batch has it. Both worlds give the same. */
static inline void same_losses(world *ref, world *poison, const void *step)
{
    fb_measures of[2] = {{.count = 0}, {.count = 0}};
    world *both[2] = {ref, poison};
    for (int i = 0; i < 2; i++) {
        world *w = both[i];
        begin(w, false);
        must(w, w->m->system->losses(w->m, &w->tape, w->batch, step, &of[i]));
    }
    assert_true(of[0].count > 0);
    assert_int_equal(of[0].count, of[1].count);
    for (int32_t k = 0; k < of[0].count; k++) {
        const fb_measure *a = &of[0].items[k], *b = &of[1].items[k];
        assert_string_equal(a->name, b->name);
        assert_true(isfinite(a->value) && a->value == b->value);
        assert_true(a->rows == b->rows && a->right == b->right);
    }
}

/* All that was allocated on the backend is given back. */
static inline void close_poison(world *w)
{
    w->m->system->free(w->m, w->be);
    fb_arena_free(w->arena);
    assert_int_equal(poison_backend_live(w->be), 0);
    fb_batch_free(w->batch);
    fb_backend_free(w->be);
    fb_context_free(w->ctx);
}

#endif

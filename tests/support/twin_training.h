/* twin_training.h - for tests that train a world on ref and on the poison backend: the
 * optimizer's step, and both models to the bit. The world's header comes before. */
#ifndef FB_TESTS_TWIN_TRAINING_H
#define FB_TESTS_TWIN_TRAINING_H

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

/* test_pair_alignment.c - blocks of a batch of items without vectors: every pair of a
 * block once, never a kin; their loss by hand; what counts as right. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "models/pair_alignment.h"

enum { ITEMS = 6, P = 4, LENGTH = 3 };

typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_arena *arena;
    fb_tape tape;
    fb_batch *items;
} world;

static void open_world(world *w)
{
    const fb_batch_limits limits = {ITEMS, ITEMS, ITEMS, ITEMS * LENGTH, P, 8};
    *w = (world){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 16)};
    assert_int_equal(fb_backend_create(w->ctx, &w->be, "ref", "f32", 1), FB_OK);
    assert_int_equal(fb_batch_create(w->ctx, &w->items, &limits, LENGTH), FB_OK);
    fb_tape_begin(&w->tape, w->ctx, w->be, w->arena, true);
    fb_batch *b = w->items;
    b->texts = b->images = b->pairs = ITEMS;
    for (int32_t i = 0; i < ITEMS; i++) {
        b->text_offsets[i + 1] = (i + 1) * LENGTH;
        b->text_group[i] = b->image_group[i] = i;
        b->pair_text[i] = b->pair_image[i] = i;
        b->pair_label[i] = i % 2;
    }
    b->text_group[3] = 0; /* one text twice */
    fb_batch_pack(b);
}

static void close_world(world *w)
{
    fb_batch_free(w->items);
    fb_arena_free(w->arena);
    fb_backend_free(w->be);
    fb_context_free(w->ctx);
}

/* Logits [pairs, 2] of the given margins. */
static fb_var *logits_of(world *w, const float *margins, int32_t pairs)
{
    fb_var *z;
    assert_int_equal(fb_tape_new_var(&w->tape, &z, FB_F32, pairs, 2), FB_OK);
    float *numbers = z->value.data;
    for (int32_t i = 0; i < pairs; i++) {
        numbers[i * 2] = 0.5f;
        numbers[i * 2 + 1] = 0.5f + margins[i];
    }
    return z;
}

static void pairs_of_the_batch_are_judged_alone(void **state)
{
    (void)state;
    world w;
    fb_pair_alignment a;
    fb_loss *loss;
    int64_t right, of;
    const float margins[ITEMS] = {-1, 2, 0.5f, 0, 0, -3}; /* labels 0 1 0 1 0 1 */
    open_world(&w);
    assert_int_equal(fb_pair_alignment_begin(&w.tape, &a, w.items, 0, 3), FB_OK);
    assert_false(a.listwise);
    assert_ptr_equal(a.batch, w.items);
    fb_var *z = logits_of(&w, margins, ITEMS);
    assert_int_equal(fb_pair_alignment_loss(&w.tape, &loss, &a, z), FB_OK);
    double want = 0;
    for (int i = 0; i < ITEMS; i++)
        want += log1p(exp(i % 2 ? -(double)margins[i] : (double)margins[i])) / ITEMS;
    assert_true(fabs(loss->value - want) < 1e-6);
    fb_pair_alignment_count(&a, z->value.data, &right, &of);
    assert_int_equal(right, 2); /* the even ones are ties, and wrong */
    assert_int_equal(of, ITEMS);
    close_world(&w);
}

static void a_block_has_every_pair_of_its_items(void **state)
{
    (void)state;
    world w;
    fb_pair_alignment a;
    open_world(&w);
    assert_int_equal(fb_pair_alignment_begin(&w.tape, &a, w.items, 2, 3), FB_OK);
    assert_true(a.listwise && a.batch == &a.blocks.batch);
    assert_int_equal(a.blocks.length, 3);
    assert_int_equal(a.blocks.lists % 6, 0);
    assert_int_equal(a.batch->pairs, a.blocks.lists / 2 * 3);
    bool seen[ITEMS][ITEMS] = {{false}};
    for (int32_t p = 0; p < a.batch->pairs; p++) {
        int32_t t = a.batch->pair_text[p], i = a.batch->pair_image[p];
        assert_false(seen[t][i]);
        seen[t][i] = true;
        assert_true(t == i || w.items->text_group[t] != w.items->text_group[i]);
    }
    for (int32_t l = 0; l < a.blocks.lists; l++)
        for (int32_t k = 0; k < 3; k++) {
            int32_t p = a.blocks.members[l * 3 + k];
            assert_int_equal(a.batch->pair_label[p], k == 0);
        }
    fb_pair_alignment other;
    bool differs = false;
    for (uint64_t key = 4; key < 12; key++) {
        assert_int_equal(fb_pair_alignment_begin(&w.tape, &other, w.items, 2, key),
                         FB_OK);
        differs = differs ||
                  memcmp(other.batch->pair_text, a.batch->pair_text, 3 * 4) != 0 ||
                  memcmp(other.batch->pair_text + 6, a.batch->pair_text + 6, 6 * 4);
    }
    assert_true(differs);
    close_world(&w);
}

static void lists_are_softmaxes_both_ways_and_ties_are_wrong(void **state)
{
    (void)state;
    world w;
    fb_pair_alignment a;
    fb_loss *loss;
    int64_t right, of;
    float margins[ITEMS * ITEMS] = {0};
    open_world(&w);
    assert_int_equal(fb_pair_alignment_begin(&w.tape, &a, w.items, 1, 3), FB_OK);
    int32_t pairs = a.batch->pairs;
    fb_pair_alignment_count(&a, logits_of(&w, margins, pairs)->value.data, &right, &of);
    assert_int_equal(right, 0);
    for (int32_t p = 0; p < pairs; p++)
        margins[p] = a.batch->pair_label[p] ? 1.5f : 0;
    margins[0] = -1;
    fb_var *z = logits_of(&w, margins, pairs);
    fb_pair_alignment_count(&a, z->value.data, &right, &of);
    assert_int_equal(of, a.blocks.lists);
    assert_int_equal(right, of - 2); /* the first item's, as an image and as a text */
    assert_int_equal(fb_pair_alignment_loss(&w.tape, &loss, &a, z), FB_OK);
    double n = (double)of;
    double want = ((n - 2) * log1p(exp(-1.5)) + 2 * log1p(exp(1.0))) / n;
    assert_true(fabs(loss->value - want) < 1e-6);
    close_world(&w);
}

static void blocks_need_a_batch_of_items(void **state)
{
    (void)state;
    world w;
    fb_pair_alignment a;
    open_world(&w);
    w.items->texts = ITEMS - 1;
    assert_int_equal(fb_pair_alignment_begin(&w.tape, &a, w.items, 2, 3), FB_E_SHAPE);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_of_the_batch_are_judged_alone),
        cmocka_unit_test(a_block_has_every_pair_of_its_items),
        cmocka_unit_test(lists_are_softmaxes_both_ways_and_ties_are_wrong),
        cmocka_unit_test(blocks_need_a_batch_of_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_backend_stacked.c - stacked cross attention of the cpu backend against the
 * reference: ragged sides that vectors do not divide, listed pairs. */
#include "support/op_harness.h"

typedef struct sides {
    int32_t texts, images, text_offsets[6], image_offsets[6];
} sides;

/* The lists of one side's memory. */
static fb_stacked on_side(op_world *w, int s, fb_stacked p, int32_t contexts)
{
    p.text = op_upload_ints(w, s, p.text, p.pairs);
    p.image = op_upload_ints(w, s, p.image, p.pairs);
    p.word = op_upload_ints(w, s, p.word, p.pairs);
    p.row = op_upload_ints(w, s, p.row, p.pairs);
    p.text_offsets = op_upload_ints(w, s, p.text_offsets, p.texts + 1);
    p.image_offsets = op_upload_ints(w, s, p.image_offsets, p.images + 1);
    p.gram = op_upload_ints(w, s, p.gram, contexts);
    return p;
}

/* G of a context must be one of unit vectors: of points on a circle, at angles. */
static op_numbers make_gram(op_world *w, const int32_t *offsets, int32_t contexts,
                            int32_t *gram)
{
    int64_t count = 0, at = 0;
    for (int32_t k = 0; k < contexts; k++) {
        int64_t n = offsets[k + 1] - offsets[k];
        gram[k] = (int32_t)count;
        count += n * n;
    }
    op_numbers g = op_output(w, FB_F32, 1, count + 1);
    for (int32_t k = 0; k < contexts; k++)
        for (int32_t i = offsets[k]; i < offsets[k + 1]; i++)
            for (int32_t j = offsets[k]; j < offsets[k + 1]; j++, at++)
                for (int s = 0; s < OP_SIDES; s++)
                    op_put(w, &g, s, at, (float)cos(0.1 * (i - j)));
    for (int s = 0; s < OP_SIDES; s++)
        op_put(w, &g, s, count, 0.0f);
    return g;
}

/* Every text with every image but each `skip`-th pair. */
static int32_t list_pairs(const sides *of, int32_t skip, int32_t list[4][32])
{
    int32_t count = 0;
    for (int32_t i = 0; i < of->images; i++)
        for (int32_t t = 0; t < of->texts; t++) {
            if (skip && (i * of->texts + t) % skip == 0)
                continue;
            list[0][count] = t;
            list[1][count] = i;
            list[2][count] = of->text_offsets[t];
            list[3][count++] = of->image_offsets[i];
        }
    return count;
}

static void check_case(op_world *w, const sides *of, fb_stacked_form form, int32_t skip)
{
    int32_t list[4][32], gram[8], contexts = form.rows_ask ? of->texts : of->images;
    int64_t words = of->text_offsets[of->texts], rows = of->image_offsets[of->images];
    op_begin(w, "stacked %d words, %d rows, ask %d, lse %d, focus %g, skip %d",
             (int)words, (int)rows, form.rows_ask, form.lse, (double)form.focus,
             (int)skip);
    const fb_stacked p = {form,
                          list_pairs(of, skip, list),
                          of->texts,
                          of->images,
                          list[0],
                          list[1],
                          list[2],
                          list[3],
                          of->text_offsets,
                          of->image_offsets,
                          gram};
    op_numbers g = make_gram(w, form.rows_ask ? of->text_offsets : of->image_offsets,
                             contexts, gram);
    int64_t grams = g.t[0].dims[1] - 1;
    op_numbers s = op_input(w, FB_F32, words, rows, 0.3);
    op_numbers scores = op_output(w, FB_F32, 1, p.pairs);
    op_numbers dscores = op_input(w, w->dtype, 1, p.pairs, 1.0);
    op_numbers ds = op_input(w, w->dtype, words, rows, 0.0); /* of pairs alone */
    op_numbers dgram = op_output(w, w->dtype, 1, grams);
    for (int k = 0; k < OP_SIDES; k++) {
        fb_backend *be = op_backend(w, k);
        fb_stacked own = on_side(w, k, p, contexts);
        op_call(w, be->k->stacked_forward(w->ctx, be, scores.t[k].data, &s.t[k],
                                          g.t[k].data, &own));
        op_call(w, be->k->stacked_backward(w->ctx, be, &ds.t[k], &dgram.t[k],
                                           &dscores.t[k], &s.t[k], g.t[k].data, &own));
    }
    op_compare(w, "scores", &scores, 1e-4 / w->tolerance); /* f32 in both dtypes */
    op_compare(w, "ds", &ds, w->dtype == FB_F32 ? 20.0 : 1.0);
    op_compare(w, "dgram", &dgram, w->dtype == FB_F32 ? 20.0 : 1.0);
}

static void check_all(op_world *w)
{
    static const sides cases[] = {
        {2, 2, {0, 1, 1}, {0, 1, 3}}, /* a text of no words */
        {3, 2, {0, 5, 12, 33}, {0, 64, 81}},
        {4, 3, {0, 3, 4, 20, 28}, {0, 7, 7, 23}},
        {2, 1, {0, 11, 30}, {0, 130}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int option = 0; option < 8; option++) {
            fb_stacked_form form = {.rows_ask = option & 1,
                                    .lse = option & 2,
                                    .lambda1 = option & 1 ? 4 : 9,
                                    .lambda2 = 6,
                                    .focus = option & 4 ? 0.5f : 0.0f,
                                    .scale = option & 4 ? 0.5f : 1.0f};
            check_case(w, &cases[i], form, option % 3 ? 0 : 3);
        }
}

static void stacked_attention_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stacked_attention_equals_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

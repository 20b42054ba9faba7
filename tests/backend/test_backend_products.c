/* test_backend_products.c - linear layers and attention of the cpu backend against the
 * reference, on shapes that tiles and vectors do not divide.
 */
#include "backend/cpu/cpu_backend.h"
#include "support/op_harness.h"

static void check_linear_forward(op_world *w, int64_t rows, int64_t in, int64_t out)
{
    for (int option = 0; option < 4 * (FB_ACT_RELU + 1); option++) {
        bool with_bias = option & 1, as_f32 = option & 2;
        fb_activation act = (fb_activation)(option / 4);
        op_begin(w, "linear_forward [%d,%d] x [%d], bias %d, activation %d, f32 %d",
                 (int)rows, (int)in, (int)out, with_bias, (int)act, as_f32);
        op_numbers x = op_activation(w, rows, in), bias = op_parameter(w, 1, out);
        op_numbers y = op_output(w, as_f32 ? FB_F32 : w->dtype, rows, out);
        op_weight weight = op_weight_make(w, out, in);
        for (int round = 0; round < 2; round++) { /* the second on new weights */
            for (int s = 0; s < OP_SIDES; s++)
                op_call(w, op_backend(w, s)->k->linear_forward(
                               w->ctx, op_backend(w, s), &y.t[s], &x.t[s], &weight.w[s],
                               with_bias ? bias.t[s].data : NULL, act));
            op_compare(w, round ? "y after a change of weights" : "y", &y, 1.0);
            op_weight_change(w, &weight);
        }
        op_weight_free(w, &weight);
    }
}

static void check_linear_backward(op_world *w, int64_t rows, int64_t in, int64_t out)
{
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        op_begin(w, "linear_backward_input [%d,%d] x [%d], accumulate %d", (int)rows,
                 (int)in, (int)out, accumulate);
        op_numbers dy = op_activation(w, rows, out);
        op_numbers dx =
            accumulate ? op_activation(w, rows, in) : op_output(w, w->dtype, rows, in);
        op_weight weight = op_weight_make(w, out, in);
        for (int round = 0; round < 2; round++) {
            for (int s = 0; s < OP_SIDES; s++)
                op_call(w, op_backend(w, s)->k->linear_backward_input(
                               w->ctx, op_backend(w, s), &dx.t[s], &dy.t[s],
                               &weight.w[s], accumulate));
            op_compare(w, "dx", &dx, 1.5);
            op_weight_change(w, &weight);
        }
        op_weight_free(w, &weight);
    }
    for (int wanted = 1; wanted < 4; wanted++) {
        op_begin(w, "linear_backward_weight [%d,%d] x [%d], wanted %d", (int)rows,
                 (int)in, (int)out, wanted);
        op_numbers x = op_activation(w, rows, in), dy = op_activation(w, rows, out);
        op_numbers dw = op_parameter(w, out, in), dbias = op_parameter(w, 1, out);
        for (int s = 0; s < OP_SIDES; s++)
            op_call(w, op_backend(w, s)->k->linear_backward_weight(
                           w->ctx, op_backend(w, s), wanted & 1 ? dw.t[s].data : NULL,
                           wanted & 2 ? dbias.t[s].data : NULL, &x.t[s], &dy.t[s]));
        op_compare(w, "dw", &dw, 1.0);
        op_compare(w, "dbias", &dbias, 1.0);
    }
}

static void check_linear(op_world *w)
{
    static const int64_t shapes[][3] = {
        {1, 1, 1},    {0, 5, 7},       {3, 5, 7},   {17, 31, 13},  {64, 64, 64},
        {127, 61, 1}, {129, 257, 101}, {2, 768, 2}, {1, 768, 769}, {300, 192, 768},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (w->brief && shapes[i][0] > (w->exact ? 17 : 129)) /* takes its time */
            continue;
        check_linear_forward(w, shapes[i][0], shapes[i][1], shapes[i][2]);
        check_linear_backward(w, shapes[i][0], shapes[i][1], shapes[i][2]);
    }
    if (w->brief)
        return;
    check_linear_backward(w, 2688, 64, 96);
    if (w->be[1]->threads == 2 &&
        w->dtype == FB_F32) /* the reference takes its time for this one */
        check_linear_backward(w, 256, 768, 768);
}

static void linear_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_linear);
}

/* Own products (vector_product.c): a row's numbers have the same bits in any batch. */
static void check_rows_alone(op_world *w)
{
    enum { ROWS = 211, IN = 1100, OUT = 45, FIRST = 101 };
    fb_backend *be = op_backend(w, 1);
    if (w->exact || w->dtype != FB_F32 || !((cpu_backend *)be)->v->product)
        return;
    op_begin(w, "rows in a batch and alone");
    op_numbers x = op_activation(w, ROWS, IN), bias = op_parameter(w, 1, OUT);
    op_numbers y = op_output(w, FB_F32, ROWS, OUT), one = op_output(w, FB_F32, 1, OUT);
    op_weight weight = op_weight_make(w, OUT, IN);
    op_call(w, be->k->linear_forward(w->ctx, be, &y.t[1], &x.t[1], &weight.w[1],
                                     bias.t[1].data, FB_ACT_GELU));
    for (int64_t r = FIRST; r < ROWS; r++) {
        fb_tensor row = fb_tensor_2d((float *)x.t[1].data + r * IN, FB_F32, 1, IN);
        op_call(w, be->k->linear_forward(w->ctx, be, &one.t[1], &row, &weight.w[1],
                                         bias.t[1].data, FB_ACT_GELU));
        assert_memory_equal(one.t[1].data, (float *)y.t[1].data + r * OUT,
                            OUT * sizeof(float));
    }
    op_weight_free(w, &weight);
}

static void rows_are_the_same_in_any_batch(void **state)
{
    (void)state;
    op_for_each_world(check_rows_alone);
}

/* What attention_backward reads, from the reference's forward. */
static void check_attention_case(op_world *w, const int32_t *offsets, int32_t sequences,
                                 int32_t heads, int32_t head_width, float p,
                                 bool causal)
{
    int64_t rows = offsets[sequences], width = (int64_t)heads * head_width;
    op_begin(w, "%sattention of %d rows in %d sequences, %d heads of %d, dropout %g",
             causal ? "causal " : "", (int)rows, (int)sequences, (int)heads,
             (int)head_width, (double)p);
    fb_attention a[OP_SIDES];
    for (int s = 0; s < OP_SIDES; s++)
        a[s] = (fb_attention){sequences,
                              heads,
                              (int32_t)width,
                              op_upload_ints(w, s, offsets, sequences + 1),
                              {p, 0x1234567890abcdef},
                              causal};
    op_numbers qkv = op_input(w, w->dtype, rows, 3 * width, 1.3);
    op_numbers out = op_output(w, w->dtype, rows, width);
    op_numbers lse = op_output(w, FB_F32, rows, heads);
    op_numbers alone = op_output(w, w->dtype, rows, width);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        op_call(w, be->k->attention_forward(w->ctx, be, &out.t[s], lse.t[s].data,
                                            &qkv.t[s], &a[s]));
        op_call(w, be->k->attention_forward(w->ctx, be, &alone.t[s], NULL, &qkv.t[s],
                                            &a[s]));
    }
    op_compare(w, "out", &out, 1.5);
    op_compare(w, "lse", &lse, 1.0);
    op_compare(w, "out without lse", &alone, 1.5);
    op_numbers saved_out = op_from_reference(w, w->dtype, &out.t[0]);
    op_numbers saved_lse = op_from_reference(w, FB_F32, &lse.t[0]);
    op_numbers dout = op_activation(w, rows, width);
    op_numbers dqkv = op_output(w, w->dtype, rows, 3 * width);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        op_call(w, be->k->attention_backward(w->ctx, be, &dqkv.t[s], &dout.t[s],
                                             &saved_out.t[s], saved_lse.t[s].data,
                                             &qkv.t[s], &a[s]));
    }
    op_compare(w, "dqkv", &dqkv, 1.5);
}

static void check_attention(op_world *w)
{
    static const struct {
        int32_t sequences, offsets[8], heads, head_width;
    } cases[] = {
        {0, {0}, 2, 4},
        {1, {0, 0}, 2, 4},
        {1, {0, 1}, 1, 1},
        {4, {0, 3, 3, 4, 9}, 2, 3},
        {5, {0, 0, 17, 18, 18, 31}, 3, 5},
        {3, {0, 75, 76, 151}, 4, 64},
        {2, {0, 33, 97}, 12, 64},
        {2, {0, 130, 131}, 1, 33},
        {2, {0, 1, 300}, 1, 32},
        {3, {0, 16, 48, 64}, 2, 128},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int option = 0; option < 4; option++)
            check_attention_case(w, cases[i].offsets, cases[i].sequences,
                                 cases[i].heads, cases[i].head_width,
                                 option & 1 ? 0.25f : 0.0f, option & 2);
}

static void attention_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_attention);
}

/* Sequence b of queries over sequence b of keys, which has another length. */
typedef struct cross_case {
    int32_t sequences, q[8], kv[8], heads, head_width;
} cross_case;

static void check_cross_case(op_world *w, const cross_case *c, float p)
{
    int64_t rows = c->q[c->sequences], keys = c->kv[c->sequences];
    int64_t width = (int64_t)c->heads * c->head_width;
    op_begin(w,
             "cross-attention of %d rows over %d in %d sequences, %d heads of %d, "
             "dropout %g",
             (int)rows, (int)keys, (int)c->sequences, (int)c->heads, (int)c->head_width,
             (double)p);
    op_numbers q = op_input(w, w->dtype, rows, width, 1.3);
    op_numbers kv = op_input(w, w->dtype, keys, 2 * width, 1.3);
    op_numbers out = op_output(w, w->dtype, rows, width);
    op_numbers lse = op_output(w, FB_F32, rows, c->heads);
    op_numbers alone = op_output(w, w->dtype, rows, width);
    fb_cross_attention a[OP_SIDES];
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        const fb_cross_rows x = {&q.t[s], &kv.t[s]};
        a[s] = (fb_cross_attention){c->sequences,
                                    c->heads,
                                    (int32_t)width,
                                    op_upload_ints(w, s, c->q, c->sequences + 1),
                                    op_upload_ints(w, s, c->kv, c->sequences + 1),
                                    {p, 0x1234567890abcdef}};
        op_call(w, be->k->cross_attention_forward(w->ctx, be, &out.t[s], lse.t[s].data,
                                                  &x, &a[s]));
        op_call(w, be->k->cross_attention_forward(w->ctx, be, &alone.t[s], NULL, &x,
                                                  &a[s]));
    }
    op_compare(w, "out", &out, 1.5);
    op_compare(w, "lse", &lse, 1.0);
    op_compare(w, "out without lse", &alone, 1.5);
    op_numbers saved_out = op_from_reference(w, w->dtype, &out.t[0]);
    op_numbers saved_lse = op_from_reference(w, FB_F32, &lse.t[0]);
    op_numbers dout = op_activation(w, rows, width);
    op_numbers dq = op_output(w, w->dtype, rows, width);
    op_numbers dkv = op_output(w, w->dtype, keys, 2 * width);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        const fb_cross_rows x = {&q.t[s], &kv.t[s]}, dx = {&dq.t[s], &dkv.t[s]};
        op_call(w, be->k->cross_attention_backward(w->ctx, be, &dx, &dout.t[s],
                                                   &saved_out.t[s], saved_lse.t[s].data,
                                                   &x, &a[s]));
    }
    op_compare(w, "dq", &dq, 1.5);
    op_compare(w, "dkv", &dkv, 1.5);
}

static void check_cross(op_world *w)
{
    static const cross_case cases[] = {
        {0, {0}, {0}, 2, 4},
        {2, {0, 0, 0}, {0, 0, 0}, 2, 4},
        {1, {0, 2}, {0, 5}, 1, 3},
        {1, {0, 3}, {0, 0}, 2, 3},
        {1, {0, 0}, {0, 5}, 2, 3},
        {4, {0, 3, 3, 4, 9}, {0, 2, 7, 7, 8}, 2, 3},
        {3, {0, 10, 30, 31}, {0, 65, 130, 195}, 4, 64},
        {2, {0, 130, 131}, {0, 9, 300}, 1, 33},
        {3, {0, 65, 130, 195}, {0, 7, 8, 31}, 2, 128},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int option = 0; option < 2; option++)
            check_cross_case(w, &cases[i], option ? 0.25f : 0.0f);
}

static void cross_attention_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_cross);
}

/* Scores of hundreds must neither overflow nor lose the winner. */
static void check_large_scores(op_world *w)
{
    static const int32_t offsets[] = {0, 9, 40};
    op_begin(w, "attention with large scores");
    op_numbers qkv = op_input(w, w->dtype, 40, 96, 20.0);
    op_numbers out = op_output(w, w->dtype, 40, 32), lse = op_output(w, FB_F32, 40, 2);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        const int32_t *on = op_upload_ints(w, s, offsets, 3);
        fb_attention a = {2, 2, 32, on, {0.0f, 0}, false};
        op_call(w, be->k->attention_forward(w->ctx, be, &out.t[s], lse.t[s].data,
                                            &qkv.t[s], &a));
    }
    /* A score of 2,000 has an error of 1e-4 in f32, and so has exp of it. */
    op_compare(w, "out", &out, w->dtype == FB_F32 ? 100.0 : 1.5);
    op_compare(w, "lse", &lse, 1.0);
}

static void attention_bears_large_scores(void **state)
{
    (void)state;
    op_for_each_world(check_large_scores);
}

static void check_rate(op_world *w)
{
    op_begin(w, "gemm_rate");
    for (int way = 0; way < 4; way++) {
        int side = way / 2;
        double rate = NAN;
        op_call(w, op_backend(w, side)->k->gemm_rate(w->ctx, op_backend(w, side), &rate,
                                                     33, 65, 17, 3, way % 2));
        assert_true(rate > 0 && isfinite(rate));
    }
}

static void gemm_rate_is_a_number(void **state)
{
    (void)state;
    op_for_each_world(check_rate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_equals_reference),
        cmocka_unit_test(rows_are_the_same_in_any_batch),
        cmocka_unit_test(attention_equals_reference),
        cmocka_unit_test(cross_attention_equals_reference),
        cmocka_unit_test(attention_bears_large_scores),
        cmocka_unit_test(gemm_rate_is_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

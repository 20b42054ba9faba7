/* test_backend_gru.c - the recurrence of a gated recurrent unit on the cpu backend
 * against the reference: ragged sequences of awkward lengths and widths, both ways.
 */
#include "support/op_harness.h"

typedef struct recurrence_case {
    const char *what;
    int32_t sequences, width;
    int32_t length[40];
} recurrence_case;

/* On the host; offsets [B+1] and order [B]. */
static fb_recurrence lay_out(const recurrence_case *c, int32_t *offsets, int32_t *order)
{
    fb_recurrence r = {.sequences = c->sequences};
    int32_t placed = 0;
    offsets[0] = 0;
    for (int32_t s = 0; s < c->sequences; s++) {
        offsets[s + 1] = offsets[s] + c->length[s];
        r.longest = c->length[s] > r.longest ? c->length[s] : r.longest;
    }
    for (int32_t n = r.longest; n >= 0; n--)
        for (int32_t s = 0; s < c->sequences; s++)
            if (c->length[s] == n)
                order[placed++] = s;
    return r;
}

static fb_recurrence on_side(op_world *w, int side, fb_recurrence r,
                             const int32_t *offsets, const int32_t *order)
{
    r.offsets = op_upload_ints(w, side, offsets, r.sequences + 1);
    r.order = op_upload_ints(w, side, order, r.sequences);
    return r;
}

static void check_case(op_world *w, const recurrence_case *c, bool backwards)
{
    int32_t offsets[41], order[40];
    fb_recurrence r = lay_out(c, offsets, order);
    r.backwards = backwards;
    int64_t rows = offsets[c->sequences], width = c->width;
    op_begin(w, "gru of %s, width %d%s", c->what, (int)width,
             backwards ? ", backwards" : "");
    op_numbers x = op_parameter(w, rows, 3 * width);
    op_numbers bias = op_parameter(w, 1, 3 * width);
    op_weight weight = op_weight_make(w, 3 * width, width);
    op_numbers y = op_output(w, w->dtype, rows, width);
    op_numbers gates = op_output(w, w->dtype, rows, 4 * width);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        fb_recurrence on = on_side(w, s, r, offsets, order);
        op_call(w, be->k->gru_forward(w->ctx, be, &y.t[s], &gates.t[s], &x.t[s],
                                      &weight.w[s], bias.t[s].data, &on));
    }
    op_compare(w, "y", &y, 1.0);
    op_compare(w, "gates", &gates, 1.0);
    op_numbers states = op_from_reference(w, w->dtype, &y.t[0]);
    op_numbers kept = op_from_reference(w, w->dtype, &gates.t[0]);
    op_numbers dy = op_activation(w, rows, width);
    op_numbers dx = op_output(w, w->dtype, rows, 3 * width);
    op_numbers dw = op_parameter(w, 3 * width, width);
    op_numbers dbias = op_parameter(w, 1, 3 * width);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        fb_recurrence on = on_side(w, s, r, offsets, order);
        op_call(w, be->k->gru_forward(w->ctx, be, &y.t[s], NULL, &x.t[s], &weight.w[s],
                                      bias.t[s].data, &on));
        const fb_gru_grads d = {&dx.t[s], dw.t[s].data, dbias.t[s].data};
        op_call(w, be->k->gru_backward(w->ctx, be, &d, &dy.t[s], &states.t[s],
                                       &kept.t[s], &weight.w[s], &on));
    }
    op_compare(w, "y, gates not kept", &y, 1.0);
    op_compare(w, "dx", &dx, 2.0); /* what goes back is rounded at every step */
    op_compare(w, "dw", &dw, 2.0);
    op_compare(w, "dbias", &dbias, 2.0);
    for (int s = 0; s < OP_SIDES; s++) {
        fb_backend *be = op_backend(w, s);
        fb_recurrence on = on_side(w, s, r, offsets, order);
        const fb_gru_grads d = {&dx.t[s], NULL, NULL};
        op_call(w, be->k->gru_backward(w->ctx, be, &d, &dy.t[s], &states.t[s],
                                       &kept.t[s], &weight.w[s], &on));
    }
    op_compare(w, "dx alone", &dx, 2.0);
    op_weight_free(w, &weight);
}

static void check_all(op_world *w)
{
    static const recurrence_case cases[] = {
        {"nothing", 0, 4, {0}},
        {"empty sequences", 3, 4, {0, 0, 0}},
        {"one row", 1, 5, {1}},
        {"one sequence", 1, 7, {6}},
        {"rows alone", 9, 3, {1, 1, 1, 1, 1, 1, 1, 1, 1}},
        {"an empty one among others", 5, 16, {3, 0, 5, 1, 2}},
        {"one unit", 4, 1, {2, 4, 1, 3}},
        {"as many as a product's cut", 8, 24, {4, 4, 4, 4, 4, 4, 4, 4}},
        {"many lengths", 17, 33, {3, 1, 2, 9, 4, 4, 7, 1, 5, 6, 2, 8, 3, 3, 1, 2, 5}},
        {"more rows than one thread's", 40, 130, {5, 2, 9, 4, 4, 7, 3, 8, 6, 1,
                                                  5, 2, 9, 4, 4, 7, 3, 8, 6, 1,
                                                  5, 2, 9, 4, 4, 7, 3, 8, 6, 1,
                                                  5, 2, 9, 4, 4, 7, 3, 8, 6, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int backwards = 0; backwards < 2; backwards++)
            check_case(w, &cases[i], backwards);
}

static void gru_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gru_equals_reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_backend_conv.c - convolutions of the cpu backend against the reference, on
 * pictures and channels that blocks and vectors do not divide.
 */
#include "support/op_harness.h"

static int64_t rows_out(const fb_conv *c)
{
    return (int64_t)c->images *
           fb_window_out(c->height, c->kernel, c->stride, c->padding) *
           fb_window_out(c->width, c->kernel, c->stride, c->padding);
}

static op_weight weight_of(op_world *w, const fb_conv *c)
{
    return op_weight_make(w, c->out,
                          (int64_t)c->in / c->groups * c->kernel * c->kernel);
}

static void begin(op_world *w, const char *what, const fb_conv *c, int option)
{
    op_begin(w, "%s %d x %dx%dx%d to %d, kernel %d, stride %d, pad %d, groups %d, %d",
             what, c->images, c->height, c->width, c->in, c->out, c->kernel, c->stride,
             c->padding, c->groups, option);
}

/* Bits of option: bias, residual, ReLU, the residual lies in y. */
static void check_forward(op_world *w, const fb_conv *c, int option)
{
    begin(w, "conv_forward", c, option);
    op_weight weight = weight_of(w, c);
    op_numbers x = op_activation(w, (int64_t)c->images * c->height * c->width, c->in);
    op_numbers bias = op_parameter(w, 1, c->out);
    op_numbers residual = op_activation(w, rows_out(c), c->out);
    for (int round = 0; round < 2; round++) { /* the second on new weights */
        bool inside = (option & 10) == 10;
        op_numbers y = inside ? op_activation(w, rows_out(c), c->out)
                              : op_output(w, w->dtype, rows_out(c), c->out);
        for (int s = 0; s < OP_SIDES; s++) {
            const fb_tensor *r = inside ? &y.t[s] : &residual.t[s];
            fb_conv_epilogue after = {option & 1 ? bias.t[s].data : NULL,
                                      option & 2 ? r : NULL, option & 4};
            op_call(w, op_backend(w, s)->k->conv_forward(w->ctx, op_backend(w, s),
                                                         &y.t[s], &x.t[s], &weight.w[s],
                                                         c, &after));
        }
        op_compare(w, round ? "y after a change of weights" : "y", &y, 1.0);
        op_weight_change(w, &weight);
    }
    op_weight_free(w, &weight);
}

static void check_weight_gradient(op_world *w, const fb_conv *c)
{
    int64_t rows = (int64_t)c->images * c->height * c->width;
    begin(w, "conv_backward_weight", c, 0);
    op_numbers x = op_activation(w, rows, c->in);
    op_numbers dy = op_activation(w, rows_out(c), c->out);
    op_numbers dw =
        op_parameter(w, c->out, (int64_t)c->in / c->groups * c->kernel * c->kernel);
    for (int s = 0; s < OP_SIDES; s++)
        op_call(w, op_backend(w, s)->k->conv_backward_weight(
                       w->ctx, op_backend(w, s), dw.t[s].data, &x.t[s], &dy.t[s], c));
    op_compare(w, "dw", &dw, 1.0);
}

static void check_backward(op_world *w, const fb_conv *c)
{
    int64_t rows = (int64_t)c->images * c->height * c->width;
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        begin(w, "conv_backward_input", c, accumulate);
        op_weight weight = weight_of(w, c);
        op_numbers dy = op_activation(w, rows_out(c), c->out);
        for (int round = 0; round < 2; round++) {
            op_numbers dx = accumulate ? op_activation(w, rows, c->in)
                                       : op_output(w, w->dtype, rows, c->in);
            for (int s = 0; s < OP_SIDES; s++)
                op_call(w, op_backend(w, s)->k->conv_backward_input(
                               w->ctx, op_backend(w, s), &dx.t[s], &dy.t[s],
                               &weight.w[s], c, accumulate));
            op_compare(w, "dx", &dx, accumulate ? 1.5 : 1.0);
            op_weight_change(w, &weight);
        }
        op_weight_free(w, &weight);
    }
    check_weight_gradient(w, c);
}

static void check_conv(op_world *w)
{
    static const fb_conv cases[] = {
        /* images, height, width, in, out, kernel, stride, padding, groups */
        {0, 5, 5, 3, 4, 3, 1, 1, 1},    {1, 1, 1, 1, 1, 1, 1, 0, 1},
        {1, 1, 1, 2, 3, 3, 1, 1, 1},    {2, 5, 7, 3, 8, 3, 1, 1, 1},
        {3, 7, 7, 5, 9, 3, 2, 1, 1},    {2, 13, 11, 3, 32, 5, 3, 2, 1},
        {2, 15, 14, 3, 16, 7, 2, 3, 1}, {2, 9, 9, 17, 33, 3, 1, 0, 1},
        {3, 6, 6, 16, 32, 1, 1, 0, 1},  {2, 7, 7, 16, 24, 1, 2, 0, 1},
        {2, 6, 5, 12, 20, 3, 1, 1, 4},  {2, 6, 6, 32, 32, 3, 2, 1, 4},
        {2, 5, 5, 8, 8, 3, 1, 1, 8},    {2, 8, 8, 64, 64, 3, 1, 1, 1},
        {1, 9, 8, 32, 64, 3, 2, 1, 1},  {2, 4, 4, 19, 7, 1, 1, 0, 1},
        {2, 6, 6, 64, 64, 3, 1, 1, 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (w->brief && i > 4) /* products are the same in all */
            break;
        for (int option = 0; option < 16; option++)
            if ((option & 10) != 8 && (i < 5 || option % 5 == 0 || option > 10))
                check_forward(w, &cases[i], option);
        check_backward(w, &cases[i]);
    }
}

static void conv_equals_reference(void **state)
{
    (void)state;
    op_for_each_world(check_conv);
}

/* Images that two and four threads cannot share evenly, and fewer than threads. */
static void check_shares(op_world *w)
{
    for (int32_t images = 1; images <= 7; images++) {
        check_weight_gradient(w, &(fb_conv){images, 6, 5, 17, 33, 3, 1, 1, 1});
        check_weight_gradient(w, &(fb_conv){images, 9, 9, 3, 32, 5, 3, 2, 1});
        check_weight_gradient(w, &(fb_conv){images, 6, 6, 32, 32, 3, 2, 1, 4});
        check_weight_gradient(w, &(fb_conv){images, 7, 7, 16, 24, 1, 2, 0, 1});
    }
}

static void threads_share_the_images_of_a_weight_gradient(void **state)
{
    (void)state;
    op_for_threads(2, check_shares);
    op_for_threads(4, check_shares);
}

/* Pictures of many sizes by one weight: its copies must stay apart. */
static void check_sizes(op_world *w)
{
    begin(w, "one weight, many pictures", &(fb_conv){0}, 0);
    fb_conv c = {2, 5, 5, 16, 32, 3, 1, 1, 1};
    op_weight weight = weight_of(w, &c);
    for (int round = 0; round < 12; round++) {
        c.height = 4 + round % 6;
        c.width = 4 + round % 5 * 3;
        c.images = 1 + round % 4;
        c.stride = 1 + round % 3;
        int64_t rows = (int64_t)c.images * c.height * c.width;
        op_numbers x = op_activation(w, rows, c.in);
        op_numbers dx = op_output(w, w->dtype, rows, c.in);
        op_numbers y = op_output(w, w->dtype, rows_out(&c), c.out);
        op_numbers dy = op_activation(w, rows_out(&c), c.out);
        for (int s = 0; s < OP_SIDES; s++) {
            fb_backend *be = op_backend(w, s);
            op_call(w, be->k->conv_forward(w->ctx, be, &y.t[s], &x.t[s], &weight.w[s],
                                           &c, &(fb_conv_epilogue){0}));
            op_call(w, be->k->conv_backward_input(w->ctx, be, &dx.t[s], &dy.t[s],
                                                  &weight.w[s], &c, false));
        }
        op_compare(w, "y", &y, 1.0);
        op_compare(w, "dx", &dx, 1.0);
        if (round % 5 == 4)
            op_weight_change(w, &weight);
    }
    op_weight_free(w, &weight);
}

static void one_weight_serves_pictures_of_many_sizes(void **state)
{
    (void)state;
    op_for_each_world(check_sizes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_equals_reference),
        cmocka_unit_test(threads_share_the_images_of_a_weight_gradient),
        cmocka_unit_test(one_weight_serves_pictures_of_many_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

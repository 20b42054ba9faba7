/* test_losses.c - Eq. 6 and the official code's weights against published
 * vectors, a solver of the constrained problem, and finite differences. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "models/losses.h"

#define assert_near(a, b, tolerance)                                                   \
    assert_true(fabs((double)(a) - (double)(b)) <= (tolerance))

static const bool all[3] = {true, true, true};

static void softmax_mode_gives_the_reference_vectors(void **state)
{
    (void)state;
    static const struct {
        double loss[3], weight[3], total, coefficient[3];
    } cases[] = {
        {{2.5, .69, .2},
         {.386282, .307397, .306322},
         1.239072,
         {.442476, .272659, .284864}},
        {{7.3, .69, .2},
         {.428042, .285979, .285979},
         3.379227,
         {.431657, .283737, .284606}},
        {{1, .3, .05},
         {.351314, .325850, .322836},
         .465211,
         {.372981, .314700, .312320}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double w[3], c[3], total = 0;
        fb_adaptive_softmax(w, c, cases[i].loss, all, 3, false);
        for (int k = 0; k < 3; k++) {
            assert_near(w[k], cases[i].weight[k], 1e-6);
            assert_near(c[k], cases[i].coefficient[k], 1e-6);
            total += w[k] * cases[i].loss[k];
        }
        assert_near(total, cases[i].total, 1e-6);
        fb_adaptive_softmax(w, c, cases[i].loss, all, 3, true);
        for (int k = 0; k < 3; k++)
            assert_near(c[k], w[k], 0);
    }
}

static double official_total(const double loss[3])
{
    double w[3], c[3], total = 0;
    fb_adaptive_softmax(w, c, loss, all, 3, true);
    for (int k = 0; k < 3; k++)
        total += w[k] * loss[k];
    return total;
}

static void coefficients_are_the_derivatives_of_the_total(void **state)
{
    (void)state;
    fb_random r = fb_random_start(3, FB_STREAM_TEST, 1);
    for (int trial = 0; trial < 200; trial++) {
        double loss[3], w[3], c[3], sum = 0;
        for (int k = 0; k < 3; k++)
            loss[k] = 6 * fb_random_uniform(&r);
        fb_adaptive_softmax(w, c, loss, all, 3, false);
        for (int k = 0; k < 3; k++) {
            double up[3], down[3], h = 1e-5;
            memcpy(up, loss, sizeof up);
            memcpy(down, loss, sizeof down);
            up[k] += h;
            down[k] -= h;
            double slope = (official_total(up) - official_total(down)) / (2 * h);
            assert_near(slope, c[k], 1e-8);
            sum += c[k];
        }
        assert_near(sum, 1, 1e-12);
    }
}

/* -1/2 sum g w^2 + 1/4 sum_ij (w_i - w_j)^2: Eq. 5 with each pair counted once. */
static double objective(const double w[3], const double g[3])
{
    double value = 0;
    for (int i = 0; i < 3; i++) {
        value -= g[i] * w[i] * w[i] / 2;
        for (int j = 0; j < 3; j++)
            value += (w[i] - w[j]) * (w[i] - w[j]) / 4;
    }
    return value;
}

/* Descent along directions that keep the sum, with a step that halves when stuck. */
static void solve_numerically(double w[3], const double g[3])
{
    double step = 0.1;
    w[0] = w[1] = w[2] = 1.0 / 3;
    while (step > 1e-10) {
        bool moved = false;
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++) {
                double t[3];
                memcpy(t, w, sizeof t);
                t[i] += step;
                t[j] -= step;
                if (i != j && t[j] >= 0 && objective(t, g) < objective(w, g)) {
                    memcpy(w, t, sizeof t);
                    moved = true;
                }
            }
        step = moved ? step : step / 2;
    }
}

static void equation_6_solves_the_constrained_problem(void **state)
{
    (void)state;
    fb_random r = fb_random_start(4, FB_STREAM_TEST, 2);
    for (int trial = 0; trial < 50; trial++) {
        double g[3], exact[3], numeric[3];
        for (int k = 0; k < 3; k++)
            g[k] = fb_random_uniform(&r);
        fb_adaptive_solve(exact, g, all, 3);
        solve_numerically(numeric, g);
        for (int k = 0; k < 3; k++)
            assert_near(exact[k], numeric[k], 1e-6);
        assert_near(exact[0] + exact[1] + exact[2], 1, 1e-12);
    }
}

static void norms_are_normalised_below_one(void **state)
{
    (void)state;
    const double n[3] = {4, 0, 12};
    double g[3], w[3];
    fb_adaptive_normalise(g, n, all, 3);
    assert_near(g[0], 0.25, 1e-15);
    assert_near(g[1], 0, 0);
    assert_near(g[2], 0.75, 1e-15);
    fb_adaptive_solve(w, g, all, 3);
    assert_true(w[2] > w[0] && w[0] > w[1]);
    const double nothing[3] = {0, 0, 0};
    fb_adaptive_normalise(g, nothing, all, 3);
    fb_adaptive_solve(w, g, all, 3);
    for (int k = 0; k < 3; k++)
        assert_near(w[k], 1.0 / 3, 1e-15);
}

static void absent_losses_weigh_nothing(void **state)
{
    (void)state;
    const bool two[3] = {true, false, true}, one[3] = {false, true, false};
    const double n[3] = {1, 5, 1}, loss[3] = {2, 0, 2};
    double g[3], w[3], c[3];
    fb_adaptive_normalise(g, n, two, 3);
    fb_adaptive_solve(w, g, two, 3);
    assert_near(w[0], 0.5, 1e-15);
    assert_near(w[1], 0, 0);
    fb_adaptive_softmax(w, c, loss, two, 3, false);
    assert_near(w[2], 0.5, 1e-15);
    assert_near(c[1], 0, 0);
    fb_adaptive_normalise(g, n, one, 3);
    fb_adaptive_solve(w, g, one, 3);
    assert_near(w[1], 1, 0);
    fb_adaptive_softmax(w, c, loss, one, 3, false);
    assert_near(c[1], 1, 1e-15);
}

/* Six losses of which one is absent: Eq. 6 by its definition, and the derivative of the
 * official total by differences. */
static void any_number_of_losses_is_weighed(void **state)
{
    (void)state;
    const bool five[6] = {true, true, false, true, true, true};
    const double n[6] = {1, 2, 7, 3, 0, 4}, loss[6] = {2, .3, 9, .7, 1.1, .05};
    double g[6], w[6], c[6], sum = 0;
    fb_adaptive_normalise(g, n, five, 6);
    fb_adaptive_solve(w, g, five, 6);
    for (int i = 0; i < 6; i++)
        sum += five[i] ? 1 / (5 - n[i] / 10) : 0;
    for (int i = 0; i < 6; i++)
        assert_near(w[i], five[i] ? 1 / (5 - n[i] / 10) / sum : 0, 1e-15);
    fb_adaptive_softmax(w, c, loss, five, 6, false);
    for (int k = 0; k < 6; k++) {
        double total[2] = {0, 0}, h = 1e-5, moved[6], ws[6], cs[6];
        for (int side = 0; side < 2; side++) {
            memcpy(moved, loss, sizeof moved);
            moved[k] += side ? h : -h;
            fb_adaptive_softmax(ws, cs, moved, five, 6, true);
            for (int i = 0; i < 6; i++)
                total[side] += ws[i] * moved[i];
        }
        assert_near(c[k], (total[1] - total[0]) / (2 * h), 1e-8);
    }
    assert_near(w[2], 0, 0);
    assert_near(c[2], 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax_mode_gives_the_reference_vectors),
        cmocka_unit_test(coefficients_are_the_derivatives_of_the_total),
        cmocka_unit_test(equation_6_solves_the_constrained_problem),
        cmocka_unit_test(norms_are_normalised_below_one),
        cmocka_unit_test(absent_losses_weigh_nothing),
        cmocka_unit_test(any_number_of_losses_is_weighed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_op_stacked.c - stacked cross attention against the formula written out again in
 * double, with the attended vector formed, and against its finite differences: on ref, on
 * cpu, and on poison, which must have ref's bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "support/op_differences.h"

enum { WIDTH = 4, TEXTS = 3, IMAGES = 2 };

/* A text of one word, an image of one row; ragged. */
static const int32_t text_offsets[TEXTS + 1] = {0, 3, 4, 6};
static const int32_t image_offsets[IMAGES + 1] = {0, 4, 5};

static fb_stacked_form forms[FB_STACKED_FORMS];
static int32_t form_count;

static fb_status score(rig *r, fb_var **y)
{
    fb_var *words, *rows;
    fb_stacked_sides sides = {TEXTS,         IMAGES,     text_offsets,
                              image_offsets, form_count, {forms[0], forms[1]}};
    FB_TRY(fb_op_unit_rows(&r->tape, &words, r->x[0]));
    FB_TRY(fb_op_unit_rows(&r->tape, &rows, r->x[1]));
    return fb_op_stacked(&r->tape, y, words, rows, &sides);
}

static fb_status build(rig *r)
{
    return score(r, &r->y);
}

/* ---- the formula ------------------------------------------------------------------- */

static void unit(double *to, const double *from)
{
    double sum = 0;
    for (int k = 0; k < WIDTH; k++)
        sum += from[k] * from[k];
    for (int k = 0; k < WIDTH; k++)
        to[k] = from[k] / sqrt(sum);
}

static double dot(const double *a, const double *b)
{
    double sum = 0;
    for (int k = 0; k < WIDTH; k++)
        sum += a[k] * b[k];
    return sum;
}

static double pool(const fb_stacked_form *f, const double *v, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += f->lse ? exp((double)f->lambda2 * v[i]) : v[i];
    return f->lse ? log(sum) / (double)f->lambda2 : sum / count;
}

static double score_of(const fb_stacked_form *f, const double *query, int queries,
                       const double *context, int contexts)
{
    double q[5][WIDTH], c[5][WIDTH], x[5][5], r[5], most[5];
    for (int i = 0; i < queries; i++)
        unit(q[i], query + i * WIDTH);
    for (int j = 0; j < contexts; j++) {
        double sum = 0;
        unit(c[j], context + j * WIDTH);
        for (int i = 0; i < queries; i++) {
            x[i][j] = dot(q[i], c[j]);
            x[i][j] *= x[i][j] > 0 ? 1 : 0.1;
            sum += x[i][j] * x[i][j];
        }
        for (int i = 0; i < queries; i++)
            x[i][j] /= sqrt(sum) + 1e-8;
    }
    for (int i = 0; i < queries; i++) {
        double attended[WIDTH] = {0}, total = 0;
        most[i] = 0;
        for (int j = 0; j < contexts; j++)
            total += exp((double)f->lambda1 * x[i][j]);
        for (int j = 0; j < contexts; j++) {
            double a = exp((double)f->lambda1 * x[i][j]) / total;
            most[i] = a > most[i] ? a : most[i];
            for (int k = 0; k < WIDTH; k++)
                attended[k] += a * c[j][k];
        }
        r[i] = dot(q[i], attended) / sqrt(dot(attended, attended));
    }
    return (double)f->scale *
           (pool(f, r, queries) + (double)f->focus * pool(f, most, queries));
}

/* ---- tests ------------------------------------------------------------------------- */

static const fb_stacked_form kinds[] = {
    {.lambda1 = 9, .lambda2 = 6, .scale = 1},
    {.lse = true, .lambda1 = 9, .lambda2 = 6, .scale = 1},
    {.rows_ask = true, .lambda1 = 4, .lambda2 = 5, .scale = 1},
    {.rows_ask = true, .lse = true, .lambda1 = 4, .lambda2 = 5, .scale = 0.5f},
    {.lambda1 = 3, .lambda2 = 6, .focus = 0.5f, .scale = 1},
    {.lse = true, .lambda1 = 3, .lambda2 = 6, .focus = 0.5f, .scale = 2},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static const graph all = {"stacked", {6, 5}, {WIDTH, WIDTH}, {0}, {0}, .build = build};

static void take_forms(int kind)
{
    form_count = kind < KINDS ? 1 : 2;
    forms[0] = kinds[kind % KINDS];
    forms[1] = kinds[(kind + 2) % KINDS];
}

/* Inputs of both sides, as the rig draws them. */
typedef struct numbers {
    double words[6 * WIDTH], rows[5 * WIDTH];
} numbers;

static double pair_score(const numbers *n, int image, int text)
{
    const double *words = n->words + text_offsets[text] * WIDTH;
    const double *rows = n->rows + image_offsets[image] * WIDTH;
    int w = text_offsets[text + 1] - text_offsets[text];
    int r = image_offsets[image + 1] - image_offsets[image];
    double sum = 0;
    for (int f = 0; f < form_count; f++)
        sum += forms[f].rows_ask ? score_of(&forms[f], rows, r, words, w)
                                 : score_of(&forms[f], words, w, rows, r);
    return sum;
}

/* What the rig differentiates. */
static double total(const numbers *n)
{
    double sum = 0;
    for (int i = 0; i < IMAGES * TEXTS; i++)
        sum += (double)draw(20, i) * pair_score(n, i / TEXTS, i % TEXTS);
    return sum;
}

static void compare_gradient(const char *backend, int kind, numbers *n, double *side,
                             const float *got, int count)
{
    for (int i = 0; i < count; i++) {
        double at = side[i], h = 1e-6;
        side[i] = at + h;
        double above = total(n);
        side[i] = at - h;
        double want = (above - total(n)) / (2 * h);
        side[i] = at;
        if (!(fabs((double)got[i] - want) <= 2e-5 * (1 + fabs(want))))
            fail_msg("%s, form %d: gradient of %s[%d] is %.6g, differences say %.6g",
                     backend, kind, side == n->words ? "words" : "rows", i,
                     (double)got[i], want);
    }
}

static void check_kind(const char *backend, int kind, derived *d)
{
    rig r;
    numbers n;
    take_forms(kind);
    rig_open(&r, &all, backend);
    for (int i = 0; i < 6 * WIDTH; i++)
        n.words[i] = (double)r.input[0][i];
    for (int i = 0; i < 5 * WIDTH; i++)
        n.rows[i] = (double)r.input[1][i];
    rig_value(&r, false);
    const float *y = rig_read(&r, &r.y->value);
    for (int i = 0; i < IMAGES * TEXTS; i++) {
        double got = (double)y[i], want = pair_score(&n, i / TEXTS, i % TEXTS);
        if (!(fabs(got - want) <= 2e-6 * (1 + fabs(want))))
            fail_msg("%s, form %d, pair %d: %.8g, not %.8g", backend, kind, i, got,
                     want);
    }
    derive(&r, d);
    compare_gradient(backend, kind, &n, n.words, d->input[0], 6 * WIDTH);
    compare_gradient(backend, kind, &n, n.rows, d->input[1], 5 * WIDTH);
    rig_close(&r);
}

static void scores_and_gradients_equal_the_formula(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2 * KINDS; kind++) {
        derived d;
        check_kind("cpu", kind, &d);
        check_kind("ref", kind, &d);
        check_poison(&all, &d);
    }
}

/* One side alone gets its gradient where the other is a constant. */
static void a_constant_side_gets_none(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2 * KINDS; kind++)
        for (int side = 0; side < 2; side++) {
            graph g = all;
            rig r;
            derived both, one;
            take_forms(kind);
            rig_open(&r, &g, "ref");
            derive(&r, &both);
            g.constant[side] = true;
            derive(&r, &one);
            assert_false(one.reached[side]);
            assert_memory_equal(one.input[!side], both.input[!side],
                                sizeof one.input[!side]);
            rig_close(&r);
        }
}

/* Nothing to attend to: a score of 0, and no gradient. */
static void empty_sides_have_score_0(void **state)
{
    static const int32_t none[] = {0, 0, 2}, some[] = {0, 2};
    (void)state;
    for (int b = 0; b < 2; b++)
        for (int ask = 0; ask < 2; ask++) {
            graph g = {"empty", {2, 2}, {WIDTH, WIDTH}, {0}, {0}, .build = build};
            fb_stacked_sides sides = {2, 1, none, some, 1, {kinds[2 * ask]}};
            rig r;
            rig_open(&r, &g, b ? "cpu" : "ref");
            rig_start(&r, true);
            rig_must(&r, fb_op_stacked(&r.tape, &r.y, r.x[0], r.x[1], &sides));
            assert_true(rig_read(&r, &r.y->value)[0] == 0.0f);
            assert_true(rig_read(&r, &r.y->value)[1] != 0.0f);
            rig_set_gradient(&r, r.y, 3);
            rig_must(&r, fb_tape_backward(&r.tape, NULL, NULL, true));
            for (int k = 0; k < 2; k++)
                for (int i = 0; i < 2 * WIDTH; i++)
                    assert_true(isfinite(rig_read(&r, &r.x[k]->grad)[i]));
            rig_close(&r);
        }
}

static void wrong_shapes_are_refused(void **state)
{
    (void)state;
    graph g = {"refused", {6, 5}, {WIDTH, 3}, {0}, {0}, .build = build};
    rig r;
    take_forms(0);
    rig_open(&r, &g, "ref");
    rig_start(&r, true);
    assert_int_equal(g.build(&r), FB_E_SHAPE);
    assert_non_null(strstr(fb_context_message(r.ctx), "words of 4 numbers, rows of 3"));
    rig_close(&r);
    g = all;
    g.rows[0] = 5;
    rig_open(&r, &g, "ref");
    rig_start(&r, true);
    assert_int_equal(g.build(&r), FB_E_SHAPE);
    assert_non_null(strstr(fb_context_message(r.ctx), "ascend to 5 words and 5 rows"));
    rig_close(&r);
    forms[0].lambda1 = 81;
    rig_open(&r, &all, "ref");
    rig_start(&r, true);
    assert_int_equal(all.build(&r), FB_E_SHAPE);
    assert_non_null(strstr(fb_context_message(r.ctx), "at most 80"));
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_and_gradients_equal_the_formula),
        cmocka_unit_test(a_constant_side_gets_none),
        cmocka_unit_test(empty_sides_have_score_0),
        cmocka_unit_test(wrong_shapes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

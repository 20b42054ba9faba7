/* op_differences.h - for tests of operations: the backward of a rig's graph (op_rig.h)
 * against finite differences of its scalar L,
 *
 *     dL/dx ~ (8 (L(h) - L(-h)) - (L(2h) - L(-2h))) / 12h
 *
 * for every number of every input and parameter, on the reference backend; then poison
 * (poison_backend.h) must give L and all gradients to its bits.
 */
#ifndef FB_TESTS_OP_DIFFERENCES_H
#define FB_TESTS_OP_DIFFERENCES_H

#include "support/op_rig.h"

static inline double difference(rig *r, float *place)
{
    const float h = 0.015625f, at = *place;
    double f[4];
    for (int k = 0; k < 4; k++) {
        *place = at + h * (float)(k < 2 ? k - 2 : k - 1);
        f[k] = rig_value(r, k % 2); /* a tape that does not record gives the same */
    }
    *place = at;
    return (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * (double)h);
}

static inline void compare(rig *r, const char *what, float *place, const float *got,
                           int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        double want = difference(r, &place[i]);
        if (!(fabs((double)got[i] - want) <= 5e-4 * (1 + fabs(want))))
            fail_msg("%s: gradient of %s[%d] is %.6g, differences say %.6g", r->g->name,
                     what, (int)i, (double)got[i], want);
    }
}

/* L and its gradients. */
typedef struct derived {
    double value;
    float input[INPUTS][MOST], leaf[LEAVES][MOST];
    bool reached[INPUTS];
} derived;

static inline void derive(rig *r, derived *d)
{
    *d = (derived){.value = rig_backward(r, true)};
    memcpy(d->leaf, r->leaf_grad, sizeof d->leaf);
    for (int k = 0; k < INPUTS; k++)
        if (r->x[k] && r->x[k]->grad.data) {
            d->reached[k] = true;
            memcpy(d->input[k], rig_read(r, &r->x[k]->grad),
                   fb_tensor_bytes(&r->x[k]->grad));
        }
}

static inline void check_poison(const graph *g, const derived *want)
{
    rig r;
    derived got;
    rig_open(&r, g, "poison");
    derive(&r, &got);
    if (memcmp(&got.value, &want->value, sizeof got.value) != 0 ||
        memcmp(got.input, want->input, sizeof got.input) != 0 ||
        memcmp(got.leaf, want->leaf, sizeof got.leaf) != 0 ||
        memcmp(got.reached, want->reached, sizeof got.reached) != 0)
        fail_msg("%s: poison differs from ref", g->name);
    rig_close(&r);
}

static inline void check(const graph *g)
{
    rig r;
    derived d;
    rig_open(&r, g, "ref");
    derive(&r, &d);
    for (int k = 0; k < INPUTS; k++) {
        int64_t count = g->rows[k] < 0 ? 0 : g->rows[k] * g->columns[k];
        if (g->constant[k])
            continue;
        assert_true(d.reached[k] || g->rows[k] < 0 || r.loss[0]);
        compare(&r, k ? "b" : "a", r.input[k], d.input[k], count);
    }
    for (int k = 0; k < LEAVES; k++)
        compare(&r, r.leaf[k].name, r.leaf_value[k], d.leaf[k], g->out[k] * g->in[k]);
    rig_close(&r);
    check_poison(g, &d);
}

/* The same graph with these numbers of rows of its inputs. */
static inline void check_rows(graph g, const int64_t *rows, int count)
{
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < INPUTS; k++)
            g.rows[k] = g.rows[k] < 0 ? -1 : rows[i];
        check(&g);
    }
}

static const int64_t awkward[] = {0, 1, 5};
#define NO_B                                                                           \
    {                                                                                  \
        3, -1                                                                          \
    }

#endif

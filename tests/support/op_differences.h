/* op_differences.h - for tests of operations: the backward of a rig's graph (op_rig.h)
 * against finite differences of its scalar L,
 *
 *     dL/dx ~ (8 (L(h) - L(-h)) - (L(2h) - L(-2h))) / 12h
 *
 * for every number of every input and parameter.
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

static inline void check(const graph *g)
{
    rig r;
    float grads[INPUTS][MOST] = {0};
    bool reached[INPUTS] = {false};
    rig_open(&r, g);
    rig_backward(&r, true);
    for (int k = 0; k < INPUTS; k++)
        if (r.x[k] && r.x[k]->grad.data) {
            reached[k] = true;
            memcpy(grads[k], r.x[k]->grad.data, fb_tensor_bytes(&r.x[k]->grad));
        }
    for (int k = 0; k < INPUTS; k++) {
        int64_t count = g->rows[k] < 0 ? 0 : g->rows[k] * g->columns[k];
        if (g->constant[k])
            continue;
        assert_true(reached[k] || g->rows[k] < 0 || r.loss[0]);
        compare(&r, k ? "b" : "a", r.input[k], grads[k], count);
    }
    for (int k = 0; k < LEAVES; k++)
        compare(&r, r.leaf[k].name, r.leaf_value[k], r.leaf_grad[k],
                g->out[k] * g->in[k]);
    rig_close(&r);
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

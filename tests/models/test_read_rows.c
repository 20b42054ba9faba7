/* test_read_rows.c - an encoder's output at the rows that heads read: the numbers and the
 * gradients of an encoder that computes all rows, whichever lists the rows come in.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "models/read_rows.h"

enum { L = 2, C = 8, T = 9, SEQUENCES = 4, READ = 5 };

static const int32_t offsets[SEQUENCES + 1] = {0, 4, 4, 5, T};
/* the lists overlap, name a row twice, and leave sequence 2 out */
static const int32_t heads[] = {0, 5}, masked[] = {8, 3, 5, 3};
static const fb_row_list lists[] = {{heads, 2}, {masked, 4}, {NULL, 0}};
static const int32_t read[READ] = {5, 0, 8, 3, 5};

typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_arena *arena;
    fb_params *params;
    fb_transformer net;
    fb_tape tape;
    float x[T * C];
} world;

static float draw(uint64_t stream, int64_t i)
{
    fb_random r = fb_random_start(5, FB_STREAM_TEST, stream * 100000 + (uint64_t)i);
    return (float)(fb_random_uniform(&r) * 2 - 1);
}

static void must(const world *w, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(w->ctx));
}

static void world_open(world *w, const char *backend, int32_t layers)
{
    const fb_transformer_options o = {.layers = layers,
                                      .width = C,
                                      .heads = 2,
                                      .inner = 12,
                                      .eps = 1e-12f,
                                      .act = FB_ACT_GELU};
    *w = (world){.ctx = fb_context_create(), .arena = fb_arena_create(1 << 20)};
    must(w, fb_backend_create(w->ctx, &w->be, backend, "f32", 2));
    must(w, fb_params_create(w->ctx, &w->params));
    must(w, fb_transformer_declare(w->params, &w->net, "t", &o));
    must(w, fb_params_allocate(w->params, true));
    uint64_t stream = 1;
    for (fb_param *p = w->params->first; p; p = p->next, stream++)
        for (int64_t i = 0; i < p->rows * p->columns; i++)
            fb_params_value(w->params, &p->leaf)[i] =
                0.6f * draw(stream, i) + (float)(p->init == FB_INIT_ONE);
    fb_params_touch(w->params);
    for (int i = 0; i < T * C; i++)
        w->x[i] = draw(0, i);
}

static void world_close(world *w)
{
    fb_params_free(w->params, w->be);
    fb_backend_free(w->be);
    fb_arena_free(w->arena);
    fb_context_free(w->ctx);
}

/* What the rows `read` come to, and the gradient of x by the sum of their squares. */
static void run(world *w, bool picked, float y[READ * C], float dx[T * C])
{
    fb_var *x, *out, *rows;
    fb_read_rows r = {.place = NULL};
    fb_tape_begin(&w->tape, w->ctx, w->be, w->arena, true);
    must(w, fb_tape_new_var(&w->tape, &x, FB_F32, T, C));
    memcpy(x->value.data, w->x, sizeof w->x);
    if (picked)
        must(w, fb_read_rows_pick(&w->tape, &r, lists, 3, offsets, SEQUENCES));
    must(w,
         fb_read_rows_forward(&w->tape, &out, x, &w->net, 0, &r, offsets, SEQUENCES));
    if (picked && w->net.options.layers > 0)
        assert_int_equal(out->value.dims[0], 4);
    else
        assert_int_equal(out->value.dims[0], T);
    must(w, fb_read_rows_gather(&w->tape, &rows, out, &r, read, READ));
    memcpy(y, rows->value.data, READ * C * sizeof *y);
    fb_tensor seed;
    bool fresh;
    must(w, fb_tape_grad_begin(&w->tape, rows, &seed, &fresh));
    memcpy(seed.data, y, READ * C * sizeof *y);
    must(w, fb_tape_backward(&w->tape, w->tape.last, NULL, false));
    memcpy(dx, x->grad.data, T * C * sizeof *dx);
    fb_arena_reset(w->arena);
}

static void check(const char *backend, int32_t layers)
{
    world w;
    float y[2][READ * C], dx[2][T * C], largest = 0;
    world_open(&w, backend, layers);
    for (int p = 0; p < 2; p++)
        run(&w, p, y[p], dx[p]);
    for (int i = 0; i < READ * C; i++)
        assert_true(fabsf(y[0][i] - y[1][i]) < 2e-6f);
    for (int i = 0; i < T * C; i++)
        largest = fmaxf(largest, fabsf(dx[0][i]));
    for (int i = 0; i < T * C; i++)
        assert_true(fabsf(dx[0][i] - dx[1][i]) <= 4e-6f * largest);
    assert_true(largest > 1e-4f);
    world_close(&w);
}

static void numbers_are_those_of_all_rows(void **state)
{
    (void)state;
    for (int32_t layers = 0; layers <= L; layers++) {
        check("ref", layers);
        check("cpu", layers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_of_all_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

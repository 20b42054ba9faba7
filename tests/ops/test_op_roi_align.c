/* test_op_roi_align.c - RoI-align as an operation: against torchvision's numbers
 * (tools/make_roi_align_dump.py), its gradient against finite differences on ref and
 * poison, what is plain to see by eye, and what it must refuse.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nn/safetensors.h"
#include "support/op_differences.h"

/* ---- torchvision's numbers ------------------------------------------------------ */

enum { IMAGES = 2, SIDE = 5, CHANNELS = 3, BOXES = 20 };

typedef struct golden {
    rig r; /* for its backend and tape */
    fb_safetensors *file;
    float boxes[BOXES][4];
    int32_t image[BOXES];
} golden;

static const graph no_graph = {.name = "RoI-align", .rows = {-1, -1}};

static const fb_stored_tensor *entry(const golden *g, const char *name)
{
    const fb_stored_tensor *t = fb_safetensors_find(g->file, name);
    if (!t)
        fail_msg("the dump has no %s", name);
    return t;
}

static void read_floats(const golden *g, const char *name, float *out)
{
    rig_must(&g->r, fb_safetensors_to_f32(g->r.ctx, entry(g, name), out));
}

static void golden_open(golden *g, const char *backend)
{
    rig_open(&g->r, &no_graph, backend);
    rig_must(&g->r, fb_safetensors_open(g->r.ctx, &g->file,
                                        FB_TEST_DATA
                                        "/golden/roi_align/reference.safetensors"));
    read_floats(g, "boxes", &g->boxes[0][0]);
    memcpy(g->image, entry(g, "image")->bytes, sizeof g->image);
}

static void golden_close(golden *g)
{
    fb_safetensors_close(g->file);
    rig_close(&g->r);
}

static fb_var *map_on_tape(golden *g)
{
    float numbers[IMAGES * SIDE * SIDE * CHANNELS];
    fb_var *map;
    read_floats(g, "map", numbers);
    rig_must(&g->r,
             fb_tape_new_var(&g->r.tape, &map, FB_F32, IMAGES * SIDE * SIDE, CHANNELS));
    rig_upload(&g->r, map->value.data, numbers, sizeof numbers);
    return map;
}

static void compare_numbers(const golden *g, const char *what, char cut,
                            const float *got, int64_t count)
{
    char name[32];
    float want[IMAGES * SIDE * SIDE * CHANNELS];
    snprintf(name, sizeof name, "%s/%c", what, cut);
    read_floats(g, name, want);
    for (int64_t i = 0; i < count; i++)
        if (!(fabsf(got[i] - want[i]) <= 2e-6f * (1 + fabsf(want[i]))))
            fail_msg("%s[%d] is %.8g, torchvision has %.8g", name, (int)i,
                     (double)got[i], (double)want[i]);
}

static void equals_torchvision(void **state)
{
    golden g;
    golden_open(&g, *state);
    for (char cut = 'a'; cut <= 'e'; cut++) {
        char name[16];
        float seed[BOXES * CHANNELS];
        snprintf(name, sizeof name, "samples/%c", cut);
        fb_roi_align roi = {IMAGES, SIDE, 0, BOXES, &g.boxes[0][0], g.image};
        memcpy(&roi.samples, entry(&g, name)->bytes, sizeof roi.samples);
        rig_start(&g.r, true);
        fb_var *map = map_on_tape(&g), *y;
        rig_must(&g.r, fb_op_roi_align(&g.r.tape, &y, map, &roi));
        read_floats(&g, "seed", seed);
        y->grad = fb_tensor_2d(rig_floats(&g.r, seed, BOXES * CHANNELS), FB_F32, BOXES,
                               CHANNELS);
        rig_must(&g.r, fb_tape_backward(&g.r.tape, NULL, NULL, false));
        compare_numbers(&g, "y", cut, rig_read(&g.r, &y->value), BOXES * CHANNELS);
        compare_numbers(&g, "dmap", cut, rig_read(&g.r, &map->grad),
                        IMAGES * SIDE * SIDE * CHANNELS);
    }
    golden_close(&g);
}

/* ---- gradients ------------------------------------------------------------------ */

static const float some_boxes[][4] = {{0, 0, 1, 1},
                                      {0.1f, 0.2f, 0.55f, 0.9f},
                                      {0.5f, 0.5f, 0.5f, 0.5f},
                                      {0, 0.9f, 0.3f, 1},
                                      {0.1f, 0.2f, 0.55f, 0.9f}};
static const int32_t some_images[] = {0, 1, 1, 0, 0};

static fb_status build_roi(rig *r)
{
    fb_roi_align roi = {2, 3, 4, 5, &some_boxes[0][0], some_images};
    return fb_op_roi_align(&r->tape, &r->y, r->x[0], &roi);
}

/* Two readers of one map: their gradients add up. */
static fb_status build_twice(rig *r)
{
    fb_roi_align one = {2, 3, 4, 5, &some_boxes[0][0], some_images};
    fb_roi_align other = {2, 3, 1, 4, &some_boxes[1][0], some_images};
    static const int32_t all[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    fb_var *a, *b;
    FB_TRY(fb_op_roi_align(&r->tape, &a, r->x[0], &one));
    FB_TRY(fb_op_roi_align(&r->tape, &b, r->x[0], &other));
    return fb_op_gather(&r->tape, &r->y, a, b, all, 9);
}

static fb_status build_no_box(rig *r)
{
    fb_roi_align roi = {2, 3, 4, 0, NULL, NULL};
    return fb_op_roi_align(&r->tape, &r->y, r->x[0], &roi);
}

static void gradients_agree_with_differences(void **state)
{
    (void)state;
    check(&(graph){"RoI-align", {18, -1}, {4}, {0}, {0}, .build = build_roi});
    check(&(graph){"twice", {18, -1}, {4}, {0}, {0}, .build = build_twice});
    check(&(graph){"no box", {18, -1}, {4}, {0}, {0}, .build = build_no_box});
}

/* ---- by eye --------------------------------------------------------------------- */

/* With as many samples as places the whole image is the mean of its map, and a box of
 * one cell that cell at its middle. */
static void whole_is_the_mean_and_a_cell_is_itself(void **state)
{
    static const graph g = {.name = "by eye", .rows = {16, -1}, .columns = {1}};
    static const float boxes[][4] = {{0, 0, 1, 1}, {0.5f, 0.25f, 0.75f, 0.5f}};
    static const int32_t image[] = {0, 0};
    rig r;
    rig_open(&r, &g, *state);
    double mean = 0;
    for (int i = 0; i < 16; i++)
        mean += (double)r.input[0][i] / 16;
    for (int32_t samples = 1; samples <= 4; samples += 3) {
        fb_roi_align roi = {1, 4, samples, 2, &boxes[0][0], image};
        fb_var *y;
        rig_start(&r, false);
        rig_must(&r, fb_op_roi_align(&r.tape, &y, r.x[0], &roi));
        const float *got = rig_read(&r, &y->value);
        if (samples == 4)
            assert_true(fabs((double)got[0] - mean) < 1e-6);
        else
            assert_true(fabsf(got[1] - r.input[0][1 * 4 + 2]) < 1e-6f);
    }
    rig_close(&r);
}

/* ---- refusals ------------------------------------------------------------------- */

static void refuses_what_does_not_fit(void **state)
{
    static const graph g = {.name = "refusals", .rows = {18, -1}, .columns = {2}};
    static const float bad[][4] = {{0.6f, 0, 0.5f, 1}, {0, 0, 1, 1.1f}, {NAN, 0, 1, 1}};
    static const int32_t far[] = {2}, first[] = {0};
    const struct {
        fb_roi_align roi;
        const char *word;
    } cases[] = {{{2, 4, 2, 1, some_boxes[0], first}, "18 rows are not 2 maps"},
                 {{2, 3, 0, 1, some_boxes[0], first}, "0 samples"},
                 {{2, 3, 65, 1, some_boxes[0], first}, "65 samples"},
                 {{2, 0, 2, 1, some_boxes[0], first}, "0 places"},
                 {{2, 3, 2, 1, some_boxes[0], far}, "of image 2"},
                 {{2, 3, 2, 1, bad[0], first}, "box 0 (0.6"},
                 {{2, 3, 2, 1, bad[1], first}, "1.1"},
                 {{2, 3, 2, 1, bad[2], first}, "nan"}};
    rig r;
    rig_open(&r, &g, *state);
    rig_start(&r, true);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fb_var *y;
        assert_int_equal(fb_op_roi_align(&r.tape, &y, r.x[0], &cases[i].roi),
                         FB_E_SHAPE);
        if (!strstr(fb_context_message(r.ctx), cases[i].word))
            fail_msg("\"%s\" lacks %s", fb_context_message(r.ctx), cases[i].word);
        assert_null(r.tape.last);
        fb_context_clear(r.ctx);
    }
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_torchvision),
        cmocka_unit_test(whole_is_the_mean_and_a_cell_is_itself),
        cmocka_unit_test(refuses_what_does_not_fit),
    };
    const struct CMUnitTest differences[] = {
        cmocka_unit_test(gradients_agree_with_differences),
    };
    return RUN_ON_BOTH(tests) +
           cmocka_run_group_tests_name("differences", differences, NULL, NULL);
}

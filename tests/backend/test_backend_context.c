/* test_backend_context.c - a backend keeps no context: a kernel that fails speaks into
 * the one that its caller lends, long after the one that the backend was made with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"

/* A backend whose maker's context is gone. */
static fb_backend *orphan(const char *name)
{
    fb_context *maker = fb_context_create();
    fb_backend *be = NULL;
    assert_non_null(maker);
    assert_int_equal(fb_backend_create(maker, &be, name, "f32", 1), FB_OK);
    fb_context_free(maker);
    return be;
}

static void a_failing_kernel_speaks_into_the_context_of_its_call(void **state)
{
    static const char *const names[] = {"ref", "cpu"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        fb_backend *be = orphan(names[i]);
        fb_context *first = fb_context_create(), *second = fb_context_create();
        float numbers[4] = {0};
        int32_t index[2] = {0, 1};
        fb_tensor db = fb_tensor_2d(numbers, FB_F32, 2, 1),
                  dy = fb_tensor_2d(numbers + 2, FB_F32, 2, 1);
        /* The second gradient without the first, whose rows come before its own. */
        assert_int_equal(be->k->scatter_rows(second, be, NULL, &db, &dy, index, false),
                         FB_E_SHAPE);
        assert_non_null(strstr(fb_context_message(second), "scatter"));
        assert_string_equal(fb_context_message(first), "");
        assert_int_equal(be->k->scatter_rows(first, be, NULL, &db, &dy, index, false),
                         FB_E_SHAPE);
        assert_non_null(strstr(fb_context_message(first), "scatter"));
        fb_backend_free(be);
        fb_context_free(first);
        fb_context_free(second);
    }
}

static void so_does_the_library_below_it(void **state)
{
    (void)state;
    fb_backend *be = orphan("cpu");
    fb_context *ctx = fb_context_create();
    float numbers[4] = {0};
    fb_tensor a = fb_tensor_2d(numbers, FB_F32, -1, 2),
              y = fb_tensor_2d(numbers, FB_F32, -1, 2),
              b = fb_tensor_2d(numbers, FB_F32, 2, 2);
    assert_int_equal(be->k->matmul(ctx, be, &y, &a, false, &b, false), FB_E_BACKEND);
    assert_non_null(strstr(fb_context_message(ctx), "oneDNN"));
    fb_backend_free(be);
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failing_kernel_speaks_into_the_context_of_its_call),
        cmocka_unit_test(so_does_the_library_below_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

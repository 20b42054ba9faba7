/* both_backends.h - runs a program's tests on the reference backend and then on poison
 * (poison_backend.h): each test's *state is the backend's name.
 */
#ifndef FB_TESTS_BOTH_BACKENDS_H
#define FB_TESTS_BOTH_BACKENDS_H

#include "support/poison_backend.h"

static inline int on_ref(void **state)
{
    static char name[] = "ref";
    *state = name;
    return 0;
}

static inline int on_poison(void **state)
{
    static char name[] = "poison";
    *state = name;
    return 0;
}

#define RUN_ON_BOTH(tests)                                                             \
    (cmocka_run_group_tests_name("ref", tests, on_ref, NULL) +                         \
     cmocka_run_group_tests_name("poison", tests, on_poison, NULL))

#endif

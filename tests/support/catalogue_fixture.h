/* catalogue_fixture.h - temporary folders for catalogue tests. */
#ifndef FB_TESTS_CATALOGUE_FIXTURE_H
#define FB_TESTS_CATALOGUE_FIXTURE_H

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct fixture {
    char folder[64];
    fb_context *ctx;
} fixture;

static inline void fixture_write(const fixture *f, const char *name, const void *bytes,
                                 size_t size)
{
    char path[4096];
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, name), FB_OK);
    assert_int_equal(fb_file_write(f->ctx, path, bytes, size), FB_OK);
}

static inline void fixture_text(const fixture *f, const char *name, const char *text)
{
    fixture_write(f, name, text, strlen(text));
}

static inline int fixture_setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    strcpy(f->folder, "/tmp/fb_test_XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    f->ctx = fb_context_create();
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    fixture *f = *state;
    assert_int_equal(fb_folder_remove(f->ctx, f->folder), FB_OK);
    fb_context_free(f->ctx);
    free(f);
    return 0;
}

#define FIXTURE_TEST(test)                                                             \
    cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

#endif

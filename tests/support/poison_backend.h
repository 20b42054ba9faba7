/* poison_backend.h - a backend with a memory of its own, as a device has, to prove that
 * nobody above backend/ reaches into it.
 *
 * Every pointer that it hands out is shifted to an address that no processor maps: who
 * reads or writes there on the host crashes. Its kernels shift pointers back and are
 * ref's, so all results have ref's bits; a pointer of the host's that is handed to a
 * kernel ends the program with a sentence.
 */
#ifndef FB_TESTS_POISON_BACKEND_H
#define FB_TESTS_POISON_BACKEND_H

#include "backend/memory.h"

fb_status poison_backend_create(fb_context *ctx, fb_backend **be);

/* As fb_backend_create, which does not know "poison". */
fb_status test_backend_create(fb_context *ctx, fb_backend **be, const char *name,
                              const char *dtype, int32_t threads);

/* Allocations that are not freed yet. */
int64_t poison_backend_live(const fb_backend *be);

#endif

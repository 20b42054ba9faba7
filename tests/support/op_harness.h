/* op_harness.h - runs one kernel three times on the same numbers and compares.
 *
 *     side 0  the reference backend, in f32
 *     side 1  the backend under test, in its compute dtype
 *     side 2  the same again: must give the same bits as side 1
 *
 * Numbers that a kernel reads in the compute dtype are rounded to it before any side
 * sees them, so only the kernel's own error is measured. It is the largest |a - b| of a
 * tensor over the largest |a| (or least_scale, for tensors that should be 0). Outputs
 * begin as NaN and end in guard bytes. A failure prints the configuration and the seed.
 *
 * The backend under test is cpu, and poison (poison_backend.h), which computes by ref in
 * a memory of its own and must give its bits. Numbers of sides 1 and 2 lie in that
 * memory: tests read and write them by the functions below. Those of side 0 are the
 * host's.
 */
#ifndef FB_TESTS_OP_HARNESS_H
#define FB_TESTS_OP_HARNESS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "base/random.h"
#include "support/poison_backend.h"

enum { OP_SIDES = 3 };
#define FB_OP_FLOOR 1e-4

typedef struct op_world {
    fb_context *ctx;
    fb_backend *be[2]; /* reference, under test */
    fb_arena *arena;   /* of one case, on the host */
    fb_arena *values;  /* the same in the memory of the one under test */
    fb_random random;
    uint64_t seed;
    fb_dtype dtype; /* compute dtype of the one under test */
    double tolerance;
    int32_t vector_set; /* of cpu_vector_list; 0: the one that is used */
    bool exact;         /* to the reference's bits */
    bool brief;         /* another setting has the same kernels: no large cases */
    double least_scale; /* of errors in this case; op_begin makes it FB_OP_FLOOR */
    char what[128];     /* kernel and shape, for messages */
} op_world;

typedef struct op_numbers {
    fb_tensor t[OP_SIDES];
} op_numbers;

typedef struct op_weight {
    fb_weight w[OP_SIDES];
} op_weight;

/* Run `check` on the cpu backend in every dtype it has and on one and two threads, then
 * with each other set of vector kernels that this processor runs, then on poison. */
void op_for_each_world(void (*check)(op_world *w));
/* On so many threads only, in each dtype. */
void op_for_threads(int32_t threads, void (*check)(op_world *w));

static inline fb_backend *op_backend(const op_world *w, int side)
{
    return w->be[side > 0];
}

/* Begin a case: forget the last one's numbers; the text names it in messages. */
void op_begin(op_world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* lets the compiler check the arguments */

/* Normal numbers of spread `scale`. */
op_numbers op_input(op_world *w, fb_dtype dtype, int64_t rows, int64_t columns,
                    double scale);
op_numbers op_activation(op_world *w, int64_t rows, int64_t columns);
op_numbers op_parameter(op_world *w, int64_t rows,
                        int64_t columns); /* f32, unrounded */
/* The reference's numbers, rounded, given to all sides. */
op_numbers op_from_reference(op_world *w, fb_dtype dtype, const fb_tensor *numbers);
/* NaN everywhere. */
op_numbers op_output(op_world *w, fb_dtype dtype, int64_t rows, int64_t columns);

op_weight op_weight_make(op_world *w, int64_t out, int64_t in);
void op_weight_change(op_world *w, op_weight *weight); /* new numbers, next version */
void op_weight_free(op_world *w, op_weight *weight);

/* On the host. */
int32_t *op_indices(op_world *w, int64_t count, int32_t below);

/* Of a tensor of the host. */
float op_number(const fb_tensor *host, int64_t index);
float op_get(const op_world *w, const op_numbers *n, int side, int64_t index);
void op_put(op_world *w, op_numbers *n, int side, int64_t index, float value);
/* The same bits on this side? */
bool op_equal(op_world *w, int side, const op_numbers *a, const op_numbers *b);
/* Memory of a side, and bytes to, within and from it. op_upload may borrow `host`; NULL
 * stays NULL. */
void *op_bytes(op_world *w, int side, size_t bytes);
const void *op_upload(op_world *w, int side, const void *host, size_t bytes);
void op_copy(op_world *w, int side, void *to, const void *from, size_t bytes);
void op_read(const op_world *w, int side, void *host, const void *on, size_t bytes);
static inline const int32_t *op_upload_ints(op_world *w, int side, const int32_t *host,
                                            int64_t count)
{
    return op_upload(w, side, host, (size_t)count * sizeof *host);
}

#define op_call(w, call) op_check_status((w), (call), #call)
void op_check_status(const op_world *w, fb_status status, const char *call);

/* Side 1 against side 0 within w->tolerance times `factor`, side 2 against side 1 to
 * the bit, and the guards of all. */
void op_compare(const op_world *w, const char *name, const op_numbers *n,
                double factor);

#endif

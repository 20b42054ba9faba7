/* model_dump.h - a model, a batch and a file of what PyTorch computes from them
 * (tools/make_model_dump.py, tools/make_items_dump.py), and comparing the two.
 *
 * Tensors of the file: weight/NAME, PREFIX NAME of each parameter for gradients and
 * the like, batch/FIELD, and activations by name. Everything that does not hold fails
 * the test.
 */
#ifndef TESTS_SUPPORT_MODEL_DUMP_H
#define TESTS_SUPPORT_MODEL_DUMP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "models/fashionbert/fashionbert_model.h"
#include "nn/safetensors.h"

typedef struct model_dump {
    fb_context *ctx;
    fb_backend *be;
    fb_safetensors *file;
    fb_matcher *matcher;
    fb_batch *batch; /* NULL until the test creates it */
    fb_arena *arena;
} model_dump;

/* A model for training with the file's weights. */
void model_dump_open(model_dump *d, const char *path, const fb_model_config *config,
                     const char *backend, const char *dtype);
void model_dump_close(model_dump *d);

const fb_stored_tensor *model_dump_entry(const model_dump *d, const char *name);
void model_dump_ints(const model_dump *d, const char *name, int32_t *out);
/* The tensor PREFIX NAME, which must have `count` numbers. */
void model_dump_numbers(const model_dump *d, const char *prefix, const char *name,
                        float *out, int64_t count);
/* Texts, pixels and masked rows of d->batch, whose texts and images are counted; pairs
 * are the test's. */
void model_dump_fill(const model_dump *d);

/* |got - want| <= tolerance * (largest |want| + 1e-3), for every number. */
void model_dump_compare(const char *what, const float *got, const float *want,
                        int64_t count, double tolerance);
void model_dump_compare_tensor(const model_dump *d, const char *name,
                               const fb_tensor *tensor, double tolerance);
/* The tensor is rows [count] of the dump's. */
void model_dump_compare_rows(const model_dump *d, const char *name,
                             const fb_tensor *tensor, const int32_t *rows,
                             double tolerance);
/* A block of the parameter table's layout with the tensors PREFIX NAME. `without`
 * (NULL: none) is a part of the names to pass over. */
void model_dump_compare_block(const model_dump *d, const char *prefix,
                              const float *block, double tolerance,
                              const char *without);

#endif

/* param.h - the parameter table: one list of names, shapes, initialisation and decay
 * that drives allocation, optimiser, checkpoints and counts.
 *
 *     declare everything  ->  allocate  ->  initialise or load  ->  use the leaves
 *
 * All values lie in one f32 block, gradients and the two moments in blocks of the same
 * layout:
 *
 *     value     [parameters that are learnt | frozen ones]
 *     grad, moment1, moment2     [the same]  and nothing for frozen ones
 *
 * A parameter may carry several names of equal parts, one below the other
 * (query, key and value as one [3C, C] matrix): one product computes them, files see
 * three. A convolution's [O, I*k*k] is [O, I, k, k] in files.
 *
 * The table is made, initialised and loaded on the host. fb_params_move puts it into the
 * memory of the backend that will compute with it, which costs nothing where that is the
 * host's; then `value`, the moments and `buffer` are what fb_params_fetch brought back
 * last, and gradients are on the backend alone.
 *
 * Buffers (a norm's running mean) are saved and loaded like parameters, but have
 * neither gradient nor moments, lie in a block of their own and are no business of the
 * optimiser.
 */
#ifndef FB_NN_PARAM_H
#define FB_NN_PARAM_H

#include "ops/tape.h"

/* FB_INIT_VALUE: every number is init_std; FB_INIT_UNIFORM: drawn from -init_std up to
 * init_std. */
typedef enum fb_init {
    FB_INIT_ZERO,
    FB_INIT_ONE,
    FB_INIT_NORMAL,
    FB_INIT_VALUE,
    FB_INIT_UNIFORM
} fb_init;

enum { FB_PARAM_PARTS = 3, FB_PARAM_NAME = 112 };

typedef struct fb_param {
    fb_leaf leaf;
    int32_t parts;
    char name[FB_PARAM_PARTS][FB_PARAM_NAME]; /* of each part, as in files */
    int64_t rows, columns;                    /* of all parts; columns 1: a vector */
    int64_t offset;                           /* in the blocks, in numbers */
    fb_init init;
    float init_std;
    bool decay;     /* weight decay: matrices and embeddings, not biases and norms */
    bool shared;    /* in the trunk that all losses share */
    bool frozen;    /* never learnt: no gradient, no moments; set by fb_params_freeze */
    float lr_scale; /* of the learning rate; 1 unless set by fb_params_scale_lr */
    int32_t kernel; /* k of a convolution, 0: none; set by fb_params_set_kernel */
    int32_t groups; /* of a convolution */
    struct fb_param *next;
} fb_param;

typedef struct fb_buffer {
    char name[FB_PARAM_NAME]; /* as in files */
    int64_t count, offset;    /* in the block of buffers, in numbers */
    float initial;
    float **value; /* where the owner wants to know the numbers' place */
    struct fb_buffer *next;
} fb_buffer;

/* Blocks in a backend's memory. */
typedef struct fb_param_blocks {
    float *value, *grad, *moment1, *moment2, *buffer;
} fb_param_blocks;

typedef struct fb_params {
    fb_context *ctx; /* lent from create to allocate, while parameters are declared */
    fb_arena *arena;
    fb_param *first, *last;
    int32_t count;
    int64_t total;   /* numbers */
    int64_t trained; /* of those, before the frozen ones; set by fb_params_allocate */
    float *value, *grad, *moment1, *moment2;
    fb_buffer *first_buffer, *last_buffer;
    int32_t buffer_count;
    int64_t buffer_total; /* numbers */
    float *buffer;
    fb_param_blocks on; /* where kernels read and write: those above, until moved */
} fb_params;

/* ctx is lent until fb_params_allocate, which lets it go. */
fb_status fb_params_create(fb_context *ctx, fb_params **params);
/* Releases the caches on be too; be may be NULL when none was used. */
void fb_params_free(fb_params *params, fb_backend *be);

typedef struct fb_param_shape {
    int32_t parts;   /* equal ones, one below the other */
    int64_t rows;    /* of each part */
    int64_t columns; /* 1: a vector */
} fb_param_shape;

/* Declare one. names [parts].
 * *leaf is valid from now on, its value after allocate. */
fb_status fb_params_add(fb_params *params, fb_leaf **leaf, const char *const *names,
                        fb_param_shape shape, fb_init init, float init_std,
                        bool shared);

/* Declare a buffer [count], `initial` in every place. allocate writes the place of its
 * numbers to *value, which must stay where it is until then. */
fb_status fb_params_add_buffer(fb_params *params, float **value, const char *name,
                               int64_t count, float initial);

/* The host's numbers of a leaf of the table, to be written before fb_params_move; who
 * does raises its version. */
float *fb_params_value(const fb_params *params, const fb_leaf *leaf);

/* A name into out, cut at its end. */
void fb_param_name(char out[FB_PARAM_NAME], const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* lets the compiler check the arguments */

/* Learn the parameter of `leaf`, which fb_params_add gave, at a share of the rate. */
void fb_params_scale_lr(fb_leaf *leaf, float scale);

/* The matrix of `leaf` holds the weights of a convolution of k x k pixels: its columns
 * are input channels of a group * k * k. */
void fb_params_set_kernel(fb_leaf *leaf, int32_t k, int32_t groups);

/* Freeze every parameter whose name begins with `prefix`; before allocate. It is saved
 * and loaded like the others. */
void fb_params_freeze(fb_params *params, const char *prefix);

/* Blocks for values and buffers, and with `training` for gradients and moments (all
 * zero) of what is not frozen. */
fb_status fb_params_allocate(fb_params *params, bool training);

/* Initialise from (seed, FB_STREAM_INIT, place in the table); buffers to what they were
 * declared with. */
void fb_params_initialise(fb_params *params, uint64_t seed);

/* To the backend's memory; again, or where that is the host's: nothing is done. */
fb_status fb_params_move(fb_context *ctx, fb_params *params, fb_backend *be);
/* Values, moments and buffers as they stand, for who saves or looks at them. */
fb_status fb_params_fetch(fb_context *ctx, fb_params *params, fb_backend *be);

/* Let gradients go to another block of the same layout, params->trained numbers (back:
 * params->on.grad). */
void fb_params_redirect(fb_params *params, float *gradients);

/* Between backward and the optimizer, for data-parallel training: gradients become their
 * sum over the processes of comm, buffers (running statistics) their mean, so that every
 * process goes on with the same numbers. Alone nothing happens. FB_E_BACKEND,
 * FB_E_MEMORY: both are undefined. */
fb_status fb_params_exchange(fb_context *ctx, fb_params *params, fb_backend *be,
                             const fb_comm *comm);

/* After the values changed: every backend cache is out of date. */
void fb_params_touch(fb_params *params);

/* The name of the first parameter or buffer (or, with `gradients`, gradient) on the host
 * that is not finite, or NULL. */
const char *fb_params_find_nonfinite(const fb_params *params, bool gradients);

#endif

/* tape.h - the record of a forward pass, played backwards for gradients.
 *
 *     x --[op]--> y --[op]--> ... --[loss]
 *
 * An op checks shapes, calls the backend, and (when the tape records) appends a node
 * that knows its backward. A variable is a value and, after backward reached it, a
 * gradient of the same shape and dtype.
 *
 * Nodes and variables are the host's and lie in the step arena. Values, statistics and
 * losses lie in the backend's memory: in the same arena where that is the host's, else
 * in its companion, which is made at the first begin and reset with it. Gradients too,
 * from a pool, so that one given back (its node is done) serves the next of its size.
 * Arrays of the host (ids, offsets, pixels, masks) reach kernels by fb_tape_upload_*,
 * numbers come back by fb_tape_read, all of a step's in one fb_tape_fetch.
 *
 * A leaf is a parameter: value f32, gradient f32 that accumulates over backward calls.
 *
 * Backward runs over a stretch of nodes, last to first: from the end down to a mark.
 * Losses start it: each has a seed, d total / d loss. Nodes whose output got no
 * gradient are passed over. With `parameters` false only activations get gradients.
 */
#ifndef FB_OPS_TAPE_H
#define FB_OPS_TAPE_H

#include "ops/rank_exchange.h"

/* A parameter that ops may use: a matrix [out, in] or, with in == 1, a vector [out]. */
typedef struct fb_leaf {
    const char *name;
    fb_weight weight; /* weight.data is the value */
    float *grad;      /* same count; NULL: frozen */
    /* [out] of a layer whose products are of int8 numbers where nothing is recorded
     * (backend/int8.h), in the backend's memory, borrowed; NULL: they are not. Who sets
     * it raises the weight's version. */
    const float *int8_scale;
    bool multiplied; /* a linear layer or a convolution has read it */
} fb_leaf;

typedef struct fb_var {
    fb_tensor value;
    fb_tensor grad; /* data NULL until backward wrote it */
    bool needs_grad;
} fb_var;

/* Time spent in each class of op ("linear", "attention", ...), forward and backward. */
enum { FB_PROFILE_OPS = 40 };
typedef struct fb_profile {
    int32_t count;
    struct {
        const char *name;
        double seconds;
    } op[FB_PROFILE_OPS];
} fb_profile;

typedef struct fb_tape fb_tape;
typedef struct fb_node fb_node;

/* One recorded op. Each op's own node struct begins with it. */
struct fb_node {
    fb_node *before;
    const char *op;    /* class of op */
    const char *label; /* the leaf it used, or "" : for messages */
    fb_var *out;       /* NULL for losses */
    fb_status (*backward)(fb_tape *tape, fb_node *node);
};

typedef struct fb_free_buffer {
    void *data;
    size_t bytes;
} fb_free_buffer;

enum { FB_TAPE_POOL = 64, FB_TAPE_UPLOADS = 32 };

/* A loss: the mean over its rows; 0 rows give 0. `seed` is read by backward. */
typedef struct fb_loss {
    double value; /* NAN until fb_tape_fetch, but where the memory is the host's */
    float seed;
    int64_t rows;
    fb_node *node;     /* where its backward starts; NULL when nothing was recorded */
    const float *each; /* [count] single losses, once they are fetched */
    int64_t count;
    void (*settle)(struct fb_loss *loss); /* value from `each` */
    struct fb_loss *next;
} fb_loss;

/* A host array that is in the backend's memory already. */
typedef struct fb_uploaded {
    const void *host;
    void *on;
    size_t bytes;
} fb_uploaded;

struct fb_tape {
    fb_context *ctx;
    fb_backend *be;
    const fb_comm *comm; /* of the run; alone unless set */
    fb_arena *arena;     /* of the host */
    fb_arena *values;    /* of the backend's memory; may be the same */
    bool recording;      /* keep nodes and what backward needs */
    bool parameters;     /* this backward writes parameter gradients */
    float dropout;       /* probability; 0 unless training */
    uint64_t dropout_key, dropout_count;
    fb_node *last;
    fb_profile *profile; /* may be NULL */
    int32_t pool_count;
    fb_free_buffer pool[FB_TAPE_POOL];
    int32_t upload_count;
    fb_uploaded upload[FB_TAPE_UPLOADS];
    fb_loss *unsettled; /* losses whose numbers have not been fetched */
};

/* Start an empty tape on a backend and an arena (borrowed; the caller resets the
 * arena). A tape is all zero before its first begin; its profile stays. */
void fb_tape_begin(fb_tape *tape, fb_context *ctx, fb_backend *be, fb_arena *arena,
                   bool recording);
/* The processes that a batch is spread over. */
void fb_tape_set_comm(fb_tape *tape, const fb_comm *comm);
/* Dropout for this step; key from (seed, FB_STREAM_DROPOUT, step). */
void fb_tape_set_dropout(fb_tape *tape, float p, uint64_t key);
fb_dropout fb_tape_next_dropout(fb_tape *tape);

/* Backward over the nodes behind `mark` (NULL: all) up to `from` (NULL: the last). */
fb_status fb_tape_backward(fb_tape *tape, fb_node *from, fb_node *mark,
                           bool parameters);

/* The first value on the tape that holds a NaN or infinity: its name into out, or "".
 */
fb_status fb_tape_find_nonfinite(fb_tape *tape, char *out, size_t out_bytes);

/* ---- numbers from and to the host ---------------------------------------------------
 */

/* *on: the host's numbers where kernels read them; borrowed or copied, and the same copy
 * for every call of a step with the same array. NULL stays NULL. */
fb_status fb_tape_upload_i32(fb_tape *tape, const int32_t **on, const int32_t *host,
                             int64_t count);
fb_status fb_tape_upload_f32(fb_tape *tape, const float **on, const float *host,
                             int64_t count);
fb_status fb_tape_upload_u8(fb_tape *tape, const uint8_t **on, const uint8_t *host,
                            int64_t count);
/* A tensor of the host as one of the backend's. */
fb_status fb_tape_upload(fb_tape *tape, fb_tensor *on, const fb_tensor *host);

/* Ask for numbers of the backend's memory: *host holds them after the next fetch. */
fb_status fb_tape_read(fb_tape *tape, const void **host, const fb_tensor *t);
fb_status fb_tape_read_f32(fb_tape *tape, const float **host, const float *on,
                           int64_t count);
/* Wait for all that was asked for, and set the losses' values. */
fb_status fb_tape_fetch(fb_tape *tape);

/* A place to come back to: all memory that was taken after `mark` is given back, and what
 * was uploaded is forgotten. */
typedef struct fb_tape_mark {
    fb_arena_mark host, values;
} fb_tape_mark;
fb_tape_mark fb_tape_save(const fb_tape *tape);
void fb_tape_restore(fb_tape *tape, fb_tape_mark mark);

/* ---- for ops ------------------------------------------------------------------------
 */

/* A variable [rows, columns] of the compute dtype (or f32). FB_E_MEMORY. */
fb_status fb_tape_new_var(fb_tape *tape, fb_var **var, fb_dtype dtype, int64_t rows,
                          int64_t columns);
/* Memory of the host, until the step's end. */
fb_status fb_tape_alloc(fb_tape *tape, void **memory, size_t bytes);
/* The same of the backend. */
fb_status fb_tape_values(fb_tape *tape, void **memory, size_t bytes);
fb_status fb_tape_floats(fb_tape *tape, float **floats, int64_t count);
/* A loss of `count` single ones that lie at `each` in the backend's memory. */
fb_status fb_tape_new_loss(fb_tape *tape, fb_loss **loss, const float *each,
                           int64_t count, void (*settle)(fb_loss *loss));
/* Room for `count` indices, which may be 0. */
fb_status fb_tape_ints(fb_tape *tape, int32_t **ints, int64_t count);

/* Append a node of `bytes` (cleared) when recording; else *node is NULL. */
fb_status fb_tape_append(fb_tape *tape, fb_node **node, size_t bytes, const char *op,
                         const char *label, fb_var *out,
                         fb_status (*backward)(fb_tape *, fb_node *));

/* Where an op's backward writes the gradient of its input x: x's own gradient when it
 * is the first to write (*fresh true), else a temporary that fb_tape_grad_done adds to
 * it. */
fb_status fb_tape_grad_begin(fb_tape *tape, fb_var *x, fb_tensor *target, bool *fresh);
/* The same for a loss, which gives logits (f32) a gradient of the compute dtype. */
fb_status fb_tape_grad_begin_as(fb_tape *tape, fb_var *x, fb_dtype dtype,
                                fb_tensor *target, bool *fresh);
fb_status fb_tape_grad_done(fb_tape *tape, fb_var *x, const fb_tensor *target);
/* Seconds for the profile: read the clock before, charge the class of op after; both
 * cost nothing without a profile. */
double fb_tape_clock(const fb_tape *tape);
void fb_tape_charge(fb_tape *tape, const char *op, double started_s);
/* Give a variable's gradient buffer back to the pool. */
void fb_tape_grad_release(fb_tape *tape, fb_var *x);

#endif

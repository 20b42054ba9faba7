/* loader.h - training batches, made ahead on their own threads, handed out in step
 * order.
 *
 *     slots  [s % depth]   step s is made while the steps before it are used
 *
 * Each thread makes whole batches; what a step holds depends on (seed, step) alone
 * (sampler.h), never on the number of threads or on where a run started.
 */
#ifndef FB_DATA_BATCH_LOADER_H
#define FB_DATA_BATCH_LOADER_H

#include "data/batch/sampler.h"

typedef struct fb_loader_options {
    fb_sampler_options sampler;
    int32_t max_text;    /* tokens of a title with [CLS] and [SEP] */
    int64_t first_step;  /* a resumed run starts here */
    int64_t total_steps; /* the last step is total_steps - 1 */
    int32_t threads;     /* 0: two */
    int32_t depth;       /* batches kept, the one in use among them; 0: threads + 2 */
} fb_loader_options;

/* The train split, 32 pairs, 256 pixels, 64 patches, padded, bilinear, 64 tokens. */
void fb_loader_options_defaults(fb_loader_options *options);

typedef struct fb_loader fb_loader;

/* Encodes all titles of the split, then starts the threads. Catalogue and vocab are
 * borrowed, the vocabulary only for the call. */
fb_status fb_loader_create(fb_context *ctx, fb_loader **loader,
                           const fb_catalogue *catalogue, const fb_vocab *vocab,
                           const fb_loader_options *options);
/* The same over a sampler of the caller's, borrowed; options->sampler and ->max_text
 * are not looked at. */
fb_status fb_loader_create_on(fb_context *ctx, fb_loader **loader,
                              const fb_sampler *sampler,
                              const fb_loader_options *options);
/* At any time; joins the threads after the image each is at. */
void fb_loader_free(fb_loader *loader);

/* Items of the split, and matched pairs (items) a step. */
int32_t fb_loader_items(const fb_loader *loader);
int32_t fb_loader_items_per_step(const fb_loader *loader);

/* The next step's batch, borrowed until the next call. wait_seconds: how long the
 * caller stood still for it; may be NULL.
 * FB_E_STATE   all steps have been handed out
 * else         what went wrong in making this step, now and at each further call */
fb_status fb_loader_next(fb_context *ctx, fb_loader *loader, const fb_batch **batch,
                         double *wait_seconds);

#endif

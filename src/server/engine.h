/* engine.h - a model and an index that serve together, and their exchange for new ones
 * while requests are on their way.
 *
 *     slot -> engine 7  <- held by each request that was read with it
 *     SIGHUP: engine 8 is opened beside it, put into the slot; 7 goes when its last
 *     holder lets go
 */
#ifndef FB_SERVER_ENGINE_H
#define FB_SERVER_ENGINE_H

#include "fashionbert.h"
#include <pthread.h>

typedef struct fb_engine {
    fb_model **models;  /* [model_count], one a worker */
    fb_model **rankers; /* the same; NULLs without a ranker */
    int32_t model_count;
    fb_index *index; /* NULL: none was asked for */
    char *about;     /* the answer of GET /v1/index; NULL without an index */
    size_t about_bytes;
    int32_t holders; /* under the slot's lock */
    double token_s;  /* seconds that a token took when the first model warmed up */
} fb_engine;

typedef struct fb_engine_slot {
    pthread_mutex_t lock;
    fb_engine *engine;
} fb_engine_slot;

/* options name the model and the index. */
fb_status fb_engine_open(fb_context *ctx, fb_engine **engine,
                         const fb_serve_options *options);

fb_status fb_engine_slot_open(fb_context *ctx, fb_engine_slot *slot);
void fb_engine_slot_close(fb_engine_slot *slot); /* lets go of its engine */
/* Put in another one, or the first; the slot takes it over. */
void fb_engine_slot_set(fb_engine_slot *slot, fb_engine *engine);
fb_engine *fb_engine_hold(fb_engine_slot *slot);
void fb_engine_hold_again(fb_engine_slot *slot, fb_engine *engine); /* one held */
void fb_engine_let_go(fb_engine_slot *slot, fb_engine *engine);     /* takes NULL */

#endif

/* served.h - a model and an index that serve together, and their exchange for new ones
 * while requests are on their way.
 *
 *     slot -> number 7  <- held by each request that was read with it
 *     SIGHUP: number 8 is opened beside it, put into the slot; 7 goes when its last
 *     holder lets go
 */
#ifndef FB_SERVER_SERVED_H
#define FB_SERVER_SERVED_H

#include "fashionbert.h"
#include <pthread.h>

typedef struct fb_served {
    fb_model **models;  /* [model_count], one a worker */
    fb_model **rankers; /* the same; NULLs without a ranker */
    int32_t model_count;
    fb_index *index; /* NULL: none was asked for */
    char *about;     /* the answer of GET /v1/index; NULL without an index */
    size_t about_bytes;
    int32_t holders; /* under the slot's lock */
    /* Seconds that a token took of a large pass, and one pair by itself, when the first
     * model warmed up. */
    double token_s, quick_s;
} fb_served;

typedef struct fb_served_slot {
    pthread_mutex_t lock;
    fb_served *served;
} fb_served_slot;

/* options name the model and the index. */
fb_status fb_served_open(fb_context *ctx, fb_served **served,
                         const fb_serve_options *options);
void fb_served_close(fb_served *served); /* that no slot ever had; takes NULL */

fb_status fb_served_slot_open(fb_context *ctx, fb_served_slot *slot);
void fb_served_slot_close(fb_served_slot *slot); /* lets go of what it holds */
/* Put in another one, or the first; the slot takes it over. */
void fb_served_slot_set(fb_served_slot *slot, fb_served *served);
fb_served *fb_served_hold(fb_served_slot *slot);
void fb_served_hold_again(fb_served_slot *slot, fb_served *served); /* one held */
void fb_served_let_go(fb_served_slot *slot, fb_served *served);     /* takes NULL */

#endif

/* job.h - what a request asks for, read and ready to compute.
 *
 *     search, rerank, explain   inputs[0] is the query
 *     match                     inputs [images, texts], an image with each text; with
 *                               queries [products, queries]; scores the other way round
 *     encode                    inputs [vectors]
 *
 * What takes long is done in slices of its inputs, or of the products that it re-ranks;
 * `done` of them are done.
 *
 * Everything lies in its arena; images are pixels once they are decoded
 * (fb_model_read_image), but for the one of explain, whose own sides count too.
 */
#ifndef FB_SERVER_JOB_H
#define FB_SERVER_JOB_H

#include "base/arena.h"
#include "server/routes.h"
#include "server/served.h"

struct fb_server;

typedef struct fb_job {
    fb_work work;
    fb_arena *arena;
    fb_served *served; /* held */
    fb_form form;      /* its strings are borrowed below */
    size_t held_bytes; /* of all of it, counted by the server */
    bool small;        /* takes FB_SMALL, about */

    fb_input *inputs;
    int64_t input_count;
    fb_image_input *images;
    const fb_blob **blobs; /* [image_count] what images are decoded from */
    int32_t text_count, image_count, decoded;
    uint8_t *kept; /* the bytes of explain's image */
    size_t kept_bytes;
    const char **queries; /* [input_count] of match with a model of queries; or NULL */
    int32_t row_count;    /* of match's scores */
    double text_weight;
    fb_search_options how;

    /* What it costs, about, in tokens and patches: in one go, and in slices; and what of
     * the two the server still counts as waiting. */
    int64_t quick_tokens, dear_tokens, quick_waiting, dear_waiting;
    double tokenise_s, decode_s;

    bool begun;            /* its computing */
    int64_t done, slice;   /* inputs; slice: of the pass that runs */
    double input_s;        /* seconds that an input took lately; 0: not known */
    float *numbers;        /* scores [input_count] or vectors [input_count, D] */
    fb_reranking *ranking; /* of search and rerank, once begun */
    double encode_s, search_s, compute_s;
    fb_search_result *found; /* rerank, explain: the products asked for */
    fb_explanation *why;
} fb_job;

/* Read x's body for its route, but for its images, of which only the sizes are looked
 * at. On failure x is answered and there is no job. */
fb_job *fb_job_read(struct fb_server *server, fb_exchange *x);
/* Decode one more of its images; x->body is still there. On failure x is answered; the
 * job is still the caller's. */
static inline bool fb_job_is_decoded(const fb_job *job)
{
    return job->decoded == job->image_count;
}
bool fb_job_decode_one(struct fb_server *server, fb_exchange *x, fb_job *job);
void fb_job_free(struct fb_server *server, fb_job *job); /* takes NULL */

#endif

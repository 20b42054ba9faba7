/* job.h - what a request asks for, read and ready to compute.
 *
 *     search, rerank, explain   inputs[0] is the query
 *     match                     inputs [texts * images], a row a text; with queries
 *                               inputs [queries * products], a row a query
 *     encode                    inputs [vectors]
 *
 * Everything lies in its arena; images are pixels already (fb_model_read_image), but
 * for the one of explain, whose own sides count too.
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
    fb_form form;      /* its strings are borrowed below; its images are gone */
    size_t held_bytes; /* of pixels, counted by the server */

    fb_input *inputs;
    int64_t input_count;
    fb_image_input *images;
    int32_t text_count, image_count;
    const char **queries; /* [input_count] of match with a model of queries; or NULL */
    int32_t row_count;    /* of match's scores */
    double text_weight;
    fb_search_options how;

    int64_t tokens; /* that it costs, about */
    double tokenise_s, decode_s;

    float *numbers; /* scores [input_count] or vectors [input_count, D] */
    double encode_s, search_s, compute_s;
    fb_search_result *found; /* rerank, explain: the products asked for */
    fb_explanation *why;
} fb_job;

/* Read x's body for its route. On failure x is answered and there is no job. */
fb_job *fb_job_read(struct fb_server *server, fb_exchange *x);
void fb_job_free(struct fb_server *server, fb_job *job); /* takes NULL */

#endif

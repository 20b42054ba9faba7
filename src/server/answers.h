/* answers.h - routes that are answered at once, on the transport's thread; and the
 * parts of answers that several routes have.
 */
#ifndef FB_SERVER_ANSWERS_H
#define FB_SERVER_ANSWERS_H

#include "fashionbert.h"
#include "server/exchange.h"

struct fb_server;

void fb_answer_product(struct fb_server *server, fb_exchange *x);
void fb_answer_product_image(struct fb_server *server, fb_exchange *x);
void fb_answer_index(struct fb_server *server, fb_exchange *x);
void fb_answer_health(struct fb_server *server, fb_exchange *x);
void fb_answer_ready(struct fb_server *server, fb_exchange *x);
void fb_answer_metrics(struct fb_server *server, fb_exchange *x);
void fb_answer_openapi(struct fb_server *server, fb_exchange *x);
void fb_answer_page(struct fb_server *server, fb_exchange *x);

/* The answer of GET /v1/index: *text is malloc'ed. model: the folder's path. */
fb_status fb_index_about(fb_context *ctx, const fb_index *index, const char *model,
                         char **text, size_t *bytes);

void fb_write_attributes(fb_json_writer *w, const fb_hit *hit);

#endif

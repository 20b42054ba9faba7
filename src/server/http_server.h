/* http_server.h - the transport: HTTP/1.1 through libmicrohttpd, on one thread of its
 * own. A build without the library has http_server_missing.c in its place.
 */
#ifndef FB_SERVER_HTTP_SERVER_H
#define FB_SERVER_HTTP_SERVER_H

#include "server/server.h"

/* Listen and serve; server->http is set, before any request can come. FB_E_STATE: built
 * without the library; FB_E_IO: the address cannot be had. */
fb_status fb_http_start(fb_context *ctx, fb_server *server);
int32_t fb_http_port(const fb_http *http); /* the real one where 0 was asked for */

/* From any thread: x, which the transport handed to the queues, has its answer. */
void fb_http_resume(fb_http *http, fb_exchange *x);

/* End connections that take too long to send a request or to take an answer. */
void fb_http_close_slow(fb_http *http);

/* Answer 503 to each request that still waits for its answer, in the stead of the thread
 * that has it, which is left behind; its exchange is never freed. */
void fb_http_give_up(fb_http *http);

/* Take no new connections. */
void fb_http_quiesce(fb_http *http);
/* Requests begun and not yet answered to the last byte. */
int64_t fb_http_busy(const fb_http *http);
/* All connections are closed; none may wait for an answer. Takes NULL. */
void fb_http_stop(fb_http *http);

#endif

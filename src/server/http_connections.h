/* http_connections.h - the open connections: what each is at and since when, who is too
 * slow, and who makes room when there are too many.
 *
 *     IDLE -> RECEIVING (its first byte) -> BUSY (complete) -> SENDING -> IDLE
 *
 * When all places are taken, or all of one address, the one that has kept its place
 * longest without a whole request is closed for the new one: half a request line may be
 * sent a thousand times, and locks nobody out. Where every one is being computed or
 * answered, the new one has a spare place, in which /health is answered and nothing else.
 *
 * Any thread may call any of these.
 */
#ifndef FB_SERVER_HTTP_CONNECTIONS_H
#define FB_SERVER_HTTP_CONNECTIONS_H

#include "server/exchange.h"
#include "server/metrics.h"
#include <sys/socket.h>

typedef enum fb_phase {
    FB_PHASE_IDLE,
    FB_PHASE_RECEIVING,
    FB_PHASE_BUSY,
    FB_PHASE_SENDING,
    FB_PHASE_CLOSING
} fb_phase;

enum { FB_SPARE_CONNECTIONS = 64 }; /* beyond the limit */

typedef struct fb_connection {
    struct fb_connection *next, **link;
    int fd;
    fb_phase phase;
    double since_s;
    uint64_t received; /* bytes, when its last request had ended */
    uint8_t address[16];
    bool kept;  /* it has had an answer */
    bool spare; /* a place beyond the limit: read by the transport's thread */
    fb_exchange *exchange;
} fb_connection;

typedef struct fb_connection_limits {
    int32_t all, of_address;  /* connections */
    double receive_s, send_s; /* from the first byte of a request, or of an answer */
} fb_connection_limits;

typedef struct fb_connections fb_connections;

/* metrics is borrowed. FB_E_MEMORY */
fb_status fb_connections_create(fb_context *ctx, fb_connections **connections,
                                const fb_connection_limits *limits,
                                fb_metrics *metrics);
void fb_connections_free(fb_connections *connections); /* takes NULL */

/* A new one, from `address` (NULL: not known); it may cost another one its place. NULL
 * when memory is out. */
fb_connection *fb_connections_add(fb_connections *connections, int fd,
                                  const struct sockaddr *address);
/* While its descriptor is still open. Takes a NULL connection. */
void fb_connections_remove(fb_connections *connections, fb_connection *connection);

/* exchange: what it is at from now on, NULL: none. */
void fb_connections_note(fb_connections *connections, fb_connection *connection,
                         fb_phase phase, fb_exchange *exchange);

/* End those that take too long to send a request (told 408) or to take an answer. */
void fb_connections_close_slow(fb_connections *connections);

/* Call act for the exchange of each that waits for its answer. */
void fb_connections_each_busy(fb_connections *connections,
                              void (*act)(void *self, fb_exchange *x), void *self);

/* Whether the client has hung up. */
bool fb_connection_is_gone(int fd);

#endif

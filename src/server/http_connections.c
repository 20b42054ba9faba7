/* http_connections.c - see http_connections.h. The first byte of a request is seen by the
 * kernel's count (TCP_INFO): the transport tells of a request once its first line is
 * whole. */
#include "server/http_connections.h"

#include "base/clock.h"
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_S  75 /* between two requests */
#define SPARE_S 2  /* to ask in a spare place */
#define FRESH_S 1  /* has just come, begun to send, or been answered */
#define TAKEN_S 3  /* where places are short, an answer should be taken within */

struct fb_connections {
    pthread_mutex_t lock;
    fb_connection *first;
    fb_connection_limits limits;
    fb_metrics *metrics;
};

fb_status fb_connections_create(fb_context *ctx, fb_connections **connections,
                                const fb_connection_limits *limits, fb_metrics *metrics)
{
    fb_connections *c = calloc(1, sizeof *c);
    if (!c || pthread_mutex_init(&c->lock, NULL) != 0) {
        free(c);
        return fb_fail(ctx, FB_E_MEMORY, "no memory for connections");
    }
    c->limits = *limits;
    c->metrics = metrics;
    *connections = c;
    return FB_OK;
}

void fb_connections_free(fb_connections *connections)
{
    if (!connections)
        return;
    pthread_mutex_destroy(&connections->lock);
    free(connections);
}

/* As IPv6; all zero where it is not known. */
static void set_address(fb_connection *c, const struct sockaddr *address)
{
    if (address && address->sa_family == AF_INET6) {
        memcpy(c->address,
               &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
    } else if (address && address->sa_family == AF_INET) {
        memset(c->address + 10, 0xff, 2);
        memcpy(c->address + 12,
               &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
    }
}

static uint64_t received_bytes(int fd)
{
    struct tcp_info info = {0};
    socklen_t bytes = sizeof info;
    size_t wanted = offsetof(struct tcp_info, tcpi_bytes_received) +
                    sizeof info.tcpi_bytes_received;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) != 0 || bytes < wanted)
        return 0;
    return info.tcpi_bytes_received;
}

bool fb_connection_is_gone(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 ||
           (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

/* ---- room ------------------------------------------------------------------------ */

static bool is_same(const fb_connection *a, const fb_connection *b)
{
    return memcmp(a->address, b->address, sizeof a->address) == 0;
}

/* Who gives up a place first; 0: nobody does who is computed, or was answered just now.
 * Silence costs the place first, then having just come, then sending and taking. */
static int readiness(const fb_connection *c, double now)
{
    double age = now - c->since_s;
    switch (c->phase) {
    case FB_PHASE_IDLE:
        return age > FRESH_S ? 3 : c->kept ? 0 : 2;
    case FB_PHASE_RECEIVING:
        return age > FRESH_S ? (c->exchange ? 2 : 3) : c->exchange ? 1 : 2;
    case FB_PHASE_SENDING:
        return age > TAKEN_S ? 1 : 0;
    default:
        return 0;
    }
}

/* The one that gives up its place for `fresh`; NULL: none does. */
static fb_connection *find_victim(const fb_connections *s, const fb_connection *fresh,
                                  bool of_address, double now)
{
    fb_connection *victim = NULL;
    int best = 0;
    for (fb_connection *c = s->first; c; c = c->next) {
        int its =
            c == fresh || (of_address && !is_same(c, fresh)) ? 0 : readiness(c, now);
        if (its > best ||
            (its == best && its > 0 && victim && c->since_s < victim->since_s)) {
            victim = c;
            best = its;
        }
    }
    return victim;
}

static void make_room(fb_connections *s, fb_connection *fresh, double now)
{
    int32_t all = 0, same = 0;
    for (const fb_connection *c = s->first; c; c = c->next) {
        all += c->phase != FB_PHASE_CLOSING;
        same += c->phase != FB_PHASE_CLOSING && is_same(c, fresh);
    }
    bool of_address = same > s->limits.of_address;
    if (!of_address && all <= s->limits.all)
        return;
    fb_connection *victim = find_victim(s, fresh, of_address, now);
    if (!victim) {
        fresh->spare = true;
        return;
    }
    victim->phase = FB_PHASE_CLOSING;
    fb_metrics_count(s->metrics, FB_COUNTER_CROWDED_OUT);
    shutdown(victim->fd, SHUT_RDWR);
}

fb_connection *fb_connections_add(fb_connections *connections, int fd,
                                  const struct sockaddr *address)
{
    fb_connections *s = connections;
    fb_connection *own = calloc(1, sizeof *own);
    if (!own)
        return NULL;
    own->fd = fd;
    own->since_s = fb_clock_s();
    set_address(own, address);
    pthread_mutex_lock(&s->lock);
    own->next = s->first;
    own->link = &s->first;
    if (own->next)
        own->next->link = &own->next;
    s->first = own;
    make_room(s, own, own->since_s);
    pthread_mutex_unlock(&s->lock);
    fb_metrics_move(s->metrics, FB_GAUGE_CONNECTIONS, 1);
    return own;
}

void fb_connections_remove(fb_connections *connections, fb_connection *connection)
{
    fb_connections *s = connections;
    fb_connection *own = connection;
    if (!own)
        return;
    pthread_mutex_lock(&s->lock);
    *own->link = own->next;
    if (own->next)
        own->next->link = own->link;
    pthread_mutex_unlock(&s->lock);
    fb_metrics_move(s->metrics, FB_GAUGE_CONNECTIONS, -1);
    free(own);
}

void fb_connections_note(fb_connections *connections, fb_connection *connection,
                         fb_phase phase, fb_exchange *exchange)
{
    fb_connections *s = connections;
    fb_connection *own = connection;
    if (!own)
        return;
    pthread_mutex_lock(&s->lock);
    bool begun = own->phase == FB_PHASE_RECEIVING && phase == FB_PHASE_RECEIVING;
    if (!begun) /* the first byte was seen already */
        own->since_s = fb_clock_s();
    if (own->phase != FB_PHASE_CLOSING)
        own->phase = phase;
    own->exchange = exchange;
    if (phase == FB_PHASE_IDLE) {
        own->kept = true;
        own->received = received_bytes(own->fd);
    }
    pthread_mutex_unlock(&s->lock);
}

void fb_connections_each_busy(fb_connections *connections,
                              void (*act)(void *self, fb_exchange *x), void *self)
{
    pthread_mutex_lock(&connections->lock);
    for (fb_connection *c = connections->first; c; c = c->next)
        if (c->exchange && c->phase == FB_PHASE_BUSY)
            act(self, c->exchange);
    pthread_mutex_unlock(&connections->lock);
}

/* ---- slow ------------------------------------------------------------------------ */

/* Sent past the transport, which answers no request that is still arriving. */
static const char late[] =
    "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\n"
    "Connection: close\r\nContent-Length: 107\r\n\r\n"
    "{\"error\": {\"code\": \"request_timeout\", \"message\": \"the request took too "
    "long "
    "to arrive\", \"request_id\": \"\"}}\n";

static double most_seconds(const fb_connections *s, const fb_connection *c)
{
    bool before = c->phase == FB_PHASE_IDLE || c->phase == FB_PHASE_RECEIVING;
    if (c->spare && before)
        return SPARE_S < s->limits.receive_s ? SPARE_S : s->limits.receive_s;
    if (c->phase == FB_PHASE_RECEIVING || (c->phase == FB_PHASE_IDLE && !c->kept))
        return s->limits.receive_s;
    return c->phase == FB_PHASE_SENDING ? s->limits.send_s : IDLE_S;
}

static void close_if_slow(fb_connections *s, fb_connection *c, double now)
{
    if (c->phase == FB_PHASE_BUSY || c->phase == FB_PHASE_CLOSING)
        return;
    if (c->phase == FB_PHASE_IDLE && received_bytes(c->fd) > c->received) {
        c->phase = FB_PHASE_RECEIVING;
        c->since_s = now;
    }
    if (now - c->since_s <= most_seconds(s, c))
        return;
    if (c->phase == FB_PHASE_RECEIVING)
        (void)!send(c->fd, late, sizeof late - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (c->phase != FB_PHASE_IDLE)
        fb_metrics_count(s->metrics, FB_COUNTER_TIMED_OUT);
    c->phase = FB_PHASE_CLOSING;
    shutdown(c->fd, SHUT_RDWR);
}

void fb_connections_close_slow(fb_connections *connections)
{
    double now = fb_clock_s();
    pthread_mutex_lock(&connections->lock);
    for (fb_connection *c = connections->first; c; c = c->next)
        close_if_slow(connections, c, now);
    pthread_mutex_unlock(&connections->lock);
}

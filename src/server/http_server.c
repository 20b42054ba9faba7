/* http_server.c - see http_server.h. libmicrohttpd calls, for each request, in this
 * order and all on its one thread:
 *
 *     begin_target   the first line is there            -> the exchange
 *     handle         the headers are there              -> route, key, sizes
 *     handle         a piece of the body, again and again
 *     handle         the body is complete               -> answered, or suspended
 *     handle         resumed by a worker                -> the answer is sent
 *     end_exchange   sent to the last byte, or broken off
 *
 * A request that is refused has its body read and dropped first, up to a limit, so that
 * a client that sends before it reads still gets to see why.
 *
 * What connections are at is noted beside (http_connections.h).
 */
#include "server/http_server.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "server/answers.h"
#include "server/http_connections.h"
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    IDLE_S = 75, /* a connection without a byte */
    DROPPED = 4, /* so many bodies of the largest size are read and dropped */
    BODY_START = 4096,
    UNREAD_BYTES = 128 << 10, /* of an answer, in the kernel: it counts them double */
    FILES = 256               /* descriptors beside those of connections */
};

struct fb_http {
    fb_server *server;
    struct MHD_Daemon *daemon;
    int listening; /* after quiesce: to be closed; -1: none */
    int32_t port;
    fb_connections *connections;
    atomic_int_fast64_t busy;
};

/* ---- connections ----------------------------------------------------------------- */

static fb_connection *connection_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void note(fb_http *http, struct MHD_Connection *c, fb_phase phase,
                 fb_exchange *x)
{
    fb_connections_note(http->connections, connection_of(c), phase, x);
}

static const struct sockaddr *address_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return info ? info->client_addr : NULL;
}

static int socket_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

static void note_connection(void *self, struct MHD_Connection *c, void **context,
                            enum MHD_ConnectionNotificationCode code)
{
    fb_http *http = self;
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        *context = fb_connections_add(http->connections, socket_of(c), address_of(c));
    else
        fb_connections_remove(http->connections, *context);
}

void fb_http_close_slow(fb_http *http)
{
    fb_connections_close_slow(http->connections);
}

/* ---- a request arrives ----------------------------------------------------------- */

static void *begin_target(void *self, const char *target, struct MHD_Connection *c)
{
    fb_http *http = self;
    fb_exchange *x = fb_exchange_create(target);
    if (!x)
        return NULL;
    x->transport = c;
    x->socket = socket_of(c);
    x->times.began = fb_clock_s();
    atomic_fetch_add(&http->busy, 1);
    fb_metrics_move(http->server->metrics, FB_GAUGE_IN_FLIGHT, 1);
    note(http, c, FB_PHASE_RECEIVING, x);
    return x;
}

static const char *header(struct MHD_Connection *c, const char *name)
{
    return MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
}

/* The client's id where it is a harmless one, else one of ours. */
static void set_id(fb_exchange *x)
{
    static const char harmless[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:";
    const char *id = header(x->transport, "X-Request-Id");
    uint64_t own = 0;
    if (id && id[0] && strlen(id) < sizeof x->id && strspn(id, harmless) == strlen(id))
        snprintf(x->id, sizeof x->id, "%s", id);
    else if (getrandom(&own, sizeof own, 0) == (ssize_t)sizeof own)
        snprintf(x->id, sizeof x->id, "%016llx", (unsigned long long)own);
}

static void set_remote(fb_exchange *x)
{
    const struct sockaddr *address = address_of(x->transport);
    if (!address)
        return;
    size_t bytes = address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                  : sizeof(struct sockaddr_in);
    (void)!getnameinfo(address, (socklen_t)bytes, x->remote, sizeof x->remote, NULL, 0,
                       NI_NUMERICHOST);
}

/* In a time that does not tell how much of it is right. */
static bool is_same(const char *key, const char *given)
{
    size_t length = strlen(key), other = strlen(given);
    unsigned difference = length != other;
    for (size_t i = 0; i < length; i++)
        difference |=
            (unsigned char)key[i] ^ (unsigned char)given[other ? i % other : 0];
    return difference == 0;
}

static bool has_key(const fb_server *server, const fb_exchange *x)
{
    const char *given = header(x->transport, "Authorization");
    if (!server->options.api_key[0] || x->route->open)
        return true;
    return given && fb_ascii_compare_start(given, "Bearer ", 7) == 0 &&
           is_same(server->options.api_key, given + 7);
}

static size_t most_bytes(const fb_server *server)
{
    return (size_t)server->options.max_body_mb << 20;
}

static void refuse_large(const fb_server *server, fb_exchange *x)
{
    fb_exchange_fail(x, 413, "the body has more than %d MiB",
                     (int)server->options.max_body_mb);
}

/* How the request says where its body ends. */
typedef struct framing {
    const char *length; /* Content-Length */
    bool chunked, ambiguous;
} framing;

static enum MHD_Result read_framing(void *self, enum MHD_ValueKind kind,
                                    const char *name, const char *value)
{
    framing *f = self;
    size_t size = strcspn(name, " \t");
    (void)kind;
    if (name[size]) /* a blank before the colon: others read another name */
        f->ambiguous = true;
    if (fb_ascii_compare(name, "Transfer-Encoding") == 0) {
        f->ambiguous |= f->chunked;
        f->chunked = true;
    } else if (fb_ascii_compare(name, "Content-Length") == 0) {
        f->ambiguous |= !value || value[strspn(value, "0123456789")] ||
                        (f->length && strcmp(f->length, value) != 0);
        f->length = value;
    }
    return MHD_YES;
}

/* A proxy may part such a request otherwise than we do, and take our answers for those
 * of another's requests (request smuggling). */
static bool is_framed_twice(const fb_exchange *x)
{
    framing f = {0};
    (void)MHD_get_connection_values(x->transport, MHD_HEADER_KIND, read_framing, &f);
    return f.ambiguous || (f.chunked && f.length);
}

/* In a spare place nothing is answered but whether the server lives. */
static bool has_place(fb_exchange *x)
{
    const fb_connection *own = connection_of(x->transport);
    bool spare = own && own->spare;
    x->close = x->close || spare;
    return !spare || x->route->answer_now == fb_answer_health ||
           x->route->answer_now == fb_answer_ready;
}

/* The headers are there: what can be refused is refused. */
static void begin(fb_http *http, fb_exchange *x, const char *method)
{
    fb_server *server = http->server;
    snprintf(x->method, sizeof x->method, "%s", method);
    set_id(x);
    set_remote(x);
    if (is_framed_twice(x)) {
        x->close = true;
        fb_exchange_fail(x, 400, "the headers do not say clearly where the body ends");
        return;
    }
    if (!fb_route_find(x))
        return;
    if (!has_place(x)) {
        fb_exchange_fail(x, 503, "all connections are in use");
        x->retry_after_s = 1;
        return;
    }
    if (!has_key(server, x)) {
        fb_exchange_fail(x, 401,
                         "this server wants its API key: Authorization: Bearer KEY");
        return;
    }
    if (!x->route->request)
        return;
    x->media = fb_media_parse(header(x->transport, "Content-Type"), x->boundary);
    const char *length = header(x->transport, "Content-Length");
    if (x->media == FB_MEDIA_OTHER)
        fb_exchange_fail(x, 415,
                         "the body must be application/json (UTF-8) or "
                         "multipart/form-data with a boundary");
    else if (length && strtoull(length, NULL, 10) > most_bytes(server))
        refuse_large(server, x);
}

/* One more piece of the body; false: no more of them. */
static bool receive(fb_http *http, fb_exchange *x, const char *piece, size_t bytes)
{
    fb_server *server = http->server;
    size_t most = most_bytes(server);
    x->received_bytes += bytes;
    if (x->status != 0)
        return x->received_bytes <= DROPPED * most + (1 << 20);
    if (!x->route->request)
        return x->received_bytes <= most;
    size_t wanted = x->body_bytes + bytes;
    if (wanted > most) {
        refuse_large(server, x);
    } else if (wanted > x->body_capacity) {
        size_t capacity = x->body_capacity ? 2 * x->body_capacity : BODY_START;
        while (capacity < wanted)
            capacity *= 2;
        uint8_t *more = NULL;
        if (fb_server_take_body_bytes(server, capacity - x->body_capacity,
                                      capacity <= FB_SMALL)) {
            more = realloc(x->body, capacity);
            if (!more)
                fb_server_give_body_bytes(server, capacity - x->body_capacity);
        }
        if (more) {
            x->body = more;
            x->body_capacity = capacity;
        } else {
            fb_server_reject(server, x);
        }
    }
    if (x->status != 0) {
        fb_server_give_body_bytes(server, x->body_capacity);
        fb_exchange_drop_body(x);
        return true;
    }
    memcpy(x->body + x->body_bytes, piece, bytes);
    x->body_bytes = wanted;
    return true;
}

/* ---- the answer ------------------------------------------------------------------ */

static void add_headers(const fb_server *server, const fb_exchange *x,
                        struct MHD_Response *response)
{
    char number[16];
    MHD_add_response_header(response, "Content-Type", x->type);
    MHD_add_response_header(response, "X-Request-Id", x->id);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Cache-Control",
                            x->cache ? "private, max-age=300" : "no-store");
    if (x->policy) {
        MHD_add_response_header(response, "Content-Security-Policy", x->policy);
        MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    }
    if (x->retry_after_s > 0) {
        snprintf(number, sizeof number, "%d", (int)x->retry_after_s);
        MHD_add_response_header(response, "Retry-After", number);
    }
    if (x->status == 401)
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    if (x->allow[0])
        MHD_add_response_header(response, "Allow", x->allow);
    if (x->close || atomic_load(&server->draining))
        MHD_add_response_header(response, "Connection", "close");
}

static enum MHD_Result queue_answer(fb_http *http, fb_exchange *x, int32_t status,
                                    struct MHD_Response *response)
{
    note(http, x->transport, FB_PHASE_SENDING, x);
    enum MHD_Result queued =
        MHD_queue_response(x->transport, (unsigned)status, response);
    MHD_destroy_response(response);
    return queued;
}

/* Its exchange may still be looked at by the thread that has it: nothing is read there.
 */
static enum MHD_Result send_given_up(fb_http *http, fb_exchange *x)
{
    static char text[] = "{\"error\": {\"code\": \"unavailable\", \"message\": \"the "
                         "server is ending\", \"request_id\": \"\"}}\n";
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof text - 1, text, MHD_RESPMEM_PERSISTENT);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", "application/json");
    MHD_add_response_header(response, "Connection", "close");
    return queue_answer(http, x, 503, response);
}

static enum MHD_Result send_answer(fb_http *http, fb_exchange *x)
{
    struct MHD_Response *response =
        x->reply_file >= 0
            ? MHD_create_response_from_fd64(x->reply_bytes, x->reply_file)
            : MHD_create_response_from_buffer(
                  x->reply_bytes, x->reply, MHD_RESPMEM_PERSISTENT); /* x outlives it */
    if (!response)
        return MHD_NO;
    x->reply_file = -1; /* the response's */
    add_headers(http->server, x, response);
    return queue_answer(http, x, x->status, response);
}

/* The request is complete. */
static enum MHD_Result answer(fb_http *http, fb_exchange *x)
{
    fb_server *server = http->server;
    x->times.received = fb_clock_s();
    if (x->status == 0 && x->route->answer_now && !x->route->slow)
        x->route->answer_now(server, x);
    if (x->status == 0 && !fb_server_admit(server, x))
        fb_server_reject(server, x);
    if (x->status != 0) {
        x->times.answered = fb_clock_s();
        fb_server_hold_reply(server, x);
        return send_answer(http, x);
    }
    MHD_suspend_connection(x->transport); /* before anyone can resume it */
    note(http, x->transport, FB_PHASE_BUSY, x);
    bool small = x->body_bytes <= FB_SMALL;
    if (!fb_work_queue_push(small ? server->to_prepare : server->to_decode, x,
                            FB_LANE_DEAR)) {
        fb_exchange_fail(x, 503, "the server is ending");
        fb_server_answer(server, x);
    }
    return MHD_YES;
}

void fb_http_resume(fb_http *http, fb_exchange *x)
{
    (void)http;
    MHD_resume_connection(x->transport);
}

static void give_up(void *self, fb_exchange *x)
{
    (void)self;
    if (atomic_exchange(&x->answered, true))
        return; /* on its way */
    x->given_up = true;
    MHD_resume_connection(x->transport);
}

void fb_http_give_up(fb_http *http)
{
    fb_connections_each_busy(http->connections, give_up, NULL);
}

static bool expects_continue(struct MHD_Connection *c)
{
    const char *expected = header(c, "Expect");
    return expected && fb_ascii_compare(expected, "100-continue") == 0;
}

static enum MHD_Result handle(void *self, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version,
                              const char *piece, size_t *piece_bytes, void **context)
{
    fb_http *http = self;
    fb_exchange *x = *context;
    (void)url;
    (void)version;
    if (!x)
        return MHD_NO;
    if (!x->method[0]) {
        begin(http, x, method);
        /* Who asks before sending is told at once. */
        bool at_once = x->close || expects_continue(c);
        return x->status != 0 && at_once ? answer(http, x) : MHD_YES;
    }
    if (*piece_bytes > 0) {
        bool more = receive(http, x, piece, *piece_bytes);
        *piece_bytes = 0;
        return more ? MHD_YES : MHD_NO;
    }
    if (x->given_up)
        return send_given_up(http, x);
    if (x->times.received > 0)
        return send_answer(http, x);
    return answer(http, x);
}

static void end_exchange(void *self, struct MHD_Connection *c, void **context,
                         enum MHD_RequestTerminationCode code)
{
    fb_http *http = self;
    fb_server *server = http->server;
    fb_exchange *x = *context;
    bool whole = code == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    if (!x)
        return;
    *context = NULL;
    note(http, c, FB_PHASE_IDLE, NULL);
    if (x->given_up) { /* it stays, for who may still look at it */
        atomic_fetch_sub(&http->busy, 1);
        return;
    }
    fb_server_give_body_bytes(server, x->body_capacity + x->reply_held);
    if (x->method[0]) {
        fb_metrics_answer(server->metrics, x->route_number, x->status,
                          fb_clock_s() - x->times.began);
        fb_access_log_write(server->log, x, whole);
    }
    fb_metrics_move(server->metrics, FB_GAUGE_IN_FLIGHT, -1);
    fb_exchange_free(x);
    atomic_fetch_sub(&http->busy, 1);
}

/* ---- begin and end --------------------------------------------------------------- */

static fb_status listen_on(fb_context *ctx, const fb_serve_options *o, int *listening,
                           int32_t *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *address = NULL;
    struct sockaddr_storage bound;
    socklen_t bytes = sizeof bound;
    char service[16];
    int yes = 1, unread = UNREAD_BYTES;
    snprintf(service, sizeof service, "%d", (int)o->port);
    int failed = getaddrinfo(o->host, service, &hints, &address);
    if (failed)
        return fb_fail(ctx, FB_E_USAGE, "host %s: %s", o->host, gai_strerror(failed));
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool open =
        fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &unread, sizeof unread) == 0 &&
        bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, 1024) == 0 &&
        getsockname(fd, (struct sockaddr *)&bound, &bytes) == 0;
    int error = errno;
    freeaddrinfo(address);
    if (!open) {
        if (fd >= 0)
            close(fd);
        return fb_fail(ctx, FB_E_IO, "cannot listen on %s port %d: %s", o->host,
                       (int)o->port, strerror(error));
    }
    *listening = fd;
    *port = o->port;
    if (getnameinfo((struct sockaddr *)&bound, bytes, NULL, 0, service, sizeof service,
                    NI_NUMERICSERV) == 0)
        *port = (int32_t)strtol(service, NULL, 10);
    return FB_OK;
}

static struct MHD_Daemon *start_daemon(fb_http *http, int listening)
{
    unsigned flags =
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC;
    const fb_serve_options *o = &http->server->options;
    return MHD_start_daemon(
        flags, 0, NULL, NULL, handle, http, MHD_OPTION_LISTEN_SOCKET, listening,
        MHD_OPTION_URI_LOG_CALLBACK, begin_target, http, MHD_OPTION_NOTIFY_COMPLETED,
        end_exchange, http, MHD_OPTION_NOTIFY_CONNECTION, note_connection, http,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)(o->connections + FB_SPARE_CONNECTIONS),
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_END);
}

/* A connection takes a descriptor, the photo that it is sent another. */
static fb_status make_room_for_files(fb_context *ctx, const fb_serve_options *o)
{
    struct rlimit files;
    rlim_t connections = (rlim_t)(o->connections + FB_SPARE_CONNECTIONS);
    rlim_t least = connections + FILES, most = 2 * connections + FILES;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= most)
        return FB_OK;
    files.rlim_cur = files.rlim_max < most ? files.rlim_max : most;
    if (setrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur >= least)
        return FB_OK;
    return fb_fail(
        ctx, FB_E_USAGE,
        "--connections %d needs %llu open files; `ulimit -Hn` says that %llu "
        "are allowed",
        (int)o->connections, (unsigned long long)least,
        (unsigned long long)files.rlim_max);
}

static fb_status start(fb_context *ctx, fb_http *h, int *listening)
{
    fb_server *server = h->server;
    const fb_serve_options *o = &server->options;
    const fb_connection_limits limits = {o->connections, o->address_connections,
                                         o->receive_s, o->send_s};
    FB_TRY(make_room_for_files(ctx, o));
    FB_TRY(fb_connections_create(ctx, &h->connections, &limits, server->metrics));
    FB_TRY(listen_on(ctx, o, listening, &h->port));
    server->http = h;
    h->daemon = start_daemon(h, *listening);
    if (!h->daemon)
        return fb_fail(ctx, FB_E_IO, "the HTTP server does not start: %s",
                       strerror(errno));
    return FB_OK;
}

fb_status fb_http_start(fb_context *ctx, fb_server *server)
{
    int listening = -1;
    fb_http *h = calloc(1, sizeof *h);
    if (!h)
        return fb_fail(ctx, FB_E_MEMORY, "no memory to serve");
    h->server = server;
    h->listening = -1;
    fb_status status = start(ctx, h, &listening);
    if (status == FB_OK)
        return FB_OK;
    if (listening >= 0)
        close(listening);
    server->http = NULL;
    fb_connections_free(h->connections);
    free(h);
    return status;
}

int32_t fb_http_port(const fb_http *http)
{
    return http->port;
}

void fb_http_quiesce(fb_http *http)
{
    http->listening = MHD_quiesce_daemon(http->daemon);
}

int64_t fb_http_busy(const fb_http *http)
{
    return atomic_load(&http->busy);
}

void fb_http_stop(fb_http *http)
{
    if (!http)
        return;
    MHD_stop_daemon(http->daemon);
    if (http->listening >= 0)
        close(http->listening);
    fb_connections_free(http->connections);
    free(http);
}

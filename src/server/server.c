/* server.c - see server.h. */
#include "server/server.h"

#include "base/clock.h"
#include "server/http_connections.h"
#include "server/http_server.h"
#include <math.h>

bool fb_server_admit(fb_server *server, fb_exchange *x)
{
    if (atomic_fetch_add(&server->waiting, 1) >= server->options.queue) {
        atomic_fetch_sub(&server->waiting, 1);
        return false;
    }
    x->waiting = true;
    fb_metrics_move(server->metrics, FB_GAUGE_QUEUED, 1);
    return true;
}

void fb_server_stop_waiting(fb_server *server, fb_exchange *x)
{
    if (!x->waiting)
        return;
    x->waiting = false;
    atomic_fetch_sub(&server->waiting, 1);
    fb_metrics_move(server->metrics, FB_GAUGE_QUEUED, -1);
}

int32_t fb_server_retry_after(const fb_server *server)
{
    int64_t tokens =
        atomic_load(&server->waiting_tokens) + atomic_load(&server->quick_tokens);
    double seconds = atomic_load(&server->token_s) * (double)tokens;
    return seconds < 1 ? 1 : seconds > 60 ? 60 : (int32_t)ceil(seconds);
}

void fb_server_reject(fb_server *server, fb_exchange *x)
{
    x->retry_after_s = fb_server_retry_after(server);
    fb_metrics_count(server->metrics, FB_COUNTER_REJECTED);
    fb_exchange_fail(x, 429, "too many requests wait; come back in %d s",
                     (int)x->retry_after_s);
}

bool fb_server_take_body_bytes(fb_server *server, size_t more, bool small)
{
    int64_t all = (int64_t)server->options.memory_mb << 20;
    int64_t most = small ? all : all - all / 8;
    if (atomic_fetch_add(&server->body_bytes, (int64_t)more) + (int64_t)more > most) {
        atomic_fetch_sub(&server->body_bytes, (int64_t)more);
        return false;
    }
    fb_metrics_move(server->metrics, FB_GAUGE_BODY_BYTES, (int64_t)more);
    return true;
}

void fb_server_give_body_bytes(fb_server *server, size_t bytes)
{
    atomic_fetch_sub(&server->body_bytes, (int64_t)bytes);
    fb_metrics_move(server->metrics, FB_GAUGE_BODY_BYTES, -(int64_t)bytes);
}

void fb_server_hold_reply(fb_server *server, fb_exchange *x)
{
    if (!x->reply || x->reply_is_static || x->reply_held)
        return;
    if (fb_server_take_body_bytes(server, x->reply_bytes, x->reply_bytes <= FB_SMALL))
        x->reply_held = x->reply_bytes;
    else
        fb_server_reject(server, x); /* a few bytes, as many as its headers */
}

bool fb_server_drops(fb_server *server, fb_exchange *x)
{
    bool begun = x->times.compute_begun > 0;
    if (atomic_load(&server->ended)) {
        fb_exchange_fail(x, 503, "the server is ending");
    } else if (x->socket >= 0 && fb_connection_is_gone(x->socket)) {
        fb_metrics_count(server->metrics, FB_COUNTER_GONE);
        fb_exchange_fail(x, 499, "the client has gone");
    } else if (!begun &&
               fb_clock_s() - x->times.received > server->options.max_wait_s) {
        fb_server_reject(server, x);
    }
    return x->status != 0;
}

void fb_server_answer(fb_server *server, fb_exchange *x)
{
    fb_server_stop_waiting(server, x);
    x->times.answered = fb_clock_s();
    fb_server_hold_reply(server, x);
    if (!atomic_exchange(&x->answered, true))
        fb_http_resume(server->http, x);
}

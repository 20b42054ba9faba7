/* http_server_missing.c - the transport of a build without libmicrohttpd: it says so.
 */
#include "server/http_server.h"

fb_status fb_http_start(fb_context *ctx, fb_server *server)
{
    (void)server;
    return fb_fail(ctx, FB_E_STATE,
                   "this fashionbert was built without libmicrohttpd, so it cannot "
                   "serve: install libmicrohttpd-dev and build again");
}

int32_t fb_http_port(const fb_http *http)
{
    (void)http;
    return 0;
}

void fb_http_resume(fb_http *http, fb_exchange *x)
{
    (void)http;
    (void)x;
}

void fb_http_close_slow(fb_http *http)
{
    (void)http;
}

void fb_http_give_up(fb_http *http)
{
    (void)http;
}

void fb_http_quiesce(fb_http *http)
{
    (void)http;
}

int64_t fb_http_busy(const fb_http *http)
{
    (void)http;
    return 0;
}

void fb_http_stop(fb_http *http)
{
    (void)http;
}

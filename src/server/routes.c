/* routes.c - see routes.h. */
#include "server/routes.h"

#include "server/answers.h"
#include "server/http_bodies.h"
#include <stdlib.h>
#include <string.h>

/* The statuses that any route with a body may give. */
#define BODY_ERRORS "400,401,409,413,415,422,429,503"

const fb_route fb_routes[] = {
    {.method = "POST",
     .path = "/v1/search",
     .name = "search",
     .summary = "Find products by a text, an image or both",
     .request = &fb_search_request,
     .answer = &fb_search_answer,
     .errors = BODY_ERRORS,
     .work = FB_WORK_SEARCH},
    {.method = "POST",
     .path = "/v1/match",
     .name = "match",
     .summary = "Score texts with images",
     .request = &fb_match_request,
     .answer = &fb_match_answer,
     .errors = BODY_ERRORS,
     .work = FB_WORK_MATCH},
    {.method = "POST",
     .path = "/v1/rerank",
     .name = "rerank",
     .summary =
         "Put products in the order in which the model matches them with a query",
     .request = &fb_rerank_request,
     .answer = &fb_search_answer,
     .errors = "400,401,404,409,413,415,422,429,503",
     .work = FB_WORK_RERANK},
    {.method = "POST",
     .path = "/v1/encode",
     .name = "encode",
     .summary = "Vectors of texts, images or products",
     .request = &fb_encode_request,
     .answer = &fb_encode_answer,
     .errors = BODY_ERRORS,
     .work = FB_WORK_ENCODE},
    {.method = "POST",
     .path = "/v1/explain",
     .name = "explain",
     .summary = "What each word and each patch of an image adds to their match",
     .request = &fb_explain_request,
     .answer = &fb_explain_answer,
     .errors = "400,401,404,409,413,415,422,429,503",
     .work = FB_WORK_EXPLAIN},
    {.method = "GET",
     .path = "/v1/products/{id}",
     .name = "product",
     .summary = "A product of the index",
     .answer = &fb_product_answer,
     .errors = "400,401,404,409,429,503",
     .answer_now = fb_answer_product,
     .slow = true},
    {.method = "GET",
     .path = "/v1/products/{id}/image",
     .name = "productImage",
     .summary = "Its photo",
     .answer_type = "image/*",
     .errors = "400,401,404,409,429,503",
     .answer_now = fb_answer_product_image,
     .slow = true},
    {.method = "GET",
     .path = "/v1/index",
     .name = "index",
     .summary = "What the index holds, and what one can filter by",
     .answer = &fb_index_answer,
     .errors = "401,409",
     .answer_now = fb_answer_index},
    {.method = "GET",
     .path = "/health",
     .name = "health",
     .summary = "Whether the server lives",
     .answer = &fb_health_answer,
     .open = true,
     .answer_now = fb_answer_health},
    {.method = "GET",
     .path = "/ready",
     .name = "ready",
     .summary = "Whether it takes requests; 503 while it ends",
     .answer = &fb_health_answer,
     .errors = "503",
     .open = true,
     .answer_now = fb_answer_ready},
    {.method = "GET",
     .path = "/metrics",
     .name = "metrics",
     .summary = "Counters for Prometheus",
     .answer_type = "text/plain",
     .errors = "401",
     .answer_now = fb_answer_metrics},
    {.method = "GET",
     .path = "/openapi.json",
     .name = "openapi",
     .summary = "This description",
     .answer_type = "application/json",
     .open = true,
     .answer_now = fb_answer_openapi},
    {.method = "GET",
     .path = "/",
     .name = "page",
     .summary = "The page",
     .open = true,
     .hidden = true,
     .answer_now = fb_answer_page},
    {.method = "GET",
     .path = "/page/{id}",
     .name = "pageFile",
     .summary = "Its style and script",
     .open = true,
     .hidden = true,
     .answer_now = fb_answer_page},
};

enum { ROUTES = sizeof fb_routes / sizeof fb_routes[0] };
const int32_t fb_route_count = ROUTES;

/* Decode %XX of [text, end); NULL: broken, a 0 byte, or out of memory. */
static char *decode(const char *text, const char *end)
{
    char *out = malloc((size_t)(end - text) + 1);
    size_t n = 0;
    if (!out)
        return NULL;
    for (; text < end; text++) {
        char digits[3] = {0}, *behind = digits;
        if (*text != '%') {
            out[n++] = *text;
            continue;
        }
        if (end - text >= 3 && text[1] != '+' && text[1] != '-') {
            memcpy(digits, text + 1, 2);
            out[n] = (char)strtol(digits, &behind, 16);
        }
        if (behind != digits + 2 || out[n++] == 0) {
            free(out);
            return NULL;
        }
        text += 2;
    }
    out[n] = 0;
    return out;
}

static const char *segment_end(const char *text, const char *end)
{
    const char *slash = memchr(text, '/', (size_t)(end - text));
    return slash ? slash : end;
}

/* Whether [at, end) fits the pattern; *id and *id_end: what stands for {id}. */
static bool fits(const char *pattern, const char *at, const char *end, const char **id,
                 const char **id_end)
{
    for (; *pattern; pattern++) {
        if (*pattern == '{') {
            *id = at;
            *id_end = at = segment_end(at, end);
            pattern += strcspn(pattern, "}");
            if (*id == at)
                return false;
        } else if (at == end || *at++ != *pattern) {
            return false;
        }
    }
    return at == end;
}

static bool is_method(const fb_route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

bool fb_route_find(fb_exchange *x)
{
    const char *end = x->target + strcspn(x->target, "?#"), *id = NULL, *id_end = NULL;
    bool known = false;
    x->route_number = ROUTES;
    for (int32_t i = 0; i < ROUTES; i++) {
        if (!fits(fb_routes[i].path, x->target, end, &id, &id_end))
            continue;
        known = true;
        if (!is_method(&fb_routes[i], x->method)) {
            bool get = fb_routes[i].method[0] == 'G';
            snprintf(x->allow, sizeof x->allow, "%s", get ? "GET, HEAD" : "POST");
            continue;
        }
        if (id && !(x->parameter = decode(id, id_end))) {
            fb_exchange_fail(x, 400,
                             "the path has a %% that is not followed by the two "
                             "digits of a byte other than 0");
            return false;
        }
        x->route = &fb_routes[i];
        x->route_number = i;
        x->allow[0] = 0;
        return true;
    }
    if (known)
        fb_exchange_fail(x, 405, "%.*s takes %s, not %s", (int)(end - x->target),
                         x->target, x->allow, x->method);
    else
        fb_exchange_fail(x, 404, "no such path: %.200s; /openapi.json lists them",
                         x->target);
    return false;
}

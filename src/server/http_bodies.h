/* http_bodies.h - the schemas of all requests and answers of the HTTP interface. */
#ifndef FB_SERVER_HTTP_BODIES_H
#define FB_SERVER_HTTP_BODIES_H

#include "server/http_schema.h"

enum {
    FB_MOST_CHARACTERS = 8192, /* of one text */
    FB_MOST_ENTRIES = 256,     /* texts or images of one request */
    FB_MOST_PAIRS = 1024,      /* texts times images of one request */
    FB_MOST_VALUES = 20000,    /* of the JSON of one request, all taken together */
    FB_MOST_HITS = 1000
};

extern const fb_schema fb_search_request, fb_match_request, fb_rerank_request,
    fb_encode_request, fb_explain_request;
extern const fb_schema fb_search_answer, fb_match_answer, fb_encode_answer,
    fb_explain_answer, fb_product_answer, fb_index_answer, fb_health_answer,
    fb_error_answer;

#endif

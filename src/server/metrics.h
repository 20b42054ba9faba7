/* metrics.h - what the server counts, and its text for Prometheus.
 *
 * One table names every metric; counters of requests are kept by route and status.
 * Any thread may count at any time.
 */
#ifndef FB_SERVER_METRICS_H
#define FB_SERVER_METRICS_H

#include <stdint.h>
#include <stdio.h>

/* Seconds; 0.5 ms to 60 s. */
#define FB_HISTOGRAM_MAP(X)                                                            \
    X(REQUEST, "request_seconds", SECONDS, "From a request's headers to its answer")   \
    X(PREPARE_WAIT, "prepare_wait_seconds", SECONDS,                                   \
      "A request's body was there and waited to be read")                              \
    X(QUEUE, "queue_seconds", SECONDS, "A request was read and waited to be computed") \
    X(TOKENISE, "tokenise_seconds", SECONDS, "Texts of a request to tokens")           \
    X(DECODE, "decode_seconds", SECONDS, "Images of a request to pixels")              \
    X(INFERENCE, "inference_seconds", SECONDS,                                         \
      "One pass of the model: a batch encoded, matched, re-ranked or explained")       \
    X(SEARCH, "search_seconds", SECONDS, "The index was searched for one query")       \
    X(BATCH_REQUESTS, "batch_requests", COUNT, "Requests computed together")           \
    X(BATCH_TOKENS, "batch_tokens", COUNT, "Tokens and patches computed together")

#define FB_GAUGE_MAP(X)                                                                \
    X(IN_FLIGHT, "requests_in_flight", "Requests begun and not yet answered")          \
    X(QUEUED, "queue_requests", "Requests that wait to be read or computed")           \
    X(CONNECTIONS, "connections", "Open connections")                                  \
    X(BODY_BYTES, "body_bytes", "Bytes of request bodies in memory")

#define FB_COUNTER_MAP(X)                                                              \
    X(REJECTED, "rejected_total", "Requests answered 429: the queue was full")         \
    X(TIMED_OUT, "timed_out_total", "Connections closed because the client was slow")  \
    X(RELOADS, "reloads_total", "Models and indexes opened anew on SIGHUP")            \
    X(RELOAD_FAILURES, "reload_failures_total",                                        \
      "Failures to; the old ones went on serving")                                     \
    X(CROWDED_OUT, "crowded_out_total",                                                \
      "Connections closed, before they had asked, to make room for new ones")          \
    X(GONE, "gone_total", "Requests dropped because their client had gone")            \
    X(LOG_LOST, "access_log_dropped_total",                                            \
      "Lines of the access log dropped because its reader stalled")

typedef enum fb_histogram_id {
#define FB_METRIC_ENUM(id, name, kind, help) FB_HISTOGRAM_##id,
    FB_HISTOGRAM_MAP(FB_METRIC_ENUM)
#undef FB_METRIC_ENUM
        FB_HISTOGRAMS
} fb_histogram_id;

typedef enum fb_gauge_id {
#define FB_METRIC_ENUM(id, name, help) FB_GAUGE_##id,
    FB_GAUGE_MAP(FB_METRIC_ENUM)
#undef FB_METRIC_ENUM
        FB_GAUGES
} fb_gauge_id;

typedef enum fb_counter_id {
#define FB_METRIC_ENUM(id, name, help) FB_COUNTER_##id,
    FB_COUNTER_MAP(FB_METRIC_ENUM)
#undef FB_METRIC_ENUM
        FB_COUNTERS
} fb_counter_id;

typedef struct fb_metrics fb_metrics;

/* routes: labels of the request counters, [route_count], borrowed. NULL when memory is
 * out. */
fb_metrics *fb_metrics_create(const char *const *routes, int32_t route_count);
void fb_metrics_free(fb_metrics *metrics);

void fb_metrics_observe(fb_metrics *metrics, fb_histogram_id id, double value);
void fb_metrics_count(fb_metrics *metrics, fb_counter_id id);
void fb_metrics_set(fb_metrics *metrics, fb_counter_id id, int64_t value);
void fb_metrics_move(fb_metrics *metrics, fb_gauge_id id, int64_t by);
int64_t fb_metrics_gauge(const fb_metrics *metrics, fb_gauge_id id);
/* An answer with this HTTP status was sent for routes[route]. */
void fb_metrics_answer(fb_metrics *metrics, int32_t route, int32_t status,
                       double seconds);

/* Prometheus' text format 0.0.4. */
void fb_metrics_write(fb_metrics *metrics, FILE *stream);

#endif

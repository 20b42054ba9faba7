/* metrics.c - see metrics.h. A histogram of n bounds has n + 1 buckets, the last one
 * without an end; the text adds them up, as Prometheus wants.
 */
#include "server/metrics.h"

#include "base/number_text.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BOUNDS = 16, STATUSES = 24 };

static const double SECONDS[BOUNDS] = {.0005, .001, .0025, .005, .01, .025, .05, .1,
                                       .25,   .5,   1,     2.5,  5,   10,   30,  60};
static const double COUNT[BOUNDS] = {1,   2,   4,    8,    16,   32,   64,    128,
                                     256, 512, 1024, 2048, 4096, 8192, 16384, 32768};

static const struct {
    const char *name, *help;
    const double *bounds;
} histograms[FB_HISTOGRAMS] = {
#define ROW(id, name, kind, help) {name, help, kind},
    FB_HISTOGRAM_MAP(ROW)
#undef ROW
};

static const struct {
    const char *name, *help;
} gauges[FB_GAUGES] =
    {
#define ROW(id, name, help) {name, help},
        FB_GAUGE_MAP(ROW)
#undef ROW
},
  counters[FB_COUNTERS] = {
#define ROW(id, name, help) {name, help},
      FB_COUNTER_MAP(ROW)
#undef ROW
};

typedef struct status_count {
    int32_t route, status;
    int64_t count;
} status_count;

struct fb_metrics {
    pthread_mutex_t lock;
    const char *const *routes;
    int32_t route_count;
    int64_t buckets[FB_HISTOGRAMS][BOUNDS + 1], counters[FB_COUNTERS];
    double sums[FB_HISTOGRAMS];
    int64_t gauges[FB_GAUGES];
    int32_t answer_count, answer_capacity;
    status_count *answers; /* [route_count * STATUSES] at most */
};

fb_metrics *fb_metrics_create(const char *const *routes, int32_t route_count)
{
    fb_metrics *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->routes = routes;
    m->route_count = route_count;
    m->answer_capacity = route_count * STATUSES;
    m->answers = calloc((size_t)m->answer_capacity, sizeof *m->answers);
    if (!m->answers || pthread_mutex_init(&m->lock, NULL) != 0) {
        free(m->answers);
        free(m);
        return NULL;
    }
    return m;
}

void fb_metrics_free(fb_metrics *metrics)
{
    if (!metrics)
        return;
    pthread_mutex_destroy(&metrics->lock);
    free(metrics->answers);
    free(metrics);
}

static void observe(fb_metrics *m, fb_histogram_id id, double value)
{
    int32_t bucket = 0;
    while (bucket < BOUNDS && value > histograms[id].bounds[bucket])
        bucket++;
    m->buckets[id][bucket]++;
    m->sums[id] += value;
}

void fb_metrics_observe(fb_metrics *metrics, fb_histogram_id id, double value)
{
    pthread_mutex_lock(&metrics->lock);
    observe(metrics, id, value);
    pthread_mutex_unlock(&metrics->lock);
}

void fb_metrics_count(fb_metrics *metrics, fb_counter_id id)
{
    pthread_mutex_lock(&metrics->lock);
    metrics->counters[id]++;
    pthread_mutex_unlock(&metrics->lock);
}

void fb_metrics_set(fb_metrics *metrics, fb_counter_id id, int64_t value)
{
    pthread_mutex_lock(&metrics->lock);
    metrics->counters[id] = value;
    pthread_mutex_unlock(&metrics->lock);
}

void fb_metrics_move(fb_metrics *metrics, fb_gauge_id id, int64_t by)
{
    pthread_mutex_lock(&metrics->lock);
    metrics->gauges[id] += by;
    pthread_mutex_unlock(&metrics->lock);
}

int64_t fb_metrics_gauge(const fb_metrics *metrics, fb_gauge_id id)
{
    fb_metrics *m = (fb_metrics *)(uintptr_t)metrics; /* only its lock changes */
    pthread_mutex_lock(&m->lock);
    int64_t value = m->gauges[id];
    pthread_mutex_unlock(&m->lock);
    return value;
}

void fb_metrics_answer(fb_metrics *metrics, int32_t route, int32_t status,
                       double seconds)
{
    pthread_mutex_lock(&metrics->lock);
    observe(metrics, FB_HISTOGRAM_REQUEST, seconds);
    int32_t i = 0;
    while (i < metrics->answer_count &&
           (metrics->answers[i].route != route || metrics->answers[i].status != status))
        i++;
    if (i == metrics->answer_count && i < metrics->answer_capacity)
        metrics->answers[metrics->answer_count++] = (status_count){route, status, 0};
    if (i < metrics->answer_count)
        metrics->answers[i].count++;
    pthread_mutex_unlock(&metrics->lock);
}

static void write_head(FILE *stream, const char *name, const char *help,
                       const char *type)
{
    fprintf(stream, "# HELP fashionbert_%s %s\n# TYPE fashionbert_%s %s\n", name, help,
            name, type);
}

static void write_histogram(const fb_metrics *m, FILE *stream, int32_t id)
{
    const char *name = histograms[id].name;
    int64_t count = 0;
    write_head(stream, name, histograms[id].help, "histogram");
    for (int32_t i = 0; i < BOUNDS; i++) {
        count += m->buckets[id][i];
        fb_stream_print(stream, "fashionbert_%s_bucket{le=\"%g\"} %lld\n", name,
                        histograms[id].bounds[i], (long long)count);
    }
    count += m->buckets[id][BOUNDS];
    fprintf(stream, "fashionbert_%s_bucket{le=\"+Inf\"} %lld\n", name,
            (long long)count);
    fb_stream_print(stream, "fashionbert_%s_sum %.9g\n", name, m->sums[id]);
    fprintf(stream, "fashionbert_%s_count %lld\n", name, (long long)count);
}

/* Two views of the answers: all of them, and those of status 400 and above. */
static void write_answers(const fb_metrics *m, FILE *stream, const char *name,
                          const char *help, int32_t from_status)
{
    write_head(stream, name, help, "counter");
    for (int32_t i = 0; i < m->answer_count; i++)
        if (m->answers[i].status >= from_status)
            fprintf(stream, "fashionbert_%s{route=\"%s\",status=\"%d\"} %lld\n", name,
                    m->routes[m->answers[i].route], (int)m->answers[i].status,
                    (long long)m->answers[i].count);
}

/* Pages of this process in memory, from the kernel; -1: not known here. */
static long resident_pages(void)
{
    char line[128];
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file)
        return -1;
    const char *second = fgets(line, sizeof line, file) ? strchr(line, ' ') : NULL;
    fclose(file);
    return second ? strtol(second, NULL, 10) : -1;
}

void fb_metrics_write(fb_metrics *metrics, FILE *stream)
{
    pthread_mutex_lock(&metrics->lock);
    write_answers(metrics, stream, "requests_total", "Answers, by route and status", 0);
    write_answers(metrics, stream, "errors_total", "Answers of status 400 and above",
                  400);
    for (int32_t i = 0; i < FB_COUNTERS; i++) {
        write_head(stream, counters[i].name, counters[i].help, "counter");
        fprintf(stream, "fashionbert_%s %lld\n", counters[i].name,
                (long long)metrics->counters[i]);
    }
    for (int32_t i = 0; i < FB_GAUGES; i++) {
        write_head(stream, gauges[i].name, gauges[i].help, "gauge");
        fprintf(stream, "fashionbert_%s %lld\n", gauges[i].name,
                (long long)metrics->gauges[i]);
    }
    for (int32_t i = 0; i < FB_HISTOGRAMS; i++)
        write_histogram(metrics, stream, i);
    pthread_mutex_unlock(&metrics->lock);
    long pages = resident_pages();
    if (pages >= 0)
        fprintf(stream,
                "# HELP process_resident_memory_bytes Memory that the process holds\n"
                "# TYPE process_resident_memory_bytes gauge\n"
                "process_resident_memory_bytes %lld\n",
                (long long)pages * (long long)sysconf(_SC_PAGESIZE));
}

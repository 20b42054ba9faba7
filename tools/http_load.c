/* http_load.c - a load of HTTP requests, for measuring `fashionbert serve`:
 *
 *     http_load HOST PORT CONNECTIONS SECONDS PATH BODY-FILE...
 *
 * Each connection sends the next body of the list (JSON; one file a request) as soon as
 * it has its answer, on a connection that is kept. Beside them one more connection asks
 * for /health ten times a second. Prints, as JSON, the answers by status, those that
 * were lost (a connection that broke before its answer was whole), rates, and the times
 * in milliseconds of the answers with status 200, of those with 429, and of /health.
 *
 * One thread, poll(2), blocking writes: on the machine of the server it takes little of
 * its time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STATUSES = 600, MOST = 4096, BUFFER = 1 << 20 };

typedef struct times {
    double *ms;
    size_t count, capacity;
} times;

typedef struct client {
    int fd;
    bool waits, health;
    double sent_s, next_s; /* next: of health */
    char *buffer;
    size_t have;
} client;

typedef struct load {
    struct sockaddr_in server;
    char **requests;
    size_t *request_bytes;
    int request_count, next;
    int64_t by_status[STATUSES], lost, connects;
    times done, refused, health;
} load;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "http_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void note(times *t, double ms)
{
    if (t->count == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 1024;
        t->ms = realloc(t->ms, t->capacity * sizeof *t->ms);
        if (!t->ms)
            die("memory");
    }
    t->ms[t->count++] = ms;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print_times(const char *name, times *t, const char *behind)
{
    qsort(t->ms, t->count, sizeof *t->ms, by_size);
#define AT(share) (t->count ? t->ms[(size_t)((share) * (double)(t->count - 1))] : 0.0)
    printf("  \"%s\": {\"count\": %zu, \"p50\": %.2f, \"p90\": %.2f, \"p99\": %.2f, "
           "\"max\": %.2f}%s\n",
           name, t->count, AT(.5), AT(.9), AT(.99), AT(1.0), behind);
#undef AT
}

static char *read_file(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    char *text = malloc(64 << 20);
    if (!f || !text)
        die(path);
    *bytes = fread(text, 1, 64 << 20, f);
    fclose(f);
    return text;
}

static void make_request(load *l, int i, const char *path, const char *file)
{
    size_t bytes = 0;
    char *body = read_file(file, &bytes);
    char *request = malloc(bytes + 512);
    if (!request)
        die("memory");
    int head = sprintf(request,
                       "POST %.200s HTTP/1.1\r\nHost: load\r\nContent-Type: "
                       "application/json\r\nContent-Length: %zu\r\n\r\n",
                       path, bytes);
    memcpy(request + head, body, bytes);
    l->requests[i] = request;
    l->request_bytes[i] = (size_t)head + bytes;
    free(body);
}

static void open_client(load *l, client *c)
{
    int yes = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 ||
        connect(c->fd, (struct sockaddr *)&l->server, sizeof l->server) != 0)
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    c->have = 0;
    c->waits = false;
    l->connects++;
}

/* The connection broke; what was asked on it is lost. */
static void lose(load *l, client *c)
{
    l->lost += c->waits;
    close(c->fd);
    open_client(l, c);
}

static void ask(load *l, client *c)
{
    static const char health[] = "GET /health HTTP/1.1\r\nHost: load\r\n\r\n";
    const char *at = health;
    size_t left = sizeof health - 1;
    if (!c->health) {
        at = l->requests[l->next];
        left = l->request_bytes[l->next];
        l->next = (l->next + 1) % l->request_count;
    }
    c->sent_s = now_s();
    c->waits = true;
    while (left > 0) {
        ssize_t n = send(c->fd, at, left, MSG_NOSIGNAL);
        if (n <= 0) {
            lose(l, c);
            return;
        }
        at += n;
        left -= (size_t)n;
    }
}

/* Bytes of the whole answer, 0: not all there yet; *status and *close of it. */
static size_t answer_bytes(const client *c, int *status, bool *ends)
{
    char *head_end = memmem(c->buffer, c->have, "\r\n\r\n", 4);
    size_t length = 0;
    if (!head_end)
        return 0;
    *status = atoi(c->buffer + 9);
    *ends = false;
    for (char *line = c->buffer; line < head_end; line = strstr(line, "\r\n") + 2) {
        if (strncasecmp(line, "content-length:", 15) == 0)
            length = strtoul(line + 15, NULL, 10);
        if (strncasecmp(line, "connection: close", 17) == 0)
            *ends = true;
        if (line + strcspn(line, "\r") >= head_end)
            break;
    }
    size_t whole = (size_t)(head_end - c->buffer) + 4 + length;
    return whole <= c->have ? whole : 0;
}

static void receive(load *l, client *c)
{
    ssize_t n = recv(c->fd, c->buffer + c->have, BUFFER - 1 - c->have, MSG_DONTWAIT);
    int status = 0;
    bool ends = false;
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        lose(l, c);
        return;
    }
    c->have += (size_t)n;
    c->buffer[c->have] = 0;
    size_t whole = answer_bytes(c, &status, &ends);
    if (!whole)
        return;
    double ms = 1e3 * (now_s() - c->sent_s);
    c->waits = false;
    c->have = 0;
    if (c->health) {
        note(&l->health, ms);
    } else {
        l->by_status[status > 0 && status < STATUSES ? status : 0]++;
        if (status == 200)
            note(&l->done, ms);
        else if (status == 429)
            note(&l->refused, ms);
    }
    if (ends) {
        close(c->fd);
        open_client(l, c);
    }
}

static void run(load *l, client *clients, int count, double seconds)
{
    struct pollfd polls[MOST + 1];
    double end_s = now_s() + seconds;
    for (;;) {
        double now = now_s();
        bool waiting = false;
        for (int i = 0; i < count; i++) {
            client *c = &clients[i];
            if (!c->waits && now < end_s && (!c->health || now >= c->next_s)) {
                c->next_s = now + .1;
                ask(l, c);
            }
            waiting = waiting || c->waits;
            polls[i] = (struct pollfd){c->fd, POLLIN, 0};
        }
        if (!waiting && now >= end_s)
            return;
        poll(polls, (nfds_t)count, 20);
        for (int i = 0; i < count; i++)
            if (polls[i].revents && clients[i].waits)
                receive(l, &clients[i]);
    }
}

static void print(load *l, int connections, double seconds)
{
    int64_t all = 0;
    printf("{\n  \"connections\": %d, \"seconds\": %.2f, \"lost\": %lld,\n  "
           "\"statuses\": {",
           connections, seconds, (long long)l->lost);
    for (int i = 0, n = 0; i < STATUSES; i++) {
        if (l->by_status[i])
            printf("%s\"%d\": %lld", n++ ? ", " : "", i, (long long)l->by_status[i]);
        all += l->by_status[i];
    }
    printf("},\n  \"answers_per_s\": %.2f, \"done_per_s\": %.2f,\n",
           (double)all / seconds, (double)l->done.count / seconds);
    print_times("done_ms", &l->done, ",");
    print_times("refused_ms", &l->refused, ",");
    print_times("health_ms", &l->health, "");
    printf("}\n");
}

int main(int argc, char **argv)
{
    static load l;
    static client clients[MOST + 1];
    if (argc < 7) {
        fprintf(stderr, "http_load HOST PORT CONNECTIONS SECONDS PATH BODY-FILE...\n");
        return 2;
    }
    int count = atoi(argv[3]);
    l.server.sin_family = AF_INET;
    l.server.sin_port = htons((uint16_t)atoi(argv[2]));
    l.request_count = argc - 6;
    l.requests = calloc((size_t)l.request_count, sizeof *l.requests);
    l.request_bytes = calloc((size_t)l.request_count, sizeof *l.request_bytes);
    if (inet_pton(AF_INET, argv[1], &l.server.sin_addr) != 1 || count < 1 ||
        count > MOST || !l.requests || !l.request_bytes)
        die("a wrong address or number of connections");
    for (int i = 0; i < l.request_count; i++)
        make_request(&l, i, argv[5], argv[6 + i]);
    for (int i = 0; i <= count; i++) {
        clients[i].buffer = malloc(BUFFER);
        clients[i].health = i == count;
        if (!clients[i].buffer)
            die("memory");
        open_client(&l, &clients[i]);
    }
    double started = now_s();
    run(&l, clients, count + 1, atof(argv[4]));
    print(&l, count, now_s() - started);
    return 0;
}

/* test_http_connections.c - who keeps a place when there are too many connections, who is
 * too slow, and who has hung up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/http_connections.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

enum { MOST = 8 };

typedef struct world {
    fb_metrics *metrics;
    fb_connections *all;
    fb_connection *c[MOST];
    int ours[MOST], theirs[MOST];
    int count;
} world;

static const char *const labels[] = {"a"};

static world open_world(fb_connection_limits limits)
{
    world w = {.metrics = fb_metrics_create(labels, 1)};
    fb_context ctx = {0};
    assert_int_equal(fb_connections_create(&ctx, &w.all, &limits, w.metrics), FB_OK);
    return w;
}

static fb_connection *add(world *w, const char *address)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    int pair[2], i = w->count++;
    assert_int_equal(inet_pton(AF_INET, address, &from.sin_addr), 1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    w->ours[i] = pair[0];
    w->theirs[i] = pair[1];
    w->c[i] = fb_connections_add(w->all, pair[0], (const struct sockaddr *)&from);
    assert_non_null(w->c[i]);
    return w->c[i];
}

static void close_world(world *w)
{
    for (int i = 0; i < w->count; i++) {
        fb_connections_remove(w->all, w->c[i]);
        close(w->ours[i]);
        close(w->theirs[i]);
    }
    fb_connections_free(w->all);
    fb_metrics_free(w->metrics);
}

static void who_asks_nothing_makes_room(void **state)
{
    (void)state;
    fb_exchange x = {0};
    world w = open_world((fb_connection_limits){3, 100, 30, 30});
    fb_connection *busy = add(&w, "10.0.0.1"), *silent = add(&w, "10.0.0.2");
    fb_connection *kept = add(&w, "10.0.0.3");
    fb_connections_note(w.all, busy, FB_PHASE_BUSY, &x);
    fb_connections_note(w.all, kept, FB_PHASE_IDLE, NULL); /* has had an answer */
    silent->since_s -= 2;
    fb_connection *fresh = add(&w, "10.0.0.4");
    assert_false(fresh->spare);
    assert_int_equal(silent->phase, FB_PHASE_CLOSING);
    assert_true(fb_connection_is_gone(w.theirs[1]));
    /* Who was answered long ago goes before who has just come. */
    kept->since_s -= 2;
    assert_false(add(&w, "10.0.0.5")->spare);
    assert_int_equal(fresh->phase, FB_PHASE_IDLE);
    assert_int_equal(kept->phase, FB_PHASE_CLOSING);
    assert_int_equal(busy->phase, FB_PHASE_BUSY);
    close_world(&w);
}

static void one_address_crowds_out_itself_alone(void **state)
{
    (void)state;
    world w = open_world((fb_connection_limits){100, 2, 30, 30});
    fb_connection *other = add(&w, "10.0.0.9");
    fb_connection *first = add(&w, "10.0.0.1"), *second = add(&w, "10.0.0.1");
    fb_connection *third = add(&w, "10.0.0.1");
    assert_int_equal(first->phase, FB_PHASE_CLOSING);
    assert_int_equal(second->phase, FB_PHASE_IDLE);
    assert_int_equal(other->phase, FB_PHASE_IDLE);
    assert_false(third->spare);
    close_world(&w);
}

static void where_all_are_at_work_the_next_has_a_spare_place(void **state)
{
    (void)state;
    fb_exchange x = {0};
    world w = open_world((fb_connection_limits){2, 100, 30, 30});
    fb_connections_note(w.all, add(&w, "10.0.0.1"), FB_PHASE_BUSY, &x);
    fb_connections_note(w.all, add(&w, "10.0.0.2"), FB_PHASE_SENDING, &x);
    assert_true(add(&w, "10.0.0.3")->spare);
    assert_int_equal(w.c[0]->phase, FB_PHASE_BUSY);
    assert_int_equal(w.c[1]->phase, FB_PHASE_SENDING);
    close_world(&w);
}

/* A request that has begun, and one that waits to be computed; both are long ago. */
static void a_slow_request_is_told_so_and_a_computed_one_is_not(void **state)
{
    (void)state;
    fb_exchange x = {0};
    char told[64] = "";
    world w = open_world((fb_connection_limits){10, 10, 30, 30});
    fb_connection *slow = add(&w, "10.0.0.1"), *busy = add(&w, "10.0.0.2");
    fb_connection *reader = add(&w, "10.0.0.3");
    fb_connections_note(w.all, slow, FB_PHASE_RECEIVING, &x);
    fb_connections_note(w.all, busy, FB_PHASE_BUSY, &x);
    fb_connections_note(w.all, reader, FB_PHASE_SENDING, &x);
    fb_connections_close_slow(w.all);
    assert_int_equal(slow->phase, FB_PHASE_RECEIVING);
    slow->since_s -= 31;
    busy->since_s -= 31;
    reader->since_s -= 31;
    /* Its further pieces are no new beginning. */
    fb_connections_note(w.all, slow, FB_PHASE_RECEIVING, &x);
    fb_connections_close_slow(w.all);
    assert_int_equal(slow->phase, FB_PHASE_CLOSING);
    assert_int_equal(busy->phase, FB_PHASE_BUSY);
    assert_int_equal(reader->phase, FB_PHASE_CLOSING);
    assert_true(read(w.theirs[0], told, sizeof told - 1) > 0);
    assert_non_null(strstr(told, "HTTP/1.1 408 "));
    assert_false(fb_connection_is_gone(w.theirs[1]));
    close_world(&w);
}

/* Silence from the first on is no longer allowed than a request may take. */
static void a_silent_connection_is_closed(void **state)
{
    (void)state;
    world w = open_world((fb_connection_limits){10, 10, 30, 30});
    fb_connection *fresh = add(&w, "10.0.0.1"), *kept = add(&w, "10.0.0.2");
    fb_connections_note(w.all, kept, FB_PHASE_IDLE, NULL);
    fresh->since_s -= 31;
    kept->since_s -= 31;
    fb_connections_close_slow(w.all);
    assert_int_equal(fresh->phase, FB_PHASE_CLOSING);
    assert_int_equal(kept->phase, FB_PHASE_IDLE);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_asks_nothing_makes_room),
        cmocka_unit_test(one_address_crowds_out_itself_alone),
        cmocka_unit_test(where_all_are_at_work_the_next_has_a_spare_place),
        cmocka_unit_test(a_slow_request_is_told_so_and_a_computed_one_is_not),
        cmocka_unit_test(a_silent_connection_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

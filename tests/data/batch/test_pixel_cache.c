/* test_pixel_cache.c - kept once, found whole, by many threads at once, within bounds.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "data/batch/pixel_cache.h"

enum { ITEMS = 200, BYTES = 64, SLOTS = 150, THREADS = 4 };

static void picture(int32_t item, uint8_t pixels[BYTES])
{
    for (int32_t i = 0; i < BYTES; i++)
        pixels[i] = (uint8_t)(item * 7 + i);
}

static int32_t count_kept(const fb_pixel_cache *cache)
{
    int32_t kept = 0;
    for (int32_t item = 0; item < ITEMS; item++) {
        const uint8_t *found = fb_pixel_cache_find(cache, item);
        uint8_t wanted[BYTES];
        picture(item, wanted);
        if (found)
            assert_memory_equal(found, wanted, BYTES);
        kept += found != NULL;
    }
    return kept;
}

static void images_are_kept_until_it_is_full(void **state)
{
    (void)state;
    fb_pixel_cache *cache = NULL;
    assert_int_equal(
        fb_pixel_cache_create(NULL, &cache, ITEMS, BYTES, SLOTS * BYTES + 1), FB_OK);
    uint8_t pixels[BYTES];
    for (int32_t item = ITEMS; item-- > 0;) {
        assert_null(fb_pixel_cache_find(cache, item));
        picture(item, pixels);
        fb_pixel_cache_keep(cache, item, pixels);
        memset(pixels, 0, BYTES);
        fb_pixel_cache_keep(cache, item, pixels); /* the first ones stay */
        assert_int_equal(fb_pixel_cache_find(cache, item) != NULL,
                         item >= ITEMS - SLOTS);
    }
    assert_int_equal(count_kept(cache), SLOTS);
    fb_pixel_cache_free(cache);
    fb_pixel_cache_free(NULL);
}

static void too_small_a_cache_keeps_nothing(void **state)
{
    (void)state;
    fb_pixel_cache *cache = NULL;
    const uint8_t pixels[BYTES] = {0};
    assert_int_equal(fb_pixel_cache_create(NULL, &cache, ITEMS, BYTES, BYTES - 1),
                     FB_OK);
    fb_pixel_cache_keep(cache, 3, pixels);
    assert_null(fb_pixel_cache_find(cache, 3));
    fb_pixel_cache_free(cache);
}

typedef struct worker {
    fb_pixel_cache *cache;
    int32_t number, wrong;
} worker;

/* Each thread starts elsewhere; what it finds must be whole. */
static void *work(void *argument)
{
    worker *w = argument;
    for (int32_t i = 0; i < 20 * ITEMS; i++) {
        int32_t item = (i + w->number * ITEMS / THREADS / 2) % ITEMS;
        uint8_t wanted[BYTES];
        picture(item, wanted);
        const uint8_t *found = fb_pixel_cache_find(w->cache, item);
        w->wrong += found && memcmp(found, wanted, BYTES) != 0;
        if (!found)
            fb_pixel_cache_keep(w->cache, item, wanted);
    }
    return NULL;
}

static void threads_share_it(void **state)
{
    (void)state;
    fb_pixel_cache *cache = NULL;
    assert_int_equal(fb_pixel_cache_create(NULL, &cache, ITEMS, BYTES, SLOTS * BYTES),
                     FB_OK);
    pthread_t threads[THREADS];
    worker workers[THREADS];
    for (int32_t i = 0; i < THREADS; i++) {
        workers[i] = (worker){cache, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].wrong, 0);
    }
    assert_int_equal(count_kept(cache), SLOTS);
    fb_pixel_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_are_kept_until_it_is_full),
        cmocka_unit_test(too_small_a_cache_keeps_nothing),
        cmocka_unit_test(threads_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

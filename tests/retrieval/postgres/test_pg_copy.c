/* test_pg_copy.c - rows as PostgreSQL reads them byte for byte, and filters' keys. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "retrieval/postgres/pg_copy.h"

static void holds(const fb_pg_copy *c, const char *bytes, size_t size)
{
    assert_int_equal(c->size, size);
    assert_memory_equal(c->bytes, bytes, size);
}

static void rows_are_as_copy_binary_wants_them(void **state)
{
    (void)state;
    fb_pg_copy c = {0};
    const char *const texts[] = {"ab", "", "\xc3\xa9"};
    fb_pg_copy_begin(&c);
    holds(&c, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
    c.size = 0;
    fb_pg_copy_row(&c, 7);
    holds(&c, "\0\7", 2);
    c.size = 0;
    fb_pg_copy_int64(&c, 0x0102030405060708);
    holds(&c, "\0\0\0\10\1\2\3\4\5\6\7\10", 12);
    c.size = 0;
    fb_pg_copy_int64(&c, -2);
    holds(&c, "\0\0\0\10\377\377\377\377\377\377\377\376", 12);
    c.size = 0;
    fb_pg_copy_text(&c, "a'\\");
    holds(&c, "\0\0\0\3a'\\", 7);
    c.size = 0;
    fb_pg_copy_vector(&c, (const float[]){1.0f, -0.5f}, 2);
    holds(&c, "\0\0\0\14\0\2\0\0\77\200\0\0\277\0\0\0", 16);
    c.size = 0;
    fb_pg_copy_texts(&c, texts, 3);
    holds(&c,
          "\0\0\0\44\0\0\0\1\0\0\0\0\0\0\0\31\0\0\0\3\0\0\0\1"
          "\0\0\0\2ab\0\0\0\0\0\0\0\2\xc3\xa9",
          40);
    c.size = 0;
    fb_pg_copy_texts(&c, NULL, 0);
    holds(&c, "\0\0\0\14\0\0\0\0\0\0\0\0\0\0\0\31", 16);
    c.size = 0;
    fb_pg_copy_end(&c);
    holds(&c, "\377\377", 2);
    assert_int_equal(fb_pg_copy_check(NULL, &c), FB_OK);
    fb_pg_copy_free(&c);
    assert_null(c.bytes);
}

static float half_value(uint32_t half)
{
    int exponent = (int)(half >> 10 & 31);
    double fraction = (half & 1023) / 1024.0;
    double size = exponent ? ldexp(1 + fraction, exponent - 15) : ldexp(fraction, -14);
    return (float)(half & 0x8000 ? -size : size);
}

/* Each half is its own, and what lies between two goes to the nearer, from the middle
 * to the even one. */
static void halves_are_the_nearest(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7bff; h++) {
        float a = half_value(h), b = half_value(h + 1), middle = (a + b) / 2;
        assert_int_equal(fb_pg_half(a), h);
        assert_int_equal(fb_pg_half(-a), h | 0x8000);
        assert_int_equal(fb_pg_half(middle), h + (h & 1));
        assert_int_equal(fb_pg_half(nextafterf(middle, 0)), h);
        assert_int_equal(fb_pg_half(nextafterf(middle, b)), h + 1);
    }
    assert_int_equal(fb_pg_half(65504.0f), 0x7bff);
    assert_int_equal(fb_pg_half(65519.9f), 0x7bff);
    assert_int_equal(fb_pg_half(65520.0f), 0x7c00);
    assert_int_equal(fb_pg_half(-INFINITY), 0xfc00);
    assert_int_equal(fb_pg_half(NAN) & 0x7e00, 0x7e00);
}

static void a_halfvec_is_as_copy_binary_wants_it(void **state)
{
    (void)state;
    fb_pg_copy c = {0};
    fb_pg_copy_halfvec(&c, (const float[]){1.0f, -0.5f}, 2);
    holds(&c, "\0\0\0\x08\0\x02\0\0\x3c\0\xb8\0", 12);
    fb_pg_copy_free(&c);
}

static void bytes_grow_past_any_size(void **state)
{
    (void)state;
    fb_pg_copy c = {0};
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    for (int i = 0; i < 3000; i++)
        fb_pg_copy_text(&c, text);
    assert_int_equal(c.size, 3000 * 1003);
    for (size_t i = 0; i < c.size; i += 1003)
        assert_memory_equal(c.bytes + i, "\0\0\3\347xxx", 7);
    fb_pg_copy_free(&c);
}

static bool same_key(const char *a, const char *b, const char *c, const char *d)
{
    char *x = fb_pg_filter_key(a, b), *y = fb_pg_filter_key(c, d);
    assert_non_null(x);
    assert_non_null(y);
    bool same = strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

static void keys_tell_attributes_apart(void **state)
{
    (void)state;
    char *key = fb_pg_filter_key("Colour", "Navy Blue");
    assert_string_equal(key, "6:colour=navy blue");
    free(key);
    assert_true(same_key("colour", "BLUE", "COLOUR", "blue"));
    assert_false(same_key("colour", "blue", "colour", "blue "));
    assert_false(same_key("a", "b=c", "a=b", "c"));
    assert_false(same_key("a", "", "", "a"));
    assert_true(same_key("c", "\xc3\x89", "c", "\xc3\xa9"));
    assert_true(same_key("c", "E\xcc\x81", "c", "\xc3\xa9"));
    assert_false(same_key("c", "e", "c", "\xc3\xa9"));
}

static void long_values_have_short_keys(void **state)
{
    (void)state;
    char a[5001], b[5001];
    memset(a, 'x', 5000);
    a[5000] = 0;
    memcpy(b, a, sizeof a);
    char *key = fb_pg_filter_key("text", a);
    assert_true(strlen(key) < 64 && key[0] == '#');
    free(key);
    assert_true(same_key("text", a, "TEXT", b));
    b[4999] = 'y';
    assert_false(same_key("text", a, "text", b));
    assert_false(same_key("text", a, "texts", a));
    b[4999] = 'X';
    assert_true(same_key("text", a, "text", b));
}

static void products_spread_over_shards(void **state)
{
    (void)state;
    int32_t count[7] = {0};
    for (int i = 0; i < 7000; i++) {
        char id[32];
        snprintf(id, sizeof id, "product %d", i);
        int32_t shard = fb_pg_shard_of(id, 7);
        assert_int_equal(shard, fb_pg_shard_of(id, 7));
        assert_true(shard >= 0 && shard < 7);
        count[shard]++;
    }
    for (int i = 0; i < 7; i++)
        assert_true(count[i] > 850 && count[i] < 1150);
    assert_int_equal(fb_pg_shard_of("anything", 1), 0);
}

static void uris_are_told_from_folders(void **state)
{
    (void)state;
    assert_true(fb_pg_is_store("postgresql://host/db"));
    assert_true(fb_pg_is_store("postgres://a postgres://b"));
    assert_false(fb_pg_is_store("shop.index"));
    assert_false(fb_pg_is_store("postgresql"));
    assert_false(fb_pg_is_store(""));
    assert_false(fb_pg_is_store(" postgresql://host/db"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_as_copy_binary_wants_them),
        cmocka_unit_test(halves_are_the_nearest),
        cmocka_unit_test(a_halfvec_is_as_copy_binary_wants_it),
        cmocka_unit_test(bytes_grow_past_any_size),
        cmocka_unit_test(keys_tell_attributes_apart),
        cmocka_unit_test(long_values_have_short_keys),
        cmocka_unit_test(products_spread_over_shards),
        cmocka_unit_test(uris_are_told_from_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_perceptual_hash.c - what a look keeps and what it tells apart, on drawn
 * pictures; and that the search finds exactly the near pairs that comparing all with
 * all finds.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "data/image/image_decode.h"
#include "data/image/near_pairs.h"
#include "support/drawn_photo.h"

enum { SIDE = 96 };

static fb_look take(const fb_image *image)
{
    fb_context *ctx = fb_context_create();
    fb_resizer *resizer = fb_resizer_create();
    fb_look look;
    assert_non_null(resizer);
    assert_int_equal(fb_look_take(ctx, resizer, image, &look), FB_OK);
    fb_resizer_free(resizer);
    fb_context_free(ctx);
    return look;
}

static fb_look look_of(uint64_t shape, uint64_t colour, int32_t width, int32_t height)
{
    fb_image image = drawn_photo(shape, colour, width, height);
    fb_look look = take(&image);
    fb_image_free(&image);
    return look;
}

static fb_look look_as_jpeg(uint64_t seed, int32_t quality)
{
    fb_image image = drawn_photo(seed, seed, SIDE, SIDE), again = {0};
    char *bytes = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&bytes, &size);
    assert_non_null(stream);
    assert_int_equal(fb_image_encode_jpeg(NULL, stream, "test", &image, quality, true),
                     FB_OK);
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(
        fb_image_decode(NULL, "test", (const uint8_t *)bytes, size, &again), FB_OK);
    fb_look look = take(&again);
    fb_image_free(&image);
    fb_image_free(&again);
    free(bytes);
    return look;
}

static void finds_the_same_picture_saved_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        fb_look a = look_of(seed, seed, SIDE, SIDE), b = look_as_jpeg(seed, 60);
        if (!fb_look_is_near(&a, &b))
            fail_msg("seed %llu: a JPEG of quality 60 is %d bits away",
                     (unsigned long long)seed, fb_look_distance(&a, &b));
    }
}

static void finds_the_same_picture_at_another_size(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        fb_look a = look_of(seed, seed, 300, 300), b = look_of(seed, seed, 120, 120);
        if (!fb_look_is_near(&a, &b))
            fail_msg("seed %llu: the smaller copy is %d bits away",
                     (unsigned long long)seed, fb_look_distance(&a, &b));
    }
}

static void finds_a_brighter_copy(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        fb_image image = drawn_photo(seed, seed, SIDE, SIDE);
        fb_look a = take(&image);
        for (size_t i = 0; i < (size_t)SIDE * SIDE * 3; i++)
            image.rgb[i] = image.rgb[i] > 249 ? 255 : (uint8_t)(image.rgb[i] + 6);
        fb_look b = take(&image);
        fb_image_free(&image);
        if (!fb_look_is_near(&a, &b))
            fail_msg("seed %llu: the brighter copy is %d bits away",
                     (unsigned long long)seed, fb_look_distance(&a, &b));
    }
}

static void tells_other_pictures_apart(void **state)
{
    (void)state;
    enum { N = 150 };
    fb_look *looks = calloc(N, sizeof *looks);
    assert_non_null(looks);
    for (int i = 0; i < N; i++)
        looks[i] = look_of((uint64_t)i + 1, (uint64_t)i + 1, SIDE, SIDE);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < i; j++)
            if (fb_look_is_near(&looks[i], &looks[j]))
                fail_msg("pictures %d and %d are other pictures", j, i);
    free(looks);
}

static void tells_other_colours_apart(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        fb_look a = look_of(seed, seed, SIDE, SIDE);
        fb_look b = look_of(seed, seed + 1000, SIDE, SIDE);
        if (fb_look_is_near(&a, &b))
            fail_msg("seed %llu: another colour is another picture",
                     (unsigned long long)seed);
    }
}

/* Two pale garments on white: a patch a few levels darker, at different places. */
static void white_on_white_is_told_apart_by_what_little_differs(void **state)
{
    (void)state;
    fb_image a = drawn_photo(1, 1, SIDE, SIDE), b = drawn_photo(2, 2, SIDE, SIDE);
    for (size_t i = 0; i < (size_t)SIDE * SIDE * 3; i++) {
        a.rgb[i] = (uint8_t)(255 - (255 - a.rgb[i]) / 12);
        b.rgb[i] = (uint8_t)(255 - (255 - b.rgb[i]) / 12);
    }
    fb_look x = take(&a), y = take(&b);
    assert_false(fb_look_is_near(&x, &y));
    fb_image_free(&a);
    fb_image_free(&b);
}

static void a_flat_picture_is_near_to_none(void **state)
{
    (void)state;
    fb_image image = {SIDE, SIDE, malloc((size_t)SIDE * SIDE * 3)};
    assert_non_null(image.rgb);
    for (int kind = 0; kind < 3; kind++) { /* white, grey, a gradient */
        for (size_t i = 0; i < (size_t)SIDE * SIDE * 3; i++)
            image.rgb[i] = kind == 0 ? 255 : kind == 1 ? 128 : (uint8_t)(i / 3 % SIDE);
        fb_look look = take(&image);
        assert_true(fb_look_is_flat(&look));
        assert_false(fb_look_is_near(&look, &look));
    }
    fb_image_free(&image);
    fb_look none = {0};
    assert_true(fb_look_is_flat(&none));
}

/* The formula in plain doubles, on a picture that needs no resizing: bits agree but
 * where a coefficient lies within a tenth of a level of the threshold. */
static void the_bits_are_signs_of_the_cosine_transform(void **state)
{
    (void)state;
    const double pi = 3.14159265358979323846;
    int checked = 0;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        fb_image image = drawn_photo(seed, seed, 32, 32);
        fb_look look = take(&image);
        for (int k = 1; k < 256; k++) {
            double sum = 0;
            for (int i = 0; i < 32 * 32; i++) {
                const uint8_t *p = image.rgb + 3 * (size_t)i;
                double grey = 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
                sum += grey * cos(pi * (k / 16) * (i / 32 + 0.5) / 32) *
                       cos(pi * (k % 16) * (i % 32 + 0.5) / 32);
            }
            sum *= (k / 16 ? sqrt(2.0 / 32) : sqrt(1.0 / 32)) *
                   (k % 16 ? sqrt(2.0 / 32) : sqrt(1.0 / 32));
            if (fabs(sum - FB_LOOK_NOISE) < 0.1)
                continue;
            checked++;
            assert_int_equal(look.signs[(k - 1) / 64] >> ((k - 1) % 64) & 1,
                             sum > FB_LOOK_NOISE);
        }
        fb_image_free(&image);
    }
    assert_true(checked > 5 * 240);
}

/* ---- the search ------------------------------------------------------------------ */

enum { LOOKS = 900 };

typedef struct found {
    uint8_t *pair; /* [LOOKS, LOOKS] how often visited */
} found;

static void visit(void *self, int32_t a, int32_t b)
{
    found *f = self;
    assert_in_range(a, 0, LOOKS - 1);
    assert_in_range(b, a + 1, LOOKS - 1);
    f->pair[a * LOOKS + b]++;
}

/* Families of looks: copies of a parent with 0 to 30 bits turned. */
static fb_look *make_looks(uint64_t seed)
{
    fb_look *looks = calloc(LOOKS, sizeof *looks);
    assert_non_null(looks);
    fb_random r = fb_random_start(seed, FB_STREAM_TEST, 0);
    for (int i = 0; i < LOOKS; i++) {
        if (i < LOOKS / 6) {
            for (int w = 0; w < 4; w++)
                looks[i].signs[w] = fb_random_next(&r) & fb_random_next(&r);
            looks[i].signs[3] &= UINT64_MAX >> 1;
            for (int c = 0; c < FB_LOOK_COLOURS; c++)
                looks[i].colour[c] = (uint8_t)fb_random_below(&r, 256);
            continue;
        }
        looks[i] = looks[fb_random_below(&r, (uint32_t)i)];
        uint32_t turns = fb_random_below(&r, 31);
        for (uint32_t t = 0; t < turns; t++) {
            uint32_t bit = fb_random_below(&r, FB_LOOK_BITS);
            looks[i].signs[bit / 64] ^= UINT64_C(1) << (bit % 64);
        }
        if (fb_random_below(&r, 4) == 0)
            looks[i].colour[0] ^= 1;
    }
    looks[5] = (fb_look){0};
    looks[700] = (fb_look){0};
    return looks;
}

static int32_t first_equal(const fb_look *looks, int32_t i)
{
    for (int32_t j = 0; j < i; j++)
        if (memcmp(&looks[j], &looks[i], sizeof *looks) == 0)
            return j;
    return i;
}

static void finds_every_near_pair_once_and_no_other(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        fb_look *looks = make_looks(seed);
        found f = {calloc((size_t)LOOKS * LOOKS, 1)};
        assert_non_null(f.pair);
        assert_int_equal(fb_near_pairs_find(NULL, looks, LOOKS, visit, &f), FB_OK);
        int64_t near = 0, equal = 0;
        for (int32_t b = 0; b < LOOKS; b++)
            for (int32_t a = 0; a < b; a++) {
                bool firsts = first_equal(looks, a) == a && first_equal(looks, b) == b;
                bool same = first_equal(looks, b) == a && !fb_look_is_flat(&looks[a]);
                bool want = same || (firsts && fb_look_is_near(&looks[a], &looks[b]));
                near += want && !same;
                equal += same;
                if (f.pair[a * LOOKS + b] != want)
                    fail_msg("seed %llu: pair %d %d visited %d times, not %d",
                             (unsigned long long)seed, a, b, f.pair[a * LOOKS + b],
                             want);
            }
        assert_true(near > 300 && equal > 10); /* the case is worth testing */
        free(f.pair);
        free(looks);
    }
}

static void no_images_have_no_pairs(void **state)
{
    (void)state;
    assert_int_equal(fb_near_pairs_find(NULL, NULL, 0, visit, NULL), FB_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_same_picture_saved_again),
        cmocka_unit_test(finds_the_same_picture_at_another_size),
        cmocka_unit_test(finds_a_brighter_copy),
        cmocka_unit_test(tells_other_pictures_apart),
        cmocka_unit_test(tells_other_colours_apart),
        cmocka_unit_test(white_on_white_is_told_apart_by_what_little_differs),
        cmocka_unit_test(a_flat_picture_is_near_to_none),
        cmocka_unit_test(the_bits_are_signs_of_the_cosine_transform),
        cmocka_unit_test(finds_every_near_pair_once_and_no_other),
        cmocka_unit_test(no_images_have_no_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

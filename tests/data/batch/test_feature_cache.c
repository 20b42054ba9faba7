/* test_feature_cache.c - a feature cache is read as it was written, refused when it is
 * of something else or damaged in any byte of its header, and goes on where its writer
 * was killed.
 */
#include "data/batch/feature_rows.h"
#include "data/batch/feature_writer.h"
#include "support/catalogue_fixture.h"

#include <sys/stat.h>
#include <unistd.h>

enum { ROWS = 10, P = 4, F = 6, BLOCK = 4, BLOCKS = 3, NUMBERS = P * F };
enum { ROW_BYTES = NUMBERS * 2, DATA_AT = 8192, SIZE = DATA_AT + ROWS * ROW_BYTES };

static fb_feature_key key(void)
{
    return (fb_feature_key){.encoder = "thin",
                            .image_size = 96,
                            .grid = 2,
                            .squash = 1,
                            .bf16 = 1,
                            .rows = ROWS,
                            .patches = P,
                            .features = F,
                            .mean = {1, 1, 1},
                            .std = {0.3, 0.3, 0.3},
                            .weights = 77,
                            .images = 99};
}

static void row(int32_t number, fb_bf16 out[NUMBERS])
{
    for (int32_t i = 0; i < NUMBERS; i++)
        out[i] = (fb_bf16)(number * 1000 + i);
}

static char *path_of(const fixture *f, const char *name)
{
    static char path[2][4096];
    static int turn;
    turn = !turn;
    assert_int_equal(fb_path_join(f->ctx, path[turn], f->folder, name), FB_OK);
    return path[turn];
}

static fb_feature_writer *begin(const fixture *f, const fb_feature_key *k, bool keep)
{
    fb_feature_writer *w = NULL;
    if (fb_feature_writer_open(f->ctx, &w, path_of(f, "c"), k, BLOCK, keep) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    return w;
}

static void add_blocks(const fixture *f, fb_feature_writer *w, int32_t blocks)
{
    fb_bf16 rows[BLOCK * NUMBERS];
    for (int32_t b = 0; b < blocks; b++) {
        int32_t first = fb_feature_writer_done(w), count = fb_feature_writer_next(w);
        assert_int_equal(count, first == 8 ? 2 : BLOCK);
        for (int32_t i = 0; i < count; i++)
            row(first + i, rows + (size_t)i * NUMBERS);
        assert_int_equal(fb_feature_writer_add(f->ctx, w, rows), FB_OK);
    }
}

static void finish(const fixture *f, fb_feature_writer *w)
{
    assert_int_equal(fb_feature_writer_next(w), 0);
    assert_int_equal(fb_feature_writer_finish(f->ctx, w), FB_OK);
    fb_feature_writer_close(w);
}

static void write_all(const fixture *f)
{
    fb_feature_key k = key();
    fb_feature_writer *w = begin(f, &k, true);
    add_blocks(f, w, BLOCKS);
    finish(f, w);
}

static fb_status open_as(const fixture *f, const fb_feature_key *k)
{
    fb_feature_cache *cache = NULL;
    fb_status status = fb_feature_cache_open(f->ctx, &cache, path_of(f, "c"), k);
    assert_true((status == FB_OK) == (cache != NULL));
    fb_feature_cache_close(cache);
    return status;
}

static void expect_rows(const fixture *f)
{
    fb_feature_key k = key();
    fb_feature_cache *cache = NULL;
    assert_int_equal(fb_feature_cache_open(f->ctx, &cache, path_of(f, "c"), &k), FB_OK);
    assert_int_equal(fb_feature_cache_rows(cache), ROWS);
    assert_int_equal(fb_feature_cache_row_bytes(cache), ROW_BYTES);
    for (int32_t i = 0; i < ROWS; i++) {
        fb_bf16 want[NUMBERS];
        row(i, want);
        assert_memory_equal(fb_feature_cache_row(cache, i), want, sizeof want);
    }
    fb_feature_cache_close(cache);
}

static uint8_t *bytes_of(const fixture *f, const char *name, size_t *size)
{
    uint8_t *bytes = NULL;
    assert_int_equal(fb_file_read(f->ctx, path_of(f, name), 1 << 20, &bytes, size),
                     FB_OK);
    return bytes;
}

static void what_is_written_is_read(void **state)
{
    fixture *f = *state;
    fb_feature_key k = key();
    assert_int_equal(open_as(f, &k), FB_E_MISSING);
    write_all(f);
    assert_false(fb_path_exists(path_of(f, "c.part")));
    expect_rows(f);
    struct stat st;
    assert_int_equal(stat(path_of(f, "c"), &st), 0);
    assert_int_equal(st.st_size, SIZE);
    assert_int_equal(open_as(f, NULL), FB_OK);
}

static void a_part_is_never_taken_for_a_whole(void **state)
{
    fixture *f = *state;
    fb_feature_key k = key();
    fb_feature_writer *w = begin(f, &k, true);
    add_blocks(f, w, 2);
    assert_int_equal(fb_feature_writer_finish(f->ctx, w), FB_E_STATE);
    fb_feature_writer_close(w);
    assert_int_equal(open_as(f, &k), FB_E_MISSING);
    assert_int_equal(rename(path_of(f, "c.part"), path_of(f, "c")), 0);
    assert_int_equal(open_as(f, &k), FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(f->ctx), "block 3 of 3 is missing"));
}

static void another_key_is_refused_by_what_differs(void **state)
{
    fixture *f = *state;
    write_all(f);
    struct {
        fb_feature_key key;
        const char *words;
    } other[11];
    for (int i = 0; i < 11; i++)
        other[i].key = key();
    strcpy(other[0].key.encoder, "resnet18");
    other[0].words = "encoder thin, not resnet18";
    other[1].key.each = 1;
    other[1].words = "patches grid, not each";
    other[2].key.image_size = 128;
    other[2].words = "image size 96, not 128";
    other[3].key.grid = 4;
    other[3].words = "grid 2, not 4";
    other[4].key.squash = 0;
    other[4].words = "fit squash, not pad";
    other[5].key.bf16 = 0;
    other[5].words = "computed in bf16, not f32";
    other[6].key.mean[1] = 0.5;
    other[6].words = "other mean and std";
    other[7].key.std[2] = 0.5;
    other[7].words = "other mean and std";
    other[8].key.weights++;
    other[8].words = "other weights of thin";
    other[9].key.images++;
    other[9].words = "another catalogue";
    other[10].key.features = 7;
    other[10].words = "[4, 6] an image, not [4, 7]";
    for (int i = 0; i < 11; i++) {
        assert_int_equal(open_as(f, &other[i].key), FB_E_STATE);
        if (!strstr(fb_context_message(f->ctx), other[i].words))
            fail_msg("%s: lacks %s", fb_context_message(f->ctx), other[i].words);
    }
    other[0].key.squash = 0; /* all of it is named */
    assert_int_equal(open_as(f, &other[0].key), FB_E_STATE);
    assert_non_null(
        strstr(fb_context_message(f->ctx), "resnet18, fit squash, not pad"));
}

static void a_file_cut_short_is_refused(void **state)
{
    fixture *f = *state;
    fb_feature_key k = key();
    write_all(f);
    static const size_t sizes[] = {SIZE + 1, SIZE - 1, DATA_AT, 4097, 144, 143, 8, 0};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(truncate(path_of(f, "c"), (off_t)sizes[i]), 0);
        assert_int_equal(open_as(f, &k), FB_E_FORMAT);
    }
}

static void no_byte_of_the_header_may_change(void **state)
{
    fixture *f = *state;
    fb_feature_key k = key();
    size_t size;
    write_all(f);
    uint8_t *bytes = bytes_of(f, "c", &size);
    for (size_t i = 0; i < sizeof(fb_feature_header); i++) {
        fb_feature_cache *cache = NULL;
        bytes[i] ^= 0x10;
        assert_int_equal(
            fb_feature_cache_parse(f->ctx, &cache, "bytes", bytes, size, &k),
            FB_E_FORMAT);
        assert_null(cache);
        bytes[i] ^= 0x10;
    }
    fb_feature_cache *cache = NULL;
    assert_int_equal(fb_feature_cache_parse(f->ctx, &cache, "bytes", bytes, size, &k),
                     FB_OK);
    fb_feature_cache_close(cache);
    free(bytes);
}

static void a_killed_writer_goes_on(void **state)
{
    fixture *f = *state;
    fb_feature_key k = key();
    fb_feature_writer *w = begin(f, &k, true);
    assert_int_equal(fb_feature_writer_done(w), 0);
    add_blocks(f, w, 2);
    fb_feature_writer_close(w);
    w = begin(f, &k, true);
    assert_int_equal(fb_feature_writer_done(w), 8);
    add_blocks(f, w, 1);
    finish(f, w);
    expect_rows(f);
}

/* Damage the part after two blocks, then see how many rows are taken over. */
static int32_t rows_kept_after(const fixture *f, size_t flip_at, size_t cut_to)
{
    fb_feature_key k = key();
    size_t size;
    (void)unlink(path_of(f, "c.part"));
    fb_feature_writer *w = begin(f, &k, true);
    add_blocks(f, w, 2);
    fb_feature_writer_close(w);
    uint8_t *bytes = bytes_of(f, "c.part", &size);
    assert_int_equal(size, SIZE);
    if (flip_at)
        bytes[flip_at] ^= 1;
    fixture_write(f, "c.part", bytes, cut_to ? cut_to : size);
    free(bytes);
    w = begin(f, &k, true);
    int32_t kept = fb_feature_writer_done(w);
    add_blocks(f, w, BLOCKS - kept / BLOCK);
    finish(f, w);
    expect_rows(f);
    assert_int_equal(unlink(path_of(f, "c")), 0);
    return kept;
}

static void a_torn_block_is_computed_again(void **state)
{
    fixture *f = *state;
    assert_int_equal(rows_kept_after(f, 0, 0), 8);
    assert_int_equal(rows_kept_after(f, DATA_AT + 8 * ROW_BYTES - 1, 0), 4);
    assert_int_equal(rows_kept_after(f, DATA_AT + 5 * ROW_BYTES, 0), 4);
    assert_int_equal(rows_kept_after(f, DATA_AT, 0), 0);
    assert_int_equal(rows_kept_after(f, 4096 + 8, 0), 4); /* the second checksum */
    assert_int_equal(rows_kept_after(f, 0, DATA_AT + 8 * ROW_BYTES - 1), 4);
    assert_int_equal(rows_kept_after(f, 0, DATA_AT + 8 * ROW_BYTES), 8);
    assert_int_equal(rows_kept_after(f, 0, DATA_AT), 0);
    assert_int_equal(rows_kept_after(f, 0, 4097), 0);
}

static void a_part_of_something_else_is_kept_or_begun_anew(void **state)
{
    fixture *f = *state;
    fb_feature_key k = key(), other = key();
    other.weights++;
    fb_feature_writer *w = begin(f, &k, true);
    add_blocks(f, w, 2);
    fb_feature_writer_close(w);
    assert_int_equal(
        fb_feature_writer_open(f->ctx, &w, path_of(f, "c"), &other, BLOCK, true),
        FB_E_STATE);
    assert_non_null(strstr(fb_context_message(f->ctx), "other weights of thin"));
    w = begin(f, &k, true); /* it was left as it is */
    assert_int_equal(fb_feature_writer_done(w), 8);
    fb_feature_writer_close(w);
    w = begin(f, &other, false);
    assert_int_equal(fb_feature_writer_done(w), 0);
    add_blocks(f, w, BLOCKS);
    finish(f, w);
    assert_int_equal(open_as(f, &other), FB_OK);
    assert_int_equal(open_as(f, &k), FB_E_STATE);

    fixture_text(f, "c.part", "somebody's letters");
    assert_int_equal(
        fb_feature_writer_open(f->ctx, &w, path_of(f, "c"), &k, BLOCK, true),
        FB_E_FORMAT);
    size_t size;
    uint8_t *bytes = bytes_of(f, "c.part", &size);
    assert_string_equal((char *)bytes, "somebody's letters");
    free(bytes);
}

static void two_writers_do_not_share_a_part(void **state)
{
    fixture *f = *state;
    fb_feature_key k = key();
    fb_feature_writer *first = begin(f, &k, true), *second = NULL;
    assert_int_equal(
        fb_feature_writer_open(f->ctx, &second, path_of(f, "c"), &k, BLOCK, true),
        FB_E_STATE);
    assert_non_null(strstr(fb_context_message(f->ctx), "another process"));
    assert_null(second);
    add_blocks(f, first, BLOCKS);
    finish(f, first);
    expect_rows(f);
}

static void where_nothing_can_be_written_it_says_so(void **state)
{
    fixture *f = *state;
    fb_feature_key k = key();
    fb_feature_writer *w = NULL;
    assert_int_equal(
        fb_feature_writer_open(f->ctx, &w, path_of(f, "no/c"), &k, BLOCK, true),
        FB_E_IO);
    k.rows = INT32_MAX; /* no disk holds so many */
    k.patches = 4096;
    k.features = 65536;
    assert_int_equal(
        fb_feature_writer_open(f->ctx, &w, path_of(f, "c"), &k, BLOCK, true), FB_E_IO);
    assert_non_null(strstr(fb_context_message(f->ctx), "no room for"));
    assert_false(fb_path_exists(path_of(f, "c.part")));
}

static void rows_are_the_images_that_training_needs(void **state)
{
    fixture *f = *state;
    static const char *const splits[] = {"train", "test", "val",
                                         "train", "test", "val"};
    char rows[1024] = "", name[16];
    for (int i = 0; i < 6; i++) {
        sprintf(rows + strlen(rows),
                "{\"file_name\":\"%d.png\",\"title\":\"a %d\",\"split\":\"%s\"}\n", i,
                i, splits[i]);
        sprintf(name, "%d.png", i);
        fixture_text(f, name, "picture");
    }
    fixture_text(f, "metadata.jsonl", rows);
    fb_catalogue *cat = NULL;
    fb_feature_rows r;
    uint64_t before, after;
    assert_int_equal(fb_catalogue_open(f->ctx, &cat, f->folder, NULL), FB_OK);
    assert_int_equal(fb_feature_rows_create(f->ctx, &r, cat), FB_OK);
    assert_int_equal(r.count, 4);
    assert_memory_equal(r.item, ((int32_t[]){0, 2, 3, 5}), 4 * sizeof(int32_t));
    assert_memory_equal(r.row_of, ((int32_t[]){0, -1, 1, 2, -1, 3}),
                        6 * sizeof(int32_t));
    assert_int_equal(fb_feature_rows_hash(f->ctx, &before, &r, cat), FB_OK);
    fixture_text(f, "1.png", "of test: no matter");
    assert_int_equal(fb_feature_rows_hash(f->ctx, &after, &r, cat), FB_OK);
    assert_true(after == before);
    fixture_text(f, "5.png", "another picture");
    assert_int_equal(fb_feature_rows_hash(f->ctx, &after, &r, cat), FB_OK);
    assert_true(after != before);
    assert_int_equal(unlink(path_of(f, "0.png")), 0);
    assert_int_equal(fb_feature_rows_hash(f->ctx, &after, &r, cat), FB_E_MISSING);
    fb_feature_rows_clear(&r);
    fb_catalogue_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(what_is_written_is_read),
        FIXTURE_TEST(a_part_is_never_taken_for_a_whole),
        FIXTURE_TEST(another_key_is_refused_by_what_differs),
        FIXTURE_TEST(a_file_cut_short_is_refused),
        FIXTURE_TEST(no_byte_of_the_header_may_change),
        FIXTURE_TEST(a_killed_writer_goes_on),
        FIXTURE_TEST(a_torn_block_is_computed_again),
        FIXTURE_TEST(a_part_of_something_else_is_kept_or_begun_anew),
        FIXTURE_TEST(two_writers_do_not_share_a_part),
        FIXTURE_TEST(where_nothing_can_be_written_it_says_so),
        FIXTURE_TEST(rows_are_the_images_that_training_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_event_file.c - checksums, the bytes of records, and whole files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/event_file.h"
#include "base/file.h"

#include <dirent.h>
#include <stdlib.h>

static void crc32c_agrees_with_the_published_vectors(void **state)
{
    (void)state;
    uint8_t bytes[32] = {0};
    assert_int_equal(fb_crc32c("123456789", 9), 0xe3069283u);
    assert_int_equal(fb_crc32c("", 0), 0);
    assert_int_equal(fb_crc32c(bytes, 32), 0x8a9136aau); /* RFC 3720, B.4 */
    memset(bytes, 0xff, 32);
    assert_int_equal(fb_crc32c(bytes, 32), 0x62a8ab43u);
}

static void scalar_record_has_the_bytes_tensorboard_writes(void **state)
{
    (void)state;
    /* Event(wall_time=1700000000.25, step=300, summary: loss/mlm = 1.5), serialised and
     * framed by the tensorboard package 2.x. */
    static const uint8_t golden[] = {
        0x1f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x51, 0x4b, 0x44, 0x18,
        0x09, 0x00, 0x00, 0x10, 0x40, 0xfc, 0x54, 0xd9, 0x41, 0x10, 0xac, 0x02,
        0x2a, 0x11, 0x0a, 0x0f, 0x0a, 0x08, 0x6c, 0x6f, 0x73, 0x73, 0x2f, 0x6d,
        0x6c, 0x6d, 0x15, 0x00, 0x00, 0xc0, 0x3f, 0xfd, 0x45, 0xda, 0x50};
    uint8_t record[FB_EVENT_RECORD_BYTES];
    size_t size = fb_event_record_scalar(record, 1700000000.25, "loss/mlm", 300, 1.5f);
    assert_int_equal(size, sizeof golden);
    assert_memory_equal(record, golden, sizeof golden);
}

static void longest_tag_fits_and_a_longer_one_is_refused(void **state)
{
    (void)state;
    char tag[FB_EVENT_TAG_BYTES + 2] = "";
    uint8_t record[FB_EVENT_RECORD_BYTES];
    memset(tag, 'x', FB_EVENT_TAG_BYTES);
    assert_in_range(fb_event_record_scalar(record, 1, tag, INT64_MIN, 1.0f), 300,
                    sizeof record);
    tag[FB_EVENT_TAG_BYTES] = 'x';
    assert_int_equal(fb_event_record_scalar(record, 1, tag, 0, 1.0f), 0);
}

static uint64_t read_u64(const uint8_t *p)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | p[i];
    return value;
}

/* Records of the only file in folder, each checked for its checksums' place. */
static int count_records(fb_context *ctx, const char *folder)
{
    int files = 0, records = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        if (strncmp(e->d_name, "events.out.tfevents.", 20) != 0)
            continue;
        char path[4096];
        uint8_t *bytes = NULL;
        size_t size = 0, at = 0;
        files++;
        assert_int_equal(fb_path_join(ctx, path, folder, e->d_name), FB_OK);
        assert_int_equal(fb_file_read(ctx, path, 1 << 20, &bytes, &size), FB_OK);
        for (; at < size; records++)
            at += 16 + read_u64(bytes + at);
        assert_int_equal(at, size);
        free(bytes);
    }
    closedir(d);
    assert_int_equal(files, 2);
    return records;
}

static void file_holds_a_version_and_every_scalar(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    char folder[] = "/tmp/fb_test_event_XXXXXX";
    assert_non_null(mkdtemp(folder));
    fb_event_file *one = NULL, *two = NULL;
    assert_int_equal(fb_event_file_open(ctx, &one, folder), FB_OK);
    assert_int_equal(fb_event_file_open(ctx, &two, folder), FB_OK); /* same second */
    for (int64_t step = 0; step < 10; step++)
        assert_int_equal(fb_event_file_scalar(ctx, one, "loss", step, 1.0f), FB_OK);
    assert_int_equal(fb_event_file_flush(ctx, one), FB_OK);
    assert_int_equal(count_records(ctx, folder), 12);
    fb_event_file_close(one);
    fb_event_file_close(two);
    fb_event_file_close(NULL);
    assert_int_equal(fb_folder_remove(ctx, folder), FB_OK);
    fb_context_free(ctx);
}

static void missing_folder_is_named(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_event_file *file = NULL;
    assert_int_equal(fb_event_file_open(ctx, &file, "/tmp/fb/no/such/folder"), FB_E_IO);
    assert_null(file);
    assert_non_null(strstr(fb_context_message(ctx), "/tmp/fb/no/such/folder"));
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_agrees_with_the_published_vectors),
        cmocka_unit_test(scalar_record_has_the_bytes_tensorboard_writes),
        cmocka_unit_test(longest_tag_fits_and_a_longer_one_is_refused),
        cmocka_unit_test(file_holds_a_version_and_every_scalar),
        cmocka_unit_test(missing_folder_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

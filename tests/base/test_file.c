/* test_file.c - reading, mapping and replacing files; making and replacing folders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
    fb_context *ctx;
    char folder[64], path[4096];
};

static int make_place(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    strcpy(p->folder, "/tmp/fb_test_file_XXXXXX");
    if (!mkdtemp(p->folder))
        return -1;
    p->ctx = fb_context_create();
    *state = p;
    return fb_path_join(p->ctx, p->path, p->folder, "x") == FB_OK ? 0 : -1;
}

static int remove_place(void **state)
{
    struct place *p = *state;
    int removed = fb_folder_remove(p->ctx, p->folder) == FB_OK ? 0 : -1;
    fb_context_free(p->ctx);
    free(p);
    return removed;
}

static void expect_content(struct place *p, const char *path, const char *want)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    assert_int_equal(fb_file_read(p->ctx, path, 1 << 20, &bytes, &size), FB_OK);
    assert_int_equal(size, strlen(want));
    assert_string_equal((char *)bytes, want);
    free(bytes);
}

static bool has_new_beside(const char *path)
{
    char fresh[4200];
    snprintf(fresh, sizeof fresh, "%s.new", path);
    return fb_path_exists(fresh);
}

static void written_file_is_read_back(void **state)
{
    struct place *p = *state;
    assert_int_equal(fb_file_write(p->ctx, p->path, "one", 3), FB_OK);
    expect_content(p, p->path, "one");
    assert_int_equal(fb_file_write(p->ctx, p->path, "", 0), FB_OK);
    expect_content(p, p->path, "");
    assert_false(has_new_beside(p->path));
}

static void missing_file_is_named(void **state)
{
    struct place *p = *state;
    uint8_t *bytes = NULL;
    size_t size = 99;
    fb_map map = {.size_bytes = 99};
    assert_int_equal(fb_file_read(p->ctx, p->path, 10, &bytes, &size), FB_E_MISSING);
    assert_non_null(strstr(fb_context_message(p->ctx), p->path));
    assert_null(bytes);
    assert_int_equal(size, 99);
    assert_int_equal(fb_map_open(p->ctx, p->path, &map), FB_E_MISSING);
    assert_int_equal(map.size_bytes, 99);
}

static void folder_read_as_a_file_fails(void **state)
{
    struct place *p = *state;
    uint8_t *bytes = NULL;
    size_t size = 0;
    fb_map map;
    assert_int_equal(fb_file_read(p->ctx, p->folder, 10, &bytes, &size), FB_E_FORMAT);
    assert_int_equal(fb_map_open(p->ctx, p->folder, &map), FB_E_FORMAT);
}

static void limit_is_the_last_size_that_is_read(void **state)
{
    struct place *p = *state;
    uint8_t *bytes = NULL;
    size_t size = 0;
    assert_int_equal(fb_file_write(p->ctx, p->path, "12345678", 8), FB_OK);
    assert_int_equal(fb_file_read(p->ctx, p->path, 7, &bytes, &size), FB_E_LIMIT);
    assert_null(bytes);
    assert_int_equal(fb_file_read(p->ctx, p->path, 8, &bytes, &size), FB_OK);
    assert_int_equal(size, 8);
    free(bytes);
    /* One whose size the system gives as 0. */
    assert_int_equal(fb_file_read(p->ctx, "/proc/self/status", 1 << 20, &bytes, &size),
                     FB_OK);
    assert_true(size > 100);
    free(bytes);
}

static void map_shows_the_bytes_and_an_empty_file_none(void **state)
{
    struct place *p = *state;
    fb_map map;
    assert_int_equal(fb_file_write(p->ctx, p->path, "abc", 3), FB_OK);
    assert_int_equal(fb_map_open(p->ctx, p->path, &map), FB_OK);
    assert_int_equal(map.size_bytes, 3);
    assert_memory_equal(map.bytes, "abc", 3);
    fb_map_close(&map);
    assert_null(map.bytes);
    assert_int_equal(fb_file_write(p->ctx, p->path, "", 0), FB_OK);
    assert_int_equal(fb_map_open(p->ctx, p->path, &map), FB_OK);
    assert_null(map.bytes);
    assert_int_equal(map.size_bytes, 0);
    fb_map_close(&map);
}

static void old_file_stands_until_commit(void **state)
{
    struct place *p = *state;
    fb_replace r;
    assert_int_equal(fb_file_write(p->ctx, p->path, "old", 3), FB_OK);
    assert_int_equal(fb_replace_open(p->ctx, p->path, &r), FB_OK);
    fputs("new and longer", r.stream);
    fflush(r.stream);
    expect_content(p, p->path, "old");
    assert_int_equal(fb_replace_commit(p->ctx, &r), FB_OK);
    expect_content(p, p->path, "new and longer");
}

static void abandoned_replacement_leaves_the_old_file(void **state)
{
    struct place *p = *state;
    fb_replace r;
    assert_int_equal(fb_file_write(p->ctx, p->path, "old", 3), FB_OK);
    assert_int_equal(fb_replace_open(p->ctx, p->path, &r), FB_OK);
    fputs("half", r.stream);
    fb_replace_abandon(&r);
    fb_replace_abandon(&r);
    expect_content(p, p->path, "old");
    assert_false(has_new_beside(p->path));
}

/* Files may grow to 64 KiB during the call, as on a disk that fills up. */
static fb_status write_when_full(struct place *p, const void *bytes, size_t size)
{
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 65536;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    fb_status status = fb_file_write(p->ctx, p->path, bytes, size);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    return status;
}

static void full_disk_is_an_error_and_leaves_the_old_file(void **state)
{
    struct place *p = *state;
    static char bytes[300000];
    assert_int_equal(fb_file_write(p->ctx, p->path, "old", 3), FB_OK);
    assert_int_equal(write_when_full(p, bytes, sizeof bytes), FB_E_IO);
    assert_non_null(strstr(fb_context_message(p->ctx), p->path));
    expect_content(p, p->path, "old");
    assert_false(has_new_beside(p->path));
    /* Only the last, still buffered, part does not fit. */
    assert_int_equal(write_when_full(p, bytes, 65536 + 10), FB_E_IO);
    expect_content(p, p->path, "old");
    assert_int_equal(write_when_full(p, "fits", 4), FB_OK);
    expect_content(p, p->path, "fits");
}

static void write_into_a_missing_folder_is_named(void **state)
{
    struct place *p = *state;
    char path[4096];
    assert_int_equal(fb_path_join(p->ctx, path, p->folder, "no/x"), FB_OK);
    assert_int_equal(fb_file_write(p->ctx, path, "a", 1), FB_E_MISSING);
    assert_non_null(strstr(fb_context_message(p->ctx), "no/x"));
}

static void paths_join_with_one_slash_and_within_bounds(void **state)
{
    struct place *p = *state;
    char out[4096], longest[5000];
    assert_int_equal(fb_path_join(p->ctx, out, "a", "b"), FB_OK);
    assert_string_equal(out, "a/b");
    assert_int_equal(fb_path_join(p->ctx, out, "a/", "b"), FB_OK);
    assert_string_equal(out, "a/b");
    assert_int_equal(fb_path_join(p->ctx, out, "", "b"), FB_OK);
    assert_string_equal(out, "b");
    memset(longest, 'x', sizeof longest);
    longest[4092] = 0;
    assert_int_equal(fb_path_join(p->ctx, out, "a", longest), FB_OK);
    assert_int_equal(strlen(out), 4094);
    longest[4092] = 'x';
    longest[4095] = 0;
    assert_int_equal(fb_path_join(p->ctx, out, "a", longest), FB_E_LIMIT);
    assert_int_equal(fb_file_write(p->ctx, longest, "a", 1), FB_E_IO);
    longest[4095] = 'x';
    longest[4999] = 0;
    assert_int_equal(fb_file_write(p->ctx, longest, "a", 1), FB_E_LIMIT);
}

static void only_names_that_stay_in_their_folder_are_inside(void **state)
{
    (void)state;
    const char *inside[] = {"a.jpg", "a/b.jpg", "./a.jpg", "..a",
                            "a..",   "a/...",   ".a/b"};
    const char *outside[] = {"",       "/",    "/a", "..", "../a", "a/..",
                             "a/../b", "a//b", "a/", ".",  "a/.",  "./"};
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++)
        assert_true(fb_path_is_inside(inside[i]));
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++)
        assert_false(fb_path_is_inside(outside[i]));
}

static void folder_is_made_with_its_parents(void **state)
{
    struct place *p = *state;
    char path[4096];
    assert_int_equal(fb_path_join(p->ctx, path, p->folder, "a/b"), FB_OK);
    assert_int_equal(fb_folder_make(p->ctx, path), FB_OK);
    assert_true(fb_path_is_folder(path));
    assert_int_equal(fb_folder_make(p->ctx, path), FB_OK);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(fb_file_write(p->ctx, p->path, "file", 4), FB_OK);
    assert_int_equal(fb_path_join(p->ctx, path, p->path, "b"), FB_OK);
    assert_int_not_equal(fb_folder_make(p->ctx, path), FB_OK);
    expect_content(p, p->path, "file");
}

static void put(struct place *p, const char *folder, const char *name, const char *text)
{
    char path[4096];
    assert_int_equal(fb_folder_make(p->ctx, folder), FB_OK);
    assert_int_equal(fb_path_join(p->ctx, path, folder, name), FB_OK);
    assert_int_equal(fb_file_write(p->ctx, path, text, strlen(text)), FB_OK);
}

static void replaced_folder_is_all_new_and_the_old_is_gone(void **state)
{
    struct place *p = *state;
    char fresh[4096], last[4096], path[4096];
    assert_int_equal(fb_path_join(p->ctx, fresh, p->folder, "fresh"), FB_OK);
    assert_int_equal(fb_path_join(p->ctx, last, p->folder, "last"), FB_OK);
    put(p, fresh, "a", "1");
    assert_int_equal(fb_folder_replace(p->ctx, fresh, last), FB_OK); /* none before */
    assert_int_equal(fb_path_join(p->ctx, path, last, "a"), FB_OK);
    expect_content(p, path, "1");
    put(p, last, "only_in_old", "x");
    put(p, fresh, "a", "2");
    assert_int_equal(fb_folder_replace(p->ctx, fresh, last), FB_OK);
    expect_content(p, path, "2");
    assert_false(fb_path_exists(fresh));
    assert_int_equal(fb_path_join(p->ctx, path, last, "only_in_old"), FB_OK);
    assert_false(fb_path_exists(path));
}

static void folder_does_not_replace_a_file(void **state)
{
    struct place *p = *state;
    char fresh[4096];
    assert_int_equal(fb_path_join(p->ctx, fresh, p->folder, "fresh"), FB_OK);
    put(p, fresh, "a", "1");
    assert_int_equal(fb_file_write(p->ctx, p->path, "file", 4), FB_OK);
    assert_int_equal(fb_folder_replace(p->ctx, fresh, p->path), FB_E_IO);
    expect_content(p, p->path, "file");
    assert_true(fb_path_is_folder(fresh));
}

static void interrupted_two_step_replace_is_recovered(void **state)
{
    struct place *p = *state;
    char last[4096], old[4096], path[4096];
    assert_int_equal(fb_path_join(p->ctx, last, p->folder, "last"), FB_OK);
    assert_int_equal(fb_path_join(p->ctx, old, p->folder, "last.old"), FB_OK);
    assert_int_equal(fb_folder_recover(p->ctx, last), FB_OK); /* nothing to do */
    put(p, old, "a", "1");
    assert_int_equal(fb_folder_recover(p->ctx, last), FB_OK);
    assert_int_equal(fb_path_join(p->ctx, path, last, "a"), FB_OK);
    expect_content(p, path, "1");
    put(p, old, "a", "0");
    assert_int_equal(fb_folder_recover(p->ctx, last), FB_OK);
    expect_content(p, path, "1");
    assert_false(fb_path_exists(old));
}

static void folder_appears_only_where_nothing_is(void **state)
{
    struct place *p = *state;
    char fresh[4096], last[4096], path[4096];
    assert_int_equal(fb_path_join(p->ctx, fresh, p->folder, "last.part"), FB_OK);
    assert_int_equal(fb_path_join(p->ctx, last, p->folder, "last"), FB_OK);
    put(p, fresh, "a", "1");
    assert_int_equal(fb_folder_appear(p->ctx, fresh, last), FB_OK);
    assert_false(fb_path_exists(fresh));
    put(p, fresh, "a", "2");
    assert_int_equal(fb_folder_appear(p->ctx, fresh, last), FB_E_STATE);
    assert_int_equal(fb_path_join(p->ctx, path, last, "a"), FB_OK);
    expect_content(p, path, "1");
    assert_true(fb_path_exists(fresh));
}

static void removing_stops_at_three_levels_and_at_links(void **state)
{
    struct place *p = *state;
    char top[4096], deep[4096], link_path[4096], kept[4096];
    assert_int_equal(fb_folder_remove(p->ctx, p->path), FB_OK); /* missing */
    assert_int_equal(fb_path_join(p->ctx, top, p->folder, "top"), FB_OK);
    assert_int_equal(fb_path_join(p->ctx, deep, top, "a/b/c"), FB_OK);
    assert_int_equal(fb_path_join(p->ctx, kept, p->folder, "kept"), FB_OK);
    put(p, kept, "file", "kept");
    put(p, top, "file", "x");
    assert_int_equal(fb_folder_make(p->ctx, deep), FB_OK);
    assert_int_equal(fb_folder_remove(p->ctx, top), FB_E_LIMIT);
    assert_int_equal(fb_path_join(p->ctx, link_path, top, "file"), FB_OK);
    assert_true(fb_path_exists(link_path)); /* nothing was touched */
    assert_int_equal(rmdir(deep), 0);
    assert_int_equal(fb_path_join(p->ctx, link_path, top, "link"), FB_OK);
    assert_int_equal(symlink(kept, link_path), 0);
    assert_int_equal(fb_folder_remove(p->ctx, top), FB_OK);
    assert_false(fb_path_exists(top));
    assert_int_equal(fb_path_join(p->ctx, link_path, kept, "file"), FB_OK);
    expect_content(p, link_path, "kept");
}

/* Every way to read: none waits for a writer, none takes a pointer for the file. */
static void only_the_file_itself_is_read(void **state)
{
    struct place *p = *state;
    uint8_t *bytes;
    size_t size;
    FILE *stream;
    fb_map map;
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\n"
                                  "oid sha256:00\nsize 440449768\n";
    assert_int_equal(mkfifo(p->path, 0600), 0);
    assert_int_equal(fb_file_read(p->ctx, p->path, 100, &bytes, &size), FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(p->ctx), "a pipe"));
    assert_int_equal(fb_stream_open(p->ctx, p->path, &stream, NULL), FB_E_FORMAT);
    assert_int_equal(fb_map_open(p->ctx, p->path, &map), FB_E_FORMAT);
    assert_int_equal(unlink(p->path), 0);
    assert_int_equal(fb_file_read(p->ctx, p->folder, 100, &bytes, &size), FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(p->ctx), "a folder"));

    assert_int_equal(fb_file_write(p->ctx, p->path, pointer, sizeof pointer - 1),
                     FB_OK);
    assert_int_equal(fb_file_read(p->ctx, p->path, 1000, &bytes, &size), FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(p->ctx), "Git LFS"));
    assert_int_equal(fb_stream_open(p->ctx, p->path, &stream, NULL), FB_E_FORMAT);
    assert_int_equal(fb_map_open(p->ctx, p->path, &map), FB_E_FORMAT);

    int64_t length = 0;
    assert_int_equal(fb_file_write(p->ctx, p->path, "abc", 3), FB_OK);
    assert_int_equal(fb_stream_open(p->ctx, p->path, &stream, &length), FB_OK);
    assert_int_equal(length, 3);
    assert_int_equal(fgetc(stream), 'a');
    assert_int_equal(fclose(stream), 0);
}

static void write_over(const char *path, const char *text)
{
    FILE *stream = fopen(path, "r+");
    assert_non_null(stream);
    assert_true(fputs(text, stream) >= 0);
    assert_int_equal(fclose(stream), 0);
    struct timespec later[2] = {{.tv_sec = 2000000000}, {.tv_sec = 2000000000}};
    assert_int_equal(utimensat(AT_FDCWD, path, later, 0), 0); /* clocks are coarse */
}

/* Cut and written over: told. Replaced or removed: what is mapped is still whole. */
static void a_map_knows_what_became_of_its_file(void **state)
{
    struct place *p = *state;
    fb_map map;
    for (int what = 0; what < 4; what++) {
        assert_int_equal(fb_file_write(p->ctx, p->path, "12345678", 8), FB_OK);
        assert_int_equal(fb_map_open(p->ctx, p->path, &map), FB_OK);
        assert_int_equal(fb_map_check(p->ctx, &map, "x"), FB_OK);
        if (what == 0)
            assert_int_equal(truncate(p->path, 3), 0);
        else if (what == 1)
            write_over(p->path, "87654321");
        else if (what == 2)
            assert_int_equal(fb_file_write(p->ctx, p->path, "abc", 3), FB_OK);
        else
            assert_int_equal(unlink(p->path), 0);
        assert_int_equal(fb_map_check(p->ctx, &map, "x"), what < 2 ? FB_E_IO : FB_OK);
        if (what > 1)
            assert_memory_equal(map.bytes, "12345678", 8);
        fb_map_close(&map);
    }
}

static void a_folder_is_held_by_one_at_a_time(void **state)
{
    struct place *p = *state;
    int first, second;
    assert_int_equal(fb_folder_lock(p->ctx, p->folder, "working there", &first), FB_OK);
    assert_int_equal(fb_folder_lock(p->ctx, p->folder, "working there", &second),
                     FB_E_STATE);
    assert_non_null(strstr(fb_context_message(p->ctx), "another process is working"));
    assert_int_equal(close(first), 0);
    assert_int_equal(fb_folder_lock(p->ctx, p->folder, "working there", &second),
                     FB_OK);
    assert_int_equal(close(second), 0);
    assert_int_equal(fb_folder_lock(p->ctx, p->path, "working there", &first),
                     FB_E_MISSING);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(only_the_file_itself_is_read),
        IN_PLACE(a_map_knows_what_became_of_its_file),
        IN_PLACE(a_folder_is_held_by_one_at_a_time),
        IN_PLACE(written_file_is_read_back),
        IN_PLACE(missing_file_is_named),
        IN_PLACE(folder_read_as_a_file_fails),
        IN_PLACE(limit_is_the_last_size_that_is_read),
        IN_PLACE(map_shows_the_bytes_and_an_empty_file_none),
        IN_PLACE(old_file_stands_until_commit),
        IN_PLACE(abandoned_replacement_leaves_the_old_file),
        IN_PLACE(full_disk_is_an_error_and_leaves_the_old_file),
        IN_PLACE(write_into_a_missing_folder_is_named),
        IN_PLACE(paths_join_with_one_slash_and_within_bounds),
        IN_PLACE(only_names_that_stay_in_their_folder_are_inside),
        IN_PLACE(folder_is_made_with_its_parents),
        IN_PLACE(replaced_folder_is_all_new_and_the_old_is_gone),
        IN_PLACE(folder_does_not_replace_a_file),
        IN_PLACE(interrupted_two_step_replace_is_recovered),
        IN_PLACE(folder_appears_only_where_nothing_is),
        IN_PLACE(removing_stops_at_three_levels_and_at_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

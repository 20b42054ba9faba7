/* test_index_storage.c - indexes whose vectors take fewer bytes: what their files may
 * hold, and which version of the format says so. */
#include "support/index_world.h"

/* A file of scales that is whole, with one number in it that cannot be. */
static void put_scale(index_world *w, float scale)
{
    fb_index_change c;
    char path[4096];
    fb_map map;
    world_ok(w, fb_index_change_begin(w->f->ctx, &c, w->folder, false));
    fb_segment_entry *entry = &c.manifest->segment[0];
    world_ok(
        w, fb_index_file_path(w->f->ctx, path, w->folder, entry, FB_INDEX_TEXT_SCALES));
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 128 + 5 * 4, SEEK_SET), 0);
    assert_int_equal(fwrite(&scale, sizeof scale, 1, file), 1);
    fclose(file);
    world_ok(w, fb_map_open(w->f->ctx, path, &map));
    entry->file[FB_INDEX_TEXT_SCALES].checksum =
        fb_checksum(0, map.bytes, map.size_bytes);
    fb_map_close(&map);
    world_ok(w, fb_index_change_commit(w->f->ctx, &c));
    fb_index_change_end(&c);
}

static void scales_that_cannot_be_are_refused(void **state)
{
    static const float scales[] = {NAN, 0, -1, INFINITY};
    index_world *w = world_open(*state);
    w->storage = FB_STORED_INT8;
    world_make(w, 0, 30, 0);
    world_build(w, 30);
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++) {
        fb_index *index = NULL;
        put_scale(w, scales[i]);
        assert_int_equal(fb_index_load(w->f->ctx, &index, w->folder, 1), FB_E_FORMAT);
        assert_non_null(strstr(fb_context_message(w->f->ctx), "text-scales.npy"));
    }
    put_scale(w, 0.01f);
    fb_index_unload(world_load(w));
    world_close(w);
}

/* What the next program writes, and what the first version wrote. */
static void an_index_of_f32_is_still_of_the_first_version(void **state)
{
    index_world *w = world_open(*state);
    for (int storage = FB_STORED_F32; storage <= FB_STORED_INT8; storage++) {
        char path[4096];
        fb_map map;
        w->storage = (fb_storage)storage;
        w->count = 0;
        world_make(w, 0, 10, 0);
        world_build(w, 10);
        world_ok(w, fb_path_join(w->f->ctx, path, w->folder, "index.json"));
        world_ok(w, fb_map_open(w->f->ctx, path, &map));
        bool first = memmem(map.bytes, map.size_bytes, "\"version\": 1,", 13);
        bool says = memmem(map.bytes, map.size_bytes, "\"storage\": \"", 12);
        fb_map_close(&map);
        assert_int_equal(first, storage == FB_STORED_F32);
        assert_int_equal(says, storage != FB_STORED_F32);
        fb_index *index = world_load(w);
        assert_string_equal(fb_index_get_info(index)->storage,
                            fb_storage_name(w->storage));
        fb_index_unload(index);
    }
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(scales_that_cannot_be_are_refused),
        FIXTURE_TEST(an_index_of_f32_is_still_of_the_first_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_index.c - an index answers as a plain list does: after building it in one or in
 * many segments, adding, deleting, replacing, merging, under filters and from several
 * threads; a change that was not committed never was; damage is refused. */
#include "support/index_world.h"

#include <dirent.h>
#include <pthread.h>
#include <unistd.h>

static fb_search_result *ask(const index_world *w, const fb_index *index,
                             const float *query, int32_t k, uint32_t colours,
                             const char *by)
{
    fb_search_filter filters[COLOURS];
    fb_search_options how;
    fb_search_result *result = NULL;
    fb_search_options_defaults(&how);
    how.k = k;
    how.by = by[0] ? by : "index";
    how.filters = filters;
    for (int c = 0; c < COLOURS; c++)
        if (colours >> c & 1)
            filters[how.filter_count++] = (fb_search_filter){
                "Colour", c == 0 ? "RED" : colour_names[c]}; /* without case */
    if (fb_index_search(w->f->ctx, index, query, &how, &result) != FB_OK)
        fail_msg("%s", fb_context_message(w->f->ctx));
    return result;
}

static void check_query(const index_world *w, const fb_index *index, const float *query,
                        int32_t k, uint32_t colours, const char *by)
{
    const char *wanted[64];
    int32_t count = world_search(w, query, k, colours, by, wanted);
    fb_search_result *r = ask(w, index, query, k, colours, by);
    assert_int_equal(r->hit_count, count);
    for (int32_t i = 0; i < count; i++) {
        assert_string_equal(r->hits[i].product_id, wanted[i]);
        assert_int_equal(r->hits[i].rank, i + 1);
        assert_true(isnan(r->hits[i].rerank_score));
        assert_memory_equal(r->hits[i].image, "/catalogue/images/", 18);
    }
    fb_search_result_free(r);
}

/* The index in the folder answers as the world does. */
static void check_index(const index_world *w)
{
    fb_index *index = NULL;
    int32_t alive = 0;
    if (fb_index_load(w->f->ctx, &index, w->folder, 2) != FB_OK)
        fail_msg("%s", fb_context_message(w->f->ctx));
    fb_random r = fb_random_start(5, FB_STREAM_TEST, 9);
    for (int q = 0; q < 6; q++) {
        float query[WIDTH];
        world_unit(&r, query);
        check_query(w, index, query, 1 + q * 12, 0, "");
        check_query(w, index, query, 20, 1, "");
        check_query(w, index, query, 20, 1 | 8, "");
        check_query(w, index, query, 10, 0, "image");
        check_query(w, index, query, 10, 2, "text");
    }
    for (int32_t i = 0; i < w->count; i++) {
        const world_product *p = &w->product[i];
        bool repeats = i > 0 && strcmp(p->id, p[-1].id) == 0 && p[-1].alive;
        alive += p->alive && !repeats;
    }
    assert_int_equal(fb_index_get_info(index)->products, alive);
    fb_index_unload(index);
}

static int32_t count_segments(const index_world *w)
{
    fb_index *index = NULL;
    assert_int_equal(fb_index_load(w->f->ctx, &index, w->folder, 1), FB_OK);
    int32_t count = index->segment_count;
    fb_index_unload(index);
    return count;
}

static void in_each_storage(fixture *f, void (*check)(index_world *w))
{
    for (int storage = FB_STORED_F32; storage <= FB_STORED_INT8; storage++) {
        index_world *w = world_open(f);
        w->storage = (fb_storage)storage;
        check(w);
        world_close(w);
    }
}

/* ---- answers --------------------------------------------------------------------- */

static void check_one_segment_answers_as_a_list_does(index_world *w)
{
    world_make(w, 0, 700, 0);
    world_build(w, 700);
    check_index(w);
}

static void one_segment_answers_as_a_list_does(void **state)
{
    in_each_storage(*state, check_one_segment_answers_as_a_list_does);
}

static void check_many_segments_answer_as_a_list_does(index_world *w)
{
    world_make(w, 0, 500, 0);
    world_build(w, 37);
    assert_int_equal(count_segments(w), 14);
    check_index(w);
}

static void many_segments_answer_as_a_list_does(void **state)
{
    in_each_storage(*state, check_many_segments_answer_as_a_list_does);
}

static void check_a_product_of_several_images_is_one_hit(index_world *w)
{
    world_make(w, 0, 300, 3);
    world_build(w, 300);
    check_index(w);
}

static void a_product_of_several_images_is_one_hit(void **state)
{
    in_each_storage(*state, check_a_product_of_several_images_is_one_hit);
}

static void a_query_and_its_options_are_checked(void **state)
{
    index_world *w = world_open(*state);
    fb_search_options how;
    fb_search_result *r = NULL;
    float query[WIDTH] = {1}, zero[WIDTH] = {0}, nan[WIDTH] = {NAN};
    world_make(w, 0, 20, 0);
    world_build(w, 20);
    fb_index *index = world_load(w);
    fb_context *ctx = w->f->ctx;
    fb_search_options_defaults(&how);
    assert_int_equal(fb_index_search(ctx, index, zero, &how, &r), FB_E_NUMBER);
    assert_int_equal(fb_index_search(ctx, index, nan, &how, &r), FB_E_NUMBER);
    how.k = 0;
    assert_int_equal(fb_index_search(ctx, index, query, &how, &r), FB_E_USAGE);
    how.k = 5;
    how.rerank = -1;
    assert_int_equal(fb_index_search(ctx, index, query, &how, &r), FB_E_USAGE);
    how.rerank = 0;
    how.by = "price";
    assert_int_equal(fb_index_search(ctx, index, query, &how, &r), FB_E_USAGE);
    how.by = "index";
    const fb_search_filter filter = {"price", "3"};
    how.filters = &filter;
    how.filter_count = 1;
    assert_int_equal(fb_index_search(ctx, index, query, &how, &r), FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(ctx), "colour"));
    assert_null(r);
    how.filter_count = 0;
    how.rerank = 12; /* widens what is retrieved, not the hits */
    assert_int_equal(fb_index_search(ctx, index, query, &how, &r), FB_OK);
    assert_int_equal(r->hit_count, 5);
    assert_int_equal(r->retrieved_count, 12);
    fb_search_result_free(r);
    fb_index_unload(index);
    world_close(w);
}

static void products_and_values_are_found_by_name(void **state)
{
    index_world *w = world_open(*state);
    fb_search_result *r = NULL;
    world_make(w, 0, 100, 0);
    world_build(w, 60);
    fb_index *index = world_load(w);
    assert_int_equal(fb_index_find(w->f->ctx, index, "p77", &r), FB_OK);
    assert_int_equal(r->hit_count, 1);
    assert_string_equal(r->hits[0].image, "/catalogue/images/77.jpg");
    fb_search_result_free(r);
    assert_int_equal(fb_index_find(w->f->ctx, index, "p100", &r), FB_E_MISSING);
    const char *const *values;
    const int64_t *counts;
    int32_t count;
    int64_t sum = 0, wanted = 0;
    assert_int_equal(
        fb_index_values(w->f->ctx, index, "COLOUR", 10, &values, &counts, &count),
        FB_OK);
    assert_int_equal(count, COLOURS);
    for (int32_t i = 0; i < count; i++) {
        sum += counts[i];
        assert_true(i == 0 || counts[i] <= counts[i - 1]);
        for (int c = 0; c < COLOURS; c++)
            if (strcmp(values[i], colour_names[c]) == 0)
                for (int32_t p = 0; p < w->count; p++)
                    wanted += w->product[p].colour == c;
    }
    assert_int_equal(sum, wanted);
    free((void *)values);
    assert_int_equal(
        fb_index_values(w->f->ctx, index, "price", 10, &values, &counts, &count),
        FB_E_USAGE);
    fb_index_unload(index);
    world_close(w);
}

/* ---- changes --------------------------------------------------------------------- */

static void begin(index_world *w, fb_index_change *c)
{
    world_ok(w, fb_index_change_begin(w->f->ctx, c, w->folder, false));
    c->threads = 1;
}

/* Delete every step-th product of the world, wherever it lies in the folder's index. */
static void delete_some(index_world *w, fb_index_change *c, int32_t step)
{
    fb_index *index = world_load(w);
    for (int32_t i = 0; i < w->count; i += step)
        w->product[i].alive = false;
    for (int32_t s = 0; s < index->segment_count; s++) {
        const fb_segment *segment = &index->segment[s];
        uint8_t *deleted = calloc((size_t)segment->rows + 1, 1);
        assert_non_null(deleted);
        for (int32_t i = 0; i < w->count; i++) {
            int64_t row = fb_product_table_find(segment->products, w->product[i].id);
            if (!w->product[i].alive && row >= 0)
                deleted[row] = 1;
        }
        world_ok(w, fb_index_change_delete(w->f->ctx, c, s, deleted));
        free(deleted);
    }
    fb_index_unload(index);
}

static void check_what_is_deleted_is_not_found(index_world *w)
{
    fb_index_change c;
    world_make(w, 0, 400, 0);
    world_build(w, 150);
    begin(w, &c);
    delete_some(w, &c, 5);
    world_ok(w, fb_index_change_commit(w->f->ctx, &c));
    fb_index_change_end(&c);
    check_index(w);
    begin(w, &c);
    delete_some(w, &c, 7); /* beside those that are */
    world_ok(w, fb_index_change_commit(w->f->ctx, &c));
    fb_index_change_end(&c);
    check_index(w);
}

static void what_is_deleted_is_not_found(void **state)
{
    in_each_storage(*state, check_what_is_deleted_is_not_found);
}

/* Forget the dead, as merging does. */
static void forget_dead(index_world *w)
{
    int32_t n = 0;
    for (int32_t i = 0; i < w->count; i++)
        if (w->product[i].alive)
            w->product[n++] = w->product[i];
    w->count = n;
    for (int32_t i = 0; i < w->count; i++)
        w->product[i].pairs[0] = "colour";
}

static void check_many_additions_stay_few_segments_and_lose_nothing(index_world *w)
{
    fb_index_change c;
    world_make(w, 0, 64, 0);
    world_build(w, 64);
    for (int32_t i = 0; i < 40; i++) {
        int32_t first = w->count;
        begin(w, &c);
        if (i % 10 == 9)
            delete_some(w, &c, 11);
        world_make(w, 1000 + 10 * i, 1 + i % 4, 0);
        world_write(w, &c, first, false);
        world_ok(w, fb_index_change_merge(w->f->ctx, &c));
        world_ok(w, fb_index_change_commit(w->f->ctx, &c));
        fb_index_change_end(&c);
        assert_true(count_segments(w) <= 7);
    }
    check_index(w);
    fb_index *index = world_load(w);
    for (int64_t row = 0; row < index->rows; row++) { /* what is kept went along */
        int64_t at = row;
        const fb_segment *s = fb_index_segment_of(index, &at);
        const uint8_t *kept;
        uint16_t wanted[KEPT / 2];
        if (!fb_segment_is_alive(s, at))
            continue;
        world_ok(w, fb_index_kept_row(w->f->ctx, index, row, &kept));
        for (int32_t i = 0; i < w->count; i++)
            if (strcmp(w->product[i].id, fb_product_table_id(s->products, at)) == 0) {
                world_kept(&w->product[i], wanted);
                assert_memory_equal(kept, wanted, KEPT);
            }
    }
    fb_index_unload(index);
}

static void many_additions_stay_few_segments_and_lose_nothing(void **state)
{
    in_each_storage(*state, check_many_additions_stay_few_segments_and_lose_nothing);
}

static void check_a_segment_that_is_mostly_deleted_is_written_anew(index_world *w)
{
    fb_index_change c;
    world_make(w, 0, 300, 0);
    world_build(w, 300);
    begin(w, &c);
    delete_some(w, &c, 2);
    delete_some(w, &c, 3);
    world_ok(w, fb_index_change_merge(w->f->ctx, &c));
    assert_int_equal(c.manifest->segment[0].deleted, 0);
    assert_int_equal(c.manifest->segment[0].rows, 100);
    world_ok(w, fb_index_change_commit(w->f->ctx, &c));
    fb_index_change_end(&c);
    forget_dead(w);
    check_index(w);
    begin(w, &c);
    delete_some(w, &c, 1); /* all */
    world_ok(w, fb_index_change_merge(w->f->ctx, &c));
    world_ok(w, fb_index_change_commit(w->f->ctx, &c));
    fb_index_change_end(&c);
    check_index(w);
}

static void a_segment_that_is_mostly_deleted_is_written_anew(void **state)
{
    in_each_storage(*state, check_a_segment_that_is_mostly_deleted_is_written_anew);
}

static int32_t count_files(const index_world *w)
{
    DIR *folder = opendir(w->folder);
    int32_t count = 0;
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void a_change_that_was_not_committed_never_was(void **state)
{
    index_world *w = world_open(*state);
    fb_index_change c;
    world_make(w, 0, 200, 0);
    world_build(w, 200);
    int32_t files = count_files(w), first = w->count;
    begin(w, &c);
    delete_some(w, &c, 4);
    world_make(w, 500, 50, 0);
    world_write(w, &c, first, false);
    fb_index_change_end(&c); /* as if killed: no commit */
    assert_true(count_files(w) > files);
    w->count = first;
    for (int32_t i = 0; i < w->count; i++)
        w->product[i].alive = true;
    check_index(w);
    begin(w, &c);
    assert_int_equal(count_files(w), files); /* what was left is taken away */
    fb_index_change_end(&c);
    check_index(w);
    world_close(w);
}

static void an_open_index_outlives_changes_of_its_folder(void **state)
{
    index_world *w = world_open(*state);
    fb_index_change c;
    float query[WIDTH] = {1};
    world_make(w, 0, 100, 0);
    world_build(w, 100);
    fb_index *index = world_load(w);
    begin(w, &c);
    fb_index_change second;
    assert_int_equal(fb_index_change_begin(w->f->ctx, &second, w->folder, false),
                     FB_E_STATE); /* one at a time */
    fb_index_change_end(&c);
    int32_t count = w->count;
    w->count = 0;
    world_make(w, 5000, 10, 0);
    world_build(w, 10); /* another index in its place */
    check_index(w);
    fb_search_result *r = ask(w, index, query, 50, 0, "");
    assert_int_equal(r->hit_count, 50);
    assert_int_equal(fb_index_get_info(index)->products, count);
    fb_search_result_free(r);
    fb_index_unload(index);
    world_close(w);
}

static void another_folder_is_not_taken(void **state)
{
    index_world *w = world_open(*state);
    fb_index_change c;
    assert_int_equal(fb_folder_make(w->f->ctx, w->folder), FB_OK);
    fixture_text(w->f, "index/photo.jpg", "x");
    assert_int_equal(fb_index_change_begin(w->f->ctx, &c, w->folder, true), FB_E_STATE);
    assert_int_equal(fb_index_change_begin(w->f->ctx, &c, w->folder, false),
                     FB_E_MISSING);
    world_close(w);
}

/* ---- damage ---------------------------------------------------------------------- */

static void flip(const char *path, long at)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fputc(byte ^ 0x10, file), byte ^ 0x10);
    fclose(file);
}

static void check_damage_anywhere_is_refused(index_world *w)
{
    fb_index_change c;
    world_make(w, 0, 30, 0);
    world_build(w, 30);
    begin(w, &c);
    delete_some(w, &c, 3);
    world_ok(w, fb_index_change_commit(w->f->ctx, &c));
    fb_segment_entry entry = c.manifest->segment[0];
    fb_index_change_end(&c);
    for (int file = 0; file < FB_INDEX_FILES; file++) {
        char path[4096];
        fb_index *index = NULL;
        if (!entry.file[file].present || file == FB_INDEX_KEPT)
            continue;
        world_ok(w, fb_index_file_path(w->f->ctx, path, w->folder, &entry,
                                       (fb_index_file)file));
        long size = (long)entry.file[file].size_bytes;
        for (long at = 0; at < size; at += 1 + size / 40) {
            flip(path, at);
            assert_int_equal(fb_index_load(w->f->ctx, &index, w->folder, 1),
                             FB_E_FORMAT);
            flip(path, at);
        }
        assert_int_equal(truncate(path, size - 1), 0);
        assert_int_equal(fb_index_load(w->f->ctx, &index, w->folder, 1), FB_E_FORMAT);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(fb_index_load(w->f->ctx, &index, w->folder, 1), FB_E_MISSING);
        world_build(w, 30); /* whole again */
        begin(w, &c);
        delete_some(w, &c, 3);
        world_ok(w, fb_index_change_commit(w->f->ctx, &c));
        entry = c.manifest->segment[0];
        fb_index_change_end(&c);
    }
}

static void damage_anywhere_is_refused(void **state)
{
    in_each_storage(*state, check_damage_anywhere_is_refused);
}

static void damage_of_what_is_kept_shows_where_it_is_read(void **state)
{
    index_world *w = world_open(*state);
    char path[4096];
    const uint8_t *kept;
    world_make(w, 0, 30, 0);
    world_build(w, 30);
    fb_index *index = world_load(w);
    world_ok(w, fb_index_file_path(w->f->ctx, path, w->folder,
                                   &index->manifest.segment[0], FB_INDEX_KEPT));
    fb_index_unload(index);
    flip(path, 128 + 7 * KEPT + 3);
    index = world_load(w);
    assert_int_equal(fb_index_kept_row(w->f->ctx, index, 6, &kept), FB_OK);
    assert_int_equal(fb_index_kept_row(w->f->ctx, index, 7, &kept), FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(w->f->ctx), "p7"));
    fb_index_unload(index);
    world_close(w);
}

/* ---- threads --------------------------------------------------------------------- */

typedef struct searcher {
    const fb_index *index;
    pthread_t thread;
    uint64_t seed;
    int64_t rows[200];
} searcher;

static void search_many(searcher *s)
{
    fb_context *ctx = fb_context_create();
    fb_search_options how;
    fb_search_options_defaults(&how);
    fb_random r = fb_random_start(s->seed, FB_STREAM_TEST, 1);
    for (int q = 0; q < 200; q++) {
        float query[WIDTH];
        fb_search_result *result = NULL;
        world_unit(&r, query);
        s->rows[q] = -1;
        if (fb_index_search(ctx, s->index, query, &how, &result) == FB_OK)
            s->rows[q] = result->hits[0].row;
        fb_search_result_free(result);
    }
    fb_context_free(ctx);
}

static void *search_thread(void *self)
{
    search_many(self);
    return NULL;
}

static void threads_share_an_index(void **state)
{
    index_world *w = world_open(*state);
    static searcher s[4], alone;
    world_make(w, 0, 900, 0);
    world_build(w, 300);
    fb_index *index = world_load(w);
    for (int i = 0; i < 4; i++) {
        s[i] = (searcher){.index = index, .seed = (uint64_t)i};
        assert_int_equal(pthread_create(&s[i].thread, NULL, search_thread, &s[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(s[i].thread, NULL), 0);
        alone = (searcher){.index = index, .seed = (uint64_t)i};
        search_many(&alone);
        assert_memory_equal(s[i].rows, alone.rows, sizeof alone.rows);
        assert_true(alone.rows[0] >= 0);
    }
    fb_index_unload(index);
    world_close(w);
}

/* A change outlives the context that it was begun with: each call has its own. */
static void a_change_keeps_no_context(void **state)
{
    index_world *w = world_open(*state);
    fb_index_change c;
    fb_segment_writer *writer = NULL;
    char catalog[5000];
    fb_context *first = fb_context_create();
    world_make(w, 0, 10, 0);
    world_build(w, 10);
    memset(catalog, 'c', sizeof catalog - 1);
    catalog[sizeof catalog - 1] = 0;
    assert_int_equal(fb_index_change_begin(first, &c, w->folder, false), FB_OK);
    fb_context_free(first);
    assert_int_equal(fb_segment_writer_open(w->f->ctx, &c, &writer, 1, false, catalog),
                     FB_E_LIMIT);
    assert_non_null(strstr(fb_context_message(w->f->ctx), "path is too long"));
    world_ok(w, fb_index_change_commit(w->f->ctx, &c));
    fb_index_change_end(&c);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(one_segment_answers_as_a_list_does),
        FIXTURE_TEST(many_segments_answer_as_a_list_does),
        FIXTURE_TEST(a_product_of_several_images_is_one_hit),
        FIXTURE_TEST(a_query_and_its_options_are_checked),
        FIXTURE_TEST(products_and_values_are_found_by_name),
        FIXTURE_TEST(what_is_deleted_is_not_found),
        FIXTURE_TEST(many_additions_stay_few_segments_and_lose_nothing),
        FIXTURE_TEST(a_segment_that_is_mostly_deleted_is_written_anew),
        FIXTURE_TEST(a_change_that_was_not_committed_never_was),
        FIXTURE_TEST(an_open_index_outlives_changes_of_its_folder),
        FIXTURE_TEST(a_change_keeps_no_context),
        FIXTURE_TEST(another_folder_is_not_taken),
        FIXTURE_TEST(damage_anywhere_is_refused),
        FIXTURE_TEST(damage_of_what_is_kept_shows_where_it_is_read),
        FIXTURE_TEST(threads_share_an_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

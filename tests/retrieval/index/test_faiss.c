/* test_faiss.c - approximate indexes find nearly all that the exact search finds, pass
 * filters and deletions, and read back; without FAISS they are refused with a reason.
 */
#include "support/index_world.h"

#include "retrieval/index/index_tune.h"

static fb_search_result *ask(const index_world *w, const fb_index *index,
                             const float *query, bool exact, const char *colour)
{
    fb_search_options how;
    fb_search_result *result = NULL;
    const fb_search_filter filter = {"colour", colour};
    fb_search_options_defaults(&how);
    how.exact = exact;
    how.filters = &filter;
    how.filter_count = colour ? 1 : 0;
    if (fb_index_search(w->f->ctx, index, query, &how, &result) != FB_OK)
        fail_msg("%s", fb_context_message(w->f->ctx));
    return result;
}

/* Share of the exact ten that are found too; found ones carry the exact scores. */
static double recall(const index_world *w, const fb_index *index, const char *colour,
                     int queries)
{
    int64_t hits = 0, all = 0;
    fb_random r = fb_random_start(21, FB_STREAM_TEST, 4);
    for (int q = 0; q < queries; q++) {
        float query[WIDTH];
        world_unit(&r, query);
        fb_search_result *exact = ask(w, index, query, true, colour);
        fb_search_result *found = ask(w, index, query, false, colour);
        for (int32_t i = 0; i < exact->hit_count; i++)
            for (int32_t k = 0; k < found->hit_count; k++)
                if (found->hits[k].row == exact->hits[i].row) {
                    assert_true(found->hits[k].score == exact->hits[i].score);
                    hits++;
                }
        all += exact->hit_count;
        for (int32_t k = 0; k < found->hit_count && colour; k++)
            assert_string_equal(found->hits[k].attributes[1], colour);
        fb_search_result_free(exact);
        fb_search_result_free(found);
    }
    return (double)hits / (double)all;
}

static index_world *build(void **state, fb_index_kind kind, int32_t count)
{
    if (!fb_ann_available())
        return NULL;
    index_world *w = world_open(*state);
    w->kind = kind;
    world_make(w, 0, count, 0);
    world_build(w, count);
    return w;
}

static void check_recall(index_world *w, double wanted)
{
    fb_index *index = world_load(w);
    assert_non_null(index->segment[0].ann);
    if (!(index->manifest.recall10 >= wanted))
        fail_msg("recall@10 when built %g at %d, not %g", index->manifest.recall10,
                 (int)index->manifest.effort, wanted);
    double r = recall(w, index, NULL, 100);
    if (!(r >= wanted))
        fail_msg("recall@10 %g, not %g", r, wanted);
    fb_index_unload(index);
}

static void a_graph_finds_nearly_all(void **state)
{
    index_world *w = build(state, FB_INDEX_HNSW, 4000);
    if (!w)
        skip();
    check_recall(w, 0.98);
    world_close(w);
}

static void codes_and_lists_find_nearly_all(void **state)
{
    index_world *w = build(state, FB_INDEX_IVFPQ, 10500);
    if (!w)
        skip();
    check_recall(w, 0.95);
    world_close(w);
}

static void filters_and_deletions_hold_in_a_graph(void **state)
{
    fb_index_change c;
    index_world *w = build(state, FB_INDEX_HNSW, 4000);
    if (!w)
        skip();
    fb_index *index = world_load(w);
    assert_true(recall(w, index, "Red", 30) >= 0.97);
    assert_true(recall(w, index, "nothing", 3) != 1.0); /* 0 of 0 is no number */
    fb_index_unload(index);
    uint8_t *deleted = calloc(4000, 1);
    assert_non_null(deleted);
    for (int32_t i = 0; i < 4000; i += 3)
        deleted[i] = 1;
    world_ok(w, fb_index_change_begin(w->f->ctx, &c, w->folder, false));
    world_ok(w, fb_index_change_delete(w->f->ctx, &c, 0, deleted));
    world_ok(w, fb_index_change_commit(w->f->ctx, &c));
    fb_index_change_end(&c);
    index = world_load(w);
    assert_true(recall(w, index, NULL, 60) >= 0.97);
    fb_search_result *r = ask(w, index, w->product[3].vector, false, NULL);
    for (int32_t i = 0; i < r->hit_count; i++)
        assert_true(r->hits[i].row % 3 != 0);
    fb_search_result_free(r);
    fb_index_unload(index);
    free(deleted);
    world_close(w);
}

static void a_graph_of_another_shape_is_refused(void **state)
{
    fb_ann *ann = NULL;
    char path[4096];
    index_world *w = build(state, FB_INDEX_HNSW, 50);
    if (!w)
        skip();
    fb_index *index = world_load(w);
    fb_context *ctx = w->f->ctx;
    world_ok(w, fb_index_file_path(ctx, path, w->folder, &index->manifest.segment[0],
                                   FB_INDEX_GRAPH));
    assert_int_equal(fb_ann_open(ctx, &ann, path, FB_ANN_HNSW, 51, WIDTH), FB_E_FORMAT);
    assert_int_equal(fb_ann_open(ctx, &ann, path, FB_ANN_HNSW, 50, 8), FB_E_FORMAT);
    assert_int_equal(fb_ann_open(ctx, &ann, path, FB_ANN_IVFPQ, 50, WIDTH),
                     FB_E_FORMAT);
    assert_int_equal(fb_ann_open(ctx, &ann, w->folder, FB_ANN_HNSW, 50, WIDTH),
                     FB_E_BACKEND);
    assert_null(ann);
    fb_index_unload(index);
    world_close(w);
}

static void too_few_rows_for_codes_are_refused(void **state)
{
    const fixture *f = *state;
    fb_ann *ann = NULL;
    float rows[4] = {1, 0, 0, 1};
    fb_status status = fb_ann_build(f->ctx, &ann, FB_ANN_IVFPQ, rows, 2, 2, 1);
    assert_int_equal(status, fb_ann_available() ? FB_E_LIMIT : FB_E_STATE);
    assert_null(ann);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_graph_finds_nearly_all),
        FIXTURE_TEST(codes_and_lists_find_nearly_all),
        FIXTURE_TEST(filters_and_deletions_hold_in_a_graph),
        FIXTURE_TEST(a_graph_of_another_shape_is_refused),
        FIXTURE_TEST(too_few_rows_for_codes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

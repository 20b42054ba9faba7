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

static index_world *build_stored(void **state, fb_index_kind kind, fb_storage storage,
                                 int32_t count)
{
    if (!fb_ann_available())
        return NULL;
    index_world *w = world_open(*state);
    w->kind = kind;
    w->storage = storage;
    world_make(w, 0, count, 0);
    world_build(w, count);
    return w;
}

static index_world *build(void **state, fb_index_kind kind, int32_t count)
{
    return build_stored(state, kind, FB_STORED_F32, count);
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

static void a_graph_over_fewer_bytes_finds_nearly_all(void **state)
{
    static const fb_storage storages[] = {FB_STORED_BF16, FB_STORED_INT8};
    for (int i = 0; i < 2; i++) {
        index_world *w = build_stored(state, FB_INDEX_HNSW, storages[i], 4000);
        if (!w)
            skip();
        check_recall(w, 0.98);
        world_close(w);
    }
}

/* The graph's file has links, not vectors: as large for each storage. */
static void a_graph_repeats_no_vectors(void **state)
{
    int64_t bytes[2] = {0};
    for (int i = 0; i < 2; i++) {
        index_world *w = build_stored(state, FB_INDEX_HNSW,
                                      i ? FB_STORED_INT8 : FB_STORED_F32, 2000);
        if (!w)
            skip();
        fb_index *index = world_load(w);
        bytes[i] = index->manifest.segment[0].file[FB_INDEX_GRAPH].size_bytes;
        assert_true(bytes[i] < 2000 * (64 + 12) * 4 + 10000);
        fb_index_unload(index);
        world_close(w);
    }
    assert_true(bytes[0] > 2000 * 64 * 4);
}

/* Rows whose own queries find themselves alone: what the others' recall is, is told. */
static void the_row_that_a_query_was_made_of_is_left_out(void **state)
{
    index_world *w = build(state, FB_INDEX_HNSW, 300);
    if (!w)
        skip();
    fb_index *index = world_load(w);
    const fb_segment *s = &index->segment[0];
    enum { ASKED = 20 };
    float rows[ASKED * WIDTH];
    int64_t own[ASKED];
    fb_stored_decode(&s->vectors, 0, ASKED, rows);
    for (int64_t i = 0; i < ASKED; i++)
        own[i] = i;
    fb_index_probe probe = {
        s->ann, FB_ANN_HNSW, &s->vectors, {rows, ASKED, WIDTH}, own};
    int32_t effort = 300;
    double recall = 0;
    world_ok(w, fb_index_tune(w->f->ctx, index->be, &probe, &effort, &recall));
    assert_true(recall == 1.0);
    /* Two rows alone, of which one asks: the other is all there is to find. */
    fb_stored two = s->vectors, one = s->vectors;
    fb_ann *ann = NULL;
    two.count = 2;
    one.count = 1;
    world_ok(w, fb_ann_build(w->f->ctx, &ann, FB_ANN_HNSW, index->be, &two, 1));
    fb_index_probe small = {ann, FB_ANN_HNSW, &two, {rows, 2, WIDTH}, own};
    world_ok(w, fb_index_tune(w->f->ctx, index->be, &small, &effort, &recall));
    assert_true(recall == 1.0);
    fb_ann_close(ann);
    /* A graph that holds nothing but the first row finds none of the others. */
    world_ok(w, fb_ann_build(w->f->ctx, &ann, FB_ANN_HNSW, index->be, &one, 1));
    small = (fb_index_probe){ann, FB_ANN_HNSW, &two, {rows, 1, WIDTH}, own};
    world_ok(w, fb_index_tune(w->f->ctx, index->be, &small, &effort, &recall));
    assert_true(recall == 0.0);
    small.own = NULL;
    world_ok(w, fb_index_tune(w->f->ctx, index->be, &small, &effort, &recall));
    assert_true(recall == 0.5);
    fb_ann_close(ann);
    fb_index_unload(index);
    world_close(w);
}

static void codes_and_lists_find_nearly_all(void **state)
{
    index_world *w = build(state, FB_INDEX_IVFPQ, 10500);
    if (!w)
        skip();
    check_recall(w, 0.95);
    world_close(w);
    w = build_stored(state, FB_INDEX_IVFPQ, FB_STORED_INT8, 10500);
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
    const fb_backend *be = index->be;
    const fb_stored right = index->segment[0].vectors;
    fb_stored longer = right, narrow = right;
    longer.count = 51;
    narrow.width = 8;
    world_ok(w, fb_index_file_path(ctx, path, w->folder, &index->manifest.segment[0],
                                   FB_INDEX_GRAPH));
    assert_int_equal(fb_ann_open(ctx, &ann, path, FB_ANN_HNSW, be, &longer),
                     FB_E_FORMAT);
    assert_int_equal(fb_ann_open(ctx, &ann, path, FB_ANN_HNSW, be, &narrow),
                     FB_E_FORMAT);
    assert_int_equal(fb_ann_open(ctx, &ann, path, FB_ANN_IVFPQ, be, &right),
                     FB_E_FORMAT);
    assert_int_equal(fb_ann_open(ctx, &ann, w->folder, FB_ANN_HNSW, be, &right),
                     FB_E_BACKEND);
    assert_null(ann);
    fb_index_unload(index);
    world_close(w);
}

/* A graph's file with four bytes put at `at`: refused, or searched without harm. */
static bool is_refused(index_world *w, const fb_index *index, const char *path,
                       const uint8_t *bytes, size_t size, size_t at, uint32_t put)
{
    fb_context *ctx = w->f->ctx;
    const fb_stored rows = index->segment[0].vectors;
    uint8_t *changed = malloc(size);
    fb_ann *ann = NULL;
    assert_non_null(changed);
    memcpy(changed, bytes, size);
    memcpy(changed + at, &put, sizeof put);
    world_ok(w, fb_file_write(ctx, path, changed, size));
    free(changed);
    if (fb_ann_open(ctx, &ann, path, FB_ANN_HNSW, index->be, &rows) != FB_OK) {
        assert_null(ann);
        return true;
    }
    fb_random r = fb_random_start(5, FB_STREAM_TEST, at);
    for (int q = 0; q < 5; q++) {
        float query[WIDTH];
        int64_t found[10];
        world_unit(&r, query);
        if (fb_ann_search(ctx, ann, query, 10, 64, NULL, found) != FB_OK)
            continue;
        for (int i = 0; i < 10; i++)
            assert_true(found[i] >= -1 && found[i] < rows.count);
    }
    fb_ann_close(ann);
    return false;
}

/* FAISS reads what it is given: only what lies behind the links is its own trust. */
static void a_graph_whose_links_lead_nowhere_is_refused(void **state)
{
    char path[4096];
    uint8_t *bytes;
    size_t size;
    int refused = 0, tried = 0;
    index_world *w = build(state, FB_INDEX_HNSW, 300);
    if (!w)
        skip();
    fb_index *index = world_load(w);
    world_ok(w, fb_index_file_path(w->f->ctx, path, w->folder,
                                   &index->manifest.segment[0], FB_INDEX_GRAPH));
    world_ok(w, fb_file_read(w->f->ctx, path, 1 << 24, &bytes, &size));
    static const uint32_t puts[] = {300, 0x7fffffff, 0x80000000, 0xfffffffe};
    fb_random r = fb_random_start(4, FB_STREAM_TEST, 0);
    for (int i = 0; i < 240; i++) /* links fill the file's most, at multiples of four */
        for (size_t shift = 0; shift < 4; shift += i < 60 ? 1 : 4) {
            size_t at = fb_random_below(&r, (uint32_t)size / 4 - 2) * 4 + shift;
            refused += is_refused(w, index, path, bytes, size, at, puts[i % 4]);
            tried++;
        }
    print_message("%d of %d refused\n", refused, tried);
    assert_true(refused > tried / 3);
    assert_false(
        is_refused(w, index, path, bytes, size, 0, *(uint32_t *)(void *)bytes));
    free(bytes);
    fb_index_unload(index);
    world_close(w);
}

static void too_few_rows_for_codes_are_refused(void **state)
{
    const fixture *f = *state;
    fb_ann *ann = NULL;
    const float rows[4] = {1, 0, 0, 1};
    const fb_stored two = {.count = 2, .width = 2, .f32 = rows};
    fb_status status = fb_ann_build(f->ctx, &ann, FB_ANN_IVFPQ, NULL, &two, 1);
    assert_int_equal(status, fb_ann_available() ? FB_E_LIMIT : FB_E_STATE);
    assert_null(ann);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_graph_finds_nearly_all),
        FIXTURE_TEST(a_graph_over_fewer_bytes_finds_nearly_all),
        FIXTURE_TEST(a_graph_repeats_no_vectors),
        FIXTURE_TEST(the_row_that_a_query_was_made_of_is_left_out),
        FIXTURE_TEST(codes_and_lists_find_nearly_all),
        FIXTURE_TEST(filters_and_deletions_hold_in_a_graph),
        FIXTURE_TEST(a_graph_of_another_shape_is_refused),
        FIXTURE_TEST(a_graph_whose_links_lead_nowhere_is_refused),
        FIXTURE_TEST(too_few_rows_for_codes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

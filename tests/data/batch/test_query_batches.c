/* test_query_batches.c - training batches of queries: sequences, segments, positions,
 * labels and masks are what sampler.h and batch.h promise. */
#include "base/intern.h"
#include "support/query_fixture.h"

#include <math.h>

enum { BATCH = 9, STEPS = 60 };

/* Titles as in sampler_fixture.h, then queries of two to six tokens, tokens of their
 * own. */
static fb_token_lists *tokens_of(const fb_catalogue *cat, const fb_query_set *set)
{
    fb_token_lists *titles = fixture_tokens(cat), *all = calloc(1, sizeof *all);
    int32_t queries = fb_query_set_count(set);
    int64_t used = titles->offsets[ITEMS];
    all->count = ITEMS + queries;
    all->longest = TOKENS_MAX;
    all->offsets = calloc((size_t)all->count + 1, sizeof *all->offsets);
    all->ids = calloc((size_t)(used + queries * TOKENS_MAX), sizeof *all->ids);
    memcpy(all->offsets, titles->offsets, (ITEMS + 1) * sizeof *all->offsets);
    memcpy(all->ids, titles->ids, (size_t)used * sizeof *all->ids);
    for (int32_t q = 0; q < queries; q++) {
        int32_t *ids = all->ids + all->offsets[ITEMS + q], length = 2 + q % 5;
        for (int32_t t = 0; t < length; t++)
            ids[t] = t == 0 ? 2 : t == length - 1 ? 3 : 260 + q;
        all->offsets[ITEMS + q + 1] = all->offsets[ITEMS + q] + length;
    }
    fb_token_lists_free(titles);
    return all;
}

typedef struct world {
    fb_catalogue *catalogue;
    fb_query_set *set;
    fb_query_split *split;
    fb_token_lists *tokens;
    fb_mask_vocab *vocab;
    fb_sampler *sampler;
    fb_sampler_cursor *cursor;
    fb_batch *batch;
} world;

static void must(const fixture *f, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
}

static world open_world(const fixture *f, bool align, bool whole)
{
    world w = {.catalogue = fixture_catalogue(f), .vocab = fixture_vocab()};
    fixture_clicks(f, "clicks.tsv");
    must(f, fb_query_set_open(f->ctx, &w.set, w.catalogue, ""));
    must(f,
         fb_query_split_create(f->ctx, &w.split, w.set, w.catalogue, FB_SPLIT_TRAIN));
    w.tokens = tokens_of(w.catalogue, w.set);
    fb_sampler_options o = {.split = FB_SPLIT_TRAIN,
                            .batch = BATCH,
                            .seed = 4,
                            .patches = 16,
                            .image_size = 32,
                            .queries = w.split,
                            .whole_texts = whole,
                            .whole_images = whole,
                            .align = {align, align, align}};
    must(f, fb_sampler_create(f->ctx, &w.sampler, w.catalogue, w.tokens, w.vocab, &o));
    must(f, fb_sampler_cursor_create(f->ctx, &w.cursor, w.sampler));
    must(f, fb_sampler_batch_create(f->ctx, &w.batch, w.sampler));
    return w;
}

static void close_world(world *w)
{
    fb_batch_free(w->batch);
    fb_sampler_cursor_free(w->cursor);
    fb_sampler_free(w->sampler);
    fb_query_split_free(w->split);
    fb_query_set_close(w->set);
    fb_token_lists_free(w->tokens);
    fb_mask_vocab_free(w->vocab);
    fb_catalogue_close(w->catalogue);
}

static void fill(const fixture *f, world *w, uint64_t step)
{
    must(f, fb_sampler_fill(f->ctx, w->sampler, w->cursor, step, NULL, w->batch));
}

/* Every text: segment by what it is, positions from 1, 0 for [CLS] and [SEP]. */
static void check_texts(const world *w)
{
    const fb_batch *b = w->batch;
    for (int32_t t = 0; t < b->texts; t++) {
        int32_t first = b->text_offsets[t], end = b->text_offsets[t + 1];
        for (int32_t i = first; i < end; i++) {
            assert_int_equal(b->token_segments[i], b->text_item[t] < ITEMS);
            assert_int_equal(b->token_positions[i], i == end - 1 ? 0 : i - first);
        }
        assert_int_equal(b->token_ids[first], 2);
        assert_int_equal(b->token_ids[end - 1], 3);
        for (int32_t other = 0; other < t; other++) /* each query once */
            assert_true(b->text_item[t] < ITEMS ||
                        b->text_item[other] != b->text_item[t]);
    }
}

/* Sequence i's rows, by row_source, are its parts one behind the other. */
static void check_rows(const fb_batch *b, int32_t i)
{
    int32_t row = b->seq_offsets[i], q = b->pair_query[i], t = b->pair_text[i];
    assert_int_equal(b->cls_rows[i], row);
    if (q >= 0)
        for (int32_t k = b->text_offsets[q]; k < b->text_offsets[q + 1]; k++)
            assert_int_equal(b->row_source[row++], k);
    if (t >= 0)
        for (int32_t k = b->text_offsets[t] + (q >= 0); k < b->text_offsets[t + 1]; k++)
            assert_int_equal(b->row_source[row++], k);
    for (int32_t p = 0; b->pair_image[i] >= 0 && p < b->patches; p++)
        assert_int_equal(b->row_source[row++],
                         fb_batch_text_tokens(b) + b->pair_image[i] * b->patches + p);
    assert_int_equal(b->seq_offsets[i + 1], row);
    assert_int_equal(b->token_ids[b->row_source[b->cls_rows[i]]], 2);
}

static int32_t query_of(const world *w, int32_t i)
{
    return fixture_query(w->set, w->batch->text_item[w->batch->pair_query[i]] - ITEMS);
}

static int32_t product_of(const world *w, int32_t i)
{
    return fixture_product(w->catalogue, w->batch->image_item[w->batch->pair_image[i]]);
}

static void matched_triples_are_wanted_and_no_other_is(void **state)
{
    fixture *f = *state;
    world w = open_world(f, false, true);
    int32_t seen[FIXTURE_QUERIES][FIXTURE_PRODUCTS] = {{0}}, rows = 0;
    int32_t matched = fb_sampler_items_per_step(w.sampler);
    assert_int_equal(matched, 5);
    assert_int_equal(fb_sampler_items(w.sampler), fb_query_split_rows(w.split));
    uint64_t step = 0;
    for (; rows < fb_query_split_rows(w.split); step++) { /* an epoch */
        fill(f, &w, step);
        const fb_batch *b = w.batch;
        assert_int_equal(b->pairs, BATCH);
        check_texts(&w);
        for (int32_t i = 0; i < BATCH; i++) {
            int32_t q = query_of(&w, i), p = product_of(&w, i);
            check_rows(b, i);
            assert_int_equal(b->pair_label[i], i < matched);
            assert_int_equal(fixture_wants(q, p), i < matched);
            /* title and image are one item's, or of items with equal titles */
            assert_int_equal(
                fb_catalogue_get(w.catalogue, b->text_item[b->pair_text[i]])->text,
                fb_catalogue_get(w.catalogue, b->image_item[b->pair_image[i]])->text);
            if (i >= matched)
                assert_int_equal(q, query_of(&w, i - matched));
            else if (rows++ < fb_query_split_rows(w.split))
                seen[q][p]++;
        }
        assert_int_equal(b->mlm_count + b->mpm_count, 0);
    }
    for (int32_t q = 0; q < FIXTURE_QUERIES; q++)
        for (int32_t p = 0; p < FIXTURE_PRODUCTS; p++)
            assert_int_equal(seen[q][p], fixture_wants(q, p)); /* each once */
    close_world(&w);
}

static bool titles_match(const world *w, int32_t a, int32_t b)
{
    const fb_catalogue_item *x = fb_catalogue_get(w->catalogue, a);
    const fb_catalogue_item *y = fb_catalogue_get(w->catalogue, b);
    return x->product == y->product || x->text == y->text ||
           fixture_picture(a) == fixture_picture(b);
}

static void aligned_sequences_leave_one_part_out(void **state)
{
    fixture *f = *state;
    world w = open_world(f, true, true);
    int32_t unmatched = 0;
    for (uint64_t step = 0; step < STEPS; step++) {
        fill(f, &w, step);
        const fb_batch *b = w.batch;
        assert_true(b->pairs >= 3 * BATCH + 5 && b->pairs <= 4 * BATCH);
        for (int32_t i = 0; i < b->pairs; i++)
            check_rows(b, i);
        for (int32_t i = 0; i < BATCH; i++) {
            int32_t qt = BATCH + i, qi = 2 * BATCH + i;
            assert_int_equal(b->pair_query[qt], b->pair_query[i]);
            assert_int_equal(b->pair_text[qt], b->pair_text[i]);
            assert_int_equal(b->pair_image[qt], -1);
            assert_int_equal(b->pair_query[qi], b->pair_query[i]);
            assert_int_equal(b->pair_text[qi], -1);
            assert_int_equal(b->pair_image[qi], b->pair_image[i]);
            assert_int_equal(b->pair_label[qt], b->pair_label[i]);
            assert_int_equal(b->pair_label[qi], b->pair_label[i]);
        }
        for (int32_t i = 3 * BATCH; i < b->pairs; i++) {
            assert_int_equal(b->pair_query[i], -1);
            int32_t title = b->text_item[b->pair_text[i]];
            int32_t image = b->image_item[b->pair_image[i]];
            assert_int_equal(b->pair_label[i], i < 3 * BATCH + 5);
            assert_int_equal(titles_match(&w, title, image), b->pair_label[i]);
            unmatched += !b->pair_label[i];
        }
    }
    assert_true(unmatched > STEPS);
    close_world(&w);
}

static void rows_to_guess_are_of_matched_triples(void **state)
{
    fixture *f = *state;
    world w = open_world(f, true, false);
    double masked_queries = 0, expected = 0, variance = 0;
    for (uint64_t step = 0; step < STEPS; step++) {
        fill(f, &w, step);
        const fb_batch *b = w.batch;
        check_texts(&w);
        assert_true(b->mpm_count == 2 * fb_sampler_items_per_step(w.sampler));
        for (int32_t k = 0; k < b->mpm_count; k++) {
            assert_int_equal(b->row_source[b->mpm_rows[k]],
                             fb_batch_text_tokens(b) + b->mpm_patches[k]);
            assert_true(b->patch_masked[b->mpm_patches[k]]);
            assert_true(b->mpm_rows[k] < b->seq_offsets[5]);
        }
        for (int32_t k = 0; k < b->mlm_count; k++) {
            int32_t token = b->row_source[b->mlm_rows[k]], text = 0;
            while (b->text_offsets[text + 1] <= token)
                text++;
            int32_t count;
            const int32_t *ids = fb_token_list(w.tokens, b->text_item[text], &count);
            assert_int_equal(ids[token - b->text_offsets[text]], b->mlm_targets[k]);
            assert_true(b->mlm_rows[k] < b->seq_offsets[5]);
        }
        for (int32_t t = 0; t < b->texts; t++) {
            int32_t count, words;
            const int32_t *ids = fb_token_list(w.tokens, b->text_item[t], &count);
            bool changed = memcmp(ids, b->token_ids + b->text_offsets[t],
                                  (size_t)count * sizeof *ids) != 0;
            if (b->text_item[t] < ITEMS)
                continue;
            words = count - 2; /* of 10 masked, 8 become [MASK] and 1 another word */
            double p = words ? 0.15 * words * (0.8 + 0.1 * 294 / 295) : 0;
            masked_queries += changed;
            expected += p;
            variance += p * (1 - p);
        }
    }
    if (!(fabs(masked_queries - expected) < 4 * sqrt(variance)))
        fail_msg("%g queries were masked, not %g", masked_queries, expected);
    close_world(&w);
}

static void a_step_is_the_same_whenever_it_is_made(void **state)
{
    fixture *f = *state;
    world w = open_world(f, true, false);
    uint64_t hash[4];
    for (uint64_t step = 0; step < 4; step++) {
        fill(f, &w, step);
        hash[step] = batch_hash(w.batch);
    }
    fill(f, &w, 30);
    for (uint64_t step = 4; step-- > 0;) {
        fill(f, &w, step);
        assert_true(batch_hash(w.batch) == hash[step]);
        assert_true(step == 0 || hash[step] != hash[step - 1]);
    }
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(matched_triples_are_wanted_and_no_other_is),
        FIXTURE_TEST(aligned_sequences_leave_one_part_out),
        FIXTURE_TEST(rows_to_guess_are_of_matched_triples),
        FIXTURE_TEST(a_step_is_the_same_whenever_it_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

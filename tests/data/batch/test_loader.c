/* test_loader.c - batches ahead on threads: the same whatever their number, in order,
 * with errors at their step, and free at any time. */
#include "base/intern.h"
#include "support/sampler_fixture.h"

#include "data/batch/loader.h"
#include "data/text/wordpiece.h"

#include <unistd.h>

enum { STEPS = 30, BATCH = 6 };

static fb_loader *start(fixture *f, const sampling *s, int64_t first, int32_t threads,
                        int32_t depth)
{
    fb_loader_options options = {
        .first_step = first, .total_steps = STEPS, .threads = threads, .depth = depth};
    fb_loader *loader = NULL;
    if (fb_loader_create_on(f->ctx, &loader, s->sampler, &options) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    return loader;
}

static void read_hashes(fixture *f, const sampling *s, int64_t first, int32_t threads,
                        int32_t depth, uint64_t *hashes)
{
    fb_loader *loader = start(f, s, first, threads, depth);
    for (int64_t step = first; step < STEPS; step++) {
        const fb_batch *b = NULL;
        double wait = -1;
        assert_int_equal(fb_loader_next(f->ctx, loader, &b, &wait), FB_OK);
        assert_true(wait >= 0);
        hashes[step] = batch_hash(b);
    }
    const fb_batch *b = NULL;
    assert_int_equal(fb_loader_next(f->ctx, loader, &b, NULL), FB_E_STATE);
    fb_loader_free(loader);
}

static void threads_depth_and_start_change_nothing(void **state)
{
    fixture *f = *state;
    sampling s = sampling_create(f, BATCH, 3, false);
    uint64_t one[STEPS], three[STEPS], late[STEPS];
    read_hashes(f, &s, 0, 1, 2, one);
    read_hashes(f, &s, 0, 3, 7, three);
    assert_memory_equal(one, three, sizeof one);
    memcpy(late, one, sizeof late);
    read_hashes(f, &s, 17, 2, 0, late);
    assert_memory_equal(one, late, sizeof one);
    for (int32_t i = 1; i < STEPS; i++)
        assert_true(one[i] != one[i - 1]);
    sampling_free(&s);
}

static void items_of_any_size_are_the_same_on_any_threads(void **state)
{
    fixture *f = *state;
    sampling s = sampling_create(f, BATCH, 3, false);
    fb_sampler_options options = {.batch = BATCH,
                                  .seed = 3,
                                  .patches = 64,
                                  .image_size = 96,
                                  .whole_texts = true,
                                  .whole_images = true,
                                  .items = true,
                                  .group = 3,
                                  .grouped = 0.7,
                                  .augment = {.flip = 0.5, .shift = 0.1, .zoom = 0.1},
                                  .text_mask = 0.2};
    uint64_t hashes[2][STEPS];
    for (int i = 0; i < 2; i++) {
        options.cache_bytes = i == 0 ? 0 : 1 << 20;
        fb_sampler_free(s.sampler);
        s.sampler = NULL;
        assert_int_equal(fb_sampler_create(f->ctx, &s.sampler, s.catalogue, s.tokens,
                                           s.vocab, &options),
                         FB_OK);
        read_hashes(f, &s, 0, i == 0 ? 1 : 4, i == 0 ? 2 : 8, hashes[i]);
    }
    assert_memory_equal(hashes[0], hashes[1], sizeof hashes[0]);
    sampling_free(&s);
}

static void broken_image_fails_at_its_step_by_name(void **state)
{
    fixture *f = *state;
    sampling s = sampling_create(f, 1, 3, false); /* one item, one image a step */
    const fb_batch *b = NULL;
    fixture_text(f, "17.png", "no image at all");
    fb_loader *loader = start(f, &s, 0, 3, 8);
    fb_status status = FB_OK;
    for (int32_t step = 0; step < STEPS && status == FB_OK; step++)
        status = fb_loader_next(f->ctx, loader, &b, NULL);
    /* The order of seed 3 has item 17 among its first 30 steps. */
    assert_int_equal(status, FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(f->ctx), "17.png"));
    assert_int_equal(fb_loader_next(f->ctx, loader, &b, NULL), FB_E_FORMAT);
    fb_loader_free(loader);
    sampling_free(&s);
}

static void free_joins_at_any_time(void **state)
{
    fixture *f = *state;
    sampling s = sampling_create(f, BATCH, 3, false);
    for (int32_t steps = 0; steps < 8; steps++) {
        fb_loader *loader = start(f, &s, 0, 3, 4);
        const fb_batch *b = NULL;
        for (int32_t i = 0; i < steps; i++)
            assert_int_equal(fb_loader_next(f->ctx, loader, &b, NULL), FB_OK);
        fb_loader_free(loader);
    }
    fb_loader_free(NULL);
    sampling_free(&s);
}

static const char vocab_text[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n[unused0]\n"
                                 "title\n3\n##3\n4\n##4\n";

static fb_vocab *open_vocab(void)
{
    fb_vocab *vocab = NULL;
    assert_int_equal(
        fb_vocab_parse(NULL, &vocab, "v", vocab_text, sizeof vocab_text - 1), FB_OK);
    return vocab;
}

static void titles_are_encoded_once_by_split(void **state)
{
    fixture *f = *state;
    fixture_text(f, "a", "1");
    fixture_text(f, "metadata.jsonl",
                 "{\"file_name\":\"a\",\"title\":\"Title 34\"}\n"
                 "{\"file_name\":\"a\",\"title\":\"4\",\"split\":\"val\"}\n"
                 "{\"file_name\":\"a\",\"title\":\"x title title title\"}\n");
    fb_catalogue *cat = NULL;
    fb_token_lists *lists = NULL;
    fb_vocab *vocab = open_vocab();
    assert_int_equal(fb_catalogue_open(f->ctx, &cat, f->folder, NULL), FB_OK);
    assert_int_equal(
        fb_token_lists_of_split(f->ctx, &lists, vocab, cat, FB_SPLIT_TRAIN, 5), FB_OK);
    const int32_t first[] = {2, 6, 7, 10, 3}, third[] = {2, 1, 6, 6, 3};
    int32_t count;
    assert_memory_equal(fb_token_list(lists, 0, &count), first, sizeof first);
    assert_int_equal(count, 5);
    fb_token_list(lists, 1, &count);
    assert_int_equal(count, 0);
    assert_memory_equal(fb_token_list(lists, 2, &count), third, sizeof third);
    assert_int_equal(lists->longest, 5);
    fb_token_lists_free(lists);
    fb_vocab_free(vocab);
    fb_catalogue_close(cat);
}

static void masking_knows_the_vocabularys_kinds(void **state)
{
    (void)state;
    fb_vocab *vocab = open_vocab();
    fb_mask_vocab *mask = NULL;
    assert_int_equal(fb_mask_vocab_of(NULL, &mask, vocab), FB_OK);
    assert_int_equal(mask->mask_id, 4);
    assert_int_equal(mask->ordinary_count, 5);
    for (int32_t i = 0; i < 6; i++)
        assert_int_equal(mask->kinds[i], FB_TOKEN_SPECIAL);
    assert_int_equal(mask->kinds[6], FB_TOKEN_WORD);
    assert_int_equal(mask->kinds[8], FB_TOKEN_CONTINUATION);
    fb_mask_vocab_free(mask);
    fb_vocab_free(vocab);
}

static void loader_of_catalogue_and_vocabulary_gives_batches(void **state)
{
    fixture *f = *state;
    fb_catalogue *cat = fixture_catalogue(f);
    fb_vocab *vocab = open_vocab();
    fb_loader_options options;
    fb_loader_options_defaults(&options);
    options.sampler.batch = 10;
    options.sampler.image_size = 32;
    options.total_steps = 3;
    fb_loader *loader = NULL;
    if (fb_loader_create(f->ctx, &loader, cat, vocab, &options) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    fb_vocab_free(vocab);
    assert_int_equal(fb_loader_items(loader), ITEMS);
    assert_int_equal(fb_loader_items_per_step(loader), 5);
    for (int step = 0; step < 3; step++) {
        const fb_batch *b = NULL;
        if (fb_loader_next(f->ctx, loader, &b, NULL) != FB_OK)
            fail_msg("%s", fb_context_message(f->ctx));
        assert_int_equal(b->pairs, 10);
        assert_int_equal(b->token_ids[0], 2);
    }
    fb_loader_free(loader);
    fb_catalogue_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(threads_depth_and_start_change_nothing),
        FIXTURE_TEST(items_of_any_size_are_the_same_on_any_threads),
        FIXTURE_TEST(broken_image_fails_at_its_step_by_name),
        FIXTURE_TEST(free_joins_at_any_time),
        FIXTURE_TEST(titles_are_encoded_once_by_split),
        cmocka_unit_test(masking_knows_the_vocabularys_kinds),
        FIXTURE_TEST(loader_of_catalogue_and_vocabulary_gives_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

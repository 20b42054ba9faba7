/* test_query_ranking.c - what a model of queries reaches, against a plain count over
 * the same scores; lists hold what they say, and are the same for the same seed.
 */
#include <math.h>

#include "base/intern.h"
#include "engine/query_ranking.h"
#include "support/query_fixture.h"

#include "models/matcher.h"
#include "retrieval/ranking/ranking_metrics.h"

typedef struct world {
    fixture *f;
    fb_catalogue *catalogue;
    fb_query_set *set;
    fb_query_split *split;
    fb_vocab *vocab;
    fb_backend *be;
    fb_matcher *matcher;
    fb_query_ranker with;
} world;

static void must(const world *w, fb_status status)
{
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(w->f->ctx));
}

static const char vocab_lines[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]"
                                  "\ntitle\nquery\n0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n##0\n"
                                  "##1\n##2\n##3\n##4\n##5\n##6\n##7\n##8\n##9\n";

static fb_model_config config(void)
{
    return (fb_model_config){.system = fb_systems_find("qti"),
                             .layers = 1,
                             .width = 16,
                             .heads = 2,
                             .inner = 16,
                             .vocab = 27,
                             .positions = 12,
                             .segments = 3,
                             .eps = 1e-12,
                             .init_std = 0.5,
                             .encoder = "pixels",
                             .image_size = 8,
                             .grid = 2,
                             .mean = {0.5, 0.5, 0.5},
                             .std = {0.25, 0.25, 0.25},
                             .max_text = 8,
                             .views = 1};
}

static void open_world(world *w, fixture *f)
{
    static fb_model_config c;
    c = config();
    *w = (world){.f = f, .catalogue = fixture_catalogue(f)};
    fixture_clicks(f, "clicks.tsv");
    must(w, fb_query_set_open(f->ctx, &w->set, w->catalogue, ""));
    must(w, fb_query_split_create(f->ctx, &w->split, w->set, w->catalogue,
                                  FB_SPLIT_TRAIN));
    must(w, fb_vocab_parse(f->ctx, &w->vocab, "vocab", vocab_lines,
                           sizeof vocab_lines - 1));
    must(w, fb_backend_create(f->ctx, &w->be, "ref", "f32", 1));
    must(w, fb_matcher_create(f->ctx, &w->matcher, &c, FB_MODEL_SCORE));
    fb_params_initialise(w->matcher->params, 3);
    w->with = (fb_query_ranker){.config = &w->matcher->config,
                                .vocab = w->vocab,
                                .resizer = fb_resizer_create(),
                                .catalogue = w->catalogue,
                                .split = w->split};
    must(w, fb_scorer_create(f->ctx, &w->with.scorer, w->be, w->matcher));
}

static void close_world(world *w)
{
    fb_scorer_free(w->with.scorer);
    fb_resizer_free(w->with.resizer);
    w->matcher->system->free(w->matcher, w->be);
    fb_backend_free(w->be);
    fb_vocab_free(w->vocab);
    fb_query_split_free(w->split);
    fb_query_set_close(w->set);
    fb_catalogue_close(w->catalogue);
}

/* ---- scores, one triple at a time -------------------------------------------------
 */

typedef struct one {
    world *w;
    int32_t query, item, ids[8];
} one;

static fb_status encode(one *o, fb_context *ctx, const char *text, const int32_t **ids,
                        int32_t *count)
{
    *ids = o->ids;
    return fb_wordpiece_encode_wrapped(ctx, o->w->vocab, text, strlen(text), 8, o->ids,
                                       count);
}

static fb_status one_query(void *self, fb_context *ctx, int32_t n, const int32_t **ids,
                           int32_t *count)
{
    one *o = self;
    (void)n;
    return encode(o, ctx, fb_query_set_text(o->w->set, o->query), ids, count);
}

static fb_status one_title(void *self, fb_context *ctx, int32_t n, const int32_t **ids,
                           int32_t *count)
{
    one *o = self;
    (void)n;
    return encode(o, ctx, fb_catalogue_get(o->w->catalogue, o->item)->title, ids,
                  count);
}

static fb_status one_image(void *self, fb_context *ctx, int32_t n, uint8_t *pixels)
{
    one *o = self;
    char path[4096];
    (void)n;
    FB_TRY(fb_catalogue_image_path(ctx, o->w->catalogue, o->item, path));
    return fb_image_load(ctx, path, o->w->with.resizer, 8, FB_FIT_PAD,
                         FB_FILTER_BILINEAR, pixels);
}

static float score(world *w, int32_t query, int32_t item)
{
    one o = {w, query, item, {0}};
    const fb_score_source source = {
        .self = &o, .query = one_query, .text = one_title, .image = one_image};
    const fb_score_triple triple = {0, 0, 0};
    const fb_score_request request = {&triple, 1, NULL, true};
    float margin = 0;
    must(w, fb_scorer_run(w->f->ctx, w->with.scorer, &source, &request, FB_SCORE_TIA,
                          &margin));
    return margin;
}

static void near(const char *what, double got, double want)
{
    if (!(fabs(got - want) <= 1e-9))
        fail_msg("%s is %.12g, not %.12g", what, got, want);
}

/* Of each query: all items, by single scores, ranks counted as the definition says. */
static void full_ranks_are_a_plain_count(void **state)
{
    world w;
    open_world(&w, *state);
    const fb_query_ranking_options options = {
        .full = true, .draws = 1, .seed = 2, .trec = "", .quiet = true};
    fb_query_report report;
    must(&w, fb_query_rank(w.f->ctx, &w.with, &options, &report));
    double r1 = 0, r10 = 0, mrr = 0, ndcg = 0, chance = 0;
    int32_t excluded = 0;
    for (int32_t q = 0; q < FIXTURE_QUERIES; q++) {
        float s[ITEMS];
        bool hit[ITEMS], out[ITEMS];
        int32_t hits = 0, pool = 0;
        double best = 0, got = 0, ideal = 0;
        int32_t rank_best = ITEMS;
        for (int32_t i = 0; i < ITEMS; i++) {
            hit[i] =
                fixture_wants(fixture_query(w.set, q), fixture_product(w.catalogue, i));
            s[i] = score(&w, q, i);
            hits += hit[i];
        }
        for (int32_t i = 0; i < ITEMS; i++) {
            out[i] = false;
            for (int32_t k = 0; k < ITEMS; k++)
                out[i] = out[i] || (!hit[i] && hit[k] &&
                                    fixture_picture(i) == fixture_picture(k));
            excluded += out[i];
            pool += !out[i];
        }
        for (int32_t i = 0; i < ITEMS; i++) {
            int32_t before = 0, wrong = 0;
            for (int32_t k = 0; k < ITEMS && hit[i]; k++) {
                bool ahead = s[k] > s[i] || (s[k] == s[i] && (!hit[k] || k < i));
                before += !out[k] && k != i && ahead;
                wrong += !out[k] && !hit[k] && s[k] >= s[i];
            }
            if (!hit[i])
                continue;
            got += before < 10 ? 1 / log2(before + 2) : 0;
            rank_best = wrong + 1 < rank_best ? wrong + 1 : rank_best;
        }
        for (int32_t i = 0; i < hits && i < 10; i++)
            ideal += 1 / log2(i + 2);
        best = 1.0 / rank_best;
        r1 += rank_best <= 1;
        r10 += rank_best <= 10;
        mrr += best;
        ndcg += got / ideal;
        chance += (double)hits / pool;
    }
    assert_true(excluded > 0); /* the fixture has such */
    assert_int_equal(report.ranking.queries, FIXTURE_QUERIES);
    near("R@1", report.ranking.r1, r1 / FIXTURE_QUERIES);
    near("R@10", report.ranking.r10, r10 / FIXTURE_QUERIES);
    near("MRR", report.ranking.mrr, mrr / FIXTURE_QUERIES);
    near("NDCG@10", report.ndcg10, ndcg / FIXTURE_QUERIES);
    near("chance", report.ranking.chance_r1, chance / FIXTURE_QUERIES);
    near("R@all", report.ranking.r_all, 1);
    close_world(&w);
}

static void sampled_lists_hold_one_that_is_wanted(void **state)
{
    world w;
    open_world(&w, *state);
    const fb_query_ranking_options options = {.negative_count = 6,
                                              .min_candidates = 3,
                                              .draws = 2,
                                              .seed = 9,
                                              .trec = "",
                                              .quiet = true};
    fb_query_lists lists = {0}, again = {0};
    must(&w, fb_query_lists_make(w.f->ctx, &lists, w.split, w.catalogue, &options));
    must(&w, fb_query_lists_make(w.f->ctx, &again, w.split, w.catalogue, &options));
    assert_int_equal(lists.count + lists.left_out, 2 * fb_query_split_rows(w.split));
    assert_int_equal(lists.judged_count, 2 * lists.count);
    assert_memory_equal(lists.lists, again.lists,
                        (size_t)lists.count * sizeof *lists.lists);
    for (int64_t i = 0; i < lists.entry_count; i++)
        assert_true(lists.entries[i].item == again.entries[i].item &&
                    lists.entries[i].mark == again.entries[i].mark);
    for (int64_t i = 0; i < lists.count; i++) {
        const fb_query_list *l = &lists.lists[i];
        const fb_query_entry *e = lists.entries + l->first;
        int32_t q = fixture_query(w.set, l->query), skips = 0;
        bool skipping = true;
        assert_true(l->count >= 4 && l->count <= 7);
        for (int32_t k = 0; k < l->count; k++) {
            int32_t p = fixture_product(w.catalogue, e[k].item);
            assert_int_equal(e[k].mark, k ? FB_MARK_NEGATIVE : FB_MARK_HIT);
            assert_int_equal(fixture_wants(q, p), k == 0);
            for (int32_t j = 0; j < k; j++)
                assert_int_not_equal(e[j].item, e[k].item);
            if (k == 0)
                continue;
            assert_true(skipping || !fixture_skips(q, p)); /* these come first */
            skipping = fixture_skips(q, p);
            skips += skipping;
        }
        assert_true(skips > 0 || q >= 4);
        assert_int_equal(lists.judged[2 * i].item, e[0].item);
        assert_int_equal(lists.judged[2 * i + 1].item, e[1].item);
        assert_true(lists.judged[2 * i].matched && !lists.judged[2 * i + 1].matched);
    }
    fb_query_lists_clear(&lists);
    fb_query_lists_clear(&again);
    close_world(&w);
}

/* A scorer that answers the same to everything is last, not first. */
static void a_model_that_knows_nothing_is_ranked_last(void **state)
{
    world w;
    open_world(&w, *state);
    memset(w.matcher->params->value, 0,
           (size_t)w.matcher->params->total * sizeof(float));
    fb_params_touch(w.matcher->params);
    const fb_query_ranking_options options = {.negative_count = 5,
                                              .min_candidates = 5,
                                              .draws = 1,
                                              .seed = 9,
                                              .queries = 20,
                                              .trec = "",
                                              .quiet = true};
    fb_query_report report;
    must(&w, fb_query_rank(w.f->ctx, &w.with, &options, &report));
    near("R@1", report.ranking.r1, 0);
    near("R@5", report.ranking.r5, 0);
    near("R@10", report.ranking.r10, 1);
    near("AUC", report.auc, 0.5);
    near("chance", report.ranking.chance_r1, 1.0 / 6);
    assert_int_equal(report.ranking.queries + report.ranking.left_out, 20);
    const fb_query_ranking_options many = {.negative_count = 100,
                                           .min_candidates = 100,
                                           .draws = 1,
                                           .trec = "",
                                           .quiet = true};
    assert_int_equal(fb_query_rank(w.f->ctx, &w.with, &many, &report), FB_E_MISSING);
    assert_non_null(strstr(fb_context_message(w.f->ctx), "--min-candidates"));
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(full_ranks_are_a_plain_count),
        FIXTURE_TEST(sampled_lists_hold_one_that_is_wanted),
        FIXTURE_TEST(a_model_that_knows_nothing_is_ranked_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

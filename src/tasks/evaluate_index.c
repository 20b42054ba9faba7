/* evaluate_index.c - the full protocol on the index and the re-ranker that serve.
 *
 *     text to image   each distinct title searches the vectors of the split's distinct
 *                     images; the `depth` nearest are re-ranked by the model's score of
 *                     the title with each image
 *     image to text   each distinct image searches the vectors of the distinct titles
 *
 * Of an index of products, whose vectors hold a query's own title or image, the image's
 * (or title's) part alone is searched, exactly; an index of images (or texts) is
 * searched as it is, its graph too. A right answer that is not among the depth nearest
 * counts as the last of all candidates.
 */
#include "retrieval/index/exact_search.h"
#include "retrieval/index/index_search.h"
#include "tasks/evaluate.h"
#include "tasks/index_build.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct stages {
    fb_context *ctx;
    const fb_evaluate_options *options;
    fb_model *model;
    fb_split_items *items;
    fb_index *index;
    fb_score_kind kind;
    int64_t *row_of;  /* [items] row of the index */
    int32_t *item_of; /* [rows] item of the split, -1: none */
    fb_full_pool *pool;
    fb_direction direction;
    int32_t depth, query_count;
    int32_t *queries;                 /* [query_count] items */
    float *vectors;                   /* [query_count, D] */
    uint8_t *bits[FB_INDEX_SEGMENTS]; /* rows that are documents of the pool */
    uint8_t *marks;                   /* [documents] */
    int32_t *found;                   /* [query_count, depth] documents, -1: no more */
    float *scores;                    /* [query_count, depth] */
    float *margins;                   /* likewise, re-ranked */
    fb_ranks ranks[2];                /* by vectors, re-ranked */
    int64_t reached[2];               /* by direction: queries with a hit in reach */
    int64_t asked[2];
    int64_t dropped; /* pairs that were not re-ranked */
} stages;

static fb_status no_memory(const stages *s)
{
    return fb_fail(s->ctx, FB_E_MEMORY, "no memory to evaluate %d items",
                   (int)s->items->count);
}

/* ---- the split's items in the index -----------------------------------------------
 */

typedef struct named_row {
    const char *image;
    int64_t row;
} named_row;

static int by_image(const void *a, const void *b)
{
    return strcmp(((const named_row *)a)->image, ((const named_row *)b)->image);
}

static int64_t list_rows(const stages *s, named_row *rows)
{
    int64_t n = 0;
    for (int32_t i = 0; i < s->index->segment_count; i++) {
        const fb_segment *segment = &s->index->segment[i];
        for (int64_t r = 0; r < segment->rows; r++)
            if (fb_segment_is_alive(segment, r))
                rows[n++] = (named_row){fb_product_table_image(segment->products, r),
                                        segment->first + r};
    }
    qsort(rows, (size_t)n, sizeof *rows, by_image);
    return n;
}

/* Its title is as it was when the index was made: else the index is an old one. */
static bool has_title(const stages *s, int64_t row, const char *title)
{
    const fb_segment *segment = fb_index_segment_of(s->index, &row);
    return strcmp(fb_product_table_title(segment->products, row), title) == 0;
}

static fb_status find_items(stages *s)
{
    int64_t rows = s->index->rows;
    named_row *named = malloc(((size_t)rows + 1) * sizeof *named);
    s->row_of = malloc(((size_t)s->items->count + 1) * sizeof *s->row_of);
    s->item_of = malloc(((size_t)rows + 1) * sizeof *s->item_of);
    if (!named || !s->row_of || !s->item_of) {
        free(named);
        return no_memory(s);
    }
    int64_t count = list_rows(s, named);
    fb_status status = FB_OK;
    for (int64_t r = 0; r < rows; r++)
        s->item_of[r] = -1;
    for (int32_t i = 0; i < s->items->count && status == FB_OK; i++) {
        const named_row key = {s->items->ids[i], 0};
        const named_row *at =
            bsearch(&key, named, (size_t)count, sizeof *named, by_image);
        if (at && has_title(s, at->row, s->items->titles[i])) {
            s->row_of[i] = at->row;
            s->item_of[at->row] = i;
        } else {
            status = fb_fail(s->ctx, FB_E_STATE,
                             "%s lacks %s of split %s as the catalogue has it; make "
                             "the index of this catalogue",
                             s->options->index, s->items->ids[i], s->options->split);
        }
    }
    free(named);
    return status;
}

/* ---- queries and documents ------------------------------------------------------- */

/* Evenly chosen, at most options->queries. */
static fb_status choose_queries(stages *s)
{
    int32_t all = s->pool->query_count, most = s->options->queries;
    s->query_count = most > 0 && most < all ? most : all;
    s->queries = malloc(((size_t)s->query_count + 1) * sizeof *s->queries);
    if (!s->queries)
        return no_memory(s);
    for (int32_t i = 0; i < s->query_count; i++)
        s->queries[i] = s->pool->queries[(int64_t)i * all / s->query_count];
    return FB_OK;
}

static fb_status encode_queries(stages *s)
{
    size_t n = (size_t)s->query_count + 1;
    fb_input *inputs = calloc(n, sizeof *inputs);
    fb_image_input *images = calloc(n, sizeof *images);
    s->vectors = malloc(n * (size_t)s->index->manifest.width * sizeof *s->vectors);
    fb_status status = inputs && images && s->vectors ? FB_OK : no_memory(s);
    for (int32_t i = 0; i < s->query_count && status == FB_OK; i++) {
        images[i].file = s->items->paths[s->queries[i]];
        if (s->direction == FB_TEXT_TO_IMAGE)
            inputs[i].text = s->items->titles[s->queries[i]];
        else
            inputs[i].image = &images[i];
    }
    if (status == FB_OK)
        status =
            fb_model_encode(s->ctx, s->model, inputs, s->query_count, -1, s->vectors);
    free(inputs);
    free(images);
    return status;
}

static void set_bit(stages *s, int64_t row, bool value)
{
    int64_t at = row;
    const fb_segment *segment = fb_index_segment_of(s->index, &at);
    uint8_t *byte = &s->bits[segment - s->index->segment][at >> 3];
    *byte = (uint8_t)(value ? *byte | 1 << (at & 7) : *byte & ~(1 << (at & 7)));
}

static fb_status mark_documents(stages *s)
{
    for (int32_t i = 0; i < s->index->segment_count; i++) {
        s->bits[i] = calloc((size_t)s->index->segment[i].rows / 8 + 1, 1);
        if (!s->bits[i])
            return no_memory(s);
    }
    for (int32_t d = 0; d < s->pool->document_count; d++)
        set_bit(s, s->row_of[s->pool->documents[d]], true);
    return FB_OK;
}

/* ---- searching ------------------------------------------------------------------- */

static fb_status search_query(stages *s, int32_t q, const fb_search_options *how,
                              fb_scored *heap)
{
    const fb_full_pool *p = s->pool;
    int64_t count = 0, at = (int64_t)q * s->depth;
    fb_full_pool_mark(p, s->queries[q], s->marks);
    for (int32_t d = 0; d < p->document_count; d++)
        if (s->marks[d] == FB_MARK_EXCLUDED)
            set_bit(s, s->row_of[p->documents[d]], false);
    FB_TRY(fb_index_search_rows(s->ctx, s->index,
                                s->vectors + (int64_t)q * s->index->manifest.width, how,
                                s->bits, s->depth, heap, &count));
    for (int32_t d = 0; d < p->document_count; d++)
        if (s->marks[d] == FB_MARK_EXCLUDED)
            set_bit(s, s->row_of[p->documents[d]], true);
    for (int32_t i = 0; i < s->depth; i++) {
        bool there = i < count;
        int32_t item = there ? s->item_of[heap[i].row] : -1;
        s->found[at + i] = there ? p->document_of[item] : -1;
        s->scores[at + i] = there ? heap[i].score : 0.0f;
    }
    return FB_OK;
}

static fb_status search_all(stages *s)
{
    size_t places = (size_t)s->query_count * (size_t)s->depth + 1;
    fb_scored *heap = malloc((size_t)s->depth * sizeof *heap);
    s->found = malloc(places * sizeof *s->found);
    s->scores = malloc(places * sizeof *s->scores);
    s->margins = malloc(places * sizeof *s->margins);
    s->marks = malloc((size_t)s->items->count + 1);
    fb_search_options how;
    fb_search_options_defaults(&how);
    how.by = s->direction == FB_TEXT_TO_IMAGE ? "image" : "text";
    fb_status status =
        heap && s->found && s->scores && s->margins && s->marks ? FB_OK : no_memory(s);
    for (int32_t q = 0; q < s->query_count && status == FB_OK; q++)
        status = search_query(s, q, &how, heap);
    free(heap);
    return status;
}

/* Whether place i of `found` is re-ranked: near enough to its query's nearest. */
static bool is_near(const stages *s, int64_t i)
{
    float first = s->scores[i - i % s->depth];
    return s->found[i] >= 0 &&
           !((double)first - (double)s->scores[i] > s->options->rerank_margin);
}

/* The margins of those near enough, in their order; the others come behind all of
 * these, as their similarities order them. */
static void put_margins(stages *s, int32_t query, const float **next)
{
    int64_t from = (int64_t)query * s->depth;
    float least = 0;
    for (int64_t i = from; i < from + s->depth; i++)
        if (is_near(s, i)) {
            s->margins[i] = *(*next)++;
            least = i == from || s->margins[i] < least ? s->margins[i] : least;
        } else if (s->found[i] >= 0) {
            s->margins[i] = least - 1 - (s->scores[from] - s->scores[i]);
            s->dropped++;
        }
}

static fb_status rerank_all(stages *s, int64_t *pairs_scored)
{
    int64_t n = 0, places = (int64_t)s->query_count * s->depth;
    fb_score_triple *pairs = malloc(((size_t)places + 1) * sizeof *pairs);
    float *margins = malloc(((size_t)places + 1) * sizeof *margins);
    fb_status status = pairs && margins ? FB_OK : no_memory(s);
    for (int64_t i = 0; i < places && status == FB_OK; i++) {
        if (!is_near(s, i))
            continue;
        int32_t query = s->queries[i / s->depth];
        int32_t item = s->pool->documents[s->found[i]];
        bool by_text = s->direction == FB_TEXT_TO_IMAGE;
        pairs[n++] =
            (fb_score_triple){-1, by_text ? query : item, by_text ? item : query};
    }
    const fb_score_request request = {pairs, n, "re-ranking", s->options->quiet};
    if (status == FB_OK)
        status = fb_model_score_pairs(s->ctx, s->model, s->items->titles,
                                      s->items->paths, &request, s->kind, margins);
    const float *next = margins;
    for (int32_t q = 0; q < s->query_count && status == FB_OK; q++)
        put_margins(s, q, &next);
    *pairs_scored += n;
    free(pairs);
    free(margins);
    return status;
}

/* ---- ranks ----------------------------------------------------------------------- */

/* The rank of the best hit among what was found, by these scores of it. */
static fb_status rank_query(stages *s, int32_t q, const float *scores, fb_rank *rank,
                            bool *reached)
{
    int64_t at = (int64_t)q * s->depth;
    float best = 0;
    int64_t of[FB_MARK_EXCLUDED + 1] = {0};
    for (int32_t d = 0; d < s->pool->document_count; d++)
        of[s->marks[d]]++;
    rank->pool = 1 + of[FB_MARK_NEGATIVE];
    rank->chance = fb_chance_of_hits(of[FB_MARK_HIT], of[FB_MARK_NEGATIVE]);
    *reached = false;
    for (int32_t i = 0; i < s->depth && s->found[at + i] >= 0; i++) {
        if (!isfinite(scores[at + i]))
            return fb_fail(s->ctx, FB_E_NUMBER, "a score is not finite");
        if (s->marks[s->found[at + i]] != FB_MARK_HIT)
            continue;
        best = *reached && best > scores[at + i] ? best : scores[at + i];
        *reached = true;
    }
    rank->rank = *reached ? 1 : rank->pool;
    for (int32_t i = 0; i < s->depth && s->found[at + i] >= 0 && *reached; i++)
        rank->rank +=
            s->marks[s->found[at + i]] == FB_MARK_NEGATIVE && scores[at + i] >= best;
    return FB_OK;
}

static fb_status rank_all(stages *s)
{
    for (int32_t q = 0; q < s->query_count; q++) {
        bool reached = false;
        fb_full_pool_mark(s->pool, s->queries[q], s->marks);
        int32_t category = s->items->items[s->queries[q]].category;
        for (int stage = 0; stage < (s->options->rerank > 0 ? 2 : 1); stage++) {
            fb_rank rank;
            FB_TRY(rank_query(s, q, stage ? s->margins : s->scores, &rank, &reached));
            FB_TRY(fb_ranks_add(s->ctx, &s->ranks[stage],
                                (fb_ranks_entry){0, (int32_t)s->direction,
                                                 s->queries[q], category, rank}));
        }
        s->reached[s->direction] += reached;
        s->asked[s->direction]++;
    }
    return FB_OK;
}

static void clear_direction(stages *s)
{
    fb_full_pool_free(s->pool);
    free(s->queries);
    free(s->vectors);
    free(s->found);
    free(s->scores);
    free(s->margins);
    free(s->marks);
    for (int32_t i = 0; i < FB_INDEX_SEGMENTS; i++) {
        free(s->bits[i]);
        s->bits[i] = NULL;
    }
    s->pool = NULL;
    s->queries = s->found = NULL;
    s->vectors = s->scores = s->margins = NULL;
    s->marks = NULL;
}

static fb_status run_direction(stages *s, int64_t *pairs_scored)
{
    FB_TRY(fb_full_pool_create(s->ctx, &s->pool, s->items->items, s->items->count,
                               s->direction));
    s->depth = s->options->rerank > 0 ? s->options->rerank : 100;
    if (s->depth > s->pool->document_count)
        s->depth = s->pool->document_count;
    FB_TRY(choose_queries(s));
    FB_TRY(encode_queries(s));
    FB_TRY(mark_documents(s));
    FB_TRY(search_all(s));
    if (s->options->rerank > 0)
        FB_TRY(rerank_all(s, pairs_scored));
    return rank_all(s);
}

/* Whether the index has vectors of what this direction looks for, apart from what it
 * looks for it with. */
static bool has_direction(const stages *s, fb_direction direction)
{
    const fb_segment *first = &s->index->segment[0];
    fb_index_what what = s->index->manifest.what;
    if (what == FB_OF_PRODUCT)
        return fb_stored_any(&first->image);
    return what == (direction == FB_TEXT_TO_IMAGE ? FB_OF_IMAGE : FB_OF_TEXT);
}

static double share(int64_t part, int64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : (double)NAN;
}

static void leave_out(fb_ranking *r)
{
    *r = (fb_ranking){.candidates_mean = NAN,
                      .r1 = NAN,
                      .r5 = NAN,
                      .r10 = NAN,
                      .r_all = NAN,
                      .mrr = NAN,
                      .median_rank = NAN,
                      .chance_r1 = NAN,
                      .chance_r5 = NAN,
                      .chance_r10 = NAN};
}

static fb_status finish(stages *s, fb_evaluation *e)
{
    fb_evaluation first = {0};
    bool both = s->asked[0] && s->asked[1];
    s->ranks[0].draws = s->ranks[1].draws = 1;
    fb_two_stages *t = &e->stages;
    t->used = true;
    t->depth = s->depth;
    t->reranked = s->options->rerank > 0;
    t->dropped = s->dropped;
    snprintf(t->kind, sizeof t->kind, "%s",
             fb_index_kind_name(s->index->manifest.kind));
    FB_TRY(fb_ranks_finish(s->ctx, &s->ranks[0], s->items, &first));
    t->image_to_text = first.image_to_text;
    t->text_to_image = first.text_to_image;
    t->sum_r = both ? first.sum_r : (double)NAN;
    free(first.categories);
    free(first.ranks);
    FB_TRY(fb_ranks_finish(s->ctx, &s->ranks[t->reranked], s->items, e));
    e->sum_r = both ? e->sum_r : (double)NAN;
    t->image_to_text_ceiling =
        share(s->reached[FB_IMAGE_TO_TEXT], s->asked[FB_IMAGE_TO_TEXT]);
    t->text_to_image_ceiling =
        share(s->reached[FB_TEXT_TO_IMAGE], s->asked[FB_TEXT_TO_IMAGE]);
    if (!s->asked[FB_IMAGE_TO_TEXT]) {
        leave_out(&t->image_to_text);
        leave_out(&e->image_to_text);
    }
    if (!s->asked[FB_TEXT_TO_IMAGE]) {
        leave_out(&t->text_to_image);
        leave_out(&e->text_to_image);
    }
    e->accuracy = e->auc = NAN; /* of pairs that were chosen by vectors */
    return FB_OK;
}

static fb_status run(stages *s, fb_evaluation *e)
{
    FB_TRY(fb_index_open(s->ctx, &s->index, s->options->index, s->model));
    FB_TRY(find_items(s));
    for (int d = 0; d < 2; d++) {
        s->direction = (fb_direction)d;
        if (!has_direction(s, s->direction))
            continue;
        fb_status status = run_direction(s, &e->pairs_scored);
        clear_direction(s);
        FB_TRY(status);
    }
    if (!s->asked[0] && !s->asked[1])
        return fb_fail(s->ctx, FB_E_STATE,
                       "%s keeps no vectors of images or titles apart, so that each "
                       "query would find itself; make it without --vectors, or of "
                       "--what image",
                       s->options->index);
    return finish(s, e);
}

fb_status fb_evaluate_index(fb_context *ctx, fb_model *model, fb_split_items *items,
                            const fb_evaluate_options *options, fb_score_kind kind,
                            fb_evaluation *evaluation)
{
    stages s = {
        .ctx = ctx, .options = options, .model = model, .items = items, .kind = kind};
    fb_status status = run(&s, evaluation);
    fb_ranks_free(&s.ranks[0]);
    fb_ranks_free(&s.ranks[1]);
    free(s.row_of);
    free(s.item_of);
    fb_index_close(s.index);
    return status;
}

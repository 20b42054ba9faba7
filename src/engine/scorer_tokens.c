/* scorer_tokens.c - scores of pairs by a model that gives tokens (FB_GIVES_TOKENS): the
 * words of each text are encoded once in a request, the rows of each image once, and
 * pairs are scored from what is kept.
 *
 *     for texts, as many as WORDS_BYTES hold:
 *         words of all of them
 *         for images, a batch of them at a time:
 *             rows of these, then the margins of their pairs with those texts
 *
 * Only where a request has more texts than fit are images encoded more than once.
 */
#include "engine/scorer_parts.h"

#include "models/token_pairs.h"

#include <stdlib.h>
#include <string.h>

enum { WORDS_BYTES = 256 << 20 };

typedef struct token_run {
    fb_context *ctx;
    fb_scorer *s;
    const fb_score_source *source;
    const fb_placed_triple *triples; /* sorted by image */
    int64_t count, width;            /* D */
    int32_t *list;                   /* the request's texts, ascending */
    int64_t list_count;
    /* Of the texts of a round, list[first] up to list[last]: */
    int64_t first, last;
    int32_t *text_offsets;
    float *words;
    int64_t words_room; /* in words */
    /* Of a batch of images: */
    float *rows;
    int64_t rows_room;
    int32_t *text, *image; /* [count] of its pairs */
    int64_t *place;        /* [count] */
    float *scores;         /* [count] */
    fb_progress *progress;
    int64_t done;
} token_run;

static fb_status grow(fb_context *ctx, float **numbers, int64_t *room, int64_t rows,
                      int64_t width)
{
    if (rows <= *room)
        return FB_OK;
    int64_t more = rows + rows / 2;
    float *larger = realloc(*numbers, (size_t)(more * width) * sizeof *larger);
    if (!larger)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for vectors of %lld words or rows",
                       (long long)rows);
    *numbers = larger;
    *room = more;
    return FB_OK;
}

/* ---- words -------------------------------------------------------------------------- */

/* The next texts of the round, a batch of them, behind those that are there. */
static fb_status encode_texts(token_run *r)
{
    const fb_matcher *m = r->s->matcher;
    int64_t round = r->last - r->first;
    int32_t before = r->text_offsets[round];
    FB_TRY(fb_scorer_begin(r->ctx, r->s, NULL));
    const fb_batch *b = r->s->batch;
    while (r->last < r->list_count && b->texts < FB_SCORE_PAIRS)
        FB_TRY(fb_scorer_add_text(r->ctx, r->s, r->source, r->list[r->last++]));
    for (int32_t t = 1; t <= b->texts; t++)
        r->text_offsets[round + t] = before + b->text_offsets[t];
    int64_t words = before + fb_batch_text_tokens(b);
    FB_TRY(grow(r->ctx, &r->words, &r->words_room, words, r->width));
    fb_tape tape = fb_scorer_tape(r->ctx, r->s);
    return m->system->tokens(r->s->matcher, &tape, b, r->words + before * r->width,
                             NULL);
}

static fb_status encode_round(token_run *r)
{
    int64_t most = WORDS_BYTES / (r->width * (int64_t)sizeof *r->words);
    r->first = r->last;
    r->text_offsets[0] = 0;
    while (r->last < r->list_count && r->text_offsets[r->last - r->first] < most)
        FB_TRY(encode_texts(r));
    return FB_OK;
}

/* ---- rows --------------------------------------------------------------------------- */

/* Add images, and the round's pairs with them, until the batch is full; their number. */
static fb_status take_images(token_run *r, int64_t *next, int64_t *pairs)
{
    int32_t number = -1;
    *pairs = 0;
    FB_TRY(fb_scorer_begin(r->ctx, r->s, r->source));
    const fb_batch *b = r->s->batch;
    int32_t most = b->feature_width ? FB_SCORE_PAIRS : FB_SCORE_IMAGES;
    for (; *next < r->count; (*next)++) {
        const fb_score_triple *t = &r->triples[*next].triple;
        int64_t text = fb_score_place_of(r->list, r->list_count, t->text);
        if (text < r->first || text >= r->last)
            continue;
        if (t->image != number || b->images == 0) {
            if (b->images == most)
                break;
            number = t->image;
            FB_TRY(fb_scorer_add_image(r->ctx, r->s, r->source, number));
        }
        r->text[*pairs] = (int32_t)(text - r->first);
        r->image[*pairs] = b->images - 1;
        r->place[(*pairs)++] = r->triples[*next].place;
    }
    return FB_OK;
}

static fb_status score_images(token_run *r, int64_t *next, float *margins)
{
    fb_matcher *m = r->s->matcher;
    int64_t pairs;
    FB_TRY(take_images(r, next, &pairs));
    const fb_batch *b = r->s->batch;
    FB_TRY(
        grow(r->ctx, &r->rows, &r->rows_room, b->image_offsets[b->images], r->width));
    fb_tape tape = fb_scorer_tape(r->ctx, r->s);
    FB_TRY(m->system->tokens(m, &tape, b, NULL, r->rows));
    const fb_token_pairs given = {.words = r->words,
                                  .rows = r->rows,
                                  .texts = (int32_t)(r->last - r->first),
                                  .images = b->images,
                                  .text_offsets = r->text_offsets,
                                  .image_offsets = b->image_offsets,
                                  .count = pairs,
                                  .text = r->text,
                                  .image = r->image};
    tape = fb_scorer_tape(r->ctx, r->s);
    FB_TRY(m->system->score_tokens(m, &tape, &given, r->scores));
    for (int64_t i = 0; i < pairs; i++)
        margins[r->place[i]] = r->scores[i];
    r->done += pairs;
    fb_progress_update(r->progress, r->done, 1.0, "");
    return FB_OK;
}

/* ---- a request ---------------------------------------------------------------------- */

static fb_status make_room(token_run *r)
{
    size_t count = (size_t)r->count + 1;
    r->text_offsets = malloc(((size_t)r->list_count + 1) * sizeof *r->text_offsets);
    r->text = malloc(count * sizeof *r->text);
    r->image = malloc(count * sizeof *r->image);
    r->place = malloc(count * sizeof *r->place);
    r->scores = malloc(count * sizeof *r->scores);
    if (!r->text_offsets || !r->text || !r->image || !r->place || !r->scores)
        return fb_fail(r->ctx, FB_E_MEMORY, "no memory for %lld pairs",
                       (long long)r->count);
    return FB_OK;
}

static fb_status run_rounds(token_run *r, float *margins)
{
    FB_TRY(make_room(r));
    while (r->last < r->list_count) {
        FB_TRY(encode_round(r));
        for (int64_t next = 0; next < r->count;)
            FB_TRY(score_images(r, &next, margins));
    }
    return FB_OK;
}

fb_status fb_scorer_run_tokens(fb_context *ctx, fb_scorer *s,
                               const fb_score_source *source,
                               const fb_score_request *request,
                               const fb_placed_triple *triples, float *margins,
                               fb_progress *progress)
{
    token_run r = {.ctx = ctx,
                   .s = s,
                   .source = source,
                   .triples = triples,
                   .count = request->count,
                   .width = s->matcher->system->token_width(s->matcher),
                   .progress = progress};
    fb_status status =
        fb_score_list_numbers(ctx, &r.list, &r.list_count, request, true);
    if (status == FB_OK)
        status = run_rounds(&r, margins);
    free(r.list);
    free(r.text_offsets);
    free(r.words);
    free(r.rows);
    free(r.text);
    free(r.image);
    free(r.place);
    free(r.scores);
    return status;
}

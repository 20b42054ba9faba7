/* scorer_batch.c - the scorer's batches: filled from a source, each query, text and
 * image in a batch once.
 *
 *     pairs              up to 64
 *     images of pixels   up to 16 in pairs, as a network runs over all of a batch's
 *                        images at once; 64 of features, and in triples with queries
 */
#include "engine/scorer_parts.h"

bool fb_scorer_reads_query(const fb_scorer *scorer)
{
    return scorer->matcher->system->reads & FB_READS_QUERY;
}

static int32_t most_images(const fb_scorer *s, bool features)
{
    return features || fb_scorer_reads_query(s) ? FB_SCORE_PAIRS : FB_SCORE_IMAGES;
}

/* Of pixels; with features, of these or of regions of some kind. */
static fb_status make(fb_context *ctx, fb_batch **batch, const fb_scorer *s,
                      bool features, const fb_region_kind *kind)
{
    const fb_model_config *c = &s->matcher->config;
    int32_t sides = fb_scorer_reads_query(s) ? 2 : 1; /* texts of a triple */
    const fb_batch_limits limits = {.pairs = FB_SCORE_PAIRS,
                                    .texts = sides * FB_SCORE_PAIRS,
                                    .images = most_images(s, features),
                                    .text_tokens = sides * FB_SCORE_PAIRS * c->max_text,
                                    .patches = fb_model_config_patches(c),
                                    .image_size = c->image_size};
    int32_t width = features ? fb_model_config_features(c) : 0;
    int32_t longest = sides * c->max_text;
    if (kind)
        FB_TRY(fb_batch_create_regions(ctx, batch, &limits, longest, kind));
    else
        FB_TRY(fb_batch_create_features(ctx, batch, &limits, longest, width));
    return sides == 2 ? fb_batch_add_queries(ctx, *batch, &limits) : FB_OK;
}

fb_status fb_scorer_make_batch(fb_context *ctx, fb_scorer *s)
{
    FB_TRY(make(ctx, &s->pixels, s, false, NULL));
    s->batch = s->pixels;
    return FB_OK;
}

fb_status fb_scorer_use_regions(fb_context *ctx, fb_scorer *s, fb_region_kind kind)
{
    fb_batch *batch;
    FB_TRY(make(ctx, &batch, s, true, &kind));
    fb_batch_free(s->made);
    s->made = batch;
    s->batch = s->pixels;
    return FB_OK;
}

static void clear(fb_scorer *s)
{
    fb_batch_clear(s->batch);
    s->queries.count = s->texts.count = s->images.count = 0;
}

fb_status fb_scorer_begin(fb_context *ctx, fb_scorer *s, const fb_score_source *source)
{
    bool regions = source && s->matcher->config.regions;
    bool features = regions || (source && source->features);
    if (regions && (!s->made || !source->regions))
        return fb_fail(
            ctx, FB_E_STATE,
            "this model was trained with --regions and reads no photos; give "
            "features of their regions with --regions FILE");
    if (features && !s->made)
        FB_TRY(make(ctx, &s->made, s, true, NULL));
    s->batch = features ? s->made : s->pixels;
    clear(s);
    return FB_OK;
}

/* The place of a number in the batch, -1: it is not there. */
static int32_t find(const fb_score_placed *p, int32_t number)
{
    for (int32_t i = 0; i < p->count; i++)
        if (p->number[i] == number)
            return p->place[i];
    return -1;
}

static void add(fb_score_placed *p, int32_t number, int32_t place)
{
    p->number[p->count] = number;
    p->place[p->count++] = place;
}

static fb_status check_length(fb_context *ctx, const fb_scorer *s, int32_t count)
{
    int32_t most = s->matcher->config.max_text;
    if (count > most)
        return fb_fail(ctx, FB_E_LIMIT, "a text of %d tokens, the model takes %d",
                       (int)count, (int)most);
    return FB_OK;
}

static fb_status add_query(fb_context *ctx, fb_scorer *s, const fb_score_source *source,
                           int32_t number)
{
    const int32_t *ids;
    int32_t count;
    FB_TRY(source->query(source->self, ctx, number, &ids, &count));
    FB_TRY(check_length(ctx, s, count));
    add(&s->queries, number, fb_batch_add_query(s->batch, ids, count));
    return FB_OK;
}

fb_status fb_scorer_add_text(fb_context *ctx, fb_scorer *s,
                             const fb_score_source *source, int32_t number)
{
    const int32_t *ids;
    int32_t count;
    FB_TRY(source->text(source->self, ctx, number, &ids, &count));
    FB_TRY(check_length(ctx, s, count));
    add(&s->texts, number, fb_batch_add_text(s->batch, ids, count));
    return FB_OK;
}

fb_status fb_scorer_add_image(fb_context *ctx, fb_scorer *s,
                              const fb_score_source *source, int32_t number)
{
    fb_batch *b = s->batch;
    int64_t numbers = (int64_t)b->patches * b->feature_width;
    fb_regions regions;
    if (b->regions) {
        FB_TRY(source->regions(source->self, ctx, number, &regions));
        add(&s->images, number, fb_batch_add_regions(b, &regions));
        return FB_OK;
    }
    if (b->feature_width)
        FB_TRY(source->features(source->self, ctx, number,
                                b->features + b->images * numbers));
    else
        FB_TRY(source->image(source->self, ctx, number, fb_batch_pixels(b, b->images)));
    add(&s->images, number, fb_batch_add_image(b));
    return FB_OK;
}

fb_status fb_scorer_fill(fb_context *ctx, fb_scorer *s, const fb_score_source *source,
                         const fb_placed_triple *triples, int64_t count, int64_t *next)
{
    fb_batch *b = s->batch;
    int32_t most = most_images(s, b->feature_width > 0);
    clear(s);
    for (; *next < count && b->pairs < FB_SCORE_PAIRS; (*next)++) {
        const fb_score_triple *t = &triples[*next].triple;
        int32_t image = find(&s->images, t->image);
        if (image < 0 && b->images == most)
            break;
        if (image < 0) {
            image = b->images;
            FB_TRY(fb_scorer_add_image(ctx, s, source, t->image));
        }
        int32_t query = t->query < 0 ? -1 : find(&s->queries, t->query);
        if (t->query >= 0 && query < 0) {
            query = b->texts;
            FB_TRY(add_query(ctx, s, source, t->query));
        }
        int32_t text = find(&s->texts, t->text);
        if (text < 0) {
            text = b->texts;
            FB_TRY(fb_scorer_add_text(ctx, s, source, t->text));
        }
        s->order[b->pairs] = triples[*next].place;
        fb_batch_add_pair(b, query, text, image, 0);
    }
    fb_batch_pack(b);
    return FB_OK;
}

fb_tape fb_scorer_tape(fb_context *ctx, fb_scorer *s)
{
    fb_tape tape = {0};
    fb_arena_reset(s->arena);
    fb_tape_begin(&tape, ctx, s->be, s->arena, false);
    return tape;
}

/* sampler_queries.c - the batches of queries of sampler.h. A text's number in the token
 * lists is its item's, or behind all items the query's. */
#include "data/batch/sampler_parts.h"
#include "tensor/batch.h"

static int32_t item_total(const fb_sampler *s)
{
    return fb_catalogue_count(s->catalogue);
}

static int32_t mismatched_of(const fb_sampler *s)
{
    return s->options.batch / 2;
}

fb_status fb_sampler_batch_of_queries(fb_context *ctx, fb_batch **batch,
                                      const fb_sampler *s)
{
    const fb_sampler_options *o = &s->options;
    int32_t kinds =
        1 + o->align.query_title + o->align.query_image + o->align.title_image;
    if (o->batch > INT32_MAX / 8 / s->longest_text)
        return fb_fail(ctx, FB_E_LIMIT, "a batch of %d queries is too large", o->batch);
    fb_batch_limits limits = {.pairs = kinds * (o->batch + 1),
                              .texts = 2 * o->batch,
                              .images = o->batch,
                              .text_tokens = 2 * o->batch * s->longest_text,
                              .patches = o->patches,
                              .image_size = o->image_size};
    fb_batch *b;
    FB_TRY(fb_sampler_make_batch(ctx, &b, s, &limits, 2 * s->longest_text));
    fb_status status = fb_batch_add_queries(ctx, b, &limits);
    if (status == FB_OK)
        *batch = b;
    else
        fb_batch_free(b);
    return status;
}

/* ---- the sequences of a step ----------------------------------------------------- */

static int32_t place_query(const fb_sampler *s, fb_batch *b, int32_t query)
{
    int32_t number = item_total(s) + query, count;
    for (int32_t i = 0; i < b->texts; i++)
        if (b->text_item[i] == number)
            return i;
    const int32_t *ids = fb_token_list(s->tokens, number, &count);
    int32_t text = fb_batch_add_query(b, ids, count);
    b->text_item[text] = number;
    return text;
}

static int32_t place_title(const fb_sampler *s, fb_batch *b, int32_t item)
{
    for (int32_t i = 0; i < b->texts; i++)
        if (b->text_item[i] < item_total(s) &&
            fb_sampler_same_text(s, b->text_item[i], item))
            return i;
    int32_t count;
    const int32_t *ids = fb_token_list(s->tokens, item, &count);
    int32_t text = fb_batch_add_text(b, ids, count);
    b->text_item[text] = item;
    return text;
}

static void place_triple(const fb_sampler *s, fb_batch *b, int32_t query, int32_t item,
                         int32_t label)
{
    int32_t text = place_query(s, b, query), title = place_title(s, b, item);
    fb_batch_add_pair(b, text, title, fb_sampler_place_image(s, b, item), label);
}

/* One of the items of a product. */
static int32_t item_of(const fb_sampler *s, int32_t product, uint64_t step,
                       int32_t slot)
{
    int32_t count;
    const int32_t *items = fb_query_split_items(s->options.queries, product, &count);
    fb_random random = fb_sampler_random(s, FB_STREAM_QUERY, step, slot);
    return items[count > 1 ? fb_random_below(&random, (uint32_t)count) : 0];
}

/* Pairs of the triples' texts and images: with `title` or with `image` left out. */
static void align_queries(fb_batch *b, int32_t triples, bool title, bool image)
{
    for (int32_t i = 0; i < triples; i++)
        fb_batch_add_pair(b, b->pair_query[i], title ? b->pair_text[i] : -1,
                          image ? b->pair_image[i] : -1, b->pair_label[i]);
}

/* Titles and images differ between the two items, so they are no match either way. */
static fb_status mismatch(fb_context *ctx, const fb_sampler *s, int32_t a, int32_t b,
                          bool *yes)
{
    uint64_t key, other;
    *yes = false;
    if (fb_sampler_same_text(s, a, b))
        return FB_OK;
    FB_TRY(fb_catalogue_image_key(ctx, s->catalogue, a, &key));
    FB_TRY(fb_catalogue_image_key(ctx, s->catalogue, b, &other));
    *yes = key != other;
    return FB_OK;
}

static fb_status align_items(fb_context *ctx, const fb_sampler *s, fb_batch *b,
                             int32_t matched)
{
    for (int32_t i = 0; i < matched; i++)
        fb_batch_add_pair(b, -1, b->pair_text[i], b->pair_image[i], 1);
    for (int32_t i = 0; i < mismatched_of(s); i++) {
        int32_t title = b->pair_text[i], image = b->pair_image[matched + i];
        bool yes;
        FB_TRY(mismatch(ctx, s, b->text_item[title], b->image_item[image], &yes));
        if (yes)
            fb_batch_add_pair(b, -1, title, image, 0);
    }
    return FB_OK;
}

fb_status fb_sampler_place_queries(fb_context *ctx, const fb_sampler *s,
                                   fb_sampler_cursor *c, uint64_t step, fb_batch *b)
{
    const fb_query_split *queries = s->options.queries;
    int32_t matched = fb_sampler_items_per_step(s);
    uint64_t first = step * (uint64_t)matched;
    for (int32_t i = 0; i < matched; i++) {
        fb_query_row row =
            fb_query_split_row(queries, fb_sampler_stream(s, c, first + (uint64_t)i));
        place_triple(s, b, row.query, item_of(s, row.product, step, i), 1);
    }
    for (int32_t i = 0; i < mismatched_of(s); i++) {
        fb_query_row row =
            fb_query_split_row(queries, fb_sampler_stream(s, c, first + (uint64_t)i));
        fb_random random = fb_sampler_random(s, FB_STREAM_NEGATIVE, step, i);
        bool anywhere = s->options.negatives_anywhere ||
                        fb_random_uniform(&random) < FB_QUERIES_ANYWHERE;
        fb_query_draw drawn;
        FB_TRY(fb_query_split_draw(ctx, queries, &random, row.query,
                                   item_of(s, row.product, step, i), anywhere, &drawn));
        b->fallbacks += drawn.fell_back;
        place_triple(s, b, row.query, drawn.item, 0);
    }
    int32_t triples = b->pairs;
    if (s->options.align.query_title)
        align_queries(b, triples, true, false);
    if (s->options.align.query_image)
        align_queries(b, triples, false, true);
    return s->options.align.title_image ? align_items(ctx, s, b, matched) : FB_OK;
}

/* ---- masks ----------------------------------------------------------------------- */

bool fb_sampler_leaves_whole(const fb_sampler *s, int32_t text, int32_t count,
                             fb_random *random)
{
    if (!s->options.queries || text < item_total(s))
        return false;
    return fb_random_uniform(random) >= FB_MASK_TEXT * (count - 2);
}

/* Tokens of the text that are to be guessed, from number `first` on, which lie from
 * `row` on; returns the next row. */
static int32_t list_tokens(const fb_sampler_cursor *c, fb_batch *b, int32_t text,
                           int32_t first, int32_t row)
{
    for (int32_t t = b->text_offsets[text] + first; t < b->text_offsets[text + 1];
         t++, row++) {
        if (c->targets[t] < 0)
            continue;
        b->mlm_rows[b->mlm_count] = row;
        b->mlm_targets[b->mlm_count++] = c->targets[t];
    }
    return row;
}

void fb_sampler_list_masked_queries(const fb_sampler *s, const fb_sampler_cursor *c,
                                    fb_batch *b)
{
    for (int32_t i = 0; i < s->options.batch; i++) { /* the triples come first */
        if (b->pair_label[i] == 0 && !s->options.masked_on_mismatched)
            continue;
        int32_t row = list_tokens(c, b, b->pair_query[i], 0, b->seq_offsets[i]);
        row = list_tokens(c, b, b->pair_text[i], 1, row);
        int32_t image = b->pair_image[i], end = b->image_offsets[image + 1];
        for (int32_t patch = b->image_offsets[image]; patch < end; patch++, row++) {
            if (!b->patch_masked[patch])
                continue;
            b->mpm_rows[b->mpm_count] = row;
            b->mpm_patches[b->mpm_count++] = patch;
        }
    }
}

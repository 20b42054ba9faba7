/* scorer_features.c - patch features by the model's image network: of given pixels, and
 * once for all images of a request, which the vectors and then the single stream take.
 */
#include "engine/scorer_parts.h"

#include <stdlib.h>
#include <string.h>

enum { FEATURES_BYTES = 256 << 20 };

bool fb_scorer_features_are_whole(const fb_scorer *scorer)
{
    return scorer->be->dtype == FB_BF16;
}

fb_status fb_scorer_features(fb_context *ctx, fb_scorer *scorer, const uint8_t *pixels,
                             int32_t count, fb_bf16 *features)
{
    const fb_matcher *m = scorer->matcher;
    int64_t image = (int64_t)m->config.image_size * m->config.image_size * 3;
    int64_t made = (int64_t)fb_model_config_patches(&m->config) *
                   fb_model_config_features(&m->config);
    for (int32_t i = 0; i < count; i += FB_SCORE_IMAGES) {
        int32_t n = count - i < FB_SCORE_IMAGES ? count - i : FB_SCORE_IMAGES;
        fb_tape tape = fb_scorer_tape(ctx, scorer);
        FB_TRY(m->system->features(scorer->matcher, &tape, pixels + i * image, n,
                                   features + i * made));
    }
    return FB_OK;
}

/* ---- sets of numbers -------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

fb_status fb_score_list_numbers(fb_context *ctx, int32_t **list, int64_t *unique,
                                const fb_score_request *request, bool texts)
{
    int64_t count = request->count, n = 0;
    int32_t *all = malloc(((size_t)count + 1) * sizeof *all);
    *list = all;
    if (!all)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %lld pairs", (long long)count);
    for (int64_t i = 0; i < count; i++)
        all[i] = texts ? request->triples[i].text : request->triples[i].image;
    qsort(all, (size_t)count, sizeof *all, by_value);
    for (int64_t i = 0; i < count; i++)
        if (i == 0 || all[i] != all[i - 1])
            all[n++] = all[i];
    *unique = n;
    return FB_OK;
}

int64_t fb_score_place_of(const int32_t *list, int64_t count, int32_t value)
{
    const int32_t *at = bsearch(&value, list, (size_t)count, sizeof *list, by_value);
    return at - list;
}

/* ---- features of a request's images ------------------------------------------------ */

static fb_status made_text(void *self, fb_context *ctx, int32_t text,
                           const int32_t **ids, int32_t *count)
{
    const fb_score_source *given = ((fb_score_features *)self)->given;
    return given->text(given->self, ctx, text, ids, count);
}

static fb_status made_query(void *self, fb_context *ctx, int32_t query,
                            const int32_t **ids, int32_t *count)
{
    const fb_score_source *given = ((fb_score_features *)self)->given;
    return given->query(given->self, ctx, query, ids, count);
}

static fb_status made_features(void *self, fb_context *ctx, int32_t image,
                               fb_bf16 *features)
{
    (void)ctx;
    const fb_score_features *m = self;
    memcpy(features,
           m->features + fb_score_place_of(m->list, m->count, image) * m->numbers,
           (size_t)m->numbers * sizeof *features);
    return FB_OK;
}

static bool are_worth_it(const fb_scorer *s, const fb_score_features *m)
{
    return !m->given->features && !s->matcher->config.regions &&
           fb_scorer_features_are_whole(s) &&
           fb_encoder_learns(s->matcher->config.encoder) &&
           m->count * m->numbers * (int64_t)sizeof *m->features <= FEATURES_BYTES;
}

static fb_status run(fb_context *ctx, fb_scorer *s, fb_score_features *m,
                     fb_progress *progress)
{
    uint8_t *pixels = fb_batch_pixels(s->pixels, 0);
    for (int64_t first = 0; first < m->count; first += FB_SCORE_IMAGES) {
        int32_t n = m->count - first < FB_SCORE_IMAGES ? (int32_t)(m->count - first)
                                                       : FB_SCORE_IMAGES;
        for (int32_t i = 0; i < n; i++)
            FB_TRY(m->given->image(m->given->self, ctx, m->list[first + i],
                                   fb_batch_pixels(s->pixels, i)));
        FB_TRY(fb_scorer_features(ctx, s, pixels, n, m->features + first * m->numbers));
        fb_progress_update(progress, first + n, 1.0, "");
    }
    return FB_OK;
}

fb_status fb_score_features_make(fb_context *ctx, fb_scorer *s, fb_score_features *made,
                                 fb_score_source *source,
                                 const fb_score_request *request)
{
    const fb_model_config *c = &s->matcher->config;
    fb_progress progress;
    made->numbers = (int64_t)fb_model_config_patches(c) * fb_model_config_features(c);
    FB_TRY(fb_score_list_numbers(ctx, &made->list, &made->count, request, false));
    if (!are_worth_it(s, made))
        return FB_OK;
    made->features =
        malloc((size_t)(made->count * made->numbers) * sizeof *made->features + 1);
    if (!made->features)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for features of %lld images",
                       (long long)made->count);
    fb_progress_begin(&progress, request->label ? request->label : "", "images", 0,
                      made->count, request->quiet || !request->label);
    fb_status status = run(ctx, s, made, &progress);
    fb_progress_end(&progress);
    *source = (fb_score_source){.self = made,
                                .text = made_text,
                                .features = made_features,
                                .query = made->given->query ? made_query : NULL};
    return status;
}

void fb_score_features_clear(fb_score_features *made)
{
    free(made->list);
    free(made->features);
}

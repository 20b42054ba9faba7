/* scorer_similarity.c - vectors of texts and images, each once, and the similarities of
 * pairs of them.
 *
 *     similarity[i] = cos(text, image) - weight (r(text) + r(image))     (neighbours.h)
 */
#include "engine/scorer_parts.h"

#include "engine/model_vectors.h"
#include "engine/neighbours.h"

#include <stdlib.h>

static fb_status run_vectors(fb_context *ctx, fb_scorer *s, float *texts, float *images)
{
    fb_tape tape = fb_scorer_tape(ctx, s);
    return s->matcher->system->vectors(s->matcher, &tape, s->batch, texts, images);
}

fb_status fb_scorer_text_vectors(fb_context *ctx, fb_scorer *scorer,
                                 const fb_score_source *source, const int32_t *texts,
                                 int64_t count, float *vectors)
{
    int64_t width = scorer->matcher->config.vector;
    for (int64_t first = 0; first < count; first += FB_SCORE_PAIRS) {
        FB_TRY(fb_scorer_begin(ctx, scorer, NULL));
        for (int64_t i = first; i < count && i < first + FB_SCORE_PAIRS; i++)
            FB_TRY(fb_scorer_add_text(ctx, scorer, source, texts[i]));
        FB_TRY(run_vectors(ctx, scorer, vectors + first * width, NULL));
    }
    return FB_OK;
}

fb_status fb_scorer_image_vectors(fb_context *ctx, fb_scorer *scorer,
                                  const fb_score_source *source, const int32_t *images,
                                  int64_t count, float *vectors, fb_progress *progress)
{
    int64_t width = scorer->matcher->config.vector;
    for (int64_t first = 0; first < count; first += FB_SCORE_IMAGES) {
        FB_TRY(fb_scorer_begin(ctx, scorer, source));
        for (int64_t i = first; i < count && i < first + FB_SCORE_IMAGES; i++)
            FB_TRY(fb_scorer_add_image(ctx, scorer, source, images[i]));
        FB_TRY(run_vectors(ctx, scorer, NULL, vectors + first * width));
        if (progress)
            fb_progress_update(progress, first + scorer->batch->images, 1.0, "");
    }
    return FB_OK;
}

/* The texts, or the images, of a request, each once. */
typedef struct side {
    int32_t *list;
    int64_t count;
    float *vectors, *nearness; /* [count, D], [count] */
} side;

static fb_status side_list(fb_context *ctx, side *of, const fb_score_request *request,
                           bool texts, int64_t width)
{
    FB_TRY(fb_score_list_numbers(ctx, &of->list, &of->count, request, texts));
    of->vectors = malloc(((size_t)(of->count * width) + 1) * sizeof(float));
    of->nearness = calloc((size_t)of->count + 1, sizeof(float));
    if (!of->vectors || !of->nearness)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for %lld vectors",
                       (long long)of->count);
    return FB_OK;
}

static void side_free(side *of)
{
    free(of->list);
    free(of->vectors);
    free(of->nearness);
}

static fb_status fill_sides(fb_context *ctx, fb_scorer *s,
                            const fb_score_source *source, side *text, side *image,
                            const fb_score_request *request)
{
    const char *label = source->image ? request->label : NULL;
    fb_progress progress;
    FB_TRY(
        fb_scorer_text_vectors(ctx, s, source, text->list, text->count, text->vectors));
    fb_progress_begin(&progress, label ? label : "", "images", 0, image->count,
                      request->quiet || !label);
    fb_status status = fb_scorer_image_vectors(ctx, s, source, image->list,
                                               image->count, image->vectors, &progress);
    fb_progress_end(&progress);
    return status;
}

static fb_status take_nearness(fb_context *ctx, fb_scorer *s, side *text, side *image)
{
    FB_TRY(fb_neighbours_of(ctx, s->neighbours, s->be, true, text->vectors, text->count,
                            text->nearness));
    return fb_neighbours_of(ctx, s->neighbours, s->be, false, image->vectors,
                            image->count, image->nearness);
}

fb_status fb_scorer_similarities(fb_context *ctx, fb_scorer *s,
                                 const fb_score_source *source,
                                 const fb_score_request *request, double weight,
                                 float *similarity)
{
    int64_t width = s->matcher->config.vector;
    side text = {0}, image = {0};
    fb_status status = side_list(ctx, &text, request, true, width);
    if (status == FB_OK)
        status = side_list(ctx, &image, request, false, width);
    if (status == FB_OK)
        status = fill_sides(ctx, s, source, &text, &image, request);
    if (status == FB_OK && weight > 0)
        status = take_nearness(ctx, s, &text, &image);
    for (int64_t n = 0; n < request->count && status == FB_OK; n++) {
        const fb_score_triple *pair = &request->triples[n];
        int64_t t = fb_score_place_of(text.list, text.count, pair->text);
        int64_t i = fb_score_place_of(image.list, image.count, pair->image);
        double cosine = (double)fb_vectors_dot(text.vectors + t * width,
                                               image.vectors + i * width, width);
        double near = (double)text.nearness[t] + (double)image.nearness[i];
        similarity[n] = (float)(cosine - weight * near);
    }
    side_free(&text);
    side_free(&image);
    return status;
}

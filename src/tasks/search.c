/* search.c - the search verb: a query from words or pixels to products.
 *
 *     encode   the query's vector
 *     search   the products nearest to it (retrieval/index/index_search.c)
 *     rerank   the best of them by the model's own score of each pair, as a
 *              cross-encoder (engine/rerank.c)
 */
#include "base/clock.h"
#include "engine/model_index.h"

#include <stdlib.h>

fb_status fb_search(fb_context *ctx, fb_model *model, const fb_index *index,
                    const fb_input *query, const fb_search_options *options,
                    fb_search_result **result)
{
    double started_s = fb_clock_s();
    float *vector = malloc((size_t)index->manifest.width * sizeof *vector);
    fb_search_result *found = NULL;
    if (!vector)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a vector");
    fb_status status =
        fb_index_check_model(ctx, index->folder, &index->manifest, model);
    if (status == FB_OK)
        status = fb_model_encode(ctx, model, query, 1, options->text_weight, vector);
    double encoded_s = fb_clock_s();
    if (status == FB_OK)
        status = fb_index_search(ctx, index, vector, options, &found);
    free(vector);
    if (status == FB_OK && options->rerank > 0)
        status = fb_index_rerank(ctx, options->ranker ? options->ranker : model, index,
                                 query, options, found);
    if (status != FB_OK) {
        fb_search_result_free(found);
        return status;
    }
    found->encode_ms = 1e3 * (encoded_s - started_s);
    found->total_ms = 1e3 * (fb_clock_s() - started_s);
    *result = found;
    return FB_OK;
}

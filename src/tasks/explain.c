/* explain.c - the explain verb: one text and one image to the weights of words and
 * patches (engine/explanation.h), and the picture of them.
 */
#include "base/memory_stream.h"
#include "base/option.h"
#include "data/image/heat_map.h"
#include "engine/explanation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FB_OPTION            FB_OPTION_ROW
#define FB_OPTION_AT(member) offsetof(fb_explain_options, member)
static const fb_option option_rows[] = {
#include "fashionbert/explain.def"
};
static const fb_option_table option_table = FB_OPTION_TABLE(option_rows);

void fb_explain_options_defaults(fb_explain_options *options)
{
    *options = (fb_explain_options){0};
    fb_options_defaults(&option_table, options);
}

fb_status fb_explain_options_set(fb_context *ctx, fb_explain_options *options,
                                 const char *name, const char *text)
{
    return fb_option_set(ctx, &option_table, options, name, text);
}

fb_status fb_explain(fb_context *ctx, fb_model *model, const char *text,
                     const fb_image_input *image, const fb_explain_options *options,
                     fb_explanation **explanation)
{
    fb_score_kind kind = model->matcher->config.score;
    fb_explain_options o;
    fb_context_clear(ctx);
    fb_explain_options_defaults(&o);
    if (options)
        o = *options;
    FB_TRY(fb_options_check(ctx, &option_table, &o));
    if (!text)
        return fb_fail(ctx, FB_E_USAGE, "an explanation needs a text");
    if (strcmp(o.score, "own") != 0)
        FB_TRY(fb_score_kind_parse(ctx, "--score", o.score, &kind));
    return fb_model_explain(ctx, model, text, image, kind, &o, explanation);
}

/* ---- the picture ---------------------------------------------------------------- */

static fb_status no_memory(fb_context *ctx)
{
    return fb_fail(ctx, FB_E_MEMORY, "no memory to draw an explanation");
}

static fb_status draw(fb_context *ctx, const fb_explanation *e,
                      const fb_image_input *image, fb_image *picture)
{
    fb_image photo = {0};
    fb_context_clear(ctx);
    FB_TRY(fb_explain_open_image(ctx, image, &photo));
    fb_status status = fb_heat_map_draw(ctx, e, &photo, picture);
    fb_image_free(&photo);
    return status;
}

fb_status fb_explanation_draw(fb_context *ctx, const fb_explanation *explanation,
                              const fb_image_input *image, const char *path)
{
    fb_image picture = {0};
    FB_TRY(draw(ctx, explanation, image, &picture));
    fb_status status = fb_image_write_png(ctx, path, &picture);
    fb_image_free(&picture);
    return status;
}

fb_status fb_explanation_png(fb_context *ctx, const fb_explanation *explanation,
                             const fb_image_input *image, uint8_t **png,
                             size_t *size_bytes)
{
    fb_image picture = {0};
    char *bytes = NULL;
    size_t size = 0;
    FB_TRY(draw(ctx, explanation, image, &picture));
    FILE *stream = fb_memory_open(&bytes, &size);
    fb_status status = stream ? fb_image_encode_png(ctx, stream, "a heat map", &picture)
                              : no_memory(ctx);
    fb_image_free(&picture);
    if (stream && !fb_memory_close(stream, &bytes) && status == FB_OK)
        status = no_memory(ctx);
    if (status != FB_OK) {
        free(bytes);
        return status;
    }
    *png = (uint8_t *)bytes;
    *size_bytes = size;
    return FB_OK;
}

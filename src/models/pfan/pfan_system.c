/* pfan_system.c - PFAN: position focused attention network for image-text matching (Wang,
 * Yang, Qian, Ma, Lu, Li and Fan, IJCAI 2019; their code:
 * HaoYang0123/Position-Focused-Attention-Network).
 *
 * SCAN (models/local_match.h) with rows that know where in the image they lie:
 *
 *     blocks   of a 16 x 16 grid, the 15 that the row's box overlaps most, with weights
 *              o = overlap / sum; an embedding p of 200 numbers each, one more of pads
 *     a        softmax over the blocks of tanh(p_k . W v)       W [200,F]
 *     w        softmax over the blocks of o_k a_k
 *     row      unit(FC [v ; sum_k w_k p_k])
 *     score    of words that ask: pool R + .5 pool over words of max over rows of the
 *              attention; of rows that ask: pool R
 *
 * Boxes are of detected regions, or the cells of the patch grid.
 *
 * Defaults as SCAN's here, t2i. Departures beside SCAN's: pads take part in neither softmax
 * (in the code they have exp 0 in the second); of blocks that are covered alike those
 * nearer to the middle of the box are taken (in the code any 15).
 */
#include "models/pfan/pfan_system.h"

#include <math.h>

static const fb_config_key keys[] = {FB_LOCAL_KEYS,
                                     {"position_width", FB_CONFIG_INT32,
                                      FB_CONFIG_OWN(fb_pfan_config, position_width), 1,
                                      4096, NULL, 200}};

static int32_t position_width(const fb_model_config *config)
{
    return ((const fb_pfan_config *)(const void *)&config->own)->position_width;
}

static fb_status declare(fb_params *params, fb_local_match *local)
{
    fb_pfan *m = (fb_pfan *)local;
    const char *const block[] = {"image.position.weight"};
    const char *const attention[] = {"image.position_attention.weight"};
    int32_t features = local->image.width;
    int32_t width = position_width(&local->matcher.config);
    FB_TRY(fb_params_add(params, &m->block, block,
                         (fb_param_shape){1, FB_PFAN_PAD + 1, width}, FB_INIT_UNIFORM,
                         0.1f, true));
    return fb_params_add(params, &m->attention, attention,
                         (fb_param_shape){1, width, features}, FB_INIT_UNIFORM,
                         1.0f / sqrtf((float)features), true);
}

static fb_status look(fb_tape *tape, fb_var **x, fb_local_match *local,
                      const fb_batch *batch)
{
    fb_pfan *m = (fb_pfan *)local;
    int32_t rows = fb_image_rows_count(batch), *ids;
    void *overlap;
    fb_var *v, *q;
    if (!batch->boxes)
        return fb_fail(tape->ctx, FB_E_SHAPE,
                       "pfan reads where regions lie; these have no boxes");
    FB_TRY(fb_tape_ints(tape, &ids, (int64_t)rows * FB_POSITION_BLOCKS));
    FB_TRY(fb_tape_alloc(tape, &overlap,
                         ((size_t)rows + 1) * FB_POSITION_BLOCKS * sizeof(float)));
    for (int32_t r = 0; r < rows; r++)
        fb_pfan_blocks(batch->boxes + 4 * (int64_t)r,
                       ids + (int64_t)r * FB_POSITION_BLOCKS,
                       (float *)overlap + (int64_t)r * FB_POSITION_BLOCKS);
    FB_TRY(fb_image_rows_forward(tape, &v, &local->image, batch));
    FB_TRY(fb_op_linear(tape, &q, v, m->attention, NULL, false));
    return fb_op_position(tape, x, v, q, m->block, ids, overlap);
}

static double look_flops(const fb_local_match *m, const fb_batch *batch)
{
    return 2.0 * fb_image_rows_count(batch) * position_width(&m->matcher.config) *
           (m->image.width + 2 * FB_POSITION_BLOCKS);
}

static const fb_local_kind kind = {.bytes = sizeof(fb_pfan),
                                   .extra = position_width,
                                   .focus = 0.5,
                                   .declare = declare,
                                   .look = look,
                                   .look_flops = look_flops};

static fb_status create(fb_context *ctx, fb_matcher **matcher,
                        const fb_model_config *config, fb_model_use use)
{
    return fb_local_create(ctx, matcher, config, use, &fb_pfan_system, &kind);
}

static const fb_option_value defaults[] = {
    {"encoder", "thin"},   {"patches", "grid"},    {"fit", "squash"},
    {"epochs", "15"},      {"batch", "64"},        {"lr", "3e-3"},
    {"weight-decay", "0"}, {"warmup", "0.05"},     {"margin", "0.2"},
    {"clip", "2"},         {"hard-warmup", "0.2"}, {NULL, NULL}};

static const fb_objective objectives[] = {{"pfan", defaults}};
static const char *const loss_names[] = {"hinge", NULL};

const fb_system fb_pfan_system = {
    .name = "pfan",
    .score_name = "pfan",
    .number = 15,
    .reads = FB_READS_TITLE | FB_READS_PIXELS | FB_READS_FEATURES | FB_READS_REGIONS |
             FB_READS_BOXES,
    .gives = FB_GIVES_SCORE | FB_GIVES_TOKENS | FB_GIVES_FEATURES,
    .calibrated = true,
    .keys = {keys, sizeof keys / sizeof keys[0]},
    .loss_names = loss_names,
    .objectives = objectives,
    .objective_count = 1,
    .step_bytes = sizeof(fb_local_step),
    .settle = fb_local_settle,
    .plan = fb_local_plan,
    .step = fb_local_next_step,
    .configure = fb_local_configure,
    .check = fb_local_check,
    .create = create,
    .train_batch = fb_local_train_batch,
    .losses = fb_local_losses,
    .score = fb_local_score,
    .token_width = fb_local_token_width,
    .tokens = fb_local_tokens,
    .score_tokens = fb_local_score_tokens,
    .features = fb_local_features,
    .forward_flops = fb_local_flops,
    .free = fb_local_free,
};

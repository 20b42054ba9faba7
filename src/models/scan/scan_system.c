/* scan_system.c - SCAN: stacked cross attention for image-text matching (Lee, Chen, Hua,
 * Hu and He, ECCV 2018; their code: kuanghuei/SCAN).
 *
 * Inputs   a title's WordPieces, [CLS] and [SEP] among them; an image's rows: patches
 *          through an image network, cached features, or regions of a detector
 * Words    embeddings of 300 numbers, a GRU both ways, their mean, unit length
 * Rows     a linear layer, unit length
 * Score    s = word . row, LeakyReLU (slope .1), unit length along the asking side,
 *          softmax with factor lambda1 along the other; the cosine of each that asks with
 *          what it attends to; the mean of these, or (1 / lambda2) log sum exp lambda2
 * Loss     VSE++'s hinge with margin .2 over all pairs of a batch
 *
 *     direction   words or rows ask     lambda1    lambda2
 *     t2i         words                 9          6
 *     i2t         rows                  4          5
 *     both        the mean of the two scores of one model (theirs are of two models)
 *
 * Departures: batches of 64 and a rate of 3e-3, not 128 and 2e-4, which learn more in the
 * same time on a catalogue of some ten thousand products; width of words and rows is the
 * preset's, not 1024; AdamW without decay in Adam's place, with the program's warm-up and
 * decay of the rate, not one step of x 0.1; the first steps learn from all negatives, for
 * on small data the hardest alone do not start; dropout of word embeddings. The paper's
 * ReLU is the code's LeakyReLU.
 */
#include "models/scan/scan_system.h"

static const fb_local_kind kind = {.bytes = sizeof(fb_local_match)};

static const fb_config_key keys[] = {FB_LOCAL_KEYS};

static fb_status create(fb_context *ctx, fb_matcher **matcher,
                        const fb_model_config *config, fb_model_use use)
{
    return fb_local_create(ctx, matcher, config, use, &fb_scan_system, &kind);
}

static const fb_option_value defaults[] = {
    {"encoder", "thin"},   {"patches", "grid"},    {"fit", "squash"},
    {"epochs", "15"},      {"batch", "64"},        {"lr", "3e-3"},
    {"weight-decay", "0"}, {"warmup", "0.05"},     {"margin", "0.2"},
    {"clip", "2"},         {"hard-warmup", "0.2"}, {NULL, NULL}};

static const fb_objective objectives[] = {{"scan", defaults}};
static const char *const loss_names[] = {"hinge", NULL};

const fb_system fb_scan_system = {
    .name = "scan",
    .score_name = "scan",
    .number = 14,
    .reads = FB_READS_TITLE | FB_READS_PIXELS | FB_READS_FEATURES | FB_READS_REGIONS,
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

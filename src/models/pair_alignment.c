/* pair_alignment.c - see pair_alignment.h. */
#include "models/pair_alignment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

fb_status fb_pair_alignment_begin(fb_tape *tape, fb_pair_alignment *a,
                                  const fb_batch *batch, int32_t others, uint64_t key)
{
    *a = (fb_pair_alignment){.batch = batch};
    if (others < 1)
        return FB_OK;
    void *even;
    fb_tensor similarity = fb_tensor_2d(NULL, FB_F32, batch->images, batch->texts);
    FB_TRY(fb_tape_alloc(tape, &even, fb_tensor_bytes(&similarity) + 1));
    memset(even, 0, fb_tensor_bytes(&similarity));
    similarity.data = even;
    const fb_hard_options o = {
        .negatives = others, .blocks = true, .patch_keep = 1, .key = key};
    FB_TRY(fb_hard_pairs_draw(tape, &a->blocks, batch, &similarity, &o));
    a->listwise = true;
    a->batch = &a->blocks.batch;
    return FB_OK;
}

fb_status fb_pair_alignment_loss(fb_tape *tape, fb_loss **loss,
                                 const fb_pair_alignment *a, fb_var *logits)
{
    if (!a->listwise)
        return fb_op_cross_entropy(tape, loss, logits, a->batch->pair_label);
    const fb_lists lists = {.members = a->blocks.members,
                            .count = a->blocks.lists,
                            .length = a->blocks.length};
    return fb_op_list(tape, loss, logits, &lists);
}

void fb_pair_alignment_count(const fb_pair_alignment *a, const float *logits,
                             int64_t *right, int64_t *of)
{
    const fb_batch *b = a->batch;
    *right = 0;
    *of = a->listwise ? a->blocks.lists : b->pairs;
    for (int32_t i = 0; !a->listwise && i < b->pairs; i++) {
        float margin = logits[i * 2 + 1] - logits[i * 2];
        *right += b->pair_label[i] ? margin > 0 : margin < 0;
    }
    for (int32_t l = 0; a->listwise && l < a->blocks.lists; l++) {
        const int32_t *m = a->blocks.members + (int64_t)l * a->blocks.length;
        bool best = true;
        for (int32_t k = 1; k < a->blocks.length; k++)
            best = best && logits[m[0] * 2 + 1] - logits[m[0] * 2] >
                               logits[m[k] * 2 + 1] - logits[m[k] * 2];
        *right += best;
    }
}

fb_status fb_pair_alignment_settle(fb_context *ctx, const fb_train_options *o)
{
    bool block = strcmp(o->alignment, "block") == 0;
    if (strcmp(o->negatives, "hard") == 0 || strcmp(o->alignment, "list") == 0 ||
        o->itc > 0 || o->vector_size > 0 || o->soft_targets > 0 || o->hard_items > 0)
        return fb_fail(ctx, FB_E_USAGE,
                       "%s has no vectors: it takes no --itc, --vector-size, "
                       "--negatives hard, --alignment list, --soft-targets or "
                       "--hard-items; --alignment block judges all pairs of blocks of "
                       "a batch's products",
                       o->system);
    if ((o->text_mask > 0 || o->rare_mask > 0) && (!block || strstr(o->losses, "mlm")))
        return fb_fail(ctx, FB_E_USAGE,
                       "--text-mask and --rare-mask hide words of batches of products "
                       "that mlm does not guess; with %s they need --alignment "
                       "block, and --losses without mlm",
                       o->system);
    return FB_OK;
}

fb_status fb_pair_alignment_measure(fb_tape *tape, const fb_pair_alignment *a,
                                    const fb_var *logits, fb_loss *const *losses,
                                    const char *const *names, int32_t alignment,
                                    fb_measures *out)
{
    const void *numbers = NULL;
    int64_t right = 0, of = 0;
    if (logits)
        FB_TRY(fb_tape_read(tape, &numbers, &logits->value));
    FB_TRY(fb_tape_fetch(tape));
    *out = (fb_measures){0};
    for (int i = 0; names[i]; i++) {
        const fb_loss *loss = losses[i];
        if (loss)
            FB_TRY(fb_matcher_check_loss(tape, loss->value));
        out->total += loss ? loss->value : 0;
        fb_measures_put_loss(out, names[i], i == alignment ? FB_MEASURE_DECIDES : 0,
                             loss ? loss->value : 0, loss ? 1 : 0,
                             loss ? loss->rows : 0);
    }
    if (logits)
        fb_pair_alignment_count(a, numbers, &right, &of);
    fb_measures_put_share(out, "accuracy", FB_MEASURE_HEADLINE, (double)right, of,
                          (double)of / (a->listwise ? a->blocks.length : 2));
    return FB_OK;
}

fb_status fb_pair_alignment_margins(fb_tape *tape, float *margins, const fb_var *logits,
                                    double slope, double bias)
{
    const float *numbers;
    const fb_tensor *t = &logits->value;
    FB_TRY(fb_tape_read_f32(tape, &numbers, t->data, fb_tensor_count(t)));
    FB_TRY(fb_tape_fetch(tape));
    for (int64_t b = 0; b < t->dims[0]; b++) {
        double margin = (double)numbers[b * 2 + 1] - (double)numbers[b * 2];
        margins[b] = (float)(slope * margin + bias);
        if (!isfinite(margins[b]))
            return fb_fail(tape->ctx, FB_E_NUMBER, "the score of pair %d is not finite",
                           (int)b);
    }
    return FB_OK;
}

double fb_pair_alignment_flops(const fb_matcher *m, const fb_batch *batch,
                               int32_t others)
{
    if (others == 0)
        return m->system->forward_flops(m, batch);
    fb_batch blocks = *batch; /* every item beside itself and its `others` neighbours */
    blocks.pairs = batch->pairs * (others + 1);
    blocks.pair_text = malloc(((size_t)blocks.pairs + 1) * sizeof(int32_t));
    blocks.pair_image = malloc(((size_t)blocks.pairs + 1) * sizeof(int32_t));
    for (int32_t i = 0; blocks.pair_text && blocks.pair_image && i < blocks.pairs;
         i++) {
        int32_t item = i / (others + 1), other = i % (others + 1);
        blocks.pair_text[i] = batch->pair_text[item];
        blocks.pair_image[i] = batch->pair_image[(item + other) % batch->pairs];
    }
    double flops = blocks.pair_text && blocks.pair_image
                       ? m->system->forward_flops(m, &blocks)
                       : NAN;
    free(blocks.pair_text);
    free(blocks.pair_image);
    return flops;
}

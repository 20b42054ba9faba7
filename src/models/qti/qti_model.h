/* qti_model.h - Query-Title-Image (Gao et al., SIGIR 2020, 3.4 and Fig. 6): FashionBERT
 * with what a customer asked in front, pre-trained on titles and images, continued on
 * what was clicked.
 *
 *     tokens     [CLS] query   [SEP] title   [SEP] patches
 *     segment      Q     Q       Q     T       T      I       rows 0, 1, 2 of one table
 *     position     0   1, 2, ..  0   1, 2, ..  0   1, 2, ..   begins anew in each
 *
 *     e      embedded as in FashionBERT (fashionbert_model.c)
 *     h      = encoder(dropout(e))                                    [T, C]
 *     CLICK  W tanh(pooler h_cls), CE: clicked or not; P(1) is the score   [triples, 2]
 *
 * On options, each with a W of its own behind the same pooler, over sequences of two of
 * the three in the same batch (the paper names no other loss; these are those of its
 * successor at the same shop, QIM and QIM2, and FashionBERT's own):
 *
 *     QT     [CLS] query [SEP] title [SEP]     CE: they belong together
 *     QI     [CLS] query [SEP] patches
 *     TIA    [CLS] title [SEP] patches
 *     MLM    masked words of query and title   MPM   masked patches
 *
 * Patches have a table of positions of their own, as in FashionBERT, whose row 0 is the
 * first patch. The sequences of a batch are those of its pairs (batch.h).
 */
#ifndef FB_MODELS_QTI_QTI_MODEL_H
#define FB_MODELS_QTI_QTI_MODEL_H

#include "models/fashionbert/fashionbert_model.h"

enum { FB_SEGMENT_QUERY, FB_SEGMENT_TITLE, FB_SEGMENT_IMAGE, FB_SEGMENTS_QTI };

extern const fb_system fb_qti_system;

typedef struct fb_qti {
    fb_fashionbert base; /* its match head is that of TIA */
    fb_leaf *click_weight, *click_bias, *qt_weight, *qt_bias, *qi_weight, *qi_bias;
} fb_qti;

/* Start from FashionBERT: its tensors; the row of titles for queries as well, that of
 * patches for I; its match head for all four. The two must have the same sizes but for
 * segments. FB_E_SHAPE names the tensor that differs or is missing; then nothing has
 * changed. */
fb_status fb_qti_begin(fb_context *ctx, fb_matcher *qti, const fb_matcher *pretrained);

/* Embeddings and encoder, then the heads in `enabled`; losses of them with
 * `with_losses`, else only the logits matter. A head whose sequences the batch does not
 * have is left out. FB_E_SHAPE: a batch without queries. */
fb_status fb_qti_forward(fb_qti *m, fb_tape *tape, const fb_batch *batch,
                         const bool enabled[FB_LOSSES_ALL], bool with_losses,
                         fb_fashionbert_pass *pass);

/* Of the row (system.h). */
fb_status fb_qti_declare(fb_params *params, fb_qti *m, const fb_model_config *config);
fb_status fb_qti_train_batch(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                             const void *step, fb_measures *measures);
fb_status fb_qti_losses(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                        const void *step, fb_measures *measures);
fb_status fb_qti_score(fb_matcher *matcher, fb_tape *tape, const fb_batch *batch,
                       float *margins);

#endif

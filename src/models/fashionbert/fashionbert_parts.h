/* fashionbert_parts.h - what FashionBERT is put together from, for systems that put it
 * together otherwise (qti_model.h). See fashionbert_model.c for each part's formula. */
#ifndef FB_MODELS_FASHIONBERT_FASHIONBERT_PARTS_H
#define FB_MODELS_FASHIONBERT_FASHIONBERT_PARTS_H

#include "models/fashionbert/fashionbert_model.h"

/* Every parameter that config asks for. */
fb_status fb_fashionbert_declare(fb_params *params, fb_fashionbert *m,
                                 const fb_model_config *config);
void fb_fashionbert_free(fb_matcher *matcher, fb_backend *be);
/* After contrastive training alone, before alignment is learnt: let patches enter the
 * stream as the vectors see them (contrast_head.h). Nothing without vectors. */
void fb_fashionbert_align_patches(fb_matcher *matcher);

/* pass->text; pass->features. */
fb_status fb_fashionbert_embed_text(fb_fashionbert *m, fb_tape *tape,
                                    const fb_batch *batch, fb_var **text);
fb_status fb_fashionbert_embed_features(fb_fashionbert *m, fb_tape *tape,
                                        const fb_batch *batch,
                                        fb_fashionbert_pass *pass);
/* For scores and vectors: pass->features of images in config.views views. */
fb_status fb_fashionbert_look(fb_fashionbert *m, fb_tape *tape, const fb_batch *batch,
                              fb_fashionbert_pass *pass);
/* pass->hidden of pass->batch's sequences, from pass->text and pass->features, at the
 * rows that heads of the losses read; with `aligned`, at [CLS] too. */
fb_status fb_fashionbert_encode(fb_fashionbert *m, fb_tape *tape,
                                const bool enabled[FB_LOSSES], bool with_losses,
                                bool aligned, fb_fashionbert_pass *pass);

/* Rows, logits and loss of masked words and of masked patches, from pass->hidden. */
fb_status fb_fashionbert_head_mlm(fb_fashionbert *m, fb_tape *tape,
                                  const fb_batch *batch, fb_fashionbert_pass *pass);
fb_status fb_fashionbert_head_mpm(fb_fashionbert *m, fb_tape *tape,
                                  const fb_batch *batch, fb_fashionbert_pass *pass);

/* Take down what losses the pass has. FB_E_NUMBER: one is not finite. */
fb_status fb_fashionbert_record(fb_tape *tape, const fb_fashionbert_pass *pass,
                                fb_pass_losses *out);
/* Give each loss its weight and seed, and sum them up. */
fb_status fb_fashionbert_weigh(fb_fashionbert *m, fb_tape *tape,
                               fb_fashionbert_pass *pass,
                               const fb_loss_options *options, fb_pass_losses *out);
/* As a list: mlm, tia, mpm, then those of queries that are there, accuracy, and the
 * contrastive loss with its own. `deciding`: the loss that picks the best checkpoint. */
void fb_fashionbert_list(const fb_pass_losses *losses, int32_t deciding,
                         fb_measures *measures);

#endif

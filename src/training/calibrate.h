/* calibrate.h - the weights of alignment, similarity and CSLS correction in a trained
 * model's score, and the calibration of its probability of a match (Platt scaling);
 * found on the validation split.
 */
#ifndef FB_TRAINING_CALIBRATE_H
#define FB_TRAINING_CALIBRATE_H

#include "fashionbert.h"
#include "models/model_config.h"

/* Ranks a sample of the validation split's items against others of their category, and
 * sets config->alignment_weight, config->similarity_weight and config->neighbour_weight
 * (with score both: in the proportion of the best mean reciprocal rank, both ways) and
 * config->score_bias; their size and the bias are by logistic regression of matched
 * against mismatched pairs. With score tia nothing changes, but that a score which is no
 * logit (fb_system.calibrated) gets its alignment_weight and score_bias; nor without
 * enough validation items. The model lies in `folder`, which gets its neighbours' vectors. */
fb_status fb_calibrate(fb_context *ctx, const char *folder,
                       const fb_train_options *options, fb_model_config *config);

/* Seconds that fb_calibrate will take, about, of a model of this shape: by a trial of
 * some pairs; vectors of a product take item_s. The model's weights of scores change. */
fb_status fb_calibrate_time(fb_context *ctx, const fb_train_options *options,
                            fb_model *model, double item_s, double *seconds);

#endif

/* train_regions.h - training on features of regions (--regions) in place of photos: what
 * the options then mean, the table of them, and what config.json says of it. */
#ifndef FB_TRAINING_TRAIN_REGIONS_H
#define FB_TRAINING_TRAIN_REGIONS_H

#include "training/train_run.h"

/* Options of a fresh run, as given: those about photos are settled, as regions have no
 * network and are not flipped. FB_E_USAGE: one of them was said. */
fb_status fb_train_regions_settle(fb_context *ctx, fb_train_options *options);

/* Open the file of run->options, if there is one; the catalogue must be open.
 * FB_E_USAGE    the system reads nothing else and there is none
 * FB_E_MISSING  an image of the splits train and val has none; as
 * fb_region_table_open */
fb_status fb_train_regions_open(fb_train_run *run);
/* The table's sizes, of a new model. FB_E_USAGE: its start is of the other kind. */
fb_status fb_train_regions_configure(fb_train_run *run, fb_model_config *config);
/* Whether the table is the one that a model was trained on. */
fb_status fb_train_regions_check(fb_train_run *run, const fb_model_config *config);

#endif

/* model_folder.h - a model opened from its folder, ready to score: what fb_model is. */
#ifndef FB_ENGINE_MODEL_FOLDER_H
#define FB_ENGINE_MODEL_FOLDER_H

#include "data/image/image_load.h"
#include "data/regions/region_table.h"
#include "data/text/wordpiece.h"
#include "engine/scorer.h"
#include "fashionbert.h"
#include "nn/quantization.h"

struct fb_model {
    fb_backend *be;
    fb_matcher *matcher;
    fb_vocab *vocab;
    fb_scorer *scorer;
    fb_neighbours *neighbours; /* NULL: similarities are as they are */
    fb_resizer *resizer;
    fb_region_table *regions; /* of images, for a model of regions; NULL: none yet */
    uint64_t fingerprint;     /* fb_model_fingerprint */
    fb_quantization *int8;    /* products are of int8 numbers; NULL: they are not */
    char folder[4096];
};

/* For fb_model_options.dtype, beside the words of --dtype: as "auto", but never int8. */
#define FB_DTYPE_FLOAT "float"

/* The line that a long run begins with, on stderr: what it computes in, and on how many
 * threads. quiet: none. */
void fb_model_say(const fb_model *model, bool quiet);

#endif

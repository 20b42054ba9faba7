/* model_folder.h - a model opened from its folder, ready to score: what fb_model is. */
#ifndef FB_ENGINE_MODEL_FOLDER_H
#define FB_ENGINE_MODEL_FOLDER_H

#include "data/image/image_load.h"
#include "data/text/wordpiece.h"
#include "engine/query_scorer.h"
#include "engine/scorer.h"
#include "fashionbert.h"

struct fb_model {
    fb_backend *be;
    fb_matcher *matcher;
    fb_vocab *vocab;
    fb_scorer *scorer;
    fb_neighbours *neighbours;     /* NULL: similarities are as they are */
    fb_query_scorer *query_scorer; /* NULL: the model takes no query */
    fb_resizer *resizer;
    uint64_t fingerprint; /* fb_model_fingerprint */
    char folder[4096];
};

/* margins[count] of pairs of texts and image files by index (fb_scorer_run's). */
fb_status fb_model_score_pairs(fb_context *ctx, fb_model *model,
                               const char *const *texts, const char *const *image_files,
                               const fb_score_pair *pairs, int64_t count,
                               fb_score_kind kind, float *margins, const char *label,
                               bool quiet);

#endif

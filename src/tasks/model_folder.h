/* model_folder.h - a model opened from its folder, ready to score: what fb_model is. */
#ifndef FB_TASKS_MODEL_FOLDER_H
#define FB_TASKS_MODEL_FOLDER_H

#include "data/image_load.h"
#include "data/wordpiece.h"
#include "tasks/scorer.h"

struct fb_model {
    fb_backend *be;
    fb_matcher *matcher;
    fb_vocab *vocab;
    fb_scorer *scorer;
    fb_resizer *resizer;
    char folder[4096];
};

/* Texts and image files as a score source, for scoring by index. */
typedef struct fb_pair_source {
    fb_model *model;
    const char *const *texts;
    const char *const *image_files;
    int32_t *ids; /* [max_text] scratch */
} fb_pair_source;

fb_score_source fb_pair_source_of(fb_pair_source *source);

#endif

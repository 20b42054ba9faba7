/* token_pairs.h - pairs of texts and images whose words and rows have been encoded
 * already (FB_GIVES_TOKENS): vectors of the host, and which with which.
 */
#ifndef FB_MODELS_TOKEN_PAIRS_H
#define FB_MODELS_TOKEN_PAIRS_H

#include "models/system.h"

struct fb_token_pairs {        /* system.h names the type */
    const float *words, *rows; /* [.., D] of all texts, and of all images */
    int32_t texts, images;
    const int32_t *text_offsets, *image_offsets; /* [texts + 1], [images + 1] */
    int64_t count;
    const int32_t *text, *image; /* [count]; images ascend */
};

#endif

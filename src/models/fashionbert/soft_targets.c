/* soft_targets.c - see soft_targets.h. */
#include "models/fashionbert/soft_targets.h"

#include <math.h>

/* One list's: t [length]. */
static void fill_list(float *t, const fb_batch *batch, const int32_t *members,
                      int32_t length, const fb_tensor *similarity, double scale,
                      double share)
{
    double most = -INFINITY, sum = 0;
    for (int32_t k = 0; k < length; k++) {
        double z = scale * fb_pair_similarity(batch, similarity->data,
                                              similarity->dims[1], members[k]);
        t[k] = (float)z;
        most = z > most ? z : most;
    }
    for (int32_t k = 0; k < length; k++)
        sum += exp((double)t[k] - most);
    for (int32_t k = 0; k < length; k++)
        t[k] = (float)(share * exp((double)t[k] - most) / sum + (k ? 0 : 1 - share));
}

fb_status fb_soft_targets(fb_tape *tape, float **targets, const fb_hard_pairs *pairs,
                          const fb_tensor *similarity, double scale, double share)
{
    void *memory;
    int64_t count = (int64_t)pairs->lists * pairs->length;
    FB_TRY(fb_tape_alloc(tape, &memory, ((size_t)count + 1) * sizeof(float)));
    *targets = memory;
    for (int32_t l = 0; l < pairs->lists; l++) {
        int64_t first = (int64_t)l * pairs->length;
        fill_list(*targets + first, &pairs->batch, pairs->members + first,
                  pairs->length, similarity, scale, share);
    }
    return FB_OK;
}

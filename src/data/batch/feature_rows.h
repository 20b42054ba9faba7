/* feature_rows.h - which images of a catalogue have features: those of the splits train
 * and val, in the catalogue's order.
 */
#ifndef FB_DATA_BATCH_FEATURE_ROWS_H
#define FB_DATA_BATCH_FEATURE_ROWS_H

#include "data/batch/feature_cache.h"
#include "data/catalogue/catalogue.h"

typedef struct fb_feature_rows {
    int32_t count;
    int32_t *item;   /* [count] the catalogue item of each row */
    int32_t *row_of; /* [items of the catalogue]; -1: none */
} fb_feature_rows;

fb_status fb_feature_rows_create(fb_context *ctx, fb_feature_rows *rows,
                                 const fb_catalogue *catalogue);
void fb_feature_rows_clear(fb_feature_rows *rows);

/* A key's `images`: over the catalogue's fingerprint, and the size in bytes of each
 * row's image file. FB_E_MISSING: a file is gone. */
fb_status fb_feature_rows_hash(fb_context *ctx, uint64_t *hash,
                               const fb_feature_rows *rows,
                               const fb_catalogue *catalogue);

/* What batches carry in place of pixels; all is borrowed. */
typedef struct fb_feature_table {
    const fb_feature_cache *cache; /* NULL: none, so pixels */
    const fb_feature_rows *rows;
    int32_t features; /* F */
} fb_feature_table;

#endif

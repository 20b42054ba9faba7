/* index_build.h - what the parts of the index verb share. */
#ifndef FB_TASKS_INDEX_BUILD_H
#define FB_TASKS_INDEX_BUILD_H

#include "data/catalogue/catalogue.h"
#include "engine/model_index.h"
#include "retrieval/index/index_writer.h"
#include "retrieval/index/vector_file.h"

/* A run of the verb. */
typedef struct build {
    fb_context *ctx;
    const fb_index_build_options *options;
    fb_index_report report;
    fb_model *model; /* NULL: vectors are given, or nothing is read */
    fb_catalogue *catalogue;
    fb_vector_file given; /* bytes NULL: the model encodes */
    int32_t *items;
    int64_t item_count;
    fb_arena *arena; /* of products' attributes */
    fb_product_row *products;
    fb_index *there;                     /* the index before the change */
    uint8_t *deleted[FB_INDEX_SEGMENTS]; /* [rows] of its segments; NULL: none */
    fb_index_change change;
    fb_segment_writer *writer;
    float *vectors; /* a block's */
    float *queries;
} build;

/* Mark the rows of products that the catalogue's items have too. Without `replace` one
 * is FB_E_USAGE. */
fb_status fb_index_mark_products(build *b, bool replace);
/* Mark the rows of options->ids. FB_E_MISSING: one is not there. */
fb_status fb_index_mark_ids(build *b);
/* Delete what is marked; counts report.deleted. */
fb_status fb_index_delete_marked(build *b);

#endif

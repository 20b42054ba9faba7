/* fashiongen_source.h - records out of Fashion-Gen's HDF5 files,
 * fashiongen_256_256_train.h5 and fashiongen_256_256_validation.h5.
 *
 *     dataset (N, 1), Latin-1      field of the record
 *     input_name                   name
 *     input_description            description
 *     input_productID              product_id
 *     input_category               category
 *     input_subcategory            subcategory       optional, as all below
 *     input_brand, input_composition, input_concat_description, input_department,
 *     input_gender, input_msrpUSD, input_pose, input_season       without "input_"
 *     input_image (N, H, W, 3)     the image's pixels
 *
 * and made of these:
 *     title    "name. description", what others train on; one of them where the other
 *              is empty
 *     id       the file's name without ending, ":" and the row from 0
 *     split    of a file with "valid" or "test" in its name: test, which is how numbers
 *              on this data set are told. Of others: val for 1 in 100 products, by a
 *              hash of the id, else train
 */
#ifndef FB_DATA_IMPORT_FASHIONGEN_SOURCE_H
#define FB_DATA_IMPORT_FASHIONGEN_SOURCE_H

#include "data/import/record_source.h"
#include "fashionbert.h"

/* .h5 or .hdf5 */
bool fb_fashiongen_source_recognise(fb_context *ctx, const char *path);
/* FB_E_MISSING  no such file; fields of the table that are not there, all named; built
 *               without HDF5
 * FB_E_FORMAT   no HDF5 file, or damaged
 * FB_E_SHAPE, FB_E_DTYPE  a dataset of another shape or type; columns of other lengths
 * FB_E_MEMORY */
fb_status fb_fashiongen_source_open(fb_context *ctx, fb_record_source *source,
                                    const char *path, const fb_import_options *options);

#endif

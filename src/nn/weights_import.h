/* weights_import.h - pre-trained weights of others into a parameter table.
 *
 *     a BERT      Hugging Face's names, with "bert." in front or without; a norm's
 *                 weight and bias may be called gamma and beta
 *     a ResNet    torchvision's and timm's names (conv1.weight, layer1.0.bn1.bias,
 *                 ...), or a model's own file, which has them behind the table's prefix
 *
 * Read from a safetensors file, an index of several, or a folder with either
 * (tensor_source.h). Numbers must be F32 and finite, shapes those of the table; every
 * problem is counted and the first ten are named. After a failure the table is as it
 * was. What is not of the network's trunk (a classifier, "cls.seq_relationship") is
 * left aside and counted; a tensor inside it that the table has not is a problem,
 * because the file's network computes something else.
 *
 * A file says nothing of its activation or its heads: read its config.json
 * (model_config.h) and build the table from it.
 */
#ifndef FB_NN_WEIGHTS_IMPORT_H
#define FB_NN_WEIGHTS_IMPORT_H

#include "nn/param.h"

typedef struct fb_pretrained_options {
    bool without_predictions; /* leave "cls.predictions." as it is */
} fb_pretrained_options;

typedef struct fb_pretrained_report {
    int32_t files, tensors, read, ignored; /* tensors of the files; of them ... */
    int32_t layers, file_layers;           /* taken, and how many there were */
    int64_t positions, file_positions; /* rows of the table of positions, the same */
    bool pooler, predictions; /* were read; else those parameters keep their values */
    bool untied; /* the file's decoder is not its word table, as it is here */
} fb_pretrained_report;

/* Fill the parameters named "bert." and "cls.predictions.". The file may have more
 * layers and positions than the table (the first are taken) and neither pooler nor
 * predictions. options may be NULL: all as above. report may be NULL.
 * FB_E_FORMAT: no BERT, fewer layers or positions, another vocabulary, or tensors that
 * do not fit; FB_E_DTYPE: not F32; FB_E_MISSING, FB_E_IO: the file; FB_E_MEMORY. */
fb_status fb_weights_read_bert(fb_context *ctx, fb_params *params, const char *path,
                               const fb_pretrained_options *options,
                               fb_pretrained_report *report);

/* Fill the parameters and buffers whose names begin with `prefix` ("image.encoder.")
 * from the file's tensors of the names behind it; of a file whose names begin with it
 * too, everything else is left aside. Left aside: fc.*, every
 * num_batches_tracked, and stages ("layer4.") of which the table has nothing. Failures
 * as above; the report's layers, positions and flags stay 0. */
fb_status fb_weights_read_resnet(fb_context *ctx, fb_params *params, const char *path,
                                 const char *prefix, fb_pretrained_report *report);

#endif

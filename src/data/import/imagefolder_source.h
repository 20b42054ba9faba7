/* imagefolder_source.h - products from a folder of images, as Hugging Face's datasets
 * and torchvision read them.
 *
 *     with metadata       metadata.jsonl or metadata.csv, which name each image
 *     without             Dresses/red-summer-dress.jpg: the folder is the category, the
 *                         words of the file's name are the title
 *     train/ val/ test/   if folders of such names are all there is, each is one of the
 *                         two, and its records have that split
 *
 * Fields without metadata: title, file_name, category; of two folders within each other
 * the outer one is the category and the inner the subcategory, of three the outermost
 * is the master_category. A file's name without a letter, such as 0001, gives no title,
 * for it says nothing of the product: --map title=category then takes the folder's.
 * Images are files called .jpg, .jpeg, .png, .webp, and .gif, .bmp, .tif, .tiff, .avif,
 * .heic, which then are told to be unread; other files and hidden ones are passed over.
 */
#ifndef FB_DATA_IMPORT_IMAGEFOLDER_SOURCE_H
#define FB_DATA_IMPORT_IMAGEFOLDER_SOURCE_H

#include "data/import/record_source.h"

enum { FB_IMAGEFOLDER_LEVELS = 3 };

/* Whether the folder has metadata, or folders or images in it. */
bool fb_imagefolder_source_recognise(fb_context *ctx, const char *path);

/* Folders and files come sorted by name; what is held in memory are the names of one
 * folder and of those around it. FB_E_MISSING (no such folder), FB_E_FORMAT
 * (metadata of both kinds), FB_E_IO, FB_E_MEMORY, and what csv_source.h says */
fb_status fb_imagefolder_source_open(fb_context *ctx, fb_record_source *source,
                                     const char *path,
                                     const fb_import_options *options);

#endif

/* sweethome3d_source.h - products from Sweet Home 3D furniture catalogues: .sh3f files,
 * or the program's .jar.
 *
 * Both are zip archives with one catalogue:
 *     .../PluginFurnitureCatalog.properties or .../DefaultFurnitureCatalog.properties
 *     .../PluginFurnitureCatalog_zh_CN.properties   names in other languages
 *     icon images, named by the properties
 * with id#N, name#N, tags#N, category#N, icon#N, creator#N, ... for piece N.
 *
 * Fields of a record:
 *     product_id  id#N
 *     title       name#N and the tags, with ", " between; tags that only name a
 *                 supplier (a table in the .c) are dropped
 *     category    category#N
 * and name, tags, creator, license, width_cm, depth_cm, height_cm, source where the
 * catalogue gives them. With options->language its names, tags and categories are taken
 * where it has them.
 */
#ifndef FB_DATA_IMPORT_SWEETHOME3D_SOURCE_H
#define FB_DATA_IMPORT_SWEETHOME3D_SOURCE_H

#include "data/import/record_source.h"

bool fb_sweethome3d_source_recognise(fb_context *ctx, const char *path);

/* Pieces come in the order of their numbers. Their icons are held in memory.
 * FB_E_MISSING  the file is not there, or lacks a catalogue or the language
 * FB_E_FORMAT   not a zip archive, or broken properties
 * FB_E_LIMIT, FB_E_IO, FB_E_MEMORY */
fb_status fb_sweethome3d_source_open(fb_context *ctx, fb_record_source *source,
                                     const char *path,
                                     const fb_import_options *options);

#endif

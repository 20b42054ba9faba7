/* furniture.h - Sweet Home 3D furniture catalogues (.sh3f, or the program's .jar) to an
 * imagefolder catalogue.
 *
 * Both are zip archives with one catalogue:
 *     .../PluginFurnitureCatalog.properties or .../DefaultFurnitureCatalog.properties
 *     .../PluginFurnitureCatalog_zh_CN.properties   names in other languages
 *     icon images, named by the properties
 * with id#N, name#N, tags#N, category#N, icon#N, creator#N, ... for piece N.
 *
 * Written: images/0001.png, ... (the icons' bytes as they are) and metadata.jsonl with
 *     product_id  id#N
 *     title       name#N and the tags, with ", " between; tags that only name a
 * supplier (a table in furniture.c) are dropped category    category#N split       by a
 * hash of the title, so equal titles are in one split and the attributes name, tags,
 * creator, license, source, width_cm, depth_cm, height_cm where the catalogue gives
 * them. With a language its names, tags and categories are taken where it has them.
 */
#ifndef FB_DATA_FURNITURE_H
#define FB_DATA_FURNITURE_H

#include "base/status.h"

/* All of `options` but `from` and `quiet` is used. The folder is made beside as
 * OUT.new and renamed. A piece without a name or whose icon is missing or no PNG, JPEG
 * or WebP is left out and counted as skipped.
 * FB_E_USAGE    out is there already, no sources, or split is not three percentages
 * FB_E_MISSING  a source is not there, or lacks a catalogue or the language
 * FB_E_FORMAT   not a zip archive, broken properties, or no piece at all
 * FB_E_LIMIT, FB_E_IO, FB_E_MEMORY */
fb_status fb_furniture_import(fb_context *ctx, const fb_import_options *options,
                              fb_import_report *report);

#endif

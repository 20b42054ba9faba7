/* import_map.h - what the fields of a record mean: `--map`, and names that speak for
 * themselves.
 *
 *     title=productDisplayName,category=articleType,image=images/{id}.jpg,colour=baseColour
 *
 * Each part is TARGET=FIELD or TARGET=TEMPLATE; a template has {FIELD} in it, {{ and }}
 * are braces. Commas within braces belong to the field's name. Fields that the map does
 * not use keep their names: those of the list in record_source.h are what they say,
 * others become attributes. What the map gives wins over a field of that name.
 *
 * Values are trimmed; in titles and categories a run of white space becomes one space.
 * A template whose fields are all empty gives no value, one for the image gives none
 * when any is.
 */
#ifndef FB_DATA_IMPORT_IMPORT_MAP_H
#define FB_DATA_IMPORT_IMPORT_MAP_H

#include "base/arena.h"
#include "data/catalogue/catalogue.h"
#include "data/import/record_source.h"

typedef struct fb_import_map fb_import_map;

/* FB_E_USAGE (a part without "=", a name or a brace that is missing, a target twice),
 * FB_E_MEMORY. "" maps nothing. With only_mapped no field becomes an attribute by its
 * own name. */
fb_status fb_import_map_parse(fb_context *ctx, fb_import_map **map, const char *text,
                              bool only_mapped);
void fb_import_map_free(fb_import_map *map);

/* Whether every field that the map uses is one of columns; else *missing is the first
 * that is not. */
bool fb_import_map_fits(const fb_import_map *map, const char *const *columns,
                        int32_t count, const char **missing);
/* Whether a record with these fields can have a value for "title", "image", ... */
bool fb_import_map_gives(const fb_import_map *map, const char *target,
                         const char *const *columns, int32_t count);
/* Whether a field becomes (part of) the title or the description. */
bool fb_import_map_is_prose(const fb_import_map *map, const char *field);

/* What a record says of a product. Absent: NULL. */
typedef struct fb_import_item {
    const char *title, *id, *product_id, *description, *split, *image;
    const char *category[FB_CATEGORY_LEVELS]; /* in fb_category_fields' order */
    const char **queries;
    const char **attributes; /* [attribute_count, 2] name and value */
    int32_t query_count, attribute_count;
    const char *spare; /* the first field that had another value too, which is lost */
} fb_import_item;

/* Strings go to the arena. FB_E_MEMORY */
fb_status fb_import_map_apply(fb_context *ctx, const fb_import_map *map,
                              const fb_record *record, fb_arena *arena,
                              fb_import_item *item);

#endif

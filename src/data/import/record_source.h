/* record_source.h - products out of any format, one record after the other. It is the
 * one seam between the formats that `import` reads and the catalogue that it writes.
 *
 *     fb_record_source source;
 *     fb_record record;
 *     FB_TRY(fb_csv_source_open(ctx, &source, "shop/styles.csv", options));
 *     do status = source.next(ctx, source.self, &record);
 *     while (status == FB_OK && !record.end);
 *     source.close(source.self);
 *
 * A format NAME has src/data/import/NAME_source.[ch] with the two functions
 *
 *     bool      fb_NAME_source_recognise(fb_context *ctx, const char *path);
 *     fb_status fb_NAME_source_open(fb_context *, fb_record_source *, const char *path,
 *                                   const fb_import_options *);
 *
 * a row in FB_IMPORT_SOURCE_MAP (fashionbert.h), and an include in tasks/import.c. What
 * is wrong with a single record is told by FB_RECORD_FAULT_MAP there.
 *
 * What belongs to whom. A source knows its format: it says what lies in a record, as
 * text, and where. What the fields mean is told by --map and by their names (see
 * import_map.h), and whether they will do by the writer (import_writer.h): a source
 * need not look for a title, decode an image, or notice an id that comes twice.
 */
#ifndef FB_DATA_IMPORT_RECORD_SOURCE_H
#define FB_DATA_IMPORT_RECORD_SOURCE_H

#include "base/status.h"
#include "data/import/passed_over.h"
#include "fashionbert.h"

typedef enum fb_record_image_kind {
    FB_RECORD_IMAGE_NONE,  /* the fields name it, or there is none */
    FB_RECORD_IMAGE_PATH,  /* a file on disk: path, to open as it is */
    FB_RECORD_IMAGE_BYTES, /* a whole JPEG, PNG or WebP file: bytes [size_bytes] */
    FB_RECORD_IMAGE_PIXELS /* RGB: bytes [height, width, 3] */
} fb_record_image_kind;

typedef struct fb_record_image {
    fb_record_image_kind kind;
    const char *path;
    const uint8_t *bytes;
    size_t size_bytes;
    int32_t width, height;
} fb_record_image;

/* Everything in it is borrowed from the source until its next call. */
typedef struct fb_record {
    bool end;              /* there are no more; nothing below is set */
    double progress;       /* share of the source that was read, 0 to 1 */
    const char *where;     /* for messages: "shop/styles.csv:17", "a.tar: 0001.json" */
    fb_record_fault fault; /* not GOOD: `why` says why, and nothing below is set */
    const char *why;       /* "5 fields, 10 in the header"; `where` is put before it */
    const char *mended; /* NULL, or what is not right in it and was read all the same:
                           "a quote that is never closed" */
    const char *const *fields; /* [field_count, 2] name and value; valid UTF-8 */
    int32_t field_count;
    fb_record_image image;
} fb_record;

/* Names of fields that have a meaning of their own where --map does not give one:
 *     title category subcategory master_category description split queries
 *     product_id   images of one product share it
 *     id           of the record: it must not come twice; the product_id where that
 *                  is absent
 *     image, file_name    where the image lies, relative to source.folder; not looked
 *                  at when the record has its image
 * any other becomes an attribute. Empty values count as absent. A name that comes twice
 * gives several values: queries keeps all, attributes have them with ", " between, of the
 * others the first stands and the rest is told. */
typedef struct fb_record_source {
    void *self;
    /* The next record, the same at every run: an import that was killed reads the
     * source again and passes over what it has. Failures end the import: they are for
     * a source that cannot be read on, with a sentence that names file and place; what
     * is wrong with one record is its `fault`. */
    fb_status (*next)(fb_context *ctx, void *self, fb_record *record);
    void (*close)(void *self);
    /* The source's own count of what it passes over by rule; NULL: it never does. */
    const fb_passed_over *passed;
    const char *folder; /* that images named by fields lie in; NULL: there is none. What
                           it points to may be another folder with each record */
    /* Names that every record has, so that --map can be checked before anything is
     * read; NULL: each record has its own. */
    const char *const *columns;
    int32_t column_count;
    bool has_images; /* each record brings its image: no column need name it */
} fb_record_source;

#endif

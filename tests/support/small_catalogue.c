/* small_catalogue.c - see small_catalogue.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"
#include "support/small_catalogue.h"

void small_catalogue_make(small_catalogue *c)
{
    char path[4096];
    const char *temporary = getenv("TMPDIR");
    snprintf(c->folder, sizeof c->folder, "%.200s/small-catalogue-XXXXXX",
             temporary ? temporary : "/tmp");
    c->count = 0;
    assert_non_null(mkdtemp(c->folder));
    assert_int_equal(fb_path_join(NULL, path, c->folder, "images"), FB_OK);
    assert_int_equal(fb_folder_make(NULL, path), FB_OK);
    assert_int_equal(fb_path_join(NULL, path, c->folder, "metadata.jsonl"), FB_OK);
    c->metadata = fopen(path, "w");
    assert_non_null(c->metadata);
}

static void add_row(small_catalogue *c, const char *name, const char *fields)
{
    fprintf(c->metadata, "{\"file_name\": \"%s\", %s}\n", name, fields);
    c->count++;
}

void small_catalogue_add(small_catalogue *c, fb_image image, int32_t quality,
                         const char *fields)
{
    char name[64], path[4096];
    snprintf(name, sizeof name, "images/%d.%s", (int)c->count,
             quality > 0 ? "jpg" : "png");
    assert_int_equal(fb_path_join(NULL, path, c->folder, name), FB_OK);
    assert_int_equal(quality > 0 ? fb_image_write_jpeg(NULL, path, &image, quality)
                                 : fb_image_write_png(NULL, path, &image),
                     FB_OK);
    fb_image_free(&image);
    add_row(c, name, fields);
}

void small_catalogue_add_bytes(small_catalogue *c, const void *bytes, size_t size_bytes,
                               const char *fields)
{
    char name[64], path[4096];
    snprintf(name, sizeof name, "images/%d.png", (int)c->count);
    assert_int_equal(fb_path_join(NULL, path, c->folder, name), FB_OK);
    assert_int_equal(fb_file_write(NULL, path, bytes, size_bytes), FB_OK);
    add_row(c, name, fields);
}

void small_catalogue_flush(small_catalogue *c)
{
    assert_int_equal(fflush(c->metadata), 0);
}

void small_catalogue_remove(small_catalogue *c)
{
    fclose(c->metadata);
    assert_int_equal(fb_folder_remove(NULL, c->folder), FB_OK);
}

/* test_sweethome3d.c - the .properties parser, and importing archives made here. */
#include "support/catalogue_fixture.h"

#include "data/catalogue/catalogue.h"
#include "data/image/image_decode.h"
#include "data/import/properties.h"
#include "fashionbert.h"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

/* ---- properties ---------------------------------------------------------------------
 */

static fb_properties *parse(const char *text, size_t size)
{
    struct fb_context ctx = {0};
    fb_properties *p = NULL;
    if (fb_properties_parse(&ctx, &p, "p", (const uint8_t *)text, size) != FB_OK)
        fail_msg("%s", ctx.message);
    return p;
}

static void separators_comments_and_continuations_are_javas(void **state)
{
    (void)state;
    const char text[] = "# comment = 1\n! another \\\nkey=value\r\n"
                        "  spaced : a b \\\n     c\rcolon:d\nbare\nempty=\n"
                        "es\\=caped\\ key = x=y\nkey=again\nback\\\\\\\\=z";
    fb_properties *p = parse(text, sizeof text - 1);
    assert_string_equal(fb_properties_get(p, "key"), "again");
    assert_string_equal(fb_properties_get(p, "spaced"), "a b c");
    assert_string_equal(fb_properties_get(p, "colon"), "d");
    assert_string_equal(fb_properties_get(p, "bare"), "");
    assert_string_equal(fb_properties_get(p, "empty"), "");
    assert_string_equal(fb_properties_get(p, "es=caped key"), "x=y");
    assert_string_equal(fb_properties_get(p, "back\\\\"), "z");
    assert_null(fb_properties_get(p, "comment"));
    assert_int_equal(fb_properties_count(p), 7);
    assert_string_equal(fb_properties_key(p, 1), "spaced");
    fb_properties_free(p);
}

static void characters_become_utf8(void **state)
{
    (void)state;
    const char text[] = "latin=caf\xe9\nhan=\\u5e8a\\u0020x\npair=\\ud83d\\ude00\n"
                        "lone=\\ud83dx\nzero=\\u0000\ntab=a\\tb";
    fb_properties *p = parse(text, sizeof text - 1);
    assert_string_equal(fb_properties_get(p, "latin"), "caf\xc3\xa9");
    assert_string_equal(fb_properties_get(p, "han"), "\xe5\xba\x8a x");
    assert_string_equal(fb_properties_get(p, "pair"), "\xf0\x9f\x98\x80");
    assert_string_equal(fb_properties_get(p, "lone"), "\xef\xbf\xbdx");
    assert_string_equal(fb_properties_get(p, "zero"), "\xef\xbf\xbd");
    assert_string_equal(fb_properties_get(p, "tab"), "a\tb");
    fb_properties_free(p);
}

static void broken_escape_names_its_line(void **state)
{
    (void)state;
    struct fb_context ctx = {0};
    fb_properties *p = NULL;
    const char text[] = "a=1\nb=2\nc=\\u12g4\n";
    assert_int_equal(
        fb_properties_parse(&ctx, &p, "p", (const uint8_t *)text, sizeof text - 1),
        FB_E_FORMAT);
    assert_non_null(strstr(ctx.message, "p:3:"));
    assert_null(p);
}

/* ---- import
 * -------------------------------------------------------------------------- */

static void add_entry(struct archive *a, const char *name, const void *bytes,
                      size_t size)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (la_int64_t)size);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    assert_int_equal(archive_write_header(a, entry), ARCHIVE_OK);
    assert_int_equal(archive_write_data(a, bytes, size), (la_ssize_t)size);
    archive_entry_free(entry);
}

/* A small picture's PNG bytes. */
static uint8_t *png(fixture *f, uint8_t shade, size_t *size)
{
    uint8_t rgb[8 * 8 * 3], *bytes = NULL;
    char path[4096];
    memset(rgb, shade, sizeof rgb);
    fb_image image = {8, 8, rgb};
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, "icon.png"), FB_OK);
    assert_int_equal(fb_image_write_png(f->ctx, path, &image), FB_OK);
    assert_int_equal(fb_file_read(f->ctx, path, 1 << 20, &bytes, size), FB_OK);
    return bytes;
}

static const char catalogue_text[] =
    "license=CC-BY 3.0\n"
    "id#2=S#two\nname#2=Bed\ntags#2=Blend Swap, Double ,default\n"
    "category#2=Bedroom\nicon#2=/x/b.png\nwidth#2=140\n"
    "id#1=S#one\nname#1=Armchair\ntags#1=\ncategory#1=Office\nicon#1=/x/a.png\n"
    "creator#1=Someone\n"
    "id#3=S#three\nname#3=bed\ntags#3=double\nicon#3=/x/b.png\n"
    "id#4=S#four\nname#4=No icon\nicon#4=/x/none.png\n"
    "id#5=S#five\nname#5=Bad icon\nicon#5=/x/bad.png\n"
    "id#6=S#six\nicon#6=/x/a.png\n";
static const char chinese_text[] =
    "name#1=\\u6905\\u5b50\ntags#1=\ncategory#1=\\u529e\\u516c\n";

static void make_archive(fixture *f, const char *name)
{
    char path[4096];
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, name), FB_OK);
    struct archive *a = archive_write_new();
    archive_write_set_format_zip(a);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    size_t size_a, size_b;
    uint8_t *icon_a = png(f, 10, &size_a), *icon_b = png(f, 200, &size_b);
    add_entry(a, "x/a.png", icon_a, size_a);
    add_entry(a, "x/bad.png", "GIF89a", 6);
    add_entry(a, "PluginFurnitureCatalog.properties", catalogue_text,
              sizeof catalogue_text - 1);
    add_entry(a, "PluginFurnitureCatalog_zh_CN.properties", chinese_text,
              sizeof chinese_text - 1);
    add_entry(a, "x/b.png", icon_b, size_b);
    archive_write_close(a);
    archive_write_free(a);
    free(icon_a);
    free(icon_b);
}

typedef struct import {
    char source[128], out[128];
    const char *sources[1];
    fb_import_options options;
    fb_import_report report;
} import;

static void prepare(fixture *f, import *m, const char *language)
{
    memset(m, 0, sizeof *m);
    snprintf(m->source, sizeof m->source, "%s/f.sh3f", f->folder);
    snprintf(m->out, sizeof m->out, "%s/out", f->folder);
    m->sources[0] = m->source;
    fb_import_options_defaults(&m->options);
    m->options.sources = m->sources;
    m->options.source_count = 1;
    m->options.from = "sweethome3d";
    m->options.out = m->out;
    m->options.split_by = "title";
    m->options.language = language;
    m->options.skip_bad = true;
    m->options.threads = 2;
    m->options.quiet = true;
}

static fb_catalogue *import_and_open(fixture *f, import *m)
{
    fb_catalogue *cat = NULL;
    if (fb_import(f->ctx, &m->options, &m->report) != FB_OK ||
        fb_catalogue_open(f->ctx, &cat, m->out, NULL) != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    return cat;
}

static void pieces_become_rows_with_their_icons(void **state)
{
    fixture *f = *state;
import m;
    make_archive(f, "f.sh3f");
    prepare(f, &m, "");
    fb_catalogue *cat = import_and_open(f, &m);
    assert_int_equal(m.report.items, 3);
    assert_int_equal(m.report.skipped, 3);
    assert_int_equal(m.report.faults[FB_RECORD_BAD_TITLE], 1);
    assert_int_equal(m.report.faults[FB_RECORD_BAD_NO_IMAGE], 1);
    assert_int_equal(m.report.faults[FB_RECORD_BAD_IMAGE], 1);
    assert_int_equal(m.report.train + m.report.val + m.report.test, 3);
    const fb_catalogue_item *one = fb_catalogue_get(cat, 0), *two = one + 1;
    assert_string_equal(one->title, "Armchair");
    assert_string_equal(one->product_id, "S#one");
    assert_string_equal(fb_catalogue_attribute(one, "creator"), "Someone");
    assert_string_equal(fb_catalogue_attribute(one, "license"), "CC-BY 3.0");
    assert_string_equal(two->title, "Bed, Double");
    assert_string_equal(fb_catalogue_attribute(two, "width_cm"), "140");
    const fb_catalogue_item *three = fb_catalogue_get(cat, 2);
    assert_int_equal(three->text, two->text); /* equal but for case: one split */
    assert_int_equal(three->split, two->split);
    uint64_t keys[3];
    for (int32_t i = 0; i < 3; i++)
        assert_int_equal(fb_catalogue_image_key(f->ctx, cat, i, &keys[i]), FB_OK);
    assert_true(keys[0] != keys[1] && keys[1] == keys[2]);
    fb_catalogue_close(cat);
    assert_int_equal(fb_folder_remove(f->ctx, m.out), FB_OK);
}

static void language_replaces_names_where_it_has_them(void **state)
{
    fixture *f = *state;
import m;
    make_archive(f, "f.sh3f");
    prepare(f, &m, "zh_CN");
    fb_catalogue *cat = import_and_open(f, &m);
    const fb_catalogue_item *one = fb_catalogue_get(cat, 0);
    assert_string_equal(one->title, "\xe6\xa4\x85\xe5\xad\x90");
    assert_string_equal(fb_catalogue_category_name(cat, 0, one->category[0]),
                        "\xe5\x8a\x9e\xe5\x85\xac");
    assert_string_equal(fb_catalogue_get(cat, 1)->title, "Bed");
    fb_catalogue_close(cat);
    assert_int_equal(fb_folder_remove(f->ctx, m.out), FB_OK);
}

static void expect_import(fixture *f, import *m, fb_status status, const char *words)
{
    assert_int_equal(fb_import(f->ctx, &m->options, &m->report), status);
    if (!strstr(fb_context_message(f->ctx), words))
        fail_msg("\"%s\" lacks \"%s\"", fb_context_message(f->ctx), words);
    char fresh[160];
    snprintf(fresh, sizeof fresh, "%s.part", m->out);
    assert_false(fb_path_exists(fresh));
}

static void failures_leave_nothing_behind(void **state)
{
    fixture *f = *state;
import m;
    make_archive(f, "f.sh3f");
    prepare(f, &m, "xx");
    expect_import(f, &m, FB_E_MISSING, "language xx");
    prepare(f, &m, "");
    m.options.split = "80/10/11";
    expect_import(f, &m, FB_E_USAGE, "80/10/11");
    prepare(f, &m, "");
    strcat(m.source, "x");
    expect_import(f, &m, FB_E_MISSING, "f.sh3fx");
    fixture_text(f, "f.sh3fx", "this is no zip archive at all, not even nearly");
    expect_import(f, &m, FB_E_FORMAT, "f.sh3fx");
    prepare(f, &m, "");
    assert_false(fb_path_exists(m.out));
    assert_int_equal(fb_folder_make(f->ctx, m.out), FB_OK);
    expect_import(f, &m, FB_E_USAGE, "is there already");
    assert_int_equal(fb_folder_remove(f->ctx, m.out), FB_OK);
}

static void truncated_archive_is_an_error(void **state)
{
    fixture *f = *state;
import m;
    uint8_t *bytes = NULL;
    size_t size = 0;
    make_archive(f, "f.sh3f");
    prepare(f, &m, "");
    assert_int_equal(fb_file_read(f->ctx, m.source, 1 << 20, &bytes, &size), FB_OK);
    for (size_t cut = 0; cut < size - 30; cut += 37) {
        fixture_write(f, "f.sh3f", bytes, cut);
        fb_status status = fb_import(f->ctx, &m.options, &m.report);
        if (status == FB_OK) /* the catalogue came whole, some icons did not */
            assert_int_equal(fb_folder_remove(f->ctx, m.out), FB_OK);
        else
            assert_non_null(strstr(fb_context_message(f->ctx), "f.sh3f"));
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(separators_comments_and_continuations_are_javas),
        cmocka_unit_test(characters_become_utf8),
        cmocka_unit_test(broken_escape_names_its_line),
        FIXTURE_TEST(pieces_become_rows_with_their_icons),
        FIXTURE_TEST(language_replaces_names_where_it_has_them),
        FIXTURE_TEST(failures_leave_nothing_behind),
        FIXTURE_TEST(truncated_archive_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

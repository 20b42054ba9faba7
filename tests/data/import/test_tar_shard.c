/* test_tar_shard.c - WebDataset shards: samples, what is refused, patterns of files. */
#include "support/catalogue_fixture.h"

#include "data/import/file_list.h"
#include "data/import/tar_shard.h"
#include "data/import/webdataset_source.h"

#include <archive.h>
#include <archive_entry.h>

/* A tar archive in memory or on disk, made by libarchive. */
typedef struct tar {
    struct archive *archive;
    char bytes[1 << 16];
    size_t used;
} tar;

static void tar_begin(tar *t)
{
    t->archive = archive_write_new();
    assert_non_null(t->archive);
    archive_write_set_format_pax_restricted(t->archive);
    assert_int_equal(
        archive_write_open_memory(t->archive, t->bytes, sizeof t->bytes, &t->used),
        ARCHIVE_OK);
}

static void tar_begin_file(tar *t, const fixture *f, const char *name, bool zstd)
{
    char path[4096];
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, name), FB_OK);
    t->archive = archive_write_new();
    archive_write_set_format_gnutar(t->archive);
    if (zstd)
        assert_int_equal(archive_write_add_filter_zstd(t->archive), ARCHIVE_OK);
    else
        assert_int_equal(archive_write_add_filter_gzip(t->archive), ARCHIVE_OK);
    assert_int_equal(archive_write_open_filename(t->archive, path), ARCHIVE_OK);
}

static void tar_entry(tar *t, const char *name, const char *text, unsigned type,
                      const char *link)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, 0644);
    if (link && type == AE_IFLNK)
        archive_entry_set_symlink(entry, link);
    else if (link)
        archive_entry_set_hardlink(entry, link);
    archive_entry_set_size(entry, link ? 0 : (la_int64_t)strlen(text));
    /* a warning where the locale has no name for the name */
    assert_true(archive_write_header(t->archive, entry) >= ARCHIVE_WARN);
    if (!link)
        assert_int_equal(archive_write_data(t->archive, text, strlen(text)),
                         (int)strlen(text));
    archive_entry_free(entry);
}

static void tar_add(tar *t, const char *name, const char *text)
{
    tar_entry(t, name, text, AE_IFREG, NULL);
}

static void tar_end(tar *t)
{
    assert_int_equal(archive_write_close(t->archive), ARCHIVE_OK);
    archive_write_free(t->archive);
}

static fb_passed_over passed_over;

static fb_tar_shard *open_bytes(const fixture *f, const tar *t, size_t size)
{
    fb_tar_shard *shard = NULL;
    passed_over = (fb_passed_over){0};
    fb_status status = fb_tar_shard_open_bytes(
        f->ctx, &shard, "s.tar", (const uint8_t *)t->bytes, size, &passed_over);
    if (status != FB_OK)
        fail_msg("%s", fb_context_message(f->ctx));
    return shard;
}

static void expect_sample(const fixture *f, fb_tar_shard *shard, const char *key,
                          const char *image, const char *json, const char *text)
{
    fb_tar_sample s = {0};
    bool more = false;
    if (fb_tar_shard_next(f->ctx, shard, &s, &more) != FB_OK)
        fail_msg("%s: %s", key, fb_context_message(f->ctx));
    assert_int_equal(more, key != NULL);
    if (key)
        assert_string_equal(s.key, key);
    assert_string_equal(s.image ? (char *)s.image : "", image);
    assert_string_equal(s.json ? (char *)s.json : "", json);
    assert_string_equal(s.text ? (char *)s.text : "", text);
    fb_tar_sample_clear(&s);
}

static void expect_fault(const fixture *f, fb_tar_shard *shard, const char *words)
{
    fb_tar_sample s = {0};
    bool more = true;
    assert_true(fb_tar_shard_next(f->ctx, shard, &s, &more) != FB_OK);
    assert_false(more);
    assert_null(s.image);
    assert_null(s.json);
    if (!strstr(fb_context_message(f->ctx), words))
        fail_msg("\"%s\" does not say \"%s\"", fb_context_message(f->ctx), words);
}

static void neighbours_of_one_name_are_a_sample(void **state)
{
    fixture *f = *state;
    tar t;
    tar_begin(&t);
    tar_entry(&t, "./", "", AE_IFDIR, NULL);
    tar_entry(&t, "d/", "", AE_IFDIR, NULL);
    tar_add(&t, "./d/1.JPG", "one");
    tar_add(&t, "./d/1.json", "{}");
    tar_add(&t, "d/2.cls", "7");
    tar_add(&t, "d/2.jfif", "image");
    tar_add(&t, "d/2.seg.png", "not the image");
    tar_add(&t, "d/2.txt", "two");
    tar_add(&t, "README", "belongs to nothing");
    tar_add(&t, ".hidden.jpg", "neither");
    tar_add(&t, "\xe6\xa4\x85\xe5\xad\x90.webp", "chair");
    tar_end(&t);
    fb_tar_shard *shard = open_bytes(f, &t, t.used);
    expect_sample(f, shard, "d/1", "one", "{}", "");
    expect_sample(f, shard, "d/2", "image", "", "two");
    expect_sample(f, shard, "\xe6\xa4\x85\xe5\xad\x90", "chair", "", "");
    expect_sample(f, shard, NULL, "", "", "");
    expect_sample(f, shard, NULL, "", "", "");
    fb_tar_shard_close(shard);
    char words[600];
    fb_passed_over_say(&passed_over, words, sizeof words);
    assert_string_equal(words, "passed over 4 files, 1 of .cls, 1 of no ending, 1 "
                               "of .jpg, 1 of .png (first d/2.cls)");
}

/* Dots in a name: what lies beside it says whether they part it. */
static void names_with_dots_are_products_or_photos_of_one(void **state)
{
    fixture *f = *state;
    tar t;
    tar_begin(&t);
    tar_add(&t, "12.json", "{}");
    tar_add(&t, "12.left.jpg", "left");
    tar_add(&t, "12.right.jpg", "right");
    tar_add(&t, "13.back.jpg", "back");
    tar_add(&t, "13.txt", "behind its photo");
    tar_add(&t, "22.05.jpg", "dated");
    tar_add(&t, "22.05.txt", "of May");
    tar_add(&t, "shoe.jpg", "first");
    tar_add(&t, "shoe.txt", "first shoe");
    tar_add(&t, "shoe.v1.jpg", "second");
    tar_add(&t, "shoe.v1.txt", "second shoe");
    tar_add(&t, "w.s.1.jpg", "w1");
    tar_add(&t, "w.s.1.txt", "one");
    tar_add(&t, "w.s.2.jpg", "no text");
    tar_end(&t);
    fb_tar_shard *shard = open_bytes(f, &t, t.used);
    expect_sample(f, shard, "12.left", "left", "{}", "");
    expect_sample(f, shard, "12.right", "right", "{}", "");
    expect_sample(f, shard, "13.back", "back", "", "behind its photo");
    expect_sample(f, shard, "22.05", "dated", "", "of May");
    expect_sample(f, shard, "shoe", "first", "", "first shoe");
    expect_sample(f, shard, "shoe.v1", "second", "", "second shoe");
    expect_sample(f, shard, "w.s.1", "w1", "", "one");
    expect_sample(f, shard, "w.s.2", "no text", "", "");
    expect_sample(f, shard, NULL, "", "", "");
    fb_tar_shard_close(shard);
    assert_int_equal(passed_over.count, 0);
}

/* A group without end is handed out in parts, and stays within its bound. */
static void a_long_group_is_handed_out(void **state)
{
    fixture *f = *state;
    char name[32];
    tar t;
    tar_begin(&t);
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "w.%02d.jpg", i);
        tar_add(&t, name, "x");
    }
    tar_end(&t);
    fb_tar_shard *shard = open_bytes(f, &t, t.used);
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "w.%02d", i);
        expect_sample(f, shard, name, "x", "", "");
    }
    expect_sample(f, shard, NULL, "", "", "");
    fb_tar_shard_close(shard);
}

static void names_and_links_that_leave_the_archive_are_refused(void **state)
{
    fixture *f = *state;
    tar t;
    tar_begin(&t);
    tar_add(&t, "a.jpg", "a");
    tar_add(&t, "/etc/b.jpg", "b");
    tar_add(&t, "/etc/b.txt", "left out with its sample");
    tar_add(&t, "c.jpg", "c");
    tar_add(&t, "../d.jpg", "d");
    tar_add(&t, "x/../../e.jpg", "e");
    tar_add(&t, "g.txt", "of a linked image");
    tar_entry(&t, "g.jpg", "", AE_IFLNK, "/etc/passwd");
    tar_entry(&t, "h.jpg", "", AE_IFREG, "a.jpg");
    tar_entry(&t, "i.jpg", "", AE_IFIFO, NULL);
    tar_add(&t, "j.jpg", "j");
    tar_end(&t);
    fb_tar_shard *shard = open_bytes(f, &t, t.used);
    expect_sample(f, shard, "a", "a", "", "");
    expect_fault(f, shard, "s.tar: member /etc/b.jpg: an absolute name");
    expect_fault(f, shard, "s.tar: member /etc/b.txt: an absolute name");
    expect_sample(f, shard, "c", "c", "", "");
    expect_fault(f, shard, "s.tar: member ../d.jpg: a name that leaves");
    expect_fault(f, shard, "s.tar: member x/../../e.jpg: a name that leaves");
    expect_fault(f, shard, "s.tar: member g.jpg: a link");
    assert_true(fb_tar_shard_refused(shard));
    expect_fault(f, shard, "s.tar: member h.jpg: a link");
    expect_fault(f, shard, "s.tar: member i.jpg: neither");
    expect_sample(f, shard, "j", "j", "", "");
    expect_sample(f, shard, NULL, "", "", "");
    fb_tar_shard_close(shard);
}

static void a_second_image_spoils_only_its_sample(void **state)
{
    fixture *f = *state;
    tar t;
    tar_begin(&t);
    tar_add(&t, "a.jpg", "a");
    tar_add(&t, "a.png", "again");
    tar_add(&t, "a.txt", "a");
    tar_add(&t, "b.jpg", "b");
    tar_end(&t);
    fb_tar_shard *shard = open_bytes(f, &t, t.used);
    expect_fault(f, shard, "s.tar: member a.png: a second image");
    assert_false(fb_tar_shard_refused(shard));
    expect_sample(f, shard, "b", "b", "", "");
    expect_sample(f, shard, NULL, "", "", "");
    fb_tar_shard_close(shard);
}

static void a_cut_archive_is_told_once(void **state)
{
    fixture *f = *state;
    tar t;
    tar_begin(&t);
    tar_add(&t, "a.jpg", "a");
    tar_add(&t, "b.jpg", "0123456789");
    tar_end(&t);
    fb_tar_shard *shard = open_bytes(f, &t, 512 + 512 + 512 + 4);
    expect_sample(f, shard, "a", "a", "", "");
    expect_fault(f, shard, "s.tar: member b.jpg: not a readable tar archive");
    expect_sample(f, shard, NULL, "", "", "");
    fb_tar_shard_close(shard);

    memset(t.bytes + 1024, 'x', 512); /* the second header */
    shard = open_bytes(f, &t, t.used);
    expect_fault(f, shard, "s.tar: not a readable tar archive");
    expect_sample(f, shard, NULL, "", "", "");
    fb_tar_shard_close(shard);
}

static void patterns_count_and_list_and_look(void **state)
{
    fixture *f = *state;
    char pattern[4096];
    fb_file_list list = {0};
    static const char *const names[] = {"s-08.tar", "s-09.tar", "s-10.tar", "t.tar",
                                        "odd{1..2}.tar"};
    for (size_t i = 0; i < 5; i++)
        fixture_text(f, names[i], "");
    snprintf(pattern, sizeof pattern, "%s/{s-{08..10},t}.tar", f->folder);
    assert_int_equal(fb_file_list_add(f->ctx, &list, pattern), FB_E_MISSING);
    snprintf(pattern, sizeof pattern, "%s/s-{08..10}.tar", f->folder);
    assert_int_equal(fb_file_list_add(f->ctx, &list, pattern), FB_OK);
    assert_int_equal(list.count, 3);
    snprintf(pattern, sizeof pattern, "%s/s-*.tar", f->folder);
    assert_int_equal(fb_file_list_add(f->ctx, &list, pattern), FB_OK);
    snprintf(pattern, sizeof pattern, "%s/{t,s-09}.tar", f->folder);
    assert_int_equal(fb_file_list_add(f->ctx, &list, pattern), FB_OK);
    snprintf(pattern, sizeof pattern, "%s/odd{1..2}.tar", f->folder);
    assert_int_equal(fb_file_list_add(f->ctx, &list, pattern), FB_OK);
    assert_int_equal(list.count, 9);
    static const int expected[] = {0, 1, 2, 0, 1, 2, 3, 1, 4};
    for (int i = 0; i < 9; i++)
        assert_string_equal(list.paths[i] + strlen(f->folder) + 1, names[expected[i]]);
    snprintf(pattern, sizeof pattern, "%s/s-{08..11}.tar", f->folder);
    assert_int_equal(fb_file_list_add(f->ctx, &list, pattern), FB_E_MISSING);
    assert_non_null(strstr(fb_context_message(f->ctx), "s-11.tar"));
    assert_int_equal(list.count, 9);
    assert_int_equal(fb_file_list_add(f->ctx, &list, "s-{3..1}.tar"), FB_E_FORMAT);
    assert_int_equal(fb_file_list_add(f->ctx, &list, "s-{3"), FB_E_FORMAT);
    assert_int_equal(fb_file_list_add(f->ctx, &list, "/nowhere/*.tar"), FB_E_MISSING);
    fb_file_list_clear(&list);
}

/* ---- records -----------------------------------------------------------------------
 */

static void write_shards(const fixture *f)
{
    tar t;
    tar_begin_file(&t, f, "s-0.tar.gz", false);
    tar_add(&t, "1.jpg", "pixels");
    tar_add(&t, "1.json",
            "{\"title\":\"Red dress\",\"price\":12.5,\"queries\":[\"a\",\"b\"],"
            "\"none\":null,\"nested\":{\"x\":1}}");
    tar_add(&t, "1.txt", "text beside");
    tar_add(&t, "2.jpg", "more pixels");
    tar_add(&t, "2.txt", "Blue shoe \n");
    tar_add(&t, "3.json", "{\"id\":\"own\",\"caption\":\"Green hat\"}");
    tar_add(&t, "4.json", "{\"broken\"");
    tar_add(&t, "5.txt", "caf\xe9");
    tar_end(&t);
    tar_begin_file(&t, f, "s-1.tar.zst", true);
    tar_add(&t, "6.txt", "last");
    tar_add(&t, "/7.txt", "outside");
    tar_end(&t);
    fixture_text(f, "s-2.tar", "this is no tar archive, and long enough to say so");
}

static const char *field(const fb_record *r, const char *name, int which)
{
    for (int32_t i = 0; i < r->field_count; i++)
        if (strcmp(r->fields[2 * i], name) == 0 && which-- == 0)
            return r->fields[2 * i + 1];
    return "(none)";
}

static void samples_become_records(void **state)
{
    fixture *f = *state;
    char pattern[4096];
    fb_record_source source;
    fb_record r;
    write_shards(f);
    snprintf(pattern, sizeof pattern, "%s/s-*.tar*", f->folder);
    assert_false(fb_webdataset_source_recognise(NULL, "shop.csv"));
    assert_false(fb_webdataset_source_recognise(NULL, "shop.tar.csv"));
    assert_false(fb_webdataset_source_recognise(NULL, ".tar"));
    assert_true(fb_webdataset_source_recognise(NULL, "shop-{00..10}.tar.gz"));
    assert_true(fb_webdataset_source_recognise(NULL, "a.tar.d/b.TGZ"));
    assert_true(fb_webdataset_source_recognise(NULL, "shop-*.tar*"));
    assert_true(fb_webdataset_source_recognise(NULL, "a.tar/b.tar{,.zst}"));
    assert_int_equal(fb_webdataset_source_open(f->ctx, &source, pattern, NULL), FB_OK);

    assert_int_equal(source.next(f->ctx, source.self, &r), FB_OK);
    assert_int_equal(r.fault, FB_RECORD_GOOD);
    assert_non_null(strstr(r.where, "s-0.tar.gz: member 1.jpg"));
    assert_string_equal(field(&r, "title", 0), "Red dress");
    assert_string_equal(field(&r, "txt", 0), "text beside");
    assert_string_equal(field(&r, "price", 0), "12.5");
    assert_string_equal(field(&r, "queries", 1), "b");
    assert_string_equal(field(&r, "none", 0), "(none)");
    assert_string_equal(field(&r, "nested", 0), "{\"x\":1}");
    assert_string_equal(field(&r, "id", 0), "1");
    assert_int_equal(r.image.kind, FB_RECORD_IMAGE_BYTES);
    assert_int_equal(r.image.size_bytes, 6);
    assert_memory_equal(r.image.bytes, "pixels", 6);

    assert_int_equal(source.next(f->ctx, source.self, &r), FB_OK);
    assert_string_equal(field(&r, "title", 0), "Blue shoe");
    assert_int_equal(source.next(f->ctx, source.self, &r), FB_OK);
    assert_string_equal(field(&r, "title", 0), "Green hat");
    assert_string_equal(field(&r, "id", 0), "own");
    assert_string_equal(field(&r, "id", 1), "(none)");
    assert_int_equal(r.image.kind, FB_RECORD_IMAGE_NONE);

    static const struct {
        fb_record_fault fault;
        const char *where, *why;
    } rest[] = {{FB_RECORD_BAD_ROW, "s-0.tar.gz: member 4", "json"},
                {FB_RECORD_BAD_TEXT, "s-0.tar.gz: member 5", "UTF-8"},
                {FB_RECORD_GOOD, "s-1.tar.zst: member 6", ""},
                {FB_RECORD_BAD_PATH, "s-1.tar.zst", "member /7.txt: an absolute name"},
                {FB_RECORD_BAD_ROW, "s-2.tar", "not a readable tar archive"}};
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++) {
        assert_int_equal(source.next(f->ctx, source.self, &r), FB_OK);
        assert_false(r.end);
        assert_int_equal(r.fault, rest[i].fault);
        assert_non_null(strstr(r.where, rest[i].where));
        if (r.fault != FB_RECORD_GOOD && !strstr(r.why, rest[i].why))
            fail_msg("\"%s\" does not say \"%s\"", r.why, rest[i].why);
    }
    assert_int_equal(source.next(f->ctx, source.self, &r), FB_OK);
    assert_true(r.end);
    source.close(source.self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(neighbours_of_one_name_are_a_sample),
        FIXTURE_TEST(names_with_dots_are_products_or_photos_of_one),
        FIXTURE_TEST(a_long_group_is_handed_out),
        FIXTURE_TEST(names_and_links_that_leave_the_archive_are_refused),
        FIXTURE_TEST(a_second_image_spoils_only_its_sample),
        FIXTURE_TEST(a_cut_archive_is_told_once),
        FIXTURE_TEST(patterns_count_and_list_and_look),
        FIXTURE_TEST(samples_become_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_wordpiece.c - the tokenizer against Hugging Face's ids, and vocabularies. */
#include "base/file.h"
#include "base/status.h"
#include "data/text/basic_tokenizer.h"
#include "data/text/wordpiece.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define GOLDEN FB_TEST_DATA "/golden/tokenizer/"

static const char SMALL[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nred\ndress\n##es\na\n##a\n"
    "-\n##b\n";

static fb_vocab *small_vocab(void)
{
    fb_vocab *vocab = NULL;
    assert_int_equal(fb_vocab_parse(NULL, &vocab, "small", SMALL, sizeof SMALL - 1),
                     FB_OK);
    return vocab;
}

static int32_t hex_digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Undo the escapes of make_tokenizer_golden.py, in place; returns the bytes. */
static size_t unescape(char *text)
{
    char *out = text;
    for (const char *in = text; *in != '\0'; in++) {
        if (*in != '\\') {
            *out++ = *in;
            continue;
        }
        in++;
        if (*in == 'x') {
            *out++ = (char)(hex_digit(in[1]) << 4 | hex_digit(in[2]));
            in += 2;
        } else {
            *out++ = *in == 't' ? '\t' : *in == 'n' ? '\n' : *in == 'r' ? '\r' : '\\';
        }
    }
    return (size_t)(out - text);
}

static void check_golden_line(const fb_vocab *vocab, char *line, int32_t number)
{
    static int32_t ids[4096];
    int32_t count = 0, i = 0;
    char *tab = strchr(line, '\t');
    assert_non_null(tab);
    *tab = '\0';
    size_t bytes = unescape(line);
    assert_int_equal(fb_wordpiece_encode(NULL, vocab, line, bytes, 4096, ids, &count),
                     FB_OK);
    char *at = tab + 1;
    for (; *at != '\0'; i++) {
        int32_t want = (int32_t)strtol(at, &at, 10);
        if (i >= count || ids[i] != want)
            fail_msg("strings.tsv:%d: id %d is %d (%s), Hugging Face has %d (%s)",
                     number, i, i < count ? ids[i] : -1,
                     i < count ? fb_vocab_token(vocab, ids[i]) : "no more", want,
                     fb_vocab_token(vocab, want));
    }
    if (i != count)
        fail_msg("strings.tsv:%d: %d ids, Hugging Face has %d", number, count, i);
}

static void ids_equal_hugging_face_on_all_golden_strings(void **state)
{
    (void)state;
    fb_vocab *vocab = NULL;
    uint8_t *bytes = NULL;
    size_t size_bytes = 0;
    int32_t lines = 0;
    assert_int_equal(fb_vocab_open(NULL, &vocab, GOLDEN "vocab.txt"), FB_OK);
    assert_int_equal(
        fb_file_read(NULL, GOLDEN "strings.tsv", 1 << 20, &bytes, &size_bytes), FB_OK);
    char *line = (char *)bytes;
    for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        check_golden_line(vocab, line, ++lines);
    }
    assert_true(lines >= 2000);
    free(bytes);
    fb_vocab_free(vocab);
}

static void vocab_knows_ids_tokens_and_word_starts(void **state)
{
    (void)state;
    fb_vocab *v = small_vocab();
    static const uint8_t starts[] = {0, 1, 0, 0, 0, 1, 1, 0, 1, 0, 1, 0};
    assert_int_equal(fb_vocab_size(v), 12);
    assert_int_equal(fb_vocab_id(v, "dress", 5), 6);
    assert_int_equal(fb_vocab_id(v, "dress", 4), -1);
    assert_int_equal(fb_vocab_id(v, "", 0), -1);
    assert_string_equal(fb_vocab_token(v, 7), "##es");
    assert_null(fb_vocab_token(v, 12));
    assert_null(fb_vocab_token(v, -1));
    assert_int_equal(fb_vocab_pad(v), 0);
    assert_int_equal(fb_vocab_unk(v), 1);
    assert_int_equal(fb_vocab_cls(v), 2);
    assert_int_equal(fb_vocab_sep(v), 3);
    assert_int_equal(fb_vocab_mask(v), 4);
    assert_true(fb_vocab_is_continuation(v, 7));
    assert_false(fb_vocab_is_continuation(v, 6));
    assert_false(fb_vocab_is_continuation(v, 99));
    assert_memory_equal(fb_vocab_word_starts(v), starts, sizeof starts);
    fb_vocab_free(v);
    fb_vocab_free(NULL);
}

static void encoding_stops_at_max_tokens_even_inside_a_word(void **state)
{
    (void)state;
    fb_vocab *v = small_vocab();
    int32_t ids[4] = {-7, -7, -7, -7}, count = -1;
    assert_int_equal(fb_wordpiece_encode(NULL, v, "red Dresses", 11, 2, ids, &count),
                     FB_OK);
    assert_int_equal(count, 2);
    assert_int_equal(ids[0], 5);
    assert_int_equal(ids[1], 6);
    assert_int_equal(ids[2], -7);
    assert_int_equal(fb_wordpiece_encode(NULL, v, "red", 3, 0, NULL, &count), FB_OK);
    assert_int_equal(count, 0);
    assert_int_equal(fb_wordpiece_encode(NULL, v, "red", 3, -1, ids, &count),
                     FB_E_USAGE);
    fb_vocab_free(v);
}

static void wrapping_keeps_cls_and_sep_within_max_text(void **state)
{
    (void)state;
    fb_vocab *v = small_vocab();
    int32_t ids[8] = {0}, count = 0;
    static const int32_t want[] = {2, 5, 6, 7, 3}, cut[] = {2, 5, 3};
    const char *text = "red dresses";
    assert_int_equal(fb_wordpiece_encode_wrapped(NULL, v, text, 11, 8, ids, &count),
                     FB_OK);
    assert_int_equal(count, 5);
    assert_memory_equal(ids, want, sizeof want);
    assert_int_equal(fb_wordpiece_encode_wrapped(NULL, v, text, 11, 3, ids, &count),
                     FB_OK);
    assert_int_equal(count, 3);
    assert_memory_equal(ids, cut, sizeof cut);
    assert_int_equal(fb_wordpiece_encode_wrapped(NULL, v, "", 0, 2, ids, &count),
                     FB_OK);
    assert_int_equal(count, 2);
    assert_int_equal(fb_wordpiece_encode_wrapped(NULL, v, text, 11, 1, ids, &count),
                     FB_E_USAGE);
    fb_vocab_free(v);
}

static void special_tokens_in_a_text_are_ordinary_words(void **state)
{
    (void)state;
    fb_vocab *v = small_vocab();
    int32_t ids[8], count = 0;
    assert_int_equal(fb_wordpiece_encode(NULL, v, "[MASK]", 6, 8, ids, &count), FB_OK);
    assert_int_equal(count, 3);
    for (int32_t i = 0; i < count; i++)
        assert_int_equal(ids[i], fb_vocab_unk(v));
    fb_vocab_free(v);
}

static void a_text_past_64_kib_is_cut_at_a_character(void **state)
{
    (void)state;
    fb_vocab *v = small_vocab();
    size_t bytes = 200000;
    char *text = malloc(bytes);
    int32_t *ids = malloc(bytes * sizeof *ids), count = 0;
    assert_non_null(text);
    assert_non_null(ids);
    memset(text, '-', bytes);
    memcpy(text + FB_TEXT_BYTES - 2, "\xE2\x82\xAC", 3); /* would be [UNK] */
    assert_int_equal(fb_wordpiece_encode(NULL, v, text, bytes, 200000, ids, &count),
                     FB_OK);
    assert_int_equal(count, FB_TEXT_BYTES - 2);
    assert_int_equal(ids[count - 1], 10);
    free(ids);
    free(text);
    fb_vocab_free(v);
}

/* Marks in the wrong canonical order: past a word's limit they need not be sorted. */
static void a_word_of_thousands_of_marks_is_unknown(void **state)
{
    (void)state;
    fb_vocab *v = small_vocab();
    char text[FB_TEXT_BYTES];
    int32_t ids[4], count = 0;
    for (size_t i = 0; i < sizeof text; i += 8)
        memcpy(text + i, "\xF0\x9D\x85\xAD\xF0\x9D\x85\xA5", 8);
    assert_int_equal(fb_wordpiece_encode(NULL, v, text, sizeof text, 4, ids, &count),
                     FB_OK);
    assert_int_equal(count, 1);
    assert_int_equal(ids[0], fb_vocab_unk(v));
    fb_vocab_free(v);
}

static void a_saved_vocab_reads_back_the_same(void **state)
{
    (void)state;
    char folder[] = "/tmp/fb_vocab_XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/vocab.txt", folder);
    fb_vocab *v = small_vocab(), *again = NULL;
    assert_int_equal(fb_vocab_save(NULL, v, path), FB_OK);
    assert_int_equal(fb_vocab_open(NULL, &again, path), FB_OK);
    assert_int_equal(fb_vocab_size(again), fb_vocab_size(v));
    for (int32_t id = 0; id < fb_vocab_size(v); id++)
        assert_string_equal(fb_vocab_token(again, id), fb_vocab_token(v, id));
    fb_vocab_free(again);
    fb_vocab_free(v);
    unlink(path);
    rmdir(folder);
}

static void line_ends_of_windows_and_a_missing_last_one_are_read(void **state)
{
    (void)state;
    static const char text[] = "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\nred";
    fb_vocab *v = NULL;
    assert_int_equal(fb_vocab_parse(NULL, &v, "dos", text, sizeof text - 1), FB_OK);
    assert_int_equal(fb_vocab_id(v, "red", 3), 5);
    assert_int_equal(fb_vocab_mask(v), 4);
    fb_vocab_free(v);
}

static void expect_refusal(const char *text, size_t bytes, fb_status want,
                           const char *words)
{
    fb_context *ctx = fb_context_create();
    fb_vocab *v = NULL;
    fb_status status = fb_vocab_parse(ctx, &v, "vocab.txt", text, bytes);
    if (status != want || strstr(fb_context_message(ctx), words) == NULL)
        fail_msg("%s \"%s\", not \"%s\"", fb_status_name(status),
                 fb_context_message(ctx), words);
    assert_null(v);
    fb_context_free(ctx);
}

static void hostile_vocabularies_are_refused_by_line(void **state)
{
    (void)state;
#define REFUSE(text, code, words) expect_refusal(text, sizeof(text) - 1, code, words)
#define SPECIAL_LINES             "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"
    REFUSE("", FB_E_FORMAT, "vocab.txt: no token [PAD]");
    REFUSE("[PAD]\n[UNK]\n[CLS]\n[SEP]\nred\n", FB_E_FORMAT, "no token [MASK]");
    REFUSE(SPECIAL_LINES "red\nred\n", FB_E_FORMAT,
           "vocab.txt:7: repeats the token of line 6");
    REFUSE(SPECIAL_LINES "\nred\n", FB_E_FORMAT, "vocab.txt:6: an empty line");
    REFUSE(SPECIAL_LINES "red\n \t\r\n", FB_E_FORMAT, "vocab.txt:7: an empty line");
    REFUSE(SPECIAL_LINES "r\0d\n", FB_E_FORMAT, "vocab.txt:6: not UTF-8");
    REFUSE(SPECIAL_LINES "r\xff\n", FB_E_FORMAT, "vocab.txt:6: not UTF-8");
    REFUSE(SPECIAL_LINES "\xed\xa0\x80\n", FB_E_FORMAT, "vocab.txt:6: not UTF-8");
    char text[2000] = SPECIAL_LINES;
    memset(text + strlen(text), 'x', 1000);
    expect_refusal(text, strlen(text), FB_E_LIMIT,
                   "vocab.txt:6: a token of 1000 bytes");
}

static void more_tokens_than_the_limit_are_refused(void **state)
{
    (void)state;
    size_t size_bytes = 8 * (FB_VOCAB_TOKENS + 10), used = 0;
    char *text = malloc(size_bytes);
    assert_non_null(text);
    used = (size_t)snprintf(text, size_bytes, SPECIAL_LINES);
    for (int32_t i = 5; i <= FB_VOCAB_TOKENS; i++)
        used += (size_t)snprintf(text + used, size_bytes - used, "%d\n", i);
    expect_refusal(text, used, FB_E_LIMIT, "more than 1000000 tokens");
    free(text);
}

static void a_missing_vocab_file_is_named(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_vocab *v = NULL;
    assert_int_not_equal(fb_vocab_open(ctx, &v, "/nonexistent/vocab.txt"), FB_OK);
    assert_non_null(strstr(fb_context_message(ctx), "/nonexistent/vocab.txt"));
    assert_null(v);
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_equal_hugging_face_on_all_golden_strings),
        cmocka_unit_test(vocab_knows_ids_tokens_and_word_starts),
        cmocka_unit_test(encoding_stops_at_max_tokens_even_inside_a_word),
        cmocka_unit_test(wrapping_keeps_cls_and_sep_within_max_text),
        cmocka_unit_test(special_tokens_in_a_text_are_ordinary_words),
        cmocka_unit_test(a_text_past_64_kib_is_cut_at_a_character),
        cmocka_unit_test(a_word_of_thousands_of_marks_is_unknown),
        cmocka_unit_test(a_saved_vocab_reads_back_the_same),
        cmocka_unit_test(line_ends_of_windows_and_a_missing_last_one_are_read),
        cmocka_unit_test(hostile_vocabularies_are_refused_by_line),
        cmocka_unit_test(more_tokens_than_the_limit_are_refused),
        cmocka_unit_test(a_missing_vocab_file_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

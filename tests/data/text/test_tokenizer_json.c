/* test_tokenizer_json.c - a vocabulary out of tokenizer.json equals the vocab.txt
 * beside it, and every tokenizer that is not uncased WordPiece is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "data/text/tokenizer_json.h"

#define GOLDEN FB_TEST_DATA "/golden/pretrained/pretraining"

static void the_same_tokens_as_vocab_txt(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_vocab *lines = NULL, *json = NULL;
    assert_int_equal(fb_vocab_open(ctx, &lines, GOLDEN "/vocab.txt"), FB_OK);
    assert_int_equal(fb_vocab_open(ctx, &json, GOLDEN "/tokenizer.json"), FB_OK);
    assert_int_equal(fb_vocab_size(json), 64);
    assert_int_equal(fb_vocab_size(lines), 64);
    for (int32_t id = 0; id < 64; id++)
        assert_string_equal(fb_vocab_token(lines, id), fb_vocab_token(json, id));
    const int32_t want[] = {2, 6, 9, 8, 28, 14, 15, 29, 3};
    const char *text = "Red LINEN dresses, 42";
    int32_t ids[16], count = 0;
    assert_int_equal(
        fb_wordpiece_encode_wrapped(ctx, json, text, strlen(text), 16, ids, &count),
        FB_OK);
    assert_int_equal(count, 9);
    assert_memory_equal(ids, want, sizeof want);
    fb_vocab_free(lines);
    fb_vocab_free(json);
    fb_context_free(ctx);
}

/* A file of `text` in the folder. */
static void put(fb_context *ctx, const char *folder, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(fb_file_write(ctx, path, text, strlen(text)), FB_OK);
}

static const char lines[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nfrom_lines\n";

static const char good[] =
    "{\"added_tokens\":[{\"id\":0,\"content\":\"[PAD]\"},{\"id\":4,\"content\":\"[MASK]"
    "\"}"
    "],"
    "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,"
    "\"handle_chinese_chars\":true,\"strip_accents\":null,\"lowercase\":true},"
    "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\","
    "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,"
    "\"vocab\":{\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,\"red\":5}}}";

static void a_folder_gives_vocab_txt_before_tokenizer_json(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_vocab *vocab = NULL;
    char folder[] = "/tmp/fb_tokenizer_XXXXXX", path[128];
    assert_non_null(mkdtemp(folder));
    assert_int_equal(fb_vocab_open(ctx, &vocab, folder), FB_E_MISSING);
    assert_non_null(strstr(fb_context_message(ctx), "vocab.txt nor tokenizer.json"));
    put(ctx, folder, "tokenizer.json", good);
    assert_int_equal(fb_vocab_open(ctx, &vocab, folder), FB_OK);
    assert_int_equal(fb_vocab_size(vocab), 6);
    assert_string_equal(fb_vocab_token(vocab, 5), "red");
    assert_string_equal(fb_vocab_token(vocab, 4), "[MASK]"); /* an added token */
    fb_vocab_free(vocab);
    put(ctx, folder, "vocab.txt", lines);
    put(ctx, folder, "tokenizer_config.json", /* as transformers writes it */
        "{\"do_lower_case\": true,"
        " \"model_max_length\": 1000000000000000019884624838656}");
    assert_int_equal(fb_vocab_open(ctx, &vocab, folder), FB_OK);
    assert_string_equal(fb_vocab_token(vocab, 5), "from_lines");
    fb_vocab_free(vocab);
    put(ctx, folder, "tokenizer_config.json", "{\"do_lower_case\": false}");
    assert_int_equal(fb_vocab_open(ctx, &vocab, folder), FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(ctx), "do_lower_case is not true"));
    const char *const files[] = {"tokenizer.json", "vocab.txt",
                                 "tokenizer_config.json"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(folder), 0);
    fb_context_free(ctx);
}

/* `good` with `from` replaced by `to` is refused with `word`. */
static void refuse(const char *from, const char *to, const char *word)
{
    fb_context *ctx = fb_context_create();
    fb_vocab *vocab = NULL;
    char text[1024];
    const char *at = strstr(good, from);
    assert_non_null(at);
    int length = snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, to,
                          at + strlen(from));
    fb_status status =
        fb_tokenizer_json_parse(ctx, &vocab, "t.json", text, (size_t)length);
    if (status != FB_E_FORMAT)
        fail_msg("%s -> %s gave %s", from, to, fb_status_name(status));
    if (strncmp(fb_context_message(ctx), "t.json: ", 8) != 0 ||
        !strstr(fb_context_message(ctx), word))
        fail_msg("%s -> %s gave \"%s\"", from, to, fb_context_message(ctx));
    assert_null(vocab);
    fb_context_free(ctx);
}

static void other_kinds_of_tokenizers_are_refused_by_name(void **state)
{
    (void)state;
    refuse("WordPiece", "BPE", "is BPE; only WordPiece");
    refuse("WordPiece", "Unigram", "is Unigram; only WordPiece");
    refuse("\"type\":\"WordPiece\",", "", "is (none); only WordPiece");
    refuse("\"model\":", "\"m\":", "only WordPiece");
    refuse("BertNormalizer", "NFC", "is NFC; only BertNormalizer");
    refuse("BertPreTokenizer", "Metaspace", "is Metaspace; only BertPreTokenizer");
    refuse("\"unk_token\":\"[UNK]\"", "\"unk_token\":\"<unk>\"", "<unk>");
    refuse("\"##\"", "\"@@\"", "@@");
    refuse(":100,", ":50,", "max_input_chars_per_word");
}

static void flags_that_cannot_be_honoured_are_refused(void **state)
{
    (void)state;
    refuse("\"lowercase\":true", "\"lowercase\":false", "upper case");
    refuse("\"lowercase\":true", "\"x\":1", "upper case");
    refuse("\"strip_accents\":null", "\"strip_accents\":false", "strip_accents");
    refuse("\"clean_text\":true", "\"clean_text\":false", "clean_text");
    refuse("\"handle_chinese_chars\":true", "\"handle_chinese_chars\":false",
           "handle_chinese_chars");
}

static void broken_vocabularies_are_refused(void **state)
{
    (void)state;
    refuse("\"red\":5", "\"red\":5.5", "id of token red");
    refuse("\"red\":5", "\"red\":-1", "id of token red");
    refuse("\"red\":5", "\"red\":99", "id of token red");
    refuse("\"red\":5", "\"red\":4", "one id");
    refuse("\"red\":5", "\"red\":6", "no token has the id 5");
    refuse("\"red\":5", "\"\":5", "empty");
    refuse("\"red\":5", "\"re d\":5", "white space");
    refuse("\"red\":5", "\"re\\nd\":5", "white space");
    refuse("\"content\":\"[MASK]\"", "\"content\":\"[BRAND]\"", "\"[BRAND]\"");
    refuse("\"content\":\"[MASK]\"", "\"c\":1", "added token 1");
    refuse("\"vocab\":{", "\"v\":{", "no vocab");
    refuse("{\"added", "[\"added", "not JSON");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_tokens_as_vocab_txt),
        cmocka_unit_test(a_folder_gives_vocab_txt_before_tokenizer_json),
        cmocka_unit_test(other_kinds_of_tokenizers_are_refused_by_name),
        cmocka_unit_test(flags_that_cannot_be_honoured_are_refused),
        cmocka_unit_test(broken_vocabularies_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

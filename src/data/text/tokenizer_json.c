/* tokenizer_json.c - see tokenizer_json.h. The tokens are laid out as the lines of a
 * vocab.txt, which fb_vocab_parse reads. */
#include "data/text/tokenizer_json.h"

#include "base/file.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

enum { CONFIG_LIMIT = 4 << 20, PIECE_CHARACTERS = FB_WORD_CHARACTERS };

typedef struct token_list {
    const char **tokens; /* by id; NULL: none yet. Borrowed from the JSON. */
    size_t count, capacity;
} token_list;

/* Member `key` of an object must be the string `word`. */
static fb_status expect_word(fb_context *ctx, const char *name, const json_t *object,
                             const char *what, const char *key, const char *word)
{
    const char *value = json_string_value(json_object_get(object, key));
    if (!value || strcmp(value, word) != 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: the %s of its %s is %.40s; only %s can be read", name, key,
                       what, value ? value : "(none)", word);
    return FB_OK;
}

/* A flag that, where it is set at all, must be true. */
static fb_status expect_true(fb_context *ctx, const char *name, const json_t *object,
                             const char *key, const char *meaning)
{
    const json_t *flag = json_object_get(object, key);
    if (!flag || json_is_true(flag) || json_is_null(flag))
        return FB_OK;
    return fb_fail(ctx, FB_E_FORMAT,
                   "%s: %s is not true: %s; only uncased BERT's text is supported",
                   name, key, meaning);
}

static fb_status check_pipeline(fb_context *ctx, const char *name, const json_t *root)
{
    const json_t *model = json_object_get(root, "model");
    const json_t *normalizer = json_object_get(root, "normalizer");
    int64_t longest = PIECE_CHARACTERS;
    FB_TRY(expect_word(ctx, name, model, "model", "type", "WordPiece"));
    FB_TRY(expect_word(ctx, name, model, "model", "unk_token", "[UNK]"));
    FB_TRY(expect_word(ctx, name, model, "model", "continuing_subword_prefix", "##"));
    FB_TRY(fb_json_get_int(ctx, name, model, "max_input_chars_per_word",
                           PIECE_CHARACTERS, PIECE_CHARACTERS, &longest));
    FB_TRY(expect_word(ctx, name, normalizer, "normalizer", "type", "BertNormalizer"));
    if (!json_is_true(json_object_get(normalizer, "lowercase")))
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: its normalizer keeps upper case; only uncased BERT's text "
                       "is supported",
                       name);
    FB_TRY(expect_true(ctx, name, normalizer, "strip_accents", "accents stay"));
    FB_TRY(expect_true(ctx, name, normalizer, "clean_text", "control codes stay"));
    FB_TRY(expect_true(ctx, name, normalizer, "handle_chinese_chars",
                       "ideographs are no words of their own"));
    return expect_word(ctx, name, json_object_get(root, "pre_tokenizer"),
                       "pre_tokenizer", "type", "BertPreTokenizer");
}

static fb_status put_token(fb_context *ctx, const char *name, token_list *list,
                           const char *token, const json_t *id)
{
    int64_t place = json_is_integer(id) ? (int64_t)json_integer_value(id) : -1;
    size_t length = strlen(token);
    if (place < 0 || (size_t)place >= list->capacity)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: the id of token %.100s is not from 0 to %zu; ids run "
                       "without gaps",
                       name, token, list->capacity - 1);
    if (length == 0 || strpbrk(token, " \t\r\n"))
        return fb_fail(ctx, FB_E_FORMAT, "%s: token %lld is empty or holds white space",
                       name, (long long)place);
    if (list->tokens[place] && strcmp(list->tokens[place], token) != 0)
        return fb_fail(ctx, FB_E_FORMAT, "%s: tokens %.100s and %.100s have one id",
                       name, list->tokens[place], token);
    list->count += !list->tokens[place];
    list->tokens[place] = token;
    return FB_OK;
}

/* The five, which the program puts in itself and never looks for in a text. */
static bool is_own(const char *token)
{
    static const char *const own[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(token, own[i]) == 0)
            return true;
    return false;
}

static fb_status list_tokens(fb_context *ctx, const char *name, token_list *list,
                             const json_t *vocab, const json_t *added)
{
    const char *token;
    json_t *id, *entry;
    size_t place;
    json_object_foreach((json_t *)(uintptr_t)vocab, token, id)
        FB_TRY(put_token(ctx, name, list, token, id));
    json_array_foreach(added, place, entry)
    {
        token = json_string_value(json_object_get(entry, "content"));
        if (!token)
            return fb_fail(ctx, FB_E_FORMAT, "%s: added token %zu has no content", name,
                           place);
        if (!is_own(token))
            return fb_fail(ctx, FB_E_FORMAT,
                           "%s: added token \"%.64s\" is looked for before a text is "
                           "cut into words, which is not done here; take it out of "
                           "added_tokens",
                           name, token);
        FB_TRY(put_token(ctx, name, list, token, json_object_get(entry, "id")));
    }
    for (place = 0; place < list->count; place++)
        if (!list->tokens[place])
            return fb_fail(ctx, FB_E_FORMAT,
                           "%s: no token has the id %zu; ids run without gaps", name,
                           place);
    return FB_OK;
}

static fb_status parse_as_lines(fb_context *ctx, fb_vocab **vocab, const char *name,
                                const token_list *list)
{
    size_t bytes = 0, at = 0;
    for (size_t i = 0; i < list->count; i++)
        bytes += strlen(list->tokens[i]) + 1;
    char *lines = malloc(bytes + 1);
    if (!lines)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for its tokens", name);
    for (size_t i = 0; i < list->count; i++) {
        size_t length = strlen(list->tokens[i]);
        memcpy(lines + at, list->tokens[i], length);
        lines[at + length] = '\n';
        at += length + 1;
    }
    fb_status status = fb_vocab_parse(ctx, vocab, name, lines, bytes);
    free(lines);
    return status;
}

static fb_status parse_root(fb_context *ctx, fb_vocab **vocab, const char *name,
                            const json_t *root)
{
    FB_TRY(check_pipeline(ctx, name, root));
    const json_t *map = json_object_get(json_object_get(root, "model"), "vocab");
    const json_t *added = json_object_get(root, "added_tokens");
    if (!json_is_object(map) || json_object_size(map) == 0)
        return fb_fail(ctx, FB_E_FORMAT, "%s: its model has no vocab of tokens to ids",
                       name);
    token_list list = {NULL, 0, json_object_size(map) + json_array_size(added)};
    if (list.capacity > FB_VOCAB_TOKENS)
        return fb_fail(ctx, FB_E_LIMIT, "%s: more than %d tokens", name,
                       FB_VOCAB_TOKENS);
    list.tokens = calloc(list.capacity, sizeof *list.tokens);
    if (!list.tokens)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for its tokens", name);
    fb_status status = list_tokens(ctx, name, &list, map, added);
    if (status == FB_OK)
        status = parse_as_lines(ctx, vocab, name, &list);
    free(list.tokens);
    return status;
}

fb_status fb_tokenizer_json_parse(fb_context *ctx, fb_vocab **vocab, const char *name,
                                  const char *text, size_t size_bytes)
{
    json_t *root = NULL;
    FB_TRY(fb_json_parse(ctx, name, text, size_bytes, &root));
    fb_status status = parse_root(ctx, vocab, name, root);
    json_decref(root);
    return status;
}

fb_status fb_tokenizer_config_check(fb_context *ctx, const char *path)
{
    json_t *root = NULL;
    if (!fb_path_exists(path))
        return FB_OK;
    /* where a longest text is not known, transformers writes 1e30 digit by digit */
    FB_TRY(fb_json_read_as_reals(ctx, path, CONFIG_LIMIT, &root));
    fb_status status = expect_true(ctx, path, root, "do_lower_case", "text is cased");
    if (status == FB_OK)
        status = expect_true(ctx, path, root, "strip_accents", "accents stay");
    if (status == FB_OK)
        status = expect_true(ctx, path, root, "tokenize_chinese_chars",
                             "ideographs are no words of their own");
    json_decref(root);
    return status;
}

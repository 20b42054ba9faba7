/* wordpiece.c - see wordpiece.h. One pass over the rest of a word gives the hash of
 * each of its prefixes; the longest is looked up first.
 */
#include "data/text/wordpiece.h"
#include "base/file.h"
#include "base/string_table.h"
#include "data/text/basic_tokenizer.h"
#include "data/text/tokenizer_json.h"
#include <stdlib.h>
#include <string.h>

enum {
    MAX_FILE_BYTES = 64 << 20,
    SPECIALS = 5,
    PIECE_START = 0, /* index of longest_piece */
    PIECE_INSIDE = 1,
};

static const char *const SPECIAL_TOKENS[SPECIALS] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]",
                                                     "[MASK]"};
enum { PAD, UNK, CLS, SEP, MASK };

struct fb_vocab {
    fb_string_table tokens;
    int32_t specials[SPECIALS];
    size_t longest_piece[2]; /* bytes, without "##" */
    uint8_t *word_starts;
};

static bool is_inside(const char *token, size_t length)
{
    return length >= 2 && token[0] == '#' && token[1] == '#';
}

/* One line, without what ends it, as the next id. */
static fb_status add_line(fb_context *ctx, fb_vocab *v, const char *name,
                          const char *line, size_t length)
{
    int32_t id = 0, next = v->tokens.count;
    while (length > 0 && strchr(" \t\r", line[length - 1]) != NULL &&
           line[length - 1] != '\0')
        length--;
    if (length == 0)
        return fb_fail(ctx, FB_E_FORMAT, "%s:%d: an empty line; each line is one token",
                       name, next + 1);
    if (length > FB_VOCAB_TOKEN_BYTES)
        return fb_fail(ctx, FB_E_LIMIT, "%s:%d: a token of %zu bytes; %d are allowed",
                       name, next + 1, length, FB_VOCAB_TOKEN_BYTES);
    if (next >= FB_VOCAB_TOKENS)
        return fb_fail(ctx, FB_E_LIMIT, "%s: more than %d tokens", name,
                       FB_VOCAB_TOKENS);
    if (memchr(line, '\0', length) != NULL || !fb_utf8_is_valid(line, length))
        return fb_fail(ctx, FB_E_FORMAT, "%s:%d: not UTF-8 text", name, next + 1);
    FB_TRY(fb_string_table_add(ctx, &v->tokens, line, length, &id));
    if (id != next)
        return fb_fail(ctx, FB_E_FORMAT, "%s:%d: repeats the token of line %d", name,
                       next + 1, id + 1);
    bool inside = is_inside(line, length);
    size_t piece = inside ? length - 2 : length;
    size_t *longest = &v->longest_piece[inside ? PIECE_INSIDE : PIECE_START];
    if (piece > *longest)
        *longest = piece;
    return FB_OK;
}

static fb_status find_specials(fb_context *ctx, fb_vocab *v, const char *name)
{
    int32_t size = v->tokens.count;
    for (int32_t i = 0; i < SPECIALS; i++) {
        const char *token = SPECIAL_TOKENS[i];
        v->specials[i] = fb_string_table_find(&v->tokens, token, strlen(token));
        if (v->specials[i] < 0)
            return fb_fail(
                ctx, FB_E_FORMAT,
                "%s: no token %s; [PAD], [UNK], [CLS], [SEP] and [MASK] must "
                "be there",
                name, token);
    }
    v->word_starts = malloc((size_t)size);
    if (v->word_starts == NULL)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for %d tokens", name, size);
    for (int32_t id = 0; id < size; id++)
        v->word_starts[id] = !fb_vocab_is_continuation(v, id);
    for (int32_t i = 0; i < SPECIALS; i++)
        v->word_starts[v->specials[i]] = i == UNK;
    return FB_OK;
}

static fb_status parse_lines(fb_context *ctx, fb_vocab *v, const char *name,
                             const char *bytes, size_t size_bytes)
{
    for (size_t at = 0; at < size_bytes;) {
        const char *line = bytes + at;
        const char *end = memchr(line, '\n', size_bytes - at);
        size_t length = end != NULL ? (size_t)(end - line) : size_bytes - at;
        FB_TRY(add_line(ctx, v, name, line, length));
        at += length + 1;
    }
    return find_specials(ctx, v, name);
}

fb_status fb_vocab_parse(fb_context *ctx, fb_vocab **vocab, const char *name,
                         const char *bytes, size_t size_bytes)
{
    fb_vocab *v = calloc(1, sizeof *v);
    if (v == NULL)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory for a vocabulary", name);
    fb_status status = parse_lines(ctx, v, name, bytes, size_bytes);
    if (status != FB_OK) {
        fb_vocab_free(v);
        return status;
    }
    *vocab = v;
    return FB_OK;
}

static fb_status open_file(fb_context *ctx, fb_vocab **vocab, const char *path)
{
    uint8_t *bytes = NULL;
    size_t size_bytes = 0, length = strlen(path);
    FB_TRY(fb_file_read(ctx, path, MAX_FILE_BYTES, &bytes, &size_bytes));
    bool json = length >= 5 && strcmp(path + length - 5, ".json") == 0;
    fb_status status =
        json
            ? fb_tokenizer_json_parse(ctx, vocab, path, (const char *)bytes, size_bytes)
            : fb_vocab_parse(ctx, vocab, path, (const char *)bytes, size_bytes);
    free(bytes);
    return status;
}

fb_status fb_vocab_open(fb_context *ctx, fb_vocab **vocab, const char *path)
{
    char file[4096];
    if (!fb_path_is_folder(path))
        return open_file(ctx, vocab, path);
    FB_TRY(fb_path_join(ctx, file, path, "vocab.txt"));
    if (fb_path_exists(file)) {
        char config[4096];
        FB_TRY(fb_path_join(ctx, config, path, "tokenizer_config.json"));
        FB_TRY(fb_tokenizer_config_check(ctx, config));
        return open_file(ctx, vocab, file);
    }
    FB_TRY(fb_path_join(ctx, file, path, "tokenizer.json"));
    if (fb_path_exists(file))
        return open_file(ctx, vocab, file);
    return fb_fail(ctx, FB_E_MISSING,
                   "%s: neither vocab.txt nor tokenizer.json is there", path);
}

fb_status fb_vocab_save(fb_context *ctx, const fb_vocab *vocab, const char *path)
{
    size_t size_bytes = vocab->tokens.bytes_used;
    char *bytes = malloc(size_bytes);
    if (bytes == NULL)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to write a vocabulary", path);
    for (size_t i = 0; i < size_bytes; i++)
        bytes[i] = vocab->tokens.bytes[i] == '\0' ? '\n' : vocab->tokens.bytes[i];
    fb_status status = fb_file_write(ctx, path, bytes, size_bytes);
    free(bytes);
    return status;
}

void fb_vocab_free(fb_vocab *vocab)
{
    if (vocab == NULL)
        return;
    fb_string_table_clear(&vocab->tokens);
    free(vocab->word_starts);
    free(vocab);
}

int32_t fb_vocab_size(const fb_vocab *vocab)
{
    return vocab->tokens.count;
}

int32_t fb_vocab_id(const fb_vocab *vocab, const char *piece, size_t length_bytes)
{
    return fb_string_table_find(&vocab->tokens, piece, length_bytes);
}

const char *fb_vocab_token(const fb_vocab *vocab, int32_t id)
{
    if (id < 0 || id >= vocab->tokens.count)
        return NULL;
    return fb_string_table_get(&vocab->tokens, id);
}

int32_t fb_vocab_pad(const fb_vocab *vocab)
{
    return vocab->specials[PAD];
}

int32_t fb_vocab_unk(const fb_vocab *vocab)
{
    return vocab->specials[UNK];
}

int32_t fb_vocab_cls(const fb_vocab *vocab)
{
    return vocab->specials[CLS];
}

int32_t fb_vocab_sep(const fb_vocab *vocab)
{
    return vocab->specials[SEP];
}

int32_t fb_vocab_mask(const fb_vocab *vocab)
{
    return vocab->specials[MASK];
}

bool fb_vocab_is_continuation(const fb_vocab *vocab, int32_t id)
{
    const char *token = fb_vocab_token(vocab, id);
    return token != NULL && is_inside(token, fb_string_table_size(&vocab->tokens, id));
}

const uint8_t *fb_vocab_word_starts(const fb_vocab *vocab)
{
    return vocab->word_starts;
}

/* A word as UTF-8 with the prefixes that end where a character ends. */
typedef struct utf8_word {
    char bytes[2 + 4 * FB_WORD_CHARACTERS]; /* room for "##" in front */
    int32_t ends[FB_WORD_CHARACTERS + 1]; /* ends[i]: bytes of the first i characters */
    int32_t characters;
} utf8_word;

/* Id of the longest piece that starts at character `start`, and how many characters it
 * takes; -1 when there is none. Looking up "##" + piece overwrites the two bytes before
 * the piece, which have been read already. */
static int32_t longest_piece(const fb_vocab *v, utf8_word *w, int32_t start,
                             int32_t *characters)
{
    uint64_t hashes[FB_WORD_CHARACTERS + 1];
    uint64_t hash = FB_STRING_SEED;
    int32_t from = w->ends[start];
    char *piece = w->bytes + 2 + from;
    size_t mark = 0, longest = v->longest_piece[start > 0 ? PIECE_INSIDE : PIECE_START];
    if (start > 0) {
        hash = fb_string_step(fb_string_step(hash, '#'), '#');
        mark = 2;
        piece[-1] = piece[-2] = '#';
    }
    int32_t last = start;
    while (last < w->characters && (size_t)(w->ends[last + 1] - from) <= longest) {
        for (int32_t i = w->ends[last]; i < w->ends[last + 1]; i++)
            hash = fb_string_step(hash, (uint8_t)w->bytes[2 + i]);
        hashes[++last] = hash;
    }
    for (; last > start; last--) {
        size_t length = (size_t)(w->ends[last] - from);
        int32_t id = fb_string_table_find_hashed(&v->tokens, piece - mark,
                                                 length + mark, hashes[last]);
        if (id >= 0) {
            *characters = last - start;
            return id;
        }
    }
    return -1;
}

/* Pieces of one word; returns how many, at most one a character. */
static int32_t encode_word(const fb_vocab *v, const uint32_t *codes, size_t length,
                           int32_t pieces[FB_WORD_CHARACTERS])
{
    utf8_word w;
    int32_t count = 0;
    pieces[0] = v->specials[UNK];
    if (length > FB_WORD_CHARACTERS)
        return 1;
    w.characters = (int32_t)length;
    w.ends[0] = 0;
    for (size_t i = 0; i < length; i++)
        w.ends[i + 1] = w.ends[i] + fb_utf8_put(codes[i], w.bytes + 2 + w.ends[i]);
    for (int32_t start = 0; start < w.characters;) {
        int32_t characters = 0;
        int32_t id = longest_piece(v, &w, start, &characters);
        if (id < 0) {
            pieces[0] = v->specials[UNK];
            return 1;
        }
        pieces[count++] = id;
        start += characters;
    }
    return count;
}

fb_status fb_wordpiece_encode(fb_context *ctx, const fb_vocab *vocab, const char *text,
                              size_t bytes, int32_t max_tokens, int32_t *ids,
                              int32_t *count)
{
    if (max_tokens < 0)
        return fb_fail(ctx, FB_E_USAGE, "max_tokens is %d; it must be 0 or more",
                       max_tokens);
    fb_basic_words words;
    const uint32_t *codes = NULL;
    size_t length = 0;
    int32_t pieces[FB_WORD_CHARACTERS];
    int32_t used = 0;
    FB_TRY(fb_basic_words_open(ctx, &words, text, bytes));
    while (used < max_tokens && fb_basic_words_next(&words, &codes, &length)) {
        int32_t n = encode_word(vocab, codes, length, pieces);
        for (int32_t i = 0; i < n && used < max_tokens; i++)
            ids[used++] = pieces[i];
    }
    fb_basic_words_close(&words);
    *count = used;
    return FB_OK;
}

fb_status fb_wordpiece_encode_wrapped(fb_context *ctx, const fb_vocab *vocab,
                                      const char *text, size_t bytes, int32_t max_text,
                                      int32_t *ids, int32_t *count)
{
    if (max_text < 2)
        return fb_fail(ctx, FB_E_USAGE, "max_text is %d; [CLS] and [SEP] alone need 2",
                       max_text);
    int32_t inner = 0;
    FB_TRY(fb_wordpiece_encode(ctx, vocab, text, bytes, max_text - 2, ids + 1, &inner));
    ids[0] = vocab->specials[CLS];
    ids[inner + 1] = vocab->specials[SEP];
    *count = inner + 2;
    return FB_OK;
}

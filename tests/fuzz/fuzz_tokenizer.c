/* fuzz_tokenizer.c - any bytes as a text, as a vocabulary, and as texts to learn from.
 *
 * Input: one byte of choice, then  vocabulary lines | 0 byte | text  where there is
 * one.
 */
#include "data/text/basic_tokenizer.h"
#include "data/text/vocab_learn.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 64 };

static void check_text(const fb_vocab *vocab, const char *text, size_t bytes)
{
    int32_t ids[MOST], count = -1;
    if (fb_wordpiece_encode_wrapped(NULL, vocab, text, bytes, MOST, ids, &count) !=
        FB_OK)
        abort();
    if (count < 2 || count > MOST || ids[0] != fb_vocab_cls(vocab) ||
        ids[count - 1] != fb_vocab_sep(vocab))
        abort();
    for (int32_t i = 0; i < count; i++)
        if (fb_vocab_token(vocab, ids[i]) == NULL)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char specials[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    if (size < 1)
        return 0;
    /* An exact copy with a 0 byte behind it, so that reading past it shows. */
    size_t bytes = size - 1, head = data[0] & 1 ? sizeof specials - 1 : 0;
    char *text = malloc(head + bytes + 1);
    if (text == NULL)
        return 0;
    memcpy(text, specials, head);
    memcpy(text + head, data + 1, bytes);
    text[head + bytes] = '\0';
    fb_vocab *vocab = NULL;
    size_t lines = strlen(text);
    const char *rest = lines < head + bytes ? text + lines + 1 : text + head;
    size_t rest_bytes = (size_t)(text + head + bytes - rest);
    if (fb_vocab_parse(NULL, &vocab, "fuzz", text, lines) == FB_OK) {
        check_text(vocab, rest, rest_bytes);
        fb_vocab_free(vocab);
        vocab = NULL;
    }
    const char *texts[] = {text + head, rest};
    if (fb_vocab_learn(NULL, &vocab, texts, 2, 32 + data[0], 1 + data[0] % 3) ==
        FB_OK) {
        check_text(vocab, rest, rest_bytes);
        fb_vocab_free(vocab);
    }
    free(text);
    return 0;
}

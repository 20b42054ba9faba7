/* fuzz_tokenizer_json.c - any bytes as tokenizer.json. What is accepted can encode; its
 * special tokens are there. */
#include "data/text/tokenizer_json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fb_context ctx = {0};
    fb_vocab *vocab = NULL;
    int32_t ids[16], count = 0;
    if (fb_tokenizer_json_parse(&ctx, &vocab, "fuzz", (const char *)data, size) !=
        FB_OK) {
        if (!ctx.message[0] || vocab)
            abort();
        return 0;
    }
    if (fb_wordpiece_encode_wrapped(&ctx, vocab, (const char *)data, size, 16, ids,
                                    &count) != FB_OK ||
        count < 2 || count > 16 || !fb_vocab_token(vocab, fb_vocab_mask(vocab)))
        abort();
    for (int32_t i = 0; i < count; i++)
        if (!fb_vocab_token(vocab, ids[i]))
            abort();
    fb_vocab_free(vocab);
    return 0;
}

/* tokenizer_json.h - a BERT vocabulary out of Hugging Face's tokenizer.json.
 *
 *     {"normalizer":    {"type": "BertNormalizer", "lowercase": true, ...},
 *      "pre_tokenizer": {"type": "BertPreTokenizer"},
 *      "model":         {"type": "WordPiece", "unk_token": "[UNK]",
 *                        "continuing_subword_prefix": "##",
 *                        "vocab": {"[PAD]": 0, ...}},
 *      "added_tokens":  [{"id": 0, "content": "[PAD]"}, ...]}
 *
 * Taken is only what wordpiece.h computes: another model (BPE, Unigram), cased text,
 * accents that stay, or another way to cut words is refused with what would be right.
 * So are added tokens but for [PAD], [UNK], [CLS], [SEP] and [MASK]: libraries look for
 * them in the text first. Ids must run from 0 without gaps. Truncation, padding and
 * decoder are not read.
 */
#ifndef FB_DATA_TEXT_TOKENIZER_JSON_H
#define FB_DATA_TEXT_TOKENIZER_JSON_H

#include "data/text/wordpiece.h"

/* From memory; `name` is what errors call it. FB_E_FORMAT, FB_E_LIMIT, FB_E_MEMORY: as
 * above and as fb_vocab_parse. */
fb_status fb_tokenizer_json_parse(fb_context *ctx, fb_vocab **vocab, const char *name,
                                  const char *text, size_t size_bytes);

/* Refuse a tokenizer_config.json (what lies beside a vocab.txt) that says the text is
 * cased, keeps its accents or its ideographs unsplit. A missing file says nothing. */
fb_status fb_tokenizer_config_check(fb_context *ctx, const char *path);

#endif

/* verbs.h - the verbs of the command, in the order in which help shows them. */
#ifndef FB_CLI_VERBS_H
#define FB_CLI_VERBS_H

#include "cli/options.h"
#include "fashionbert.h"

#define FB_VERB_MAP(X)                                                                 \
    X(import)                                                                          \
    X(inspect)                                                                         \
    X(train)                                                                           \
    X(evaluate)                                                                        \
    X(compare)                                                                         \
    X(quantize) X(match) X(explain) X(encode) X(index) X(search) X(serve) X(bench)

#define FB_VERB_DECLARE(name) extern const fb_verb fb_verb_##name;
FB_VERB_MAP(FB_VERB_DECLARE)
#undef FB_VERB_DECLARE

#endif

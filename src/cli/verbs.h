/* verbs.h - the verbs of the command, in the order in which help shows them. */
#ifndef FB_CLI_VERBS_H
#define FB_CLI_VERBS_H

#include "cli/options.h"
#include "fashionbert.h"

#define FB_VERB_MAP(X)                                                                 \
    X(import)                                                                          \
    X(inspect)                                                                         \
    X(train)                                                                           \
    X(evaluate) X(match) X(explain) X(encode) X(index) X(search) X(serve) X(bench)

#define FB_VERB_DECLARE(name) extern const fb_verb fb_verb_##name;
FB_VERB_MAP(FB_VERB_DECLARE)
#undef FB_VERB_DECLARE

/* Seeds go into JSON: the largest number up to which every reader keeps integers exact.
 */
#define FB_OPTION_SEED_MAX 9007199254740992.0

/* A number of the public header as help writes it. */
#define FB_QUOTED_(value) #value
#define FB_QUOTED(value)  FB_QUOTED_(value)

/* Rows that more than one verb has. args_: the verb's arguments; the rest: members
 * there. */
#define FB_OPTION_COMPUTE_ROWS(args_, backend_, dtype_, threads_)                      \
    {.name = "backend",                                                                \
     .value = "NAME",                                                                  \
     .type = FB_OPTION_CHOICE,                                                         \
     .choices = "cpu,ref",                                                             \
     .offset = offsetof(args_, backend_),                                              \
     .help = "what computes: cpu is fast, ref is plain loops to check against"},       \
        {.name = "dtype",                                                              \
         .value = "TYPE",                                                              \
         .type = FB_OPTION_CHOICE,                                                     \
         .choices = "auto,bf16,f32",                                                   \
         .offset = offsetof(args_, dtype_),                                            \
         .help = "of matrix products; auto is bf16 where the processor has it"},       \
    {                                                                                  \
        .name = "threads", .value = "N", .type = FB_OPTION_INT32,                      \
        .offset = offsetof(args_, threads_), .high = 1024,                             \
        .help = "that compute; 0 is every core this process may use"                   \
    }

/* How queries are ranked: task_ is an fb_evaluate_options. */
#define FB_OPTION_PROTOCOL_ROWS(args_, task_)                                          \
    {.name = "protocol",                                                               \
     .value = "NAME",                                                                  \
     .type = FB_OPTION_CHOICE,                                                         \
     .choices = "sampled,full",                                                        \
     .offset = offsetof(args_, task_.protocol),                                        \
     .help = "sampled ranks 1 match among drawn others, full among the whole split"},  \
        {.name = "negatives",                                                          \
         .value = "FROM",                                                              \
         .type = FB_OPTION_CHOICE,                                                     \
         .choices = "category,any",                                                    \
         .offset = offsetof(args_, task_.negatives),                                   \
         .help = "sampled: where the others are drawn"},                               \
        {.name = "queries",                                                            \
         .value = "N",                                                                 \
         .type = FB_OPTION_INT32,                                                      \
         .offset = offsetof(args_, task_.queries),                                     \
         .high = INFINITY,                                                             \
         .help = "sampled, or by --index: each way, at most; 0 is all"},               \
        {.name = "negative-count",                                                     \
         .value = "N",                                                                 \
         .type = FB_OPTION_INT32,                                                      \
         .offset = offsetof(args_, task_.negative_count),                              \
         .low = 1,                                                                     \
         .high = 100000,                                                               \
         .help = "sampled: others to a query, at most"},                               \
        {.name = "min-candidates",                                                     \
         .value = "N",                                                                 \
         .type = FB_OPTION_INT32,                                                      \
         .offset = offsetof(args_, task_.min_candidates),                              \
         .low = 1,                                                                     \
         .high = INFINITY,                                                             \
         .help = "sampled: a query with fewer others is left out and counted"},        \
        {.name = "draws",                                                              \
         .value = "N",                                                                 \
         .type = FB_OPTION_INT32,                                                      \
         .offset = offsetof(args_, task_.draws),                                       \
         .low = 1,                                                                     \
         .high = 1000,                                                                 \
         .help = "sampled: candidate lists to draw; numbers are means over them"},     \
        {.name = "seed",                                                               \
         .value = "N",                                                                 \
         .type = FB_OPTION_UINT64,                                                     \
         .offset = offsetof(args_, task_.seed),                                        \
         .high = FB_OPTION_SEED_MAX,                                                   \
         .help = "of the draws"},                                                      \
    {                                                                                  \
        .name = "candidates", .value = "FILE", .type = FB_OPTION_STRING,               \
        .offset = offsetof(args_, task_.candidates),                                   \
        .help = "candidate lists: read if the file exists, else written to it"         \
    }

#define FB_OPTION_FLAG_ROW(args_, name_, member_, help_)                               \
    {                                                                                  \
        .name = name_, .type = FB_OPTION_FLAG, .offset = offsetof(args_, member_),     \
        .help = help_                                                                  \
    }

#endif

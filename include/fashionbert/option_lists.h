/* option_lists.h - how the lists of options, VERB.def beside this file, are read.
 *
 * A list says everything about a verb's options once, in the order of --help:
 *
 *     FB_OPTION(TYPE, member, "name", "VALUE", "default", "help", what else...)
 *     FB_LIST(member, count, "name", "VALUE", "help", what else...)
 *
 * are members of the verb's options struct in fashionbert.h, and FB_COMMAND and
 * FB_COMMAND_LIST, likewise, options that the command alone has. The name is that on
 * the command line (--name), and of fb_..._options_set(); the text behind it is what
 * --help says. Defaults are as one would type them; "auto" leaves the choice to the
 * program.
 *
 * TYPE is STRING, CHOICE, SET (of words, with commas), INT32, INT64, UINT64, DOUBLE or
 * FLAG. "What else" is at least one of
 *
 *     FB_RANGE(least, most)            numbers, both included
 *     FB_ONE_OF("a,b")                 of a CHOICE; FB_SOME_OF of a SET
 *     FB_ONE_OF_EACH(f)                the same told name by name, by a function of the
 *                                      place that ends with NULL; FB_SOME_OF_EACH
 *     FB_AUTO                          "auto" is right too, -1 in a number
 *     FB_REQUIRED, FB_POSITIONAL, FB_REQUIRED_UNLESS("flag")     on the command line
 *     FB_START                         of training: of this start, not remembered
 *     FB_COMMON                        of training: a size, place or speed that the
 *                                      recipe's stages share
 *     FB_PATH                          of training: a file that may move; what is said
 *                                      at a resume wins
 *     FB_ANY                           nothing else
 *
 * An option of training that is neither FB_START nor FB_COMMON is about what or how to
 * learn: it makes the run that one describes in the place of the recipe.
 *
 * Whoever includes a list defines what it wants to see of it, as fashionbert.h does;
 * the list leaves none of these macros behind.
 */
#ifndef FASHIONBERT_OPTION_LISTS
#define FASHIONBERT_OPTION_LISTS

/* A struct's members out of a list. */
#define FB_OPTION_MEMBER(type, member, ...) FB_MEMBER_##type member;
#define FB_LIST_MEMBER(member, count, ...)                                             \
    const char *const *member;                                                         \
    int32_t count;
#define FB_MEMBER_STRING const char *
#define FB_MEMBER_CHOICE const char *
#define FB_MEMBER_SET    const char *
#define FB_MEMBER_INT32  int32_t
#define FB_MEMBER_INT64  int64_t
#define FB_MEMBER_UINT64 uint64_t
#define FB_MEMBER_DOUBLE double
#define FB_MEMBER_FLAG   bool

/* Rows of more than one verb; X is one of the macros above. */
#define FB_COMPUTE_OPTIONS(X)                                                          \
    FB_COMPUTE_ROWS(X, "bf16,f32",                                                     \
                    "of matrix products; auto is bf16 where that is faster")
/* The same of verbs that score and do not train. */
#define FB_SCORING_OPTIONS(X)                                                          \
    FB_COMPUTE_ROWS(X, "bf16,f32,int8",                                                \
                    "of matrix products; auto is int8 for a model that quantize has "  \
                    "made ready for it, else bf16 where that is faster")
/* Of a verb that chooses the type itself. */
#define FB_PLACE_OPTIONS(X)                                                            \
    FB_BACKEND_ROW(X)                                                                  \
    FB_THREADS_ROW(X)
#define FB_COMPUTE_ROWS(X, types, help)                                                \
    FB_BACKEND_ROW(X)                                                                  \
    X(CHOICE, dtype, "dtype", "TYPE", "auto", help, FB_ONE_OF(types), FB_AUTO,         \
      FB_COMMON)                                                                       \
    FB_THREADS_ROW(X)
#define FB_BACKEND_ROW(X)                                                              \
    X(CHOICE, backend, "backend", "NAME", "cpu",                                       \
      "what computes: cpu is fast, ref is plain loops to check against",               \
      FB_ONE_OF_EACH(fb_backend_name), FB_COMMON)
#define FB_THREADS_ROW(X)                                                              \
    X(INT32, threads, "threads", "N", "0",                                             \
      "that compute; 0 is every core that affinity and CPU quota leave",               \
      FB_RANGE(0, 1024), FB_START)

/* How queries are ranked. */
#define FB_PROTOCOL_OPTIONS(X)                                                         \
    X(CHOICE, protocol, "protocol", "NAME", "sampled",                                 \
      "sampled ranks 1 match among drawn others, full among the whole split",          \
      FB_ONE_OF("sampled,full"))                                                       \
    X(CHOICE, negatives, "negatives", "FROM", "category",                              \
      "sampled: where the others are drawn", FB_ONE_OF("category,any"))                \
    X(INT32, queries, "queries", "N", "0",                                             \
      "sampled, or by --index: each way, at most; 0 is all", FB_RANGE(0, INFINITY))    \
    X(INT32, negative_count, "negative-count", "N", "100",                             \
      "sampled: others to a query, at most", FB_RANGE(1, 100000))                      \
    X(INT32, min_candidates, "min-candidates", "N", "9",                               \
      "sampled: a query with fewer others is left out and counted",                    \
      FB_RANGE(1, INFINITY))                                                           \
    X(INT32, draws, "draws", "N", "1",                                                 \
      "sampled: candidate lists to draw; numbers are means over them",                 \
      FB_RANGE(1, 1000))                                                               \
    X(UINT64, seed, "seed", "N", "1", "of the draws", FB_RANGE(0, FB_SEED_MOST))       \
    X(STRING, candidates, "candidates", "FILE", "",                                    \
      "candidate lists: read if the file exists, else written to it", FB_ANY)

/* Loading an index into databases. */
#define FB_STORE_OPTIONS(X)                                                            \
    X(STRING, store, "to", "URI", "",                                                  \
      "then load the index into PostgreSQL with pgvector: postgresql://host/db, "      \
      "and others behind blanks to hold a part each; without --catalog the index "     \
      "as it is; none for none",                                                       \
      FB_ANY)                                                                          \
    X(CHOICE, vector_type, "vector-type", "TYPE", "vector",                            \
      "of the database's vectors: halfvec (f16) takes half the bytes",                 \
      FB_ONE_OF("vector,halfvec"))                                                     \
    X(INT32, links, "links", "N", "16",                                                \
      "of each vector in the database's graph (pgvector's m)", FB_RANGE(2, 100))       \
    X(INT32, build_effort, "build-effort", "N", "64",                                  \
      "with which that is built (ef_construction); at least twice the links",          \
      FB_RANGE(4, 1000))                                                               \
    X(INT32, effort, "search-effort", "N", "100",                                      \
      "of searches there, unless told (ef_search)", FB_RANGE(1, 1000))

/* Features of regions, beside what every import has. */
#define FB_REGION_OPTIONS(X)                                                           \
    X(STRING, catalog, "catalog", "DIR", "",                                           \
      "of regions: the catalogue whose images they are of", FB_ANY)                    \
    X(STRING, ids, "ids", "FILE", "",                                                  \
      "of regions in arrays: the images' names, one a line; none: they are in "        \
      "the catalogue's order",                                                         \
      FB_ANY)

/* Regions without a detector. */
#define FB_PROPOSAL_OPTIONS(X)                                                         \
    X(CHOICE, proposals, "proposals", "HOW", "single",                                 \
      "of proposals: selective search in one pass; fast is twelve, and nine times as " \
      "long",                                                                          \
      FB_ONE_OF("single,fast"))                                                        \
    X(INT32, regions_most, "regions-most", "N", "36",                                  \
      "of proposals: regions of an image, at most; the whole image is the first",      \
      FB_RANGE(1, 1000))
#define FB_NETWORK_OPTIONS(X)                                                          \
    X(STRING, model, "model", "DIR", "",                                               \
      "of proposals: model folder whose image network makes their features", FB_ANY)   \
    X(CHOICE, backend, "backend", "NAME", "cpu",                                       \
      "of proposals: what computes them, cpu is fast, ref is plain loops to check "    \
      "against",                                                                       \
      FB_ONE_OF_EACH(fb_backend_name))                                                 \
    X(CHOICE, dtype, "dtype", "TYPE", "auto",                                          \
      "of proposals: of matrix products; auto is bf16 where that is faster",           \
      FB_ONE_OF("bf16,f32"), FB_AUTO)

#endif

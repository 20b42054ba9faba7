/* option_list_begin.h - how the lists of options, VERB.def beside this file, are read.
 *
 * A list says everything about a verb's options once, in the order of --help:
 *
 *     FB_OPTION(TYPE, member, "name", "VALUE", "default", "help", what else...)
 *     FB_LIST(member, count, "name", "VALUE", "help", what else...)
 *
 * are members of the verb's options struct in fashionbert.h, and FB_COMMAND and
 * FB_COMMAND_LIST, likewise, options that the command alone has. The name is that on the
 * command line (--name), and of fb_..._options_set(); the text behind it is what --help
 * says. Defaults are as one would type them; "auto" leaves the choice to the program.
 *
 *     TYPE     STRING CHOICE SET (of words, with commas) INT32 INT64 UINT64 DOUBLE FLAG
 *     what     FB_RANGE(least, most)  FB_ONE_OF("a,b")  FB_SOME_OF("a,b")
 *     else     FB_ONE_OF_NAMES(f) and FB_SOME_OF_NAMES(f), the same told by a function
 *              FB_AUTO: "auto" is right too, -1 in a number
 *              FB_REQUIRED  FB_REQUIRED_UNLESS("flag")  FB_POSITIONAL: on the command
 *              line; FB_ANY: nothing else
 *     of       FB_START: of this start, a run does not remember it
 *     training FB_COMMON: of sizes, places and speed; the stages of a recipe share it
 *              neither: about what or how to learn; it makes the run that one describes
 *              in the place of the recipe
 *              FB_PATH: a file that may move; what is said at a resume wins
 *
 * Whoever includes a list defines what it wants to see of it, as fashionbert.h does; the
 * list leaves none of these macros behind.
 */
#ifndef FB_OPTION
#define FB_OPTION(...)
#endif
#ifndef FB_LIST
#define FB_LIST(...)
#endif
#ifndef FB_COMMAND
#define FB_COMMAND(...)
#endif
#ifndef FB_COMMAND_LIST
#define FB_COMMAND_LIST(...)
#endif

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
    X(CHOICE, backend, "backend", "NAME", "cpu",                                       \
      "what computes: cpu is fast, ref is plain loops to check against",               \
      FB_ONE_OF("cpu,ref"), FB_COMMON)                                                 \
    X(CHOICE, dtype, "dtype", "TYPE", "auto",                                          \
      "of matrix products; auto is bf16 where the processor has it",                   \
      FB_ONE_OF("bf16,f32"), FB_AUTO, FB_COMMON)                                       \
    X(INT32, threads, "threads", "N", "0",                                             \
      "that compute; 0 is every core this process may use", FB_RANGE(0, 1024),         \
      FB_START)

#endif

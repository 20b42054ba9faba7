/* option.h - one row says everything about an option of a verb.
 *
 *     row -> member of the options struct, default, parsing, range check, --help,
 *            environment variable, man page, what a training run remembers
 *
 * A verb's rows stand in include/fashionbert/VERB.def and nowhere else
 * (option_lists.h there says how to read them). Who wants the table of a struct
 * includes that list with FB_OPTION made a row:
 *
 *     #define FB_OPTION FB_OPTION_ROW
 *     #define FB_OPTION_AT(member) offsetof(fb_train_options, member)
 *     static const fb_option rows[] = {
 *     #include "fashionbert/train.def"
 *     };
 *
 * and fashionbert.h makes the struct itself of it. `values` below is a pointer to such a
 * struct. Texts stored there are borrowed.
 */
#ifndef FB_BASE_OPTION_H
#define FB_BASE_OPTION_H

#include "base/status.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum fb_option_type {
    FB_OPTION_STRING, /* const char * */
    FB_OPTION_CHOICE, /* const char *, one of `choices` */
    FB_OPTION_SET,    /* const char *, some of `choices`, separated by commas */
    FB_OPTION_INT32,
    FB_OPTION_INT64,
    FB_OPTION_UINT64,
    FB_OPTION_DOUBLE,
    FB_OPTION_FLAG, /* bool */
    FB_OPTION_LIST  /* const char *const *, and an int32_t count at count_offset */
} fb_option_type;

typedef struct fb_option {
    const char *name;     /* "checkpoint-every" */
    const char *value;    /* what --help calls the value, "STEPS"; NULL for a flag */
    const char *help;     /* what it is, with its unit; no full stop */
    const char *key;      /* its member in the struct, "checkpoint_every" */
    const char *standard; /* the default as one would write it; NULL: cleared */
    fb_option_type type;
    size_t offset, count_offset;
    double low, high;    /* of numbers, both included; INFINITY: the type's limit */
    const char *choices; /* "pad,squash" */
    const char *(*name_at)(int32_t place); /* or name by name, NULL behind the last */
    bool automatic;     /* "auto" leaves it to the program: -1 in a number, and a word
                           beside `choices` */
    bool required;      /* on the command line */
    const char *unless; /* not required with this flag, or NAME=VALUE; or NULL */
    bool positional;    /* the list that loose words go to; at most one in a table */
    /* Of training. Neither of the first two: an option about what or how to learn, which
     * makes a run of one's own in the place of the recipe. */
    bool common; /* every stage of a recipe takes it over */
    bool start;  /* of one start, not of the run: a resumed one does not remember it */
    bool path;   /* a file that may move: what a resuming caller names wins */
} fb_option;

typedef struct fb_option_table {
    const fb_option *rows;
    int32_t count;
} fb_option_table;

#define FB_OPTION_TABLE(rows_)                                                         \
    {                                                                                  \
        rows_, sizeof(rows_) / sizeof(rows_)[0]                                        \
    }

/* A value by the option's name, in lists of defaults: {"lr", "1e-3"}. */
typedef struct fb_option_value {
    const char *name, *value;
} fb_option_value;

enum { FB_OPTION_NAME_BYTES = 64, FB_OPTION_TEXT_BYTES = 256 };

/* Rows of a list, where FB_OPTION_AT(member) and FB_COMMAND_AT(member) are offsets. */
#define FB_OPTION_ROW(type_, member_, ...)                                             \
    FB_ROW_(type_, member_, FB_OPTION_AT(member_), __VA_ARGS__)
#define FB_COMMAND_ROW(type_, member_, ...)                                            \
    FB_ROW_(type_, member_, FB_COMMAND_AT(member_), __VA_ARGS__)
#define FB_LIST_ROW(member_, count_, ...)                                              \
    FB_LIST_ROW_(member_, FB_OPTION_AT(member_), FB_OPTION_AT(count_), __VA_ARGS__)
#define FB_COMMAND_LIST_ROW(member_, count_, ...)                                      \
    FB_LIST_ROW_(member_, FB_COMMAND_AT(member_), FB_COMMAND_AT(count_), __VA_ARGS__)
#define FB_ROW_(type_, member_, at_, name_, value_, standard_, help_, ...)             \
    {.key = #member_,                                                                  \
     .type = FB_OPTION_##type_,                                                        \
     .offset = at_,                                                                    \
     .name = name_,                                                                    \
     .value = value_,                                                                  \
     .standard = standard_,                                                            \
     .help = help_,                                                                    \
     __VA_ARGS__},
#define FB_LIST_ROW_(member_, at_, count_at_, name_, value_, help_, ...)               \
    {.key = #member_,                                                                  \
     .type = FB_OPTION_LIST,                                                           \
     .offset = at_,                                                                    \
     .count_offset = count_at_,                                                        \
     .name = name_,                                                                    \
     .value = value_,                                                                  \
     .help = help_,                                                                    \
     __VA_ARGS__},
/* What a row may say behind its help. */
#define FB_ANY                    .high = 0
#define FB_RANGE(low_, high_)     .low = low_, .high = high_
#define FB_ONE_OF(choices_)       .choices = choices_
#define FB_SOME_OF(choices_)      .choices = choices_
#define FB_ONE_OF_EACH(name_at_)  .name_at = name_at_
#define FB_SOME_OF_EACH(name_at_) .name_at = name_at_
#define FB_AUTO                   .automatic = true
#define FB_REQUIRED               .required = true
#define FB_REQUIRED_UNLESS(flag)  .required = true, .unless = flag
#define FB_POSITIONAL             .positional = true
#define FB_COMMON                 .common = true
#define FB_START                  .start = true
#define FB_PATH                   .path = true
/* Seeds go into JSON: the largest number up to which every reader keeps integers exact.
 */
#define FB_SEED_MOST 9007199254740992.0
/* A number of the public header as help writes it. */
#define FB_QUOTED_(value) #value
#define FB_QUOTED(value)  FB_QUOTED_(value)

/* The row of that name, "text-weight"; NULL: none. */
const fb_option *fb_option_find(const fb_option_table *table, const char *name);

/* Every default; rows without one, and members without a row, stay. */
void fb_options_defaults(const fb_option_table *table, void *values);

/* Store what the text says. False, and nothing stored: it is not right. "" is right for
 * a set: none of it. Lists are not set by text. */
bool fb_option_store(const fb_option *option, void *values, const char *text);
/* The same by name. FB_E_USAGE: no such option, or not a right value. */
fb_status fb_option_set(fb_context *ctx, const fb_option_table *table, void *values,
                        const char *name, const char *text);
/* The same for those of `given` that are left to the program (fb_option_is_automatic);
 * the others stay. */
fb_status fb_options_fill(fb_context *ctx, const fb_option_table *table, void *values,
                          const fb_option_value *given, int32_t count);

/* FB_E_USAGE: a value that its row does not allow, such as a caller of the library may
 * have put there; the sentence says what it has to be. */
fb_status fb_options_check(fb_context *ctx, const fb_option_table *table,
                           const void *values);

/* Left to the program: a number below 0, or the word auto. */
bool fb_option_is_automatic(const fb_option *option, const void *values);
/* As the default is. Of a list: empty. */
bool fb_option_is_default(const fb_option *option, const void *values);
void fb_option_copy(const fb_option *option, void *to, const void *from);

/* What values are right: "a whole number from 1 to 512", "one of cpu, ref". */
void fb_option_range(const fb_option *option, char out[FB_OPTION_TEXT_BYTES]);
/* The value as one would write it; "" for none, and for a list. */
void fb_option_format(const fb_option *option, const void *values,
                      char out[FB_OPTION_TEXT_BYTES]);

#endif

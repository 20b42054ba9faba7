/* options.h - one table per verb says everything about its options.
 *
 *     table row -> parsing, range check, storage (offset into the verb's arguments),
 *                  --help, environment variable, man page
 *     defaults  -> what verb->defaults() wrote into the arguments, nowhere else
 *
 * A value comes from, last wins: the defaults, FASHIONBERT_<OPTION> in the environment
 * (upper case, dashes as underscores; empty counts as unset; a list has one value a
 * line), the command line.
 *
 * Words:  --name value   --name=value   --flag   --flag=false   --list a b c   --list=a
 * A list takes every word up to the next that starts with "--", and may be repeated.
 * `--` ends the options; words behind it, and loose words, go to the table's positional
 * list.
 */
#ifndef FB_CLI_OPTIONS_H
#define FB_CLI_OPTIONS_H

#include "base/arena.h"
#include "base/status.h"
#include <math.h>
#include <stdio.h>

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
    const char *name;  /* "checkpoint-every" */
    const char *value; /* what --help calls the value, "STEPS"; NULL for a flag */
    const char *help;  /* what it is, with its unit; no full stop */
    fb_option_type type;
    size_t offset, count_offset;
    double low, high;    /* of numbers, both included; INFINITY: the type's limit */
    const char *choices; /* "pad,squash" */
    bool required;
    const char *unless; /* the flag with which it is not required, or NULL */
    bool positional;    /* the list that loose words go to; at most one in a table */
    bool automatic; /* of numbers: -1, written "auto", leaves the choice to the program
                     */
} fb_option;

enum { FB_OPTION_NAME_BYTES = 64 };

typedef struct fb_verb {
    const char *name, *summary; /* "train", "train a model from a catalogue" */
    const char *about;          /* a paragraph or two; lines are wrapped when printed */
    const char *example;        /* a command line */
    const fb_option *options;
    int32_t option_count;
    size_t arguments_bytes;            /* what offsets point into */
    void (*defaults)(void *arguments); /* arguments come cleared */
    fb_status (*run)(fb_context *ctx,
                     void *arguments); /* prints the result to stdout */
} fb_verb;

/* Arguments with the verb's defaults, in the arena; NULL when memory is out. */
void *fb_verb_arguments(const fb_verb *verb, fb_arena *arena);

/* Read environment and words (those behind the verb) into arguments. *help is set, and
 * the rest left alone, when --help is among the words. Strings are borrowed from words
 * and environment; arrays lie in the arena. FB_E_USAGE   unknown option, value missing,
 * not a number, out of range, required option absent: the sentence names the word and
 * what would be right FB_E_MEMORY  arguments are undefined after either */
fb_status fb_options_parse(fb_context *ctx, const fb_verb *verb, void *arguments,
                           fb_arena *arena, int word_count, char *const *words,
                           bool *help);

/* "FASHIONBERT_CHECKPOINT_EVERY" */
void fb_option_environment(const fb_option *option,
                           char out[FB_OPTION_NAME_BYTES + 16]);

/* What values are right: "a whole number from 1 to 512", "one of cpu, ref". */
void fb_option_range(const fb_option *option, char out[160]);

/* The value that arguments hold, as one would write it; "" for none. */
void fb_option_format(const fb_option *option, const void *arguments, char out[160]);

/* The name of `names` (count of them, `stride` bytes apart, each a const char *)
 * nearest to word by edit distance, or NULL when none is near enough to be meant. */
const char *fb_nearest_name(const char *word, const void *names, int32_t count,
                            size_t stride);

#endif

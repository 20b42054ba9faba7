/* options.h - the words of the command line, read by a verb's table of options
 * (base/option.h).
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
#include "base/option.h"
#include <stdio.h>

typedef struct fb_verb {
    const char *name, *summary; /* "train", "train a model from a catalogue" */
    const char *about;          /* a paragraph or two; lines are wrapped when printed */
    const char *example;        /* a command line */
    const fb_option *options;
    int32_t option_count;
    size_t arguments_bytes;            /* what offsets point into */
    void (*defaults)(void *arguments); /* what no row says; NULL: nothing */
    fb_status (*run)(fb_context *ctx,
                     void *arguments); /* prints the result to stdout */
} fb_verb;

/* Arguments with the verb's defaults, in the arena; NULL when memory is out. */
void *fb_verb_arguments(const fb_verb *verb, fb_arena *arena);

/* Read environment and words (those behind the verb) into arguments. *help is set, and
 * the rest left alone, when --help is among the words. Strings are borrowed from words
 * and environment; arrays lie in the arena.
 * FB_E_USAGE   unknown option, value missing, not a number, out of range, required
 *              option absent: the sentence names the word and what would be right
 * FB_E_MEMORY  arguments are undefined after either */
fb_status fb_options_parse(fb_context *ctx, const fb_verb *verb, void *arguments,
                           fb_arena *arena, int word_count, char *const *words,
                           bool *help);

/* "FASHIONBERT_CHECKPOINT_EVERY" */
void fb_option_environment(const fb_option *option,
                           char out[FB_OPTION_NAME_BYTES + 16]);

#endif

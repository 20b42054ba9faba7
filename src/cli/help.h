/* help.h - what the option tables say, printed: usage, --help and the man page. */
#ifndef FB_CLI_HELP_H
#define FB_CLI_HELP_H

#include "cli/options.h"

/* The verbs in a few lines. */
void fb_help_usage(FILE *out, const fb_verb *const *verbs, int32_t verb_count);

/* Everything about one verb; `arguments` hold its defaults. */
void fb_help_verb(FILE *out, const fb_verb *verb, const void *arguments);

/* The man page of all verbs, in roff; arguments[i] hold the defaults of verbs[i]. */
void fb_help_man(FILE *out, const fb_verb *const *verbs, void *const *arguments,
                 int32_t verb_count);

#endif

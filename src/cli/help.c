/* help.c - usage, --help and the man page, all from the option tables.
 *
 * --help, 80 columns:
 *       --lr NUMBER           learning rate at its peak (0 or more; default 0.0001)
 */
#include "cli/help.h"
#include <string.h>

enum { WIDTH = 80, HELP_COLUMN = 28, BRACKETS = 640 };

/* Print text, wrapped at words, from `column` on; following lines start at `indent`. */
static void print_wrapped(FILE *out, const char *text, int column, int indent)
{
    bool first = true;
    while (*text) {
        size_t n = strcspn(text, " \n");
        if (!first && column + 1 + (int)n > WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
            first = true;
        }
        fprintf(out, "%s%.*s", first ? "" : " ", (int)n, text);
        column += (int)n + !first;
        first = false;
        text += n;
        if (*text == '\n') {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
            first = true;
        }
        text += *text != 0;
    }
    fputc('\n', out);
}

/* What stands in brackets behind an option's help: what is right, and the default. */
static void describe(const fb_option *option, const void *arguments, char *out,
                     size_t size)
{
    char range[FB_OPTION_TEXT_BYTES] = "", text[FB_OPTION_TEXT_BYTES],
         standard[FB_OPTION_TEXT_BYTES + 32];
    bool is_choice = option->type == FB_OPTION_CHOICE || option->type == FB_OPTION_SET;
    bool is_number =
        option->type == FB_OPTION_INT32 || option->type == FB_OPTION_INT64 ||
        option->type == FB_OPTION_UINT64 || option->type == FB_OPTION_DOUBLE;
    if (is_choice)
        fb_option_range(option, range);
    else if (is_number && isfinite(option->high))
        snprintf(range, sizeof range, "%g to %.16g", option->low, option->high);
    else if (is_number)
        snprintf(range, sizeof range, "%g or more", option->low);
    fb_option_format(option, arguments, text);
    if (option->required)
        snprintf(standard, sizeof standard, "required%s%s",
                 option->unless ? " unless --" : "",
                 option->unless ? option->unless : "");
    else
        snprintf(standard, sizeof standard, "default %s", *text ? text : "none");
    snprintf(out, size, "(%s%s%s)", range, *range ? "; " : "", standard);
}

void fb_help_usage(FILE *out, const fb_verb *const *verbs, int32_t verb_count)
{
    fprintf(out, "fashionbert - match product texts and product images\n\n"
                 "usage: fashionbert VERB [options]\n\n");
    for (int32_t i = 0; i < verb_count; i++)
        fprintf(out, "  %-10s%s\n", verbs[i]->name, verbs[i]->summary);
    fprintf(out,
            "\n`fashionbert VERB --help` shows a verb's options and an example, "
            "`fashionbert help\n--man` prints the man page, `fashionbert --version` "
            "the version.\n");
}

static void print_synopsis(FILE *out, const fb_verb *verb)
{
    fprintf(out, "fashionbert %s", verb->name);
    for (int32_t i = 0; i < verb->option_count; i++) {
        const fb_option *o = &verb->options[i];
        const char *more = o->type == FB_OPTION_LIST ? "..." : "";
        if (o->required && o->positional)
            fprintf(out, " %s%s", o->value, more);
        else if (o->required)
            fprintf(out, " --%s %s%s", o->name, o->value, more);
    }
    fprintf(out, " [options]");
}

void fb_help_verb(FILE *out, const fb_verb *verb, const void *arguments)
{
    char text[1024], brackets[BRACKETS];
    fprintf(out, "fashionbert %s - %s\n\nusage: ", verb->name, verb->summary);
    print_synopsis(out, verb);
    fprintf(out, "\n\n");
    print_wrapped(out, verb->about, 0, 0);
    fputc('\n', out);
    for (int32_t i = 0; i < verb->option_count; i++) {
        const fb_option *o = &verb->options[i];
        int column =
            fprintf(out, "  --%s%s%s%s", o->name, o->value ? " " : "",
                    o->value ? o->value : "", o->type == FB_OPTION_LIST ? "..." : "");
        if (column > HELP_COLUMN - 2) {
            fputc('\n', out);
            column = 0;
        }
        fprintf(out, "%*s", HELP_COLUMN - column, "");
        describe(o, arguments, brackets, sizeof brackets);
        snprintf(text, sizeof text, "%s %s", o->help, brackets);
        print_wrapped(out, text, HELP_COLUMN, HELP_COLUMN);
    }
    fprintf(out,
            "\nEach option is also read from the environment, as "
            "FASHIONBERT_<OPTION> with\ndashes as underscores; the command line wins."
            "\n\nexample:\n  %s\n",
            verb->example);
}

/* Text of the man page: roff's own characters made plain. */
static void print_roff(FILE *out, const char *text)
{
    bool starts_line = true;
    for (; *text; text++) {
        if (starts_line && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        starts_line = *text == '\n';
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
    }
}

static void print_roff_option(FILE *out, const fb_option *option, const void *arguments)
{
    char name[FB_OPTION_NAME_BYTES + 16], brackets[BRACKETS];
    fprintf(out, ".TP\n\\fB\\-\\-");
    print_roff(out, option->name);
    fprintf(out, "\\fR");
    if (option->value)
        fprintf(out, " \\fI%s\\fR%s", option->value,
                option->type == FB_OPTION_LIST ? "..." : "");
    fputc('\n', out);
    print_roff(out, option->help);
    fputc(' ', out);
    describe(option, arguments, brackets, sizeof brackets);
    print_roff(out, brackets);
    fb_option_environment(option, name);
    fprintf(out, ".\nEnvironment: %s.\n", name);
}

void fb_help_man(FILE *out, const fb_verb *const *verbs, void *const *arguments,
                 int32_t verb_count)
{
    fprintf(out,
            ".TH FASHIONBERT 1 \"\" \"fashionbert %s\" \"User commands\"\n.SH NAME\n"
            "fashionbert \\- match product texts and product images\n.SH SYNOPSIS\n",
            FB_VERSION);
    for (int32_t i = 0; i < verb_count; i++)
        fprintf(out, "%s.B fashionbert %s\n[options]\n", i ? ".br\n" : "",
                verbs[i]->name);
    fprintf(out,
            ".SH DESCRIPTION\nTrains, evaluates and serves text\\-image matching for "
            "product catalogues.\nResults go to standard output, talk to standard "
            "error.\n");
    for (int32_t i = 0; i < verb_count; i++) {
        fprintf(out, ".SH \"FASHIONBERT %s\"\n", verbs[i]->name);
        print_roff(out, verbs[i]->about);
        fputc('\n', out);
        for (int32_t j = 0; j < verbs[i]->option_count; j++)
            print_roff_option(out, &verbs[i]->options[j], arguments[i]);
        fprintf(out, ".PP\nExample:\n.PP\n.RS\n.nf\n");
        print_roff(out, verbs[i]->example);
        fprintf(out, "\n.fi\n.RE\n");
    }
    fprintf(out,
            ".SH ENVIRONMENT\nEach option is read from FASHIONBERT_<OPTION>, upper "
            "case with dashes as underscores.\nAn empty variable counts as unset; the "
            "command line wins.\n.SH EXIT STATUS\n0 done, 1 failed, 2 misused. One "
            "sentence on standard error says why.\n");
}

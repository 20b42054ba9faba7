/* options.c - parsing by table: defaults, then the environment, then the command line.
 */
#include "cli/options.h"

#include "base/nearest.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct parser {
    fb_context *ctx;
    const fb_verb *verb;
    char *arguments;
    fb_arena *arena;
    int word_count, at; /* `at` is the next word */
    char *const *words;
    bool *set;   /* [option_count] by anything but the defaults */
    bool *typed; /* [option_count] on the command line */
} parser;

void *fb_verb_arguments(const fb_verb *verb, fb_arena *arena)
{
    void *arguments = fb_arena_alloc_zero(arena, verb->arguments_bytes);
    fb_option_table table = {verb->options, verb->option_count};
    if (!arguments)
        return NULL;
    fb_options_defaults(&table, arguments);
    if (verb->defaults)
        verb->defaults(arguments);
    return arguments;
}

void fb_option_environment(const fb_option *option, char out[FB_OPTION_NAME_BYTES + 16])
{
    int prefix =
        snprintf(out, FB_OPTION_NAME_BYTES + 16, "FASHIONBERT_%s", option->name);
    for (int i = 0; i < prefix && out[i]; i++)
        out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

static fb_status store_or_fail(parser *p, int32_t index, const char *where,
                               const char *text)
{
    char range[FB_OPTION_TEXT_BYTES];
    const fb_option *option = &p->verb->options[index];
    bool nothing = option->type == FB_OPTION_SET && !text[0];
    if (option->type == FB_OPTION_STRING && !text[0]) /* of an unset variable */
        return fb_fail(p->ctx, FB_E_USAGE, "%s: \"\" is no value; leave it out", where);
    if (nothing || !fb_option_store(option, p->arguments, text)) {
        fb_option_range(option, range);
        return fb_fail(p->ctx, FB_E_USAGE, "%s: \"%s\" is not %s", where, text, range);
    }
    p->set[index] = true;
    return FB_OK;
}

/* Add a word to a list. The first word typed takes the place of the environment's. */
static fb_status append(parser *p, int32_t index, const char *text)
{
    const fb_option *option = &p->verb->options[index];
    const char **items, **fresh;
    int32_t *count = (int32_t *)(void *)(p->arguments + option->count_offset);
    void *list = p->arguments + option->offset;
    if (!p->typed[index]) {
        fresh = fb_arena_alloc(p->arena, (size_t)p->word_count * sizeof *fresh);
        if (!fresh)
            return fb_fail(p->ctx, FB_E_MEMORY, "out of memory for the command line");
        memcpy(list, &fresh, sizeof fresh);
        *count = 0;
        p->typed[index] = p->set[index] = true;
    }
    memcpy(&items, list, sizeof items);
    items[(*count)++] = text;
    return FB_OK;
}

/* A list out of the environment: one value a line. */
static fb_status split_lines(parser *p, int32_t index, const char *text)
{
    const fb_option *option = &p->verb->options[index];
    char *copy = fb_arena_strdup(p->arena, text);
    size_t capacity = 1;
    for (const char *c = text; *c; c++)
        capacity += *c == '\n';
    const char **items = fb_arena_alloc(p->arena, capacity * sizeof *items);
    if (!copy || !items)
        return fb_fail(p->ctx, FB_E_MEMORY, "out of memory for the environment");
    int32_t count = 0;
    char *rest = NULL;
    for (char *line = strtok_r(copy, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest))
        items[count++] = line;
    memcpy(p->arguments + option->offset, &items, sizeof items);
    memcpy(p->arguments + option->count_offset, &count, sizeof count);
    p->set[index] = count > 0;
    return FB_OK;
}

static fb_status read_environment(parser *p)
{
    char name[FB_OPTION_NAME_BYTES + 16];
    for (int32_t i = 0; i < p->verb->option_count; i++) {
        fb_option_environment(&p->verb->options[i], name);
        const char *text = getenv(name);
        if (!text || !*text)
            continue;
        if (p->verb->options[i].type == FB_OPTION_LIST)
            FB_TRY(split_lines(p, i, text));
        else
            FB_TRY(store_or_fail(p, i, name, text));
    }
    return FB_OK;
}

static fb_status fail_unknown(parser *p, const char *name, size_t length)
{
    char word[FB_OPTION_NAME_BYTES];
    snprintf(word, sizeof word, "%.*s", (int)(length < 63 ? length : 63), name);
    const fb_verb *verb = p->verb;
    const char *nearest = fb_nearest_name(word, &verb->options[0].name,
                                          verb->option_count, sizeof verb->options[0]);
    if (nearest)
        return fb_fail(p->ctx, FB_E_USAGE,
                       "unknown option --%s of %s; did you mean --%s?", word,
                       verb->name, nearest);
    return fb_fail(
        p->ctx, FB_E_USAGE,
        "unknown option --%s of %s; `fashionbert %s --help` lists the right ones", word,
        verb->name, verb->name);
}

static bool starts_option(const char *word)
{
    return strncmp(word, "--", 2) == 0;
}

/* The word `--name`, `--name=value`, and the words that are its values. */
static fb_status read_option(parser *p, const char *word)
{
    char where[FB_OPTION_NAME_BYTES + 4];
    const char *name = word + 2, *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    int32_t i = 0;
    while (i < p->verb->option_count &&
           (strlen(p->verb->options[i].name) != length ||
            strncmp(p->verb->options[i].name, name, length) != 0))
        i++;
    if (i == p->verb->option_count)
        return fail_unknown(p, name, length);
    const fb_option *option = &p->verb->options[i];
    snprintf(where, sizeof where, "--%s", option->name);
    if (option->type == FB_OPTION_FLAG)
        return store_or_fail(p, i, where, equals ? equals + 1 : "true");
    bool is_list = option->type == FB_OPTION_LIST;
    if (equals)
        return is_list ? append(p, i, equals + 1)
                       : store_or_fail(p, i, where, equals + 1);
    if (p->at == p->word_count)
        return fb_fail(p->ctx, FB_E_USAGE, "%s needs a value: %s %s", where, where,
                       option->value);
    if (starts_option(p->words[p->at]))
        return fb_fail(p->ctx, FB_E_USAGE,
                       "%s needs a value before %s (one that starts with two dashes is "
                       "written %s=VALUE)",
                       where, p->words[p->at], where);
    if (!is_list)
        return store_or_fail(p, i, where, p->words[p->at++]);
    while (p->at < p->word_count && !starts_option(p->words[p->at]))
        FB_TRY(append(p, i, p->words[p->at++]));
    return FB_OK;
}

static fb_status read_positional(parser *p, const char *word)
{
    for (int32_t i = 0; i < p->verb->option_count; i++)
        if (p->verb->options[i].positional)
            return append(p, i, word);
    const char *bare = word + strspn(word, "-");
    const char *nearest = fb_nearest_name(bare, &p->verb->options[0].name,
                                          p->verb->option_count, sizeof(fb_option));
    return fb_fail(p->ctx, FB_E_USAGE,
                   "%s does not know what to do with \"%s\"; %s%s%s", p->verb->name,
                   word,
                   nearest ? "did you mean --" : "every value follows its --option",
                   nearest ? nearest : "", nearest ? "?" : "");
}

static bool wants_help(int word_count, char *const *words)
{
    for (int i = 0; i < word_count && strcmp(words[i], "--") != 0; i++)
        if (strcmp(words[i], "--help") == 0 || (i == 0 && strcmp(words[i], "-h") == 0))
            return true;
    return false;
}

static bool is_excused(const parser *p, const fb_option *option)
{
    size_t length = option->unless ? strcspn(option->unless, "=") : 0;
    for (int32_t i = 0; option->unless && i < p->verb->option_count; i++) {
        const fb_option *other = &p->verb->options[i];
        const void *value = p->arguments + other->offset;
        if (strncmp(other->name, option->unless, length) == 0 && !other->name[length])
            return option->unless[length] ? strcmp(*(const char *const *)value,
                                                   option->unless + length + 1) == 0
                                          : *(const bool *)value;
    }
    return false;
}

fb_status fb_options_parse(fb_context *ctx, const fb_verb *verb, void *arguments,
                           fb_arena *arena, int word_count, char *const *words,
                           bool *help)
{
    parser p = {.ctx = ctx,
                .verb = verb,
                .arguments = arguments,
                .arena = arena,
                .word_count = word_count,
                .words = words};
    *help = wants_help(word_count, words);
    if (*help)
        return FB_OK;
    size_t options = (size_t)verb->option_count + 1;
    p.set = fb_arena_alloc_zero(arena, 2 * options * sizeof *p.set);
    if (!p.set)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for options");
    p.typed = p.set + options;
    FB_TRY(read_environment(&p));
    bool ended = false;
    while (p.at < word_count) {
        const char *word = words[p.at++];
        if (!ended && strcmp(word, "--") == 0)
            ended = true;
        else if (!ended && starts_option(word))
            FB_TRY(read_option(&p, word));
        else
            FB_TRY(read_positional(&p, word));
    }
    for (int32_t i = 0; i < verb->option_count; i++)
        if (verb->options[i].required && !p.set[i] &&
            !is_excused(&p, &verb->options[i]))
            return fb_fail(
                ctx, FB_E_USAGE,
                "%s needs --%s %s (`fashionbert %s --help` shows an example)",
                verb->name, verb->options[i].name, verb->options[i].value, verb->name);
    return FB_OK;
}

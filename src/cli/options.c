/* options.c - parsing by table: defaults, then the environment, then the command line.
 */
#include "cli/options.h"
#include <ctype.h>
#include <errno.h>
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
    if (arguments)
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

static double highest(const fb_option *option)
{
    return option->type == FB_OPTION_INT32 && option->high > INT32_MAX
               ? (double)INT32_MAX
               : option->high;
}

/* "pad,squash" as "pad, squash" */
static void format_choices(const char *choices, char *out, size_t size)
{
    size_t n = 0;
    for (; *choices && n + 3 < size; choices++) {
        out[n++] = *choices;
        if (*choices == ',')
            out[n++] = ' ';
    }
    out[n] = 0;
}

void fb_option_range(const fb_option *option, char out[160])
{
    char choices[128], high[32];
    switch (option->type) {
    case FB_OPTION_CHOICE:
    case FB_OPTION_SET:
        format_choices(option->choices, choices, sizeof choices);
        snprintf(out, 160, "%s %s",
                 option->type == FB_OPTION_SET ? "a comma-separated list out of"
                                               : "one of",
                 choices);
        return;
    case FB_OPTION_INT32:
    case FB_OPTION_INT64:
    case FB_OPTION_UINT64:
        if (isfinite(highest(option)))
            snprintf(high, sizeof high, "%.0f", highest(option));
        else
            snprintf(high, sizeof high, "%s",
                     option->type == FB_OPTION_INT64 ? "9223372036854775807"
                                                     : "18446744073709551615");
        snprintf(out, 160, "a whole number from %.0f to %s", option->low, high);
        return;
    case FB_OPTION_DOUBLE:
        if (isfinite(option->high))
            snprintf(out, 160, "a number from %g to %g", option->low, option->high);
        else
            snprintf(out, 160, "a number of %g or more", option->low);
        return;
    case FB_OPTION_FLAG:
        snprintf(out, 160, "true or false");
        return;
    case FB_OPTION_STRING:
    case FB_OPTION_LIST:
        snprintf(out, 160, "a text");
        return;
    }
    out[0] = 0;
}

/* A number that is left to the program. */
static bool is_automatic(const fb_option *option, const void *at)
{
    if (!option->automatic)
        return false;
    return option->type == FB_OPTION_DOUBLE ? *(const double *)at < 0
                                            : *(const int32_t *)at < 0;
}

void fb_option_format(const fb_option *option, const void *arguments, char out[160])
{
    const void *at = (const char *)arguments + option->offset;
    const char *text;
    if (is_automatic(option, at)) {
        snprintf(out, 160, "auto");
        return;
    }
    switch (option->type) {
    case FB_OPTION_STRING:
    case FB_OPTION_CHOICE:
    case FB_OPTION_SET:
        text = *(const char *const *)at;
        snprintf(out, 160, "%s", text ? text : "");
        return;
    case FB_OPTION_INT32:
        snprintf(out, 160, "%ld", (long)*(const int32_t *)at);
        return;
    case FB_OPTION_INT64:
        snprintf(out, 160, "%lld", (long long)*(const int64_t *)at);
        return;
    case FB_OPTION_UINT64:
        snprintf(out, 160, "%llu", (unsigned long long)*(const uint64_t *)at);
        return;
    case FB_OPTION_DOUBLE:
        snprintf(out, 160, "%g", *(const double *)at);
        return;
    case FB_OPTION_FLAG:
        snprintf(out, 160, "%s", *(const bool *)at ? "on" : "off");
        return;
    case FB_OPTION_LIST:
        break;
    }
    out[0] = 0;
}

/* Levenshtein's distance with swapped neighbours as one step; words are cut at 64. */
static size_t edit_distance(const char *a, const char *b)
{
    enum { LIMIT = 64 };
    size_t rows[3][LIMIT + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    size_t m = strnlen(a, LIMIT), n = strnlen(b, LIMIT);
    for (size_t j = 0; j <= n; j++)
        before[j] = above[j] = j;
    for (size_t i = 1; i <= m; i++) {
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        size_t *spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[n];
}

const char *fb_nearest_name(const char *word, const void *names, int32_t count,
                            size_t stride)
{
    const char *nearest = NULL;
    size_t least = SIZE_MAX, length = strlen(word);
    for (int32_t i = 0; i < count; i++) {
        const char *name = *(const char *const *)(const void *)((const char *)names +
                                                                (size_t)i * stride);
        size_t distance = edit_distance(word, name);
        /* A word cut short, or one with more behind it, means the name. */
        size_t shorter = length < strlen(name) ? length : strlen(name);
        if (shorter >= 3 && strncmp(word, name, shorter) == 0)
            distance = 1;
        if (distance < least) {
            least = distance;
            nearest = name;
        }
    }
    return nearest && least <= 1 + length / 4 ? nearest : NULL;
}

static bool is_among(const char *word, size_t length, const char *choices)
{
    for (const char *c = choices;; c++) {
        size_t n = strcspn(c, ",");
        if (n == length && strncmp(c, word, n) == 0)
            return true;
        c += n;
        if (!*c)
            return false;
    }
}

static bool read_int64(const char *text, int64_t *out)
{
    const char *digits = text + (*text == '-' || *text == '+');
    if (!*digits || digits[strspn(digits, "0123456789")])
        return false;
    errno = 0;
    *out = strtoll(text, NULL, 10);
    return errno == 0;
}

static bool read_uint64(const char *text, uint64_t *out)
{
    if (!*text || text[strspn(text, "0123456789")])
        return false;
    errno = 0;
    *out = strtoull(text, NULL, 10);
    return errno == 0;
}

static bool read_double(const char *text, double *out)
{
    char *end;
    if (!*text || text[strspn(text, "0123456789.eE+-")])
        return false;
    *out = strtod(text, &end);
    return !*end && end != text && isfinite(*out);
}

static bool read_flag(const char *text, bool *out)
{
    *out = is_among(text, strlen(text), "true,1,yes,on");
    return *out || is_among(text, strlen(text), "false,0,no,off");
}

static bool read_set(const char *text, const char *choices)
{
    for (;; text++) {
        size_t n = strcspn(text, ",");
        if (n == 0 || !is_among(text, n, choices))
            return false;
        text += n;
        if (!*text)
            return true;
    }
}

static bool is_within(const fb_option *option, double value)
{
    bool left = option->automatic && !(value < -1) && !(value > -1);
    return left || (value >= option->low && value <= highest(option));
}

/* Store a value where it belongs; false, and nothing stored, when it is not a right
 * one. */
static bool store(const fb_option *option, char *arguments, const char *text)
{
    void *at = arguments + option->offset;
    int64_t whole;
    uint64_t natural;
    double number;
    bool flag;
    if (option->automatic && strcmp(text, "auto") == 0)
        text = "-1";
    else if (option->automatic && text[0] == '-')
        return false;
    switch (option->type) {
    case FB_OPTION_CHOICE:
        if (!is_among(text, strlen(text), option->choices))
            return false;
        break;
    case FB_OPTION_SET:
        if (!read_set(text, option->choices))
            return false;
        break;
    case FB_OPTION_INT32:
    case FB_OPTION_INT64:
        if (!read_int64(text, &whole) || !is_within(option, (double)whole))
            return false;
        if (option->type == FB_OPTION_INT32)
            *(int32_t *)at = (int32_t)whole;
        else
            *(int64_t *)at = whole;
        return true;
    case FB_OPTION_UINT64:
        if (!read_uint64(text, &natural) || !is_within(option, (double)natural))
            return false;
        *(uint64_t *)at = natural;
        return true;
    case FB_OPTION_DOUBLE:
        if (!read_double(text, &number) || !is_within(option, number))
            return false;
        *(double *)at = number;
        return true;
    case FB_OPTION_FLAG:
        if (!read_flag(text, &flag))
            return false;
        *(bool *)at = flag;
        return true;
    case FB_OPTION_STRING:
        break;
    case FB_OPTION_LIST:
        return false;
    }
    *(const char **)at = text;
    return true;
}

static fb_status store_or_fail(parser *p, int32_t index, const char *where,
                               const char *text)
{
    char range[160];
    const fb_option *option = &p->verb->options[index];
    if (!store(option, p->arguments, text)) {
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
    for (int32_t i = 0; option->unless && i < p->verb->option_count; i++)
        if (strcmp(p->verb->options[i].name, option->unless) == 0)
            return *(const bool *)(p->arguments + p->verb->options[i].offset);
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

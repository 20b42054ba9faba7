/* option.c - see option.h. */
#include "base/option.h"

#include "base/nearest.h"
#include "base/number_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const void *value_at(const fb_option *option, const void *values)
{
    return (const char *)values + option->offset;
}

static const char *text_at(const fb_option *option, const void *values)
{
    return *(const char *const *)value_at(option, values);
}

static bool is_text(const fb_option *option)
{
    return option->type == FB_OPTION_STRING || option->type == FB_OPTION_CHOICE ||
           option->type == FB_OPTION_SET;
}

enum { CHOICES_BYTES = FB_OPTION_TEXT_BYTES };

/* "pad,squash", in `room` where it has to be put together. */
static const char *choices_of(const fb_option *option, char room[CHOICES_BYTES])
{
    const char *name;
    size_t used = 0;
    if (!option->name_at)
        return option->choices;
    room[0] = 0;
    for (int32_t i = 0; (name = option->name_at(i)) && used < CHOICES_BYTES; i++)
        used += (size_t)snprintf(room + used, CHOICES_BYTES - used, "%s%s",
                                 i ? "," : "", name);
    return room;
}

const fb_option *fb_option_find(const fb_option_table *table, const char *name)
{
    for (int32_t i = 0; i < table->count; i++)
        if (strcmp(table->rows[i].name, name) == 0)
            return &table->rows[i];
    return NULL;
}

/* ---- what is right --------------------------------------------------------------- */

static double highest(const fb_option *option)
{
    return option->type == FB_OPTION_INT32 && option->high > INT32_MAX
               ? (double)INT32_MAX
               : option->high;
}

static bool is_within(const fb_option *option, double value)
{
    bool left = option->automatic && fabs(value + 1) <= 0;
    return left ||
           (isfinite(value) && value >= option->low && value <= highest(option));
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

static bool is_set(const char *text, const char *choices)
{
    for (; *text; text++) {
        size_t n = strcspn(text, ",");
        if (n == 0 || !is_among(text, n, choices))
            return false;
        text += n;
        if (!*text)
            return true;
        if (!text[1]) /* a comma at the end */
            return false;
    }
    return true;
}

static bool is_right_text(const fb_option *option, const char *text)
{
    if (!text)
        return false;
    if (option->automatic && strcmp(text, "auto") == 0)
        return true;
    char room[CHOICES_BYTES];
    switch (option->type) {
    case FB_OPTION_CHOICE:
        return is_among(text, strlen(text), choices_of(option, room));
    case FB_OPTION_SET:
        return is_set(text, choices_of(option, room));
    default:
        return true;
    }
}

/* "pad,squash" as "pad, squash" */
static void format_choices(const fb_option *option, char *out, size_t size)
{
    char room[CHOICES_BYTES];
    size_t n = (size_t)snprintf(out, size, "%s", option->automatic ? "auto, " : "");
    for (const char *c = choices_of(option, room); *c && n + 3 < size; c++) {
        out[n++] = *c;
        if (*c == ',')
            out[n++] = ' ';
    }
    out[n] = 0;
}

void fb_option_range(const fb_option *option, char out[FB_OPTION_TEXT_BYTES])
{
    char choices[FB_OPTION_TEXT_BYTES - 32], high[32];
    size_t size = FB_OPTION_TEXT_BYTES;
    switch (option->type) {
    case FB_OPTION_CHOICE:
    case FB_OPTION_SET:
        format_choices(option, choices, sizeof choices);
        snprintf(out, size, "%s %s",
                 option->type == FB_OPTION_SET ? "a comma-separated list out of"
                                               : "one of",
                 choices);
        return;
    case FB_OPTION_INT32:
    case FB_OPTION_INT64:
    case FB_OPTION_UINT64:
        if (isfinite(highest(option)))
            fb_text_print(high, sizeof high, "%.0f", highest(option));
        else
            snprintf(high, sizeof high, "%s",
                     option->type == FB_OPTION_INT64 ? "9223372036854775807"
                                                     : "18446744073709551615");
        fb_text_print(out, size, "a whole number from %.0f to %s", option->low, high);
        return;
    case FB_OPTION_DOUBLE:
        if (isfinite(option->high))
            fb_text_print(out, size, "a number from %g to %g", option->low,
                          option->high);
        else
            fb_text_print(out, size, "a number of %g or more", option->low);
        return;
    case FB_OPTION_FLAG:
        snprintf(out, size, "true or false");
        return;
    case FB_OPTION_STRING:
    case FB_OPTION_LIST:
        snprintf(out, size, "a text");
        return;
    }
    out[0] = 0;
}

/* ---- values ---------------------------------------------------------------------- */

/* Any number as a double, to compare with the range. */
static double number_at(const fb_option *option, const void *values)
{
    const void *at = value_at(option, values);
    switch (option->type) {
    case FB_OPTION_INT32:
        return *(const int32_t *)at;
    case FB_OPTION_INT64:
        return (double)*(const int64_t *)at;
    case FB_OPTION_UINT64:
        return (double)*(const uint64_t *)at;
    case FB_OPTION_DOUBLE:
        return *(const double *)at;
    default:
        return 0;
    }
}

bool fb_option_is_automatic(const fb_option *option, const void *values)
{
    if (!option->automatic)
        return false;
    if (!is_text(option))
        return number_at(option, values) < 0;
    const char *text = text_at(option, values);
    return text && strcmp(text, "auto") == 0;
}

void fb_option_format(const fb_option *option, const void *values,
                      char out[FB_OPTION_TEXT_BYTES])
{
    const void *at = value_at(option, values);
    const char *text;
    size_t size = FB_OPTION_TEXT_BYTES;
    if (!is_text(option) && fb_option_is_automatic(option, values)) {
        snprintf(out, size, "auto");
        return;
    }
    switch (option->type) {
    case FB_OPTION_STRING:
    case FB_OPTION_CHOICE:
    case FB_OPTION_SET:
        text = text_at(option, values);
        snprintf(out, size, "%s", text ? text : "");
        return;
    case FB_OPTION_INT32:
        snprintf(out, size, "%ld", (long)*(const int32_t *)at);
        return;
    case FB_OPTION_INT64:
        snprintf(out, size, "%lld", (long long)*(const int64_t *)at);
        return;
    case FB_OPTION_UINT64:
        snprintf(out, size, "%llu", (unsigned long long)*(const uint64_t *)at);
        return;
    case FB_OPTION_DOUBLE:
        fb_text_print(out, size, "%g", *(const double *)at);
        return;
    case FB_OPTION_FLAG:
        snprintf(out, size, "%s", *(const bool *)at ? "on" : "off");
        return;
    case FB_OPTION_LIST:
        break;
    }
    out[0] = 0;
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
    *out = fb_number_read(text, &end);
    return !*end && end != text && isfinite(*out);
}

static bool read_flag(const char *text, bool *out)
{
    *out = is_among(text, strlen(text), "true,1,yes,on");
    return *out || is_among(text, strlen(text), "false,0,no,off");
}

static bool store_number(const fb_option *option, void *at, const char *text)
{
    int64_t whole;
    uint64_t natural;
    double number;
    if (option->automatic && strcmp(text, "auto") == 0)
        text = "-1";
    else if (option->automatic && text[0] == '-')
        return false;
    switch (option->type) {
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
    default:
        if (!read_double(text, &number) || !is_within(option, number))
            return false;
        *(double *)at = number;
        return true;
    }
}

bool fb_option_store(const fb_option *option, void *values, const char *text)
{
    void *at = (char *)values + option->offset;
    bool flag;
    switch (option->type) {
    case FB_OPTION_STRING:
    case FB_OPTION_CHOICE:
    case FB_OPTION_SET:
        if (!is_right_text(option, text))
            return false;
        *(const char **)at = text;
        return true;
    case FB_OPTION_FLAG:
        if (!read_flag(text, &flag))
            return false;
        *(bool *)at = flag;
        return true;
    case FB_OPTION_LIST:
        return false;
    default:
        return store_number(option, at, text);
    }
}

/* ---- by name --------------------------------------------------------------------- */

static fb_status fail_unknown(fb_context *ctx, const fb_option_table *table,
                              const char *name)
{
    const char *nearest = fb_nearest_name(name, &table->rows[0].name, table->count,
                                          sizeof table->rows[0]);
    return fb_fail(ctx, FB_E_USAGE, "unknown option \"%.64s\"%s%s%s", name,
                   nearest ? "; did you mean " : "", nearest ? nearest : "",
                   nearest ? "?" : "");
}

static fb_status fail_wrong(fb_context *ctx, const fb_option *option, const char *text)
{
    char range[FB_OPTION_TEXT_BYTES];
    fb_option_range(option, range);
    return fb_fail(ctx, FB_E_USAGE, "--%s: \"%.128s\" is not %s", option->name, text,
                   range);
}

fb_status fb_option_set(fb_context *ctx, const fb_option_table *table, void *values,
                        const char *name, const char *text)
{
    const fb_option *option = fb_option_find(table, name);
    if (!option)
        return fail_unknown(ctx, table, name);
    return fb_option_store(option, values, text) ? FB_OK
                                                 : fail_wrong(ctx, option, text);
}

fb_status fb_options_fill(fb_context *ctx, const fb_option_table *table, void *values,
                          const fb_option_value *given, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        const fb_option *option = fb_option_find(table, given[i].name);
        if (!option || fb_option_is_automatic(option, values))
            FB_TRY(fb_option_set(ctx, table, values, given[i].name, given[i].value));
    }
    return FB_OK;
}

/* ---- whole structs --------------------------------------------------------------- */

void fb_options_defaults(const fb_option_table *table, void *values)
{
    for (int32_t i = 0; i < table->count; i++)
        if (table->rows[i].standard)
            fb_option_store(&table->rows[i], values, table->rows[i].standard);
}

fb_status fb_options_check(fb_context *ctx, const fb_option_table *table,
                           const void *values)
{
    for (int32_t i = 0; i < table->count; i++) {
        const fb_option *option = &table->rows[i];
        char text[FB_OPTION_TEXT_BYTES];
        bool right = true;
        if (is_text(option))
            right = is_right_text(option, text_at(option, values));
        else if (option->type != FB_OPTION_FLAG && option->type != FB_OPTION_LIST)
            right = is_within(option, number_at(option, values));
        if (right)
            continue;
        fb_option_format(option, values, text);
        return fail_wrong(ctx, option, text);
    }
    return FB_OK;
}

bool fb_option_is_default(const fb_option *option, const void *values)
{
    union {
        const char *text;
        int64_t whole;
        uint64_t natural;
        double number;
        bool flag;
    } standard = {0};
    fb_option alone = *option;
    alone.offset = 0;
    if (option->type == FB_OPTION_LIST)
        return *(const int32_t *)(const void *)((const char *)values +
                                                option->count_offset) == 0;
    if (option->standard)
        fb_option_store(&alone, &standard, option->standard);
    if (is_text(option)) {
        const char *text = text_at(option, values);
        return strcmp(text ? text : "", standard.text ? standard.text : "") == 0;
    }
    if (option->type == FB_OPTION_FLAG)
        return *(const bool *)value_at(option, values) == standard.flag;
    double value = number_at(option, values), usual = number_at(&alone, &standard);
    return !(value < usual) && !(value > usual);
}

void fb_option_copy(const fb_option *option, void *to, const void *from)
{
    static const size_t bytes[] = {
        [FB_OPTION_STRING] = sizeof(char *), [FB_OPTION_CHOICE] = sizeof(char *),
        [FB_OPTION_SET] = sizeof(char *),    [FB_OPTION_INT32] = sizeof(int32_t),
        [FB_OPTION_INT64] = sizeof(int64_t), [FB_OPTION_UINT64] = sizeof(uint64_t),
        [FB_OPTION_DOUBLE] = sizeof(double), [FB_OPTION_FLAG] = sizeof(bool),
        [FB_OPTION_LIST] = sizeof(char **),
    };
    memcpy((char *)to + option->offset, (const char *)from + option->offset,
           bytes[option->type]);
    if (option->type == FB_OPTION_LIST)
        memcpy((char *)to + option->count_offset,
               (const char *)from + option->count_offset, sizeof(int32_t));
}

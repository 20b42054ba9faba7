/* config_key.c - see config_key.h. */
#include "models/config_key.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int32_t fb_config_word_find(const char *const *words, const char *word)
{
    for (int32_t i = 0; words[i]; i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    return -1;
}

static void *place(const fb_config_key *k, void *config)
{
    return (char *)config + k->offset;
}

static const void *value(const fb_config_key *k, const void *config)
{
    return (const char *)config + k->offset;
}

/* Of an enum or a bool. */
static int32_t word_number(const fb_config_key *k, const void *config)
{
    int32_t number;
    if (k->type == FB_CONFIG_SWITCH)
        return *(const bool *)value(k, config);
    memcpy(&number, value(k, config), sizeof number);
    return number;
}

static void set_word(const fb_config_key *k, void *config, int32_t number)
{
    if (k->type == FB_CONFIG_SWITCH)
        *(bool *)place(k, config) = number != 0;
    else
        memcpy(place(k, config), &number, sizeof number);
}

/* ---- reading ---------------------------------------------------------------------- */

static fb_status read_word(fb_context *ctx, const fb_config_key *k, void *config,
                           const char *path, const json_t *object)
{
    const char *word = NULL;
    char use[160] = "";
    FB_TRY(fb_json_get_string(ctx, path, object, k->name, &word));
    if (!word)
        return FB_OK;
    int32_t found = fb_config_word_find(k->words, word);
    if (found >= 0) {
        set_word(k, config, found);
        return FB_OK;
    }
    for (int32_t i = 0; k->words[i]; i++) {
        size_t used = strlen(use);
        const char *between = i == 0 ? "" : k->words[i + 1] ? ", " : " or ";
        snprintf(use + used, sizeof use - used, "%s%s", between, k->words[i]);
    }
    return fb_fail(ctx, FB_E_FORMAT, "%s: %s %.20s is not known; use %s", path, k->name,
                   word, use);
}

static fb_status read_text(fb_context *ctx, const fb_config_key *k, void *config,
                           const char *path, const json_t *object)
{
    const char *text = NULL;
    FB_TRY(fb_json_get_string(ctx, path, object, k->name, &text));
    if (text)
        snprintf(place(k, config), FB_CONFIG_TEXT_BYTES, "%.23s", text);
    return FB_OK;
}

static fb_status read_int(fb_context *ctx, const fb_config_key *k, void *config,
                          const char *path, const json_t *object)
{
    int32_t *number = place(k, config);
    int64_t read = *number;
    FB_TRY(fb_json_get_int(ctx, path, object, k->name, (int64_t)k->low,
                           (int64_t)k->high, &read));
    *number = (int32_t)read;
    return FB_OK;
}

fb_status fb_config_keys_read(fb_context *ctx, fb_config_keys keys, void *config,
                              const char *path, const json_t *object)
{
    for (int32_t i = 0; i < keys.count; i++) {
        const fb_config_key *k = &keys.rows[i];
        switch (k->type) {
        case FB_CONFIG_INT32:
            FB_TRY(read_int(ctx, k, config, path, object));
            break;
        case FB_CONFIG_DOUBLE:
            FB_TRY(fb_json_get_double(ctx, path, object, k->name, k->low, k->high,
                                      place(k, config)));
            break;
        case FB_CONFIG_WORD:
        case FB_CONFIG_SWITCH:
            FB_TRY(read_word(ctx, k, config, path, object));
            break;
        case FB_CONFIG_TEXT:
            FB_TRY(read_text(ctx, k, config, path, object));
            break;
        }
    }
    return FB_OK;
}

/* ---- writing, checking ------------------------------------------------------------ */

void fb_config_keys_write(fb_config_keys keys, const void *config, fb_json_writer *w)
{
    for (int32_t i = 0; i < keys.count; i++) {
        const fb_config_key *k = &keys.rows[i];
        switch (k->type) {
        case FB_CONFIG_INT32:
            fb_json_key_int(w, k->name, *(const int32_t *)value(k, config));
            break;
        case FB_CONFIG_DOUBLE:
            fb_json_key_double(w, k->name, *(const double *)value(k, config));
            break;
        case FB_CONFIG_WORD:
        case FB_CONFIG_SWITCH:
            fb_json_key_string(w, k->name, k->words[word_number(k, config)]);
            break;
        case FB_CONFIG_TEXT:
            fb_json_key_string(w, k->name, value(k, config));
            break;
        }
    }
}

fb_status fb_config_keys_check(fb_context *ctx, fb_config_keys keys, const void *config,
                               const char *where)
{
    for (int32_t i = 0; i < keys.count; i++) {
        const fb_config_key *k = &keys.rows[i];
        if (k->type == FB_CONFIG_INT32) {
            int32_t number = *(const int32_t *)value(k, config);
            if (number < k->low || number > k->high)
                return fb_fail(ctx, FB_E_FORMAT,
                               "%s: %s is %d, it must lie from %" PRId64 " to %" PRId64,
                               where, k->name, (int)number, (int64_t)k->low,
                               (int64_t)k->high);
        }
        if (k->type == FB_CONFIG_DOUBLE) {
            double number = *(const double *)value(k, config);
            if (!(number >= k->low && number <= k->high))
                return fb_fail(ctx, FB_E_FORMAT,
                               "%s: %s is %g, it must lie from %g to %g", where,
                               k->name, number, k->low, k->high);
        }
    }
    return FB_OK;
}

void fb_config_keys_reset(fb_config_keys keys, void *config)
{
    for (int32_t i = 0; i < keys.count; i++) {
        const fb_config_key *k = &keys.rows[i];
        switch (k->type) {
        case FB_CONFIG_INT32:
            *(int32_t *)place(k, config) = (int32_t)k->standard;
            break;
        case FB_CONFIG_DOUBLE:
            *(double *)place(k, config) = k->standard;
            break;
        case FB_CONFIG_WORD:
        case FB_CONFIG_SWITCH:
            set_word(k, config, (int32_t)k->standard);
            break;
        case FB_CONFIG_TEXT:
            *(char *)place(k, config) = 0;
            break;
        }
    }
}

/* config_key.h - one row says everything about a key of config.json: its name and place
 * there, its member of fb_model_config, its range or words, and what it is where no file
 * names it. Tables of such rows drive reading, writing and checking; a system's own keys
 * (fb_system.keys) are such a table over config.own.
 */
#ifndef FB_MODELS_CONFIG_KEY_H
#define FB_MODELS_CONFIG_KEY_H

#include "base/json.h"

typedef enum fb_config_type {
    FB_CONFIG_INT32,
    FB_CONFIG_DOUBLE,
    FB_CONFIG_WORD,   /* an enum: its place among `words` */
    FB_CONFIG_SWITCH, /* a bool: the second of two words */
    FB_CONFIG_TEXT    /* char [24], cut where it is longer */
} fb_config_type;

enum { FB_CONFIG_TEXT_BYTES = 24 };

typedef struct fb_config_key {
    const char *name;
    fb_config_type type;
    size_t offset;
    double low, high;         /* of numbers, both included */
    const char *const *words; /* NULL behind the last */
    double standard;          /* of a system's own: where it was never said */
} fb_config_key;

typedef struct fb_config_keys {
    const fb_config_key *rows;
    int32_t count;
} fb_config_keys;

/* Offset of a member of a system's own struct, which lies in config.own. */
#define FB_CONFIG_OWN(type, member)                                                    \
    (offsetof(fb_model_config, own) + offsetof(type, member))

/* `config` is an fb_model_config; `path` names the file, or what stands for it.
 *
 * Keys that are absent keep their value. FB_E_FORMAT: a type, range or word is wrong. */
fb_status fb_config_keys_read(fb_context *ctx, fb_config_keys keys, void *config,
                              const char *path, const json_t *object);
void fb_config_keys_write(fb_config_keys keys, const void *config, fb_json_writer *w);
/* FB_E_FORMAT: a number out of its range. */
fb_status fb_config_keys_check(fb_context *ctx, fb_config_keys keys, const void *config,
                               const char *where);
/* Every key to its standard. */
void fb_config_keys_reset(fb_config_keys keys, void *config);

/* Where a word stands among `words`; -1: nowhere. */
int32_t fb_config_word_find(const char *const *words, const char *word);

#endif

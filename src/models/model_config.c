/* model_config.c - see model_config.h. */
#include "models/model_config.h"

#include "base/file.h"
#include "base/json.h"
#include "models/system.h"
#include "nn/patch_encoder.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_LIMIT = 1 << 20 };

/* One row a whole number: key on disk, its object, place, range. */
static const struct int_key {
    const char *key;
    bool ours;
    size_t offset;
    int64_t low, high;
} int_keys[] = {
    {"num_hidden_layers", false, offsetof(fb_model_config, layers), 0, 48},
    {"hidden_size", false, offsetof(fb_model_config, width), 1, 8192},
    {"num_attention_heads", false, offsetof(fb_model_config, heads), 1, 256},
    {"intermediate_size", false, offsetof(fb_model_config, inner), 1, 32768},
    {"vocab_size", false, offsetof(fb_model_config, vocab), 0, 1000000},
    {"max_position_embeddings", false, offsetof(fb_model_config, positions), 2, 8192},
    {"type_vocab_size", false, offsetof(fb_model_config, segments), 1, 16},
    {"image_size", true, offsetof(fb_model_config, image_size), 1, 2048},
    {"grid", true, offsetof(fb_model_config, grid), 1, 64},
    {"max_text", true, offsetof(fb_model_config, max_text), 2, 8192},
    {"vector_size", true, offsetof(fb_model_config, vector), 0, 4096},
    {"image_views", true, offsetof(fb_model_config, views), 1, 2},
    {"vector_text_layers", true, offsetof(fb_model_config, text_layers), 0, 48},
    {"patches_from", true, offsetof(fb_model_config, patches_from), 0, 48},
};

static const struct double_key {
    const char *key;
    bool ours;
    size_t offset;
    double low, high;
} double_keys[] = {
    {"layer_norm_eps", false, offsetof(fb_model_config, eps), 1e-15, 1},
    {"initializer_range", false, offsetof(fb_model_config, init_std), 0, 10},
    {"hidden_dropout_prob", false, offsetof(fb_model_config, dropout), 0, 0.95},
    {"alignment_weight", true, offsetof(fb_model_config, alignment_weight), 0, 1e6},
    {"similarity_weight", true, offsetof(fb_model_config, similarity_weight), 0, 1e6},
    {"score_bias", true, offsetof(fb_model_config, score_bias), -1e6, 1e6},
    {"neighbour_weight", true, offsetof(fb_model_config, neighbour_weight), 0, 1},
};

enum {
    INT_KEYS = sizeof int_keys / sizeof int_keys[0],
    DOUBLE_KEYS = sizeof double_keys / sizeof double_keys[0]
};

static const char *const score_names[] = {"tia", "itc", "both"};
static const char *const head_names[] = {"cls", "product"};
enum {
    SCORES = sizeof score_names / sizeof score_names[0],
    HEADS = sizeof head_names / sizeof head_names[0]
};

/* Where a word stands among `names`; -1: nowhere. */
static int find_word(const char *const *names, int count, const char *word)
{
    for (int i = 0; i < count; i++)
        if (strcmp(word, names[i]) == 0)
            return i;
    return -1;
}

fb_status fb_score_kind_parse(fb_context *ctx, const char *option, const char *word,
                              fb_score_kind *kind)
{
    int found = find_word(score_names, SCORES, word);
    if (found < 0)
        return fb_fail(ctx, FB_E_USAGE, "%s %.20s is not known; use tia, itc or both",
                       option, word);
    *kind = (fb_score_kind)found;
    return FB_OK;
}

const char *fb_score_kind_name(fb_score_kind kind)
{
    return score_names[kind];
}

fb_status fb_alignment_head_parse(fb_context *ctx, const char *option, const char *word,
                                  fb_alignment_head *head)
{
    int found = find_word(head_names, HEADS, word);
    if (found < 0)
        return fb_fail(ctx, FB_E_USAGE, "%s %.20s is not known; use cls or product",
                       option, word);
    *head = (fb_alignment_head)found;
    return FB_OK;
}

const char *fb_alignment_head_name(fb_alignment_head head)
{
    return head_names[head];
}

static fb_status find_features(fb_context *ctx, const fb_model_config *c,
                               int32_t *features)
{
    const fb_patch_encoder_options o = {.name = c->encoder,
                                        .each = c->each,
                                        .image_size = c->image_size,
                                        .grid = c->grid};
    return fb_patch_encoder_features(ctx, features, &o);
}

int32_t fb_model_config_features(const fb_model_config *config)
{
    int32_t features = 0;
    return find_features(NULL, config, &features) == FB_OK ? features : 0;
}

const fb_system *fb_model_config_system(const fb_model_config *config)
{
    return config->system ? config->system : fb_systems_get(0);
}

int32_t fb_model_config_patches(const fb_model_config *config)
{
    return config->grid * config->grid;
}

fb_status fb_model_config_preset(fb_context *ctx, fb_model_config *config,
                                 const char *name)
{
    static const struct {
        const char *name;
        int32_t layers, width, heads;
    } presets[] = {{"mini", 4, 256, 4}, {"small", 4, 512, 8}, {"base", 12, 768, 12}};
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        if (strcmp(presets[i].name, name) != 0)
            continue;
        *config = (fb_model_config){.system = fb_systems_get(0),
                                    .layers = presets[i].layers,
                                    .width = presets[i].width,
                                    .heads = presets[i].heads,
                                    .inner = presets[i].width * 4,
                                    .positions = 512,
                                    .segments = 2,
                                    .eps = 1e-12,
                                    .init_std = 0.02,
                                    .dropout = 0.1,
                                    .encoder = "pixels",
                                    .image_size = 256,
                                    .grid = 8,
                                    .mean = {0.485, 0.456, 0.406},
                                    .std = {0.229, 0.224, 0.225},
                                    .max_text = 64,
                                    .views = 1,
                                    .alignment_weight = 1,
                                    .similarity_weight = 1};
        return FB_OK;
    }
    return fb_fail(ctx, FB_E_USAGE, "--preset %s is not known; use mini, small or base",
                   name);
}

static int32_t int_value(const fb_model_config *c, const struct int_key *k)
{
    return *(const int32_t *)(const void *)((const char *)c + k->offset);
}

static double double_value(const fb_model_config *c, const struct double_key *k)
{
    return *(const double *)(const void *)((const char *)c + k->offset);
}

static fb_status check_ranges(fb_context *ctx, const fb_model_config *c,
                              const char *where)
{
    for (int i = 0; i < INT_KEYS; i++) {
        const struct int_key *k = &int_keys[i];
        if (int_value(c, k) < k->low || int_value(c, k) > k->high)
            return fb_fail(ctx, FB_E_FORMAT,
                           "%s: %s is %d, it must lie from %" PRId64 " to %" PRId64,
                           where, k->key, (int)int_value(c, k), k->low, k->high);
    }
    for (int i = 0; i < DOUBLE_KEYS; i++) {
        const struct double_key *k = &double_keys[i];
        if (!(double_value(c, k) >= k->low && double_value(c, k) <= k->high))
            return fb_fail(ctx, FB_E_FORMAT, "%s: %s is %g, it must lie from %g to %g",
                           where, k->key, double_value(c, k), k->low, k->high);
    }
    for (int i = 0; i < 3; i++)
        if (!(c->std[i] >= 1e-6 && c->std[i] <= 1e6) ||
            !(c->mean[i] >= -1e6 && c->mean[i] <= 1e6))
            return fb_fail(ctx, FB_E_FORMAT,
                           "%s: mean must lie from -1e6 to 1e6, std from 1e-6 to 1e6",
                           where);
    return FB_OK;
}

fb_status fb_model_config_check(fb_context *ctx, const fb_model_config *c,
                                const char *where)
{
    FB_TRY(check_ranges(ctx, c, where));
    if (c->width % c->heads != 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: hidden_size %d does not divide into %d attention heads",
                       where, (int)c->width, (int)c->heads);
    if (c->image_size % c->grid != 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: image_size %d does not divide into %d patches", where,
                       (int)c->image_size, (int)c->grid);
    if (c->text_layers > c->layers)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: vector_text_layers %d is more than num_hidden_layers %d",
                       where, (int)c->text_layers, (int)c->layers);
    if (c->patches_from > c->layers)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: patches_from %d is more than num_hidden_layers %d", where,
                       (int)c->patches_from, (int)c->layers);
    if (c->score != FB_SCORE_TIA && !c->vector)
        return fb_fail(ctx, FB_E_FORMAT, "%s: score %s needs vectors, vector_size is 0",
                       where, fb_score_kind_name(c->score));
    if (c->system && c->system->check)
        FB_TRY(c->system->check(ctx, c, where));
    if (c->max_text > c->positions)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: max_text %d is more than max_position_embeddings %d", where,
                       (int)c->max_text, (int)c->positions);
    int32_t features;
    if (find_features(ctx, c, &features) != FB_OK) {
        char why[256];
        snprintf(why, sizeof why, "%s", fb_context_message(ctx));
        return fb_fail(ctx, FB_E_FORMAT, "%s: %s", where, why);
    }
    return FB_OK;
}

static fb_status read_system(fb_context *ctx, fb_model_config *c, const char *path,
                             const json_t *ours)
{
    const char *name = NULL;
    char known[256];
    FB_TRY(fb_json_get_string(ctx, path, ours, "system", &name));
    const fb_system *found = name ? fb_systems_find(name) : c->system;
    if (name && !found)
        return fb_fail(ctx, FB_E_FORMAT, "%s: system %.20s is not known; use %s", path,
                       name, fb_systems_names(known, sizeof known));
    c->system = found;
    return FB_OK;
}

static fb_status read_triple(fb_context *ctx, const char *path, const json_t *object,
                             const char *key, double out[3])
{
    const json_t *list = json_object_get(object, key);
    if (!list)
        return FB_OK;
    for (size_t i = 0; i < 3; i++) {
        const json_t *number = json_array_get(list, i);
        if (json_array_size(list) != 3 || !json_is_number(number))
            return fb_fail(ctx, FB_E_FORMAT, "%s: %s is not a list of three numbers",
                           path, key);
        out[i] = json_number_value(number);
    }
    return FB_OK;
}

/* A key whose other values name models that this is not. */
static fb_status expect_word(fb_context *ctx, const char *path, const json_t *root,
                             const char *key, const char *word)
{
    const char *value = word;
    FB_TRY(fb_json_get_string(ctx, path, root, key, &value));
    if (strcmp(value, word) != 0)
        return fb_fail(ctx, FB_E_FORMAT, "%s: %s %.20s is not known; use %s", path, key,
                       value, word);
    return FB_OK;
}

/* A switch that would make it another model. */
static fb_status expect_false(fb_context *ctx, const char *path, const json_t *root,
                              const char *key)
{
    bool on = false;
    FB_TRY(fb_json_get_bool(ctx, path, root, key, &on));
    if (on)
        return fb_fail(ctx, FB_E_FORMAT, "%s: %s is true; only encoders are read", path,
                       key);
    return FB_OK;
}

static fb_status read_object(fb_context *ctx, fb_model_config *c, const char *path,
                             const json_t *root)
{
    const json_t *ours = json_object_get(root, "fashionbert");
    if (ours && !json_is_object(ours))
        return fb_fail(ctx, FB_E_FORMAT, "%s: \"fashionbert\" is not an object", path);
    FB_TRY(expect_word(ctx, path, root, "model_type", "bert"));
    FB_TRY(expect_word(ctx, path, root, "hidden_act", "gelu"));
    FB_TRY(expect_word(ctx, path, root, "position_embedding_type", "absolute"));
    FB_TRY(expect_false(ctx, path, root, "is_decoder"));
    FB_TRY(expect_false(ctx, path, root, "add_cross_attention"));
    for (int i = 0; i < INT_KEYS; i++) {
        const struct int_key *k = &int_keys[i];
        int32_t *place = (int32_t *)(void *)((char *)c + k->offset);
        int64_t value = *place;
        const json_t *object = k->ours ? ours : root;
        if (object)
            FB_TRY(fb_json_get_int(ctx, path, object, k->key, k->low, k->high, &value));
        *place = (int32_t)value;
    }
    for (int i = 0; i < DOUBLE_KEYS; i++) {
        const struct double_key *k = &double_keys[i];
        double *place = (double *)(void *)((char *)c + k->offset);
        const json_t *object = k->ours ? ours : root;
        if (object)
            FB_TRY(
                fb_json_get_double(ctx, path, object, k->key, k->low, k->high, place));
    }
    if (!ours)
        return FB_OK;
    FB_TRY(read_system(ctx, c, path, ours));
    const char *patches = c->each ? "each" : "grid";
    FB_TRY(fb_json_get_string(ctx, path, ours, "patches", &patches));
    if (strcmp(patches, "grid") != 0 && strcmp(patches, "each") != 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: patches %.20s is not known; use grid or each", path,
                       patches);
    c->each = strcmp(patches, "each") == 0;
    const char *encoder = c->encoder, *fit = c->squash ? "squash" : "pad";
    FB_TRY(fb_json_get_string(ctx, path, ours, "encoder", &encoder));
    if (encoder != c->encoder)
        snprintf(c->encoder, sizeof c->encoder, "%.23s", encoder);
    FB_TRY(fb_json_get_string(ctx, path, ours, "fit", &fit));
    if (strcmp(fit, "pad") != 0 && strcmp(fit, "squash") != 0)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: fit %.20s is not known; use pad or squash", path, fit);
    c->squash = strcmp(fit, "squash") == 0;
    const char *score = fb_score_kind_name(c->score);
    FB_TRY(fb_json_get_string(ctx, path, ours, "score", &score));
    if (fb_score_kind_parse(ctx, "score", score, &c->score) != FB_OK)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: score %.20s is not known; use tia, itc or both", path,
                       score);
    const char *head = fb_alignment_head_name(c->head);
    FB_TRY(fb_json_get_string(ctx, path, ours, "alignment_head", &head));
    if (fb_alignment_head_parse(ctx, "alignment_head", head, &c->head) != FB_OK)
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: alignment_head %.20s is not known; use cls or product",
                       path, head);
    FB_TRY(read_triple(ctx, path, ours, "mean", c->mean));
    return read_triple(ctx, path, ours, "std", c->std);
}

fb_status fb_model_config_parse(fb_context *ctx, fb_model_config *config,
                                const char *name, const char *text, size_t size_bytes)
{
    json_t *root;
    FB_TRY(fb_json_parse(ctx, name, text, size_bytes, &root));
    fb_model_config fresh = *config;
    fb_status status;
    if (json_is_object(root))
        status = read_object(ctx, &fresh, name, root);
    else
        status = fb_fail(ctx, FB_E_FORMAT, "%s: not a JSON object", name);
    json_decref(root);
    if (status == FB_OK)
        status = fb_model_config_check(ctx, &fresh, name);
    if (status == FB_OK)
        *config = fresh;
    return status;
}

fb_status fb_model_config_read(fb_context *ctx, fb_model_config *config,
                               const char *path)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    FB_TRY(fb_file_read(ctx, path, CONFIG_LIMIT, &bytes, &size));
    fb_status status =
        fb_model_config_parse(ctx, config, path, (const char *)bytes, size);
    free(bytes);
    return status;
}

static void write_object(fb_json_writer *w, const fb_model_config *c, bool ours)
{
    for (int i = 0; i < INT_KEYS; i++)
        if (int_keys[i].ours == ours)
            fb_json_key_int(w, int_keys[i].key, int_value(c, &int_keys[i]));
    for (int i = 0; i < DOUBLE_KEYS; i++)
        if (double_keys[i].ours == ours)
            fb_json_key_double(w, double_keys[i].key, double_value(c, &double_keys[i]));
}

static void write_triple(fb_json_writer *w, const char *key, const double v[3])
{
    fb_json_key(w, key);
    fb_json_open_array(w);
    for (int i = 0; i < 3; i++)
        fb_json_double(w, v[i]);
    fb_json_close_array(w);
}

fb_status fb_model_config_write(fb_context *ctx, const fb_model_config *config,
                                const char *path)
{
    fb_replace r;
    FB_TRY(fb_replace_open(ctx, path, &r));
    fb_json_writer w;
    fb_json_begin(&w, r.stream, 2);
    fb_json_open_object(&w);
    fb_json_key_string(&w, "model_type", "bert");
    fb_json_key_string(&w, "hidden_act", "gelu");
    fb_json_key_string(&w, "position_embedding_type", "absolute");
    write_object(&w, config, false);
    fb_json_key_double(&w, "attention_probs_dropout_prob", config->dropout);
    fb_json_key(&w, "fashionbert");
    fb_json_open_object(&w);
    fb_json_key_string(&w, "system", fb_model_config_system(config)->name);
    fb_json_key_string(&w, "encoder", config->encoder);
    fb_json_key_string(&w, "patches", config->each ? "each" : "grid");
    fb_json_key_string(&w, "fit", config->squash ? "squash" : "pad");
    fb_json_key_string(&w, "score", fb_score_kind_name(config->score));
    fb_json_key_string(&w, "alignment_head", fb_alignment_head_name(config->head));
    write_object(&w, config, true);
    write_triple(&w, "mean", config->mean);
    write_triple(&w, "std", config->std);
    fb_json_close_object(&w);
    fb_json_close_object(&w);
    fputc('\n', r.stream);
    return fb_replace_commit(ctx, &r);
}

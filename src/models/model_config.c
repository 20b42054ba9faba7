/* model_config.c - see model_config.h. */
#include "models/model_config.h"

#include "base/file.h"
#include "base/json.h"
#include "models/system.h"
#include "nn/patch_encoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_LIMIT = 1 << 20 };

static const char *const score_words[] = {"tia", "itc", "both", NULL};
static const char *const head_words[] = {"cls", "product", NULL};
static const char *const patches_words[] = {"grid", "each", NULL};
static const char *const regions_words[] = {"no", "yes", NULL};
static const char *const fit_words[] = {"pad", "squash", NULL};

#define AT(member) offsetof(fb_model_config, member)

/* BERT's, at the top of the file. */
static const fb_config_key bert_rows[] = {
    {"num_hidden_layers", FB_CONFIG_INT32, AT(layers), 0, 48, NULL, 0},
    {"hidden_size", FB_CONFIG_INT32, AT(width), 1, 8192, NULL, 0},
    {"num_attention_heads", FB_CONFIG_INT32, AT(heads), 1, 256, NULL, 0},
    {"intermediate_size", FB_CONFIG_INT32, AT(inner), 1, 32768, NULL, 0},
    {"vocab_size", FB_CONFIG_INT32, AT(vocab), 0, 1000000, NULL, 0},
    {"max_position_embeddings", FB_CONFIG_INT32, AT(positions), 2, 8192, NULL, 0},
    {"type_vocab_size", FB_CONFIG_INT32, AT(segments), 1, 16, NULL, 0},
    {"layer_norm_eps", FB_CONFIG_DOUBLE, AT(eps), 1e-15, 1, NULL, 0},
    {"initializer_range", FB_CONFIG_DOUBLE, AT(init_std), 0, 10, NULL, 0},
    {"hidden_dropout_prob", FB_CONFIG_DOUBLE, AT(dropout), 0, 0.95, NULL, 0},
};

/* What all systems share, in the object "fashionbert"; a system's own follow. */
static const fb_config_key shared_rows[] = {
    {"encoder", FB_CONFIG_TEXT, AT(encoder), 0, 0, NULL, 0},
    {"patches", FB_CONFIG_SWITCH, AT(each), 0, 0, patches_words, 0},
    {"fit", FB_CONFIG_SWITCH, AT(squash), 0, 0, fit_words, 0},
    {"score", FB_CONFIG_WORD, AT(score), 0, 0, score_words, 0},
    {"alignment_head", FB_CONFIG_WORD, AT(head), 0, 0, head_words, 0},
    {"image_size", FB_CONFIG_INT32, AT(image_size), 1, 2048, NULL, 0},
    {"grid", FB_CONFIG_INT32, AT(grid), 1, 64, NULL, 0},
    {"regions", FB_CONFIG_SWITCH, AT(regions), 0, 0, regions_words, 0},
    {"region_width", FB_CONFIG_INT32, AT(region_width), 0, 65536, NULL, 0},
    {"region_most", FB_CONFIG_INT32, AT(region_most), 0, 4096, NULL, 0},
    {"region_classes", FB_CONFIG_INT32, AT(region_classes), 0, 1000000, NULL, 0},
    {"max_text", FB_CONFIG_INT32, AT(max_text), 2, 8192, NULL, 0},
    {"vector_size", FB_CONFIG_INT32, AT(vector), 0, 4096, NULL, 0},
    {"image_views", FB_CONFIG_INT32, AT(views), 1, 2, NULL, 0},
    {"vector_text_layers", FB_CONFIG_INT32, AT(text_layers), 0, 48, NULL, 0},
    {"patches_from", FB_CONFIG_INT32, AT(patches_from), 0, 48, NULL, 0},
    {"alignment_weight", FB_CONFIG_DOUBLE, AT(alignment_weight), 0, 1e6, NULL, 0},
    {"similarity_weight", FB_CONFIG_DOUBLE, AT(similarity_weight), 0, 1e6, NULL, 0},
    {"score_bias", FB_CONFIG_DOUBLE, AT(score_bias), -1e6, 1e6, NULL, 0},
    {"neighbour_weight", FB_CONFIG_DOUBLE, AT(neighbour_weight), 0, 4, NULL, 0},
};

static const fb_config_keys bert_keys = {bert_rows,
                                         sizeof bert_rows / sizeof bert_rows[0]};
static const fb_config_keys shared_keys = {shared_rows,
                                           sizeof shared_rows / sizeof shared_rows[0]};

fb_status fb_score_kind_parse(fb_context *ctx, const char *option, const char *word,
                              fb_score_kind *kind)
{
    int32_t found = fb_config_word_find(score_words, word);
    if (found < 0)
        return fb_fail(ctx, FB_E_USAGE, "%s %.20s is not known; use tia, itc or both",
                       option, word);
    *kind = (fb_score_kind)found;
    return FB_OK;
}

const char *fb_score_kind_name(fb_score_kind kind)
{
    return score_words[kind];
}

fb_status fb_alignment_head_parse(fb_context *ctx, const char *option, const char *word,
                                  fb_alignment_head *head)
{
    int32_t found = fb_config_word_find(head_words, word);
    if (found < 0)
        return fb_fail(ctx, FB_E_USAGE, "%s %.20s is not known; use cls or product",
                       option, word);
    *head = (fb_alignment_head)found;
    return FB_OK;
}

const char *fb_alignment_head_name(fb_alignment_head head)
{
    return head_words[head];
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
    if (config->regions)
        return config->region_width;
    return find_features(NULL, config, &features) == FB_OK ? features : 0;
}

const fb_system *fb_model_config_system(const fb_model_config *config)
{
    return config->system ? config->system : fb_systems_get(0);
}

void fb_model_config_set_system(fb_model_config *config, const fb_system *system)
{
    if (config->system == system)
        return;
    config->system = system;
    memset(&config->own, 0, sizeof config->own);
    fb_config_keys_reset(system->keys, config);
}

int32_t fb_model_config_patches(const fb_model_config *config)
{
    return config->regions ? config->region_most : config->grid * config->grid;
}

void fb_model_config_set_encoder(fb_model_config *config, const fb_encoder *encoder)
{
    const fb_encoder *before = fb_encoder_find(config->encoder);
    bool own =
        !before || (memcmp(config->mean, before->mean, sizeof config->mean) == 0 &&
                    memcmp(config->std, before->std, sizeof config->std) == 0);
    snprintf(config->encoder, sizeof config->encoder, "%s", encoder->name);
    if (!own)
        return;
    memcpy(config->mean, encoder->mean, sizeof config->mean);
    memcpy(config->std, encoder->std, sizeof config->std);
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
                                    .image_size = fb_encoder_at(0)->image_size,
                                    .grid = 8,
                                    .max_text = 64,
                                    .views = 1,
                                    .alignment_weight = 1,
                                    .similarity_weight = 1};
        fb_config_keys_reset(config->system->keys, config);
        fb_model_config_set_encoder(config, fb_encoder_at(0));
        return FB_OK;
    }
    return fb_fail(ctx, FB_E_USAGE, "--preset %s is not known; use mini, small or base",
                   name);
}

static fb_status check_ranges(fb_context *ctx, const fb_model_config *c,
                              const char *where)
{
    FB_TRY(fb_config_keys_check(ctx, bert_keys, c, where));
    FB_TRY(fb_config_keys_check(ctx, shared_keys, c, where));
    FB_TRY(fb_config_keys_check(ctx, fb_model_config_system(c)->keys, c, where));
    for (int i = 0; i < 3; i++)
        if (!(c->std[i] >= 1e-6 && c->std[i] <= 1e6) ||
            !(c->mean[i] >= -1e6 && c->mean[i] <= 1e6))
            return fb_fail(ctx, FB_E_FORMAT,
                           "%s: mean must lie from -1e6 to 1e6, std from 1e-6 to 1e6",
                           where);
    return FB_OK;
}

/* What images are cut into, or what was found in them. */
static fb_status check_rows(fb_context *ctx, const fb_model_config *c,
                            const char *where)
{
    int32_t features;
    if (c->regions && !(fb_model_config_system(c)->reads & FB_READS_REGIONS))
        return fb_fail(ctx, FB_E_FORMAT, "%s: %s reads no regions, only photos", where,
                       fb_model_config_system(c)->name);
    if (c->regions && (c->region_width < 1 || c->region_most < 1))
        return fb_fail(ctx, FB_E_FORMAT,
                       "%s: regions need a region_width and a region_most of at least "
                       "1, not %d and %d",
                       where, (int)c->region_width, (int)c->region_most);
    if (c->regions || find_features(ctx, c, &features) == FB_OK)
        return FB_OK;
    char why[256];
    snprintf(why, sizeof why, "%s", fb_context_message(ctx));
    return fb_fail(ctx, FB_E_FORMAT, "%s: %s", where, why);
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
    return check_rows(ctx, c, where);
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
    if (found)
        fb_model_config_set_system(c, found);
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
    FB_TRY(fb_config_keys_read(ctx, bert_keys, c, path, root));
    if (!ours)
        return FB_OK;
    FB_TRY(read_system(ctx, c, path, ours));
    FB_TRY(fb_config_keys_read(ctx, shared_keys, c, path, ours));
    FB_TRY(fb_config_keys_read(ctx, fb_model_config_system(c)->keys, c, path, ours));
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
    fb_config_keys_write(bert_keys, config, &w);
    fb_json_key_double(&w, "attention_probs_dropout_prob", config->dropout);
    fb_json_key(&w, "fashionbert");
    fb_json_open_object(&w);
    fb_json_key_string(&w, "system", fb_model_config_system(config)->name);
    fb_config_keys_write(shared_keys, config, &w);
    write_triple(&w, "mean", config->mean);
    write_triple(&w, "std", config->std);
    fb_config_keys_write(fb_model_config_system(config)->keys, config, &w);
    fb_json_close_object(&w);
    fb_json_close_object(&w);
    fputc('\n', r.stream);
    return fb_replace_commit(ctx, &r);
}

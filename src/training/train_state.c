/* train_state.c - see train_state.h. */
#include "training/train_state.h"

#include "base/file.h"
#include "base/json.h"
#include "nn/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATE_LIMIT = 1 << 20, VOCAB_LIMIT = 64 << 20 };

/* Every option that the numbers of a run depend on. */
typedef enum kind { TEXT, INT32, INT64, UINT64, REAL, FLAG } kind;
static const struct field {
    const char *key;
    kind kind;
    size_t offset;
} fields[] = {
#define FIELD(kind_, name)                                                             \
    {                                                                                  \
#name, kind_, offsetof(fb_train_options, name)                                 \
    }
    FIELD(INT32, stage),
    FIELD(INT32, stages),
    FIELD(TEXT, preset),
    FIELD(TEXT, objective),
    FIELD(TEXT, encoder),
    FIELD(TEXT, patches),
    FIELD(INT32, patch_size),
    FIELD(INT32, image_size),
    FIELD(FLAG, freeze_encoder),
    FIELD(REAL, encoder_lr),
    FIELD(REAL, itc),
    FIELD(REAL, margin),
    FIELD(INT32, vector_size),
    FIELD(INT32, text_layers),
    FIELD(INT32, patches_from),
    FIELD(TEXT, alignment_head),
    FIELD(INT32, group),
    FIELD(REAL, flip),
    FIELD(REAL, shift),
    FIELD(REAL, zoom),
    FIELD(REAL, text_mask),
    FIELD(REAL, rare_mask),
    FIELD(INT32, hard_negatives),
    FIELD(INT32, hard_items),
    FIELD(REAL, hardness),
    FIELD(REAL, hard_warmup),
    FIELD(REAL, patch_keep),
    FIELD(REAL, unmask_last),
    FIELD(TEXT, alignment),
    FIELD(REAL, soft_targets),
    FIELD(TEXT, fit),
    FIELD(INT32, max_text),
    FIELD(INT32, vocab_size),
    FIELD(REAL, epochs),
    FIELD(INT64, steps),
    FIELD(INT32, batch),
    FIELD(INT32, accumulate),
    FIELD(REAL, lr),
    FIELD(REAL, weight_decay),
    FIELD(REAL, clip),
    FIELD(REAL, warmup),
    FIELD(REAL, beta1),
    FIELD(REAL, beta2),
    FIELD(REAL, dropout),
    FIELD(TEXT, adaptive),
    FIELD(FLAG, adaptive_detach),
    FIELD(TEXT, adaptive_norm),
    FIELD(TEXT, losses),
    FIELD(TEXT, negatives),
    FIELD(FLAG, masked_on_mismatched),
    FIELD(UINT64, seed),
    FIELD(INT64, checkpoint_every),
    FIELD(INT64, validate_every),
    FIELD(INT32, validate_pairs),
    FIELD(TEXT, backend),
    FIELD(TEXT, dtype),
};
/* Files, which may have moved from start to start. */
static const struct field paths[] = {FIELD(TEXT, catalog), FIELD(TEXT, feature_cache),
                                     FIELD(TEXT, clicks)};
#undef FIELD
enum { PATHS = sizeof paths / sizeof paths[0] };
enum { FIELDS = sizeof fields / sizeof fields[0] };

bool fb_train_state_exists(const char *out)
{
    char path[4096];
    return fb_path_join(NULL, path, out, "last/training_state.json") == FB_OK &&
           fb_path_exists(path);
}

static void write_options(fb_json_writer *w, const fb_train_options *options)
{
    fb_json_key(w, "options");
    fb_json_open_object(w);
    for (int i = 0; i < PATHS; i++)
        fb_json_key_string(
            w, paths[i].key,
            *(const char *const *)((const char *)options + paths[i].offset));
    for (int i = 0; i < FIELDS; i++) {
        const void *at = (const char *)options + fields[i].offset;
        const char *key = fields[i].key;
        switch (fields[i].kind) {
        case TEXT:
            fb_json_key_string(w, key, *(const char *const *)at);
            break;
        case INT32:
            fb_json_key_int(w, key, *(const int32_t *)at);
            break;
        case INT64:
            fb_json_key_int(w, key, *(const int64_t *)at);
            break;
        case UINT64: /* as text: JSON's integers are signed here */
        {
            char digits[24];
            snprintf(digits, sizeof digits, "%llu",
                     (unsigned long long)*(const uint64_t *)at);
            fb_json_key_string(w, key, digits);
            break;
        }
        case REAL:
            fb_json_key_double(w, key, *(const double *)at);
            break;
        case FLAG:
            fb_json_key_bool(w, key, *(const bool *)at);
            break;
        }
    }
    fb_json_close_object(w);
}

static fb_status write_state(fb_context *ctx, const char *path,
                             const fb_train_state *state,
                             const fb_train_options *options)
{
    fb_replace r;
    FB_TRY(fb_replace_open(ctx, path, &r));
    fb_json_writer w;
    char fingerprint[24];
    snprintf(fingerprint, sizeof fingerprint, "%016llx",
             (unsigned long long)state->fingerprint);
    fb_json_begin(&w, r.stream, 2);
    fb_json_open_object(&w);
    fb_json_key_int(&w, "version", 1);
    fb_json_key_int(&w, "step", state->step);
    fb_json_key_int(&w, "total_steps", state->total_steps);
    fb_json_key_string(&w, "catalog_fingerprint", fingerprint);
    fb_json_key_int(&w, "log_bytes", state->log_bytes);
    fb_json_key_int(&w, "best_step", state->best_step);
    fb_json_key_double(&w, "best_accuracy", state->best_accuracy);
    fb_json_key_double(&w, "best_loss", state->best_loss);
    write_options(&w, options);
    fb_json_close_object(&w);
    fputc('\n', r.stream);
    return fb_replace_commit(ctx, &r);
}

static fb_status copy_file(fb_context *ctx, const char *from_folder,
                           const char *to_folder, const char *name)
{
    char from[4096], to[4096];
    FB_TRY(fb_path_join(ctx, from, from_folder, name));
    FB_TRY(fb_path_join(ctx, to, to_folder, name));
    uint8_t *bytes;
    size_t size_bytes;
    FB_TRY(fb_file_read(ctx, from, VOCAB_LIMIT, &bytes, &size_bytes));
    fb_status status = fb_file_write(ctx, to, bytes, size_bytes);
    free(bytes);
    return status;
}

/* The best weights are the checkpoint's own file under a second name: files here are
 * replaced, never written over, so sharing them is safe. */
static fb_status publish_best(fb_context *ctx, const char *out, const char *weights)
{
    char best[4096], fresh[4096];
    FB_TRY(fb_path_join(ctx, best, out, "model.safetensors"));
    FB_TRY(fb_path_join(ctx, fresh, out, "model.safetensors.new"));
    unlink(fresh);
    if (link(weights, fresh) != 0 || rename(fresh, best) != 0)
        return fb_fail(ctx, FB_E_IO, "%s: the best weights could not be put there",
                       best);
    return fb_folder_sync(ctx, out);
}

fb_status fb_train_state_save(fb_context *ctx, const char *out,
                              const fb_train_state *state,
                              const fb_train_options *options,
                              const fb_matcher *matcher, bool best)
{
    char fresh[4096], last[4096], path[4096], weights[4096];
    FB_TRY(fb_path_join(ctx, fresh, out, "last.new"));
    FB_TRY(fb_path_join(ctx, last, out, "last"));
    FB_TRY(fb_folder_remove(ctx, fresh));
    FB_TRY(fb_folder_make(ctx, fresh));
    FB_TRY(copy_file(ctx, out, fresh, "config.json"));
    FB_TRY(copy_file(ctx, out, fresh, "vocab.txt"));
    FB_TRY(fb_path_join(ctx, weights, fresh, "model.safetensors"));
    FB_TRY(fb_weights_save(ctx, matcher->params, weights));
    FB_TRY(fb_path_join(ctx, path, fresh, "optimizer.safetensors"));
    FB_TRY(fb_moments_save(ctx, matcher->params, path));
    FB_TRY(fb_path_join(ctx, path, fresh, "training_state.json"));
    FB_TRY(write_state(ctx, path, state, options));
    if (best)
        FB_TRY(publish_best(ctx, out, weights));
    return fb_folder_replace(ctx, fresh, last);
}

static fb_status read_field(fb_context *ctx, const char *path, const json_t *object,
                            const struct field *f, fb_train_options *options,
                            fb_arena *arena)
{
    void *at = (char *)options + f->offset;
    const char *text = NULL;
    int64_t number = 0;
    switch (f->kind) {
    case TEXT:
        FB_TRY(fb_json_get_string(ctx, path, object, f->key, &text));
        if (text && !(*(const char **)at = fb_arena_strdup(arena, text)))
            return fb_fail(ctx, FB_E_MEMORY, "no memory for the run's options");
        return FB_OK;
    case INT32:
        number = *(int32_t *)at;
        FB_TRY(
            fb_json_get_int(ctx, path, object, f->key, INT32_MIN, INT32_MAX, &number));
        *(int32_t *)at = (int32_t)number;
        return FB_OK;
    case INT64:
        return fb_json_get_int(ctx, path, object, f->key, INT64_MIN, INT64_MAX, at);
    case UINT64:
        FB_TRY(fb_json_get_string(ctx, path, object, f->key, &text));
        if (text)
            *(uint64_t *)at = strtoull(text, NULL, 10);
        return FB_OK;
    case REAL:
        return fb_json_get_double(ctx, path, object, f->key, -1e300, 1e300, at);
    case FLAG:
        return fb_json_get_bool(ctx, path, object, f->key, at);
    }
    return FB_OK;
}

/* What the caller set wins. */
static fb_status read_path(fb_context *ctx, const char *path, const json_t *object,
                           const struct field *f, fb_train_options *options,
                           fb_arena *arena)
{
    const char **at = (const char **)((char *)options + f->offset);
    return (*at)[0] ? FB_OK : read_field(ctx, path, object, f, options, arena);
}

static fb_status read_object(fb_context *ctx, const char *path, const json_t *root,
                             fb_train_state *state, fb_train_options *options,
                             fb_arena *arena)
{
    const char *fingerprint = NULL;
    int64_t version = 0;
    FB_TRY(fb_json_get_int(ctx, path, root, "version", 1, 1, &version));
    FB_TRY(fb_json_get_int(ctx, path, root, "step", 0, INT64_MAX, &state->step));
    FB_TRY(fb_json_get_int(ctx, path, root, "total_steps", 0, INT64_MAX,
                           &state->total_steps));
    FB_TRY(fb_json_get_string(ctx, path, root, "catalog_fingerprint", &fingerprint));
    FB_TRY(
        fb_json_get_int(ctx, path, root, "log_bytes", 0, INT64_MAX, &state->log_bytes));
    FB_TRY(
        fb_json_get_int(ctx, path, root, "best_step", 0, INT64_MAX, &state->best_step));
    FB_TRY(fb_json_get_double(ctx, path, root, "best_accuracy", 0, 1,
                              &state->best_accuracy));
    FB_TRY(
        fb_json_get_double(ctx, path, root, "best_loss", 0, 1e300, &state->best_loss));
    const json_t *object = json_object_get(root, "options");
    if (version != 1 || !fingerprint || !json_is_object(object))
        return fb_fail(ctx, FB_E_FORMAT, "%s: not the state of a training run", path);
    state->fingerprint = strtoull(fingerprint, NULL, 16);
    for (int i = 0; i < PATHS; i++)
        FB_TRY(read_path(ctx, path, object, &paths[i], options, arena));
    for (int i = 0; i < FIELDS; i++)
        FB_TRY(read_field(ctx, path, object, &fields[i], options, arena));
    return FB_OK;
}

fb_status fb_train_state_read(fb_context *ctx, const char *out, fb_train_state *state,
                              fb_train_options *options, fb_arena *arena)
{
    char path[4096];
    json_t *root;
    FB_TRY(fb_path_join(ctx, path, out, "last/training_state.json"));
    FB_TRY(fb_json_read(ctx, path, STATE_LIMIT, &root));
    options->rare_mask = 0; /* what a state that does not name it had */
    fb_status status;
    if (json_is_object(root))
        status = read_object(ctx, path, root, state, options, arena);
    else
        status = fb_fail(ctx, FB_E_FORMAT, "%s: not a JSON object", path);
    json_decref(root);
    return status;
}

fb_status fb_train_state_load(fb_context *ctx, const char *out, fb_matcher *matcher)
{
    char path[4096];
    FB_TRY(fb_path_join(ctx, path, out, "last/model.safetensors"));
    FB_TRY(fb_weights_load(ctx, matcher->params, path));
    FB_TRY(fb_path_join(ctx, path, out, "last/optimizer.safetensors"));
    return fb_moments_load(ctx, matcher->params, path);
}

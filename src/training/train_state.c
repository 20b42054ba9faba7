/* train_state.c - see train_state.h. */
#include "training/train_state.h"

#include "base/file.h"
#include "base/json.h"
#include "nn/quantization.h"
#include "nn/weights.h"
#include "training/train_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATE_LIMIT = 1 << 20, VOCAB_LIMIT = 64 << 20 };

bool fb_train_state_exists(const char *out)
{
    char path[4096];
    return fb_path_join(NULL, path, out, "last/training_state.json") == FB_OK &&
           fb_path_exists(path);
}

static void write_option(fb_json_writer *w, const fb_option *row,
                         const fb_train_options *options)
{
    const void *at = (const char *)options + row->offset;
    char digits[24];
    switch (row->type) {
    case FB_OPTION_STRING:
    case FB_OPTION_CHOICE:
    case FB_OPTION_SET:
        fb_json_key_string(w, row->key, *(const char *const *)at);
        return;
    case FB_OPTION_INT32:
        fb_json_key_int(w, row->key, *(const int32_t *)at);
        return;
    case FB_OPTION_INT64:
        fb_json_key_int(w, row->key, *(const int64_t *)at);
        return;
    case FB_OPTION_UINT64: /* as text: JSON's integers are signed here */
        snprintf(digits, sizeof digits, "%llu",
                 (unsigned long long)*(const uint64_t *)at);
        fb_json_key_string(w, row->key, digits);
        return;
    case FB_OPTION_DOUBLE:
        fb_json_key_double(w, row->key, *(const double *)at);
        return;
    case FB_OPTION_FLAG:
        fb_json_key_bool(w, row->key, *(const bool *)at);
        return;
    case FB_OPTION_LIST:
        return;
    }
}

static void write_options(fb_json_writer *w, const fb_train_state *state,
                          const fb_train_options *options)
{
    const fb_option_table *table = &fb_train_option_table;
    fb_json_key(w, "options");
    fb_json_open_object(w);
    fb_json_key_int(w, "stage", state->stage);
    fb_json_key_int(w, "stages", state->stages);
    for (int32_t i = 0; i < table->count; i++)
        if (!table->rows[i].start)
            write_option(w, &table->rows[i], options);
    fb_json_close_object(w);
}

fb_status fb_train_state_write(fb_context *ctx, const char *path,
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
    fb_json_key_int(&w, "planned_steps",
                    state->planned_steps ? state->planned_steps : state->total_steps);
    fb_json_key_string(&w, "catalog_fingerprint", fingerprint);
    fb_json_key_int(&w, "log_bytes", state->log_bytes);
    fb_json_key_int(&w, "best_step", state->best_step);
    fb_json_key_double(&w, "best_accuracy", state->best_accuracy);
    fb_json_key_double(&w, "best_loss", state->best_loss);
    fb_json_key_double(&w, "seconds", state->seconds);
    fb_json_key_double(&w, "processor_seconds", state->processor_s);
    fb_json_key_double(&w, "elapsed_seconds", state->elapsed_s);
    fb_json_key_double(&w, "deadline_seconds", state->deadline_s);
    fb_json_key_double(&w, "end_seconds", state->end_s);
    write_options(&w, state, options);
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
    char best[4096], fresh[4096], scales[4096];
    FB_TRY(fb_path_join(ctx, best, out, "model.safetensors"));
    FB_TRY(fb_path_join(ctx, scales, out, FB_QUANTIZATION_FILE));
    FB_TRY(fb_path_join(ctx, fresh, out, "model.safetensors.new"));
    unlink(scales); /* those of the weights before */
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
    FB_TRY(fb_train_state_write(ctx, path, state, options));
    if (best)
        FB_TRY(publish_best(ctx, out, weights));
    return fb_folder_replace(ctx, fresh, last);
}

/* What the state does not name stays as it is. */
static fb_status read_option(fb_context *ctx, const char *path, const json_t *object,
                             const fb_option *row, fb_train_options *options,
                             fb_arena *arena)
{
    void *at = (char *)options + row->offset;
    const char *text = NULL, *key = row->key;
    int64_t number = 0;
    switch (row->type) {
    case FB_OPTION_STRING:
    case FB_OPTION_CHOICE:
    case FB_OPTION_SET:
        if (row->path && (*(const char **)at)[0]) /* the caller's wins */
            return FB_OK;
        FB_TRY(fb_json_get_string(ctx, path, object, key, &text));
        if (text && !(*(const char **)at = fb_arena_strdup(arena, text)))
            return fb_fail(ctx, FB_E_MEMORY, "no memory for the run's options");
        return FB_OK;
    case FB_OPTION_INT32:
        number = *(int32_t *)at;
        FB_TRY(fb_json_get_int(ctx, path, object, key, INT32_MIN, INT32_MAX, &number));
        *(int32_t *)at = (int32_t)number;
        return FB_OK;
    case FB_OPTION_INT64:
        return fb_json_get_int(ctx, path, object, key, INT64_MIN, INT64_MAX, at);
    case FB_OPTION_UINT64:
        FB_TRY(fb_json_get_string(ctx, path, object, key, &text));
        if (text)
            *(uint64_t *)at = strtoull(text, NULL, 10);
        return FB_OK;
    case FB_OPTION_DOUBLE:
        return fb_json_get_double(ctx, path, object, key, -1e300, 1e300, at);
    case FB_OPTION_FLAG:
        return fb_json_get_bool(ctx, path, object, key, at);
    case FB_OPTION_LIST:
        break;
    }
    return FB_OK;
}

static fb_status read_options(fb_context *ctx, const char *path, const json_t *object,
                              fb_train_state *state, fb_train_options *options,
                              fb_arena *arena)
{
    const fb_option_table *table = &fb_train_option_table;
    int64_t stage = 0, stages = 0;
    FB_TRY(fb_json_get_int(ctx, path, object, "stage", 0, INT32_MAX, &stage));
    FB_TRY(fb_json_get_int(ctx, path, object, "stages", 0, INT32_MAX, &stages));
    state->stage = (int32_t)stage;
    state->stages = (int32_t)stages;
    options->rare_mask = 0; /* what a state that does not name it had */
    for (int32_t i = 0; i < table->count; i++)
        if (!table->rows[i].start)
            FB_TRY(read_option(ctx, path, object, &table->rows[i], options, arena));
    return FB_OK;
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
    FB_TRY(fb_json_get_double(ctx, path, root, "seconds", 0, 1e300, &state->seconds));
    FB_TRY(fb_json_get_double(ctx, path, root, "processor_seconds", 0, 1e300,
                              &state->processor_s));
    state->planned_steps = state->total_steps; /* what a state that does not say had */
    FB_TRY(fb_json_get_int(ctx, path, root, "planned_steps", 0, INT64_MAX,
                           &state->planned_steps));
    FB_TRY(fb_json_get_double(ctx, path, root, "elapsed_seconds", 0, 1e300,
                              &state->elapsed_s));
    FB_TRY(fb_json_get_double(ctx, path, root, "deadline_seconds", 0, 1e300,
                              &state->deadline_s));
    FB_TRY(fb_json_get_double(ctx, path, root, "end_seconds", 0, 1e300, &state->end_s));
    const json_t *object = json_object_get(root, "options");
    if (version != 1 || !fingerprint || !json_is_object(object))
        return fb_fail(ctx, FB_E_FORMAT, "%s: not the state of a training run", path);
    state->fingerprint = strtoull(fingerprint, NULL, 16);
    return read_options(ctx, path, object, state, options, arena);
}

fb_status fb_train_state_read(fb_context *ctx, const char *out, fb_train_state *state,
                              fb_train_options *options, fb_arena *arena)
{
    char path[4096];
    json_t *root;
    FB_TRY(fb_path_join(ctx, path, out, "last/training_state.json"));
    FB_TRY(fb_json_read(ctx, path, STATE_LIMIT, &root));
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

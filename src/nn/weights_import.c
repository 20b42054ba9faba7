/* weights_import.c - see weights_import.h. Everything is read into a copy of the
 * values, which takes their place only when all of it was good. */
#include "nn/weights_import.h"

#include "nn/problems.h"
#include "nn/tensor_source.h"
#include "nn/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX = 64, NAME = FB_PARAM_NAME + 16 + PREFIX, SHAPE_TEXT = 96 };

static const char word_table[] = "embeddings.word_embeddings.weight";
static const char position_table[] = "embeddings.position_embeddings.weight";
static const char layer_prefix[] = "encoder.layer.";
static const char decoder_weight[] = "cls.predictions.decoder.weight";

/* One import under way. */
typedef struct import {
    fb_context *ctx;
    fb_params *params;
    fb_tensor_source *source;
    char prefix[PREFIX]; /* of the trunk in the file: "", "bert.", "module.bert." */
    char outer[PREFIX];  /* of what lies beside the trunk: "", "module." */
    float *value, *buffer;
    bool *used; /* [source->count] */
    fb_problems problems;
    fb_pretrained_report report;
} import;

static bool begins(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool ends(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static void import_close(import *im)
{
    fb_tensor_source_close(im->source);
    free(im->value);
    free(im->buffer);
    free(im->used);
}

static float *copy_of(const float *block, int64_t numbers)
{
    float *copy = malloc((size_t)numbers * sizeof *copy + 1);
    if (copy && numbers > 0)
        memcpy(copy, block, (size_t)numbers * sizeof *copy);
    return copy;
}

static fb_status import_open(import *im, fb_context *ctx, fb_params *params,
                             const char *path)
{
    *im = (import){.ctx = ctx, .params = params};
    FB_TRY(fb_tensor_source_open(ctx, &im->source, path));
    im->value = copy_of(params->value, params->total);
    im->buffer = copy_of(params->buffer, params->buffer_total);
    im->used = calloc((size_t)im->source->count + 1, sizeof *im->used);
    im->report.files = im->source->files;
    im->report.tensors = im->source->count;
    if (!im->value || !im->buffer || !im->used)
        return fb_fail(ctx, FB_E_MEMORY, "%s: no memory to read it", path);
    return FB_OK;
}

/* All was read: a problem, or the copy takes the values' place. */
static fb_status import_commit(import *im, fb_pretrained_report *report)
{
    FB_TRY(fb_problems_result(im->ctx, &im->problems, im->source->path));
    fb_params *params = im->params;
    memcpy(params->value, im->value, (size_t)params->total * sizeof(float));
    if (params->buffer_total > 0)
        memcpy(params->buffer, im->buffer,
               (size_t)params->buffer_total * sizeof(float));
    fb_params_touch(params);
    im->report.ignored = im->report.tensors - im->report.read;
    if (report)
        *report = im->report;
    return FB_OK;
}

static fb_status wrong_kind(const import *im, const char *kind)
{
    char names[600] = "";
    for (int32_t i = 0, used = 0; i < im->source->count && i < 5; i++)
        used += snprintf(names + used, sizeof names - (size_t)used, "%s%.100s",
                         i ? ", " : "", im->source->tensors[i]->name);
    return fb_fail(im->ctx, FB_E_FORMAT, "%s: no tensor of a %s; it has %d: %s%s",
                   im->source->path, kind, (int)im->source->count, names,
                   im->source->count > 5 ? ", ..." : "");
}

static void shape_text(char out[SHAPE_TEXT], int32_t rank, const int64_t *dims)
{
    int used = snprintf(out, SHAPE_TEXT, "[");
    for (int32_t d = 0; d < rank && used < SHAPE_TEXT; d++)
        used += snprintf(out + used, SHAPE_TEXT - (size_t)used, "%s%lld", d ? "," : "",
                         (long long)dims[d]);
    if (used < SHAPE_TEXT)
        snprintf(out + used, SHAPE_TEXT - (size_t)used, "]");
}

/* Whether the tensor has the target's shape, or, with `more_rows`, at least its rows.
 */
static bool fits(const fb_stored_tensor *from, const fb_saved_tensor *target,
                 bool more_rows)
{
    if (from->rank != target->rank)
        return false;
    for (int32_t d = 0; d < from->rank; d++)
        if (from->dims[d] != target->dims[d] &&
            !(more_rows && d == 0 && from->dims[0] > target->dims[0]))
            return false;
    return true;
}

/* The tensor's numbers, of its first rows, to where the target says. */
static fb_status take(import *im, const fb_stored_tensor *from,
                      const fb_saved_tensor *target, bool more_rows)
{
    char has[SHAPE_TEXT], needs[SHAPE_TEXT];
    if (!fits(from, target, more_rows)) {
        shape_text(has, from->rank, from->dims);
        shape_text(needs, target->rank, target->dims);
        fb_problems_add(&im->problems, "%s has shape %s, the model %s", from->name, has,
                        needs);
        return FB_OK;
    }
    int64_t count = 1;
    for (int32_t d = 0; d < target->rank; d++)
        count *= target->dims[d];
    float *into = (float *)(uintptr_t)target->data; /* lies in this import's copy */
    fb_stored_tensor rows = *from;
    rows.count = count;
    if (fb_safetensors_to_f32(im->ctx, &rows, into) != FB_OK)
        return fb_fail_in(im->ctx, im->source->path);
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(into[i])) {
            fb_problems_add(&im->problems, "NaN or infinity in %s", from->name);
            break;
        }
    return FB_OK;
}

/* Find a tensor and remember that it was asked for. */
static const fb_stored_tensor *claim(import *im, const char *name)
{
    for (int32_t i = 0; i < im->source->count; i++)
        if (strcmp(im->source->tensors[i]->name, name) == 0) {
            im->report.read += !im->used[i];
            im->used[i] = true;
            return im->source->tensors[i];
        }
    return NULL;
}

/* ---- a BERT --------------------------------------------------------------------- */

static bool is_prediction(const char *name)
{
    return begins(name, "cls.predictions.");
}

/* A table's name as in the file ("bert.x" -> prefix x), and the older spelling of it.
 */
static const fb_stored_tensor *claim_bert(import *im, const char *name)
{
    char full[NAME];
    snprintf(full, sizeof full, "%s%s", is_prediction(name) ? im->outer : im->prefix,
             is_prediction(name) ? name : name + strlen("bert."));
    const fb_stored_tensor *t = claim(im, full);
    if (!t && strcmp(name, "cls.predictions.bias") == 0) {
        snprintf(full, sizeof full, "%scls.predictions.decoder.bias", im->outer);
        return claim(im, full);
    }
    if (t || !strstr(full, "LayerNorm."))
        return t;
    bool weight = ends(full, ".weight");
    snprintf(strrchr(full, '.'), 8, "%s", weight ? ".gamma" : ".beta");
    return claim(im, full);
}

/* One more than the highest N of "encoder.layer.N." behind the prefix. */
static int32_t layer_of(const char *name, const char *prefix)
{
    if (!begins(name, prefix) || !begins(name + strlen(prefix), layer_prefix))
        return -1;
    const char *digits = name + strlen(prefix) + strlen(layer_prefix);
    char *end = NULL;
    unsigned long n = strtoul(digits, &end, 10);
    return *digits >= '0' && *digits <= '9' && *end == '.' && n < 10000 ? (int32_t)n
                                                                        : -1;
}

static bool has_under(const import *im, const char *start)
{
    for (int32_t i = 0; i < im->source->count; i++)
        if (begins(im->source->tensors[i]->name, start))
            return true;
    return false;
}

/* What stands before the word table's name, whatever wrapped the BERT that was saved:
 * "bert.", "module.bert.", "0.auto_model.". */
static fb_status find_prefix(import *im)
{
    const char *found = NULL;
    for (int32_t i = 0; i < im->source->count; i++) {
        const char *name = im->source->tensors[i]->name;
        size_t length = strlen(name), table = strlen(word_table);
        if (!ends(name, word_table) || length - table >= PREFIX ||
            (length > table && name[length - table - 1] != '.'))
            continue;
        if (found)
            return fb_fail(im->ctx, FB_E_FORMAT,
                           "%s: two BERTs lie in it, by %.100s and %.100s",
                           im->source->path, found, name);
        found = name;
        snprintf(im->prefix, sizeof im->prefix, "%.*s", (int)(length - table), name);
    }
    if (!found && (has_under(im, "bert.embeddings.") || has_under(im, "bert.encoder.")))
        snprintf(im->prefix, sizeof im->prefix, "bert.");
    else if (!found && !has_under(im, layer_prefix))
        return wrong_kind(im, "BERT");
    size_t inner = ends(im->prefix, "bert.") ? strlen("bert.") : 0;
    snprintf(im->outer, sizeof im->outer, "%.*s", (int)(strlen(im->prefix) - inner),
             im->prefix);
    return FB_OK;
}

/* The trunk's depth; a refusal that says more than "missing" would. */
static fb_status survey_bert(import *im)
{
    FB_TRY(find_prefix(im));
    for (int32_t i = 0; i < im->source->count; i++) {
        int32_t layer = layer_of(im->source->tensors[i]->name, im->prefix);
        if (layer >= im->report.file_layers)
            im->report.file_layers = layer + 1;
    }
    for (const fb_param *p = im->params->first; p; p = p->next) {
        int32_t layer = layer_of(p->name[0], "bert.");
        if (layer >= im->report.layers)
            im->report.layers = layer + 1;
    }
    if (im->report.file_layers < im->report.layers)
        return fb_fail(im->ctx, FB_E_FORMAT,
                       "%s: it has %d layers, the model %d; give the model at most as "
                       "many",
                       im->source->path, (int)im->report.file_layers,
                       (int)im->report.layers);
    return FB_OK;
}

/* Tables whose number of rows has a meaning: refusals that name it. */
static fb_status check_table(import *im, const char *name, const fb_stored_tensor *t,
                             const fb_saved_tensor *target)
{
    if (t->rank != 2 || t->dims[1] != target->dims[1])
        return FB_OK; /* a wrong shape like any other */
    if (strcmp(name + strlen("bert."), word_table) == 0 &&
        t->dims[0] != target->dims[0])
        return fb_fail(im->ctx, FB_E_FORMAT,
                       "%s: its vocabulary has %lld tokens, the model's %lld; use the "
                       "vocab.txt that came with it",
                       im->source->path, (long long)t->dims[0],
                       (long long)target->dims[0]);
    if (strcmp(name + strlen("bert."), position_table) != 0)
        return FB_OK;
    im->report.file_positions = t->dims[0];
    im->report.positions = target->dims[0];
    if (t->dims[0] < target->dims[0])
        return fb_fail(im->ctx, FB_E_FORMAT,
                       "%s: it has %lld positions, the model %lld; give the model at "
                       "most as many",
                       im->source->path, (long long)t->dims[0],
                       (long long)target->dims[0]);
    return FB_OK;
}

static fb_status read_bert_part(import *im, const char *name,
                                const fb_saved_tensor *target)
{
    const fb_stored_tensor *t = claim_bert(im, name);
    if (!t) {
        fb_problems_add(&im->problems, "missing %s", name);
        return FB_OK;
    }
    FB_TRY(check_table(im, name, t, target));
    return take(im, t, target, ends(name, position_table));
}

/* Whether the parameter is to come from this file. */
static bool is_wanted(const import *im, const char *name)
{
    if (is_prediction(name))
        return im->report.predictions;
    return begins(name, "bert.") &&
           (im->report.pooler || !begins(name, "bert.pooler."));
}

/* Tensors of the trunk that nothing asked for: buffers and deeper layers pass, others
 * would make the file's network another one. */
static void check_rest(import *im)
{
    char embeddings[NAME], encoder[NAME];
    snprintf(embeddings, sizeof embeddings, "%sembeddings.", im->prefix);
    snprintf(encoder, sizeof encoder, "%sencoder.", im->prefix);
    for (int32_t i = 0; i < im->source->count; i++) {
        const char *name = im->source->tensors[i]->name;
        bool trunk = begins(name, embeddings) || begins(name, encoder);
        if (im->used[i] || !trunk || ends(name, "position_ids") ||
            ends(name, "embeddings.token_type_ids") ||
            layer_of(name, im->prefix) >= im->report.layers)
            continue;
        fb_problems_add(&im->problems, "not of this model: %s", name);
    }
}

/* Whether the file decodes by another matrix than its word table. */
static bool is_untied(const import *im)
{
    char name[NAME], decoder[NAME];
    snprintf(name, sizeof name, "%s%s", im->prefix, word_table);
    snprintf(decoder, sizeof decoder, "%s%s", im->outer, decoder_weight);
    const fb_stored_tensor *a = fb_tensor_source_find(im->source, name);
    const fb_stored_tensor *b = fb_tensor_source_find(im->source, decoder);
    if (!a || !b || strcmp(a->dtype, b->dtype) != 0)
        return false;
    size_t size = strcmp(a->dtype, "F32") == 0   ? 4
                  : strcmp(a->dtype, "F64") == 0 ? 8
                                                 : 2;
    return a->count != b->count ||
           (a->count > 0 && memcmp(a->bytes, b->bytes, (size_t)a->count * size) != 0);
}

static fb_status read_bert(import *im, const fb_pretrained_options *options)
{
    char pooler[NAME], transform[NAME], bias[NAME];
    FB_TRY(survey_bert(im));
    snprintf(pooler, sizeof pooler, "%spooler.", im->prefix);
    snprintf(transform, sizeof transform, "%scls.predictions.transform.", im->outer);
    snprintf(bias, sizeof bias, "%scls.predictions.bias", im->outer);
    im->report.pooler = has_under(im, pooler);
    im->report.predictions = !(options && options->without_predictions) &&
                             (has_under(im, transform) || has_under(im, bias));
    im->report.untied = im->report.predictions && is_untied(im);
    for (const fb_param *p = im->params->first; p; p = p->next)
        for (int32_t i = 0; i < p->parts && is_wanted(im, p->name[i]); i++) {
            fb_saved_tensor target = fb_weights_describe(p, i, p->name[i], im->value);
            FB_TRY(read_bert_part(im, p->name[i], &target));
        }
    check_rest(im);
    return FB_OK;
}

fb_status fb_weights_read_bert(fb_context *ctx, fb_params *params, const char *path,
                               const fb_pretrained_options *options,
                               fb_pretrained_report *report)
{
import im;
    fb_status status = import_open(&im, ctx, params, path);
    if (status == FB_OK)
        status = read_bert(&im, options);
    if (status == FB_OK)
        status = import_commit(&im, report);
    import_close(&im);
    return status;
}

/* ---- a ResNet ------------------------------------------------------------------- */

/* What stands before the stem's name: the prefix of a model of ours, else whatever is
 * before the only "conv1.weight" that no block has: "", "module.", "backbone.". */
static void find_stem(import *im, const char *prefix)
{
    char stem[NAME];
    snprintf(stem, sizeof stem, "%sconv1.weight", prefix);
    snprintf(im->prefix, sizeof im->prefix, "%s", prefix);
    if (fb_tensor_source_find(im->source, stem))
        return;
    im->prefix[0] = 0;
    for (int32_t i = 0; i < im->source->count; i++) {
        const char *name = im->source->tensors[i]->name;
        size_t length = strlen(name), tail = strlen("conv1.weight");
        if (ends(name, ".conv1.weight") && !strstr(name, "layer") &&
            length - tail < PREFIX)
            snprintf(im->prefix, sizeof im->prefix, "%.*s", (int)(length - tail), name);
    }
}

static fb_status read_resnet_part(import *im, const char *name,
                                  const fb_saved_tensor *target)
{
    char full[NAME];
    snprintf(full, sizeof full, "%s%s", im->prefix, name);
    const fb_stored_tensor *t = claim(im, full);
    if (t)
        return take(im, t, target, false);
    fb_problems_add(&im->problems, "missing %s", name);
    return FB_OK;
}

/* Whether the table has anything of the stage ("layer4.") that the tensor lies in. */
static bool has_stage(const import *im, const char *prefix, const char *name)
{
    char stage[NAME];
    size_t length = strcspn(name, ".") + 1;
    snprintf(stage, sizeof stage, "%s%.*s", prefix, (int)length, name);
    for (const fb_param *p = im->params->first; p; p = p->next)
        if (begins(p->name[0], stage))
            return true;
    return false;
}

static fb_status read_resnet(import *im, const char *prefix)
{
    char stem[NAME], block[NAME];
    find_stem(im, prefix);
    size_t skip = strlen(prefix);
    snprintf(stem, sizeof stem, "%sconv1.weight", im->prefix);
    snprintf(block, sizeof block, "%slayer1.0.conv1.", im->prefix);
    if (!fb_tensor_source_find(im->source, stem) || !has_under(im, block))
        return wrong_kind(im, "ResNet");
    for (const fb_param *p = im->params->first; p; p = p->next)
        for (int32_t i = 0; i < p->parts && begins(p->name[i], prefix); i++) {
            fb_saved_tensor target = fb_weights_describe(p, i, p->name[i], im->value);
            FB_TRY(read_resnet_part(im, p->name[i] + skip, &target));
        }
    for (const fb_buffer *b = im->params->first_buffer; b; b = b->next)
        if (begins(b->name, prefix)) {
            fb_saved_tensor target = fb_weights_describe_buffer(b, im->buffer);
            FB_TRY(read_resnet_part(im, b->name + skip, &target));
        }
    for (int32_t i = 0; i < im->source->count; i++) {
        const char *name = im->source->tensors[i]->name;
        if (!begins(name, im->prefix))
            continue;
        name += strlen(im->prefix);
        bool deeper = begins(name, "layer") && !has_stage(im, prefix, name);
        if (!im->used[i] && !deeper && !begins(name, "fc.") &&
            !ends(name, ".num_batches_tracked"))
            fb_problems_add(&im->problems, "not of this model: %s", name);
    }
    return FB_OK;
}

fb_status fb_weights_read_resnet(fb_context *ctx, fb_params *params, const char *path,
                                 const char *prefix, fb_pretrained_report *report)
{
import im;
    fb_status status = import_open(&im, ctx, params, path);
    if (status == FB_OK)
        status = read_resnet(&im, prefix);
    if (status == FB_OK)
        status = import_commit(&im, report);
    import_close(&im);
    return status;
}

/* test_weights_import.c - pre-trained weights: what transformers computes from the
 * models of tools/make_pretrained_golden.py must come out here, and every file that
 * does not fit must say so and change nothing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "nn/tensor_source.h"
#include "nn/weights_import.h"
#include "support/sentence.h"

#define GOLDEN FB_TEST_DATA "/golden/pretrained"

enum { MOST = 80 }; /* tensors of a file that a test writes */

typedef struct world {
    fb_context *ctx;
    fb_backend *be;
    fb_matcher *matcher;
    fb_safetensors *expected;
    fb_arena *arena;
    char folder[64], path[96];
} world;

static fb_model_config golden_config(void)
{
    return (fb_model_config){.layers = 2,
                             .width = 16,
                             .heads = 2,
                             .inner = 32,
                             .vocab = 64,
                             .positions = 12,
                             .segments = 2,
                             .eps = 1e-12,
                             .init_std = 0.02,
                             .encoder = "pixels",
                             .image_size = 16,
                             .grid = 2,
                             .std = {1, 1, 1},
                             .max_text = 10};
}

static void world_open(world *w, const char *backend, const fb_model_config *config)
{
    *w = (world){.ctx = fb_context_create(), .folder = "/tmp/fb_pretrained_XXXXXX"};
    w->arena = fb_arena_create(1 << 20);
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->path, sizeof w->path, "%s/model.safetensors", w->folder);
    assert_int_equal(fb_backend_create(w->ctx, &w->be, backend, "f32", 2), FB_OK);
    assert_int_equal(
        fb_safetensors_open(w->ctx, &w->expected, GOLDEN "/expected.safetensors"),
        FB_OK);
    assert_int_equal(fb_matcher_create(w->ctx, &w->matcher, config, FB_MODEL_SCORE),
                     FB_OK);
    fb_params_initialise(w->matcher->params, 1);
}

static void world_close(world *w)
{
    w->matcher->system->free(w->matcher, w->be);
    fb_safetensors_close(w->expected);
    fb_arena_free(w->arena);
    fb_backend_free(w->be);
    (void)unlink(w->path);
    assert_int_equal(rmdir(w->folder), 0);
    fb_context_free(w->ctx);
}

static const fb_stored_tensor *expected(const world *w, const char *name)
{
    const fb_stored_tensor *t = fb_safetensors_find(w->expected, name);
    assert_non_null(t);
    return t;
}

static void compare(const char *what, const float *got, const fb_stored_tensor *t,
                    double tolerance)
{
    const float *want = (const float *)(const void *)t->bytes;
    for (int64_t i = 0; i < t->count; i++) {
        double error = fabs((double)got[i] - (double)want[i]);
        if (!(error <= tolerance * (1 + fabs((double)want[i]))))
            fail_msg("%s[%lld] is %.9g, transformers has %.9g", what, (long long)i,
                     (double)got[i], (double)want[i]);
    }
}

/* The golden texts' hidden states, on a tape that stays open. */
static fb_var *hidden_of(world *w, fb_tape *tape)
{
    fb_var *hidden;
    fb_tape_begin(tape, w->ctx, w->be, w->arena, false);
    assert_int_equal(
        sentence_hidden((fb_fashionbert *)w->matcher, tape,
                        (const int32_t *)(const void *)expected(w, "ids")->bytes,
                        (const int32_t *)(const void *)expected(w, "offsets")->bytes, 4,
                        &hidden),
        FB_OK);
    return hidden;
}

static void compare_means(world *w, const char *name)
{
    fb_tape tape = {0};
    float vectors[4 * 16];
    fb_var *hidden = hidden_of(w, &tape);
    sentence_means(hidden, (const int32_t *)(const void *)expected(w, "offsets")->bytes,
                   4, vectors);
    assert_int_equal(expected(w, name)->count, 4 * 16);
    compare(name, vectors, expected(w, name), 1e-5);
    fb_arena_reset(w->arena);
}

static void compare_heads(world *w)
{
    fb_fashionbert *m = (fb_fashionbert *)w->matcher;
    const int32_t *offsets =
        (const int32_t *)(const void *)expected(w, "offsets")->bytes;
    fb_tape tape = {0};
    fb_var *hidden = hidden_of(w, &tape), *cls, *pooled, *inner, *normed, *logits;
    compare("hidden", hidden->value.data, expected(w, "hidden"), 2e-5);
    assert_int_equal(fb_op_gather(&tape, &cls, hidden, NULL, offsets, 4), FB_OK);
    assert_int_equal(
        fb_op_linear(&tape, &pooled, cls, m->pooler_weight, m->pooler_bias, false),
        FB_OK);
    assert_int_equal(fb_op_tanh(&tape, &pooled, pooled), FB_OK);
    compare("pooled", pooled->value.data, expected(w, "pooled"), 2e-5);
    assert_int_equal(fb_op_linear_act(&tape, &inner, hidden, m->mlm_weight, m->mlm_bias,
                                      FB_ACT_GELU),
                     FB_OK);
    assert_int_equal(
        fb_op_norm(&tape, &normed, inner, NULL, m->mlm_gamma, m->mlm_beta, 1e-12f),
        FB_OK);
    assert_int_equal(
        fb_op_linear(&tape, &logits, normed, m->word, m->decoder_bias, true), FB_OK);
    compare("logits", logits->value.data, expected(w, "logits"), 2e-5);
    fb_arena_reset(w->arena);
}

static fb_status read_into(world *w, const char *path, fb_pretrained_report *report)
{
    fb_context_clear(w->ctx);
    return fb_weights_read_bert(w->ctx, w->matcher->params, path, NULL, report);
}

static void check_pretraining(const char *backend, const char *path, int32_t files)
{
    world w;
    fb_model_config config = golden_config();
    fb_pretrained_report report;
    world_open(&w, backend, &config);
    uint64_t version = ((fb_fashionbert *)w.matcher)->word->weight.version;
    float image = ((fb_fashionbert *)w.matcher)->projector->weight.data[5];
    assert_int_equal(read_into(&w, path, &report), FB_OK);
    assert_int_equal(report.files, files);
    assert_int_equal(report.tensors, 46);
    assert_int_equal(report.read, 44);
    assert_int_equal(report.ignored, 2); /* seq_relationship */
    assert_int_equal(report.layers, 2);
    assert_int_equal(report.file_layers, 2);
    assert_int_equal(report.positions, 12);
    assert_int_equal(report.file_positions, 12);
    assert_true(report.pooler && report.predictions && !report.untied);
    assert_true(((fb_fashionbert *)w.matcher)->word->weight.version > version);
    assert_true(((fb_fashionbert *)w.matcher)->projector->weight.data[5] == image);
    compare_heads(&w);
    compare_means(&w, "mean");
    world_close(&w);
}

static void a_folder_computes_what_transformers_computes(void **state)
{
    (void)state;
    check_pretraining("ref", GOLDEN "/pretraining", 1);
    check_pretraining("cpu", GOLDEN "/pretraining", 1);
    check_pretraining("ref", GOLDEN "/pretraining/model.safetensors", 1);
}

static void shards_are_one_model(void **state)
{
    (void)state;
    check_pretraining("ref", GOLDEN "/sharded", 2);
    check_pretraining("ref", GOLDEN "/sharded/model.safetensors.index.json", 2);
}

static void bare_names_gamma_and_no_pooler_are_read(void **state)
{
    (void)state;
    world w;
    fb_model_config config = golden_config();
    fb_pretrained_report report;
    world_open(&w, "cpu", &config);
    float pooler = ((fb_fashionbert *)w.matcher)->pooler_weight->weight.data[3];
    assert_int_equal(read_into(&w, GOLDEN "/bare", &report), FB_OK);
    assert_int_equal(report.read, 37);
    assert_int_equal(report.ignored, 1); /* position_ids */
    assert_false(report.pooler || report.predictions);
    assert_true(((fb_fashionbert *)w.matcher)->pooler_weight->weight.data[3] == pooler);
    compare_means(&w, "bare");
    world_close(&w);
}

static void predictions_are_left_aside_when_told(void **state)
{
    (void)state;
    world w;
    fb_model_config config = golden_config();
    fb_pretrained_options options = {.without_predictions = true};
    fb_pretrained_report report;
    world_open(&w, "ref", &config);
    float before = ((fb_fashionbert *)w.matcher)->mlm_weight->weight.data[0];
    assert_int_equal(fb_weights_read_bert(w.ctx, w.matcher->params,
                                          GOLDEN "/pretraining", &options, &report),
                     FB_OK);
    assert_false(report.predictions);
    assert_int_equal(report.read, 39);
    assert_true(((fb_fashionbert *)w.matcher)->mlm_weight->weight.data[0] == before);
    world_close(&w);
}

static void fewer_layers_and_positions_take_the_first(void **state)
{
    (void)state;
    world w, whole;
    fb_model_config config = golden_config(), full = golden_config();
    fb_pretrained_report report;
    config.layers = 1;
    config.positions = 10;
    world_open(&w, "ref", &config);
    world_open(&whole, "ref", &full);
    assert_int_equal(read_into(&w, GOLDEN "/pretraining", &report), FB_OK);
    assert_int_equal(report.layers, 1);
    assert_int_equal(report.file_layers, 2);
    assert_int_equal(report.positions, 10);
    assert_int_equal(report.file_positions, 12);
    assert_int_equal(report.ignored, 2 + 16);
    assert_int_equal(read_into(&whole, GOLDEN "/pretraining", NULL), FB_OK);
    fb_fashionbert *a = (fb_fashionbert *)w.matcher,
                   *b = (fb_fashionbert *)whole.matcher;
    assert_memory_equal(a->position->weight.data, b->position->weight.data,
                        10 * 16 * sizeof(float));
    assert_memory_equal(a->encoder.layer[0].qkv_weight->weight.data,
                        b->encoder.layer[0].qkv_weight->weight.data,
                        3 * 16 * 16 * sizeof(float));
    world_close(&whole);
    world_close(&w);
}

/* Reading `path` fails with `status` and these words, and nothing has changed. */
static void expect_refusal(world *w, const char *path, fb_status status,
                           const char *const *words)
{
    const fb_params *p = w->matcher->params;
    size_t bytes = (size_t)p->total * sizeof(float);
    float *before = malloc(bytes);
    memcpy(before, p->value, bytes);
    uint64_t version = p->first->leaf.weight.version;
    fb_pretrained_report report = {.files = -7};
    assert_int_equal(read_into(w, path, &report), status);
    for (; *words; words++)
        if (!strstr(fb_context_message(w->ctx), *words))
            fail_msg("\"%s\" lacks \"%s\"", fb_context_message(w->ctx), *words);
    assert_memory_equal(p->value, before, bytes);
    assert_int_equal(p->first->leaf.weight.version, version);
    assert_int_equal(report.files, -7);
    free(before);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void other_sizes_are_refused_by_name(void **state)
{
    (void)state;
    const struct {
        int32_t layers, width, vocab, positions;
        const char *words[3];
    } rows[] = {
        {3, 16, 64, 12, {"has 2 layers, the model 3", "pretraining"}},
        {2, 16, 65, 12, {"vocabulary has 64 tokens, the model's 65", "vocab.txt"}},
        {2, 16, 64, 13, {"has 12 positions, the model 13", "pretraining"}},
        {2,
         32,
         64,
         12,
         {"word_embeddings.weight has shape [64,16], the model [64,32]",
          "41 of its tensors"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        world w;
        fb_model_config config = golden_config();
        config.layers = rows[i].layers;
        config.width = rows[i].width;
        config.vocab = rows[i].vocab;
        config.positions = rows[i].positions;
        world_open(&w, "ref", &config);
        expect_refusal(&w, GOLDEN "/pretraining", FB_E_FORMAT, rows[i].words);
        world_close(&w);
    }
}

/* The tensors of the golden file, to be spoilt and written to w->path. */
typedef struct contents {
    fb_safetensors *file;
    fb_saved_tensor tensors[MOST];
    int32_t count;
} contents;

static void contents_open(world *w, contents *c)
{
    *c = (contents){0};
    assert_int_equal(
        fb_safetensors_open(w->ctx, &c->file, GOLDEN "/pretraining/model.safetensors"),
        FB_OK);
    for (; c->count < c->file->count; c->count++) {
        const fb_stored_tensor *t = &c->file->tensors[c->count];
        fb_saved_tensor *s = &c->tensors[c->count];
        *s = (fb_saved_tensor){
            .name = t->name, .rank = t->rank, .data = (const void *)t->bytes};
        memcpy(s->dims, t->dims, (size_t)t->rank * sizeof s->dims[0]);
    }
}

static fb_saved_tensor *find(contents *c, const char *name)
{
    for (int32_t i = 0; i < c->count; i++)
        if (strcmp(c->tensors[i].name, name) == 0)
            return &c->tensors[i];
    fail_msg("no %s", name);
    return NULL;
}

static void expect_spoilt(world *w, contents *c, const char *const *words)
{
    assert_int_equal(fb_safetensors_write(w->ctx, w->path, c->tensors, c->count),
                     FB_OK);
    expect_refusal(w, w->folder, FB_E_FORMAT, words);
}

static void missing_and_foreign_tensors_are_named(void **state)
{
    (void)state;
    world w;
    contents c;
    fb_model_config config = golden_config();
    world_open(&w, "ref", &config);
    contents_open(&w, &c);
    find(&c, "bert.encoder.layer.1.attention.self.key.weight")->name = "x";
    expect_spoilt(&w, &c,
                  WORDS("1 of its", "missing bert.encoder.layer.1.attention.self.key."
                                    "weight"));
    find(&c, "bert.pooler.dense.bias")->name = "bert.encoder.layer.0.crossattention.x";
    expect_spoilt(&w, &c,
                  WORDS("3 of its", "missing bert.pooler.dense.bias",
                        "not of this model: bert.encoder.layer.0.crossattention.x"));
    for (int32_t i = 0; i < c.count; i++)
        if (strstr(c.tensors[i].name, "layer.0."))
            c.tensors[i].name = "y";
    c.count = 1; /* one of the embeddings alone: no layers */
    expect_spoilt(&w, &c, WORDS("has 0 layers, the model 2"));
    fb_safetensors_close(c.file);
    world_close(&w);
}

static void ten_missing_tensors_are_named_and_all_counted(void **state)
{
    (void)state;
    world w;
    contents c;
    fb_model_config config = golden_config();
    world_open(&w, "ref", &config);
    contents_open(&w, &c);
    for (int32_t i = 0; i < c.count;) /* keep one of each layer */
        if (strstr(c.tensors[i].name, "encoder.layer.") &&
            !strstr(c.tensors[i].name, "query.bias"))
            c.tensors[i] = c.tensors[--c.count];
        else
            i++;
    expect_spoilt(&w, &c,
                  WORDS("30 of its",
                        "missing bert.encoder.layer.0.attention.self.query.weight,"));
    int named = 0;
    for (const char *at = fb_context_message(w.ctx); (at = strstr(at, "missing "));
         at++)
        named++;
    assert_int_equal(named, 10);
    fb_safetensors_close(c.file);
    world_close(&w);
}

static void numbers_that_are_not_finite_are_named(void **state)
{
    (void)state;
    world w;
    contents c;
    fb_model_config config = golden_config();
    float spoilt[16] = {0};
    spoilt[15] = NAN;
    world_open(&w, "ref", &config);
    contents_open(&w, &c);
    find(&c, "bert.embeddings.LayerNorm.bias")->data = spoilt;
    expect_spoilt(
        &w, &c, WORDS("1 of its", "NaN or infinity in bert.embeddings.LayerNorm.bias"));
    fb_safetensors_close(c.file);
    world_close(&w);
}

static void other_networks_are_told_by_what_they_have(void **state)
{
    (void)state;
    world w;
    fb_model_config config = golden_config();
    world_open(&w, "ref", &config);
    expect_refusal(&w, GOLDEN "/resnet", FB_E_FORMAT,
                   WORDS("no tensor of a BERT", "bn1.num_batches_tracked"));
    expect_refusal(&w, FB_TEST_DATA "/golden/safetensors/types.safetensors",
                   FB_E_FORMAT, WORDS("no tensor of a BERT", "i64"));
    world_close(&w);
}

/* IEEE binary16, by arithmetic: the exponent's five bits and ten of the mantissa. */
static uint16_t half_of(float f)
{
    double a = fabs((double)f);
    uint16_t sign = signbit(f) ? 0x8000 : 0;
    if (a < 0x1p-14)
        return (uint16_t)(sign | (uint16_t)lrint(a * 0x1p24));
    int e = ilogb(a);
    return (uint16_t)(sign + ((e + 15) << 10) + lrint((ldexp(a, -e) - 1) * 1024));
}

/* The golden weights as another program would save them: half the bytes a number, and
 * names behind those of what wrapped the model. */
static void rewrite_half(world *w, const char *prefix, bool bf16)
{
    contents c;
    char *header = NULL, name[256];
    size_t header_bytes, at = 0;
    contents_open(w, &c);
    FILE *stream = open_memstream(&header, &header_bytes);
    for (int32_t i = 0; i < c.count; i++) {
        int64_t count = 1;
        snprintf(name, sizeof name, "%s%s", prefix, c.tensors[i].name);
        fprintf(stream, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "{", name,
                bf16 ? "BF16" : "F16");
        for (int32_t d = 0; d < c.tensors[i].rank; d++) {
            count *= c.tensors[i].dims[d];
            fprintf(stream, "%s%lld", d ? "," : "", (long long)c.tensors[i].dims[d]);
        }
        fprintf(stream, "],\"data_offsets\":[%zu,%zu]}", at, at + (size_t)count * 2);
        at += (size_t)count * 2;
    }
    fputc('}', stream);
    assert_int_equal(fclose(stream), 0);
    uint8_t *bytes = calloc(1, 8 + header_bytes + at), *to = bytes + 8 + header_bytes;
    uint64_t size = header_bytes;
    memcpy(bytes, &size, 8);
    memcpy(bytes + 8, header, header_bytes);
    for (int32_t i = 0; i < c.count; i++) {
        const float *from = (const float *)c.tensors[i].data;
        int64_t count = 1;
        for (int32_t d = 0; d < c.tensors[i].rank; d++)
            count *= c.tensors[i].dims[d];
        for (int64_t k = 0; k < count; k++, to += 2) {
            uint16_t half = half_of(from[k]);
            fb_bf16 brain = fb_bf16_from_f32(from[k]);
            memcpy(to, bf16 ? (const void *)&brain : (const void *)&half, 2);
        }
    }
    assert_int_equal(fb_file_write(w->ctx, w->path, bytes, 8 + header_bytes + at),
                     FB_OK);
    free(bytes);
    free(header);
    fb_safetensors_close(c.file);
}

static void halves_and_wrapped_names_are_read(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"", "module.", "model."};
    for (int i = 0; i < 6; i++) {
        world w, whole;
        fb_model_config config = golden_config();
        fb_pretrained_report report;
        bool bf16 = i % 2;
        world_open(&w, "ref", &config);
        world_open(&whole, "ref", &config);
        assert_int_equal(read_into(&whole, GOLDEN "/pretraining", NULL), FB_OK);
        rewrite_half(&w, prefixes[i / 2], bf16);
        if (read_into(&w, w.path, &report) != FB_OK)
            fail_msg("%s", fb_context_message(w.ctx));
        assert_true(report.pooler && report.predictions);
        const fb_params *a = w.matcher->params, *b = whole.matcher->params;
        for (int64_t k = 0; k < a->total; k++) {
            double most = fabs((double)b->value[k]) * (bf16 ? 0x1p-8 : 0x1p-11) + 6e-8;
            assert_true(fabs((double)a->value[k] - (double)b->value[k]) <= most);
        }
        world_close(&whole);
        world_close(&w);
    }
}

static void whole_numbers_are_no_weights(void **state)
{
    (void)state;
    world w;
    fb_model_config config = golden_config();
    world_open(&w, "ref", &config);
    char header[256];
    int length = snprintf(header, sizeof header,
                          "{\"embeddings.word_embeddings.weight\":{\"dtype\":\"I32\","
                          "\"shape\":[64,16],\"data_offsets\":[0,4096]},"
                          "\"encoder.layer.1.x\":{\"dtype\":\"F32\",\"shape\":[0],"
                          "\"data_offsets\":[4096,4096]}}");
    uint8_t bytes[8 + 256 + 4096] = {0};
    uint64_t size = (uint64_t)length;
    memcpy(bytes, &size, 8);
    memcpy(bytes + 8, header, (size_t)length);
    assert_int_equal(fb_file_write(w.ctx, w.path, bytes, 8 + (size_t)length + 4096),
                     FB_OK);
    expect_refusal(&w, w.path, FB_E_DTYPE,
                   WORDS("embeddings.word_embeddings.weight", "I32", w.path));
    world_close(&w);
}

static void files_that_are_none_are_told_what_would_be(void **state)
{
    (void)state;
    world w;
    fb_model_config config = golden_config();
    world_open(&w, "ref", &config);
    expect_refusal(&w, w.folder, FB_E_MISSING,
                   WORDS("model.safetensors.index.json", "convert_weights.py"));
    expect_refusal(&w, "/nonexistent/pytorch_model.bin", FB_E_FORMAT,
                   WORDS("pytorch_model.bin", "convert_weights.py"));
    expect_refusal(&w, "/nonexistent/x.safetensors", FB_E_MISSING,
                   WORDS("/nonexistent/x.safetensors"));
    world_close(&w);
}

static void an_index_may_only_name_files_beside_it(void **state)
{
    (void)state;
    const char *const bad[][2] = {
        {"{\"weight_map\":{\"a\":\"../x.safetensors\"}}", "../x.safetensors"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "/etc/passwd"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "\"..\""},
        {"{\"weight_map\":{\"a\":\"\"}}", "\"\""},
        {"{\"weight_map\":{\"a\":7}}", "(no text)"},
        {"{\"weight_map\":{}}", "weight_map"},
        {"[]", "weight_map"},
        {"{\"weight_map\":", "not JSON"}};
    fb_context *ctx = fb_context_create();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fb_shard_index index;
        assert_int_equal(
            fb_shard_index_parse(ctx, &index, "index", bad[i][0], strlen(bad[i][0])),
            FB_E_FORMAT);
        if (!strstr(fb_context_message(ctx), bad[i][1]))
            fail_msg("\"%s\" lacks %s", fb_context_message(ctx), bad[i][1]);
        assert_null(index.arena);
    }
    fb_context_free(ctx);
}

static void shards_that_lack_a_tensor_or_are_missing_are_named(void **state)
{
    (void)state;
    world w;
    fb_model_config config = golden_config();
    char index[128];
    const float one = 1;
    const fb_saved_tensor t = {"there", 1, {1}, &one};
    world_open(&w, "ref", &config);
    snprintf(index, sizeof index, "%s/model.safetensors.index.json", w.folder);
    const char *text = "{\"weight_map\":{\"a.weight\":\"s.safetensors\"}}";
    assert_int_equal(fb_file_write(w.ctx, index, text, strlen(text)), FB_OK);
    expect_refusal(&w, w.folder, FB_E_MISSING, WORDS("/s.safetensors"));
    char shard[128];
    snprintf(shard, sizeof shard, "%s/s.safetensors", w.folder);
    assert_int_equal(fb_safetensors_write(w.ctx, shard, &t, 1), FB_OK);
    expect_refusal(&w, w.folder, FB_E_FORMAT, WORDS("a.weight", "s.safetensors"));
    assert_int_equal(unlink(shard), 0);
    assert_int_equal(unlink(index), 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_computes_what_transformers_computes),
        cmocka_unit_test(shards_are_one_model),
        cmocka_unit_test(bare_names_gamma_and_no_pooler_are_read),
        cmocka_unit_test(predictions_are_left_aside_when_told),
        cmocka_unit_test(fewer_layers_and_positions_take_the_first),
        cmocka_unit_test(other_sizes_are_refused_by_name),
        cmocka_unit_test(missing_and_foreign_tensors_are_named),
        cmocka_unit_test(ten_missing_tensors_are_named_and_all_counted),
        cmocka_unit_test(numbers_that_are_not_finite_are_named),
        cmocka_unit_test(other_networks_are_told_by_what_they_have),
        cmocka_unit_test(halves_and_wrapped_names_are_read),
        cmocka_unit_test(whole_numbers_are_no_weights),
        cmocka_unit_test(files_that_are_none_are_told_what_would_be),
        cmocka_unit_test(an_index_may_only_name_files_beside_it),
        cmocka_unit_test(shards_that_lack_a_tensor_or_are_missing_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

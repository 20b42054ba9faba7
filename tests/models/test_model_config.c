/* test_model_config.c - presets, config.json in and out, and every value that it must
 * refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "models/model_config.h"
#include "models/system.h"

static fb_model_config preset(const char *name)
{
    fb_context *ctx = fb_context_create();
    fb_model_config c;
    assert_int_equal(fb_model_config_preset(ctx, &c, name), FB_OK);
    fb_context_free(ctx);
    return c;
}

static void presets_have_the_documented_sizes(void **state)
{
    (void)state;
    const struct {
        const char *name;
        int32_t layers, width, heads, inner;
    } want[] = {{"mini", 4, 256, 4, 1024},
                {"small", 4, 512, 8, 2048},
                {"base", 12, 768, 12, 3072}};
    for (int i = 0; i < 3; i++) {
        fb_context *ctx = fb_context_create();
        fb_model_config c = preset(want[i].name);
        assert_int_equal(c.layers, want[i].layers);
        assert_int_equal(c.width, want[i].width);
        assert_int_equal(c.heads, want[i].heads);
        assert_int_equal(c.inner, want[i].inner);
        assert_int_equal(fb_model_config_patches(&c), 64);
        assert_int_equal(fb_model_config_features(&c), 32 * 32 * 3);
        assert_int_equal(fb_model_config_check(ctx, &c, "preset"), FB_OK);
        fb_context_free(ctx);
    }
}

static void unknown_preset_is_misuse_and_names_the_right_ones(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_model_config c;
    assert_int_equal(fb_model_config_preset(ctx, &c, "huge"), FB_E_USAGE);
    assert_non_null(strstr(fb_context_message(ctx), "huge"));
    assert_non_null(strstr(fb_context_message(ctx), "mini, small or base"));
    fb_context_free(ctx);
}

/* Every field differs from every preset's. */
static fb_model_config odd_config(void)
{
    return (fb_model_config){.system = fb_systems_find("fashionbert"),
                             .layers = 3,
                             .width = 60,
                             .heads = 5,
                             .inner = 77,
                             .vocab = 1234,
                             .positions = 40,
                             .segments = 3,
                             .eps = 1e-6,
                             .init_std = 0.1 + 0.2,
                             .dropout = 0.25,
                             .encoder = "pixels",
                             .image_size = 48,
                             .grid = 3,
                             .squash = true,
                             .mean = {0.1, -2, 1.0 / 3},
                             .std = {0.5, 1e-3, 7},
                             .max_text = 33,
                             .views = 2,
                             .each = true,
                             .vector = 24,
                             .text_layers = 2,
                             .patches_from = 3,
                             .head = FB_HEAD_PRODUCT,
                             .score = FB_SCORE_BOTH,
                             .alignment_weight = 0.3,
                             .similarity_weight = 1.0 / 7,
                             .score_bias = -2.5,
                             .neighbour_weight = 0.25};
}

static void expect_same(const fb_model_config *a, const fb_model_config *b)
{
    assert_ptr_equal(a->system, b->system);
    assert_int_equal(a->layers, b->layers);
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->heads, b->heads);
    assert_int_equal(a->inner, b->inner);
    assert_int_equal(a->vocab, b->vocab);
    assert_int_equal(a->positions, b->positions);
    assert_int_equal(a->segments, b->segments);
    assert_true(a->eps == b->eps);
    assert_true(a->init_std == b->init_std);
    assert_true(a->dropout == b->dropout);
    assert_string_equal(a->encoder, b->encoder);
    assert_int_equal(a->image_size, b->image_size);
    assert_int_equal(a->grid, b->grid);
    assert_int_equal(a->squash, b->squash);
    assert_int_equal(a->max_text, b->max_text);
    assert_int_equal(a->views, b->views);
    assert_int_equal(a->each, b->each);
    assert_int_equal(a->vector, b->vector);
    assert_int_equal(a->text_layers, b->text_layers);
    assert_int_equal(a->patches_from, b->patches_from);
    assert_int_equal(a->head, b->head);
    assert_int_equal(a->score, b->score);
    assert_int_equal(a->regions, b->regions);
    assert_int_equal(a->region_width, b->region_width);
    assert_int_equal(a->region_most, b->region_most);
    assert_int_equal(a->region_classes, b->region_classes);
    assert_true(a->alignment_weight == b->alignment_weight);
    assert_true(a->similarity_weight == b->similarity_weight);
    assert_true(a->score_bias == b->score_bias);
    assert_true(a->neighbour_weight == b->neighbour_weight);
    assert_memory_equal(a->mean, b->mean, sizeof a->mean);
    assert_memory_equal(a->std, b->std, sizeof a->std);
}

static void written_config_is_read_back_whole(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    char folder[] = "/tmp/fb_config_XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/config.json", folder);
    fb_model_config want = odd_config(), got = preset("mini");
    assert_int_equal(fb_model_config_write(ctx, &want, path), FB_OK);
    assert_int_equal(fb_model_config_read(ctx, &got, path), FB_OK);
    expect_same(&got, &want);
    want.regions = true;
    want.region_width = 2048;
    want.region_most = 100;
    want.region_classes = 1601;
    assert_int_equal(fb_model_config_write(ctx, &want, path), FB_OK);
    assert_int_equal(fb_model_config_read(ctx, &got, path), FB_OK);
    expect_same(&got, &want);
    want.regions = false;
    want.squash = false; /* the other words */
    want.system = fb_systems_find("selfie");
    snprintf(want.encoder, sizeof want.encoder, "thin");
    assert_int_equal(fb_model_config_write(ctx, &want, path), FB_OK);
    assert_int_equal(fb_model_config_read(ctx, &got, path), FB_OK);
    expect_same(&got, &want);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    fb_context_free(ctx);
}

/* Strict JSON: a system's key that is another's too is found by reading it. */
static void keys_of_every_system_are_written_once(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    char folder[] = "/tmp/fb_config_XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/config.json", folder);
    for (int32_t i = 0; i < fb_systems_count(); i++) {
        fb_model_config c = preset("mini");
        json_t *root;
        fb_model_config_set_system(&c, fb_systems_get(i));
        assert_int_equal(fb_model_config_write(ctx, &c, path), FB_OK);
        if (fb_json_read(ctx, path, 1 << 20, &root) != FB_OK)
            fail_msg("%s: %s", fb_systems_get(i)->name, fb_context_message(ctx));
        json_decref(root);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    fb_context_free(ctx);
}

static void missing_file_is_named(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_model_config c = preset("mini");
    assert_int_equal(fb_model_config_read(ctx, &c, "/nonexistent/config.json"),
                     FB_E_MISSING);
    assert_non_null(strstr(fb_context_message(ctx), "/nonexistent/config.json"));
    fb_context_free(ctx);
}

static void absent_keys_keep_what_was_there(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_model_config got = odd_config(), want = odd_config();
    const char *text = "{\"vocab_size\": 9, \"unknown\": [], \"fashionbert\": "
                       "{\"max_text\": 7}}";
    want.vocab = 9;
    want.max_text = 7;
    assert_int_equal(fb_model_config_parse(ctx, &got, "c", text, strlen(text)), FB_OK);
    expect_same(&got, &want);
    assert_int_equal(fb_model_config_parse(ctx, &got, "c", "{}", 2), FB_OK);
    expect_same(&got, &want);
    fb_context_free(ctx);
}

static void config_of_a_hugging_face_bert_is_read(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_model_config c = preset("mini");
    const char *text =
        "{\"architectures\":[\"BertForMaskedLM\"],\"hidden_act\":\"gelu\","
        "\"hidden_dropout_prob\":0.1,\"hidden_size\":768,\"initializer_range\":0.02,"
        "\"intermediate_size\":3072,\"layer_norm_eps\":1e-12,"
        "\"max_position_embeddings\":512,\"model_type\":\"bert\","
        "\"num_attention_heads\":12,\"num_hidden_layers\":12,\"pad_token_id\":0,"
        "\"type_vocab_size\":2,\"vocab_size\":30522}";
    assert_int_equal(fb_model_config_parse(ctx, &c, "c", text, strlen(text)), FB_OK);
    assert_int_equal(c.layers, 12);
    assert_int_equal(c.width, 768);
    assert_int_equal(c.vocab, 30522);
    assert_int_equal(c.grid, 8);
    fb_context_free(ctx);
}

static void config_that_transformers_wrote_is_read(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_model_config c = preset("mini");
    c.max_text = 12;
    assert_int_equal(fb_model_config_read(ctx, &c,
                                          FB_TEST_DATA
                                          "/golden/pretrained/pretraining/config.json"),
                     FB_OK);
    assert_int_equal(c.layers, 2);
    assert_int_equal(c.width, 16);
    assert_int_equal(c.heads, 2);
    assert_int_equal(c.inner, 32);
    assert_int_equal(c.vocab, 64);
    assert_int_equal(c.positions, 12);
    assert_int_equal(c.segments, 2);
    assert_true(c.eps == 1e-12);
    assert_true(c.dropout == 0.1);
    fb_context_free(ctx);
}

/* Over "mini": FB_E_FORMAT, a sentence with the name and `word`, and nothing changed.
 */
static void refuse(const char *text, const char *word)
{
    fb_context *ctx = fb_context_create();
    fb_model_config c = preset("mini"), before = preset("mini");
    fb_status status = fb_model_config_parse(ctx, &c, "bad.json", text, strlen(text));
    if (status != FB_E_FORMAT)
        fail_msg("%s gave %s", text, fb_status_name(status));
    if (strncmp(fb_context_message(ctx), "bad.json: ", 10) != 0 ||
        !strstr(fb_context_message(ctx), word))
        fail_msg("%s gave \"%s\" without %s", text, fb_context_message(ctx), word);
    expect_same(&c, &before);
    fb_context_free(ctx);
}

static void whole_numbers_out_of_range_are_named(void **state)
{
    (void)state;
    const struct {
        const char *key;
        bool ours;
        long long low, high;
    } keys[] = {{"num_hidden_layers", false, 0, 48},
                {"hidden_size", false, 1, 8192},
                {"num_attention_heads", false, 1, 256},
                {"intermediate_size", false, 1, 32768},
                {"vocab_size", false, 0, 1000000},
                {"max_position_embeddings", false, 2, 8192},
                {"type_vocab_size", false, 1, 16},
                {"image_size", true, 1, 2048},
                {"grid", true, 1, 64},
                {"region_width", true, 0, 65536},
                {"region_most", true, 0, 4096},
                {"region_classes", true, 0, 1000000},
                {"max_text", true, 2, 8192}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char values[6][32] = {"1.5", "\"8\"", "null", "9223372036854775807"};
        snprintf(values[4], 32, "%lld", keys[i].low - 1);
        snprintf(values[5], 32, "%lld", keys[i].high + 1);
        for (int v = 0; v < 6; v++) {
            char text[320];
            snprintf(text, sizeof text,
                     keys[i].ours ? "{\"fashionbert\":{\"%s\":%s}}" : "{\"%s\":%s}",
                     keys[i].key, values[v]);
            refuse(text, keys[i].key);
        }
    }
}

static void numbers_out_of_range_are_named(void **state)
{
    (void)state;
    const char *const bad[][2] = {
        {"{\"layer_norm_eps\":0}", "layer_norm_eps"},
        {"{\"layer_norm_eps\":2}", "layer_norm_eps"},
        {"{\"layer_norm_eps\":\"1e-12\"}", "layer_norm_eps"},
        {"{\"initializer_range\":-0.1}", "initializer_range"},
        {"{\"initializer_range\":11}", "initializer_range"},
        {"{\"hidden_dropout_prob\":1}", "hidden_dropout_prob"},
        {"{\"hidden_dropout_prob\":-1e-9}", "hidden_dropout_prob"},
        {"{\"fashionbert\":{\"mean\":0.5}}", "mean"},
        {"{\"fashionbert\":{\"mean\":[0,0]}}", "mean"},
        {"{\"fashionbert\":{\"mean\":[0,0,0,0]}}", "mean"},
        {"{\"fashionbert\":{\"mean\":[0,\"0\",0]}}", "mean"},
        {"{\"fashionbert\":{\"mean\":[0,0,1e300]}}", "mean"},
        {"{\"fashionbert\":{\"std\":[]}}", "std"},
        {"{\"fashionbert\":{\"std\":[1,0,1]}}", "std"},
        {"{\"fashionbert\":{\"std\":[1,1,-1]}}", "std"},
        {"{\"fashionbert\":{\"std\":[1e-300,1,1]}}", "std"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuse(bad[i][0], bad[i][1]);
}

static void words_that_are_not_known_are_named(void **state)
{
    (void)state;
    refuse("{\"fashionbert\":{\"encoder\":\"resnet51\"}}", "resnet51");
    refuse("{\"fashionbert\":{\"encoder\":\"thin\"}}", "thin makes a map of 22");
    refuse("{\"fashionbert\":{\"patches\":\"some\"}}", "some");
    refuse("{\"fashionbert\":{\"score\":\"best\"}}", "best");
    refuse("{\"fashionbert\":{\"score\":\"itc\"}}", "vector_size");
    refuse("{\"fashionbert\":{\"similarity_weight\":-1}}", "similarity_weight");
    refuse("{\"fashionbert\":{\"neighbour_weight\":4.5}}", "neighbour_weight");
    refuse("{\"fashionbert\":{\"system\":\"nobert\"}}", "fashionbert, selfie");
    refuse("{\"fashionbert\":{\"system\":\"selfie\",\"patches\":\"each\"}}",
           "a network as encoder");
    refuse("{\"fashionbert\":{\"system\":\"selfie\",\"encoder\":\"thin\","
           "\"image_size\":96,\"patches\":\"grid\"}}",
           "selfie needs patches each");
    refuse("{\"fashionbert\":{\"system\":\"selfie\",\"encoder\":\"thin\","
           "\"patches\":\"each\",\"grid\":2}}",
           "a grid of 3 or more");
    refuse("{\"fashionbert\":{\"vector_text_layers\":5}}", "vector_text_layers");
    refuse("{\"fashionbert\":{\"patches_from\":5}}", "patches_from");
    refuse("{\"fashionbert\":{\"alignment_head\":\"mean\"}}", "cls or product");
    refuse("{\"type_vocab_size\":3,\"fashionbert\":{\"system\":\"qti\","
           "\"alignment_head\":\"product\"}}",
           "qti's alignment_head is cls");
    refuse("{\"fashionbert\":{\"encoder\":\"pixelspixelspixelspixelspixels\"}}",
           "encoder");
    refuse("{\"fashionbert\":{\"encoder\":5}}", "encoder");
    refuse("{\"fashionbert\":{\"fit\":\"crop\"}}", "crop");
    refuse("{\"fashionbert\":{\"fit\":true}}", "fit");
    refuse("{\"hidden_act\":\"relu\"}", "relu");
    refuse("{\"hidden_act\":\"gelu_new\"}", "gelu_new");
    refuse("{\"model_type\":\"roberta\"}", "roberta is not known; use bert");
    refuse("{\"model_type\":7}", "model_type");
    refuse("{\"is_decoder\":true}", "is_decoder");
    refuse("{\"add_cross_attention\":true}", "add_cross_attention");
    refuse("{\"position_embedding_type\":\"relative_key\"}", "relative_key");
}

static void sizes_that_do_not_divide_are_named(void **state)
{
    (void)state;
    refuse("{\"hidden_size\":255}", "hidden_size");
    refuse("{\"num_attention_heads\":7}", "heads");
    refuse("{\"fashionbert\":{\"grid\":7}}", "image_size");
    refuse("{\"fashionbert\":{\"image_size\":4}}", "image_size");
    refuse("{\"max_position_embeddings\":63}", "max_text");
}

static void text_that_is_no_object_is_refused(void **state)
{
    (void)state;
    refuse("", "JSON");
    refuse("[]", "object");
    refuse("7", "object");
    refuse("{\"vocab_size\":", "JSON");
    refuse("{\"vocab_size\":7,\"vocab_size\":8}", "duplicate");
    refuse("{\"fashionbert\":3}", "fashionbert");
    refuse("{\"fashionbert\":null}", "fashionbert");
}

static void check_refuses_a_config_that_was_never_filled(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_model_config c = {0};
    assert_int_equal(fb_model_config_check(ctx, &c, "here"), FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(ctx), "here: hidden_size"));
    assert_int_equal(fb_model_config_parse(ctx, &c, "c", "{}", 2), FB_E_FORMAT);
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_have_the_documented_sizes),
        cmocka_unit_test(unknown_preset_is_misuse_and_names_the_right_ones),
        cmocka_unit_test(written_config_is_read_back_whole),
        cmocka_unit_test(keys_of_every_system_are_written_once),
        cmocka_unit_test(missing_file_is_named),
        cmocka_unit_test(absent_keys_keep_what_was_there),
        cmocka_unit_test(config_of_a_hugging_face_bert_is_read),
        cmocka_unit_test(config_that_transformers_wrote_is_read),
        cmocka_unit_test(whole_numbers_out_of_range_are_named),
        cmocka_unit_test(numbers_out_of_range_are_named),
        cmocka_unit_test(words_that_are_not_known_are_named),
        cmocka_unit_test(sizes_that_do_not_divide_are_named),
        cmocka_unit_test(text_that_is_no_object_is_refused),
        cmocka_unit_test(check_refuses_a_config_that_was_never_filled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

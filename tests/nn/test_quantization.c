/* test_quantization.c - scales of a parameter table, the leaves that use them, and the
 * file that keeps them: to the bit there and back, and whatever is wrong refused.
 */
#include "support/catalogue_fixture.h"

#include "base/random.h"
#include "nn/quantization.h"
#include "ops/ops.h"
#include "support/both_backends.h"

#include <math.h>

enum { ROWS = 5, IN = 12, OUT = 16, WIDE = 20, WINDOW = 9 };

typedef struct table {
    fb_params *params;
    fb_leaf *layer, *unused, *small, *vector, *pixels, *conv, *grouped;
} table;

static void add(fb_params *params, fb_leaf **leaf, const char *name, int64_t rows,
                int64_t columns)
{
    const char *const names[] = {name};
    const fb_param_shape shape = {1, rows, columns};
    assert_int_equal(
        fb_params_add(params, leaf, names, shape, FB_INIT_NORMAL, 0.3f, false), FB_OK);
}

static table table_make(fb_context *ctx)
{
    table t;
    assert_int_equal(fb_params_create(ctx, &t.params), FB_OK);
    add(t.params, &t.layer, "layer.weight", OUT, IN);
    add(t.params, &t.unused, "unused.weight", WIDE, IN);
    add(t.params, &t.small, "head.weight", FB_QUANTIZATION_LEAST_OUTPUTS - 1, IN);
    add(t.params, &t.vector, "layer.bias", OUT, 1);
    add(t.params, &t.pixels, "pixels.weight", OUT, WINDOW * 15);
    add(t.params, &t.conv, "conv.weight", OUT, WINDOW * 16);
    add(t.params, &t.grouped, "grouped.weight", OUT, WINDOW * 16);
    fb_params_set_kernel(t.pixels, 3, 1);
    fb_params_set_kernel(t.conv, 3, 1);
    fb_params_set_kernel(t.grouped, 3, 2);
    assert_int_equal(fb_params_allocate(t.params, false), FB_OK);
    fb_params_initialise(t.params, 4);
    return t;
}

static void scales_are_of_multiplied_matrices(void **state)
{
    fixture *f = *state;
    table t = table_make(f->ctx);
    float *w = fb_params_value(t.params, t.layer);
    fb_quantization *q = NULL;
    for (int k = 0; k < IN; k++)
        w[3 * IN + k] = 0; /* a channel of zeros has scale 0 */
    assert_int_equal(fb_quantization_make(f->ctx, &q, t.params, true), FB_OK);
    assert_int_equal(q->count, 0);
    fb_quantization_free(q);
    t.layer->multiplied = t.small->multiplied = t.conv->multiplied = true;
    t.pixels->multiplied = t.grouped->multiplied = true;
    assert_int_equal(fb_quantization_make(f->ctx, &q, t.params, true), FB_OK);
    assert_int_equal(q->count, 2);
    assert_string_equal(q->layers[0].name, "layer.weight");
    assert_string_equal(q->layers[1].name, "conv.weight");
    assert_int_equal(q->total, 2 * OUT);
    for (int n = 0; n < OUT; n++) {
        float most = 0;
        for (int k = 0; k < IN; k++)
            most = fmaxf(most, fabsf(w[n * IN + k]));
        assert_true(q->scales[n] == most / 127.0f);
    }
    fb_quantization_free(q);
    assert_int_equal(fb_quantization_make(f->ctx, &q, t.params, false), FB_OK);
    assert_int_equal(q->count, 3); /* unused.weight too */
    fb_quantization_free(q);
    fb_params_free(t.params, NULL);
}

/* x w^T on a fresh tape, fetched to the host. */
static void multiply(fb_context *ctx, fb_backend *be, fb_leaf *w, bool recording,
                     float y[ROWS * OUT])
{
    fb_arena *arena = fb_arena_create(1 << 16);
    fb_tape tape = {0};
    float numbers[ROWS * IN];
    fb_random r = fb_random_start(2, FB_STREAM_TEST, 7);
    for (int i = 0; i < ROWS * IN; i++)
        numbers[i] = (float)fb_random_normal(&r);
    fb_tensor host = fb_tensor_2d(numbers, FB_F32, ROWS, IN);
    fb_var *x, *product;
    const void *got;
    fb_tape_begin(&tape, ctx, be, arena, recording);
    assert_int_equal(fb_tape_new_var(&tape, &x, FB_F32, ROWS, IN), FB_OK);
    assert_int_equal(fb_tape_upload(&tape, &x->value, &host), FB_OK);
    assert_int_equal(fb_op_linear(&tape, &product, x, w, NULL, false), FB_OK);
    assert_int_equal(fb_tape_read(&tape, &got, &product->value), FB_OK);
    assert_int_equal(fb_tape_fetch(&tape), FB_OK);
    memcpy(y, got, ROWS * OUT * sizeof *y);
    fb_arena_free(arena);
}

static bool are_same(const float *a, const float *b)
{
    return memcmp(a, b, ROWS * OUT * sizeof *a) == 0;
}

static void check_use(fb_context *ctx, const char *backend)
{
    float plain[ROWS * OUT], int8[ROWS * OUT], recorded[ROWS * OUT], after[ROWS * OUT];
    table t = table_make(ctx);
    fb_backend *be = NULL;
    fb_quantization *q = NULL;
    assert_int_equal(test_backend_create(ctx, &be, backend, "f32", 1), FB_OK);
    assert_int_equal(fb_quantization_make(ctx, &q, t.params, false), FB_OK);
    assert_int_equal(fb_params_move(ctx, t.params, be), FB_OK);
    assert_false(t.layer->multiplied);
    multiply(ctx, be, t.layer, false, plain);
    assert_true(t.layer->multiplied);
    assert_int_equal(fb_quantization_use(ctx, q, t.params, be), FB_OK);
    multiply(ctx, be, t.layer, false, int8);
    multiply(ctx, be, t.layer, true, recorded); /* gradients are those of f32 */
    fb_quantization_stop(q);
    multiply(ctx, be, t.layer, false, after);
    assert_true(are_same(plain, recorded));
    assert_true(are_same(plain, after));
    assert_false(are_same(plain, int8));
    for (int i = 0; i < ROWS * OUT;
         i++) /* 12 terms of 1 x .3, each 1/254 off at most */
        assert_true(fabsf(plain[i] - int8[i]) < 0.1f);
    fb_quantization_free(q);
    fb_params_free(t.params, be);
    if (strcmp(backend, "poison") == 0)
        assert_int_equal(poison_backend_live(be), 0);
    fb_backend_free(be);
}

static void leaves_use_them_where_nothing_is_recorded(void **state)
{
    fixture *f = *state;
    check_use(f->ctx, "ref");
    check_use(f->ctx, "cpu");
    check_use(f->ctx, "poison");
}

/* ---- the file -------------------------------------------------------------------- */

static void write_file(const fixture *f, char path[4096])
{
    const fb_quantization_figure figures[] = {{"auc", 0.75, 0.5}};
    table t = table_make(f->ctx);
    fb_quantization *q = NULL;
    assert_int_equal(fb_quantization_make(f->ctx, &q, t.params, false), FB_OK);
    q->fingerprint = 0x0123456789abcdef;
    assert_int_equal(fb_path_join(f->ctx, path, f->folder, FB_QUANTIZATION_FILE),
                     FB_OK);
    assert_int_equal(fb_quantization_write(f->ctx, q, path, figures, 1), FB_OK);
    fb_quantization_free(q);
    fb_params_free(t.params, NULL);
}

static void file_keeps_every_bit(void **state)
{
    fixture *f = *state;
    char path[4096];
    table t = table_make(f->ctx);
    fb_quantization *q = NULL, *made = NULL;
    write_file(f, path);
    assert_int_equal(fb_quantization_make(f->ctx, &made, t.params, false), FB_OK);
    assert_int_equal(fb_quantization_read(f->ctx, &q, path), FB_OK);
    assert_true(q->fingerprint == 0x0123456789abcdef);
    assert_int_equal(q->count, made->count);
    assert_int_equal(q->total, made->total);
    for (int32_t i = 0; i < q->count; i++) {
        assert_string_equal(q->layers[i].name, made->layers[i].name);
        assert_int_equal(q->layers[i].outputs, made->layers[i].outputs);
        assert_int_equal(q->layers[i].offset, made->layers[i].offset);
    }
    assert_memory_equal(q->scales, made->scales, (size_t)q->total * sizeof *q->scales);
    fb_quantization_free(q);
    fb_quantization_free(made);
    fb_params_free(t.params, NULL);
}

/* Refused with a sentence, whatever its first bytes are. */
static void cut_files_are_refused(void **state)
{
    fixture *f = *state;
    char path[4096];
    uint8_t *bytes;
    size_t size;
    write_file(f, path);
    assert_int_equal(fb_file_read(f->ctx, path, 1 << 20, &bytes, &size), FB_OK);
    assert_true(size > 500);
    for (size_t length = 0; length + 2 < size; length++) { /* "}\n" end it */
        fb_quantization *q = NULL;
        char *cut = malloc(length + 1); /* so that who reads past it is seen */
        memcpy(cut, bytes, length);
        assert_int_not_equal(fb_quantization_parse(f->ctx, &q, "cut", cut, length),
                             FB_OK);
        assert_null(q);
        free(cut);
    }
    free(bytes);
}

/* Any one byte changed: read or refused, and what is read holds what the reader promises. */
static void changed_files_are_safe(void **state)
{
    fixture *f = *state;
    char path[4096];
    uint8_t *bytes;
    size_t size, refused = 0;
    write_file(f, path);
    assert_int_equal(fb_file_read(f->ctx, path, 1 << 20, &bytes, &size), FB_OK);
    fb_random r = fb_random_start(3, FB_STREAM_TEST, 1);
    for (size_t at = 0; at < size; at++) {
        fb_quantization *q = NULL;
        uint8_t before = bytes[at];
        bytes[at] = (uint8_t)fb_random_below(&r, 256);
        if (fb_quantization_parse(f->ctx, &q, "changed", (char *)bytes, size) != FB_OK)
            refused++;
        for (int64_t i = 0; q && i < q->total; i++)
            assert_true(isfinite(q->scales[i]) && q->scales[i] >= 0);
        fb_quantization_free(q);
        bytes[at] = before;
    }
    assert_true(refused > size / 4);
    free(bytes);
}

#define HEAD                                                                           \
    "{\"format\": \"fashionbert-quantization\", \"version\": 1, \"fingerprint\": "     \
    "\"00000000000000aa\", \"layers\": {"
/* Base64 of one f32. */
#define ONE      "AACAPw=="
#define NOT_ONE  "AADAfw==" /* NaN */
#define ENDLESS  "AACAfw=="
#define NEGATIVE "AACAvw=="

static void wrong_files_are_named(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"[]", "not quantisation data"},
        {"{\"format\": \"fashionbert-vectors\"}", "not quantisation data"},
        {"{\"format\": \"fashionbert-quantization\", \"version\": 2}", "version 2"},
        {"{\"format\": \"fashionbert-quantization\"}", "version 0"},
        {"{\"format\": \"fashionbert-quantization\", \"version\": 1, \"fingerprint\": "
         "\"12\"}",
         "16 hexadecimal digits"},
        {"{\"format\": \"fashionbert-quantization\", \"version\": 1, \"fingerprint\": "
         "\"00000000000000aa\"}",
         "\"layers\" must be an object"},
        {HEAD "\"a\": 1}}", "layer a is no object"},
        {HEAD "\"a\": {\"outputs\": 1}}}", "lacks"},
        {HEAD "\"a\": {\"scales\": \"" ONE "\"}}}", "lacks"},
        {HEAD "\"a\": {\"outputs\": -1, \"scales\": \"" ONE "\"}}}", "outputs"},
        {HEAD "\"a\": {\"outputs\": 2, \"scales\": \"" ONE "\"}}}",
         "not base64 of 2 numbers"},
        {HEAD "\"a\": {\"outputs\": 1, \"scales\": \"AACA*w==\"}}}",
         "not base64 of 1 numbers"},
        {HEAD "\"a\": {\"outputs\": 1, \"scales\": \"" NOT_ONE "\"}}}",
         "scale 0 of layer a is nan"},
        {HEAD "\"a\": {\"outputs\": 1, \"scales\": \"" ENDLESS "\"}}}",
         "scale 0 of layer a is inf"},
        {HEAD "\"a\": {\"outputs\": 1, \"scales\": \"" NEGATIVE "\"}}}",
         "scale 0 of layer a is -1"},
        {HEAD "\"a\": {\"outputs\": 1, \"scales\": \"" ONE
              "\"}, \"a\": {\"outputs\": 1, \"scales\": \"" ONE "\"}}}",
         "uplicate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fb_quantization *q = NULL;
        fb_status status = fb_quantization_parse(f->ctx, &q, "wrong", cases[i].text,
                                                 strlen(cases[i].text));
        assert_int_equal(status, FB_E_FORMAT);
        assert_null(q);
        if (!strstr(fb_context_message(f->ctx), cases[i].words))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].text,
                     fb_context_message(f->ctx), cases[i].words);
    }
}

/* Right by itself, and not this model's. */
static void layers_of_another_model_are_refused(void **state)
{
    fixture *f = *state;
    static const char *const texts[] = {
        HEAD "\"other.weight\": {\"outputs\": 1, \"scales\": \"" ONE "\"}}}",
        HEAD "\"layer.weight\": {\"outputs\": 1, \"scales\": \"" ONE "\"}}}",
        HEAD "\"layer.bias\": {\"outputs\": 1, \"scales\": \"" ONE "\"}}}",
    };
    fb_backend *be = NULL;
    assert_int_equal(test_backend_create(f->ctx, &be, "poison", "f32", 1), FB_OK);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        table t = table_make(f->ctx);
        fb_quantization *q = NULL;
        assert_int_equal(
            fb_quantization_parse(f->ctx, &q, "text", texts[i], strlen(texts[i])),
            FB_OK);
        assert_int_equal(fb_params_move(f->ctx, t.params, be), FB_OK);
        assert_int_equal(fb_quantization_use(f->ctx, q, t.params, be), FB_E_FORMAT);
        assert_null(t.layer->int8_scale);
        fb_quantization_free(q);
        fb_params_free(t.params, be);
    }
    assert_int_equal(poison_backend_live(be), 0);
    fb_backend_free(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(scales_are_of_multiplied_matrices),
        FIXTURE_TEST(leaves_use_them_where_nothing_is_recorded),
        FIXTURE_TEST(file_keeps_every_bit),
        FIXTURE_TEST(cut_files_are_refused),
        FIXTURE_TEST(changed_files_are_safe),
        FIXTURE_TEST(wrong_files_are_named),
        FIXTURE_TEST(layers_of_another_model_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

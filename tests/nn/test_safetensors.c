/* test_safetensors.c - the safetensors reader and writer: what it wrote, what Python's
 * library wrote (tools/make_safetensors_golden.py), and files that lie.
 */
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

#include "nn/safetensors.h"

static const char *const golden_path =
    FB_TEST_DATA "/golden/safetensors/types.safetensors";

static fb_safetensors *open_golden(fb_context *ctx)
{
    fb_safetensors *file = NULL;
    assert_int_equal(fb_safetensors_open(ctx, &file, golden_path), FB_OK);
    return file;
}

/* The tensor as f32 equals `want` to the bit; where `want` is a NaN, it is one too. */
static void expect_numbers(const char *name, const char *dtype, const float *want,
                           int64_t count)
{
    fb_context *ctx = fb_context_create();
    fb_safetensors *file = open_golden(ctx);
    const fb_stored_tensor *t = fb_safetensors_find(file, name);
    assert_non_null(t);
    assert_string_equal(t->dtype, dtype);
    assert_int_equal(t->count, count);
    float got[16];
    assert_int_equal(fb_safetensors_to_f32(ctx, t, got), FB_OK);
    for (int64_t i = 0; i < count; i++) {
        if (isnan(want[i]))
            assert_true(isnan(got[i]));
        else if (memcmp(&got[i], &want[i], 4) != 0)
            fail_msg("%s[%d] is %a, not %a", name, (int)i, (double)got[i],
                     (double)want[i]);
    }
    fb_safetensors_close(file);
    fb_context_free(ctx);
}

static void python_f32_is_read_to_the_bit(void **state)
{
    (void)state;
    const float want[] = {1.5f, -0.0f, 3.4e38f, 1e-45f, -1e-3f, 7.0f};
    expect_numbers("f32", "F32", want, 6);
}

static void python_f16_is_read_with_subnormals_and_infinities(void **state)
{
    (void)state;
    const float want[] = {0.0f,     -0.0f,     1.0f,       -2.5f,
                          0x1p-24f, -0x3p-24f, 0x3ffp-24f, 0x1p-14f,
                          65504.0f, INFINITY,  -INFINITY,  NAN};
    expect_numbers("f16", "F16", want, 12);
}

static void python_bf16_is_read_with_subnormals_and_nan(void **state)
{
    (void)state;
    const uint32_t subnormal_bits = 0x00010000u; /* 1e-40 rounded to bf16 */
    float subnormal;
    memcpy(&subnormal, &subnormal_bits, 4);
    const float want[] = {1.0f, -0.15625f, subnormal, INFINITY, NAN};
    expect_numbers("bf16", "BF16", want, 5);
}

static void python_f64_is_rounded_to_f32(void **state)
{
    (void)state;
    const float want[] = {0.1f, -INFINITY, 0.0f, 3.0f};
    expect_numbers("f64", "F64", want, 4);
}

static void python_scalar_and_empty_tensor_have_their_shapes(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_safetensors *file = open_golden(ctx);
    assert_int_equal(file->count, 7);
    const fb_stored_tensor *empty = fb_safetensors_find(file, "empty");
    const fb_stored_tensor *scalar = fb_safetensors_find(file, "scalar");
    assert_int_equal(empty->rank, 2);
    assert_int_equal(empty->dims[0], 0);
    assert_int_equal(empty->dims[1], 3);
    assert_int_equal(empty->count, 0);
    assert_int_equal(fb_safetensors_to_f32(ctx, empty, NULL), FB_OK);
    assert_int_equal(scalar->rank, 0);
    assert_int_equal(scalar->count, 1);
    float value = 0;
    assert_int_equal(fb_safetensors_to_f32(ctx, scalar, &value), FB_OK);
    assert_true(value == 2.75f);
    assert_null(fb_safetensors_find(file, "__metadata__"));
    fb_safetensors_close(file);
    fb_context_free(ctx);
}

static void integers_are_refused_as_numbers(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    fb_safetensors *file = open_golden(ctx);
    float out[2];
    const fb_stored_tensor *t = fb_safetensors_find(file, "i64");
    int64_t second;
    memcpy(&second, t->bytes + 8, 8);
    assert_true(second == -(INT64_C(1) << 62));
    assert_int_equal(fb_safetensors_to_f32(ctx, t, out), FB_E_DTYPE);
    assert_non_null(strstr(fb_context_message(ctx), "i64"));
    assert_non_null(strstr(fb_context_message(ctx), "I64"));
    fb_safetensors_close(file);
    fb_context_free(ctx);
}

/* ---- writing -------------------------------------------------------------------- */

typedef struct folder {
    char path[64], file[96];
} folder;

static void folder_open(folder *f)
{
    strcpy(f->path, "/tmp/fb_safetensors_XXXXXX");
    assert_non_null(mkdtemp(f->path));
    snprintf(f->file, sizeof f->file, "%s/t.safetensors", f->path);
}

static void folder_close(folder *f)
{
    (void)unlink(f->file);
    assert_int_equal(rmdir(f->path), 0); /* nothing else was left there */
}

static void written_tensors_are_read_back_to_the_bit(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    folder f;
    folder_open(&f);
    const float a[6] = {1, -0.0f, NAN, INFINITY, 1e-45f, 6}, b[1] = {0.1f};
    const fb_saved_tensor tensors[] = {{"z \"quoted\"/\xc3\xa9", 2, {3, 2}, a},
                                       {"a", 1, {1, 0}, b},
                                       {"none", 2, {0, 5}, NULL},
                                       {"one", 0, {0, 0}, a + 5}};
    assert_int_equal(fb_safetensors_write(ctx, f.file, tensors, 4), FB_OK);
    fb_safetensors *file = NULL;
    assert_int_equal(fb_safetensors_open(ctx, &file, f.file), FB_OK);
    assert_int_equal(file->count, 4);
    for (int i = 0; i < 4; i++) {
        const fb_stored_tensor *t = &file->tensors[i];
        const int64_t counts[4] = {6, 1, 0, 1};
        assert_string_equal(t->name, tensors[i].name);
        assert_string_equal(t->dtype, "F32");
        assert_int_equal(t->rank, tensors[i].rank);
        for (int32_t d = 0; d < t->rank; d++)
            assert_int_equal(t->dims[d], tensors[i].dims[d]);
        assert_int_equal(t->count, counts[i]);
        if (t->count)
            assert_memory_equal(t->bytes, tensors[i].data, (size_t)t->count * 4);
        assert_int_equal((uintptr_t)t->bytes % 4, 0); /* the header is padded */
    }
    fb_safetensors_close(file);
    folder_close(&f);
    fb_context_free(ctx);
}

static void write_into_a_missing_folder_is_an_error_naming_it(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    const float a[1] = {1};
    const fb_saved_tensor t = {"a", 1, {1, 0}, a};
    assert_int_equal(fb_safetensors_write(ctx, "/nonexistent/x.safetensors", &t, 1),
                     FB_E_MISSING);
    assert_non_null(strstr(fb_context_message(ctx), "/nonexistent/x.safetensors"));
    fb_context_free(ctx);
}

/* ---- files that lie ------------------------------------------------------------- */

/* Parse header + data_bytes zero bytes from a block of exactly that size. */
static fb_status parse_header(fb_context *ctx, const char *header, size_t data_bytes)
{
    uint64_t length = strlen(header);
    size_t size = 8 + (size_t)length + data_bytes;
    uint8_t *bytes = calloc(1, size);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, (size_t)length);
    fb_safetensors *file = NULL;
    fb_status status = fb_safetensors_parse(ctx, &file, "liar.st", bytes, size);
    assert_true((status == FB_OK) == (file != NULL));
    fb_safetensors_close(file);
    free(bytes);
    return status;
}

/* Refused, in a sentence with the file's name and `word`. */
static void refuse(const char *header, size_t data_bytes, const char *word)
{
    fb_context *ctx = fb_context_create();
    fb_status status = parse_header(ctx, header, data_bytes);
    if (status != FB_E_FORMAT && status != FB_E_LIMIT)
        fail_msg("%s gave %s", header, fb_status_name(status));
    if (strncmp(fb_context_message(ctx), "liar.st: ", 9) != 0 ||
        !strstr(fb_context_message(ctx), word))
        fail_msg("%s gave \"%s\" without %s", header, fb_context_message(ctx), word);
    fb_context_free(ctx);
}

#define ENTRY(dtype, shape, offsets)                                                   \
    "{\"w\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void good_header_is_accepted(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    assert_int_equal(parse_header(ctx, ENTRY("\"F32\"", "[2]", "[0,8]"), 8), FB_OK);
    assert_int_equal(parse_header(ctx, "{}  ", 0), FB_OK);
    assert_int_equal(parse_header(ctx, ENTRY("\"BOOL\"", "[]", "[0,1]"), 1), FB_OK);
    assert_int_equal(parse_header(ctx, "{\"__metadata__\":{\"a\":\"b\"}}", 0), FB_OK);
    fb_context_free(ctx);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    uint8_t *whole = NULL;
    size_t size = 0;
    fb_safetensors *file = NULL;
    assert_int_equal(fb_file_read(ctx, golden_path, 1 << 16, &whole, &size), FB_OK);
    assert_int_equal(fb_safetensors_parse(ctx, &file, "cut.st", whole, size), FB_OK);
    fb_safetensors_close(file);
    for (size_t n = 0; n < size; n++) {
        uint8_t *part = malloc(n ? n : 1); /* its own block: overreads are seen */
        memcpy(part, whole, n);
        file = NULL;
        fb_context_clear(ctx);
        fb_status status = fb_safetensors_parse(ctx, &file, "cut.st", part, n);
        if (status != FB_E_FORMAT || file)
            fail_msg("%zu of %zu bytes gave %s", n, size, fb_status_name(status));
        assert_non_null(strstr(fb_context_message(ctx), "cut.st"));
        free(part);
    }
    free(whole);
    fb_context_free(ctx);
}

static void huge_header_length_is_refused(void **state)
{
    (void)state;
    const uint64_t lengths[] = {9,          1 << 20,        (64u << 20) + 1,
                                UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        fb_context *ctx = fb_context_create();
        uint8_t bytes[16] = {0};
        memcpy(bytes, &lengths[i], 8);
        fb_safetensors *file = NULL;
        assert_int_equal(fb_safetensors_parse(ctx, &file, "long.st", bytes, 16),
                         FB_E_FORMAT);
        assert_non_null(strstr(fb_context_message(ctx), "long.st"));
        fb_context_free(ctx);
    }
}

static void name_used_twice_is_refused(void **state)
{
    (void)state;
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},"
           "\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}",
           1, "duplicate");
}

static void header_that_is_no_object_is_refused(void **state)
{
    (void)state;
    refuse("[1,2]", 0, "object");
    refuse("3", 0, "object");
    refuse("null", 0, "object");
    refuse("", 0, "JSON");
    refuse("{\"w\":", 0, "JSON");
    refuse("{} x", 0, "JSON");
    refuse("{\"w\":7}", 0, "tensor w");
    refuse("{\"w\":[]}", 0, "tensor w");
    refuse("{\"\\u0000\":{}}", 0, "JSON");
}

static void unknown_dtype_is_refused(void **state)
{
    (void)state;
    refuse(ENTRY("\"F8_E4M3\"", "[1]", "[0,1]"), 1, "F8_E4M3");
    refuse(ENTRY("\"\"", "[1]", "[0,1]"), 1, "dtype");
    refuse(ENTRY("32", "[1]", "[0,4]"), 4, "dtype");
    refuse("{\"w\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype");
}

static void wrong_shapes_are_refused(void **state)
{
    (void)state;
    refuse(ENTRY("\"U8\"", "3", "[0,3]"), 3, "shape");
    refuse(ENTRY("\"U8\"", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1, "shape");
    refuse(ENTRY("\"U8\"", "[-1]", "[0,1]"), 1, "dimension 0");
    refuse(ENTRY("\"U8\"", "[1,-1]", "[0,1]"), 1, "dimension 1");
    refuse(ENTRY("\"U8\"", "[1.0]", "[0,1]"), 1, "dimension 0");
    refuse(ENTRY("\"U8\"", "[\"1\"]", "[0,1]"), 1, "dimension 0");
    refuse(ENTRY("\"U8\"", "[4294967296]", "[0,0]"), 0, "dimension 0");
    refuse(ENTRY("\"U8\"", "[9223372036854775807]", "[0,0]"), 0, "dimension 0");
    refuse("{\"w\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "shape");
}

static void product_of_dimensions_that_overflows_is_refused(void **state)
{
    (void)state;
    refuse(ENTRY("\"U8\"", "[2147483647,2147483647,4]", "[0,4]"), 4, "dimension");
    /* 2^64 elements: 0 in 64 bits */
    refuse(ENTRY("\"F64\"", "[65536,65536,65536,65536]", "[0,0]"), 0, "dimension");
    /* 2^61 elements of 8 bytes: 0 in 64 bits */
    refuse(ENTRY("\"F64\"", "[1073741824,1073741824,2]", "[0,0]"), 0, "dimension");
}

static void wrong_offsets_are_refused(void **state)
{
    (void)state;
    refuse(ENTRY("\"F32\"", "[2]", "[0,8]"), 7, "cut short");
    refuse(ENTRY("\"F32\"", "[2]", "[-8,0]"), 8, "tensor w");
    refuse(ENTRY("\"F32\"", "[2]", "[8,0]"), 8, "tensor w");
    refuse(ENTRY("\"F32\"", "[2]", "[9223372036854775800,9223372036854775807]"), 8,
           "tensor w");
    refuse(ENTRY("\"F32\"", "[2]", "[0,8,16]"), 16, "data_offsets");
    refuse(ENTRY("\"F32\"", "[2]", "[0]"), 8, "data_offsets");
    refuse(ENTRY("\"F32\"", "[2]", "[0.0,8.0]"), 8, "data_offsets");
    refuse(ENTRY("\"F32\"", "[2]", "{\"0\":0}"), 8, "data_offsets");
    refuse("{\"w\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "data_offsets");
}

static void bytes_that_do_not_fit_the_shape_are_refused(void **state)
{
    (void)state;
    refuse(ENTRY("\"F32\"", "[2]", "[0,4]"), 8, "shape");
    refuse(ENTRY("\"F16\"", "[2]", "[0,8]"), 8, "shape");
    refuse(ENTRY("\"F32\"", "[0]", "[0,4]"), 8, "shape");
}

static void missing_folder_and_empty_files_are_errors_naming_them(void **state)
{
    (void)state;
    fb_context *ctx = fb_context_create();
    folder f;
    folder_open(&f);
    fb_safetensors *file = NULL;
    assert_int_equal(fb_safetensors_open(ctx, &file, f.file), FB_E_MISSING);
    assert_non_null(strstr(fb_context_message(ctx), f.file));
    assert_int_equal(fb_safetensors_open(ctx, &file, f.path), FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(ctx), f.path));
    assert_int_equal(fb_file_write(ctx, f.file, "", 0), FB_OK);
    assert_int_equal(fb_safetensors_open(ctx, &file, f.file), FB_E_FORMAT);
    assert_non_null(strstr(fb_context_message(ctx), f.file));
    assert_null(file);
    folder_close(&f);
    fb_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(python_f32_is_read_to_the_bit),
        cmocka_unit_test(python_f16_is_read_with_subnormals_and_infinities),
        cmocka_unit_test(python_bf16_is_read_with_subnormals_and_nan),
        cmocka_unit_test(python_f64_is_rounded_to_f32),
        cmocka_unit_test(python_scalar_and_empty_tensor_have_their_shapes),
        cmocka_unit_test(integers_are_refused_as_numbers),
        cmocka_unit_test(written_tensors_are_read_back_to_the_bit),
        cmocka_unit_test(write_into_a_missing_folder_is_an_error_naming_it),
        cmocka_unit_test(good_header_is_accepted),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(huge_header_length_is_refused),
        cmocka_unit_test(name_used_twice_is_refused),
        cmocka_unit_test(header_that_is_no_object_is_refused),
        cmocka_unit_test(unknown_dtype_is_refused),
        cmocka_unit_test(wrong_shapes_are_refused),
        cmocka_unit_test(product_of_dimensions_that_overflows_is_refused),
        cmocka_unit_test(wrong_offsets_are_refused),
        cmocka_unit_test(bytes_that_do_not_fit_the_shape_are_refused),
        cmocka_unit_test(missing_folder_and_empty_files_are_errors_naming_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

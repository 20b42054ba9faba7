/* test_html.c - outside text stays text, and bytes come through base64 as RFC 4648
 * says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/html.h"

static char *written_text(const char *text)
{
    char *out = NULL;
    size_t size;
    FILE *stream = open_memstream(&out, &size);
    assert_non_null(stream);
    fb_html_text(stream, text);
    assert_int_equal(fclose(stream), 0);
    return out;
}

static void markup_in_text_is_shown_and_not_obeyed(void **state)
{
    (void)state;
    char *out = written_text("<img src=x onerror='a(\"b\")'> & \x01\n\xe9\x9e\x8b");
    assert_string_equal(
        out,
        "&lt;img src=x onerror=&#39;a(&quot;b&quot;)&#39;&gt; &amp;   \xe9\x9e\x8b");
    free(out);
}

/* The test vectors of RFC 4648, section 10. */
static void bytes_become_base64(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"},
                                             {"\xfb\xff\xbf", "+/+/"}};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        char *out = NULL, expected[64];
        size_t size;
        FILE *stream = open_memstream(&out, &size);
        assert_non_null(stream);
        fb_html_data_uri(stream, "image/png", (const uint8_t *)vectors[i][0],
                         strlen(vectors[i][0]));
        assert_int_equal(fclose(stream), 0);
        snprintf(expected, sizeof expected, "data:image/png;base64,%s", vectors[i][1]);
        assert_string_equal(out, expected);
        free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(markup_in_text_is_shown_and_not_obeyed),
        cmocka_unit_test(bytes_become_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

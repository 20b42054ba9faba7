/* fuzz_click_log.c - any bytes as a click log. What is accepted keeps its promises:
 * each pair once, with a number of clicks or skips, its texts not empty and within
 * limits. */
#include "data/catalogue/click_log.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size ? size : 1); /* exact, so that overreads are seen */
    if (!text)
        return 0;
    memcpy(text, data, size);
    fb_context ctx = {0};
    fb_click_log *log = NULL;
    fb_status status = fb_click_log_parse(&ctx, &log, "fuzz", text, size);
    if ((status == FB_OK) != (log != NULL) || (status != FB_OK && !ctx.message[0]))
        abort();
    for (int32_t i = 0; log && i < fb_click_log_count(log); i++) {
        const fb_click *c = fb_click_log_get(log, i);
        if (c->clicks < 0 || c->skips < 0 || c->clicks + c->skips < 1 || c->line < 1 ||
            c->query < 0 || c->query >= fb_click_log_queries(log) || c->product < 0 ||
            c->product >= fb_click_log_products(log))
            abort();
        size_t query = strlen(fb_click_log_query(log, c->query));
        size_t product = strlen(fb_click_log_product(log, c->product));
        if (!query || query > FB_CLICK_QUERY_BYTES || !product ||
            product > FB_CLICK_PRODUCT_BYTES)
            abort();
        for (int32_t j = 0; j < i && j < 64; j++) {
            const fb_click *other = fb_click_log_get(log, j);
            if (other->query == c->query && other->product == c->product)
                abort();
        }
    }
    fb_click_log_free(log);
    free(text);
    return 0;
}

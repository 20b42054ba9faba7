/* fuzz_http_form.c - any bytes as the body of any request, JSON or multipart: read or
 * refused; what was read passes the same check again. The first byte chooses the
 * request, the second the format.
 */
#include "server/http_bodies.h"
#include "server/http_form.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const fb_schema *const requests[] = {&fb_search_request, &fb_match_request,
                                            &fb_rerank_request, &fb_encode_request,
                                            &fb_explain_request};

/* Every byte of every image is there. */
static uint32_t sum_blobs(const fb_form *form)
{
    uint32_t sum = 0;
    for (int32_t i = 0; i < form->blob_count; i++)
        for (size_t k = 0; k < form->blobs[i].size_bytes; k++)
            sum += form->blobs[i].bytes[k];
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char boundary[FB_BOUNDARY_BYTES] = "X", header[128];
    if (size < 2)
        return 0;
    const fb_schema *schema = requests[bytes[0] % 5];
    fb_media media = bytes[1] % 2 ? FB_MEDIA_MULTIPART : FB_MEDIA_JSON;
    fb_context *ctx = fb_context_create();
    uint8_t *body = malloc(size);
    fb_form form = {0};
    memcpy(body, bytes + 2, size - 2);
    size_t length = size - 2 < sizeof header - 1 ? size - 2 : sizeof header - 1;
    memcpy(header, body, length);
    header[length] = 0;
    (void)fb_media_parse(header, boundary);
    fb_status status = fb_form_read(ctx, &form, schema, media, "X", body, size - 2);
    if (status == FB_OK) {
        volatile uint32_t sum = sum_blobs(&form);
        (void)sum;
        if (fb_schema_check(ctx, schema, &form, true) != FB_OK)
            abort();
    }
    fb_form_free(&form);
    free(body);
    fb_context_free(ctx);
    return 0;
}

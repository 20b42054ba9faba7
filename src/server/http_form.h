/* http_form.h - a request's body, JSON or multipart/form-data, to a checked form.
 *
 *     application/json       {"text": "red dress", "image": "<base64>", "k": 10}
 *     multipart/form-data    part "text": red dress      part "k": 10
 *                            part "image": the file      part "filter": {"size":"M"}
 *
 * Both are checked against the same schema (http_schema.h). In multipart a string is
 * the part's text as it stands, an array is the same part several times, and a number,
 * true, false or an object is written as JSON.
 *
 * The body must outlive the form: images of multipart lie in it.
 */
#ifndef FB_SERVER_HTTP_FORM_H
#define FB_SERVER_HTTP_FORM_H

#include "server/http_schema.h"

typedef enum fb_media { FB_MEDIA_JSON, FB_MEDIA_MULTIPART, FB_MEDIA_OTHER } fb_media;

enum {
    FB_BOUNDARY_BYTES = 72, /* RFC 2046: at most 70, and the 0 */
    FB_FORM_PARTS = 4096,
    FB_PART_HEADER_BYTES = 4096
};

/* What a Content-Type header (NULL: none) names; of multipart also the boundary. JSON
 * in another charset than UTF-8 is FB_MEDIA_OTHER. */
fb_media fb_media_parse(const char *content_type, char boundary[FB_BOUNDARY_BYTES]);

/* FB_E_FORMAT  not JSON, not UTF-8, or broken multipart
 * FB_E_USAGE   a field is wrong
 * FB_E_MEMORY.  On failure the form is to be freed too. */
fb_status fb_form_read(fb_context *ctx, fb_form *form, const fb_schema *schema,
                       fb_media media, const char *boundary, uint8_t *body,
                       size_t size_bytes);

#endif

/* openapi.h - /openapi.json (OpenAPI 3.1), written from the table of routes. */
#ifndef FB_SERVER_OPENAPI_H
#define FB_SERVER_OPENAPI_H

#include "base/status.h"

/* *text is malloc'ed. FB_E_MEMORY */
fb_status fb_openapi_write(fb_context *ctx, char **text, size_t *bytes);

#endif

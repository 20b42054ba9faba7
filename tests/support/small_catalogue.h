/* small_catalogue.h - catalogue folders that a test writes row by row, in a temporary
 * place. Whatever fails stops the test. */
#ifndef TESTS_SUPPORT_SMALL_CATALOGUE_H
#define TESTS_SUPPORT_SMALL_CATALOGUE_H

#include <stdio.h>

#include "data/image/image_decode.h"

typedef struct small_catalogue {
    char folder[256];
    FILE *metadata;
    int32_t count;
} small_catalogue;

void small_catalogue_make(small_catalogue *c);
/* images/N.png, or N.jpg with a quality above 0, and the row {"file_name": ...,
 * fields}; `fields` is JSON, such as "\"title\": \"red\"". The image is freed. */
void small_catalogue_add(small_catalogue *c, fb_image image, int32_t quality,
                         const char *fields);
/* The same with these bytes as images/N.png. */
void small_catalogue_add_bytes(small_catalogue *c, const void *bytes, size_t size_bytes,
                               const char *fields);
/* Call before reading the folder. */
void small_catalogue_flush(small_catalogue *c);
void small_catalogue_remove(small_catalogue *c);

#endif

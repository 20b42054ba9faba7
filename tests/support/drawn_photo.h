/* drawn_photo.h - pictures that look enough like product photos to tell and to compare:
 * six overlapping ellipses on white. */
#ifndef TESTS_SUPPORT_DRAWN_PHOTO_H
#define TESTS_SUPPORT_DRAWN_PHOTO_H

#include "data/image/image_decode.h"

/* Places come from `shape`, colours from `colour`: the same at any size. To be freed
 * with fb_image_free. */
fb_image drawn_photo(uint64_t shape, uint64_t colour, int32_t width, int32_t height);

#endif

/* hdf5_text.h - strings of HDF5 files: bytes in a field of fixed size. */
#ifndef FB_DATA_IMPORT_HDF5_TEXT_H
#define FB_DATA_IMPORT_HDF5_TEXT_H

#include "base/status.h"

/* bytes [size] up to the first 0 byte, without white space around them, as UTF-8 into
 * out [2 * size + 1]; returns how many bytes without the 0 behind them. They are
 * Latin-1, or UTF-8 where `utf8` says so and they are. Controls become
 * blanks: bytes below 32, 127, and in Latin-1 128 to 159. */
size_t fb_hdf5_field(const uint8_t *bytes, size_t size, bool utf8, char *out);

#endif

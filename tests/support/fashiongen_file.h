/* fashiongen_file.h - a small HDF5 file with the datasets of Fashion-Gen's, written
 * through libhdf5. Built only where HDF5 is.
 *
 * Products are the shapes of make_catalogue.c, with one to three views each, side by
 * side; name, description and colour say what is drawn. Row r of a file is the same
 * whatever its length.
 */
#ifndef FB_TESTS_HDF5_FASHIONGEN_FILE_H
#define FB_TESTS_HDF5_FASHIONGEN_FILE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct fashiongen_options {
    int32_t rows, side;    /* side: pixels of the square images */
    uint32_t seed;         /* another seed: other products */
    bool compressed;       /* images in compressed chunks of 3 rows */
    bool variable;         /* strings of variable size, numbers for product ids */
    const char *leave_out; /* a dataset that is not written; NULL: all are */
    const char *shorten;   /* a dataset with one row less; NULL: none */
} fashiongen_options;

/* False when it could not be written. */
bool fashiongen_write(const char *path, const fashiongen_options *options);

#endif

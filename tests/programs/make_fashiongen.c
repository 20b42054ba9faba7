/* make_fashiongen.c - a small file like Fashion-Gen's for the tests of the command:
 *
 *     make_fashiongen OUT.h5 ROWS SIDE SEED [DATASET-TO-LEAVE-OUT]
 */
#include "support/fashiongen_file.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: make_fashiongen OUT.h5 ROWS SIDE SEED [LEAVE-OUT]\n");
        return 2;
    }
    fashiongen_options o = {.rows = atoi(argv[2]),
                            .side = atoi(argv[3]),
                            .seed = (uint32_t)atoi(argv[4]),
                            .compressed = true,
                            .leave_out = argc == 6 ? argv[5] : NULL};
    if (o.rows < 1 || o.side < 8 || !fashiongen_write(argv[1], &o)) {
        fprintf(stderr, "make_fashiongen: %s: cannot be written\n", argv[1]);
        return 1;
    }
    return 0;
}

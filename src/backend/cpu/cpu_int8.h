/* cpu_int8.h - packed copies of int8 weights (backend/int8.h) for the vector kernels. */
#ifndef FB_BACKEND_CPU_CPU_INT8_H
#define FB_BACKEND_CPU_CPU_INT8_H

#include <stdint.h>

/* In the panels of vector.h's vector_int8. */
typedef struct cpu_int8_copy {
    int8_t *bytes;
    const float *scale; /* those it was made with, borrowed */
    uint64_t version;   /* of the weight; 0: none yet */
} cpu_int8_copy;

void cpu_int8_copy_free(cpu_int8_copy *copy);

#endif

/* cpu_conv_cache.h - oneDNN's convolution primitives, one a direction and exact shape,
 * in a bounded cache. Only cpu_convolution.c looks in.
 *
 * What a primitive reads and writes, N images, G groups:
 *
 *     src, dst    [N, C, H, W]              strides of rows, channels last
 *     weights     [(G,) out/G, in/G, k, k]  the library's choice; plain: fb_conv's own
 *     bias        [out]                     f32
 */
#ifndef FB_BACKEND_CPU_CPU_CONV_CACHE_H
#define FB_BACKEND_CPU_CPU_CONV_CACHE_H

#include "backend/cpu/cpu_convolution.h"
#include "backend/cpu/cpu_onednn.h"

enum { CONV_PRIMITIVES = 512 };
enum { CONV_FORWARD, CONV_INPUT, CONV_WEIGHT };

typedef struct conv_key {
    fb_conv conv; /* all int32_t, so that keys compare as bytes */
    int32_t direction, options;
} conv_key;

/* Memory objects to be pointed at numbers; NULL where the primitive has none. */
typedef struct conv_entry {
    conv_key key;
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;                      /* NULL: free or failed */
    dnnl_memory_t src, dst, bias, residual, scratch; /* not for CONV_WEIGHT */
    dnnl_memory_t packed, plain; /* of dw; the reorder adds one to the other */
    dnnl_primitive_t reorder;
    size_t scratch_bytes, packed_bytes; /* multiples of 64 */
    uint64_t used;                      /* clock of the last use */
} conv_entry;

struct cpu_convolution {
    cpu_onednn *lib;
    uint64_t clock;
    int32_t count;
    conv_entry entry[CONV_PRIMITIVES];
};

/* The entry of a key, made if need be for as many threads as cpu_onednn_enter said; it
 * stays while no CONV_PRIMITIVES others are asked for. All CONV_WEIGHT ones are to be
 * made for one thread. */
fb_status cpu_conv_find(fb_context *ctx, cpu_convolution *v, conv_entry **out,
                        const conv_key *key);

dnnl_status_t cpu_conv_desc_weights(dnnl_memory_desc_t *desc, const fb_conv *c,
                                    dnnl_data_type_t type, bool plain);

#endif

/* cpu_detect.c - which instructions this processor has: the vector table to use, and
 * whether bf16 products are fast. The one file that asks.
 */
#include "backend/cpu/vector.h"

extern const fb_vector vector_kernels_base;

#if defined(__x86_64__)
#include <cpuid.h>
#include <stdio.h>
#include <string.h>

extern const fb_vector vector_kernels_avx2, vector_kernels_avx512,
    vector_kernels_avx512bf16;

/* Leaf 7: AVX512_BF16 is bit 5 of EAX in sub-leaf 1, AMX-BF16 bit 22 of EDX in
 * sub-leaf 0; both only count where the system keeps the AVX-512 state. */
static bool has_avx512_bf16(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vnni") && /* every processor has both */
           __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
}

static bool has_amx_bf16(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __builtin_cpu_supports("avx512bw") &&
           __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1);
}

bool fb_backend_cpu_has_bf16(void)
{
    return has_avx512_bf16() || has_amx_bf16();
}

bool cpu_can_bf16(void)
{
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq");
}

/* Leaves 0x80000002 to 4: 16 bytes of its name each. */
void cpu_name(char text[64])
{
    unsigned r[4] = {0}, version = 0, unused;
    char name[49] = "";
    for (unsigned leaf = 0; leaf < 3; leaf++)
        if (__get_cpuid(0x80000002u + leaf, &r[0], &r[1], &r[2], &r[3]))
            memcpy(name + 16 * leaf, r, sizeof r);
    if (!__get_cpuid(1, &version, &unused, &unused, &unused))
        version = 0;
    snprintf(text, 64, "%s %x", name + strspn(name, " "), version);
}

int32_t cpu_vector_list(const fb_vector *sets[FB_VECTOR_SETS])
{
    int32_t count = 0;
    bool fma = __builtin_cpu_supports("fma");
    if (fma && cpu_can_bf16() && __builtin_cpu_supports("avx512cd")) {
        if (has_avx512_bf16() && __builtin_cpu_supports("avx512vnni"))
            sets[count++] = &vector_kernels_avx512bf16;
        sets[count++] = &vector_kernels_avx512;
    }
    if (fma && __builtin_cpu_supports("avx2"))
        sets[count++] = &vector_kernels_avx2;
    sets[count++] = &vector_kernels_base;
    return count;
}

#else

bool fb_backend_cpu_has_bf16(void)
{
    return false;
}

bool cpu_can_bf16(void)
{
    return false;
}

void cpu_name(char text[64])
{
    text[0] = 0;
}

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

extern const fb_vector vector_kernels_dotprod;

int32_t cpu_vector_list(const fb_vector *sets[FB_VECTOR_SETS])
{
    int32_t count = 0;
    if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP)
        sets[count++] = &vector_kernels_dotprod;
    sets[count++] = &vector_kernels_base;
    return count;
}
#else
int32_t cpu_vector_list(const fb_vector *sets[FB_VECTOR_SETS])
{
    sets[0] = &vector_kernels_base;
    return 1;
}
#endif

#endif

#include <stdlib.h>
#include <string.h>

#include "models/engine/kernels.h"

const kernels *kernels_get(void)
{
#ifdef KERNELS_X86
    const char *wanted = getenv("PALIMPSEST_ISA");
    const int avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    const int avx2 = __builtin_cpu_supports("avx2");
    if (wanted && strcmp(wanted, "base") == 0) return &kernels_base;
    if (wanted && strcmp(wanted, "avx2") == 0 && avx2) return &kernels_avx2;
    if (avx512) return &kernels_avx512;
    if (avx2) return &kernels_avx2;
#endif
    return &kernels_base;
}

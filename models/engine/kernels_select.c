/* The vector kernels of the best instruction set that this processor has.
 * Their bits are the same; only their speed differs. */
#include "models/engine/kernels.h"

const kernels *kernels_get(void)
{
#ifdef KERNELS_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return &kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &kernels_avx2;
#endif
    return &kernels_base;
}

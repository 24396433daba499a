/* OpenBLAS for a suite that multiplies: loaded and checked, or the suite ends here with the reason.
 * May be called before cmocka runs, and again. */
#ifndef PAL_TEST_USE_BLAS_H
#define PAL_TEST_USE_BLAS_H

#include "models/engine/gemm.h"

#include <stdio.h>
#include <stdlib.h>

static inline void use_blas(void)
{
    pal_error cause;
    if (gemm_setup(4, &cause) == PAL_OK) return;
    fprintf(stderr, "%s\n", cause.text);
    exit(1);
}

#endif

/* Products of a few rows by weights, as writing token by token needs them: bound by how fast weights are read.
 * Every element's bits hang on its row of x and its row of weights alone: not on rows beside it, on threads, on
 * BLAS or on the form that weights are held in. */
#ifndef PAL_LINEAR_ROWS_H
#define PAL_LINEAR_ROWS_H

#include "models/engine/gemm.h"

/* y[.., out] (ld ldy) = x[.., in] (ld ldx) w[out, in]^T + bias[out] (NULL: none). Sources need gemm_reserve. */
void linear_rows(pool *p, rows r, size_t in, size_t out, const real *x, size_t ldx, matrix w, const real *bias,
                 real *y, size_t ldy);

#endif

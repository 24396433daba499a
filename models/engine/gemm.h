/* Matrix products over single-threaded OpenBLAS in blocks whose size depends on shapes (and on gemm_core) alone,
 * never on the number of threads or lanes: SGEMM's bits depend on the rows in a call, so this keeps them. Weights
 * are [out, in] (as in PyTorch's Linear); matrices are row-major with a leading dimension where one is given. */
#ifndef PAL_GEMM_H
#define PAL_GEMM_H

#include "models/engine/pool.h"
#include "models/engine/real.h"
#include "models/engine/weight_source.h"
#include "models/engine/wide.h"

/* Load and check OpenBLAS for up to `threads` threads that multiply at a time (blas_open). Call before any product
 * and before a pool of threads; again for more threads. */
int gemm_setup(int threads, pal_error *err);
/* The BLAS kernels in use ("SkylakeX"); they choose the bits, so results record them. "" before gemm_setup. */
const char *gemm_core(void);
/* Products by weights of at least WIDE_LEAST inputs and outputs are our own (wide.h) where the processor has a
 * kernel for them and OPENBLAS_CORETYPE names no core: then this is true. It chooses bits too. */
enum { WIDE_LEAST = 320 };
int gemm_is_wide(size_t in, size_t out);
/* The name of that kernel: "AMX" or "FMA"; "": none. */
const char *gemm_wide_name(void);

/* C[m,n] = alpha op(A) op(B) + beta C, on the calling thread. ta/tb: nonzero to transpose. A transposed B costs
 * up to twice the time. */
void gemm(int ta, int tb, size_t m, size_t n, size_t k, real alpha, const real *a, size_t lda, const real *b,
          size_t ldb, real beta, real *c, size_t ldc);

/* C = A B of squares as one plain BLAS call: the yardstick that speed is measured by. */
void gemm_yardstick(size_t side, const real *a, const real *b, real *c);

/* Rows of an activation: `lanes` groups of `rows` rows. Blocks never straddle lanes, so a lane's bits do not
 * depend on how many lanes run beside it. */
typedef struct rows {
    size_t lanes, rows;
} rows;

/* Weights [out, in] and, unless NULL, a copy of them in the order in which linear_forward multiplies, which spares
 * it making that each time. Or, where w is NULL, rows from `first` on of a source; forward only. The bits are the
 * same. */
typedef struct matrix {
    const real *w, *panels;
    const weight_source *source;
    size_t first;
} matrix;

/* Make room in a pool for products by sources of `in` columns; without it there may be none. PAL_INTERNAL. */
int gemm_reserve(pool *p, size_t in, pal_error *err);

/* Whether linear_forward makes use of panels of such weights. */
int matrix_uses_panels(size_t in, size_t out);
/* panels[out * in] of w. */
void matrix_pack(size_t in, size_t out, const real *w, real *panels);
/* Rows `first` to `first + count` - 1; without panels unless these are whole ones. */
matrix matrix_rows(matrix m, size_t in, size_t first, size_t count);

/* y[.., 0..out) (ld ldy) = x (ld ldx) w[out, in]^T + bias[out] (NULL: none) */
void linear_forward(pool *p, rows r, size_t in, size_t out, const real *x, size_t ldx, matrix w, const real *bias,
                    real *y, size_t ldy);
/* The same for a wide matrix, but `take` gets what y would hold, row by row in blocks of columns, with the same
 * bits; rows count through all lanes. 0: nothing was done, for want of room; use linear_forward. */
int linear_forward_to(pool *p, rows r, size_t in, size_t out, const real *x, size_t ldx, matrix w,
                      const real *bias, wide_take *take, void *arg);
/* Rows of x that may be given by themselves, from every multiple of it on, without another bit in their y: where
 * so few stay in the cache, what is done with y next need not fetch it. 0: only all rows together give these bits.
 */
size_t linear_tile(size_t rows_of_lane, size_t in, size_t out);

/* dx (ld lddx) = (accumulate ? dx : 0) + dy (ld lddy) w */
void linear_backward_input(pool *p, rows r, size_t in, size_t out, const real *dy, size_t lddy, const real *w,
                           real *dx, size_t lddx, int accumulate);
/* dw[out, in] += dy^T x; dbias[out] += column sums of dy (either may be NULL: it does not learn) */
void linear_backward_weight(pool *p, rows r, size_t in, size_t out, const real *x, size_t ldx, const real *dy,
                            size_t lddy, real *dw, real *dbias);

#endif

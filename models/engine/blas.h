/* OpenBLAS, loaded at run time by the commands that multiply: a missing, wrong or foreign library is an error with
 * a line, not a crash of the loader. One thread a call; the harness has its own. */
#ifndef PAL_BLAS_H
#define PAL_BLAS_H

#include "harness/base/error.h"
#include "models/engine/real.h"

/* Load OpenBLAS once a process, check its products against our own sums (under 5 ms), and reserve its buffers for
 * `threads` threads that multiply at a time. PAL_INTERNAL: no OpenBLAS, a core that this processor cannot run,
 * wrong products, too little address space. Call before other threads start. */
int blas_open(int threads, pal_error *err);
/* The kernels in use ("SkylakeX"); "" before blas_open. */
const char *blas_core(void);
/* Whether the user named it (OPENBLAS_CORETYPE). */
int blas_core_asked(void);
/* C[m,n] = alpha op(A) op(B) + beta C, row-major, as cblas_sgemm (dgemm in the double build). ta/tb: transposed.
 */
void blas_gemm(int ta, int tb, size_t m, size_t n, size_t k, real alpha, const real *a, size_t lda, const real *b,
               size_t ldb, real beta, real *c, size_t ldc);

/* ---- For blas.c and tests. ---- */

/* A product as blas_gemm. */
typedef void blas_product(int ta, int tb, size_t m, size_t n, size_t k, real alpha, const real *a, size_t lda,
                          const real *b, size_t ldb, real beta, real *c, size_t ldc);
/* Memory that blas_probe works in; the caller's, since a product that crashes never comes back to free it. */
size_t blas_probe_bytes(void);
/* Multiply random matrices of several shapes and check C x = alpha A (B x) + beta C x for a random vector x
 * (Freivalds 1977), in double precision: O(n^2) where our own product would be O(n^3). PAL_INTERNAL names the
 * first shape that differs. */
int blas_probe(blas_product *product, void *memory, pal_error *err);

#endif

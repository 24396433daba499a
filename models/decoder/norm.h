/* Norms of rows: what stands before each half of a block and before the output weights. A norm is one row of a
 * table of operations; modules that cache what they read before the norm apply it again themselves. */
#ifndef PAL_NORM_H
#define PAL_NORM_H

#include "models/engine/pool.h"
#include "models/engine/real.h"

/* Rows of one task, whose gradients of gain and bias are summed by themselves. */
enum { NORM_ROWS = 32 };

/* One norm of a model: y = (x - mean) * rstd * gain + bias with rstd = 1 / sqrt(variance + eps) (Ba et al. 2016).
 */
typedef struct row_norm {
    size_t cols;
    real eps;
    const real *gain, *bias; /* [cols] */
    real *dgain, *dbias;     /* [cols], accumulated into; NULL in the forward pass */
} row_norm;

/* One row: y[cols] of x[cols], and its mean and rstd. */
void norm_row(const row_norm *n, const real *x, real *y, real *mean, real *rstd);
/* count rows: sum += add (NULL: nothing), then y = norm(sum). All [count, cols]; mean, rstd [count]. */
void norm_rows(pool *p, const row_norm *n, size_t count, real *sum, const real *add, real *y, real *mean,
               real *rstd);
/* Reals of `partial` below. */
size_t norm_partial_reals(size_t count, size_t cols);
/* The gradients of gain and bias from dy and x [count, cols], added in the order of the rows' tasks; and
 * dx [count, cols] += d(norm) / dx, unless dx is NULL. */
void norm_rows_backward(pool *p, const row_norm *n, size_t count, const real *dy, const real *x, const real *mean,
                        const real *rstd, real *dx, real *partial);

#endif

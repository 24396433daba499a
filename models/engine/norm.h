/* Norms of rows: what stands before each half of a block and before the output weights. A norm is one row of a
 * table of operations; modules that cache what they read before the norm apply it again themselves. */
#ifndef PAL_NORM_H
#define PAL_NORM_H

#include "models/engine/pool.h"
#include "models/engine/real.h"

/* Rows of one task, whose gradients of gain and bias are summed by themselves. */
enum { NORM_ROWS = 32 };

/* The values of the config's key `norm`, places in norm_ops, and their names in the same order. */
typedef enum norm_kind { NORM_LAYER, NORM_RMS, NORM_KINDS } norm_kind;
#define NORM_NAMES "layer|rms"

typedef struct row_norm row_norm;

/* A kind of norm, by rows of n->cols. Adding one: an enum value, a choice of the key, a row of norm_ops. */
typedef struct norm_op {
    int has_bias;
    void (*forward)(const row_norm *n, const real *x, real *y, real *mean, real *rstd);
    /* dx += d(norm) / dx; dgain, dbias += what the row gives them. dx, dgain and dbias may be NULL. */
    void (*backward)(const row_norm *n, const real *dy, const real *x, real mean, real rstd, real *dx, real *dgain,
                     real *dbias);
} norm_op;

/* layer: y = (x - mean) * rstd * gain + bias, rstd = 1 / sqrt(variance + eps) (Ba et al. 2016).
 * rms: y = x * rstd * gain, rstd = 1 / sqrt(mean of squares + eps) (Zhang & Sennrich 2019); mean stays 0. */
extern const norm_op norm_ops[NORM_KINDS];

/* One norm of a model. */
struct row_norm {
    const norm_op *op;
    size_t cols;
    real eps;
    const real *gain, *bias; /* [cols]; bias NULL where the kind has none */
    real *dgain, *dbias;     /* [cols], accumulated into; NULL in the forward pass */
};

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

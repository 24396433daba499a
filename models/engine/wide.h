/* Products of wide matrices, cut into panels for the processor (tiles.h) and shared by a pool's workers.
 * Bits depend on the inner dimension alone. */
#ifndef PAL_WIDE_H
#define PAL_WIDE_H

#include "models/engine/pool.h"
#include "models/engine/tiles.h"
#include "models/engine/weight_source.h"

/* Takes a row's columns [col, col + cols) in place of memory, on a worker: blocks of WIDE_COLUMNS, the last may be
 * short. */
enum { WIDE_COLUMNS = 128 };
typedef void wide_take(void *arg, size_t row, size_t col, const real *values, size_t cols);

/* C[rows, cols] (ld ldc) = left right + bias[cols] (NULL: none) + (accumulate ? C : 0), sums of `depth`. */
typedef struct wide_product {
    const tile_kernel *kernel;   /* one that is ready */
    tile_source left, right;     /* lines: rows of C, columns of C */
    const weight_source *source; /* NULL, or what stands for `right`, from its row `first` on */
    size_t first;
    size_t rows, cols, depth;
    const real *bias;
    int accumulate;
    real *c;
    size_t ldc;
    wide_take *take; /* NULL, or what takes C: then c is not there */
    void *arg;
} wide_product;

/* The best kernel of this processor; NULL: none is ready. */
const tile_kernel *wide_kernel(void);

/* 0: nothing was done, for there is no room to hold sums for `take`; without it always 1. */
int wide_multiply(pool *p, const wide_product *w);

#endif

/* Products of wide matrices, cut into panels for the processor (tiles.h) and shared by a pool's workers.
 * Bits depend on the inner dimension alone. */
#ifndef PAL_WIDE_H
#define PAL_WIDE_H

#include "models/engine/pool.h"
#include "models/engine/tiles.h"
#include "models/engine/weight_source.h"

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
} wide_product;

/* The best kernel of this processor; NULL: none is ready. */
const tile_kernel *wide_kernel(void);

void wide_multiply(pool *p, const wide_product *w);

#endif

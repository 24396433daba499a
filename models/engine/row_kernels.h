/* Products of few rows by many, and sums of rows, one set of functions for each instruction set: kernels.h says
 * what they compute. Only the tables of kernels name them. */
#ifndef PAL_ROW_KERNELS_H
#define PAL_ROW_KERNELS_H

#include "models/engine/real.h"

#define ROW_KERNELS(isa)                                                                                          \
    void row_products_##isa(real *y, size_t ldy, const real *x, size_t ldx, size_t rows, const real *w,           \
                            size_t ldw, size_t count, size_t n);                                                  \
    void row_products_bf16_##isa(real *y, size_t ldy, const real *x, size_t ldx, size_t rows, const uint16_t *w,  \
                                 size_t ldw, size_t count, size_t n);                                             \
    void row_combine_##isa(real *y, const real *p, const real *v, size_t ldv, size_t count, size_t n)
ROW_KERNELS(base);
ROW_KERNELS(avx2);
ROW_KERNELS(avx512);
#undef ROW_KERNELS

#endif

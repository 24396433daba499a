/* Weights that lie elsewhere, in another form: products expand them block by block on their way in, and give the
 * bits that expanding all of them beforehand would give. */
#ifndef PAL_WEIGHT_SOURCE_H
#define PAL_WEIGHT_SOURCE_H

#include "models/engine/real.h"

/* A matrix [rows, columns]. Any thread may ask. */
typedef struct weight_source {
    const void *arg;
    /* out[count, depth] = elements `from` to `from + depth` - 1 of rows `first` to `first + count` - 1. `from` is
     * a multiple of SOURCE_STEP; `depth` is one too, or reaches to the row's end. */
    void (*read)(const void *arg, size_t first, size_t count, size_t from, size_t depth, real *out);
    /* Row `first` where rows lie as bf16, and how many lie behind each other from it on; else NULL. */
    const uint16_t *(*bf16)(const void *arg, size_t first, size_t *count);
    size_t mapped; /* bytes of a file that it reads; 0: it lies in memory */
} weight_source;
enum { SOURCE_STEP = 256 };

#endif

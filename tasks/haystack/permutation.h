/* A random order of 0 .. size - 1 in constant memory: a bijection that is a function of its key.
 * Numbers, words and places that must not repeat are drawn with it. */
#ifndef PAL_PERMUTATION_H
#define PAL_PERMUTATION_H

#include "harness/base/rng.h"

#include <stdint.h>

enum { PERMUTATION_ROUNDS = 6 };

typedef struct permutation {
    uint64_t size;
    int half; /* bits of a side */
    uint64_t key[PERMUTATION_ROUNDS];
} permutation;

/* size of 1 to 2^60. */
permutation permutation_make(uint64_t size, rng *draws);
/* The place of `index` (below size) in the order. */
uint64_t permutation_at(const permutation *p, uint64_t index);

#endif

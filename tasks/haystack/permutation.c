/* A balanced Feistel network over the next power of four, walked until it comes back into range (Black and
 * Rogaway, CT-RSA 2002). */
#include "tasks/haystack/permutation.h"

permutation permutation_make(uint64_t size, rng *draws)
{
    permutation p = {.size = size, .half = 1};
    while (p.half < 30 && (UINT64_C(1) << (2 * p.half)) < size) p.half++;
    for (int i = 0; i < PERMUTATION_ROUNDS; i++) {
        const uint64_t high = rng_u32(draws);
        p.key[i] = high << 32 | rng_u32(draws);
    }
    return p;
}

/* The finaliser of MurmurHash3, 64 bits. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

uint64_t permutation_at(const permutation *p, uint64_t index)
{
    const uint64_t mask = (UINT64_C(1) << p->half) - 1;
    do {
        uint64_t left = index >> p->half, right = index & mask;
        for (int i = 0; i < PERMUTATION_ROUNDS; i++) {
            const uint64_t next = left ^ (mix(right ^ p->key[i]) & mask);
            left = right;
            right = next;
        }
        index = left << p->half | right;
    } while (index >= p->size);
    return index;
}

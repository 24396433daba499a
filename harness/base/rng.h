/* Counter-based random numbers: Philox4x32-10 (Salmon et al., SC'11). A stream is a pure function of its key, so
 * order, sharding, batching and resume cannot change what a sample draws. */
#ifndef PAL_RNG_H
#define PAL_RNG_H

#include <stdint.h>

typedef struct rng {
    uint32_t key[2];     /* from the seed and the domain */
    uint32_t counter[4]; /* [0] block within the stream, [1..2] index, [3] sub-index */
    uint32_t block[4];   /* the current block of output */
    int used;            /* how many words of `block` have been handed out */
} rng;

/* The ten-round bijection itself; exposed for the known-answer test. */
void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* The stream of (seed, domain, index, sub). `domain` names what is drawn, e.g. "init/layers.0.qkv" or "passkey".
 */
rng rng_make(uint64_t seed, const char *domain, uint64_t index, uint32_t sub);

uint32_t rng_u32(rng *r);
/* Uniform in [0, n), without modulo bias; n must be in [1, 2^32]. */
uint32_t rng_below(rng *r, uint64_t n);
/* Uniform in [0, 1) with 53 bits. */
double rng_uniform(rng *r);
/* Standard normal (Box-Muller, one value per two draws so that the stream position is predictable). */
double rng_normal(rng *r);

#endif

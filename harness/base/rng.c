/* Philox4x32-10 (Salmon et al. 2011): random numbers as a pure function of seed, domain and counter.
 * A draw does not depend on what was drawn before it, so work can be cut and resumed anywhere. */
#include "harness/base/rng.h"

#include "harness/base/hash.h"

#include <math.h>
#include <string.h>

void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        const uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        const uint32_t n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

rng rng_make(uint64_t seed, const char *domain, uint64_t index, uint32_t sub)
{
    /* The domain is folded into the seed; two domains collide with probability 2^-64. */
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(seed >> (8 * i));
    const uint64_t hash = hash_fnv(hash_fnv(HASH_FNV_BEGIN, domain, strlen(domain)), bytes, sizeof bytes);
    rng r = {.key = {(uint32_t)hash, (uint32_t)(hash >> 32)},
             .counter = {0, (uint32_t)index, (uint32_t)(index >> 32), sub},
             .used = 4};
    return r;
}

uint32_t rng_u32(rng *r)
{
    if (r->used == 4) {
        philox4x32(r->counter, r->key, r->block);
        r->counter[0]++;
        r->used = 0;
    }
    return r->block[r->used++];
}

uint32_t rng_below(rng *r, uint64_t n)
{
    const uint32_t limit = (uint32_t)((UINT64_C(1) << 32) % n); /* draws below it would be over-represented */
    for (;;) {
        const uint32_t draw = rng_u32(r);
        if (draw >= limit) return (uint32_t)(draw % n);
    }
}

double rng_uniform(rng *r)
{
    const uint64_t high = rng_u32(r) >> 5, low = rng_u32(r) >> 6;
    return (double)((high << 26) | low) * 0x1p-53;
}

double rng_normal(rng *r)
{
    const double radius = sqrt(-2.0 * log(1.0 - rng_uniform(r)));
    return radius * cos(6.283185307179586 * rng_uniform(r));
}

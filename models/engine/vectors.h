/* Vectors of the width that an instruction set has, for the files that are compiled once for each: loads, stores,
 * sums of a fixed order. Every set gives the same bits. */
#ifndef PAL_VECTORS_H
#define PAL_VECTORS_H

#include "models/engine/real.h"

#include <math.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

/* Compiled once per instruction set with -DKERNELS_ISA=<name>; defines the table kernels_<name>. */
#ifndef KERNELS_ISA
#define KERNELS_ISA base
#endif
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

#ifdef PAL_DOUBLE
#define LOG log
#define SQRT sqrt
typedef uint64_t word;
#else
#define LOG logf
#define SQRT sqrtf
typedef uint32_t word;
#endif

#define INLINE static inline __attribute__((always_inline))

/* A vector is as wide as the instruction set has them; sums keep LANES running sums on every one. */
enum { LANES = 16 };
#if defined(__AVX512F__) && !defined(PAL_DOUBLE)
#define VECTOR_BYTES 64
#elif defined(__AVX2__) && !defined(PAL_DOUBLE)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef word mask __attribute__((vector_size(VECTOR_BYTES)));
enum { WIDTH = VECTOR_BYTES / sizeof(real), PARTS = LANES / WIDTH };

/* LANES running sums or maxima. */
typedef struct partials {
    vec part[PARTS];
} partials;

/* Run the body for i = 0, WIDTH, ... with `left` elements there (a constant WIDTH but in the last, partial vector,
 * so that full vectors compile to plain loads and stores) and `part`, the partials that element i belongs to. */
#define FOR_VECTORS(n, ...)                                                                                       \
    do {                                                                                                          \
        const size_t whole_ = (n) / LANES * LANES;                                                                \
        for (size_t block_ = 0; block_ < whole_; block_ += LANES) {                                               \
            for (int part = 0; part < PARTS; part++) {                                                            \
                const size_t i = block_ + (size_t)part * WIDTH;                                                   \
                enum { left = WIDTH };                                                                            \
                (void)i;                                                                                          \
                __VA_ARGS__                                                                                       \
            }                                                                                                     \
        }                                                                                                         \
        for (int part = 0; whole_ + (size_t)part * WIDTH < (n); part++) {                                         \
            const size_t i = whole_ + (size_t)part * WIDTH, left = (n)-i < WIDTH ? (n)-i : WIDTH;                 \
            __VA_ARGS__                                                                                           \
        }                                                                                                         \
    } while (0)

INLINE vec splat(real x)
{
    return x - (vec){0};
}

#if defined(__SSE2__)
#ifdef PAL_DOUBLE
#define NATIVE(operation) _mm_##operation##_pd
#elif VECTOR_BYTES == 64
#define NATIVE(operation) _mm512_##operation##_ps
#elif VECTOR_BYTES == 32
#define NATIVE(operation) _mm256_##operation##_ps
#else
#define NATIVE(operation) _mm_##operation##_ps
#endif
/* a > b ? a : b and a < b ? a : b: b when either is NaN */
INLINE vec maximum(vec a, vec b)
{
    return NATIVE(max)(a, b);
}

INLINE vec minimum(vec a, vec b)
{
    return NATIVE(min)(a, b);
}

INLINE vec square_root(vec x)
{
    return NATIVE(sqrt)(x);
}
#else
INLINE vec maximum(vec a, vec b)
{
    for (int i = 0; i < WIDTH; i++) b[i] = a[i] > b[i] ? a[i] : b[i];
    return b;
}

INLINE vec minimum(vec a, vec b)
{
    for (int i = 0; i < WIDTH; i++) b[i] = a[i] < b[i] ? a[i] : b[i];
    return b;
}

INLINE vec square_root(vec x)
{
    for (int i = 0; i < WIDTH; i++) x[i] = SQRT(x[i]);
    return x;
}
#endif

/* `left` elements from x, the other lanes `fill`; only those elements are touched. */
INLINE vec load(const real *x, size_t left, real fill)
{
    vec v;
    if (left == WIDTH) {
        memcpy(&v, x, sizeof v);
        return v;
    }
#if VECTOR_BYTES == 64
    return _mm512_mask_loadu_ps(splat(fill), (__mmask16)((1u << left) - 1), x);
#else
    v = splat(fill);
    for (int i = 0; i < WIDTH; i++)
        if ((size_t)i < left) v[i] = x[i];
    return v;
#endif
}

INLINE void store(real *y, vec v, size_t left)
{
    if (left == WIDTH) {
        memcpy(y, &v, sizeof v);
        return;
    }
#if VECTOR_BYTES == 64
    _mm512_mask_storeu_ps(y, (__mmask16)((1u << left) - 1), v);
#else
    for (int i = 0; i < WIDTH; i++)
        if ((size_t)i < left) y[i] = v[i];
#endif
}

/* condition > 0 ? yes : no */
INLINE vec where_positive(vec condition, vec yes, vec no)
{
    const mask positive = (mask)(condition > 0);
    return (vec)((positive & (mask)yes) | (~positive & (mask)no));
}

INLINE real sum_partials(partials p)
{
    real lane[LANES];
    memcpy(lane, &p, sizeof lane);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
}

INLINE real max_partials(partials p)
{
    real lane[LANES];
    memcpy(lane, &p, sizeof lane);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lane[i] = lane[i + half] > lane[i] ? lane[i + half] : lane[i];
    return lane[0];
}

/* a b + c rounded once. Without the instruction: the product of two floats is exact in double; where the sum is
 * not, its last bit is set, so that the rounding to float cannot fall on a false tie (Boldo & Melquiond 2008).
 * Vectors with the instruction have no use for it. */
__attribute__((unused)) INLINE real fused(real a, real b, real c)
{
#ifdef PAL_DOUBLE
    return fma(a, b, c);
#elif defined(FP_FAST_FMAF)
    return __builtin_fmaf(a, b, c);
#else
    const double product = (double)a * (double)b, addend = (double)c, sum = product + addend;
    const double part = sum - product, error = (product - (sum - part)) + (addend - part);
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if ((error > 0 || error < 0) && !(bits & 1)) bits += (error > 0) == (sum > 0) ? 1 : (uint64_t)-1;
    double odd;
    memcpy(&odd, &bits, sizeof odd);
    return (real)odd;
#endif
}

/* a b + c of every lane. */
INLINE vec fused_vec(vec a, vec b, vec c)
{
#if VECTOR_BYTES >= 32
    return NATIVE(fmadd)(a, b, c);
#else
    for (int i = 0; i < WIDTH; i++) c[i] = fused(a[i], b[i], c[i]);
    return c;
#endif
}

typedef real quad __attribute__((vector_size(4 * sizeof(real))));

INLINE quad load_quad(const real *x)
{
    quad v;
    memcpy(&v, x, sizeof v);
    return v;
}

INLINE void store_quad(real *y, quad v)
{
    memcpy(y, &v, sizeof v);
}

#endif

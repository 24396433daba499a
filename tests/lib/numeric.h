/* What the numeric suites share: reproducible random arrays and comparison with double oracles. */
#ifndef PAL_TEST_NUMERIC_H
#define PAL_TEST_NUMERIC_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "harness/base/rng.h"
#include "models/engine/real.h"

#ifdef PAL_DOUBLE
static const double tolerance = 1e-10;
#else
static const double tolerance = 1e-5;
#endif

/* n normal numbers; `seed` names the array. The caller frees. */
static inline real *random_reals(size_t n, uint64_t seed)
{
    real *x = aligned_alloc(64, (n * sizeof *x / 64 + 1) * 64);
    assert_non_null(x);
    rng r = rng_make(seed, "test", 0, 0);
    for (size_t i = 0; i < n; i++) x[i] = (real)rng_normal(&r);
    return x;
}

static inline real *copy_reals(const real *x, size_t n)
{
    real *y = random_reals(n, 0);
    for (size_t i = 0; i < n; i++) y[i] = x[i];
    return y;
}

static inline double *zero_doubles(size_t n)
{
    double *x = calloc(n ? n : 1, sizeof *x);
    assert_non_null(x);
    return x;
}

/* |got - want| <= limit * max(|want|, magnitude) */
static inline void expect_close(double got, double want, double magnitude, double limit, const char *what,
                                size_t i)
{
    const double size = fabs(want) > magnitude ? fabs(want) : magnitude;
    if (!(fabs(got - want) <= limit * size))
        fail_msg("%s[%zu] is %.9g, expected %.9g within %g of %g", what, i, got, want, limit, size);
}

/* A column of x or y beyond the matrix must stay as it was. */
static inline void expect_padding(const real *x, size_t n, size_t cols, size_t ld, uint64_t seed)
{
    real *original = random_reals(n * ld, seed);
    for (size_t i = 0; i < n; i++)
        for (size_t j = cols; j < ld; j++) assert_true(x[i * ld + j] == original[i * ld + j]);
    free(original);
}

#endif

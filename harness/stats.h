/* The statistics behind every interval in the tables. */
#ifndef PAL_STATS_H
#define PAL_STATS_H

#include <stddef.h>
#include <stdint.h>

typedef struct interval {
    double lo, hi;
    const char *kind; /* "clopper-pearson", "bootstrap", or "none" with lo = hi = NaN */
} interval;

enum { STATS_RESAMPLES = 10000 };

/* The regularised incomplete beta function I_x(a, b), a and b > 0, x in [0, 1], to about 1e-14 (continued
 * fraction, DLMF 8.17.22, by Lentz's method). */
double stats_beta_inc(double a, double b, double x);
/* The x with I_x(a, b) = p, to the last bit that bisection can tell apart. */
double stats_beta_quantile(double a, double b, double p);

/* The exact binomial interval (Clopper & Pearson 1934) for `hits` of `trials` at confidence `level`, such as 0.95.
 * hits may be fractional: a mean share times the number of samples. trials 0 gives kind "none". */
interval stats_binomial(double hits, double trials, double level);

double stats_mean(const double *values, size_t count);

/* Percentile bootstrap of the mean: STATS_RESAMPLES resamples of whole samples, so what is measured several times
 * within a sample (digits of one key, tokens of one document) stays together. The draws depend on seed alone.
 * share: the values are shares in [0, 1]. When all values are equal the bootstrap has nothing to resample: a share
 * then gets the exact binomial interval over samples, which is wider than the truth but never empty, and anything
 * else gets none. Needs `count` doubles of time but no memory beyond the resampled means; returns kind "none" when
 * there is no memory or count is 0. */
interval stats_bootstrap_mean(const double *values, size_t count, int share, double level, uint64_t seed);

#endif

/* The statistics behind every interval and verdict in the tables. Nothing here knows of tasks or models; what is
 * random is drawn from the seed alone, so the same input gives the same bits. */
#ifndef PAL_STATS_H
#define PAL_STATS_H

#include "harness/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct interval {
    double lo, hi;
    const char *kind; /* "clopper-pearson", "bootstrap", or "none" with lo = hi = NaN */
} interval;

enum { STATS_RESAMPLES = 10000, STATS_EXACT_DOCUMENTS = 20 };

/* ---- Distributions ---- */

/* The regularised incomplete beta function I_x(a, b), a and b > 0, x in [0, 1], to about 1e-14 (continued
 * fraction, DLMF 8.17.22, by Lentz's method). */
double stats_beta_inc(double a, double b, double x);
/* The x with I_x(a, b) = p, to the last bit that bisection can tell apart. */
double stats_beta_quantile(double a, double b, double p);

/* P(X <= hits) of a binomial: I_{1-p}(trials - hits, hits + 1), DLMF 8.17.24; 0 below 0 hits. */
double stats_binomial_cdf(int64_t hits, int64_t trials, double p);

/* Student's t, degrees > 0 and not necessarily whole: P(T <= t) is 1 - I_{v/(v+t^2)}(v/2, 1/2) / 2 for t >= 0
 * (Abramowitz & Stegun 26.7.1), and its inverse for p in (0, 1). */
double stats_t_cdf(double t, double degrees);
double stats_t_quantile(double p, double degrees);

/* ---- Intervals ---- */

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

/* Percentile bootstrap of sum(num) / sum(den) (Efron & Tibshirani 1993, 13.3): STATS_RESAMPLES resamples of whole
 * documents, each of which keeps its numerator and denominator together, so the tokens of one document are never
 * taken for independent. A monotone function of the ratio (exp for perplexity) has the function of the ends as its
 * interval. den must be >= 0; a resample whose denominators are all 0 is drawn again. Kind "none" where the
 * resamples do not differ (one document, equal ratios), a value is not finite, or there is no memory. */
interval stats_bootstrap_ratio(const double *num, const double *den, size_t count, double level, uint64_t seed);

/* ---- Paired comparisons ---- */

typedef struct paired {
    double difference; /* sum(num_a) / sum(den_a) - sum(num_b) / sum(den_b) */
    interval ci;
    double p;         /* two-sided, of no difference */
    const char *test; /* behind p: "sign-flip", "bootstrap", or "none" with p = NaN */
    /* Standard deviation (n - 1) over documents of n times a document's linearised part in the difference,
     * z_i = (num_a - r_a den_a) / mean(den_a) - (num_b - r_b den_b) / mean(den_b): the delta method for ratios
     * (Cochran 1977, 6.4). For stats_detectable_difference. NaN when count < 2. */
    double deviation;
} paired;

/* Two measurements of the same documents. The interval is the percentile bootstrap of the difference, resampling
 * the same documents on both sides. p is that of stats_sign_flip for up to STATS_EXACT_DOCUMENTS documents; beyond
 * it comes from the resampled differences D* shifted to have the null's centre, (1 + #{|D* - D| >= |D|}) /
 * (1 + STATS_RESAMPLES) (Davison & Hinkley 1997, 4.4.1). Conditions on values as in stats_bootstrap_ratio; where
 * they fail the difference is NaN too. */
paired stats_paired_ratio(const double *num_a, const double *den_a, const double *num_b, const double *den_b,
                          size_t count, double level, uint64_t seed);

/* The exact permutation test of the same null (Fisher 1935, section 21): were the two sides exchangeable within a
 * document, each of the 2^count ways to swap them would be as likely. p is the share of them whose difference of
 * ratios is at least as large in size as the observed one (equal up to 1e-12 of the ratios counts). With equal
 * denominators on both sides this flips the signs of the documents' differences. count in [1, 30]. */
double stats_sign_flip(const double *num_a, const double *den_a, const double *num_b, const double *den_b,
                       size_t count);

/* McNemar's exact test for paired hits (binomial; Fagerland, Lydersen & Laake 2013): of the samples that only one
 * side hits, each side has half under the null. p = min(1, 2 P(X <= min(only_a, only_b))), X binomial of
 * (only_a + only_b, 1/2); 1 without such samples. */
double stats_mcnemar(int64_t only_a, int64_t only_b);

/* Holm's step-down correction in place (Holm 1979): the j-th smallest of m p-values becomes
 * max over i <= j of min(1, (m - i + 1) p_i). NaN stays NaN and is not counted in m. PAL_INTERNAL without memory.
 */
int stats_holm(double *p, size_t count, pal_error *err);

/* ---- Minimum detectable effects ----
 * The smallest true effect that a two-sided test at level `alpha` finds with probability `power`; only rejections
 * in the effect's own direction count. Exact by bisection on the exact power unless said otherwise. NaN where no
 * effect can be found with so few samples. */

/* One sample against a known baseline: how far the true share must lie below `baseline` for the equal-tailed
 * binomial test of share = baseline (the dual of stats_binomial) with n samples. For a rise pass 1 - baseline. */
double stats_detectable_share(int64_t n, double baseline, double alpha, double power);

/* McNemar's test on n pairs, where a share `gain` of the pairs truly moves from miss to hit: the net loss
 * (share that moves from hit to miss, minus gain) that is found. n up to a few thousand. */
double stats_detectable_loss(int64_t n, double gain, double alpha, double power);

/* A mean difference over n documents with this standard deviation:
 * (t_{1-alpha/2, n-1} + t_{power, n-1}) deviation / sqrt(n) (Bloom 1995). Against the noncentral t: 5 % too small
 * at n = 3, within 0.2 % from n = 10 on. */
double stats_detectable_difference(double deviation, int64_t n, double alpha, double power);

#endif

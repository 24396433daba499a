/* The statistics behind every interval and verdict in the tables. Nothing here knows of tasks or models; what is
 * random is drawn from the seed alone, so the same input gives the same bits. */
#ifndef PAL_STATS_H
#define PAL_STATS_H

#include "harness/base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct interval {
    double lo, hi;
    const char *kind; /* "sign-flip", "beta-binomial", "clopper-pearson", ... or "none" with lo = hi = NaN */
} interval;

/* All flips up to so many documents, drawn ones beyond; and the fewest that allow an interval at 95 %. */
enum { STATS_DRAWS = 10000, STATS_EXACT_DOCUMENTS = 16, STATS_LEAST_DOCUMENTS = 6 };

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

/* The interval of sum(num) / sum(den) over whole documents: all ratios that the sign-flip test does not reject.
 * It is exact where a document's departure from the ratio is as likely up as down, however large, and holds less
 * than it says where departures are skewed: 0.89 instead of 0.95 for nine log-normal ones. A monotone function of
 * the ratio (exp for perplexity) has the function of the ends as its interval. den must be >= 0; NULL: ones. Kind
 * "none" below STATS_LEAST_DOCUMENTS, where the documents do not differ, a value is not finite, or there is no
 * memory. */
interval stats_ratio(const double *num, const double *den, size_t count, double level);

/* The interval of a share whose trials come in clusters (digits of a key): hits[i] of trials[i], whole numbers.
 * The equal-tailed interval of a beta-binomial share, whose scatter between clusters is unknown and summed out:
 * prior Beta(1/2, 1/2) for the share, density 2 (1 - rho) for the correlation rho within a cluster. A miss more
 * never moves either end up. Any number of clusters. Kind "none" without trials or with counts that are none. */
interval stats_counts(const double *hits, const double *trials, size_t count, double level);

/* The interval of the mean of value[seeds * documents], one row a seed, where seeds and documents are both draws:
 * the two-way layout's variance, with Student's quantiles of seeds and of documents weighted by their shares in it
 * (Cochran & Cox 1957, section 4.14). Two seeds have a wide one. Kind "none" with fewer than two of either. */
interval stats_crossed(const double *value, size_t seeds, size_t documents, double level);

/* ---- Paired comparisons ---- */

typedef struct paired {
    double difference; /* sum(num_a) / sum(den_a) - sum(num_b) / sum(den_b) */
    interval ci;       /* of stats_ratio, the inversion of the test behind p */
    double p;          /* two-sided, of no difference */
    const char *test;  /* behind p: "sign-flip", or "none" with p = NaN */
    /* Standard deviation (n - 1) over documents of n times a document's linearised part in the difference: the
     * delta method for ratios (Cochran 1977, 6.4). For stats_detectable_difference. NaN when count < 2. */
    double deviation;
} paired;

/* Two measurements of the same documents. Conditions on values as in stats_ratio; where they fail the difference
 * is NaN too. */
paired stats_paired_ratio(const double *num_a, const double *den_a, const double *num_b, const double *den_b,
                          size_t count, double level);

/* The columns of the difference: each document's part num and its weight den. Where the sides weigh a document
 * differently, its linearised part with weight 1. 0: a side has no ratio. */
int stats_differences(const double *num_a, const double *den_a, const double *num_b, const double *den_b,
                      size_t count, double *num, double *den);

/* The permutation test of sum(num) = 0 (Fisher 1935, section 21): were each document's part as likely negative,
 * every way to flip signs would be as likely. p is the share of them whose sum is at least as large in size as
 * observed (equal up to 1e-12 of what is summed counts): of all of them up to STATS_EXACT_DOCUMENTS documents,
 * else of STATS_DRAWS drawn ones, the observed among them. den as in stats_ratio. */
double stats_sign_flip(const double *num, const double *den, size_t count);

/* McNemar's exact test for paired hits (binomial; Fagerland, Lydersen & Laake 2013): of the samples that only one
 * side hits, each side has half under the null. p = min(1, 2 P(X <= min(only_a, only_b))), X binomial of
 * (only_a + only_b, 1/2); 1 without such samples. */
double stats_mcnemar(int64_t only_a, int64_t only_b);

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

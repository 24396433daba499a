#include "harness/stats.h"

#include "harness/base/rng.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

static const interval none = {NAN, NAN, "none"};

/* Lentz's evaluation of the continued fraction of DLMF 8.17.22; converges fast for x < (a + 1) / (a + b + 2). */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = DBL_MIN / DBL_EPSILON;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    if (fabs(d) < tiny) d = tiny;
    d = 1 / d;
    double result = d;
    for (int m = 1; m <= 100000; m++) {
        const double step[2] = {m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                                -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))};
        double change = 1;
        for (int half = 0; half < 2; half++) {
            d = 1 + step[half] * d;
            if (fabs(d) < tiny) d = tiny;
            c = 1 + step[half] / c;
            if (fabs(c) < tiny) c = tiny;
            d = 1 / d;
            change = c * d;
            result *= change;
        }
        if (fabs(change - 1) <= DBL_EPSILON) break;
    }
    return result;
}

double stats_beta_inc(double a, double b, double x)
{
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    const double log_front = lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x);
    const double front = exp(log_front);
    if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double stats_beta_quantile(double a, double b, double p)
{
    double lo = 0, hi = 1;
    for (;;) {
        const double middle = (lo + hi) / 2;
        if (middle <= lo || middle >= hi) return middle;
        if (stats_beta_inc(a, b, middle) < p)
            lo = middle;
        else
            hi = middle;
    }
}

interval stats_binomial(double hits, double trials, double level)
{
    if (trials <= 0) return none;
    const double tail = (1 - level) / 2;
    const double misses = trials - hits;
    return (interval){hits > 0 ? stats_beta_quantile(hits, misses + 1, tail) : 0,
                      misses > 0 ? 1 - stats_beta_quantile(misses, hits + 1, tail) : 1, "clopper-pearson"};
}

double stats_mean(const double *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += values[i];
    return count ? sum / (double)count : NAN;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear interpolation between order statistics (type 7 of Hyndman & Fan 1996). */
static double quantile(const double *sorted, size_t count, double p)
{
    const double at = p * (double)(count - 1);
    const size_t below = (size_t)at;
    if (below + 1 >= count) return sorted[count - 1];
    return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

interval stats_bootstrap_mean(const double *values, size_t count, int share, double level, uint64_t seed)
{
    int equal = 1;
    for (size_t i = 1; i < count; i++) equal &= values[i] == values[0];
    if (count == 0 || (equal && !share)) return none;
    if (equal) return stats_binomial(values[0] * (double)count, (double)count, level);

    double *means = malloc(STATS_RESAMPLES * sizeof *means);
    if (!means) return none;
    for (uint64_t r = 0; r < STATS_RESAMPLES; r++) {
        rng draw = rng_make(seed, "bootstrap", r, 0);
        double sum = 0;
        for (size_t i = 0; i < count; i++) sum += values[rng_below(&draw, count)];
        means[r] = sum / (double)count;
    }
    qsort(means, STATS_RESAMPLES, sizeof *means, ascending);
    const interval result = {quantile(means, STATS_RESAMPLES, (1 - level) / 2),
                             quantile(means, STATS_RESAMPLES, (1 + level) / 2), "bootstrap"};
    free(means);
    return result;
}

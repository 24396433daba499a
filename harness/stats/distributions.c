/* Beta, binomial and Student's t distributions, their quantiles, and the exact binomial interval. */
#include "harness/stats/stats.h"

#include <float.h>
#include <math.h>

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

double stats_binomial_cdf(int64_t hits, int64_t trials, double p)
{
    if (hits < 0) return 0;
    if (hits >= trials) return 1;
    return stats_beta_inc((double)(trials - hits), (double)hits + 1, 1 - p);
}

double stats_t_cdf(double t, double degrees)
{
    const double square = t * t;
    /* Of the two complementary forms the one whose argument is small, so that neither end loses digits. */
    if (square < degrees) {
        const double half = stats_beta_inc(0.5, degrees / 2, square / (degrees + square)) / 2;
        return t < 0 ? 0.5 - half : 0.5 + half;
    }
    const double tail = stats_beta_inc(degrees / 2, 0.5, degrees / (degrees + square)) / 2;
    return t < 0 ? tail : 1 - tail;
}

double stats_t_quantile(double p, double degrees)
{
    const double tail = p < 0.5 ? p : 1 - p;
    double size;
    if (tail < 1e-3) {
        const double x = stats_beta_quantile(degrees / 2, 0.5, 2 * tail);
        size = sqrt(degrees * (1 - x) / x);
    } else {
        const double x = stats_beta_quantile(0.5, degrees / 2, 1 - 2 * tail);
        size = sqrt(degrees * x / (1 - x));
    }
    return p < 0.5 ? -size : size;
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

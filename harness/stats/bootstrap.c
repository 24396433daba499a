/* Bootstrap intervals of means, ratios and paired differences of ratios. */
#include "harness/base/rng.h"
#include "harness/stats/stats.h"

#include <math.h>
#include <stdlib.h>

static const interval none = {NAN, NAN, "none"};

/* ---- Resampling ---- */

/* What is summed of each document; den NULL stands for ones. */
typedef struct columns {
    const double *num, *den;
} columns;

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* STATS_RESAMPLES sorted values of ratio a, minus ratio b unless b is NULL. NULL without memory. The observed
 * sample is one of the possible resamples, so as long as its denominators are positive the redraws end. */
static double *resample(columns a, const columns *b, size_t count, uint64_t seed)
{
    double *drawn = malloc(STATS_RESAMPLES * sizeof *drawn);
    if (!drawn) return NULL;
    for (uint64_t r = 0; r < STATS_RESAMPLES; r++) {
        rng draw = rng_make(seed, "bootstrap", r, 0);
        double num_a, den_a, num_b, den_b;
        do {
            num_a = den_a = num_b = den_b = 0;
            for (size_t i = 0; i < count; i++) {
                const uint32_t k = rng_below(&draw, count);
                num_a += a.num[k];
                den_a += a.den ? a.den[k] : 1;
                if (!b) continue;
                num_b += b->num[k];
                den_b += b->den[k];
            }
        } while (!(den_a > 0 && (!b || den_b > 0)));
        drawn[r] = num_a / den_a - (b ? num_b / den_b : 0);
    }
    qsort(drawn, STATS_RESAMPLES, sizeof *drawn, ascending);
    return drawn;
}

/* Linear interpolation between order statistics (type 7 of Hyndman & Fan 1996). */
static double quantile(const double *sorted, size_t count, double p)
{
    const double at = p * (double)(count - 1);
    const size_t below = (size_t)at;
    if (below + 1 >= count) return sorted[count - 1];
    return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

/* scale: the size of the ratios; resamples that differ by rounding alone make no interval. */
static interval percentiles(const double *sorted, double scale, double level)
{
    if (sorted[STATS_RESAMPLES - 1] - sorted[0] <= 1e-12 * scale) return none;
    return (interval){quantile(sorted, STATS_RESAMPLES, (1 - level) / 2),
                      quantile(sorted, STATS_RESAMPLES, (1 + level) / 2), "bootstrap"};
}

/* The ratio of sums, or NaN where the columns do not have one. */
static double ratio(columns c, size_t count)
{
    double num = 0, den = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(c.num[i]) || !isfinite(c.den[i]) || c.den[i] < 0) return NAN;
        num += c.num[i];
        den += c.den[i];
    }
    return den > 0 ? num / den : NAN;
}

/* ---- One measurement ---- */

interval stats_bootstrap_mean(const double *values, size_t count, int share, double level, uint64_t seed)
{
    int equal = 1;
    for (size_t i = 1; i < count; i++) equal &= values[i] == values[0];
    if (count == 0 || (equal && !share)) return none;
    if (equal) return stats_binomial(values[0] * (double)count, (double)count, level);

    double *drawn = resample((columns){values, NULL}, NULL, count, seed);
    if (!drawn) return none;
    const interval result = percentiles(drawn, 0, level);
    free(drawn);
    return result;
}

interval stats_bootstrap_ratio(const double *num, const double *den, size_t count, double level, uint64_t seed)
{
    const columns c = {num, den};
    const double observed = ratio(c, count);
    double *drawn = isfinite(observed) ? resample(c, NULL, count, seed) : NULL;
    if (!drawn) return none;
    const interval result = percentiles(drawn, fabs(observed), level);
    free(drawn);
    return result;
}

/* ---- Two measurements of the same documents ---- */

/* A document's linearised part in the ratio of sums, times the number of documents. */
static double part(columns c, size_t i, double observed, double mean_den)
{
    return (c.num[i] - observed * c.den[i]) / mean_den;
}

static double deviation(columns a, columns b, double ratio_a, double ratio_b, size_t count)
{
    if (count < 2) return NAN;
    const double den_a = stats_mean(a.den, count), den_b = stats_mean(b.den, count);
    double square = 0; /* the parts sum to zero */
    for (size_t i = 0; i < count; i++) {
        const double z = part(a, i, ratio_a, den_a) - part(b, i, ratio_b, den_b);
        square += z * z;
    }
    return sqrt(square / (double)(count - 1));
}

paired stats_paired_ratio(const double *num_a, const double *den_a, const double *num_b, const double *den_b,
                          size_t count, double level, uint64_t seed)
{
    const columns a = {num_a, den_a}, b = {num_b, den_b};
    const double ratio_a = ratio(a, count), ratio_b = ratio(b, count);
    paired result = {ratio_a - ratio_b, none, NAN, "none", NAN};
    if (!isfinite(result.difference)) return result;
    result.deviation = deviation(a, b, ratio_a, ratio_b, count);
    if (count <= STATS_EXACT_DOCUMENTS) {
        result.p = stats_sign_flip(num_a, den_a, num_b, den_b, count);
        result.test = "sign-flip";
    }
    double *drawn = resample(a, &b, count, seed);
    if (!drawn) return result;
    const double scale = fmax(fabs(ratio_a), fabs(ratio_b)), size = fabs(result.difference) - 1e-12 * scale;
    result.ci = percentiles(drawn, scale, level);
    if (count > STATS_EXACT_DOCUMENTS) {
        int64_t extreme = 1;
        for (size_t r = 0; r < STATS_RESAMPLES; r++) extreme += fabs(drawn[r] - result.difference) >= size;
        result.p = (double)extreme / (1 + STATS_RESAMPLES);
        result.test = "bootstrap";
    }
    free(drawn);
    return result;
}

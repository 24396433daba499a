/* McNemar's test, and the smallest effects that a test can see. */
#include "harness/stats/stats.h"

#include <math.h>

/* ---- McNemar ---- */

double stats_mcnemar(int64_t only_a, int64_t only_b)
{
    if (only_a < 0 || only_b < 0) return NAN;
    if (only_a == only_b) return 1;
    return fmin(1, 2 * stats_binomial_cdf(only_a < only_b ? only_a : only_b, only_a + only_b, 0.5));
}

/* ---- Minimum detectable effects ---- */

/* The probability that a test finds the effect. */
typedef double (*power_function)(const void *test, double effect);

/* The smallest effect in [0, most] found with probability `power`, by bisection: all powers here grow with the
 * effect. */
static double smallest_effect(power_function found, const void *test, double most, double power)
{
    if (!(found(test, most) >= power)) return NAN;
    double lo = 0, hi = most;
    while (hi - lo > 1e-12) {
        const double middle = (lo + hi) / 2;
        if (found(test, middle) >= power)
            hi = middle;
        else
            lo = middle;
    }
    return hi;
}

typedef struct share_test {
    int64_t n, critical; /* rejects downwards when hits <= critical */
    double baseline;
} share_test;

static double share_power(const void *test, double effect)
{
    const share_test *t = test;
    return stats_binomial_cdf(t->critical, t->n, t->baseline - effect);
}

double stats_detectable_share(int64_t n, double baseline, double alpha, double power)
{
    share_test t = {n, -1, baseline};
    while (t.critical < n - 1 && stats_binomial_cdf(t.critical + 1, n, baseline) <= alpha / 2) t.critical++;
    return smallest_effect(share_power, &t, baseline, power);
}

typedef struct pair_test {
    int64_t n;
    double gain, alpha;
} pair_test;

/* Sum over d, the pairs that move, of P(d move) P(of these, at most critical(d) gain). */
static double pair_power(const void *test, double effect)
{
    const pair_test *t = test;
    const double n = (double)t->n, moves = 2 * t->gain + effect, stays = 1 - moves;
    if (moves <= 0) return 0;
    double power = 0;
    int64_t critical = -1;
    for (int64_t d = 0; d <= t->n; d++) {
        /* The test rejects when at most `critical` of d gain; it grows by one at most when d does. */
        if (stats_mcnemar(critical + 1, d - critical - 1) <= t->alpha && 2 * (critical + 1) < d) critical++;
        const double rest = n - (double)d;
        if (critical < 0 || (stays <= 0 && rest > 0)) continue;
        const double log_share = lgamma(n + 1) - lgamma((double)d + 1) - lgamma(rest + 1) +
                                 (double)d * log(moves) + (rest > 0 ? rest * log(stays) : 0);
        if (log_share > -40) power += exp(log_share) * stats_binomial_cdf(critical, d, t->gain / moves);
    }
    return power;
}

double stats_detectable_loss(int64_t n, double gain, double alpha, double power)
{
    const pair_test t = {n, gain, alpha};
    return 2 * gain <= 1 ? smallest_effect(pair_power, &t, 1 - 2 * gain, power) : NAN;
}

double stats_detectable_difference(double deviation, int64_t n, double alpha, double power)
{
    if (n < 2) return NAN;
    const double degrees = (double)n - 1;
    return (stats_t_quantile(1 - alpha / 2, degrees) + stats_t_quantile(power, degrees)) * deviation /
           sqrt((double)n);
}

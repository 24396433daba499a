/* Tests of paired differences, Holm's correction, and the smallest effects that a test can see. */
#include "harness/stats/stats.h"

#include <math.h>
#include <stdlib.h>

/* ---- Sign-flip permutation ---- */

typedef struct flip {
    const double *num_a, *den_a, *num_b, *den_b;
    size_t count;
    double size; /* of the observed difference, less what rounding may take away */
} flip;

/* How many ways to swap the documents from `next` on give a difference of at least this size. Summing on the way
 * down keeps each sum's order, and so its rounding, the same wherever the values are. */
static uint64_t extreme(const flip *f, size_t next, double num_a, double den_a, double num_b, double den_b)
{
    if (next == f->count) return !(fabs(num_a / den_a - num_b / den_b) < f->size);
    const double na = f->num_a[next], da = f->den_a[next], nb = f->num_b[next], db = f->den_b[next];
    return extreme(f, next + 1, num_a + na, den_a + da, num_b + nb, den_b + db) +
           extreme(f, next + 1, num_a + nb, den_a + db, num_b + na, den_b + da);
}

double stats_sign_flip(const double *num_a, const double *den_a, const double *num_b, const double *den_b,
                       size_t count)
{
    flip f = {num_a, den_a, num_b, den_b, count, 0};
    if (count < 1 || count > 30) return NAN;
    double sum[4] = {0};
    for (size_t i = 0; i < count; i++) {
        sum[0] += num_a[i];
        sum[1] += den_a[i];
        sum[2] += num_b[i];
        sum[3] += den_b[i];
    }
    const double ratio_a = sum[0] / sum[1], ratio_b = sum[2] / sum[3];
    if (!isfinite(ratio_a) || !isfinite(ratio_b)) return NAN;
    f.size = fabs(ratio_a - ratio_b) - 1e-12 * fmax(fabs(ratio_a), fabs(ratio_b));
    /* Swapping all the others instead changes the sign alone, so the first document may stay as it is. */
    return (double)extreme(&f, 1, num_a[0], den_a[0], num_b[0], den_b[0]) / ldexp(1, (int)count - 1);
}

/* ---- McNemar ---- */

double stats_mcnemar(int64_t only_a, int64_t only_b)
{
    if (only_a < 0 || only_b < 0) return NAN;
    if (only_a == only_b) return 1;
    return fmin(1, 2 * stats_binomial_cdf(only_a < only_b ? only_a : only_b, only_a + only_b, 0.5));
}

/* ---- Holm ---- */

static int by_value(const void *a, const void *b)
{
    const double x = **(double *const *)a, y = **(double *const *)b;
    return (x > y) - (x < y);
}

int stats_holm(double *p, size_t count, pal_error *err)
{
    double **order = malloc((count + 1) * sizeof *order);
    if (!order) return pal_fail(err, PAL_INTERNAL, "out of memory for the correction of p-values");
    size_t left = 0;
    for (size_t i = 0; i < count; i++)
        if (!isnan(p[i])) order[left++] = &p[i];
    qsort(order, left, sizeof *order, by_value);
    double floor = 0;
    for (size_t i = 0; left > 0; i++, left--) {
        floor = fmax(floor, fmin(1, (double)left * *order[i]));
        *order[i] = floor;
    }
    free(order);
    return PAL_OK;
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

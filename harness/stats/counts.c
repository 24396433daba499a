/* The interval of a share whose trials come in clusters: hits of a key's digits, of a story's facts. */
#include "harness/stats/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const interval none = {NAN, NAN, "none"};

/* The share is sin^2 of an angle, so that equal steps are fine where shares are near 0 or 1. */
enum { ANGLES = 256, SCATTERS = 16 };

/* How many clusters have more than j hits, misses, trials: all that the likelihood asks for. */
typedef struct tails {
    double *hits, *misses, *trials;
    size_t most;
} tails;

static int count_tails(const double *hits, const double *trials, size_t count, tails *out)
{
    size_t most = 0;
    for (size_t i = 0; i < count; i++)
        if ((size_t)trials[i] > most) most = (size_t)trials[i];
    out->most = most;
    out->hits = calloc(3 * (most + 1), sizeof *out->hits);
    if (!out->hits) return 0;
    out->misses = out->hits + most + 1;
    out->trials = out->misses + most + 1;
    for (size_t i = 0; i < count; i++) {
        const size_t hit = (size_t)(hits[i] + 0.5), all = (size_t)trials[i];
        for (size_t j = 0; j < all; j++) {
            out->hits[j] += j < hit;
            out->misses[j] += j < all - hit;
            out->trials[j]++;
        }
    }
    return 1;
}

/* Log-likelihood of a beta-binomial with Beta(a, b), up to a constant. */
static double likelihood(const tails *t, double a, double b)
{
    double sum = 0;
    for (size_t j = 0; j < t->most; j++) {
        const double at = (double)j;
        if (t->hits[j] > 0) sum += t->hits[j] * log(a + at);
        if (t->misses[j] > 0) sum += t->misses[j] * log(b + at);
        sum -= t->trials[j] * log(a + b + at);
    }
    return sum;
}

/* Weight of each angle, the scatter summed out. The prior is even in the angle (Jeffreys' for one trial) and
 * 2 (1 - rho) in the correlation rho of a cluster's trials. */
static void weigh(const tails *t, double *weight)
{
    double value[ANGLES][SCATTERS], most = -INFINITY;
    for (size_t i = 0; i < ANGLES; i++) {
        const double angle = ((double)i + 0.5) / ANGLES * acos(0), share = sin(angle) * sin(angle);
        for (size_t k = 0; k < SCATTERS; k++) {
            const double rho = ((double)k + 0.5) / SCATTERS, size = (1 - rho) / rho;
            value[i][k] = likelihood(t, share * size, (1 - share) * size) + log(1 - rho);
            most = fmax(most, value[i][k]);
        }
    }
    for (size_t i = 0; i < ANGLES; i++) {
        weight[i] = 0;
        for (size_t k = 0; k < SCATTERS; k++) weight[i] += exp(value[i][k] - most);
    }
}

/* The share below which a part p of the weight lies. */
static double quantile(const double *weight, double p)
{
    double sum = 0, below = 0;
    for (size_t i = 0; i < ANGLES; i++) sum += weight[i];
    size_t i = 0;
    while (i + 1 < ANGLES && below + weight[i] < p * sum) below += weight[i++];
    const double angle = ((double)i + (p * sum - below) / weight[i]) / ANGLES * acos(0);
    return sin(angle) * sin(angle);
}

interval stats_counts(const double *hits, const double *trials, size_t count, double level)
{
    double weight[ANGLES], right = 0, all = 0;
    tails t;
    for (size_t i = 0; i < count; i++) {
        if (!(trials[i] >= 0) || !(hits[i] >= 0) || !(hits[i] <= trials[i] + 1e-6)) return none;
        right += hits[i];
        all += trials[i];
    }
    if (all <= 0 || !count_tails(hits, trials, count, &t)) return none;
    weigh(&t, weight);
    free(t.hits);
    /* All or none: the end itself is inside. */
    return (interval){right > 0.5 ? quantile(weight, (1 - level) / 2) : 0,
                      right < all - 0.5 ? quantile(weight, (1 + level) / 2) : 1, "beta-binomial"};
}

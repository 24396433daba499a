/* How often the 95 % intervals hold the truth, at the numbers of documents and keys that the journals have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/rng.h"
#include "harness/stats/stats.h"

#include <math.h>

enum { MOST = 50 };
static const size_t sizes[] = {6, 8, 9, 10, 20, MOST};
enum { SIZES = sizeof sizes / sizeof *sizes };

/* Tokens of the nine novels of the test set, repeated: what the documents weigh. */
static const double weight[] = {68402, 36000, 101000, 23000, 54000, 150000, 12000, 88000, 41000};

/* ---- Differences ---- */

typedef enum noise { NORMAL, HEAVY, SPREAD, SKEWED } noise;

/* A document's departure; all but SKEWED are as likely up as down. */
static double departure(rng *draw, noise kind, size_t i)
{
    const double z = rng_normal(draw);
    if (kind == HEAVY) return z / fmax(0.2, fabs(rng_normal(draw)));
    if (kind == SPREAD) return z * (0.3 + (double)(i % 4));
    if (kind == SKEWED) return exp(z) - exp(0.5);
    return z;
}

static double coverage(noise kind, size_t n, int sets)
{
    double num[MOST], den[MOST];
    rng draw = rng_make(21, "coverage", n, (uint32_t)kind);
    int held = 0;
    for (int s = 0; s < sets; s++) {
        for (size_t i = 0; i < n; i++) {
            den[i] = weight[i % 9];
            num[i] = den[i] * (0.7 + departure(&draw, kind, i));
        }
        const interval got = stats_ratio(num, den, n, 0.95);
        held += got.lo <= 0.7 && 0.7 <= got.hi;
    }
    return held / (double)sets;
}

/* All kinds of departure together: 6,000 sets where flips are few, 900 where they are drawn. Six documents can
 * only have 1 - 1/32. */
static void test_differences(void **state)
{
    (void)state;
    for (size_t k = 0; k < SIZES; k++) {
        double mean = 0;
        for (noise kind = NORMAL; kind < SKEWED; kind++)
            mean += coverage(kind, sizes[k], sizes[k] <= 10 ? 2000 : 300) / SKEWED;
        if (mean < 0.93 || mean > (sizes[k] == 6 ? 0.98 : 0.97))
            fail_msg("n = %zu: coverage %.3f", sizes[k], mean);
    }
}

/* What stats.h says of log-normal departures. */
static void test_skewed(void **state)
{
    (void)state;
    const double nine = coverage(SKEWED, 9, 2000);
    if (nine < 0.80 || nine > 0.93) fail_msg("n = 9, skewed: coverage %.3f", nine);
}

/* ---- Digits ---- */

/* A gamma variate of shape `a`, by Marsaglia and Tsang; for beta shares. */
static double draw_gamma(rng *draw, double a)
{
    if (a < 1) return draw_gamma(draw, a + 1) * pow(rng_uniform(draw), 1 / a);
    const double d = a - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        const double x = rng_normal(draw), v = pow(1 + c * x, 3);
        if (v > 0 && log(rng_uniform(draw)) < 0.5 * x * x + d - d * v + d * log(v)) return d * v;
    }
}

/* Keys of 5 digits with a share of hits and a correlation within the key; how often the interval misses below and
 * above. */
static void digit_misses(size_t n, double share, double rho, int sets, double *below, double *above)
{
    double hits[MOST], trials[MOST];
    rng draw = rng_make(22, "digits", n, (uint32_t)(100 * share + 1000 * rho));
    *below = *above = 0;
    for (int s = 0; s < sets; s++) {
        for (size_t i = 0; i < n; i++) {
            double own = share;
            if (rho > 0) {
                const double a = draw_gamma(&draw, share * (1 - rho) / rho),
                             b = draw_gamma(&draw, (1 - share) * (1 - rho) / rho);
                own = a / (a + b);
            }
            hits[i] = 0;
            trials[i] = 5;
            for (int d = 0; d < 5; d++) hits[i] += rng_uniform(&draw) < own;
        }
        const interval got = stats_counts(hits, trials, n, 0.95);
        *below += (got.hi < share) / (double)sets;
        *above += (got.lo > share) / (double)sets;
    }
}

/* Over shares from chance to nearly all: at least 0.93 with the correlations that the journals show (design
 * effects 0.6 to 1.4, so at most 0.1), and at least 0.9 with one of 0.4. The prior makes it more than 0.95 for few
 * keys. */
static void test_digits(void **state)
{
    (void)state;
    static const double shares[] = {0.1, 0.5, 0.8, 0.96}, rhos[] = {0, 0.1, 0.4}, least[] = {0.93, 0.93, 0.9};
    for (size_t k = 0; k < SIZES; k++)
        for (int r = 0; r < 3; r++) {
            double below = 0, above = 0;
            for (int p = 0; p < 4; p++) {
                double own_below, own_above;
                digit_misses(sizes[k], shares[p], rhos[r], 75, &own_below, &own_above);
                below += own_below / 4;
                above += own_above / 4;
            }
            if (1 - below - above < least[r])
                fail_msg("n = %zu, correlation %g: %.3f below, %.3f above", sizes[k], rhos[r], below, above);
        }
}

/* ---- Seeds ---- */

/* Two and three seeds over nine documents, where both vary. */
static void test_seeds(void **state)
{
    (void)state;
    for (size_t seeds = 2; seeds <= 3; seeds++) {
        double value[27];
        rng draw = rng_make(23, "seeds", seeds, 0);
        int held = 0;
        for (int s = 0; s < 1000; s++) {
            double document[9];
            for (int i = 0; i < 9; i++) document[i] = rng_normal(&draw);
            for (size_t k = 0; k < seeds; k++) {
                const double seed = rng_normal(&draw);
                for (size_t i = 0; i < 9; i++) value[k * 9 + i] = seed + document[i] + 0.5 * rng_normal(&draw);
            }
            const interval got = stats_crossed(value, seeds, 9, 0.95);
            held += got.lo <= 0 && 0 <= got.hi;
        }
        if (held < 930) fail_msg("%zu seeds: coverage %.3f", seeds, held / 1000.0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_skewed),
        cmocka_unit_test(test_digits),
        cmocka_unit_test(test_seeds),
    };
    return cmocka_run_group_tests_name("coverage", tests, NULL, NULL);
}

/* Distributions, and the intervals of shares and of several seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/rng.h"
#include "harness/stats/stats.h"

#include <math.h>
#include <string.h>

#define assert_near(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

/* Reference values: GSL 2.7, gsl_cdf_beta_P. */
static void test_beta_inc(void **state)
{
    (void)state;
    static const double known[][4] = {
        {1, 1, 0.3, 0.3},
        {2, 3, 0.5, 0.6875},
        {0.5, 0.5, 0.1, 0.20483276469913328},
        {10, 1, 0.7, 0.028247524899999987},
        {5.5, 20.25, 0.2, 0.46948271199091757},
        {300, 700, 0.31, 0.75641868273138546},
        {1000, 10, 0.995, 0.96688226014363354},
        {0.001, 2, 0.5, 0.99980674653694779},
        {50000, 50000, 0.5005, 0.62408491296694768},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_near(stats_beta_inc(known[i][0], known[i][1], known[i][2]), known[i][3], 1e-10);
    assert_true(stats_beta_inc(2, 3, 0) == 0);
    assert_true(stats_beta_inc(2, 3, 1) == 1);
}

static void test_beta_symmetry_and_quantile(void **state)
{
    (void)state;
    for (double a = 0.5; a < 40; a *= 1.7)
        for (double b = 0.5; b < 40; b *= 1.9)
            for (double x = 0.05; x < 1; x += 0.1) {
                const double p = stats_beta_inc(a, b, x);
                assert_near(p + stats_beta_inc(b, a, 1 - x), 1, 1e-12);
                if (p > 1e-6 && p < 1 - 1e-6) assert_near(stats_beta_quantile(a, b, p), x, 1e-8);
            }
}

/* Reference values: GSL 2.7, gsl_cdf_beta_Pinv and Qinv; 81 of 263 is also in Newcombe 1998, table I. */
static void test_clopper_pearson(void **state)
{
    (void)state;
    static const double known[][5] = {
        {10, 10, 0.95, 0.691502892181239, 1},
        {0, 10, 0.95, 0, 0.308497107818761},
        {5, 10, 0.95, 0.187086028447399, 0.812913971552601},
        {1, 20, 0.95, 0.0012650894979498, 0.248732762772028},
        {19, 20, 0.95, 0.751267237227972, 0.99873491050205},
        {81, 263, 0.95, 0.252736745585271, 0.367621922601351},
        {4, 20, 0.9, 0.0713538843086183, 0.401028117331975},
        {999, 1000, 0.99, 0.992593713061647, 0.999994987470739},
        {7.4, 10, 0.95, 0.384620142725222, 0.951690026574427},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const interval got = stats_binomial(known[i][0], known[i][1], known[i][2]);
        assert_near(got.lo, known[i][3], 1e-12);
        assert_near(got.hi, known[i][4], 1e-12);
        assert_string_equal(got.kind, "clopper-pearson");
    }
    /* n of n has the closed form (1 - level)/2 ^ (1/n). */
    for (int n = 1; n < 200; n += 7) assert_near(stats_binomial(n, n, 0.95).lo, pow(0.025, 1.0 / n), 1e-12);
    assert_string_equal(stats_binomial(0, 0, 0.95).kind, "none");
    assert_true(isnan(stats_binomial(0, 0, 0.95).lo));
}

/* The defining property: at the lower end, `hits` or more has probability (1 - level)/2. */
static void test_clopper_pearson_tails(void **state)
{
    (void)state;
    const int n = 12;
    for (int hits = 1; hits <= n; hits++) {
        const double p = stats_binomial(hits, n, 0.95).lo;
        double tail = 0;
        for (int k = hits; k <= n; k++)
            tail += exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)) * pow(p, k) * pow(1 - p, n - k);
        assert_near(tail, 0.025, 1e-10);
    }
}

/* ---- Distributions ---- */

/* Reference values: GSL 2.7, gsl_cdf_tdist_P; t = 1, v = 1 is 3/4 in closed form. */
static void test_t_cdf(void **state)
{
    (void)state;
    static const double known[][3] = {
        {0, 3, 0.5},
        {1, 1, 0.75},
        {-1, 1, 0.25},
        {0.5, 2.5, 0.67115104006514259},
        {-3.5, 7, 0.0049965204409427805},
        {1e-6, 4, 0.50000037500000005},
        {40, 3, 0.9999828096596054},
        {-12, 30, 2.7900927075996404e-13},
        {1.96, 1e6, 0.97500196620736512},
        {6, 200, 0.99999999544243978},
        {-0.01, 0.5, 0.49730337181805223},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const double tolerance = known[i][1] > 1e5 ? 1e-9 : 1e-12;
        assert_near(stats_t_cdf(known[i][0], known[i][1]) / known[i][2], 1, tolerance);
    }
}

/* Reference values: GSL 2.7, gsl_cdf_tdist_Pinv; 2.228 and 12.706 are in every printed table. */
static void test_t_quantile(void **state)
{
    (void)state;
    static const double known[][3] = {
        {0.975, 1, 12.706204736174696},  {0.975, 10, 2.2281388519862735},     {0.8, 9, 0.8834038596855347},
        {0.95, 2.5, 2.5582186141359342}, {0.9999, 30, 4.2339859572720009},    {0.025, 19, -2.0930240544083105},
        {1e-6, 4, -41.577854150450975},  {1e-12, 100, -8.0258255944932504},   {0.975, 1e6, 1.9599663568141066},
        {0.7, 0.5, 1.0095258786071681},  {0.5001, 5, 0.00026343055607032373},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_near(stats_t_quantile(known[i][0], known[i][1]) / known[i][2], 1, 1e-9);
    assert_true(stats_t_quantile(0.5, 7) == 0);
    for (double v = 0.7; v < 3000; v *= 2.3)
        for (double p = 1e-7; p < 1; p = p < 0.01 ? 10 * p : p + 0.07)
            assert_near(stats_t_cdf(stats_t_quantile(p, v), v) / p, 1, 1e-9);
}

/* Reference values: GSL 2.7, gsl_cdf_binomial_P; those with p = 1/2 and n = 10 are in closed form. */
static void test_binomial_cdf(void **state)
{
    (void)state;
    static const double known[][4] = {
        {0, 10, 0.5, 1 / 1024.0},
        {3, 10, 0.5, 176 / 1024.0},
        {6, 22, 0.5, 0.026239395141601767},
        {450, 1000, 0.5, 0.00086526804248890062},
        {2, 1000, 0.001, 0.91979065715979913},
        {990, 1000, 0.995, 0.031465238511292182},
        {40, 100, 0.7, 5.1299498155830008e-10},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_near(stats_binomial_cdf((int64_t)known[i][0], (int64_t)known[i][1], known[i][2]) / known[i][3], 1,
                    1e-10);
    assert_true(stats_binomial_cdf(-1, 5, 0.5) == 0);
    assert_true(stats_binomial_cdf(5, 5, 0.5) == 1);
    assert_true(stats_binomial_cdf(4, 5, 1) == 0);
    assert_true(stats_binomial_cdf(0, 5, 0) == 1);
}

/* ---- Shares whose trials come in clusters ---- */

/* All that 4 keys of 5 digits can be: one more wrong digit never moves an end up. */
static void test_counts_monotone(void **state)
{
    (void)state;
    enum { KEYS = 4, DIGITS = 5 };
    const double trials[KEYS] = {DIGITS, DIGITS, DIGITS, DIGITS};
    for (int code = 0; code < 6 * 6 * 6 * 6; code++) {
        double hits[KEYS] = {code % 6, code / 6 % 6, code / 36 % 6, code / 216};
        if (hits[0] > hits[1] || hits[1] > hits[2] || hits[2] > hits[3]) continue;
        const interval more = stats_counts(hits, trials, KEYS, 0.95);
        assert_string_equal(more.kind, "beta-binomial");
        for (int k = 0; k < KEYS; k++) {
            if (hits[k] == 0) continue;
            hits[k]--;
            const interval fewer = stats_counts(hits, trials, KEYS, 0.95);
            assert_true(fewer.lo <= more.lo + 1e-12 && fewer.hi <= more.hi + 1e-12);
            hits[k]++;
        }
    }
}

/* Against the same posterior in numpy: a grid of 4000 shares by 400 correlations, log-gamma functions. */
static void test_counts_values(void **state)
{
    (void)state;
    static const struct {
        int keys;
        double right[10], lo, hi;
    } known[] = {{10, {5, 5, 5, 5, 5, 5, 5, 5, 5, 5}, 0.8972, 1.0000},
                 {10, {4, 5, 5, 5, 5, 5, 5, 5, 5, 5}, 0.8381, 0.9968},
                 {10, {0, 5, 5, 5, 5, 5, 5, 5, 5, 5}, 0.7045, 0.9929},
                 {10, {1, 0, 2, 0, 1, 0, 0, 1, 0, 1}, 0.0541, 0.2882},
                 {8, {3, 2, 4, 1, 5, 0, 2, 3}, 0.2950, 0.7050},
                 {6, {0, 0, 0, 0, 0, 0}, 0.0000, 0.1662},
                 {6, {5, 0, 5, 0, 5, 5}, 0.3206, 0.9323}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        double trials[10];
        for (int k = 0; k < 10; k++) trials[k] = 5;
        const interval got = stats_counts(known[i].right, trials, (size_t)known[i].keys, 0.95);
        assert_near(got.lo, known[i].lo, 3e-3);
        assert_near(got.hi, known[i].hi, 3e-3);
    }
    /* One error more among many narrows nothing: it was the fault of two methods in one column. */
    double right[50], trials[50], none[2] = {0, 0};
    for (int k = 0; k < 50; k++) right[k] = trials[k] = 5;
    const interval all = stats_counts(right, trials, 50, 0.95);
    right[7] = 4;
    const interval one = stats_counts(right, trials, 50, 0.95);
    assert_true(all.hi == 1 && one.hi < 1 && one.lo < all.lo && one.hi - one.lo > all.hi - all.lo);
    assert_string_equal(stats_counts(none, none, 2, 0.95).kind, "none");
    double few[6] = {0, 0, 1, 0, 0, 0};
    assert_true(stats_counts(few, trials, 6, 0.95).lo > 0);
    few[2] = 0;
    assert_true(stats_counts(few, trials, 6, 0.95).lo == 0);
    right[0] = 6;
    assert_string_equal(stats_counts(right, trials, 50, 0.95).kind, "none");
    right[0] = NAN;
    assert_string_equal(stats_counts(right, trials, 50, 0.95).kind, "none");
}

/* ---- Seeds and documents ---- */

/* By hand: rows 1 2 3 and 3 4 8, mean 3.5; mean squares 13.5 of rows, 6.5 of columns, 1.5 of the rest. */
static void test_crossed(void **state)
{
    (void)state;
    const double value[6] = {1, 2, 3, 3, 4, 8};
    const interval got = stats_crossed(value, 2, 3, 0.95);
    const double t = (12.706204736 * 13.5 + 4.302652730 * 6.5) / 20, half = t * sqrt((13.5 + 6.5 - 1.5) / 6);
    assert_near(got.lo, 3.5 - half, 1e-7);
    assert_near(got.hi, 3.5 + half, 1e-7);
    assert_string_equal(stats_crossed(value, 1, 6, 0.95).kind, "none");
    assert_string_equal(stats_crossed(value, 6, 1, 0.95).kind, "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beta_inc),        cmocka_unit_test(test_beta_symmetry_and_quantile),
        cmocka_unit_test(test_clopper_pearson), cmocka_unit_test(test_clopper_pearson_tails),
        cmocka_unit_test(test_t_cdf),           cmocka_unit_test(test_t_quantile),
        cmocka_unit_test(test_binomial_cdf),    cmocka_unit_test(test_counts_monotone),
        cmocka_unit_test(test_counts_values),   cmocka_unit_test(test_crossed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

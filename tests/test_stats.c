#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/rng.h"
#include "harness/stats.h"

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

static void test_bootstrap(void **state)
{
    (void)state;
    double values[400];
    rng draw = rng_make(7, "test", 0, 0);
    for (int i = 0; i < 400; i++) values[i] = 3 + 2 * rng_normal(&draw);
    const double mean = stats_mean(values, 400);
    double square = 0;
    for (int i = 0; i < 400; i++) square += (values[i] - mean) * (values[i] - mean);
    const double error = sqrt(square / 400 / 400); /* what the bootstrap of a mean converges to */
    const interval got = stats_bootstrap_mean(values, 400, 0, 0.95, 1);
    assert_string_equal(got.kind, "bootstrap");
    assert_near(got.lo, mean - 1.96 * error, 0.15 * error);
    assert_near(got.hi, mean + 1.96 * error, 0.15 * error);

    const interval again = stats_bootstrap_mean(values, 400, 0, 0.95, 1);
    assert_memory_equal(&got.lo, &again.lo, sizeof got.lo);
    assert_memory_equal(&got.hi, &again.hi, sizeof got.hi);
    assert_true(stats_bootstrap_mean(values, 400, 0, 0.95, 2).lo != got.lo);

    /* Two values: resampled means are 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4. */
    const double two[] = {0, 1};
    const interval wide = stats_bootstrap_mean(two, 2, 1, 0.4, 1);
    assert_true(wide.lo == 0.5 && wide.hi == 0.5);
    assert_true(stats_bootstrap_mean(two, 2, 1, 0.6, 1).lo == 0);
}

/* Equal values must not give an interval of no width. */
static void test_bootstrap_equal_values(void **state)
{
    (void)state;
    double ones[10], sixths[10];
    for (int i = 0; i < 10; i++) {
        ones[i] = 1;
        sixths[i] = 0.6;
    }
    const interval all = stats_bootstrap_mean(ones, 10, 1, 0.95, 1);
    assert_near(all.lo, 0.691502892181239, 1e-12);
    assert_true(all.hi == 1);
    assert_string_equal(all.kind, "clopper-pearson");
    const interval some = stats_bootstrap_mean(sixths, 10, 1, 0.95, 1);
    assert_true(some.lo < 0.4 && some.hi > 0.8);
    assert_string_equal(stats_bootstrap_mean(sixths, 10, 0, 0.95, 1).kind, "none");
    assert_string_equal(stats_bootstrap_mean(sixths, 0, 1, 0.95, 1).kind, "none");
    assert_true(isnan(stats_mean(sixths, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beta_inc),        cmocka_unit_test(test_beta_symmetry_and_quantile),
        cmocka_unit_test(test_clopper_pearson), cmocka_unit_test(test_clopper_pearson_tails),
        cmocka_unit_test(test_bootstrap),       cmocka_unit_test(test_bootstrap_equal_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

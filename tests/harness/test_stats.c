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

/* ---- Ratios over documents ---- */

/* Documents of uneven length, of which longer ones have a higher ratio; E[num] / E[den] = 3. */
static void draw_documents(rng *draw, size_t count, double *num, double *den)
{
    for (size_t i = 0; i < count; i++) {
        den[i] = 50 + rng_below(draw, 101);
        num[i] = den[i] * (3 + 0.8 * rng_normal(draw)) + 2 * (den[i] - 100);
    }
}

static double sum_ratio(const double *num, const double *den, size_t count)
{
    return stats_mean(num, count) / stats_mean(den, count);
}

static void test_bootstrap_ratio(void **state)
{
    (void)state;
    double num[300], den[300], ones[300], twice[300];
    rng draw = rng_make(1, "documents", 0, 0);
    draw_documents(&draw, 300, num, den);
    const double observed = sum_ratio(num, den, 300);
    double square = 0;
    for (int i = 0; i < 300; i++) {
        square += (num[i] - observed * den[i]) * (num[i] - observed * den[i]);
        ones[i] = 1;
        twice[i] = 2 * num[i];
    }
    const double error = sqrt(square) / 300 / stats_mean(den, 300); /* by the delta method */
    const interval got = stats_bootstrap_ratio(num, den, 300, 0.95, 1);
    assert_string_equal(got.kind, "bootstrap");
    assert_near(got.lo, observed - 1.96 * error, 0.15 * error);
    assert_near(got.hi, observed + 1.96 * error, 0.15 * error);

    const interval again = stats_bootstrap_ratio(num, den, 300, 0.95, 1);
    assert_true(again.lo == got.lo && again.hi == got.hi);
    assert_true(stats_bootstrap_ratio(num, den, 300, 0.95, 2).lo != got.lo);
    assert_true(stats_bootstrap_ratio(twice, den, 300, 0.95, 1).lo == 2 * got.lo);
    const interval mean = stats_bootstrap_mean(num, 300, 0, 0.95, 1);
    const interval same = stats_bootstrap_ratio(num, ones, 300, 0.95, 1);
    assert_true(mean.lo == same.lo && mean.hi == same.hi);

    /* Two documents: 1/1 with probability 1/4, (1 + 0)/(1 + 3) with 1/2, 0/3 with 1/4. */
    const double two_num[] = {1, 0}, two_den[] = {1, 3};
    const interval narrow = stats_bootstrap_ratio(two_num, two_den, 2, 0.4, 1);
    assert_true(narrow.lo == 0.25 && narrow.hi == 0.25);
    const interval wide = stats_bootstrap_ratio(two_num, two_den, 2, 0.6, 1);
    assert_true(wide.lo == 0 && wide.hi == 1);
}

static void test_bootstrap_ratio_refusals(void **state)
{
    (void)state;
    const double num[] = {0.3, 0.6, 0.9}, equal[] = {1, 2, 3}, zero[] = {0, 0, 0}, some[] = {0, 0, 2};
    const double negative[] = {1, -1, 3}, missing[] = {1, NAN, 3};
    assert_string_equal(stats_bootstrap_ratio(num, equal, 3, 0.95, 1).kind, "none");
    assert_string_equal(stats_bootstrap_ratio(num, equal, 1, 0.95, 1).kind, "none");
    assert_string_equal(stats_bootstrap_ratio(num, equal, 0, 0.95, 1).kind, "none");
    assert_string_equal(stats_bootstrap_ratio(num, zero, 3, 0.95, 1).kind, "none");
    assert_string_equal(stats_bootstrap_ratio(num, negative, 3, 0.95, 1).kind, "none");
    assert_string_equal(stats_bootstrap_ratio(missing, equal, 3, 0.95, 1).kind, "none");
    assert_string_equal(stats_bootstrap_ratio(num, some, 3, 0.95, 1).kind, "bootstrap"); /* redraws all zeros */
}

/* How often the interval holds the truth, over simulated data sets of 40 documents. With 120 of them the binomial
 * spread is 2 %; the percentile interval is known to fall a little short at this size. */
static void test_bootstrap_coverage(void **state)
{
    (void)state;
    enum { SETS = 120, DOCUMENTS = 40 };
    double num[DOCUMENTS], den[DOCUMENTS];
    rng draw = rng_make(11, "coverage", 0, 0);
    int below = 0, above = 0;
    /* The truth: E[den (3 + 2)] - 200 over E[den] = 100. */
    for (int s = 0; s < SETS; s++) {
        draw_documents(&draw, DOCUMENTS, num, den);
        const interval got = stats_bootstrap_ratio(num, den, DOCUMENTS, 0.9, (uint64_t)s);
        below += got.hi < 3;
        above += got.lo > 3;
    }
    assert_in_range(below, 1, 13);
    assert_in_range(above, 1, 13);
    assert_in_range(below + above, 6, 22);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beta_inc),
        cmocka_unit_test(test_beta_symmetry_and_quantile),
        cmocka_unit_test(test_clopper_pearson),
        cmocka_unit_test(test_clopper_pearson_tails),
        cmocka_unit_test(test_bootstrap),
        cmocka_unit_test(test_bootstrap_equal_values),
        cmocka_unit_test(test_t_cdf),
        cmocka_unit_test(test_t_quantile),
        cmocka_unit_test(test_binomial_cdf),
        cmocka_unit_test(test_bootstrap_ratio),
        cmocka_unit_test(test_bootstrap_ratio_refusals),
        cmocka_unit_test(test_bootstrap_coverage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Paired comparisons, tests, corrections, detectable effects. */
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

/* ---- Tests ---- */

static void test_paired_bootstrap(void **state)
{
    (void)state;
    enum { N = 100 };
    double a[N], b[N], den[N], gap[N];
    rng draw = rng_make(3, "paired", 0, 0);
    draw_documents(&draw, N, b, den);
    for (int i = 0; i < N; i++) {
        gap[i] = den[i] * (0.05 + 0.1 * rng_normal(&draw));
        a[i] = b[i] + gap[i];
    }
    const paired got = stats_paired_ratio(a, den, b, den, N, 0.95, 1);
    /* With one denominator the difference of ratios is the ratio of differences. */
    const interval direct = stats_bootstrap_ratio(gap, den, N, 0.95, 1);
    assert_near(got.difference, sum_ratio(gap, den, N), 1e-12);
    assert_near(got.ci.lo, direct.lo, 1e-12);
    assert_near(got.ci.hi, direct.hi, 1e-12);
    assert_string_equal(got.test, "bootstrap");
    /* Documents differ by 0.8, the sides by 0.1: paired, the difference of 0.05 is plain to see. */
    assert_true(got.ci.lo > 0 && got.p < 0.001);
    assert_near(got.deviation / sqrt(N), (got.ci.hi - got.ci.lo) / 3.92, 0.1 * (got.ci.hi - got.ci.lo) / 3.92);

    const paired back = stats_paired_ratio(b, den, a, den, N, 0.95, 1);
    assert_true(back.difference == -got.difference && back.p == got.p);
    assert_near(back.ci.lo, -got.ci.hi, 1e-12);
    const paired again = stats_paired_ratio(a, den, b, den, N, 0.95, 1);
    assert_memory_equal(&again.difference, &got.difference, sizeof got.difference);
    assert_memory_equal(&again.ci.lo, &got.ci.lo, sizeof got.ci.lo);
    assert_true(again.p == got.p);

    const paired same = stats_paired_ratio(a, den, a, den, N, 0.95, 1);
    assert_true(same.difference == 0 && same.p == 1 && same.deviation == 0);
    assert_string_equal(same.ci.kind, "none");
    a[5] = NAN;
    const paired missing = stats_paired_ratio(a, den, b, den, N, 0.95, 1);
    assert_true(isnan(missing.difference) && isnan(missing.p) && isnan(missing.deviation));
    assert_string_equal(missing.test, "none");
}

/* Under the null p is at most 5 % in about 5 % of simulated comparisons; 21 documents, the first number that goes
 * without the exact test. */
static void test_paired_level(void **state)
{
    (void)state;
    enum { SETS = 150, N = STATS_EXACT_DOCUMENTS + 1 };
    double a[N], b[N], den[N];
    rng draw = rng_make(4, "level", 0, 0);
    int rejected = 0;
    for (int s = 0; s < SETS; s++) {
        for (int i = 0; i < N; i++) {
            den[i] = 50 + rng_below(&draw, 101);
            const double document = rng_normal(&draw);
            a[i] = den[i] * (document + 0.3 * rng_normal(&draw));
            b[i] = den[i] * (document + 0.3 * rng_normal(&draw));
        }
        const paired got = stats_paired_ratio(a, den, b, den, N, 0.95, (uint64_t)s);
        assert_string_equal(got.test, "bootstrap");
        rejected += got.p <= 0.05;
    }
    assert_in_range(rejected, 2, 18);
}

/* Darwin's 15 pairs of maize plants, in eighths of an inch: of the 2^15 sums of signs, 863 are at least the
 * observed 314 (Fisher, The Design of Experiments, 1935, section 21). */
static void test_sign_flip_darwin(void **state)
{
    (void)state;
    static const double gap[15] = {49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48};
    double none[15] = {0}, ones[15];
    for (int i = 0; i < 15; i++) ones[i] = 1;
    assert_true(stats_sign_flip(gap, ones, none, ones, 15) == 2 * 863 / 32768.0);
    assert_true(stats_sign_flip(none, ones, gap, ones, 15) == 2 * 863 / 32768.0);
    const paired got = stats_paired_ratio(gap, ones, none, ones, 15, 0.95, 1);
    assert_true(got.p == 2 * 863 / 32768.0);
    assert_string_equal(got.test, "sign-flip");
    assert_true(isnan(stats_sign_flip(gap, ones, none, ones, 0)));
    assert_true(isnan(stats_sign_flip(gap, ones, none, ones, 31)));
    assert_true(isnan(stats_sign_flip(gap, none, none, ones, 15)));
}

/* Against all 2^n swaps written out, with denominators that differ between the sides. */
static void test_sign_flip_brute(void **state)
{
    (void)state;
    enum { N = 9 };
    rng draw = rng_make(8, "flip", 0, 0);
    for (int round = 0; round < 20; round++) {
        double side[4][N];
        for (int i = 0; i < N; i++)
            for (int k = 0; k < 4; k++) side[k][i] = 1 + rng_below(&draw, 9);
        const double observed = sum_ratio(side[0], side[1], N) - sum_ratio(side[2], side[3], N);
        int extreme = 0;
        for (unsigned swaps = 0; swaps < 1u << N; swaps++) {
            double sum[4] = {0};
            for (int i = 0; i < N; i++)
                for (int k = 0; k < 4; k++) sum[k] += side[swaps >> i & 1 ? (k + 2) % 4 : k][i];
            extreme += fabs(sum[0] / sum[1] - sum[2] / sum[3]) >= fabs(observed) - 1e-9;
        }
        assert_true(stats_sign_flip(side[0], side[1], side[2], side[3], N) == extreme / (double)(1u << N));
    }
}

/* Published: Fagerland, Lydersen & Laake (BMC Med Res Methodol 13:91, 2013), tables 1 and 2: airway
 * hyper-responsiveness, 1 against 7, exact p 0.0703; complete response, 6 against 16, exact p 0.0525. */
static void test_mcnemar(void **state)
{
    (void)state;
    assert_near(stats_mcnemar(1, 7), 0.0703125, 1e-14);
    assert_near(stats_mcnemar(6, 16), 0.0525, 5e-5);
    assert_near(stats_mcnemar(0, 6), 2.0 / 64, 1e-15);
    assert_true(stats_mcnemar(0, 0) == 1 && stats_mcnemar(9, 9) == 1 && stats_mcnemar(4, 5) <= 1);
    assert_true(isnan(stats_mcnemar(-1, 2)));
    for (int n = 1; n < 40; n++) /* the definition, by sums of whole numbers */
        for (int k = 0; 2 * k < n; k++) {
            double choose = 1, sum = 0;
            for (int j = 0; j <= k; j++) {
                sum += choose;
                choose = choose * (n - j) / (j + 1);
            }
            assert_near(stats_mcnemar(k, n - k), fmin(1, 2 * sum * ldexp(1, -n)), 1e-12);
            assert_true(stats_mcnemar(k, n - k) == stats_mcnemar(n - k, k));
        }
}

/* Holm's p as the smallest level at which the step-down procedure rejects it: of the sorted values all up to this
 * one must be at most level / (m - i + 1). */
static double holm_by_definition(const double *p, size_t count, size_t at)
{
    double adjusted = 0;
    for (size_t other = 0; other < count; other++) {
        if (isnan(p[other]) || p[other] > p[at]) continue;
        size_t left = 0; /* hypotheses not yet rejected when this one's turn comes */
        for (size_t k = 0; k < count; k++)
            left += !isnan(p[k]) && (p[k] > p[other] || (p[k] == p[other] && k >= other));
        adjusted = fmax(adjusted, (double)left * p[other]);
    }
    return fmin(1, adjusted);
}

static void test_holm(void **state)
{
    (void)state;
    pal_error err;
    double four[] = {0.01, 0.04, 0.03, 0.005}; /* by hand: 4 p, 3 p, 2 p, and no less than the last */
    assert_int_equal(stats_holm(four, 4, &err), PAL_OK);
    const double by_hand[] = {0.03, 0.06, 0.06, 0.02};
    for (int i = 0; i < 4; i++) assert_near(four[i], by_hand[i], 1e-15);

    rng draw = rng_make(5, "holm", 0, 0);
    for (size_t count = 0; count <= 12; count++)
        for (int round = 0; round < 20; round++) {
            double p[12] = {0}, got[12];
            for (size_t i = 0; i < count; i++) {
                p[i] = rng_below(&draw, 30) / 100.0; /* with ties */
                if (rng_below(&draw, 6) == 0) p[i] = NAN;
            }
            memcpy(got, p, sizeof p);
            assert_int_equal(stats_holm(got, count, &err), PAL_OK);
            for (size_t i = 0; i < count; i++) {
                if (isnan(p[i]))
                    assert_true(isnan(got[i]));
                else
                    assert_near(got[i], holm_by_definition(p, count, i), 1e-15);
            }
        }
}

/* ---- Minimum detectable effects ---- */

static double choose(int n, int k)
{
    return exp(lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0));
}

/* The probability that the interval of stats_binomial lies below the baseline. */
static double share_power(int n, double baseline, double effect)
{
    double power = 0;
    for (int k = 0; k <= n; k++)
        if (stats_binomial(k, n, 0.95).hi < baseline)
            power += choose(n, k) * pow(baseline - effect, k) * pow(1 - baseline + effect, n - k);
    return power;
}

static void test_detectable_share(void **state)
{
    (void)state;
    static const double baselines[] = {0.3, 0.5, 0.93, 1};
    for (int n = 10; n <= 80; n += 35)
        for (size_t i = 0; i < 4; i++) {
            const double effect = stats_detectable_share(n, baselines[i], 0.05, 0.8);
            if (isnan(effect)) {
                assert_true(share_power(n, baselines[i], baselines[i]) < 0.8);
                continue;
            }
            assert_true(share_power(n, baselines[i], effect + 1e-9) >= 0.8);
            assert_true(share_power(n, baselines[i], effect - 1e-9) < 0.8);
        }
    /* From a baseline of 1 a single miss rejects: 1 - (1 - d)^n = 0.8. */
    assert_near(stats_detectable_share(20, 1, 0.05, 0.8), 1 - pow(0.2, 1 / 20.0), 1e-10);
    /* From 1/2 with many samples: (1.96 + 0.84) sqrt(1/4 / n). */
    assert_near(stats_detectable_share(4000, 0.5, 0.05, 0.8), 2.8016 * sqrt(0.25 / 4000), 6e-4);
    assert_true(isnan(stats_detectable_share(20, 0, 0.05, 0.8)));
    assert_true(isnan(stats_detectable_share(0, 1, 0.05, 0.8)));
    assert_true(isnan(stats_detectable_share(3, 0.5, 0.05, 0.8)));
}

/* Over all numbers of pairs that are lost and gained. */
static double loss_power(int n, double gain, double effect)
{
    const double loss = gain + effect;
    double power = 0;
    for (int lost = 0; lost <= n; lost++)
        for (int gained = 0; gained < lost && lost + gained <= n; gained++)
            if (stats_mcnemar(lost, gained) <= 0.05)
                power += choose(n, lost) * choose(n - lost, gained) * pow(loss, lost) * pow(gain, gained) *
                         pow(1 - loss - gain, n - lost - gained);
    return power;
}

static void test_detectable_loss(void **state)
{
    (void)state;
    static const double gains[] = {0, 0.02, 0.15};
    for (int n = 20; n <= 70; n += 25)
        for (size_t i = 0; i < 3; i++) {
            const double effect = stats_detectable_loss(n, gains[i], 0.05, 0.8);
            assert_true(loss_power(n, gains[i], effect + 1e-9) >= 0.8);
            assert_true(loss_power(n, gains[i], effect - 1e-9) < 0.8);
        }
    assert_true(isnan(stats_detectable_loss(5, 0, 0.05, 0.8))); /* 5 against 0 has p = 0.0625 */
    assert_near(stats_detectable_loss(6, 0, 0.05, 0.8), pow(0.8, 1 / 6.0), 1e-10);
    assert_true(isnan(stats_detectable_loss(20, 0.6, 0.05, 0.8)));
}

/* Reference: the noncentral t's own power set to 0.8 at alpha 0.05, by numeric integration over the chi
 * distribution; in units of deviation / sqrt(n). */
static void test_detectable_difference(void **state)
{
    (void)state;
    static const double known[][2] = {{10, 3.149635678}, {20, 2.953588247}, {100, 2.829129784}};
    for (size_t i = 0; i < 3; i++) {
        const double n = known[i][0];
        assert_near(stats_detectable_difference(3, (int64_t)n, 0.05, 0.8) * sqrt(n) / 3 / known[i][1], 1, 0.002);
    }
    assert_true(stats_detectable_difference(0, 10, 0.05, 0.8) == 0);
    assert_true(isnan(stats_detectable_difference(1, 1, 0.05, 0.8)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paired_bootstrap),
        cmocka_unit_test(test_paired_level),
        cmocka_unit_test(test_sign_flip_darwin),
        cmocka_unit_test(test_sign_flip_brute),
        cmocka_unit_test(test_mcnemar),
        cmocka_unit_test(test_holm),
        cmocka_unit_test(test_detectable_share),
        cmocka_unit_test(test_detectable_loss),
        cmocka_unit_test(test_detectable_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

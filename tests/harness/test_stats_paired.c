/* Sign flips and their inversion, families of comparisons, McNemar's test, detectable effects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness/base/rng.h"
#include "harness/stats/family.h"
#include "harness/stats/stats.h"

#include <math.h>

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

/* Of many documents: the interval is close to that of the delta method, and mirrors with the sides. */
static void test_paired_many(void **state)
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
    const paired got = stats_paired_ratio(a, den, b, den, N, 0.95);
    /* With one denominator the difference of ratios is the ratio of differences. */
    const interval direct = stats_ratio(gap, den, N, 0.95);
    assert_near(got.difference, sum_ratio(gap, den, N), 1e-12);
    assert_near(got.ci.lo, direct.lo, 1e-9);
    assert_near(got.ci.hi, direct.hi, 1e-9);
    assert_string_equal(got.test, "sign-flip");
    assert_string_equal(got.ci.kind, "sign-flip");
    /* Documents differ by 0.8, the sides by 0.1: paired, the difference of 0.05 is plain to see. */
    assert_true(got.ci.lo > 0 && got.p < 0.001);
    assert_near(got.deviation / sqrt(N), (got.ci.hi - got.ci.lo) / 3.92, 0.1 * (got.ci.hi - got.ci.lo) / 3.92);
    assert_near((got.ci.lo + got.ci.hi) / 2, got.difference, 0.1 * (got.ci.hi - got.ci.lo));

    const paired back = stats_paired_ratio(b, den, a, den, N, 0.95);
    assert_true(back.difference == -got.difference && back.p == got.p);
    assert_near(back.ci.lo, -got.ci.hi, 1e-12);
    const paired again = stats_paired_ratio(a, den, b, den, N, 0.95);
    assert_true(again.p == got.p && again.ci.lo == got.ci.lo && again.ci.hi == got.ci.hi);

    const paired same = stats_paired_ratio(a, den, a, den, N, 0.95);
    assert_true(same.difference == 0 && same.p == 1 && same.deviation == 0);
    assert_string_equal(same.ci.kind, "none");
    a[5] = NAN;
    const paired missing = stats_paired_ratio(a, den, b, den, N, 0.95);
    assert_true(isnan(missing.difference) && isnan(missing.p) && isnan(missing.deviation));
    assert_string_equal(missing.test, "none");
}

/* Under the null p is at most 5 % in about 5 % of simulated comparisons, with drawn flips too. */
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
        rejected += stats_paired_ratio(a, den, b, den, N, 0.95).p <= 0.05;
    }
    assert_in_range(rejected, 2, 15);
}

/* Documents that weigh differently on the two sides: the linearised parts have the difference as their mean. */
static void test_unequal_weights(void **state)
{
    (void)state;
    const double num_a[] = {3, 5, 2, 8, 1, 4}, den_a[] = {2, 3, 1, 4, 1, 2};
    const double num_b[] = {2, 6, 1, 7, 2, 3}, den_b[] = {2, 4, 1, 3, 2, 2};
    double num[6], den[6], sum = 0;
    assert_true(stats_differences(num_a, den_a, num_b, den_b, 6, num, den));
    for (int i = 0; i < 6; i++) {
        assert_true(den[i] == 1);
        sum += num[i];
    }
    assert_near(sum / 6, 23.0 / 13 - 21.0 / 14, 1e-12);
    /* One side counted in smaller units is the same side. */
    double num_8[6], den_8[6], same[6];
    for (int i = 0; i < 6; i++) num_8[i] = 8 * num_b[i], den_8[i] = 8 * den_b[i];
    assert_true(stats_differences(num_a, den_a, num_8, den_8, 6, same, den));
    for (int i = 0; i < 6; i++) assert_true(same[i] == num[i]);
    const double zero[6] = {0};
    assert_false(stats_differences(num_a, zero, num_b, den_b, 6, num, den));
}

/* Darwin's 15 pairs of maize plants, in eighths of an inch: of the 2^15 sums of signs, 863 are at least the
 * observed 314 (Fisher, The Design of Experiments, 1935, section 21). */
static void test_sign_flip_darwin(void **state)
{
    (void)state;
    static const double gap[15] = {49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48};
    double none[15] = {0}, ones[15];
    for (int i = 0; i < 15; i++) ones[i] = 1;
    assert_true(stats_sign_flip(gap, ones, 15) == 2 * 863 / 32768.0);
    const paired got = stats_paired_ratio(gap, ones, none, ones, 15, 0.95),
                 back = stats_paired_ratio(none, ones, gap, ones, 15, 0.95);
    assert_true(got.p == 2 * 863 / 32768.0 && back.p == got.p);
    assert_string_equal(got.test, "sign-flip");
    double square = 0; /* 314 in all, a mean of 314/15 */
    for (int i = 0; i < 15; i++) square += (gap[i] - 314.0 / 15) * (gap[i] - 314.0 / 15);
    assert_near(got.deviation, sqrt(square / 14), 1e-9);
    /* p = 0.0527: the interval at 95 % just holds 0, that at 94 % does not. */
    assert_true(got.ci.lo <= 0 && got.ci.lo > -0.5 && back.ci.hi == -got.ci.lo);
    assert_true(stats_ratio(gap, ones, 15, 0.94).lo > 0);
    assert_true(isnan(stats_sign_flip(gap, ones, 0)) && isnan(stats_sign_flip(gap, none, 15)));
}

/* p against all 2^n flips written out; and the interval against p itself: a ratio inside is not rejected, one just
 * outside is. */
static void test_duality(void **state)
{
    (void)state;
    rng draw = rng_make(8, "flip", 0, 0);
    for (int round = 0; round < 30; round++) {
        const size_t n = 6 + (size_t)round % 6;
        double num[12], den[12], shifted[12], total = 0;
        for (size_t i = 0; i < n; i++) {
            num[i] = rng_normal(&draw) + 0.3;
            den[i] = 1 + rng_below(&draw, 9);
            total += num[i];
        }
        int extreme = 0;
        for (unsigned flips = 0; flips < 1u << n; flips++) {
            double sum = 0;
            for (size_t i = 0; i < n; i++) sum += flips >> i & 1 ? -num[i] : num[i];
            extreme += fabs(sum) >= fabs(total) - 1e-9;
        }
        assert_true(stats_sign_flip(num, den, n) == extreme / (double)(1u << n));
        const interval ci = stats_ratio(num, den, n, 0.95);
        const double at[4] = {ci.lo - 1e-9, ci.lo + 1e-9, ci.hi - 1e-9, ci.hi + 1e-9};
        for (int k = 0; k < 4; k++) {
            for (size_t i = 0; i < n; i++) shifted[i] = num[i] - at[k] * den[i];
            assert_int_equal(stats_sign_flip(shifted, den, n) > 0.05, k == 1 || k == 2);
        }
    }
}

/* None below six, where no p can be small enough; and none of what does not differ or is no number. */
static void test_refusals(void **state)
{
    (void)state;
    const double num[] = {1, 2, 4, 7, 11, 16}, ones[] = {1, 1, 1, 1, 1, 1}, zero[6] = {0};
    const double negative[] = {1, 1, 1, 1, 1, -1}, missing[] = {1, NAN, 3, 4, 5, 6};
    assert_string_equal(stats_ratio(num, ones, 5, 0.95).kind, "none");
    assert_string_equal(stats_ratio(num, ones, 5, 0.5).kind, "none"); /* at any level */
    const interval six = stats_ratio(num, ones, 6, 0.95), same = stats_ratio(num, NULL, 6, 0.95);
    assert_true(six.lo == 1 && six.hi == 16 && same.lo == 1 && same.hi == 16); /* 1/32 of the halves: the ends */
    assert_string_equal(stats_ratio(num, ones, 6, 0.97).kind, "none");
    assert_string_equal(stats_ratio(ones, ones, 6, 0.95).kind, "none");
    assert_string_equal(stats_ratio(num, zero, 6, 0.95).kind, "none");
    assert_string_equal(stats_ratio(num, negative, 6, 0.95).kind, "none");
    assert_string_equal(stats_ratio(missing, ones, 6, 0.95).kind, "none");
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

/* ---- Families ---- */

/* Rows that say the same have the p of one of them, however many they are. */
static void test_family_does_not_grow(void **state)
{
    (void)state;
    enum { ROWS = 60 };
    const double part[9] = {5, 1, 2, 9, 4, 3, 7, 2, 6};
    family_row row[ROWS];
    double p[ROWS];
    pal_error err;
    for (size_t i = 0; i < ROWS; i++) row[i] = (family_row){part, 9, 0};
    for (size_t count = 1; count <= ROWS; count += 59) {
        assert_int_equal(stats_family(row, count, p, &err), PAL_OK);
        for (size_t i = 0; i < count; i++) assert_near(p[i], 1.0 / 256, 1e-15);
    }
}

/* Against the definition, written out: all flips of both sets of documents at once. */
static void test_family_brute(void **state)
{
    (void)state;
    enum { N = 5, ROWS = 4 };
    double part[ROWS][N], p[ROWS], own[ROWS][1 << 2 * N];
    family_row row[ROWS];
    pal_error err;
    rng draw = rng_make(9, "family", 0, 0);
    for (int round = 0; round < 10; round++) {
        for (size_t r = 0; r < ROWS; r++) {
            for (int i = 0; i < N; i++) part[r][i] = rng_normal(&draw) + 0.8;
            row[r] = (family_row){part[r], N, r / 2};
        }
        for (size_t r = 0; r < ROWS; r++) { /* each row's own p after every flip of all ten signs */
            double size[1 << N];
            for (unsigned f = 0; f < 1u << N; f++) {
                size[f] = 0;
                for (int i = 0; i < N; i++) size[f] += f >> i & 1 ? -part[r][i] : part[r][i];
            }
            for (unsigned f = 0; f < 1u << 2 * N; f++) {
                const double at = fabs(size[r / 2 ? f >> N : f & ((1u << N) - 1)]);
                int reach = 0;
                for (unsigned g = 0; g < 1u << N; g++) reach += fabs(size[g]) >= at - 1e-9;
                own[r][f] = reach / (double)(1u << N);
            }
        }
        assert_int_equal(stats_family(row, ROWS, p, &err), PAL_OK);
        for (size_t r = 0; r < ROWS; r++) {
            double expected = 0; /* the largest over rows with an own p as small or smaller */
            for (size_t k = 0; k < ROWS; k++) {
                if (own[k][0] > own[r][0]) continue;
                int reached = 0;
                for (unsigned f = 0; f < 1u << 2 * N; f++) {
                    double least = 1;
                    for (size_t other = 0; other < ROWS; other++)
                        if (own[other][0] >= own[k][0]) least = fmin(least, own[other][f]);
                    reached += least <= own[k][0] + 1e-12;
                }
                expected = fmax(expected, reached / (double)(1u << 2 * N));
            }
            assert_near(p[r], expected, 1e-12);
            assert_true(p[r] >= own[r][0]);
        }
    }
}

/* Twelve rows without any difference: one of them is called significant in about 5 % of 150 families, and a row
 * without numbers has no p. */
static void test_family_level(void **state)
{
    (void)state;
    enum { SETS = 150, ROWS = 12, N = 9 };
    double part[ROWS][N], p[ROWS];
    family_row row[ROWS];
    pal_error err;
    rng draw = rng_make(10, "family level", 0, 0);
    int rejected = 0;
    for (int s = 0; s < SETS; s++) {
        double least = 1, common[N];
        for (int i = 0; i < N; i++) common[i] = rng_normal(&draw);
        for (size_t r = 0; r < ROWS; r++) {
            for (int i = 0; i < N; i++) part[r][i] = common[i] + rng_normal(&draw);
            row[r] = (family_row){part[r], N, 0};
        }
        assert_int_equal(stats_family(row, ROWS, p, &err), PAL_OK);
        for (size_t r = 0; r < ROWS; r++) least = fmin(least, p[r]);
        rejected += least <= 0.05;
    }
    assert_in_range(rejected, 1, 15);
    part[3][2] = NAN;
    assert_int_equal(stats_family(row, ROWS, p, &err), PAL_OK);
    assert_true(isnan(p[3]) && isfinite(p[4]));
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
        cmocka_unit_test(test_paired_many),
        cmocka_unit_test(test_paired_level),
        cmocka_unit_test(test_unequal_weights),
        cmocka_unit_test(test_sign_flip_darwin),
        cmocka_unit_test(test_duality),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_mcnemar),
        cmocka_unit_test(test_family_does_not_grow),
        cmocka_unit_test(test_family_brute),
        cmocka_unit_test(test_family_level),
        cmocka_unit_test(test_detectable_share),
        cmocka_unit_test(test_detectable_loss),
        cmocka_unit_test(test_detectable_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

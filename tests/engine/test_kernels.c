/* Every vector kernel against a plain double oracle, at odd lengths, on every instruction set of this processor;
 * and the sets against each other, bit by bit. */
#include "models/engine/kernels.h"

#include <string.h>

#include "tests/lib/numeric.h"

enum { MAX_N = 600 };
static const size_t lengths[] = {1, 7, 8, 16, 17, 31, 64, 100, 257, 512};
enum { LENGTHS = sizeof lengths / sizeof lengths[0] };

/* The sets that can run here; returns how many. */
static size_t runnable(const kernels *set[3])
{
    size_t count = 0;
    set[count++] = &kernels_base;
#ifdef KERNELS_X86
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) set[count++] = &kernels_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        set[count++] = &kernels_avx512;
#endif
    return count;
}

/* Run a check for every set and length. */
typedef void length_check(const kernels *k, size_t n);
static void for_all(length_check *check)
{
    const kernels *set[3];
    const size_t sets = runnable(set);
    for (size_t s = 0; s < sets; s++)
        for (size_t i = 0; i < LENGTHS; i++) check(set[s], lengths[i]);
}

static void check_softmax(const kernels *k, size_t n)
{
    const size_t lo = n / 3, hi = n - n / 5, cols = n + 5;
    const real scale = (real)0.7;
    real *s = random_reals(cols, n);
    for (size_t i = 0; i < cols; i++) s[i] *= 5;
    for (size_t i = 0; i < cols; i++)
        if (i < lo || i >= hi) s[i] = i % 2 ? (real)NAN : (real)INFINITY;
    real *again = copy_reals(s, cols), *backward = random_reals(cols, 1);
    double want[MAX_N] = {0}, total = 0;
    for (size_t i = lo; i < hi; i++) total += exp((double)scale * s[i]);
    for (size_t i = lo; i < hi; i++) want[i] = exp((double)scale * s[i]) / total;

    const real lse = k->softmax(s, lo, hi, cols, scale);
    k->softmax_again(again, lo, hi, cols, scale, lse);
    expect_close(lse, log(total), 1, tolerance, "lse", n);
    double sum = 0;
    for (size_t i = 0; i < cols; i++) {
        if (i < lo || i >= hi) {
            assert_true(s[i] == 0 && again[i] == 0);
        } else {
            expect_close(s[i], want[i], 1e-30, tolerance, "softmax", i);
            expect_close(again[i], want[i], 1e-30, tolerance, "softmax_again", i);
        }
        sum += s[i];
    }
    expect_close(sum, 1, 1, tolerance, "sum of probabilities", n);

    real *dp = copy_reals(backward, cols);
    k->softmax_backward(dp, s, cols, scale, (real)0.3);
    for (size_t i = 0; i < cols; i++)
        expect_close(dp[i], scale * s[i] * ((double)backward[i] - (real)0.3), 1e-3, tolerance, "softmax_backward",
                     i);
    free(s);
    free(again);
    free(backward);
    free(dp);
}

static void test_softmax(void **state)
{
    (void)state;
    for_all(check_softmax);
}

/* exp itself, through softmax_again with scale 1 and log-sum-exp 0. */
static void test_exponential(void **state)
{
    (void)state;
    const kernels *set[3];
    const size_t sets = runnable(set);
#ifdef PAL_DOUBLE
    const double limit = 1e-15;
#else
    const double limit = 2.4e-7; /* two units in the last place */
#endif
    for (size_t s = 0; s < sets; s++) {
        for (int block = 0; block < 1000; block++) {
            real x[100], y[100];
            for (int i = 0; i < 100; i++) y[i] = x[i] = (real)(-87.3 + 0.00087321 * (block * 100 + i));
            set[s]->softmax_again(y, 0, 100, 100, 1, 0);
            for (int i = 0; i < 100; i++) expect_close(y[i], exp((double)x[i]), 0, limit, "exp", (size_t)i);
        }
        real far[] = {-1e3f, -1e30f, -(real)INFINITY, (real)NAN, 0};
        set[s]->softmax_again(far, 0, 5, 5, 1, 0);
        assert_true(far[0] == 0 && far[1] == 0 && far[2] == 0 && isnan(far[3]) && far[4] == 1);
    }
}

/* Over a whole row, and where it is greatest: the first of equals. */
static void check_row(const kernels *k, size_t n)
{
    real *row = random_reals(n, 3), *same = copy_reals(row, n);
    const real want = k->softmax(same, 0, n, n, 1), lse = k->log_sum_exp(row, n);
    assert_memory_equal(&want, &lse, sizeof lse);
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (row[i] > row[best]) best = i;
    assert_int_equal(k->argmax(row, n), best);
    for (size_t i = 0; i < n; i++) {
        const real was = row[i];
        row[i] = row[best];
        assert_int_equal(k->argmax(row, n), i < best ? i : best);
        if (i != best) row[i] = was;
    }
    for (size_t i = 0; i < n; i++) row[i] = -INFINITY;
    assert_int_equal(k->argmax(row, n), 0);
    row[n / 2] = -3;
    if (n > 2) row[0] = row[n - 1] = (real)NAN;
    assert_int_equal(k->argmax(row, n), n / 2);
    for (size_t i = 0; i < n; i++) row[i] = (real)NAN;
    assert_int_equal(k->argmax(row, n), 0);
    free(row);
    free(same);
}

static void test_row(void **state)
{
    (void)state;
    for_all(check_row);
}

/* Scores far apart, and rows without a visible column. */
static void test_softmax_extremes(void **state)
{
    (void)state;
    const kernels *set[3];
    const size_t sets = runnable(set);
    for (size_t s = 0; s < sets; s++) {
        real row[40];
        for (int i = 0; i < 40; i++) row[i] = i == 17 ? 3000 : -3000;
        const real lse = set[s]->softmax(row, 0, 40, 40, 1);
        assert_true(lse == 3000);
        for (int i = 0; i < 40; i++) assert_true(row[i] == (i == 17 ? 1 : 0));
        for (int i = 0; i < 40; i++) row[i] = (real)NAN;
        assert_true(isinf(set[s]->softmax(row, 12, 12, 40, 1)));
        for (int i = 0; i < 40; i++) assert_true(row[i] == 0);
    }
}

static void check_sums(const kernels *k, size_t n)
{
    real *a = random_reals(n, 2), *b = random_reals(n, 3);
    double sum = 0, dot = 0, size_sum = 0, size_dot = 0;
    for (size_t i = 0; i < n; i++) {
        sum += a[i];
        size_sum += fabs((double)a[i]);
        dot += (double)a[i] * b[i];
        size_dot += fabs((double)a[i] * b[i]);
    }
    expect_close(k->sum(a, n), sum, size_sum, tolerance / 10, "sum", n);
    expect_close(k->dot(a, b, n), dot, size_dot, tolerance / 10, "dot", n);
    for (size_t i = 0; i < n; i++) b[i] = a[i] > 0 ? 0 : a[i];
    assert_int_equal(k->first_above(b, 0, n), n);
    for (size_t i = n; i-- > 0;) { /* from the end, so that the one just raised is the first */
        b[i] = 2;
        assert_int_equal(k->first_above(b, 1, n), i);
    }
    free(a);
    free(b);
}

static void test_sums(void **state)
{
    (void)state;
    for_all(check_sums);
}

static void check_vectors(const kernels *k, size_t n)
{
    const real alpha = (real)0.37, beta = (real)-1.9;
    real *x = random_reals(n, 4), *z = random_reals(n, 5), *y = copy_reals(z, n);
    k->axpy(y, alpha, x, n);
    for (size_t i = 0; i < n; i++) expect_close(y[i], z[i] + (double)alpha * x[i], 1, tolerance, "axpy", i);
    k->blend(y, alpha, x, beta, z, n);
    for (size_t i = 0; i < n; i++)
        expect_close(y[i], (double)alpha * x[i] + (double)beta * z[i], 1, tolerance, "blend", i);
    memcpy(y, z, n * sizeof *y);
    k->blend(y, alpha, x, beta, y, n); /* in place */
    for (size_t i = 0; i < n; i++)
        expect_close(y[i], (double)alpha * x[i] + (double)beta * z[i], 1, tolerance, "blend in place", i);
    memcpy(y, z, n * sizeof *y);
    k->scale(y, beta, n);
    for (size_t i = 0; i < n; i++) expect_close(y[i], (double)beta * z[i], 1e-3, tolerance, "scale", i);
    memcpy(y, z, n * sizeof *y);
    k->add_reversed(y, x, n);
    for (size_t i = 0; i < n; i++) expect_close(y[i], (double)z[i] + x[n - 1 - i], 1, tolerance, "reversed", i);
    free(x);
    free(y);
    free(z);
}

static void test_vectors(void **state)
{
    (void)state;
    for_all(check_vectors);
}

static void check_transpose(const kernels *k, size_t n)
{
    if (n > 100) return;
    const size_t rows = n, cols = n / 2 + 3, ldx = cols + 2, ldy = rows + 1;
    real *x = random_reals(rows * ldx, 25), *y = random_reals(cols * ldy, 26), *y0 = random_reals(cols * ldy, 26);
    k->transpose(y, ldy, x, ldx, rows, cols);
    for (size_t i = 0; i < cols; i++)
        for (size_t j = 0; j < ldy; j++)
            assert_true(y[i * ldy + j] == (j < rows ? x[j * ldx + i] : y0[i * ldy + j]));
    free(x);
    free(y);
    free(y0);
}

static void test_transpose(void **state)
{
    (void)state;
    for_all(check_transpose);
}

static void check_norm(const kernels *k, size_t n)
{
    const double eps = 1e-5;
    real *x = random_reals(n, 6), *gain = random_reals(n, 7), *bias = random_reals(n, 8), *dy = random_reals(n, 9);
    real *y = random_reals(n, 10), *dx0 = random_reals(n, 11), *dgain0 = random_reals(n, 12),
         *dbias0 = random_reals(n, 13);
    for (size_t i = 0; i < n; i++) x[i] += 3;
    double mean = 0, variance = 0, mean_g = 0, mean_gh = 0;
    for (size_t i = 0; i < n; i++) mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++) variance += (x[i] - mean) * (x[i] - mean) / (double)n;
    const double rstd = 1 / sqrt(variance + eps);
    for (size_t i = 0; i < n; i++) {
        mean_g += (double)dy[i] * gain[i] / (double)n;
        mean_gh += (double)dy[i] * gain[i] * (x[i] - mean) * rstd / (double)n;
    }
    real got_mean, got_rstd;
    k->norm(y, x, gain, bias, n, (real)eps, &got_mean, &got_rstd);
    expect_close(got_mean, mean, 1, tolerance, "mean", n);
    /* One element: the variance is rounding error beside eps, and rstd amplifies the error of x. */
    const double limit = n == 1 ? 100 * tolerance : tolerance;
    expect_close(got_rstd, rstd, 1, limit, "rstd", n);
    real *dx = copy_reals(dx0, n), *dgain = copy_reals(dgain0, n), *dbias = copy_reals(dbias0, n);
    k->norm_backward(dx, dgain, dbias, dy, x, gain, n, got_mean, got_rstd);
    real *alone = copy_reals(dx0, n);
    k->norm_backward(alone, NULL, NULL, dy, x, gain, n, got_mean, got_rstd);
    for (size_t i = 0; i < n; i++) {
        const double h = (x[i] - mean) * rstd, g = (double)dy[i] * gain[i];
        expect_close(y[i], h * gain[i] + bias[i], 1, limit, "norm", i);
        expect_close(dx[i], dx0[i] + rstd * (g - mean_g - h * mean_gh), 1, limit, "norm dx", i);
        expect_close(dgain[i], dgain0[i] + dy[i] * h, 1, limit, "norm dgain", i);
        expect_close(dbias[i], (double)dbias0[i] + dy[i], 1, limit, "norm dbias", i);
        assert_true(alone[i] == dx[i]);
    }
    real *all[] = {x, gain, bias, dy, y, dx0, dgain0, dbias0, dx, dgain, dbias, alone};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

static void test_norm(void **state)
{
    (void)state;
    for_all(check_norm);
}

static double gelu(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
}

static double gelu_slope(double x)
{
    const double root = sqrt(2 / acos(-1.0)), t = tanh(root * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x);
}

static void check_activations(const kernels *k, size_t n)
{
    real *x = random_reals(n, 14), *dy = random_reals(n, 15), *y = random_reals(n, 16), *dx = random_reals(n, 17);
    for (size_t i = 0; i < n; i++) x[i] *= 3;
    x[n / 2] = 0;
    k->gelu(y, x, n);
    k->gelu_backward(dx, dy, x, n);
    for (size_t i = 0; i < n; i++) {
        expect_close(y[i], gelu(x[i]), 0.1, tolerance / 10, "gelu", i);
        expect_close(dx[i], dy[i] * gelu_slope(x[i]), 1, tolerance, "gelu dx", i);
    }
    k->relu(y, x, n);
    k->relu_backward(dx, dy, x, n);
    for (size_t i = 0; i < n; i++) assert_true(y[i] == (x[i] > 0 ? x[i] : 0) && dx[i] == (x[i] > 0 ? dy[i] : 0));
    k->elu1(y, x, n);
    k->elu1_backward(dx, dy, y, n);
    for (size_t i = 0; i < n; i++) {
        expect_close(y[i], x[i] < 0 ? exp(x[i]) : x[i] + 1.0, 0, tolerance / 10, "elu1", i);
        expect_close(dx[i], dy[i] * (x[i] < 0 ? exp(x[i]) : 1), 1e-3, tolerance / 10, "elu1 dx", i);
    }
    free(x);
    free(dy);
    free(y);
    free(dx);
}

static void test_activations(void **state)
{
    (void)state;
    for_all(check_activations);
}

/* Where tanh saturates, and beyond the exponential's range. */
static void test_activation_extremes(void **state)
{
    (void)state;
    const kernels *set[3];
    const size_t sets = runnable(set);
    const real x[] = {-1e4f, -100, -20, -8, 8, 20, 100, 1e4f}, ones[] = {1, 1, 1, 1, 1, 1, 1, 1};
    real y[8], dx[8];
    for (size_t s = 0; s < sets; s++) {
        set[s]->gelu(y, x, 8);
        set[s]->gelu_backward(dx, ones, x, 8);
        for (size_t i = 0; i < 8; i++) {
            expect_close(y[i], x[i] > 0 ? x[i] : 0, 1, 1e-7, "gelu", i);
            expect_close(dx[i], x[i] > 0 ? 1 : 0, 1, 1e-7, "gelu dx", i);
        }
        set[s]->elu1(y, x, 8);
        assert_true(y[0] == 0 || y[0] < 1e-37);
        assert_true(y[7] == x[7] + 1);
    }
}

static void check_rope(const kernels *k, size_t half)
{
    if (2 * half > MAX_N) return;
    real *x = random_reals(2 * half, 18), *angle = random_reals(half, 19), *y = random_reals(2 * half, 20);
    real *cosine = copy_reals(angle, half), *sine = copy_reals(angle, half), *dx = copy_reals(y, 2 * half);
    for (size_t i = 0; i < half; i++) {
        cosine[i] = (real)cos((double)angle[i]);
        sine[i] = (real)sin((double)angle[i]);
    }
    k->rope_backward(dx, x, cosine, sine, half);
    for (size_t i = 0; i < half; i++) {
        const double c = cosine[i], s = sine[i], a = x[i], b = x[half + i];
        expect_close(dx[i], y[i] + a * c + b * s, 1, tolerance, "rope dx", i);
        expect_close(dx[half + i], y[half + i] + b * c - a * s, 1, tolerance, "rope dx", half + i);
    }
    k->rope(y, x, cosine, sine, half);
    for (size_t i = 0; i < half; i++) {
        const double c = cosine[i], s = sine[i], a = x[i], b = x[half + i];
        expect_close(y[i], a * c - b * s, 1, tolerance, "rope", i);
        expect_close(y[half + i], b * c + a * s, 1, tolerance, "rope", half + i);
    }
    k->rope(x, x, cosine, sine, half); /* in place */
    assert_memory_equal(x, y, 2 * half * sizeof *x);
    real *all[] = {x, angle, y, cosine, sine, dx};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

static void test_rope(void **state)
{
    (void)state;
    for_all(check_rope);
}

static void check_adamw(const kernels *k, size_t n)
{
    real *w = random_reals(n, 21), *m = random_reals(n, 22), *v = random_reals(n, 23), *g = random_reals(n, 24);
    for (size_t i = 0; i < n; i++) v[i] *= v[i];
    real *w1 = copy_reals(w, n), *m1 = copy_reals(m, n), *v1 = copy_reals(v, n);
    const real b1 = (real)0.9, b2 = (real)0.99, grad_scale = (real)0.5, step = (real)0.01, correct = (real)1.7,
               eps = (real)1e-8, decay = (real)0.003;
    k->adamw(w1, m1, v1, g, n, grad_scale, b1, b2, step, correct, eps, decay);
    for (size_t i = 0; i < n; i++) {
        const double scaled = (double)g[i] * grad_scale;
        const double first = (double)b1 * m[i] + (1 - (double)b1) * scaled;
        const double second = (double)b2 * v[i] + (1 - (double)b2) * scaled * scaled;
        expect_close(m1[i], first, 0.1, tolerance, "adamw m", i);
        expect_close(v1[i], second, 1e-3, tolerance, "adamw v", i);
        expect_close(w1[i], w[i] * (1 - (double)decay) - step * first / (sqrt(second) * correct + eps), 0.1,
                     tolerance, "adamw w", i);
    }
    real *all[] = {w, m, v, g, w1, m1, v1};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

static void test_adamw(void **state)
{
    (void)state;
    for_all(check_adamw);
}

/* Run every kernel on copies of the same input; out collects all results. */
enum { ARRAYS = 6 };
static void run_all(const kernels *k, size_t n, real out[ARRAYS * MAX_N + 8])
{
    real *a[ARRAYS];
    for (uint64_t i = 0; i < ARRAYS; i++) {
        a[i] = out + i * MAX_N;
        real *x = random_reals(n, 30 + i);
        for (size_t j = 0; j < n; j++) a[i][j] = x[j] * (i == 0 ? 10 : 1);
        free(x);
    }
    real *number = out + ARRAYS * MAX_N;
    number[0] = k->softmax(a[0], n / 7, n - n / 9, n, (real)0.9);
    k->softmax_again(a[1], n / 9, n, n, (real)1.1, (real)0.7);
    k->softmax_backward(a[2], a[0], n, (real)0.9, (real)0.1);
    number[5] = k->log_sum_exp(a[1], n);
    number[6] = (real)k->argmax(a[3], n);
    number[1] = k->dot(a[2], a[3], n);
    number[2] = k->sum(a[4], n);
    k->axpy(a[3], number[1], a[2], n);
    k->blend(a[2], (real)0.3, a[3], (real)0.8, a[4], n);
    k->scale(a[4], (real)0.77, n);
    k->add_reversed(a[5], a[4], n);
    k->norm(a[1], a[2], a[3], a[4], n, (real)1e-5, &number[3], &number[4]);
    k->norm_backward(a[5], a[3], a[4], a[1], a[2], a[0], n, number[3], number[4]);
    k->gelu(a[0], a[1], n);
    k->gelu_backward(a[2], a[3], a[0], n);
    k->relu(a[1], a[5], n);
    k->rms(a[1], a[2], a[3], n, (real)1e-5, &number[7]);
    k->rms_backward(a[5], a[4], a[1], a[2], a[3], n, number[7]);
    k->silu(a[2], a[5], n);
    k->silu_backward(a[0], a[2], a[3], n);
    k->multiply(a[1], a[1], a[0], n);
    k->relu_backward(a[4], a[3], a[1], n);
    k->elu1(a[3], a[2], n);
    k->elu1_backward(a[0], a[2], a[3], n);
    k->rope(a[1], a[2], a[3], a[4], n / 2);
    k->rope_backward(a[0], a[1], a[4], a[5], n / 2);
    k->gelu(a[4], a[4], n);
    k->elu1(a[4], a[4], n); /* positive: the second moments */
    k->adamw(a[2], a[3], a[4], a[5], n, (real)0.5, (real)0.9, (real)0.99, (real)1e-3, (real)1.5, (real)1e-8,
             (real)1e-4);
}

static void test_same_bits_on_every_set(void **state)
{
    (void)state;
    const kernels *set[3];
    const size_t sets = runnable(set);
    static real want[ARRAYS * MAX_N + 8], got[ARRAYS * MAX_N + 8];
    for (size_t i = 0; i < LENGTHS; i++) {
        run_all(set[0], lengths[i], want);
        for (size_t s = 1; s < sets; s++) {
            run_all(set[s], lengths[i], got);
            for (size_t j = 0; j < sizeof want / sizeof want[0]; j++) {
                if (memcmp(&want[j], &got[j], sizeof got[j]) != 0)
                    fail_msg("%s differs from %s at n=%zu, number %zu: %.9g, %.9g", set[s]->isa, set[0]->isa,
                             lengths[i], j, (double)got[j], (double)want[j]);
            }
        }
    }
}

/* Numbers of few bits and far exponents: sums that end exactly half way between two floats, or a hair beside. */
static real awkward(rng *r)
{
    const double sign = rng_u32(r) % 2 ? 1 : -1, bits = (double)(rng_u32(r) % 5);
    const double mantissa = 1 + (rng_u32(r) % 2 ? bits * 0x1p-23 : bits * 0.25);
    return (real)(sign * ldexp(mantissa, (int)(rng_u32(r) % 50) - 25));
}

static real fused_chain(const real *q, const real *k, size_t ldk, size_t n)
{
    real total = 0;
    for (size_t i = 0; i < n; i++)
        total = sizeof(real) == sizeof(double) ? (real)fma((double)q[i], (double)k[i * ldk], (double)total)
                                               : (real)fmaf((float)q[i], (float)k[i * ldk], (float)total);
    return total;
}

/* Every set rounds each step once, for any number of queries and keys, and writes nothing else. */
static void test_chain_products(void **state)
{
    (void)state;
    enum { QUERIES = 14, KEYS = 3 * CHAIN_KEYS, LENGTH = 40, ROOM = KEYS + 1 };
    const kernels *set[3];
    const size_t sets = runnable(set);
    static real q[QUERIES][LENGTH + 3], keys[LENGTH * KEYS], score[QUERIES][ROOM];
    rng r = rng_make(7, "test/chain", 0, 0);
    for (size_t trial = 0; trial < 300; trial++) {
        const size_t n = trial % (LENGTH + 1), queries = 1 + trial % QUERIES, count = CHAIN_KEYS * (1 + trial % 3);
        for (size_t i = 0; i < QUERIES; i++)
            for (size_t j = 0; j < LENGTH; j++) q[i][j] = awkward(&r);
        for (size_t i = 0; i < n * count; i++) keys[i] = awkward(&r);
        for (size_t s = 0; s < sets; s++) {
            for (size_t i = 0; i < queries; i++) score[i][count] = 77;
            set[s]->chain_products(score[0], ROOM, q[0], LENGTH + 3, queries, keys, count, n);
            for (size_t i = 0; i < queries; i++) {
                assert_true(score[i][count] == 77);
                for (size_t key = 0; key < count; key++) {
                    const real want = fused_chain(q[i], keys + key, count, n);
                    if (score[i][key] != want)
                        fail_msg("%s, n=%zu, query %zu, key %zu: %.9g, expected %.9g", set[s]->isa, n, i, key,
                                 (double)score[i][key], (double)want);
                }
            }
        }
    }
}

static void test_choice_is_the_widest(void **state)
{
    (void)state;
    const kernels *set[3];
    const size_t sets = runnable(set);
    assert_string_equal(kernels_get()->isa, set[sets - 1]->isa);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_row),
        cmocka_unit_test(test_exponential),
        cmocka_unit_test(test_softmax_extremes),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_transpose),
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_activation_extremes),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_adamw),
        cmocka_unit_test(test_same_bits_on_every_set),
        cmocka_unit_test(test_chain_products),
        cmocka_unit_test(test_choice_is_the_widest),
    };
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}

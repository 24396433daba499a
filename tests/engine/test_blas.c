/* The check of OpenBLAS at start: right products pass, each kind of wrong one is found; the guard around it.
 * Whole processes with broken libraries are in harness/test_machine.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "models/engine/blas.h"
#include "models/engine/guard.h"
#include "tests/lib/use_blas.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

static int probe(blas_product *product, pal_error *err)
{
    void *memory = malloc(blas_probe_bytes());
    assert_non_null(memory);
    const int code = blas_probe(product, memory, err);
    free(memory);
    return code;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* ---- Products that are wrong in one place ---- */

static struct fault {
    int call, at; /* the product, and its place from the end in C */
    real add;
    int calls;
} fault;

static void faulty(int ta, int tb, size_t m, size_t n, size_t k, real alpha, const real *a, size_t lda,
                   const real *b, size_t ldb, real beta, real *c, size_t ldc)
{
    blas_gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    if (fault.calls++ == fault.call) c[(m - 1) * ldc + n - 1 - (size_t)fault.at] += fault.add;
}

static void one_wrong_element_is_found(void **unused)
{
    (void)unused;
    pal_error err;
    use_blas();
    assert_true(strlen(blas_core()) > 0);
    assert_int_equal(probe(blas_gemm, &err), PAL_OK);
    fault = (struct fault){.call = -1};
    assert_int_equal(probe(faulty, &err), PAL_OK);
    const int products = fault.calls;
    assert_true(products >= 8);
    static const real adds[] = {(real)0.01, -1, (real)NAN, (real)INFINITY};
    for (int call = 0; call < products; call++) {
        for (size_t i = 0; i < sizeof adds / sizeof *adds; i++) {
            fault = (struct fault){.call = call, .at = call % 3, .add = adds[i]};
            assert_int_equal(probe(faulty, &err), PAL_INTERNAL);
            assert_non_null(strstr(err.text, "is wrong"));
            assert_int_equal(fault.calls, call + 1); /* the first that is wrong is named */
        }
    }
}

/* The usual slips of a broken kernel: a transposition ignored, beta forgotten, the last inner element left out. */
static void ignores_transposition(int ta, int tb, size_t m, size_t n, size_t k, real alpha, const real *a,
                                  size_t lda, const real *b, size_t ldb, real beta, real *c, size_t ldc)
{
    (void)ta;
    (void)tb;
    (void)lda;
    (void)ldb;
    blas_gemm(0, 0, m, n, k, alpha, a, k, b, n, beta, c, ldc);
}

static void forgets_beta(int ta, int tb, size_t m, size_t n, size_t k, real alpha, const real *a, size_t lda,
                         const real *b, size_t ldb, real beta, real *c, size_t ldc)
{
    (void)beta;
    blas_gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, 0, c, ldc);
}

static void forgets_alpha(int ta, int tb, size_t m, size_t n, size_t k, real alpha, const real *a, size_t lda,
                          const real *b, size_t ldb, real beta, real *c, size_t ldc)
{
    (void)alpha;
    blas_gemm(ta, tb, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
}

static void stops_short(int ta, int tb, size_t m, size_t n, size_t k, real alpha, const real *a, size_t lda,
                        const real *b, size_t ldb, real beta, real *c, size_t ldc)
{
    blas_gemm(ta, tb, m, n, k - (k % 2), alpha, a, lda, b, ldb, beta, c, ldc);
}

static void broken_kernels_are_found(void **unused)
{
    (void)unused;
    blas_product *const broken[] = {ignores_transposition, forgets_beta, forgets_alpha, stops_short};
    pal_error err;
    use_blas();
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        assert_int_equal(probe(broken[i], &err), PAL_INTERNAL);
}

static void the_check_is_quick(void **unused)
{
    (void)unused;
    pal_error err;
    use_blas();
    double best = 100;
    for (int i = 0; i < 10; i++) {
        struct timespec from, to;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
        assert_int_equal(probe(blas_gemm, &err), PAL_OK);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
        const double seconds = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
        if (seconds < best) best = seconds;
    }
    const char *preload = getenv("LD_PRELOAD");
    const int checked = SANITIZED || (preload && strstr(preload, "vgpreload"));
    assert_true(best < (checked ? 5 : 0.02));
    print_message("the check of OpenBLAS takes %.2f ms\n", 1e3 * best);
}

/* ---- The guard ---- */

static void do_nothing(void *arg)
{
    *(int *)arg += 1;
}

static void raise_it(void *arg)
{
    raise(*(int *)arg);
}

#ifndef __SANITIZE_THREAD__
static void run_for_ever(void *arg)
{
    for (volatile int forever = *(int *)arg; forever;) {}
}
#endif

static volatile sig_atomic_t ours;

static void count_ours(int signal)
{
    (void)signal;
    ours++;
}

static void the_guard_says_what_happened(void **unused)
{
    (void)unused;
    int value = 0;
    assert_int_equal(guard_run(do_nothing, &value, 5), 0);
    assert_int_equal(value, 1);
    static const int signals[] = {SIGILL, SIGSEGV, SIGBUS, SIGFPE};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        int raised = signals[i];
        assert_int_equal(guard_run(raise_it, &raised, 5), raised);
    }
#ifndef __SANITIZE_THREAD__ /* which hands signals on at calls alone: a loop without any would never end */
    value = 1;
    assert_int_equal(guard_run(run_for_ever, &value, 1), SIGALRM);
#endif
    /* Handlers, mask and alarm are the caller's again. */
    struct sigaction count = {.sa_handler = count_ours}, before;
    sigaction(SIGILL, &count, &before);
    int raised = SIGILL;
    assert_int_equal(guard_run(raise_it, &raised, 5), SIGILL);
    assert_int_equal(ours, 0);
    raise(SIGILL);
    assert_int_equal(ours, 1);
    sigaction(SIGILL, &before, NULL);
    struct itimerval timer;
    getitimer(ITIMER_REAL, &timer);
    assert_int_equal(timer.it_value.tv_sec, 0);
    assert_int_equal(timer.it_value.tv_usec, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_wrong_element_is_found),
        cmocka_unit_test(broken_kernels_are_found),
        cmocka_unit_test(the_check_is_quick),
        cmocka_unit_test(the_guard_says_what_happened),
    };
    return cmocka_run_group_tests_name("blas", tests, NULL, NULL);
}

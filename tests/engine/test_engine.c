/* Pool, arena and matrix products against plain double oracles. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "models/engine/arena.h"
#include "tests/lib/numeric.h"
#include "tests/lib/use_blas.h"

/* ---- pool ---- */

enum { MANY = 97 };
typedef struct tally {
    atomic_int done[MANY];
    atomic_int strangers; /* workers outside 0..threads-1 */
    int threads;
} tally;

static void count_task(void *arg, int task, int worker)
{
    tally *t = arg;
    if (task % 4 == 0) sched_yield(); /* so that runs would overlap if pool_run returned too early */
    atomic_fetch_add(&t->done[task], 1);
    if (worker < 0 || worker >= t->threads) atomic_fetch_add(&t->strangers, 1);
}

static void test_pool_runs_every_task_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        pal_error err;
        pool *p = NULL;
        assert_int_equal(pool_create(&p, threads, &err), PAL_OK);
        assert_int_equal(pool_threads(p), threads);
        static tally t;
        memset(&t, 0, sizeof t);
        t.threads = threads;
        enum { RUNS = 1000 };
        int expected[MANY] = {0};
        for (int run = 0; run < RUNS; run++) {
            const int tasks = run % (MANY + 1);
            pool_run(p, tasks, count_task, &t);
            for (int i = 0; i < tasks; i++) expected[i]++;
            for (int i = 0; i < MANY; i++) assert_int_equal(atomic_load(&t.done[i]), expected[i]);
        }
        assert_int_equal(atomic_load(&t.strangers), 0);
        pool_destroy(p);
    }
}

/* The thread that worker 1 is, once it has had a task; and whether it is held up by a signal. */
static pthread_t other;
static atomic_int met, held;

static void meet(void *arg, int task, int worker)
{
    (void)arg, (void)task;
    if (worker == 1) other = pthread_self();
    /* Both tasks wait until both workers have one. */
    atomic_fetch_add(&met, 1);
    while (atomic_load(&met) < 2) sched_yield();
}

static void hold_up(int signal)
{
    (void)signal;
    atomic_store(&held, 1);
    while (atomic_load(&held)) sched_yield();
}

/* A worker that has no processor, here stopped in a signal handler, has no task either: nobody waits for it. */
static void test_pool_does_not_wait_for_a_late_worker(void **state)
{
    (void)state;
    pal_error err;
    pool *p = NULL;
    static tally t;
    t.threads = 2;
    assert_int_equal(pool_create(&p, 2, &err), PAL_OK);
    pool_run(p, 2, meet, NULL);
    signal(SIGUSR1, hold_up);
    assert_int_equal(pthread_kill(other, SIGUSR1), 0);
    while (!atomic_load(&held)) sched_yield();
    alarm(20);
    for (int run = 0; run < 100; run++) pool_run(p, MANY, count_task, &t);
    alarm(0);
    assert_int_equal(atomic_load(&held), 1);
    atomic_store(&held, 0);
    for (int run = 0; run < 100; run++) pool_run(p, MANY, count_task, &t);
    for (int i = 0; i < MANY; i++) assert_int_equal(atomic_load(&t.done[i]), 200);
    assert_int_equal(atomic_load(&t.strangers), 0);
    pool_destroy(p);
}

static void test_pool_refuses_bad_sizes(void **state)
{
    (void)state;
    pal_error err;
    pool *p = NULL;
    assert_int_equal(pool_create(&p, 0, &err), PAL_USAGE);
    assert_int_equal(pool_create(&p, POOL_MAX_THREADS + 1, &err), PAL_USAGE);
    pool_destroy(NULL);
}

/* ---- arena ---- */

static void test_arena_measures_what_it_carves(void **state)
{
    (void)state;
    arena a = {0};
    real *first = NULL, *second = NULL;
    for (int pass = 0; pass < 2; pass++) {
        first = arena_reals(&a, 3);
        second = arena_reals(&a, 100);
        if (pass == 0) {
            assert_null(first);
            assert_null(second);
            pal_error err;
            assert_int_equal(arena_allocate(&a, "test", &err), PAL_OK);
            assert_int_equal(a.used, 0);
        }
    }
    assert_int_equal(a.used, a.capacity);
    assert_int_equal((uintptr_t)first % ARENA_ALIGN, 0);
    assert_int_equal((uintptr_t)second % ARENA_ALIGN, 0);
    assert_true((char *)second >= (char *)(first + 3));
    for (int i = 0; i < 100; i++) assert_true(second[i] == 0);
    arena_free(&a);
    assert_null(a.base);
}

/* ---- products ---- */

static pool *make_pool(int threads)
{
    use_blas();
    pal_error err;
    pool *p = NULL;
    assert_int_equal(pool_create(&p, threads, &err), PAL_OK);
    return p;
}

static void check_gemm(size_t m, size_t n, size_t k, real beta)
{
    const size_t ld = 300;
    const real alpha = (real)0.5;
    real *a = random_reals(ld * ld, 1), *b = random_reals(ld * ld, 2), *c0 = random_reals(ld * ld, 3);
    for (size_t i = 0; i < ld * ld; i++)
        if (beta == 0 && i % ld < n && i / ld < m) c0[i] = (real)NAN; /* must not be read */
    for (int ta = 0; ta < 2; ta++) {
        for (int tb = 0; tb < 2; tb++) {
            real *c = copy_reals(c0, ld * ld);
            gemm(ta, tb, m, n, k, alpha, a, ld, b, ld, beta, c, ld);
            for (size_t i = 0; i < ld; i++) {
                for (size_t j = 0; j < ld; j++) {
                    double want = c0[i * ld + j];
                    if (i < m && j < n) {
                        double sum = 0;
                        for (size_t l = 0; l < k; l++)
                            sum += (double)a[ta ? l * ld + i : i * ld + l] * b[tb ? j * ld + l : l * ld + j];
                        want = alpha * sum + (beta == 0 ? 0 : beta * want);
                    }
                    expect_close(c[i * ld + j], want, sqrt((double)k), tolerance, "gemm", i * ld + j);
                }
            }
            free(c);
        }
    }
    free(a);
    free(b);
    free(c0);
}

static void test_gemm(void **state)
{
    (void)state;
    use_blas();
    assert_true(strlen(gemm_core()) > 0);
    check_gemm(19, 23, 37, -2);
    check_gemm(1, 64, 64, 0);
    check_gemm(64, 1, 130, 1);
    check_gemm(150, 130, 270, 0);
    check_gemm(130, 70, 140, (real)0.25);
}

/* One linear layer with its operands; leading dimensions wider than the matrices. */
typedef struct linear {
    rows r;
    size_t in, out, ldx, ldy;
    real *x, *w, *bias, *y, *dx, *dw, *dbias;
} linear;

static linear linear_make(rows r, size_t in, size_t out)
{
    const size_t n = r.lanes * r.rows, ldx = in + 5, ldy = out + 3;
    return (linear){.r = r,
                    .in = in,
                    .out = out,
                    .ldx = ldx,
                    .ldy = ldy,
                    .x = random_reals(n * ldx, 1),
                    .w = random_reals(out * in, 2),
                    .bias = random_reals(out, 3),
                    .y = random_reals(n * ldy, 4),
                    .dx = random_reals(n * ldx, 5),
                    .dw = random_reals(out * in, 6),
                    .dbias = random_reals(out, 7)};
}

static void linear_free(linear *l)
{
    real *all[] = {l->x, l->w, l->bias, l->y, l->dx, l->dw, l->dbias};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

static void check_linear(pool *p, rows r, size_t in, size_t out)
{
    const size_t n = r.lanes * r.rows;
    linear l = linear_make(r, in, out);
    const double size_in = sqrt((double)in), size_out = sqrt((double)out), size_n = sqrt((double)n);

    linear_forward(p, r, in, out, l.x, l.ldx, (matrix){.w = l.w}, l.bias, l.y, l.ldy);
    for (size_t i = 0; i < n; i++) {
        for (size_t o = 0; o < out; o++) {
            double want = l.bias[o];
            for (size_t k = 0; k < in; k++) want += (double)l.x[i * l.ldx + k] * l.w[o * in + k];
            expect_close(l.y[i * l.ldy + o], want, size_in, tolerance, "linear", i * out + o);
        }
    }
    expect_padding(l.y, n, out, l.ldy, 4);

    /* y now plays the part of its own gradient. */
    real *dx0 = copy_reals(l.dx, n * l.ldx), *added = copy_reals(l.dx, n * l.ldx);
    linear_backward_input(p, r, in, out, l.y, l.ldy, l.w, l.dx, l.ldx, 0);
    linear_backward_input(p, r, in, out, l.y, l.ldy, l.w, added, l.ldx, 1);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < in; k++) {
            double want = 0;
            for (size_t o = 0; o < out; o++) want += (double)l.y[i * l.ldy + o] * l.w[o * in + k];
            expect_close(l.dx[i * l.ldx + k], want, size_in * size_out, tolerance, "linear dx", i * in + k);
            expect_close(added[i * l.ldx + k], want + dx0[i * l.ldx + k], size_in * size_out, tolerance,
                         "linear dx +=", i * in + k);
        }
    }
    expect_padding(l.dx, n, in, l.ldx, 5);

    real *dw0 = copy_reals(l.dw, out * in), *dbias0 = copy_reals(l.dbias, out),
         *alone = copy_reals(l.dw, out * in);
    linear_backward_weight(p, r, in, out, l.x, l.ldx, l.y, l.ldy, l.dw, l.dbias);
    linear_backward_weight(p, r, in, out, l.x, l.ldx, l.y, l.ldy, alone, NULL);
    assert_memory_equal(alone, l.dw, out * in * sizeof *alone);
    for (size_t o = 0; o < out; o++) {
        double bias = dbias0[o];
        for (size_t i = 0; i < n; i++) bias += l.y[i * l.ldy + o];
        expect_close(l.dbias[o], bias, size_n * size_in, tolerance, "linear dbias", o);
        for (size_t k = 0; k < in; k++) {
            double want = dw0[o * in + k];
            for (size_t i = 0; i < n; i++) want += (double)l.y[i * l.ldy + o] * l.x[i * l.ldx + k];
            expect_close(l.dw[o * in + k], want, size_n * size_in, tolerance, "linear dw", o * in + k);
        }
    }
    real *all[] = {dx0, added, dw0, dbias0, alone};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
    linear_free(&l);
}

static void test_linear(void **state)
{
    (void)state;
    pool *p = make_pool(2);
    check_linear(p, (rows){1, 1}, 8, 16);
    check_linear(p, (rows){3, 33}, 24, 70);
    check_linear(p, (rows){2, 300}, 40, 24);
    check_linear(p, (rows){1, 40}, 20, 1100);
    check_linear(p, (rows){2, 17}, 600, 30);
    pool_destroy(p);
}

/* Through panels made before, of a whole matrix and of some of its rows: the same bits, whether the blocks of
 * columns begin where panels do or not. */
static void check_panels(pool *p, rows r, size_t in, size_t out, size_t first, size_t some)
{
    linear l = linear_make(r, in, out);
    const size_t count = r.lanes * r.rows * l.ldy;
    real *panels = copy_reals(l.w, out * in), *y = copy_reals(l.y, count), *again = copy_reals(l.y, count);
    matrix_pack(in, out, l.w, panels);
    const matrix packed = {.w = l.w, .panels = panels}, rest = matrix_rows(packed, in, first, some);
    linear_forward(p, r, in, out, l.x, l.ldx, (matrix){.w = l.w}, l.bias, l.y, l.ldy);
    linear_forward(p, r, in, out, l.x, l.ldx, packed, l.bias, y, l.ldy);
    assert_memory_equal(y, l.y, count * sizeof *y);

    /* Tile by tile, on the calling thread. */
    memcpy(y, again, count * sizeof *y);
    const size_t tile = linear_tile(r.rows, in, out);
    for (size_t row = 0; tile && row < r.lanes * r.rows;) {
        const size_t left = r.rows - row % r.rows, take = left < tile ? left : tile;
        linear_forward(NULL, (rows){1, take}, in, out, l.x + row * l.ldx, l.ldx, packed, l.bias, y + row * l.ldy,
                       l.ldy);
        row += take;
    }
    if (tile) assert_memory_equal(y, l.y, count * sizeof *y);

    assert_true(rest.w == l.w + first * in && (rest.panels != NULL) == (first % 64 == 0 && some % 64 == 0));
    memcpy(y, again, count * sizeof *y);
    linear_forward(p, r, in, some, l.x, l.ldx, (matrix){.w = rest.w}, NULL, y, l.ldy);
    linear_forward(p, r, in, some, l.x, l.ldx, rest, NULL, again, l.ldy);
    assert_memory_equal(y, again, count * sizeof *y);
    free(panels);
    free(y);
    free(again);
    linear_free(&l);
}

static void test_panels(void **state)
{
    (void)state;
    pool *p = make_pool(2);
    check_panels(p, (rows){1, 256}, 128, 384, 128, 256);
    check_panels(p, (rows){1, 64}, 32, 96, 0, 32);
    check_panels(p, (rows){2, 70}, 300, 200, 64, 64);
    check_panels(p, (rows){1, 512}, 64, 64, 0, 64);
    check_panels(p, (rows){1, 300}, 64, 64, 0, 64); /* blocks of 160 rows: no tiles */
    check_panels(p, (rows){1, 33}, 24, 70, 5, 64);
    check_panels(p, (rows){1, 40}, 20, 1100, 0, 1088);
    check_panels(p, (rows){1, 100}, 130, 400, 192, 200); /* halved at 208 */
    check_panels(p, (rows){2, 17}, 600, 130, 64, 64);    /* too long for panels */
    pool_destroy(p);
}

static void run_linear(pool *p, linear *l, rows r)
{
    linear_forward(p, r, l->in, l->out, l->x, l->ldx, (matrix){.w = l->w}, l->bias, l->y, l->ldy);
    linear_backward_input(p, r, l->in, l->out, l->y, l->ldy, l->w, l->dx, l->ldx, 0);
    linear_backward_weight(p, r, l->in, l->out, l->x, l->ldx, l->y, l->ldy, l->dw, l->dbias);
}

static void test_linear_bits_do_not_depend_on_threads(void **state)
{
    (void)state;
    static const size_t shape[][4] = {{8, 512, 64, 96}, {3, 100, 128, 512}, {1, 512, 256, 64}};
    pool *one = make_pool(1), *two = make_pool(2);
    for (size_t s = 0; s < sizeof shape / sizeof shape[0]; s++) {
        const rows r = {shape[s][0], shape[s][1]};
        linear a = linear_make(r, shape[s][2], shape[s][3]), b = linear_make(r, shape[s][2], shape[s][3]);
        run_linear(one, &a, r);
        run_linear(two, &b, r);
        const size_t n = r.lanes * r.rows;
        assert_memory_equal(a.y, b.y, n * a.ldy * sizeof(real));
        assert_memory_equal(a.dx, b.dx, n * a.ldx * sizeof(real));
        assert_memory_equal(a.dw, b.dw, a.in * a.out * sizeof(real));
        assert_memory_equal(a.dbias, b.dbias, a.out * sizeof(real));
        linear_free(&a);
        linear_free(&b);
    }
    pool_destroy(one);
    pool_destroy(two);
}

static void test_lane_bits_do_not_depend_on_the_others(void **state)
{
    (void)state;
    pool *p = make_pool(2);
    static const size_t shape[][3] = {{512, 64, 96}, {100, 128, 512}, {128, 512, 128}, {1, 64, 64}};
    for (size_t s = 0; s < sizeof shape / sizeof shape[0]; s++) {
        const rows among = {8, shape[s][0]}, alone = {1, shape[s][0]};
        linear a = linear_make(among, shape[s][1], shape[s][2]), b = linear_make(among, shape[s][1], shape[s][2]);
        run_linear(p, &a, among);
        for (size_t lane = 0; lane < among.lanes; lane++) {
            const size_t row = lane * among.rows;
            linear one = b;
            one.x += row * b.ldx;
            one.y += row * b.ldy;
            one.dx += row * b.ldx;
            run_linear(p, &one, alone);
        }
        assert_memory_equal(a.y, b.y, among.lanes * among.rows * a.ldy * sizeof(real));
        assert_memory_equal(a.dx, b.dx, among.lanes * among.rows * a.ldx * sizeof(real));
        linear_free(&a);
        linear_free(&b);
    }
    pool_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_runs_every_task_once),
        cmocka_unit_test(test_pool_does_not_wait_for_a_late_worker),
        cmocka_unit_test(test_pool_refuses_bad_sizes),
        cmocka_unit_test(test_arena_measures_what_it_carves),
        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_panels),
        cmocka_unit_test(test_linear_bits_do_not_depend_on_threads),
        cmocka_unit_test(test_lane_bits_do_not_depend_on_the_others),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}

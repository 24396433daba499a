/* Products of few rows by many, on every instruction set, against chains of fused multiply-adds written out; and
 * linear_rows, whose bits hang neither on threads nor on rows beside, nor on where weights lie. */
#include "models/engine/kernels.h"
#include "models/engine/linear_rows.h"

#include <string.h>

#include "tests/lib/numeric.h"

enum { CHAINS = 16, ROWS = 9, COUNT = 13, LENGTH = 83, LD = LENGTH + 2, ROOM = COUNT + 1 };

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

static real fused(real a, real b, real c)
{
    return sizeof(real) == sizeof(double) ? (real)fma((double)a, (double)b, (double)c)
                                          : (real)fmaf((float)a, (float)b, (float)c);
}

static real product(const real *x, const real *w, size_t n)
{
    real chain[CHAINS] = {0};
    for (size_t i = 0; i < n; i++) chain[i % CHAINS] = fused(x[i], w[i], chain[i % CHAINS]);
    for (size_t half = CHAINS / 2; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++) chain[i] += chain[i + half];
    return chain[0];
}

/* A number of few bits and a far exponent, which bf16 holds. */
static real awkward(rng *r)
{
    const double sign = rng_u32(r) % 2 ? 1 : -1, mantissa = 1 + (double)(rng_u32(r) % 5) * 0.0078125;
    return (real)(sign * ldexp(mantissa, (int)(rng_u32(r) % 50) - 25));
}

static uint16_t half_of(real x)
{
    const float value = (float)x;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static void test_row_products(void **unused)
{
    (void)unused;
    const kernels *set[3];
    const size_t sets = runnable(set);
    static real x[ROWS * LD], w[COUNT * LD], y[ROWS * ROOM];
    static uint16_t half[COUNT * LD];
    rng r = rng_make(7, "test/rows", 0, 0);
    for (size_t trial = 0; trial < 400; trial++) {
        const size_t n = trial % (LENGTH + 1), rows_now = 1 + trial % ROWS, count = trial % (COUNT + 1);
        for (size_t i = 0; i < ROWS * LD; i++) x[i] = awkward(&r);
        for (size_t i = 0; i < COUNT * LD; i++) half[i] = half_of(w[i] = awkward(&r));
        for (size_t s = 0; s < sets; s++)
            for (int is_half = 0; is_half < 1 + (sizeof(real) == sizeof(float)); is_half++) {
                for (size_t i = 0; i < ROWS * ROOM; i++) y[i] = 77;
                if (is_half)
                    set[s]->row_products_bf16(y, ROOM, x, LD, rows_now, half, LD, count, n);
                else
                    set[s]->row_products(y, ROOM, x, LD, rows_now, w, LD, count, n);
                for (size_t i = 0; i < ROWS * ROOM; i++) {
                    const size_t row = i / ROOM, c = i % ROOM;
                    const real want = row < rows_now && c < count ? product(x + row * LD, w + c * LD, n) : 77;
                    if (y[i] != want)
                        fail_msg("%s, bf16 %d, n=%zu, row %zu, weight %zu: %.9g, expected %.9g", set[s]->isa,
                                 is_half, n, row, c, (double)y[i], (double)want);
                }
            }
    }
}

static void test_row_combine(void **unused)
{
    (void)unused;
    const kernels *set[3];
    const size_t sets = runnable(set);
    static real p[COUNT], v[COUNT * LD], y[LD];
    rng r = rng_make(8, "test/rows", 0, 0);
    for (size_t trial = 0; trial < 400; trial++) {
        const size_t n = trial % (LENGTH + 1), count = trial % (COUNT + 1);
        for (size_t i = 0; i < COUNT; i++) p[i] = awkward(&r);
        for (size_t i = 0; i < COUNT * LD; i++) v[i] = awkward(&r);
        for (size_t s = 0; s < sets; s++) {
            y[n] = 77;
            set[s]->row_combine(y, p, v, LD, count, n);
            assert_true(y[n] == 77);
            for (size_t i = 0; i < n; i++) {
                real want = 0;
                for (size_t j = 0; j < count; j++) want = fused(p[j], v[j * LD + i], want);
                if (y[i] != want)
                    fail_msg("%s, n=%zu, %zu rows, number %zu: %.9g, expected %.9g", set[s]->isa, n, count, i,
                             (double)y[i], (double)want);
            }
        }
    }
}

/* ---- linear_rows ---- */

enum { IN = 52, OUT = 75, FIRST = 5 /* rows of the source before the matrix */ };

static void read_rows(const void *arg, size_t first, size_t count, size_t from, size_t depth, real *out)
{
    const real *w = arg;
    for (size_t i = 0; i < count; i++) memcpy(out + i * depth, w + (first + i) * IN + from, depth * sizeof *out);
}

static uint16_t halves[(FIRST + OUT) * IN];

/* A border in the middle of a block of outputs: rows from there on lie elsewhere. */
static const uint16_t *find_rows(const void *arg, size_t first, size_t *count)
{
    (void)arg;
    enum { BORDER = 40 };
    *count = first < BORDER ? BORDER - first : FIRST + OUT - first;
    return halves + first * IN;
}

static void test_linear_rows(void **unused)
{
    (void)unused;
    pal_error err;
    const size_t lanes = 2, count = 3, all = lanes * count, ldx = IN + 1, ldy = OUT + 2;
    real *x = random_reals(all * ldx, 1), *w = random_reals((FIRST + OUT) * IN, 2), *bias = random_reals(OUT, 3);
    for (size_t i = 0; i < (FIRST + OUT) * IN; i++) {
        halves[i] = half_of(w[i]);
        const uint32_t bits = (uint32_t)halves[i] << 16;
        float value;
        memcpy(&value, &bits, sizeof value);
        w[i] = (real)value;
    }
    real *want = random_reals(all * ldy, 4);
    for (size_t row = 0; row < all; row++)
        for (size_t o = 0; o < OUT; o++)
            want[row * ldy + o] = product(x + row * ldx, w + (FIRST + o) * IN, IN) + bias[o];
    const weight_source plain = {w, read_rows, NULL, 0}, half = {w, read_rows, find_rows, 0};
    const matrix form[] = {
        {.w = w + FIRST * IN}, {.source = &plain, .first = FIRST}, {.source = &half, .first = FIRST}};
    const size_t forms = sizeof(real) == sizeof(float) ? 3 : 2;
    for (int threads = 1; threads <= 3; threads++) {
        pool *p;
        assert_int_equal(pool_create(&p, threads, &err), PAL_OK);
        assert_int_equal(gemm_reserve(p, IN, &err), PAL_OK);
        for (size_t f = 0; f < forms; f++) {
            real *y = random_reals(all * ldy, 4);
            linear_rows(p, (rows){lanes, count}, IN, OUT, x, ldx, form[f], bias, y, ldy);
            assert_memory_equal(y, want, all * ldy * sizeof *y);
            linear_rows(p, (rows){1, 1}, IN, OUT, x + 4 * ldx, ldx, form[f], bias, y, ldy);
            assert_memory_equal(y, want + 4 * ldy, OUT * sizeof *y);
            free(y);
        }
        pool_destroy(p);
    }
    free(x);
    free(w);
    free(bias);
    free(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_products),
        cmocka_unit_test(test_row_combine),
        cmocka_unit_test(test_linear_rows),
    };
    return cmocka_run_group_tests_name("row_kernels", tests, NULL, NULL);
}

/* Products of packed panels: right to f32's own error, and of the same bits however they are cut, shared or
 * stored. Each kernel that the processor has; one without any has nothing to test, which is said. */
#include <stdio.h>
#include <string.h>

#include "models/engine/gemm.h"
#include "models/engine/wide.h"
#include "tests/lib/numeric.h"

static const tile_kernel *const all_kernels[] = {&tiles_amx, &tiles_fma512, &tiles_fma256};
enum { KERNELS = sizeof all_kernels / sizeof *all_kernels };

static int missing(void)
{
    if (wide_kernel()) return 0;
    fprintf(stderr, "SKIPPED: this processor or build has no kernel for packed panels\n");
    return 1;
}

static pool *make_pool(int threads)
{
    pal_error err;
    pool *p = NULL;
    assert_int_equal(pool_create(&p, threads, &err), PAL_OK);
    return p;
}

/* Upper halves of floats: what a bf16 file holds. */
static uint16_t *make_bf16(real *w, size_t n)
{
    uint16_t *half = malloc(n * sizeof *half);
    assert_non_null(half);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        const float x = (float)w[i];
        memcpy(&bits, &x, sizeof bits);
        half[i] = (uint16_t)(bits >> 16);
        bits &= 0xffff0000u;
        float y;
        memcpy(&y, &bits, sizeof y);
        w[i] = (real)y;
    }
    return half;
}

typedef struct lines {
    const real *w;
    const uint16_t *half;
    size_t rows, depth;
} lines_of;

static void read_lines(const void *arg, size_t first, size_t count, size_t from, size_t depth, real *out)
{
    const lines_of *l = arg;
    assert_true(from % SOURCE_STEP == 0 && (depth % SOURCE_STEP == 0 || from + depth == l->depth));
    for (size_t i = 0; i < count; i++)
        memcpy(out + i * depth, l->w + (first + i) * l->depth + from, depth * sizeof *out);
}

/* As if the matrix were two, one of them bf16. */
static const uint16_t *half_lines(const void *arg, size_t first, size_t *count)
{
    const lines_of *l = arg;
    if (first < l->rows / 2) return NULL;
    *count = l->rows - first;
    return l->half + first * l->depth;
}

static void check_product(const tile_kernel *kernel, size_t lines, size_t cols, size_t depth)
{
    const size_t count = lines * cols;
    real *x = random_reals(lines * depth, 1), *w = random_reals(cols * depth, 2), *bias = random_reals(cols, 3);
    real *c = random_reals(count, 4), *again = random_reals(count, 4);
    uint16_t *half = make_bf16(w, cols * depth);
    wide_product job = {.kernel = kernel,
                        .left = {.x = x, .ld = depth},
                        .right = {.x = w, .ld = depth},
                        .rows = lines,
                        .cols = cols,
                        .depth = depth,
                        .bias = bias,
                        .c = c,
                        .ldc = cols};
    pool *two = make_pool(2), *three = make_pool(3);
    wide_multiply(two, &job);
    for (size_t i = 0; i < lines; i++)
        for (size_t j = 0; j < cols; j++) {
            double want = bias[j], size = fabs(want);
            for (size_t k = 0; k < depth; k++) {
                want += (double)x[i * depth + k] * w[j * depth + k];
                size += fabs((double)x[i * depth + k] * w[j * depth + k]);
            }
            expect_close(c[i * cols + j], want, size, 3e-7, "wide", i * cols + j);
        }
    job.c = again;
    wide_multiply(three, &job);
    assert_memory_equal(again, c, count * sizeof *c);
    wide_multiply(NULL, &job);
    assert_memory_equal(again, c, count * sizeof *c);

    /* Row by row, and from bf16. */
    memset(again, 0, count * sizeof *again);
    job.rows = 1;
    for (size_t i = 0; i < lines; i++, job.c += cols) {
        job.left.x = x + i * depth;
        wide_multiply(two, &job);
    }
    assert_memory_equal(again, c, count * sizeof *c);
    memset(again, 0, count * sizeof *again);
    if (kernel->bf16) job.right = (tile_source){.x = half, .ld = depth, .bf16 = 1};
    job.rows = lines;
    job.c = again;
    job.left.x = x;
    wide_multiply(two, &job);
    assert_memory_equal(again, c, count * sizeof *c);

    /* From a source that is expanded, partly or wholly. */
    const lines_of of = {w, half, cols, depth};
    weight_source source = {&of, read_lines, half_lines, 0};
    for (int i = 0; i < 2; i++) {
        memset(again, 0, count * sizeof *again);
        job.source = &source;
        wide_multiply(i ? NULL : two, &job);
        assert_memory_equal(again, c, count * sizeof *c);
        source.bf16 = NULL;
    }
    pool_destroy(two);
    pool_destroy(three);
    void *all[] = {x, w, bias, c, again, half};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

static void test_products(void **state)
{
    (void)state;
    if (missing()) return;
    for (size_t i = 0; i < KERNELS; i++) {
        const tile_kernel *kernel = all_kernels[i];
        if (!kernel->ready()) continue;
        check_product(kernel, 1, 1, 1);
        check_product(kernel, 5, 40, 33);
        check_product(kernel, 70, 300, 577);
        check_product(kernel, 530, 33, 200);
        check_product(kernel, 17, 64, 3300);
    }
}

/* One chain of fused multiply-adds in the order of k, whatever the width of the vectors: also where lines lie
 * across, and what C held comes first. */
static void test_chain(void **state)
{
    (void)state;
    enum { LINES = 43, COLS = 75, DEPTH = 391 };
    const tile_kernel *const fused[] = {&tiles_fma512, &tiles_fma256};
    real *x = random_reals(LINES * DEPTH, 1), *w = random_reals(COLS * DEPTH, 2),
         *c0 = random_reals(LINES * COLS, 3);
    for (size_t i = 0; i < 2; i++) {
        if (!fused[i]->ready()) continue;
        real *c = copy_reals(c0, LINES * COLS);
        const wide_product job = {.kernel = fused[i],
                                  .left = {.x = x, .ld = LINES, .across = 1},
                                  .right = {.x = w, .ld = COLS, .across = 1},
                                  .rows = LINES,
                                  .cols = COLS,
                                  .depth = DEPTH,
                                  .accumulate = 1,
                                  .c = c,
                                  .ldc = COLS};
        pool *two = make_pool(2);
        wide_multiply(two, &job);
        for (size_t row = 0; row < LINES; row++)
            for (size_t col = 0; col < COLS; col++) {
                float chain = (float)c0[row * COLS + col];
                for (size_t k = 0; k < DEPTH; k++)
                    chain = fmaf((float)x[k * LINES + row], (float)w[k * COLS + col], chain);
                assert_true((float)c[row * COLS + col] == chain);
            }
        pool_destroy(two);
        free(c);
    }
    free(x);
    free(w);
    free(c0);
}

/* All three products of a linear layer, by way of gemm.h. */
static void test_linear(void **state)
{
    (void)state;
    pal_error err;
    if (missing()) return;
    unsetenv("OPENBLAS_CORETYPE");
    assert_int_equal(gemm_setup(2, &err), PAL_OK);
    const rows r = {2, 35};
    const size_t in = 330, out = 350, n = r.lanes * r.rows;
    assert_true(gemm_is_wide(in, out));
    assert_false(gemm_is_wide(in, WIDE_LEAST - 1));
    pool *p = make_pool(2);
    real *x = random_reals(n * in, 1), *w = random_reals(out * in, 2), *dy = random_reals(n * out, 3);
    real *y = random_reals(n * out, 4), *dx = random_reals(n * in, 5), *dw = random_reals(out * in, 6),
         *dbias = random_reals(out, 7);
    real *dx0 = copy_reals(dx, n * in), *dw0 = copy_reals(dw, out * in), *dbias0 = copy_reals(dbias, out);
    linear_forward(p, r, in, out, x, in, (matrix){.w = w}, NULL, y, out);
    linear_backward_input(p, r, in, out, dy, out, w, dx, in, 1);
    linear_backward_weight(p, r, in, out, x, in, dy, out, dw, dbias);
    for (size_t i = 0; i < n; i += 3)
        for (size_t o = 0; o < out; o++) {
            double want = 0;
            for (size_t k = 0; k < in; k++) want += (double)x[i * in + k] * w[o * in + k];
            expect_close(y[i * out + o], want, sqrt((double)in), tolerance, "y", i * out + o);
        }
    for (size_t i = 0; i < n; i += 3)
        for (size_t k = 0; k < in; k++) {
            double want = dx0[i * in + k];
            for (size_t o = 0; o < out; o++) want += (double)dy[i * out + o] * w[o * in + k];
            expect_close(dx[i * in + k], want, sqrt((double)out), tolerance, "dx", i * in + k);
        }
    for (size_t o = 0; o < out; o++) {
        double bias = dbias0[o];
        for (size_t i = 0; i < n; i++) bias += dy[i * out + o];
        expect_close(dbias[o], bias, sqrt((double)n), tolerance, "dbias", o);
        for (size_t k = 0; k < in; k++) {
            double want = dw0[o * in + k];
            for (size_t i = 0; i < n; i++) want += (double)dy[i * out + o] * x[i * in + k];
            expect_close(dw[o * in + k], want, sqrt((double)n), tolerance, "dw", o * in + k);
        }
    }
    pool_destroy(p);
    real *all[] = {x, w, dy, y, dx, dw, dbias, dx0, dw0, dbias0};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_products), cmocka_unit_test(test_chain),
                                       cmocka_unit_test(test_linear)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Is what a BLAS computes a matrix product? Asked at start, of each kernel that the models use.
 * Some builds compute wrong on processors that are newer than they are. */
#include "harness/base/rng.h"
#include "models/engine/blas.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { SIDE = 144, CELLS = SIDE * SIDE };

/* Small products, which some cores multiply without packing; larger ones; odd sides; each transposition. */
static const struct shape {
    int ta, tb;
    size_t m, n, k;
    real alpha, beta;
} shapes[] = {
    {0, 0, 64, 64, 128, 1, 0},   {0, 0, 37, 29, 53, 1, 1},   {0, 1, 33, 70, 41, (real)0.5, 0},
    {1, 0, 128, 64, 64, 1, 1},   {1, 0, 61, 17, 31, -1, 0},  {1, 1, 19, 23, 37, 1, 1},
    {0, 0, 144, 131, 127, 1, 0}, {0, 1, 133, 144, 99, 1, 1}, {1, 0, 129, 143, 130, 1, 0},
    {0, 0, 1, 144, 64, 1, 0},    {0, 1, 1, 3, 144, 1, 1},
};

typedef struct scratch {
    real a[CELLS], b[CELLS], c[CELLS], c_before[CELLS];
    double x[SIDE], bx[SIDE], then[SIDE];
} scratch;

static void draw(rng *r, real *out, size_t count)
{
    for (size_t i = 0; i < count; i++) out[i] = (real)(2 * rng_uniform(r) - 1);
}

/* An element of op(M) where M has `ld` columns. */
static double at(const real *m, int transposed, size_t ld, size_t row, size_t col)
{
    return (double)(transposed ? m[col * ld + row] : m[row * ld + col]);
}

static double times_vector(const real *m, int transposed, size_t ld, size_t row, size_t cols, const double *x)
{
    double sum = 0;
    for (size_t j = 0; j < cols; j++) sum += at(m, transposed, ld, row, j) * x[j];
    return sum;
}

static int differs(blas_product *product, const struct shape *s, scratch *w)
{
    const size_t lda = s->ta ? s->m : s->k, ldb = s->tb ? s->k : s->n;
    memcpy(w->c, w->c_before, s->m * s->n * sizeof *w->c);
    for (size_t i = 0; i < s->k; i++) w->bx[i] = times_vector(w->b, s->tb, ldb, i, s->n, w->x);
    for (size_t i = 0; i < s->m; i++)
        w->then[i] = (double)s->alpha * times_vector(w->a, s->ta, lda, i, s->k, w->bx) +
                     (double)s->beta * times_vector(w->c, 0, s->n, i, s->n, w->x);
    /* beta = 0 overwrites: what C held, be it NaN, must not count. */
    for (size_t i = 0; s->beta == 0 && i < s->m * s->n; i++) w->c[i] = (real)NAN;
    product(s->ta, s->tb, s->m, s->n, s->k, s->alpha, w->a, lda, w->b, ldb, s->beta, w->c, s->n);
    /* Rounding alone leaves less than a thousandth of this: errors add up like a random walk. */
    const double allowed = 64 * (double)FLT_EPSILON * (double)(s->n + s->k);
    for (size_t i = 0; i < s->m; i++)
        if (!(fabs(times_vector(w->c, 0, s->n, i, s->n, w->x) - w->then[i]) <= allowed)) return 1;
    return 0;
}

size_t blas_probe_bytes(void)
{
    return sizeof(scratch);
}

int blas_probe(blas_product *product, void *memory, pal_error *err)
{
    scratch *w = memory;
    rng r = rng_make(1, "blas/probe", 0, 0);
    draw(&r, w->a, CELLS);
    draw(&r, w->b, CELLS);
    draw(&r, w->c_before, CELLS);
    for (size_t j = 0; j < SIDE; j++) w->x[j] = rng_uniform(&r) < 0.5 ? -1 : 1;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const struct shape *s = &shapes[i];
        if (differs(product, s, w))
            return pal_fail(err, PAL_INTERNAL, "its product of %zu x %zu (%s) with %zu x %zu (%s) is wrong", s->m,
                            s->k, s->ta ? "transposed" : "plain", s->k, s->n, s->tb ? "transposed" : "plain");
    }
    return PAL_OK;
}

/* Stands for a BLAS that is broken in one way, FAULT, or right (FAULT_NONE), to be loaded in OpenBLAS's place.
 * Built as a shared library by the suite that uses it. */
#include <stdlib.h>
#include <string.h>

#define FAULT_NONE 0
#define FAULT_WRONG 1   /* one element of large products is off */
#define FAULT_ILLEGAL 2 /* an instruction that the processor lacks */
#define FAULT_ENDLESS 3
#define FAULT_CRASH 4
#define FAULT_MISSING 5 /* another library: no cblas_sgemm */
#define FAULT_NAN 6     /* beta = 0 multiplies instead of overwriting */

static char core[32];

__attribute__((constructor)) static void choose(void)
{
    const char *asked = getenv("OPENBLAS_CORETYPE");
    strncpy(core, asked ? asked : "Prescott", sizeof core - 1);
}

char *openblas_get_corename(void);
char *openblas_get_corename(void)
{
    return core;
}

void openblas_set_num_threads(int threads);
void openblas_set_num_threads(int threads)
{
    (void)threads;
}

#if FAULT != FAULT_MISSING
void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                 const float *b, int ldb, float beta, float *c, int ldc);
void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                 const float *b, int ldb, float beta, float *c, int ldc)
{
    enum { TRANSPOSED = 112 };
    (void)order;
    if (FAULT == FAULT_ILLEGAL) __builtin_trap();
    if (FAULT == FAULT_CRASH) *(volatile int *)8 = 1;
    for (volatile int forever = FAULT == FAULT_ENDLESS; forever;) {}
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
            float sum = 0;
            for (int l = 0; l < k; l++)
                sum += (ta == TRANSPOSED ? a[l * lda + i] : a[i * lda + l]) *
                       (tb == TRANSPOSED ? b[j * ldb + l] : b[l * ldb + j]);
            const float before = beta == 0 && FAULT != FAULT_NAN ? 0 : beta * c[i * ldc + j];
            c[i * ldc + j] = alpha * sum + before;
        }
    }
    if (FAULT == FAULT_WRONG && m > 100 && n > 100) c[(m - 1) * ldc + n - 1] += 0.01f;
}
#endif

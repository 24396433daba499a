/* Vectorised elementwise and row kernels. Every sum runs over 16 interleaved partial sums combined in a fixed
 * order and without fused multiply-add, so the bits are the same on SSE2, AVX2 and AVX-512; the widest set the
 * processor has is chosen at run time. Products of rows alone fuse; SSE2 computes the same bits without the
 * instruction. In the double build the transcendental functions and the fused multiply-add are libm's. */
#ifndef PAL_KERNELS_H
#define PAL_KERNELS_H

#include "models/engine/real.h"

/* Keys of chain_products come in multiples of this. */
enum { CHAIN_KEYS = 32 };

typedef struct kernels {
    const char *isa;
    /* Softmax of scale*s over columns [lo, hi) of a row of `cols`; the other columns become 0. Returns the
     * log-sum-exp of the scaled scores. */
    real (*softmax)(real *s, size_t lo, size_t hi, size_t cols, real scale);
    /* What softmax returns, with scale 1 over all n, and nothing written. */
    real (*log_sum_exp)(const real *s, size_t n);
    /* The same probabilities again, from raw scores and the row's log-sum-exp. */
    void (*softmax_again)(real *s, size_t lo, size_t hi, size_t cols, real scale, real lse);
    /* ds = scale * p * (dp - dot), in place over dp. */
    void (*softmax_backward)(real *dp, const real *p, size_t cols, real scale, real dot);
    real (*dot)(const real *a, const real *b, size_t n);
    /* s[queries, ldkeys] (ld lds) = q[queries, n] (ld ldq) times keys[n, ldkeys], ldkeys a multiple of CHAIN_KEYS.
     * Each is one chain of fused multiply-adds in the order of the n elements: equal keys have equal scores
     * wherever they lie, and the bits are the same on every processor. */
    void (*chain_products)(real *s, size_t lds, const real *q, size_t ldq, size_t queries, const real *keys,
                           size_t ldkeys, size_t n);
    /* y[rows, count] (ld ldy) = x[rows, n] (ld ldx) times the transpose of w[count, n] (ld ldw). Each is 16 chains
     * of fused multiply-adds and their sum: its bits hang on the two rows alone, and are the same on every
     * processor. */
    void (*row_products)(real *y, size_t ldy, const real *x, size_t ldx, size_t rows, const real *w, size_t ldw,
                         size_t count, size_t n);
    /* The same with w in bf16, whose numbers are exact; not in the double build, where no weights are. */
    void (*row_products_bf16)(real *y, size_t ldy, const real *x, size_t ldx, size_t rows, const uint16_t *w,
                              size_t ldw, size_t count, size_t n);
    /* y[n] = sum of p[j] v[j, n] (ld ldv) over `count` rows: each a chain of fused multiply-adds in their order.
     */
    void (*row_combine)(real *y, const real *p, const real *v, size_t ldv, size_t count, size_t n);
    real (*sum)(const real *a, size_t n);
    /* The first i with a[i] > bar, or n. */
    size_t (*first_above)(const real *a, real bar, size_t n);
    /* The first of the largest; NaNs are passed over. 0 when there is nothing else. */
    size_t (*argmax)(const real *a, size_t n);
    /* y += alpha x */
    void (*axpy)(real *y, real alpha, const real *x, size_t n);
    /* y = alpha x + beta z (z may alias y) */
    void (*blend)(real *y, real alpha, const real *x, real beta, const real *z, size_t n);
    void (*scale)(real *y, real alpha, size_t n);
    /* y = a * b, element by element (y may alias either) */
    void (*multiply)(real *y, const real *a, const real *b, size_t n);
    /* y[i] += x[n - 1 - i] */
    void (*add_reversed)(real *y, const real *x, size_t n);
    /* y[cols, rows] (ld ldy) = transpose of x[rows, cols] (ld ldx) */
    void (*transpose)(real *y, size_t ldy, const real *x, size_t ldx, size_t rows, size_t cols);
    /* y = (x - mean) * rstd * gain + bias over n columns; returns through mean and rstd. */
    void (*norm)(real *y, const real *x, const real *gain, const real *bias, size_t n, real eps, real *mean,
                 real *rstd);
    /* dx += d(norm)/dx; dgain, dbias += (row contribution). Any of the three may be NULL. */
    void (*norm_backward)(real *dx, real *dgain, real *dbias, const real *dy, const real *x, const real *gain,
                          size_t n, real mean, real rstd);
    /* y = x * rstd * gain with rstd = 1 / sqrt(mean of x^2 + eps), which is returned. */
    void (*rms)(real *y, const real *x, const real *gain, size_t n, real eps, real *rstd);
    /* dx += d(rms)/dx; dgain += (row contribution). Either may be NULL. */
    void (*rms_backward)(real *dx, real *dgain, const real *dy, const real *x, const real *gain, size_t n,
                         real rstd);
    /* dx = d(rms)/dx of the gradient that dx holds, in place */
    void (*rms_through)(real *dx, const real *x, const real *gain, size_t n, real rstd);
    void (*gelu)(real *y, const real *x, size_t n); /* tanh form */
    void (*gelu_backward)(real *dx, const real *dy, const real *x, size_t n);
    void (*relu)(real *y, const real *x, size_t n);
    void (*relu_backward)(real *dx, const real *dy, const real *x, size_t n);
    void (*silu)(real *y, const real *x, size_t n); /* x sigmoid(x) */
    void (*silu_backward)(real *dx, const real *dy, const real *x, size_t n);
    /* elu1(x) = ELU(x) + 1 = exp(x) for x < 0, x + 1 otherwise */
    void (*elu1)(real *y, const real *x, size_t n);
    /* dx = dy * elu1'(x), from y = elu1(x): min(y, 1) */
    void (*elu1_backward)(real *dx, const real *dy, const real *y, size_t n);
    /* Rotate pairs (x[i], x[i + half]) by the angles of one position: cos/sin[half]; y may alias x. The backward
     * form rotates back and adds into dx. */
    void (*rope)(real *y, const real *x, const real *cos, const real *sin, size_t half);
    void (*rope_backward)(real *dx, const real *dy, const real *cos, const real *sin, size_t half);
    /* AdamW on one tensor; see optimiser.h. */
    void (*adamw)(real *w, real *m, real *v, const real *g, size_t n, real grad_scale, real beta1, real beta2,
                  real step_size, real correct2, real eps, real decay);
} kernels;

/* The widest set this processor runs. Cheap enough to call for a row. */
const kernels *kernels_get(void);

/* The compiled sets; only those the processor supports may be called. */
extern const kernels kernels_base;
#if defined(__x86_64__) && !defined(PAL_DOUBLE)
#define KERNELS_X86
extern const kernels kernels_avx2, kernels_avx512;
#endif

/* GELU etc. over many rows are split into fixed blocks of this many elements. */
enum { KERNEL_BLOCK = 16384 };

#endif

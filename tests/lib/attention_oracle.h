/* What the suites of attention modules share: a module's output against an oracle in double precision. */
#ifndef PAL_TEST_ATTENTION_ORACLE_H
#define PAL_TEST_ATTENTION_ORACLE_H

#include "tests/lib/attention_lab.h"

#include <stdlib.h>

static inline double oracle_limit(void)
{
    return sizeof(real) == sizeof(double) ? 1e-11 : 2e-5;
}

static inline void expect_rows(const real *got, const double *want, size_t count)
{
    for (size_t i = 0; i < count; i++)
        CHECK(fabs((double)got[i] - want[i]) <= oracle_limit() * fmax(1, fabs(want[i])),
              "output %zu is %.9g, expected %.9g", i, (double)got[i], want[i]);
}

/* y[count, out] = x[count, in] w[out, in]^T in double */
static inline double *product(const double *x, size_t count, size_t in, const real *w, size_t out)
{
    double *y = zero_doubles(count * out);
    for (size_t i = 0; i < count; i++)
        for (size_t o = 0; o < out; o++)
            for (size_t k = 0; k < in; k++) y[i * out + o] += x[i * in + k] * (double)w[o * in + k];
    return y;
}

static inline double *widened(const real *x, size_t count)
{
    double *y = zero_doubles(count);
    for (size_t i = 0; i < count; i++) y[i] = (double)x[i];
    return y;
}

static inline double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* q or k of one head rotated to a position (Su et al. 2021). */
static inline void rotate(double *y, const double *x, size_t d, size_t position, double base)
{
    for (size_t i = 0; i < d / 2; i++) {
        const double angle = (double)position * pow(base, -2 * (double)i / (double)d);
        y[i] = x[i] * cos(angle) - x[i + d / 2] * sin(angle);
        y[i + d / 2] = x[i + d / 2] * cos(angle) + x[i] * sin(angle);
    }
}

/* out += weight * softmax attention of token t over tokens [first, t], rotated. q, k, v: [tokens, ld] of a head.
 */
static inline void attend(double *out, const double *q, const double *k, const double *v, size_t ld, size_t d,
                          size_t first, size_t t, double scale, double weight)
{
    double total = 0, most = -1e300, rotated_q[64], rotated_k[64];
    double *score = zero_doubles(t + 1);
    rotate(rotated_q, q + t * ld, d, t, 10000);
    for (size_t j = first; j <= t; j++) {
        rotate(rotated_k, k + j * ld, d, j, 10000);
        score[j] = scale * dot(rotated_q, rotated_k, d);
        most = fmax(most, score[j]);
    }
    for (size_t j = first; j <= t; j++) total += score[j] = exp(score[j] - most);
    for (size_t j = first; j <= t; j++)
        for (size_t i = 0; i < d; i++) out[i] += weight * score[j] / total * v[j * ld + i];
    free(score);
}

/* A stream of `segments` segments through a lab with one lane: y of all of them. */
static inline real *stream(lab *l, const real *x, size_t segments)
{
    const size_t part = lab_segment_reals(l);
    real *y = guarded(segments * part);
    lab_reset(l);
    for (size_t s = 0; s < segments; s++) lab_forward(l, 0, x + s * part, NULL, y + s * part);
    return y;
}

/* An oracle fills o[tokens, D] from qkv[tokens, 3D]. */
typedef void oracle(const lab *l, size_t tokens, const double *qkv, double *o);

static inline void agrees_with(oracle *compute, const char *module, const char *settings, size_t layer,
                               size_t segments)
{
    const model_config cfg = lab_config(module, settings);
    lab l;
    lab_open(&l, &cfg, layer, 1, 1, 1);
    const size_t part = lab_segment_reals(&l), tokens = segments * l.n, d = (size_t)(cfg.n_heads * cfg.d_head);
    real *x = lab_inputs(&l, segments, 21), *y = stream(&l, x, segments);
    double *wide = widened(x, segments * part);
    double *qkv = product(wide, tokens, l.d_model, l.param[lab_param(&l, "qkv_net.weight")], 3 * d);
    double *o = zero_doubles(tokens * d);
    compute(&l, tokens, qkv, o);
    double *want = product(o, tokens, d, l.param[lab_param(&l, "o_net.weight")], l.d_model);
    expect_rows(y, want, tokens * l.d_model);
    free(wide);
    free(qkv);
    free(o);
    free(want);
    release(x, segments * part, "x");
    release(y, segments * part, "y");
    lab_close(&l);
}

static inline double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

#endif

/* The feed-forward half of a block, by kind: y = W2 (act(W1 x)) or, gated, y = W2 (act(Wg x) * (W1 x)) (Shazeer
 * 2020), with biases where the config has them. A kind is one row of a table, and so is an activation. */
#ifndef PAL_FEED_FORWARD_H
#define PAL_FEED_FORWARD_H

#include "models/engine/gemm.h"

/* The values of the config's keys `feed_forward` and `activation`, and their names in the same order. */
typedef enum feed_kind { FEED_PLAIN, FEED_GATED, FEED_KINDS } feed_kind;
#define FEED_NAMES "plain|gated"
typedef enum activation_kind {
    ACTIVATION_GELU,
    ACTIVATION_RELU,
    ACTIVATION_SILU,
    ACTIVATION_KINDS
} activation_kind;
#define ACTIVATION_NAMES "gelu|relu|silu"

/* y[n] = act(x[n]), in place or not. gelu: the tanh form (Hendrycks & Gimpel 2016); silu: x sigmoid(x). */
void activation_forward(activation_kind kind, real *y, const real *x, size_t n);
/* dx[n] = dy[n] * act'(x[n]); dx may alias dy. */
void activation_backward(activation_kind kind, real *dx, const real *dy, const real *x, size_t n);

/* One feed-forward of a model: tensors as saved, [out, in]. A bias may be NULL; gate.w is NULL unless gated. */
typedef struct feed_layer {
    feed_kind kind;
    activation_kind activation;
    size_t width, inner;                                            /* d_model, d_ff */
    matrix up, gate, down;                                          /* W1, Wg [inner, width]; W2 [width, inner] */
    const real *up_bias, *gate_bias, *down_bias;                    /* [inner] twice, [width] */
    real *dup, *dgate, *ddown, *dup_bias, *dgate_bias, *ddown_bias; /* backward only; accumulated into */
} feed_layer;

/* What forward leaves for backward, [R, inner] each. active may be up where there will be no backward. */
typedef struct feed_saved {
    real *up;     /* W1 x + bias */
    real *gate;   /* Wg x + bias; NULL unless gated */
    real *active; /* what W2 multiplies */
} feed_saved;

/* Matrices of [width, inner] reals that a kind multiplies by. */
size_t feed_matrices(feed_kind kind);
/* y[R, width] of x[R, width]. */
void feed_forward(pool *p, rows r, const feed_layer *f, const real *x, const feed_saved *s, real *y);
/* The same of a step's rows, by linear_rows. */
void feed_step(pool *p, rows r, const feed_layer *f, const real *x, const feed_saved *s, real *y);
/* dx[R, width] (written) of dy[R, width]. work: feed_matrices - 1 times [R, inner]. */
void feed_backward(pool *p, rows r, const feed_layer *f, const real *x, const feed_saved *s, const real *dy,
                   real *work, real *dx);

#endif

/* Blocked causal softmax attention for one head of one lane: the kernel under every module. Never stores more than
 * CAUSAL_BLOCK rows of scores; the backward pass recomputes the probabilities from the saved log-sum-exp. */
#ifndef PAL_CAUSAL_H
#define PAL_CAUSAL_H

#include "models/engine/real.h"

enum { CAUSAL_BLOCK = 64, CAUSAL_ROWS = 4 };

/* Query i (0..queries) sees keys j with first(i) <= j <= i + offset, where keys 0..offset-1 are cached ones,
 * first(i) = max(key_begin, i + offset + 1 - span) and span = 0 means no limit. key_begin <= offset, so that every
 * query sees at least its own key.
 * Scores are scale * (q_i . k_j), with Transformer-XL's relative term (q_rel_i . rel[i + offset - j]) added to the
 * product when `rel` is given (Dai et al. 2019, section 3.3). */
typedef struct causal_args {
    size_t queries, offset, key_begin, span, d_head;
    real scale;
    const real *q, *k, *v; /* [queries, d_head], [offset + queries, d_head] twice */
    size_t ldq, ldk, ldv;
    const real *q_rel; /* [queries, d_head] (ld ldq_rel) or NULL */
    const real *rel;   /* [offset + queries, d_head] by distance (ld ldrel) or NULL */
    size_t ldq_rel, ldrel;
} causal_args;

/* Scratch reals that forward and backward need for keys = offset + queries. */
size_t causal_scratch(size_t keys, size_t d_head);

/* o[queries, d_head] (ld ldo); lse[queries] with stride lse_stride. */
void causal_forward(const causal_args *a, real *o, size_t ldo, real *lse, size_t lse_stride, real *scratch);

/* The same for `count` queries (1..CAUSAL_ROWS) from number `row` on, whose rows alone are given: a->q and
 * a->q_rel are [count, d_head] here, as o, and lse [count]. The bits of each hang on what it sees alone. */
void causal_rows(const causal_args *a, size_t row, size_t count, real *o, size_t ldo, real *lse, size_t lse_stride,
                 real *scratch);
/* Scratch reals that causal_rows needs for keys = offset + queries. */
size_t causal_rows_scratch(size_t keys);

typedef struct causal_grads {
    const real *o, *d_o; /* the forward output and its gradient */
    size_t ldo, ldd_o;
    const real *lse;
    size_t lse_stride;
    real *dq, *dk, *dv; /* accumulated into; same shapes and leading dimensions of their own */
    size_t lddq, lddk, lddv;
    real *dq_rel, *drel; /* accumulated into when the relative term is used */
    size_t lddq_rel, lddrel;
} causal_grads;

void causal_backward(const causal_args *a, const causal_grads *g, real *scratch);

#endif

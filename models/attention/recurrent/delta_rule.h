/* The gated delta rule of one head over one segment, in chunks of matrix products (Yang et al. 2024, arXiv
 * 2406.06484 and 2412.06464): forward and its gradient.
 *
 *   S <- e^g S;  u = b (v - S^T k);  S <- S + k u^T;  o = S^T q          for each token in turn
 *
 * In a chunk with c = cumsum(g) and D[i, j] = e^(c_i - c_j) for j <= i, all u solve one triangular system:
 *   (I + L) U = b (V - e^c K S),  L = strictly lower part of b K K^T * D
 *   O = e^c Q S + (Q K^T * D) U,  S <- e^(c_last) S + (e^(c_last - c) K)^T U */
#ifndef PAL_ATTENTION_DELTA_RULE_H
#define PAL_ATTENTION_DELTA_RULE_H

#include "models/engine/real.h"

/* Tokens of a chunk, and of the blocks of its triangular system that are solved row by row. */
enum { DELTA_CHUNK = 64, DELTA_BLOCK = 16 };

/* One key head of a lane; rows of tokens lie `ld_...` reals apart. Query heads lie side by side. */
typedef struct delta_head {
    size_t n, valid;   /* tokens of the segment; of them, those that are real */
    size_t d_k, d_v;   /* widths of keys and of values */
    size_t group;      /* query heads */
    real scale;        /* of q */
    const real *q, *k; /* [n, group * d_k], [n, d_k], ld_qk */
    const real *v;     /* [n, d_v], ld_qk */
    const real *b, *g; /* [n] write strengths and log decays (NULL: 0), ld_scalar */
    size_t ld_qk, ld_scalar, ld_o;
    real *u;     /* [n, d_v] left for backward */
    real *start; /* [chunks, d_k, d_v] S before each chunk, left for backward */
} delta_head;

/* All accumulated into; layouts as in delta_head. */
typedef struct delta_grads {
    const real *d_o; /* [n, group * d_v], ld_o */
    real *dq, *dk, *dv;
    real *db, *dg; /* written; dg NULL without decays */
} delta_grads;

size_t delta_chunks(size_t n);
/* Reals of scratch that forward and backward need. */
size_t delta_scratch(size_t n, size_t d_k, size_t d_v);
/* S[d_k, d_v] in place. o [n, group * d_v] (ld_o); NULL: S alone. Rows of o beyond `valid` mean nothing. */
void delta_forward(const delta_head *h, real *state, real *o, real *scratch);
/* dS[d_k, d_v] in place: from the state after the segment to that before it. */
void delta_backward(const delta_head *h, const delta_grads *d, real *dstate, real *scratch);

#endif

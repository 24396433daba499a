/* What the attention modules share: shapes, projections and the loop of the causal kernel over lanes and
 * heads. Notation as in attention.h: N = cfg->segment, R = lanes * N, H = n_heads, D = H * d_head. */
#ifndef PAL_ATTENTION_COMMON_H
#define PAL_ATTENTION_COMMON_H

#include "models/attention/attention.h"
#include "models/attention/positions.h"
#include "models/engine/gemm.h"

/* The heads of a layer, and where they lie in a token's row of qkv: all q, then all k, then all v. Query heads
 * h * group to h * group + group - 1 share key and value head h (Ainslie et al. 2023). */
typedef struct attn_shape {
    size_t heads, kv_heads, group, d_head;
    size_t q, kv; /* reals of a token's queries (D); of its keys, and as many of its values (D_kv) */
    size_t row;   /* q + 2 kv */
} attn_shape;

attn_shape attn_shape_of(const model_config *cfg);

static inline size_t attn_q_at(const attn_shape *s, size_t head)
{
    return head * s->d_head;
}

static inline size_t attn_k_at(const attn_shape *s, size_t kv_head)
{
    return s->q + kv_head * s->d_head;
}

static inline size_t attn_v_at(const attn_shape *s, size_t kv_head)
{
    return s->q + s->kv + kv_head * s->d_head;
}

size_t attn_width(const model_config *cfg); /* D */
rows attn_rows(const attn_call *c);         /* lanes groups of N rows; of a step, of its rows */
size_t attn_row_count(const attn_call *c);  /* of all lanes */

/* Specs of the two projections that every module has. */
param_spec attn_qkv_spec(const model_config *cfg); /* qkv_net.weight [D + 2 D_kv, d_model]: rows of q, k, v */
param_spec attn_o_spec(const model_config *cfg);   /* o_net.weight [d_model, D] */

/* at[i] = the place of the i-th of `count` consecutive parts (NULL each when base is NULL: measuring); returns the
 * reals of all. Parts are padded to a cache line. */
size_t attn_carve(real *base, const size_t *part, size_t count, real **at);
/* A window of the newest `length` rows, oldest first: append `count` rows (ld ldrow), dropping the oldest. */
void attn_shift_in(real *window, size_t length, const real *row, size_t ldrow, size_t count, size_t cols);

/* 1 / (1 + exp(-x)), computed in double. */
real attn_sigmoid(real x);

/* dst[0..count) = 0, in parallel. */
void attn_zero(const attn_call *c, real *dst, size_t count);
/* dst[j] += sum of src[i, j] (ld ldsrc) over `count` rows in order; dst NULL: nothing. */
void attn_add_rows(real *dst, const real *src, size_t ldsrc, size_t count, size_t cols);

static inline matrix attn_matrix(const attn_call *c, size_t param)
{
    if (!c->param[param] && c->source) return (matrix){.source = c->source[param]};
    return (matrix){.w = c->param[param], .panels = c->panels ? c->panels[param] : NULL};
}

/* Reals of attn_extra's areas. */
size_t attn_extra_saved(const model_config *cfg, size_t count); /* R, or those of a step */
size_t attn_extra_work(const model_config *cfg, size_t lanes);
/* linear_forward, or linear_rows of a step. */
void attn_linear(const attn_call *c, rows r, size_t in, size_t out, const real *x, size_t ldx, matrix w,
                 const real *bias, real *y, size_t ldy);
/* qkv[R, row of attn_shape] = x w^T + bias, q and k normed where the config says so. q and (k, v) are separate
 * products, so that leaving q out (with_q 0) keeps the bits of k and v. */
void attn_project(const attn_call *c, const real *x, matrix w, real *qkv, int with_q);
/* dw += dqkv^T x; dx = dqkv w; dqkv is spoilt where q and k are normed */
void attn_project_backward(const attn_call *c, const real *x, const real *w, real *dqkv, real *dw, real *dx);
/* y[R, d_model] = o[R, D] w^T */
void attn_output(const attn_call *c, const real *o, matrix w, real *y);
/* dw += dy^T o; d_o[R, D] = dy w */
void attn_output_backward(const attn_call *c, const real *o, const real *w, const real *dy, real *dw, real *d_o);

/* The causal kernel for every lane and head. A lane has `cached` keys before its own N, right-aligned: of them the
 * last min(seen, cached) exist, the others are masked. */
typedef struct attn_heads {
    size_t cached, span; /* span as in causal.h */
    real scale;
    const real *q, *k, *v; /* [R, D], [lanes * (cached + N), D_kv] twice */
    size_t ldq, ldk, ldv;
    const real *q_rel, *rel; /* [R, D], [cached + N, D] by distance; or NULL */
    size_t ldq_rel, ldrel;
    real *o, *lse; /* [R, D], [R, H]: written by forward, read by backward */
} attn_heads;

/* All accumulated into; layouts as above, but drel is [lanes * (cached + N), D]: one sum for each lane. */
typedef struct attn_heads_grads {
    const real *d_o; /* [R, D] */
    real *dq, *dk, *dv;
    size_t lddq, lddk, lddv;
    real *dq_rel, *drel;
    size_t lddq_rel, lddrel;
} attn_heads_grads;

/* Scratch of a worker. */
size_t attn_heads_scratch(const model_config *cfg, size_t cached);
void attn_heads_forward(const attn_call *c, const attn_heads *a);
/* The rows of a step, each by itself: q, q_rel, o and lse have the step's rows alone. */
void attn_heads_step(const attn_call *c, const attn_heads *a);
void attn_heads_backward(const attn_call *c, const attn_heads *a, const attn_heads_grads *g);

#endif

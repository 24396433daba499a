#include "models/attention/common.h"

#include "models/engine/arena.h"
#include "models/engine/causal.h"
#include "models/engine/kernels.h"
#include <math.h>
#include <string.h>

size_t attn_width(const model_config *cfg)
{
    return (size_t)(cfg->n_heads * cfg->d_head);
}

rows attn_rows(const attn_call *c)
{
    return (rows){c->lanes, (size_t)c->cfg->segment};
}

param_spec attn_qkv_spec(const model_config *cfg)
{
    return (param_spec){"qkv_net.weight", 3 * attn_width(cfg), (size_t)cfg->d_model, INIT_NORMAL, 0, 0};
}

param_spec attn_o_spec(const model_config *cfg)
{
    return (param_spec){"o_net.weight", (size_t)cfg->d_model, attn_width(cfg), INIT_NORMAL, 0, 0};
}

size_t attn_carve(real *base, const size_t *part, size_t count, real **at)
{
    const size_t step = ARENA_ALIGN / sizeof(real);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        at[i] = base ? base + used : NULL;
        used += (part[i] + step - 1) / step * step;
    }
    return used;
}

void attn_shift_in(real *window, size_t length, const real *row, size_t ldrow, size_t count, size_t cols)
{
    if (count > length) {
        row += (count - length) * ldrow;
        count = length;
    }
    memmove(window, window + count * cols, (length - count) * cols * sizeof *window);
    for (size_t i = 0; i < count; i++)
        memcpy(window + (length - count + i) * cols, row + i * ldrow, cols * sizeof *window);
}

enum { ZERO_BLOCK = 1 << 16 };

typedef struct zero_job {
    real *dst;
    size_t count;
} zero_job;

static void zero_task(void *arg, int task, int worker)
{
    const zero_job *j = arg;
    size_t begin = (size_t)task * ZERO_BLOCK;
    size_t count = j->count - begin < ZERO_BLOCK ? j->count - begin : ZERO_BLOCK;
    (void)worker;
    memset(j->dst + begin, 0, count * sizeof(real));
}

void attn_zero(const attn_call *c, real *dst, size_t count)
{
    zero_job j = {dst, count};
    pool_run(c->pool, (int)((count + ZERO_BLOCK - 1) / ZERO_BLOCK), zero_task, &j);
}

void attn_add_rows(real *dst, const real *src, size_t ldsrc, size_t count, size_t cols)
{
    const kernels *k = kernels_get();
    for (size_t i = 0; i < count; i++) k->axpy(dst, 1, src + i * ldsrc, cols);
}

/* ---- Projections. ---- */

void attn_project(const attn_call *c, const real *x, matrix w, real *qkv, int with_q)
{
    size_t d = attn_width(c->cfg), m = (size_t)c->cfg->d_model;
    if (with_q) linear_forward(c->pool, attn_rows(c), m, d, x, m, matrix_rows(w, m, 0, d), NULL, qkv, 3 * d);
    linear_forward(c->pool, attn_rows(c), m, 2 * d, x, m, matrix_rows(w, m, d, 2 * d), NULL, qkv + d, 3 * d);
}

void attn_project_backward(const attn_call *c, const real *x, const real *w, const real *dqkv, real *dw, real *dx)
{
    size_t d = attn_width(c->cfg), m = (size_t)c->cfg->d_model;
    linear_backward_weight(c->pool, attn_rows(c), m, 3 * d, x, m, dqkv, 3 * d, dw, NULL);
    linear_backward_input(c->pool, attn_rows(c), m, 3 * d, dqkv, 3 * d, w, dx, m, 0);
}

void attn_output(const attn_call *c, const real *o, matrix w, real *y)
{
    size_t d = attn_width(c->cfg), m = (size_t)c->cfg->d_model;
    linear_forward(c->pool, attn_rows(c), d, m, o, d, w, NULL, y, m);
}

void attn_output_backward(const attn_call *c, const real *o, const real *w, const real *dy, real *dw, real *d_o)
{
    size_t d = attn_width(c->cfg), m = (size_t)c->cfg->d_model;
    linear_backward_weight(c->pool, attn_rows(c), d, m, o, d, dy, m, dw, NULL);
    linear_backward_input(c->pool, attn_rows(c), d, m, dy, m, w, d_o, d, 0);
}

/* ---- Rotary positions. ---- */

size_t rope_table_reals(const model_config *cfg, size_t positions)
{
    return positions * (size_t)cfg->d_head;
}

void rope_table_fill(const model_config *cfg, double base, size_t positions, real *table)
{
    size_t half = (size_t)cfg->d_head / 2;
    for (size_t i = 0; i < half; i++) {
        double frequency = pow(base, -(double)i / (double)half);
        for (size_t p = 0; p < positions; p++) {
            table[2 * half * p + i] = (real)cos((double)p * frequency);
            table[2 * half * p + half + i] = (real)sin((double)p * frequency);
        }
    }
}

void rope_row(const model_config *cfg, const real *table, size_t position, real *y, const real *x)
{
    size_t half = (size_t)cfg->d_head / 2;
    const real *angle = table + 2 * half * position;
    kernels_get()->rope(y, x, angle, angle + half, half);
}

void rope_row_backward(const model_config *cfg, const real *table, size_t position, real *dx, const real *dy)
{
    size_t half = (size_t)cfg->d_head / 2;
    const real *angle = table + 2 * half * position;
    kernels_get()->rope_backward(dx, dy, angle, angle + half, half);
}

/* ---- The causal kernel over lanes and heads. ---- */

size_t attn_heads_scratch(const model_config *cfg, size_t cached)
{
    return causal_scratch(cached + (size_t)cfg->segment, (size_t)cfg->d_head);
}

typedef struct heads_job {
    const attn_call *c;
    const attn_heads *a;
    const attn_heads_grads *g; /* NULL in the forward pass */
} heads_job;

static causal_args head_args(const attn_call *c, const attn_heads *a, size_t lane, size_t head)
{
    size_t n = (size_t)c->cfg->segment, d_head = (size_t)c->cfg->d_head;
    size_t column = head * d_head, query = lane * n, key = lane * (a->cached + n);
    size_t exist = c->seen[lane] < a->cached ? (size_t)c->seen[lane] : a->cached;
    return (causal_args){
        .queries = n,
        .offset = a->cached,
        .key_begin = a->cached - exist,
        .span = a->span,
        .d_head = d_head,
        .scale = a->scale,
        .q = a->q + query * a->ldq + column,
        .k = a->k + key * a->ldk + column,
        .v = a->v + key * a->ldv + column,
        .ldq = a->ldq,
        .ldk = a->ldk,
        .ldv = a->ldv,
        .q_rel = a->rel ? a->q_rel + query * a->ldq_rel + column : NULL,
        .rel = a->rel ? a->rel + column : NULL,
        .ldq_rel = a->ldq_rel,
        .ldrel = a->ldrel,
    };
}

static void heads_task(void *arg, int task, int worker)
{
    const heads_job *j = arg;
    const attn_call *c = j->c;
    const attn_heads *a = j->a;
    const attn_heads_grads *g = j->g;
    size_t heads = (size_t)c->cfg->n_heads, n = (size_t)c->cfg->segment, d = attn_width(c->cfg);
    size_t lane = (size_t)task / heads, head = (size_t)task % heads;
    size_t column = head * (size_t)c->cfg->d_head, query = lane * n, key = lane * (a->cached + n);
    real *scratch = c->scratch + (size_t)worker * c->scratch_stride;
    real *o = a->o + query * d + column, *lse = a->lse + query * heads + head;
    causal_args args = head_args(c, a, lane, head);
    if (!g) {
        causal_forward(&args, o, d, lse, heads, scratch);
        return;
    }
    causal_grads grads = {
        .o = o,
        .d_o = g->d_o + query * d + column,
        .ldo = d,
        .ldd_o = d,
        .lse = lse,
        .lse_stride = heads,
        .dq = g->dq + query * g->lddq + column,
        .dk = g->dk + key * g->lddk + column,
        .dv = g->dv + key * g->lddv + column,
        .lddq = g->lddq,
        .lddk = g->lddk,
        .lddv = g->lddv,
        .dq_rel = a->rel ? g->dq_rel + query * g->lddq_rel + column : NULL,
        .drel = a->rel ? g->drel + key * g->lddrel + column : NULL,
        .lddq_rel = g->lddq_rel,
        .lddrel = g->lddrel,
    };
    causal_backward(&args, &grads, scratch);
}

void attn_heads_forward(const attn_call *c, const attn_heads *a)
{
    heads_job j = {c, a, NULL};
    pool_run(c->pool, (int)(c->lanes * (size_t)c->cfg->n_heads), heads_task, &j);
}

void attn_heads_backward(const attn_call *c, const attn_heads *a, const attn_heads_grads *g)
{
    heads_job j = {c, a, g};
    pool_run(c->pool, (int)(c->lanes * (size_t)c->cfg->n_heads), heads_task, &j);
}

real attn_sigmoid(real x)
{
    return (real)(1.0 / (1.0 + exp(-(double)x)));
}

/* What the attention modules share: shapes and specs, projections with their biases and norms, the loop of the
 * causal kernel over lanes and heads. */
#include "models/attention/common.h"

#include "models/engine/arena.h"
#include "models/engine/causal.h"
#include "models/engine/kernels.h"
#include "models/engine/linear_rows.h"
#include <math.h>
#include <string.h>

attn_shape attn_shape_of(const model_config *cfg)
{
    attn_shape s = {.heads = (size_t)cfg->n_heads, .d_head = (size_t)cfg->d_head};
    s.kv_heads = cfg->n_kv_heads > 0 ? (size_t)cfg->n_kv_heads : s.heads;
    s.group = s.heads / s.kv_heads;
    s.q = s.heads * s.d_head;
    s.kv = s.kv_heads * s.d_head;
    s.row = s.q + 2 * s.kv;
    return s;
}

size_t attn_width(const model_config *cfg)
{
    return (size_t)(cfg->n_heads * cfg->d_head);
}

rows attn_rows(const attn_call *c)
{
    return (rows){c->lanes, c->kept ? c->count : (size_t)c->cfg->segment};
}

size_t attn_row_count(const attn_call *c)
{
    const rows r = attn_rows(c);
    return r.lanes * r.rows;
}

param_spec attn_qkv_spec(const model_config *cfg)
{
    return (param_spec){"qkv_net.weight", attn_shape_of(cfg).row, (size_t)cfg->d_model, INIT_NORMAL, 0, 0};
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
    for (size_t i = 0; dst && i < count; i++) k->axpy(dst, 1, src + i * ldsrc, cols);
}

/* ---- Projections. ---- */

/* The norm of q and k, head by head. saved: q and k before it [R, q + kv], then 1 / rms [R, heads + kv_heads].
 * work: sums of the gradients of both gains, for each task. */
enum { NORMED_ROWS = 32 };

static size_t normed_tasks(size_t count)
{
    return (count + NORMED_ROWS - 1) / NORMED_ROWS;
}

size_t attn_extra_saved(const model_config *cfg, size_t count)
{
    const attn_shape s = attn_shape_of(cfg);
    if (cfg->qk_norm == QK_NORM_NONE) return 0;
    return count * (s.q + s.kv + s.heads + s.kv_heads);
}

size_t attn_extra_work(const model_config *cfg, size_t lanes)
{
    return cfg->qk_norm == QK_NORM_NONE ? 0 : normed_tasks(lanes * (size_t)cfg->segment) * 2 * (size_t)cfg->d_head;
}

typedef struct normed_job {
    const attn_call *c;
    real *qkv;    /* in place; backward: its gradient */
    size_t first; /* head of q and k together: with_q or not */
} normed_job;

static row_norm head_norm(const attn_call *c, int is_key)
{
    return (row_norm){.op = &norm_ops[NORM_RMS],
                      .cols = (size_t)c->cfg->d_head,
                      .eps = (real)c->cfg->norm_eps,
                      .gain = is_key ? c->extra.k_gain : c->extra.q_gain};
}

static size_t normed_end(const attn_call *c, size_t task)
{
    const size_t all = attn_row_count(c);
    return (task + 1) * NORMED_ROWS < all ? (task + 1) * NORMED_ROWS : all;
}

static real *normed_scales(const attn_call *c, const attn_shape *s)
{
    return c->extra.saved + attn_row_count(c) * (s->q + s->kv);
}

static void norm_heads(void *arg, int task, int worker)
{
    (void)worker;
    const normed_job *j = arg;
    const attn_shape s = attn_shape_of(j->c->cfg);
    const row_norm norm[2] = {head_norm(j->c, 0), head_norm(j->c, 1)};
    real *scale = normed_scales(j->c, &s), mean;
    for (size_t i = (size_t)task * NORMED_ROWS; i < normed_end(j->c, (size_t)task); i++)
        for (size_t h = j->first; h < s.heads + s.kv_heads; h++) { /* k follows q in a row */
            real *x = j->qkv + i * s.row + h * s.d_head,
                 *raw = j->c->extra.saved + i * (s.q + s.kv) + h * s.d_head;
            memcpy(raw, x, s.d_head * sizeof *x);
            norm_row(&norm[h >= s.heads], raw, x, &mean, &scale[i * (s.heads + s.kv_heads) + h]);
        }
}

static void norm_heads_backward(void *arg, int task, int worker)
{
    (void)worker;
    const normed_job *j = arg;
    const attn_shape s = attn_shape_of(j->c->cfg);
    const row_norm norm[2] = {head_norm(j->c, 0), head_norm(j->c, 1)};
    const real *scale = normed_scales(j->c, &s);
    real *dgain = j->c->extra.work + (size_t)task * 2 * s.d_head;
    memset(dgain, 0, 2 * s.d_head * sizeof *dgain);
    for (size_t i = (size_t)task * NORMED_ROWS; i < normed_end(j->c, (size_t)task); i++)
        for (size_t h = 0; h < s.heads + s.kv_heads; h++) {
            const int is_key = h >= s.heads;
            real *dx = j->qkv + i * s.row + h * s.d_head,
                 *raw = j->c->extra.saved + i * (s.q + s.kv) + h * s.d_head;
            const real rstd = scale[i * (s.heads + s.kv_heads) + h];
            norm[is_key].op->backward(&norm[is_key], dx, raw, 0, rstd, NULL, dgain + (size_t)is_key * s.d_head,
                                      NULL);
            kernels_get()->rms_through(dx, raw, norm[is_key].gain, s.d_head, rstd);
        }
}

void attn_linear(const attn_call *c, rows r, size_t in, size_t out, const real *x, size_t ldx, matrix w,
                 const real *bias, real *y, size_t ldy)
{
    if (c->kept)
        linear_rows(c->pool, r, in, out, x, ldx, w, bias, y, ldy);
    else
        linear_forward(c->pool, r, in, out, x, ldx, w, bias, y, ldy);
}

void attn_project(const attn_call *c, const real *x, matrix w, real *qkv, int with_q)
{
    const attn_shape s = attn_shape_of(c->cfg);
    const size_t m = (size_t)c->cfg->d_model;
    const real *bias = c->extra.qkv_bias;
    const size_t apart = c->kept ? s.row : s.q; /* a step's bits are the same in one product */
    if (with_q) attn_linear(c, attn_rows(c), m, apart, x, m, matrix_rows(w, m, 0, apart), bias, qkv, s.row);
    if (apart < s.row)
        attn_linear(c, attn_rows(c), m, 2 * s.kv, x, m, matrix_rows(w, m, s.q, 2 * s.kv), bias ? bias + s.q : NULL,
                    qkv + s.q, s.row);
    if (!c->extra.q_gain) return;
    normed_job job = {c, qkv, with_q ? 0 : s.heads};
    pool_run(c->pool, (int)normed_tasks(attn_row_count(c)), norm_heads, &job);
}

void attn_project_backward(const attn_call *c, const real *x, const real *w, real *dqkv, real *dw, real *dx)
{
    const attn_shape s = attn_shape_of(c->cfg);
    const size_t m = (size_t)c->cfg->d_model;
    if (c->extra.q_gain) {
        normed_job job = {c, dqkv, 0};
        const size_t tasks = normed_tasks(attn_row_count(c));
        pool_run(c->pool, (int)tasks, norm_heads_backward, &job);
        attn_add_rows(c->extra.dq_gain, c->extra.work, 2 * s.d_head, tasks, s.d_head);
        attn_add_rows(c->extra.dk_gain, c->extra.work + s.d_head, 2 * s.d_head, tasks, s.d_head);
    }
    linear_backward_weight(c->pool, attn_rows(c), m, s.row, x, m, dqkv, s.row, dw, c->extra.dqkv_bias);
    linear_backward_input(c->pool, attn_rows(c), m, s.row, dqkv, s.row, w, dx, m, 0);
}

void attn_output(const attn_call *c, const real *o, matrix w, real *y)
{
    size_t d = attn_width(c->cfg), m = (size_t)c->cfg->d_model;
    attn_linear(c, attn_rows(c), d, m, o, d, w, c->extra.o_bias, y, m);
}

void attn_output_backward(const attn_call *c, const real *o, const real *w, const real *dy, real *dw, real *d_o)
{
    size_t d = attn_width(c->cfg), m = (size_t)c->cfg->d_model;
    linear_backward_weight(c->pool, attn_rows(c), d, m, o, d, dy, m, dw, c->extra.do_bias);
    linear_backward_input(c->pool, attn_rows(c), d, m, dy, m, w, d_o, d, 0);
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
    const attn_shape s = attn_shape_of(c->cfg);
    const size_t n = (size_t)c->cfg->segment, query = lane * n, key = lane * (a->cached + n);
    const size_t column = head * s.d_head, shared = head / s.group * s.d_head;
    const size_t exist = c->seen[lane] < a->cached ? (size_t)c->seen[lane] : a->cached;
    return (causal_args){
        .queries = n,
        .offset = a->cached,
        .key_begin = a->cached - exist,
        .span = a->span,
        .d_head = s.d_head,
        .scale = a->scale,
        .q = a->q + query * a->ldq + column,
        .k = a->k + key * a->ldk + shared,
        .v = a->v + key * a->ldv + shared,
        .ldq = a->ldq,
        .ldk = a->ldk,
        .ldv = a->ldv,
        .q_rel = a->rel ? a->q_rel + query * a->ldq_rel + column : NULL,
        .rel = a->rel ? a->rel + column : NULL,
        .ldq_rel = a->ldq_rel,
        .ldrel = a->ldrel,
    };
}

static void head_task(void *arg, int task, int worker)
{
    const heads_job *j = arg;
    const attn_call *c = j->c;
    const size_t heads = (size_t)c->cfg->n_heads, n = (size_t)c->cfg->segment, d = attn_width(c->cfg);
    const size_t lane = (size_t)task / heads, head = (size_t)task % heads;
    const causal_args args = head_args(c, j->a, lane, head);
    causal_forward(&args, j->a->o + lane * n * d + head * (size_t)c->cfg->d_head, d,
                   j->a->lse + lane * n * heads + head, heads, c->scratch + (size_t)worker * c->scratch_stride);
}

static void head_backward(const heads_job *j, size_t lane, size_t head, real *scratch)
{
    const attn_call *c = j->c;
    const attn_heads *a = j->a;
    const attn_heads_grads *g = j->g;
    const attn_shape s = attn_shape_of(c->cfg);
    const size_t n = (size_t)c->cfg->segment, query = lane * n, key = lane * (a->cached + n);
    const size_t column = head * s.d_head, shared = head / s.group * s.d_head;
    const causal_args args = head_args(c, a, lane, head);
    const causal_grads grads = {
        .o = a->o + query * s.q + column,
        .d_o = g->d_o + query * s.q + column,
        .ldo = s.q,
        .ldd_o = s.q,
        .lse = a->lse + query * s.heads + head,
        .lse_stride = s.heads,
        .dq = g->dq + query * g->lddq + column,
        .dk = g->dk + key * g->lddk + shared,
        .dv = g->dv + key * g->lddv + shared,
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

/* The query heads of one key head one after the other: they add to the same gradients. */
static void group_backward_task(void *arg, int task, int worker)
{
    const heads_job *j = arg;
    const attn_shape s = attn_shape_of(j->c->cfg);
    const size_t lane = (size_t)task / s.kv_heads, first = (size_t)task % s.kv_heads * s.group;
    for (size_t head = first; head < first + s.group; head++)
        head_backward(j, lane, head, j->c->scratch + (size_t)worker * j->c->scratch_stride);
}

void attn_heads_forward(const attn_call *c, const attn_heads *a)
{
    heads_job j = {c, a, NULL};
    pool_run(c->pool, (int)(c->lanes * (size_t)c->cfg->n_heads), head_task, &j);
}

/* Rows of a lane of the step that one task attends with. */
static size_t step_blocks(const attn_call *c)
{
    return (c->count + CAUSAL_ROWS - 1) / CAUSAL_ROWS;
}

static void head_step_task(void *arg, int task, int worker)
{
    const heads_job *j = arg;
    const attn_call *c = j->c;
    const attn_heads *a = j->a;
    const attn_shape s = attn_shape_of(c->cfg);
    const size_t block = (size_t)task / s.heads, head = (size_t)task % s.heads, column = head * s.d_head;
    const size_t lane = block / step_blocks(c), begin = block % step_blocks(c) * CAUSAL_ROWS;
    const size_t left = c->count - begin, count = left < CAUSAL_ROWS ? left : CAUSAL_ROWS;
    const size_t row = lane * c->count + begin;
    causal_args args = head_args(c, a, lane, head);
    args.q = a->q + row * a->ldq + column;
    args.q_rel = a->rel ? a->q_rel + row * a->ldq_rel + column : NULL;
    causal_rows(&args, c->first + begin, count, a->o + row * s.q + column, s.q, a->lse + row * s.heads + head,
                s.heads, c->scratch + (size_t)worker * c->scratch_stride);
}

void attn_heads_step(const attn_call *c, const attn_heads *a)
{
    heads_job j = {c, a, NULL};
    pool_run(c->pool, (int)(c->lanes * step_blocks(c) * (size_t)c->cfg->n_heads), head_step_task, &j);
}

void attn_heads_backward(const attn_call *c, const attn_heads *a, const attn_heads_grads *g)
{
    heads_job j = {c, a, g};
    pool_run(c->pool, (int)(c->lanes * attn_shape_of(c->cfg).kv_heads), group_backward_task, &j);
}

real attn_sigmoid(real x)
{
    return (real)(1.0 / (1.0 + exp(-(double)x)));
}

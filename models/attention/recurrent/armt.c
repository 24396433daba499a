/* Associative Recurrent Memory Transformer (Rodkin et al. 2024, arXiv 2407.04841): memory tokens behind a
 * segment's own, and an associative memory in every layer that they write and all rows read. Attention is causal
 * over the rows of one segment.
 *
 *   read   x += f(W_q x) A / (f(W_q x) z + eps)            before the block, from a stream's second segment on
 *   write  A += b f(k)^T (v - f(k) A / (f(k) z + eps))     after it, of the rows m of the memory tokens:
 *          z += g f(k),  g = clip(1 - f(k) z / (|f(k)|^2 + eps), 0, 1)
 *          k = W_k m, v = W_v m, b = sigmoid(w m + c); in the first segment nothing is read, and g = 1
 *
 * f is DPFP-3 (Schlag et al. 2021): r = relu([a, -a]), f = [r * roll(r, 1), r * roll(r, 2), r * roll(r, 3)]. No
 * gradient runs through g, as in the authors' code. All tokens of a segment are written against the A and z of
 * before.
 *
 * State of a lane, all of which carries gradients: for each layer A [F, d_model] and z [F], F = 6 memory_width. */
#include "models/attention/local.h"

#include "models/attention/common.h"
#include "models/attention/modules.h"
#include "models/attention/recurrence.h"
#include "models/engine/kernels.h"

#include <string.h>

enum { ROPE_BASE, TOKENS, WIDTH };
enum { PARAM_MEMORY, PARAM_Q, PARAM_K, PARAM_V, PARAM_WRITE, PARAM_BIAS, PARAMS };
enum { ROLLS = 3, BLOCK = 64 };
static const real eps = (real)1e-5;

static const kv_spec options[] = {
    LOCAL_ROPE_OPTION,
    {"memory_tokens", KV_SIZE, OPTION(TOKENS), "16", 1, 1 << 16, NULL, "memory tokens of a segment"},
    {"memory_width", KV_SIZE, OPTION(WIDTH), "64", 1, 1 << 14, NULL,
     "width of the associative memory's keys, before f makes six times as many"},
};

/* Sizes of a config, and where a call's numbers lie. */
typedef struct plan {
    size_t d, n, p, width, features; /* d_model, rows of a lane, memory tokens, memory_width, F */
    size_t lanes, rows, tokens;      /* rows, memory tokens of all lanes */
    size_t state;                    /* reals of a layer's A and z */
} plan;

static plan plan_of(const model_config *cfg, size_t lanes)
{
    plan p = {.d = (size_t)cfg->d_model, .p = (size_t)cfg->option[TOKENS].i, .lanes = lanes};
    p.n = (size_t)cfg->segment + p.p;
    p.width = (size_t)cfg->option[WIDTH].i;
    p.features = 2 * ROLLS * p.width;
    p.rows = lanes * p.n;
    p.tokens = lanes * p.p;
    p.state = p.features * (p.d + 1);
    return p;
}

/* What a layer leaves for backward. */
typedef struct layer_saved {
    real *x, *q, *read, *den;  /* [R, d] before the read, [R, width], [R, d], [R] */
    real *m, *k, *f, *v, *old; /* of the memory tokens: [., d], [., width], [., F], [., d], [., d] */
    real *b, *old_den, *g;     /* [.] each */
    real *state;               /* [lanes, F (d + 1)] before the write */
} layer_saved;

/* Shared by all layers. */
typedef struct work {
    real *f, *df, *dq, *dread;          /* [R, F] twice, [R, width], [R, d] */
    real *target, *dtarget, *dk, *dkey; /* of the memory tokens: [., d] twice, [., width], [., F] */
    real *db, *dm;                      /* [.], [., d] */
} work;

static size_t saved_layout(const plan *p, real *base, layer_saved *out)
{
    const size_t part[] = {p->rows * p->d,
                           p->rows * p->width,
                           p->rows * p->d,
                           p->rows,
                           p->tokens * p->d,
                           p->tokens * p->width,
                           p->tokens * p->features,
                           p->tokens * p->d,
                           p->tokens * p->d,
                           p->tokens,
                           p->tokens,
                           p->tokens,
                           p->lanes * p->state};
    real *at[13];
    const size_t used = attn_carve(base, part, 13, at);
    if (out)
        *out = (layer_saved){at[0], at[1], at[2], at[3],  at[4],  at[5], at[6],
                             at[7], at[8], at[9], at[10], at[11], at[12]};
    return used;
}

static size_t work_layout(const plan *p, real *base, work *out)
{
    const size_t part[] = {
        p->rows * p->features, p->rows * p->features, p->rows * p->width,      p->rows * p->d, p->tokens * p->d,
        p->tokens * p->d,      p->tokens * p->width,  p->tokens * p->features, p->tokens,      p->tokens * p->d};
    real *at[10];
    const size_t used = attn_carve(base, part, 10, at);
    if (out) *out = (work){at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7], at[8], at[9]};
    return used;
}

static size_t saved_reals(const model_config *cfg, size_t lanes)
{
    const plan p = plan_of(cfg, lanes);
    return (size_t)cfg->n_layers * saved_layout(&p, NULL, NULL) + work_layout(&p, NULL, NULL);
}

/* A call at a layer. */
typedef struct job {
    const recurrence_call *c;
    plan p;
    layer_saved s;
    work w;
    size_t layer;
    real *x; /* [R, d]: rows, or their gradient */
} job;

static job job_of(const recurrence_call *c, size_t layer, real *x)
{
    job j = {.c = c, .p = plan_of(c->cfg, c->lanes), .layer = layer, .x = x};
    const size_t one = saved_layout(&j.p, NULL, NULL);
    saved_layout(&j.p, c->saved + layer * one, &j.s);
    work_layout(&j.p, c->saved + (size_t)c->cfg->n_layers * one, &j.w);
    return j;
}

static int reads(const job *j, size_t lane)
{
    return j->c->seen[lane] > 0 && j->c->valid[lane] > 0;
}

/* A layer's rows of a parameter of [n_layers * out, d]. */
static matrix layer_matrix(const job *j, size_t param, size_t out)
{
    return (matrix){.w = j->c->param[param] + j->layer * out * j->p.d};
}

static rows lane_rows(const job *j, size_t count)
{
    return (rows){j->p.lanes, count};
}

/* ---- DPFP-3 ---- */

/* Element i of relu([a, -a]). */
static real part(const real *a, size_t width, size_t i)
{
    const real value = i < width ? a[i] : -a[i - width];
    return value > 0 ? value : 0;
}

static void feature(real *f, const real *a, size_t width)
{
    for (size_t roll = 1; roll <= ROLLS; roll++)
        for (size_t i = 0; i < 2 * width; i++)
            *f++ = part(a, width, i) * part(a, width, (i + 2 * ROLLS * width - roll) % (2 * width));
}

/* da += through f */
static void feature_backward(real *da, const real *df, const real *a, size_t width)
{
    const size_t both = 2 * width;
    for (size_t i = 0; i < both; i++) {
        real sum = 0;
        if (part(a, width, i) == 0) continue;
        for (size_t roll = 1; roll <= ROLLS; roll++) {
            const real *row = df + (roll - 1) * both;
            sum += row[i] * part(a, width, (i + ROLLS * both - roll) % both);
            sum += row[(i + roll) % both] * part(a, width, (i + roll) % both);
        }
        if (i < width)
            da[i] += sum;
        else
            da[i - width] -= sum;
    }
}

/* out[count, d] = f A / (f z + eps) */
static void recall(const plan *p, const real *f, size_t count, const real *state, real *out, real *den)
{
    const kernels *k = kernels_get();
    gemm(0, 0, count, p->d, p->features, 1, f, p->features, state, p->d, 0, out, p->d);
    for (size_t i = 0; i < count; i++) {
        den[i] = k->dot(f + i * p->features, state + p->features * p->d, p->features) + eps;
        k->scale(out + i * p->d, 1 / den[i], p->d);
    }
}

/* From dout[count, d], which is overwritten: df and dstate are added to. */
static void recall_backward(const plan *p, const real *f, size_t count, const real *state, const real *out,
                            const real *den, real *dout, real *df, real *dstate)
{
    const kernels *k = kernels_get();
    const size_t z = p->features * p->d;
    for (size_t i = 0; i < count; i++) {
        const real dden = -k->dot(dout + i * p->d, out + i * p->d, p->d) / den[i];
        k->scale(dout + i * p->d, 1 / den[i], p->d);
        k->axpy(df + i * p->features, dden, state + z, p->features);
        k->axpy(dstate + z, dden, f + i * p->features, p->features);
    }
    gemm(0, 1, count, p->features, p->d, 1, dout, p->d, state, p->d, 1, df, p->features);
    gemm(1, 0, p->features, p->d, count, 1, f, p->features, dout, p->d, 1, dstate, p->d);
}

/* ---- reading ---- */

static size_t blocks(const plan *p)
{
    return (p->n + BLOCK - 1) / BLOCK;
}

static void read_block(void *arg, int task, int worker)
{
    (void)worker;
    const job *j = arg;
    const plan *p = &j->p;
    const size_t lane = (size_t)task / blocks(p), begin = (size_t)task % blocks(p) * BLOCK;
    const size_t count = p->n - begin < BLOCK ? p->n - begin : BLOCK, row = lane * p->n + begin;
    real *f = j->w.f + row * p->features;
    if (!reads(j, lane)) return;
    for (size_t i = 0; i < count; i++) feature(f + i * p->features, j->s.q + (row + i) * p->width, p->width);
    recall(p, f, count, j->c->state[lane] + j->layer * p->state, j->s.read + row * p->d, j->s.den + row);
    kernels_get()->axpy(j->x + row * p->d, 1, j->s.read + row * p->d, count * p->d);
}

static void layer_enter(const recurrence_call *c, size_t layer, real *x)
{
    job j = job_of(c, layer, x);
    const plan *p = &j.p;
    memcpy(j.s.x, x, p->rows * p->d * sizeof *x);
    linear_forward(c->pool, lane_rows(&j, p->n), p->d, p->width, x, p->d, layer_matrix(&j, PARAM_Q, p->width),
                   NULL, j.s.q, p->width);
    pool_run(c->pool, (int)(p->lanes * blocks(p)), read_block, &j);
}

static void read_backward(void *arg, int task, int worker)
{
    (void)worker;
    const job *j = arg;
    const plan *p = &j->p;
    const size_t lane = (size_t)task, row = lane * p->n;
    real *f = j->w.f + row * p->features, *df = j->w.df + row * p->features, *dq = j->w.dq + row * p->width;
    memset(dq, 0, p->n * p->width * sizeof *dq);
    if (!reads(j, lane)) return;
    memset(df, 0, p->n * p->features * sizeof *df);
    memcpy(j->w.dread + row * p->d, j->x + row * p->d, p->n * p->d * sizeof *df);
    for (size_t i = 0; i < p->n; i++) feature(f + i * p->features, j->s.q + (row + i) * p->width, p->width);
    recall_backward(p, f, p->n, j->s.state + lane * p->state, j->s.read + row * p->d, j->s.den + row,
                    j->w.dread + row * p->d, df, j->c->dstate[lane] + j->layer * p->state);
    for (size_t i = 0; i < p->n; i++)
        feature_backward(dq + i * p->width, df + i * p->features, j->s.q + (row + i) * p->width, p->width);
}

/* A product's weights and what it read; dx [., d] is added to. */
static void product_backward(const job *j, size_t param, size_t count, size_t out, const real *x, const real *dy,
                             real *dx, real *dbias)
{
    const size_t at = j->layer * out * j->p.d;
    linear_backward_weight(j->c->pool, lane_rows(j, count), j->p.d, out, x, j->p.d, dy, out,
                           j->c->grad[param] ? j->c->grad[param] + at : NULL, dbias);
    linear_backward_input(j->c->pool, lane_rows(j, count), j->p.d, out, dy, out, j->c->param[param] + at, dx,
                          j->p.d, 1);
}

static void layer_enter_backward(const recurrence_call *c, size_t layer, real *dx)
{
    job j = job_of(c, layer, dx);
    pool_run(c->pool, (int)c->lanes, read_backward, &j);
    product_backward(&j, PARAM_Q, j.p.n, j.p.width, j.s.x, j.w.dq, dx, NULL);
}

/* ---- writing ---- */

static void write_lane(void *arg, int task, int worker)
{
    (void)worker;
    const job *j = arg;
    const plan *p = &j->p;
    const kernels *k = kernels_get();
    const size_t lane = (size_t)task, at = lane * p->p;
    real *state = j->c->state[lane] + j->layer * p->state, *z = state + p->features * p->d;
    real *f = j->s.f + at * p->features, *old = j->s.old + at * p->d, *target = j->w.target + at * p->d;
    memcpy(j->s.state + lane * p->state, state, p->state * sizeof *state);
    if (j->c->valid[lane] == 0) return;
    for (size_t i = 0; i < p->p; i++) {
        real *key = f + i * p->features;
        feature(key, j->s.k + (at + i) * p->width, p->width);
        const real share = 1 - k->dot(key, z, p->features) / (k->dot(key, key, p->features) + eps);
        j->s.g[at + i] = !reads(j, lane) ? 1 : share < 0 ? 0 : share > 1 ? 1 : share;
        j->s.b[at + i] = attn_sigmoid(j->s.b[at + i]);
    }
    if (reads(j, lane))
        recall(p, f, p->p, state, old, j->s.old_den + at);
    else
        memset(old, 0, p->p * p->d * sizeof *old);
    for (size_t i = 0; i < p->p; i++) {
        const real b = j->s.b[at + i];
        k->blend(target + i * p->d, b, j->s.v + (at + i) * p->d, -b, old + i * p->d, p->d);
        k->axpy(z, j->s.g[at + i], f + i * p->features, p->features);
    }
    gemm(1, 0, p->features, p->d, p->p, 1, f, p->features, target, p->d, 1, state, p->d);
}

static void layer_leave(const recurrence_call *c, size_t layer, const real *x)
{
    job j = job_of(c, layer, NULL);
    const plan *p = &j.p;
    const rows r = lane_rows(&j, p->p);
    for (size_t lane = 0; lane < c->lanes; lane++)
        memcpy(j.s.m + lane * p->p * p->d, x + (lane * p->n + c->valid[lane]) * p->d, p->p * p->d * sizeof *x);
    linear_forward(c->pool, r, p->d, p->width, j.s.m, p->d, layer_matrix(&j, PARAM_K, p->width), NULL, j.s.k,
                   p->width);
    linear_forward(c->pool, r, p->d, p->d, j.s.m, p->d, layer_matrix(&j, PARAM_V, p->d), NULL, j.s.v, p->d);
    linear_forward(c->pool, r, p->d, 1, j.s.m, p->d, layer_matrix(&j, PARAM_WRITE, 1),
                   c->param[PARAM_BIAS] + layer, j.s.b, 1);
    pool_run(c->pool, (int)c->lanes, write_lane, &j);
}

static void write_backward(void *arg, int task, int worker)
{
    (void)worker;
    const job *j = arg;
    const plan *p = &j->p;
    const kernels *k = kernels_get();
    const size_t lane = (size_t)task, at = lane * p->p;
    const real *old = j->s.old + at * p->d, *f = j->s.f + at * p->features;
    real *dstate = j->c->dstate[lane] + j->layer * p->state, *target = j->w.target + at * p->d;
    real *dtarget = j->w.dtarget + at * p->d, *dkey = j->w.dkey + at * p->features, *dk = j->w.dk + at * p->width;
    memset(dk, 0, p->p * p->width * sizeof *dk);
    memset(j->w.db + at, 0, p->p * sizeof *dk);
    memset(dtarget, 0, p->p * p->d * sizeof *dk);
    if (j->c->valid[lane] == 0) return;
    for (size_t i = 0; i < p->p; i++) {
        const real b = j->s.b[at + i];
        k->blend(target + i * p->d, b, j->s.v + (at + i) * p->d, -b, old + i * p->d, p->d);
    }
    gemm(0, 0, p->p, p->d, p->features, 1, f, p->features, dstate, p->d, 0, dtarget, p->d);
    gemm(0, 1, p->p, p->features, p->d, 1, target, p->d, dstate, p->d, 0, dkey, p->features);
    for (size_t i = 0; i < p->p; i++) {
        const real b = j->s.b[at + i];
        real *row = dtarget + i * p->d;
        k->axpy(dkey + i * p->features, j->s.g[at + i], dstate + p->features * p->d, p->features);
        const real through = k->dot(row, j->s.v + (at + i) * p->d, p->d) - k->dot(row, old + i * p->d, p->d);
        j->w.db[at + i] = through * b * (1 - b);
        k->scale(row, b, p->d); /* now the gradient of v */
        k->blend(target + i * p->d, -1, row, 0, row, p->d);
    }
    if (reads(j, lane))
        recall_backward(p, f, p->p, j->s.state + lane * p->state, old, j->s.old_den + at, target, dkey, dstate);
    for (size_t i = 0; i < p->p; i++)
        feature_backward(dk + i * p->width, dkey + i * p->features, j->s.k + (at + i) * p->width, p->width);
}

static void layer_leave_backward(const recurrence_call *c, size_t layer, real *dx)
{
    job j = job_of(c, layer, dx);
    const plan *p = &j.p;
    pool_run(c->pool, (int)c->lanes, write_backward, &j);
    memset(j.w.dm, 0, p->tokens * p->d * sizeof *dx);
    product_backward(&j, PARAM_K, p->p, p->width, j.s.m, j.w.dk, j.w.dm, NULL);
    product_backward(&j, PARAM_V, p->p, p->d, j.s.m, j.w.dtarget, j.w.dm, NULL);
    product_backward(&j, PARAM_WRITE, p->p, 1, j.s.m, j.w.db, j.w.dm,
                     c->grad[PARAM_BIAS] ? c->grad[PARAM_BIAS] + layer : NULL);
    for (size_t lane = 0; lane < c->lanes; lane++)
        kernels_get()->axpy(dx + (lane * p->n + c->valid[lane]) * p->d, 1, j.w.dm + lane * p->p * p->d,
                            p->p * p->d);
}

/* ---- the memory tokens ---- */

static void enter(const recurrence_call *c, real *x)
{
    const plan p = plan_of(c->cfg, c->lanes);
    for (size_t lane = 0; lane < c->lanes; lane++)
        if (c->valid[lane] > 0)
            memcpy(x + (lane * p.n + c->valid[lane]) * p.d, c->param[PARAM_MEMORY], p.p * p.d * sizeof *x);
}

static void enter_backward(const recurrence_call *c, real *dx)
{
    const plan p = plan_of(c->cfg, c->lanes);
    for (size_t lane = 0; c->grad[PARAM_MEMORY] && lane < c->lanes; lane++)
        if (c->valid[lane] > 0)
            kernels_get()->axpy(c->grad[PARAM_MEMORY], 1, dx + (lane * p.n + c->valid[lane]) * p.d, p.p * p.d);
}

static size_t memory_params(const model_config *cfg, param_spec *spec)
{
    const plan p = plan_of(cfg, 1);
    const size_t layers = (size_t)cfg->n_layers;
    spec[PARAM_MEMORY] = (param_spec){"memory.weight", p.p, p.d, INIT_NORMAL, 0, PARAM_NO_DECAY};
    spec[PARAM_Q] = (param_spec){"associative.q.weight", layers * p.width, p.d, INIT_NORMAL, 0, 0};
    spec[PARAM_K] = (param_spec){"associative.k.weight", layers * p.width, p.d, INIT_NORMAL, 0, 0};
    spec[PARAM_V] = (param_spec){"associative.v.weight", layers * p.d, p.d, INIT_CONSTANT, 0, 0};
    spec[PARAM_WRITE] = (param_spec){"associative.write.weight", layers, p.d, INIT_NORMAL, 0, PARAM_NO_DECAY};
    spec[PARAM_BIAS] = (param_spec){"associative.write.bias", 1, layers, INIT_CONSTANT, 0, PARAM_NO_DECAY};
    return PARAMS;
}

static size_t memory_state(const model_config *cfg)
{
    return (size_t)cfg->n_layers * plan_of(cfg, 1).state;
}

static size_t memory_rows(const model_config *cfg)
{
    return plan_of(cfg, 1).p;
}

static void memory_place(const model_config *cfg, uint64_t seen, size_t *before, size_t *behind)
{
    (void)seen;
    *before = 0;
    *behind = memory_rows(cfg);
}

static const recurrence memory = {
    .name = "armt",
    .params = memory_params,
    .state_reals = memory_state,
    .saved_reals = saved_reals,
    .rows = memory_rows,
    .place = memory_place,
    .enter = enter,
    .enter_backward = enter_backward,
    .layer_enter = layer_enter,
    .layer_leave = layer_leave,
    .layer_leave_backward = layer_leave_backward,
    .layer_enter_backward = layer_enter_backward,
};

/* ---- the row of the table ---- */

/* Of a row: local attention, W_q and the read. The few memory tokens' keys and values are left out. */
static double flops(const model_config *cfg, size_t layer, double context)
{
    const plan p = plan_of(cfg, 1);
    return local_flops(cfg, layer, context) + 2 * (double)p.d * (double)(p.width + p.features);
}

static double memory_entries(const model_config *cfg)
{
    return (double)memory_state(cfg);
}

const attn_module attn_armt = {
    .name = "armt",
    .summary =
        "Associative Recurrent Memory Transformer: memory tokens write to every layer's memory (2407.04841)",
    .memory_formula = "6 d_mem (d_model + 1) l",
    .memory_entries = memory_entries,
    .above = &memory,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .params = local_params,
    .sizes = local_sizes,
    .table_fill = local_table_fill,
    .forward = local_forward,
    .backward = local_backward,
    .flops = flops,
};

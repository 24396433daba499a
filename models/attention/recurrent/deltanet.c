/* DeltaNet (Yang et al. 2024, arXiv 2406.06484) and Gated DeltaNet (Yang et al. 2024, arXiv 2412.06464): a state
 * of fixed size that is corrected towards each new value, and in the gated one decays. No softmax and no
 * positions.
 *
 * q, k and v pass a short causal convolution over time and SiLU; q and k of each head are made of unit length. The
 * rule itself is in delta_rule.h, with write strength b = beta_max sigmoid(w x) and log decay
 * g = -exp(A_log) softplus(a x + dt_bias). What is read is RMS-normed, head by head, and gated by SiLU(G x).
 *
 * Where query heads share key heads, a state belongs to a key head and its query heads read it.
 *
 * State of a lane, all of which carries gradients: S [H_kv, d_k, d_v], then the newest width - 1 rows of q, k and
 * v before the convolution, the newest last. */
#include "models/attention/common.h"
#include "models/attention/modules.h"
#include "models/attention/recurrent/delta_rule.h"
#include "models/engine/kernels.h"

#include <math.h>
#include <string.h>

enum { EXPAND_V, CONV, BETA_MAX, OUTPUT_GATE };
enum { PARAM_QKV, PARAM_O, PARAM_CONV, PARAM_BETA, PARAM_NORM, PARAM_G };
enum { DECAY_A, DECAY_LOG, DECAY_BIAS, DECAY_PARAMS }; /* behind the others */
enum { ROW_BLOCK = 32, COLUMN_BLOCK = 64 };
static const real unit_eps = (real)1e-6;

static const kv_spec options[] = {
    {"expand_v", KV_INT, OPTION(EXPAND_V), "1", 1, 16, NULL, "width of a head's values, in times d_head"},
    {"conv_width", KV_INT, OPTION(CONV), "4", 1, 64, NULL,
     "tokens that the short convolution of q, k and v spans"},
    {"beta_max", KV_CHOICE, OPTION(BETA_MAX), "1", 0, 0, "1|2",
     "largest write strength; 2: the state's matrix may have negative eigenvalues"},
    {"output_gate", KV_CHOICE, OPTION(OUTPUT_GATE), "1", 0, 0, "0|1", "what is read is gated by SiLU(G x)"},
};

/* What a config says. */
typedef struct plan {
    attn_shape s;
    size_t n, all, d_v, row, out, width; /* row: reals of q, k and v; out: H d_v */
    size_t matrix, memory;               /* reals of one S; of all */
    size_t decay;                        /* index of the decay's first parameter; 0: none */
    int gated_output;
    real beta_max;
} plan;

static plan plan_of(const model_config *cfg, size_t lanes)
{
    plan p = {.s = attn_shape_of(cfg), .n = (size_t)cfg->segment, .width = (size_t)cfg->option[CONV].i};
    p.all = lanes * p.n;
    p.d_v = p.s.d_head * (size_t)cfg->option[EXPAND_V].i;
    p.row = p.s.q + p.s.kv + p.s.kv_heads * p.d_v;
    p.out = p.s.heads * p.d_v;
    p.matrix = p.s.d_head * p.d_v;
    p.memory = p.s.kv_heads * p.matrix;
    p.gated_output = cfg->option[OUTPUT_GATE].i == 1;
    p.beta_max = (real)(1 + cfg->option[BETA_MAX].i);
    if (cfg->attention == &attn_gated_deltanet) p.decay = PARAM_G + (size_t)p.gated_output;
    return p;
}

static int check(const model_config *cfg, pal_error *err)
{
    if (cfg->attn_bias != ATTN_BIAS_NONE || cfg->qk_norm != QK_NORM_NONE)
        return pal_fail(err, PAL_USAGE,
                        "attention=%s has no biases and norms q and k itself; use attn_bias=none "
                        "qk_norm=none",
                        cfg->attention->name);
    return PAL_OK;
}

static size_t params(const model_config *cfg, size_t layer, param_spec *spec)
{
    (void)layer;
    const plan p = plan_of(cfg, 1);
    const size_t m = (size_t)cfg->d_model, heads = p.s.kv_heads;
    const double conv = 1 / sqrt(3 * (double)p.width); /* as PyTorch draws it */
    spec[PARAM_QKV] = (param_spec){"qkv_net.weight", p.row, m, INIT_NORMAL, 0, 0};
    spec[PARAM_O] = (param_spec){"o_net.weight", m, p.out, INIT_NORMAL, 0, 0};
    spec[PARAM_CONV] = (param_spec){"conv.weight", p.width, p.row, INIT_NORMAL, conv, PARAM_NO_DECAY};
    spec[PARAM_BETA] = (param_spec){"beta_net.weight", heads, m, INIT_NORMAL, 0, 0};
    spec[PARAM_NORM] = (param_spec){"o_norm.weight", 1, p.d_v, INIT_CONSTANT, 1, PARAM_NO_DECAY};
    if (p.gated_output) spec[PARAM_G] = (param_spec){"g_net.weight", p.out, m, INIT_NORMAL, 0, 0};
    if (!p.decay) return PARAM_G + (size_t)p.gated_output;
    spec[p.decay + DECAY_A] = (param_spec){"a_net.weight", heads, m, INIT_NORMAL, 0, 0};
    spec[p.decay + DECAY_LOG] = (param_spec){"A_log", 1, heads, INIT_LOG_UNIFORM, 16, PARAM_NO_DECAY};
    spec[p.decay + DECAY_BIAS] = (param_spec){"dt_bias", 1, heads, INIT_TIME_STEP, 0.1, PARAM_NO_DECAY};
    return p.decay + DECAY_PARAMS;
}

/* ---- sizes ---- */

typedef struct saved {
    real *raw, *pre, *act; /* [R, row]: before the convolution, after it, and as the rule reads it */
    real *unit;            /* [R, H + H_kv] 1 / length of q and k */
    real *tail;            /* [lanes, width - 1, row] as it was before the segment */
    real *b, *a, *g;       /* [R, H_kv]: write strength; a x; log decay */
    real *u, *start;       /* of delta_head, [lanes, H_kv] of them */
    real *o, *rstd;        /* [R, H d_v] what is read, [R, H] of its norm */
    real *gate, *mixed;    /* [R, H d_v] */
} saved;

static size_t saved_layout(const plan *p, size_t lanes, real *base, saved *out)
{
    const size_t heads = p->s.kv_heads, decay = p->decay ? p->all * heads : 0;
    const size_t part[] = {p->all * p->row,
                           p->all * p->row,
                           p->all * p->row,
                           p->all * (p->s.heads + heads),
                           lanes * (p->width - 1) * p->row,
                           p->all * heads,
                           decay,
                           decay,
                           p->all * heads * p->d_v,
                           lanes * delta_chunks(p->n) * p->memory,
                           p->all * p->out,
                           p->all * p->s.heads,
                           p->gated_output ? p->all * p->out : 0,
                           p->all * p->out};
    real *at[14];
    const size_t used = attn_carve(base, part, 14, at);
    if (out)
        *out = (saved){at[0], at[1], at[2], at[3],  at[4],  at[5],  at[6],
                       at[7], at[8], at[9], at[10], at[11], at[12], at[13]};
    return used;
}

typedef struct work {
    real *dact, *draw;    /* [R, row] */
    real *db, *da, *dlog; /* [R, H_kv]; dlog: of A_log */
    real *d_o, *dmixed;   /* [R, H d_v] */
    real *dgate;          /* [R, H d_v] */
    real *dgain;          /* [tasks, d_v] sums of the norm's gradient */
} work;

static size_t row_tasks(const plan *p)
{
    return (p->all + ROW_BLOCK - 1) / ROW_BLOCK;
}

static size_t work_layout(const plan *p, real *base, work *out)
{
    const size_t heads = p->all * p->s.kv_heads, decay = p->decay ? heads : 0, out_rows = p->all * p->out;
    const size_t part[] = {p->all * p->row,
                           p->all * p->row,
                           heads,
                           decay,
                           decay,
                           out_rows,
                           out_rows,
                           p->gated_output ? out_rows : 0,
                           row_tasks(p) * p->d_v};
    real *at[9];
    const size_t used = attn_carve(base, part, 9, at);
    if (out) *out = (work){at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7], at[8]};
    return used;
}

static void sizes(const model_config *cfg, size_t layer, size_t lanes, attn_sizes *out)
{
    (void)layer;
    const plan p = plan_of(cfg, lanes);
    const size_t rule = delta_scratch(p.n, p.s.d_head, p.d_v);
    out->state = out->state_grad = p.memory + (p.width - 1) * p.row;
    out->saved = saved_layout(&p, lanes, NULL, NULL);
    out->scratch = rule > 2 * p.row + p.d_v ? rule : 2 * p.row + p.d_v;
    out->work = work_layout(&p, NULL, NULL);
    out->reach = ATTN_ENDLESS;
    out->settles = 1; /* nothing depends on where in the stream a token stands */
}

/* ---- rows: convolution, SiLU, unit length ---- */

typedef struct job {
    const attn_call *c;
    plan p;
    saved s;
    work w;
    size_t from; /* first real of a row that is needed: 0, or that of k where no output is */
} job;

static job job_of(const attn_call *c)
{
    job j = {.c = c, .p = plan_of(c->cfg, c->lanes)};
    saved_layout(&j.p, c->lanes, c->saved, &j.s);
    if (c->work) work_layout(&j.p, c->work, &j.w);
    j.from = c->need_output ? 0 : j.p.s.q;
    return j;
}

static size_t task_end(const plan *p, size_t task)
{
    return (task + 1) * ROW_BLOCK < p->all ? (task + 1) * ROW_BLOCK : p->all;
}

/* Row i of a lane before the convolution; those of before the segment count down from -1. */
static const real *raw_row(const job *j, size_t lane, ptrdiff_t i)
{
    const plan *p = &j->p;
    if (i >= 0) return j->s.raw + (lane * p->n + (size_t)i) * p->row;
    return j->s.tail + (lane * (p->width - 1) + (size_t)((ptrdiff_t)p->width - 1 + i)) * p->row;
}

/* y += a * b */
static void add_product(real *restrict y, const real *restrict a, const real *restrict b, size_t count)
{
    for (size_t i = 0; i < count; i++) y[i] += a[i] * b[i];
}

static void convolve_rows(void *arg, int task, int worker)
{
    (void)worker;
    const job *j = arg;
    const plan *p = &j->p;
    const kernels *k = kernels_get();
    const real *w = j->c->param[PARAM_CONV];
    const size_t from = j->from, units = p->s.heads + p->s.kv_heads;
    for (size_t i = (size_t)task * ROW_BLOCK; i < task_end(p, (size_t)task); i++) {
        real *pre = j->s.pre + i * p->row, *act = j->s.act + i * p->row;
        memset(pre + from, 0, (p->row - from) * sizeof *pre);
        for (size_t tap = 0; tap < p->width; tap++) {
            const real *x = raw_row(j, i / p->n, (ptrdiff_t)(i % p->n + tap) - (ptrdiff_t)p->width + 1);
            add_product(pre + from, w + tap * p->row + from, x + from, p->row - from);
        }
        k->silu(act + from, pre + from, p->row - from);
        for (size_t h = from / p->s.d_head; h < units; h++) { /* k follows q in a row */
            real *x = act + h * p->s.d_head;
            const real unit = 1 / (real)sqrt((double)(k->dot(x, x, p->s.d_head) + unit_eps));
            j->s.unit[i * units + h] = unit;
            k->scale(x, unit, p->s.d_head);
        }
        for (size_t h = 0; h < p->s.kv_heads; h++) {
            const size_t at = i * p->s.kv_heads + h;
            j->s.b[at] = p->beta_max * attn_sigmoid(j->s.b[at]);
            if (!p->decay) continue;
            const double step = (double)j->s.a[at] + (double)j->c->param[p->decay + DECAY_BIAS][h];
            const double softplus = step > 30 ? step : log1p(exp(step));
            j->s.g[at] = (real)(-exp((double)j->c->param[p->decay + DECAY_LOG][h]) * softplus);
        }
    }
}

static void convolve_rows_backward(void *arg, int task, int worker)
{
    const job *j = arg;
    const plan *p = &j->p;
    const kernels *k = kernels_get();
    real *room = j->c->scratch + (size_t)worker * j->c->scratch_stride;
    const size_t units = p->s.heads + p->s.kv_heads;
    for (size_t i = (size_t)task * ROW_BLOCK; i < task_end(p, (size_t)task); i++) {
        real *dact = j->w.dact + i * p->row;
        const real *act = j->s.act + i * p->row;
        for (size_t h = 0; h < units; h++) {
            const size_t at = h * p->s.d_head;
            const real along = k->dot(act + at, dact + at, p->s.d_head);
            k->axpy(dact + at, -along, act + at, p->s.d_head);
            k->scale(dact + at, j->s.unit[i * units + h], p->s.d_head);
        }
        memcpy(room, dact, p->row * sizeof *room);
        k->silu_backward(dact, room, j->s.pre + i * p->row, p->row);
        for (size_t h = 0; h < p->s.kv_heads; h++) {
            const size_t at = i * p->s.kv_heads + h;
            const real b = j->s.b[at];
            j->w.db[at] *= b * (1 - b / p->beta_max);
            if (!p->decay) continue;
            const double step = (double)j->s.a[at] + (double)j->c->param[p->decay + DECAY_BIAS][h];
            const double rate = exp((double)j->c->param[p->decay + DECAY_LOG][h]);
            j->w.dlog[at] = j->w.da[at] * j->s.g[at];
            j->w.da[at] *= (real)(-rate / (1 + exp(-step)));
        }
    }
}

/* The gradient of the rows before the convolution, and of its weights, for some columns. */
static void taps_backward(void *arg, int task, int worker)
{
    (void)worker;
    const job *j = arg;
    const plan *p = &j->p;
    const size_t at = (size_t)task * COLUMN_BLOCK;
    const size_t cols = p->row - at < COLUMN_BLOCK ? p->row - at : COLUMN_BLOCK, old = p->width - 1;
    const real *w = j->c->param[PARAM_CONV] + at;
    real *dw = j->c->grad[PARAM_CONV] ? j->c->grad[PARAM_CONV] + at : NULL;
    for (size_t lane = 0; lane < j->c->lanes; lane++) {
        real *draw = j->w.draw + lane * p->n * p->row + at, *dtail = j->c->dstate[lane] + p->memory + at;
        const real *dpre = j->w.dact + lane * p->n * p->row + at;
        const size_t valid = j->c->valid[lane];
        for (size_t i = 0; i < p->n; i++) memset(draw + i * p->row, 0, cols * sizeof *draw);
        for (size_t i = 0; i < old; i++) /* the tail's rows that lie in the segment */
            if (valid + i >= old)
                kernels_get()->axpy(draw + (valid + i - old) * p->row, 1, dtail + i * p->row, cols);
        for (size_t i = old; i-- > 0;) { /* those that were in the tail before */
            if (i >= valid)
                memmove(dtail + i * p->row, dtail + (i - valid) * p->row, cols * sizeof *dtail);
            else
                memset(dtail + i * p->row, 0, cols * sizeof *dtail);
        }
        for (size_t i = 0; i < p->n; i++)
            for (size_t tap = 0; tap < p->width; tap++) {
                const size_t to = i + tap; /* counted from the first row of the tail */
                real *dx = to < old ? dtail + to * p->row : draw + (to - old) * p->row;
                add_product(dx, w + tap * p->row, dpre + i * p->row, cols);
                if (dw)
                    add_product(dw + tap * p->row, raw_row(j, lane, (ptrdiff_t)to - (ptrdiff_t)old) + at,
                                dpre + i * p->row, cols);
            }
    }
}

/* ---- heads ---- */

static delta_head head_of(const job *j, size_t task)
{
    const plan *p = &j->p;
    const size_t lane = task / p->s.kv_heads, head = task % p->s.kv_heads, first = lane * p->n;
    const real *act = j->s.act + first * p->row;
    return (delta_head){.n = p->n,
                        .valid = j->c->valid[lane],
                        .d_k = p->s.d_head,
                        .d_v = p->d_v,
                        .group = p->s.group,
                        .scale = (real)model_attention_scale(j->c->cfg),
                        .q = act + head * p->s.group * p->s.d_head,
                        .k = act + attn_k_at(&p->s, head),
                        .v = act + p->s.q + p->s.kv + head * p->d_v,
                        .b = j->s.b + first * p->s.kv_heads + head,
                        .g = p->decay ? j->s.g + first * p->s.kv_heads + head : NULL,
                        .ld_qk = p->row,
                        .ld_scalar = p->s.kv_heads,
                        .ld_o = p->out,
                        .u = j->s.u + task * p->n * p->d_v,
                        .start = j->s.start + task * delta_chunks(p->n) * p->matrix};
}

static void forward_head(void *arg, int task, int worker)
{
    const job *j = arg;
    const plan *p = &j->p;
    const delta_head h = head_of(j, (size_t)task);
    const size_t lane = (size_t)task / p->s.kv_heads, head = (size_t)task % p->s.kv_heads;
    delta_forward(&h, j->c->state[lane] + head * p->matrix,
                  j->c->need_output ? j->s.o + lane * p->n * p->out + head * p->s.group * p->d_v : NULL,
                  j->c->scratch + (size_t)worker * j->c->scratch_stride);
}

static void backward_head(void *arg, int task, int worker)
{
    const job *j = arg;
    const plan *p = &j->p;
    const delta_head h = head_of(j, (size_t)task);
    const size_t lane = (size_t)task / p->s.kv_heads, head = (size_t)task % p->s.kv_heads, first = lane * p->n;
    real *dact = j->w.dact + first * p->row;
    const delta_grads d = {.d_o = j->w.d_o + first * p->out + head * p->s.group * p->d_v,
                           .dq = dact + head * p->s.group * p->s.d_head,
                           .dk = dact + attn_k_at(&p->s, head),
                           .dv = dact + p->s.q + p->s.kv + head * p->d_v,
                           .db = j->w.db + first * p->s.kv_heads + head,
                           .dg = p->decay ? j->w.da + first * p->s.kv_heads + head : NULL};
    delta_backward(&h, &d, j->c->dstate[lane] + head * p->matrix,
                   j->c->scratch + (size_t)worker * j->c->scratch_stride);
}

/* ---- the output's norm and gate ---- */

static void mix_rows(void *arg, int task, int worker)
{
    (void)worker;
    const job *j = arg;
    const plan *p = &j->p;
    const kernels *k = kernels_get();
    for (size_t i = (size_t)task * ROW_BLOCK; i < task_end(p, (size_t)task); i++) {
        real *mixed = j->s.mixed + i * p->out;
        if (p->gated_output) k->silu(mixed, j->s.gate + i * p->out, p->out);
        for (size_t h = 0; h < p->s.heads; h++) {
            const real *o = j->s.o + i * p->out + h * p->d_v;
            real *to = mixed + h * p->d_v, *rstd = j->s.rstd + i * p->s.heads + h;
            *rstd = 1 / (real)sqrt((double)(k->dot(o, o, p->d_v) / (real)p->d_v + (real)j->c->cfg->norm_eps));
            for (size_t e = 0; e < p->d_v; e++) {
                const real normed = o[e] * *rstd * j->c->param[PARAM_NORM][e];
                to[e] = p->gated_output ? to[e] * normed : normed;
            }
        }
    }
}

static void mix_rows_backward(void *arg, int task, int worker)
{
    const job *j = arg;
    const plan *p = &j->p;
    const kernels *k = kernels_get();
    const real *gain = j->c->param[PARAM_NORM];
    real *room = j->c->scratch + (size_t)worker * j->c->scratch_stride,
         *dgain = j->w.dgain + (size_t)task * p->d_v;
    memset(dgain, 0, p->d_v * sizeof *dgain);
    for (size_t i = (size_t)task * ROW_BLOCK; i < task_end(p, (size_t)task); i++)
        for (size_t h = 0; h < p->s.heads; h++) {
            const size_t at = i * p->out + h * p->d_v;
            const real *o = j->s.o + at, *dmixed = j->w.dmixed + at, rstd = j->s.rstd[i * p->s.heads + h];
            const real *dnormed = dmixed;
            if (p->gated_output) {
                for (size_t e = 0; e < p->d_v; e++) room[e] = dmixed[e] * o[e] * rstd * gain[e];
                k->silu_backward(j->w.dgate + at, room, j->s.gate + at, p->d_v);
                k->silu(room, j->s.gate + at, p->d_v);
                k->multiply(room, room, dmixed, p->d_v);
                dnormed = room;
            }
            memset(j->w.d_o + at, 0, p->d_v * sizeof *room);
            k->rms_backward(j->w.d_o + at, dgain, dnormed, o, gain, p->d_v, rstd);
        }
}

/* ---- the layer ---- */

static void keep_tail(const job *j)
{
    const plan *p = &j->p;
    const size_t old = p->width - 1;
    for (size_t lane = 0; old > 0 && lane < j->c->lanes; lane++) {
        real *tail = j->c->state[lane] + p->memory;
        memcpy(j->s.tail + lane * old * p->row, tail, old * p->row * sizeof *tail);
        attn_shift_in(tail, old, j->s.raw + lane * p->n * p->row, p->row, j->c->valid[lane], p->row);
    }
}

static void forward(const attn_call *c, const real *x, real *y)
{
    job j = job_of(c);
    const plan *p = &j.p;
    const size_t m = (size_t)c->cfg->d_model, heads = p->s.kv_heads;
    const rows r = attn_rows(c);
    linear_forward(c->pool, r, m, p->row, x, m, attn_matrix(c, PARAM_QKV), NULL, j.s.raw, p->row);
    linear_forward(c->pool, r, m, heads, x, m, attn_matrix(c, PARAM_BETA), NULL, j.s.b, heads);
    if (p->decay)
        linear_forward(c->pool, r, m, heads, x, m, attn_matrix(c, p->decay + DECAY_A), NULL, j.s.a, heads);
    keep_tail(&j);
    pool_run(c->pool, (int)row_tasks(p), convolve_rows, &j);
    pool_run(c->pool, (int)(c->lanes * heads), forward_head, &j);
    if (!c->need_output) return;
    if (p->gated_output)
        linear_forward(c->pool, r, m, p->out, x, m, attn_matrix(c, PARAM_G), NULL, j.s.gate, p->out);
    pool_run(c->pool, (int)row_tasks(p), mix_rows, &j);
    linear_forward(c->pool, r, p->out, m, j.s.mixed, p->out, attn_matrix(c, PARAM_O), NULL, y, m);
}

/* A projection's weights and what it read. */
static void project_backward(const attn_call *c, const real *x, size_t param, const real *dy, size_t out, real *dx,
                             int accumulate)
{
    const size_t m = (size_t)c->cfg->d_model;
    linear_backward_weight(c->pool, attn_rows(c), m, out, x, m, dy, out, c->grad[param], NULL);
    linear_backward_input(c->pool, attn_rows(c), m, out, dy, out, c->param[param], dx, m, accumulate);
}

static void backward(const attn_call *c, const real *x, const real *dy, real *dx)
{
    job j = job_of(c);
    const plan *p = &j.p;
    const size_t m = (size_t)c->cfg->d_model, heads = p->s.kv_heads;
    const rows r = attn_rows(c);
    linear_backward_weight(c->pool, r, p->out, m, j.s.mixed, p->out, dy, m, c->grad[PARAM_O], NULL);
    linear_backward_input(c->pool, r, p->out, m, dy, m, c->param[PARAM_O], j.w.dmixed, p->out, 0);
    pool_run(c->pool, (int)row_tasks(p), mix_rows_backward, &j);
    attn_add_rows(c->grad[PARAM_NORM], j.w.dgain, p->d_v, row_tasks(p), p->d_v);
    attn_zero(c, j.w.dact, p->all * p->row);
    pool_run(c->pool, (int)(c->lanes * heads), backward_head, &j);
    pool_run(c->pool, (int)row_tasks(p), convolve_rows_backward, &j);
    pool_run(c->pool, (int)((p->row + COLUMN_BLOCK - 1) / COLUMN_BLOCK), taps_backward, &j);
    project_backward(c, x, PARAM_QKV, j.w.draw, p->row, dx, 0);
    project_backward(c, x, PARAM_BETA, j.w.db, heads, dx, 1);
    if (p->gated_output) project_backward(c, x, PARAM_G, j.w.dgate, p->out, dx, 1);
    if (!p->decay) return;
    project_backward(c, x, p->decay + DECAY_A, j.w.da, heads, dx, 1);
    attn_add_rows(c->grad[p->decay + DECAY_BIAS], j.w.da, heads, p->all, heads);
    attn_add_rows(c->grad[p->decay + DECAY_LOG], j.w.dlog, heads, p->all, heads);
}

/* ---- the rows of the table ---- */

static size_t state_parts(const model_config *cfg, size_t layer, state_part *part)
{
    (void)layer;
    const plan p = plan_of(cfg, 1);
    part[0] = (state_part){"S", 0, p.s.kv_heads, p.matrix, p.matrix};
    part[1] = (state_part){"tail", p.memory, 1, (p.width - 1) * p.row, (p.width - 1) * p.row};
    return 1 + (p.width > 1);
}

/* Products of the chunks: scores, the system, and three with the state. */
static double flops(const model_config *cfg, size_t layer, double context)
{
    (void)layer;
    (void)context;
    const plan p = plan_of(cfg, 1);
    const double d = (double)p.s.d_head, v = (double)p.d_v, c = p.n < DELTA_CHUNK ? (double)p.n : DELTA_CHUNK;
    const double write = c / 2 * (d + v) + 2 * d * v, read = c / 2 * (d + v) + d * v;
    return 2 * ((double)p.s.kv_heads * write + (double)p.s.heads * read);
}

static double memory_entries(const model_config *cfg)
{
    const plan p = plan_of(cfg, 1);
    return (double)(p.memory + (p.width - 1) * p.row) * (double)cfg->n_layers;
}

#define DELTANET_MODULE(id, about)                                                                                \
    {                                                                                                             \
        .name = id, .summary = about, .memory_formula = "(d_k d_v + (w - 1)(2 d_k + d_v)) H l",                   \
        .memory_entries = memory_entries, .options = options, .option_count = sizeof options / sizeof options[0], \
        .check = check, .params = params, .sizes = sizes, .state_parts = state_parts, .forward = forward,         \
        .backward = backward, .flops = flops                                                                      \
    }

const attn_module attn_deltanet = DELTANET_MODULE(
    "deltanet", "DeltaNet: a linear memory with the delta rule and a short convolution (2406.06484)");
const attn_module attn_gated_deltanet =
    DELTANET_MODULE("gated-deltanet", "Gated DeltaNet: DeltaNet whose state decays, token by token (2412.06464)");

/* Infini-attention's arithmetic, forward and backward: rows of features and write gates, then one task for each
 * key head of a lane, whose memory its query heads read before it is written. */
#include "models/attention/infini.h"
#include "models/engine/kernels.h"

#include <string.h>

enum { ROW_BLOCK = 32 };

/* A gate is shut where its sigmoid is below 1/12, a logit of -2.4. The penalty of logits ends at one of -3.4, so
 * that rounding the weights opens none again. */
static const double write_stretch = 1.2, write_shift = 0.1, write_shut = 1.0 / 32;

/* Whether a read before this segment has a denominator. */
static int has_memory(const attn_call *c, size_t lane)
{
    return c->seen[lane] > 0 || c->cfg->option[INFINI_Z_INIT].r > 0;
}

/* Whether nothing was written to a memory before this segment: M and z are as the stream began with them. A write
 * gate may stay shut for many segments. */
static int is_unwritten(const model_config *cfg, const real *memory)
{
    const size_t d = (size_t)cfg->d_head;
    const real init = (real)cfg->option[INFINI_Z_INIT].r;
    for (size_t i = 0; i < d; i++)
        if (memory[d * d + i] != init) return 0;
    for (size_t i = 0; i < d * d; i++)
        if (memory[i] != 0) return 0;
    return 1;
}

/* Whether the gate mixes in this segment; `memory` is the key head's, before the segment. */
static int mixes(const attn_call *c, size_t lane, const real *memory)
{
    if (infini_choice(c->cfg, INFINI_FIRST_SEGMENT) == INFINI_FIRST_GATED) return 1;
    if (c->seen[lane] == 0) return 0;
    return infini_choice(c->cfg, INFINI_MEMORY_EMPTY) == INFINI_EMPTY_FIRST || !is_unwritten(c->cfg, memory);
}

/* A key head of a lane, or the whole call. */
typedef struct view {
    attn_shape shape;
    size_t n, features;     /* tokens of a segment; reals of a row of feature */
    size_t lane, row, head; /* first row of the lane; the key head */
    infini_saved s;
} view;

static view view_of(const attn_call *c, size_t task)
{
    view v = {.shape = attn_shape_of(c->cfg), .n = (size_t)c->cfg->segment};
    v.features = v.shape.q + v.shape.kv;
    v.lane = task / v.shape.kv_heads;
    v.row = v.lane * v.n;
    v.head = task % v.shape.kv_heads;
    infini_saved_layout(c->cfg, c->lanes, c->saved, &v.s);
    return v;
}

/* What is written: the key head's rows. */
static memory_head writes_of(const attn_call *c, const view *v)
{
    const attn_shape *s = &v->shape;
    const size_t at = v->row * s->kv + v->head * s->d_head, scalar = v->row * s->kv_heads + v->head;
    const int delta = infini_is_delta(c->cfg), gated = infini_is_gated(c->cfg);
    return (memory_head){
        .rule = infini_rule(c->cfg),
        .n = v->n,
        .d = s->d_head,
        .valid = c->valid[v->lane],
        .filled = has_memory(c, v->lane),
        .feature = v->s.feature + v->row * v->features + attn_k_at(s, v->head),
        .value = v->s.local.qkv + v->row * s->row + attn_v_at(s, v->head),
        .write = gated ? v->s.write + scalar : NULL,
        .gamma = v->s.gamma + scalar,
        .old = delta ? v->s.old + at : NULL,
        .old_den = delta ? v->s.old_den + scalar : NULL,
        .ld_feature = v->features,
        .ld_value = s->row,
        .ld_read = s->kv,
        .ld_scalar = s->kv_heads,
    };
}

/* The same memory as a query head reads it. */
static memory_head reads_of(const memory_head *writes, const view *v)
{
    memory_head reads = *writes;
    reads.ld_read = v->shape.q;
    reads.ld_scalar = v->shape.heads;
    return reads;
}

/* Of a mix by gate sigmoid(beta); by addition beta itself. 0 where the memory is empty. */
static real mix_gate(const attn_call *c, size_t lane, const real *memory, size_t head)
{
    const real beta = c->param[INFINI_BETA][head];
    if (!mixes(c, lane, memory)) return 0;
    return infini_choice(c->cfg, INFINI_MIX) == INFINI_MIX_ADD ? beta : attn_sigmoid(beta);
}

static real local_share(const attn_call *c, real gate)
{
    return infini_choice(c->cfg, INFINI_MIX) == INFINI_MIX_ADD ? 1 : 1 - gate;
}

/* r [R, H] of rows from `row` on, of one head; NULL: all is read as it is. */
static const real *open_of(const attn_call *c, const real *open, size_t row, size_t head)
{
    return infini_gates_reads(c->cfg) ? open + row * (size_t)c->cfg->n_heads + head : NULL;
}

/* One query head: what it reads, mixed with its local attention. */
static void read_and_mix(const attn_call *c, const view *v, const memory_head *h, const real *memory, size_t head)
{
    const kernels *k = kernels_get();
    const attn_shape *s = &v->shape;
    const size_t d = s->d_head, at = v->row * s->q + attn_q_at(s, head);
    const real *local = v->s.local.o + at;
    real *read = v->s.read + at, *mixed = v->s.mixed + at;
    const real gate = mix_gate(c, v->lane, memory, head), *open = open_of(c, v->s.open, v->row, head);
    if (h->filled)
        memory_read(h, v->s.feature + v->row * v->features + attn_q_at(s, head), v->features, memory, read,
                    v->s.read_den + v->row * s->heads + head);
    else
        for (size_t i = 0; i < v->n; i++) memset(read + i * s->q, 0, d * sizeof *read);
    for (size_t i = 0; i < v->n; i++) {
        const real weight = open ? gate * open[i * s->heads] : gate;
        k->blend(mixed + i * s->q, weight, read + i * s->q, local_share(c, weight), local + i * s->q, d);
    }
}

static void forward_head(void *arg, int task, int worker)
{
    const attn_call *c = arg;
    const view v = view_of(c, (size_t)task);
    const size_t reals = infini_head_state(c->cfg);
    const memory_head writes = writes_of(c, &v), reads = reads_of(&writes, &v);
    real *memory = c->state[v.lane] + v.head * reals;
    memcpy(v.s.state + (size_t)task * reals, memory, reals * sizeof *memory);
    if (c->need_output)
        for (size_t i = 0; i < v.shape.group; i++) read_and_mix(c, &v, &reads, memory, v.head * v.shape.group + i);
    memory_update(&writes, memory, c->scratch + (size_t)worker * c->scratch_stride);
}

/* ---- whole rows ---- */

static void feature_forward(const model_config *cfg, real *y, const real *x, size_t n)
{
    if (infini_choice(cfg, INFINI_FEATURE) == INFINI_ELU1)
        kernels_get()->elu1(y, x, n);
    else
        kernels_get()->relu(y, x, n);
}

static size_t row_tasks(const attn_call *c)
{
    return (c->lanes * (size_t)c->cfg->segment + ROW_BLOCK - 1) / ROW_BLOCK;
}

static size_t end_of_task(const attn_call *c, size_t task)
{
    const size_t all = c->lanes * (size_t)c->cfg->segment;
    return (task + 1) * ROW_BLOCK < all ? (task + 1) * ROW_BLOCK : all;
}

/* q and k of row i as phi sees them. */
static const real *row_of_phi(const attn_call *c, const view *v, size_t i)
{
    return infini_is_mapped(c->cfg) ? v->s.mapped + i * v->features : v->s.local.qkv + i * v->shape.row;
}

/* The map [e, e] of one head, of those of q and then those of k; of weights or gradients, where NULL may be. */
static real *map_of(const attn_call *c, const view *v, real *const *tensors, size_t head)
{
    const size_t first = infini_map_param(c->cfg), d = v->shape.d_head;
    const int is_k = head >= v->shape.heads;
    real *of = tensors[first + (size_t)is_k];
    return of ? of + (head - (is_k ? v->shape.heads : 0)) * d * d : NULL;
}

static void map_forward(void *arg, int task, int worker)
{
    (void)worker;
    const attn_call *c = arg;
    const view v = view_of(c, 0);
    const size_t all = v.shape.heads + v.shape.kv_heads, d = v.shape.d_head;
    const size_t head = (size_t)task % all, row = (size_t)task / all * v.n;
    if (head < v.shape.heads && !c->need_output) return;
    gemm(0, 1, v.n, d, d, 1, v.s.local.qkv + row * v.shape.row + head * d, v.shape.row,
         map_of(c, &v, (real *const *)c->param, head), d, 0, v.s.mapped + row * v.features + head * d, v.features);
}

static void forward_rows(void *arg, int task, int worker)
{
    (void)worker;
    const attn_call *c = arg;
    const view v = view_of(c, 0);
    const size_t first = c->need_output ? 0 : v.shape.q; /* q is needed for the output alone */
    const size_t gates = infini_is_gated(c->cfg) ? v.shape.kv_heads : 0;
    const size_t reads = infini_gates_reads(c->cfg) && c->need_output ? v.shape.heads : 0;
    for (size_t i = (size_t)task * ROW_BLOCK; i < end_of_task(c, (size_t)task); i++) {
        const real *qk = row_of_phi(c, &v, i);
        feature_forward(c->cfg, v.s.feature + i * v.features + first, qk + first, v.features - first);
        const int writes = i % v.n >= (size_t)c->cfg->option[INFINI_WRITE_FROM].i;
        for (size_t h = i * gates; h < (i + 1) * gates; h++) {
            const real open =
                writes ? attn_sigmoid(v.s.sigmoid[h] - (real)c->cfg->option[INFINI_WRITE_OFFSET].r) : 0;
            const double w = write_stretch * (double)open - write_shift;
            v.s.sigmoid[h] = open;
            v.s.write[h] = (real)(w < 0 ? 0 : w > 1 ? 1 : w); /* not a number stays one */
        }
        for (size_t h = i * reads; h < (i + 1) * reads; h++) v.s.open[h] = attn_sigmoid(v.s.open[h]);
    }
}

/* The read gates' logits of the call's rows, where it has such gates. */
static void read_logits(const attn_call *c, const real *x, real *open)
{
    const size_t d_model = (size_t)c->cfg->d_model, heads = (size_t)c->cfg->n_heads;
    const size_t at = infini_read_param(c->cfg);
    if (!infini_gates_reads(c->cfg)) return;
    attn_linear(c, attn_rows(c), d_model, heads, x, d_model, attn_matrix(c, at), c->param[at + 1], open, heads);
}

void infini_forward(const attn_call *c, const real *x, real *y)
{
    const sinks_view local = infini_local(c->cfg);
    if (!infini_has_memory(c->cfg, c->layer)) {
        sinks_layer_forward(c, &local, x, y);
        return;
    }
    const view v = view_of(c, 0);
    const rows r = {c->lanes, v.n};
    const size_t d_model = (size_t)c->cfg->d_model, gates = v.shape.kv_heads;
    attn_project(c, x, attn_matrix(c, INFINI_QKV), v.s.local.qkv, c->need_output);
    if (infini_is_gated(c->cfg))
        linear_forward(c->pool, r, d_model, gates, x, d_model, attn_matrix(c, INFINI_WRITE_W),
                       c->param[INFINI_WRITE_B], v.s.sigmoid, gates);
    if (c->need_output) read_logits(c, x, v.s.open);
    attn_call call = *c;
    if (infini_is_mapped(c->cfg))
        pool_run(c->pool, (int)(c->lanes * (v.shape.heads + v.shape.kv_heads)), map_forward, &call);
    pool_run(c->pool, (int)row_tasks(c), forward_rows, &call);
    if (c->need_output) sinks_forward(c, &local, &v.s.sinks);
    pool_run(c->pool, (int)(c->lanes * gates), forward_head, &call);
    sinks_update(c, &local, &v.s.sinks);
    if (c->need_output) attn_output(c, v.s.mixed, attn_matrix(c, INFINI_O), y);
}

/* ---- steps ---- */

typedef struct step_job {
    const attn_call *c;
    const infini_rows *r;
    attn_shape shape;
} step_job;

/* One query head of a row: what it reads, mixed into its local attention. */
static void step_task(void *arg, int task, int worker)
{
    (void)worker;
    const step_job *j = arg;
    const attn_call *c = j->c;
    const kernels *k = kernels_get();
    const attn_shape *s = &j->shape;
    const size_t row = (size_t)task / s->heads, head = (size_t)task % s->heads, lane = row / c->count;
    const size_t at = row * s->q + attn_q_at(s, head);
    const real *memory = c->state[lane] + head / s->group * infini_head_state(c->cfg);
    const memory_head h = {.rule = infini_rule(c->cfg), .d = s->d_head};
    const real gate = mix_gate(c, lane, memory, head), *q = j->r->local.qkv + row * s->row + attn_q_at(s, head);
    real *local = j->r->local.o + at, *read = j->r->read + at;
    if (infini_is_mapped(c->cfg)) {
        const real *map = c->param[infini_map_param(c->cfg)] + head * s->d_head * s->d_head;
        for (size_t i = 0; i < s->d_head; i++) read[i] = k->dot(map + i * s->d_head, q, s->d_head);
        q = read;
    }
    feature_forward(c->cfg, j->r->feature + at, q, s->d_head);
    if (has_memory(c, lane))
        memory_read_row(&h, j->r->feature + at, memory, read);
    else
        memset(read, 0, s->d_head * sizeof *read);
    const real *open = open_of(c, j->r->open, row, head);
    const real weight = open ? gate * attn_sigmoid(*open) : gate;
    k->blend(local, weight, read, local_share(c, weight), local, s->d_head);
}

void infini_step(const attn_call *c, const real *x, real *y)
{
    const sinks_view local = infini_local(c->cfg);
    if (!infini_has_memory(c->cfg, c->layer)) {
        sinks_layer_step(c, &local, x, y);
        return;
    }
    infini_rows r;
    infini_step_layout(c->cfg, c->lanes, c->saved, &r);
    sinks_kept_layout(c, &local, &r.sinks);
    step_job job = {c, &r, attn_shape_of(c->cfg)};
    attn_project(c, x, attn_matrix(c, INFINI_QKV), r.local.qkv, 1);
    read_logits(c, x, r.open);
    sinks_step(c, &local, &r.sinks);
    pool_run(c->pool, (int)(c->lanes * c->count * job.shape.heads), step_task, &job);
    attn_output(c, r.local.o, attn_matrix(c, INFINI_O), y);
}

/* ---- backward ---- */

/* Of one query head: dmixed -> d_o of the local attention, dbeta; dfeature and dmemory are added to. */
static void unmix(const attn_call *c, const view *v, const infini_work *w, const memory_head *h,
                  const real *memory, real *dmemory, size_t head, real *dread)
{
    const kernels *k = kernels_get();
    const attn_shape *s = &v->shape;
    const size_t d = s->d_head, at = v->row * s->q + attn_q_at(s, head);
    const size_t q = v->row * v->features + attn_q_at(s, head);
    const real gate = mix_gate(c, v->lane, memory, head), *open = open_of(c, v->s.open, v->row, head);
    const real *local = v->s.local.o + at, *read = v->s.read + at, *dmixed = w->dmixed + at;
    const int adds = infini_choice(c->cfg, INFINI_MIX) == INFINI_MIX_ADD;
    real *dlocal = w->local.d_o + at, dgate = 0;
    for (size_t i = 0; i < v->n; i++) {
        const real *row = dmixed + i * s->q;
        const real r = open ? open[i * s->heads] : 1, weight = gate * r;
        const real dweight = k->dot(row, read + i * s->q, d) - (adds ? 0 : k->dot(row, local + i * s->q, d));
        dgate += dweight * r;
        if (open) w->dopen[(v->row + i) * s->heads + head] = dweight * gate * r * (1 - r);
        memset(dlocal + i * s->q, 0, d * sizeof *row);
        k->axpy(dlocal + i * s->q, local_share(c, weight), row, d);
        memcpy(dread + i * d, row, d * sizeof *row);
        k->scale(dread + i * d, weight, d);
    }
    if (!adds)
        dgate = dgate * gate * (1 - gate); /* 0 where the memory is empty */
    else if (!mixes(c, v->lane, memory))
        dgate = 0;
    w->dbeta[v->lane * s->heads + head] = dgate;
    if (h->filled)
        memory_read_backward(h, v->s.feature + q, v->features, memory, read,
                             v->s.read_den + v->row * s->heads + head, dread, w->dfeature + q, dmemory);
}

static void backward_head(void *arg, int task, int worker)
{
    const attn_call *c = arg;
    const view v = view_of(c, (size_t)task);
    const attn_shape *s = &v.shape;
    infini_work w;
    infini_work_layout(c->cfg, c->lanes, c->work, &w);
    real *scratch = c->scratch + (size_t)worker * c->scratch_stride;
    const real *memory = v.s.state + (size_t)task * infini_head_state(c->cfg);
    real *dmemory = c->dstate[v.lane] + v.head * infini_head_state(c->cfg);
    const memory_head writes = writes_of(c, &v), reads = reads_of(&writes, &v);
    memory_update_backward(&writes, memory, dmemory, w.dfeature + v.row * v.features + attn_k_at(s, v.head),
                           w.dvalue + v.row * s->kv + v.head * s->d_head,
                           writes.write ? w.dwrite + v.row * s->kv_heads + v.head : NULL, scratch);
    for (size_t i = 0; i < s->group; i++)
        unmix(c, &v, &w, &reads, memory, dmemory, v.head * s->group + i, scratch);
}

static void backward_clear(void *arg, int task, int worker)
{
    (void)worker;
    const attn_call *c = arg;
    const view v = view_of(c, 0);
    infini_work w;
    infini_work_layout(c->cfg, c->lanes, c->work, &w);
    const size_t begin = (size_t)task * ROW_BLOCK, count = end_of_task(c, (size_t)task) - begin;
    const size_t gates = infini_is_gated(c->cfg) ? v.shape.kv_heads : 0;
    memset(w.dvalue + begin * v.shape.kv, 0, count * v.shape.kv * sizeof(real));
    memset(w.dfeature + begin * v.features, 0, count * v.features * sizeof(real));
    if (gates > 0) memset(w.dwrite + begin * gates, 0, count * gates * sizeof(real));
}

/* The gradient of a write gate's logit from that of w, and the penalty. It acts wherever the gate is open, also
 * where it is clamped at 1; the data's gradient only where the gate can move. */
static real write_slope(const attn_call *c, real weight, real open, real dweight, double penalty)
{
    const int costs = c->penalty.on_logit ? (double)open > write_shut : weight > 0;
    const double paid = costs ? penalty : 0;
    double slope = weight > 0 && weight < 1 ? (double)dweight : 0;
    if (!c->penalty.on_logit) slope += paid;
    slope *= write_stretch * (double)open * (1 - (double)open);
    if (c->penalty.on_logit) slope += paid * write_stretch / 4;
    return (real)slope;
}

static void backward_rows(void *arg, int task, int worker)
{
    (void)worker;
    const attn_call *c = arg;
    const kernels *k = kernels_get();
    const view v = view_of(c, 0);
    const attn_shape *s = &v.shape;
    infini_work w;
    infini_work_layout(c->cfg, c->lanes, c->work, &w);
    const size_t gates = infini_is_gated(c->cfg) ? s->kv_heads : 0;
    for (size_t i = (size_t)task * ROW_BLOCK; i < end_of_task(c, (size_t)task); i++) {
        real *dqkv = w.local.dqkv + i * s->row, *df = w.dfeature + i * v.features;
        if (infini_choice(c->cfg, INFINI_FEATURE) == INFINI_ELU1)
            k->elu1_backward(df, df, v.s.feature + i * v.features, v.features);
        else
            k->relu_backward(df, df, row_of_phi(c, &v, i), v.features);
        if (!infini_is_mapped(c->cfg)) k->axpy(dqkv, 1, df, v.features);
        k->axpy(dqkv + attn_v_at(s, 0), 1, w.dvalue + i * s->kv, s->kv);
        const int is_real = i % v.n < c->valid[i / v.n];
        for (size_t h = i * gates; h < (i + 1) * gates; h++)
            w.dwrite[h] = write_slope(c, v.s.write[h], v.s.sigmoid[h], w.dwrite[h],
                                      is_real ? c->penalty.weight / (double)gates : 0);
    }
}

/* One head of all lanes, which add to the same gradient: from that of what phi sees to that of q or k. */
static void map_backward(void *arg, int task, int worker)
{
    (void)worker;
    const attn_call *c = arg;
    const view v = view_of(c, 0);
    const size_t head = (size_t)task, d = v.shape.d_head;
    infini_work w;
    infini_work_layout(c->cfg, c->lanes, c->work, &w);
    const real *map = map_of(c, &v, (real *const *)c->param, head);
    real *dmap = map_of(c, &v, c->grad, head);
    for (size_t row = 0; row < c->lanes * v.n; row += v.n) {
        const real *dmapped = w.dfeature + row * v.features + head * d;
        const real *x = v.s.local.qkv + row * v.shape.row + head * d;
        real *dx = w.local.dqkv + row * v.shape.row + head * d;
        if (dmap) gemm(1, 0, d, d, v.n, 1, dmapped, v.features, x, v.shape.row, 1, dmap, d);
        gemm(0, 0, v.n, d, d, 1, dmapped, v.features, map, d, 1, dx, v.shape.row);
    }
}

void infini_backward(const attn_call *c, const real *x, const real *dy, real *dx)
{
    const sinks_view local = infini_local(c->cfg);
    if (!infini_has_memory(c->cfg, c->layer)) {
        sinks_layer_backward(c, &local, x, dy, dx);
        return;
    }
    const view v = view_of(c, 0);
    const rows r = {c->lanes, v.n};
    const size_t d_model = (size_t)c->cfg->d_model, gates = v.shape.kv_heads, heads = v.shape.heads;
    infini_work w;
    infini_work_layout(c->cfg, c->lanes, c->work, &w);
    attn_call call = *c;
    attn_output_backward(c, v.s.mixed, c->param[INFINI_O], dy, c->grad[INFINI_O], w.dmixed);
    pool_run(c->pool, (int)row_tasks(c), backward_clear, &call);
    pool_run(c->pool, (int)(c->lanes * gates), backward_head, &call);
    sinks_backward(c, &local, &v.s.sinks, &w.sinks);
    pool_run(c->pool, (int)row_tasks(c), backward_rows, &call);
    if (infini_is_mapped(c->cfg)) pool_run(c->pool, (int)(heads + gates), map_backward, &call);
    attn_project_backward(c, x, c->param[INFINI_QKV], w.local.dqkv, c->grad[INFINI_QKV], dx);
    if (infini_is_gated(c->cfg)) {
        linear_backward_weight(c->pool, r, d_model, gates, x, d_model, w.dwrite, gates, c->grad[INFINI_WRITE_W],
                               c->grad[INFINI_WRITE_B]);
        linear_backward_input(c->pool, r, d_model, gates, w.dwrite, gates, c->param[INFINI_WRITE_W], dx, d_model,
                              1);
    }
    if (infini_gates_reads(c->cfg)) {
        const size_t at = infini_read_param(c->cfg);
        linear_backward_weight(c->pool, r, d_model, heads, x, d_model, w.dopen, heads, c->grad[at],
                               c->grad[at + 1]);
        linear_backward_input(c->pool, r, d_model, heads, w.dopen, heads, c->param[at], dx, d_model, 1);
    }
    attn_add_rows(c->grad[INFINI_BETA], w.dbeta, heads, c->lanes, heads);
}

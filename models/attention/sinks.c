/* Softmax over a window and sinks is put together from the two: the causal kernel attends over the window, then
 * each row takes in its sinks through the log-sum-exp. Backward runs the kernel with the log-sum-exp of both. */
#include "models/attention/sinks.h"
#include "models/engine/kernels.h"

#include <math.h>
#include <string.h>

enum { PARAM_QKV, PARAM_O };

/* ---- Sizes. Without sinks all but the window is empty. ---- */

size_t sinks_saved_layout(const model_config *cfg, const sinks_view *r, size_t lanes, real *base, sinks_saved *out)
{
    const attn_shape h = attn_shape_of(cfg);
    const size_t keys = lanes * r->sinks, turned = r->sinks > 0 && r->by_place;
    const size_t part[] = {turned * lanes * (size_t)cfg->segment * h.q, keys * h.kv, keys * h.kv, keys * h.d_head};
    kvcache_saved local;
    real *at[4];
    const size_t before = kvcache_saved_layout(cfg, lanes, r->cached, base, &local);
    const size_t used = attn_carve(base ? base + before : NULL, part, 4, at);
    local.span = r->by_token ? r->window : 0;
    if (out) *out = (sinks_saved){local, turned ? at[0] : local.q, at[1], at[2], at[3]};
    return before + used;
}

size_t sinks_work_layout(const model_config *cfg, const sinks_view *r, size_t lanes, real *base, sinks_work *out)
{
    const attn_shape h = attn_shape_of(cfg);
    const size_t part[] = {(r->sinks > 0) * lanes * (size_t)cfg->segment * h.q, lanes * r->sinks * h.kv,
                           lanes * r->sinks * h.kv};
    kvcache_work local;
    real *at[3];
    const size_t before = kvcache_work_layout(cfg, lanes, r->cached, base, &local);
    const size_t used = attn_carve(base ? base + before : NULL, part, 3, at);
    if (out) *out = (sinks_work){local, at[0], at[1], at[2]};
    return before + used;
}

size_t sinks_step_layout(const model_config *cfg, const sinks_view *r, size_t lanes, real *base, sinks_saved *out)
{
    const size_t turned = r->sinks > 0 && r->by_place;
    const size_t part = turned * lanes * ATTN_STEP_ROWS * attn_shape_of(cfg).q;
    kvcache_saved local;
    real *q;
    const size_t before = kvcache_step_layout(cfg, lanes, r->cached, base, &local);
    const size_t used = attn_carve(base ? base + before : NULL, &part, 1, &q);
    local.span = r->by_token ? r->window : 0;
    if (out) *out = (sinks_saved){.local = local, .q = turned ? q : local.q};
    return before + used;
}

/* k, v and angle of the sinks lie behind the window's keys in what is kept. */
void sinks_kept_layout(const attn_call *c, const sinks_view *r, sinks_saved *s)
{
    const size_t kv = attn_shape_of(c->cfg).kv, keys = c->lanes * r->sinks * kv;
    kvcache_kept_layout(c, &s->local);
    if (r->sinks == 0) return;
    s->k = s->local.v + c->lanes * (r->cached + (size_t)c->cfg->segment) * kv;
    s->v = s->k + keys;
    s->angle = s->v + keys;
}

size_t sinks_state_reals(const model_config *cfg, const sinks_view *r)
{
    return kvcache_state_reals(cfg, r->cached) + 2 * r->sinks * attn_shape_of(cfg).kv;
}

/* Positions of the table: those of the window and its segment, and of sinks right before them. */
static size_t positions(const model_config *cfg, const sinks_view *r)
{
    return r->cached + r->sinks + (size_t)cfg->segment + (size_t)r->by_token;
}

void sinks_sizes(const model_config *cfg, const sinks_view *r, size_t lanes, attn_sizes *out)
{
    const attn_shape h = attn_shape_of(cfg);
    kvcache_sizes(cfg, lanes, r->cached, out);
    out->state = sinks_state_reals(cfg, r);
    out->saved = sinks_saved_layout(cfg, r, lanes, NULL, NULL);
    if (out->scratch < r->sinks) out->scratch = r->sinks;
    out->work = sinks_work_layout(cfg, r, lanes, NULL, NULL);
    out->kept += lanes * r->sinks * (2 * h.kv + h.d_head);
    out->step = sinks_step_layout(cfg, r, lanes, NULL, NULL);
    if (out->step_scratch < r->sinks) out->step_scratch = r->sinks;
    out->table = rope_table_reals(cfg, positions(cfg, r));
    out->first = (int64_t)r->sinks;
    if (r->sinks == 0 || r->by_place) out->settles = (int64_t)(r->cached + r->sinks + (size_t)r->by_token);
    if (out->settles == 0) out->settles = r->sinks == 0 || r->by_place;
}

void sinks_table_fill(const model_config *cfg, const sinks_view *r, real *table)
{
    rope_table_fill(cfg, r->rope_base, positions(cfg, r), table);
}

/* ---- Which sinks a token sees, and from where. ---- */

/* Sinks before the window of row i of a segment that `seen` tokens precede: those in the window are seen there. */
static size_t sinks_of_row(const sinks_view *r, uint64_t seen, size_t i)
{
    const uint64_t end = r->by_token ? seen + i + 1 : seen, length = r->window;
    const uint64_t first = end > length ? end - length : 0;
    return first < r->sinks ? (size_t)first : r->sinks;
}

/* The place of row i in its cache of sinks and window: a row of the table. */
static size_t place_of_row(const sinks_view *r, uint64_t seen, size_t i)
{
    const uint64_t most = r->sinks + r->cached, at = r->by_token ? seen + i : seen;
    return (size_t)(at < most ? at : most) + (r->by_token ? 0 : i);
}

/* ---- Rows. ---- */

typedef struct sink_job {
    const attn_call *c;
    const sinks_saved *s;
    const sinks_work *w; /* NULL in the forward pass */
    sinks_view r;
    attn_shape h;
    size_t n, first; /* rows of each lane, and which of the segment is the first */
} sink_job;

static sink_job job_of(const attn_call *c, const sinks_view *r, const sinks_saved *s, const sinks_work *w)
{
    return (sink_job){c, s, w, *r, attn_shape_of(c->cfg), attn_rows(c).rows, c->kept ? c->first : 0};
}

/* k of the sinks in a lane's state. */
static real *sinks_in_state(const sink_job *j, size_t lane)
{
    return j->c->state[lane] + j->s->local.offset + kvcache_state_reals(j->c->cfg, j->r.cached);
}

/* Sink j's rotation: its place in the cache; or its distance to the window's first place, which may be long ago.
 */
static void load_angles(const sink_job *j, size_t lane)
{
    const model_config *cfg = j->c->cfg;
    real *angle = j->s->angle + lane * j->r.sinks * j->h.d_head;
    if (j->r.by_place)
        memcpy(angle, j->c->table, rope_table_reals(cfg, j->r.sinks) * sizeof *angle);
    else
        rope_table_from(cfg, j->r.rope_base, (int64_t)j->r.cached - (int64_t)j->c->seen[lane], j->r.sinks, angle);
}

/* Sink j is in the state, or one of the rows at work, or not there yet; rows of an earlier step stay. */
static void load_sinks(void *arg, int task, int worker)
{
    (void)worker;
    const sink_job *j = arg;
    const attn_call *c = j->c;
    const size_t lane = (size_t)task, kv = j->h.kv, sinks = j->r.sinks;
    const real *state = sinks_in_state(j, lane);
    const uint64_t before = c->seen[lane] + j->first, there = before + (c->kept ? j->n : c->valid[lane]);
    if (j->first == 0) load_angles(j, lane);
    for (size_t i = 0; i < sinks; i++) {
        real *k = j->s->k + (lane * sinks + i) * kv, *v = j->s->v + (lane * sinks + i) * kv;
        const real *from_k = state + i * kv, *from_v = from_k + sinks * kv;
        if (j->first > 0 && i < before) continue;
        if (i >= there) {
            memset(k, 0, kv * sizeof *k);
            memset(v, 0, kv * sizeof *v);
            continue;
        }
        if (i >= before) {
            from_k = j->s->local.qkv + (lane * j->n + i - (size_t)before) * j->h.row + attn_k_at(&j->h, 0);
            from_v = from_k + kv;
        }
        for (size_t at = 0; at < kv; at += j->h.d_head)
            rope_row(c->cfg, j->s->angle + lane * sinks * j->h.d_head, i, k + at, from_k + at);
        memcpy(v, from_v, kv * sizeof *v);
    }
}

/* Sinks that this segment holds enter the state. */
static void keep_sinks(void *arg, int task, int worker)
{
    (void)worker;
    const sink_job *j = arg;
    const attn_call *c = j->c;
    const size_t lane = (size_t)task, kv = j->h.kv, sinks = j->r.sinks;
    real *state = sinks_in_state(j, lane);
    for (size_t i = 0; i < c->valid[lane] && c->seen[lane] + i < sinks; i++) {
        const size_t at = (size_t)c->seen[lane] + i;
        const real *k = j->s->local.qkv + (lane * j->n + i) * j->h.row + attn_k_at(&j->h, 0);
        memcpy(state + at * kv, k, kv * sizeof *k);
        memcpy(state + (sinks + at) * kv, k + kv, kv * sizeof *k);
    }
}

/* Where a query head's numbers of one row lie. */
typedef struct sink_row {
    size_t row, head; /* of R, of H */
    size_t count;     /* sinks that it sees */
    const real *q, *k, *v;
    real *o, *lse;
} sink_row;

static sink_row row_at(const sink_job *j, size_t lane, size_t head, size_t i)
{
    const size_t row = lane * j->n + i, shared = head / j->h.group * j->h.d_head;
    return (sink_row){.row = row,
                      .head = head,
                      .count = sinks_of_row(&j->r, j->c->seen[lane], j->first + i),
                      .q = j->s->q + row * j->h.q + attn_q_at(&j->h, head),
                      .k = j->s->k + lane * j->r.sinks * j->h.kv + shared,
                      .v = j->s->v + lane * j->r.sinks * j->h.kv + shared,
                      .o = j->s->local.o + row * j->h.q + attn_q_at(&j->h, head),
                      .lse = j->s->local.lse + row * j->h.heads + head};
}

/* Add the sinks to a row that has attended to its window. */
static void take_sinks(const sink_job *j, const sink_row *at, real scale, real *score)
{
    const kernels *kernel = kernels_get();
    for (size_t i = 0; i < at->count; i++) score[i] = kernel->dot(at->q, at->k + i * j->h.kv, j->h.d_head);
    const double sinks = (double)kernel->softmax(score, 0, at->count, at->count, scale), window = (double)*at->lse;
    const double most = fmax(sinks, window), both = most + log(exp(sinks - most) + exp(window - most));
    const real share = (real)exp(sinks - both);
    kernel->scale(at->o, (real)exp(window - both), j->h.d_head);
    for (size_t i = 0; i < at->count; i++) kernel->axpy(at->o, share * score[i], at->v + i * j->h.kv, j->h.d_head);
    *at->lse = (real)both;
}

static void head_task(void *arg, int task, int worker)
{
    const sink_job *j = arg;
    const attn_call *c = j->c;
    const size_t lane = (size_t)task / j->h.heads, head = (size_t)task % j->h.heads;
    real *score = c->scratch + (size_t)worker * c->scratch_stride;
    for (size_t i = 0; i < j->n; i++) {
        const sink_row at = row_at(j, lane, head, i);
        if (at.count == 0) continue;
        if (j->r.by_place)
            rope_row(c->cfg, c->table, place_of_row(&j->r, c->seen[lane], j->first + i),
                     j->s->q + (at.q - j->s->q), j->s->local.qkv + at.row * j->h.row + attn_q_at(&j->h, head));
        take_sinks(j, &at, (real)model_attention_scale(c->cfg), score);
    }
}

/* ---- Backward. ---- */

/* Gradients of a row's scores with its sinks: of the query, and of those sinks that lie in the segment. */
static void row_backward(const sink_job *j, const sink_row *at, size_t lane, real scale)
{
    const kernels *kernel = kernels_get();
    const size_t shared = at->head / j->h.group * j->h.d_head, e = j->h.d_head;
    const real *d_o = j->w->local.d_o + at->row * j->h.q + attn_q_at(&j->h, at->head);
    const real dot = kernel->dot(d_o, at->o, e); /* dot(p, dp), because o = p V */
    real *dq = j->w->dq + at->row * j->h.q + attn_q_at(&j->h, at->head);
    for (size_t i = 0; i < at->count; i++) {
        const real *k = at->k + i * j->h.kv, *v = at->v + i * j->h.kv;
        const real p = (real)exp((double)scale * (double)kernel->dot(at->q, k, e) - (double)*at->lse);
        const real ds = scale * p * (kernel->dot(d_o, v, e) - dot);
        kernel->axpy(dq, ds, k, e);
        if (i < j->c->seen[lane]) continue;
        kernel->axpy(j->w->dk + (lane * j->r.sinks + i) * j->h.kv + shared, ds, at->q, e);
        kernel->axpy(j->w->dv + (lane * j->r.sinks + i) * j->h.kv + shared, p, d_o, e);
    }
}

/* The query heads of a key head one after the other: they add to the same gradients. */
static void group_backward_task(void *arg, int task, int worker)
{
    (void)worker;
    const sink_job *j = arg;
    const size_t lane = (size_t)task / j->h.kv_heads, first = (size_t)task % j->h.kv_heads * j->h.group;
    for (size_t head = first; head < first + j->h.group; head++)
        for (size_t i = 0; i < j->n; i++) {
            const sink_row at = row_at(j, lane, head, i);
            if (at.count > 0) row_backward(j, &at, lane, (real)model_attention_scale(j->c->cfg));
        }
}

/* Add the gradients of a lane's sinks, and of what its queries saw of them, to dqkv, which holds the window's. */
static void unload_sinks(void *arg, int task, int worker)
{
    (void)worker;
    const sink_job *j = arg;
    const attn_call *c = j->c;
    const size_t lane = (size_t)task, sinks = j->r.sinks, e = j->h.d_head;
    for (size_t i = 0; i < j->n; i++) {
        if (sinks_of_row(&j->r, c->seen[lane], i) == 0) continue;
        const size_t place =
            j->r.by_place ? place_of_row(&j->r, c->seen[lane], i) : j->r.cached + i; /* as it was rotated */
        const size_t row = lane * j->n + i;
        for (size_t at = 0; at < j->h.q; at += e)
            rope_row_backward(c->cfg, c->table, place, j->w->local.dqkv + row * j->h.row + at,
                              j->w->dq + row * j->h.q + at);
    }
    for (size_t i = (size_t)(c->seen[lane] < sinks ? c->seen[lane] : sinks); i < sinks && i - c->seen[lane] < j->n;
         i++) {
        const size_t key = (lane * sinks + i) * j->h.kv, row = lane * j->n + i - (size_t)c->seen[lane];
        real *dk = j->w->local.dqkv + row * j->h.row + attn_k_at(&j->h, 0);
        for (size_t at = 0; at < j->h.kv; at += e)
            rope_row_backward(c->cfg, j->s->angle + lane * sinks * e, i, dk + at, j->w->dk + key + at);
        kernels_get()->axpy(dk + j->h.kv, 1, j->w->dv + key, j->h.kv);
    }
}

/* ---- The attention, and the whole layer. ---- */

void sinks_forward(const attn_call *c, const sinks_view *r, const sinks_saved *s)
{
    sink_job job = job_of(c, r, s, NULL);
    kvcache_forward(c, &s->local, (real)model_attention_scale(c->cfg));
    if (r->sinks == 0) return;
    pool_run(c->pool, (int)c->lanes, load_sinks, &job);
    pool_run(c->pool, (int)(c->lanes * job.h.heads), head_task, &job);
}

void sinks_update(const attn_call *c, const sinks_view *r, const sinks_saved *s)
{
    sink_job job = job_of(c, r, s, NULL);
    kvcache_update(c, &s->local);
    if (r->sinks > 0) pool_run(c->pool, (int)c->lanes, keep_sinks, &job);
}

void sinks_step(const attn_call *c, const sinks_view *r, const sinks_saved *s)
{
    sink_job job = job_of(c, r, s, NULL);
    kvcache_step(c, &s->local, (real)model_attention_scale(c->cfg));
    if (r->sinks == 0) return;
    pool_run(c->pool, (int)c->lanes, load_sinks, &job);
    pool_run(c->pool, (int)(c->lanes * job.h.heads), head_task, &job);
}

void sinks_backward(const attn_call *c, const sinks_view *r, const sinks_saved *s, const sinks_work *w)
{
    sink_job job = job_of(c, r, s, w);
    const size_t keys = c->lanes * r->sinks * job.h.kv;
    kvcache_backward(c, &s->local, &w->local, (real)model_attention_scale(c->cfg));
    if (r->sinks == 0) return;
    attn_zero(c, w->dq, c->lanes * job.n * job.h.q);
    attn_zero(c, w->dk, keys);
    attn_zero(c, w->dv, keys);
    pool_run(c->pool, (int)(c->lanes * job.h.kv_heads), group_backward_task, &job);
    pool_run(c->pool, (int)c->lanes, unload_sinks, &job);
}

void sinks_layer_forward(const attn_call *c, const sinks_view *r, const real *x, real *y)
{
    sinks_saved s;
    sinks_saved_layout(c->cfg, r, c->lanes, c->saved, &s);
    const int keeps = r->cached + r->sinks > 0;
    if (c->need_output || keeps) attn_project(c, x, attn_matrix(c, PARAM_QKV), s.local.qkv, c->need_output);
    if (c->need_output) {
        sinks_forward(c, r, &s);
        attn_output(c, s.local.o, attn_matrix(c, PARAM_O), y);
    }
    sinks_update(c, r, &s);
}

void sinks_layer_step(const attn_call *c, const sinks_view *r, const real *x, real *y)
{
    sinks_saved s;
    sinks_step_layout(c->cfg, r, c->lanes, c->saved, &s);
    sinks_kept_layout(c, r, &s);
    attn_project(c, x, attn_matrix(c, PARAM_QKV), s.local.qkv, 1);
    sinks_step(c, r, &s);
    attn_output(c, s.local.o, attn_matrix(c, PARAM_O), y);
}

void sinks_layer_backward(const attn_call *c, const sinks_view *r, const real *x, const real *dy, real *dx)
{
    sinks_saved s;
    sinks_work w;
    sinks_saved_layout(c->cfg, r, c->lanes, c->saved, &s);
    sinks_work_layout(c->cfg, r, c->lanes, c->work, &w);
    attn_output_backward(c, s.local.o, c->param[PARAM_O], dy, c->grad[PARAM_O], w.local.d_o);
    sinks_backward(c, r, &s, &w);
    attn_project_backward(c, x, c->param[PARAM_QKV], w.local.dqkv, c->grad[PARAM_QKV], dx);
}

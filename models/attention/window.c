/* Causal attention over the newest tokens and the stream's first ones, its sinks (Xiao et al. 2023, StreamingLLM).
 * Without sinks it is the sliding window of Mistral; with window_slides = segment, a cache of keys and values that
 * moves by segments as Transformer-XL's does.
 *
 * Token t sees the newest `window` tokens, itself included, and those of the first `sinks` tokens that lie before
 * them. With window_slides = segment it sees the `window` tokens before its segment, and its segment. The cache
 * carries no gradient, and nor do sinks that lie before the segment.
 *
 * Softmax over both is put together from the two: the causal kernel attends over the window, then each row takes
 * in its sinks through the log-sum-exp. Backward runs the kernel with the log-sum-exp of both.
 *
 * State of a lane: k and v of the window as in kvcache.h, then k [sinks, D_kv] and v [sinks, D_kv]. */
#include "models/attention/kvcache.h"
#include "models/attention/modules.h"
#include "models/engine/kernels.h"

#include <math.h>
#include <string.h>

enum { WINDOW, SINKS, POSITIONS, SLIDES, ROPE_BASE };
enum { POSITIONS_ABSOLUTE, POSITIONS_CACHE };
enum { SLIDES_TOKEN, SLIDES_SEGMENT };
enum { PARAM_QKV, PARAM_O };

static const kv_spec options[] = {
    {"window", KV_SIZE, OPTION(WINDOW), "512", 1, 1 << 24, NULL,
     "newest tokens that a token sees, itself included; see window_slides"},
    {"sinks", KV_SIZE, OPTION(SINKS), "4", 0, 1 << 16, NULL,
     "first tokens of the stream that every token sees too"},
    {"window_positions", KV_CHOICE, OPTION(POSITIONS), "cache", 0, 0, "absolute|cache",
     "of sinks: absolute = where they are; cache = right before the window (StreamingLLM)"},
    {"window_slides", KV_CHOICE, OPTION(SLIDES), "token", 0, 0, "token|segment",
     "segment: a token sees its segment and `window` tokens before it"},
    {"rope_base", KV_REAL, OPTION(ROPE_BASE), "10000", 2, 1e9, NULL, "base of the rotary positions (rotate-half)"},
};

/* What the options mean. */
typedef struct reach {
    size_t window, sinks, cached; /* cached: tokens of the window before the segment */
    int by_token, by_place;       /* SLIDES_TOKEN, POSITIONS_CACHE */
} reach;

static reach reach_of(const model_config *cfg)
{
    reach r = {.window = (size_t)cfg->option[WINDOW].i,
               .sinks = (size_t)cfg->option[SINKS].i,
               .by_token = cfg->option[SLIDES].i == SLIDES_TOKEN,
               .by_place = cfg->option[POSITIONS].i == POSITIONS_CACHE};
    r.cached = r.window - (size_t)r.by_token;
    return r;
}

static size_t params(const model_config *cfg, size_t layer, param_spec *spec)
{
    (void)layer;
    spec[PARAM_QKV] = attn_qkv_spec(cfg);
    spec[PARAM_O] = attn_o_spec(cfg);
    return 2;
}

/* ---- Sizes. ---- */

/* What forward leaves for backward. Without sinks all but the window is empty. */
typedef struct window_saved {
    kvcache_saved local;
    real *q;     /* [R, D] rotated to where sinks are seen from; with absolute positions local.q */
    real *k, *v; /* [lanes, sinks, D_kv]: rotated keys, values; 0 where no token is yet */
    real *angle; /* [lanes, sinks, d_head] of the rotation, as rope_table_fill writes it */
} window_saved;

static size_t saved_layout(const model_config *cfg, size_t lanes, real *base, window_saved *out)
{
    const attn_shape h = attn_shape_of(cfg);
    const reach r = reach_of(cfg);
    const size_t keys = lanes * r.sinks, turned = r.sinks > 0 && r.by_place;
    const size_t part[] = {turned * lanes * (size_t)cfg->segment * h.q, keys * h.kv, keys * h.kv, keys * h.d_head};
    kvcache_saved local;
    real *at[4];
    const size_t before = kvcache_saved_layout(cfg, lanes, r.cached, base, &local);
    const size_t used = attn_carve(base ? base + before : NULL, part, 4, at);
    local.span = r.by_token ? r.window : 0;
    if (out) *out = (window_saved){local, turned ? at[0] : local.q, at[1], at[2], at[3]};
    return before + used;
}

typedef struct window_work {
    kvcache_work local;
    real *dq;      /* [R, D] of window_saved.q */
    real *dk, *dv; /* [lanes, sinks, D_kv] of the sinks that lie in the segment */
} window_work;

static size_t work_layout(const model_config *cfg, size_t lanes, real *base, window_work *out)
{
    const attn_shape h = attn_shape_of(cfg);
    const reach r = reach_of(cfg);
    const size_t part[] = {(r.sinks > 0) * lanes * (size_t)cfg->segment * h.q, lanes * r.sinks * h.kv,
                           lanes * r.sinks * h.kv};
    kvcache_work local;
    real *at[3];
    const size_t before = kvcache_work_layout(cfg, lanes, r.cached, base, &local);
    const size_t used = attn_carve(base ? base + before : NULL, part, 3, at);
    if (out) *out = (window_work){local, at[0], at[1], at[2]};
    return before + used;
}

/* Of a step's rows; k, v and angle of the sinks lie behind the window's keys in what is kept. */
static size_t step_layout(const model_config *cfg, size_t lanes, real *base, window_saved *out)
{
    const reach r = reach_of(cfg);
    const size_t turned = r.sinks > 0 && r.by_place;
    const size_t part = turned * lanes * ATTN_STEP_ROWS * attn_shape_of(cfg).q;
    kvcache_saved local;
    real *q;
    const size_t before = kvcache_step_layout(cfg, lanes, r.cached, base, &local);
    const size_t used = attn_carve(base ? base + before : NULL, &part, 1, &q);
    local.span = r.by_token ? r.window : 0;
    if (out) *out = (window_saved){.local = local, .q = turned ? q : local.q};
    return before + used;
}

static size_t kept_sinks(const model_config *cfg, size_t lanes)
{
    const attn_shape h = attn_shape_of(cfg);
    return lanes * reach_of(cfg).sinks * (2 * h.kv + h.d_head);
}

/* Positions of the table: those of the window and its segment, and of sinks right before them. */
static size_t positions(const model_config *cfg)
{
    const reach r = reach_of(cfg);
    return r.cached + r.sinks + (size_t)cfg->segment + 1;
}

static void sizes(const model_config *cfg, size_t layer, size_t lanes, attn_sizes *out)
{
    (void)layer;
    const reach r = reach_of(cfg);
    kvcache_sizes(cfg, lanes, r.cached, out);
    out->state += 2 * r.sinks * attn_shape_of(cfg).kv;
    out->saved = saved_layout(cfg, lanes, NULL, NULL);
    if (out->scratch < r.sinks) out->scratch = r.sinks;
    out->work = work_layout(cfg, lanes, NULL, NULL);
    out->kept += kept_sinks(cfg, lanes);
    out->step = step_layout(cfg, lanes, NULL, NULL);
    if (out->step_scratch < r.sinks) out->step_scratch = r.sinks;
    out->table = rope_table_reals(cfg, positions(cfg));
    if (r.sinks > 0) out->reach = ATTN_ENDLESS;
    if (r.sinks == 0 || r.by_place) out->settles = (int64_t)(r.cached + r.sinks + 1);
}

static void table_fill(const model_config *cfg, real *table)
{
    rope_table_fill(cfg, cfg->option[ROPE_BASE].r, positions(cfg), table);
}

static size_t state_parts(const model_config *cfg, size_t layer, state_part *part)
{
    (void)layer;
    const reach r = reach_of(cfg);
    const size_t window = r.cached * attn_shape_of(cfg).kv, sinks = r.sinks * attn_shape_of(cfg).kv;
    size_t count = 0;
    if (window > 0) part[count++] = (state_part){"k", 0, 1, window, window};
    if (window > 0) part[count++] = (state_part){"v", window, 1, window, window};
    if (sinks > 0) part[count++] = (state_part){"sink k", 2 * window, 1, sinks, sinks};
    if (sinks > 0) part[count++] = (state_part){"sink v", 2 * window + sinks, 1, sinks, sinks};
    return count;
}

/* ---- Which sinks a token sees, and from where. ---- */

/* Sinks before the window of row i of a segment that `seen` tokens precede: those in the window are seen there. */
static size_t sinks_of_row(const reach *r, uint64_t seen, size_t i)
{
    const uint64_t end = r->by_token ? seen + i + 1 : seen, length = r->window;
    const uint64_t first = end > length ? end - length : 0;
    return first < r->sinks ? (size_t)first : r->sinks;
}

/* The place of row i in its cache of sinks and window: a row of the table. */
static size_t place_of_row(const reach *r, uint64_t seen, size_t i)
{
    const uint64_t most = r->sinks + r->cached, at = r->by_token ? seen + i : seen;
    return (size_t)(at < most ? at : most) + (r->by_token ? 0 : i);
}

/* ---- Rows. ---- */

typedef struct sink_job {
    const attn_call *c;
    const window_saved *s;
    const window_work *w; /* NULL in the forward pass */
    reach r;
    attn_shape h;
    size_t n, first; /* rows of each lane, and which of the segment is the first */
} sink_job;

static sink_job job_of(const attn_call *c, const window_saved *s, const window_work *w)
{
    return (sink_job){c, s, w, reach_of(c->cfg), attn_shape_of(c->cfg), attn_rows(c).rows, c->kept ? c->first : 0};
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
        rope_table_from(cfg, cfg->option[ROPE_BASE].r, (int64_t)j->r.cached - (int64_t)j->c->seen[lane],
                        j->r.sinks, angle);
}

/* Sink j is in the state, or one of the rows at work, or not there yet; rows of an earlier step stay. */
static void load_sinks(void *arg, int task, int worker)
{
    (void)worker;
    const sink_job *j = arg;
    const attn_call *c = j->c;
    const size_t lane = (size_t)task, kv = j->h.kv, sinks = j->r.sinks;
    const real *state = c->state[lane] + kvcache_state_reals(c->cfg, j->r.cached);
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
    real *state = c->state[lane] + kvcache_state_reals(c->cfg, j->r.cached);
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
static void sinks_backward(const sink_job *j, const sink_row *at, size_t lane, real scale)
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
            if (at.count > 0) sinks_backward(j, &at, lane, (real)model_attention_scale(j->c->cfg));
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

/* ---- The layer. ---- */

static void forward(const attn_call *c, const real *x, real *y)
{
    window_saved s;
    saved_layout(c->cfg, c->lanes, c->saved, &s);
    sink_job job = job_of(c, &s, NULL);
    const int keeps = job.r.cached + job.r.sinks > 0;
    if (c->need_output || keeps) attn_project(c, x, attn_matrix(c, PARAM_QKV), s.local.qkv, c->need_output);
    if (c->need_output) {
        kvcache_forward(c, &s.local, (real)model_attention_scale(c->cfg));
        if (job.r.sinks > 0) {
            pool_run(c->pool, (int)c->lanes, load_sinks, &job);
            pool_run(c->pool, (int)(c->lanes * job.h.heads), head_task, &job);
        }
        attn_output(c, s.local.o, attn_matrix(c, PARAM_O), y);
    }
    kvcache_update(c, &s.local);
    if (job.r.sinks > 0) pool_run(c->pool, (int)c->lanes, keep_sinks, &job);
}

static void step(const attn_call *c, const real *x, real *y)
{
    window_saved s;
    step_layout(c->cfg, c->lanes, c->saved, &s);
    kvcache_kept_layout(c, &s.local);
    sink_job job = job_of(c, &s, NULL);
    const size_t keys = c->lanes * job.r.sinks * job.h.kv;
    attn_project(c, x, attn_matrix(c, PARAM_QKV), s.local.qkv, 1);
    kvcache_step(c, &s.local, (real)model_attention_scale(c->cfg));
    if (job.r.sinks > 0) {
        s.k = s.local.v + c->lanes * (job.r.cached + (size_t)c->cfg->segment) * job.h.kv;
        s.v = s.k + keys;
        s.angle = s.v + keys;
        pool_run(c->pool, (int)c->lanes, load_sinks, &job);
        pool_run(c->pool, (int)(c->lanes * job.h.heads), head_task, &job);
    }
    attn_output(c, s.local.o, attn_matrix(c, PARAM_O), y);
}

static void backward(const attn_call *c, const real *x, const real *dy, real *dx)
{
    window_saved s;
    window_work w;
    saved_layout(c->cfg, c->lanes, c->saved, &s);
    work_layout(c->cfg, c->lanes, c->work, &w);
    sink_job job = job_of(c, &s, &w);
    const size_t keys = c->lanes * job.r.sinks * job.h.kv;
    attn_output_backward(c, s.local.o, c->param[PARAM_O], dy, c->grad[PARAM_O], w.local.d_o);
    kvcache_backward(c, &s.local, &w.local, (real)model_attention_scale(c->cfg));
    if (job.r.sinks > 0) {
        attn_zero(c, w.dq, c->lanes * job.n * job.h.q);
        attn_zero(c, w.dk, keys);
        attn_zero(c, w.dv, keys);
        pool_run(c->pool, (int)(c->lanes * job.h.kv_heads), group_backward_task, &job);
        pool_run(c->pool, (int)c->lanes, unload_sinks, &job);
    }
    attn_project_backward(c, x, c->param[PARAM_QKV], w.local.dqkv, c->grad[PARAM_QKV], dx);
}

static double flops(const model_config *cfg, size_t layer, double context)
{
    (void)layer;
    const reach r = reach_of(cfg);
    const double window = (double)r.window, n = (double)cfg->segment, cached = fmin(context, (double)r.cached);
    const double sinks = fmin(fmax(context - (double)r.cached, 0), (double)r.sinks);
    const double seen = r.by_token ? fmin(cached + 0.5 * (n + 1), window) : cached + 0.5 * (n + 1);
    return 4 * (double)attn_width(cfg) * (seen + sinks);
}

/* Keys and values of the tokens before the segment that are kept, the first ones too. */
static double memory_entries(const model_config *cfg)
{
    const reach r = reach_of(cfg);
    return 2 * (double)attn_shape_of(cfg).kv * (double)(r.cached + r.sinks) * (double)cfg->n_layers;
}

const attn_module attn_window = {
    .name = "window",
    .summary = "causal attention over a sliding window and the stream's first tokens (StreamingLLM)",
    .memory_formula = "(d_k + d_v) H N l",
    .memory_entries = memory_entries,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .params = params,
    .sizes = sizes,
    .table_fill = table_fill,
    .state_parts = state_parts,
    .forward = forward,
    .step = step,
    .backward = backward,
    .flops = flops,
};

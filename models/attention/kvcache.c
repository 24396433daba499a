/* Causal attention over a segment and a cache of rotated keys: laying rows out, attending, keeping the newest
 * rows. Rows are worked on in blocks, so that any number of threads gives the same bits. */
#include "models/attention/kvcache.h"

#include "models/engine/causal.h"

#include <string.h>

enum { ROW_BLOCK = 64 };
enum { PARAM_QKV, PARAM_O };

size_t kvcache_saved_layout(const model_config *cfg, size_t lanes, size_t cached, real *base, kvcache_saved *out)
{
    const attn_shape h = attn_shape_of(cfg);
    const size_t n = (size_t)cfg->segment, all = lanes * n, keys = lanes * (cached + n);
    const size_t part[] = {all * h.row, all * h.q, keys * h.kv, keys * h.kv, all * h.q, all * h.heads};
    real *at[6];
    const size_t used = attn_carve(base, part, 6, at);
    if (out) *out = (kvcache_saved){cached, 0, 0, 0, at[0], at[1], at[2], at[3], at[4], at[5]};
    return used;
}

size_t kvcache_work_layout(const model_config *cfg, size_t lanes, size_t cached, real *base, kvcache_work *out)
{
    const attn_shape h = attn_shape_of(cfg);
    const size_t n = (size_t)cfg->segment, all = lanes * n, keys = lanes * (cached + n);
    const size_t part[] = {all * h.q, all * h.row, all * h.q, keys * h.kv, keys * h.kv};
    real *at[5];
    const size_t used = attn_carve(base, part, 5, at);
    if (out) *out = (kvcache_work){at[0], at[1], at[2], at[3], at[4]};
    return used;
}

size_t kvcache_step_layout(const model_config *cfg, size_t lanes, size_t cached, real *base, kvcache_saved *out)
{
    const attn_shape h = attn_shape_of(cfg);
    const size_t all = lanes * ATTN_STEP_ROWS;
    const size_t part[] = {all * h.row, all * h.q, all * h.q, all * h.heads};
    real *at[4];
    const size_t used = attn_carve(base, part, 4, at);
    if (out) *out = (kvcache_saved){cached, 0, 0, 0, at[0], at[1], NULL, NULL, at[2], at[3]};
    return used;
}

/* Reals of k, and of v. */
static size_t kept_part(const model_config *cfg, size_t lanes, size_t cached)
{
    return lanes * (cached + (size_t)cfg->segment) * attn_shape_of(cfg).kv;
}

void kvcache_kept_layout(const attn_call *c, kvcache_saved *s)
{
    s->k = c->kept;
    s->v = c->kept + kept_part(c->cfg, c->lanes, s->cached);
}

size_t kvcache_state_reals(const model_config *cfg, size_t cached)
{
    return 2 * cached * attn_shape_of(cfg).kv;
}

void kvcache_sizes(const model_config *cfg, size_t lanes, size_t cached, attn_sizes *out)
{
    out->state = kvcache_state_reals(cfg, cached);
    out->saved = kvcache_saved_layout(cfg, lanes, cached, NULL, NULL);
    out->scratch = attn_heads_scratch(cfg, cached);
    out->work = kvcache_work_layout(cfg, lanes, cached, NULL, NULL);
    out->kept = 2 * kept_part(cfg, lanes, cached);
    out->step = kvcache_step_layout(cfg, lanes, cached, NULL, NULL);
    out->step_scratch = causal_rows_scratch(cached + (size_t)cfg->segment);
    out->table = rope_table_reals(cfg, cached + (size_t)cfg->segment);
    out->reach = (int64_t)cached;
}

typedef struct row_job {
    const attn_call *c;
    const kvcache_saved *s;
    const kvcache_work *w;
} row_job;

static void run_rows(const attn_call *c, size_t count, pool_task *task, row_job *job)
{
    pool_run(c->pool, (int)(c->lanes * ((count + ROW_BLOCK - 1) / ROW_BLOCK)), task, job);
}

/* The rows [*begin, *end) of `count` in a lane that a task works on. */
static size_t rows_of_task(size_t task, size_t count, size_t *begin, size_t *end)
{
    const size_t blocks = (count + ROW_BLOCK - 1) / ROW_BLOCK;
    *begin = task % blocks * ROW_BLOCK;
    *end = *begin + ROW_BLOCK < count ? *begin + ROW_BLOCK : count;
    return task / blocks;
}

/* The row of the table that turns row i of the cache and the segment behind it. A stream that outgrew its cache
 * goes on by places in it. */
static size_t position_of(const attn_call *c, const kvcache_saved *s, size_t lane, size_t i)
{
    return s->absolute && c->seen[lane] < s->cached ? i + (size_t)c->seen[lane] - s->cached : i;
}

/* Place i of the cache and the segment behind it takes k and v; k is rotated. */
static void load_key(const attn_call *c, const kvcache_saved *s, size_t lane, size_t i, const real *k,
                     const real *v)
{
    const attn_shape h = attn_shape_of(c->cfg);
    const size_t at = (lane * (s->cached + (size_t)c->cfg->segment) + i) * h.kv;
    for (size_t head = 0; head < h.kv; head += h.d_head)
        rope_row(c->cfg, c->table, position_of(c, s, lane, i), s->k + at + head, k + head);
    memcpy(s->v + at, v, h.kv * sizeof *v);
}

/* From the state, unless no token was there yet: then the kernel masks it. */
static void load_cached(const attn_call *c, const kvcache_saved *s, size_t lane, size_t i)
{
    const size_t kv = attn_shape_of(c->cfg).kv;
    const real *k = c->state[lane] + s->offset + i * kv;
    if (i + c->seen[lane] >= s->cached) load_key(c, s, lane, i, k, k + s->cached * kv);
}

/* From row `row` of qkv, with its query. */
static void load_new(const attn_call *c, const kvcache_saved *s, size_t lane, size_t i, size_t row)
{
    const attn_shape h = attn_shape_of(c->cfg);
    const real *qkv = s->qkv + row * h.row;
    load_key(c, s, lane, i, qkv + attn_k_at(&h, 0), qkv + attn_v_at(&h, 0));
    for (size_t at = 0; at < h.q; at += h.d_head)
        rope_row(c->cfg, c->table, position_of(c, s, lane, i), s->q + row * h.q + at, qkv + at);
}

/* Line the cached and the new keys and values up, rotating keys and queries. */
static void load_rows(void *arg, int task, int worker)
{
    (void)worker;
    const row_job *j = arg;
    const attn_call *c = j->c;
    const kvcache_saved *s = j->s;
    const size_t n = (size_t)c->cfg->segment, cached = s->cached;
    size_t begin, end;
    const size_t lane = rows_of_task((size_t)task, cached + n, &begin, &end);
    for (size_t i = begin; i < end; i++)
        if (i < cached)
            load_cached(c, s, lane, i);
        else
            load_new(c, s, lane, i, lane * n + i - cached);
}

static attn_heads heads_of(const attn_call *c, const kvcache_saved *s, real scale)
{
    const attn_shape h = attn_shape_of(c->cfg);
    return (attn_heads){.cached = s->cached,
                        .span = s->span,
                        .scale = scale,
                        .q = s->q,
                        .k = s->k,
                        .v = s->v,
                        .ldq = h.q,
                        .ldk = h.kv,
                        .ldv = h.kv,
                        .o = s->o,
                        .lse = s->lse};
}

void kvcache_forward(const attn_call *c, const kvcache_saved *s, real scale)
{
    row_job job = {c, s, NULL};
    run_rows(c, s->cached + (size_t)c->cfg->segment, load_rows, &job);
    const attn_heads heads = heads_of(c, s, scale);
    attn_heads_forward(c, &heads);
}

static void load_cached_rows(void *arg, int task, int worker)
{
    (void)worker;
    const row_job *j = arg;
    size_t begin, end;
    const size_t lane = rows_of_task((size_t)task, j->s->cached, &begin, &end);
    for (size_t i = begin; i < end; i++) load_cached(j->c, j->s, lane, i);
}

void kvcache_step(const attn_call *c, const kvcache_saved *s, real scale)
{
    row_job job = {c, s, NULL};
    if (c->first == 0) run_rows(c, s->cached, load_cached_rows, &job);
    for (size_t row = 0; row < c->lanes * c->count; row++)
        load_new(c, s, row / c->count, s->cached + c->first + row % c->count, row);
    const attn_heads heads = heads_of(c, s, scale);
    attn_heads_step(c, &heads);
}

static void update_lane(void *arg, int task, int worker)
{
    (void)worker;
    const row_job *j = arg;
    const attn_call *c = j->c;
    const attn_shape h = attn_shape_of(c->cfg);
    const size_t n = (size_t)c->cfg->segment, lane = (size_t)task / 2, is_v = (size_t)task % 2;
    /* Only the end that holds tokens moves: most of a long cache may be empty. */
    const size_t cached = j->s->cached, all = (size_t)c->seen[lane] + c->valid[lane],
                 held = all < cached ? all : cached;
    attn_shift_in(c->state[lane] + j->s->offset + ((is_v + 1) * cached - held) * h.kv, held,
                  j->s->qkv + lane * n * h.row + (is_v ? attn_v_at(&h, 0) : attn_k_at(&h, 0)), h.row,
                  c->valid[lane], h.kv);
}

void kvcache_update(const attn_call *c, const kvcache_saved *s)
{
    row_job job = {c, s, NULL};
    if (s->cached > 0) pool_run(c->pool, (int)(2 * c->lanes), update_lane, &job);
}

static void unload_rows(void *arg, int task, int worker)
{
    (void)worker;
    const row_job *j = arg;
    const attn_call *c = j->c;
    const kvcache_work *w = j->w;
    const attn_shape h = attn_shape_of(c->cfg);
    const size_t n = (size_t)c->cfg->segment, cached = j->s->cached;
    size_t begin, end;
    const size_t lane = rows_of_task((size_t)task, n, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        const size_t row = lane * n + i, key = lane * (cached + n) + cached + i;
        real *dqkv = w->dqkv + row * h.row;
        memset(dqkv, 0, (h.q + h.kv) * sizeof *dqkv);
        const size_t position = position_of(c, j->s, lane, cached + i);
        for (size_t at = 0; at < h.q; at += h.d_head)
            rope_row_backward(c->cfg, c->table, position, dqkv + at, w->dq + row * h.q + at);
        for (size_t at = 0; at < h.kv; at += h.d_head)
            rope_row_backward(c->cfg, c->table, position, dqkv + h.q + at, w->dk + key * h.kv + at);
        memcpy(dqkv + attn_v_at(&h, 0), w->dv + key * h.kv, h.kv * sizeof *dqkv);
    }
}

void kvcache_backward(const attn_call *c, const kvcache_saved *s, const kvcache_work *w, real scale)
{
    const attn_shape h = attn_shape_of(c->cfg);
    const size_t n = (size_t)c->cfg->segment, keys = c->lanes * (s->cached + n);
    attn_zero(c, w->dq, c->lanes * n * h.q);
    attn_zero(c, w->dk, keys * h.kv);
    attn_zero(c, w->dv, keys * h.kv);
    const attn_heads heads = heads_of(c, s, scale);
    const attn_heads_grads grads = {
        .d_o = w->d_o, .dq = w->dq, .dk = w->dk, .dv = w->dv, .lddq = h.q, .lddk = h.kv, .lddv = h.kv};
    attn_heads_backward(c, &heads, &grads);
    row_job job = {c, s, w};
    run_rows(c, n, unload_rows, &job);
}

void kvcache_layer_forward(const attn_call *c, size_t cached, int absolute, const real *x, real *y)
{
    kvcache_saved s;
    kvcache_saved_layout(c->cfg, c->lanes, cached, c->saved, &s);
    s.absolute = absolute;
    if (c->need_output || cached > 0) attn_project(c, x, attn_matrix(c, PARAM_QKV), s.qkv, c->need_output);
    if (c->need_output) {
        kvcache_forward(c, &s, (real)model_attention_scale(c->cfg));
        attn_output(c, s.o, attn_matrix(c, PARAM_O), y);
    }
    kvcache_update(c, &s);
}

void kvcache_layer_step(const attn_call *c, size_t cached, int absolute, const real *x, real *y)
{
    kvcache_saved s;
    kvcache_step_layout(c->cfg, c->lanes, cached, c->saved, &s);
    kvcache_kept_layout(c, &s);
    s.absolute = absolute;
    attn_project(c, x, attn_matrix(c, PARAM_QKV), s.qkv, 1);
    kvcache_step(c, &s, (real)model_attention_scale(c->cfg));
    attn_output(c, s.o, attn_matrix(c, PARAM_O), y);
}

void kvcache_layer_backward(const attn_call *c, size_t cached, int absolute, const real *x, const real *dy,
                            real *dx)
{
    kvcache_saved s;
    kvcache_work w;
    kvcache_saved_layout(c->cfg, c->lanes, cached, c->saved, &s);
    kvcache_work_layout(c->cfg, c->lanes, cached, c->work, &w);
    s.absolute = absolute;
    attn_output_backward(c, s.o, c->param[PARAM_O], dy, c->grad[PARAM_O], w.d_o);
    kvcache_backward(c, &s, &w, (real)model_attention_scale(c->cfg));
    attn_project_backward(c, x, c->param[PARAM_QKV], w.dqkv, c->grad[PARAM_QKV], dx);
}

/* Transformer-XL (Dai et al. 2019, arXiv 1901.02860): segment-level recurrence with relative positions.
 *
 *   score(i, j) = [(q_i + u) k_j + (q_i + v) W_r r_{i-j}] * scale      (section 3.3; u = r_w_bias, v = r_r_bias)
 *
 * The memory is the residual stream that entered the layer at the mem_len tokens before the segment. Norm, keys
 * and values of cached positions are computed from it with the current weights, as in the original's pre-norm
 * mode: so the norm's gain and bias and W_k and W_v learn through cached rows, but no gradient flows into the rows
 * themselves.
 *
 * State of a lane: the residual stream [mem_len, d_model], the newest token last. */
#include "models/attention/transformer_xl.h"

#include "models/attention/common.h"
#include "models/attention/compressive.h"
#include "models/attention/modules.h"
#include "models/engine/causal.h"
#include "models/engine/kernels.h"

#include <string.h>

enum { ROW_BLOCK = 64 };

static const kv_spec options[] = {
    XL_MEM_LEN_OPTION,
    XL_CLAMP_LEN_OPTION,
    {"same_length", KV_CHOICE, OPTION(XL_SAME_LENGTH), "0", 0, 0, "0|1",
     "1: every position sees exactly mem_len tokens, itself included"},
    XL_UNTIE_R_OPTION,
};

/* Compressive has another option in its place. */
static int same_length(const model_config *cfg)
{
    return cfg->attention == &attn_transformer_xl && cfg->option[XL_SAME_LENGTH].i == 1;
}

size_t xl_mem_len(const model_config *cfg)
{
    const int64_t length = cfg->option[XL_MEM_LEN].i;
    return (size_t)(length < 0 ? cfg->segment : length);
}

size_t xl_cached(const model_config *cfg)
{
    return xl_mem_len(cfg) + (cfg->attention == &attn_compressive ? compressive_len(cfg) : 0);
}

/* Keys of one lane and segment: cached, then new. */
static size_t key_rows(const model_config *cfg)
{
    return xl_cached(cfg) + (size_t)cfg->segment;
}

int xl_check(const model_config *cfg, pal_error *err)
{
    if (cfg->d_model % 2 != 0)
        return pal_fail(err, PAL_USAGE, "d_model = %lld: the position encoding of %s needs an even d_model",
                        (long long)cfg->d_model, cfg->attention->name);
    if (cfg->qk_norm != QK_NORM_NONE)
        return pal_fail(err, PAL_USAGE, "qk_norm: %s makes cached keys anew and has no norm for them",
                        cfg->attention->name);
    if (same_length(cfg) && xl_cached(cfg) == 0)
        return pal_fail(err, PAL_USAGE,
                        "same_length = 1 with mem_len = 0 leaves nothing to attend to; raise mem_len");
    return PAL_OK;
}

size_t xl_params(const model_config *cfg, size_t layer, param_spec *spec)
{
    (void)layer;
    const size_t heads = (size_t)cfg->n_heads, d_head = (size_t)cfg->d_head;
    const unsigned flags = PARAM_NO_DECAY | (cfg->option[XL_UNTIE_R].i ? 0 : PARAM_SHARED);
    spec[XL_QKV] = attn_qkv_spec(cfg);
    spec[XL_R] = (param_spec){"r_net.weight", attn_width(cfg), (size_t)cfg->d_model, INIT_NORMAL, 0, 0};
    spec[XL_O] = attn_o_spec(cfg);
    spec[XL_U] = (param_spec){"r_w_bias", heads, d_head, INIT_NORMAL, 0, flags};
    spec[XL_V] = (param_spec){"r_r_bias", heads, d_head, INIT_NORMAL, 0, flags};
    return XL_PARAMS;
}

typedef struct saved_area {
    real *cached;  /* [lanes * mem_len, d_model] the state before the segment; 0 where no token was yet */
    real *mean;    /* [lanes * mem_len] of cached */
    real *rstd;    /* [lanes * mem_len] */
    real *hidden;  /* [lanes * keys, d_model] norm(cached), then the segment's x */
    real *kv;      /* [lanes * keys, 2 D_kv] */
    real *rel;     /* [keys, D] W_r r by distance */
    real *q_u;     /* [R, D] q + u */
    real *q_v;     /* [R, D] q + v */
    real *o, *lse; /* [R, D], [R, H] */
    real *new_kv;  /* of steps alone: [lanes * count, 2 D_kv] before they go to their places in kv */
} saved_area;

static size_t saved_layout(const model_config *cfg, size_t lanes, real *base, saved_area *out)
{
    const size_t d = attn_width(cfg), all = lanes * (size_t)cfg->segment, keys = key_rows(cfg);
    const size_t m = (size_t)cfg->d_model, old = lanes * xl_cached(cfg);
    const size_t part[] = {old * m,  old,     old,     lanes * keys * m, lanes * keys * 2 * attn_shape_of(cfg).kv,
                           keys * d, all * d, all * d, all * d,          all * (size_t)cfg->n_heads};
    real *at[10];
    const size_t used = attn_carve(base, part, 10, at);
    if (out) *out = (saved_area){at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7], at[8], at[9], NULL};
    return used;
}

/* Of a step's rows. What is made of the state, once a segment, is kept: hidden, kv and rel of saved_area. */
static size_t step_layout(const model_config *cfg, size_t lanes, real *base, saved_area *out)
{
    const size_t all = lanes * ATTN_STEP_ROWS, d = attn_width(cfg);
    const size_t part[] = {all * d, all * d, all * d, all * (size_t)cfg->n_heads, all * 2 * attn_shape_of(cfg).kv};
    real *at[5];
    const size_t used = attn_carve(base, part, 5, at);
    if (out) *out = (saved_area){.q_u = at[0], .q_v = at[1], .o = at[2], .lse = at[3], .new_kv = at[4]};
    return used;
}

static size_t kept_layout(const model_config *cfg, size_t lanes, real *base, saved_area *out)
{
    const size_t m = (size_t)cfg->d_model, keys = key_rows(cfg);
    const size_t part[] = {lanes * xl_cached(cfg) * m, lanes * keys * 2 * attn_shape_of(cfg).kv,
                           keys * attn_width(cfg)};
    real *at[3];
    const size_t used = attn_carve(base, part, 3, at);
    if (out) {
        out->hidden = at[0];
        out->kv = at[1];
        out->rel = at[2];
    }
    return used;
}

typedef struct work_area {
    real *d_o;         /* [R, D] */
    real *dq_u, *dq_v; /* [R, D]; dq_u then becomes dq */
    real *dkv;         /* [lanes * keys, 2 D_kv] */
    real *drel;        /* [lanes * keys, D]; the first lane's part then becomes the sum */
    real *dhidden;     /* [lanes * mem_len, d_model] of the normed cached rows */
    real *partial;     /* of their norm (norm.h) */
} work_area;

static size_t work_layout(const model_config *cfg, size_t lanes, real *base, work_area *out)
{
    const size_t d = attn_width(cfg), all = lanes * (size_t)cfg->segment, keys = lanes * key_rows(cfg);
    const size_t m = (size_t)cfg->d_model, old = lanes * xl_cached(cfg);
    const size_t part[] = {all * d,
                           all * d,
                           all * d,
                           keys * 2 * attn_shape_of(cfg).kv,
                           keys * d,
                           old * m,
                           norm_partial_reals(old, m)};
    real *at[7];
    const size_t used = attn_carve(base, part, 7, at);
    if (out) *out = (work_area){at[0], at[1], at[2], at[3], at[4], at[5], at[6]};
    return used;
}

void xl_table_fill(const model_config *cfg, real *table)
{
    const size_t clamp = cfg->option[XL_CLAMP_LEN].i > 0 ? (size_t)cfg->option[XL_CLAMP_LEN].i : key_rows(cfg);
    relative_table_fill((size_t)cfg->d_model, key_rows(cfg), clamp, table);
}

void xl_sizes(const model_config *cfg, size_t layer, size_t lanes, attn_sizes *out)
{
    (void)layer;
    out->state = xl_cached(cfg) * (size_t)cfg->d_model;
    out->saved = saved_layout(cfg, lanes, NULL, NULL);
    out->scratch = attn_heads_scratch(cfg, xl_cached(cfg));
    out->work = work_layout(cfg, lanes, NULL, NULL);
    out->kept = kept_layout(cfg, lanes, NULL, NULL);
    out->step = step_layout(cfg, lanes, NULL, NULL);
    out->step_scratch = causal_rows_scratch(key_rows(cfg));
    out->table = key_rows(cfg) * (size_t)cfg->d_model;
    out->reach = (int64_t)xl_cached(cfg);
}

static attn_heads heads_of(const attn_call *c, const saved_area *s)
{
    const size_t d = attn_width(c->cfg), kv = attn_shape_of(c->cfg).kv;
    return (attn_heads){.cached = xl_cached(c->cfg),
                        .span = same_length(c->cfg) ? xl_cached(c->cfg) : 0,
                        .scale = (real)model_attention_scale(c->cfg),
                        .q = s->q_u,
                        .k = s->kv,
                        .v = s->kv + kv,
                        .ldq = d,
                        .ldk = 2 * kv,
                        .ldv = 2 * kv,
                        .q_rel = s->q_v,
                        .rel = s->rel,
                        .ldq_rel = d,
                        .ldrel = d,
                        .o = s->o,
                        .lse = s->lse};
}

/* A pass over all rows of the segment, in blocks. */
typedef struct row_job {
    const attn_call *c;
    real *a, *b;
} row_job;

static void run_rows(const attn_call *c, pool_task *task, real *a, real *b)
{
    row_job job = {c, a, b};
    const size_t all = attn_row_count(c);
    pool_run(c->pool, (int)((all + ROW_BLOCK - 1) / ROW_BLOCK), task, &job);
}

static size_t end_of_task(const attn_call *c, size_t task)
{
    const size_t all = attn_row_count(c);
    return (task + 1) * ROW_BLOCK < all ? (task + 1) * ROW_BLOCK : all;
}

/* a holds q: b = q + v, a = q + u */
static void add_biases(void *arg, int task, int worker)
{
    (void)worker;
    const row_job *j = arg;
    const kernels *k = kernels_get();
    const size_t d = attn_width(j->c->cfg);
    for (size_t i = (size_t)task * ROW_BLOCK; i < end_of_task(j->c, (size_t)task); i++) {
        k->blend(j->b + i * d, 1, j->a + i * d, 1, j->c->param[XL_V], d);
        k->axpy(j->a + i * d, 1, j->c->param[XL_U], d);
    }
}

static void add_rows(void *arg, int task, int worker)
{
    (void)worker;
    const row_job *j = arg;
    const size_t d = attn_width(j->c->cfg), begin = (size_t)task * ROW_BLOCK;
    kernels_get()->axpy(j->a + begin * d, 1, j->b + begin * d, (end_of_task(j->c, (size_t)task) - begin) * d);
}

typedef struct load_job {
    const attn_call *c;
    const real *x;
    const saved_area *s;
} load_job;

/* A cached row: kept as it is for backward, and normed as the rows of x are. */
static void load_cached(const load_job *j, size_t lane, size_t i)
{
    const attn_call *c = j->c;
    const size_t m = (size_t)c->cfg->d_model, memory = xl_cached(c->cfg), row = lane * memory + i;
    real *cached = j->s->cached + row * m, *hidden = j->s->hidden + (lane * key_rows(c->cfg) + i) * m;
    const int exists = i + c->seen[lane] >= memory; /* the kernel masks the others */
    j->s->mean[row] = j->s->rstd[row] = 0;
    if (exists)
        memcpy(cached, c->state[lane] + i * m, m * sizeof *cached);
    else
        memset(cached, 0, m * sizeof *cached);
    if (exists && c->norm)
        norm_row(c->norm, cached, hidden, &j->s->mean[row], &j->s->rstd[row]);
    else
        memcpy(hidden, cached, m * sizeof *hidden);
}

static size_t load_blocks(const model_config *cfg)
{
    return (key_rows(cfg) + ROW_BLOCK - 1) / ROW_BLOCK;
}

/* Line the cached and the new rows of a lane up. */
static void load_rows(void *arg, int task, int worker)
{
    (void)worker;
    const load_job *j = arg;
    const model_config *cfg = j->c->cfg;
    const size_t m = (size_t)cfg->d_model, n = (size_t)cfg->segment, memory = xl_cached(cfg);
    const size_t lane = (size_t)task / load_blocks(cfg), begin = (size_t)task % load_blocks(cfg) * ROW_BLOCK;
    for (size_t i = begin; i < begin + ROW_BLOCK && i < memory + n; i++) {
        if (i < memory)
            load_cached(j, lane, i);
        else
            memcpy(j->s->hidden + (lane * (memory + n) + i) * m, j->x + (lane * n + i - memory) * m,
                   m * sizeof(real));
    }
}

static void update_lane(void *arg, int task, int worker)
{
    (void)worker;
    const load_job *j = arg;
    const attn_call *c = j->c;
    const size_t m = (size_t)c->cfg->d_model, n = (size_t)c->cfg->segment, lane = (size_t)task;
    const real *enters = c->norm ? c->residual : j->x;
    attn_shift_in(c->state[lane], xl_cached(c->cfg), enters + lane * n * m, m, c->valid[lane], m);
}

void xl_read(const attn_call *c, const real *x, real *y)
{
    const size_t m = (size_t)c->cfg->d_model, d = attn_width(c->cfg), keys = key_rows(c->cfg);
    saved_area s;
    saved_layout(c->cfg, c->lanes, c->saved, &s);
    load_job load = {c, x, &s};
    pool_run(c->pool, (int)(c->lanes * load_blocks(c->cfg)), load_rows, &load);
    const matrix w = attn_matrix(c, XL_QKV);
    const size_t kv = attn_shape_of(c->cfg).kv;
    const real *bias = c->extra.qkv_bias;
    linear_forward(c->pool, attn_rows(c), m, d, x, m, matrix_rows(w, m, 0, d), bias, s.q_u, d);
    linear_forward(c->pool, (rows){c->lanes, keys}, m, 2 * kv, s.hidden, m, matrix_rows(w, m, d, 2 * kv),
                   bias ? bias + d : NULL, s.kv, 2 * kv);
    linear_forward(c->pool, (rows){1, keys}, m, d, c->table, m, attn_matrix(c, XL_R), NULL, s.rel, d);
    run_rows(c, add_biases, s.q_u, s.q_v);
    const attn_heads heads = heads_of(c, &s);
    attn_heads_forward(c, &heads);
    attn_output(c, s.o, attn_matrix(c, XL_O), y);
}

static void forward(const attn_call *c, const real *x, real *y)
{
    if (c->need_output) xl_read(c, x, y);
    load_job update = {c, x, NULL};
    pool_run(c->pool, (int)c->lanes, update_lane, &update);
}

/* ---- Steps. ---- */

/* Cached rows, normed; those that no token was at yet stay what they are: the kernel masks them. */
static void norm_cached(void *arg, int task, int worker)
{
    (void)worker;
    const load_job *j = arg;
    const attn_call *c = j->c;
    const size_t m = (size_t)c->cfg->d_model, memory = xl_cached(c->cfg),
                 blocks = (memory + ROW_BLOCK - 1) / ROW_BLOCK;
    const size_t lane = (size_t)task / blocks, begin = (size_t)task % blocks * ROW_BLOCK;
    for (size_t i = begin; i < begin + ROW_BLOCK && i < memory; i++) {
        real *hidden = j->s->hidden + (lane * memory + i) * m, mean, rstd;
        if (i + c->seen[lane] < memory) continue;
        if (c->norm)
            norm_row(c->norm, c->state[lane] + i * m, hidden, &mean, &rstd);
        else
            memcpy(hidden, c->state[lane] + i * m, m * sizeof *hidden);
    }
}

/* Keys and values of the cached rows, and the positions, once a segment. */
static void load_segment(const attn_call *c, const saved_area *s)
{
    const size_t m = (size_t)c->cfg->d_model, d = attn_width(c->cfg), kv = attn_shape_of(c->cfg).kv;
    const size_t memory = xl_cached(c->cfg), keys = key_rows(c->cfg);
    const real *bias = c->extra.qkv_bias;
    load_job job = {c, NULL, s};
    attn_linear(c, (rows){1, keys}, m, d, c->table, m, attn_matrix(c, XL_R), NULL, s->rel, d);
    if (memory == 0) return;
    pool_run(c->pool, (int)(c->lanes * ((memory + ROW_BLOCK - 1) / ROW_BLOCK)), norm_cached, &job);
    for (size_t lane = 0; lane < c->lanes; lane++)
        attn_linear(c, (rows){1, memory}, m, 2 * kv, s->hidden + lane * memory * m, m,
                    matrix_rows(attn_matrix(c, XL_QKV), m, d, 2 * kv), bias ? bias + d : NULL,
                    s->kv + lane * keys * 2 * kv, 2 * kv);
}

void xl_step(const attn_call *c, const real *x, real *y)
{
    const size_t m = (size_t)c->cfg->d_model, d = attn_width(c->cfg), kv = attn_shape_of(c->cfg).kv;
    const matrix w = attn_matrix(c, XL_QKV);
    const real *bias = c->extra.qkv_bias;
    saved_area s;
    step_layout(c->cfg, c->lanes, c->saved, &s);
    kept_layout(c->cfg, c->lanes, c->kept, &s);
    if (c->first == 0) load_segment(c, &s);
    attn_linear(c, attn_rows(c), m, d, x, m, matrix_rows(w, m, 0, d), bias, s.q_u, d);
    attn_linear(c, attn_rows(c), m, 2 * kv, x, m, matrix_rows(w, m, d, 2 * kv), bias ? bias + d : NULL, s.new_kv,
                2 * kv);
    for (size_t lane = 0; lane < c->lanes; lane++)
        memcpy(s.kv + (lane * key_rows(c->cfg) + xl_cached(c->cfg) + c->first) * 2 * kv,
               s.new_kv + lane * c->count * 2 * kv, c->count * 2 * kv * sizeof *s.kv);
    run_rows(c, add_biases, s.q_u, s.q_v);
    const attn_heads heads = heads_of(c, &s);
    attn_heads_step(c, &heads);
    attn_output(c, s.o, attn_matrix(c, XL_O), y);
}

/* Through the keys and values of cached rows to the gain and bias of the norm, and no further. */
static void norm_backward(const attn_call *c, const saved_area *s, const work_area *g)
{
    const size_t m = (size_t)c->cfg->d_model, d = attn_width(c->cfg), memory = xl_cached(c->cfg);
    const size_t kv = attn_shape_of(c->cfg).kv;
    if (!c->norm || memory == 0) return;
    for (size_t lane = 0; lane < c->lanes; lane++)
        linear_backward_input(c->pool, (rows){1, memory}, m, 2 * kv, g->dkv + lane * key_rows(c->cfg) * 2 * kv,
                              2 * kv, c->param[XL_QKV] + d * m, g->dhidden + lane * memory * m, m, 0);
    norm_rows_backward(c->pool, c->norm, c->lanes * memory, g->dhidden, s->cached, s->mean, s->rstd, NULL,
                       g->partial);
}

void xl_backward(const attn_call *c, const real *x, const real *dy, real *dx)
{
    const size_t n = (size_t)c->cfg->segment, m = (size_t)c->cfg->d_model, d = attn_width(c->cfg);
    const size_t memory = xl_cached(c->cfg), keys = memory + n, all = c->lanes * n;
    const size_t kv = attn_shape_of(c->cfg).kv;
    real *dbias = c->extra.dqkv_bias;
    const real *w = c->param[XL_QKV];
    real *dw = c->grad[XL_QKV];
    saved_area s;
    work_area g;
    saved_layout(c->cfg, c->lanes, c->saved, &s);
    work_layout(c->cfg, c->lanes, c->work, &g);
    attn_output_backward(c, s.o, c->param[XL_O], dy, c->grad[XL_O], g.d_o);
    attn_zero(c, g.dq_u, all * d);
    attn_zero(c, g.dq_v, all * d);
    attn_zero(c, g.dkv, c->lanes * keys * 2 * kv);
    attn_zero(c, g.drel, c->lanes * keys * d);
    const attn_heads heads = heads_of(c, &s);
    const attn_heads_grads grads = {.d_o = g.d_o,
                                    .dq = g.dq_u,
                                    .dk = g.dkv,
                                    .dv = g.dkv + kv,
                                    .lddq = d,
                                    .lddk = 2 * kv,
                                    .lddv = 2 * kv,
                                    .dq_rel = g.dq_v,
                                    .drel = g.drel,
                                    .lddq_rel = d,
                                    .lddrel = d};
    attn_heads_backward(c, &heads, &grads);
    attn_add_rows(c->grad[XL_U], g.dq_u, d, all, d);
    attn_add_rows(c->grad[XL_V], g.dq_v, d, all, d);
    run_rows(c, add_rows, g.dq_u, g.dq_v);
    attn_add_rows(g.drel, g.drel + keys * d, keys * d, c->lanes - 1, keys * d);
    linear_backward_weight(c->pool, (rows){1, keys}, m, d, c->table, m, g.drel, d, c->grad[XL_R], NULL);
    linear_backward_weight(c->pool, attn_rows(c), m, d, x, m, g.dq_u, d, dw, dbias);
    linear_backward_weight(c->pool, (rows){c->lanes, keys}, m, 2 * kv, s.hidden, m, g.dkv, 2 * kv,
                           dw ? dw + d * m : NULL, dbias ? dbias + d : NULL);
    linear_backward_input(c->pool, attn_rows(c), m, d, g.dq_u, d, w, dx, m, 0);
    norm_backward(c, &s, &g);
    for (size_t lane = 0; lane < c->lanes; lane++) /* the new rows alone: cached ones take no gradient */
        linear_backward_input(c->pool, (rows){1, n}, m, 2 * kv, g.dkv + (lane * keys + memory) * 2 * kv, 2 * kv,
                              w + d * m, dx + lane * n * m, m, 1);
}

/* Beyond the projections of the new tokens: those of the cached ones (one lane: r_net's too), once a segment. */
double xl_flops(const model_config *cfg, size_t layer, double context)
{
    (void)layer;
    const double d = (double)attn_width(cfg), memory = (double)xl_cached(cfg), n = (double)cfg->segment;
    const double cached = context < memory ? context : memory;
    double seen = cached + 0.5 * (n + 1);
    if (same_length(cfg) && seen > memory) seen = memory;
    const double cached_reals = d + 2 * (double)attn_shape_of(cfg).kv; /* r_net's and those of k and v */
    return 6 * d * seen + 2 * cached_reals * (double)cfg->d_model * memory / n;
}

static double memory_entries(const model_config *cfg)
{
    return 2 * (double)attn_shape_of(cfg).kv * (double)xl_cached(cfg) * (double)cfg->n_layers;
}

const attn_module attn_transformer_xl = {
    .name = "transformer-xl",
    .summary = "Transformer-XL: relative positions and a cache of hidden states",
    .memory_formula = "(d_k + d_v) H N l",
    .memory_entries = memory_entries,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .check = xl_check,
    .params = xl_params,
    .sizes = xl_sizes,
    .table_fill = xl_table_fill,
    .state_version = 1, /* 0 held normed rows */
    .forward = forward,
    .step = xl_step,
    .backward = xl_backward,
    .flops = xl_flops,
};

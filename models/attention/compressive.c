/* Compressive Transformer (Rae et al. 2020, arXiv 1911.05507): Transformer-XL whose cache has a second one in
 * front of it, where rows that leave the first are kept c to one.
 *
 *   compressed_g = W [h_cg; ...; h_cg+c-1] + b       a convolution of width and stride c over hidden states
 *
 * Attention runs over both caches and the segment with relative positions by row, as transformer_xl.c reads a
 * longer cache. No gradient enters either. W and b learn by attention reconstruction alone: the mean square
 * difference of what the segment's queries read of the rows that leave, and of what these are compressed to,
 * without positions; queries, rows, norm, W_k and W_v are constants there. Its weight beside the loss is
 * `reconstruction`, as a mean over lanes, segments and layers.
 *
 * Group g is compressed as soon as one of its rows has left. State of a lane: compressed rows [compressed_len,
 * d_model], then the residual stream [mem_len, d_model], the newest last. */
#include "models/attention/compressive.h"

#include "models/attention/common.h"
#include "models/attention/modules.h"
#include "models/attention/transformer_xl.h"
#include "models/engine/kernels.h"

#include <math.h>
#include <string.h>

enum { COMPRESSED_LEN = XL_SAME_LENGTH, RATE = XL_OPTIONS, RECONSTRUCTION };
enum { PARAM_W = XL_PARAMS, PARAM_B, PARAM_COUNT };

static const kv_spec options[] = {
    XL_MEM_LEN_OPTION,
    XL_CLAMP_LEN_OPTION,
    {"compressed_len", KV_INT, OPTION(COMPRESSED_LEN), "-1", -1, 1 << 30, NULL,
     "compressed rows that each layer sees; -1: a segment's length"},
    XL_UNTIE_R_OPTION,
    {"compress_rate", KV_INT, OPTION(RATE), "4", 1, 1 << 10, NULL, "tokens that become one compressed row"},
    {"reconstruction", KV_REAL, OPTION(RECONSTRUCTION), "1", 0, 1e6, NULL,
     "weight of attention reconstruction, which trains the compression"},
};

size_t compressive_len(const model_config *cfg)
{
    const int64_t length = cfg->option[COMPRESSED_LEN].i;
    return (size_t)(length < 0 ? cfg->segment : length);
}

static size_t rate_of(const model_config *cfg)
{
    return (size_t)cfg->option[RATE].i;
}

/* Groups that are compressed once `seen` tokens were read. */
static uint64_t groups_of(const model_config *cfg, uint64_t seen)
{
    const uint64_t length = xl_mem_len(cfg), rate = rate_of(cfg);
    return seen > length ? (seen - length + rate - 1) / rate : 0;
}

/* The most that one segment adds. */
static size_t most_groups(const model_config *cfg)
{
    return (size_t)cfg->segment / rate_of(cfg) + 1;
}

static int check(const model_config *cfg, pal_error *err)
{
    PAL_TRY(xl_check(cfg, err));
    if (compressive_len(cfg) > 0 && xl_mem_len(cfg) < rate_of(cfg))
        return pal_fail(err, PAL_USAGE, "mem_len = %zu is less than compress_rate = %zu; raise it",
                        xl_mem_len(cfg), rate_of(cfg));
    return PAL_OK;
}

static size_t params(const model_config *cfg, size_t layer, param_spec *spec)
{
    const size_t m = (size_t)cfg->d_model, in = m * rate_of(cfg);
    xl_params(cfg, layer, spec);
    spec[PARAM_W] = (param_spec){"compress.weight", m, in, INIT_NORMAL, 1 / sqrt(3 * (double)in), PARAM_RARE};
    spec[PARAM_B] = (param_spec){"compress.bias", 1, m, INIT_CONSTANT, 0, PARAM_NO_DECAY};
    return PARAM_COUNT;
}

/* ---- sizes ---- */

/* Behind what transformer_xl.c leaves. */
typedef struct saved {
    uint64_t *exist;  /* [lanes] rows of the cache that exist */
    real *count;      /* [lanes] groups that were compressed */
    real *leave;      /* [lanes, most_groups, rate * d_model] */
    real *compressed; /* [lanes, most_groups, d_model] */
} saved;

static size_t saved_layout(const model_config *cfg, size_t lanes, real *base, saved *out)
{
    const size_t m = (size_t)cfg->d_model, groups = lanes * most_groups(cfg);
    const size_t part[] = {lanes * sizeof(uint64_t) / sizeof(real), lanes, groups * rate_of(cfg) * m, groups * m};
    real *at[4];
    const size_t used = attn_carve(base, part, 4, at);
    if (out) *out = (saved){(uint64_t *)(void *)at[0], at[1], at[2], at[3]};
    return used;
}

/* Of attention reconstruction, a lane after the other: of old rows, then of compressed ones. */
typedef struct work {
    real *hidden, *kv;   /* [rows, d_model] normed; [rows, 2 D_kv] */
    real *mean, *rstd;   /* [rows] */
    real *q;             /* [N, D] */
    real *p, *dp;        /* [N, rows] */
    real *read;          /* [2, N, d_head] */
    real *dkv, *dhidden; /* [groups, 2 D_kv], [groups, d_model] */
    real *drow;          /* [groups, d_model] */
} work;

static size_t work_layout(const model_config *cfg, real *base, work *out)
{
    const attn_shape s = attn_shape_of(cfg);
    const size_t m = (size_t)cfg->d_model, n = (size_t)cfg->segment, groups = most_groups(cfg);
    const size_t count = groups * (rate_of(cfg) + 1); /* old and compressed rows */
    const size_t part[] = {count * m,         count * 2 * s.kv, count,     count,
                           n * s.q,           n * count,        n * count, 2 * n * s.d_head,
                           groups * 2 * s.kv, groups * m,       groups * m};
    real *at[11];
    const size_t used = attn_carve(base, part, 11, at);
    if (out) *out = (work){at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7], at[8], at[9], at[10]};
    return used;
}

static void sizes(const model_config *cfg, size_t layer, size_t lanes, attn_sizes *out)
{
    const size_t length = xl_mem_len(cfg), reach = length + rate_of(cfg) * (compressive_len(cfg) + 1);
    xl_sizes(cfg, layer, lanes, out);
    out->saved += saved_layout(cfg, lanes, NULL, NULL);
    out->step += saved_layout(cfg, lanes, NULL, NULL);
    const size_t more = work_layout(cfg, NULL, NULL);
    if (out->work < more) out->work = more;
    out->reach = (int64_t)(compressive_len(cfg) > 0 ? reach : length);
    if ((size_t)cfg->segment % rate_of(cfg) == 0)
        out->settles = (int64_t)reach; /* groups then begin with segments */
}

/* The call with the rows that exist in place of the tokens seen. `at`: reals of transformer_xl.c in `saved`. */
static attn_call as_xl(const attn_call *c, size_t at, saved *s)
{
    attn_call call = *c;
    saved_layout(c->cfg, c->lanes, c->saved + at, s);
    const uint64_t length = xl_mem_len(c->cfg), most = compressive_len(c->cfg);
    for (size_t lane = 0; lane < c->lanes; lane++) {
        const uint64_t groups = groups_of(c->cfg, c->seen[lane]), near = c->seen[lane];
        s->exist[lane] = (near < length ? near : length) + (groups < most ? groups : most);
    }
    call.seen = s->exist;
    return call;
}

static size_t xl_saved(const model_config *cfg, size_t lanes)
{
    attn_sizes out = {0};
    xl_sizes(cfg, 0, lanes, &out);
    return out.saved;
}

static size_t xl_step_saved(const model_config *cfg, size_t lanes)
{
    attn_sizes out = {0};
    xl_sizes(cfg, 0, lanes, &out);
    return out.step;
}

/* ---- the state ---- */

/* The rows that leave a lane's cache with this segment, group by group. */
static size_t gather(const attn_call *c, size_t lane, const real *enters, real *leave)
{
    const size_t m = (size_t)c->cfg->d_model, length = xl_mem_len(c->cfg), rate = rate_of(c->cfg);
    const uint64_t seen = c->seen[lane], first = groups_of(c->cfg, seen) * rate;
    const uint64_t end = groups_of(c->cfg, seen + c->valid[lane]) * rate;
    const real *cache = c->state[lane] + compressive_len(c->cfg) * m;
    for (uint64_t t = first; t < end; t++) {
        const real *row = t < seen ? cache + (size_t)(t + length - seen) * m : enters + (size_t)(t - seen) * m;
        memcpy(leave + (size_t)(t - first) * m, row, m * sizeof *leave);
    }
    return (size_t)(end - first) / rate;
}

static void update(const attn_call *c, const saved *s, const real *x)
{
    const size_t m = (size_t)c->cfg->d_model, n = (size_t)c->cfg->segment, length = xl_mem_len(c->cfg);
    const size_t rate = rate_of(c->cfg), most = most_groups(c->cfg), kept = compressive_len(c->cfg);
    const real *enters = c->norm ? c->residual : x;
    memset(s->leave, 0, c->lanes * most * rate * m * sizeof *s->leave);
    for (size_t lane = 0; lane < c->lanes; lane++) {
        s->count[lane] = 0;
        if (kept > 0)
            s->count[lane] = (real)gather(c, lane, enters + lane * n * m, s->leave + lane * most * rate * m);
    }
    if (kept > 0)
        linear_forward(c->pool, (rows){c->lanes, most}, rate * m, m, s->leave, rate * m, attn_matrix(c, PARAM_W),
                       c->param[PARAM_B], s->compressed, m);
    for (size_t lane = 0; lane < c->lanes; lane++) {
        if (kept > 0)
            attn_shift_in(c->state[lane], kept, s->compressed + lane * most * m, m, (size_t)s->count[lane], m);
        attn_shift_in(c->state[lane] + kept * m, length, enters + lane * n * m, m, c->valid[lane], m);
    }
}

static void forward(const attn_call *c, const real *x, real *y)
{
    saved s;
    const attn_call call = as_xl(c, xl_saved(c->cfg, c->lanes), &s);
    if (c->need_output) xl_read(&call, x, y);
    update(c, &s, x);
}

static void step(const attn_call *c, const real *x, real *y)
{
    saved s;
    const attn_call call = as_xl(c, xl_step_saved(c->cfg, c->lanes), &s);
    xl_step(&call, x, y);
}

/* ---- attention reconstruction ---- */

/* What queries [N, d_head] read of `count` keys and values, with the weights p [N, count]. */
static void read_rows(const attn_call *c, const real *q, const real *kv, size_t count, real *p, real *o)
{
    const attn_shape s = attn_shape_of(c->cfg);
    const size_t n = (size_t)c->cfg->segment;
    gemm(0, 1, n, count, s.d_head, 1, q, s.q, kv, 2 * s.kv, 0, p, count);
    for (size_t i = 0; i < n; i++)
        kernels_get()->softmax(p + i * count, 0, count, count, (real)model_attention_scale(c->cfg));
    gemm(0, 0, n, s.d_head, count, 1, p, count, kv + s.kv, 2 * s.kv, 0, o, s.d_head);
}

/* One query head: dkv of the compressed rows is added to. */
static void reconstruct_head(const attn_call *c, const work *w, size_t head, size_t groups, real weight)
{
    const kernels *k = kernels_get();
    const attn_shape s = attn_shape_of(c->cfg);
    const size_t n = (size_t)c->cfg->segment, old = groups * rate_of(c->cfg), at = head / s.group * s.d_head;
    const real *q = w->q + attn_q_at(&s, head), *kv = w->kv + old * 2 * s.kv + at;
    real *want = w->read, *got = want + n * s.d_head, *dkv = w->dkv + at;
    read_rows(c, q, w->kv + at, old, w->p, want);
    read_rows(c, q, kv, groups, w->p, got);
    /* d / d got of weight * mean of (got - want)^2 over queries, heads and their elements */
    const real slope = weight * 2 / (real)(n * s.q);
    k->blend(got, slope, got, -slope, want, n * s.d_head);
    gemm(0, 1, n, groups, s.d_head, 1, got, s.d_head, kv + s.kv, 2 * s.kv, 0, w->dp, groups);
    for (size_t i = 0; i < n; i++) {
        const real dot = k->dot(w->dp + i * groups, w->p + i * groups, groups);
        k->softmax_backward(w->dp + i * groups, w->p + i * groups, groups, (real)model_attention_scale(c->cfg),
                            dot);
    }
    gemm(1, 0, groups, s.d_head, n, 1, w->dp, groups, q, s.q, 1, dkv, 2 * s.kv);
    gemm(1, 0, groups, s.d_head, n, 1, w->p, groups, got, s.d_head, 1, dkv + s.kv, 2 * s.kv);
}

static void reconstruct(const attn_call *c, const saved *s, const work *w, size_t lane, const real *x, real weight)
{
    const attn_shape h = attn_shape_of(c->cfg);
    const size_t m = (size_t)c->cfg->d_model, n = (size_t)c->cfg->segment, rate = rate_of(c->cfg);
    const size_t groups = (size_t)s->count[lane], old = groups * rate, most = most_groups(c->cfg);
    const real *leave = s->leave + lane * most * rate * m, *compressed = s->compressed + lane * most * m;
    const matrix qkv = {.w = c->param[XL_QKV]};
    const real *bias = c->extra.qkv_bias;
    if (groups == 0) return;
    for (size_t i = 0; i < old + groups; i++) {
        const real *row = i < old ? leave + i * m : compressed + (i - old) * m;
        if (c->norm)
            norm_row(c->norm, row, w->hidden + i * m, &w->mean[i], &w->rstd[i]);
        else
            memcpy(w->hidden + i * m, row, m * sizeof *row);
    }
    linear_forward(c->pool, (rows){1, n}, m, h.q, x + lane * n * m, m, matrix_rows(qkv, m, 0, h.q), bias, w->q,
                   h.q);
    linear_forward(c->pool, (rows){1, old + groups}, m, 2 * h.kv, w->hidden, m, matrix_rows(qkv, m, h.q, 2 * h.kv),
                   bias ? bias + h.q : NULL, w->kv, 2 * h.kv);
    memset(w->dkv, 0, groups * 2 * h.kv * sizeof *w->dkv);
    for (size_t head = 0; head < h.heads; head++) reconstruct_head(c, w, head, groups, weight);
    linear_backward_input(c->pool, (rows){1, groups}, m, 2 * h.kv, w->dkv, 2 * h.kv, qkv.w + h.q * m, w->dhidden,
                          m, 0);
    memset(w->drow, 0, groups * m * sizeof *w->drow);
    for (size_t i = 0; i < groups; i++) {
        if (c->norm)
            c->norm->op->backward(c->norm, w->dhidden + i * m, compressed + i * m, w->mean[old + i],
                                  w->rstd[old + i], w->drow + i * m, NULL, NULL);
        else
            memcpy(w->drow + i * m, w->dhidden + i * m, m * sizeof *w->drow);
    }
    linear_backward_weight(c->pool, (rows){1, groups}, rate * m, m, leave, rate * m, w->drow, m, c->grad[PARAM_W],
                           c->grad[PARAM_B]);
}

static void backward(const attn_call *c, const real *x, const real *dy, real *dx)
{
    saved s;
    work w;
    const attn_call call = as_xl(c, xl_saved(c->cfg, c->lanes), &s);
    const real weight = (real)(c->penalty.share * c->cfg->option[RECONSTRUCTION].r);
    xl_backward(&call, x, dy, dx);
    work_layout(c->cfg, c->work, &w);
    for (size_t lane = 0; weight > 0 && lane < c->lanes; lane++) reconstruct(c, &s, &w, lane, x, weight);
}

/* ---- the row of the table ---- */

static double flops(const model_config *cfg, size_t layer, double context)
{
    const double length = (double)xl_mem_len(cfg), most = (double)compressive_len(cfg);
    const double groups = context > length ? (context - length) / (double)rate_of(cfg) : 0;
    const double rows_seen = (context < length ? context : length) + (groups < most ? groups : most);
    return xl_flops(cfg, layer, rows_seen) + (most > 0 ? 2 * (double)cfg->d_model * (double)cfg->d_model : 0);
}

static double memory_entries(const model_config *cfg)
{
    return (double)xl_cached(cfg) * (double)cfg->d_model * (double)cfg->n_layers;
}

const attn_module attn_compressive = {
    .name = "compressive",
    .summary = "Compressive Transformer: Transformer-XL whose old rows are kept compressed (1911.05507)",
    .memory_formula = "d_model (c + N) l",
    .memory_entries = memory_entries,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .check = check,
    .params = params,
    .sizes = sizes,
    .table_fill = xl_table_fill,
    .forward = forward,
    .step = step,
    .backward = backward,
    .flops = flops,
};

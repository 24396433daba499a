/* Infini-attention (Munkhdalai et al. 2024, arXiv 2404.07143v2): segment-local causal attention beside a
 * compressive memory of associative bindings, mixed by one learned gate per head.
 *
 *   read    A_mem = phi(Q) M_{s-1} / (phi(Q) z_{s-1} + eps)                                  (equation 7)
 *   linear  M_s = M_{s-1} + phi(K)^T V                        z_s = z_{s-1} + sum_t phi(K_t)  (equation 8)
 *   delta   M_s = M_{s-1} + phi(K)^T (V - phi(K) M_{s-1} / (phi(K) z_{s-1} + eps)), z as above  (equation 9)
 *   mix     A = sigmoid(beta) A_mem + (1 - sigmoid(beta)) A_dot                             (equation 10)
 *
 * The memory sees q and k without position embedding, the local attention sees them rotated. The segment is read
 * against M_{s-1} before it is written. infini-gated is ours, not the paper's: the linear update with a write gate
 * w = clamp(1.2 sigmoid(w_write x + b) - 0.1, 0, 1) per token and head that scales phi(K) and can be exactly
 * zero, so that a token may leave the memory untouched. Two options are ours too. With xl_len > 0 the local
 * attention also sees the tokens before the segment, as in Transformer-XL. With memory_key = previous the memory
 * binds v_t to k_{t-1}: a read then returns what followed a context like this one, as a kNN language model's store
 * does (Khandelwal et al. 2020), where the paper's returns what stood there.
 *
 * State of a lane: for each head M [d_head, d_head], z [d_head] and, where the memory needs it, phi of the last k
 * [d_head], which carry gradients; then the cache of kvcache.h, which does not. */
#include "models/attention/infini_memory.h"
#include "models/attention/kvcache.h"
#include "models/attention/modules.h"
#include "models/engine/kernels.h"

#include <math.h>
#include <string.h>

/* Options; WRITE_INIT is infini-gated's alone and so the last. */
enum {
    FEATURE,
    EPS,
    Z_INIT,
    Z_RULE,
    FIRST_SEGMENT,
    GATE_INIT,
    ROPE_BASE,
    XL_LEN,
    KEY,
    MEMORY_FROM,
    MEMORY_EMPTY,
    WRITE_INIT
};
enum { PARAM_QKV, PARAM_O, PARAM_BETA, PARAM_WRITE_W, PARAM_WRITE_B };

/* A gate is shut where its sigmoid is below 1/12, a logit of -2.4. The penalty of logits ends at one of -3.4, so
 * that rounding the weights opens none again. */
static const double write_stretch = 1.2, write_shift = 0.1, write_shut = 1.0 / 32;

static const kv_spec options[] = {
    {"memory_feature", KV_CHOICE, OPTION(FEATURE), "elu1", 0, 0, "elu1|relu",
     "phi of the memory's unrotated q and k; the paper: elu1 = ELU + 1"},
    {"memory_eps", KV_REAL, OPTION(EPS), "1e-6", 1e-12, 1, NULL,
     "added to the denominators phi(q) z of a read and phi(k) z of the delta rule"},
    {"memory_z_init", KV_REAL, OPTION(Z_INIT), "0", 0, 1e6, NULL,
     "every element of z before the first segment (M starts at 0); the memory is empty all the same"},
    {"memory_z_rule", KV_CHOICE, OPTION(Z_RULE), "sum", 0, 0, "sum|gamma",
     "sum: the paper; gamma: z grows by clip(1 - z phi(k)/|phi(k)|^2, 0, 1) phi(k), z of before the segment"},
    {"first_segment", KV_CHOICE, OPTION(FIRST_SEGMENT), "local", 0, 0, "local|gated",
     "a head whose memory is empty: local = the local attention alone; gated = that times 1 - g"},
    {"gate_init", KV_REAL, OPTION(GATE_INIT), "0", -20, 20, NULL,
     "beta before training; g = sigmoid(beta) weighs the memory: 0 gives both equal weight"},
    {"rope_base", KV_REAL, OPTION(ROPE_BASE), "10000", 2, 1e9, NULL,
     "base of the rotary positions (rotate-half) of the local attention"},
    {"xl_len", KV_SIZE, OPTION(XL_LEN), "0", 0, 1 << 30, NULL,
     "tokens before the segment whose keys and values the local attention caches, as Transformer-XL"},
    {"memory_key", KV_CHOICE, OPTION(KEY), "own", 0, 0, "own|previous",
     "the key that v_t is bound to: own = k_t, the paper; previous = k_{t-1}, across segments too; a stream's "
     "first "
     "token then writes nothing"},
    {"memory_from", KV_INT, OPTION(MEMORY_FROM), "0", 0, 1024, NULL,
     "the first layer with a memory, counted from 0; those below have the local attention alone"},
    {"memory_empty", KV_CHOICE, OPTION(MEMORY_EMPTY), "first", 0, 0, "first|unwritten",
     "when a head's memory is empty: first = in a stream's first segment; unwritten = until something is written"},
    {"write_gate_init", KV_REAL, OPTION(WRITE_INIT), "0", -20, 20, NULL,
     "bias b of the write gate clip(1.2 sigmoid(w x + b) - 0.1, 0, 1), x the normed input, before training"},
};

/* ---- shapes ---- */

static int is_delta(const model_config *cfg)
{
    return cfg->attention == &attn_infini_delta;
}

static int is_gated(const model_config *cfg)
{
    return cfg->attention == &attn_infini_gated;
}

static size_t xl_len(const model_config *cfg)
{
    return (size_t)cfg->option[XL_LEN].i;
}

static memory_rule rule_of(const model_config *cfg)
{
    return (memory_rule){is_delta(cfg), cfg->option[Z_RULE].i == 1, cfg->option[KEY].i == 1,
                         (real)cfg->option[EPS].r};
}

static size_t head_state(const model_config *cfg)
{
    const memory_rule rule = rule_of(cfg);
    return memory_head_reals(&rule, (size_t)cfg->d_head);
}

/* In layer 0 a write gate sees the token alone, and not the context that tells a needle from a haystack. */
static int has_no_memory(const model_config *cfg, size_t layer)
{
    return (int64_t)layer < cfg->option[MEMORY_FROM].i;
}

static size_t params(const model_config *cfg, size_t layer, param_spec *spec)
{
    const size_t d_model = (size_t)cfg->d_model, heads = (size_t)cfg->n_heads;
    spec[PARAM_QKV] = attn_qkv_spec(cfg);
    spec[PARAM_O] = attn_o_spec(cfg);
    if (has_no_memory(cfg, layer)) return PARAM_O + 1;
    spec[PARAM_BETA] = (param_spec){"gate", 1, heads, INIT_CONSTANT, cfg->option[GATE_INIT].r, PARAM_GATE};
    if (!is_gated(cfg)) return PARAM_BETA + 1;
    spec[PARAM_WRITE_W] = (param_spec){"write_gate.weight", heads, d_model, INIT_NORMAL, 0, PARAM_NO_DECAY};
    spec[PARAM_WRITE_B] =
        (param_spec){"write_gate.bias", 1, heads, INIT_CONSTANT, cfg->option[WRITE_INIT].r, PARAM_NO_DECAY};
    return PARAM_WRITE_B + 1;
}

/* The memory alone: what carries a gradient. */
static size_t memory_reals(const model_config *cfg, size_t layer)
{
    return has_no_memory(cfg, layer) ? 0 : (size_t)cfg->n_heads * head_state(cfg);
}

static size_t state_reals(const model_config *cfg, size_t layer)
{
    return memory_reals(cfg, layer) + kvcache_state_reals(cfg, xl_len(cfg));
}

/* What forward leaves for backward. R rows, D = heads * d_head. */
typedef struct saved_area {
    kvcache_saved local; /* qkv; local.o is A_dot */
    real *feature;       /* [R, 2D] phi(q), phi(k) */
    real *read;          /* [R, D] A_mem */
    real *read_den;      /* [R, H] */
    real *mixed;         /* [R, D] A */
    real *state;         /* [lanes, H, head_state] as it was before the segment */
    real *old;           /* delta: [R, D] what the memory held for k; [R, H] its denominators */
    real *old_den;
    real *gamma;   /* [R, H] share of phi(k) that enters z */
    real *write;   /* gated: [R, H] w */
    real *sigmoid; /* gated: [R, H] */
} saved_area;

static size_t saved_layout(const model_config *cfg, size_t lanes, real *base, saved_area *out)
{
    const size_t memory = (size_t)cfg->n_heads * head_state(cfg);
    const size_t all = lanes * (size_t)cfg->segment, heads = (size_t)cfg->n_heads,
                 width = heads * (size_t)cfg->d_head;
    saved_area s = {0};
    size_t used = kvcache_saved_layout(cfg, lanes, xl_len(cfg), base, &s.local);
    s.local.offset = memory;
#define TAKE(field, count)                                                                                        \
    do {                                                                                                          \
        s.field = base ? base + used : NULL;                                                                      \
        used += (count);                                                                                          \
    } while (0)
    TAKE(feature, all * 2 * width);
    TAKE(read, all * width);
    TAKE(read_den, all * heads);
    TAKE(mixed, all * width);
    TAKE(state, lanes * memory);
    TAKE(gamma, all * heads);
    if (is_delta(cfg)) {
        TAKE(old, all * width);
        TAKE(old_den, all * heads);
    }
    if (is_gated(cfg)) {
        TAKE(write, all * heads);
        TAKE(sigmoid, all * heads);
    }
#undef TAKE
    if (out) *out = s;
    return used;
}

/* Backward's shared memory. */
typedef struct work_area {
    kvcache_work local;
    real *dfeature, *dvalue, *dmixed, *dbeta, *dwrite;
} work_area;

static size_t work_layout(const model_config *cfg, size_t lanes, real *base, work_area *out)
{
    const size_t all = lanes * (size_t)cfg->segment, heads = (size_t)cfg->n_heads, width = attn_width(cfg);
    kvcache_work local;
    const size_t before = kvcache_work_layout(cfg, lanes, xl_len(cfg), base, &local);
    const size_t part[] = {all * 2 * width, all * width, all * width, lanes * heads,
                           is_gated(cfg) ? all * heads : 0};
    real *at[5];
    const size_t used = attn_carve(base ? base + before : NULL, part, 5, at);
    if (out) *out = (work_area){local, at[0], at[1], at[2], at[3], at[4]};
    return before + used;
}

static void sizes(const model_config *cfg, size_t layer, size_t lanes, attn_sizes *out)
{
    const size_t memory = memory_scratch_reals((size_t)cfg->segment, (size_t)cfg->d_head);
    kvcache_sizes(cfg, lanes, xl_len(cfg), out);
    out->state = state_reals(cfg, layer);
    out->state_grad = memory_reals(cfg, layer);
    out->saved = saved_layout(cfg, lanes, NULL, NULL);
    out->scratch = memory > out->scratch ? memory : out->scratch;
    out->work = work_layout(cfg, lanes, NULL, NULL);
    out->reach = ATTN_ENDLESS;
    out->settles = xl_len(cfg) > 0 ? (int64_t)xl_len(cfg) : 1; /* a full cache, and a memory that counts as one */
}

static void table_fill(const model_config *cfg, real *table)
{
    rope_table_fill(cfg, cfg->option[ROPE_BASE].r, xl_len(cfg) + (size_t)cfg->segment, table);
}

static void state_reset(const model_config *cfg, size_t layer, real *state, uint64_t written)
{
    (void)layer, (void)written;
    const size_t d = (size_t)cfg->d_head, stride = head_state(cfg);
    memset(state, 0, state_reals(cfg, layer) * sizeof *state);
    for (size_t h = 0; memory_reals(cfg, layer) > 0 && h < (size_t)cfg->n_heads; h++)
        for (size_t i = 0; i < d; i++) state[h * stride + d * d + i] = (real)cfg->option[Z_INIT].r;
}

static size_t state_parts(const model_config *cfg, size_t layer, state_part *part)
{
    const size_t d = (size_t)cfg->d_head, heads = (size_t)cfg->n_heads, stride = head_state(cfg);
    if (has_no_memory(cfg, layer)) return 0;
    part[0] = (state_part){"M", 0, heads, d * d, stride};
    part[1] = (state_part){"z", d * d, heads, d, stride};
    return 2;
}

/* A second reading of the same adds the same sums again; under the delta rule M already returns what would be
 * written, and under the gamma rule z already holds the keys. */
static void state_repeat(const model_config *cfg, size_t layer, real *state, double times)
{
    if (has_no_memory(cfg, layer)) return;
    const size_t d = (size_t)cfg->d_head, stride = head_state(cfg);
    const real init = (real)cfg->option[Z_INIT].r, factor = (real)times;
    for (size_t h = 0; h < (size_t)cfg->n_heads; h++) {
        real *memory = state + h * stride, *z = memory + d * d;
        for (size_t i = 0; !is_delta(cfg) && i < d * d; i++) memory[i] *= factor;
        for (size_t i = 0; cfg->option[Z_RULE].i == 0 && i < d; i++) z[i] = init + (z[i] - init) * factor;
    }
}

static double flops(const model_config *cfg, size_t layer, double context)
{
    const double width = (double)(cfg->n_heads * cfg->d_head), d = (double)cfg->d_head, xl = (double)xl_len(cfg);
    const double local = 4 * width * ((context < xl ? context : xl) + 0.5 * (double)(cfg->segment + 1));
    if (has_no_memory(cfg, layer)) return local;
    const double products = is_delta(cfg) ? 3 : 2; /* read, update, and delta's read of the keys */
    return local + products * 2 * width * d;
}

/* ---- one head of one lane ---- */

/* Whether a read before this segment has a denominator. */
static int has_memory(const attn_call *c, size_t lane)
{
    return c->seen[lane] > 0 || c->cfg->option[Z_INIT].r > 0;
}

/* Whether nothing was written to a head's memory before this segment: M and z are as the stream began with them. A
 * write gate may stay shut for many segments. */
static int is_unwritten(const model_config *cfg, const real *memory)
{
    const size_t d = (size_t)cfg->d_head;
    const real init = (real)cfg->option[Z_INIT].r;
    for (size_t i = 0; i < d; i++)
        if (memory[d * d + i] != init) return 0;
    for (size_t i = 0; i < d * d; i++)
        if (memory[i] != 0) return 0;
    return 1;
}

/* Whether the gate mixes in this segment; `memory` is the head's, before the segment. */
static int mixes(const attn_call *c, size_t lane, const real *memory)
{
    if (c->cfg->option[FIRST_SEGMENT].i == 1) return 1;
    return c->seen[lane] > 0 && !(c->cfg->option[MEMORY_EMPTY].i == 1 && is_unwritten(c->cfg, memory));
}

typedef struct head_view {
    size_t n, d, heads, width;
    size_t row, head; /* first row of the lane; the head */
    saved_area s;
} head_view;

static head_view view_of(const attn_call *c, size_t task)
{
    const model_config *cfg = c->cfg;
    head_view v = {.n = (size_t)cfg->segment, .d = (size_t)cfg->d_head, .heads = (size_t)cfg->n_heads};
    v.width = v.heads * v.d;
    v.row = task / v.heads * v.n;
    v.head = task % v.heads;
    saved_layout(cfg, c->lanes, c->saved, &v.s);
    return v;
}

static memory_head memory_of(const attn_call *c, const head_view *v, size_t lane)
{
    const size_t read = v->row * v->width + v->head * v->d, scalar = v->row * v->heads + v->head;
    return (memory_head){
        .rule = rule_of(c->cfg),
        .n = v->n,
        .d = v->d,
        .valid = c->valid[lane],
        .filled = has_memory(c, lane),
        .feature = v->s.feature + v->row * 2 * v->width + v->width + v->head * v->d,
        .value = v->s.local.qkv + v->row * 3 * v->width + 2 * v->width + v->head * v->d,
        .write = v->s.write ? v->s.write + scalar : NULL,
        .gamma = v->s.gamma + scalar,
        .old = v->s.old ? v->s.old + read : NULL,
        .old_den = v->s.old_den ? v->s.old_den + scalar : NULL,
        .ld_feature = 2 * v->width,
        .ld_value = 3 * v->width,
        .ld_read = v->width,
        .ld_scalar = v->heads,
    };
}

static void forward_head(void *arg, int task, int worker)
{
    const attn_call *c = arg;
    const head_view v = view_of(c, (size_t)task);
    const size_t lane = (size_t)task / v.heads, d = v.d;
    real *scratch = c->scratch + (size_t)worker * c->scratch_stride;
    const memory_head h = memory_of(c, &v, lane);
    real *memory = c->state[lane] + v.head * head_state(c->cfg);
    memcpy(v.s.state + (size_t)task * head_state(c->cfg), memory, head_state(c->cfg) * sizeof *memory);
    if (c->need_output) {
        const kernels *k = kernels_get();
        const real *local = v.s.local.o + v.row * v.width + v.head * d;
        real *read = v.s.read + v.row * v.width + v.head * d;
        real *mixed = v.s.mixed + v.row * v.width + v.head * d;
        const real gate = mixes(c, lane, memory) ? attn_sigmoid(c->param[PARAM_BETA][v.head]) : 0;
        if (h.filled)
            memory_read(&h, v.s.feature + v.row * 2 * v.width + v.head * d, 2 * v.width, memory, read,
                        v.s.read_den + v.row * v.heads + v.head);
        else
            for (size_t i = 0; i < v.n; i++) memset(read + i * v.width, 0, d * sizeof *read);
        for (size_t i = 0; i < v.n; i++)
            k->blend(mixed + i * v.width, gate, read + i * v.width, 1 - gate, local + i * v.width, d);
    }
    memory_update(&h, memory, scratch);
}

/* ---- whole rows ---- */

enum { ROW_BLOCK = 32 };

static void feature_forward(const model_config *cfg, real *y, const real *x, size_t n)
{
    if (cfg->option[FEATURE].i == 0)
        kernels_get()->elu1(y, x, n);
    else
        kernels_get()->relu(y, x, n);
}

static void forward_rows(void *arg, int task, int worker)
{
    (void)worker;
    const attn_call *c = arg;
    const head_view v = view_of(c, 0);
    const size_t first = c->need_output ? 0 : v.width; /* q is needed for the output alone */
    for (size_t i = (size_t)task * ROW_BLOCK; i < ((size_t)task + 1) * ROW_BLOCK && i < c->lanes * v.n; i++) {
        const real *qk = v.s.local.qkv + i * 3 * v.width;
        feature_forward(c->cfg, v.s.feature + i * 2 * v.width + first, qk + first, 2 * v.width - first);
        for (size_t h = 0; v.s.write && h < v.heads; h++) {
            const real open = attn_sigmoid(v.s.sigmoid[i * v.heads + h]);
            const double w = write_stretch * (double)open - write_shift;
            v.s.sigmoid[i * v.heads + h] = open;
            v.s.write[i * v.heads + h] = (real)(w < 0 ? 0 : w > 1 ? 1 : w);
        }
    }
}

static void forward(const attn_call *c, const real *x, real *y)
{
    if (has_no_memory(c->cfg, c->layer)) {
        kvcache_layer_forward(c, xl_len(c->cfg), x, y);
        return;
    }
    const head_view v = view_of(c, 0);
    const rows r = {c->lanes, v.n};
    const size_t d_model = (size_t)c->cfg->d_model;
    attn_project(c, x, attn_matrix(c, PARAM_QKV), v.s.local.qkv, c->need_output);
    if (v.s.write)
        linear_forward(c->pool, r, d_model, v.heads, x, d_model, attn_matrix(c, PARAM_WRITE_W),
                       c->param[PARAM_WRITE_B], v.s.sigmoid, v.heads);
    attn_call call = *c;
    pool_run(c->pool, (int)((c->lanes * v.n + ROW_BLOCK - 1) / ROW_BLOCK), forward_rows, &call);
    if (c->need_output) kvcache_forward(c, &v.s.local, (real)model_attention_scale(c->cfg));
    pool_run(c->pool, (int)(c->lanes * v.heads), forward_head, &call);
    kvcache_update(c, &v.s.local);
    if (c->need_output) attn_output(c, v.s.mixed, attn_matrix(c, PARAM_O), y);
}

/* ---- backward ---- */

static void backward_head(void *arg, int task, int worker)
{
    const attn_call *c = arg;
    const kernels *k = kernels_get();
    const head_view v = view_of(c, (size_t)task);
    const size_t lane = (size_t)task / v.heads, d = v.d, n = v.n;
    work_area w;
    work_layout(c->cfg, c->lanes, c->work, &w);
    real *scratch = c->scratch + (size_t)worker * c->scratch_stride;
    const real *memory = v.s.state + (size_t)task * head_state(c->cfg);
    real *dmemory = c->dstate[lane] + v.head * head_state(c->cfg);

    const memory_head h = memory_of(c, &v, lane);
    memory_update_backward(&h, memory, dmemory, w.dfeature + v.row * 2 * v.width + v.width + v.head * d,
                           w.dvalue + v.row * v.width + v.head * d,
                           v.s.write ? w.dwrite + v.row * v.heads + v.head : NULL, scratch);

    const real gate = mixes(c, lane, memory) ? attn_sigmoid(c->param[PARAM_BETA][v.head]) : 0;
    const real *local = v.s.local.o + v.row * v.width + v.head * d,
               *read = v.s.read + v.row * v.width + v.head * d;
    const real *dmixed = w.dmixed + v.row * v.width + v.head * d;
    real *dlocal = w.local.d_o + v.row * v.width + v.head * d, *dread = scratch, dgate = 0;
    for (size_t i = 0; i < n; i++) {
        const real *row = dmixed + i * v.width;
        dgate += k->dot(row, read + i * v.width, d) - k->dot(row, local + i * v.width, d);
        memset(dlocal + i * v.width, 0, d * sizeof *row);
        k->axpy(dlocal + i * v.width, 1 - gate, row, d);
        memcpy(dread + i * d, row, d * sizeof *row);
    }
    w.dbeta[task] = dgate * gate * (1 - gate); /* 0 where the memory is empty */
    k->scale(dread, gate, n * d);
    if (h.filled) {
        const size_t q = v.row * 2 * v.width + v.head * d;
        memory_read_backward(&h, v.s.feature + q, 2 * v.width, memory, read,
                             v.s.read_den + v.row * v.heads + v.head, dread, w.dfeature + q, dmemory);
    }
}

static void backward_clear(void *arg, int task, int worker)
{
    (void)worker;
    const attn_call *c = arg;
    const head_view v = view_of(c, 0);
    work_area w;
    work_layout(c->cfg, c->lanes, c->work, &w);
    const size_t begin = (size_t)task * ROW_BLOCK, all = c->lanes * v.n;
    const size_t count = begin + ROW_BLOCK < all ? ROW_BLOCK : all - begin;
    memset(w.dvalue + begin * v.width, 0, count * v.width * sizeof(real));
    memset(w.dfeature + begin * 2 * v.width, 0, count * 2 * v.width * sizeof(real));
    if (w.dwrite && v.s.write) memset(w.dwrite + begin * v.heads, 0, count * v.heads * sizeof(real));
}

static void backward_rows(void *arg, int task, int worker)
{
    (void)worker;
    const attn_call *c = arg;
    const kernels *k = kernels_get();
    const head_view v = view_of(c, 0);
    work_area w;
    work_layout(c->cfg, c->lanes, c->work, &w);
    for (size_t i = (size_t)task * ROW_BLOCK; i < ((size_t)task + 1) * ROW_BLOCK && i < c->lanes * v.n; i++) {
        real *dqkv = w.local.dqkv + i * 3 * v.width, *df = w.dfeature + i * 2 * v.width;
        if (c->cfg->option[FEATURE].i == 0)
            k->elu1_backward(df, df, v.s.feature + i * 2 * v.width, 2 * v.width);
        else
            k->relu_backward(df, df, v.s.local.qkv + i * 3 * v.width, 2 * v.width);
        k->axpy(dqkv, 1, df, 2 * v.width);
        k->axpy(dqkv + 2 * v.width, 1, w.dvalue + i * v.width, v.width);
        for (size_t h = 0; v.s.write && h < v.heads; h++) {
            /* The penalty acts wherever the gate is open, also where it is clamped at 1; the data's gradient only
             * where the gate can move. */
            const size_t at = i * v.heads + h;
            const real weight = v.s.write[at], open = v.s.sigmoid[at];
            const int costs = c->penalty.on_logit ? (double)open > write_shut : weight > 0;
            const int paid = costs && i % v.n < c->valid[i / v.n];
            const double penalty = paid ? c->penalty.weight / (double)v.heads : 0;
            double dw = weight > 0 && weight < 1 ? (double)w.dwrite[at] : 0;
            if (!c->penalty.on_logit) dw += penalty;
            dw *= write_stretch * (double)open * (1 - (double)open);
            if (c->penalty.on_logit) dw += penalty * write_stretch / 4;
            w.dwrite[at] = (real)dw;
        }
    }
}

static void backward(const attn_call *c, const real *x, const real *dy, real *dx)
{
    if (has_no_memory(c->cfg, c->layer)) {
        kvcache_layer_backward(c, xl_len(c->cfg), x, dy, dx);
        return;
    }
    const head_view v = view_of(c, 0);
    const rows r = {c->lanes, v.n};
    const size_t d_model = (size_t)c->cfg->d_model;
    const int blocks = (int)((c->lanes * v.n + ROW_BLOCK - 1) / ROW_BLOCK);
    work_area w;
    work_layout(c->cfg, c->lanes, c->work, &w);
    attn_call call = *c;
    attn_output_backward(c, v.s.mixed, c->param[PARAM_O], dy, c->grad[PARAM_O], w.dmixed);
    pool_run(c->pool, blocks, backward_clear, &call);
    pool_run(c->pool, (int)(c->lanes * v.heads), backward_head, &call);
    kvcache_backward(c, &v.s.local, &w.local, (real)model_attention_scale(c->cfg));
    pool_run(c->pool, blocks, backward_rows, &call);
    attn_project_backward(c, x, c->param[PARAM_QKV], w.local.dqkv, c->grad[PARAM_QKV], dx);
    if (v.s.write) {
        linear_backward_weight(c->pool, r, d_model, v.heads, x, d_model, w.dwrite, v.heads, c->grad[PARAM_WRITE_W],
                               c->grad[PARAM_WRITE_B]);
        linear_backward_input(c->pool, r, d_model, v.heads, w.dwrite, v.heads, c->param[PARAM_WRITE_W], dx,
                              d_model, 1);
    }
    for (size_t lane = 0; lane < c->lanes; lane++)
        for (size_t h = 0; h < v.heads; h++) c->grad[PARAM_BETA][h] += w.dbeta[lane * v.heads + h];
}

#define INFINI_MODULE(id, about, count)                                                                           \
    {                                                                                                             \
        .name = id, .summary = about, .memory = ATTN_MEMORY_MATRIX, .options = options, .option_count = count,    \
        .params = params, .sizes = sizes, .table_fill = table_fill, .state_reset = state_reset,                   \
        .state_parts = state_parts, .state_repeat = state_repeat, .forward = forward, .backward = backward,       \
        .flops = flops                                                                                            \
    }

const attn_module attn_infini_linear =
    INFINI_MODULE("infini-linear", "Infini-attention, linear update (2404.07143, equation 8)", WRITE_INIT);
const attn_module attn_infini_delta =
    INFINI_MODULE("infini-delta", "Infini-attention, linear + delta update (2404.07143, equation 9)", WRITE_INIT);
const attn_module attn_infini_gated =
    INFINI_MODULE("infini-gated", "Infini-attention, linear update with a write gate (ours)", WRITE_INIT + 1);

/* Memorizing Transformer (Wu et al. 2022, arXiv 2203.08913, the final version): one layer reads, beside its local
 * attention, the k best keys of an external memory of past (key, value) pairs, each head its own.
 *
 *   out = sigmoid(gate) softmax_topk(q K_mem) V_mem + (1 - sigmoid(gate)) local,    per head
 *
 * In that layer q and k have unit length and q carries the head's learned temperature (in place of attn_scale), so
 * that old and new keys are comparable while the weights move. The memory has no positions and no gradient; a
 * segment is looked up before it is added. Every layer's local attention may also see the xl_len tokens before the
 * segment (kvcache.h).
 *
 * With knn_mix = softmax nothing is learned anew: q and k stay as they are, and one softmax runs over local and
 * retrieved keys alike, scaled as elsewhere. What the local attention sees is then not retrieved once more.
 *
 * Which entries are read hangs on q and k alone (knn.h). But q and k come out of matrix products, whose last bits
 * differ from one BLAS core to another: neighbours k and k + 1 may change places where their scores are that near.
 * Measured on 24,576 tokens of a novel, Skylake-X against Haswell: 14 tokens move by more than 1e-4 nats, the
 * worst by 4e-3, the mean by 5e-8; other modules stay within 2e-5.
 *
 * State of a lane: the cache of kvcache.h; then in the memory layer, per key head, a ring of keys [knn_entries,
 * d_head] and one of values: token t is in slot t mod knn_entries. */
#include "models/attention/knn.h"
#include "models/attention/kvcache.h"
#include "models/attention/modules.h"
#include "models/engine/kernels.h"

#include <math.h>
#include <string.h>

enum { KNN_K, KNN_ENTRIES, KNN_LAYER, XL_LEN, QK_SCALE, GATE_INIT, FIRST_SEGMENT, ROPE_BASE, KNN_MIX };
enum { MIX_GATE, MIX_SOFTMAX };    /* choices of knn_mix */
enum { FIRST_LOCAL, FIRST_GATED }; /* choices of first_segment */
enum { PARAM_QKV, PARAM_O, PARAM_BETA, PARAM_LOG_SCALE, PARAM_COUNT };
enum { ROW_BLOCK = 64 };

static const kv_spec options[] = {
    {"knn_k", KV_INT, OPTION(KNN_K), "32", 1, 4096, NULL,
     "neighbours that each query of a head reads; of equal scores the older entry"},
    {"knn_entries", KV_SIZE, OPTION(KNN_ENTRIES), "64K", 1, 1 << 30, NULL,
     "memory of each head, tokens; the oldest make room"},
    {"knn_layer", KV_INT, OPTION(KNN_LAYER), "-1", -1, 1023, NULL,
     "the layer with the memory, counted from 0; -1: ceil(3 n_layers / 4) - 1, the 9th of 12"},
    {"xl_len", KV_SIZE, OPTION(XL_LEN), "0", 0, 1 << 30, NULL,
     "tokens before the segment whose keys and values every layer caches, as Transformer-XL"},
    {"qk_scale", KV_REAL, OPTION(QK_SCALE), "10", 1e-3, 1e3, NULL,
     "before training: the memory layer's factor on q k of unit length; log_qk_scale holds its logarithm"},
    {"gate_init", KV_REAL, OPTION(GATE_INIT), "0", -20, 20, NULL,
     "gate before training; g = sigmoid(gate) weighs the memory: 0 gives both equal weight"},
    {"first_segment", KV_CHOICE, OPTION(FIRST_SEGMENT), "local", 0, 0, "local|gated",
     "a stream's first segment, when the memory is empty: local = the local attention alone; gated = that times 1 "
     "- g"},
    {"rope_base", KV_REAL, OPTION(ROPE_BASE), "10000", 2, 1e9, NULL,
     "base of the rotary positions (rotate-half) of the local attention"},
    {"knn_mix", KV_CHOICE, OPTION(KNN_MIX), "gate", 0, 0, "gate|softmax",
     "softmax: one over local and retrieved keys, without gate, unit length and temperature: no new tensors"},
};

/* ---- shapes ---- */

static int64_t memory_layer(const model_config *cfg)
{
    const int64_t layer = cfg->option[KNN_LAYER].i;
    return layer >= 0 ? layer : (3 * cfg->n_layers + 3) / 4 - 1;
}

static int is_memory_layer(const model_config *cfg, size_t layer)
{
    return (int64_t)layer == memory_layer(cfg);
}

static int is_joint(const model_config *cfg)
{
    return cfg->option[KNN_MIX].i == MIX_SOFTMAX;
}

static size_t neighbours(const model_config *cfg)
{
    return (size_t)cfg->option[KNN_K].i;
}

static size_t entries(const model_config *cfg)
{
    return (size_t)cfg->option[KNN_ENTRIES].i;
}

static size_t xl_len(const model_config *cfg)
{
    return (size_t)cfg->option[XL_LEN].i;
}

static int check(const model_config *cfg, pal_error *err)
{
    if (memory_layer(cfg) >= cfg->n_layers)
        return pal_fail(err, PAL_USAGE, "knn_layer=%lld: there are %lld layers, counted from 0",
                        (long long)memory_layer(cfg), (long long)cfg->n_layers);
    if (neighbours(cfg) > entries(cfg))
        return pal_fail(err, PAL_USAGE, "knn_k=%zu: more than knn_entries = %zu", neighbours(cfg), entries(cfg));
    return PAL_OK;
}

static size_t params(const model_config *cfg, size_t layer, param_spec *spec)
{
    const size_t heads = (size_t)cfg->n_heads;
    spec[PARAM_QKV] = attn_qkv_spec(cfg);
    spec[PARAM_O] = attn_o_spec(cfg);
    if (!is_memory_layer(cfg, layer) || is_joint(cfg)) return PARAM_O + 1;
    spec[PARAM_BETA] = (param_spec){"gate", 1, heads, INIT_CONSTANT, cfg->option[GATE_INIT].r, PARAM_GATE};
    spec[PARAM_LOG_SCALE] =
        (param_spec){"log_qk_scale", 1, heads, INIT_CONSTANT, log(cfg->option[QK_SCALE].r), PARAM_NO_DECAY};
    return PARAM_COUNT;
}

static size_t state_reals(const model_config *cfg, size_t layer)
{
    const size_t memory = is_memory_layer(cfg, layer) ? 2 * attn_shape_of(cfg).kv * entries(cfg) : 0;
    return kvcache_state_reals(cfg, xl_len(cfg)) + memory;
}

/* What the memory layer leaves for backward. */
typedef struct saved_area {
    kvcache_saved local; /* qkv holds unit k and temperature times unit q; o is the local attention */
    real *shrink;        /* [R, H + H_kv] 1 / length of q and of k before */
    real *read;          /* [R, D] what the memory gave */
    real *mixed;         /* [R, D] */
    real *weight;        /* [R, H, k] of the neighbours, best first; 0 where fewer exist */
    real *key, *value;   /* [R, H, k, d_head] of the neighbours */
} saved_area;

typedef size_t local_layout(const model_config *cfg, size_t lanes, size_t cached, real *base, kvcache_saved *out);

/* For `n` rows of each lane. */
static size_t layout(local_layout *of_local, const model_config *cfg, size_t lanes, size_t n, real *base,
                     saved_area *out)
{
    const size_t d = attn_width(cfg), all = lanes * n, heads = (size_t)cfg->n_heads;
    const size_t k = neighbours(cfg);
    kvcache_saved local;
    const size_t before = of_local(cfg, lanes, xl_len(cfg), base, &local);
    const size_t part[] = {
        all * (heads + attn_shape_of(cfg).kv_heads), all * d, all * d, all * heads * k, all * d * k, all * d * k};
    real *at[6];
    const size_t used = attn_carve(base ? base + before : NULL, part, 6, at);
    if (out) *out = (saved_area){local, at[0], at[1], at[2], at[3], at[4], at[5]};
    return before + used;
}

static size_t saved_layout(const model_config *cfg, size_t lanes, real *base, saved_area *out)
{
    return layout(kvcache_saved_layout, cfg, lanes, (size_t)cfg->segment, base, out);
}

static size_t step_layout(const model_config *cfg, size_t lanes, real *base, saved_area *out)
{
    return layout(kvcache_step_layout, cfg, lanes, ATTN_STEP_ROWS, base, out);
}

/* Blocks of `n` queries. */
static size_t query_blocks(size_t n)
{
    return (n + KNN_QUERIES - 1) / KNN_QUERIES;
}

static size_t row_blocks(const attn_call *c)
{
    return (attn_row_count(c) + ROW_BLOCK - 1) / ROW_BLOCK;
}

typedef struct work_area {
    kvcache_work local;
    real *dmixed; /* [R, D] */
    real *dq;     /* [R, D] through the memory */
    real *dbeta;  /* [lanes * H * query blocks] */
    real *dscale; /* [row blocks, H] */
} work_area;

static size_t work_layout(const model_config *cfg, size_t lanes, real *base, work_area *out)
{
    const size_t d = attn_width(cfg), all = lanes * (size_t)cfg->segment, heads = (size_t)cfg->n_heads;
    kvcache_work local;
    const size_t before = kvcache_work_layout(cfg, lanes, xl_len(cfg), base, &local);
    const size_t part[] = {all * d, all * d, lanes * heads * query_blocks((size_t)cfg->segment),
                           (all + ROW_BLOCK - 1) / ROW_BLOCK * heads};
    real *at[4];
    const size_t used = attn_carve(base ? base + before : NULL, part, 4, at);
    if (out) *out = (work_area){local, at[0], at[1], at[2], at[3]};
    return before + used;
}

/* A worker's search takes the list's scores, its indices, then the products of a block. */
static void sizes(const model_config *cfg, size_t layer, size_t lanes, attn_sizes *out)
{
    kvcache_sizes(cfg, lanes, xl_len(cfg), out);
    if (!is_memory_layer(cfg, layer)) {
        out->settles = xl_len(cfg) > 0 ? (int64_t)xl_len(cfg) : 1; /* a full cache */
        return;
    }
    const size_t search = 2 * KNN_QUERIES * neighbours(cfg) + knn_scratch((size_t)cfg->d_head);
    out->state = state_reals(cfg, layer);
    out->saved = saved_layout(cfg, lanes, NULL, NULL);
    out->scratch = search > out->scratch ? search : out->scratch;
    out->step = step_layout(cfg, lanes, NULL, NULL);
    out->step_scratch = search > out->step_scratch ? search : out->step_scratch;
    out->work = work_layout(cfg, lanes, NULL, NULL);
    if (out->reach < (int64_t)entries(cfg)) out->reach = (int64_t)entries(cfg);
}

static void table_fill(const model_config *cfg, real *table)
{
    rope_table_fill(cfg, cfg->option[ROPE_BASE].r, xl_len(cfg) + (size_t)cfg->segment, table);
}

/* Only ring entries that were written need clearing: 64K of them are tens of megabytes. */
static void state_reset(const model_config *cfg, size_t layer, real *state, uint64_t written)
{
    const size_t cache = kvcache_state_reals(cfg, xl_len(cfg)), half = entries(cfg) * (size_t)cfg->d_head;
    const size_t used = written < entries(cfg) ? (size_t)written * (size_t)cfg->d_head : half;
    memset(state, 0, cache * sizeof *state);
    if (!is_memory_layer(cfg, layer)) return;
    for (size_t part = 0; part < 2 * attn_shape_of(cfg).kv_heads; part++) /* keys and values of each head */
        memset(state + cache + part * half, 0, used * sizeof *state);
}

static void state_age(const model_config *cfg, size_t layer, real *state, uint64_t seen, uint64_t age)
{
    const size_t size = entries(cfg), width = (size_t)cfg->d_head;
    if (!is_memory_layer(cfg, layer) || seen == 0 || seen >= size) return;
    const size_t all = age < size ? (size_t)age : size;
    state += kvcache_state_reals(cfg, xl_len(cfg));
    for (size_t part = 0; part < 2 * attn_shape_of(cfg).kv_heads; part++, state += size * width)
        for (size_t i = (size_t)seen; i < all; i++)
            memcpy(state + i * width, state + (i - (size_t)seen) * width, width * sizeof *state);
}

/* ---- unit q and k ---- */

typedef struct row_job {
    const attn_call *c;
    const saved_area *s;
    const work_area *w;
} row_job;

static real temperature(const attn_call *c, size_t head)
{
    return (real)exp((double)c->param[PARAM_LOG_SCALE][head]);
}

static void unit_rows(void *arg, int task, int worker)
{
    (void)worker;
    const row_job *j = arg;
    const attn_call *c = j->c;
    const kernels *k = kernels_get();
    const attn_shape s = attn_shape_of(c->cfg);
    const size_t all = attn_row_count(c), first = c->need_output ? 0 : s.heads;
    for (size_t i = (size_t)task * ROW_BLOCK; i < ((size_t)task + 1) * ROW_BLOCK && i < all; i++) {
        for (size_t h = first; h < s.heads + s.kv_heads; h++) { /* k follows q in a row */
            real *x = j->s->local.qkv + i * s.row + h * s.d_head;
            const real shrink = (real)(1 / sqrt((double)k->dot(x, x, s.d_head) + 1e-12));
            j->s->shrink[i * (s.heads + s.kv_heads) + h] = shrink;
            k->scale(x, h < s.heads ? shrink * temperature(c, h) : shrink, s.d_head);
        }
    }
}

/* dqkv in place: through q = t u / |u| and k = u / |u|, whose gradients are t/|u| (dq - n (n . dq)) and so on. */
static void unit_rows_backward(void *arg, int task, int worker)
{
    (void)worker;
    const row_job *j = arg;
    const attn_call *c = j->c;
    const kernels *k = kernels_get();
    const attn_shape s = attn_shape_of(c->cfg);
    const size_t all = c->lanes * (size_t)c->cfg->segment;
    real *dscale = j->w->dscale + (size_t)task * s.heads;
    memset(dscale, 0, s.heads * sizeof *dscale);
    for (size_t i = (size_t)task * ROW_BLOCK; i < ((size_t)task + 1) * ROW_BLOCK && i < all; i++) {
        real *dqkv = j->w->local.dqkv + i * s.row;
        k->axpy(dqkv, 1, j->w->dq + i * s.q, s.q);
        for (size_t h = 0; h < s.heads + s.kv_heads; h++) {
            real *dx = dqkv + h * s.d_head;
            const real *x = j->s->local.qkv + i * s.row + h * s.d_head;
            const real t = h < s.heads ? temperature(c, h) : 1;
            const real shrink = j->s->shrink[i * (s.heads + s.kv_heads) + h];
            const real along = k->dot(dx, x, s.d_head); /* d log t */
            if (h < s.heads) dscale[h] += along;
            k->blend(dx, t * shrink, dx, -along * shrink / t, x, s.d_head);
        }
    }
}

/* ---- the memory ---- */

static int has_memory(const attn_call *c, size_t lane)
{
    return c->seen[lane] > 0;
}

static real gate_of(const attn_call *c, size_t lane, size_t head)
{
    const int mixes = has_memory(c, lane) || c->cfg->option[FIRST_SEGMENT].i == FIRST_GATED;
    return mixes ? attn_sigmoid(c->param[PARAM_BETA][head]) : 0;
}

/* The keys of a key head's ring; its values follow. */
static real *ring(const attn_call *c, size_t lane, size_t kv_head)
{
    const size_t size = entries(c->cfg) * (size_t)c->cfg->d_head;
    return c->state[lane] + kvcache_state_reals(c->cfg, xl_len(c->cfg)) + kv_head * 2 * size;
}

/* Entries that are searched: of the stored ones all, or those that the local attention does not see. */
static size_t searched(const attn_call *c, size_t lane)
{
    const size_t seen = (size_t)c->seen[lane], size = entries(c->cfg), stored = seen < size ? seen : size;
    const size_t local = is_joint(c->cfg) ? xl_len(c->cfg) : 0;
    return stored > local ? stored - local : 0;
}

/* A block of queries of one head of one lane: what one task works on. */
typedef struct block {
    size_t lane, head, row, count; /* row: the first, in R */
} block;

static block block_of(const attn_call *c, size_t task)
{
    const size_t n = attn_rows(c).rows, heads = (size_t)c->cfg->n_heads, blocks = query_blocks(n);
    const size_t begin = task % blocks * KNN_QUERIES;
    block b = {.head = task / blocks % heads, .lane = task / blocks / heads};
    b.row = b.lane * n + begin;
    b.count = n - begin < KNN_QUERIES ? n - begin : KNN_QUERIES;
    return b;
}

/* The list of the block's best neighbours, searched from the oldest entry on. */
static knn_list search(const attn_call *c, const saved_area *s, const block *b, real *scratch)
{
    const attn_shape shape = attn_shape_of(c->cfg);
    const size_t d_head = shape.d_head, size = entries(c->cfg);
    const size_t k = neighbours(c->cfg), seen = (size_t)c->seen[b->lane];
    const real *keys = ring(c, b->lane, b->head / shape.group);
    const real *q = s->local.qkv + b->row * shape.row + attn_q_at(&shape, b->head);
    knn_list list = {.queries = b->count, .k = k, .score = scratch};
    list.index = (uint32_t *)(scratch + KNN_QUERIES * k);
    real *products = scratch + 2 * KNN_QUERIES * k;
    const size_t oldest = seen > size ? seen % size : 0, stored = seen > size ? size : seen;
    const size_t all = searched(c, b->lane), first = all < stored - oldest ? all : stored - oldest;
    knn_search(&list, q, shape.row, d_head, keys + oldest * d_head, first, (uint32_t)oldest, products);
    knn_search(&list, q, shape.row, d_head, keys, all - first, 0, products);
    return list;
}

/* One softmax over local and retrieved keys: both are known by their log-sum-exps. */
static void join(const attn_call *c, const saved_area *s, size_t row, size_t head, real sum, size_t found)
{
    const kernels *kernel = kernels_get();
    const size_t d_head = (size_t)c->cfg->d_head, heads = (size_t)c->cfg->n_heads;
    const size_t at = row * attn_width(c->cfg) + head * d_head, place = row * heads + head;
    real *lse = s->local.lse + place;
    const double memory = (double)sum, local = (double)*lse, most = fmax(memory, local);
    const double both = most + log(exp(memory - most) + exp(local - most));
    const real share = (real)exp(memory - both);
    kernel->scale(s->weight + place * neighbours(c->cfg), share, found);
    kernel->scale(s->local.o + at, (real)exp(local - both), d_head);
    kernel->axpy(s->local.o + at, share, s->read + at, d_head);
    *lse = (real)both;
}

static void read_block(const attn_call *c, const saved_area *s, const block *b, real *scratch)
{
    const kernels *kernel = kernels_get();
    const size_t d = attn_width(c->cfg), d_head = (size_t)c->cfg->d_head, heads = (size_t)c->cfg->n_heads;
    const size_t k = neighbours(c->cfg), size = entries(c->cfg);
    const real *keys = ring(c, b->lane, b->head / attn_shape_of(c->cfg).group), *values = keys + size * d_head;
    const knn_list list = search(c, s, b, scratch);
    for (size_t i = 0; i < b->count; i++) {
        const size_t place = (b->row + i) * heads + b->head;
        real *weight = s->weight + place * k, *read = s->read + (b->row + i) * d + b->head * d_head;
        memcpy(weight, list.score + i * k, list.found * sizeof *weight);
        const real scale = is_joint(c->cfg) ? (real)model_attention_scale(c->cfg) : 1;
        const real sum = kernel->softmax(weight, 0, list.found, k, scale);
        memset(read, 0, d_head * sizeof *read);
        for (size_t r = 0; r < list.found; r++) {
            const size_t from = (size_t)list.index[i * k + r] * d_head, to = (place * k + r) * d_head;
            memcpy(s->key + to, keys + from, d_head * sizeof *keys);
            memcpy(s->value + to, values + from, d_head * sizeof *values);
            kernel->axpy(read, weight[r], values + from, d_head);
        }
        if (is_joint(c->cfg)) join(c, s, b->row + i, b->head, sum, list.found);
    }
}

static void read_and_join(void *arg, int task, int worker)
{
    const row_job *j = arg;
    const attn_call *c = j->c;
    const block b = block_of(c, (size_t)task);
    if (searched(c, b.lane) > 0) read_block(c, j->s, &b, c->scratch + (size_t)worker * c->scratch_stride);
}

/* d_o, which the local attention has too -> dqkv of the queries, beside what the local attention gave them. */
static void read_and_join_backward(void *arg, int task, int worker)
{
    (void)worker;
    const row_job *j = arg;
    const attn_call *c = j->c;
    const kernels *kernel = kernels_get();
    const attn_shape shape = attn_shape_of(c->cfg);
    const size_t d_head = shape.d_head, k = neighbours(c->cfg);
    const block b = block_of(c, (size_t)task);
    const size_t all = searched(c, b.lane), found = all < k ? all : k;
    const real scale = (real)model_attention_scale(c->cfg);
    for (size_t i = 0; i < b.count; i++) {
        const size_t at = (b.row + i) * shape.q + attn_q_at(&shape, b.head),
                     place = (b.row + i) * shape.heads + b.head;
        const real *d_o = j->w->local.d_o + at;
        const real along = kernel->dot(d_o, j->s->local.o + at, d_head); /* dot(p, dp), because o = p V */
        real *dq = j->w->local.dqkv + (b.row + i) * shape.row + attn_q_at(&shape, b.head);
        for (size_t r = 0; r < found; r++) {
            const real *value = j->s->value + (place * k + r) * d_head;
            const real p = j->s->weight[place * k + r];
            kernel->axpy(dq, scale * p * (kernel->dot(d_o, value, d_head) - along),
                         j->s->key + (place * k + r) * d_head, d_head);
        }
    }
}

static void read_and_mix(void *arg, int task, int worker)
{
    const row_job *j = arg;
    const attn_call *c = j->c;
    const saved_area *s = j->s;
    const kernels *kernel = kernels_get();
    const size_t d = attn_width(c->cfg), d_head = (size_t)c->cfg->d_head;
    const block b = block_of(c, (size_t)task);
    const real gate = gate_of(c, b.lane, b.head);
    if (has_memory(c, b.lane)) read_block(c, s, &b, c->scratch + (size_t)worker * c->scratch_stride);
    for (size_t i = 0; i < b.count; i++) {
        const size_t at = (b.row + i) * d + b.head * d_head;
        if (!has_memory(c, b.lane)) memset(s->read + at, 0, d_head * sizeof *s->read);
        kernel->blend(s->mixed + at, gate, s->read + at, 1 - gate, s->local.o + at, d_head);
    }
}

/* dmixed -> d_o of the local attention, dq through the memory, dbeta. */
static void read_and_mix_backward(void *arg, int task, int worker)
{
    (void)worker;
    const row_job *j = arg;
    const attn_call *c = j->c;
    const saved_area *s = j->s;
    const kernels *kernel = kernels_get();
    const size_t d = attn_width(c->cfg), d_head = (size_t)c->cfg->d_head, heads = (size_t)c->cfg->n_heads;
    const size_t k = neighbours(c->cfg);
    const block b = block_of(c, (size_t)task);
    const size_t found = c->seen[b.lane] < k ? (size_t)c->seen[b.lane] : k;
    const real gate = gate_of(c, b.lane, b.head);
    real dgate = 0;
    for (size_t i = 0; i < b.count; i++) {
        const size_t at = (b.row + i) * d + b.head * d_head, place = (b.row + i) * heads + b.head;
        const real *dmixed = j->w->dmixed + at;
        real *dq = j->w->dq + at, *d_o = j->w->local.d_o + at;
        const real along = kernel->dot(dmixed, s->read + at, d_head);
        dgate += along - kernel->dot(dmixed, s->local.o + at, d_head);
        memset(dq, 0, d_head * sizeof *dq);
        for (size_t r = 0; r < found; r++) {
            const real *value = s->value + (place * k + r) * d_head;
            const real dscore = gate * s->weight[place * k + r] * (kernel->dot(dmixed, value, d_head) - along);
            kernel->axpy(dq, dscore, s->key + (place * k + r) * d_head, d_head);
        }
        memset(d_o, 0, d_head * sizeof *d_o);
        kernel->axpy(d_o, 1 - gate, dmixed, d_head);
    }
    j->w->dbeta[task] = dgate * gate * (1 - gate);
}

static void store_head(void *arg, int task, int worker)
{
    (void)worker;
    const row_job *j = arg;
    const attn_call *c = j->c;
    const attn_shape s = attn_shape_of(c->cfg);
    const size_t n = (size_t)c->cfg->segment, size = entries(c->cfg);
    const size_t lane = (size_t)task / s.kv_heads, head = (size_t)task % s.kv_heads, valid = c->valid[lane];
    real *keys = ring(c, lane, head), *values = keys + size * s.d_head;
    for (size_t i = valid > size ? valid - size : 0; i < valid; i++) {
        const real *row = j->s->local.qkv + (lane * n + i) * s.row;
        const size_t slot = (size_t)((c->seen[lane] + i) % size);
        memcpy(keys + slot * s.d_head, row + attn_k_at(&s, head), s.d_head * sizeof *row);
        memcpy(values + slot * s.d_head, row + attn_v_at(&s, head), s.d_head * sizeof *row);
    }
}

/* ---- the layer ---- */

static void forward(const attn_call *c, const real *x, real *y)
{
    if (!is_memory_layer(c->cfg, c->layer)) {
        kvcache_layer_forward(c, xl_len(c->cfg), 0, x, y);
        return;
    }
    const size_t heads = c->lanes * (size_t)c->cfg->n_heads;
    saved_area s;
    saved_layout(c->cfg, c->lanes, c->saved, &s);
    row_job job = {c, &s, NULL};
    const int joint = is_joint(c->cfg);
    attn_project(c, x, attn_matrix(c, PARAM_QKV), s.local.qkv, c->need_output);
    if (!joint) pool_run(c->pool, (int)row_blocks(c), unit_rows, &job);
    if (c->need_output) {
        kvcache_forward(c, &s.local, joint ? (real)model_attention_scale(c->cfg) : 1);
        pool_run(c->pool, (int)(heads * query_blocks(attn_rows(c).rows)), joint ? read_and_join : read_and_mix,
                 &job);
        attn_output(c, joint ? s.local.o : s.mixed, attn_matrix(c, PARAM_O), y);
    }
    kvcache_update(c, &s.local);
    pool_run(c->pool, (int)(c->lanes * attn_shape_of(c->cfg).kv_heads), store_head, &job);
}

static void step(const attn_call *c, const real *x, real *y)
{
    if (!is_memory_layer(c->cfg, c->layer)) {
        kvcache_layer_step(c, xl_len(c->cfg), 0, x, y);
        return;
    }
    const size_t heads = c->lanes * (size_t)c->cfg->n_heads;
    saved_area s;
    step_layout(c->cfg, c->lanes, c->saved, &s);
    kvcache_kept_layout(c, &s.local);
    row_job job = {c, &s, NULL};
    const int joint = is_joint(c->cfg);
    attn_project(c, x, attn_matrix(c, PARAM_QKV), s.local.qkv, 1);
    if (!joint) pool_run(c->pool, (int)row_blocks(c), unit_rows, &job);
    kvcache_step(c, &s.local, joint ? (real)model_attention_scale(c->cfg) : 1);
    pool_run(c->pool, (int)(heads * query_blocks(c->count)), joint ? read_and_join : read_and_mix, &job);
    attn_output(c, joint ? s.local.o : s.mixed, attn_matrix(c, PARAM_O), y);
}

static void backward(const attn_call *c, const real *x, const real *dy, real *dx)
{
    if (!is_memory_layer(c->cfg, c->layer)) {
        kvcache_layer_backward(c, xl_len(c->cfg), 0, x, dy, dx);
        return;
    }
    const size_t heads = (size_t)c->cfg->n_heads, blocks = query_blocks((size_t)c->cfg->segment);
    saved_area s;
    work_area w;
    saved_layout(c->cfg, c->lanes, c->saved, &s);
    work_layout(c->cfg, c->lanes, c->work, &w);
    row_job job = {c, &s, &w};
    if (is_joint(c->cfg)) {
        attn_output_backward(c, s.local.o, c->param[PARAM_O], dy, c->grad[PARAM_O], w.local.d_o);
        kvcache_backward(c, &s.local, &w.local, (real)model_attention_scale(c->cfg));
        pool_run(c->pool, (int)(c->lanes * heads * blocks), read_and_join_backward, &job);
        attn_project_backward(c, x, c->param[PARAM_QKV], w.local.dqkv, c->grad[PARAM_QKV], dx);
        return;
    }
    attn_output_backward(c, s.mixed, c->param[PARAM_O], dy, c->grad[PARAM_O], w.dmixed);
    pool_run(c->pool, (int)(c->lanes * heads * blocks), read_and_mix_backward, &job);
    kvcache_backward(c, &s.local, &w.local, 1);
    pool_run(c->pool, (int)row_blocks(c), unit_rows_backward, &job);
    attn_project_backward(c, x, c->param[PARAM_QKV], w.local.dqkv, c->grad[PARAM_QKV], dx);
    for (size_t i = 0; c->grad[PARAM_BETA] && i < c->lanes * heads * blocks; i++)
        c->grad[PARAM_BETA][i / blocks % heads] += w.dbeta[i];
    attn_add_rows(c->grad[PARAM_LOG_SCALE], w.dscale, heads, row_blocks(c), heads);
}

static double flops(const model_config *cfg, size_t layer, double context)
{
    const double d = (double)attn_width(cfg), xl = (double)xl_len(cfg), size = (double)entries(cfg);
    const double local = 4 * d * ((context < xl ? context : xl) + 0.5 * (double)(cfg->segment + 1));
    if (!is_memory_layer(cfg, layer)) return local;
    return local + 2 * d * (context < size ? context : size) + 2 * d * (double)neighbours(cfg);
}

/* The memory of one layer, beside the cache of all. */
static double memory_entries(const model_config *cfg)
{
    const double tokens = (double)entries(cfg) + (double)xl_len(cfg) * (double)cfg->n_layers;
    return 2 * (double)attn_shape_of(cfg).kv * tokens;
}

const attn_module attn_memorizing = {
    .name = "memorizing",
    .summary = "Memorizing Transformer: local attention and exact kNN over past keys and values in one layer",
    .memory_formula = "(d_k + d_v) H N S",
    .memory_entries = memory_entries,
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .check = check,
    .params = params,
    .sizes = sizes,
    .table_fill = table_fill,
    .state_reset = state_reset,
    .state_age = state_age,
    .forward = forward,
    .step = step,
    .backward = backward,
    .flops = flops,
};

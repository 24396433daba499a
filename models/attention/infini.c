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
 * zero, so that a token may leave the memory untouched. With read_gate = token what a token reads is weighed by
 * r = sigmoid(w_read x + b) per query head: a read is an average of what was written, and cannot fade by itself.
 * Some options are ours too. With xl_len > 0 the local attention also sees the tokens before the segment, as in
 * Transformer-XL, and with local_sinks > 0 the stream's first ones, as in StreamingLLM. With memory_key = previous
 * the memory binds v_t to k_{t-1}: a read then returns what followed a context like this one, as a kNN language
 * model's store does (Khandelwal et al. 2020), where the paper's returns what stood there. memory_layers,
 * memory_mix = add and memory_map = head put a memory into a trained model: few layers, nothing changed at the
 * start, and maps that make q and k fit for phi.
 *
 * Where query heads share key heads, a memory belongs to a key head: its query heads read it, each with a gate of
 * its own, and it is written once.
 *
 * State of a lane: for each key head M [d_head, d_head], z [d_head] and, where the memory needs it, phi of the
 * last k [d_head], which carry gradients; then the cache and the sinks of sinks.h, which do not. */
#include "models/attention/infini.h"

#include "models/attention/modules.h"

#include <string.h>

static const kv_spec options[] = {
    {"memory_feature", KV_CHOICE, OPTION(INFINI_FEATURE), "elu1", 0, 0, "elu1|relu",
     "phi of the memory's unrotated q and k; the paper: elu1 = ELU + 1"},
    {"memory_eps", KV_REAL, OPTION(INFINI_EPS), "1e-6", 1e-12, 1, NULL,
     "added to the denominators phi(q) z of a read and phi(k) z of the delta rule"},
    {"memory_z_init", KV_REAL, OPTION(INFINI_Z_INIT), "0", 0, 1e6, NULL,
     "every element of z before the first segment (M starts at 0); the memory is empty all the same"},
    {"memory_z_rule", KV_CHOICE, OPTION(INFINI_Z_RULE), "sum", 0, 0, "sum|gamma",
     "sum: the paper; gamma: z grows by clip(1 - z phi(k)/|phi(k)|^2, 0, 1) phi(k), z of before the segment"},
    {"first_segment", KV_CHOICE, OPTION(INFINI_FIRST_SEGMENT), "local", 0, 0, "local|gated",
     "a head whose memory is empty: local = the local attention alone; gated = that times 1 - g"},
    {"gate_init", KV_REAL, OPTION(INFINI_GATE_INIT), "0", -20, 20, NULL,
     "beta before training; g = sigmoid(beta) weighs the memory: 0 gives both equal weight"},
    {"rope_base", KV_REAL, OPTION(INFINI_ROPE_BASE), "10000", 2, 1e9, NULL,
     "base of the rotary positions (rotate-half) of the local attention"},
    {"xl_len", KV_SIZE, OPTION(INFINI_XL_LEN), "0", 0, 1 << 30, NULL,
     "tokens before the segment whose keys and values the local attention caches, as Transformer-XL"},
    {"memory_key", KV_CHOICE, OPTION(INFINI_KEY), "own", 0, 0, "own|previous",
     "the key that v_t is bound to: own = k_t, the paper; previous = k_{t-1}, across segments too; a stream's "
     "first token then writes nothing"},
    {"memory_from", KV_INT, OPTION(INFINI_MEMORY_FROM), "0", 0, 1024, NULL,
     "the first layer with a memory, counted from 0; those below have the local attention alone"},
    {"memory_empty", KV_CHOICE, OPTION(INFINI_MEMORY_EMPTY), "first", 0, 0, "first|unwritten",
     "when a head's memory is empty: first = in a stream's first segment; unwritten = until something is written"},
    {"memory_layers", KV_LAYERS, OPTION(INFINI_MEMORY_LAYERS), "all", 0, 0, NULL,
     "layers with a memory, from memory_from on, counted from 0: 12.16.20; the others have the local attention "
     "alone"},
    {"memory_mix", KV_CHOICE, OPTION(INFINI_MIX), "gate", 0, 0, "gate|add",
     "gate: g memory + (1 - g) local, the paper; add: local + beta memory, which is the local attention at beta = "
     "0"},
    {"memory_map", KV_CHOICE, OPTION(INFINI_MAP), "none", 0, 0, "none|head",
     "head: q and k of the memory go through a matrix of their own for each head, which starts as the identity"},
    {"local_sinks", KV_SIZE, OPTION(INFINI_SINKS), "0", 0, 1 << 16, NULL,
     "first tokens of the stream that the local attention of every layer sees too, right before what else it "
     "sees"},
    {"write_gate_init", KV_REAL, OPTION(INFINI_WRITE_INIT), "0", -20, 20, NULL,
     "bias b of the write gate clip(1.2 sigmoid(w x + b) - 0.1, 0, 1), x the normed input, before training"},
    {"write_from", KV_SIZE, OPTION(INFINI_WRITE_FROM), "0", 0, 1 << 20, NULL,
     "first tokens of each segment that write nothing: they lack context, and look alike in every text"},
    {"write_offset", KV_REAL, OPTION(INFINI_WRITE_OFFSET), "0", -20, 20, NULL,
     "taken from w x + b, so that gates that are hardly open shut"},
    {"read_gate", KV_CHOICE, OPTION(INFINI_READ_GATE), "none", 0, 0, "none|token",
     "token: what a head reads is weighed by sigmoid(w x + b) of the reading token; w starts at 0"},
    {"read_gate_init", KV_REAL, OPTION(INFINI_READ_INIT), "3", -20, 20, NULL,
     "bias b of the read gate before training"},
};

/* ---- what a config says ---- */

int infini_is_delta(const model_config *cfg)
{
    return cfg->attention == &attn_infini_delta;
}

int infini_is_gated(const model_config *cfg)
{
    return cfg->attention == &attn_infini_gated;
}

int infini_is_mapped(const model_config *cfg)
{
    return infini_choice(cfg, INFINI_MAP) == INFINI_MAP_HEAD;
}

size_t infini_map_param(const model_config *cfg)
{
    return infini_is_gated(cfg) ? INFINI_WRITE_B + 1 : INFINI_BETA + 1;
}

int infini_gates_reads(const model_config *cfg)
{
    return infini_is_gated(cfg) && infini_choice(cfg, INFINI_READ_GATE) == INFINI_READ_TOKEN;
}

size_t infini_read_param(const model_config *cfg)
{
    return infini_map_param(cfg) + (infini_is_mapped(cfg) ? 2 : 0);
}

int infini_has_memory(const model_config *cfg, size_t layer)
{
    const int64_t layers = cfg->option[INFINI_MEMORY_LAYERS].i;
    if ((int64_t)layer < cfg->option[INFINI_MEMORY_FROM].i) return 0;
    return layer < KV_LAYERS_MAX ? layers >> layer & 1 : layers == INT64_MAX;
}

sinks_view infini_local(const model_config *cfg)
{
    const size_t xl = (size_t)cfg->option[INFINI_XL_LEN].i;
    return (sinks_view){.window = xl,
                        .sinks = (size_t)cfg->option[INFINI_SINKS].i,
                        .cached = xl,
                        .by_place = 1,
                        .rope_base = cfg->option[INFINI_ROPE_BASE].r};
}

memory_rule infini_rule(const model_config *cfg)
{
    return (memory_rule){.delta = infini_is_delta(cfg),
                         .gamma = infini_choice(cfg, INFINI_Z_RULE) == INFINI_Z_GAMMA,
                         .previous = infini_choice(cfg, INFINI_KEY) == INFINI_KEY_PREVIOUS,
                         .eps = (real)cfg->option[INFINI_EPS].r};
}

size_t infini_head_state(const model_config *cfg)
{
    const memory_rule rule = infini_rule(cfg);
    return memory_head_reals(&rule, (size_t)cfg->d_head);
}

static size_t params(const model_config *cfg, size_t layer, param_spec *spec)
{
    const attn_shape s = attn_shape_of(cfg);
    const double beta = cfg->option[INFINI_GATE_INIT].r, bias = cfg->option[INFINI_WRITE_INIT].r;
    spec[INFINI_QKV] = attn_qkv_spec(cfg);
    spec[INFINI_O] = attn_o_spec(cfg);
    if (!infini_has_memory(cfg, layer)) return INFINI_O + 1;
    const unsigned factor = infini_choice(cfg, INFINI_MIX) == INFINI_MIX_ADD ? PARAM_FACTOR : 0;
    const size_t map = infini_map_param(cfg);
    spec[INFINI_BETA] = (param_spec){"gate", 1, s.heads, INIT_CONSTANT, beta, PARAM_GATE | factor};
    if (infini_is_gated(cfg)) {
        spec[INFINI_WRITE_W] =
            (param_spec){"write_gate.weight", s.kv_heads, (size_t)cfg->d_model, INIT_NORMAL, 0, PARAM_NO_DECAY};
        spec[INFINI_WRITE_B] = (param_spec){"write_gate.bias", 1, s.kv_heads, INIT_CONSTANT, bias, PARAM_NO_DECAY};
    }
    if (infini_is_mapped(cfg)) {
        spec[map] = (param_spec){"memory_q.weight", s.q, s.d_head, INIT_IDENTITY, 0, PARAM_NO_DECAY};
        spec[map + 1] = (param_spec){"memory_k.weight", s.kv, s.d_head, INIT_IDENTITY, 0, PARAM_NO_DECAY};
    }
    const size_t read = infini_read_param(cfg);
    const double open = cfg->option[INFINI_READ_INIT].r;
    if (!infini_gates_reads(cfg)) return read;
    spec[read] = (param_spec){"read_gate.weight", s.heads, (size_t)cfg->d_model, INIT_CONSTANT, 0, PARAM_NO_DECAY};
    spec[read + 1] = (param_spec){"read_gate.bias", 1, s.heads, INIT_CONSTANT, open, PARAM_NO_DECAY};
    return read + 2;
}

/* ---- sizes ---- */

size_t infini_saved_layout(const model_config *cfg, size_t lanes, real *base, infini_saved *out)
{
    const attn_shape s = attn_shape_of(cfg);
    const size_t memory = s.kv_heads * infini_head_state(cfg), all = lanes * (size_t)cfg->segment;
    const size_t delta = infini_is_delta(cfg) ? all : 0, gated = infini_is_gated(cfg) ? all : 0;
    const size_t mapped = infini_is_mapped(cfg) ? all * (s.q + s.kv) : 0;
    const size_t open = infini_gates_reads(cfg) ? all * s.heads : 0;
    const size_t part[] = {all * (s.q + s.kv), all * s.q,          all * s.heads, all * s.q,
                           lanes * memory,     all * s.kv_heads,   delta * s.kv,  delta * s.kv_heads,
                           gated * s.kv_heads, gated * s.kv_heads, mapped,        open};
    const sinks_view r = infini_local(cfg);
    sinks_saved local;
    real *at[12];
    const size_t before = sinks_saved_layout(cfg, &r, lanes, base, &local);
    const size_t used = attn_carve(base ? base + before : NULL, part, 12, at);
    local.local.offset = memory;
    if (out)
        *out = (infini_saved){local.local, local, at[0], at[1], at[2], at[3],  at[4],
                              at[5],       at[6], at[7], at[8], at[9], at[10], at[11]};
    return before + used;
}

size_t infini_step_layout(const model_config *cfg, size_t lanes, real *base, infini_rows *out)
{
    const attn_shape s = attn_shape_of(cfg);
    const size_t all = lanes * ATTN_STEP_ROWS, open = infini_gates_reads(cfg) ? all * s.heads : 0;
    const size_t part[] = {all * s.q, all * s.q, open};
    const sinks_view r = infini_local(cfg);
    sinks_saved local;
    real *at[3];
    const size_t before = sinks_step_layout(cfg, &r, lanes, base, &local);
    const size_t used = attn_carve(base ? base + before : NULL, part, 3, at);
    local.local.offset = s.kv_heads * infini_head_state(cfg);
    if (out) *out = (infini_rows){local.local, local, at[0], at[1], at[2]};
    return before + used;
}

size_t infini_work_layout(const model_config *cfg, size_t lanes, real *base, infini_work *out)
{
    const attn_shape s = attn_shape_of(cfg);
    const size_t all = lanes * (size_t)cfg->segment, gated = infini_is_gated(cfg) ? all : 0;
    const size_t part[] = {all * (s.q + s.kv), all * s.kv,         all * s.q,
                           lanes * s.heads,    gated * s.kv_heads, infini_gates_reads(cfg) ? all * s.heads : 0};
    const sinks_view r = infini_local(cfg);
    sinks_work local;
    real *at[6];
    const size_t before = sinks_work_layout(cfg, &r, lanes, base, &local);
    const size_t used = attn_carve(base ? base + before : NULL, part, 6, at);
    if (out) *out = (infini_work){local.local, local, at[0], at[1], at[2], at[3], at[4], at[5]};
    return before + used;
}

/* The memory alone: what carries a gradient. */
static size_t memory_reals(const model_config *cfg, size_t layer)
{
    return infini_has_memory(cfg, layer) ? attn_shape_of(cfg).kv_heads * infini_head_state(cfg) : 0;
}

static void sizes(const model_config *cfg, size_t layer, size_t lanes, attn_sizes *out)
{
    const size_t memory = memory_scratch_reals((size_t)cfg->segment, (size_t)cfg->d_head);
    const sinks_view r = infini_local(cfg);
    sinks_sizes(cfg, &r, lanes, out); /* a full cache, and a memory that counts as one, settle alike */
    if (!infini_has_memory(cfg, layer)) return;
    out->state += memory_reals(cfg, layer);
    out->state_grad = memory_reals(cfg, layer);
    out->saved = infini_saved_layout(cfg, lanes, NULL, NULL);
    out->step = infini_step_layout(cfg, lanes, NULL, NULL);
    out->scratch = memory > out->scratch ? memory : out->scratch;
    out->work = infini_work_layout(cfg, lanes, NULL, NULL);
    out->reach = ATTN_ENDLESS;
}

static void table_fill(const model_config *cfg, real *table)
{
    const sinks_view r = infini_local(cfg);
    sinks_table_fill(cfg, &r, table);
}

/* ---- the state ---- */

static void state_reset(const model_config *cfg, size_t layer, real *state, uint64_t written)
{
    (void)written;
    const size_t d = (size_t)cfg->d_head, stride = infini_head_state(cfg), memory = memory_reals(cfg, layer);
    const sinks_view r = infini_local(cfg);
    memset(state, 0, (memory + sinks_state_reals(cfg, &r)) * sizeof *state);
    for (size_t at = 0; at < memory; at += stride)
        for (size_t i = 0; i < d; i++) state[at + d * d + i] = (real)cfg->option[INFINI_Z_INIT].r;
}

static size_t state_parts(const model_config *cfg, size_t layer, state_part *part)
{
    const size_t d = (size_t)cfg->d_head, heads = attn_shape_of(cfg).kv_heads, stride = infini_head_state(cfg);
    if (!infini_has_memory(cfg, layer)) return 0;
    part[0] = (state_part){"M", 0, heads, d * d, stride};
    part[1] = (state_part){"z", d * d, heads, d, stride};
    return 2;
}

/* A second reading of the same adds the same sums again; under the delta rule M already returns what would be
 * written, and under the gamma rule z already holds the keys. */
static void state_repeat(const model_config *cfg, size_t layer, real *state, double times)
{
    const size_t d = (size_t)cfg->d_head, stride = infini_head_state(cfg);
    const real init = (real)cfg->option[INFINI_Z_INIT].r, factor = (real)times;
    const int sums = infini_choice(cfg, INFINI_Z_RULE) == INFINI_Z_SUM, delta = infini_is_delta(cfg);
    for (size_t at = 0; at < memory_reals(cfg, layer); at += stride) {
        real *memory = state + at, *z = memory + d * d;
        if (!delta)
            for (size_t i = 0; i < d * d; i++) memory[i] *= factor;
        if (sums)
            for (size_t i = 0; i < d; i++) z[i] = init + (z[i] - init) * factor;
    }
}

/* ---- the rows of the table ---- */

static double flops(const model_config *cfg, size_t layer, double context)
{
    const attn_shape s = attn_shape_of(cfg);
    const sinks_view r = infini_local(cfg);
    const double d = (double)s.d_head, xl = (double)(r.cached + r.sinks);
    const double local = 4 * (double)s.q * ((context < xl ? context : xl) + 0.5 * (double)(cfg->segment + 1));
    if (!infini_has_memory(cfg, layer)) return local;
    const double updates = infini_is_delta(cfg) ? 2 : 1; /* and delta's read of the keys */
    const double maps = infini_is_mapped(cfg) ? 1 : 0;
    return local + 2 * d * ((1 + maps) * (double)s.q + (updates + maps) * (double)s.kv);
}

static double memory_entries(const model_config *cfg)
{
    const attn_shape s = attn_shape_of(cfg);
    double layers = 0;
    for (size_t l = 0; l < (size_t)cfg->n_layers; l++) layers += infini_has_memory(cfg, l);
    return (double)s.d_head * (double)(s.d_head + 1) * (double)s.kv_heads * layers;
}

#define INFINI_MODULE(id, about, count)                                                                           \
    {                                                                                                             \
        .name = id, .summary = about, .memory_formula = "d_k (d_v + 1) H l", .memory_entries = memory_entries,    \
        .options = options, .option_count = count, .params = params, .sizes = sizes, .table_fill = table_fill,    \
        .state_reset = state_reset, .state_parts = state_parts, .state_repeat = state_repeat,                     \
        .forward = infini_forward, .step = infini_step, .backward = infini_backward, .flops = flops               \
    }

const attn_module attn_infini_linear =
    INFINI_MODULE("infini-linear", "Infini-attention, linear update (2404.07143, equation 8)", INFINI_WRITE_INIT);
const attn_module attn_infini_delta = INFINI_MODULE(
    "infini-delta", "Infini-attention, linear + delta update (2404.07143, equation 9)", INFINI_WRITE_INIT);
const attn_module attn_infini_gated =
    INFINI_MODULE("infini-gated", "Infini-attention, linear update with a write gate (ours)", INFINI_OPTIONS);

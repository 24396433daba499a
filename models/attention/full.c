/* Causal attention over the whole stream so far, up to `context` tokens: the bound that bounded memories are
 * compared with. State: the keys and values of `context` tokens. Through them no gradient flows: a training window
 * of several segments learns within each segment alone, so train with segment = context for exact gradients. The
 * caller must not feed more than max_tokens. */
#include "models/attention/kvcache.h"
#include "models/attention/modules.h"

enum { CONTEXT, ROPE_BASE };

static const kv_spec options[] = {
    {"context", KV_SIZE, OPTION(CONTEXT), "4K", 1, 1 << 30, NULL,
     "longest stream, tokens: the size of the key-value cache"},
    {"rope_base", KV_REAL, OPTION(ROPE_BASE), "10000", 2, 1e9, NULL, "base of the rotary positions (rotate-half)"},
};

static size_t context_of(const model_config *cfg)
{
    return (size_t)cfg->option[CONTEXT].i;
}

static size_t params(const model_config *cfg, size_t layer, param_spec *spec)
{
    (void)layer;
    spec[0] = attn_qkv_spec(cfg);
    spec[1] = attn_o_spec(cfg);
    return 2;
}

static void sizes(const model_config *cfg, size_t layer, size_t lanes, attn_sizes *out)
{
    (void)layer;
    kvcache_sizes(cfg, lanes, context_of(cfg), out);
    out->reach = ATTN_ENDLESS;
    out->max_tokens = cfg->option[CONTEXT].i;
}

static void table_fill(const model_config *cfg, real *table)
{
    rope_table_fill(cfg, cfg->option[ROPE_BASE].r, context_of(cfg) + (size_t)cfg->segment, table);
}

static void forward(const attn_call *c, const real *x, real *y)
{
    kvcache_layer_forward(c, context_of(c->cfg), 1, x, y);
}

static void step(const attn_call *c, const real *x, real *y)
{
    kvcache_layer_step(c, context_of(c->cfg), 1, x, y);
}

static void backward(const attn_call *c, const real *x, const real *dy, real *dx)
{
    kvcache_layer_backward(c, context_of(c->cfg), 1, x, dy, dx);
}

static double flops(const model_config *cfg, size_t layer, double context)
{
    (void)layer;
    return 4 * (double)attn_width(cfg) * (context + 1);
}

const attn_module attn_full = {
    .name = "full",
    .summary = "causal attention over the whole stream with a complete key-value cache",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .params = params,
    .sizes = sizes,
    .table_fill = table_fill,
    .forward = forward,
    .step = step,
    .backward = backward,
    .flops = flops,
};

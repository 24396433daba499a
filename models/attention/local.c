/* Causal attention within the segment: what an ordinary Transformer with this context sees. No state. */
#include "models/attention/kvcache.h"
#include "models/attention/modules.h"

enum { ROPE_BASE };

static const kv_spec options[] = {
    {.key = "rope_base",
     .type = KV_REAL,
     .offset = OPTION(ROPE_BASE),
     .fallback = "10000",
     .min = 2,
     .max = 1e9,
     .help = "base of the rotary positions (rotate-half)"},
};

static size_t params(const model_config *cfg, size_t layer, param_spec *spec)
{
    (void)layer;
    spec[0] = attn_qkv_spec(cfg);
    spec[1] = attn_o_spec(cfg);
    return 2;
}

static size_t saved_reals(const model_config *cfg, size_t layer, size_t lanes)
{
    (void)layer;
    return kvcache_saved_layout(cfg, lanes, 0, NULL, NULL);
}

static size_t scratch_reals(const model_config *cfg, size_t layer)
{
    (void)layer;
    return attn_heads_scratch(cfg, 0);
}

static size_t work_reals(const model_config *cfg, size_t layer, size_t lanes)
{
    (void)layer;
    return kvcache_work_layout(cfg, lanes, 0, NULL, NULL);
}

static size_t table_reals(const model_config *cfg)
{
    return rope_table_reals(cfg, (size_t)cfg->segment);
}

static void table_fill(const model_config *cfg, real *table)
{
    rope_table_fill(cfg, cfg->option[ROPE_BASE].r, (size_t)cfg->segment, table);
}

static void state_reset(const model_config *cfg, size_t layer, real *state, uint64_t written)
{
    (void)cfg;
    (void)layer, (void)written;
    (void)state;
}

static void forward(const attn_call *c, const real *x, real *y)
{
    kvcache_layer_forward(c, 0, x, y);
}

static void backward(const attn_call *c, const real *x, const real *dy, real *dx)
{
    kvcache_layer_backward(c, 0, x, dy, dx);
}

static int64_t reach(const model_config *cfg, size_t layer)
{
    (void)cfg, (void)layer;
    return 0;
}

static double flops(const model_config *cfg, size_t layer, double context)
{
    (void)layer;
    (void)context;
    return 4 * (double)attn_width(cfg) * 0.5 * (double)(cfg->segment + 1);
}

const attn_module attn_local = {
    .name = "local",
    .summary = "causal attention within the segment (an ordinary Transformer of this context)",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .params = params,
    .state_reals = attn_no_reals,
    .state_grad_reals = attn_no_reals,
    .saved_reals = saved_reals,
    .scratch_reals = scratch_reals,
    .work_reals = work_reals,
    .reach = reach,
    .max_tokens = attn_any_length,
    .table_reals = table_reals,
    .table_fill = table_fill,
    .state_reset = state_reset,
    .forward = forward,
    .backward = backward,
    .flops = flops,
};

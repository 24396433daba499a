/* Causal attention within the segment: what an ordinary Transformer with this context sees. No state. */
#include "models/attention/local.h"

#include "models/attention/kvcache.h"
#include "models/attention/modules.h"

enum { ROPE_BASE };

static const kv_spec options[] = {
    LOCAL_ROPE_OPTION,
};

size_t local_params(const model_config *cfg, size_t layer, param_spec *spec)
{
    (void)layer;
    spec[0] = attn_qkv_spec(cfg);
    spec[1] = attn_o_spec(cfg);
    return 2;
}

void local_sizes(const model_config *cfg, size_t layer, size_t lanes, attn_sizes *out)
{
    (void)layer;
    kvcache_sizes(cfg, lanes, 0, out);
}

void local_table_fill(const model_config *cfg, real *table)
{
    rope_table_fill(cfg, cfg->option[ROPE_BASE].r, (size_t)cfg->segment, table);
}

void local_forward(const attn_call *c, const real *x, real *y)
{
    kvcache_layer_forward(c, 0, 0, x, y);
}

static void step(const attn_call *c, const real *x, real *y)
{
    kvcache_layer_step(c, 0, 0, x, y);
}

void local_backward(const attn_call *c, const real *x, const real *dy, real *dx)
{
    kvcache_layer_backward(c, 0, 0, x, dy, dx);
}

double local_flops(const model_config *cfg, size_t layer, double context)
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
    .params = local_params,
    .sizes = local_sizes,
    .table_fill = local_table_fill,
    .forward = local_forward,
    .step = step,
    .backward = local_backward,
    .flops = local_flops,
};

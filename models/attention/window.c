/* Causal attention over the newest tokens and the stream's first ones, its sinks (Xiao et al. 2023, StreamingLLM).
 * Without sinks it is the sliding window of Mistral; with window_slides = segment, a cache of keys and values that
 * moves by segments as Transformer-XL's does.
 *
 * Token t sees the newest `window` tokens, itself included, and those of the first `sinks` tokens that lie before
 * them. With window_slides = segment it sees the `window` tokens before its segment, and its segment. The cache
 * carries no gradient, and nor do sinks that lie before the segment. The arithmetic and the state: sinks.h. */
#include "models/attention/modules.h"
#include "models/attention/sinks.h"

#include <math.h>

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

static sinks_view view_of(const model_config *cfg)
{
    sinks_view r = {.window = (size_t)cfg->option[WINDOW].i,
                    .sinks = (size_t)cfg->option[SINKS].i,
                    .by_token = cfg->option[SLIDES].i == SLIDES_TOKEN,
                    .by_place = cfg->option[POSITIONS].i == POSITIONS_CACHE,
                    .rope_base = cfg->option[ROPE_BASE].r};
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

static void sizes(const model_config *cfg, size_t layer, size_t lanes, attn_sizes *out)
{
    (void)layer;
    const sinks_view r = view_of(cfg);
    sinks_sizes(cfg, &r, lanes, out);
}

static void table_fill(const model_config *cfg, real *table)
{
    const sinks_view r = view_of(cfg);
    sinks_table_fill(cfg, &r, table);
}

static size_t state_parts(const model_config *cfg, size_t layer, state_part *part)
{
    (void)layer;
    const sinks_view r = view_of(cfg);
    const size_t window = r.cached * attn_shape_of(cfg).kv, sinks = r.sinks * attn_shape_of(cfg).kv;
    size_t count = 0;
    if (window > 0) part[count++] = (state_part){"k", 0, 1, window, window};
    if (window > 0) part[count++] = (state_part){"v", window, 1, window, window};
    if (sinks > 0) part[count++] = (state_part){"sink k", 2 * window, 1, sinks, sinks};
    if (sinks > 0) part[count++] = (state_part){"sink v", 2 * window + sinks, 1, sinks, sinks};
    return count;
}

static void forward(const attn_call *c, const real *x, real *y)
{
    const sinks_view r = view_of(c->cfg);
    sinks_layer_forward(c, &r, x, y);
}

static void step(const attn_call *c, const real *x, real *y)
{
    const sinks_view r = view_of(c->cfg);
    sinks_layer_step(c, &r, x, y);
}

static void backward(const attn_call *c, const real *x, const real *dy, real *dx)
{
    const sinks_view r = view_of(c->cfg);
    sinks_layer_backward(c, &r, x, dy, dx);
}

static double flops(const model_config *cfg, size_t layer, double context)
{
    (void)layer;
    const sinks_view r = view_of(cfg);
    const double window = (double)r.window, n = (double)cfg->segment, cached = fmin(context, (double)r.cached);
    const double sinks = fmin(fmax(context - (double)r.cached, 0), (double)r.sinks);
    const double seen = r.by_token ? fmin(cached + 0.5 * (n + 1), window) : cached + 0.5 * (n + 1);
    return 4 * (double)attn_width(cfg) * (seen + sinks);
}

/* Keys and values of the tokens before the segment that are kept, the first ones too. */
static double memory_entries(const model_config *cfg)
{
    const sinks_view r = view_of(cfg);
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

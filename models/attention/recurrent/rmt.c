/* Segment recurrence by memory tokens, which pass through all layers beside a segment's own. Attention is causal
 * over the rows of one segment, and rotates them by their place in it.
 *
 * rmt (Bulatov et al. 2022, arXiv 2207.06881): a segment is read as [m; tokens; m]. What the model makes of the
 * second m, behind the final norm, is the next segment's m; the first segment's is learned. autocompressor
 * (Chevalier et al. 2023, arXiv 2305.14788): [the last a segments' summaries; tokens; learned summary tokens].
 * What the model makes of the summary tokens is the segment's summary; a is bounded here, as the state is.
 *
 * State of a lane, all of which carries gradients: m [p, d_model]; or the summaries [a, p, d_model], the newest
 * last. */
#include "models/attention/local.h"
#include "models/attention/modules.h"
#include "models/attention/recurrence.h"
#include "models/engine/kernels.h"

#include <string.h>

enum { ROPE_BASE, TOKENS, ACCUMULATE };

static const kv_spec options[] = {
    LOCAL_ROPE_OPTION,
    {"memory_tokens", KV_SIZE, OPTION(TOKENS), "16", 1, 1 << 16, NULL, "memory tokens of a segment"},
    {"accumulate", KV_SIZE, OPTION(ACCUMULATE), "4", 1, 1 << 16, NULL, "segments whose summaries a segment reads"},
};

/* ---- memory tokens above the layers ---- */

static int accumulates(const model_config *cfg)
{
    return cfg->attention == &attn_autocompressor;
}

static size_t tokens_of(const model_config *cfg)
{
    return (size_t)cfg->option[TOKENS].i;
}

static size_t kept_of(const model_config *cfg)
{
    return accumulates(cfg) ? (size_t)cfg->option[ACCUMULATE].i : 1;
}

static size_t memory_params(const model_config *cfg, param_spec *spec)
{
    spec[0] = (param_spec){"memory.weight", tokens_of(cfg), (size_t)cfg->d_model, INIT_NORMAL, 0, PARAM_NO_DECAY};
    return 1;
}

static size_t memory_state(const model_config *cfg)
{
    return kept_of(cfg) * tokens_of(cfg) * (size_t)cfg->d_model;
}

static size_t memory_rows(const model_config *cfg)
{
    return (kept_of(cfg) + 1) * tokens_of(cfg);
}

/* Summaries that a lane has, each of one segment, whole or not. */
static size_t summaries(const model_config *cfg, uint64_t seen)
{
    const uint64_t n = (uint64_t)cfg->segment, segments = (seen + n - 1) / n, most = kept_of(cfg);
    return (size_t)(segments < most ? segments : most);
}

static void memory_place(const model_config *cfg, uint64_t seen, size_t *before, size_t *behind)
{
    *behind = tokens_of(cfg);
    *before = accumulates(cfg) ? summaries(cfg, seen) * *behind : *behind;
}

/* A lane's rows in a call. */
typedef struct lane_rows {
    size_t width, block, before; /* d_model; reals of all memory tokens; reals of the rows before the tokens */
    size_t behind;               /* first real of the rows behind them */
    int is_first;                /* rmt: the learned memory is read, not the state */
} lane_rows;

static lane_rows rows_of(const recurrence_call *c, size_t lane)
{
    size_t before, behind;
    memory_place(c->cfg, c->seen[lane], &before, &behind);
    const size_t width = (size_t)c->cfg->d_model;
    return (lane_rows){.width = width,
                       .block = behind * width,
                       .before = before * width,
                       .behind = (before + c->valid[lane]) * width,
                       .is_first = c->seen[lane] == 0};
}

/* What stands behind a lane's tokens: summary tokens, or the memory itself. */
static int behind_is_learned(const recurrence_call *c, const lane_rows *r)
{
    return accumulates(c->cfg) || r->is_first;
}

static void memory_enter(const recurrence_call *c, real *x)
{
    for (size_t lane = 0; lane < c->lanes; lane++) {
        const lane_rows r = rows_of(c, lane);
        real *row = x + lane * c->n * r.width;
        const real *state = c->state[lane];
        if (c->valid[lane] == 0) continue;
        if (accumulates(c->cfg))
            memcpy(row, state + memory_state(c->cfg) - r.before, r.before * sizeof *row);
        else
            memcpy(row, r.is_first ? c->param[0] : state, r.block * sizeof *row);
        memcpy(row + r.behind, behind_is_learned(c, &r) ? c->param[0] : state, r.block * sizeof *row);
    }
}

static void memory_leave(const recurrence_call *c, const real *x)
{
    const size_t all = memory_state(c->cfg);
    for (size_t lane = 0; lane < c->lanes; lane++) {
        const lane_rows r = rows_of(c, lane);
        if (c->valid[lane] == 0) continue;
        memmove(c->state[lane], c->state[lane] + r.block, (all - r.block) * sizeof *x);
        memcpy(c->state[lane] + all - r.block, x + lane * c->n * r.width + r.behind, r.block * sizeof *x);
    }
}

static void memory_leave_backward(const recurrence_call *c, const real *x, real *dx)
{
    (void)x;
    const size_t all = memory_state(c->cfg);
    for (size_t lane = 0; lane < c->lanes; lane++) {
        const lane_rows r = rows_of(c, lane);
        real *dstate = c->dstate[lane];
        if (c->valid[lane] == 0) continue;
        kernels_get()->axpy(dx + lane * c->n * r.width + r.behind, 1, dstate + all - r.block, r.block);
        memmove(dstate + r.block, dstate, (all - r.block) * sizeof *dstate);
        memset(dstate, 0, r.block * sizeof *dstate);
    }
}

static void memory_enter_backward(const recurrence_call *c, real *dx)
{
    const kernels *k = kernels_get();
    for (size_t lane = 0; lane < c->lanes; lane++) {
        const lane_rows r = rows_of(c, lane);
        const real *row = dx + lane * c->n * r.width;
        if (c->valid[lane] == 0) continue;
        real *before = r.is_first ? c->grad[0] : c->dstate[lane]; /* NULL where it does not learn */
        real *behind = behind_is_learned(c, &r) ? c->grad[0] : c->dstate[lane];
        if (accumulates(c->cfg))
            k->axpy(c->dstate[lane] + memory_state(c->cfg) - r.before, 1, row, r.before);
        else if (before)
            k->axpy(before, 1, row, r.block);
        if (behind) k->axpy(behind, 1, row + r.behind, r.block);
    }
}

#define MEMORY_TOKENS(id)                                                                                         \
    {                                                                                                             \
        .name = id, .params = memory_params, .state_reals = memory_state, .rows = memory_rows,                    \
        .place = memory_place, .is_normed = 1, .enter = memory_enter, .leave = memory_leave,                      \
        .leave_backward = memory_leave_backward, .enter_backward = memory_enter_backward                          \
    }

static const recurrence rmt_memory = MEMORY_TOKENS("rmt"), summary_memory = MEMORY_TOKENS("autocompressor");

/* ---- the rows of the table ---- */

/* The table counts a memory token twice in every layer, where it is read and where it is written. */
static double rmt_entries(const model_config *cfg)
{
    return 2 * (double)tokens_of(cfg) * (double)cfg->d_model * (double)cfg->n_layers;
}

static double autocompressor_entries(const model_config *cfg)
{
    return (double)memory_rows(cfg) * (double)cfg->d_model * (double)cfg->n_layers;
}

#define MEMORY_TOKEN_MODULE(id, about, formula, entries, memory, count)                                           \
    {                                                                                                             \
        .name = id, .summary = about, .memory_formula = formula, .memory_entries = entries, .above = memory,      \
        .options = options, .option_count = count, .params = local_params, .sizes = local_sizes,                  \
        .table_fill = local_table_fill, .forward = local_forward, .backward = local_backward,                     \
        .flops = local_flops                                                                                      \
    }

const attn_module attn_rmt = MEMORY_TOKEN_MODULE("rmt", "Recurrent Memory Transformer: memory tokens (2207.06881)",
                                                 "d_model p l 2", rmt_entries, &rmt_memory, ACCUMULATE);
const attn_module attn_autocompressor =
    MEMORY_TOKEN_MODULE("autocompressor", "AutoCompressor: summaries of the last segments (2305.14788)",
                        "d_model p (m + 1) l", autocompressor_entries, &summary_memory, ACCUMULATE + 1);

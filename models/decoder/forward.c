/* One segment through the stack and back. Activations live in slots; a training slot keeps every layer's, the
 * inference slot lets all layers share one set. */
#include "models/decoder/pass.h"
#include "models/decoder/pass_parts.h"
#include "models/decoder/state.h"

#include "models/attention/common.h"

#include <stdlib.h>
#include <string.h>

static void carve_layer(pass *p, layer_saved *s, size_t attention)
{
    arena *a = &p->memory;
    const size_t width = p->all * (size_t)p->d->cfg.d_model, ff = p->all * (size_t)p->d->cfg.d_ff;
    s->mean1 = arena_reals(a, p->all);
    s->rstd1 = arena_reals(a, p->all);
    s->normed1 = arena_reals(a, width);
    s->attention = arena_reals(a, attention);
    s->extra = arena_reals(a, attn_extra_saved(&p->d->cfg, p->all));
    s->middle = arena_reals(a, width);
    s->mean2 = arena_reals(a, p->all);
    s->rstd2 = arena_reals(a, p->all);
    s->normed2 = arena_reals(a, width);
    s->feed.up = arena_reals(a, ff);
    s->feed.gate = p->d->cfg.feed_forward == FEED_GATED ? arena_reals(a, ff) : NULL;
    s->feed.active = p->slots > 0 ? arena_reals(a, ff) : s->feed.up;
}

/* Of rows that are scored, where the output weights do not learn: the others need no logits. */
static void carve_few(pass *p)
{
    arena *a = &p->memory;
    p->few = arena_reals(a, p->all * (size_t)p->d->cfg.d_model);
    p->few_row = arena_bytes(a, p->all * sizeof *p->few_row);
    p->few_targets = arena_bytes(a, p->all * sizeof *p->few_targets);
    p->few_weight = arena_bytes(a, p->all * sizeof *p->few_weight);
    p->few_nll = arena_bytes(a, p->all * sizeof *p->few_nll);
}

/* Run twice: to measure, then to carve. */
static void carve(pass *p, size_t workers)
{
    const decoder *d = p->d;
    const model_config *cfg = &d->cfg;
    arena *a = &p->memory;
    const size_t layers = (size_t)cfg->n_layers, width = p->all * (size_t)cfg->d_model;
    const int training = p->slots > 0;
    const size_t slots = training ? p->slots : 1;
    size_t attention = 0, work = 0, scratch = 0; /* of the layer that needs most */
    for (size_t l = 0; l < layers; l++) {
        const attn_sizes sizes = attn_sizes_of(&d->inner, l, p->lanes);
        attention = sizes.saved > attention ? sizes.saved : attention;
        work = sizes.work > work ? sizes.work : work;
        scratch = sizes.scratch > scratch ? sizes.scratch : scratch;
    }
    slot *slot_array = arena_bytes(a, slots * sizeof *p->slot);
    layer_saved shared = {0}; /* of all layers that only read, in all slots */
    int has_shared = 0;
    real *input = NULL;
    for (size_t i = 0; i < slots; i++) {
        slot local = {0}, *s = slot_array ? &slot_array[i] : &local;
        s->seen = arena_bytes(a, p->lanes * sizeof *s->seen);
        s->valid = arena_bytes(a, p->lanes * sizeof *s->valid);
        s->rows_valid = arena_bytes(a, p->lanes * sizeof *s->rows_valid);
        s->picked = p->all > p->tokens ? arena_reals(a, p->tokens * (size_t)cfg->d_model) : NULL;
        s->above = cfg->recurrence && cfg->recurrence->saved_reals
                       ? arena_reals(a, cfg->recurrence->saved_reals(cfg, p->lanes))
                       : NULL;
        layer_saved *array = arena_bytes(a, layers * sizeof *s->layer);
        const size_t kept = training ? d->lowest : layers; /* the first layer that backward comes to */
        for (size_t l = 0; l < layers; l++) {
            layer_saved here = shared;
            if (l >= kept || !has_shared) {
                here.input = input = arena_reals(a, width);
                carve_layer(p, &here, l >= kept ? attn_sizes_of(&d->inner, l, p->lanes).saved : attention);
            }
            if (l < kept) {
                shared = here;
                has_shared = 1;
            }
            if (array) array[l] = here;
        }
        s->layer = array;
        s->output = training ? arena_reals(a, width) : input;
        s->mean = arena_reals(a, p->all);
        s->rstd = arena_reals(a, p->all);
        s->normed = arena_reals(a, width);
    }
    p->slot = slot_array;
    p->logits = arena_reals(a, p->tokens * (size_t)cfg->vocab);
    p->scratch_stride = (scratch + 15) / 16 * 16;
    p->scratch = arena_reals(a, p->scratch_stride * workers);
    p->state = arena_bytes(a, p->lanes * sizeof *p->state);
    p->dstate = arena_bytes(a, p->lanes * sizeof *p->dstate);
    if (training) {
        p->work = arena_reals(a, work);
        p->extra_work = arena_reals(a, attn_extra_work(&d->inner, p->lanes));
        p->dpicked = p->all > p->tokens ? arena_reals(a, p->tokens * (size_t)cfg->d_model) : NULL;
        p->dx = arena_reals(a, width);
        p->dfeed = arena_reals(a, (feed_matrices((feed_kind)cfg->feed_forward) - 1) * p->all * (size_t)cfg->d_ff);
        p->dnormed = arena_reals(a, width);
        p->dgain = arena_reals(a, norm_partial_reals(p->all, (size_t)cfg->d_model));
        if (d->param[d->output].grad == PARAM_FROZEN && !cfg->recurrence) carve_few(p);
    }
}

size_t pass_bytes(const decoder *d, size_t workers, size_t lanes, size_t slots)
{
    pass p = {.d = d,
              .lanes = lanes,
              .slots = slots,
              .all = lanes * (size_t)d->inner.segment,
              .tokens = lanes * (size_t)d->cfg.segment};
    carve(&p, workers);
    return p.memory.used;
}

int pass_create(pass **out, const decoder *d, pool *threads, size_t lanes, size_t slots, pal_error *err)
{
    pass *p = calloc(1, sizeof *p);
    if (!p) return pal_fail(err, PAL_INTERNAL, "out of memory for the activations");
    *p = (pass){.d = d,
                .pool = threads,
                .head = threads,
                .lanes = lanes,
                .slots = slots,
                .end = d->stateful,
                .all = lanes * (size_t)d->inner.segment,
                .tokens = lanes * (size_t)d->cfg.segment};
    const size_t workers = (size_t)pool_threads(threads);
    carve(p, workers);
    int code = arena_allocate(&p->memory, "the activations", err);
    for (size_t i = 0; decoder_is_left(d) && code == PAL_OK && i < d->param_count; i++)
        if (d->source[i].read) code = gemm_reserve(threads, d->param[i].cols, err);
    if (code != PAL_OK) {
        arena_free(&p->memory);
        free(p);
        return code;
    }
    carve(p, workers);
    *out = p;
    return PAL_OK;
}

void pass_destroy(pass *p)
{
    if (!p) return;
    arena_free(&p->memory);
    free(p);
}

void pass_use_panels(pass *p, const real *panels)
{
    p->panels = panels;
}

void pass_leave_caches(pass *p)
{
    p->end = p->d->graded;
}

void pass_share_head(pass *p, pool *workers)
{
    p->head = workers;
}

size_t pass_lanes(const pass *p)
{
    return p->lanes;
}

/* ---- row loops ---- */

static void run_block(void *arg, int task, int worker)
{
    (void)worker;
    const row_job *j = arg;
    const size_t begin = (size_t)task * ROW_BLOCK;
    for (size_t i = begin; i < begin + ROW_BLOCK && i < j->p->all; i++) j->row(j, i, (size_t)task);
}

void pass_run_rows(const pass *p, row_job *job)
{
    pool_run(p->pool, (int)((p->all + ROW_BLOCK - 1) / ROW_BLOCK), run_block, job);
}

static void embed_row(const row_job *j, size_t i, size_t block)
{
    (void)block;
    const real scale = (real)embedding_scale(&j->p->d->cfg);
    const decoder *d = j->p->d;
    const real *from = j->x ? j->x + (size_t)j->tokens[i] * j->cols : j->y + i * j->cols;
    if (!j->x)
        d->source[d->embedding].read(d->source[d->embedding].arg, (size_t)j->tokens[i], 1, 0, j->cols,
                                     j->y + i * j->cols);
    for (size_t c = 0; c < j->cols; c++) j->y[i * j->cols + c] = scale * from[c];
}

void pass_embed(const pass *p, const int32_t *tokens, real *y)
{
    const decoder *d = p->d;
    row_job job = {.p = p, .tokens = tokens, .y = y, .cols = (size_t)d->cfg.d_model, .row = embed_row};
    job.x = weight_of(p, d->embedding);
    pass_run_rows(p, &job);
}

static void add_row(const row_job *j, size_t i, size_t block)
{
    (void)block;
    kernels_get()->axpy(j->sum + i * j->cols, 1, j->add + i * j->cols, j->cols);
}

row_norm pass_norm(const pass *p, norm_index index, real *grad)
{
    const model_config *cfg = &p->d->cfg;
    return (row_norm){.op = &norm_ops[cfg->norm],
                      .cols = (size_t)cfg->d_model,
                      .eps = (real)cfg->norm_eps,
                      .gain = weight_of(p, index.gain),
                      .bias = weight_of(p, index.bias),
                      .dgain = grad_of(p, index.gain, grad),
                      .dbias = grad_of(p, index.bias, grad)};
}

feed_layer pass_feed(const pass *p, const layer_index *at, real *grad)
{
    const model_config *cfg = &p->d->cfg;
    return (feed_layer){.kind = (feed_kind)cfg->feed_forward,
                        .activation = (activation_kind)cfg->activation,
                        .width = (size_t)cfg->d_model,
                        .inner = (size_t)cfg->d_ff,
                        .up = matrix_of(p, at->up.weight),
                        .gate = matrix_of(p, at->gate.weight),
                        .down = matrix_of(p, at->down.weight),
                        .up_bias = weight_of(p, at->up.bias),
                        .gate_bias = weight_of(p, at->gate.bias),
                        .down_bias = weight_of(p, at->down.bias),
                        .dup = grad_of(p, at->up.weight, grad),
                        .dgate = grad_of(p, at->gate.weight, grad),
                        .ddown = grad_of(p, at->down.weight, grad),
                        .dup_bias = grad_of(p, at->up.bias, grad),
                        .dgate_bias = grad_of(p, at->gate.bias, grad),
                        .ddown_bias = grad_of(p, at->down.bias, grad)};
}

static void run_norm(const pass *p, norm_index index, real *y, real *sum, const real *add, real *mean, real *rstd)
{
    const row_norm n = pass_norm(p, index, NULL);
    norm_rows(p->pool, &n, p->all, sum, add, y, mean, rstd);
}

/* ---- the stack ---- */

attn_call pass_call(pass *p, const slot *s, size_t layer, call_params *of, real *grad)
{
    const decoder *d = p->d;
    const layer_index *at = &d->layer[layer];
    for (size_t i = 0; i < at->attn_count; i++) {
        const matrix m = matrix_of(p, at->attn[i]);
        of->param[i] = m.w;
        of->panels[i] = m.panels;
        of->source[i] = m.source;
        of->grad[i] = grad_of(p, at->attn[i], grad);
    }
    of->norm = pass_norm(p, at->norm1, grad);
    return (attn_call){.cfg = &d->inner,
                       .layer = layer,
                       .lanes = p->lanes,
                       .pool = p->pool,
                       .param = of->param,
                       .panels = of->panels,
                       .source = of->source,
                       .grad = of->grad,
                       .norm = &of->norm,
                       .extra = {.qkv_bias = weight_of(p, at->qkv_bias),
                                 .o_bias = weight_of(p, at->o_bias),
                                 .q_gain = weight_of(p, at->q_gain),
                                 .k_gain = weight_of(p, at->k_gain),
                                 .dqkv_bias = grad_of(p, at->qkv_bias, grad),
                                 .do_bias = grad_of(p, at->o_bias, grad),
                                 .dq_gain = grad_of(p, at->q_gain, grad),
                                 .dk_gain = grad_of(p, at->k_gain, grad),
                                 .saved = s->layer[layer].extra,
                                 .work = p->extra_work},
                       .residual = s->layer[layer].input,
                       .state = p->state,
                       .dstate = p->dstate,
                       .seen = s->seen,
                       .valid = s->rows_valid,
                       .table = d->table,
                       .saved = s->layer[layer].attention,
                       .scratch = p->scratch,
                       .scratch_stride = p->scratch_stride,
                       .work = p->work};
}

recurrence_call pass_above(pass *p, const slot *s, call_params *of, void *const *state, real *const *dstate,
                           real *grad)
{
    const decoder *d = p->d;
    for (size_t i = 0; i < d->recurrence_count; i++) {
        of->param[i] = weight_of(p, d->recurrence[i]);
        of->grad[i] = grad_of(p, d->recurrence[i], grad);
    }
    for (size_t lane = 0; lane < p->lanes; lane++) {
        if (state) p->state[lane] = (real *)((char *)state[lane] + d->recurrence_state);
        if (dstate) p->dstate[lane] = dstate[lane] + d->recurrence_dstate;
    }
    return (recurrence_call){.cfg = &d->cfg,
                             .lanes = p->lanes,
                             .n = (size_t)d->inner.segment,
                             .pool = p->pool,
                             .param = of->param,
                             .grad = of->grad,
                             .state = p->state,
                             .dstate = p->dstate,
                             .seen = s->seen,
                             .valid = s->valid,
                             .saved = s->above};
}

/* Rows of a lane that are no padding. A lane without tokens stands still. */
static void place_rows(const pass *p, slot *s)
{
    for (size_t lane = 0; lane < p->lanes; lane++) {
        size_t before, behind;
        p->d->cfg.recurrence->place(&p->d->cfg, s->seen[lane], &before, &behind);
        if (s->valid[lane] > 0) s->rows_valid[lane] = before + s->valid[lane] + behind;
    }
}

/* Where the row of a lane's token lies: padding comes behind the recurrence's rows. */
static size_t row_of(const pass *p, const slot *s, size_t lane, size_t token)
{
    size_t before, behind;
    p->d->cfg.recurrence->place(&p->d->cfg, s->seen[lane], &before, &behind);
    return lane * (size_t)p->d->inner.segment + before + token + (token < s->valid[lane] ? 0 : behind);
}

void pass_spread(const pass *p, const slot *s, const real *from, real *to)
{
    const size_t n = (size_t)p->d->cfg.segment, width = (size_t)p->d->cfg.d_model;
    memset(to, 0, p->all * width * sizeof *to);
    for (size_t i = 0; i < p->tokens; i++)
        memcpy(to + row_of(p, s, i / n, i % n) * width, from + i * width, width * sizeof *to);
}

void pass_pick(const pass *p, const slot *s, const real *from, real *to)
{
    const size_t n = (size_t)p->d->cfg.segment, width = (size_t)p->d->cfg.d_model;
    for (size_t i = 0; i < p->tokens; i++)
        memcpy(to + i * width, from + row_of(p, s, i / n, i % n) * width, width * sizeof *to);
}

void pass_begin(pass *p, size_t index, const int32_t *tokens, const size_t *valid, void *const *state)
{
    const decoder *d = p->d;
    slot *s = &p->slot[index];
    for (size_t lane = 0; lane < p->lanes; lane++) {
        state_header *header = state[lane];
        s->seen[lane] = header->seen;
        s->valid[lane] = s->rows_valid[lane] = valid[lane];
        header->seen += valid[lane];
    }
    if (s->picked) {
        pass of_tokens = *p;
        of_tokens.all = p->tokens;
        pass_embed(&of_tokens, tokens, s->picked);
        place_rows(p, s);
        pass_spread(p, s, s->picked, s->layer[0].input);
    } else {
        pass_embed(p, tokens, s->layer[0].input);
    }
    if (!d->cfg.recurrence) return;
    call_params of;
    const recurrence_call call = pass_above(p, s, &of, state, NULL, NULL);
    d->cfg.recurrence->enter(&call, s->layer[0].input);
}

/* The recurrence before a block, or after it. */
static void enter_layer(pass *p, const slot *s, void *const *state, size_t layer, int before)
{
    const recurrence *above = p->d->cfg.recurrence;
    call_params of;
    const recurrence_call call = pass_above(p, s, &of, state, NULL, NULL);
    if (before)
        above->layer_enter(&call, layer, s->layer[layer].input);
    else
        above->layer_leave(&call, layer, pass_residual(p, (size_t)(s - p->slot), layer + 1));
}

void pass_layers(pass *p, size_t index, void *const *state, size_t from, size_t to, int need_output)
{
    const decoder *d = p->d;
    const size_t layers = (size_t)d->cfg.n_layers, width = (size_t)d->cfg.d_model;
    const recurrence *above = d->cfg.recurrence;
    slot *s = &p->slot[index];
    s->scored = need_output != 0;
    /* Layers above the last state have nothing to keep of a segment that is only read. */
    const size_t end = need_output || d->cfg.recurrence ? layers : p->end;
    for (size_t l = from; l < to; l++) {
        if (l >= end) return;
        const layer_index *at = &d->layer[l];
        layer_saved *ls = &s->layer[l];
        const int last = l + 1 == layers, state_only = !need_output && !d->cfg.recurrence && l + 1 == end;
        call_params params;
        if (above && above->layer_enter) enter_layer(p, s, state, l, 1);
        for (size_t lane = 0; lane < p->lanes; lane++)
            p->state[lane] = (real *)((char *)state[lane] + at->state_offset);
        attn_call call = pass_call(p, s, l, &params, NULL);
        call.need_output = !state_only || p->slots > 0; /* backward reads all that forward leaves */
        run_norm(p, at->norm1, ls->normed1, ls->input, NULL, ls->mean1, ls->rstd1);
        d->cfg.attention->forward(&call, ls->normed1, ls->middle);
        if (state_only) return;
        run_norm(p, at->norm2, ls->normed2, ls->middle, ls->input, ls->mean2, ls->rstd2);
        real *next = last ? s->output : s->layer[l + 1].input;
        const feed_layer f = pass_feed(p, at, NULL);
        feed_forward(p->pool, rows_of(p), &f, ls->normed2, &ls->feed, next);
        row_job residual = {.p = p, .sum = next, .add = ls->middle, .cols = width, .row = add_row};
        pass_run_rows(p, &residual);
        if (above && above->layer_leave) enter_layer(p, s, state, l, 0);
    }
    if (to < layers) return;
    if (d->cfg.final_norm) run_norm(p, d->final_norm, s->normed, s->output, NULL, s->mean, s->rstd);
    const real *normed = d->cfg.final_norm ? s->normed : s->output;
    if (above && above->leave) {
        call_params of;
        const recurrence_call call = pass_above(p, s, &of, state, NULL, NULL);
        above->leave(&call, above->is_normed ? normed : s->output);
    }
    if (s->picked) pass_pick(p, s, normed, s->picked);
}

void pass_forward(pass *p, size_t index, const int32_t *tokens, const size_t *valid, void *const *state,
                  int need_output)
{
    pass_begin(p, index, tokens, valid, state);
    pass_layers(p, index, state, 0, (size_t)p->d->cfg.n_layers, need_output);
}

void pass_enter(pass *p, const real *x, const size_t *valid, void *const *state, size_t from)
{
    slot *s = &p->slot[0];
    for (size_t lane = 0; lane < p->lanes; lane++) {
        state_header *header = state[lane];
        s->seen[lane] = header->seen;
        s->valid[lane] = s->rows_valid[lane] = valid[lane];
        header->seen += valid[lane];
    }
    memcpy(s->layer[from].input, x, p->all * (size_t)p->d->cfg.d_model * sizeof *x);
}

real *pass_rows(pass *p)
{
    return p->slot[0].layer[0].input;
}

void pass_follow(pass *p, const pass *before)
{
    const slot *from = &before->slot[0];
    slot *to = &p->slot[0];
    memcpy(to->layer[0].input, from->layer[0].input, p->all * (size_t)p->d->cfg.d_model * sizeof(real));
    memcpy(to->seen, from->seen, p->lanes * sizeof *to->seen);
    memcpy(to->valid, from->valid, p->lanes * sizeof *to->valid);
    memcpy(to->rows_valid, from->rows_valid, p->lanes * sizeof *to->rows_valid);
}

const real *pass_residual(const pass *p, size_t index, size_t layer)
{
    const slot *s = &p->slot[index];
    return layer < (size_t)p->d->cfg.n_layers ? s->layer[layer].input : s->output;
}

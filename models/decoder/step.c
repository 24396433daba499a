/* A step through the stack: a pass over a few rows of each lane, whose products read every weight once.
 * What layers keep from step to step lies beside each other, a block for each layer. */
#include "models/decoder/step.h"

#include "models/attention/common.h"
#include "models/decoder/pass_parts.h"
#include "models/decoder/state.h"
#include "models/engine/linear_rows.h"

#include <stdlib.h>
#include <string.h>

struct stepper {
    pass p; /* of at most ATTN_STEP_ROWS rows of each lane; one area serves all layers */
    slot at;
    real **kept; /* [n_layers] of the attention */
    int32_t *tokens;
    size_t count; /* rows of each lane at work */
    real *next;   /* [rows, d_model] */
};

int stepper_serves(const decoder *d)
{
    return d->cfg.attention->step && !d->cfg.recurrence;
}

size_t stepper_weight_bytes(const decoder *d)
{
    size_t bytes = 0;
    for (size_t i = 0; i < d->param_count; i++) {
        if (i == d->embedding && i != d->output) continue; /* a row of it */
        const size_t count = d->param[i].rows * d->param[i].cols;
        if (d->param[i].offset != PARAM_ELSEWHERE)
            bytes += count * sizeof(real);
        else
            bytes += d->source[i].mapped ? d->source[i].mapped : count * sizeof(uint16_t);
    }
    return bytes;
}

static size_t at_least(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void carve_attention(stepper *s, layer_saved *all, size_t workers)
{
    const model_config *cfg = &s->p.d->cfg;
    arena *a = &s->p.memory;
    size_t work = 0, scratch = 0;
    for (size_t l = 0; l < (size_t)cfg->n_layers; l++) {
        const attn_sizes sizes = attn_sizes_of(cfg, l, s->p.lanes);
        /* A module that keeps nothing has its block all the same: the block says that this is a step. */
        real *kept = arena_reals(a, at_least(sizes.kept, 1));
        if (s->kept) s->kept[l] = kept;
        work = at_least(work, sizes.step);
        scratch = at_least(scratch, sizes.step_scratch);
    }
    all->attention = arena_reals(a, work);
    s->p.scratch_stride = (scratch + 15) / 16 * 16;
    s->p.scratch = arena_reals(a, s->p.scratch_stride * workers);
}

/* Run twice: to measure, then to carve. */
static void carve(stepper *s, size_t workers)
{
    const model_config *cfg = &s->p.d->cfg;
    arena *a = &s->p.memory;
    const size_t lanes = s->p.lanes, count = lanes * ATTN_STEP_ROWS, layers = (size_t)cfg->n_layers;
    const size_t width = count * (size_t)cfg->d_model, inner = count * (size_t)cfg->d_ff;
    layer_saved all = {0};
    s->tokens = arena_bytes(a, count * sizeof *s->tokens);
    s->at.seen = arena_bytes(a, lanes * sizeof *s->at.seen);
    s->at.valid = arena_bytes(a, lanes * sizeof *s->at.valid);
    s->at.layer = arena_bytes(a, layers * sizeof *s->at.layer);
    s->p.state = arena_bytes(a, lanes * sizeof *s->p.state);
    s->kept = arena_bytes(a, layers * sizeof *s->kept);
    all.input = arena_reals(a, width);
    s->next = arena_reals(a, width);
    all.mean1 = all.mean2 = arena_reals(a, count);
    all.rstd1 = all.rstd2 = arena_reals(a, count);
    all.normed1 = all.normed2 = arena_reals(a, width);
    all.extra = arena_reals(a, attn_extra_saved(cfg, count));
    all.middle = arena_reals(a, width);
    all.feed.up = all.feed.active = arena_reals(a, inner);
    all.feed.gate = cfg->feed_forward == FEED_GATED ? arena_reals(a, inner) : NULL;
    s->p.logits = arena_reals(a, lanes * (size_t)cfg->vocab);
    carve_attention(s, &all, workers);
    for (size_t l = 0; s->at.layer && l < layers; l++) s->at.layer[l] = all;
}

size_t stepper_bytes(const decoder *d, size_t workers, size_t lanes)
{
    stepper s = {.p = {.d = d, .lanes = lanes}};
    carve(&s, workers);
    return s.p.memory.used;
}

int stepper_create(stepper **out, const decoder *d, pool *threads, size_t lanes, pal_error *err)
{
    const size_t workers = (size_t)pool_threads(threads);
    stepper *s = calloc(1, sizeof *s);
    if (!s) return pal_fail(err, PAL_INTERNAL, "out of memory for writing");
    s->p = (pass){.d = d, .pool = threads, .head = threads, .lanes = lanes};
    carve(s, workers);
    int code = arena_allocate(&s->p.memory, "writing", err);
    for (size_t i = 0; decoder_is_left(d) && code == PAL_OK && i < d->param_count; i++)
        if (d->param[i].offset == PARAM_ELSEWHERE) code = gemm_reserve(threads, d->param[i].cols, err);
    if (code != PAL_OK) {
        stepper_destroy(s);
        return code;
    }
    carve(s, workers);
    *out = s;
    return PAL_OK;
}

void stepper_destroy(stepper *s)
{
    if (!s) return;
    arena_free(&s->p.memory);
    free(s);
}

static void run_norm(const stepper *s, norm_index index, real *y, real *sum, const real *add)
{
    const row_norm n = pass_norm(&s->p, index, NULL);
    const layer_saved *all = &s->at.layer[0];
    norm_rows(s->p.pool, &n, s->p.all, sum, add, y, all->mean1, all->rstd1);
}

static void run_layer(stepper *s, size_t layer, void *const *state, size_t first, size_t count)
{
    pass *p = &s->p;
    const decoder *d = p->d;
    const layer_index *at = &d->layer[layer];
    layer_saved *all = &s->at.layer[layer];
    call_params params;
    for (size_t lane = 0; lane < p->lanes; lane++)
        p->state[lane] = (real *)((char *)state[lane] + at->state_offset);
    attn_call call = pass_call(p, &s->at, layer, &params, NULL);
    call.need_output = 1;
    call.kept = s->kept[layer];
    call.first = first;
    call.count = count;
    run_norm(s, at->norm1, all->normed1, all->input, NULL);
    d->cfg.attention->step(&call, all->normed1, all->middle);
    run_norm(s, at->norm2, all->normed2, all->middle, all->input);
    const feed_layer f = pass_feed(p, at, NULL);
    feed_step(p->pool, (rows){p->lanes, count}, &f, all->normed2, &all->feed, s->next);
    kernels_get()->axpy(s->next, 1, all->middle, p->all * (size_t)d->cfg.d_model);
    real *input = all->input;
    for (size_t l = 0; l < (size_t)d->cfg.n_layers; l++) s->at.layer[l].input = s->next;
    s->next = input;
}

/* After the last of each lane's `count` rows, which the last layer left as the next one's input. */
const real *stepper_logits(stepper *s)
{
    const pass *p = &s->p;
    const decoder *d = p->d;
    const size_t count = s->count;
    const layer_saved *all = &s->at.layer[0];
    const size_t width = (size_t)d->cfg.d_model, vocab = (size_t)d->cfg.vocab;
    const real *x = all->input;
    if (d->cfg.final_norm) {
        run_norm(s, d->final_norm, all->normed1, all->input, NULL);
        x = all->normed1;
    }
    linear_rows(p->pool, (rows){p->lanes, 1}, width, vocab, x + (count - 1) * width, count * width,
                matrix_of(p, d->output), d->cfg.output_bias ? weight_of(p, d->output_bias) : NULL, p->logits,
                vocab);
    return p->logits;
}

void stepper_begin(stepper *s, size_t count, void *const *state)
{
    pass *p = &s->p;
    for (size_t lane = 0; lane < p->lanes; lane++) s->at.seen[lane] = ((const state_header *)state[lane])->seen;
    s->count = count;
    p->all = p->lanes * count;
}

void stepper_embed(stepper *s, const int32_t *tokens, size_t stride)
{
    for (size_t lane = 0; lane < s->p.lanes; lane++)
        memcpy(s->tokens + lane * s->count, tokens + lane * stride, s->count * sizeof *tokens);
    pass_embed(&s->p, s->tokens, s->at.layer[0].input);
}

void stepper_layers(stepper *s, size_t from, size_t to, size_t first, void *const *state)
{
    for (size_t l = from; l < to; l++) run_layer(s, l, state, first, s->count);
}

real *stepper_rows(stepper *s)
{
    return s->at.layer[0].input;
}

const real *stepper_read(stepper *s, const int32_t *tokens, size_t stride, size_t first, size_t count,
                         void *const *state)
{
    size_t step = 0;
    for (size_t done = 0; done < count; done += step) {
        step = count - done < ATTN_STEP_ROWS ? count - done : ATTN_STEP_ROWS;
        stepper_begin(s, step, state);
        stepper_embed(s, tokens + done, stride);
        stepper_layers(s, 0, (size_t)s->p.d->cfg.n_layers, first + done, state);
    }
    return stepper_logits(s);
}

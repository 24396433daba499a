/* One segment back through the stack: from the loss to the gradients of all weights and of the state before the
 * segment. The order of every sum is fixed. */
#include "models/decoder/pass.h"
#include "models/decoder/pass_parts.h"

#include <string.h>

static void run_norm_backward(const pass *p, norm_index index, real *dx, const real *dy, const real *x, real *mean,
                              real *rstd, real *grad)
{
    const row_norm n = pass_norm(p, index, grad);
    norm_rows_backward(p->pool, &n, p->all, dy, x, mean, rstd, dx, p->dgain);
}

static void backward_feed(pass *p, const layer_index *at, const layer_saved *s, real *grad)
{
    const feed_layer f = pass_feed(p, at, grad);
    feed_backward(p->pool, rows_of(p), &f, s->normed2, &s->feed, p->dx, p->dfeed, p->dnormed);
    run_norm_backward(p, at->norm2, p->dx, p->dnormed, s->middle, s->mean2, s->rstd2, grad);
}

typedef struct embed_job {
    const pass *p;
    const int32_t *tokens;
    real *grad;
    size_t block;
} embed_job;

/* Columns are disjoint between tasks and rows are added in order. */
static void embed_backward_columns(void *arg, int task, int worker)
{
    (void)worker;
    const embed_job *j = arg;
    const size_t width = (size_t)j->p->d->cfg.d_model, begin = (size_t)task * j->block;
    const size_t count = begin + j->block < width ? j->block : width - begin;
    const real scale = (real)embedding_scale(&j->p->d->cfg);
    const kernels *k = kernels_get();
    const real *dx = j->p->dpicked ? j->p->dpicked : j->p->dx;
    for (size_t i = 0; i < j->p->tokens; i++)
        k->axpy(j->grad + (size_t)j->tokens[i] * width + begin, scale, dx + i * width + begin, count);
}

/* Loss and gradient of the scored rows alone, into dhead [R, d_model]. */
static void few_head(pass *p, const slot *s, const scored_tokens *t, real *dbias, real *dhead)
{
    const decoder *d = p->d;
    const size_t width = (size_t)d->cfg.d_model, vocab = (size_t)d->cfg.vocab;
    size_t count = 0;
    for (size_t i = 0; i < p->all; i++) {
        if (t->nll) t->nll[i] = 0;
        if (t->weight[i] == 0) continue;
        memcpy(p->few + count * width, head_input(p, s) + i * width, width * sizeof *p->few);
        p->few_row[count] = i;
        p->few_targets[count] = t->targets[i];
        p->few_weight[count++] = t->weight[i];
    }
    memset(dhead, 0, p->all * width * sizeof *dhead);
    if (count == 0) return;
    const rows few = {1, count};
    linear_forward(p->head, few, width, vocab, p->few, width, matrix_of(p, d->output),
                   d->cfg.output_bias ? weight_of(p, d->output_bias) : NULL, p->logits, vocab);
    loss_job job = {.p = p, .targets = p->few_targets, .weight = p->few_weight, .nll = p->few_nll, .count = count};
    pass_run_loss(p, &job);
    linear_backward_weight(p->pool, few, width, vocab, p->few, width, p->logits, vocab, NULL, dbias);
    linear_backward_input(p->pool, few, width, vocab, p->logits, vocab, weight_of(p, d->output), p->few, width, 0);
    for (size_t i = 0; i < count; i++) {
        memcpy(dhead + p->few_row[i] * width, p->few + i * width, width * sizeof *dhead);
        if (t->nll) t->nll[p->few_row[i]] = p->few_nll[i];
    }
}

static void backward_head(pass *p, slot *s, const scored_tokens *t, const recurrence_call *call, real *grad)
{
    const decoder *d = p->d;
    const recurrence *above = d->cfg.recurrence;
    const size_t width = (size_t)d->cfg.d_model, vocab = (size_t)d->cfg.vocab;
    const rows r = token_rows_of(p);
    if (p->few) {
        real *dhead = d->cfg.final_norm ? p->dnormed : p->dx;
        few_head(p, s, t, d->cfg.output_bias ? grad_of(p, d->output_bias, grad) : NULL, dhead);
        if (!d->cfg.final_norm) return;
        memset(p->dx, 0, p->all * width * sizeof *p->dx);
        run_norm_backward(p, d->final_norm, p->dx, p->dnormed, s->output, s->mean, s->rstd, grad);
        return;
    }
    pass_logits(p, (size_t)(s - p->slot));
    loss_job job = {.p = p, .targets = t->targets, .weight = t->weight, .nll = t->nll, .count = p->tokens};
    pass_run_loss(p, &job);
    linear_backward_weight(p->pool, r, width, vocab, head_input(p, s), width, p->logits, vocab,
                           grad_of(p, d->output, grad),
                           d->cfg.output_bias ? grad_of(p, d->output_bias, grad) : NULL);
    real *dnormed = d->cfg.final_norm ? p->dnormed : p->dx;
    linear_backward_input(p->pool, r, width, vocab, p->logits, vocab, weight_of(p, d->output),
                          s->picked ? p->dpicked : dnormed, width, 0);
    if (s->picked) pass_spread(p, s, p->dpicked, dnormed);
    if (above && above->is_normed) above->leave_backward(call, d->cfg.final_norm ? s->normed : s->output, dnormed);
    if (d->cfg.final_norm) {
        memset(p->dx, 0, p->all * width * sizeof *p->dx);
        run_norm_backward(p, d->final_norm, p->dx, p->dnormed, s->output, s->mean, s->rstd, grad);
    }
    if (above && above->leave_backward && !above->is_normed) above->leave_backward(call, s->output, p->dx);
}

void pass_backward(pass *p, size_t index, const scored_tokens *t, real *const *dstate, real *grad,
                   attn_penalty penalty)
{
    const decoder *d = p->d;
    const size_t layers = (size_t)d->cfg.n_layers;
    slot *s = &p->slot[index];
    const recurrence *above = d->cfg.recurrence;
    const int whole = s->scored || above; /* else the last state's layer has no output */
    call_params of;
    recurrence_call around = {0};
    if (above) around = pass_above(p, s, &of, NULL, dstate, grad);
    if (whole) {
        backward_head(p, s, t, &around, grad);
    } else {
        memset(p->dx, 0, p->all * (size_t)d->cfg.d_model * sizeof *p->dx);
        if (t->nll) memset(t->nll, 0, p->tokens * sizeof *t->nll);
    }
    for (size_t l = whole ? layers : p->end; l-- > d->lowest;) {
        const layer_index *at = &d->layer[l];
        const layer_saved *ls = &s->layer[l];
        if (above && above->layer_leave_backward) {
            around = pass_above(p, s, &of, NULL, dstate, grad);
            above->layer_leave_backward(&around, l, p->dx);
        }
        if (whole || l + 1 < p->end) backward_feed(p, at, ls, grad);
        call_params params;
        for (size_t lane = 0; lane < p->lanes; lane++) p->dstate[lane] = dstate[lane] + at->dstate_offset;
        attn_call call = pass_call(p, s, l, &params, grad);
        call.penalty = penalty;
        d->cfg.attention->backward(&call, ls->normed1, p->dx, p->dnormed);
        run_norm_backward(p, at->norm1, p->dx, p->dnormed, ls->input, ls->mean1, ls->rstd1, grad);
        if (above && above->layer_enter_backward) {
            around = pass_above(p, s, &of, NULL, dstate, grad);
            above->layer_enter_backward(&around, l, p->dx);
        }
    }
    if (above) {
        around = pass_above(p, s, &of, NULL, dstate, grad);
        above->enter_backward(&around, p->dx);
    }
    if (s->picked) pass_pick(p, s, p->dx, p->dpicked);
    embed_job job = {.p = p, .tokens = t->tokens, .grad = grad_of(p, d->embedding, grad), .block = 64};
    if (!job.grad) return;
    pool_run(p->pool, (int)(((size_t)d->cfg.d_model + job.block - 1) / job.block), embed_backward_columns, &job);
}

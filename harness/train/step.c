/* One training step: sequences into lanes, forward and backward over the window, the optimiser.
 * Lanes keep their streaming state from step to step. */
#include "harness/train/trainer.h"
#include "models/decoder/state.h"

#include "harness/base/os.h"
#include "models/attention/attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void batch_destroy(batch *b)
{
    window_destroy(b->window);
    train_lanes_close(&b->lanes);
    train_lead_close(&b->lead);
    free(b->fresh);
    free(b->own_fresh);
    free(b->part_loss);
    free(b->part_weight);
    free(b->tokens);
    free(b->targets);
    free(b->weight);
    free(b->nll);
}

int batch_create(const trainer *t, int64_t phase, batch *b, pal_error *err)
{
    const int64_t length = (int64_t)t->cfg.train_len.value[phase];
    *b = (batch){.length = length,
                 .write_penalty = {.weight = train_in_phase(&t->cfg.write_penalty, phase),
                                   .on_logit = t->cfg.write_penalty_of != 0}};
    const size_t lanes = (size_t)train_lanes(&t->cfg, phase), count = lanes * (size_t)length;
    b->parts = (size_t)t->cfg.grad_parts;
    b->own_parts = b->parts / (size_t)t->ranks.count;
    b->own_first = (size_t)t->ranks.rank * b->own_parts;
    const size_t segments = (size_t)(length / t->model_cfg.segment), workers = (size_t)pool_threads(t->pool);
    const uint64_t room = os_available_memory();
    const uint64_t stored = window_bytes(t->model, workers, lanes / b->parts, segments, 0);
    const int recompute =
        t->cfg.recompute == RECOMPUTE_YES || (t->cfg.recompute == RECOMPUTE_AUTO && stored > room / 2);
    const uint64_t need = window_bytes(t->model, workers, lanes / b->parts, segments, recompute);
    if (need > room)
        return pal_fail(err, PAL_USAGE,
                        "a step of %zu x %lld tokens needs %llu MiB and %llu are free; lower batch_tokens or set "
                        "recompute=yes",
                        lanes, (long long)length, (unsigned long long)(need >> 20),
                        (unsigned long long)(room >> 20));
    b->tokens = malloc(count * sizeof *b->tokens);
    b->targets = malloc(count * sizeof *b->targets);
    b->weight = malloc(count * sizeof *b->weight);
    b->nll = malloc(count * sizeof *b->nll);
    b->fresh = calloc(lanes, sizeof *b->fresh);
    b->own_fresh = calloc(lanes, sizeof *b->own_fresh);
    b->part_loss = calloc(b->parts, sizeof *b->part_loss);
    b->part_weight = calloc(b->parts, sizeof *b->part_weight);
    if (!b->own_fresh || !b->part_loss || !b->part_weight || !b->tokens || !b->targets || !b->weight || !b->nll ||
        !b->fresh)
        return pal_fail(err, PAL_INTERNAL, "out of memory for a batch of %zu tokens", count);
    PAL_TRY(train_lanes_open(&b->lanes, t->model, lanes, err));
    PAL_TRY(train_lead_open(&b->lead, &t->cfg, phase, segments, t->task, t->model, t->pool, lanes, err));
    PAL_TRY(t->task->train->phase(t->source, (int64_t)lanes, length, err));
    return window_create(&b->window, t->model, t->pool, lanes / b->parts, segments, recompute, err);
}

static void count_losses(const batch *b, train_row *row)
{
    for (size_t i = 0; i < b->lanes.lanes * (size_t)b->length; i++) {
        if (b->weight[i] >= 0.5f) {
            row->answer_nll += b->nll[i];
            row->answers++;
        } else if (b->weight[i] > 0) {
            row->other_nll += b->nll[i];
            row->others++;
        }
    }
}

static int fill_lane(trainer *t, batch *b, int64_t step, size_t lane, pal_error *err)
{
    const size_t at = lane * (size_t)b->length;
    PAL_TRY(t->task->train->fill(t->source, step, (int64_t)lane, b->tokens + at, b->targets + at, b->weight + at,
                                 &b->fresh[lane], err));
    state_header *state = b->lanes.state[lane];
    if (b->fresh[lane]) decoder_state_reset(t->model, state);
    const int64_t most = attn_sizes_of(&t->model_cfg, 0, 1).max_tokens;
    if (most && (int64_t)state->seen + t->cfg.lead_len + b->length > most)
        return pal_fail(err, PAL_USAGE, "%s holds %lld tokens and a document is longer; raise context",
                        t->model_cfg.attention->name, (long long)most);
    return PAL_OK;
}

int batch_step(trainer *t, batch *b, int64_t step, train_row *row, pal_error *err)
{
    for (size_t lane = 0; lane < b->lanes.lanes; lane++) PAL_TRY(fill_lane(t, b, step, lane, err));
    const size_t own = b->lanes.lanes / b->parts;
    for (size_t i = b->own_first * own; i < (b->own_first + b->own_parts) * own; i++)
        b->own_fresh[i] = b->fresh[i];
    train_lead_read(&b->lead, t->task, t->source, step, b->own_fresh, b->lanes.state);
    double loss;
    PAL_TRY(gradients_step(t, b, &loss, err));
    row->lr = schedule_lr(step, t->cfg.warmup, t->total_steps, t->cfg.lr, t->cfg.lr_floor);
    const double norm = optimiser_step(&t->optimiser, t->model, t->pool, t->grad, row->lr);
    if (t->peers_error.code != PAL_OK) return pal_fail(err, t->peers_error.code, "%s", t->peers_error.text);
    if (!isfinite(norm) || !isfinite(loss))
        return pal_fail(err, PAL_INTERNAL,
                        "step %lld: loss %g, gradient norm %g; the run diverged: lower lr or clip (the last "
                        "checkpoint, %s, is good)",
                        (long long)step, loss, norm, t->checkpoint);
    row->loss += loss;
    row->grad_norm += norm;
    row->steps++;
    count_losses(b, row);
    return PAL_OK;
}
